#ifndef SERVER_HUB_H
#define SERVER_HUB_H

#include <stdbool.h>
#include <stdint.h>

#include "core/list.h"
#include "core/log.h"
#include "net/listener.h"
#include "net/signals.h"
#include "net/timer.h"
#include "net/tls.h"
#include "net/worker.h"
#include "server/credentials.h"
#include "server/leases.h"
#include "server/portpool.h"
#include "server/server.h"
#include "server/sources.h"
#include "tunnel/pressure.h"
#include "tunnel/trace.h"

struct admin;

/* How long a port is kept for a client that vanished, or was there before the
 * server was started anew. */
#define HUB_LEASE_US 60000000ull

/* What the parts of a running server share. One a process today, one a
 * worker later. Internal to server/. */
struct hub {
	const struct server_config *config;
	struct worker worker;
	struct tls_context *tls;
	struct credentials credentials;
	struct portpool ports;
	struct leases leases;	/* the ports, over restarts */
	struct listener control;
	struct signals signals;
	struct trace trace;
	struct pressure pressure;
	struct admin *admin;	/* NULL: none */
	struct timer *drain;
	struct list agents;	/* every control connection */
	struct list exposes;	/* every public listener */
	struct list traffics;	/* of every port that was used, see hub_traffic() */
	struct sources *sources;
	unsigned strangers;	/* agents that have not logged in, known sources' not counted */
	unsigned guests;	/* logged in, and no tunnel asked for yet */
	unsigned members;	/* sessions that did */
	unsigned members_max;
	unsigned conns;		/* public connections */
	unsigned conns_max;
	bool is_full;		/* conns_max was reached: listeners pause */
	bool is_stopping;
	int exit;
	/* Kinds of lines that peers can cause. */
	struct log_limit refused_log, stranger_log, full_log, login_log, tunnel_log, end_log,
		starved_log, early_log, source_log, penalty_log, address_log, away_log, member_log;
};

/* Counts public connections; listeners pause at the most and go on below. */
void hub_conn_opened(struct hub *h);
void hub_conn_closed(struct hub *h);

/*
 * The traffic of a public port, with a reference for the caller. It is kept when
 * the tunnel ends and goes on when the same name comes back: a reconnect is no
 * new beginning for whoever draws a rate. With another name it begins anew, and
 * what was before is summed under port 0. NULL when memory is out.
 */
struct traffic *hub_traffic(struct hub *h, uint16_t port, const char *name);
void hub_forget_traffics(struct hub *h);

/* A listener paused for lack of descriptors or memory: listener.on_starved. */
void hub_starved(struct hub *h, int error);

/* Begins to close what the loop waits for. */
void hub_close(struct hub *h);

/* Something ended that the shutdown may wait for: closes when nothing is left. */
void hub_settle(struct hub *h);

/* The command that lets this executable listen on ports below 1024. Returns out. */
const char *hub_setcap(char *out, size_t cap);

/* A line of a kind that strangers can cause. */
bool hub_may_log(struct hub *h, struct log_limit *limit);

/* The same for what comes in floods: one a second. 0, or how many this line
 * stands for. */
unsigned hub_tally(struct hub *h, struct log_limit *limit);

#endif
