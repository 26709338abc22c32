/* SPDX-License-Identifier: Apache-2.0 */
/* root.c - what the run itself does: datasets, snapshots, scrub, remount */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"
#include "tests/fs/exerciser/ex.h"

#define CODE_NOT_FOUND 3
#define CODE_CONFLICT  4
/* the kernel tells the daemon of a close some time after it */
#define RETRIES 100

static uint32_t id_of(struct ex_run *run, const char *answer)
{
	const char *id = strstr(answer, "\"id\":");

	if (!id)
		ex_fail_run(run, "the answer has no id: %s", answer);
	return (uint32_t)strtoul(id + strlen("\"id\":"), NULL, 10);
}

static void expect_code(struct ex_run *run, int code, int want,
			const char *answer)
{
	if (code != want)
		ex_fail_run(run, "it gives %d, want %d: %s", code, want,
			    answer);
}

/* -- the model follows ----------------------------------------------------- */

static void drop_unnamed(struct model_root *r)
{
	for (size_t i = r->tree->nr; i-- > 0;) {
		const struct file_attr *a = &r->tree->inodes[i]->attr;

		if (a->nlink == 0)
			model_inode_remove(r, a->ino);
	}
}

/* A root with the content of @from, as all workers know it. */
static void add_copy(struct ex_run *run, const char *from, uint32_t id,
		     uint32_t parent, const char *name)
{
	for (unsigned i = 0; i < run->s.workers; i++) {
		struct ex_worker *w = &run->w[i];
		struct model_root *src = ex_find_root(w, from), *r;
		const struct dataset_properties p = src->properties;

		r = model_add(&w->now, id, parent, name, src->tree);
		r->properties = p;
		drop_unnamed(r);
	}
}

static void remove_root(struct ex_run *run, uint32_t id)
{
	for (unsigned i = 0; i < run->s.workers; i++) {
		struct ex_worker *w = &run->w[i];

		for (unsigned k = 0; k < EX_HANDLES; k++)
			if (w->handles[k].root == id)
				w->handles[k].stale = true;
		model_remove(&w->now, id);
	}
}

static bool any_open(const struct ex_run *run, uint32_t id, bool writing)
{
	for (unsigned i = 0; i < run->s.workers; i++) {
		for (unsigned k = 0; k < EX_HANDLES; k++) {
			const struct ex_handle *h = &run->w[i].handles[k];

			if (h->fd >= 0 && h->root == id &&
			    (!writing || ex_handle_writes(h)))
				return true;
		}
	}
	return false;
}

/* What is mapped of a dataset that goes away would give SIGBUS. */
static void unmap(struct ex_run *run, uint32_t id)
{
	for (unsigned i = 0; i < run->s.workers; i++) {
		for (unsigned k = 0; k < EX_HANDLES; k++) {
			struct ex_handle *h = &run->w[i].handles[k];

			if (h->fd < 0 || h->root != id || !h->map)
				continue;
			munmap(h->map, EX_MAP_BYTES);
			h->map = NULL;
		}
	}
}

/* -- datasets -------------------------------------------------------------- */

static void make_dirs(struct ex_run *run, const char *name)
{
	char full[EX_PATH_MAX], sub[256];

	umask(0);
	for (unsigned i = 0; i <= run->s.workers; i++) {
		if (i < run->s.workers)
			snprintf(sub, sizeof(sub), "%s/w%u", name, i);
		else
			snprintf(sub, sizeof(sub), "%s/shared", name);
		ex_full_path(run, sub, full);
		if (mkdir(full, 0777))
			ex_fail_run(run, "mkdir of '%s': %s", sub,
				    strerror(errno));
	}
}

void ex_dataset_adopt(struct ex_run *run, const char *name, uint32_t id)
{
	char why[1024] = "";

	make_dirs(run, name);
	for (unsigned i = 0; i < run->s.workers; i++) {
		struct ex_worker *w = &run->w[i];
		struct model_tree *t =
			ex_load(run, i, name, 0, why, sizeof(why));

		if (!t)
			ex_fail_run(run, "%s", why);
		model_add(&w->now, id, 0, name, t);
		model_tree_put(t);
	}
}

