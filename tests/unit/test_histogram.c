#include "unit.h"

#include "core/histogram.h"

static struct histogram h, other;

static uint64_t state64 = 88172645463325252u;

/* xorshift64 */
static uint64_t any(void)
{
	state64 ^= state64 << 13;
	state64 ^= state64 >> 7;
	state64 ^= state64 << 17;
	return state64;
}

/* As many small ones as large ones. */
static uint64_t any_duration(void)
{
	return any() % (1ull << any() % 33);
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void is_near(uint64_t value, uint64_t wanted)
{
	uint64_t off = value > wanted ? value - wanted : wanted - value;

	if (off * 100 > wanted)
		fail_msg("%llu is not within 1 %% of %llu", (unsigned long long)value,
			(unsigned long long)wanted);
}

/* A value between two others, so that the exact ends do not help. */
static void error_over_the_whole_range(void **state)
{
	(void)state;
	for (uint64_t v = 1; v <= HISTOGRAM_MOST; v += v / 97 + 1) {
		memset(&h, 0, sizeof h);
		histogram_add(&h, 0);
		histogram_add(&h, v);
		histogram_add(&h, HISTOGRAM_MOST);
		is_near(histogram_quantile(&h, 0.5), v);
	}
	for (unsigned bit = 0; bit < 32; bit++) {
		for (int off = -1; off <= 1; off++) {
			uint64_t v = (1ull << bit) + (uint64_t)off;

			if (v > HISTOGRAM_MOST)
				continue;
			memset(&h, 0, sizeof h);
			histogram_add(&h, 0);
			histogram_add(&h, v);
			histogram_add(&h, HISTOGRAM_MOST);
			is_near(histogram_quantile(&h, 0.5), v);
		}
	}
}

static void quantiles_of_a_sorted_array(void **state)
{
	static const double qs[] = { 0, 0.001, 0.1, 0.25, 0.5, 0.9, 0.99, 0.999, 1 };
	static uint64_t values[20000];

	(void)state;
	for (int round = 0; round < 5; round++) {
		size_t n = COUNT(values) >> (round * 3);
		uint64_t sum = 0;

		memset(&h, 0, sizeof h);
		for (size_t i = 0; i < n; i++) {
			values[i] = any_duration() % (HISTOGRAM_MOST + 1);
			sum += values[i];
			histogram_add(&h, values[i]);
		}
		qsort(values, n, sizeof *values, compare);
		for (size_t i = 0; i < COUNT(qs); i++) {
			double wanted = qs[i] * (double)n;
			size_t rank = (size_t)wanted;

			rank += (double)rank < wanted;
			is_near(histogram_quantile(&h, qs[i]), values[rank ? rank - 1 : 0]);
		}
		assert_int_equal(h.count, n);
		assert_int_equal(h.least, values[0]);
		assert_int_equal(h.most, values[n - 1]);
		assert_int_equal(histogram_mean(&h), sum / n);
	}
}

static void merge_is_adding_all(void **state)
{
	static struct histogram all, empty;

	(void)state;
	memset(&h, 0, sizeof h);
	memset(&other, 0, sizeof other);
	histogram_merge(&h, &empty);
	assert_memory_equal(&h, &empty, sizeof h);
	for (int i = 0; i < 10000; i++) {
		uint64_t v = any_duration();

		histogram_add(i % 3 ? &h : &other, v);
		histogram_add(&all, v);
	}
	histogram_merge(&h, &other);
	assert_memory_equal(&h, &all, sizeof h);
	histogram_merge(&empty, &h);
	assert_memory_equal(&empty, &all, sizeof h);
	histogram_merge(&h, &(struct histogram){ 0 });
	assert_memory_equal(&h, &all, sizeof h);
}

static void at_its_ends(void **state)
{
	(void)state;
	memset(&h, 0, sizeof h);
	assert_int_equal(histogram_quantile(&h, 0.5), 0);
	assert_int_equal(histogram_mean(&h), 0);
	assert_int_equal(histogram_below(&h, HISTOGRAM_MOST), 0);
	histogram_add(&h, UINT64_MAX);
	assert_int_equal(h.most, HISTOGRAM_MOST);
	assert_int_equal(histogram_quantile(&h, 0), HISTOGRAM_MOST);
	assert_int_equal(histogram_quantile(&h, 1), HISTOGRAM_MOST);
	histogram_add(&h, 0);
	assert_int_equal(histogram_quantile(&h, 0), 0);
	assert_int_equal(h.least, 0);
}

static void how_many_are_below(void **state)
{
	(void)state;
	memset(&h, 0, sizeof h);
	for (uint64_t v = 1; v <= 1000; v++)
		histogram_add(&h, v * 1000);
	assert_int_equal(histogram_below(&h, 0), 0);
	for (uint64_t bound = 1; bound <= 1000; bound++) {
		uint64_t n = histogram_below(&h, bound * 1000);

		/* The slot of the bound counts as a whole. */
		assert_in_range(n, bound, bound + bound / 64 + 1);
	}
	assert_int_equal(histogram_below(&h, UINT64_MAX), 1000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(error_over_the_whole_range),
		cmocka_unit_test(quantiles_of_a_sorted_array),
		cmocka_unit_test(merge_is_adding_all),
		cmocka_unit_test(at_its_ends),
		cmocka_unit_test(how_many_are_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
