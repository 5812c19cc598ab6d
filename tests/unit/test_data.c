#include "duo.h"

#include "mux/data.h"
#include "mux/kept.h"
#include "mux/resume.h"

/* DATA frames of the server: how large they are, the first time and again, and
 * what is kept of them. */

enum { KIB = 1024, FRAMES = 400 };

static struct duo d;
static struct frame frames[FRAMES];
static unsigned count;

static void begin(void)
{
	duo_reach(&d, SESSION_OPEN);
}

/* Most that the server says at once, up to cap; notes the heads of its DATA. */
static size_t listen_once(size_t cap)
{
	static uint8_t out[DUO_OUT];
	size_t n;

	duo_uncap(&d.server);
	n = flat_compose(&d.server.session, out, cap, d.now);
	for (size_t at = 0; at < n;) {
		struct frame f = frame_get(out + at);

		if (f.type == FRAME_STREAM_DATA) {
			assert_true(count < FRAMES);
			frames[count++] = f;
		}
		at += FRAME_HEAD + f.len;
	}
	return n;
}

static void listen_all(void)
{
	count = 0;
	while (listen_once(DUO_OUT))
		;
}

static uint64_t total_of(uint32_t id)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < count; i++)
		n += frames[i].stream == id ? frames[i].len : 0;
	return n;
}

/* The server's transport is another one now, and nothing of what it sent came. */
static void lose_all(void)
{
	struct session *s = &d.server.session;
	struct state_frame frame = { .is_last = true, .highest = s->highest,
		.limit = s->send.limit, .consumed = s->send.consumed };
	uint8_t out[FRAME_HEAD + FRAME_CONTROL_MAX];

	session_lost(s, "cut", d.now);
	resume_adopt(s, s->epoch + 1, d.now);
	for (unsigned i = 0; i < d.server.opened; i++) {
		const struct stream *st = d.server.ends[i].st;

		frame.entries[frame.count++] = (struct state_entry){ .stream = st->id,
			.wanted = st->send.consumed, .consumed = st->send.consumed,
			.limit = st->send.limit, .final = STATE_NO_FINAL };
	}
	session_feed(s, out, state_frame_encode(&frame, out, sizeof out), d.now);
	assert_int_equal(s->state, SESSION_OPEN);
}

static void many_small_chunks_make_one_frame(void **unused)
{
	(void)unused;
	begin();
	duo_open(&d);
	count = 0;
	for (int i = 0; i < 100; i++) {
		duo_send(&d.server, 0, 100, false);
		listen_once(DUO_OUT);
	}
	assert_int_equal(count, 100);
	lose_all();
	listen_all();
	assert_int_equal(count, 1);
	assert_int_equal(frames[0].len, 100 * 100);
	duo_fini(&d);
}

/* Not without an end: the others wait meanwhile. */
static void merged_frames_are_a_quantum(void **unused)
{
	(void)unused;
	begin();
	duo_open(&d);
	count = 0;
	for (int i = 0; i < 100; i++) {
		duo_send(&d.server, 0, 1000, false);
		listen_once(DUO_OUT);
	}
	lose_all();
	listen_all();
	assert_int_equal(count, (100 * 1000 + SESSION_QUANTUM - 1) / SESSION_QUANTUM);
	assert_int_equal(frames[0].len, SESSION_QUANTUM);
	assert_int_equal(total_of(1), 100 * 1000);
	duo_fini(&d);
}

static void large_chunks_go_again_without_a_copy(void **unused)
{
	static uint8_t storage[64 * KIB];
	const uint8_t *kept;
	struct batch b;
	bool found = false;

	(void)unused;
	begin();
	duo_open(&d);
	duo_send(&d.server, 0, 200 * KIB, false);
	listen_all();
	assert_int_equal(total_of(1), 200 * KIB);
	lose_all();
	kept = d.server.ends[0].st->kept->data + d.server.ends[0].st->kept->at;
	duo_uncap(&d.server);
	batch_init(&b, storage, sizeof storage, 300 * KIB);
	session_compose(&d.server.session, &b, d.now);
	for (unsigned i = 0; i < b.count; i++)
		found |= b.segments[i].data == kept;
	assert_true(found);
	batch_drop(&b);
	duo_fini(&d);
}

/* A limit that stops a stream is met to the byte, however small frames are: else the peer
 * would not know that its window does it. */
