#ifndef CLIENT_COMEBACK_H
#define CLIENT_COMEBACK_H

#include <stdbool.h>
#include <stdint.h>

#include "mux/session.h"
#include "net/dial.h"
#include "tunnel/link.h"

/*
 * The way back to the server for a session that lost its connection: attempts
 * every 250 ms, each given up after a second or eight round trips of the old way,
 * as many at once as that makes; the first to log in wins. The new way may be
 * slower: after some attempts in vain the patience is twice as long, then four
 * times. They neither count nor print; who is away for long is told once.
 * Internal to client/.
 */
struct client;

enum { COMEBACK_ATTEMPTS = 16, COMEBACK_EVERY_MS = 250, COMEBACK_PATIENCE_MS = 1000 };

struct attempt {
	struct client *client;
	struct dial *dial;
	struct link *link;
	uint64_t begun_us;
	bool is_in;		/* logged in */
};

struct comeback {
	struct attempt attempts[COMEBACK_ATTEMPTS];
	struct timer *timer;	/* while the way back is looked for */
	struct turn turn;	/* asks, or goes on without the session */
	struct link *asking;	/* the login whose connection the session has until the
				 * server has answered */
	bool is_refused;	/* and it said no */
	unsigned vain;		/* attempts that took too long */
	unsigned calm;		/* attempts while it rides on another lane: there is no haste */
	bool has_told;		/* that it is away */
	bool is_moving;		/* from another lane's connection to this one */
	uint64_t calm_us;	/* no attempt before */
};

void comeback_init(struct client *c);

/* The session lost its connection, and is back. */
void comeback_begin(struct client *c, const char *why);
void comeback_done(struct client *c);

/* The server has the session no more: its streams are reset, and what was its last connection
 * carries a new one. */
void comeback_refused(struct client *c, enum code code);

/* Gives up looking: the session is over. Idempotent. */
void comeback_end(struct client *c);

#endif
