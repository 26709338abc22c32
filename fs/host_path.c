/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/host_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel */

void host_path_link(int fd, char link[HOST_PATH_LINK])
{
	snprintf(link, HOST_PATH_LINK, "/proc/self/fd/%d", fd);
}

int host_path_of(int fd, char real[PATH_MAX])
{
	char link[HOST_PATH_LINK];
	ssize_t n;

	host_path_link(fd, link);
	n = readlink(link, real, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	real[n] = '\0';
	return 0;
}

/* Could somebody else than root put another name into the directory @fd? */
static int is_roots(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	return st.st_uid == 0 && !(st.st_mode & 0022) ? 0 : -EPERM;
}

static int open_one(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC | flags);

	return fd < 0 ? -errno : fd;
}

/* Put what the link @fd says before @rest, into @rest. */
static int link_expand(int fd, char rest[PATH_MAX])
{
	char target[2 * PATH_MAX];
	ssize_t n = readlinkat(fd, "", target, PATH_MAX - 1);

	if (n < 0)
		return -errno;
	if ((size_t)n + 1 + strlen(rest) >= PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(target + n, sizeof(target) - (size_t)n, "/%s", rest);
	strcpy(rest, target);
	return 0;
}

/*
 * One step from *@dir along @rest, which loses its first part.  1: there are
 * more; 0: *@dir is what the path named.
 */
static int step(int *dir, char rest[PATH_MAX], int *nr_links)
{
	char name[NAME_MAX + 1];
	size_t skip = strspn(rest, "/");
	size_t len = strcspn(rest + skip, "/");
	struct stat st;
	int fd, rc;

	if (len == 0)
		return 0;
	if (len > NAME_MAX)
		return -ENAMETOOLONG;
	snprintf(name, sizeof(name), "%.*s", (int)len, rest + skip);
	memmove(rest, rest + skip + len, strlen(rest + skip + len) + 1);
	fd = open_one(*dir, name, 0);
	if (fd < 0)
		return fd;
	/* a dead mount has no attributes to give: it is no link */
	if (fstat(fd, &st) || !S_ISLNK(st.st_mode)) {
		close(*dir);
		*dir = fd;
		return 1;
	}
	rc = is_roots(*dir);
	if (rc == 0 && ++*nr_links > LINKS_MAX)
		rc = -ELOOP;
	if (rc == 0)
		rc = link_expand(fd, rest);
	close(fd);
	if (rc)
		return rc;
	if (*rest == '/') {
		close(*dir);
		*dir = open_one(AT_FDCWD, "/", O_DIRECTORY);
		if (*dir < 0)
			return *dir;
	}
	return 1;
}

static int walk(const char *path)
{
	char rest[PATH_MAX];
	int dir, rc, nr_links = 0;

	if (strlen(path) >= sizeof(rest))
		return -ENAMETOOLONG;
	if (!*path)
		return -ENOENT;
	strcpy(rest, path);
	dir = open_one(AT_FDCWD, *path == '/' ? "/" : ".", O_DIRECTORY);
	do
		rc = dir < 0 ? dir : step(&dir, rest, &nr_links);
	while (rc > 0);
	if (rc == 0)
		return dir;
	if (dir >= 0)
		close(dir);
	return rc;
}

int host_path_open(const char *path, int flags, char real[PATH_MAX])
{
	struct open_how how = {
		.flags = (unsigned)(O_PATH | O_CLOEXEC | flags),
		.resolve = RESOLVE_NO_SYMLINKS,
	};
	struct stat st;
	int rc, fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how,
				  sizeof(how));

	/* most paths have no link in them; and old kernels no such call */
	if (fd < 0 && (errno == ELOOP || errno == ENOSYS || errno == EPERM))
		fd = walk(path);
	else if (fd < 0)
		fd = -errno;
	if (fd < 0)
		return fd;
	if (flags & O_DIRECTORY && fstat(fd, &st) == 0 &&
	    !S_ISDIR(st.st_mode)) {
		close(fd);
		return -ENOTDIR;
	}
	rc = real ? host_path_of(fd, real) : 0;
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

int host_path_open_parent(const char *path, const char **base)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	*base = slash ? slash + 1 : path;
	if (!**base)
		return -EISDIR;
	if ((size_t)(*base - path) >= sizeof(dir))
		return -ENAMETOOLONG;
	snprintf(dir, sizeof(dir), "%.*s", (int)(*base - path), path);
	return host_path_open(*dir ? dir : ".", O_DIRECTORY, NULL);
}
