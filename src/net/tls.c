#include "net/tls.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/tls_context.h"
#include "net/verify.h"

#ifndef OPENSSL_IS_BORINGSSL
#error "these are not BoringSSL's headers"
#endif

enum {
	RECORD_HEAD = 5,
	/* What a stranger may announce, for which the library allocates, and in the
	 * handshake send, which it keeps until a message is whole. */
	RECORD_MAX_EARLY = 4096,
	BYTES_MAX_EARLY = 8192,
	RECORD_MAX_LOGIN = 8192,
};

static const uint8_t alpn[] = TLS_CONTEXT_ALPN;
static const char exporter_label[] = "EXPORTER-gotunnel-1";

struct tls {
	SSL *ssl;
	struct tls_context *context;
	char *host;
	bool is_server, is_done, is_trusted, is_immodest, is_ended;
	const uint8_t *in;
	size_t in_len;
	uint8_t *out;
	size_t out_len, out_cap;
	uint64_t since_update;
	/* Records of a stranger, followed as long as it is one. */
	uint8_t head[RECORD_HEAD];
	size_t head_len, body_left, early;
	char error[128];
	struct verify verify;
};

/* --- BIO ------------------------------------------------------------------ */

/* Whether the next n bytes keep to the limits for strangers; once not, never
 * again: the library may ask anew. */
static bool is_modest(struct tls *t, const uint8_t *data, size_t n)
{
	size_t most = t->is_done ? RECORD_MAX_LOGIN : RECORD_MAX_EARLY;

	t->early += t->is_done ? 0 : n;
	t->is_immodest |= t->early > BYTES_MAX_EARLY;
	while (n && !t->is_immodest) {
		size_t skip = t->body_left < n ? t->body_left : n;

		t->body_left -= skip;
		data += skip;
		n -= skip;
		if (!n)
			break;
		t->head[t->head_len++] = *data++;
		n--;
		if (t->head_len < RECORD_HEAD)
			continue;
		t->head_len = 0;
		t->body_left = (size_t)t->head[3] << 8 | t->head[4];
		t->is_immodest = t->body_left > most;
	}
	return !t->is_immodest;
}

static int bio_read(BIO *bio, char *buf, int len)
{
	struct tls *t = BIO_get_data(bio);
	size_t n = (size_t)len < t->in_len ? (size_t)len : t->in_len;

	BIO_clear_retry_flags(bio);
	if (n == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (t->is_server && !t->is_trusted && !is_modest(t, t->in, n))
		return -1;
	memcpy(buf, t->in, n);
	t->in += n;
	t->in_len -= n;
	return (int)n;
}

static int bio_write(BIO *bio, const char *data, int len)
{
	struct tls *t = BIO_get_data(bio);

	BIO_clear_retry_flags(bio);
	if ((size_t)len > t->out_cap - t->out_len) {
		BIO_set_retry_write(bio);
		return -1;
	}
	memcpy(t->out + t->out_len, data, (size_t)len);
	t->out_len += (size_t)len;
	return len;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	(void)bio;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

/* One method for the process; made before any thread is. */
static const BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *method;

	if (!method && (method = BIO_meth_new(0, "gotunnel"))) {
		BIO_meth_set_read(method, bio_read);
		BIO_meth_set_write(method, bio_write);
		BIO_meth_set_ctrl(method, bio_ctrl);
	}
	return method;
}

int tls_init(void)
{
	return bio_method() ? 0 : -1;
}

/* --- connections ---------------------------------------------------------------- */

static bool is_address(const char *host)
{
	uint8_t ip[16];

	return inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1;
}

static int expect(struct tls *t)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);

	if (is_address(t->host))
		return !t->context->ca || X509_VERIFY_PARAM_set1_ip_asc(param, t->host) ? 0 : -1;
	if (!SSL_set_tlsext_host_name(t->ssl, t->host))
		return -1;
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return !t->context->ca || X509_VERIFY_PARAM_set1_host(param, t->host,
		strlen(t->host)) ? 0 : -1;
}

static int prepare(struct tls *t, const char *host)
{
	BIO *bio = BIO_new(bio_method());

	if (!bio || verify_attach(&t->verify, t->ssl) < 0) {
		BIO_free(bio);
		return -1;
	}
	BIO_set_data(bio, t);
	BIO_set_init(bio, 1);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_shed_handshake_config(t->ssl, 1); /* It is for the handshake alone. */
	if (t->is_server) {
		SSL_set_accept_state(t->ssl);
		return 0;
	}
	SSL_set_connect_state(t->ssl);
	t->host = host ? strdup(host) : NULL;
	return !host ? 0 : t->host ? expect(t) : -1;
}

