/*
 * mux/path.c and mux/gauge.c on a link made of numbers: a sender with bulk
 * without end, the buffer of its kernel, a queue before a link of some rate, a
 * delay each way, a receiver that ACKs as gotunnel-protocol(7) says. Time is
 * simulated, so that what is asserted here is exact, and the same on every machine.
 *
 *	source -> path -> kernel -> [ queue ] -> rate -> delay -> receiver
 *	                   others -> [       ]                       |
 *	             ^------------------- delay <---------- ACK -----'
 *
 *	sim_path [-v]		-v: a line for each case
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mux/path.h"
#include "mux/session.h"

typedef uint64_t ns;

#define US UINT64_C(1000)
#define MS (1000 * US)
#define SEC (1000 * MS)
#define NEVER UINT64_MAX

enum { SAMPLES = 4000, PACKET_MOST = 64 * 1024, PACKET_LEAST = 1460 };

enum noise {
	CALM,
	JITTER,		/* each packet has its own delay, in order */
	WANDER,		/* the delay walks about */
	STALLS,		/* nothing for a while, then all at once */
};

struct world {
	const char *name;
	double rate;		/* bytes a second */
	ns rtt;
	ns queue;		/* the most that waits before the link, in time; a full
				 * one makes the kernel wait, as a relay does */
	enum noise noise;
	ns amount;		/* of it */
	ns foreign_from, foreign_to; /* when another flow keeps the queue full */
	ns slow_from, slow_to;	/* when the link has half its rate */
	bool many;		/* streams: frames are those of several */
	bool hurries;		/* somebody does, all the time */
};

/* What one run came to. */
struct result {
	double used;		/* of the link, of what was there */
	double shared;		/* of the link, beside the foreign flow */
	double p50_ms, p99_ms;	/* what a keystroke waits for, alone */
	double opened_ms;	/* until half the rate was reached */
};

struct packet {
	ns at;			/* when it reaches what is next */
	uint64_t bytes;
	bool is_ours;
};

/* First in, first out. */
struct line {
	struct packet *p;
	size_t head, tail, cap;
	uint64_t bytes;
};

static const struct world *w;
static struct path path;
static struct line kernel, queue, way, acks;
static ns now, free_at, sample_at;
static uint64_t packet_size, received, told, rng;
static ns told_at;
static uint64_t used_bytes, shared_bytes;
static double waits[SAMPLES];
static unsigned wait_count;
static ns opened_at, last_way, last_ack, wander, stall_until, stall_next;
static bool foreign_turn, verbose;
static unsigned failed, checked;

static double chance(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (double)(rng >> 11) / (double)(UINT64_C(1) << 53);
}

static void push(struct line *l, ns at, uint64_t bytes, bool is_ours)
{
	if (l->tail - l->head == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 1024;
		struct packet *p = malloc(cap * sizeof *p);

		if (!p)
			abort();
		for (size_t i = l->head; i < l->tail; i++)
			p[i % cap] = l->p[i % l->cap];
		free(l->p);
		l->p = p;
		l->cap = cap;
	}
	l->p[l->tail++ % l->cap] = (struct packet){ at, bytes, is_ours };
	l->bytes += bytes;
}

static struct packet *first(const struct line *l)
{
	return l->head == l->tail ? NULL : &l->p[l->head % l->cap];
}

static struct packet pull(struct line *l)
{
	struct packet p = *first(l);

	l->head++;
	l->bytes -= p.bytes;
	return p;
}

static ns head_at(const struct line *l)
{
	return first(l) ? first(l)->at : NEVER;
}

static bool is_foreign(ns at)
{
	return at >= w->foreign_from && at < w->foreign_to;
}

static double rate_now(void)
{
	return now >= w->slow_from && now < w->slow_to ? w->rate / 2 : w->rate;
}

static ns time_of(uint64_t bytes)
{
	return (ns)((double)bytes / rate_now() * 1e9);
}

