#include "client/banner.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/addr.h"
#include "core/buf.h"
#include "core/log.h"
#include "net/term.h"

enum { INNER_MAX = 50, BORDERS = 2 };

const char *banner_address(const struct banner *b, char *out, unsigned long cap)
{
	char at[ADDR_HOST_MAX + 16];

	addr_join(b->host, b->port, at, sizeof at);
	if (b->quiet)
		snprintf(out, cap, "%s", at);
	else
		snprintf(out, cap, "%s://%s", b->is_http ? "http" : "tcp", at);
	return out;
}

static void rule(struct buf *out, const char *left, const char *right, int inner)
{
	buf_text(out, left);
	for (int i = 0; i < inner; i++)
		buf_text(out, "─");
	buf_format(out, "%s\n", right);
}

static void title(struct buf *out, const char *version)
{
	unsigned columns = term_width(STDOUT_FILENO, INNER_MAX + BORDERS);
	int inner = columns < INNER_MAX + BORDERS ? (int)columns - BORDERS : INNER_MAX;
	char text[INNER_MAX + 1];
	int len = snprintf(text, sizeof text, "gotunnel %s", version);

	if (len > inner) {
		buf_format(out, "%s\n", text);
		return;
	}
	rule(out, "┌", "┐", inner);
	buf_format(out, "│%*s%s%*s│\n", (inner - len) / 2, "", text,
		inner - len - (inner - len) / 2, "");
	rule(out, "└", "┘", inner);
}

enum { NAME_WIDTH = 22 };

/* The bytes of text that fill at most `columns`, counting characters. */
static int cut(const char *text, unsigned columns)
{
	int n = 0;

	for (unsigned used = 0; text[n]; n++) {
		if ((text[n] & 0xc0) != 0x80 && used++ == columns)
			break;
	}
	return n;
}

/* On a narrow terminal the value goes below its name, and is cut. */
static void row(struct buf *out, const char *name, const char *value)
{
	unsigned columns = term_width(STDOUT_FILENO, 80);

	if (cut(value, columns - NAME_WIDTH - 1) < (int)strlen(value))
		buf_format(out, "%s\n  %.*s\n", name, cut(value, columns - 2), value);
	else
		buf_format(out, "%-*s %s\n", NAME_WIDTH, name, value);
}

static void forwarding(struct buf *out, const struct banner *b)
{
	char address[ADDR_HOST_MAX + 32], text[700];

	banner_address(b, address, sizeof address);
	snprintf(text, sizeof text, "%s → %s%s", address, b->local,
		b->only_on_server ? " (only on the server)" : "");
	buf_format(out, "%-*s %s\n", NAME_WIDTH, "Forwarding", text); /* never cut */
	buf_format(out, "\n%s\n\n", address);
}

static void print_all(struct buf *out, const struct banner *b)
{
	char when[32], lanes[48];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
	title(out, b->version);
	buf_format(out, "%-*s %s\n", NAME_WIDTH, "Session Status",
		log_has_color(STDOUT_FILENO) ? "\033[32monline\033[0m" : "online");
	row(out, "Version", b->version);
	row(out, "Tunnel Server", b->server);
	row(out, "TLS Encryption", b->encryption);
	row(out, "Auto-Reconnect", b->reconnects ? "enabled" : "disabled (--no-reconnect)");
	snprintf(lanes, sizeof lanes, "%u connections at once", b->lanes);
	if (b->lanes > 1)
		row(out, "Lanes", lanes);
	forwarding(out, b);
	buf_text(out, "HTTP Requests\n");
	row(out, "Connected at", when);
}

void banner_print(const struct banner *b, bool first)
{
	struct buf out = { .max = 16 * 1024 };
	char address[ADDR_HOST_MAX + 32];

	banner_address(b, address, sizeof address);
	if (b->quiet)
		buf_format(&out, "%s\n", address);
	else if (!term_is(STDOUT_FILENO) || !log_is_term())
		buf_format(&out, "Forwarding %s -> %s%s\n", address, b->local,
			b->only_on_server ? " (only on the server)" : "");
	else if (first)
		print_all(&out, b);
	else
		forwarding(&out, b);
	/* Never waiting for who reads it: the tunnel goes on. */
	log_put(STDOUT_FILENO, out.data, out.len);
	buf_fini(&out);
}
