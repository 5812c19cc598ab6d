#include "cmd/opt.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "core/log.h"
#include "core/text.h"

/* --- values ------------------------------------------------------------------ */

static bool is_choice(const char *choices, const char *value)
{
	size_t len = strlen(value);

	for (const char *p = choices; p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
		if (strcspn(p, "|") == len && strncmp(p, value, len) == 0)
			return true;
	return false;
}

static int add_items(struct opt_list *list, const char *value)
{
	char *copy = list->owned < OPT_LIST_MAX ? strdup(value) : NULL, *save = NULL;

	if (!copy)
		return -1;
	list->texts[list->owned++] = copy;
	for (char *item = strtok_r(copy, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
		if (list->count == OPT_LIST_MAX)
			return -1;
		list->items[list->count++] = item;
	}
	return *value ? 0 : -1;
}

void opt_list_free(struct opt_list *list)
{
	while (list->owned)
		free(list->texts[--list->owned]);
	list->count = 0;
}

/* max 0: as long as a duration can be. */
static int store_duration(const struct opt *o, const char *value, uint64_t *out, char *why, size_t cap)
{
	char most[32];
	uint64_t ms;
	int err = text_duration(value, &ms);

	if (!err && o->max && ms > o->max)
		err = -2;
	if (err == -2)
		snprintf(why, cap, "is too long, at most %s", o->max ?
			text_period(o->max, most, sizeof most) : "365d");
	else if (err)
		snprintf(why, cap, "is not a duration with its unit, as 30s or 1m30s");
	else
		*out = ms;
	return err;
}

static int store_period(const struct opt *o, const char *value, uint64_t *out)
{
	uint64_t ms;

	if (text_duration(value, &ms) < 0 || ms < o->min || ms > o->max)
		return -1;
	*out = ms;
	return 0;
}

/* 0, or -1 with what is wrong with the value in `why`. */
static int store(const struct opt *o, const char *value, void *out, char *why, size_t cap)
{
	char *at = (char *)out + o->offset, least[24], most[24];
	switch (o->kind) {
	case OPT_TEXT:
		memcpy(at, &value, sizeof value);
		return 0;
	case OPT_UINT:
		snprintf(why, cap, "is not a number from %llu to %llu", (unsigned long long)o->min,
			(unsigned long long)o->max);
		return text_uint(value, o->min, o->max, (uint64_t *)(void *)at);
	case OPT_BOOL:
		snprintf(why, cap, "is not true or false");
		return text_bool(value, (bool *)at);
	case OPT_DURATION:
		return store_duration(o, value, (uint64_t *)(void *)at, why, cap);
	case OPT_PERIOD:
		snprintf(why, cap, "is not a duration from %s to %s, with its unit",
			text_elapsed(o->min, least, sizeof least),
			text_elapsed(o->max, most, sizeof most));
		return store_period(o, value, (uint64_t *)(void *)at);
	case OPT_CHOICE:
		snprintf(why, cap, "is not one of %s", o->choices);
		memcpy(at, &value, sizeof value);
		return is_choice(o->choices, value) ? 0 : -1;
	case OPT_LIST:
		snprintf(why, cap, "is not a name, or up to %d with commas", OPT_LIST_MAX);
		return add_items((struct opt_list *)(void *)at, value);
	}
	return -1;
}

static enum opt_result take(const struct opt_table *t, const struct opt *o, const char *source,
	const char *value, void *out)
{
	char why[128], hint[128], shown[256];

	if (*value && store(o, value, out, why, sizeof why) == 0)
		return OPT_GO_ON;
	text_escape(value, strlen(value), shown, sizeof shown);
	snprintf(hint, sizeof hint, "see: gotunnel %s --help", t->command);
	if (*value)
		log_fatal(t->command, 2, hint, "%s: \"%s\" %s", source, shown, why);
	else
		log_fatal(t->command, 2, hint, "%s is empty", source);
	return OPT_WRONG;
}

/* --- the environment ------------------------------------------------------------ */

static void variable(char *out, size_t cap, const char *command, const char *name)
{
	size_t at = (size_t)snprintf(out, cap, "GOTUNNEL_%s%s%s", command, *command ? "_" : "",
		name);

	for (size_t i = 0; i < at && i < cap; i++)
		out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

const char *opt_base(const struct opt_table *t)
{
	return t->base ? t->base : t->command;
}

static const char *from_environment(const struct opt_table *t, const struct opt *o, char name[64])
{
	const char *value;

	variable(name, 64, opt_base(t), o->name);
	value = getenv(name);
	if (value && *value)
		return value;
	variable(name, 64, "", o->name);
	value = getenv(name);
	return value && *value ? value : NULL;
}

static enum opt_result take_defaults(const struct opt_table *t, void *out,
	struct opt_sources *sources)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct opt *o = &t->opts[i];
		const char *value;
		char why[128];

		if (sources->from[i])
			continue;
		value = from_environment(t, o, sources->names[i]);
		if (value) {
			sources->from[i] = sources->names[i];
			if (take(t, o, sources->names[i], value, out) != OPT_GO_ON)
				return OPT_WRONG;
		} else if (o->fallback && store(o, o->fallback, out, why, sizeof why) < 0) {
			abort(); /* A default of our own that its own rule refuses. */
		}
	}
	return OPT_GO_ON;
}

/* --- flags -------------------------------------------------------------------------- */

static const struct opt *find(const struct opt_table *t, const char *name, size_t len)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct opt *o = &t->opts[i];

		if (strlen(o->name) == len && strncmp(o->name, name, len) == 0)
			return o;
		if (len == 1 && o->letter && *name == o->letter)
			return o;
	}
	return NULL;
}

