#ifndef CMD_OPT_H
#define CMD_OPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The options of a command, named once: the table drives parsing, defaults,
 * the environment, -h, --help and the completions, and a lint holds the manual
 * to it.
 *
 * A value comes from the flag, else GOTUNNEL_<COMMAND>_<OPTION>, else
 * GOTUNNEL_<OPTION>, else the default. Flags are --flag VALUE, --flag=VALUE,
 * and with one dash, as the original had them. A table may take one word
 * without a dash, anywhere, as the value of one of its options.
 */
enum opt_kind {
	OPT_TEXT,	/* const char * */
	OPT_UINT,	/* uint64_t, min..max */
	OPT_BOOL,	/* bool; --flag, --flag=true|false|1|0 */
	OPT_DURATION,	/* uint64_t, milliseconds */
	OPT_PERIOD,	/* uint64_t, milliseconds, 0 if not given; --flag alone stands for
			 * `choices`; the next word is its value only if it is a
			 * duration; min..max */
	OPT_CHOICE,	/* const char *, one of choices, "a|b|c" */
	OPT_LIST,	/* struct opt_list; may be given again, or with commas */
};

enum { OPT_MAX = 40, OPT_LIST_MAX = 64 };

struct opt_list {
	unsigned count;
	const char *items[OPT_LIST_MAX];
	unsigned owned;
	char *texts[OPT_LIST_MAX];	/* what the items point into */
};

void opt_list_free(struct opt_list *list);

struct opt {
	const char *name;	/* without dashes */
	char letter;		/* -q, or 0 */
	enum opt_kind kind;
	size_t offset;		/* of the value in the caller's struct */
	const char *arg;	/* "HOST:PORT", how the value is called */
	const char *fallback;	/* the default as text, or NULL: empty, 0, false */
	uint64_t min, max;
	const char *choices;	/* of an OPT_CHOICE; of an OPT_PERIOD: its value alone */
	bool is_basic;		/* -h shows it, too */
	const char *help;
};

struct opt_table {
	const char *command;
	const char *base;	/* the command whose variables and manual it shares, or NULL */
	const char *word;	/* the option that a word without a dash gives, or NULL */
	const char *about;	/* one sentence */
	const char *example;	/* a line that works */
	const struct opt *opts;
	size_t count;
};

/* Where each value came from: "--flag", the variable's name, or "the service"
 * for the word, NULL for the default. By the index of the table. */
struct opt_sources {
	const char *from[OPT_MAX];
	char names[OPT_MAX][64];
};

/* Whether the flag stands for something without a value, and whether it can
 * have one. */
bool opt_can_stand_alone(const struct opt *o);
bool opt_can_have_value(const struct opt *o);

enum opt_result { OPT_GO_ON, OPT_HELPED, OPT_WRONG };

/* Fills the caller's struct (zeroed before). argv[0] is skipped. OPT_HELPED:
 * help or the version was printed, exit 0. OPT_WRONG: the error was reported, exit 2. Texts
 * point into argv and the environment. */
enum opt_result opt_parse(const struct opt_table *t, int argc, char **argv, void *out,
	struct opt_sources *sources);

/* The source of an option by name, or NULL for its default. */
const char *opt_source(const struct opt_table *t, const struct opt_sources *sources,
	const char *name);

/* The command whose variables, manual and completions a table has. */
const char *opt_base(const struct opt_table *t);

void opt_help(const struct opt_table *t, bool complete);

#endif
