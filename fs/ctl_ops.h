/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl_ops.h - the commands on a pool, as JSON in and JSON out
 *
 * Below: store/, jansson.  Above: control.c (the daemon's socket) and tools/
 * (the same commands on a pool that nobody has mounted).
 *
 * Owns: names of commands, arguments and results, the sentences of errors and
 * their codes.
 *
 * Invariants:
 *  L1  a request is checked whole before anything changes: names are resolved
 *      all or none, unknown arguments are refused.
 *  L2  every answer has "v" and "ok"; one that is not ok has "code" and
 *      "error", one sentence in lower case without full stop.
 *  L3  ctl_execute() may run in several threads at once.
 *
 * One request is one line, at most CTL_REQUEST_MAX bytes with its newline:
 *
 *   {"v":1,"command":"clone","arguments":{"source":"a@b","name":"c"}}
 *
 * and so is its answer, of any length:
 *
 *   {"v":1,"ok":true,"result":{...}}
 *   {"v":1,"ok":false,"code":4,"error":"one sentence"}
 *
 * Units: sizes are integers, bytes; times are RFC 3339 in UTC with
 * nanoseconds ("2026-11-22T12:00:00.123456789Z"); durations are real numbers
 * called ..._ms.  Where an argument is a size, a string with a unit ("16K",
 * "10GiB", "none" for 0) does too.  Bytes of file names that are not UTF-8
 * appear as \xNN in text.  `?` marks what may be left out.
 *
 * | command   | arguments -> result                                        |
 * |-----------|------------------------------------------------------------|
 * | ping      | {} -> {version, pid, name, uuid, path, mountpoint|null}    |
 * | pool.info | {} -> {name, uuid, path, mountpoint|null, size, free,      |
 * |           | allocated, reserved, deferred, dead, txg, nr_commits,      |
 * |           | nr_datasets, nr_snapshots, cache_bytes, cache_used,        |
 * |           | dirty_bytes, nr_errors, created, version, compat,          |
 * |           | ro_compat, incompat, high_water, commit_last_ms,           |
 * |           | commit_max_ms, read_only, failed, scrub: {state, started,  |
 * |           | ended, done, total, nr_errors}}                            |
 * | pool.grow | {size?: 0 or left out: all of the device}                  |
 * |           | -> {size_before, size}                                     |
 * | pool.scrub| {action?: "status"|"start"|"follow"|"pause"|"stop", rate?:  |
 * |           | bytes a second, wait_ms?: wait so long for its end}        |
 * |           | -> {state: "none"|"running"|"interrupted"|"paused"|        |
 * |           | "stopped"|"finished"|"failed", started|null, ended|null,   |
 * |           | done, total, rate, speed, active_ms, eta_ms|null, nr_nodes,|
 * |           | nr_records, nr_errors, nr_found, at|null, findings: [{kind:|
 * |           | "record"|"node"|"pool_node"|"superblock"|"space_map",      |
 * |           | dataset|null, path|null, ino|null, offset|null, block,     |
 * |           | nr_blocks, text}...]}; start goes on with one that was     |
 * |           | paused or interrupted, follow also joins one that runs     |
 * | pool.wait | {} -> {duration_ms}; until the reaper has nothing to do    |
 * | sync      | {} -> {duration_ms, txg}                                   |
 * | create    | {name, recordsize?, compression?, quota?, readonly?}       |
 * |           | -> {name, id, path|null, duration_ms}                      |
 * | list      | {types?: ["dataset","snapshot"], pattern?: "ci-*" or       |
 * |           | "ds@*", unique?: false} -> {items: [ITEM...]}              |
 * |           | types left out: datasets, or snapshots if there's a '@'    |
 * | rm        | {names: ["a", "ci-*", "a@s"...], recursive?, force?,       |
 * |           | dry_run?, unique?: as dry_run, id?: of the one that is     |
 * |           | named, as ITEM has it; another's is refused}               |
 * |           | -> {items: [{name, type, unique?}...], total_unique?,      |
 * |           | dry_run, duration_ms};                                     |
 * |           | total_unique: what destroying all of them together frees;  |
 * |           | to know it takes time on a large dataset                   |
 * | mv        | {from, to} -> {from, to, path|null}; a snapshot's `to` is  |
 * |           | "DS@NEW" or "@NEW"                                         |
 * | snapshot  | {name: "DS@SNAP"} or {names: ["A@S", "B@S"...]: at one     |
 * |           | moment, all with one S} , automatic?: false                |
 * |           | -> {items: [{name, id, created, path|null}...],            |
 * |           | duration_ms}                                               |
 * | clone     | {source: "DS" or "DS@SNAP", name}                          |
 * |           | -> {name, id, origin|null, path|null, duration_ms}         |
 * | restore   | {source: "DS@SNAP", dataset?: left out: DS, force?,        |
 * |           | discard?} -> {dataset, source, kept: "DS@before-restore-   |
 * |           | YYYYmmddTHHMMSSZ[.n]"|null, generation, duration_ms}       |
 * | set       | {name, key, value} -> {name, key, value}; a user property  |
 * |           | is unset by value null                                     |
 * | get       | {name, key?: left out: all} -> {name, properties: {...}}   |
 * | diff      | {a, b?: left out: the live dataset of snapshot a,          |
 * |           | limit?: 10000} -> {a, b, entries: [{kind: "added"|         |
 * |           | "removed"|"modified"|"renamed", path, old_path?, ino, mode,|
 * |           | type: "file"|"directory"|"symlink"|"fifo"|"socket"|        |
 * |           | "device", size, bytes}...], nr_entries, bytes, truncated}; |
 * |           | nr_entries and bytes count those over the limit too, and   |
 * |           | those after 8 MiB of paths                                 |
 * | df        | {pattern?, unique?: false} -> {pool: {size, allocated,     |
 * |           | free, reserved, deferred, dead}, items: [{name, size, free,|
 * |           | referenced, logical, charged, unique?, quota, ratio,       |
 * |           | nr_snapshots}...]}                                         |
 * | shutdown  | {lazy?: false} -> {}; mounted only: commit, unmount, end.  |
 * |           | The answer comes when the directory is unmounted, the      |
 * |           | connection closes when the pool is; before that comes a    |
 * |           | second answer, not ok, if the last commit failed           |
 *
 * ITEM: {name, type: "dataset"|"snapshot", id, dataset (a snapshot's)|null,
 * origin: "DS@SNAP" as it was then|null, created, created_txg, generation,
 * referenced, logical, charged, unique? (bytes that come back if it alone is
 * destroyed), ratio (logical/referenced, 1.0 when empty), nr_inodes,
 * nr_snapshots, recordsize, compression, quota, readonly, automatic,
 * open_files, open_files_write, path (where it is mounted)|null}
 *
 * Properties of set and get: recordsize (size), compression ("off",
 * "zstd:LEVEL"; set also takes "on", "zstd" and a number), quota (size, 0 is
 * none), readonly (boolean; set also takes "on", "off", "yes", "no"),
 * user:KEY (string).  Only get: type, origin, created, referenced, logical,
 * charged, unique, ratio, nr_inodes, nr_snapshots, automatic.
 *
 * Names are "DS", "DS@SNAP", or "DS@latest" where something must exist.
 * Patterns are those of glob(7), each half matched by itself.
 */
#ifndef DBS_FS_CTL_OPS_H
#define DBS_FS_CTL_OPS_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "store/store.h"

#define CTL_VERSION	1
#define CTL_REQUEST_MAX (64u << 10)
#define CTL_RUN_DIR	"/run/dbs"

/* Exit codes of dbs and dbsfs; the "code" of an answer is one of them. */
enum ctl_code {
	CTL_OK = 0,
	CTL_CHECK_FAILED = 1, /* the check ran and found something */
	CTL_FAILED = 2,	      /* the operation failed */
	CTL_NOT_FOUND = 3,
	CTL_CONFLICT = 4, /* exists, busy or protected */
	CTL_NOT_PERMITTED = 5,
	CTL_NO_SPACE = 6, /* or over quota */
	CTL_TIMEOUT = 7,
	CTL_USAGE = 64,
	CTL_UNREACHABLE = 69, /* no daemon answers */
	CTL_CONFIG = 78,
};

/*
 * What only the mounted side does.  All may be NULL.  They are called without
 * locks held, after the change is durable (but for destroying and those that
 * begin something), and must not call ctl_execute().
 */
struct ctl_hooks {
	void (*created)(void *arg, const char *name);
	/*
	 * Around a restore: wait for the file operations under way and keep
	 * new ones out; then let them go on.  @err: what restore returned; on
	 * 0 the tree was replaced: invalidate what the kernel has.
	 */
	void (*restore_begin)(void *arg, uint32_t id);
	void (*restore_end)(void *arg, uint32_t id, const char *name, int err);
	/* it will be destroyed, and may be in use until it is */
	void (*destroying)(void *arg, uint32_t id);
	/* from here to the end who makes another of that name waits, in
	 * created() or renamed(), for what the kernel has of this one */
	void (*destroy_begin)(void *arg, const char *name);
	/* always follows; @id: of the dataset or snapshot; @name as it was:
	 * "DS", "DS@SNAP"; @err: what destroy returned */
	void (*destroy_end)(void *arg, uint32_t id, const char *name, int err);
	void (*renamed)(void *arg, uint32_t id, const char *from,
			const char *to);
	/* unmount; NULL: the command is refused.  0 or -errno */
	int (*shutdown)(void *arg, bool lazy);
};

struct ctl_context {
	struct pool *pool;
	const char *pool_path;
	const char *mountpoint;	       /* NULL: not mounted */
	const struct ctl_hooks *hooks; /* or NULL */
	void *hook_arg;
};

/**
 * Run one request; never NULL but when memory is short.
 * Owner: the caller owns the answer and drops it with json_decref()
 */
json_t *ctl_execute(struct ctl_context *ctx, const json_t *request);

/**
 * The request in a line, at most CTL_REQUEST_MAX bytes, of whoever it was that
 * connected.  NULL: it is none, and @refusal (out) is the answer.
 */
json_t *ctl_request_parse(const char *line, size_t len, json_t **refusal);
/**
 * The line that says @answer, which is dropped: @len bytes, the last of them
 * the newline; the caller frees it.  NULL: memory is short.
 */
char *ctl_answer_line(json_t *answer, size_t *len);

/** An answer that is not ok; for what fails before ctl_execute(). */
json_t *ctl_answer_error(enum ctl_code code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** The code that stands for @err (-errno). */
enum ctl_code ctl_code_of_errno(int err);

/** @uuid as 8-4-4-4-12 hex digits; @buf: at least 37 bytes. */
void ctl_uuid_format(const uint8_t uuid[16], char *buf);

/** Where the daemon of the pool with @uuid listens unless told otherwise. */
int ctl_socket_path(const uint8_t uuid[16], char *buf, size_t cap);

/**
 * Bytes from "4096", "16K", "1.5GiB", "none" (0); units are powers of 1,024.
 * Errors: -EINVAL; -ERANGE
 */
int ctl_parse_size(const char *text, uint64_t *bytes);

#endif
