#include "admin/admin.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/inquiry.h"
#include "admin/place.h"
#include "core/addr.h"
#include "core/log.h"
#include "net/listener.h"

struct admin {
	struct worker *worker;
	const struct admin_ops *ops;
	void *owner;
	struct listener local, web;	/* the unix socket, the loopback address */
	struct sockaddr_storage addr;
	char address[ADDR_TEXT_MAX];
	char socket[PLACE_PATH_MAX];
	dev_t dev;			/* of the socket's file: it is removed if it */
	ino_t ino;			/* is still the same */
	struct list inquiries;
	unsigned count;
	struct turn turn;		/* frees, at the end of the turn that closed */
};

/* --- connections ----------------------------------------------------------------- */

static void on_closed(void *data)
{
	struct admin *a = data;

	a->count--;
}

static void accept_one(struct admin *a, int fd, bool is_unix)
{
	struct inquiry_config config = {
		.worker = a->worker,
		.ops = a->ops,
		.owner = a->owner,
		.is_unix = is_unix,
		.on_closed = on_closed,
		.data = a,
	};

	if (a->count == ADMIN_CONNS_MAX)
		close(fd);
	else if (inquiry_open(&a->inquiries, fd, &config) == 0)
		a->count++;
}

static void on_local(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
	(void)peer;
	accept_one(l->data, fd, true);
}

static void on_web(struct listener *l, int fd, const struct sockaddr_storage *peer)
{
	(void)peer;
	accept_one(l->data, fd, false);
}

/* --- the unix socket --------------------------------------------------------------- */

static int listen_at(struct admin *a, const char *path)
{
	int err = listener_open_unix(&a->local, a->worker, path, on_local);

	if (err == -EADDRINUSE && place_probe(path) == 0)
		err = listener_open_unix(&a->local, a->worker, path, on_local);
	return err;
}

/* FOLDER/NAME.sock, or with our process's number where a live one has that. */
static int listen_in(struct admin *a, const char *folder, const char *name)
{
	char tail[16] = "";
	int err = -EADDRINUSE;

	for (int i = 0; i < 2 && err == -EADDRINUSE; i++) {
		int len = snprintf(a->socket, sizeof a->socket, "%s/%s%s.sock", folder, name, tail);

		if (len >= (int)sizeof a->socket)
			return -ENAMETOOLONG;
		err = listen_at(a, a->socket);
		snprintf(tail, sizeof tail, "-%d", (int)getpid());
	}
	return err;
}

static void open_socket(struct admin *a, const char *name)
{
	char folder[PLACE_PATH_MAX] = "its folder", why[400] = "the path is too long";
	struct stat st;
	int fd = admin_folder(folder, sizeof folder), err;

	if (fd == 0)
		fd = place_make(folder, why, sizeof why);
	if (fd < 0) {
		log_warn(NULL, "no admin socket, gotunnel stats cannot find this process: %s", why);
		return;
	}
	err = listen_in(a, folder, name);
	if (!err && lstat(a->socket, &st) == 0) {
		a->dev = st.st_dev;
		a->ino = st.st_ino;
	}
	if (err)
		log_warn(NULL, "no admin socket, gotunnel stats cannot find this process: %s: %s",
			a->socket, strerror(-err));
	else
		a->local.data = a;
	if (err)
		a->socket[0] = '\0';
	close(fd);
}

static void remove_socket(struct admin *a)
{
	struct stat st;

	if (a->socket[0] && lstat(a->socket, &st) == 0 && st.st_dev == a->dev && st.st_ino == a->ino)
		unlink(a->socket);
	a->socket[0] = '\0';
}

/* --- the loopback address ------------------------------------------------------------ */

static void set_port(struct sockaddr_storage *sa, uint16_t port)
{
	if (sa->ss_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)sa)->sin6_port = htons(port);
	else
		((struct sockaddr_in *)(void *)sa)->sin_port = htons(port);
}

