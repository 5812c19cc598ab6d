#include "tunnel/traffic.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/addr.h"

struct traffic *traffic_new(struct metrics *shard)
{
	struct traffic *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->shard = shard;
	t->refs = 1;
	list_init(&t->node);
	return t;
}

struct traffic *traffic_ref(struct traffic *t)
{
	t->refs++;
	return t;
}

void traffic_unref(struct traffic *t)
{
	if (!t || --t->refs)
		return;
	metrics_add_traffic(&t->shard->gone, &t->counts);
	metrics_fini_traffic(&t->counts);
	free(t->durations);
	free(t);
}

void traffic_inherit(struct traffic *t, struct traffic *from, uint64_t now_us)
{
	metrics_move_traffic(&t->counts, &from->counts);
	rate_merge(&t->conns, &from->conns, now_us);
	rate_merge(&t->requests, &from->requests, now_us);
	if (!t->durations) {
		t->durations = from->durations;
	} else if (from->durations) {
		histogram_merge(t->durations, from->durations);
		free(from->durations);
	}
	from->durations = NULL;
}

void traffic_ended(struct traffic *t, enum code code, uint64_t duration_us)
{
	shard_sub(&t->counts.streams_open, 1);
	if (code && (unsigned)code < METRICS_CODES)
		shard_add(&t->counts.resets[code], 1);
	if (!t->durations)
		t->durations = calloc(1, sizeof *t->durations);
	if (t->durations)
		histogram_add(t->durations, duration_us);
}

const char *traffic_url(const struct traffic *t, const char *host, char *out, size_t cap)
{
	char at[ADDR_HOST_MAX + 16];

	snprintf(out, cap, "%s://%s", t->is_http ? "http" : "tcp",
		addr_join(host, t->port, at, sizeof at));
	return out;
}

static void json_ngrok_counts(struct json *j, const char *key, uint64_t count, uint64_t gauge,
	const struct rate *r, const struct histogram *h, uint64_t now_us)
{
	static const struct {
		const char *name;
		double q;
	} quantiles[] = { { "p50", 0.5 }, { "p90", 0.9 }, { "p95", 0.95 }, { "p99", 0.99 } };

	json_begin_object(j, key);
	json_uint(j, "count", count);
	json_uint(j, "gauge", gauge);
	json_number(j, "rate1", rate_get(r, RATE_1, now_us));
	json_number(j, "rate5", rate_get(r, RATE_5, now_us));
	json_number(j, "rate15", rate_get(r, RATE_15, now_us));
	for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++)
		json_uint(j, quantiles[i].name, h ? histogram_quantile(h, quantiles[i].q) * 1000 : 0);
	json_end(j);
}

void traffic_json_ngrok(const struct traffic *t, const struct traffic_facts *facts, uint64_t now_us,
	struct json *j)
{
	const struct metrics_traffic *c = &t->counts;
	char url[ADDR_HOST_MAX + 32];

	json_begin_object(j, NULL);
	json_text(j, "name", t->name);
	json_text(j, "uri", "/api/tunnels");
	json_text(j, "public_url", traffic_url(t, facts->public_host, url, sizeof url));
	json_text(j, "proto", t->is_http ? "http" : "tcp");
	json_begin_object(j, "config");
	json_text(j, "addr", t->label);
	json_bool(j, "inspect", false);
	json_end(j);
	json_begin_object(j, "metrics");
	json_ngrok_counts(j, "conns", c->connections, c->streams_open, &t->conns, t->durations,
		now_us);
	json_ngrok_counts(j, "http", c->http_requests, 0, &t->requests,
		c->http ? &c->http->latency : NULL, now_us);
	json_end(j);
	json_end(j);
}

void traffic_json(const struct traffic *t, const struct traffic_facts *facts, struct json *j)
{
	char url[ADDR_HOST_MAX + 32];

	json_begin_object(j, NULL);
	json_uint(j, "port", t->port);
	json_text(j, "name", t->name);
	json_text(j, "local", t->label);
	json_text(j, "public", traffic_url(t, facts->public_host, url, sizeof url));
	json_text(j, "kind", t->is_http ? "http" : "tcp");
	json_text(j, "peer", facts->peer);
	json_uint(j, "round_trip_us", facts->round_trip_us);
	json_bool(j, "away", facts->is_away);
	metrics_json_traffic(&t->counts, j);
	json_end(j);
}
