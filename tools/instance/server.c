/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - finds, starts and ends a server */
#include "tools/instance/server.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/cmd.h"
#include "tools/host.h"

#define LOG_LINES_SHOWN 12
#define ARGS_MAX	512

/* ---- which one --------------------------------------------------------------- */

static bool is_script(const char *path)
{
	char head[2] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool script;

	if (fd < 0)
		return false;
	script = read(fd, head, 2) == 2 && head[0] == '#' && head[1] == '!';
	close(fd);
	return script;
}

/* What '@path --version' prints, one line; -errno, also where it fails. */
static int ask_version(const struct server_binary *bin, char *line, size_t cap)
{
	int fds[2], status;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (!pid) {
		dup2(fds[1], STDOUT_FILENO);
		close_range(STDERR_FILENO + 1, ~0u, 0);
		if (bin->script)
			execl(bin->path, bin->path, "--version", NULL);
		else
			execl(bin->path, bin->path, "--no-defaults",
			      "--version", NULL);
		_exit(127);
	}
	close(fds[1]);
	while (pid > 0 && len + 1 < cap &&
	       (n = read(fds[0], line + len, cap - len - 1)) > 0)
		len += (size_t)n;
	close(fds[0]);
	line[len] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -ECHILD;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -ENOEXEC;
}

/* "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on ..." */
static bool parse_version(struct server_binary *bin, const char *line)
{
	const char *ver = strstr(line, "Ver ");
	unsigned major, minor, patch = 0;

	if (!ver || sscanf(ver, "Ver %u.%u.%u", &major, &minor, &patch) < 2 ||
	    major > 999 || minor > 99 || patch > 99)
		return false;
	ver += strlen("Ver ");
	snprintf(bin->text, sizeof(bin->text), "%.*s",
		 (int)MIN_OF(strcspn(ver, " "), sizeof(bin->text) - 1), ver);
	bin->mariadb = strstr(line, "MariaDB") != NULL;
	bin->version = SERVER_VERSION(major, minor) + patch;
	return true;
}

static int server_probe(struct server_binary *bin)
{
	char line[512];

	if (access(bin->path, X_OK))
		return fail(errno == ENOENT ? CTL_NOT_FOUND : CTL_CONFIG,
			    "server '%s': %m", bin->path);
	bin->script = is_script(bin->path);
	if (ask_version(bin, line, sizeof(line)) || !parse_version(bin, line))
		return fail(CTL_CONFIG,
			    "'%s' is no server: '%s --version' does not tell "
			    "a version of MariaDB or MySQL",
			    bin->path, bin->path);
	return CTL_OK;
}

int server_find(const char *path, struct server_binary *bin)
{
	static const char *const known[] = {
		"/usr/sbin/mariadbd",	      "/usr/libexec/mariadbd",
		"/usr/local/bin/mariadbd",    "/usr/sbin/mysqld",
		"/usr/libexec/mysqld",	      "/usr/local/bin/mysqld",
		"/usr/local/mysql/bin/mysqld"};
	char *real;

	*bin = (struct server_binary){0};
	if (!path)
		path = getenv("DBS_SERVER");
	for (size_t i = 0; !path && i < ARRAY_SIZE(known); i++)
		if (!access(known[i], X_OK))
			path = known[i];
	if (!path || !*path)
		return fail(CTL_NOT_FOUND,
			    "no mariadbd or mysqld is installed here; install "
			    "one, or name it with --server");
	real = realpath(path, NULL);
	if (!real)
		return fail(errno == ENOENT ? CTL_NOT_FOUND : CTL_CONFIG,
			    "server '%s': %m", path);
	snprintf(bin->path, sizeof(bin->path), "%s", real);
	free(real);
	return server_probe(bin);
}

char *server_title(const struct server_binary *bin, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s %s", bin->mariadb ? "MariaDB" : "MySQL",
		 bin->text);
	return buf;
}

/* ---- its options ------------------------------------------------------------- */

/* A value in quotes, since '#' begins a comment; mysqld undoes escapes. */
static void write_option(FILE *f, const char *option)
{
	const char *equals = strchr(option, '=');

	if (!equals) {
		fprintf(f, "%s\n", option);
		return;
	}
	fprintf(f, "%.*s=\"", (int)(equals - option), option);
	for (const char *c = equals + 1; *c; c++) {
		if (*c == '\\' || *c == '"')
			fputc('\\', f);
		fputc(*c, f);
	}
	fputs("\"\n", f);
}

