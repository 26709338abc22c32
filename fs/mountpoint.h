/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountpoint.h - the directory a pool is mounted on
 *
 * Below: /proc/self/mountinfo, umount2(2).  Above: main.c.
 */
#ifndef DBS_FS_MOUNTPOINT_H
#define DBS_FS_MOUNTPOINT_H

#include <limits.h>
#include <stdbool.h>

struct mountpoint {
	int fd;		     /* O_PATH; -1 when closed */
	char path[PATH_MAX]; /* absolute, no links */
};

struct mountpoint_error {
	char text[512];
};

/**
 * Open the directory @path to mount on.  The mount that a killed dbsfs left
 * there is taken away.
 * Errors: -ENOENT; -ENOTDIR; -ENOTEMPTY; -EBUSY something is mounted there
 */
int mountpoint_open(const char *path, struct mountpoint *mp,
		    struct mountpoint_error *error);
void mountpoint_close(struct mountpoint *mp);

/**
 * Unmount; @flags: of umount2(2).  Not mounted any more is success.
 * Errors: -EBUSY
 */
int mountpoint_unmount(const struct mountpoint *mp, int flags);

#endif
