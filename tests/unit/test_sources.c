#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "server/sources.h"

#define SECOND UINT64_C(1000000)

static struct sources *table;
static uint64_t now;

static int prepare(void **state)
{
	static const uint64_t key[2] = { 1, 2 };

	(void)state;
	now = 1000 * SECOND;
	table = sources_new(key);
	return table ? 0 : -1;
}

static int clean(void **state)
{
	(void)state;
	sources_free(table);
	return 0;
}

static const struct sockaddr *at(const char *text)
{
	static struct sockaddr_storage out;
	struct sockaddr_in6 *v6 = (void *)&out;
	struct sockaddr_in *v4 = (void *)&out;

	memset(&out, 0, sizeof out);
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
		out.ss_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
		out.ss_family = AF_INET6;
	else
		fail_msg("%s", text);
	return (const struct sockaddr *)&out;
}

/* The n-th of many /64s. */
static const struct sockaddr *nth(uint32_t n)
{
	char text[64];

	snprintf(text, sizeof text, "2001:db8:%x:%x::1", n >> 16, n & 0xffff);
	return at(text);
}

static enum sources_verdict enter(struct sources_caller *c, const char *who)
{
	memset(c, 0, sizeof *c);
	return sources_enter(table, c, at(who), now);
}

/* One login with a wrong token. The wait that it was given, in seconds: before it (negative)
 * or after it. */
static int64_t wrong_at(const struct sockaddr *who)
{
	struct sources_caller c = { 0 };
	uint64_t wait;

	if (sources_enter(table, &c, who, now) != SOURCES_WELCOME)
		return INT64_MIN;
	wait = sources_try(&c, now);
	if (wait) {
		sources_leave(table, &c, true, now);
		return -(int64_t)(wait / SECOND);
	}
	return (int64_t)(sources_leave(table, &c, true, now) / SECOND);
}

static int64_t wrong(const char *who)
{
	return wrong_at(at(who));
}

/* --- penalties ---------------------------------------------------------------------- */

/* Who mistypes does not wait; who guesses waits longer each time. */
static void growth(void **state)
{
	static const int64_t waits[] = { 0, 0, 0, 0, 0, 0, 0, 15, 30, 60, 120, 240, 480, 600, 600,
		600 };

	(void)state;
	for (size_t i = 0; i < COUNT(waits); i++) {
		assert_int_equal(wrong("192.0.2.1"), waits[i]);
		if (!waits[i])
			continue;
		assert_int_equal(wrong("192.0.2.1"), -waits[i]);
		now += SECOND;
		assert_int_equal(wrong("192.0.2.1"), -waits[i] + 1);
		if (i < 13)
			assert_int_equal(wrong("192.0.2.2"), 0);
		now += ((uint64_t)waits[i] - 1) * SECOND;
	}
}

/* Case 4: however it is asked, at most 20 a minute are looked at. */
static void at_most_20_a_minute(void **state)
{
	unsigned looked_at = 0, most = 0;

	(void)state;
	for (unsigned i = 0; i < 60 * 60 * 10; i++) {
		if (i % 600 == 0)
			looked_at = 0;
		looked_at += wrong("192.0.2.1") >= 0;
		most = looked_at > most ? looked_at : most;
		now += SECOND / 10;
	}
	assert_in_range(most, 8, 20);
	assert_in_range(looked_at, 0, 1);
}

/* Several at once have no more guesses than one after the other. */
static void at_once(void **state)
{
	struct sources_caller c[8];
	unsigned tried = 0;

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(wrong("192.0.2.1"), 0);
	for (size_t i = 0; i < COUNT(c); i++) {
		assert_int_equal(enter(&c[i], "192.0.2.1"), SOURCES_WELCOME);
		tried += sources_try(&c[i], now) == 0;
	}
	assert_int_equal(tried, 3);
	for (size_t i = 0; i < COUNT(c); i++)
		sources_leave(table, &c[i], true, now);
	assert_int_equal(wrong("192.0.2.1"), -15);
	/* One at a time when the wait is over. */
	now += 15 * SECOND;
	assert_int_equal(enter(&c[0], "192.0.2.1"), SOURCES_WELCOME);
	assert_int_equal(enter(&c[1], "192.0.2.1"), SOURCES_WELCOME);
	assert_true(sources_try(&c[0], now) == 0);
	assert_true(sources_try(&c[1], now) == 5 * SECOND);
	sources_leave(table, &c[1], true, now);
	assert_true(sources_leave(table, &c[0], true, now) == 30 * SECOND);
}

