#include "admin/pages.h"

#define PLAIN "text/plain; charset=utf-8"
#define JSON  "application/json; charset=utf-8"

static const struct {
	unsigned status;
	const char *reason;
} reasons[] = {
	{ 200, "OK" },
	{ 400, "Bad Request" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 413, "Content Too Large" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 503, "Service Unavailable" },
	{ 505, "HTTP Version Not Supported" },
};

const char *pages_reason(unsigned status)
{
	for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "";
}

void pages_refuse(unsigned status, const char *why, struct pages_answer *a)
{
	a->status = status;
	a->type = PLAIN;
	buf_format(&a->body, "%s\n", why ? why : pages_reason(status));
}

static void metrics(const struct admin_ops *ops, void *owner, struct pages_answer *a)
{
	ops->metrics(owner, &a->body);
}

static void healthz(const struct admin_ops *ops, void *owner, struct pages_answer *a)
{
	(void)ops;
	(void)owner;
	buf_text(&a->body, "ok\n");
}

static void readyz(const struct admin_ops *ops, void *owner, struct pages_answer *a)
{
	const char *why = "not ready";

	if (ops->is_ready(owner, &why))
		buf_text(&a->body, "ready\n");
	else
		pages_refuse(503, why, a);
}

static void object(void (*members)(void *owner, struct json *j), void *owner,
	struct pages_answer *a)
{
	struct json j = json_of(&a->body);

	json_begin_object(&j, NULL);
	members(owner, &j);
	json_end(&j);
	buf_text(&a->body, "\n");
}

static void status(const struct admin_ops *ops, void *owner, struct pages_answer *a)
{
	object(ops->status, owner, a);
}

static void stats(const struct admin_ops *ops, void *owner, struct pages_answer *a)
{
	object(ops->stats, owner, a);
}

static void tunnels(const struct admin_ops *ops, void *owner, struct pages_answer *a)
{
	struct json j = json_of(&a->body);

	json_begin_object(&j, NULL);
	json_begin_array(&j, "tunnels");
	ops->tunnels(owner, &j);
	json_end(&j);
	json_text(&j, "uri", "/api/tunnels");
	json_end(&j);
	buf_text(&a->body, "\n");
}

static const struct {
	const char *path, *type;
	void (*write)(const struct admin_ops *ops, void *owner, struct pages_answer *a);
} pages[] = {
	{ "/metrics", "text/plain; version=0.0.4; charset=utf-8", metrics },
	{ "/healthz", PLAIN, healthz },
	{ "/readyz", PLAIN, readyz },
	{ "/api/status", JSON, status },
	{ "/api/tunnels", JSON, tunnels },
	{ "/api/stats", JSON, stats },
};

enum { PAGES = sizeof pages / sizeof pages[0] };

void pages_write(const struct request_text *path, const struct admin_ops *ops, void *owner,
	struct pages_answer *a)
{
	for (size_t i = 0; i < PAGES; i++) {
		if (!request_is(path, pages[i].path))
			continue;
		a->status = 200;
		a->type = pages[i].type;
		pages[i].write(ops, owner, a);
		return;
	}
	pages_refuse(404, "There is nothing here. There is:", a);
	for (size_t i = 0; i < PAGES; i++)
		buf_format(&a->body, "%s\n", pages[i].path);
}
