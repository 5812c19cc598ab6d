/*
 * A login against a peer that knows the token and does what the input says:
 * sends its frames, sends them changed, twice, in another order or in pieces,
 * sends anything else, waits. Whoever is let in must have sent exactly the two
 * frames of a login, with the proof over these two and no other; and before
 * that the session says nothing that a stranger must not hear. What is proved
 * is judged here from the bytes alone, apart from the session's own reading.
 */
#include <stdlib.h>
#include <string.h>

#include "flat.h"
#include "mux/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEPT_MAX = 64 * 1024, STEP_US = 100000 };

enum act {
	ACT_BYTES,		/* n, and n bytes as they are */
	ACT_FIRST,		/* HELLO or HELLO_ACK, as it should be */
	ACT_SECOND,		/* AUTH or AUTH_OK, with the right proof */
	ACT_FIRST_CHANGED,	/* where (two bytes), and by what */
	ACT_SECOND_CHANGED,
	ACT_SECOND_OF_ANOTHER,	/* proves a login of another message of ours */
	ACT_WAIT,		/* how long */
	ACT_FRAME,		/* type, length / 16 (zeros) */
	ACTS,
};

struct kept {
	uint8_t bytes[KEPT_MAX];
	size_t len;
};

static struct chunk_pool pool;
static struct session session;
static struct kept heard, said;	/* by the session, all of it */
static unsigned logins, ends, admitted;
static size_t piece;
static uint64_t now;

static void must(bool what)
{
	if (!what)
		abort();
}

/* --- what is secret, without the mathematics ------------------------------------- */

static void mix(uint8_t state[LOGIN_PROOF], const void *data, size_t len)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < len; i++)
		for (unsigned k = 0; k < LOGIN_PROOF; k++)
			state[k] = (uint8_t)((state[k] ^ p[i]) * (2 * k + 37) + (state[k] >> 3) + k);
}

/* What either end proves with: from the token, both frames and a label. */
static void prove(uint8_t label, const uint8_t peer[LOGIN_SPAKE], struct span hello,
	struct span ack, uint8_t out[LOGIN_PROOF])
{
	memset(out, label, LOGIN_PROOF);
	mix(out, "the token", 9);
	mix(out, peer, LOGIN_SPAKE);
	mix(out, hello.at, hello.len);
	mix(out, ack.at, ack.len);
}

static uint8_t label_of(enum session_role role)
{
	return role == SESSION_CLIENT ? 'c' : 's';
}

/* --- the session's owner ------------------------------------------------------------ */

static enum code on_admit(void *owner, uint32_t *retry_ms)
{
	(void)owner;
	(void)retry_ms;
	admitted++;
	return CODE_OK;
}

static enum code on_message(void *owner, const struct login_hello *hello, uint8_t out[LOGIN_SPAKE])
{
	(void)owner;
	must((hello == NULL) == (session.config.role == SESSION_CLIENT));
	memset(out, label_of(session.config.role), LOGIN_SPAKE);
	return CODE_OK;
}

static enum code on_prove(void *owner, const uint8_t peer[LOGIN_SPAKE], struct span hello,
	struct span ack, struct session_proofs *out)
{
	(void)owner;
	prove('c', peer, hello, ack, out->client);
	prove('s', peer, hello, ack, out->server);
	prove('r', peer, hello, ack, out->resume);
	return CODE_OK;
}

static void on_random(void *owner, void *out, size_t n)
{
	(void)owner;
	memset(out, 3, n);
}

static bool equal(const void *a, const void *b, size_t n)
{
	return memcmp(a, b, n) == 0;
}

static void on_login(void *owner)
{
	(void)owner;
	must(!ends);
	logins++;
}

static void on_end(void *owner, const struct session_end *end)
{
	(void)owner;
	(void)end;
	must(!ends);
	ends++;
}

static void on_output(void *owner)
{
	(void)owner;
}

/* Who is not logged in sets none of these off. */
static void on_shutdown(void *owner, uint32_t drain_ms)
{
	(void)owner;
	(void)drain_ms;
	must(logins);
}

static void on_bind(void *owner, const struct bind_request *request)
{
	(void)owner;
	(void)request;
	must(logins);
}

static const struct session_ops ops = {
	.admit = on_admit,
	.message = on_message,
	.prove = on_prove,
	.random = on_random,
	.equal = equal,
	.on_login = on_login,
	.on_end = on_end,
	.on_shutdown = on_shutdown,
	.on_output = on_output,
	.on_bind = on_bind,
	/* The others are NULL: calling one before the login is a crash. */
};

/* --- what was said and heard ---------------------------------------------------------- */

