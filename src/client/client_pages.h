#ifndef CLIENT_CLIENT_PAGES_H
#define CLIENT_CLIENT_PAGES_H

#include "client/client.h"
#include "tunnel/link.h"
#include "tunnel/trace.h"

struct admin;

/*
 * What a client tells of itself: the lines about its traffic, the admin
 * endpoint's answers, and the summary at its end. The client keeps the facts
 * up to date. Internal to client/.
 */
struct client_pages {
	const struct client_config *config;
	struct worker *worker;
	struct trace trace;
	struct traffic *traffic;	/* of its one tunnel, over all sessions */
	struct admin *admin;		/* NULL: none */
	const char *state;		/* "connecting", "ready", "reconnecting", "draining" */
	const char *host;		/* for visitors, "" before the first session */
	const struct link *link;	/* while there is a session, else NULL */
	bool was_ready;			/* there was a session once */
};

/* local: how the service is shown. 0, or the exit code after the error was
 * reported; client_pages_close() is needed either way. */
int client_pages_open(struct client_pages *p, struct worker *w, const struct client_config *config,
	const char *local);

/* Tells the summary, if there was anything to sum, and closes. */
void client_pages_close(struct client_pages *p);
void client_pages_summary(struct client_pages *p, bool asked);

#endif
