#include "mux/path.h"

#define S UINT64_C(1000000)

enum {
	ALLOWANCE_US = 2500,
	ALLOWANCE_SHORT = 512 * 1024,	/* bytes, on the shortest path, */
	ALLOWANCE_HURRY = 128 * 1024,	/* and while somebody is in a hurry */
	SHORT_US = 1000,
	HURRY_US = 500 * 1000,
	TURN_US = 500,			/* how long a frame takes, of several streams */
	ALONE_US = 1000,		/* and of one alone */
	TEST_US = 4 * 1000 * 1000,	/* while shared */
	HIGH_TESTS = 3,			/* rounds with too long a queue */
	FLAT_MOST = 3,
	ASKS_MOST = 8,			/* in a row */
	ASK_FRAMES = 8,			/* to the cap meanwhile, at least */
	SETTLES = 4,			/* rounds until a new cap is judged */
};

/* No sum overflows with it, as with what is measured. */
#define CAP_MOST GAUGE_BYTES_MOST

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void path_init(struct path *p)
{
	*p = (struct path){ .cap = PATH_CAP_FIRST };
	gauge_init(&p->gauge);
}

void path_fini(struct path *p)
{
	gauge_fini(&p->gauge);
}

/* As of the last time when something was sent. */
static bool is_in_hurry(const struct path *p)
{
	return p->gauge.sent_us < p->hurry_us;
}

/* Where the ends are the path, what queues before them makes nothing faster: a few
 * frames are enough. It grows with the round trip, without a step that a queue
 * could lift a path over; from a millisecond on ALLOWANCE_US is less. */
static uint64_t allowance_most(const struct path *p)
{
	uint64_t few = is_in_hurry(p) ? ALLOWANCE_HURRY : ALLOWANCE_SHORT;
	uint64_t rtt = p->gauge.min_rtt_us;

	return most(few * S / p->gauge.rate, rtt * rtt / SHORT_US * ALLOWANCE_US / SHORT_US);
}

static uint64_t allowance(const struct path *p)
{
	const struct gauge *g = &p->gauge;
	uint64_t a = most(ALLOWANCE_US, g->min_rtt_us / 10), own;

	if (!g->rate)
		return a;
	/* What comes in bursts looks like a queue and is none. */
	own = (g->burst + path_frame(p, false)) * S / g->rate;
	a = most(a, least(own, GAUGE_RTT_MOST));
	return least(a, allowance_most(p));
}

/* --- the cap --------------------------------------------------------------------- */

static uint64_t target(const struct path *p)
{
	return most(PATH_CAP_LEAST, gauge_moved(&p->gauge, p->gauge.min_rtt_us + allowance(p)));
}

/* Whether what a change of the cap does is to be seen: the first round after it
 * has still some of what was before. */
static bool has_settled(struct path *p)
{
	if (++p->rounds == 1)
		gauge_restart_mean(&p->gauge);
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
	const struct gauge *g = &p->gauge;
	uint64_t slack = most(allowance(p), g->min_rtt_us / 4);
	bool queues = g->last.rtt_us > g->min_rtt_us + slack;

	if (grew(g->last.rate, p->base_rate, 25)) {
		p->base_rate = g->last.rate;
		p->flat = 0;
		return;
	}
	if (++p->flat == FLAT_MOST || (queues && !grew(g->last.rate, g->before_rate, 25)))
		be_steady(p);
}

/* More than the cap explains, with the peer's ACKs as coarse as they may be. */
static bool has_queue(const struct path *p)
{
	const struct gauge *g = &p->gauge;
	uint64_t rate = most(g->rate, 1), frame = path_frame(p, false);
	uint64_t own = (PATH_CAP_LEAST + frame) * S / rate / 4 * 5;
	uint64_t a = most(ALLOWANCE_US, g->min_rtt_us / 10);

	a = most(a, (PATH_FRAME_LEAST + frame) * S / rate);
	return g->last.rtt_us > most(g->min_rtt_us + 2 * a, own);
}

/* Somebody else's queue is no reason to give way for ever. Some more is tried,
 * and kept if the rate follows. */
static void be_shared(struct path *p, uint64_t cap, uint64_t now_us)
{
	p->phase = PATH_SHARED;
	p->cap = least(cap / 4 * 5, CAP_MOST);
	p->is_trying = true;
	p->rounds = p->low = 0;
	p->next_us = now_us + most(TEST_US, 40 * p->gauge.last.rtt_us);
}

