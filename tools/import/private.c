/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/cmd.h"
#include "tools/host.h"
#include "tools/import/private_internal.h"

#define START_MS UINT64_C(300000)
#define STOP_MS	 UINT64_C(3600000)

#define POOL_MIN   (UINT64_C(256) << 20)
#define POOL_TIMES 8 /* a packed dump's size */

/* ---- folder and lock ------------------------------------------------------ */

static int make_dir(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) && errno != EEXIST)
		return fail(errno == EACCES ? CTL_NOT_PERMITTED : CTL_FAILED,
			    "'%s': %m", path);
	if (lstat(path, &st) || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return fail(CTL_FAILED, "'%s' is not a folder of ours", path);
	return CTL_OK;
}

void private_path(char out[PATH_MAX], const char *dir, const char *file)
{
	if (snprintf(out, PATH_MAX, "%s/%s", dir, file) >= PATH_MAX)
		out[0] = '\0';
}

static int make_dirs(struct private_server *p, const char *name)
{
	const char *top = getenv("DBS_STATE_DIR");
	char path[PATH_MAX];
	int code;

	if (!top || !*top)
		top = "/var/lib/dbs";
	code = make_dir(top, 0755);
	private_path(p->top, top, "import");
	if (code == CTL_OK)
		code = make_dir(p->top, 0755);
	private_path(p->dir, p->top, name);
	if (code == CTL_OK)
		code = make_dir(p->dir, 0755);
	private_path(path, p->dir, "server");
	private_path(p->socket, path, "mysql.sock");
	private_path(p->pid_file, path, "pid");
	private_path(p->log, p->dir, "server.log");
	private_path(p->options, p->dir, "my.cnf");
	if (code == CTL_OK && strlen(p->socket) > SERVER_SOCKET_MAX)
		return fail(CTL_CONFIG,
			    "'%s' is too long for a socket; choose a shorter "
			    "$DBS_STATE_DIR",
			    p->socket);
	/* root of the server has no password: nobody else gets at its socket */
	if (code == CTL_OK &&
	    ((mkdir(path, 0700) && errno != EEXIST) || chmod(path, 0700)))
		return fail(CTL_FAILED, "'%s': %m", path);
	if (code == CTL_OK && !geteuid() && lchown(path, p->uid, p->gid))
		return fail(CTL_FAILED, "'%s': %m", path);
	return code;
}

static int take_lock(struct private_server *p, const char *name)
{
	char path[PATH_MAX];

	private_path(path, p->dir, "lock");
	p->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (p->lock < 0)
		return fail(CTL_FAILED, "'%s': %m", path);
	if (flock(p->lock, LOCK_EX | LOCK_NB)) {
		/* what is in the folder is the other one's */
		close(p->lock);
		p->lock = -1;
		return fail(CTL_CONFLICT,
			    "another import into '%s' is under way", name);
	}
	return CTL_OK;
}

/* The account that servers run as here. */
static int choose_user(struct private_server *p)
{
	const struct passwd *pw =
		geteuid() ? getpwuid(geteuid()) : getpwnam("mysql");

	if (!pw)
		return fail(CTL_CONFIG, "there is no user 'mysql' here for the "
					"server to run as");
	p->uid = pw->pw_uid;
	p->gid = pw->pw_gid;
	snprintf(p->user, sizeof(p->user), "root");
	return CTL_OK;
}

int private_open(const char *name, const char *path, struct private_server *p)
{
	pid_t left;
	int code;

	*p = (struct private_server){.lock = -1};
	code = server_find(path, &p->bin);
	if (code == CTL_OK)
		code = choose_user(p);
	if (code == CTL_OK)
		code = make_dirs(p, name);
	if (code == CTL_OK)
		code = take_lock(p, name);
	if (code != CTL_OK)
		return code;
	left = server_find_running(p->pid_file, p->uid);
	if (left <= 0)
		left = server_scan(p->pid_file, p->uid);
	if (left > 0) {
		note("ending the server (pid %d) that a killed import left",
		     (int)left);
		server_end(left, SIGKILL, 60000);
	}
	unlink(p->log);
	return CTL_OK;
}

static void remove_file(const struct private_server *p, const char *file)
{
	char path[PATH_MAX];

	private_path(path, p->dir, file);
	unlink(path);
}

void private_close(struct private_server *p, bool ok)
{
	char path[PATH_MAX];

	if (p->pid > 0) {
		kill(p->pid, SIGKILL);
		waitpid(p->pid, NULL, 0);
		p->pid = 0;
	}
	if (p->lock < 0)
		return;
	remove_file(p, "server/pid");
	remove_file(p, "server/mysql.sock");
	if (ok) {
		remove_file(p, "server.log");
		remove_file(p, "my.cnf");
		private_path(path, p->dir, "server");
		rmdir(path);
	}
	/* the lock's file stays: a name that goes can be locked twice */
	close(p->lock);
	p->lock = -1;
}

