#include "tunnel/link.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "mux/resume.h"
#include "net/sys.h"
#include "tunnel/pressure.h"
#include "tunnel/prove.h"

enum {
	COMPOSES_A_TURN = 4,
	USER_TIMEOUT_MS = 10 * 1000,
	LAST_WORDS_US = 2 * 1000 * 1000, /* patience for an ERROR to leave */
	COST = 12 * 1024,	/* what one occupies with its session and TLS, about */
};

static void arm(struct link *l, uint64_t at_us);
static void close_now(struct link *l);
static void on_timer(struct timer *t);

/* --- what the session asks for ---------------------------------------------- */

static struct pipe *pipe_of(struct stream *st)
{
	return st->user;
}

static enum code on_admit(void *owner, uint32_t *retry_ms)
{
	struct link *l = owner;

	return l->ops->admit ? l->ops->admit(l, retry_ms) : CODE_OK;
}

static void on_random(void *owner, void *out, size_t n)
{
	(void)owner;
	proof_random(out, n);
}

static void on_login(void *owner)
{
	struct link *l = owner;

	l->is_known = true;
	conn_trust(&l->conn);
	session_measure(&l->session);
	arm(l, session_tick(&l->session, l->conn.blocked_us, worker_now(l->worker)));
	l->ops->on_login(l);
}

static void on_shutdown(void *owner, uint32_t drain_ms)
{
	struct link *l = owner;

	l->ops->on_shutdown(l, drain_ms);
}

static void on_bind(void *owner, const struct bind_request *request)
{
	struct link *l = owner;

	l->ops->on_bind(l, request);
}

static void on_unbind(void *owner, uint32_t bind_id)
{
	struct link *l = owner;

	l->ops->on_unbind(l, bind_id);
}

static void on_answer(void *owner, struct stream *st)
{
	struct link *l = owner;

	l->ops->on_answer(l, st);
}

static void on_bind_ok(void *owner, const struct bind_ok *ok)
{
	struct link *l = owner;

	l->ops->on_bind_ok(l, ok);
}

static void on_bind_err(void *owner, const struct bind_err *err)
{
	struct link *l = owner;

	l->ops->on_bind_err(l, err);
}

static enum code on_open(void *owner, struct stream *st, const struct flow_open *open)
{
	struct link *l = owner;

	return l->ops->on_open(l, st, open);
}

static void on_data(void *owner, struct stream *st, const uint8_t *data, size_t len)
{
	(void)owner;
	pipe_take(pipe_of(st), data, len);
}

static void on_close(void *owner, struct stream *st)
{
	(void)owner;
	pipe_end(pipe_of(st));
}

static void on_reset(void *owner, struct stream *st, enum code code)
{
	(void)owner;
	pipe_was_reset(pipe_of(st), code);
}

static size_t on_pull(void *owner, struct stream *st, uint8_t *out, size_t cap)
{
	(void)owner;
	return pipe_pull(pipe_of(st), out, cap);
}

static void on_end(void *owner, const struct session_end *end)
{
	struct link *l = owner;

	l->is_finishing = true;
	l->finish_us = worker_now(l->worker);
	if (l->ops->on_end)
		l->ops->on_end(l, end);
	arm(l, l->finish_us + LAST_WORDS_US);
	link_wake(l); /* The flush sends the last words and closes. */
}

/* The connection is of no use any more. What the kernel has of it is of no use
 * to anybody either: it is all kept here. */
static void cut_off(struct link *l)
{
	if (!l->conn.is_closed && l->conn.sock.fd >= 0)
		sys_linger_reset(l->conn.sock.fd, true);
	conn_close(&l->conn);
}

static void on_detach(void *owner, const char *text)
{
	struct link *l = owner;

	cut_off(l);
	arm(l, l->session.lost_us + l->session.hold_us);
	l->ops->on_detach(l, text);
}

static void on_resumed(void *owner)
{
	struct link *l = owner;

	l->ops->on_resumed(l);
}

static enum code on_resume(void *owner, const struct state_resume *resume)
{
	struct link *l = owner;

	return l->ops->on_resume ? l->ops->on_resume(l, resume) : CODE_RESUME_UNKNOWN;
}

static void on_resume_refused(void *owner, enum code code)
{
	struct link *l = owner;

	l->ops->on_resume_refused(l, code);
}

/* There is something to say, or nothing more. */
static void on_change(void *owner)
{
	link_wake(owner);
}