static bool create_plain(struct ex_run *run, const char *name)
{
	char full[EX_PATH_MAX];

	ex_full_path(run, name, full);
	if (ex_find_root(&run->w[0], name) || mkdir(full, 0777))
		return false;
	ex_dataset_adopt(run, name, ++run->plain_id);
	return true;
}

static bool do_create(struct ex_run *run, const struct ex_op *op)
{
	struct dataset_properties p;
	char answer[4096];
	uint32_t id;
	int code;

	if (run->s.plain)
		return create_plain(run, op->path);
	code = ex_ask(run, answer, sizeof(answer), "create",
		      "'name':'%s','recordsize':%jd", op->path,
		      (intmax_t)op->a);
	expect_code(run, code,
		    ex_find_root(&run->w[0], op->path) ? CODE_CONFLICT : 0,
		    answer);
	if (code)
		return false;
	id = id_of(run, answer);
	ex_dataset_adopt(run, op->path, id);
	dataset_properties_default(&p);
	p.recordsize = (uint32_t)op->a;
	for (unsigned i = 0; i < run->s.workers; i++)
		ex_find_root(&run->w[i], op->path)->properties = p;
	/* the directories were not part of what is durable */
	MUST(ex_ask(run, NULL, 0, "sync", "%s", "") == 0);
	return true;
}

static bool do_snapshot(struct ex_run *run, const struct ex_op *op)
{
	const struct model_root *ds = ex_find_root(&run->w[0], op->path);
	char answer[4096];
	int code = 0, want = 0;

	if (!ds)
		want = CODE_NOT_FOUND;
	else if (model_find_name(&run->w[0].now, ds->id, op->path2))
		want = CODE_CONFLICT;
	code = ex_ask(run, answer, sizeof(answer), "snapshot", "'name':'%s@%s'",
		      op->path, op->path2);
	expect_code(run, code, want, answer);
	if (code == 0)
		add_copy(run, op->path, id_of(run, answer), ds->id, op->path2);
	return code == 0;
}

static bool do_clone(struct ex_run *run, const struct ex_op *op)
{
	char answer[4096];
	int code, want = 0;

	if (!ex_find_root(&run->w[0], op->path))
		want = CODE_NOT_FOUND;
	else if (ex_find_root(&run->w[0], op->path2))
		want = CODE_CONFLICT;
	code = ex_ask(run, answer, sizeof(answer), "clone",
		      "'source':'%s','name':'%s'", op->path, op->path2);
	expect_code(run, code, want, answer);
	if (code == 0)
		add_copy(run, op->path, id_of(run, answer), 0, op->path2);
	return code == 0;
}

/* What a restore replaced must be in the snapshot that it says. */
static void check_kept(struct ex_run *run, const char *answer,
		       struct model_tree *const before[EX_WORKERS_MAX])
{
	const char *kept = strstr(answer, "\"kept\":\"");
	char name[128], ds[64], path[256], why[1024] = "";

	if (!kept ||
	    sscanf(kept + strlen("\"kept\":\""), "%127[^\"]", name) != 1 ||
	    sscanf(name, "%63[^@]", ds) != 1)
		ex_fail_run(run, "nothing was kept: %s", answer);
	snprintf(path, sizeof(path), "%s/.dbs/snapshot/%s", ds,
		 strchr(name, '@') + 1);
	for (unsigned i = 0; i < run->s.workers; i++) {
		struct model_tree *got =
			ex_load(run, i, path, 0, why, sizeof(why));
		const struct ex_diff d = {.want = before[i], .got = got};

		if (!got || !ex_same(&d, why, sizeof(why)))
			ex_fail_run(run, "worker %u, %s: %s", i, path, why);
		model_tree_put(got);
	}
	MUST(ex_ask(run, NULL, 0, "rm", "'names':['%s']", name) == 0);
}

static void restored(struct ex_run *run, const struct ex_op *op,
		     struct model_tree *before[EX_WORKERS_MAX])
{
	for (unsigned i = 0; i < run->s.workers; i++) {
		struct ex_worker *w = &run->w[i];
		struct model_root *r = ex_find_root(w, op->path2);
		const struct model_root *src = ex_find_root(w, op->path);

		before[i] = r->tree;
		r->tree = src->tree;
		r->tree->refs++;
		for (unsigned k = 0; k < EX_HANDLES; k++)
			if (w->handles[k].root == r->id)
				w->handles[k].stale = true;
	}
}

