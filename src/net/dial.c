#include "net/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "core/addr.h"
#include "core/log.h"
#include "net/sys.h"
#include "net/timer.h"

enum {
	STAGGER_MS = 250,		/* RFC 8305, Connection Attempt Delay */
	CACHE_US = 30 * 1000 * 1000,
};

struct attempt {
	struct sock sock;
	struct dial *dial;
	unsigned index;		/* of its address */
};

struct dial {
	struct worker *worker;
	char *host;
	uint16_t port;
	uint64_t timeout_ms, begun_us;
	struct dial_cache *cache;
	void (*on_done)(void *owner, const struct dial_result *result);
	void *owner;
	struct dial_addrs addrs;
	struct attempt attempts[DIAL_ADDRS_MAX];
	unsigned started, running;
	struct dial_result result;
	struct timer *timer;
	struct turn turn;	/* tells the result, or frees */
	uv_getaddrinfo_t resolver;
	bool resolving, cancelled;
	bool reset;
	bool result_vague;	/* its error says nothing of the other side */
};

static void next(struct dial *d);

/* --- end -------------------------------------------------------------------- */

static void close_attempts(struct dial *d)
{
	for (unsigned i = 0; i < d->started; i++)
		poller_close_sock(&d->attempts[i].sock);
}

static void release(struct dial *d)
{
	if (d->resolving)
		return; /* The resolver still points here; it releases. */
	free(d->host);
	free(d);
}

static void tell(struct turn *turn)
{
	struct dial *d = list_entry(turn, struct dial, turn);

	d->on_done(d->owner, &d->result);
	dial_cancel(d);
}

/* The result stands; it is told from the loop. */
static void finish(struct dial *d)
{
	if (list_is_on(&d->turn.node))
		return;
	if (d->result.fd < 0 && d->cache)
		d->cache->addrs.count = 0;
	timer_stop(d->timer);
	poller_defer(&d->worker->poller, &d->turn);
}

void dial_cancel(struct dial *d)
{
	if (!d || d->cancelled)
		return;
	d->cancelled = true;
	/* Connected, but nobody was told yet: the socket is still ours. */
	if (list_is_on(&d->turn.node) && d->result.fd >= 0)
		close(d->result.fd);
	list_remove(&d->turn.node);
	close_attempts(d);
	timer_free(d->timer);
	d->timer = NULL;
	if (d->resolving)
		uv_cancel((uv_req_t *)&d->resolver);
	release(d);
}

/* --- attempts ----------------------------------------------------------------- */

static void trace(const struct dial *d, unsigned index, const char *what)
{
	char at[ADDR_TEXT_MAX];

	log_debug(NULL, "dialling %s port %u: %s: %s", d->host, d->port,
		addr_format((const struct sockaddr *)&d->addrs.addr[index], at, sizeof at), what);
}

/* Which error says most: one that an address gave rather than none at all,
 * and the first of equals. */
static void keep_error(struct dial *d, unsigned index, int error)
{
	bool vague = error == -ENETUNREACH || error == -EAFNOSUPPORT || error == -EADDRNOTAVAIL;

	trace(d, index, strerror(-error));
	if (d->result.error && (vague || !d->result_vague))
		return;
	d->result_vague = vague;
	d->result.error = error;
	d->result.addr = d->addrs.addr[index];
}

static void succeed(struct dial *d, struct attempt *a, int fd)
{
	trace(d, a->index, "connected");
	d->result = (struct dial_result){ .fd = fd, .addr = d->addrs.addr[a->index] };
	close_attempts(d);
	finish(d);
}

static void fail(struct dial *d, struct attempt *a, int error)
{
	poller_close_sock(&a->sock);
	d->running--;
	keep_error(d, a->index, error);
	next(d);
}

static void on_event(struct sock *s)
{
	struct attempt *a = list_entry(s, struct attempt, sock);
	struct dial *d = a->dial;
	int error;

	if (!s->writable && !s->failed && !s->hangup)
		return;
	error = sys_error(s->fd);
	if (!error && sys_is_self_connected(s->fd))
		error = -ECONNREFUSED;
	if (error)
		fail(d, a, error);
	else
		succeed(d, a, poller_remove(s));
}

