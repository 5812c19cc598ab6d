#include "core/batch.h"

#include <string.h>

void batch_init(struct batch *b, uint8_t *storage, size_t cap, size_t room)
{
	b->w = (struct writer){ storage, cap < room ? cap : room, false };
	b->sealed = storage;
	b->room = room;
	b->total = 0;
	b->count = 0;
}

static void append(struct batch *b, const uint8_t *data, size_t len, struct chunk *c)
{
	b->segments[b->count++] = (struct segment){ data, len, c };
	b->total += len;
}

void batch_seal(struct batch *b)
{
	size_t n = (size_t)(b->w.at - b->sealed);

	if (n)
		append(b, b->sealed, n, NULL);
	b->sealed = b->w.at;
}

void batch_add(struct batch *b, struct chunk *c, const uint8_t *data, size_t len)
{
	batch_seal(b);
	append(b, data, len, chunk_hold(c));
	if (b->w.left > batch_left(b))
		b->w.left = batch_left(b);
}

void batch_advance(struct batch *b, size_t n)
{
	unsigned gone = 0;

	b->total -= n;
	while (gone < b->count && n >= b->segments[gone].len) {
		n -= b->segments[gone].len;
		chunk_drop(b->segments[gone++].chunk);
	}
	b->count -= gone;
	if (gone)
		memmove(b->segments, b->segments + gone, b->count * sizeof b->segments[0]);
	if (n) {
		b->segments[0].data += n;
		b->segments[0].len -= n;
	}
}

void batch_drop(struct batch *b)
{
	for (unsigned i = 0; i < b->count; i++)
		chunk_drop(b->segments[i].chunk);
	b->count = 0;
	b->total = 0;
}
