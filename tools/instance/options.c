/* SPDX-License-Identifier: Apache-2.0 */
/* options.c - which options a server of an instance gets */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/ctl_ops.h"
#include "tools/cmd.h"
#include "tools/instance/life.h"
#include "tools/instance/life_internal.h"
#include "tools/out.h"

#define SMALL	       (UINT64_C(512) << 20)
#define LOG_BUFFER_MIN (UINT64_C(2) << 20)
#define LOG_BUFFER_MAX (UINT64_C(16) << 20) /* the server's default */

/* ---- of a person --------------------------------------------------------------- */

/* Longer lines of an option file are read as two, each with an option. */
#define OPTION_MAX 1900

/* What a server takes off an option's name: all of it changes the value. */
static const char *skip_prefixes(const char *option)
{
	static const char *const prefixes[] = {"loose", "enable", "maximum"};
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(prefixes);) {
		len = strlen(prefixes[i]);
		if (strncasecmp(option, prefixes[i], len) ||
		    (option[len] != '-' && option[len] != '_')) {
			i++;
			continue;
		}
		option += len + 1;
		i = 0;
	}
	return option;
}

/* "loose_Max-Connections=5" is max-connections. */
static void option_key(const char *option, char *key, size_t cap)
{
	size_t len = 0;

	option = skip_prefixes(option);
	for (; *option && *option != '=' && len + 1 < cap; option++)
		key[len++] = *option == '_'
				     ? '-'
				     : (char)tolower((unsigned char)*option);
	key[len] = '\0';
}

/* No other line of an option file: a group, a comment, an !include. */
static bool is_option(const char *option, const char *key)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "0123456789-.";

	return *key && *key != '-' && *key != '.' &&
	       strlen(option) <= OPTION_MAX && !strpbrk(option, "\r\n") &&
	       strspn(key, allowed) == strlen(key);
}

int life_check_option(const struct cmd *cmd, const char *option)
{
	static const char *const ours[] = {"datadir",
					   "socket",
					   "port",
					   "pid-file",
					   "user",
					   "init-file",
					   "defaults-file",
					   "defaults-extra-file",
					   "no-defaults",
					   "log-error",
					   "skip-grant-tables",
					   "daemonize",
					   "bootstrap"};
	char key[64];

	option_key(option, key, sizeof(key));
	if (!is_option(option, key))
		return fail_usage(cmd,
				  "'%s' is no option of a server: write "
				  "'name=value' or 'name'",
				  option);
	/* a server takes the beginning of a name for the name */
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
		if (!strncmp(key, ours[i], strlen(key)))
			return fail_usage(cmd,
					  "the server's option '%s' is the "
					  "instance's own",
					  key);
	return CTL_OK;
}

/* ---- memory -------------------------------------------------------------------- */

uint64_t life_memory(const char *text)
{
	static const struct {
		const char *name;
		uint64_t bytes;
	} classes[] = {{"small", SMALL},
		       {"medium", UINT64_C(2) << 30},
		       {"large", UINT64_C(8) << 30}};
	uint64_t bytes;

	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (!strcmp(text, classes[i].name))
			return classes[i].bytes;
	if (ctl_parse_size(text, &bytes) || bytes < UINT64_C(128) << 20)
		return 0;
	return bytes;
}

/* What a server needs besides it does not shrink with it. */
static uint64_t buffer_pool(uint64_t memory)
{
	if (memory <= SMALL)
		return memory / 4;
	return memory / 2;
}

/*
 * MariaDB reads so much of its redo log at each start, twice, whatever is in it:
 * the default of 16M is a fifth of the time of a start.
 */
static uint64_t log_buffer(uint64_t memory)
{
	uint64_t bytes = buffer_pool(memory) / 64;

	return MIN_OF(MAX_OF(bytes, LOG_BUFFER_MIN), LOG_BUFFER_MAX);
}

/* ---- all of them ----------------------------------------------------------------- */

static void add(json_t *options, const char *text)
{
	json_array_append_new(options, json_string(text));
}

static void add_text(json_t *options, const char *key, const char *value)
{
	json_array_append_new(options, json_sprintf("%s=%s", key, value));
}

