#include "core/table.h"

#include <stdlib.h>

enum { BUCKETS_MIN = 64 };

int table_init(struct table *t)
{
	*t = (struct table){ .buckets = calloc(BUCKETS_MIN, sizeof(struct table_node *)) };
	if (!t->buckets)
		return -1;
	t->nbuckets = BUCKETS_MIN;
	return 0;
}

void table_fini(struct table *t)
{
	free(t->buckets);
	*t = (struct table){ 0 };
}

static struct table_node **bucket(const struct table *t, uint64_t hash)
{
	return &t->buckets[hash & (t->nbuckets - 1)];
}

static void put(struct table *t, struct table_node *node)
{
	struct table_node **at = bucket(t, node->hash);

	node->next = *at;
	*at = node;
}

static void resize(struct table *t, size_t n)
{
	struct table_node **old = t->buckets;
	struct table_node **new = calloc(n, sizeof(struct table_node *));
	size_t nold = t->nbuckets;

	if (!new)
		return;
	t->buckets = new;
	t->nbuckets = n;
	for (size_t i = 0; i < nold; i++) {
		for (struct table_node *node = old[i], *next; node; node = next) {
			next = node->next;
			put(t, node);
		}
	}
	free(old);
}

static struct table_node *with_hash(struct table_node *node, uint64_t hash)
{
	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct table_node *table_find(const struct table *t, uint64_t hash)
{
	return with_hash(*bucket(t, hash), hash);
}

struct table_node *table_again(const struct table_node *node)
{
	return with_hash(node->next, node->hash);
}

void table_add(struct table *t, struct table_node *node, uint64_t hash)
{
	if (t->count >= t->nbuckets)
		resize(t, t->nbuckets * 2);
	node->hash = hash;
	put(t, node);
	t->count++;
}

void table_remove(struct table *t, struct table_node *node)
{
	struct table_node **at = bucket(t, node->hash);

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	t->count--;
	if (t->nbuckets > BUCKETS_MIN && t->count < t->nbuckets / 8)
		resize(t, t->nbuckets / 2);
}

struct table_node *table_take(struct table *t, size_t *at)
{
	struct table_node *node;

	while (*at < t->nbuckets && !t->buckets[*at])
		(*at)++;
	if (*at >= t->nbuckets)
		return NULL;
	node = t->buckets[*at];
	t->buckets[*at] = node->next;
	t->count--;
	return node;
}
