/*
 * Three lanes of one client in memory: each a session on a transport of its own. Transports
 * are cut by chance, each end notices when it does, and the sessions ride on the transport of
 * another lane or get a new one, which may be cut in the middle of that. Every byte carries
 * its place in its stream: none may be missing, repeated or another's.
 *
 *	sim_lanes [FIRST [COUNT]]	seeds FIRST .. FIRST + COUNT - 1
 *
 * One of eight seeds has no cuts. A transport of a lane stands for all that lane ever had.
 */
#include <string.h>

#include "fake_login.h"
#include "mux/binding.h"
#include "mux/carrier.h"
#include "mux/resume.h"

#define SIM_NAME "sim_lanes"
#include "sim.h"

enum { LANES = 3, STREAMS = 24, STEPS_MAX = 300000, CUTS_MAX = 24, QUEUE = 1 << 20, BIND_ID = 7,
	PATTERN = 65521 };
enum { CLIENT, SERVER };

/* One end of a stream: what it still sends, and what it got. */
struct end {
	struct stream *st;
	struct node *node;
	unsigned key;
	uint64_t left, sent, got, held;
	bool has_closed;
};

struct node {
	struct session session;
	struct carrier carrier;	/* of the lane's own transport */
	struct carrier *on;	/* where it goes: its own, another's, or NULL */
	struct node *peer;
	unsigned role, lane;
};

/* A way in one direction. */
struct way {
	uint8_t data[QUEUE];
	size_t len;
};

static struct transport {
	bool is_alive, is_torn;
	struct way to[2];	/* the client, the server */
} transports[LANES];

static struct node nodes[2][LANES];
static struct end ends[2][STREAMS];
static struct chunk_pool pool;
static unsigned opened, cuts, cuts_most, rides, moves;
static uint64_t now;

static uint8_t pattern(const struct end *e, unsigned from, uint64_t offset)
{
	return (uint8_t)(offset % PATTERN * 167 + e->key * 13 + from);
}

/* --- transports --------------------------------------------------------------------- */

/* The transport of this end is of no use: who goes over it is without one. */
static void lose(struct node *n)
{
	carrier_clear(&n->carrier);
	for (unsigned i = 0; i < LANES; i++) {
		struct node *m = &nodes[n->role][i];

		if (m->on != &n->carrier)
			continue;
		m->on = NULL;
		session_lost(&m->session, "cut", now);
	}
}

/* n leaves the transport that it goes over. */
static void get_off(struct node *n)
{
	struct carrier *on = n->on;

	n->on = NULL;
	if (on == &n->carrier) {
		transports[n->lane].is_alive = false;
		lose(n);
	} else if (on && !carrier_remove(on, &n->session)) {
		for (unsigned i = 0; i < LANES; i++)
			transports[i].is_torn |= on == &nodes[n->role][i].carrier;
	}
}

static void cut(unsigned lane)
{
	struct transport *t = &transports[lane];

	t->is_alive = t->is_torn = false;
	t->to[CLIENT].len = t->to[SERVER].len = 0;
	for (unsigned role = 0; role < 2; role++)
		if (nodes[role][lane].carrier.owner && (role == CLIENT || chance(2)))
			lose(&nodes[role][lane]);
}

/* --- what sessions ask for ---------------------------------------------------------- */

static bool equal(const void *a, const void *b, size_t n)
{
	return memcmp(a, b, n) == 0;
}

static void on_end(void *owner, const struct session_end *end)
{
	struct node *n = owner;

	fail("%s of lane %u ended: %s", n->role == CLIENT ? "client" : "server", n->lane, end->text);
}

static void on_detach(void *owner, const char *text)
{
	(void)text;
	get_off(owner);
}

static void on_resume_refused(void *owner, enum code code)
{
	fail("lane %u refused: %s", ((struct node *)owner)->lane, code_text(code));
}

static enum code on_ride(void *owner, const struct state_resume *resume)
{
	struct node *host = owner, *n = &nodes[SERVER][resume->lane];

