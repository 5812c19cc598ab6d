#include "mux/carrier.h"

#include "duo.h"
#include "mux/resume.h"

/* Two lanes of a client: the second rides on the transport of the first. */
struct pair {
	struct duo lanes[2];
	struct carrier client, server;
};

static struct pair pair;

static void prepare(void)
{
	for (int i = 0; i < 2; i++) {
		duo_reach(&pair.lanes[i], SESSION_OPEN);
		pair.lanes[i].client.session.lane = pair.lanes[i].server.session.lane = (uint8_t)i;
	}
	carrier_init(&pair.client, &pair.lanes[0].client.session);
	carrier_init(&pair.server, &pair.lanes[0].server.session);
}

static void ride(void)
{
	assert_true(carrier_add(&pair.client, &pair.lanes[1].client.session));
	assert_true(carrier_add(&pair.server, &pair.lanes[1].server.session));
}

static void finish(void)
{
	duo_fini(&pair.lanes[0]);
	duo_fini(&pair.lanes[1]);
}

/* What c has to say in one batch of at most `room`, appended to out. */
static size_t say(struct carrier *c, uint8_t *out, size_t room)
{
	static uint8_t storage[64 * 1024];
	struct batch b;
	size_t n = 0;

	batch_init(&b, storage, sizeof storage, room);
	carrier_compose(c, &b, pair.lanes[0].now);
	for (unsigned i = 0; i < b.count; i++) {
		memcpy(out + n, b.segments[i].data, b.segments[i].len);
		n += b.segments[i].len;
	}
	batch_drop(&b);
	return n;
}

static void hear(struct carrier *c, const uint8_t *data, size_t len, size_t step)
{
	for (size_t at = 0; at < len; at += step) {
		size_t n = len - at < step ? len - at : step;
		uint8_t *copy = unit_copy(data + at, n);

		carrier_feed(c, copy, n, pair.lanes[0].now);
		free(copy);
	}
}

/* All that both have to say, split into pieces of `step` bytes. */
static size_t talk(size_t step)
{
	static uint8_t out[DUO_OUT];
	size_t all = 0, n;

	for (int i = 0; i < 1000; i++) {
		n = say(&pair.server, out, 60000);
		hear(&pair.client, out, n, step);
		all += n;
		n = say(&pair.client, out, 60000);
		hear(&pair.server, out, n, step);
		all += n;
		if (!carrier_has_output(&pair.server) && !carrier_has_output(&pair.client))
			return all;
	}
	fail_msg("two carriers talk without end");
	return 0;
}

static void two_lanes_in_pieces_of_any_size(void **state)
{
	(void)state;
	for (size_t step = 1; step < 40; step++) {
		prepare();
		for (int i = 0; i < 2; i++)
			assert_int_equal(duo_open(&pair.lanes[i]), 0);
		ride();
		for (int i = 0; i < 2; i++) {
			duo_send(&pair.lanes[i].server, 0, 3000 + (uint64_t)i, true);
			duo_send(&pair.lanes[i].client, 0, 5000 + (uint64_t)i, true);
		}
		talk(step);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(pair.lanes[i].client.ends[0].got, 3000 + i);
			assert_int_equal(pair.lanes[i].server.ends[0].got, 5000 + i);
			assert_int_equal(pair.lanes[i].client.ends[0].saw_close, 1);
			assert_int_equal(pair.lanes[i].server.ends[0].saw_close, 1);
		}
		finish();
	}
}

/* A heartbeat of lane 1, behind a LANE for `lane` and `epoch`; whether it is heard. */
static bool hears(uint32_t lane, uint32_t epoch)
{
	struct control_heartbeat beat = { .opaque = 1 };
	struct session *s = &pair.lanes[1].server.session;
	unsigned before = s->replies;
	uint8_t out[64];
	size_t n = state_lane_encode(lane, epoch, out, sizeof out);

	n += control_heartbeat_encode(&beat, out + n, sizeof out - n);
	carrier_feed(&pair.server, out, n, pair.lanes[0].now);
	return s->replies == before + 1;
}

static void frames_of_another_epoch_or_lane_are_skipped(void **state)
{
	struct session *first = &pair.lanes[0].server.session, *guest = &pair.lanes[1].server.session;

	(void)state;
	prepare();
	assert_false(hears(1, guest->epoch)); /* It is not here yet. */
	ride();
	assert_true(hears(1, guest->epoch));
	assert_false(hears(1, guest->epoch + 1));
	assert_false(hears(1, guest->epoch - 1));
	assert_false(hears(7, guest->epoch));
	assert_true(hears(1, guest->epoch));
	assert_true(carrier_remove(&pair.server, guest));
	assert_false(hears(1, guest->epoch));
	assert_int_equal(first->replies, 0); /* Nor is any of it the host's. */
	assert_int_equal(first->state, SESSION_OPEN);
	assert_true(carrier_add(&pair.server, guest));
	assert_true(hears(1, guest->epoch));
	finish();
}

