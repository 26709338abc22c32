/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fs/exerciser/ex.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define INO_BITS 40 /* of st_ino; above them is the dataset's id */

/* -- failing --------------------------------------------------------------- */

const char *ex_op_text(const struct ex_op *op)
{
	static _Thread_local char text[4096];

	if (!op)
		return "(between operations)";
	ex_op_print(op, text, sizeof(text));
	return text;
}

/* Beside the list: what is printed first is far from the end by then. */
static void save_reason(const struct ex_run *run, const struct ex_op *op,
			const char *text)
{
	char path[PATH_MAX + 8];
	FILE *f;

	snprintf(path, sizeof(path), "%s.txt", run->list);
	f = fopen(path, "w");
	if (!f)
		return;
	fprintf(f, "seed=%ju after %zu operations: %s\n  %s\n",
		(uintmax_t)run->s.seed, run->log.nr, ex_op_text(op), text);
	fclose(f);
}

static _Noreturn void fail_with(struct ex_run *run, const struct ex_op *op,
				const char *fmt, va_list ap)
{
	char text[1024];

	/* never unlocked: nobody else gets to say anything */
	pthread_mutex_lock(&run->lock);
	fprintf(stderr, "FAILED seed=%ju after %zu operations: %s\n  ",
		(uintmax_t)run->s.seed, run->log.nr, ex_op_text(op));
	vsnprintf(text, sizeof(text), fmt, ap);
	fprintf(stderr, "%s\n", text);
	save_reason(run, op, text);
	ex_list_save(&run->log, run->list);
	fflush(NULL);
	_exit(1);
}

void ex_fail(struct ex_worker *w, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_with(w->run, w->op, fmt, ap);
}

void ex_fail_run(struct ex_run *run, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fail_with(run, run->log.nr ? &run->log.ops[run->log.nr - 1] : NULL, fmt,
		  ap);
}

bool ex_expect(struct ex_worker *w, int64_t rc, int want)
{
	if (rc < 0 ? rc != want : want != 0)
		ex_fail(w, "it gives %jd (%s), want %d (%s)", (intmax_t)rc,
			rc < 0 ? strerror((int)-rc) : "done", want,
			want ? strerror(-want) : "done");
	w->nr_failed += rc < 0;
	return rc >= 0;
}

bool ex_expect_in(struct ex_worker *w, const struct model_root *r, int64_t rc,
		  int want)
{
	if (r && r->parent && (want == 0 || rc == -EROFS))
		want = -EROFS;
	return ex_expect(w, rc, want);
}

/* -- workers and their states ---------------------------------------------- */

void ex_worker_init(struct ex_worker *w, struct ex_run *run, unsigned n)
{
	*w = (struct ex_worker){.run = run, .n = n};
	w->rnd.state = run->s.seed * 1000 + n + 1;
	for (unsigned i = 0; i < EX_HANDLES; i++)
		w->handles[i].fd = -1;
	MUST(posix_memalign((void **)&w->buf, 4096, EX_IO_MAX + 4096) == 0);
	MUST(posix_memalign((void **)&w->buf2, 4096, EX_IO_MAX + 4096) == 0);
}

void ex_worker_release(struct ex_worker *w)
{
	for (size_t i = 0; i < w->nr_states; i++)
		model_state_release(&w->states[i]);
	model_state_release(&w->now);
	free(w->states);
	free(w->done_ops);
	free(w->buf);
	free(w->buf2);
}

void ex_step_begin(struct ex_worker *w, const struct ex_op *op)
{
	w->op = op;
	w->touched = 0;
	clock_gettime(CLOCK_REALTIME, &w->start);
	clock_gettime(CLOCK_MONOTONIC, &w->start_mono);
}

static void state_push(struct ex_worker *w)
{
	if (w->nr_states == w->cap_states) {
		w->cap_states = w->cap_states ? 2 * w->cap_states : 64;
		w->states = reallocarray(w->states, w->cap_states,
					 sizeof(*w->states));
		w->done_ops = reallocarray(w->done_ops, w->cap_states,
					   sizeof(*w->done_ops));
		MUST(w->states && w->done_ops);
	}
	if (w->op)
		w->done_ops[w->nr_states] = *w->op;
	model_state_copy(&w->states[w->nr_states++], &w->now);
}

void ex_step_end(struct ex_worker *w)
{
	const uint64_t done = atomic_load(&w->done) + 1;

	state_push(w);
	for (unsigned i = 0; i < EX_DATASETS; i++)
		if (w->touched & 1u << i)
			atomic_store(&w->last_change[i], done);
	atomic_store(&w->done, done);
	w->op = NULL;
}

static void trim_loose(struct ex_worker *w)
{
	size_t nr = 0;

	for (size_t i = 0; i < w->nr_loose; i++)
		if (w->loose[i].to > w->first_state)
			w->loose[nr++] = w->loose[i];
	w->nr_loose = nr;
}

