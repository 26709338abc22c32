/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_mount.c - dbs mount, umount, sync
 */
#include "tools/cmd.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/client.h"
#include "tools/daemon.h"
#include "tools/host.h"
#include "tools/out.h"

#define UMOUNT_TIMEOUT_MS 60000

/* ---- mount -------------------------------------------------------------------- */

/* The pool must be one, and not in use by a daemon. */
static int mount_check_pool(const char *pool)
{
	struct store_error error = {0};
	struct pool_stat st;
	int err = pool_probe(pool, &st, &error);
	json_t *ping;

	if (err)
		return fail_pool(pool, err, &error);
	ping = daemon_of_pool(pool);
	if (!ping)
		return CTL_OK;
	fail(CTL_CONFLICT, "pool '%s' is already mounted on '%s' (pid %d)",
	     pool, out_get_text(ping, "mountpoint"),
	     (int)out_get_int(ping, "pid"));
	json_decref(ping);
	return CTL_CONFLICT;
}

/* A mount on @dir stands in the way, unless it is a dead one of ours. */
static int mount_check_other(const char *dir, bool dead)
{
	struct host_mount mount;
	int code = CTL_OK;

	if (host_mount_find(dir, &mount))
		return dead ? fail(CTL_CONFLICT, "'%s' is dead", dir) : CTL_OK;
	if (host_mount_is_ours(&mount) && dead) {
		/* dbsfs does it, which has the directory open */
		note("replacing the dead mount on '%s'", dir);
	} else if (host_mount_is_ours(&mount)) {
		code = fail(CTL_CONFLICT,
			    "pool '%s' is already mounted on '%s'",
			    mount.source, dir);
	} else if (dead) {
		code = fail(CTL_CONFLICT,
			    "'%s' is a dead mount of another kind (%s)", dir,
			    mount.type);
	}
	host_mount_release(&mount);
	return code;
}

static int mount_check_dir(const char *dir)
{
	char *absolute = host_absolute(dir);
	bool dead = host_dir_state(dir) == DIR_DEAD;
	int code;

	if (!absolute && errno == ENOENT)
		return fail(CTL_NOT_FOUND, "mountpoint '%s' does not exist",
			    dir);
	if (!absolute)
		return fail(CTL_FAILED, "mountpoint '%s': %m", dir);
	code = mount_check_other(absolute, dead);
	free(absolute);
	if (code != CTL_OK)
		return code;
	switch (host_dir_state(dir)) {
	case DIR_OK:
	case DIR_DEAD: /* and ours */
		return CTL_OK;
	case DIR_USED:
		return fail(CTL_CONFLICT, "mountpoint '%s' is not empty", dir);
	case DIR_MISSING:
		return fail(CTL_NOT_FOUND, "mountpoint '%s' does not exist",
			    dir);
	case DIR_NOT_DIR:
		return fail(CTL_FAILED, "mountpoint '%s' is not a directory",
			    dir);
	default:
		return fail(errno == EACCES ? CTL_NOT_PERMITTED : CTL_FAILED,
			    "mountpoint '%s': %m", dir);
	}
}

static int mount_check_fuse(void)
{
	if (!access("/dev/fuse", F_OK))
		return CTL_OK;
	return fail(CTL_FAILED,
		    "this host has no FUSE: /dev/fuse is missing; load the "
		    "kernel module with 'modprobe fuse'");
}

/* The arguments of dbsfs, and those of them that were made for it. */
struct daemon_args {
	const char *argv[64];
	char *made[64];
	size_t nr, nr_made;
};

static void daemon_args_release(struct daemon_args *args)
{
	while (args->nr_made)
		free(args->made[--args->nr_made]);
}

static int daemon_args_add(struct daemon_args *args, const char *arg)
{
	if (!arg)
		return fail(CTL_FAILED, "out of memory");
	/* the last stays NULL */
	if (args->nr + 1 >= ARRAY_SIZE(args->argv))
		return fail(CTL_USAGE, "too many options");
	args->argv[args->nr++] = arg;
	return CTL_OK;
}

