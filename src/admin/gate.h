#ifndef ADMIN_GATE_H
#define ADMIN_GATE_H

#include <stdbool.h>

#include "admin/request.h"

/*
 * Who may ask. A page in a browser of this machine can send requests to a
 * loopback address, and by DNS rebinding under a name of its own: so Host must
 * be localhost, a literal of 127.0.0.0/8 or [::1], and Origin, if there is
 * one, http:// before such a host. On the unix socket, where no browser comes,
 * Origin is refused and Host means nothing. HTTP/1.1 without Host is 400.
 */

/* 0, or the status to answer with a static reason. */
unsigned gate_check(const struct request *r, bool is_unix, const char **why);

#endif
