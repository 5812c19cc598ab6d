#include "admin/request.h"

#include <string.h>
#include <strings.h>

bool request_is(const struct request_text *t, const char *word)
{
	return t->at && strlen(word) == t->len && memcmp(t->at, word, t->len) == 0;
}

static bool is_word(const struct request_text *t, const char *word)
{
	return strlen(word) == t->len && strncasecmp(t->at, word, t->len) == 0;
}

/* tchar of RFC 9110, 5.6.2. */
static bool is_token(const struct request_text *t)
{
	static const char marks[] = "!#$%&'*+-.^_`|~";

	for (size_t i = 0; i < t->len; i++) {
		char c = t->at[i];
		bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			(c >= 'A' && c <= 'Z') || memchr(marks, c, sizeof marks - 1);

		if (!plain)
			return false;
	}
	return t->len > 0;
}

static bool is_visible(const struct request_text *t)
{
	for (size_t i = 0; i < t->len; i++)
		if (t->at[i] <= 0x20 || t->at[i] >= 0x7f)
			return false;
	return t->len > 0;
}

/* Takes what stands before the mark off the front of t, and the mark; all of
 * it when there is no mark. */
static struct request_text cut(struct request_text *t, char mark)
{
	const char *end = t->len ? memchr(t->at, mark, t->len) : NULL;
	struct request_text part = { t->at, end ? (size_t)(end - t->at) : t->len };
	size_t taken = part.len + (end ? 1 : 0);

	t->at += taken;
	t->len -= taken;
	return part;
}

static void trim(struct request_text *t)
{
	while (t->len && (*t->at == ' ' || *t->at == '\t')) {
		t->at++;
		t->len--;
	}
	while (t->len && (t->at[t->len - 1] == ' ' || t->at[t->len - 1] == '\t'))
		t->len--;
}

/* --- the first line ------------------------------------------------------------ */

/* "/path?query" or "http://host/path?query"; 0 or the status. */
static unsigned take_target(struct request *r, struct request_text target)
{
	static const char scheme[] = "http://";
	size_t len = sizeof scheme - 1;

	if (!is_visible(&target))
		return 400;
	if (r->method == REQUEST_OTHER)
		return 0; /* It is refused whatever it is about. */
	if (target.len > len && strncasecmp(target.at, scheme, len) == 0) {
		struct request_text rest = { target.at + len, target.len - len };

		r->host = rest;
		r->host.len = 0;
		while (r->host.len < rest.len && !strchr("/?#", rest.at[r->host.len]))
			r->host.len++;
		target.at = rest.at + r->host.len;
		target.len = rest.len - r->host.len;
	}
	if (!target.len || *target.at != '/' || memchr(target.at, '#', target.len))
		return 400;
	r->path = cut(&target, '?');
	return 0;
}

static unsigned take_first(struct request *r, struct request_text line)
{
	struct request_text method = cut(&line, ' '), target = cut(&line, ' ');

	if (!is_token(&method))
		return 400;
	r->method = request_is(&method, "GET") ? REQUEST_GET :
		request_is(&method, "HEAD") ? REQUEST_HEAD : REQUEST_OTHER;
	if (line.len != 8 || memcmp(line.at, "HTTP/", 5) != 0 || line.at[6] != '.' ||
		line.at[5] < '0' || line.at[5] > '9' || line.at[7] < '0' || line.at[7] > '9')
		return 400;
	if (line.at[5] != '1')
		return 505;
	r->is_old = line.at[7] == '0';
	r->keep_alive = !r->is_old;
	return take_target(r, target);
}

/* --- fields --------------------------------------------------------------------- */

static unsigned take_host(struct request *r, struct request_text value)
{
	if (r->has_field_host || (value.len && !is_visible(&value)))
		return 400;
	r->has_field_host = true;
	if (!r->host.at)
		r->host = value;
	return 0;
}

static unsigned take_origin(struct request *r, struct request_text value)
{
	/* With a body comes a list; a browser sends one. */
	if (r->origin.at || !is_visible(&value))
		return 400;
	r->origin = value;
	return 0;
}

static unsigned take_length(struct request *r, struct request_text value)
{
	bool is_zero = value.len > 0;

	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return 400;
		is_zero = is_zero && value.at[i] == '0';
	}
	if (!value.len || r->has_length)
		return 400;
	r->has_length = true;
	return is_zero ? 0 : 413;
}

static unsigned take_encoding(struct request *r, struct request_text value)
{
	(void)value;
	return r->has_length ? 400 : 413;
}

static unsigned take_connection(struct request *r, struct request_text value)
{
	while (value.len) {
		struct request_text word = cut(&value, ',');

		trim(&word);
		if (is_word(&word, "close"))
			r->keep_alive = false;
		else if (is_word(&word, "keep-alive") && r->is_old)
			r->keep_alive = true;
	}
	return 0;
}

static const struct {
	const char *name;
	unsigned (*take)(struct request *r, struct request_text value);
} fields[] = {
	{ "Host", take_host },
	{ "Origin", take_origin },
	{ "Content-Length", take_length },
	{ "Transfer-Encoding", take_encoding },
	{ "Connection", take_connection },
};

static unsigned take_field(struct request *r, struct request_text line)
{
	struct request_text name = cut(&line, ':');

	/* A line without a colon, a folded one, a space before the colon. */
	if (line.at == name.at + name.len || !is_token(&name))
		return 400;
	for (size_t i = 0; i < line.len; i++)
		if (((unsigned char)line.at[i] < 0x20 && line.at[i] != '\t') || line.at[i] == 0x7f)
			return 400;
	trim(&line);
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
		if (is_word(&name, fields[i].name))
			return fields[i].take(r, line);
	return 0;
}

/* --- the whole --------------------------------------------------------------------- */

/* The head is there from r->begin to end, the empty line included. */
static unsigned take_head(struct request *r, const char *data, size_t end)
{
	struct request_text rest = { data + r->begin, end - r->begin - 2 }, line;
	unsigned status, count = 0, later = 0;

	line = cut(&rest, '\n');
	line.len--;
	status = take_first(r, line);
	while (!status && rest.len) {
		line = cut(&rest, '\n');
		line.len--;
		status = ++count > REQUEST_FIELDS_MAX ? 400 : take_field(r, line);
		/* A body is refused as one only where all else is right. */
		if (status == 413) {
			later = status;
			status = 0;
		}
	}
	return status ? status : later;
}

enum request_result request_parse(struct request *r, const char *data, size_t len,
	unsigned *status)
{
	const char *lf;

	while (r->line < len && (lf = memchr(data + r->line, '\n', len - r->line))) {
		size_t end = (size_t)(lf - data), line_len = end - r->line;
		unsigned bad = line_len == 0 || lf[-1] != '\r' ? 400 : 0;

		if (!bad && line_len == 1 && r->has_line) {
			bad = take_head(r, data, end + 1);
			r->len = end + 1;
			if (!bad)
				return REQUEST_WHOLE;
		}
		if (bad) {
			*status = bad;
			return REQUEST_BAD;
		}
		/* Empty lines before the first one are skipped (RFC 9112, 2.2). */
		r->has_line = r->has_line || line_len > 1;
		r->line = end + 1;
		if (!r->has_line)
			r->begin = r->line;
	}
	return REQUEST_MORE;
}
