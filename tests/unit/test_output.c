#include "duo.h"

enum { MIB = 1024 * 1024 };

/* One composing of the server alone; the client hears of it later. */
static size_t compose(struct duo *d, size_t cap)
{
	static uint8_t out[DUO_OUT];
	uint8_t *copy;
	size_t n;

	duo_uncap(&d->server);
	n = flat_compose(&d->server.session, out, cap, d->now);
	copy = unit_copy(out, n);
	assert_true(n <= cap);
	session_feed(&d->client.session, copy, n, d->now);
	free(copy);
	return n;
}

/* In bytes, wherever a batch ends. */
static void bulk_takes_turns(void **unused)
{
	static struct duo d;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	for (int i = 0; i < 8; i++)
		duo_open(&d);
	for (unsigned i = 0; i < 8; i++)
		duo_send(&d.server, i, 200 * 1024, true);
	for (size_t cap = SESSION_COMPOSE_MIN; cap < 60 * 1000; cap += 1999) {
		uint64_t least = UINT64_MAX, most = 0;

		compose(&d, cap);
		for (int i = 0; i < 8; i++) {
			uint64_t sent = d.server.ends[i].sent;

			least = sent < least ? sent : least;
			most = sent > most ? sent : most;
		}
		assert_true(most - least <= PATH_FRAME_UNKNOWN + SESSION_FRAME_MIN);
	}
	duo_settle(&d);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(d.client.ends[i].got, 200 * 1024);
		assert_int_equal(d.client.ends[i].saw_close, 1);
	}
	duo_fini(&d);
}

static void a_keystroke_goes_before_a_download(void **unused)
{
	static struct duo d;
	unsigned down, key;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	down = duo_open(&d);
	key = duo_open(&d);
	duo_send(&d.server, down, 100 * MIB, false);
	compose(&d, 128 * 1024);
	d.now += 10000;
	duo_send(&d.server, key, 1, false);
	d.server.pulls = 0;
	compose(&d, 128 * 1024);
	assert_int_equal(d.server.order[0], key);
	assert_int_equal(d.client.ends[key].got, 1);
	duo_fini(&d);
}

/* Then its frames are smaller; the beginning of another download is no hurry. */
static void bulk_knows_whether_somebody_is_in_a_hurry(void **unused)
{
	static const struct {
		size_t beside;		/* bytes of another stream */
		bool more, hurries;
	} rows[] = {
		{ 1, false, true },
		{ 1000, false, true },
		{ SESSION_QUANTUM, true, false },
	};
	static struct duo d;

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned down, other;

		duo_reach(&d, SESSION_OPEN);
		down = duo_open(&d);
		other = duo_open(&d);
		duo_send(&d.server, down, 100 * MIB, false);
		compose(&d, 128 * 1024);
		d.now += 10000;
		duo_send(&d.server, other, rows[i].more ? 100 * MIB : rows[i].beside, false);
		compose(&d, 128 * 1024);
		assert_true(d.client.ends[other].got >= rows[i].beside);
		assert_int_equal(d.server.session.path.hurry_us > d.now, rows[i].hurries);
		duo_fini(&d);
	}
}

/* Nor is one where no bulk waits. */
static void nobody_is_in_a_hurry_beside_nothing(void **unused)
{
	static struct duo d;
	unsigned key;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	key = duo_open(&d);
	duo_send(&d.server, key, 1, false);
	compose(&d, 128 * 1024);
	assert_int_equal(d.server.session.path.hurry_us, 0);
	duo_fini(&d);
}

/* Bulk waits for ACK, and nothing else does. */
static void the_cap_holds_bulk_alone(void **unused)
{
	static uint8_t out[DUO_OUT];
	static struct duo d;
	struct session *s = &d.server.session;
	unsigned down, key;
	size_t n;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	down = duo_open(&d);
	key = duo_open(&d);
	duo_send(&d.server, down, 100 * MIB, false);
	while (session_has_output(s))
		flat_compose(s, out, sizeof out, d.now);
	assert_in_range(s->path.gauge.put, PATH_CAP_FIRST, PATH_CAP_FIRST + PATH_FRAME_MOST);

	duo_send(&d.server, key, 1, false);
	assert_true(session_has_output(s));
	flat_compose(s, out, sizeof out, d.now);
	assert_int_equal(d.server.ends[key].sent, 1);
	assert_false(session_has_output(s));

	d.server.wakes = 0;
	n = control_ack_encode(s->path.gauge.put, out, sizeof out);
	session_feed(s, out, n, d.now + 1000);
	assert_true(d.server.wakes > 0);
	assert_true(session_has_output(s));
	duo_fini(&d);
}

