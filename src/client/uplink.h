#ifndef CLIENT_UPLINK_H
#define CLIENT_UPLINK_H

#include "client/client_state.h"

/* The client's session with its server, from the connected socket to the end:
 * login, the one tunnel, visitors, and why it ended. Internal to client/. */

/* Takes fd over. client_failed() or, while stopping, client_finish() follows. */
void uplink_join(struct client *c, int fd);

#endif
