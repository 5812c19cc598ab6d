/*
 * Load for the bench, and the service behind the tunnel. One thread, epoll,
 * no library.
 *
 *	load origin PORT			until it is killed
 *	load down PORT STREAMS BYTES		BYTES in all, each way of reading
 *	load up PORT STREAMS BYTES
 *	load echo PORT CONNS SECONDS		64 bytes there and back, closed loop
 *	load paced PORT CONNS SECONDS RATE	the same at a rate, against the time
 *						each was meant to leave
 *	load connect PORT PARALLEL SECONDS	connect, 64 bytes there and back, close
 *	load storm PORT PARALLEL COUNT		connect, then RST at once
 *
 * A connection begins with its kind and a length, so that it can be measured
 * through what knows no half-close: 'D' and 'U' move that many bytes, 'E'
 * echoes, 'S' is 'D' from a small buffer of the kernel, for hundreds that stall
 * beside each other: else their queues take all memory that the machine has for
 * TCP, and who is measured suffers by that. 'M' answers with the most connections the origin had at once since it
 * was asked before, as 8 bytes. Bulk carries its block number at each 64 KiB:
 * loss shows. Prints one line of JSON; everything is bounded in time. SIGTERM
 * ends echo and paced early, with what they measured until then.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD = 9, BLOCK = 65536, CHUNK = 4 * BLOCK, ECHO = 64, EVENTS = 1024, LIMIT_S = 120 };

struct conn {
	int fd;
	char kind;		/* 0: its head is not there yet */
	uint8_t head[HEAD];
	size_t head_len;
	uint64_t size, sent, got;
	uint8_t echo[4096];	/* of the origin: what waits to go back */
	size_t echo_at, echo_len;
	double begun;		/* when the exchange was meant to begin */
	bool waits;		/* for the answer */
};

static int epfd;
static uint8_t chunk[CHUNK], trash[CHUNK];
static uint32_t *latencies;	/* us */
static size_t latency_count, latency_cap;
static unsigned origin_live, origin_most;
static volatile sig_atomic_t stopped;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void die(const char *what)
{
	printf("{\"error\": \"%s: %s\"}\n", what, strerror(errno));
	exit(1);
}

static void lost(const char *what)
{
	printf("{\"error\": \"%s\"}\n", what);
	exit(1);
}

static void note(double seconds)
{
	if (latency_count == latency_cap) {
		latency_cap = latency_cap ? latency_cap * 2 : 65536;
		latencies = realloc(latencies, latency_cap * sizeof *latencies);
		if (!latencies)
			die("memory");
	}
	latencies[latency_count++] = (uint32_t)(seconds * 1e6);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t percentile(double p)
{
	return latency_count ? latencies[(size_t)((double)(latency_count - 1) * p)] : 0;
}

static void print_rate(double seconds)
{
	qsort(latencies, latency_count, sizeof *latencies, by_value);
	printf("{\"rate\": %.1f, \"count\": %zu, \"p50\": %u, \"p99\": %u, \"max\": %u}\n",
		(double)latency_count / seconds, latency_count, percentile(0.5), percentile(0.99),
		percentile(1));
}

static void watch(struct conn *c, uint32_t events, int op)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (epoll_ctl(epfd, op, c->fd, &e) < 0)
		die("epoll_ctl");
}

/* --- numbered bytes ------------------------------------------------------------- */

/* Sends towards c->size; the first byte of each block is its number. */
static bool send_bulk(struct conn *c)
{
	while (c->sent < c->size) {
		size_t into = c->sent % BLOCK, n = CHUNK - into;
		ssize_t done;

		for (unsigned i = 0; i < CHUNK / BLOCK; i++)
			chunk[i * BLOCK] = (uint8_t)(c->sent / BLOCK + i);
		if (n > c->size - c->sent)
			n = (size_t)(c->size - c->sent);
		done = send(c->fd, chunk + into, n, MSG_NOSIGNAL);
		if (done < 0)
			return errno == EAGAIN || errno == EINTR;
		c->sent += (uint64_t)done;
	}
	return true;
}

