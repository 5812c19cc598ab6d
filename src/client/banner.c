#include "client/banner.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/addr.h"
#include "net/term.h"

enum { INNER = 50 };

const char *banner_address(const struct banner *b, char *out, unsigned long cap)
{
	char at[ADDR_HOST_MAX + 16];

	snprintf(out, cap, "%s://%s", b->is_http ? "http" : "tcp",
		addr_join(b->host, b->port, at, sizeof at));
	return out;
}

static void rule(const char *left, const char *right)
{
	fputs(left, stdout);
	for (int i = 0; i < INNER; i++)
		fputs("─", stdout);
	puts(right);
}

static void title(const char *version)
{
	char text[INNER + 1];
	int len = snprintf(text, sizeof text, "gotunnel %s", version);
	int pad = len < INNER ? (INNER - len) / 2 : 0;

	rule("┌", "┐");
	printf("│%*s%s%*s│\n", pad, "", text, INNER - pad - len, "");
	rule("└", "┘");
}

static void row(const char *name, const char *value)
{
	printf("%-22s %s\n", name, value);
}

static void forwarding(const struct banner *b)
{
	char address[ADDR_HOST_MAX + 32], text[700];

	banner_address(b, address, sizeof address);
	snprintf(text, sizeof text, "%s → %s%s", address, b->local,
		b->only_on_server ? " (only on the server)" : "");
	row("Forwarding", text);
	printf("\n%s\n\n", address);
}

static void print_all(const struct banner *b)
{
	char when[32];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
	title(b->version);
	row("Session Status", "online");
	row("Version", b->version);
	row("Tunnel Server", b->server);
	row("TLS Encryption", b->encryption);
	row("Auto-Reconnect", b->reconnects ? "enabled" : "disabled (--no-reconnect)");
	forwarding(b);
	row("Connected at", when);
}

void banner_print(const struct banner *b, bool first)
{
	char address[ADDR_HOST_MAX + 32];

	banner_address(b, address, sizeof address);
	if (b->quiet)
		puts(address);
	else if (!term_is(STDOUT_FILENO))
		printf("Forwarding %s -> %s%s\n", address, b->local,
			b->only_on_server ? " (only on the server)" : "");
	else if (first)
		print_all(b);
	else
		forwarding(b);
	fflush(stdout);
}
