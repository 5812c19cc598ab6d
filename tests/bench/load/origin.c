/* The service behind the tunnel. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned origin_live, origin_most;

static bool origin_begin(struct conn *c)
{
	c->kind = (char)c->head[0];
	for (int i = 1; i < HEAD; i++)
		c->size = c->size << 8 | c->head[i];
	return strchr("DUESM", c->kind) != NULL && c->kind;
}

/* False, as the connection has served its purpose. */
static bool origin_tell(const struct conn *c)
{
	uint8_t answer[8] = { 0 };

	for (int i = 0; i < 4; i++)
		answer[7 - i] = (uint8_t)(origin_most >> (8 * i));
	send(c->fd, answer, sizeof answer, MSG_NOSIGNAL);
	origin_most = origin_live - 1; /* Without the one that asks. */
	return false;
}

static bool origin_echo(struct conn *c)
{
	while (c->echo_at < c->echo_len) {
		ssize_t n = send(c->fd, c->echo + c->echo_at, c->echo_len - c->echo_at, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN;
		c->echo_at += (size_t)n;
	}
	c->echo_at = c->echo_len = 0;
	return true;
}

static bool origin_read(struct conn *c)
{
	ssize_t n;

	if (!c->kind) {
		n = recv(c->fd, c->head + c->head_len, HEAD - c->head_len, 0);
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		c->head_len += (size_t)n;
		if (c->head_len < HEAD)
			return true;
		if (!origin_begin(c))
			return false;
		if (c->kind == 'M')
			return origin_tell(c);
		if (c->kind == 'S') {
			int little = BLOCK;

			setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
			c->kind = 'D';
		}
		if (c->kind == 'D')
			watch(c, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
	}
	if (c->kind == 'E' && c->echo_len == 0) {
		n = recv(c->fd, c->echo, sizeof c->echo, 0);
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		c->echo_len = (size_t)n;
		return origin_echo(c);
	}
	if (c->kind == 'U') {
		n = recv(c->fd, trash, CHUNK, 0);
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		if (!take_bulk(c, trash, (size_t)n))
			return false;
		if (c->got == c->size)
			return send(c->fd, "k", 1, MSG_NOSIGNAL) == 1;
		return true;
	}
	n = recv(c->fd, trash, 1, MSG_DONTWAIT | MSG_PEEK);
	return n > 0 || (n < 0 && errno == EAGAIN);
}

static void origin_event(struct conn *c, uint32_t events)
{
	bool alive = !(events & (EPOLLERR | EPOLLHUP));

	if (alive && (events & EPOLLOUT) && c->kind == 'D') {
		/* One chunk a turn: an echo beside it does not wait for its whole length. */
		alive = send_bulk(c) >= 0 || errno == EAGAIN || errno == EINTR;
		if (alive && c->sent == c->size)
			watch(c, EPOLLIN, EPOLL_CTL_MOD);
	}
	if (alive && (events & EPOLLIN))
		alive = origin_read(c);
	if (!alive) {
		origin_live--;
		drop(c);
	}
}

/* One a round, behind all endings, and none that ended while it waited: so the
 * count is of those that are there at the same time. */
static void origin_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	struct conn *c;

	if (fd < 0)
		return;
	if (recv(fd, trash, 1, MSG_PEEK) < 0 && errno != EAGAIN) {
		close(fd);
		return;
	}
	c = calloc(1, sizeof *c);
	if (!c)
		die("memory");
	c->fd = fd;
	if (++origin_live > origin_most)
		origin_most = origin_live;
	watch(c, EPOLLIN, EPOLL_CTL_ADD);
}

void origin(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct conn listener = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0) };
	struct epoll_event events[EVENTS];
	int one = 1;

	setsockopt(listener.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	setsockopt(listener.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (bind(listener.fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(listener.fd, 1024) < 0)
		die("listen");
	watch(&listener, EPOLLIN, EPOLL_CTL_ADD);
	for (;;) {
		int n = epoll_wait(epfd, events, EVENTS, -1);
		bool has_come = false;

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (c == &listener)
				has_come = true;
			else
				origin_event(c, events[i].events);
		}
		if (has_come)
			origin_accept(listener.fd);
	}
}
