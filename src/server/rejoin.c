#include "server/rejoin.h"

#include <inttypes.h>
#include <string.h>

#include "core/text.h"
#include "mux/binding.h"
#include "mux/resume.h"
#include "server/binds.h"
#include "server/expose.h"
#include "server/lane.h"
#include "tunnel/prove.h"
#include "tunnel/ride.h"
#include "tunnel/transfer.h"

static struct agent *agent_of(struct link *l)
{
	return l->owner;
}

/* --- lost ------------------------------------------------------------------------ */

void rejoin_lost(struct link *l, const char *why)
{
	struct agent *a = agent_of(l), *first = lane_first(a);
	char text[sizeof l->session.lost_text * 4], hold[32];

	if (!a->is_away)
		shard_add(&a->hub->worker.metrics.sessions_held, 1);
	a->is_away = true;
	text_escape(why, strlen(why), text, sizeof text);
	log_debug(a->who, "connection lost: %s", text);
	if (list_is_empty(&a->exposes) && !session_streams(&l->session)) {
		link_abort(l, why); /* Nothing to keep. */
		return;
	}
	/* A lane goes on over another one in no time; when the last is lost, so is the client. */
	if (lane_pick(first) || first->has_told_away || !hub_may_log(a->hub, &a->hub->house->away_log))
		return;
	first->has_told_away = true;
	log_warn(NULL, "%s (%s) lost its connection: %s; its streams are kept for %s", first->who,
		first->name, text, text_period(l->session.hold_us / 1000, hold, sizeof hold));
}

void rejoin_replaced(struct agent *a, uint32_t bind_id)
{
	a->is_replaced = true;
	a->bind_id = bind_id;
	if (a->is_away && list_is_empty(&a->exposes))
		link_abort(&a->link, "replaced by a newer session");
}

/* --- back ------------------------------------------------------------------------ */

void rejoin_done(struct link *l)
{
	struct agent *a = agent_of(l), *first = lane_first(a);
	uint64_t away_us = worker_now(l->worker) - l->session.lost_us;
	unsigned open = lane_streams(first);
	struct bind_err err = { a->bind_id, CODE_REPLACED, 0, span_of(code_text(CODE_REPLACED)) };
	char away[32];

	if (a->is_away)
		shard_sub(&a->hub->worker.metrics.sessions_held, 1);
	a->is_away = false;
	shard_add(&a->hub->worker.metrics.resumes, 1);
	session_measure(&l->session);
	log_debug(a->who, "session goes on after %" PRIu64 " us, epoch %u", away_us,
		l->session.epoch);
	if (first->has_told_away && hub_may_log(a->hub, &a->hub->house->away_log))
		log_info(NULL, "%s (%s) is back after %s, %u stream%s", a->who, first->name,
			text_elapsed(away_us / 1000, away, sizeof away), open, open == 1 ? "" : "s");
	first->has_told_away = false;
	if (a->is_replaced && list_is_empty(&a->exposes)) {
		/* What said so may have been lost. */
		binding_refuse(&l->session, &err);
		return;
	}
	for (struct list *n = first->exposes.next, *next; n != &first->exposes; n = next) {
		next = n->next;
		expose_go_on(list_entry(n, struct expose, of_agent));
	}
}

bool rejoin_is_same(const struct agent *a, const struct agent *b)
{
	const struct session *x = &a->link.session, *y = &b->link.session;

	return strcmp(x->peer_key_id, y->peer_key_id) == 0 &&
		strcmp(x->peer_name, y->peer_name) == 0 &&
		memcmp(x->peer_instance, y->peer_instance, sizeof x->peer_instance) == 0;
}

struct agent *rejoin_find(struct hub *h, const uint8_t id[LOGIN_SESSION_ID])
{
	for (struct list *n = h->agents.next; n != &h->agents; n = n->next) {
		struct agent *a = list_entry(n, struct agent, node);

		if (a->is_known && memcmp(a->link.session.id, id, LOGIN_SESSION_ID) == 0)
			return a;
	}
	return NULL;
}

/* The agent that `heir` proves to be the client of, or NULL. */
static struct agent *recognise(struct agent *heir, const struct state_resume *r)
{
	struct agent *a = rejoin_find(heir->hub, r->session_id);
	uint8_t proof[LOGIN_PROOF];

	if (!a || a == heir || !resume_is_possible(&a->link.session) ||
		r->lane != a->link.session.lane)
		return NULL;
	if (r->epoch <= a->link.session.epoch ||
		!rejoin_is_same(a, heir) ||
		prove_resume(&a->link, &heir->link, r->epoch, proof) < 0 ||
		!proof_equal(proof, r->proof, sizeof proof))
		return NULL;
	return a;
}

/* The connection is the agent's from now on, and where it comes from. */
static void swap_places(struct agent *a, struct agent *heir)
{
	struct sockaddr_storage peer = a->peer;

	if (memcmp(a->who, heir->who, sizeof a->who) != 0)
		log_debug(a->who, "comes from %s now", heir->who);
	house_lock(a->hub->house);
	sources_swap(&a->caller, &heir->caller);
	a->peer = heir->peer;
	heir->peer = peer;
	house_unlock(a->hub->house);
	memcpy(a->who, heir->who, sizeof a->who);
}

static void on_turn(struct turn *t)
{
	struct agent *heir = list_entry(t, struct agent, rejoin);
	struct agent *a = heir->rejoins;

	if (!a || !resume_is_possible(&a->link.session)) { /* It ended in this very turn. */
		link_abort(&heir->link, "the session is over");
		return;
	}
	rejoin_forget(heir);
	shard_sub(&heir->hub->worker.metrics.sessions_open, 1);
	heir->is_counted = false;
	if (transfer_adopt(&a->link, &heir->link, heir->rejoin_epoch) == 0)
		swap_places(a, heir);
	transfer_retire(&heir->link);
}

enum code rejoin_asked(struct link *l, const struct state_resume *resume)
{
	struct agent *heir = agent_of(l), *a = recognise(heir, resume);

	if (!a) {
		shard_add(&heir->hub->worker.metrics.resumes_refused, 1);
		log_debug(heir->who, "asks for a session that is not here");
		return CODE_RESUME_UNKNOWN;
	}
	if (a->heir)
		rejoin_forget(a->heir); /* The newer of two in one turn. */
	heir->rejoins = a;
	a->heir = heir;
	heir->rejoin_epoch = resume->epoch;
	poller_turn_init(&heir->rejoin, on_turn);
	poller_defer(&l->worker->poller, &heir->rejoin);
	return CODE_OK;
}

enum code rejoin_beside(struct link *l, const struct state_resume *resume)
{
	struct agent *host = agent_of(l), *a;

	a = binds_may_ask(host) ? recognise(host, resume) : NULL; /* Each walks all agents. */
	if (!a || lane_first(a) != lane_first(host)) {
		shard_add(&host->hub->worker.metrics.resumes_refused, 1);
		log_debug(host->who, "asks for a lane that is not here");
		return CODE_RESUME_UNKNOWN;
	}
	if (a->heir)
		rejoin_forget(a);
	log_debug(host->who, "lane %u goes on over the connection of lane %u", resume->lane,
		l->session.lane);
	return ride_adopt(&a->link, l, resume->epoch) ? CODE_RESUME_UNKNOWN : CODE_OK;
}

void rejoin_forget(struct agent *a)
{
	if (a->rejoins)
		a->rejoins->heir = NULL;
	if (a->heir)
		a->heir->rejoins = NULL;
	a->rejoins = a->heir = NULL;
}
