#include "duo.h"

#include "mux/resume.h"

/* Up to `prepare` both ends are there; then the transport is lost, and what the
 * other end says over the next one is written here, and what this one says is
 * read. Other tests let both ends resume. */

enum { HOLD_MS = 60000, SECOND = 1000000, SENT = 10000, CAME = 500 };

static struct duo d;

static struct duo_side *side_of(enum session_role role)
{
	return role == SESSION_CLIENT ? &d.client : &d.server;
}

static struct duo_side *other_of(enum session_role role)
{
	return side_of(role == SESSION_CLIENT ? SESSION_SERVER : SESSION_CLIENT);
}

/* --- bytes that can be told apart ------------------------------------------------- */

static uint8_t pattern(uint64_t offset)
{
	return (uint8_t)((offset * 31) ^ (offset >> 8));
}

static size_t pull(void *owner, struct stream *st, uint8_t *out, size_t cap)
{
	uint64_t at = ((struct duo_end *)st->user)->sent;
	size_t n = duo_pull(owner, st, out, cap);

	for (size_t i = 0; i < n; i++)
		out[i] = pattern(at + i);
	return n;
}

static void on_data(void *owner, struct stream *st, const uint8_t *data, size_t len)
{
	uint64_t at = ((struct duo_end *)st->user)->got;

	for (size_t i = 0; i < len; i++)
		assert_int_equal(data[i], pattern(at + i));
	duo_on_data(owner, st, data, len);
}

static struct session_ops ops;

static void begin(void)
{
	ops = duo_ops;
	ops.pull = pull;
	ops.on_data = on_data;
	duo_reach(&d, SESSION_OPEN);
	d.client.session.ops = d.server.session.ops = &ops;
}

/* Everything is over at the end, and nothing is kept any more. */
static void end(void)
{
	duo_fini(&d);
	assert_int_equal(duo_pool.used, 0);
}

/* --- what one of them says --------------------------------------------------------- */

struct said {
	unsigned frames, resumes, states, state_entries, opens, closes, resets, credits;
	uint32_t open_ids[8];
	uint64_t data, close_at;
	uint32_t data_of;	/* the first stream that sends some; others are not counted */
	uint64_t first;		/* offset of the first byte of it */
	uint16_t error;
	struct state_frame last;
};

static void note(struct said *said, const struct frame *f, const uint8_t *payload)
{
	struct control_error error;

	said->frames++;
	switch (f->type) {
	case FRAME_RESUME:
		said->resumes++;
		break;
	case FRAME_STATE:
		assert_int_equal(state_frame_decode(payload, f->len, &said->last), CODE_OK);
		said->states++;
		said->state_entries += said->last.count;
		break;
	case FRAME_STREAM_OPEN:
		said->open_ids[said->opens++ % COUNT(said->open_ids)] = f->stream;
		break;
	case FRAME_STREAM_DATA:
		if (!said->data)
			said->data_of = f->stream;
		if (said->data_of != f->stream)
			break;
		for (uint32_t i = 0; i < f->len; i++)
			assert_int_equal(payload[i], pattern(said->first + said->data + i));
		said->data += f->len;
		break;
	case FRAME_STREAM_CLOSE:
		said->closes++;
		assert_int_equal(flow_close_decode(payload, f->len, &said->close_at), CODE_OK);
		break;
	case FRAME_STREAM_RESET:
		said->resets++;
		break;
	case FRAME_STREAM_CREDIT:
		said->credits += f->stream != 0;
		break;
	case FRAME_ERROR:
		assert_int_equal(control_error_decode(payload, f->len, &error), CODE_OK);
		said->error = error.code;
		break;
	default:
		break;
	}
}

/* All that it says now; data is expected to begin at `first`. */
static struct said listen_from(struct duo_side *side, uint64_t first)
{
	static uint8_t out[DUO_OUT];
	struct said said = { .first = first };
	size_t n;

	while ((n = flat_compose(&side->session, out, sizeof out, d.now))) {
		for (size_t at = 0; at < n;) {
			struct frame f = frame_get(out + at);

			note(&said, &f, out + at + FRAME_HEAD);
			at += FRAME_HEAD + f.len;
		}
	}
	return said;
}

static struct said listen_to(struct duo_side *side)
{
	return listen_from(side, 0);
}

/* What it says is on the way when the transport ends. */
static void lose(struct duo_side *side)
{
	static uint8_t out[DUO_OUT];

	while (flat_compose(&side->session, out, sizeof out, d.now))
		;
}

/* --- what the other says ----------------------------------------------------------- */

static void attach(enum session_role role)
{
	struct session *s = &side_of(role)->session;
	struct state_resume resume = { .epoch = s->epoch + 1 };

	if (role == SESSION_CLIENT)
		resume_ask(s, s, &resume, d.now);
	else
		resume_adopt(s, resume.epoch, d.now);
}

static void cut(enum session_role role)
{
	session_lost(&side_of(role)->session, "cut", d.now);
	assert_int_equal(side_of(role)->session.state, SESSION_LOST);
}

static void feed(struct duo_side *side, const uint8_t *frame, size_t n)
{
	uint8_t *copy = unit_copy(frame, n);

	assert_true(n > 0);
	session_feed(&side->session, copy, n, d.now);
	free(copy);
}

static void feed_state(struct duo_side *side, const struct state_frame *frame)
{
	uint8_t out[FRAME_HEAD + FRAME_CONTROL_MAX];

	feed(side, out, state_frame_encode(frame, out, sizeof out));
}

/* What the peer of s says when it has everything of no stream. */
static struct state_frame state_for(const struct session *s)
{
	return (struct state_frame){
		.is_last = true,
		.highest = s->highest,
		.limit = s->send.limit,
		.consumed = s->send.consumed,
	};
}

/* The peer has all of st, and nothing ended. */
static struct state_entry entry_for(const struct stream *st)
{
	return (struct state_entry){
		.stream = st->id,
		.wanted = st->send.sent,
		.consumed = st->send.consumed,
		.limit = st->send.limit,
		.final = STATE_NO_FINAL,
	};
}

/* --- a stream in each pair of halves ------------------------------------------------ */

/* One stream: SENT bytes were sent by `role` and not taken, CAME came and were.
 * The halves are letters: F(lowing), E(nding), C(losed), X (cut), R(eset). */
static struct duo_side *prepare(enum session_role role, const char *halves)
{
	struct duo_side *mine = side_of(role), *other = other_of(role);

	begin();
	duo_open(&d);
	duo_send(other, 0, CAME, false);
	duo_settle(&d);
	other->ends[0].holds = true;
	duo_send(mine, 0, SENT, false);
	duo_settle(&d);
	if (halves[1] == 'C') {
		stream_close(&other->session, other->ends[0].st);
		duo_settle(&d);
	} else if (halves[1] == 'R') {
		stream_reset(&other->session, other->ends[0].st, CODE_LOCAL_RESET);
		duo_carry(&d, other, mine);
	}
	if (halves[0] == 'E' || halves[0] == 'C')
		stream_close(&mine->session, mine->ends[0].st);
	if ((halves[0] == 'X' || halves[0] == 'R') && halves[1] != 'R')
		stream_reset(&mine->session, mine->ends[0].st, CODE_CANCELLED);
	if (halves[0] == 'C' || halves[0] == 'R')
		lose(mine);
	return mine;
}

/* Both halves, or "-" for a stream that left; then c for each on_close and r for
 * each on_reset; or "!" when the session ended for its offsets. */
static const char *describe(const struct duo_side *side)
{
	static const char letters[] = { 'F', 'E', 'C', 'X', 'R' };
	static char text[64];
	const struct duo_end *e = &side->ends[0];
	const struct stream *st = map_get(&side->session.streams, 1);
	size_t n = 0;

	if (side->session.state == SESSION_DEAD)
		return side->session.end.code == CODE_RESUME_OFFSET ? "!" : "dead";
	if (st) {
		text[n++] = letters[st->out];
		text[n++] = letters[st->in];
	} else {
		text[n++] = '-';
	}
	for (unsigned i = 0; i < e->saw_close; i++)
		text[n++] = 'c';
	for (unsigned i = 0; i < e->saw_reset; i++)
		text[n++] = 'r';
	text[n] = '\0';
	return text;
}

