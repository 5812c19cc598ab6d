#include "mux/output.h"

#include <stdlib.h>

enum {
	LATE_US = 1000 * 1000,
	HALVE_US = 100 * 1000,
	SMALL_FRAME = FRAME_HEAD + 16,
	LARGE_FRAME = 8 * 1024,	/* after which the next is expected to be large */
};

void output_wake(struct session *s)
{
	s->ops->on_output(s->owner);
}

/* Makes room behind what is queued, first by dropping what was sent. */
static bool grow(struct session *s)
{
	size_t queued = s->control_len - s->control_at;
	size_t cap = s->control_cap ? s->control_cap : 1024;
	uint8_t *p;

	if (s->control_at) {
		memmove(s->control, s->control + s->control_at, queued);
		s->control_at = 0;
		s->control_len = queued;
	}
	while (cap - queued < OUTPUT_FRAME_MAX)
		cap *= 2;
	if (cap == s->control_cap)
		return true;
	if (cap > SESSION_CONTROL_MAX)
		return false;
	p = realloc(s->control, cap);
	if (!p)
		return false;
	s->control = p;
	s->control_cap = cap;
	return true;
}

uint8_t *output_reserve(struct session *s)
{
	if (s->is_doomed)
		return NULL;
	if (s->control_cap - s->control_len < OUTPUT_FRAME_MAX && !grow(s)) {
		/* Not at once: callers up the stack hold what the end would free. */
		s->is_doomed = true;
		output_wake(s);
		return NULL;
	}
	return s->control + s->control_len;
}

void output_commit(struct session *s, size_t n)
{
	s->control_len += n;
	output_wake(s);
}

void output_commit_reply(struct session *s, size_t n)
{
	s->replies++;
	output_commit(s, n);
}

void output_due(struct session *s, struct stream *st)
{
	list_append(&s->due, &st->due);
	output_wake(s);
}

void output_late(struct session *s, struct stream *st)
{
	if (list_is_on(&st->due))
		return;
	if (list_is_empty(&s->late)) {
		s->credit_us = s->now_us + LATE_US;
		output_wake(s); /* For the owner to set its timer by. */
	}
	list_append(&s->late, &st->due);
}

/* Of the session as a whole. When streams that stand still hold most of its
 * window, the rest must be told early, or the others starve beside it. */
bool output_session_credit_is_due(const struct session *s)
{
	if (credit_recv_is_due(&s->recv))
		return true;
	return credit_recv_open(&s->recv) < s->recv.window / 4 &&
		s->recv.consumed - s->recv.told >= SESSION_STREAM_CREDIT;
}

/* How much st may put into one frame by its own and the session's credit. */
static uint64_t allowance(const struct session *s, const struct stream *st)
{
	uint64_t own = credit_send_open(&st->send);
	uint64_t all = credit_send_open(&s->send);
	uint64_t pending = credit_send_pending(&st->send);
	uint64_t floor = pending < SESSION_FLOOR ? SESSION_FLOOR - pending : 0;

	if (all < floor)
		all = floor;
	return own < all ? own : all;
}

/* Whether credit lets st send a frame worth its head. */
static bool has_credit(const struct session *s, const struct stream *st)
{
	return allowance(s, st) >= SESSION_FRAME_MIN;
}

/* Whether st sent so little lately that it may go ahead of bulk. */
static bool is_sparse(const struct session *s, struct stream *st)
{
	uint64_t halvings = (s->now_us - st->lately_us) / HALVE_US;

	st->lately_us += halvings * HALVE_US;
	st->lately = halvings < 64 ? st->lately >> halvings : 0;
	return st->lately < SESSION_QUANTUM;
}

void output_enlist(struct session *s, struct stream *st)
{
	struct list *to = &s->starved;

	if (!st->is_ready || st->out != STREAM_FLOWING)
		return;
	if (list_is_on(&st->ready) && credit_send_open(&s->send) >= SESSION_FRAME_MIN)
		return; /* It has its turn already. */
	if (credit_send_open(&st->send) < SESSION_FRAME_MIN)
		return; /* The stream's next CREDIT enlists it. */
	if (has_credit(s, st))
		to = is_sparse(s, st) ? &s->fresh : &s->bulk;
	list_append(to, &st->ready);
	if (to != &s->starved)
		output_wake(s);
}

void output_delist(struct stream *st)
{
	list_remove(&st->ready);
}

void output_feed_starved(struct session *s)
{
	if (list_is_empty(&s->starved))
		return;
	list_splice(&s->bulk, &s->starved);
	output_wake(s);
}

