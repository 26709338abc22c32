/* SPDX-License-Identifier: Apache-2.0 */
/* model_run_root.c - operations on datasets and snapshots */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/model_run_internal.h"

static unsigned nr_snapshots(const struct model_run *run, uint32_t id)
{
	unsigned nr = 0;

	for (size_t i = 0; i < run->now.nr; i++)
		nr += run->now.roots[i].parent == id;
	return nr;
}

/* A name that is mostly new and sometimes taken. */
static void pick_name(struct model_run *run, char kind, char *name, size_t cap)
{
	const unsigned n = rnd_one_in(&run->rnd, 8) && run->serial
				   ? (unsigned)rnd_below(&run->rnd, run->serial)
				   : run->serial++;

	snprintf(name, cap, "%s%c%u", run->o.prefix ? run->o.prefix : "", kind,
		 n);
}

static void full_name(char *full, const struct model_root *r, const char *name)
{
	snprintf(full, DATASET_FULL_NAME_MAX, "%s@%s", r->name, name);
}

static struct dataset *open_snapshot(struct model_run *run,
				     const struct model_root *r,
				     const char *name)
{
	char full[DATASET_FULL_NAME_MAX];
	struct dataset *ds;
	int rc;

	full_name(full, r, name);
	run_quiet(run, true);
	rc = dataset_open(run->pool, full, &ds);
	run_quiet(run, false);
	if (rc)
		run_fail(run, "open of '%s': %d", full, rc);
	return ds;
}

/*
 * A call that was to be durable and is not has been done all the same, in
 * memory: the model follows, but counts on nothing.  Is there a root called
 * "DS" or "DS@SNAP" now that the call gave @rc instead of @want?
 */
static bool done_all_the_same(struct model_run *run, int rc, int want,
			      const char *full, uint32_t *id)
{
	struct dataset *ds;

	if (rc == 0 || want || run->fault != rc)
		return false;
	run_quiet(run, true);
	rc = dataset_open(run->pool, full, &ds);
	run_quiet(run, false);
	if (rc)
		return false;
	*id = dataset_id(ds);
	dataset_put(ds);
	return true;
}

static void durable_if_ok(struct model_run *run, int rc)
{
	if (rc == 0)
		run_durable(run);
}

static int name_taken(struct model_run *run, uint32_t parent, const char *name)
{
	return model_find_name(&run->now, parent, name) ? -EEXIST : 0;
}

static bool too_many(const struct model_run *run)
{
	return run->now.nr >= run->o.max_roots;
}

/* A dataset just made: take over its root directory and properties. */
static struct model_root *adopt_dataset(struct model_run *run, uint32_t id,
					const char *name,
					struct model_tree *tree)
{
	struct model_root *r;

	if (model_find(&run->now, id))
		run_fail(run, "id %u is in use already", id);
	r = model_add(&run->now, id, 0, name, tree);
	dataset_properties_default(&r->properties);
	return r;
}

void run_create_dataset(struct model_run *run)
{
	struct dataset_properties p;
	struct model_tree *tree;
	struct file_attr attr;
	struct model_root *r;
	struct dataset *ds;
	char name[32];
	uint32_t id = 0;
	int rc, want;

	if (too_many(run))
		return;
	pick_name(run, 'd', name, sizeof(name));
	want = name_taken(run, 0, name);
	dataset_properties_default(&p);
	p.recordsize = 4096u << rnd_below(&run->rnd, 6);
	if (rnd_one_in(&run->rnd, 4))
		p.compression = 0;
	run_what(run, "create %s recordsize %u", name, p.recordsize);
	rc = dataset_create(run->pool, name, &p, &id);
	if (!run_expect(run, rc, want) &&
	    !done_all_the_same(run, rc, want, name, &id))
		return;
	ds = run_open(run, id);
	run_quiet(run, true);
	if (file_getattr(ds, MODEL_ROOT_INO, &attr) || !S_ISDIR(attr.mode) ||
	    attr.nlink != 2)
		run_fail(run, "no root directory");
	run_quiet(run, false);
	dataset_put(ds);
	tree = model_tree_new(&attr);
	r = adopt_dataset(run, id, name, tree);
	r->properties = p;
	model_tree_put(tree);
	durable_if_ok(run, rc);
}

