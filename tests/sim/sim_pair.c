/*
 * Two sessions joined in memory: a byte pipe each way that splits and delays,
 * a clock that the test moves, streams that send, stop, close and reset by
 * chance. Everything follows from the seed; after every step the invariants
 * of gotunnel-protocol(7) are checked.
 *
 *	sim_pair [FIRST [COUNT]]	seeds FIRST .. FIRST + COUNT - 1
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/queue.h"
#include "flat.h"
#include "mux/binding.h"
#include "mux/session.h"

enum { STREAMS = 24, STEPS_MAX = 400000, BIND_ID = 7 };

static uint64_t seed, rng;

static uint32_t chance(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16) % below;
}

static void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void fail(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "seed %llu: ", (unsigned long long)seed);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\nreplay: sim_pair %llu 1\n", (unsigned long long)seed);
	exit(1);
}

#define CHECK(what)                                                            \
	do {                                                                   \
		if (!(what))                                                   \
			fail("line %d: %s", __LINE__, #what);                  \
	} while (0)

/* One end of a stream: a source of numbered bytes and a destination. */
struct end {
	struct side *side;
	struct end *other;
	struct stream *st;	/* NULL: not there yet, or released */
	unsigned number;
	uint64_t size;		/* bytes to send, then close or reset */
	uint64_t sent, got, taken;
	bool resets;		/* ends by RESET instead of CLOSE */
	bool lazy;		/* takes nothing until it is woken */
	bool sent_close, sent_reset, saw_close, saw_reset;
	bool begun;
};

struct side {
	struct session session;
	struct queue wire;	/* what this side sent and the other has not read */
	struct end ends[STREAMS];
	unsigned opened;
	bool logged_in, bound, over, drained;
	enum session_end_kind end;
};

static struct chunk_pool pool;
static struct side client, server;
static uint64_t now;

static uint8_t pattern(const struct end *e, uint64_t offset)
{
	return (uint8_t)((offset * 31 + e->number * 7 + (e->side == &server)) ^ (offset >> 8));
}

/* --- ops ---------------------------------------------------------------------- */

static enum code on_message(void *owner, const struct login_hello *hello, uint8_t out[LOGIN_SPAKE])
{
	(void)hello;
	memset(out, owner == &client ? 1 : 2, LOGIN_SPAKE);
	return CODE_OK;
}

static enum code on_prove(void *owner, const uint8_t peer[LOGIN_SPAKE], struct span hello,
	struct span ack, struct session_proofs *out)
{
	uint8_t sum = 0;

	CHECK(peer[0] == (owner == &client ? 2 : 1));
	for (size_t i = 0; i < hello.len; i++)
		sum = (uint8_t)(sum * 3 + hello.at[i]);
	for (size_t i = 0; i < ack.len; i++)
		sum = (uint8_t)(sum * 5 + ack.at[i]);
	memset(out->client, sum, sizeof out->client);
	memset(out->server, sum + 1, sizeof out->server);
	memset(out->resume, sum + 2, sizeof out->resume);
	return CODE_OK;
}

static void on_random(void *owner, void *out, size_t n)
{
	(void)owner;
	memset(out, 9, n);
}

static bool equal(const void *a, const void *b, size_t n)
{
	return memcmp(a, b, n) == 0;
}

static void on_login(void *owner)
{
	struct bind_request request = { .id = BIND_ID, .kind = BIND_TCP, .port = 0 };
	struct side *side = owner;

	side->logged_in = true;
	if (side == &client)
		binding_ask(&side->session, &request);
}

static void on_end(void *owner, const struct session_end *end)
{
	struct side *side = owner;

	CHECK(!side->over);
	side->over = true;
	side->end = end->kind;
	if (end->kind == SESSION_FAILED || end->kind == SESSION_REFUSED)
		fail("%s ended: %s", side == &client ? "client" : "server", end->text);
}

static void on_shutdown(void *owner, uint32_t drain_ms)
{
	struct side *side = owner;

	(void)drain_ms;
	side->drained = true;
}

static void on_nothing(void *owner)
{
	(void)owner;
}

static void on_bind(void *owner, const struct bind_request *request)
{
	struct bind_ok ok = { request->id, 10000, BIND_SCOPE_ANY, { 0 } };
	struct side *side = owner;

	binding_grant(&side->session, &ok);
	side->bound = true;
}

static void on_unbind(void *owner, uint32_t id)
{
	(void)owner;
	(void)id;
}

static void on_answer(void *owner, struct stream *st)
{
	struct end *e = st->user;

	CHECK(owner == &server);
	CHECK(!e || e->st == st);
}

static void on_bind_ok(void *owner, const struct bind_ok *ok)
{
	struct side *side = owner;

	CHECK(ok->id == BIND_ID && ok->port == 10000);
	side->bound = true;
}

static void on_bind_err(void *owner, const struct bind_err *err)
{
	(void)owner;
	fail("BIND_ERR %u", err->code);
}

static enum code on_open(void *owner, struct stream *st, const struct flow_open *open)
{
	struct end *e;

