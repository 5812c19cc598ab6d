#include "duo.h"

/* Case 8: a recorded session, fed in any two parts and byte by byte, comes to
 * the same: what the owner is told, in what order, and what is answered. */

enum { TAPE = 4096, PAYLOAD = 300 };

/* What one side said, from its first byte to its last. */
struct tape {
	uint8_t at[TAPE];
	size_t len;
};

/* What the owner of a session was told, as text; data is told byte by byte, so
 * that its pieces do not show. */
static struct {
	char text[8 * TAPE];
	size_t len;
} story;

static void tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void tell(const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(story.text + story.len, sizeof story.text - story.len, format, args);
	va_end(args);
	assert_true(n > 0 && (size_t)n < sizeof story.text - story.len);
	story.len += (size_t)n;
}

static void told_login(void *owner)
{
	(void)owner;
	tell("login\n");
}

static void told_end(void *owner, const struct session_end *end)
{
	duo_on_end(owner, end);
	tell("end %d %d %u %s\n", end->kind, end->code, end->retry_ms, end->text);
}

static void told_shutdown(void *owner, uint32_t drain_ms)
{
	(void)owner;
	tell("shutdown %u\n", drain_ms);
}

/* Grants it, and two visitors are there at once. */
static void told_bind(void *owner, const struct bind_request *request)
{
	struct flow_open open = { .bind_id = request->id, .peer = { .family = 4 },
		.local = { .family = 4 } };
	struct duo_side *side = owner;

	tell("bind %u %u %.*s\n", request->id, request->port, (int)request->label.len,
		(const char *)request->label.at);
	duo_on_bind(owner, request);
	while (side->opened < 2) {
		struct duo_end *e = &side->ends[side->opened++];

		e->st = stream_open(&side->session, &open, e);
		assert_non_null(e->st);
	}
}

static void told_unbind(void *owner, uint32_t id)
{
	(void)owner;
	tell("unbind %u\n", id);
}

static void told_answer(void *owner, struct stream *st)
{
	(void)owner;
	tell("answer %u\n", st->id);
}

static void told_bind_ok(void *owner, const struct bind_ok *ok)
{
	(void)owner;
	tell("bind_ok %u %u\n", ok->id, ok->port);
}

static void told_bind_err(void *owner, const struct bind_err *err)
{
	(void)owner;
	tell("bind_err %u %u %.*s\n", err->id, err->code, (int)err->text.len,
		(const char *)err->text.at);
}

static enum code told_open(void *owner, struct stream *st, const struct flow_open *open)
{
	tell("open %u of %u\n", st->id, open->bind_id);
	return duo_on_open(owner, st, open);
}

static void told_data(void *owner, struct stream *st, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		tell("%u:%02x ", st->id, data[i]);
	duo_on_data(owner, st, data, len);
}

static void told_close(void *owner, struct stream *st)
{
	tell("close %u\n", st->id);
	duo_on_close(owner, st);
}

static void told_reset(void *owner, struct stream *st, enum code code)
{
	tell("reset %u %d\n", st->id, code);
	duo_on_reset(owner, st, code);
}

static struct session_ops ops;

static void prepare(void)
{
	ops = duo_ops;
	ops.on_login = told_login;
	ops.on_end = told_end;
	ops.on_shutdown = told_shutdown;
	ops.on_bind = told_bind;
	ops.on_unbind = told_unbind;
	ops.on_answer = told_answer;
	ops.on_bind_ok = told_bind_ok;
	ops.on_bind_err = told_bind_err;
	ops.on_open = told_open;
	ops.on_data = told_data;
	ops.on_close = told_close;
	ops.on_reset = told_reset;
}

static void add(struct tape *tape, const uint8_t *frame, size_t n)
{
	assert_true(n > 0 && n <= sizeof tape->at - tape->len);
	memcpy(tape->at + tape->len, frame, n);
	tape->len += n;
}

/* What is said on both sides once streams are there, appended to `tape`. */
static void add_traffic(struct tape *tape)
{
	uint8_t out[FRAME_HEAD + PAYLOAD];

	add(tape, out, control_heartbeat_encode(&(struct control_heartbeat){ .opaque = 5 }, out,
		sizeof out));
	frame_put(out, (enum frame_type)0x7f, 9, PAYLOAD); /* To be skipped. */
	memset(out + FRAME_HEAD, 1, PAYLOAD);
	add(tape, out, sizeof out);
	add(tape, out, flow_credit_encode(1, &(struct flow_credit){ 1 << 20, 0 }, out, sizeof out));
	add(tape, out, flow_credit_encode(0, &(struct flow_credit){ 1 << 22, 0 }, out, sizeof out));
	for (uint32_t id = 1; id <= 2; id++) {
		frame_put(out, FRAME_STREAM_DATA, id, PAYLOAD);
		for (unsigned i = 0; i < PAYLOAD; i++)
			out[FRAME_HEAD + i] = (uint8_t)(i * 7 + id);
		add(tape, out, sizeof out);
	}
	frame_put(out, FRAME_STREAM_DATA, 1, 0);
	add(tape, out, FRAME_HEAD);
	add(tape, out, flow_close_encode(1, PAYLOAD, out, sizeof out));
	add(tape, out, flow_reset_encode(2, &(struct flow_reset){ CODE_LOCAL_RESET, PAYLOAD }, out,
		sizeof out));
}