static socklen_t length(const struct sockaddr_storage *a)
{
	return a->ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* 1: connected at once, 0: under way, or -errno. */
static int begin(struct dial *d, struct attempt *a)
{
	const struct sockaddr_storage *addr = &d->addrs.addr[a->index];
	int fd = sys_socket(addr->ss_family);
	int err;

	if (fd < 0)
		return fd;
	sys_nodelay(fd);
	if (d->reset)
		sys_linger_reset(fd, true);
	if (connect(fd, (const struct sockaddr *)addr, length(addr)) == 0) {
		if (!sys_is_self_connected(fd)) {
			succeed(d, a, fd);
			return 1;
		}
		err = -ECONNREFUSED;
	} else if (errno == EINPROGRESS) {
		err = poller_add(&d->worker->poller, &a->sock, fd, on_event);
	} else {
		err = -errno;
	}
	if (err)
		close(fd);
	return err;
}

/* Begins the next attempt, or ends when none is left. */
static void next(struct dial *d)
{
	while (d->started < d->addrs.count) {
		struct attempt *a = &d->attempts[d->started];
		int err;

		a->dial = d;
		a->index = d->started++;
		a->sock.fd = -1;
		err = begin(d, a);
		if (err == 1)
			return;
		if (err == 0) {
			trace(d, a->index, "trying");
			d->running++;
			break;
		}
		keep_error(d, a->index, err);
	}
	if (d->running == 0)
		finish(d);
}

static uint64_t spent_ms(const struct dial *d)
{
	return (worker_now(d->worker) - d->begun_us) / 1000;
}

static void arm(struct dial *d)
{
	uint64_t spent = spent_ms(d);
	uint64_t left = d->timeout_ms > spent ? d->timeout_ms - spent : 0;

	if (d->started < d->addrs.count && left > STAGGER_MS)
		left = STAGGER_MS;
	timer_start(d->timer, left);
}

static void on_timer(struct timer *t)
{
	struct dial *d = t->data;

	if (spent_ms(d) >= d->timeout_ms) {
		if (d->running)
			d->result.addr = d->addrs.addr[d->started - 1];
		d->result.timed_out = true;
		d->result.error = -ETIMEDOUT;
		finish(d);
		return;
	}
	next(d);
	if (!list_is_on(&d->turn.node))
		arm(d);
}

static void begin_all(struct dial *d)
{
	next(d);
	if (!list_is_on(&d->turn.node))
		arm(d);
}

/* --- names --------------------------------------------------------------------- */

/* IPv6 and IPv4 in turn, beginning with what the resolver put first. */
static void interleave(struct dial_addrs *out, const struct addrinfo *list)
{
	int family = list ? list->ai_family : AF_INET6;
	const struct addrinfo *at[2] = { list, list };
	bool other = false;

	while ((at[0] || at[1]) && out->count < DIAL_ADDRS_MAX) {
		const struct addrinfo **a = &at[other];

		while (*a && ((*a)->ai_family == family) == other)
			*a = (*a)->ai_next;
		if (*a && (*a)->ai_addrlen <= sizeof out->addr[0]) {
			memcpy(&out->addr[out->count++], (*a)->ai_addr, (*a)->ai_addrlen);
			*a = (*a)->ai_next;
		}
		other = !other;
	}
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct dial *d = req->data;

	d->resolving = false;
	if (status == 0 && !d->cancelled) {
		interleave(&d->addrs, list);
		if (d->cache) {
			d->cache->addrs = d->addrs;
			d->cache->expires_us = worker_now(d->worker) + CACHE_US;
		}
	}
	uv_freeaddrinfo(list);
	if (d->cancelled) {
		release(d);
		return;
	}
	log_debug(NULL, "resolved %s: %s, %u address%s", d->host, status ? uv_strerror(status) : "ok",
		d->addrs.count, d->addrs.count == 1 ? "" : "es");
	if (status || !d->addrs.count) {
		d->result.gai = status ? status : UV_EAI_NONAME;
		finish(d);
		return;
	}
	if (!list_is_on(&d->turn.node)) /* The time may be over. */
		begin_all(d);
}

static int resolve(struct dial *d)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC };
	char port[8];
	int err;

	snprintf(port, sizeof port, "%u", d->port);
	d->resolver.data = d;
	err = uv_getaddrinfo(d->worker->loop, &d->resolver, on_resolved, d->host, port, &hints);
	d->resolving = err == 0;
	timer_start(d->timer, d->timeout_ms);
	return err;
}

/* "localhost" is this machine on both families, whatever the hosts file says
 * (RFC 6761, 6.3), and costs no resolver. */
static void use_loopback(struct dial *d)
{
	addr_numeric("127.0.0.1", d->port, &d->addrs.addr[0]);
	addr_numeric("::1", d->port, &d->addrs.addr[1]);
	d->addrs.count = 2;
	begin_all(d);
}

static bool is_cached(const struct dial *d)
{
	return d->cache && d->cache->addrs.count && worker_now(d->worker) < d->cache->expires_us;
}

struct dial *dial_start(struct worker *w, const struct dial_target *target,
	void (*on_done)(void *owner, const struct dial_result *result), void *owner)
{
	struct dial *d = calloc(1, sizeof *d);

	if (!d)
		return NULL;
	d->worker = w;
	d->host = strdup(target->host);
	d->port = target->port;
	d->timeout_ms = target->timeout_ms;
	d->begun_us = worker_now(w);
	d->cache = target->cache;
	d->reset = target->reset;
	d->on_done = on_done;
	d->owner = owner;
	d->result.fd = -1;
	poller_turn_init(&d->turn, tell);
	d->timer = timer_new(w->loop, on_timer, d);
	if (!d->host || !d->timer) {
		timer_free(d->timer);
		free(d->host);
		free(d);
		return NULL;
	}
	if (addr_numeric(d->host, d->port, &d->addrs.addr[0]) == 0) {
		d->addrs.count = 1;
		begin_all(d);
	} else if (strcasecmp(d->host, "localhost") == 0) {
		use_loopback(d);
	} else if (is_cached(d)) {
		d->addrs = d->cache->addrs;
		begin_all(d);
	} else if (resolve(d) != 0) {
		d->result.error = -ENOMEM;
		finish(d);
	}
	return d;
}

const char *dial_text(const struct dial_result *r, uint64_t timeout_ms, char *buf, size_t cap)
{
	if (r->timed_out && !r->addr.ss_family)
		snprintf(buf, cap, "no answer from the resolver in %us", (unsigned)(timeout_ms / 1000));
	else if (r->timed_out)
		snprintf(buf, cap, "no answer in %us", (unsigned)(timeout_ms / 1000));
	else if (r->gai == UV_EAI_AGAIN)
		snprintf(buf, cap, "Temporary failure in name resolution");
	else if (r->gai)
		snprintf(buf, cap, "Name or service not known");
	else
		snprintf(buf, cap, "%s", strerror(-r->error));
	return buf;
}
