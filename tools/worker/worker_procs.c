/* SPDX-License-Identifier: Apache-2.0 */
/* worker_procs.c - which processes are a worker's (K3), and their end */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tools/instance/keeper.h"
#include "tools/out.h"
#include "tools/worker/worker_internal.h"

#define POLL_MS	    20
#define KILLED_MS   5000 /* for what was killed to be gone */
#define DEPTH_MAX   64
#define NS_PER_MS   UINT64_C(1000000)
#define ENVIRON_MAX (1u << 20)

struct proc {
	pid_t parent, session;
	uint64_t start;
	char state;
};

/* The command's name may have any byte in it: what counts is after it. */
static bool read_stat(pid_t pid, struct proc *p)
{
	char path[64], text[1024], *end;
	int fd, parent, session;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	end = strrchr(text, ')');
	if (!end || sscanf(end + 1,
			   " %c %d %*d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u "
			   "%*d %*d %*d %*d %*d %*d %" SCNu64,
			   &p->state, &parent, &session, &p->start) != 4)
		return false;
	p->parent = parent;
	p->session = session;
	return true;
}

uint64_t procs_start(pid_t pid)
{
	struct proc p;

	return pid > 0 && read_stat(pid, &p) && p.state != 'Z' ? p.start : 0;
}

const char *procs_boot(void)
{
	static char boot[64];
	FILE *f;

	if (*boot)
		return boot;
	f = fopen("/proc/sys/kernel/random/boot_id", "re");
	if (f && fgets(boot, sizeof(boot), f))
		boot[strcspn(boot, "\n")] = '\0';
	if (f)
		fclose(f);
	return boot;
}

bool procs_is(const json_t *state, pid_t pid, uint64_t start)
{
	const char *boot = out_get_text(state, "boot");

	/* an older monitor wrote none */
	if (*boot && strcmp(boot, procs_boot()))
		return false;
	return pid > 1 && start && procs_start(pid) == start;
}

/* Has it NAME=@value in the environment that it was started with? */
static bool has_variable(const char *text, size_t len, const char *name,
			 const char *value)
{
	size_t name_len = strlen(name);

	for (size_t at = 0; at < len; at += strlen(text + at) + 1)
		if (!strncmp(text + at, name, name_len) &&
		    text[at + name_len] == '=' &&
		    !strcmp(text + at + name_len + 1, value))
			return true;
	return false;
}

static bool is_marked(const struct procs *procs, pid_t pid)
{
	char path[64], number[16], *text;
	bool marked = false;
	size_t len = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	snprintf(number, sizeof(number), "%u", procs->number);
	f = fopen(path, "re");
	text = f ? malloc(ENVIRON_MAX + 1) : NULL;
	if (text) {
		len = fread(text, 1, ENVIRON_MAX, f);
		text[len] = '\0';
		marked = has_variable(text, len, KEEPER_MARK, procs->mark) &&
			 (!procs->number ||
			  has_variable(text, len, WORKER_NUMBER, number));
	}
	if (f)
		fclose(f);
	free(text);
	return marked;
}

static bool descends(pid_t pid, pid_t from)
{
	struct proc p;

	for (int i = 0; i < DEPTH_MAX && pid > 1; i++) {
		if (pid == from)
			return true;
		if (!read_stat(pid, &p))
			return false;
		pid = p.parent;
	}
	return false;
}

bool procs_have(const struct procs *procs, pid_t pid)
{
	struct proc p;

	if (!read_stat(pid, &p) || p.state == 'Z' || p.state == 'X')
		return false;
	for (size_t i = 0; i < procs->nr_leads; i++)
		if (procs->leads[i] && p.session == procs->leads[i])
			return true;
	if (procs->monitor && descends(p.parent, procs->monitor))
		return true;
	return is_marked(procs, pid);
}

/* Through a descriptor: the number may be another's by then. */
static bool signal_member(const struct procs *procs, pid_t pid, int signal)
{
	int fd;

	if (!procs_have(procs, pid))
		return false;
	if (!signal)
		return true;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return false;
	if (procs_have(procs, pid))
		syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
	close(fd);
	return true;
}

size_t procs_signal(const struct procs *procs, int signal)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	size_t nr = 0;

	while (dir && (e = readdir(dir))) {
		char *end;
		long pid = strtol(e->d_name, &end, 10);

		if (!*end && pid > 1 && pid != getpid())
			nr += signal_member(procs, (pid_t)pid, signal);
	}
	if (dir)
		closedir(dir);
	return nr;
}

bool procs_end(const struct procs *procs, int signal, uint64_t grace_ms,
	       void (*tick)(void *arg), void *arg)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};
	uint64_t end = now_ns() + grace_ms * NS_PER_MS;
	size_t nr = procs_signal(procs, signal);

	while (nr && now_ns() < end) {
		nanosleep(&pause, NULL);
		if (tick)
			tick(arg);
		nr = procs_signal(procs, 0);
	}
	end = now_ns() + KILLED_MS * NS_PER_MS;
	while (nr && now_ns() < end) {
		/* again and again: it may fork meanwhile */
		nr = procs_signal(procs, SIGKILL);
		nanosleep(&pause, NULL);
		if (tick)
			tick(arg);
	}
	return !nr;
}
