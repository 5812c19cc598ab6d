#ifndef TUNNEL_LINE_H
#define TUNNEL_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cursor.h"
#include "tunnel/traffic.h"
#include "wire/flow.h"

/* The lines about the traffic for people: pure, compared character by character
 * in the tests. What comes from a peer is escaped here. */
enum { LINE_TEXT_MAX = 1600 };

enum line_mark { LINE_GOOD, LINE_ODD, LINE_BAD }; /* ✓ ⚠ ✗ */

/* `peer` is the visitor's address as text, see line_peer(). */

/* A request; `status` 0 when it was not answered, and then `end` says why. */
struct line_request {
	const struct traffic *traffic;
	const char *peer;
	struct span method, target;
	bool target_cut;
	unsigned status;
	const char *end;
	uint64_t latency_us, duration_us;
	uint64_t received, sent;
};

/* A connection that is not HTTP/1. */
struct line_connection {
	const struct traffic *traffic;
	const char *peer;
	const char *proto;	/* "tcp", "h2" */
	bool is_open;		/* it goes on: no bytes and duration yet */
	const char *end;	/* "closed", "reset by visitor", … */
	enum line_mark mark;
	uint64_t duration_us;
	uint64_t received, sent;
};

struct line_style {
	bool framed;		/* with "│ HTTP  │ " in front, for a terminal */
	bool color;
	bool names_tunnel;	/* on a server */
	unsigned columns;	/* 0: without an end */
};

enum line_mark line_mark_of(unsigned status);

/* Both return out, of LINE_TEXT_MAX bytes, without a newline. */
const char *line_request(const struct line_request *r, const struct line_style *style, char *out);
const char *line_connection(const struct line_connection *c, const struct line_style *style,
	char *out);

/* "203.0.113.9:51122". Returns out, of ADDR_TEXT_MAX bytes. */
const char *line_peer(const struct flow_addr *peer, char *out);

#endif
