#include "tunnel/pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mux/resume.h"
#include "net/sys.h"
#include "tunnel/link.h"

/* After a reset from the far end the kernel gets this long to hand over what
 * it has; it is asked every few milliseconds, for nothing tells. */
enum { HAND_OVER_MS = 1000, HAND_OVER_ASK_MS = 5 };

/* Bytes in the kernel that were not sent yet. */
enum { UNSENT_MAX = 128 * 1024 };

/* Of a queue that leave in one call. */
enum { PIECES = 16 };

/* Who gets an answer without a service may go on sending for so long. */
enum { ANSWER_MS = 5000 };

/* What one occupies with its stream and its tap, about. */
enum { COST = 1024 };

static void on_turn(struct turn *t);
static void on_event(struct sock *s);

struct pipe *pipe_new(struct link *link)
{
	struct pipe *p = calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->link = link;
	p->sock.fd = -1;
	meter_init(&p->meter, link->session.config.role == SESSION_SERVER, worker_now(link->worker));
	list_init(&p->node);
	poller_turn_init(&p->turn, on_turn);
	list_append(&link->pipes, &p->node);
	worker_grew(link->worker, COST);
	return p;
}

void pipe_join(struct pipe *p, struct stream *st)
{
	p->stream = st;
	p->id = st->id;
	st->user = p;
}

static void drop_queue(struct pipe *p)
{
	backlog_fini(&p->queue);
	meter_queue(&p->meter, 0);
}

/* --- ending ---------------------------------------------------------------- */

static void let_stream_go(struct pipe *p)
{
	struct stream *st = p->stream;

	p->stream = NULL;
	if (!st)
		return;
	st->user = NULL;
	stream_release(&p->link->session, st);
}

/* Everything that ends a pipe ends here; it is freed in the next turn, so
 * that no caller up the stack holds a dead one. */
static void finish(struct pipe *p)
{
	if (p->state == PIPE_DONE)
		return;
	p->state = PIPE_DONE;
	poller_close_sock(&p->sock);
	drop_queue(p);
	meter_close(&p->meter, p->code, worker_now(p->link->worker));
	if (p->timer)
		timer_free(p->timer);
	p->timer = NULL;
	poller_defer(&p->link->worker->poller, &p->turn);
}

static void on_turn(struct turn *t)
{
	struct pipe *p = list_entry(t, struct pipe, turn);

	let_stream_go(p);
	if (p->on_done)
		p->on_done(p);
	list_remove(&p->node);
	link_wake(p->link);
	worker_shrank(p->link->worker, COST);
	free(p);
}

void pipe_reset(struct pipe *p, enum code code)
{
	if (p->state == PIPE_DONE)
		return;
	if (!p->code)
		p->code = code;
	if (p->stream)
		stream_reset(&p->link->session, p->stream, code);
	finish(p);
}

/* Both directions ended in good order: the socket may close with a FIN. */
static void finish_in_order(struct pipe *p)
{
	if (p->sock.fd >= 0)
		sys_linger_reset(p->sock.fd, false);
	finish(p);
}

static void settle(struct pipe *p)
{
	if (p->state == PIPE_FLOWING && p->eof && p->fin_sent)
		finish_in_order(p);
	else if (p->state == PIPE_ANSWERING && p->eof && p->fin_due)
		finish_in_order(p);
}

/* The code that tells the far end which side reset: a visitor or a service. */
static enum code own_code(const struct pipe *p)
{
	return p->link->session.config.role == SESSION_SERVER ? CODE_CANCELLED : CODE_LOCAL_RESET;
}

/* --- stream to socket ---------------------------------------------------- */

static void consumed(struct pipe *p, size_t n)
{
	if (p->stream && p->state == PIPE_FLOWING)
		stream_consumed(&p->link->session, p->stream, n);
	if (!p->link->host->conn.reading)
		link_wake(p->link); /* It may read on. */
}

/* The socket takes no more. What it still has to say is read to its end
 * before the stream is reset: a service may answer and close early. */
static void break_off(struct pipe *p)
{
	size_t queued = backlog_len(&p->queue);

	p->sock.writable = false;
	if (p->state == PIPE_HANDING) {
		finish(p);
		return;
	}
	p->broken = true;
	drop_queue(p);
	consumed(p, queued);
	if (p->eof)
		pipe_reset(p, own_code(p));
	else if (p->stream)
		stream_ready(&p->link->session, p->stream);
}

/* How many bytes the kernel took; 0 when it takes none now. */
static size_t send_some(struct pipe *p, struct iovec *pieces, unsigned count)
{
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = count };

	while (p->sock.writable && !p->broken) {
		ssize_t n = sendmsg(p->sock.fd, &message, MSG_NOSIGNAL);

		if (n > 0) {
			meter_count(&p->meter, false, (size_t)n);
			return (size_t)n;
		}
		if (errno == EAGAIN)
			p->sock.writable = false;
		else if (errno != EINTR)
			p->broken = true;
	}
	return 0;
}

