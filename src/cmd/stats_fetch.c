#include "cmd/stats_fetch.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/admin.h"
#include "core/text.h"
#include "net/sys.h"
#include "net/timer.h"

enum { PATIENCE_MS = 5000, HEAD_MAX = 8 * 1024 };

/* HTTP/1.0: the answer ends with the connection. */
static const char question[] = "GET /api/stats HTTP/1.0\r\nHost: localhost\r\n\r\n";

struct talk {
	struct sock sock;
	struct stats_fetch *fetch;
	enum { TALKING, ENDED, LATE } state;
	bool is_asked;
};

static void hear(struct talk *t)
{
	struct worker *w = t->fetch->worker;

	while (t->sock.readable && t->state == TALKING) {
		ssize_t n = recv(t->sock.fd, w->raw, WORKER_SCRATCH, 0);

		if (n > 0)
			buf_add(&t->fetch->page, w->raw, (size_t)n);
		else if (n < 0 && errno == EINTR)
			continue;
		else if (n < 0 && errno == EAGAIN)
			t->sock.readable = false;
		else
			t->state = ENDED;
		if (t->fetch->page.failed)
			t->state = ENDED;
	}
}

static void on_event(struct sock *s)
{
	struct talk *t = list_entry(s, struct talk, sock);

	/* It fits into any socket's buffer. That it failed is seen by reading. */
	if (!t->is_asked && s->writable)
		t->is_asked = send(s->fd, question, sizeof question - 1, MSG_NOSIGNAL) >= 0 ||
			errno != EAGAIN;
	hear(t);
}

static void on_late(struct timer *timer)
{
	struct talk *t = timer->data;

	t->state = LATE;
}

/* --- the answer ------------------------------------------------------------------ */

static enum stats_fetch_result wrong(struct stats_fetch *f, const char *why)
{
	snprintf(f->why, sizeof f->why, "%s", why);
	return STATS_FETCH_WRONG;
}

/* The value of Content-Length in a head in small letters, or -1. */
static long long length_in(const char *head)
{
	const char *field = strstr(head, "\r\ncontent-length:");

	return field ? strtoll(field + 17, NULL, 10) : -1;
}

/* "HTTP/1.1 200". */
static bool is_status_line(const char *p, size_t len)
{
	if (len < 12 || memcmp(p, "HTTP/1.", 7) != 0 || p[8] != ' ')
		return false;
	return isdigit((unsigned char)p[9]) && isdigit((unsigned char)p[10]) &&
		isdigit((unsigned char)p[11]);
}

/* Takes the head off the page. */
static enum stats_fetch_result judge(struct stats_fetch *f)
{
	struct buf *p = &f->page;
	char head[HEAD_MAX + 1], line[64];
	size_t len = p->len < HEAD_MAX ? p->len : HEAD_MAX;
	const char *end;
	long long length;

	if (p->failed)
		return wrong(f, "the answer is too long");
	if (!p->len)
		return STATS_FETCH_EMPTY;
	end = memmem(p->data, len, "\r\n\r\n", 4);
	if (!end || !is_status_line(p->data, (size_t)(end - p->data)))
		return wrong(f, "that is not HTTP");
	len = (size_t)(end - p->data);
	if (memcmp(p->data + 9, "200", 3) != 0) {
		const char *cr = memchr(p->data + 9, '\r', len - 9 + 1);

		text_escape(p->data + 9, (size_t)(cr - p->data) - 9, line, sizeof line);
		return wrong(f, line);
	}
	for (size_t i = 0; i < len; i++)
		head[i] = (char)tolower((unsigned char)p->data[i]);
	head[len] = '\0';
	length = length_in(head);
	p->len -= len + 4;
	memmove(p->data, p->data + len + 4, p->len);
	if (length >= 0 && (size_t)length != p->len)
		return wrong(f, "the answer was cut short");
	return STATS_FETCH_DONE;
}

static enum stats_fetch_result listen_to(struct stats_fetch *f, int fd, struct timer *timer)
{
	struct talk t = { .fetch = f };
	int err = poller_add(&f->worker->poller, &t.sock, fd, on_event);

	if (err) {
		close(fd);
		f->error = -err;
		return STATS_FETCH_FAILED;
	}
	timer->data = &t;
	timer_start(timer, PATIENCE_MS);
	while (t.state == TALKING && !(f->stop && *f->stop))
		uv_run(f->worker->loop, UV_RUN_ONCE);
	poller_close_sock(&t.sock);
	if (t.state == TALKING)
		return STATS_FETCH_STOPPED;
	return t.state == LATE ? STATS_FETCH_LATE : judge(f);
}

enum stats_fetch_result stats_fetch(struct stats_fetch *f)
{
	int fd = sys_connect_unix(f->path);
	enum stats_fetch_result result;
	struct timer *timer;
	uid_t uid;

	f->page = (struct buf){ .max = ADMIN_PAGE_MAX };
	f->pid = 0;
	f->error = 0;
	f->why[0] = '\0';
	if (fd == -EAGAIN) /* Its backlog is full: it does not even accept. */
		return STATS_FETCH_LATE;
	timer = fd < 0 ? NULL : timer_new(f->worker->loop, on_late, NULL);
	if (!timer) {
		f->error = fd < 0 ? -fd : ENOMEM;
		if (fd >= 0)
			close(fd);
		return STATS_FETCH_FAILED;
	}
	if (sys_peer(fd, &uid, &f->pid) < 0)
		f->pid = 0;
	result = listen_to(f, fd, timer);
	timer_free(timer);
	return result;
}
