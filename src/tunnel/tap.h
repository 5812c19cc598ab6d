#ifndef TUNNEL_TAP_H
#define TUNNEL_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/code.h"
#include "tunnel/trace.h"

/*
 * What is seen of one stream: it is shown each direction's bytes as they pass,
 * counts requests and answers into the tunnel's traffic, and has the trace write
 * the lines. It changes, delays and keeps nothing of them. One a pipe, made with
 * it; without memory for it the stream is relayed unseen.
 */
struct tap;

/* NULL when the trace is off or memory is out. */
struct tap *tap_new(struct trace *trace, struct traffic *traffic, const struct flow_addr *visitor);

/* Bytes from the visitor towards the service, and back; NULL is legal. */
void tap_received(struct tap *t, const void *data, size_t len);
void tap_sent(struct tap *t, const void *data, size_t len);

/* The visitor's direction, or the service's, ended in good order. */
void tap_received_end(struct tap *t);
void tap_sent_end(struct tap *t);

/* What is sent from now on is our own, for there is no service: code says why. */
void tap_ours(struct tap *t, enum code code);

/* The stream is over and t is freed: by code, or in good order with CODE_OK.
 * received and sent: its bytes in all. */
void tap_close(struct tap *t, enum code code, uint64_t received, uint64_t sent);

#endif
