#include "mux/data.h"

#include "mux/kept.h"
#include "mux/output.h"

/* A frame after which the next is expected to be large, too. */
enum { LARGE_FRAME = 8 * 1024 };

/* Whether the process has no memory for more than each stream's floor. */
static bool is_short(const struct session *s)
{
	const struct budget *b = s->config.pool->budget;

	return b && b->is_full && kept_is_wanted(s);
}

/* What credit leaves, and our own bound: a peer that grants without end must
 * not make us keep without end. */
static uint64_t capped(const struct credit_send *c, uint64_t most)
{
	uint64_t open = credit_send_open(c), pending = credit_send_pending(c);
	uint64_t left = pending < most ? most - pending : 0;

	return open < left ? open : left;
}

bool data_is_scarce(const struct session *s)
{
	return is_short(s) || capped(&s->send, SESSION_KEPT) < SESSION_FRAME_MIN;
}

uint64_t data_allowance(const struct session *s, const struct stream *st)
{
	uint64_t own = capped(&st->send, SESSION_STREAM_KEPT);
	uint64_t all = is_short(s) ? 0 : capped(&s->send, SESSION_KEPT);
	uint64_t pending = credit_send_pending(&st->send);
	uint64_t floor = pending < SESSION_FLOOR ? SESSION_FLOOR - pending : 0;

	if (all < floor)
		all = floor;
	return own < all ? own : all;
}

bool data_has_credit(const struct session *s, const struct stream *st)
{
	return data_allowance(s, st) >= SESSION_FRAME_MIN;
}

/* What a fresh stream may send before the others. */
static uint64_t ahead(const struct stream *st)
{
	return st->lately < SESSION_QUANTUM - SESSION_FRAME_MIN ? SESSION_QUANTUM - st->lately :
		SESSION_FRAME_MIN;
}

uint64_t data_cut(uint64_t max, uint64_t credit, uint64_t most)
{
	if (credit <= max)
		return credit;
	if (credit - max >= SESSION_FRAME_MIN)
		return max;
	if (credit >= 2 * SESSION_FRAME_MIN)
		return credit - SESSION_FRAME_MIN;
	return credit <= most ? credit : max;
}

/* The largest payload st may send now. */
static size_t frame_room(const struct session *s, const struct stream *st, bool fresh, size_t left)
{
	const struct list *other = fresh ? &s->bulk : &s->fresh;
	bool alone = list_is_empty(other) && st->ready.next == st->ready.prev;
	uint64_t max = path_frame(&s->path, alone);
	uint64_t most = s->max_frame < left ? s->max_frame : left;

	if (fresh && !alone && max > ahead(st))
		max = ahead(st);
	if (!fresh && !alone && max > st->deficit)
		max = st->deficit;
	return (size_t)data_cut(max < most ? max : most, data_allowance(s, st), most);
}

/* Where st belongs now. A turn that the end of a batch cut short goes on in
 * the next, so that turns are equal in bytes. */
static void requeue(struct session *s, struct stream *st, bool fresh)
{
	bool goes_on = !fresh && st->is_ready && st->deficit >= SESSION_FRAME_MIN;

	if (goes_on && st->out == STREAM_FLOWING && data_has_credit(s, st))
		return;
	if (!st->is_ready)
		st->deficit = 0; /* Nobody saves up turns. */
	if (kept_is_due(st))
		list_append(&s->bulk, &st->ready);
	else if (st->out != STREAM_FLOWING || !st->is_ready ||
		credit_send_open(&st->send) < SESSION_FRAME_MIN)
		output_delist(st);
	else
		list_append(data_has_credit(s, st) ? &s->bulk : &s->starved, &st->ready);
}

/* --- once more ------------------------------------------------------------------ */

/* A frame of what lies in many small chunks, copied together. Returns its length. */
static size_t copy_again(struct batch *b, struct stream *st, size_t room)
{
	uint8_t *frame = b->w.at;
	size_t n = 0;

	writer_room(&b->w, FRAME_HEAD);
	if (room > b->w.left)
		room = b->w.left;
	for (struct chunk *c = kept_find(st, st->again); c && n < room; c = c->next) {
		size_t skip = (size_t)(st->again + n - c->offset);
		size_t part = c->len - skip < room - n ? c->len - skip : room - n;

		writer_bytes(&b->w, c->data + c->at + skip, part);
		n += part;
	}
	frame_put(frame, FRAME_STREAM_DATA, st->id, (uint32_t)n);
	return n;
}

/* One frame of what a lost transport carried. Its credit was spent then. */
static void write_again(struct session *s, struct batch *b, struct stream *st)
{
	struct chunk *c = kept_find(st, st->again);
	size_t room = batch_left(b) - FRAME_HEAD, skip = (size_t)(st->again - c->offset), n;

	if (room > SESSION_AGAIN_FRAME)
		room = SESSION_AGAIN_FRAME;
	if (room > path_frame(&s->path, false))
		room = path_frame(&s->path, false);
	if (room > s->max_frame)
		room = s->max_frame;
	n = c->len - skip < room ? c->len - skip : room;
	if (n >= SESSION_FRAME_MIN) {
		frame_put(b->w.at, FRAME_STREAM_DATA, st->id, (uint32_t)n);
		writer_room(&b->w, FRAME_HEAD);
		batch_add(b, c, c->data + c->at + skip, n);
	} else {
		n = copy_again(b, st, room < SESSION_QUANTUM ? room : SESSION_QUANTUM);
	}
	st->again += n;
	st->deficit = 0;
	path_sent(&s->path, n, s->now_us);
	if (!kept_is_due(st) && st->out == STREAM_ENDING)
		output_due(s, st); /* CLOSE had to wait for it. */
}

