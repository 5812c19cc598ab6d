/*
 * The network between client and server, as bad as a test wants: a TCP relay
 * on 127.0.0.1 that is told what to do on stdin, a line a command, and answers
 * each with a line "ok ..." or "error ...". What happens by itself is told in
 * lines that begin with another word. It ends with its stdin.
 *
 *	relay PORT TARGET-HOST TARGET-PORT	(PORT 0: any; said in the line "ready")
 *
 * DIR is up (client to server), down or both; bytes count when they are passed
 * on. Left alone it is a plain path: all speed, half-close and RST as they came.
 *
 *	delay DIR MS [JITTER-MS [SEED]]	each way; a handshake takes its round trip, too
 *	rate DIR BYTES-A-SECOND QUEUE-MS	one queue for all connections of a direction;
 *					a full one stops reading; 0: none
 *	window DIR BYTES		no more of a connection is under way at once, as TCP
 *					does on a long path; 0: none
 *	slice DIR MOST [SEED]		writes of 1 to MOST bytes; 0: none
 *	pause DIR, go DIR		nothing moves, on any connection
 *	buffer BYTES			of the kernel, each socket of later connections
 *	source HOST			of later connections to the target
 *	target HOST PORT		of later connections
 *	new MODE			what becomes of later connections:
 *					forward, refuse (nobody listens), reset (after
 *					accept), silent (accepted), hole (SYN is lost)
 *	cut KIND DIR now
 *	cut KIND DIR after MS
 *	cut KIND DIR sum COUNTED BYTES	all connections, after so many more bytes of
 *					them all in the direction COUNTED
 *	cut KIND DIR conn N COUNTED BYTES
 *					the N-th connection, after so many bytes of it
 *	storm KINDS LEAST MOST COUNT SEED [PERCENT EARLY [MS MODE]]
 *					COUNT cuts of all, each LEAST to MOST bytes of
 *					both directions after the one before, KINDS
 *					separated by commas; PERCENT of those after the
 *					first instead within the first EARLY bytes of a
 *					later connection; after each, MODE holds for MS
 *	record PREFIX			what later connections pass on, in PREFIX.N.up and
 *					PREFIX.N.down
 *	clear				cuts that are still to come do not
 *	heal				forward; what was silent goes on
 *	restore				forward; what was silent stays so for ever
 *	count
 *
 * KIND: rst (both ends), fin (both ends), silence (nothing is passed on in DIR,
 * the sockets stay open and the kernels acknowledge until they are full), loss
 * (the same, and the source's packets are lost before TCP sees them).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { UP, DOWN, BOTH };
enum {
	RING = 16 << 20,		/* address space a direction of a connection */
	PLAIN_MOST = 256 << 10,		/* kept of it where nothing is delayed */
	MARKS = 4096, EVENTS = 64, TRIGGERS = 64, CONNS = 4096, WORDS = 12,
	TURN = 1 << 20,			/* bytes of one direction before others have their turn */
	SLICES = 256,			/* writes, likewise */
};
#define US INT64_C(1000)
#define MS (1000 * US)
#define NEVER INT64_MAX
#define NONE UINT64_MAX

enum kind { RST, FIN, SILENCE, LOSS, KINDS };
static const char *const kind_names[] = { "rst", "fin", "silence", "loss" };
enum mode { FORWARD, REFUSE, RESET, SILENT, HOLE, MODES };
static const char *const mode_names[] = { "forward", "refuse", "reset", "silent", "hole" };
static const char *const dir_names[] = { "up", "down", "both" };

/* What all connections of a direction share. */
struct link {
	int64_t delay, jitter, queue;	/* ns */
	double rate;			/* bytes a ns; 0: no limit */
	uint64_t window;		/* bytes of a connection under way; 0: no limit */
	int64_t free_at;		/* when the queue is empty */
	unsigned slice;
	uint64_t jitter_seed, slice_seed;
	bool paused;
	uint64_t passed;
};

struct side {
	struct conn *conn;
	int fd;
	bool readable, writable, broken;
};

struct mark {
	uint64_t end;			/* of the ring: bytes before it are due */
	int64_t due;
};

/* A direction of a connection: from side[dir] to side[!dir]. */
struct way {
	uint8_t *ring;
	uint64_t head, tail;
	struct mark *marks;		/* ring of MARKS, in order of time */
	unsigned first, count;
	int64_t last_due;
	enum { OPEN, GOT_FIN, GOT_RST, ENDED } end;
	int64_t end_due;
	int64_t rst_patience;		/* when a reset no longer waits for the kernel */
	bool silent;
	bool full;			/* reading stopped for lack of room in the ring */
	uint64_t passed;
	FILE *record;
};

