/*
 * Ours against llhttp (Debian's node-llhttp, built strict), an independent
 * parser of HTTP/1. The first byte of the input says
 *
 *	1  these are responses
 *	2  all of them to HEAD
 *	4  a head that says chunked comes before the input
 *
 * and the second how ours gets the input; llhttp gets it byte by byte, which
 * tells where each head and each message ends. Both must tell the same, until
 *  - ours gives up: it may be stricter, and give up earlier;
 *  - llhttp errs, for a reason in exceptions[].
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A method there, an event here. */
#define HTTP_HEAD LLHTTP_HEAD
#include <llhttp.h>
#undef HTTP_HEAD

#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { EVENTS_MAX = 512, WORD_MAX = 64, INPUT_MAX = 1 << 16 };

struct event {
	char what;		/* 'H' a head is whole, 'E' a message */
	size_t at;		/* bytes before */
	unsigned version, status;
	char method[WORD_MAX];	/* its beginning */
};

struct side {
	struct event events[EVENTS_MAX];
	size_t count;
	size_t at;		/* bytes before */
	bool to_head;		/* all responses are to HEAD */
	bool bad;
	llhttp_errno_t error;	/* llhttp's */
	struct event current;
};

static void add(struct side *s, char what)
{
	s->current.what = what;
	s->current.at = s->at;
	if (s->count < EVENTS_MAX)
		s->events[s->count] = s->current;
	s->count++;
}

/* --- ours ---------------------------------------------------------------------- */

static void on_start(struct side *s, const struct http *h)
{
	s->current = (struct event){ .version = h->head.version, .status = h->head.status };
	if (h->head.kind == HEAD_REQUEST) {
		struct span method = http_method(h);

		memcpy(s->current.method, method.at,
			method.len < WORD_MAX - 1 ? method.len : WORD_MAX - 1);
	}
}

static void read_portion(struct http *h, struct side *s, const uint8_t *data, size_t len)
{
	struct reader in = reader_of(data, len);
	size_t before = s->at;
	enum http_event event;

	while ((event = http_next(h, &in)) != HTTP_MORE && event != HTTP_BAD) {
		s->at = before + len - in.left;
		if (event == HTTP_START)
			on_start(s, h);
		else
			add(s, event == HTTP_HEAD ? 'H' : 'E');
		if (event == HTTP_HEAD && (s->to_head || !strcmp(s->current.method, "CONNECT")))
			http_skip_body(h);
	}
	s->bad = event == HTTP_BAD;
	s->at = before + len;
}

static void run_ours(struct side *s, enum head_kind kind, const uint8_t *data, size_t size,
	unsigned seed)
{
	unsigned draw = seed;
	struct http h;

	http_init(&h, kind);
	for (size_t at = 0, n; at < size && !s->bad; at += n) {
		draw = draw * 1103515245 + 12345;
		n = seed ? 1 + (draw >> 16) % (seed % 64 + 1) : size;
		n = size - at < n ? size - at : n;
		read_portion(&h, s, data + at, n);
	}
	if (!s->bad && http_finish(&h) == HTTP_END)
		add(s, 'E');
	http_fini(&h);
}

/* --- llhttp -------------------------------------------------------------------- */

/* llhttp leaves the length of a response that has no body by its status, and adds
 * the digits of the next one to it. */
static int on_begin(llhttp_t *p)
{
	struct side *s = p->data;

	p->content_length = 0;
	s->current = (struct event){ 0 };
	return 0;
}

static int on_method(llhttp_t *p, const char *at, size_t len)
{
	struct side *s = p->data;
	size_t have = strlen(s->current.method);

	for (size_t i = 0; i < len && have < WORD_MAX - 1; i++)
		s->current.method[have++] = at[i];
	return 0;
}

static int on_head(llhttp_t *p)
{
	struct side *s = p->data;

	s->current.version = p->http_major * 10u + p->http_minor;
	s->current.status = p->type == HTTP_RESPONSE ? p->status_code : 0;
	add(s, 'H');
	/* llhttp asks its user which responses have no body. */
	return p->type == HTTP_RESPONSE &&
		(s->to_head || p->status_code / 100 == 1 || p->status_code == 204 ||
			p->status_code == 304);
}

static int on_message(llhttp_t *p)
{
	add(p->data, 'E');
	return 0;
}

