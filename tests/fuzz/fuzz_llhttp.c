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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static int on_begin(llhttp_t *p)
{
	struct side *s = p->data;

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

/* The input as far as llhttp read it. */
static bool has_lone_lf(const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (data[i] == '\n' && (i == 0 || data[i - 1] != '\r'))
			return true;
	return false;
}

static bool always(const uint8_t *data, size_t len)
{
	(void)data;
	(void)len;
	return true;
}

static bool ends_in_comma_or_tab(const uint8_t *data, size_t len)
{
	return len && (data[len - 1] == ',' || data[len - 1] == '\t');
}

/* In the last line there is white space or an extension. */
static bool is_behind_size(const uint8_t *data, size_t len)
{
	while (len && data[len - 1] != '\n')
		if (data[--len] == ';' || data[len] == ' ' || data[len] == '\t')
			return true;
	return false;
}

static bool has_pri(const uint8_t *data, size_t len)
{
	for (size_t i = 4; i <= len; i++)
		if (!memcmp(data + i - 4, "PRI ", 4))
			return true;
	return false;
}

static const struct {
	llhttp_errno_t error;
	const char *reason;	/* how it begins */
	bool (*applies)(const uint8_t *data, size_t len);
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
	{ HPE_UNEXPECTED_CONTENT_LENGTH, "Duplicate Content-Length", always },
	/* White space around a value may be HTAB too (RFC 9110, 5.6.3). */
	{ HPE_INVALID_CONTENT_LENGTH, "Invalid character", ends_in_comma_or_tab },
	/* Extensions of chunks are passed over, white space behind the size and
	 * around them (RFC 9112, 7.1.1) too; llhttp wants no second one behind an
	 * unquoted value. */
	{ HPE_INVALID_CHUNK_SIZE, "Invalid character", is_behind_size },
	{ HPE_STRICT, "Invalid character in chunk extensions", always },
};

static bool may_err(const llhttp_t *p, llhttp_errno_t error, const uint8_t *data, size_t len)
{
	const char *reason = llhttp_get_error_reason(p);

	for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++)
		if (exceptions[i].error == error &&
			!strncmp(reason, exceptions[i].reason, strlen(exceptions[i].reason)) &&
			exceptions[i].applies(data, len))
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
	const uint8_t *data)
{
	size_t common = ours->count < theirs->count ? ours->count : theirs->count;

	for (size_t i = 0; i < common && i < EVENTS_MAX; i++)
		if (!equal(&ours->events[i], &theirs->events[i]))
			differ("different", ours, theirs, p);
	if (theirs->count > ours->count && !ours->bad)
		differ("ours missed one", ours, theirs, p);
	if (ours->count > theirs->count && !(theirs->bad && may_err(p, theirs->error, data, theirs->at)))
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
	compare(&ours, &theirs, &p, input);
	return 0;
}
