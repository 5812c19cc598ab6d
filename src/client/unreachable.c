#include "client/unreachable.h"

#include <stdio.h>
#include <string.h>

#include "http/exchange.h"

static void ignore(void *owner, const struct exchange_info *info)
{
	(void)owner;
	(void)info;
}

enum unreachable_visitor unreachable_judge(const uint8_t *data, size_t len)
{
	static const struct exchange_ops ops = { .on_answer = ignore, .on_done = ignore };
	struct exchange *x = exchange_new(&ops, NULL);
	enum exchange_kind kind;

	if (!x)
		return UNREACHABLE_OTHER;
	exchange_request(x, data, len, 0);
	kind = exchange_kind(x);
	exchange_free(x);
	if (kind == EXCHANGE_UNKNOWN)
		return UNREACHABLE_WAIT;
	return kind == EXCHANGE_HTTP1 ? UNREACHABLE_HTTP : UNREACHABLE_OTHER;
}

static const char *error_name(enum code code)
{
	switch (code) {
	case CODE_DIAL_REFUSED:
		return "dial_refused";
	case CODE_DIAL_TIMEOUT:
		return "dial_timeout";
	default:
		return "dial_unavailable";
	}
}

size_t unreachable_answer(const uint8_t *data, size_t len, const char *target, const char *why,
	enum code code, char *out)
{
	static const char head[] = "HEAD ";
	char body[UNREACHABLE_MAX / 2];
	bool is_head;
	int n;

	while (len && (*data == '\r' || *data == '\n')) {
		data++;
		len--;
	}
	is_head = len >= sizeof head - 1 && memcmp(data, head, sizeof head - 1) == 0;
	n = snprintf(body, sizeof body, "502 Bad Gateway\n\ngotunnel is here, but the service behind it "
		"is not: %.260s: %.100s\n", target, why);
	return (size_t)snprintf(out, UNREACHABLE_MAX,
		"HTTP/1.1 502 Bad Gateway\r\n"
		"Content-Type: text/plain; charset=utf-8\r\n"
		"Content-Length: %d\r\n"
		"Cache-Control: no-store\r\n"
		"Gotunnel-Error: %s\r\n"
		"Connection: close\r\n"
		"\r\n"
		"%s", n, error_name(code), is_head ? "" : body);
}
