#ifndef SERVER_HUB_H
#define SERVER_HUB_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/list.h"
#include "core/log.h"
#include "net/listener.h"
#include "net/mailbox.h"
#include "net/worker.h"
#include "server/house.h"
#include "tunnel/pressure.h"
#include "tunnel/trace.h"

/* How long a port is kept for a client that vanished, or was there before the
 * server was started anew. */
#define HUB_LEASE_US 60000000ull

/* One worker of the server, and what is on it; server/house.h tells what it
 * shares with others. Internal to server/. */
struct hub {
	struct house *house;
	const struct server_config *config; /* the house's */
	unsigned index;		/* 0: the thread of the process */
	bool is_open;		/* hub_init() succeeded */
	bool is_stopping;
	uv_loop_t loop;
	struct worker worker;
	struct listener control;
	struct trace trace;
	struct pressure pressure;
	struct list agents;	/* every control connection */
	struct list exposes;	/* every public listener */
	struct list traffics;	/* of every port that was used, see hub_traffic() */

	/* With more than one worker. */
	uv_thread_t thread;
	bool has_thread;
	struct mailbox mailbox;
	struct letter halt, quit; /* the house's */
	struct letter update;	/* is_full changed: look at the listeners */
	struct letter look;	/* what others hold changed: look at the budget */
	struct letter evict;	/* there are agents to be ended: */
	struct list evicted;	/* by their `eviction`, with the house's mutex */
};

/* 0 or -errno. */
int hub_init(struct hub *h, struct house *house, unsigned index);

/* Runs its loop until everything on it is closed; in its thread. */
void hub_run(struct hub *h);

/* Begins to close what the loop waits for; on its thread, or without one. */
void hub_close(struct hub *h);
/* After the loop has ended; without hub_init() harmless. */
void hub_fini(struct hub *h);

/* Counts public connections; listeners pause at the most and go on below. With
 * several workers a listener of another one may take one more before it hears. */
void hub_conn_opened(struct hub *h);
void hub_conn_closed(struct hub *h);
bool hub_is_full(const struct hub *h);

/* A port changed hands: the leases are written soon. */
void hub_touch_leases(struct hub *h);

/*
 * The traffic of a public port, with a reference for the caller. It is kept when
 * the tunnel ends and goes on when the same name comes back: a reconnect is no
 * new beginning for whoever draws a rate. With another name it begins anew, and
 * what was before is summed under port 0. NULL when memory is out.
 *
 * A name that comes back on another worker has a second one there;
 * hub_fold_traffics() makes one of both. By worker 0, while the others halt,
 * before anybody looks.
 */
struct traffic *hub_traffic(struct hub *h, uint16_t port, const char *name);
void hub_fold_traffics(struct house *house);

/* A listener paused for lack of descriptors or memory: listener.on_starved. */
void hub_starved(struct hub *h, int error);

/* An agent of h, whose eviction stands on h->evicted, is to be ended by its own
 * worker. */
void hub_post_evict(struct hub *h);

/* An agent is gone: the shutdown may wait for it. */
void hub_settle(struct hub *h);

/* The command that lets this executable listen on ports below 1024. Returns out. */
const char *hub_setcap(char *out, size_t cap);

/* A line of a kind that strangers can cause. */
bool hub_may_log(struct hub *h, struct log_limit *limit);

/* The same for what comes in floods: one a second. 0, or how many this line
 * stands for. */
unsigned hub_tally(struct hub *h, struct log_limit *limit);

#endif
