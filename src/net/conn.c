#include "net/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "net/sys.h"

enum {
	READS_A_TURN = 2,	/* of a full scratch from one connection */
	FIRST_TLS = 0x16,
	FIRST_PLAIN = 0x01,
	/* For heads, control frames and small payloads; the rest are chunks. */
	CONN_STORAGE = 64 * 1024,
	/* As much as without TLS, but it leaves in pieces: the peer decrypts one
	 * while the next is encrypted. */
	CONN_ROOM_TLS = 256 * 1024,
	CONN_PIECE_TLS = 128 * 1024,
};

bool conn_can_send(const struct conn *c)
{
	return c->is_open && !c->is_closed && !c->out;
}

void conn_trust(struct conn *c)
{
	if (c->tls)
		tls_trust(c->tls);
}

bool conn_is_encrypted(const struct conn *c)
{
	return c->tls != NULL;
}

const char *conn_describe(const struct conn *c, char *buf, size_t cap)
{
	return c->tls ? tls_describe(c->tls, buf, cap) : "plaintext";
}

static void lost(struct conn *c, const char *why)
{
	if (!c->is_closed)
		c->ops->on_lost(c, why);
}

/* --- output ------------------------------------------------------------- */

static void release_out(struct conn *c)
{
	if (!c->out)
		return;
	if (c->tls)
		tls_output(c->tls, NULL, 0);
	batch_drop(&c->unsent);
	worker_give(c->worker, c->out);
	c->out = NULL;
	c->blocked_us = 0;
}

static ssize_t send_some(struct conn *c)
{
	struct iovec parts[BATCH_SEGMENTS];
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = c->unsent.count };

	for (unsigned i = 0; i < c->unsent.count; i++)
		parts[i] = (struct iovec){ (void *)(uintptr_t)c->unsent.segments[i].data,
			c->unsent.segments[i].len };
	return sendmsg(c->sock.fd, &message, MSG_NOSIGNAL);
}

/* Sends what is unsent. False when the connection was lost. */
static bool flush(struct conn *c)
{
	while (c->unsent.total) {
		ssize_t n = send_some(c);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			c->sock.writable = false;
			break;
		}
		if (n < 0) {
			const char *why = strerror(errno);

			release_out(c);
			lost(c, why);
			return false;
		}
		batch_advance(&c->unsent, (size_t)n);
		c->sent += (uint64_t)n;
		c->blocked_us = 0;
	}
	if (!c->unsent.total)
		release_out(c);
	else if (!c->blocked_us)
		c->blocked_us = worker_now(c->worker);
	return true;
}

/* The handshake and what TLS itself has to say is written to `out`, too. */
static bool begin_output(struct conn *c)
{
	if (c->out)
		return true;
	c->out = worker_take(c->worker);
	if (c->out && c->tls)
		tls_output(c->tls, c->out, WORKER_OUT);
	return c->out != NULL;
}

/* All that TLS appended, and what of it is unsent stays. */
static void collect(struct conn *c)
{
	size_t gone = c->unsent.count ? (size_t)(c->unsent.segments[0].data - c->out) : 0;

	batch_init(&c->unsent, c->out, WORKER_OUT, WORKER_OUT);
	writer_room(&c->unsent.w, tls_output_len(c->tls));
	batch_seal(&c->unsent);
	if (gone)
		batch_advance(&c->unsent, gone);
}

static bool end_output(struct conn *c)
{
	collect(c);
	return flush(c);
}

bool conn_begin(struct conn *c, struct batch *b)
{
	if (c->tls) {
		batch_init(b, c->worker->plain, CONN_STORAGE, CONN_ROOM_TLS);
		return true;
	}
	if (!begin_output(c))
		return false;
	batch_init(b, c->out, CONN_STORAGE, WORKER_COMPOSE);
	return true;
}

static bool encrypt(struct conn *c, const uint8_t *data, size_t len)
{
	if (!begin_output(c)) {
		lost(c, "out of memory");
		return false;
	}
	if (tls_write(c->tls, data, len) != (ssize_t)len) {
		release_out(c);
		lost(c, tls_error(c->tls));
		return false;
	}
	/* What the kernel does not take now is not offered again before the end. */
	return tls_output_len(c->tls) < CONN_PIECE_TLS || !c->sock.writable || end_output(c);
}

