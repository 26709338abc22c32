/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c - one run at a time, and what it says of itself
 *
 * The lock is one of fcntl(2), not flock(2): it is the process' and no child
 * inherits it, it ends with the process however that ends, and the kernel says
 * whose it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/host.h"
#include "tools/nightly/nightly_internal.h"
#include "tools/out.h"

#define STATE_DIR "/var/lib/dbs"
/* how long a killed run's import may take to clean up */
#define LEFT_MS UINT64_C(120000)

static const char *state_dir(void)
{
	const char *dir = getenv("DBS_STATE_DIR");

	return dir && *dir ? dir : STATE_DIR;
}

const char *nightly_result_path(void)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/nightly.json", state_dir());
	return path;
}

static int fail_path(const char *path)
{
	return fail((int)ctl_code_of_errno(-errno), "'%s': %m", path);
}

/* ---- the lock ---------------------------------------------------------------- */

static int take_lock(struct nightly *n)
{
	char path[PATH_MAX];

	if (mkdir(state_dir(), 0755) && errno != EEXIST)
		return fail_path(state_dir());
	snprintf(path, sizeof(path), "%s/nightly.lock", state_dir());
	n->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (n->lock < 0)
		return fail_path(path);
	/* who has it may let go between the two calls */
	for (int tries = 0; tries < 100; tries++) {
		struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

		if (!fcntl(n->lock, F_SETLK, &lock))
			return CTL_OK;
		if (errno != EAGAIN && errno != EACCES)
			return fail_path(path);
		if (!fcntl(n->lock, F_GETLK, &lock) && lock.l_type != F_UNLCK)
			return fail(CTL_CONFLICT,
				    "another 'dbs nightly' (pid %d) goes on; "
				    "'%s' says how far it is",
				    (int)lock.l_pid, nightly_result_path());
	}
	return fail(CTL_CONFLICT, "'%s' cannot be locked", path);
}

/* ---- what a killed run left ---------------------------------------------------- */

/* Is @pid the process of this step still, and not another's by now? */
static bool is_running(const json_t *step, pid_t pid)
{
	char path[64], line[8192], want[1024];
	const json_t *command = json_object_get(step, "command");
	size_t len = 0, nr;
	FILE *f;

	/* "dbs", command, dataset or instance */
	for (size_t i = 0; i < 3; i++) {
		const char *arg = json_string_value(json_array_get(command, i));

		if (!arg || len + strlen(arg) >= sizeof(want))
			return false;
		memcpy(want + len, arg, strlen(arg) + 1);
		len += strlen(arg) + 1;
	}
	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	f = fopen(path, "re");
	if (!f)
		return false;
	nr = fread(line, 1, sizeof(line), f);
	fclose(f);
	return nr >= len && !memcmp(line, want, len);
}

/* Its step was told to end by its death; an import takes a while for that. */
static void wait_for_left(const json_t *before)
{
	json_t *step;
	size_t i;

	json_array_foreach(json_object_get(before, "steps"), i, step)
	{
		const pid_t pid = (pid_t)out_get_int(step, "pid");

		if (pid <= 1 || !is_running(step, pid))
			continue;
		note("waiting for '%s' (pid %d) of a run that was killed",
		     out_get_text(step, "name"), (int)pid);
		host_wait_exit(pid, LEFT_MS);
	}
}

/* ---- the result file ----------------------------------------------------------- */

static json_t *steps_shown(const json_t *steps)
{
	json_t *copy = json_deep_copy(steps), *step;
	size_t i;

	json_array_foreach(copy, i, step)
	{
		json_object_del(step, STEP_ARGV);
		json_object_del(step, STEP_FROM);
	}
	return copy;
}

json_t *nightly_shown(const json_t *steps)
{
	return json_pack("{s:b, s:o}", "dry_run", 1, "steps",
			 steps_shown(steps));
}

json_t *record_shown(const struct nightly *n)
{
	json_t *record = json_copy(n->record);

	json_object_set_new(record, "steps", steps_shown(n->steps));
	return record;
}

int record_write(const struct nightly *n)
{
	const char *path = nightly_result_path();
	json_t *record = record_shown(n);
	char temp[PATH_MAX + 8];
	int code = CTL_OK;
	FILE *f;

	snprintf(temp, sizeof(temp), "%s.new", path);
	unlink(temp);
	f = fopen(temp, "wxe");
	if (!f || json_dumpf(record, f, JSON_INDENT(2)) ||
	    fputc('\n', f) == EOF || fflush(f) || fchmod(fileno(f), 0644) ||
	    fsync(fileno(f)) || rename(temp, path))
		code = fail_path(path);
	if (f)
		fclose(f);
	if (code != CTL_OK)
		unlink(temp);
	json_decref(record);
	return code;
}

int record_open(struct nightly *n)
{
	char now[OUT_TEXT_MAX];
	json_t *before;
	int code = take_lock(n);

	if (code != CTL_OK)
		return code;
	before = json_load_file(nightly_result_path(), 0, NULL);
	if (!strcmp(out_get_text(before, "result"), "running")) {
		note("the run that began at %s was killed",
		     out_get_text(before, "begin"));
		wait_for_left(before);
	}
	n->record = json_pack(
		"{s:i, s:s, s:n, s:i, s:s, s:n, s:n, s:n, s:O?}", "version", 1,
		"result", "running", "code", "pid", (int)getpid(), "begin",
		out_time(now, time(NULL)), "end", "duration_ms", "error",
		"last_ok",
		json_object_get(before,
				strcmp(out_get_text(before, "result"), "ok")
					? "last_ok"
					: "end"));
	json_decref(before);
	if (!n->record)
		return fail(CTL_FAILED, "out of memory");
	return record_write(n);
}

void record_close(struct nightly *n)
{
	json_decref(n->record);
	if (n->lock >= 0)
		close(n->lock);
	n->lock = -1;
}
