#include "mux/path.h"

#include <stdlib.h>

#define S UINT64_C(1000000)

enum {
	ALLOWANCE_US = 2500,
	ALLOWANCE_SHORT = 512 * 1024,	/* bytes, on the shortest path, */
	ALLOWANCE_HURRY = 128 * 1024,	/* and while somebody is in a hurry */
	SHORT_US = 1000,
	HURRY_US = 500 * 1000,
	TURN_US = 500,			/* how long a frame takes, of several streams */
	ALONE_US = 1000,		/* and of one alone */
	RATE_US = 100 * 1000,		/* a tenth of the window of the rate */
	ASK_US = 5 * 1000 * 1000,	/* half the window of the round trip */
	TEST_US = 4 * 1000 * 1000,	/* while shared */
	HIGH_TESTS = 3,			/* rounds with too long a queue */
	FLAT_MOST = 3,
	ASKS_MOST = 8,			/* in a row */
	SETTLES = 4,			/* rounds until a new cap is judged */
	SPACES = 64,			/* marks to what is in flight */
	REST_US = 1000 * 1000,
};

/* No sum of these overflows: see scale(). */
#define RTT_MOST (UINT64_C(60) * S)
#define RATE_MOST (UINT64_C(1) << 40)
#define CAP_MOST (UINT64_C(1) << 40)

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* Bytes that `rate` moves in us: below 2^40 * 2^26, without the overflow. */
static uint64_t moved(uint64_t rate, uint64_t us)
{
	return rate / S * us + rate % S * us / S;
}

void path_init(struct path *p)
{
	*p = (struct path){ .cap = PATH_CAP_FIRST };
}

void path_fini(struct path *p)
{
	free(p->marks);
	p->marks = NULL;
	p->first = p->count = 0;
}

uint64_t path_stuck_us(const struct path *p)
{
	return p->put - p->acked >= PATH_CAP_LEAST ? p->acked_us : 0;
}

void path_rest(struct path *p, uint64_t now_us)
{
	if (p->marks && now_us - p->sent_us >= REST_US && p->put - p->acked <= PATH_QUIET)
		path_fini(p);
}

/* As of the last time when something was sent. */
static bool is_in_hurry(const struct path *p)
{
	return p->sent_us < p->hurry_us;
}

/* --- marks ---------------------------------------------------------------------- */

static struct path_mark *mark_at(const struct path *p, unsigned i)
{
	return &p->marks[(p->first + i) % PATH_MARKS];
}

static void begin_round(struct path *p, uint64_t now_us)
{
	p->round_end = p->put;
	p->round_us = now_us;
	p->round_rtt_us = p->round_rate = p->round_burst = 0;
	p->round_acked = p->acked;
	p->is_full = p->is_capped = false;
}

/* So little is on its way that nothing can be learned from what was. */
static void begin_flight(struct path *p, uint64_t now_us)
{
	p->first = p->count = 0;
	p->acked_us = p->first_us = now_us;
	p->epoch_us = now_us;
	p->epoch_acked = p->acked;
	begin_round(p, now_us);
}

void path_sent(struct path *p, uint64_t n, uint64_t now_us)
{
	uint64_t flight = p->put - p->acked, since = 0;

	if (flight <= least(PATH_QUIET, p->cap / 4))
		begin_flight(p, now_us);
	p->put += n;
	p->sent_us = now_us;
	if (!p->marks && flight + n > least(PATH_QUIET, p->cap / 4))
		p->marks = calloc(PATH_MARKS, sizeof *p->marks);
	if (!p->marks || p->count == PATH_MARKS)
		return; /* Without a mark there is one sample less. */
	if (p->count)
		since = mark_at(p, p->count - 1)->offset;
	if (p->count && p->put - since < flight / SPACES)
		return;
	*mark_at(p, p->count++) = (struct path_mark){ p->put, now_us, p->acked, p->acked_us,
		p->first_us };
}

/* --- filters --------------------------------------------------------------------- */

static void sum_up_rates(struct path *p)
{
	p->rate = 0;
	for (unsigned i = 0; i < PATH_RATES; i++)
		p->rate = most(p->rate, p->rates[i]);
}

/* What the last two rounds say is all that counts. */
static void renew_rate(struct path *p)
{
	for (unsigned i = 0; i < PATH_RATES; i++)
		p->rates[i] = 0;
	p->rates[p->rate_at] = most(p->round_rate, p->last_rate);
	sum_up_rates(p);
}

