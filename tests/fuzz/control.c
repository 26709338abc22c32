/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: lines as a peer sends them, to a pool that is open.
 * What is answered must be one line of JSON that says whether it is ok.
 *
 * An input is text, split at its newlines; or, if its first byte is below 8,
 * a program that says which requests to make of which arguments.
 */
#include <string.h>

#include "fs/ctl_ops.h"
#include "store/util.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/check.h"

#define LINES_MAX 12u

static const struct fuzz_base *base;

void fuzz_setup(void)
{
	base = fuzz_base();
}

/* ---- hooks --------------------------------------------------------------- */

static void hook_name(void *arg, const char *name)
{
	*(size_t *)arg += strlen(name);
}

static void hook_restore_begin(void *arg, uint32_t id)
{
	*(size_t *)arg += id;
}

static void hook_restore_end(void *arg, uint32_t id, const char *name, int err)
{
	(void)id;
	(void)err;
	hook_name(arg, name);
}

static void hook_destroying(void *arg, uint32_t id)
{
	*(size_t *)arg += id;
}

static void hook_destroy_end(void *arg, uint32_t id, const char *name, int err)
{
	(void)id;
	(void)err;
	hook_name(arg, name);
}

static void hook_renamed(void *arg, uint32_t id, const char *from,
			 const char *to)
{
	(void)id;
	hook_name(arg, from);
	hook_name(arg, to);
}

static int hook_shutdown(void *arg, bool lazy)
{
	*(size_t *)arg += lazy;
	return 0;
}

static const struct ctl_hooks hooks = {
	.created = hook_name,
	.restore_begin = hook_restore_begin,
	.restore_end = hook_restore_end,
	.destroying = hook_destroying,
	.destroy_begin = hook_name,
	.destroy_end = hook_destroy_end,
	.renamed = hook_renamed,
	.shutdown = hook_shutdown,
};

/* ---- requests ------------------------------------------------------------ */

/* @len bytes, without what ends the line. */
static void serve(struct ctl_context *ctx, const char *line, size_t len)
{
	json_t *answer = NULL, *request, *back;
	size_t answer_len;
	char *text;

	request = ctl_request_parse(line, len, &answer);
	if (request)
		answer = ctl_execute(ctx, request);
	json_decref(request);
	MUST(answer);
	text = ctl_answer_line(answer, &answer_len);
	MUST(text && answer_len > 1);
	MUST(memchr(text, '\n', answer_len) == text + answer_len - 1);
	back = json_loadb(text, answer_len, 0, NULL);
	MUST(json_is_object(back));
	MUST(json_is_boolean(json_object_get(back, "ok")));
	if (json_is_false(json_object_get(back, "ok"))) {
		MUST(json_integer_value(json_object_get(back, "code")) > 0);
		MUST(*json_string_value(json_object_get(back, "error")));
	}
	json_decref(back);
	free(text);
}

static void serve_text(struct ctl_context *ctx, const uint8_t *data, size_t len)
{
	for (unsigned i = 0; i < LINES_MAX && len > 0; i++) {
		const uint8_t *end = memchr(data, '\n', len);
		size_t n = end ? (size_t)(end - data) : len;
		char *line = malloc(n + 1);

		MUST(line);
		memcpy(line, data, n);
		serve(ctx, line, MIN_OF(n, (size_t)CTL_REQUEST_MAX));
		free(line);
		n += end != NULL;
		data += n;
		len -= n;
	}
}

static const char *const commands[] = {
	"clone", "create", "df",	"diff",	     "get",	  "list",
	"mv",	 "ping",   "pool.grow", "pool.info", "pool.wait", "restore",
	"rm",	 "set",	   "shutdown",	"snapshot",  "sync",	  "none",
};
static const char *const keys[] = {
	"name",	      "names",	     "source", "from",	    "to",    "dataset",
	"pattern",    "types",	     "unique", "recursive", "force", "discard",
	"dry_run",    "a",	     "b",      "limit",	    "key",   "value",
	"recordsize", "compression", "quota",  "readonly",  "size",  "lazy",
	"automatic",  "extra",
};
static const char *const texts[] = {
	"prod",	       "ci",	      "small",
	"new",	       "prod@monday", "prod@tuesday",
	"prod@latest", "ci@x",	      "@x",
	"prod@",       "*",	      "ci*",
	"prod@*",      "[a-z]*@?",    "..",
	"-x",	       "a/b",	      "",
	"4096",	       "16K",	      "1.5GiB",
	"none",	       "-1",	      "99999999999999999999",
	"on",	       "off",	      "zstd:3",
	"zstd:-99",    "recordsize",  "compression",
	"quota",       "readonly",    "user:owner",
	"user:",       "user:x",      "dataset",
	"snapshot",    "\xc3\xa4",    "1e400",
	"%s%n",
};

static json_t *any_value(struct fuzz_input *in, bool deep)
{
	uint64_t v = fuzz_take(in, 2);
	char *text;
	json_t *value;

	switch (v & 15) {
	case 0:
		return json_true();
	case 1:
		return json_false();
	case 2:
		return json_null();
	case 3:
		return json_integer((json_int_t)fuzz_odd(v >> 4));
	case 4:
		return json_integer((json_int_t)(v >> 4) - 2048);
	case 5:
		return json_real((double)(v >> 4) * 1e300);
	case 6: /* long names */
		text = malloc(1024);
		MUST(text);
		memset(text, 'n', 1024);
		text[(v >> 4) % 1024] = '\0';
		value = json_string(text);
		free(text);
		return value;
	case 7:
	case 8:
		value = json_array();
		for (uint64_t i = (v >> 4) % 4; deep && i > 0; i--)
			json_array_append_new(value, any_value(in, false));
		return value;
	case 9:
		return json_object();
	default:
		return json_string(texts[(v >> 4) % ARRAY_SIZE(texts)]);
	}
}

static void serve_program(struct ctl_context *ctx, struct fuzz_input *in)
{
	for (unsigned i = 0; i < LINES_MAX && in->left > 0; i++) {
		uint64_t v = fuzz_take(in, 1);
		json_t *args = json_object(), *request;
		unsigned nr = fuzz_take(in, 1) & 7;
		char *line;

		for (unsigned k = 0; k < nr; k++) {
			uint64_t key = fuzz_take(in, 1);

			json_object_set_new(args, keys[key % ARRAY_SIZE(keys)],
					    any_value(in, true));
		}
		request = json_pack(
			"{s:i, s:s, s:o}", "v", CTL_VERSION, "command",
			commands[v % ARRAY_SIZE(commands)], "arguments", args);
		line = json_dumps(request, JSON_COMPACT);
		json_decref(request);
		if (line)
			serve(ctx, line, strlen(line));
		free(line);
	}
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct fuzz_input in = {data, len};
	struct blkdev *dev = fuzz_device(base->bytes, base->size);
	size_t sum = 0;
	struct ctl_context ctx = {
		.pool_path = "/pool",
		.hooks = &hooks,
		.hook_arg = &sum,
	};

	if (len == 0)
		return;
	ctx.pool = fuzz_open(dev, data[0] == 1);
	MUST(ctx.pool);
	ctx.mountpoint = data[0] & 2 ? "/mnt" : NULL;
	if (data[0] < 8) {
		fuzz_take(&in, 1);
		serve_program(&ctx, &in);
	} else {
		serve_text(&ctx, data, len);
	}
	pool_abandon(ctx.pool);
}
