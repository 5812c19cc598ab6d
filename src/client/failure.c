#include "client/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "auth/secret.h"
#include "core/addr.h"
#include "core/text.h"

enum { WHERE_MAX = ADDR_HOST_MAX + 16 };

static void set(struct failure *f, enum retry_cause cause, int exit, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

static void set(struct failure *f, enum retry_cause cause, int exit, const char *format, ...)
{
	va_list args;

	*f = (struct failure){ .cause = cause, .exit = exit };
	va_start(args, format);
	vsnprintf(f->what, sizeof f->what, format, args);
	va_end(args);
}

static void hint(struct failure *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void hint(struct failure *f, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(f->hint, sizeof f->hint, format, args);
	va_end(args);
}

static const char *server(const struct client_config *c, char out[WHERE_MAX])
{
	return addr_join(c->server_host, c->server_port, out, WHERE_MAX);
}

static bool has_no_network(const struct dial_result *r)
{
	return r->gai == UV_EAI_AGAIN || r->error == -ENETUNREACH || r->error == -ENETDOWN;
}

void failure_of_dial(struct failure *f, const struct client_config *c, const struct dial_result *r,
	uint64_t timeout_ms)
{
	enum retry_cause cause = has_no_network(r) ? RETRY_NO_NETWORK : RETRY_UNREACHABLE;
	char why[64], ip[ADDR_TEXT_MAX] = "";

	dial_text(r, timeout_ms, why, sizeof why);
	if (r->addr.ss_family)
		addr_format_ip((const struct sockaddr *)&r->addr, ip, sizeof ip);
	if (r->gai || (r->timed_out && !*ip))
		set(f, cause, 5, "%s: %s", c->server_host, why);
	else if (!*ip || strcmp(ip, c->server_host) == 0)
		set(f, cause, 5, "%s port %u: %s", c->server_host, c->server_port, why);
	else
		set(f, cause, 5, "%s (%s) port %u: %s", c->server_host, ip, c->server_port, why);
	if (!c->server_given)
		hint(f, "no --server given, so localhost:9000 was tried");
	else if (r->timed_out && !*ip)
		hint(f, "is this machine's DNS reachable? an address works without it");
	else if (r->timed_out)
		hint(f, "a firewall or security group drops it: open %u/tcp on the server",
			c->server_port);
	else if (r->error == -ECONNREFUSED)
		hint(f, "nothing listens there; is gotunnel server running?");
	else if (r->gai && r->gai != UV_EAI_AGAIN)
		hint(f, "check the name after --server");
}

static void refused_token(struct failure *f, const struct client_config *c)
{
	static const char only_there[] = "dev-token works only on the server's own machine "
		"(a container's published port does not count)";
	bool is_dev = c->token && strcmp(c->token, SECRET_DEV) == 0;
	char at[WHERE_MAX];

	if (c->token && !is_dev) {
		set(f, RETRY_REFUSED, 4, "%s: the token does not match the server's", server(c, at));
		hint(f, "it came from %s; compare it with the server's token file", c->token_source);
		return;
	}
	if (addr_is_loopback_host(c->server_host))
		set(f, RETRY_REFUSED, 4, "%s%s takes no dev-token", is_dev ? "" :
			"no token given, and ", server(c, at));
	else if (is_dev)
		set(f, RETRY_REFUSED, 4, "%s: %s", server(c, at), only_there);
	else
		set(f, RETRY_REFUSED, 4, "no token given, and %s", only_there);
	hint(f, "try: --token-file FILE or GOTUNNEL_TOKEN");
}

static void not_gotunnel(struct failure *f, const struct client_config *c)
{
	char at[WHERE_MAX];

	set(f, RETRY_UNREACHABLE, 5, "%s answers, but not as a gotunnel server", server(c, at));
	hint(f, "use the control port (default 9000), not a public one");
}

/* The peer, or we for its sake, ended it with a code. */
static bool of_code(struct failure *f, const struct client_config *c, const struct session_end *end)
{
	char at[WHERE_MAX], wait[32];

	switch (end->code) {
	case CODE_AUTH_FAILED:
		refused_token(f, c);
		return true;
	case CODE_ENCRYPTION_REQUIRED:
		set(f, RETRY_USAGE, 3, "%s wants encryption", server(c, at));
		hint(f, "leave out --plaintext");
		return true;
	case CODE_VERSION:
		if (end->kind == SESSION_FAILED)
			return false; /* It never spoke the protocol at all. */
		set(f, RETRY_USAGE, 3, "%s speaks another version of the protocol", server(c, at));
		hint(f, "run the same version of gotunnel on both machines");
		return true;
	case CODE_CALM_DOWN:
		text_elapsed(end->retry_ms, wait, sizeof wait);
		set(f, RETRY_TOLD, 5, "the server asks for %s of patience after failed logins from "
			"this address; waiting", wait);
		f->retry_ms = end->retry_ms;
		return true;
	default:
		return false;
	}
}

void failure_of_end(struct failure *f, const struct client_config *c,
	const struct failure_facts *facts)
{
	const struct session_end *end = facts->end;
	char at[WHERE_MAX], text[sizeof end->text * 4];

	text_escape(end->text, strlen(end->text), text, sizeof text);
	if (facts->bad_certificate) {
		set(f, RETRY_CERTIFICATE, 6, "%s", facts->certificate_what);
		hint(f, "%s", facts->certificate_hint);
	} else if ((end->kind == SESSION_FAILED || end->kind == SESSION_REFUSED) &&
		of_code(f, c, end)) {
		return;
	} else if (facts->was_known) {
		set(f, RETRY_UNREACHABLE, 5, "%s", end->code == CODE_SHUTTING_DOWN ?
			"the server is shutting down" : text);
	} else if (facts->heard) {
		not_gotunnel(f, c);
	} else {
		set(f, RETRY_UNREACHABLE, 5, "%s: %s", server(c, at), text);
	}
}

void failure_of_bind(struct failure *f, const struct client_config *c, const struct bind_err *err,
	uint16_t wanted)
{
	char text[256];

	text_escape(err->text.at, err->text.len, text, sizeof text);
	switch ((enum code)err->code) {
	case CODE_PORT_TAKEN:
		set(f, RETRY_PORT, 7, "port %u is in use on %s", wanted, c->server_host);
		hint(f, "another --remote-port, or none for a free one");
		break;
	case CODE_PORT_RANGE:
		set(f, RETRY_PORT, 7, "port %u is outside the server's range %s", wanted, text);
		break;
	case CODE_PORTS_USED_UP:
		set(f, RETRY_PORT, 7, "no free public port in %s", text);
		hint(f, "server: --end-port N");
		break;
	default:
		set(f, RETRY_PORT, 7, "%s refuses the tunnel: %s", c->server_host, text);
		if (err->code == CODE_LIMIT)
			hint(f, "another client must leave, or the server allow more");
		else if (err->code == CODE_FORBIDDEN || err->code == CODE_INTERNAL)
			hint(f, "the server's log says more");
	}
	f->retry_ms = err->retry_ms;
}
