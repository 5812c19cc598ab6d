#ifndef MUX_STREAM_H
#define MUX_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/code.h"
#include "core/list.h"
#include "core/chunk.h"
#include "mux/credit.h"
#include "mux/window.h"
#include "wire/flow.h"
#include "wire/state.h"

struct session;

/*
 * One relayed connection as the session sees it. Each direction ends once, by
 * CLOSE at an offset or by RESET; a RESET in either direction ends both.
 */
enum stream_half {
	STREAM_FLOWING,	/* bytes may come */
	STREAM_ENDING,	/* sending only: the source ended, CLOSE is not written yet */
	STREAM_CLOSED,	/* CLOSE was written or received */
	STREAM_CUT,	/* sending: RESET is not written yet. receiving: we cut it
			 * off, the peer's answer is outstanding */
	STREAM_RESET,	/* RESET was written or received */
};

struct stream {
	/* For the owner. */
	uint32_t id;
	uint32_t bind_id;
	void *user;

	/* For the session. */
	enum stream_half out, in;
	bool is_answered;	/* the client has reacted to the OPEN */
	bool is_owned;		/* the owner has not let go yet */
	bool is_ready;		/* its source may have bytes */
	bool has_closed;	/* CLOSE was written, whatever came after it */
	bool wants_credit;	/* CREDIT has to be written, whatever its news */
	enum code reset_code;
	uint32_t last_frame;	/* bytes of the last DATA frame */
	uint32_t deficit;	/* of its turn among bulk: bytes that it may still send */
	uint64_t lately;	/* bytes sent, halved every 100 ms: sparse or bulk */
	uint64_t lately_us;	/* when it was last halved */
	struct credit_send send;
	struct credit_recv recv;
	struct window window;	/* of recv */
	uint64_t in_final;	/* where the peer's direction ends, if a STATE said so
				 * before its last byte came; else STATE_NO_FINAL */
	uint64_t again;		/* the next byte to send: send.sent, or less while what a
				 * lost transport carried is sent once more */
	struct chunk *kept, *kept_end; /* see mux/kept.h */
	uint64_t taken_us;	/* since when the peer takes nothing of it */
	uint32_t seen;		/* epoch of the last STATE that named it */
	struct flow_open open;	/* server: to be said again to who did not hear it */
	struct list ready;	/* on the session's fresh, bulk or starved list */
	struct list due;	/* on the session's due or late list */
};

/* Server: a visitor came. NULL when the session takes no streams now or
 * memory is out. */
struct stream *stream_open(struct session *s, const struct flow_open *open, void *user);

/* Client: the dial for an OPEN succeeded; tells the server. */
void stream_answer(struct session *s, struct stream *st);

/* The source of st may have bytes. */
void stream_ready(struct session *s, struct stream *st);

/* The destination took n bytes of what on_data handed over. */
void stream_consumed(struct session *s, struct stream *st, size_t n);

/* The source ended in good order after what was pulled so far. */
void stream_close(struct session *s, struct stream *st);

/* Both directions are over now. on_reset does not follow. */
void stream_reset(struct session *s, struct stream *st, enum code code);

/* The owner lets go of st, which is reset if it is not over. */
void stream_release(struct session *s, struct stream *st);

/* Internal to mux/. */

/* Says OPEN to the client, if there is room for it. */
void stream_announce(struct session *s, const struct stream *st);

/* A live stream that nobody owns yet, or NULL when memory is out. */
struct stream *stream_new(struct session *s, uint32_t id, uint32_t bind_id);
void stream_free(struct session *s, struct stream *st);

bool stream_has_ended(enum stream_half half);

/* Marks what still flows as cut and sees to it that RESET is written. */
void stream_cut(struct session *s, struct stream *st, enum code code);

/* Takes st off the session when both its directions are over, and frees it
 * when its owner has let go, too. */
void stream_settle(struct session *s, struct stream *st);

/* n bytes of the session that no destination will take count as taken. */
void stream_drop(struct session *s, uint64_t n);

#endif
