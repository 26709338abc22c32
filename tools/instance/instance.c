/* SPDX-License-Identifier: Apache-2.0 */
/* instance.c - folders, locks and the record */
#include "tools/instance/instance.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/ctl_ops.h"
#include "tools/cmd.h"
#include "tools/instance/internal.h"
#include "tools/instance/server.h"
#include "tools/out.h"

#define STATE_DIR "/var/lib/dbs"
#define ROOM	  65536 /* for all that a start writes */

/* ---- folders ----------------------------------------------------------------- */

/* Absolute: main() has seen to it. */
static const char *state_dir(void)
{
	const char *dir = getenv("DBS_STATE_DIR");

	return dir && *dir ? dir : NULL;
}

char *instances_dir(void)
{
	char *path;

	if (asprintf(&path, "%s/instances",
		     state_dir() ? state_dir() : STATE_DIR) < 0)
		return NULL;
	return path;
}

/* FNV-1a: the same on every host and for ever. */
uint64_t instance_hash(const char *name)
{
	uint64_t h = UINT64_C(14695981039346656037);

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(1099511628211);
	return h;
}

/* Short enough for a socket: a long name's end becomes its hash. */
static char *run_dir(const char *name)
{
	const char *base = state_dir();
	char short_name[DATASET_NAME_MAX + 1], *path = NULL;

	if (strlen(name) > 48)
		snprintf(short_name, sizeof(short_name), "%.31s-%016llx", name,
			 (unsigned long long)instance_hash(name));
	else
		snprintf(short_name, sizeof(short_name), "%s", name);
	if (asprintf(&path, base ? "%s/run/%s" : "%s/instances/%s",
		     base ? base : CTL_RUN_DIR, short_name) < 0)
		return NULL;
	return path;
}

char *instance_file(const struct instance *inst, const char *file,
		    char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/%s", inst->dir, file);
	return buf;
}

char *instance_run_file(const struct instance *inst, const char *file,
			char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/%s", inst->run, file);
	return buf;
}

/* mkdir -p, each 0755. */
static int make_path(const char *path)
{
	char *copy = strdup(path), *slash = copy;
	int err = copy ? 0 : -ENOMEM;

	while (!err && slash) {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		/* whatever the umask: the server is to come through */
		if (mkdir(copy, 0755) ? errno != EEXIST : chmod(copy, 0755))
			err = -errno;
		if (slash)
			*slash = '/';
	}
	free(copy);
	return err;
}

static int fail_path(const char *path, int err)
{
	return fail((int)ctl_code_of_errno(err), "'%s': %s", path,
		    strerror(-err));
}

/* A folder that belongs to the server. */
static int make_owned(const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	int fd, err = 0;

	if (mkdir(path, mode) && errno != EEXIST)
		return fail_path(path, -errno);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fail_path(path, -errno);
	if ((!geteuid() && fchown(fd, uid, gid)) || fchmod(fd, mode))
		err = -errno;
	close(fd);
	return err ? fail_path(path, err) : CTL_OK;
}

int instance_make_dirs(const struct instance *inst, uid_t uid, gid_t gid)
{
	char path[PATH_MAX];
	int code, err = make_path(inst->run);

	if (err)
		return fail_path(inst->run, err);
	if (strlen(instance_socket(inst, path)) > SERVER_SOCKET_MAX)
		return fail(CTL_CONFIG,
			    "the path of the socket '%s' is over %d bytes; "
			    "choose a shorter $DBS_STATE_DIR",
			    path, SERVER_SOCKET_MAX);
	code = make_owned(instance_run_file(inst, "server", path), 0755, uid,
			  gid);
	if (code == CTL_OK)
		code = make_owned(instance_file(inst, "tmp", path), 0700, uid,
				  gid);
	return code;
}

/*
 * Remove @name in the folder @at with all in it.  Parts belong to the server,
 * which may swap names meanwhile: links are never followed.
 */
