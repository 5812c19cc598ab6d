#include "net/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "core/addr.h"
#include "net/sys.h"

enum { ACCEPTS_A_TURN = 64, BACKLOG = 1024, RETRY_MS = 200 };

static void on_retry(struct timer *t)
{
	struct listener *l = t->data;

	l->starved = false;
	poller_defer(&l->worker->poller, &l->turn);
}

/* Waits for relief: a descriptor or memory that others give back. */
static void starve(struct listener *l, int error)
{
	l->starved = true;
	l->refusals++;
	if (!l->timer)
		l->timer = timer_new(l->worker->loop, on_retry, l);
	if (l->timer)
		timer_start(l->timer, RETRY_MS);
	else
		l->starved = false; /* The next visitor tries again. */
	if (l->on_starved)
		l->on_starved(l, error);
}

/* Whether the peer of a unix socket is this user or root. */
static bool is_own(int fd)
{
	uid_t uid;
	pid_t pid;

	return sys_peer(fd, &uid, &pid) == 0 && (uid == 0 || uid == geteuid());
}

/* One accept. False when there is nothing more to accept for now. */
static bool accept_one(struct listener *l)
{
	struct sockaddr_storage peer;
	int fd = sys_accept(l->sock.fd, &peer);

	if (fd >= 0 && l->is_private && !is_own(fd)) {
		close(fd);
		return true;
	}
	if (fd >= 0) {
		l->on_accept(l, fd, &peer);
		return l->sock.fd >= 0 && !l->paused;
	}
	switch (fd) {
	case -EAGAIN:
		l->sock.readable = false;
		return false;
	case -EMFILE:
	case -ENFILE:
	case -ENOBUFS:
	case -ENOMEM:
		starve(l, fd);
		return false;
	}
	return true; /* ECONNABORTED and what the network did to that one. */
}

static void accept_some(struct listener *l)
{
	if (l->sock.fd < 0 || l->paused || l->starved || !l->sock.readable)
		return;
	for (int i = 0; i < ACCEPTS_A_TURN; i++)
		if (!accept_one(l))
			return;
	poller_defer(&l->worker->poller, &l->turn);
}

static void on_turn(struct turn *t)
{
	accept_some(list_entry(t, struct listener, turn));
}

static void on_event(struct sock *s)
{
	accept_some(list_entry(s, struct listener, sock));
}

static int listen_any(uint16_t port, unsigned how)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = sys_listen((struct sockaddr *)&v6, BACKLOG, how | SYS_DUAL);

	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = sys_listen((struct sockaddr *)&v4, BACKLOG, how);
	return fd;
}

static void prepare(struct listener *l, struct worker *w,
	void (*on_accept)(struct listener *l, int fd, const struct sockaddr_storage *peer))
{
	*l = (struct listener){ .worker = w, .on_accept = on_accept, .sock.fd = -1 };
	poller_turn_init(&l->turn, on_turn);
}

/* Takes a listening descriptor, or passes its error on. */
static int start(struct listener *l, int fd)
{
	int err = fd < 0 ? fd : poller_add(&l->worker->poller, &l->sock, fd, on_event);

	if (err && fd >= 0)
		close(fd);
	return err;
}

static int listen_at(const char *host, uint16_t port, unsigned how)
{
	struct sockaddr_storage addr;

	if (!host)
		return listen_any(port, how);
	if (addr_numeric(host, port, &addr) < 0)
		return -EINVAL;
	return sys_listen((struct sockaddr *)&addr, BACKLOG, how);
}

int listener_open(struct listener *l, struct worker *w, const char *host, uint16_t port,
	unsigned how, void (*on_accept)(struct listener *l, int fd, const struct sockaddr_storage *peer))
{
	prepare(l, w, on_accept);
	return start(l, listen_at(host, port, how));
}

int listener_probe(const char *host, uint16_t port)
{
	int fd = listen_at(host, port, 0);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int listener_open_unix(struct listener *l, struct worker *w, const char *path,
	void (*on_accept)(struct listener *l, int fd, const struct sockaddr_storage *peer))
{
	prepare(l, w, on_accept);
	l->is_private = true;
	return start(l, sys_listen_unix(path, BACKLOG));
}

void listener_close(struct listener *l)
{
	list_remove(&l->turn.node);
	timer_free(l->timer);
	l->timer = NULL;
	poller_close_sock(&l->sock);
}

void listener_pause(struct listener *l, bool paused)
{
	if (l->paused == paused || l->sock.fd < 0)
		return;
	l->paused = paused;
	if (!paused)
		poller_defer(&l->worker->poller, &l->turn);
}

bool listener_is_open(const struct listener *l)
{
	return l->sock.fd >= 0;
}

uint16_t listener_port(const struct listener *l)
{
	return sys_local_port(l->sock.fd);
}
