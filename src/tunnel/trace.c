#include "tunnel/trace.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/summary.h"
#include "core/text.h"
#include "net/term.h"

enum { OLD_US = 1000 * 1000, TARGET_TEXT = 2048 };

/* --- what lives long ------------------------------------------------------------ */

static void print(const struct trace *t, const char *text)
{
	char line[LINE_TEXT_MAX + 1];
	int len = snprintf(line, sizeof line, "%s\n", text);

	if (len > 0)
		log_put(t->fd, line, (size_t)len);
}

/* Sets the timer for what is due first. */
static void arm(struct trace *t)
{
	struct list *n = list_first(&t->young);
	uint64_t now = worker_now(t->worker), due = t->tell_us ? t->tell_us : UINT64_MAX;

	if (n && list_entry(n, struct trace_young, node)->due_us < due)
		due = list_entry(n, struct trace_young, node)->due_us;
	if (due != UINT64_MAX)
		timer_start(t->timer, due > now ? (due - now + 999) / 1000 : 0);
}

static void tell_suppressed(struct trace *t, unsigned count)
{
	char text[64];

	t->tell_us = 0;
	if (!count)
		return;
	snprintf(text, sizeof text, "│ INFO  │ suppressed %u line%s", count, count == 1 ? "" : "s");
	print(t, text);
}

static void on_timer(struct timer *timer)
{
	struct trace *t = timer->data;
	uint64_t now = worker_now(t->worker);
	struct list *n;

	while ((n = list_first(&t->young))) {
		struct trace_young *y = list_entry(n, struct trace_young, node);

		if (y->due_us > now)
			break;
		list_remove(n);
		y->on_old(y);
	}
	if (t->tell_us && now >= t->tell_us) {
		tell_suppressed(t, t->limit.suppressed);
		t->limit.suppressed = 0;
	}
	arm(t);
}

void trace_watch(struct trace *t, struct trace_young *y, uint64_t begun_us)
{
	bool first = list_is_empty(&t->young);

	if (!t->to_terminal || !t->timer)
		return;
	y->due_us = begun_us + OLD_US;
	list_append(&t->young, &y->node);
	if (first)
		arm(t);
}

/* --- life ------------------------------------------------------------------------- */

int trace_init(struct trace *t, struct worker *w, const struct trace_config *config)
{
	bool tty = term_is(STDOUT_FILENO), aside = term_is(STDERR_FILENO) && !log_has_file();

	*t = (struct trace){
		.worker = w,
		.is_on = config->is_on,
		.is_server = config->is_server,
		.records = !log_is_term(),
		.begun_us = worker_now(w),
	};
	list_init(&t->young);
	t->to_terminal = (tty || aside) && log_is_term() && !config->quiet && log_has_level(LOG_INFO);
	t->fd = tty ? STDOUT_FILENO : STDERR_FILENO;
	t->to_log = log_wants_events();
	t->timer = timer_new(w->loop, on_timer, t);
	return t->timer ? 0 : -1;
}

void trace_close(struct trace *t)
{
	struct list *n;

	while ((n = list_first(&t->young)))
		list_remove(n);
	timer_free(t->timer);
	t->timer = NULL;
}

/* --- lines -------------------------------------------------------------------------- */

/* Whether one more line may go to the terminal now. */
static bool may_print(struct trace *t)
{
	uint64_t now = worker_now(t->worker);
	unsigned suppressed;
	bool pass = log_limit_pass(&t->limit, now / 1000, &suppressed);

	tell_suppressed(t, suppressed);
	if (!pass && !t->tell_us) {
		/* Told by the next line of a later second, or when none comes. */
		t->tell_us = now + OLD_US;
		arm(t);
	}
	return pass;
}

static struct line_style on_screen(const struct trace *t)
{
	return (struct line_style){
		.framed = true,
		.color = log_has_color(t->fd),
		.names_tunnel = t->is_server,
		.columns = term_width(t->fd, 80),
	};
}

static struct line_style in_log(const struct trace *t)
{
	return (struct line_style){ .names_tunnel = t->is_server };
}

static void write_line(struct trace *t, const struct line_request *r)
{
	struct line_style style;
	char text[LINE_TEXT_MAX];

	if (t->to_terminal && may_print(t)) {
		style = on_screen(t);
		print(t, line_request(r, &style, text));
	}
	if (t->to_log && !t->records) {
		style = in_log(t);
		log_event("request", NULL, 0, line_request(r, &style, text));
	}
}

void trace_answer(struct trace *t, const struct line_request *r)
{
	if (t->is_on)
		write_line(t, r);
}

static double ms(uint64_t us)
{
	return (double)us / 1000;
}

