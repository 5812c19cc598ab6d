#include "unit.h"

#include "core/chunk.h"

static void what_is_held_is_counted(void **unused)
{
	struct chunk_pool pool = { 0 };
	struct chunk *a = chunk_take(&pool, 100), *b = chunk_take(&pool, 70000);

	(void)unused;
	assert_non_null(a);
	assert_non_null(b);
	assert_true(a->cap >= 100 && b->cap >= 70000);
	assert_int_equal(pool.used, chunk_size(a) + chunk_size(b));
	assert_ptr_equal(chunk_hold(a), a);
	chunk_drop(a);
	assert_int_equal(pool.used, chunk_size(a) + chunk_size(b));
	chunk_drop(a);
	assert_int_equal(pool.used, chunk_size(b));
	chunk_drop(b);
	chunk_drop(NULL);
	assert_int_equal(pool.used, 0);
	chunk_pool_trim(&pool);
}

/* No chunk costs more than double what was asked for, and large ones are used
 * again, but not all stay. */
static void sizes(void **unused)
{
	static const size_t wanted[] = { 1, 64, 4096, 8192, 16394, 16448, 16449, 40000, 65546,
		65600, 65601, 131082, 262154, 262208, 262209, 1048586 };
	struct chunk_pool pool = { 0 };

	(void)unused;
	for (size_t i = 0; i < COUNT(wanted); i++) {
		struct chunk *c = chunk_take(&pool, wanted[i]);

		assert_non_null(c);
		assert_true(c->cap >= wanted[i] && c->cap <= 2 * wanted[i] + 64);
		memset(c->data, 1, c->cap);
		chunk_drop(c);
	}
	assert_int_equal(pool.used, 0);
	chunk_pool_trim(&pool);
}

static unsigned spares(const struct chunk_pool *pool)
{
	unsigned n = 0;

	for (size_t i = 0; i < COUNT(pool->spares); i++)
		n += pool->spares[i];
	return n;
}

/* Whatever size the frames of a bulk have: none falls between two classes. */
static void every_large_size_is_used_again(void **unused)
{
	struct chunk_pool pool = { 0 };

	(void)unused;
	for (size_t n = 8 * 1024 + 64; n <= 256 * 1024 + 64; n += 1000) {
		struct chunk *c = chunk_take(&pool, n);

		assert_non_null(c);
		chunk_drop(c);
		assert_int_equal(spares(&pool), 1);
		assert_ptr_equal(chunk_take(&pool, n), c);
		chunk_drop(c);
		chunk_pool_trim(&pool);
	}
}

static void a_spare_one_is_taken_first(void **unused)
{
	struct chunk_pool pool = { 0 };
	struct chunk *all[40], *again;
	unsigned kept;

	(void)unused;
	for (size_t i = 0; i < COUNT(all); i++)
		assert_non_null(all[i] = chunk_take(&pool, 65546));
	for (size_t i = 0; i < COUNT(all); i++)
		chunk_drop(all[i]);
	kept = spares(&pool);
	assert_true(kept > 0 && kept < COUNT(all));
	again = chunk_take(&pool, 65546);
	assert_ptr_equal(again, all[kept - 1]);
	assert_int_equal(again->len, 0);
	assert_int_equal(again->refs, 1);
	chunk_drop(again);
	chunk_pool_trim(&pool);
	assert_int_equal(spares(&pool), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_held_is_counted),
		cmocka_unit_test(sizes),
		cmocka_unit_test(every_large_size_is_used_again),
		cmocka_unit_test(a_spare_one_is_taken_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