static void the_last_frame_ends_at_the_limit(void **unused)
{
	static const uint64_t rates[] = { 100000, 5000000, 8000000, 20000000, 1000000000 };

	(void)unused;
	for (size_t i = 0; i < COUNT(rates); i++) {
		for (unsigned beyond = 0; beyond < 8192; beyond += 77) {
			begin();
			duo_open(&d);
			duo_uncap(&d.server);
			d.server.session.path.gauge.rate = rates[i];
			d.server.ends[0].st->send.limit = 64 * KIB + beyond;
			duo_send(&d.server, 0, 100 * KIB, false);
			listen_all();
			assert_int_equal(total_of(1), 64 * KIB + beyond);
			duo_fini(&d);
		}
	}
}

static void frames_sent_again_are_shared(void **unused)
{
	(void)unused;
	for (uint32_t max_frame = 16 * KIB; max_frame <= 256 * KIB; max_frame *= 4) {
		uint32_t most = max_frame < PATH_FRAME_UNKNOWN ? max_frame : PATH_FRAME_UNKNOWN;

		begin();
		duo_open(&d);
		duo_open(&d);
		for (unsigned i = 0; i < 2; i++) {
			duo_send(&d.server, i, 200 * KIB, false);
			listen_all();
		}
		d.server.session.max_frame = max_frame;
		lose_all();
		listen_all();
		assert_int_equal(total_of(1), 200 * KIB);
		assert_int_equal(total_of(2), 200 * KIB);
		for (unsigned i = 0; i < count; i++)
			assert_true(frames[i].len > 0 && frames[i].len <= most);
		/* They take turns. */
		assert_int_not_equal(frames[0].stream, frames[1].stream);
		duo_fini(&d);
	}
}

/* A batch that is nearly full takes a part; the rest follows. */
static void what_does_not_fit_follows(void **unused)
{
	(void)unused;
	for (size_t cap = 2 * SESSION_FRAME_MIN; cap < 40 * KIB; cap += 1537) {
		begin();
		duo_open(&d);
		duo_send(&d.server, 0, 100 * KIB, false);
		listen_all();
		duo_send(&d.server, 0, 3000, false);
		listen_all();
		lose_all();
		count = 0;
		while (listen_once(cap) <= cap && kept_is_due(d.server.ends[0].st))
			;
		assert_int_equal(total_of(1), 100 * KIB + 3000);
		duo_fini(&d);
	}
}

/* What comes anew waits until what was lost went again. */
static void new_bytes_follow_the_old(void **unused)
{
	(void)unused;
	begin();
	duo_open(&d);
	duo_send(&d.server, 0, 100, false);
	listen_all();
	duo_send(&d.server, 0, 50, true);
	lose_all();
	listen_all();
	assert_int_equal(count, 2);
	assert_int_equal(frames[0].len, 100);
	assert_int_equal(frames[1].len, 50);
	assert_int_equal(d.server.ends[0].st->out, STREAM_CLOSED);
	/* Once, it is not due any more. */
	listen_all();
	assert_int_equal(count, 0);
	duo_fini(&d);
}

/* The room that was asked for is not what is kept. */
static void what_is_kept_occupies_about_its_bytes(void **unused)
{
	static const size_t pieces[] = { 1, 10, 100, 1000, 4 * KIB - 1, 4 * KIB, 7 * KIB,
		8 * KIB, 9 * KIB, 16 * KIB, 17 * KIB, 33 * KIB, 60 * KIB };
	/* Else the last piece waits for credit that is worth a frame. */
	const size_t most = SESSION_STREAM_CREDIT - SESSION_FRAME_MIN;

	(void)unused;
	for (size_t i = 0; i < COUNT(pieces); i++) {
		size_t sum = 0, overhead = 0;

		begin();
		duo_open(&d);
		/* Large ones before, so that large ones are expected. */
		d.server.ends[0].st->last_frame = 64 * KIB;
		for (int k = 0; k < 20 && sum + pieces[i] <= most; k++) {
			duo_send(&d.server, 0, pieces[i], false);
			listen_all();
			sum += pieces[i];
			overhead += sizeof(struct chunk) + FRAME_HEAD;
		}
		assert_int_equal(d.server.ends[0].sent, sum);
		assert_true(duo_pool.used >= sum);
		if (duo_pool.used > 2 * (sum + overhead))
			fail_msg("pieces of %zu: %zu bytes occupy %zu", pieces[i], sum, duo_pool.used);
		duo_fini(&d);
		assert_int_equal(duo_pool.used, 0);
	}
}