struct conn {
	struct conn *next;
	unsigned number;
	enum { CONNECTING, JOINED, CUT_RST, CUT_FIN, DONE } state;
	bool dead;			/* silent for ever */
	int64_t born, patience;
	struct side side[2];		/* 0 the client's, 1 the server's */
	struct way way[2];
};

/* A cut that is still to come. */
struct trigger {
	enum { UNUSED, SUM, ONE, LATER } scope;	/* LATER: connections after `conn` */
	enum kind kind;
	int dir, counted;
	unsigned conn;
	uint64_t at;
};

static struct link links[2];
static struct conn *conns;
static unsigned accepted, live, cuts;
static struct trigger triggers[TRIGGERS];	/* the first is the storm's */
static struct {
	unsigned kinds, left, percent;
	uint64_t least, most, early, seed;
	int64_t outage;
	enum mode mode;
	bool begun;
} storm;
static struct {
	int64_t at;
	enum kind kind;
	int dir;
} later = { .at = NEVER };
static int64_t outage_end = NEVER, started, armed = NEVER;
static enum mode mode;
static int epfd, timer, listener = -1, buffer;
static struct sockaddr_in own, target, source;
static char record[512];	/* a prefix, or empty */

static int64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 * MS + t.tv_nsec;
}

__attribute__((format(printf, 1, 2)))
static void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static int64_t stamp(void)
{
	return (clock_ns() - started) / US;
}

/* splitmix64: the same seed gives the same run everywhere. */
static uint64_t draw(uint64_t *seed)
{
	uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t between(uint64_t *seed, uint64_t least, uint64_t most)
{
	return least + draw(seed) % (most - least + 1);
}

static void die(const char *what)
{
	fprintf(stderr, "relay: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void set_int(int fd, int level, int name, int value)
{
	setsockopt(fd, level, name, &value, sizeof value);
}

static void watch(int fd, uint32_t events, void *data)
{
	struct epoll_event e = { .events = events, .data.ptr = data };

	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e) < 0)
		die("epoll_ctl");
}

/* ---- sockets ---- */

static void drop_packets(int fd, bool on)
{
	struct sock_filter none[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog program = { 1, none };

	if (on)
		setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
	else
		setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &(int){ 0 }, sizeof(int));
}

static bool listen_again(void)
{
	socklen_t len = sizeof own;

	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (listener < 0)
		return false;
	set_int(listener, SOL_SOCKET, SO_REUSEADDR, 1);
	if (buffer) {
		set_int(listener, SOL_SOCKET, SO_RCVBUF, buffer);
		set_int(listener, SOL_SOCKET, SO_SNDBUF, buffer);
	}
	if (bind(listener, (struct sockaddr *)&own, sizeof own) < 0 || listen(listener, 1024) < 0) {
		close(listener);
		listener = -1;
		return false;
	}
	getsockname(listener, (struct sockaddr *)&own, &len);
	watch(listener, EPOLLIN, &listener);
	return true;
}

static bool set_mode(enum mode wanted)
{
	if (wanted == REFUSE && listener >= 0) {
		close(listener);
		listener = -1;
	}
	if (wanted != REFUSE && listener < 0 && !listen_again())
		return false;
	if (listener >= 0)
		drop_packets(listener, wanted == HOLE);
	mode = wanted;
	return true;
}

static void close_side(struct side *s, bool with_rst)
{
	if (s->fd < 0)
		return;
	if (with_rst)
		setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 },
			sizeof(struct linger));
	close(s->fd);
	s->fd = -1;
}

static void finish(struct conn *c, const char *how, bool with_rst)
{
	if (c->state == DONE)
		return;
	close_side(&c->side[0], with_rst);
	close_side(&c->side[1], with_rst);
	for (int d = UP; d <= DOWN; d++)
		if (c->way[d].record)
			fclose(c->way[d].record);
	c->state = DONE;
	say("ended conn=%u how=%s up=%" PRIu64 " down=%" PRIu64 " time=%" PRId64, c->number, how,
		c->way[UP].passed, c->way[DOWN].passed, stamp());
}

/* ---- cuts ---- */

static void cut_one(struct conn *c, enum kind kind, int dir, int64_t now)
{
	if (c->state == DONE || c->state == CUT_RST || c->state == CUT_FIN)
		return;
	switch (kind) {
	case RST:
		/* What was passed on must arrive first, or the offset would be another. */
		c->state = CUT_RST;
		c->patience = now + 100 * MS;
		break;
	case FIN:
		c->state = CUT_FIN;
		shutdown(c->side[0].fd, SHUT_WR);
		shutdown(c->side[1].fd, SHUT_WR);
		c->side[0].readable = c->side[1].readable = true;
		break;
	default:
		for (int d = UP; d <= DOWN; d++) {
			if (dir != d && dir != BOTH)
				continue;
			c->way[d].silent = true;
			if (kind == LOSS)
				drop_packets(c->side[d].fd, true);
		}
	}
}

