/* SPDX-License-Identifier: Apache-2.0 */
/*
 * complete.c - 'dbs __complete WORD...': what the last word can become
 *
 * One candidate a line; a first line '!file' or '!dir' asks the shell to
 * complete file names.  Called by the completion script for every tab, so it
 * only asks daemons that run and never opens a pool.
 */
#include "tools/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/client.h"
#include "tools/cmd_instance.h"
#include "tools/config.h"
#include "tools/daemon.h"
#include "tools/instance/instance.h"
#include "tools/out.h"

static void offer(const char *word, const char *candidate)
{
	if (!strncmp(candidate, word, strlen(word)))
		puts(candidate);
}

/* The next word of commands' names after argv[0..nr). */
static void complete_command(char *const *argv, int nr, const char *word)
{
	char seen[64] = "";

	for (size_t i = 0; i < nr_cmds; i++) {
		const char *name = cmd_table[i].name;
		char next[64];
		int k;

		if (cmd_table[i].flags & CMD_HIDDEN)
			continue;
		for (k = 0; k < nr; k++) {
			size_t len = strlen(argv[k]);

			if (strncmp(name, argv[k], len) || name[len] != ' ')
				break;
			name += len + 1;
		}
		if (k < nr)
			continue;
		snprintf(next, sizeof(next), "%.*s", (int)strcspn(name, " "),
			 name);
		if (strcmp(next, seen))
			offer(word, next);
		strcpy(seen, next);
	}
}

struct option_search {
	const char *word; /* prefix to offer, or an option's name to find */
	const struct cmd_option *found;
};

static void offer_option(void *arg, const struct cmd_option *option)
{
	const struct option_search *search = arg;
	char text[64];

	snprintf(text, sizeof(text), "--%s", option->name);
	offer(search->word, text);
}

static void match_option(void *arg, const struct cmd_option *option)
{
	struct option_search *search = arg;
	const char *word = search->word;

	if (word[0] != '-')
		return;
	if (word[1] == '-' ? !strcmp(word + 2, option->name)
			   : option->letter && word[1] &&
				     word[strlen(word) - 1] == option->letter)
		search->found = option;
}

static const struct cmd_option *find_option(const struct cmd *cmd,
					    const char *word)
{
	struct option_search search = {.word = word};

	cmd_each_option(cmd, match_option, &search);
	return search.found;
}

/* ---- names of datasets, from the daemon ---------------------------------------- */

static const char *value_of(char *const *argv, int argc, const char *name,
			    char letter)
{
	for (int i = 0; i + 1 < argc; i++)
		if ((argv[i][0] == '-' && argv[i][1] == letter &&
		     !argv[i][2]) ||
		    !strcmp(argv[i], name))
			return argv[i + 1];
	return NULL;
}

static void complete_names(const struct cmd *cmd, char *const *argv, int argc,
			   const char *word, bool datasets, bool snapshots)
{
	struct option_value given[2];
	struct invocation inv = {
		.cmd = cmd, .given = given, .only_daemons = true};
	const char *pool = value_of(argv, argc, "--pool", 'p');
	const char *socket = value_of(argv, argc, "--socket", 'S');
	json_t *types = json_array(), *result, *item;
	struct client *client;
	size_t i;

	for (i = 0; i < nr_shared_options; i++) {
		const struct cmd_option *o = &shared_options[i].option;
		const char *value = !strcmp(o->name, "pool")	 ? pool
				    : !strcmp(o->name, "socket") ? socket
								 : NULL;

		if (value)
			given[inv.nr_given++] = (struct option_value){o, value};
	}
	if (datasets)
		json_array_append_new(types, json_string("dataset"));
	if (snapshots)
		json_array_append_new(types, json_string("snapshot"));
	if (client_open(&inv, NULL, &client) != CTL_OK) {
		json_decref(types);
		return;
	}
	if (client_call(client, "list", json_pack("{s:o}", "types", types),
			&result) == CTL_OK) {
		json_array_foreach(json_object_get(result, "items"), i, item)
			offer(word, out_get_text(item, "name"));
		json_decref(result);
	}
	client_close(client, CTL_OK);
}

static void complete_mounts(const char *word)
{
	json_t *list = daemon_list(), *item;
	size_t i;

	json_array_foreach(list, i, item)
		offer(word, out_get_text(item, "mountpoint"));
	json_decref(list);
}

