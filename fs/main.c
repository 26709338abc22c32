/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - dbsfs: open a pool, mount it, serve until it is unmounted
 *
 * The order at the start: fork, lock the pool's file, make the socket and the
 * pid file, drop privileges, open the pool (which starts threads), mount,
 * answer.  At the end it goes backwards, from whatever was reached.
 */
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/control.h"
#include "fs/daemon.h"
#include "fs/fs_ops.h"
#include "fs/host_path.h"
#include "fs/mountpoint.h"
#include "fs/options.h"

#define READY_TIMEOUT_MS 30000
#define READ_AHEAD_KIB	 512 /* four times what Linux does by default */

struct server {
	struct options args;
	int pool_fd; /* O_PATH, until it is open */
	char pool_path[PATH_MAX];
	char socket_path[PATH_MAX];
	char pid_path[PATH_MAX]; /* "" : none */
	char warning[1024];	 /* for who waits; "": all is well */
	uid_t owner;
	int pid_dir; /* -1: not written */
	struct mountpoint mp;
	struct blkdev *dev;
	struct fs fs;
	struct ctl_hooks hooks;
	struct ctl_context ctx;
	struct control *control;
	int signal_fd, ready_fd, ended_fd;
};

/* -- the way up ----------------------------------------------------------- */

static void server_release(struct server *s);

#define server_fail(s, code, ...)                                              \
	do {                                                                   \
		server_release(s);                                             \
		daemon_fail(code, __VA_ARGS__);                                \
	} while (0)

/* Paths that must still mean the same after chdir(). */
static void make_absolute(const char *path, char out[PATH_MAX])
{
	char cwd[PATH_MAX];
	int n;

	if (*path == '/')
		n = snprintf(out, PATH_MAX, "%s", path);
	else if (!getcwd(cwd, sizeof(cwd)))
		daemon_fail(CTL_FAILED, "cannot tell where we are: %s",
			    strerror(errno));
	else
		n = snprintf(out, PATH_MAX, "%s/%s", cwd, path);
	if (n >= PATH_MAX)
		daemon_fail(CTL_USAGE, "the path '%.60s...' is too long", path);
}

static gid_t group_of(const char *name)
{
	struct group *g;

	if (!name)
		return (gid_t)-1;
	g = getgrnam(name);
	if (!g)
		daemon_fail(CTL_CONFIG,
			    "there is no group '%s' for --socket-group", name);
	return g->gr_gid;
}

/* JSON must be able to say where a pool and its mount are. */
static bool is_utf8(const char *path)
{
	json_t *text = json_string(path);

	json_decref(text);
	return text != NULL;
}

static void server_resolve(struct server *s)
{
	const struct options *args = &s->args;

	s->pool_fd = host_path_open(args->pool, 0, s->pool_path);
	if (s->pool_fd == -ENOENT)
		daemon_fail(CTL_NOT_FOUND, "there is no pool '%s'", args->pool);
	if (s->pool_fd == -EPERM)
		daemon_fail(CTL_NOT_PERMITTED,
			    "'%s' leads through a link that others than root "
			    "can swap; name the pool itself",
			    args->pool);
	if (s->pool_fd < 0)
		daemon_fail(ctl_code_of_errno(s->pool_fd),
			    "cannot open the pool '%s': %s", args->pool,
			    strerror(-s->pool_fd));
	if (!is_utf8(s->pool_path))
		daemon_fail(CTL_FAILED, "the path of the pool is not UTF-8");
	if (args->socket)
		make_absolute(args->socket, s->socket_path);
	if (args->pid_file)
		make_absolute(args->pid_file, s->pid_path);
}

static void server_open_mountpoint(struct server *s, const char *dir)
{
	struct mountpoint_error error = {.text = ""};
	int rc;

	rc = mountpoint_open(dir, &s->mp, &error);
	if (rc == -ENOTDIR)
		server_fail(s, CTL_FAILED, "%s", error.text);
	if (rc == 0 && !is_utf8(s->mp.path))
		server_fail(s, CTL_FAILED,
			    "the path of the mountpoint is not UTF-8");
	if (rc)
		server_fail(s, ctl_code_of_errno(rc), "%s", error.text);
}

