/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step.c - a step is 'dbs' with arguments, as a child process
 *
 * It is sent SIGTERM when we die (NI3), which an import cleans up on.  Its
 * stdout goes into memory and not through a pipe: a monitor that it leaves
 * behind may have inherited it, and no end of file would come.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/cmd.h"
#include "tools/nightly/nightly_internal.h"
#include "tools/out.h"

#define ANSWER_MAX (64u << 20)
#define SENTENCE   "dbs: "

/* linux/ioprio.h: of a process; no class, so that of its nice value */
#define IOPRIO_PROCESS 1
#define IOPRIO_NONE    0

struct child {
	pid_t pid;
	int pid_fd, err_fd, out_fd;
	char line[4096]; /* of stderr, as far as it has come */
	size_t len;
	char *sentence;
	bool told; /* it was sent a signal */
};

/* ---- the child ----------------------------------------------------------------- */

/* A server that it starts serves people, whatever the night's priority. */
static void take_normal_priority(void)
{
	if (getpriority(PRIO_PROCESS, 0) > 0)
		setpriority(PRIO_PROCESS, 0, 0);
	syscall(SYS_ioprio_set, IOPRIO_PROCESS, 0, IOPRIO_NONE);
}

_Noreturn static void exec_step(const struct child *c, const json_t *step,
				char *const argv[], int err, pid_t parent)
{
	const char *from = out_get_text(step, STEP_FROM);
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(CTL_FAILED);
	/* What a terminal sends is for us, who know what to do about it; and
	 * without one nobody is asked for a password. */
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (!strcmp(out_get_text(step, "kind"), "refresh"))
		take_normal_priority();
	if (*from && setenv(FROM_ENV, from, 1))
		_exit(CTL_FAILED);
	if (null < 0 || dup2(null, 0) < 0 || dup2(c->out_fd, 1) < 0 ||
	    dup2(err, 2) < 0)
		_exit(CTL_FAILED);
	execv("/proc/self/exe", argv);
	_exit(CTL_FAILED);
}

static char **argv_of(const json_t *step)
{
	const json_t *list = json_object_get(step, STEP_ARGV), *arg;
	char **argv = calloc(json_array_size(list) + 1, sizeof(*argv));
	size_t i;

	if (!argv)
		return NULL;
	json_array_foreach(list, i, arg) argv[i] =
		(char *)(uintptr_t)json_string_value(arg);
	return argv;
}

static int child_start(struct child *c, const json_t *step)
{
	char **argv = argv_of(step);
	pid_t parent = getpid();
	int fds[2] = {-1, -1};

	c->out_fd = memfd_create("dbs-nightly", MFD_CLOEXEC);
	if (!argv || c->out_fd < 0 || pipe2(fds, O_CLOEXEC)) {
		free(argv);
		return -errno;
	}
	c->err_fd = fds[0];
	fcntl(c->err_fd, F_SETFL, O_NONBLOCK);
	fflush(NULL);
	c->pid = fork();
	if (!c->pid)
		exec_step(c, step, argv, fds[1], parent);
	close(fds[1]);
	free(argv);
	if (c->pid < 0)
		return -errno;
	c->pid_fd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	return c->pid_fd < 0 ? -errno : 0;
}

static void child_release(struct child *c)
{
	/* only where it could not be watched */
	if (c->pid > 0) {
		kill(c->pid, SIGTERM);
		waitpid(c->pid, NULL, 0);
	}
	if (c->pid_fd >= 0)
		close(c->pid_fd);
	if (c->err_fd >= 0)
		close(c->err_fd);
	if (c->out_fd >= 0)
		close(c->out_fd);
	free(c->sentence);
}

/* ---- what it says ---------------------------------------------------------------- */

/* The last line that begins as errors do. */
static void end_line(struct child *c)
{
	c->line[c->len] = '\0';
	if (!strncmp(c->line, SENTENCE, strlen(SENTENCE))) {
		free(c->sentence);
		c->sentence = strdup(c->line + strlen(SENTENCE));
	}
	c->len = 0;
}

