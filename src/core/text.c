#include "core/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

int text_uint(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (!*text)
		return -1;
	for (; *text; text++) {
		unsigned digit = (unsigned)(*text - '0');

		if (digit > 9 || v > (UINT64_MAX - digit) / 10)
			return -1;
		v = v * 10 + digit;
	}
	if (v < min || v > max)
		return -1;
	*out = v;
	return 0;
}

static const struct {
	const char *name;
	uint64_t ms;
} units[] = {
	{ "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 },
};

static const uint64_t year_ms = 365ull * 86400000;

/* The unit at the front of text, its length in *len; 0 when there is none. */
static uint64_t unit_at(const char *text, size_t *len)
{
	*len = 0;
	while (isalpha((unsigned char)text[*len]))
		++*len;
	for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
		if (strlen(units[i].name) == *len && memcmp(text, units[i].name, *len) == 0)
			return units[i].ms;
	return 0;
}

int text_duration(const char *text, uint64_t *ms)
{
	uint64_t sum = 0;
	bool too_long = false;

	if (strcmp(text, "0") == 0) {
		*ms = 0;
		return 0;
	}
	if (!*text)
		return -1;
	while (*text) {
		uint64_t v = 0, unit;
		size_t digits = 0, len;

		for (; isdigit((unsigned char)*text); text++, digits++)
			v = v > year_ms ? v : v * 10 + (uint64_t)(*text - '0');
		unit = unit_at(text, &len);
		if (!digits || !unit)
			return -1;
		too_long = too_long || v > year_ms / unit || v * unit > year_ms - sum;
		if (!too_long)
			sum += v * unit;
		text += len;
	}
	if (too_long)
		return -2;
	*ms = sum;
	return 0;
}

int text_bool(const char *text, bool *out)
{
	static const char *const words[][2] = {
		{ "false", "true" }, { "0", "1" }, { "no", "yes" }, { "off", "on" },
	};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		for (int v = 0; v < 2; v++) {
			if (strcasecmp(text, words[i][v]) == 0) {
				*out = v;
				return 0;
			}
		}
	}
	return -1;
}

const char *text_elapsed(uint64_t ms, char *out, size_t cap)
{
	uint64_t s = ms / 1000;

	if (ms < 1000)
		snprintf(out, cap, "%ums", (unsigned)ms);
	else if (s < 60)
		snprintf(out, cap, "%us", (unsigned)s);
	else if (s < 3600)
		snprintf(out, cap, "%um %us", (unsigned)(s / 60), (unsigned)(s % 60));
	else if (s < 86400)
		snprintf(out, cap, "%uh %um", (unsigned)(s / 3600), (unsigned)(s / 60 % 60));
	else
		snprintf(out, cap, "%ud %uh", (unsigned)(s / 86400), (unsigned)(s / 3600 % 24));
	return out;
}

const char *text_period(uint64_t ms, char *out, size_t cap)
{
	if (ms > 1000 && ms < 60000 && ms % 1000)
		snprintf(out, cap, "%gs", (double)ms / 1000);
	else
		text_elapsed(ms, out, cap);
	return out;
}

const char *text_size(uint64_t bytes, char *out, size_t cap)
{
	static const char *const names[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double v = (double)bytes;
	size_t i = 0;

	while (v >= 999.5 && i + 1 < sizeof names / sizeof names[0]) {
		v /= 1000;
		i++;
	}
	snprintf(out, cap, i && v < 9.95 ? "%.1f %s" : "%.0f %s", v, names[i]);
	return out;
}

/* The length of the well-formed UTF-8 sequence at p (RFC 3629), or 0. */
static size_t sequence(const unsigned char *p, size_t left, uint32_t *rune)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = *p < 0x80 ? 1 : *p >> 5 == 6 ? 2 : *p >> 4 == 14 ? 3 : *p >> 3 == 30 ? 4 : 0;
	uint32_t v;

	if (n == 0 || n > left)
		return 0;
	v = n == 1 ? *p : *p & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		v = v << 6 | (p[i] & 0x3f);
	}
	if (v < least[n] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000))
		return 0;
	*rune = v;
	return n;
}

size_t text_sequence(const void *p, size_t left)
{
	uint32_t rune;

	return sequence(p, left, &rune);
}

