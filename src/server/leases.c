#include "server/leases.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/cursor.h"
#include "core/log.h"
#include "net/file.h"

enum {
	SOON_MS = 200,
	RECORD = 2 + PORTPOOL_IDENTITY + 4,
	FILE_MAX = 65536 * RECORD + 64,
};

static const char magic[] = "gotunnel leases 1\n";

enum { MAGIC = sizeof magic - 1 };

/* --- the file ------------------------------------------------------------------- */

/* CRC-32 as in ISO 3309 and Ethernet (reflected, 0xedb88320). */
static uint32_t crc32(const uint8_t *p, size_t len)
{
	uint32_t crc = 0xffffffff;

	while (len--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return ~crc;
}

void leases_encode(const struct portpool *pool, uint64_t now_us, struct buf *out)
{
	uint8_t record[RECORD];

	buf_add(out, magic, MAGIC);
	for (unsigned port = pool->start; port <= pool->end; port++) {
		const struct portpool_identity *who = portpool_owner(pool, (uint16_t)port, now_us);
		struct writer w = writer_of(record, sizeof record);

		if (!who)
			continue;
		writer_u16(&w, (uint16_t)port);
		writer_bytes(&w, who->bytes, sizeof who->bytes);
		writer_u32(&w, crc32(record, RECORD - 4));
		buf_add(out, record, sizeof record);
	}
}

int leases_decode(struct portpool *pool, const void *data, size_t len, uint64_t until_us)
{
	struct reader r = reader_of(data, len);
	const uint8_t *begin = reader_bytes(&r, MAGIC);
	int count = 0;

	if (!begin || memcmp(begin, magic, MAGIC) != 0)
		return -1;
	while (r.left >= RECORD) {
		uint32_t crc = crc32(r.at, RECORD - 4);
		struct portpool_identity who;
		uint16_t port = reader_u16(&r);

		reader_copy(&r, who.bytes, sizeof who.bytes);
		if (reader_u32(&r) != crc || !portpool_has(pool, port))
			continue;
		portpool_use(pool, port, &who);
		portpool_release(pool, port, until_us);
		count++;
	}
	return count;
}

/* --- reading and writing ---------------------------------------------------------- */

static void load(struct leases *l, uint64_t until_us)
{
	int fd = open(l->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;
	char *data = NULL;
	ssize_t n = -1;

	if (fd < 0)
		return; /* The first start. */
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX)
		data = malloc((size_t)st.st_size + 1);
	if (data)
		n = read(fd, data, (size_t)st.st_size);
	if (n < 0 || leases_decode(l->pool, data, (size_t)n, until_us) < 0)
		log_warn(NULL, "%s: cannot be read as leases; clients may get other ports", l->path);
	free(data);
	close(fd);
}

static void on_work(uv_work_t *work)
{
	struct leases *l = work->data;

	l->err = file_replace(l->path, l->text.data, l->text.len, 0600);
}

static void warn(struct leases *l)
{
	if (l->err && !l->has_warned)
		log_warn(NULL, "%s: %s; after a restart clients may get other ports", l->path,
			strerror(-l->err));
	l->has_warned = l->err != 0;
}

static void on_written(uv_work_t *work, int status)
{
	struct leases *l = work->data;

	(void)status;
	l->is_writing = false;
	buf_fini(&l->text);
	warn(l);
	if (l->is_dirty)
		leases_touch(l);
}

static bool compose(struct leases *l)
{
	l->is_dirty = false;
	if (l->mutex)
		uv_mutex_lock(l->mutex);
	leases_encode(l->pool, worker_now(l->worker), &l->text);
	if (l->mutex)
		uv_mutex_unlock(l->mutex);
	if (!l->text.failed)
		return true;
	buf_fini(&l->text);
	return false;
}

static void on_timer(struct timer *t)
{
	struct leases *l = t->data;

	l->is_waiting = false;
	if (!compose(l))
		return; /* It is touched again by the next change. */
	l->work.data = l;
	l->is_writing = uv_queue_work(l->worker->loop, &l->work, on_work, on_written) == 0;
	if (!l->is_writing)
		buf_fini(&l->text);
}

void leases_touch(struct leases *l)
{
	if (!l->path[0])
		return;
	l->is_dirty = true;
	/* From the first change on: many in a row must not put it off for ever. */
	if (!l->timer || l->is_writing || l->is_waiting)
		return;
	l->is_waiting = true;
	timer_start(l->timer, SOON_MS);
}

/* --- life ------------------------------------------------------------------------------ */

int leases_open(struct leases *l, struct worker *w, struct portpool *pool, const char *state_dir,
	uint16_t control_port, uint64_t until_us)
{
	*l = (struct leases){ .worker = w, .pool = pool, .text.max = FILE_MAX };
	if (!state_dir)
		return 0;
	l->timer = timer_new(w->loop, on_timer, l);
	if (!l->timer)
		return -1;
	if (snprintf(l->path, sizeof l->path, "%s/leases.%u", state_dir, control_port) >=
		(int)sizeof l->path)
		l->path[0] = '\0';
	l->err = l->path[0] ? file_make_folder(state_dir) : 0;
	warn(l);
	if (l->path[0])
		load(l, until_us);
	return 0;
}

void leases_close(struct leases *l)
{
	timer_free(l->timer);
	l->timer = NULL;
}

void leases_save(struct leases *l)
{
	if (!l->path[0] || !l->is_dirty || !compose(l))
		return;
	l->err = file_replace(l->path, l->text.data, l->text.len, 0600);
	warn(l);
	buf_fini(&l->text);
}
