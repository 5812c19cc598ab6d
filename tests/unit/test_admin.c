#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin/admin.h"
#include "admin/place.h"
#include "core/log.h"
#include "net/sys.h"
#include "net/timer.h"

/* A real loop, and visitors in the same process: whoever waits turns it. */
static struct {
	uv_loop_t loop;
	struct worker worker;
	struct admin *admin;
	bool is_ready;
	size_t page_len;
	unsigned calls;
} rig;

static char top[64], folder[80];

static bool is_ready(void *owner, const char **why)
{
	assert_ptr_equal(owner, &rig);
	*why = "no server yet";
	return rig.is_ready;
}

static void status(void *owner, struct json *j)
{
	(void)owner;
	json_text(j, "role", "server");
}

static void stats(void *owner, struct json *j)
{
	(void)owner;
	json_uint(j, "pid", 4711);
}

static void tunnels(void *owner, struct json *j)
{
	(void)owner;
	json_begin_object(j, NULL);
	json_text(j, "name", "a\"b");
	json_end(j);
}

static void metrics(void *owner, struct buf *out)
{
	static const char line[] = "a_metric 1\n";

	(void)owner;
	rig.calls++;
	do
		buf_add(out, line, sizeof line - 1);
	while (out->len < rig.page_len && !out->failed);
}

static const struct admin_ops ops = {
	.is_ready = is_ready,
	.status = status,
	.stats = stats,
	.tunnels = tunnels,
	.metrics = metrics,
};

static int set_up(void **state)
{
	struct admin_config config = { .name = "server-9000", .socket = true, .host = "127.0.0.1" };

	(void)state;
	memset(&rig, 0, sizeof rig);
	rig.is_ready = true;
	assert_int_equal(uv_loop_init(&rig.loop), 0);
	assert_int_equal(worker_init(&rig.worker, &rig.loop), 0);
	assert_int_equal(admin_open(&rig.admin, &rig.worker, &config, &ops, &rig), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	admin_close(rig.admin);
	worker_close(&rig.worker);
	uv_run(&rig.loop, UV_RUN_DEFAULT);
	worker_fini(&rig.worker);
	assert_int_equal(uv_loop_close(&rig.loop), 0);
	return 0;
}

static void turn(void)
{
	uv_run(&rig.loop, UV_RUN_NOWAIT);
}

static int visit(bool is_unix)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const char *colon = strchr(admin_address(rig.admin), ':');
	int fd = is_unix ? sys_connect_unix(admin_socket(rig.admin)) : sys_socket(AF_INET);

	assert_true(fd >= 0);
	sa.sin_port = htons((uint16_t)atoi(colon + 1));
	if (!is_unix && connect(fd, (struct sockaddr *)&sa, sizeof sa) < 0)
		assert_int_equal(errno, EINPROGRESS);
	turn();
	return fd;
}

static void say_bytes(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else if (errno != EAGAIN) {
			return; /* It has closed: what it said is still to be read. */
		}
		turn();
	}
}

static void say(int fd, const char *text)
{
	say_bytes(fd, text, strlen(text));
}

/* Everything until it closes, or until `want` bytes are there; up to 5 s. */
struct heard {
	char *text;
	size_t len;
	bool is_closed;
};

static struct heard hear(int fd, size_t want, size_t cap)
{
	struct heard h = { malloc(cap + 1), 0, false };

	for (int tries = 0; tries < 5000 && h.len < want && !h.is_closed; tries++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t n;

		turn();
		if (poll(&p, 1, 1) <= 0)
			continue;
		n = recv(fd, h.text + h.len, cap - h.len, 0);
		if (n > 0)
			h.len += (size_t)n;
		else
			h.is_closed = true;
	}
	h.text[h.len] = '\0';
	return h;
}

/* One request on a connection of its own, which then ends. */
static struct heard ask(bool is_unix, const char *request)
{
	int fd = visit(is_unix);
	struct heard h;

	say(fd, request);
	h = hear(fd, SIZE_MAX, 1 << 20);
	assert_true(h.is_closed);
	close(fd);
	return h;
}

static void has(const struct heard *h, const char *part)
{
	if (!strstr(h->text, part))
		fail_msg("no \"%s\" in:\n%s", part, h->text);
}

static void lacks(const struct heard *h, const char *part)
{
	if (strstr(h->text, part))
		fail_msg("\"%s\" in:\n%s", part, h->text);
}

