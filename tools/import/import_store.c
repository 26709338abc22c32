/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_store.c - the datasets of an import
 *
 * What is made is the dataset NAME.import-RANDOM-PID.  Its snapshot has all
 * properties before anything is switched.  Then
 *
 *  - where there is no NAME: one rename, and its snapshot comes with it
 *  - else: restore NAME from the snapshot (one operation of the store, which
 *    keeps what the head was as a snapshot, unless the head was the same as
 *    its newest snapshot), freeze it as NAME@SNAPSHOT, copy the properties,
 *    destroy what was made
 *
 * After a crash that is there still.  If NAME's head is what it has in its
 * snapshot, the switch was done and the rest is done now; else it is destroyed.
 *
 * Somebody else may destroy it at any time and make another of its name, so
 * the store is told its id with each operation.  Other imports leave alone what
 * has a file open for writing: from the beginning to the snapshot one without
 * a name is.  Why: docs/decisions/0120-import.md.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tools/import/import_internal.h"

#define ROOM_MIN (UINT64_C(32) << 20)
#define READY	 "user:dbs.import.ready"
#define DIGITS	 "0123456789"
/* the daemon ends a connection that was idle for long, as while rows come */
#define FRESH_NS UINT64_C(30000000000)
/* five seconds */
#define WRITER_WAITS   100u
#define WRITER_WAIT_US 50000u
#define LET_GO_WAITS   1000u
#define LET_GO_US      5000u

/* The daemon's process. */
static int ask_pid(struct import *im, uint64_t *pid)
{
	json_t *result = NULL;
	int code = client_call(im->client, "ping", NULL, &result);

	*pid = out_get_int(result, "pid");
	json_decref(result);
	return code;
}

/*
 * A connection that works.  To another daemon there is none: what was written
 * before it started, and not flushed, may be lost.
 */
static int fresh(struct import *im)
{
	uint64_t pid = 0;
	int code;

	if (now_ns() - im->called_ns <= FRESH_NS)
		return CTL_OK;
	client_close(im->client, CTL_OK);
	im->client = NULL;
	code = client_open(im->inv, NULL, &im->client);
	if (code == CTL_OK && !client_is_local(im->client))
		code = ask_pid(im, &pid);
	if (code == CTL_OK && pid != im->daemon)
		code = fail(CTL_UNREACHABLE,
			    "the pool's daemon is not the one that the import "
			    "began with: '%s' is as it was",
			    im->options->dataset);
	return code;
}

static int call(struct import *im, const char *command, json_t *arguments,
		json_t **result)
{
	json_t *dropped = NULL;
	int code = im->client ? fresh(im) : CTL_UNREACHABLE;

	if (result)
		*result = NULL;
	if (code != CTL_OK) {
		json_decref(arguments);
		return code;
	}
	code = client_call(im->client, command, arguments,
			   result ? result : &dropped);
	im->called_ns = now_ns();
	if (!result)
		json_decref(dropped);
	return code;
}

static int list(struct import *im, const char *type, const char *pattern,
		json_t **items)
{
	json_t *result = NULL;
	int code = call(
		im, "list",
		json_pack("{s:[s], s:s}", "types", type, "pattern", pattern),
		&result);

	*items = code == CTL_OK ? json_incref(json_object_get(result, "items"))
				: NULL;
	json_decref(result);
	return code;
}

static int destroy(struct import *im, const char *name, json_int_t id)
{
	return call(im, "rm",
		    json_pack("{s:[s], s:I, s:b, s:b}", "names", name, "id", id,
			      "recursive", 1, "force", 1),
		    NULL);
}

/* Of the dataset: files open for writing, and inodes.  0: also if it is gone. */
static uint64_t nr_writers(struct import *im, const char *name,
			   uint64_t *inodes)
{
	json_t *items = NULL;
	uint64_t nr = 0;

	*inodes = 0;
	if (list(im, "dataset", name, &items) == CTL_OK) {
		const json_t *item = json_array_get(items, 0);

		nr = out_get_int(item, "open_files_write");
		*inodes = out_get_int(item, "nr_inodes");
	}
	json_decref(items);
	return nr;
}

