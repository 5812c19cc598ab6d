#include "server/lane.h"

#include <string.h>

#include "mux/resume.h"
#include "server/expose.h"
#include "server/member.h"
#include "server/rejoin.h"
#include "tunnel/prove.h"
#include "tunnel/ride.h"

struct agent *lane_first(struct agent *a)
{
	return a->first ? a->first : a;
}

/* --- joining ----------------------------------------------------------------------- */

static struct agent *find(const struct agent *first, uint8_t lane)
{
	for (struct list *n = first->lanes.next; n != &first->lanes; n = n->next) {
		struct agent *a = list_entry(n, struct agent, lane);

		if (a->link.session.lane == lane)
			return a;
	}
	return NULL;
}

/* The agent that a proves to be another connection of, or NULL. */
static struct agent *recognise(const struct agent *a, const struct state_join *join)
{
	struct agent *first = rejoin_find(a->hub, join->session_id);
	uint8_t proof[LOGIN_PROOF];

	if (!first || first == a || first->first || list_is_empty(&first->exposes))
		return NULL;
	if (!(first->link.session.capabilities & LOGIN_CAN_LANES) || !rejoin_is_same(first, a))
		return NULL;
	if (prove_join(&first->link, &a->link, join->lane, proof) < 0 ||
		!proof_equal(proof, join->proof, sizeof proof))
		return NULL;
	return first;
}

enum code lane_join(struct link *l, const struct state_join *join)
{
	struct agent *a = l->owner, *first = recognise(a, join), *old;

	if (!first) {
		log_debug(a->who, "asks to join a session that is not here");
		return CODE_RESUME_UNKNOWN;
	}
	old = find(first, join->lane);
	if (old)
		agent_abort(old, "replaced by a newer connection");
	if (list_is_empty(&first->exposes))
		return CODE_RESUME_UNKNOWN; /* It rode on that one, and could not do without. */
	a->first = first;
	list_append(&first->lanes, &a->lane);
	member_is_lane(a);
	shard_add(&a->hub->worker.metrics.lanes_open, 1);
	log_debug(a->who, "joins as lane %u", join->lane);
	for (struct list *n = first->exposes.next; n != &first->exposes; n = n->next)
		expose_update(list_entry(n, struct expose, of_agent));
	return CODE_OK;
}

/* --- streams ----------------------------------------------------------------------- */

static bool is_better(const struct link *a, const struct link *b)
{
	if (!b || ride_is_on(a) != ride_is_on(b))
		return !b || !ride_is_on(a);
	return session_streams(&a->session) < session_streams(&b->session);
}

struct link *lane_pick(struct agent *first)
{
	struct link *best = NULL;

	if (first->link.session.state == SESSION_OPEN)
		best = &first->link;
	for (struct list *n = first->lanes.next; n != &first->lanes; n = n->next) {
		struct link *l = &list_entry(n, struct agent, lane)->link;

		if (l->session.state == SESSION_OPEN && is_better(l, best))
			best = l;
	}
	return best;
}

unsigned lane_streams(const struct agent *first)
{
	unsigned count = session_streams(&first->link.session);

	for (const struct list *n = first->lanes.next; n != &first->lanes; n = n->next)
		count += session_streams(&list_entry(n, const struct agent, lane)->link.session);
	return count;
}

bool lane_are_drained(const struct agent *a)
{
	for (const struct list *n = a->lanes.next; n != &a->lanes; n = n->next) {
		if (link_has_streams(&list_entry(n, const struct agent, lane)->link))
			return false;
	}
	return true;
}

/* --- the end ----------------------------------------------------------------------- */

static unsigned unanswered(const struct link *l, uint32_t bind_id)
{
	unsigned n = 0;

	for (const struct list *i = l->pipes.next; i != &l->pipes; i = i->next) {
		const struct stream *st = list_entry(i, struct pipe, node)->stream;

		n += st && !l->is_finishing && st->bind_id == bind_id && !st->is_answered;
	}
	return n;
}

/* What the lane that left had not answered will not be. */
static void count_again(struct agent *first)
{
	for (struct list *n = first->exposes.next; n != &first->exposes; n = n->next) {
		struct expose *e = list_entry(n, struct expose, of_agent);

		e->unanswered = unanswered(&first->link, e->bind_id);
		for (struct list *i = first->lanes.next; i != &first->lanes; i = i->next)
			e->unanswered += unanswered(&list_entry(i, struct agent, lane)->link,
				e->bind_id);
		expose_update(e);
	}
}

void lane_end(struct agent *a)
{
	struct agent *first = a->first;
	struct list *n;

	while ((n = list_first(&a->lanes)))
		agent_abort(list_entry(n, struct agent, lane), "the session that it joined is over");
	if (!first)
		return;
	shard_sub(&a->hub->worker.metrics.lanes_open, 1);
	list_remove(&a->lane);
	a->first = NULL;
	count_again(first);
	link_wake(&first->link);
}
