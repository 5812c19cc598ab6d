#ifndef SERVER_MEMBER_H
#define SERVER_MEMBER_H

#include "server/agent.h"

/*
 * How many may be logged in: those with tunnels are members, at most --max-sessions; those
 * that asked for none yet are guests, and few. Both counts are the house's. Internal to server/.
 */

/* After the login. It ends here if there are too many guests. */
void member_be_a_guest(struct agent *a);

/* It asks for its first tunnel: may it stay? The house's mutex is held. */
bool member_be_one(struct agent *a);

/* It is a lane of another one from now on: neither a guest nor a session that is counted. */
void member_is_lane(struct agent *a);

/* It is going, or is no guest any more. The house's mutex is held. Idempotent. */
void member_leave_guests(struct agent *a);
void member_leave(struct agent *a);

#endif
