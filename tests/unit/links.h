#ifndef TESTS_UNIT_LINKS_H
#define TESTS_UNIT_LINKS_H

#include <stdlib.h>
#include <sys/socket.h>

#include "net/worker.h"
#include "tunnel/link.h"
#include "unit.h"

/* A client's link on a socket whose other end, *other, is not spoken for; its patiences
 * are those of `times`. ops->on_closed frees it. */
static inline struct link *links_open(struct worker *w, const struct session_config *times,
	const struct link_ops *ops, int *other)
{
	struct link_config config = {
		.session = *times,
		.mode = CONN_PLAIN,
		.secret = (const uint8_t *)"secret",
		.secret_len = 6,
	};
	struct link *l = malloc(sizeof *l);
	int fds[2];

	config.session.role = SESSION_CLIENT;
	config.session.max_frame = FRAME_DATA_DEFAULT;
	config.session.stream_credit = SESSION_STREAM_CREDIT;
	config.session.name = "c";
	config.session.instance = (const uint8_t *)"0123456789abcdef";
	config.session.key_id = "";
	config.session.version = "0";
	assert_non_null(l);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	*other = fds[1];
	assert_int_equal(link_open(l, w, fds[0], &config, ops, NULL), 0);
	return l;
}

#endif
