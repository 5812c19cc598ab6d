#include "cmd/stats_show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

enum { CELL_MAX = 128, LINE_MAX_LEN = 1024 };

bool stats_show_is_later(const struct stats *now, const struct stats *since)
{
	return now->pid == since->pid && now->uptime_ms > since->uptime_ms &&
		strcmp(now->role, since->role) == 0;
}

/* Two samples of the same thing and the time between them. */
struct pair {
	const struct summary *now, *since;	/* since: NULL when there is none */
	uint64_t ms;
};

static double rate(const struct pair *p, uint64_t now, uint64_t since)
{
	return now > since && p->ms ? (double)(now - since) * 1000 / (double)p->ms : 0;
}

/* "12.5/s" or "1.2 MB/s", "-" without a sample before. */
static void count_rate(const struct pair *p, uint64_t now, uint64_t since, char *out, size_t cap)
{
	double r = rate(p, now, since);

	if (!p->since)
		snprintf(out, cap, "-");
	else
		snprintf(out, cap, r < 100 && r > 0 ? "%.1f/s" : "%.0f/s", r);
}

static void size_rate(const struct pair *p, uint64_t now, uint64_t since, char *out, size_t cap)
{
	char size[24];

	if (!p->since)
		snprintf(out, cap, "-");
	else
		snprintf(out, cap, "%s/s", text_size((uint64_t)rate(p, now, since), size, sizeof size));
}

/* --- the table ------------------------------------------------------------------- */

struct row {
	const struct stats_tunnel *t;
	struct pair pair;
};

static const struct summary none;

static const struct summary *before(const struct row *r)
{
	return r->pair.since ? r->pair.since : &none;
}

static void cell_port(const struct row *r, char *out, size_t cap)
{
	snprintf(out, cap, "%llu", (unsigned long long)r->t->port);
}

static void cell_name(const struct row *r, char *out, size_t cap)
{
	snprintf(out, cap, "%s", r->t->name[0] ? r->t->name : "-");
}

static void cell_local(const struct row *r, char *out, size_t cap)
{
	snprintf(out, cap, "%s", r->t->local[0] ? r->t->local : "-");
}

static void cell_streams(const struct row *r, char *out, size_t cap)
{
	snprintf(out, cap, "%llu/%llu", (unsigned long long)r->t->sum.streams_open,
		(unsigned long long)r->t->sum.streams);
}

static void cell_received(const struct row *r, char *out, size_t cap)
{
	text_size(r->t->sum.received, out, cap);
}

static void cell_sent(const struct row *r, char *out, size_t cap)
{
	text_size(r->t->sum.sent, out, cap);
}

static void cell_received_rate(const struct row *r, char *out, size_t cap)
{
	size_rate(&r->pair, r->t->sum.received, before(r)->received, out, cap);
}

static void cell_sent_rate(const struct row *r, char *out, size_t cap)
{
	size_rate(&r->pair, r->t->sum.sent, before(r)->sent, out, cap);
}

static void cell_http(const struct row *r, char *out, size_t cap)
{
	snprintf(out, cap, "%llu", (unsigned long long)r->t->sum.http_requests);
}

static void cell_http_rate(const struct row *r, char *out, size_t cap)
{
	count_rate(&r->pair, r->t->sum.http_requests, before(r)->http_requests, out, cap);
}

static void cell_latency(const struct row *r, char *out, size_t cap)
{
	char a[24], b[24];

	if (r->t->sum.latency.count)
		snprintf(out, cap, "%s/%s", summary_latency(r->t->sum.latency.p50, a, sizeof a),
			summary_latency(r->t->sum.latency.p99, b, sizeof b));
	else
		snprintf(out, cap, "-");
}

static void cell_round_trip(const struct row *r, char *out, size_t cap)
{
	if (r->t->is_away)
		snprintf(out, cap, "away");
	else if (r->t->round_trip_us)
		summary_latency(r->t->round_trip_us, out, cap);
	else
		snprintf(out, cap, "-");
}

static const struct column {
	const char *title;
	bool is_number;		/* to the right */
	bool is_rate;		/* only where samples are compared */
	void (*cell)(const struct row *r, char *out, size_t cap);
} columns[] = {
	{ "PORT", true, false, cell_port },
	{ "NAME", false, false, cell_name },
	{ "LOCAL", false, false, cell_local },
	{ "STREAMS", true, false, cell_streams },
	{ "RECEIVED", true, false, cell_received },
	{ "SENT", true, false, cell_sent },
	{ "RECEIVING", true, true, cell_received_rate },
	{ "SENDING", true, true, cell_sent_rate },
	{ "HTTP", true, false, cell_http },
	{ "REQUESTS", true, true, cell_http_rate },
	{ "P50/P99", true, false, cell_latency },
	{ "ROUND TRIP", true, false, cell_round_trip },
};

enum { COLUMNS = sizeof columns / sizeof columns[0] };

static void pad(struct buf *line, size_t n)
{
	while (n--)
		buf_text(line, " ");
}

static void add_cell(struct buf *line, const char *text, size_t width, bool is_number)
{
	size_t used = stats_screen_columns(text, strlen(text));
	size_t gap = used < width ? width - used : 0;

	if (line->len)
		buf_text(line, "  ");
	if (is_number)
		pad(line, gap);
	buf_text(line, text);
	if (!is_number)
		pad(line, gap);
}

