#include "client/local.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/addr.h"
#include "net/sys.h"

enum { DIAL_MS = 10 * 1000, DIALS_MAX = 256 };

/* A dial for a stream. It belongs to its pipe, which ends it. */
struct call {
	struct local *local;
	struct pipe *pipe;
	struct dial *dial;
	struct list node;
};

void local_init(struct local *l, struct worker *w, const char *host, uint16_t port)
{
	*l = (struct local){ .worker = w, .host = host, .port = port };
	list_init(&l->calls);
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

static void on_dialled(void *owner, const struct dial_result *r)
{
	struct call *c = owner;
	struct local *l = c->local;
	struct pipe *p = c->pipe;

	c->dial = NULL;
	l->dialling--;
	if (r->fd < 0) {
		log_failure(l, r);
		pipe_reset(p, code_of(r));
		return;
	}
	l->failures = 0;
	if (pipe_attach(p, r->fd) == 0 && p->stream)
		stream_answer(&p->link->session, p->stream);
}

static void on_pipe_done(struct pipe *p)
{
	struct call *c = p->user;

	if (c->dial)
		c->local->dialling--;
	dial_cancel(c->dial);
	list_remove(&c->node);
	free(c);
}

enum code local_open(struct local *l, struct link *link, struct stream *st)
{
	struct call *c = l->dialling < DIALS_MAX ? calloc(1, sizeof *c) : NULL;
	struct pipe *p = c ? pipe_new(link) : NULL;

	if (!p) {
		free(c);
		return CODE_OVERLOADED;
	}
	c->local = l;
	c->pipe = p;
	list_init(&c->node);
	list_append(&l->calls, &c->node);
	p->user = c;
	p->on_done = on_pipe_done;
	pipe_join(p, st);
	c->dial = dial(l, on_dialled, c);
	if (c->dial)
		l->dialling++;
	else
		pipe_reset(p, CODE_OVERLOADED);
	return CODE_OK;
}
