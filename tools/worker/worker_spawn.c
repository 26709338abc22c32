/* SPDX-License-Identifier: Apache-2.0 */
/* worker_spawn.c - starts one process of a worker as its user */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/instance/env.h"
#include "tools/instance/keeper.h"
#include "tools/out.h"
#include "tools/worker/worker_internal.h"

#define PATH_DEFAULT                                                           \
	"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Where a child stopped: what it tells its parent. */
struct trouble {
	int err;
	char at[32];
};

struct child {
	const struct worker *w;
	char **argv, **envp;
	uid_t uid;
	gid_t gid;
	const char *user, *directory;
	int out, error; /* fds */
};

/* ---- what it gets ------------------------------------------------------------------ */

static char **strings_of(const json_t *array)
{
	char **strings = calloc(json_array_size(array) + 1, sizeof(*strings));
	json_t *item;
	size_t i;

	if (!strings)
		return NULL;
	json_array_foreach(array, i, item) strings[i] =
		strdup(json_string_value(item));
	return strings;
}

static void strings_free(char **strings)
{
	for (size_t i = 0; strings && strings[i]; i++)
		free(strings[i]);
	free(strings);
}

/* "KEY=value" of each: the last of a key counts, so all are in one object. */
static char **environment_make(const struct worker *w,
			       const struct instance *inst, unsigned number,
			       const struct passwd *pw)
{
	const json_t *database = json_object_get(w->record, "database");
	json_t *access = instance_env(inst, json_string_value(database));
	json_t *all, *lines = json_array(), *value;
	char text[16], **envp;
	const char *key;

	if (!access) {
		json_decref(lines);
		return NULL;
	}
	snprintf(text, sizeof(text), "%u", number);
	all = json_pack("{s:s, s:s, s:s, s:s, s:s}", "PATH", PATH_DEFAULT,
			"LANG", "C.UTF-8", "HOME", pw->pw_dir, "USER",
			pw->pw_name, "LOGNAME", pw->pw_name);
	json_object_update(all, access);
	json_object_update(all, json_object_get(w->record, "environment"));
	json_object_set_new(all, KEEPER_MARK, json_string(w->files.dir));
	json_object_set_new(all, WORKER_NUMBER, json_string(text));
	json_object_foreach(all, key, value) json_array_append_new(
		lines, json_sprintf("%s=%s", key, json_string_value(value)));
	envp = strings_of(lines);
	json_decref(lines);
	json_decref(all);
	json_decref(access);
	return envp;
}

/* ---- in the child ------------------------------------------------------------------- */

static int become(const struct child *c, struct trouble *t)
{
	snprintf(t->at, sizeof(t->at), "user '%.20s'", c->user);
	if (geteuid() && c->uid != geteuid())
		return -EPERM;
	if (!geteuid() &&
	    (initgroups(c->user, c->gid) || setresgid(c->gid, c->gid, c->gid) ||
	     setresuid(c->uid, c->uid, c->uid)))
		return -errno;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

static void reset_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		if (i != SIGKILL && i != SIGSTOP)
			signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Returns only -errno. */
static int child_exec(const struct child *c, int report, struct trouble *t)
{
	/* the password is in its memory */
	const struct rlimit core = {0, 0};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), err;

	snprintf(t->at, sizeof(t->at), "its descriptors");
	setsid();
	reset_signals();
	umask(0022);
	setrlimit(RLIMIT_CORE, &core);
	if (null < 0 || dup2(null, 0) < 0 || dup2(c->out, 1) < 0 ||
	    dup2(c->error, 2) < 0)
		return -errno;
	/* 3 tells the parent, and is closed by the exec */
	if (report != 3 && dup3(report, 3, O_CLOEXEC) < 0)
		return -errno;
	close_range(4, ~0u, 0);
	err = become(c, t);
	if (err)
		return err;
	snprintf(t->at, sizeof(t->at), "its directory");
	if (chdir(c->directory))
		return -errno;
	snprintf(t->at, sizeof(t->at), "its command");
	environ = c->envp;
	execvpe(c->argv[0], c->argv, c->envp);
	return -errno;
}

static int fork_exec(const struct child *c, pid_t *pid, struct trouble *t)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	*pid = fork();
	if (!*pid) {
		struct trouble mine = {0};
		/* none of the low ones, which become the child's own */
		int report = fcntl(fds[1], F_DUPFD_CLOEXEC, 10);

		mine.err = report < 0 ? -errno : child_exec(c, report, &mine);
		_exit(write(3, &mine, sizeof(mine)) == sizeof(mine) ? 127
								    : 126);
	}
	close(fds[1]);
	if (*pid < 0)
		t->err = -errno;
	else if (read(fds[0], t, sizeof(*t)) == sizeof(*t))
		waitpid(*pid, NULL, 0);
	else
		t->err = 0;
	close(fds[0]);
	return t->err;
}

/* ---- from outside ------------------------------------------------------------------- */

static int open_log(const struct worker *w, const char *file)
{
	char path[PATH_MAX];
	int fd = open(worker_file(w, file, path),
		      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		      0640);

	/* not 0 to 2, which the child replaces one by one */
	if (fd >= 0 && fd < 10) {
		int high = fcntl(fd, F_DUPFD_CLOEXEC, 10);

		close(fd);
		fd = high;
	}
	return fd;
}

int worker_spawn(const struct worker *w, const struct instance *inst,
		 unsigned number, pid_t *pid, char *why, size_t cap)
{
	const char *user = out_get_text(w->record, "user");
	const struct passwd *pw = getpwnam(user);
	struct trouble t = {.err = 0};
	struct child c = {.w = w, .user = user};
	int err;

	if (!pw) {
		snprintf(why, cap, "there is no user '%s'", user);
		return -ENOENT;
	}
	c.uid = pw->pw_uid;
	c.gid = pw->pw_gid;
	c.directory = out_get_text(w->record, "directory");
	c.argv = strings_of(json_object_get(w->record, "command"));
	c.envp = environment_make(w, inst, number, pw);
	c.out = open_log(w, "stdout.log");
	c.error = open_log(w, "stderr.log");
	if (!c.argv || !c.envp || c.out < 0 || c.error < 0) {
		err = -EIO;
		snprintf(why, cap, "its environment or logs cannot be made");
	} else {
		err = fork_exec(&c, pid, &t);
		if (err)
			snprintf(why, cap, "%s: %s", t.at, strerror(-err));
	}
	if (c.out >= 0)
		close(c.out);
	if (c.error >= 0)
		close(c.error);
	strings_free(c.argv);
	strings_free(c.envp);
	return err;
}
