#ifndef SERVER_EXPOSE_H
#define SERVER_EXPOSE_H

#include "net/listener.h"
#include "server/hub.h"
#include "server/lobby.h"
#include "tunnel/link.h"

/* A tunnel on the server's side: one public listener whose connections become
 * streams of one agent's session. Internal to server/. */
struct agent;

struct expose {
	struct hub *hub;
	struct agent *agent;
	uint32_t bind_id;
	uint16_t port;
	int listen_err;		/* -errno of a port that cannot be listened on, or 0 */
	uint8_t scope;
	struct listener listener;
	unsigned unanswered;	/* OPENs the client has not reacted to */
	struct lobby lobby;	/* visitors who came while it is away */
	struct traffic *traffic;
	struct portpool_identity identity;
	struct list node;	/* on hub->exposes */
	struct list of_agent;	/* on agent->exposes */
};

/* Opens the port that a BIND wants, or the best free one. The house's mutex is held:
 * no other worker gets the same. NULL with the BIND_ERR to send in *err (its text is
 * static or in text, of 64 bytes). */
struct expose *expose_open(struct agent *a, const struct bind_request *request,
	struct bind_err *err, char text[64]);

/* Closes the listener, resets its streams, frees. lease: the client vanished
 * and may come back. */
void expose_close(struct expose *e, bool lease);

/* The client is back: visitors who waited are served. */
void expose_go_on(struct expose *e);

/* No room or no time for this visitor: RST. */
void expose_turn_away(struct expose *e, const struct visitor *v);

/* Stops accepting, for good. */
void expose_stop(struct expose *e);

/* The client reacted to an OPEN. */
void expose_answered(struct expose *e);

/* Pauses or resumes by what is open and unanswered. */
void expose_update(struct expose *e);

#endif
