#ifndef CLIENT_BANNER_H
#define CLIENT_BANNER_H

#include <stdbool.h>
#include <stdint.h>

/* Where visitors reach the tunnel, and how it is shown. */
struct banner {
	const char *version;
	const char *server;	/* HOST:PORT */
	const char *encryption;	/* "enabled ✓ (…)" */
	bool reconnects;
	unsigned lanes;
	bool is_http;
	const char *host;	/* for visitors */
	uint16_t port;
	bool only_on_server;	/* the public listener is on loopback */
	const char *local;	/* HOST:PORT */
	bool quiet;		/* the bare address */
};

/* "tcp://HOST:PORT" or "http://HOST:PORT", without the scheme when quiet.
 * Returns out. */
const char *banner_address(const struct banner *b, char *out, unsigned long cap);

/* On a terminal the whole banner the first time and the Forwarding line
 * later; off a terminal one flushed line, `Forwarding ADDRESS -> LOCAL`. */
void banner_print(const struct banner *b, bool first);

#endif
