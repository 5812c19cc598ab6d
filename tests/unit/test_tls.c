#include "unit.h"

#include <time.h>
#include <unistd.h>

#include "auth/cert.h"
#include "net/tls.h"

enum { OUT = 512 * 1024 };

/* Two ends joined in memory, their bytes cut into pieces of `step`. */
struct pair {
	struct tls_context *contexts[2];
	struct tls *ends[2];
	uint8_t out[2][OUT];
	size_t step;
};

static struct pair *pair;

static void join(size_t step, const char *ca, const char *host, const char *cert, const char *key)
{
	char err[300];

	pair = calloc(1, sizeof *pair);
	assert_non_null(pair);
	pair->step = step;
	assert_int_equal(tls_context_client(&pair->contexts[0], ca, err, sizeof err), 0);
	assert_int_equal(tls_context_server(&pair->contexts[1], cert, key, err, sizeof err), 0);
	pair->ends[0] = tls_new(pair->contexts[0], false, host);
	pair->ends[1] = tls_new(pair->contexts[1], true, NULL);
	for (int i = 0; i < 2; i++) {
		assert_non_null(pair->ends[i]);
		tls_output(pair->ends[i], pair->out[i], OUT);
	}
}

static void part(void)
{
	for (int i = 0; i < 2; i++) {
		tls_free(pair->ends[i]);
		tls_context_free(pair->contexts[i]);
	}
	free(pair);
}

/* Moves what `from` wrote to the other end, piece by piece. */
static enum tls_result carry(int from)
{
	struct tls *to = pair->ends[!from];
	size_t len = tls_output_len(pair->ends[from]), at = 0;
	uint8_t *copy = unit_copy(pair->out[from], len);
	enum tls_result result = TLS_MORE;

	tls_output(pair->ends[from], pair->out[from], OUT);
	for (; at < len && result == TLS_MORE; at += pair->step) {
		size_t n = len - at < pair->step ? len - at : pair->step;

		tls_feed(to, copy + at, n);
		result = tls_handshake(to);
	}
	if (at < len && result == TLS_DONE) {
		static uint8_t early[64];

		tls_feed(to, copy + at, len - at);
		assert_int_equal(tls_read(to, early, sizeof early), 0);
	}
	free(copy);
	return result;
}

static enum tls_result shake(int *failed)
{
	enum tls_result result[2] = { TLS_MORE, TLS_MORE };

	tls_feed(pair->ends[0], NULL, 0);
	result[0] = tls_handshake(pair->ends[0]);
	for (int i = 0; i < 20 && (result[0] == TLS_MORE || result[1] == TLS_MORE); i++) {
		int from = i & 1;

		if (tls_output_len(pair->ends[from]) == 0 || result[!from] != TLS_MORE)
			continue;
		result[!from] = carry(from);
		if (result[!from] == TLS_FAILED) {
			*failed = !from;
			return TLS_FAILED;
		}
	}
	return result[0] == TLS_DONE && result[1] == TLS_DONE ? TLS_DONE : TLS_MORE;
}

/* One way, `len` bytes; what comes out must be what went in. Returns how long
 * the records were. */
static size_t send_through(int from, size_t len)
{
	struct tls *a = pair->ends[from], *b = pair->ends[!from];
	uint8_t *data = malloc(len), *got = malloc(len + 1);
	size_t at = 0, sealed;

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
	assert_int_equal(tls_write(a, data, len), len);
	sealed = tls_output_len(a);
	for (size_t k = 0; k < tls_output_len(a); k += pair->step) {
		size_t n = tls_output_len(a) - k < pair->step ? tls_output_len(a) - k : pair->step;
		uint8_t *piece = unit_copy(pair->out[from] + k, n);
		ssize_t r;

		tls_feed(b, piece, n);
		while ((r = tls_read(b, got + at, len + 1 - at)) > 0)
			at += (size_t)r;
		assert_int_equal(r, 0);
		free(piece);
	}
	assert_int_equal(at, len);
	assert_memory_equal(got, data, len);
	tls_output(a, pair->out[from], OUT);
	free(data);
	free(got);
	return sealed;
}

