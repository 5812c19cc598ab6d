#include "server/moving.h"

#include <string.h>

#include "server/door.h"
#include "tunnel/transfer.h"

static bool is_due(const struct agent *a)
{
	const struct link *l = &a->link;

	return !l->is_closed && !l->is_finishing && !l->conn.is_closed && l->session.state == SESSION_AUTH &&
		!a->hub->is_stopping;
}

/* --- arrival, on the new worker ------------------------------------------------------ */

static void on_arrival(struct letter *letter)
{
	struct agent *a = list_entry(letter, struct agent, arrival);
	struct hub *h = a->hub;
	bool is_evicted;
	int err;

	house_lock(h->house);
	list_append(&h->agents, &a->node);
	a->is_moving = false;
	is_evicted = list_is_on(&a->eviction);
	house_unlock(h->house);
	err = transfer_arrive(&a->link, &h->worker);
	if (err)
		agent_abort(a, strerror(-err));
	else if (is_evicted)
		door_evict(h);
	else if (h->is_stopping)
		agent_shutdown(a, 0);
}

/* --- departure, on the old one -------------------------------------------------------- */

/* Posted with the mutex held: whoever sees the new hub finds the letter before his
 * own in its mailbox. From then on a is no longer ours. */
static void depart(struct agent *a, struct hub *to)
{
	transfer_leave(&a->link);
	list_remove(&a->node);
	a->is_moving = true;
	a->hub = to;
	a->arrival.open = on_arrival;
	mailbox_post(&to->mailbox, &a->arrival);
}

static void on_turn(struct turn *t)
{
	struct agent *a = list_entry(t, struct agent, moving);
	struct house *house = a->hub->house;
	bool stays;

	if (!a->home) {
		agent_abort(a, "out of memory");
		return;
	}
	house_lock(house);
	stays = !is_due(a) || list_is_on(&a->eviction); /* It ends here. */
	if (!stays)
		depart(a, &house->hubs[homes_worker(a->home)]);
	house_unlock(house);
	if (stays && !a->link.is_closed)
		transfer_park(&a->link, false);
}

void moving_begin(struct agent *a)
{
	const struct session *s = &a->link.session;
	struct house *house = a->hub->house;
	struct portpool_identity who;

	if (house->count == 1 || a->home)
		return;
	portpool_identify(&who, s->peer_key_id, s->peer_name, s->peer_instance);
	house_lock(house);
	a->home = homes_join(house->homes, &who, a->hub->index);
	house_unlock(house);
	if (a->home)
		log_debug(a->who, "accepted by worker %u, at home on %u", a->hub->index,
			homes_worker(a->home));
	if (a->home && homes_worker(a->home) == a->hub->index)
		return;
	transfer_park(&a->link, true);
	poller_turn_init(&a->moving, on_turn);
	poller_defer(&a->hub->worker.poller, &a->moving);
}

void moving_forget(struct agent *a)
{
	list_remove(&a->moving.node);
	if (a->home)
		homes_leave(a->hub->house->homes, a->home);
	a->home = NULL;
}
