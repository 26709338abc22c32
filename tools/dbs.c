/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dbs.c - finds the command of a command line in the table, parses its
 * options and runs it
 */
#include "tools/cmd.h"

#include <ctype.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/out.h"

static bool silent;

void fail_silently(void)
{
	silent = true;
}

/* One line: a name may have been given with a newline or worse in it. */
__attribute__((format(printf, 1, 0))) static void say(const char *fmt,
						      va_list ap)
{
	char *text;

	if (silent || vasprintf(&text, fmt, ap) < 0)
		return;
	fflush(stdout);
	fputs("dbs: ", stderr);
	out_escaped(stderr, text);
	fputc('\n', stderr);
	free(text);
}

int fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return code;
}

int fail_usage(const struct cmd *cmd, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	if (!silent)
		fprintf(stderr, "try 'dbs help%s%s'\n", cmd ? " " : "",
			cmd ? cmd->name : "");
	return CTL_USAGE;
}

void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

int confirm(const struct invocation *inv, const char *what)
{
	char answer[16];

	if (inv_has(inv, "yes"))
		return CTL_OK;
	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return fail_usage(inv->cmd,
				  "%s: nobody can be asked here; give --yes",
				  what);
	fflush(stdout);
	note("%s", what);
	fputs("go on? [y/N] ", stderr);
	if (!fgets(answer, sizeof(answer), stdin) ||
	    (answer[0] != 'y' && answer[0] != 'Y'))
		return fail(CTL_CONFLICT, "not confirmed, nothing was done");
	return CTL_OK;
}

/* ---- options ---------------------------------------------------------------- */

static bool has_option(const struct cmd *cmd, const char *name)
{
	for (size_t i = 0; i < CMD_OPTIONS_MAX; i++)
		if (cmd->options[i].name && !strcmp(cmd->options[i].name, name))
			return true;
	for (size_t i = 0; i < nr_shared_options; i++)
		if (!strcmp(shared_options[i].option.name, name))
			return true;
	return false;
}

const char *inv_value_nth(const struct invocation *inv, const char *name,
			  size_t i)
{
	dbs_assert(has_option(inv->cmd, name));
	for (size_t k = 0; k < inv->nr_given; k++)
		if (!strcmp(inv->given[k].option->name, name) && !i--)
			return inv->given[k].value ? inv->given[k].value : "";
	return NULL;
}

bool inv_has(const struct invocation *inv, const char *name)
{
	return inv_value_nth(inv, name, 0) != NULL;
}

const char *inv_value(const struct invocation *inv, const char *name)
{
	const char *last = NULL, *value;

	for (size_t i = 0; (value = inv_value_nth(inv, name, i)); i++)
		last = value;
	return last;
}

const char *inv_operand(const struct invocation *inv, int i)
{
	return i < inv->nr_operands ? inv->operands[i] : NULL;
}

#define OPTIONS_MAX (CMD_OPTIONS_MAX + 16)

/* The table's options of one command, as getopt_long(3) wants them. */
struct option_set {
	const struct cmd_option *by_value[OPTIONS_MAX];
	struct option longs[OPTIONS_MAX + 1];
	char shorts[2 * OPTIONS_MAX + 2];
	size_t nr, nr_shorts;
};

static void option_set_add(void *arg, const struct cmd_option *option)
{
	struct option_set *set = arg;

	dbs_assert(set->nr < OPTIONS_MAX);
	set->by_value[set->nr] = option;
	set->longs[set->nr] = (struct option){
		.name = option->name,
		.has_arg = option->arg ? required_argument : no_argument,
		.val = 256 + (int)set->nr,
	};
	set->nr++;
	if (!option->letter)
		return;
	set->shorts[set->nr_shorts++] = option->letter;
	if (option->arg)
		set->shorts[set->nr_shorts++] = ':';
}

static const struct cmd_option *option_of(const struct option_set *set, int c)
{
	if (c >= 256)
		return set->by_value[c - 256];
	for (size_t i = 0; i < set->nr; i++)
		if (set->by_value[i]->letter == c)
			return set->by_value[i];
	return NULL;
}

static int check_operands(const struct invocation *inv)
{
	const struct cmd *cmd = inv->cmd;
	int nr_min = 0, nr_max = 0;

	for (int i = 0; i < CMD_OPERANDS_MAX && cmd->operands[i].name; i++) {
		if (!cmd->operands[i].optional)
			nr_min = i + 1;
		nr_max = cmd->operands[i].repeats ? INT32_MAX : i + 1;
	}
	if (inv->nr_operands < nr_min)
		return fail_usage(cmd, "%s: %s is missing", cmd->name,
				  cmd->operands[inv->nr_operands].name);
	if (inv->nr_operands > nr_max)
		return fail_usage(cmd, "%s: unexpected argument '%s'",
				  cmd->name, inv->operands[nr_max]);
	return CTL_OK;
}