static void both_ways(void **state)
{
	static const size_t steps[] = { 1, 7, 1000, OUT };
	uint8_t a[32], b[32];
	int failed;

	(void)state;
	for (size_t i = 0; i < COUNT(steps); i++) {
		join(steps[i], NULL, "example.com", NULL, NULL);
		assert_int_equal(shake(&failed), TLS_DONE);
		assert_int_equal(tls_exporter(pair->ends[0], a), 0);
		assert_int_equal(tls_exporter(pair->ends[1], b), 0);
		assert_memory_equal(a, b, sizeof a);
		tls_trust(pair->ends[1]);
		send_through(0, 1);
		send_through(1, 100000);
		send_through(0, steps[i] == 1 ? 20000 : 270000);
		part();
	}
}

/* Each connection has an exporter of its own. */
static void exporters_differ(void **state)
{
	uint8_t a[32], b[32];
	int failed;

	(void)state;
	join(OUT, NULL, "x", NULL, NULL);
	assert_int_equal(shake(&failed), TLS_DONE);
	tls_exporter(pair->ends[0], a);
	part();
	join(OUT, NULL, "x", NULL, NULL);
	assert_int_equal(shake(&failed), TLS_DONE);
	tls_exporter(pair->ends[0], b);
	part();
	assert_memory_not_equal(a, b, sizeof a);
}

/* The sending key is changed in time, and nobody notices. */
static void key_updates(void **state)
{
	size_t plain = 0, updates = 0;
	int failed;

	(void)state;
	join(4096, NULL, "x", NULL, NULL);
	tls_set_key_update(pair->contexts[0], 10000);
	tls_set_key_update(pair->contexts[1], 10000);
	assert_int_equal(shake(&failed), TLS_DONE);
	tls_trust(pair->ends[1]);
	for (int i = 0; i < 20; i++) {
		size_t sealed = send_through(i & 1, 9000);

		if (i < 2)
			plain = sealed;
		updates += sealed > plain; /* A KeyUpdate record went ahead. */
	}
	assert_true(updates >= 8);
	part();
}

static void goodbye(void **state)
{
	uint8_t buf[16];
	int failed;

	(void)state;
	join(OUT, NULL, "x", NULL, NULL);
	assert_int_equal(shake(&failed), TLS_DONE);
	tls_shutdown(pair->ends[0]);
	assert_true(tls_output_len(pair->ends[0]) > 0);
	tls_feed(pair->ends[1], pair->out[0], tls_output_len(pair->ends[0]));
	assert_int_equal(tls_read(pair->ends[1], buf, sizeof buf), 0);
	assert_true(tls_is_ended(pair->ends[1]));
	part();
}

/* A changed byte ends it; a region that is too small does not overflow. */
static void what_is_broken(void **state)
{
	uint8_t buf[64], small[8];
	int failed;

	(void)state;
	join(OUT, NULL, "x", NULL, NULL);
	assert_int_equal(shake(&failed), TLS_DONE);
	assert_int_equal(tls_write(pair->ends[0], (const uint8_t *)"hello", 5), 5);
	pair->out[0][tls_output_len(pair->ends[0]) - 1] ^= 1;
	tls_feed(pair->ends[1], pair->out[0], tls_output_len(pair->ends[0]));
	assert_int_equal(tls_read(pair->ends[1], buf, sizeof buf), -1);
	assert_non_null(strstr(tls_error(pair->ends[1]), "TLS: "));
	tls_output(pair->ends[0], small, sizeof small);
	assert_int_equal(tls_write(pair->ends[0], (const uint8_t *)"hello", 5), -1);
	part();
}

