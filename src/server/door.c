#include "server/door.h"

#include "auth/proof.h"
#include "core/text.h"
#include "net/sys.h"

static bool turn_away_full(struct agent *a)
{
	struct hub *h = a->hub;
	unsigned n = hub_tally(h, &h->house->source_log);

	shard_add(&h->worker.metrics.source_drops, 1);
	if (n)
		log_warn(NULL, "dropped %u control connection%s, the last of %s: its address has %u "
			"that are not logged in", n, n == 1 ? "" : "s", a->who, SOURCES_STRANGERS);
	return false;
}

static bool turn_away_put_off(struct agent *a)
{
	shard_add(&a->hub->worker.metrics.penalties, 1);
	log_debug(a->who, "dropped: logins from its address have failed");
	return false;
}

/* It counts as a stranger no more. */
static void forget(struct agent *a)
{
	if (a->is_stranger)
		a->hub->house->strangers--;
	a->is_stranger = false;
}

static void end(struct agent *a)
{
	sys_linger_reset(a->link.conn.sock.fd, true);
	agent_abort(a, "made room for another");
}

void door_evict(struct hub *h)
{
	for (;;) {
		struct agent *a = NULL;

		house_lock(h->house);
		for (struct list *n = h->evicted.next; n != &h->evicted && !a; n = n->next) {
			a = list_entry(n, struct agent, eviction);
			if (a->is_moving)
				a = NULL; /* When it arrives. */
		}
		if (a)
			list_remove(&a->eviction);
		house_unlock(h->house);
		if (!a)
			return;
		end(a);
	}
}

/* Sends one of a crowd away, if there is a crowd that a does not belong to: were
 * it always the newcomer, a few addresses would keep everybody else out. */
static bool make_room(struct agent *a)
{
	struct hub *h = a->hub;
	struct sources_caller *c = sources_crowd(h->house->sources, &a->caller);
	struct agent *other = c ? list_entry(c, struct agent, caller) : NULL;

	if (!other)
		return false;
	forget(other);
	sources_leave(h->house->sources, c, false, worker_now(&h->worker));
	if (other->hub == h && !other->is_moving) {
		end(other);
		return true;
	}
	list_append(&other->hub->evicted, &other->eviction);
	hub_post_evict(other->hub);
	return true;
}

/* Whether it is one too many of those that nobody knows. */
static bool is_too_many(struct agent *a)
{
	struct hub *h = a->hub;
	unsigned most = h->config->max_unauthenticated;
	unsigned n;
	uint32_t random;

	proof_random(&random, sizeof random);
	if (!sources_drop_early(h->house->strangers, most, random))
		return false;
	shard_add(&h->worker.metrics.early_drops, 1);
	n = hub_tally(h, &h->house->early_log);
	if (n)
		log_warn(NULL, "dropped %u control connection%s: %u are not logged in "
			"(--max-unauthenticated %u)", n, n == 1 ? "" : "s", h->house->strangers, most);
	return !make_room(a);
}

static bool admit(struct agent *a)
{
	struct hub *h = a->hub;
	uint64_t now = worker_now(&h->worker);

	switch (sources_enter(h->house->sources, &a->caller, (struct sockaddr *)&a->peer, now)) {
	case SOURCES_KNOWN:
		return true;
	case SOURCES_FULL:
		return turn_away_full(a);
	case SOURCES_PUT_OFF:
		return turn_away_put_off(a);
	case SOURCES_NO_MEMORY:
		return false;
	case SOURCES_WELCOME:
		break;
	}
	if (is_too_many(a)) {
		door_leave(a);
		return false;
	}
	a->is_stranger = true;
	h->house->strangers++;
	return true;
}

bool door_admit(struct agent *a)
{
	struct house *house = a->hub->house;
	bool is_admitted;

	house_lock(house);
	is_admitted = admit(a);
	house_unlock(house);
	return is_admitted;
}

uint32_t door_try(struct agent *a)
{
	struct hub *h = a->hub;
	uint64_t wait_us;

	house_lock(h->house);
	wait_us = sources_try(&a->caller, worker_now(&h->worker));
	house_unlock(h->house);
	if (!wait_us)
		return 0;
	shard_add(&h->worker.metrics.penalties, 1);
	return (uint32_t)((wait_us + 999) / 1000);
}

void door_login(struct agent *a)
{
	house_lock(a->hub->house);
	forget(a);
	sources_login(&a->caller);
	house_unlock(a->hub->house);
}

static void tell_penalty(struct agent *a, uint64_t wait_us)
{
	char wait[32];

	if (wait_us && hub_tally(a->hub, &a->hub->house->penalty_log))
		log_warn(NULL, "%s: too many failed logins, the next from its address is looked at "
			"in %s", a->who, text_elapsed(wait_us / 1000, wait, sizeof wait));
}

/* Whom this server's end cuts off is not to blame. */
void door_fail(struct agent *a)
{
	struct hub *h = a->hub;
	uint64_t wait_us;

	house_lock(h->house);
	wait_us = sources_give_up(&a->caller, !h->is_stopping, worker_now(&h->worker));
	house_unlock(h->house);
	tell_penalty(a, wait_us);
}

void door_leave(struct agent *a)
{
	struct hub *h = a->hub;
	uint64_t wait_us;

	house_lock(h->house);
	wait_us = sources_leave(h->house->sources, &a->caller, !h->is_stopping,
		worker_now(&h->worker));
	forget(a);
	list_remove(&a->eviction);
	house_unlock(h->house);
	tell_penalty(a, wait_us);
}
