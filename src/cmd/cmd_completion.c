#include "cmd/command.h"

#include <stdio.h>
#include <string.h>

#include "core/log.h"

/* Completions come from the option tables, so that they cannot be behind. */

static const char *const shells[] = { "bash", "zsh", "fish" };

static void words(const struct opt_table *t, const char *prefix)
{
	for (size_t i = 0; i < t->count; i++)
		printf("%s%s--%s", i ? " " : "", prefix, t->opts[i].name);
	printf(" --help --version");
}

static void commands(void)
{
	size_t count;
	const struct command *c = command_table(&count);

	for (size_t i = 0; i < count; i++)
		printf("%s%s", i ? " " : "", c[i].name);
}

static bool is_file(const struct opt *o)
{
	return o->arg && (strcmp(o->arg, "FILE") == 0 || strcmp(o->arg, "DIR") == 0 ||
		strcmp(o->arg, "PATH") == 0);
}

static void bash_values(const struct opt_table *t)
{
	for (size_t i = 0; i < t->count; i++) {
		const struct opt *o = &t->opts[i];

		if (o->kind == OPT_CHOICE) {
			printf("\t\t%s:--%s) COMPREPLY=($(compgen -W \"", t->command, o->name);
			for (const char *p = o->choices; *p; p++)
				putchar(*p == '|' ? ' ' : *p);
			printf("\" -- \"$cur\")); return ;;\n");
		} else if (is_file(o)) {
			printf("\t\t%s:--%s) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n",
				t->command, o->name);
		} else if (!opt_can_stand_alone(o)) {
			printf("\t\t%s:--%s) return ;;\n", t->command, o->name);
		}
	}
}

/* tcp and http share the client's table; it stands once. */
static bool is_alias(const struct command *c)
{
	return c->options && c->options->base;
}

static void bash(void)
{
	size_t count;
	const struct command *c = command_table(&count);

	puts("# bash completion for gotunnel");
	puts("_gotunnel()\n{");
	puts("\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}");
	puts("\tlocal cmd=${COMP_WORDS[0]##*/}");
	puts("\tcase $cmd in gotunnel-*) cmd=${cmd#gotunnel-} ;; *) cmd=${COMP_WORDS[1]} ;; esac");
	puts("\tcase $cmd in tcp|http|-*) cmd=client ;; esac");
	puts("\tCOMPREPLY=()");
	puts("\tcase $cmd:$prev in");
	for (size_t i = 0; i < count; i++)
		if (c[i].options && !is_alias(&c[i]))
			bash_values(c[i].options);
	puts("\tesac");
	puts("\tif [[ $COMP_CWORD -eq 1 && ${COMP_WORDS[0]##*/} == gotunnel && $cur != -* ]]; then");
	printf("\t\tCOMPREPLY=($(compgen -W \"");
	commands();
	puts("\" -- \"$cur\"))\n\t\treturn\n\tfi\n\tcase $cmd in");
	for (size_t i = 0; i < count; i++) {
		if (!c[i].options || is_alias(&c[i]))
			continue;
		printf("\t\t%s) COMPREPLY=($(compgen -W \"", c[i].name);
		words(c[i].options, "");
		puts("\" -- \"$cur\")) ;;");
	}
	puts("\t\tcompletion) COMPREPLY=($(compgen -W \"bash zsh fish\" -- \"$cur\")) ;;");
	printf("\t\thelp) COMPREPLY=($(compgen -W \"");
	commands();
	puts("\" -- \"$cur\")) ;;\n\tesac\n}");
	puts("complete -F _gotunnel gotunnel gotunnel-server gotunnel-client");
}

static void zsh_quoted(const char *text)
{
	for (; *text; text++) {
		if (strchr("'[]:", *text))
			printf(*text == '\'' ? "'\\''" : "\\%c", *text);
		else
			putchar(*text);
	}
}

static void zsh_opt(const struct opt *o)
{
	printf(" \\\n\t\t\t'--%s%s[", o->name, opt_can_have_value(o) ? "=" : "");
	zsh_quoted(o->help);
	printf("]");
	if (opt_can_have_value(o)) {
		printf(opt_can_stand_alone(o) ? "::" : ":");
		zsh_quoted(o->arg);
		printf(":");
	}
	if (o->kind == OPT_CHOICE) {
		printf("(");
		for (const char *p = o->choices; *p; p++)
			putchar(*p == '|' ? ' ' : *p);
		printf(")");
	} else if (is_file(o)) {
		printf("_files");
	}
	printf("'");
}

