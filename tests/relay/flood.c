/*
 * Streams of counters both ways at once: the visitors and the service behind
 * the tunnel in one process, which so knows that every byte came once and in
 * order. kit/stream.py says what a stream of counters is.
 *
 *	flood STREAMS BYTES
 *
 * Says "listening port=P", waits for the line "go HOST PORT" (where the service
 * is public), connects STREAMS visitors there and moves BYTES each way on each.
 * Both sides send FIN when they are done, and want one after the last byte.
 * Ends with the line "done faults=N ..." behind a line "fault ..." for each thing that
 * was wrong. A connection without a byte is nobody's: the client tries its service.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 256 << 10, EVENTS = 64, MOST = 10000, ANSWER = 0x100000 };

struct end {
	int fd;
	uint32_t events;
	bool is_visitor, sent_fin, got_fin, failed;
	uint64_t seed_out, seed_in;	/* 0: not known yet, of a service */
	uint64_t sent, got;
	uint8_t first[8];		/* of a service: says whose stream it is */
};

static int epfd, listener;
static unsigned streams, open_ends, done_ends, faults, probes;
static uint64_t size;
static unsigned dials[MOST + 1];
static uint8_t chunk[CHUNK + 16];

static void die(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t word(uint64_t seed, uint64_t index)
{
	return htobe64(seed << 40 | index);
}

/* The stream's bytes from `at` on, up to CHUNK of them. */
static uint8_t *counters(uint64_t seed, uint64_t at)
{
	for (size_t i = 0; i < CHUNK / 8 + 1; i++) {
		uint64_t w = word(seed, at / 8 + i);

		memcpy(chunk + i * 8, &w, 8);
	}
	return chunk + at % 8;
}

static const char *side(const struct end *e)
{
	return e->is_visitor ? "visitor" : "service";
}

static void fault(struct end *e, const char *what)
{
	if (e->failed)
		return;
	e->failed = true;
	faults++;
	printf("fault stream=%" PRIu64 " side=%s sent=%" PRIu64 " got=%" PRIu64 " %s\n",
		e->is_visitor ? e->seed_out : e->seed_in, side(e), e->sent, e->got, what);
}

static void close_end(struct end *e)
{
	close(e->fd);
	e->fd = -1;
	open_ends--;
	done_ends += e->is_visitor || e->seed_in;
}

/* Two words in a row, at one of eight alignments, say what stream goes on here. */
static void explain(struct end *e, const uint8_t *data, size_t len)
{
	char text[160];

	for (size_t i = 0; i < 8 && i + 16 <= len; i++) {
		uint64_t a, b;

		memcpy(&a, data + i, 8);
		memcpy(&b, data + i + 8, 8);
		a = be64toh(a);
		b = be64toh(b);
		if (b != a + 1 || !(a >> 40))
			continue;
		snprintf(text, sizeof text, "byte %" PRIu64 " of stream %#" PRIx64 " instead",
			(a & ((UINT64_C(1) << 40) - 1)) * 8 - i, a >> 40);
		fault(e, text);
		return;
	}
	fault(e, "garbage");
}

static void check(struct end *e, const uint8_t *data, size_t len)
{
	while (len && !e->failed) {
		uint64_t w = word(e->seed_in, e->got / 8);
		size_t at = e->got % 8, n = 8 - at < len ? 8 - at : len;

		if (memcmp(data, (uint8_t *)&w + at, n)) {
			explain(e, data, len);
			return;
		}
		data += n;
		len -= n;
		e->got += n;
	}
}

/* The first word of a service's stream names it. */
static void took(struct end *e, const uint8_t *data, size_t len)
{
	while (!e->seed_in && len) {
		e->first[e->got++] = *data++;
		len--;
		if (e->got == 8) {
			uint64_t w;

			memcpy(&w, e->first, 8);
			e->seed_in = be64toh(w) >> 40;
			e->seed_out = e->seed_in + ANSWER;
			if (be64toh(w) << 24 || !e->seed_in || e->seed_in > streams) {
				e->seed_in = 0;
				fault(e, "does not begin with a stream");
				return;
			}
			if (++dials[e->seed_in] > 1)
				fault(e, "was dialled before");
		}
	}
	check(e, data, len);
}

static void input(struct end *e)
{
	static uint8_t data[CHUNK];

	ssize_t got = e->got_fin ? -1 : recv(e->fd, data, sizeof data, 0);

	if (got > 0)
		took(e, data, (size_t)got);
	if (e->got_fin || got > 0 || (got < 0 && (errno == EINTR || errno == EAGAIN)))
		return;
	if (!e->is_visitor && !e->got) {
		probes++;
		close_end(e);
		return;
	}
	if (got < 0)
		fault(e, "reset");
	else if (e->got != size)
		fault(e, "end of file too early");
	e->got_fin = true;
	if (got < 0)
		close_end(e);
}

static void output(struct end *e)
{
	uint64_t left = size - e->sent;
	ssize_t n;

	if (e->fd < 0 || !e->seed_out || e->sent_fin)
		return;
	if (!left) {
		shutdown(e->fd, SHUT_WR);
		e->sent_fin = true;
		return;
	}
	n = send(e->fd, counters(e->seed_out, e->sent), left < CHUNK ? left : CHUNK, MSG_NOSIGNAL);
	if (n >= 0) {
		e->sent += (uint64_t)n;
	} else if (errno != EINTR && errno != EAGAIN) {
		fault(e, "cannot be written to");
		close_end(e);
	}
}

/* One piece each way, so that all streams move at once. */
static void turn(struct end *e)
{
	struct epoll_event event = { .data.ptr = e };

	input(e);
	output(e);
	if (e->fd >= 0 && e->got_fin && e->sent_fin)
		close_end(e);
	if (e->fd < 0)
		return;
	event.events = (e->got_fin ? 0 : EPOLLIN) | (e->seed_out && !e->sent_fin ? EPOLLOUT : 0);
	if (event.events != e->events && epoll_ctl(epfd, EPOLL_CTL_MOD, e->fd, &event) < 0)
		die("epoll_ctl");
	e->events = event.events;
}

static struct end *new_end(int fd)
{
	struct end *e = calloc(1, sizeof *e);
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT };

	if (!e)
		die("memory");
	e->fd = fd;
	e->events = event.events;
	event.data.ptr = e;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
	open_ends++;
	return e;
}

