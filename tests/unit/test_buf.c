#include "unit.h"

#include "core/buf.h"

static void is_text(const struct buf *b, const char *wanted)
{
	assert_int_equal(b->len, strlen(wanted));
	assert_memory_equal(b->data, wanted, b->len);
}

static void grows(void **state)
{
	struct buf b = { .max = 1 << 20 };

	(void)state;
	buf_add(&b, "", 0);
	assert_null(b.data);
	buf_text(&b, "a");
	buf_format(&b, "%d-%s", 12, "b");
	buf_add(&b, "\0c", 2);
	assert_int_equal(b.len, 7);
	assert_memory_equal(b.data, "a12-b\0c", 7);
	for (int i = 0; i < 10000; i++)
		buf_format(&b, "%c", 'a' + i % 26);
	assert_int_equal(b.len, 10007);
	for (size_t i = 0; i < 10000; i++)
		assert_int_equal(b.data[7 + i], 'a' + i % 26);
	assert_false(b.failed);
	buf_fini(&b);
	assert_int_equal(b.len, 0);
	assert_int_equal(b.max, 1 << 20);
	buf_text(&b, "again");
	is_text(&b, "again");
	buf_fini(&b);
}

/* Around the 256 bytes that a format tries first, and around a growth. */
static void long_formats(void **state)
{
	char text[600];

	(void)state;
	for (size_t len = 250; len < sizeof text; len++) {
		struct buf b = { .max = 4096 };

		memset(text, 'x', len);
		text[len] = '\0';
		buf_format(&b, "%s", text);
		assert_false(b.failed);
		is_text(&b, text);
		buf_fini(&b);
	}
}

static void stays_failed_at_the_bound(void **state)
{
	struct buf b = { .max = 8 };

	(void)state;
	buf_text(&b, "12345678");
	assert_false(b.failed);
	buf_add(&b, "", 0);
	assert_false(b.failed);
	buf_text(&b, "9");
	assert_true(b.failed);
	is_text(&b, "12345678");
	buf_fini(&b);

	buf_text(&b, "1234567");
	buf_format(&b, "%d", 89);
	assert_true(b.failed);
	/* What would fit does not come after what did not. */
	buf_text(&b, "8");
	is_text(&b, "1234567");
	buf_fini(&b);
	assert_false(b.failed);

	buf_add(&b, "x", SIZE_MAX);
	assert_true(b.failed);
	buf_fini(&b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows),
		cmocka_unit_test(long_formats),
		cmocka_unit_test(stays_failed_at_the_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