static int open_web(struct admin *a, const char *host, uint16_t port)
{
	int err;

	if (addr_numeric(host, port, &a->addr) < 0 || !addr_is_loopback((struct sockaddr *)&a->addr))
		return -EINVAL;
	err = listener_open(&a->web, a->worker, host, port, 0, on_web);
	if (err)
		return err;
	a->web.data = a;
	set_port(&a->addr, listener_port(&a->web));
	addr_format((struct sockaddr *)&a->addr, a->address, sizeof a->address);
	return 0;
}

/* --- life ------------------------------------------------------------------------------ */

static void on_turn(struct turn *t)
{
	free(list_entry(t, struct admin, turn));
}

int admin_open(struct admin **out, struct worker *w, const struct admin_config *config,
	const struct admin_ops *ops, void *owner)
{
	struct admin *a = calloc(1, sizeof *a);
	int err;

	*out = NULL;
	if (!a)
		return -ENOMEM;
	a->worker = w;
	a->ops = ops;
	a->owner = owner;
	a->local.sock.fd = a->web.sock.fd = -1;
	list_init(&a->inquiries);
	poller_turn_init(&a->turn, on_turn);
	err = config->host ? open_web(a, config->host, config->port) : 0;
	if (err) {
		free(a);
		return err;
	}
	if (config->socket)
		open_socket(a, config->name);
	*out = a;
	return 0;
}

void admin_close(struct admin *a)
{
	if (!a || list_is_on(&a->turn.node))
		return;
	if (listener_is_open(&a->local))
		listener_close(&a->local);
	if (listener_is_open(&a->web))
		listener_close(&a->web);
	remove_socket(a);
	inquiry_close_all(&a->inquiries);
	poller_defer(&a->worker->poller, &a->turn);
}

const char *admin_address(const struct admin *a)
{
	return a->address;
}

const char *admin_socket(const struct admin *a)
{
	return a->socket;
}

/* A port of this machine as one can reach it: IPv4 in IPv6 is IPv4, and the
 * address that is none leads to the loopback. */
struct spot {
	bool is_v6;
	uint16_t port;
	uint8_t ip[16];
};

static struct spot spot_of(const struct sockaddr *sa)
{
	const struct sockaddr_in6 *v6 = (const void *)sa;
	const struct sockaddr_in *v4 = (const void *)sa;
	static const uint8_t none[16] = { 0 };
	struct spot s = { .is_v6 = sa->sa_family == AF_INET6 };

	s.port = s.is_v6 ? v6->sin6_port : v4->sin_port;
	if (!s.is_v6)
		memcpy(s.ip, &v4->sin_addr, 4);
	else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		memcpy(s.ip, v6->sin6_addr.s6_addr + 12, 4);
	else
		memcpy(s.ip, &v6->sin6_addr, 16);
	if (s.is_v6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		s.is_v6 = false;
	if (memcmp(s.ip, none, sizeof none) == 0) {
		s.ip[0] = s.is_v6 ? 0 : 127;
		s.ip[s.is_v6 ? 15 : 3] = 1;
	}
	return s;
}

bool admin_is_at(const struct admin *a, const struct sockaddr *sa)
{
	struct spot own, other;

	if (!a || !a->address[0] || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
		return false;
	own = spot_of((const struct sockaddr *)&a->addr);
	other = spot_of(sa);
	return own.is_v6 == other.is_v6 && own.port == other.port &&
		memcmp(own.ip, other.ip, sizeof own.ip) == 0;
}

int admin_failed(const char *command, const char *host, uint16_t port, int err)
{
	char where[ADDR_TEXT_MAX], hint[64];

	addr_join(host, port, where, sizeof where);
	if (err == -EADDRINUSE)
		snprintf(hint, sizeof hint, "ss -ltnp 'sport = :%u' shows who; or another port", port);
	else
		snprintf(hint, sizeof hint, "try: --admin 127.0.0.1:4040");
	return log_fatal(command, err == -EADDRINUSE || err == -EADDRNOTAVAIL ? 7 : 1, hint,
		"cannot listen on --admin %s: %s", where, strerror(-err));
}

int admin_folder(char *out, size_t cap)
{
	return place_folder(0, out, cap);
}