static void visit(const char *host, unsigned port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		die("host");
	for (unsigned i = 1; i <= streams; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		struct end *e;

		if (fd < 0 || (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 &&
		    errno != EINPROGRESS))
			die("connect");
		e = new_end(fd);
		e->is_visitor = true;
		e->seed_out = i;
		e->seed_in = i + ANSWER;
	}
}

static void command(void)
{
	static char text[256];
	static size_t len;
	char host[64];
	unsigned port;
	ssize_t got = read(0, text + len, sizeof text - 1 - len);

	if (got <= 0)
		exit(2);
	len += (size_t)got;
	text[len] = 0;
	if (!strchr(text, '\n'))
		return;
	len = 0;
	if (sscanf(text, "go %63s %u", host, &port) != 2)
		exit(2);
	visit(host, port);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	socklen_t len = sizeof own;
	struct epoll_event events[EVENTS], event = { .events = EPOLLIN };
	double begun = now();

	streams = argc == 3 ? (unsigned)atoi(argv[1]) : 0;
	size = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
	if (streams < 1 || streams > MOST || size < 8) {
		fprintf(stderr, "usage: flood STREAMS BYTES\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	epfd = epoll_create1(0);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&own, sizeof own) < 0 || listen(listener, 4096) < 0)
		die("listen");
	getsockname(listener, (struct sockaddr *)&own, &len);
	event.data.ptr = &listener;
	epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &event);
	event.data.ptr = &epfd;
	epoll_ctl(epfd, EPOLL_CTL_ADD, 0, &event);
	printf("listening port=%u\n", ntohs(own.sin_port));
	/* Both ends of each; who was lost before its first byte reached the service has one. */
	while (done_ends < 2 * streams && !(faults && !open_ends)) {
		int n = epoll_wait(epfd, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			void *what = events[i].data.ptr;
			int fd;

			if (what == &epfd) {
				command();
				begun = now();
			} else if (what == &listener) {
				while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0)
					turn(new_end(fd));
			} else if (((struct end *)what)->fd >= 0) {
				turn(what);
			}
		}
	}
	printf("done faults=%u probes=%u ms=%.0f\n", faults, probes, (now() - begun) * 1000);
	return faults != 0;
}
