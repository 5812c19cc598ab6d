#include "unit.h"

#include "mux/gauge.h"

enum { KIB = 1024, MS = 1000, CAP = 64 * KIB };

#define S UINT64_C(1000000)

static struct gauge g;

static void sent(uint64_t n, uint64_t now_us)
{
	gauge_sent(&g, n, CAP, now_us);
}

/* Rounds in which n bytes are sent at once and acknowledged after us. */
static uint64_t run_rounds(unsigned rounds, uint64_t n, uint64_t us, bool is_full, uint64_t now_us)
{
	for (unsigned i = 0; i < rounds; i++) {
		sent(n, now_us);
		if (is_full)
			gauge_full(&g, false);
		now_us += us;
		assert_int_equal(gauge_acked(&g, g.put, now_us), is_full);
	}
	return now_us;
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

/* The first one is over with the first ACK, as nothing had been sent when it began. */
static void a_round_tells_where_the_sender_was_held_back(void **unused)
{
	static const struct {
		bool by_transport, by_cap;
	} rows[] = { { false, false }, { true, false }, { false, true }, { true, true } };

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		bool tells = rows[i].by_cap || rows[i].by_transport;

		gauge_init(&g);
		for (unsigned k = 0; k < 3; k++)
			sent(20 * KIB, S);
		assert_false(gauge_acked(&g, 20 * KIB, S + 8 * MS));
		if (rows[i].by_cap)
			gauge_full(&g, true);
		if (rows[i].by_transport)
			gauge_full(&g, false);
		sent(20 * KIB, S + 9 * MS);
		assert_false(gauge_acked(&g, 40 * KIB, S + 9 * MS));
		assert_int_equal(gauge_acked(&g, 60 * KIB, S + 10 * MS), tells);
		assert_int_equal(g.last.is_capped, rows[i].by_cap);
		assert_int_equal(g.last.rtt_us, tells ? 9 * MS : 0);
		assert_int_equal(g.last.rate, tells ? 60 * KIB * 100 : 0);
		assert_false(g.round.is_full || g.round.is_capped);
		gauge_fini(&g);
	}
}

/* The most of a second, as long as there was enough to send. */
static void a_rate_is_forgotten_where_the_sender_was_held_back(void **unused)
{
	const uint64_t fast = 400 * KIB * 50, slow = 40 * KIB * 50;
	uint64_t now;

	(void)unused;
	gauge_init(&g);
	now = run_rounds(1, 400 * KIB, 20 * MS, true, S);
	now = run_rounds(100, 40 * KIB, 20 * MS, false, now);
	assert_int_equal(g.rate, fast);
	now = run_rounds(48, 40 * KIB, 20 * MS, true, now);
	assert_int_equal(g.rate, fast);
	run_rounds(1, 40 * KIB, 20 * MS, true, now);
	assert_int_equal(g.rate, slow);
	gauge_fini(&g);
}

static void a_rate_is_renewed(void **unused)
{
	uint64_t now;

	(void)unused;
	gauge_init(&g);
	now = run_rounds(1, 400 * KIB, 100 * MS, true, S);
	now = run_rounds(1, 40 * KIB, 100 * MS, true, now);
	gauge_renew_rate(&g);
	assert_int_equal(g.rate, 400 * KIB * 10); /* It is of the last two. */
	run_rounds(1, 60 * KIB, 100 * MS, true, now);
	gauge_renew_rate(&g);
	assert_int_equal(g.rate, 60 * KIB * 10);
	gauge_fini(&g);
}

/* Where bytes are few for the rate, every answer may have waited behind them. */
static void a_round_trip_is_forgotten(void **unused)
{
	static const struct {
		uint64_t rate, min_rtt_us;
	} rows[] = { { 10000000, 20 * MS }, { 1000000, 10 * MS } };

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		gauge_init(&g);
		g.rate = rows[i].rate;
		gauge_heard(&g, 10 * MS, 10 * S);
		gauge_heard(&g, 20 * MS, 15 * S);
		assert_int_equal(g.min_rtt_us, 10 * MS);
		gauge_heard(&g, 20 * MS, 20 * S - 1);
		assert_int_equal(g.min_rtt_us, 10 * MS);
		gauge_heard(&g, 30 * MS, 20 * S);
		assert_int_equal(g.min_rtt_us, rows[i].min_rtt_us);
	}
}

