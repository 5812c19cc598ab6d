#include "unit.h"

#include "core/budget.h"

static unsigned highs, rooms;

static void on_high(struct budget *b)
{
	assert_true(b->used >= b->most / 4 * 3);
	highs++;
}

static void on_room(struct budget *b)
{
	assert_true(b->used < b->most / 8 * 7);
	rooms++;
}

static void levels(void **unused)
{
	static const struct row {
		long change;
		unsigned highs, rooms;
		bool is_high, is_full;
	} rows[] = {
		{ 599, 0, 0, false, false },
		{ 1, 1, 0, true, false },	/* three quarters */
		{ 100, 1, 0, true, false },
		{ -101, 1, 0, false, false },
		{ 1, 2, 0, true, false },	/* and again */
		{ 199, 2, 0, true, false },
		{ 1, 2, 0, true, true },	/* all of it */
		{ 500, 2, 0, true, true },	/* floors may exceed it */
		{ -600, 2, 0, true, true },
		{ -1, 2, 1, true, false },	/* below seven eighths */
		{ -699, 2, 1, false, false },
		{ 800, 3, 1, true, true },
		{ -800, 3, 2, false, false },
	};
	struct budget b = { .most = 800, .on_high = on_high, .on_room = on_room };
	size_t used = 0;

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].change > 0)
			budget_take(&b, (size_t)rows[i].change);
		else
			budget_give(&b, (size_t)-rows[i].change);
		used += (size_t)rows[i].change;
		assert_int_equal(b.used, used);
		assert_int_equal(highs, rows[i].highs);
		assert_int_equal(rooms, rows[i].rooms);
		assert_int_equal(b.is_high, rows[i].is_high);
		assert_int_equal(b.is_full, rows[i].is_full);
	}
}

static void without_a_limit(void **unused)
{
	struct budget b = { 0 };

	(void)unused;
	budget_take(&b, SIZE_MAX / 2);
	assert_false(b.is_full || b.is_high);
	budget_give(&b, SIZE_MAX / 2);
	assert_int_equal(b.used, 0);
}

static unsigned ebbs;

static void on_ebb(struct tide *t)
{
	(void)t;
	ebbs++;
}

static void its_tide(void **unused)
{
	struct budget b = { .tide.on_ebb = on_ebb };

	(void)unused;
	budget_take(&b, 2 * (size_t)TIDE_WORTH);
	budget_take(&b, 2 * (size_t)TIDE_WORTH);
	budget_give(&b, TIDE_WORTH);
	assert_int_equal(ebbs, 0);
	budget_give(&b, TIDE_WORTH);
	assert_int_equal(ebbs, 1);
}

/* --- several that share one limit ------------------------------------------- */

static unsigned crosses, shared_highs, shared_rooms;

static void on_cross(struct budget_total *t)
{
	(void)t;
	crosses++;
}

static void on_shared_high(struct budget *b)
{
	(void)b;
	shared_highs++;
}

static void on_shared_room(struct budget *b)
{
	(void)b;
	shared_rooms++;
}

static void shared(void **unused)
{
	struct budget_total total = { .on_cross = on_cross };
	struct budget a = { .most = 800, .on_high = on_shared_high, .on_room = on_shared_room,
		.total = &total };
	struct budget b = a;

	(void)unused;
	budget_take(&a, 500);
	budget_take(&b, 99);
	assert_int_equal(crosses, 0);
	budget_take(&b, 1); /* Three quarters of the sum: b sees it itself. */
	assert_int_equal(crosses, 1);
	assert_true(b.is_high && !a.is_high);
	assert_int_equal(shared_highs, 1);
	budget_look(&a); /* a learns it by looking. */
	assert_true(a.is_high);
	assert_int_equal(shared_highs, 2);
	budget_take(&a, 200);
	assert_true(a.is_full && !b.is_full);
	assert_int_equal(budget_used(&b), 800);
	assert_int_equal(b.used, 100);
	assert_int_equal(crosses, 1);
	budget_give(&b, 100); /* Still seven eighths: no room. */
	assert_int_equal(crosses, 1);
	budget_take(&b, 100);
	budget_look(&b);
	budget_give(&a, 100);
	budget_take(&a, 100);
	assert_true(a.is_full);
	budget_give(&b, 100);
	budget_take(&b, 1);
	budget_give(&b, 1);
	assert_int_equal(crosses, 1);
	budget_take(&b, 10);
	budget_give(&b, 10);
	assert_int_equal(shared_rooms, 0);
	budget_take(&b, 50);
	budget_give(&a, 51); /* a gives itself room, and b hears of it. */
	assert_int_equal(crosses, 2);
	assert_int_equal(shared_rooms, 1);
	assert_false(a.is_full);
	budget_give(&a, 649);
	budget_give(&b, 50);
	budget_look(&b);
	assert_false(a.is_high || b.is_high || b.is_full);
	assert_int_equal(total.used, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shared),
		cmocka_unit_test(levels),
		cmocka_unit_test(without_a_limit),
		cmocka_unit_test(its_tide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
