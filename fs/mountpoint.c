/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/daemon.h"
#include "fs/host_path.h"
#include "store/store.h"

#define FS_TYPE	    "fuse.dbs"
#define NR_DEAD_MAX 16 /* mounts that killed daemons piled up */

__attribute__((format(printf, 3, 4))) static int
fail(struct mountpoint_error *error, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error->text, sizeof(error->text), fmt, ap);
	va_end(ap);
	return err;
}

/* -- mountinfo ------------------------------------------------------------ */

/* Undo the \ooo that mountinfo writes for blanks and backslashes. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' &&
		    s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 |
				       (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* Field @n, from 0, of @line; cut out in place.  NULL: there is none. */
static char *field(char *line, int n)
{
	char *save, *f = strtok_r(line, " ", &save);

	while (f && n-- > 0)
		f = strtok_r(NULL, " ", &save);
	return f;
}

/*
 * What is mounted on @path, topmost: its type into @type.
 * 1: something; 0: nothing; or -errno
 */
static int mounted_type(const char *path, char *type, size_t cap)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *dash, *dir, *t;
	size_t size = 0;
	int found = 0;

	if (!f)
		return -errno;
	while (getline(&line, &size, f) > 0) {
		dash = strstr(line, " - ");
		if (!dash)
			continue;
		*dash = '\0';
		t = field(dash + 3, 0);
		dir = field(line, 4);
		if (!t || !dir)
			continue;
		unescape(dir);
		if (strcmp(dir, path))
			continue;
		found = 1;
		snprintf(type, cap, "%s", t);
	}
	free(line);
	fclose(f);
	return found;
}

/* -- open ----------------------------------------------------------------- */

static int check_empty(const struct mountpoint *mp,
		       struct mountpoint_error *error)
{
	struct dirent *d;
	int fd, rc = 0;
	DIR *dir;

	fd = openat(mp->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		rc = fail(error, -errno, "cannot read the directory '%s': %s",
			  mp->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (rc == 0 && (d = readdir(dir)))
		if (strcmp(d->d_name, ".") && strcmp(d->d_name, ".."))
			rc = fail(error, -ENOTEMPTY,
				  "the directory '%s' is not empty; mount on "
				  "an empty one",
				  mp->path);
	closedir(dir);
	return rc;
}

/* Its daemon is gone; stat() may not tell, as the kernel keeps attributes. */
static bool is_dead(const struct mountpoint *mp)
{
	int fd = openat(mp->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOTCONN || errno == ECONNABORTED;
	close(fd);
	return false;
}

/* 1: a dead mount was taken away, look again; 0: free; or -errno */
static int clear_dead(const struct mountpoint *mp,
		      struct mountpoint_error *error)
{
	char type[64] = "", link[HOST_PATH_LINK];
	int rc;

	rc = mounted_type(mp->path, type, sizeof(type));
	if (rc < 0)
		return fail(error, rc, "cannot read '/proc/self/mountinfo': %s",
			    strerror(-rc));
	if (rc == 0)
		return 0;
	if (strcmp(type, FS_TYPE) || !is_dead(mp))
		return fail(error, -EBUSY,
			    "something is mounted on '%s' already; unmount "
			    "it, or mount elsewhere",
			    mp->path);
	host_path_link(mp->fd, link);
	if (umount2(link, MNT_DETACH))
		return fail(error, -errno,
			    "cannot take away the dead mount on '%s': %s",
			    mp->path, strerror(errno));
	return 1;
}

static int open_dir(const char *path, struct mountpoint *mp,
		    struct mountpoint_error *error)
{
	int fd = host_path_open(path, O_DIRECTORY, mp->path);

	mp->fd = fd < 0 ? -1 : fd;
	if (fd >= 0)
		return 0;
	if (fd == -ENOENT)
		return fail(error, -ENOENT,
			    "there is no directory '%s' to mount on", path);
	if (fd == -ENOTDIR)
		return fail(error, -ENOTDIR,
			    "'%s' is not a directory; mount on one", path);
	if (fd == -EPERM)
		return fail(error, -EPERM,
			    "'%s' leads through a link that others than root "
			    "can swap; name the directory itself",
			    path);
	return fail(error, fd, "cannot open the directory '%s': %s", path,
		    strerror(-fd));
}

int mountpoint_open(const char *path, struct mountpoint *mp,
		    struct mountpoint_error *error)
{
	int rc;

	mp->parent_fd = -1;
	for (int i = 0;; i++) {
		rc = open_dir(path, mp, error);
		if (rc)
			return rc;
		rc = clear_dead(mp, error);
		if (rc == 0)
			rc = check_empty(mp, error);
		if (rc == 0)
			return 0;
		mountpoint_close(mp);
		if (rc < 0)
			return rc;
		if (i == NR_DEAD_MAX)
			return fail(error, -EBUSY,
				    "'%s' has too many dead mounts; unmount "
				    "them",
				    path);
	}
}

void mountpoint_close(struct mountpoint *mp)
{
	if (mp->fd >= 0)
		close(mp->fd);
	mp->fd = -1;
}

void mountpoint_settle(struct mountpoint *mp)
{
	if (host_path_of(mp->fd, mp->path))
		log_warn("mountpoint has no path errno=%d", errno);
	mp->parent_fd = openat(mp->fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (mp->parent_fd < 0)
		log_warn("mountpoint has no parent errno=%d", errno);
	mountpoint_close(mp); /* or it would keep the directory busy */
}

void mountpoint_set_read_ahead(const struct mountpoint *mp, unsigned kib)
{
	char path[64];
	struct statx st;
	int error = 0;
	FILE *f;

	if (mp->parent_fd < 0)
		return;		   /* mountpoint_settle() has said so */
	daemon_raise_privileges(); /* the parent may be closed to us */
	if (statx(mp->parent_fd, strrchr(mp->path, '/') + 1,
		  AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, 0, &st) != 0)
		error = errno;
	daemon_lower_privileges();
	/* gone already: it would be what lies beneath */
	if (error || !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT) ||
	    st.stx_dev_major) {
		log_info("read-ahead not set path=%s errno=%d", mp->path,
			 error);
		return;
	}
	snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb",
		 st.stx_dev_major, st.stx_dev_minor);
	f = fopen(path, "r+e");
	if (!f || fprintf(f, "%u\n", kib) < 0)
		error = errno;
	if (f && fclose(f) != 0)
		error = errno;
	if (error)
		log_info("read-ahead not set path=%s errno=%d", path, error);
}

int mountpoint_unmount(const struct mountpoint *mp, int flags)
{
	char path[PATH_MAX + 64];
	int rc;

	/* P1: the last part cannot be swapped while it is mounted on */
	if (mp->parent_fd >= 0)
		snprintf(path, sizeof(path), "/proc/self/fd/%d%s",
			 mp->parent_fd, strrchr(mp->path, '/'));
	else
		snprintf(path, sizeof(path), "%s", mp->path);
	daemon_raise_privileges();
	rc = umount2(path, flags | UMOUNT_NOFOLLOW) ? -errno : 0;
	daemon_lower_privileges();
	/* somebody else did */
	return rc == -EINVAL || rc == -ENOENT ? 0 : rc;
}
