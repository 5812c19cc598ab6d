#include "unit.h"

#include "core/tide.h"

enum { WORTH = TIDE_WORTH };

static unsigned ebbs;

static void on_ebb(struct tide *t)
{
	assert_ptr_equal(t->owner, &ebbs);
	ebbs++;
}

static void ebbing(void **unused)
{
	static const struct row {
		size_t level;
		unsigned ebbs;
	} rows[] = {
		{ WORTH - 1, 0 },
		{ 0, 0 },		/* it was not worth it */
		{ 8 * WORTH, 0 },
		{ 4 * WORTH + 1, 0 },
		{ 4 * WORTH, 1 },	/* half of it, */
		{ 4 * WORTH, 1 },	/* once */
		{ 5 * WORTH, 1 },
		{ 3 * WORTH, 1 },	/* the peak is 5 now */
		{ 2 * WORTH, 2 },
		{ WORTH, 3 },
		{ 0, 4 },
		{ 0, 4 },
		{ WORTH, 4 },
		{ 0, 5 },
	};
	struct tide t = { .on_ebb = on_ebb, .owner = &ebbs };

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		tide_at(&t, rows[i].level);
		assert_int_equal(ebbs, rows[i].ebbs);
	}
}

static void nobody_listens(void **unused)
{
	struct tide t = { 0 };

	(void)unused;
	tide_at(&t, SIZE_MAX);
	tide_at(&t, 0);
	assert_int_equal(t.peak, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ebbing),
		cmocka_unit_test(nobody_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
