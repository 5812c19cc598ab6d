#ifndef CLIENT_LOCAL_H
#define CLIENT_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

#include "client/client_pages.h"
#include "core/list.h"
#include "core/log.h"
#include "net/dial.h"
#include "tunnel/link.h"

/* The local side: one dial a stream to the one target that the options name,
 * at most 256 at a time. Internal to client/. */
struct local {
	struct worker *worker;
	struct client_pages *pages;
	const char *host;
	uint16_t port;
	char text[300];		/* HOST:PORT, for messages */
	struct dial_cache cache;
	struct dial *probe;
	unsigned dialling;	/* of them, not connected yet */
	struct log_limit failed_log;
	unsigned failures;	/* in a row */
};

void local_init(struct local *l, struct worker *w, const char *host, uint16_t port);

/* Ends the probe; dials end with their streams. */
void local_close(struct local *l);

/* Dials once and warns if nothing answers; never fatal. */
void local_probe(struct local *l);

/* Dials for a stream that was just opened: link_ops.on_open. */
enum code local_open(struct local *l, struct link *link, struct stream *st,
	const struct flow_addr *peer);

#endif