/* The end of both tapes: a drain, and the rule that is broken at last. */
static void add_end(struct tape *tape)
{
	uint8_t out[64];

	add(tape, out, control_shutdown_encode(&(struct control_shutdown){ 1000, 2 }, out,
		sizeof out));
	frame_put(out, FRAME_STREAM_DATA, 99, 3);
	add(tape, out, FRAME_HEAD);
}

/* The beginnings come of a real login, the rest is written here. */
static void record(struct tape *client, struct tape *server)
{
	struct bind_request request = { .id = DUO_BIND, .kind = BIND_TCP, .port = 10000,
		.label = span_of("label") };
	struct bind_err err = { 3, CODE_PORT_TAKEN, 0, span_of("taken") };
	struct flow_open open = { .bind_id = DUO_BIND, .peer = { .family = 6 },
		.local = { .family = 4 } };
	static struct duo d;
	static uint8_t out[DUO_OUT];
	size_t n;

	client->len = server->len = 0;
	duo_init(&d);
	for (int i = 0; i < 2; i++) {
		n = flat_compose(&d.client.session, out, sizeof out, d.now);
		session_feed(&d.server.session, out, n, d.now);
		add(client, out, n);
		n = flat_compose(&d.server.session, out, sizeof out, d.now);
		session_feed(&d.client.session, out, n, d.now);
		add(server, out, n);
	}
	assert_int_equal(d.client.logins + d.server.logins, 2);
	duo_fini(&d);

	add(client, out, bind_request_encode(&request, out, sizeof out));
	add_traffic(client);
	add(client, out, bind_unbind_encode(DUO_BIND, out, sizeof out));
	add_end(client);

	add(server, out, bind_ok_encode(&(struct bind_ok){ DUO_BIND, 10000, BIND_SCOPE_ANY,
		span_of("host") }, out, sizeof out));
	add(server, out, bind_err_encode(&err, out, sizeof out));
	for (uint32_t id = 1; id <= 2; id++)
		add(server, out, flow_open_encode(id, &open, out, sizeof out));
	add_traffic(server);
	add_end(server);
}

/* What came of it. */
struct outcome {
	char text[sizeof story.text];
	uint8_t said[2 * TAPE];
	size_t len;
};

/* Feeds a tape in pieces that end at `cut` and each `step` after it. */
static void play(const struct tape *tape, enum session_role role, size_t cut, size_t step,
	struct outcome *out)
{
	static struct duo d;
	struct duo_side *side = role == SESSION_CLIENT ? &d.client : &d.server;
	size_t next = cut;

	memset(&d, 0, sizeof d);
	memset(out, 0, sizeof *out);
	story.len = 0;
	story.text[0] = '\0';
	d.now = 1000000;
	duo_begin(&d, side, role);
	side->session.ops = &ops;
	for (size_t at = 0; at < tape->len; next += step) {
		size_t n = (next < tape->len ? next : tape->len) - at;
		uint8_t *copy = unit_copy(tape->at + at, n);

		session_feed(&side->session, copy, n, d.now);
		free(copy);
		at += n;
	}
	assert_int_equal(side->session.state, SESSION_DEAD);
	memcpy(out->text, story.text, sizeof out->text);
	out->len = flat_compose(&side->session, out->said, sizeof out->said, d.now);
	for (unsigned i = 0; i < side->opened; i++)
		stream_release(&side->session, side->ends[i].st);
	session_fini(&side->session);
}

static void same(const struct outcome *a, const struct outcome *b, size_t cut, size_t step)
{
	if (strcmp(a->text, b->text) != 0 || a->len != b->len ||
		memcmp(a->said, b->said, a->len) != 0)
		fail_msg("cut at %zu, then each %zu:\n%s\ninstead of\n%s", cut, step, b->text, a->text);
}

static void in_every_two_parts(void **unused)
{
	static struct tape tapes[2];
	static struct outcome whole, parts;

	(void)unused;
	prepare();
	/* Each plays what the other said. */
	record(&tapes[SESSION_SERVER], &tapes[SESSION_CLIENT]);
	for (int role = 0; role < 2; role++) {
		const struct tape *tape = &tapes[role];

		play(tape, (enum session_role)role, tape->len, tape->len, &whole);
		/* The tape says all that it should. */
		assert_non_null(strstr(whole.text, "login\n"));
		assert_non_null(strstr(whole.text, "1:07 "));
		assert_non_null(strstr(whole.text, "close 1\n"));
		assert_non_null(strstr(whole.text, "reset 2 "));
		assert_non_null(strstr(whole.text, "shutdown 1000\n"));
		assert_non_null(strstr(whole.text, "end 2 "));
		for (size_t cut = 1; cut < tape->len; cut++) {
			play(tape, (enum session_role)role, cut, tape->len, &parts);
			same(&whole, &parts, cut, tape->len);
		}
		for (size_t step = 1; step < 40; step++) {
			play(tape, (enum session_role)role, step, step, &parts);
			same(&whole, &parts, step, step);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_every_two_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
