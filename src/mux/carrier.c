#include "mux/carrier.h"

#include <string.h>

/* Its turns: the owner's and the guests'. */
enum { TURNS = STATE_LANES_MAX + 1 };

static struct session *of_turn(const struct carrier *c, unsigned turn)
{
	return turn < STATE_LANES_MAX ? c->guests[turn] : c->owner;
}

void carrier_init(struct carrier *c, struct session *owner)
{
	*c = (struct carrier){ .owner = owner, .in = owner, .out = owner };
}

void carrier_take_over(struct carrier *c, struct carrier *from, struct session *owner)
{
	*c = (struct carrier){
		.owner = owner,
		.in = from->in == from->owner ? owner : NULL,
		.out = from->out == from->owner ? owner : NULL,
		.head_len = from->head_len,
		.left = from->left,
	};
	memcpy(c->head, from->head, sizeof c->head);
	carrier_clear(from);
}

void carrier_clear(struct carrier *c)
{
	*c = (struct carrier){ 0 };
}

bool carrier_add(struct carrier *c, struct session *guest)
{
	if (guest->lane == c->owner->lane || c->guests[guest->lane])
		return false;
	c->guests[guest->lane] = guest;
	c->count++;
	return true;
}

bool carrier_remove(struct carrier *c, struct session *guest)
{
	bool was_out = c->out == guest;

	if (!c->owner || c->guests[guest->lane] != guest)
		return true;
	c->guests[guest->lane] = NULL;
	c->count--;
	if (c->in == guest)
		c->in = NULL;
	if (was_out)
		c->out = NULL;
	return !was_out || !c->is_amid;
}

/* --- input ----------------------------------------------------------------------- */

static void pass(struct carrier *c, const uint8_t *data, size_t len, uint64_t now_us)
{
	if (c->in && len)
		session_feed(c->in, data, len, now_us);
}

/* LANE is one only between two that agreed on it and have logged in. */
static bool is_marker(const struct carrier *c, const struct frame *f)
{
	return f->type == FRAME_LANE && f->version == FRAME_VERSION && c->owner->epoch &&
		(c->owner->capabilities & LOGIN_CAN_LANES);
}

static struct session *of_lane(const struct carrier *c, uint32_t lane)
{
	return lane == c->owner->lane ? c->owner : c->guests[lane];
}

/* LANE is whole, and is in c->head. */
static void turn(struct carrier *c)
{
	struct frame f = frame_get(c->head);
	uint32_t epoch;

	c->head_len = 0;
	c->in = of_lane(c, f.stream);
	if (state_lane_decode(c->head + FRAME_HEAD, f.len, &epoch) || (c->in && c->in->epoch != epoch))
		c->in = NULL;
}

static void refuse(struct carrier *c, const struct frame *f)
{
	session_fail(c->owner, CODE_PROTOCOL, "LANE: protocol violated");
	c->in = NULL;
	c->head_len = 0;
	c->left = f->len;
}

/* A whole head came in pieces, and is in c->head. */
static void begin(struct carrier *c, uint64_t now_us)
{
	struct frame f = frame_get(c->head);
	uint8_t head[FRAME_HEAD];

	if (!is_marker(c, &f)) {
		memcpy(head, c->head, FRAME_HEAD);
		c->head_len = 0;
		c->left = f.len;
		pass(c, head, FRAME_HEAD, now_us);
	} else if (f.stream >= STATE_LANES_MAX || f.len != STATE_LANE_FRAME - FRAME_HEAD) {
		refuse(c, &f);
	}
}

/* Adds to the first bytes of a head, or of LANE; those taken from data. */
static size_t gather(struct carrier *c, const uint8_t *data, size_t len, uint64_t now_us)
{
	size_t whole = c->head_len < FRAME_HEAD ? FRAME_HEAD : STATE_LANE_FRAME;
	size_t n = whole - c->head_len < len ? whole - c->head_len : len;

	memcpy(c->head + c->head_len, data, n);
	c->head_len += (unsigned)n;
	if (c->head_len < whole)
		return n;
	if (whole == FRAME_HEAD)
		begin(c, now_us);
	else
		turn(c);
	return n;
}

/* How much of data belongs to one session, up to a marker or half a head. */
static size_t run(struct carrier *c, const uint8_t *data, size_t len)
{
	size_t at = 0;

	for (;;) {
		struct frame f;

		if (c->left > len - at) {
			c->left -= (uint32_t)(len - at);
			return len;
		}
		at += c->left;
		c->left = 0;
		if (len - at < FRAME_HEAD)
			return at;
		f = frame_get(data + at);
		if (is_marker(c, &f))
			return at;
		at += FRAME_HEAD;
		c->left = f.len;
	}
}

void carrier_feed(struct carrier *c, const uint8_t *data, size_t len, uint64_t now_us)
{
	size_t at = 0;

	while (at < len && c->owner) {
		size_t n = c->head_len ? 0 : run(c, data + at, len - at);

		if (n)
			pass(c, data + at, n, now_us);
		else
			n = gather(c, data + at, len - at, now_us);
		at += n;
	}
}

bool carrier_may_feed(const struct carrier *c)
{
	for (unsigned i = 0; i < TURNS; i++) {
		const struct session *s = of_turn(c, i);

		if (s && !session_may_feed(s))
			return false;
	}
	return true;
}

/* --- output ---------------------------------------------------------------------- */

/* False when s had nothing to say after all. */
static bool compose(struct carrier *c, struct session *s, struct batch *b, uint64_t now_us)
{
	bool is_turning = s != c->out;

	if (is_turning)
		writer_room(&b->w, state_lane_encode(s->lane, s->epoch, b->w.at, b->w.left));
	session_compose(s, b, now_us);
	if (b->total <= (is_turning ? STATE_LANE_FRAME : 0)) {
		batch_drop(b); /* A marker alone says nothing. */
		return false;
	}
	c->out = s;
	c->is_amid = session_is_amid_frame(s);
	return true;
}

void carrier_compose(struct carrier *c, struct batch *b, uint64_t now_us)
{
	unsigned first = c->turn;

	if (!c->owner)
		return;
	if (!c->count && c->out == c->owner) {
		session_compose(c->owner, b, now_us);
		return;
	}
	if (c->out && session_is_amid_frame(c->out)) {
		compose(c, c->out, b, now_us);
		return;
	}
	for (unsigned i = 0; i < TURNS; i++) {
		unsigned turn = (first + i) % TURNS;
		struct session *s = of_turn(c, turn);

		if (!s || !session_has_output(s) || !compose(c, s, b, now_us))
			continue;
		c->turn = (turn + 1) % TURNS;
		return;
	}
}

bool carrier_has_output(const struct carrier *c)
{
	for (unsigned i = 0; i < TURNS; i++) {
		const struct session *s = of_turn(c, i);

		if (s && session_has_output(s))
			return true;
	}
	return false;
}

uint32_t carrier_lowat(const struct carrier *c)
{
	uint32_t least = path_lowat(&c->owner->path);

	for (unsigned i = 0; c->count && i < STATE_LANES_MAX; i++)
		if (c->guests[i] && path_lowat(&c->guests[i]->path) < least)
			least = path_lowat(&c->guests[i]->path);
	return least;
}