static bool ack_is_due(const struct session *s)
{
	return s->taken - s->taken_told >= SESSION_ACK_EVERY;
}

static bool is_forwarding(const struct session *s)
{
	return s->state == SESSION_BIND || s->state == SESSION_OPEN || s->state == SESSION_DRAIN;
}

bool output_is_pending(const struct session *s)
{
	if (s->control_at < s->control_len)
		return true;
	if (!is_forwarding(s))
		return false;
	return !list_is_empty(&s->due) || !list_is_empty(&s->fresh) ||
		!list_is_empty(&s->bulk) || ack_is_due(s) || output_session_credit_is_due(s);
}

static void put(struct writer *w, size_t n)
{
	writer_room(w, n);
}

/* Copies queued control frames; false when some are left. */
static bool write_control(struct session *s, struct writer *w)
{
	size_t n = s->control_len - s->control_at;

	if (n > w->left)
		n = w->left;
	if (n)
		writer_bytes(w, s->control + s->control_at, n);
	s->control_at += n;
	if (s->control_at < s->control_len)
		return false;
	free(s->control);
	s->control = NULL;
	s->control_at = s->control_len = s->control_cap = 0;
	s->replies = 0;
	return true;
}

static void write_credit(struct writer *w, uint32_t id, struct credit_recv *c)
{
	struct flow_credit credit;

	credit_recv_tell(c);
	credit = (struct flow_credit){ c->limit, c->consumed };
	put(w, flow_credit_encode(id, &credit, w->at, w->left));
}

static void write_reset(struct session *s, struct writer *w, struct stream *st)
{
	struct flow_reset reset = { (uint16_t)st->reset_code, st->send.sent };

	put(w, flow_reset_encode(st->id, &reset, w->at, w->left));
	st->out = STREAM_RESET;
	s->counts.resets_sent++;
}

/* Writes what st owes; it may be over, and freed, after this. */
static void write_due(struct session *s, struct writer *w, struct stream *st)
{
	list_remove(&st->due);
	if (st->out == STREAM_CUT) {
		write_reset(s, w, st);
	} else if (st->out != STREAM_RESET) {
		if (st->wants_credit || credit_recv_has_news(&st->recv))
			write_credit(w, st->id, &st->recv);
		st->wants_credit = false;
		if (st->out == STREAM_ENDING) {
			put(w, flow_close_encode(st->id, st->send.sent, w->at, w->left));
			st->out = STREAM_CLOSED;
		}
	}
	stream_settle(s, st);
}

/* False when no room is left for more. */
static bool write_all_due(struct session *s, struct writer *w)
{
	struct list *n;

	while ((n = list_first(&s->due))) {
		if (w->left < 4 * SMALL_FRAME)
			return false;
		write_due(s, w, list_entry(n, struct stream, due));
	}
	return true;
}

/* The largest payload st may send now. */
static size_t frame_room(const struct session *s, const struct stream *st, bool fresh, size_t left)
{
	const struct list *other = fresh ? &s->bulk : &s->fresh;
	bool alone = list_is_empty(other) && st->ready.next == st->ready.prev;
	uint64_t max = alone ? s->max_frame : SESSION_SHARED_FRAME;
	uint64_t credit = allowance(s, st);

	if (fresh && !alone)
		max = st->lately < SESSION_QUANTUM - SESSION_FRAME_MIN ?
			SESSION_QUANTUM - st->lately : SESSION_FRAME_MIN;
	if (max > s->max_frame)
		max = s->max_frame;
	if (max > credit)
		max = credit;
	return max < left ? (size_t)max : left;
}

/* Where st belongs after it sent a frame of n out of room bytes. */
static void requeue(struct session *s, struct stream *st, size_t n, size_t room)
{
	if (n < room)
		st->is_ready = false; /* The source is drained: pull()'s contract. */
	if (st->out != STREAM_FLOWING || !st->is_ready ||
		credit_send_open(&st->send) < SESSION_FRAME_MIN)
		output_delist(st);
	else
		list_append(has_credit(s, st) ? &s->bulk : &s->starved, &st->ready);
}

/* How many bytes of st's source are worth a chunk of their own: as many as
 * may go when the last frame was large, too. */
static size_t chunk_room(const struct stream *st, size_t room)
{
	return st->last_frame >= LARGE_FRAME || room < SESSION_QUANTUM ? room : SESSION_QUANTUM;
}

/* A chunk that is much larger than what is in it costs more than a copy. */
static struct chunk *fit(struct chunk *c)
{
	struct chunk *small;

