#include "unit.h"

#include "auth/proof.h"
#include "auth/secret.h"
#include "vectors.h"

static const uint8_t hello[] = "the HELLO frame", ack[] = "the HELLO_ACK frame";
static uint8_t exporter[PROOF_EXPORTER];

static struct proof_transcript transcript(void)
{
	for (size_t i = 0; i < sizeof exporter; i++)
		exporter[i] = (uint8_t)(0xe0 + i);
	return (struct proof_transcript){
		.hello = hello,
		.hello_len = sizeof hello - 1,
		.ack = ack,
		.ack_len = sizeof ack - 1,
		.transport = PROOF_TLS,
		.exporter = exporter,
	};
}

/* Runs a login; 0 when both ends came to the same proofs. */
static int log_in(const char *client_secret, const char *server_secret,
	struct proof_transcript of_client, struct proof_transcript of_server)
{
	uint8_t a[PROOF_MESSAGE], b[PROOF_MESSAGE];
	struct proof *client = proof_new(PROOF_CLIENT, client_secret, strlen(client_secret), a);
	struct proof *server = proof_new(PROOF_SERVER, server_secret, strlen(server_secret), b);
	struct proof_keys x, y;

	assert_non_null(client);
	assert_non_null(server);
	assert_int_equal(proof_finish(client, b, &of_client, &x), 0);
	assert_int_equal(proof_finish(server, a, &of_server, &y), 0);
	proof_free(client);
	proof_free(server);
	assert_memory_not_equal(x.client, x.server, PROOF_LEN);
	assert_memory_not_equal(x.client, x.resume, PROOF_LEN);
	return memcmp(&x, &y, sizeof x) != 0;
}

static void same_secret(void **state)
{
	(void)state;
	assert_int_equal(log_in("secret", "secret", transcript(), transcript()), 0);
	assert_int_equal(log_in("secret", "Secret", transcript(), transcript()), 1);
	assert_int_equal(log_in("secret", "secret ", transcript(), transcript()), 1);
	assert_int_equal(log_in("", "", transcript(), transcript()), 0);
}

/* Whatever the two ends see differently makes the proofs differ. */
static void every_part_counts(void **state)
{
	static uint8_t other[PROOF_EXPORTER];
	struct proof_transcript t;

	(void)state;
	t = transcript();
	t.hello_len--;
	assert_int_equal(log_in("s", "s", transcript(), t), 1);
	t = transcript();
	t.ack = (const uint8_t *)"the HELLO_ACK framE";
	assert_int_equal(log_in("s", "s", transcript(), t), 1);
	t = transcript();
	t.exporter = other; /* A relay has two TLS connections. */
	assert_int_equal(log_in("s", "s", transcript(), t), 1);
	t = transcript();
	t.transport = PROOF_PLAIN;
	assert_int_equal(log_in("s", "s", transcript(), t), 1);
	t.exporter = NULL;
	assert_int_equal(log_in("s", "s", transcript(), t), 1);
	assert_int_equal(log_in("s", "s", t, t), 0);
}

static void no_message_at_all(void **state)
{
	uint8_t mine[PROOF_MESSAGE], theirs[PROOF_MESSAGE];
	struct proof_transcript t = transcript();
	struct proof_keys keys;
	int refused = 0;

	(void)state;
	for (int i = 0; i < 16; i++) {
		struct proof *p = proof_new(PROOF_SERVER, "s", 1, mine);

		memset(theirs, 0x11 * i, sizeof theirs);
		refused += proof_finish(p, theirs, &t, &keys) < 0;
		proof_free(p);
	}
	assert_true(refused > 0); /* Half of all bytes are no point of the curve. */
}

/* The schedule behind the shared key, against an independent HKDF and HMAC
 * (Python's hmac and hashlib over the same inputs). */
static void vector(void **state)
{
	static const char *const want[3] = {
		"d4b77355a06970f8bc158fe6139554de8a975c261ecc9ca9ffdd5ef01bb12bd1",
		"8bc15b8c375c997a81730911c4dd330f278197875044bcc016615b732b979b8e",
		"7e65e6e44ee7cdf397939e95afa411f10a5997a4f44f11651c6c853c01b1c9b0",
	};
	struct proof_transcript t = transcript();
	uint8_t shared[PROOF_SHARED];
	struct proof_keys keys;
	const uint8_t *parts[3] = { keys.client, keys.server, keys.resume };

	(void)state;
	for (size_t i = 0; i < sizeof shared; i++)
		shared[i] = (uint8_t)i;
	assert_int_equal(proof_derive(shared, &t, &keys), 0);
	for (int i = 0; i < 3; i++) {
		char hex[2 * PROOF_LEN + 1];

		for (size_t k = 0; k < PROOF_LEN; k++)
			snprintf(hex + 2 * k, 3, "%02x", parts[i][k]);
		assert_string_equal(hex, want[i]);
	}
}

/* --- resume ---------------------------------------------------------------------- */