/* Who failed is settled before it is gone: its next try finds the account right. */
static void settled_before_gone(void **state)
{
	struct sources_caller c = { 0 };

	(void)state;
	for (int i = 0; i < 7; i++)
		assert_int_equal(wrong("192.0.2.1"), 0);
	assert_int_equal(enter(&c, "192.0.2.1"), SOURCES_WELCOME);
	assert_true(sources_give_up(&c, true, now) == 0); /* It has not tried. */
	assert_true(sources_try(&c, now) == 0);
	assert_true(sources_give_up(&c, true, now) == 15 * SECOND);
	assert_true(sources_give_up(&c, true, now) == 0); /* Once. */
	assert_int_equal(sources_failures(&c), 8);
	assert_int_equal(wrong("192.0.2.1"), -15); /* Not the 5 s of one under way. */
	assert_true(sources_leave(table, &c, true, now) == 0);
	now += 15 * SECOND;
	assert_int_equal(wrong("192.0.2.1"), 30);
}

/* Eight clients that start at once from one address are nobody's guesses. */
static void all_good(void **state)
{
	struct sources_caller c[8];

	(void)state;
	for (size_t i = 0; i < COUNT(c); i++) {
		assert_int_equal(enter(&c[i], "192.0.2.1"), SOURCES_WELCOME);
		assert_true(sources_try(&c[i], now) == 0);
	}
	for (size_t i = 0; i < COUNT(c); i++)
		sources_login(&c[i]);
	for (size_t i = 0; i < COUNT(c); i++)
		assert_true(sources_leave(table, &c[i], true, now) == 0);
	assert_int_equal(sources_count(table), 0);
}

static void forgotten(void **state)
{
	(void)state;
	for (int i = 0; i < 7; i++)
		wrong("192.0.2.1");
	now += 599 * SECOND;
	assert_int_equal(wrong("192.0.2.1"), 15);
	/* From the end of the wait, not its beginning. */
	now += 614 * SECOND;
	assert_int_equal(wrong("192.0.2.1"), 30);
	now += 630 * SECOND;
	assert_int_equal(wrong("192.0.2.1"), 0);
	assert_int_equal(sources_count(table), 1);
	now += 600 * SECOND;
	wrong("192.0.2.2"); /* Whoever comes next takes it off the table. */
	assert_int_equal(sources_count(table), 1);
}

/* What ends before a proof was asked for is no failed login, nor what is not to blame. */
static void blame(void **state)
{
	struct sources_caller c;

	(void)state;
	for (int i = 0; i < 20; i++) {
		enter(&c, "192.0.2.1");
		sources_leave(table, &c, true, now);
		enter(&c, "192.0.2.1");
		sources_try(&c, now);
		sources_leave(table, &c, false, now);
	}
	assert_int_equal(sources_count(table), 0);
}

/* Who must wait may connect once a second, to be told. */
static void told(void **state)
{
	struct sources_caller c;

	(void)state;
	for (int i = 0; i < 8; i++)
		wrong("192.0.2.1");
	for (unsigned i = 0; i < 50; i++) {
		enum sources_verdict verdict = enter(&c, "192.0.2.1");

		assert_int_equal(verdict, i % 10 ? SOURCES_PUT_OFF : SOURCES_WELCOME);
		if (verdict == SOURCES_WELCOME)
			assert_true(sources_try(&c, now) > 0);
		sources_leave(table, &c, true, now);
		now += SECOND / 10;
	}
}

/* --- sessions ------------------------------------------------------------------------- */