	if (c->len >= c->cap / 2)
		return c;
	small = chunk_take(c->pool, FRAME_HEAD + c->len);
	if (!small)
		return c;
	memcpy(small->data, c->data, FRAME_HEAD + c->len);
	small->at = c->at;
	small->len = c->len;
	chunk_drop(c);
	return small;
}

/* Counts n bytes of st, whose head stands before them in `frame`. */
static void count(struct session *s, struct stream *st, uint8_t *frame, size_t n)
{
	frame_put(frame, FRAME_STREAM_DATA, st->id, (uint32_t)n);
	st->last_frame = (uint32_t)n;
	credit_send_add(&st->send, n);
	credit_send_add(&s->send, n);
	st->lately += n;
	s->put += n;
}

/* Up to room bytes of the source, read straight into the storage. */
static size_t pull_copy(struct session *s, struct batch *b, struct stream *st, size_t room)
{
	uint8_t *frame = b->w.at;
	size_t n = s->ops->pull(s->owner, st, frame + FRAME_HEAD, room);

	if (n) {
		put(&b->w, FRAME_HEAD + n);
		count(s, st, frame, n);
	}
	return n;
}

/* The same into a chunk, which leaves without another copy if it is large. */
static size_t pull_chunk(struct session *s, struct batch *b, struct stream *st, struct chunk *c,
	size_t room)
{
	size_t n = s->ops->pull(s->owner, st, c->data + FRAME_HEAD, room);

	if (!n) {
		chunk_drop(c);
		return 0;
	}
	c->offset = st->send.sent;
	c->at = FRAME_HEAD;
	c->len = (uint32_t)n;
	c = fit(c);
	c->offset = st->send.sent;
	count(s, st, c->data, n);
	if (n >= SESSION_FRAME_MIN)
		batch_add(b, c, c->data, FRAME_HEAD + n);
	else
		writer_bytes(&b->w, c->data, FRAME_HEAD + n);
	chunk_drop(c);
	return n;
}

/* One frame of one stream. */
static void write_data(struct session *s, struct batch *b, struct stream *st, bool fresh)
{
	struct chunk *c = NULL;
	size_t room, n;

	if (credit_recv_has_news(&st->recv)) {
		write_credit(&b->w, st->id, &st->recv);
		list_remove(&st->due);
		st->wants_credit = false;
	}
	if (!has_credit(s, st)) {
		requeue(s, st, 0, 0);
		return;
	}
	room = chunk_room(st, frame_room(s, st, fresh, batch_left(b) - FRAME_HEAD));
	if (room > SESSION_QUANTUM)
		c = chunk_take(s->config.pool, FRAME_HEAD + room);
	if (!c && room > b->w.left - FRAME_HEAD)
		room = b->w.left - FRAME_HEAD;
	n = c ? pull_chunk(s, b, st, c, room) : pull_copy(s, b, st, room);
	requeue(s, st, n, room);
}

static bool has_place(const struct batch *b)
{
	size_t least = SESSION_FRAME_MIN + 4 * SMALL_FRAME;

	return b->w.left >= least && batch_left(b) >= least && batch_has_place(b);
}

static void write_streams(struct session *s, struct batch *b)
{
	struct list *n;

	while (has_place(b)) {
		bool fresh = (n = list_first(&s->fresh)) != NULL;

		if (!fresh && !(n = list_first(&s->bulk)))
			return;
		write_data(s, b, list_entry(n, struct stream, ready), fresh);
	}
}

/* With anything that leaves anyway, or when much is not acknowledged. */
static void write_ack(struct session *s, struct batch *b)
{
	bool leaves = b->total || b->w.at != b->sealed;

	if (s->taken == s->taken_told || (!ack_is_due(s) && !leaves))
		return;
	put(&b->w, control_ack_encode(s->taken, b->w.at, b->w.left));
	s->taken_told = s->taken;
}

static void write_all(struct session *s, struct batch *b)
{
	if (!write_control(s, &b->w) || !is_forwarding(s))
		return;
	if (output_session_credit_is_due(s))
		write_credit(&b->w, 0, &s->recv);
	if (write_all_due(s, &b->w)) {
		write_streams(s, b);
		write_all_due(s, &b->w);
	}
	b->w.left += SMALL_FRAME;
	write_ack(s, b);
}

void output_compose(struct session *s, struct batch *b)
{
	/* The ACK at the end always has room. */
	b->w.left -= SMALL_FRAME;
	b->room -= SMALL_FRAME;
	write_all(s, b);
	batch_seal(b);
}
