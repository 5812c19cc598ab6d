/*
 * One transport that carries a session and up to two others, all logged in and open, and
 * whatever bytes: the first says which role, how the input is split, and whether guests
 * come and go and the transport is lost in between. Every proof is right. What must hold:
 * a session that is over stays over and is told so once, who was taken off hears nothing
 * more, and the host is alone when its guests are gone.
 */
#include <stdlib.h>
#include <string.h>

#include "fake_login.h"
#include "flat.h"
#include "mux/binding.h"
#include "mux/carrier.h"
#include "mux/resume.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LANES = 3, OWNED_MAX = 32, LOGIN_ROUNDS = 16 };

/* A session and what a link would know of it. */
struct lane {
	struct session session;
	struct stream *owned[OWNED_MAX];
	unsigned owned_count, ended;
	bool is_on;		/* the carrier has it */
};

static struct chunk_pool pool;
static struct lane lanes[LANES];
static struct carrier carrier;
static bool is_torn;		/* half a frame of a guest was sent */
static uint64_t now;

static void check(bool holds)
{
	if (!holds)
		abort();
}

static bool equal(const void *a, const void *b, size_t n)
{
	(void)a;
	(void)b;
	(void)n;
	return true;
}

/* --- streams: what a pipe would do ------------------------------------------------------ */

static void own(struct lane *l, struct stream *st)
{
	if (!st)
		return;
	check(l->owned_count < OWNED_MAX);
	l->owned[l->owned_count++] = st;
	st->user = st;
}

static void open_some(struct lane *l)
{
	struct flow_open open = { .bind_id = 1, .peer = { .family = 4 }, .local = { .family = 4 } };

	for (int i = 0; i < 3; i++) {
		struct stream *st = stream_open(&l->session, &open, NULL);

		own(l, st);
		if (st)
			stream_ready(&l->session, st);
	}
}

static enum code on_open(void *owner, struct stream *st, const struct flow_open *open)
{
	struct lane *l = owner;

	(void)open;
	if (l->owned_count == OWNED_MAX)
		return CODE_OVERLOADED;
	own(l, st);
	stream_answer(&l->session, st);
	return CODE_OK;
}

static void on_data(void *owner, struct stream *st, const uint8_t *data, size_t len)
{
	struct lane *l = owner;
	uint8_t sum = 0;

	check(l->is_on && !l->ended);
	for (size_t i = 0; i < len; i++)
		sum ^= data[i];
	stream_consumed(&l->session, st, sum & 1 ? len : len / 2);
}

static void on_close(void *owner, struct stream *st)
{
	stream_close(&((struct lane *)owner)->session, st);
}

static void on_reset(void *owner, struct stream *st, enum code code)
{
	struct lane *l = owner;

	(void)code;
	for (unsigned i = 0; i < l->owned_count; i++) {
		if (l->owned[i] != st)
			continue;
		l->owned[i] = l->owned[--l->owned_count];
		stream_release(&l->session, st);
		return;
	}
	abort();
}

static size_t pull(void *owner, struct stream *st, uint8_t *out, size_t cap)
{
	size_t n = cap < 3000 ? cap : 3000;

	memset(out, (int)st->id, n);
	if (st->send.sent > 20000)
		stream_close(&((struct lane *)owner)->session, st);
	return n;
}

/* --- the carrier: what tunnel/ride.c would do -------------------------------------------- */

static void take_off(struct lane *l)
{
	if (!l->is_on || l == &lanes[0])
		return;
	l->is_on = false;
	if (!carrier_remove(&carrier, &l->session))
		is_torn = true;
}

/* The transport is lost to all of them. */
static void drop_all(void)
{
	carrier_clear(&carrier);
	is_torn = false;
	for (struct lane *l = lanes; l < lanes + LANES; l++) {
		bool was_on = l->is_on;

		l->is_on = false;
		if (was_on && l != lanes)
			session_lost(&l->session, "the lane beside it was lost", now);
	}
}

static void on_end(void *owner, const struct session_end *end)
{
	struct lane *l = owner;

	(void)end;
	check(l->ended++ == 0);
	if (l == lanes)
		drop_all();
	else
		take_off(l);
}

