/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_rules.c - dbs rules check
 */
#include "tools/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/import/sql_plan.h"
#include "tools/out.h"

/* The exit code for a file that could not be taken. */
static int code_of(int err)
{
	switch (err) {
	case -ENOENT:
	case -ENOTDIR:
		return CTL_NOT_FOUND;
	case -EACCES:
	case -EPERM:
		return CTL_NOT_PERMITTED;
	case -EINVAL:
		return CTL_CONFIG;
	default:
		return CTL_FAILED;
	}
}

/*
 * Is the key one that can be used?  It need not be there: rules are checked
 * in places that must not have it.
 */
static int check_key(const struct rules *rules, const char **state)
{
	const char *path = rules_key_path(rules);
	struct mask_key *key;
	char why[512];
	int err;

	*state = "none";
	if (!path)
		return CTL_OK;
	err = mask_key_load(path, &key, why, sizeof(why));
	*state = err == -ENOENT	  ? "missing"
		 : err == -EACCES ? "unreadable"
				  : "good";
	if (!err)
		mask_key_free(key);
	else if (err != -ENOENT && err != -EACCES)
		return fail(CTL_CONFIG, "%s", why);
	return CTL_OK;
}

static const char *key_text(const char *state)
{
	if (!strcmp(state, "none"))
		return "no key file is named";
	if (!strcmp(state, "good"))
		return "the key is good";
	return "the key cannot be read here";
}

/* ---- a dump ------------------------------------------------------------------- */

/* What --against has read so far. */
struct against {
	const char *path;
	int fd;
	struct rules *rules;
	struct gate *gate;
	/* of the last CREATE TABLE */
	struct sql_table *table;
	struct rules_plan *plan;
	struct gate_table *looked_at; /* NULL: nothing to look at */
	struct sql_plan_row row;
	uint64_t nr_tables, nr_rows;
	json_t *findings, *unused;
};