/* ---- switch -------------------------------------------------------------------- */

static int freeze(struct import *im, const char *name, json_int_t id,
		  json_int_t *snapshot)
{
	json_t *arguments = json_pack("{s:s}", "name", name), *result = NULL;
	int code;

	if (id)
		json_object_set_new(arguments, "id", json_integer(id));
	code = call(im, "snapshot", arguments, &result);
	*snapshot = (json_int_t)out_get_int(
		json_array_get(json_object_get(result, "items"), 0), "id");
	json_decref(result);
	return code;
}

static int set_property(struct import *im, const char *name, json_int_t id,
			const char *key, const json_t *value)
{
	return call(im, "set",
		    json_pack("{s:s, s:I, s:s, s:O}", "name", name, "id", id,
			      "key", key, "value", value),
		    NULL);
}

static int copy_properties(struct import *im, const char *to, json_int_t id,
			   const json_t *properties)
{
	const char *key;
	json_t *value;
	int code = CTL_OK;

	json_object_foreach((json_t *)properties, key, value)
	{
		if (code == CTL_OK && !strncmp(key, "user:", 5) &&
		    strcmp(key, READY))
			code = set_property(im, to, id, key, value);
	}
	return code;
}

/* Does @a have the same files as @b? */
static bool is_same(struct import *im, const char *a, const char *b)
{
	json_t *result = NULL;
	bool same =
		call(im, "diff",
		     json_pack("{s:s, s:s, s:i}", "a", a, "b", b, "limit", 1),
		     &result) == CTL_OK &&
		!out_get_int(result, "nr_entries");

	json_decref(result);
	return same;
}

/* The newest snapshot of the dataset; false: there is none. */
static bool newest(struct import *im, char *name, size_t cap)
{
	char pattern[DATASET_NAME_MAX + 8];
	json_t *items, *item;
	uint64_t best = 0;
	size_t i;

	snprintf(pattern, sizeof(pattern), "%s@*", im->options->dataset);
	*name = '\0';
	if (list(im, "snapshot", pattern, &items) != CTL_OK)
		return false;
	json_array_foreach(items, i, item)
	{
		/* ids only grow; a clock may have been wrong */
		if (out_get_int(item, "id") <= best)
			continue;
		best = out_get_int(item, "id");
		snprintf(name, cap, "%s", out_get_text(item, "name"));
	}
	json_decref(items);
	return *name;
}

/* What follows on the restore; again after a crash. */
static int finish(struct import *im, const char *temp, json_int_t temp_id,
		  const char *snapshot, const json_t *properties)
{
	char name[2 * DATASET_NAME_MAX + 2];
	json_t *items = NULL;
	json_int_t id;
	int code;

	snprintf(name, sizeof(name), "%s@%s", im->options->dataset, snapshot);
	code = list(im, "snapshot", name, &items);
	id = (json_int_t)out_get_int(json_array_get(items, 0), "id");
	if (code == CTL_OK && !json_array_size(items))
		code = freeze(im, name, 0, &id);
	json_decref(items);
	if (code == CTL_OK)
		code = copy_properties(im, name, id, properties);
	return code == CTL_OK ? destroy(im, temp, temp_id) : code;
}

static int restore(struct import *im, const char *frozen, json_int_t id)
{
	char last[2 * DATASET_NAME_MAX + 2];
	json_t *result = NULL;
	bool discard = newest(im, last, sizeof(last)) &&
		       is_same(im, last, im->options->dataset);
	int code = call(im, "restore",
			json_pack("{s:s, s:I, s:s, s:b}", "source", frozen,
				  "id", id, "dataset", im->options->dataset,
				  "discard", discard),
			&result);

	if (code == CTL_OK && *out_get_text(result, "kept"))
		json_object_set_new(im->report, "kept",
				    out_text(out_get_text(result, "kept")));
	json_decref(result);
	return code;
}