static void add_number(json_t *options, const char *key, uint64_t value)
{
	json_array_append_new(options, json_sprintf("%s=%" PRIu64, key, value));
}

/*
 * Reads that the buffer pool misses are answered from the kernel's pages, which
 * no request to the pool's daemon is needed for: docs/decisions/0111.  loose:
 * MariaDB 11 has other names for it, and will forget this one.  Neighbours of a
 * page do not lie beside it on a pool; MariaDB takes a mount for a disk that
 * turns, and would write them too.
 */
static void add_io(json_t *options)
{
	add(options, "loose-innodb-flush-method=fsync");
	add(options, "innodb-flush-neighbors=0");
}

/* What the files were made with: another value would rebuild them, or fail. */
static void add_files(json_t *options, const struct datadir *dir,
		      const struct server_binary *bin)
{
	/* a page's write is atomic on a pool */
	add(options, "innodb-doublewrite=OFF");
	/* DATA DIRECTORY: a table's files stay in the dataset */
	add(options, "loose-skip-symbolic-links");
	if (dir->page_size)
		add_number(options, "innodb-page-size", dir->page_size);
	if (dir->log_size && bin->mariadb)
		add_number(options, "innodb-log-file-size", dir->log_size);
}

/* Identity: nothing of what it was cloned from goes on. */
static void add_identity(json_t *options, const struct instance *inst,
			 const struct server_binary *bin)
{
	add_number(options, "server-id",
		   out_get_int(inst->record, "server_id"));
	add(options, "skip-log-bin");
	add(options, "event-scheduler=OFF");
	add(options,
	    bin->mariadb ? "skip-slave-start" : "loose-skip-replica-start");
	if (!bin->mariadb) {
		add(options, "loose-persisted-globals-load=OFF");
		add(options, "loose-mysqlx=OFF");
	}
}

/* Caches that are filled with zeros at each start: a third of its time. */
static void add_small(json_t *options, const struct server_binary *bin)
{
	add(options, "loose-performance-schema=OFF");
	add(options, "key-buffer-size=1M");
	if (bin->mariadb)
		add(options, "aria-pagecache-buffer-size=8M");
}

static bool has_option(const json_t *options, const char *wanted)
{
	json_t *option;
	char key[64];
	size_t i;

	json_array_foreach(options, i, option)
	{
		option_key(json_string_value(option), key, sizeof(key));
		if (!strcmp(key, wanted))
			return true;
	}
	return false;
}

/*
 * Of the first start on a state.  A snapshot of a running server with a binary
 * log holds transactions that are prepared, and that its log would decide on.
 * Without a log all are committed: so is each that was acknowledged, and whole.
 * A server with a log refuses to do so, and rolls them back.
 */
static void add_first(json_t *options, const struct instance *inst)
{
	char path[PATH_MAX];

	if (!has_option(options, "log-bin"))
		add(options, "tc-heuristic-recover=COMMIT");
	add_text(options, "init-file", instance_file(inst, "init.sql", path));
}

json_t *life_options(const struct instance *inst, const struct datadir *dir,
		     const struct server_binary *bin, bool init)
{
	uint64_t memory = out_get_int(inst->record, "memory");
	json_t *options = json_array();
	char path[PATH_MAX];

	add_text(options, "datadir", dir->path);
	add_text(options, "socket", instance_socket(inst, path));
	add_number(options, "port", out_get_int(inst->record, "port"));
	add_text(options, "bind-address", out_get_text(inst->record, "bind"));
	add_text(options, "tmpdir", instance_file(inst, "tmp", path));
	add(options, "skip-name-resolve");
	add_number(options, "innodb-buffer-pool-size", buffer_pool(memory));
	add(options, "innodb-buffer-pool-dump-at-shutdown=OFF");
	add(options, "innodb-buffer-pool-load-at-startup=OFF");
	if (bin->mariadb)
		add_number(options, "innodb-log-buffer-size",
			   log_buffer(memory));
	if (memory <= SMALL)
		add_small(options, bin);
	add_io(options);
	add_files(options, dir, bin);
	add_identity(options, inst, bin);
	/* a person's come last, and count */
	json_array_extend(options, json_object_get(inst->record, "options"));
	if (init)
		add_first(options, inst);
	return options;
}
