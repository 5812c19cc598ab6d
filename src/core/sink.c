#include "core/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BATCH = 64 * 1024,
	BATCH_MOST = 4 * 1024 * 1024,	/* while nobody reads */
	AT_ONCE = 4096,		/* PIPE_BUF: what a pipe that can be written takes */
	LAST_STEP_MS = 50,
	PATIENCE_MS = 2000,	/* for the last word of a process */
};

static struct {
	char *path;
	int fd;
	bool is_file, is_tty;	/* what fd is, once `known` */
	bool known;
	char *batch;		/* whole lines that are still to be written, or NULL */
	size_t batched, cap;
	uint64_t dropped, told;	/* lines that were lost, and those that were told of */
} sink = { .fd = STDERR_FILENO };

static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		0640);

	return fd < 0 ? -errno : fd;
}

static bool is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* What the descriptor is, asked once. */
static void know(void)
{
	if (sink.known)
		return;
	sink.is_file = is_file(sink.fd);
	sink.is_tty = isatty(sink.fd) == 1;
	sink.known = true;
}

int sink_open(const char *path)
{
	int fd = open_file(path);

	if (fd < 0)
		return fd;
	free(sink.path);
	sink.path = strdup(path);
	sink.fd = fd;
	sink.known = false;
	return 0;
}

int sink_reopen(void)
{
	int fd = sink.path ? open_file(sink.path) : 0;

	if (!sink.path || fd < 0)
		return fd;
	sink_flush();
	close(sink.fd);
	sink.fd = fd;
	sink.known = false;
	return 0;
}

bool sink_has_path(void)
{
	return sink.path != NULL;
}

bool sink_is_tty(void)
{
	know();
	return sink.is_tty;
}

int sink_fd(void)
{
	return sink.fd;
}

/* Whether a write of at most AT_ONCE bytes would not wait. */
static bool is_writable(int fd, int patience_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, patience_ms) == 1 && (p.revents & POLLOUT);
}

/*
 * Where to write what is meant for fd. A terminal that can be written may have
 * room for less than a line, and then waits: it is opened once more, for a
 * descriptor of our own that never does. (O_NONBLOCK on the given one would be
 * the shell's, too.)
 */
static int unwaiting(int fd)
{
	static int own[STDERR_FILENO + 1]; /* 0: not asked yet, -1: none */
	char path[64];

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	if (!own[fd]) {
		own[fd] = -1;
		if (isatty(fd) == 1 && ttyname_r(fd, path, sizeof path) == 0)
			own[fd] = open(path, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	}
	return own[fd] > 0 ? own[fd] : fd;
}

/* Whole lines for one write: as many as never make a pipe wait. */
static size_t piece(const char *data, size_t len, bool file)
{
	const char *end;

	if (file || len <= AT_ONCE)
		return len;
	end = memrchr(data, '\n', AT_ONCE);
	return end ? (size_t)(end - data) + 1 : AT_ONCE;
}

static size_t write_lines(int fd, const char *data, size_t len, bool file, int patience_ms)
{
	size_t at = 0;

	fd = unwaiting(fd);
	while (at < len && (file || is_writable(fd, patience_ms))) {
		size_t n = piece(data + at, len - at, file);
		ssize_t written = write(fd, data + at, n);

		if (written <= 0)
			break; /* Nobody is left to tell. */
		at += (size_t)written;
	}
	return at;
}

size_t sink_write(int fd, const char *data, size_t len)
{
	return write_lines(fd, data, len, is_file(fd), 0);
}

void sink_say(int fd, const char *data, size_t len)
{
	write_lines(fd, data, len, is_file(fd), PATIENCE_MS);
}

void sink_flush(void)
{
	size_t n;

	if (!sink.batched)
		return;
	know();
	n = write_lines(sink.fd, sink.batch, sink.batched, sink.is_file, 0);
	sink.batched -= n;
	if (n && sink.batched)
		memmove(sink.batch, sink.batch + n, sink.batched);
	if (!sink.batched && sink.cap > BATCH) {
		free(sink.batch);
		sink.batch = NULL;
		sink.cap = 0;
	}
}

void sink_finish(void)
{
	uint64_t left;

	sink_flush();
	for (int waited = 0; sink.batched && waited < PATIENCE_MS;) {
		left = sink.batched;
		if (!is_writable(unwaiting(sink.fd), LAST_STEP_MS))
			waited += LAST_STEP_MS;
		sink_flush();
		if (sink.batched == left)
			waited += LAST_STEP_MS / 10;
	}
}

/* Room for len more bytes behind what is batched. */
static bool grow(size_t len)
{
	size_t cap = sink.cap ? sink.cap : BATCH;
	char *p;

	while (cap - sink.batched < len)
		cap *= 2;
	if (cap == sink.cap)
		return true;
	p = cap <= BATCH_MOST ? realloc(sink.batch, cap) : NULL;
	if (!p)
		return false;
	sink.batch = p;
	sink.cap = cap;
	return true;
}

void sink_add(const char *line, size_t len)
{
	if (sink.batched >= BATCH)
		sink_flush();
	if (!grow(len)) {
		sink.dropped++;
		return;
	}
	memcpy(sink.batch + sink.batched, line, len);
	sink.batched += len;
}

uint64_t sink_dropped(void)
{
	return sink.dropped;
}

uint64_t sink_news(void)
{
	uint64_t n = sink.dropped - sink.told;

	if (sink.batched > BATCH)
		return 0;
	sink.told = sink.dropped;
	return n;
}

bool sink_is_idle(void)
{
	return !sink.batched && sink.dropped == sink.told;
}