/* Before the handshake is over a stranger may announce 4 KiB. */
static void immodest_strangers(void **state)
{
	static const struct {
		uint8_t head[5];
		bool refused;
	} rows[] = {
		{ { 0x16, 3, 1, 0x40, 0x00 }, true },
		{ { 0x16, 3, 1, 0x10, 0x01 }, true },
		{ { 0x16, 3, 1, 0xff, 0xff }, true },
		{ { 0x16, 3, 1, 0x10, 0x00 }, false },
		{ { 0x16, 3, 1, 0x02, 0x00 }, false },
		{ { 'G', 'E', 'T', ' ', '/' }, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum tls_result result = TLS_MORE;

		join(OUT, NULL, "x", NULL, NULL);
		for (size_t k = 0; k < 5 && result == TLS_MORE; k++) {
			tls_feed(pair->ends[1], rows[i].head + k, 1);
			result = tls_handshake(pair->ends[1]);
		}
		assert_int_equal(result, rows[i].refused ? TLS_FAILED : TLS_MORE);
		part();
	}
}

/* A message in many modest records is kept until it is whole: 8 KiB in all. */
static void long_strangers(void **state)
{
	/* Records of 1 KiB; the first begins a ClientHello of 16 KiB. */
	uint8_t record[5 + 1024] = { 0x16, 3, 1, 4, 0, 1, 0, 0x3f, 0xf0, 3, 3 };
	enum tls_result result = TLS_MORE;
	size_t sent = 0;

	(void)state;
	join(OUT, NULL, "x", NULL, NULL);
	while (result == TLS_MORE && sent < 16 * sizeof record) {
		tls_feed(pair->ends[1], record, sizeof record);
		result = tls_handshake(pair->ends[1]);
		sent += sizeof record;
		memset(record + 5, 0, sizeof record - 5);
	}
	assert_int_equal(result, TLS_FAILED);
	assert_int_equal(sent, 8 * sizeof record);
	part();
}

/* Between handshake and login records of 8 KiB pass, then any. */
static void records_before_the_login(void **state)
{
	static const struct {
		size_t len;
		bool trusted;
		ssize_t want;
	} rows[] = {
		{ 5000, false, 5000 }, { 8175, false, 8175 }, { 8176, false, -1 },
		{ 16384, false, -1 }, { 16384, true, 16384 },
	};
	static uint8_t data[16384], got[16384];
	int failed;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		join(OUT, NULL, "x", NULL, NULL);
		assert_int_equal(shake(&failed), TLS_DONE);
		if (rows[i].trusted)
			tls_trust(pair->ends[1]);
		assert_int_equal(tls_write(pair->ends[0], data, rows[i].len), rows[i].len);
		tls_feed(pair->ends[1], pair->out[0], tls_output_len(pair->ends[0]));
		assert_int_equal(tls_read(pair->ends[1], got, sizeof got), rows[i].want);
		part();
	}
	/* Also behind one that passes: what it gave is read, then it is over. */
	join(OUT, NULL, "x", NULL, NULL);
	assert_int_equal(shake(&failed), TLS_DONE);
	assert_int_equal(tls_write(pair->ends[0], data, 100), 100);
	assert_int_equal(tls_write(pair->ends[0], data, sizeof data), sizeof data);
	tls_feed(pair->ends[1], pair->out[0], tls_output_len(pair->ends[0]));
	assert_int_equal(tls_read(pair->ends[1], got, sizeof got), 100);
	assert_int_equal(tls_read(pair->ends[1], got, sizeof got), -1);
	assert_int_equal(tls_read(pair->ends[1], got, sizeof got), -1);
	part();
}

/* --- certificates ---------------------------------------------------------------- */

static char folder[] = "/tmp/test_tls.XXXXXX";

static const char *path(const char *name)
{
	static char text[4][64];
	static unsigned turn;

	snprintf(text[++turn % 4], 64, "%s/%s", folder, name);
	return text[turn % 4];
}

