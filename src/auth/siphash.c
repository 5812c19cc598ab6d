#include "auth/siphash.h"

#include <openssl/siphash.h>

#ifndef OPENSSL_IS_BORINGSSL
#error "these are not BoringSSL's headers"
#endif

uint64_t siphash(const uint64_t key[2], const void *data, size_t len)
{
	return SIPHASH_24(key, data, len);
}
