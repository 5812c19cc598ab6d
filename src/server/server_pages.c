#include "server/server_pages.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin.h"
#include "server/agent.h"
#include "server/expose.h"

/* Worker 0's loop has the endpoint; while it looks at the others they halt. */
static const struct hub *first(const struct house *house)
{
	return &house->hubs[0];
}

static uint64_t uptime_ms(const struct house *house)
{
	return (worker_now(&first(house)->worker) - first(house)->trace.begun_us) / 1000;
}

static void halt(struct house *house)
{
	house_halt(house);
	hub_fold_traffics(house);
}

/* The shards' counters, and what passed through all tunnels. The others halt. The
 * caller ends it with metrics_fini(). */
static void sum(const struct house *house, struct metrics *out)
{
	*out = (struct metrics){ 0 };
	for (unsigned i = 0; i < house->count; i++) {
		const struct hub *h = &house->hubs[i];

		metrics_add(out, &h->worker.metrics);
		for (struct list *n = h->traffics.next; n != &h->traffics; n = n->next)
			metrics_add_traffic(&out->gone, &list_entry(n, struct traffic, node)->counts);
	}
}

/* Where visitors reach the public ports: --public-host, --bind-host, or this
 * machine under the address of its control port. */
static const char *public_host(const struct server_config *c)
{
	if (c->public_host)
		return c->public_host;
	return c->bind_host ? c->bind_host : "localhost";
}

static struct traffic_facts facts(const struct expose *e)
{
	return (struct traffic_facts){
		.public_host = public_host(e->hub->config),
		.peer = e->agent->who,
		.round_trip_us = e->agent->link.session.rtt_us,
		.is_away = e->agent->is_away,
	};
}

static bool is_ready(void *owner, const char **why)
{
	const struct house *house = owner;

	*why = "draining";
	return !house->is_stopping;
}

static const char *state(const struct house *house)
{
	return house->is_stopping ? "draining" : "ready";
}

static void status(void *owner, struct json *j)
{
	const struct house *house = owner;
	const struct server_config *c = house->config;
	uint16_t port = listener_port(&first(house)->control);
	char at[ADDR_HOST_MAX + 16], started[32], name[32];
	time_t begun = time(NULL) - (time_t)(uptime_ms(house) / 1000);
	struct tm tm;

	gmtime_r(&begun, &tm);
	strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_text(j, "role", "server");
	json_text(j, "version", c->program_version);
	json_uint(j, "pid", (uint64_t)getpid());
	snprintf(name, sizeof name, "server-%u", port);
	json_text(j, "name", name);
	json_text(j, "address", addr_join(c->addr_host ? c->addr_host : "::", port, at, sizeof at));
	json_text(j, "state", state(house));
	json_text(j, "started", started);
	json_uint(j, "uptime_ms", uptime_ms(house));
	json_uint(j, "workers", house->count);
	json_uint(j, "start_port", c->start_port);
	json_uint(j, "end_port", c->end_port);
	json_text(j, "encryption", c->plaintext ? "offered" : "required");
	json_bool(j, "certificate", c->tls);
	json_text(j, "admin", admin_address(house->admin));
}

static void json_tunnels(const struct hub *h, struct json *j)
{
	for (struct list *n = h->exposes.next; n != &h->exposes; n = n->next) {
		const struct expose *e = list_entry(n, struct expose, node);
		struct traffic_facts f = facts(e);

		traffic_json(e->traffic, &f, j);
	}
}

static void stats(void *owner, struct json *j)
{
	struct house *house = owner;
	struct metrics total;

	halt(house);
	sum(house, &total);
	status(owner, j);
	metrics_json(&total, j);
	json_begin_object(j, "totals");
	metrics_json_traffic(&total.gone, j);
	json_end(j);
	json_begin_array(j, "tunnels");
	for (unsigned i = 0; i < house->count; i++)
		json_tunnels(&house->hubs[i], j);
	json_end(j);
	house_go(house);
	metrics_fini(&total);
}