static void op_snapshot(struct model_run *run)
{
	struct model_root *r = run_pick_dataset(run);
	struct dataset *ds;
	char name[32], full[DATASET_FULL_NAME_MAX];
	uint32_t id = 0;
	int rc, want;

	if (!r || too_many(run))
		return;
	pick_name(run, 's', name, sizeof(name));
	full_name(full, r, name);
	want = name_taken(run, r->id, name);
	run_what(run, "snapshot %s@%s", r->name, name);
	ds = run_open(run, r->id);
	rc = dataset_snapshot(ds, name, false, &id);
	dataset_put(ds);
	if (!run_expect(run, rc, want) &&
	    !done_all_the_same(run, rc, want, full, &id))
		return;
	model_add(&run->now, id, r->id, name, r->tree);
	durable_if_ok(run, rc);
}

static void op_snapshot_many(struct model_run *run)
{
	struct model_root *roots[2];
	struct dataset *ds[2];
	char name[32], full[DATASET_FULL_NAME_MAX];
	uint32_t parent[2], id;
	int rc;

	roots[0] = run_pick_dataset(run);
	roots[1] = run_pick_dataset(run);
	if (!roots[0] || roots[0] == roots[1] || too_many(run))
		return;
	snprintf(name, sizeof(name), "m%u", run->serial++);
	full_name(full, roots[0], name);
	run_what(run, "snapshot_many %s %s @%s", roots[0]->name, roots[1]->name,
		 name);
	for (unsigned i = 0; i < 2; i++) {
		parent[i] = roots[i]->id;
		ds[i] = run_open(run, parent[i]);
	}
	rc = dataset_snapshot_many(ds, 2, name);
	dataset_put(ds[0]);
	dataset_put(ds[1]);
	if (!run_expect(run, rc, 0) &&
	    !done_all_the_same(run, rc, 0, full, &id))
		return;
	for (unsigned i = 0; i < 2; i++) {
		struct model_root *r = model_find(&run->now, parent[i]);

		ds[0] = open_snapshot(run, r, name);
		model_add(&run->now, dataset_id(ds[0]), parent[i], name,
			  r->tree);
		dataset_put(ds[0]);
	}
	durable_if_ok(run, rc);
}

static void op_clone(struct model_run *run)
{
	struct model_root *from = run_pick_root(run), *r;
	struct dataset *ds;
	struct dataset_info info;
	char name[32];
	uint32_t id = 0;
	int rc, want;

	if (!from || too_many(run))
		return;
	pick_name(run, 'd', name, sizeof(name));
	want = name_taken(run, 0, name);
	run_what(run, "clone root %u (%s) to %s", from->id, from->name, name);
	ds = run_open(run, from->id);
	rc = dataset_clone(ds, name, &id);
	dataset_put(ds);
	if (!run_expect(run, rc, want) &&
	    !done_all_the_same(run, rc, want, name, &id))
		return;
	r = adopt_dataset(run, id, name, from->tree);
	/* recordsize and so on come from the source; see op_properties() */
	ds = run_open(run, id);
	dataset_info(ds, &info);
	dataset_put(ds);
	r->properties = info.properties;
	durable_if_ok(run, rc);
}

