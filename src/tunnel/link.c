#include "tunnel/link.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "auth/proof.h"
#include "mux/resume.h"
#include "net/sys.h"
#include "tunnel/link_parts.h"
#include "tunnel/pressure.h"
#include "tunnel/ride.h"
#include "tunnel/upcalls.h"

enum {
	COMPOSES_A_TURN = 4,
	USER_TIMEOUT_MS = 10 * 1000,
};

/* --- sending ------------------------------------------------------------------ */

/* One batch. False when there is nothing to send. */
static bool compose(struct link *l)
{
	struct batch b;
	bool any;

	if (!conn_begin(&l->conn, &b)) {
		link_abort(l, "out of memory");
		return false;
	}
	carrier_compose(&l->carrier, &b, worker_now(l->worker));
	any = b.total > 0;
	conn_send(&l->conn, &b);
	return any;
}

bool link_has_streams(const struct link *l)
{
	return session_streams(&l->session) || !list_is_empty(&l->pipes);
}

bool link_is_drained(const struct link *l)
{
	return l->session.state == SESSION_DRAIN && !link_has_streams(l) &&
		!session_has_output(&l->session) && !l->host->conn.out;
}

static bool may_read(const struct link *l)
{
	const struct pressure *p = l->worker->pressure;

	if (l->is_parked || !carrier_may_feed(&l->carrier) || pressure_holds(p, l))
		return false;
	for (const struct list *n = l->riders.next; n != &l->riders; n = n->next)
		if (pressure_holds(p, list_entry(n, struct link, ride)))
			return false;
	return true;
}

void link_read(struct link *l)
{
	conn_read(&l->conn, may_read(l));
}

/* What is unsent in the kernel is before a keystroke: on a slow path it must be
 * less. Not for small changes, each is a system call. */
static void adapt(struct link *l)
{
	uint32_t wanted = carrier_lowat(&l->carrier);

	if (l->conn.sock.fd < 0 || (wanted / 2 < l->lowat && l->lowat / 2 < wanted))
		return;
	sys_notsent_lowat(l->conn.sock.fd, wanted);
	l->lowat = wanted;
}

/* Sends what the sessions on this connection have to say. */
static void send_all(struct link *l)
{
	int i = 0;

	while (conn_can_send(&l->conn) && carrier_has_output(&l->carrier)) {
		if (i++ == COMPOSES_A_TURN) {
			link_wake(l);
			break;
		}
		if (!compose(l))
			break;
	}
}

/* Whether the last words of l have left, or cannot. */
static bool has_finished(const struct link *l)
{
	const struct conn *c = &l->host->conn;

	if (!l->is_finishing || !c->is_open || c->is_closed)
		return l->is_finishing;
	/* Those of who rides on it leave with its own. */
	return !c->out && !(l->host == l ? carrier_has_output(&l->carrier) :
		session_has_output(&l->session));
}

/* Riders that wait for their last words to leave. */
static void remind_riders(struct link *l)
{
	for (struct list *n = l->riders.next; n != &l->riders; n = n->next) {
		struct link *rider = list_entry(n, struct link, ride);

		if (has_finished(rider) || link_is_drained(rider))
			poller_defer(&l->worker->poller, &rider->flush);
	}
}

/* After what could be sent was. */
static void settle(struct link *l)
{
	if (link_is_drained(l))
		l->ops->on_drained(l);
	if (has_finished(l))
		link_close(l);
	else if (!l->is_finishing && l->host == l)
		link_read(l);
	if (!l->is_closed && l->session.credit_us < l->timer_due_us)
		link_arm(l, l->session.credit_us);
}

static void flush(struct turn *turn)
{
	struct link *l = list_entry(turn, struct link, flush);

	if (l->is_closed || !l->has_begun)
		return;
	session_check(&l->session);
	if (l->is_torn && !l->conn.is_closed) {
		link_conn_ops.on_lost(&l->conn, "a lane left it amid a frame");
	} else if (l->carrier.owner) {
		send_all(l);
		if (!l->is_closed && !l->conn.is_closed)
			adapt(l);
		remind_riders(l);
	}
	if (!l->is_closed)
		settle(l);
}

void link_wake(struct link *l)
{
	if (l->is_closed)
		return;
	poller_defer(&l->worker->poller, &l->flush);
	if (l->host != l)
		poller_defer(&l->worker->poller, &l->host->flush);
}

/* --- the connection ------------------------------------------------------------- */

static struct link *link_of(struct conn *c)
{
	return list_entry(c, struct link, conn);
}

static void begin(struct link *l)
{
	enum code code;

	if (l->config.refuse_plain && !l->conn.tls)
		l->config.session.refuse = CODE_ENCRYPTION_REQUIRED;
	l->config.session.pool = &l->worker->chunks;
	code = session_init(&l->session, &l->config.session, &upcalls_ops, l,
		worker_now(l->worker));
	l->session.begun_us = l->opened_us; /* The time to log in began with the connection. */
	l->has_begun = true;
	carrier_init(&l->carrier, &l->session);
	if (code)
		session_abandon(&l->session, code_text(code));
	link_wake(l);
}

static void on_conn_open(struct conn *c)
{
	begin(link_of(c));
}

static void on_bytes(struct conn *c, const uint8_t *data, size_t len)
{
	struct link *l = link_of(c);

	if (l->is_finishing)
		return;
	carrier_feed(&l->carrier, data, len, worker_now(l->worker));
	if (!l->is_finishing)
		link_read(l);
}

