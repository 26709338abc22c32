/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_instance.h - shared by the cmd_instance*.c
 */
#ifndef DBS_TOOLS_CMD_INSTANCE_H
#define DBS_TOOLS_CMD_INSTANCE_H

#include <stdint.h>

#include <jansson.h>

#include "tools/cmd.h"
#include "tools/instance/instance.h"

/** "90s", "30m", "8h", "2d", "1w"; else a usage error of @cmd. */
int parse_duration(const struct cmd *cmd, const char *text, int64_t *seconds);

/** What --json says of an instance; the caller's. */
json_t *instance_json(const struct instance *inst);

/** What --dry-run prints: that a command would do @what with @inst. */
void instance_dry_run(const struct invocation *inv, const struct instance *inst,
		      const char *what);

/**
 * Something done with instance @name, as a command does it: says what went
 * wrong and returns the exit code for it.
 * @item: out, for --json; NULL: nothing to say
 */
typedef int instance_fn(const struct invocation *inv, const char *name,
			json_t **item);
/**
 * Call @fn for each of @names, in as many processes at once as there are CPUs.
 * @items: out, the caller's: what they gave, in the order of the names
 * Returns CTL_OK, or the code of one that failed; the others go on.
 */
int instance_each(const struct invocation *inv, const json_t *names,
		  instance_fn *fn, json_t **items);

struct client;
/**
 * See to it that the dataset that 'dbs up' runs on is there: clone what --from
 * says, or have it confirmed that one that is no clone is changed.  With
 * --dry-run only print what would be done.
 * @made: out, true where it was cloned
 */
int instance_dataset(const struct invocation *inv, struct instance *inst,
		     struct client *client, bool *made);

/** Is its time over, and its dataset one that 'dbs up' made? */
bool instance_is_over(const struct instance *inst);

/**
 * dbs down --rm of one whose time is over, without a question; what @inv says
 * of the pool counts.
 */
int instance_destroy(const struct invocation *inv, const char *name);

/**
 * Does a lease protect what @pattern names, "ci-*" or "DS@*"?  It protects an
 * instance, its snapshots and the one that it goes back to.
 * Errors: CTL_CONFLICT it does; as instance_open(): nobody knows
 */
int instance_guard(const char *pattern);

/** What dbs ps says of workers; @configured: those of the configuration. */
json_t *workers_json(const json_t *configured);
void workers_print(const json_t *items);
/** Path of a worker's output.  Errors: CTL_NOT_FOUND */
int workers_log(const char *name, bool is_error, char path[PATH_MAX]);

/** dbs restore where the dataset @name has an instance. */
int instance_run_restore(struct invocation *inv, const char *name);

#endif