static void run_llhttp(llhttp_t *p, struct side *s, const uint8_t *data, size_t size)
{
	while (s->at < size) {
		const char *at = (const char *)data + s->at;
		llhttp_errno_t e;

		s->at++;
		e = llhttp_execute(p, at, 1);
		if (e == HPE_PAUSED_UPGRADE) {
			/* What follows an upgrade is read on here: whether it was
			 * accepted is not the parser's to know. */
			s->at -= llhttp_get_error_pos(p) == at;
			llhttp_resume_after_upgrade(p);
		} else if (e != HPE_OK) {
			s->error = e;
			break;
		}
	}
	if (!s->error)
		s->error = llhttp_finish(p);
	s->bad = s->error != HPE_OK;
}

/* --- where they may differ ------------------------------------------------------ */

/* Where llhttp erred. */
struct place {
	const uint8_t *data;
	size_t size;
	size_t message;		/* where the message begins */
	size_t at;		/* bytes read */
};

static bool always(const struct place *p)
{
	(void)p;
	return true;
}

static bool has_lone_lf(const struct place *p)
{
	for (size_t i = 0; i < p->at; i++)
		if (p->data[i] == '\n' && (i == 0 || p->data[i - 1] != '\r'))
			return true;
	return false;
}

/* In the last line there is white space or an extension. */
static bool is_behind_size(const struct place *p)
{
	for (size_t i = p->at; i && p->data[i - 1] != '\n'; i--)
		if (memchr("; \t", p->data[i - 1], 3))
			return true;
	return false;
}

static bool has_pri(const struct place *p)
{
	for (size_t i = 4; i <= p->at; i++)
		if (!memcmp(p->data + i - 4, "PRI ", 4))
			return true;
	return false;
}

/* The numbers of a line's value, if it is a Content-Length, are *length. */
static bool agrees(const uint8_t *line, size_t len, unsigned long long *length)
{
	static const char name[] = "content-length:";
	char value[256] = "", *at = value;
	size_t n = sizeof name - 1;

	if (len < n || len - n >= sizeof value || strncasecmp((const char *)line, name, n) != 0)
		return true;
	memcpy(value, line + n, len - n);
	for (at += strspn(at, ", \t\r\n"); *at; at += strspn(at, ", \t\r\n")) {
		unsigned long long v = strtoull(at, &at, 10);

		if (*length != ULLONG_MAX && *length != v)
			return false;
		*length = v;
		if (!strchr(", \t\r\n", *at))
			return false;
	}
	return true;
}

/* All that the head says of its length, the line llhttp stopped in included. */
static bool lengths_agree(const struct place *p)
{
	unsigned long long length = ULLONG_MAX;

	for (size_t i = p->message; i < p->at;) {
		const uint8_t *lf = memchr(p->data + i, '\n', p->size - i);
		size_t end = lf ? (size_t)(lf - p->data) + 1 : p->size;

		if (!agrees(p->data + i, end - i, &length))
			return false;
		i = end;
	}
	return true;
}

static const struct {
	llhttp_errno_t error;
	const char *reason;	/* how it begins */
	bool (*applies)(const struct place *p);
} exceptions[] = {
	/* A method may be any token (RFC 9110, 9.1); llhttp has a list, on which
	 * PRI is HTTP/2's, and takes some of them for RTSP alone. */
	{ HPE_INVALID_METHOD, "", always },
	{ HPE_INVALID_CONSTANT, "Invalid method for HTTP/x.x request", always },
	{ HPE_INVALID_VERSION, "Expected HTTP/2 Connection Preface", always },
	{ HPE_INVALID_EOF_STATE, "", has_pri },
	{ HPE_PAUSED_H2_UPGRADE, "", has_pri },
	/* Ours takes any visible byte and raw UTF-8; whether the service minds is
	 * seen by its answer. */
	{ HPE_INVALID_URL, "", always },
	/* RFC 9112, 2.2: a recipient may take a lone LF. llhttp does at the end of
	 * some lines only. */
	{ HPE_INVALID_HEADER_TOKEN, "", has_lone_lf },
	{ HPE_STRICT, "Expected LF after", has_lone_lf },
	{ HPE_INVALID_VERSION, "", has_lone_lf },
	/* RFC 9112, 6.3: equal lengths, in lines or in a list, are one. */
	{ HPE_UNEXPECTED_CONTENT_LENGTH, "Duplicate Content-Length", lengths_agree },
	/* And white space around a value may be HTAB too (RFC 9110, 5.6.3). */
	{ HPE_INVALID_CONTENT_LENGTH, "Invalid character", lengths_agree },
	/* Extensions of chunks are passed over, white space behind the size and
	 * around them (RFC 9112, 7.1.1) too; llhttp wants no second one behind an
	 * unquoted value. */
	{ HPE_INVALID_CHUNK_SIZE, "Invalid character", is_behind_size },
	{ HPE_STRICT, "Invalid character in chunk extensions", always },
};

