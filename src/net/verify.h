#ifndef NET_VERIFY_H
#define NET_VERIFY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Why a server's certificate was refused, kept while it is being checked (the
 * certificate itself is gone when the handshake has failed) and told in words
 * later. Internal to net/tls*.c.
 */
struct ssl_ctx_st;
struct ssl_st;
struct x509_st;

/* Who a server is by the certificate that it makes for itself without --tls. */
#define VERIFY_MADE_NAME "gotunnel"

struct verify {
	int error;		/* X509_V_* of the first refusal */
	char names[256];	/* of the refused certificate */
	char date[32];		/* its end, or its beginning */
	int days;		/* since then, or until then */
	bool is_made;		/* the certificate of a server without --tls */
};

/* Asks for what is asked for once a process; before any thread is made, and before
 * any of the others. 0 or -1. */
int verify_init(void);

/* Connections of this context check their peer. */
void verify_install(struct ssl_ctx_st *context);

/* Where a connection notes what it refuses; v must outlive it. 0 or -1. */
int verify_attach(struct verify *v, struct ssl_st *ssl);

/* What a client says, and what to try; false when nothing was refused. host:
 * the one that was expected; ca: who should have signed, or "system". */
bool verify_explain(const struct verify *v, const char *host, const char *ca, char *what,
	size_t what_cap, char *hint, size_t hint_cap);

/* Whether a certificate has expired, is not valid yet, or ends within so many
 * days, told in out. */
bool verify_doubt(const struct x509_st *cert, int days, char *out, size_t cap);

#endif