/* Each segment by itself: what is large is a chunk, read where it lies. False
 * when the connection was lost. */
static bool encrypt_all(struct conn *c, const struct batch *b)
{
	for (unsigned i = 0; i < b->count; i++) {
		const struct segment *part = &b->segments[i];

		for (size_t at = 0, n; at < part->len; at += n) {
			n = part->len - at < CONN_PIECE_TLS ? part->len - at : CONN_PIECE_TLS;
			if (!encrypt(c, part->data + at, n))
				return false;
		}
	}
	return true;
}

static void send_tls(struct conn *c, struct batch *b)
{
	bool ok = encrypt_all(c, b);

	batch_drop(b);
	if (ok && c->out)
		end_output(c);
}

void conn_send(struct conn *c, struct batch *b)
{
	if (c->tls) {
		send_tls(c, b);
		return;
	}
	c->unsent = *b;
	flush(c);
}

void conn_say(struct conn *c, const void *data, size_t len)
{
	if (send(c->sock.fd, data, len, MSG_NOSIGNAL) > 0)
		shutdown(c->sock.fd, SHUT_WR);
}

/* --- input -------------------------------------------------------------- */

static void opened(struct conn *c)
{
	c->is_open = true;
	c->ops->on_open(c);
}

static bool start_tls(struct conn *c)
{
	c->tls = tls_new(c->context, c->mode != CONN_TLS_CLIENT, c->host);
	return c->tls != NULL;
}

/* Moves the handshake on with what was fed. False when the input ends here. */
static bool shake_hands(struct conn *c)
{
	enum tls_result result;

	if (!begin_output(c)) {
		lost(c, "out of memory");
		return false;
	}
	result = tls_handshake(c->tls);
	if (!end_output(c))
		return false;
	if (result == TLS_FAILED) {
		lost(c, tls_error(c->tls));
		return false;
	}
	if (result == TLS_DONE)
		opened(c);
	return result == TLS_DONE && !c->is_closed;
}

static void take_tls(struct conn *c, const uint8_t *data, size_t len)
{
	ssize_t n = 0;

	tls_feed(c->tls, data, len);
	if (!c->is_open && !shake_hands(c))
		return;
	while (!c->is_closed && (n = tls_read(c->tls, c->worker->plain, WORKER_SCRATCH)) > 0)
		c->ops->on_bytes(c, c->worker->plain, (size_t)n);
	if (c->is_closed)
		return;
	if (tls_is_ended(c->tls))
		lost(c, "closed by the other side");
	else if (n < 0)
		lost(c, tls_error(c->tls));
}

/* Decides by the first byte what a connection is. */
static bool sniff(struct conn *c, const uint8_t *data, size_t len)
{
	if (data[0] == FIRST_TLS && start_tls(c)) {
		c->mode = CONN_TLS_SERVER;
		return true;
	}
	if (data[0] == FIRST_PLAIN) {
		c->mode = CONN_PLAIN;
		opened(c);
		return !c->is_closed;
	}
	c->ops->on_stranger(c, data, len);
	return false;
}

static void take(struct conn *c, const uint8_t *data, size_t len)
{
	c->received += len;
	if (c->mode == CONN_SNIFF && !sniff(c, data, len))
		return;
	if (c->tls)
		take_tls(c, data, len);
	else
		c->ops->on_bytes(c, data, len);
}

/* One recv. False when there is nothing more to read in this turn. */
static bool read_once(struct conn *c)
{
	ssize_t n = recv(c->sock.fd, c->worker->raw, WORKER_SCRATCH, 0);

	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && errno == EAGAIN) {
		c->sock.readable = false;
		return false;
	}
	if (n <= 0) {
		c->sock.readable = false;
		lost(c, n ? strerror(errno) : "closed by the other side");
		return false;
	}
	/* A short read has drained the kernel, but for a FIN or an error. */
	if (n < WORKER_SCRATCH && !c->sock.hangup && !c->sock.failed)
		c->sock.readable = false;
	take(c, c->worker->raw, (size_t)n);
	return !c->is_closed && c->sock.readable;
}

