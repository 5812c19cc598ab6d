#include "unit.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/dial.h"
#include "net/timer.h"

/* 127.1 is a name for inet_pton(), and 127.0.0.1 for getaddrinfo(), which so
 * answers from its thread without asking anybody. */
static const char name[] = "127.1";

static uv_loop_t loop;
static struct worker worker;
static struct timer *patience;
static int listener;
static uint16_t port;
static unsigned told;
static struct dial_result last;

static void on_late(struct timer *t)
{
	(void)t;
	fail_msg("no dial ended");
}

static int prepare(void **state)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof at;

	(void)state;
	told = 0;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&at, len) < 0 ||
		listen(listener, 16) < 0 || getsockname(listener, (struct sockaddr *)&at, &len) < 0 ||
		uv_loop_init(&loop) < 0 || worker_init(&worker, &loop) < 0)
		return -1;
	port = ntohs(at.sin_port);
	patience = timer_new(&loop, on_late, NULL);
	timer_start(patience, 60000);
	return 0;
}

/* What still runs in a thread is waited for. */
static int clean(void **state)
{
	(void)state;
	timer_free(patience);
	worker_close(&worker);
	uv_run(&loop, UV_RUN_DEFAULT);
	worker_fini(&worker);
	close(listener);
	return uv_loop_close(&loop);
}

static void on_done(void *owner, const struct dial_result *result)
{
	(void)owner;
	last = *result;
	told++;
	if (result->fd >= 0)
		close(result->fd);
}

static struct dial *begin(struct dial_cache *cache)
{
	struct dial_target target = { name, port, 10000, cache, false };
	struct dial *d = dial_start(&worker, &target, on_done, NULL);

	assert_non_null(d);
	return d;
}

static void wait_for(unsigned count)
{
	while (told < count)
		uv_run(&loop, UV_RUN_ONCE);
}

static void a_name_is_resolved_once_for_its_cache(void **state)
{
	struct dial_cache cache = { 0 };

	(void)state;
	for (unsigned i = 1; i <= 3; i++) {
		begin(&cache);
		assert_int_equal(told, i - 1);
		wait_for(i);
		assert_int_equal(last.error, 0);
		assert_int_equal(last.gai, 0);
		assert_true(last.fd >= 0);
		assert_int_equal(cache.addrs.count, 1);
	}
	/* A dial over it that fails throws it away. */
	close(listener);
	begin(&cache);
	wait_for(4);
	assert_int_equal(last.error, -ECONNREFUSED);
	assert_int_equal(cache.addrs.count, 0);
	listener = -1;
}

/* More than there are threads: cancelled before one has it, while it does and
 * after it did. Nobody is told, and nothing is kept. */
static void cancelled_in_every_state_of_the_resolver(void **state)
{
	struct dial *d[32];

	(void)state;
	for (unsigned turns = 0; turns < 20; turns++) {
		for (size_t i = 0; i < COUNT(d); i++)
			d[i] = begin(NULL);
		if (turns % 4 == 3)
			usleep(1000); /* Resolved, and not yet taken notice of. */
		for (size_t i = 0; i < COUNT(d); i++)
			dial_cancel(d[i]);
		for (unsigned i = 0; i < turns; i++)
			uv_run(&loop, UV_RUN_NOWAIT);
	}
	begin(NULL);
	wait_for(1);
	assert_true(last.fd >= 0);
	for (int i = 0; i < 10; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_int_equal(told, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_name_is_resolved_once_for_its_cache, prepare, clean),
		cmocka_unit_test_setup_teardown(cancelled_in_every_state_of_the_resolver, prepare,
			clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
