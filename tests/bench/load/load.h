/*
 * What the files of the load share: a connection, its numbered bytes, figures and
 * their endings. One thread, epoll, no library. Rates are in MB/s (10^6) or 1/s,
 * latencies in us, times in s; who cannot go on says why and ends the process.
 */
#ifndef LOAD_H
#define LOAD_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

enum {
	HEAD = 9,		/* kind and length */
	BLOCK = 65536,		/* of bulk: its first byte is its number */
	CHUNK = 4 * BLOCK,
	ECHO = 64,
	EVENTS = 1024,
	LIMIT_S = 120,		/* of what has no time of its own */
	STALL_S = 10,		/* nothing moved: it does not move any more */
};

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

extern int epfd;
extern uint8_t chunk[CHUNK], trash[CHUNK];
extern volatile sig_atomic_t stopped;	/* SIGTERM came */

/* base.c */
double now(void);
/* Prints {"error": ...} and exits with 1: with errno's text, or in words. */
_Noreturn void die(const char *what);
_Noreturn __attribute__((format(printf, 1, 2))) void lost(const char *format, ...);
void note(double seconds);		/* a latency */
void print_rate(double seconds);	/* of the latencies noted */
void watch(struct conn *c, uint32_t events, int op);
/* A connection whose head is made and not sent; it blocks when it sends. */
struct conn *dial(uint16_t port, char kind, uint64_t size);
void send_head(struct conn *c);
ssize_t receive(int fd, void *data, size_t n);	/* at once or EAGAIN */
void drop(struct conn *c);

/* numbered.c: sends one chunk towards c->size. As send(). */
ssize_t send_bulk(struct conn *c);
/* False: bytes are missing, twice or out of order. */
bool take_bulk(struct conn *c, const uint8_t *data, size_t n);
/* What is there, at most a chunk: 0 if nothing is; ends the process if bytes or the stream did. */
size_t read_bulk(struct conn *c);

/* The modes. */
void origin(uint16_t port);
void bulk(uint16_t port, char kind, unsigned streams, uint64_t bytes);
void flow(uint16_t port, char kind, unsigned streams, double seconds, double warm);
void stalled(uint16_t port, unsigned streams, uint64_t bytes);
void echo(uint16_t port, unsigned count, double seconds, double rate);
void connects(uint16_t port, unsigned parallel, double seconds);
void hold(uint16_t port, unsigned count);
void storm(uint16_t port, unsigned parallel, unsigned count);

#endif
