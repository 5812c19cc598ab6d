#ifndef MUX_SESSION_H
#define MUX_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/batch.h"
#include "core/code.h"
#include "core/list.h"
#include "core/map.h"
#include "mux/credit.h"
#include "mux/path.h"
#include "mux/rtt.h"
#include "mux/stream.h"
#include "wire/bind.h"
#include "wire/control.h"
#include "wire/flow.h"
#include "wire/frame.h"
#include "wire/login.h"
#include "wire/state.h"

/*
 * The protocol as a machine: bytes and the time go in, bytes and events come
 * out. No socket, no clock, no randomness of its own; see gotunnel-protocol(7).
 *
 *	HELLO -> AUTH -> BIND -> OPEN -> DRAIN -> DEAD
 *
 * An open session may outlive its transport, see mux/resume.h; on_detach says
 * that there is none for now, resume_ask() and resume_adopt() that there is
 * a new one.
 *
 * Output is pulled: session_compose() writes control frames first, then asks
 * the owner for the bytes of the streams that are ready, in fair order, so
 * that nothing is read which cannot leave.
 *
 * The owner may call any session_* and stream_* function from inside any callback except
 * session_feed(), session_compose() and session_fini(). A stream handed to
 * the owner (stream_open() or on_open) stays valid until the owner calls
 * stream_release() on it, whatever happens to the session.
 *
 * Times are microseconds of any monotonic clock.
 */
enum session_role { SESSION_CLIENT, SESSION_SERVER };

enum session_state {
	SESSION_HELLO,	/* nothing said yet */
	SESSION_AUTH,	/* messages exchanged, proofs outstanding */
	SESSION_BIND,	/* both ends proved, no tunnel yet */
	SESSION_OPEN,	/* at least one tunnel was bound */
	SESSION_DRAIN,	/* SHUTDOWN was sent or received: no new streams */
	SESSION_LOST,	/* was open, and waits for a new transport */
	SESSION_ASKING,	/* client: has one, RESUME is not answered yet */
	SESSION_SYNCING, /* has one, STATE is being exchanged */
	SESSION_GIVEN,	/* server: its transport goes to the session it resumes */
	SESSION_DEAD,	/* ended with session.end */
};

enum {
	SESSION_STREAM_CREDIT = 256 * 1024,	/* of a stream at first, see mux/grant.h */
	SESSION_POOL = 24 * 1024 * 1024,	/* for all streams, beyond that */
	SESSION_POOL_PART = 36 * 1024 * 1024,	/* a stream may have the square of what
						 * is left of it, divided by this */
	SESSION_FIRST_CREDIT = 1024 * 1024,	/* of the session, in version 1 */
	SESSION_WINDOW = 104 * 1024 * 1024,	/* raised to this once it is open */
	SESSION_STREAM_KEPT = 16 * 1024 * 1024, /* unconsumed bytes of a stream at most, */
	SESSION_KEPT = 104 * 1024 * 1024,	/* and of a session, whatever credit there is */
	SESSION_FLOOR = 16 * 1024,		/* a stream may have this in spite of it */
	SESSION_QUANTUM = 16 * 1024,	/* what a fresh stream may send ahead */
	SESSION_FRAME_MIN = 4 * 1024,	/* no smaller DATA while there is more */
	SESSION_ACK_EVERY = 16 * 1024,	/* bytes, at once, */
	SESSION_ACK_LEAST = 4 * 1024,	/* or these, */
	SESSION_ACK_US = 1000,		/* so long after the last */
	SESSION_CONTROL_MAX = 1024 * 1024, /* control frames queued for the peer */
	SESSION_AGAIN_FRAME = 64 * 1024, /* of what a lost transport carried */
	SESSION_UNANSWERED_MAX = 256,
	SESSION_STREAMS_MAX = 10000,
	SESSION_REPLIES_MAX = 64,
	/* Room that session_compose() wants: one control frame of any kind. */
	SESSION_COMPOSE_MIN = FRAME_HEAD + FRAME_CONTROL_MAX,
};