/* Takes the lock. */
static void server_open_device(struct server *s)
{
	bool read_only = s->args.mount_flags & MS_RDONLY;
	struct store_error error = {.text = ""};
	char link[HOST_PATH_LINK];
	struct pool_stat st;
	struct stat file;
	int rc, pid = 0;

	host_path_link(s->pool_fd, link);
	if (read_only)
		pool_settle(link);
	rc = blkdev_file_open(link, read_only ? BLKDEV_READ_ONLY : 0, &s->dev,
			      &pid);
	if (rc == -EBUSY && pid)
		server_fail(s, CTL_CONFLICT,
			    "pool '%s' is in use by process %d", s->args.pool,
			    pid);
	if (rc == -EBUSY)
		server_fail(s, CTL_CONFLICT, "pool '%s' is in use",
			    s->args.pool);
	if (rc == -ENOTBLK)
		server_fail(s, CTL_FAILED,
			    "'%s' is neither a file nor a block device",
			    s->args.pool);
	if (rc)
		server_fail(s, ctl_code_of_errno(rc),
			    "cannot open the pool '%s': %s", s->args.pool,
			    strerror(-rc));
	s->dev->name = s->pool_path; /* in messages */
	rc = pool_probe(link, &st, NULL);
	if (rc) /* once more, for the name in the sentence */
		pool_probe(s->pool_path, &st, &error);
	if (rc)
		server_fail(s, ctl_code_of_errno(rc), "%s",
			    *error.text ? error.text : "this is not a pool");
	if (fstat(s->pool_fd, &file) == 0 && S_ISREG(file.st_mode))
		s->owner = file.st_uid;
	close(s->pool_fd);
	s->fs.created = st.created;
	if (!s->args.socket)
		ctl_socket_path(st.uuid, s->socket_path,
				sizeof(s->socket_path));
}

static void server_listen(struct server *s)
{
	struct control_error error = {.text = ""};
	const struct control_options options = {
		.path = s->socket_path,
		.make_dir = !s->args.socket,
		.group = group_of(s->args.socket_group),
		.owner = s->owner,
		.ctx = &s->ctx,
	};
	int rc;

	rc = control_new(&options, &s->control, &error);
	if (rc)
		server_fail(s, ctl_code_of_errno(rc), "%s", error.text);
	if (!*s->pid_path)
		return;
	rc = daemon_write_pid(s->pid_path, &s->pid_dir);
	if (rc)
		server_fail(s, ctl_code_of_errno(rc),
			    "cannot write the pid file '%s': %s", s->pid_path,
			    strerror(-rc));
}

static void server_block_signals(struct server *s)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	s->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->signal_fd < 0 || s->ready_fd < 0 || s->ended_fd < 0)
		server_fail(s, CTL_FAILED, "cannot make an event: %s",
			    strerror(errno));
}

static void server_open_pool(struct server *s)
{
	struct store_error error = {.text = ""};
	struct pool_options options = {
		.read_only = s->args.mount_flags & MS_RDONLY,
		.cache_bytes = (size_t)s->args.cache_bytes,
		.commit_ms = s->args.commit_ms,
	};
	int rc;

	rc = pool_open_on(s->dev, &options, &s->fs.pool, &error);
	if (rc && *error.text)
		server_fail(s, ctl_code_of_errno(rc), "%s", error.text);
	if (rc)
		server_fail(s, ctl_code_of_errno(rc),
			    "cannot open the pool '%s': %s", s->args.pool,
			    strerror(-rc));
	s->dev = NULL; /* the pool's now */
	if (*error.text)
		snprintf(s->warning, sizeof(s->warning),
			 "pool '%s' can only be read: %s", s->args.pool,
			 error.text);
	rc = pool_scrub_resume(s->fs.pool);
	if (rc)
		log_warn("the scrub cannot go on pool=%s error=%d",
			 s->args.pool, -rc);
	rc = inode_table_new(s->fs.pool, &s->fs.table);
	if (rc)
		server_fail(s, CTL_FAILED, "out of memory");
}

static void event_set(int fd)
{
	const uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) < 0)
		log_error("event not set errno=%d", errno);
}

/* struct fs is what the operations know; the server is around it. */
static struct server *server_of(void *fs)
{
	return container_of(fs, struct server, fs);
}

static void on_ready(void *user)
{
	event_set(server_of(user)->ready_fd);
}

static void on_ended(void *user)
{
	event_set(server_of(user)->ended_fd);
}

static struct view_slot *on_new_slot(void *user)
{
	return view_slot_take(server_of(user)->fs.table);
}

static unsigned idle_threads(void)
{
	long nr = sysconf(_SC_NPROCESSORS_ONLN);

	return nr < 1 ? 2 : nr > 16 ? 16 : (unsigned)nr + 1;
}

static void server_mount(struct server *s)
{
	struct session_error error = {.text = ""};
	const struct session_options options = {
		.source = s->pool_path,
		.mountpoint_fd = s->mp.fd,
		.mount_flags = s->args.mount_flags,
		.threads_max = s->args.threads,
		.threads_idle = idle_threads(),
		.clone_fd = s->args.clone_fd,
		.ring_threads = s->args.ring_threads,
		.ops = fs_raw_ops,
		.libfuse_ops = &fs_libfuse_ops,
		.user = &s->fs,
		.new_slot = on_new_slot,
		.ready = on_ready,
		.ended = on_ended,
	};
	struct pollfd p[2] = {
		{.fd = s->ready_fd, .events = POLLIN},
		{.fd = s->ended_fd, .events = POLLIN},
	};
	int rc;

	rc = session_start(&options, &s->fs.session, &error);
	if (rc)
		server_fail(s, ctl_code_of_errno(rc), "%s", error.text);
	mountpoint_settle(&s->mp);
	rc = poll(p, 2, READY_TIMEOUT_MS);
	if (rc <= 0 || !(p[0].revents & POLLIN))
		server_fail(s, CTL_FAILED,
			    "the kernel did not take the mount on '%s'",
			    s->mp.path);
	mountpoint_set_read_ahead(&s->mp, READ_AHEAD_KIB);
}

