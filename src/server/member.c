#include "server/member.h"

#include "core/log.h"
#include "server/rejoin.h"

enum { GUESTS_MAX = 64 };	/* logged in, and no tunnel asked for */

void member_leave_guests(struct agent *a)
{
	if (a->is_guest)
		a->hub->house->guests--;
	a->is_guest = false;
}

void member_is_lane(struct agent *a)
{
	house_lock(a->hub->house);
	member_leave_guests(a);
	house_unlock(a->hub->house);
	shard_sub(&a->hub->worker.metrics.sessions_open, 1);
	a->is_counted = false;
}

void member_leave(struct agent *a)
{
	if (a->is_member)
		a->hub->house->members--;
	a->is_member = false;
}

/* Whoever holds the token can log in as often as there are descriptors; those
 * that then do nothing are few. */
void member_be_a_guest(struct agent *a)
{
	struct hub *h = a->hub;
	struct house *house = h->house;

	house_lock(house);
	a->is_guest = house->guests < GUESTS_MAX;
	house->guests += a->is_guest;
	house_unlock(house);
	if (a->is_guest)
		return;
	shard_add(&h->worker.metrics.sessions_refused, 1);
	session_fail_retry(&a->link.session, CODE_LIMIT, 1000,
		"too many sessions without a tunnel");
}

/* A client that was started again has forgotten the session that waits for it:
 * that one ends now, or it would keep its own client out. False: there is none. */
static bool take_own_place(const struct agent *a)
{
	for (struct list *n = a->hub->agents.next; n != &a->hub->agents; n = n->next) {
		struct agent *other = list_entry(n, struct agent, node);

		if (other->is_member && other->is_away && rejoin_is_same(a, other)) {
			agent_abort(other, "replaced by a newer session");
			member_leave(other);
			return true;
		}
	}
	return false;
}

/* It asks for its first tunnel: may it stay? The house's mutex is held. */
bool member_be_one(struct agent *a)
{
	struct hub *h = a->hub;
	unsigned n;

	if (a->is_member)
		return true;
	if (h->house->members >= h->house->members_max && !take_own_place(a)) {
		shard_add(&h->worker.metrics.sessions_refused, 1);
		n = hub_tally(h, &h->house->member_log);
		if (n)
			log_warn(NULL, "refused %u session%s, the last of %s: %u have tunnels "
				"(--max-sessions)", n, n == 1 ? "" : "s", a->who, h->house->members);
		return false;
	}
	member_leave_guests(a);
	a->is_member = true;
	h->house->members++;
	return true;
}
