/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quiesce.h - holds a server still for the moment of a snapshot
 *
 * Below: sql.h.  Above: cmd_snapshot.c.
 *
 * Any snapshot of a running server is crash-consistent.  While it is held
 * still nothing commits and no table changes its form, tables without
 * transactions are on disk, and the position in the binary log is known.
 */
#ifndef DBS_TOOLS_INSTANCE_QUIESCE_H
#define DBS_TOOLS_INSTANCE_QUIESCE_H

#include <jansson.h>

struct quiesce;

/** Hold the running instance @name still.  Errors: CTL_UNREACHABLE */
int quiesce_begin(const char *name, struct quiesce **quiesce);
/**
 * What to write about the snapshot: {"user:dbs.consistency": "quiesced",
 * "user:dbs.server", "user:dbs.gtid", "user:dbs.binlog"}; the caller's.
 */
json_t *quiesce_properties(const struct quiesce *quiesce);
/** Let it go on; NULL will do. */
void quiesce_end(struct quiesce *quiesce);

#endif
