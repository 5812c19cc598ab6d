#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/code.h"
#include "core/histogram.h"
#include "core/json.h"
#include "core/shard.h"
#include "core/summary.h"

/*
 * Every metric, named once: struct, sum, JSON and Prometheus text come from
 * these lists.
 *
 *	X(member and JSON name, kind, Prometheus name, help)
 *
 * A worker has a shard, which it alone writes, with plain stores and no lock;
 * who asks adds the shards up (core/shard.h). Gauges add up as counters do.
 * Labels are the public port, our own codes and the class of a status: nothing
 * that a peer can choose.
 */
#define METRICS_PROCESS(X)                                                                       \
	X(sessions_open, gauge, "gotunnel_sessions_open", "Sessions that are logged in now.")    \
	X(logins, counter, "gotunnel_logins_total", "Sessions that logged in.")                  \
	X(logins_refused, counter, "gotunnel_logins_refused_total",                              \
		"Logins that were refused for their credentials, or broken off before.")         \
	X(strangers, counter, "gotunnel_strangers_total",                                        \
		"Control connections that ended before a login, refused ones not counted.")      \
	X(early_drops, counter, "gotunnel_early_drops_total",                                    \
		"Control connections dropped because too many were not logged in.")              \
	X(source_drops, counter, "gotunnel_source_drops_total",                                  \
		"Control connections dropped because too many of their source were not logged in.") \
	X(penalties, counter, "gotunnel_penalties_total",                                        \
		"Control connections turned away after failed logins of their source.")          \
	X(sessions_lost, counter, "gotunnel_sessions_lost_total",                                \
		"Sessions that ended without a goodbye.")                                        \
	X(sessions_held, gauge, "gotunnel_sessions_held",                                        \
		"Sessions that wait for their client to come back.")                             \
	X(lanes_open, gauge, "gotunnel_lanes_open",                                              \
		"Connections beside the first of a client.")                                     \
	X(resumes, counter, "gotunnel_resumes_total",                                            \
		"Times that a session went on over a new connection.")                           \
	X(resumes_refused, counter, "gotunnel_resumes_refused_total",                            \
		"Times that a session to be resumed was not there.")                             \
	X(sessions_refused, counter, "gotunnel_sessions_refused_total",                          \
		"Sessions refused because too many had tunnels, or had none.")                   \
	X(streams_stalled, counter, "gotunnel_streams_stalled_total",                            \
		"Streams that took nothing for 10 s, reset because memory was short.")           \
	X(waits_in_vain, counter, "gotunnel_waits_in_vain_total",                                \
		"Public connections reset because the client did not come back in time.")        \
	X(reconnects, counter, "gotunnel_reconnects_total",                                      \
		"Sessions of this client after its first one.")                                  \
	X(ports_refused, counter, "gotunnel_ports_refused_total", "Tunnels that got no port.")   \
	X(accept_pauses, counter, "gotunnel_accept_pauses_total",                                \
		"Times that accepting paused for lack of descriptors or memory.")                \
	X(visitors_refused, counter, "gotunnel_visitors_refused_total",                          \
		"Public connections that were closed at once for lack of room.")                 \
	X(address_drops, counter, "gotunnel_address_drops_total",                                \
		"Public connections reset because their address had too many.")

#define METRICS_TRAFFIC(X)                                                                       \
	X(streams_open, gauge, "gotunnel_streams_open", "Streams that are open now.")            \
	X(streams, counter, "gotunnel_streams_total", "Streams that were opened.")               \
	X(connections, counter, "gotunnel_connections_total",                                    \
		"Sockets: visitors accepted by a server, services reached by a client.")         \
	X(received_bytes, counter, "gotunnel_received_bytes_total",                              \
		"Payload bytes from visitors towards the service.")                              \
	X(sent_bytes, counter, "gotunnel_sent_bytes_total",                                      \
		"Payload bytes from the service towards visitors.")                              \
	X(buffered_bytes, gauge, "gotunnel_buffered_bytes",                                      \
		"Payload bytes that wait here for a socket to take them.")                       \
	X(http_requests, counter, "gotunnel_http_requests_total",                                \
		"HTTP/1 requests that were answered, or ended without an answer.")               \
	X(http_unanswered, counter, "gotunnel_http_unanswered_total",                            \
		"HTTP/1 requests that ended without an answer.")                                 \
	X(http_unwatched, counter, "gotunnel_http_unwatched_total",                              \
		"HTTP/1 exchanges that could not be parsed to their end.")                       \
	X(dials_failed, counter, "gotunnel_dials_failed_total",                                  \
		"Streams whose service could not be reached, on a client.")

enum {
	METRICS_CODES = 32,		/* more than codes exist; see core/code.h */
	METRICS_STATUS_MIN = 100,
	METRICS_STATUS_MAX = 599,
	METRICS_STATUSES = METRICS_STATUS_MAX - METRICS_STATUS_MIN + 1,
};

/* Answers: of a tunnel that carries HTTP; made when the first one comes. */
struct metrics_http {
	uint64_t status[METRICS_STATUSES];
	struct histogram latency;	/* first byte of a request to the answer's head */
};

/* What passed through one tunnel, or through several. */
struct metrics_traffic {
#define X(member, kind, name, help) uint64_t member;
	METRICS_TRAFFIC(X)
#undef X
	uint64_t resets[METRICS_CODES];	/* streams by the code that ended them */
	struct metrics_http *http;	/* NULL: none yet */
};

/* A worker's shard. */
struct metrics {
#define X(member, kind, name, help) uint64_t member;
	METRICS_PROCESS(X)
#undef X
	struct metrics_traffic gone;	/* of tunnels that are no more */
};

/* Counts an answer that says nothing of the service's time. */
void metrics_status(struct metrics_traffic *t, unsigned status);
/* Counts an answer; without memory for the first one it is left out. */
void metrics_answer(struct metrics_traffic *t, unsigned status, uint64_t latency_us);

/* The same, and what was added is taken from `from`: counters, and answers. Gauges
 * stay, which tell what is there now. */
void metrics_move_traffic(struct metrics_traffic *into, struct metrics_traffic *from);

/* Adds one to another, which the caller owns. Missing memory leaves http out. */
void metrics_add_traffic(struct metrics_traffic *into, const struct metrics_traffic *from);
void metrics_add(struct metrics *into, const struct metrics *from);

void metrics_fini_traffic(struct metrics_traffic *t);
void metrics_fini(struct metrics *m);

/* Members of the object that is open; see gotunnel-admin(7). */
void metrics_json(const struct metrics *m, struct json *j);
void metrics_json_traffic(const struct metrics_traffic *t, struct json *j);

/* What the summary tells of it; uptime_ms is left to the caller. */
void metrics_summarise(const struct metrics_traffic *t, struct summary *out);

#endif
