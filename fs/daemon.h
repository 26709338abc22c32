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
/** Tell who waits (the parent, systemd) that the mount works; @warning: "", or
 * what to say on stderr. */
void daemon_ready(const char *warning);
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
/** Overwrite our environment, but for what a running daemon looks at. */
void daemon_forget_environment(void);
/**
 * Keep what mounting and unmounting need, and drop the rest, for good.  What
 * is kept has no effect before it is raised.  Threads inherit all this: call
 * it before the first.
 */
void daemon_drop_privileges(void);
/**
 * Let the calling thread use what was kept, for one system call.  Before
 * daemon_drop_privileges() they do nothing.
 */
void daemon_raise_privileges(void);
void daemon_lower_privileges(void);

/** @dir: out, the descriptor of its directory.  0 or -errno */
int daemon_write_pid(const char *path, int *dir);
/** Remove it; closes @dir. */
void daemon_remove_pid(const char *path, int dir);

#endif