/* --- for the first time ----------------------------------------------------------- */

/* Counts n bytes of st, and puts their head before them into `frame`. */
static void count(struct session *s, struct stream *st, uint8_t *frame, size_t n)
{
	frame_put(frame, FRAME_STREAM_DATA, st->id, (uint32_t)n);
	st->last_frame = (uint32_t)n;
	credit_send_add(&st->send, n);
	credit_send_add(&s->send, n);
	st->again = st->send.sent;
	st->lately += n;
	st->deficit -= n < st->deficit ? (uint32_t)n : st->deficit;
	path_sent(&s->path, n, s->now_us);
}

/* Up to room bytes of the source, read straight into the storage. */
static size_t pull_copy(struct session *s, struct batch *b, struct stream *st, size_t room)
{
	uint8_t *frame = b->w.at;
	size_t n = s->ops->pull(s->owner, st, frame + FRAME_HEAD, room);

	if (n) {
		writer_room(&b->w, FRAME_HEAD + n);
		count(s, st, frame, n);
	}
	return n;
}

/* What is kept should not occupy much more than it is: then a copy is better,
 * with room for what follows if small frames come in a row. */
static struct chunk *fit(const struct stream *st, struct chunk *c)
{
	size_t most = st->kept_end ? 2 * (size_t)st->kept_end->cap : 0;
	struct chunk *small;

	if (c->len >= c->cap / 2)
		return c;
	if (most > SESSION_FRAME_MIN)
		most = SESSION_FRAME_MIN;
	small = chunk_take(c->pool, FRAME_HEAD + (c->len < most ? most : c->len));
	if (!small)
		return c;
	memcpy(small->data, c->data, FRAME_HEAD + c->len);
	small->at = c->at;
	small->len = c->len;
	small->offset = c->offset;
	chunk_drop(c);
	return small;
}

/* Up to room bytes into c, which leaves without another copy if they are many. */
static size_t pull_chunk(struct session *s, struct batch *b, struct stream *st, struct chunk *c,
	size_t room)
{
	size_t n = s->ops->pull(s->owner, st, c->data + FRAME_HEAD, room);
	bool keeps = kept_is_wanted(s) && st->out != STREAM_CUT;

	c->offset = st->send.sent;
	c->at = FRAME_HEAD;
	c->len = (uint32_t)n;
	if (n)
		count(s, st, c->data, n);
	if (n && n < SESSION_FRAME_MIN && keeps && kept_append(st, c))
		keeps = false;
	if (n && keeps)
		c = fit(st, c);
	if (n >= SESSION_FRAME_MIN)
		batch_add(b, c, c->data, FRAME_HEAD + n);
	else if (n)
		writer_bytes(&b->w, c->data, FRAME_HEAD + n);
	if (n && keeps && !st->kept)
		st->taken_us = s->now_us;
	if (n && keeps)
		kept_add(st, c);
	else
		chunk_drop(c);
	return n;
}

/* How much to ask the source for: all that may go when its last frame was
 * large, too. */
static size_t expected(const struct stream *st, size_t room)
{
	return st->last_frame >= LARGE_FRAME || room < SESSION_QUANTUM ? room : SESSION_QUANTUM;
}

/* What is sent cannot be kept: the smallest thing that can end is the stream. */
static void starve(struct session *s, struct stream *st)
{
	stream_reset(s, st, CODE_OVERLOADED);
	if (st->is_owned)
		s->ops->on_reset(s->owner, st, CODE_OVERLOADED);
}

static void write_new(struct session *s, struct batch *b, struct stream *st, bool fresh)
{
	size_t room = expected(st, frame_room(s, st, fresh, batch_left(b) - FRAME_HEAD)), n;
	struct chunk *c = NULL;

	if (kept_is_wanted(s) || room > SESSION_QUANTUM)
		c = chunk_take(s->config.pool, FRAME_HEAD + room);
	if (!c && kept_is_wanted(s)) {
		starve(s, st);
		return;
	}
	if (!c && room > b->w.left - FRAME_HEAD)
		room = b->w.left - FRAME_HEAD;
	n = c ? pull_chunk(s, b, st, c, room) : pull_copy(s, b, st, room);
	if (n == room)
		return;
	st->is_ready = false; /* The source is drained: pull()'s contract. */
	if (n && fresh && !list_is_empty(&s->bulk))
		path_hurry(&s->path, s->now_us);
}

void data_write(struct session *s, struct batch *b, struct stream *st, bool fresh)
{
	if (credit_recv_has_news(&st->recv)) {
		output_credit(s, &b->w, st);
		list_remove(&st->due);
		st->wants_credit = false;
	}
	if (!fresh && st->deficit < SESSION_FRAME_MIN)
		st->deficit += path_frame(&s->path, false);
	if (kept_is_due(st))
		write_again(s, b, st);
	else if (data_has_credit(s, st))
		write_new(s, b, st, fresh);
	requeue(s, st, fresh);
}