/* A live session keeps its source out of penalties, and clears the account. */
static void live(void **state)
{
	struct sources_caller session, c;

	(void)state;
	for (int i = 0; i < 7; i++)
		wrong("192.0.2.1");
	enter(&session, "192.0.2.1");
	assert_true(sources_try(&session, now) == 0);
	sources_login(&session);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(enter(&c, "192.0.2.1"), SOURCES_KNOWN);
		assert_true(sources_try(&c, now) == 0);
		assert_true(sources_leave(table, &c, true, now) == 0);
	}
	assert_int_equal(wrong("192.0.2.2"), 0);
	sources_leave(table, &session, true, now);
	assert_int_equal(sources_count(table), 1);
	for (int i = 0; i < 7; i++)
		assert_int_equal(wrong("192.0.2.1"), 0);
	assert_int_equal(wrong("192.0.2.1"), 15);
}

/* The cap of a source holds for one with a session, too. */
static void full(void **state)
{
	struct sources_caller c[SOURCES_STRANGERS], more, other;

	(void)state;
	for (size_t i = 0; i < COUNT(c); i++)
		assert_int_equal(enter(&c[i], "192.0.2.1"), SOURCES_WELCOME);
	assert_int_equal(enter(&more, "192.0.2.1"), SOURCES_FULL);
	assert_int_equal(enter(&other, "192.0.2.2"), SOURCES_WELCOME);
	sources_leave(table, &other, true, now);
	sources_try(&c[0], now);
	sources_login(&c[0]);
	assert_int_equal(enter(&more, "192.0.2.1"), SOURCES_KNOWN);
	assert_int_equal(enter(&other, "192.0.2.1"), SOURCES_FULL);
	sources_leave(table, &more, true, now);
	sources_leave(table, &more, true, now); /* Harmless. */
	for (size_t i = 0; i < COUNT(c); i++)
		sources_leave(table, &c[i], true, now);
	assert_int_equal(sources_count(table), 0);
}

/* --- what a source is -------------------------------------------------------------------- */

static void places(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "192.0.2.1", "::ffff:192.0.2.1", true },
		{ "2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true },
		{ "2001:db8:1:2::1", "2001:db8:1:3::1", false },
		{ "2001:db8:1:2::1", "2001:db8::2:0:0:0:1", false },
		/* The same bytes in another family. */
		{ "192.0.2.1", "c000:201::", false },
		{ "127.0.0.2", "127.0.0.2", true },
		{ "127.0.0.2", "127.0.0.3", false },
		{ "::ffff:127.0.0.2", "127.0.0.2", true },
		{ "::2", "::3", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sources_caller a, b;

		assert_int_equal(enter(&a, rows[i].a), SOURCES_WELCOME);
		assert_int_equal(enter(&b, rows[i].b), SOURCES_WELCOME);
		assert_non_null(a.source);
		assert_int_equal(a.source == b.source, rows[i].same);
		sources_leave(table, &a, false, now);
		sources_leave(table, &b, false, now);
	}
}

static void this_machine(void **state)
{
	static const char *const names[] = { "127.0.0.1", "::1", "::ffff:127.0.0.1" };
	struct sources_caller c;
	struct source *s;

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		for (int k = 0; k < 100; k++) {
			assert_int_equal(enter(&c, names[i]), SOURCES_WELCOME);
			assert_int_equal(c.stage, SOURCES_IN);
			assert_true(sources_try(&c, now) == 0);
			assert_int_equal(c.stage, SOURCES_TRYING);
			assert_int_equal(wrong(names[i]), 0);
			sources_login(&c);
			sources_leave(table, &c, true, now);
			assert_int_equal(c.stage, SOURCES_OUT);
			assert_true(sources_visit(table, &s, at(names[i]), 1, now));
			assert_null(s);
		}
	}
	sources_part(table, NULL, now);
	assert_int_equal(sources_count(table), 0);
}

/* --- bounds ---------------------------------------------------------------------------------- */