static void on_detach(void *owner, const char *text)
{
	check(*text);
	if (owner == lanes)
		drop_all();
	else
		take_off(owner);
}

/* RESUME over the host's connection: as server/rejoin.c and ride_adopt(). */
static enum code on_ride(void *owner, const struct state_resume *resume)
{
	struct lane *l = resume->lane < LANES ? &lanes[resume->lane] : NULL;

	if (owner != lanes || !l || l == lanes || lanes[0].session.state != SESSION_OPEN ||
		!resume_is_possible(&l->session) || resume->epoch <= l->session.epoch)
		return CODE_RESUME_UNKNOWN;
	take_off(l);
	l->is_on = carrier_add(&carrier, &l->session);
	check(l->is_on);
	resume_adopt(&l->session, resume->epoch, now);
	return CODE_OK;
}

static void on_refused(void *owner, enum code code)
{
	check(code != CODE_OK);
	session_abandon(&((struct lane *)owner)->session, "refused");
}

/* --- the rest of the upcalls -------------------------------------------------------------- */

static void on_login(void *owner)
{
	struct bind_request request = { .id = 1, .kind = BIND_TCP };
	struct lane *l = owner;

	if (l->session.config.role == SESSION_CLIENT)
		binding_ask(&l->session, &request);
}

static void on_bind(void *owner, const struct bind_request *request)
{
	struct bind_ok ok = { request->id, 10000, BIND_SCOPE_ANY, { 0 } };
	struct lane *l = owner;

	binding_grant(&l->session, &ok);
	if (l->owned_count + 3 <= OWNED_MAX)
		open_some(l);
}

static enum code on_resume(void *owner, const struct state_resume *resume)
{
	(void)owner;
	(void)resume;
	return CODE_RESUME_UNKNOWN;
}

static enum code on_join(void *owner, const struct state_join *join)
{
	(void)owner;
	(void)join;
	return CODE_RESUME_UNKNOWN;
}

static const struct session_ops ops = {
	.message = fake_message,
	.prove = fake_prove,
	.random = fake_random,
	.equal = equal,
	.on_login = on_login,
	.on_end = on_end,
	.on_shutdown = fake_number,
	.on_detach = on_detach,
	.on_resumed = fake_nothing,
	.on_resume = on_resume,
	.on_ride = on_ride,
	.on_join = on_join,
	.on_resume_refused = on_refused,
	.on_output = fake_nothing,
	.on_bind = on_bind,
	.on_unbind = fake_number,
	.on_answer = fake_answer,
	.on_bind_ok = fake_bind_ok,
	.on_bind_err = fake_bind_err,
	.on_open = on_open,
	.on_data = on_data,
	.on_close = on_close,
	.on_reset = on_reset,
	.on_over = fake_nothing,
	.pull = pull,
};

/* --- up to where the input begins ---------------------------------------------------------- */

static void begin(struct session *s, enum session_role role, void *owner)
{
	static const uint8_t instance[LOGIN_INSTANCE] = { 1 };
	const struct session_config config = {
		.role = role,
		.max_frame = 65536,
		.pool = &pool,
		.stream_credit = 32768,
		.capabilities = LOGIN_CAN_RESUME | LOGIN_CAN_LANES,
		.hold_ms = 60000,
		.sync_us = 1000000,
		.heartbeat_us = 10000000,
		.dead_us = 25000000,
		.name = "fuzz",
		.instance = instance,
		.key_id = "default",
		.version = "fuzz",
	};

	check(session_init(s, &config, &ops, owner, now) == CODE_OK);
}

static size_t carry(struct session *from, struct session *to)
{
	static uint8_t out[SESSION_COMPOSE_MIN * 2];
	size_t n = 0;

	if (session_has_output(from))
		n = flat_compose(from, out, sizeof out, now);
	session_feed(to, out, n, now);
	return n;
}

