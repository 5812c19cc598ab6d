/* Many connections that do nothing, and many that leave at once. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { AT_ONCE = 64 };		/* not answered yet */

static void ask(struct conn *c)
{
	static const uint8_t ping[ECHO] = "ping";

	c->got = 0;
	if (send(c->fd, ping, ECHO, MSG_NOSIGNAL) != ECHO)
		die("send");
	watch(c, EPOLLIN, EPOLL_CTL_MOD);
}

/* How many answers came whole. */
static unsigned take(double *last)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(epfd, events, EVENTS, 1000);
	unsigned done = 0;

	for (int i = 0; i < n; i++) {
		struct conn *c = events[i].data.ptr;
		ssize_t got = receive(c->fd, trash, ECHO - (size_t)c->got);

		if (got < 0 && errno == EAGAIN)
			continue;
		if (got <= 0)
			lost("a connection that is held ended");
		c->got += (uint64_t)got;
		if (c->got < ECHO)
			continue;
		watch(c, 0, EPOLL_CTL_MOD);
		done++;
	}
	if (done)
		*last = now();
	if (now() - *last > STALL_S)
		lost("a stall: a connection got no answer for %d s", STALL_S);
	return done;
}

/* One exchange on each; those that are not there yet are made. */
static void ask_all(uint16_t port, struct conn **all, unsigned count)
{
	unsigned asked = 0, done = 0;
	double last = now();

	while (done < count) {
		for (; asked < count && asked - done < AT_ONCE; asked++) {
			if (!all[asked]) {
				all[asked] = dial(port, 'E', 0);
				send_head(all[asked]);
				watch(all[asked], 0, EPOLL_CTL_ADD);
			}
			ask(all[asked]);
		}
		done += take(&last);
	}
}

void hold(uint16_t port, unsigned count)
{
	struct conn **all = calloc(count, sizeof *all);
	struct epoll_event e;
	double begun = now();

	if (!all)
		die("memory");
	ask_all(port, all, count);
	printf("{\"held\": %u, \"seconds\": %.3f}\n", count, now() - begun);
	fflush(stdout);
	while (!stopped)
		if (epoll_wait(epfd, &e, 1, 100) > 0)
			lost("a connection that is held ended");
	ask_all(port, all, count);
	printf("{\"held\": %u}\n", count);
}

/* A visitor on its way in, or NULL when the kernel refused it at once. */
static struct conn *knock(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct linger at_once = { .l_onoff = 1 };
	struct conn *c = calloc(1, sizeof *c);

	if (!c)
		die("memory");
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		die("socket");
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
	if (connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0 && errno != EINPROGRESS) {
		drop(c);
		return NULL;
	}
	watch(c, EPOLLOUT, EPOLL_CTL_ADD);
	return c;
}

void storm(uint16_t port, unsigned parallel, unsigned count)
{
	struct epoll_event events[EVENTS];
	unsigned begun = 0, open = 0, refused = 0;
	double start = now();

	while (begun < count || open) {
		int n;

		for (; open < parallel && begun < count; begun++) {
			if (knock(port))
				open++;
			else
				refused++;
		}
		n = epoll_wait(epfd, events, EVENTS, 1000);
		if (now() - start > LIMIT_S)
			lost("a stall: not done after %d s", LIMIT_S);
		for (int i = 0; i < n; i++) {
			refused += (events[i].events & (EPOLLERR | EPOLLHUP)) != 0;
			drop(events[i].data.ptr);
			open--;
		}
	}
	printf("{\"rate\": %.1f, \"count\": %u, \"refused\": %u}\n",
		(double)count / (now() - start), count, refused);
}