static void what_is_no_marker_ends_the_host(void **state)
{
	static const struct {
		uint32_t lane, len;
	} bad[] = { { STATE_LANES_MAX, 4 }, { UINT32_MAX, 4 }, { 1, 0 }, { 1, 3 }, { 1, 5 },
		{ 1, UINT32_MAX } };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		for (size_t step = 1; step < 3; step++) {
			uint8_t out[64] = { 0 };

			prepare();
			ride();
			frame_put(out, FRAME_LANE, bad[i].lane, bad[i].len);
			hear(&pair.server, out, sizeof out, step == 1 ? 1 : sizeof out);
			assert_int_equal(pair.lanes[0].server.end.code, CODE_PROTOCOL);
			assert_int_equal(pair.lanes[1].server.session.state, SESSION_OPEN);
			finish();
		}
}

static void without_the_capability_it_is_an_unknown_frame(void **state)
{
	(void)state;
	duo_more = 0;
	prepare();
	assert_false(hears(1, 1));
	/* It was skipped, and the heartbeat is the owner's. */
	assert_int_equal(pair.lanes[0].server.session.replies, 1);
	finish();
	duo_more = LOGIN_CAN_LANES;
}

/* Says so many heartbeats that they do not go into one batch. */
static void say_much(struct session *s)
{
	for (unsigned i = 0; i < 2 * SESSION_COMPOSE_MIN / 19; i++)
		session_measure(s);
}

static void no_lane_breaks_into_half_a_frame(void **state)
{
	static uint8_t out[DUO_OUT];
	size_t n;

	(void)state;
	prepare();
	ride();
	for (int i = 0; i < 2; i++)
		say_much(&pair.lanes[i].server.session);
	for (int i = 0; carrier_has_output(&pair.server); i++) {
		assert_true(i < 100);
		n = say(&pair.server, out, SESSION_COMPOSE_MIN + STATE_LANE_FRAME);
		hear(&pair.client, out, n, n);
		talk(DUO_OUT); /* The answers. */
	}
	assert_int_equal(pair.lanes[0].client.session.state, SESSION_OPEN);
	assert_int_equal(pair.lanes[1].client.session.state, SESSION_OPEN);
	finish();
}

static void who_leaves_amid_a_frame_takes_the_transport_along(void **state)
{
	static uint8_t out[DUO_OUT];

	(void)state;
	prepare();
	ride();
	say_much(&pair.lanes[1].server.session);
	assert_true(say(&pair.server, out, SESSION_COMPOSE_MIN + STATE_LANE_FRAME) > 0);
	assert_true(session_is_amid_frame(&pair.lanes[1].server.session));
	assert_false(carrier_remove(&pair.server, &pair.lanes[1].server.session));
	finish();
}

static bool left_whole;

/* As tunnel/ride.c: who loses its transport leaves the one that it rides on. */
static void leave(void *owner, const char *text)
{
	struct duo_side *side = owner;

	(void)text;
	left_whole = carrier_remove(&pair.server, &side->session);
}

static void who_is_taken_off_amid_a_frame_takes_the_transport_along(void **state)
{
	static uint8_t out[DUO_OUT];
	struct session *guest = &pair.lanes[1].server.session;
	struct session_ops ops = duo_ops;

	(void)state;
	ops.on_detach = leave;
	for (int amid = 0; amid < 2; amid++) {
		prepare();
		ride();
		guest->ops = &ops;
		if (amid)
			say_much(guest);
		else
			session_measure(guest);
		assert_true(say(&pair.server, out, SESSION_COMPOSE_MIN + STATE_LANE_FRAME) > 0);
		left_whole = amid; /* To be told otherwise. */
		session_lost(guest, "moves to a connection of its own", pair.lanes[0].now);
		assert_int_equal(guest->state, SESSION_LOST);
		assert_int_equal(left_whole, !amid);
		finish();
	}
}

static void who_comes_again_is_named_again(void **state)
{
	static uint8_t out[DUO_OUT];
	struct session *guest = &pair.lanes[1].server.session;

	(void)state;
	prepare();
	ride();
	for (int i = 0; i < 2; i++) {
		session_measure(guest);
		assert_true(say(&pair.server, out, 60000) > STATE_LANE_FRAME);
		assert_int_equal(frame_get(out).type, FRAME_LANE);
		assert_int_equal(frame_get(out).stream, 1);
		assert_true(carrier_remove(&pair.server, guest));
		assert_true(carrier_add(&pair.server, guest));
	}
	finish();
}

static void a_number_is_there_once(void **state)
{
	(void)state;
	prepare();
	ride();
	assert_false(carrier_add(&pair.server, &pair.lanes[1].server.session));
	assert_false(carrier_add(&pair.server, &pair.lanes[0].server.session));
	finish();
}

