/* 64 bytes there and back: again and again, at a rate, or one a connection. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

static void exchange(struct conn *c, double meant)
{
	static const uint8_t ping[ECHO] = "ping";

	c->begun = meant;
	c->got = 0;
	c->waits = true;
	if (send(c->fd, ping, ECHO, MSG_NOSIGNAL) != ECHO)
		die("send");
}

/* True when the whole answer is there. */
static bool answered(struct conn *c)
{
	ssize_t n = receive(c->fd, trash, ECHO - (size_t)c->got);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0)
		lost("an echo did not come back");
	c->got += (uint64_t)n;
	if (c->got < ECHO)
		return false;
	c->waits = false;
	return true;
}

static struct conn **dial_all(uint16_t port, unsigned count)
{
	struct conn **all = calloc(count, sizeof *all);

	if (!all)
		die("memory");
	for (unsigned i = 0; i < count; i++) {
		all[i] = dial(port, 'E', 0);
		send_head(all[i]);
		watch(all[i], EPOLLIN, EPOLL_CTL_ADD);
	}
	return all;
}

/* Takes answers for at most so long; how many came. */
static unsigned take(double seconds, bool again)
{
	struct timespec limit = { (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) };
	struct epoll_event events[EVENTS];
	int n = epoll_pwait2(epfd, events, EVENTS, &limit, NULL);
	unsigned came = 0;
	double t = now();

	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;

		if (!answered(c))
			continue;
		came++;
		note(t - c->begun);
		if (again)
			exchange(c, t);
	}
	return came;
}

/* What is on its way when time is up belongs to the figures, too. */
static void take_rest(struct conn **all, unsigned count)
{
	double end = now() + STALL_S;

	for (unsigned i = 0; i < count; i++) {
		while (all[i]->waits && now() < end)
			take(0.1, false);
		if (all[i]->waits)
			lost("a stall: an echo had not come back after %d s", STALL_S);
	}
}

static void closed_loop(struct conn **all, unsigned count, double seconds)
{
	double begun = now(), last = begun, t;

	for (unsigned i = 0; i < count; i++)
		exchange(all[i], begun);
	for (t = begun; t - begun < seconds && !stopped; t = now()) {
		if (take(1, true))
			last = t;
		if (t - last > STALL_S)
			lost("a stall: no echo came back for %d s", STALL_S);
	}
	take_rest(all, count);
	print_rate(now() - begun);
}

static struct conn *free_one(struct conn **all, unsigned count, unsigned *turn)
{
	for (unsigned k = 0; k < count; k++) {
		struct conn *c = all[(*turn)++ % count];

		if (!c->waits)
			return c;
	}
	return NULL;
}

/* An exchange that finds every connection taken leaves late, and its wait counts. */
static void paced(struct conn **all, unsigned count, double seconds, double rate)
{
	double begun = now(), due = begun, last = begun, t;
	unsigned turn = 0;
	struct conn *c;

	prctl(PR_SET_TIMERSLACK, 1);
	for (t = begun; t - begun < seconds && !stopped; t = now()) {
		for (; due <= t && (c = free_one(all, count, &turn)); due += 1 / rate)
			exchange(c, due);
		t = now();
		if (take(due > t ? due - t : 0.01, false) || due > t)
			last = t;
		if (t - last > STALL_S)
			lost("a stall: no echo came back for %d s", STALL_S);
	}
	take_rest(all, count);
	for (; due < t; due += 1 / rate)	/* never sent */
		note(now() - due);
	print_rate(now() - begun);
}

void echo(uint16_t port, unsigned count, double seconds, double rate)
{
	struct conn **all = dial_all(port, count);

	if (rate > 0)
		paced(all, count, seconds, rate);
	else
		closed_loop(all, count, seconds);
}

static void knock(uint16_t port)
{
	double t = now();
	struct conn *c = dial(port, 'E', 0);
	uint8_t both[HEAD + ECHO] = { 0 };

	memcpy(both, c->head, HEAD);
	if (send(c->fd, both, sizeof both, MSG_NOSIGNAL) != sizeof both)
		die("send");
	c->begun = t;
	c->waits = true;
	watch(c, EPOLLIN, EPOLL_CTL_ADD);
}

void connects(uint16_t port, unsigned parallel, double seconds)
{
	struct epoll_event events[EVENTS];
	double begun = now(), last = begun;
	unsigned open = 0;

	for (;;) {
		int n;

		for (; open < parallel && now() - begun < seconds; open++)
			knock(port);
		if (!open)
			break;
		n = epoll_wait(epfd, events, EVENTS, 1000);
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (!answered(c))
				continue;
			last = now();
			note(last - c->begun);
			drop(c);
			open--;
		}
		if (now() - last > STALL_S)
			lost("a stall: a connection got no answer for %d s", STALL_S);
	}
	print_rate(now() - begun);
}
