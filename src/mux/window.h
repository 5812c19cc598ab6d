#ifndef MUX_WINDOW_H
#define MUX_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "mux/credit.h"

/*
 * How far the limit of a stream leads what its destination took: enough that
 * the sender never waits for credit, and no more. Of what the receiver sees:
 *
 *	edge: a limit that was raised by a CREDIT which is on its way. A sender
 *	without other credit stops there, and what comes beyond it comes one round
 *	trip after that CREDIT, an echo. Where the edge falls into a frame the
 *	sender had credit enough.
 *
 * The window doubles when the last two edges stopped the sender, its
 * destination has run dry, and half of it went by in less than two round
 * trips. It is halved, down to what a stream starts with, for each doubling of a time
 * in which it could have gone by many times.
 */
enum {
	WINDOW_MOST = 16 * 1024 * 1024,
	WINDOW_CREDIT_MOST = 512 * 1024,	/* consumed without a CREDIT */
};

struct window {
	uint64_t mark, mark_us;	/* consumed then: what is judged begins there */
	uint64_t lowest;	/* bytes that waited for the destination, since */
	uint64_t edge, edge_us;	/* the limit before a CREDIT, and when that left */
	uint64_t charged;	/* see mux/grant.h */
	unsigned stops;		/* edges in a row that stopped the sender */
	bool is_watched;	/* nothing came from beyond the edge yet */
	bool was_reached;	/* a frame ended at it */
};

/* What a window is judged by. */
struct window_terms {
	uint64_t now_us;
	uint64_t rtt_us;	/* the smallest of late, 0: not known */
	uint64_t least;		/* it is not halved below this */
	uint64_t most;		/* nor doubled above, nor left there */
	bool is_short;		/* of memory: it does not double, and is halved */
};

/* A stream whose limit c is new. */
void window_init(struct window *w, const struct credit_recv *c);

/* Bytes arrived; `ends_frame` with the last of a frame. Of c they are counted. True:
 * the echo of a CREDIT, *echo_us is how long it took. */
bool window_arrived(struct window *w, const struct credit_recv *c, bool ends_frame,
	uint64_t now_us, uint64_t *echo_us);

/* The destination took some; of c they are counted. */
void window_consumed(struct window *w, const struct credit_recv *c);

/* How wide it should be now. */
uint64_t window_judge(struct window *w, const struct credit_recv *c,
	const struct window_terms *terms);

/* The limit of c is about to be told. */
void window_tell(struct window *w, const struct credit_recv *c, uint64_t now_us);

#endif
