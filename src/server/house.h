#ifndef SERVER_HOUSE_H
#define SERVER_HOUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/budget.h"
#include "core/log.h"
#include "net/mailbox.h"
#include "net/signals.h"
#include "net/timer.h"
#include "net/tls.h"
#include "server/credentials.h"
#include "server/homes.h"
#include "server/leases.h"
#include "server/portpool.h"
#include "server/server.h"
#include "server/sources.h"

struct admin;

/*
 * A running server: what its workers share. Each worker is a thread with a hub
 * (server/hub.h): loop, poller, buffers, metrics, control listener, sessions and
 * all that belongs to them. Bytes of streams never leave their worker.
 *
 *	what				whose, and how the others come to it
 *	-----------------------------------------------------------------------
 *	loop, poller, chunks, metrics,	the worker's alone; worker 0 reads them
 *	sessions, streams, listeners,	while the others halt (house_halt())
 *	traffic of ports
 *	list of a hub's agents, and of	the worker's, changed with the mutex; so
 *	each: hub, peer, is_known,	others may look at them with the mutex
 *	is_moving, eviction
 *	options, TLS context, tokens	nobody's: never change while threads run
 *	port pool			the mutex
 *	leases file			worker 0; others post `touch`. What it
 *					reads of the pool: the mutex
 *	sources, strangers, penalties	the mutex
 *	whose home is where		the mutex; see server/homes.h
 *	guests, members, connections,	the mutex
 *	number of agents
 *	is_full				the mutex; read without it, and whoever
 *					changes it posts `update` to all
 *	bytes held (budget)		an atomic sum; who steps over a mark posts
 *					`look` to all
 *	kinds of lines (log_limit)	the mutex
 *	log				its own mutex (core/log.h)
 *	how many lines a second go	each worker counts its own
 *	to a terminal (trace)
 *	signals, drain timer, admin	worker 0
 *	end of the last agent		posts `settle` to worker 0
 *
 * A session is never pulled from one worker by another: the connections of one
 * identity are on one worker from HELLO on (server/moving.h), so a takeover and a
 * resume are the affair of one thread. With one worker no mutex is taken, no
 * letter posted and no thread made.
 *
 * Order of locks: the house's, then a mailbox's or the log's. Nobody waits for
 * another worker with one held.
 */
struct house {
	const struct server_config *config;
	struct tls_context *tls;
	struct credentials credentials;
	unsigned count;		/* of workers */
	struct hub *hubs;
	/* Recursive: what one connection's door does may end another one, which
	 * goes through the same doors. */
	uv_mutex_t mutex;
	struct portpool ports;
	struct sources *sources;
	struct homes *homes;	/* NULL with one worker */
	unsigned agents;	/* control connections, those between two workers, too */
	unsigned strangers;	/* of them not logged in, known sources' not counted */
	unsigned guests;	/* logged in, and no tunnel asked for yet */
	unsigned members;	/* sessions that did */
	unsigned members_max;
	unsigned conns;		/* public connections */
	unsigned conns_max;
	bool is_full;		/* conns_max was reached: listeners pause */
	/* Kinds of lines that peers can cause. */
	struct log_limit refused_log, stranger_log, full_log, login_log, tunnel_log, end_log,
		starved_log, early_log, source_log, penalty_log, address_log, away_log, member_log;
	struct budget_total budget;

	/* Worker 0's. */
	struct leases leases;	/* the ports, over restarts */
	struct letter touch;	/* a port changed hands */
	struct letter settle;	/* the last agent is gone */
	struct signals signals;
	struct admin *admin;	/* NULL: none */
	struct timer *drain;
	uint64_t opened;	/* traffics so far, with the mutex */
	bool is_stopping, is_closing;
	bool has_threads;
	int exit;

	/* How worker 0 halts the others. */
	uv_mutex_t gate;
	uv_cond_t halted_cond, go_cond;
	unsigned halted;
	bool is_shut;
};

/* Fills what needs no loop but the hubs, which are zeroed. 0 or -errno. */
int house_init(struct house *house, const struct server_config *config, unsigned count);
/* Every thread has ended, every hub is finished. */
void house_fini(struct house *house);

void house_lock(struct house *house);
void house_unlock(struct house *house);

/* A thread for each worker but 0, whose hubs are open. 0 or -errno; some may run then. */
int house_start(struct house *house);

/* Ends the threads, each of which closes its hub, and waits for them; without
 * threads the hubs are closed here. By worker 0, when no agent is left. */
void house_end(struct house *house);

/*
 * Halts the others between two turns of their loops, so that worker 0 may read
 * and call whatever is theirs; house_go() lets them go on. What worker 0 begins
 * on their loops (a turn, a timer, a close) they do then. By worker 0, without
 * the mutex, not one in the other. What it costs is a wait for each one's turn to end.
 */
void house_halt(struct house *house);
void house_go(struct house *house);

#endif
