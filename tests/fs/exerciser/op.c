/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fs/exerciser/op.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/check.h"

#define LINE_CAP 16384

static const char *const names[EX_NR_KINDS] = {
	[EX_OPEN] = "open",
	[EX_TMPFILE] = "tmpfile",
	[EX_LINKFD] = "linkfd",
	[EX_CLOSE] = "close",
	[EX_PREAD] = "pread",
	[EX_PWRITE] = "pwrite",
	[EX_PWRITEV] = "pwritev",
	[EX_MREAD] = "mread",
	[EX_MWRITE] = "mwrite",
	[EX_MSYNC] = "msync",
	[EX_FTRUNCATE] = "ftruncate",
	[EX_TRUNCATE] = "truncate",
	[EX_FALLOCATE] = "fallocate",
	[EX_COPY] = "copy",
	[EX_SEEK] = "seek",
	[EX_FSYNC] = "fsync",
	[EX_DROP] = "drop",
	[EX_SETFL] = "setfl",
	[EX_READBACK] = "readback",
	[EX_MKDIR] = "mkdir",
	[EX_RMDIR] = "rmdir",
	[EX_UNLINK] = "unlink",
	[EX_RENAME] = "rename",
	[EX_LINK] = "link",
	[EX_SYMLINK] = "symlink",
	[EX_MKNOD] = "mknod",
	[EX_CHMOD] = "chmod",
	[EX_CHOWN] = "chown",
	[EX_UTIMENS] = "utimens",
	[EX_SETXATTR] = "setxattr",
	[EX_REMOVEXATTR] = "removexattr",
	[EX_GETXATTR] = "getxattr",
	[EX_READDIR] = "readdir",
	[EX_FSYNCDIR] = "fsyncdir",
	[EX_LOOKUP] = "lookup",
	[EX_CREATE] = "create",
	[EX_SNAPSHOT] = "snapshot",
	[EX_SNAPRUN] = "snaprun",
	[EX_CLONE] = "clone",
	[EX_CLONERUN] = "clonerun",
	[EX_RESTORE] = "restore",
	[EX_DESTROY] = "destroy",
	[EX_MV] = "mv",
	[EX_VERIFY] = "verify",
	[EX_SCRUB] = "scrub",
	[EX_SYNC] = "sync",
	[EX_REMOUNT] = "remount",
	[EX_KILL] = "kill",
};

static char *copy_text(const char *text)
{
	char *copy = strdup(text ? text : "");

	MUST(copy);
	return copy;
}

void ex_list_add(struct ex_list *list, const struct ex_op *op)
{
	struct ex_op *to;

	if (list->nr == list->cap) {
		list->cap = list->cap ? 2 * list->cap : 256;
		list->ops = reallocarray(list->ops, list->cap, sizeof(*to));
		MUST(list->ops);
	}
	to = &list->ops[list->nr++];
	*to = *op;
	to->path = copy_text(op->path);
	to->path2 = copy_text(op->path2);
}

void ex_list_copy(struct ex_list *to, const struct ex_list *from)
{
	*to = (struct ex_list){.workers = from->workers,
			       .commit_ms = from->commit_ms};
	for (size_t i = 0; i < from->nr; i++)
		ex_list_add(to, &from->ops[i]);
}

void ex_list_cut(struct ex_list *list, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		free(list->ops[i].path);
		free(list->ops[i].path2);
	}
	memmove(&list->ops[from], &list->ops[to],
		(list->nr - to) * sizeof(*list->ops));
	list->nr -= to - from;
}

void ex_list_free(struct ex_list *list)
{
	if (list->nr)
		ex_list_cut(list, 0, list->nr);
	free(list->ops);
	*list = (struct ex_list){0};
}

/* -- text ------------------------------------------------------------------ */

void ex_op_print(const struct ex_op *op, char *buf, size_t cap)
{
	snprintf(buf, cap,
		 "%d %s %d %d %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
		 " %s %s",
		 op->worker, names[op->kind], op->h, op->h2, op->a, op->b,
		 op->c, op->d, *op->path ? op->path : "-",
		 *op->path2 ? op->path2 : "-");
}

void ex_list_save(const struct ex_list *list, const char *path)
{
	char line[LINE_CAP];
	FILE *f = fopen(path, "w");

	if (!f) {
		perror(path);
		exit(2);
	}
	fprintf(f, "workers %u commit %u\n", list->workers, list->commit_ms);
	for (size_t i = 0; i < list->nr; i++) {
		ex_op_print(&list->ops[i], line, sizeof(line));
		fprintf(f, "%s\n", line);
	}
	if (fclose(f)) {
		perror(path);
		exit(2);
	}
}

static bool parse_op(struct ex_list *list, const char *line)
{
	static char path[LINE_CAP], path2[LINE_CAP];
	struct ex_op op = {.path = path, .path2 = path2};
	char kind[32];
	int n;

	n = sscanf(line,
		   "%d %31s %d %d %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64
		   " %16383s %16383s",
		   &op.worker, kind, &op.h, &op.h2, &op.a, &op.b, &op.c, &op.d,
		   path, path2);
	if (n != 10)
		return false;
	if (strcmp(path, "-") == 0)
		*path = '\0';
	if (strcmp(path2, "-") == 0)
		*path2 = '\0';
	for (unsigned k = 0; k < EX_NR_KINDS; k++) {
		if (strcmp(names[k], kind))
			continue;
		op.kind = (enum ex_kind)k;
		ex_list_add(list, &op);
		return true;
	}
	return false;
}

/* Lines with '#' are comments. */
void ex_list_load(struct ex_list *list, const char *path)
{
	char line[LINE_CAP];
	FILE *f = fopen(path, "r");

	if (!f) {
		perror(path);
		exit(2);
	}
	*list = (struct ex_list){.workers = 1, .commit_ms = 100};
	while (fgets(line, sizeof(line), f)) {
		if (*line == '#' || *line == '\n')
			continue;
		if (sscanf(line, "workers %u commit %u", &list->workers,
			   &list->commit_ms) == 2)
			continue;
		if (!parse_op(list, line)) {
			fprintf(stderr, "%s: not an operation: %s", path, line);
			exit(2);
		}
	}
	fclose(f);
}
