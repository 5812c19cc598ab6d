#include "mux/gauge.h"

#include <stdlib.h>

#define S UINT64_C(1000000)

enum {
	RATE_US = 100 * 1000,		/* a tenth of the window of the rate */
	RTT_US = 5 * 1000 * 1000,	/* half the window of the round trip */
	SPACES = 64,			/* marks to what is in flight */
	REST_US = 1000 * 1000,
};

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Below 2^47, and without a product that is not below 2^64. */
uint64_t gauge_moved(const struct gauge *g, uint64_t us)
{
	return g->rate / S * us + g->rate % S * us / S;
}

void gauge_init(struct gauge *g)
{
	*g = (struct gauge){ 0 };
}

void gauge_fini(struct gauge *g)
{
	free(g->marks);
	g->marks = NULL;
	g->first = g->count = 0;
}

uint64_t gauge_flight(const struct gauge *g)
{
	return g->put - g->acked;
}

uint64_t gauge_stuck_us(const struct gauge *g)
{
	return gauge_flight(g) >= GAUGE_ACK_DUE ? g->acked_us : 0;
}

void gauge_rest(struct gauge *g, uint64_t now_us)
{
	if (g->marks && now_us - g->sent_us >= REST_US && gauge_flight(g) <= GAUGE_QUIET)
		gauge_fini(g);
}

/* --- marks ---------------------------------------------------------------------- */

static struct gauge_mark *mark_at(const struct gauge *g, unsigned i)
{
	return &g->marks[(g->first + i) % GAUGE_MARKS];
}

static void begin_round(struct gauge *g, uint64_t now_us)
{
	g->round_end = g->put;
	g->round_us = now_us;
	g->round_acked = g->acked;
	g->round = (struct gauge_round){ 0 };
}

/* So little is on its way that nothing can be learned from what was. */
static void begin_flight(struct gauge *g, uint64_t now_us)
{
	g->first = g->count = 0;
	g->acked_us = g->first_us = now_us;
	g->epoch_us = now_us;
	g->epoch_acked = g->acked;
	begin_round(g, now_us);
}

void gauge_sent(struct gauge *g, uint64_t n, uint64_t cap, uint64_t now_us)
{
	uint64_t flight = gauge_flight(g), quiet = least(GAUGE_QUIET, cap / 4), since = 0;

	if (flight <= quiet)
		begin_flight(g, now_us);
	g->put += n;
	g->sent_us = now_us;
	if (!g->marks && flight + n > quiet)
		g->marks = calloc(GAUGE_MARKS, sizeof *g->marks);
	if (!g->marks || g->count == GAUGE_MARKS)
		return; /* Without a mark there is one sample less. */
	if (g->count)
		since = mark_at(g, g->count - 1)->offset;
	if (g->count && g->put - since < flight / SPACES)
		return;
	*mark_at(g, g->count++) = (struct gauge_mark){ g->put, now_us, g->acked, g->acked_us,
		g->first_us };
}

void gauge_full(struct gauge *g, bool is_capped)
{
	g->round.is_full = true;
	g->round.is_capped |= is_capped;
}

/* --- the rate -------------------------------------------------------------------- */

static void sum_up_rates(struct gauge *g)
{
	g->rate = 0;
	for (unsigned i = 0; i < GAUGE_RATES; i++)
		g->rate = most(g->rate, g->rates[i]);
}

void gauge_renew_rate(struct gauge *g)
{
	for (unsigned i = 0; i < GAUGE_RATES; i++)
		g->rates[i] = 0;
	g->rates[g->rate_at] = most(g->last.rate, g->before_rate);
	sum_up_rates(g);
}

/* Only where the sender was held back: a source that pauses makes no path slower. */
static void age_rates(struct gauge *g, uint64_t us)
{
	uint64_t tenth = most(RATE_US, g->min_rtt_us);

	g->rate_aged_us += us;
	for (unsigned i = 0; g->rate_aged_us >= tenth && i < GAUGE_RATES; i++) {
		g->rate_aged_us -= tenth;
		g->rate_at = (g->rate_at + 1) % GAUGE_RATES;
		g->rates[g->rate_at] = 0;
	}
	if (g->rate_aged_us >= tenth)
		g->rate_aged_us = 0;
	g->rates[g->rate_at] = most(g->rates[g->rate_at], g->round.rate);
	sum_up_rates(g);
}

static void note_rate(struct gauge *g, uint64_t rate)
{
	g->round.rate = most(g->round.rate, rate);
	g->rates[g->rate_at] = most(g->rates[g->rate_at], rate);
	g->rate = most(g->rate, rate);
}