	CHECK(host->on == &host->carrier && n != host);
	CHECK(resume->epoch > n->session.epoch && resume_is_possible(&n->session));
	get_off(n);
	CHECK(carrier_add(&host->carrier, &n->session));
	n->on = &host->carrier;
	resume_adopt(&n->session, resume->epoch, now);
	return CODE_OK;
}

static enum code on_join(void *owner, const struct state_join *join)
{
	CHECK(((struct node *)owner)->lane == join->lane);
	return CODE_OK;
}

static void on_bind(void *owner, const struct bind_request *request)
{
	struct bind_ok ok = { request->id, 10000, BIND_SCOPE_ANY, { 0 } };

	binding_grant(&((struct node *)owner)->session, &ok);
}

static void on_bind_err(void *owner, const struct bind_err *err)
{
	(void)owner;
	fail("BIND_ERR: %u", err->code);
}

static enum code on_open(void *owner, struct stream *st, const struct flow_open *open)
{
	struct end *e = &ends[CLIENT][open->peer.port];

	CHECK(!e->st && ends[SERVER][e->key].node->peer == owner);
	e->st = st;
	e->node = owner;
	st->user = e;
	stream_answer(&e->node->session, st);
	stream_ready(&e->node->session, st);
	return CODE_OK;
}

static void on_data(void *owner, struct stream *st, const uint8_t *data, size_t len)
{
	struct end *e = st->user;

	CHECK(e->node == owner && !e->has_closed);
	for (size_t i = 0; i < len; i++)
		CHECK(data[i] == pattern(e, !e->node->role, e->got + i));
	e->got += len;
	e->held += len;
}

static void on_close(void *owner, struct stream *st)
{
	struct end *e = st->user;

	CHECK(e->node == owner && !e->has_closed);
	e->has_closed = true;
}

static void on_reset(void *owner, struct stream *st, enum code code)
{
	(void)owner;
	fail("stream %u reset: %s", st->id, code_text(code));
}

static size_t pull(void *owner, struct stream *st, uint8_t *out, size_t cap)
{
	struct end *e = st->user;
	size_t n = e->left < cap ? (size_t)e->left : cap;

	for (size_t i = 0; i < n; i++)
		out[i] = pattern(e, e->node->role, e->sent + i);
	e->sent += n;
	e->left -= n;
	if (!e->left)
		stream_close(&((struct node *)owner)->session, st);
	return n;
}

static const struct session_ops ops = {
	.message = fake_message, .prove = fake_prove, .random = fake_random, .equal = equal,
	.on_login = fake_nothing, .on_end = on_end, .on_detach = on_detach,
	.on_resumed = fake_nothing, .on_resume_refused = on_resume_refused, .on_ride = on_ride,
	.on_join = on_join, .on_shutdown = fake_number, .on_output = fake_nothing,
	.on_bind = on_bind, .on_unbind = fake_number, .on_answer = fake_answer,
	.on_bind_ok = fake_bind_ok, .on_bind_err = on_bind_err, .on_open = on_open,
	.on_data = on_data, .on_close = on_close, .on_reset = on_reset, .on_over = fake_nothing,
	.pull = pull,
};

/* --- bytes -------------------------------------------------------------------------- */

/* A batch of n goes on its way, if there is room for it. */
static void compose(struct node *n)
{
	static uint8_t storage[64 * 1024];
	struct transport *t = &transports[n->lane];
	struct way *w = &t->to[!n->role];
	size_t room = SESSION_COMPOSE_MIN + STATE_LANE_FRAME + chance(60000);
	struct batch b;

	if (!t->is_alive || !n->carrier.owner || QUEUE - w->len < room)
		return;
	batch_init(&b, storage, sizeof storage, room);
	carrier_compose(&n->carrier, &b, now);
	for (unsigned i = 0; i < b.count; i++) {
		memcpy(w->data + w->len, b.segments[i].data, b.segments[i].len);
		w->len += b.segments[i].len;
	}
	batch_drop(&b);
}