/* What the peer says of the stream, which has all that was sent. */
enum entry { NO_FINAL, FINAL, FINAL_TAKEN, FINAL_LATER, RESET, RESET_LATER, ABSENT, ENTRIES };

static void say_entry(struct duo_side *mine, enum entry what)
{
	struct state_frame frame = state_for(&mine->session);
	struct state_entry *e = &frame.entries[0];

	frame.count = what != ABSENT;
	*e = entry_for(mine->ends[0].st);
	e->wanted = SENT;
	if (what != NO_FINAL)
		e->final = what == FINAL_LATER || what == RESET_LATER ? CAME + 300 : CAME;
	if (what == FINAL_TAKEN)
		e->consumed = frame.consumed = SENT;
	if (what == RESET || what == RESET_LATER)
		e->reset = CODE_LOCAL_RESET;
	feed_state(mine, &frame);
}

/* NULL: the peer cannot say that. */
static const struct halves {
	const char *before;
	const char *after[ENTRIES];
} all_halves[] = {
	/*      no final, final,  taken,  later,  reset,  r. later, absent */
	{ "FF", { "FF",   "FCc",  "FCc",  "FF",   "XRr",  "XRr",    "!" } },
	{ "FC", { "!",    "FCc",  "FCc",  "!",    "XRcr", NULL,     "!" } },
	{ "EF", { "EF",   "ECc",  "ECc",  "EF",   "XRr",  "XRr",    "!" } },
	{ "EC", { "!",    "ECc",  "ECc",  "!",    "XRcr", NULL,     "!" } },
	{ "CF", { "CF",   "CCc",  "-c",   "CF",   "XRr",  "XRr",    "CCc" } },
	{ "CC", { "!",    "CCc",  "-c",   "!",    "XRcr", NULL,     "-c" } },
	/* Our own reset was said by our STATE; the peer's is its answer. */
	{ "XX", { "RX",   "RC",   "RC",   "RX",   "-",    "-",      "-" } },
	{ "RX", { "RX",   "RC",   "RC",   "RX",   "-",    "-",      "-" } },
	{ "XC", { "!",    "RCc",  "RCc",  "!",    "-c",   NULL,     "-c" } },
	{ "RC", { "!",    "RCc",  "RCc",  "!",    "-c",   NULL,     "-c" } },
	/* Both are said: it is over as soon as anything of it is heard. */
	{ "XR", { "!",    "-r",   "-r",   "-r",   "-r",   "-r",     "-r" } },
};

static void check_halves(enum session_role role, const struct halves *c, enum entry what)
{
	struct duo_side *mine = prepare(role, c->before);
	const struct duo_end *e = &mine->ends[0];
	unsigned closes = e->saw_close;
	bool told = strchr("XR", c->before[0]) != NULL && c->before[1] != 'R';

	assert_memory_equal(describe(mine), c->before, 2);
	cut(role);
	attach(role);
	say_entry(mine, what);
	if (strcmp(describe(mine), c->after[what]) != 0)
		fail_msg("role %d: %s and entry %d make %s, not %s", role, c->before, what,
			describe(mine), c->after[what]);
	if (c->after[what][0] == '!') {
		assert_int_equal(e->saw_close, closes);
		assert_int_equal(e->saw_reset, told ? 0 : 1);
		assert_int_equal(mine->ends_told, 1);
		assert_int_equal(mine->end.kind, SESSION_FAILED);
		assert_int_equal(listen_to(mine).error, CODE_RESUME_OFFSET);
	} else {
		assert_int_equal(mine->session.state, SESSION_OPEN);
		assert_int_equal(mine->resumed, 1);
	}
	end();
}

static void each_entry_in_each_pair_of_halves(void **unused)
{
	(void)unused;
	for (int role = 0; role < 2; role++)
		for (size_t i = 0; i < COUNT(all_halves); i++)
			for (int what = 0; what < ENTRIES; what++)
				if (all_halves[i].after[what])
					check_halves((enum session_role)role, &all_halves[i],
						(enum entry)what);
}

/* --- what is sent again -------------------------------------------------------------- */

static const struct again {
	const char *before;
	uint64_t wanted, data;
	bool closes;
} agains[] = {
	{ "FF", 0, SENT, false },
	{ "FF", 1, SENT - 1, false },
	{ "FF", 4000, SENT - 4000, false },
	{ "FF", SENT, 0, false },
	{ "EF", 4000, SENT - 4000, true },
	{ "EF", SENT, 0, true },
	{ "CF", 0, SENT, false }, /* Its end was said by STATE. */
	{ "CF", SENT, 0, false },
	{ "CC", 4000, SENT - 4000, false },
	{ "XX", 4000, 0, false },
	{ "RX", 0, 0, false },
	{ "RC", SENT, 0, false },
};

static void what_the_peer_lacks_is_sent_again(void **unused)
{
	(void)unused;
	for (int role = 0; role < 2; role++) {
		for (size_t i = 0; i < COUNT(agains); i++) {
			const struct again *c = &agains[i];
			struct duo_side *mine = prepare((enum session_role)role, c->before);
			struct state_frame frame;
			struct said said;

			cut((enum session_role)role);
			attach((enum session_role)role);
			frame = state_for(&mine->session);
			frame.count = 1;
			frame.entries[0] = entry_for(mine->ends[0].st);
			frame.entries[0].wanted = c->wanted;
			if (c->before[1] == 'C')
				frame.entries[0].final = CAME;
			feed_state(mine, &frame);
			assert_int_equal(mine->session.state, SESSION_OPEN);
			said = listen_from(mine, c->wanted);
			assert_int_equal(said.states, 1);
			assert_int_equal(said.data, c->data);
			assert_int_equal(said.closes, c->closes);
			assert_int_equal(said.resets, 0);
			if (c->closes)
				assert_int_equal(said.close_at, SENT);
			end();
		}
	}
}

/* What STATE says counts as said. */
static void state_describes_each_half(void **unused)
{
	static const struct {
		const char *halves;
		uint64_t final;
		uint16_t reset;
	} rows[] = {
		{ "FF", STATE_NO_FINAL, 0 },
		{ "EF", STATE_NO_FINAL, 0 }, /* CLOSE follows. */
		{ "CF", SENT, 0 },
		{ "XX", SENT, CODE_CANCELLED },
		{ "RX", SENT, CODE_CANCELLED },
		{ "XR", SENT, CODE_LOCAL_RESET },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct duo_side *mine = prepare(SESSION_SERVER, rows[i].halves);
		struct said said;

		cut(SESSION_SERVER);
		attach(SESSION_SERVER);
		said = listen_to(mine);
		assert_int_equal(said.frames, 1);
		assert_int_equal(said.last.is_last, true);
		assert_int_equal(said.last.highest, 1);
		assert_int_equal(said.last.consumed, CAME);
		assert_int_equal(said.last.count, 1);
		assert_int_equal(said.last.entries[0].wanted, CAME);
		assert_int_equal(said.last.entries[0].consumed, CAME);
		assert_int_equal(said.last.entries[0].limit, window_mark(CAME + SESSION_STREAM_CREDIT));
		assert_true(said.last.entries[0].final == rows[i].final);
		assert_int_equal(said.last.entries[0].reset, rows[i].reset);
		end();
	}
}

/* --- what cannot be ------------------------------------------------------------------- */

static void wanted_above(struct state_frame *f) { f->entries[0].wanted = SENT + 1; }
static void final_below(struct state_frame *f) { f->entries[0].final = CAME - 1; }
static void reset_below(struct state_frame *f)
{
	f->entries[0].final = CAME - 1;
	f->entries[0].reset = CODE_CANCELLED;
}
static void reset_without_final(struct state_frame *f) { f->entries[0].reset = CODE_CANCELLED; }
static void wanted_at_last(struct state_frame *f)
{
	f->entries[0].wanted = f->entries[0].limit = UINT64_C(1) << 63;
}
static void taken_above(struct state_frame *f) { f->consumed = SENT + 1; }
static void nothing_said_of(struct state_frame *f) { f->count = 0; }

static const struct lie {
	void (*tell)(struct state_frame *);
} lies[] = {
	{ wanted_above }, { final_below }, { reset_below }, { reset_without_final },
	{ wanted_at_last }, { taken_above }, { nothing_said_of },
};

