#ifndef CORE_BATCH_H
#define CORE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/chunk.h"
#include "core/cursor.h"

/*
 * Bytes that leave a connection at once, in order: what was written into the
 * owner's storage, and parts of chunks, which the batch holds.
 *
 *	storage: [ head ack | credit | ............ ]
 *	              1         3
 *	chunks:           [ frame ]   [ frame ]
 *	                      2           4
 *
 * Copying the struct moves it: only one of the two may be dropped.
 */
enum { BATCH_SEGMENTS = 32 };

struct segment {
	const uint8_t *data;
	size_t len;
	struct chunk *chunk;	/* NULL: in the storage */
};

struct batch {
	struct writer w;	/* where the storage goes on */
	uint8_t *sealed;	/* all before is in segments */
	size_t room;		/* the most it may hold */
	size_t total;		/* bytes in segments */
	unsigned count;
	struct segment segments[BATCH_SEGMENTS];
};

/* An empty batch of at most `room` bytes over cap bytes of storage, which must
 * outlive it. */
void batch_init(struct batch *b, uint8_t *storage, size_t cap, size_t room);

/* Whether another chunk has a place, between two stretches of storage. */
static inline bool batch_has_place(const struct batch *b)
{
	return BATCH_SEGMENTS - b->count >= 3;
}

/* How many bytes may still be added. */
static inline size_t batch_left(const struct batch *b)
{
	return b->room - b->total - (size_t)(b->w.at - b->sealed);
}

/* What was written into the storage becomes part of it; to be called once
 * more at the end. */
void batch_seal(struct batch *b);

/* Adds len bytes of c, which lie at data, and holds c. batch_has_place(). */
void batch_add(struct batch *b, struct chunk *c, const uint8_t *data, size_t len);

/* Takes n bytes off the front: they have left. */
void batch_advance(struct batch *b, size_t n);

/* Lets go of the chunks; the batch is then empty. */
void batch_drop(struct batch *b);

#endif