static void next_of_storm(void);

/* `only` NULL: all connections; `cause` is the one that met the offset, or NULL. */
static void cut(struct conn *only, struct conn *cause, enum kind kind, int dir)
{
	int64_t now = clock_ns();

	cuts++;
	say("cut number=%u kind=%s dir=%s conn=%u up=%" PRIu64 " down=%" PRIu64 " sum_up=%" PRIu64
		" sum_down=%" PRIu64 " time=%" PRId64, cuts, kind_names[kind], dir_names[dir],
		cause ? cause->number : 0, cause ? cause->way[UP].passed : 0,
		cause ? cause->way[DOWN].passed : 0, links[UP].passed, links[DOWN].passed, stamp());
	for (struct conn *c = conns; c; c = c->next)
		if (!only || c == only)
			cut_one(c, kind, dir, now);
}

static void next_of_storm(void)
{
	struct trigger *t = &triggers[0];
	unsigned n, kind = 0;

	*t = (struct trigger){ UNUSED };
	if (!storm.left)
		return;
	storm.left--;
	n = (unsigned)(draw(&storm.seed) % (unsigned)__builtin_popcount(storm.kinds));
	while (!(storm.kinds >> kind & 1) || n--)
		kind++;
	t->kind = (enum kind)kind;
	t->dir = t->counted = BOTH;
	if (draw(&storm.seed) % 100 < storm.percent && storm.begun) {
		t->scope = LATER;
		t->conn = accepted;
		t->at = between(&storm.seed, 1, storm.early);
	} else {
		storm.begun = true;
		t->scope = SUM;
		t->at = links[UP].passed + links[DOWN].passed +
			between(&storm.seed, storm.least, storm.most);
	}
}

static void fire(struct trigger *t, struct conn *c)
{
	struct trigger copy = *t;

	t->scope = UNUSED;
	cut(copy.scope == ONE ? c : NULL, c, copy.kind, copy.dir);
	if (t != &triggers[0])
		return;
	if (storm.outage) {
		set_mode(storm.mode);
		outage_end = clock_ns() + storm.outage;
	}
	next_of_storm();
	if (triggers[0].scope == UNUSED)
		say("calm cuts=%u time=%" PRId64, cuts, stamp());
}

static uint64_t counted(const struct trigger *t, const struct conn *c)
{
	uint64_t each[2];

	for (int d = UP; d <= DOWN; d++)
		each[d] = t->scope == SUM ? links[d].passed : c->way[d].passed;
	return t->counted == BOTH ? each[UP] + each[DOWN] : each[t->counted];
}

/* Bytes that may still pass until a cut; *which is the cut. */
static uint64_t allowance(const struct conn *c, int dir, struct trigger **which)
{
	uint64_t least = NONE;

	for (struct trigger *t = triggers; t < triggers + TRIGGERS; t++) {
		uint64_t seen, left;

		if (t->scope == UNUSED || (t->counted != dir && t->counted != BOTH) ||
		    (t->scope == ONE && t->conn != c->number) ||
		    (t->scope == LATER && c->number <= t->conn))
			continue;
		seen = counted(t, c);
		left = seen < t->at ? t->at - seen : 0;
		if (left < least) {
			least = left;
			*which = t;
		}
	}
	return least;
}

/* ---- in ---- */

/* A link is read in pieces that take a quarter of a millisecond, no smaller than a segment. */
static uint64_t grain(const struct link *l)
{
	uint64_t n = l->rate > 0 ? (uint64_t)(l->rate * 250 * US) : RING;

	return n < 1448 ? 1448 : n;
}

/* Bytes that the shared queue takes now; 0: *when it takes some. */
static uint64_t room_on(const struct link *l, int64_t now, int64_t *when)
{
	int64_t behind = l->free_at > now ? l->free_at - now : 0;
	int64_t least;

	if (l->rate <= 0)
		return RING;
	least = (int64_t)((double)grain(l) / l->rate);
	if (least > l->queue)
		least = l->queue;
	if (l->queue - behind >= least) {
		uint64_t room = (uint64_t)((double)(l->queue - behind) * l->rate);

		return room ? room : 1;
	}
	*when = l->free_at - l->queue + least;
	return 0;
}

static uint64_t most_kept(const struct link *l)
{
	double most = PLAIN_MOST;

	if (l->rate > 0)
		most += l->rate * (double)(l->delay + l->jitter + l->queue);
	else if (l->delay)
		most = RING;
	if (l->window && most > (double)l->window)
		most = (double)l->window;
	return most < RING ? (uint64_t)most : RING;
}

