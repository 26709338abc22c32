/* SPDX-License-Identifier: Apache-2.0 */
/*
 * target.c - which pool a command means
 */
#include "tools/client_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/client.h"
#include "tools/daemon.h"
#include "tools/host.h"
#include "tools/out.h"

int fail_pool(const char *path, int err, const struct store_error *error)
{
	int code;

	switch (-err) {
	case ENOENT:
		code = CTL_NOT_FOUND;
		break;
	case EEXIST:
	case EBUSY:
		code = CTL_CONFLICT;
		break;
	case EACCES:
	case EPERM:
		code = CTL_NOT_PERMITTED;
		break;
	case ENOSPC:
	case EDQUOT:
		code = CTL_NO_SPACE;
		break;
	case ENOTBLK:
		return fail(CTL_FAILED,
			    "'%s' is neither a file nor a block device", path);
	default:
		code = CTL_FAILED;
	}
	if (error && strstr(error->text, path))
		return fail(code, "%s", error->text);
	return fail(code, "pool '%s': %s", path,
		    error && error->text[0] ? error->text : strerror(-err));
}

void target_release(struct target *t)
{
	free(t->socket);
	free(t->path);
}

static void target_set(struct target *t, json_t *ping)
{
	t->socket = strdup(out_get_text(ping, "socket"));
	t->path = strdup(out_get_text(ping, "path"));
	json_decref(ping);
}

/* No daemon answered for the mount of ours on @dir. */
static int fail_dir(const char *dir)
{
	if (host_dir_state(dir) == DIR_DEAD)
		return fail(CTL_UNREACHABLE,
			    "no daemon answers for the mount on '%s'; run "
			    "'dbs mount POOL %s' to replace it",
			    dir, dir);
	if (geteuid())
		return fail(CTL_NOT_PERMITTED,
			    "you may not control the pool mounted on '%s'; "
			    "ask for membership in its socket's group",
			    dir);
	return fail(CTL_UNREACHABLE,
		    "the daemon of the mount on '%s' does not answer in '%s'; "
		    "name its socket with --socket",
		    dir, CTL_RUN_DIR);
}

static int target_of_dir(const char *dir, struct target *t)
{
	struct host_mount mount;
	char *absolute = host_absolute(dir);
	json_t *ping = absolute ? daemon_of_dir(absolute) : NULL;
	bool ours = false;

	if (ping) {
		target_set(t, ping);
		free(absolute);
		return CTL_OK;
	}
	if (absolute && !host_mount_find(absolute, &mount)) {
		ours = host_mount_is_ours(&mount);
		host_mount_release(&mount);
	}
	free(absolute);
	if (ours)
		return fail_dir(dir);
	return fail(CTL_NOT_FOUND, "no pool is mounted on '%s'", dir);
}

static int target_of_name(const char *name, struct target *t)
{
	struct stat st;
	json_t *ping;

	if (!stat(name, &st)) {
		if (S_ISDIR(st.st_mode))
			return target_of_dir(name, t);
		ping = daemon_of_pool(name);
		if (ping)
			target_set(t, ping);
		else
			t->path = strdup(name);
		return CTL_OK;
	}
	if (errno == ENOTCONN || errno == ECONNABORTED)
		return target_of_dir(name, t);
	if (errno == ENOENT && !strchr(name, '/')) {
		ping = daemon_by("name", name);
		if (ping) {
			target_set(t, ping);
			return CTL_OK;
		}
		return fail(CTL_NOT_FOUND,
			    "no file and no mounted pool is called '%s'", name);
	}
	return fail_pool(name, -errno, NULL);
}

/* The first line of /etc/dbs/pool that is no comment; "" if there's none. */
static int target_of_config(struct target *t, bool *found)
{
	const char *dir = getenv("DBS_CONFIG_DIR");
	char file[PATH_MAX], line[PATH_MAX] = "";
	int code = CTL_OK;
	FILE *f;

	*found = false;
	snprintf(file, sizeof(file), "%s/pool", dir ? dir : DBS_CONFIG_DIR);
	f = fopen(file, "re");
	if (!f && errno == ENOENT)
		return CTL_OK;
	if (!f)
		return fail(CTL_CONFIG, "'%s': %m", file);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (line[strspn(line, " \t")] && line[0] != '#')
			break;
		line[0] = '\0';
	}
	fclose(f);
	if (line[0] != '/')
		return fail(CTL_CONFIG,
			    "'%s' must hold the absolute path of a pool", file);
	*found = true;
	if (access(line, F_OK))
		return fail(CTL_CONFIG, "'%s' names '%s': %m", file, line);
	code = target_of_name(line, t);
	return code;
}

static int target_only_mounted(const struct invocation *inv, struct target *t)
{
	json_t *list = daemon_list();
	size_t nr = json_array_size(list);

	if (!nr && access(CTL_RUN_DIR, R_OK | X_OK) && errno == EACCES) {
		json_decref(list);
		return fail(CTL_NOT_PERMITTED, "'%s': %m", CTL_RUN_DIR);
	}

	if (nr == 1)
		target_set(t, json_incref(json_array_get(list, 0)));
	json_decref(list);
	if (nr > 1)
		return fail_usage(
			inv->cmd,
			"%zu pools are mounted; say which with --pool", nr);
	if (!nr)
		return fail(CTL_UNREACHABLE,
			    "no pool is mounted, and none is named by --pool, "
			    "$DBS_POOL or %s/pool",
			    DBS_CONFIG_DIR);
	return CTL_OK;
}

int target_find(const struct invocation *inv, const char *pool,
		struct target *t)
{
	const char *socket = inv_value(inv, "socket");
	const char *env_socket = getenv("DBS_SOCKET");
	const char *env_pool = getenv("DBS_POOL");
	bool found;
	int code;

	*t = (struct target){0};
	if (!pool)
		pool = inv_value(inv, "pool");
	if (!pool && !socket && env_socket && *env_socket)
		socket = env_socket;
	if (socket) {
		t->socket = strdup(socket);
		return CTL_OK;
	}
	if (!pool && env_pool && *env_pool)
		pool = env_pool;
	if (pool)
		return target_of_name(pool, t);
	code = target_of_config(t, &found);
	if (code != CTL_OK || found)
		return code;
	return target_only_mounted(inv, t);
}

int client_default_path(const struct invocation *inv, const char *pool,
			char **path)
{
	struct target t;
	int code = target_find(inv, pool, &t);
	json_t *ping;

	*path = NULL;
	if (code == CTL_OK && !t.path) {
		ping = daemon_ping(t.socket);
		if (ping)
			target_set(&t, ping);
		else
			code = fail_socket(t.socket, -ECONNREFUSED);
	}
	if (code == CTL_OK) {
		*path = t.path;
		t.path = NULL;
	}
	target_release(&t);
	return code;
}
