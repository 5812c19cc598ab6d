#ifndef CORE_PROMETHEUS_H
#define CORE_PROMETHEUS_H

#include "core/metrics.h"

/*
 * The metrics as Prometheus text, version 0.0.4 of its exposition format. One
 * family after another, each with HELP and TYPE. A label is the public port, one
 * of our own codes, or the class of a status.
 */
struct prometheus_row {
	const struct metrics_traffic *traffic;
	uint64_t round_trip_us;	/* 0: not known */
	uint16_t port;
	bool is_http;		/* has the series of HTTP from the start */
};

struct prometheus_about {
	const char *role;	/* "server" or "client" */
	const char *version;
	uint64_t uptime_ms;
	size_t tunnels;		/* there are now; rows may be of earlier ones, too */
	bool is_ready;
};

/* m, the tunnels there are, and m->gone under port="0", so that no sum over
 * the ports ever falls. */
void prometheus_write(const struct metrics *m, const struct prometheus_row *rows, size_t count,
	const struct prometheus_about *about, struct buf *out);

#endif