static int64_t arrival(struct conn *c, int dir, uint64_t n, int64_t now)
{
	struct link *l = &links[dir];
	struct way *w = &c->way[dir];
	int64_t opened = c->born + links[UP].delay + (dir == UP ? links[DOWN].delay : 0);
	int64_t due = now;

	if (l->rate > 0) {
		if (l->free_at < now)
			l->free_at = now;
		l->free_at += (int64_t)((double)n / l->rate);
		due = l->free_at;
	}
	due = (due > opened ? due : opened) + l->delay;
	if (l->jitter)
		due += (int64_t)between(&l->jitter_seed, 0, 2 * (uint64_t)l->jitter) - l->jitter;
	if (due < w->last_due)
		due = w->last_due;
	return w->last_due = due;
}

static bool is_full(const struct way *w, const struct link *l)
{
	return w->tail - w->head >= most_kept(l) || w->count >= MARKS - 1;
}

static void note(struct conn *c, int dir, uint64_t n, int64_t now)
{
	struct way *w = &c->way[dir];
	uint64_t piece = grain(&links[dir]);

	while (n) {
		uint64_t k = n < piece || w->count == MARKS - 1 ? n : piece;
		int64_t due = arrival(c, dir, k, now);
		struct mark *last = w->count ? &w->marks[(w->first + w->count - 1) % MARKS] : NULL;

		w->tail += k;
		n -= k;
		if (last && due - last->due < 20 * US)
			last->end = w->tail;
		else
			w->marks[(w->first + w->count++) % MARKS] = (struct mark){ w->tail, due };
	}
}

/* The end of what side[dir] sends. A write may have taken its error away; then a read
 * says end of file, but the connection is gone although we did not close our half. */
static void source_ended(struct conn *c, int dir, bool failed, int64_t now)
{
	struct way *w = &c->way[dir];
	struct tcp_info info;
	socklen_t len = sizeof info;

	if (!failed && (c->side[dir].broken ||
	    (getsockopt(c->side[dir].fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
	     info.tcpi_state == TCP_CLOSE && c->way[!dir].end != ENDED)))
		failed = true;
	w->end = failed ? GOT_RST : GOT_FIN;
	w->end_due = arrival(c, dir, 0, now);
	w->rst_patience = w->end_due + 1000 * MS;
}

/* True when there may be more to read at once. */
static bool fill(struct conn *c, int dir, int64_t now, int64_t *wake)
{
	struct way *w = &c->way[dir];
	struct side *s = &c->side[dir];
	uint64_t done = 0;

	if (w->silent || links[dir].paused)
		return false;
	if (s->broken && (w->end == GOT_FIN || w->end == ENDED) && c->way[!dir].end != ENDED) {
		w->end = GOT_RST;		/* closed its half first, and aborts now */
		w->end_due = arrival(c, dir, 0, now);
		w->rst_patience = w->end_due + 1000 * MS;
	}
	while (s->readable && w->end == OPEN && done < TURN) {
		uint64_t n = most_kept(&links[dir]) - (w->tail - w->head), room;
		int64_t when = NEVER;
		ssize_t got;

		w->full = is_full(w, &links[dir]);
		if (w->full)
			return false;
		room = room_on(&links[dir], now, &when);
		if (!room) {
			if (when < *wake)
				*wake = when;
			return false;
		}
		if (n > RING - w->tail % RING)
			n = RING - w->tail % RING;
		if (n > room)
			n = room;
		if (links[dir].rate > 0 && n > 65536)
			n = 65536;
		got = recv(s->fd, w->ring + w->tail % RING, n, 0);
		if (got > 0) {
			note(c, dir, (uint64_t)got, now);
			done += (uint64_t)got;
		} else if (got < 0 && errno == EINTR) {
			continue;
		} else if (got < 0 && errno == EAGAIN) {
			s->readable = false;
		} else {
			source_ended(c, dir, got < 0, now);
		}
	}
	return s->readable && w->end == OPEN;
}

/* ---- out ---- */

/* Bytes that have arrived; *when the next ones do. */
static uint64_t due_bytes(struct way *w, int64_t now, int64_t *when)
{
	uint64_t end = w->head;
	unsigned i;

	for (i = 0; i < w->count; i++) {
		struct mark *m = &w->marks[(w->first + i) % MARKS];

		if (m->due > now) {
			*when = m->due;
			break;
		}
		end = m->end;
	}
	return end - w->head;
}

static void took(struct way *w, uint64_t n)
{
	w->head += n;
	while (w->count && w->marks[w->first].end <= w->head) {
		w->first = (w->first + 1) % MARKS;
		w->count--;
	}
	if (w->head == w->tail)			/* the same few pages again: they stay in cache */
		w->head = w->tail = 0;
}

static void deliver_end(struct conn *c, int dir, int64_t now, int64_t *wake)
{
	struct way *w = &c->way[dir];
	int queued = 0;

	if (w->end_due > now) {
		if (w->end_due < *wake)
			*wake = w->end_due;
		return;
	}
	if (w->end == GOT_FIN) {
		if (w->head != w->tail)
			return;
		shutdown(c->side[!dir].fd, SHUT_WR);
		w->end = ENDED;
		if (c->way[!dir].end == ENDED)
			finish(c, "fin", false);
		return;
	}
	/* A reset after what came before it, if that is taken within a second. */
	ioctl(c->side[!dir].fd, SIOCOUTQ, &queued);
	if ((w->head == w->tail && !queued) || c->side[!dir].broken || now >= w->rst_patience)
		finish(c, "rst", true);
	else if (now + MS < *wake)
		*wake = now + MS;
}

static bool drain(struct conn *c, int dir, int64_t now, int64_t *wake)
{
	struct way *w = &c->way[dir];
	struct side *to = &c->side[!dir];
	uint64_t done = 0;
	unsigned writes = 0;
	int64_t when = NEVER;

	if (w->silent || links[dir].paused || c->state != JOINED)
		return false;
	while (to->writable && c->state == JOINED && !w->silent) {
		struct trigger *t = NULL;
		uint64_t n = due_bytes(w, now, &when), left;
		ssize_t sent;

		if (!n)
			break;
		if (done >= TURN || writes >= SLICES)
			return true;
		left = allowance(c, dir, &t);
		if (!left) {
			fire(t, c);
			return false;
		}
		if (n > RING - w->head % RING)
			n = RING - w->head % RING;
		if (n > left)
			n = left;
		if (links[dir].slice) {
			uint64_t k = between(&links[dir].slice_seed, 1, links[dir].slice);
			int unsent = 0;

			/* The kernel would join it to the slices that it still has. */
			if (ioctl(to->fd, SIOCOUTQNSD, &unsent) == 0 && unsent) {
				when = now + 20 * US;
				break;
			}
			n = n < k ? n : k;
		}
		sent = send(to->fd, w->ring + w->head % RING, n, MSG_NOSIGNAL);
		writes++;
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0 && errno == EAGAIN) {
			to->writable = false;
			break;
		}
		if (sent < 0) {
			/* What it sent before its reset still goes the other way. */
			to->broken = to->readable = true;
			took(w, w->tail - w->head);
			break;
		}
		if (w->record)
			fwrite(w->ring + w->head % RING, 1, (size_t)sent, w->record);
		w->passed += (uint64_t)sent;
		links[dir].passed += (uint64_t)sent;
		took(w, (uint64_t)sent);
		done += (uint64_t)sent;
		if ((uint64_t)sent == left)
			fire(t, c);
	}
	if (c->state != JOINED || w->silent)
		return false;
	if (to->writable && when < *wake)
		*wake = when;
	if (to->broken && w->head != w->tail)
		took(w, w->tail - w->head);
	if (w->end == GOT_FIN || w->end == GOT_RST)
		deliver_end(c, dir, now, wake);
	return false;
}