static void ngrok_tunnels(const struct hub *h, struct json *j)
{
	for (struct list *n = h->exposes.next; n != &h->exposes; n = n->next) {
		const struct expose *e = list_entry(n, struct expose, node);
		struct traffic_facts f = facts(e);

		traffic_json_ngrok(e->traffic, &f, worker_now(&h->worker), j);
	}
}

static void tunnels(void *owner, struct json *j)
{
	struct house *house = owner;

	halt(house);
	for (unsigned i = 0; i < house->count; i++)
		ngrok_tunnels(&house->hubs[i], j);
	house_go(house);
}

static size_t length(const struct list *list)
{
	size_t n = 0;

	for (const struct list *i = list->next; i != list; i = i->next)
		n++;
	return n;
}

/* The rows of a worker's ports. Returns how many. */
static size_t add_rows(const struct hub *h, struct prometheus_row *rows)
{
	size_t count = 0;

	for (struct list *n = h->traffics.next; n != &h->traffics; n = n->next)
		list_entry(n, struct traffic, node)->round_trip_us = 0;
	for (struct list *n = h->exposes.next; n != &h->exposes; n = n->next) {
		const struct expose *e = list_entry(n, struct expose, node);

		e->traffic->round_trip_us = e->agent->link.session.rtt_us;
	}
	for (struct list *n = h->traffics.next; n != &h->traffics; n = n->next) {
		const struct traffic *t = list_entry(n, struct traffic, node);

		rows[count++] = (struct prometheus_row){
			.traffic = &t->counts,
			.round_trip_us = t->round_trip_us,
			.port = t->port,
			.is_http = t->is_http,
		};
	}
	return count;
}

/* The others halt. */
static void write_metrics(struct house *house, struct buf *out)
{
	struct prometheus_about about = {
		.role = "server",
		.version = house->config->program_version,
		.uptime_ms = uptime_ms(house),
		.is_ready = !house->is_stopping,
	};
	struct metrics shards = { 0 };
	struct prometheus_row *rows;
	size_t count = 0;

	for (unsigned i = 0; i < house->count; i++) {
		count += length(&house->hubs[i].traffics);
		about.tunnels += length(&house->hubs[i].exposes);
	}
	rows = malloc((count + 1) * sizeof *rows);
	if (!rows) {
		out->failed = true;
		return;
	}
	count = 0;
	for (unsigned i = 0; i < house->count; i++) {
		count += add_rows(&house->hubs[i], rows + count);
		metrics_add(&shards, &house->hubs[i].worker.metrics);
	}
	prometheus_write(&shards, rows, count, &about, out);
	metrics_fini(&shards);
	free(rows);
}

static void metrics(void *owner, struct buf *out)
{
	struct house *house = owner;

	halt(house);
	write_metrics(house, out);
	house_go(house);
}

static const struct admin_ops ops = {
	.is_ready = is_ready,
	.status = status,
	.stats = stats,
	.tunnels = tunnels,
	.metrics = metrics,
};

int server_pages_open(struct house *house)
{
	const struct server_config *c = house->config;
	struct hub *h = &house->hubs[0];
	char name[32];
	struct admin_config config = {
		.name = name,
		.socket = c->admin_socket,
		.host = c->admin_host,
		.port = c->admin_port,
	};
	int err;

	snprintf(name, sizeof name, "server-%u", listener_port(&h->control));
	err = admin_open(&house->admin, &h->worker, &config, &ops, house);
	if (err)
		return admin_failed("server", c->admin_host, c->admin_port, err);
	if (c->admin_host)
		log_info(NULL, "Metrics and status on http://%s", admin_address(house->admin));
	return 0;
}

void server_pages_close(struct house *house)
{
	admin_close(house->admin);
	house->admin = NULL;
}

void server_pages_summary(struct house *house, bool asked)
{
	struct metrics total;

	house_halt(house);
	sum(house, &total);
	house_go(house);
	trace_summary(&house->hubs[0].trace, &total.gone, asked);
	metrics_fini(&total);
}
