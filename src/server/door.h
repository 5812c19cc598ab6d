#ifndef SERVER_DOOR_H
#define SERVER_DOOR_H

#include <stdint.h>

#include "server/agent.h"

/* Who may come in at the control port, and what becomes of their source;
 * counts and tells whom it turns away. Internal to server/. */

/* A connection was accepted, a->peer and a->who say from where. False: it is
 * to be closed at once. */
bool door_admit(struct agent *a);

/* It has said HELLO. 0, or how long it must wait before it may try again. */
uint32_t door_try(struct agent *a);

/* It is logged in. */
void door_login(struct agent *a);

/* Its session ended before it was logged in; it is about to be told. */
void door_fail(struct agent *a);

/* It is closed, whatever it came to. */
void door_leave(struct agent *a);

/* Ends the agents of h that had to make room for one of another worker. */
void door_evict(struct hub *h);

#endif
