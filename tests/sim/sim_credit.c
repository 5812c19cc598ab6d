/*
 * The receiver's windows over paths that are only numbers: the machines of mux/ for
 * credit, windows and grants on both sides, and between them a link with a rate, a round
 * trip, noise, and processes that take time to wake up. Everything follows from the seed of
 * a case; what failed is printed with its numbers.
 *
 *	source -> [credit] -> link, first in first out -> process -> destination
 *	               <------------ CREDIT <-----------
 *
 * Time is in seconds here and in microseconds for the machines.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mux/data.h"
#include "mux/grant.h"
#include "mux/output.h"

enum {
	STREAMS = 320,
	EVENTS = 1 << 20,
	FRAME = 64 * 1024,
	PIECE = 16 * 1024,
	KERNEL = 192 * 1024,	/* what a destination's kernel takes ahead of its reader */
};

#define KIB (1024.0)
#define MIB (1024.0 * 1024.0)

struct way {
	double rate;		/* bytes a second */
	double trip;		/* seconds there and back */
	double noise;		/* of a round trip, added to it at random */
	double wake;		/* seconds that a process takes to wake up, at most */
};

enum kind { ARRIVES, TAKEN, COMPOSES, HEARS, PUSHES, ANSWERED };

struct event {
	double at;
	unsigned order;		/* of those at the same time */
	enum kind kind;
	unsigned stream;	/* STREAMS: the session */
	uint32_t len;
	bool ends_frame;
	uint64_t limit, consumed;
};

static struct event heap[EVENTS];
static unsigned waiting, ordered;
static struct way path;
static double now, link_free, heard, credit_heard;
static uint64_t rng;

static struct chunk_pool pool;
static struct session rx, tx;
static struct stream in[STREAMS], out[STREAMS];
static struct dest {
	double rate, free;	/* bytes a second, 0: without end; when it has taken all */
	uint64_t stops_after, came, taken;
	bool sends, is_due;
} dests[STREAMS];
static unsigned streams, turn;
static bool composes, pushes;
static unsigned failures, frames_of_credit;

static double chance(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (double)(rng >> 11) / (double)(UINT64_C(1) << 53);
}

static uint64_t us(double t)
{
	return 1000000 + (uint64_t)(t * 1e6);
}

/* --- events in order ---------------------------------------------------------------- */

static bool is_before(const struct event *a, const struct event *b)
{
	return a->at < b->at || (a->at <= b->at && (int)(a->order - b->order) < 0);
}

