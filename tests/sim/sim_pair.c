/*
 * Two sessions joined in memory: a byte pipe each way that splits, delays and
 * is cut, a clock that the test moves, streams that send, stop, close and reset
 * by chance, memory that runs out. When the pipe is cut each side notices when
 * it does, the client logs in anew over another one and resumes, and that may
 * be cut as well. Everything follows from the seed; after every step the
 * invariants of gotunnel-protocol(7) are checked.
 *
 *	sim_pair [FIRST [COUNT]]	seeds FIRST .. FIRST + COUNT - 1
 *
 * Of eight seeds one has no cuts, and in one memory runs out now and then.
 */
#include <string.h>

#include "core/queue.h"
#include "fake_login.h"
#include "flat.h"
#include "mux/binding.h"
#include "mux/resume.h"
#include "mux/session.h"

#define SIM_NAME "sim_pair"
#include "sim.h"

enum {
	STREAMS = 24,
	STEPS_MAX = 400000,
	BIND_ID = 7,
	FRESH = 4,
	CUTS_MAX = 16,
	PATTERN = 65521,	/* a prime: no frame that is missing or repeated fits */
};

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

/* A session at the end of a pipe, or of none any more. */
struct node {
	struct session session;
	struct side *side;
	struct node *peer;	/* NULL: what it sends is lost */
	struct queue in;	/* what is on the way to it */
	bool is_used;
	bool moves;		/* its pipe is to be given to the side's session */
};

/* The session under test, and those of logins that are to resume it. */
struct side {
	struct node node;
	struct node fresh[FRESH];
	struct end ends[STREAMS];
	unsigned opened;
	unsigned resumes;
	bool bound, over, drained;
	enum session_end_kind end;
};

static struct chunk_pool pool;
static struct side client, server;
static uint64_t now;
static unsigned cuts, cuts_most;
static bool is_scarce;		/* memory runs out now and then */
static uint32_t wanted_epoch;	/* of the RESUME that is given to the session */

/* --- memory --------------------------------------------------------------------- */

static bool may_fail;		/* not outside of the sessions */

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);

static bool fails(void)
{
	return may_fail && is_scarce && chance(3000) == 0;
}

void *__wrap_malloc(size_t n)
{
	return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
	return fails() ? NULL : __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
	return fails() ? NULL : __real_realloc(p, n);
}

static uint8_t pattern(const struct end *e, uint64_t offset)
{
	return (uint8_t)((offset * 31 + e->number * 7 + (e->side == &server)) ^ (offset >> 8));
}

static struct side *side_of(void *owner)
{
	return ((struct node *)owner)->side;
}

static bool is_main(const struct node *n)
{
	return n == &n->side->node;
}

/* The pattern from an offset on; *n is cut to what lies in one piece. It comes
 * again after PATTERN bytes and is made once for each end: byte by byte it took
 * more time than everything that is tested. */
static const uint8_t *pattern_from(const struct end *e, uint64_t offset, size_t *n)
{
	static uint8_t rows[2][STREAMS][PATTERN];
	static bool made[2][STREAMS];
	unsigned side = e->side == &server, i = e->number - 1;
	size_t at = offset % PATTERN;

	for (size_t k = 0; !made[side][i] && k < PATTERN; k++)
		rows[side][i][k] = pattern(e, k);
	made[side][i] = true;
	if (*n > PATTERN - at)
		*n = PATTERN - at;
	return rows[side][i] + at;
}

static bool is_pattern(const struct end *e, uint64_t offset, const uint8_t *data, size_t len)
{
	for (size_t n; len; data += n, offset += n, len -= n) {
		const uint8_t *wanted;

		n = len;
		wanted = pattern_from(e, offset, &n);
		if (memcmp(wanted, data, n) != 0)
			return false;
	}
	return true;
}

static void put_pattern(const struct end *e, uint64_t offset, uint8_t *out, size_t len)
{
	for (size_t n; len; out += n, offset += n, len -= n) {
		const uint8_t *from;

		n = len;
		from = pattern_from(e, offset, &n);
		memcpy(out, from, n);
	}
}

