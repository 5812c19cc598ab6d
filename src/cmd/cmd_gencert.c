#include "cmd/command.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "auth/cert.h"
#include "core/addr.h"
#include "core/log.h"
#include "net/file.h"

enum { CA_DAYS = 3650, DAY = 24 * 3600, NAMES_MAX = OPT_LIST_MAX, PEM_MAX = 64 * 1024 };

struct options {
	struct opt_list host;
	uint64_t days;
	const char *out;
	bool force, new_ca;
};

#define AT(member) offsetof(struct options, member)

static const struct opt options[] = {
	{ "host", 0, OPT_LIST, AT(host), "NAME", NULL, 0, 0, NULL, true,
		"a name or address that clients type; may be given again" },
	{ "out", 0, OPT_TEXT, AT(out), "DIR", "certs", 0, 0, NULL, true, "where the files go" },
	{ "days", 0, OPT_UINT, AT(days), "N", "825", 1, 3650, NULL, true,
		"how long the server's certificate is valid (the CA: 3650)" },
	{ "force", 0, OPT_BOOL, AT(force), NULL, NULL, 0, 0, NULL, true,
		"renew the server's pair, keep the CA" },
	{ "new-ca", 0, OPT_BOOL, AT(new_ca), NULL, NULL, 0, 0, NULL, true,
		"renew everything; clients need the new ca-cert.pem" },
};

const struct opt_table cmd_gencert_options = {
	.command = "gencert",
	.about = "Makes a CA and a server certificate for gotunnel server --tls.",
	.example = "gotunnel gencert --host tunnel.example.com",
	.opts = options,
	.count = sizeof options / sizeof options[0],
};

enum file { CA_CERT, CA_KEY, SERVER_CERT, SERVER_KEY, FILES };

static const struct {
	const char *name, *use;
	unsigned mode;
} files[FILES] = {
	[CA_CERT] = { "ca-cert.pem", "for every client: --tls --tls-ca", 0644 },
	[CA_KEY] = { "ca-key.pem", "signs; keep ca-key.pem off the server", 0600 },
	[SERVER_CERT] = { "server-cert.pem", "for the server: --tls-cert", 0644 },
	[SERVER_KEY] = { "server-key.pem", "for the server: --tls-key", 0600 },
};

struct job {
	const struct options *o;
	char path[FILES][4096];
	bool exists[FILES];
	const char *names[NAMES_MAX];
	size_t name_count;
	char own[NAMES_MAX][ADDR_TEXT_MAX]; /* addresses of this machine */
	struct cert_pair ca, server;
};

/* --- names ------------------------------------------------------------------------- */

static void add_name(struct job *j, const char *name)
{
	for (size_t i = 0; i < j->name_count; i++)
		if (strcmp(j->names[i], name) == 0)
			return;
	if (j->name_count < NAMES_MAX)
		j->names[j->name_count++] = name;
}

/* Every global address of this machine. */
static void add_addresses(struct job *j)
{
	struct ifaddrs *list;

	if (getifaddrs(&list) < 0)
		return;
	for (struct ifaddrs *a = list; a; a = a->ifa_next) {
		char *text = j->own[j->name_count];

		if (!a->ifa_addr || j->name_count == NAMES_MAX || (a->ifa_flags & IFF_LOOPBACK) ||
			(a->ifa_addr->sa_family != AF_INET && a->ifa_addr->sa_family != AF_INET6))
			continue;
		addr_format_ip(a->ifa_addr, text, ADDR_TEXT_MAX);
		if (strncasecmp(text, "fe80:", 5) != 0)
			add_name(j, text);
	}
	freeifaddrs(list);
}

static void choose_names(struct job *j, char host[256])
{
	if (j->o->host.count) {
		for (unsigned i = 0; i < j->o->host.count; i++)
			add_name(j, j->o->host.items[i]);
		return;
	}
	add_name(j, "localhost");
	add_name(j, "127.0.0.1");
	add_name(j, "::1");
	if (gethostname(host, 255) == 0 && host[0])
		add_name(j, host);
	add_addresses(j);
}

/* A name that a certificate may carry: labels of letters, digits, '-', '_',
 * and "*." in front; or an address. */
static bool is_name(const char *name)
{
	struct sockaddr_storage unused;
	size_t len = strlen(name);

	if (addr_numeric(name, 0, &unused) == 0)
		return true;
	if (len == 0 || len > 253)
		return false;
	if (strncmp(name, "*.", 2) == 0)
		name += 2;
	for (; *name; name++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.",
			*name))
			return false;
	return true;
}

static int check_names(const struct job *j)
{
	for (size_t i = 0; i < j->name_count; i++)
		if (!is_name(j->names[i]))
			return log_fatal("gencert", 2, "a host name or an address, without a port",
				"--host %s: no certificate can be for that", j->names[i]);
	return 0;
}

/* --- files ------------------------------------------------------------------------- */

static char *read_pem(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = f ? malloc(PEM_MAX + 1) : NULL;
	size_t n = text ? fread(text, 1, PEM_MAX, f) : 0;

	if (f)
		fclose(f);
	if (text)
		text[n] = '\0';
	return text;
}

