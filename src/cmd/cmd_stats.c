#include "cmd/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/common.h"
#include "cmd/stats_fetch.h"
#include "cmd/stats_find.h"
#include "cmd/stats_show.h"
#include "core/log.h"
#include "core/text.h"
#include "net/signals.h"
#include "net/term.h"
#include "net/timer.h"

struct options {
	struct common common;
	const char *socket;
	bool json;
	uint64_t watch;
};

#define AT(member) offsetof(struct options, member)

static const struct opt options[] = {
	{ "socket", 0, OPT_TEXT, AT(socket), "PATH", NULL, 0, 0, NULL, true,
		"ask this admin socket; the only one there is if not given" },
	{ "json", 0, OPT_BOOL, AT(json), NULL, NULL, 0, 0, NULL, true,
		"print everything as one JSON object" },
	{ "watch", 0, OPT_PERIOD, AT(watch), "TIME", NULL, 100, 86400000, "1s", true,
		"print it again every TIME, with rates; 1s if no TIME is given" },
	{ "color", 0, OPT_CHOICE, AT(common.color), "WHEN", "auto", 0, 0,
		"auto|always|never", false, "auto, always or never" },
};

const struct opt_table cmd_stats_options = {
	.command = "stats",
	.about = "Shows the traffic of a server or client that runs on this machine.",
	.example = "gotunnel stats --watch",
	.opts = options,
	.count = sizeof options / sizeof options[0],
};

struct job {
	const struct options *o;
	uv_loop_t loop;
	struct worker worker;
	struct signals signals;
	bool stop;		/* by a signal, while watching */
	bool is_over;		/* the time until the next look */
	struct timer *timer;
	struct stats since;	/* the sample before, if has_since */
	bool has_since;
	unsigned shown;
};

/* --- what goes wrong --------------------------------------------------------------- */

static int denied(const char *path)
{
	char owner[128], shown[256], hint[400];

	text_escape(path, strlen(path), shown, sizeof shown);
	snprintf(hint, sizeof hint, "try: sudo gotunnel stats --socket %s", shown);
	return log_fatal("stats", 3, geteuid() ? hint : NULL, "%s belongs to %s: %s", shown,
		stats_find_owner(path, owner, sizeof owner), strerror(EACCES));
}

static int unreachable(const char *path, int error)
{
	char shown[256];

	text_escape(path, strlen(path), shown, sizeof shown);
	if (error == EACCES || error == EPERM)
		return denied(path);
	if (error == ENAMETOOLONG)
		return log_fatal("stats", 3, NULL, "--socket %s: %s", shown, strerror(error));
	return log_fatal("stats", 5, "nothing runs there; without --socket gotunnel stats looks for "
		"itself", "%s: %s", shown, strerror(error));
}

/* Nobody but its user and root gets a word out of it. */
static int silent(const char *path)
{
	char shown[256];
	struct stat st;

	if (geteuid() && stat(path, &st) == 0 && st.st_uid != geteuid())
		return denied(path);
	return log_fatal("stats", 5, "it ends, or too many ask it at once; try again",
		"%s closed the connection without an answer",
		text_escape(path, strlen(path), shown, sizeof shown));
}

static int failed(const struct job *j, const struct stats_fetch *f, enum stats_fetch_result result)
{
	char shown[256], hint[128] = "";

	text_escape(f->path, strlen(f->path), shown, sizeof shown);
	/* While watching, its end is no surprise. */
	if (j->shown && (result == STATS_FETCH_EMPTY || (result == STATS_FETCH_FAILED &&
		(f->error == ECONNREFUSED || f->error == ENOENT))))
		return log_fatal("stats", 5, NULL, "%s: it has ended", shown);
	switch (result) {
	case STATS_FETCH_FAILED:
		return unreachable(f->path, f->error);
	case STATS_FETCH_EMPTY:
		return silent(f->path);
	case STATS_FETCH_LATE:
		if (f->pid)
			snprintf(hint, sizeof hint, "is process %d stopped?", (int)f->pid);
		return log_fatal("stats", 5, hint, "%s: no whole answer in 5s", shown);
	default:
		return log_fatal("stats", 5, "is it the admin socket of another program or version?",
			"%s answers, but not as gotunnel does: %s", shown, f->why);
	}
}