void ex_states_trim(struct ex_worker *w)
{
	const uint64_t durable = atomic_load(&w->durable);
	size_t nr;

	if (w->nr_states == 0) {
		w->first_state = atomic_load(&w->done);
		state_push(w);
	}
	nr = (size_t)(durable - w->first_state);
	if (durable <= w->first_state)
		return;
	for (size_t i = 0; i < nr; i++)
		model_state_release(&w->states[i]);
	memmove(w->states, w->states + nr,
		(w->nr_states - nr) * sizeof(*w->states));
	memmove(w->done_ops, w->done_ops + nr,
		(w->nr_states - nr) * sizeof(*w->done_ops));
	w->nr_states -= nr;
	w->first_state = durable;
	trim_loose(w);
}

/* What a command did to datasets is in the model by now, in the last state. */
void ex_all_durable(struct ex_run *run)
{
	for (unsigned i = 0; i < run->s.workers; i++) {
		struct ex_worker *w = &run->w[i];

		for (size_t k = 0; k < w->nr_states; k++)
			model_state_release(&w->states[k]);
		w->nr_states = 0;
		atomic_store(&w->durable, atomic_load(&w->done));
		ex_states_trim(w);
	}
}

void ex_state_again(struct ex_worker *w)
{
	if (w->nr_states == 0)
		return;
	model_state_release(&w->states[w->nr_states - 1]);
	model_state_copy(&w->states[w->nr_states - 1], &w->now);
}

void ex_durable_begin(struct ex_worker *w, const struct model_root *r,
		      uint64_t mark[EX_WORKERS_MAX])
{
	const unsigned slot = ex_dataset_slot(r->name);

	memset(mark, 0, EX_WORKERS_MAX * sizeof(*mark));
	if (r->parent || slot == EX_DATASET_NONE)
		return;
	for (unsigned i = 0; i < w->run->s.workers; i++)
		mark[i] = atomic_load(&w->run->w[i].last_change[slot]);
}

void ex_durable_end(struct ex_worker *w, const uint64_t mark[EX_WORKERS_MAX])
{
	for (unsigned i = 0; i < w->run->s.workers; i++) {
		_Atomic uint64_t *to = &w->run->w[i].durable;
		uint64_t now = atomic_load(to);

		while (now < mark[i] &&
		       !atomic_compare_exchange_weak(to, &now, mark[i]))
			;
	}
}

/* -- paths ----------------------------------------------------------------- */

unsigned ex_dataset_slot(const char *name)
{
	if (name[0] != 'd' || name[1] < '0' ||
	    name[1] >= (char)('0' + EX_DATASETS) || name[2])
		return EX_DATASET_NONE;
	return (unsigned)(name[1] - '0');
}

void ex_full_path(const struct ex_run *run, const char *path,
		  char full[EX_PATH_MAX])
{
	MUST(snprintf(full, EX_PATH_MAX, "%s/%s", run->mount, path) <
	     (int)EX_PATH_MAX);
}

uint64_t ex_ino(const struct ex_run *run, const struct stat *st)
{
	if (run->s.plain)
		return st->st_ino;
	return st->st_ino & ((UINT64_C(1) << INO_BITS) - 1);
}

/* The next part of a path; returns what is behind it. */
static const char *next_part(const char *path, char part[EX_PATH_MAX])
{
	const char *end = strchrnul(path, '/');

	memcpy(part, path, (size_t)(end - path));
	part[end - path] = '\0';
	return *end ? end + 1 : end;
}

static struct model_root *find_root(struct ex_worker *w, const char **path)
{
	static const char views[] = ".dbs/snapshot/";
	char part[EX_PATH_MAX];
	struct model_root *r;

	*path = next_part(*path, part);
	r = model_find_name(&w->now, 0, part);
	if (!r || strncmp(*path, views, strlen(views)))
		return r;
	*path = next_part(*path + strlen(views), part);
	return model_find_name(&w->now, r->id, part);
}

/* One step of the walk: @part, which is not the last one. */
static void walk(struct ex_place *p, const char *part)
{
	const struct model_tree *t = p->root->tree;
	const struct model_inode *in = model_inode(t, p->dir);
	const uint64_t ino = model_name_find(in, part);

	if (strlen(part) > 255) {
		p->err = -ENAMETOOLONG;
		return;
	}
	if (!ino) {
		p->err = -ENOENT;
		return;
	}
	in = model_inode(t, ino);
	if (S_ISLNK(in->attr.mode))
		p->odd = true;
	else if (!S_ISDIR(in->attr.mode))
		p->err = -ENOTDIR;
	p->dir = ino;
}

void ex_resolve(struct ex_worker *w, const char *path, struct ex_place *p)
{
	char part[EX_PATH_MAX];

	*p = (struct ex_place){.root = find_root(w, &path), .name = ""};
	if (!p->root) {
		p->err = -ENOENT;
		return;
	}
	p->dir = p->ino = MODEL_ROOT_INO;
	while (*path) {
		p->name = path;
		path = next_part(path, part);
		if (*path) {
			walk(p, part);
			if (p->err || p->odd)
				return;
			continue;
		}
		p->ino = model_name_find(model_inode(p->root->tree, p->dir),
					 part);
		if (strlen(part) > 255)
			p->err = -ENAMETOOLONG;
	}
}

