/*
 * RESUME, STATE and RESUME_ERR, by the first byte: what is taken has one
 * encoding, is in order, and cut anywhere it is refused or is whole entries
 * less.
 */
#include <stdlib.h>

#include "wire/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t out[FRAME_HEAD + FRAME_CONTROL_MAX + 1];

static void must(bool what)
{
	if (!what)
		abort();
}

static void same(size_t n, enum frame_type type, const uint8_t *payload, size_t len)
{
	struct frame f;

	must(n == FRAME_HEAD + len);
	f = frame_get(out);
	must(f.version == FRAME_VERSION && f.type == type && f.stream == 0 && f.len == len);
	must(memcmp(out + FRAME_HEAD, payload, len) == 0);
}

static void check_order(const struct state_frame *s)
{
	uint32_t previous = 0;

	must(s->count <= STATE_ENTRIES_MAX && s->consumed <= s->limit);
	for (unsigned i = 0; i < s->count; i++) {
		const struct state_entry *e = &s->entries[i];

		must(e->stream > previous && e->stream <= s->highest);
		must(e->consumed <= e->wanted && e->wanted <= e->limit);
		previous = e->stream;
	}
}

/* A copy in its own block, so that a read beyond it is seen. */
static uint8_t *copy_of(const uint8_t *data, size_t len)
{
	uint8_t *p = malloc(len ? len : 1);

	must(p);
	if (len)
		memcpy(p, data, len);
	return p;
}

static bool take_state(const uint8_t *data, size_t len)
{
	static struct state_frame s, untouched;
	uint8_t *p = copy_of(data, len);
	enum code code;

	memset(&s, 0x5a, sizeof s);
	memset(&untouched, 0x5a, sizeof untouched);
	code = state_frame_decode(p, len, &s);
	if (code) {
		must(memcmp(&s, &untouched, sizeof s) == 0);
	} else {
		check_order(&s);
		must(len == STATE_FIXED + (size_t)s.count * STATE_ENTRY);
		same(state_frame_encode(&s, out, sizeof out), FRAME_STATE, p, len);
		must(state_frame_encode(&s, out, FRAME_HEAD + len - 1) == 0);
	}
	free(p);
	return !code;
}

static bool take_resume(const uint8_t *data, size_t len)
{
	struct state_resume r;
	uint8_t *p = copy_of(data, len);
	enum code code = state_resume_decode(p, len, &r);

	if (!code) {
		same(state_resume_encode(&r, out, sizeof out), FRAME_RESUME, p, len);
		must(state_resume_encode(&r, out, FRAME_HEAD + len - 1) == 0);
	}
	free(p);
	return !code;
}

static bool take_resume_err(const uint8_t *data, size_t len)
{
	uint16_t value;
	uint8_t *p = copy_of(data, len);
	enum code code = state_resume_err_decode(p, len, &value);

	if (!code)
		same(state_resume_err_encode(value, out, sizeof out), FRAME_RESUME_ERR, p, len);
	free(p);
	return !code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool (*const take[])(const uint8_t *data, size_t len) = {
		take_state, take_resume, take_resume_err,
	};
	unsigned kind;

	if (size < 1 || size > 1 + FRAME_CONTROL_MAX + STATE_ENTRY)
		return 0;
	kind = data[0] % 3;
	if (!take[kind](data + 1, size - 1))
		return 0;
	for (size_t len = 0; len < size - 1; len++) {
		bool is_whole = kind == 0 && len >= STATE_FIXED &&
			(len - STATE_FIXED) % STATE_ENTRY == 0;

		must(take[kind](data + 1, len) == is_whole);
	}
	return 0;
}