static bool take_bulk(struct conn *c, const uint8_t *data, size_t n)
{
	uint64_t next = (c->got + BLOCK - 1) / BLOCK * BLOCK;

	for (; next < c->got + n; next += BLOCK)
		if (data[next - c->got] != (uint8_t)(next / BLOCK))
			return false;
	c->got += n;
	return true;
}

/* --- the origin -------------------------------------------------------------------- */

static void drop(struct conn *c)
{
	close(c->fd);
	free(c);
}

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
		alive = send_bulk(c);
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

static void origin(uint16_t port)
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

/* --- the load ------------------------------------------------------------------------- */

static struct conn *dial(uint16_t port, char kind, uint64_t size)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct conn *c = calloc(1, sizeof *c);
	int one = 1;

	if (!c)
		die("memory");
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(c->fd, (struct sockaddr *)&a, sizeof a) < 0)
		die("connect");
	c->kind = kind;
	c->size = size;
	c->head[0] = (uint8_t)kind;
	for (int i = 0; i < 8; i++)
		c->head[8 - i] = (uint8_t)(size >> (8 * i));
	return c;
}

static ssize_t receive(int fd, void *data, size_t n)
{
	return recv(fd, data, n, MSG_DONTWAIT);
}

static void bulk(uint16_t port, char kind, unsigned streams, uint64_t bytes)
{
	struct epoll_event events[EVENTS];
	uint64_t each = bytes / streams;
	unsigned open = streams;
	double begun;

	struct conn **all = calloc(streams, sizeof *all);

	if (!all)
		die("memory");
	for (unsigned i = 0; i < streams; i++)
		all[i] = dial(port, kind, each);
	begun = now();
	for (unsigned i = 0; i < streams; i++) {
		if (send(all[i]->fd, all[i]->head, HEAD, MSG_NOSIGNAL) != HEAD)
			die("send");
		watch(all[i], kind == 'U' ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_ADD);
	}
	while (open) {
		int n = epoll_wait(epfd, events, EVENTS, 1000);

		if (now() - begun > LIMIT_S)
			lost("a stall: not done after 120 s");
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;
			ssize_t got;

			if (kind == 'U' && (events[i].events & EPOLLOUT)) {
				size_t into = c->sent % BLOCK, want = CHUNK - into;

				for (unsigned b = 0; b < CHUNK / BLOCK; b++)
					chunk[b * BLOCK] = (uint8_t)(c->sent / BLOCK + b);
				if (want > c->size - c->sent)
					want = (size_t)(c->size - c->sent);
				got = send(c->fd, chunk + into, want, MSG_NOSIGNAL | MSG_DONTWAIT);
				if (got > 0)
					c->sent += (uint64_t)got;
				if (c->sent == c->size)
					watch(c, EPOLLIN, EPOLL_CTL_MOD);
			}
			if (!(events[i].events & ~(uint32_t)EPOLLOUT))
				continue;
			got = receive(c->fd, trash, CHUNK);
			if (got < 0 && errno == EAGAIN)
				continue;
			if (got <= 0)
				lost("a stream ended before its last byte");
			if (kind == 'D' && !take_bulk(c, trash, (size_t)got))
				lost("bytes were lost or out of order");
			if (kind == 'U' || c->got == c->size) {
				if (kind == 'U' && c->sent != c->size)
					lost("an answer before the last byte");
				watch(c, 0, EPOLL_CTL_DEL);
				open--;
			}
		}
	}
	printf("{\"rate\": %.1f}\n", (double)each * streams / 1e6 / (now() - begun));
}

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

