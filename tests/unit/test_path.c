#include "unit.h"

#include "mux/path.h"

/* The rules one by one; how they play together is seen in tests/sim/sim_path.c. */

enum { KIB = 1024, MS = 1000 };

#define S UINT64_C(1000000)

static struct path p;

/* As much as the cap lets through, in frames of n. */
static uint64_t fill(uint64_t n, uint64_t now_us)
{
	uint64_t sum = 0;

	while (path_open(&p)) {
		path_sent(&p, n, now_us);
		sum += n;
	}
	return sum;
}

/* Rounds of rtt_us in which all that is in flight is sent and acknowledged. */
static uint64_t run_rounds(unsigned rounds, uint64_t rtt_us, uint64_t now_us)
{
	for (unsigned i = 0; i < rounds; i++) {
		fill(4 * KIB, now_us);
		now_us += rtt_us;
		path_acked(&p, p.gauge.put, now_us);
	}
	return now_us;
}

static void it_is_full_and_opens_again(void **unused)
{
	(void)unused;
	path_init(&p);
	assert_true(path_is_open(&p));
	assert_int_equal(path_open(&p), PATH_CAP_FIRST);
	assert_int_equal(fill(16 * KIB, S), PATH_CAP_FIRST);
	assert_false(path_is_open(&p));
	assert_int_equal(path_open(&p), 0);
	path_acked(&p, 1, S + MS);
	assert_true(path_is_open(&p));
	path_fini(&p);
	path_fini(&p);
}

/* It is told apart who had no more to send and who was held back. */
static void it_grows_only_where_it_holds_back(void **unused)
{
	(void)unused;
	path_init(&p);
	for (unsigned i = 0; i < 4; i++) {
		path_sent(&p, 40 * KIB, S + 20 * i * MS);
		path_acked(&p, p.gauge.put, S + 20 * (i + 1) * MS);
	}
	assert_int_equal(p.cap, PATH_CAP_FIRST);
	run_rounds(4, 20 * MS, 2 * S);
	assert_true(p.cap >= 8 * PATH_CAP_FIRST);
	path_fini(&p);
}

/* A link of 10 MB/s and 20 ms: the cap comes to rate * (round trip + allowance). */
static void it_settles(void **unused)
{
	const uint64_t rate = 10000000, rtt = 20 * MS;
	uint64_t now = S, free_at = S;

	(void)unused;
	path_init(&p);
	gauge_heard(&p.gauge, rtt, now);
	for (unsigned i = 0; i < 200; i++) {
		uint64_t n = fill(4 * KIB, now), from = p.gauge.put - n;

		/* What was sent leaves as the link does it, an ACK for each 16 KiB. */
		while (from < p.gauge.put) {
			uint64_t part = p.gauge.put - from < 16 * KIB ? p.gauge.put - from : 16 * KIB;

			from += part;
			free_at = (free_at > now ? free_at : now) + part * S / rate;
			path_acked(&p, from, free_at + rtt);
		}
		now = free_at + rtt;
	}
	assert_int_not_equal(p.phase, PATH_OPENING);
	assert_in_range(p.gauge.rate, rate / 2, rate * 11 / 10);
	assert_in_range(p.cap, p.gauge.rate / S * rtt, p.gauge.rate / 1000 * (rtt / 1000) * 2);
	path_fini(&p);
}

/* 2.5 ms from a round trip of a millisecond on, and a few frames where it is
 * shorter: fewer while somebody is in a hurry. */
static void a_short_path_has_little_more_than_it_holds(void **unused)
{
	static const struct {
		uint64_t rate, rtt_us;
		bool hurries;
		uint64_t spare;		/* of the cap, beyond rate * round trip */
	} rows[] = {
		{ 1000000000, 100, false, 512 * KIB },
		{ 1000000000, 100, true, 128 * KIB },
		{ 1000000000, 500, false, 625000 },
		{ 1000000000, 500, true, 625000 },
		{ 1000000000, 1000, false, 2500000 },
		{ 1000000000, 1000, true, 2500000 },
		{ 100000000, 20 * MS, true, 250000 },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t held = rows[i].rate * rows[i].rtt_us / S;

		path_init(&p);
		p.phase = PATH_STEADY;
		p.gauge.rate = p.gauge.rates[0] = rows[i].rate;
		gauge_heard(&p.gauge, rows[i].rtt_us, S);
		if (rows[i].hurries)
			path_hurry(&p, S);
		run_rounds(1, rows[i].rtt_us, S);
		assert_int_equal(p.gauge.rate, rows[i].rate);
		assert_int_equal(p.phase, PATH_STEADY);
		assert_in_range(p.cap, held + rows[i].spare / 100 * 99, held + rows[i].spare);
		path_fini(&p);
	}
}