	CHECK(owner == &client && open->bind_id == BIND_ID);
	CHECK(client.opened < STREAMS);
	e = &client.ends[client.opened++];
	CHECK(open->peer.port == e->number);
	e->st = st;
	e->begun = true;
	st->user = e;
	return CODE_OK;
}

static void release(struct end *e)
{
	struct stream *st = e->st;

	e->st = NULL;
	st->user = NULL;
	stream_release(&e->side->session, st);
}

static void on_data(void *owner, struct stream *st, const uint8_t *data, size_t len)
{
	struct end *e = st->user;

	(void)owner;
	CHECK(e && !e->saw_close && !e->saw_reset && !e->sent_reset);
	for (size_t i = 0; i < len; i++)
		CHECK(data[i] == pattern(e->other, e->got + i));
	e->got += len;
	CHECK(e->got <= e->other->sent);
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
	CHECK(!e->saw_reset && !e->sent_reset);
	CHECK(e->other->sent_reset || e->side->over || e->other->side->over);
	e->saw_reset = true;
}

static size_t pull(void *owner, struct stream *st, uint8_t *out, size_t cap)
{
	struct end *e = st->user;
	uint64_t left = e->size - e->sent;
	size_t n = 1 + chance(3) * chance(40000);

	(void)owner;
	CHECK(!e->sent_close && !e->sent_reset && !e->saw_reset);
	if (n > cap)
		n = cap;
	if (n > left)
		n = (size_t)left;
	for (size_t i = 0; i < n; i++)
		out[i] = pattern(e, e->sent + i);
	e->sent += n;
	if (e->sent < e->size)
		return n;
	if (e->resets) {
		e->sent_reset = true;
		stream_reset(&e->side->session, st, CODE_LOCAL_RESET);
	} else {
		e->sent_close = true;
		stream_close(&e->side->session, st);
	}
	return n;
}

static const struct session_ops ops = {
	.message = on_message,
	.prove = on_prove,
	.random = on_random,
	.equal = equal,
	.on_login = on_login,
	.on_end = on_end,
	.on_shutdown = on_shutdown,
	.on_output = on_nothing,
	.on_bind = on_bind,
	.on_unbind = on_unbind,
	.on_answer = on_answer,
	.on_bind_ok = on_bind_ok,
	.on_bind_err = on_bind_err,
	.on_open = on_open,
	.on_data = on_data,
	.on_close = on_close,
	.on_reset = on_reset,
	.on_over = on_nothing,
	.pull = pull,
};

/* --- the world ------------------------------------------------------------------ */

static void check_end(const struct end *e)
{
	const struct stream *st = e->st;

	CHECK(e->taken <= e->got && e->got <= e->other->sent);
	if (!st)
		return;
	CHECK(st->send.sent == e->sent);
	CHECK(st->send.consumed <= st->send.sent && st->send.sent <= st->send.limit);
	CHECK(st->recv.consumed <= st->recv.received && st->recv.received <= st->recv.limit);
	CHECK(st->recv.received - st->recv.consumed <= st->recv.window);
}

static void check_side(const struct side *side)
{
	const struct session *s = &side->session;

	CHECK(s->send.consumed <= s->send.sent);
	CHECK(s->recv.consumed <= s->recv.received);
	CHECK(s->put_acked <= s->put);
	CHECK(s->streams.len <= STREAMS);
	for (unsigned i = 0; i < STREAMS; i++)
		check_end(&side->ends[i]);
}

static void send_some(struct side *side)
{
	static uint8_t out[300 * 1024];
	size_t cap = SESSION_COMPOSE_MIN + chance(2) * chance(sizeof out - SESSION_COMPOSE_MIN);
	size_t n;

	if (!session_has_output(&side->session))
		return;
	n = flat_compose(&side->session, out, cap, now);
	CHECK(n <= cap);
	CHECK(queue_append(&side->wire, out, n) == 0);
}

static void receive_some(struct side *from, struct side *to)
{
	size_t len = queue_len(&from->wire), n = 1 + chance(3) * chance(70000);
	uint8_t *copy;

	if (!len)
		return;
	if (chance(4) == 0)
		n = 1 + chance(12); /* Heads in pieces, too. */
	if (n > len)
		n = len;
	copy = malloc(n); /* Its own block: a read beyond it is seen. */
	CHECK(copy);
	memcpy(copy, queue_data(&from->wire), n);
	queue_drop(&from->wire, n);
	session_feed(&to->session, copy, n, now);
	free(copy);
}

static void open_one(void)
{
	struct flow_open open = { .bind_id = BIND_ID, .peer = { .family = 4 }, .local = { .family = 4 } };
	struct end *e;

	if (!server.bound || server.opened == STREAMS || server.session.state != SESSION_OPEN)
		return;
	e = &server.ends[server.opened];
	open.peer.port = (uint16_t)e->number;
	e->st = stream_open(&server.session, &open, e);
	CHECK(e->st);
	e->begun = true;
	server.opened++;
	stream_ready(&server.session, e->st);
}

