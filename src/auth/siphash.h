#ifndef AUTH_SIPHASH_H
#define AUTH_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

/* SipHash-2-4 (Aumasson, Bernstein, 2012): for tables whose keys come from
 * strangers. With a random key nobody can choose what shares a place. */
uint64_t siphash(const uint64_t key[2], const void *data, size_t len);

#endif