/* --- one look ------------------------------------------------------------------------ */

static int show_json(struct job *j, struct stats_fetch *f)
{
	struct buf line = { .max = f->page.max * 2 };
	int err = stats_read_line(&f->page, term_is(STDOUT_FILENO), &line, f->why, sizeof f->why);

	if (err)
		err = failed(j, f, STATS_FETCH_WRONG);
	else if (fwrite(line.data, 1, line.len, stdout) != line.len || fflush(stdout) != 0)
		j->stop = true; /* Nobody reads it any more. */
	buf_fini(&line);
	return err;
}

static int show_people(struct job *j, struct stats_fetch *f)
{
	struct stats now;
	struct stats_screen screen;

	if (stats_read(&f->page, &now, f->why, sizeof f->why) < 0)
		return failed(j, f, STATS_FETCH_WRONG);
	if (j->has_since && !stats_show_is_later(&now, &j->since)) {
		stats_read_free(&j->since);
		j->has_since = false;
	}
	stats_screen_begin(&screen, j->o->watch);
	if (j->shown && !screen.again)
		stats_screen_add(&screen, STATS_PLAIN, "");
	stats_show(&screen, &now, j->has_since ? &j->since : NULL, j->o->watch);
	if (stats_screen_end(&screen) < 0)
		j->stop = true;
	stats_read_free(&j->since);
	j->since = now;
	j->has_since = true;
	return 0;
}

static int look(struct job *j, const char *path)
{
	struct stats_fetch f = { .worker = &j->worker, .path = path, .stop = &j->stop };
	enum stats_fetch_result result = stats_fetch(&f);
	int err = 0;

	if (result == STATS_FETCH_DONE)
		err = j->o->json ? show_json(j, &f) : show_people(j, &f);
	else if (result != STATS_FETCH_STOPPED)
		err = failed(j, &f, result);
	buf_fini(&f.page);
	j->shown++;
	return err;
}

/* --- again and again ------------------------------------------------------------------ */

static void on_signal(struct signals *s, enum signals_event event, int signum)
{
	struct job *j = s->data;

	(void)signum;
	if (event == SIGNALS_STOP)
		j->stop = true;
}

static void on_time(struct timer *t)
{
	struct job *j = t->data;

	j->is_over = true;
}

static int watch(struct job *j, const char *path)
{
	int err;

	j->signals.data = j;
	signals_open(&j->signals, &j->loop, on_signal);
	j->timer = timer_new(&j->loop, on_time, j);
	err = j->timer ? 0 : log_fatal("stats", 1, NULL, "out of memory");
	while (!err && !j->stop) {
		/* From one look's beginning to the next, so that a slow one does
		 * not make the period longer. */
		j->is_over = false;
		timer_start(j->timer, j->o->watch);
		err = look(j, path);
		while (!err && !j->stop && !j->is_over)
			uv_run(&j->loop, UV_RUN_ONCE);
	}
	timer_free(j->timer);
	signals_close(&j->signals);
	if (!err && term_is(STDOUT_FILENO) && !j->o->json)
		puts("");
	return err;
}

enum { WHAT_WIDTH = 24 };

/* --- which ------------------------------------------------------------------------------ */

