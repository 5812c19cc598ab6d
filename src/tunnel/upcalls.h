#ifndef TUNNEL_UPCALLS_H
#define TUNNEL_UPCALLS_H

#include "mux/session.h"

/* What a session asks of its link, which is its owner. Internal to tunnel/. */
extern const struct session_ops upcalls_ops;

#endif
