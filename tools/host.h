/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.h - what dbs asks the host: mounts, who uses them, where dbsfs is
 *
 * Below: libc, /proc.  Above: client.c, cmd_mount.c.
 *
 * Invariant:
 *  H1  nothing here calls stat(2) or the like inside a mount that may be dead
 *      or hung, but host_dir_state(), which is asked for it.
 */
#ifndef DBS_TOOLS_HOST_H
#define DBS_TOOLS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct host_mount {
	char *dir, *source, *type;
};

/**
 * The topmost mount on exactly @dir, an absolute path.
 * Owner: the caller calls host_mount_release()
 * Errors: -ENOENT nothing is mounted there
 */
int host_mount_find(const char *dir, struct host_mount *mount);
/** A mount below @dir, which keeps it from being unmounted; or -ENOENT. */
int host_mount_below(const char *dir, struct host_mount *mount);
void host_mount_release(struct host_mount *mount);
/** Is it one of dbsfs? */
bool host_mount_is_ours(const struct host_mount *mount);
/**
 * umount2(2) of @dir, absolute and without links, as mountinfo has it; what
 * others put in the place of its parents meanwhile is not followed.
 * Errors: -ESTALE they were moved; -EBUSY; -EPERM
 */
int host_umount(const char *dir, int flags);

enum host_dir_state {
	DIR_OK,	  /* an empty directory */
	DIR_USED, /* not empty */
	DIR_DEAD, /* a FUSE mount whose daemon has died */
	DIR_MISSING,
	DIR_NOT_DIR,
	DIR_ERROR, /* errno says */
};
enum host_dir_state host_dir_state(const char *dir);

/**
 * @path made absolute, symlinks resolved in all but its last part, which may
 * be a dead mount.  The caller frees; NULL and errno on error.
 */
char *host_absolute(const char *path);

/**
 * Text like "mariadbd (pid 4711), bash (pid 12)" of the processes that have a
 * file, directory or mapping below @dir open; NULL when there are none.
 */
char *host_users_text(const char *dir);

/**
 * How many files below @dir process @pid has open for writing, or mapped
 * shared and writable; by their names.
 */
size_t host_nr_writes(pid_t pid, const char *dir);
/** As host_users_text(), of those with such files but for whom @skips. */
char *host_writers_text(const char *dir, bool (*skips)(void *arg, pid_t pid),
			void *arg);

/** Path of dbsfs: in the build tree beside us, else where it is installed. */
char *host_daemon_path(void);

/**
 * Wait until process @pid has ended, at most @timeout_ms.
 * Errors: -ETIMEDOUT
 */
int host_wait_exit(pid_t pid, uint64_t timeout_ms);

#endif
