#ifndef NET_WORKER_H
#define NET_WORKER_H

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/chunk.h"
#include "core/metrics.h"
#include "net/poller.h"

/*
 * A loop with what everything on it shares: the poller, scratch buffers for
 * input, and a small pool of output buffers. There is one worker today;
 * nothing on the data path knows another.
 *
 * Scratch lives from one recv to the end of its handling and is never kept.
 * An output buffer belongs to the connection that could not send all of it,
 * until it has.
 */
enum {
	WORKER_SCRATCH = 512 * 1024,
	WORKER_COMPOSE = 256 * 1024 + 4096,	/* plaintext composed at once */
	WORKER_OUT = WORKER_COMPOSE + 4096,	/* with the overhead of TLS */
};

struct pressure;

struct worker {
	uv_loop_t *loop;
	struct poller poller;
	uint8_t *raw;		/* WORKER_SCRATCH: what recv gives */
	uint8_t *plain;		/* WORKER_SCRATCH: what TLS makes of it */
	uint8_t *spare[2];	/* output buffers at rest, or NULL */
	struct chunk_pool chunks; /* what streams have sent and keep */
	struct budget budget;	/* of these, and of what waits in queues */
	size_t objects;		/* bytes of streams and sessions, about */
	struct tide tide;	/* of these */
	struct pressure *pressure; /* who acts when it is short (tunnel/), or NULL */
	struct metrics metrics;	/* this worker's shard */
};

/* 0 or -errno. */
int worker_init(struct worker *w, uv_loop_t *loop);

/* Begins to close the handles; run the loop until it returns, then call
 * worker_fini(). */
void worker_close(struct worker *w);
void worker_fini(struct worker *w);

/* WORKER_OUT bytes, or NULL when memory is out. */
uint8_t *worker_take(struct worker *w);
void worker_give(struct worker *w, uint8_t *buffer);

/* Something of about so many bytes was made, or freed. */
void worker_grew(struct worker *w, size_t n);
void worker_shrank(struct worker *w, size_t n);

/* Frees buffers at rest, and the pages of scratch; for the moment when nothing was
 * sent for a while. Not from inside a callback with data. */
void worker_trim(struct worker *w);

/* Monotonic microseconds, in the scaled time of net/timer.h. */
uint64_t worker_now(const struct worker *w);

#endif
