#ifndef SERVER_LEASES_H
#define SERVER_LEASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/buf.h"
#include "net/timer.h"
#include "net/worker.h"
#include "server/portpool.h"

/*
 * The ports and whose they are, kept over a restart of the server in
 * STATE/leases.PORT (PORT is the control port), so that a client finds its
 * port again although others come first, also after a kill -9.
 *
 *	"gotunnel leases 1\n", then records: port u16, identity, CRC-32 of both
 *
 * A record whose CRC is wrong is skipped; the others count. Written a moment
 * after a change, off the loop, all or nothing (net/file.h). What cannot be
 * kept is warned about once; the tunnels go on.
 */
struct leases {
	struct worker *worker;
	struct portpool *pool;
	uv_mutex_t *mutex;	/* held while the pool is read; NULL: nobody else has it */
	char path[512];		/* "": nothing is kept */
	struct timer *timer;	/* NULL once closed */
	uv_work_t work;
	struct buf text;	/* what is being written */
	bool is_waiting, is_writing, is_dirty, has_warned;
	int err;		/* of the last writing */
};

/* Reads the file and leases its ports until `until_us`. state_dir NULL:
 * nothing is kept. 0, or -1 when memory is out. */
int leases_open(struct leases *l, struct worker *w, struct portpool *pool, const char *state_dir,
	uint16_t control_port, uint64_t until_us);

/* A port changed hands: written soon. */
void leases_touch(struct leases *l);

/* No more writing is begun; the loop must run until one under way is done. */
void leases_close(struct leases *l);

/* Writes what there is, blocking; after the loop has ended. */
void leases_save(struct leases *l);

/* The file's content, and back; pure. */
void leases_encode(const struct portpool *pool, uint64_t now_us, struct buf *out);
/* How many ports were leased; -1 when it is no such file. */
int leases_decode(struct portpool *pool, const void *data, size_t len, uint64_t until_us);

#endif
