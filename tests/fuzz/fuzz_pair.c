/*
 * Two sessions joined by a pipe each way, and the input as a script of what
 * happens to them: streams are opened, send, end and are reset, bytes are
 * carried, the pipes are cut and joined anew. At the end everything is carried,
 * and then nothing may be missing. What must hold is that of the simulator:
 * what is delivered begins like what was sent, an end comes after its last byte,
 * an id is opened once, what is kept has no gap, and both count the same.
 *
 *	script: max_frame u8, stream_credit u8, then operations of
 *		what u8, of which end u8, how many u8
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/queue.h"
#include "fake_login.h"
#include "flat.h"
#include "mux/binding.h"
#include "mux/resume.h"
#include "mux/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAMS = 12, OPERATIONS_MAX = 1500, BIND_ID = 7, HOLD_MS = 24 * 3600 * 1000 };

#define CHECK(what)                                                            \
	do {                                                                   \
		if (!(what)) {                                                 \
			fprintf(stderr, "line %d: %s\n", __LINE__, #what);     \
			abort();                                               \
		}                                                              \
	} while (0)

/* One end of a stream: a source of numbered bytes and a destination. */
struct end {
	struct side *side;
	struct end *other;
	struct stream *st;	/* NULL: not there yet, or released */
	uint64_t left;		/* bytes that the source has now */
	uint64_t sent, got, taken;
	bool closes;		/* after what is left */
	bool sent_close, sent_reset, saw_close, saw_reset;
	bool begun, is_answered;
};

struct side {
	struct session session;
	struct side *peer;
	struct queue in;	/* what is on the way to it */
	bool is_joined;		/* what it sends is heard */
	unsigned opened, resumes;
	bool bound, may_end;
	struct end ends[STREAMS];
};

static struct chunk_pool pool;
static struct side client, server;
static uint64_t now;

static uint8_t pattern(const struct end *e, uint64_t offset)
{
	uint64_t number = (uint64_t)(e - e->side->ends);

	return (uint8_t)((offset * 31 + number * 7 + (e->side == &server)) ^ (offset >> 8));
}

/* --- upcalls ---------------------------------------------------------------------- */

static bool equal(const void *a, const void *b, size_t n)
{
	return memcmp(a, b, n) == 0;
}

static void on_login(void *owner)
{
	struct bind_request request = { .id = BIND_ID, .kind = BIND_TCP };

	if (owner == &client)
		binding_ask(&client.session, &request);
}

static void on_end(void *owner, const struct session_end *end)
{
	struct side *side = owner;

	if (!side->may_end)
		fprintf(stderr, "%s\n", end->text);
	CHECK(side->may_end);
}

/* The transport goes; the other end may not notice for a while. */
static void leave(struct side *side)
{
	side->is_joined = side->peer->is_joined = false;
	queue_fini(&side->in);
}

static void on_detach(void *owner, const char *text)
{
	CHECK(*text);
	leave(owner);
}

static void on_resumed(void *owner)
{
	((struct side *)owner)->resumes++;
}

static void on_refused(void *owner, enum code code)
{
	(void)owner;
	(void)code;
	CHECK(!"refused");
}

static void on_bind(void *owner, const struct bind_request *request)
{
	struct bind_ok ok = { request->id, 10000, BIND_SCOPE_ANY, { 0 } };
	struct side *side = owner;

	binding_grant(&side->session, &ok);
	side->bound = true;
}

static void on_bind_ok(void *owner, const struct bind_ok *ok)
{
	CHECK(ok->id == BIND_ID);
	((struct side *)owner)->bound = true;
}

static void on_bind_err(void *owner, const struct bind_err *err)
{
	(void)owner;
	(void)err;
	CHECK(!"bound");
}

static void on_answer(void *owner, struct stream *st)
{
	struct end *e = st->user;

	CHECK(owner == &server);
	CHECK(!e || !e->is_answered);
	if (e)
		e->is_answered = true;
}

static enum code on_open(void *owner, struct stream *st, const struct flow_open *open)
{
	struct end *e = &client.ends[client.opened];

	CHECK(owner == &client && open->bind_id == BIND_ID);
	CHECK(client.opened < STREAMS && open->peer.port == client.opened);
	client.opened++;
	e->st = st;
	e->begun = true;
	st->user = e;
	return CODE_OK;
}

static void on_data(void *owner, struct stream *st, const uint8_t *data, size_t len)
{
	struct end *e = st->user;

	(void)owner;
	CHECK(e && !e->saw_close && !e->saw_reset && !e->sent_reset);
	CHECK(len <= e->other->sent - e->got);
	for (size_t i = 0; i < len; i++)
		CHECK(data[i] == pattern(e->other, e->got + i));
	e->got += len;
}

