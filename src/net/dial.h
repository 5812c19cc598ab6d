#ifndef NET_DIAL_H
#define NET_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/worker.h"

/*
 * Connecting to HOST:PORT over all the addresses of the name, IPv6 and IPv4
 * in turn, a new attempt every 250 ms or when one fails, the first that
 * connects wins (RFC 8305, Happy Eyeballs). Numeric hosts and cached names
 * ask no resolver.
 */
struct dial;

struct dial_result {
	int fd;			/* connected, non-blocking, owned by the callback; or -1 */
	int error;		/* -errno of the attempt that says most, or 0 */
	int gai;		/* UV_EAI_* when the name did not resolve, or 0 */
	bool timed_out;
	struct sockaddr_storage addr; /* connected to, or last tried; ss_family 0: none */
};

/* The addresses of a name, in the order to be tried. */
enum { DIAL_ADDRS_MAX = 16 };
struct dial_addrs {
	unsigned count;
	struct sockaddr_storage addr[DIAL_ADDRS_MAX];
};

/* A resolved name that is shared by many dials: kept for 30 s, and thrown
 * away when a dial over it fails. Zero-initialised; holds no memory. */
struct dial_cache {
	struct dial_addrs addrs;	/* count 0: nothing is known */
	uint64_t expires_us;
};

struct dial_target {
	const char *host;	/* name or address, without brackets */
	uint16_t port;
	uint64_t timeout_ms;	/* for the whole, resolving included */
	struct dial_cache *cache; /* or NULL */
	bool reset;		/* the socket closes with RST until told otherwise */
};

/* Starts. The callback comes exactly once, from the loop, never from inside
 * this call. Returns NULL when memory is out (no callback then). Strings are
 * copied; the cache must outlive the dial. A connection of a socket to itself counts as
 * ECONNREFUSED. Local sources used up (EADDRNOTAVAIL) and descriptors
 * (EMFILE) are reported as they are. */
struct dial *dial_start(struct worker *w, const struct dial_target *target,
	void (*on_done)(void *owner, const struct dial_result *result), void *owner);

/* Ends it without a callback. */
void dial_cancel(struct dial *d);

/* "Connection refused", "no answer in 10s", "Name or service not known": the
 * cause in words. Static storage or buf. */
const char *dial_text(const struct dial_result *r, uint64_t timeout_ms, char *buf, size_t cap);

#endif