/* The destination's kernel takes some, or the source has some. */
static void move_one(struct end *e)
{
	uint64_t n = e->got - e->taken;

	if (!e->st)
		return;
	if (n && !e->lazy && !e->saw_reset && !e->sent_reset) {
		n = 1 + chance((uint32_t)n);
		e->taken += n;
		stream_consumed(&e->side->session, e->st, (size_t)n);
	}
	if (!e->sent_close && !e->sent_reset && !e->saw_reset) {
		if (e->side == &client && chance(8) == 0)
			stream_answer(&client.session, e->st);
		stream_ready(&e->side->session, e->st);
	}
	if (e->saw_reset || e->sent_reset ||
		(e->saw_close && e->sent_close && e->taken == e->got))
		release(e);
}

static bool is_finished(const struct end *e)
{
	if (!e->begun)
		return false;
	return !e->st;
}

static bool all_finished(void)
{
	if (server.opened < STREAMS || client.opened < STREAMS)
		return false;
	for (unsigned i = 0; i < STREAMS; i++)
		if (!is_finished(&server.ends[i]) || !is_finished(&client.ends[i]))
			return false;
	return session_streams(&server.session) == 0 && session_streams(&client.session) == 0;
}

static void tick(struct side *side)
{
	session_tick(&side->session, 0, now);
}

static void step(unsigned number)
{
	struct side *side = chance(2) ? &client : &server;

	now += 1 + chance(2000);
	switch (chance(8)) {
	case 0:
		send_some(&client);
		break;
	case 1:
		send_some(&server);
		break;
	case 2:
	case 3:
		receive_some(&client, &server);
		break;
	case 4:
	case 5:
		receive_some(&server, &client);
		break;
	case 6:
		if (chance(6) == 0)
			open_one();
		else
			tick(side);
		break;
	default:
		move_one(&side->ends[chance(STREAMS)]);
	}
	/* Those that stopped begin to read again, late. */
	if (number == STEPS_MAX / 8)
		for (unsigned i = 0; i < STREAMS; i++)
			client.ends[i].lazy = server.ends[i].lazy = false;
}

static void prepare(struct side *side, enum session_role role)
{
	static const uint8_t instance[LOGIN_INSTANCE] = { 1, 2, 3 };
	struct session_config config = {
		.role = role,
		.max_frame = 4096u << chance(7),
		.pool = &pool,
		.stream_credit = 16384u << chance(5),
		.login_us = 5000000,
		.heartbeat_us = 10000000,
		.dead_us = 25000000,
		.stuck_us = 30000000,
		.name = "sim",
		.instance = instance,
		.key_id = "default",
		.version = "sim",
	};

	memset(side, 0, sizeof *side);
	CHECK(session_init(&side->session, &config, &ops, side, now) == CODE_OK);
}

static void prepare_ends(void)
{
	for (unsigned i = 0; i < STREAMS; i++) {
		struct end *pair[2] = { &client.ends[i], &server.ends[i] };

		for (int k = 0; k < 2; k++) {
			struct end *e = pair[k];

			e->side = k ? &server : &client;
			e->other = pair[!k];
			e->number = i + 1;
			e->size = chance(4) ? chance(200000) : 0;
			if (chance(10) == 0)
				e->size = 500000 + chance(1500000);
			e->resets = chance(6) == 0;
			e->lazy = chance(8) == 0;
		}
	}
}

/* Every stream ended as its two ends wanted. */
static void check_outcome(void)
{
	for (unsigned i = 0; i < STREAMS; i++) {
		struct end *c = &client.ends[i], *s = &server.ends[i];

		if (c->sent_reset || s->sent_reset)
			continue;
		CHECK(c->got == s->size && s->got == c->size);
		CHECK(c->saw_close && s->saw_close);
	}
	CHECK(server.session.recv.received == server.session.recv.consumed);
	CHECK(client.session.recv.received == client.session.recv.consumed);
}

static void finish(void)
{
	struct side *first = chance(2) ? &client : &server, *second = first == &client ? &server : &client;

	session_shutdown(&first->session, 1000);
	for (int i = 0; i < 1000 && !second->drained; i++) {
		send_some(first);
		send_some(second);
		receive_some(first, second);
		receive_some(second, first);
	}
	CHECK(second->drained);
	session_finish(&first->session);
	session_lost(&second->session, "closed");
	CHECK(first->end == SESSION_FINISHED && second->end == SESSION_LOST);
	CHECK(second->session.end.code == CODE_SHUTTING_DOWN);
}

static void run(void)
{
	unsigned number = 0;

	rng = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	now = 1000;
	prepare(&client, SESSION_CLIENT);
	prepare(&server, SESSION_SERVER);
	prepare_ends();
	for (; number < STEPS_MAX && !all_finished(); number++) {
		step(number);
		check_side(&client);
		check_side(&server);
	}
	if (number == STEPS_MAX)
		fail("no end in sight: %u of %d opened", server.opened, STREAMS);
	check_outcome();
	finish();
	session_fini(&client.session);
	session_fini(&server.session);
	queue_fini(&client.wire);
	queue_fini(&server.wire);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 300;

	for (seed = first; seed < first + count; seed++)
		run();
	printf("%llu seeds from %llu: as it should be\n", (unsigned long long)count,
		(unsigned long long)first);
	return 0;
}
