#ifndef CORE_MAP_H
#define CORE_MAP_H

#include <stddef.h>
#include <stdint.h>

/*
 * A hash map from u32 to a pointer, with open addressing and backward-shift
 * deletion: no tombstones, no allocation a lookup. It owns its table only,
 * never the values. Keys come from our own counters (stream ids, ports), so
 * the hash needs no secret. NULL is not a value.
 */
struct map_slot {
	uint32_t key;
	void *value;
};

struct map {
	struct map_slot *slots;
	size_t cap; /* a power of two, or 0 */
	size_t len;
};

/* An empty map holds no memory: a zeroed struct is one. */
void map_fini(struct map *m);

/* The value or NULL. */
void *map_get(const struct map *m, uint32_t key);

/* Adds or replaces. -1 when memory is out; the map is then unchanged. */
int map_put(struct map *m, uint32_t key, void *value);

/* Removes and returns the value, or NULL. Shrinks to nothing when empty. */
void *map_remove(struct map *m, uint32_t key);

/* The value in the first used slot at or after *at, which moves past it, or
 * NULL at the end. The map must not change between calls. */
void *map_next(const struct map *m, size_t *at);

#endif
