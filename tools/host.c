/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/host.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/out.h"

/* ---- /proc/self/mountinfo --------------------------------------------------- */

/* Undo the octal escapes of mountinfo, in place. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && isdigit((unsigned char)s[1]) &&
		    isdigit((unsigned char)s[2]) &&
		    isdigit((unsigned char)s[3])) {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 +
				       (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/*
 * "36 35 98:0 /root /dir opts shared:1 - type source super": cut out dir,
 * type and source.
 */
static bool mountinfo_parse(char *line, struct host_mount *m)
{
	char *rest = strstr(line, " - "), *save = NULL;

	if (!rest)
		return false;
	*rest = '\0';
	strtok_r(line, " ", &save);
	for (int i = 0; i < 3; i++)
		strtok_r(NULL, " ", &save);
	m->dir = strtok_r(NULL, " ", &save);
	m->type = strtok_r(rest + 3, " \n", &save);
	m->source = strtok_r(NULL, " \n", &save);
	if (!m->dir || !m->type || !m->source)
		return false;
	unescape(m->dir);
	unescape(m->source);
	return true;
}

static int mount_copy(struct host_mount *to, const struct host_mount *from)
{
	host_mount_release(to);
	to->dir = strdup(from->dir);
	to->source = strdup(from->source);
	to->type = strdup(from->type);
	return to->dir && to->source && to->type ? 0 : -ENOMEM;
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (len == 1 && *dir == '/')
		return path[0] == '/' && path[1];
	return !strncmp(path, dir, len) && path[len] == '/';
}

static int mount_search(const char *dir, bool below, struct host_mount *mount)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	struct host_mount m;
	char *line = NULL;
	size_t cap = 0;
	int err = -ENOENT;

	*mount = (struct host_mount){0};
	if (!f)
		return -errno;
	/* later lines are mounted over earlier ones */
	while (getline(&line, &cap, f) > 0) {
		if (!mountinfo_parse(line, &m))
			continue;
		if (below ? is_below(m.dir, dir) : !strcmp(m.dir, dir))
			err = mount_copy(mount, &m);
	}
	free(line);
	fclose(f);
	return err;
}

int host_mount_find(const char *dir, struct host_mount *mount)
{
	return mount_search(dir, false, mount);
}

int host_mount_below(const char *dir, struct host_mount *mount)
{
	return mount_search(dir, true, mount);
}

void host_mount_release(struct host_mount *mount)
{
	free(mount->dir);
	free(mount->source);
	free(mount->type);
	*mount = (struct host_mount){0};
}

bool host_mount_is_ours(const struct host_mount *mount)
{
	return mount->type && !strcmp(mount->type, "fuse.dbs");
}

int host_umount(const char *dir, int flags)
{
	const char *base = strrchr(dir, '/') + 1;
	char parent[PATH_MAX], real[PATH_MAX], path[PATH_MAX + 64];
	int fd, rc = 0;
	ssize_t n;

	snprintf(parent, sizeof(parent), "%.*s",
		 base - dir > 1 ? (int)(base - dir - 1) : 1, dir);
	fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, real, sizeof(real) - 1);
	real[n < 0 ? 0 : n] = '\0';
	if (strcmp(real, parent))
		rc = -ESTALE;
	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", fd, base);
	if (rc == 0 && umount2(path, flags | UMOUNT_NOFOLLOW))
		rc = -errno;
	close(fd);
	return rc;
}

/* ---- directories ------------------------------------------------------------- */

enum host_dir_state host_dir_state(const char *dir)
{
	enum host_dir_state state = DIR_OK;
	struct dirent *e;
	DIR *d = opendir(dir);

	if (!d) {
		switch (errno) {
		case ENOENT:
			return DIR_MISSING;
		case ENOTDIR:
			return DIR_NOT_DIR;
		case ENOTCONN:
		case ECONNABORTED:
			return DIR_DEAD;
		default:
			return DIR_ERROR;
		}
	}
	errno = 0;
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			state = DIR_USED;
	if (errno)
		state = errno == ENOTCONN ? DIR_DEAD : DIR_ERROR;
	closedir(d);
	return state;
}

char *host_absolute(const char *path)
{
	char *whole = realpath(path, NULL);
	char *copy, *copy2, *dir = NULL, *text = NULL;

	if (whole || (errno != ENOTCONN && errno != ECONNABORTED))
		return whole;
	copy = strdup(path);
	copy2 = strdup(path);
	if (copy && copy2)
		dir = realpath(dirname(copy), NULL);
	if (dir && asprintf(&text, "%s/%s", strcmp(dir, "/") ? dir : "",
			    basename(copy2)) < 0)
		text = NULL;
	free(dir);
	free(copy);
	free(copy2);
	return text;
}

/* ---- who uses a mount ---------------------------------------------------------- */

static bool link_is_in(const char *link, const char *dir)
{
	char target[PATH_MAX];
	ssize_t len = readlink(link, target, sizeof(target) - 1);

	if (len < 0)
		return false;
	target[len] = '\0';
	return !strcmp(target, dir) || is_below(target, dir);
}

static bool fds_are_in(const char *pid, const char *dir)
{
	char path[600];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	d = opendir(path);
	while (d && !found && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, e->d_name);
		found = link_is_in(path, dir);
	}
	if (d)
		closedir(d);
	return found;
}

static bool maps_are_in(const char *pid, const char *dir)
{
	char path[300], *line = NULL;
	bool found = false;
	size_t cap = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	f = fopen(path, "re");
	while (f && !found && getline(&line, &cap, f) > 0) {
		char *file = strchr(line, '/');

		found = file && is_below(file, dir);
	}
	if (f)
		fclose(f);
	free(line);
	return found;
}