static void on_close(void *owner, struct stream *st)
{
	struct end *e = st->user;

	(void)owner;
	CHECK(!e->saw_close && !e->saw_reset);
	CHECK(e->other->sent_close && e->got == e->other->sent);
	e->saw_close = true;
}

static void on_reset(void *owner, struct stream *st, enum code code)
{
	struct end *e = st->user;

	(void)owner;
	CHECK(code != CODE_OK);
	CHECK(!e->saw_reset && !e->sent_reset && e->other->sent_reset);
	e->saw_reset = true;
}

static size_t pull(void *owner, struct stream *st, uint8_t *out, size_t cap)
{
	struct end *e = st->user;
	size_t n = e->left < cap ? (size_t)e->left : cap;

	(void)owner;
	CHECK(!e->sent_reset && !e->saw_reset);
	if (e->sent_close)
		return 0; /* It may be asked once more. */
	for (size_t i = 0; i < n; i++)
		out[i] = pattern(e, e->sent + i);
	e->sent += n;
	e->left -= n;
	if (!e->left && e->closes) {
		e->sent_close = true;
		stream_close(&e->side->session, st);
	}
	return n;
}

static const struct session_ops ops = {
	.message = fake_message,
	.prove = fake_prove,
	.random = fake_random,
	.equal = equal,
	.on_login = on_login,
	.on_end = on_end,
	.on_detach = on_detach,
	.on_resumed = on_resumed,
	.on_resume_refused = on_refused,
	.on_shutdown = fake_number,
	.on_output = fake_nothing,
	.on_bind = on_bind,
	.on_unbind = fake_number,
	.on_answer = on_answer,
	.on_bind_ok = on_bind_ok,
	.on_bind_err = on_bind_err,
	.on_open = on_open,
	.on_data = on_data,
	.on_close = on_close,
	.on_reset = on_reset,
	.on_over = fake_nothing,
	.pull = pull,
};

/* --- what must hold ----------------------------------------------------------------- */

/* What was sent and not taken is kept, without a gap. */
static size_t check_kept(const struct stream *st)
{
	bool was_reset = st->out == STREAM_CUT || st->out == STREAM_RESET;
	uint64_t at = st->send.consumed;
	size_t used = 0;

	for (const struct chunk *c = st->kept; c; c = c->next) {
		CHECK(!was_reset && c->offset <= at && c->offset + c->len > at);
		at = c->offset + c->len;
		used += chunk_size(c);
	}
	CHECK(was_reset || at == st->send.sent);
	return used;
}

static size_t check_side(const struct side *side)
{
	const struct session *s = &side->session;
	const struct stream *st;
	uint64_t pending = 0;
	size_t used = 0, at = 0;

	CHECK(s->send.consumed <= s->send.sent && s->path.gauge.acked <= s->path.gauge.put);
	while ((st = map_next(&s->streams, &at))) {
		CHECK(st->send.consumed <= st->again && st->again <= st->send.sent);
		CHECK(st->send.sent <= st->send.limit && st->recv.received <= st->recv.limit);
		pending += credit_recv_pending(&st->recv);
		used += check_kept(st);
	}
	CHECK(pending == credit_recv_pending(&s->recv));
	return used;
}

static void check_all(void)
{
	CHECK(check_side(&client) + check_side(&server) == pool.used);
}

/* --- operations --------------------------------------------------------------------- */

static void open_one(void)
{
	struct flow_open open = { .bind_id = BIND_ID, .peer = { .family = 4 }, .local = { .family = 4 } };
	struct end *e = &server.ends[server.opened];

	if (server.opened == STREAMS || server.session.state != SESSION_OPEN)
		return;
	open.peer.port = (uint16_t)server.opened++;
	e->st = stream_open(&server.session, &open, e);
	CHECK(e->st);
	e->begun = true;
}

static bool may_send(const struct end *e)
{
	return e->st && !e->closes && !e->sent_reset && !e->saw_reset;
}

static void send_some(struct end *e, uint64_t n)
{
	if (!may_send(e))
		return;
	e->left += n;
	stream_ready(&e->side->session, e->st);
}

static void close_one(struct end *e)
{
	if (!may_send(e))
		return;
	e->closes = true;
	if (e->left)
		return;
	e->sent_close = true;
	stream_close(&e->side->session, e->st);
}

