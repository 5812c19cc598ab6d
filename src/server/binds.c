#include "server/binds.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"
#include "core/text.h"
#include "mux/binding.h"
#include "server/expose.h"
#include "server/lane.h"
#include "server/member.h"

enum {
	EXPOSES_MAX = 64,	/* tunnels of one session */
	ASKS_A_SECOND = 16,	/* BINDs: each costs a listener and a line */
};

static struct agent *agent_of(struct link *l)
{
	return l->owner;
}

static struct expose *find(struct agent *a, uint32_t bind_id)
{
	for (struct list *n = a->exposes.next; n != &a->exposes; n = n->next) {
		struct expose *e = list_entry(n, struct expose, of_agent);

		if (e->bind_id == bind_id)
			return e;
	}
	return NULL;
}

static unsigned count(const struct agent *a)
{
	unsigned n = 0;

	for (const struct list *i = a->exposes.next; i != &a->exposes; i = i->next)
		n++;
	return n;
}

static void refuse_for(struct agent *a, uint32_t id, enum code code, const char *why)
{
	struct bind_err err = { id, (uint16_t)code, code == CODE_CALM_DOWN ? 1000 : 0, span_of(why) };

	binding_refuse(&a->link.session, &err);
}

static void refuse(struct agent *a, uint32_t id, enum code code)
{
	refuse_for(a, id, code, code_text(code));
}

/* Who is refused should know by which limit. */
static void refuse_full(struct agent *a, uint32_t id)
{
	unsigned n = a->hub->house->members_max;
	char why[96];

	if (a->is_member)
		snprintf(why, sizeof why, "limit reached: %u tunnels of one client", EXPOSES_MAX);
	else
		snprintf(why, sizeof why, "limit reached: %u client%s tunnels (--max-sessions)", n,
			n == 1 ? " has" : "s have");
	refuse_for(a, id, CODE_LIMIT, why);
}

static void grant(struct agent *a, const struct expose *e)
{
	const char *host = a->hub->config->public_host;
	struct bind_ok ok = { e->bind_id, e->port, e->scope, span_of(host ? host : "") };

	if (hub_may_log(a->hub, &a->hub->house->tunnel_log))
		log_info(NULL, "Exposing %s %s → :%u", a->name, e->traffic->label, e->port);
	binding_grant(&a->link.session, &ok);
}

bool binds_may_ask(struct agent *a)
{
	uint64_t now = worker_now(a->link.worker);
	uint64_t more = (now - a->asks_us) * ASKS_A_SECOND / 1000000;

	if (more) {
		a->asks_us = now;
		a->asks_left = a->asks_left + more < BINDS_AT_ONCE ? a->asks_left + (unsigned)more :
			BINDS_AT_ONCE;
	}
	if (!a->asks_left)
		return false;
	a->asks_left--;
	return true;
}

static void log_no_port(const struct agent *a, const struct bind_err *err)
{
	char hint[256];

	if (err->code == CODE_FORBIDDEN)
		log_warn(NULL, "%s: no port for %s: %.*s; %s", a->who, a->name, (int)err->text.len,
			(const char *)err->text.at, hub_setcap(hint, sizeof hint));
	else if (err->code == CODE_INTERNAL)
		log_warn(NULL, "%s: no port for %s: %.*s", a->who, a->name, (int)err->text.len,
			(const char *)err->text.at);
	else
		log_warn(NULL, "%s: no port for %s: %s", a->who, a->name, code_text(err->code));
}

/* When it asks for its first tunnel: a login that is only there to resume a
 * session is no news. */
static void tell_login(struct agent *a, const struct session *s)
{
	char version[LOGIN_VERSION_MAX * 4 + 1];

	if (a->is_told)
		return;
	a->is_told = true;
	text_escape(s->peer_version, strlen(s->peer_version), version, sizeof version);
	if (!hub_may_log(a->hub, &a->hub->house->login_log))
		return;
	log_info(NULL, "%s logged in (%s, %s)", a->who, a->name, version);
	if (a->is_dev)
		log_warn(NULL, "%s used dev-token: any program on this machine can open tunnels, also "
			"a proxy in front of this port; set one by --token-file", a->who);
}

/* Members and ports are everybody's. The house's mutex is held. */
static void bind_locked(struct link *l, const struct bind_request *request)
{
	struct agent *a = agent_of(l);
	struct bind_err err;
	struct expose *e;
	char text[64];

	if (a->first) { /* Lane 0 alone has tunnels. */
		refuse(a, request->id, CODE_FORBIDDEN);
		return;
	}
	tell_login(a, &l->session);
	log_debug(a->who, "asks for port %u%s", request->port, request->port ? "" : " (any)");
	if (find(a, request->id)) {
		session_fail(&l->session, CODE_PROTOCOL, "BIND: this id is bound already");
		return;
	}
	if (request->kind != BIND_TCP && request->kind != BIND_HTTP) {
		refuse(a, request->id, CODE_FORBIDDEN);
		return;
	}
	if (count(a) >= EXPOSES_MAX || !member_be_one(a)) {
		refuse_full(a, request->id);
		return;
	}
	if (!binds_may_ask(a)) {
		refuse(a, request->id, CODE_CALM_DOWN);
		return;
	}
	e = expose_open(a, request, &err, text);
	if (e) {
		grant(a, e);
		return;
	}
	if (hub_may_log(a->hub, &a->hub->house->tunnel_log))
		log_no_port(a, &err);
	binding_refuse(&l->session, &err);
}

void binds_asked(struct link *l, const struct bind_request *request)
{
	struct house *house = agent_of(l)->hub->house;

	house_lock(house);
	bind_locked(l, request);
	house_unlock(house);
}

void binds_given_up(struct link *l, uint32_t bind_id)
{
	struct expose *e = find(agent_of(l), bind_id);

	if (e)
		expose_close(e, false);
}

void binds_answered(struct link *l, struct stream *st)
{
	struct expose *e = find(lane_first(agent_of(l)), st->bind_id);

	if (e)
		expose_answered(e);
}
