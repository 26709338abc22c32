/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_path.h - paths of the host, opened without following what others can
 * swap
 *
 * Below: openat2(2), /proc.  Above: main.c, mountpoint.c, daemon.c.
 *
 * We are root and do what a path of root's says.  A symbolic link in it is
 * followed only where root alone could have made it; and what was found is
 * used by its descriptor from then on.
 */
#ifndef DBS_FS_HOST_PATH_H
#define DBS_FS_HOST_PATH_H

#include <limits.h>
#include <stddef.h>

/**
 * An O_PATH descriptor of @path.
 *
 * @flags: O_DIRECTORY or 0
 * @real:  out, where it is, absolute and without links; may be NULL
 * Errors: -EPERM a link that others can swap; those of open(2)
 */
int host_path_open(const char *path, int flags, char real[PATH_MAX]);

/**
 * The same for the directory of @path, which need not exist.
 * @base: out, its last part
 */
int host_path_open_parent(const char *path, const char **base);

/** Where the file that @fd is lies now: 0 or -errno. */
int host_path_of(int fd, char real[PATH_MAX]);

#define HOST_PATH_LINK 64
/** A path that leads to what @fd is, for calls that take only paths. */
void host_path_link(int fd, char link[HOST_PATH_LINK]);

#endif
