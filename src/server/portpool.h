#ifndef SERVER_PORTPOOL_H
#define SERVER_PORTPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which public port belongs to whom. A port is free, used by a tunnel, or
 * leased: kept for an identity whose client vanished without a word. A lease
 * gives way only when no other port is left. No socket and no clock here;
 * whether a port can really be listened on is for the caller to try.
 */
enum { PORTPOOL_IDENTITY = 160 };

/* Key id, name and instance, laid side by side; compared as a whole. */
struct portpool_identity {
	unsigned char bytes[PORTPOOL_IDENTITY];
};

struct portpool_entry {
	bool used;
	bool leased;	/* or used by `owner` */
	uint64_t until_us; /* end of the lease */
	struct portpool_identity owner;
};

struct portpool {
	uint16_t start, end; /* both included */
	struct portpool_entry *entries;
};

/* 0, or -1 when memory is out. */
int portpool_init(struct portpool *p, uint16_t start, uint16_t end);
void portpool_fini(struct portpool *p);

/* Makes an identity; the parts are cut at 64, 64 and 16 bytes. */
void portpool_identify(struct portpool_identity *out, const char *key_id, const char *name,
	const unsigned char instance[16]);

bool portpool_has(const struct portpool *p, uint16_t port);

/*
 * The order in which to try ports for `who`: the one it has a lease of, then
 * the free ones from the lowest, then the ones leased to others. *cursor
 * begins at 0. Returns the next port, or 0 when there is none.
 */
uint16_t portpool_next(const struct portpool *p, const struct portpool_identity *who,
	uint64_t now_us, uint32_t *cursor);

/* How long another than `who` keeps a wanted port: 0 when it is free for
 * `who`, UINT64_MAX while it is used. */
uint64_t portpool_kept_us(const struct portpool *p, uint16_t port,
	const struct portpool_identity *who, uint64_t now_us);

void portpool_use(struct portpool *p, uint16_t port, const struct portpool_identity *who);

/* Whose the port is, by use or by a lease that lasts; NULL when it is free. */
const struct portpool_identity *portpool_owner(const struct portpool *p, uint16_t port,
	uint64_t now_us);

/* The tunnel ended: the port is free at once (until_us 0), or is kept for its
 * owner until then. */
void portpool_release(struct portpool *p, uint16_t port, uint64_t until_us);

#endif
