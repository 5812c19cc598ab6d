/* What every mode uses. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int epfd;
uint8_t chunk[CHUNK], trash[CHUNK];
volatile sig_atomic_t stopped;
static uint32_t *latencies;	/* us */
static size_t latency_count, latency_cap;

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void die(const char *what)
{
	lost("%s: %s", what, strerror(errno));
}

void lost(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	printf("{\"error\": \"");
	vprintf(format, args);
	printf("\"}\n");
	va_end(args);
	exit(1);
}

void note(double seconds)
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

void print_rate(double seconds)
{
	qsort(latencies, latency_count, sizeof *latencies, by_value);
	printf("{\"rate\": %.1f, \"count\": %zu, \"p50\": %u, \"p99\": %u, \"max\": %u}\n",
		(double)latency_count / seconds, latency_count, percentile(0.5), percentile(0.99),
		percentile(1));
}

void watch(struct conn *c, uint32_t events, int op)
{
	struct epoll_event e = { .events = events, .data.ptr = c };

	if (epoll_ctl(epfd, op, c->fd, &e) < 0)
		die("epoll_ctl");
}

struct conn *dial(uint16_t port, char kind, uint64_t size)
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

void send_head(struct conn *c)
{
	if (send(c->fd, c->head, HEAD, MSG_NOSIGNAL) != HEAD)
		die("send");
}

ssize_t receive(int fd, void *data, size_t n)
{
	return recv(fd, data, n, MSG_DONTWAIT);
}

void drop(struct conn *c)
{
	close(c->fd);
	free(c);
}
