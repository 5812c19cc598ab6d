#include "http/http.h"

#include <string.h>

/* Where in a message the next byte falls. */
enum phase {
	IDLE,		/* between messages */
	IDLE_LF,	/* the CR of an empty line came there */
	START,		/* in the start line */
	FIELDS,		/* in the field lines */
	BODY,		/* Content-Length, or what a chunk has left */
	CHUNK_SIZE,
	CHUNK_CR,	/* behind the bytes of a chunk */
	CHUNK_LF,
	TRAILERS,
	TAIL,		/* a body that ends with the connection */
	END,		/* nothing more belongs to the message */
	BAD,
};

static enum http_event turn(struct http *h, enum phase phase)
{
	h->phase = (uint8_t)phase;
	return phase == BAD ? HTTP_BAD : HTTP_MORE;
}

/* The lines of one section begin: so many bytes of them at most. */
static enum http_event turn_to_lines(struct http *h, enum phase phase, size_t room)
{
	h->room = room;
	h->fields = 0;
	return turn(h, phase);
}

void http_init(struct http *h, enum head_kind kind)
{
	*h = (struct http){ .head.kind = kind };
}

void http_fini(struct http *h)
{
	queue_fini(&h->partial);
	h->line = (struct span){ 0 };
	turn(h, BAD);
}

/* --- lines --------------------------------------------------------------------- */

enum line {
	LINE_PARTIAL,
	LINE_WHOLE,
	LINE_BAD,
};

/* How many bytes of the input a line may have at most. */
static size_t line_reach(const struct http *h, const struct reader *in)
{
	size_t most = h->room < HTTP_LINE_MAX ? h->room : HTTP_LINE_MAX;

	most -= queue_len(&h->partial);
	return in->left < most ? in->left : most;
}

/* Takes the line, LF included, or what there is of it. The line lives until
 * drop_line(). */
static enum line take_line(struct http *h, struct reader *in, struct span *line)
{
	size_t had = queue_len(&h->partial), n = line_reach(h, in);
	const uint8_t *lf = n ? memchr(in->at, '\n', n) : NULL;
	const uint8_t *at;

	if (!in->left)
		return LINE_PARTIAL;
	if (lf)
		n = (size_t)(lf - in->at) + 1;
	at = reader_bytes(in, n);
	h->size += n;
	if (!at || ((had || !lf) && queue_append(&h->partial, at, n) < 0))
		return LINE_BAD;
	if (!lf)
		return had + n == HTTP_LINE_MAX || had + n == h->room ? LINE_BAD : LINE_PARTIAL;
	*line = had ? (struct span){ queue_data(&h->partial), had + n } : (struct span){ at, n };
	h->room -= line->len;
	return LINE_WHOLE;
}

static void drop_line(struct http *h)
{
	queue_fini(&h->partial);
}