static const struct {
	const char *path, *first, *type, *body;
} routes[] = {
	{ "/metrics", "HTTP/1.1 200 OK\r\n", "text/plain; version=0.0.4; charset=utf-8",
		"a_metric 1\n" },
	{ "/metrics?x=y", "HTTP/1.1 200 OK\r\n", "text/plain; version=0.0.4; charset=utf-8",
		"a_metric 1\n" },
	{ "/healthz", "HTTP/1.1 200 OK\r\n", "text/plain; charset=utf-8", "ok\n" },
	{ "/readyz", "HTTP/1.1 200 OK\r\n", "text/plain; charset=utf-8", "ready\n" },
	{ "/api/status", "HTTP/1.1 200 OK\r\n", "application/json; charset=utf-8",
		"{\"role\":\"server\"}\n" },
	{ "/api/tunnels", "HTTP/1.1 200 OK\r\n", "application/json; charset=utf-8",
		"{\"tunnels\":[{\"name\":\"a\\\"b\"}],\"uri\":\"/api/tunnels\"}\n" },
	{ "/api/stats", "HTTP/1.1 200 OK\r\n", "application/json; charset=utf-8",
		"{\"pid\":4711}\n" },
	{ "/", "HTTP/1.1 404 Not Found\r\n", "text/plain; charset=utf-8",
		"There is nothing here. There is:\n/metrics\n/healthz\n/readyz\n/api/status\n"
		"/api/tunnels\n/api/stats\n" },
	{ "/api", "HTTP/1.1 404 Not Found\r\n", "text/plain; charset=utf-8", "/api/stats\n" },
	{ "/api/stats/", "HTTP/1.1 404 Not Found\r\n", "text/plain; charset=utf-8", "/api/stats\n" },
};

static void check_route(const struct heard *h, size_t i, bool with_body)
{
	char head[200];
	const char *body = strstr(h->text, "\r\n\r\n");

	assert_non_null(body);
	body += 4;
	assert_memory_equal(h->text, routes[i].first, strlen(routes[i].first));
	snprintf(head, sizeof head, "\r\nContent-Type: %s\r\n", routes[i].type);
	has(h, head);
	has(h, "\r\nCache-Control: no-store\r\n");
	has(h, "\r\nX-Content-Type-Options: nosniff\r\n");
	lacks(h, "Access-Control");
	if (!with_body) {
		assert_string_equal(body, "");
		has(h, "\r\nContent-Length: ");
		lacks(h, "\r\nContent-Length: 0\r\n");
		return;
	}
	snprintf(head, sizeof head, "\r\nContent-Length: %zu\r\n", strlen(body));
	has(h, head);
	assert_non_null(strstr(body, routes[i].body));
}

static void every_route(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(routes); i++) {
		for (int how = 0; how < 4; how++) {
			char request[200];
			struct heard h;

			snprintf(request, sizeof request,
				"%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
				how & 1 ? "HEAD" : "GET", routes[i].path);
			h = ask(how & 2, request);
			check_route(&h, i, !(how & 1));
			free(h.text);
		}
	}
}

static void not_ready(void **state)
{
	struct heard h;

	(void)state;
	rig.is_ready = false;
	h = ask(true, "GET /readyz HTTP/1.0\r\n\r\n");
	has(&h, "HTTP/1.1 503 Service Unavailable\r\n");
	has(&h, "\r\n\r\nno server yet\n");
	free(h.text);
}

static void refusals(void **state)
{
	static const struct {
		const char *request, *local, *web;
	} rows[] = {
		{ "GET / HTTP/1.1\r\n\r\n", "400 Bad Request", "400 Bad Request" },
		{ "GET /healthz HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", "200 OK",
			"403 Forbidden" },
		{ "GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n"
			"Connection: close\r\n\r\n", "403 Forbidden", "403 Forbidden" },
		{ "GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:1\r\n"
			"Connection: close\r\n\r\n", "403 Forbidden", "200 OK" },
		{ "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n"
			"Connection: close\r\n\r\n", "200 OK", "403 Forbidden" },
		{ "POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
			"413 Content Too Large", "413 Content Too Large" },
		{ "DELETE /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
			"405 Method Not Allowed\r\n", "405 Method Not Allowed\r\n" },
		{ "GET /healthz HTTP/3.0\r\nHost: localhost\r\n\r\n", "505 HTTP", "505 HTTP" },
		{ "\x16\x03\x01\n", "400 Bad Request", "400 Bad Request" },
	};

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(rows); i++) {
		struct heard h = ask(i & 1, rows[i / 2].request);

		has(&h, i & 1 ? rows[i / 2].local : rows[i / 2].web);
		assert_int_equal(strstr(h.text, "405 ") != NULL,
			strstr(h.text, "\r\nAllow: GET, HEAD\r\n") != NULL);
		has(&h, "\r\nConnection: close\r\n");
		free(h.text);
	}
}