static bool is_wide(uint32_t r)
{
	static const uint32_t wide[][2] = {
		{ 0x1100, 0x115f }, { 0x2e80, 0x303e }, { 0x3041, 0xa4cf }, { 0xa960, 0xa97f },
		{ 0xac00, 0xd7a3 }, { 0xf900, 0xfaff }, { 0xfe30, 0xfe6f }, { 0xff00, 0xff60 },
		{ 0xffe0, 0xffe6 }, { 0x1f300, 0x1f64f }, { 0x1f680, 0x1f6ff },
		{ 0x1f900, 0x1f9ff }, { 0x20000, 0x3fffd },
	};

	for (size_t i = 0; i < sizeof wide / sizeof wide[0]; i++)
		if (r >= wide[i][0] && r <= wide[i][1])
			return true;
	return false;
}

/* The character at p: its length, and its columns. */
static size_t character(const char *p, unsigned *columns)
{
	uint32_t rune = 0;
	size_t n = sequence((const unsigned char *)p, strnlen(p, 4), &rune);

	*columns = n && is_wide(rune) ? 2 : 1;
	return n ? n : 1;
}

unsigned text_columns(const char *text)
{
	unsigned sum = 0, columns;

	for (; *text; sum += columns)
		text += character(text, &columns);
	return sum;
}

void text_cut(char *text, unsigned columns)
{
	unsigned dots = columns < 3 ? columns : 3, sum = 0, c;
	size_t at = 0, n;

	if (text_columns(text) <= columns)
		return;
	for (;; at += n, sum += c) {
		n = character(text + at, &c);
		if (sum + c > columns - dots)
			break;
	}
	/* What is cut off has at least as many bytes as the dots have. */
	memset(text + at, '.', dots);
	text[at + dots] = '\0';
}

/* Whether a character shows as itself and changes nothing around it. */
static bool is_plain(uint32_t r)
{
	static const uint32_t hidden[][2] = {
		{ 0x00, 0x1f }, { '\\', '\\' }, { 0x7f, 0x9f }, { 0xad, 0xad },
		{ 0x61c, 0x61c }, { 0x115f, 0x1160 }, { 0x17b4, 0x17b5 }, { 0x180b, 0x180f },
		{ 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0x3164, 0x3164 },
		{ 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xfffb },
		{ 0xe000, 0xf8ff }, { 0xe0000, 0x10ffff },
	};

	for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
		if (r >= hidden[i][0] && r <= hidden[i][1])
			return false;
	return true;
}

const char *text_escape(const void *bytes, size_t len, char *out, size_t cap)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *p = bytes;
	size_t at = 0, i = 0;

	if (cap < 4) {
		if (cap)
			*out = '\0';
		return out;
	}
	while (i < len) {
		uint32_t rune = 0;
		/* Nearly all there is is ASCII. */
		bool ascii = p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\';
		size_t n = ascii ? 1 : sequence(p + i, len - i, &rune);
		bool plain = ascii || (n && is_plain(rune));
		size_t width = plain ? n : 4;

		/* Room is kept for "..." unless this is the last character. */
		if (at + width + (i + (plain ? n : 1) < len ? 3 : 0) >= cap) {
			memcpy(out + at, "...", cap - at > 3 ? 3 : cap - at - 1);
			at += cap - at > 3 ? 3 : cap - at - 1;
			break;
		}
		if (ascii) {
			out[at] = (char)p[i++];
		} else if (plain) {
			memcpy(out + at, p + i, n);
			i += n;
		} else {
			const char esc[] = { '\\', 'x', hex[p[i] >> 4], hex[p[i] & 15] };

			memcpy(out + at, esc, 4);
			i++;
		}
		at += width;
	}
	out[at] = '\0';
	return out;
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

enum { WORD_MAX = 32 };

/* Edits that make a from b, with swaps of neighbours; words are short. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[WORD_MAX + 1][WORD_MAX + 1];
	size_t n = strnlen(a, WORD_MAX), m = strnlen(b, WORD_MAX);

	for (size_t i = 0; i <= n; i++) {
		for (size_t j = 0; j <= m; j++) {
			if (!i || !j) {
				rows[i][j] = (unsigned)(i + j);
				continue;
			}
			rows[i][j] = least(rows[i - 1][j] + 1, rows[i][j - 1] + 1,
				rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				rows[i][j] = least(rows[i][j], rows[i - 2][j - 2] + 1, rows[i][j]);
		}
	}
	return rows[n][m];
}

const char *text_nearest(const char *word, const char *const *names, size_t count)
{
	const char *best = NULL;
	size_t len = strnlen(word, WORD_MAX);
	unsigned bound = (unsigned)len / 3 + 1;

	for (size_t i = 0; len > 1 && i < count; i++)
		if (strncmp(word, names[i], len) == 0)
			return names[i]; /* A beginning is as good as a mistyped whole. */

	for (size_t i = 0; i < count; i++) {
		unsigned d = distance(word, names[i]);

		if (d < bound) {
			bound = d;
			best = names[i];
		}
	}
	return best;
}
