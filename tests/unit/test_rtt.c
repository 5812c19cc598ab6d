#include "unit.h"

#include "mux/rtt.h"

enum { S = 1000 * 1000 };

static void the_smallest_of_late(void **unused)
{
	static const struct {
		const char *why;
		uint64_t at_us[4], sample_us[4]; /* in a row, until one is at 0 */
		uint64_t wanted_us;
	} rows[] = {
		{ "none", { 0 }, { 0 }, 0 },
		{ "one", { S }, { 300 }, 300 },
		{ "the clock was too coarse", { S }, { 0 }, 1 },
		{ "a smaller one", { S, 2 * S }, { 300, 200 }, 200 },
		{ "a larger one", { S, 2 * S }, { 200, 300 }, 200 },
		{ "a span ago", { S, 12 * S }, { 200, 300 }, 200 },
		{ "two spans ago", { S, 12 * S, 23 * S }, { 200, 300, 400 }, 300 },
		{ "before a silence", { S, 100 * S }, { 200, 300 }, 300 },
		{ "smaller than that of a span ago", { S, 12 * S, 13 * S }, { 200, 300, 100 }, 100 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct rtt r = { 0 };

		for (size_t k = 0; k < 4 && rows[i].at_us[k]; k++)
			rtt_add(&r, rows[i].sample_us[k], rows[i].at_us[k]);
		if (rtt_smallest(&r) != rows[i].wanted_us)
			fail_msg("%s: %llu", rows[i].why, (unsigned long long)rtt_smallest(&r));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_of_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
