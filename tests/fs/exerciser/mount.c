/* SPDX-License-Identifier: Apache-2.0 */
/* mount.c - the pool and its daemon: made, mounted, asked, killed, checked */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "tests/fs/exerciser/ex.h"

#define POOL_BYTES ((uint64_t)4 << 30)

static void print(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "check: %s\n", text);
}

void ex_check(struct ex_run *run)
{
	struct check_options options = {.data = true, .report = print};
	struct store_error error = {.text = ""};
	struct check_result result;
	int rc;

	rc = check_pool(run->pool, &options, &result, &error);
	if (rc || result.nr_errors || result.blocks_leaked)
		ex_fail_run(run, "check: rc %d %s, %ju errors, %ju leaked", rc,
			    error.text, (uintmax_t)result.nr_errors,
			    (uintmax_t)result.blocks_leaked);
}

void ex_pool_create(struct ex_run *run)
{
	struct pool_create_options create = {
		.name = "exerciser", .size = POOL_BYTES, .sparse = true};
	struct store_error error = {.text = ""};

	unlink(run->pool);
	if (pool_create(run->pool, &create, &error))
		ex_fail_run(run, "create of the pool: %s", error.text);
}

/* -- the daemon ------------------------------------------------------------ */

static pid_t daemon_pid(const struct ex_run *run)
{
	FILE *f = fopen(run->pid_file, "r");
	int pid = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%d", &pid) != 1)
		pid = 0;
	fclose(f);
	return pid;
}

/* It belongs to us since we are a subreaper. */
static void wait_gone(struct ex_run *run, pid_t pid)
{
	int status = 0;

	if (pid > 0 && waitpid(pid, &status, 0) != pid && errno != ECHILD)
		ex_fail_run(run, "wait for the daemon: %s", strerror(errno));
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		ex_fail_run(run, "the daemon ended by signal %d",
			    WTERMSIG(status));
	if (WIFEXITED(status) && WEXITSTATUS(status))
		ex_fail_run(run, "the daemon ended with %d",
			    WEXITSTATUS(status));
}

void ex_mount(struct ex_run *run)
{
	char socket_arg[PATH_MAX + 32], pid_arg[PATH_MAX + 32], commit[64];
	pid_t pid;
	int status;

	snprintf(socket_arg, sizeof(socket_arg), "--socket=%s", run->socket);
	snprintf(pid_arg, sizeof(pid_arg), "--pid-file=%s", run->pid_file);
	snprintf(commit, sizeof(commit), "--commit-interval=%u",
		 run->s.commit_ms);
	pid = fork();
	MUST(pid >= 0);
	if (pid == 0) {
		execl(run->s.dbsfs, run->s.dbsfs, socket_arg, pid_arg, commit,
		      "--cache-size=8M", run->pool, run->mount, NULL);
		perror(run->s.dbsfs);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
	    WEXITSTATUS(status))
		ex_fail_run(run, "the pool cannot be mounted (status %#x)",
			    (unsigned)status);
}

void ex_unmount(struct ex_run *run)
{
	const pid_t pid = daemon_pid(run);

	if (umount2(run->mount, 0))
		ex_fail_run(run, "umount: %s", strerror(errno));
	wait_gone(run, pid);
}

void ex_kill(struct ex_run *run)
{
	const pid_t pid = daemon_pid(run);

	if (pid <= 0 || kill(pid, SIGKILL))
		ex_fail_run(run, "kill of the daemon: %s", strerror(errno));
	wait_gone(run, pid);
	for (unsigned i = 0; i < run->s.workers; i++)
		ex_handles_close_all(&run->w[i]);
	if (umount2(run->mount, MNT_DETACH))
		ex_fail_run(run, "umount of what is dead: %s", strerror(errno));
}

/* -- its control socket ---------------------------------------------------- */

static int connect_to(struct ex_run *run)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(run->socket) >= sizeof(addr.sun_path))
		ex_fail_run(run, "'%s' is too long a name", run->socket);
	strcpy(addr.sun_path, run->socket);
	if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		ex_fail_run(run, "connect: %s", strerror(errno));
	return fd;
}

static int code_of(struct ex_run *run, const char *answer)
{
	const char *code = strstr(answer, "\"code\":");

	if (strstr(answer, "\"ok\":true"))
		return 0;
	if (!code)
		ex_fail_run(run, "not an answer: %s", answer);
	return atoi(code + strlen("\"code\":"));
}

int ex_ask(struct ex_run *run, char *answer, size_t cap, const char *command,
	   const char *fmt, ...)
{
	char own[4096], args[1024], request[2048];
	const int fd = connect_to(run);
	size_t have = 0;
	va_list ap;
	ssize_t n;
	int len;

	if (!answer) {
		answer = own;
		cap = sizeof(own);
	}
	va_start(ap, fmt);
	vsnprintf(args, sizeof(args), fmt, ap);
	va_end(ap);
	len = snprintf(request, sizeof(request),
		       "{\"v\":1,\"command\":\"%s\",\"arguments\":{%s}}\n",
		       command, args);
	for (char *p = request; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	if (write(fd, request, (size_t)len) != len)
		ex_fail_run(run, "the daemon does not listen");
	do {
		n = read(fd, answer + have, cap - 1 - have);
		if (n <= 0)
			ex_fail_run(run, "the daemon does not answer '%s %s'",
				    command, args);
		have += (size_t)n;
	} while (answer[have - 1] != '\n' && have < cap - 1);
	close(fd);
	answer[have] = '\0';
	return code_of(run, answer);
}
