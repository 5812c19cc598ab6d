#ifndef MUX_UPKEEP_H
#define MUX_UPKEEP_H

#include "mux/session.h"

/* What keeps a session alive or ends it: heartbeats, SHUTDOWN, ERROR, ACK,
 * the timers. Internal to mux/; handlers as in relay.h. */
enum code upkeep_on_heartbeat(struct session *s, const struct frame *f, const uint8_t *payload);
enum code upkeep_on_error(struct session *s, const struct frame *f, const uint8_t *payload);
enum code upkeep_on_shutdown(struct session *s, const struct frame *f, const uint8_t *payload);
enum code upkeep_on_ack(struct session *s, const struct frame *f, const uint8_t *payload);

/* Sends a HEARTBEAT whose answer measures the round trip. */
void upkeep_beat(struct session *s);

/* See session_tick(). */
uint64_t upkeep_tick(struct session *s, uint64_t blocked_us);

#endif
