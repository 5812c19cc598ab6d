#ifndef SERVER_CREDENTIALS_H
#define SERVER_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>

#include "auth/secret.h"
#include "server/server.h"

/* Which tokens this server accepts: one set by hand, or one that it made for
 * itself and keeps in STATE/token; and dev-token, from this machine only and
 * only while none was set by hand. */
struct credentials {
	char token[SECRET_MAX + 1];	/* "" when there is none */
	char path[512];			/* where it is kept, "" when set by hand */
	bool is_new;			/* made at this start */
	bool accepts_dev;
};

/* 0, or the exit code after the error was reported. What cannot be kept is
 * warned about and leaves dev-token. */
int credentials_load(struct credentials *c, const struct server_config *config);

void credentials_wipe(struct credentials *c);

/* The secret behind a key id, or NULL: unknown, or not allowed from there. */
const char *credentials_find(const struct credentials *c, const void *key_id, size_t len,
	bool from_loopback);

#endif