static int find_files(struct job *j)
{
	int err = file_make_folder(j->o->out);

	if (err)
		return log_fatal("gencert", 3, "name a folder that this user can write: --out DIR",
			"--out %s: %s", j->o->out, strerror(-err));
	for (int i = 0; i < FILES; i++) {
		if ((size_t)snprintf(j->path[i], sizeof j->path[i], "%s/%s", j->o->out,
			files[i].name) >= sizeof j->path[i])
			return log_fatal("gencert", 3, NULL, "--out %s: File name too long",
				j->o->out);
		j->exists[i] = access(j->path[i], F_OK) == 0;
	}
	return 0;
}

/* Nothing that exists is overwritten without a word. */
static int check_overwriting(const struct job *j)
{
	if (j->o->new_ca)
		return 0;
	if ((j->exists[SERVER_CERT] || j->exists[SERVER_KEY]) && !j->o->force)
		return log_fatal("gencert", 3, "--force renews the server's pair, --new-ca everything",
			"%s exists already",
			j->path[j->exists[SERVER_CERT] ? SERVER_CERT : SERVER_KEY]);
	if (j->exists[CA_CERT] != j->exists[CA_KEY])
		return log_fatal("gencert", 3, "bring the missing half back, or --new-ca",
			"%s exists, but %s does not", j->path[j->exists[CA_CERT] ? CA_CERT : CA_KEY],
			j->path[j->exists[CA_CERT] ? CA_KEY : CA_CERT]);
	return 0;
}

static int load_ca(struct job *j)
{
	j->ca.cert = read_pem(j->path[CA_CERT]);
	j->ca.key = read_pem(j->path[CA_KEY]);
	if (j->ca.cert && j->ca.key && cert_check(&j->ca) == 0)
		return 0;
	return log_fatal("gencert", 3, "--new-ca makes another",
		"%s and %s are no CA that can sign", j->path[CA_CERT], j->path[CA_KEY]);
}

static int save(struct job *j, enum file file, const char *text)
{
	int err = file_replace(j->path[file], text, strlen(text), files[file].mode);

	return err ? log_fatal("gencert", 3, NULL, "%s: %s", j->path[file], strerror(-err)) : 0;
}

/* --- work -------------------------------------------------------------------------- */

/* An hour of grace for clocks that are behind. */
static int64_t begin(void)
{
	return (int64_t)time(NULL) - 3600;
}

static int make_ca(struct job *j)
{
	int err;

	if (!j->o->new_ca && j->exists[CA_CERT])
		return load_ca(j);
	if (cert_make_ca(&j->ca, begin(), begin() + (int64_t)CA_DAYS * DAY) < 0)
		return log_fatal("gencert", 1, NULL, "cannot make a CA");
	err = save(j, CA_KEY, j->ca.key);
	return err ? err : save(j, CA_CERT, j->ca.cert);
}

static int make_server(struct job *j)
{
	struct cert_names names = { j->names, j->name_count };
	int err;

	if (cert_make_server(&j->server, &j->ca, &names, begin(),
		begin() + (int64_t)j->o->days * DAY) < 0)
		return log_fatal("gencert", 1, NULL, "cannot make a certificate");
	err = save(j, SERVER_KEY, j->server.key);
	return err ? err : save(j, SERVER_CERT, j->server.cert);
}

/* A name that a client can type: a wildcard is none. */
static const char *client_host(const struct options *o)
{
	for (unsigned i = 0; i < o->host.count; i++)
		if (o->host.items[i][0] != '*')
			return o->host.items[i];
	return "HOST";
}

static void print(const struct job *j)
{
	char *ca = realpath(j->path[CA_CERT], NULL);

	printf("Certificate for");
	for (size_t i = 0; i < j->name_count; i++)
		printf("%s %s", i ? "," : "", j->names[i]);
	puts("");
	if (!j->o->host.count)
		puts("  add --host for the name clients type");
	puts("");
	for (int i = 0; i < FILES; i++)
		printf("%-28s %s\n", j->path[i], files[i].use);
	puts("\nOn the server, then twice on the client's machine:\n");
	printf("gotunnel server --tls --tls-cert %s --tls-key %s\n", j->path[SERVER_CERT],
		j->path[SERVER_KEY]);
	printf("mkdir -p certs && scp THIS-HOST:%s certs/\n", ca ? ca : j->path[CA_CERT]);
	printf("gotunnel client --tls --server %s --local localhost:3000\n", client_host(j->o));
	printf("\nThen move %s off this machine: whoever has it can pass for the\n"
		"server. Only gencert --force needs it again.\n", j->path[CA_KEY]);
	free(ca);
}

static int run(struct job *j)
{
	char host[256] = "";
	int err;

	choose_names(j, host);
	err = check_names(j);
	if (!err)
		err = find_files(j);
	if (!err)
		err = check_overwriting(j);
	if (!err)
		err = make_ca(j);
	if (!err)
		err = make_server(j);
	if (!err)
		print(j);
	return err;
}

static int make(const struct options *o)
{
	struct job *j = calloc(1, sizeof *j);
	int err;

	if (!j)
		return log_fatal("gencert", 1, NULL, "out of memory");
	j->o = o;
	err = run(j);
	cert_pair_fini(&j->ca);
	cert_pair_fini(&j->server);
	free(j);
	return err;
}

int cmd_gencert(int argc, char **argv)
{
	static const int exits[] = { [OPT_HELPED] = 0, [OPT_WRONG] = 2 };
	struct options o = { 0 };
	struct opt_sources sources;
	enum opt_result result = opt_parse(&cmd_gencert_options, argc, argv, &o, &sources);
	int err = result == OPT_GO_ON ? make(&o) : exits[result];

	opt_list_free(&o.host);
	return err;
}