static void a_transport_that_changes_hands_goes_on_amid_a_frame(void **state)
{
	struct control_heartbeat beat = { .opaque = 1 };
	struct session *heir = &pair.lanes[1].server.session;
	struct carrier c;
	uint8_t out[64];
	size_t n = control_heartbeat_encode(&beat, out, sizeof out);

	(void)state;
	for (size_t cut = 0; cut < n; cut++) {
		prepare();
		hear(&pair.server, out, cut, cut + 1);
		carrier_take_over(&c, &pair.server, heir);
		resume_inherit(heir, &pair.lanes[0].server.session);
		carrier_feed(&c, out + cut, n - cut, pair.lanes[0].now);
		assert_int_equal(heir->replies, 1);
		assert_null(pair.server.owner);
		finish();
	}
}

/* --- RESUME and JOIN ------------------------------------------------------------------ */

static void a_lane_that_is_not_there_is_refused_in_its_own_name(void **state)
{
	static uint8_t out[DUO_OUT];
	struct state_resume resume = { .epoch = 2, .lane = 1 };
	struct session *host = &pair.lanes[0].server.session;
	size_t n;

	(void)state;
	prepare();
	session_feed(host, out, state_resume_encode(&resume, out, sizeof out), pair.lanes[0].now);
	n = say(&pair.server, out, 60000);
	assert_int_equal(n, 2 * STATE_LANE_FRAME + FRAME_HEAD + 2);
	assert_int_equal(frame_get(out).stream, 1);
	assert_int_equal(frame_get(out + STATE_LANE_FRAME).type, FRAME_RESUME_ERR);
	assert_int_equal(frame_get(out + n - STATE_LANE_FRAME).type, FRAME_LANE);
	assert_int_equal(frame_get(out + n - STATE_LANE_FRAME).stream, 0);
	assert_int_equal(host->state, SESSION_OPEN);
	finish();
}

static void resume_of_what_cannot_be_is_a_breach(void **state)
{
	static const uint8_t lanes[] = { 0, STATE_LANES_MAX, 255 }; /* 0: its own */
	uint8_t out[128];

	(void)state;
	for (size_t i = 0; i <= COUNT(lanes); i++) {
		struct state_resume resume = { .epoch = 2, .lane = i < COUNT(lanes) ? lanes[i] : 1 };

		duo_more = i < COUNT(lanes) ? LOGIN_CAN_LANES : 0;
		prepare();
		session_feed(&pair.lanes[0].server.session, out,
			state_resume_encode(&resume, out, sizeof out), pair.lanes[0].now);
		assert_int_equal(pair.lanes[0].server.end.code, CODE_PROTOCOL);
		finish();
	}
	duo_more = LOGIN_CAN_LANES;
}

static enum code on_join(void *owner, const struct state_join *join)
{
	struct duo_side *side = owner;

	side->given += join->lane;
	return CODE_OK;
}

static void a_login_joins(void **state)
{
	struct session_ops ops = duo_ops;
	struct state_join join = { .lane = 5 };
	static struct duo d;

	(void)state;
	ops.on_join = on_join;
	for (int can = 0; can < 2; can++) {
		duo_more = can ? LOGIN_CAN_LANES : 0;
		duo_reach(&d, SESSION_BIND);
		d.server.session.ops = &ops;
		session_join(&d.client.session, &join);
		assert_int_equal(d.client.session.state, SESSION_OPEN);
		duo_settle(&d);
		assert_int_equal(d.server.given, can ? 5 : 0);
		assert_int_equal(d.server.session.state, can ? SESSION_OPEN : SESSION_DEAD);
		if (can) {
			assert_int_equal(d.server.session.lane, 5);
			duo_send(&d.server, duo_open(&d), 1000, true);
			duo_settle(&d);
			assert_int_equal(d.client.ends[0].got, 1000);
		}
		duo_fini(&d);
	}
	duo_more = LOGIN_CAN_LANES;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_lanes_in_pieces_of_any_size),
		cmocka_unit_test(frames_of_another_epoch_or_lane_are_skipped),
		cmocka_unit_test(what_is_no_marker_ends_the_host),
		cmocka_unit_test(without_the_capability_it_is_an_unknown_frame),
		cmocka_unit_test(no_lane_breaks_into_half_a_frame),
		cmocka_unit_test(who_leaves_amid_a_frame_takes_the_transport_along),
		cmocka_unit_test(who_is_taken_off_amid_a_frame_takes_the_transport_along),
		cmocka_unit_test(who_comes_again_is_named_again),
		cmocka_unit_test(a_number_is_there_once),
		cmocka_unit_test(a_transport_that_changes_hands_goes_on_amid_a_frame),
		cmocka_unit_test(a_lane_that_is_not_there_is_refused_in_its_own_name),
		cmocka_unit_test(resume_of_what_cannot_be_is_a_breach),
		cmocka_unit_test(a_login_joins),
	};

	duo_hold_ms = 60000;
	duo_more = LOGIN_CAN_LANES;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
