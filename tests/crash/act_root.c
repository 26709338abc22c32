/* SPDX-License-Identifier: Apache-2.0 */
/* act_root.c - operations on datasets and snapshots */
#include <stdio.h>
#include <string.h>

#include "tests/crash/act_internal.h"
#include "tests/lib/check.h"

uint32_t act_dataset(struct lane *l, const char *name, uint32_t recordsize)
{
	struct model_run *run = &l->run;
	struct dataset_properties p;
	struct model_tree *tree;
	struct file_attr attr;
	struct dataset *ds;
	uint32_t id = 0;
	int rc;

	run->nr_ops++;
	run_what(run, "dataset %s", name);
	dataset_properties_default(&p);
	p.recordsize = recordsize;
	lane_begin(l);
	rc = dataset_create(run->pool, name, &p, &id);
	if (rc)
		run_fail(run, "got %d", rc);
	ds = run_open(run, id);
	MUST(file_getattr(ds, ACT_ROOT, &attr) == 0);
	dataset_put(ds);
	tree = model_tree_new(&attr);
	model_add(&run->now, id, 0, name, tree)->properties = p;
	model_tree_put(tree);
	run_durable(run);
	lane_end(l);
	return id;
}

uint32_t act_snapshot(struct lane *l, uint32_t id, const char *name)
{
	struct act a = act_begin(l, id);
	uint32_t snap = 0;

	run_what(a.run, "snapshot %s@%s", a.root->name, name);
	act_must(&a, dataset_snapshot(a.ds, name, false, &snap));
	model_add(&a.run->now, snap, id, name, a.root->tree);
	run_durable(a.run);
	act_end(l, &a);
	return snap;
}

/* The store made root @parent's snapshot @name, with @tree. */
static struct model_root *add_snapshot(struct model_run *run, uint32_t parent,
				       const char *name,
				       struct model_tree *tree)
{
	char full[DATASET_FULL_NAME_MAX];
	struct model_root *r;
	struct dataset *ds;

	snprintf(full, sizeof(full), "%s@%s",
		 model_find(&run->now, parent)->name, name);
	MUST(dataset_open(run->pool, full, &ds) == 0);
	r = model_add(&run->now, dataset_id(ds), parent, name, tree);
	dataset_put(ds);
	return r;
}

void act_snapshot_two(struct lane *l, uint32_t one, uint32_t two,
		      const char *name)
{
	struct act a = act_begin(l, one);
	struct dataset *ds[2] = {a.ds, run_open(a.run, two)};

	run_what(a.run, "snapshot of roots %u and %u @%s", one, two, name);
	act_must(&a, dataset_snapshot_many(ds, 2, name));
	dataset_put(ds[1]);
	add_snapshot(a.run, one, name, model_find(&a.run->now, one)->tree);
	add_snapshot(a.run, two, name, model_find(&a.run->now, two)->tree);
	run_durable(a.run);
	act_end(l, &a);
}

uint32_t act_clone(struct lane *l, uint32_t source, const char *name)
{
	struct act a = act_begin(l, source);
	struct dataset_info info;
	struct model_root *r;
	struct dataset *ds;
	uint32_t id = 0;

	run_what(a.run, "clone root %u to %s", source, name);
	act_must(&a, dataset_clone(a.ds, name, &id));
	r = model_add(&a.run->now, id, 0, name, a.root->tree);
	/* they come from the source, which may be a snapshot */
	ds = run_open(a.run, id);
	dataset_info(ds, &info);
	dataset_put(ds);
	r->properties = info.properties;
	run_durable(a.run);
	act_end(l, &a);
	return id;
}

void act_restore(struct lane *l, uint32_t id, uint32_t snap, const char *keep)
{
	struct act a = act_begin(l, id);
	struct dataset *from = run_open(a.run, snap);
	struct model_tree *old = a.root->tree;

	run_what(a.run, "restore %s from root %u keep '%s'", a.root->name, snap,
		 keep ? keep : "");
	run_close_handles(a.run, id);
	act_must(&a, dataset_restore(a.ds, from, keep, 0));
	dataset_put(from);
	a.root->tree = model_find(&a.run->now, snap)->tree;
	a.root->tree->refs++;
	if (keep)
		add_snapshot(a.run, id, keep, old)->automatic = true;
	model_tree_put(old);
	run_durable(a.run);
	act_end(l, &a);
}

void act_rename_root(struct lane *l, uint32_t id, const char *name)
{
	struct act a = act_begin(l, id);

	run_what(a.run, "rename root %u (%s) to %s", id, a.root->name, name);
	act_must(&a, dataset_rename(a.ds, name));
	snprintf(a.root->name, sizeof(a.root->name), "%s", name);
	run_durable(a.run);
	act_end(l, &a);
}

void act_destroy(struct lane *l, uint32_t id)
{
	struct model_run *run = &l->run;

	run->nr_ops++;
	run_what(run, "destroy root %u", id);
	lane_begin(l);
	run_destroy(run, id);
	lane_end(l);
}

void act_user(struct lane *l, uint32_t id, unsigned key, const char *value)
{
	struct act a = act_begin(l, id);
	char name[16];

	snprintf(name, sizeof(name), "user:k%u", key);
	run_what(a.run, "set %s of %s", name, a.root->name);
	act_must(&a, dataset_set_user(a.ds, name, value));
	snprintf(a.root->user[key], sizeof(a.root->user[key]), "%s", value);
	act_end(l, &a);
}

void act_recordsize(struct lane *l, uint32_t id, uint32_t recordsize)
{
	struct act a = act_begin(l, id);
	struct dataset_properties p = a.root->properties;

	p.recordsize = recordsize;
	run_what(a.run, "set recordsize of %s to %u", a.root->name, recordsize);
	act_must(&a, dataset_set_properties(a.ds, &p));
	a.root->properties = p;
	act_end(l, &a);
}

void act_sync(struct lane *l)
{
	l->run.nr_ops++;
	run_what(&l->run, "sync");
	lane_begin(l);
	model_run_sync(&l->run);
	lane_end(l);
}
