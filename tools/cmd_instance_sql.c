/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_instance_sql.c - dbs sql
 */
#include "tools/cmd.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/cmd_instance.h"
#include "tools/instance/sql.h"
#include "tools/out.h"

/* All of -e as one text; the caller frees.  NULL: there is none. */
static char *sql_statements(const struct invocation *inv)
{
	const char *one;
	char *all = NULL;
	size_t len;
	FILE *f;

	if (!inv_has(inv, "execute"))
		return NULL;
	f = open_memstream(&all, &len);
	for (size_t i = 0; f && (one = inv_value_nth(inv, "execute", i)); i++)
		fprintf(f, "%s%s", i ? ";\n" : "", one);
	if (f)
		fclose(f);
	return all;
}

/* Only our option file: ~/.my.cnf would come after it, with its password. */
static int sql_exec(const struct invocation *inv, bool mariadb,
		    const char *options)
{
	const char *clients[] = {mariadb ? "mariadb" : "mysql",
				 mariadb ? "mysql" : "mariadb"};
	char *statements = sql_statements(inv), *file = NULL;
	size_t room = (size_t)inv->nr_operands + 8, nr = 0;
	const char **argv = calloc(room, sizeof(*argv));

	if (!argv || asprintf(&file, "--defaults-file=%s", options) < 0)
		return fail(CTL_FAILED, "out of memory");
	argv[nr++] = clients[0];
	argv[nr++] = file;
	if (statements) {
		argv[nr++] = "-e";
		argv[nr++] = statements;
	}
	for (int i = 1; i < inv->nr_operands; i++)
		argv[nr++] = inv->operands[i];
	signal(SIGPIPE, SIG_DFL);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		execvp(clients[i], (char *const *)(uintptr_t)argv);
	return fail(CTL_NOT_FOUND, "the client '%s' cannot be started: %m",
		    clients[0]);
}

/* Without the client, whose output is for people. */
static int sql_print_json(const struct invocation *inv,
			  const struct instance *inst)
{
	const char *database = inv_operand(inv, 1);
	char *statements = sql_statements(inv);
	json_t *results = NULL;
	struct sql *sql = NULL;
	int code = CTL_OK;

	if (!statements)
		return fail_usage(inv->cmd, "sql: --json needs -e");
	if (inv_operand(inv, 2) || (database && *database == '-'))
		code = fail_usage(inv->cmd, "sql: --json does not run the "
					    "client, and takes nothing for it "
					    "but a database");
	if (code == CTL_OK)
		code = sql_open(inst, &sql);
	if (code == CTL_OK)
		code = sql_results(sql, database, statements, &results);
	sql_close(sql);
	free(statements);
	if (code == CTL_OK)
		out_json(json_pack("{s:s, s:o}", "name", inst->name, "results",
				   results));
	return code;
}

int run_sql(struct invocation *inv)
{
	struct instance inst;
	char options[PATH_MAX];
	bool mariadb;
	int code = instance_open(inv_operand(inv, 0), 0, &inst);

	if (code == CTL_OK && !instance_server(&inst))
		code = fail(CTL_UNREACHABLE,
			    "instance '%s' does not run; 'dbs up %s' starts it",
			    inst.name, inst.name);
	if (code == CTL_OK && inv->json) {
		code = sql_print_json(inv, &inst);
		instance_close(&inst);
		return code;
	}
	if (code == CTL_OK &&
	    access(instance_file(&inst, "client.cnf", options), R_OK))
		code = fail(errno == EACCES ? CTL_NOT_PERMITTED : CTL_FAILED,
			    "'%s': %m", options);
	mariadb =
		out_get_bool(json_object_get(inst.record, "binary"), "mariadb");
	instance_close(&inst);
	return code == CTL_OK ? sql_exec(inv, mariadb, options) : code;
}
