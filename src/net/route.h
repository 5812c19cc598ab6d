#ifndef NET_ROUTE_H
#define NET_ROUTE_H

#include <stddef.h>

/* The address that this machine would send from to the outside: the source of
 * the default route, asked of the kernel without sending a packet. 0 or -1. */
int route_source(char *out, size_t cap);

#endif
