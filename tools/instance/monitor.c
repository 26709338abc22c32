/* SPDX-License-Identifier: Apache-2.0 */
/* monitor.c - watches one server; monitor_run.c starts it and ends it */
#include "tools/instance/monitor.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fs/ctl_ops.h"
#include "tools/cmd.h"
#include "tools/instance/internal.h"
#include "tools/instance/keeper.h"
#include "tools/instance/monitor_internal.h"
#include "tools/out.h"

#define TICK_MS	   1000
#define REQUEST_MS 2000 /* for the line of who has connected */

/* ---- requests ---------------------------------------------------------------- */

void monitor_answer(struct monitor *m, int fd, json_t *answer)
{
	size_t len;
	char *line = ctl_answer_line(answer, &len);

	(void)m;
	/* a peer that has gone does not need it */
	if (line && send(fd, line, len, MSG_NOSIGNAL) < 0)
		keeper_say("an answer was not taken: %m");
	free(line);
	close(fd);
}

void monitor_answer_state(struct monitor *m, int fd)
{
	monitor_answer(m, fd,
		       json_pack("{s:i, s:b, s:o}", "v", CTL_VERSION, "ok", 1,
				 "result", monitor_state(m)));
}

static void request_stop(struct monitor *m, int fd, const json_t *arguments)
{
	m->wants_server = false;
	if (m->waiting_fd >= 0)
		close(m->waiting_fd);
	m->waiting_fd = fd;
	monitor_stop(m, out_get_bool(arguments, "kill"),
		     out_get_int(arguments, "timeout_ms"));
}

static void request_run(struct monitor *m, int fd, const json_t *request)
{
	const char *command = out_get_text(request, "command");
	const json_t *arguments = json_object_get(request, "arguments");

	if (!strcmp(command, "stop")) {
		request_stop(m, fd, arguments);
		return;
	}
	if (!strcmp(command, "start")) {
		monitor_reload(m);
		m->wants_server = true;
		m->crashes = 0;
		monitor_start(m);
	} else if (!strcmp(command, "exit")) {
		monitor_exit(m, out_get_bool(arguments, "failed"));
	} else if (strcmp(command, "status")) {
		monitor_answer(m, fd,
			       ctl_answer_error(CTL_USAGE,
						"a monitor knows no '%s'",
						command));
		return;
	}
	if (m->start_error)
		monitor_answer(
			m, fd,
			ctl_answer_error(CTL_FAILED, "%s", m->start_error));
	else
		monitor_answer_state(m, fd);
}

/* One line, which comes at once or not at all. */
static json_t *request_read(int fd)
{
	struct timeval tv = {.tv_sec = REQUEST_MS / 1000};
	char line[4096];
	size_t len = 0;
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
	do {
		n = recv(fd, line + len, sizeof(line) - len, 0);
		if (n > 0)
			len += (size_t)n;
	} while (n > 0 && line[len - 1] != '\n' && len < sizeof(line));
	return json_loadb(line, len, 0, NULL);
}

static void request_take(struct monitor *m)
{
	int fd = accept4(m->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t len = sizeof(peer);
	json_t *request;

	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ||
	    (peer.uid && peer.uid != geteuid())) {
		close(fd);
		return;
	}
	request = request_read(fd);
	if (json_is_object(request))
		request_run(m, fd, request);
	else
		close(fd);
	json_decref(request);
}

/* ---- set-up ------------------------------------------------------------------ */

static int listen_on(const struct instance *inst)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char path[PATH_MAX];
	int fd;

	instance_run_file(inst, "control", path);
	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	/* M1: whose it was is dead */
	unlink(path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	umask(0077);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    listen(fd, 16))
		return -errno;
	umask(0022);
	return fd;
}

static void signals_take(struct monitor *m)
{
	struct signalfd_siginfo info;

	if (read(m->signal_fd, &info, sizeof(info)) != sizeof(info) ||
	    info.ssi_signo != SIGTERM)
		return;
	/* the host shuts down: the server is told to, and we with it */
	keeper_say("asked to end by process %u", info.ssi_pid);
	m->wants_server = false;
	m->ends = true;
	monitor_stop(m, false, 0);
}

static int monitor_open(struct monitor *m, const char *name)
{
	char path[PATH_MAX];
	int code = instance_open(name, 0, &m->inst), err;

	if (code != CTL_OK)
		return code;
	err = instance_lock_file(instance_file(&m->inst, "monitor.lock", path),
				 &m->lock);
	if (err == -EAGAIN)
		return fail(CTL_CONFLICT, "instance '%s' has a monitor", name);
	if (err)
		return fail(CTL_FAILED, "'%s': %s", path, strerror(-err));
	m->listen_fd = listen_on(&m->inst);
	m->signal_fd = keeper_signals(0);
	if (m->listen_fd < 0 || m->signal_fd < 0)
		return fail(CTL_FAILED, "the monitor's socket: %s",
			    strerror(m->listen_fd < 0 ? -m->listen_fd : errno));
	return CTL_OK;
}

static void monitor_loop(struct monitor *m)
{
	while (!m->done) {
		struct pollfd fds[] = {
			{.fd = m->signal_fd, .events = POLLIN},
			{.fd = m->listen_fd, .events = POLLIN},
			{.fd = m->pid ? m->pid_fd : -1, .events = POLLIN},
		};
		int nr =
			poll(fds, ARRAY_SIZE(fds), monitor_timeout(m, TICK_MS));

		if (nr < 0 && errno != EINTR)
			break;
		/* first: when the host shuts down the server is told to as well,
		 * and that is no client's wish */
		if (nr > 0 && fds[0].revents)
			signals_take(m);
		if (nr > 0 && fds[2].revents)
			monitor_ended(m);
		if (nr > 0 && fds[1].revents)
			request_take(m);
		monitor_tick(m);
		if (m->ends && !m->pid)
			m->done = true;
	}
}

int monitor_main(const char *name)
{
	struct monitor m = {.listen_fd = -1,
			    .signal_fd = -1,
			    .pid_fd = -1,
			    .waiting_fd = -1,
			    .lock = -1,
			    .inst = {.lock = -1}};
	char path[PATH_MAX];
	int code = monitor_open(&m, name);

	if (code == CTL_OK) {
		monitor_adopt(&m);
		keeper_ready();
		monitor_loop(&m);
		unlink(instance_run_file(&m.inst, "control", path));
	}
	json_decref(m.last_exit);
	free(m.start_error);
	instance_close(&m.inst);
	return code;
}
