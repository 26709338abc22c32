/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/instance/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mysql.h>

#include "tools/cmd.h"
#include "tools/instance/identity.h"

#define CONNECT_S 10

struct sql {
	MYSQL *mysql;
	char name[DATASET_NAME_MAX + 1];
};

static int fail_sql(struct sql *sql, const char *statement)
{
	return fail(CTL_FAILED, "instance '%s': %s: %s", sql->name, statement,
		    mysql_error(sql->mysql));
}

int sql_open(const struct instance *inst, struct sql **out)
{
	struct sql *sql = calloc(1, sizeof(*sql));
	unsigned seconds = CONNECT_S, no = 0;
	char socket[PATH_MAX], *password;
	int code = CTL_OK;

	*out = NULL;
	if (!sql)
		return fail(CTL_FAILED, "out of memory");
	snprintf(sql->name, sizeof(sql->name), "%s", inst->name);
	password = identity_password(inst);
	sql->mysql = password ? mysql_init(NULL) : NULL;
	if (!sql->mysql) {
		free(password);
		free(sql);
		return CTL_NOT_PERMITTED;
	}
	mysql_options(sql->mysql, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	/* a server must not ask for our files */
	mysql_options(sql->mysql, MYSQL_OPT_LOCAL_INFILE, &no);
	if (!mysql_real_connect(sql->mysql, NULL, INSTANCE_ACCOUNT, password,
				NULL, 0, instance_socket(inst, socket), 0))
		code = fail(CTL_UNREACHABLE,
			    "instance '%s' does not answer: "
			    "%s",
			    inst->name, mysql_error(sql->mysql));
	free(password);
	if (code == CTL_OK)
		*out = sql;
	else
		sql_close(sql);
	return code;
}

void sql_close(struct sql *sql)
{
	if (!sql)
		return;
	mysql_close(sql->mysql);
	free(sql);
}

int sql_run(struct sql *sql, const char *statement)
{
	MYSQL_RES *rows;

	if (mysql_query(sql->mysql, statement))
		return fail_sql(sql, statement);
	rows = mysql_store_result(sql->mysql);
	if (rows)
		mysql_free_result(rows);
	return CTL_OK;
}

static void copy_column(MYSQL_RES *rows, MYSQL_ROW row, int column, char *buf,
			size_t cap)
{
	if (column < 0)
		return;
	snprintf(buf, cap, "%s",
		 row && (unsigned)column < mysql_num_fields(rows) && row[column]
			 ? row[column]
			 : "");
}

int sql_row(struct sql *sql, const char *statement, int first, char *a,
	    size_t a_cap, int second, char *b, size_t b_cap)
{
	MYSQL_RES *rows = NULL;
	MYSQL_ROW row;

	if (mysql_query(sql->mysql, statement) ||
	    !(rows = mysql_store_result(sql->mysql)))
		return fail_sql(sql, statement);
	row = mysql_fetch_row(rows);
	copy_column(rows, row, first, a, a_cap);
	copy_column(rows, row, second, b, b_cap);
	mysql_free_result(rows);
	return CTL_OK;
}
