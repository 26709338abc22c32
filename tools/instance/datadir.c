/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/instance/datadir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/cmd.h"

/* ---- files in it ------------------------------------------------------------- */

static bool has_file(int dir, const char *name)
{
	struct stat st;

	return !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) &&
	       S_ISREG(st.st_mode);
}

static bool has_dir(int dir, const char *name)
{
	struct stat st;

	return !fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) &&
	       S_ISDIR(st.st_mode);
}

/* Up to @cap bytes at @offset of a file; how many, 0 where there is none. */
static size_t read_file(int dir, const char *name, off_t offset, void *buf,
			size_t cap)
{
	int fd = openat(dir, name,
			O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	ssize_t n = 0;

	if (fd < 0)
		return 0;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		n = pread(fd, buf, cap, offset);
	close(fd);
	return n > 0 ? (size_t)n : 0;
}

static bool is_datadir(int dir)
{
	return has_file(dir, "ibdata1") || has_file(dir, "mysql.ibd") ||
	       (has_dir(dir, "mysql") && (has_file(dir, "aria_log_control") ||
					  has_file(dir, "auto.cnf")));
}

/* ---- which server's ---------------------------------------------------------- */

static unsigned version_in(const char *text)
{
	unsigned major, minor, patch = 0;

	if (!text || sscanf(text, "%u.%u.%u", &major, &minor, &patch) < 2 ||
	    major > 999 || minor > 99 || patch > 99)
		return 0;
	return SERVER_VERSION(major, minor) + patch;
}

/* MySQL 8.4 and later list each version that used it; the last counts. */
static unsigned version_of_history(int dir)
{
	char text[65536];
	size_t len =
		read_file(dir, "mysql_upgrade_history", 0, text, sizeof(text));
	json_t *root = json_loadb(text, len, 0, NULL);
	json_t *history = json_object_get(root, "upgrade_history");
	size_t nr = json_array_size(history);
	unsigned version = 0;

	if (nr)
		version = version_in(json_string_value(json_object_get(
			json_array_get(history, nr - 1), "version")));
	json_decref(root);
	return version;
}

static unsigned version_of(int dir)
{
	static const char *const files[] = {"mariadb_upgrade_info",
					    "mysql_upgrade_info"};
	char text[64];
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		len = read_file(dir, files[i], 0, text, sizeof(text) - 1);
		text[len] = '\0';
		if (len)
			return version_in(text);
	}
	return version_of_history(dir);
}

/*
 * The flags in the first page of ibdata1: as in MariaDB's fsp0types.h, where
 * bit 4 says that the size stands in bits 0..3, else in bits 6..9; 0 is the
 * 16 KiB of before there were flags.
 */
static uint32_t page_size_of(int dir)
{
	uint8_t b[4];
	uint32_t flags, shift;

	if (read_file(dir, "ibdata1", 54, b, sizeof(b)) != sizeof(b))
		return 0;
	flags = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 |
		(uint32_t)b[2] << 8 | b[3];
	shift = flags & 0x10 ? flags & 15 : flags >> 6 & 15;
	if (!shift)
		return 16384;
	return shift >= 3 && shift <= 7 ? 512u << shift : 0;
}

static uint64_t log_size_of(int dir)
{
	struct stat st;

	if (fstatat(dir, "ib_logfile0", &st, AT_SYMLINK_NOFOLLOW) ||
	    !S_ISREG(st.st_mode) || st.st_size < 1 << 20)
		return 0;
	return round_down((uint64_t)st.st_size, 4096);
}

/* ---- where ------------------------------------------------------------------- */

/* Names of the folders in @fd that are data directories. */
static json_t *datadirs_below(int fd)
{
	json_t *found = json_array();
	DIR *dir = fdopendir(dup(fd));
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		int sub = e->d_name[0] == '.'
				  ? -1
				  : openat(fd, e->d_name,
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
						   O_CLOEXEC);

		if (sub < 0)
			continue;
		if (is_datadir(sub))
			json_array_append_new(found, json_string(e->d_name));
		close(sub);
	}
	if (dir)
		closedir(dir);
	return found;
}

