#include "unit.h"

#include <ctype.h>

#include "vectors.h"

static void heads(void **state)
{
	static const struct {
		uint8_t bytes[FRAME_HEAD];
		struct frame f;
	} rows[] = {
		{ { 1, 0x11, 0, 0, 0, 1, 0, 4, 0, 0 }, { 1, FRAME_STREAM_DATA, 1, 262144 } },
		{ { 1, 0x08, 0, 0, 0, 0, 0, 0, 0, 9 }, { 1, FRAME_HEARTBEAT, 0, 9 } },
		{ { 1, 0x14, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
			{ 1, FRAME_STREAM_CREDIT, UINT32_MAX, UINT32_MAX } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct frame f = frame_get(rows[i].bytes);
		uint8_t out[FRAME_HEAD];

		assert_int_equal(f.version, rows[i].f.version);
		assert_int_equal(f.type, rows[i].f.type);
		assert_int_equal(f.stream, rows[i].f.stream);
		assert_int_equal(f.len, rows[i].f.len);
		frame_put(out, f.type, f.stream, f.len);
		assert_memory_equal(out, rows[i].bytes, FRAME_HEAD);
	}
	assert_string_equal(frame_name(FRAME_STREAM_RESET), "STREAM_RESET");
	assert_string_equal(frame_name(0xee), "unknown");
}

/* Decodes a payload that lies at the end of its block. */
static size_t again(uint8_t type, uint32_t stream, const uint8_t *payload, size_t len, uint8_t *out)
{
	struct frame f = { FRAME_VERSION, type, stream, (uint32_t)len };
	uint8_t *copy = unit_copy(payload, len);
	size_t n = vector_again(&f, copy, out, VECTOR_MAX);

	free(copy);
	return n;
}

/* Every good frame is itself again; cut anywhere, or longer, it is refused.
 * AUTH of a bearer, and lists that end where the frame does, may be shorter. */
static void every_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		uint8_t frame[VECTOR_MAX + 1], out[VECTOR_MAX];
		size_t len = vectors[i].make(frame, VECTOR_MAX);
		struct frame f = frame_get(frame);

		assert_true(len > FRAME_HEAD && f.len == len - FRAME_HEAD);
		if (f.type == FRAME_STREAM_DATA)
			continue;
		assert_int_equal(again(f.type, f.stream, frame + FRAME_HEAD, f.len, out), len);
		assert_memory_equal(out, frame, len);
		for (size_t cut = 0; cut < f.len; cut++) {
			size_t n = again(f.type, f.stream, frame + FRAME_HEAD, cut, out);
			bool whole_entries = f.type == FRAME_STATE && cut >= STATE_FIXED &&
				(cut - STATE_FIXED) % STATE_ENTRY == 0;

			if ((n != 0) != whole_entries)
				fail_msg("%s cut at %zu of %u", vectors[i].name, cut, f.len);
		}
		frame[len] = 0;
		assert_int_equal(again(f.type, f.stream, frame + FRAME_HEAD, f.len + 1, out), 0);
	}
}

/* An encoder never writes beyond its room, and says 0 when it is too small. */
static void every_room(void **state)
{
	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		uint8_t frame[VECTOR_MAX];
		size_t len = vectors[i].make(frame, sizeof frame);

		for (size_t cap = 0; cap < len; cap++) {
			uint8_t *small = malloc(cap ? cap : 1);

			assert_non_null(small);
			assert_int_equal(vectors[i].make(small, cap), 0);
			free(small);
		}
	}
}

static void every_type_has_a_vector(void **state)
{
	static const uint8_t types[] = {
#define X(name, number) number,
		FRAME_LIST(X)
#undef X
	};

	(void)state;
	for (size_t t = 0; t < COUNT(types); t++) {
		size_t found = types[t] == FRAME_DATAGRAM; /* Not used yet. */

		for (size_t i = 0; i < VECTORS; i++) {
			uint8_t frame[VECTOR_MAX];

			vectors[i].make(frame, sizeof frame);
			found += frame_get(frame).type == types[t];
		}
		if (!found)
			fail_msg("no vector for %s", frame_name(types[t]));
	}
}

/* --- the manual ---------------------------------------------------------------- */

static char *read_page(void)
{
	FILE *f = fopen(getenv("GOTUNNEL_PROTOCOL_PAGE"), "r");
	char *text = calloc(1, 1 << 18);

	assert_non_null(f);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 18) - 1, f) > 0);
	fclose(f);
	return text;
}

/* The bytes behind "NAME: " in the page's list of vectors. */
static size_t read_vector(const char *page, const char *name, uint8_t *out)
{
	char line[96];
	const char *p;
	size_t n = 0;
	unsigned byte;

	snprintf(line, sizeof line, "\n\t%s: ", name);
	p = strstr(page, line);
	if (!p)
		fail_msg("gotunnel-protocol(7) has no vector %s", name);
	for (p += strlen(line); *p != '\n' && n < VECTOR_MAX; p += 2) {
		assert_int_equal(sscanf(p, "%2x", &byte), 1);
		out[n++] = (uint8_t)byte;
	}
	return n;
}

static void page_has_the_vectors(void **state)
{
	char *page = read_page();

	(void)state;
	for (size_t i = 0; i < VECTORS; i++) {
		uint8_t want[VECTOR_MAX], have[VECTOR_MAX];
		size_t len = vectors[i].make(want, sizeof want);

		assert_int_equal(read_vector(page, vectors[i].name, have), len);
		assert_memory_equal(have, want, len);
	}
	free(page);
}

static void page_names_types_and_codes(void **state)
{
	char *page = read_page();
	char row[96];

	(void)state;
#define X(name, number)                                                        \
	snprintf(row, sizeof row, "|  0x%02X\n:  %s\n", number, #name);            \
	if (!strstr(page, row))                                                \
		fail_msg("gotunnel-protocol(7) lacks the row of %s", #name);
	FRAME_LIST(X)
#undef X
#define X(name, number, text)                                                  \
	snprintf(row, sizeof row, "|  %d\n:  %s\n", number, text);                 \
	if (!strstr(page, row))                                                \
		fail_msg("gotunnel-protocol(7) lacks the code %s", #name);
	CODE_LIST(X)
#undef X
	free(page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads),
		cmocka_unit_test(every_cut),
		cmocka_unit_test(every_room),
		cmocka_unit_test(every_type_has_a_vector),
		cmocka_unit_test(page_has_the_vectors),
		cmocka_unit_test(page_names_types_and_codes),
	};

	if (getenv("PRINT_VECTORS")) {
		for (size_t i = 0; i < VECTORS; i++) {
			uint8_t frame[VECTOR_MAX];
			size_t len = vectors[i].make(frame, sizeof frame);

			printf("\t%s: ", vectors[i].name);
			for (size_t k = 0; k < len; k++)
				printf("%02x", frame[k]);
			puts("");
		}
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
