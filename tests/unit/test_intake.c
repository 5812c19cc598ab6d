#include "duo.h"

#include "mux/resume.h"
#include "wire/state.h"

/* gotunnel-protocol(7), "Frames": who sends what, when, where. Written down
 * here a second time, so that no change of the rules goes unnoticed. */
enum { C = 1, S = 2, B = 3 };
enum {
	HELLO = 1 << SESSION_HELLO,
	AUTH = 1 << SESSION_AUTH,
	BIND = 1 << SESSION_BIND,
	OPEN = 1 << SESSION_OPEN,
	DRAIN = 1 << SESSION_DRAIN,
	ASKING = 1 << SESSION_ASKING,
	SYNCING = 1 << SESSION_SYNCING,
	GIVEN = 1 << SESSION_GIVEN,
	FWD = BIND | OPEN | DRAIN,
	FLOW = OPEN | DRAIN,
	RESUMING = ASKING | SYNCING,
};

static const struct row {
	unsigned type, from, states;
	bool on_stream;
	uint32_t max_len;
} rows[] = {
	{ FRAME_HELLO, C, HELLO, false, 4096 },
	{ FRAME_HELLO_ACK, S, HELLO, false, 4096 },
	{ FRAME_AUTH, C, AUTH, false, 2048 },
	{ FRAME_AUTH_OK, S, AUTH, false, 128 },
	{ FRAME_AUTH_ERR, S, HELLO | AUTH, false, 1024 },
	{ FRAME_BIND, C, FWD, false, 4096 },
	{ FRAME_BIND_OK, S, FWD, false, 512 },
	{ FRAME_HEARTBEAT, B, FWD | RESUMING | GIVEN, false, 9 },
	{ FRAME_ERROR, B, HELLO | AUTH | FWD | RESUMING, false, 1024 },
	{ FRAME_BIND_ERR, S, FWD, false, 1024 },
	{ FRAME_UNBIND, C, FWD, false, 4 },
	{ FRAME_SHUTDOWN, B, FWD, false, 8 },
	{ FRAME_RESUME, C, FWD, false, 64 },
	{ FRAME_STATE, B, RESUMING, false, 4096 },
	{ FRAME_RESUME_ERR, S, ASKING, false, 2 },
	{ FRAME_STREAM_OPEN, S, FLOW, true, 64 },
	{ FRAME_STREAM_DATA, B, FLOW, true, 256 * 1024 },
	{ FRAME_STREAM_CLOSE, B, FLOW, true, 8 },
	{ FRAME_STREAM_RESET, B, FLOW, true, 10 },
	{ FRAME_STREAM_CREDIT, B, FWD, true, 16 },
	{ FRAME_ACK, B, FWD, false, 8 },
	{ FRAME_JOIN, C, BIND, false, 64 },
};

/* A session that is about to give its transport away. */
static void give(struct duo *d)
{
	struct state_resume resume = { .epoch = 2 };
	uint8_t out[FRAME_HEAD + 64];

	duo_reach(d, SESSION_BIND);
	session_feed(&d->server.session, out, state_resume_encode(&resume, out, sizeof out), d->now);
}

/* Brings both, or the one of the role that can be there, to a state. */
static void reach(struct duo *d, enum session_role role, enum session_state state)
{
	struct session *s = role == SESSION_CLIENT ? &d->client.session : &d->server.session;
	struct state_resume resume = { .epoch = 2 };

	if (state == SESSION_GIVEN) {
		give(d);
		return;
	}
	duo_reach(d, state > SESSION_OPEN ? SESSION_OPEN : state);
	if (state == SESSION_DRAIN) {
		session_shutdown(&d->server.session, 1000);
		duo_settle(d);
	}
	if (state == SESSION_LOST || state == SESSION_ASKING || state == SESSION_SYNCING)
		session_lost(s, "cut", d->now);
	if (state == SESSION_ASKING || (state == SESSION_SYNCING && role == SESSION_CLIENT))
		resume_ask(s, s, &resume, d->now);
	else if (state == SESSION_SYNCING)
		resume_adopt(s, 2, d->now);
	if (state == SESSION_SYNCING)
		s->state = state;
}

static bool can_be(enum session_role role, enum session_state state)
{
	return state != SESSION_LOST && (state != SESSION_ASKING || role == SESSION_CLIENT) &&
		(state != SESSION_GIVEN || role == SESSION_SERVER);
}

/* Feeds a head alone: what is refused is refused before its payload. */
static struct duo_side *feed_head(struct duo *d, enum session_role to, enum session_state state,
	unsigned type, uint32_t stream, uint32_t len)
{
	struct duo_side *side;
	uint8_t head[FRAME_HEAD];

	reach(d, to, state);
	side = to == SESSION_CLIENT ? &d->client : &d->server;
	assert_int_equal(side->session.state, state);
	frame_put(head, (enum frame_type)type, stream, len);
	session_feed(&side->session, head, sizeof head, d->now);
	return side;
}

