#include "core/rate.h"

#include <math.h>

/* Events are folded in no more often than this: exp() is dear. */
enum { FOLD_US = 1000 * 1000 };

/* Moves the averages on by `s` seconds in which events came at `per_s`. */
static void move(struct rate *r, double s, double per_s)
{
	static const double minutes[RATE_COUNT] = { 1, 5, 15 };

	for (int i = 0; i < RATE_COUNT; i++)
		r->per_s[i] += (1 - exp(-s / (60 * minutes[i]))) * (per_s - r->per_s[i]);
}

/* What is pending came within FOLD_US of since_us; then nothing did. */
static void fold(struct rate *r, uint64_t now_us)
{
	uint64_t us = now_us - r->since_us, busy_us = us < FOLD_US ? us : FOLD_US;

	move(r, (double)busy_us / 1e6, (double)r->pending * 1e6 / (double)busy_us);
	if (us > busy_us)
		move(r, (double)(us - busy_us) / 1e6, 0);
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

void rate_merge(struct rate *r, const struct rate *from, uint64_t now_us)
{
	if (!from->since_us)
		return;
	if (r->since_us && now_us > r->since_us)
		fold(r, now_us);
	if (!r->since_us)
		r->since_us = now_us;
	for (unsigned i = 0; i < RATE_COUNT; i++)
		r->per_s[i] += rate_get(from, i, now_us);
}

double rate_get(const struct rate *r, unsigned which, uint64_t now_us)
{
	struct rate copy = *r;

	if (r->since_us && now_us > r->since_us)
		fold(&copy, now_us);
	return copy.per_s[which];
}