/* ---- start and stop ---------------------------------------------------------- */

static uint64_t available_memory(void)
{
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return (uint64_t)kib * 1024;
}

/* Not more than what is loaded can fill: a large one takes a second to make. */
static uint64_t buffer_pool(uint64_t packed)
{
	uint64_t bytes = MIN_OF(available_memory() / 4, UINT64_C(8) << 30);

	if (packed)
		bytes = MIN_OF(bytes, MAX_OF(POOL_TIMES * packed, POOL_MIN));
	return MAX_OF(bytes, UINT64_C(128) << 20);
}

static void add(json_t *options, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void add(json_t *options, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	json_array_append_new(options, json_vsprintf(fmt, ap));
	va_end(ap);
}

static json_t *options_of(const struct private_server *p)
{
	static const char *const fixed[] = {
		"skip-networking",
		"skip-log-bin",
		"slow-query-log=OFF",
		"event-scheduler=OFF",
		"local-infile=OFF",
		/* DATA DIRECTORY: all of a table is in the snapshot */
		"skip-symbolic-links",
		"performance-schema=OFF",
		"max-allowed-packet=1G",
		"max-connections=32",
		"innodb-doublewrite=OFF",
		"innodb-flush-log-at-trx-commit=0",
		/* the snapshot is durable, and nothing before it need be */
		"innodb-flush-method=O_DIRECT_NO_FSYNC",
		/* pages are written while rows come, not all at the end */
		"innodb-max-dirty-pages-pct=10",
		"innodb-io-capacity=4000",
		"innodb-io-capacity-max=20000",
		"innodb-log-buffer-size=64M",
		"innodb-sort-buffer-size=16M",
		"innodb-online-alter-log-max-size=1G",
		"innodb-buffer-pool-dump-at-shutdown=OFF",
		"innodb-buffer-pool-load-at-startup=OFF",
	};
	json_t *options = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		add(options, "%s", fixed[i]);
	if (p->bin.mariadb) {
		/* smaller again before the end: private_stop() */
		if (p->bin.version >= SERVER_VERSION(10, 9))
			add(options, "innodb-log-file-size=1G");
		add(options, "skip-slave-start");
		add(options, "loose-debug-no-sync");
	} else {
		add(options, "loose-innodb-redo-log-capacity=1G");
		add(options, "loose-mysqlx=OFF");
		add(options, "loose-skip-replica-start");
	}
	add(options, "innodb-buffer-pool-size=%" PRIu64,
	    buffer_pool(p->packed));
	add(options, "datadir=%s", p->datadir);
	add(options, "tmpdir=%s", p->tmpdir);
	add(options, "secure-file-priv=%s", p->tmpdir);
	add(options, "socket=%s", p->socket);
	return options;
}

int private_start(struct private_server *p)
{
	json_t *options = options_of(p);
	const struct server_run run = {
		.bin = &p->bin,
		.options_file = p->options,
		.options = options,
		.pid_file = p->pid_file,
		.log = p->log,
		.uid = p->uid,
		.gid = p->gid,
	};
	const struct server_access access = {p->socket, p->user, ""};
	bool ended = false;
	int code = server_write_options(p->options, options);

	if (code == CTL_OK)
		code = server_spawn(&run, &p->pid);
	json_decref(options);
	if (code == CTL_OK)
		code = server_wait(&access, p->pid, START_MS, NULL, &ended);
	if (ended) {
		waitpid(p->pid, NULL, 0);
		p->pid = 0;
		/* the next one does not start from what this one did */
		private_new_forget(p);
		code = fail(CTL_FAILED, "the import's server ended at its "
					"start; its log says:");
		server_show_log(p->log, 0);
	}
	return code;
}

int private_stop(struct private_server *p)
{
	int status = 0;

	if (p->pid <= 0)
		return CTL_OK;
	if (server_end(p->pid, SIGTERM, STOP_MS) != CTL_OK)
		return fail(CTL_TIMEOUT,
			    "the import's server (pid %d) does "
			    "not end",
			    (int)p->pid);
	waitpid(p->pid, &status, 0);
	p->pid = 0;
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fail(CTL_FAILED, "the import's server did not end cleanly; "
				 "its log says:");
		server_show_log(p->log, 0);
		return CTL_FAILED;
	}
	if (rmdir(p->tmpdir))
		return fail(CTL_FAILED,
			    "'%s' is not empty after the server's "
			    "end: %m",
			    p->tmpdir);
	return CTL_OK;
}

bool private_ended(const struct private_server *p)
{
	siginfo_t info = {0};

	return p->pid <= 0 || (!waitid(P_PID, (id_t)p->pid, &info,
				       WEXITED | WNOHANG | WNOWAIT) &&
			       info.si_pid == p->pid);
}

void private_kill(const struct private_server *p)
{
	if (p->pid > 0)
		kill(p->pid, SIGKILL);
}