/* 16 KiB at once; 4 KiB after a while, since on a slow path more takes long. */
static void an_ack_follows_the_rate(void **unused)
{
	static const struct {
		uint64_t bytes, after_us;
		bool is_due;
	} rows[] = {
		{ SESSION_ACK_EVERY, 0, true },
		{ SESSION_ACK_EVERY - 1, SESSION_ACK_US - 1, false },
		{ SESSION_ACK_EVERY - 1, SESSION_ACK_US, true },
		{ SESSION_ACK_LEAST, SESSION_ACK_US, true },
		{ SESSION_ACK_LEAST - 1, 1000 * SESSION_ACK_US, false },
	};
	static struct duo d;

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct session *s = &d.client.session;

		duo_reach(&d, SESSION_OPEN);
		s->taken += rows[i].bytes;
		s->told_us = s->now_us;
		s->now_us += rows[i].after_us;
		assert_int_equal(session_has_output(s), rows[i].is_due);
		duo_fini(&d);
	}
}

static void a_stream_that_nobody_reads_stops_alone(void **unused)
{
	static struct duo d;
	unsigned stopped, other;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	stopped = duo_open(&d);
	other = duo_open(&d);
	d.client.ends[stopped].holds = true;
	duo_send(&d.server, stopped, 10 * MIB, true);
	duo_send(&d.server, other, 10 * MIB, true);
	duo_settle(&d);
	assert_int_equal(d.client.ends[stopped].got, SESSION_STREAM_CREDIT);
	assert_int_equal(d.client.ends[other].got, 10 * MIB);
	assert_int_equal(d.client.ends[other].saw_close, 1);

	d.client.ends[stopped].holds = false;
	stream_consumed(&d.client.session, d.client.ends[stopped].st, SESSION_STREAM_CREDIT);
	duo_settle(&d);
	assert_int_equal(d.client.ends[stopped].got, 10 * MIB);
	duo_fini(&d);
}

/* 300 streams that nobody reads spend the session's credit: the others still
 * move, by their floor. */
static void the_session_s_credit_starves_nobody(void **unused)
{
	static struct duo d;
	unsigned last;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	last = duo_open(&d);
	/* As if streams that nobody reads had spent it all. */
	d.server.session.send.sent = d.server.session.send.limit;
	d.client.session.recv.received = d.client.session.recv.limit;
	duo_send(&d.server, last, 4 * SESSION_FLOOR, true);
	duo_settle(&d);
	assert_int_equal(d.client.ends[last].got, 4 * SESSION_FLOOR);
	duo_fini(&d);
}

static void control_goes_first_in_any_room(void **unused)
{
	static struct duo d;
	static uint8_t out[SESSION_COMPOSE_MIN];
	size_t n;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	duo_send(&d.server, duo_open(&d), MIB, false);
	session_shutdown(&d.server.session, 1);
	n = flat_compose(&d.server.session, out, sizeof out, d.now);
	assert_true(n >= FRAME_HEAD);
	assert_int_equal(frame_get(out).type, FRAME_SHUTDOWN);
	duo_fini(&d);
}

static void half_a_close_leaves_the_other_half(void **unused)
{
	static struct duo d;
	unsigned i;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	i = duo_open(&d);
	duo_send(&d.server, i, 0, false);
	stream_close(&d.server.session, d.server.ends[i].st);
	duo_settle(&d);
	assert_int_equal(d.client.ends[i].saw_close, 1);
	duo_send(&d.client, i, 3 * MIB, true);
	duo_settle(&d);
	assert_int_equal(d.server.ends[i].got, 3 * MIB);
	assert_int_equal(d.server.ends[i].saw_close, 1);
	assert_int_equal(session_streams(&d.server.session), 0);
	duo_fini(&d);
}

static void a_reset_says_why_once(void **unused)
{
	static struct duo d;
	unsigned i;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	i = duo_open(&d);
	duo_send(&d.server, i, 10 * MIB, false);
	stream_reset(&d.client.session, d.client.ends[i].st, CODE_LOCAL_RESET);
	duo_settle(&d);
	assert_int_equal(d.server.ends[i].saw_reset, 1);
	assert_int_equal(d.server.ends[i].code, CODE_LOCAL_RESET);
	assert_int_equal(d.client.ends[i].saw_reset, 0);
	assert_int_equal(session_streams(&d.server.session), 0);
	assert_int_equal(session_streams(&d.client.session), 0);
	duo_fini(&d);
}

/* Whoever fills the queue holds streams and tunnels that the end would free:
 * the session ends when its owner is next there, not from inside. */