/* Only where the cap was the limit: a source that pauses makes no path slower. */
static void age_rates(struct path *p, uint64_t us)
{
	uint64_t tenth = most(RATE_US, p->min_rtt_us);

	p->rate_aged_us += us;
	for (unsigned i = 0; p->rate_aged_us >= tenth && i < PATH_RATES; i++) {
		p->rate_aged_us -= tenth;
		p->rate_at = (p->rate_at + 1) % PATH_RATES;
		p->rates[p->rate_at] = 0;
	}
	if (p->rate_aged_us >= tenth)
		p->rate_aged_us = 0;
	p->rates[p->rate_at] = most(p->rates[p->rate_at], p->round_rate);
	sum_up_rates(p);
}

static void note_rate(struct path *p, uint64_t rate)
{
	p->round_rate = most(p->round_rate, rate);
	p->rates[p->rate_at] = most(p->rates[p->rate_at], rate);
	p->rate = most(p->rate, rate);
}

/* Where the ends are the path, what queues before them makes nothing faster: a few
 * frames are enough. It grows with the round trip, without a step that a queue
 * could lift a path over; from a millisecond on ALLOWANCE_US is less. */
static uint64_t allowance_most(const struct path *p)
{
	uint64_t few = is_in_hurry(p) ? ALLOWANCE_HURRY : ALLOWANCE_SHORT;

	return most(few * S / p->rate, p->min_rtt_us * p->min_rtt_us / SHORT_US * ALLOWANCE_US / SHORT_US);
}

static uint64_t allowance(const struct path *p)
{
	uint64_t a = most(ALLOWANCE_US, p->min_rtt_us / 10), own;

	if (!p->rate)
		return a;
	/* What comes in bursts looks like a queue and is none. */
	own = (p->burst + path_frame(p, false)) * S / p->rate;
	a = most(a, least(own, RTT_MOST));
	return least(a, allowance_most(p));
}

/* As long as it is known how long the empty path is: a question has its price. */
static uint64_t memory(const struct path *p)
{
	return most(ASK_US, 40 * p->min_rtt_us);
}

static void note_rtt(struct path *p, uint64_t rtt, uint64_t now_us)
{
	if (now_us - p->rtts_us >= memory(p)) {
		/* Where the least cap is a queue, it is no longer path that is seen. */
		if (!p->rtts[0] || moved(p->rate, p->rtts[1]) > 2 * PATH_CAP_LEAST)
			p->rtts[0] = p->rtts[1];
		p->rtts[1] = 0;
		p->rtts_us = now_us;
	}
	p->rtts[1] = p->rtts[1] ? least(p->rtts[1], rtt) : rtt;
	p->min_rtt_us = p->rtts[0] ? least(p->rtts[0], p->rtts[1]) : p->rtts[1];
}

void path_heard(struct path *p, uint64_t rtt_us, uint64_t now_us)
{
	note_rtt(p, least(most(rtt_us, 1), RTT_MOST), now_us);
}

/* Bytes that came ahead of the rate, since they did. */
static void note_burst(struct path *p, uint64_t newly, uint64_t now_us)
{
	uint64_t due = moved(p->rate, least(now_us - p->epoch_us, RTT_MOST));
	uint64_t got = p->acked - p->epoch_acked;

	if (got - newly <= due) {
		p->epoch_us = now_us;
		p->epoch_acked = p->acked - newly;
		due = 0;
		got = newly;
	}
	if (got > due)
		p->round_burst = most(p->round_burst, least(got - due, CAP_MOST));
}

/* --- the cap --------------------------------------------------------------------- */

static uint64_t target(const struct path *p)
{
	return most(PATH_CAP_LEAST, moved(p->rate, p->min_rtt_us + allowance(p)));
}

/* What rounds moved, whatever their samples say, the last four above all. */
static void note_mean(struct path *p, uint64_t now_us)
{
	p->mean_bytes -= p->mean_bytes / 4;
	p->mean_us -= p->mean_us / 4;
	p->mean_bytes += least(p->acked - p->round_acked, CAP_MOST);
	p->mean_us += least(now_us - p->round_us, RTT_MOST);
}

static uint64_t mean_rate(const struct path *p)
{
	return least(least(p->mean_bytes, CAP_MOST) * S / most(p->mean_us, 1), RATE_MOST);
}

/* Whether what a change of the cap does is to be seen: the first round after it
 * has still some of what was before. */
static bool has_settled(struct path *p)
{
	if (++p->rounds == 1)
		p->mean_bytes = p->mean_us = 0;
	return p->rounds >= SETTLES;
}

