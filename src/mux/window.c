#include "mux/window.h"

#include "mux/session.h"

enum {
	/* A sender with more to say leaves less of its credit than this. */
	EDGE = SESSION_FRAME_MIN,
	STOPS = 2,
	/* What two processes take to wake up, beyond the round trip measured when
	 * they had nothing else to do. On a short path it is most of the time; a stream
	 * must have moved many windows before one is doubled for it, or who only fills the
	 * buffers of a stalled reader gets a wide window for that. */
	WAKE_US = 500,
	WINDOWS_MOVED = 16,
	/* Half a window that takes so many round trips, and so much more, is idle. */
	SLOW_TRIPS = 8,
	SLOW_US = 50 * 1000,
	TOOK_MAX_US = 1000 * 1000 * 1000, /* more is the same, and would overflow */
};

void window_init(struct window *w, const struct credit_recv *c)
{
	/* The first limit is an edge, too, that the sender knew from the start. */
	*w = (struct window){ .lowest = UINT64_MAX, .edge = c->limit, .stops = STOPS - 1,
		.is_watched = true };
}

bool window_arrived(struct window *w, const struct credit_recv *c, bool ends_frame,
	uint64_t now_us, uint64_t *echo_us)
{
	if (!w->mark_us)
		w->mark_us = now_us; /* Before its first byte nothing could be slow. */
	if (!w->is_watched)
		return false;
	if (c->received <= w->edge) {
		if (ends_frame && w->edge - c->received < EDGE)
			w->was_reached = true;
		return false;
	}
	w->is_watched = false;
	w->stops = w->was_reached ? w->stops + (w->stops < STOPS) : 0;
	*echo_us = now_us - w->edge_us;
	return w->was_reached && w->edge_us;
}

void window_consumed(struct window *w, const struct credit_recv *c)
{
	uint64_t pending = credit_recv_pending(c);

	if (pending < w->lowest)
		w->lowest = pending;
}

/* Whether the sender waits for credit at this very moment, or did so at the last edges. */
static bool is_stopped(const struct window *w)
{
	return w->stops >= STOPS || (w->stops == STOPS - 1 && w->was_reached);
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

static uint64_t shrunk(uint64_t size, const struct window_terms *terms, uint64_t took_us)
{
	uint64_t slow_us = SLOW_TRIPS * terms->rtt_us + SLOW_US;

	while (took_us > slow_us && size / 2 >= terms->least) {
		size /= 2;
		took_us /= 2;
	}
	return size;
}

uint64_t window_judge(struct window *w, const struct credit_recv *c,
	const struct window_terms *terms)
{
	uint64_t size = c->window, half = size / 2, eaten = c->consumed - w->mark;
	uint64_t took_us = terms->now_us - w->mark_us;

	if (eaten >= half && eaten > 0) {
		if (took_us > TOOK_MAX_US)
			took_us = TOOK_MAX_US;
		took_us = took_us * half / eaten;
		if (terms->is_short)
			size = half >= terms->least ? half : size;
		else if (is_stopped(w) && w->lowest <= size / 4 && is_quick(c, terms, took_us))
			size *= 2;
		else
			size = shrunk(size, terms, took_us);
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
	w->was_reached = c->limit - c->received < EDGE;
	w->edge = c->limit;
	w->edge_us = now_us;
}
