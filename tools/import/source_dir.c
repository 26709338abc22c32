/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_dir.c - the files of a mydumper directory, in order
 *
 *   DB-schema-create.sql       DB.TABLE-schema.sql
 *   DB.TABLE[.NNNNN[.NNNNN]].sql
 *   DB.TABLE-schema-triggers.sql, DB.TABLE-schema-view.sql,
 *   DB-schema-post.sql, DB-schema-sequence.sql
 *
 * each perhaps packed: .gz, .zst, .xz
 *
 * A view has a DB.VIEW-schema.sql too.  That makes a table with its columns,
 * which views may refer to until each is made; the file of the view drops it
 * first.  It is no table of the dump: no rule, and no look for columns that
 * look personal, is meant for it.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/store.h"
#include "tools/cmd.h"
#include "tools/import/source_internal.h"

enum order {
	ORDER_NONE = -1,
	ORDER_DATABASE,
	ORDER_SEQUENCE,
	ORDER_TABLE,
	ORDER_DATA,
	ORDER_VIEW,
	ORDER_TRIGGERS,
	ORDER_POST,
};

struct found {
	char *name;
	char *stem; /* without what says what is in it */
	enum order order;
	uint64_t size;
};

static bool cut_end(char *name, const char *end)
{
	const size_t len = strlen(name), n = strlen(end);

	if (len <= n || strcmp(name + len - n, end))
		return false;
	name[len - n] = '\0';
	return true;
}

/*
 * @stem: out, "DB.TABLE" or "DB".  mydumper writes what is no letter, digit, _
 * or - in names as mydumper_N.
 */
static enum order order_of(const char *file, char *stem, size_t cap)
{
	static const struct {
		const char *end;
		enum order order;
	} ends[] = {
		{"-schema-create", ORDER_DATABASE},
		{"-schema-sequence", ORDER_SEQUENCE},
		{"-schema-triggers", ORDER_TRIGGERS},
		{"-schema-view", ORDER_VIEW},
		{"-schema-post", ORDER_POST},
		{"-schema", ORDER_TABLE},
	};
	char name[512];
	enum order order = ORDER_DATA;

	snprintf(name, sizeof(name), "%s", file);
	if (!cut_end(name, ".gz") && !cut_end(name, ".zst"))
		cut_end(name, ".xz");
	if (!cut_end(name, ".sql"))
		return ORDER_NONE;
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		if (!cut_end(name, ends[i].end))
			continue;
		order = ends[i].order;
		break;
	}
	snprintf(stem, cap, "%s", name);
	return order;
}

static int compare(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Is it of a view? */
static bool is_placeholder(const struct found *f, const struct found *found,
			   size_t nr)
{
	if (f->order != ORDER_TABLE)
		return false;
	for (size_t i = 0; i < nr; i++)
		if (found[i].order == ORDER_VIEW &&
		    !strcmp(found[i].stem, f->stem))
			return true;
	return false;
}

static int add_parts(struct source *s, struct found *found, size_t nr)
{
	s->parts = calloc(nr ? nr : 1, sizeof(*s->parts));
	if (!s->parts)
		return fail(CTL_FAILED, "out of memory");
	qsort(found, nr, sizeof(*found), compare);
	for (size_t i = 0; i < nr; i++) {
		const struct found *f = &found[i];
		struct source_part *part = &s->parts[s->nr_parts++];

		part->size = f->size;
		s->size += part->size;
		part->ends_at_line = f->order >= ORDER_VIEW;
		part->placeholder = is_placeholder(f, found, nr);
		if (f->order != ORDER_DATABASE)
			part->db = strndup(f->stem, strcspn(f->stem, "."));
		if ((f->order != ORDER_DATABASE && !part->db) ||
		    asprintf(&part->path, "%s/%s", s->options.from, f->name) <
			    0)
			return fail(CTL_FAILED, "out of memory");
	}
	return CTL_OK;
}

static int add_found(struct found **found, size_t *nr, const char *name,
		     const char *stem, enum order order, uint64_t size)
{
	struct found *more = reallocarray(*found, *nr + 1, sizeof(**found));

	if (!more)
		return -ENOMEM;
	*found = more;
	more[*nr] = (struct found){strdup(name), strdup(stem), order, size};
	++*nr;
	return more[*nr - 1].name && more[*nr - 1].stem ? 0 : -ENOMEM;
}

int source_dir_list(struct source *s)
{
	DIR *dir = opendir(s->options.from);
	struct found *found = NULL;
	bool complete = false;
	size_t nr = 0, tables = 0;
	struct dirent *e;
	char stem[512];
	int code = CTL_OK;

	if (!dir)
		return fail(CTL_NOT_PERMITTED, "'%s': %m", s->options.from);
	while (code == CTL_OK && (e = readdir(dir))) {
		const enum order order =
			order_of(e->d_name, stem, sizeof(stem));
		struct stat st;

		complete = complete || !strcmp(e->d_name, "metadata");
		if (order == ORDER_NONE ||
		    fstatat(dirfd(dir), e->d_name, &st, 0))
			continue;
		if (add_found(&found, &nr, e->d_name, stem, order,
			      (uint64_t)st.st_size))
			code = fail(CTL_FAILED, "out of memory");
		tables += order == ORDER_TABLE;
	}
	closedir(dir);
	if (code == CTL_OK && !tables)
		code = fail(CTL_USAGE,
			    "'%s' is no directory of mydumper: there is no "
			    "DB.TABLE-schema.sql in it",
			    s->options.from);
	else if (code == CTL_OK && !complete)
		code = fail(CTL_FAILED,
			    "'%s' has no file 'metadata', which mydumper "
			    "writes last: the dump is not whole",
			    s->options.from);
	if (code == CTL_OK)
		code = add_parts(s, found, nr);
	for (size_t i = 0; i < nr; i++) {
		free(found[i].name);
		free(found[i].stem);
	}
	free(found);
	return code;
}
