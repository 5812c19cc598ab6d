#ifndef MUX_INTAKE_H
#define MUX_INTAKE_H

#include "mux/session.h"

/* The receiving side of a session: cuts bytes into frames and judges each by
 * the rule table. Internal to mux/. */
void intake_feed(struct session *s, const uint8_t *data, size_t len);

/* Forgets what belonged to a transport that is gone: half a frame, and counts. */
void intake_forget(struct session *s);

#endif
