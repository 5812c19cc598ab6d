#include "client/local.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "admin/admin.h"
#include "client/unreachable.h"
#include "core/addr.h"
#include "net/sys.h"
#include "tunnel/line.h"
#include "net/timer.h"

enum {
	DIAL_MS = 10 * 1000,
	DIALS_MAX = 256,
	/* A visitor of a web service that is down has this long to ask. */
	ASK_MS = 5 * 1000,
};

/* A dial for a stream. It belongs to its pipe, which ends it, until that has its socket. */
struct call {
	struct local *local;
	struct pipe *pipe;
	struct dial *dial;
	struct timer *timer;	/* while the visitor is waited for, or NULL */
	enum code code;		/* why there is no service */
	char why[64];
};

void local_init(struct local *l, struct worker *w, const char *host, uint16_t port)
{
	*l = (struct local){ .worker = w, .host = host, .port = port };
	addr_join(host, port, l->text, sizeof l->text);
}

void local_close(struct local *l)
{
	dial_cancel(l->probe);
	l->probe = NULL;
}

static struct dial *dial(struct local *l, void (*on_done)(void *, const struct dial_result *),
	void *owner)
{
	struct dial_target target = {
		.host = l->host,
		.port = l->port,
		.timeout_ms = DIAL_MS,
		.cache = &l->cache,
		.reset = true,
	};

	return dial_start(l->worker, &target, on_done, owner);
}

/* --- the probe -------------------------------------------------------------- */

static void on_probed(void *owner, const struct dial_result *r)
{
	struct local *l = owner;
	char why[64];

	l->probe = NULL;
	if (r->fd >= 0) {
		close(r->fd);
		return;
	}
	log_warn(NULL, "Nothing answers at %s yet (%s); start it any time", l->text,
		dial_text(r, DIAL_MS, why, sizeof why));
}

void local_probe(struct local *l)
{
	if (!l->probe)
		l->probe = dial(l, on_probed, l);
}

/* --- streams ------------------------------------------------------------------ */

static enum code code_of(const struct dial_result *r)
{
	if (r->timed_out)
		return CODE_DIAL_TIMEOUT;
	return r->error == -ECONNREFUSED ? CODE_DIAL_REFUSED : CODE_DIAL_UNAVAILABLE;
}

static void log_failure(struct local *l, const struct dial_result *r)
{
	uint64_t now_ms = worker_now(l->worker) / 1000;
	char why[64], at[ADDR_TEXT_MAX] = "";
	unsigned suppressed;

	/* One line a second: the cause is the same for every visitor. */
	if (l->failures++ && now_ms / 1000 == l->failed_log.second) {
		l->failed_log.suppressed++;
		return;
	}
	log_limit_pass(&l->failed_log, now_ms, &suppressed);
	if (suppressed)
		log_warn(NULL, "suppressed %u lines like the next", suppressed);
	if (r->addr.ss_family)
		addr_format((const struct sockaddr *)&r->addr, at, sizeof at);
	log_warn(NULL, "local service %s%s%s%s: %s", l->text, *at ? " (" : "", at, *at ? ")" : "",
		dial_text(r, DIAL_MS, why, sizeof why));
}

/* The visitor of a web service is told, if it asked. */
static void tell(struct call *c)
{
	struct pipe *p = c->pipe;
	size_t len = backlog_len(&p->queue) ? backlog_piece(&p->queue) : 0;
	const uint8_t *data = len ? backlog_data(&p->queue) : NULL;
	char answer[UNREACHABLE_MAX];

	switch (len ? unreachable_judge(data, len) : UNREACHABLE_WAIT) {
	case UNREACHABLE_WAIT:
		if (p->fin_due)
			pipe_reset(p, c->code); /* No more will come. */
		return;
	case UNREACHABLE_OTHER:
		pipe_reset(p, c->code);
		return;
	case UNREACHABLE_HTTP:
		tap_ours(p->meter.tap, c->code);
		pipe_answer(p, answer, unreachable_answer(data, len, c->local->text, c->why,
			c->code, answer));
		return;
	}
}

static void on_bytes(struct pipe *p)
{
	tell(p->user);
}

static void on_silent(struct timer *t)
{
	struct call *c = t->data;

	if (c->pipe->state == PIPE_WAITING)
		pipe_reset(c->pipe, c->code);
}

/* There is no service: RST, or for the web an answer to what was asked. */
static void fail(struct call *c)
{
	struct pipe *p = c->pipe;

	if (!c->local->pages->traffic->is_http || !p->stream) {
		pipe_reset(p, c->code);
		return;
	}
	c->timer = timer_new(c->local->worker->loop, on_silent, c);
	if (!c->timer) {
		pipe_reset(p, c->code);
		return;
	}
	timer_start(c->timer, ASK_MS);
	stream_answer(&p->link->session, p->stream); /* Nobody else waits for this one. */
	p->on_bytes = on_bytes;
	tell(c);
}

static void on_served(struct pipe *p)
{
	log_debug(NULL, "stream %u closed: %" PRIu64 " bytes from the service, %" PRIu64 " to it%s%s",
		p->id, p->meter.up, p->meter.down, p->code ? "; " : "", p->code ? code_text(p->code) : "");
}

static void free_call(struct call *c)
{
	c->pipe->user = NULL;
	timer_free(c->timer);
	free(c);
}

static void on_dialled(void *owner, const struct dial_result *r)
{
	struct call *c = owner;
	struct local *l = c->local;
	struct pipe *p = c->pipe;

	c->dial = NULL;
	l->dialling--;
	if (r->fd < 0) {
		log_failure(l, r);
		shard_add(&l->pages->traffic->counts.dials_failed, 1);
		c->code = code_of(r);
		dial_text(r, DIAL_MS, c->why, sizeof c->why);
		/* It may have ended in this very turn, and is freed in the next. */
		if (p->state == PIPE_WAITING)
			fail(c);
		return;
	}
	if (admin_is_at(l->pages->admin, (const struct sockaddr *)&r->addr)) {
		close(r->fd);
		log_warn(NULL, "%s is the admin endpoint of this client and is not exposed", l->text);
		pipe_reset(p, CODE_FORBIDDEN);
		return;
	}
	l->failures = 0;
	if (pipe_attach(p, r->fd) != 0)
		return;
	/* Streams last, dials do not. */
	p->on_done = on_served;
	free_call(c);
	if (p->stream)
		stream_answer(&p->link->session, p->stream);
}

static void on_called(struct pipe *p)
{
	struct call *c = p->user;

	if (c->dial)
		c->local->dialling--;
	dial_cancel(c->dial);
	free_call(c);
	on_served(p);
}

enum code local_open(struct local *l, struct link *link, struct stream *st,
	const struct flow_addr *peer)
{
	struct call *c = l->dialling < DIALS_MAX ? calloc(1, sizeof *c) : NULL;
	struct pipe *p = c ? pipe_new(link) : NULL;
	char at[ADDR_TEXT_MAX];

	if (!p) {
		free(c);
		return CODE_OVERLOADED;
	}
	log_debug(NULL, "stream %u opened for %s", st->id, line_peer(peer, at));
	c->local = l;
	c->pipe = p;
	p->user = c;
	p->on_done = on_called;
	pipe_join(p, st);
	meter_open(&p->meter, &l->pages->trace, l->pages->traffic, peer);
	c->dial = dial(l, on_dialled, c);
	if (c->dial)
		l->dialling++;
	else
		pipe_reset(p, CODE_OVERLOADED);
	return CODE_OK;
}
