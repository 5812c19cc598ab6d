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

/* The last of a turn, before the loop sleeps. */
static void on_prepare(uv_prepare_t *prepare)
{
	run_deferred(prepare->data);
	log_flush();
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

static int dispatch_batch(struct poller *p)
{
	struct epoll_event events[BATCH];
	int n = epoll_wait(p->epfd, events, BATCH, 0);

	p->batch = events;
	p->count = n > 0 ? n : 0;
	p->running = true; /* Deferred turns run right after; no need to wake. */
	for (p->at = 0; p->at < p->count; p->at++)
		if (events[p->at].data.ptr)
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
		if (dispatch_batch(p) < BATCH)
			break;
	run_deferred(p);
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

static void on_close(uv_handle_t *handle)
{
	struct poller *p = handle->data;

	if (--p->handles == 0)
		close(p->epfd);
}

void poller_close(struct poller *p)
{
	run_deferred(p);
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