/* The three secrets that come of a login; see auth/proof.h. */
struct session_proofs {
	uint8_t client[LOGIN_PROOF];
	uint8_t server[LOGIN_PROOF];
	uint8_t resume[LOGIN_PROOF];	/* a key, kept for RESUME */
	uint8_t binding[LOGIN_PROOF];	/* what names this very login */
};

enum session_end_kind {
	SESSION_FINISHED,	/* we closed it in good order */
	SESSION_GONE,		/* the transport ended, or the peer fell silent */
	SESSION_FAILED,		/* we ended it with `code` */
	SESSION_REFUSED,	/* the peer ended it with `code` */
};

struct session_end {
	enum session_end_kind kind;
	enum code code;
	uint32_t retry_ms;
	char text[128];		/* unescaped words of the peer, or ours */
};

struct session;

/* Upcalls, all with the owner given to session_init(). None is NULL unless
 * marked so. Spans live only during the call. */
struct session_ops {
	/* Login. `message` gives our SPAKE2 message; on the server it chooses the
	 * secret by hello (NULL on the client). `prove` takes the peer's message
	 * and both frames (heads included). `random` fills n bytes. `equal` compares
	 * n bytes in constant time. `admit` (server; NULL: everybody) may put a
	 * login off after its HELLO, before anything is worked out for it:
	 * CODE_OK, or the code and, in *retry_ms, when to come again. */
	enum code (*admit)(void *owner, uint32_t *retry_ms);
	enum code (*message)(void *owner, const struct login_hello *hello, uint8_t out[LOGIN_SPAKE]);
	enum code (*prove)(void *owner, const uint8_t peer[LOGIN_SPAKE], struct span hello,
		struct span hello_ack, struct session_proofs *out);
	void (*random)(void *owner, void *out, size_t n);
	bool (*equal)(const void *a, const void *b, size_t n);

	/* Both ends are proved. The client may now binding_ask(). */
	void (*on_login)(void *owner);
	/* It is over; comes once, after on_reset of every live stream. What
	 * session_compose() still gives (an ERROR frame) should be written,
	 * then the transport closed. */
	void (*on_end)(void *owner, const struct session_end *end);
	/* The transport is of no use any more, says `text`; the session waits for
	 * another one. The owner closes it. */
	void (*on_detach)(void *owner, const char *text);
	/* The session is open again, over a new one. */
	void (*on_resumed)(void *owner);
	/* Server, or NULL: the client wants another session to go on over this
	 * one's transport. CODE_OK: the owner moves it there, not from inside
	 * this call, and ends this one; else RESUME_ERR says the code. */
	enum code (*on_resume)(void *owner, const struct state_resume *resume);
	/* Server, or NULL: a session that is open wants another one to go on beside it, as
	 * a lane on its transport. CODE_OK: the owner moved it here; else RESUME_ERR. */
	enum code (*on_ride)(void *owner, const struct state_resume *resume);
	/* Server, or NULL: the client wants this session, which just logged in, to be a
	 * lane of another one. CODE_OK: it is one, and open; else it ends. */
	enum code (*on_join)(void *owner, const struct state_join *join);
	/* Client: the answer to resume_ask() was no. The transport is the one
	 * of the session that was made for it, again. */
	void (*on_resume_refused)(void *owner, enum code code);
	/* The peer opens no more streams. */
	void (*on_shutdown)(void *owner, uint32_t drain_ms);
	/* There is something to compose; may be told again. */
	void (*on_output)(void *owner);

	/* Server. The owner answers each with binding_grant() or _refuse(). */
	void (*on_bind)(void *owner, const struct bind_request *request);
	void (*on_unbind)(void *owner, uint32_t bind_id);
	/* The client reacted to an OPEN: one fewer is unanswered. */
	void (*on_answer)(void *owner, struct stream *st);

	/* Client. */
	void (*on_bind_ok)(void *owner, const struct bind_ok *ok);
	void (*on_bind_err)(void *owner, const struct bind_err *err);
	/* A visitor came. CODE_OK: the owner keeps st, and has set st->user.
	 * Anything else resets it with that code. st is not released inside. */
	enum code (*on_open)(void *owner, struct stream *st, const struct flow_open *open);

