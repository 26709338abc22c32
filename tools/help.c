/* SPDX-License-Identifier: Apache-2.0 */
/*
 * help.c - what people read of the command table
 */
#include "tools/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/out.h"

/* Does @name consist of, or begin with, the words argv[0..)?  How many? */
static int words_matched(const char *name, char *const *argv, int argc)
{
	int used = 0;

	while (used < argc) {
		size_t len = strlen(argv[used]);

		if (strncmp(name, argv[used], len) ||
		    (name[len] && name[len] != ' '))
			return 0;
		used++;
		if (!name[len])
			return used;
		name += len + 1;
	}
	return 0;
}

const struct cmd *cmd_find(char *const *argv, int argc, int *used)
{
	for (size_t i = 0; i < nr_cmds; i++) {
		*used = words_matched(cmd_table[i].name, argv, argc);
		if (*used)
			return &cmd_table[i];
	}
	return NULL;
}

/* Is @word the first of two, as 'pool' is? */
static bool is_prefix(const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i < nr_cmds; i++)
		if (!strncmp(cmd_table[i].name, word, len) &&
		    cmd_table[i].name[len] == ' ')
			return true;
	return false;
}

void cmd_each_option(const struct cmd *cmd,
		     void (*fn)(void *arg, const struct cmd_option *option),
		     void *arg)
{
	for (size_t i = 0; i < CMD_OPTIONS_MAX && cmd->options[i].name; i++)
		fn(arg, &cmd->options[i]);
	for (size_t i = 0; i < nr_shared_options; i++)
		if (!shared_options[i].flag ||
		    (shared_options[i].flag & cmd->flags))
			fn(arg, &shared_options[i].option);
}

static void synopsis_option(FILE *f, const struct cmd_option *option)
{
	if (option->letter)
		fprintf(f, " [-%c", option->letter);
	else
		fprintf(f, " [--%s", option->name);
	fprintf(f, "%s%s]", option->arg ? " " : "",
		option->arg ? option->arg : "");
}

char *cmd_synopsis(const struct cmd *cmd)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	fprintf(f, "dbs %s", cmd->name);
	for (size_t i = 0; i < CMD_OPTIONS_MAX && cmd->options[i].name; i++)
		synopsis_option(f, &cmd->options[i]);
	for (size_t i = 0; i < nr_shared_options; i++)
		if (shared_options[i].flag & cmd->flags & CMD_DESTROYS)
			synopsis_option(f, &shared_options[i].option);
	for (size_t i = 0; i < CMD_OPERANDS_MAX; i++) {
		const struct cmd_operand *o = &cmd->operands[i];

		if (!o->name)
			break;
		fprintf(f, o->optional ? " [%s%s]" : " %s%s", o->name,
			o->repeats ? "..." : "");
	}
	fclose(f);
	return text;
}

static void help_line(const struct cmd *cmd)
{
	if (!(cmd->flags & CMD_HIDDEN))
		printf("  %-12s  %s\n", cmd->name, cmd->help);
}

void help_all(void)
{
	const char *group = "";

	puts("usage: dbs COMMAND [OPTION...] [ARGUMENT...]\n\n"
	     "Copy-on-write snapshots and clones of MySQL data directories.");
	for (size_t i = 0; i < nr_cmds; i++) {
		if (strcmp(group, cmd_table[i].group))
			putchar('\n');
		group = cmd_table[i].group;
		help_line(&cmd_table[i]);
	}
	puts("\n'dbs help COMMAND' says more about one; so do the man pages "
	     "dbs(1), dbs-pool(1),\n"
	     "dbs-mount(1), dbs-dataset(1), dbs-snapshot(1) and "
	     "dbs-instance(1).");
}

void help_group(const char *prefix)
{
	size_t len = strlen(prefix);

	printf("usage: dbs %s COMMAND [OPTION...] [ARGUMENT...]\n\n", prefix);
	for (size_t i = 0; i < nr_cmds; i++)
		if (!strncmp(cmd_table[i].name, prefix, len) &&
		    cmd_table[i].name[len] == ' ')
			help_line(&cmd_table[i]);
}

