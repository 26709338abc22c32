/* SPDX-License-Identifier: Apache-2.0 */
/* compare.c - what is on the mount against the model, also after a kill */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "store/store.h"
#include "tests/fs/exerciser/ex.h"

struct model_root *ex_find_root(struct ex_worker *w, const char *name)
{
	const char *at = strchrnul(name, '@');
	struct model_root *r;
	char ds[64];

	snprintf(ds, sizeof(ds), "%.*s", (int)(at - name), name);
	r = model_find_name(&w->now, 0, ds);
	return r && *at ? model_find_name(&w->now, r->id, at + 1) : r;
}

/* -- comparing ------------------------------------------------------------- */

static void compare_root(struct ex_worker *w, const struct model_root *r,
			 int direct)
{
	char path[EX_PATH_MAX], why[1024] = "";
	struct ex_diff d = {.want = r->tree, .plain = w->run->s.plain != NULL};
	struct model_tree *got;

	ex_find_path(w, r, MODEL_ROOT_INO, path);
	got = ex_load(w->run, w->n, path, direct, why, sizeof(why));
	if (!got)
		ex_fail_run(w->run, "worker %u: %s", w->n, why);
	d.got = got;
	if (!ex_same(&d, why, sizeof(why)))
		ex_fail_run(w->run, "worker %u, %s: %s", w->n, path, why);
	model_tree_put(got);
}

void ex_verify_named(struct ex_run *run, const char *name, int direct)
{
	for (unsigned i = 0; i < run->s.workers; i++) {
		const struct model_root *r = ex_find_root(&run->w[i], name);

		if (r)
			compare_root(&run->w[i], r, direct);
	}
}

/* Are the names below @path, a virtual directory, those of @parent's? */
static void compare_list(struct ex_run *run, const char *path, uint32_t parent)
{
	const struct model_state *s = &run->w[0].now;
	char full[EX_PATH_MAX];
	struct dirent *e;
	size_t nr = 0, want = 0;
	DIR *dir;

	for (size_t i = 0; i < s->nr; i++)
		want += s->roots[i].parent == parent;
	ex_full_path(run, path, full);
	dir = opendir(full);
	if (!dir)
		ex_fail_run(run, "opendir of '%s': %s", path, strerror(errno));
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		nr++;
		if (!model_find_name(s, parent, e->d_name))
			ex_fail_run(run, "'%s' has '%s'", path, e->d_name);
	}
	closedir(dir);
	if (nr != want)
		ex_fail_run(run, "'%s' has %zu names, want %zu", path, nr,
			    want);
}

static void compare_lists(struct ex_run *run)
{
	const struct model_state *s = &run->w[0].now;
	char path[256];

	if (run->s.plain)
		return;
	compare_list(run, "", 0);
	for (size_t i = 0; i < s->nr; i++) {
		if (s->roots[i].parent)
			continue;
		snprintf(path, sizeof(path), "%s/.dbs/snapshot",
			 s->roots[i].name);
		compare_list(run, path, s->roots[i].id);
	}
}

void ex_verify_all(struct ex_run *run, int direct)
{
	compare_lists(run);
	for (unsigned i = 0; i < run->s.workers; i++) {
		struct ex_worker *w = &run->w[i];

		for (size_t k = 0; k < w->now.nr; k++)
			compare_root(w, &w->now.roots[k], direct);
	}
}

/* -- after a kill ---------------------------------------------------------- */

/* Operations that the kernel may cut into several requests. */
static bool is_many(const struct ex_op *op)
{
	switch (op->kind) {
	case EX_PWRITE:
	case EX_PWRITEV:
	case EX_MWRITE:
	case EX_MSYNC:
	case EX_FSYNC:
	case EX_COPY:
	case EX_FALLOCATE:
	case EX_FTRUNCATE:
	case EX_TRUNCATE:
		return true;
	default:
		return false;
	}
}

/* What a worker had of all datasets, read anew; by index in now.roots. */
struct came_back {
	struct model_tree **trees;
	size_t nr;
};

static bool state_fits(struct ex_worker *w, const struct came_back *b, size_t k,
		       bool between, char *why, size_t cap)
{
	const struct model_state *s = &w->states[k];

	for (size_t i = 0; i < b->nr; i++) {
		const uint32_t id = w->now.roots[i].id;
		const struct model_root *r = model_find(s, id);
		struct ex_diff d = {.got = b->trees[i],
				    .loose = w,
				    .root = id,
				    .state = w->first_state + k};

		if (!b->trees[i])
			continue;
		MUST(r);
		d.want = r->tree;
		if (between)
			d.next = model_find(&w->states[k + 1], id)->tree;
		if (!ex_same(&d, why, cap))
			return false;
	}
	return true;
}

