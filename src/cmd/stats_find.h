#ifndef CMD_STATS_FIND_H
#define CMD_STATS_FIND_H

#include <stddef.h>

#include "admin/place.h"

/* The admin sockets of this user's running processes. */
enum { STATS_FIND_MAX = 256 };

struct stats_find {
	size_t count;
	char paths[STATS_FIND_MAX][PLACE_PATH_MAX];	/* by name */
	char denied[400];	/* why a folder or socket may not be looked at; "": none */
};

/* Looks into every folder there can be, and removes the sockets of dead
 * processes. */
void stats_find(struct stats_find *out);

/* "server-9000" of ".../server-9000.sock"; escaped. Returns out. */
const char *stats_find_name(const char *path, char *out, size_t cap);

/* Whose a path is, or the folder that hides it: "alice (user 1000)". Returns
 * out. */
const char *stats_find_owner(const char *path, char *out, size_t cap);

/* The socket that the table calls NAME. 0, or -1 when there is none. */
int stats_find_by_name(const char *name, char *out, size_t cap);

#endif
