#include "auth/proof.h"

#include <openssl/curve25519.h>
#include <openssl/digest.h>
#include <openssl/hkdf.h>
#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#ifndef OPENSSL_IS_BORINGSSL
#error "these are not BoringSSL's headers"
#endif

static const char client_name[] = "gotunnel client";
static const char server_name[] = "gotunnel server";
static const char resume_name[] = "gotunnel resume";

struct proof {
	SPAKE2_CTX *spake;
};

static SPAKE2_CTX *new_context(enum proof_role role)
{
	const char *mine = role == PROOF_CLIENT ? client_name : server_name;
	const char *theirs = role == PROOF_CLIENT ? server_name : client_name;

	return SPAKE2_CTX_new(role == PROOF_CLIENT ? spake2_role_alice : spake2_role_bob,
		(const uint8_t *)mine, strlen(mine), (const uint8_t *)theirs, strlen(theirs));
}

struct proof *proof_new(enum proof_role role, const void *secret, size_t len,
	uint8_t message[PROOF_MESSAGE])
{
	struct proof *p = malloc(sizeof *p);
	size_t got = 0;

	if (!p)
		return NULL;
	p->spake = new_context(role);
	if (p->spake && SPAKE2_generate_msg(p->spake, message, &got, PROOF_MESSAGE, secret, len) &&
		got == PROOF_MESSAGE)
		return p;
	proof_free(p);
	return NULL;
}

void proof_free(struct proof *p)
{
	if (!p)
		return;
	if (p->spake)
		SPAKE2_CTX_free(p->spake);
	free(p);
}

int proof_finish(struct proof *p, const uint8_t peer[PROOF_MESSAGE],
	const struct proof_transcript *t, struct proof_keys *out)
{
	uint8_t shared[PROOF_SHARED];
	size_t len = 0;
	int err = -1;

	if (SPAKE2_process_msg(p->spake, shared, &len, sizeof shared, peer, PROOF_MESSAGE) &&
		len == sizeof shared)
		err = proof_derive(shared, t, out);
	OPENSSL_cleanse(shared, sizeof shared);
	return err;
}

/* The last two parts of T: the transport byte and the exporter. */
static size_t transcript_tail(const struct proof_transcript *t, uint8_t out[1 + PROOF_EXPORTER])
{
	out[0] = (uint8_t)t->transport;
	if (!t->exporter)
		return 1;
	memcpy(out + 1, t->exporter, PROOF_EXPORTER);
	return 1 + PROOF_EXPORTER;
}

static void hash(const struct proof_transcript *t, uint8_t out[SHA256_DIGEST_LENGTH])
{
	uint8_t tail[1 + PROOF_EXPORTER];
	size_t tail_len = transcript_tail(t, tail);
	SHA256_CTX sha;

	SHA256_Init(&sha);
	SHA256_Update(&sha, t->hello, t->hello_len);
	SHA256_Update(&sha, t->ack, t->ack_len);
	SHA256_Update(&sha, tail, tail_len);
	SHA256_Final(out, &sha);
}

static int confirm(const uint8_t key[PROOF_LEN], const struct proof_transcript *t,
	uint8_t out[PROOF_LEN])
{
	uint8_t tail[1 + PROOF_EXPORTER];
	size_t tail_len = transcript_tail(t, tail);
	unsigned len = 0;
	HMAC_CTX hmac;
	int ok;

	HMAC_CTX_init(&hmac);
	ok = HMAC_Init_ex(&hmac, key, PROOF_LEN, EVP_sha256(), NULL) &&
		HMAC_Update(&hmac, t->hello, t->hello_len) &&
		HMAC_Update(&hmac, t->ack, t->ack_len) &&
		HMAC_Update(&hmac, tail, tail_len) && HMAC_Final(&hmac, out, &len);
	HMAC_CTX_cleanup(&hmac);
	return ok && len == PROOF_LEN ? 0 : -1;
}

static int expand(const uint8_t *prk, size_t prk_len, const char *label, uint8_t out[PROOF_LEN])
{
	return HKDF_expand(out, PROOF_LEN, EVP_sha256(), prk, prk_len, (const uint8_t *)label,
		strlen(label)) ? 0 : -1;
}

int proof_derive(const uint8_t shared[PROOF_SHARED], const struct proof_transcript *t,
	struct proof_keys *out)
{
	uint8_t salt[SHA256_DIGEST_LENGTH], prk[EVP_MAX_MD_SIZE];
	struct proof_keys keys, proofs;
	size_t prk_len = 0;
	int err = -1;

	hash(t, salt);
	if (HKDF_extract(prk, &prk_len, EVP_sha256(), shared, PROOF_SHARED, salt, sizeof salt) &&
		expand(prk, prk_len, client_name, keys.client) == 0 &&
		expand(prk, prk_len, server_name, keys.server) == 0 &&
		expand(prk, prk_len, resume_name, proofs.resume) == 0 &&
		confirm(keys.client, t, proofs.client) == 0 &&
		confirm(keys.server, t, proofs.server) == 0) {
		memcpy(proofs.binding, salt, sizeof proofs.binding);
		*out = proofs;
		err = 0;
	}
	OPENSSL_cleanse(prk, sizeof prk);
	OPENSSL_cleanse(&keys, sizeof keys);
	OPENSSL_cleanse(&proofs, sizeof proofs);
	return err;
}

int proof_resume(const struct proof_of_resume *r, uint8_t out[PROOF_LEN])
{
	uint8_t text[sizeof resume_name - 1 + 16 + 4 + 1 + PROOF_LEN], *at = text;
	unsigned len = 0;

	memcpy(at, resume_name, sizeof resume_name - 1);
	at += sizeof resume_name - 1;
	memcpy(at, r->session_id, 16);
	at += 16;
	for (int shift = 24; shift >= 0; shift -= 8)
		*at++ = (uint8_t)(r->epoch >> shift);
	*at++ = r->lane;
	memcpy(at, r->binding, PROOF_LEN);
	return HMAC(EVP_sha256(), r->key, PROOF_LEN, text, sizeof text, out, &len) ? 0 : -1;
}

bool proof_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

void proof_wipe(void *data, size_t n)
{
	OPENSSL_cleanse(data, n);
}

void proof_random(void *out, size_t n)
{
	RAND_bytes(out, n);
}