/* Without its line end. */
static struct span bare(struct span line)
{
	line.len--;
	if (line.len && line.at[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* --- the head ------------------------------------------------------------------ */

static enum http_event on_idle(struct http *h, struct reader *in)
{
	if (!in->left)
		return HTTP_MORE;
	h->size = 0;
	if (*in->at == '\r' || *in->at == '\n')
		return turn(h, reader_u8(in) == '\r' ? IDLE_LF : IDLE);
	head_init(&h->head, h->head.kind);
	return turn_to_lines(h, START, HTTP_HEAD_MAX);
}

static enum http_event on_idle_lf(struct http *h, struct reader *in)
{
	if (!in->left)
		return HTTP_MORE;
	return turn(h, reader_u8(in) == '\n' ? IDLE : BAD);
}

static enum http_event on_start(struct http *h, struct reader *in)
{
	size_t reach = line_reach(h, in);
	size_t good = head_start(&h->head, in->at, reach);

	if (good < reach && !head_is_started(&h->head)) {
		reader_bytes(in, good + 1);
		h->size += good + 1;
		return turn(h, BAD);
	}
	switch (take_line(h, in, &h->line)) {
	case LINE_PARTIAL:
		return HTTP_MORE;
	case LINE_WHOLE:
		turn(h, FIELDS);
		return HTTP_START;
	case LINE_BAD:
		break;
	}
	return turn(h, BAD);
}

/* RFC 9112, 6.3, but for what depends on the request. */
static enum phase body_of(const struct head *head)
{
	bool response = head->kind == HEAD_RESPONSE;

	if (head->coding != HEAD_CODING_NONE && head->has_length)
		return BAD;
	if (response && (head->status < 200 || head->status == 204 || head->status == 304))
		return END;
	if (head->coding == HEAD_CODING_CHUNKED)
		return CHUNK_SIZE;
	if (head->coding == HEAD_CODING_OTHER)
		return response ? TAIL : BAD;
	if (head->has_length)
		return BODY;
	return response ? TAIL : END;
}

static enum http_event on_head_end(struct http *h)
{
	h->left = h->head.length;
	/* The room is a chunk size's, should that come next. */
	return turn_to_lines(h, body_of(&h->head), HTTP_LINE_MAX) == HTTP_BAD ? HTTP_BAD
									       : HTTP_HEAD;
}

static enum http_event on_section(struct http *h, struct reader *in,
	bool (*field)(struct head *, struct span), enum http_event (*end)(struct http *))
{
	struct span line;
	enum line got = take_line(h, in, &line);
	bool fits;

	if (got == LINE_PARTIAL)
		return HTTP_MORE;
	if (got == LINE_BAD)
		return turn(h, BAD);
	line = bare(line);
	if (!line.len) {
		drop_line(h);
		return end(h);
	}
	fits = h->fields++ < HTTP_FIELDS_MAX && field(&h->head, line);
	drop_line(h);
	return fits ? HTTP_MORE : turn(h, BAD);
}

static enum http_event on_fields(struct http *h, struct reader *in)
{
	return on_section(h, in, head_field, on_head_end);
}

/* --- the body ------------------------------------------------------------------ */

static void skip(struct http *h, struct reader *in, uint64_t most)
{
	size_t n = in->left < most ? in->left : (size_t)most;

	reader_bytes(in, n);
	h->size += n;
}

static enum http_event on_end(struct http *h, struct reader *in)
{
	(void)in;
	turn(h, IDLE);
	return HTTP_END;
}

static enum http_event on_trailers_end(struct http *h)
{
	return on_end(h, NULL);
}

static enum http_event on_trailers(struct http *h, struct reader *in)
{
	return on_section(h, in, head_trailer, on_trailers_end);
}

static enum http_event on_body(struct http *h, struct reader *in)
{
	size_t before = in->left;

	skip(h, in, h->left);
	h->left -= before - in->left;
	if (h->left)
		return HTTP_MORE;
	return h->head.coding == HEAD_CODING_CHUNKED ? turn(h, CHUNK_CR) : on_end(h, in);
}

static unsigned hex_of(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

/* chunk-size [ BWS ";" anything ] CRLF (RFC 9112, 7.1). */
static bool parse_chunk_size(struct span line, uint64_t *out)
{
	uint64_t v = 0;
	size_t n = 0;

	if (line.len < 3 || line.at[line.len - 2] != '\r')
		return false;
	line.len -= 2;
	for (; n < line.len && hex_of(line.at[n]) < 16; n++) {
		if (v > UINT64_MAX >> 4)
			return false;
		v = v << 4 | hex_of(line.at[n]);
	}
	if (n == 0 || memchr(line.at, '\r', line.len) || memchr(line.at, 0, line.len))
		return false;
	while (n < line.len && (line.at[n] == ' ' || line.at[n] == '\t'))
		n++;
	*out = v;
	return n == line.len || line.at[n] == ';';
}

static enum http_event on_chunk_size(struct http *h, struct reader *in)
{
	struct span line;
	enum line got = take_line(h, in, &line);
	bool fits;

	if (got == LINE_PARTIAL)
		return HTTP_MORE;
	fits = got == LINE_WHOLE && parse_chunk_size(line, &h->left);
	drop_line(h);
	if (!fits)
		return turn(h, BAD);
	if (h->left)
		return turn(h, BODY);
	h->head.has_field = false;
	return turn_to_lines(h, TRAILERS, HTTP_HEAD_MAX);
}

static enum http_event on_chunk_cr(struct http *h, struct reader *in)
{
	if (!in->left)
		return HTTP_MORE;
	h->size++;
	return turn(h, reader_u8(in) == '\r' ? CHUNK_LF : BAD);
}

static enum http_event on_chunk_lf(struct http *h, struct reader *in)
{
	if (!in->left)
		return HTTP_MORE;
	h->size++;
	if (reader_u8(in) != '\n')
		return turn(h, BAD);
	return turn_to_lines(h, CHUNK_SIZE, HTTP_LINE_MAX);
}

static enum http_event on_tail(struct http *h, struct reader *in)
{
	skip(h, in, UINT64_MAX);
	return HTTP_MORE;
}

static enum http_event on_bad(struct http *h, struct reader *in)
{
	(void)h;
	(void)in;
	return HTTP_BAD;
}

static enum http_event (*const steps[])(struct http *, struct reader *) = {
	[IDLE] = on_idle,
	[IDLE_LF] = on_idle_lf,
	[START] = on_start,
	[FIELDS] = on_fields,
	[BODY] = on_body,
	[CHUNK_SIZE] = on_chunk_size,
	[CHUNK_CR] = on_chunk_cr,
	[CHUNK_LF] = on_chunk_lf,
	[TRAILERS] = on_trailers,
	[TAIL] = on_tail,
	[END] = on_end,
	[BAD] = on_bad,
};

enum http_event http_next(struct http *h, struct reader *in)
{
	enum http_event event;

	if (h->line.at) {
		h->line = (struct span){ 0 };
		drop_line(h);
	}
	do
		event = steps[h->phase](h, in);
	while (event == HTTP_MORE && in->left);
	if (event == HTTP_BAD)
		drop_line(h);
	return event;
}

enum http_event http_finish(struct http *h)
{
	if (h->phase == TAIL)
		return on_end(h, NULL);
	if (http_is_idle(h))
		return HTTP_MORE;
	http_fini(h);
	return HTTP_BAD;
}

void http_skip_body(struct http *h)
{
	turn(h, END);
}

struct span http_method(const struct http *h)
{
	return (struct span){ h->line.at, h->head.method_len };
}

struct span http_target(const struct http *h)
{
	return (struct span){ h->line.at + h->head.method_len + 1, h->head.target_len };
}

bool http_is_idle(const struct http *h)
{
	return h->phase == IDLE || h->phase == IDLE_LF;
}

size_t http_memory(const struct http *h)
{
	return h->partial.cap;
}
