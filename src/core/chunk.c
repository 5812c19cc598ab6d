#include "core/chunk.h"

#include <stdlib.h>

/* Large chunks come in these sizes, with room for the head of a frame, so that
 * one that is given back fits the next; and so many of each stay at rest. Each is
 * double the one before, so that no size is nobody's: the allocator gave such
 * chunks back to the system at once, and the next one's pages were all new. */
static const struct size {
	uint32_t cap;
	unsigned spares;
} sizes[CHUNK_CLASSES] = {
	{ 16 * 1024 + 64, 16 },
	{ 32 * 1024 + 64, 8 },
	{ 64 * 1024 + 64, 16 },
	{ 128 * 1024 + 64, 16 },
	{ 256 * 1024 + 64, 8 },
};

/* The smallest class that holds cap bytes at no more than double the cost;
 * CHUNK_CLASSES: none does. */
static unsigned class_of(size_t cap)
{
	for (unsigned i = 0; i < CHUNK_CLASSES; i++)
		if (cap <= sizes[i].cap)
			return cap > sizes[i].cap / 2 ? i : CHUNK_CLASSES;
	return CHUNK_CLASSES;
}

size_t chunk_size(const struct chunk *c)
{
	return sizeof *c + c->cap;
}

struct chunk *chunk_take(struct chunk_pool *pool, size_t cap)
{
	unsigned class = class_of(cap);
	struct chunk *c = class < CHUNK_CLASSES ? pool->spare[class] : NULL;

	if (c) {
		pool->spare[class] = c->next;
		pool->spares[class]--;
	} else {
		if (class < CHUNK_CLASSES)
			cap = sizes[class].cap;
		if (cap > UINT32_MAX)
			return NULL;
		c = malloc(sizeof *c + cap);
		if (!c)
			return NULL;
		c->cap = (uint32_t)cap;
		c->pool = pool;
	}
	c->next = NULL;
	c->offset = 0;
	c->refs = 1;
	c->at = c->len = 0;
	pool->used += chunk_size(c);
	if (pool->budget)
		budget_take(pool->budget, chunk_size(c));
	return c;
}

void chunk_drop(struct chunk *c)
{
	struct chunk_pool *pool;
	unsigned class;

	if (!c || --c->refs)
		return;
	pool = c->pool;
	pool->used -= chunk_size(c);
	if (pool->budget)
		budget_give(pool->budget, chunk_size(c));
	class = class_of(c->cap);
	if (class == CHUNK_CLASSES || c->cap != sizes[class].cap ||
		pool->spares[class] == sizes[class].spares) {
		free(c);
		return;
	}
	c->next = pool->spare[class];
	pool->spare[class] = c;
	pool->spares[class]++;
}

void chunk_pool_trim(struct chunk_pool *pool)
{
	for (unsigned i = 0; i < CHUNK_CLASSES; i++) {
		struct chunk *c;

		while ((c = pool->spare[i])) {
			pool->spare[i] = c->next;
			free(c);
		}
		pool->spares[i] = 0;
	}
}