/* Takes @arg, which may be NULL for lack of memory. */
static int daemon_args_take(struct daemon_args *args, char *arg)
{
	int code = daemon_args_add(args, arg);

	if (code == CTL_OK)
		args->made[args->nr_made++] = arg;
	else
		free(arg);
	return code;
}

/* One of -o's list: 'name=value' is dbsfs' option --name, others its -o. */
static int daemon_args_option(struct daemon_args *args, const char *text,
			      size_t len)
{
	char *arg = NULL;

	if (asprintf(&arg, "%s%.*s", memchr(text, '=', len) ? "--" : "-o",
		     (int)len, text) < 0)
		arg = NULL;
	return daemon_args_take(args, arg);
}

static int daemon_args_options(struct daemon_args *args, const char *text)
{
	int code = CTL_OK;

	while (*text && code == CTL_OK) {
		size_t len = strcspn(text, ",");

		code = daemon_args_option(args, text, len);
		text += len + (text[len] == ',');
	}
	return code;
}

/* dbsfs [-f] [-oOPTION]... [--OPTION=VALUE]... POOL DIR */
static int daemon_args_make(const struct invocation *inv, const char *path,
			    struct daemon_args *args)
{
	const char *text, *socket = inv_value(inv, "socket");
	char *arg = NULL;
	int code = daemon_args_add(args, path);

	if (code == CTL_OK && inv_has(inv, "foreground"))
		code = daemon_args_add(args, "--foreground");
	for (size_t i = 0; (text = inv_value_nth(inv, "options", i)); i++)
		if (code == CTL_OK)
			code = daemon_args_options(args, text);
	if (code == CTL_OK && socket) {
		if (asprintf(&arg, "--socket=%s", socket) < 0)
			arg = NULL;
		code = daemon_args_take(args, arg);
	}
	/* a path may begin with a dash */
	if (code == CTL_OK)
		code = daemon_args_add(args, "--");
	if (code == CTL_OK)
		code = daemon_args_add(args, inv_operand(inv, 0));
	if (code == CTL_OK)
		code = daemon_args_add(args, inv_operand(inv, 1));
	return code;
}

static int fail_exec(const char *path)
{
	return fail(CTL_FAILED, "the daemon '%s' cannot be started: %m", path);
}

_Noreturn static void daemon_exec(const char *path, struct daemon_args *args)
{
	/* as exec(3) says, the strings are not changed */
	execv(path, (char *const *)(uintptr_t)args->argv);
	exit(fail_exec(path));
}

/* The daemon drops into the background when the mount works. */
static int daemon_start(const char *path, struct daemon_args *args)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return fail_exec(path);
	if (!pid) {
		/* what the caller has open is not the daemon's to keep */
		close_range(STDERR_FILENO + 1, ~0u, 0);
		daemon_exec(path, args);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail_exec(path);
	if (WIFSIGNALED(status))
		return fail(CTL_FAILED, "the daemon was killed by signal %d",
			    WTERMSIG(status));
	return WEXITSTATUS(status);
}

static void mount_print(const char *dir, uint64_t ns)
{
	char *absolute = host_absolute(dir);
	json_t *ping = absolute ? daemon_of_dir(absolute) : NULL;

	if (!ping)
		ping = json_pack("{s:o}", "mountpoint", out_text(dir));
	json_object_set_new(ping, "duration_ms", json_real((double)ns / 1e6));
	out_json(ping);
	free(absolute);
}