static void op_restore(struct model_run *run)
{
	struct model_root *r = run_pick_writable(run);
	struct model_root *s = run_pick_snapshot(run);
	const bool force = rnd_one_in(&run->rnd, 2);
	const bool keep = rnd_one_in(&run->rnd, 3) && !too_many(run);
	struct dataset *ds, *snap;
	struct model_tree *old;
	uint64_t generation;
	uint32_t id, busy;
	char name[32];
	bool done;
	int rc;

	if (!r || !s)
		return;
	id = r->id;
	for (unsigned i = 0; i < 4 && s->parent != id; i++)
		s = run_pick_snapshot(run);
	snprintf(name, sizeof(name), "k%u", run->serial++);
	busy = run_count(run, id, true);
	run_what(run, "restore %s from root %u keep %d force %d open %u",
		 r->name, s->id, keep, force, busy);
	/* draw first: a step that is repeated draws the same */
	if (rnd_one_in(&run->rnd, 2) || !busy) {
		run_close_handles(run, id);
		busy = 0;
	}
	ds = run_open(run, id);
	snap = run_open(run, s->id);
	generation = dataset_generation(ds);
	rc = dataset_restore(ds, snap, keep ? name : NULL,
			     force ? RESTORE_FORCE : 0);
	done = dataset_generation(ds) != generation;
	dataset_put(snap);
	dataset_put(ds);
	if (!run_expect(run, rc, busy && !force ? -EBUSY : 0) && !done)
		return;
	run_close_handles(run, id);
	old = r->tree;
	r->tree = s->tree;
	r->tree->refs++;
	if (keep) {
		snap = open_snapshot(run, r, name);
		s = model_add(&run->now, dataset_id(snap), id, name, old);
		s->automatic = true;
		dataset_put(snap);
	}
	model_tree_put(old);
	durable_if_ok(run, rc);
}

static void op_rename_root(struct model_run *run)
{
	struct model_root *r = run_pick_root(run);
	struct dataset_info info;
	struct dataset *ds;
	char name[32], full[DATASET_FULL_NAME_MAX];
	int rc;

	if (!r)
		return;
	pick_name(run, r->parent ? 's' : 'd', name, sizeof(name));
	run_what(run, "rename root %u (%s) to %s", r->id, r->name, name);
	if (strcmp(name, r->name) == 0)
		return;
	ds = run_open(run, r->id);
	rc = dataset_rename(ds, name);
	dataset_info(ds, &info);
	dataset_put(ds);
	snprintf(full, sizeof(full), "%s", name);
	if (r->parent)
		full_name(full, model_find(&run->now, r->parent), name);
	if (!run_expect(run, rc, name_taken(run, r->parent, name)) &&
	    strcmp(info.name, full) != 0)
		return;
	snprintf(r->name, sizeof(r->name), "%s", name);
	durable_if_ok(run, rc);
}

void run_destroy(struct model_run *run, uint32_t id)
{
	struct dataset *ds = run_open(run, id);
	struct file_attr attr;
	int rc;

	/* a full pool must still give space back */
	rc = dataset_destroy(ds, DESTROY_SNAPSHOTS | DESTROY_FORCE);
	if (run_faulted(run, rc) && dataset_generation(ds) != UINT64_MAX) {
		dataset_put(ds);
		return;
	}
	if (rc && rc != run->fault)
		run_fail(run, "destroy: %d", rc);
	if (file_getattr(ds, MODEL_ROOT_INO, &attr) != -ESTALE)
		run_fail(run, "destroyed, but getattr says otherwise");
	run_close_handles(run, id);
	for (size_t i = run->now.nr; i-- > 0;)
		if (run->now.roots[i].parent == id)
			model_remove(&run->now, run->now.roots[i].id);
	model_remove(&run->now, id);
	durable_if_ok(run, rc);
	dataset_put(ds);
}

static void op_destroy(struct model_run *run)
{
	struct model_root *r = run_pick_root(run);
	struct dataset *ds;
	int rc;

	if (!r || run->now.nr < 3)
		return;
	run_what(run, "destroy root %u (%s)", r->id, r->name);
	if (nr_snapshots(run, r->id) || run_count(run, r->id, false)) {
		const int want = nr_snapshots(run, r->id) ? -ENOTEMPTY : -EBUSY;
		const bool both = nr_snapshots(run, r->id) &&
				  run_count(run, r->id, false);

		ds = run_open(run, r->id);
		rc = dataset_destroy(ds, 0);
		dataset_put(ds);
		run_expect(run, rc, both && rc == -EBUSY ? -EBUSY : want);
		if (run->fault)
			return;
	}
	run_destroy(run, r->id);
}