static void a_round_trip_becomes_stale(void **unused)
{
	(void)unused;
	gauge_init(&g);
	gauge_refresh(&g, S);
	assert_false(gauge_is_stale(&g, 6 * S - 1));
	assert_true(gauge_is_stale(&g, 6 * S));
	gauge_heard(&g, S, S);
	assert_false(gauge_is_stale(&g, 41 * S - 1)); /* A long path is asked seldom. */
	assert_true(gauge_is_stale(&g, 41 * S));
	gauge_refresh(&g, 41 * S);
	assert_false(gauge_is_stale(&g, 41 * S));
}

/* 20 KiB in each 5 ms, but of so many ACKs at once: these are ahead of the rate. */
static uint64_t burst_of(unsigned acks)
{
	uint64_t now = S;

	gauge_init(&g);
	for (unsigned i = 0; i < 20; i++)
		sent(20 * KIB, now);
	for (unsigned i = 0; i < 1000; i += acks) {
		now += 5 * MS * acks;
		for (unsigned k = 0; k < acks; k++)
			gauge_acked(&g, g.acked + 20 * KIB, now);
		for (unsigned k = 0; k < acks; k++)
			sent(20 * KIB, now);
	}
	gauge_fini(&g);
	return g.burst;
}

static void what_comes_at_once_is_a_burst(void **unused)
{
	(void)unused;
	assert_in_range(burst_of(1), 18 * KIB, 22 * KIB);
	assert_in_range(burst_of(5), 90 * KIB, 110 * KIB);
}

static void the_mean_is_of_all_that_rounds_moved(void **unused)
{
	uint64_t now;

	(void)unused;
	gauge_init(&g);
	assert_int_equal(gauge_mean_rate(&g), 0);
	now = run_rounds(1, 400 * KIB, 100 * MS, true, S);
	now = run_rounds(1, 40 * KIB, 100 * MS, false, now);
	/* A round counts three quarters of the next. */
	assert_int_equal(gauge_mean_rate(&g), 340 * KIB * S / (175 * MS));
	gauge_restart_mean(&g);
	run_rounds(1, 40 * KIB, 100 * MS, true, now);
	assert_int_equal(gauge_mean_rate(&g), 400 * KIB);
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

/* A sender that may have little in flight is measured by that. */
static void marks_are_there_with_a_low_cap(void **unused)
{
	(void)unused;
	gauge_init(&g);
	gauge_sent(&g, 5 * KIB, 20 * KIB, S);
	assert_null(g.marks);
	gauge_sent(&g, 1, 20 * KIB, S);
	assert_non_null(g.marks);
	gauge_fini(&g);
}

static void marks_are_spread(void **unused)
{
	(void)unused;
	gauge_init(&g);
	for (unsigned i = 0; i < 256; i++)
		sent(KIB, S);
	for (unsigned i = 0; i < 1000; i++) {
		gauge_acked(&g, g.acked + KIB, S + i);
		sent(KIB, S + i);
	}
	assert_in_range(g.count, 60, 66);
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
		cmocka_unit_test(a_round_tells_where_the_sender_was_held_back),
		cmocka_unit_test(a_rate_is_forgotten_where_the_sender_was_held_back),
		cmocka_unit_test(a_rate_is_renewed),
		cmocka_unit_test(a_round_trip_is_forgotten),
		cmocka_unit_test(a_round_trip_becomes_stale),
		cmocka_unit_test(what_comes_at_once_is_a_burst),
		cmocka_unit_test(the_mean_is_of_all_that_rounds_moved),
		cmocka_unit_test(marks_are_there_under_load_only),
		cmocka_unit_test(marks_are_there_with_a_low_cap),
		cmocka_unit_test(marks_are_spread),
		cmocka_unit_test(marks_are_bounded),
		cmocka_unit_test(who_acknowledges_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