static void echo(uint16_t port, unsigned count, double seconds, double rate)
{
	struct epoll_event events[EVENTS];
	struct conn **all = calloc(count, sizeof *all);
	double begun, due;
	unsigned turn = 0;

	if (!all)
		die("memory");
	for (unsigned i = 0; i < count; i++) {
		all[i] = dial(port, 'E', 0);
		if (send(all[i]->fd, all[i]->head, HEAD, MSG_NOSIGNAL) != HEAD)
			die("send");
		watch(all[i], EPOLLIN, EPOLL_CTL_ADD);
	}
	begun = due = now();
	for (unsigned i = 0; i < count && rate <= 0; i++)
		exchange(all[i], begun);
	while (now() - begun < seconds && !stopped) {
		int n = epoll_wait(epfd, events, EVENTS, rate > 0 ? 1 : 1000);
		double t = now();

		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (!answered(c))
				continue;
			note(t - c->begun);
			if (rate <= 0)
				exchange(c, t);
		}
		for (; rate > 0 && due <= t; due += 1 / rate) {
			for (unsigned k = 0; k < count && all[turn % count]->waits; k++)
				turn++;
			if (!all[turn % count]->waits)
				exchange(all[turn++ % count], due);
		}
		if (n == 0 && rate <= 0 && t - begun > seconds + 10)
			lost("a stall");
	}
	print_rate(now() - begun);
}

static void connects(uint16_t port, unsigned parallel, double seconds)
{
	struct epoll_event events[EVENTS];
	double begun = now();
	unsigned open = 0;

	for (;;) {
		int n;

		while (open < parallel && now() - begun < seconds) {
			double t = now();
			struct conn *c = dial(port, 'E', 0);
			uint8_t both[HEAD + ECHO] = { 0 };

			memcpy(both, c->head, HEAD);
			if (send(c->fd, both, sizeof both, MSG_NOSIGNAL) != sizeof both)
				die("send");
			c->begun = t;
			c->waits = true;
			watch(c, EPOLLIN, EPOLL_CTL_ADD);
			open++;
		}
		if (!open)
			break;
		n = epoll_wait(epfd, events, EVENTS, 1000);
		if (now() - begun > seconds + 20)
			lost("a stall: a connection got no answer");
		for (int i = 0; i < n; i++) {
			struct conn *c = events[i].data.ptr;

			if (!answered(c))
				continue;
			note(now() - c->begun);
			drop(c);
			open--;
		}
	}
	print_rate(now() - begun);
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

static void storm(uint16_t port, unsigned parallel, unsigned count)
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
			lost("a stall: not done after 120 s");
		for (int i = 0; i < n; i++) {
			refused += (events[i].events & (EPOLLERR | EPOLLHUP)) != 0;
			drop(events[i].data.ptr);
			open--;
		}
	}
	printf("{\"rate\": %.1f, \"count\": %u, \"refused\": %u}\n",
		(double)count / (now() - start), count, refused);
}

static void on_term(int number)
{
	(void)number;
	stopped = 1;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 2 ? argv[1] : "";
	uint16_t port = argc > 2 ? (uint16_t)atoi(argv[2]) : 0;
	unsigned count = argc > 3 ? (unsigned)atoi(argv[3]) : 1;
	double amount = argc > 4 ? atof(argv[4]) : 1;

	signal(SIGPIPE, SIG_IGN);
	epfd = epoll_create1(0);
	if (strcmp(mode, "echo") == 0 || strcmp(mode, "paced") == 0)
		signal(SIGTERM, on_term);
	if (strcmp(mode, "origin") == 0)
		origin(port);
	else if (strcmp(mode, "down") == 0)
		bulk(port, 'D', count, (uint64_t)amount);
	else if (strcmp(mode, "up") == 0)
		bulk(port, 'U', count, (uint64_t)amount);
	else if (strcmp(mode, "echo") == 0)
		echo(port, count, amount, 0);
	else if (strcmp(mode, "paced") == 0 && argc > 5)
		echo(port, count, amount, atof(argv[5]));
	else if (strcmp(mode, "connect") == 0)
		connects(port, count, amount);
	else if (strcmp(mode, "storm") == 0)
		storm(port, count, (unsigned)amount);
	else
		fprintf(stderr, "usage: load origin|down|up|echo|paced|connect|storm PORT ...\n");
	return 0;
}
