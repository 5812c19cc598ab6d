#ifndef CORE_TABLE_H
#define CORE_TABLE_H

#include <stddef.h>
#include <stdint.h>

/*
 * A hash table of structs that carry their node, by a hash of 64 bits that the
 * caller makes (with a secret, where strangers choose the keys: auth/siphash.h)
 * and compares the keys for. It owns its buckets only, and doubles and halves
 * them with what is in it; without memory for that it becomes slower, not wrong.
 */
struct table_node {
	struct table_node *next;	/* in its bucket */
	uint64_t hash;
};

struct table {
	struct table_node **buckets;
	size_t nbuckets;		/* a power of two */
	size_t count;
};

/* 0, or -1 when memory is out. */
int table_init(struct table *t);
void table_fini(struct table *t);

/* The first with that hash, and the next with the same; NULL at the end. */
struct table_node *table_find(const struct table *t, uint64_t hash);
struct table_node *table_again(const struct table_node *node);

/* A node that is in no table; and one that is in this one. */
void table_add(struct table *t, struct table_node *node, uint64_t hash);
void table_remove(struct table *t, struct table_node *node);

/* Takes one out, whichever, in the first bucket from *at on that has any; NULL:
 * there is none. To empty it, with *at 0 at first. */
struct table_node *table_take(struct table *t, size_t *at);

#endif
