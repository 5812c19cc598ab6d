#ifndef SERVER_BINDS_H
#define SERVER_BINDS_H

#include "server/agent.h"

/* The tunnels that a client asks for, gives up, and answers visitors of; link_ops. Internal
 * to server/. */
enum { BINDS_AT_ONCE = 128 };	/* looked at, and so many more a second as binds.c says */

void binds_asked(struct link *l, const struct bind_request *request);
void binds_given_up(struct link *l, uint32_t bind_id);
void binds_answered(struct link *l, struct stream *st);

/* Whether one more BIND of a, or RESUME of another lane, is looked at now. */
bool binds_may_ask(struct agent *a);

#endif