/* --- ops ---------------------------------------------------------------------- */

static enum code on_message(void *owner, const struct login_hello *hello, uint8_t out[LOGIN_SPAKE])
{
	(void)hello;
	memset(out, side_of(owner) == &client ? 1 : 2, LOGIN_SPAKE);
	return CODE_OK;
}

static enum code on_prove(void *owner, const uint8_t peer[LOGIN_SPAKE], struct span hello,
	struct span ack, struct session_proofs *out)
{
	uint8_t sum = 0;

	CHECK(peer[0] == (side_of(owner) == &client ? 2 : 1));
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
	struct node *n = owner;

	if (n->side != &client)
		return;
	if (is_main(n))
		binding_ask(&n->session, &request);
	else
		n->moves = true;
}

static void on_end(void *owner, const struct session_end *end)
{
	struct node *n = owner;
	struct side *side = n->side;

	if (!is_main(n))
		return;
	CHECK(!side->over);
	side->over = true;
	side->end = end->kind;
	if ((end->kind == SESSION_FAILED || end->kind == SESSION_REFUSED) && !is_scarce)
		fail("%s ended: %s", side == &client ? "client" : "server", end->text);
}

/* The pipe is closed on this side; on the other it may take time to notice. */
static void leave(struct node *n)
{
	if (n->peer)
		n->peer->peer = NULL;
	n->peer = NULL;
	queue_fini(&n->in);
}

static void on_detach(void *owner, const char *text)
{
	CHECK(is_main(owner));
	CHECK(*text);
	leave(owner);
}

static void on_resumed(void *owner)
{
	struct node *n = owner;

	CHECK(is_main(n));
	n->side->resumes++;
}

static enum code on_resume(void *owner, const struct state_resume *resume)
{
	struct node *n = owner;

	CHECK(n->side == &server && !is_main(n));
	if (server.over || resume->epoch <= server.node.session.epoch)
		return CODE_RESUME_UNKNOWN;
	n->moves = true;
	wanted_epoch = resume->epoch;
	return CODE_OK;
}

static void on_resume_refused(void *owner, enum code code)
{
	struct node *n = owner;

	CHECK(n == &client.node && code == CODE_RESUME_UNKNOWN);
	CHECK(server.over);
	leave(n);
	session_abandon(&n->session, "refused");
}

static void on_shutdown(void *owner, uint32_t drain_ms)
{
	(void)drain_ms;
	side_of(owner)->drained = true;
}

static void on_bind(void *owner, const struct bind_request *request)
{
	struct bind_ok ok = { request->id, 10000, BIND_SCOPE_ANY, { 0 } };
	struct node *n = owner;

	binding_grant(&n->session, &ok);
	n->side->bound = true;
}

static void on_answer(void *owner, struct stream *st)
{
	struct end *e = st->user;

	CHECK(owner == &server.node);
	CHECK(!e || e->st == st);
}

static void on_bind_ok(void *owner, const struct bind_ok *ok)
{
	CHECK(ok->id == BIND_ID && ok->port == 10000);
	side_of(owner)->bound = true;
}

static void on_bind_err(void *owner, const struct bind_err *err)
{
	(void)owner;
	fail("BIND_ERR %u", err->code);
}

static enum code on_open(void *owner, struct stream *st, const struct flow_open *open)
{
	struct end *e;

	CHECK(owner == &client.node && open->bind_id == BIND_ID);
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
	stream_release(&e->side->node.session, st);
}

static void on_data(void *owner, struct stream *st, const uint8_t *data, size_t len)
{
	struct end *e = st->user;

	(void)owner;
	CHECK(e && !e->saw_close && !e->saw_reset && !e->sent_reset);
	CHECK(is_pattern(e->other, e->got, data, len));
	e->got += len;
	CHECK(e->got <= e->other->sent);
}

