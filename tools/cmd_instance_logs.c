/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_instance_logs.c - dbs logs
 */
#include "tools/cmd.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/store.h"
#include "tools/cmd_instance.h"
#include "tools/out.h"

/* Where the last @lines lines of @f begin. */
static off_t logs_tail(FILE *f, unsigned long lines)
{
	off_t at, size;
	int c;

	fseeko(f, 0, SEEK_END);
	at = size = ftello(f);
	/* the newline that ends the last line does not count */
	for (at--; at > 0; at--) {
		fseeko(f, at - 1, SEEK_SET);
		c = getc(f);
		if (c == '\n' && !--lines)
			break;
	}
	return MAX_OF(at, (off_t)0);
}

static void logs_copy(FILE *f)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	clearerr(f);
	while ((len = getline(&line, &cap, f)) > 0) {
		/* what a client had logged must not drive a terminal */
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		out_escaped(stdout, line);
		putchar('\n');
	}
	free(line);
	fflush(stdout);
}

/* Until it is interrupted, or nobody reads; a log that shrank was rotated. */
static void logs_follow(FILE *f)
{
	struct stat st;

	while (!ferror(stdout)) {
		poll(NULL, 0, 200);
		if (!fstat(fileno(f), &st) && st.st_size < ftello(f))
			fseeko(f, 0, SEEK_SET);
		logs_copy(f);
	}
}

/* What is to be printed: that of an instance, or one of "worker/NAME". */
static int logs_path(const struct invocation *inv, char path[PATH_MAX])
{
	const char *name = inv_operand(inv, 0);
	bool is_error = inv_has(inv, "stderr");
	struct instance inst;
	int code;

	if (!strncmp(name, "worker/", strlen("worker/")))
		return workers_log(name + strlen("worker/"), is_error, path);
	if (is_error)
		return fail_usage(inv->cmd, "--stderr is for worker/NAME: an "
					    "instance has one log");
	code = instance_open(name, 0, &inst);
	if (code == CTL_OK)
		instance_log(&inst, path);
	instance_close(&inst);
	return code;
}

/* The rest of @f, which may be NULL: nothing was said yet. */
static void logs_json(FILE *f, const char *name, const char *path)
{
	json_t *lines = json_array();
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;

	while (f && (len = getline(&line, &cap, f)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		json_array_append_new(lines, out_text(line));
	}
	free(line);
	out_json(json_pack("{s:s, s:s, s:o}", "name", name, "path", path,
			   "lines", lines));
}

static int logs_lines(const struct invocation *inv, unsigned long *lines)
{
	const char *text = inv_value(inv, "lines");
	char *end;

	*lines = 0;
	if (inv->json && inv_has(inv, "follow"))
		return fail_usage(inv->cmd, "--follow has no end, and so no "
					    "--json");
	if (!text)
		return CTL_OK;
	*lines = strtoul(text, &end, 10);
	if (*end || text[0] < '1' || text[0] > '9')
		return fail_usage(inv->cmd, "'%s' is not a number of lines",
				  text);
	return CTL_OK;
}

int run_logs(struct invocation *inv)
{
	unsigned long lines;
	char path[PATH_MAX];
	FILE *f = NULL;
	int code = logs_lines(inv, &lines);

	if (code == CTL_OK)
		code = logs_path(inv, path);
	if (code == CTL_OK) {
		f = fopen(path, "re");
		if (!f && errno != ENOENT)
			code = fail(errno == EACCES ? CTL_NOT_PERMITTED
						    : CTL_FAILED,
				    "'%s': %m", path);
	}
	if (code != CTL_OK)
		return code;
	if (f && lines)
		fseeko(f, logs_tail(f, lines), SEEK_SET);
	if (inv->json)
		logs_json(f, inv_operand(inv, 0), path);
	else if (f)
		logs_copy(f);
	if (f && inv_has(inv, "follow"))
		logs_follow(f);
	if (f)
		fclose(f);
	return CTL_OK;
}
