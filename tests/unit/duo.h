/* Two sessions joined in memory for unit tests: a fake login, a clock that
 * the test moves, and a record of what each was told. */
#ifndef TESTS_DUO_H
#define TESTS_DUO_H

#include "unit.h"

#include "flat.h"
#include "mux/binding.h"
#include "mux/session.h"

static struct chunk_pool duo_pool;
static uint32_t duo_hold_ms;	/* 0: sessions do not outlive their transport */
static uint64_t duo_more;	/* capabilities beside that */

enum { DUO_BIND = 7, DUO_OUT = 600 * 1024, DUO_STREAMS = 250 };

/* What one end of a stream still has to send, and what it was told. */
struct duo_end {
	struct stream *st;
	uint64_t left, sent, got;
	bool closes;		/* CLOSE after the last byte */
	bool holds;		/* does not take what arrives */
	unsigned saw_close, saw_reset;
	enum code code;
};

struct duo_side {
	struct session session;
	struct duo_end ends[DUO_STREAMS];
	unsigned opened;
	unsigned detached, resumed, refused, given;
	unsigned logins, ends_told, shutdowns, binds, bind_oks, bind_errs, answers, wakes;
	struct session_end end;
	uint16_t bind_code;
	uint8_t order[4096];	/* the number of the end of each pull */
	unsigned pulls;
};

struct duo {
	struct duo_side client, server;
	uint64_t now;
};

static inline enum code duo_message(void *owner, const struct login_hello *hello,
	uint8_t out[LOGIN_SPAKE])
{
	(void)owner;
	(void)hello;
	memset(out, 3, LOGIN_SPAKE);
	return CODE_OK;
}

static inline enum code duo_prove(void *owner, const uint8_t peer[LOGIN_SPAKE], struct span hello,
	struct span ack, struct session_proofs *out)
{
	(void)owner;
	(void)peer;
	(void)hello;
	(void)ack;
	memset(out->client, 1, sizeof out->client);
	memset(out->server, 2, sizeof out->server);
	memset(out->resume, 3, sizeof out->resume);
	return CODE_OK;
}

static inline void duo_random(void *owner, void *out, size_t n)
{
	(void)owner;
	memset(out, 9, n);
}

static inline bool duo_equal(const void *a, const void *b, size_t n)
{
	return memcmp(a, b, n) == 0;
}

static inline void duo_on_login(void *owner)
{
	((struct duo_side *)owner)->logins++;
}

static inline void duo_on_end(void *owner, const struct session_end *end)
{
	struct duo_side *side = owner;

	side->ends_told++;
	side->end = *end;
}

static inline void duo_on_shutdown(void *owner, uint32_t drain_ms)
{
	(void)drain_ms;
	((struct duo_side *)owner)->shutdowns++;
}

static inline void duo_on_detach(void *owner, const char *text)
{
	struct duo_side *side = owner;

	assert_int_not_equal(strlen(text), 0);
	side->detached++;
}

static inline void duo_on_resumed(void *owner)
{
	struct duo_side *side = owner;

	side->resumed++;
}

static inline enum code duo_on_resume(void *owner, const struct state_resume *resume)
{
	struct duo_side *side = owner;

	(void)resume;
	side->given++;
	return CODE_OK;
}

static inline void duo_on_refused(void *owner, enum code code)
{
	struct duo_side *side = owner;

	assert_int_not_equal(code, CODE_OK);
	side->refused++;
}

static inline void duo_on_output(void *owner)
{
	((struct duo_side *)owner)->wakes++;
}

static inline void duo_nothing(void *owner)
{
	(void)owner;
}

static inline void duo_on_bind(void *owner, const struct bind_request *request)
{
	struct bind_ok ok = { request->id, 10000, BIND_SCOPE_ANY, { 0 } };
	struct duo_side *side = owner;

	side->binds++;
	binding_grant(&side->session, &ok);
}

static inline void duo_on_unbind(void *owner, uint32_t id)
{
	(void)owner;
	(void)id;
}

static inline void duo_on_answer(void *owner, struct stream *st)
{
	(void)st;
	((struct duo_side *)owner)->answers++;
}

static inline void duo_on_bind_ok(void *owner, const struct bind_ok *ok)
{
	(void)ok;
	((struct duo_side *)owner)->bind_oks++;
}

static inline void duo_on_bind_err(void *owner, const struct bind_err *err)
{
	struct duo_side *side = owner;

	side->bind_errs++;
	side->bind_code = err->code;
}

static inline enum code duo_on_open(void *owner, struct stream *st, const struct flow_open *open)
{
	struct duo_side *side = owner;
	struct duo_end *e = &side->ends[side->opened++];

	(void)open;
	e->st = st;
	st->user = e;
	return CODE_OK;
}

static inline void duo_on_data(void *owner, struct stream *st, const uint8_t *data, size_t len)
{
	struct duo_side *side = owner;
	struct duo_end *e = st->user;

	(void)data;
	e->got += len;
	if (!e->holds)
		stream_consumed(&side->session, st, len);
}

static inline void duo_on_close(void *owner, struct stream *st)
{
	(void)owner;
	((struct duo_end *)st->user)->saw_close++;
}

static inline void duo_on_reset(void *owner, struct stream *st, enum code code)
{
	struct duo_end *e = st->user;

	(void)owner;
	e->saw_reset++;
	e->code = code;
}

