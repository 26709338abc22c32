/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_name.c - from names and patterns to open datasets and snapshots */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "fs/ctl_internal.h"

/* Cut @name at its '@' without judging the halves.  false: too long. */
static bool name_cut(const char *name, char ds[DATASET_NAME_MAX + 1],
		     char snap[DATASET_NAME_MAX + 1])
{
	const char *at = strchr(name, '@');
	size_t len = at ? (size_t)(at - name) : strlen(name);

	if (len > DATASET_NAME_MAX || (at && strlen(at + 1) > DATASET_NAME_MAX))
		return false;
	memcpy(ds, name, len);
	ds[len] = '\0';
	strcpy(snap, at ? at + 1 : "");
	return true;
}

int ctl_split_name(struct ctl_call *call, const char *name,
		   char ds[DATASET_NAME_MAX + 1],
		   char snap[DATASET_NAME_MAX + 1])
{
	const char *problem;

	if (!name_cut(name, ds, snap))
		return ctl_fail(call, CTL_USAGE,
				"the name '%.40s...' is too long: at most %d "
				"bytes on each side of '@'",
				name, DATASET_NAME_MAX);
	problem = dataset_name_problem(ds);
	if (!problem && strchr(name, '@'))
		problem = dataset_name_problem(snap);
	if (problem)
		return ctl_fail(call, CTL_USAGE, "the name '%s' %s", name,
				problem);
	return 0;
}

int ctl_check_new_name(struct ctl_call *call, const char *name, bool snapshot)
{
	char ds[DATASET_NAME_MAX + 1], snap[DATASET_NAME_MAX + 1];

	if (ctl_split_name(call, name, ds, snap))
		return -1;
	if (snapshot && !*snap)
		return ctl_fail(call, CTL_USAGE,
				"'%s' does not name a snapshot: write "
				"'%s@NAME'",
				name, name);
	if (!snapshot && *snap)
		return ctl_fail(call, CTL_USAGE,
				"'%s' names a snapshot; a dataset's name has "
				"no '@'",
				name);
	return 0;
}

int ctl_open(struct ctl_call *call, const char *name, struct dataset **ds)
{
	char head[DATASET_NAME_MAX + 1], snap[DATASET_NAME_MAX + 1];
	struct dataset *parent;
	int rc;

	if (ctl_split_name(call, name, head, snap))
		return -1;
	rc = dataset_open(call->ctx->pool, name, ds);
	if (rc == 0)
		return 0;
	if (rc != -ENOENT)
		return ctl_fail_errno(call, rc, "cannot open '%s'", name);
	if (!*snap)
		return ctl_fail(call, CTL_NOT_FOUND, "there is no dataset '%s'",
				name);
	if (dataset_open(call->ctx->pool, head, &parent))
		return ctl_fail(call, CTL_NOT_FOUND,
				"there is no dataset '%s', so no '%s'", head,
				name);
	dataset_put(parent);
	if (strcmp(snap, "latest") == 0)
		return ctl_fail(call, CTL_NOT_FOUND,
				"dataset '%s' has no snapshots", head);
	return ctl_fail(call, CTL_NOT_FOUND,
			"dataset '%s' has no snapshot '%s'", head, snap);
}

int ctl_check_id(struct ctl_call *call, struct dataset *ds, const char *verb)
{
	const json_t *id = json_object_get(call->args, "id");
	struct dataset_info info;

	if (!id || dataset_id(ds) == json_integer_value(id))
		return 0;
	dataset_info(ds, &info);
	return ctl_fail(call, CTL_CONFLICT,
			"cannot %s '%s': the one that was meant is gone, and "
			"another has its name",
			verb, info.name);
}

/* -- sets ----------------------------------------------------------------- */

int ctl_set_add(struct ctl_set *set, struct dataset *ds)
{
	struct dataset **grown;
	size_t cap;

	for (size_t i = 0; i < set->nr; i++)
		if (dataset_id(set->ds[i]) == dataset_id(ds)) {
			dataset_put(ds);
			return 0;
		}
	if (set->nr == set->cap) {
		cap = set->cap ? 2 * set->cap : 16;
		grown = reallocarray(set->ds, cap, sizeof(*grown));
		if (!grown) {
			dataset_put(ds);
			return -ENOMEM;
		}
		set->ds = grown;
		set->cap = cap;
	}
	set->ds[set->nr++] = ds;
	return 0;
}