/* Some of what is on its way to n arrives. */
static void deliver(struct node *n)
{
	struct way *w = &transports[n->lane].to[n->role];
	size_t len = w->len ? 1 + chance(chance(4) ? (uint32_t)w->len : 30) : 0;
	uint8_t *copy;

	if (len > w->len)
		len = w->len;
	if (!len || !transports[n->lane].is_alive || !n->carrier.owner)
		return;
	copy = malloc(len);
	CHECK(copy);
	memcpy(copy, w->data, len);
	memmove(w->data, w->data + len, w->len - len);
	w->len -= len;
	carrier_feed(&n->carrier, copy, len, now);
	free(copy);
}

static void take(struct end *e)
{
	uint64_t n = e->held ? 1 + chance((uint32_t)e->held) : 0;

	e->held -= n;
	if (n && e->st)
		stream_consumed(&e->node->session, e->st, (size_t)n);
	if (e->st && e->has_closed && !e->left && !e->held) {
		stream_release(&e->node->session, e->st);
		e->st = NULL;
	}
}

/* --- lanes -------------------------------------------------------------------------- */

static void open_stream(void)
{
	struct node *n = &nodes[SERVER][chance(LANES)];
	struct end *e = &ends[SERVER][opened];
	struct flow_open open = { .bind_id = BIND_ID, .peer = { .family = 4, .port = (uint16_t)opened },
		.local = { .family = 4 } };

	if (opened == STREAMS || n->session.state != SESSION_OPEN)
		return;
	e->node = n;
	e->st = stream_open(&n->session, &open, e);
	CHECK(e->st);
	stream_ready(&n->session, e->st);
	opened++;
}

static bool can_carry(const struct node *n)
{
	return n->on == &n->carrier && n->session.state == SESSION_OPEN && transports[n->lane].is_alive;
}

static void ride(struct node *n, struct node *host)
{
	struct state_resume r = { .epoch = n->session.epoch + 1, .lane = (uint8_t)n->lane };

	if (host == n || !can_carry(host) || n->session.state != SESSION_LOST)
		return;
	CHECK(carrier_add(&host->carrier, &n->session));
	n->on = &host->carrier;
	resume_ask(&n->session, &host->session, &r, now);
	rides++;
}

/* A new transport; the login on it, and RESUME itself, are not simulated. */
static void move(struct node *n)
{
	struct state_resume r = { .epoch = n->session.epoch + 1, .lane = (uint8_t)n->lane };
	struct node *peer = n->peer;

	if (n->on && n->on != &n->carrier && n->session.state == SESSION_OPEN)
		session_lost(&n->session, "moves", now);
	if (n->session.state != SESSION_LOST)
		return;
	get_off(peer);
	cut(n->lane);
	transports[n->lane].is_alive = true;
	carrier_init(&n->carrier, &n->session);
	carrier_init(&peer->carrier, &peer->session);
	n->on = &n->carrier;
	peer->on = &peer->carrier;
	resume_ask(&n->session, &n->session, &r, now);
	n->session.control_at = n->session.control_len = 0;
	resume_adopt(&peer->session, r.epoch, now);
	moves++;
}

static void mend(void)
{
	for (unsigned i = 0; i < LANES; i++)
		if (transports[i].is_torn)
			cut(i);
}

static void step(void)
{
	struct node *n = &nodes[chance(2)][chance(LANES)], *c = &nodes[CLIENT][n->lane];
	uint32_t what = chance(400);

	now += chance(what ? 2000 : 400000);
	if (what < 1 && cuts < cuts_most) {
		cuts++;
		cut(n->lane);
	} else if (what < 40) {
		ride(c, &nodes[CLIENT][chance(LANES)]);
	} else if (what < 50) {
		move(c);
	} else if (what < 60) {
		open_stream();
	} else if (what < 70 && n->session.state != SESSION_DEAD) {
		session_tick(&n->session, 0, now);
	} else if (what < 160) {
		take(&ends[chance(2)][chance(STREAMS)]);
	} else if (what < 280) {
		compose(n);
	} else {
		deliver(n);
	}
	mend();
}

/* --- a seed ------------------------------------------------------------------------- */

