#include "mux/output.h"

#include <stdlib.h>

#include "mux/data.h"
#include "mux/grant.h"
#include "mux/kept.h"

enum {
	LATE_US = 1000 * 1000,
	HALVE_US = 100 * 1000,
	SMALL_FRAME = FRAME_HEAD + 16,
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

/* Of the session as a whole, once there can be streams: one that is only there
 * to resume another has nothing to say of its own. When streams that stand still hold most of its
 * window, the rest must be told early, or the others starve beside it. */
bool output_session_credit_is_due(const struct session *s)
{
	if (s->state == SESSION_BIND)
		return false;
	if (credit_recv_is_due(&s->recv))
		return true;
	return credit_recv_open(&s->recv) < s->recv.window / 4 &&
		s->recv.consumed - s->recv.told >= SESSION_STREAM_CREDIT;
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

	if (kept_is_due(st)) { /* Its credit was spent when it was sent first. */
		list_append(&s->bulk, &st->ready);
		output_wake(s);
		return;
	}
	if (!st->is_ready || st->out != STREAM_FLOWING)
		return;
	if (list_is_on(&st->ready) && !data_is_scarce(s))
		return; /* It has its turn already. */
	if (credit_send_open(&st->send) < SESSION_FRAME_MIN)
		return; /* The stream's next CREDIT enlists it. */
	if (data_has_credit(s, st))
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

static bool bulk_may_go(const struct session *s)
{
	return !list_is_empty(&s->bulk) && path_is_open(&s->path);
}

void output_flows(struct session *s)
{
	if (bulk_may_go(s))
		output_wake(s);
}

/* A slow path needs them finer: there even 16 KiB take a while. */
bool output_ack_is_due(const struct session *s)
{
	uint64_t n = s->taken - s->taken_told;

	return n >= SESSION_ACK_EVERY ||
		(n >= SESSION_ACK_LEAST && s->now_us - s->told_us >= SESSION_ACK_US);
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
	return !list_is_empty(&s->due) || !list_is_empty(&s->fresh) || bulk_may_go(s) ||
		output_ack_is_due(s) || output_session_credit_is_due(s);
}

static void put(struct writer *w, size_t n)
{
	writer_room(w, n);
}

static void forget_control(struct session *s)
{
	free(s->control);
	s->control = NULL;
	s->control_at = s->control_len = s->control_cap = 0;
	s->replies = 0;
}

void output_forget(struct session *s)
{
	forget_control(s);
	path_fini(&s->path);
	path_init(&s->path);
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
	forget_control(s);
	return true;
}

static void write_credit(struct writer *w, uint32_t id, const struct credit_recv *c)
{
	struct flow_credit credit = { c->limit, c->consumed };

	put(w, flow_credit_encode(id, &credit, w->at, w->left));
}

void output_credit(struct session *s, struct writer *w, struct stream *st)
{
	grant_tell(s, st);
	write_credit(w, st->id, &st->recv);
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
			output_credit(s, w, st);
		st->wants_credit = false;
		/* After its last byte; data_write() comes back to it. */
		if (st->out == STREAM_ENDING && !kept_is_due(st)) {
			put(w, flow_close_encode(st->id, st->send.sent, w->at, w->left));
			st->out = STREAM_CLOSED;
			st->has_closed = true;
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

static bool has_place(const struct batch *b)
{
	return b->w.left >= DATA_LEAST && batch_left(b) >= DATA_LEAST && batch_has_place(b);
}

static void write_streams(struct session *s, struct batch *b)
{
	struct list *n;

	while (has_place(b)) {
		bool fresh = (n = list_first(&s->fresh)) != NULL;

		if (!fresh && (!(n = list_first(&s->bulk)) || !path_open(&s->path)))
			return;
		data_write(s, b, list_entry(n, struct stream, ready), fresh);
	}
	if (!list_is_empty(&s->bulk))
		path_waits(&s->path);
}

/* With anything that leaves anyway, or when much is not acknowledged. */
static void write_ack(struct session *s, struct batch *b)
{
	bool leaves = b->total || b->w.at != b->sealed;

	if (s->taken == s->taken_told || (!output_ack_is_due(s) && !leaves))
		return;
	put(&b->w, control_ack_encode(s->taken, b->w.at, b->w.left));
	s->taken_told = s->taken;
	s->told_us = s->now_us;
}

static void write_all(struct session *s, struct batch *b)
{
	if (!write_control(s, &b->w) || !is_forwarding(s))
		return;
	if (output_session_credit_is_due(s)) {
		credit_recv_tell(&s->recv);
		write_credit(&b->w, 0, &s->recv);
	}
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