static bool do_restore(struct ex_run *run, const struct ex_op *op)
{
	const struct model_root *src = ex_find_root(&run->w[0], op->path);
	const struct model_root *ds = ex_find_root(&run->w[0], op->path2);
	struct model_tree *before[EX_WORKERS_MAX] = {NULL};
	const bool force = op->a & 1, discard = op->a & 2;
	char answer[4096];
	int code = 0, want = 0;

	if (!src || !ds)
		want = CODE_NOT_FOUND;
	else if (!force && any_open(run, ds->id, true))
		want = CODE_CONFLICT;
	if (want == 0)
		unmap(run, ds->id);
	for (int i = 0; i < RETRIES; i++) {
		code = ex_ask(run, answer, sizeof(answer), "restore",
			      "'source':'%s','dataset':'%s','force':%s,"
			      "'discard':%s",
			      op->path, op->path2, force ? "true" : "false",
			      discard ? "true" : "false");
		if (code == want || code != CODE_CONFLICT)
			break;
	}
	expect_code(run, code, want, answer);
	if (code)
		return false;
	restored(run, op, before);
	if (!discard)
		check_kept(run, answer, before);
	for (unsigned i = 0; i < run->s.workers; i++)
		model_tree_put(before[i]);
	ex_verify_named(run, op->path2, 0);
	return true;
}

static size_t nr_snapshots(struct ex_run *run, const struct model_root *ds)
{
	const struct model_state *s = &run->w[0].now;
	size_t nr = 0;

	for (size_t i = 0; i < s->nr; i++)
		nr += s->roots[i].parent == ds->id;
	return nr;
}

static void destroyed(struct ex_run *run, uint32_t id)
{
	const struct model_state *s = &run->w[0].now;

	for (size_t i = 0; i < s->nr; i++) {
		if (s->roots[i].parent != id)
			continue;
		remove_root(run, s->roots[i].id);
		i = (size_t)-1; /* the list has moved */
	}
	remove_root(run, id);
}

static bool do_destroy(struct ex_run *run, const struct ex_op *op)
{
	const struct model_root *r = ex_find_root(&run->w[0], op->path);
	const bool force = op->a & 1, recursive = op->a & 2;
	const struct model_state *s = &run->w[0].now;
	bool open = r && any_open(run, r->id, false);
	char answer[4096];
	int code = 0, want = 0;

	for (size_t i = 0; r && i < s->nr; i++)
		open = open || (s->roots[i].parent == r->id &&
				any_open(run, s->roots[i].id, false));
	if (!r)
		want = CODE_NOT_FOUND;
	else if (!recursive && nr_snapshots(run, r))
		want = CODE_CONFLICT;
	else if (!force && open)
		want = CODE_CONFLICT;
	for (size_t i = 0; want == 0 && i < s->nr; i++)
		if (s->roots[i].parent == r->id || &s->roots[i] == r)
			unmap(run, s->roots[i].id);
	for (int i = 0; i < RETRIES; i++) {
		code = ex_ask(run, answer, sizeof(answer), "rm",
			      "'names':['%s'],'force':%s,'recursive':%s",
			      op->path, force ? "true" : "false",
			      recursive ? "true" : "false");
		if (code == want || code != CODE_CONFLICT)
			break;
	}
	expect_code(run, code, want, answer);
	if (code == 0)
		destroyed(run, r->id);
	return code == 0;
}

static bool do_mv(struct ex_run *run, const struct ex_op *op)
{
	char answer[4096];
	int code = 0, want = 0;

	if (!ex_find_root(&run->w[0], op->path))
		want = CODE_NOT_FOUND;
	else if (strcmp(op->path, op->path2) &&
		 ex_find_root(&run->w[0], op->path2))
		want = CODE_CONFLICT;
	code = ex_ask(run, answer, sizeof(answer), "mv",
		      "'from':'%s','to':'%s'", op->path, op->path2);
	/* to its own name: either answer is a good one */
	if (strcmp(op->path, op->path2) == 0)
		return false;
	expect_code(run, code, want, answer);
	for (unsigned i = 0; code == 0 && i < run->s.workers; i++) {
		struct model_root *r = ex_find_root(&run->w[i], op->path);

		snprintf(r->name, sizeof(r->name), "%s", op->path2);
	}
	return code == 0;
}

/* -- the pool -------------------------------------------------------------- */

