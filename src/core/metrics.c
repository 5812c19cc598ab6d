#include "core/metrics.h"

#include <stdlib.h>

static struct metrics_http *http_of(struct metrics_traffic *t)
{
	if (!t->http)
		t->http = calloc(1, sizeof *t->http);
	return t->http;
}

void metrics_status(struct metrics_traffic *t, unsigned status)
{
	struct metrics_http *http = http_of(t);

	if (http && status >= METRICS_STATUS_MIN && status <= METRICS_STATUS_MAX)
		shard_add(&http->status[status - METRICS_STATUS_MIN], 1);
}

void metrics_answer(struct metrics_traffic *t, unsigned status, uint64_t latency_us)
{
	metrics_status(t, status);
	if (t->http)
		histogram_add(&t->http->latency, latency_us);
}

void metrics_add_traffic(struct metrics_traffic *into, const struct metrics_traffic *from)
{
	struct metrics_http *http;

#define X(member, kind, name, help) into->member += shard_get(&from->member);
	METRICS_TRAFFIC(X)
#undef X
	for (unsigned i = 0; i < METRICS_CODES; i++)
		into->resets[i] += shard_get(&from->resets[i]);
	http = from->http ? http_of(into) : NULL;
	if (!http)
		return;
	for (unsigned i = 0; i < METRICS_STATUSES; i++)
		http->status[i] += shard_get(&from->http->status[i]);
	histogram_merge(&http->latency, &from->http->latency);
}

enum kind { counter, gauge };

void metrics_move_traffic(struct metrics_traffic *into, struct metrics_traffic *from)
{
	struct metrics_traffic kept = { 0 };

#define X(member, kind, name, help) \
	if (kind == gauge) { \
		kept.member = from->member; \
		from->member = 0; \
	}
	METRICS_TRAFFIC(X)
#undef X
	metrics_add_traffic(into, from);
	metrics_fini_traffic(from);
	*from = kept;
}

void metrics_add(struct metrics *into, const struct metrics *from)
{
#define X(member, kind, name, help) into->member += shard_get(&from->member);
	METRICS_PROCESS(X)
#undef X
	metrics_add_traffic(&into->gone, &from->gone);
}

void metrics_fini_traffic(struct metrics_traffic *t)
{
	free(t->http);
	t->http = NULL;
}

void metrics_fini(struct metrics *m)
{
	metrics_fini_traffic(&m->gone);
}

/* --- JSON ------------------------------------------------------------------- */

void metrics_json(const struct metrics *m, struct json *j)
{
#define X(member, kind, name, help) json_uint(j, #member, m->member);
	METRICS_PROCESS(X)
#undef X
}

static void json_latency(const struct histogram *h, struct json *j)
{
	json_begin_object(j, "latency");
	json_uint(j, "count", h ? h->count : 0);
	json_uint(j, "mean_us", h ? histogram_mean(h) : 0);
	json_uint(j, "min_us", h && h->count ? h->least : 0);
	json_uint(j, "max_us", h ? h->most : 0);
	json_uint(j, "p50_us", h ? histogram_quantile(h, 0.50) : 0);
	json_uint(j, "p90_us", h ? histogram_quantile(h, 0.90) : 0);
	json_uint(j, "p99_us", h ? histogram_quantile(h, 0.99) : 0);
	json_end(j);
}

static void json_statuses(const struct metrics_http *http, struct json *j)
{
	char key[8] = "";

	json_begin_object(j, "status");
	for (unsigned i = 0; http && i < METRICS_STATUSES; i++) {
		unsigned status = METRICS_STATUS_MIN + i;

		if (!http->status[i])
			continue;
		key[0] = (char)('0' + status / 100);
		key[1] = (char)('0' + status / 10 % 10);
		key[2] = (char)('0' + status % 10);
		json_uint(j, key, http->status[i]);
	}
	json_end(j);
}

void metrics_json_traffic(const struct metrics_traffic *t, struct json *j)
{
#define X(member, kind, name, help) json_uint(j, #member, t->member);
	METRICS_TRAFFIC(X)
#undef X
	json_latency(t->http ? &t->http->latency : NULL, j);
	json_statuses(t->http, j);
	json_begin_object(j, "resets");
	for (unsigned i = 0; i < METRICS_CODES; i++)
		if (t->resets[i])
			json_uint(j, code_name(i), t->resets[i]);
	json_end(j);
}

void metrics_summarise(const struct metrics_traffic *t, struct summary *out)
{
	*out = (struct summary){
		.streams_open = t->streams_open,
		.streams = t->streams,
		.connections = t->connections,
		.received = t->received_bytes,
		.sent = t->sent_bytes,
		.http_requests = t->http_requests,
		.http_unanswered = t->http_unanswered,
	};
	if (!t->http)
		return;
	out->latency.count = t->http->latency.count;
	out->latency.mean = histogram_mean(&t->http->latency);
	out->latency.least = t->http->latency.least;
	out->latency.most = t->http->latency.most;
	out->latency.p50 = histogram_quantile(&t->http->latency, 0.50);
	out->latency.p90 = histogram_quantile(&t->http->latency, 0.90);
	out->latency.p99 = histogram_quantile(&t->http->latency, 0.99);
	for (unsigned i = 0; i < METRICS_STATUSES; i++)
		summary_add_code(out, METRICS_STATUS_MIN + i, t->http->status[i]);
}
