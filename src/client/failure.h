#ifndef CLIENT_FAILURE_H
#define CLIENT_FAILURE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/client.h"
#include "client/retry.h"
#include "mux/session.h"
#include "net/dial.h"
#include "wire/bind.h"

/* Why there is no session, in words for people: pure, compared word by word
 * in the tests. */
struct failure {
	enum retry_cause cause;
	int exit;
	uint32_t retry_ms;	/* the server's wish, 0: none */
	char what[700];
	char hint[300];		/* "" when there is nothing to try */
};

/* The server could not be reached. */
void failure_of_dial(struct failure *f, const struct client_config *c, const struct dial_result *r,
	uint64_t timeout_ms);

/* What was known when a session ended before it was of use. */
struct failure_facts {
	const struct session_end *end;
	bool was_known;		/* the login had succeeded */
	bool heard;		/* the peer had sent something */
	bool plain;		/* over plaintext */
	bool bad_certificate;	/* then what and hint are the certificate's */
	const char *certificate_what, *certificate_hint;
};

void failure_of_end(struct failure *f, const struct client_config *c,
	const struct failure_facts *facts);

/* The server refused the tunnel. wanted: the port asked for, or 0. */
void failure_of_bind(struct failure *f, const struct client_config *c, const struct bind_err *err,
	uint16_t wanted);

#endif