static void on_close(void *owner, struct stream *st)
{
	struct end *e = st->user;

	(void)owner;
	CHECK(!e->saw_close && !e->saw_reset);
	CHECK(e->other->sent_close && !e->other->sent_reset && e->got == e->other->size);
	e->saw_close = true;
}

static void on_reset(void *owner, struct stream *st, enum code code)
{
	struct end *e = st->user;

	(void)owner;
	CHECK(code != CODE_OK);
	CHECK(!e->saw_reset && !e->sent_reset);
	CHECK(e->other->sent_reset || e->side->over || e->other->side->over || is_scarce);
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
	put_pattern(e, e->sent, out, n);
	e->sent += n;
	if (e->sent < e->size)
		return n;
	if (e->resets) {
		e->sent_reset = true;
		stream_reset(&e->side->node.session, st, CODE_LOCAL_RESET);
	} else {
		e->sent_close = true;
		stream_close(&e->side->node.session, st);
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
	.on_detach = on_detach,
	.on_resumed = on_resumed,
	.on_resume = on_resume,
	.on_resume_refused = on_resume_refused,
	.on_shutdown = on_shutdown,
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

/* --- the world ------------------------------------------------------------------ */

/* What was sent and not taken is kept, without a gap, and nothing of a stream
 * that was reset. Returns what that occupies. */
static size_t check_kept(const struct stream *st)
{
	uint64_t at = st->send.consumed;
	size_t used = 0;

	if (st->out == STREAM_CUT || st->out == STREAM_RESET) {
		CHECK(!st->kept);
		return 0;
	}
	for (const struct chunk *c = st->kept; c; c = c->next) {
		CHECK(c->refs == 1 && c->offset <= at && c->offset + c->len > at);
		at = c->offset + c->len;
		used += chunk_size(c);
	}
	CHECK(at == st->send.sent);
	return used;
}

static void check_end(const struct end *e)
{
	const struct stream *st = e->st;

	CHECK(e->taken <= e->got && e->got <= e->other->sent);
	if (!st)
		return;
	CHECK(st->send.sent == e->sent || e->sent_reset || e->saw_reset);
	CHECK(st->send.consumed <= st->again && st->again <= st->send.sent);
	CHECK(st->send.sent <= st->send.limit);
	CHECK(st->recv.consumed <= st->recv.received && st->recv.received <= st->recv.limit);
	CHECK(st->recv.window <= WINDOW_MOST);
}

static size_t check_side(const struct side *side, bool deeply)
{
	const struct session *s = &side->node.session;
	uint64_t pending = 0, granted = 0, end;
	size_t used = 0, at = 0;
	const struct stream *st;

	CHECK(s->send.consumed <= s->send.sent);
	CHECK(s->recv.consumed <= s->recv.received);
	CHECK(s->path.gauge.acked <= s->path.gauge.put);
	CHECK(s->streams.len <= STREAMS);
	while ((st = map_next(&s->streams, &at))) {
		pending += credit_recv_pending(&st->recv);
		granted += st->window.charged;
		/* All that the peer may still send of it. */
		end = st->in_final < st->recv.limit ? st->in_final : st->recv.limit;
		CHECK(end - st->recv.consumed <= s->config.stream_credit + st->window.charged);
		if (deeply)
			used += check_kept(st);
	}
	CHECK(side->over || pending == credit_recv_pending(&s->recv));
	CHECK(s->granted == granted && granted <= SESSION_POOL);
	for (unsigned i = 0; i < STREAMS; i++)
		check_end(&side->ends[i]);
	return used;
}

/* What is kept is walked through every few steps: it takes most of the time. */
static void check_all(unsigned number)
{
	bool deeply = number % 8 == 0;
	size_t used = check_side(&client, deeply) + check_side(&server, deeply);

	CHECK(!deeply || pool.used == used);
}

static void send_some(struct node *n)
{
	static uint8_t out[300 * 1024];
	size_t cap = SESSION_COMPOSE_MIN + chance(2) * chance(sizeof out - SESSION_COMPOSE_MIN);
	size_t len;

	if (!n->is_used || n->session.state == SESSION_LOST || !session_has_output(&n->session))
		return;
	may_fail = true;
	len = flat_compose(&n->session, out, cap, now);
	may_fail = false;
	CHECK(len <= cap);
	if (n->peer)
		CHECK(queue_append(&n->peer->in, out, len) == 0);
}

static void receive_some(struct node *to)
{
	size_t len = queue_len(&to->in), n = 1 + chance(3) * chance(70000);
	uint8_t *copy;

	if (!to->is_used || !len)
		return;
	if (chance(4) == 0)
		n = 1 + chance(12); /* Heads in pieces, too. */
	if (n > len)
		n = len;
	copy = malloc(n); /* Its own block: a read beyond it is seen. */
	CHECK(copy);
	memcpy(copy, queue_data(&to->in), n);
	queue_drop(&to->in, n);
	may_fail = true;
	session_feed(&to->session, copy, n, now);
	may_fail = false;
	free(copy);
}

/* --- cuts and what follows ---------------------------------------------------------- */

static void begin(struct node *n, struct side *side, enum session_role role);

static void stop(struct node *n)
{
	leave(n);
	session_fini(&n->session);
	n->is_used = n->moves = false;
}

/* A part of what is on the way still arrives, or nothing does. */
static void truncate_in(struct node *n)
{
	size_t len = queue_len(&n->in), keep = chance(2) ? chance((uint32_t)len + 1) : 0;
	struct queue rest = { 0 };

	if (keep)
		CHECK(queue_append(&rest, queue_data(&n->in), keep) == 0);
	queue_fini(&n->in);
	n->in = rest;
}

static void cut(struct node *n)
{
	struct node *peer = n->peer;

	if (!n->is_used || !peer || cuts == cuts_most)
		return;
	cuts++;
	truncate_in(n);
	truncate_in(peer);
	n->peer = peer->peer = NULL;
}

/* The pipe of `from` goes to the session that it is to resume. */
static void move(struct node *from)
{
	struct node *to = &from->side->node;
	struct state_resume resume = { .epoch = to->session.epoch + 1 };

	from->moves = false;
	if (from->side->over) {
		stop(from);
		return;
	}
	leave(to);
	to->in = from->in;
	from->in = (struct queue){ 0 };
	to->peer = from->peer;
	if (to->peer)
		to->peer->peer = to;
	from->peer = NULL;
	may_fail = true;
	if (to->side == &client)
		resume_ask(&to->session, &to->session, &resume, now);
	else
		resume_adopt(&to->session, wanted_epoch, now);
	may_fail = false;
	resume_inherit(&to->session, &from->session);
	stop(from);
}

static struct node *unused(struct side *side)
{
	for (unsigned i = 0; i < FRESH; i++)
		if (!side->fresh[i].is_used)
			return &side->fresh[i];
	return NULL;
}

/* The client tries to come back. */
static void attempt(void)
{
	struct node *c = unused(&client), *s = unused(&server);

	if (client.over || client.node.session.state != SESSION_LOST || !c || !s)
		return;
	begin(c, &client, SESSION_CLIENT);
	begin(s, &server, SESSION_SERVER);
	c->peer = s;
	s->peer = c;
}

/* Whoever has no pipe and nothing on the way notices, in time. */
static void notice(struct node *n)
{
	if (!n->is_used || n->peer || (queue_len(&n->in) && chance(4)))
		return;
	if (is_main(n) && n->session.state != SESSION_LOST && !n->side->over)
		session_lost(&n->session, "cut", now);
	else if (!is_main(n))
		stop(n);
}

/* One of the pipes, the one that resumes more often than not. */
static struct node *some_node(struct side *side)
{
	struct node *n = &side->fresh[chance(FRESH)];

	return n->is_used ? n : &side->node;
}

static void trouble(struct side *side)
{
	struct node *n = some_node(side);
	bool is_resuming = !is_main(n) || n->session.state == SESSION_ASKING ||
		n->session.state == SESSION_SYNCING;

	if (n->moves) {
		move(n);
		return;
	}
	if (server.bound && client.bound && chance(is_resuming ? 60 : 900) == 0)
		cut(n);
	if (chance(4) == 0)
		notice(n);
	if (chance(8) == 0)
		attempt();
}

static void open_one(void)
{
	struct flow_open open = { .bind_id = BIND_ID, .peer = { .family = 4 }, .local = { .family = 4 } };
	struct end *e;

	if (!server.bound || server.opened == STREAMS || server.node.session.state != SESSION_OPEN)
		return;
	e = &server.ends[server.opened];
	open.peer.port = (uint16_t)e->number;
	may_fail = true;
	e->st = stream_open(&server.node.session, &open, e);
	may_fail = false;
	CHECK(e->st || is_scarce);
	if (!e->st)
		return;
	e->begun = true;
	server.opened++;
	stream_ready(&server.node.session, e->st);
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
		stream_consumed(&e->side->node.session, e->st, (size_t)n);
	}
	if (!e->sent_close && !e->sent_reset && !e->saw_reset) {
		if (e->side == &client && chance(8) == 0)
			stream_answer(&client.node.session, e->st);
		stream_ready(&e->side->node.session, e->st);
	}
	if (e->saw_reset || e->sent_reset ||
		(e->saw_close && e->sent_close && e->taken == e->got))
		release(e);
}

static bool is_finished(const struct end *e)
{
	return e->begun ? !e->st : e->side->over;
}

static bool all_finished(void)
{
	bool any_over = server.over || client.over;

	if (!any_over && (server.opened < STREAMS || client.opened < STREAMS))
		return false;
	for (unsigned i = 0; i < STREAMS; i++) {
		if (any_over && (!server.ends[i].begun || !client.ends[i].begun))
			continue;
		if (!is_finished(&server.ends[i]) || !is_finished(&client.ends[i]))
			return false;
	}
	if (any_over)
		return server.over && client.over;
	return session_streams(&server.node.session) == 0 && session_streams(&client.node.session) == 0;
}

static void tick(struct node *n)
{
	may_fail = true;
	if (n->is_used)
		session_tick(&n->session, 0, now);
	may_fail = false;
}

/* One session is over: the other hears of it as it would from a socket. */
static void part(void)
{
	struct side *alive = server.over ? &client : &server;

	if (server.over == client.over)
		return;
	leave(&alive->node);
	session_abandon(&alive->node.session, "the other end is gone");
}

static void step(unsigned number)
{
	struct side *side = chance(2) ? &client : &server;

	now += 1 + chance(2000);
	switch (chance(9)) {
	case 0:
	case 1:
		send_some(some_node(side));
		break;
	case 2:
	case 3:
	case 4:
	case 5:
		receive_some(some_node(side));
		break;
	case 6:
		if (chance(6) == 0)
			open_one();
		else
			tick(some_node(side));
		break;
	case 7:
		trouble(side);
		break;
	default:
		move_one(&side->ends[chance(STREAMS)]);
	}
	part();
	/* Those that stopped begin to read again, late. */
	if (number == STEPS_MAX / 8)
		for (unsigned i = 0; i < STREAMS; i++)
			client.ends[i].lazy = server.ends[i].lazy = false;
}

static uint32_t max_frame, stream_credit;

static void begin(struct node *n, struct side *side, enum session_role role)
{
	static const uint8_t instance[LOGIN_INSTANCE] = { 1, 2, 3 };
	struct session_config config = {
		.role = role,
		.capabilities = LOGIN_CAN_RESUME,
		.hold_ms = 3600 * 1000,
		.sync_us = 1000000,
		.max_frame = max_frame,
		.pool = &pool,
		.stream_credit = stream_credit,
		.login_us = 5000000,
		.heartbeat_us = 10000000,
		.dead_us = 25000000,
		.stuck_us = 30000000,
		.name = "sim",
		.instance = instance,
		.key_id = "default",
		.version = "sim",
	};

	n->side = side;
	n->is_used = true;
	n->moves = false;
	CHECK(session_init(&n->session, &config, &ops, n, now) == CODE_OK);
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

/* Every stream ended as its two ends wanted, or with RST where the session or
 * the memory ended. */
static void check_outcome(void)
{
	for (unsigned i = 0; i < STREAMS; i++) {
		struct end *c = &client.ends[i], *s = &server.ends[i];

		if (c->sent_reset || s->sent_reset || c->saw_reset || s->saw_reset ||
			!c->begun || !s->begun)
			continue;
		CHECK(c->got == s->size && s->got == c->size);
		CHECK(c->saw_close && s->saw_close);
	}
	if (server.over || client.over)
		return;
	CHECK(client.node.session.send.sent == server.node.session.recv.received);
	CHECK(server.node.session.send.sent == client.node.session.recv.received);
	CHECK(server.node.session.recv.received == server.node.session.recv.consumed);
	CHECK(client.node.session.recv.received == client.node.session.recv.consumed);
}

/* Both are open on one pipe again. */
static bool is_whole(void)
{
	return client.node.session.state == SESSION_OPEN &&
		server.node.session.state == SESSION_OPEN && client.node.peer == &server.node;
}

static void finish(void)
{
	struct side *first = chance(2) ? &client : &server, *second = first == &client ? &server : &client;

	session_shutdown(&first->node.session, 1000);
	for (int i = 0; i < 1000 && !second->drained; i++) {
		send_some(&first->node);
		send_some(&second->node);
		receive_some(&first->node);
		receive_some(&second->node);
	}
	CHECK(second->drained);
	session_finish(&first->node.session);
	session_lost(&second->node.session, "closed", now);
	CHECK(first->end == SESSION_FINISHED && second->end == SESSION_GONE);
	CHECK(second->node.session.end.code == CODE_SHUTTING_DOWN);
}

static void end_side(struct side *side)
{
	for (unsigned i = 0; i < STREAMS; i++)
		if (side->ends[i].st)
			release(&side->ends[i]);
	for (unsigned i = 0; i < FRESH; i++)
		if (side->fresh[i].is_used)
			stop(&side->fresh[i]);
	stop(&side->node);
}

static void run(void)
{
	unsigned number = 0;

	rng = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	now = 1000;
	cuts = 0;
	cuts_most = seed % 8 ? chance(CUTS_MAX + 1) : 0;
	is_scarce = seed % 8 == 1;
	max_frame = 4096u << chance(7);
	stream_credit = 16384u << chance(5);
	memset(&client, 0, sizeof client);
	memset(&server, 0, sizeof server);
	begin(&client.node, &client, SESSION_CLIENT);
	begin(&server.node, &server, SESSION_SERVER);
	client.node.peer = &server.node;
	server.node.peer = &client.node;
	prepare_ends();
	for (; number < STEPS_MAX && (!all_finished() || !(server.over || is_whole())); number++) {
		step(number);
		check_all(number);
	}
	if (number == STEPS_MAX)
		fail("no end in sight: %u of %d opened, %u cuts, client %d, server %d", server.opened,
			STREAMS, cuts, client.node.session.state, server.node.session.state);
	check_outcome();
	CHECK(cuts || is_scarce || client.resumes == 0);
	if (!server.over)
		finish();
	end_side(&client);
	end_side(&server);
	CHECK(pool.used == 0);
	chunk_pool_trim(&pool);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 300;
	uint64_t all_cuts = 0, all_resumes = 0;

	for (seed = first; seed < first + count; seed++) {
		run();
		all_cuts += cuts;
		all_resumes += client.resumes;
	}
	printf("%llu seeds from %llu: as it should be, with %llu cuts and %llu resumes\n",
		(unsigned long long)count, (unsigned long long)first, (unsigned long long)all_cuts,
		(unsigned long long)all_resumes);
	return 0;
}
