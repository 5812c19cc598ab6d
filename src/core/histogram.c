#include "core/histogram.h"

#include "core/shard.h"

static unsigned slot_of(uint64_t us)
{
	unsigned shift;

	if (us < 2 * HISTOGRAM_PART)
		return (unsigned)us;
	shift = 63u - HISTOGRAM_BITS - (unsigned)__builtin_clzll(us);
	return shift * HISTOGRAM_PART + (unsigned)(us >> shift);
}

/* The value in the middle of a slot. */
static uint64_t value_of(unsigned slot)
{
	unsigned shift;

	if (slot < 2 * HISTOGRAM_PART)
		return slot;
	shift = slot / HISTOGRAM_PART - 1;
	return ((uint64_t)(slot % HISTOGRAM_PART + HISTOGRAM_PART) << shift) + ((1ull << shift) >> 1);
}

void histogram_add(struct histogram *h, uint64_t us)
{
	if (us > HISTOGRAM_MOST)
		us = HISTOGRAM_MOST;
	if (h->count == 0 || us < h->least)
		shard_set(&h->least, us);
	if (h->count == 0 || us > h->most)
		shard_set(&h->most, us);
	shard_add(&h->slots[slot_of(us)], 1);
	shard_add(&h->sum, us);
	shard_add(&h->count, 1);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	uint64_t count = shard_get(&from->count);
	uint64_t least = shard_get(&from->least), most = shard_get(&from->most);

	if (!count)
		return;
	if (!into->count || least < into->least)
		into->least = least;
	if (!into->count || most > into->most)
		into->most = most;
	into->count += count;
	into->sum += shard_get(&from->sum);
	for (unsigned i = 0; i < HISTOGRAM_SLOTS; i++)
		into->slots[i] += shard_get(&from->slots[i]);
}

uint64_t histogram_quantile(const struct histogram *h, double q)
{
	double wanted = q * (double)h->count;
	uint64_t seen = 0;

	for (unsigned i = 0; i < HISTOGRAM_SLOTS && h->count; i++) {
		uint64_t value;

		seen += h->slots[i];
		if (!seen || (double)seen < wanted)
			continue;
		value = value_of(i);
		/* The ends are known exactly. */
		if (value < h->least)
			return h->least;
		return value > h->most ? h->most : value;
	}
	return h->count ? h->most : 0;
}

uint64_t histogram_mean(const struct histogram *h)
{
	return h->count ? h->sum / h->count : 0;
}

uint64_t histogram_below(const struct histogram *h, uint64_t bound_us)
{
	unsigned last = slot_of(bound_us > HISTOGRAM_MOST ? HISTOGRAM_MOST : bound_us);
	uint64_t seen = 0;

	for (unsigned i = 0; i <= last; i++)
		seen += h->slots[i];
	return seen;
}
