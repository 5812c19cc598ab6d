#include "unit.h"

#include "core/rate.h"

enum { S = 1000 * 1000 };

/* Ten a second for so long. */
static uint64_t feed(struct rate *r, uint64_t from_us, unsigned seconds)
{
	uint64_t now = from_us;

	for (unsigned i = 0; i < 10 * seconds; i++, now += S / 10)
		rate_add(r, now);
	return now;
}

static void approaches_what_happens(void **state)
{
	static const struct {
		unsigned seconds;
		double least[3], most[3];
	} rows[] = {
		/* 1 - exp(-t / window) of 10 */
		{ 60, { 6.1, 1.6, 0.5 }, { 6.5, 2.0, 0.8 } },
		{ 300, { 9.8, 6.1, 2.6 }, { 10.1, 6.5, 3.0 } },
		{ 3600, { 9.9, 9.9, 9.7 }, { 10.1, 10.1, 10.1 } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct rate r = { 0 };
		uint64_t now = feed(&r, S, rows[i].seconds);

		for (unsigned w = 0; w < RATE_COUNT; w++) {
			assert_true(rate_get(&r, w, now) > rows[i].least[w]);
			assert_true(rate_get(&r, w, now) < rows[i].most[w]);
		}
	}
}

static void fades(void **state)
{
	struct rate r = { 0 };
	uint64_t now = feed(&r, S, 600);
	double before = rate_get(&r, RATE_1, now);

	(void)state;
	assert_true(rate_get(&r, RATE_1, now + 60ull * S) < before / 2.6);
	assert_true(rate_get(&r, RATE_1, now + 3600ull * S) < 0.001);
	/* Asking changes nothing. */
	assert_true(rate_get(&r, RATE_1, now) == before);
}

static void empty_is_zero(void **state)
{
	struct rate r = { 0 };

	(void)state;
	assert_true(rate_get(&r, RATE_15, 0) == 0);
	rate_add(&r, 5);
	assert_true(rate_get(&r, RATE_15, 5) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(approaches_what_happens),
		cmocka_unit_test(fades),
		cmocka_unit_test(empty_is_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
