/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/client.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/client_internal.h"
#include "tools/daemon.h"

struct client {
	int fd; /* of the socket; -1: the pool is our own */
	struct pool *pool;
	struct ctl_context ctx;
	char *path;
};

/* ---- calls --------------------------------------------------------------------------- */

static int open_pool(struct client *c, const char *path, bool read_only)
{
	struct pool_options options = {.read_only = read_only};
	struct store_error error = {0};
	int err = pool_open(path, &options, &c->pool, &error);

	if (err)
		return fail_pool(path, err, &error);
	if (error.text[0])
		note("pool '%s' can only be read: %s", path, error.text);
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
	int code, err = 0;

	*client = c;
	if (!c)
		return fail(CTL_FAILED, "out of memory");
	c->fd = -1;
	code = target_find(inv, pool, &t);
	if (code == CTL_OK && t.socket) {
		c->fd = daemon_connect(t.socket);
		/* without a path the socket was only named, not tried yet */
		if (c->fd >= 0 && !t.path)
			err = daemon_greet(c->fd);
		if (c->fd < 0 || err)
			code = fail_socket(t.socket, err ? err : c->fd);
	} else if (code == CTL_OK && inv->only_daemons) {
		code = CTL_UNREACHABLE;
	} else if (code == CTL_OK) {
		code = open_pool(c, t.path,
				 inv->reads || inv->cmd->flags & CMD_READS);
	}
	target_release(&t);
	if (code != CTL_OK) {
		client_close(c, code);
		*client = NULL;
	}
	return code;
}

bool client_is_local(const struct client *c)
{
	return c->fd < 0;
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
	json_t *request = daemon_request(command, arguments), *answer = NULL;
	int err = 0;

	*result = NULL;
	if (!request)
		return fail(CTL_FAILED, "out of memory");
	if (c->fd >= 0) {
		err = daemon_exchange(c->fd, request, &answer);
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
	return daemon_check(answer, result);
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
