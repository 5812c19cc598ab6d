#include "unit.h"

#include "admin/gate.h"

static struct request_text text_of(const char *text)
{
	return (struct request_text){ text, text ? strlen(text) : 0 };
}

static unsigned ask(const char *host, const char *origin, bool is_old, bool is_unix)
{
	struct request r = {
		.host = text_of(host),
		.origin = text_of(origin),
		.has_field_host = host,
		.is_old = is_old,
	};
	const char *why = NULL;
	unsigned status = gate_check(&r, is_unix, &why);

	assert_int_equal(status != 0, why != NULL);
	return status;
}

static const struct {
	const char *host;
	bool is_own;
} hosts[] = {
	{ "localhost", true }, { "LocalHost:4040", true }, { "127.0.0.1", true },
	{ "127.0.0.1:4040", true }, { "127.255.1.2:65535", true }, { "[::1]", true },
	{ "[::1]:4040", true }, { "[0:0::1]", true },
	{ "", false }, { "localhost.", false }, { "localhost.evil.example", false },
	{ "evil.example", false }, { "127.0.0.1.evil.example", false }, { "128.0.0.1", false },
	{ "127.1", false }, { "0x7f.0.0.1", false }, { "0.0.0.0", false }, { "::1", false },
	{ "[::1", false }, { "[::1]x", false }, { "[127.0.0.1]", false }, { "[localhost]", false },
	{ "[::2]", false }, { "[]", false }, { "localhost:", false }, { "localhost:x", false },
	{ "localhost:65536", false }, { "localhost:1:2", false }, { "user@localhost", false },
	{ ":4040", false },
	{ "127.0.0.1000000000000000000000000000000000000000000000000000000000000000000000000000000",
		false },
};

static void host_on_the_address(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(hosts); i++) {
		assert_int_equal(ask(hosts[i].host, NULL, false, false), hosts[i].is_own ? 0 : 403);
		assert_int_equal(ask(hosts[i].host, NULL, true, false), hosts[i].is_own ? 0 : 403);
		assert_int_equal(ask(hosts[i].host, NULL, false, true), 0);
	}
	assert_int_equal(ask(NULL, NULL, false, false), 400);
	assert_int_equal(ask(NULL, NULL, false, true), 400);
	assert_int_equal(ask(NULL, NULL, true, false), 0);
}

static void origin_on_the_address(void **state)
{
	char origin[160];

	(void)state;
	for (size_t i = 0; i < COUNT(hosts); i++) {
		snprintf(origin, sizeof origin, "http://%s", hosts[i].host);
		assert_int_equal(ask("localhost", origin, false, false), hosts[i].is_own ? 0 : 403);
		assert_int_equal(ask("localhost", origin, false, true), 403);
	}
	assert_int_equal(ask("localhost", "null", false, false), 403);
	assert_int_equal(ask("localhost", "https://localhost", false, false), 403);
	assert_int_equal(ask("localhost", "http://localhost/", false, false), 403);
	assert_int_equal(ask("localhost", "localhost", false, false), 403);
	assert_int_equal(ask("localhost", "http", false, false), 403);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(host_on_the_address),
		cmocka_unit_test(origin_on_the_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
