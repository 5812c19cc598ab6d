#ifndef CLIENT_LANES_H
#define CLIENT_LANES_H

#include <stdbool.h>
#include <stdint.h>

#include "net/dial.h"
#include "tunnel/link.h"

/*
 * More than one connection to the server at once (--lanes): beside the uplink, which is
 * lane 0 and has the tunnel, each has a session of its own that joined it and gets
 * part of the streams. See mux/carrier.h.
 *
 *	no session --dial, login--> JOIN --> streams
 *	lost --RESUME over a lane that is there--> rides --dial, login, RESUME--> its own
 *
 * The uplink rides in the same way, and looks for its own by client/comeback.h. Internal to
 * client/.
 */
struct client;

struct lane {
	struct client *client;
	uint8_t number;
	struct link *link;	/* its session, or NULL */
	struct dial *dial;	/* to a connection of its own, */
	struct link *fresh;	/* and the login on that, */
	bool is_in;		/* which is done */
	struct link *asking;	/* a login whose connection the session has until the server
				 * has answered */
	unsigned failed;	/* attempts in a row */
	bool has_told;		/* that it has none */
	bool is_counted;	/* among the lanes that are open */
	uint64_t next_us;	/* none before */
};

struct lanes {
	struct lane lanes[STATE_LANES_MAX]; /* by number; 0 is not used */
	struct timer *timer;	/* while the client is up */
	struct turn turn;	/* rides, joins, moves */
	unsigned links;		/* that are not closed yet */
	bool has_told;		/* that the server has none */
	unsigned in_vain;	/* rides of the uplink that were not answered */
};

void lanes_init(struct client *c);

/* The tunnel is up: opens what is missing, now and from time to time. */
void lanes_begin(struct client *c);

/* The uplink lost its connection: true if it rides on, and on_resumed may be hoped for. */
bool lanes_take_uplink(struct client *c);

/* The uplink's session is over, and theirs with it. Idempotent. */
void lanes_end(struct client *c);

/* The client stops: SHUTDOWN, and what ends them in good order. */
void lanes_shutdown(struct client *c, uint32_t drain_ms);
void lanes_finish(struct client *c, const char *why);

/* Streams on them; whether all are over, bytes and all; whether every connection is
 * closed, after which uplink_gone() is called if the uplink is gone, too. */
unsigned lanes_streams(const struct client *c);
bool lanes_are_drained(const struct client *c);
bool lanes_are_gone(const struct client *c);

/* For reach.c: an attempt failed, `why` says how; the next comes after a while, retry_us
 * at the least. There is something to do in the next turn. What an end says. The link is
 * closed: link_ops. */
void lanes_calm(struct lane *lane, uint64_t retry_us, const char *why);
void lanes_wake(struct client *c);
const char *lanes_words(const struct session_end *end);
void lanes_on_closed(struct link *l);

#endif