static void frames_and_the_kernel_follow_the_rate(void **unused)
{
	static const struct {
		uint64_t rate;
		uint32_t shared, alone, lowat;
	} rows[] = {
		{ 0, PATH_FRAME_UNKNOWN, PATH_FRAME_UNKNOWN, PATH_LOWAT_MOST },
		{ 1, PATH_FRAME_LEAST, PATH_FRAME_LEAST, PATH_LOWAT_LEAST },
		{ 1000000, PATH_FRAME_LEAST, PATH_FRAME_LEAST, PATH_LOWAT_LEAST },
		{ 40000000, 20000, 40000, 40000 },
		{ 100000000, 50000, 100000, 100000 },
		{ 1000000000, PATH_FRAME_MOST, PATH_FRAME_MOST, PATH_LOWAT_MOST },
		{ UINT64_C(1) << 40, PATH_FRAME_MOST, PATH_FRAME_MOST, PATH_LOWAT_MOST },
	};

	(void)unused;
	for (size_t i = 0; i < COUNT(rows); i++) {
		path_init(&p);
		p.gauge.rate = rows[i].rate;
		assert_int_equal(path_frame(&p, false), rows[i].shared);
		assert_int_equal(path_frame(&p, true), rows[i].alone);
		assert_int_equal(path_lowat(&p), rows[i].lowat);
	}
}

/* Where somebody is in a hurry, bulk is in smaller pieces; for half a second. */
static void frames_are_smaller_beside_a_hurry(void **unused)
{
	(void)unused;
	path_init(&p);
	p.gauge.rate = 1000000000;
	p.gauge.sent_us = S;
	path_hurry(&p, S);
	assert_int_equal(path_frame(&p, true), PATH_FRAME_HURRY);
	p.gauge.rate = 40000000;
	assert_int_equal(path_frame(&p, true), 40000);
	p.gauge.rate = 1000000000;
	path_sent(&p, 1, S + 499999);
	assert_int_equal(path_frame(&p, false), PATH_FRAME_HURRY);
	path_sent(&p, 1, S + 500000);
	assert_int_equal(path_frame(&p, false), PATH_FRAME_MOST);
	path_fini(&p);
}

/* Asked of a short path, too, what its round trip is: one as long as the cap would
 * measure itself. */
static void a_question_is_asked_in_short_frames(void **unused)
{
	(void)unused;
	path_init(&p);
	p.phase = PATH_STEADY;
	p.cap = 400000;
	p.gauge.rate = p.gauge.rates[0] = 1000000000;
	gauge_heard(&p.gauge, 400, 100 * S);
	run_rounds(1, 400, 100 * S);
	assert_int_equal(p.phase, PATH_ASKING);
	assert_in_range(p.cap, 300000, 302000);
	assert_int_equal(path_frame(&p, true), p.cap / 8);
	p.cap = PATH_CAP_LEAST;
	assert_int_equal(path_frame(&p, true), PATH_FRAME_LEAST);
	path_fini(&p);
}

/* Whatever a peer does, and the clock: it is never closed with nothing in
 * flight, and never below what is acknowledged. */
static void a_liar_harms_only_itself(void **unused)
{
	uint64_t rng = 7;

	(void)unused;
	for (unsigned run = 0; run < 200; run++) {
		uint64_t now = S;

		path_init(&p);
		for (unsigned i = 0; i < 2000; i++) {
			rng = rng * UINT64_C(6364136223846793005) + 1442695040888963407;
			switch (rng >> 61) {
			case 0:
				path_acked(&p, p.gauge.acked + (p.gauge.put - p.gauge.acked) / (1 + (rng >> 40) % 3),
					now);
				break;
			case 1:
				now += (rng >> 20) % (UINT64_C(1) << (rng >> 56) % 40);
				break;
			case 2:
				gauge_heard(&p.gauge, rng >> 8 >> (rng >> 50) % 56, now);
				break;
			case 3:
				gauge_rest(&p.gauge, now);
				break;
			case 4:
				path_sent(&p, (rng >> 20) % (UINT64_C(1) << (rng >> 56) % 40), now);
				break;
			default:
				if (path_open(&p))
					path_sent(&p, path_frame(&p, run & 1), now);
			}
			assert_true(p.cap >= PATH_CAP_LEAST);
			assert_true(p.gauge.acked <= p.gauge.put && p.gauge.count <= GAUGE_MARKS);
			assert_true(p.gauge.acked < p.gauge.put || path_is_open(&p));
		}
		path_fini(&p);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_full_and_opens_again),
		cmocka_unit_test(it_grows_only_where_it_holds_back),
		cmocka_unit_test(it_settles),
		cmocka_unit_test(a_short_path_has_little_more_than_it_holds),
		cmocka_unit_test(frames_and_the_kernel_follow_the_rate),
		cmocka_unit_test(frames_are_smaller_beside_a_hurry),
		cmocka_unit_test(a_question_is_asked_in_short_frames),
		cmocka_unit_test(a_liar_harms_only_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