static void op_properties(struct model_run *run)
{
	struct model_root *r = run_pick_dataset(run);
	struct dataset_properties p;
	struct dataset_info info;
	struct dataset *ds;
	int rc;

	if (!r)
		return;
	p = r->properties;
	p.readonly = !p.readonly && rnd_one_in(&run->rnd, 3);
	p.recordsize = 4096u << rnd_below(&run->rnd, 6);
	p.compression = rnd_one_in(&run->rnd, 3) ? 0 : 1;
	run_what(run, "set %s readonly %d recordsize %u", r->name, p.readonly,
		 p.recordsize);
	if (p.readonly)
		run_close_handles(run, r->id);
	ds = run_open(run, r->id);
	rc = dataset_set_properties(ds, &p);
	dataset_info(ds, &info);
	dataset_put(ds);
	if (run_expect(run, rc, 0) ||
	    (info.properties.readonly == p.readonly &&
	     info.properties.recordsize == p.recordsize &&
	     info.properties.compression == p.compression))
		r->properties = p;
}

/* What a key has been set to, for a call of which only the fault is known. */
struct user_seen {
	const char *key;
	char value[16];
};

static void see_user(void *arg, const char *key, const char *value)
{
	struct user_seen *u = arg;

	if (strcmp(key, u->key) == 0)
		snprintf(u->value, sizeof(u->value), "%s", value);
}

static void op_user(struct model_run *run)
{
	struct model_root *r = run_pick_writable(run);
	const unsigned k = (unsigned)rnd_below(&run->rnd, MODEL_USER_KEYS);
	struct dataset *ds;
	char key[16], value[16] = "";
	struct user_seen seen = {.key = key};
	int rc, want = 0;

	if (!r)
		return;
	snprintf(key, sizeof(key), "user:k%u", k);
	ds = run_open(run, r->id);
	if (rnd_one_in(&run->rnd, 3)) {
		run_what(run, "unset %s of %s", key, r->name);
		rc = dataset_unset_user(ds, key);
		want = r->user[k][0] ? 0 : -ENODATA;
	} else {
		snprintf(value, sizeof(value), "v%u", run->serial++);
		run_what(run, "set %s of %s", key, r->name);
		rc = dataset_set_user(ds, key, value);
	}
	dataset_each_user(ds, see_user, &seen);
	dataset_put(ds);
	if (run_expect(run, rc, want) || strcmp(seen.value, value) == 0)
		memcpy(r->user[k], value, sizeof(value));
}

/* Unique bytes can't exceed what is allocated, nor shrink with more roots. */
static void op_unique(struct model_run *run)
{
	struct model_root *a = run_pick_root(run), *b = run_pick_root(run);
	struct dataset *ds[2];
	struct pool_stat st;
	uint64_t one = 0, both = 0;
	int rc;

	if (!a || a == b)
		return;
	run_what(run, "unique of roots %u and %u", a->id, b->id);
	ds[0] = run_open(run, a->id);
	ds[1] = run_open(run, b->id);
	rc = dataset_unique(ds, 1, &one);
	if (run_expect(run, rc, 0))
		rc = dataset_unique(ds, 2, &both);
	pool_stat(run->pool, &st);
	if (run_expect(run, rc, 0) && (one > both || both > st.allocated))
		run_fail(run, "unique %ju, of both %ju, allocated %ju",
			 (uintmax_t)one, (uintmax_t)both,
			 (uintmax_t)st.allocated);
	dataset_put(ds[0]);
	dataset_put(ds[1]);
}

/* -- diff ------------------------------------------------------------------ */

