/* SPDX-License-Identifier: Apache-2.0 */
/*
 * private_new.c - a data directory with nothing but system tables in it
 *
 * Making one takes a server many seconds: thousands of statements.  It is the
 * same each time, so it is made once for a server, beside the folders of
 * imports, and copied from then on:
 *
 *   .new-SERVER-VERSION      SERVER: hash of the program's path; VERSION: of
 *                            the program, the installer, both as files and by
 *                            version, the options and the account
 *   .new-SERVER-VERSION.tmp  while it is made
 *   .new.lock                LOCK_EX: one is made or removed; LOCK_SH: copied
 *
 * It is made by the account that the server runs as, and then belongs to us
 * only: no server can change what later ones start from.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xxhash.h>

#include "store/store.h"
#include "tools/cmd.h"
#include "tools/import/private_internal.h"

#define COPY_BYTES (256u << 10)
#define NAME_LEN   48u

/* What is called that in the data directory is no database's. */
#define TMP_DIR ".import"

/* ---- a server makes one ----------------------------------------------------- */

/* Runs @argv as the server's user, its output in the log. */
static int run_as_user(const struct private_server *p, char *const *argv)
{
	static char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
				    "LANG=C.UTF-8", "HOME=/nonexistent", NULL};
	int status, log;
	pid_t pid = fork();

	if (!pid) {
		log = open(p->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
			   0600);
		if (log < 0 || dup2(log, STDOUT_FILENO) < 0 ||
		    dup2(log, STDERR_FILENO) < 0)
			_exit(126);
		close_range(STDERR_FILENO + 1, ~0u, 0);
		if (!geteuid() &&
		    (setgroups(0, NULL) || setgid(p->gid) || setuid(p->uid)))
			_exit(126);
		if (chdir("/"))
			_exit(126);
		execve(argv[0], argv, env);
		_exit(127);
	}
	if (pid < 0)
		return -ECHILD;
	while (waitpid(pid, &status, 0) != pid)
		if (errno != EINTR)
			return -ECHILD;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -ENOEXEC;
}

/* mariadb-install-db stands in the server's prefix. */
static int find_installer(const struct private_server *p, char out[PATH_MAX])
{
	static const char *const places[] = {
		"../bin/mariadb-install-db", "../scripts/mariadb-install-db",
		"../bin/mysql_install_db", "../scripts/mysql_install_db"};
	char dir[PATH_MAX], path[2 * PATH_MAX];

	snprintf(dir, sizeof(dir), "%s", p->bin.path);
	*strrchr(dir, '/') = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, places[i]);
		if (!access(path, X_OK) && realpath(path, out))
			return CTL_OK;
	}
	return fail(CTL_NOT_FOUND, "there is no mariadb-install-db beside '%s'",
		    p->bin.path);
}

/* Its last ones go on to the server; a crash leaves nothing that is used. */
static const char *const maria_options[] = {
	"--no-defaults",
	"--auth-root-authentication-method=normal",
	"--skip-test-db",
	"--force",
	"--innodb-doublewrite=0",
	"--innodb-flush-method=nosync",
	"--innodb-flush-log-at-trx-commit=0",
	"--innodb-log-file-size=8M",
	"--loose-debug-no-sync",
};
static const char *const mysql_options[] = {
	"--no-defaults",
	"--initialize-insecure",
};

static int install(const struct private_server *p, const char *program,
		   const char *datadir)
{
	const bool maria = p->bin.mariadb;
	const char *const *options = maria ? maria_options : mysql_options;
	const size_t nr =
		maria ? ARRAY_SIZE(maria_options) : ARRAY_SIZE(mysql_options);
	/* a script says itself which option file is read */
	const size_t first = !maria && p->bin.script ? 1 : 0;
	char *argv[16] = {(char *)program}, arg[PATH_MAX + 16];
	size_t n = 1;

	for (size_t i = first; i < nr; i++)
		argv[n++] = (char *)options[i];
	snprintf(arg, sizeof(arg), "--datadir=%s", datadir);
	argv[n] = arg;
	if (!run_as_user(p, argv))
		return CTL_OK;
	fail(CTL_FAILED, "a new data directory could not be made:");
	server_show_log(p->log, 0);
	return CTL_FAILED;
}

/* ---- trees ------------------------------------------------------------------ */

/* What is done with each name of a directory; -errno. */
typedef int (*each_fn)(int dir, const char *name, const struct stat *st,
		       const void *arg);

static int each(int dir, each_fn fn, const void *arg)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;

	if (!d) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	while (!err && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		err = fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW)
			      ? -errno
			      : fn(dir, e->d_name, &st, arg);
	}
	closedir(d);
	return err;
}