static int check_owner(const struct datadir *dir, const char *name)
{
	if (geteuid() && dir->uid != geteuid())
		return fail(CTL_NOT_PERMITTED,
			    "the data directory of '%s' belongs to user id %u; "
			    "only root can run a server as another user",
			    name, (unsigned)dir->uid);
	if (!geteuid() && !dir->uid)
		return fail(CTL_NOT_PERMITTED,
			    "the data directory of '%s' belongs to root, and "
			    "no server runs as root; run 'chown -R mysql: %s'",
			    name, dir->path);
	return CTL_OK;
}

/*
 * The user's own group, never the directory's: that may be any that somebody
 * wished to have the rights of.
 */
static int find_group(struct datadir *dir)
{
	struct passwd pw, *found = NULL;
	char names[16384];

	dir->gid = getegid();
	if (geteuid())
		return CTL_OK;
	getpwuid_r(dir->uid, &pw, names, sizeof(names), &found);
	if (!found)
		return fail(CTL_CONFIG,
			    "the data directory '%s' belongs to user id %u, "
			    "and this host has no such user; run 'chown -R "
			    "mysql: %s'",
			    dir->path, (unsigned)dir->uid, dir->path);
	dir->gid = pw.pw_gid;
	return CTL_OK;
}

static int datadir_read(int fd, const char *name, struct datadir *dir)
{
	struct stat st;
	int code;

	if (fstat(fd, &st))
		return fail(CTL_FAILED, "'%s': %m", dir->path);
	dir->uid = st.st_uid;
	dir->mysql = has_file(fd, "mysql.ibd");
	dir->mariadb = !dir->mysql && has_file(fd, "aria_log_control");
	dir->version = version_of(fd);
	dir->page_size = page_size_of(fd);
	dir->log_size = log_size_of(fd);
	code = check_owner(dir, name);
	return code == CTL_OK ? find_group(dir) : code;
}

static int datadir_below(int fd, const char *top, const char *name,
			 struct datadir *dir)
{
	json_t *found = datadirs_below(fd);
	size_t nr = json_array_size(found);
	int sub, code;

	if (nr != 1) {
		json_decref(found);
		return nr ? fail(CTL_CONFLICT,
				 "dataset '%s' has %zu data directories; an "
				 "instance runs on one",
				 name, nr)
			  : fail(CTL_NOT_FOUND,
				 "dataset '%s' has no data directory of "
				 "MariaDB or MySQL in it",
				 name);
	}
	snprintf(dir->path, sizeof(dir->path), "%s/%s", top,
		 json_string_value(json_array_get(found, 0)));
	sub = openat(fd, json_string_value(json_array_get(found, 0)),
		     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	json_decref(found);
	if (sub < 0)
		return fail(CTL_FAILED, "'%s': %m", dir->path);
	code = datadir_read(sub, name, dir);
	close(sub);
	return code;
}

int datadir_find(const char *top, const char *name, struct datadir *dir)
{
	int fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC), code;

	*dir = (struct datadir){0};
	if (fd < 0)
		return fail(errno == ENOTCONN ? CTL_UNREACHABLE : CTL_FAILED,
			    "'%s': %m", top);
	snprintf(dir->path, sizeof(dir->path), "%s", top);
	if (is_datadir(fd))
		code = datadir_read(fd, name, dir);
	else
		code = datadir_below(fd, top, name, dir);
	close(fd);
	return code;
}

