#include "server/hub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/door.h"
#include "server/expose.h"

/* --- public connections ------------------------------------------------------- */

static void update_exposes(struct hub *h)
{
	for (struct list *n = h->exposes.next; n != &h->exposes; n = n->next)
		expose_update(list_entry(n, struct expose, node));
}

static void on_update(struct letter *l)
{
	update_exposes(list_entry(l, struct hub, update));
}

bool hub_is_full(const struct hub *h)
{
	return __atomic_load_n(&h->house->is_full, __ATOMIC_RELAXED);
}

/* The house's mutex is held. */
static void set_full(struct hub *h, bool full)
{
	struct house *house = h->house;

	__atomic_store_n(&house->is_full, full, __ATOMIC_RELAXED);
	update_exposes(h);
	for (unsigned i = 0; i < house->count; i++)
		if (i != h->index)
			mailbox_post(&house->hubs[i].mailbox, &house->hubs[i].update);
}

void hub_conn_opened(struct hub *h)
{
	struct house *house = h->house;

	house_lock(house);
	if (++house->conns >= house->conns_max && !house->is_full) {
		set_full(h, true);
		if (hub_may_log(h, &house->full_log))
			log_warn(NULL, "%u public connection%s open, the most allowed; further ones "
				"wait", house->conns, house->conns == 1 ? " is" : "s are");
	}
	house_unlock(house);
}

void hub_conn_closed(struct hub *h)
{
	struct house *house = h->house;

	house_lock(house);
	house->conns--;
	if (house->is_full && house->conns < house->conns_max)
		set_full(h, false);
	house_unlock(house);
}

void hub_starved(struct hub *h, int error)
{
	shard_add(&h->worker.metrics.accept_pauses, 1);
	if (hub_tally(h, &h->house->starved_log))
		log_warn(NULL, "cannot accept more connections for now: %s", strerror(-error));
}

/* --- memory ------------------------------------------------------------------------ */

static void on_look(struct letter *l)
{
	budget_look(&list_entry(l, struct hub, look)->worker.budget);
}

static void on_cross(struct budget_total *t)
{
	struct house *house = t->owner;

	for (unsigned i = 0; i < house->count; i++)
		mailbox_post(&house->hubs[i].mailbox, &house->hubs[i].look);
}

/* --- what others are asked for --------------------------------------------------------- */

static void on_evict(struct letter *l)
{
	door_evict(list_entry(l, struct hub, evict));
}

void hub_post_evict(struct hub *h)
{
	mailbox_post(&h->mailbox, &h->evict);
}

void hub_touch_leases(struct hub *h)
{
	struct house *house = h->house;

	if (h->index == 0)
		leases_touch(&house->leases);
	else
		mailbox_post(&house->hubs[0].mailbox, &house->touch);
}

void hub_settle(struct hub *h)
{
	struct house *house = h->house;

	if (h->index == 0)
		house->settle.open(&house->settle);
	else
		mailbox_post(&house->hubs[0].mailbox, &house->settle);
}

/* --- lines --------------------------------------------------------------------------- */

const char *hub_setcap(char *out, size_t cap)
{
	char exe[200];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe);

	if (n < 0 || (size_t)n == sizeof exe)
		n = snprintf(exe, sizeof exe, "gotunnel");
	snprintf(out, cap, "setcap cap_net_bind_service=+ep %.*s", (int)n, exe);
	return out;
}

bool hub_may_log(struct hub *h, struct log_limit *limit)
{
	unsigned suppressed;
	bool pass;

	house_lock(h->house);
	pass = log_limit_pass(limit, worker_now(&h->worker) / 1000, &suppressed);
	house_unlock(h->house);
	if (suppressed)
		log_info(NULL, "suppressed %u lines like the next", suppressed);
	return pass;
}

unsigned hub_tally(struct hub *h, struct log_limit *limit)
{
	uint64_t second = worker_now(&h->worker) / 1000000;
	unsigned n = 0;

	house_lock(h->house);
	if (second == limit->second) {
		limit->suppressed++;
	} else {
		n = limit->suppressed + 1;
		*limit = (struct log_limit){ .second = second };
	}
	house_unlock(h->house);
	return n;
}

/* --- traffic --------------------------------------------------------------------------- */

static void forget(struct traffic *t)
{
	list_remove(&t->node);
	traffic_unref(t);
}

static struct traffic *find_traffic(struct hub *h, uint16_t port)
{
	for (struct list *n = h->traffics.next; n != &h->traffics; n = n->next) {
		struct traffic *t = list_entry(n, struct traffic, node);

		if (t->port == port)
			return t;
	}
	return NULL;
}

