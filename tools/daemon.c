/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/daemon.h"

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
#include "tools/out.h"

/* A daemon that works answers a ping at once. */
#define PING_TIMEOUT_S 5

/* ---- the socket --------------------------------------------------------------- */

static void set_timeout(int fd, time_t seconds)
{
	struct timeval tv = {.tv_sec = seconds};

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

static int peer_of(int fd, struct ucred *cred)
{
	socklen_t len = sizeof(*cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &len) ? -errno : 0;
}

/*
 * Who is found by a ping is asked for more in a moment: the connection stays,
 * the last one only.  Under load a second one costs a command some
 * milliseconds (a thread of the daemon's, two more switches).
 */
static struct {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd;
} kept = {.fd = -1};

static void connection_keep(const char *path, int fd)
{
	if (kept.fd >= 0)
		close(kept.fd);
	kept.fd = fd;
	snprintf(kept.path, sizeof(kept.path), "%s", path);
}

static int connection_take(const char *path)
{
	int fd = kept.fd;

	if (fd < 0 || strcmp(kept.path, path))
		return -1;
	kept.fd = -1;
	return fd;
}

int daemon_connect(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct ucred peer;
	int fd = connection_take(path), err = 0;

	if (fd >= 0)
		return fd;
	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* one that hangs has its queue full at some time */
	set_timeout(fd, PING_TIMEOUT_S);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		err = errno == EAGAIN ? -ETIMEDOUT : -errno;
	else
		err = peer_of(fd, &peer);
	/* in a folder of others anyone could answer */
	if (!err && peer.uid)
		err = -EPERM;
	set_timeout(fd, 0);
	if (!err)
		return fd;
	close(fd);
	return err;
}

int fail_socket(const char *path, int err)
{
	if (err == -EACCES)
		return fail(CTL_NOT_PERMITTED, "socket '%s': %s", path,
			    strerror(-err));
	if (err == -EPERM)
		return fail(CTL_NOT_PERMITTED,
			    "socket '%s' is not one that a daemon of root "
			    "answers you on",
			    path);
	if (err == -EBUSY)
		return fail(CTL_CONFLICT,
			    "the daemon on '%s' is busy with too many "
			    "requests; try again",
			    path);
	if (err == -ECONNREFUSED)
		return fail(CTL_UNREACHABLE,
			    "socket '%s' is stale: no daemon listens there any "
			    "more; run 'dbs mount' again",
			    path);
	if (err == -ETIMEDOUT)
		return fail(CTL_TIMEOUT,
			    "the daemon on '%s' does not answer: it hangs, or "
			    "its disk does",
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

/* One line, without its newline, and no byte after it; the caller frees. */
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
		n = recv(fd, buf + len, cap - len - 1, MSG_PEEK);
		if (n > 0) {
			end = memchr(buf + len, '\n', (size_t)n);
			n = recv(fd, buf + len,
				 end ? (size_t)(end + 1 - (buf + len))
				     : (size_t)n,
				 MSG_WAITALL);
		}
		if (n < 0 && errno == EINTR) {
			end = NULL;
			continue;
		}
		if (n <= 0) {
			int err = n ? -errno : -ECONNRESET;

			free(buf);
			return err;
		}
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

int daemon_exchange(int fd, json_t *request, json_t **answer)
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
	/* who closes without reading may have said why before */
	if (!err || err == -EPIPE || err == -ECONNRESET)
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

json_t *daemon_request(const char *command, json_t *arguments)
{
	return json_pack("{s:i, s:s, s:o}", "v", CTL_VERSION, "command",
			 command, "arguments",
			 arguments ? arguments : json_object());
}

/* ---- daemons --------------------------------------------------------------------- */

/* On a connected socket, which has no timeout afterwards. */
static int ping(int fd, json_t **result)
{
	json_t *answer = NULL;
	int err;

	set_timeout(fd, PING_TIMEOUT_S);
	err = daemon_exchange(fd, daemon_request("ping", NULL), &answer);
	set_timeout(fd, 0);
	if (err)
		return err == -EAGAIN ? -ETIMEDOUT : err;
	*result = json_incref(json_object_get(answer, "result"));
	switch (out_get_int(answer, "code")) {
	case CTL_CONFLICT:
		err = -EBUSY;
		break;
	case CTL_NOT_PERMITTED:
		err = -EPERM;
		break;
	default:
		err = -EPROTO;
	}
	json_decref(answer);
	return *result ? 0 : err;
}

int daemon_greet(int fd)
{
	json_t *result;
	int err = ping(fd, &result);

	if (!err)
		json_decref(result);
	return err;
}

static int ping_path(const char *socket, json_t **result)
{
	int fd = daemon_connect(socket), err;

	if (fd < 0)
		return fd;
	err = ping(fd, result);
	if (err) {
		close(fd);
		return err;
	}
	json_object_set_new(*result, "socket", out_text(socket));
	connection_keep(socket, fd);
	return 0;
}

json_t *daemon_ping(const char *socket)
{
	json_t *result;

	return ping_path(socket, &result) ? NULL : result;
}

/* A killed daemon's: one that starts has no such file before it listens. */
static void forget_dead(const char *socket)
{
	if (!geteuid() && !unlink(socket))
		log_info("dead socket removed path=%s", socket);
}

json_t *daemon_list(void)
{
	json_t *list = json_array();
	struct dirent **names;
	char path[PATH_MAX];
	int nr = scandir(CTL_RUN_DIR, &names, NULL, alphasort);

	for (int i = 0; i < nr; i++) {
		json_t *ping;
		int err = -ENOTSOCK;

		snprintf(path, sizeof(path), "%s/%s", CTL_RUN_DIR,
			 names[i]->d_name);
		if (names[i]->d_type == DT_SOCK && names[i]->d_name[0] != '.')
			err = ping_path(path, &ping);
		if (!err)
			json_array_append_new(list, ping);
		else if (err == -ECONNREFUSED)
			forget_dead(path);
		free(names[i]);
	}
	if (nr >= 0)
		free(names);
	return list;
}

static bool same_file(const char *a, const char *b)
{
	struct stat x, y;

	if (stat(a, &x) || stat(b, &y))
		return false;
	if (S_ISBLK(x.st_mode) && S_ISBLK(y.st_mode))
		return x.st_rdev == y.st_rdev;
	return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Through the socket that the pool's UUID names. */
static json_t *daemon_by_uuid(const char *path)
{
	char socket[PATH_MAX];
	struct pool_stat st;

	if (pool_probe(path, &st, NULL) ||
	    ctl_socket_path(st.uuid, socket, sizeof(socket)))
		return NULL;
	return daemon_ping(socket);
}

/* Where the file itself cannot be read: ask all. */
static json_t *daemon_by_file(const char *path)
{
	json_t *list = daemon_list(), *ping, *found = NULL;
	size_t i;

	json_array_foreach(list, i, ping)
	{
		if (!found && same_file(out_get_text(ping, "path"), path))
			found = json_incref(ping);
	}
	json_decref(list);
	return found;
}

json_t *daemon_of_pool(const char *path)
{
	json_t *ping;

	if (access(path, R_OK))
		return daemon_by_file(path);
	ping = daemon_by_uuid(path);
	/* a copy of a pool's file has its UUID too */
	if (ping && !same_file(out_get_text(ping, "path"), path)) {
		json_decref(ping);
		ping = NULL;
	}
	return ping;
}

void daemon_forget(const char *pool)
{
	char path[PATH_MAX];
	struct pool_stat st;
	int fd;

	if (pool_probe(pool, &st, NULL) ||
	    ctl_socket_path(st.uuid, path, sizeof(path)))
		return;
	fd = daemon_connect(path);
	if (fd >= 0)
		close(fd);
	else if (fd == -ECONNREFUSED)
		forget_dead(path);
}

json_t *daemon_by(const char *key, const char *value)
{
	json_t *list = daemon_list(), *ping, *found = NULL;
	size_t i;

	json_array_foreach(list, i, ping)
	{
		const char *have = out_get_text(ping, key);

		if (!found && !strcmp(have, value))
			found = json_incref(ping);
	}
	json_decref(list);
	return found;
}

json_t *daemon_of_dir(const char *dir)
{
	return daemon_by("mountpoint", dir);
}

int daemon_check(json_t *answer, json_t **result)
{
	const char *text = out_get_text(answer, "error");
	int code;

	if (json_is_true(json_object_get(answer, "ok"))) {
		*result = json_incref(json_object_get(answer, "result"));
		json_decref(answer);
		if (!*result)
			return fail(CTL_FAILED, "an answer without a result");
		return CTL_OK;
	}
	code = (int)json_integer_value(json_object_get(answer, "code"));
	fail(code, "%s", *text ? text : "failed, and did not say why");
	json_decref(answer);
	return code ? code : CTL_FAILED;
}

int daemon_shutdown(const char *socket, bool lazy, int *fd, pid_t *pid)
{
	json_t *answer = NULL, *result;
	struct ucred peer;
	int err, code;

	*fd = daemon_connect(socket);
	if (*fd < 0)
		return fail_socket(socket, *fd);
	*pid = peer_of(*fd, &peer) ? 0 : peer.pid;
	err = daemon_exchange(
		*fd,
		daemon_request("shutdown", json_pack("{s:b}", "lazy", lazy)),
		&answer);
	if (err) {
		code = fail_socket(socket, err);
	} else if (out_get_int(answer, "code") == CTL_CONFLICT) {
		json_decref(answer);
		code = CTL_CONFLICT;
	} else {
		code = daemon_check(answer, &result);
	}
	if (code != CTL_OK) {
		close(*fd);
		return code;
	}
	json_decref(result);
	return CTL_OK;
}