/* The session of `side` ended with the code: each stream is reset once. */
static void check_failed(struct duo_side *side, enum code code)
{
	assert_int_equal(side->session.state, SESSION_DEAD);
	assert_int_equal(side->ends_told, 1);
	assert_int_equal(side->end.kind, SESSION_FAILED);
	assert_int_equal(side->end.code, code);
	assert_int_equal(side->resumed, 0);
	for (unsigned i = 0; i < side->opened; i++) {
		assert_int_equal(side->ends[i].saw_reset, 1);
		assert_int_equal(side->ends[i].saw_close, 0);
		assert_int_equal(side->ends[i].code, code);
	}
}

static void an_impossible_offset_ends_it(void **unused)
{
	(void)unused;
	for (int role = 0; role < 2; role++) {
		for (size_t i = 0; i < COUNT(lies); i++) {
			struct duo_side *mine = prepare((enum session_role)role, "FF");
			struct state_frame frame = state_for(&mine->session);

			frame.count = 1;
			frame.entries[0] = entry_for(mine->ends[0].st);
			frame.limit = UINT64_C(1) << 63;
			lies[i].tell(&frame);
			cut((enum session_role)role);
			attach((enum session_role)role);
			feed_state(mine, &frame);
			check_failed(mine, CODE_RESUME_OFFSET);
			assert_int_equal(listen_to(mine).error, CODE_RESUME_OFFSET);
			end();
		}
	}
}

/* What was taken once stays taken, of the stream and of the session. */
static void what_was_taken_stays_taken(void **unused)
{
	(void)unused;
	for (int row = 0; row < 2; row++) {
		struct duo_side *mine = prepare(SESSION_SERVER, "FF");
		struct state_frame frame;

		stream_consumed(&d.client.session, d.client.ends[0].st, SENT);
		d.now += SECOND;
		session_tick(&d.client.session, 0, d.now);
		credit_recv_tell(&d.client.session.recv);
		duo_settle(&d);
		assert_int_equal(mine->ends[0].st->send.consumed, SENT);
		mine->session.send.consumed = SENT;
		cut(SESSION_SERVER);
		attach(SESSION_SERVER);
		frame = state_for(&mine->session);
		frame.count = 1;
		frame.entries[0] = entry_for(mine->ends[0].st);
		if (row)
			frame.consumed--;
		else
			frame.entries[0].consumed--;
		feed_state(mine, &frame);
		check_failed(mine, CODE_RESUME_OFFSET);
		end();
	}
}

/* Streams that the peer cannot know, or does not know any more: by role. */
static void the_highest_stream_fits(void **unused)
{
	static const struct {
		enum session_role role;
		uint32_t highest;
		enum code code;
	} rows[] = {
		{ SESSION_SERVER, 0, CODE_RESUME_OFFSET }, /* It was answered. */
		{ SESSION_SERVER, 1, CODE_OK },
		{ SESSION_SERVER, 2, CODE_RESUME_OFFSET },
		{ SESSION_CLIENT, 0, CODE_RESUME_OFFSET },
		{ SESSION_CLIENT, 1, CODE_OK },
		{ SESSION_CLIENT, 2, CODE_OK }, /* OPEN follows. */
	};

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct duo_side *mine = prepare(rows[i].role, "FF");
		struct state_frame frame = state_for(&mine->session);

		frame.highest = rows[i].highest;
		frame.count = rows[i].highest;
		frame.entries[0] = entry_for(mine->ends[0].st);
		frame.entries[1] = (struct state_entry){ .stream = 2, .limit = 1,
			.final = STATE_NO_FINAL };
		cut(rows[i].role);
		attach(rows[i].role);
		feed_state(mine, &frame);
		if (rows[i].code)
			check_failed(mine, rows[i].code);
		else
			assert_int_equal(mine->session.state, SESSION_OPEN);
		end();
	}
}

/* --- two frames of STATE ------------------------------------------------------------- */

enum { MANY = 150 };

/* MANY streams, of which none has anything but the last. */
static void prepare_many(void)
{
	begin();
	for (int i = 0; i < MANY; i++)
		duo_open(&d);
	d.client.ends[MANY - 1].holds = true;
	duo_send(&d.server, MANY - 1, SENT, true);
	lose(&d.server);
}

static void many_streams_take_two_frames(void **unused)
{
	struct state_frame first, second;
	struct said said;

	(void)unused;
	prepare_many();
	cut(SESSION_SERVER);
	attach(SESSION_SERVER);
	said = listen_to(&d.server);
	assert_int_equal(said.states, 2);
	assert_int_equal(said.state_entries, MANY);
	assert_int_equal(said.last.is_last, true);
	assert_int_equal(said.last.entries[said.last.count - 1].stream, MANY);

	first = second = state_for(&d.server.session);
	first.is_last = false;
	for (unsigned i = 0; i < MANY; i++) {
		struct state_frame *f = i < STATE_ENTRIES_MAX ? &first : &second;

		f->entries[f->count] = entry_for(d.server.ends[i].st);
		f->entries[f->count++].wanted = 0;
	}
	feed_state(&d.server, &first);
	assert_int_equal(d.server.session.state, SESSION_SYNCING);
	assert_int_equal(d.server.resumed, 0);
	assert_false(session_has_output(&d.server.session));
	assert_int_equal(listen_to(&d.server).frames, 0);
	feed_state(&d.server, &second);
	assert_int_equal(d.server.resumed, 1);
	said = listen_to(&d.server);
	assert_int_equal(said.data, SENT);
	assert_int_equal(said.closes, 0); /* It was said by STATE. */
	end();
}

/* An id that was named in the first frame, or lies below, is not named again. */
static void entries_rise_across_frames(void **unused)
{
	static const struct {
		uint32_t last_of_first, first_of_second;
		bool fits;
	} rows[] = { { 2, 3, true }, { 3, 3, false }, { 3, 2, false } };

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct state_frame frame;

		begin();
		for (int k = 0; k < 3; k++)
			duo_open(&d);
		cut(SESSION_SERVER);
		attach(SESSION_SERVER);
		frame = state_for(&d.server.session);
		frame.is_last = false;
		while (frame.count < rows[i].last_of_first) {
			frame.entries[frame.count] = entry_for(d.server.ends[frame.count].st);
			frame.count++;
		}
		feed_state(&d.server, &frame);
		assert_int_equal(d.server.session.state, SESSION_SYNCING);
		frame.is_last = true;
		frame.count = 1;
		frame.entries[0] = entry_for(d.server.ends[rows[i].first_of_second - 1].st);
		feed_state(&d.server, &frame);
		if (rows[i].fits)
			assert_int_equal(d.server.session.state, SESSION_OPEN);
		else
			check_failed(&d.server, CODE_RESUME_OFFSET);
		end();
	}
}

/* A new transport begins with the first stream again. */
static void what_was_named_is_forgotten_with_the_transport(void **unused)
{
	struct state_frame frame;

	(void)unused;
	prepare(SESSION_SERVER, "FF");
	cut(SESSION_SERVER);
	attach(SESSION_SERVER);
	frame = state_for(&d.server.session);
	frame.count = 1;
	frame.entries[0] = entry_for(d.server.ends[0].st);
	frame.is_last = false;
	feed_state(&d.server, &frame);
	attach(SESSION_SERVER); /* Without having noticed the loss of it. */
	assert_int_equal(d.server.session.state, SESSION_SYNCING);
	assert_int_equal(listen_to(&d.server).states, 1);
	frame.is_last = true;
	feed_state(&d.server, &frame);
	assert_int_equal(d.server.session.state, SESSION_OPEN);
	assert_int_equal(d.server.detached, 1);
	assert_int_equal(d.server.resumed, 1);
	/* What the peer has and did not take was counted once. */
	assert_int_equal(d.server.session.send.sent, SENT);
	end();
}

/* A client says what it has only when the server did, and then no data before
 * the server's last. */
static void a_client_answers_the_first_frame(void **unused)
{
	struct state_frame frame;
	struct said said;

	(void)unused;
	prepare(SESSION_CLIENT, "FF");
	cut(SESSION_CLIENT);
	attach(SESSION_CLIENT);
	said = listen_to(&d.client);
	assert_int_equal(said.frames, 1);
	assert_int_equal(said.resumes, 1);
	frame = state_for(&d.client.session);
	frame.is_last = false;
	feed_state(&d.client, &frame);
	said = listen_to(&d.client);
	assert_int_equal(said.frames, 1);
	assert_int_equal(said.states, 1);
	frame.is_last = true;
	frame.count = 1;
	frame.entries[0] = entry_for(d.client.ends[0].st);
	frame.entries[0].wanted = 0;
	feed_state(&d.client, &frame);
	said = listen_to(&d.client);
	assert_int_equal(said.states, 0);
	assert_int_equal(said.data, SENT);
	end();
}

