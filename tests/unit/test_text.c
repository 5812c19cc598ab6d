#include "unit.h"

#include "core/text.h"

static void numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t min, max;
		int result;
		uint64_t value;
	} rows[] = {
		{ "0", 0, 10, 0, 0 },
		{ "10", 0, 10, 0, 10 },
		{ "11", 0, 10, -1, 0 },
		{ "4", 5, 10, -1, 0 },
		{ "", 0, 10, -1, 0 },
		{ "-1", 0, 10, -1, 0 },
		{ "+1", 0, 10, -1, 0 },
		{ " 1", 0, 10, -1, 0 },
		{ "1 ", 0, 10, -1, 0 },
		{ "0x1", 0, 10, -1, 0 },
		{ "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", 0, UINT64_MAX, -1, 0 },
		{ "99999999999999999999", 0, UINT64_MAX, -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t v = 77;

		assert_int_equal(text_uint(rows[i].text, rows[i].min, rows[i].max, &v), rows[i].result);
		assert_int_equal(v, rows[i].result ? 77 : rows[i].value);
	}
}

static void durations(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t ms;
	} rows[] = {
		{ "30s", 0, 30000 },
		{ "500ms", 0, 500 },
		{ "1m30s", 0, 90000 },
		{ "2h", 0, 7200000 },
		{ "1d", 0, 86400000 },
		{ "0", 0, 0 },
		{ "0s", 0, 0 },
		{ "365d", 0, 31536000000 },
		{ "366d", -2, 0 },
		{ "364d24h1ms", -2, 0 },
		{ "99999999999h", -2, 0 },
		{ "366d1", -1, 0 },
		{ "30", -1, 0 },
		{ "", -1, 0 },
		{ "s", -1, 0 },
		{ "-1s", -1, 0 },
		{ "1.5s", -1, 0 },
		{ "30 s", -1, 0 },
		{ "30sec", -1, 0 },
		{ "99999999999999999s", -2, 0 },
		{ "18446744073709551616ms", -2, 0 },
		{ "999999999999d", -2, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t v = 77;

		assert_int_equal(text_duration(rows[i].text, &v), rows[i].result);
		assert_int_equal(v, rows[i].result ? 77 : rows[i].ms);
	}
}

static void switches(void **state)
{
	bool v = false;

	(void)state;
	assert_int_equal(text_bool("TRUE", &v), 0);
	assert_true(v);
	assert_int_equal(text_bool("0", &v), 0);
	assert_false(v);
	assert_int_equal(text_bool("yes", &v), 0);
	assert_true(v);
	assert_int_equal(text_bool("2", &v), -1);
	assert_int_equal(text_bool("", &v), -1);
	assert_true(v);
}

static void sizes(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{ 0, "0 B" }, { 999, "999 B" }, { 1000, "1.0 kB" }, { 12345, "12 kB" },
		{ 999600, "1.0 MB" }, { 3400000, "3.4 MB" }, { UINT64_MAX, "18 EB" },
	};
	static const struct {
		uint64_t ms;
		const char *text;
	} times[] = {
		{ 0, "0ms" }, { 999, "999ms" }, { 4000, "4s" }, { 90000, "1m 30s" },
		{ 7500000, "2h 5m" }, { 273600000, "3d 4h" },
	};
	static const struct {
		uint64_t ms;
		const char *text;
	} periods[] = {
		{ 0, "0ms" }, { 500, "500ms" }, { 1000, "1s" }, { 1500, "1.5s" }, { 1001, "1.001s" },
		{ 30000, "30s" }, { 90500, "1m 30s" },
	};
	char out[32];

	(void)state;
	for (size_t i = 0; i < COUNT(periods); i++)
		assert_string_equal(text_period(periods[i].ms, out, sizeof out), periods[i].text);
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(text_size(rows[i].bytes, out, sizeof out), rows[i].text);
	for (size_t i = 0; i < COUNT(times); i++)
		assert_string_equal(text_elapsed(times[i].ms, out, sizeof out), times[i].text);
}

static void escapes(void **state)
{
	static const struct {
		const char *bytes, *shown;
	} rows[] = {
		{ "/api/users?x=1", "/api/users?x=1" },
		{ "zürich → 東京", "zürich → 東京" },
		{ "\033]0;owned\007", "\\x1b]0;owned\\x07" },
		{ "a\r\nb", "a\\x0d\\x0ab" },
		{ "\xe2\x80\xae" "abc", "\\xe2\\x80\\xaeabc" },	/* U+202E */
		{ "\xe2\x81\xa6", "\\xe2\\x81\\xa6" },		/* U+2066 */
		{ "\xc2\x9b" "31m", "\\xc2\\x9b31m" },		/* CSI as one character */
		{ "\x9b", "\\x9b" },
		{ "\xc0\xaf", "\\xc0\\xaf" },			/* overlong */
		{ "\xed\xa0\x80", "\\xed\\xa0\\x80" },		/* a surrogate */
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" },	/* beyond U+10FFFF */
		{ "\xe2\x82", "\\xe2\\x82" },			/* cut short */
		{ "a\\b", "a\\x5cb" },
		{ "\x7f", "\\x7f" },
	};
	char out[128];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t *copy = unit_copy(rows[i].bytes, strlen(rows[i].bytes));

		assert_string_equal(text_escape(copy, strlen(rows[i].bytes), out, sizeof out),
			rows[i].shown);
		free(copy);
	}
	assert_string_equal(text_escape("\0a", 2, out, sizeof out), "\\x00a");
}

static void escapes_within_bounds(void **state)
{
	static const char text[] = "abc\033def\xe2\x82\xac and so on and so on and so on";
	char out[64];

	(void)state;
	for (size_t cap = 0; cap < sizeof out; cap++) {
		memset(out, '#', sizeof out);
		text_escape(text, sizeof text - 1, out, cap);
		if (cap)
			assert_true(strlen(out) < cap);
		for (size_t i = cap; i < sizeof out; i++)
			assert_int_equal(out[i], '#');
		if (cap > 4 && cap < 40)
			assert_string_equal(out + strlen(out) - 3, "...");
	}
}

static void nearest(void **state)
{
	static const char *const names[] = { "server", "client", "gencert", "plaintext", "tls-ca" };
	static const struct {
		const char *word, *found;
	} rows[] = {
		{ "sever", "server" }, { "cleint", "client" }, { "gencrt", "gencert" },
		{ "plain", "plaintext" }, { "xyzzy", NULL }, { "", NULL }, { "s", NULL },
		{ "tls_ca", "tls-ca" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *found = text_nearest(rows[i].word, names, COUNT(names));

		if (rows[i].found)
			assert_string_equal(found, rows[i].found);
		else
			assert_null(found);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(durations),
		cmocka_unit_test(switches),
		cmocka_unit_test(sizes),
		cmocka_unit_test(escapes),
		cmocka_unit_test(escapes_within_bounds),
		cmocka_unit_test(nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
