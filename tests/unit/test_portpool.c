#include "unit.h"

#include "server/portpool.h"

static struct portpool pool;
static struct portpool_identity ann, bob;

static int prepare(void **state)
{
	static const unsigned char one[16] = { 1 }, two[16] = { 2 };

	(void)state;
	portpool_identify(&ann, "default", "laptop:3000", one);
	portpool_identify(&bob, "default", "laptop:3000", two);
	return portpool_init(&pool, 10000, 10003);
}

static int clean(void **state)
{
	(void)state;
	portpool_fini(&pool);
	return 0;
}

/* The order for `who`, as digits of the last place. */
static const char *order(const struct portpool_identity *who, uint64_t now)
{
	static char text[8];
	uint32_t cursor = 0;
	uint16_t port;
	size_t n = 0;

	while ((port = portpool_next(&pool, who, now, &cursor)))
		text[n++] = (char)('0' + port - 10000);
	text[n] = '\0';
	return text;
}

static void lowest_free_first(void **state)
{
	(void)state;
	assert_string_equal(order(&ann, 0), "0123");
	portpool_use(&pool, 10000, &ann);
	portpool_use(&pool, 10002, &bob);
	assert_string_equal(order(&ann, 0), "13");
	portpool_release(&pool, 10000, 0);
	assert_string_equal(order(&bob, 0), "013");
}

static void leases(void **state)
{
	(void)state;
	portpool_use(&pool, 10001, &ann);
	portpool_release(&pool, 10001, 1000);
	/* Its owner finds it first, another only when nothing else is left. */
	assert_string_equal(order(&ann, 500), "1023");
	assert_string_equal(order(&bob, 500), "0231");
	assert_int_equal(portpool_kept_us(&pool, 10001, &ann, 500), 0);
	assert_int_equal(portpool_kept_us(&pool, 10001, &bob, 500), 500);
	/* A lease that is over is one no more. */
	assert_string_equal(order(&bob, 1000), "0123");
	assert_int_equal(portpool_kept_us(&pool, 10001, &bob, 1000), 0);
}

static void used_ports(void **state)
{
	(void)state;
	portpool_use(&pool, 10001, &ann);
	assert_true(portpool_kept_us(&pool, 10001, &ann, 0) == UINT64_MAX);
	assert_true(portpool_kept_us(&pool, 10001, &bob, 0) == UINT64_MAX);
	assert_true(portpool_has(&pool, 10003));
	assert_false(portpool_has(&pool, 10004));
	assert_false(portpool_has(&pool, 9999));
	assert_false(portpool_has(&pool, 0));
}

/* The parts of an identity do not run into each other. */
static void identities(void **state)
{
	static const unsigned char instance[16] = { 0 };
	struct portpool_identity a, b;

	(void)state;
	portpool_identify(&a, "ab", "c", instance);
	portpool_identify(&b, "a", "bc", instance);
	assert_memory_not_equal(&a, &b, sizeof a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lowest_free_first, prepare, clean),
		cmocka_unit_test_setup_teardown(leases, prepare, clean),
		cmocka_unit_test_setup_teardown(used_ports, prepare, clean),
		cmocka_unit_test(identities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