/* How much longer than half the round trip it takes now. */
static ns noise(void)
{
	switch (w->noise) {
	case JITTER:
		return (ns)(chance() * (double)w->amount);
	case WANDER:
		wander = (ns)((double)wander + (chance() - 0.5) * (double)w->amount / 10);
		if ((int64_t)wander < 0)
			wander = 0;
		return wander = wander > w->amount ? w->amount : wander;
	case STALLS:
		if (now >= stall_next) {
			stall_until = now + (ns)(chance() * (double)w->amount);
			stall_next = now + 4 * w->amount + (ns)(chance() * 4 * (double)w->amount);
		}
		return stall_until > now ? stall_until - now : 0;
	default:
		return 0;
	}
}

/* --- the parts ----------------------------------------------------------------------- */

static void compose(void)
{
	if (w->hurries)
		path_hurry(&path, now / US);
	while (kernel.bytes < path_lowat(&path) && path_open(&path)) {
		uint64_t left = path_frame(&path, !w->many);

		path_sent(&path, left, now / US);
		while (left) {
			uint64_t n = left < packet_size ? left : packet_size;

			push(&kernel, now, n, true);
			left -= n;
		}
	}
	path_waits(&path);
}

static bool has_room(void)
{
	return (double)(queue.bytes + packet_size) <= (double)w->queue / 1e9 * rate_now() ||
		!first(&queue);
}

static void serve(void)
{
	if (first(&queue) && free_at == NEVER)
		free_at = now + time_of(first(&queue)->bytes);
}

/* What waits is let in, in turns. */
static void fill(void)
{
	while (has_room()) {
		bool foreign = is_foreign(now) && (foreign_turn || !first(&kernel));

		if (foreign)
			push(&queue, now, packet_size, false);
		else if (first(&kernel))
			push(&queue, now, pull(&kernel).bytes, true);
		else
			break;
		foreign_turn = !foreign;
	}
	serve();
	compose();
}

static void leave(void)
{
	struct packet p = pull(&queue);

	free_at = NEVER;
	if (p.is_ours) {
		ns at = now + w->rtt / 2 + noise();

		last_way = at > last_way ? at : last_way;
		push(&way, last_way, p.bytes, true);
	}
	fill();
	fill(); /* What was composed goes in, too. */
}

static void arrive(ns counts_from)
{
	uint64_t n = pull(&way).bytes;
	ns at;

	received += n;
	if (now >= counts_from && !is_foreign(now))
		used_bytes += n;
	if (is_foreign(now) && now >= w->foreign_from + (w->foreign_to - w->foreign_from) / 5)
		shared_bytes += n;
	if (received - told < SESSION_ACK_EVERY &&
		(received - told < SESSION_ACK_LEAST || now - told_at < SESSION_ACK_US * US))
		return;
	told = received;
	told_at = now;
	at = now + w->rtt / 2 + noise();
	last_ack = at > last_ack ? at : last_ack;
	push(&acks, last_ack, told, true);
}

static void hear(void)
{
	path_acked(&path, pull(&acks).bytes, now / US);
	if (!opened_at && (double)path.gauge.rate > w->rate / 2)
		opened_at = now;
	compose();
	fill();
}

static void sample(ns counts_from, ns every)
{
	sample_at += every;
	if (now < counts_from || is_foreign(now) || wait_count == SAMPLES)
		return;
	waits[wait_count++] = (double)(time_of(queue.bytes) + time_of(kernel.bytes)) / 1e6;
}

static ns least(ns a, ns b)
{
	return a < b ? a : b;
}