static void a_full_queue_ends_the_session_a_little_later(void **unused)
{
	static const struct bind_err err = { 9, CODE_PORT_RANGE, 0, { 0 } };
	static struct duo d;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	for (size_t i = 0; i < SESSION_CONTROL_MAX / 16; i++)
		binding_refuse(&d.server.session, &err);
	assert_int_equal(d.server.ends_told, 0);
	assert_int_equal(d.server.session.state, SESSION_OPEN);
	session_tick(&d.server.session, 0, d.now);
	assert_int_equal(d.server.ends_told, 1);
	assert_int_equal(d.server.end.kind, SESSION_GONE);
	session_tick(&d.server.session, 0, d.now);
	assert_int_equal(d.server.ends_told, 1);
	duo_fini(&d);
}

/* What was taken but is too little to be urgent is told after a second, and
 * the owner hears of it at once, to set its timer. */
static void a_little_credit_is_told_after_a_second(void **unused)
{
	static struct duo d;
	unsigned i;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	i = duo_open(&d);
	d.client.ends[i].holds = true;
	duo_send(&d.server, i, 100, false);
	duo_settle(&d);
	session_tick(&d.client.session, 0, d.now);
	d.client.wakes = 0;
	stream_consumed(&d.client.session, d.client.ends[i].st, 100);
	assert_int_not_equal(d.client.wakes, 0);
	assert_true(session_tick(&d.client.session, 0, d.now) <= d.now + 1000000);
	duo_settle(&d);
	assert_int_equal(d.server.ends[i].st->send.consumed, 0);
	d.now += 1000000;
	session_tick(&d.client.session, 0, d.now);
	duo_settle(&d);
	assert_int_equal(d.server.ends[i].st->send.consumed, 100);
	duo_fini(&d);
}

/* Streams that stand still hold most of the session's window: what the others
 * take is told long before a quarter of the window. */
static void a_session_short_of_credit_tells_early(void **unused)
{
	static struct duo d;
	struct credit_recv *recv = &d.client.session.recv;
	uint64_t stuck = SESSION_WINDOW - SESSION_WINDOW / 4, limit;
	unsigned i;

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	i = duo_open(&d);
	duo_settle(&d);
	assert_true(credit_recv_open(recv) > stuck);
	recv->received += stuck;
	d.server.session.send.sent += stuck;
	limit = d.server.session.send.limit;
	duo_send(&d.server, i, 2 * SESSION_STREAM_CREDIT, false);
	duo_settle(&d);
	assert_int_equal(d.client.ends[i].got, 2 * SESSION_STREAM_CREDIT);
	assert_true(d.server.session.send.limit >= limit + SESSION_STREAM_CREDIT);
	duo_fini(&d);
}

/* What is kept of many small frames occupies little more than they are. */
static void small_frames_are_kept_together(void **unused)
{
	enum { FRAMES = 20000 };
	static struct duo d;
	unsigned i;

	(void)unused;
	duo_hold_ms = 60000;
	duo_reach(&d, SESSION_OPEN);
	i = duo_open(&d);
	duo_settle(&d);
	d.client.ends[i].holds = true;
	for (int k = 0; k < FRAMES; k++) {
		duo_send(&d.server, i, 1, false);
		duo_carry(&d, &d.server, &d.client);
	}
	assert_int_equal(d.client.ends[i].got, FRAMES);
	assert_true(duo_pool.used >= FRAMES);
	assert_true(duo_pool.used < 2 * FRAMES);
	stream_consumed(&d.client.session, d.client.ends[i].st, FRAMES);
	duo_settle(&d);
	d.now += 2000000;
	session_tick(&d.client.session, 0, d.now);
	duo_settle(&d);
	assert_int_equal(duo_pool.used, 0);
	duo_fini(&d);
	duo_hold_ms = 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bulk_takes_turns),
		cmocka_unit_test(a_keystroke_goes_before_a_download),
		cmocka_unit_test(bulk_knows_whether_somebody_is_in_a_hurry),
		cmocka_unit_test(nobody_is_in_a_hurry_beside_nothing),
		cmocka_unit_test(the_cap_holds_bulk_alone),
		cmocka_unit_test(an_ack_follows_the_rate),
		cmocka_unit_test(a_stream_that_nobody_reads_stops_alone),
		cmocka_unit_test(the_session_s_credit_starves_nobody),
		cmocka_unit_test(control_goes_first_in_any_room),
		cmocka_unit_test(half_a_close_leaves_the_other_half),
		cmocka_unit_test(a_reset_says_why_once),
		cmocka_unit_test(a_full_queue_ends_the_session_a_little_later),
		cmocka_unit_test(a_little_credit_is_told_after_a_second),
		cmocka_unit_test(a_session_short_of_credit_tells_early),
		cmocka_unit_test(small_frames_are_kept_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
