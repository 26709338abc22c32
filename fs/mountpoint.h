/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mountpoint.h - the directory a pool is mounted on
 *
 * Below: /proc/self/mountinfo, umount2(2).  Above: main.c.
 *
 * Invariant:
 *  P1  a path is followed once, when the directory is opened.  What is looked
 *      at, mounted on and unmounted is what was opened then, whatever others
 *      put in the place of its parents meanwhile.
 */
#ifndef DBS_FS_MOUNTPOINT_H
#define DBS_FS_MOUNTPOINT_H

#include <limits.h>
#include <stdbool.h>

struct mountpoint {
	int fd;		     /* O_PATH; -1 when closed */
	int parent_fd;	     /* O_PATH of the directory it lies in, or -1 */
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
 * Something is mounted on it now, so nobody can move it any more: remember
 * where it is, and let go of it, for that keeps it busy.
 */
void mountpoint_settle(struct mountpoint *mp);

/**
 * Once the mount answers: let the kernel read @kib ahead of who reads a file in
 * sequence.  Where it cannot be told, it reads as far as it does by default.
 */
void mountpoint_set_read_ahead(const struct mountpoint *mp, unsigned kib);

/**
 * Unmount; @flags: of umount2(2).  Not mounted any more is success.
 * Errors: -EBUSY
 */
int mountpoint_unmount(const struct mountpoint *mp, int flags);

#endif
