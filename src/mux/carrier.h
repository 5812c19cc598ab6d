#ifndef MUX_CARRIER_H
#define MUX_CARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/batch.h"
#include "mux/session.h"

/*
 * What one transport carries. A client may hold several transports, its lanes: each has
 * a session of its own, with streams, credit and STATE of its own, and those above
 * lane 0 have joined the one of lane 0, which alone has tunnels. When the transport of one
 * is lost its session goes on over another lane's, by RESUME there, until
 * it has one of its own again:
 *
 *	... frames of the owner | LANE(2, epoch) | frames of lane 2 | LANE(0, epoch) | ...
 *
 * LANE says whose frames follow. At first they are the owner's: of the session that logged
 * in on this transport. Frames of a lane that is not here, or not with this epoch, are
 * dropped: it left, and they were on the way.
 */
struct carrier {
	struct session *owner;	/* NULL: nothing is carried */
	struct session *guests[STATE_LANES_MAX]; /* by their lanes */
	unsigned count;		/* of guests */
	struct session *in;	/* whose frames come now; NULL: nobody's */
	struct session *out;	/* whose frames went last; NULL: somebody's who left */
	bool is_amid;		/* half of a frame of a guest that is `out` went: it may have
				 * forgotten that when it leaves */
	unsigned turn;		/* who composes first */
	uint8_t head[STATE_LANE_FRAME]; /* the beginning of a head, or of LANE */
	unsigned head_len;
	uint32_t left;		/* bytes to the end of the frame that comes */
};

/* Begins with the frames of `owner`, which is borrowed as guests are. */
void carrier_init(struct carrier *c, struct session *owner);

/* The transport changes hands, and goes on with `owner` where that of `from` stood.
 * Guests do not come along. */
void carrier_take_over(struct carrier *c, struct carrier *from, struct session *owner);

/* Nothing is carried any more; legal from inside carrier_feed(). */
void carrier_clear(struct carrier *c);

/* A lane goes on over this transport. False: one with its number is here already. */
bool carrier_add(struct carrier *c, struct session *guest);

/* It leaves. False: half of a frame of it was sent, and the transport is of no
 * use any more. */
bool carrier_remove(struct carrier *c, struct session *guest);

/* As session_feed(), session_may_feed(), session_compose(), session_has_output(), for all
 * of them. A batch has frames of one session, each in turn. */
void carrier_feed(struct carrier *c, const uint8_t *data, size_t len, uint64_t now_us);
bool carrier_may_feed(const struct carrier *c);
void carrier_compose(struct carrier *c, struct batch *b, uint64_t now_us);
bool carrier_has_output(const struct carrier *c);

/* The least that may lie unsent before a keystroke of one of them, see path_lowat(). */
uint32_t carrier_lowat(const struct carrier *c);

#endif