/* --- an end that is known before its bytes --------------------------------------------- */

static void feed_data(struct duo_side *side, uint64_t at, size_t n)
{
	uint8_t out[FRAME_HEAD + 1024];

	frame_put(out, FRAME_STREAM_DATA, 1, (uint32_t)n);
	for (size_t i = 0; i < n; i++)
		out[FRAME_HEAD + i] = pattern(at + i);
	feed(side, out, FRAME_HEAD + n);
}

static struct duo_side *prepare_later(const char *halves)
{
	struct duo_side *mine = prepare(SESSION_SERVER, halves);

	cut(SESSION_SERVER);
	attach(SESSION_SERVER);
	say_entry(mine, FINAL_LATER);
	assert_int_equal(mine->session.state, SESSION_OPEN);
	assert_int_equal(mine->ends[0].saw_close, 0);
	return mine;
}

static void an_end_waits_for_its_last_byte(void **unused)
{
	struct duo_side *mine = prepare_later("FF");

	(void)unused;
	feed_data(mine, CAME, 299);
	assert_int_equal(mine->ends[0].saw_close, 0);
	feed_data(mine, CAME + 299, 1);
	assert_string_equal(describe(mine), "FCc");
	assert_int_equal(mine->ends[0].got, CAME + 300);
	end();
	/* Of a stream that was reset here nobody is told. */
	mine = prepare_later("XX");
	feed_data(mine, CAME, 300);
	assert_string_equal(describe(mine), "RC");
	assert_int_equal(mine->ends[0].got, CAME);
	end();
}

static void nothing_comes_beyond_a_known_end(void **unused)
{
	static const char *const halves[] = { "FF", "XX" };
	uint8_t out[64];
	struct duo_side *mine;

	(void)unused;
	for (size_t i = 0; i < COUNT(halves); i++) {
		mine = prepare_later(halves[i]);
		feed_data(mine, CAME, 301);
		assert_int_equal(mine->end.code, CODE_PROTOCOL);
		assert_int_equal(mine->ends[0].saw_close, 0);
		end();
	}
	/* Nor is it said twice. */
	mine = prepare_later("FF");
	feed(mine, out, flow_close_encode(1, CAME, out, sizeof out));
	assert_int_equal(mine->end.code, CODE_PROTOCOL);
	end();
}

/* It is cut again before the last byte: the end is still known. */
static void an_end_waits_over_two_transports(void **unused)
{
	struct duo_side *mine = prepare_later("FF");

	(void)unused;
	feed_data(mine, CAME, 100);
	lose(mine);
	cut(SESSION_SERVER);
	attach(SESSION_SERVER);
	say_entry(mine, FINAL_LATER);
	feed_data(mine, CAME + 100, 200);
	assert_string_equal(describe(mine), "FCc");
	end();
}

/* What was said of it once holds. */
static void an_end_does_not_move(void **unused)
{
	struct duo_side *mine = prepare_later("FF");
	struct state_frame frame;

	(void)unused;
	lose(mine);
	cut(SESSION_SERVER);
	attach(SESSION_SERVER);
	frame = state_for(&mine->session);
	frame.count = 1;
	frame.entries[0] = entry_for(mine->ends[0].st);
	frame.entries[0].final = CAME + 100;
	feed_state(mine, &frame);
	feed_data(mine, CAME, 100);
	assert_int_equal(mine->ends[0].saw_close, 0);
	feed_data(mine, CAME + 100, 200);
	assert_int_equal(mine->ends[0].saw_close, 1);
	end();
}

static void on_last_data(void *owner, struct stream *st, const uint8_t *data, size_t len)
{
	struct duo_side *side = owner;

	duo_on_data(owner, st, data, len);
	session_abandon(&side->session, "enough");
	side->ends[0].st = NULL;
	stream_release(&side->session, st);
}

/* Its last byte may make the owner end everything: the stream is gone then. */
static void the_last_byte_may_end_the_session(void **unused)
{
	struct duo_side *mine = prepare_later("FF");

	(void)unused;
	ops.on_data = on_last_data;
	feed_data(mine, CAME, 300);
	assert_int_equal(mine->ends_told, 1);
	assert_int_equal(mine->ends[0].saw_close, 0);
	end();
}

/* --- who is not there any more ----------------------------------------------------------- */

/* A peer that forgot a stream had told us all, and heard all. */
static void absent_ones_had_ended(void **unused)
{
	struct duo_side *mine;

	(void)unused;
	/* Not while bytes of it are not taken here. */
	mine = prepare(SESSION_SERVER, "CF");
	mine->ends[0].holds = true;
	d.client.ends[0].left = 1;
	stream_ready(&d.client.session, d.client.ends[0].st);
	duo_carry(&d, &d.client, &d.server);
	cut(SESSION_SERVER);
	attach(SESSION_SERVER);
	say_entry(mine, ABSENT);
	check_failed(mine, CODE_RESUME_OFFSET);
	end();
	/* Nor before the end it spoke of. */
	mine = prepare_later("CF");
	lose(mine);
	mine->resumed = 0;
	cut(SESSION_SERVER);
	attach(SESSION_SERVER);
	say_entry(mine, ABSENT);
	check_failed(mine, CODE_RESUME_OFFSET);
	end();
	/* It is over here, too: nothing is kept, and the count is right. */
	mine = prepare(SESSION_SERVER, "CC");
	assert_int_not_equal(duo_pool.used, 0);
	cut(SESSION_SERVER);
	attach(SESSION_SERVER);
	say_entry(mine, ABSENT);
	assert_int_equal(session_streams(&mine->session), 0);
	assert_null(mine->ends[0].st->kept);
	assert_int_equal(mine->session.send.sent, mine->session.send.consumed);
	assert_int_equal(listen_to(mine).data, 0);
	end();
}

/* That it is gone answers its OPEN as well. */
static void an_absent_one_was_answered(void **unused)
{
	struct flow_open open = { .bind_id = DUO_BIND, .peer = { .family = 4 },
		.local = { .family = 4 } };

	(void)unused;
	begin();
	d.server.ends[0].st = stream_open(&d.server.session, &open, &d.server.ends[0]);
	d.server.opened = 1;
	stream_close(&d.server.session, d.server.ends[0].st);
	lose(&d.server);
	cut(SESSION_SERVER);
	attach(SESSION_SERVER);
	say_entry(&d.server, ABSENT);
	assert_string_equal(describe(&d.server), "CCc");
	assert_int_equal(d.server.answers, 1);
	end();
}

/* --- credit ------------------------------------------------------------------------------- */

/* What was taken while it was lost is said by STATE, and not again by CREDIT. */
static void state_tells_what_was_taken(void **unused)
{
	struct duo_side *mine = prepare(SESSION_SERVER, "FF");
	struct said said;

	(void)unused;
	mine->ends[0].holds = true;
	duo_send(&d.client, 0, 1000, false);
	duo_carry(&d, &d.client, &d.server);
	lose(mine);
	cut(SESSION_SERVER);
	stream_consumed(&mine->session, mine->ends[0].st, 400);
	attach(SESSION_SERVER);
	said = listen_to(mine);
	assert_int_equal(said.last.consumed, CAME + 400);
	assert_int_equal(said.last.limit, CAME + 400 + SESSION_WINDOW);
	assert_int_equal(said.last.entries[0].wanted, CAME + 1000);
	assert_int_equal(said.last.entries[0].consumed, CAME + 400);
	assert_int_equal(said.last.entries[0].limit, window_mark(CAME + 400 + SESSION_STREAM_CREDIT));
	assert_int_equal(mine->ends[0].st->recv.told, CAME + 400);
	assert_int_equal(mine->session.recv.told, CAME + 400);
	end();
}

