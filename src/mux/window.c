#include "mux/window.h"

#include "mux/session.h"

enum {
	STOPS = 2,		/* of late make a window too small */
	CALM = 4,		/* halves of a window without one: not of late */
	MARK_BITS = 12,
	MARK_MASK = (1 << MARK_BITS) - 1,
	/* What two processes take to wake up, beyond the round trip measured when
	 * they had nothing else to do. On a short path it is most of the time; a stream
	 * must have moved many windows before one is doubled for it, or who only fills the
	 * buffers of a stalled reader gets a wide window for that. */
	WAKE_US = 500,
	WINDOWS_MOVED = 16,
	LONG_US = 20 * 1000,	/* a round trip of which each counts */
	/* Half a window that takes so many round trips, and so much more, is idle. */
	SLOW_TRIPS = 8,
	SLOW_US = 50 * 1000,
	TOOK_MAX_US = 1000 * 1000 * 1000, /* more is the same, and would overflow */
};

void window_init(struct window *w, const struct credit_recv *c)
{
	/* The first limit is not marked, and watched instead. One stop is enough at
	 * first: there was none that had not stopped it. */
	*w = (struct window){ .lowest = UINT64_MAX, .edge = c->limit, .stops = STOPS - 1,
		.is_watched = true };
}

/* Knuth's multiplicative hash: the high bits of the product are the good ones. */
static uint64_t hash(uint64_t n)
{
	return (n * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - MARK_BITS);
}

uint64_t window_mark(uint64_t limit)
{
	uint64_t high = (limit + MARK_MASK) >> MARK_BITS;

	return high << MARK_BITS | hash(high);
}

static bool is_marked(uint64_t offset)
{
	return (offset & MARK_MASK) == hash(offset >> MARK_BITS);
}

/* A frame ended; was it credit that ended it? */
static void note_end(struct window *w, const struct credit_recv *c)
{
	bool at_edge = w->is_watched && c->received == w->edge;

	if (at_edge)
		w->was_reached = true;
	w->is_stopped = at_edge || is_marked(c->received);
	if (c->received <= w->fresh || !w->is_stopped)
		return;
	w->stops += w->stops < STOPS;
	w->calm = 0;
}

bool window_arrived(struct window *w, const struct credit_recv *c, bool ends_frame,
	uint64_t now_us, uint64_t *echo_us)
{
	bool is_echo = w->is_watched && c->received > w->edge && w->was_reached && w->edge_us;

	if (!w->mark_us)
		w->mark_us = now_us; /* Before its first byte nothing could be slow. */
	if (is_echo)
		*echo_us = now_us - w->edge_us;
	if (c->received > w->edge)
		w->is_watched = false;
	w->is_stopped = false;
	if (ends_frame)
		note_end(w, c);
	return is_echo;
}

bool window_is_due(const struct window *w, const struct credit_recv *c)
{
	return credit_recv_is_due(c) || c->consumed - c->told >= WINDOW_CREDIT_MOST ||
		(w->is_stopped && c->consumed == c->received);
}

void window_consumed(struct window *w, const struct credit_recv *c)
{
	uint64_t pending = credit_recv_pending(c);

	if (pending < w->lowest)
		w->lowest = pending;
}

/* took_us: for half of the window, by the pace of what was judged. */
static bool is_quick(const struct credit_recv *c, const struct window_terms *terms,
	uint64_t took_us)
{
	if (took_us < 2 * terms->rtt_us)
		return true;
	return took_us < 2 * (terms->rtt_us + WAKE_US) &&
		c->consumed / WINDOWS_MOVED >= c->window;
}

static uint64_t grown(struct window *w, const struct credit_recv *c,
	const struct window_terms *terms, uint64_t took_us)
{
	/* What stopped the sender until now is no reason to double again. */
	w->fresh = c->limit;
	w->stops = STOPS - 1;
	if (terms->rtt_us >= LONG_US && took_us < terms->rtt_us / 4)
		return 4 * c->window; /* By its pace it would still be too small. */
	return 2 * c->window;
}

static uint64_t shrunk(uint64_t size, const struct window_terms *terms, uint64_t took_us)
{
	uint64_t slow_us = SLOW_TRIPS * terms->rtt_us + SLOW_US;

	while (took_us > slow_us && size / 2 >= terms->least) {
		size /= 2;
		took_us /= 2;
	}
	return size;
}

/* Half of the window at least went by in took_us. */
static uint64_t judge(struct window *w, const struct credit_recv *c,
	const struct window_terms *terms, uint64_t took_us)
{
	if (terms->is_short)
		return c->window / 2 >= terms->least ? c->window / 2 : c->window;
	if (w->stops >= STOPS && w->lowest <= c->window / 4 && is_quick(c, terms, took_us))
		return grown(w, c, terms, took_us);
	if (++w->calm >= CALM)
		w->stops = 0;
	return shrunk(c->window, terms, took_us);
}

uint64_t window_judge(struct window *w, const struct credit_recv *c,
	const struct window_terms *terms)
{
	uint64_t size = c->window, half = size / 2, eaten = c->consumed - w->mark;
	uint64_t took_us = terms->now_us - w->mark_us;

	if (eaten > 0 && eaten >= (w->is_stopped ? half / 2 : half)) {
		if (took_us > TOOK_MAX_US)
			took_us = TOOK_MAX_US;
		size = judge(w, c, terms, took_us * half / eaten);
		w->mark = c->consumed;
		w->mark_us = terms->now_us;
		w->lowest = UINT64_MAX;
	}
	return size < terms->most ? size : terms->most;
}

void window_tell(struct window *w, const struct credit_recv *c, uint64_t now_us)
{
	if (w->is_watched || c->consumed + c->window <= c->limit)
		return;
	w->is_watched = true;
	w->was_reached = c->received == c->limit;
	w->edge = c->limit;
	w->edge_us = now_us;
}

void window_lost(struct window *w)
{
	w->edge_us = 0;
}
