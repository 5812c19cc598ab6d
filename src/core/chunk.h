#ifndef CORE_CHUNK_H
#define CORE_CHUNK_H

#include <stddef.h>
#include <stdint.h>

#include "core/budget.h"

/*
 * Counted pieces of memory for bytes that more than one holder needs: what was
 * read once is on its way to a socket and also kept until the far end has it,
 * and nobody copies.
 *
 *	data: [ at bytes of head | len bytes of payload | free ]
 *	                                                       cap
 *
 * A pool counts what its chunks really occupy, as long as anybody holds them,
 * and keeps a few large ones at rest. Not for use by several threads.
 */
enum { CHUNK_CLASSES = 5 };

struct chunk_pool {
	struct budget *budget;	/* what it is counted into as well, or NULL */
	size_t used;		/* bytes of the chunks that are held */
	struct chunk *spare[CHUNK_CLASSES];
	unsigned spares[CHUNK_CLASSES];
};

struct chunk {
	struct chunk *next;	/* for the one holder that keeps it in a row */
	struct chunk_pool *pool;
	uint64_t offset;	/* of the first payload byte, for that holder */
	uint32_t refs;
	uint32_t cap;
	uint32_t at, len;
	uint8_t data[];
};

/* A chunk of at least cap bytes, held once and empty. NULL when memory is out. */
struct chunk *chunk_take(struct chunk_pool *pool, size_t cap);

static inline struct chunk *chunk_hold(struct chunk *c)
{
	c->refs++;
	return c;
}

/* NULL is legal. */
void chunk_drop(struct chunk *c);

/* What one occupies, as the pool counts it. */
size_t chunk_size(const struct chunk *c);

/* Frees what is at rest. The pool may be used again. */
void chunk_pool_trim(struct chunk_pool *pool);

#endif
