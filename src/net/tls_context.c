#include "net/tls_context.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/tls.h"
#include "net/verify.h"

#ifndef OPENSSL_IS_BORINGSSL
#error "these are not BoringSSL's headers"
#endif

/* Far below the 2^24.5 records that AES-GCM allows a key (RFC 8446, 5.5). */
#define KEY_UPDATE_BYTES (UINT64_C(64) << 30)

static const uint8_t alpn[] = TLS_CONTEXT_ALPN;

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
	if (!context->ssl || tls_init() < 0 || verify_init() < 0 ||
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
