#include "unit.h"

#include "mux/window.h"

enum { KIB = 1024, FIRST = 256 * KIB, MS = 1000, BEGUN = 1000 * MS };

static struct credit_recv c;
static struct window w;

static void begin(void)
{
	credit_recv_init(&c, FIRST, FIRST);
	window_init(&w, &c);
}

/* n bytes arrive as one frame and are taken but for what waits. */
static bool pass(uint64_t n, uint64_t waits, uint64_t now_us, uint64_t *echo_us)
{
	bool is_echo;

	credit_recv_take(&c, n);
	is_echo = window_arrived(&w, &c, true, now_us, echo_us);
	credit_recv_consume(&c, credit_recv_pending(&c) - waits);
	window_consumed(&w, &c);
	return is_echo;
}

static void tell(uint64_t now_us)
{
	window_tell(&w, &c, now_us);
	credit_recv_tell(&c);
	c.limit = window_mark(c.limit);
}

static void a_marked_limit_is_near(void **unused)
{
	(void)unused;
	for (uint64_t limit = 0; limit < 1000 * 1000; limit += 997) {
		assert_true(window_mark(limit) >= limit);
		assert_true(window_mark(limit) - limit < WINDOW_MARK);
	}
}

/* One window goes by; what becomes of it. */
static void judgement(void **unused)
{
	static const struct {
		const char *why;
		uint64_t frame;		/* by frames of this: the last ends at the limit, or not */
		uint64_t waits;		/* for the destination, all the time */
		uint64_t took_us, rtt_us;
		uint64_t least, most;
		bool is_short;
		uint64_t wanted;
	} rows[] = {
		{ "stopped", FIRST, 0, 10, 100 * MS, FIRST, 1 << 30, false, 4 * FIRST },
		{ "on a short path", FIRST, 0, MS, 10 * MS, FIRST, 1 << 30, false, 2 * FIRST },
		{ "just quick", FIRST, 0, 39 * MS, 10 * MS, FIRST, 1 << 30, false, 2 * FIRST },
		{ "just not", FIRST, 0, 41 * MS, 10 * MS, FIRST, 1 << 30, false, FIRST },
		{ "no more than may be", FIRST, 0, MS, 10 * MS, FIRST, FIRST + 1, false, FIRST + 1 },
		{ "less than it is", FIRST, 0, MS, 10 * MS, FIRST, FIRST / 2, false, FIRST / 2 },
		{ "not stopped", FIRST - 10 * KIB, 0, MS, 10 * MS, FIRST, 1 << 30, false, FIRST },
		{ "waits for its destination", FIRST, FIRST / 3, MS, 10 * MS, FIRST, 1 << 30, false,
			FIRST },
		{ "round trip not known", FIRST, 0, MS, 0, FIRST, 1 << 30, false, FIRST },
		{ "memory is short", FIRST, 0, MS, 10 * MS, FIRST / 4, 1 << 30, true, FIRST / 2 },
		{ "as narrow as can be", FIRST, 0, MS, 10 * MS, FIRST, 1 << 30, true, FIRST },
		{ "slow", FIRST, 0, 500 * MS, 10 * MS, FIRST / 64, 1 << 30, false, FIRST / 2 },
		{ "slower", FIRST, 0, 1000 * MS, 10 * MS, FIRST / 64, 1 << 30, false, FIRST / 4 },
		{ "idle", FIRST, 0, UINT32_MAX, 10 * MS, FIRST / 64, 1 << 30, false, FIRST / 64 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		struct window_terms terms = { BEGUN + rows[i].took_us, rows[i].rtt_us, rows[i].least,
			rows[i].most, rows[i].is_short };
		uint64_t echo_us, size;

		begin();
		credit_recv_take(&c, 1);
		window_arrived(&w, &c, false, BEGUN, &echo_us);
		assert_false(pass(rows[i].frame - 1, rows[i].waits, BEGUN, &echo_us));
		size = window_judge(&w, &c, &terms);
		if (size != rows[i].wanted)
			fail_msg("%s: %llu", rows[i].why, (unsigned long long)size);
	}
}

/* A short path needs wider windows than its round trip says, if much moves. */
static void time_to_wake_up(void **unused)
{
	struct window_terms terms = { 0, 20, FIRST, 1 << 30, false };
	uint64_t echo_us, now_us = BEGUN;
	unsigned windows = 0;

	(void)unused;
	begin();
	while (c.window == FIRST && windows++ < 100) {
		pass(c.limit - c.received, 0, now_us, &echo_us);
		now_us += 400;
		terms.now_us = now_us;
		c.window = window_judge(&w, &c, &terms);
		tell(now_us);
	}
	assert_in_range(windows, 16, 20);
}

/* Limits that were told before it doubled are no reason to do so again. */
static void stops_are_of_this_window(void **unused)
{
	struct window_terms terms = { BEGUN, 10 * MS, FIRST, 1 << 30, false };
	uint64_t echo_us;

	(void)unused;
	begin();
	pass(FIRST / 2, 0, BEGUN, &echo_us);
	tell(BEGUN); /* Another limit beyond the first. */
	pass(FIRST / 2, 0, BEGUN, &echo_us);
	c.window = window_judge(&w, &c, &terms);
	assert_int_equal(c.window, 2 * FIRST);
	pass(c.limit - c.received, 0, BEGUN, &echo_us); /* It stops there. */
	assert_int_equal(window_judge(&w, &c, &terms), 2 * FIRST);
	tell(BEGUN);
	pass(c.limit - c.received, 0, BEGUN, &echo_us);
	assert_int_equal(window_judge(&w, &c, &terms), 4 * FIRST);
}

static void echoes(void **unused)
{
	uint64_t echo_us = 0;

	(void)unused;
	begin();
	assert_false(pass(FIRST / 2, 0, BEGUN, &echo_us));
	tell(BEGUN);
	/* Up to the first limit: nobody knows when that was heard of. */
	assert_false(pass(FIRST / 2, 0, BEGUN + 1, &echo_us));
	assert_false(pass(1, 0, BEGUN + 2, &echo_us));
	/* The sender stops at what was told first, until it hears of the next one. */
	tell(BEGUN + 3);
	assert_false(pass(w.edge - c.received, 0, BEGUN + 5, &echo_us));
	assert_true(pass(1, 0, BEGUN + 10, &echo_us));
	assert_int_equal(echo_us, 7);
	/* One that is not stopped says nothing. */
	tell(BEGUN + 20);
	assert_false(pass(w.edge - c.received + 1, 0, BEGUN + 30, &echo_us));
}

static void what_is_due(void **unused)
{
	uint64_t echo_us;

	(void)unused;
	begin();
	c.window = c.limit = WINDOW_MOST;
	pass(WINDOW_CREDIT_MOST - 1, 0, BEGUN, &echo_us);
	assert_false(window_is_due(&w, &c));
	pass(1, 0, BEGUN, &echo_us);
	assert_true(window_is_due(&w, &c));
	begin();
	pass(FIRST - 1, 0, BEGUN, &echo_us);
	tell(BEGUN);
	pass(1, 1, BEGUN, &echo_us);
	assert_false(window_is_due(&w, &c)); /* It waits for its destination. */
	pass(0, 0, BEGUN, &echo_us);
	assert_true(window_is_due(&w, &c));
}

/* What passed while there was no transport says nothing of the path. */
static void no_echo_after_an_outage(void **unused)
{
	uint64_t echo_us;

	(void)unused;
	for (int lost = 0; lost < 2; lost++) {
		begin();
		pass(FIRST + 1 - WINDOW_MARK, 0, BEGUN, &echo_us);
		tell(BEGUN);
		pass(WINDOW_MARK, 0, BEGUN, &echo_us);
		tell(BEGUN + 3);
		assert_false(pass(w.edge - c.received, 0, BEGUN + 5, &echo_us));
		if (lost)
			window_lost(&w);
		assert_int_equal(pass(1000, 0, BEGUN + 5000000, &echo_us), !lost);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_marked_limit_is_near),
		cmocka_unit_test(judgement),
		cmocka_unit_test(time_to_wake_up),
		cmocka_unit_test(no_echo_after_an_outage),
		cmocka_unit_test(stops_are_of_this_window),
		cmocka_unit_test(echoes),
		cmocka_unit_test(what_is_due),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
