#ifndef MUX_PATH_H
#define MUX_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "mux/gauge.h"

/*
 * How much should be in flight on a transport, and in what pieces: as much as
 * fills the way to the other end, and not the queue before its narrowest place.
 * Then a download has all the rate there is, and a keystroke beside it does not
 * wait.
 *
 *	cap = rate * (round trip of the empty path + allowance)
 *
 * Rate and round trip are measured, by mux/gauge.h. BBR has their product times a
 * gain (draft-cardwell-iccrg-bbr-congestion-control); here an allowance is added
 * and not multiplied, so that a short path is not held back. On a path so short
 * and fast that its ends are the bottleneck, a loopback above all, it is a number
 * of bytes: more makes nothing faster there, and everything wait. TCP beneath does
 * what it always does about loss.
 *
 *	PATH_OPENING	doubles with each round trip, until the rate does not follow
 *	PATH_STEADY	the cap as above, once a round trip
 *	PATH_ASKING	now and then it is lowered, and frames with it: how long is
 *			the empty path?
 *	PATH_TESTING	there is a queue that the cap does not explain. Lowered
 *			step by step, until it is as above or the rate falls
 *	PATH_SHARED	then somebody else fills the queue, or the path is noisy:
 *			the cap grows as long as the rate follows, so that the
 *			share is a fair one
 *
 * No clock and no socket; times are microseconds of any monotonic clock, rates
 * bytes a second. It believes a peer nothing but what can be: all that false
 * ACKs do is to make their sender's own transport slow, or its queue long.
 */
enum path_phase { PATH_OPENING, PATH_STEADY, PATH_ASKING, PATH_TESTING, PATH_SHARED };

enum {
	PATH_CAP_FIRST = 64 * 1024,
	PATH_CAP_LEAST = GAUGE_ACK_DUE,	/* with less, no ACK might come */
	PATH_FRAME_LEAST = 4 * 1024,
	PATH_FRAME_MOST = 256 * 1024,
	PATH_FRAME_HURRY = 128 * 1024,	/* while a keystroke may come at any moment */
	PATH_FRAME_UNKNOWN = 16 * 1024,
	PATH_LOWAT_LEAST = 16 * 1024,
	PATH_LOWAT_MOST = 128 * 1024,
};

struct path {
	struct gauge gauge;	/* what is in flight, and how fast; what does not change
				 * the cap is told to it and asked of it alone */
	uint64_t cap;		/* the most to have in flight */
	uint64_t hurry_us;	/* until then somebody is in a hurry beside bulk */
	enum path_phase phase;

	/* From round to round. */
	uint64_t base_rate;	/* what growth or the lack of it is compared with */
	unsigned flat;		/* rounds in which the rate did not follow */
	unsigned high;		/* rounds with a queue that should not be there */
	unsigned low;		/* rounds without one */
	unsigned rounds;	/* of what the phase does */
	uint64_t ask_rtt_us;	/* PATH_ASKING: the least round trip before */
	uint64_t test_cap;	/* PATH_TESTING: the cap before */
	bool is_trying;		/* PATH_SHARED: whether more gives more */
	uint64_t next_us;	/* PATH_SHARED: when to test again */
};

/* Nothing is known of a new transport. path_fini() frees the marks; it is
 * legal more than once, and on zeroes. */
void path_init(struct path *p);
void path_fini(struct path *p);

/* n bytes are handed to the transport. */
void path_sent(struct path *p, uint64_t n, uint64_t now_us);

/* An ACK of the bytes before offset, which must be within the
 * gauge's [acked, put]. */
void path_acked(struct path *p, uint64_t offset, uint64_t now_us);

/* How much more bulk may be sent now, 0: none until the next ACK. To be asked
 * only when there is some: what is held back then is noted. A frame may go
 * beyond it, so that frames are not cut small. */
uint64_t path_open(struct path *p);

/* There is more to send, and the transport takes no more now. */
void path_waits(struct path *p);

/* Whether path_open() would give any; without a note. */
bool path_is_open(const struct path *p);

/* Something small was sent that must not wait for bulk: more is to be expected. */
void path_hurry(struct path *p, uint64_t now_us);

/* The best size of a frame, with others that wait or for a stream alone. */
uint32_t path_frame(const struct path *p, bool is_alone);

/* How much the kernel should have unsent at most. */
uint32_t path_lowat(const struct path *p);

#endif
