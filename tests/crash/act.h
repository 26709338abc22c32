/* SPDX-License-Identifier: Apache-2.0 */
/*
 * act.h - one operation on the pool and on a lane's model
 *
 * Below: recording.h.  Above: workload*.c.
 *
 * The operations of model_run.h pick at random what they work on; a workload
 * says it.  Each marks its beginning and its end, ends the program when the
 * store's result is not the model's, and keeps the state after it.  Roots are
 * named by id, files by inode number.
 */
#ifndef DBS_TESTS_CRASH_ACT_H
#define DBS_TESTS_CRASH_ACT_H

#include "tests/crash/recording.h"

#define ACT_ROOT MODEL_ROOT_INO

/* What is written: random bytes don't compress, text does. */
enum act_fill { ACT_RANDOM, ACT_TEXT };

/* -- datasets -------------------------------------------------------------- */

uint32_t act_dataset(struct lane *l, const char *name, uint32_t recordsize);
uint32_t act_snapshot(struct lane *l, uint32_t id, const char *name);
void act_snapshot_two(struct lane *l, uint32_t a, uint32_t b, const char *name);
uint32_t act_clone(struct lane *l, uint32_t source, const char *name);
/** @keep: NULL, or the name of the snapshot that keeps what was there */
void act_restore(struct lane *l, uint32_t id, uint32_t snap, const char *keep);
void act_rename_root(struct lane *l, uint32_t id, const char *name);
/** With its snapshots. */
void act_destroy(struct lane *l, uint32_t id);
void act_user(struct lane *l, uint32_t id, unsigned key, const char *value);
void act_recordsize(struct lane *l, uint32_t id, uint32_t recordsize);
void act_sync(struct lane *l);

/* -- names ----------------------------------------------------------------- */

uint64_t act_create(struct lane *l, uint32_t id, uint64_t dir, const char *name,
		    uint32_t mode);
uint64_t act_symlink(struct lane *l, uint32_t id, uint64_t dir,
		     const char *name, const char *target);
/** Without a name, and opened for writing. */
uint64_t act_create_unnamed(struct lane *l, uint32_t id);
void act_link(struct lane *l, uint32_t id, uint64_t ino, uint64_t dir,
	      const char *name);
/** A file or an empty directory. */
void act_remove(struct lane *l, uint32_t id, uint64_t dir, const char *name);
/** @flags: 0 or RENAME_EXCHANGE; a directory replaces nothing. */
void act_rename(struct lane *l, uint32_t id, uint64_t old_dir,
		const char *old_name, uint64_t new_dir, const char *new_name,
		unsigned flags);
void act_open(struct lane *l, uint32_t id, uint64_t ino);
void act_close(struct lane *l, uint32_t id, uint64_t ino);

/* -- files ----------------------------------------------------------------- */

void act_write(struct lane *l, uint32_t id, uint64_t ino, uint64_t offset,
	       size_t len, enum act_fill fill);
/** What @in, of another state, has there: at most 1 MiB. */
void act_write_as(struct lane *l, uint32_t id, const struct model_inode *in,
		  uint64_t offset, size_t len);
void act_truncate(struct lane *l, uint32_t id, uint64_t ino, uint64_t size);
/** @mode: as for fallocate(2) */
void act_fallocate(struct lane *l, uint32_t id, uint64_t ino, int mode,
		   uint64_t offset, uint64_t len);
void act_copy(struct lane *l, uint32_t from, uint64_t from_ino,
	      uint64_t from_offset, uint32_t to, uint64_t to_ino,
	      uint64_t to_offset, uint64_t len);
void act_fsync(struct lane *l, uint32_t id, uint64_t ino);
void act_mode(struct lane *l, uint32_t id, uint64_t ino, uint32_t mode);
/** @len random bytes; SIZE_MAX: remove it */
void act_xattr(struct lane *l, uint32_t id, uint64_t ino, const char *name,
	       size_t len);

/* -- asking the model ------------------------------------------------------ */

uint64_t act_size(const struct lane *l, uint32_t id, uint64_t ino);
/** 0: there is none. */
uint64_t act_find(const struct lane *l, uint32_t id, uint64_t dir,
		  const char *name);

#endif