static void keep(struct kept *k, const uint8_t *data, size_t len)
{
	if (len > KEPT_MAX - k->len)
		len = KEPT_MAX - k->len;
	memcpy(k->bytes + k->len, data, len);
	k->len += len;
}

/* The frame at an offset, head included; empty when it is not whole. */
static struct span frame_at(const struct kept *k, size_t at)
{
	struct frame f;

	if (k->len < at + FRAME_HEAD)
		return (struct span){ NULL, 0 };
	f = frame_get(k->bytes + at);
	if (f.len > k->len - at - FRAME_HEAD)
		return (struct span){ NULL, 0 };
	return (struct span){ k->bytes + at, FRAME_HEAD + f.len };
}

static bool is_frame(struct span s, enum frame_type type)
{
	struct frame f;

	if (!s.len)
		return false;
	f = frame_get(s.at);
	return f.version == FRAME_VERSION && f.type == type && f.stream == 0;
}

/* The message that a HELLO or a HELLO_ACK carries, as a decoder reads it. */
static bool message_in(struct span frame, uint8_t out[LOGIN_SPAKE])
{
	struct login_hello hello;
	struct login_hello_ack ack;

	if (is_frame(frame, FRAME_HELLO) && login_hello_decode(frame.at + FRAME_HEAD,
		frame.len - FRAME_HEAD, &hello) == CODE_OK)
		memcpy(out, hello.spake, LOGIN_SPAKE);
	else if (is_frame(frame, FRAME_HELLO_ACK) && login_hello_ack_decode(frame.at + FRAME_HEAD,
		frame.len - FRAME_HEAD, &ack) == CODE_OK)
		memcpy(out, ack.spake, LOGIN_SPAKE);
	else
		return false;
	return true;
}

/* The proof that lets a peer in which sent `first`; false before both frames
 * are there. */
static bool wanted(struct span first, uint8_t out[LOGIN_PROOF])
{
	bool is_client = session.config.role == SESSION_CLIENT;
	struct span ours = frame_at(&said, 0);
	uint8_t peer[LOGIN_SPAKE];

	if (!is_frame(ours, is_client ? FRAME_HELLO : FRAME_HELLO_ACK) || !message_in(first, peer))
		return false;
	prove(is_client ? 's' : 'c', peer, is_client ? ours : first, is_client ? first : ours, out);
	return true;
}

static void check_login(void)
{
	bool is_client = session.config.role == SESSION_CLIENT;
	struct span first = frame_at(&heard, 0), second = frame_at(&heard, first.len);
	uint8_t proof[LOGIN_PROOF];

	must(logins == 1);
	must(is_frame(first, is_client ? FRAME_HELLO_ACK : FRAME_HELLO));
	must(is_frame(second, is_client ? FRAME_AUTH_OK : FRAME_AUTH));
	must(second.len >= FRAME_HEAD + LOGIN_PROOF);
	must(wanted(first, proof) && memcmp(second.at + FRAME_HEAD, proof, LOGIN_PROOF) == 0);
	must(is_client || admitted == 1);
}

/* A stranger hears no more than these, and never the server's proof. */
static void check_words(void)
{
	bool is_client = session.config.role == SESSION_CLIENT;
	unsigned count = 0;
	struct span f;

	for (size_t at = 0; at < said.len; at += f.len, count++) {
		f = frame_at(&said, at);
		must(f.len != 0);
		must(is_frame(f, FRAME_ERROR) || (is_client ?
			is_frame(f, FRAME_HELLO) || is_frame(f, FRAME_AUTH) :
			is_frame(f, FRAME_HELLO_ACK) || is_frame(f, FRAME_AUTH_ERR)));
	}
	must(count <= 3);
	if (!is_client && session.state == SESSION_AUTH)
		must(!memmem(said.bytes, said.len, session.proofs.server, LOGIN_PROOF));
}

static void check(void)
{
	bool is_in = session.state == SESSION_BIND || session.state == SESSION_OPEN ||
		session.state == SESSION_DRAIN;

	must(!is_in || logins);
	must(session.streams.len == 0);
	must(session.partial_len <= FRAME_HEAD + FRAME_CONTROL_MAX);
	if (logins)
		check_login();
	else
		check_words();
}

/* --- the peer ------------------------------------------------------------------------------ */

static void listen(void)
{
	static uint8_t out[SESSION_COMPOSE_MIN * 4];

	for (int i = 0; i < 4 && session_has_output(&session); i++)
		keep(&said, out, flat_compose(&session, out, sizeof out, now));
}