/* Nothing is left to be taken and nothing to be sent: a reset has nothing to end. */
static bool has_ended(const struct end *e)
{
	return e->saw_close && e->sent_close && e->taken == e->got;
}

static void reset_one(struct end *e)
{
	if (!e->st || e->saw_reset || e->sent_reset)
		return;
	/* CLOSE may not be written yet: then it is cut all the same. */
	if (!has_ended(e) || e->st->out == STREAM_ENDING)
		e->sent_reset = true;
	stream_reset(&e->side->session, e->st, CODE_LOCAL_RESET);
}

static void release_one(struct end *e)
{
	struct stream *st = e->st;

	if (!st)
		return;
	if (!has_ended(e) && !e->saw_reset)
		e->sent_reset = true;
	e->st = NULL;
	st->user = NULL;
	stream_release(&e->side->session, st);
}

static void take_some(struct end *e, uint64_t n)
{
	if (!e->st || e->saw_reset || e->sent_reset)
		return;
	if (n > e->got - e->taken)
		n = e->got - e->taken;
	e->taken += n;
	stream_consumed(&e->side->session, e->st, (size_t)n);
}

static void answer_one(struct end *e)
{
	if (e->st && e->side == &client)
		stream_answer(&client.session, e->st);
}

/* What it has to say goes onto the pipe, or is lost. */
static size_t speak(struct side *side, size_t cap)
{
	static uint8_t out[128 * 1024];
	size_t n;

	if (side->session.state == SESSION_LOST || !session_has_output(&side->session))
		return 0;
	n = flat_compose(&side->session, out, cap < sizeof out ? cap : sizeof out, now);
	if (side->is_joined)
		CHECK(queue_append(&side->peer->in, out, n) == 0);
	return n;
}

static size_t hear(struct side *side, size_t n)
{
	size_t len = queue_len(&side->in);
	uint8_t *copy;

	if (n > len)
		n = len;
	if (!n)
		return 0;
	copy = malloc(n);
	CHECK(copy);
	memcpy(copy, queue_data(&side->in), n);
	queue_drop(&side->in, n);
	session_feed(&side->session, copy, n, now);
	free(copy);
	return n;
}

/* Only the first n bytes of what is on the way still arrive. */
static void truncate_in(struct side *side, size_t n)
{
	struct queue rest = { 0 };

	if (n > queue_len(&side->in))
		n = queue_len(&side->in);
	if (n)
		CHECK(queue_append(&rest, queue_data(&side->in), n) == 0);
	queue_fini(&side->in);
	side->in = rest;
}

static void cut(size_t kept_by_client, size_t kept_by_server)
{
	if (!server.bound || !client.bound || !client.is_joined)
		return;
	client.is_joined = server.is_joined = false;
	truncate_in(&client, kept_by_client);
	truncate_in(&server, kept_by_server);
}

static void notice(struct side *side)
{
	if (!side->is_joined && side->session.state != SESSION_LOST)
		session_lost(&side->session, "cut", now);
}

/* The client comes back; its RESUME arrives or does not. */
static void attempt(bool arrives)
{
	struct state_resume resume = { .epoch = client.session.epoch + 1 };

	if (client.session.state != SESSION_LOST)
		return;
	queue_fini(&client.in);
	queue_fini(&server.in);
	resume_ask(&client.session, &client.session, &resume, now);
	speak(&client, SESSION_COMPOSE_MIN);
	if (!arrives)
		return;
	client.is_joined = server.is_joined = true;
	resume_adopt(&server.session, resume.epoch, now);
}

static void tick(struct side *side, uint64_t passed_us)
{
	now += passed_us;
	session_tick(&side->session, 0, now);
}

/* A few values are few bytes, most are many. */
static uint64_t amount(uint8_t how_many)
{
	return ((how_many & 15) + 1) * (UINT64_C(1) << (how_many >> 4));
}

static void operate(uint8_t what, uint8_t which, uint8_t how_many)
{
	struct side *side = which & 1 ? &client : &server;
	struct end *e = &side->ends[(which >> 1) % STREAMS];
	uint64_t n = amount(how_many);

	switch (what % 13) {
	case 0:
		open_one();
		break;
	case 1:
		send_some(e, n > 65536 ? 65536 : n);
		break;
	case 2:
		close_one(e);
		break;
	case 3:
		reset_one(e);
		break;
	case 4:
		release_one(e);
		break;
	case 5:
		take_some(e, n);
		break;
	case 6:
		answer_one(e);
		break;
	case 7:
		speak(side, SESSION_COMPOSE_MIN + (size_t)n);
		break;
	case 8:
		hear(side, (size_t)n);
		break;
	case 9:
		cut((size_t)amount(which), (size_t)n);
		break;
	case 10:
		notice(side);
		break;
	case 11:
		attempt(which & 1);
		break;
	default:
		tick(side, n * 16);
		break;
	}
}