static void a_limit_only_rises(void **unused)
{
	static const struct {
		int64_t change;
		bool rises;
	} rows[] = { { 1, true }, { 0, false }, { -1, false } };

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct duo_side *mine = prepare(SESSION_SERVER, "FF");
		struct stream *st = mine->ends[0].st;
		uint64_t session = mine->session.send.limit, stream = st->send.limit;
		struct state_frame frame = state_for(&mine->session);

		frame.limit += (uint64_t)rows[i].change;
		frame.count = 1;
		frame.entries[0] = entry_for(st);
		frame.entries[0].limit += (uint64_t)rows[i].change;
		cut(SESSION_SERVER);
		attach(SESSION_SERVER);
		feed_state(mine, &frame);
		assert_int_equal(mine->session.send.limit, session + rows[i].rises);
		assert_int_equal(st->send.limit, stream + rows[i].rises);
		end();
	}
}

/* One that waited for the session's credit goes on when STATE raises it. */
static void the_starved_are_fed(void **unused)
{
	struct duo_side *mine;
	struct state_frame frame;
	uint64_t sent;

	(void)unused;
	mine = prepare(SESSION_SERVER, "FF");
	/* As if others had spent it all. */
	mine->session.send.limit = mine->session.send.sent;
	duo_send(mine, 0, 100 * 1024, false);
	lose(mine);
	sent = mine->ends[0].sent;
	assert_true(sent < SENT + 100 * 1024);
	cut(SESSION_SERVER);
	attach(SESSION_SERVER);
	frame = state_for(&mine->session);
	duo_uncap(mine);
	frame.limit = 1 << 24;
	frame.count = 1;
	frame.entries[0] = entry_for(mine->ends[0].st);
	feed_state(mine, &frame);
	assert_int_equal(listen_from(mine, sent).data, SENT + 100 * 1024 - sent);
	end();
}

/* ACK counts what one transport carried. */
static void acknowledgements_begin_anew(void **unused)
{
	struct duo_side *mine;
	uint8_t out[32];

	(void)unused;
	for (int row = 0; row < 2; row++) {
		mine = prepare(SESSION_SERVER, "FF");
		assert_int_equal(mine->session.path.gauge.put, SENT);
		assert_int_equal(mine->session.taken, CAME);
		cut(SESSION_SERVER);
		attach(SESSION_SERVER);
		say_entry(mine, NO_FINAL);
		lose(mine);
		assert_int_equal(mine->session.path.gauge.put, 0);
		assert_int_equal(mine->session.taken, 0);
		duo_send(mine, 0, 100, false);
		lose(mine);
		feed(mine, out, control_ack_encode(100 + row, out, sizeof out));
		assert_int_equal(mine->session.state, row ? SESSION_DEAD : SESSION_OPEN);
		end();
	}
}

/* --- both resume ------------------------------------------------------------------------ */

/* Both lose the transport and come back; what was on the way is lost. */
static void resume_both(void)
{
	lose(&d.client);
	lose(&d.server);
	cut(SESSION_CLIENT);
	cut(SESSION_SERVER);
	attach(SESSION_CLIENT);
	lose(&d.client); /* RESUME went to the session of the login. */
	attach(SESSION_SERVER);
	duo_settle(&d);
	assert_int_equal(d.client.session.state, SESSION_OPEN);
	assert_int_equal(d.server.session.state, SESSION_OPEN);
}

/* Both count the same, and what they count was taken. */
static void check_counts(void)
{
	const struct session *c = &d.client.session, *s = &d.server.session;

	assert_int_equal(c->send.sent, s->recv.received);
	assert_int_equal(s->send.sent, c->recv.received);
	assert_true(c->send.limit >= c->send.sent && s->send.limit >= s->send.sent);
}

/* A visitor of whom the client may not hear. */
static unsigned open_unheard(uint16_t port)
{
	struct flow_open open = { .bind_id = DUO_BIND, .peer = { .family = 4, .port = port },
		.local = { .family = 4 } };
	unsigned i = d.server.opened++;

	d.server.ends[i].st = stream_open(&d.server.session, &open, &d.server.ends[i]);
	assert_non_null(d.server.ends[i].st);
	return i;
}

static void lost_opens_come_again_in_order(void **unused)
{
	struct said said;

	(void)unused;
	begin();
	duo_open(&d);
	for (unsigned i = 1; i <= 4; i++)
		open_unheard((uint16_t)i);
	duo_send(&d.server, 1, SENT, false);
	duo_send(&d.server, 2, SENT, true);
	lose(&d.server);
	stream_reset(&d.server.session, d.server.ends[3].st, CODE_CANCELLED);
	lose(&d.server);
	cut(SESSION_CLIENT);
	cut(SESSION_SERVER);
	attach(SESSION_CLIENT);
	lose(&d.client);
	attach(SESSION_SERVER);
	duo_carry(&d, &d.server, &d.client);
	duo_carry(&d, &d.client, &d.server);
	said = listen_to(&d.server);
	assert_int_equal(said.opens, 4);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(said.open_ids[i], i + 2);
	/* That was lost as well; the next time it is heard. */
	resume_both();
	assert_int_equal(d.client.opened, 5);
	assert_int_equal(d.client.ends[1].got, SENT);
	assert_int_equal(d.client.ends[1].saw_close, 0);
	assert_int_equal(d.client.ends[2].got, SENT);
	assert_int_equal(d.client.ends[2].saw_close, 1);
	assert_int_equal(d.client.ends[3].got, 0);
	assert_int_equal(d.client.ends[3].saw_reset, 1);
	assert_int_equal(d.client.ends[3].saw_close, 0);
	assert_int_equal(d.client.ends[3].code, CODE_CANCELLED);
	check_counts();
	end();
}

static void a_lost_answer_is_said_again(void **unused)
{
	struct said said;

	(void)unused;
	begin();
	open_unheard(1);
	open_unheard(2);
	duo_settle(&d);
	assert_int_equal(d.server.answers, 0);
	stream_answer(&d.client.session, d.client.ends[1].st);
	lose(&d.client);
	resume_both();
	assert_int_equal(d.server.answers, 1);
	/* Not of one that is still being dialed. */
	assert_true(d.server.ends[1].st->is_answered);
	assert_false(d.server.ends[0].st->is_answered);
	said = listen_to(&d.client);
	assert_int_equal(said.credits, 0);
	/* Once is enough. */
	resume_both();
	assert_int_equal(d.server.answers, 1);
	end();
}

/* An end or a reset in STATE is an answer as well. */
static void an_end_in_state_is_an_answer(void **unused)
{
	(void)unused;
	for (int resets = 0; resets < 2; resets++) {
		begin();
		open_unheard(1);
		duo_settle(&d);
		if (resets)
			stream_reset(&d.client.session, d.client.ends[0].st, CODE_DIAL_REFUSED);
		else
			stream_close(&d.client.session, d.client.ends[0].st);
		resume_both();
		assert_int_equal(d.server.answers, 1);
		assert_int_equal(d.server.ends[0].saw_close, !resets);
		assert_int_equal(d.server.ends[0].saw_reset, resets);
		end();
	}
}

/* Bytes that were lost with a stream are in no count any more. */
static void the_session_s_credit_is_reckoned_anew(void **unused)
{
	(void)unused;
	begin();
	for (int i = 0; i < 4; i++)
		duo_open(&d);
	d.client.ends[0].holds = d.client.ends[1].holds = true;
	duo_send(&d.server, 0, SENT, false);
	duo_settle(&d);
	duo_send(&d.server, 0, SENT, false); /* Sent again. */
	duo_send(&d.server, 1, 3 * SENT, false); /* Gone: it is reset meanwhile. */
	duo_send(&d.server, 2, SENT, true);
	duo_send(&d.client, 3, SENT, false);
	lose(&d.server);
	lose(&d.client);
	assert_int_equal(d.server.session.send.sent, 6 * SENT);
	stream_reset(&d.server.session, d.server.ends[1].st, CODE_CANCELLED);
	resume_both();
	assert_int_equal(d.server.session.send.sent, 3 * SENT);
	assert_int_equal(d.client.session.send.sent, SENT);
	check_counts();
	assert_int_equal(d.client.ends[0].got, 2 * SENT);
	assert_int_equal(d.client.ends[1].saw_reset, 1);
	assert_int_equal(d.client.ends[2].saw_close, 1);
	assert_int_equal(d.server.ends[3].got, SENT);
	/* The stream that holds what came is released: all counts as taken. */
	stream_consumed(&d.client.session, d.client.ends[0].st, 2 * SENT);
	resume_both();
	check_counts();
	assert_int_equal(d.server.session.send.consumed, 3 * SENT);
	assert_int_equal(d.server.session.counts.resumes, 2);
	end();
}