static bool grew(uint64_t rate, uint64_t before, unsigned percent)
{
	return rate > before + before / 100 * percent;
}

static void be_steady(struct path *p)
{
	p->phase = PATH_STEADY;
	p->cap = target(p);
	p->high = p->low = p->flat = 0;
}

static void opening(struct path *p)
{
	uint64_t slack = most(allowance(p), p->min_rtt_us / 4);
	bool queues = p->round_rtt_us > p->min_rtt_us + slack;

	if (grew(p->round_rate, p->base_rate, 25)) {
		p->base_rate = p->round_rate;
		p->flat = 0;
		return;
	}
	if (++p->flat == FLAT_MOST || (queues && !grew(p->round_rate, p->last_rate, 25)))
		be_steady(p);
}

/* More than the cap explains, with the peer's ACKs as coarse as they may be. */
static bool has_queue(const struct path *p)
{
	uint64_t rate = most(p->rate, 1), frame = path_frame(p, false);
	uint64_t own = (PATH_CAP_LEAST + frame) * S / rate / 4 * 5;
	uint64_t a = most(ALLOWANCE_US, p->min_rtt_us / 10);

	a = most(a, (PATH_FRAME_LEAST + frame) * S / rate);
	return p->round_rtt_us > most(p->min_rtt_us + 2 * a, own);
}

/* Somebody else's queue is no reason to give way for ever. Some more is tried,
 * and kept if the rate follows. */
static void be_shared(struct path *p, uint64_t cap, uint64_t now_us)
{
	p->phase = PATH_SHARED;
	p->cap = least(cap / 4 * 5, CAP_MOST);
	p->is_trying = true;
	p->rounds = p->low = 0;
	p->next_us = now_us + most(TEST_US, 40 * p->round_rtt_us);
}

/* Whose queue is it? With less in flight ours gets shorter and nothing else
 * changes; if it is somebody else's, or none, the rate falls. */
static void test(struct path *p, uint64_t cap, uint64_t now_us)
{
	p->base_rate = mean_rate(p);
	if (cap < PATH_CAP_LEAST) {
		be_shared(p, p->cap, now_us); /* There is no less: does more help? */
		return;
	}
	p->phase = PATH_TESTING;
	p->rounds = 0;
	p->test_cap = p->cap;
	p->cap = cap;
}

static void ask(struct path *p, unsigned quarters)
{
	p->phase = PATH_ASKING;
	p->rounds = 0;
	p->ask_rtt_us = p->min_rtt_us;
	p->cap = most(PATH_CAP_LEAST, moved(p->rate, p->min_rtt_us) / 4 * quarters);
}

static void steady(struct path *p, uint64_t now_us)
{
	bool calm = p->is_capped && p->round_rtt_us < p->min_rtt_us + allowance(p) * 2 / 5;

	p->high = has_queue(p) ? p->high + 1 : 0;
	if (p->high == 1)
		p->mean_bytes = p->mean_us = 0; /* What the test is compared with. */
	if (p->high == HIGH_TESTS) {
		test(p, p->cap / 4 * 3, now_us);
		return;
	}
	p->low = calm ? p->low + 1 : 0;
	if (p->low == 2) {
		p->low = 0;
		p->cap = least(most(target(p), p->cap / 4 * 5), CAP_MOST);
		return;
	}
	p->cap = target(p);
	/* A path so short needs no better answer. */
	if (p->min_rtt_us > ALLOWANCE_US / 2 && now_us - p->near_us >= memory(p))
		ask(p, 3);
}

static void asking(struct path *p, uint64_t now_us)
{
	if (++p->rounds < 2)
		return; /* What was sent before is only gone now. */
	if (p->round_rtt_us + most(ALLOWANCE_US / 8, p->min_rtt_us / 16) < p->ask_rtt_us &&
		p->flat++ < ASKS_MOST) {
		ask(p, 2);
		return;
	}
	p->near_us = now_us;
	be_steady(p);
}

static void testing(struct path *p, uint64_t now_us)
{
	if (!has_settled(p))
		return;
	if (mean_rate(p) < p->base_rate / 8 * 7) {
		be_shared(p, p->test_cap, now_us);
		return;
	}
	renew_rate(p);
	if (p->cap <= target(p))
		be_steady(p);
	else
		test(p, most(p->cap / 2, target(p)), now_us);
}

