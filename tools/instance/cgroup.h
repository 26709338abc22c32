/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup.h - limits an instance's server where the host has cgroup v2
 *
 * Below: /sys/fs/cgroup.  Above: life.c.
 *
 * Each server is in /sys/fs/cgroup/dbs/NAME.  Where memory and cpu are not
 * controllers of cgroup v2 there, or we are not root, there are no limits.
 */
#ifndef DBS_TOOLS_INSTANCE_CGROUP_H
#define DBS_TOOLS_INSTANCE_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * Make the group, or set its limits anew.
 *
 * @memory: bytes; @cpus: how many, 0: all
 * @procs: out, the file that a process enters it by; "": there is none
 * Returns false where a limit that was asked for cannot be set.
 */
bool cgroup_make(const char *name, uint64_t memory, double cpus,
		 char procs[PATH_MAX]);
/** Remove it; nothing runs in it any more. */
void cgroup_remove(const char *name);

#endif
