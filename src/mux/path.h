#ifndef MUX_PATH_H
#define MUX_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What is in flight on a transport, and how much should be: as much as fills
 * the way to the other end, and not the queue before its narrowest place. Then
 * a download has all the rate there is, and a keystroke beside it does not wait.
 *
 *	cap = rate * (round trip of the empty path + allowance)
 *
 * Rate and round trip are measured by the peer's ACKs. The rate is a sample as
 * BBR takes it (draft-cardwell-iccrg-bbr-congestion-control); the allowance is
 * added and not multiplied, so that a short path is not held back. On a path so
 * short and fast that its ends are the bottleneck, a loopback above all, it is
 * a number of bytes: more makes nothing faster there, and everything wait.
 * TCP beneath does what it always does about loss.
 *
 *	PATH_OPENING	doubles with each round trip, until the rate does not follow
 *	PATH_STEADY	the cap as above, once a round trip
 *	PATH_ASKING	now and then it is lowered: how long is the empty path?
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
	PATH_MARKS = 128,
	PATH_RATES = 10,
	PATH_QUIET = 16 * 1024,		/* with no more in flight nothing is measured, */
					/* nor with a quarter of the cap */
	PATH_CAP_FIRST = 64 * 1024,
	PATH_CAP_LEAST = 20 * 1024,	/* above what a peer leaves unacknowledged */
	PATH_FRAME_LEAST = 4 * 1024,
	PATH_FRAME_MOST = 256 * 1024,
	PATH_FRAME_HURRY = 128 * 1024,	/* while a keystroke may come at any moment */
	PATH_FRAME_UNKNOWN = 16 * 1024,
	PATH_LOWAT_LEAST = 16 * 1024,
	PATH_LOWAT_MOST = 128 * 1024,
};

/* What was known when the bytes before `offset` had been sent. */
struct path_mark {
	uint64_t offset, at_us;
	uint64_t acked, acked_us;	/* delivered by then, and since when */
	uint64_t first_us;		/* when what was delivered last had been sent */
};

struct path {
	uint64_t put;		/* stream payload bytes onto this transport */
	uint64_t acked;		/* of the peer's last ACK */
	uint64_t rate;		/* delivered a second, 0: not known */
	uint64_t min_rtt_us;	/* of the empty path, 0: not known */
	uint64_t cap;		/* the most to have in flight */
	enum path_phase phase;

	/* Marks of what is in flight, in a ring that is only there under load. */
	struct path_mark *marks;
	unsigned first, count;
	uint64_t acked_us, first_us, sent_us;
	uint64_t hurry_us;	/* until then somebody is in a hurry beside bulk */

	/* Filters. */
	uint64_t rates[PATH_RATES]; /* the most in each tenth of the window */
	unsigned rate_at;
	uint64_t rate_aged_us;	/* how old the current tenth is */
	uint64_t rtts[2], rtts_us; /* the least in each 5 s, and since when */
	uint64_t near_us;	/* when the path was last seen without a queue */
	uint64_t epoch_acked, epoch_us; /* since when ACKs came ahead of the rate */
	uint64_t burst;		/* how far they do, on average over rounds */

	/* This round: until what was sent before it is acknowledged. */
	uint64_t round_end, round_us, round_acked;
	uint64_t round_rtt_us, round_rate, round_burst;
	bool is_full;		/* there was more to send than could be */
	bool is_capped;		/* the cap held it back */

	/* From round to round. */
	uint64_t last_rate;	/* the round before */
	uint64_t mean_bytes, mean_us; /* what rounds moved in how long */
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

/* An ACK of the bytes before offset, which must be within [acked, put]. */
void path_acked(struct path *p, uint64_t offset, uint64_t now_us);

/* A round trip that was measured otherwise, by a HEARTBEAT. */
void path_heard(struct path *p, uint64_t rtt_us, uint64_t now_us);

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

/* Since when the peer has acknowledged nothing although it should, 0: it does. */
uint64_t path_stuck_us(const struct path *p);

/* Frees the marks if nothing was sent lately. */
void path_rest(struct path *p, uint64_t now_us);

#endif
