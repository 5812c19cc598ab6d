#ifndef MUX_CREDIT_H
#define MUX_CREDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "core/code.h"

/*
 * Flow control by absolute offsets, as in QUIC (RFC 9000, section 4): a limit
 * only rises, so a repeated or late frame is harmless and nothing can be
 * added up to an overflow. One pair of machines serves a stream, another the
 * session as a whole.
 *
 * Offsets are counts of payload bytes since the beginning of the direction.
 */
struct credit_send {
	uint64_t sent;		/* offset after the last byte we sent */
	uint64_t limit;		/* the peer lets us send up to here */
	uint64_t consumed;	/* the destination took everything below */
};

struct credit_recv {
	uint64_t received;	/* offset after the last byte that arrived */
	uint64_t limit;		/* we let the peer send up to here */
	uint64_t consumed;	/* our destination took everything below */
	uint64_t told;		/* `consumed` of the last CREDIT we wrote */
	uint64_t window;	/* how far `limit` leads `consumed` */
};

void credit_send_init(struct credit_send *c, uint64_t limit);

/* How many bytes may go now. */
uint64_t credit_send_open(const struct credit_send *c);

/* Sent bytes that the destination has not taken, as far as we were told. */
uint64_t credit_send_pending(const struct credit_send *c);

/* Counts n bytes as sent; n <= credit_send_open() is not required: the floor
 * of a stream may exceed the session's limit. */
void credit_send_add(struct credit_send *c, uint64_t n);

/* A CREDIT came. Lower or equal values change nothing; `consumed` beyond what
 * was sent is CODE_FLOW_CONTROL. *opened says whether the limit rose. */
enum code credit_send_update(struct credit_send *c, uint64_t limit, uint64_t consumed, bool *opened);

void credit_recv_init(struct credit_recv *c, uint64_t limit, uint64_t window);

/* How many bytes the peer may still send. */
uint64_t credit_recv_open(const struct credit_recv *c);

/* n bytes arrived. Whether they may is judged before, by the frame's head:
 * the floor of a stream may exceed the session's limit. */
void credit_recv_take(struct credit_recv *c, uint64_t n);

/* The destination took n more bytes; never more than arrived. */
void credit_recv_consume(struct credit_recv *c, uint64_t n);

/* Bytes that arrived and were not taken yet. */
uint64_t credit_recv_pending(const struct credit_recv *c);

/* Whether there is anything to tell, and whether it is urgent: a quarter of
 * the window was consumed since the last CREDIT, or the limit was never
 * raised to the window. */
bool credit_recv_has_news(const struct credit_recv *c);
bool credit_recv_is_due(const struct credit_recv *c);

/* Raises the limit to consumed + window and notes that it is being told. */
void credit_recv_tell(struct credit_recv *c);

#endif