/* Of several workers' traffics of a port the one last used is the one that counts. */
static void mark(struct hub *h, struct traffic *t)
{
	house_lock(h->house);
	t->opened = ++h->house->opened;
	house_unlock(h->house);
}

struct traffic *hub_traffic(struct hub *h, uint16_t port, const char *name)
{
	struct traffic *t = find_traffic(h, port);

	if (t && strcmp(t->name, name) != 0) {
		forget(t);
		t = NULL;
	}
	if (!t) {
		t = traffic_new(&h->worker.metrics);
		if (!t)
			return NULL;
		t->port = port;
		snprintf(t->name, sizeof t->name, "%s", name);
		list_append(&h->traffics, &t->node);
	}
	mark(h, t);
	return traffic_ref(t);
}

/* Of two of a port the older gives way. Returns the other one. */
static struct traffic *fold(struct traffic *a, struct traffic *b, uint64_t now_us)
{
	struct traffic *newer = a->opened > b->opened ? a : b;
	struct traffic *older = newer == a ? b : a;

	if (strcmp(older->name, newer->name) == 0)
		traffic_inherit(newer, older, now_us);
	forget(older);
	return newer;
}

/* A place for each port. Without memory the page shows both. */
void hub_fold_traffics(struct house *house)
{
	size_t ports = (size_t)(house->ports.end - house->ports.start) + 1;
	struct traffic **of_port = house->count > 1 ? calloc(ports, sizeof(struct traffic *)) : NULL;

	for (unsigned i = 0; of_port && i < house->count; i++) {
		struct hub *h = &house->hubs[i];

		for (struct list *n = h->traffics.next, *next; n != &h->traffics; n = next) {
			struct traffic *t = list_entry(n, struct traffic, node);
			struct traffic **at = &of_port[t->port - house->ports.start];

			next = n->next;
			*at = *at ? fold(*at, t, worker_now(&h->worker)) : t;
		}
	}
	free(of_port);
}

/* --- life ---------------------------------------------------------------------------- */

static int open_mailbox(struct hub *h)
{
	int err = h->house->count > 1 ? mailbox_init(&h->mailbox, &h->loop) : 0;

	h->update.open = on_update;
	h->look.open = on_look;
	h->evict.open = on_evict;
	return err;
}

/* Worker 0 and the others hold memory under one limit. */
static void share_budget(struct hub *h)
{
	struct house *house = h->house;

	if (house->count == 1)
		return;
	house->budget.owner = house;
	house->budget.on_cross = on_cross;
	h->worker.budget.total = &house->budget;
}

void hub_run(struct hub *h)
{
	poller_embrace(&h->worker.poller); /* Without it all is as well, but slower. */
	uv_run(&h->loop, UV_RUN_DEFAULT);
}

int hub_init(struct hub *h, struct house *house, unsigned index)
{
	const struct server_config *c = house->config;
	struct trace_config trace = { c->request_log, true, c->quiet };
	int err;

	*h = (struct hub){ .house = house, .config = c, .index = index, .control.sock.fd = -1 };
	list_init(&h->agents);
	list_init(&h->exposes);
	list_init(&h->traffics);
	list_init(&h->evicted);
	err = uv_loop_init(&h->loop);
	if (err)
		return err;
	err = worker_init(&h->worker, &h->loop);
	if (!err) {
		err = open_mailbox(h);
		if (err) {
			worker_close(&h->worker);
			uv_run(&h->loop, UV_RUN_DEFAULT);
			worker_fini(&h->worker);
		}
	}
	if (err) {
		uv_loop_close(&h->loop);
		return err;
	}
	pressure_init(&h->pressure, &h->worker, c->max_buffered);
	share_budget(h);
	trace_init(&h->trace, &h->worker, &trace);
	h->is_open = true;
	return 0;
}

void hub_close(struct hub *h)
{
	if (h->house->count > 1)
		mailbox_close(&h->mailbox);
	if (listener_is_open(&h->control))
		listener_close(&h->control);
	trace_close(&h->trace);
	pressure_close(&h->pressure);
	worker_close(&h->worker);
}

void hub_fini(struct hub *h)
{
	struct list *n;

	if (!h->is_open)
		return;
	while ((n = list_first(&h->traffics)))
		forget(list_entry(n, struct traffic, node));
	worker_fini(&h->worker);
	if (h->house->count > 1)
		mailbox_fini(&h->mailbox);
	uv_loop_close(&h->loop);
	h->is_open = false;
}