/* For tests: ends at once, or stops, where it is told to. */
static void crash_point(const char *name)
{
	const char *at = getenv("DBS_IMPORT_CRASH");

	if (at && !strcmp(at, name))
		_exit(137);
	at = getenv("DBS_IMPORT_STOP");
	if (at && !strcmp(at, name))
		raise(SIGSTOP);
}

/* Close the file that is held, and wait until the store has forgotten it. */
static int let_go(struct import *im)
{
	uint64_t before, inodes, nr = nr_writers(im, im->temp, &before);

	close(im->hold);
	im->hold = -1;
	for (unsigned i = 0; i < LET_GO_WAITS; i++) {
		nr = nr_writers(im, im->temp, &inodes);
		if (!nr && (inodes < before || i > LET_GO_WAITS / 10))
			return CTL_OK;
		usleep(LET_GO_US);
	}
	return fail(CTL_CONFLICT,
		    "'%s' has %" PRIu64 " files open for writing: somebody "
		    "else is at work in it",
		    im->temp, nr);
}

/* There is none of that name yet: its snapshot comes with it. */
static int rename_made(struct import *im)
{
	const int code =
		call(im, "mv",
		     json_pack("{s:s, s:I, s:s}", "from", im->temp, "id",
			       im->temp_id, "to", im->options->dataset),
		     NULL);

	im->made = code != CTL_OK;
	im->switched = code == CTL_OK;
	crash_point("switched");
	return code;
}

static int restore_made(struct import *im, const char *frozen, json_int_t id,
			const json_t *properties)
{
	json_t *snapshot = json_string(im->snapshot);
	int code = set_property(im, frozen, id, READY, snapshot);

	json_decref(snapshot);
	crash_point("ready");
	if (code == CTL_OK)
		code = restore(im, frozen, id);
	crash_point("switched");
	if (code != CTL_OK)
		return code;
	/* from here on nothing is taken back */
	im->made = false;
	code = finish(im, im->temp, im->temp_id, im->snapshot, properties);
	im->switched = code == CTL_OK;
	if (code != CTL_OK)
		note("'%s' was switched to what was imported; the next import "
		     "finishes that",
		     im->options->dataset);
	return code;
}

int import_store_switch(struct import *im, const json_t *properties)
{
	char frozen[2 * DATASET_NAME_MAX + 2];
	json_int_t id = 0;
	int code;

	snprintf(frozen, sizeof(frozen), "%s@%s", im->temp, im->snapshot);
	crash_point("loaded");
	code = let_go(im);
	if (code == CTL_OK)
		code = freeze(im, frozen, im->temp_id, &id);
	if (code == CTL_OK)
		code = copy_properties(im, frozen, id, properties);
	crash_point("frozen");
	if (code != CTL_OK)
		return code;
	return im->exists ? restore_made(im, frozen, id, properties)
			  : rename_made(im);
}

/* ---- what others left --------------------------------------------------------------- */

/* Was the dataset switched to what @temp has frozen?  Then finish that. */
static bool finish_left(struct import *im, const char *temp, json_int_t id)
{
	char pattern[DATASET_NAME_MAX + 8];
	json_t *items = NULL, *item, *got;
	bool done = false;
	size_t i;

	snprintf(pattern, sizeof(pattern), "%s@*", temp);
	if (!im->exists || list(im, "snapshot", pattern, &items) != CTL_OK)
		return false;
	json_array_foreach(items, i, item)
	{
		const char *frozen = out_get_text(item, "name");
		const json_t *properties;

		got = NULL;
		if (done || call(im, "get", json_pack("{s:s}", "name", frozen),
				 &got) != CTL_OK)
			continue;
		properties = json_object_get(got, "properties");
		if (*out_get_text(properties, READY) &&
		    is_same(im, frozen, im->options->dataset)) {
			note("finishing what a killed import has switched to");
			done = finish(im, temp, id, strchr(frozen, '@') + 1,
				      properties) == CTL_OK;
		}
		json_decref(got);
	}
	json_decref(items);
	return done;
}

