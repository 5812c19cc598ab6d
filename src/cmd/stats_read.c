#include "cmd/stats_read.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

/* A name may hold any character, a zero byte too. */
static json_t *load(const struct buf *page, char *why, size_t cap)
{
	json_error_t error;
	json_t *root = json_loadb(page->data ? page->data : "", page->len, JSON_ALLOW_NUL, &error);

	if (!root)
		text_escape(error.text, strlen(error.text), why, cap);
	else if (!json_is_object(root))
		snprintf(why, cap, "the JSON is not an object");
	else
		return root;
	json_decref(root);
	return NULL;
}

static uint64_t number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) && json_integer_value(value) > 0 ?
		(uint64_t)json_integer_value(value) : 0;
}

static void text(const json_t *object, const char *key, char *out, size_t cap)
{
	const json_t *value = json_object_get(object, key);

	*out = '\0';
	if (json_is_string(value))
		text_escape(json_string_value(value), json_string_length(value), out, cap);
}

static void read_codes(const json_t *codes, struct summary *s)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)codes, key, value) {
		uint64_t status;

		if (text_uint(key, 100, 999, &status) == 0)
			summary_add_code(s, (unsigned)status, number(codes, key));
	}
}

static void read_summary(const json_t *object, struct summary *s)
{
	const json_t *latency = json_object_get(object, "latency");

	s->streams_open = number(object, "streams_open");
	s->streams = number(object, "streams");
	s->connections = number(object, "connections");
	s->received = number(object, "received_bytes");
	s->sent = number(object, "sent_bytes");
	s->http_requests = number(object, "http_requests");
	s->latency.count = number(latency, "count");
	s->latency.mean = number(latency, "mean_us");
	s->latency.least = number(latency, "min_us");
	s->latency.most = number(latency, "max_us");
	s->latency.p50 = number(latency, "p50_us");
	s->latency.p90 = number(latency, "p90_us");
	s->latency.p99 = number(latency, "p99_us");
	read_codes(json_object_get(object, "status"), s);
}

static void read_tunnel(const json_t *object, struct stats_tunnel *t)
{
	t->port = number(object, "port");
	text(object, "name", t->name, sizeof t->name);
	text(object, "local", t->local, sizeof t->local);
	t->round_trip_us = number(object, "round_trip_us");
	t->is_away = json_is_true(json_object_get(object, "away"));
	read_summary(object, &t->sum);
}

static int read_tunnels(const json_t *array, struct stats *s)
{
	size_t count = json_array_size(array);

	if (count > STATS_READ_TUNNELS_MAX)
		count = STATS_READ_TUNNELS_MAX;
	s->tunnels = calloc(count ? count : 1, sizeof *s->tunnels);
	if (!s->tunnels)
		return -1;
	for (size_t i = 0; i < count; i++)
		read_tunnel(json_array_get(array, i), &s->tunnels[i]);
	s->tunnel_count = count;
	return 0;
}

int stats_read(const struct buf *page, struct stats *out, char *why, size_t cap)
{
	json_t *root = load(page, why, cap);
	struct stats s = { 0 };
	int err;

	if (!root)
		return -1;
	text(root, "role", s.role, sizeof s.role);
	text(root, "version", s.version, sizeof s.version);
	text(root, "address", s.address, sizeof s.address);
	text(root, "state", s.state, sizeof s.state);
	s.pid = number(root, "pid");
	s.uptime_ms = number(root, "uptime_ms");
	s.sessions_open = number(root, "sessions_open");
	s.logins_refused = number(root, "logins_refused");
	s.reconnects = number(root, "reconnects");
	read_summary(json_object_get(root, "totals"), &s.sum);
	s.sum.uptime_ms = s.uptime_ms;
	err = read_tunnels(json_object_get(root, "tunnels"), &s);
	if (err)
		snprintf(why, cap, "out of memory");
	else if (!s.role[0]) {
		snprintf(why, cap, "the JSON has no role");
		stats_read_free(&s);
		err = -1;
	}
	json_decref(root);
	if (!err)
		*out = s;
	return err;
}

void stats_read_free(struct stats *s)
{
	free(s->tunnels);
	s->tunnels = NULL;
	s->tunnel_count = 0;
}

/* In valid JSON a control character is white space between its words, and
 * DEL stands inside of a text. */
static void flatten(struct buf *line, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (p[i] == 0x7f)
			buf_text(line, "\\u007f");
		else
			buf_add(line, (unsigned char)p[i] < 0x20 ? " " : p + i, 1);
	}
}

int stats_read_line(const struct buf *page, bool for_terminal, struct buf *line, char *why,
	size_t cap)
{
	json_t *root = load(page, why, cap);
	size_t len = page->len;
	char *ascii = NULL;

	if (!root)
		return -1;
	if (for_terminal)
		ascii = json_dumps(root, JSON_ENSURE_ASCII | JSON_COMPACT);
	json_decref(root);
	while (len && strchr(" \t\r\n", page->data[len - 1]))
		len--;
	if (for_terminal && ascii)
		flatten(line, ascii, strlen(ascii));
	else if (!for_terminal)
		flatten(line, page->data, len);
	free(ascii);
	buf_text(line, "\n");
	if (!line->failed && (ascii || !for_terminal))
		return 0;
	snprintf(why, cap, "out of memory");
	return -1;
}