	/* Streams. on_data hands bytes over as they arrive; the owner calls
	 * stream_consumed() as the destination's kernel takes them. */
	void (*on_data)(void *owner, struct stream *st, const uint8_t *data, size_t len);
	/* All bytes were handed over and the direction ended in good order. */
	void (*on_close)(void *owner, struct stream *st);
	/* Both directions are over. `code` is the peer's, or why the session
	 * ended. */
	void (*on_reset)(void *owner, struct stream *st, enum code code);
	/* A stream left the session: session_streams() fell. */
	void (*on_over)(void *owner);
	/* Reads up to cap bytes of the source into out: their count, or 0 when
	 * there are none now (stream_ready() will tell). The end of the source
	 * is reported by stream_close() or stream_reset() from inside, with 0
	 * or a last count returned. A count below cap says that the source has
	 * no more for now. It must not release a stream. */
	size_t (*pull)(void *owner, struct stream *st, uint8_t *out, size_t cap);
};

struct session_config {
	enum session_role role;
	uint64_t capabilities;
	uint32_t max_frame;
	uint32_t stream_credit;
	uint64_t login_us;	/* 0: none; from the first tick */
	uint64_t bind_us;	/* server: for the first tunnel, or a RESUME; 0: none */
	uint64_t heartbeat_us;
	uint64_t dead_us;
	uint64_t stuck_us;	/* a transport that takes no byte for so long */
	uint32_t hold_ms;	/* how long it waits for a new transport, at most; with
				 * LOGIN_CAN_RESUME among the capabilities */
	uint64_t sync_us;	/* client: how long an answer to RESUME may take */
	enum code refuse;	/* server: answer HELLO with this ERROR, or CODE_OK */
	struct chunk_pool *pool; /* what is sent or kept comes from there */
	const char *name;	/* client */
	const uint8_t *instance; /* client: LOGIN_INSTANCE bytes */
	const char *key_id;	/* client */
	const char *version;
};

/* Counters for the log and the metrics; only ever added to. */
struct session_counts {
	uint64_t streams, resets_sent, resets_received;
	uint64_t late_bytes;	/* DATA of streams that were no longer live */
	uint64_t resumes;
};

struct session {
	struct session_config config;
	const struct session_ops *ops;
	void *owner;
	enum session_state state;
	bool is_doomed;		/* out of memory for what it has to say: ends soon */
	struct session_end end;

	/* Identity, on the server as the client gave it. */
	char peer_name[LOGIN_NAME_LEN + 1];
	char peer_key_id[LOGIN_KEY_ID_MAX + 1];
	char peer_version[LOGIN_VERSION_MAX + 1];
	uint8_t peer_instance[LOGIN_INSTANCE];
	uint8_t id[LOGIN_SESSION_ID];
	uint32_t epoch;
	uint64_t capabilities;	/* that both ends have */
	uint8_t lane;		/* 0, or what JOIN said; see mux/carrier.h */
	uint32_t max_frame;
	uint32_t peer_credit;	/* a stream of ours starts with this */
	uint8_t method;
	struct session_proofs proofs;
	uint8_t *transcript;	/* HELLO and HELLO_ACK, freed after login */
	size_t hello_len, ack_len;

	/* Streams. */
	struct map streams;	/* live ones by id */
	uint32_t highest;	/* the last id that was opened */
	struct list fresh;	/* ready streams that were idle before: go first */
	struct list bulk;	/* ready streams, in turns */
	struct list starved;	/* ready, but the session's credit is spent */
	struct list due;	/* streams with CREDIT, CLOSE or RESET to write */
	struct list late;	/* streams with a CREDIT that may wait */
	struct credit_send send;
	struct credit_recv recv;
	uint64_t granted;	/* what streams have of SESSION_POOL */
	bool drain_sent;	/* SHUTDOWN was written */
	bool drain_heard;	/* SHUTDOWN came; told once */

	/* Input. */
	uint8_t *partial;	/* an incomplete head or control frame, or NULL */
	size_t partial_len;
	struct frame data;	/* the DATA frame whose payload is arriving */
	struct stream *data_stream; /* NULL: its bytes are dropped */
	uint32_t data_left;
	uint32_t skip_left;	/* of a frame of an unknown type */
	uint64_t taken;		/* stream payload bytes off this transport */
	uint64_t taken_told;	/* of the last ACK */
	uint64_t told_us;	/* when that was */

