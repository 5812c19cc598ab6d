#include "admin/inquiry.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "admin/gate.h"
#include "admin/pages.h"
#include "admin/request.h"

enum {
	PATIENCE_MS = 5000,
	PART = 64 * 1024,	/* of an answer, to be taken within the patience */
	PARTS_A_TURN = 16,
	LEFTOVER_MAX = 256 * 1024, /* read and dropped after the last answer */
};

enum state {
	ASKED,		/* waits for a request, or for the rest of one */
	ANSWERING,	/* head and body are being sent; nothing is read */
	LEAVING,	/* the last answer is sent; what still comes is dropped, so
			 * that closing does not reset the answer away */
	CLOSED,		/* off the list and the poller; freed at the end of the turn */
};

struct inquiry {
	struct list node;
	struct sock sock;
	struct turn turn;
	struct timer *timer;
	struct inquiry_config config;
	enum state state;

	char in[ADMIN_HEAD_MAX];
	size_t in_len;
	bool is_ended;			/* the peer sends nothing more */
	struct request request;

	char head[512];
	struct pages_answer answer;
	size_t head_len, body_len;	/* to send: HEAD has no body */
	size_t sent, due;		/* the timer starts again when sent reaches due */
	bool is_last;
	size_t dropped;
};

static void close_it(struct inquiry *q)
{
	if (q->state == CLOSED)
		return;
	q->state = CLOSED;
	list_remove(&q->node);
	poller_close_sock(&q->sock);
	timer_free(q->timer);
	q->timer = NULL;
	buf_fini(&q->answer.body);
	poller_defer(&q->config.worker->poller, &q->turn);
	q->config.on_closed(q->config.data);
}

static void on_late(struct timer *t)
{
	close_it(t->data);
}

/* --- asking ---------------------------------------------------------------------- */

/* Reads what fits. False when the connection is broken. */
static bool fill(struct inquiry *q)
{
	while (q->sock.readable && !q->is_ended && q->in_len < sizeof q->in) {
		ssize_t n = recv(q->sock.fd, q->in + q->in_len, sizeof q->in - q->in_len, 0);

		if (n > 0)
			q->in_len += (size_t)n;
		else if (n == 0)
			q->is_ended = true;
		else if (errno == EAGAIN)
			q->sock.readable = false;
		else if (errno != EINTR)
			return false;
	}
	return true;
}

static void write_head(struct inquiry *q)
{
	const struct pages_answer *a = &q->answer;

	q->head_len = (size_t)snprintf(q->head, sizeof q->head,
		"HTTP/1.1 %u %s\r\n"
		"Content-Type: %s\r\n"
		"Content-Length: %zu\r\n"
		"Cache-Control: no-store\r\n"
		"X-Content-Type-Options: nosniff\r\n"
		"%s%s\r\n",
		a->status, pages_reason(a->status), a->type, a->body.len,
		a->status == 405 ? "Allow: GET, HEAD\r\n" : "",
		q->is_last ? "Connection: close\r\n" :
		q->request.is_old ? "Connection: keep-alive\r\n" : "");
}

/* Goes to ANSWERING with what stands in the answer. */
static void begin_answer(struct inquiry *q, bool with_body)
{
	struct pages_answer *a = &q->answer;

	if (a->body.failed) {
		buf_fini(&a->body);
		pages_refuse(500, "the page is too large, or memory is out", a);
	}
	if (q->is_last)
		q->in_len = 0;
	write_head(q);
	q->body_len = with_body ? a->body.len : 0;
	q->sent = 0;
	q->due = PART;
	q->state = ANSWERING;
	timer_start(q->timer, PATIENCE_MS);
}

static void refuse(struct inquiry *q, unsigned status, const char *why)
{
	q->is_last = true;
	pages_refuse(status, why, &q->answer);
	begin_answer(q, q->request.method != REQUEST_HEAD);
}

static void answer(struct inquiry *q)
{
	struct request *r = &q->request;
	const char *why = NULL;
	unsigned status = gate_check(r, q->config.is_unix, &why);

	if (status) {
		refuse(q, status, why);
		return;
	}
	q->is_last = !r->keep_alive;
	if (r->method == REQUEST_OTHER)
		pages_refuse(405, "Only GET and HEAD are answered.", &q->answer);
	else
		pages_write(&r->path, q->config.ops, q->config.owner, &q->answer);
	if (q->state == CLOSED) { /* The owner closed everything in the middle. */
		buf_fini(&q->answer.body);
		return;
	}
	q->in_len -= r->len;
	memmove(q->in, q->in + r->len, q->in_len);
	begin_answer(q, r->method != REQUEST_HEAD);
}

