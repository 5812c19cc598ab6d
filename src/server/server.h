#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the options of `gotunnel server` come to. Strings belong to the
 * caller and outlive server_run(). */
struct server_config {
	const char *addr_host;	/* of --addr; NULL: every address */
	uint16_t addr_port;	/* 0: the kernel picks one, which is printed */
	uint16_t start_port, end_port;
	const char *bind_host;	/* of public listeners; NULL: every address */
	const char *public_host; /* the name visitors use, or NULL */
	bool tls;
	const char *tls_cert, *tls_key;
	bool plaintext;		/* also accept plaintext */
	const char *token;	/* set by hand (wiped by the caller after), or NULL */
	const char *token_source; /* "--token", the file's path, "GOTUNNEL_TOKEN"; or NULL */
	const char *state_dir;	/* resolved; NULL when no place could be found */
	uint64_t hold_ms;
	unsigned workers;	/* 0: as many as processors, at most 8 */
	unsigned max_conns;	/* 0: from the descriptor limit */
	unsigned max_conns_per_address; /* 0: no cap */
	unsigned max_unauthenticated;
	unsigned max_sessions;	/* with tunnels; 0: a quarter of the descriptor limit */
	size_t max_buffered;	/* bytes held for streams */
	uint64_t drain_ms;
	bool quiet;
	bool request_log;	/* watch HTTP, write a line a request and connection */
	bool admin_socket;	/* the unix socket of `gotunnel stats` */
	const char *admin_host;	/* numeric loopback address of --admin, or NULL */
	uint16_t admin_port;
	const char *program_version;
};

/* Runs until a signal or a fatal error. Returns the exit code of cli.md: 0,
 * 1, 3, 7, or 128 + n after a second signal; every error has been reported. */
int server_run(const struct server_config *config);

#endif