/* Does an import run under that number? */
static bool is_import(const char *pid)
{
	char path[64], line[4096];
	size_t len = 0, at = 0;
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
	f = atoi(pid) == getpid() ? NULL : fopen(path, "re");
	if (!f)
		return false;
	len = fread(line, 1, sizeof(line) - 1, f);
	line[len] = '\0';
	fclose(f);
	for (; at < len && !found; at += strlen(line + at) + 1)
		found = !strcmp(line + at, "import");
	return found;
}

/*
 * Does somebody work on it still?  Not one with our lock, but one with another
 * directory of states, or in another container.
 */
static int check_left(struct import *im, const char *name, const char *pid)
{
	uint64_t inodes;

	if (is_import(pid))
		return fail(CTL_CONFLICT,
			    "'%s' is being made by another import (pid %s): "
			    "wait for its end",
			    name, pid);
	/* a server that was just ended lets go of them one by one */
	for (unsigned i = 0; nr_writers(im, name, &inodes); i++) {
		if (i == WRITER_WAITS)
			return fail(CTL_CONFLICT,
				    "'%s' has files open for writing: another "
				    "import runs, or the server of one that "
				    "was killed",
				    name);
		usleep(WRITER_WAIT_US);
	}
	return CTL_OK;
}

static int list_made(struct import *im, json_t **items)
{
	char pattern[DATASET_NAME_MAX + 16];

	snprintf(pattern, sizeof(pattern), "%s.import-*", im->options->dataset);
	return list(im, "dataset", pattern, items);
}

/* Of what an import made: its process.  NULL: none did. */
static const char *pid_of(const struct import *im, const char *name)
{
	const char *text =
		name + strlen(im->options->dataset) + strlen(".import-");
	const size_t len = strspn(text, DIGITS);

	/* the random number is there since two could have the same process */
	if (len && text[len] == '-')
		text += len + 1;
	return *text && strspn(text, DIGITS) == strlen(text) ? text : NULL;
}

static int clean_up(struct import *im)
{
	json_t *items, *item;
	int code = list_made(im, &items);
	size_t i;

	json_array_foreach(items, i, item)
	{
		const json_int_t id = (json_int_t)out_get_int(item, "id");
		const char *name = out_get_text(item, "name");
		const char *pid = pid_of(im, name);

		if (!pid)
			continue;
		if (code == CTL_OK)
			code = check_left(im, name, pid);
		if (code != CTL_OK || finish_left(im, name, id))
			continue;
		note("removing '%s', which a killed import left", name);
		code = destroy(im, name, id);
	}
	json_decref(items);
	return code;
}

/* ---- begin and end -------------------------------------------------------------------- */

static int look_at_dataset(struct import *im)
{
	const char *name = im->options->dataset;
	json_t *items;
	const json_t *item;
	int code = list(im, "dataset", name, &items);
	uint64_t writers = 0;

	if (code != CTL_OK)
		return code;
	item = json_array_get(items, 0);
	im->exists = item != NULL;
	if (item)
		writers = out_get_int(item, "open_files_write");
	json_decref(items);
	if (writers)
		return fail(CTL_CONFLICT,
			    "'%s' has %llu files open for writing: end the "
			    "server on it first; instances run on clones",
			    name, (unsigned long long)writers);
	return CTL_OK;
}

static int check_snapshot(struct import *im)
{
	char name[2 * DATASET_NAME_MAX + 2];
	json_t *items = NULL;
	int code = CTL_OK;

	snprintf(name, sizeof(name), "%s@%s", im->options->dataset,
		 im->snapshot);
	if (im->exists)
		code = list(im, "snapshot", name, &items);
	if (code == CTL_OK && json_array_size(items))
		code = fail(CTL_CONFLICT, "'%s' exists", name);
	json_decref(items);
	return code;
}

int import_store_begin(struct import *im)
{
	json_t *info = NULL;
	int code;

	if (client_is_local(im->client))
		return fail(CTL_UNREACHABLE,
			    "an import needs a mounted pool; see dbs mount");
	im->called_ns = now_ns();
	code = ask_pid(im, &im->daemon);
	if (code == CTL_OK)
		code = call(im, "pool.info", NULL, &info);
	if (code == CTL_OK)
		snprintf(im->mount, sizeof(im->mount), "%s",
			 out_get_text(info, "mountpoint"));
	json_decref(info);
	if (code == CTL_OK && !*im->mount)
		code = fail(CTL_UNREACHABLE, "the pool is not mounted");
	if (code == CTL_OK)
		code = look_at_dataset(im);
	if (code == CTL_OK)
		code = clean_up(im);
	if (code == CTL_OK)
		code = check_snapshot(im);
	return code;
}