/* -- commands that concern the mount -------------------------------------- */

static int on_shutdown(void *arg, bool lazy)
{
	struct server *s = server_of(arg);

	return mountpoint_unmount(&s->mp, lazy ? MNT_DETACH : 0);
}

static void server_answer(struct server *s)
{
	int rc;

	s->hooks = fs_hooks;
	s->hooks.shutdown = on_shutdown;
	s->ctx = (struct ctl_context){
		.pool = s->fs.pool,
		.pool_path = s->pool_path,
		.mountpoint = s->mp.path,
		.hooks = &s->hooks,
		.hook_arg = &s->fs,
	};
	rc = control_start(s->control);
	if (rc)
		server_fail(s, CTL_FAILED, "cannot start a thread: %s",
			    strerror(-rc));
}

/* -- service and the way down --------------------------------------------- */

/*
 * A signal: unmount; if somebody still uses the mount, cut it off, rather than
 * leave it behind dead.
 */
static void server_unmount(struct server *s)
{
	int rc;

	rc = mountpoint_unmount(&s->mp, 0);
	if (rc == 0)
		return;
	log_warn("mount is in use, detached path=%s errno=%d", s->mp.path, -rc);
	rc = mountpoint_unmount(&s->mp, MNT_FORCE | MNT_DETACH);
	if (rc)
		log_error("unmount failed path=%s errno=%d", s->mp.path, -rc);
}

static void server_wait(struct server *s)
{
	struct pollfd p[2] = {
		{.fd = s->signal_fd, .events = POLLIN},
		{.fd = s->ended_fd, .events = POLLIN},
	};
	struct signalfd_siginfo info;

	for (;;) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents & POLLIN)
			return;
		if (read(s->signal_fd, &info, sizeof(info)) ==
		    (ssize_t)sizeof(info))
			server_unmount(s);
	}
}

static int server_close_pool(struct server *s)
{
	int rc;

	inode_table_free(s->fs.table);
	s->fs.table = NULL;
	rc = s->fs.pool ? pool_close(s->fs.pool) : 0;
	s->fs.pool = NULL;
	if (rc)
		log_error("last commit failed path=%s errno=%d", s->pool_path,
			  -rc);
	return rc;
}

static void server_release(struct server *s)
{
	if (s->fs.session) {
		mountpoint_unmount(&s->mp, MNT_FORCE | MNT_DETACH);
		control_stop(s->control);
		session_free(s->fs.session);
		s->fs.session = NULL;
	}
	mountpoint_close(&s->mp);
	server_close_pool(s);
	blkdev_close(s->dev);
	s->dev = NULL;
	if (s->pid_dir >= 0)
		daemon_remove_pid(s->pid_path, s->pid_dir);
	s->pid_dir = -1;
	/* last: its connections tell those who wait that the pool is free */
	control_free(s->control);
	s->control = NULL;
}

int main(int argc, char **argv)
{
	static struct server s = {
		.mp = {.fd = -1, .parent_fd = -1},
		.pid_dir = -1,
		.fs = {.going_lock = PTHREAD_MUTEX_INITIALIZER,
		       .gone = PTHREAD_COND_INITIALIZER},
	};
	int rc;

	options_parse(&s.args, argc, argv);
	daemon_forget_environment();
	if (geteuid() != 0)
		daemon_fail(CTL_NOT_PERMITTED, "only root can mount; use sudo");
	server_resolve(&s);
	/* before the fork, which changes the directory */
	server_open_mountpoint(&s, s.args.dir);
	if (!s.args.foreground)
		daemon_fork();
	umask(022);
	daemon_log_open(s.args.foreground, s.args.log_level);
	daemon_set_limits();
	server_open_device(&s);
	server_listen(&s);
	daemon_drop_privileges();
	server_block_signals(&s);
	server_open_pool(&s);
	fs_touch_top(&s.fs);
	server_mount(&s);
	server_answer(&s);
	daemon_ready(s.warning);
	server_wait(&s);
	daemon_stopping();
	control_stop(s.control);
	session_free(s.fs.session);
	s.fs.session = NULL;
	rc = server_close_pool(&s);
	if (rc)
		control_farewell(
			s.control,
			ctl_answer_error(
				ctl_code_of_errno(rc),
				"pool '%s' is unmounted, but its last commit "
				"failed (%s): what was written since the one "
				"before and not synced is lost",
				s.pool_path, strerror(-rc)));
	server_release(&s);
	return rc ? CTL_FAILED : 0;
}
