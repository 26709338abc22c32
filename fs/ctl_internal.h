/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ctl_internal.h - shared by ctl_*.c
 *
 * A command is one function.  It reads its arguments with ctl_arg_*(), which
 * the table in ctl_ops.c has checked for type and presence, and either fills
 * call->result or says why not with ctl_fail*().
 */
#ifndef DBS_FS_CTL_INTERNAL_H
#define DBS_FS_CTL_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "fs/ctl_ops.h"

struct ctl_call {
	struct ctl_context *ctx;
	const json_t *args;
	json_t *result; /* an object, made before the command runs */
	enum ctl_code code;
	char error[768];
};

/** Returns -1 always, so that a command can return it. */
int ctl_fail(struct ctl_call *call, enum ctl_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** "WHAT: why", why being what @err (-errno) means for a pool. */
int ctl_fail_errno(struct ctl_call *call, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

const char *ctl_arg_string(const struct ctl_call *call, const char *key);
bool ctl_arg_bool(const struct ctl_call *call, const char *key);
/** An integer or a string with a unit.  0, or -1 after ctl_fail(). */
int ctl_value_size(struct ctl_call *call, const char *key, const json_t *value,
		   uint64_t *bytes);

void ctl_put(struct ctl_call *call, const char *key, json_t *value);
json_t *ctl_json_u64(uint64_t v);
json_t *ctl_json_time(const struct timespec *t);
/** File names may be any bytes: those that are not UTF-8 become \xNN. */
json_t *ctl_json_bytes(const char *s);
/** Milliseconds since @start_ns of CLOCK_MONOTONIC. */
json_t *ctl_json_ms_since(uint64_t start_ns);
uint64_t ctl_now_ns(void);
/** Where "DS" or "DS@SNAP" is mounted, or null. */
json_t *ctl_json_path(const struct ctl_context *ctx, const char *name);

/**
 * Check and open "DS" or "DS@SNAP".
 * 0, or -1 after ctl_fail(): malformed (usage) or not found
 */
int ctl_open(struct ctl_call *call, const char *name, struct dataset **ds);
/**
 * Is @ds the one with the number in the argument "id", if there is one?  What
 * has the name now need not be what was chosen by it.
 *
 * @verb: what is to be done to it, "remove"
 *
 * 0, or -1 after ctl_fail(): another has its name
 */
int ctl_check_id(struct ctl_call *call, struct dataset *ds, const char *verb);
/** Check a name that is to be made: @snapshot tells whether DS@SNAP. */
int ctl_check_new_name(struct ctl_call *call, const char *name, bool snapshot);
/** "DS@SNAP" in halves; @snap is "" without '@'.  -1 after ctl_fail(). */
int ctl_split_name(struct ctl_call *call, const char *name,
		   char ds[DATASET_NAME_MAX + 1],
		   char snap[DATASET_NAME_MAX + 1]);

/* Open datasets and snapshots that belong together. */
struct ctl_set {
	struct dataset **ds;
	size_t nr, cap;
};
/** Takes over the reference, also on error; drops it if already there. */
int ctl_set_add(struct ctl_set *set, struct dataset *ds);
void ctl_set_release(struct ctl_set *set);
/** ctl_check_id() where several can be named; "id" is for one. */
int ctl_check_ids(struct ctl_call *call, const struct ctl_set *set,
		  const char *verb);

#define CTL_WANT_DATASETS  1u
#define CTL_WANT_SNAPSHOTS 2u
/** Add all that match @pattern (NULL: all), by name, snapshots by time. */
int ctl_match(struct ctl_call *call, const char *pattern, unsigned want,
	      struct ctl_set *set);
bool ctl_is_pattern(const char *name);

/** Why a compression level or recordsize is refused; see ctl_property.c. */
int ctl_property_set(struct ctl_call *call, struct dataset_properties *p,
		     const char *key, const json_t *value);
json_t *ctl_json_compression(int level);
/** The last scrub in short. */
json_t *ctl_json_scrub(struct pool *pool);
/** Logical over referenced bytes; 1.0 when empty. */
json_t *ctl_json_ratio(const struct dataset_info *info);

int ctl_cmd_ping(struct ctl_call *call);
int ctl_cmd_pool_info(struct ctl_call *call);
int ctl_cmd_pool_grow(struct ctl_call *call);
int ctl_cmd_pool_wait(struct ctl_call *call);
int ctl_cmd_pool_scrub(struct ctl_call *call);
int ctl_cmd_sync(struct ctl_call *call);
int ctl_cmd_df(struct ctl_call *call);
int ctl_cmd_shutdown(struct ctl_call *call);
int ctl_cmd_create(struct ctl_call *call);
int ctl_cmd_list(struct ctl_call *call);
int ctl_cmd_rm(struct ctl_call *call);
int ctl_cmd_mv(struct ctl_call *call);
int ctl_cmd_snapshot(struct ctl_call *call);
int ctl_cmd_clone(struct ctl_call *call);
int ctl_cmd_restore(struct ctl_call *call);
int ctl_cmd_set(struct ctl_call *call);
int ctl_cmd_get(struct ctl_call *call);
int ctl_cmd_diff(struct ctl_call *call);

#endif
