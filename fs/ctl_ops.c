/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/ctl_ops.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fs/ctl_internal.h"

enum arg_type {
	ARG_STRING = 1,
	ARG_BOOL,
	ARG_INTEGER, /* not negative */
	ARG_SIZE,    /* an integer or a string with a unit */
	ARG_STRINGS, /* an array of strings, not empty */
	ARG_ANY,
};

struct arg_spec {
	const char *name;
	enum arg_type type;
	bool required;
};

#define ARGS_MAX 6

struct command {
	const char *name;
	int (*run)(struct ctl_call *call);
	struct arg_spec args[ARGS_MAX];
};

/* alphabetical */
static const struct command commands[] = {
	{"clone",
	 ctl_cmd_clone,
	 {{"source", ARG_STRING, true}, {"name", ARG_STRING, true}}},
	{"create",
	 ctl_cmd_create,
	 {{"name", ARG_STRING, true},
	  {"recordsize", ARG_ANY, false},
	  {"compression", ARG_ANY, false},
	  {"quota", ARG_ANY, false},
	  {"readonly", ARG_ANY, false}}},
	{"df",
	 ctl_cmd_df,
	 {{"pattern", ARG_STRING, false}, {"unique", ARG_BOOL, false}}},
	{"diff",
	 ctl_cmd_diff,
	 {{"a", ARG_STRING, true},
	  {"b", ARG_STRING, false},
	  {"limit", ARG_INTEGER, false}}},
	{"get",
	 ctl_cmd_get,
	 {{"name", ARG_STRING, true}, {"key", ARG_STRING, false}}},
	{"list",
	 ctl_cmd_list,
	 {{"types", ARG_STRINGS, false},
	  {"pattern", ARG_STRING, false},
	  {"unique", ARG_BOOL, false}}},
	{"mv",
	 ctl_cmd_mv,
	 {{"from", ARG_STRING, true},
	  {"to", ARG_STRING, true},
	  {"id", ARG_INTEGER, false}}},
	{"ping", ctl_cmd_ping, {{0}}},
	{"pool.grow", ctl_cmd_pool_grow, {{"size", ARG_SIZE, false}}},
	{"pool.info", ctl_cmd_pool_info, {{0}}},
	{"pool.scrub",
	 ctl_cmd_pool_scrub,
	 {{"action", ARG_STRING, false},
	  {"rate", ARG_SIZE, false},
	  {"wait_ms", ARG_INTEGER, false}}},
	{"pool.wait", ctl_cmd_pool_wait, {{0}}},
	{"restore",
	 ctl_cmd_restore,
	 {{"source", ARG_STRING, true},
	  {"dataset", ARG_STRING, false},
	  {"force", ARG_BOOL, false},
	  {"discard", ARG_BOOL, false},
	  {"id", ARG_INTEGER, false}}},
	{"rm",
	 ctl_cmd_rm,
	 {{"names", ARG_STRINGS, true},
	  {"recursive", ARG_BOOL, false},
	  {"force", ARG_BOOL, false},
	  {"dry_run", ARG_BOOL, false},
	  {"unique", ARG_BOOL, false},
	  {"id", ARG_INTEGER, false}}},
	{"set",
	 ctl_cmd_set,
	 {{"name", ARG_STRING, true},
	  {"key", ARG_STRING, true},
	  {"value", ARG_ANY, true},
	  {"id", ARG_INTEGER, false}}},
	{"shutdown", ctl_cmd_shutdown, {{"lazy", ARG_BOOL, false}}},
	{"snapshot",
	 ctl_cmd_snapshot,
	 {{"name", ARG_STRING, false},
	  {"names", ARG_STRINGS, false},
	  {"automatic", ARG_BOOL, false},
	  {"id", ARG_INTEGER, false}}},
	{"sync", ctl_cmd_sync, {{0}}},
};

/* -- errors --------------------------------------------------------------- */

struct errno_row {
	int err;
	enum ctl_code code;
	const char *text;
};