static const struct session_ops session_ops = {
	.admit = on_admit,
	.message = prove_message,
	.prove = prove_login,
	.random = on_random,
	.equal = proof_equal,
	.on_login = on_login,
	.on_end = on_end,
	.on_detach = on_detach,
	.on_resumed = on_resumed,
	.on_resume = on_resume,
	.on_resume_refused = on_resume_refused,
	.on_shutdown = on_shutdown,
	.on_output = on_change,
	.on_bind = on_bind,
	.on_unbind = on_unbind,
	.on_answer = on_answer,
	.on_bind_ok = on_bind_ok,
	.on_bind_err = on_bind_err,
	.on_open = on_open,
	.on_data = on_data,
	.on_close = on_close,
	.on_reset = on_reset,
	.on_over = on_change,
	.pull = on_pull,
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
	session_compose(&l->session, &b, worker_now(l->worker));
	any = b.total > 0;
	conn_send(&l->conn, &b);
	return any;
}

static bool is_drained(const struct link *l)
{
	return l->session.state == SESSION_DRAIN && session_streams(&l->session) == 0 &&
		list_is_empty(&l->pipes) && !session_has_output(&l->session) && !l->conn.out;
}

static bool may_read(const struct link *l)
{
	return !l->is_parked && session_may_feed(&l->session) &&
		!pressure_holds(l->worker->pressure, l);
}

/* What is unsent in the kernel is before a keystroke: on a slow path it must be
 * less. Not for small changes, each is a system call. */
static void adapt(struct link *l)
{
	uint32_t wanted = path_lowat(&l->session.path);

	if (l->conn.sock.fd < 0 || (wanted / 2 < l->lowat && l->lowat / 2 < wanted))
		return;
	sys_notsent_lowat(l->conn.sock.fd, wanted);
	l->lowat = wanted;
}

static void flush(struct turn *turn)
{
	struct link *l = list_entry(turn, struct link, flush);
	int i = 0;

	if (l->is_closed || !l->has_begun)
		return;
	session_check(&l->session);
	while (conn_can_send(&l->conn) && session_has_output(&l->session)) {
		if (i++ == COMPOSES_A_TURN) {
			link_wake(l);
			break;
		}
		if (!compose(l))
			break;
	}
	if (l->is_closed)
		return;
	adapt(l);
	if (is_drained(l))
		l->ops->on_drained(l);
	if (l->is_finishing && (!l->conn.is_open || l->conn.is_closed ||
		(!l->conn.out && !session_has_output(&l->session))))
		close_now(l);
	else if (!l->is_finishing)
		conn_read(&l->conn, may_read(l));
	if (!l->is_closed && l->session.credit_us < l->timer_due_us)
		arm(l, l->session.credit_us);
}

void link_wake(struct link *l)
{
	if (!l->is_closed)
		poller_defer(&l->worker->poller, &l->flush);
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
	code = session_init(&l->session, &l->config.session, &session_ops, l,
		worker_now(l->worker));
	l->session.begun_us = l->opened_us; /* The time to log in began with the connection. */
	l->has_begun = true;
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
	session_feed(&l->session, data, len, worker_now(l->worker));
	if (!l->is_finishing)
		conn_read(c, may_read(l));
}

static void on_space(struct conn *c)
{
	link_wake(link_of(c));
}

static void on_stranger(struct conn *c, const uint8_t *data, size_t len)
{
	struct link *l = link_of(c);

	l->ops->on_stranger(l, data, len);
	close_now(l);
}

static void on_lost(struct conn *c, const char *why)
{
	struct link *l = link_of(c);

	if (l->has_begun)
		session_lost(&l->session, why, worker_now(l->worker));
	if (!l->has_begun || l->session.state == SESSION_DEAD)
		link_abort(l, why);
}

static const struct conn_ops conn_ops = {
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
	close_now(l);
}

void link_finish(struct link *l, const char *why)
{
	if (!l->is_known || l->conn.is_closed)
		link_abort(l, why);
	else if (!l->is_finishing)
		session_finish(&l->session);
}

bool link_explain(const struct link *l, char *what, size_t what_cap, char *hint, size_t hint_cap)
{
	return l->conn.tls && tls_explain(l->conn.tls, what, what_cap, hint, hint_cap);
}

/* --- moving to another connection ------------------------------------------------- */

int link_take_over(struct link *l, struct link *fresh)
{
	int err;

	if (l->is_closed || fresh->is_closed || fresh->conn.is_closed)
		return -ENOTCONN;
	cut_off(l);
	err = conn_take_over(&l->conn, &fresh->conn, &conn_ops);
	l->lowat = fresh->lowat;
	timer_stop(fresh->timer);
	if (err)
		session_lost(&l->session, strerror(-err), worker_now(l->worker));
	return err;
}

