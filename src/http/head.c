#include "http/head.h"

#include <string.h>
#include <strings.h>

/* Where in the start line the next byte falls. */
enum step {
	METHOD,
	TARGET,
	VERSION,	/* "HTTP/1." and the minor number */
	SPACE,		/* of a status line, before the code */
	CODE,
	AFTER_CODE,
	REASON,
	CARRIAGE,	/* CR or LF */
	LINE_FEED,
	STARTED,	/* the LF was the last */
};

static const char protocol[] = "HTTP/1.";

/* tchar of RFC 9110, 5.6.2: a bit a byte. */
static const uint32_t tokens[8] = { 0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff };

static bool is_token(uint8_t c)
{
	return tokens[c / 32] >> (c % 32) & 1;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* What a field value and a reason phrase are made of: no control but HTAB. */
static bool is_text(uint8_t c)
{
	return (c >= ' ' && c != 0x7f) || c == '\t';
}

/* More than RFC 3986 allows: raw UTF-8 is common, and services answer control
 * characters, too. Whoever shows a target escapes it. */
static bool is_target(uint8_t c)
{
	return c != ' ' && c != '\r' && c != '\n' && c != '\t' && c != '\0';
}

void head_init(struct head *h, enum head_kind kind)
{
	*h = (struct head){ .kind = kind, .step = kind == HEAD_REQUEST ? METHOD : VERSION };
}

/* --- the start line ------------------------------------------------------------ */

static bool turn(struct head *h, enum step step)
{
	h->step = (uint8_t)step;
	h->matched = 0;
	return true;
}

static bool on_word(struct head *h, uint8_t c, bool fits, size_t *len, enum step next)
{
	if (c == ' ' && *len)
		return turn(h, next);
	*len += fits;
	return fits;
}

static bool on_version(struct head *h, uint8_t c)
{
	if (h->matched < sizeof protocol - 1)
		return c == (uint8_t)protocol[h->matched++];
	h->version = 10 + (unsigned)(c - '0');
	return (c == '0' || c == '1') && turn(h, h->kind == HEAD_REQUEST ? CARRIAGE : SPACE);
}

static bool on_code(struct head *h, uint8_t c)
{
	/* Below 100 there is nothing; 600 and more are taken as they are. */
	if (!is_digit(c) || (c == '0' && h->matched == 0))
		return false;
	h->status = h->status * 10 + (unsigned)(c - '0');
	if (++h->matched == 3)
		turn(h, AFTER_CODE);
	return true;
}

static bool on_line_end(struct head *h, uint8_t c)
{
	if (c == '\r')
		return turn(h, LINE_FEED);
	return c == '\n' && turn(h, STARTED);
}

static bool on_byte(struct head *h, uint8_t c)
{
	switch ((enum step)h->step) {
	case METHOD:
		return on_word(h, c, is_token(c), &h->method_len, TARGET);
	case TARGET:
		return on_word(h, c, is_target(c), &h->target_len, VERSION);
	case VERSION:
		return on_version(h, c);
	case SPACE:
		return c == ' ' && turn(h, CODE);
	case CODE:
		return on_code(h, c);
	case AFTER_CODE:
		return c == ' ' ? turn(h, REASON) : on_line_end(h, c);
	case REASON:
		return is_text(c) || on_line_end(h, c);
	case CARRIAGE:
		return on_line_end(h, c);
	case LINE_FEED:
		return c == '\n' && turn(h, STARTED);
	case STARTED:
		break;
	}
	return false;
}

size_t head_start(struct head *h, const uint8_t *bytes, size_t len)
{
	size_t n = 0;

	while (n < len && on_byte(h, bytes[n]))
		n++;
	return n;
}

bool head_is_started(const struct head *h)
{
	return h->step == STARTED;
}

/* --- fields -------------------------------------------------------------------- */

static struct span trim(struct span s)
{
	while (s.len && is_space(s.at[0])) {
		s.at++;
		s.len--;
	}
	while (s.len && is_space(s.at[s.len - 1]))
		s.len--;
	return s;
}

/* Cuts the next element off a list of values, commas between them (RFC 9110,
 * 5.6.1). An empty one is the caller's to refuse. */
static struct span next_element(struct span *list)
{
	const uint8_t *comma = memchr(list->at, ',', list->len);
	struct span element = { list->at, comma ? (size_t)(comma - list->at) : list->len };
	size_t taken = element.len + (comma != NULL);

	list->at += taken;
	list->len -= taken;
	/* What ends in a comma has an empty element behind it. */
	if (comma && !list->len)
		return (struct span){ element.at, 0 };
	return trim(element);
}

static bool is_word(struct span s, const char *word)
{
	return s.len == strlen(word) && strncasecmp((const char *)s.at, word, s.len) == 0;
}

static bool parse_length(struct span s, uint64_t *out)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s.len; i++) {
		unsigned digit = (unsigned)(s.at[i] - '0');

		if (!is_digit(s.at[i]) || v > (UINT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*out = v;
	return s.len > 0;
}

static bool on_content_length(struct head *h, struct span value)
{
	do {
		uint64_t length;

		if (!parse_length(next_element(&value), &length))
			return false;
		if (h->has_length && h->length != length)
			return false;
		h->length = length;
		h->has_length = true;
	} while (value.len);
	return true;
}

static bool on_transfer_encoding(struct head *h, struct span value)
{
	do {
		struct span coding = next_element(&value);

		if (!coding.len || h->coding == HEAD_CODING_CHUNKED)
			return false;
		for (size_t i = 0; i < coding.len; i++)
			if (!is_token(coding.at[i]))
				return false;
		h->coding = is_word(coding, "chunked") ? HEAD_CODING_CHUNKED : HEAD_CODING_OTHER;
	} while (value.len);
	return true;
}

static const struct {
	const char *name;
	bool (*handle)(struct head *, struct span value);
} framing[] = {
	{ "content-length", on_content_length },
	{ "transfer-encoding", on_transfer_encoding },
};

/* Splits NAME ":" OWS VALUE OWS. */
static bool split(struct span line, struct span *name, struct span *value)
{
	size_t n = 0;

	while (n < line.len && is_token(line.at[n]))
		n++;
	if (n == 0 || n == line.len || line.at[n] != ':')
		return false;
	*name = (struct span){ line.at, n };
	*value = (struct span){ line.at + n + 1, line.len - n - 1 };
	for (size_t i = 0; i < value->len; i++)
		if (!is_text(value->at[i]))
			return false;
	*value = trim(*value);
	return true;
}

static bool continues(const struct head *h, struct span line)
{
	for (size_t i = 0; i < line.len; i++)
		if (!is_text(line.at[i]))
			return false;
	return h->has_field;
}

bool head_field(struct head *h, struct span line)
{
	struct span name, value;

	if (is_space(line.at[0]))
		return continues(h, line);
	if (!split(line, &name, &value))
		return false;
	for (size_t i = 0; i < sizeof framing / sizeof framing[0]; i++) {
		if (!is_word(name, framing[i].name))
			continue;
		h->has_field = false;
		return framing[i].handle(h, value);
	}
	h->has_field = true;
	return true;
}

bool head_trailer(struct head *h, struct span line)
{
	struct head fields = { .has_field = h->has_field };

	if (!head_field(&fields, line) || !fields.has_field)
		return false;
	h->has_field = true;
	return true;
}