/* The one above the most takes the place of the oldest with the fewest failures. */
static void one_too_many(void **state)
{
	(void)state;
	assert_int_equal(wrong("192.0.2.1"), 0);
	for (int i = 0; i < 9; i++) {
		wrong("192.0.2.2");
		now += i < 7 ? 0 : 15 * SECOND;
	}
	for (uint32_t i = 0; i < SOURCES_MAX - 2; i++)
		assert_int_equal(wrong_at(nth(i)), 0);
	assert_int_equal(sources_count(table), SOURCES_MAX);
	/* The last to fail stays, although it has fewer than any other may have. */
	assert_int_equal(wrong_at(nth(SOURCES_MAX)), 0);
	assert_int_equal(sources_count(table), SOURCES_MAX);
	for (int i = 0; i < 7; i++)
		assert_int_equal(wrong("192.0.2.1"), 0); /* It begins anew. */
	for (int i = 0; i < 6; i++)
		assert_int_equal(wrong_at(nth(SOURCES_MAX)), 0);
	assert_int_equal(wrong_at(nth(SOURCES_MAX)), 15);
	/* A hundred thousand cheap ones do not clear a wait. */
	for (uint32_t i = 0; i < 100000; i++)
		wrong_at(nth(0x20000 + i));
	assert_int_equal(sources_count(table), SOURCES_MAX);
	assert_int_equal(wrong("192.0.2.2"), -15);
	assert_int_equal(wrong_at(nth(SOURCES_MAX)), -15);
}

/* What is live is not among the most, and is never evicted. */
static void live_ones_stay(void **state)
{
	struct sources_caller session;

	(void)state;
	enter(&session, "192.0.2.1");
	sources_try(&session, now);
	sources_login(&session);
	for (uint32_t i = 0; i < SOURCES_MAX + 1000; i++)
		wrong_at(nth(i));
	assert_int_equal(sources_count(table), SOURCES_MAX + 1);
	assert_int_equal(wrong("192.0.2.1"), INT64_MIN); /* SOURCES_KNOWN */
	sources_leave(table, &session, false, now);
	/* All are given back in time, a few with each newcomer. */
	now += 1300 * SECOND;
	for (uint32_t i = 0; i < SOURCES_MAX / 8 + 100; i++) {
		struct sources_caller c = { 0 };

		sources_enter(table, &c, nth(0x20000 + i), now);
		sources_leave(table, &c, false, now);
	}
	assert_in_range(sources_count(table), 0, 100);
}

static void visitors(void **state)
{
	struct source *s[3], *other;
	struct sources_caller c;

	(void)state;
	for (size_t i = 0; i < COUNT(s); i++)
		assert_true(sources_visit(table, &s[i], at("192.0.2.1"), 3, now));
	assert_false(sources_visit(table, &other, at("192.0.2.1"), 3, now));
	assert_true(sources_visit(table, &other, at("192.0.2.2"), 3, now));
	sources_part(table, other, now);
	sources_part(table, s[0], now);
	assert_true(sources_visit(table, &s[0], at("192.0.2.1"), 3, now));
	assert_true(sources_visit(table, &other, at("192.0.2.1"), 0, now));
	sources_part(table, other, now);
	/* A visitor is no session, and does not count as a stranger. */
	assert_int_equal(enter(&c, "192.0.2.1"), SOURCES_WELCOME);
	sources_leave(table, &c, false, now);
	for (int i = 0; i < 7; i++)
		assert_int_equal(wrong("192.0.2.1"), 0);
	assert_int_equal(wrong("192.0.2.1"), 15);
	for (size_t i = 0; i < COUNT(s); i++)
		sources_part(table, s[i], now);
	assert_int_equal(wrong("192.0.2.1"), -15);
	assert_int_equal(sources_count(table), 1);
}

/* --- early drop ------------------------------------------------------------------------------- */