static void list_one(struct job *j, FILE *out, const char *path, size_t name_width)
{
	struct stats_fetch f = { .worker = &j->worker, .path = path };
	struct stats s = { .address = "" };
	char name[128], pid[16] = "-", shown[256], what[160] = "-";
	int pad;

	if (stats_fetch(&f) == STATS_FETCH_DONE)
		(void)stats_read(&f.page, &s, f.why, sizeof f.why);
	if (f.pid > 0)
		snprintf(pid, sizeof pid, "%d", (int)f.pid);
	if (s.tunnel_count == 1 && strcmp(s.role, "client") == 0)
		snprintf(what, sizeof what, ":%llu → %s", (unsigned long long)s.tunnels[0].port,
			s.tunnels[0].local);
	else if (s.role[0])
		snprintf(what, sizeof what, "%zu tunnel%s", s.tunnel_count,
			s.tunnel_count == 1 ? "" : "s");
	pad = text_columns(what) < WHAT_WIDTH ? (int)(WHAT_WIDTH - text_columns(what)) : 0;
	fprintf(out, "%-*s  %7s  %-21s  %s%*s  --socket %s\n", (int)name_width,
		stats_find_name(path, name, sizeof name), pid, s.address[0] ? s.address : "-", what,
		pad, "", text_escape(path, strlen(path), shown, sizeof shown));
	stats_read_free(&s);
	buf_fini(&f.page);
}

static int list(struct job *j, const struct stats_find *found)
{
	FILE *out = j->o->json ? stderr : stdout; /* Who asks for JSON parses stdout. */
	size_t width = 4;
	char name[128];

	for (size_t i = 0; i < found->count; i++) {
		size_t len = strlen(stats_find_name(found->paths[i], name, sizeof name));

		width = len > width ? len : width;
	}
	fprintf(out, "%-*s  %7s  %-21s  TUNNEL\n", (int)width, "NAME", "PID", "ADDRESS");
	for (size_t i = 0; i < found->count; i++)
		list_one(j, out, found->paths[i], width);
	fflush(out);
	return log_fatal("stats", 2, "name one of them with --socket", "%zu are running here",
		found->count);
}

static int run(struct job *j)
{
	struct stats_find *found = calloc(1, sizeof *found);
	const char *path = j->o->socket;
	char named[PLACE_PATH_MAX];
	int err = 0;

	if (!found)
		return log_fatal("stats", 1, NULL, "out of memory");
	if (!path)
		stats_find(found);
	else if (!strchr(path, '/') && stats_find_by_name(path, named, sizeof named) == 0)
		path = named; /* As the table calls it. */
	if (!path && found->count == 0 && found->denied[0])
		err = log_fatal("stats", 3, "or name a socket with --socket PATH", "%s", found->denied);
	else if (!path && found->count == 0)
		err = log_fatal("stats", 5, "start gotunnel server or gotunnel client; another user's: "
			"sudo gotunnel stats, or --socket PATH", "nothing is running here");
	else if (!path && found->count > 1)
		err = list(j, found);
	else if (!path)
		path = found->paths[0];
	if (!err)
		err = j->o->watch ? watch(j, path) : look(j, path);
	free(found);
	return err;
}

static int start(const struct options *o)
{
	struct job j = { .o = o };
	int err;

	uv_loop_init(&j.loop);
	err = worker_init(&j.worker, &j.loop);
	if (err)
		return log_fatal("stats", 1, NULL, "cannot start: %s", strerror(-err));
	err = run(&j);
	stats_read_free(&j.since);
	worker_close(&j.worker);
	uv_run(&j.loop, UV_RUN_DEFAULT);
	worker_fini(&j.worker);
	uv_loop_close(&j.loop);
	return err;
}

int cmd_stats(int argc, char **argv)
{
	struct options o = { .common = { .log_level = "info", .log_format = "term" } };
	struct opt_sources sources;
	enum opt_result result = opt_parse(&cmd_stats_options, argc, argv, &o, &sources);
	int err;

	if (result != OPT_GO_ON)
		return result == OPT_HELPED ? 0 : 2;
	err = common_apply(&o.common, "stats");
	return err ? err : start(&o);
}
