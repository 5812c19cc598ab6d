#include "net/tls.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Far below the 2^24.5 records that AES-GCM allows a key (RFC 8446, 5.5). */
#define KEY_UPDATE_BYTES (UINT64_C(64) << 30)

static const uint8_t alpn[] = "\x0agotunnel/1";
static const char exporter_label[] = "EXPORTER-gotunnel-1";

struct tls_context {
	SSL_CTX *ssl;
	char *ca;		/* for messages; NULL: nothing is checked */
	uint64_t key_update;
};

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

/* --- contexts ----------------------------------------------------------------- */

static int on_alpn(SSL *ssl, const uint8_t **out, uint8_t *out_len, const uint8_t *in,
	unsigned in_len, void *arg)
{
	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto((uint8_t **)out, out_len, alpn, sizeof alpn - 1, in, in_len) ==
		OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static struct tls_context *context_new(void)
{
	struct tls_context *context = calloc(1, sizeof *context);

	if (!context)
		return NULL;
	context->key_update = KEY_UPDATE_BYTES;
	context->ssl = SSL_CTX_new(TLS_method());
	if (!context->ssl || !bio_method() || verify_init() < 0 ||
		!SSL_CTX_set_min_proto_version(context->ssl, TLS1_3_VERSION) ||
		!SSL_CTX_set_max_proto_version(context->ssl, TLS1_3_VERSION) ||
		SSL_CTX_set_alpn_protos(context->ssl, alpn, sizeof alpn - 1) != 0) {
		tls_context_free(context);
		return NULL;
	}
	SSL_CTX_set_alpn_select_cb(context->ssl, on_alpn, NULL);
	SSL_CTX_set_options(context->ssl, SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(context->ssl, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	return context;
}

void tls_context_free(struct tls_context *context)
{
	if (!context)
		return;
	SSL_CTX_free(context->ssl);
	free(context->ca);
	free(context);
}

void tls_set_key_update(struct tls_context *context, uint64_t bytes)
{
	context->key_update = bytes;
}

static EVP_PKEY *make_key(void)
{
	EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
	EVP_PKEY *key = EVP_PKEY_new();

	if (ec && key && EC_KEY_generate_key(ec) && EVP_PKEY_set1_EC_KEY(key, ec)) {
		EC_KEY_free(ec);
		return key;
	}
	EC_KEY_free(ec);
	EVP_PKEY_free(key);
	return NULL;
}

/* A certificate that names nobody: clients without a CA do not look at it. */
static X509 *make_cert(EVP_PKEY *key)
{
	X509 *cert = X509_new();

	if (cert && X509_set_version(cert, 2) &&
		ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
		X509_gmtime_adj(X509_getm_notBefore(cert), -24 * 3600) &&
		X509_gmtime_adj(X509_getm_notAfter(cert), 10L * 365 * 24 * 3600) &&
		X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
			(const uint8_t *)VERIFY_MADE_NAME, -1, -1, 0) &&
		X509_set_issuer_name(cert, X509_get_subject_name(cert)) &&
		X509_set_pubkey(cert, key) && X509_sign(cert, key, EVP_sha256()))
		return cert;
	X509_free(cert);
	return NULL;
}

static int use_made(SSL_CTX *ssl)
{
	EVP_PKEY *key = make_key();
	X509 *cert = key ? make_cert(key) : NULL;
	int ok = cert && SSL_CTX_use_certificate(ssl, cert) && SSL_CTX_use_PrivateKey(ssl, key);

	X509_free(cert);
	EVP_PKEY_free(key);
	return ok ? 0 : -1;
}

/* Says why a file cannot be opened. */
static int check_readable(const char *option, const char *path, char *err, size_t cap)
{
	FILE *f = fopen(path, "r");
	int c = f ? fgetc(f) : 0;

	if (f && (c != EOF || !ferror(f))) {
		fclose(f);
		return 0;
	}
	snprintf(err, cap, "%s %s: %s", option, path, strerror(errno));
	if (f)
		fclose(f);
	return -1;
}

static int use_files(SSL_CTX *ssl, const char *cert, const char *key, char *err, size_t cap)
{
	if (check_readable("--tls-cert", cert, err, cap) < 0 ||
		check_readable("--tls-key", key, err, cap) < 0)
		return -1;
	if (!SSL_CTX_use_certificate_chain_file(ssl, cert)) {
		snprintf(err, cap, "--tls-cert %s: holds no PEM certificate", cert);
		return -1;
	}
	ERR_clear_error();
	if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM))
		return 0;
	snprintf(err, cap, ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH ?
		"--tls-key %s: does not belong to --tls-cert %s" :
		"--tls-key %s: holds no PEM private key without a passphrase", key, cert);
	return -1;
}

int tls_context_server(struct tls_context **out, const char *cert, const char *key, char *err,
	size_t cap)
{
	struct tls_context *context = context_new();

	snprintf(err, cap, "cannot prepare TLS: out of memory");
	if (!context)
		return -1;
	if (cert ? use_files(context->ssl, cert, key, err, cap) : use_made(context->ssl)) {
		tls_context_free(context);
		ERR_clear_error();
		return -1;
	}
	*out = context;
	return 0;
}

bool tls_context_doubt(const struct tls_context *context, int days, char *out, size_t cap)
{
	return verify_doubt(SSL_CTX_get0_certificate(context->ssl), days, out, cap);
}

/* Where distributions keep the roots that the system trusts. */
static int use_system_roots(SSL_CTX *ssl)
{
	static const char *const files[] = {
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/cert.pem",
	};
	const char *own = getenv("SSL_CERT_FILE");

	if (own && *own)
		return SSL_CTX_load_verify_locations(ssl, own, NULL) ? 0 : -1;
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
		if (SSL_CTX_load_verify_locations(ssl, files[i], NULL))
			return 0;
	return -1;
}

static int use_ca(struct tls_context *context, const char *ca, char *err, size_t cap)
{
	bool system = strcmp(ca, "system") == 0;

	if (!system && check_readable("--tls-ca", ca, err, cap) < 0)
		return -1;
	if (system && use_system_roots(context->ssl) < 0) {
		snprintf(err, cap, "--tls-ca system: no root certificates on this machine");
		return -1;
	}
	if (!system && !SSL_CTX_load_verify_locations(context->ssl, ca, NULL)) {
		snprintf(err, cap, "--tls-ca %s: holds no PEM certificate", ca);
		return -1;
	}
	context->ca = strdup(ca);
	verify_install(context->ssl);
	return context->ca ? 0 : -1;
}

int tls_context_client(struct tls_context **out, const char *ca, char *err, size_t cap)
{
	struct tls_context *context = context_new();

	snprintf(err, cap, "cannot prepare TLS: out of memory");
	if (!context)
		return -1;
	if (ca && use_ca(context, ca, err, cap) < 0) {
		tls_context_free(context);
		ERR_clear_error();
		return -1;
	}
	*out = context;
	return 0;
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
