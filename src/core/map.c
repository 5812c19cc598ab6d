#include "core/map.h"

#include <stdlib.h>

static size_t home(const struct map *m, uint32_t key)
{
	/* Fibonacci hashing: spreads neighbouring keys over the table. */
	return (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 32) & (m->cap - 1);
}

void map_fini(struct map *m)
{
	free(m->slots);
	*m = (struct map){ 0 };
}

/* The slot of key, or the empty slot where it would go. */
static size_t find(const struct map *m, uint32_t key)
{
	size_t i = home(m, key);

	while (m->slots[i].value && m->slots[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return i;
}

void *map_get(const struct map *m, uint32_t key)
{
	return m->cap ? m->slots[find(m, key)].value : NULL;
}

static int resize(struct map *m, size_t cap)
{
	struct map next = { calloc(cap, sizeof *next.slots), cap, m->len };

	if (!next.slots)
		return -1;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].value)
			next.slots[find(&next, m->slots[i].key)] = m->slots[i];
	free(m->slots);
	*m = next;
	return 0;
}

int map_put(struct map *m, uint32_t key, void *value)
{
	size_t i;

	if (m->cap - m->len <= m->cap / 4 && resize(m, m->cap ? m->cap * 2 : 8) < 0)
		return -1;
	i = find(m, key);
	if (!m->slots[i].value)
		m->len++;
	m->slots[i] = (struct map_slot){ key, value };
	return 0;
}

/* Moves later members of the probe run back over the hole. */
static void close_gap(struct map *m, size_t hole)
{
	size_t mask = m->cap - 1;

	for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
		size_t want = home(m, m->slots[i].key);

		if (((i - want) & mask) < ((i - hole) & mask))
			continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->slots[hole] = (struct map_slot){ 0 };
}

void *map_remove(struct map *m, uint32_t key)
{
	void *value;
	size_t i;

	if (!m->cap)
		return NULL;
	i = find(m, key);
	value = m->slots[i].value;
	if (!value)
		return NULL;
	close_gap(m, i);
	if (--m->len == 0)
		map_fini(m);
	else if (m->cap > 64 && m->len < m->cap / 8)
		resize(m, m->cap / 2); /* A failure leaves the larger table. */
	return value;
}

void *map_next(const struct map *m, size_t *at)
{
	for (; *at < m->cap; ++*at)
		if (m->slots[*at].value)
			return m->slots[(*at)++].value;
	return NULL;
}
