#include "core/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/text.h"

static int fail(const char **why, const char *reason)
{
	*why = reason;
	return -1;
}

static int parse_port(const char *text, struct addr *out, const char **why)
{
	uint64_t port;

	if (text_uint(text, 0, 65535, &port) < 0)
		return fail(why, "a port is a number from 1 to 65535");
	out->port = (uint16_t)port;
	out->has_port = true;
	return 0;
}

/* Names may have letters, digits, '-', '.', '_'; addresses ':' and '%'. */
static bool is_host(const char *host, size_t len, bool v6)
{
	for (size_t i = 0; i < len; i++) {
		char c = host[i];
		bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			(c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_';

		if (!plain && !(v6 && (c == ':' || c == '%')))
			return false;
	}
	return true;
}

static int set_host(struct addr *out, const char *host, size_t len, bool v6, const char **why)
{
	if (len > ADDR_HOST_MAX)
		return fail(why, "the host name is too long");
	if (!is_host(host, len, v6))
		return fail(why, "the host has a character that no name or address has");
	memcpy(out->host, host, len);
	out->host[len] = '\0';
	return 0;
}

/* An IPv6 address, maybe with its zone (RFC 4007, 11): "fe80::1%eth0". */
static bool is_v6(const char *host)
{
	char bare[INET6_ADDRSTRLEN];
	size_t len = strcspn(host, "%");
	struct in6_addr ip;

	if (len >= sizeof bare || (host[len] && !host[len + 1]))
		return false;
	memcpy(bare, host, len);
	bare[len] = '\0';
	return inet_pton(AF_INET6, bare, &ip) == 1;
}

static int parse_brackets(const char *text, struct addr *out, const char **why)
{
	const char *end = strchr(text, ']');

	if (!end || (end[1] && end[1] != ':'))
		return fail(why, "an IPv6 address is written [ADDRESS]:PORT");
	if (set_host(out, text + 1, (size_t)(end - text - 1), true, why) < 0)
		return -1;
	if (!is_v6(out->host))
		return fail(why, "what stands in brackets is no IPv6 address");
	return end[1] ? parse_port(end + 2, out, why) : 0;
}

int addr_parse(const char *text, struct addr *out, const char **why)
{
	const char *colon = strrchr(text, ':');
	struct addr a = { 0 };
	uint64_t number;
	int err;

	if (!*text)
		return fail(why, "it is empty");
	if (text_uint(text, 0, UINT64_MAX, &number) == 0) {
		strcpy(a.host, "localhost");
		err = parse_port(text, &a, why);
	} else if (*text == '[') {
		err = parse_brackets(text, &a, why);
	} else if (colon && strchr(text, ':') != colon) {
		err = set_host(&a, text, strlen(text), true, why);
		if (!err && !is_v6(a.host))
			err = fail(why, "it has several colons and is no IPv6 address");
	} else {
		err = set_host(&a, text, colon ? (size_t)(colon - text) : strlen(text), false, why);
		if (!err && colon)
			err = parse_port(colon + 1, &a, why);
	}
	if (!err)
		*out = a;
	return err;
}

int addr_parse_target(const char *text, struct addr *out, bool *is_http, const char **why)
{
	bool http = strncasecmp(text, "http://", 7) == 0;
	bool https = strncasecmp(text, "https://", 8) == 0;
	char host[ADDR_HOST_MAX + 10];
	struct addr a;
	size_t len;

	if (!http && !https && strstr(text, "://"))
		return fail(why, "only the schemes http:// and https:// are known");
	if (http || https)
		text += http ? 7 : 8;
	len = http || https ? strcspn(text, "/?#") : strlen(text);
	if (text[len] && strcmp(text + len, "/") != 0)
		return fail(why, "a path cannot be forwarded, only the whole service");
	if (len >= sizeof host)
		return fail(why, "the host name is too long");
	memcpy(host, text, len);
	host[len] = '\0';
	if (addr_parse(host, &a, why) < 0)
		return -1;
	if (!a.has_port && (http || https)) {
		a.port = http ? 80 : 443;
		a.has_port = true;
	}
	if (!a.has_port)
		return fail(why, strchr(a.host, ':') && *host != '[' ?
			"an IPv6 address with a port is written [ADDRESS]:PORT" :
			"the port is missing");
	if (a.port == 0)
		return fail(why, "a port is a number from 1 to 65535");
	if (!a.host[0])
		strcpy(a.host, "localhost");
	*out = a;
	*is_http = http;
	return 0;
}

const char *addr_join(const char *host, uint16_t port, char *out, size_t cap)
{
	snprintf(out, cap, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
	return out;
}

const char *addr_format_ip(const struct sockaddr *sa, char *out, size_t cap)
{
	const struct sockaddr_in6 *v6 = (const void *)sa;
	const struct sockaddr_in *v4 = (const void *)sa;

	snprintf(out, cap, "?");
	if (sa->sa_family == AF_INET)
		inet_ntop(AF_INET, &v4->sin_addr, out, (socklen_t)cap);
	else if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		inet_ntop(AF_INET, v6->sin6_addr.s6_addr + 12, out, (socklen_t)cap);
	else if (sa->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &v6->sin6_addr, out, (socklen_t)cap);
	return out;
}

const char *addr_format(const struct sockaddr *sa, char *out, size_t cap)
{
	char ip[INET6_ADDRSTRLEN];
	uint16_t port = ntohs(sa->sa_family == AF_INET6 ?
		((const struct sockaddr_in6 *)(const void *)sa)->sin6_port :
		((const struct sockaddr_in *)(const void *)sa)->sin_port);

	return addr_join(addr_format_ip(sa, ip, sizeof ip), port, out, cap);
}

bool addr_is_loopback(const struct sockaddr *sa)
{
	const struct sockaddr_in6 *v6 = (const void *)sa;
	const struct sockaddr_in *v4 = (const void *)sa;

	if (sa->sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	if (sa->sa_family != AF_INET6)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		return v6->sin6_addr.s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

bool addr_is_loopback_host(const char *host)
{
	struct sockaddr_storage sa;

	if (strcasecmp(host, "localhost") == 0)
		return true;
	return addr_numeric(host, 0, &sa) == 0 && addr_is_loopback((struct sockaddr *)&sa);
}

int addr_numeric(const char *host, uint16_t port, struct sockaddr_storage *out)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	memset(out, 0, sizeof *out);
	if (inet_pton(AF_INET, host, &v4.sin_addr) == 1)
		memcpy(out, &v4, sizeof v4);
	else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1)
		memcpy(out, &v6, sizeof v6);
	else
		return -1;
	return 0;
}

bool addr_is_same_host(const struct sockaddr *a, const struct sockaddr *b)
{
	if (a->sa_family != b->sa_family)
		return false;
	if (a->sa_family == AF_INET)
		return ((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr ==
			((const struct sockaddr_in *)(const void *)b)->sin_addr.s_addr;
	return memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr,
		&((const struct sockaddr_in6 *)(const void *)b)->sin6_addr, 16) == 0;
}
