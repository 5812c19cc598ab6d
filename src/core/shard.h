#ifndef CORE_SHARD_H
#define CORE_SHARD_H

#include <stdint.h>

/*
 * Numbers that one thread writes and others may read at any time, without a
 * lock: relaxed loads and stores (C11, 7.17), which are plain moves on 64-bit
 * machines. Only the owner adds; nothing here is a read-modify-write.
 */
static inline uint64_t shard_get(const uint64_t *n)
{
	return __atomic_load_n(n, __ATOMIC_RELAXED);
}

static inline void shard_set(uint64_t *n, uint64_t value)
{
	__atomic_store_n(n, value, __ATOMIC_RELAXED);
}

static inline void shard_add(uint64_t *n, uint64_t value)
{
	shard_set(n, *n + value);
}

static inline void shard_sub(uint64_t *n, uint64_t value)
{
	shard_set(n, *n - value);
}

#endif
