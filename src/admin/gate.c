#include "admin/gate.h"

#include <string.h>
#include <strings.h>

#include "core/addr.h"
#include "core/text.h"

static bool is_port(const char *text)
{
	uint64_t port;

	return text_uint(text, 0, 65535, &port) == 0;
}

/* "localhost", "127.0.0.1", "[::1]", each with a port or without. */
static bool is_loopback(const struct request_text *t)
{
	char text[80], *host = text, *end;
	struct sockaddr_storage sa;

	if (t->len == 0 || t->len >= sizeof text)
		return false;
	memcpy(text, t->at, t->len);
	text[t->len] = '\0';
	if (*text == '[') {
		host = text + 1;
		end = strchr(host, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		*end++ = '\0';
	} else {
		end = text + strcspn(text, ":");
	}
	if (*end && !is_port(end + 1))
		return false;
	*end = '\0';
	if (host == text && strcasecmp(host, "localhost") == 0)
		return true;
	/* Brackets are for IPv6, and IPv6 has them. */
	return addr_numeric(host, 0, &sa) == 0 && (host != text) == (sa.ss_family == AF_INET6) &&
		addr_is_loopback((struct sockaddr *)&sa);
}

static bool is_own_origin(const struct request_text *t)
{
	static const char scheme[] = "http://";
	size_t len = sizeof scheme - 1;
	struct request_text host = { t->at + len, t->len - len };

	return t->len > len && strncasecmp(t->at, scheme, len) == 0 && is_loopback(&host);
}

unsigned gate_check(const struct request *r, bool is_unix, const char **why)
{
	if (!r->is_old && !r->has_field_host) {
		*why = "Host is missing";
		return 400;
	}
	if (!is_unix && r->host.at && !is_loopback(&r->host)) {
		*why = "Host is not a loopback address";
		return 403;
	}
	if (r->origin.at && (is_unix || !is_own_origin(&r->origin))) {
		*why = "Origin is not a loopback address";
		return 403;
	}
	return 0;
}
