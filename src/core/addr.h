#ifndef CORE_ADDR_H
#define CORE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { ADDR_HOST_MAX = 255, ADDR_TEXT_MAX = 64 };

/* A host and a port as people write them. */
struct addr {
	char host[ADDR_HOST_MAX + 1];	/* a name or an address without brackets; "": every address */
	uint16_t port;			/* 0 when has_port is false */
	bool has_port;
};

/* "HOST", "HOST:PORT", ":PORT", "[V6]", "[V6]:PORT", a bare IPv6 address; a
 * bare number is a port of localhost. 0, or -1 with a static reason in *why. */
int addr_parse(const char *text, struct addr *out, const char **why);

/* The target of a client: addr_parse(), or http://HOST:PORT[/] and
 * https://HOST[:PORT][/] (443 when there is none). */
int addr_parse_target(const char *text, struct addr *out, bool *is_http, const char **why);

/* "HOST:PORT", an IPv6 address in brackets. Returns out. */
const char *addr_join(const char *host, uint16_t port, char *out, size_t cap);

/* The same of a socket address; IPv4 in IPv6 is shown as IPv4. Returns out,
 * ADDR_TEXT_MAX is enough. */
const char *addr_format(const struct sockaddr *sa, char *out, size_t cap);
/* Without the port and brackets. */
const char *addr_format_ip(const struct sockaddr *sa, char *out, size_t cap);

bool addr_is_loopback(const struct sockaddr *sa);
/* Whether a host as typed can only mean this machine. */
bool addr_is_loopback_host(const char *host);

/* A numeric host. 0 or -1. */
int addr_numeric(const char *host, uint16_t port, struct sockaddr_storage *out);

/* Whether both are of one IP address, whatever the ports. */
bool addr_is_same_host(const struct sockaddr *a, const struct sockaddr *b);

#endif
