#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/tls_context.h"

/*
 * TLS 1.3 (RFC 8446) without a socket: ciphertext is fed in and appended to a
 * region of the caller's, so that reading and writing cost no copy of ours.
 * ALPN "gotunnel/1" on both sides, no 0-RTT, no tickets.
 */
struct tls;

enum tls_result { TLS_DONE, TLS_MORE, TLS_FAILED };

/* Makes what all of them share; by whoever makes a context, before any thread is.
 * 0 or -1. */
int tls_init(void);

/* host: for SNI and, when the context checks certificates, the name or
 * address that the certificate must have. NULL on a server. NULL when memory
 * is out. The context must outlive it. */
struct tls *tls_new(struct tls_context *context, bool is_server, const char *host);
void tls_free(struct tls *t);

/* The peer of a server is a stranger until then: 8 KiB of handshake in records
 * of 4 KiB, afterwards records of 8 KiB, and no more. */
void tls_trust(struct tls *t);

/* Ciphertext to be read by the calls that follow; borrowed until they have
 * taken all of it, which tls_handshake() and tls_read() do. */
void tls_feed(struct tls *t, const uint8_t *data, size_t len);

/* Where ciphertext is appended; NULL, 0: nowhere. */
void tls_output(struct tls *t, uint8_t *out, size_t cap);
size_t tls_output_len(const struct tls *t);

enum tls_result tls_handshake(struct tls *t);

/* Fills buf as far as it can. 0: no more for now, or the end (tls_is_ended()),
 * -1: broken. */
ssize_t tls_read(struct tls *t, uint8_t *buf, size_t cap);

/* All of data, or -1. The output region must have room for it and for 22
 * bytes a record of 16 KiB, and 1 KiB more. */
ssize_t tls_write(struct tls *t, const uint8_t *data, size_t len);

/* Appends close_notify. */
void tls_shutdown(struct tls *t);

/* The peer said close_notify. */
bool tls_is_ended(const struct tls *t);

/* EXPORTER-gotunnel-1 (RFC 8446, 7.5), after the handshake. 0 or -1. */
int tls_exporter(struct tls *t, uint8_t out[32]);

/* "TLSv1.3, TLS_AES_128_GCM_SHA256", after the handshake; static or in buf. */
const char *tls_describe(const struct tls *t, char *buf, size_t cap);

/* Why it failed, in words; static or owned by t. */
const char *tls_error(const struct tls *t);

/* What a client says when it refuses the server's certificate; false when the
 * failure was another. `what` and `hint`: the message and what to try. */
bool tls_explain(const struct tls *t, char *what, size_t what_cap, char *hint, size_t hint_cap);

/* Bytes after which the sending key is changed; for tests. */
void tls_set_key_update(struct tls_context *context, uint64_t bytes);

/* "BoringSSL (API 17)". */
const char *tls_version(void);

#endif
