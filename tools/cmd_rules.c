/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_rules.c - dbs rules check
 */
#include "tools/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "tools/import/rules.h"
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

static void check_print(const struct invocation *inv, const struct rules *rules,
			const char *key)
{
	const char *file = inv_operand(inv, 0);
	const char *path = rules_key_path(rules);

	if (inv->json) {
		out_json(json_pack(
			"{s:o, s:b, s:s, s:I, s:I, s:o, s:s}", "file",
			out_text(file), "strict", rules_strict(rules), "hash",
			rules_hash(rules), "nr_tables",
			(json_int_t)rules_nr_tables(rules), "nr_columns",
			(json_int_t)rules_nr_columns(rules), "key_file",
			path ? out_text(path) : json_null(), "key", key));
		return;
	}
	out_line("%s: %zu rules for tables, %zu for columns, %s; %s", file,
		 rules_nr_tables(rules), rules_nr_columns(rules),
		 rules_strict(rules) ? "strict" : "not strict", key_text(key));
	out_line("hash %s", rules_hash(rules));
}

int run_rules_check(struct invocation *inv)
{
	struct yaml_error error;
	struct rules *rules;
	const char *key;
	int err = rules_load(inv_operand(inv, 0), &rules, &error);
	int code;

	if (err)
		return fail(code_of(err), "%s", error.text);
	code = check_key(rules, &key);
	if (code == CTL_OK)
		check_print(inv, rules, key);
	rules_free(rules);
	return code;
}
