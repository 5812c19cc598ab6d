#include "unit.h"

#include "core/map.h"

/* Against an array that cannot be wrong. */
static void as_an_array(void **state)
{
	enum { KEYS = 300, STEPS = 60000 };
	static void *naive[KEYS];
	static char things[KEYS];
	struct map m = { 0 };
	uint64_t rng = 88172645463325252u;
	size_t len = 0;

	(void)state;
	for (int i = 0; i < STEPS; i++) {
		uint32_t k, key;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		k = (uint32_t)(rng >> 20) % KEYS;
		key = k * 0x10001u; /* Some collide, some do not. */
		if (rng & 1) {
			assert_int_equal(map_put(&m, key, &things[k]), 0);
			len += !naive[k];
			naive[k] = &things[k];
		} else {
			assert_ptr_equal(map_remove(&m, key), naive[k]);
			len -= naive[k] != NULL;
			naive[k] = NULL;
		}
		assert_int_equal(m.len, len);
		if (i % 64)
			continue;
		for (uint32_t j = 0; j < KEYS; j++)
			assert_ptr_equal(map_get(&m, j * 0x10001u), naive[j]);
	}
	map_fini(&m);
}

static void walks_over_all(void **state)
{
	struct map m = { 0 };
	char thing;
	size_t at = 0, n = 0;

	(void)state;
	assert_null(map_get(&m, 1));
	assert_null(map_remove(&m, 1));
	for (uint32_t k = 0; k < 1000; k++)
		assert_int_equal(map_put(&m, k, &thing), 0);
	while (map_next(&m, &at))
		n++;
	assert_int_equal(n, 1000);
	for (uint32_t k = 0; k < 1000; k++)
		map_remove(&m, k);
	assert_null(m.slots); /* Empty, it holds no memory. */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_an_array),
		cmocka_unit_test(walks_over_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