static void help_option(void *arg, const struct cmd_option *option)
{
	char left[64];

	(void)arg;
	snprintf(left, sizeof(left), "%s%c%s --%s%s%s",
		 option->letter ? "-" : " ",
		 option->letter ? option->letter : ' ',
		 option->letter ? "," : " ", option->name,
		 option->arg ? " " : "", option->arg ? option->arg : "");
	if (strlen(left) <= 24)
		printf("  %-24s  %s\n", left, option->help);
	else
		printf("  %s\n  %-24s  %s\n", left, "", option->help);
}

/* "usage: dbs clone [--pool POOL] ...", broken between its parts. */
static void help_usage(const char *synopsis)
{
	size_t column = strlen("usage:");

	fputs("usage:", stdout);
	while (*synopsis) {
		size_t len = strcspn(synopsis, " ");

		/* what stands in brackets stays together */
		if (*synopsis == '[' && strcspn(synopsis, "]") > len)
			len = strcspn(synopsis, "]") + 1;
		if (column + 1 + len > 78) {
			fputs("\n          ", stdout);
			column = 10;
		}
		printf(" %.*s", (int)len, synopsis);
		column += 1 + len;
		synopsis += len + (synopsis[len] == ' ');
	}
	putchar('\n');
}

void help_cmd(const struct cmd *cmd)
{
	char *synopsis = cmd_synopsis(cmd);

	help_usage(synopsis ? synopsis : cmd->name);
	printf("\n%s\n", cmd->help);
	if (cmd->text)
		printf("\n%s", cmd->text);
	puts("\noptions:");
	cmd_each_option(cmd, help_option, NULL);
	printf("\nsee %s(1)\n", cmd->group);
	free(synopsis);
}

int run_unknown(char *const *argv, int argc)
{
	if (!is_prefix(argv[0]))
		return fail_usage(NULL, "unknown command '%s'", argv[0]);
	if (argc > 1 &&
	    (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		help_group(argv[0]);
		return CTL_OK;
	}
	if (argc > 1)
		fail(CTL_USAGE, "unknown command '%s %s'", argv[0], argv[1]);
	else
		fail(CTL_USAGE, "'%s' needs a command", argv[0]);
	fprintf(stderr, "try 'dbs help %s'\n", argv[0]);
	return CTL_USAGE;
}

int run_help(struct invocation *inv)
{
	const struct cmd *cmd;
	int used;

	if (!inv->nr_operands) {
		help_all();
		return CTL_OK;
	}
	cmd = cmd_find(inv->operands, inv->nr_operands, &used);
	if (cmd && used == inv->nr_operands)
		help_cmd(cmd);
	else if (inv->nr_operands == 1 && is_prefix(inv->operands[0]))
		help_group(inv->operands[0]);
	else
		return fail_usage(NULL, "unknown command '%s'",
				  inv->operands[0]);
	return CTL_OK;
}

/* ---- dbs __table: the table for scripts ------------------------------------- */

static void table_option(const char *of, const struct cmd_option *option)
{
	printf("option\t%s\t--%s\t%c\t%s\n", of, option->name,
	       option->letter ? option->letter : '-',
	       option->arg ? option->arg : "-");
}

int run_table(struct invocation *inv)
{
	(void)inv;
	for (size_t i = 0; i < nr_cmds; i++) {
		const struct cmd *cmd = &cmd_table[i];
		char *synopsis = cmd_synopsis(cmd);

		if (cmd->flags & CMD_HIDDEN || !synopsis) {
			free(synopsis);
			continue;
		}
		printf("command\t%s\t%s\t%s\n", cmd->name, cmd->group,
		       synopsis);
		for (size_t k = 0; k < CMD_OPTIONS_MAX; k++)
			if (cmd->options[k].name)
				table_option(cmd->name, &cmd->options[k]);
		free(synopsis);
	}
	for (size_t i = 0; i < nr_shared_options; i++)
		table_option("*", &shared_options[i].option);
	return CTL_OK;
}
