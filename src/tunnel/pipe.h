#ifndef TUNNEL_PIPE_H
#define TUNNEL_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/list.h"
#include "core/backlog.h"
#include "mux/session.h"
#include "net/poller.h"
#include "net/timer.h"
#include "tunnel/meter.h"

struct link;

/*
 * A stream joined to a socket: a visitor's on the server, the local service's
 * on the client. The socket may come later than the stream (the client dials
 * when the OPEN arrives); until then what arrives waits in the queue, which
 * the stream's credit bounds.
 *
 *	stream --on_data--> [queue] --send--> socket
 *	stream <---pull------ recv ---------- socket
 *
 * The socket has SO_LINGER{1,0} from birth, so that whatever goes wrong ends
 * in RST. It loses it when both directions ended in good order.
 */
enum pipe_state {
	PIPE_WAITING,	/* no socket yet */
	PIPE_FLOWING,	/* both ends are there */
	PIPE_ANSWERING,	/* there will be no socket: the stream gets a last word */
	PIPE_HANDING,	/* the stream was reset by the far end: what is queued is
			 * still handed over, then RST */
	PIPE_DONE,	/* over; freed in the next turn */
};

struct pipe {
	enum pipe_state state;
	struct link *link;
	struct stream *stream;	/* NULL once let go */
	uint32_t id;		/* of the stream, for the log */
	struct sock sock;
	struct backlog queue;	/* bytes for the socket that it did not take; while answering
				 * what is still to be said */
	bool fin_due;		/* the stream ended: FIN after the queue */
	bool fin_sent;
	bool eof;		/* the socket ended in good order */
	bool broken;		/* the socket takes no more bytes */
	enum code code;		/* why it was reset, CODE_OK: it was not */
	bool by_peer;		/* the far end reset it */
	uint64_t moved_us;	/* since when the socket takes nothing of the queue */
	struct meter meter;	/* bytes socket to stream, and back */
	uint64_t ending_us;	/* since when it hands over */
	struct turn turn;
	struct timer *timer;	/* only while handing over or answering */
	struct list node;	/* on link->pipes */
	void *user;		/* the owner's: what on_done is about */
	void (*on_bytes)(struct pipe *p); /* more is queued and no socket there, or NULL */
	void (*on_done)(struct pipe *p); /* before it is freed, or NULL */
};

/* A pipe without a socket. NULL when memory is out. */
struct pipe *pipe_new(struct link *link);

/* Ties the stream to it: st->user becomes the pipe. */
void pipe_join(struct pipe *p, struct stream *st);

/* There will be no socket: the stream gets these bytes, copied, and its end;
 * what it sends is dropped. Only while waiting. */
void pipe_answer(struct pipe *p, const void *data, size_t len);

/* Takes a connected, non-blocking socket over, with SO_LINGER{1,0} set. 0 or -errno; on failure
 * fd is closed and the pipe reset with CODE_OVERLOADED. */
int pipe_attach(struct pipe *p, int fd);

/* The one door: RST to the socket at once, RESET to the stream. Idempotent,
 * legal in any callback. */
void pipe_reset(struct pipe *p, enum code code);

/* What the link passes on from the session. */
size_t pipe_pull(struct pipe *p, uint8_t *out, size_t cap);
void pipe_take(struct pipe *p, const uint8_t *data, size_t len);
void pipe_end(struct pipe *p);
void pipe_was_reset(struct pipe *p, enum code code);

#endif
