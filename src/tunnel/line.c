#include "tunnel/line.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "core/addr.h"
#include "core/summary.h"
#include "core/text.h"
#include "http/status.h"

enum { WIDE = 100, PATH_WIDTH = 27, PATH_LEAST = 8, NAME_MOST = 64, TARGET_TEXT = 700 };

static const struct {
	const char *sign, *color;
} marks[] = {
	[LINE_GOOD] = { "✓", "\033[32m" },
	[LINE_ODD] = { "⚠", "\033[33m" },
	[LINE_BAD] = { "✗", "\033[31m" },
};

enum line_mark line_mark_of(unsigned status)
{
	if (status >= 100 && status < 400)
		return LINE_GOOD;
	return status >= 400 && status < 500 ? LINE_ODD : LINE_BAD;
}

const char *line_peer(const struct flow_addr *peer, char *out)
{
	char ip[INET6_ADDRSTRLEN] = "?";

	inet_ntop(peer->family == 6 ? AF_INET6 : AF_INET, peer->ip, ip, sizeof ip);
	return addr_join(ip, peer->port, out, ADDR_TEXT_MAX);
}

/* A line under construction in LINE_TEXT_MAX bytes; columns are counted. */
struct pen {
	char *out;
	size_t len;
	unsigned columns;
};

/* Adds the text, filled up with blanks to `width` columns: to its right, or to
 * its left when the width is negative. */
static void put(struct pen *p, const char *text, int width)
{
	unsigned columns = text_columns(text);
	unsigned want = (unsigned)(width < 0 ? -width : width);
	int pad = want > columns ? (int)(want - columns) : 0;
	int n = snprintf(p->out + p->len, LINE_TEXT_MAX - p->len, "%*s%s%*s", width < 0 ? pad : 0,
		"", text, width < 0 ? 0 : pad, "");

	p->len += n > 0 ? (size_t)n : 0;
	if (p->len >= LINE_TEXT_MAX)
		p->len = LINE_TEXT_MAX - 1;
	p->columns += columns + (unsigned)pad;
}

/* The same in a colour, which takes no columns. */
static void paint(struct pen *p, const char *text, int width, const char *color)
{
	unsigned columns;

	if (!color) {
		put(p, text, width);
		return;
	}
	columns = p->columns;
	put(p, color, 0);
	p->columns = columns;
	put(p, text, width);
	columns = p->columns;
	put(p, "\033[0m", 0);
	p->columns = columns;
}

static void begin(struct pen *p, const char *label, enum line_mark mark,
	const struct line_style *style)
{
	if (style->framed)
		put(p, "│ ", 0);
	put(p, label, 5);
	put(p, style->framed ? " │ " : " ", 0);
	paint(p, marks[mark].sign, 0, style->color ? marks[mark].color : NULL);
	put(p, " ", 0);
}

static bool is_wide(const struct line_style *style)
{
	return style->columns == 0 || style->columns >= WIDE;
}

/* "  tunnel=NAME  peer=ADDRESS" behind a line; the values alone where there is
 * little room. */
static void name(char *out, size_t cap, const struct traffic *traffic, const char *peer,
	const struct line_style *style)
{
	const char *tunnel_key = is_wide(style) ? "  tunnel=" : "  ";
	const char *peer_key = is_wide(style) ? "  peer=" : "  ";
	char tunnel[sizeof traffic->name];

	*out = '\0';
	if (!peer && !style->names_tunnel)
		return;
	memcpy(tunnel, traffic->name, sizeof tunnel);
	text_cut(tunnel, NAME_MOST);
	snprintf(out, cap, "%s%s%s%s", style->names_tunnel ? tunnel_key : "",
		style->names_tunnel ? tunnel : "", peer ? peer_key : "",
		peer ? peer : "");
}

/* Escaped, and cut to the columns there are. */
static void put_target(struct pen *p, const struct line_request *r, unsigned room)
{
	char text[TARGET_TEXT];

	text_escape(r->target.at, r->target.len, text, sizeof text - 3);
	if (r->target_cut && (strlen(text) < 3 || strcmp(text + strlen(text) - 3, "...") != 0))
		strcat(text, "...");
	text_cut(text, room);
	put(p, text, PATH_WIDTH < room ? PATH_WIDTH : (int)room);
}

const char *line_request(const struct line_request *r, const struct line_style *style, char *out)
{
	enum line_mark mark = line_mark_of(r->status);
	char status[64], latency[32], method[32], names[256];
	struct pen p = { .out = out };
	unsigned rest, room = TARGET_TEXT;

	if (r->status)
		snprintf(status, sizeof status, "%u %s", r->status, status_reason(r->status));
	else
		snprintf(status, sizeof status, "%s", r->end);
	summary_latency(r->status ? r->latency_us : r->duration_us, latency, sizeof latency);
	name(names, sizeof names, r->traffic, is_wide(style) || style->names_tunnel ? r->peer : NULL, style);
	begin(&p, "HTTP", mark, style);
	text_escape(r->method.at, r->method.len, method, sizeof method);
	put(&p, method, 6);
	put(&p, " ", 0);
	if (style->columns) {
		unsigned code = text_columns(status), time = text_columns(latency);

		rest = p.columns + 1 + (code < 14 ? 14 : code) + 1 + (time < 6 ? 6 : time) +
			text_columns(names);
		room = style->columns > rest + PATH_LEAST ? style->columns - rest : PATH_LEAST;
	}
	put_target(&p, r, room);
	put(&p, " ", 0);
	paint(&p, status, 14, style->color ? marks[mark].color : NULL);
	put(&p, " ", 0);
	put(&p, latency, -6);
	put(&p, names, 0);
	return out;
}

const char *line_connection(const struct line_connection *c, const struct line_style *style,
	char *out)
{
	char up[16], down[16], time[32], names[256], text[512];
	struct pen p = { .out = out };

	begin(&p, strcmp(c->proto, "h2") == 0 ? "H2" : "TCP", c->mark, style);
	name(names, sizeof names, c->traffic, NULL, style);
	if (c->is_open)
		snprintf(text, sizeof text, "%s   open%s", c->peer, names);
	else
		snprintf(text, sizeof text, "%s   %s   ↑ %s ↓ %s   %s%s", c->peer, c->end,
			text_size(c->received, up, sizeof up), text_size(c->sent, down, sizeof down),
			summary_latency(c->duration_us, time, sizeof time), names);
	if (style->columns > p.columns)
		text_cut(text, style->columns - p.columns);
	put(&p, text, 0);
	return out;
}
