#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/batch.h"
#include "net/poller.h"
#include "net/tls.h"
#include "net/worker.h"

/*
 * The transport of a session: a connected socket, maybe with TLS. Input is
 * pushed as it comes; output is composed into a buffer that this connection
 * lends, and leaves at once or stays until the kernel takes it. While any
 * stays, conn_can_send() is false and nothing more is composed.
 */
struct conn;

enum conn_mode {
	CONN_PLAIN,
	CONN_TLS_CLIENT,
	CONN_TLS_SERVER,
	CONN_SNIFF,	/* server: the first byte says plain or TLS */
};

/* None comes from inside conn_open() or after conn_close(). */
struct conn_ops {
	/* Bytes may be sent; with TLS the handshake is done. */
	void (*on_open)(struct conn *c);
	void (*on_bytes)(struct conn *c, const uint8_t *data, size_t len);
	/* conn_can_send() became true again. */
	void (*on_space)(struct conn *c);
	/* The first bytes on a sniffing connection are of no gotunnel client. */
	void (*on_stranger)(struct conn *c, const uint8_t *data, size_t len);
	/* It ended from outside: `why` is "Connection reset by peer", "closed
	 * by the other side", or what TLS says. The owner calls conn_close(). */
	void (*on_lost)(struct conn *c, const char *why);
};

struct conn {
	struct sock sock;
	struct worker *worker;
	const struct conn_ops *ops;
	enum conn_mode mode;
	struct tls_context *context;
	const char *host;
	struct tls *tls;	/* NULL: plain, or not known yet */
	struct turn turn;	/* reads on in the next turn */
	uint8_t *out;		/* storage of what the kernel did not take, or NULL */
	struct batch unsent;	/* of it, and of chunks */
	bool is_open;		/* on_open was called */
	bool is_closed;
	bool reading;		/* the owner wants input */
	uint64_t blocked_us;	/* since when `out` stays, 0: it does not */
	uint64_t received, sent; /* bytes of the socket */
};

/* Takes fd over (connected, non-blocking). context may be NULL for CONN_PLAIN;
 * host is for SNI and the check of the name, NULL on a server; both are
 * borrowed. 0 or -errno; on failure fd is closed. */
int conn_open(struct conn *c, struct worker *w, int fd, enum conn_mode mode,
	struct tls_context *context, const char *host, const struct conn_ops *ops);

/* The one door: idempotent, legal in any callback. Sends close_notify when
 * nothing else is waiting; what the kernel has still leaves. */
void conn_close(struct conn *c);

/* c, which is closed, takes the connection of `from`, with what it has not sent
 * and not read; `from` is closed then. Not from inside a callback of `from`.
 * 0 or -errno; on failure both are closed. */
int conn_take_over(struct conn *c, struct conn *from, const struct conn_ops *ops);

/*
 * To another worker, whose thread goes on with it: conn_leave() on the old one,
 * conn_arrive() on the new one, and nothing in between. What is unsent goes with
 * it, and what TLS has of a record that is not whole; what has not been read is
 * in the kernel. Not from inside a callback of c. conn_arrive() returns 0 or
 * -errno; on failure the descriptor is closed and conn_close() is due.
 */
void conn_leave(struct conn *c);
int conn_arrive(struct conn *c, struct worker *w);

/* The other side has proved who it is: limits for strangers end. */
void conn_trust(struct conn *c);

bool conn_can_send(const struct conn *c);

/* Makes b ready to be composed into; false when memory is out. Then conn_send(),
 * which takes the batch over (an empty one is legal). */
bool conn_begin(struct conn *c, struct batch *b);
void conn_send(struct conn *c, struct batch *b);

/* A few words to whom is no gotunnel client, in on_stranger: sent as far as
 * the kernel takes them, then the end of our side. */
void conn_say(struct conn *c, const void *data, size_t len);

/* Stops and resumes on_bytes. */
void conn_read(struct conn *c, bool reading);

bool conn_is_encrypted(const struct conn *c);
/* "TLSv1.3, TLS_AES_128_GCM_SHA256" once it is open, or "plaintext". */
const char *conn_describe(const struct conn *c, char *buf, size_t cap);

#endif
