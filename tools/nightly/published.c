/* SPDX-License-Identifier: Apache-2.0 */
/*
 * published.c - the dumps that 'dbs import --publish' wrote
 *
 * Only files that are called by a time, as the nightly run's are, are removed:
 * what others put there stays, and so does 'latest'.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/nightly/nightly_internal.h"
#include "tools/out.h"

#define SUFFIX ".sql.zst"
#define SUM    ".sha256"

/* "2026-11-22T02:10:00Z.sql.zst" */
static int is_dated(const struct dirent *e)
{
	static const char form[] = "dddd-dd-ddTdd:dd:ddZ" SUFFIX;
	const char *p = e->d_name;
	const size_t digits = strlen(form) - strlen(SUFFIX);

	for (size_t i = 0; form[i]; i++, p++)
		if (i < digits && form[i] == 'd' ? !isdigit((unsigned char)*p)
						 : *p != form[i])
			return 0;
	return !*p;
}

/* By name, and so by a clock that may have been wrong. */
static int newest_first(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*b)->d_name, (*a)->d_name);
}

/* Its checksum goes first: who finds that finds the file. */
static int remove_dump(int dir, const char *name)
{
	char sum[NAME_MAX + sizeof(SUM)];

	snprintf(sum, sizeof(sum), "%s" SUM, name);
	if (unlinkat(dir, sum, 0) && errno != ENOENT)
		return -errno;
	return unlinkat(dir, name, 0) ? -errno : 0;
}

/* The dump of the night's import is first, whatever it is called. */
static void put_first(struct dirent **list, int nr, const char *name)
{
	for (int i = 1; i < nr; i++) {
		struct dirent *own = list[i];

		if (strcmp(own->d_name, name))
			continue;
		memmove(list + 1, list, (size_t)i * sizeof(*list));
		list[0] = own;
	}
}

static int check_there(int dir, const char *path, const char *name,
		       json_t *answer, char **error)
{
	char sum[NAME_MAX + sizeof(SUM)];

	if (!*name)
		return CTL_OK;
	snprintf(sum, sizeof(sum), "%s" SUM, name);
	json_object_set_new(answer, "file", json_sprintf("%s/%s", path, name));
	if (!faccessat(dir, name, F_OK, 0) && !faccessat(dir, sum, F_OK, 0) &&
	    !faccessat(dir, "latest" SUFFIX, F_OK, 0))
		return CTL_OK;
	if (asprintf(error, "'%s/%s' is not there with its checksum", path,
		     name) < 0)
		*error = NULL;
	return CTL_FAILED;
}

int published_keep(const char *path, const char *snapshot, unsigned keep,
		   json_t **answer, char **error)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[NAME_MAX + 1] = "";
	json_t *removed = json_array();
	struct dirent **list = NULL;
	int nr = dir < 0 ? -1
			 : scandirat(dir, ".", &list, is_dated, newest_first);
	int code = CTL_OK, err = nr < 0 ? -errno : 0;

	*answer = json_pack("{s:o, s:n, s:i, s:O}", "dir", out_text(path),
			    "file", "kept", 0, "removed", removed);
	if (snapshot)
		snprintf(name, sizeof(name), "%.200s" SUFFIX, snapshot);
	if (nr >= 0)
		code = check_there(dir, path, name, *answer, error);
	put_first(list, nr, name);
	for (int i = 0; i < nr; i++) {
		if (code == CTL_OK && !err && keep && (unsigned)i >= keep) {
			err = remove_dump(dir, list[i]->d_name);
			if (!err)
				json_array_append_new(
					removed, out_text(list[i]->d_name));
		}
		free(list[i]);
	}
	free(list);
	if (dir >= 0)
		close(dir);
	json_object_set_new(*answer, "kept",
			    json_integer((json_int_t)(nr < 0 ? 0 : nr) -
					 (json_int_t)json_array_size(removed)));
	json_decref(removed);
	if (!err)
		return code;
	if (asprintf(error, "'%s': %s", path, strerror(-err)) < 0)
		*error = NULL;
	return (int)ctl_code_of_errno(err);
}
