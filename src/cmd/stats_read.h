#ifndef CMD_STATS_READ_H
#define CMD_STATS_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"
#include "core/summary.h"

/*
 * What /api/stats says, from JSON. Every text in here is escaped and fit for a
 * terminal: names come from peers. What is missing, or of the wrong type, is 0
 * or "".
 */
enum { STATS_READ_TUNNELS_MAX = 65536 };

struct stats_tunnel {
	uint64_t port;
	char name[64], local[96];
	uint64_t round_trip_us;
	bool is_away;		/* its connection is lost, its session held */
	struct summary sum;
};

struct stats {
	char role[32], version[32], address[96], state[32];
	uint64_t pid, uptime_ms;
	uint64_t sessions_open, logins_refused, reconnects;
	struct summary sum;
	size_t tunnel_count;
	struct stats_tunnel *tunnels;	/* as they came */
};

/* 0, or -1 with the reason. */
int stats_read(const struct buf *page, struct stats *out, char *why, size_t cap);
void stats_read_free(struct stats *s);

/* Checks that the page is an object and makes one line of it; for a terminal
 * of ASCII alone. 0, or -1 with the reason. */
int stats_read_line(const struct buf *page, bool for_terminal, struct buf *line, char *why,
	size_t cap);

#endif
