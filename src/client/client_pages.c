#include "client/client_pages.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "admin/admin.h"
#include "core/addr.h"
#include "mux/resume.h"

static uint64_t uptime_ms(const struct client_pages *p)
{
	return (worker_now(p->worker) - p->trace.begun_us) / 1000;
}

static bool is_up(const struct client_pages *p)
{
	return strcmp(p->state, "ready") == 0;
}

static bool is_ready(void *owner, const char **why)
{
	const struct client_pages *p = owner;

	*why = p->state;
	return is_up(p);
}

static struct traffic_facts facts(const struct client_pages *p)
{
	return (struct traffic_facts){
		.public_host = p->host,
		.peer = p->config->server_host,
		.round_trip_us = p->link ? p->link->session.rtt_us : 0,
		.is_away = p->link && resume_is_held(&p->link->session),
	};
}

/* The shard's counters, and what passed in all. */
static void sum(const struct client_pages *p, struct metrics *out)
{
	*out = (struct metrics){ 0 };
	metrics_add(out, &p->worker->metrics);
	metrics_add_traffic(&out->gone, &p->traffic->counts);
}

static void status(void *owner, struct json *j)
{
	const struct client_pages *p = owner;
	const struct client_config *c = p->config;
	char at[ADDR_HOST_MAX + 16], started[32];
	time_t begun = time(NULL) - (time_t)(uptime_ms(p) / 1000);
	struct tm tm;

	gmtime_r(&begun, &tm);
	strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_text(j, "role", "client");
	json_text(j, "version", c->program_version);
	json_uint(j, "pid", (uint64_t)getpid());
	json_text(j, "name", c->name);
	json_text(j, "address", addr_join(c->server_host, c->server_port, at, sizeof at));
	json_text(j, "state", p->state);
	json_text(j, "started", started);
	json_uint(j, "uptime_ms", uptime_ms(p));
	json_text(j, "encryption", c->plaintext ? "off" : "on");
	json_bool(j, "certificate", c->tls);
	json_text(j, "admin", admin_address(p->admin));
}

static void stats(void *owner, struct json *j)
{
	const struct client_pages *p = owner;
	struct traffic_facts f = facts(p);
	struct metrics total;

	sum(p, &total);
	status(owner, j);
	metrics_json(&total, j);
	json_begin_object(j, "totals");
	metrics_json_traffic(&total.gone, j);
	json_end(j);
	json_begin_array(j, "tunnels");
	if (p->traffic->port)
		traffic_json(p->traffic, &f, j);
	json_end(j);
	metrics_fini(&total);
}

static void tunnels(void *owner, struct json *j)
{
	const struct client_pages *p = owner;
	struct traffic_facts f = facts(p);

	if (is_up(p))
		traffic_json_ngrok(p->traffic, &f, worker_now(p->worker), j);
}

static void metrics(void *owner, struct buf *out)
{
	const struct client_pages *p = owner;
	struct prometheus_about about = {
		.role = "client",
		.version = p->config->program_version,
		.uptime_ms = uptime_ms(p),
		.is_ready = is_up(p),
		.tunnels = is_up(p),
	};
	struct prometheus_row row = {
		.traffic = &p->traffic->counts,
		.round_trip_us = p->link ? p->link->session.rtt_us : 0,
		.port = p->traffic->port,
		.is_http = p->traffic->is_http,
	};
	struct metrics shard = { 0 };

	metrics_add(&shard, &p->worker->metrics);
	prometheus_write(&shard, &row, p->traffic->port ? 1 : 0, &about, out);
	metrics_fini(&shard);
}

static const struct admin_ops ops = {
	.is_ready = is_ready,
	.status = status,
	.stats = stats,
	.tunnels = tunnels,
	.metrics = metrics,
};

int client_pages_open(struct client_pages *p, struct worker *w, const struct client_config *config,
	const char *local)
{
	struct trace_config trace = { config->request_log, false, config->quiet };
	char name[32];
	struct admin_config admin = {
		.name = name,
		.socket = config->admin_socket,
		.host = config->admin_host,
		.port = config->admin_port,
	};
	int err;

	*p = (struct client_pages){
		.config = config,
		.worker = w,
		.state = "connecting",
		.host = "",
	};
	p->traffic = traffic_new(&w->metrics);
	if (trace_init(&p->trace, w, &trace) < 0 || !p->traffic)
		return log_fatal(config->command, 1, NULL, "out of memory");
	snprintf(p->traffic->name, sizeof p->traffic->name, "%s", config->name);
	snprintf(p->traffic->label, sizeof p->traffic->label, "%s", local);
	p->traffic->is_http = config->is_http;
	snprintf(name, sizeof name, "client-%d", (int)getpid());
	err = admin_open(&p->admin, w, &admin, &ops, p);
	if (err)
		return admin_failed(config->command, config->admin_host, config->admin_port, err);
	if (config->admin_host)
		log_info(NULL, "Metrics and status on http://%s", admin_address(p->admin));
	return 0;
}

void client_pages_summary(struct client_pages *p, bool asked)
{
	struct metrics total;

	sum(p, &total);
	trace_summary(&p->trace, &total.gone, asked);
	metrics_fini(&total);
}

void client_pages_close(struct client_pages *p)
{
	if (p->was_ready && p->traffic)
		client_pages_summary(p, false);
	p->was_ready = false;
	admin_close(p->admin);
	p->admin = NULL;
	trace_close(&p->trace);
	traffic_unref(p->traffic);
	p->traffic = NULL;
}
