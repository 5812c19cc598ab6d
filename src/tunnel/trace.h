#ifndef TUNNEL_TRACE_H
#define TUNNEL_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/list.h"
#include "core/log.h"
#include "net/timer.h"
#include "net/worker.h"
#include "tunnel/line.h"

/*
 * What is written about the traffic: a line a request, a line a connection that
 * is not HTTP, the summary. On a terminal they stand on stdout in the look of
 * the screens, at most 100 a second; off one they go to the log, all of them,
 * as lines or as records, whose fields gotunnel(1) describes.
 *
 * A line comes with the answer; a record when the exchange is over, so that it
 * can tell bytes and duration. A connection is told of when it closes, and on
 * the screen also while it is open, once it is a second old.
 */
struct trace {
	struct worker *worker;
	bool is_on;		/* requests and connections are watched at all */
	bool is_server;		/* lines name the tunnel, too */
	bool to_terminal;	/* lines on a terminal: */
	int fd;			/* stdout, or stderr if only that is one */
	bool to_log;		/* lines or records of the log */
	bool records;		/* of it, records */
	struct log_limit limit;	/* of lines on the terminal */
	uint64_t tell_us;	/* when to tell of suppressed ones, 0: there are none */
	struct timer *timer;	/* tells of what lives long */
	struct list young;	/* who waits to be told of, oldest first */
	uint64_t begun_us;
};

struct trace_config {
	bool is_on;
	bool is_server;
	bool quiet;
};

/* 0, or -1 when memory is out. */
int trace_init(struct trace *t, struct worker *w, const struct trace_config *config);

/* Every tap must be gone or be closed later without a line. */
void trace_close(struct trace *t);

/* A request was answered, and it is over. */
void trace_answer(struct trace *t, const struct line_request *r);
void trace_request(struct trace *t, const struct line_request *r);

void trace_connection(struct trace *t, const struct line_connection *c);

/* A connection waits on the young list: on_old comes when it is a second old,
 * unless it is taken off the list before. */
struct trace_young {
	struct list node;
	uint64_t due_us;
	void (*on_old)(struct trace_young *y);
};

void trace_watch(struct trace *t, struct trace_young *y, uint64_t begun_us);

/* The Metrics Summary; `asked` for by somebody it is told though all is quiet. */
void trace_summary(struct trace *t, const struct metrics_traffic *total, bool asked);

#endif
