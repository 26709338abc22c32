/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_call.c - starts a monitor and sends it requests */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/daemon.h"
#include "tools/instance/keeper.h"
#include "tools/instance/monitor.h"
#include "tools/out.h"

/* ---- start ------------------------------------------------------------------- */

int monitor_ensure(const struct instance *inst)
{
	char log[PATH_MAX];

	if (instance_monitored(inst) ||
	    keeper_start("__monitor", inst->name, instance_log(inst, log)))
		return CTL_OK;
	return fail(CTL_FAILED,
		    "the monitor of instance '%s' did not start; see '%s'",
		    inst->name, instance_log(inst, log));
}

/* ---- requests ---------------------------------------------------------------- */

static int connect_monitor(const struct instance *inst)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	char path[PATH_MAX];
	struct ucred peer;
	socklen_t len = sizeof(peer);
	int fd;

	instance_run_file(inst, "control", path);
	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len)) {
		int err = -errno;

		close(fd);
		return err;
	}
	if (peer.uid == geteuid() || !peer.uid)
		return fd;
	close(fd);
	return -EPERM;
}

bool monitor_answers(const struct instance *inst)
{
	const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};

	for (int i = 0; i < 1000 && instance_monitored(inst); i++) {
		int fd = connect_monitor(inst);

		if (fd >= 0) {
			close(fd);
			return true;
		}
		nanosleep(&pause, NULL);
	}
	return false;
}

static int fail_monitor(const struct instance *inst, int err)
{
	return fail(err == -EACCES || err == -EPERM ? CTL_NOT_PERMITTED
						    : CTL_UNREACHABLE,
		    "the monitor of instance '%s' does not answer: %s",
		    inst->name, strerror(-err));
}

int monitor_call(const struct instance *inst, const char *command,
		 json_t *arguments, json_t **result)
{
	json_t *answer = NULL, *state = NULL;
	int fd = connect_monitor(inst), err, code;

	if (fd < 0) {
		json_decref(arguments);
		return fail_monitor(inst, fd);
	}
	err = daemon_exchange(fd, daemon_request(command, arguments), &answer);
	close(fd);
	if (err)
		return fail_monitor(inst, err);
	code = daemon_check(answer, &state);
	if (code == CTL_OK && result)
		*result = state;
	else
		json_decref(state);
	return code;
}
