#include "server/expose.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/text.h"
#include "mux/binding.h"
#include "mux/resume.h"
#include "net/sys.h"
#include "server/agent.h"
#include "server/lane.h"
#include "server/rejoin.h"

static void on_accept(struct listener *l, int fd, const struct sockaddr_storage *peer);

/* --- connections ----------------------------------------------------------- */

static struct flow_addr flow_addr_of(const struct sockaddr_storage *sa)
{
	const struct sockaddr_in6 *v6 = (const void *)sa;
	const struct sockaddr_in *v4 = (const void *)sa;
	struct flow_addr a = { 0 };

	if (sa->ss_family == AF_INET) {
		a.family = 4;
		memcpy(a.ip, &v4->sin_addr, 4);
		a.port = ntohs(v4->sin_port);
	} else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) { /* NOLINT(clang-analyzer-core.*) */
		a.family = 4;
		memcpy(a.ip, v6->sin6_addr.s6_addr + 12, 4);
		a.port = ntohs(v6->sin6_port);
	} else {
		a.family = 6;
		memcpy(a.ip, &v6->sin6_addr, 16);
		a.port = ntohs(v6->sin6_port);
	}
	return a;
}

/* A visitor is gone. */
static void leave(struct hub *h, struct source *source)
{
	house_lock(h->house);
	sources_part(h->house->sources, source, worker_now(&h->worker));
	hub_conn_closed(h);
	house_unlock(h->house);
}

static void on_pipe_done(struct pipe *p)
{
	struct agent *a = p->link->owner;

	log_debug(a->who, "stream %u closed: %" PRIu64 " bytes from the visitor, %" PRIu64 " to it%s%s",
		p->id, p->meter.up, p->meter.down, p->code ? "; " : "",
		p->code ? code_text(p->code) : "");
	leave(a->hub, p->user);
}

/* Whether the visitor's address may have one more connection, which is counted then. */
static bool may_visit(struct expose *e, const struct sockaddr *peer, struct source **source)
{
	struct hub *h = e->hub;
	unsigned most = h->config->max_conns_per_address;
	char from[ADDR_TEXT_MAX];
	unsigned n;
	bool may;

	house_lock(h->house);
	may = sources_visit(h->house->sources, source, peer, most, worker_now(&h->worker));
	if (may)
		hub_conn_opened(h);
	house_unlock(h->house);
	if (may)
		return true;
	shard_add(&h->worker.metrics.address_drops, 1);
	n = hub_tally(h, &h->house->address_log);
	if (n)
		log_warn(NULL, "reset %u visitor%s, the last %s: its address has %u connections "
			"(--max-conns-per-address)", n, n == 1 ? "" : "s",
			addr_format(peer, from, sizeof from), most);
	return false;
}

void expose_turn_away(struct expose *e, const struct visitor *v)
{
	close(v->fd); /* SO_LINGER{1,0}: the visitor sees RST. */
	leave(e->hub, v->source);
}

static void refuse_visitor(struct expose *e, const struct visitor *v)
{
	shard_add(&e->hub->worker.metrics.visitors_refused, 1);
	expose_turn_away(e, v);
}

/* Where the next stream goes; NULL while the client is away. */
static struct link *way(const struct expose *e)
{
	struct link *pick = lane_pick(e->agent);

	if (!pick && !resume_is_held(&e->agent->link.session))
		pick = &e->agent->link; /* It takes none any more, and says so. */
	return pick;
}

/* Makes a stream of the visitor. */
static void serve(struct expose *e, struct link *link, const struct visitor *v)
{
	struct flow_open open = { .bind_id = e->bind_id, .peer = flow_addr_of(&v->peer) };
	struct sockaddr_storage local = { 0 };
	socklen_t len = sizeof local;
	char from[ADDR_TEXT_MAX];
	struct stream *st;
	struct pipe *p;

	if (getsockname(v->fd, (struct sockaddr *)&local, &len) == 0)
		open.local = flow_addr_of(&local);
	else
		open.local.family = 4;
	p = pipe_new(link);
	st = p ? stream_open(&link->session, &open, p) : NULL;
	if (!st) {
		refuse_visitor(e, v);
		if (p)
			pipe_reset(p, CODE_OVERLOADED);
		return;
	}
	log_debug(e->agent->who, "stream %u opened for %s on :%u", st->id,
		addr_format((const struct sockaddr *)&v->peer, from, sizeof from), e->port);
	p->user = v->source;
	p->on_done = on_pipe_done;
	pipe_join(p, st);
	meter_open(&p->meter, &e->hub->trace, e->traffic, &open.peer);
	e->unanswered++;
	pipe_attach(p, v->fd);
}