/* What a stream that was being sent again still lacked goes with it. */
static void a_reset_while_sending_again(void **unused)
{
	static uint8_t out[DUO_OUT];
	size_t n;

	(void)unused;
	begin();
	duo_open(&d);
	d.client.ends[0].holds = true;
	duo_send(&d.server, 0, 200 * 1024, false);
	lose(&d.server);
	cut(SESSION_CLIENT);
	cut(SESSION_SERVER);
	attach(SESSION_CLIENT);
	lose(&d.client);
	attach(SESSION_SERVER);
	duo_carry(&d, &d.server, &d.client);
	duo_carry(&d, &d.client, &d.server);
	n = flat_compose(&d.server.session, out, 64 * 1024, d.now);
	feed(&d.client, out, n);
	assert_true(d.client.ends[0].got > 0 && d.client.ends[0].got < 100 * 1024);
	stream_reset(&d.server.session, d.server.ends[0].st, CODE_CANCELLED);
	duo_settle(&d);
	assert_int_equal(d.client.ends[0].saw_reset, 1);
	check_counts();
	end();
}

/* Streams that end while there is no transport. */
static void what_ends_while_it_is_lost(void **unused)
{
	(void)unused;
	begin();
	for (int i = 0; i < 4; i++)
		duo_open(&d);
	duo_send(&d.server, 0, SENT, false);
	lose(&d.server);
	cut(SESSION_CLIENT);
	cut(SESSION_SERVER);
	stream_close(&d.server.session, d.server.ends[0].st);
	stream_reset(&d.server.session, d.server.ends[1].st, CODE_CANCELLED);
	stream_release(&d.client.session, d.client.ends[2].st);
	d.client.ends[2].st = NULL;
	/* Both at once. */
	stream_reset(&d.server.session, d.server.ends[3].st, CODE_CANCELLED);
	stream_reset(&d.client.session, d.client.ends[3].st, CODE_LOCAL_RESET);
	assert_null(stream_open(&d.server.session, &(struct flow_open){ .bind_id = DUO_BIND }, NULL));
	assert_int_equal(session_streams(&d.server.session), 4);
	attach(SESSION_CLIENT);
	lose(&d.client);
	attach(SESSION_SERVER);
	duo_settle(&d);
	assert_int_equal(d.client.ends[0].got, SENT);
	assert_int_equal(d.client.ends[0].saw_close, 1);
	assert_int_equal(d.client.ends[1].saw_reset, 1);
	assert_int_equal(d.server.ends[1].saw_reset, 0);
	assert_int_equal(d.server.ends[2].saw_reset, 1);
	assert_int_equal(d.client.ends[3].saw_reset + d.server.ends[3].saw_reset, 0);
	assert_int_equal(session_streams(&d.server.session), 1);
	assert_int_equal(session_streams(&d.client.session), 1);
	end();
}

/* When all came, and all that was sent ended, a reset has nothing to end: what
 * the peer lacks is still sent again. */
static void a_reset_after_both_ends(void **unused)
{
	(void)unused;
	for (int role = 0; role < 2; role++) {
		struct duo_side *mine = prepare((enum session_role)role, "CC");
		struct state_frame frame;

		stream_reset(&mine->session, mine->ends[0].st, CODE_CANCELLED);
		cut((enum session_role)role);
		attach((enum session_role)role);
		lose(mine);
		frame = state_for(&mine->session);
		frame.count = 1;
		frame.entries[0] = entry_for(mine->ends[0].st);
		frame.entries[0].wanted = 4000;
		frame.entries[0].final = CAME;
		feed_state(mine, &frame);
		assert_int_equal(mine->session.state, SESSION_OPEN);
		assert_int_equal(listen_from(mine, 4000).data, SENT - 4000);
		end();
	}
}

/* The other end was through before it heard of the reset: no answer comes, and
 * none is waited for. */
static void a_reset_that_comes_too_late(void **unused)
{
	static uint8_t out[DUO_OUT];

	(void)unused;
	for (int role = 0; role < 2; role++) {
		struct duo_side *mine = side_of((enum session_role)role);
		struct duo_side *other = other_of((enum session_role)role);
		size_t n;

		begin();
		duo_open(&d);
		stream_close(&mine->session, mine->ends[0].st);
		duo_settle(&d);
		stream_close(&other->session, other->ends[0].st);
		n = flat_compose(&other->session, out, sizeof out, d.now);
		assert_int_equal(session_streams(&other->session), 0);
		stream_reset(&mine->session, mine->ends[0].st, CODE_LOCAL_RESET);
		duo_carry(&d, mine, other);
		assert_int_equal(session_streams(&mine->session), 1);
		feed(mine, out, n);
		duo_settle(&d);
		assert_int_equal(session_streams(&mine->session), 0);
		assert_int_equal(mine->ends[0].saw_reset + mine->ends[0].saw_close, 0);
		assert_int_equal(other->ends[0].saw_close, 1);
		assert_int_equal(other->ends[0].saw_reset, 0);
		end();
	}
}

/* What was lost of the other end's bytes by a reset is not taken for delivered,
 * however often the answer is lost. */
static void a_reset_is_not_an_end(void **unused)
{
	(void)unused;
	begin();
	duo_open(&d);
	d.client.ends[0].holds = true;
	duo_send(&d.server, 0, SENT, true);
	stream_close(&d.client.session, d.client.ends[0].st);
	duo_settle(&d);
	stream_release(&d.client.session, d.client.ends[0].st);
	d.client.ends[0].st = NULL;
	for (int i = 0; i < 3; i++) {
		lose(&d.client);
		cut(SESSION_CLIENT);
		attach(SESSION_CLIENT);
		lose(&d.client);
		/* The server's STATE comes, the client's is lost. */
		if (d.server.session.state != SESSION_LOST)
			cut(SESSION_SERVER);
		attach(SESSION_SERVER);
		duo_carry(&d, &d.server, &d.client);
		lose(&d.client);
	}
	assert_int_equal(session_streams(&d.client.session), 1);
	resume_both();
	assert_int_equal(d.server.ends[0].saw_reset, 1);
	assert_int_equal(session_streams(&d.client.session), 0);
	assert_int_equal(session_streams(&d.server.session), 0);
	end();
}

/* --- frames at the wrong time ------------------------------------------------------------ */

static void state_needs_a_resume(void **unused)
{
	(void)unused;
	for (int role = 0; role < 2; role++) {
		struct duo_side *mine = prepare((enum session_role)role, "FF");

		say_entry(mine, NO_FINAL);
		check_failed(mine, CODE_PROTOCOL);
		end();
		/* Nor after the last one. */
		mine = prepare((enum session_role)role, "FF");
		cut((enum session_role)role);
		attach((enum session_role)role);
		say_entry(mine, NO_FINAL);
		assert_int_equal(mine->session.state, SESSION_OPEN);
		say_entry(mine, NO_FINAL);
		assert_int_equal(mine->end.code, CODE_PROTOCOL);
		assert_int_equal(mine->ends[0].saw_reset, 1);
		end();
	}
}

static void data_waits_for_state(void **unused)
{
	(void)unused;
	for (int role = 0; role < 2; role++) {
		struct duo_side *mine = prepare((enum session_role)role, "FF");

		cut((enum session_role)role);
		attach((enum session_role)role);
		feed_data(mine, CAME, 1);
		check_failed(mine, CODE_PROTOCOL);
		assert_int_equal(mine->ends[0].got, CAME);
		end();
	}
}

/* What is left of the old transport says nothing any more. */
static void a_lost_session_hears_nothing(void **unused)
{
	struct duo_side *mine = prepare(SESSION_SERVER, "FF");

	(void)unused;
	cut(SESSION_SERVER);
	feed_data(mine, CAME, 10);
	assert_int_equal(mine->session.state, SESSION_LOST);
	assert_int_equal(mine->ends[0].got, CAME);
	assert_int_equal(listen_to(mine).frames, 0);
	assert_false(session_has_output(&mine->session));
	end();
}

static enum code refuse_resume(void *owner, const struct state_resume *resume)
{
	(void)duo_on_resume(owner, resume);
	return CODE_RESUME_UNKNOWN;
}

