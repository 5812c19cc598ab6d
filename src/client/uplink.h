#ifndef CLIENT_UPLINK_H
#define CLIENT_UPLINK_H

#include "client/client_state.h"

/* The client's session with its server, from the connected socket to the end:
 * login, the one tunnel, visitors, and why it ended. Internal to client/. */

/* Takes fd over. client_failed() or, while stopping, client_finish() follows. */
void uplink_join(struct client *c, int fd);

/* Logs in on the connected fd, which is taken over; ops->on_closed frees the link. NULL
 * when memory is out: no callback comes then. */
struct link *uplink_log_in(struct client *c, int fd, const struct link_ops *ops, void *owner);

/* link_ops of a session that asks for no tunnel, and so is told of none; and of one that is
 * there for its login alone, when the server shuts down. */
void uplink_no_bind_ok(struct link *l, const struct bind_ok *ok);
void uplink_no_bind_err(struct link *l, const struct bind_err *err);
void uplink_no_shutdown(struct link *l, uint32_t drain_ms);

/* The uplink or a lane has drained: if all have and the client stops, the session ends. */
void uplink_drained(struct client *c);

/* A visitor's stream, on the uplink or on a lane l: link_ops.on_open. */
enum code uplink_open(struct client *c, struct link *l, struct stream *st,
	const struct flow_open *open);

/* The uplink and all lanes are closed: what next? */
void uplink_gone(struct client *c);

/* The server no longer takes our credentials, and the session with it. */
void uplink_refused(struct client *c, const struct session_end *end);

/* The session cannot be resumed: its streams are reset, and fresh, which is logged in,
 * goes on in its place. */
void uplink_succeed(struct client *c, struct link *fresh);

#endif
