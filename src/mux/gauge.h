#ifndef MUX_GAUGE_H
#define MUX_GAUGE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What is measured of a transport by the ACKs of its peer: what is in flight, the
 * rate at which it is delivered, the round trip. What follows is for mux/path.h.
 *
 *	0         acked                                put
 *	|           |      mark       mark      mark     |
 *	'-delivered-'------------- in flight ------------'	stream payload bytes
 *
 * A mark keeps what was known when its bytes were sent. The ACK that reaches it
 * gives one sample of the round trip and one of the rate, as BBR takes them
 * (draft-cardwell-iccrg-bbr-congestion-control): what was delivered meanwhile,
 * over the time in which it was sent or acknowledged, whichever is longer.
 *
 *	rate		the most of a second, or of ten round trips; only rounds
 *			whose sender was held back count as time
 *	min_rtt_us	the least of 5 to 10 s, or of 40 to 80 round trips
 *	burst		how far ACKs come ahead of the rate, on average
 *	mean rate	what rounds moved, whatever their samples say
 *
 * A round is until all is acknowledged that had been sent when it began.
 *
 * No clock and no socket; times are microseconds of any monotonic clock, rates
 * bytes a second. The marks belong to the gauge and are all that it allocates;
 * without memory for them nothing is measured. Whatever a peer acknowledges, and
 * when, what is measured is bounded, so that what follows does not overflow.
 */
#define GAUGE_RTT_MOST (UINT64_C(60) * 1000 * 1000)
#define GAUGE_RATE_MOST (UINT64_C(1) << 40)
#define GAUGE_BYTES_MOST (UINT64_C(1) << 40)	/* of a sample or a burst */

enum {
	GAUGE_MARKS = 128,
	GAUGE_RATES = 10,
	GAUGE_QUIET = 16 * 1024,	/* with no more in flight nothing is measured, */
					/* nor with a quarter of the cap */
	GAUGE_ACK_DUE = 20 * 1024,	/* above what a peer leaves unacknowledged */
};

/* What was known when the bytes before `offset` had been sent. */
struct gauge_mark {
	uint64_t offset, at_us;
	uint64_t acked, acked_us;	/* delivered by then, and since when */
	uint64_t first_us;		/* when what was delivered last had been sent */
};

struct gauge_round {
	uint64_t rtt_us;	/* the least, 0: none was measured */
	uint64_t rate;		/* the most, 0: none was measured */
	uint64_t burst;		/* the most that came ahead of the rate */
	bool is_full;		/* there was more to send than could be */
	bool is_capped;		/* the cap held it back */
};

struct gauge {
	uint64_t put;		/* stream payload bytes onto this transport */
	uint64_t acked;		/* of the peer's last ACK */
	uint64_t rate;		/* delivered a second, 0: not known */
	uint64_t min_rtt_us;	/* of the empty path, 0: not known */
	uint64_t burst;		/* how far ACKs come ahead of the rate */

	/* Marks of what is in flight, in a ring that is only there under load. */
	struct gauge_mark *marks;
	unsigned first, count;
	uint64_t acked_us, first_us, sent_us;

	/* Filters. */
	uint64_t rates[GAUGE_RATES]; /* the most in each tenth of the window */
	unsigned rate_at;
	uint64_t rate_aged_us;	/* how old the current tenth is */
	uint64_t rtts[2], rtts_us; /* the least in each half of the window, and since when */
	uint64_t near_us;	/* when the path was last seen without a queue */
	uint64_t epoch_acked, epoch_us; /* since when ACKs came ahead of the rate */
	uint64_t mean_bytes, mean_us; /* what rounds moved in how long */

	/* Rounds. */
	uint64_t round_end, round_us, round_acked; /* of this one: its bounds */
	struct gauge_round round;
	struct gauge_round last; /* the last that gauge_acked() told of, */
	uint64_t before_rate;	/* and the rate of the one before */
};

/* Nothing is known of a new transport. gauge_fini() frees the marks; it is
 * legal more than once, and on zeroes. */
void gauge_init(struct gauge *g);
void gauge_fini(struct gauge *g);

/* n bytes are handed to the transport, by who wants no more than cap in flight. */
void gauge_sent(struct gauge *g, uint64_t n, uint64_t cap, uint64_t now_us);

/* There is more to send, but for what is in flight (is_capped), or as the
 * transport takes no more. */
void gauge_full(struct gauge *g, bool is_capped);

/* An ACK of the bytes before offset, which must be within [acked, put]. True: it
 * ends a round that tells how the path is, as the sender was held back; see last. */
bool gauge_acked(struct gauge *g, uint64_t offset, uint64_t now_us);

/* A round trip that was measured otherwise, by a HEARTBEAT. */
void gauge_heard(struct gauge *g, uint64_t rtt_us, uint64_t now_us);

/* Frees the marks if nothing was sent lately. */
void gauge_rest(struct gauge *g, uint64_t now_us);

/* Bytes that are sent and not acknowledged. */
uint64_t gauge_flight(const struct gauge *g);

/* Since when the peer has acknowledged nothing although it should, 0: it does. */
uint64_t gauge_stuck_us(const struct gauge *g);

/* Bytes that the rate moves in us, which is at most twice GAUGE_RTT_MOST. */
uint64_t gauge_moved(const struct gauge *g, uint64_t us);

/* The rate is as the last two rounds say, whatever was before. */
void gauge_renew_rate(struct gauge *g);

/* What rounds moved since gauge_restart_mean(), the last four above all; 0: none. */
uint64_t gauge_mean_rate(const struct gauge *g);
void gauge_restart_mean(struct gauge *g);

/* Whether the path was not seen without a queue for so long that min_rtt_us may
 * be of another one. gauge_refresh(): now it was, as far as it ever is. */
bool gauge_is_stale(const struct gauge *g, uint64_t now_us);
void gauge_refresh(struct gauge *g, uint64_t now_us);

#endif
