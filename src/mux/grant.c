#include "mux/grant.h"

#include "mux/upkeep.h"

/* How often the round trip is measured while streams move. */
enum { MEASURE_US = 1000 * 1000 };

static uint64_t room(const struct session *s, const struct stream *st)
{
	uint64_t others = s->granted - st->window.charged;

	return others < SESSION_POOL ? SESSION_POOL - others : 0;
}

/* The widest window that st may have. */
static uint64_t most(const struct session *s, const struct stream *st)
{
	const struct budget *b = s->config.pool->budget;
	uint64_t kib = room(s, st) / 1024, extra = kib * kib / (SESSION_POOL_PART / 1024) * 1024;
	uint64_t left = UINT64_MAX, used, all;

	if (b && b->most) {
		used = budget_used(b);
		left = b->most > used ? (b->most - used) / 8 : 0;
	}
	if (extra > left)
		extra = left;
	all = s->config.stream_credit + extra;
	return all < WINDOW_MOST || s->config.stream_credit > WINDOW_MOST ? all : WINDOW_MOST;
}

/* Where two processes are busy the round trip of an idle moment says little, and on
 * a path that changed the old one nothing. */
static void measure(struct session *s)
{
	uint64_t every_us = 4 * s->rtt_us;

	if (every_us < MEASURE_US)
		every_us = MEASURE_US;
	if (s->now_us - s->beat_us >= every_us)
		session_measure(s);
}

static void adapt(struct session *s, struct stream *st)
{
	const struct budget *b = s->config.pool->budget;
	struct window_terms terms = {
		.now_us = s->now_us,
		.rtt_us = rtt_smallest(&s->rtt),
		.least = s->config.stream_credit,
		.most = most(s, st),
		.is_short = b && b->is_high,
	};

	st->recv.window = window_judge(&st->window, &st->recv, &terms);
	if (st->recv.window > terms.least)
		measure(s);
}

static void charge(struct session *s, struct stream *st)
{
	uint64_t end = st->in_final < st->recv.limit ? st->in_final : st->recv.limit;
	uint64_t open = end - st->recv.consumed, first = s->config.stream_credit;

	s->granted -= st->window.charged;
	st->window.charged = open > first ? open - first : 0;
	s->granted += st->window.charged;
}

/* Where nothing is left of the pool the first credit is exact. */
static void raise_limit(struct session *s, struct stream *st)
{
	uint64_t before = st->recv.limit;

	credit_recv_tell(&st->recv);
	if (st->recv.limit > before && room(s, st) >= 2 * WINDOW_MARK)
		st->recv.limit = window_mark(st->recv.limit);
}

void grant_begin(struct session *s, struct stream *st)
{
	uint64_t first = s->config.stream_credit;

	credit_recv_init(&st->recv, first, first);
	window_init(&st->window, &st->recv);
}

void grant_tell(struct session *s, struct stream *st)
{
	adapt(s, st);
	window_tell(&st->window, &st->recv, s->now_us);
	raise_limit(s, st);
	charge(s, st);
}

void grant_final(struct session *s, struct stream *st)
{
	charge(s, st);
}

void grant_end(struct session *s, struct stream *st)
{
	s->granted -= st->window.charged;
	st->window.charged = 0;
}
