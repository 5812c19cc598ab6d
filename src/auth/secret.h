#ifndef AUTH_SECRET_H
#define AUTH_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* Tokens: what their key id is, which text may be one, and how one is made. */
enum {
	SECRET_MAX = 1024,	/* bytes of a token, without the terminator */
	SECRET_MADE = 30,	/* characters of one that is made, with the terminator */
};

#define SECRET_DEV "dev-token"

/* "dev" for SECRET_DEV, "default" for any other token. Static. */
const char *secret_key_id(const char *token);

/* 1 to SECRET_MAX printable ASCII characters without spaces. */
bool secret_is_token(const char *token);

/* 120 bits from 15 random bytes, as base32 in groups of four:
 * "q7mz-k2ha-…". */
void secret_make(const unsigned char random[15], char out[SECRET_MADE]);

#endif
