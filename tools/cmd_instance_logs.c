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

int run_logs(struct invocation *inv)
{
	const char *text = inv_value(inv, "lines");
	unsigned long lines = 0;
	char path[PATH_MAX], *end;
	FILE *f = NULL;
	int code;

	if (text) {
		lines = strtoul(text, &end, 10);
		if (*end || text[0] < '1' || text[0] > '9')
			return fail_usage(inv->cmd,
					  "'%s' is not a number of lines",
					  text);
	}
	code = logs_path(inv, path);
	if (code == CTL_OK) {
		f = fopen(path, "re");
		if (!f && errno != ENOENT)
			code = fail(errno == EACCES ? CTL_NOT_PERMITTED
						    : CTL_FAILED,
				    "'%s': %m", path);
	}
	if (!f)
		return code;
	if (lines)
		fseeko(f, logs_tail(f, lines), SEEK_SET);
	logs_copy(f);
	if (inv_has(inv, "follow"))
		logs_follow(f);
	fclose(f);
	return CTL_OK;
}
