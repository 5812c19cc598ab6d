#include "tunnel/upcalls.h"

#include "auth/proof.h"
#include "tunnel/link_parts.h"
#include "tunnel/prove.h"
#include "tunnel/ride.h"

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
	link_arm(l, session_tick(&l->session, l->host->conn.blocked_us, worker_now(l->worker)));
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
	link_arm(l, l->finish_us + LINK_LAST_WORDS_US);
	link_wake(l); /* The flush sends the last words and closes. */
}

static void on_detach(void *owner, const char *text)
{
	struct link *l = owner;

	ride_cut_off(l);
	if (l->is_finishing) /* One that rode on it ended by that, and this with it. */
		return;
	link_arm(l, l->session.lost_us + l->session.hold_us);
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

static enum code on_ride(void *owner, const struct state_resume *resume)
{
	struct link *l = owner;

	/* Who rides itself carries nobody. */
	return l->ops->on_ride && ride_can_carry(l) ? l->ops->on_ride(l, resume) :
		CODE_RESUME_UNKNOWN;
}

static enum code on_join(void *owner, const struct state_join *join)
{
	struct link *l = owner;

	return l->ops->on_join ? l->ops->on_join(l, join) : CODE_RESUME_UNKNOWN;
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

const struct session_ops upcalls_ops = {
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
	.on_ride = on_ride,
	.on_join = on_join,
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
