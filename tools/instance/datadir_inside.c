/* SPDX-License-Identifier: Apache-2.0 */
/*
 * datadir_inside.c - does a data directory hold all that its server works on?
 *
 * A server follows a link, and opens the file that an '.isl' names, wherever
 * they lead: another dataset, the origin's own files, the host.  Looked at are
 * names and their types, which readdir(3) gives: no file is asked for.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/instance/datadir.h"

/* Servers have two levels; each takes a descriptor while it is looked at. */
#define DEPTH_MAX 32

struct walk {
	char path[PATH_MAX]; /* of what is looked at */
	unsigned depth;
};

static int refuse(const struct walk *w, const char *what, const char *remedy)
{
	return fail(CTL_CONFIG, "no server is started on it: '%s' %s; %s",
		    w->path, what, remedy);
}

static int check_entry(const struct walk *w, const char *name, unsigned type)
{
	const char *dot = strrchr(name, '.');

	switch (type) {
	case DT_LNK:
		return refuse(w, "is a symbolic link",
			      "put what it leads to in its place");
	case DT_FIFO:
		return refuse(w, "is a named pipe", "remove it");
	case DT_CHR:
	case DT_BLK:
		return refuse(w, "is a device", "remove it");
	case DT_REG:
		if (dot && !strcmp(dot, ".isl"))
			return refuse(w,
				      "keeps a table outside of the data "
				      "directory",
				      "make that table anew without DATA "
				      "DIRECTORY");
		break;
	default:
		break;
	}
	return CTL_OK;
}

static unsigned type_of(int dir, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type;
	if (fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
		return DT_UNKNOWN;
	return IFTODT(st.st_mode);
}

static int walk_dir(struct walk *w, int fd);

/* One that cannot be read by who runs the server cannot be by the server. */
static int walk_below(struct walk *w, int dir, const char *name)
{
	int fd = openat(dir, name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int code;

	if (fd < 0 && (errno == ENOENT || (errno == EACCES && geteuid())))
		return CTL_OK;
	if (fd < 0)
		return fail(CTL_FAILED, "'%s': %m", w->path);
	if (w->depth == DEPTH_MAX) {
		close(fd);
		return refuse(w, "is a folder too deep in a data directory",
			      "remove it");
	}
	w->depth++;
	code = walk_dir(w, fd);
	w->depth--;
	return code;
}

static int walk_entry(struct walk *w, int dir, const struct dirent *e)
{
	size_t len = strlen(w->path);
	unsigned type = type_of(dir, e);
	int code;

	if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
		return CTL_OK;
	if (len + strlen(e->d_name) + 2 > sizeof(w->path))
		return fail(CTL_FAILED, "'%s': %s", w->path,
			    strerror(ENAMETOOLONG));
	snprintf(w->path + len, sizeof(w->path) - len, "/%s", e->d_name);
	code = type == DT_DIR ? walk_below(w, dir, e->d_name)
			      : check_entry(w, e->d_name, type);
	w->path[len] = '\0';
	return code;
}

/* Closes @fd. */
static int walk_dir(struct walk *w, int fd)
{
	DIR *list = fdopendir(fd);
	struct dirent *e;
	int code = CTL_OK;

	if (!list) {
		code = fail(CTL_FAILED, "'%s': %m", w->path);
		close(fd);
		return code;
	}
	while (code == CTL_OK && (errno = 0, e = readdir(list)))
		code = walk_entry(w, fd, e);
	if (code == CTL_OK && errno)
		code = fail(CTL_FAILED, "'%s': %m", w->path);
	closedir(list);
	return code;
}

int datadir_check_inside(const struct datadir *dir)
{
	struct walk w = {.depth = 0};
	int fd = open(dir->path,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	snprintf(w.path, sizeof(w.path), "%s", dir->path);
	if (fd < 0)
		return fail(CTL_FAILED, "'%s': %m", w.path);
	return walk_dir(&w, fd);
}
