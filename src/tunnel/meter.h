#ifndef TUNNEL_METER_H
#define TUNNEL_METER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tunnel/tap.h"

/*
 * Counts one stream into its tunnel's traffic, and shows its bytes to the tap.
 * Embedded in a pipe; zeroed it counts for itself alone. The socket is the
 * visitor's on a server and the service's on a client: `of_socket` tells the
 * bytes that the socket gave from those that it is to take.
 */
struct meter {
	struct traffic *traffic;	/* where it is counted, or NULL */
	struct tap *tap;		/* who watches, or NULL */
	bool of_visitor;		/* the socket is the visitor's */
	uint64_t begun_us;
	uint64_t up, down;		/* bytes of the socket, and to it */
	size_t queued;			/* bytes that wait, as counted */
};

void meter_init(struct meter *m, bool of_visitor, uint64_t now_us);

/* A stream of this tunnel, from now on; once. */
void meter_open(struct meter *m, struct trace *trace, struct traffic *traffic,
	const struct flow_addr *visitor);

/* There is a socket. */
void meter_connected(struct meter *m, uint64_t now_us);

/* Bytes pass in this direction; what of them really went is counted apart. */
void meter_show(struct meter *m, bool of_socket, const void *data, size_t len);
void meter_count(struct meter *m, bool of_socket, size_t len);

/* So many bytes wait now for the socket to take them. */
void meter_queue(struct meter *m, size_t len);

/* A direction ended in good order: the socket's, or the other. */
void meter_end(struct meter *m, bool of_socket);

/* The stream is over, by code or in good order with CODE_OK. */
void meter_close(struct meter *m, enum code code, uint64_t now_us);

#endif
