#include "server/hub.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/expose.h"
#include "server/server_pages.h"

static void update_exposes(struct hub *h)
{
	for (struct list *n = h->exposes.next; n != &h->exposes; n = n->next)
		expose_update(list_entry(n, struct expose, node));
}

void hub_conn_opened(struct hub *h)
{
	if (++h->conns < h->conns_max || h->is_full)
		return;
	h->is_full = true;
	update_exposes(h);
	if (hub_may_log(h, &h->full_log))
		log_warn(NULL, "%u public connection%s open, the most allowed; further ones wait",
			h->conns, h->conns == 1 ? " is" : "s are");
}

void hub_conn_closed(struct hub *h)
{
	h->conns--;
	if (!h->is_full || h->conns >= h->conns_max)
		return;
	h->is_full = false;
	update_exposes(h);
}

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
	bool pass = log_limit_pass(limit, worker_now(&h->worker) / 1000, &suppressed);

	if (suppressed)
		log_info(NULL, "suppressed %u lines like the next", suppressed);
	return pass;
}

static void forget(struct traffic *t)
{
	list_remove(&t->node);
	traffic_unref(t);
}

struct traffic *hub_traffic(struct hub *h, uint16_t port, const char *name)
{
	struct traffic *t;

	for (struct list *n = h->traffics.next; n != &h->traffics; n = n->next) {
		t = list_entry(n, struct traffic, node);
		if (t->port != port)
			continue;
		if (strcmp(t->name, name) == 0)
			return traffic_ref(t);
		forget(t);
		break;
	}
	t = traffic_new(&h->worker.metrics);
	if (!t)
		return NULL;
	t->port = port;
	snprintf(t->name, sizeof t->name, "%s", name);
	list_append(&h->traffics, &t->node);
	return traffic_ref(t);
}

void hub_forget_traffics(struct hub *h)
{
	struct list *n;

	while ((n = list_first(&h->traffics)))
		forget(list_entry(n, struct traffic, node));
}

unsigned hub_tally(struct hub *h, struct log_limit *limit)
{
	uint64_t second = worker_now(&h->worker) / 1000000;
	unsigned n = limit->suppressed + 1;

	if (second == limit->second) {
		limit->suppressed++;
		return 0;
	}
	*limit = (struct log_limit){ .second = second };
	return n;
}

void hub_starved(struct hub *h, int error)
{
	shard_add(&h->worker.metrics.accept_pauses, 1);
	if (hub_tally(h, &h->starved_log))
		log_warn(NULL, "cannot accept more connections for now: %s", strerror(-error));
}

void hub_close(struct hub *h)
{
	if (h->is_stopping)
		server_pages_summary(h, false);
	server_pages_close(h);
	if (listener_is_open(&h->control))
		listener_close(&h->control);
	trace_close(&h->trace);
	pressure_close(&h->pressure);
	leases_close(&h->leases);
	timer_free(h->drain);
	h->drain = NULL;
	signals_close(&h->signals);
	worker_close(&h->worker);
}

void hub_settle(struct hub *h)
{
	if (h->is_stopping && h->drain && list_is_empty(&h->agents))
		hub_close(h);
}
