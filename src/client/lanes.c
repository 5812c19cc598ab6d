#include "client/lanes.h"

#include <stdlib.h>
#include <string.h>

#include "client/client_state.h"
#include "client/reach.h"
#include "client/silence.h"
#include "client/uplink.h"
#include "core/log.h"
#include "core/text.h"
#include "mux/resume.h"
#include "tunnel/prove.h"
#include "tunnel/ride.h"
#include "tunnel/transfer.h"

enum {
	TICK_MS = 500,
	AGAIN_US = 500 * 1000,	/* after a failure, doubled by each, */
	MOST_DOUBLINGS = 6,	/* so often */
	RIDE_US = 2 * 1000 * 1000, /* patience with the answer to a RESUME over another lane */
	IN_VAIN_MAX = 1,
	TELL_FAILED = 3,	/* failures in a row are news */
};

static uint64_t now(const struct client *c)
{
	return worker_now(&c->worker);
}

static struct lane *first(struct client *c)
{
	return &c->lanes.lanes[1];
}

static struct lane *end(struct client *c)
{
	return &c->lanes.lanes[c->config->lanes];
}

void lanes_wake(struct client *c)
{
	poller_defer(&c->worker.poller, &c->lanes.turn);
}

/* In the count of those that are open, or not. */
static void be_open(struct lane *lane, bool is_open)
{
	struct metrics *m = &lane->client->worker.metrics;

	if (is_open && !lane->is_counted)
		shard_add(&m->lanes_open, 1);
	if (!is_open && lane->is_counted)
		shard_sub(&m->lanes_open, 1);
	lane->is_counted = is_open;
}

static void tell_missing(struct lane *lane, const char *why)
{
	char text[256];

	if (lane->failed != TELL_FAILED || lane->has_told)
		return;
	lane->has_told = true;
	text_escape(why, strlen(why), text, sizeof text);
	log_warn(NULL, "Lane %u of %u has no connection of its own: %s; trying on", lane->number + 1,
		lane->client->config->lanes, text);
}

static void tell_there(struct lane *lane)
{
	if (lane->has_told)
		log_info(NULL, "Lane %u of %u has its connection", lane->number + 1,
			lane->client->config->lanes);
	lane->has_told = false;
}

void lanes_calm(struct lane *lane, uint64_t retry_us, const char *why)
{
	uint64_t wait_us = (uint64_t)AGAIN_US << (lane->failed < MOST_DOUBLINGS ? lane->failed :
		MOST_DOUBLINGS);

	lane->failed++;
	tell_missing(lane, why);
	lane->next_us = now(lane->client) + (retry_us > wait_us ? retry_us : wait_us);
}

/* --- the session of a lane --------------------------------------------------------- */

static void drop_asking(struct lane *lane)
{
	struct link *l = lane->asking;

	lane->asking = NULL;
	if (l)
		transfer_retire(l);
}

static enum code on_open(struct link *l, struct stream *st, const struct flow_open *open)
{
	struct lane *lane = l->owner;

	lane->failed = 0; /* The server took it for a lane. */
	return uplink_open(lane->client, l, st, open);
}

static void on_detach(struct link *l, const char *why)
{
	struct lane *lane = l->owner;

	log_debug(NULL, "lane %u lost its connection: %s", lane->number, why);
	be_open(lane, false);
	drop_asking(lane);
	lanes_wake(lane->client);
}

static void on_resumed(struct link *l)
{
	struct lane *lane = l->owner;

	log_debug(NULL, "lane %u goes on%s", lane->number, ride_is_on(l) ? " beside another" : "");
	shard_add(&lane->client->worker.metrics.resumes, 1);
	drop_asking(lane);
	lane->failed = 0;
	lane->next_us = 0;
	be_open(lane, true);
	if (!ride_is_on(l))
		tell_there(lane);
	session_measure(&l->session);
}

static void on_resume_refused(struct link *l, enum code code)
{
	struct lane *lane = l->owner;

	log_debug(NULL, "lane %u was refused: %s", lane->number, code_text(code));
	shard_add(&lane->client->worker.metrics.resumes_refused, 1);
	link_abort(l, "the server does not have the session any more");
}

const char *lanes_words(const struct session_end *end)
{
	return end->text[0] ? end->text : end->code ? code_text(end->code) : "in good order";
}