static bool process_is_in(const char *pid, const char *dir)
{
	char path[300];

	snprintf(path, sizeof(path), "/proc/%s/cwd", pid);
	if (link_is_in(path, dir))
		return true;
	snprintf(path, sizeof(path), "/proc/%s/root", pid);
	return link_is_in(path, dir) || fds_are_in(pid, dir) ||
	       maps_are_in(pid, dir);
}

static void process_name(const char *pid, char *name, size_t cap)
{
	char path[300];
	FILE *f;

	snprintf(name, cap, "process");
	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fgets(name, (int)cap, f))
		name[strcspn(name, "\n")] = '\0';
	fclose(f);
}

/* Is descriptor @fd open for writing? */
static bool is_for_writing(const char *pid, const char *fd)
{
	char path[600], line[128];
	unsigned flags = O_RDONLY;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "flags: %o", &flags) == 1)
			break;
	if (f)
		fclose(f);
	return (flags & O_ACCMODE) != O_RDONLY;
}

/* Into @names, whose members are the files. */
static void add_writes_by_fd(const char *pid, const char *dir, json_t *names)
{
	char path[600], target[PATH_MAX];
	struct dirent *e;
	ssize_t len;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%s/fd/%s", pid, e->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		target[MAX_OF(len, (ssize_t)0)] = '\0';
		if (is_below(target, dir) && is_for_writing(pid, e->d_name))
			json_object_set_new_nocheck(names, target, json_true());
	}
	if (d)
		closedir(d);
}

/* "7f..-7f.. rw-s 00000000 00:2b 1234    /mnt/a/file" */
static void add_writes_by_map(const char *pid, const char *dir, json_t *names)
{
	char path[300], *line = NULL;
	size_t cap = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/maps", pid);
	f = fopen(path, "re");
	while (f && getline(&line, &cap, f) > 0) {
		const char *mode = strchr(line, ' ');
		char *file = strchr(line, '/');

		if (!mode || !file || mode[2] != 'w' || mode[4] != 's')
			continue;
		file[strcspn(file, "\n")] = '\0';
		if (is_below(file, dir))
			json_object_set_new_nocheck(names, file, json_true());
	}
	if (f)
		fclose(f);
	free(line);
}

static size_t nr_writes(const char *pid, const char *dir)
{
	json_t *names = json_object();
	size_t nr;

	add_writes_by_fd(pid, dir, names);
	add_writes_by_map(pid, dir, names);
	nr = json_object_size(names);
	json_decref(names);
	return nr;
}

size_t host_nr_writes(pid_t pid, const char *dir)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", (int)pid);
	return nr_writes(text, dir);
}

/* Those that use @dir, or write in it. */
struct search {
	const char *dir;
	bool writes;
	bool (*skips)(void *arg, pid_t pid);
	void *arg;
};

static bool is_searched(const struct search *search, const char *pid)
{
	if (!isdigit((unsigned char)pid[0]))
		return false;
	if (!search->writes)
		return process_is_in(pid, search->dir);
	return nr_writes(pid, search->dir) &&
	       !search->skips(search->arg, (pid_t)atoi(pid));
}

static char *search_text(const struct search *search)
{
	char *text = NULL, name[64];
	size_t len, nr = 0;
	struct dirent *e;
	DIR *proc = opendir("/proc");
	FILE *f = open_memstream(&text, &len);

	while (proc && f && (e = readdir(proc))) {
		if (!is_searched(search, e->d_name))
			continue;
		process_name(e->d_name, name, sizeof(name));
		fprintf(f, "%s%s (pid %s)", nr++ ? ", " : "", name, e->d_name);
	}
	if (proc)
		closedir(proc);
	if (f)
		fclose(f);
	if (nr)
		return text;
	free(text);
	return NULL;
}

char *host_users_text(const char *dir)
{
	return search_text(&(struct search){.dir = dir});
}

char *host_writers_text(const char *dir, bool (*skips)(void *arg, pid_t pid),
			void *arg)
{
	return search_text(&(struct search){
		.dir = dir, .writes = true, .skips = skips, .arg = arg});
}

/* ---- the daemon ------------------------------------------------------------------ */

/* In a build tree we are tools/dbs and the daemon is fs/dbsfs. */
static char *daemon_in_build(void)
{
	char self[PATH_MAX], *slash, *path = NULL;
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len < 0)
		return NULL;
	self[len] = '\0';
	for (int i = 0; i < 2; i++) {
		slash = strrchr(self, '/');
		if (!slash || (!i && strcmp(slash, "/dbs")) ||
		    (i && strcmp(slash, "/tools")))
			return NULL;
		*slash = '\0';
	}
	if (asprintf(&path, "%s/fs/dbsfs", self) < 0)
		return NULL;
	if (!access(path, X_OK))
		return path;
	free(path);
	return NULL;
}

char *host_daemon_path(void)
{
	char *path = daemon_in_build();

	return path ? path : strdup(DBS_DAEMON);
}

int host_wait_exit(pid_t pid, uint64_t timeout_ms)
{
	uint64_t end = now_ns() + timeout_ms * UINT64_C(1000000);
	struct pollfd p = {.events = POLLIN};
	int nr = 0;

	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p.fd < 0)
		return errno == ESRCH ? 0 : -errno;
	for (;;) {
		uint64_t now = now_ns();
		uint64_t left = now < end ? (end - now) / 1000000 : 0;

		nr = poll(&p, 1, (int)MIN_OF(left, (uint64_t)INT_MAX));
		if (nr >= 0 || errno != EINTR)
			break;
	}
	close(p.fd);
	return nr > 0 ? 0 : nr < 0 ? -errno : -ETIMEDOUT;
}