static void early_drop(void **state)
{
	/* The share of 100 evenly spread numbers that is dropped. */
	static const struct {
		unsigned waiting, most, percent;
	} rows[] = {
		{ 0, 128, 0 }, { 31, 128, 0 }, { 32, 128, 30 }, { 56, 128, 47 }, { 80, 128, 65 },
		{ 104, 128, 82 }, { 127, 128, 99 }, { 128, 128, 100 }, { 4000000000u, 128, 100 },
		{ 0, 1, 0 }, { 1, 1, 100 }, { 0, 2, 0 }, { 1, 2, 30 }, { 2, 2, 100 },
		{ 0, 0, 100 }, { 24999, 100000, 0 }, { 25000, 100000, 30 }, { 100000, 100000, 100 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned dropped = 0;

		for (uint64_t k = 0; k < 100; k++)
			dropped += sources_drop_early(rows[i].waiting, rows[i].most,
				(uint32_t)((k << 32) / 100 + 1));
		assert_int_equal(dropped, rows[i].percent);
	}
	assert_true(sources_drop_early(32, 128, 0));
	assert_false(sources_drop_early(127, 128, UINT32_MAX));
}

/* --- crowds ------------------------------------------------------------------------------------ */

static void gone(struct sources_caller *c)
{
	sources_leave(table, c, false, now);
}

/* Room is made by the oldest of the source with the most. */
static void crowds(void **state)
{
	struct sources_caller big[3], small[2], known, one, local;

	(void)state;
	enter(&local, "127.0.0.1");
	assert_null(sources_crowd(table, &local));
	enter(&small[0], "192.0.2.2");
	assert_ptr_equal(sources_crowd(table, &local), &small[0]);
	assert_null(sources_crowd(table, &small[0]));
	enter(&small[1], "192.0.2.2");
	for (int i = 0; i < 3; i++)
		enter(&big[i], "192.0.2.3");
	enter(&one, "192.0.2.4");
	assert_ptr_equal(sources_crowd(table, &one), &big[0]);
	assert_ptr_equal(sources_crowd(table, &small[1]), &big[0]);
	/* At the expense of its own, where no other has more. */
	assert_ptr_equal(sources_crowd(table, &big[2]), &big[0]);
	gone(&big[0]);
	/* As many as the other: whoever has them for longer. */
	assert_ptr_equal(sources_crowd(table, &one), &small[0]);
	gone(&small[0]);
	assert_ptr_equal(sources_crowd(table, &one), &big[1]);
	/* Who has begun to prove itself is left alone. */
	assert_int_equal(sources_try(&big[1], now), 0);
	gone(&one);
	enter(&one, "192.0.2.4");
	assert_ptr_equal(sources_crowd(table, &one), &small[1]);
	gone(&small[1]);
	assert_ptr_equal(sources_crowd(table, &one), &big[2]);
	/* And so is the rest of a source with a live session, also when that was there first. */
	sources_login(&big[1]);
	assert_null(sources_crowd(table, &one));
	enter(&known, "192.0.2.3");
	assert_null(sources_crowd(table, &one));
	gone(&known);
	gone(&big[1]);
	gone(&one);
	enter(&one, "192.0.2.4");
	assert_ptr_equal(sources_crowd(table, &one), &big[2]);
	gone(&big[2]);
	gone(&one);
	gone(&local);
	assert_int_equal(sources_count(table), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(growth, prepare, clean),
		cmocka_unit_test_setup_teardown(at_most_20_a_minute, prepare, clean),
		cmocka_unit_test_setup_teardown(at_once, prepare, clean),
		cmocka_unit_test_setup_teardown(settled_before_gone, prepare, clean),
		cmocka_unit_test_setup_teardown(all_good, prepare, clean),
		cmocka_unit_test_setup_teardown(forgotten, prepare, clean),
		cmocka_unit_test_setup_teardown(blame, prepare, clean),
		cmocka_unit_test_setup_teardown(told, prepare, clean),
		cmocka_unit_test_setup_teardown(live, prepare, clean),
		cmocka_unit_test_setup_teardown(full, prepare, clean),
		cmocka_unit_test_setup_teardown(places, prepare, clean),
		cmocka_unit_test_setup_teardown(this_machine, prepare, clean),
		cmocka_unit_test_setup_teardown(one_too_many, prepare, clean),
		cmocka_unit_test_setup_teardown(live_ones_stay, prepare, clean),
		cmocka_unit_test_setup_teardown(visitors, prepare, clean),
		cmocka_unit_test(early_drop),
		cmocka_unit_test_setup_teardown(crowds, prepare, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