int run_mount(struct invocation *inv)
{
	const char *pool = inv_operand(inv, 0), *dir = inv_operand(inv, 1);
	uint64_t start = now_ns();
	struct daemon_args args = {.nr = 0};
	char *path;
	int code;

	code = mount_check_pool(pool);
	if (code == CTL_OK)
		code = mount_check_dir(dir);
	if (code == CTL_OK)
		code = mount_check_fuse();
	if (code != CTL_OK)
		return code;
	path = host_daemon_path();
	code = daemon_args_make(inv, path, &args);
	if (code == CTL_OK && inv_has(inv, "foreground"))
		daemon_exec(path, &args);
	if (code == CTL_OK)
		code = daemon_start(path, &args);
	daemon_args_release(&args);
	free(path);
	if (code == CTL_OK && inv->json)
		mount_print(dir, now_ns() - start);
	return code;
}

/* ---- umount ------------------------------------------------------------------- */

static int umount_timeout(const struct invocation *inv, uint64_t *ms)
{
	const char *text = inv_value(inv, "timeout");
	char *end;
	double v;

	*ms = UMOUNT_TIMEOUT_MS;
	if (!text)
		return CTL_OK;
	v = strtod(text, &end);
	if (end == text || *end || !(v >= 0 && v <= 1e6))
		return fail_usage(inv->cmd, "'%s' is not a number of seconds",
				  text);
	*ms = (uint64_t)(v * 1000);
	return CTL_OK;
}

/* Who keeps @dir from being unmounted: exit code 4, with names. */
static int fail_busy(const char *dir)
{
	struct host_mount below;
	char *users;

	if (!host_mount_below(dir, &below)) {
		fail(CTL_CONFLICT, "'%s' is busy: '%s' is mounted below it",
		     dir, below.dir);
		host_mount_release(&below);
		return CTL_CONFLICT;
	}
	users = host_users_text(dir);
	fail(CTL_CONFLICT, "'%s' is busy: used by %s", dir,
	     users ? users : "something that /proc does not show");
	free(users);
	return CTL_CONFLICT;
}

/*
 * Wait until the file that @fd reads from ends: the pool is released.
 * @last: out, what the daemon said before it, or NULL
 */
