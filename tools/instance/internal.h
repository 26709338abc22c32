/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h - shared by the parts of tools/instance/
 */
#ifndef DBS_TOOLS_INSTANCE_INTERNAL_H
#define DBS_TOOLS_INSTANCE_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

/** The folder that holds the instances' folders; the caller frees. */
char *instances_dir(void);
/** A number from a name, the same on every host. */
uint64_t instance_hash(const char *name);

/**
 * Take the lock in file @path, which is made; it is the open file's and ends
 * with it.  Errors: -EAGAIN somebody has it
 */
int instance_lock_file(const char *path, int *fd);
/** Has anybody the lock in file @path?  Takes nothing. */
bool instance_file_locked(const char *path);

struct instance;
/**
 * Rotate @file of its folder if it is too long.  Who writes it goes on
 * appending to what it has open, so its content is copied away; a line that
 * comes between is lost.
 */
void log_rotate(const struct instance *inst, const char *file);

#endif