static void on_space(struct conn *c)
{
	link_wake(link_of(c));
}

static void on_stranger(struct conn *c, const uint8_t *data, size_t len)
{
	struct link *l = link_of(c);

	l->ops->on_stranger(l, data, len);
	link_close(l);
}

static void on_lost(struct conn *c, const char *why)
{
	struct link *l = link_of(c);

	if (l->has_begun)
		session_lost(&l->session, why, worker_now(l->worker));
	if (!l->has_begun || l->session.state == SESSION_DEAD)
		link_abort(l, why);
}

const struct conn_ops link_conn_ops = {
	.on_open = on_conn_open,
	.on_bytes = on_bytes,
	.on_space = on_space,
	.on_stranger = on_stranger,
	.on_lost = on_lost,
};

void link_abort(struct link *l, const char *why)
{
	if (l->is_closed)
		return;
	if (l->has_begun) {
		session_abandon(&l->session, why);
	} else {
		struct session_end end = { SESSION_GONE, CODE_OK, 0, "" };

		strncpy(end.text, why, sizeof end.text - 1);
		l->is_finishing = true;
		l->ops->on_end(l, &end);
	}
	link_close(l);
}

void link_finish(struct link *l, const char *why)
{
	if (!l->is_known || l->host->conn.is_closed)
		link_abort(l, why);
	else if (!l->is_finishing)
		session_finish(&l->session);
}

bool link_explain(const struct link *l, char *what, size_t what_cap, char *hint, size_t hint_cap)
{
	return l->conn.tls && tls_explain(l->conn.tls, what, what_cap, hint, hint_cap);
}

/* --- life --------------------------------------------------------------------------- */

static void on_gone(struct turn *turn)
{
	struct link *l = list_entry(turn, struct link, flush);

	list_remove(&turn->node); /* The timer may come before the turn does. */
	if (!list_is_empty(&l->pipes)) {
		/* A pipe that hands its last bytes over may take a second. */
		timer_start(l->timer, 50);
		return;
	}
	pressure_leave(l->worker->pressure, l);
	worker_shrank(l->worker, LINK_COST);
	timer_free(l->timer);
	l->timer = NULL;
	if (l->has_begun)
		session_fini(&l->session);
	proof_free(l->proof);
	l->proof = NULL;
	proof_wipe(&l->session.proofs, sizeof l->session.proofs);
	l->ops->on_closed(l);
}

void link_close(struct link *l)
{
	if (l->is_closed)
		return;
	l->is_closed = true;
	/* Who still waits for a socket would hold everything up. */
	for (struct list *n = l->pipes.next; n != &l->pipes; n = n->next) {
		struct pipe *p = list_entry(n, struct pipe, node);

		if (p->state == PIPE_WAITING)
			pipe_reset(p, CODE_CANCELLED);
	}
	timer_stop(l->timer);
	ride_leave(l);
	conn_close(&l->conn);
	ride_drop_all(l);
	list_remove(&l->flush.node);
	l->flush.run = on_gone;
	poller_defer(&l->worker->poller, &l->flush);
}

void link_on_timer(struct timer *t)
{
	struct link *l = t->data;
	uint64_t now = worker_now(l->worker);

	l->timer_due_us = UINT64_MAX;
	if (l->is_closed) {
		on_gone(&l->flush);
		return;
	}
	if (l->is_finishing) {
		if (now - l->finish_us >= LINK_LAST_WORDS_US)
			link_close(l);
		else
			link_arm(l, l->finish_us + LINK_LAST_WORDS_US);
		return;
	}
	if (!l->has_begun) {
		link_abort(l, "no TLS handshake in time");
		return;
	}
	link_arm(l, session_tick(&l->session, l->host->conn.blocked_us, now));
}

void link_arm(struct link *l, uint64_t at_us)
{
	uint64_t now = worker_now(l->worker);

	if (l->is_closed || !l->timer || at_us == UINT64_MAX)
		return;
	l->timer_due_us = at_us;
	timer_start(l->timer, at_us > now ? (at_us - now + 999) / 1000 : 0);
}

int link_open(struct link *l, struct worker *w, int fd, const struct link_config *config,
	const struct link_ops *ops, void *owner)
{
	int err;

	*l = (struct link){
		.worker = w,
		.ops = ops,
		.owner = owner,
		.config = *config,
		.timer_due_us = UINT64_MAX,
		.opened_us = worker_now(w),
	};
	l->host = l;
	list_init(&l->pipes);
	list_init(&l->riders);
	list_init(&l->ride);
	poller_turn_init(&l->flush, flush);
	l->timer = timer_new(w->loop, link_on_timer, l);
	if (!l->timer) {
		close(fd);
		return -ENOMEM;
	}
	/* Above stuck_us: a peer that takes nothing is ours to judge. */
	sys_keepalive(fd, (unsigned)(config->session.stuck_us / 1000) + USER_TIMEOUT_MS);
	l->lowat = PATH_LOWAT_MOST;
	sys_notsent_lowat(fd, l->lowat);
	err = conn_open(&l->conn, w, fd, config->mode, config->context, config->host, &link_conn_ops);
	if (err) {
		timer_free(l->timer);
		return err;
	}
	pressure_join(w->pressure, l);
	worker_grew(w, LINK_COST);
	link_arm(l, worker_now(w) + config->session.login_us);
	return 0;
}