static void put(const char *name, const char *text)
{
	FILE *f = fopen(path(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void make(const char *prefix, const char *name, const char *second, int64_t begin, int64_t end)
{
	const char *names[2] = { name, second };
	struct cert_names list = { names, second ? 2 : 1 };
	struct cert_pair ca, server;
	int64_t now = (int64_t)time(NULL);
	char file[32];

	assert_int_equal(cert_make_ca(&ca, now - 999999, now + 999999), 0);
	assert_int_equal(cert_make_server(&server, &ca, &list, now + begin, now + end), 0);
	assert_int_equal(cert_check(&ca), 0);
	assert_int_equal(cert_check(&server), 0);
	snprintf(file, sizeof file, "%s-ca", prefix);
	put(file, ca.cert);
	snprintf(file, sizeof file, "%s-cert", prefix);
	put(file, server.cert);
	snprintf(file, sizeof file, "%s-key", prefix);
	put(file, server.key);
	free(ca.key);
	ca.key = strdup(server.key); /* Does not belong to it. */
	assert_int_equal(cert_check(&ca), -1);
	cert_pair_fini(&ca);
	cert_pair_fini(&server);
}

static int clean(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof command, "rm -r %s", folder);
	return system(command);
}

static int prepare(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	make("good", "example.com", "192.0.2.7", -1000, 1000);
	make("old", "example.com", NULL, -999999, -3 * 86400);
	make("new", "example.com", NULL, 5 * 86400 + 60, 9 * 86400);
	return 0;
}

static void who_is_who(void **state)
{
	static const struct {
		const char *ca, *cert, *key, *host;
		bool good;
		const char *what; /* begins so */
	} rows[] = {
		{ "good-ca", "good-cert", "good-key", "example.com", true, NULL },
		{ "good-ca", "good-cert", "good-key", "EXAMPLE.com", true, NULL },
		{ "good-ca", "good-cert", "good-key", "192.0.2.7", true, NULL },
		{ "good-ca", "good-cert", "good-key", "192.0.2.8", false,
			"certificate is for example.com, 192.0.2.7, not for 192.0.2.8" },
		{ "good-ca", "good-cert", "good-key", "www.example.com", false,
			"certificate is for example.com, 192.0.2.7, not for www.example.com" },
		{ "old-ca", "old-cert", "old-key", "example.com", false, "certificate expired " },
		{ "new-ca", "new-cert", "new-key", "example.com", false, "certificate is not valid before " },
		{ "old-ca", "good-cert", "good-key", "example.com", false, "certificate is not signed by /tmp/" },
		{ "good-ca", NULL, NULL, "example.com", false, "certificate is not signed by /tmp/" },
		{ NULL, NULL, NULL, "example.com", true, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char what[600] = "", hint[300] = "";
		int failed = -1;
		enum tls_result result;

		join(OUT, rows[i].ca ? path(rows[i].ca) : NULL, rows[i].host,
			rows[i].cert ? path(rows[i].cert) : NULL, rows[i].key ? path(rows[i].key) : NULL);
		result = shake(&failed);
		assert_int_equal(result, rows[i].good ? TLS_DONE : TLS_FAILED);
		assert_int_equal(tls_explain(pair->ends[0], what, sizeof what, hint, sizeof hint),
			!rows[i].good);
		if (!rows[i].good) {
			assert_int_equal(failed, 0);
			assert_memory_equal(what, rows[i].what, strlen(rows[i].what));
			assert_true(hint[0]);
		}
		part();
	}
}

static void files_that_do_not_serve(void **state)
{
	static const struct {
		const char *cert, *key, *says;
	} rows[] = {
		{ "nothing", "good-key", ": No such file or directory" },
		{ "good-cert", "nothing", ": No such file or directory" },
		{ "junk", "good-key", ": holds no PEM certificate" },
		{ "good-cert", "junk", ": holds no PEM private key" },
		{ "good-cert", "old-key", ": does not belong to --tls-cert " },
	};
	struct tls_context *context;
	char err[300];

	(void)state;
	put("junk", "this is no PEM\n");
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(tls_context_server(&context, path(rows[i].cert), path(rows[i].key), err,
			sizeof err), -1);
		assert_non_null(strstr(err, rows[i].says));
	}
	assert_int_equal(tls_context_client(&context, path("junk"), err, sizeof err), -1);
	assert_non_null(strstr(err, "holds no PEM certificate"));
	assert_int_equal(tls_context_client(&context, path("nothing"), err, sizeof err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),
		cmocka_unit_test(exporters_differ),
		cmocka_unit_test(key_updates),
		cmocka_unit_test(goodbye),
		cmocka_unit_test(what_is_broken),
		cmocka_unit_test(immodest_strangers),
		cmocka_unit_test(long_strangers),
		cmocka_unit_test(records_before_the_login),
		cmocka_unit_test(who_is_who),
		cmocka_unit_test(files_that_do_not_serve),
	};

	return cmocka_run_group_tests(tests, prepare, clean);
}
