#ifndef CORE_BACKLOG_H
#define CORE_BACKLOG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "core/chunk.h"

/*
 * Bytes that wait for a socket, in order, in chunks of a pool, which counts
 * what they occupy. An empty backlog holds no memory: a zeroed struct is one.
 * The caller bounds it; it only grows as far as it is filled.
 *
 *	first: [ taken | queued ... ] -> [ queued ... ] -> last: [ queued | free ]
 *
 * A byte is copied once, when it comes, but for those of a small one that
 * grows: of BACKLOG_WHOLE bytes or less, all lie in one piece.
 */
enum { BACKLOG_WHOLE = 64 * 1024 };

struct backlog {
	struct chunk *first, *last;
	size_t len;
};

static inline size_t backlog_len(const struct backlog *b)
{
	return b->len;
}

/* The first piece of one that is not empty, and its length. */
static inline const uint8_t *backlog_data(const struct backlog *b)
{
	return b->first->data + b->first->at;
}

static inline size_t backlog_piece(const struct backlog *b)
{
	return b->first->len;
}

/* The first pieces, at most `most`; how many. They live until the next call
 * that changes it. */
unsigned backlog_pieces(const struct backlog *b, struct iovec *pieces, unsigned most);

/* Adds n bytes. -1 when memory is out; nothing is then changed. */
int backlog_append(struct backlog *b, struct chunk_pool *pool, const void *data, size_t n);

/* Takes n bytes off the front, n <= backlog_len(). Gives back what is empty. */
void backlog_drop(struct backlog *b, size_t n);

/* Copies up to cap bytes out and drops them; how many. */
size_t backlog_take(struct backlog *b, uint8_t *out, size_t cap);

void backlog_fini(struct backlog *b);

#endif
