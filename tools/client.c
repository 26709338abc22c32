/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/host.h"

/* A daemon that works answers a ping at once. */
#define PING_TIMEOUT_MS 5000

struct client {
	int fd; /* of the socket; -1: the pool is our own */
	struct pool *pool;
	struct ctl_context ctx;
	char *path;
};

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
	default:
		code = CTL_FAILED;
	}
	if (error && strstr(error->text, path))
		return fail(code, "%s", error->text);
	return fail(code, "pool '%s': %s", path,
		    error && error->text[0] ? error->text : strerror(-err));
}

/* ---- the socket --------------------------------------------------------------- */

static int socket_connect(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, err;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static int fail_socket(const char *path, int err)
{
	if (err == -EACCES || err == -EPERM)
		return fail(CTL_NOT_PERMITTED, "socket '%s': %s", path,
			    strerror(-err));
	if (err == -ECONNREFUSED)
		return fail(CTL_UNREACHABLE,
			    "socket '%s' is stale: no daemon listens there any "
			    "more; run 'dbs mount' again",
			    path);
	return fail(CTL_UNREACHABLE, "no daemon answers on '%s': %s", path,
		    strerror(-err));
}

static int send_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* One line, without its newline; the caller frees. */
static int receive_line(int fd, char **line)
{
	size_t len = 0, cap = 0;
	char *buf = NULL, *end = NULL;

	while (!end) {
		ssize_t n;

		if (cap - len < 2) {
			char *more = realloc(buf, cap = cap ? 2 * cap : 4096);

			if (!more)
				goto nomem;
			buf = more;
		}
		n = recv(fd, buf + len, cap - len - 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int err = n ? -errno : -ECONNRESET;

			free(buf);
			return err;
		}
		end = memchr(buf + len, '\n', (size_t)n);
		len += (size_t)n;
		buf[len] = '\0';
	}
	*end = '\0';
	*line = buf;
	return 0;
nomem:
	free(buf);
	return -ENOMEM;
}

/* Takes @request; @answer is the caller's.  -EPROTO: not an answer. */
static int exchange(int fd, json_t *request, json_t **answer)
{
	char *text = json_dumps(request, JSON_COMPACT), *line = NULL;
	size_t len = text ? strlen(text) : 0;
	int err = -ENOMEM;

	json_decref(request);
	if (!text)
		return err;
	if (len + 1 > CTL_REQUEST_MAX) {
		free(text);
		return -E2BIG;
	}
	text[len] = '\n'; /* json_dumps' NUL is not needed any more */
	err = send_all(fd, text, len + 1);
	free(text);
	if (!err)
		err = receive_line(fd, &line);
	if (err)
		return err;
	*answer = json_loads(line, 0, NULL);
	free(line);
	if (!json_is_object(*answer)) {
		json_decref(*answer);
		return -EPROTO;
	}
	return 0;
}

static json_t *request_new(const char *command, json_t *arguments)
{
	return json_pack("{s:i, s:s, s:o}", "v", CTL_VERSION, "command",
			 command, "arguments",
			 arguments ? arguments : json_object());
}

/* ---- daemons --------------------------------------------------------------------- */

json_t *daemon_ping(const char *socket)
{
	struct timeval tv = {.tv_sec = PING_TIMEOUT_MS / 1000};
	json_t *answer = NULL, *result;
	int fd = socket_connect(socket);

	if (fd < 0)
		return NULL;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	if (exchange(fd, request_new("ping", NULL), &answer))
		answer = NULL;
	close(fd);
	result = json_incref(json_object_get(answer, "result"));
	json_decref(answer);
	if (result)
		json_object_set_new(result, "socket", json_string(socket));
	return result;
}

json_t *daemon_list(void)
{
	json_t *list = json_array();
	struct dirent **names;
	char path[PATH_MAX];
	int nr = scandir(CTL_RUN_DIR, &names, NULL, alphasort);

	for (int i = 0; i < nr; i++) {
		json_t *ping = NULL;

		snprintf(path, sizeof(path), "%s/%s", CTL_RUN_DIR,
			 names[i]->d_name);
		if (names[i]->d_type == DT_SOCK)
			ping = daemon_ping(path);
		if (ping)
			json_array_append_new(list, ping);
		free(names[i]);
	}
	if (nr >= 0)
		free(names);
	return list;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	if (!a || !b || stat(a, &x) || stat(b, &y))
		return false;
	if (S_ISBLK(x.st_mode) && S_ISBLK(y.st_mode))
		return x.st_rdev == y.st_rdev;
	return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static const char *string_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

json_t *daemon_of_pool(const char *path)
{
	struct pool_stat st;
	char socket[PATH_MAX];
	json_t *ping;

	if (pool_probe(path, &st, NULL) ||
	    ctl_socket_path(st.uuid, socket, sizeof(socket)))
		return NULL;
	ping = daemon_ping(socket);
	/* a copy of a pool's file has its UUID too */
	if (ping && !same_file(string_of(ping, "path"), path)) {
		json_decref(ping);
		ping = NULL;
	}
	return ping;
}

/* The first mounted pool whose @key is @value, or NULL. */
static json_t *daemon_by(const char *key, const char *value)
{
	json_t *list = daemon_list(), *ping, *found = NULL;
	size_t i;

	json_array_foreach(list, i, ping)
	{
		const char *have = string_of(ping, key);

		if (!found && have && !strcmp(have, value))
			found = json_incref(ping);
	}
	json_decref(list);
	return found;
}

json_t *daemon_of_dir(const char *dir)
{
	return daemon_by("mountpoint", dir);
}

static pid_t peer_of(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return 0;
	return cred.pid;
}

static int check_answer(json_t *answer, json_t **result)
{
	const char *text = string_of(answer, "error");
	int code;

	if (json_is_true(json_object_get(answer, "ok"))) {
		*result = json_incref(json_object_get(answer, "result"));
		json_decref(answer);
		if (!*result)
			return fail(CTL_FAILED, "an answer without a result");
		return CTL_OK;
	}
	code = (int)json_integer_value(json_object_get(answer, "code"));
	fail(code, "%s", text ? text : "failed, and did not say why");
	json_decref(answer);
	return code ? code : CTL_FAILED;
}

int daemon_shutdown(const char *socket, bool lazy, int *fd, pid_t *pid)
{
	json_t *answer = NULL, *result;
	int err, code;

	*fd = socket_connect(socket);
	if (*fd < 0)
		return fail_socket(socket, *fd);
	*pid = peer_of(*fd);
	err = exchange(
		*fd, request_new("shutdown", json_pack("{s:b}", "lazy", lazy)),
		&answer);
	if (err)
		code = fail_socket(socket, err);
	else
		code = check_answer(answer, &result);
	if (code != CTL_OK) {
		close(*fd);
		return code;
	}
	json_decref(result);
	return CTL_OK;
}

/* ---- which pool --------------------------------------------------------------------- */

/* What a command line and its surroundings name: a socket, or a path. */
struct target {
	char *socket, *path;
};

static void target_release(struct target *t)
{
	free(t->socket);
	free(t->path);
}

static void target_set(struct target *t, json_t *ping)
{
	const char *path = string_of(ping, "path");

	t->socket = strdup(string_of(ping, "socket"));
	t->path = path ? strdup(path) : NULL;
	json_decref(ping);
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
		return fail(CTL_UNREACHABLE,
			    "no daemon answers for the mount on '%s'; run "
			    "'dbs mount POOL %s' to replace it",
			    dir, dir);
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

static int target_find(const struct invocation *inv, const char *pool,
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

/* ---- calls --------------------------------------------------------------------------- */

static int open_pool(struct client *c, const char *path, bool read_only)
{
	struct pool_options options = {.read_only = read_only};
	struct store_error error = {0};
	int err = pool_open(path, &options, &c->pool, &error);

	if (err)
		return fail_pool(path, err, &error);
	c->path = realpath(path, NULL);
	if (!c->path)
		c->path = strdup(path);
	c->ctx.pool = c->pool;
	c->ctx.pool_path = c->path;
	return CTL_OK;
}

int client_open(const struct invocation *inv, const char *pool,
		struct client **client)
{
	struct client *c = calloc(1, sizeof(*c));
	struct target t = {0};
	int code;

	*client = c;
	if (!c)
		return fail(CTL_FAILED, "out of memory");
	c->fd = -1;
	code = target_find(inv, pool, &t);
	if (code == CTL_OK && t.socket) {
		c->fd = socket_connect(t.socket);
		if (c->fd < 0)
			code = fail_socket(t.socket, c->fd);
	} else if (code == CTL_OK && inv->only_daemons) {
		code = CTL_UNREACHABLE;
	} else if (code == CTL_OK) {
		code = open_pool(c, t.path, inv->cmd->flags & CMD_READS);
	}
	target_release(&t);
	if (code != CTL_OK) {
		client_close(c, code);
		*client = NULL;
	}
	return code;
}

int client_close(struct client *c, int code)
{
	int err = 0;

	if (!c)
		return code;
	if (c->fd >= 0)
		close(c->fd);
	if (c->pool)
		err = pool_close(c->pool);
	if (err && code == CTL_OK)
		code = fail_pool(c->path, err, NULL);
	free(c->path);
	free(c);
	return code;
}

int client_call(struct client *c, const char *command, json_t *arguments,
		json_t **result)
{
	json_t *request = request_new(command, arguments), *answer = NULL;
	int err = 0;

	*result = NULL;
	if (!request)
		return fail(CTL_FAILED, "out of memory");
	if (c->fd >= 0) {
		err = exchange(c->fd, request, &answer);
	} else {
		answer = ctl_execute(&c->ctx, request);
		json_decref(request);
		if (!answer)
			err = -ENOMEM;
	}
	if (err == -E2BIG)
		return fail(CTL_USAGE, "too many names for one request");
	if (err == -EPIPE || err == -ECONNRESET)
		return fail(CTL_UNREACHABLE,
			    "the daemon closed the connection without an "
			    "answer");
	if (err)
		return fail(CTL_FAILED, "%s: %s", command, strerror(-err));
	return check_answer(answer, result);
}

int client_call_once(const struct invocation *inv, const char *pool,
		     const char *command, json_t *arguments, json_t **result)
{
	struct client *c;
	int code = client_open(inv, pool, &c);

	if (code != CTL_OK) {
		json_decref(arguments);
		return code;
	}
	code = client_call(c, command, arguments, result);
	code = client_close(c, code);
	if (code != CTL_OK && *result) {
		json_decref(*result);
		*result = NULL;
	}
	return code;
}