static void record(struct trace *t, const struct line_request *r)
{
	char method[64], target[TARGET_TEXT];
	struct log_field fields[12];
	size_t n = 0;

	text_escape(r->method.at, r->method.len, method, sizeof method);
	text_escape(r->target.at, r->target.len, target, sizeof target);
	if (t->is_server)
		fields[n++] = (struct log_field){ .name = "tunnel", .text = r->traffic->name };
	fields[n++] = (struct log_field){ .name = "port", .number = r->traffic->port };
	fields[n++] = (struct log_field){ .name = "peer", .text = r->peer };
	fields[n++] = (struct log_field){ .name = "method", .text = method };
	fields[n++] = (struct log_field){ .name = "path", .text = target };
	fields[n++] = (struct log_field){ .name = "status", .number = r->status };
	fields[n++] = (struct log_field){ .name = "latency_ms", .number = ms(r->latency_us) };
	fields[n++] = (struct log_field){ .name = "duration_ms", .number = ms(r->duration_us) };
	fields[n++] = (struct log_field){ .name = "received", .number = (double)r->received };
	fields[n++] = (struct log_field){ .name = "sent", .number = (double)r->sent };
	fields[n++] = (struct log_field){ .name = "end", .text = r->end };
	log_event("request", fields, n, "");
}

void trace_request(struct trace *t, const struct line_request *r)
{
	if (!t->is_on)
		return;
	if (!r->status)
		write_line(t, r); /* No answer brought it. */
	if (t->to_log && t->records)
		record(t, r);
}

static void record_connection(struct trace *t, const struct line_connection *c)
{
	struct log_field fields[8];
	size_t n = 0;

	if (t->is_server)
		fields[n++] = (struct log_field){ .name = "tunnel", .text = c->traffic->name };
	fields[n++] = (struct log_field){ .name = "port", .number = c->traffic->port };
	fields[n++] = (struct log_field){ .name = "peer", .text = c->peer };
	fields[n++] = (struct log_field){ .name = "proto", .text = c->proto };
	fields[n++] = (struct log_field){ .name = "duration_ms", .number = ms(c->duration_us) };
	fields[n++] = (struct log_field){ .name = "received", .number = (double)c->received };
	fields[n++] = (struct log_field){ .name = "sent", .number = (double)c->sent };
	fields[n++] = (struct log_field){ .name = "end", .text = c->end };
	log_event("connection", fields, n, "");
}

void trace_connection(struct trace *t, const struct line_connection *c)
{
	struct line_style style;
	char text[LINE_TEXT_MAX];

	if (!t->is_on)
		return;
	if (t->to_terminal && may_print(t)) {
		style = on_screen(t);
		print(t, line_connection(c, &style, text));
	}
	if (!t->to_log || c->is_open)
		return;
	if (t->records) {
		record_connection(t, c);
		return;
	}
	style = in_log(t);
	log_event("connection", NULL, 0, line_connection(c, &style, text));
}

/* --- the summary ------------------------------------------------------------------------ */

static void record_summary(const struct summary *s)
{
	char codes[512] = "";
	size_t at = 0;

	for (size_t i = 0; i < s->code_count && at < sizeof codes; i++)
		at += (size_t)snprintf(codes + at, sizeof codes - at, "%s%u:%llu", i ? " " : "",
			s->codes[i].status, (unsigned long long)s->codes[i].count);
	log_event("summary", (struct log_field[]){
		{ .name = "streams_open", .number = (double)s->streams_open },
		{ .name = "streams", .number = (double)s->streams },
		{ .name = "connections", .number = (double)s->connections },
		{ .name = "sent", .number = (double)s->sent },
		{ .name = "received", .number = (double)s->received },
		{ .name = "http_requests", .number = (double)s->http_requests },
		{ .name = "latency_avg_ms", .number = ms(s->latency.mean) },
		{ .name = "latency_min_ms", .number = ms(s->latency.least) },
		{ .name = "latency_max_ms", .number = ms(s->latency.most) },
		{ .name = "status", .text = codes },
		{ .name = "uptime_ms", .number = (double)s->uptime_ms },
	}, 11, "");
}

/* Each line of the text as one of the log. */
static void log_lines(struct buf *text)
{
	char *line = text->data, *end = text->data + text->len, *newline;

	for (; line < end && (newline = memchr(line, '\n', (size_t)(end - line))); line = newline + 1) {
		*newline = '\0';
		log_event("summary", NULL, 0, line);
	}
}

void trace_summary(struct trace *t, const struct metrics_traffic *total, bool asked)
{
	struct buf text = { .max = 16 * 1024 };
	struct summary s;

	metrics_summarise(total, &s);
	s.uptime_ms = (worker_now(t->worker) - t->begun_us) / 1000;
	summary_write(&s, false, &text);
	if (t->to_terminal) {
		log_put(t->fd, "\n", 1);
		log_put(t->fd, text.data, text.len);
	} else if (asked && !t->to_log) {
		log_put(STDERR_FILENO, text.data, text.len);
	}
	if (t->to_log && t->records)
		record_summary(&s);
	else if (t->to_log)
		log_lines(&text);
	buf_fini(&text);
	log_flush();
}
