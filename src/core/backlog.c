#include "core/backlog.h"

#include <stdbool.h>
#include <string.h>

enum { BACKLOG_FIRST = 4096 };

static size_t room_of(const struct chunk *c)
{
	return c ? c->cap - c->at - c->len : 0;
}

static void fill(struct backlog *b, const void *data, size_t n)
{
	struct chunk *c = b->last;

	if (!n)
		return;
	memcpy(c->data + c->at + c->len, data, n);
	c->len += (uint32_t)n;
	b->len += n;
}

/* The only chunk's bytes in a larger one, which has room for n more. */
static int grow(struct backlog *b, struct chunk_pool *pool, size_t n)
{
	struct chunk *old = b->last, *c;
	size_t cap = 2 * (size_t)old->cap;

	if (cap > BACKLOG_WHOLE)
		cap = BACKLOG_WHOLE;
	c = chunk_take(pool, cap < old->len + n ? old->len + n : cap);
	if (!c)
		return -1;
	memcpy(c->data, old->data + old->at, old->len);
	c->len = old->len;
	chunk_drop(old);
	b->first = b->last = c;
	return 0;
}

static struct chunk *next_chunk(const struct backlog *b, struct chunk_pool *pool, size_t n)
{
	size_t least = b->last ? BACKLOG_WHOLE : BACKLOG_FIRST;

	return chunk_take(pool, n < least ? least : n);
}

static void add_chunk(struct backlog *b, struct chunk *c)
{
	if (b->last)
		b->last->next = c;
	else
		b->first = c;
	b->last = c;
}

/* Whether it is small enough to stay in one piece with n bytes more. */
static bool stays_whole(const struct backlog *b, size_t n)
{
	return b->last && b->last == b->first && n <= BACKLOG_WHOLE && b->len <= BACKLOG_WHOLE - n;
}

int backlog_append(struct backlog *b, struct chunk_pool *pool, const void *data, size_t n)
{
	struct chunk *more = NULL;
	size_t now;

	if (n > room_of(b->last) && stays_whole(b, n) && grow(b, pool, n) < 0)
		return -1;
	now = n < room_of(b->last) ? n : room_of(b->last);
	if (n > now && !(more = next_chunk(b, pool, n - now)))
		return -1;
	fill(b, data, now);
	if (more) {
		add_chunk(b, more);
		fill(b, (const uint8_t *)data + now, n - now);
	}
	return 0;
}

unsigned backlog_pieces(const struct backlog *b, struct iovec *pieces, unsigned most)
{
	unsigned n = 0;

	for (struct chunk *c = b->first; c && n < most; c = c->next)
		pieces[n++] = (struct iovec){ c->data + c->at, c->len };
	return n;
}

void backlog_drop(struct backlog *b, size_t n)
{
	b->len -= n;
	while (b->first && n >= b->first->len) {
		struct chunk *c = b->first;

		n -= c->len;
		b->first = c->next;
		chunk_drop(c);
	}
	if (!b->first) {
		b->last = NULL;
		return;
	}
	b->first->at += (uint32_t)n;
	b->first->len -= (uint32_t)n;
}

size_t backlog_take(struct backlog *b, uint8_t *out, size_t cap)
{
	size_t taken = 0;

	while (b->len && taken < cap) {
		size_t n = backlog_piece(b) < cap - taken ? backlog_piece(b) : cap - taken;

		memcpy(out + taken, backlog_data(b), n);
		backlog_drop(b, n);
		taken += n;
	}
	return taken;
}

void backlog_fini(struct backlog *b)
{
	backlog_drop(b, b->len);
}