static int remove_at(int at, const char *name)
{
	struct dirent *e;
	DIR *list;
	int fd;

	if (!unlinkat(at, name, 0) || errno == ENOENT)
		return 0;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	list = fd < 0 ? NULL : fdopendir(fd);
	if (!list)
		return -errno;
	while ((e = readdir(list)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			remove_at(fd, e->d_name);
	closedir(list);
	return unlinkat(at, name, AT_REMOVEDIR) ? -errno : 0;
}

static int remove_tree(const char *path)
{
	int err = remove_at(AT_FDCWD, path);

	return err && err != -ENOENT ? fail_path(path, err) : CTL_OK;
}

int instance_remove(struct instance *inst)
{
	char record[PATH_MAX];
	int code;

	/* without its record it is none, whatever is left of its folder */
	if (unlink(instance_file(inst, "instance.json", record)) &&
	    errno != ENOENT)
		return fail_path(record, -errno);
	code = remove_tree(inst->run);
	if (code == CTL_OK)
		code = remove_tree(inst->dir);
	return code;
}

/* ---- locks ------------------------------------------------------------------- */

/* Errors: -EAGAIN somebody has it */
int instance_lock_file(const char *path, int *fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int err;

	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0)
		return -errno;
	if (!fcntl(*fd, F_OFD_SETLK, &lock))
		return 0;
	err = errno == EACCES ? -EAGAIN : -errno;
	close(*fd);
	*fd = -1;
	return err;
}

bool instance_file_locked(const char *path)
{
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool locked;

	if (fd < 0)
		return false;
	locked = !fcntl(fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
	close(fd);
	return locked;
}

static int take_lock(struct instance *inst)
{
	char path[PATH_MAX];
	struct stat held, there;
	int err;

	/* the folder may go while we wait for nothing: a few times at most */
	for (int tries = 0; tries < 10; tries++) {
		err = instance_lock_file(instance_file(inst, "lock", path),
					 &inst->lock);
		if (err == -EAGAIN)
			return fail(CTL_CONFLICT,
				    "another command works on instance '%s'; "
				    "try again when it has ended",
				    inst->name);
		if (err)
			return fail_path(path, err);
		if (!fstat(inst->lock, &held) && !stat(path, &there) &&
		    held.st_ino == there.st_ino)
			return CTL_OK;
		close(inst->lock);
		inst->lock = -1;
		if (make_path(inst->dir))
			break;
	}
	return fail(CTL_CONFLICT, "instance '%s' is being removed", inst->name);
}

/* ---- the record -------------------------------------------------------------- */

static int record_load(struct instance *inst)
{
	char path[PATH_MAX];
	json_error_t error;

	instance_file(inst, "instance.json", path);
	if (access(path, F_OK) && errno == ENOENT)
		return CTL_OK;
	inst->record = json_load_file(path, 0, &error);
	if (json_is_object(inst->record))
		return CTL_OK;
	if (access(path, R_OK))
		return fail_path(path, -errno);
	return fail(CTL_CONFIG, "'%s' line %d: %s", path, error.line,
		    error.text);
}

/* What is written at each start need not survive a crash of the host. */
static bool is_kept(const char *file)
{
	return strcmp(file, "state.json") && strcmp(file, "init.sql");
}

int instance_write(const struct instance *inst, const char *file, mode_t mode,
		   uid_t uid, gid_t gid, const char *text)
{
	char path[PATH_MAX], temp[PATH_MAX];
	size_t len = strlen(text);
	int fd, err = 0;

	snprintf(temp, sizeof(temp), "%s/.%s.new", inst->dir, file);
	unlink(temp);
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_path(temp, -errno);
	if ((!geteuid() && fchown(fd, uid, gid)) || fchmod(fd, mode) ||
	    write(fd, text, len) != (ssize_t)len ||
	    (is_kept(file) && fsync(fd)) ||
	    rename(temp, instance_file(inst, file, path)))
		err = errno ? -errno : -EIO;
	close(fd);
	if (err)
		unlink(temp);
	return err ? fail_path(temp, err) : CTL_OK;
}

int instance_check_room(const struct instance *inst)
{
	char path[PATH_MAX];
	int fd, err;

	instance_file(inst, ".room", path);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_path(path, -errno);
	err = posix_fallocate(fd, 0, ROOM);
	close(fd);
	unlink(path);
	return err ? fail_path(path, -err) : CTL_OK;
}

int instance_write_json(const struct instance *inst, const char *file,
			mode_t mode, const json_t *json)
{
	char *text = json_dumps(json, JSON_INDENT(2));
	int code;

	if (!text)
		return fail(CTL_FAILED, "out of memory");
	code = instance_write(inst, file, mode, geteuid(), getegid(), text);
	free(text);
	return code;
}

int instance_save(struct instance *inst)
{
	int code =
		instance_write_json(inst, "instance.json", 0644, inst->record);

	if (code == CTL_OK)
		inst->made_dir = false;
	return code;
}

/* ---- open -------------------------------------------------------------------- */

static int instance_name(const char *name, struct instance *inst)
{
	const char *problem = strlen(name) > DATASET_NAME_MAX
				      ? "is too long"
				      : dataset_name_problem(name);

	if (problem)
		return fail(CTL_USAGE, "the name '%.200s' %s", name, problem);
	snprintf(inst->name, sizeof(inst->name), "%s", name);
	return CTL_OK;
}

static int instance_paths(struct instance *inst)
{
	char *all = instances_dir();

	if (!all || asprintf(&inst->dir, "%s/%s", all, inst->name) < 0)
		inst->dir = NULL;
	free(all);
	inst->run = run_dir(inst->name);
	if (!inst->dir || !inst->run)
		return fail(CTL_FAILED, "out of memory");
	return CTL_OK;
}

static int instance_make(struct instance *inst)
{
	int err;

	if (!access(inst->dir, F_OK))
		return CTL_OK;
	err = make_path(inst->dir);
	if (err)
		return fail_path(inst->dir, err);
	inst->made_dir = true;
	return CTL_OK;
}

int instance_open(const char *name, unsigned flags, struct instance *inst)
{
	int code;

	*inst = (struct instance){.lock = -1};
	code = instance_name(name, inst);
	if (code == CTL_OK)
		code = instance_paths(inst);
	if (code == CTL_OK && flags & INSTANCE_MAKE)
		code = instance_make(inst);
	if (code == CTL_OK && !(flags & INSTANCE_MAKE) &&
	    !instance_exists(name))
		code = fail(CTL_NOT_FOUND, "there is no instance '%s'", name);
	if (code == CTL_OK && flags & INSTANCE_LOCK)
		code = take_lock(inst);
	if (code == CTL_OK)
		code = record_load(inst);
	if (code == CTL_OK && !inst->record && !(flags & INSTANCE_MAKE))
		code = fail(CTL_NOT_FOUND, "there is no instance '%s'", name);
	return code;
}

void instance_close(struct instance *inst)
{
	/* without the lock it is another command's by now */
	if (inst->made_dir && inst->lock >= 0)
		remove_tree(inst->dir);
	if (inst->lock >= 0)
		close(inst->lock);
	json_decref(inst->record);
	free(inst->dir);
	free(inst->run);
	*inst = (struct instance){.lock = -1};
}

bool instance_exists(const char *name)
{
	char *all = instances_dir(), *path = NULL;
	bool exists;

	if (!all || strchr(name, '/') || dataset_name_problem(name) ||
	    asprintf(&path, "%s/%s/instance.json", all, name) < 0)
		path = NULL;
	exists = path && !access(path, F_OK);
	free(path);
	free(all);
	return exists;
}

json_t *instance_names(void)
{
	json_t *names = json_array();
	char *all = instances_dir();
	struct dirent **list;
	int nr = all ? scandir(all, &list, NULL, alphasort) : -1;

	for (int i = 0; i < nr; i++) {
		if (instance_exists(list[i]->d_name))
			json_array_append_new(names,
					      json_string(list[i]->d_name));
		free(list[i]);
	}
	if (nr >= 0)
		free(list);
	free(all);
	return names;
}

json_t *instance_origins(void)
{
	json_t *names = instance_names(), *all = json_object(), *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		struct instance inst;
		int code = instance_open(json_string_value(name), 0, &inst);
		const char *from = out_get_text(inst.record, "dataset_from");

		if (code == CTL_OK && *from)
			json_object_set(all, from, name);
		instance_close(&inst);
		/* one that was destroyed meanwhile needs none */
		if (code != CTL_OK && code != CTL_NOT_FOUND) {
			json_decref(all);
			all = NULL;
			break;
		}
	}
	json_decref(names);
	return all;
}
