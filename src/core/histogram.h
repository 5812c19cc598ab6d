#ifndef CORE_HISTOGRAM_H
#define CORE_HISTOGRAM_H

#include <stdint.h>

/*
 * Durations in microseconds, 1 us to 1 h, log-linear as in HdrHistogram: 64
 * slots to each power of two, so that a quantile is off by at most 1/128 (0.8 %)
 * of itself. Adding is one increment; two can be merged.
 *
 *	value	0..127   128..255   256..511  ...
 *	width	1        2          4
 *
 * Written by one thread; another may read at any time and sees each number
 * whole. Zeroed is empty.
 */
enum {
	HISTOGRAM_BITS = 6,
	HISTOGRAM_PART = 1 << HISTOGRAM_BITS,
	/* 3.6e9 us < 2^32 */
	HISTOGRAM_SLOTS = (32 - HISTOGRAM_BITS + 1) * HISTOGRAM_PART,
};

#define HISTOGRAM_MOST 3600000000ull	/* one hour; what is longer counts as that */

struct histogram {
	uint64_t count, sum;
	uint64_t least, most;	/* exact; of no meaning while count is 0 */
	uint64_t slots[HISTOGRAM_SLOTS];
};

void histogram_add(struct histogram *h, uint64_t us);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The smallest value with at least the share q (0 to 1) of all at or below
 * it, within the error above; 0 when it is empty. */
uint64_t histogram_quantile(const struct histogram *h, double q);

uint64_t histogram_mean(const struct histogram *h);

/* How many were at most bound, where the slot of bound counts as a whole. */
uint64_t histogram_below(const struct histogram *h, uint64_t bound_us);

#endif