static int open_dir(int dir, const char *name)
{
	const int fd = openat(dir, name,
			      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int each_in(int dir, const char *name, each_fn fn, const void *arg)
{
	const int fd = open_dir(dir, name);
	int err;

	if (fd < 0)
		return fd;
	err = each(fd, fn, arg);
	close(fd);
	return err;
}

static int remove_one(int dir, const char *name, const struct stat *st,
		      const void *arg)
{
	int err = 0;

	if (S_ISDIR(st->st_mode))
		err = each_in(dir, name, remove_one, arg);
	if (!err &&
	    unlinkat(dir, name, S_ISDIR(st->st_mode) ? AT_REMOVEDIR : 0))
		err = -errno;
	return err;
}

/* Ours from now on, and on disk. */
static int own_one(int dir, const char *name, const struct stat *st,
		   const void *arg)
{
	int fd, err = 0;

	if (!S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode))
		return -EINVAL;
	if (!geteuid() && fchownat(dir, name, 0, 0, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (S_ISDIR(st->st_mode))
		return each_in(dir, name, own_one, arg);
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fsync(fd))
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

/* Where copies go, and whose they are. */
struct copy {
	int dir;
	const struct private_server *server;
	char *buf;
};

/* Zeros at the end of what was read need not be written. */
static size_t without_zeros(const char *buf, size_t n)
{
	while (n > 0 && !buf[n - 1])
		n--;
	return n;
}

static int copy_bytes(int from, int to, off_t size, char *buf)
{
	off_t at = 0;

	while (at < size) {
		const ssize_t n = pread(from, buf, COPY_BYTES, at);
		size_t len, done = 0;

		if (n <= 0)
			return n ? -errno : -EIO;
		len = without_zeros(buf, (size_t)n);
		while (done < len) {
			const ssize_t put = pwrite(to, buf + done, len - done,
						   at + (off_t)done);

			if (put < 0)
				return -errno;
			done += (size_t)put;
		}
		at += n;
	}
	return ftruncate(to, size) ? -errno : 0;
}

static int copy_file(int dir, const char *name, const struct stat *st,
		     const struct copy *c)
{
	int from, to, err = 0;

	from = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (from < 0)
		return -errno;
	to = openat(c->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		    st->st_mode & 0777);
	if (to < 0)
		err = -errno;
	if (!err && !geteuid() && fchown(to, c->server->uid, c->server->gid))
		err = -errno;
	if (!err && fchmod(to, st->st_mode & 0777))
		err = -errno;
	if (!err)
		err = copy_bytes(from, to, st->st_size, c->buf);
	if (to >= 0)
		close(to);
	close(from);
	return err;
}

static int copy_one(int dir, const char *name, const struct stat *st,
		    const void *arg)
{
	const struct copy *c = arg;
	struct copy below = *c;
	int err;

	/* each server has its own number */
	if (!strcmp(name, "auto.cnf"))
		return 0;
	if (!S_ISDIR(st->st_mode))
		return copy_file(dir, name, st, c);
	if (mkdirat(c->dir, name, st->st_mode & 0777))
		return -errno;
	below.dir = open_dir(c->dir, name);
	if (below.dir < 0)
		return below.dir;
	err = !geteuid() && fchown(below.dir, c->server->uid, c->server->gid)
		      ? -errno
		      : each_in(dir, name, copy_one, &below);
	close(below.dir);
	return err;
}

/* ---- which one -------------------------------------------------------------- */

static void hash_file(XXH3_state_t *hash, const char *path)
{
	struct stat st = {0};
	uint64_t words[5];

	stat(path, &st);
	words[0] = (uint64_t)st.st_dev;
	words[1] = (uint64_t)st.st_ino;
	words[2] = (uint64_t)st.st_size;
	words[3] = (uint64_t)st.st_mtim.tv_sec;
	words[4] = (uint64_t)st.st_mtim.tv_nsec;
	XXH3_64bits_update(hash, path, strlen(path) + 1);
	XXH3_64bits_update(hash, words, sizeof(words));
}

/* ".new-SERVER-VERSION" */
static int name_of(const struct private_server *p, const char *installer,
		   char name[NAME_LEN])
{
	const char *const *options =
		p->bin.mariadb ? maria_options : mysql_options;
	const size_t nr = p->bin.mariadb ? ARRAY_SIZE(maria_options)
					 : ARRAY_SIZE(mysql_options);
	XXH3_state_t *hash = XXH3_createState();

	if (!hash)
		return -ENOMEM;
	XXH3_64bits_reset(hash);
	hash_file(hash, p->bin.path);
	hash_file(hash, installer);
	XXH3_64bits_update(hash, p->bin.text, strlen(p->bin.text) + 1);
	XXH3_64bits_update(hash, &p->uid, sizeof(p->uid));
	for (size_t i = 0; i < nr; i++)
		XXH3_64bits_update(hash, options[i], strlen(options[i]) + 1);
	snprintf(name, NAME_LEN, ".new-%08" PRIx32 "-%016" PRIx64,
		 (uint32_t)XXH3_64bits(p->bin.path, strlen(p->bin.path)),
		 (uint64_t)XXH3_64bits_digest(hash));
	XXH3_freeState(hash);
	return 0;
}

/* Those of the same server, of other versions or half made. */
static int remove_old(int dir, const char *name, const struct stat *st,
		      const void *arg)
{
	const char *wanted = arg;
	const size_t same = strcspn(wanted + 5, "-") + 6;

	if (strncmp(name, wanted, same) || !strcmp(name, wanted))
		return 0;
	return remove_one(dir, name, st, NULL);
}

/* With LOCK_EX. */
static int make_new(const struct private_server *p, int top,
		    const char *installer, const char *name)
{
	char temp[NAME_LEN + 8], path[PATH_MAX];
	int code, err;

	each(top, remove_old, name);
	snprintf(temp, sizeof(temp), "%s.tmp", name);
	private_path(path, p->top, temp);
	if (mkdirat(top, temp, 0700) ||
	    (!geteuid() && fchownat(top, temp, p->uid, p->gid, 0)))
		return fail(CTL_FAILED, "'%s': %m", path);
	note("making a new data directory of %s, once for this server",
	     p->bin.path);
	code = install(p, installer, path);
	if (code != CTL_OK)
		return code;
	err = each_in(top, temp, own_one, NULL);
	if (!err && ((!geteuid() && fchownat(top, temp, 0, 0, 0)) ||
		     renameat(top, temp, top, name)))
		err = -errno;
	return err ? fail(CTL_FAILED, "'%s': %s", path, strerror(-err))
		   : CTL_OK;
}

/* @out: the lock's file, with LOCK_SH; the directory is there. */
static int find_new(const struct private_server *p, int top, char *name,
		    int *out)
{
	const char *installer = p->bin.path;
	char found[PATH_MAX];
	int code = CTL_OK, lock;

	*out = -1;
	if (p->bin.mariadb) {
		code = find_installer(p, found);
		installer = found;
	}
	if (code == CTL_OK && name_of(p, installer, name))
		code = fail(CTL_FAILED, "out of memory");
	if (code != CTL_OK)
		return code;
	lock = openat(top, ".new.lock",
		      O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (lock < 0 || flock(lock, LOCK_SH))
		code = fail(CTL_FAILED, "'%s/.new.lock': %m", p->top);
	if (code == CTL_OK && faccessat(top, name, F_OK, 0)) {
		/* not an upgrade in one step: somebody else may have made it */
		if (flock(lock, LOCK_EX))
			code = fail(CTL_FAILED, "'%s/.new.lock': %m", p->top);
		else if (faccessat(top, name, F_OK, 0))
			code = make_new(p, top, installer, name);
		if (code == CTL_OK)
			flock(lock, LOCK_SH);
	}
	if (code == CTL_OK)
		*out = lock;
	else if (lock >= 0)
		close(lock);
	return code;
}

static int copy_new(const struct private_server *p, int top, const char *name,
		    const char *datadir)
{
	struct copy copy = {.server = p, .buf = malloc(COPY_BYTES)};
	int err = copy.buf ? 0 : -ENOMEM;

	copy.dir = err ? -1 : open_dir(AT_FDCWD, datadir);
	if (!err && copy.dir < 0)
		err = copy.dir;
	if (!err)
		err = each_in(top, name, copy_one, &copy);
	if (copy.dir >= 0)
		close(copy.dir);
	free(copy.buf);
	if (err == -ENOSPC || err == -EDQUOT)
		return fail(CTL_NO_SPACE, "the pool is full");
	return err ? fail(CTL_FAILED, "'%s': a copy of '%s/%s': %s", datadir,
			  p->top, name, strerror(-err))
		   : CTL_OK;
}

int private_init(struct private_server *p, const char *datadir)
{
	char name[NAME_LEN];
	int top, lock, code;

	snprintf(p->datadir, sizeof(p->datadir), "%s", datadir);
	private_path(p->tmpdir, datadir, TMP_DIR);
	if (chmod(datadir, 0700) ||
	    (!geteuid() && lchown(datadir, p->uid, p->gid)))
		return fail(CTL_FAILED, "'%s': %m", datadir);
	top = open_dir(AT_FDCWD, p->top);
	if (top < 0)
		return fail(CTL_FAILED, "'%s': %s", p->top, strerror(-top));
	code = find_new(p, top, name, &lock);
	if (code == CTL_OK) {
		code = copy_new(p, top, name, datadir);
		close(lock);
	}
	close(top);
	if (code == CTL_OK &&
	    (mkdir(p->tmpdir, 0700) ||
	     (!geteuid() && lchown(p->tmpdir, p->uid, p->gid))))
		code = fail(CTL_FAILED, "'%s': %m", p->tmpdir);
	return code;
}

void private_new_forget(const struct private_server *p)
{
	char name[NAME_LEN], found[PATH_MAX];
	const char *installer = p->bin.path;
	int top = open_dir(AT_FDCWD, p->top), lock = -1;

	if (p->bin.mariadb) {
		if (find_installer(p, found) != CTL_OK)
			*found = '\0';
		installer = found;
	}
	if (top >= 0)
		lock = openat(top, ".new.lock", O_RDWR | O_CLOEXEC);
	if (lock >= 0 && !flock(lock, LOCK_EX) &&
	    !name_of(p, installer, name)) {
		each_in(top, name, remove_one, NULL);
		unlinkat(top, name, AT_REMOVEDIR);
	}
	if (lock >= 0)
		close(lock);
	if (top >= 0)
		close(top);
}
