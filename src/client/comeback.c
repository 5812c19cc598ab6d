#include "client/comeback.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth/proof.h"
#include "client/client_state.h"
#include "client/uplink.h"
#include "core/log.h"
#include "core/text.h"
#include "mux/resume.h"
#include "tunnel/ride.h"
#include "tunnel/transfer.h"

enum {
	TELL_US = 1000 * 1000,	/* being away for less is no news */
	VAIN_A_ROUND = 4,
	MOST_DOUBLINGS = 2,
	CALM_DOUBLINGS = 6,	/* of the time between attempts while it rides */
};

static uint64_t now(const struct client *c)
{
	return worker_now(&c->worker);
}

/* --- attempts -------------------------------------------------------------------- */

static void give_up(struct attempt *a)
{
	struct link *l = a->link;

	dial_cancel(a->dial);
	a->dial = NULL;
	a->link = NULL;
	a->is_in = false;
	if (l)
		link_abort(l, "no longer needed"); /* It frees itself. */
}

static struct attempt *attempt_of(struct link *l)
{
	struct client *c = l->owner;

	for (int i = 0; i < COMEBACK_ATTEMPTS; i++)
		if (c->comeback.attempts[i].link == l)
			return &c->comeback.attempts[i];
	return NULL;
}

static void on_login(struct link *l)
{
	struct client *c = l->owner;
	struct attempt *a = attempt_of(l);

	if (!a)
		return;
	a->is_in = true;
	poller_defer(&c->worker.poller, &c->comeback.turn);
}

/* What the server says to a login holds for those that would follow. */
static void heed(struct client *c, const struct session_end *end)
{
	if (end->code == CODE_AUTH_FAILED) {
		uplink_refused(c, end);
		return;
	}
	if (end->retry_ms)
		c->comeback.calm_us = now(c) + (uint64_t)end->retry_ms * 1000;
}

static void on_end(struct link *l, const struct session_end *end)
{
	struct attempt *a = attempt_of(l);

	log_debug(NULL, "attempt to resume: %s", end->text[0] ? end->text : code_text(end->code));
	if (!a)
		return;
	a->link = NULL;
	a->is_in = false;
	heed(l->owner, end);
}

static void on_closed(struct link *l)
{
	free(l);
}

static const struct link_ops ops = {
	.on_login = on_login,
	.on_bind_ok = uplink_no_bind_ok,
	.on_bind_err = uplink_no_bind_err,
	.on_shutdown = uplink_no_shutdown,
	.on_end = on_end,
	.on_closed = on_closed,
};

static void on_dialled(void *owner, const struct dial_result *r)
{
	struct attempt *a = owner;

	a->dial = NULL;
	if (r->fd >= 0)
		a->link = uplink_log_in(a->client, r->fd, &ops, a->client);
}

static uint64_t patience_us(const struct client *c)
{
	unsigned rounds = c->comeback.vain / VAIN_A_ROUND;
	/* To connect, to encrypt and to log in takes four at the least. */
	uint64_t eight = 8 * c->link->session.rtt_us;

	if (eight < COMEBACK_PATIENCE_MS * 1000)
		eight = COMEBACK_PATIENCE_MS * 1000;
	return eight << (rounds < MOST_DOUBLINGS ? rounds : MOST_DOUBLINGS);
}

static void attempt(struct client *c, struct attempt *a)
{
	struct dial_target target = {
		.host = c->config->server_host,
		.port = c->config->server_port,
		.timeout_ms = (unsigned)(patience_us(c) / 1000),
	};

	a->begun_us = now(c);
	a->dial = dial_start(&c->worker, &target, on_dialled, a);
}

static bool is_busy(const struct attempt *a)
{
	return a->dial || a->link;
}

static void tell(struct client *c)
{
	const struct session *s = &c->link->session;
	char why[sizeof s->lost_text * 4], hold[32];

	if (c->comeback.has_told || !resume_is_held(s) || now(c) - s->lost_us < TELL_US)
		return;
	c->comeback.has_told = true;
	text_escape(s->lost_text, strlen(s->lost_text), why, sizeof why);
	log_warn(NULL, "Connection lost: %s; attempting to resume, streams are kept for %s", why,
		text_period(s->hold_us / 1000, hold, sizeof hold));
}

/* 250 ms on the average, and not in step with the other clients of a server that
 * was started again. */
static uint64_t spread(struct comeback *b, bool rides)
{
	uint32_t random;

	proof_random(&random, sizeof random);
	if (!rides)
		b->calm = 0;
	else if (b->calm < CALM_DOUBLINGS)
		b->calm++;
	return (uint64_t)(COMEBACK_EVERY_MS * 3 / 4 + random % (COMEBACK_EVERY_MS / 2)) << b->calm;
}

