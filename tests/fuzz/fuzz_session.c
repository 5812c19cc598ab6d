/*
 * A session that gets whatever bytes: the first says which role, how the input
 * is split, and whether the transport is lost between two pieces now and then.
 * Every proof is right, so that the fuzzer reaches what comes after the login
 * and after a RESUME. The owner does with the streams what a pipe would.
 */
#include <stdlib.h>
#include <string.h>

#include "fake_login.h"
#include "flat.h"
#include "mux/binding.h"
#include "mux/resume.h"
#include "mux/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OWNED_MAX = 64 };

static struct chunk_pool pool;
static struct session session;
static struct stream *owned[OWNED_MAX];
static unsigned owned_count, dead;
static uint64_t now;

static bool equal(const void *a, const void *b, size_t n)
{
	(void)a;
	(void)b;
	(void)n;
	return true;
}

static void own(struct stream *st)
{
	if (!st)
		return;
	if (owned_count == OWNED_MAX)
		abort();
	owned[owned_count++] = st;
	st->user = st;
}

static void open_some(void)
{
	struct flow_open open = { .bind_id = 1, .peer = { .family = 4 }, .local = { .family = 4 } };

	for (int i = 0; i < 4 && owned_count < OWNED_MAX; i++) {
		struct stream *st = stream_open(&session, &open, NULL);

		own(st);
		if (st)
			stream_ready(&session, st);
	}
}

static void on_login(void *owner)
{
	struct bind_request request = { .id = 1, .kind = BIND_TCP };

	(void)owner;
	if (session.config.role == SESSION_CLIENT)
		binding_ask(&session, &request);
}

static void on_end(void *owner, const struct session_end *end)
{
	(void)owner;
	(void)end;
	if (dead++)
		abort();
}

static void on_detach(void *owner, const char *text)
{
	(void)owner;
	if (!*text)
		abort();
}

static enum code on_resume(void *owner, const struct state_resume *resume)
{
	(void)owner;
	return resume->epoch & 1 ? CODE_OK : CODE_RESUME_UNKNOWN;
}

static void on_refused(void *owner, enum code code)
{
	(void)owner;
	if (code == CODE_OK)
		abort();
	session_abandon(&session, "refused");
}

static void on_bind(void *owner, const struct bind_request *request)
{
	struct bind_ok ok = { request->id, 10000, BIND_SCOPE_ANY, { 0 } };

	(void)owner;
	binding_grant(&session, &ok);
	open_some();
}

static enum code on_open(void *owner, struct stream *st, const struct flow_open *open)
{
	(void)owner;
	(void)open;
	if (owned_count == OWNED_MAX)
		return CODE_OVERLOADED;
	own(st);
	stream_answer(&session, st);
	return CODE_OK;
}

static void on_data(void *owner, struct stream *st, const uint8_t *data, size_t len)
{
	uint8_t sum = 0;

	(void)owner;
	for (size_t i = 0; i < len; i++)
		sum ^= data[i];
	stream_consumed(&session, st, sum & 1 ? len : len / 2);
}

static void on_close(void *owner, struct stream *st)
{
	(void)owner;
	stream_close(&session, st);
}

static void on_reset(void *owner, struct stream *st, enum code code)
{
	(void)owner;
	(void)code;
	for (unsigned i = 0; i < owned_count; i++) {
		if (owned[i] != st)
			continue;
		owned[i] = owned[--owned_count];
		stream_release(&session, st);
		return;
	}
	abort();
}

static size_t pull(void *owner, struct stream *st, uint8_t *out, size_t cap)
{
	size_t n = cap < 5000 ? cap : 5000;

	(void)owner;
	memset(out, (int)st->id, n);
	if (st->send.sent > 20000)
		stream_close(&session, st);
	return n;
}

static const struct session_ops ops = {
	.message = fake_message,
	.prove = fake_prove,
	.random = fake_random,
	.equal = equal,
	.on_login = on_login,
	.on_end = on_end,
	.on_shutdown = fake_number,
	.on_detach = on_detach,
	.on_resumed = fake_nothing,
	.on_resume = on_resume,
	.on_resume_refused = on_refused,
	.on_output = fake_nothing,
	.on_bind = on_bind,
	.on_unbind = fake_number,
	.on_answer = fake_answer,
	.on_bind_ok = fake_bind_ok,
	.on_bind_err = fake_bind_err,
	.on_open = on_open,
	.on_data = on_data,
	.on_close = on_close,
	.on_reset = on_reset,
	.on_over = fake_nothing,
	.pull = pull,
};

static void write_all(void)
{
	static uint8_t out[SESSION_COMPOSE_MIN * 8];

	for (int i = 0; i < 8 && session_has_output(&session); i++)
		flat_compose(&session, out, sizeof out, now);
}

/* A session without a transport gets another one. */
static void attach(void)
{
	struct state_resume resume = { .epoch = session.epoch + 1 };

	if (session.state != SESSION_LOST)
		return;
	if (session.config.role == SESSION_CLIENT)
		resume_ask(&session, &session, &resume, now);
	else
		resume_adopt(&session, resume.epoch, now);
}

static void feed(const uint8_t *data, size_t size, size_t step, bool cuts)
{
	for (size_t at = 0; at < size; at += step) {
		size_t n = size - at < step ? size - at : step;
		uint8_t *copy = malloc(n);

		if (!copy)
			abort();
		memcpy(copy, data + at, n);
		now += 1000 * (n + 1);
		session_feed(&session, copy, n, now);
		free(copy);
		write_all();
		session_tick(&session, 0, now);
		if (cuts && data[at] % 5 == 0)
			session_lost(&session, "cut", now);
		attach();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t instance[LOGIN_INSTANCE] = { 1 };
	struct session_config config = {
		.max_frame = 65536,
		.pool = &pool,
		.stream_credit = 32768,
		.capabilities = LOGIN_CAN_RESUME,
		.hold_ms = 60000,
		.sync_us = 1000000,
		.heartbeat_us = 10000000,
		.dead_us = 25000000,
		.name = "fuzz",
		.instance = instance,
		.key_id = "default",
		.version = "fuzz",
	};

	if (size < 1)
		return 0;
	config.role = data[0] & 1 ? SESSION_CLIENT : SESSION_SERVER;
	owned_count = dead = 0;
	now = 1;
	if (session_init(&session, &config, &ops, NULL, now) != CODE_OK)
		abort();
	write_all();
	feed(data + 1, size - 1, data[0] & 2 ? 1 + (data[0] >> 3) : size, data[0] & 4);
	while (owned_count)
		stream_release(&session, owned[--owned_count]);
	write_all();
	session_fini(&session);
	return 0;
}
