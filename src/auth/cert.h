#ifndef AUTH_CERT_H
#define AUTH_CERT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Keys and certificates as PEM text (RFC 7468): ECDSA P-256, SHA-256, the
 * profile of RFC 5280. Pure: names, time and what signs are passed in.
 */
struct cert_pair {
	char *key;	/* PKCS#8, unencrypted; wiped by cert_pair_fini() */
	char *cert;
};

struct cert_names {
	const char *const *names; /* host names and addresses, for the SAN */
	size_t count;
};

/* A CA that may sign server certificates and nothing below it. not_before and
 * not_after are seconds since 1970. 0 or -1. */
int cert_make_ca(struct cert_pair *out, int64_t not_before, int64_t not_after);

/* A server certificate signed by ca (both of its parts). 0, or -1. */
int cert_make_server(struct cert_pair *out, const struct cert_pair *ca,
	const struct cert_names *names, int64_t not_before, int64_t not_after);

/* Whether key and cert can be read and belong together. */
int cert_check(const struct cert_pair *pair);

void cert_pair_fini(struct cert_pair *pair);

#endif