/* The session has its transport; when is it out of patience with it? */
static void resume(struct link *l, struct link *fresh)
{
	resume_inherit(&l->session, &fresh->session);
	arm(l, session_tick(&l->session, 0, worker_now(l->worker)));
	link_wake(l);
}

int link_ask(struct link *l, struct link *fresh)
{
	struct state_resume r = { .epoch = l->session.epoch + 1 };
	int err = prove_resume(l, fresh, r.epoch, r.proof);

	if (!err)
		err = link_take_over(l, fresh);
	if (err)
		return err;
	memcpy(r.session_id, l->session.id, sizeof r.session_id);
	resume_ask(&l->session, &r, worker_now(l->worker));
	resume(l, fresh);
	return 0;
}

int link_adopt(struct link *l, struct link *fresh, uint32_t epoch)
{
	int err = link_take_over(l, fresh);

	if (err)
		return err;
	resume_adopt(&l->session, epoch, worker_now(l->worker));
	resume(l, fresh);
	return 0;
}

void link_go_on(struct link *fresh)
{
	fresh->timer_due_us = UINT64_MAX;
	arm(fresh, session_tick(&fresh->session, 0, worker_now(fresh->worker)));
	link_wake(fresh);
}

void link_retire(struct link *l)
{
	l->is_finishing = true;
	close_now(l);
}

/* --- moving to another worker ----------------------------------------------------- */

void link_park(struct link *l, bool parked)
{
	l->is_parked = parked;
	conn_read(&l->conn, may_read(l));
}

void link_leave(struct link *l)
{
	list_remove(&l->flush.node);
	timer_free(l->timer);
	l->timer = NULL;
	pressure_leave(l->worker->pressure, l);
	worker_shrank(l->worker, COST);
	conn_leave(&l->conn);
	l->worker = NULL;
}

int link_arrive(struct link *l, struct worker *w)
{
	int err = conn_arrive(&l->conn, w);

	l->worker = w;
	l->is_parked = false;
	l->session.config.pool = l->config.session.pool = &w->chunks;
	pressure_join(w->pressure, l);
	worker_grew(w, COST);
	l->timer = timer_new(w->loop, on_timer, l);
	if (err || !l->timer)
		return err ? err : -ENOMEM;
	arm(l, l->timer_due_us);
	link_wake(l);
	return 0;
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
	worker_shrank(l->worker, COST);
	timer_free(l->timer);
	l->timer = NULL;
	if (l->has_begun)
		session_fini(&l->session);
	proof_free(l->proof);
	l->proof = NULL;
	proof_wipe(&l->session.proofs, sizeof l->session.proofs);
	l->ops->on_closed(l);
}

static void close_now(struct link *l)
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
	conn_close(&l->conn);
	list_remove(&l->flush.node);
	l->flush.run = on_gone;
	poller_defer(&l->worker->poller, &l->flush);
}

static void on_timer(struct timer *t)
{
	struct link *l = t->data;
	uint64_t now = worker_now(l->worker);

	l->timer_due_us = UINT64_MAX;
	if (l->is_closed) {
		on_gone(&l->flush);
		return;
	}
	if (l->is_finishing) {
		if (now - l->finish_us >= LAST_WORDS_US)
			close_now(l);
		else
			arm(l, l->finish_us + LAST_WORDS_US);
		return;
	}
	if (!l->has_begun) {
		link_abort(l, "no TLS handshake in time");
		return;
	}
	arm(l, session_tick(&l->session, l->conn.blocked_us, now));
}

static void arm(struct link *l, uint64_t at_us)
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
	list_init(&l->pipes);
	poller_turn_init(&l->flush, flush);
	l->timer = timer_new(w->loop, on_timer, l);
	if (!l->timer) {
		close(fd);
		return -ENOMEM;
	}
	/* Above stuck_us: a peer that takes nothing is ours to judge. */
	sys_keepalive(fd, (unsigned)(config->session.stuck_us / 1000) + USER_TIMEOUT_MS);
	l->lowat = PATH_LOWAT_MOST;
	sys_notsent_lowat(fd, l->lowat);
	err = conn_open(&l->conn, w, fd, config->mode, config->context, config->host, &conn_ops);
	if (err) {
		timer_free(l->timer);
		return err;
	}
	pressure_join(w->pressure, l);
	worker_grew(w, COST);
	arm(l, worker_now(w) + config->session.login_us);
	return 0;
}
