#include "auth/cert.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#ifndef OPENSSL_IS_BORINGSSL
#error "these are not BoringSSL's headers"
#endif

void cert_pair_fini(struct cert_pair *pair)
{
	if (pair->key)
		OPENSSL_cleanse(pair->key, strlen(pair->key));
	free(pair->key);
	free(pair->cert);
	*pair = (struct cert_pair){ 0 };
}

/* --- PEM ------------------------------------------------------------------------ */

static char *take_text(BIO *bio)
{
	const uint8_t *data;
	size_t len;
	char *text;

	if (!BIO_mem_contents(bio, &data, &len))
		return NULL;
	text = malloc(len + 1);
	if (!text)
		return NULL;
	memcpy(text, data, len);
	text[len] = '\0';
	return text;
}

static int to_pem(struct cert_pair *out, EVP_PKEY *key, X509 *cert)
{
	BIO *key_bio = BIO_new(BIO_s_mem()), *cert_bio = BIO_new(BIO_s_mem());

	*out = (struct cert_pair){ 0 };
	if (key_bio && cert_bio &&
		PEM_write_bio_PKCS8PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) &&
		PEM_write_bio_X509(cert_bio, cert)) {
		out->key = take_text(key_bio);
		out->cert = take_text(cert_bio);
	}
	BIO_free(key_bio);
	BIO_free(cert_bio);
	if (out->key && out->cert)
		return 0;
	cert_pair_fini(out);
	return -1;
}

static EVP_PKEY *read_key(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return key;
}

static X509 *read_cert(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;

	BIO_free(bio);
	return cert;
}

int cert_check(const struct cert_pair *pair)
{
	EVP_PKEY *key = read_key(pair->key);
	X509 *cert = read_cert(pair->cert);
	int ok = key && cert && X509_check_private_key(cert, key);

	EVP_PKEY_free(key);
	X509_free(cert);
	return ok ? 0 : -1;
}

/* --- certificates ------------------------------------------------------------------ */

static EVP_PKEY *make_key(void)
{
	EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
	EVP_PKEY *key = EVP_PKEY_new();
	int ok = ec && key && EC_KEY_generate_key(ec) && EVP_PKEY_set1_EC_KEY(key, ec);

	EC_KEY_free(ec);
	if (ok)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

/* 159 random bits: positive, and at most 20 bytes (RFC 5280, 4.1.2.2). */
static int set_serial(X509 *cert)
{
	uint8_t bytes[20];
	BIGNUM *n;
	int ok;

	RAND_bytes(bytes, sizeof bytes);
	bytes[0] &= 0x7f;
	n = BN_bin2bn(bytes, sizeof bytes, NULL);
	ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert));
	BN_free(n);
	return ok;
}

static int set_time(ASN1_TIME *at, int64_t seconds)
{
	return ASN1_TIME_adj(at, (time_t)seconds, 0, 0) != NULL;
}

static int set_name(X509_NAME *name, const char *text)
{
	return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const uint8_t *)text, -1, -1,
		0);
}

static int add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;
	int ok;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
	ok = extension && X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
	return ok;
}

static X509 *make_cert(EVP_PKEY *key, const char *name, int64_t not_before, int64_t not_after)
{
	X509 *cert = X509_new();

	if (cert && X509_set_version(cert, 2) && set_serial(cert) &&
		set_time(X509_getm_notBefore(cert), not_before) &&
		set_time(X509_getm_notAfter(cert), not_after) &&
		set_name(X509_get_subject_name(cert), name) && X509_set_pubkey(cert, key))
		return cert;
	X509_free(cert);
	return NULL;
}

int cert_make_ca(struct cert_pair *out, int64_t not_before, int64_t not_after)
{
	EVP_PKEY *key = make_key();
	X509 *cert = key ? make_cert(key, "gotunnel CA", not_before, not_after) : NULL;
	int err = -1;

	if (cert && X509_set_issuer_name(cert, X509_get_subject_name(cert)) &&
		add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
		add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
		add_extension(cert, cert, NID_subject_key_identifier, "hash") &&
		X509_sign(cert, key, EVP_sha256()))
		err = to_pem(out, key, cert);
	X509_free(cert);
	EVP_PKEY_free(key);
	return err;
}

/* A host name or an address as a SAN entry. */
static GENERAL_NAME *make_name(const char *text)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_STRING *value;
	uint8_t ip[16];
	int len = inet_pton(AF_INET, text, ip) == 1 ? 4 : inet_pton(AF_INET6, text, ip) == 1 ? 16 : 0;

	value = name ? ASN1_STRING_type_new(len ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING) : NULL;
	if (value && ASN1_STRING_set(value, len ? (const void *)ip : text,
		len ? len : (int)strlen(text))) {
		GENERAL_NAME_set0_value(name, len ? GEN_IPADD : GEN_DNS, value);
		return name;
	}
	ASN1_STRING_free(value);
	GENERAL_NAME_free(name);
	return NULL;
}

static int add_names(X509 *cert, const struct cert_names *names)
{
	GENERAL_NAMES *all = GENERAL_NAMES_new();
	int ok = all != NULL;

	for (size_t i = 0; ok && i < names->count; i++) {
		GENERAL_NAME *name = make_name(names->names[i]);

		ok = name && sk_GENERAL_NAME_push(all, name);
		if (!ok)
			GENERAL_NAME_free(name);
	}
	ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, all, 0, 0);
	GENERAL_NAMES_free(all);
	return ok;
}

static int sign(struct cert_pair *out, X509 *ca, EVP_PKEY *ca_key, const struct cert_names *names,
	int64_t not_before, int64_t not_after)
{
	EVP_PKEY *key = make_key();
	X509 *cert = key ? make_cert(key, "gotunnel server", not_before, not_after) : NULL;
	int err = -1;

	if (cert && X509_set_issuer_name(cert, X509_get_subject_name(ca)) &&
		add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE") &&
		add_extension(cert, ca, NID_key_usage, "critical,digitalSignature") &&
		add_extension(cert, ca, NID_ext_key_usage, "serverAuth") &&
		add_extension(cert, ca, NID_subject_key_identifier, "hash") &&
		add_extension(cert, ca, NID_authority_key_identifier, "keyid:always") &&
		add_names(cert, names) && X509_sign(cert, ca_key, EVP_sha256()))
		err = to_pem(out, key, cert);
	X509_free(cert);
	EVP_PKEY_free(key);
	return err;
}

int cert_make_server(struct cert_pair *out, const struct cert_pair *ca,
	const struct cert_names *names, int64_t not_before, int64_t not_after)
{
	X509 *cert = read_cert(ca->cert);
	EVP_PKEY *key = read_key(ca->key);
	int err = cert && key ? sign(out, cert, key, names, not_before, not_after) : -1;

	X509_free(cert);
	EVP_PKEY_free(key);
	return err;
}
