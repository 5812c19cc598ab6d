#ifndef CLIENT_RETRY_H
#define CLIENT_RETRY_H

#include <stdbool.h>
#include <stdint.h>

/*
 * When to try again, and whether: a machine without a clock. Waits are 1, 2,
 * 4, ... 30 s, jittered downwards by up to a quarter so that the clients of a
 * restarted server do not come all at once. The count begins anew after 60 s
 * of calm, that is of being connected. A session that is lost earlier counts as no
 * attempt, but the waits grow, too, when that happens time after time.
 */
enum retry_cause {
	RETRY_UNREACHABLE,	/* exit 5: not reachable, or the session was lost */
	RETRY_NO_NETWORK,	/* no network of our own: counts only before a success */
	RETRY_REFUSED,		/* exit 4: credentials; always final */
	RETRY_CERTIFICATE,	/* exit 6: final before the first success */
	RETRY_PORT,		/* exit 7: final before the first success */
	RETRY_USAGE,		/* exit 2 or 3: final before the first success */
	RETRY_TOLD,		/* the server asks for patience: counts as no attempt */
};

struct retry_config {
	bool enabled;		/* --no-reconnect: false */
	unsigned attempts;	/* 0: without end */
};

struct retry {
	struct retry_config config;
	bool succeeded;		/* there was a session once */
	unsigned failed;	/* attempts since the last calm */
	uint64_t connected_us;	/* since when there is a session, 0: none */
	unsigned flaps;		/* sessions in a row that were lost before calm */
};

enum retry_verdict { RETRY_AGAIN, RETRY_FINAL, RETRY_GIVE_UP };

void retry_init(struct retry *r, const struct retry_config *config);

/* There is a session now. */
void retry_success(struct retry *r, uint64_t now_us);

/* An attempt failed, or the session was lost. On RETRY_AGAIN *wait_ms says
 * how long to wait; random is any number, for the jitter. */
enum retry_verdict retry_failure(struct retry *r, enum retry_cause cause, uint64_t now_us,
	uint32_t random, uint64_t *wait_ms);

#endif