/* A lane that is open, by a peer that is forgotten then. */
static void open_lane(struct lane *l, uint8_t number, enum session_role role)
{
	static struct lane peer;

	*l = (struct lane){ .is_on = true };
	peer = (struct lane){ .is_on = true };
	begin(&l->session, role, l);
	begin(&peer.session, role == SESSION_CLIENT ? SESSION_SERVER : SESSION_CLIENT, &peer);
	for (int i = 0; i < LOGIN_ROUNDS; i++)
		if (carry(&l->session, &peer.session) + carry(&peer.session, &l->session) == 0)
			break;
	check(l->session.state == SESSION_OPEN && l->session.epoch == 1);
	l->session.lane = number;
	l->is_on = false;
	while (peer.owned_count)
		stream_release(&peer.session, peer.owned[--peer.owned_count]);
	session_fini(&peer.session);
}

/* --- the input -------------------------------------------------------------------------------- */

static void write_all(void)
{
	static uint8_t storage[64 * 1024];

	for (int i = 0; i < 8 && carrier_has_output(&carrier); i++) {
		struct batch b;

		batch_init(&b, storage, sizeof storage, i & 1 ? SESSION_COMPOSE_MIN + STATE_LANE_FRAME :
			sizeof storage);
		carrier_compose(&carrier, &b, now);
		batch_drop(&b);
	}
}

static void attach(struct lane *l)
{
	struct state_resume resume = { .epoch = l->session.epoch + 1 };

	if (l->session.state != SESSION_LOST)
		return;
	resume.lane = l->session.lane;
	if (l == lanes) {
		carrier_init(&carrier, &l->session);
		l->is_on = true;
	} else if (!l->is_on && lanes[0].session.state == SESSION_OPEN) {
		l->is_on = carrier_add(&carrier, &l->session);
		check(l->is_on);
	}
	if (!l->is_on)
		return;
	if (l->session.config.role == SESSION_CLIENT)
		resume_ask(&l->session, &lanes[0].session, &resume, now);
	else
		resume_adopt(&l->session, resume.epoch, now);
}

/* What happens to the lanes beside the bytes. */
static void meddle(uint8_t what)
{
	struct lane *l = &lanes[1 + (what & 1)];

	switch (what % 11) {
	case 3:
		session_lost(&l->session, "moves", now);
		break;
	case 5:
		session_lost(&lanes[0].session, "cut", now);
		break;
	case 7:
		session_measure(&l->session);
		break;
	default:
		return;
	}
}

static void look(void)
{
	unsigned guests = 0;

	for (struct lane *l = lanes + 1; l < lanes + LANES; l++) {
		check(!l->ended || l->session.state == SESSION_DEAD);
		guests += l->is_on;
	}
	check(carrier.count == guests && (carrier.owner || !guests));
	check(!carrier.in || carrier.in == &lanes[0].session || carrier.count);
	check(!lanes[0].ended || !carrier.owner);
}

static void feed(const uint8_t *data, size_t size, size_t step, bool meddles)
{
	for (size_t at = 0; at < size; at += step) {
		size_t n = size - at < step ? size - at : step;
		uint8_t *copy = malloc(n);

		check(copy);
		memcpy(copy, data + at, n);
		now += 1000 * (n + 1);
		carrier_feed(&carrier, copy, n, now);
		free(copy);
		look();
		write_all();
		for (struct lane *l = lanes; l < lanes + LANES; l++)
			session_tick(&l->session, 0, now);
		if (is_torn)
			session_lost(&lanes[0].session, "torn", now);
		if (meddles)
			meddle(data[at]);
		for (struct lane *l = lanes; l < lanes + LANES; l++)
			attach(l);
		look();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	now = 1;
	is_torn = false;
	for (uint8_t i = 0; i < LANES; i++)
		open_lane(&lanes[i], i, data[0] & 1 ? SESSION_CLIENT : SESSION_SERVER);
	carrier_init(&carrier, &lanes[0].session);
	lanes[0].is_on = true;
	for (struct lane *l = lanes + 1; l < lanes + LANES; l++)
		check((l->is_on = carrier_add(&carrier, &l->session)));
	feed(data + 1, size - 1, data[0] & 2 ? 1 + (data[0] >> 3) : size, data[0] & 4);
	for (struct lane *l = lanes; l < lanes + LANES; l++)
		while (l->owned_count)
			stream_release(&l->session, l->owned[--l->owned_count]);
	write_all();
	carrier_clear(&carrier);
	for (struct lane *l = lanes; l < lanes + LANES; l++)
		session_fini(&l->session);
	check(pool.used == 0);
	return 0;
}
