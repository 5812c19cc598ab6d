#include "unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/conn.h"

static struct {
	struct worker worker;
	uv_loop_t loop;
	struct conn conn;
	struct turn turn;
	enum conn_mode mode;
	int fd;
	unsigned opened, bytes, early;
} at;

static void on_open(struct conn *c)
{
	(void)c;
	at.opened++;
}

static void on_bytes(struct conn *c, const uint8_t *data, size_t len)
{
	(void)c;
	(void)data;
	at.bytes += (unsigned)len;
	at.early += !at.opened;
}

static void on_space(struct conn *c)
{
	(void)c;
}

static void on_lost(struct conn *c, const char *why)
{
	(void)why;
	conn_close(c);
}

static const struct conn_ops ops = {
	.on_open = on_open,
	.on_bytes = on_bytes,
	.on_space = on_space,
	.on_lost = on_lost,
};

static void on_turn(struct turn *t)
{
	(void)t;
	assert_int_equal(conn_open(&at.conn, &at.worker, at.fd, at.mode, NULL, NULL, &ops), 0);
}

/* A connection that is taken in a deferred turn, as an accept after a pause is, begins in
 * the next one; events of its socket may come before that. */
static void bytes_before_the_first_turn(void **state)
{
	static const enum conn_mode modes[] = { CONN_SNIFF, CONN_PLAIN };

	(void)state;
	for (size_t i = 0; i < COUNT(modes); i++) {
		int fds[2];

		memset(&at, 0, sizeof at);
		at.mode = modes[i];
		assert_int_equal(uv_loop_init(&at.loop), 0);
		assert_int_equal(worker_init(&at.worker, &at.loop), 0);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			fds), 0);
		at.fd = fds[0];
		assert_int_equal(write(fds[1], "\1hello", 6), 6);
		poller_turn_init(&at.turn, on_turn);
		poller_defer(&at.worker.poller, &at.turn);
		for (int n = 0; n < 8; n++)
			uv_run(&at.loop, UV_RUN_NOWAIT);
		assert_int_equal(at.bytes, 6);
		assert_int_equal(at.opened, 1);
		assert_int_equal(at.early, 0);
		close(fds[1]);
		while (!at.conn.is_closed)
			uv_run(&at.loop, UV_RUN_ONCE);
		worker_close(&at.worker);
		uv_run(&at.loop, UV_RUN_DEFAULT);
		worker_fini(&at.worker);
		assert_int_equal(uv_loop_close(&at.loop), 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_before_the_first_turn),
	};

	return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