/* What the peer has taken is let go. */
static void what_is_taken_is_not_kept(void **unused)
{
	(void)unused;
	begin();
	duo_open(&d);
	for (int i = 0; i < 10; i++) {
		duo_send(&d.server, 0, 200 * KIB, false);
		duo_settle(&d);
	}
	d.now += 1000000;
	session_tick(&d.client.session, 0, d.now);
	duo_settle(&d);
	assert_int_equal(d.client.ends[0].got, 2000 * KIB);
	assert_int_equal(duo_pool.used, 0);
	duo_fini(&d);
}

static size_t pull_and_reset(void *owner, struct stream *st, uint8_t *out, size_t cap)
{
	struct duo_side *side = owner;
	size_t n = duo_pull(owner, st, out, cap);

	stream_reset(&side->session, st, CODE_LOCAL_RESET);
	return n;
}

/* The last bytes of a stream that its source resets are sent, not kept. */
static void nothing_is_kept_of_what_was_reset(void **unused)
{
	static struct session_ops ops;

	(void)unused;
	begin();
	duo_open(&d);
	ops = duo_ops;
	ops.pull = pull_and_reset;
	d.server.session.ops = &ops;
	duo_send(&d.server, 0, 5000, false);
	duo_settle(&d);
	assert_int_equal(d.client.ends[0].got, 5000);
	assert_int_equal(d.client.ends[0].saw_reset, 1);
	assert_int_equal(duo_pool.used, 0);
	assert_int_equal(d.server.session.send.sent, d.client.session.recv.received);
	duo_fini(&d);
}

/* Nothing at all when the ends did not agree to resume. */
static void nothing_is_kept_for_nothing(void **unused)
{
	(void)unused;
	duo_hold_ms = 0;
	begin();
	duo_open(&d);
	d.client.ends[0].holds = true;
	duo_send(&d.server, 0, 200 * KIB, false);
	duo_settle(&d);
	assert_int_equal(d.client.ends[0].got, 200 * KIB);
	assert_int_equal(duo_pool.used, 0);
	duo_fini(&d);
	duo_hold_ms = 60000;
}

/* By the stream's credit, the session's, and the floor that nobody takes. */
static void credit_allows_what_both_do(void **unused)
{
	static const struct {
		uint64_t own, all, pending, allowance;
	} rows[] = {
		{ 100000, 200000, 0, 100000 },
		{ 200000, 100000, 0, 100000 },
		{ 100000, 0, 0, SESSION_FLOOR },
		{ 100000, 0, SESSION_FLOOR - 1, 1 },
		{ 100000, 0, SESSION_FLOOR, 0 },
		{ 100000, 5, SESSION_FLOOR + 1, 5 },
		{ 0, 100000, 0, 0 },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct session s = { .config.pool = &duo_pool, .send = { .sent = 7, .limit = 7 + rows[i].all } };
		struct stream st = { .send = { .sent = rows[i].pending,
			.limit = rows[i].pending + rows[i].own } };

		assert_int_equal(data_allowance(&s, &st), rows[i].allowance);
		assert_int_equal(data_has_credit(&s, &st), rows[i].allowance >= SESSION_FRAME_MIN);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_small_chunks_make_one_frame),
		cmocka_unit_test(merged_frames_are_a_quantum),
		cmocka_unit_test(large_chunks_go_again_without_a_copy),
		cmocka_unit_test(the_last_frame_ends_at_the_limit),
		cmocka_unit_test(frames_sent_again_are_shared),
		cmocka_unit_test(what_does_not_fit_follows),
		cmocka_unit_test(new_bytes_follow_the_old),
		cmocka_unit_test(what_is_kept_occupies_about_its_bytes),
		cmocka_unit_test(what_is_taken_is_not_kept),
		cmocka_unit_test(nothing_is_kept_of_what_was_reset),
		cmocka_unit_test(nothing_is_kept_for_nothing),
		cmocka_unit_test(credit_allows_what_both_do),
	};

	duo_hold_ms = 60000;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