static void add(struct event e)
{
	unsigned i = waiting++;

	if (waiting == EVENTS) {
		fprintf(stderr, "too many events\n");
		exit(1);
	}
	e.order = ordered++;
	for (; i && is_before(&e, &heap[(i - 1) / 2]); i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = e;
}

static struct event next(void)
{
	struct event first = heap[0], last = heap[--waiting];
	unsigned i = 0, child;

	while ((child = 2 * i + 1) < waiting) {
		if (child + 1 < waiting && is_before(&heap[child + 1], &heap[child]))
			child++;
		if (!is_before(&heap[child], &last))
			break;
		heap[i] = heap[child];
		i = child;
	}
	heap[i] = last;
	return first;
}

/* --- the sender --------------------------------------------------------------------- */

/* One way: half of the round trip, and noise. Order is kept by the caller. */
static double one_way(void)
{
	return path.trip / 2 + path.noise * path.trip * chance() / 2;
}

static void push_soon(double at)
{
	if (!pushes)
		add((struct event){ .at = at, .kind = PUSHES });
	pushes = true;
}

/* A path is no faster than the window lets it be, and frames are as the rate is. */
static uint32_t frame_most(unsigned i)
{
	double rate = (double)in[i].recv.window / (path.trip + path.wake);
	struct path measured = { .gauge.rate = (uint64_t)(rate < path.rate ? rate : path.rate) };
	uint32_t most = path_frame(&measured, streams == 1);

	return most < FRAME ? most : FRAME;
}

static void send_frame(unsigned i, uint64_t room)
{
	uint32_t len = (uint32_t)data_cut(frame_most(i), room, FRAME);

	credit_send_add(&out[i].send, len);
	credit_send_add(&tx.send, len);
	for (uint32_t part; len; len -= part) {
		double at;

		part = len < PIECE ? len : PIECE;
		if (link_free < now)
			link_free = now;
		link_free += part / path.rate;
		at = link_free + one_way();
		if (at > heard)
			at += path.wake * chance();
		heard = at > heard ? at : heard;
		add((struct event){ .at = heard, .kind = ARRIVES, .stream = i, .len = part,
			.ends_frame = part == len });
	}
}

/* Streams take turns while the link has no queue worth the name. */
static void push(void)
{
	double queue = 256 * KIB / path.rate;

	pushes = false;
	for (unsigned idle = 0; idle < streams; turn = (turn + 1) % streams) {
		if (link_free > now + queue) {
			push_soon(link_free - queue / 2);
			return;
		}
		idle++;
		if (!dests[turn].sends || !data_has_credit(&tx, &out[turn]))
			continue;
		send_frame(turn, data_allowance(&tx, &out[turn]));
		idle = 0;
	}
}

static void hear_credit(const struct event *e)
{
	struct credit_send *c = e->stream == STREAMS ? &tx.send : &out[e->stream].send;
	bool opened;

	if (credit_send_update(c, e->limit, e->consumed, &opened)) {
		fprintf(stderr, "credit that cannot be\n");
		exit(1);
	}
	push_soon(now);
}

/* --- the receiver ------------------------------------------------------------------- */

static void compose_soon(void)
{
	if (!composes)
		add((struct event){ .at = now + path.wake * chance() / 4, .kind = COMPOSES });
	composes = true;
}

static void consume(unsigned i, uint32_t len)
{
	struct stream *st = &in[i];

	credit_recv_consume(&st->recv, len);
	credit_recv_consume(&rx.recv, len);
	window_consumed(&st->window, &st->recv);
	dests[i].taken += len;
	if (window_is_due(&st->window, &st->recv) ||
		(credit_recv_open(&rx.recv) < SESSION_FLOOR &&
			st->recv.received - st->recv.told >= SESSION_FLOOR / 2))
		dests[i].is_due = true;
	if (dests[i].is_due || output_session_credit_is_due(&rx))
		compose_soon();
}

/* The destination's kernel takes a piece when its reader has made room. */
static void arrive(const struct event *e)
{
	struct dest *d = &dests[e->stream];
	struct stream *st = &in[e->stream];
	uint64_t echo_us;
	double at;

	credit_recv_take(&st->recv, e->len);
	credit_recv_take(&rx.recv, e->len);
	if (window_arrived(&st->window, &st->recv, e->ends_frame, us(now), &echo_us))
		rtt_add(&rx.rtt, echo_us, us(now));
	d->came += e->len;
	if (d->stops_after && d->came > d->stops_after + KERNEL)
		return;
	if (d->rate <= 0) {
		consume(e->stream, e->len);
		return;
	}
	if (d->free < now)
		d->free = now;
	d->free += e->len / d->rate;
	at = d->free - KERNEL / d->rate;
	if (at <= now)
		consume(e->stream, e->len);
	else
		add((struct event){ .at = at, .kind = TAKEN, .stream = e->stream, .len = e->len });
}

static void say_credit(unsigned i, const struct credit_recv *c)
{
	double at = now + one_way() + path.wake * chance();

	/* In order, too. */
	credit_heard = at > credit_heard ? at : credit_heard;
	add((struct event){ .at = credit_heard, .kind = HEARS, .stream = i, .limit = c->limit,
		.consumed = c->consumed });
	frames_of_credit++;
}

static void check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%.0f kB/s, %.0f us, noise %.1f, wake %.0f us: %s\n", path.rate / 1e3,
		path.trip * 1e6, path.noise, path.wake * 1e6, what);
	failures++;
}

static void compose(void)
{
	composes = false;
	rx.now_us = us(now);
	if (output_session_credit_is_due(&rx)) {
		credit_recv_tell(&rx.recv);
		say_credit(STREAMS, &rx.recv);
	}
	for (unsigned i = 0; i < streams; i++) {
		if (!dests[i].is_due)
			continue;
		dests[i].is_due = false;
		grant_tell(&rx, &in[i]);
		say_credit(i, &in[i].recv);
	}
	check(rx.granted <= SESSION_POOL, "more is granted than there is");
}

/* The answer to a heartbeat, and the next one. */
static void answered(const struct event *e)
{
	double trip = 2 * path.wake * chance() + one_way() + one_way();

	if (link_free > now)
		trip += link_free - now;
	(void)e;
	rtt_add(&rx.rtt, (uint64_t)(trip * 1e6), us(now));
	add((struct event){ .at = now + 1, .kind = ANSWERED });
}