static size_t push(struct pipe *p, const uint8_t *data, size_t len)
{
	size_t at = 0, n;

	do {
		n = send_some(p, &(struct iovec){ (void *)(uintptr_t)(data + at), len - at }, 1);
		at += n;
	} while (n && at < len);
	return at;
}

static size_t push_queue(struct pipe *p)
{
	struct iovec pieces[PIECES];
	size_t all = 0, n;

	while (backlog_len(&p->queue)) {
		n = send_some(p, pieces, backlog_pieces(&p->queue, pieces, PIECES));
		if (!n)
			break;
		backlog_drop(&p->queue, n);
		all += n;
	}
	return all;
}

static void send_fin(struct pipe *p)
{
	if (p->state != PIPE_FLOWING || !p->fin_due || p->fin_sent || backlog_len(&p->queue))
		return;
	if (!p->broken && shutdown(p->sock.fd, SHUT_WR) < 0) {
		break_off(p);
		return;
	}
	p->fin_sent = true;
	settle(p);
}

static void flush(struct pipe *p)
{
	size_t n = push_queue(p);

	if (n) {
		p->moved_us = worker_now(p->link->worker);
		meter_queue(&p->meter, backlog_len(&p->queue));
		consumed(p, n);
	}
	if (p->broken)
		break_off(p);
	else
		send_fin(p);
}

void pipe_take(struct pipe *p, const uint8_t *data, size_t len)
{
	size_t n = 0;

	if (backlog_len(&p->queue) == 0)
		p->moved_us = worker_now(p->link->worker);
	meter_show(&p->meter, false, data, len);
	if (p->state == PIPE_ANSWERING)
		meter_count(&p->meter, false, len);
	if (p->state == PIPE_DONE || p->state == PIPE_ANSWERING || p->broken) {
		if (p->stream)
			stream_consumed(&p->link->session, p->stream, len);
		return;
	}
	if (p->state == PIPE_FLOWING && backlog_len(&p->queue) == 0)
		n = push(p, data, len);
	if (n)
		consumed(p, n);
	if (p->broken) {
		consumed(p, len - n);
		break_off(p);
	} else if (backlog_append(&p->queue, &p->link->worker->chunks, data + n, len - n) < 0) {
		pipe_reset(p, CODE_OVERLOADED);
	} else {
		meter_queue(&p->meter, backlog_len(&p->queue));
		if (p->state == PIPE_WAITING && p->on_bytes)
			p->on_bytes(p);
	}
}

void pipe_end(struct pipe *p)
{
	p->fin_due = true;
	meter_end(&p->meter, false);
	send_fin(p);
	settle(p);
}

/* --- socket to stream ---------------------------------------------------- */

/* The socket said its last: a FIN, or `error`. */
static void ended(struct pipe *p, bool error)
{
	p->sock.readable = false;
	if (error || p->broken) {
		stream_reset(&p->link->session, p->stream, own_code(p));
		p->code = own_code(p);
		finish(p);
		return;
	}
	p->eof = true;
	meter_end(&p->meter, true);
	stream_close(&p->link->session, p->stream);
	settle(p);
}

/* The last word of a stream without a socket. */
static size_t pull_answer(struct pipe *p, uint8_t *out, size_t cap)
{
	size_t n = backlog_take(&p->queue, out, cap);

	meter_show(&p->meter, true, out, n);
	meter_count(&p->meter, true, n);
	if (backlog_len(&p->queue) == 0)
		ended(p, false);
	return n;
}

size_t pipe_pull(struct pipe *p, uint8_t *out, size_t cap)
{
	size_t at = 0;

	if (p->state == PIPE_ANSWERING && !p->eof)
		return pull_answer(p, out, cap);
	while (at < cap && p->state == PIPE_FLOWING && !p->eof) {
		ssize_t n = recv(p->sock.fd, out + at, cap - at, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			p->sock.readable = false;
			break;
		}
		if (n <= 0) {
			ended(p, n < 0);
			break;
		}
		meter_show(&p->meter, true, out + at, (size_t)n);
		meter_count(&p->meter, true, (size_t)n);
		at += (size_t)n;
		/* A short read has drained the kernel, but for a FIN or RST. */
		if (at < cap && !p->sock.hangup && !p->sock.failed && !p->broken) {
			p->sock.readable = false;
			break;
		}
	}
	return at;
}

/* --- the rest ------------------------------------------------------------ */

/* A socket that was reset may still have bytes, for which the far end may have no
 * room: they get a second, and then the stream is reset all the same. */
static void on_dead_long_enough(struct timer *t)
{
	struct pipe *p = t->data;

	/* Where there is no connection the far end's room is not known. */
	if (resume_is_held(&p->link->session))
		timer_start(t, HAND_OVER_MS);
	else
		pipe_reset(p, own_code(p));
}