static void on_accept(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
	struct expose *e = l->data;
	struct visitor v = { .fd = fd, .peer = *peer };
	struct link *link;

	if (!may_visit(e, (const struct sockaddr *)peer, &v.source)) {
		close(fd); /* SO_LINGER{1,0}: the visitor sees RST. */
		return;
	}
	link = way(e);
	if (link)
		serve(e, link, &v);
	else if (lobby_seat(&e->lobby, &v) < 0)
		refuse_visitor(e, &v);
	expose_update(e);
}

void expose_update(struct expose *e)
{
	listener_pause(&e->listener, hub_is_full(e->hub) || lobby_is_full(&e->lobby) ||
		e->unanswered >= SESSION_UNANSWERED_MAX);
}

void expose_go_on(struct expose *e)
{
	struct link *link;
	struct visitor v;

	while ((link = way(e)) && lobby_call(&e->lobby, &v))
		serve(e, link, &v);
	expose_update(e);
}

void expose_answered(struct expose *e)
{
	if (e->unanswered)
		e->unanswered--;
	expose_update(e);
}

static void on_starved(struct listener *l, int error)
{
	struct expose *e = l->data;

	hub_starved(e->hub, error);
}

/* --- ports -------------------------------------------------------------------- */

static int listen_on(struct expose *e, uint16_t port)
{
	return listener_open(&e->listener, &e->hub->worker, e->hub->config->bind_host, port, SYS_RESET,
		on_accept);
}

/* The identity's own tunnel on this port is taken over: its old session does
 * not know yet that it is dead. */
static void replace(struct agent *a, const struct portpool_identity *who, uint16_t port)
{
	struct hub *h = a->hub;
	struct agent *agent;

	for (struct list *n = h->exposes.next; n != &h->exposes; n = n->next) {
		struct expose *old = list_entry(n, struct expose, node);
		struct bind_err err = { old->bind_id, CODE_REPLACED, 0,
			span_of(code_text(CODE_REPLACED)) };

		if (old->agent == a || memcmp(&old->identity, who, sizeof *who) != 0 ||
			(port && old->port != port))
			continue;
		if (hub_may_log(h, &h->house->tunnel_log))
			log_info(old->agent->who, "replaced by a newer session of %s",
				old->agent->name);
		binding_refuse(&old->agent->link.session, &err);
		/* Leased: the newcomer finds the port first among its own. */
		agent = old->agent;
		expose_close(old, true);
		rejoin_replaced(agent, err.id);
		return;
	}
}

/* 0, or the code of the BIND_ERR. The first failure that is not another
 * program's doing is kept, to be told. */
static enum code try_port(struct expose *e, uint16_t port)
{
	int err = listen_on(e, port);

	if (!err) {
		e->port = port;
		return CODE_OK;
	}
	log_debug(e->agent->who, "port %u skipped: %s", port, strerror(-err));
	if (err == -EADDRINUSE)
		return CODE_PORT_TAKEN;
	if (!e->listen_err) {
		e->listen_err = err;
		e->port = port;
	}
	return e->listen_err == -EACCES ? CODE_FORBIDDEN : CODE_INTERNAL;
}

/* 0, or the code of the BIND_ERR. */
static enum code open_wanted(struct expose *e, uint16_t port, uint32_t *retry_ms)
{
	struct hub *h = e->hub;
	uint64_t kept;

	if (!portpool_has(&h->house->ports, port))
		return CODE_PORT_RANGE;
	kept = portpool_kept_us(&h->house->ports, port, &e->identity, worker_now(&h->worker));
	if (kept) {
		*retry_ms = kept == UINT64_MAX ? 0 : (uint32_t)(kept / 1000 + 1);
		return CODE_PORT_TAKEN;
	}
	return try_port(e, port);
}

static enum code open_any(struct expose *e)
{
	struct hub *h = e->hub;
	enum code why = CODE_PORTS_USED_UP, code;
	uint32_t cursor = 0;
	uint16_t port;