static void on_end(struct link *l, const struct session_end *end)
{
	struct lane *lane = l->owner;

	log_debug(NULL, "lane %u ended: %s", lane->number, lanes_words(end));
	drop_asking(lane);
	if (lane->link != l)
		return;
	lane->link = NULL;
	be_open(lane, false);
	lanes_calm(lane, (uint64_t)end->retry_ms * 1000, lanes_words(end));
}

void lanes_on_closed(struct link *l)
{
	struct lane *lane = l->owner;
	struct client *c = lane->client;

	free(l);
	c->lanes.links--;
	if (c->link)
		link_wake(c->link); /* Who drains may have waited for it. */
	else if (lanes_are_gone(c))
		uplink_gone(c);
}

static void on_shutdown(struct link *l, uint32_t drain_ms)
{
	(void)l;
	(void)drain_ms;
}

/* The uplink ends last, and they with it. It is not woken for that: it would remind who rides
 * on it, and be woken again without end. */
static void on_drained(struct link *l)
{
	uplink_drained(((struct lane *)l->owner)->client);
}

static const struct link_ops lane_ops = {
	.on_bind_ok = uplink_no_bind_ok, /* The uplink alone speaks of tunnels. */
	.on_bind_err = uplink_no_bind_err,
	.on_open = on_open,
	.on_shutdown = on_shutdown,
	.on_drained = on_drained,
	.on_detach = on_detach,
	.on_resumed = on_resumed,
	.on_resume_refused = on_resume_refused,
	.on_end = on_end,
	.on_closed = lanes_on_closed,
};

/* The login becomes the session of the lane. */
static void join(struct lane *lane, struct link *fresh)
{
	struct client *c = lane->client;
	struct state_join join = { .lane = lane->number };

	memcpy(join.session_id, c->link->session.id, sizeof join.session_id);
	if (prove_join(c->link, fresh, join.lane, join.proof) < 0) {
		link_abort(fresh, "out of memory");
		return;
	}
	log_debug(NULL, "lane %u joins", lane->number);
	fresh->ops = &lane_ops;
	lane->link = fresh;
	be_open(lane, true);
	tell_there(lane);
	session_join(&fresh->session, &join);
	link_wake(fresh);
}

/* The session of the lane, which rides or waits, gets the connection of the login. */
static void move(struct lane *lane, struct link *fresh)
{
	struct session *s = &lane->link->session;

	if (s->state == SESSION_OPEN && ride_is_on(lane->link))
		session_lost(s, "moves to a connection of its own", now(lane->client));
	if (s->state != SESSION_LOST) {
		link_abort(fresh, "no longer needed");
		return;
	}
	lane->asking = fresh;
	s->config.sync_us = RIDE_US;
	if (transfer_ask(lane->link, fresh) < 0)
		drop_asking(lane);
}

static void use(struct lane *lane)
{
	struct link *fresh = lane->fresh;

	lane->fresh = NULL;
	lane->is_in = false;
	if (lane->link)
		move(lane, fresh);
	else
		join(lane, fresh);
}

/* --- riding ------------------------------------------------------------------------ */

/* Somebody whose connection can carry one more, or NULL: the one that carries the fewest. */
static struct link *find_host(struct client *c, const struct link *rider)
{
	struct link *best = c->link && c->link != rider && ride_can_carry(c->link) ? c->link : NULL;

	for (struct lane *lane = first(c); lane < end(c); lane++) {
		struct link *l = lane->link;

		if (l && l != rider && ride_can_carry(l) &&
			(!best || l->carrier.count < best->carrier.count))
			best = l;
	}
	return best;
}

static bool ride(struct client *c, struct link *l)
{
	struct link *host = find_host(c, l);

	l->session.config.sync_us = RIDE_US;
	return host && ride_ask(l, host) == 0;
}

bool lanes_take_uplink(struct client *c)
{
	if (c->lanes.in_vain > IN_VAIN_MAX || !find_host(c, c->link))
		return false;
	comeback_end(c); /* What it looked for, or was about to move to, is no longer the way. */
	c->lanes.in_vain++;
	lanes_wake(c);
	return true;
}