/* --- the world ------------------------------------------------------------------------- */

static void begin(unsigned i, double rate, uint64_t stops_after)
{
	memset(&in[i], 0, sizeof in[i]);
	memset(&out[i], 0, sizeof out[i]);
	in[i].in_final = STATE_NO_FINAL;
	dests[i] = (struct dest){ .rate = rate, .stops_after = stops_after, .sends = true,
		.is_due = true };
	grant_begin(&rx, &in[i]);
	credit_send_init(&out[i].send, rx.config.stream_credit);
	compose_soon();
	push_soon(now);
}

static void world(const struct way *p, unsigned count)
{
	struct session zero = { 0 };

	path = *p;
	streams = count;
	now = link_free = heard = credit_heard = 0;
	waiting = ordered = turn = 0;
	composes = pushes = false;
	frames_of_credit = 0;
	rng = UINT64_C(0x9E3779B97F4A7C15);
	memset(dests, 0, sizeof dests);
	rx = tx = zero;
	rx.config.stream_credit = SESSION_STREAM_CREDIT;
	rx.config.pool = tx.config.pool = &pool;
	credit_recv_init(&rx.recv, SESSION_WINDOW, SESSION_WINDOW);
	credit_send_init(&tx.send, SESSION_WINDOW);
	add((struct event){ .at = 0, .kind = ANSWERED });
}

static void run(double until)
{
	while (waiting && heap[0].at <= until) {
		struct event e = next();

		now = e.at;
		switch (e.kind) {
		case ARRIVES:
			arrive(&e);
			break;
		case TAKEN:
			consume(e.stream, e.len);
			break;
		case COMPOSES:
			compose();
			break;
		case HEARS:
			hear_credit(&e);
			break;
		case PUSHES:
			push();
			break;
		case ANSWERED:
			answered(&e);
			break;
		}
	}
	now = until;
}

static double longest_trip(void)
{
	return path.trip * (1 + path.noise) + 2.25 * path.wake;
}

/* --- one stream -------------------------------------------------------------------------- */

static void one_stream(const struct way *p)
{
	double warm = 2, span = 1, trip, rate, bound;
	uint64_t before;

	world(p, 1);
	trip = longest_trip();
	/* As many round trips as it takes to double a window six times. */
	if (warm < 8 * trip)
		warm = 8 * trip;
	if (span < 10 * trip)
		span = 10 * trip;
	if (span < 64 * KIB * 20 / p->rate)
		span = 64 * KIB * 20 / p->rate;
	begin(0, 0, 0);
	run(warm);
	before = dests[0].taken;
	run(warm + span);
	rate = (double)(dests[0].taken - before) / span;
	bound = 6 * p->rate * trip + 512 * KIB;
	if (getenv("SIM_TELL"))
		printf("| %9.0f | %7.0f | %.1f | %4.0f | %.3f | %8.0f | %8.0f | %u |\n", p->rate / 1e3,
			p->trip * 1e6, p->noise, p->wake * 1e6, rate / p->rate,
			(double)in[0].recv.window / KIB, p->rate * trip / KIB, frames_of_credit);
	if (p->rate * trip < 0.7 * WINDOW_MOST)
		check(rate >= 0.95 * p->rate, "too slow");
	check((double)in[0].recv.window <= bound, "too wide a window");
}

static void one_stream_each(void)
{
	static const double rates[] = { 1e5, 1e6, 1e7, 1e8, 1e9, 1e10 };
	static const double trips[] = { 20e-6, 200e-6, 2e-3, 20e-3, 100e-3, 500e-3 };
	static const double noises[] = { 0, 0.5, 2 };
	static const double wakes[] = { 0, 100e-6, 300e-6 };

	for (unsigned n = 0; n < 3; n++)
		for (unsigned w = 0; w < 3; w++)
			for (unsigned r = 0; r < 6; r++)
				for (unsigned t = 0; t < 6; t++) {
					struct way p = { rates[r], trips[t], noises[n], wakes[w] };

					one_stream(&p);
				}
}

/* --- others ------------------------------------------------------------------------------ */

static const struct way paths[] = {
	{ 1e9, 20e-6, 0.5, 100e-6 },
	{ 1e8, 20e-3, 0.5, 100e-6 },
	{ 1e7, 100e-3, 0.5, 100e-6 },
};