static void feed_resume(struct duo_side *side, uint32_t epoch)
{
	uint8_t out[FRAME_HEAD + 64];

	feed(side, out, state_resume_encode(&(struct state_resume){ .epoch = epoch }, out,
		sizeof out));
}

static void a_transport_is_given_once(void **unused)
{
	uint8_t out[DUO_OUT / 64];
	size_t n;

	(void)unused;
	duo_reach(&d, SESSION_BIND);
	feed_resume(&d.server, 2);
	assert_int_equal(d.server.session.state, SESSION_GIVEN);
	feed_resume(&d.server, 3);
	assert_int_equal(d.server.given, 1);
	assert_int_equal(d.server.end.code, CODE_PROTOCOL);
	duo_fini(&d);
	/* One that was refused may ask again, or go on as it is. */
	for (int has_handler = 0; has_handler < 2; has_handler++) {
		struct session_ops refusing = duo_ops;
		uint16_t code;

		refusing.on_resume = has_handler ? refuse_resume : NULL;
		duo_reach(&d, SESSION_BIND);
		d.server.session.ops = &refusing;
		for (uint32_t epoch = 2; epoch < 4; epoch++) {
			feed_resume(&d.server, epoch);
			assert_int_equal(d.server.session.state, SESSION_BIND);
			n = flat_compose(&d.server.session, out, sizeof out, d.now);
			assert_int_equal(n, FRAME_HEAD + 2);
			assert_int_equal(frame_get(out).type, FRAME_RESUME_ERR);
			assert_int_equal(state_resume_err_decode(out + FRAME_HEAD, 2, &code), CODE_OK);
			assert_int_equal(code, CODE_RESUME_UNKNOWN);
		}
		assert_int_equal(d.server.given, has_handler ? 2 : 0);
		duo_fini(&d);
	}
}

static enum code refused_with;

static void on_refused(void *owner, enum code code)
{
	duo_on_refused(owner, code);
	refused_with = code;
}

static void a_refusal_leaves_it_lost(void **unused)
{
	static const struct { uint16_t said; enum code told; } rows[] = {
		{ CODE_RESUME_UNKNOWN, CODE_RESUME_UNKNOWN },
		{ CODE_FORBIDDEN, CODE_FORBIDDEN },
		{ CODE_OK, CODE_RESUME_UNKNOWN }, /* No is no. */
	};

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t out[32];

		prepare(SESSION_CLIENT, "FF");
		ops.on_resume_refused = on_refused;
		cut(SESSION_CLIENT);
		attach(SESSION_CLIENT);
		feed(&d.client, out, state_resume_err_encode(rows[i].said, out, sizeof out));
		assert_int_equal(d.client.refused, 1);
		assert_int_equal(refused_with, rows[i].told);
		assert_int_equal(d.client.session.state, SESSION_LOST);
		assert_int_equal(d.client.detached, 1);
		assert_int_equal(d.client.ends[0].saw_reset, 0);
		end();
	}
}

/* --- patience ----------------------------------------------------------------------------- */

static void the_hold_ends(void **unused)
{
	(void)unused;
	for (int role = 0; role < 2; role++) {
		struct duo_side *mine;
		uint64_t lost_us;

		begin();
		mine = side_of((enum session_role)role);
		for (int i = 0; i < 3; i++)
			duo_open(&d);
		stream_reset(&mine->session, mine->ends[1].st, CODE_CANCELLED);
		cut((enum session_role)role);
		assert_int_equal(mine->detached, 1);
		lost_us = d.now;
		d.now += 1;
		assert_int_equal(session_tick(&mine->session, 0, d.now), lost_us + HOLD_MS * 1000);
		d.now = lost_us + HOLD_MS * 1000 - 1;
		assert_int_equal(session_tick(&mine->session, 0, d.now), d.now + 1);
		assert_int_equal(mine->ends_told, 0);
		/* An attempt does not make it longer. */
		attach((enum session_role)role);
		assert_int_equal(session_tick(&mine->session, 0, d.now), d.now + 1);
		d.now++;
		assert_true(session_tick(&mine->session, 0, d.now) == UINT64_MAX);
		assert_int_equal(mine->ends_told, 1);
		assert_int_equal(mine->end.kind, SESSION_GONE);
		assert_string_equal(mine->end.text, "not resumed within 60s: cut");
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(mine->ends[i].saw_reset, i != 1);
			assert_int_equal(mine->ends[i].saw_close, 0);
		}
		assert_true(session_tick(&mine->session, 0, d.now) == UINT64_MAX);
		assert_int_equal(mine->ends_told, 1);
		end();
	}
}

static void an_answer_is_not_awaited_for_ever(void **unused)
{
	static const uint64_t patience[] = {
		[SESSION_CLIENT] = 1 * SECOND,
		[SESSION_SERVER] = 5 * SECOND,
	};

	(void)unused;
	for (int role = 0; role < 2; role++) {
		struct duo_side *mine = prepare((enum session_role)role, "FF");
		uint64_t lost_us = d.now;

		cut((enum session_role)role);
		d.now += SECOND;
		attach((enum session_role)role);
		d.now += 1;
		assert_int_equal(session_tick(&mine->session, 0, d.now),
			lost_us + SECOND + patience[role]);
		d.now = lost_us + SECOND + patience[role] - 1;
		session_tick(&mine->session, 0, d.now);
		assert_int_equal(mine->detached, 1);
		d.now++;
		assert_int_equal(session_tick(&mine->session, 0, d.now), lost_us + HOLD_MS * 1000);
		assert_int_equal(mine->session.state, SESSION_LOST);
		assert_int_equal(mine->detached, 2);
		assert_int_equal(mine->ends[0].saw_reset, 0);
		/* The hold is counted from the first loss, with its reason. */
		d.now = lost_us + HOLD_MS * 1000;
		session_tick(&mine->session, 0, d.now);
		assert_string_equal(mine->end.text, "not resumed within 60s: cut");
		end();
	}
}

/* The hold begins anew when it was open in between. */
static void each_loss_has_its_own_hold(void **unused)
{
	struct duo_side *mine = prepare(SESSION_SERVER, "FF");

	(void)unused;
	cut(SESSION_SERVER);
	d.now += SECOND;
	attach(SESSION_SERVER);
	say_entry(mine, NO_FINAL);
	lose(mine);
	d.now += SECOND;
	session_lost(&mine->session, "again", d.now);
	assert_int_equal(session_tick(&mine->session, 0, d.now), d.now + HOLD_MS * 1000);
	d.now += HOLD_MS * 1000;
	session_tick(&mine->session, 0, d.now);
	assert_string_equal(mine->end.text, "not resumed within 60s: again");
	end();
}

/* A server that has not noticed the loss counts from when it is replaced. */
static void a_transport_is_replaced(void **unused)
{
	struct duo_side *mine = prepare(SESSION_SERVER, "FF");

	(void)unused;
	d.now += SECOND;
	attach(SESSION_SERVER);
	assert_int_equal(mine->session.state, SESSION_SYNCING);
	assert_int_equal(mine->detached, 0);
	d.now += 5 * SECOND;
	assert_int_equal(session_tick(&mine->session, 0, d.now), d.now + 55 * SECOND);
	assert_int_equal(mine->session.state, SESSION_LOST);
	d.now += 55 * SECOND;
	session_tick(&mine->session, 0, d.now);
	assert_string_equal(mine->end.text, "not resumed within 60s: replaced by a newer connection");
	end();
}

static void silence_is_a_loss(void **unused)
{
	struct duo_side *mine = prepare(SESSION_SERVER, "FF");

	(void)unused;
	d.now += 25 * SECOND;
	session_tick(&mine->session, 0, d.now);
	assert_int_equal(mine->session.state, SESSION_LOST);
	assert_int_equal(mine->detached, 1);
	assert_int_equal(mine->ends[0].saw_reset, 0);
	end();
	/* Who answers and takes nothing is given up. */
	mine = prepare(SESSION_SERVER, "FF");
	mine->session.heard_us = d.now + 30 * SECOND;
	d.now += 30 * SECOND;
	session_tick(&mine->session, d.now - 30 * SECOND, d.now);
	assert_int_equal(mine->session.state, SESSION_DEAD);
	assert_int_equal(mine->ends[0].saw_reset, 1);
	end();
}