static void note_mean(struct gauge *g, uint64_t now_us)
{
	g->mean_bytes -= g->mean_bytes / 4;
	g->mean_us -= g->mean_us / 4;
	g->mean_bytes += least(g->acked - g->round_acked, GAUGE_BYTES_MOST);
	g->mean_us += least(now_us - g->round_us, GAUGE_RTT_MOST);
}

uint64_t gauge_mean_rate(const struct gauge *g)
{
	return least(least(g->mean_bytes, GAUGE_BYTES_MOST) * S / most(g->mean_us, 1),
		GAUGE_RATE_MOST);
}

void gauge_restart_mean(struct gauge *g)
{
	g->mean_bytes = g->mean_us = 0;
}

/* --- the round trip -------------------------------------------------------------- */

/* As long as it is known how long the empty path is: to ask has its price. */
static uint64_t memory(const struct gauge *g)
{
	return most(RTT_US, 40 * g->min_rtt_us);
}

bool gauge_is_stale(const struct gauge *g, uint64_t now_us)
{
	return now_us - g->near_us >= memory(g);
}

void gauge_refresh(struct gauge *g, uint64_t now_us)
{
	g->near_us = now_us;
}

static void note_rtt(struct gauge *g, uint64_t rtt, uint64_t now_us)
{
	if (now_us - g->rtts_us >= memory(g)) {
		/* Where as little as can be is a queue, it is no longer path that is seen. */
		if (!g->rtts[0] || gauge_moved(g, g->rtts[1]) > 2 * GAUGE_ACK_DUE)
			g->rtts[0] = g->rtts[1];
		g->rtts[1] = 0;
		g->rtts_us = now_us;
	}
	g->rtts[1] = g->rtts[1] ? least(g->rtts[1], rtt) : rtt;
	g->min_rtt_us = g->rtts[0] ? least(g->rtts[0], g->rtts[1]) : g->rtts[1];
}

void gauge_heard(struct gauge *g, uint64_t rtt_us, uint64_t now_us)
{
	note_rtt(g, least(most(rtt_us, 1), GAUGE_RTT_MOST), now_us);
}

/* --- ACKs ------------------------------------------------------------------------ */

/* Bytes that came ahead of the rate, since they did. */
static void note_burst(struct gauge *g, uint64_t newly, uint64_t now_us)
{
	uint64_t due = gauge_moved(g, least(now_us - g->epoch_us, GAUGE_RTT_MOST));
	uint64_t got = g->acked - g->epoch_acked;

	if (got - newly <= due) {
		g->epoch_us = now_us;
		g->epoch_acked = g->acked - newly;
		due = 0;
		got = newly;
	}
	if (got > due)
		g->round.burst = most(g->round.burst, least(got - due, GAUGE_BYTES_MOST));
}

/* One sample of both, by the last mark that is acknowledged now. */
static void measure(struct gauge *g, const struct gauge_mark *m, uint64_t now_us)
{
	uint64_t rtt = least(most(now_us - m->at_us, 1), GAUGE_RTT_MOST);
	uint64_t span = most(m->at_us - m->first_us, now_us - m->acked_us);
	uint64_t bytes = least(g->acked - m->acked, GAUGE_BYTES_MOST);

	g->first_us = m->at_us;
	note_rtt(g, rtt, now_us);
	g->round.rtt_us = g->round.rtt_us ? least(g->round.rtt_us, rtt) : rtt;
	/* So few bytes can have had no queue of their own. */
	if (m->offset - m->acked <= gauge_moved(g, g->min_rtt_us) / 4 * 3)
		gauge_refresh(g, now_us);
	if (span && span >= g->min_rtt_us / 10 * 9)
		note_rate(g, least(bytes * S / span, GAUGE_RATE_MOST));
}

static bool end_round(struct gauge *g, uint64_t now_us)
{
	bool tells = g->round.is_full && g->round.rate;

	g->burst = g->burst - g->burst / 4 + g->round.burst / 4;
	note_mean(g, now_us);
	if (tells) {
		age_rates(g, least(now_us - g->round_us, GAUGE_RTT_MOST));
		g->before_rate = g->last.rate;
		g->last = g->round;
	}
	begin_round(g, now_us);
	return tells;
}

bool gauge_acked(struct gauge *g, uint64_t offset, uint64_t now_us)
{
	uint64_t newly = offset - g->acked;
	struct gauge_mark m;
	bool any = false;

	g->acked = offset;
	while (g->count && mark_at(g, 0)->offset <= offset) {
		m = *mark_at(g, 0);
		any = true;
		g->first = (g->first + 1) % GAUGE_MARKS;
		g->count--;
	}
	if (any)
		measure(g, &m, now_us);
	g->acked_us = now_us;
	note_burst(g, newly, now_us);
	return any && offset >= g->round_end && end_round(g, now_us);
}