/* --- from the login to the end ---------------------------------------------------------- */

static void begin(struct side *side, enum session_role role, uint8_t frame, uint8_t credit)
{
	static const uint8_t instance[LOGIN_INSTANCE] = { 1, 2, 3 };
	struct session_config config = {
		.role = role,
		.capabilities = LOGIN_CAN_RESUME,
		.hold_ms = HOLD_MS,
		.sync_us = 1000000,
		.max_frame = 4096u << frame % 5,
		.pool = &pool,
		.stream_credit = 16384u << credit % 4,
		.login_us = 5000000,
		.heartbeat_us = 10000000,
		.dead_us = 25000000,
		.name = "fuzz",
		.instance = instance,
		.key_id = "default",
		.version = "fuzz",
	};

	memset(side, 0, sizeof *side);
	side->peer = role == SESSION_CLIENT ? &server : &client;
	side->is_joined = true;
	for (unsigned i = 0; i < STREAMS; i++) {
		side->ends[i].side = side;
		side->ends[i].other = &side->peer->ends[i];
	}
	CHECK(session_init(&side->session, &config, &ops, side, now) == CODE_OK);
}

/* Until neither says anything more. */
static void carry_all(void)
{
	size_t n;

	for (unsigned i = 0; i < 10000; i++) {
		for (unsigned k = 0; k < STREAMS; k++) {
			take_some(&client.ends[k], UINT64_MAX);
			take_some(&server.ends[k], UINT64_MAX);
		}
		n = speak(&client, SIZE_MAX) + speak(&server, SIZE_MAX);
		n += hear(&client, SIZE_MAX) + hear(&server, SIZE_MAX);
		check_all();
		if (!n)
			return;
	}
	CHECK(!"it ends");
}

/* The transports are good again, and each takes what comes. */
static void come_to_rest(void)
{
	hear(&client, SIZE_MAX);
	hear(&server, SIZE_MAX);
	notice(&client);
	notice(&server);
	attempt(true);
	carry_all();
	CHECK(client.session.state == SESSION_OPEN && server.session.state == SESSION_OPEN);
	/* CREDIT that may wait for a second. */
	tick(&client, 1100000);
	tick(&server, 0);
	carry_all();
}

/* Everything came, or the reset of one of them did, unless this one was through
 * before. Then the session knows the stream no more. */
static void check_end(const struct end *e)
{
	const struct end *o = e->other;
	uint32_t id = (uint32_t)(e - e->side->ends) + 1;
	bool was_reset = e->sent_reset || o->sent_reset;

	CHECK(e->begun == o->begun);
	if (was_reset)
		CHECK(!e->st || e->saw_reset || e->sent_reset || has_ended(e));
	else
		CHECK(e->got == o->sent && o->left == 0 && e->saw_close == o->sent_close &&
			o->sent_close == o->closes);
	/* One that is through may stay until its owner lets go of it. */
	if (e->sent_reset || e->saw_reset || (!e->st && (was_reset || has_ended(e))))
		CHECK(!map_get(&e->side->session.streams, id));
}

static void check_outcome(void)
{
	const struct session *c = &client.session, *s = &server.session;

	CHECK(client.opened == server.opened);
	for (unsigned i = 0; i < STREAMS; i++) {
		check_end(&client.ends[i]);
		check_end(&server.ends[i]);
	}
	CHECK(c->send.sent == s->recv.received && s->send.sent == c->recv.received);
	CHECK(c->recv.received == c->recv.consumed && s->recv.received == s->recv.consumed);
	CHECK(pool.used == 0);
}

static void end_side(struct side *side)
{
	side->may_end = true;
	for (unsigned i = 0; i < STREAMS; i++)
		release_one(&side->ends[i]);
	session_fini(&side->session);
	queue_fini(&side->in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	now = 1000;
	begin(&client, SESSION_CLIENT, data[0], data[1]);
	begin(&server, SESSION_SERVER, data[0], data[1]);
	carry_all();
	CHECK(client.bound && server.bound);
	for (size_t at = 2; at + 3 <= size && at < 3 * OPERATIONS_MAX; at += 3) {
		operate(data[at], data[at + 1], data[at + 2]);
		check_all();
	}
	come_to_rest();
	check_outcome();
	end_side(&client);
	end_side(&server);
	chunk_pool_trim(&pool);
	return 0;
}