void ctl_set_release(struct ctl_set *set)
{
	for (size_t i = 0; i < set->nr; i++)
		dataset_put(set->ds[i]);
	free(set->ds);
	*set = (struct ctl_set){0};
}

int ctl_check_ids(struct ctl_call *call, const struct ctl_set *set,
		  const char *verb)
{
	if (!json_object_get(call->args, "id"))
		return 0;
	if (set->nr != 1)
		return ctl_fail(call, CTL_USAGE, "'id' is for one name only");
	return ctl_check_id(call, set->ds[0], verb);
}

/* -- patterns ------------------------------------------------------------- */

bool ctl_is_pattern(const char *name)
{
	return strpbrk(name, "*?[") != NULL;
}

/* One dataset or snapshot by id; gone meanwhile is no error. */
static int match_add(struct ctl_call *call, uint32_t id, const char *pattern,
		     struct ctl_set *set)
{
	struct dataset_info info;
	struct dataset *ds;
	const char *own;
	int rc;

	rc = dataset_open_id(call->ctx->pool, id, &ds);
	if (rc == -ENOENT || rc == -ESTALE)
		return 0;
	if (rc)
		return rc;
	dataset_info(ds, &info);
	own = strchr(info.name, '@');
	own = own ? own + 1 : info.name;
	if (pattern && fnmatch(pattern, own, 0)) {
		dataset_put(ds);
		return 0;
	}
	/* ids are listed once each: no need to look for it in the set */
	if (set->nr == set->cap)
		return ctl_set_add(set, ds);
	set->ds[set->nr++] = ds;
	return 0;
}

static int match_snapshots(struct ctl_call *call, uint32_t parent,
			   const char *pattern, struct ctl_set *set)
{
	uint32_t *ids;
	size_t nr;
	int rc;

	rc = dataset_list(call->ctx->pool, parent, &ids, &nr);
	if (rc == -ENOENT || rc == -ESTALE)
		return 0;
	if (rc)
		return rc;
	for (size_t i = 0; i < nr && rc == 0; i++)
		rc = match_add(call, ids[i], pattern, set);
	free(ids);
	return rc;
}

static int match_dataset(struct ctl_call *call, uint32_t id, const char *head,
			 const char *snap, unsigned want, struct ctl_set *set)
{
	struct ctl_set one = {0};
	int rc;

	if (want & CTL_WANT_DATASETS) {
		size_t before = set->nr;

		rc = match_add(call, id, head, set);
		if (rc || set->nr == before)
			return rc;
	} else {
		rc = match_add(call, id, head, &one);
		if (rc || one.nr == 0)
			return rc;
		ctl_set_release(&one);
	}
	if (want & CTL_WANT_SNAPSHOTS)
		return match_snapshots(call, id, snap, set);
	return 0;
}

int ctl_match(struct ctl_call *call, const char *pattern, unsigned want,
	      struct ctl_set *set)
{
	char head[DATASET_NAME_MAX + 1], snap[DATASET_NAME_MAX + 1];
	uint32_t *ids;
	size_t nr;
	int rc;

	if (pattern && !name_cut(pattern, head, snap))
		return ctl_fail(call, CTL_USAGE,
				"the pattern '%.40s...' is too long", pattern);
	/* an empty half is more likely a slip than "all" */
	if (pattern && strchr(pattern, '@') && (!*head || !*snap))
		return ctl_fail(call, CTL_USAGE,
				"the pattern '%s' has nothing on one side of "
				"'@': write '*' for all",
				pattern);
	rc = dataset_list(call->ctx->pool, 0, &ids, &nr);
	if (rc)
		return ctl_fail_errno(call, rc, "cannot list the datasets");
	for (size_t i = 0; i < nr && rc == 0; i++)
		rc = match_dataset(call, ids[i], pattern ? head : NULL,
				   pattern && *snap ? snap : NULL, want, set);
	free(ids);
	if (rc)
		return ctl_fail_errno(call, rc, "cannot list the datasets");
	return 0;
}
