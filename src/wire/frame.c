#include "wire/frame.h"

#include "core/cursor.h"

static void put_u32(uint8_t out[4], uint32_t v)
{
	for (int i = 0; i < 4; i++)
		out[i] = (uint8_t)(v >> (24 - 8 * i));
}

void frame_put(uint8_t out[FRAME_HEAD], enum frame_type type, uint32_t stream, uint32_t len)
{
	out[0] = FRAME_VERSION;
	out[1] = (uint8_t)type;
	put_u32(out + 2, stream);
	put_u32(out + 6, len);
}

struct frame frame_get(const uint8_t in[FRAME_HEAD])
{
	struct reader r = reader_of(in, FRAME_HEAD);
	struct frame f;

	f.version = reader_u8(&r);
	f.type = reader_u8(&r);
	f.stream = reader_u32(&r);
	f.len = reader_u32(&r);
	return f;
}

struct writer frame_begin(uint8_t *out, size_t cap)
{
	struct writer w = writer_of(out, cap);

	writer_room(&w, FRAME_HEAD);
	return w;
}

size_t frame_end(const struct writer *w, uint8_t *out, enum frame_type type, uint32_t stream)
{
	size_t len = (size_t)(w->at - out);

	if (w->bad || len - FRAME_HEAD > FRAME_CONTROL_MAX)
		return 0;
	frame_put(out, type, stream, (uint32_t)(len - FRAME_HEAD));
	return len;
}

const char *frame_name(unsigned type)
{
	switch (type) {
#define X(name, number)                                                        \
	case number:                                                           \
		return #name;
		FRAME_LIST(X)
#undef X
	}
	return "unknown";
}