	while ((port = portpool_next(&h->house->ports, &e->identity, worker_now(&h->worker), &cursor))) {
		code = try_port(e, port);
		if (!code)
			return CODE_OK;
		if (code != CODE_PORT_TAKEN)
			why = code;
	}
	return why;
}

static struct expose *refuse(struct expose *e, struct bind_err *err, enum code code, char text[64])
{
	const struct portpool *ports = &e->hub->house->ports;

	shard_add(&e->hub->worker.metrics.ports_refused, 1);
	snprintf(text, 64, "%s", code_text(code));
	if (code == CODE_PORT_RANGE || code == CODE_PORTS_USED_UP)
		snprintf(text, 64, "%u-%u", ports->start, ports->end);
	if (code == CODE_FORBIDDEN || code == CODE_INTERNAL)
		snprintf(text, 64, "cannot listen on :%u: %s", e->port, strerror(-e->listen_err));
	err->code = (uint16_t)code;
	err->text = span_of(text);
	traffic_unref(e->traffic);
	free(e);
	return NULL;
}

static uint8_t scope_of(const struct hub *h)
{
	return h->config->bind_host && addr_is_loopback_host(h->config->bind_host) ?
		BIND_SCOPE_LOOPBACK : BIND_SCOPE_ANY;
}

struct expose *expose_open(struct agent *a, const struct bind_request *request,
	struct bind_err *err, char text[64])
{
	const struct session *s = &a->link.session;
	struct expose *e = calloc(1, sizeof *e);
	enum code code;

	*err = (struct bind_err){ request->id, CODE_OVERLOADED, 0, span_of("out of memory") };
	if (!e)
		return NULL;
	e->hub = a->hub;
	e->agent = a;
	e->bind_id = request->id;
	e->scope = scope_of(a->hub);
	list_init(&e->node);
	list_init(&e->of_agent);
	lobby_init(&e->lobby, e);
	portpool_identify(&e->identity, s->peer_key_id, s->peer_name, s->peer_instance);
	replace(a, &e->identity, request->port);
	code = request->port ? open_wanted(e, request->port, &err->retry_ms) : open_any(e);
	if (code)
		return refuse(e, err, code, text);
	e->traffic = hub_traffic(a->hub, e->port, a->name);
	if (!e->traffic) {
		listener_close(&e->listener);
		free(e);
		return NULL;
	}
	e->listener.data = e;
	e->listener.on_starved = on_starved;
	text_escape(request->label.at, request->label.len, e->traffic->label,
		sizeof e->traffic->label);
	e->traffic->is_http = request->kind == BIND_HTTP;
	log_debug(a->who, "listening on :%u", e->port);
	portpool_use(&a->hub->house->ports, e->port, &e->identity);
	hub_touch_leases(a->hub);
	list_append(&a->hub->exposes, &e->node);
	list_append(&a->exposes, &e->of_agent);
	expose_update(e);
	return e;
}

void expose_stop(struct expose *e)
{
	if (listener_is_open(&e->listener))
		log_debug(e->agent->who, "listening on :%u no longer", e->port);
	listener_close(&e->listener);
}

/* Resets the streams of e that go over l. */
static void reset_streams(const struct expose *e, struct link *l)
{
	for (struct list *n = l->pipes.next, *next; n != &l->pipes; n = next) {
		struct pipe *p = list_entry(n, struct pipe, node);

		next = n->next;
		if (p->stream && p->stream->bind_id == e->bind_id)
			pipe_reset(p, CODE_SHUTTING_DOWN);
	}
}

void expose_close(struct expose *e, bool lease)
{
	struct agent *a = e->agent;
	uint64_t now = worker_now(&e->hub->worker);

	expose_stop(e);
	lobby_close(&e->lobby);
	house_lock(e->hub->house);
	portpool_release(&e->hub->house->ports, e->port, lease ? now + HUB_LEASE_US : 0);
	house_unlock(e->hub->house);
	hub_touch_leases(e->hub);
	list_remove(&e->node);
	list_remove(&e->of_agent);
	reset_streams(e, &a->link);
	for (struct list *n = a->lanes.next; n != &a->lanes; n = n->next)
		reset_streams(e, &list_entry(n, struct agent, lane)->link);
	traffic_unref(e->traffic);
	free(e);
}
