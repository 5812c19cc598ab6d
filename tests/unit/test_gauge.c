#include "unit.h"

#include "mux/gauge.h"

enum { KIB = 1024, MS = 1000, CAP = 64 * KIB };

#define S UINT64_C(1000000)

static struct gauge g;

static void sent(uint64_t n, uint64_t now_us)
{
	gauge_sent(&g, n, CAP, now_us);
}

static void rate_and_round_trip_are_measured(void **unused)
{
	static const struct {
		uint64_t bytes, us, rate;
	} rows[] = {
		{ 50000, 10000, 5000000 },
		{ 50000, 500000, 100000 },
		{ 64000, 20, UINT64_C(3200000000) },
		{ 20000, 1, UINT64_C(20000000000) },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		gauge_init(&g);
		sent(rows[i].bytes, S);
		gauge_acked(&g, rows[i].bytes, S + rows[i].us);
		assert_int_equal(g.min_rtt_us, rows[i].us);
		assert_int_equal(g.rate, rows[i].rate);
		gauge_fini(&g);
		gauge_fini(&g);
	}
}

/* What a HEARTBEAT says is the least, too; and what came too fast to be true is
 * no rate. */
static void samples_are_judged(void **unused)
{
	(void)unused;
	gauge_init(&g);
	gauge_heard(&g, 20 * MS, S);
	assert_int_equal(g.min_rtt_us, 20 * MS);
	sent(20 * KIB, S);
	sent(20 * KIB, S);
	gauge_acked(&g, 20 * KIB, S + 30 * MS);
	sent(20 * KIB, S + 30 * MS);
	assert_int_equal(g.rate, 20 * KIB * S / (30 * MS));
	gauge_acked(&g, 40 * KIB, S + 30 * MS);
	gauge_acked(&g, 60 * KIB, S + 50 * MS);
	assert_int_equal(g.min_rtt_us, 20 * MS);
	/* 40 KiB were acknowledged in 20 ms, but it took 30 to send them. */
	assert_int_equal(g.rate, 40 * KIB * S / (30 * MS));
	gauge_fini(&g);
}

/* Nothing is held for a path that carries little, or has become calm. */
static void marks_are_there_under_load_only(void **unused)
{
	(void)unused;
	gauge_init(&g);
	sent(GAUGE_QUIET, S);
	assert_null(g.marks);
	sent(GAUGE_QUIET, S);
	assert_non_null(g.marks);
	gauge_rest(&g, 3 * S);
	assert_non_null(g.marks); /* Its ACK is awaited. */
	gauge_acked(&g, g.put, 3 * S);
	sent(1, 4 * S);
	gauge_rest(&g, 4 * S + 999999);
	assert_non_null(g.marks);
	gauge_rest(&g, 5 * S);
	assert_null(g.marks);
	gauge_fini(&g);
}

static void marks_are_bounded(void **unused)
{
	(void)unused;
	gauge_init(&g);
	for (unsigned i = 0; i < 100000; i++)
		gauge_sent(&g, 4 * KIB, UINT64_MAX, S + i);
	assert_in_range(g.count, GAUGE_MARKS / 2, GAUGE_MARKS);
	gauge_acked(&g, g.put, 2 * S);
	assert_int_equal(g.count, 0);
	assert_true(g.rate > 0);
	gauge_fini(&g);
}

/* Who acknowledges nothing of what it should is stuck since it could have. */
static void who_acknowledges_nothing(void **unused)
{
	(void)unused;
	gauge_init(&g);
	sent(10000, 1000);
	assert_int_equal(gauge_stuck_us(&g), 0); /* It may wait for more. */
	sent(GAUGE_ACK_DUE, 5000);
	assert_int_equal(gauge_stuck_us(&g), 5000);
	sent(GAUGE_ACK_DUE, 9000);
	assert_int_equal(gauge_stuck_us(&g), 5000);
	gauge_acked(&g, 10000, 12000);
	assert_int_equal(gauge_stuck_us(&g), 12000);
	gauge_acked(&g, 10000 + 2 * GAUGE_ACK_DUE, 13000);
	assert_int_equal(gauge_stuck_us(&g), 0);
	gauge_fini(&g);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(rate_and_round_trip_are_measured),
		cmocka_unit_test(samples_are_judged),
		cmocka_unit_test(marks_are_there_under_load_only),
		cmocka_unit_test(marks_are_bounded),
		cmocka_unit_test(who_acknowledges_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
