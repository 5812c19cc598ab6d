/*
 * Addresses as people type them: what is taken is printed so that it is taken
 * again, as the same; a target has a host and a port; and whether an address is
 * this machine's does not depend on how it is asked.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PRINTED_MAX = ADDR_HOST_MAX + 32 };

static void must(bool what)
{
	if (!what)
		abort();
}

static bool is_same(const struct addr *a, const struct addr *b)
{
	return strcmp(a->host, b->host) == 0 && a->port == b->port && a->has_port == b->has_port;
}

static void check_host(const struct addr *a)
{
	size_t len = strnlen(a->host, sizeof a->host);

	must(len <= ADDR_HOST_MAX);
	for (size_t i = 0; i < len; i++)
		must(a->host[i] > 0x20 && a->host[i] < 0x7f && !strchr("/@[]\\\"'", a->host[i]));
}

static void check_numeric(const struct addr *a)
{
	char text[ADDR_TEXT_MAX], again[ADDR_TEXT_MAX];
	struct sockaddr_storage one, two;
	const char *why;
	struct addr b;

	if (addr_numeric(a->host, a->port, &one) < 0)
		return;
	addr_format((struct sockaddr *)&one, text, sizeof text);
	must(addr_parse(text, &b, &why) == 0 && b.has_port && b.port == a->port);
	must(addr_numeric(b.host, b.port, &two) == 0);
	addr_format((struct sockaddr *)&two, again, sizeof again);
	must(strcmp(text, again) == 0);
	must(addr_is_loopback((struct sockaddr *)&one) == addr_is_loopback((struct sockaddr *)&two));
	must(addr_is_loopback((struct sockaddr *)&one) == addr_is_loopback_host(a->host));
}

static void check_address(const char *text)
{
	char printed[PRINTED_MAX];
	const char *why = NULL;
	struct addr a, b;

	memset(&a, 0x5a, sizeof a);
	b = a;
	if (addr_parse(text, &a, &why) < 0) {
		must(why && *why && memcmp(&a, &b, sizeof a) == 0);
		return;
	}
	check_host(&a);
	must(a.has_port || a.port == 0);
	addr_join(a.host, a.port, printed, sizeof printed);
	if (!a.has_port)
		*strrchr(printed, ':') = '\0';
	must(addr_parse(printed, &b, &why) == 0 && is_same(&a, &b));
	check_numeric(&a);
}

static void check_target(const char *text)
{
	char printed[PRINTED_MAX] = "http://";
	bool is_http = false, again = true;
	const char *why = NULL;
	struct addr a, b;

	if (addr_parse_target(text, &a, &is_http, &why) < 0) {
		must(why && *why);
		return;
	}
	check_host(&a);
	must(a.host[0] && a.has_port && a.port);
	must(is_http == (strncasecmp(text, "http://", 7) == 0));
	addr_join(a.host, a.port, printed + 7, sizeof printed - 7);
	must(addr_parse_target(printed, &b, &again, &why) == 0 && is_same(&a, &b) && again);
	must(addr_parse_target(printed + 7, &b, &again, &why) == 0 && is_same(&a, &b) && !again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Its own block: a read beyond the end is seen. */
	char *text = size > 1000 ? NULL : malloc(size + 1);

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	check_address(text);
	check_target(text);
	free(text);
	return 0;
}