static bool may_err(const llhttp_t *p, const struct side *theirs, const uint8_t *data, size_t size)
{
	struct place place = { data, size, 0, theirs->at };
	const char *reason = llhttp_get_error_reason(p);

	for (size_t i = 0; i < theirs->count && i < EVENTS_MAX; i++)
		if (theirs->events[i].what == 'E')
			place.message = theirs->events[i].at;
	for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++)
		if (exceptions[i].error == theirs->error &&
			!strncmp(reason, exceptions[i].reason, strlen(exceptions[i].reason)) &&
			exceptions[i].applies(&place))
			return true;
	return false;
}

/* llhttp knows no HTAB behind "chunked": it takes the value for another coding. */
static bool has_tab_behind_chunked(const uint8_t *data, size_t size)
{
	for (size_t i = 7; i < size; i++)
		if (data[i] == '\t' && !strncasecmp((const char *)data + i - 7, "chunked", 7))
			return true;
	return false;
}

/* --- the comparison -------------------------------------------------------------- */

static void print(const char *name, const struct side *s)
{
	fprintf(stderr, "%s, %s at %zu\n", name, s->bad ? "bad" : "good", s->at);
	for (size_t i = 0; i < s->count && i < EVENTS_MAX; i++)
		fprintf(stderr, "  %c at %zu version %u status %u method %s\n", s->events[i].what,
			s->events[i].at, s->events[i].version, s->events[i].status,
			s->events[i].method);
}

static void differ(const char *how, const struct side *ours, const struct side *theirs,
	const llhttp_t *p)
{
	const char *reason = llhttp_get_error_reason(p);

	fprintf(stderr, "%s; llhttp: %s, %s\n", how, llhttp_errno_name(theirs->error),
		reason ? reason : "");
	print("ours", ours);
	print("llhttp", theirs);
	abort();
}

static bool equal(const struct event *a, const struct event *b)
{
	return a->what == b->what && a->at == b->at && a->version == b->version &&
		a->status == b->status && !strcmp(a->method, b->method);
}

static void compare(const struct side *ours, const struct side *theirs, const llhttp_t *p,
	const uint8_t *data, size_t size)
{
	size_t common = ours->count < theirs->count ? ours->count : theirs->count;

	for (size_t i = 0; i < common && i < EVENTS_MAX; i++)
		if (!equal(&ours->events[i], &theirs->events[i]))
			differ("different", ours, theirs, p);
	if (theirs->count > ours->count && !ours->bad)
		differ("ours missed one", ours, theirs, p);
	if (ours->count > theirs->count && !(theirs->bad && may_err(p, theirs, data, size)))
		differ("ours took what llhttp did not", ours, theirs, p);
}

static const char *chunked_head(enum head_kind kind)
{
	return kind == HEAD_REQUEST ? "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
				    : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct side ours, theirs;
	static uint8_t input[INPUT_MAX];
	const llhttp_settings_t settings = {
		.on_message_begin = on_begin,
		.on_method = on_method,
		.on_headers_complete = on_head,
		.on_message_complete = on_message,
	};
	enum head_kind kind;
	size_t len = 0;
	llhttp_t p;

	if (size < 2 || size > INPUT_MAX / 2)
		return 0;
	kind = data[0] & 1 ? HEAD_RESPONSE : HEAD_REQUEST;
	if (data[0] & 4)
		len = strlen(strcpy((char *)input, chunked_head(kind)));
	memcpy(input + len, data + 2, size - 2);
	len += size - 2;
	if (has_tab_behind_chunked(input, len))
		return 0;

	memset(&ours, 0, sizeof ours);
	memset(&theirs, 0, sizeof theirs);
	ours.to_head = theirs.to_head = kind == HEAD_RESPONSE && data[0] & 2;
	run_ours(&ours, kind, input, len, data[1]);
	llhttp_init(&p, kind == HEAD_REQUEST ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	/* Else it refuses everything behind "Connection: close". */
	llhttp_set_lenient_keep_alive(&p, 1);
	p.data = &theirs;
	run_llhttp(&p, &theirs, input, len);
	compare(&ours, &theirs, &p, input, len);
	return 0;
}