/* As the one that is imported into, or by default. */
static json_t *create_arguments(struct import *im)
{
	static const char *const keys[] = {"recordsize", "compression"};
	json_t *arguments = json_pack("{s:s}", "name", im->temp), *got = NULL;

	if (im->exists &&
	    call(im, "get", json_pack("{s:s}", "name", im->options->dataset),
		 &got) == CTL_OK)
		for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
			json_object_set(
				arguments, keys[i],
				json_object_get(
					json_object_get(got, "properties"),
					keys[i]));
	json_decref(got);
	return arguments;
}

static int name_made(struct import *im)
{
	uint32_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return fail(CTL_FAILED, "no random number: %m");
	if (snprintf(im->temp, sizeof(im->temp), "%s.import-%" PRIu32 "-%d",
		     im->options->dataset, random,
		     (int)getpid()) >= (int)sizeof(im->temp))
		return fail(CTL_USAGE,
			    "the name '%s' is too long to import "
			    "into",
			    im->options->dataset);
	return CTL_OK;
}

/* Have a file open in it that has no name. */
static int hold(struct import *im)
{
	char path[PATH_MAX + 32];

	if (snprintf(im->datadir, sizeof(im->datadir), "%s/%s", im->mount,
		     im->temp) >= (int)sizeof(im->datadir))
		return fail(CTL_FAILED, "'%s' is too long a path", im->mount);
	/* not O_TMPFILE, which kernels have not had for long */
	snprintf(path, sizeof(path), "%s/.dbs-import-XXXXXX", im->datadir);
	im->hold = mkostemp(path, O_CLOEXEC);
	if (im->hold < 0 || unlink(path))
		return fail(CTL_FAILED, "'%s': %m", path);
	return CTL_OK;
}

/*
 * Two that began at once have not seen each other: the first one goes on.  What
 * killed imports left is gone, and ids grow.
 */
static int check_alone(struct import *im)
{
	json_t *items, *item;
	int code = list_made(im, &items);
	size_t i;

	json_array_foreach(items, i, item)
	{
		const char *name = out_get_text(item, "name");

		if (code == CTL_OK && pid_of(im, name) &&
		    (json_int_t)out_get_int(item, "id") < im->temp_id)
			code = fail(CTL_CONFLICT,
				    "'%s' is being made by another import: "
				    "wait for its end",
				    name);
	}
	json_decref(items);
	return code;
}

int import_store_make(struct import *im)
{
	json_t *result = NULL;
	int code = name_made(im);

	if (code == CTL_OK)
		code = call(im, "create", create_arguments(im), &result);
	im->temp_id = (json_int_t)out_get_int(result, "id");
	im->made = result != NULL;
	json_decref(result);
	if (code == CTL_OK)
		code = hold(im);
	if (code == CTL_OK)
		code = check_alone(im);
	return code;
}

/* Is what was made there still, and not another of its name? */
static bool is_there(struct import *im)
{
	json_t *items = NULL;
	bool is = list(im, "dataset", im->temp, &items) == CTL_OK &&
		  (json_int_t)out_get_int(json_array_get(items, 0), "id") ==
			  im->temp_id;

	json_decref(items);
	return is;
}

void import_store_end(struct import *im)
{
	if (im->hold >= 0)
		close(im->hold);
	im->hold = -1;
	if (im->made && is_there(im))
		destroy(im, im->temp, im->temp_id);
	im->made = false;
}

bool import_store_is_full(const struct import *im)
{
	struct statvfs st;

	return *im->datadir && !statvfs(im->datadir, &st) &&
	       (uint64_t)st.f_bavail * st.f_frsize < ROOM_MIN;
}