/* r: NULL for the titles. */
static void add_row(struct stats_screen *s, const struct row *r, const size_t *widths,
	bool has_rates)
{
	struct buf line = { .max = LINE_MAX_LEN * 4 };
	char cell[CELL_MAX];

	for (size_t c = 0; c < COLUMNS; c++) {
		if (columns[c].is_rate && !has_rates)
			continue;
		if (r)
			columns[c].cell(r, cell, sizeof cell);
		add_cell(&line, r ? cell : columns[c].title, widths[c], columns[c].is_number);
	}
	buf_add(&line, "", 1);
	if (!line.failed)
		stats_screen_add(s, r ? STATS_PLAIN : STATS_BOLD, line.data);
	buf_fini(&line);
}

static void measure(const struct row *rows, size_t count, size_t *widths)
{
	char cell[CELL_MAX];

	for (size_t c = 0; c < COLUMNS; c++) {
		widths[c] = strlen(columns[c].title);
		for (size_t i = 0; i < count; i++) {
			size_t width;

			columns[c].cell(&rows[i], cell, sizeof cell);
			width = stats_screen_columns(cell, strlen(cell));
			if (width > widths[c])
				widths[c] = width;
		}
	}
}

/* The same tunnel in the sample before, most likely at the same place. */
static const struct summary *find(const struct stats *since, const struct stats_tunnel *t, size_t at)
{
	for (size_t i = 0; since && i < since->tunnel_count; i++) {
		const struct stats_tunnel *other = &since->tunnels[(at + i) % since->tunnel_count];

		if (other->port == t->port && strcmp(other->name, t->name) == 0)
			return &other->sum;
	}
	return NULL;
}

static void table(struct stats_screen *s, const struct stats *now, const struct stats *since,
	bool has_rates)
{
	size_t count = now->tunnel_count, room = stats_screen_left(s);
	struct row *rows = calloc(count ? count : 1, sizeof *rows);
	size_t widths[COLUMNS];
	char more[64];

	/* An empty line, the titles, and one for those that find no room. */
	if (!rows || !count || room < 3) {
		free(rows);
		return;
	}
	if (count > room - 2)
		count = room - 3;
	for (size_t i = 0; i < count; i++) {
		rows[i].t = &now->tunnels[i];
		rows[i].pair.now = &rows[i].t->sum;
		rows[i].pair.since = find(since, rows[i].t, i);
		rows[i].pair.ms = since ? now->uptime_ms - since->uptime_ms : 0;
	}
	measure(rows, count, widths);
	stats_screen_add(s, STATS_PLAIN, "");
	add_row(s, NULL, widths, has_rates);
	for (size_t i = 0; i < count; i++)
		add_row(s, &rows[i], widths, has_rates);
	snprintf(more, sizeof more, "and %zu more", now->tunnel_count - count);
	if (count < now->tunnel_count)
		stats_screen_add(s, STATS_FAINT, more);
	free(rows);
}

/* --- the rest ----------------------------------------------------------------------- */

static void head(struct stats_screen *s, const struct stats *now)
{
	bool is_ready = strcmp(now->state, "ready") == 0;
	char line[400];

	snprintf(line, sizeof line, "gotunnel %s %s, pid %llu, %s, %s", now->role, now->version,
		(unsigned long long)now->pid, now->address[0] ? now->address : "no address",
		now->state[0] ? now->state : "state unknown");
	stats_screen_add(s, is_ready ? STATS_GOOD : STATS_WARNING, line);
	stats_screen_add(s, STATS_PLAIN, "");
}

static void add_number(struct stats_screen *s, const char *name, uint64_t value)
{
	char line[80];

	snprintf(line, sizeof line, "%-23s %llu", name, (unsigned long long)value);
	stats_screen_add(s, STATS_PLAIN, line);
}

/* The row of the summary's look that has all rates. */
static void rates(struct stats_screen *s, const struct stats *now, const struct stats *since)
{
	struct pair p = { &now->sum, since ? &since->sum : NULL,
		since ? now->uptime_ms - since->uptime_ms : 0 };
	const struct summary *old = since ? &since->sum : &none;
	char in[32], out[32], streams[32], requests[32], line[200];

	size_rate(&p, now->sum.received, old->received, in, sizeof in);
	size_rate(&p, now->sum.sent, old->sent, out, sizeof out);
	count_rate(&p, now->sum.streams, old->streams, streams, sizeof streams);
	count_rate(&p, now->sum.http_requests, old->http_requests, requests, sizeof requests);
	snprintf(line, sizeof line, "%-23s received %s, sent %s, streams %s, requests %s", "Rates", in,
		out, streams, requests);
	stats_screen_add(s, STATS_PLAIN, line);
}

static void summary(struct stats_screen *s, const struct stats *now)
{
	struct buf text = { .max = 64 * 1024 };

	summary_write(&now->sum, true, &text);
	if (text.len)
		text.data[text.len - 1] = '\0'; /* Its last newline. */
	if (!text.failed)
		stats_screen_add(s, STATS_PLAIN, text.data);
	buf_fini(&text);
}

void stats_show(struct stats_screen *s, const struct stats *now, const struct stats *since,
	bool has_rates)
{
	bool is_server = strcmp(now->role, "server") == 0;

	head(s, now);
	summary(s, now);
	if (has_rates)
		rates(s, now, since);
	if (is_server) {
		add_number(s, "Sessions Open", now->sessions_open);
		add_number(s, "Logins Refused", now->logins_refused);
	} else {
		add_number(s, "Reconnects", now->reconnects);
	}
	table(s, now, since, has_rates);
}