/* "NAME: HEX" of the page's vectors. */
static void read_page_vector(const char *name, uint8_t out[PROOF_LEN])
{
	FILE *f = fopen(getenv("GOTUNNEL_PROTOCOL_PAGE"), "r");
	char line[1024], want[64];
	size_t n = 0;

	assert_non_null(f);
	snprintf(want, sizeof want, "\t%s: ", name);
	while (!n && fgets(line, sizeof line, f)) {
		const char *hex = line + strlen(want);

		if (strncmp(line, want, strlen(want)) != 0)
			continue;
		assert_int_equal(strcspn(hex, "\n"), 2 * PROOF_LEN);
		for (; n < PROOF_LEN; n++) {
			unsigned byte;

			assert_int_equal(sscanf(hex + 2 * n, "%2x", &byte), 1);
			out[n] = (uint8_t)byte;
		}
	}
	fclose(f);
	if (!n)
		fail_msg("gotunnel-protocol(7) has no vector %s", name);
}

/* The keys of a login with the page's HELLO and HELLO_ACK. */
static void log_in_as_the_page(bool is_tls, struct proof_keys *out)
{
	static uint8_t hello_frame[VECTOR_MAX], ack_frame[VECTOR_MAX];
	struct proof_transcript t = transcript();
	uint8_t shared[PROOF_SHARED];

	for (size_t i = 0; i < sizeof shared; i++)
		shared[i] = (uint8_t)i;
	t.hello = hello_frame;
	t.hello_len = vector_hello(hello_frame, sizeof hello_frame);
	t.ack = ack_frame;
	t.ack_len = vector_hello_ack(ack_frame, sizeof ack_frame);
	if (!is_tls) {
		t.transport = PROOF_PLAIN;
		t.exporter = NULL;
	}
	assert_int_equal(proof_derive(shared, &t, out), 0);
}

/* What the page gives, which Python's hmac and hashlib worked out from its words. */
static void page_has_a_resume(void **state)
{
	uint8_t id[16], want[PROOF_LEN], proof[PROOF_LEN];
	struct proof_keys first, fresh;
	struct proof_of_resume r = { first.resume, id, 2, 0, fresh.binding };

	(void)state;
	vector_fill(id, sizeof id, 0x01);
	log_in_as_the_page(false, &first);
	log_in_as_the_page(true, &fresh);
	read_page_vector("K_resume", want);
	assert_memory_equal(first.resume, want, PROOF_LEN);
	read_page_vector("SHA-256(T)", want);
	assert_memory_equal(fresh.binding, want, PROOF_LEN);
	assert_int_equal(proof_resume(&r, proof), 0);
	read_page_vector("proof", want);
	assert_memory_equal(proof, want, PROOF_LEN);
}

/* A proof of one resume is none of another. */
static void every_part_of_a_resume_counts(void **state)
{
	uint8_t id[16] = { 0 }, other_id[16] = { [15] = 1 };
	struct proof_keys first, fresh;
	const struct proof_of_resume good = { first.resume, id, 2, 0, fresh.binding };
	struct proof_of_resume bad[5] = { good, good, good, good, good };
	uint8_t want[PROOF_LEN], have[PROOF_LEN];

	(void)state;
	log_in_as_the_page(false, &first);
	log_in_as_the_page(true, &fresh);
	bad[0].key = fresh.resume;
	bad[1].session_id = other_id;
	bad[2].epoch = 2 << 24; /* The same bytes in another order. */
	bad[3].lane = 1;
	bad[4].binding = first.binding;
	assert_int_equal(proof_resume(&good, want), 0);
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(proof_resume(&bad[i], have), 0);
		assert_false(proof_equal(want, have, sizeof want));
	}
}

static void tokens(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "q7mz-k2ha", true }, { "a", true }, { "", false }, { "a b", false },
		{ "tab\t", false }, { "\xc3\xbc", false }, { "new\n", false },
	};
	unsigned char zero[15] = { 0 }, ones[15];
	char long_one[SECRET_MAX + 2], made[SECRET_MADE];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(secret_is_token(rows[i].text), rows[i].good);
	memset(long_one, 'x', sizeof long_one);
	long_one[SECRET_MAX + 1] = '\0';
	assert_false(secret_is_token(long_one));
	long_one[SECRET_MAX] = '\0';
	assert_true(secret_is_token(long_one));
	assert_string_equal(secret_key_id("dev-token"), "dev");
	assert_string_equal(secret_key_id("dev-token2"), "default");
	secret_make(zero, made);
	assert_string_equal(made, "aaaa-aaaa-aaaa-aaaa-aaaa-aaaa");
	memset(ones, 0xff, sizeof ones);
	secret_make(ones, made);
	assert_string_equal(made, "7777-7777-7777-7777-7777-7777");
	ones[14] = 0xfe; /* The last bit counts. */
	secret_make(ones, made);
	assert_string_equal(made, "7777-7777-7777-7777-7777-7776");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_secret),
		cmocka_unit_test(every_part_counts),
		cmocka_unit_test(no_message_at_all),
		cmocka_unit_test(vector),
		cmocka_unit_test(page_has_a_resume),
		cmocka_unit_test(every_part_of_a_resume_counts),
		cmocka_unit_test(tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