static enum opt_result unknown(const struct opt_table *t, const char *arg)
{
	const char *names[OPT_MAX], *near;
	char hint[128], word[64], shown[128];

	for (size_t i = 0; i < t->count; i++)
		names[i] = t->opts[i].name;
	snprintf(word, sizeof word, "%s", arg + strspn(arg, "-"));
	word[strcspn(word, "=")] = '\0';
	near = text_nearest(word, names, t->count);
	if (near)
		snprintf(hint, sizeof hint, "did you mean --%s?", near);
	else
		snprintf(hint, sizeof hint, "see: gotunnel %s --help", t->command);
	text_escape(arg, strlen(arg), shown, sizeof shown);
	log_fatal(t->command, 2, hint, "%s %s", *arg == '-' ? "unknown option" : "unexpected word",
		shown);
	return OPT_WRONG;
}

static enum opt_result wrong(const struct opt_table *t, const struct opt *o)
{
	char hint[256];

	snprintf(hint, sizeof hint, "try: %s", t->example);
	log_fatal(t->command, 2, hint, "--%s needs a value: %s", o->name, o->arg);
	return OPT_WRONG;
}

bool opt_can_stand_alone(const struct opt *o)
{
	return o->kind == OPT_BOOL || o->kind == OPT_PERIOD;
}

bool opt_can_have_value(const struct opt *o)
{
	return o->kind != OPT_BOOL;
}

/* What a flag means that has no "=VALUE", if the next word is not its value. */
static const char *alone(const struct opt *o, const char *next)
{
	uint64_t unused;

	if (o->kind == OPT_PERIOD)
		return next && text_duration(next, &unused) != -1 ? NULL : o->choices;
	return o->kind == OPT_BOOL ? "true" : NULL;
}

static bool is_word(const struct opt_table *t, const struct opt *o)
{
	return t->word && strcmp(t->word, o->name) == 0;
}

static enum opt_result twice(const struct opt_table *t)
{
	log_fatal(t->command, 2, "leave one out", "the service is named twice");
	return OPT_WRONG;
}

/* Every word that is no flag. */
static enum opt_result take_word(const struct opt_table *t, const char *word, void *out,
	struct opt_sources *sources)
{
	const struct opt *o = t->word ? find(t, t->word, strlen(t->word)) : NULL;

	if (!o)
		return unknown(t, word);
	if (sources->from[o - t->opts])
		return twice(t);
	sources->from[o - t->opts] = "the service";
	return take(t, o, "the service", word, out);
}

