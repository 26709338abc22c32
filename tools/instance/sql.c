/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/instance/sql.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errmsg.h>
#include <mysqld_error.h>

#include "tools/cmd.h"
#include "tools/instance/identity.h"
#include "tools/lib_mysql.h"
#include "tools/out.h"

#define CONNECT_S 10

struct sql {
	MYSQL *mysql;
	unsigned read_s; /* for how long an answer is waited for; 0: for ever */
	char name[DATASET_NAME_MAX + 1];
};

static int fail_sql(struct sql *sql, const char *statement)
{
	unsigned err = lib_mysql()->mysql_errno(sql->mysql);
	bool late = err == ER_LOCK_WAIT_TIMEOUT ||
		    (err == CR_SERVER_LOST && sql->read_s);

	if (late)
		return fail(CTL_TIMEOUT,
			    "instance '%s' is kept from '%s' by what else runs "
			    "on it; end that, or try again",
			    sql->name, statement);
	return fail(CTL_FAILED, "instance '%s': %s: %s", sql->name, statement,
		    lib_mysql()->mysql_error(sql->mysql));
}

int sql_open(const struct instance *inst, struct sql **out)
{
	return sql_open_within(inst, 0, out);
}

int sql_open_within(const struct instance *inst, unsigned read_s,
		    struct sql **out)
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
	sql->mysql = password ? lib_mysql()->mysql_init(NULL) : NULL;
	if (!sql->mysql) {
		free(password);
		free(sql);
		return CTL_NOT_PERMITTED;
	}
	lib_mysql()->mysql_options(sql->mysql, MYSQL_OPT_CONNECT_TIMEOUT,
				   &seconds);
	sql->read_s = read_s;
	if (read_s)
		lib_mysql()->mysql_options(sql->mysql, MYSQL_OPT_READ_TIMEOUT,
					   &read_s);
	/* a server must not ask for our files */
	lib_mysql()->mysql_options(sql->mysql, MYSQL_OPT_LOCAL_INFILE, &no);
	if (!lib_mysql()->mysql_real_connect(sql->mysql, NULL, INSTANCE_ACCOUNT,
					     password, NULL, 0,
					     instance_socket(inst, socket), 0))
		code = fail(CTL_UNREACHABLE,
			    "instance '%s' does not answer: "
			    "%s",
			    inst->name, lib_mysql()->mysql_error(sql->mysql));
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
	lib_mysql()->mysql_close(sql->mysql);
	free(sql);
}

int sql_run(struct sql *sql, const char *statement)
{
	MYSQL_RES *rows;

	if (lib_mysql()->mysql_query(sql->mysql, statement))
		return fail_sql(sql, statement);
	rows = lib_mysql()->mysql_store_result(sql->mysql);
	if (rows)
		lib_mysql()->mysql_free_result(rows);
	return CTL_OK;
}

static void copy_column(MYSQL_RES *rows, MYSQL_ROW row, int column, char *buf,
			size_t cap)
{
	if (column < 0)
		return;
	snprintf(
		buf, cap, "%s",
		row && (unsigned)column < lib_mysql()->mysql_num_fields(rows) &&
				row[column]
			? row[column]
			: "");
}

int sql_row(struct sql *sql, const char *statement, int first, char *a,
	    size_t a_cap, int second, char *b, size_t b_cap)
{
	MYSQL_RES *rows = NULL;
	MYSQL_ROW row;

	if (lib_mysql()->mysql_query(sql->mysql, statement) ||
	    !(rows = lib_mysql()->mysql_store_result(sql->mysql)))
		return fail_sql(sql, statement);
	row = lib_mysql()->mysql_fetch_row(rows);
	copy_column(rows, row, first, a, a_cap);
	copy_column(rows, row, second, b, b_cap);
	lib_mysql()->mysql_free_result(rows);
	return CTL_OK;
}

/* ---- rows as JSON ---------------------------------------------------------------- */

/* As it stands in a statement. */
static json_t *hexadecimal(const char *bytes, size_t len)
{
	char *text = malloc(2 * len + 3);
	json_t *value;

	if (!text)
		return NULL;
	memcpy(text, "0x", 3);
	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 + 2 * i, 3, "%02x", (uint8_t)bytes[i]);
	value = json_string(text);
	free(text);
	return value;
}

