#include "unit.h"

#include "http/status.h"

static void reasons(void **state)
{
	static const struct {
		unsigned status;
		const char *reason;
	} rows[] = {
		{ 100, "Continue" },
		{ 101, "Switching Protocols" },
		{ 200, "OK" },
		{ 203, "Non-Authoritative Information" },
		{ 226, "IM Used" },
		{ 304, "Not Modified" },
		{ 404, "Not Found" },
		{ 413, "Content Too Large" },
		{ 422, "Unprocessable Content" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Error" },
		{ 502, "Bad Gateway" },
		{ 511, "Network Authentication Required" },
		{ 0, "Unknown" },
		{ 99, "Unknown" },
		{ 199, "Informational" },
		{ 299, "Successful" },
		{ 306, "Redirection" },
		{ 499, "Client Error" },
		{ 599, "Server Error" },
		{ 600, "Unknown" },
		{ 999, "Unknown" },
		{ (unsigned)-1, "Unknown" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(status_reason(rows[i].status), rows[i].reason);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
