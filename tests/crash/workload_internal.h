/* SPDX-License-Identifier: Apache-2.0 */
/* workload_internal.h - shared by workload*.c */
#ifndef DBS_TESTS_CRASH_WORKLOAD_INTERNAL_H
#define DBS_TESTS_CRASH_WORKLOAD_INTERNAL_H

#include "tests/crash/act.h"
#include "tests/crash/workload.h"

#define NAME_CAP 32

/** "@prefix@n", with the lane's own beginning where there are several. */
void scene_name(const struct scene *s, char *name, const char *prefix,
		unsigned n);
/** A dataset more, in s->ds. */
uint32_t scene_dataset(struct scene *s, const char *prefix,
		       uint32_t recordsize);
uint32_t scene_pick_dataset(struct scene *s);
/** A file of @len bytes more, in s->ino. */
uint64_t scene_file(struct scene *s, uint32_t id, size_t len);
/** A regular file in the top of @id, by name; false: there is none. */
bool scene_pick_name(struct scene *s, uint32_t id, char *name);
/** Bytes anywhere in a file of @id that has a name. */
void scene_scribble(struct scene *s, uint32_t id);

/* workload_file.c */
void create_setup(struct scene *s);
void create_step(struct scene *s);
void rename_setup(struct scene *s);
void rename_step(struct scene *s);
void overwrite_setup(struct scene *s);
void overwrite_step(struct scene *s);
void redo_setup(struct scene *s);
void redo_step(struct scene *s);
void truncate_setup(struct scene *s);
void truncate_step(struct scene *s);
void unlinked_setup(struct scene *s);
void unlinked_step(struct scene *s);
void attr_setup(struct scene *s);
void attr_step(struct scene *s);
void full_setup(struct scene *s);
void full_step(struct scene *s);
void wrap_setup(struct scene *s);
void wrap_step(struct scene *s);

/* workload_root.c */
void snapshot_setup(struct scene *s);
void snapshot_step(struct scene *s);
void clone_setup(struct scene *s);
void clone_step(struct scene *s);
void restore_setup(struct scene *s);
void restore_step(struct scene *s);
void destroy_setup(struct scene *s);
void destroy_step(struct scene *s);
void reflink_setup(struct scene *s);
void reflink_step(struct scene *s);
void threads_setup(struct scene *s);
void threads_step(struct scene *s);
void reopen_setup(struct scene *s);
void reopen_step(struct scene *s);
void retry_setup(struct scene *s);
void retry_step(struct scene *s);

#endif
