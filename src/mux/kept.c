#include "mux/kept.h"

#include <string.h>

bool kept_is_wanted(const struct session *s)
{
	return (s->capabilities & LOGIN_CAN_RESUME) != 0;
}

void kept_add(struct stream *st, struct chunk *c)
{
	c->next = NULL;
	if (st->kept_end)
		st->kept_end->next = c;
	else
		st->kept = c;
	st->kept_end = c;
}

bool kept_append(struct stream *st, const struct chunk *c)
{
	struct chunk *last = st->kept_end;

	if (!last || last->cap - last->at - last->len < c->len)
		return false;
	memcpy(last->data + last->at + last->len, c->data + c->at, c->len);
	last->len += c->len;
	return true;
}

static void drop_first(struct stream *st)
{
	struct chunk *c = st->kept;

	st->kept = c->next;
	if (!st->kept)
		st->kept_end = NULL;
	chunk_drop(c);
}

void kept_acknowledge(struct stream *st)
{
	while (st->kept && st->kept->offset + st->kept->len <= st->send.consumed)
		drop_first(st);
}

void kept_forget(struct stream *st)
{
	while (st->kept)
		drop_first(st);
}

struct chunk *kept_find(const struct stream *st, uint64_t offset)
{
	struct chunk *c = st->kept;

	while (c && c->offset + c->len <= offset)
		c = c->next;
	return c;
}
