/* Bytes in one direction: so many, or for a time; and readers that stop. */
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static struct conn **dial_all(uint16_t port, char kind, unsigned streams, uint64_t size)
{
	struct conn **all = calloc(streams, sizeof *all);

	if (!all)
		die("memory");
	for (unsigned i = 0; i < streams; i++) {
		all[i] = dial(port, kind, size);
		send_head(all[i]);
		watch(all[i], kind == 'U' ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_ADD);
	}
	return all;
}

static double moved(const struct conn *c)
{
	return (double)(c->got + c->sent);
}

static double sum(struct conn **all, unsigned streams)
{
	double bytes = 0;

	for (unsigned i = 0; i < streams; i++)
		bytes += moved(all[i]);
	return bytes;
}

/* True when the stream is done: a download is there, an upload was answered. */
static bool move(struct conn *c, uint32_t events)
{
	uint8_t answer;

	if (c->kind == 'D') {
		read_bulk(c);
		return c->got == c->size;
	}
	if (events & EPOLLOUT) {
		send_bulk(c);
		if (c->sent == c->size)
			watch(c, EPOLLIN, EPOLL_CTL_MOD);
	}
	if (!(events & ~(uint32_t)EPOLLOUT))
		return false;
	if (receive(c->fd, &answer, 1) <= 0)
		lost("a stream ended at %llu of its %llu bytes", (unsigned long long)c->sent,
			(unsigned long long)c->size);
	if (c->sent != c->size)
		lost("an answer before the last byte");
	return true;
}

/* Ends the process when nothing moved for too long. */
static void mind_stall(struct conn **all, unsigned streams, double *seen, double *since)
{
	double bytes = sum(all, streams), t = now();

	if (bytes > *seen || *since <= 0) {
		*seen = bytes;
		*since = t;
	}
	if (t - *since > STALL_S)
		lost("a stall: nothing moved for %d s after %.0f bytes", STALL_S, bytes);
}

void bulk(uint16_t port, char kind, unsigned streams, uint64_t bytes)
{
	double begun = now(), seen = 0, since = 0, took;
	struct conn **all = dial_all(port, kind, streams, bytes / streams);
	struct epoll_event events[EVENTS];
	unsigned open = streams;

	while (open) {
		int n = epoll_wait(epfd, events, EVENTS, 1000);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (!move(c, events[i].events))
				continue;
			watch(c, 0, EPOLL_CTL_DEL);
			open--;
		}
		mind_stall(all, streams, &seen, &since);
		if (now() - begun > LIMIT_S)
			lost("not done after %d s: %.0f bytes", LIMIT_S, sum(all, streams));
	}
	took = now() - begun;
	printf("{\"rate\": %.2f, \"bytes\": %.0f, \"seconds\": %.3f}\n",
		sum(all, streams) / 1e6 / took, sum(all, streams), took);
}

/* Jain's index of what each stream moved since `from`: 1 when all got the same. */
static void print_flow(struct conn **all, const double *from, unsigned streams, double took)
{
	double bytes = 0, squares = 0, least = 1e300, most = 0;

	for (unsigned i = 0; i < streams; i++) {
		double x = moved(all[i]) - from[i];

		bytes += x;
		squares += x * x;
		least = x < least ? x : least;
		most = x > most ? x : most;
	}
	printf("{\"rate\": %.2f, \"bytes\": %.0f, \"seconds\": %.3f, \"jain\": %.4f, "
		"\"least\": %.2f, \"most\": %.2f}\n", bytes / 1e6 / took, bytes, took,
		squares > 0 ? bytes * bytes / squares / streams : 0, least / 1e6 / took,
		most / 1e6 / took);
}

void flow(uint16_t port, char kind, unsigned streams, double seconds, double warm)
{
	double begun, seen = 0, since = 0, counted = 0, t;
	struct conn **all = dial_all(port, kind, streams, UINT64_C(1) << 60);
	double *from = calloc(streams, sizeof *from);
	struct epoll_event events[EVENTS];

	if (!from)
		die("memory");
	begun = now();
	for (t = begun; t - begun < warm + seconds && !stopped; t = now()) {
		int n = epoll_wait(epfd, events, EVENTS, 10);

		for (int i = 0; i < n; i++)
			move(events[i].data.ptr, events[i].events);
		mind_stall(all, streams, &seen, &since);
		if (counted > 0 || t - begun < warm)
			continue;
		counted = now();
		for (unsigned i = 0; i < streams; i++)
			from[i] = moved(all[i]);
	}
	print_flow(all, from, streams, now() - (counted > 0 ? counted : begun));
}

/* Reads to where `until` says of every stream; what comes beyond may come. */
static void read_until(struct conn **all, unsigned streams, uint64_t until)
{
	struct epoll_event events[EVENTS];
	double seen = 0, since = 0;
	unsigned open = 0;

	for (unsigned i = 0; i < streams; i++) {
		bool is_open = all[i]->got < until;

		open += is_open;
		watch(all[i], is_open ? EPOLLIN : 0, EPOLL_CTL_MOD);
	}
	while (open) {
		int n = epoll_wait(epfd, events, EVENTS, 1000);

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (c->got >= until)
				continue;
			read_bulk(c);
			if (c->got < until)
				continue;
			watch(c, 0, EPOLL_CTL_MOD);
			open--;
		}
		mind_stall(all, streams, &seen, &since);
	}
}

void stalled(uint16_t port, unsigned streams, uint64_t bytes)
{
	struct conn **all = dial_all(port, 'D', streams, bytes);
	struct epoll_event e;

	read_until(all, streams, BLOCK);
	printf("{\"stalled\": %u}\n", streams);
	fflush(stdout);
	while (!stopped)
		epoll_wait(epfd, &e, 1, 100);
	read_until(all, streams, bytes);
	printf("{\"bytes\": %.0f}\n", sum(all, streams));
}
