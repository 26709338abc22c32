/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/instance/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/out.h"

#define READY_FD 3

/* ---- start ----------------------------------------------------------------------- */

/* In the child: nothing of ours but @report, for the byte that says ready. */
_Noreturn static void exec_monitor(const char *word, const char *name,
				   const char *log, int report)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int out = open(log,
		       O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		       0640);

	setsid();
	/* onto itself dup2(2) would leave it closed by the exec */
	if (report == READY_FD)
		report = dup(report);
	if (null < 0 || out < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 ||
	    dup2(out, 2) < 0 || dup2(report, READY_FD) < 0)
		_exit(CTL_FAILED);
	close_range(READY_FD + 1, ~0u, 0);
	unsetenv("NOTIFY_SOCKET");
	/* a worker may have run the command */
	unsetenv(KEEPER_MARK);
	if (chdir("/"))
		_exit(CTL_FAILED);
	execl("/proc/self/exe", "dbs", word, name, NULL);
	_exit(CTL_FAILED);
}

bool keeper_start(const char *word, const char *name, const char *log)
{
	int fds[2];
	ssize_t n;
	pid_t pid;
	char byte;

	if (pipe2(fds, O_CLOEXEC))
		return false;
	pid = fork();
	if (!pid)
		exec_monitor(word, name, log, fds[1]);
	close(fds[1]);
	do
		n = pid > 0 ? read(fds[0], &byte, 1) : -1;
	while (n < 0 && pid > 0 && errno == EINTR);
	if (n != 1 && pid > 0)
		waitpid(pid, NULL, 0);
	close(fds[0]);
	return n == 1;
}

void keeper_ready(void)
{
	if (write(READY_FD, "", 1) == 1)
		close(READY_FD);
}

/* ---- in the monitor -------------------------------------------------------------- */

int keeper_signals(int also)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (also)
		sigaddset(&set, also);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

void keeper_say(const char *fmt, ...)
{
	char now[OUT_TEXT_MAX], text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* one write: what is watched appends to the same file */
	dprintf(STDERR_FILENO, "%s dbs: %s\n", out_time(now, time(NULL)), text);
}

void keeper_write_state(const struct instance *inst, json_t *state)
{
	if (instance_write_json(inst, "state.json", 0644, state) != CTL_OK)
		keeper_say("state.json was not written");
	json_decref(state);
}

json_t *keeper_exit(const int *status)
{
	bool killed = status && WIFSIGNALED(*status);
	int code = !status  ? 0
		   : killed ? WTERMSIG(*status)
			    : WEXITSTATUS(*status);
	char now[OUT_TEXT_MAX], text[128];

	if (killed)
		snprintf(text, sizeof(text), "was killed by signal %d (%s)",
			 code, strsignal(code));
	else if (status)
		snprintf(text, sizeof(text), "ended with exit code %d", code);
	else
		snprintf(text, sizeof(text), "ended, nobody knows how");
	return json_pack("{s:s, s:o, s:o, s:s}", "time",
			 out_time(now, time(NULL)), "code",
			 status && !killed ? json_integer(code) : json_null(),
			 "signal", killed ? json_integer(code) : json_null(),
			 "text", text);
}

uint64_t keeper_wait_ms(unsigned nr)
{
	uint64_t ms = KEEPER_RETRY_MIN_MS;

	for (unsigned i = 1; i < nr && ms < KEEPER_RETRY_MAX_MS; i++)
		ms *= 2;
	return MIN_OF(ms, (uint64_t)KEEPER_RETRY_MAX_MS);
}
