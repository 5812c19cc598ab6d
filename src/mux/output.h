#ifndef MUX_OUTPUT_H
#define MUX_OUTPUT_H

#include "mux/session.h"

/* The sending side of a session: the queue of control frames, the lists of
 * streams that have something to write, and who goes next. Internal to mux/. */

enum { OUTPUT_FRAME_MAX = FRAME_HEAD + FRAME_CONTROL_MAX };

/* Room for one control frame (OUTPUT_FRAME_MAX bytes), or NULL for lack of
 * memory or because the queue is full: the session is then doomed and ends
 * soon, not from inside this call. */
uint8_t *output_reserve(struct session *s);

/* Queues the n bytes that were encoded into output_reserve()'s room. */
void output_commit(struct session *s, size_t n);

/* The same for a frame that the peer provoked; these are counted. */
void output_commit_reply(struct session *s, size_t n);

/* Forgets what was queued for a transport that is gone, and its counts. */
void output_forget(struct session *s);

/* st has CREDIT, CLOSE or RESET to write, now or within a second. */
void output_due(struct session *s, struct stream *st);
void output_late(struct session *s, struct stream *st);

/* st may have become able to send, or unable. */
void output_enlist(struct session *s, struct stream *st);
void output_delist(struct stream *st);

/* Writes CREDIT of st for what was taken. */
void output_credit(struct session *s, struct writer *w, struct stream *st);

/* Whether CREDIT of the session has to be written. */
bool output_session_credit_is_due(const struct session *s);

/* Whether ACK has to be written. */
bool output_ack_is_due(const struct session *s);

/* ACK came: bulk may have room on the path. */
void output_flows(struct session *s);

/* The session's credit rose: the starved streams compete again. */
void output_feed_starved(struct session *s);

/* Tells the owner that there is something to compose. */
void output_wake(struct session *s);

/* See session_compose() and session_has_output(). */
void output_compose(struct session *s, struct batch *b);
bool output_is_pending(const struct session *s);

#endif
