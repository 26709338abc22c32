/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon.h - a process that serves: background, log, limits, privileges
 *
 * Below: libc, prctl(2), capset(2).  Above: main.c.
 *
 * The process forks before the pool is opened, so that its lock names the
 * daemon.  The parent waits until the mount works, or prints the daemon's one
 * sentence and exits with its code.
 */
#ifndef DBS_FS_DAEMON_H
#define DBS_FS_DAEMON_H

#include <stdbool.h>

#include "fs/ctl_ops.h"

/** Fork; returns in the child only. */
void daemon_fork(void);
/** Tell who waits (the parent, systemd) that the mount works. */
void daemon_ready(void);
void daemon_stopping(void);
/**
 * Say why on stderr, through the parent if there is one, and exit.
 * Nothing must be left to clean up.
 */
_Noreturn void daemon_fail(enum ctl_code code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** Log to syslog, or to stderr in the foreground. */
void daemon_log_open(bool foreground, enum log_level level);

/** No core dumps, last to be killed, allocations that don't wait for us. */
void daemon_set_limits(void);
/**
 * Keep what unmounting needs and drop the rest, for good.  Threads inherit
 * it: call it before the first.
 */
void daemon_drop_privileges(void);

/** 0 or -errno */
int daemon_write_pid(const char *path);

#endif
