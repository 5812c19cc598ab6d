#ifndef AUTH_PROOF_H
#define AUTH_PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A login in which the secret never travels, see gotunnel-protocol(7):
 *
 *	SPAKE2 over edwards25519 (BoringSSL's variant, which is not RFC 9382's;
 *	the client is alice, the names are "gotunnel client" and "gotunnel
 *	server") gives 64 shared bytes K, equal only if both secrets were.
 *
 *	T = HELLO || HELLO_ACK || transport byte || TLS exporter (32 bytes;
 *	    absent in plaintext), both frames with their heads
 *	PRK = HKDF-Extract(SHA-256, salt = SHA-256(T), K)		RFC 5869
 *	K_x = HKDF-Expand(PRK, label, 32), labels "gotunnel client",
 *	      "gotunnel server", "gotunnel resume"
 *	confirmation = HMAC-SHA-256(K_x, T)				RFC 2104
 *
 * A wrong secret shows only in the confirmations.
 */
enum { PROOF_MESSAGE = 32, PROOF_SHARED = 64, PROOF_LEN = 32, PROOF_EXPORTER = 32 };

enum proof_role { PROOF_CLIENT, PROOF_SERVER };
enum proof_transport { PROOF_PLAIN = 0, PROOF_TLS = 1 };

struct proof_transcript {
	const uint8_t *hello, *ack;	/* frames, heads included */
	size_t hello_len, ack_len;
	enum proof_transport transport;
	const uint8_t *exporter;	/* PROOF_EXPORTER bytes; NULL in plaintext */
};

struct proof_keys {
	uint8_t client[PROOF_LEN];	/* what the client sends */
	uint8_t server[PROOF_LEN];	/* what the server answers */
	uint8_t resume[PROOF_LEN];	/* K_resume, kept by both */
	uint8_t binding[PROOF_LEN];	/* SHA-256(T): names this login */
};

/* One login; opaque. */
struct proof;

/* Our message for the peer. NULL when memory is out. */
struct proof *proof_new(enum proof_role role, const void *secret, size_t len,
	uint8_t message[PROOF_MESSAGE]);

/* Takes the peer's message; once. 0, or -1 when it is no message at all (a
 * wrong secret is not noticed here). */
int proof_finish(struct proof *p, const uint8_t peer[PROOF_MESSAGE],
	const struct proof_transcript *t, struct proof_keys *out);

/* The schedule behind the shared key: what the test vectors cover. */
int proof_derive(const uint8_t shared[PROOF_SHARED], const struct proof_transcript *t,
	struct proof_keys *out);

/*
 * What a client shows to go on with a session over the transport of a new login:
 *
 *	HMAC-SHA-256(K_resume of the session, "gotunnel resume" || session id (16)
 *		|| epoch u32 || lane u8 || SHA-256(T) of the new login)
 *
 * K_resume never travels, and T has the exporter in it: the proof is of no use
 * on another connection.
 */
struct proof_of_resume {
	const uint8_t *key;	/* K_resume of the session */
	const uint8_t *session_id; /* 16 bytes */
	uint32_t epoch;
	uint8_t lane;
	const uint8_t *binding;	/* of the new login */
};

/* 0, or -1 when memory is out. */
int proof_resume(const struct proof_of_resume *r, uint8_t out[PROOF_LEN]);

/* Wipes and frees. NULL is legal. */
void proof_free(struct proof *p);

/* Constant time. */
bool proof_equal(const void *a, const void *b, size_t n);

/* Overwrites memory in a way that is not optimised out. */
void proof_wipe(void *data, size_t n);

/* n bytes of the system's randomness. */
void proof_random(void *out, size_t n);

#endif
