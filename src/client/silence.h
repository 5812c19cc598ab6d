#ifndef CLIENT_SILENCE_H
#define CLIENT_SILENCE_H

struct client;

/*
 * A lane that falls silent while another one answers is not waited for as long as a connection
 * that is alone: each is asked by a HEARTBEAT after 2 s without a byte, and is lost when nothing
 * came for 4 s, or eight round trips, after that, but something over another lane. To be called
 * twice a second. Internal to client/.
 */
void silence_check(struct client *c);

#endif