static const struct errno_row errno_rows[] = {
	{ENOENT, CTL_NOT_FOUND, "it does not exist"},
	{ENODATA, CTL_NOT_FOUND, "it is not set"},
	{ESTALE, CTL_NOT_FOUND, "it was destroyed meanwhile"},
	{EEXIST, CTL_CONFLICT, "it exists already"},
	{EBUSY, CTL_CONFLICT, "it is in use"},
	{ENOTEMPTY, CTL_CONFLICT, "it has snapshots"},
	{EROFS, CTL_CONFLICT, "it, or the pool, is read-only"},
	{EPERM, CTL_NOT_PERMITTED, "not permitted"},
	{EACCES, CTL_NOT_PERMITTED, "permission denied"},
	{ENOSPC, CTL_NO_SPACE,
	 "the pool is full; remove datasets or snapshots, or grow it"},
	{EDQUOT, CTL_NO_SPACE, "over quota or too many datasets"},
	{ETIMEDOUT, CTL_TIMEOUT, "it took too long"},
	{EINVAL, CTL_FAILED, "not a valid request"},
	{EIO, CTL_FAILED,
	 "an input/output error; see the log, then run 'dbs pool check'"},
	{EBADMSG, CTL_FAILED,
	 "a checksum does not match; run 'dbs pool check'"},
	{EUCLEAN, CTL_FAILED, "the pool is damaged; run 'dbs pool check'"},
	{ENOMEM, CTL_FAILED, "out of memory"},
	{ENOTSUP, CTL_FAILED, "not supported here"},
};

static const struct errno_row *errno_find(int err)
{
	for (size_t i = 0; i < ARRAY_SIZE(errno_rows); i++)
		if (errno_rows[i].err == -err)
			return &errno_rows[i];
	return NULL;
}

enum ctl_code ctl_code_of_errno(int err)
{
	const struct errno_row *row = errno_find(err);

	if (err == 0)
		return CTL_OK;
	return row ? row->code : CTL_FAILED;
}

int ctl_fail(struct ctl_call *call, enum ctl_code code, const char *fmt, ...)
{
	va_list ap;

	call->code = code;
	va_start(ap, fmt);
	vsnprintf(call->error, sizeof(call->error), fmt, ap);
	va_end(ap);
	return -1;
}

/* What @err means in a pool that a failed write turned read-only, or NULL. */
static const char *why_failed(const struct ctl_call *call, int err)
{
	struct pool_stat st;

	if (err != -EROFS && err != -ENOSPC)
		return NULL;
	pool_stat(call->ctx->pool, &st);
	if (!st.failed)
		return NULL;
	if (err == -ENOSPC)
		return "the disk under the pool is full; free space there, "
		       "then unmount the pool and mount it again";
	return "the pool is read-only since a write to its disk failed; see "
	       "the log, then unmount it and mount it again";
}

int ctl_fail_errno(struct ctl_call *call, int err, const char *fmt, ...)
{
	const struct errno_row *row = errno_find(err);
	const char *failed = why_failed(call, err);
	char why[64];
	size_t used;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(call->error, sizeof(call->error), fmt, ap);
	va_end(ap);
	used = strlen(call->error);
	snprintf(call->error + used, sizeof(call->error) - used, ": %s",
		 failed ? failed
		 : row	? row->text
			: strerror_r(-err, why, sizeof(why)));
	call->code = ctl_code_of_errno(err);
	return -1;
}

json_t *ctl_answer_error(enum ctl_code code, const char *fmt, ...)
{
	char text[768];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return json_pack("{s:i, s:b, s:i, s:o*}", "v", CTL_VERSION, "ok", 0,
			 "code", (int)code, "error", ctl_json_bytes(text));
}

char *ctl_answer_line(json_t *answer, size_t *len)
{
	char *text = answer ? json_dumps(answer,
					 JSON_COMPACT | JSON_REAL_PRECISION(9))
			    : NULL;

	json_decref(answer);
	if (!text)
		return NULL;
	*len = strlen(text);
	text[(*len)++] = '\n'; /* in the place of its NUL */
	return text;
}

/* -- the request ---------------------------------------------------------- */

json_t *ctl_request_parse(const char *line, size_t len, json_t **refusal)
{
	json_error_t problem;
	json_t *request =
		json_loadb(line, len, JSON_REJECT_DUPLICATES, &problem);

	if (!request)
		*refusal = ctl_answer_error(
			CTL_USAGE, "the request is not JSON: %s", problem.text);
	return request;
}