static void every_frame_in_every_state(void **unused)
{
	static struct duo d;

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++)
		for (int role = 0; role < 2; role++)
			for (unsigned state = 0; state < SESSION_DEAD; state++) {
				const struct row *r = &rows[i];
				unsigned peer = role == SESSION_SERVER ? C : S;
				bool allowed = (r->from & peer) && (r->states & 1u << state);
				struct duo_side *side;

				if (!can_be((enum session_role)role, (enum session_state)state))
					continue;
				side = feed_head(&d, (enum session_role)role,
					(enum session_state)state, r->type, r->on_stream ? 999 : 0, 2);

				/* A stream that was never opened is the peer's mistake, too. */
				if (r->type == FRAME_STREAM_DATA || !allowed) {
					assert_int_equal(side->session.state, SESSION_DEAD);
					assert_int_equal(side->end.code, CODE_PROTOCOL);
				} else if (side->session.state == SESSION_DEAD) {
					fail_msg("%s to %d in %u: %s", frame_name(r->type), role,
						state, side->end.text);
				}
				duo_fini(&d);
			}
}

static void no_frame_is_longer_than_its_kind(void **unused)
{
	static struct duo d;

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++)
		for (int more = 0; more < 2; more++) {
			const struct row *r = &rows[i];
			enum session_role to = r->from & C ? SESSION_SERVER : SESSION_CLIENT;
			enum session_state state = r->states & OPEN ? SESSION_OPEN :
				r->states & BIND ? SESSION_BIND :
				r->states & ASKING ? SESSION_ASKING :
				r->states & AUTH ? SESSION_AUTH : SESSION_HELLO;
			struct duo_side *side;

			if (!r->states || r->type == FRAME_STREAM_DATA)
				continue;
			side = feed_head(&d, to, state, r->type, r->on_stream ? 1 : 0,
				more ? r->max_len + 1 : r->max_len);
			assert_int_equal(side->session.state == SESSION_DEAD, more);
			duo_fini(&d);
		}
}

static void a_frame_stands_where_it_belongs(void **unused)
{
	static struct duo d;

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *r = &rows[i];
		struct duo_side *side;

		if (r->type == FRAME_STREAM_CREDIT || !(r->states & FWD))
			continue; /* CREDIT stands on both; a login never on a stream. */
		side = feed_head(&d, r->from & C ? SESSION_SERVER : SESSION_CLIENT,
			r->states & OPEN ? SESSION_OPEN : SESSION_BIND, r->type,
			r->on_stream ? 0 : 1, 0);
		assert_int_equal(side->end.code, CODE_PROTOCOL);
		duo_fini(&d);
	}
}

static void an_unknown_type_is_skipped_once_proved(void **unused)
{
	static const unsigned types[] = { 0, FRAME_LANE, FRAME_LANE + 1, FRAME_DATAGRAM, 0x7F, 0xFF };
	static struct duo d;

	(void)unused;
	for (size_t i = 0; i < COUNT(types); i++)
		for (unsigned state = 0; state <= SESSION_OPEN; state++) {
			struct duo_side *side = feed_head(&d, SESSION_SERVER,
				(enum session_state)state, types[i], 0, 5);
			uint8_t beat[64];
			size_t n;

			if (state < SESSION_BIND) {
				assert_int_equal(side->end.code, CODE_PROTOCOL);
			} else {
				/* What follows its payload is understood again. */
				session_feed(&side->session, (const uint8_t *)"12345", 5, d.now);
				n = control_heartbeat_encode(
					&(struct control_heartbeat){ .opaque = 1 }, beat, sizeof beat);
				session_feed(&side->session, beat, n, d.now);
				assert_int_equal(side->session.replies, 1);
			}
			duo_fini(&d);
		}
}

static void another_version_is_told_so(void **unused)
{
	static struct duo d;
	uint8_t head[FRAME_HEAD];

	(void)unused;
	duo_init(&d);
	frame_put(head, FRAME_HELLO, 0, 10);
	head[0] = 2;
	session_feed(&d.server.session, head, sizeof head, d.now);
	assert_int_equal(d.server.end.code, CODE_VERSION);
	duo_carry(&d, &d.server, &d.client);
	assert_int_equal(d.client.end.kind, SESSION_REFUSED);
	assert_int_equal(d.client.end.code, CODE_VERSION);
	duo_fini(&d);
}

static void replies_are_bounded(void **unused)
{
	static struct duo d;
	uint8_t beat[64];
	size_t n = control_heartbeat_encode(&(struct control_heartbeat){ .opaque = 1 }, beat,
		sizeof beat);

	(void)unused;
	duo_reach(&d, SESSION_OPEN);
	for (int i = 0; i < SESSION_REPLIES_MAX; i++) {
		assert_true(session_may_feed(&d.server.session));
		session_feed(&d.server.session, beat, n, d.now);
	}
	assert_false(session_may_feed(&d.server.session));
	duo_settle(&d);
	assert_true(session_may_feed(&d.server.session));
	duo_fini(&d);
}

static void nothing_is_kept_before_a_head_is_judged(void **unused)
{
	static struct duo d;
	static const uint8_t http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

	(void)unused;
	duo_init(&d);
	session_feed(&d.server.session, http, sizeof http - 1, d.now);
	assert_int_equal(d.server.session.state, SESSION_DEAD);
	assert_null(d.server.session.partial);
	duo_fini(&d);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_frame_in_every_state),
		cmocka_unit_test(no_frame_is_longer_than_its_kind),
		cmocka_unit_test(a_frame_stands_where_it_belongs),
		cmocka_unit_test(an_unknown_type_is_skipped_once_proved),
		cmocka_unit_test(another_version_is_told_so),
		cmocka_unit_test(replies_are_bounded),
		cmocka_unit_test(nothing_is_kept_before_a_head_is_judged),
	};

	duo_hold_ms = 60000;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