static void say(const uint8_t *data, size_t len)
{
	for (size_t at = 0, n; at < len && !logins && !ends; at += n) {
		uint8_t *copy;

		n = len - at < piece ? len - at : piece;
		copy = malloc(n); /* Its own block: a read beyond it is seen. */
		must(copy);
		memcpy(copy, data + at, n);
		keep(&heard, copy, n);
		session_feed(&session, copy, n, ++now);
		free(copy);
		listen();
		check();
	}
}

static size_t first(uint8_t *out, size_t cap)
{
	struct login_hello hello = {
		.role = LOGIN_ROLE_CLIENT,
		.method = LOGIN_METHOD_SPAKE2,
		.max_frame = 65536,
		.initial_credit = 65536,
		.name = span_of("fuzz"),
		.key_id = span_of("default"),
		.version = span_of("1"),
	};
	struct login_hello_ack ack = { .max_frame = 65536, .initial_credit = 65536 };

	memset(hello.spake, 'c', sizeof hello.spake);
	memset(ack.spake, 's', sizeof ack.spake);
	return session.config.role == SESSION_CLIENT ? login_hello_ack_encode(&ack, out, cap) :
		login_hello_encode(&hello, out, cap);
}

/* 0 while there is nothing to prove yet. */
static size_t second(uint8_t *out, size_t cap, bool of_another)
{
	struct login_ok ok = { .epoch = 1, .version = span_of("1") };
	uint8_t frame[FRAME_HEAD + FRAME_CONTROL_MAX], proof[LOGIN_PROOF];
	struct span start = frame_at(&heard, 0);

	if (start.len && start.len <= sizeof frame && of_another) {
		memcpy(frame, start.at, start.len);
		frame[start.len - 2] ^= 1;
		start.at = frame;
	}
	if (!wanted(start, proof))
		return 0;
	memcpy(ok.proof, proof, sizeof proof);
	return session.config.role == SESSION_CLIENT ? login_ok_encode(&ok, out, cap) :
		login_auth_encode((struct span){ proof, sizeof proof }, out, cap);
}

/* Does one thing; how many bytes of the input it took. */
static size_t act(enum act what, const uint8_t *data, size_t left)
{
	uint8_t out[FRAME_HEAD + FRAME_CONTROL_MAX] = { 0 };
	uint8_t a = left > 0 ? data[0] : 0, b = left > 1 ? data[1] : 0, c = left > 2 ? data[2] : 0;
	bool changed = what == ACT_FIRST_CHANGED || what == ACT_SECOND_CHANGED;
	size_t len = 0;

	switch (what) {
	case ACT_BYTES:
		len = left && a < left ? a : left ? left - 1 : 0;
		say(data + 1, len);
		return 1 + len;
	case ACT_FIRST:
	case ACT_FIRST_CHANGED:
		len = first(out, sizeof out);
		break;
	case ACT_SECOND:
	case ACT_SECOND_CHANGED:
	case ACT_SECOND_OF_ANOTHER:
		len = second(out, sizeof out, what == ACT_SECOND_OF_ANOTHER);
		break;
	case ACT_WAIT:
		now += (uint64_t)a * STEP_US;
		session_tick(&session, 0, now);
		listen();
		check();
		return 1;
	default:
		len = (size_t)b * 16;
		frame_put(out, a, 0, (uint32_t)len);
		say(out, FRAME_HEAD + len);
		return 2;
	}
	if (len && changed)
		out[(a << 8 | b) % len] ^= c;
	say(out, len);
	return changed ? 3 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t instance[LOGIN_INSTANCE] = { 1 };
	struct session_config config = {
		.max_frame = 65536,
		.pool = &pool,
		.stream_credit = 65536,
		.login_us = 5000000,
		.heartbeat_us = 10000000,
		.dead_us = 25000000,
		.stuck_us = 30000000,
		.name = "fuzz",
		.instance = instance,
		.key_id = "default",
		.version = "fuzz",
	};
	unsigned done = 0, good = 0;

	if (size < 1)
		return 0;
	config.role = data[0] & 1 ? SESSION_CLIENT : SESSION_SERVER;
	piece = data[0] & 2 ? 1 + (data[0] >> 2) : SIZE_MAX;
	logins = ends = admitted = 0;
	heard.len = said.len = 0;
	now = 1;
	must(session_init(&session, &config, &ops, NULL, now) == CODE_OK);
	listen();
	for (size_t at = 1; at < size && !logins && !ends; done++) {
		enum act what = data[at++] % ACTS;

		good += what == (done ? ACT_SECOND : ACT_FIRST);
		at += act(what, data + at, size - at);
		/* Who does it right from the beginning is let in. */
		must(good != 2 || done != 1 || logins);
	}
	session_fini(&session);
	return 0;
}