static void zsh(void)
{
	size_t count;
	const struct command *c = command_table(&count);

	puts("#compdef gotunnel gotunnel-server gotunnel-client");
	puts("_gotunnel() {\n\tlocal cmd=${service#gotunnel-}");
	puts("\tif [[ $cmd == gotunnel ]]; then");
	puts("\t\tif (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then");
	printf("\t\t\tlocal -a commands=(");
	for (size_t i = 0; i < count; i++) {
		printf(" '%s:", c[i].name);
		zsh_quoted(c[i].summary);
		printf("'");
	}
	puts(")\n\t\t\t_describe command commands\n\t\t\treturn\n\t\tfi");
	puts("\t\tcmd=$words[2]\n\t\tshift words\n\t\t(( CURRENT-- ))\n\tfi");
	puts("\tcase $cmd in");
	for (size_t i = 0; i < count; i++) {
		if (!c[i].options || is_alias(&c[i]))
			continue;
		printf("\t%s%s)\n\t\t_arguments", c[i].name,
			strcmp(c[i].name, "client") == 0 ? "|tcp|http|-*" : "");
		for (size_t j = 0; j < c[i].options->count; j++)
			zsh_opt(&c[i].options->opts[j]);
		puts(" \\\n\t\t\t'--help[complete help]' '--version[print the version]' ;;");
	}
	puts("\tcompletion) _values shell bash zsh fish ;;");
	puts("\tesac\n}\nif [[ $funcstack[1] == _gotunnel ]]; then _gotunnel \"$@\"; "
		"else compdef _gotunnel gotunnel gotunnel-server gotunnel-client; fi");
}

/* An option of a command, and of the executable that is called like it. */
static void fish_opt(const char *scope, const struct opt *o)
{
	printf("complete -c %s -l %s", scope, o->name);
	if (o->letter)
		printf(" -s %c", o->letter);
	if (o->kind == OPT_CHOICE) {
		printf(" -x -a '");
		for (const char *p = o->choices; *p; p++)
			putchar(*p == '|' ? ' ' : *p);
		printf("'");
	} else if (is_file(o)) {
		printf(" -r -F");
	} else if (!opt_can_stand_alone(o)) {
		printf(" -x");
	}
	printf(" -d \"%s\"\n", o->help);
}

static void fish_opts(const struct opt_table *t)
{
	bool is_client = strcmp(t->command, "client") == 0;
	char scope[128];

	snprintf(scope, sizeof scope, "gotunnel -n '__fish_seen_subcommand_from %s%s'", t->command,
		is_client ? " tcp http" : "");
	for (size_t i = 0; i < t->count; i++)
		fish_opt(scope, &t->opts[i]);
	if (!is_client && strcmp(t->command, "server") != 0)
		return;
	snprintf(scope, sizeof scope, "gotunnel-%s", t->command);
	printf("complete -c %s -f\n", scope);
	for (size_t i = 0; i < t->count; i++)
		fish_opt(scope, &t->opts[i]);
}

static void fish(void)
{
	size_t count;
	const struct command *c = command_table(&count);

	puts("# fish completion for gotunnel");
	puts("complete -c gotunnel -f");
	for (size_t i = 0; i < count; i++)
		printf("complete -c gotunnel -n __fish_use_subcommand -a %s -d \"%s\"\n", c[i].name,
			c[i].summary);
	for (size_t i = 0; i < count; i++)
		if (c[i].options && !is_alias(&c[i]))
			fish_opts(c[i].options);
	puts("complete -c gotunnel -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'");
}

int cmd_completion(int argc, char **argv)
{
	static void (*const print[])(void) = { bash, zsh, fish };

	if (argc > 1 && command_is_help(argv[1])) {
		puts("usage: gotunnel completion bash|zsh|fish\n\n"
			"Prints what makes a shell complete, as: eval \"$(gotunnel completion bash)\"");
		return 0;
	}
	for (size_t i = 0; argc == 2 && i < sizeof shells / sizeof shells[0]; i++) {
		if (strcmp(argv[1], shells[i]) != 0)
			continue;
		print[i]();
		return 0;
	}
	return log_fatal("completion", 2, "try: gotunnel completion bash",
		"name one shell: bash, zsh or fish");
}
