#ifndef MUX_DATA_H
#define MUX_DATA_H

#include "mux/session.h"

/* STREAM_DATA as it is sent: how much, from where, and what is kept of it.
 * Internal to mux/. */

/* The smallest rest of a batch in which a frame is begun. */
enum { DATA_LEAST = SESSION_FRAME_MIN + 4 * (FRAME_HEAD + 16) };

/* Whether streams have no more than their floors: the session's credit or the
 * process's memory is spent. */
bool data_is_scarce(const struct session *s);

/* How much st may put into one frame by its own and the session's credit. */
uint64_t data_allowance(const struct session *s, const struct stream *st);

/* Whether credit lets st send a frame worth its head. */
bool data_has_credit(const struct session *s, const struct stream *st);

/* How long a frame is that should have `max` bytes, of a stream that may send `credit`;
 * `most` is what a frame can hold, no less than max. There is no rest that would be too
 * small for a frame: the last one ends at the limit, by which the peer sees that its
 * window stops us (mux/window.h). For that a short frame may be longer than it should. */
uint64_t data_cut(uint64_t max, uint64_t credit, uint64_t most);

/* One frame of st, which is on the fresh or the bulk list; then it is put
 * where it belongs. The batch has room for DATA_LEAST. */
void data_write(struct session *s, struct batch *b, struct stream *st, bool fresh);

#endif