static ns most(ns a, ns b)
{
	return a > b ? a : b;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void forget(struct line *l)
{
	free(l->p);
	*l = (struct line){ 0 };
}

static void reset(void)
{
	path_init(&path);
	rng = 88172645463325252;
	now = SEC;
	free_at = NEVER;
	received = told = told_at = used_bytes = shared_bytes = 0;
	wait_count = 0;
	opened_at = last_way = last_ack = wander = stall_until = stall_next = 0;
	packet_size = (uint64_t)(w->rate * 50e-6);
	if (packet_size < PACKET_LEAST)
		packet_size = PACKET_LEAST;
	if (packet_size > PACKET_MOST)
		packet_size = PACKET_MOST;
}

/* Runs the world from 1 s on for `length`, and counts from `counts_from` on. */
static struct result run(const struct world *world, ns length, ns counts_from)
{
	ns end = SEC + length, every, alone = end - counts_from;
	struct result r;

	w = world;
	reset();
	every = (end - counts_from) / SAMPLES + 1;
	sample_at = counts_from;
	gauge_heard(&path.gauge, world->rtt / US, now / US); /* As after a login. */
	fill();
	fill();
	for (;;) {
		ns next = least(least(free_at, head_at(&way)), least(head_at(&acks), sample_at));

		if (next >= end)
			break;
		now = next;
		if (now == free_at)
			leave();
		else if (now == head_at(&way))
			arrive(counts_from);
		else if (now == head_at(&acks))
			hear();
		else
			sample(counts_from, every);
	}
	qsort(waits, wait_count, sizeof *waits, by_size);
	r.used = (double)used_bytes / (w->rate / 1e9 *
		((double)alone - (double)(w->slow_to - w->slow_from) / 2));
	r.shared = w->foreign_to ? (double)shared_bytes /
		(w->rate / 1e9 * (double)(w->foreign_to - w->foreign_from) * 0.8) : 0;
	r.p50_ms = waits[wait_count / 2];
	r.p99_ms = waits[wait_count * 99 / 100];
	r.opened_ms = opened_at ? (double)(opened_at - SEC) / 1e6 : -1;
	path_fini(&path);
	forget(&kernel);
	forget(&queue);
	forget(&way);
	forget(&acks);
	return r;
}

/* --- what is wanted -------------------------------------------------------------------- */

static void check(bool ok, const char *what, const struct result *r)
{
	checked++;
	if (ok && !verbose)
		return;
	printf("%s %-24s %9.3f MB/s %9.3f ms: used %.3f shared %.3f wait %.2f / %.2f ms, "
		"half after %.1f ms%s%s\n",
		ok ? "ok  " : "FAIL", w->name, w->rate / 1e6, (double)w->rtt / 1e6, r->used,
		r->shared, r->p50_ms, r->p99_ms, r->opened_ms, ok ? "" : ": ", ok ? "" : what);
	failed += !ok;
}

/* A long path has a longer queue. */
static double wait_limit(double rate, ns rtt)
{
	double own = rate >= 100e6 ? 5 : rate >= 10e6 ? 10 : rate >= 1e6 ? 40 : 320;
	double part = (double)rtt / 1e6 / 8;

	return part > own ? part : own;
}

static const double rates[] = { 100e3, 300e3, 1e6, 3e6, 10e6, 30e6, 100e6, 300e6, 1e9, 3e9, 10e9 };
static const ns trips[] = { 20 * US, 100 * US, MS, 5 * MS, 20 * MS, 50 * MS, 150 * MS, 500 * MS };

enum { RATES = sizeof rates / sizeof rates[0], TRIPS = sizeof trips / sizeof trips[0] };

/* What is on the way at most: no budget of a session goes further. */
static bool is_too_fat(double rate, ns rtt, double most_bytes)
{
	return (double)rtt * rate / 1e9 > most_bytes;
}

static void sweep(const char *name, bool many, bool hurries)
{
	for (unsigned i = 0; i < RATES; i++) {
		for (unsigned k = 0; k < TRIPS; k++) {
			struct world world = { .name = name, .rate = rates[i], .rtt = trips[k],
				.queue = 2 * SEC, .many = many, .hurries = hurries };
			/* Up to where it is full speed, then as long as the rest takes. */
			ns warm = SEC + 40 * trips[k] + SEC;
			ns length = warm + (rates[i] > 1e9 ? SEC : 6 * SEC);
			struct result r;

			if (is_too_fat(rates[i], trips[k], 1e9))
				continue;
			r = run(&world, length, warm);
			check(r.used >= 0.95, "the link is not used", &r);
			check(r.p50_ms <= wait_limit(rates[i], trips[k]), "the queue is long", &r);
		}
	}
}

/* A download of many minutes lets nobody see the empty path: its own queue must not
 * be taken for a part of it, again and again. */
static void check_long(double rate, ns rtt, bool hurries)
{
	struct world world = { .name = "long", .rate = rate, .rtt = rtt, .queue = 2 * SEC,
		.hurries = hurries };
	struct result r = run(&world, 45 * SEC, 15 * SEC);

	check(r.used >= 0.95, "the link is not used", &r);
	check(r.p99_ms <= 1e6 / rate * 1e3, "the queue grows", &r);
}

static void check_noise(double rate, ns rtt, ns amount)
{
	static const char *names[] = { [JITTER] = "jitter", [WANDER] = "wander",
		[STALLS] = "stalls" };

	for (enum noise n = JITTER; n <= STALLS; n++) {
		struct world world = { .name = names[n], .rate = rate, .rtt = rtt, .queue = 2 * SEC,
			.noise = n, .amount = amount };
		struct result r = run(&world, 12 * SEC + 80 * rtt, 4 * SEC + 40 * rtt);

		check(r.used >= 0.5, "it collapses", &r);
	}
}

/* Another flow that fills the queue for 20 s, and is gone again. */
static void check_foreign(double rate, ns rtt)
{
	struct world world = { .name = "foreign", .rate = rate, .rtt = rtt,
		.queue = most(20 * MS, (ns)(100e3 / rate * 1e9)), .foreign_from = 5 * SEC,
		.foreign_to = 25 * SEC };
	struct result r = run(&world, 44 * SEC, 30 * SEC);

	check(r.shared >= 0.4, "that is no fair share", &r);
	check(r.used >= 0.9, "the link is not used afterwards", &r);
	check(r.p50_ms <= 1.5 * wait_limit(rate, rtt), "the queue stays", &r);
}

static void check_slower(double rate, ns rtt)
{
	struct world world = { .name = "slower", .rate = rate, .rtt = rtt, .queue = 2 * SEC,
		.slow_from = 5 * SEC, .slow_to = 15 * SEC };
	struct result r = run(&world, 24 * SEC, 3 * SEC);

	check(r.used >= 0.93, "the link is not used", &r);
	check(r.p50_ms <= 1.5 * wait_limit(rate / 2, rtt), "the queue stays", &r);
}

/* The same as in the sweep, of what is slow to be simulated only a part. */
static void troubles(void)
{
	for (unsigned i = 2; i < RATES && rates[i] <= 1e9; i++) {
		for (unsigned k = 0; k < TRIPS; k++) {
			if (is_too_fat(rates[i], trips[k], 200e6))
				continue;
			check_noise(rates[i], trips[k], trips[k] / 4);
			check_noise(rates[i], trips[k], 20 * MS);
			if (trips[k] > 150 * MS)
				continue;
			check_foreign(rates[i], trips[k]);
			check_slower(rates[i], trips[k]);
		}
	}
}

int main(int argc, char **argv)
{
	verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
	sweep("calm", false, false);
	sweep("calm, many", true, false);
	sweep("calm, in a hurry", false, true);
	for (unsigned i = 7; i <= 9; i++) {
		for (unsigned k = 0; k < 2; k++) {
			check_long(rates[i], trips[k], false);
			check_long(rates[i], trips[k], true);
		}
	}
	troubles();
	printf("%u of %u as it should be\n", checked - failed, checked);
	return failed != 0;
}
