#ifndef SERVER_REJOIN_H
#define SERVER_REJOIN_H

#include "server/agent.h"

/*
 * A client whose connection was lost, and who comes back on another one: its
 * agent stays with ports and streams, and takes the connection of the agent
 * that was made for the login. Both are on one worker (server/moving.h). Internal
 * to server/; the first four are link_ops.
 *
 *	agent (session, ports, streams)		heir (a login, RESUME)
 *	      <----------------- connection, address ------
 */
void rejoin_lost(struct link *l, const char *why);
void rejoin_done(struct link *l);
enum code rejoin_asked(struct link *l, const struct state_resume *resume);
/* The session goes on over the connection of l, as a lane beside that one's own. */
enum code rejoin_beside(struct link *l, const struct state_resume *resume);

/* The agent that is logged in and has this session, or NULL. */
struct agent *rejoin_find(struct hub *h, const uint8_t id[LOGIN_SESSION_ID]);

/* Whether both are of one client: the same key, name and instance. */
bool rejoin_is_same(const struct agent *a, const struct agent *b);

/* A tunnel of a was taken over by a newer session of its owner. Ends a if that was
 * its last and it is away; a that is there was told, and is told again. */
void rejoin_replaced(struct agent *a, uint32_t bind_id);

/* a is going: whoever wants to hand it a connection, or whom it wanted to hand
 * its own, does not find it. */
void rejoin_forget(struct agent *a);

#endif
