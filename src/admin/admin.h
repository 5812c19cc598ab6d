#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/buf.h"
#include "core/json.h"
#include "net/worker.h"

/*
 * The local admin endpoint of a server or a client: HTTP/1.1 (RFC 9112), GET
 * and HEAD, on a unix socket and, when asked for, on a loopback address; see
 * gotunnel-admin(7). What it answers comes from the owner at the moment of the
 * request.
 *
 *	/metrics	Prometheus text
 *	/healthz	200 while the loop runs
 *	/readyz		200, or 503 with the reason
 *	/api/status	what this process is
 *	/api/tunnels	in the shape that ngrok's users know
 *	/api/stats	everything, for `gotunnel stats`
 *
 * The unix socket is 0600 in a folder 0700 of this user, and whoever connects
 * must be this user or root (SO_PEERCRED). A name that a live process has gets
 * "-PID" appended; a dead process's socket is replaced. On the loopback address
 * Host must name a loopback address and Origin, if there is one, too: 403
 * otherwise.
 *
 * Bounded: ADMIN_CONNS_MAX connections, a request head of ADMIN_HEAD_MAX bytes,
 * ADMIN_PAGE_MAX bytes a page, 5 s for a request to come and for each 64 KiB
 * of an answer to be taken; who is slower is dropped.
 */
enum {
	ADMIN_CONNS_MAX = 32,
	ADMIN_HEAD_MAX = 8 * 1024,
	ADMIN_PAGE_MAX = 64 * 1024 * 1024,
};

struct admin;

/* None is NULL. Each writes what it is asked for and returns; no callback
 * comes after admin_close(). */
struct admin_ops {
	/* Ready for visitors: false with a static reason. */
	bool (*is_ready)(void *owner, const char **why);
	/* The members of the object of /api/status and /api/stats, which is open. */
	void (*status)(void *owner, struct json *j);
	void (*stats)(void *owner, struct json *j);
	/* The elements of the array "tunnels" of /api/tunnels, which is open. */
	void (*tunnels)(void *owner, struct json *j);
	/* Prometheus text, version 0.0.4. */
	void (*metrics)(void *owner, struct buf *out);
};

struct admin_config {
	const char *name;	/* of the unix socket: "server-9000", "client-4711" */
	bool socket;		/* false: no unix socket */
	const char *host;	/* numeric loopback address, or NULL: none */
	uint16_t port;		/* 0: the kernel picks */
};

/* Opens what config asks for. That the unix socket cannot be opened is a
 * warning, which is logged. 0, or -errno for the address: EADDRINUSE, EACCES,
 * EADDRNOTAVAIL, EINVAL for one that is not numeric or not loopback; *out is
 * NULL then. */
int admin_open(struct admin **out, struct worker *w, const struct admin_config *config,
	const struct admin_ops *ops, void *owner);

/* Closes every connection and removes the unix socket; memory goes when the
 * loop has run. Legal in a callback of ops. NULL is legal. */
void admin_close(struct admin *a);

/* "HOST:PORT" of the address, "" when there is none; and the unix socket's
 * path, "" when there is none. Borrowed. */
const char *admin_address(const struct admin *a);
const char *admin_socket(const struct admin *a);

/* Whether a socket address is the admin endpoint's own: no tunnel may lead
 * there. NULL is legal. */
bool admin_is_at(const struct admin *a, const struct sockaddr *sa);

/* Reports that admin_open() failed: --admin HOST:PORT, why, and what to try.
 * Returns the exit code. */
int admin_failed(const char *command, const char *host, uint16_t port, int err);

/* The folder of the unix sockets: $RUNTIME_DIRECTORY, else $XDG_RUNTIME_DIR/gotunnel when that is a
 * folder of this user, else /run/gotunnel for root, else /tmp/gotunnel-UID. 0,
 * or -1 when the path is too long. */
int admin_folder(char *out, size_t cap);

#endif