/* What an answered request sent too much does not reset the answer away. */
static void a_long_body_does_not_cost_the_answer(void **state)
{
	size_t len = 200 * 1024;
	char *text = malloc(len);
	int fd = visit(false);
	struct heard h;

	(void)state;
	memset(text, 'x', len);
	memcpy(text, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999\r\n\r\n", 61);
	say_bytes(fd, text, len);
	h = hear(fd, SIZE_MAX, 1 << 20);
	has(&h, "413 Content Too Large");
	free(h.text);
	free(text);
	close(fd);
}

static void a_head_that_is_too_long(void **state)
{
	(void)state;
	for (int over = 0; over < 2; over++) {
		char text[ADMIN_HEAD_MAX + 2];
		size_t len = ADMIN_HEAD_MAX + (size_t)over, at;
		struct heard h;

		at = (size_t)snprintf(text, sizeof text,
			"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: ");
		memset(text + at, 'x', len - at);
		strcpy(text + len - 4, "\r\n\r\n");
		h = ask(true, text);
		has(&h, over ? "431 Request Header Fields Too Large" : "200 OK");
		free(h.text);
	}
}

static unsigned count(const struct heard *h, const char *part)
{
	const char *p = h->text, *end = h->text + h->len;
	size_t len = strlen(part);
	unsigned n = 0;

	/* Not memmem(): the sanitizer looks at all the rest in each call. */
	for (; (p = memchr(p, *part, (size_t)(end - p))); p++)
		n += (size_t)(end - p) >= len && memcmp(p, part, len) == 0;
	return n;
}

static void one_connection_for_many(void **state)
{
	static const char get[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
	int fd = visit(false);
	struct heard h;

	(void)state;
	for (int i = 0; i < 3; i++) {
		say(fd, get);
		h = hear(fd, 1, 4096);
		has(&h, "HTTP/1.1 200 OK\r\n");
		lacks(&h, "Connection:");
		assert_false(h.is_closed);
		free(h.text);
	}
	for (int i = 0; i < 100; i++)
		say(fd, get);
	say(fd, "GET /healthz HTTP/1.0\r\n\r\n");
	h = hear(fd, SIZE_MAX, 1 << 20);
	assert_true(h.is_closed);
	assert_int_equal(count(&h, "HTTP/1.1 200 OK\r\n"), 101);
	assert_int_equal(count(&h, "\r\n\r\nok\n"), 101);
	free(h.text);
	close(fd);
}

static void thousands_at_once(void **state)
{
	static const char get[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
	size_t len = sizeof get - 1, sent = 0, total = 3000 * len;
	char *all = malloc(total);
	int fd = visit(true);
	struct heard h = { malloc(2 << 20), 0, false };

	(void)state;
	for (size_t i = 0; i < total; i += len)
		memcpy(all + i, get, len);
	while (!h.is_closed && (sent < total || count(&h, "\r\n\r\nok\n") < 3000)) {
		ssize_t n = sent < total ? send(fd, all + sent, total - sent, MSG_NOSIGNAL) : 0;

		sent += n > 0 ? (size_t)n : 0;
		for (int i = 0; i < 100; i++)
			turn();
		n = recv(fd, h.text + h.len, (2 << 20) - h.len - 1, 0);
		h.len += n > 0 ? (size_t)n : 0;
		h.text[h.len] = '\0';
		h.is_closed = n == 0;
	}
	assert_false(h.is_closed);
	free(h.text);
	free(all);
	close(fd);
}

static void byte_by_byte(void **state)
{
	static const char get[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
		"Connection: close\r\n\r\n";
	int fd = visit(true);
	struct heard h;

	(void)state;
	for (size_t i = 0; i < sizeof get - 1; i++)
		say_bytes(fd, get + i, 1);
	h = hear(fd, SIZE_MAX, 4096);
	has(&h, "200 OK");
	free(h.text);
	close(fd);
}

/* Who has said all is answered, and who has said a part is not. */
static void half_closed(void **state)
{
	(void)state;
	for (int whole = 0; whole < 2; whole++) {
		int fd = visit(false);
		struct heard h;

		say(fd, whole ? "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" : "GET /hea");
		shutdown(fd, SHUT_WR);
		h = hear(fd, SIZE_MAX, 4096);
		assert_true(h.is_closed);
		assert_int_equal(h.len > 0, whole);
		free(h.text);
		close(fd);
	}
}

static void a_large_page(void **state)
{
	int fd = visit(false);
	struct heard h;

	(void)state;
	rig.page_len = 8 << 20;
	say(fd, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
	h = hear(fd, SIZE_MAX, 10 << 20);
	assert_true(h.is_closed);
	assert_int_equal(count(&h, "a_metric 1\n"), (rig.page_len + 10) / 11);
	free(h.text);
	close(fd);
}

static void a_page_beyond_the_bound(void **state)
{
	struct heard h;

	(void)state;
	rig.page_len = SIZE_MAX;
	h = ask(true, "GET /metrics HTTP/1.0\r\n\r\n");
	has(&h, "500 Internal Server Error");
	lacks(&h, "a_metric");
	free(h.text);
}

static uint64_t now(void)
{
	return timer_now_us(&rig.loop) / 1000;
}

static void the_slow_are_dropped(void **state)
{
	static const char *const asked[] = { "", "GET /hea", "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" };

	(void)state;
	rig.page_len = 32 << 20;
	for (size_t i = 0; i < COUNT(asked); i++) {
		int fd = visit(true);
		uint64_t begin = now();
		struct pollfd p = { .fd = fd };

		say(fd, asked[i]);
		while (poll(&p, 1, 1) == 0 && now() - begin < 60000)
			turn();
		assert_true(p.revents & POLLHUP);
		assert_in_range(now() - begin, 4500, 30000);
		close(fd);
	}
}

static void one_more_than_the_limit(void **state)
{
	int fds[ADMIN_CONNS_MAX], fd;
	struct heard h;

	(void)state;
	for (size_t i = 0; i < COUNT(fds); i++)
		fds[i] = visit(i & 1);
	fd = visit(true);
	h = hear(fd, SIZE_MAX, 4096);
	assert_true(h.is_closed);
	assert_int_equal(h.len, 0);
	free(h.text);
	close(fd);
	close(fds[0]);
	turn();
	h = ask(true, "GET /healthz HTTP/1.0\r\n\r\n");
	has(&h, "200 OK");
	free(h.text);
	for (size_t i = 1; i < COUNT(fds); i++)
		close(fds[i]);
}

/* Closing in the middle of an answer, and of a callback, harms nobody. */
static void close_now(void *owner, struct buf *out)
{
	(void)owner;
	admin_close(rig.admin);
	rig.admin = NULL;
	buf_text(out, "too late\n");
}

static void closed_by_its_owner(void **state)
{
	static const struct admin_ops closing = { .is_ready = is_ready, .status = status,
		.stats = stats, .tunnels = tunnels, .metrics = close_now };
	struct admin_config config = { .name = "closing", .socket = true };
	int fd, idle;
	struct heard h;
	char path[PATH_MAX];

	(void)state;
	admin_close(rig.admin);
	turn();
	assert_int_equal(admin_open(&rig.admin, &rig.worker, &config, &closing, &rig), 0);
	snprintf(path, sizeof path, "%s", admin_socket(rig.admin));
	assert_string_equal(admin_address(rig.admin), "");
	idle = sys_connect_unix(path);
	fd = sys_connect_unix(path);
	say(fd, "GET /metrics HTTP/1.0\r\n\r\n");
	h = hear(fd, SIZE_MAX, 4096);
	assert_int_equal(h.len, 0);
	free(h.text);
	assert_int_equal(access(path, F_OK), -1);
	close(idle);
	close(fd);
}

static void own_address(void **state)
{
	static const struct {
		const char *host;
		bool is_own;
	} rows[] = {
		{ "127.0.0.1", true }, { "::ffff:127.0.0.1", true }, { "0.0.0.0", true },
		{ "::ffff:0.0.0.0", true }, { "127.0.0.2", false }, { "::1", false },
	};
	uint16_t port = (uint16_t)atoi(strchr(admin_address(rig.admin), ':') + 1);

	(void)state;
	for (size_t i = 0; i < 2 * COUNT(rows); i++) {
		struct sockaddr_storage sa = { 0 };
		struct sockaddr_in6 *v6 = (void *)&sa;
		struct sockaddr_in *v4 = (void *)&sa;
		uint16_t other = htons((uint16_t)(port ^ (i & 1)));

		sa.ss_family = strchr(rows[i / 2].host, ':') ? AF_INET6 : AF_INET;
		if (sa.ss_family == AF_INET6)
			v6->sin6_port = other;
		else
			v4->sin_port = other;
		assert_int_equal(inet_pton(sa.ss_family, rows[i / 2].host,
			sa.ss_family == AF_INET6 ? (void *)&v6->sin6_addr : &v4->sin_addr), 1);
		assert_int_equal(admin_is_at(rig.admin, (struct sockaddr *)&sa),
			rows[i / 2].is_own && !(i & 1));
		assert_false(admin_is_at(NULL, (struct sockaddr *)&sa));
	}
}

static void an_address_that_cannot_be(void **state)
{
	struct admin *other = rig.admin;
	struct admin_config config = { .name = "x", .host = "127.0.0.1",
		.port = (uint16_t)atoi(strchr(admin_address(rig.admin), ':') + 1) };

	(void)state;
	assert_int_equal(admin_open(&other, &rig.worker, &config, &ops, &rig), -EADDRINUSE);
	assert_null(other);
	config.host = "0.0.0.0";
	assert_int_equal(admin_open(&other, &rig.worker, &config, &ops, &rig), -EINVAL);
	config.host = "localhost";
	assert_int_equal(admin_open(&other, &rig.worker, &config, &ops, &rig), -EINVAL);
	admin_close(NULL);
}

/* --- the unix socket --------------------------------------------------------------- */

static void its_place_and_mode(void **state)
{
	struct stat st;
	char path[160];

	(void)state;
	snprintf(path, sizeof path, "%s/server-9000.sock", folder);
	assert_string_equal(admin_socket(rig.admin), path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
}

static struct admin *second(const char *name)
{
	struct admin_config config = { .name = name, .socket = true };
	struct admin *a;

	assert_int_equal(admin_open(&a, &rig.worker, &config, &ops, &rig), 0);
	return a;
}

static void a_live_one_keeps_its_name(void **state)
{
	struct admin *a = second("server-9000");
	char path[160];

	(void)state;
	snprintf(path, sizeof path, "%s/server-9000-%d.sock", folder, (int)getpid());
	assert_string_equal(admin_socket(a), path);
	admin_close(a);
	turn();
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(admin_socket(rig.admin), F_OK), 0);
}

static void a_dead_one_is_replaced(void **state)
{
	char path[160];
	struct admin *a;
	int fd;

	(void)state;
	snprintf(path, sizeof path, "%s/dead.sock", folder);
	fd = sys_listen_unix(path, 1);
	assert_true(fd >= 0);
	close(fd);
	a = second("dead");
	assert_string_equal(admin_socket(a), path);
	/* Somebody else's now: it is left alone. */
	unlink(path);
	fd = sys_listen_unix(path, 1);
	admin_close(a);
	turn();
	assert_int_equal(access(path, F_OK), 0);
	close(fd);
	unlink(path);
}

static void a_name_that_is_too_long(void **state)
{
	char name[200];
	struct admin *a;

	(void)state;
	memset(name, 'x', sizeof name - 1);
	name[sizeof name - 1] = '\0';
	a = second(name);
	assert_string_equal(admin_socket(a), "");
	admin_close(a);
}

/* Each is refused with a warning, and the rest goes on without a socket. */
static void a_folder_that_is_not_ours(void **state)
{
	char moved[160], target[160];

	(void)state;
	snprintf(moved, sizeof moved, "%s.moved", folder);
	snprintf(target, sizeof target, "%s.target", folder);
	assert_int_equal(rename(folder, moved), 0);
	for (int how = 0; how < 4; how++) {
		struct admin *a;

		if (how == 0)
			assert_int_equal(mkdir(target, 0700) + symlink(target, folder), 0);
		else if (how == 1)
			fclose(fopen(folder, "w"));
		else
			assert_int_equal(mkdir(folder, 0700), 0);
		if (how == 2)
			assert_int_equal(chmod(folder, 0770), 0);
		if (how == 3 && chown(folder, 4711, 4711) < 0) {
			rmdir(folder);
			continue;
		}
		a = second("x");
		assert_string_equal(admin_socket(a), "");
		admin_close(a);
		turn();
		assert_int_equal(how < 2 ? unlink(folder) : rmdir(folder), 0);
	}
	rmdir(target);
	assert_int_equal(rename(moved, folder), 0);
}

static void a_folder_is_made_private(void **state)
{
	struct admin *a;
	struct stat st;

	(void)state;
	assert_int_equal(chmod(folder, 0755), 0);
	a = second("x");
	assert_string_not_equal(admin_socket(a), "");
	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	admin_close(a);
	turn();
}

/* Modes are one fence, the peer's credentials are the other. */
static void another_user(void **state)
{
	int result;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(top, 0755) + chmod(folder, 0755) +
		chmod(admin_socket(rig.admin), 0666), 0);
	pid = fork();
	if (pid == 0) {
		char c;
		int fd;

		if (setuid(4711) < 0)
			_exit(3);
		fd = sys_connect_unix(admin_socket(rig.admin));
		if (fd < 0)
			_exit(4);
		usleep(100000);
		if (send(fd, "GET /healthz HTTP/1.0\r\n\r\n", 25, MSG_NOSIGNAL) > 0 &&
			poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 5000) == 1)
			_exit(recv(fd, &c, 1, 0) > 0);
		_exit(0);
	}
	while (waitpid(pid, &result, WNOHANG) == 0)
		turn();
	assert_true(WIFEXITED(result));
	assert_int_equal(WEXITSTATUS(result), 0);
}

static void the_folder(void **state)
{
	char out[128], saved[80], wanted[128];

	(void)state;
	snprintf(wanted, sizeof wanted, "/tmp/gotunnel-%u", (unsigned)geteuid());
	if (geteuid() == 0)
		strcpy(wanted, "/run/gotunnel");
	assert_int_equal(admin_folder(out, sizeof out), 0);
	assert_string_equal(out, folder);
	assert_int_equal(admin_folder(out, 10), -1);
	assert_int_equal(place_folder(1, out, sizeof out), 0);
	assert_string_equal(out, wanted);
	assert_int_equal(place_folder(2, out, sizeof out), -1);
	snprintf(saved, sizeof saved, "%s", getenv("XDG_RUNTIME_DIR"));
	for (int i = 0; i < 3; i++) {
		static const char *const unfit[] = { NULL, "relative", "/nowhere" };

		if (unfit[i])
			setenv("XDG_RUNTIME_DIR", unfit[i], 1);
		else
			unsetenv("XDG_RUNTIME_DIR");
		assert_int_equal(admin_folder(out, sizeof out), 0);
		assert_string_equal(out, wanted);
		assert_int_equal(place_folder(1, out, sizeof out), -1);
	}
	setenv("XDG_RUNTIME_DIR", saved, 1);
	/* What systemd gives a unit is the only one. */
	setenv("RUNTIME_DIRECTORY", "/run/unit:/run/other", 1);
	assert_int_equal(admin_folder(out, sizeof out), 0);
	assert_string_equal(out, "/run/unit");
	assert_int_equal(place_folder(1, out, sizeof out), -1);
	unsetenv("RUNTIME_DIRECTORY");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		CASE(every_route),
		CASE(not_ready),
		CASE(refusals),
		CASE(a_long_body_does_not_cost_the_answer),
		CASE(a_head_that_is_too_long),
		CASE(one_connection_for_many),
		CASE(thousands_at_once),
		CASE(byte_by_byte),
		CASE(half_closed),
		CASE(a_large_page),
		CASE(a_page_beyond_the_bound),
		CASE(the_slow_are_dropped),
		CASE(one_more_than_the_limit),
		CASE(closed_by_its_owner),
		CASE(own_address),
		CASE(an_address_that_cannot_be),
		CASE(its_place_and_mode),
		CASE(a_live_one_keeps_its_name),
		CASE(a_dead_one_is_replaced),
		CASE(a_name_that_is_too_long),
		CASE(a_folder_that_is_not_ours),
		CASE(a_folder_is_made_private),
		CASE(another_user),
		CASE(the_folder),
	};
	int failed;

	setenv("GOTUNNEL_TEST_TIME_SCALE", "10", 1);
	strcpy(top, "/tmp/gotunnel-test-XXXXXX");
	if (!mkdtemp(top))
		return 1;
	snprintf(folder, sizeof folder, "%s/gotunnel", top);
	setenv("XDG_RUNTIME_DIR", top, 1);
	log_setup(&(struct log_config){ .level = LOG_ERROR });
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(folder);
	rmdir(top);
	return failed;
}