/* Fill @inv from argv, whose [0] is the command's last word. */
static int parse_options(struct invocation *inv, int argc, char **argv)
{
	struct option_set set = {.shorts = ":", .nr_shorts = 1};
	int c;

	cmd_each_option(inv->cmd, option_set_add, &set);
	opterr = 0;
	while ((c = getopt_long(argc, argv, set.shorts, set.longs, NULL)) !=
	       -1) {
		const char *word = argv[optind - 1];

		if (c == '?' && optopt && optopt < 256)
			return fail_usage(inv->cmd, "%s: unknown option '-%c'",
					  inv->cmd->name, optopt);
		if (c == '?' && optopt >= 256)
			return fail_usage(
				inv->cmd, "%s: '--%s' takes no argument",
				inv->cmd->name, option_of(&set, optopt)->name);
		if (c == '?')
			return fail_usage(inv->cmd, "%s: unknown option '%s'",
					  inv->cmd->name, word);
		if (c == ':')
			return fail_usage(inv->cmd, "%s: '--%s' needs %s",
					  inv->cmd->name,
					  option_of(&set, optopt)->name,
					  option_of(&set, optopt)->arg);
		inv->given[inv->nr_given].option = option_of(&set, c);
		inv->given[inv->nr_given++].value = optarg;
	}
	inv->operands = argv + optind;
	inv->nr_operands = argc - optind;
	return CTL_OK;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
	struct invocation inv = {.cmd = cmd};
	int code;

	if (cmd->flags & CMD_HIDDEN) {
		inv.operands = argv + 1;
		inv.nr_operands = argc - 1;
		return cmd->run(&inv);
	}
	/* '-rfn' is three options in one word */
	size_t room = 0;
	for (int i = 0; i < argc; i++)
		room += strlen(argv[i]) + 1;
	inv.given = calloc(room, sizeof(*inv.given));
	if (!inv.given)
		return fail(CTL_FAILED, "out of memory");
	code = parse_options(&inv, argc, argv);
	if (code == CTL_OK && inv_has(&inv, "help")) {
		help_cmd(cmd);
	} else if (code == CTL_OK) {
		inv.json = (cmd->flags & CMD_JSON) && inv_has(&inv, "json");
		if (inv_has(&inv, "verbose"))
			log_set_level(LOG_LEVEL_INFO);
		code = check_operands(&inv);
		if (code == CTL_OK)
			code = cmd->run(&inv);
	}
	free(inv.given);
	return code;
}

static void log_to_stderr(enum log_level level, const char *text)
{
	static const char *const names[] = {"error", "warning", "info",
					    "debug"};

	if (!silent)
		fprintf(stderr, "dbs: %s: %s\n", names[level], text);
}

/* Monitors and servers work elsewhere: what is meant is said from here. */
static int make_state_dir_absolute(void)
{
	const char *dir = getenv("DBS_STATE_DIR");
	char *here = NULL, *path;
	int code = CTL_OK;

	if (!dir || !*dir || *dir == '/')
		return CTL_OK;
	path = realpath(dir, NULL);
	if (!path)
		here = getcwd(NULL, 0);
	if (here && asprintf(&path, "%s/%s", here, dir) < 0)
		path = NULL;
	if (!path || setenv("DBS_STATE_DIR", path, 1))
		code = fail(CTL_CONFIG,
			    "$DBS_STATE_DIR is '%s', which cannot be made "
			    "absolute: %m",
			    dir);
	free(path);
	free(here);
	return code;
}

int main(int argc, char **argv)
{
	const struct cmd *cmd;
	int used, code;

	/* a closed pipe shows as a failed write; see below */
	signal(SIGPIPE, SIG_IGN);
	log_set_sink(log_to_stderr);
	/* what fails is told in a sentence; -v adds what the store logs */
	log_set_level(LOG_LEVEL_ERROR);
	argv++, argc--;
	if (!argc) {
		help_all();
		return CTL_USAGE;
	}
	if (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h")) {
		help_all();
		return CTL_OK;
	}
	if (!strcmp(argv[0], "--version") || !strcmp(argv[0], "-V")) {
		printf("dbs %s\n", DBS_VERSION);
		return CTL_OK;
	}
	cmd = cmd_find(argv, argc, &used);
	if (!cmd)
		return run_unknown(argv, argc);
	code = make_state_dir_absolute();
	if (code == CTL_OK)
		code = run(cmd, argc - used + 1, argv + used - 1);
	if ((fflush(stdout) || ferror(stdout)) && code == CTL_OK)
		code = fail(CTL_FAILED, "writing to stdout: %m");
	return code;
}
