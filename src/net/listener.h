#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/timer.h"
#include "net/worker.h"

/*
 * A listening socket. Whom it does not accept waits in the kernel's
 * backlog: pausing loses nobody. Without descriptors or memory it pauses by
 * itself and tries again every 200 ms, without spinning.
 */
struct listener {
	struct sock sock;
	struct worker *worker;
	struct turn turn;	/* accepts on in the next turn */
	struct timer *timer;	/* NULL until it was starved once */
	bool paused;
	bool is_private;	/* only this user and root may connect */
	bool starved;		/* no descriptor or memory at the last try */
	unsigned refusals;	/* times it was starved, for the log */
	/* fd is non-blocking, for TCP with TCP_NODELAY and, if asked for,
	 * SO_LINGER{1,0}; it belongs to the callback. */
	void (*on_accept)(struct listener *l, int fd, const struct sockaddr_storage *peer);
	void (*on_starved)(struct listener *l, int error); /* or NULL */
	void *data;
};

/* host: a numeric address, or NULL for every address (IPv6 and IPv4, only
 * IPv4 where there is no IPv6). port 0: the kernel picks. how: SYS_RESET,
 * SYS_SHARED (net/sys.h) or 0. 0 or -errno (EADDRINUSE, EACCES, EADDRNOTAVAIL,
 * EINVAL for a host that is not numeric). */
int listener_open(struct listener *l, struct worker *w, const char *host, uint16_t port,
	unsigned how, void (*on_accept)(struct listener *l, int fd, const struct sockaddr_storage *peer));

/* Whether it could listen there by itself, 0 or -errno. Before SYS_SHARED, which lets in
 * whoever else of this user shares the port. */
int listener_probe(const char *host, uint16_t port);

/* A unix socket at path, mode 0600, which must not exist yet; it stays when
 * the listener is closed. Whoever connects and is neither this user nor root
 * is closed at once. 0 or -errno (EADDRINUSE, ENAMETOOLONG, EACCES, ENOENT). */
int listener_open_unix(struct listener *l, struct worker *w, const char *path,
	void (*on_accept)(struct listener *l, int fd, const struct sockaddr_storage *peer));

void listener_close(struct listener *l);
void listener_pause(struct listener *l, bool paused);
bool listener_is_open(const struct listener *l);
uint16_t listener_port(const struct listener *l);

#endif
