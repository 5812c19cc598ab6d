#ifndef CLIENT_CLIENT_STATE_H
#define CLIENT_CLIENT_STATE_H

#include "client/client.h"
#include "client/client_pages.h"
#include "client/comeback.h"
#include "client/failure.h"
#include "client/instance.h"
#include "client/keep.h"
#include "client/lanes.h"
#include "client/local.h"
#include "client/retry.h"
#include "core/addr.h"
#include "net/signals.h"
#include "net/timer.h"
#include "net/tls.h"
#include "net/worker.h"
#include "tunnel/link.h"
#include "tunnel/pressure.h"

/* A running client, as its parts share it: client.c has its life, uplink.c its
 * session with the server. Internal to client/. */
enum client_state {
	CLIENT_DIALLING,	/* towards the server */
	CLIENT_JOINING,	/* connected: TLS, login, bind */
	CLIENT_UP,		/* visitors can come */
	CLIENT_RESUMING, /* they can, and wait: the connection is lost, not the session */
	CLIENT_ENDING,		/* the link is going; what next depends on the failure */
	CLIENT_WAITING,	/* for the next attempt */
	CLIENT_STOPPING,	/* after a signal: streams are drained */
	CLIENT_DONE,		/* everything is closing */
};

struct client {
	const struct client_config *config;
	struct worker worker;
	uv_loop_t loop;
	enum client_state state;
	int exit;
	struct tls_context *tls;
	bool checks_certificate;
	struct instance instance;
	struct local local;
	struct retry retry;
	struct signals signals;
	struct keep keep;
	struct client_pages pages;
	struct timer *timer;		/* the next attempt, or the end of the drain */
	struct dial *dial;
	struct link *link;
	struct comeback comeback;
	struct lanes lanes;
	struct pressure pressure;
	struct failure failure;		/* why the last attempt or session ended */
	bool has_failed;
	uint16_t port;			/* the public port we have or had */
	uint16_t asked;			/* of the BIND under way */
	char host[ADDR_HOST_MAX + 1];	/* for visitors, as last shown */
	bool was_up;
	uint64_t lost_us;
};

/* The connection and its session are gone, and c->failure says why: what next? */
void client_failed(struct client *c);

/* Ends the process's work with this exit code. */
void client_finish(struct client *c, int exit);

#endif
