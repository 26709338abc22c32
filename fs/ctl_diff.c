/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_diff.c - what changed between two roots, as a bounded list */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/ctl_internal.h"

#define DIFF_LIMIT_DEFAULT 10000
#define DIFF_LIMIT_MAX	   100000
/* of paths: an answer is built in memory, and any user can make long ones */
#define DIFF_TEXT_MAX (8u << 20)

struct diff_state {
	json_t *entries;
	size_t limit, text;
	uint64_t nr, bytes;
};

static const char *type_name(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	default:
		return "device";
	}
}

static const char *kind_name(enum diff_kind kind)
{
	switch (kind) {
	case DIFF_ADDED:
		return "added";
	case DIFF_REMOVED:
		return "removed";
	case DIFF_MODIFIED:
		return "modified";
	case DIFF_RENAMED:
		return "renamed";
	}
	return "modified";
}

static int diff_add(void *arg, const struct diff_entry *e)
{
	struct diff_state *state = arg;
	json_t *entry;

	state->nr++;
	state->bytes += e->bytes;
	state->text +=
		strlen(e->path) + (e->old_path ? strlen(e->old_path) : 0);
	if (json_array_size(state->entries) >= state->limit ||
	    state->text > DIFF_TEXT_MAX)
		return 0;
	entry = json_pack("{s:s, s:o, s:o, s:I, s:s, s:o, s:o}", "kind",
			  kind_name(e->kind), "path", ctl_json_bytes(e->path),
			  "ino", ctl_json_u64(e->ino), "mode",
			  (json_int_t)(e->mode & 07777), "type",
			  type_name(e->mode), "size", ctl_json_u64(e->size),
			  "bytes", ctl_json_u64(e->bytes));
	if (!entry)
		return -ENOMEM;
	if (e->kind == DIFF_RENAMED && e->old_path)
		json_object_set_new(entry, "old_path",
				    ctl_json_bytes(e->old_path));
	return json_array_append_new(state->entries, entry) ? -ENOMEM : 0;
}

/* The live dataset of snapshot @name. */
static int open_live(struct ctl_call *call, const char *name,
		     struct dataset **ds)
{
	char head[DATASET_NAME_MAX + 1], snap[DATASET_NAME_MAX + 1];

	if (ctl_split_name(call, name, head, snap))
		return -1;
	if (!*snap)
		return ctl_fail(call, CTL_USAGE,
				"name two to compare, or one snapshot to "
				"compare with its dataset");
	return ctl_open(call, head, ds);
}

static int diff_run(struct ctl_call *call, struct dataset *a, struct dataset *b,
		    size_t limit)
{
	struct diff_state state = {.entries = json_array(), .limit = limit};
	struct dataset_info from, to;
	int rc;

	dataset_info(a, &from);
	dataset_info(b, &to);
	ctl_put(call, "entries", state.entries);
	rc = dataset_diff(a, b, diff_add, &state);
	if (rc)
		return ctl_fail_errno(call, rc, "cannot compare '%s' and '%s'",
				      from.name, to.name);
	ctl_put(call, "a", json_string(from.name));
	ctl_put(call, "b", json_string(to.name));
	ctl_put(call, "nr_entries", ctl_json_u64(state.nr));
	ctl_put(call, "bytes", ctl_json_u64(state.bytes));
	ctl_put(call, "truncated",
		json_boolean(state.nr > json_array_size(state.entries)));
	return 0;
}

int ctl_cmd_diff(struct ctl_call *call)
{
	const json_t *arg = json_object_get(call->args, "limit");
	const char *name_a = ctl_arg_string(call, "a");
	const char *name_b = ctl_arg_string(call, "b");
	json_int_t limit = arg ? json_integer_value(arg) : DIFF_LIMIT_DEFAULT;
	struct dataset *a, *b;
	int rc;

	if (limit > DIFF_LIMIT_MAX)
		return ctl_fail(call, CTL_USAGE, "limit is at most %d",
				DIFF_LIMIT_MAX);
	if (ctl_open(call, name_a, &a))
		return -1;
	rc = name_b ? ctl_open(call, name_b, &b) : open_live(call, name_a, &b);
	if (rc == 0) {
		rc = diff_run(call, a, b, (size_t)limit);
		dataset_put(b);
	}
	dataset_put(a);
	return rc;
}