static ssize_t read_dump(void *arg, void *buf, size_t len)
{
	const struct against *a = arg;
	ssize_t n;

	do
		n = read(a->fd, buf, len);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void leave_table(struct against *a)
{
	rules_plan_free(a->plan);
	sql_table_put(a->table);
	a->plan = NULL;
	a->table = NULL;
	a->looked_at = NULL;
}

static int enter_table(struct against *a, struct sql_table *table)
{
	struct yaml_error error;
	int err;

	leave_table(a);
	err = sql_plan(a->rules, table, &a->plan, &error);
	if (err)
		return fail(code_of(err), "%s", error.text);
	a->table = sql_table_get(table);
	a->nr_tables++;
	if (gate_table(a->gate, table->name.db, table->name.table, a->plan,
		       &a->looked_at))
		return fail(CTL_FAILED, "out of memory");
	return CTL_OK;
}

static int look_at_row(struct against *a, const struct sql_event *ev)
{
	int err;

	a->nr_rows++;
	if (ev->insert->table != a->table || !gate_next(a->looked_at))
		return CTL_OK;
	err = sql_plan_decode(&a->row, a->table, ev->insert, ev->values,
			      ev->nr_values);
	if (err)
		return fail(CTL_FAILED,
			    "'%s': row %" PRIu64 " of table %s does not fit "
			    "its CREATE TABLE",
			    a->path, ev->row, a->table->name.table);
	gate_row(a->looked_at, a->row.values, a->table->nr_columns);
	return CTL_OK;
}

static int read_events(struct against *a, struct sql_reader *reader)
{
	struct sql_event ev;
	int code = CTL_OK;

	while (code == CTL_OK) {
		if (sql_reader_next(reader, &ev))
			return fail(CTL_FAILED, "'%s': %s", a->path,
				    sql_reader_error(reader)->text);
		if (ev.kind == SQL_END)
			break;
		if (ev.kind == SQL_CREATE_TABLE)
			code = enter_table(a, ev.table);
		else if (ev.kind == SQL_ROW)
			code = look_at_row(a, &ev);
	}
	return code;
}

/* What a compressed file begins with, and what unpacks it. */
static const char *unpacker_of(int fd)
{
	static const struct {
		const char *magic, *command;
	} all[] = {
		{"\x28\xb5\x2f\xfd", "zstdcat"},
		{"\x1f\x8b", "zcat"},
		{"\xfd"
		 "7zXZ",
		 "xzcat"},
		{"BZh", "bzcat"},
	};
	char head[8] = "";

	if (pread(fd, head, sizeof(head), 0) <= 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (!memcmp(head, all[i].magic, strlen(all[i].magic)))
			return all[i].command;
	return NULL;
}

static int open_dump(struct against *a)
{
	const char *command;

	if (!strcmp(a->path, "-")) {
		a->fd = dup(STDIN_FILENO);
		return a->fd < 0 ? fail(CTL_FAILED, "standard input: %m")
				 : CTL_OK;
	}
	a->fd = open(a->path, O_RDONLY | O_CLOEXEC);
	if (a->fd < 0)
		return fail(code_of(errno == EINVAL ? -EIO : -errno),
			    "'%s': %m", a->path);
	command = unpacker_of(a->fd);
	if (command)
		return fail_usage(NULL,
				  "'%s' is compressed: give it as %s ... | dbs "
				  "rules check FILE --against -",
				  a->path, command);
	return CTL_OK;
}

static void keep_finding(void *arg, const struct gate_finding *f)
{
	const struct against *a = arg;

	json_array_append_new(a->findings,
			      json_pack("{s:o, s:o, s:o, s:s, s:s}", "table",
					out_text(f->table), "column",
					out_text(f->column), "type",
					out_text(f->type), "why", f->why,
					"rule", f->rule));
}

static void keep_unused(void *arg, const char *sentence)
{
	const struct against *a = arg;

	json_array_append_new(a->unused, out_text(sentence));
}

/* Read the dump and keep what it says of the rules. */
static int check_dump(struct against *a)
{
	const struct sql_reader_options options = {.read = read_dump, .arg = a};
	struct sql_reader *reader = NULL;
	int code = open_dump(a);

	a->findings = json_array();
	a->unused = json_array();
	a->gate = gate_new();
	if (code == CTL_OK && (!a->gate || sql_reader_new(&options, &reader)))
		code = fail(CTL_FAILED, "out of memory");
	if (code == CTL_OK)
		code = read_events(a, reader);
	if (code == CTL_OK && !a->nr_tables)
		code = fail(CTL_FAILED, "'%s' has no CREATE TABLE in it",
			    a->path);
	if (code == CTL_OK) {
		gate_report(a->gate, keep_finding, a);
		rules_unused(a->rules, keep_unused, a);
	}
	leave_table(a);
	sql_plan_row_release(&a->row);
	sql_reader_free(reader);
	if (a->fd >= 0)
		close(a->fd);
	return code;
}

static void against_release(struct against *a)
{
	gate_free(a->gate);
	json_decref(a->findings);
	json_decref(a->unused);
}

/* ---- what is printed -------------------------------------------------------------- */

static void print_findings(const struct against *a)
{
	static const struct out_column columns[] = {
		{"TABLE", 0}, {"COLUMN", 0}, {"TYPE", 0}, {"WHY", 0}};
	struct out_table *table;
	const json_t *f;
	size_t i;

	json_array_foreach(a->unused, i, f) note("%s", json_string_value(f));
	if (!json_array_size(a->findings))
		return;
	table = out_table_new(columns, ARRAY_SIZE(columns));
	json_array_foreach(a->findings, i, f)
	{
		const char *cells[] = {
			out_get_text(f, "table"), out_get_text(f, "column"),
			out_get_text(f, "type"), out_get_text(f, "why")};

		out_table_row(table, cells);
	}
	putchar('\n');
	out_table_print(table);
	puts("\n# to be looked at and put into the file of rules");
	gate_write_rules(a->gate, stdout);
}

static json_t *rules_json(const struct invocation *inv,
			  const struct rules *rules, const char *key)
{
	const char *path = rules_key_path(rules);

	return json_pack("{s:o, s:b, s:s, s:I, s:I, s:o, s:s}", "file",
			 out_text(inv_operand(inv, 0)), "strict",
			 rules_strict(rules), "hash", rules_hash(rules),
			 "nr_tables", (json_int_t)rules_nr_tables(rules),
			 "nr_columns", (json_int_t)rules_nr_columns(rules),
			 "key_file", path ? out_text(path) : json_null(), "key",
			 key);
}

/* @a: NULL: there is no dump */
static void check_print(const struct invocation *inv, const struct rules *rules,
			const char *key, const struct against *a)
{
	json_t *answer;

	if (inv->json) {
		answer = rules_json(inv, rules, key);
		if (a)
			json_object_set_new(
				answer, "against",
				json_pack("{s:o, s:I, s:I, s:O, s:O}", "dump",
					  out_text(a->path), "nr_tables",
					  (json_int_t)a->nr_tables, "nr_rows",
					  (json_int_t)a->nr_rows, "findings",
					  a->findings, "unused", a->unused));
		out_json(answer);
		return;
	}
	out_line("%s: %zu rules for tables, %zu for columns, %s; %s",
		 inv_operand(inv, 0), rules_nr_tables(rules),
		 rules_nr_columns(rules),
		 rules_strict(rules) ? "strict" : "not strict", key_text(key));
	out_line("hash %s", rules_hash(rules));
	if (!a)
		return;
	out_line("%s: %" PRIu64 " tables, %" PRIu64 " rows", a->path,
		 a->nr_tables, a->nr_rows);
	print_findings(a);
}

static int found_code(const struct rules *rules, const struct against *a)
{
	const size_t nr = json_array_size(a->findings);

	if (!nr || !rules_strict(rules))
		return CTL_OK;
	return fail(CTL_CHECK_FAILED,
		    "%zu column%s look%s personal and no rule names %s: add "
		    "rules, 'keep' too is one",
		    nr, nr == 1 ? "" : "s", nr == 1 ? "s" : "",
		    nr == 1 ? "it" : "them");
}

int run_rules_check(struct invocation *inv)
{
	struct against against = {.path = inv_value(inv, "against"), .fd = -1};
	struct against *a = against.path ? &against : NULL;
	struct yaml_error error;
	struct rules *rules;
	const char *key;
	int err = rules_load(inv_operand(inv, 0), &rules, &error);
	int code;

	if (err)
		return fail(code_of(err), "%s", error.text);
	against.rules = rules;
	code = check_key(rules, &key);
	if (code == CTL_OK && a)
		code = check_dump(a);
	if (code == CTL_OK) {
		check_print(inv, rules, key, a);
		if (a)
			code = found_code(rules, a);
	}
	against_release(&against);
	rules_free(rules);
	return code;
}