static void begin(struct node *n, unsigned role, unsigned lane)
{
	static const uint8_t instance[LOGIN_INSTANCE] = { 1 };
	const struct session_config config = {
		.role = role == CLIENT ? SESSION_CLIENT : SESSION_SERVER, .max_frame = 4096u << chance(7),
		.capabilities = LOGIN_CAN_RESUME | LOGIN_CAN_LANES, .hold_ms = 3600000,
		.sync_us = 1000000, .pool = &pool, .stream_credit = 16384u << chance(5),
		.heartbeat_us = 10000000, .dead_us = 25000000, .name = "sim", .instance = instance,
		.key_id = "default", .version = "0",
	};

	memset(n, 0, sizeof *n);
	n->role = role;
	n->lane = lane;
	n->peer = &nodes[!role][lane];
	CHECK(session_init(&n->session, &config, &ops, n, now) == CODE_OK);
	carrier_init(&n->carrier, &n->session);
	n->on = &n->carrier;
}

static void talk(unsigned lane)
{
	for (unsigned i = 0; i < 40; i++) {
		compose(&nodes[i % 2][lane]);
		while (transports[lane].to[!(i % 2)].len)
			deliver(&nodes[!(i % 2)][lane]);
	}
}

static void log_in(unsigned lane)
{
	struct bind_request request = { .id = BIND_ID, .kind = BIND_TCP };
	struct state_join join = { .lane = (uint8_t)lane };

	begin(&nodes[CLIENT][lane], CLIENT, lane);
	begin(&nodes[SERVER][lane], SERVER, lane);
	transports[lane].is_alive = true;
	talk(lane);
	CHECK(nodes[CLIENT][lane].session.state == SESSION_BIND);
	if (lane)
		session_join(&nodes[CLIENT][lane].session, &join);
	else
		binding_ask(&nodes[CLIENT][lane].session, &request);
	talk(lane);
	CHECK(nodes[SERVER][lane].session.state == SESSION_OPEN);
}

static bool is_done(void)
{
	for (unsigned i = 0; i < STREAMS; i++)
		if (opened < STREAMS || ends[CLIENT][i].st || ends[SERVER][i].st || !ends[CLIENT][i].node)
			return false;
	for (unsigned i = 0; i < LANES; i++)
		if (session_streams(&nodes[CLIENT][i].session) || session_streams(&nodes[SERVER][i].session))
			return false;
	return true;
}

static void run(void)
{
	unsigned steps = 0;

	rng = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	now = 1000;
	opened = cuts = 0;
	cuts_most = seed % 8 ? chance(CUTS_MAX + 1) : 0;
	for (unsigned i = 0; i < LANES; i++) {
		transports[i].is_torn = false;
		transports[i].to[CLIENT].len = transports[i].to[SERVER].len = 0;
		log_in(i);
	}
	for (unsigned role = 0; role < 2; role++)
		for (unsigned i = 0; i < STREAMS; i++)
			ends[role][i] = (struct end){ .key = i, .left = chance(chance(3) ? 3000 : 300000) + 1 };
	while (!is_done() && steps++ < STEPS_MAX)
		step();
	if (steps > STEPS_MAX)
		fail("no end in sight: %u opened, %u cuts", opened, cuts);
	for (unsigned i = 0; i < STREAMS; i++)
		for (unsigned role = 0; role < 2; role++)
			CHECK(ends[role][i].got == ends[!role][i].sent);
	for (unsigned i = 0; i < LANES; i++) {
		session_fini(&nodes[CLIENT][i].session);
		session_fini(&nodes[SERVER][i].session);
	}
	CHECK(pool.used == 0);
	chunk_pool_trim(&pool);
}

int main(int argc, char **argv)
{
	uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
	uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 100, all = 0;

	for (seed = first; seed < first + count; seed++) {
		run();
		all += cuts;
	}
	printf("%llu seeds from %llu: as it should be, with %llu cuts, %u rides, %u moves\n",
		(unsigned long long)count, (unsigned long long)first, (unsigned long long)all, rides,
		moves);
	return 0;
}