int server_write_options(const char *path, const json_t *options)
{
	char temp[PATH_MAX];
	json_t *option;
	size_t i;
	FILE *f;
	int fd;

	json_array_foreach(options, i, option)
	{
		if (strpbrk(json_string_value(option), "\r\n"))
			return fail(CTL_USAGE,
				    "a server's option cannot have a line "
				    "break in it");
	}
	snprintf(temp, sizeof(temp), "%s.new", path);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		  0644);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f)
		return fail(CTL_FAILED, "'%s': %m", temp);
	fchmod(fd, 0644); /* whatever the umask */
	fputs("# written by dbs at each start; see dbs-instance(1)\n"
	      "[mysqld]\n",
	      f);
	json_array_foreach(options, i, option)
		write_option(f, json_string_value(option));
	if (fclose(f) || rename(temp, path))
		return fail(CTL_FAILED, "'%s': %m", path);
	return CTL_OK;
}

/* ---- start ------------------------------------------------------------------- */

struct arguments {
	char *argv[ARGS_MAX];
	size_t nr;
};

static void argument_add(struct arguments *args, const char *fmt,
			 const char *text)
{
	if (args->nr + 1 < ARGS_MAX &&
	    asprintf(&args->argv[args->nr], fmt, text) >= 0)
		args->nr++;
}

static void arguments_make(const struct server_run *run, struct arguments *args)
{
	json_t *option;
	size_t i;

	argument_add(args, "%s", run->bin->path);
	if (run->bin->script) {
		json_array_foreach(run->options, i, option)
			argument_add(args, "--%s", json_string_value(option));
	} else {
		argument_add(args, "--defaults-file=%s", run->options_file);
	}
	/* the last, and by what it is known: V2 */
	argument_add(args, "--pid-file=%s", run->pid_file);
	args->argv[args->nr] = NULL;
}

static void arguments_release(struct arguments *args)
{
	while (args->nr)
		free(args->argv[--args->nr]);
}

static int enter_cgroup(const char *procs)
{
	int fd = open(procs, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, "0", 1) < 0)
		err = -errno;
	close(fd);
	return err;
}

static int become(const struct server_run *run)
{
	if (geteuid())
		return 0;
	if (setgroups(0, NULL) || setresgid(run->gid, run->gid, run->gid) ||
	    setresuid(run->uid, run->uid, run->uid))
		return -errno;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
}

/* In the child: what it inherits, then the program.  Returns only -errno. */
static int child_exec(const struct server_run *run, char *const *argv, int log)
{
	static char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
				    "LANG=C.UTF-8", "HOME=/nonexistent", NULL};
	struct rlimit core = {0, 0}, files;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), err;
	sigset_t none;

	if (null < 0)
		return -errno;
	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	setrlimit(RLIMIT_CORE, &core);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = MIN_OF(files.rlim_max, (rlim_t)65536);
		setrlimit(RLIMIT_NOFILE, &files);
	}
	umask(0077);
	if (dup2(null, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
	    dup2(log, STDERR_FILENO) < 0)
		return -errno;
	if (run->cgroup && (err = enter_cgroup(run->cgroup)))
		return err;
	if ((err = become(run)))
		return err;
	execve(run->bin->path, argv, env);
	return -errno;
}

/* Fork and exec; 0 or -errno, that of the exec too. */
static int fork_exec(const struct server_run *run, char *const *argv, int log,
		     pid_t *pid)
{
	int fds[2], err = 0;
	ssize_t n;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	*pid = fork();
	if (!*pid) {
		err = child_exec(run, argv, log);
		n = write(fds[1], &err, sizeof(err));
		_exit(n == sizeof(err) ? 127 : 126);
	}
	close(fds[1]);
	if (*pid < 0)
		err = -errno;
	else if (read(fds[0], &err, sizeof(err)) == sizeof(err))
		waitpid(*pid, NULL, 0);
	else
		err = 0;
	close(fds[0]);
	return err;
}

int server_spawn(const struct server_run *run, pid_t *pid)
{
	struct arguments args = {.nr = 0};
	int log, err;

	log = open(run->log,
		   O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		   0600);
	if (log < 0)
		return fail(CTL_FAILED, "'%s': %m", run->log);
	arguments_make(run, &args);
	err = args.nr + 1 < ARGS_MAX ? fork_exec(run, args.argv, log, pid)
				     : -E2BIG;
	arguments_release(&args);
	close(log);
	if (err)
		return fail(CTL_FAILED, "server '%s' cannot be started: %s",
			    run->bin->path, strerror(-err));
	return CTL_OK;
}

