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

static uint64_t uptime_ms(const struct hub *h)
{
	return (worker_now(&h->worker) - h->trace.begun_us) / 1000;
}

/* The shard's counters, and what passed through all tunnels. The caller ends
 * it with metrics_fini(). */
static void sum(const struct hub *h, struct metrics *out)
{
	*out = (struct metrics){ 0 };
	metrics_add(out, &h->worker.metrics);
	for (struct list *n = h->traffics.next; n != &h->traffics; n = n->next)
		metrics_add_traffic(&out->gone, &list_entry(n, struct traffic, node)->counts);
}

/* Where visitors reach the public ports: --public-host, --bind-host, or this
 * machine under the address of its control port. */
static const char *public_host(const struct hub *h)
{
	const struct server_config *c = h->config;

	if (c->public_host)
		return c->public_host;
	return c->bind_host ? c->bind_host : "localhost";
}

static struct traffic_facts facts(const struct hub *h, const struct expose *e)
{
	return (struct traffic_facts){
		.public_host = public_host(h),
		.peer = e->agent->who,
		.round_trip_us = e->agent->link.session.rtt_us,
		.is_away = e->agent->is_away,
	};
}

static bool is_ready(void *owner, const char **why)
{
	const struct hub *h = owner;

	*why = "draining";
	return !h->is_stopping;
}

static const char *state(const struct hub *h)
{
	return h->is_stopping ? "draining" : "ready";
}

static void status(void *owner, struct json *j)
{
	const struct hub *h = owner;
	char at[ADDR_HOST_MAX + 16], started[32], name[32];
	time_t begun = time(NULL) - (time_t)(uptime_ms(h) / 1000);
	struct tm tm;

	gmtime_r(&begun, &tm);
	strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_text(j, "role", "server");
	json_text(j, "version", h->config->program_version);
	json_uint(j, "pid", (uint64_t)getpid());
	snprintf(name, sizeof name, "server-%u", listener_port(&h->control));
	json_text(j, "name", name);
	json_text(j, "address", addr_join(h->config->addr_host ? h->config->addr_host : "::",
		listener_port(&h->control), at, sizeof at));
	json_text(j, "state", state(h));
	json_text(j, "started", started);
	json_uint(j, "uptime_ms", uptime_ms(h));
	json_uint(j, "start_port", h->config->start_port);
	json_uint(j, "end_port", h->config->end_port);
	json_text(j, "encryption", h->config->plaintext ? "offered" : "required");
	json_bool(j, "certificate", h->config->tls);
	json_text(j, "admin", admin_address(h->admin));
}

static void stats(void *owner, struct json *j)
{
	const struct hub *h = owner;
	struct metrics total;

	sum(h, &total);
	status(owner, j);
	metrics_json(&total, j);
	json_begin_object(j, "totals");
	metrics_json_traffic(&total.gone, j);
	json_end(j);
	json_begin_array(j, "tunnels");
	for (struct list *n = h->exposes.next; n != &h->exposes; n = n->next) {
		const struct expose *e = list_entry(n, struct expose, node);
		struct traffic_facts f = facts(h, e);

		traffic_json(e->traffic, &f, j);
	}
	json_end(j);
	metrics_fini(&total);
}

static void tunnels(void *owner, struct json *j)
{
	const struct hub *h = owner;

	for (struct list *n = h->exposes.next; n != &h->exposes; n = n->next) {
		const struct expose *e = list_entry(n, struct expose, node);
		struct traffic_facts f = facts(h, e);

		traffic_json_ngrok(e->traffic, &f, worker_now(&h->worker), j);
	}
}

static size_t tunnel_count(const struct hub *h)
{
	size_t n = 0;

	for (const struct list *i = h->exposes.next; i != &h->exposes; i = i->next)
		n++;
	return n;
}

static void metrics(void *owner, struct buf *out)
{
	const struct hub *h = owner;
	struct prometheus_about about = {
		.role = "server",
		.version = h->config->program_version,
		.uptime_ms = uptime_ms(h),
		.is_ready = !h->is_stopping,
		.tunnels = tunnel_count(h),
	};
	struct prometheus_row *rows;
	struct metrics shard = { 0 };
	size_t count = 0;

	for (struct list *n = h->traffics.next; n != &h->traffics; n = n->next) {
		list_entry(n, struct traffic, node)->round_trip_us = 0;
		count++;
	}
	for (struct list *n = h->exposes.next; n != &h->exposes; n = n->next) {
		const struct expose *e = list_entry(n, struct expose, node);

		e->traffic->round_trip_us = e->agent->link.session.rtt_us;
	}
	rows = malloc((count + 1) * sizeof *rows);
	if (!rows) {
		out->failed = true;
		return;
	}
	count = 0;
	for (struct list *n = h->traffics.next; n != &h->traffics; n = n->next) {
		const struct traffic *t = list_entry(n, struct traffic, node);

		rows[count++] = (struct prometheus_row){
			.traffic = &t->counts,
			.round_trip_us = t->round_trip_us,
			.port = t->port,
			.is_http = t->is_http,
		};
	}
	metrics_add(&shard, &h->worker.metrics);
	prometheus_write(&shard, rows, count, &about, out);
	metrics_fini(&shard);
	free(rows);
}

static const struct admin_ops ops = {
	.is_ready = is_ready,
	.status = status,
	.stats = stats,
	.tunnels = tunnels,
	.metrics = metrics,
};

int server_pages_open(struct hub *h)
{
	const struct server_config *c = h->config;
	char name[32];
	struct admin_config config = {
		.name = name,
		.socket = c->admin_socket,
		.host = c->admin_host,
		.port = c->admin_port,
	};
	int err;

	snprintf(name, sizeof name, "server-%u", listener_port(&h->control));
	err = admin_open(&h->admin, &h->worker, &config, &ops, h);
	if (err)
		return admin_failed("server", c->admin_host, c->admin_port, err);
	if (c->admin_host)
		log_info(NULL, "Metrics and status on http://%s", admin_address(h->admin));
	return 0;
}

void server_pages_close(struct hub *h)
{
	admin_close(h->admin);
	h->admin = NULL;
}

void server_pages_summary(struct hub *h, bool asked)
{
	struct metrics total;

	sum(h, &total);
	trace_summary(&h->trace, &total.gone, asked);
	metrics_fini(&total);
}