static void shared(struct path *p, uint64_t now_us)
{
	renew_rate(p);
	p->low = has_queue(p) ? 0 : p->low + 1;
	if (now_us >= p->next_us || p->low == 2) {
		test(p, p->cap / 4 * 3, now_us);
		return;
	}
	if (!has_settled(p))
		return;
	if (p->is_trying && !grew(mean_rate(p), p->base_rate, 8)) {
		p->cap = p->cap / 5 * 4;
		p->is_trying = false;
	} else {
		p->cap = least(p->cap / 4 * 5, CAP_MOST);
		p->is_trying = true;
		p->base_rate = mean_rate(p);
	}
	p->rounds = 0;
}

static void decide(struct path *p, uint64_t now_us)
{
	switch (p->phase) {
	case PATH_OPENING:
		opening(p);
		break;
	case PATH_STEADY:
		steady(p, now_us);
		break;
	case PATH_ASKING:
		asking(p, now_us);
		break;
	case PATH_TESTING:
		testing(p, now_us);
		break;
	case PATH_SHARED:
		shared(p, now_us);
		break;
	}
}

static void end_round(struct path *p, uint64_t now_us)
{
	p->burst = p->burst - p->burst / 4 + p->round_burst / 4;
	note_mean(p, now_us);
	if (p->is_full && p->round_rate) {
		age_rates(p, least(now_us - p->round_us, RTT_MOST));
		decide(p, now_us);
		p->last_rate = p->round_rate;
	}
	begin_round(p, now_us);
}

/* --- what the session tells and asks --------------------------------------------------- */

/* One sample of both, by the last mark that is acknowledged now. */
static void measure(struct path *p, const struct path_mark *m, uint64_t now_us)
{
	uint64_t rtt = least(most(now_us - m->at_us, 1), RTT_MOST);
	uint64_t span = most(m->at_us - m->first_us, now_us - m->acked_us);
	uint64_t bytes = least(p->acked - m->acked, CAP_MOST);

	p->first_us = m->at_us;
	note_rtt(p, rtt, now_us);
	p->round_rtt_us = p->round_rtt_us ? least(p->round_rtt_us, rtt) : rtt;
	/* So few bytes can have had no queue of their own. */
	if (m->offset - m->acked <= moved(p->rate, p->min_rtt_us) / 4 * 3)
		p->near_us = now_us;
	if (span && span >= p->min_rtt_us / 10 * 9)
		note_rate(p, least(bytes * S / span, RATE_MOST));
}

void path_acked(struct path *p, uint64_t offset, uint64_t now_us)
{
	uint64_t newly = offset - p->acked;
	struct path_mark m;
	bool any = false;

	p->acked = offset;
	while (p->count && mark_at(p, 0)->offset <= offset) {
		m = *mark_at(p, 0);
		any = true;
		p->first = (p->first + 1) % PATH_MARKS;
		p->count--;
	}
	if (any)
		measure(p, &m, now_us);
	p->acked_us = now_us;
	note_burst(p, newly, now_us);
	if (p->phase == PATH_OPENING && p->is_capped)
		p->cap = least(p->cap + newly, CAP_MOST);
	if (any && offset >= p->round_end)
		end_round(p, now_us);
}

bool path_is_open(const struct path *p)
{
	return p->put - p->acked < p->cap || !p->marks;
}

uint64_t path_open(struct path *p)
{
	uint64_t flight = p->put - p->acked;

	if (path_is_open(p))
		return flight < p->cap ? p->cap - flight : PATH_FRAME_LEAST;
	p->is_full = p->is_capped = true;
	return 0;
}

void path_waits(struct path *p)
{
	p->is_full = true;
}

void path_hurry(struct path *p, uint64_t now_us)
{
	p->hurry_us = now_us + HURRY_US;
}

static uint32_t within(uint64_t n, uint32_t low, uint32_t high)
{
	return n < low ? low : n > high ? high : (uint32_t)n;
}

uint32_t path_frame(const struct path *p, bool is_alone)
{
	uint32_t high = is_in_hurry(p) ? PATH_FRAME_HURRY : PATH_FRAME_MOST;

	if (!p->rate)
		return PATH_FRAME_UNKNOWN;
	return within(moved(p->rate, is_alone ? ALONE_US : TURN_US), PATH_FRAME_LEAST, high);
}

uint32_t path_lowat(const struct path *p)
{
	if (!p->rate)
		return PATH_LOWAT_MOST;
	return within(moved(p->rate, ALONE_US), PATH_LOWAT_LEAST, PATH_LOWAT_MOST);
}