static const struct possible {
	uint32_t hold_ms;
	enum session_state state;
	bool doomed, possible;
} possibles[] = {
	{ HOLD_MS, SESSION_AUTH, false, false },
	{ HOLD_MS, SESSION_BIND, false, false },
	{ HOLD_MS, SESSION_OPEN, false, true },
	{ HOLD_MS, SESSION_OPEN, true, false },
	{ 0, SESSION_OPEN, false, false },
};

static void an_open_session_is_held(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < COUNT(possibles); i++) {
		const struct possible *c = &possibles[i];

		duo_hold_ms = c->hold_ms;
		duo_reach(&d, c->state);
		duo_hold_ms = HOLD_MS;
		d.server.session.is_doomed = c->doomed;
		assert_int_equal(resume_is_possible(&d.server.session), c->possible);
		session_lost(&d.server.session, "cut", d.now);
		assert_int_equal(d.server.session.state, c->possible ? SESSION_LOST : SESSION_DEAD);
		assert_int_equal(d.server.ends_told, !c->possible);
		assert_int_equal(d.server.detached, c->possible);
		assert_int_equal(resume_is_possible(&d.server.session), c->possible);
		duo_fini(&d);
	}
}

/* --- a drain ------------------------------------------------------------------------------ */

static void a_drain_is_not_held(void **unused)
{
	struct duo_side *mine;

	(void)unused;
	for (int role = 0; role < 2; role++) {
		mine = prepare((enum session_role)role, "FF");
		session_shutdown(&mine->session, 1000);
		lose(mine);
		assert_false(resume_is_possible(&mine->session));
		session_lost(&mine->session, "cut", d.now);
		assert_int_equal(mine->end.kind, SESSION_GONE);
		assert_int_equal(mine->end.code, CODE_SHUTTING_DOWN);
		assert_int_equal(mine->ends[0].saw_reset, 1);
		end();
	}
	/* Nothing new begins while it is held; it can be ended, and says so to nobody. */
	mine = prepare(SESSION_SERVER, "FF");
	cut(SESSION_SERVER);
	session_shutdown(&mine->session, 1000);
	assert_int_equal(mine->session.state, SESSION_LOST);
	session_finish(&mine->session);
	assert_int_equal(mine->end.kind, SESSION_FINISHED);
	assert_int_equal(mine->ends[0].saw_reset, 1);
	assert_int_equal(listen_to(mine).frames, 0);
	end();
	/* After a resume it drains as ever. */
	mine = prepare(SESSION_SERVER, "FF");
	resume_both();
	session_shutdown(&mine->session, 1000);
	duo_settle(&d);
	assert_int_equal(d.client.shutdowns, 1);
	assert_int_equal(d.client.session.state, SESSION_DRAIN);
	end();
}

/* --- a frame that two sessions hear ---------------------------------------------------------- */

/* The first `split` bytes go to the session of the login, the rest to the one
 * that takes its transport over. */
static void inherit(const uint8_t *frame, size_t n, size_t split)
{
	static struct duo fresh;

	duo_init(&fresh);
	while (fresh.client.session.state != SESSION_BIND) {
		duo_carry(&fresh, &fresh.client, &fresh.server);
		duo_carry(&fresh, &fresh.server, &fresh.client);
	}
	feed(&fresh.client, frame, split);
	attach(SESSION_CLIENT);
	resume_inherit(&d.client.session, &fresh.client.session);
	assert_int_equal(listen_to(&d.client).resumes, 1);
	duo_fini(&fresh);
	if (split < n)
		feed(&d.client, frame + split, n - split);
}

static void the_rest_of_a_frame_is_heard(void **unused)
{
	uint8_t out[FRAME_HEAD + 64];
	size_t lengths[2];

	(void)unused;
	for (int is_known = 0; is_known < 2; is_known++) {
		frame_put(out, (enum frame_type)0x7f, 0, 40);
		memset(out + FRAME_HEAD, 0xff, 40);
		lengths[0] = FRAME_HEAD + 40;
		if (is_known)
			lengths[0] = control_heartbeat_encode(
				&(struct control_heartbeat){ .opaque = 5 }, out, sizeof out);
		for (size_t split = 1; split < lengths[0]; split++) {
			prepare(SESSION_CLIENT, "FF");
			cut(SESSION_CLIENT);
			inherit(out, lengths[0], split);
			assert_int_equal(d.client.session.state, SESSION_ASKING);
			/* Nothing is answered behind a RESUME, but what follows is heard. */
			assert_int_equal(listen_to(&d.client).frames, 0);
			say_entry(&d.client, NO_FINAL);
			assert_int_equal(d.client.session.state, SESSION_OPEN);
			end();
		}
	}
}

/* A part of a frame that came over the old one does not begin the next. */
static void a_partial_frame_goes_with_its_transport(void **unused)
{
	uint8_t out[FRAME_HEAD + 64];

	(void)unused;
	for (int kind = 0; kind < 3; kind++) {
		struct duo_side *mine = prepare(SESSION_SERVER, "FF");

		frame_put(out, kind == 0 ? FRAME_HEARTBEAT : kind == 1 ? FRAME_STREAM_DATA :
			(enum frame_type)0x7f, kind == 1, kind == 0 ? 9 : 40);
		memset(out + FRAME_HEAD, pattern(CAME), 1);
		feed(mine, out, FRAME_HEAD + (kind == 1));
		cut(SESSION_SERVER);
		attach(SESSION_SERVER);
		say_entry(mine, NO_FINAL);
		assert_int_equal(mine->session.state, SESSION_OPEN);
		assert_int_equal(mine->ends[0].got, CAME + (kind == 1));
		end();
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_entry_in_each_pair_of_halves),
		cmocka_unit_test(what_the_peer_lacks_is_sent_again),
		cmocka_unit_test(state_describes_each_half),
		cmocka_unit_test(an_impossible_offset_ends_it),
		cmocka_unit_test(what_was_taken_stays_taken),
		cmocka_unit_test(the_highest_stream_fits),
		cmocka_unit_test(many_streams_take_two_frames),
		cmocka_unit_test(entries_rise_across_frames),
		cmocka_unit_test(what_was_named_is_forgotten_with_the_transport),
		cmocka_unit_test(a_client_answers_the_first_frame),
		cmocka_unit_test(an_end_waits_for_its_last_byte),
		cmocka_unit_test(nothing_comes_beyond_a_known_end),
		cmocka_unit_test(an_end_waits_over_two_transports),
		cmocka_unit_test(an_end_does_not_move),
		cmocka_unit_test(the_last_byte_may_end_the_session),
		cmocka_unit_test(absent_ones_had_ended),
		cmocka_unit_test(an_absent_one_was_answered),
		cmocka_unit_test(state_tells_what_was_taken),
		cmocka_unit_test(a_limit_only_rises),
		cmocka_unit_test(the_starved_are_fed),
		cmocka_unit_test(acknowledgements_begin_anew),
		cmocka_unit_test(lost_opens_come_again_in_order),
		cmocka_unit_test(a_lost_answer_is_said_again),
		cmocka_unit_test(an_end_in_state_is_an_answer),
		cmocka_unit_test(the_session_s_credit_is_reckoned_anew),
		cmocka_unit_test(a_reset_while_sending_again),
		cmocka_unit_test(what_ends_while_it_is_lost),
		cmocka_unit_test(a_reset_after_both_ends),
		cmocka_unit_test(a_reset_that_comes_too_late),
		cmocka_unit_test(a_reset_is_not_an_end),
		cmocka_unit_test(state_needs_a_resume),
		cmocka_unit_test(data_waits_for_state),
		cmocka_unit_test(a_lost_session_hears_nothing),
		cmocka_unit_test(a_transport_is_given_once),
		cmocka_unit_test(a_refusal_leaves_it_lost),
		cmocka_unit_test(the_hold_ends),
		cmocka_unit_test(an_answer_is_not_awaited_for_ever),
		cmocka_unit_test(each_loss_has_its_own_hold),
		cmocka_unit_test(a_transport_is_replaced),
		cmocka_unit_test(silence_is_a_loss),
		cmocka_unit_test(an_open_session_is_held),
		cmocka_unit_test(a_drain_is_not_held),
		cmocka_unit_test(the_rest_of_a_frame_is_heard),
		cmocka_unit_test(a_partial_frame_goes_with_its_transport),
	};

	duo_hold_ms = HOLD_MS;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
