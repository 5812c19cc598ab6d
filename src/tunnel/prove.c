#include "tunnel/prove.h"

#include <string.h>

static enum code make_proof(struct link *l, enum proof_role role, const uint8_t *secret, size_t len,
	uint8_t out[LOGIN_SPAKE])
{
	proof_free(l->proof);
	l->proof = proof_new(role, secret, len, out);
	return l->proof ? CODE_OK : CODE_INTERNAL;
}

enum code prove_message(void *owner, const struct login_hello *hello, uint8_t out[LOGIN_SPAKE])
{
	struct link *l = owner;
	const uint8_t *secret = l->config.secret;
	size_t len = l->config.secret_len;
	uint8_t nobody[32];
	enum code code;

	if (!hello)
		return make_proof(l, PROOF_CLIENT, secret, len, out);
	len = l->ops->secret(l, hello, &secret);
	if (!len) {
		/* The same work and the same answer as for a wrong secret. */
		proof_random(nobody, sizeof nobody);
		secret = nobody;
		len = sizeof nobody;
	}
	code = make_proof(l, PROOF_SERVER, secret, len, out);
	proof_wipe(nobody, sizeof nobody);
	return code;
}

enum code prove_login(void *owner, const uint8_t peer[LOGIN_SPAKE], struct span hello,
	struct span ack, struct session_proofs *out)
{
	struct link *l = owner;
	uint8_t exporter[PROOF_EXPORTER];
	struct proof_transcript t = {
		.hello = hello.at,
		.hello_len = hello.len,
		.ack = ack.at,
		.ack_len = ack.len,
		.transport = l->conn.tls ? PROOF_TLS : PROOF_PLAIN,
		.exporter = l->conn.tls ? exporter : NULL,
	};
	struct proof_keys keys;
	int err = l->conn.tls ? tls_exporter(l->conn.tls, exporter) : 0;

	if (err || proof_finish(l->proof, peer, &t, &keys) < 0) {
		/* What is no message cannot be answered with a good proof. */
		proof_random(&keys, sizeof keys);
	}
	proof_free(l->proof);
	l->proof = NULL;
	memcpy(out->client, keys.client, sizeof out->client);
	memcpy(out->server, keys.server, sizeof out->server);
	memcpy(out->resume, keys.resume, sizeof out->resume);
	memcpy(out->binding, keys.binding, sizeof out->binding);
	proof_wipe(&keys, sizeof keys);
	proof_wipe(exporter, sizeof exporter);
	return CODE_OK;
}

static int prove(const struct link *old, const struct link *fresh, uint32_t epoch, uint8_t lane,
	uint8_t out[LOGIN_PROOF])
{
	struct proof_of_resume r = {
		.key = old->session.proofs.resume,
		.session_id = old->session.id,
		.epoch = epoch,
		.lane = lane,
		.binding = fresh->session.proofs.binding,
	};

	return proof_resume(&r, out);
}

int prove_resume(const struct link *old, const struct link *fresh, uint32_t epoch,
	uint8_t out[LOGIN_PROOF])
{
	return prove(old, fresh, epoch, old->session.lane, out);
}

int prove_say(const struct link *l, const struct link *on, struct state_resume *r)
{
	r->epoch = l->session.epoch + 1;
	r->lane = l->session.lane;
	memcpy(r->session_id, l->session.id, sizeof r->session_id);
	return prove_resume(l, on, r->epoch, r->proof);
}

int prove_join(const struct link *first, const struct link *fresh, uint8_t lane,
	uint8_t out[LOGIN_PROOF])
{
	return prove(first, fresh, 0, lane, out);
}