int datadir_check_server(const struct datadir *dir,
			 const struct server_binary *bin)
{
	unsigned has = dir->version / 100, is = bin->version / 100;
	char title[128];

	server_title(bin, title, sizeof(title));
	if ((dir->mariadb && !bin->mariadb) || (dir->mysql && bin->mariadb))
		return fail(CTL_CONFIG,
			    "'%s' is a data directory of %s, and the server "
			    "'%s' is %s; name another one with --server",
			    dir->path, dir->mariadb ? "MariaDB" : "MySQL",
			    bin->path, title);
	if (has > is)
		return fail(CTL_CONFIG,
			    "'%s' was used by version %u.%u, and the server "
			    "'%s' is %s, which is older; name another one "
			    "with --server",
			    dir->path, has / 100, has % 100, bin->path, title);
	if (dir->version && has < is)
		note("the data directory was last used by version %u.%u and "
		     "is opened by %s; it may need mariadb-upgrade",
		     has / 100, has % 100, title);
	return CTL_OK;
}

#define HEX_DIGITS "0123456789abcdef"

/* ---- what is in it ----------------------------------------------------------- */

/*
 * A folder's name as the server writes it: letters, digits, '_' and '$', all
 * else as '@' and its code.  False: it is none of a database, or one that is not
 * decoded here.  @name: changed
 */
static bool decode_name(char *name)
{
	unsigned code;
	char *to = name;

	for (const char *c = name; *c; c++) {
		if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
		    (*c >= '0' && *c <= '9') || *c == '_' || *c == '$') {
			*to++ = *c;
			continue;
		}
		if (strncmp(c, "@00", 3) || strspn(c + 3, HEX_DIGITS) < 2 ||
		    sscanf(c + 3, "%2x", &code) != 1 || code < ' ' ||
		    code > '~')
			return false;
		*to++ = (char)code;
		c += 4;
	}
	*to = '\0';
	return true;
}

json_t *datadir_databases(const char *path)
{
	static const char *const own[] = {"mysql", "performance_schema", "sys",
					  "lost+found"};
	json_t *names = json_array();
	struct dirent **list;
	int nr = scandir(path, &list, NULL, alphasort);

	for (int i = 0; i < nr; i++) {
		const char *name = list[i]->d_name;
		bool skip = name[0] == '.' || name[0] == '#' ||
			    (list[i]->d_type != DT_DIR &&
			     list[i]->d_type != DT_UNKNOWN);

		for (size_t k = 0; k < ARRAY_SIZE(own); k++)
			skip = skip || !strcmp(name, own[k]);
		if (!skip && decode_name(list[i]->d_name))
			json_array_append_new(names, json_string(name));
		free(list[i]);
	}
	if (nr >= 0)
		free(list);
	return names;
}

int datadir_check_unused(const struct datadir *dir)
{
	static const char *const locked[] = {"ibdata1", "aria_log_control"};

	for (size_t i = 0; i < ARRAY_SIZE(locked); i++) {
		struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
		char path[PATH_MAX + 32];
		bool used;
		int fd;

		snprintf(path, sizeof(path), "%s/%s", dir->path, locked[i]);
		fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			continue;
		used = !fcntl(fd, F_GETLK, &lock) && lock.l_type != F_UNLCK;
		close(fd);
		if (used)
			return fail(CTL_CONFLICT,
				    "a server that is not the instance's runs "
				    "on '%s': process %d; end it first",
				    dir->path, (int)lock.l_pid);
	}
	return CTL_OK;
}

int datadir_forget(const struct datadir *dir)
{
	static const char *const patterns[] = {
		"auto.cnf",	      "master.info",
		"relay-log.info",     "multi-master.info",
		"master-*.info",      "relay-log-*.info",
		"*-relay-bin.[0-9]*", "*-relay-bin-*.[0-9]*",
		"*-relay-bin.index",  "*-relay-bin-*.index"};
	int fd = open(dir->path,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int code = CTL_OK;

	if (!list)
		return fail(CTL_FAILED, "'%s': %m", dir->path);
	while ((e = readdir(list))) {
		for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
			if (fnmatch(patterns[i], e->d_name, 0))
				continue;
			if (unlinkat(fd, e->d_name, 0) && errno != ENOENT)
				code = fail(CTL_FAILED, "'%s/%s': %m",
					    dir->path, e->d_name);
		}
	}
	closedir(list);
	return code;
}