/* True when there is something to send. */
static bool ask(struct inquiry *q)
{
	unsigned status = 0;

	if (!fill(q)) {
		close_it(q);
		return false;
	}
	switch (request_parse(&q->request, q->in, q->in_len, &status)) {
	case REQUEST_WHOLE:
		answer(q);
		return q->state == ANSWERING;
	case REQUEST_BAD:
		refuse(q, status, NULL);
		return true;
	case REQUEST_MORE:
		break;
	}
	if (q->in_len == sizeof q->in) {
		refuse(q, 431, NULL);
		return true;
	}
	if (q->is_ended)
		close_it(q);
	return false;
}

/* --- answering ------------------------------------------------------------------- */

/* What the kernel takes of one part. False when it takes no more for now, or
 * the connection is broken and closed. */
static bool send_part(struct inquiry *q)
{
	size_t in_body = q->sent > q->head_len ? q->sent - q->head_len : 0;
	size_t in_head = q->sent - in_body, body = q->body_len - in_body;
	struct iovec parts[2] = {
		{ q->head + in_head, q->head_len - in_head },
		{ body ? q->answer.body.data + in_body : NULL, body < PART ? body : PART },
	};
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	ssize_t n = sendmsg(q->sock.fd, &message, MSG_NOSIGNAL);

	if (n > 0) {
		q->sent += (size_t)n;
		return true;
	}
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN)
		q->sock.writable = false;
	else
		close_it(q);
	return false;
}

static bool is_sent(const struct inquiry *q)
{
	return q->sent == q->head_len + q->body_len;
}

static void end_answer(struct inquiry *q)
{
	buf_fini(&q->answer.body);
	q->request = (struct request){ 0 };
	timer_start(q->timer, PATIENCE_MS);
	q->state = q->is_last ? LEAVING : ASKED;
	if (q->is_last)
		shutdown(q->sock.fd, SHUT_WR);
	poller_defer(&q->config.worker->poller, &q->turn);
}

static void send_some(struct inquiry *q)
{
	for (int i = 0; i < PARTS_A_TURN && !is_sent(q); i++)
		if (!q->sock.writable || !send_part(q))
			break;
	if (q->state == CLOSED)
		return;
	if (is_sent(q)) {
		end_answer(q);
		return;
	}
	if (q->sent >= q->due) {
		q->due = q->sent + PART;
		timer_start(q->timer, PATIENCE_MS);
	}
	if (q->sock.writable)
		poller_defer(&q->config.worker->poller, &q->turn);
}

static void leave(struct inquiry *q)
{
	while (q->sock.readable) {
		ssize_t n = recv(q->sock.fd, q->in, sizeof q->in, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			q->sock.readable = false;
			return;
		}
		q->dropped += n > 0 ? (size_t)n : 0;
		if (n <= 0 || q->dropped > LEFTOVER_MAX) {
			close_it(q);
			return;
		}
	}
}

/* --- life -------------------------------------------------------------------------- */

static void run(struct inquiry *q)
{
	if (q->sock.failed) {
		close_it(q);
		return;
	}
	if (q->state == ASKED && !ask(q))
		return;
	if (q->state == ANSWERING)
		send_some(q);
	else if (q->state == LEAVING)
		leave(q);
}

static void on_turn(struct turn *t)
{
	struct inquiry *q = list_entry(t, struct inquiry, turn);

	if (q->state == CLOSED)
		free(q);
	else
		run(q);
}

static void on_event(struct sock *s)
{
	run(list_entry(s, struct inquiry, sock));
}

int inquiry_open(struct list *all, int fd, const struct inquiry_config *config)
{
	struct inquiry *q = calloc(1, sizeof *q);
	int err = -ENOMEM;

	if (q)
		q->timer = timer_new(config->worker->loop, on_late, q);
	if (q && q->timer)
		err = poller_add(&config->worker->poller, &q->sock, fd, on_event);
	if (err) {
		if (q)
			timer_free(q->timer);
		free(q);
		close(fd);
		return err;
	}
	q->config = *config;
	q->answer.body.max = ADMIN_PAGE_MAX;
	poller_turn_init(&q->turn, on_turn);
	list_init(&q->node);
	list_append(all, &q->node);
	timer_start(q->timer, PATIENCE_MS);
	return 0;
}

void inquiry_close_all(struct list *all)
{
	struct list *n;

	while ((n = list_first(all)))
		close_it(list_entry(n, struct inquiry, node));
}