static void complete_instances(const char *word)
{
	json_t *names = instance_names(), *name;
	size_t i;

	json_array_foreach(names, i, name) offer(word, json_string_value(name));
	json_decref(names);
}

static void complete_workers(const char *prefix, const char *word)
{
	json_t *items, *item;
	struct config config;
	char text[128];
	size_t i;

	if (config_open(&config) != CTL_OK)
		return;
	items = workers_json(config.workers);
	json_array_foreach(items, i, item)
	{
		snprintf(text, sizeof(text), "%s%s", prefix,
			 out_get_text(item, "name"));
		offer(word, text);
	}
	json_decref(items);
	config_release(&config);
}

static void complete_kind(const struct cmd *cmd, enum cmd_kind kind,
			  char *const *argv, int argc, const char *word)
{
	static const char *const properties[] = {
		"recordsize", "compression", "quota", "readonly", "user:",
	};
	static const char *const read_only[] = {
		"type",	     "origin",	     "created",	  "referenced",
		"logical",   "charged",	     "unique",	  "ratio",
		"nr_inodes", "nr_snapshots", "automatic",
	};
	char text[64];

	switch (kind) {
	case KIND_NONE:
		break;
	case KIND_FILE:
		puts("!file");
		break;
	case KIND_DIR:
		puts("!dir");
		break;
	case KIND_MOUNT:
		complete_mounts(word);
		break;
	case KIND_DATASET:
		complete_names(cmd, argv, argc, word, true, false);
		break;
	case KIND_SNAPSHOT:
		complete_names(cmd, argv, argc, word, false, true);
		break;
	case KIND_EITHER:
		complete_names(cmd, argv, argc, word, true,
			       strchr(word, '@') != NULL);
		break;
	case KIND_PROPERTY:
		for (size_t i = 0; i < ARRAY_SIZE(properties); i++)
			offer(word, properties[i]);
		for (size_t i = 0; i < ARRAY_SIZE(read_only); i++)
			offer(word, read_only[i]);
		break;
	case KIND_ASSIGNMENT:
		for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
			snprintf(text, sizeof(text), "%s%s", properties[i],
				 i < 4 ? "=" : "");
			offer(word, text);
		}
		break;
	case KIND_TYPE:
		offer(word, "dataset");
		offer(word, "snapshot");
		offer(word, "all");
		break;
	case KIND_COMMAND:
		complete_command(argv, argc, word);
		break;
	case KIND_INSTANCE:
		complete_instances(word);
		break;
	case KIND_WORKER:
		complete_workers("", word);
		break;
	case KIND_LOG:
		complete_instances(word);
		complete_workers("worker/", word);
		break;
	}
}

/* Which operand is the word after argv[0..argc)? */
static void complete_operand(const struct cmd *cmd, char *const *argv, int argc,
			     const char *word)
{
	int nr = 0;

	for (int i = 0; i < argc; i++) {
		const struct cmd_option *o = find_option(cmd, argv[i]);

		if (argv[i][0] != '-')
			nr++;
		else if (o && o->arg)
			i++;
	}
	for (int i = 0; i < CMD_OPERANDS_MAX; i++) {
		const struct cmd_operand *o = &cmd->operands[i];

		if (!o->name)
			break;
		if (i == nr || (i < nr && o->repeats)) {
			complete_kind(cmd, o->kind, argv, argc, word);
			break;
		}
	}
}

int run_complete(struct invocation *inv)
{
	int argc = inv->nr_operands - 1, used;
	char **argv = inv->operands;
	const struct cmd_option *before = NULL;
	const struct cmd *cmd;
	const char *word;

	if (argc < 0)
		return CTL_USAGE;
	word = argv[argc];
	fail_silently();
	cmd = cmd_find(argv, argc, &used);
	if (!cmd) {
		complete_command(argv, argc, word);
		return CTL_OK;
	}
	argv += used, argc -= used;
	if (argc)
		before = find_option(cmd, argv[argc - 1]);
	if (before && before->arg) {
		complete_kind(cmd, before->kind, argv, argc, word);
	} else if (word[0] == '-') {
		struct option_search search = {.word = word};

		cmd_each_option(cmd, offer_option, &search);
	} else {
		complete_operand(cmd, argv, argc, word);
	}
	return CTL_OK;
}
