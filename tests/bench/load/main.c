/*
 * Load for the bench, and the service behind the tunnel.
 *
 *	load origin PORT			until it is killed
 *	load down PORT STREAMS BYTES		BYTES in all, each way of reading
 *	load up PORT STREAMS BYTES
 *	load flow PORT STREAMS SECONDS WARM	downloads without end, counted for SECONDS
 *						after WARM; with Jain's index of them
 *	load flood PORT STREAMS SECONDS WARM	the same of uploads, as the kernel took them
 *	load echo PORT CONNS SECONDS		64 bytes there and back, closed loop
 *	load paced PORT CONNS SECONDS RATE	the same at a rate, against the time
 *						each was meant to leave
 *	load connect PORT PARALLEL SECONDS	connect, 64 bytes there and back, close
 *	load hold PORT COUNT			connections that do nothing after an exchange,
 *						until SIGTERM; then each must answer again
 *	load stalled PORT STREAMS BYTES		downloads of BYTES each whose reader stops
 *						after 64 KiB, until SIGTERM; then to the end
 *	load storm PORT PARALLEL COUNT		connect, then RST at once
 *
 * A connection begins with its kind and a length, so that it can be measured
 * through what knows no half-close: 'D' and 'U' move that many bytes, 'E'
 * echoes, 'S' is 'D' from a small buffer of the kernel, for hundreds that stall
 * beside each other: else their queues take all memory that the machine has for
 * TCP, and who is measured suffers by that. 'M' answers with the most connections
 * the origin had at once since it was asked before, as 8 bytes. Bulk carries its
 * block number at each 64 KiB: loss shows. Prints one line of JSON (hold and
 * stalled a first one when they stand); everything is bounded in time, and 10 s
 * in which nothing moves are a stall. SIGTERM ends flow, flood, echo and paced
 * early, with what they measured until then.
 */
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct words {
	uint16_t port;
	unsigned count;
	double amount, more;
};

static void on_origin(const struct words *w) { origin(w->port); }
static void on_down(const struct words *w) { bulk(w->port, 'D', w->count, (uint64_t)w->amount); }
static void on_up(const struct words *w) { bulk(w->port, 'U', w->count, (uint64_t)w->amount); }
static void on_flow(const struct words *w) { flow(w->port, 'D', w->count, w->amount, w->more); }
static void on_flood(const struct words *w) { flow(w->port, 'U', w->count, w->amount, w->more); }
static void on_echo(const struct words *w) { echo(w->port, w->count, w->amount, 0); }
static void on_paced(const struct words *w) { echo(w->port, w->count, w->amount, w->more); }
static void on_connect(const struct words *w) { connects(w->port, w->count, w->amount); }
static void on_hold(const struct words *w) { hold(w->port, w->count); }
static void on_stalled(const struct words *w) { stalled(w->port, w->count, (uint64_t)w->amount); }
static void on_storm(const struct words *w) { storm(w->port, w->count, (unsigned)w->amount); }

static const struct mode {
	const char *name;
	int words;		/* behind the name */
	bool minds_term;
	void (*run)(const struct words *w);
} modes[] = {
	{ "origin", 1, false, on_origin },
	{ "down", 3, false, on_down },
	{ "up", 3, false, on_up },
	{ "flow", 4, true, on_flow },
	{ "flood", 4, true, on_flood },
	{ "echo", 3, true, on_echo },
	{ "paced", 4, true, on_paced },
	{ "connect", 3, false, on_connect },
	{ "hold", 2, true, on_hold },
	{ "stalled", 3, true, on_stalled },
	{ "storm", 3, false, on_storm },
};

static void on_term(int number)
{
	(void)number;
	stopped = 1;
}

static const struct mode *find_mode(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof modes / sizeof modes[0]; i++)
		if (strcmp(argv[1], modes[i].name) == 0 && argc == modes[i].words + 2)
			return &modes[i];
	return NULL;
}

int main(int argc, char **argv)
{
	const struct mode *mode = find_mode(argc, argv);
	struct words w = {
		.port = argc > 2 ? (uint16_t)atoi(argv[2]) : 0,
		.count = argc > 3 ? (unsigned)atoi(argv[3]) : 1,
		.amount = argc > 4 ? atof(argv[4]) : 1,
		.more = argc > 5 ? atof(argv[5]) : 0,
	};

	if (!mode || w.count == 0) {
		fprintf(stderr, "usage: load MODE PORT ...; see the head of main.c\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (mode->minds_term)
		signal(SIGTERM, on_term);
	epfd = epoll_create1(0);
	mode->run(&w);
	return 0;
}
