#include "core/rate.h"

#include <math.h>

/* Events are folded in no more often than this: exp() is dear. */
enum { FOLD_US = 1000 * 1000 };

static void fold(struct rate *r, uint64_t now_us)
{
	static const double minutes[RATE_COUNT] = { 1, 5, 15 };
	double s = (double)(now_us - r->since_us) / 1e6;
	double now = (double)r->pending / s;

	for (int i = 0; i < RATE_COUNT; i++)
		r->per_s[i] += (1 - exp(-s / (60 * minutes[i]))) * (now - r->per_s[i]);
	r->pending = 0;
	r->since_us = now_us;
}

void rate_add(struct rate *r, uint64_t now_us)
{
	if (!r->since_us)
		r->since_us = now_us;
	if (now_us - r->since_us >= FOLD_US)
		fold(r, now_us);
	r->pending++;
}

double rate_get(const struct rate *r, unsigned which, uint64_t now_us)
{
	struct rate copy = *r;

	if (r->since_us && now_us > r->since_us)
		fold(&copy, now_us);
	return copy.per_s[which];
}