static const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static const char *arg_type_problem(enum arg_type type, const json_t *value)
{
	size_t i;
	json_t *v;

	switch (type) {
	case ARG_STRING:
		return json_is_string(value) ? NULL : "must be a string";
	case ARG_BOOL:
		return json_is_boolean(value) ? NULL : "must be true or false";
	case ARG_INTEGER:
		return json_is_integer(value) && json_integer_value(value) >= 0
			       ? NULL
			       : "must be an integer from 0";
	case ARG_SIZE:
		return json_is_integer(value) || json_is_string(value)
			       ? NULL
			       : "must be a size";
	case ARG_STRINGS:
		if (!json_is_array(value) || json_array_size(value) == 0)
			return "must be an array of strings";
		json_array_foreach(
			value, i,
			v) if (!json_is_string(v)) return "must be an array of "
							  "strings";
		return NULL;
	case ARG_ANY:
		return NULL;
	}
	return "has no type";
}

static const struct arg_spec *arg_find(const struct command *c,
				       const char *name)
{
	for (size_t i = 0; i < ARGS_MAX && c->args[i].name; i++)
		if (strcmp(c->args[i].name, name) == 0)
			return &c->args[i];
	return NULL;
}

/* L1: every argument is known, of its type, and none is missing. */
static int args_check(struct ctl_call *call, const struct command *c)
{
	const struct arg_spec *spec;
	const char *key, *problem;
	json_t *value;

	json_object_foreach((json_t *)call->args, key, value)
	{
		spec = arg_find(c, key);
		if (!spec)
			return ctl_fail(call, CTL_USAGE,
					"'%s' takes no argument '%s'", c->name,
					key);
		problem = arg_type_problem(spec->type, value);
		if (problem)
			return ctl_fail(call, CTL_USAGE,
					"argument '%s' of '%s' %s", key,
					c->name, problem);
	}
	for (size_t i = 0; i < ARGS_MAX && c->args[i].name; i++)
		if (c->args[i].required &&
		    !json_object_get(call->args, c->args[i].name))
			return ctl_fail(call, CTL_USAGE,
					"'%s' needs the argument '%s'", c->name,
					c->args[i].name);
	return 0;
}

static int request_run(struct ctl_call *call, const json_t *request)
{
	const json_t *version = json_object_get(request, "v");
	const json_t *name = json_object_get(request, "command");
	const struct command *c;
	const char *key;
	json_t *value, *none = NULL;
	int rc;

	if (!json_is_object(request))
		return ctl_fail(call, CTL_USAGE,
				"a request must be a JSON object");
	if (!json_is_integer(version) ||
	    json_integer_value(version) != CTL_VERSION)
		return ctl_fail(call, CTL_USAGE,
				"the request's version is not %d; use a dbs "
				"of the daemon's version",
				CTL_VERSION);
	if (!json_is_string(name))
		return ctl_fail(call, CTL_USAGE, "the request has no command");
	json_object_foreach((json_t *)request, key, value) if (
		strcmp(key, "v") && strcmp(key, "command") &&
		strcmp(key, "arguments")) return ctl_fail(call, CTL_USAGE,
							  "a request has no "
							  "member '%s'",
							  key);
	c = command_find(json_string_value(name));
	if (!c)
		return ctl_fail(call, CTL_USAGE, "unknown command '%s'",
				json_string_value(name));
	call->args = json_object_get(request, "arguments");
	if (!call->args)
		call->args = none = json_object();
	if (!json_is_object(call->args))
		return ctl_fail(call, CTL_USAGE,
				"the arguments must be a JSON object");
	rc = args_check(call, c);
	if (rc == 0)
		rc = c->run(call);
	json_decref(none);
	return rc;
}

json_t *ctl_execute(struct ctl_context *ctx, const json_t *request)
{
	struct ctl_call call = {.ctx = ctx, .code = CTL_FAILED};
	json_t *answer;

	call.result = json_object();
	if (request_run(&call, request) == 0)
		answer = json_pack("{s:i, s:b, s:O}", "v", CTL_VERSION, "ok", 1,
				   "result", call.result);
	else
		answer = ctl_answer_error(call.code, "%s", call.error);
	json_decref(call.result);
	return answer;
}

/* -- arguments and results ------------------------------------------------ */

const char *ctl_arg_string(const struct ctl_call *call, const char *key)
{
	return json_string_value(json_object_get(call->args, key));
}

bool ctl_arg_bool(const struct ctl_call *call, const char *key)
{
	return json_is_true(json_object_get(call->args, key));
}

void ctl_put(struct ctl_call *call, const char *key, json_t *value)
{
	json_object_set_new(call->result, key, value);
}