/* ---- is it there ------------------------------------------------------------- */

static bool has_argument(pid_t pid, const char *argument)
{
	size_t len = strlen(argument), got, at = 0;
	bool found = false;
	char path[64], *text;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	f = fopen(path, "re");
	text = malloc(65536);
	if (f && text) {
		got = fread(text, 1, 65535, f);
		text[got] = '\0';
		for (; !found && at + len <= got; at += strlen(text + at) + 1)
			found = !strcmp(text + at, argument);
	}
	if (f)
		fclose(f);
	free(text);
	return found;
}

/* Its effective user; the owner of its files is root where it cannot dump. */
static bool runs_as(pid_t pid, uid_t uid)
{
	unsigned real, effective;
	char path[64], line[256];
	bool same = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Uid: %u %u", &real, &effective) != 2)
			continue;
		same = effective == uid;
		break;
	}
	if (f)
		fclose(f);
	return same;
}

/* A zombie, which has no arguments, is not there any more. */
bool server_is(pid_t pid, const char *pid_file, uid_t uid)
{
	char argument[PATH_MAX + 16];

	if (pid <= 0)
		return false;
	snprintf(argument, sizeof(argument), "--pid-file=%s", pid_file);
	return has_argument(pid, argument) && runs_as(pid, uid);
}

pid_t server_find_running(const char *pid_file, uid_t uid)
{
	/* it stands in the server's own folder, and may be anything */
	int fd = open(pid_file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[32] = "";
	struct stat st;
	long pid = 0;

	if (fd < 0)
		return 0;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) &&
	    read(fd, text, sizeof(text) - 1) > 0)
		pid = strtol(text, NULL, 10);
	close(fd);
	if (pid <= 0 || pid > INT_MAX || !server_is((pid_t)pid, pid_file, uid))
		return 0;
	return (pid_t)pid;
}

pid_t server_scan(const char *pid_file, uid_t uid)
{
	DIR *proc = opendir("/proc");
	struct dirent *e;
	pid_t found = 0;

	while (proc && !found && (e = readdir(proc))) {
		long pid = strtol(e->d_name, NULL, 10);

		if (pid > 0 && pid != getpid() &&
		    server_is((pid_t)pid, pid_file, uid))
			found = (pid_t)pid;
	}
	if (proc)
		closedir(proc);
	return found;
}

int server_end(pid_t pid, int signal, uint64_t timeout_ms)
{
	if (kill(pid, signal) && errno == ESRCH)
		return CTL_OK;
	return host_wait_exit(pid, timeout_ms) ? CTL_TIMEOUT : CTL_OK;
}

/* ---- its log ----------------------------------------------------------------- */

/* MariaDB and MySQL both, in English whatever their messages' language. */
bool server_lost_port(const char *log, off_t offset)
{
	FILE *f = fopen(log, "re");
	bool lost = false;
	char *line = NULL;
	size_t cap = 0;

	if (!f)
		return false;
	if (!fseeko(f, 0, SEEK_END) && ftello(f) >= offset)
		fseeko(f, offset, SEEK_SET);
	else
		rewind(f);
	while (!lost && getline(&line, &cap, f) > 0)
		lost = strstr(line, "Bind on TCP/IP port") != NULL;
	free(line);
	fclose(f);
	return lost;
}

void server_show_log(const char *log, off_t offset)
{
	char *lines[LOG_LINES_SHOWN] = {NULL}, *line = NULL;
	size_t cap = 0, nr = 0;
	FILE *f = fopen(log, "re");

	if (!f)
		return;
	/* rotated meanwhile: all of it is new */
	if (fseeko(f, 0, SEEK_END) || ftello(f) < offset)
		offset = 0;
	fseeko(f, offset, SEEK_SET);
	while (getline(&line, &cap, f) > 0) {
		char **slot = &lines[nr++ % LOG_LINES_SHOWN];

		line[strcspn(line, "\n")] = '\0';
		free(*slot);
		*slot = strdup(line);
	}
	fclose(f);
	free(line);
	for (size_t i = 0; i < LOG_LINES_SHOWN; i++) {
		char *text = lines[(nr + i) % LOG_LINES_SHOWN];

		if (text)
			note("    %s", text);
		free(text);
	}
}