static void on_timer(struct timer *t)
{
	struct client *c = t->data;
	struct attempt *unused = NULL;

	tell(c);
	for (int i = 0; i < COMEBACK_ATTEMPTS; i++) {
		struct attempt *a = &c->comeback.attempts[i];

		if (is_busy(a) && now(c) - a->begun_us >= patience_us(c)) {
			give_up(a);
			c->comeback.vain++;
		}
		if (!is_busy(a))
			unused = a;
	}
	if (unused && !c->comeback.asking && now(c) >= c->comeback.calm_us)
		attempt(c, unused);
	timer_start(t, spread(&c->comeback, ride_is_on(c->link)));
}

/* --- the session's next connection -------------------------------------------------- */

static void drop_asking(struct client *c)
{
	struct link *l = c->comeback.asking;

	c->comeback.asking = NULL;
	if (l)
		transfer_retire(l);
}

/* The first that is logged in hands its connection over. */
static void ask(struct client *c)
{
	struct attempt *first = NULL;

	for (int i = 0; i < COMEBACK_ATTEMPTS && !first; i++)
		if (c->comeback.attempts[i].is_in)
			first = &c->comeback.attempts[i];
	if (first && ride_is_on(c->link) && c->link->session.state == SESSION_OPEN) {
		c->comeback.is_moving = true;
		session_lost(&c->link->session, "moves to a connection of its own", now(c));
		c->comeback.is_moving = false;
	}
	if (!first || c->link->session.state != SESSION_LOST)
		return;
	c->comeback.asking = first->link;
	first->link = NULL;
	first->is_in = false;
	for (int i = 0; i < COMEBACK_ATTEMPTS; i++)
		give_up(&c->comeback.attempts[i]);
	c->link->session.config.sync_us = patience_us(c);
	if (transfer_ask(c->link, c->comeback.asking) < 0)
		drop_asking(c);
}

/* Its connection goes back to the login it came from, which becomes the session. */
static void go_on_without(struct client *c)
{
	struct link *old = c->link, *fresh = c->comeback.asking;

	c->comeback.asking = NULL;
	if (transfer_take_over(fresh, old) < 0) {
		transfer_retire(fresh);
		link_abort(old, "the server does not have the session any more");
		return;
	}
	comeback_end(c);
	uplink_succeed(c, fresh);
	transfer_go_on(fresh);
}

static void on_turn(struct turn *t)
{
	struct comeback *b = list_entry(t, struct comeback, turn);
	struct client *c = list_entry(b, struct client, comeback);

	if (!c->link || (c->state != CLIENT_RESUMING &&
		(c->state != CLIENT_UP || !ride_is_on(c->link))))
		return;
	if (b->is_refused && b->asking) {
		b->is_refused = false;
		go_on_without(c);
	} else if (!b->asking) {
		ask(c);
	}
}

void comeback_init(struct client *c)
{
	poller_turn_init(&c->comeback.turn, on_turn);
	for (int i = 0; i < COMEBACK_ATTEMPTS; i++)
		c->comeback.attempts[i].client = c;
}

void comeback_begin(struct client *c, const char *why)
{
	struct comeback *b = &c->comeback;

	log_debug(NULL, "connection lost: %s; resuming", why);
	drop_asking(c);
	b->is_refused = false;
	if (b->timer) {
		b->vain += VAIN_A_ROUND; /* It was cut, or all of STATE took too long. */
		if (b->calm)
			timer_start(b->timer, 0); /* It cannot ride any more: haste. */
		b->calm = 0;
		return;
	}
	b->vain = b->calm = 0;
	b->has_told = false;
	b->calm_us = 0;
	b->timer = timer_new(&c->loop, on_timer, c);
	if (b->timer)
		timer_start(b->timer, 0);
}

void comeback_done(struct client *c)
{
	const struct session *s = &c->link->session;
	uint64_t away_us = now(c) - s->lost_us;
	unsigned open = session_streams(s) + lanes_streams(c);
	char away[32];

	log_debug(NULL, "session resumed after %u ms, epoch %u", (unsigned)(away_us / 1000), s->epoch);
	if (c->comeback.has_told)
		log_info(NULL, "Connection resumed, away %s, %u stream%s kept",
			text_elapsed((away_us + 999999) / 1000000 * 1000, away, sizeof away), open,
			open == 1 ? "" : "s");
	comeback_end(c);
}

void comeback_refused(struct client *c, enum code code)
{
	log_debug(NULL, "resume refused: %s", code_text(code));
	if (!c->comeback.asking) { /* Over another lane: that proves nothing yet. */
		comeback_begin(c, "no lane to go over");
		return;
	}
	c->comeback.is_refused = true;
	poller_defer(&c->worker.poller, &c->comeback.turn);
}

void comeback_end(struct client *c)
{
	struct comeback *b = &c->comeback;

	list_remove(&b->turn.node);
	timer_free(b->timer);
	b->timer = NULL;
	for (int i = 0; i < COMEBACK_ATTEMPTS; i++)
		give_up(&b->attempts[i]);
	drop_asking(c);
}