/* ---- a connection's turn ---- */

static void discard(struct side *s)
{
	static uint8_t trash[65536];
	ssize_t got;

	while (s->readable && s->fd >= 0) {
		got = recv(s->fd, trash, sizeof trash, 0);
		if (got > 0 || (got < 0 && errno == EINTR))
			continue;
		s->readable = false;
		if (got == 0 || errno != EAGAIN)
			close_side(s, false);
	}
}

static void connected(struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof error;

	getsockopt(c->side[1].fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error)
		finish(c, "unreachable", true);
	else
		c->state = JOINED;
}

/* True when it wants another turn at once. */
static bool turn(struct conn *c, int64_t now, int64_t *wake)
{
	bool again = false;

	if (c->state == CONNECTING && (c->side[1].writable || c->side[1].broken))
		connected(c);
	if (c->state == JOINED) {
		for (int d = UP; d <= DOWN && c->state == JOINED; d++) {
			again |= fill(c, d, now, wake);
			again |= drain(c, d, now, wake);
			/* Room was made, and nothing else would wake us for it. */
			if (c->way[d].full && !is_full(&c->way[d], &links[d])) {
				c->way[d].full = false;
				again = true;
			}
		}
	}
	if (c->state == CUT_RST) {
		int a = 0, b = 0;

		ioctl(c->side[0].fd, SIOCOUTQ, &a);
		ioctl(c->side[1].fd, SIOCOUTQ, &b);
		if ((!a && !b) || now >= c->patience)
			finish(c, "cut", true);
		else if (now + 200 * US < *wake)
			*wake = now + 200 * US;
	}
	if (c->state == CUT_FIN) {
		discard(&c->side[0]);
		discard(&c->side[1]);
		if (c->side[0].fd < 0 && c->side[1].fd < 0)
			finish(c, "cut", false);
	}
	return again && c->state == JOINED;
}