	/* Output. */
	uint8_t *control;	/* encoded control frames in order, or NULL */
	size_t control_at, control_len, control_cap;
	unsigned replies;	/* provoked frames in it */
	struct path path;	/* what is in flight, and may be */

	/* Resuming. */
	uint64_t hold_us;	/* as both ends agreed; 0: it is not held */
	uint64_t lost_us;	/* since when it is not open */
	uint64_t attached_us;	/* since when it has the transport that is synced */
	char lost_text[128];	/* why it was lost */
	uint32_t sync_last;	/* the last stream that STATE named */
	uint64_t sync_pending;	/* bytes that the peer has and has not consumed */

	/* Time. */
	uint64_t now_us, begun_us;
	uint64_t heard_us;	/* the last byte of the peer */
	uint64_t beat_us;	/* the last HEARTBEAT we began */
	uint64_t credit_us;	/* when the late list is due, UINT64_MAX: empty */
	uint64_t rtt_us;	/* the last measured, 0: none yet */
	struct rtt rtt;		/* and the smallest of late */
	struct session_counts counts;
};

/* Begins. config and ops are borrowed for the life of the session (config is
 * copied, its strings are not). A client's HELLO is ready to compose. 0, or
 * the code that ends it. */
enum code session_init(struct session *s, const struct session_config *config,
	const struct session_ops *ops, void *owner, uint64_t now_us);

/* Frees everything; every stream must have been released. Calls nothing. */
void session_fini(struct session *s);

/* Bytes from the transport; all are taken. After the end they are ignored. */
void session_feed(struct session *s, const uint8_t *data, size_t len, uint64_t now_us);

/* False when more input should not be read until output was written: too many
 * replies are queued. */
bool session_may_feed(const struct session *s);

/* Adds what is to be sent now to an empty batch with storage and room for
 * SESSION_COMPOSE_MIN at least. Everything in it counts as sent; the owner
 * drops the batch. */
void session_compose(struct session *s, struct batch *b, uint64_t now_us);

/* Whether session_compose() would have something to try. */
bool session_has_output(const struct session *s);

/* Timers: heartbeat, death, late credit. Returns the time of the next call
 * wanted. `blocked_us` is since when the transport takes no bytes, 0 if it
 * does. */
uint64_t session_tick(struct session *s, uint64_t blocked_us, uint64_t now_us);

/* Ends the session if it is doomed; on_output came when it was. The owner
 * calls it where no callback of the session is on the stack. */
void session_check(struct session *s);

/* Measures the round trip now: session.rtt_us follows. */
void session_measure(struct session *s);

/* The transport ended. `text` says how ("Connection reset by peer"). An open
 * session that both ends agreed to hold waits for another one; every other
 * ends. */
void session_lost(struct session *s, const char *text, uint64_t now_us);

/* It ends now, whatever was agreed on. */
void session_abandon(struct session *s, const char *text);

/* Ends the session with an ERROR to the peer. */
void session_fail(struct session *s, enum code code, const char *text);
void session_fail_retry(struct session *s, enum code code, uint32_t retry_ms, const char *text);

/* Ends it in good order: all streams are over, or are reset now. */
void session_finish(struct session *s);

/* Says SHUTDOWN: no new streams from now on. */
void session_shutdown(struct session *s, uint32_t drain_ms);

/* The peer's last word: AUTH_ERR or ERROR. Internal to mux/. */
void session_end_by_peer(struct session *s, enum code code, uint32_t retry_ms, struct span text);

/* There is memory again: streams that waited for it compete. */
void session_relieve(struct session *s);

/* Client, right after the login: it is a lane of another session from now on, and
 * open. What the server thinks of that is heard if it does not agree. */
void session_join(struct session *s, const struct state_join *join);

/* Whether what was composed last ended within a frame: the rest has to follow. */
bool session_is_amid_frame(const struct session *s);

/* Live streams. */
unsigned session_streams(const struct session *s);

#endif
