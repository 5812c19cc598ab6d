#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

/* What the options of `gotunnel client` come to. Strings belong to the caller
 * and outlive client_run(). */
struct client_config {
	const char *command;		/* client, tcp or http: for its last words */
	const char *server_host;	/* as typed, without the port; [] removed */
	uint16_t server_port;
	bool server_given;		/* false: localhost:9000 by default */
	const char *local_host;
	uint16_t local_port;
	bool is_http;			/* `gotunnel http`, or --local http://… */
	const char *token;		/* NULL: none given, "dev-token" is tried */
	const char *token_source;	/* "--token", a path, "GOTUNNEL_TOKEN"; NULL with no token */
	bool token_typed;		/* at the prompt: offer to keep it */
	bool tls;
	const char *tls_ca;		/* path, "system", or NULL: certs/ca-cert.pem if it exists */
	bool plaintext;
	bool reconnect;
	unsigned retries;		/* 0: without end */
	uint16_t remote_port;		/* 0: any */
	const char *name;		/* --name, or HOSTNAME:LOCALPORT */
	const char *state_dir;		/* resolved; NULL when no place could be found */
	uint64_t hold_ms;
	uint64_t drain_ms;
	bool drain_given;
	unsigned lanes;			/* connections at once, 1 to 8 */
	bool quiet;
	bool request_log;		/* watch HTTP, write a line a request and connection */
	bool admin_socket;		/* the unix socket of `gotunnel stats` */
	const char *admin_host;		/* numeric loopback address of --admin, or NULL */
	uint16_t admin_port;
	const char *program_version;
};

/* Runs until a signal, a final error or the end of the attempts. Returns the
 * exit code of cli.md: 0, 1, 3 to 7, or 128 + n after a second signal; every
 * error has been reported. */
int client_run(const struct client_config *config);

#endif