static int wait_hangup(int fd, uint64_t timeout_ms, json_t **last)
{
	uint64_t end = now_ns() + timeout_ms * UINT64_C(1000000);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char text[4096];
	size_t len = 0;

	*last = NULL;
	for (;;) {
		uint64_t now = now_ns();
		uint64_t left = now < end ? (end - now) / 1000000 : 0;
		int nr = poll(&p, 1, (int)MIN_OF(left, (uint64_t)INT_MAX));
		ssize_t n;

		if (nr < 0 && errno == EINTR)
			continue;
		if (nr <= 0)
			return -ETIMEDOUT;
		n = read(fd, text + len, sizeof(text) - len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (len)
		*last = json_loadb(text, len, 0, NULL);
	return 0;
}

static int umount_by_daemon(const char *dir, const json_t *ping, bool lazy,
			    uint64_t timeout_ms)
{
	uint64_t start = now_ns(), used_ms;
	json_t *last, *result;
	pid_t pid;
	int code, fd, err;

	code = daemon_shutdown(out_get_text(ping, "socket"), lazy, &fd, &pid);
	if (code == CTL_CONFLICT)
		return fail_busy(dir);
	if (code != CTL_OK || lazy) {
		if (code == CTL_OK)
			close(fd);
		return code;
	}
	err = wait_hangup(fd, timeout_ms, &last);
	close(fd);
	used_ms = (now_ns() - start) / 1000000;
	if (!err && pid > 0)
		err = host_wait_exit(pid,
				     timeout_ms - MIN_OF(used_ms, timeout_ms));
	if (last) {
		code = daemon_check(last, &result);
		if (code != CTL_OK)
			return code;
		json_decref(result);
	}
	if (err == -ETIMEDOUT)
		return fail(CTL_TIMEOUT,
			    "'%s' is unmounted, but its daemon (pid %d) has "
			    "not ended after %g s",
			    dir, (int)pid, (double)timeout_ms / 1000);
	return CTL_OK;
}

/* 0: nobody's, or not known */
static pid_t pool_owner(const char *pool, bool *held)
{
	struct blkdev *dev;
	int owner = 0, err;

	err = blkdev_file_open(pool, BLKDEV_READ_ONLY, &dev, &owner);
	if (!err)
		blkdev_close(dev);
	*held = err == -EBUSY;
	return *held ? owner : 0;
}

/* Without a socket: the pool is free when its lock is. */
static int wait_pool_released(const char *pool, pid_t owner,
			      uint64_t timeout_ms)
{
	uint64_t end = now_ns() + timeout_ms * UINT64_C(1000000);
	bool held = true;

	if (owner > 0 && !host_wait_exit(owner, timeout_ms))
		return CTL_OK;
	while (held && now_ns() < end) {
		pool_owner(pool, &held);
		if (held)
			poll(NULL, 0, 10);
	}
	if (!held)
		return CTL_OK;
	return fail(CTL_TIMEOUT,
		    "the daemon (pid %d) still holds pool '%s' after %g s",
		    (int)owner, pool, (double)timeout_ms / 1000);
}

static int umount_by_kernel(const char *dir, const char *pool, bool lazy,
			    uint64_t timeout_ms)
{
	bool dead = host_dir_state(dir) == DIR_DEAD, held;
	pid_t owner = dead ? 0 : pool_owner(pool, &held);
	int err;

	err = host_umount(dir, lazy || dead ? MNT_DETACH : 0);
	if (err == -EBUSY)
		return fail_busy(dir);
	if (err)
		return fail(err == -EPERM ? CTL_NOT_PERMITTED : CTL_FAILED,
			    "unmounting '%s': %s", dir, strerror(-err));
	if (dead) {
		note("the daemon of '%s' had died", dir);
		daemon_forget(pool);
	}
	if (lazy || dead)
		return CTL_OK;
	return wait_pool_released(pool, owner, timeout_ms);
}

int run_umount(struct invocation *inv)
{
	const char *operand = inv_operand(inv, 0);
	uint64_t timeout_ms, start = now_ns();
	bool lazy = inv_has(inv, "lazy");
	struct host_mount mount = {0}, below;
	int code = umount_timeout(inv, &timeout_ms);
	char *dir;
	json_t *ping;

	if (code != CTL_OK)
		return code;
	dir = host_absolute(operand);
	if (!dir)
		return fail(CTL_NOT_FOUND, "'%s': %m", operand);
	/* we may be started inside: don't be what keeps it busy */
	if (chdir("/"))
		note("cannot leave the working directory: %m");
	if (host_mount_find(dir, &mount) || !host_mount_is_ours(&mount)) {
		code = fail(CTL_NOT_FOUND, "no pool is mounted on '%s'", dir);
		goto out;
	}
	ping = daemon_of_dir(dir);
	if (!lazy && !host_mount_below(dir, &below)) {
		host_mount_release(&below);
		code = fail_busy(dir);
	} else if (ping) {
		code = umount_by_daemon(dir, ping, lazy, timeout_ms);
	} else {
		code = umount_by_kernel(dir, mount.source, lazy, timeout_ms);
	}
	if (code == CTL_OK && inv->json)
		out_json(json_pack("{s:o, s:o, s:f}", "mountpoint",
				   out_text(dir), "path",
				   out_text(mount.source), "duration_ms",
				   (double)(now_ns() - start) / 1e6));
	json_decref(ping);
out:
	host_mount_release(&mount);
	free(dir);
	return code;
}

/* ---- sync --------------------------------------------------------------------- */

int run_sync(struct invocation *inv)
{
	json_t *result;
	int code = client_call_once(inv, NULL, "sync", NULL, &result);

	if (code != CTL_OK)
		return code;
	if (inv->json)
		out_json(result);
	else
		json_decref(result);
	return CTL_OK;
}