static bool do_scrub(struct ex_run *run, const struct ex_op *op)
{
	char answer[8192];
	int code;

	do {
		code = ex_ask(run, answer, sizeof(answer), "pool.scrub",
			      "'action':'follow','wait_ms':%d",
			      op->a ? 2000 : 0);
		expect_code(run, code, 0, answer);
		if (!strstr(answer, "\"nr_errors\":0"))
			ex_fail_run(run, "the scrub found errors: %s", answer);
	} while (op->a && strstr(answer, "\"state\":\"running\""));
	return false;
}

/* By a handle or a path, whichever it has. */
static int open_again(struct ex_worker *w, const struct model_root *r,
		      uint64_t ino)
{
	char path[EX_PATH_MAX], full[EX_PATH_MAX];

	for (unsigned i = 0; i < EX_HANDLES; i++) {
		const struct ex_handle *h = &w->handles[i];

		if (h->fd >= 0 && !h->stale && h->root == r->id &&
		    h->ino == ino)
			return dup(h->fd);
	}
	if (!ex_find_path(w, r, ino, path))
		return -1;
	ex_full_path(w->run, path, full);
	return open(full, O_RDONLY);
}

static void sync_loose(struct ex_worker *w, const struct ex_loose *l)
{
	struct model_root *r = model_find(&w->now, l->root);
	int fd;

	if (!r || !model_inode(r->tree, l->ino))
		return;
	fd = open_again(w, r, l->ino);
	if (fd < 0 || fsync(fd))
		ex_fail_run(w->run, "fsync of ino %ju: %s", (uintmax_t)l->ino,
			    strerror(errno));
	close(fd);
	ex_step_begin(w, NULL);
	ex_settle(w, r, l->ino, EX_ANY_TIME);
}

void ex_msync_all(struct ex_run *run)
{
	for (unsigned i = 0; i < run->s.workers; i++) {
		struct ex_worker *w = &run->w[i];

		bool any = false;

		for (size_t k = 0; k < w->nr_loose; k++) {
			if (w->loose[k].to != UINT64_MAX)
				continue;
			sync_loose(w, &w->loose[k]);
			w->loose[k].to = atomic_load(&w->done);
			any = true;
		}
		if (any)
			ex_state_again(w);
	}
}

static bool do_sync(struct ex_run *run, const struct ex_op *op)
{
	(void)op;
	MUST(ex_ask(run, NULL, 0, "sync", "%s", "") == 0);
	return true;
}

static bool do_verify(struct ex_run *run, const struct ex_op *op)
{
	if (*op->path && strcmp(op->path, "all"))
		ex_verify_named(run, op->path, (int)op->a & O_DIRECT);
	else
		ex_verify_all(run, (int)op->a & O_DIRECT);
	return false;
}

static bool do_remount(struct ex_run *run, const struct ex_op *op)
{
	for (unsigned i = 0; i < run->s.workers; i++) {
		ex_handles_close_all(&run->w[i]);
	}
	ex_unmount(run);
	if (op->a)
		ex_check(run);
	ex_mount(run);
	run->nr_remounts++;
	ex_verify_all(run, 0);
	return true;
}

void ex_exec_root(struct ex_run *run, const struct ex_op *op)
{
	static bool (*const fns[EX_NR_KINDS])(struct ex_run *,
					      const struct ex_op *) = {
		[EX_CREATE] = do_create,   [EX_SNAPSHOT] = do_snapshot,
		[EX_CLONE] = do_clone,	   [EX_RESTORE] = do_restore,
		[EX_DESTROY] = do_destroy, [EX_MV] = do_mv,
		[EX_VERIFY] = do_verify,   [EX_SCRUB] = do_scrub,
		[EX_SYNC] = do_sync,	   [EX_REMOUNT] = do_remount,
	};
	bool durable = false;

	run->nr_roots++;
	/* a lazy kill finds what was written through mappings as it is */
	if (op->kind != EX_KILL || op->a)
		ex_msync_all(run);
	if (run->s.plain && op->kind != EX_VERIFY && op->kind != EX_CREATE)
		return;
	if (op->kind == EX_KILL)
		ex_kill_and_compare(run);
	else if (fns[op->kind])
		durable = fns[op->kind](run, op);
	if (durable || op->kind == EX_KILL)
		ex_all_durable(run);
}
