#ifndef MUX_WINDOW_H
#define MUX_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "mux/credit.h"

/*
 * How far the limit of a stream leads what its destination took: enough that
 * the sender never waits for credit, and little more.
 *
 * A sender that credit stops ends a frame right at its limit, and one that has
 * credit enough does so by chance alone. To know a limit again when a frame ends
 * there, out of any number that were told, its last bits are a hash of the
 * others: chance is one in 4096 then, however even the frames are.
 *
 *	consumed        received                        limit
 *	|---------------|---------- open ---------------|
 *	<------------------- window -------------------> (and up to 8 KiB)
 *
 * The window doubles when limits that were told since it last did have stopped
 * the sender, the destination has run dry, and half of it went by in less than
 * two round trips. It is halved for each doubling of a time in which it could
 * have gone by many times.
 *
 * What comes from beyond a limit that stopped the sender comes one round trip
 * after the CREDIT that raised it: an echo.
 */
enum {
	WINDOW_MOST = 16 * 1024 * 1024,
	WINDOW_CREDIT_MOST = 512 * 1024, /* consumed without a CREDIT */
	WINDOW_MARK = 8 * 1024,		/* what window_mark() adds stays below this */
};

struct window {
	uint64_t mark, mark_us;	/* consumed then: what is judged begins there */
	uint64_t lowest;	/* bytes that waited for the destination, since */
	uint64_t fresh;		/* limits up to here are of a smaller window */
	uint64_t edge, edge_us;	/* the limit before a CREDIT, and when that left */
	uint64_t charged;	/* see mux/grant.h */
	unsigned stops;		/* limits that stopped the sender of late */
	unsigned calm;		/* halves of the window since the last of them */
	bool is_watched;	/* nothing came from beyond the edge yet */
	bool was_reached;	/* a frame ended at it */
	bool is_stopped;	/* the last frame ended at a limit */
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

/* Whether a CREDIT should not wait for more: of what was taken much was not told,
 * or the sender waits for it. */
bool window_is_due(const struct window *w, const struct credit_recv *c);

/* The destination took some; of c they are counted. */
void window_consumed(struct window *w, const struct credit_recv *c);

/* How wide it should be now. */
uint64_t window_judge(struct window *w, const struct credit_recv *c,
	const struct window_terms *terms);

/* The least limit from this one on that is known again. */
uint64_t window_mark(uint64_t limit);

/* The limit of c is about to be raised, and told. */
void window_tell(struct window *w, const struct credit_recv *c, uint64_t now_us);

/* The transport that carried it is gone: what comes next is no echo, however late. */
void window_lost(struct window *w);

#endif
