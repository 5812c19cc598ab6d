#include "unit.h"

#include <jansson.h>
#include <math.h>

#include "core/json.h"

static void is_text(struct buf *b, const char *wanted)
{
	assert_false(b->failed);
	assert_int_equal(b->len, strlen(wanted));
	assert_memory_equal(b->data, wanted, b->len);
	buf_fini(b);
}

static void structure(void **state)
{
	struct buf b = { .max = 4096 };
	struct json j = json_of(&b);

	(void)state;
	json_begin_object(&j, NULL);
	json_uint(&j, "a", 0);
	json_begin_array(&j, "b");
	json_uint(&j, NULL, UINT64_MAX);
	json_begin_object(&j, NULL);
	json_end(&j);
	json_begin_array(&j, NULL);
	json_end(&j);
	json_bool(&j, NULL, true);
	json_nil(&j, NULL);
	json_end(&j);
	json_bool(&j, "c", false);
	json_text(&j, "d", "");
	json_end(&j);
	is_text(&b, "{\"a\":0,\"b\":[18446744073709551615,{},[],true,null],\"c\":false,\"d\":\"\"}");
}

static void texts(void **state)
{
	static const struct {
		const char *text, *written;
	} rows[] = {
		{ "a/b", "\"a/b\"" },
		{ "\"\\", "\"\\\"\\\\\"" },
		{ "\t\r\n\x1b\x7f", "\"\\u0009\\u000d\\u000a\\u001b\\u007f\"" },
		{ "zürich 東京 😀", "\"zürich 東京 😀\"" },
		{ "\xff\xc0\xaf", "\"\\ufffd\\ufffd\\ufffd\"" },
		{ "a\xe2\x82", "\"a\\ufffd\\ufffd\"" },
		{ "\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"" },
		{ "<script>", "\"<script>\"" },
	};
	struct buf b = { .max = 4096 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct json j = json_of(&b);
		uint8_t *copy = unit_copy(rows[i].text, strlen(rows[i].text));

		json_bytes(&j, NULL, copy, strlen(rows[i].text));
		is_text(&b, rows[i].written);
		free(copy);
	}
}

static void reals(void **state)
{
	static const struct {
		double value;
		const char *written;
	} rows[] = {
		{ 0, "0" }, { 0.5, "0.5" }, { -1.25, "-1.25" }, { 1e300, "1e+300" }, { NAN, "null" },
		{ INFINITY, "null" }, { -INFINITY, "null" },
	};
	struct buf b = { .max = 4096 };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct json j = json_of(&b);

		json_number(&j, NULL, rows[i].value);
		is_text(&b, rows[i].written);
	}
}

/* Whatever bytes a peer sends, another reader takes it, and no control
 * character stands in it. */
static void any_bytes_are_read_by_another(void **state)
{
	struct buf b = { .max = 1 << 16 };
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct json j = json_of(&b);
		uint8_t bytes[64];
		size_t len = (size_t)round % sizeof bytes;
		json_t *read;

		for (size_t i = 0; i < len; i++) {
			seed = seed * 1103515245u + 12345;
			bytes[i] = (uint8_t)(seed >> 16);
		}
		json_begin_object(&j, NULL);
		json_bytes(&j, "a", bytes, len);
		json_uint(&j, "b", 7);
		json_end(&j);
		for (size_t i = 0; i < b.len; i++)
			assert_true((uint8_t)b.data[i] >= 0x20 && b.data[i] != 0x7f);
		read = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
		assert_non_null(read);
		assert_int_equal(json_integer_value(json_object_get(read, "b")), 7);
		json_decref(read);
		buf_fini(&b);
	}
}

static void a_bound_fails_it_once(void **state)
{
	struct buf b = { .max = 10 };
	struct json j = json_of(&b);

	(void)state;
	json_begin_object(&j, NULL);
	json_text(&j, "key", "a long value");
	json_end(&j);
	assert_true(b.failed);
	assert_true(b.len <= 10);
	buf_fini(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(structure),
		cmocka_unit_test(texts),
		cmocka_unit_test(reals),
		cmocka_unit_test(any_bytes_are_read_by_another),
		cmocka_unit_test(a_bound_fails_it_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
