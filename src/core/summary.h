#ifndef CORE_SUMMARY_H
#define CORE_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/buf.h"

/*
 * The `Metrics Summary`: what a client or server prints at its end and on
 * SIGUSR2, and `gotunnel stats` for a running one. Numbers in, text out.
 */
enum { SUMMARY_CODES = 16 };

struct summary {
	uint64_t streams_open, streams, connections;
	uint64_t received, sent;	/* bytes from visitors, and to them */
	uint64_t http_requests, http_unanswered;
	/* Microseconds; count 0: no answer was seen yet. */
	struct {
		uint64_t count, mean, least, most, p50, p90, p99;
	} latency;
	/* Most frequent first; what does not fit is summed in other_codes. */
	struct {
		unsigned status;
		uint64_t count;
	} codes[SUMMARY_CODES];
	size_t code_count;
	uint64_t other_codes;
	uint64_t uptime_ms;
};

/* Counts a status; call for every one, in any order. */
void summary_add_code(struct summary *s, unsigned status, uint64_t count);

/* The rows, each ended by a newline, after the line "Metrics Summary". */
void summary_write(const struct summary *s, bool with_quantiles, struct buf *out);

/* "850µs", "45ms", "1.2s", "2m 5s" of a latency. Returns out. */
const char *summary_latency(uint64_t us, char *out, size_t cap);

#endif