static bool prepare(struct conn *c)
{
	for (int d = UP; d <= DOWN; d++) {
		struct way *w = &c->way[d];

		w->ring = mmap(NULL, RING, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		w->marks = malloc(MARKS * sizeof *w->marks);
		if (w->ring == MAP_FAILED || !w->marks)
			return false;
	}
	return true;
}

static void release(struct conn *c)
{
	for (int d = UP; d <= DOWN; d++) {
		if (c->way[d].ring && c->way[d].ring != MAP_FAILED)
			munmap(c->way[d].ring, RING);
		free(c->way[d].marks);
	}
	free(c);
	live--;
}

/* To the target; also for a silent connection, whose server shall see somebody come. */
static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (buffer) {
		set_int(fd, SOL_SOCKET, SO_RCVBUF, buffer);
		set_int(fd, SOL_SOCKET, SO_SNDBUF, buffer);
	}
	if (source.sin_family && bind(fd, (struct sockaddr *)&source, sizeof source) < 0)
		die("bind to the source");
	if (connect(fd, (struct sockaddr *)&target, sizeof target) < 0 && errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

static void take(int fd, const struct sockaddr_in *peer)
{
	struct conn *c = calloc(1, sizeof *c);

	if (!c || !prepare(c))
		die("memory");
	live++;
	c->next = conns;
	conns = c;
	c->number = ++accepted;
	c->born = clock_ns();
	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	say("accepted conn=%u port=%u time=%" PRId64, c->number, ntohs(peer->sin_port), stamp());
	c->side[0] = (struct side){ .conn = c, .fd = fd, .writable = true };
	c->side[1] = (struct side){ .conn = c, .fd = -1 };
	if (mode != RESET)
		c->side[1].fd = dial();
	if (c->side[1].fd < 0) {
		finish(c, mode == RESET ? "reset" : "unreachable", true);
		return;
	}
	if (mode == SILENT)
		c->way[UP].silent = c->way[DOWN].silent = true;
	for (int d = UP; d <= DOWN && *record; d++) {
		char name[600];

		snprintf(name, sizeof name, "%s.%u.%s", record, c->number, dir_names[d]);
		c->way[d].record = fopen(name, "wb");
		if (!c->way[d].record)
			die(name);
	}
	for (int i = 0; i < 2; i++)
		watch(c->side[i].fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &c->side[i]);
}

static void accept_all(void)
{
	while (listener >= 0) {
		struct sockaddr_in peer;
		socklen_t len = sizeof peer;
		int fd = accept4(listener, (struct sockaddr *)&peer, &len,
			SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0 && live < CONNS)
			take(fd, &peer);
		else if (fd >= 0)
			close(fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

/* ---- commands ---- */

static int find(const char *word, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(word, names[i]))
			return i;
	return -1;
}

static bool number(const char *word, double *value)
{
	char *end;

	*value = word ? strtod(word, &end) : -1;
	return word && *word && !*end && *value >= 0 && *value < 1e18;
}

static bool on_delay(struct link *l, char **arg)
{
	double ms, jitter = 0, seed = 1;

	if (!number(arg[0], &ms) || (arg[1] && !number(arg[1], &jitter)) ||
	    (arg[1] && arg[2] && !number(arg[2], &seed)))
		return false;
	l->delay = (int64_t)(ms * MS);
	l->jitter = (int64_t)(jitter * MS);
	l->jitter_seed = (uint64_t)seed;
	return true;
}

static bool on_rate(struct link *l, char **arg)
{
	double rate, queue = 0;

	if (!number(arg[0], &rate) || (rate > 0 && (!number(arg[1], &queue) || queue <= 0)))
		return false;
	l->rate = rate / 1e9;
	l->queue = (int64_t)(queue * MS);
	l->free_at = 0;
	return true;
}

static bool on_slice(struct link *l, char **arg)
{
	double most, seed = 1;

	if (!number(arg[0], &most) || (arg[1] && !number(arg[1], &seed)))
		return false;
	l->slice = (unsigned)most;
	l->slice_seed = (uint64_t)seed;
	return true;
}

static bool on_window(struct link *l, char **arg)
{
	double most;

	if (!number(arg[0], &most))
		return false;
	l->window = (uint64_t)most;
	return true;
}

static bool on_pause(struct link *l, char **arg)
{
	(void)arg;
	l->paused = true;
	return true;
}

static bool on_go(struct link *l, char **arg)
{
	(void)arg;
	l->paused = false;
	return true;
}

static const struct {
	const char *name;
	bool (*set)(struct link *l, char **arg);
} settings[] = {
	{ "delay", on_delay }, { "rate", on_rate }, { "slice", on_slice }, { "pause", on_pause },
	{ "go", on_go }, { "window", on_window },
};

static bool on_cut(char **arg)
{
	int kind = find(arg[0], kind_names, KINDS), dir = arg[1] ? find(arg[1], dir_names, 3) : -1;
	double a;
	struct trigger t = { UNUSED };

	if (kind < 0 || dir < 0 || !arg[2])
		return false;
	if (!strcmp(arg[2], "now")) {
		cut(NULL, NULL, (enum kind)kind, dir);
		return true;
	}
	if (!strcmp(arg[2], "after")) {
		if (!number(arg[3], &a))
			return false;
		later.at = clock_ns() + (int64_t)(a * MS);
		later.kind = (enum kind)kind;
		later.dir = dir;
		return true;
	}
	arg += 2;
	if (!strcmp(*arg, "conn")) {
		if (!number(*++arg, &a))
			return false;
		t.scope = ONE;
		t.conn = (unsigned)a;
	} else if (!strcmp(*arg, "sum")) {
		t.scope = SUM;
	}
	if (t.scope == UNUSED || !arg[1] || (t.counted = find(arg[1], dir_names, 3)) < 0 ||
	    !number(arg[2], &a))
		return false;
	t.kind = (enum kind)kind;
	t.dir = dir;
	t.at = (uint64_t)a + (t.scope == SUM ? counted(&t, NULL) : 0);
	for (int i = 1; i < TRIGGERS; i++) {
		if (triggers[i].scope == UNUSED) {
			triggers[i] = t;
			return true;
		}
	}
	return false;
}

static bool on_storm(char **arg)
{
	double v[6] = { 0 };
	char *rest = NULL;

	memset(&storm, 0, sizeof storm);
	for (char *word = strtok_r(arg[0], ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		int kind = find(word, kind_names, KINDS);

		if (kind < 0)
			return false;
		storm.kinds |= 1u << kind;
	}
	for (int i = 0; i < 4; i++)
		if (!number(arg[1 + i], &v[i]))
			return false;
	if (!storm.kinds || v[0] > v[1])
		return false;
	if (arg[5]) {
		if (!number(arg[5], &v[4]) || !number(arg[6], &v[5]) || v[5] < 1)
			return false;
		storm.percent = (unsigned)v[4];
		storm.early = (uint64_t)v[5];
		if (arg[7]) {
			int m = arg[8] ? find(arg[8], mode_names, MODES) : -1;

			if (m < 0 || !number(arg[7], &v[4]))
				return false;
			storm.outage = (int64_t)(v[4] * MS);
			storm.mode = (enum mode)m;
		}
	}
	storm.least = (uint64_t)v[0];
	storm.most = (uint64_t)v[1];
	storm.left = (unsigned)v[2];
	storm.seed = (uint64_t)v[3];
	next_of_storm();
	return true;
}

static bool on_back(bool heals)
{
	for (struct conn *c = conns; c; c = c->next) {
		for (int d = UP; d <= DOWN; d++) {
			if (!c->way[d].silent || c->dead)
				continue;
			if (!heals) {
				c->dead = true;
				break;
			}
			c->way[d].silent = false;
			if (c->side[d].fd >= 0)
				drop_packets(c->side[d].fd, false);
		}
	}
	outage_end = NEVER;
	return set_mode(FORWARD);
}

static bool on_address(struct sockaddr_in *a, const char *host, const char *port)
{
	double p = 0;

	if (!host || (port && !number(port, &p)))
		return false;
	memset(a, 0, sizeof *a);
	a->sin_family = AF_INET;
	a->sin_port = htons((uint16_t)p);
	return inet_pton(AF_INET, host, &a->sin_addr) == 1;
}

static bool on_buffer(const char *word)
{
	double bytes;

	if (!number(word, &bytes))
		return false;
	buffer = (int)bytes;
	if (listener < 0)
		return true;
	close(listener);
	listener = -1;
	return set_mode(mode);
}

static bool obey(char **arg)
{
	int i;

	for (size_t n = 0; n < sizeof settings / sizeof *settings; n++) {
		int dir = arg[1] ? find(arg[1], dir_names, 3) : -1;

		if (strcmp(arg[0], settings[n].name))
			continue;
		return dir >= 0 && (dir == DOWN || settings[n].set(&links[UP], arg + 2)) &&
			(dir == UP || settings[n].set(&links[DOWN], arg + 2));
	}
	if (!strcmp(arg[0], "buffer"))
		return on_buffer(arg[1]);
	if (!strcmp(arg[0], "source"))
		return on_address(&source, arg[1], NULL);
	if (!strcmp(arg[0], "target"))
		return arg[2] && on_address(&target, arg[1], arg[2]);
	if (!strcmp(arg[0], "new"))
		return arg[1] && (i = find(arg[1], mode_names, MODES)) >= 0 && set_mode((enum mode)i);
	if (!strcmp(arg[0], "cut"))
		return arg[1] && on_cut(arg + 1);
	if (!strcmp(arg[0], "storm"))
		return arg[1] && on_storm(arg + 1);
	if (!strcmp(arg[0], "record"))
		return arg[1] && strlen(arg[1]) < sizeof record && strcpy(record, arg[1]);
	if (!strcmp(arg[0], "clear")) {
		memset(triggers, 0, sizeof triggers);
		storm.left = 0;
		later.at = NEVER;
		return true;
	}
	if (!strcmp(arg[0], "heal") || !strcmp(arg[0], "restore"))
		return on_back(arg[0][0] == 'h');
	return !strcmp(arg[0], "count");
}

static void command(char *line)
{
	char *arg[WORDS + 1] = { NULL }, *rest = NULL, *word = strtok_r(line, " ", &rest);
	int n = 0;

	while (word && n < WORDS) {
		arg[n++] = word;
		word = strtok_r(NULL, " ", &rest);
	}
	if (n && obey(arg))
		say("ok accepted=%u live=%u cuts=%u up=%" PRIu64 " down=%" PRIu64 " time=%" PRId64,
			accepted, live, cuts, links[UP].passed, links[DOWN].passed, stamp());
	else
		say("error %s", n ? arg[0] : "nothing was said");
}

static void on_stdin(void)
{
	static char text[8192];
	static size_t len;
	ssize_t got = read(0, text + len, sizeof text - 1 - len);
	char *end, *begin = text;

	if (got <= 0)
		exit(0);
	len += (size_t)got;
	text[len] = 0;
	while ((end = strchr(begin, '\n'))) {
		*end = 0;
		command(begin);
		begin = end + 1;
	}
	len -= (size_t)(begin - text);
	memmove(text, begin, len);
	if (len == sizeof text - 1)
		exit(2);
}

/* ---- the loop ---- */

static void arm(int64_t when)
{
	struct itimerspec t = { .it_value = { when / (1000 * MS), when % (1000 * MS) } };

	if (when == armed)
		return;
	armed = when;
	if (when == NEVER)
		t.it_value = (struct timespec){ 0, 0 };
	timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static void on_event(const struct epoll_event *e)
{
	struct side *s = e->data.ptr;

	if (e->data.ptr == &listener) {
		accept_all();
	} else if (e->data.ptr == &epfd) {
		on_stdin();
	} else if (e->data.ptr == &timer) {
		armed = NEVER;
	} else if (s->fd >= 0) {
		s->readable |= (e->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
		s->writable |= (e->events & EPOLLOUT) != 0;
		s->broken |= (e->events & EPOLLERR) != 0;
	}
}

static void on_time(int64_t now)
{
	if (later.at <= now) {
		later.at = NEVER;
		cut(NULL, NULL, later.kind, later.dir);
	}
	if (outage_end <= now) {
		outage_end = NEVER;
		set_mode(FORWARD);
		say("restored time=%" PRId64, stamp());
	}
}

/* Every connection has a turn; they change places, so that a full link is shared. */
static bool turns(int64_t *wake)
{
	int64_t now = clock_ns();
	bool again = false;
	struct conn **at = &conns, *c;

	*wake = NEVER;
	on_time(now);
	if (conns && conns->next && (links[UP].rate > 0 || links[DOWN].rate > 0)) {
		struct conn *first = conns, **last = &conns;

		while (*last)
			last = &(*last)->next;
		*last = first;
		conns = first->next;
		first->next = NULL;
	}
	for (c = conns; c; c = c->next)
		again |= turn(c, now, wake);
	/* A cut in one of these turns may have begun an outage. */
	if (later.at < *wake)
		*wake = later.at;
	if (outage_end < *wake)
		*wake = outage_end;
	while ((c = *at)) {
		if (c->state == DONE) {
			*at = c->next;
			release(c);
		} else {
			at = &c->next;
		}
	}
	return again;
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];

	if (argc != 4 || !on_address(&own, "127.0.0.1", argv[1]) ||
	    !on_address(&target, argv[2], argv[3])) {
		fprintf(stderr, "usage: relay PORT TARGET-HOST TARGET-PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);		/* of a terminal; it ends with its stdin */
	started = clock_ns();
	epfd = epoll_create1(EPOLL_CLOEXEC);
	timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (epfd < 0 || timer < 0)
		die("epoll, timerfd");
	watch(timer, EPOLLIN | EPOLLET, &timer);
	watch(0, EPOLLIN, &epfd);
	if (!listen_again())
		die("listen");
	say("ready port=%u", ntohs(own.sin_port));
	for (;;) {
		int64_t wake;
		bool again = turns(&wake);
		int n;

		if (fflush(*record ? NULL : stdout) == EOF)
			exit(1);
		if (!again)
			arm(wake);
		n = epoll_wait(epfd, events, EVENTS, again ? 0 : -1);
		for (int i = 0; i < n; i++)
			on_event(&events[i]);
	}
}