static void read_some(struct conn *c)
{
	for (int i = 0; i < READS_A_TURN; i++)
		if (c->is_closed || !c->reading || !c->sock.readable || !read_once(c))
			return;
	poller_defer(&c->worker->poller, &c->turn);
}

static void on_turn(struct turn *t)
{
	read_some(list_entry(t, struct conn, turn));
}

static void on_begin(struct turn *t);

static void on_event(struct sock *s)
{
	struct conn *c = list_entry(s, struct conn, sock);

	if (s->failed)
		s->readable = true; /* recv() will say why. */
	if (c->turn.run == on_begin)
		return; /* What came is read when it has begun. */
	if (c->out && s->writable && (!flush(c) || c->is_closed))
		return;
	if (conn_can_send(c))
		c->ops->on_space(c);
	read_some(c);
}

void conn_read(struct conn *c, bool reading)
{
	if (c->reading == reading || c->is_closed)
		return;
	c->reading = reading;
	if (reading)
		poller_defer(&c->worker->poller, &c->turn);
}

/* --- life --------------------------------------------------------------- */

/* What must happen first but not from inside conn_open(). */
static void on_begin(struct turn *t)
{
	struct conn *c = list_entry(t, struct conn, turn);

	c->turn.run = on_turn;
	if (c->mode == CONN_PLAIN)
		opened(c);
	else if (c->mode == CONN_TLS_CLIENT)
		shake_hands(c);
	if (!c->is_closed)
		read_some(c);
}

/* The descriptor on its worker, which looks at it in its next turn. On failure it
 * is closed. */
static int enter(struct conn *c, int fd)
{
	int err = poller_add(&c->worker->poller, &c->sock, fd, on_event);

	if (err) {
		close(fd);
		c->sock.fd = -1;
		return err;
	}
	poller_defer(&c->worker->poller, &c->turn);
	return 0;
}

int conn_open(struct conn *c, struct worker *w, int fd, enum conn_mode mode,
	struct tls_context *context, const char *host, const struct conn_ops *ops)
{
	int err;

	*c = (struct conn){
		.sock.fd = -1,
		.worker = w,
		.ops = ops,
		.mode = mode,
		.context = context,
		.host = host,
		.reading = true,
	};
	poller_turn_init(&c->turn, on_begin);
	if ((mode == CONN_TLS_CLIENT || mode == CONN_TLS_SERVER) && !start_tls(c)) {
		close(fd);
		return -ENOMEM;
	}
	err = enter(c, fd);
	if (err)
		tls_free(c->tls);
	return err;
}

int conn_take_over(struct conn *c, struct conn *from, const struct conn_ops *ops)
{
	int fd, err;

	if (from->is_closed)
		return -ENOTCONN;
	list_remove(&from->turn.node);
	fd = poller_remove(&from->sock);
	*c = *from;
	c->ops = ops;
	c->reading = true;
	poller_turn_init(&c->turn, on_turn);
	from->is_closed = true;
	from->tls = NULL;
	from->out = NULL;
	from->blocked_us = 0;
	err = enter(c, fd);
	if (err)
		conn_close(c);
	return err;
}

void conn_leave(struct conn *c)
{
	int fd = poller_remove(&c->sock);

	list_remove(&c->turn.node);
	c->sock.fd = fd;
	c->worker = NULL;
}

int conn_arrive(struct conn *c, struct worker *w)
{
	c->worker = w;
	c->reading = true;
	return enter(c, c->sock.fd);
}

static void say_goodbye(struct conn *c)
{
	if (!c->tls || !c->is_open || c->out || c->sock.fd < 0 || !begin_output(c))
		return;
	tls_shutdown(c->tls);
	if (tls_output_len(c->tls))
		send(c->sock.fd, c->out, tls_output_len(c->tls), MSG_NOSIGNAL);
}

void conn_close(struct conn *c)
{
	if (c->is_closed)
		return;
	c->is_closed = true;
	list_remove(&c->turn.node);
	say_goodbye(c);
	release_out(c);
	tls_free(c->tls);
	c->tls = NULL;
	poller_close_sock(&c->sock);
}