/* One flag, and its value if that stands in the next word. */
static enum opt_result take_flag(const struct opt_table *t, int argc, char **argv, int *at,
	void *out, struct opt_sources *sources)
{
	const char *arg = argv[*at], *name = arg + (arg[1] == '-' ? 2 : 1);
	size_t len = strcspn(name, "=");
	const struct opt *o = find(t, name, len);
	const char *value = name[len] == '=' ? name + len + 1 : NULL;
	size_t i;

	if (!o)
		return unknown(t, arg);
	i = (size_t)(o - t->opts);
	if (is_word(t, o) && sources->from[i] && sources->from[i][0] != '-')
		return twice(t);
	if (!value)
		value = alone(o, *at + 1 < argc ? argv[*at + 1] : NULL);
	if (!value) {
		if (*at + 1 >= argc)
			return wrong(t, o);
		value = argv[++*at];
	}
	snprintf(sources->names[i], sizeof sources->names[i], "--%s", o->name);
	sources->from[i] = sources->names[i];
	return take(t, o, sources->names[i], value, out);
}

static bool is_version(const char *arg)
{
	return strcmp(arg, "-V") == 0 || strcmp(arg, "--version") == 0 ||
		strcmp(arg, "-version") == 0;
}

enum opt_result opt_parse(const struct opt_table *t, int argc, char **argv, void *out,
	struct opt_sources *sources)
{
	*sources = (struct opt_sources){ 0 };
	for (int i = 1; i < argc; i++) {
		bool brief = strcmp(argv[i], "-h") == 0;

		if (command_is_help(argv[i])) {
			opt_help(t, !brief);
			return OPT_HELPED;
		}
		if (is_version(argv[i])) {
			cmd_version(1, argv);
			return OPT_HELPED;
		}
		if ((argv[i][0] == '-' ? take_flag(t, argc, argv, &i, out, sources) :
			take_word(t, argv[i], out, sources)) != OPT_GO_ON)
			return OPT_WRONG;
	}
	return take_defaults(t, out, sources);
}

const char *opt_source(const struct opt_table *t, const struct opt_sources *sources,
	const char *name)
{
	const struct opt *o = find(t, name, strlen(name));

	return o ? sources->from[o - t->opts] : NULL;
}

/* --- help ------------------------------------------------------------------------------ */

enum { HELP_COLUMN = 30 };

static void print_opt(const struct opt *o)
{
	char left[64];
	char value[40] = "";
	char letter[] = { '-', o->letter, ',', ' ', '\0' };
	int len;

	if (opt_can_have_value(o))
		snprintf(value, sizeof value, opt_can_stand_alone(o) ? " [%s]" : " %s", o->arg);
	len = snprintf(left, sizeof left, "  %s--%s%s", o->letter ? letter : "", o->name, value);
	printf("%s", left);
	if (len >= HELP_COLUMN)
		printf("\n%*s", HELP_COLUMN, "");
	else
		printf("%*s", HELP_COLUMN - len, "");
	printf("%s", o->help);
	if (o->fallback && o->kind != OPT_BOOL)
		printf(" [%s]", o->fallback);
	putchar('\n');
}

void opt_help(const struct opt_table *t, bool complete)
{
	char own[64];

	printf("%s\n\n  %s\n\n", t->about, t->example);
	printf("usage: gotunnel %s%s [OPTION]...\n\n", t->command,
		t->word ? " HOST:PORT" : "");
	for (size_t i = 0; i < t->count; i++)
		if ((complete || t->opts[i].is_basic) && !is_word(t, &t->opts[i]))
			print_opt(&t->opts[i]);
	if (!complete) {
		printf("\nAll options: gotunnel %s --help    Manual: man gotunnel-%s\n", t->command,
			opt_base(t));
		return;
	}
	printf("  -h, --help                  -h is short, --help complete\n");
	printf("  -V, --version               print the version\n");
	variable(own, sizeof own, opt_base(t), "<option>");
	printf("\nEach option can also be set as GOTUNNEL_<OPTION> or %s.\n"
		"Manual: man gotunnel-%s\n", own, opt_base(t));
}
