/*
 * What makes the bytes of others fit for a terminal, and reads the words of
 * options: no byte of an escaped text does anything to a terminal, nothing but
 * a cut loses any of it, no room is exceeded; and what is taken for a number or
 * a duration is one. The first two bytes say how much room there is.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool what)
{
	if (!what)
		abort();
}

static int hex(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

	must(at);
	return (int)(at - digits);
}

/* Nothing that moves the cursor, colours, hides or turns around. Bytes of C1
 * controls come in UTF-8 as 0xc2 0x80 to 0x9f only. */
static void check_harmless(const char *text)
{
	static const char *const hidden[] = {
		"\u00ad", "\u200b", "\u200e", "\u2028", "\u202e", "\u2066", "\ufeff", "\ue000",
	};
	size_t len = strlen(text), n;

	for (size_t at = 0; at < len; at += n) {
		n = text_sequence(text + at, len - at);
		must(n && (unsigned char)text[at] >= 0x20 && text[at] != 0x7f);
		must(n != 2 || text[at] != '\xc2' || (unsigned char)text[at + 1] >= 0xa0);
	}
	for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
		must(!strstr(text, hidden[i]));
}

/* The bytes that an escaped text stands for. */
static size_t bare(const char *text, size_t len, uint8_t *out)
{
	size_t n = 0;

	for (size_t at = 0; at < len; n++) {
		if (text[at] != '\\') {
			out[n] = (uint8_t)text[at++];
			continue;
		}
		must(len - at >= 4 && text[at + 1] == 'x');
		out[n] = (uint8_t)(hex(text[at + 2]) << 4 | hex(text[at + 3]));
		at += 4;
	}
	return n;
}

static void check_cut(const char *text, unsigned columns)
{
	char *copy = strdup(text);

	must(copy);
	text_cut(copy, columns);
	must(text_columns(copy) <= columns || text_columns(text) <= columns);
	if (text_columns(text) <= columns)
		must(strcmp(copy, text) == 0);
	check_harmless(copy);
	free(copy);
}

static void check_escape(const uint8_t *data, size_t size, size_t cap)
{
	char *out = malloc(cap ? cap : 1);
	uint8_t *back = malloc(cap + 1);
	size_t len, n;

	must(out && back);
	must(text_escape(data, size, out, cap) == out);
	if (cap) {
		len = strnlen(out, cap);
		must(len < cap);
		check_harmless(out);
		check_cut(out, (unsigned)(cap % 40));
		n = len >= 3 && cap < 4 * size + 1 && !strcmp(out + len - 3, "...") ? len - 3 : len;
		/* The room of the smallest holds a piece of the dots alone. */
		if (cap > 4) {
			n = bare(out, n, back);
			must(n <= size && memcmp(back, data, n) == 0);
		}
		if (cap > 4 * size)
			must(n == size);
	}
	free(out);
	free(back);
}

static void check_words(const char *text)
{
	static const char *const names[] = { "server", "client", "stats", "gencert", "http" };
	char printed[24];
	const char *near;
	uint64_t v = 1;
	bool yes;

	if (text_uint(text, 0, UINT64_MAX, &v) == 0) {
		snprintf(printed, sizeof printed, "%" PRIu64, v);
		text += strspn(text, "0");
		must(strcmp(printed, *text ? text : "0") == 0);
		return;
	}
	must(v == 1);
	if (text_duration(text, &v) == 0)
		must(v <= UINT64_C(365) * 86400000 && strspn(text, "0123456789smhd") == strlen(text));
	else
		must(v == 1);
	text_bool(text, &yes);
	near = text_nearest(text, names, 5);
	must(!near || near == names[0] || near == names[1] || near == names[2] ||
		near == names[3] || near == names[4]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;
	size_t cap;

	if (size < 2 || size > 2000)
		return 0;
	cap = (size_t)(data[0] << 8 | data[1]) % 1024;
	data += 2;
	size -= 2;
	check_escape(data, size, cap);
	check_escape(data, size, 4 * size + 1);
	text = malloc(size + 1); /* Its own block: a read beyond the end is seen. */
	must(text);
	memcpy(text, data, size);
	text[size] = '\0';
	check_words(text);
	free(text);
	return 0;
}