static void take_stderr(struct child *c)
{
	char buf[4096];
	ssize_t n;

	while ((n = read(c->err_fd, buf, sizeof(buf))) > 0) {
		fwrite(buf, 1, (size_t)n, stderr);
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] == '\n')
				end_line(c);
			else if (c->len + 1 < sizeof(c->line))
				c->line[c->len++] = buf[i];
		}
	}
	if (!n) {
		close(c->err_fd);
		c->err_fd = -1;
	}
}

static json_t *take_answer(const struct child *c)
{
	off_t len = lseek(c->out_fd, 0, SEEK_END);
	json_t *answer = NULL;
	char *text;

	if (len <= 0 || (uint64_t)len > ANSWER_MAX)
		return NULL;
	text = malloc((size_t)len);
	if (text && pread(c->out_fd, text, (size_t)len, 0) == len)
		answer = json_loadb(text, (size_t)len, 0, NULL);
	free(text);
	return answer;
}

/* ---- signals ----------------------------------------------------------------------- */

void step_take_signals(struct nightly *n)
{
	struct signalfd_siginfo info;

	while (read(n->signals, &info, sizeof(info)) == sizeof(info)) {
		note("stopping: %s", strsignal((int)info.ssi_signo));
		n->signal = (int)info.ssi_signo;
	}
}

/* The first ends an import, which cleans up; the second ends any step. */
static void tell_child(struct child *c, const json_t *step, bool again)
{
	if (!c->told &&
	    (again || !strcmp(out_get_text(step, "kind"), "import"))) {
		kill(c->pid, SIGTERM);
		c->told = true;
	}
}

/* ---- run ----------------------------------------------------------------------------- */

static int child_wait(struct nightly *n, struct child *c, const json_t *step)
{
	int status = 0;
	bool ended = false;

	while (!ended) {
		struct pollfd fds[] = {
			{.fd = c->pid_fd, .events = POLLIN},
			{.fd = c->err_fd, .events = POLLIN},
			{.fd = n->signals, .events = POLLIN},
		};
		int before = n->signal;

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			take_stderr(c);
		if (fds[2].revents) {
			step_take_signals(n);
			tell_child(c, step, before != 0);
		}
		ended = fds[0].revents != 0;
	}
	if (c->err_fd >= 0)
		take_stderr(c);
	if (c->len)
		end_line(c);
	if (waitpid(c->pid, &status, 0) == c->pid)
		c->pid = 0;
	return status;
}

static int code_of(int status, struct child *c)
{
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	free(c->sentence);
	if (asprintf(&c->sentence, "it was ended by signal %d (%s)",
		     WTERMSIG(status), strsignal(WTERMSIG(status))) < 0)
		c->sentence = NULL;
	return CTL_FAILED;
}

int step_run(struct nightly *n, json_t *step, struct step_said *said)
{
	struct child c = {.pid_fd = -1, .err_fd = -1, .out_fd = -1};
	int code, err = child_start(&c, step);

	*said = (struct step_said){NULL, NULL};
	if (err) {
		code = CTL_FAILED;
		if (asprintf(&said->error, "it cannot be started: %s",
			     strerror(-err)) < 0)
			said->error = NULL;
	} else {
		json_object_set_new(step, "pid", json_integer(c.pid));
		/* so that who comes after a kill waits for it */
		record_write(n);
		code = code_of(child_wait(n, &c, step), &c);
		said->answer = take_answer(&c);
		json_object_set_new(step, "pid", json_null());
		if (code != CTL_OK) {
			said->error = c.sentence;
			c.sentence = NULL;
		}
		if (code != CTL_OK && !said->error &&
		    asprintf(&said->error, "it ended with exit code %d", code) <
			    0)
			said->error = NULL;
	}
	child_release(&c);
	return code;
}

void step_said_release(struct step_said *said)
{
	json_decref(said->answer);
	free(said->error);
	*said = (struct step_said){NULL, NULL};
}
