#ifndef TUNNEL_LINK_H
#define TUNNEL_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "auth/proof.h"
#include "core/list.h"
#include "mux/carrier.h"
#include "mux/session.h"
#include "net/conn.h"
#include "net/timer.h"
#include "tunnel/pipe.h"

/*
 * A session on a connection: feeds what arrives, composes what may leave once
 * a turn, logs in, keeps the timers, and knows the pipes of its streams.
 * Both roles use it; what differs is in link_ops.
 */
struct link;

struct link_ops {
	/* Server, or NULL: whether a login may be tried; see session_ops.admit. */
	enum code (*admit)(struct link *l, uint32_t *retry_ms);
	/* Server: the secret for a HELLO. Returns its length and points *secret
	 * to it, 0 for a credential that is unknown or not allowed here. */
	size_t (*secret)(struct link *l, const struct login_hello *hello, const uint8_t **secret);
	/* Both ends are proved. */
	void (*on_login)(struct link *l);
	void (*on_bind)(struct link *l, const struct bind_request *request);
	void (*on_unbind)(struct link *l, uint32_t bind_id);
	void (*on_answer)(struct link *l, struct stream *st);
	void (*on_bind_ok)(struct link *l, const struct bind_ok *ok);
	void (*on_bind_err)(struct link *l, const struct bind_err *err);
	/* CODE_OK: the owner has tied a pipe to st. */
	enum code (*on_open)(struct link *l, struct stream *st, const struct flow_open *open);
	void (*on_shutdown)(struct link *l, uint32_t drain_ms);
	/* The session drains and its last stream is over, bytes and all. */
	void (*on_drained)(struct link *l);
	/* A connection that is not of a gotunnel client; it closes after. */
	void (*on_stranger)(struct link *l, const uint8_t *data, size_t len);
	/* The connection is lost, the session waits for another one: `why` as in
	 * the end's text. Then it goes on over a new one, or ends. */
	void (*on_detach)(struct link *l, const char *why);
	void (*on_resumed)(struct link *l);
	/* Server: RESUME came; see session_ops.on_resume. The owner calls
	 * transfer_adopt() in another turn. */
	enum code (*on_resume)(struct link *l, const struct state_resume *resume);
	/* Server: RESUME of another session came, which is to go on beside this one; see
	 * session_ops.on_ride. The owner calls ride_adopt(). */
	enum code (*on_ride)(struct link *l, const struct state_resume *resume);
	/* Server: JOIN came; see session_ops.on_join. */
	enum code (*on_join)(struct link *l, const struct state_join *join);
	/* Client: the answer to transfer_ask() was no. */
	void (*on_resume_refused)(struct link *l, enum code code);
	/* The session ended; comes once. Streams were reset before. What is
	 * left to say is sent, then on_closed follows. */
	void (*on_end)(struct link *l, const struct session_end *end);
	/* The connection is closed and every pipe is gone: l may be freed. */
	void (*on_closed)(struct link *l);
};

struct link_config {
	struct session_config session;
	enum conn_mode mode;
	bool refuse_plain;	/* server: a plaintext HELLO gets an ERROR */
	struct tls_context *context;
	const char *host;	/* client: for SNI and the certificate */
	const uint8_t *secret;	/* client */
	size_t secret_len;
};

struct link {
	struct worker *worker;
	const struct link_ops *ops;
	void *owner;
	struct link_config config;
	struct conn conn;
	struct carrier carrier;	/* what conn carries: this session, and those of riders */
	struct link *host;	/* whose conn this session goes over; itself, mostly */
	struct list riders, ride; /* whose host this is; on the host's riders */
	struct session session;
	struct proof *proof;
	struct turn flush;	/* compose and send, once a turn */
	struct timer *timer;
	uint64_t timer_due_us;
	uint32_t lowat;		/* TCP_NOTSENT_LOWAT as it is set */
	uint64_t opened_us;
	struct list pipes;
	struct list of_worker;	/* see tunnel/pressure.h */
	bool has_begun;		/* the session was initialised */
	bool is_known;		/* the login succeeded */
	bool is_torn;		/* a rider left amid a frame: conn is of no use any more */
	bool is_parked;		/* nothing is read: it is about to leave its worker */
	bool is_finishing;	/* the session ended, its last words leave */
	bool is_closed;
	uint64_t finish_us;	/* when last words were begun */
};

/* Takes the connected socket fd over. 0 or -errno; on failure fd is closed
 * and no callback comes. config's strings are borrowed. */
int link_open(struct link *l, struct worker *w, int fd, const struct link_config *config,
	const struct link_ops *ops, void *owner);

/* Ends it: streams are reset, and the peer is told goodbye if that can be sent.
 * A link that is not logged in is aborted, for the reason `why`. */
void link_finish(struct link *l, const char *why);

/* Ends it at once without a word; on_end and on_closed follow. */
void link_abort(struct link *l, const char *why);

/* Whether it drains, and no stream and no byte of it is left. */
bool link_is_drained(const struct link *l);

/* Whether it has streams, or bytes of one that are still handed over. */
bool link_has_streams(const struct link *l);

/* Something may have changed what can be composed. */
void link_wake(struct link *l);

/* Why TLS refused the server's certificate, in on_end; see tls_explain(). */
bool link_explain(const struct link *l, char *what, size_t what_cap, char *hint, size_t hint_cap);

#endif