static json_t *integer(const char *bytes, size_t len)
{
	long long n;
	char *end;

	errno = 0;
	n = strtoll(bytes, &end, 10);
	/* there are some that are too large for a reader of JSON, or for us */
	return errno || *end ? json_stringn(bytes, len) : json_integer(n);
}

static json_t *value_json(const MYSQL_FIELD *field, const char *bytes,
			  size_t len)
{
	json_t *text;

	if (!bytes)
		return json_null();
	switch (field->type) {
	case MYSQL_TYPE_TINY:
	case MYSQL_TYPE_SHORT:
	case MYSQL_TYPE_INT24:
	case MYSQL_TYPE_LONG:
	case MYSQL_TYPE_LONGLONG:
	case MYSQL_TYPE_YEAR:
		return integer(bytes, len);
	case MYSQL_TYPE_FLOAT:
	case MYSQL_TYPE_DOUBLE:
		return json_real(strtod(bytes, NULL));
	case MYSQL_TYPE_BIT:
		return hexadecimal(bytes, len);
	default:
		text = json_stringn(bytes, len);
		return text ? text : hexadecimal(bytes, len);
	}
}

static json_t *rows_json(MYSQL_RES *rows)
{
	const MYSQL_FIELD *fields = lib_mysql()->mysql_fetch_fields(rows);
	unsigned nr = lib_mysql()->mysql_num_fields(rows);
	json_t *columns = json_array(), *all = json_array();
	MYSQL_ROW row;

	for (unsigned i = 0; i < nr; i++)
		json_array_append_new(columns, out_text(fields[i].name));
	while ((row = lib_mysql()->mysql_fetch_row(rows))) {
		const unsigned long *lengths =
			lib_mysql()->mysql_fetch_lengths(rows);
		json_t *values = json_array();

		for (unsigned i = 0; i < nr; i++)
			json_array_append_new(
				values,
				value_json(&fields[i], row[i], lengths[i]));
		json_array_append_new(all, values);
	}
	return json_pack("{s:o, s:o}", "columns", columns, "rows", all);
}

/* The result that has come; false: none has. */
static bool take_result(struct sql *sql, json_t *results)
{
	MYSQL_RES *rows = lib_mysql()->mysql_store_result(sql->mysql);

	if (rows) {
		json_array_append_new(results, rows_json(rows));
		lib_mysql()->mysql_free_result(rows);
		return true;
	}
	if (lib_mysql()->mysql_field_count(sql->mysql))
		return false;
	json_array_append_new(
		results, json_pack("{s:I}", "affected",
				   (json_int_t)lib_mysql()->mysql_affected_rows(
					   sql->mysql)));
	return true;
}

int sql_results(struct sql *sql, const char *database, const char *statements,
		json_t **results)
{
	int more;

	*results = NULL;
	if (lib_mysql()->mysql_set_character_set(sql->mysql, "utf8mb4") ||
	    lib_mysql()->mysql_set_server_option(
		    sql->mysql, MYSQL_OPTION_MULTI_STATEMENTS_ON))
		return fail(CTL_FAILED, "instance '%s': %s", sql->name,
			    lib_mysql()->mysql_error(sql->mysql));
	if (database && lib_mysql()->mysql_select_db(sql->mysql, database))
		return fail(CTL_FAILED, "instance '%s': %s", sql->name,
			    lib_mysql()->mysql_error(sql->mysql));
	*results = json_array();
	more = lib_mysql()->mysql_real_query(sql->mysql, statements,
					     strlen(statements)) != 0;
	/* -1: that was all */
	while (!more)
		more = take_result(sql, *results)
			       ? lib_mysql()->mysql_next_result(sql->mysql)
			       : 1;
	if (more < 0)
		return CTL_OK;
	fail(CTL_FAILED, "instance '%s': statement %zu: %s", sql->name,
	     json_array_size(*results) + 1,
	     lib_mysql()->mysql_error(sql->mysql));
	json_decref(*results);
	*results = NULL;
	return CTL_FAILED;
}
