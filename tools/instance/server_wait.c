/* SPDX-License-Identifier: Apache-2.0 */
/* server_wait.c - waits until a server answers a query */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/cmd.h"
#include "tools/instance/server.h"
#include "tools/lib_mysql.h"
#include "tools/out.h"

#define POLL_MS 2

/* Errors of the account, as of the server's protocol (mysqld_error.h). */
#define DENIED	      1045
#define DENIED_PLUGIN 1698
#define LOCKED_MYSQL  3118
#define LOCKED_MARIA  4151

/*
 * 0 or the server's or client's error number, with its words in @text.
 * @connected: out, when it was connected, if it was
 */
static unsigned try_query(const struct server_access *access,
			  uint64_t *connected, char *text, size_t cap)
{
	MYSQL *sql = lib_mysql()->mysql_init(NULL);
	unsigned seconds = 10, no = 0, error = 0;
	MYSQL_RES *rows = NULL;
	bool ok;

	if (!sql)
		return 1;
	lib_mysql()->mysql_options(sql, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
	/* a server must not ask for our files */
	lib_mysql()->mysql_options(sql, MYSQL_OPT_LOCAL_INFILE, &no);
	ok = lib_mysql()->mysql_real_connect(sql, NULL, access->user,
					     access->password, NULL, 0,
					     access->socket, 0) != NULL;
	if (ok)
		*connected = now_ns();
	if (!ok || lib_mysql()->mysql_query(sql, "SELECT 1") ||
	    !(rows = lib_mysql()->mysql_store_result(sql))) {
		error = lib_mysql()->mysql_errno(sql)
				? lib_mysql()->mysql_errno(sql)
				: 1;
		snprintf(text, cap, "%s", lib_mysql()->mysql_error(sql));
	}
	if (rows)
		lib_mysql()->mysql_free_result(rows);
	lib_mysql()->mysql_close(sql);
	return error;
}

static bool is_not_there(const struct server_access *who)
{
	return faccessat(AT_FDCWD, who->socket, F_OK, 0) && errno == ENOENT;
}

static bool is_denied(unsigned error)
{
	return error == DENIED || error == DENIED_PLUGIN ||
	       error == LOCKED_MYSQL || error == LOCKED_MARIA;
}

int server_wait(const struct server_access *access, pid_t pid,
		uint64_t timeout_ms, struct server_times *times, bool *ended)
{
	uint64_t start = now_ns(), heard = 0;
	uint64_t end = start + timeout_ms * UINT64_C(1000000);
	struct pollfd process = {.events = POLLIN};
	char text[512] = "it does not listen";
	int code = CTL_TIMEOUT;
	unsigned error;

	*ended = false;
	process.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	while (process.fd >= 0 && now_ns() < end) {
		if (poll(&process, 1, POLL_MS) > 0) {
			*ended = true;
			break;
		}
		/* a client that is made for each look takes a fifth of a CPU */
		if (is_not_there(access))
			continue;
		error = try_query(access, &heard, text, sizeof(text));
		if (error && !is_denied(error))
			continue;
		code = error ? CTL_NOT_PERMITTED : CTL_OK;
		break;
	}
	if (process.fd < 0)
		*ended = true;
	else
		close(process.fd);
	if (times && heard) {
		times->start_ms = (double)(heard - start) / 1e6;
		times->query_ms = (double)(now_ns() - heard) / 1e6;
	}
	if (*ended)
		return CTL_FAILED;
	if (code == CTL_NOT_PERMITTED)
		return fail(code, "the server (pid %d) refuses '%s': %s",
			    (int)pid, access->user, text);
	if (code == CTL_TIMEOUT)
		return fail(code,
			    "the server (pid %d) does not answer after %g s: "
			    "%s",
			    (int)pid, (double)timeout_ms / 1000, text);
	return CTL_OK;
}
