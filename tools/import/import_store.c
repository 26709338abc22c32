/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_store.c - the datasets of an import
 *
 * What is made is the dataset NAME.import-PID.  Its snapshot has all properties
 * before anything is switched.  Then
 *
 *  - where there is no NAME: one rename, and its snapshot comes with it
 *  - else: restore NAME from the snapshot (one operation of the store, which
 *    keeps what the head was as a snapshot, unless the head was the same as
 *    its newest snapshot), freeze it as NAME@SNAPSHOT, copy the properties,
 *    destroy NAME.import-PID
 *
 * After a crash NAME.import-PID is there.  If NAME's head is what that has in
 * its snapshot, the switch was done and the rest is done now; else it is
 * destroyed.  Why: docs/decisions/0120-import.md.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tools/import/import_internal.h"

#define ROOM_MIN (UINT64_C(32) << 20)
#define READY	 "user:dbs.import.ready"
/* the daemon ends a connection that was idle for long, as while rows come */
#define FRESH_NS UINT64_C(30000000000)
/* five seconds */
#define WRITER_WAITS   100u
#define WRITER_WAIT_US 50000u

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

static int destroy(struct import *im, const char *name)
{
	return call(im, "rm",
		    json_pack("{s:[s], s:b, s:b}", "names", name, "recursive",
			      1, "force", 1),
		    NULL);
}

/* ---- switch -------------------------------------------------------------------- */

static int copy_properties(struct import *im, const char *to,
			   const json_t *properties)
{
	const char *key;
	json_t *value;
	int code = CTL_OK;

	json_object_foreach((json_t *)properties, key,
			    value) if (code == CTL_OK &&
				       !strncmp(key, "user:", 5) &&
				       strcmp(key, READY)) code =
		call(im, "set",
		     json_pack("{s:s, s:s, s:O}", "name", to, "key", key,
			       "value", value),
		     NULL);
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
static int finish(struct import *im, const char *temp, const char *snapshot,
		  const json_t *properties)
{
	char name[2 * DATASET_NAME_MAX + 2];
	json_t *items = NULL;
	int code;

	snprintf(name, sizeof(name), "%s@%s", im->options->dataset, snapshot);
	code = list(im, "snapshot", name, &items);
	if (code == CTL_OK && !json_array_size(items))
		code = call(im, "snapshot", json_pack("{s:s}", "name", name),
			    NULL);
	json_decref(items);
	if (code == CTL_OK)
		code = copy_properties(im, name, properties);
	return code == CTL_OK ? destroy(im, temp) : code;
}

static int restore(struct import *im, const char *frozen)
{
	char last[2 * DATASET_NAME_MAX + 2];
	json_t *result = NULL;
	bool discard = newest(im, last, sizeof(last)) &&
		       is_same(im, last, im->options->dataset);
	int code =
		call(im, "restore",
		     json_pack("{s:s, s:s, s:b}", "source", frozen, "dataset",
			       im->options->dataset, "discard", discard),
		     &result);

	if (code == CTL_OK && *out_get_text(result, "kept"))
		json_object_set_new(im->report, "kept",
				    out_text(out_get_text(result, "kept")));
	json_decref(result);
	return code;
}

/* For tests: ends at once where it is told to. */
static void crash_point(const char *name)
{
	const char *at = getenv("DBS_IMPORT_CRASH");

	if (at && !strcmp(at, name))
		_exit(137);
}

int import_store_switch(struct import *im, const json_t *properties)
{
	char frozen[2 * DATASET_NAME_MAX + 2];
	int code;

	snprintf(frozen, sizeof(frozen), "%s@%s", im->temp, im->snapshot);
	crash_point("loaded");
	code = call(im, "snapshot", json_pack("{s:s}", "name", frozen), NULL);
	if (code == CTL_OK)
		code = copy_properties(im, frozen, properties);
	crash_point("frozen");
	if (code == CTL_OK && !im->exists) {
		code = call(im, "mv",
			    json_pack("{s:s, s:s}", "from", im->temp, "to",
				      im->options->dataset),
			    NULL);
		im->made = code != CTL_OK;
		crash_point("switched");
		return code;
	}
	if (code == CTL_OK)
		code = call(im, "set",
			    json_pack("{s:s, s:s, s:s}", "name", frozen, "key",
				      READY, "value", im->snapshot),
			    NULL);
	crash_point("ready");
	if (code == CTL_OK)
		code = restore(im, frozen);
	crash_point("switched");
	if (code != CTL_OK)
		return code;
	/* from here on nothing is taken back */
	im->made = false;
	return finish(im, im->temp, im->snapshot, properties);
}

/* ---- what others left --------------------------------------------------------------- */

/* Was the dataset switched to what @temp has frozen?  Then finish that. */
static bool finish_left(struct import *im, const char *temp)
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
			done = finish(im, temp, strchr(frozen, '@') + 1,
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

/* Files of the dataset that are open for writing; 0: also if it is gone. */
static uint64_t nr_writers(struct import *im, const char *name)
{
	json_t *items = NULL;
	uint64_t nr = 0;

	if (list(im, "dataset", name, &items) == CTL_OK)
		nr = out_get_int(json_array_get(items, 0), "open_files_write");
	json_decref(items);
	return nr;
}

/*
 * Does somebody work on it still?  Not one with our lock, but one with another
 * directory of states, or in another container.
 */
static int check_left(struct import *im, const char *name, const char *pid)
{
	if (is_import(pid))
		return fail(CTL_CONFLICT,
			    "'%s' is being made by another import (pid %s): "
			    "wait for its end",
			    name, pid);
	/* a server that was just ended lets go of them one by one */
	for (unsigned i = 0; nr_writers(im, name); i++) {
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

static int clean_up(struct import *im)
{
	char pattern[DATASET_NAME_MAX + 16];
	json_t *items, *item;
	int code;
	size_t i;

	snprintf(pattern, sizeof(pattern), "%s.import-*", im->options->dataset);
	code = list(im, "dataset", pattern, &items);
	json_array_foreach(items, i, item)
	{
		const char *name = out_get_text(item, "name");
		const char *pid = name + strlen(im->options->dataset) +
				  strlen(".import-");

		/* ours have a process's number there */
		if (!*pid || strspn(pid, "0123456789") != strlen(pid))
			continue;
		if (code == CTL_OK)
			code = check_left(im, name, pid);
		if (code != CTL_OK || finish_left(im, name))
			continue;
		note("removing '%s', which a killed import left", name);
		code = destroy(im, name);
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

int import_store_make(struct import *im)
{
	int code;

	if (snprintf(im->temp, sizeof(im->temp), "%s.import-%d",
		     im->options->dataset,
		     (int)getpid()) >= (int)sizeof(im->temp))
		return fail(CTL_USAGE,
			    "the name '%s' is too long to import "
			    "into",
			    im->options->dataset);
	code = call(im, "create", create_arguments(im), NULL);
	if (code != CTL_OK)
		return code;
	im->made = true;
	if (snprintf(im->datadir, sizeof(im->datadir), "%s/%s", im->mount,
		     im->temp) >= (int)sizeof(im->datadir))
		return fail(CTL_FAILED, "'%s' is too long a path", im->mount);
	return CTL_OK;
}

void import_store_end(struct import *im)
{
	if (im->made)
		destroy(im, im->temp);
	im->made = false;
}

bool import_store_is_full(const struct import *im)
{
	struct statvfs st;

	return *im->datadir && !statvfs(im->datadir, &st) &&
	       (uint64_t)st.f_bavail * st.f_frsize < ROOM_MIN;
}