/* The newest of the states [from, to] that came back. */
static uint64_t find_state(struct ex_worker *w, const struct came_back *b,
			   uint64_t from, uint64_t to)
{
	char why[1024] = "", first[1024] = "";
	size_t k;

	for (uint64_t at = to + 1; at-- > from;) {
		k = (size_t)(at - w->first_state);
		if (state_fits(w, b, k, false, why, sizeof(why)))
			return at;
		if (at == to)
			memcpy(first, why, sizeof(first));
		if (at < to && is_many(&w->done_ops[k + 1]) &&
		    state_fits(w, b, k, true, why, sizeof(why)))
			return at;
	}
	ex_fail_run(w->run,
		    "worker %u: none of its states %ju to %ju came back; the "
		    "last is not: %s; the first is not: %s",
		    w->n, (uintmax_t)from, (uintmax_t)to, first, why);
}

static void came_back(struct ex_worker *w)
{
	struct came_back b = {.nr = w->now.nr};
	char path[EX_PATH_MAX], why[1024] = "";
	uint64_t found;

	b.trees = calloc(b.nr ? b.nr : 1, sizeof(struct model_tree *));
	MUST(b.trees);
	for (size_t i = 0; i < b.nr; i++) {
		const struct model_root *r = &w->now.roots[i];

		if (r->parent)
			continue;
		ex_find_path(w, r, MODEL_ROOT_INO, path);
		b.trees[i] = ex_load(w->run, w->n, path, 0, why, sizeof(why));
		if (!b.trees[i])
			ex_fail_run(w->run, "worker %u: %s", w->n, why);
	}
	found = find_state(w, &b, w->durable, w->done);
	if (w->run->s.verbose)
		fprintf(stderr, "worker %u: %ju of %ju to %ju came back\n",
			w->n, (uintmax_t)found, (uintmax_t)w->durable,
			(uintmax_t)w->done);
	w->run->nr_prefix += found < w->done;
	for (size_t i = 0; i < b.nr; i++) {
		if (!b.trees[i])
			continue;
		model_tree_put(w->now.roots[i].tree);
		w->now.roots[i].tree = b.trees[i];
	}
	free(b.trees);
	w->nr_loose = 0;
}

void ex_kill_and_compare(struct ex_run *run)
{
	ex_kill(run);
	ex_mount(run);
	run->nr_kills++;
	for (unsigned i = 0; i < run->s.workers; i++)
		came_back(&run->w[i]);
	/* the snapshots too, and once more by the new model */
	ex_verify_all(run, O_DIRECT);
	MUST(ex_ask(run, NULL, 0, "sync", "%s", "") == 0);
}

/* -- beside the workers ---------------------------------------------------- */

void ex_aside_compare(struct ex_run *run, const struct ex_aside *a)
{
	const struct model_root *src = ex_find_root(&run->w[0], a->op->path);
	const uint32_t parent = a->op->kind == EX_SNAPRUN ? src->id : 0;
	const struct dataset_properties p = src->properties;
	const uint32_t src_id = src->id;
	char path[EX_PATH_MAX], why[1024] = "";

	if (parent)
		snprintf(path, sizeof(path), "%s/.dbs/snapshot/%s", a->op->path,
			 a->op->path2);
	else
		snprintf(path, sizeof(path), "%s", a->op->path2);
	for (unsigned i = 0; i < run->s.workers; i++) {
		struct ex_worker *w = &run->w[i];
		struct came_back b = {.nr = w->now.nr};
		struct model_tree *got =
			ex_load(run, i, path, 0, why, sizeof(why));

		if (!got)
			ex_fail_run(run, "worker %u: %s", i, why);
		b.trees = calloc(b.nr, sizeof(struct model_tree *));
		MUST(b.trees);
		for (size_t k = 0; k < b.nr; k++)
			if (w->now.roots[k].id == src_id)
				b.trees[k] = got;
		find_state(w, &b, a->from[i], MIN_OF(a->to[i], w->done));
		free(b.trees);
		model_add(&w->now, a->id, parent, a->op->path2, got)
			->properties = p;
		/* durable, and what was done before it; not what came after */
		for (size_t k = 0; k < w->nr_states; k++)
			model_add(&w->states[k], a->id, parent, a->op->path2,
				  got);
		w->durable = MAX_OF((uint64_t)w->durable, a->from[i]);
		model_tree_put(got);
	}
}
