#ifndef TUNNEL_TRAFFIC_H
#define TUNNEL_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#include "core/json.h"
#include "core/list.h"
#include "core/metrics.h"
#include "core/prometheus.h"
#include "core/rate.h"
#include "wire/bind.h"
#include "wire/login.h"

/*
 * What passes through one tunnel, on either end: its counters, and the names
 * under which lines and pages show it. It lives as long as the tunnel and the
 * last of its pipes; then its counters go to the worker's shard. Written by the
 * tunnel's worker alone, but for traffic_inherit().
 */
struct traffic {
	struct metrics *shard;		/* where the counters go at the end */
	struct metrics_traffic counts;
	struct rate conns, requests;
	struct histogram *durations;	/* of streams that ended, or NULL */
	unsigned refs;
	struct list node;		/* its keeper's: on hub->traffics */
	uint16_t port;			/* the public one */
	uint64_t opened;		/* its keeper's: the higher, the later it was used */
	uint64_t round_trip_us;		/* of its tunnel, for the page being made */
	bool is_http;
	char name[LOGIN_NAME_LEN * 4 + 1];	/* of the client, escaped */
	char label[BIND_LABEL_MAX * 4 + 1];	/* the local target, escaped */
};

/* With one reference. NULL when memory is out. */
struct traffic *traffic_new(struct metrics *shard);

struct traffic *traffic_ref(struct traffic *t);
/* NULL is legal. The last one frees. */
void traffic_unref(struct traffic *t);

/* t goes on with what passed through `from` so far. What is open on `from` stays
 * there. Both owners are halted. */
void traffic_inherit(struct traffic *t, struct traffic *from, uint64_t now_us);

/* A stream ended: by code, or in good order with CODE_OK. */
void traffic_ended(struct traffic *t, enum code code, uint64_t duration_us);

/* What else the pages show of a tunnel. */
struct traffic_facts {
	const char *public_host;	/* for visitors */
	const char *peer;		/* the control connection's other end */
	uint64_t round_trip_us;		/* 0: not known */
	bool is_away;			/* the connection is lost, the session held */
};

/* An element of /api/tunnels, in ngrok's shape (durations in nanoseconds). */
void traffic_json_ngrok(const struct traffic *t, const struct traffic_facts *facts, uint64_t now_us,
	struct json *j);

/* An element of "tunnels" in /api/stats. */
void traffic_json(const struct traffic *t, const struct traffic_facts *facts, struct json *j);

/* "tcp://HOST:PORT" or "http://HOST:PORT". Returns out. */
const char *traffic_url(const struct traffic *t, const char *host, char *out, size_t cap);

#endif
