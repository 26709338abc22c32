/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/daemon.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "fs/host_path.h"

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif

/* What the child tells the parent, once; it fits a pipe's atomic write. */
struct verdict {
	int code;
	char text[1024];
};

static int verdict_fd = -1; /* the child's end; -1: nobody waits */

/* -- background ----------------------------------------------------------- */

_Noreturn static void parent_wait(int fd, pid_t child)
{
	struct verdict v = {0};
	ssize_t n;

	do
		n = read(fd, &v, sizeof(v));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(v)) {
		fprintf(stderr, "dbsfs: the daemon died while it started; see "
				"the system log\n");
		waitpid(child, NULL, WNOHANG);
		_exit(CTL_FAILED);
	}
	v.text[sizeof(v.text) - 1] = '\0';
	if (v.text[0])
		fprintf(stderr, "dbsfs: %s%s\n",
			v.code ? "" : "warning: ", v.text);
	_exit(v.code);
}

void daemon_fork(void)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		daemon_fail(CTL_FAILED, "cannot make a pipe: %s",
			    strerror(errno));
	pid = fork();
	if (pid < 0)
		daemon_fail(CTL_FAILED, "cannot start a process: %s",
			    strerror(errno));
	if (pid > 0) {
		close(fds[1]);
		parent_wait(fds[0], pid);
	}
	close(fds[0]);
	verdict_fd = fds[1];
	setsid();
	if (chdir("/"))
		daemon_fail(CTL_FAILED, "cannot go to '/': %s",
			    strerror(errno));
}

static void verdict_send(const struct verdict *v)
{
	if (write(verdict_fd, v, sizeof(*v)) < 0)
		syslog(LOG_WARNING, "nobody waits for the mount");
	close(verdict_fd);
	verdict_fd = -1;
}

/* sd_notify(3), by hand. */
static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	size_t len;
	int fd;

	if (!path || (*path != '/' && *path != '@'))
		return;
	len = strlen(path);
	if (len >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, len);
	if (*path == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (sendto(fd, state, strlen(state), MSG_NOSIGNAL,
		   (struct sockaddr *)&addr,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) <
	    0)
		log_warn("systemd was not notified errno=%d", errno);
	close(fd);
}

/* A path may have been given with a newline or worse in it. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if (iscntrl((unsigned char)*text))
			*text = '?';
}

void daemon_ready(const char *warning)
{
	struct verdict ok = {0};
	char state[64];
	int null;

	snprintf(ok.text, sizeof(ok.text), "%s", warning);
	make_printable(ok.text);

	if (verdict_fd >= 0) {
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (null >= 0) {
			dup2(null, STDIN_FILENO);
			dup2(null, STDOUT_FILENO);
			dup2(null, STDERR_FILENO);
			if (null > STDERR_FILENO)
				close(null);
		}
		verdict_send(&ok);
	}
	snprintf(state, sizeof(state), "READY=1\nMAINPID=%d\n", getpid());
	notify(state);
}

void daemon_stopping(void)
{
	notify("STOPPING=1\n");
}

void daemon_fail(enum ctl_code code, const char *fmt, ...)
{
	struct verdict v = {.code = (int)code};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v.text, sizeof(v.text), fmt, ap);
	va_end(ap);
	make_printable(v.text);
	if (verdict_fd >= 0)
		verdict_send(&v);
	else
		fprintf(stderr, "dbsfs: %s\n", v.text);
	exit((int)code);
}

/* -- log ------------------------------------------------------------------ */

static void log_to_syslog(enum log_level level, const char *text)
{
	static const int priorities[] = {
		[LOG_LEVEL_ERROR] = LOG_ERR,
		[LOG_LEVEL_WARN] = LOG_WARNING,
		[LOG_LEVEL_INFO] = LOG_INFO,
		[LOG_LEVEL_DEBUG] = LOG_DEBUG,
	};

	syslog(priorities[level], "%s", text);
}

static void log_to_stderr(enum log_level level, const char *text)
{
	static const char *const names[] = {
		[LOG_LEVEL_ERROR] = "error",
		[LOG_LEVEL_WARN] = "warning",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug",
	};

	fprintf(stderr, "dbsfs: %s: %s\n", names[level], text);
}

void daemon_log_open(bool foreground, enum log_level level)
{
	if (!foreground)
		openlog("dbsfs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	log_set_sink(foreground ? log_to_stderr : log_to_syslog);
	log_set_level(level);
}

/* -- limits and privileges ------------------------------------------------ */

void daemon_set_limits(void)
{
	const struct rlimit none = {0, 0};
	int fd;

	setrlimit(RLIMIT_CORE, &none);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* memory for our I/O must not wait for pages that only we can write */
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		log_info("io flusher not set errno=%d", errno);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "-900", 4) != 4)
		log_info("oom score not set errno=%d", errno);
	if (fd >= 0)
		close(fd);
}

/*
 * mount(2) and umount2(2); and them, and the removal of the socket and the pid
 * file, in a directory that is closed to others than its owner
 */
#define CAPS_KEPT (1u << CAP_SYS_ADMIN | 1u << CAP_DAC_OVERRIDE)

static bool dropped;

/* The calling thread's. */
static void caps_set(uint32_t effective)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = {
		{.effective = effective, .permitted = CAPS_KEPT},
	};

	if (syscall(SYS_capset, &head, data))
		log_warn("capabilities not set errno=%d", errno);
}

void daemon_drop_privileges(void)
{
	for (unsigned long cap = 0; cap < 64; cap++)
		if (cap >= 32 || !(CAPS_KEPT & 1u << cap))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	caps_set(0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	dropped = true;
}

void daemon_raise_privileges(void)
{
	if (dropped)
		caps_set(CAPS_KEPT);
}

void daemon_lower_privileges(void)
{
	if (dropped)
		caps_set(0);
}

/* What the C library, sanitizers and our tests may ask for later. */
static bool is_needed(const char *variable)
{
	static const char *const prefixes[] = {
		"NOTIFY_SOCKET=", "PATH=",	   "TZ=",
		"DBS_",		  "LD_",	   "GCOV_",
		"ASAN_OPTIONS=",  "LSAN_OPTIONS=", "TSAN_OPTIONS=",
		"UBSAN_OPTIONS=",
	};

	for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++)
		if (strncmp(variable, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

void daemon_forget_environment(void)
{
	char **from, **to;

	for (from = to = environ; *from; from++) {
		if (is_needed(*from))
			*to++ = *from;
		else
			explicit_bzero(*from, strlen(*from));
	}
	*to = NULL;
}

/* -- pid file ------------------------------------------------------------- */

static int write_pid_at(int dir, const char *base)
{
	char text[32];
	int fd, n, rc = 0;

	/* a new file, whatever is there: a link might lead elsewhere */
	if (unlinkat(dir, base, 0) && errno != ENOENT)
		return -errno;
	fd = openat(dir, base,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	n = snprintf(text, sizeof(text), "%d\n", getpid());
	if (write(fd, text, (size_t)n) != n)
		rc = -errno;
	return close(fd) && rc == 0 ? -errno : rc;
}

int daemon_write_pid(const char *path, int *dir)
{
	const char *base;
	int rc;

	*dir = host_path_open_parent(path, &base);
	if (*dir < 0)
		return *dir;
	rc = write_pid_at(*dir, base);
	if (rc) {
		close(*dir);
		*dir = -1;
	}
	return rc;
}

void daemon_remove_pid(const char *path, int dir)
{
	daemon_raise_privileges();
	unlinkat(dir, strrchr(path, '/') + 1, 0);
	daemon_lower_privileges();
	close(dir);
}