enum { PATHS = sizeof paths / sizeof paths[0] };

/* Who takes slowly what comes quickly gets no wider window for it. */
static void slow_destination(const struct way *p)
{
	world(p, 1);
	begin(0, p->rate / 10, 0);
	run(4);
	if (getenv("SIM_TELL"))
		printf("slow destination: window %.0f KiB\n", (double)in[0].recv.window / KIB);
	check((double)in[0].recv.window <= 4 * p->rate / 10 * longest_trip() + 512 * KIB,
		"a wide window for a slow destination");
	check((double)dests[0].taken >= 0.9 * 4 * p->rate / 10, "a slow destination starves");
}

static double rate_of(unsigned i, double span)
{
	uint64_t before = dests[i].taken;

	run(now + span);
	return (double)(dests[i].taken - before) / span;
}

/* 300 readers stop after a megabyte, at once or one after the other; the next has the
 * rate of the path. What they hold is bounded. */
static void stalled_readers(const struct way *p, bool one_by_one)
{
	enum { STALLED = 300 };
	double span = 4, rate, wanted = p->rate;

	world(p, STALLED + 1);
	/* Each of these had all of the path, and a window for it: the pool is empty, and the
	 * next has what it begins with. */
	if (one_by_one && wanted > 0.75 * SESSION_STREAM_CREDIT / longest_trip())
		wanted = 0.75 * SESSION_STREAM_CREDIT / longest_trip();
	for (unsigned i = 0; i < STALLED; i++) {
		begin(i, 0, 1000 * 1000);
		for (int k = 0; one_by_one && k < 1000 && dests[i].came < 1000 * 1000; k++)
			run(now + 2e6 / p->rate + 4 * p->trip);
	}
	run(now + 1.5 * 300 * 1.5e6 / p->rate + 20 * p->trip);
	begin(STALLED, 0, 0);
	run(now + 4);
	rate = rate_of(STALLED, span);
	if (getenv("SIM_TELL"))
		printf("300 stalled %d, %.0f us: held %.1f MiB, granted %.1f MiB, the 301st %.3f with %.0f KiB\n",
			one_by_one, p->trip * 1e6, (double)credit_recv_pending(&rx.recv) / MIB,
			(double)rx.granted / MIB, rate / p->rate,
			(double)in[STALLED].recv.window / KIB);
	check(credit_recv_pending(&rx.recv) <= SESSION_WINDOW, "more is held than the session's window");
	check(rate >= 0.95 * wanted, one_by_one ? "the 301st is slow beside 300 who stalled in turn" :
		"the 301st is slow beside 300 who stalled");
}

/* Streams that move at once share the path, and their windows the pool. */
static void many_streams(const struct way *p, unsigned count)
{
	double sum = 0, squares = 0, least = 1e12, most = 0;
	uint64_t before[STREAMS];

	world(p, count);
	for (unsigned i = 0; i < count; i++)
		begin(i, 0, 0);
	run(3);
	for (unsigned i = 0; i < count; i++)
		before[i] = dests[i].taken;
	run(8);
	for (unsigned i = 0; i < count; i++) {
		double got = (double)(dests[i].taken - before[i]);

		sum += got;
		squares += got * got;
		least = (double)in[i].recv.window < least ? (double)in[i].recv.window : least;
		most = (double)in[i].recv.window > most ? (double)in[i].recv.window : most;
	}
	if (getenv("SIM_TELL"))
		printf("%u streams, %.0f us: %.3f, Jain %.3f, windows %.0f-%.0f KiB, granted %.1f MiB\n",
			count, p->trip * 1e6, sum / 5 / p->rate, sum * sum / squares / count,
			least / KIB, most / KIB, (double)rx.granted / MIB);
	check(sum / 5 >= 0.95 * p->rate, "many streams are slow");
	check(sum * sum / squares / count >= 0.95, "many streams are not equal");
}

int main(void)
{
	for (unsigned i = 0; i < PATHS; i++) {
		slow_destination(&paths[i]);
		stalled_readers(&paths[i], false);
		stalled_readers(&paths[i], true);
		many_streams(&paths[i], 2);
		many_streams(&paths[i], 16);
		many_streams(&paths[i], 100);
	}
	one_stream_each();
	printf("%u failures\n", failures);
	return failures ? 1 : 0;
}
