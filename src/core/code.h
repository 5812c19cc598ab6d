#ifndef CORE_CODE_H
#define CORE_CODE_H

/*
 * The reasons for which a session, a stream or a bind ends, as they travel in
 * ERROR, AUTH_ERR, BIND_ERR, RESUME_ERR and STREAM_RESET. The numbers are part
 * of the protocol and never change their meaning; new ones are added at the
 * end. Decoders and machines return one of these, CODE_OK for success.
 */
#define CODE_LIST(X)                                                           \
	X(OK, 0, "ok")                                                         \
	X(PROTOCOL, 1, "protocol error")                                       \
	X(INTERNAL, 2, "internal error")                                       \
	X(FLOW_CONTROL, 3, "flow control violated")                            \
	X(AUTH_FAILED, 4, "credentials refused")                               \
	X(FORBIDDEN, 5, "not allowed")                                         \
	X(REVOKED, 6, "revoked")                                               \
	X(LIMIT, 7, "limit reached")                                           \
	X(CALM_DOWN, 8, "too many attempts")                                   \
	X(OVERLOADED, 9, "overloaded")                                         \
	X(SHUTTING_DOWN, 10, "shutting down")                                  \
	X(REPLACED, 11, "replaced by a newer session")                         \
	X(RESUME_UNKNOWN, 12, "session unknown")                               \
	X(RESUME_OFFSET, 13, "offsets do not match")                           \
	X(VERSION, 14, "protocol version not supported")                       \
	X(ENCRYPTION_REQUIRED, 15, "encryption required")                      \
	X(REFUSED, 16, "refused")                                              \
	X(DIAL_REFUSED, 17, "local service refused the connection")            \
	X(DIAL_TIMEOUT, 18, "local service did not answer")                    \
	X(DIAL_UNAVAILABLE, 19, "local service not available")                 \
	X(LOCAL_RESET, 20, "connection reset by the local side")               \
	X(CANCELLED, 21, "cancelled by the visitor")                           \
	X(STALLED, 22, "stalled")                                              \
	X(PORT_TAKEN, 23, "port in use")                                       \
	X(HOST_TAKEN, 24, "host name in use")                                  \
	X(PORT_RANGE, 25, "port outside the server's range")                   \
	X(PORTS_USED_UP, 26, "no free public port")

enum code {
#define X(name, number, text) CODE_##name = number,
	CODE_LIST(X)
#undef X
};

/* A sentence fragment for people, "unknown code" for what is not in the list.
 * Static storage, never NULL. */
const char *code_text(unsigned code);

/* A stable name for logs and metrics ("FLOW_CONTROL"), "UNKNOWN"
 * for what is not in the list. Static storage, never NULL. */
const char *code_name(unsigned code);

#endif
