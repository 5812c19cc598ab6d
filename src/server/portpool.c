#include "server/portpool.h"

#include <stdlib.h>
#include <string.h>

static size_t count(const struct portpool *p)
{
	return (size_t)(p->end - p->start) + 1;
}

static struct portpool_entry *entry(const struct portpool *p, uint16_t port)
{
	return &p->entries[port - p->start];
}

int portpool_init(struct portpool *p, uint16_t start, uint16_t end)
{
	p->start = start;
	p->end = end;
	p->entries = calloc(count(p), sizeof *p->entries);
	return p->entries ? 0 : -1;
}

void portpool_fini(struct portpool *p)
{
	free(p->entries);
	p->entries = NULL;
}

static void put(unsigned char *out, const char *text)
{
	memcpy(out, text, strnlen(text, 64));
}

void portpool_identify(struct portpool_identity *out, const char *key_id, const char *name,
	const unsigned char instance[16])
{
	memset(out, 0, sizeof *out);
	put(out->bytes, key_id);
	put(out->bytes + 64, name);
	memcpy(out->bytes + 128, instance, 16);
}

bool portpool_has(const struct portpool *p, uint16_t port)
{
	return port >= p->start && port <= p->end;
}

static bool is_same(const struct portpool_identity *a, const struct portpool_identity *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

/* 0: leased to `who`, 1: free, 2: leased to another, 3: used. */
static unsigned rank(const struct portpool_entry *e, const struct portpool_identity *who,
	uint64_t now_us)
{
	if (e->used)
		return 3;
	if (!e->leased || now_us >= e->until_us)
		return 1;
	return is_same(&e->owner, who) ? 0 : 2;
}

uint16_t portpool_next(const struct portpool *p, const struct portpool_identity *who,
	uint64_t now_us, uint32_t *cursor)
{
	size_t n = count(p);

	for (; *cursor < 3 * n; ++*cursor) {
		size_t i = *cursor % n;

		if (rank(&p->entries[i], who, now_us) != *cursor / n)
			continue;
		++*cursor;
		return (uint16_t)(p->start + i);
	}
	return 0;
}

uint64_t portpool_kept_us(const struct portpool *p, uint16_t port,
	const struct portpool_identity *who, uint64_t now_us)
{
	const struct portpool_entry *e = entry(p, port);

	switch (rank(e, who, now_us)) {
	case 2:
		return e->until_us - now_us;
	case 3:
		return UINT64_MAX;
	}
	return 0;
}

const struct portpool_identity *portpool_owner(const struct portpool *p, uint16_t port,
	uint64_t now_us)
{
	const struct portpool_entry *e = entry(p, port);

	return e->used || (e->leased && now_us < e->until_us) ? &e->owner : NULL;
}

void portpool_use(struct portpool *p, uint16_t port, const struct portpool_identity *who)
{
	*entry(p, port) = (struct portpool_entry){ .used = true, .owner = *who };
}

void portpool_release(struct portpool *p, uint16_t port, uint64_t until_us)
{
	struct portpool_entry *e = entry(p, port);

	e->used = false;
	e->leased = until_us != 0;
	e->until_us = until_us;
}
