#include "server/start_screen.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/addr.h"
#include "net/route.h"
#include "server/hub.h"

static void row(const char *name, const char *value)
{
	printf("%-22s %s\n", name, value);
}

static bool is_any_address(const char *own)
{
	return !own || strcmp(own, "0.0.0.0") == 0 || strcmp(own, "::") == 0;
}

/* Whether programs of this machine come from a loopback address. */
static bool has_loopback(const struct house *h)
{
	const char *own = h->config->addr_host;

	return is_any_address(own) || addr_is_loopback_host(own);
}

static void print_token(const struct house *h)
{
	const struct credentials *c = &h->credentials;
	char text[600];

	if (c->is_new)
		snprintf(text, sizeof text, "new, kept in %s", c->path);
	else if (c->path[0])
		snprintf(text, sizeof text, "kept in %s", c->path);
	else if (c->token[0])
		snprintf(text, sizeof text, "from %s", h->config->token_source);
	else if (has_loopback(h))
		snprintf(text, sizeof text, "none; dev-token is accepted from this machine");
	else
		snprintf(text, sizeof text, "none; nobody can log in");
	row("Token", text);
}

/* The address for the client's command: what a client can reach it by. */
static void client_host(const struct house *h, char *out, size_t cap)
{
	const char *own = h->config->addr_host;

	if (!h->credentials.token[0])
		snprintf(out, cap, "localhost"); /* Nobody else can log in. */
	else if (h->config->public_host)
		snprintf(out, cap, "%s", h->config->public_host);
	else if (own && addr_is_loopback_host(own))
		snprintf(out, cap, "localhost");
	else if (!is_any_address(own))
		snprintf(out, cap, "%s", own);
	else if (route_source(out, cap) < 0)
		snprintf(out, cap, "SERVER-NAME");
}

static void print_command(const struct house *h, bool show_token)
{
	char host[ADDR_HOST_MAX + 1], server[ADDR_HOST_MAX + 16];

	client_host(h, host, sizeof host);
	addr_join(host, listener_port(&h->hubs[0].control), server, sizeof server);
	printf("\nOn %s:\n\n", !h->credentials.token[0] ? "this machine, beside your service" :
		show_token ? "the machine with your service" :
		"the machine with your service (it asks for the token)");
	if (show_token)
		printf("GOTUNNEL_TOKEN=%s ", h->credentials.token);
	printf("gotunnel client --server %s%s --local localhost:3000\n\n", server,
		h->config->tls ? " --tls" : h->config->plaintext ? " --plaintext" : "");
}

void start_screen_print(const struct house *h)
{
	static const char *const modes[2][2] = { /* --tls, --plaintext */
		{ "enabled ✓ (both ends proved by the token)",
			"offered, plaintext accepted too (--plaintext)" },
		{ "enabled ✓ (certificate)",
			"offered (certificate), plaintext accepted too (--plaintext)" },
	};
	const struct server_config *config = h->config;
	uint16_t port = listener_port(&h->hubs[0].control);
	char text[ADDR_HOST_MAX + 64];
	bool local = config->addr_host && addr_is_loopback_host(config->addr_host);

	addr_join(config->addr_host ? config->addr_host : "::", port, text, sizeof text);
	if (config->quiet || !log_is_term()) {
		puts(text);
		fflush(stdout);
		return;
	}
	row("Control Port", text);
	snprintf(text, sizeof text, "%u-%u%s%s", config->start_port, config->end_port,
		config->bind_host ? " on " : "", config->bind_host ? config->bind_host : "");
	row("Public Ports", text);
	row("TLS Encryption", modes[config->tls][config->plaintext]);
	print_token(h);
	if (h->credentials.token[0] || has_loopback(h))
		print_command(h, h->credentials.is_new && isatty(STDOUT_FILENO));
	if (!local && h->credentials.token[0])
		printf("Firewall: %u/tcp and %u-%u/tcp must be open.\n", port, config->start_port,
			config->end_port);
	fflush(stdout);
}
