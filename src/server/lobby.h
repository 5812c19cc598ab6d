#ifndef SERVER_LOBBY_H
#define SERVER_LOBBY_H

#include <stdbool.h>
#include <sys/socket.h>

#include "net/timer.h"

/*
 * Where the visitors of a tunnel wait while its client is away: accepted, not
 * read, and reset when it does not come back in time. Further ones wait in the
 * listen queue. Internal to server/.
 */
enum { LOBBY_SEATS = 64, LOBBY_WAIT_MS = 10 * 1000 };

struct expose;
struct source;

struct visitor {
	int fd;
	struct sockaddr_storage peer;
	struct source *source;	/* whose it is counted as, or NULL */
};

struct seat;

struct lobby {
	struct expose *expose;
	struct seat *seats;	/* LOBBY_SEATS of them, a ring, while anybody waits */
	unsigned first, count;
	struct timer *timer;	/* while anybody waits */
};

void lobby_init(struct lobby *l, struct expose *e);

static inline bool lobby_is_full(const struct lobby *l)
{
	return l->count >= LOBBY_SEATS;
}

/* Takes a visitor in. -1 when memory is out: it still is the caller's. */
int lobby_seat(struct lobby *l, const struct visitor *v);

/* The next one, who is the caller's again; false when nobody waits. */
bool lobby_call(struct lobby *l, struct visitor *out);

/* Resets all who wait. */
void lobby_close(struct lobby *l);

#endif
