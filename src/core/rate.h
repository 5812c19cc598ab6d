#ifndef CORE_RATE_H
#define CORE_RATE_H

#include <stdint.h>

/*
 * Events a second over the last 1, 5 and 15 minutes, as exponentially weighted
 * averages (as the load average of Unix), brought up to date when something
 * happens or somebody asks: no timer. Zeroed is empty.
 */
enum { RATE_1, RATE_5, RATE_15, RATE_COUNT };

struct rate {
	uint64_t since_us;	/* up to when it is folded in, 0: never */
	uint64_t pending;	/* events since then */
	double per_s[RATE_COUNT];
};

void rate_add(struct rate *r, uint64_t now_us);

/* Adds another one's averages, as of now, to r's. */
void rate_merge(struct rate *r, const struct rate *from, uint64_t now_us);

/* which: RATE_1, RATE_5 or RATE_15. */
double rate_get(const struct rate *r, unsigned which, uint64_t now_us);

#endif
