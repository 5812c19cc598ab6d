#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "core/addr.h"

static void hosts_and_ports(void **state)
{
	static const struct {
		const char *text;
		int result;
		const char *host;
		int port; /* -1: none */
	} rows[] = {
		{ "example.com:9000", 0, "example.com", 9000 },
		{ "example.com", 0, "example.com", -1 },
		{ ":9000", 0, "", 9000 },
		{ "9000", 0, "localhost", 9000 },
		{ "127.0.0.1:0", 0, "127.0.0.1", 0 },
		{ "[::1]:9000", 0, "::1", 9000 },
		{ "[::1]", 0, "::1", -1 },
		{ "::1", 0, "::1", -1 },
		{ "fe80::1%eth0", 0, "fe80::1%eth0", -1 },
		{ "", -1, NULL, 0 },
		{ "host:", -1, NULL, 0 },
		{ "host:65536", -1, NULL, 0 },
		{ "host:-1", -1, NULL, 0 },
		{ "host:http", -1, NULL, 0 },
		{ "70000", -1, NULL, 0 },
		{ "[::1", -1, NULL, 0 },
		{ "[::1]9000", -1, NULL, 0 },
		{ "[nonsense]:1", -1, NULL, 0 },
		{ "[fe80::1%eth0]:1", 0, "fe80::1%eth0", 1 },
		{ "[%]:1", -1, NULL, 0 },
		{ "[name%eth0]:1", -1, NULL, 0 },
		{ "fe80::1%", -1, NULL, 0 },
		{ "name%eth0:1:2", -1, NULL, 0 },
		{ "host:80:90", -1, NULL, 0 },
		{ "127.0.0.1:80:90", -1, NULL, 0 },
		{ ":::", -1, NULL, 0 },
		{ "ho st:1", -1, NULL, 0 },
		{ "host/path:1", -1, NULL, 0 },
		{ "user@host:1", -1, NULL, 0 },
		{ "h\xc3\xb6st:1", -1, NULL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct addr a;
		const char *why = NULL;

		assert_int_equal(addr_parse(rows[i].text, &a, &why), rows[i].result);
		if (rows[i].result) {
			assert_non_null(why);
			continue;
		}
		assert_string_equal(a.host, rows[i].host);
		assert_int_equal(a.has_port, rows[i].port >= 0);
		assert_int_equal(a.port, rows[i].port >= 0 ? rows[i].port : 0);
	}
}

static void too_long(void **state)
{
	char host[400];
	struct addr a;
	const char *why;

	(void)state;
	memset(host, 'a', sizeof host);
	host[255] = '\0';
	assert_int_equal(addr_parse(host, &a, &why), 0);
	host[255] = 'a';
	host[399] = '\0';
	assert_int_equal(addr_parse(host, &a, &why), -1);
}

static void targets(void **state)
{
	static const struct {
		const char *text;
		int result;
		const char *host;
		unsigned port;
		bool http;
	} rows[] = {
		{ "localhost:3000", 0, "localhost", 3000, false },
		{ "3000", 0, "localhost", 3000, false },
		{ ":3000", 0, "localhost", 3000, false },
		{ "http://localhost:3000", 0, "localhost", 3000, true },
		{ "http://localhost:3000/", 0, "localhost", 3000, true },
		{ "HTTP://x", 0, "x", 80, true },
		{ "https://x", 0, "x", 443, false },
		{ "https://[::1]:8443/", 0, "::1", 8443, false },
		{ "http://x/path", -1, NULL, 0, false },
		{ "http://x/?q", -1, NULL, 0, false },
		{ "localhost", -1, NULL, 0, false },
		{ "localhost:0", -1, NULL, 0, false },
		{ "", -1, NULL, 0, false },
		{ "http://", -1, NULL, 0, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct addr a;
		bool http = false;
		const char *why = NULL;

		assert_int_equal(addr_parse_target(rows[i].text, &a, &http, &why), rows[i].result);
		if (rows[i].result)
			continue;
		assert_string_equal(a.host, rows[i].host);
		assert_int_equal(a.port, rows[i].port);
		assert_int_equal(http, rows[i].http);
	}
}

static void reasons(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "ftp://localhost", "only the schemes http:// and https:// are known" },
		{ "localhost:0", "a port is a number from 1 to 65535" },
		{ "http://localhost:0/", "a port is a number from 1 to 65535" },
		{ "localhost:70000", "a port is a number from 1 to 65535" },
		{ "::1:3000", "an IPv6 address with a port is written [ADDRESS]:PORT" },
		{ "host:80:90", "it has several colons and is no IPv6 address" },
		{ "[::1]", "the port is missing" },
		{ "localhost", "the port is missing" },
		{ "http://x/path", "a path cannot be forwarded, only the whole service" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct addr a;
		bool http;
		const char *why = NULL;

		assert_int_equal(addr_parse_target(rows[i].text, &a, &http, &why), -1);
		assert_string_equal(why, rows[i].why);
	}
}

static void socket_addresses(void **state)
{
	static const struct {
		const char *host, *text;
		bool loopback;
	} rows[] = {
		{ "127.0.0.1", "127.0.0.1:80", true },
		{ "127.9.9.9", "127.9.9.9:80", true },
		{ "128.0.0.1", "128.0.0.1:80", false },
		{ "::1", "[::1]:80", true },
		{ "::ffff:127.0.0.1", "127.0.0.1:80", true },
		{ "::ffff:10.0.0.1", "10.0.0.1:80", false },
		{ "2001:db8::1", "[2001:db8::1]:80", false },
		{ "0.0.0.0", "0.0.0.0:80", false },
	};
	char out[ADDR_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sockaddr_storage sa;

		assert_int_equal(addr_numeric(rows[i].host, 80, &sa), 0);
		assert_string_equal(addr_format((struct sockaddr *)&sa, out, sizeof out), rows[i].text);
		assert_int_equal(addr_is_loopback((struct sockaddr *)&sa), rows[i].loopback);
	}
	assert_true(addr_is_loopback_host("LocalHost"));
	assert_false(addr_is_loopback_host("localhost.example.com"));
}

static void same_hosts(void **unused)
{
	static const struct {
		const char *a, *b;
		bool same;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", true },
		{ "192.0.2.1", "192.0.2.2", false },
		{ "2001:db8::1", "2001:db8::1", true },
		{ "2001:db8::1", "2001:db8::2", false },
		{ "::1", "127.0.0.1", false },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct sockaddr_storage a, b;

		assert_int_equal(addr_numeric(rows[i].a, 1, &a), 0);
		assert_int_equal(addr_numeric(rows[i].b, 2, &b), 0);
		assert_int_equal(addr_is_same_host((struct sockaddr *)&a, (struct sockaddr *)&b),
			rows[i].same);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_and_ports),
		cmocka_unit_test(too_long),
		cmocka_unit_test(targets),
		cmocka_unit_test(reasons),
		cmocka_unit_test(socket_addresses),
		cmocka_unit_test(same_hosts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