static void limit_last_bytes(struct pipe *p)
{
	if (p->timer)
		return;
	p->timer = timer_new(p->link->worker->loop, on_dead_long_enough, p);
	if (p->timer)
		timer_start(p->timer, HAND_OVER_MS);
	else
		pipe_reset(p, own_code(p));
}

static void on_event(struct sock *s)
{
	struct pipe *p = list_entry(s, struct pipe, sock);

	if (s->failed)
		s->readable = true; /* recv() gives what came before, then why. */
	if (s->failed && p->state == PIPE_HANDING) {
		finish(p);
		return;
	}
	if (s->writable && (backlog_len(&p->queue) || (p->fin_due && !p->fin_sent)))
		flush(p);
	if (p->state == PIPE_FLOWING && s->failed && !p->eof)
		limit_last_bytes(p);
	if (p->state == PIPE_FLOWING && s->readable && !p->eof)
		stream_ready(&p->link->session, p->stream);
	/* Both ends had closed when the RST came: nobody reads any more. */
	else if (p->state == PIPE_FLOWING && s->failed && p->eof)
		pipe_reset(p, own_code(p));
}

static void on_hand_over(struct timer *t)
{
	struct pipe *p = t->data;

	flush(p);
	if (p->state != PIPE_HANDING)
		return;
	if (worker_now(p->link->worker) - p->ending_us >= HAND_OVER_MS * 1000 ||
		(backlog_len(&p->queue) == 0 && sys_unsent(p->sock.fd) == 0))
		finish(p);
	else
		timer_start(p->timer, HAND_OVER_ASK_MS);
}

/* The far end's service or visitor reset: what it sent before is handed over
 * first, and then this end sees RST. */
static void hand_over(struct pipe *p)
{
	let_stream_go(p);
	timer_free(p->timer);
	p->state = PIPE_HANDING;
	p->ending_us = worker_now(p->link->worker);
	p->timer = timer_new(p->link->worker->loop, on_hand_over, p);
	if (!p->timer)
		finish(p);
	else
		on_hand_over(p->timer);
}

static void on_answered(struct timer *t)
{
	struct pipe *p = t->data;

	/* Without a connection nobody can have read the answer. */
	if (resume_is_held(&p->link->session))
		timer_start(t, ANSWER_MS);
	else
		pipe_reset(p, p->code ? p->code : own_code(p));
}

void pipe_answer(struct pipe *p, const void *data, size_t len)
{
	size_t queued = backlog_len(&p->queue);

	if (p->state != PIPE_WAITING)
		return;
	if (!p->stream) { /* The visitor is gone. */
		pipe_reset(p, CODE_CANCELLED);
		return;
	}
	p->timer = timer_new(p->link->worker->loop, on_answered, p);
	drop_queue(p);
	/* The answer waits for the stream and not for the socket: it is not metered. */
	if (!p->timer || backlog_append(&p->queue, &p->link->worker->chunks, data, len) < 0) {
		pipe_reset(p, CODE_OVERLOADED);
		return;
	}
	p->state = PIPE_ANSWERING;
	p->moved_us = worker_now(p->link->worker);
	timer_start(p->timer, ANSWER_MS);
	meter_count(&p->meter, false, queued);
	stream_consumed(&p->link->session, p->stream, queued);
	stream_ready(&p->link->session, p->stream);
}

int pipe_attach(struct pipe *p, int fd)
{
	int err;

	/* It ended in this very turn and is freed in the next. */
	if (p->state == PIPE_DONE) {
		close(fd);
		return -ECANCELED;
	}
	err = poller_add(&p->link->worker->poller, &p->sock, fd, on_event);
	if (err) {
		close(fd);
		pipe_reset(p, CODE_OVERLOADED);
		return err;
	}
	/* What the other side does not take stays in the queue, which is counted, and
	 * not by megabytes in the kernel, which then resets whom it likes. */
	sys_notsent_lowat(fd, UNSENT_MAX);
	p->sock.writable = true;
	meter_connected(&p->meter, worker_now(p->link->worker));
	if (p->by_peer) {
		hand_over(p);
		return 0;
	}
	p->state = PIPE_FLOWING;
	if (backlog_len(&p->queue) || p->fin_due)
		flush(p);
	return 0;
}

void pipe_was_reset(struct pipe *p, enum code code)
{
	bool passed_on = code == CODE_LOCAL_RESET || code == CODE_CANCELLED;

	if (p->state == PIPE_DONE || p->state == PIPE_HANDING)
		return;
	p->by_peer = true;
	p->code = code ? code : CODE_CANCELLED;
	if (p->state == PIPE_WAITING && passed_on && backlog_len(&p->queue))
		let_stream_go(p); /* Handed over once there is a socket. */
	else if (p->state == PIPE_FLOWING && passed_on && !p->broken)
		hand_over(p);
	else
		finish(p);
}
