#ifndef CLIENT_UPLINK_H
#define CLIENT_UPLINK_H

#include "client/client_state.h"

/* The client's session with its server, from the connected socket to the end:
 * login, the one tunnel, visitors, and why it ended. Internal to client/. */

/* Takes fd over. client_failed() or, while stopping, client_finish() follows. */
void uplink_join(struct client *c, int fd);

/* How a connection to the server is opened and logged in on. */
void uplink_configure(struct client *c, struct link_config *out);

/* The server no longer takes our credentials, and the session with it. */
void uplink_refused(struct client *c, const struct session_end *end);

/* The session cannot be resumed: its streams are reset, and fresh, which is logged in,
 * goes on in its place. */
void uplink_succeed(struct client *c, struct link *fresh);

#endif