struct tls *tls_new(struct tls_context *context, bool is_server, const char *host)
{
	struct tls *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->context = context;
	t->is_server = is_server;
	t->ssl = SSL_new(context->ssl);
	if (t->ssl && prepare(t, host) == 0)
		return t;
	tls_free(t);
	return NULL;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	free(t->host);
	free(t);
}

void tls_trust(struct tls *t)
{
	t->is_trusted = true;
}

void tls_feed(struct tls *t, const uint8_t *data, size_t len)
{
	t->in = data;
	t->in_len = len;
}

void tls_output(struct tls *t, uint8_t *out, size_t cap)
{
	t->out = out;
	t->out_cap = cap;
	t->out_len = 0;
}

size_t tls_output_len(const struct tls *t)
{
	return t->out_len;
}

/* The library's names in the words of people: an alert is what the other side
 * said, "WRONG_VERSION_NUMBER" is wrong version number. */
static void keep_error(struct tls *t, const char *fallback)
{
	uint32_t error = ERR_peek_error();
	int alert = ERR_GET_REASON(error) - SSL_AD_REASON_OFFSET;
	const char *reason = ERR_reason_error_string(error);

	if (ERR_GET_LIB(error) == ERR_LIB_SSL && alert >= 0 && alert <= 255) {
		snprintf(t->error, sizeof t->error, "TLS: the other side says: %s",
			SSL_alert_desc_string_long(alert));
	} else {
		snprintf(t->error, sizeof t->error, "TLS: %s", reason ? reason : fallback);
		for (char *p = t->error + 5; reason && *p; p++)
			*p = *p == '_' ? ' ' : (char)tolower((unsigned char)*p);
	}
	ERR_clear_error();
}

static bool has_alpn(struct tls *t)
{
	const uint8_t *name;
	unsigned len;

	SSL_get0_alpn_selected(t->ssl, &name, &len);
	return len == sizeof alpn - 2 && memcmp(name, alpn + 1, len) == 0;
}

enum tls_result tls_handshake(struct tls *t)
{
	int n;

	ERR_clear_error();
	n = SSL_do_handshake(t->ssl);
	if (n == 1 && has_alpn(t)) {
		t->is_done = true;
		return TLS_DONE;
	}
	if (n != 1 && SSL_get_error(t->ssl, n) == SSL_ERROR_WANT_READ)
		return TLS_MORE;
	keep_error(t, n == 1 ? "the other side speaks another protocol" : "handshake failed");
	return TLS_FAILED;
}

ssize_t tls_read(struct tls *t, uint8_t *buf, size_t cap)
{
	size_t at = 0;
	int n = 1;

	ERR_clear_error();
	while (at < cap && (n = SSL_read(t->ssl, buf + at, (int)(cap - at))) > 0)
		at += (size_t)n;
	if (at || n > 0)
		return (ssize_t)at; /* What ended it is met again. */
	switch (SSL_get_error(t->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		t->is_ended = true;
		return 0;
	}
	keep_error(t, "broken record");
	return -1;
}

ssize_t tls_write(struct tls *t, const uint8_t *data, size_t len)
{
	int n;

	ERR_clear_error();
	if (t->since_update >= t->context->key_update) {
		t->since_update = 0;
		SSL_key_update(t->ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
	}
	n = SSL_write(t->ssl, data, (int)len);
	if (n != (int)len) {
		keep_error(t, "cannot send");
		return -1;
	}
	t->since_update += len;
	return n;
}

void tls_set_key_update(struct tls_context *context, uint64_t bytes)
{
	context->key_update = bytes;
}

void tls_shutdown(struct tls *t)
{
	SSL_shutdown(t->ssl);
	ERR_clear_error();
}

bool tls_is_ended(const struct tls *t)
{
	return t->is_ended;
}

bool tls_explain(const struct tls *t, char *what, size_t what_cap, char *hint, size_t hint_cap)
{
	return t->context->ca && verify_explain(&t->verify, t->host, t->context->ca, what, what_cap,
		hint, hint_cap);
}

int tls_exporter(struct tls *t, uint8_t out[32])
{
	return SSL_export_keying_material(t->ssl, out, 32, exporter_label,
		sizeof exporter_label - 1, NULL, 0, 0) ? 0 : -1;
}

const char *tls_describe(const struct tls *t, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s, %s", SSL_get_version(t->ssl),
		SSL_CIPHER_standard_name(SSL_get_current_cipher(t->ssl)));
	return buf;
}

const char *tls_error(const struct tls *t)
{
	return t->error;
}

const char *tls_version(void)
{
	static char text[32];

	snprintf(text, sizeof text, "BoringSSL (API %d)", BORINGSSL_API_VERSION);
	return text;
}
