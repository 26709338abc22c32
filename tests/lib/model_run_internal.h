/* SPDX-License-Identifier: Apache-2.0 */
/* model_run_internal.h - shared by model_run*.c */
#ifndef DBS_TESTS_MODEL_RUN_INTERNAL_H
#define DBS_TESTS_MODEL_RUN_INTERNAL_H

#include "tests/lib/model_run.h"

/** Say what is wrong, with the seed and the operation, and abort. */
_Noreturn void run_fail(const struct model_run *run, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** Note the operation under way, for run_fail() and --verbose. */
void run_what(struct model_run *run, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * Is @rc what the model wants (0 or -errno)?  Returns true when it is 0 and
 * the model must follow; false when the operation failed as it should.
 */
bool run_expect(struct model_run *run, int rc, int want);
/** Is @rc a fault that the test injected?  Notes it. */
bool run_faulted(struct model_run *run, int rc);
/** Around the test's own calls (model_run_options.quiet). */
void run_quiet(struct model_run *run, bool on);
/** Keep the model's state as it is now. */
void run_keep(struct model_run *run);
/** All that was done so far is durable once the step's state is kept. */
void run_durable(struct model_run *run);
/** The same for all that was done to dataset @id, and so for what came before
 * its last change. */
void run_durable_root(struct model_run *run, uint32_t id);

/** A reference to root @id, which must exist. */
struct dataset *run_open(struct model_run *run, uint32_t id);
/** A random dataset (not a snapshot), or NULL. */
struct model_root *run_pick_dataset(struct model_run *run);
/** A random dataset that may be written to, or NULL. */
struct model_root *run_pick_writable(struct model_run *run);
/** A random root of any kind, or NULL. */
struct model_root *run_pick_root(struct model_run *run);
/** A random snapshot, or NULL. */
struct model_root *run_pick_snapshot(struct model_run *run);
/** Open files of dataset @root: all, or those for writing. */
unsigned run_count(const struct model_run *run, uint32_t root, bool write);
void run_close_handles(struct model_run *run, uint32_t root);

typedef void run_op_fn(struct model_run *run);
struct run_op {
	run_op_fn *fn;
	unsigned weight;
};
/* model_run_root.c, model_run_name.c, model_run_data.c; a NULL ends each */
extern const struct run_op run_root_ops[];
extern const struct run_op run_name_ops[];
extern const struct run_op run_data_ops[];

/* model_run_root.c */
void run_create_dataset(struct model_run *run);
/** Destroy root @id, with its snapshots if it has any. */
void run_destroy(struct model_run *run, uint32_t id);

/* model_run_name.c */
enum run_kind { RUN_FILE, RUN_DIR, RUN_ANY };
/** A random inode of that kind that has a name; NULL when there is none. */
const struct model_inode *run_pick_inode(struct model_run *run,
					 const struct model_root *r,
					 enum run_kind kind);
/**
 * An inode was changed by an operation: its attributes must be the model's
 * but for the times, which the model takes over.
 */
void run_refresh(struct model_run *run, struct dataset *ds,
		 struct model_root *r, uint64_t ino);

#endif
