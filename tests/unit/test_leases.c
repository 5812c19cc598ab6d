#include "unit.h"

#include "server/leases.h"

enum { UNTIL = 1000 };

static struct portpool pool, other;
static struct portpool_identity ann, bob;

static int prepare(void **state)
{
	static const unsigned char one[16] = { 1 }, two[16] = { 2 };

	(void)state;
	portpool_identify(&ann, "default", "laptop:3000", one);
	portpool_identify(&bob, "default", "laptop:3000", two);
	return portpool_init(&pool, 10000, 10009) + portpool_init(&other, 10000, 10009);
}

static int clean(void **state)
{
	(void)state;
	portpool_fini(&pool);
	portpool_fini(&other);
	return 0;
}

static struct buf encoded(void)
{
	struct buf b = { .max = 1 << 20 };

	portpool_use(&pool, 10001, &ann);
	portpool_use(&pool, 10005, &bob);
	portpool_use(&pool, 10006, &bob);
	portpool_release(&pool, 10006, 500);	/* a lease that lasts */
	portpool_use(&pool, 10007, &bob);
	portpool_release(&pool, 10007, 50);	/* one that is over */
	portpool_use(&pool, 10008, &bob);
	portpool_release(&pool, 10008, 0);	/* given back */
	leases_encode(&pool, 100, &b);
	assert_false(b.failed);
	return b;
}

static void there_and_back(void **state)
{
	struct buf b = encoded();

	(void)state;
	assert_int_equal(leases_decode(&other, b.data, b.len, UNTIL), 3);
	assert_memory_equal(portpool_owner(&other, 10001, 0), &ann, sizeof ann);
	assert_memory_equal(portpool_owner(&other, 10005, 0), &bob, sizeof bob);
	assert_memory_equal(portpool_owner(&other, 10006, 0), &bob, sizeof bob);
	for (uint16_t port = 10000; port < 10010; port++)
		if (port != 10001 && port != 10005 && port != 10006)
			assert_null(portpool_owner(&other, port, 0));
	/* Kept for their owners, and not for ever. */
	assert_int_equal(portpool_kept_us(&other, 10001, &ann, 0), 0);
	assert_int_equal(portpool_kept_us(&other, 10001, &bob, 0), UNTIL);
	assert_null(portpool_owner(&other, 10001, UNTIL));
	buf_fini(&b);
}

static void cut_anywhere(void **state)
{
	struct buf b = encoded();
	size_t record = (b.len - 18) / 3;

	(void)state;
	for (size_t len = 0; len <= b.len; len++) {
		uint8_t *copy = unit_copy(b.data, len);
		int want = len < 18 ? -1 : (int)((len - 18) / record);

		assert_int_equal(leases_decode(&other, copy, len, UNTIL), want);
		free(copy);
	}
	buf_fini(&b);
}

static void each_wrong_byte_costs_one_record(void **state)
{
	struct buf b = encoded();

	(void)state;
	for (size_t at = 0; at < b.len; at++) {
		b.data[at] ^= 0x40;
		assert_int_equal(leases_decode(&other, b.data, b.len, UNTIL), at < 18 ? -1 : 2);
		b.data[at] ^= 0x40;
	}
	buf_fini(&b);
}

static void ports_outside_the_range_are_left_out(void **state)
{
	struct buf b = encoded();
	struct portpool small;

	(void)state;
	assert_int_equal(portpool_init(&small, 10004, 10005), 0);
	assert_int_equal(leases_decode(&small, b.data, b.len, UNTIL), 1);
	portpool_fini(&small);
	buf_fini(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(there_and_back, prepare, clean),
		cmocka_unit_test_setup_teardown(cut_anywhere, prepare, clean),
		cmocka_unit_test_setup_teardown(each_wrong_byte_costs_one_record, prepare, clean),
		cmocka_unit_test_setup_teardown(ports_outside_the_range_are_left_out, prepare, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
