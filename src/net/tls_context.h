#ifndef NET_TLS_CONTEXT_H
#define NET_TLS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the TLS connections of a server or a client have in common: its
 * certificate and key, or whom it trusts. The fields are for net/tls.c.
 */
struct ssl_ctx_st;

struct tls_context {
	struct ssl_ctx_st *ssl;
	char *ca;		/* for messages; NULL: nothing is checked */
	uint64_t key_update;	/* bytes after which the sending key is changed */
};

/* As RFC 7301 lists it: a length, and the name. */
#define TLS_CONTEXT_ALPN "\x0agotunnel/1"

/* Certificate files of a server, or both NULL: a key and certificate made for
 * this process, which prove nothing by themselves. 0, or -1 with the reason in err:
 * "--tls-cert FILE: No such file or directory". */
int tls_context_server(struct tls_context **out, const char *cert, const char *key, char *err,
	size_t cap);

/* Whether a server's own certificate is one that clients refuse by its dates,
 * or ends within so many days; then the words for it are in out. */
bool tls_context_doubt(const struct tls_context *context, int days, char *out, size_t cap);

/* A client. ca is a file, "system", or NULL: no certificate is checked,
 * because the login proves both ends. 0, or -1 with the reason. */
int tls_context_client(struct tls_context **out, const char *ca, char *err, size_t cap);

void tls_context_free(struct tls_context *context);

#endif
