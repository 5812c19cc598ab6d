#include "net/poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/log.h"

enum {
	BATCH = 256,
	/* Full batches handled in one turn; then timers get their chance. */
	BATCHES_A_TURN = 4,
};

void poller_turn_init(struct turn *t, void (*run)(struct turn *))
{
	list_init(&t->node);
	t->run = run;
}

static void on_idle(uv_idle_t *idle)
{
	/* Running at all is its purpose: the loop does not sleep. */
	(void)idle;
}

void poller_defer(struct poller *p, struct turn *t)
{
	if (!list_is_on(&t->node))
		list_append(&p->deferred, &t->node);
	if (!p->running)
		uv_idle_start(&p->idle, on_idle);
}

/* Runs what was deferred up to now; what defers itself again waits. */
static void run_deferred(struct poller *p)
{
	struct list now, *n;

	if (list_is_empty(&p->deferred))
		return;
	list_init(&now);
	list_splice(&now, &p->deferred);
	p->running = true;
	while ((n = list_first(&now))) {
		struct turn *t = list_entry(n, struct turn, node);

		list_remove(n);
		t->run(t);
	}
	p->running = false;
	if (list_is_empty(&p->deferred))
		uv_idle_stop(&p->idle);
	else
		uv_idle_start(&p->idle, on_idle);
}

static void dispatch(struct sock *s, uint32_t events)
{
	if (events & EPOLLIN)
		s->readable = true;
	if (events & EPOLLOUT)
		s->writable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP))
		s->readable = s->hangup = true;
	if (events & EPOLLERR)
		s->failed = true;
	s->on_event(s);
}

/* What the own set has, waiting for it that long at most. */
static int dispatch_batch(struct poller *p, int timeout_ms)
{
	struct epoll_event events[BATCH];
	int n = epoll_wait(p->epfd, events, BATCH, timeout_ms);

	p->batch = events;
	p->count = n > 0 ? n : 0;
	p->running = true; /* Deferred turns run right after; no need to wake. */
	for (p->at = 0; p->at < p->count; p->at++)
		if (events[p->at].data.ptr == p)
			p->uv_is_ready = true;
		else if (events[p->at].data.ptr)
			dispatch(events[p->at].data.ptr, events[p->at].events);
	p->running = false;
	p->batch = NULL;
	return n;
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct poller *p = poll->data;

	(void)status;
	(void)events;
	for (int i = 0; i < BATCHES_A_TURN; i++)
		if (dispatch_batch(p, 0) < BATCH)
			break;
	run_deferred(p);
}

/* Whether libuv itself has something to do, and else when, for epoll_wait(). */
static int uv_timeout(struct poller *p)
{
	uv_update_time(p->loop); /* By which it tells whether a timer is due. */
	return uv_backend_timeout(p->loop);
}

/* Sleeps in the own set, as long as only sockets have something to say. */
static void serve(struct poller *p)
{
	int timeout_ms;

	uv_idle_stop(&p->idle); /* Until there is reason not to sleep. */
	while (list_is_empty(&p->deferred) && (timeout_ms = uv_timeout(p)) != 0) {
		p->uv_is_ready = false;
		dispatch_batch(p, timeout_ms);
		run_deferred(p);
		log_flush();
		if (p->uv_is_ready)
			break;
	}
	if (p->is_outer)
		uv_idle_start(&p->idle, on_idle); /* libuv looks, and does not sleep. */
}

/* The last of a turn, before the loop sleeps. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct poller *p = prepare->data;

	run_deferred(p);
	log_flush();
	if (p->is_outer)
		serve(p);
}

int poller_init(struct poller *p, uv_loop_t *loop)
{
	int err;

	*p = (struct poller){ .loop = loop };
	list_init(&p->deferred);
	p->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epfd < 0)
		return -errno;
	err = uv_poll_init(loop, &p->poll, p->epfd);
	if (err) {
		close(p->epfd);
		return err;
	}
	uv_prepare_init(loop, &p->prepare);
	uv_idle_init(loop, &p->idle);
	p->poll.data = p->prepare.data = p->idle.data = p;
	p->handles = 3;
	uv_poll_start(&p->poll, UV_READABLE, on_poll);
	uv_prepare_start(&p->prepare, on_prepare);
	uv_unref((uv_handle_t *)&p->prepare);
	return 0;
}

int poller_embrace(struct poller *p)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = p };

	if (uv_is_closing((uv_handle_t *)&p->poll))
		return 0; /* There is nothing to sleep for. */
	/* Neither set may be in the other at the same time. */
	uv_poll_stop(&p->poll);
	if (epoll_ctl(p->epfd, EPOLL_CTL_ADD, uv_backend_fd(p->loop), &event) < 0) {
		int err = -errno;

		uv_poll_start(&p->poll, UV_READABLE, on_poll);
		return err;
	}
	uv_ref((uv_handle_t *)&p->prepare);
	p->is_outer = true;
	return 0;
}

static void on_close(uv_handle_t *handle)
{
	struct poller *p = handle->data;

	if (--p->handles == 0)
		close(p->epfd);
}

void poller_close(struct poller *p)
{
	run_deferred(p);
	p->is_outer = false;
	uv_close((uv_handle_t *)&p->poll, on_close);
	uv_close((uv_handle_t *)&p->prepare, on_close);
	uv_close((uv_handle_t *)&p->idle, on_close);
}

int poller_add(struct poller *p, struct sock *s, int fd, void (*on_event)(struct sock *))
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
		.data.ptr = s,
	};

	if (epoll_ctl(p->epfd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	*s = (struct sock){ .fd = fd, .poller = p, .on_event = on_event };
	return 0;
}

/* An event of s that was fetched but not dispatched must not arrive. */
static void forget(struct poller *p, const struct sock *s)
{
	struct epoll_event *events = p->batch;

	for (int i = p->at; events && i < p->count; i++)
		if (events[i].data.ptr == s)
			events[i].data.ptr = NULL;
}

int poller_remove(struct sock *s)
{
	struct epoll_event unused = { 0 };
	int fd = s->fd;

	forget(s->poller, s);
	epoll_ctl(s->poller->epfd, EPOLL_CTL_DEL, fd, &unused);
	s->fd = -1;
	return fd;
}

void poller_close_sock(struct sock *s)
{
	if (s->fd < 0)
		return;
	forget(s->poller, s);
	/* Closing takes it off the epoll set: nobody else holds a copy. */
	close(s->fd);
	s->fd = -1;
}