const struct model_inode *ex_place_inode(const struct ex_place *p)
{
	if (!p->root || p->err || p->odd || !p->ino)
		return NULL;
	return model_inode(p->root->tree, p->ino);
}

static bool find_below(const struct model_tree *t, uint64_t dir, uint64_t ino,
		       char *path, size_t len)
{
	const struct model_inode *in = model_inode(t, dir);

	for (size_t i = 0; i < in->nr_names; i++) {
		const struct model_name *n = &in->names[i];
		const size_t name_len = strlen(n->name);

		if (len + 1 + name_len >= EX_PATH_MAX)
			continue;
		path[len] = '/';
		memcpy(path + len + 1, n->name, name_len + 1);
		if (n->ino == ino)
			return true;
		if (S_ISDIR(model_inode(t, n->ino)->attr.mode) &&
		    find_below(t, n->ino, ino, path, len + 1 + name_len))
			return true;
	}
	return false;
}

bool ex_find_path(struct ex_worker *w, const struct model_root *r, uint64_t ino,
		  char path[EX_PATH_MAX])
{
	const struct model_root *ds =
		r->parent ? model_find(&w->now, r->parent) : r;
	int len;

	if (r->parent)
		len = snprintf(path, EX_PATH_MAX, "%s/.dbs/snapshot/%s",
			       ds->name, r->name);
	else
		len = snprintf(path, EX_PATH_MAX, "%s", r->name);
	if (ino == MODEL_ROOT_INO)
		return true;
	return find_below(r->tree, MODEL_ROOT_INO, ino, path, (size_t)len);
}

/* -- handles --------------------------------------------------------------- */

struct ex_handle *ex_handle(struct ex_worker *w, int n)
{
	if (n < 0 || n >= (int)EX_HANDLES || w->handles[n].fd < 0)
		return NULL;
	return &w->handles[n];
}

bool ex_handle_writes(const struct ex_handle *h)
{
	return (h->flags & O_ACCMODE) != O_RDONLY;
}

bool ex_handle_reads(const struct ex_handle *h)
{
	return (h->flags & O_ACCMODE) != O_WRONLY;
}

struct model_root *ex_handle_root(struct ex_worker *w, struct ex_handle *h)
{
	return h->stale ? NULL : model_find(&w->now, h->root);
}

bool ex_is_open(const struct ex_worker *w, uint32_t root, uint64_t ino)
{
	for (unsigned i = 0; i < EX_HANDLES; i++) {
		const struct ex_handle *h = &w->handles[i];

		if (h->fd >= 0 && !h->stale && h->root == root && h->ino == ino)
			return true;
	}
	return false;
}

void ex_handle_close(struct ex_worker *w, struct ex_handle *h)
{
	struct model_root *r = ex_handle_root(w, h);
	const struct model_inode *in = r ? model_inode(r->tree, h->ino) : NULL;

	if (h->map)
		munmap(h->map, EX_MAP_BYTES);
	close(h->fd);
	h->fd = -1;
	h->map = NULL;
	/* E3 */
	if (in && in->attr.nlink == 0 && !ex_is_open(w, h->root, h->ino)) {
		model_inode_remove(r, h->ino);
		ex_clear_loose(w, h->root, h->ino);
	}
}

void ex_handles_close_all(struct ex_worker *w)
{
	for (unsigned i = 0; i < EX_HANDLES; i++)
		if (w->handles[i].fd >= 0)
			ex_handle_close(w, &w->handles[i]);
}

/* -- loose inodes (E2) ----------------------------------------------------- */

bool ex_was_loose(const struct ex_worker *w, uint64_t state, uint32_t root,
		  uint64_t ino)
{
	for (size_t i = 0; i < w->nr_loose; i++) {
		const struct ex_loose *l = &w->loose[i];

		if (l->root == root && l->ino == ino && l->from <= state &&
		    state < l->to)
			return true;
	}
	return false;
}

bool ex_is_loose(const struct ex_worker *w, uint32_t root, uint64_t ino)
{
	return ex_was_loose(w, UINT64_MAX - 1, root, ino);
}

void ex_set_loose(struct ex_worker *w, uint32_t root, uint64_t ino)
{
	if (ex_is_loose(w, root, ino))
		return;
	MUST(w->nr_loose < EX_LOOSE_MAX);
	w->loose[w->nr_loose++] = (struct ex_loose){
		root, ino, atomic_load(&w->done) + 1, UINT64_MAX};
}

/* As of the operation under way, or of the last one when there is none. */
void ex_clear_loose(struct ex_worker *w, uint32_t root, uint64_t ino)
{
	for (size_t i = 0; i < w->nr_loose; i++) {
		struct ex_loose *l = &w->loose[i];

		if (l->root == root && l->ino == ino && l->to == UINT64_MAX)
			l->to = atomic_load(&w->done) + (w->op ? 1 : 0);
	}
}