struct diff_seen {
	struct model_run *run;
	const struct model_tree *old_tree, *new_tree;
	uint64_t *inos;
	size_t nr;
};

static int see_diff(void *arg, const struct diff_entry *e)
{
	struct diff_seen *d = arg;
	const struct model_inode *a = model_inode(d->old_tree, e->ino);
	const struct model_inode *b = model_inode(d->new_tree, e->ino);

	if (a == b)
		run_fail(d->run, "diff names ino %ju, which did not change",
			 (uintmax_t)e->ino);
	d->inos = realloc(d->inos, (d->nr + 1) * sizeof(*d->inos));
	if (!d->inos)
		abort();
	d->inos[d->nr++] = e->ino;
	return 0;
}

static bool was_seen(const struct diff_seen *d, uint64_t ino)
{
	for (size_t i = 0; i < d->nr; i++)
		if (d->inos[i] == ino)
			return true;
	return false;
}

/* Has @a data that @b has not? */
static bool data_missing(const struct model_inode *a,
			 const struct model_inode *b)
{
	uint8_t bytes[MODEL_PIECE];

	for (size_t i = 0; i < a->nr_pieces; i++) {
		const struct model_piece *p = &a->pieces[i];

		model_data_read(b, p->index * MODEL_PIECE, bytes, MODEL_PIECE);
		if (memcmp(bytes, p->chunk->bytes, MODEL_PIECE) != 0)
			return true;
	}
	return false;
}

/* Was a file made, removed or its content changed?  Times may not matter. */
static bool really_differs(const struct model_inode *a,
			   const struct model_inode *b)
{
	const bool a_is = a && a->attr.nlink, b_is = b && b->attr.nlink;

	if (!a_is || !b_is)
		return a_is != b_is;
	if (a == b || !S_ISREG(a->attr.mode))
		return false;
	return a->attr.size != b->attr.size || data_missing(a, b) ||
	       data_missing(b, a);
}

static void op_diff(struct model_run *run)
{
	struct model_root *s = run_pick_snapshot(run), *r;
	struct diff_seen d = {.run = run};
	struct dataset *old_ds, *new_ds;
	int rc;

	if (!s)
		return;
	r = model_find(&run->now, s->parent);
	run_what(run, "diff of %s and its snapshot %u", r->name, s->id);
	d.old_tree = s->tree;
	d.new_tree = r->tree;
	old_ds = run_open(run, s->id);
	new_ds = run_open(run, r->id);
	rc = dataset_diff(old_ds, new_ds, see_diff, &d);
	dataset_put(old_ds);
	dataset_put(new_ds);
	if (!run_expect(run, rc, 0)) {
		free(d.inos);
		return;
	}
	for (size_t i = 0; i < d.old_tree->nr; i++) {
		const struct model_inode *a = d.old_tree->inodes[i];

		if (really_differs(a, model_inode(d.new_tree, a->attr.ino)) &&
		    !was_seen(&d, a->attr.ino))
			run_fail(run, "diff misses ino %ju",
				 (uintmax_t)a->attr.ino);
	}
	for (size_t i = 0; i < d.new_tree->nr; i++) {
		const struct model_inode *b = d.new_tree->inodes[i];

		if (really_differs(model_inode(d.old_tree, b->attr.ino), b) &&
		    !was_seen(&d, b->attr.ino))
			run_fail(run, "diff misses ino %ju",
				 (uintmax_t)b->attr.ino);
	}
	free(d.inos);
}

static void op_sync(struct model_run *run)
{
	run_what(run, "sync");
	model_run_sync(run);
}

const struct run_op run_root_ops[] = {
	{run_create_dataset, 3},
	{op_snapshot, 10},
	{op_snapshot_many, 2},
	{op_clone, 8},
	{op_restore, 6},
	{op_rename_root, 3},
	{op_destroy, 8},
	{op_properties, 2},
	{op_user, 3},
	{op_unique, 2},
	{op_diff, 3},
	{op_sync, 6},
	{NULL, 0},
};
