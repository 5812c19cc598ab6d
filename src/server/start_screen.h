#ifndef SERVER_START_SCREEN_H
#define SERVER_START_SCREEN_H

#include "server/house.h"

/* What a started server tells its operator on standard output: where it
 * listens, and the command to run beside the service. The token itself is
 * shown only when it was made just now, and only to a terminal. */
void start_screen_print(const struct house *h);

#endif