/* Whose queue is it? With less in flight ours gets shorter and nothing else
 * changes; if it is somebody else's, or none, the rate falls. */
static void test(struct path *p, uint64_t cap, uint64_t now_us)
{
	p->base_rate = gauge_mean_rate(&p->gauge);
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
	p->ask_rtt_us = p->gauge.min_rtt_us;
	p->cap = most(PATH_CAP_LEAST, gauge_moved(&p->gauge, p->gauge.min_rtt_us) / 4 * quarters);
}

static void steady(struct path *p, uint64_t now_us)
{
	const struct gauge *g = &p->gauge;
	bool calm = g->last.is_capped && g->last.rtt_us < g->min_rtt_us + allowance(p) * 2 / 5;

	p->high = has_queue(p) ? p->high + 1 : 0;
	if (p->high == 1)
		gauge_restart_mean(&p->gauge); /* What the test is compared with. */
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
	if (gauge_is_stale(g, now_us))
		ask(p, 3);
}

static void asking(struct path *p, uint64_t now_us)
{
	const struct gauge *g = &p->gauge;

	if (++p->rounds < 2)
		return; /* What was sent before is only gone now. */
	if (g->last.rtt_us + most(ALLOWANCE_US / 8, g->min_rtt_us / 16) < p->ask_rtt_us &&
		p->flat++ < ASKS_MOST) {
		ask(p, 2);
		return;
	}
	gauge_refresh(&p->gauge, now_us);
	be_steady(p);
}

static void testing(struct path *p, uint64_t now_us)
{
	if (!has_settled(p))
		return;
	if (gauge_mean_rate(&p->gauge) < p->base_rate / 8 * 7) {
		be_shared(p, p->test_cap, now_us);
		return;
	}
	gauge_renew_rate(&p->gauge);
	if (p->cap <= target(p))
		be_steady(p);
	else
		test(p, most(p->cap / 2, target(p)), now_us);
}

static void shared(struct path *p, uint64_t now_us)
{
	gauge_renew_rate(&p->gauge);
	p->low = has_queue(p) ? 0 : p->low + 1;
	if (now_us >= p->next_us || p->low == 2) {
		test(p, p->cap / 4 * 3, now_us);
		return;
	}
	if (!has_settled(p))
		return;
	if (p->is_trying && !grew(gauge_mean_rate(&p->gauge), p->base_rate, 8)) {
		p->cap = p->cap / 5 * 4;
		p->is_trying = false;
	} else {
		p->cap = least(p->cap / 4 * 5, CAP_MOST);
		p->is_trying = true;
		p->base_rate = gauge_mean_rate(&p->gauge);
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

/* --- what the session tells and asks --------------------------------------------------- */

void path_sent(struct path *p, uint64_t n, uint64_t now_us)
{
	gauge_sent(&p->gauge, n, p->cap, now_us);
}

void path_acked(struct path *p, uint64_t offset, uint64_t now_us)
{
	if (p->phase == PATH_OPENING && p->gauge.round.is_capped)
		p->cap = least(p->cap + (offset - p->gauge.acked), CAP_MOST);
	if (gauge_acked(&p->gauge, offset, now_us))
		decide(p, now_us);
}

bool path_is_open(const struct path *p)
{
	/* What is not measured is not held back. */
	return gauge_flight(&p->gauge) < p->cap || !p->gauge.marks;
}

uint64_t path_open(struct path *p)
{
	uint64_t flight = gauge_flight(&p->gauge);

	if (path_is_open(p))
		return flight < p->cap ? p->cap - flight : PATH_FRAME_LEAST;
	gauge_full(&p->gauge, true);
	return 0;
}

void path_waits(struct path *p)
{
	gauge_full(&p->gauge, false);
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

	if (!p->gauge.rate)
		return PATH_FRAME_UNKNOWN;
	/* Frames as long as the cap would be the queue that is asked about. */
	if (p->phase == PATH_ASKING)
		high = within(p->cap / ASK_FRAMES, PATH_FRAME_LEAST, high);
	return within(gauge_moved(&p->gauge, is_alone ? ALONE_US : TURN_US), PATH_FRAME_LEAST, high);
}

uint32_t path_lowat(const struct path *p)
{
	if (!p->gauge.rate)
		return PATH_LOWAT_MOST;
	return within(gauge_moved(&p->gauge, ALONE_US), PATH_LOWAT_LEAST, PATH_LOWAT_MOST);
}
