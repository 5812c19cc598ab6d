#ifndef NET_POLLER_H
#define NET_POLLER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/list.h"

/*
 * Readiness of many sockets on one libuv loop.
 *
 * libuv's uv_poll_t costs two syscalls for each change of its mask, and a
 * relay pauses and resumes its sockets all the time. So the sockets stand in
 * one edge-triggered epoll set of our own, which itself is a single uv_poll_t
 * of the loop: registering costs one syscall a socket for its whole life, and
 * pausing costs none. The price is a second epoll_wait a turn; who calls
 * poller_embrace() does not pay it: then libuv's own set stands in this one.
 *
 * Edge-triggered means: `readable` and `writable` are set by the kernel's
 * event and stay set until the owner, who reads or writes, sees EAGAIN and
 * clears them. A socket that is not read is simply left alone; a reset is
 * still reported, as `failed`.
 */
struct poller {
	uv_loop_t *loop;
	uv_poll_t poll;
	uv_prepare_t prepare;
	uv_idle_t idle;
	int epfd;
	void *batch;		/* events being dispatched, or NULL */
	int at, count;
	struct list deferred;
	bool running;		/* deferred turns run before the loop sleeps anyway */
	bool is_outer;		/* libuv's descriptor stands in our set */
	bool uv_is_ready;	/* and has something to say */
	unsigned handles;	/* libuv handles not yet closed */
};

struct sock {
	int fd;			/* -1: not open */
	bool readable;		/* until a read says EAGAIN */
	bool writable;		/* until a write says EAGAIN */
	bool hangup;		/* the peer sent FIN (or both sides are shut) */
	bool failed;		/* RST or another error; SO_ERROR has it */
	struct poller *poller;
	void (*on_event)(struct sock *);
};

/* Something to do once at the end of the current turn of the loop. */
struct turn {
	struct list node;
	void (*run)(struct turn *);
};

/* 0 or -errno. */
int poller_init(struct poller *p, uv_loop_t *loop);

/* From now on the loop sleeps in the poller's own set, in which libuv's stands, and
 * goes on to libuv only when a timer, a signal or a thread of it has something
 * to say. Before the first turn, and for uv_run() in its modes that wait: in
 * UV_RUN_NOWAIT it would wait, too. 0, or -errno and nothing is changed. */
int poller_embrace(struct poller *p);

/* Runs what is deferred and begins to close the libuv handles; run the loop
 * until they are. The struct must live that long. No socket may be open any
 * more. Until it is called the poller keeps uv_run() from returning. */
void poller_close(struct poller *p);

/* Takes a non-blocking descriptor over and reports its events from the next
 * turn on, never from inside this call. 0 or -errno; on failure the caller
 * still owns fd. */
int poller_add(struct poller *p, struct sock *s, int fd, void (*on_event)(struct sock *));

/* Takes the descriptor back out: no more callbacks, s->fd becomes -1. Returns
 * the descriptor, which the caller owns again. */
int poller_remove(struct sock *s);

/* poller_remove() and close(). Legal in any callback, also twice; when it
 * returns no callback comes any more and s may be freed. */
void poller_close_sock(struct sock *s);

/* Prepares a turn; it stands on no list. */
void poller_turn_init(struct turn *t, void (*run)(struct turn *));

/* Runs t->run once, after all events of this turn were dispatched (a turn
 * that defers itself again runs in the next one, and the loop does not sleep
 * before that). Harmless if already deferred. Cancel with list_remove(). */
void poller_defer(struct poller *p, struct turn *t);

#endif