static void on_turn(struct turn *t)
{
	struct client *c = list_entry(t, struct client, lanes.turn);

	if (!c->link || (c->state != CLIENT_UP && c->state != CLIENT_RESUMING))
		return;
	if (c->link->session.state == SESSION_LOST && !c->comeback.timer && !ride(c, c->link))
		comeback_begin(c, "no lane to go over");
	for (struct lane *lane = first(c); lane < end(c); lane++) {
		if (lane->is_in)
			use(lane);
		else if (lane->link && lane->link->session.state == SESSION_LOST)
			ride(c, lane->link); /* Or later, when there is one to ride on. */
	}
}

/* --- life -------------------------------------------------------------------------- */

static bool wants_connection(const struct lane *lane)
{
	return (!lane->link || ride_is_on(lane->link)) && !lane->dial && !lane->fresh &&
		!lane->asking && now(lane->client) >= lane->next_us;
}

static void on_timer(struct timer *t)
{
	struct client *c = t->data;

	timer_start(t, TICK_MS);
	if (c->state != CLIENT_UP || c->link->session.state != SESSION_OPEN)
		return;
	if (ride_is_on(c->link) && !c->comeback.timer)
		comeback_begin(c, "rides on another lane");
	for (struct lane *lane = first(c); lane < end(c); lane++)
		if (wants_connection(lane))
			reach_begin(lane);
	silence_check(c);
	lanes_wake(c);
}

void lanes_init(struct client *c)
{
	poller_turn_init(&c->lanes.turn, on_turn);
	for (unsigned i = 0; i < STATE_LANES_MAX; i++) {
		c->lanes.lanes[i].client = c;
		c->lanes.lanes[i].number = (uint8_t)i;
	}
}

void lanes_begin(struct client *c)
{
	const uint64_t wanted = LOGIN_CAN_LANES | LOGIN_CAN_RESUME;
	uint64_t can = c->link->session.capabilities;

	c->lanes.in_vain = 0;
	if (c->lanes.timer)
		lanes_wake(c); /* Those that waited ride at once. */
	if (c->config->lanes < 2 || c->lanes.timer)
		return;
	if ((can & wanted) != wanted) {
		if (!c->lanes.has_told)
			log_warn(NULL, "--lanes: one connection it is; the server %s", can & LOGIN_CAN_LANES ?
				"holds no sessions (its --resume-hold)" :
				"knows no lanes, a newer gotunnel does");
		c->lanes.has_told = true;
		return;
	}
	for (struct lane *lane = first(c); lane < end(c); lane++)
		lane->failed = 0, lane->next_us = 0, lane->has_told = false;
	c->lanes.timer = timer_new(&c->loop, on_timer, c);
	if (c->lanes.timer)
		timer_start(c->lanes.timer, 0);
}

void lanes_end(struct client *c)
{
	list_remove(&c->lanes.turn.node);
	timer_free(c->lanes.timer);
	c->lanes.timer = NULL;
	for (struct lane *lane = first(c); lane < end(c); lane++)
		reach_end(lane);
	lanes_finish(c, "the session that it joined is over");
}

void lanes_shutdown(struct client *c, uint32_t drain_ms)
{
	timer_stop(c->lanes.timer);
	for (struct lane *lane = first(c); lane < end(c); lane++) {
		if (!lane->link)
			continue;
		if (resume_is_held(&lane->link->session))
			link_abort(lane->link, "interrupted");
		else
			session_shutdown(&lane->link->session, drain_ms);
	}
}

void lanes_finish(struct client *c, const char *why)
{
	for (struct lane *lane = first(c); lane < end(c); lane++)
		if (lane->link)
			link_finish(lane->link, why);
}

unsigned lanes_streams(const struct client *c)
{
	unsigned n = 0;

	for (unsigned i = 1; i < c->config->lanes; i++)
		if (c->lanes.lanes[i].link)
			n += session_streams(&c->lanes.lanes[i].link->session);
	return n;
}

bool lanes_are_drained(const struct client *c)
{
	for (unsigned i = 1; i < c->config->lanes; i++) {
		const struct link *l = c->lanes.lanes[i].link;

		if (l && link_has_streams(l))
			return false;
	}
	return true;
}

bool lanes_are_gone(const struct client *c)
{
	return c->lanes.links == 0;
}