static inline size_t duo_pull(void *owner, struct stream *st, uint8_t *out, size_t cap)
{
	struct duo_side *side = owner;
	struct duo_end *e = st->user;
	size_t n = e->left < cap ? (size_t)e->left : cap;

	memset(out, 'x', n);
	e->left -= n;
	e->sent += n;
	if (side->pulls < sizeof side->order)
		side->order[side->pulls++] = (uint8_t)(e - side->ends);
	if (!e->left && e->closes)
		stream_close(&side->session, st);
	return n;
}

static const struct session_ops duo_ops = {
	.message = duo_message,
	.prove = duo_prove,
	.random = duo_random,
	.equal = duo_equal,
	.on_login = duo_on_login,
	.on_end = duo_on_end,
	.on_shutdown = duo_on_shutdown,
	.on_detach = duo_on_detach,
	.on_resumed = duo_on_resumed,
	.on_resume = duo_on_resume,
	.on_resume_refused = duo_on_refused,
	.on_output = duo_on_output,
	.on_bind = duo_on_bind,
	.on_unbind = duo_on_unbind,
	.on_answer = duo_on_answer,
	.on_bind_ok = duo_on_bind_ok,
	.on_bind_err = duo_on_bind_err,
	.on_open = duo_on_open,
	.on_data = duo_on_data,
	.on_close = duo_on_close,
	.on_reset = duo_on_reset,
	.on_over = duo_nothing,
	.pull = duo_pull,
};

static inline void duo_begin(struct duo *d, struct duo_side *side, enum session_role role)
{
	static const uint8_t instance[LOGIN_INSTANCE] = { 1 };
	const struct session_config config = {
		.role = role,
		.max_frame = FRAME_DATA_DEFAULT,
		.capabilities = duo_more | (duo_hold_ms ? LOGIN_CAN_RESUME : 0),
		.hold_ms = duo_hold_ms,
		.sync_us = 1000000,
		.pool = &duo_pool,
		.stream_credit = SESSION_STREAM_CREDIT,
		.login_us = 5000000,
		.heartbeat_us = 10000000,
		.dead_us = 25000000,
		.stuck_us = 30000000,
		.name = "duo",
		.instance = instance,
		.key_id = "default",
		.version = "0",
	};

	assert_int_equal(session_init(&side->session, &config, &duo_ops, side, d->now), CODE_OK);
}

/* What one side has to say, given to the other. Returns its length. */
static inline size_t duo_carry(struct duo *d, struct duo_side *from, struct duo_side *to)
{
	static uint8_t out[DUO_OUT];
	size_t n = flat_compose(&from->session, out, sizeof out, d->now);
	uint8_t *copy = unit_copy(out, n);

	session_feed(&to->session, copy, n, d->now);
	free(copy);
	return n;
}

/* Until neither has more to say. */
static inline void duo_settle(struct duo *d)
{
	for (int i = 0; i < 1000; i++)
		if (duo_carry(d, &d->client, &d->server) + duo_carry(d, &d->server, &d->client) == 0)
			return;
	fail_msg("two sessions talk without end");
}

static inline void duo_init(struct duo *d)
{
	memset(d, 0, sizeof *d);
	d->now = 1000000;
	duo_begin(d, &d->client, SESSION_CLIENT);
	duo_begin(d, &d->server, SESSION_SERVER);
}

/* Both ends up to `state`, at most SESSION_OPEN. */
static inline void duo_reach(struct duo *d, enum session_state state)
{
	struct bind_request request = { .id = DUO_BIND, .kind = BIND_TCP };

	duo_init(d);
	if (state == SESSION_HELLO)
		return;
	duo_carry(d, &d->client, &d->server);
	if (state == SESSION_AUTH) {
		duo_carry(d, &d->server, &d->client);
		return;
	}
	duo_settle(d);
	assert_int_equal(d->client.logins + d->server.logins, 2);
	if (state == SESSION_BIND)
		return;
	binding_ask(&d->client.session, &request);
	duo_settle(d);
	assert_int_equal(d->client.bind_oks, 1);
}

/* A visitor: the same number on both sides. */
static inline unsigned duo_open(struct duo *d)
{
	struct flow_open open = { .bind_id = DUO_BIND, .peer = { .family = 4 },
		.local = { .family = 4 } };
	unsigned i = d->server.opened++;

	d->server.ends[i].st = stream_open(&d->server.session, &open, &d->server.ends[i]);
	assert_non_null(d->server.ends[i].st);
	duo_settle(d);
	assert_int_equal(d->client.opened, i + 1);
	stream_answer(&d->client.session, d->client.ends[i].st);
	duo_settle(d);
	return i;
}

static inline void duo_send(struct duo_side *side, unsigned i, uint64_t n, bool closes)
{
	side->ends[i].left = n;
	side->ends[i].closes = closes;
	stream_ready(&side->session, side->ends[i].st);
}

/* For what composes without hearing an ACK: everything may be in flight. */
static inline void duo_uncap(struct duo_side *side)
{
	side->session.path.cap = UINT64_MAX;
}

static inline void duo_fini(struct duo *d)
{
	struct duo_side *sides[] = { &d->client, &d->server };

	for (int k = 0; k < 2; k++) {
		for (unsigned i = 0; i < sides[k]->opened; i++)
			if (sides[k]->ends[i].st)
				stream_release(&sides[k]->session, sides[k]->ends[i].st);
		session_fini(&sides[k]->session);
	}
}

#endif
