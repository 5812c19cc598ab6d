#ifndef CMD_STATS_FETCH_H
#define CMD_STATS_FETCH_H

#include <stdbool.h>
#include <sys/types.h>

#include "core/buf.h"
#include "net/worker.h"

/* Asking an admin socket for /api/stats. */
enum stats_fetch_result {
	STATS_FETCH_DONE,
	STATS_FETCH_FAILED,	/* it cannot be connected to: error says why */
	STATS_FETCH_EMPTY,	/* closed without a word: not for this user, too many ask, it ends */
	STATS_FETCH_LATE,	/* no whole answer within 5 s */
	STATS_FETCH_WRONG,	/* an answer, but none of gotunnel's: why says what */
	STATS_FETCH_STOPPED,	/* *stop was set meanwhile */
};

struct stats_fetch {
	/* Given: */
	struct worker *worker;
	const char *path;
	const bool *stop;	/* or NULL: nothing stops it */
	/* Filled: */
	struct buf page;	/* what stands in the answer; the caller frees it */
	pid_t pid;		/* of the other end, 0 when it is not known */
	int error;
	char why[128];
};

/* Runs the worker's loop until it is known. */
enum stats_fetch_result stats_fetch(struct stats_fetch *f);

#endif
