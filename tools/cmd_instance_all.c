/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_instance_all.c - one thing done with many instances at once
 *
 * Each is done by a process of its own: what a command says of one, and where
 * it ends, is the same as if it had been the only one.
 */
#include "tools/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/cmd_instance.h"
#include "tools/out.h"

struct task {
	pid_t pid;  /* 0: not begun, or over */
	int answer; /* a file in memory */
};

struct each {
	const struct invocation *inv;
	instance_fn *fn;
	const json_t *names;
	struct task *tasks; /* one a name */
	size_t begun, running;
	int worst;
};

static const char *name_of(const struct each *all, size_t i)
{
	return json_string_value(json_array_get(all->names, i));
}

_Noreturn static void run_task(const struct each *all, size_t i)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	json_t *item = NULL;
	char line[1024];
	int code;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	/* nobody can be asked by several at once */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		_exit(fail(CTL_FAILED, "'/dev/null': %m"));
	/* whole lines, since others write too */
	setvbuf(stderr, line, _IOLBF, sizeof(line));
	code = all->fn(all->inv, name_of(all, i), &item);
	if (item && json_dumpfd(item, all->tasks[i].answer, 0))
		code = fail(CTL_FAILED, "out of memory");
	fflush(stdout);
	fflush(stderr);
	_exit(code);
}

static void begin_task(struct each *all)
{
	size_t i = all->begun++;
	struct task *task = &all->tasks[i];

	task->answer = memfd_create("dbs", MFD_CLOEXEC);
	fflush(stdout);
	task->pid = task->answer < 0 ? -1 : fork();
	if (!task->pid)
		run_task(all, i);
	if (task->pid > 0) {
		all->running++;
		return;
	}
	task->pid = 0;
	all->worst = fail(CTL_FAILED, "instance '%s': %m", name_of(all, i));
}

/* Wait until any of them is over. */
static void end_task(struct each *all)
{
	int status, code;
	pid_t pid;

	do
		pid = waitpid(-1, &status, 0);
	while (pid < 0 && errno == EINTR);
	for (size_t i = 0; i < all->begun; i++) {
		if (pid <= 0 || all->tasks[i].pid != pid)
			continue;
		all->tasks[i].pid = 0;
		all->running--;
		code = WIFEXITED(status) ? WEXITSTATUS(status) : CTL_FAILED;
		all->worst = code == CTL_OK ? all->worst : code;
	}
	/* nobody is left, whatever we think */
	if (pid < 0)
		all->running = 0;
}

static json_t *answers(const struct each *all)
{
	json_t *items = json_array(), *item;

	for (size_t i = 0; i < all->begun; i++) {
		int fd = all->tasks[i].answer;

		if (fd < 0)
			continue;
		item = lseek(fd, 0, SEEK_SET) ? NULL : json_loadfd(fd, 0, NULL);
		if (item)
			json_array_append_new(items, item);
		close(fd);
	}
	return items;
}

int instance_each(const struct invocation *inv, const json_t *names,
		  instance_fn *fn, json_t **items)
{
	size_t nr = json_array_size(names);
	size_t most = (size_t)MAX_OF(get_nprocs(), 1);
	struct each all = {.inv = inv, .fn = fn, .names = names};

	*items = NULL;
	all.tasks = calloc(nr + 1, sizeof(*all.tasks));
	if (!all.tasks)
		return fail(CTL_FAILED, "out of memory");
	/* whoever ignores it would not see how they end */
	signal(SIGCHLD, SIG_DFL);
	while (all.begun < nr || all.running) {
		if (all.begun < nr && all.running < most)
			begin_task(&all);
		else
			end_task(&all);
	}
	*items = answers(&all);
	free(all.tasks);
	return all.worst;
}
