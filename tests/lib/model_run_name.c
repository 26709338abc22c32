/* SPDX-License-Identifier: Apache-2.0 */
/* model_run_name.c - operations on names, attributes and open files */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "store/format.h"
#include "tests/lib/model_run_internal.h"

/* -- picking --------------------------------------------------------------- */

static bool fits(const struct model_inode *in, enum run_kind kind)
{
	if (in->attr.nlink == 0)
		return false;
	if (kind == RUN_ANY)
		return true;
	return kind == RUN_DIR ? S_ISDIR(in->attr.mode)
			       : S_ISREG(in->attr.mode);
}

const struct model_inode *run_pick_inode(struct model_run *run,
					 const struct model_root *r,
					 enum run_kind kind)
{
	const struct model_tree *t = r->tree;
	const size_t start = rnd_below(&run->rnd, t->nr);

	for (size_t i = 0; i < t->nr; i++) {
		const struct model_inode *in = t->inodes[(start + i) % t->nr];

		if (fits(in, kind))
			return in;
	}
	return NULL;
}

/* A directory and one of its names; false when it has none. */
static bool pick_entry(struct model_run *run, const struct model_root *r,
		       const struct model_inode **dir, struct model_name *entry)
{
	*dir = run_pick_inode(run, r, RUN_DIR);
	if (!*dir || !(*dir)->nr_names)
		return false;
	*entry = (*dir)->names[rnd_below(&run->rnd, (*dir)->nr_names)];
	return true;
}

static void pick_file_name(struct model_run *run, char *name)
{
	const unsigned n = (unsigned)rnd_below(&run->rnd, 60);

	if (!run->o.plain && rnd_one_in(&run->rnd, 30)) {
		memset(name, 'n', NAME_LEN_MAX);
		name[NAME_LEN_MAX] = '\0';
		name[0] = (char)('a' + n % 26);
		return;
	}
	snprintf(name, NAME_LEN_MAX + 1, "n%u", n);
}

void run_refresh(struct model_run *run, struct dataset *ds,
		 struct model_root *r, uint64_t ino)
{
	struct model_inode *in = model_edit(r, ino);
	struct file_attr *want = &in->attr, got;
	int rc;

	run_quiet(run, true);
	rc = file_getattr(ds, ino, &got);
	run_quiet(run, false);
	if (rc)
		run_fail(run, "getattr of ino %ju: %d", (uintmax_t)ino, rc);
	if (got.ino != ino || got.mode != want->mode || got.uid != want->uid ||
	    got.gid != want->gid || got.nlink != want->nlink ||
	    (!S_ISDIR(got.mode) && got.size != want->size) ||
	    (S_ISREG(got.mode) && got.recordsize != want->recordsize))
		run_fail(run,
			 "ino %ju: mode %o nlink %u size %ju recordsize %u, "
			 "want mode %o nlink %u size %ju recordsize %u",
			 (uintmax_t)ino, got.mode, got.nlink,
			 (uintmax_t)got.size, got.recordsize, want->mode,
			 want->nlink, (uintmax_t)want->size, want->recordsize);
	/* tar takes a file without blocks for one without data */
	if (S_ISREG(got.mode) && got.blocks == 0 &&
	    model_data_next(in, 0) != UINT64_MAX)
		run_fail(run, "ino %ju has data, but no blocks",
			 (uintmax_t)ino);
	*want = got;
}

/* The inode lost a name: it goes unless someone has it open. */
static void unlinked(struct model_run *run, struct dataset *ds,
		     struct model_root *r, uint64_t ino)
{
	struct file_attr attr;
	bool open = false;
	int rc;

	for (unsigned i = 0; i < MODEL_HANDLES; i++)
		open = open ||
		       (run->handles[i].ds && run->handles[i].root == r->id &&
			run->handles[i].ino == ino);
	if (model_inode(r->tree, ino)->attr.nlink || open) {
		run_refresh(run, ds, r, ino);
		return;
	}
	model_inode_remove(r, ino);
	run_quiet(run, true);
	rc = file_getattr(ds, ino, &attr);
	run_quiet(run, false);
	/* the worker may not have come to the end of a large one yet */
	if (rc != -ENOENT && (rc || attr.nlink > 0))
		run_fail(run, "unlinked, but getattr gives %d", rc);
}

/* -- making ---------------------------------------------------------------- */

static void add_inode(struct model_run *run, struct model_root *r,
		      const struct file_new *n, const struct file_attr *attr,
		      uint64_t parent)
{
	const struct model_inode *old = model_inode(r->tree, attr->ino);
	struct model_inode *in;

	if (old && old->attr.nlink)
		run_fail(run, "ino %ju is in use", (uintmax_t)attr->ino);
	if (old)
		model_inode_remove(r, attr->ino);
	if (attr->mode != n->mode || attr->uid != n->uid || attr->gid != n->gid)
		run_fail(run, "new inode has mode %o owner %u:%u", attr->mode,
			 attr->uid, attr->gid);
	if (S_ISREG(n->mode) && attr->recordsize != r->properties.recordsize)
		run_fail(run, "new file has recordsize %u, its dataset %u",
			 attr->recordsize, r->properties.recordsize);
	in = model_inode_add(r, attr);
	in->parent = parent;
	if (n->target)
		in->target = strdup(n->target);
}

static struct model_handle *free_handle(struct model_run *run)
{
	for (unsigned i = 0; i < MODEL_HANDLES; i++)
		if (!run->handles[i].ds)
			return &run->handles[i];
	return NULL;
}

static void set_handle(struct model_handle *h, struct dataset *ds,
		       const struct model_root *r, uint64_t ino, bool write)
{
	dataset_get(ds);
	*h = (struct model_handle){ds, r->id, ino, write};
}

static void pick_new(struct model_run *run, struct file_new *n, char *target)
{
	static const uint32_t types[] = {S_IFREG, S_IFREG, S_IFREG, S_IFREG,
					 S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK,
					 S_IFIFO, S_IFSOCK};
	const uint64_t long_target = rnd_between(&run->rnd, 1, SYMLINK_MAX + 1);

	*n = (struct file_new){.mode = types[rnd_below(&run->rnd, 10)]};
	n->uid = (uint32_t)rnd_below(&run->rnd, 3) * 0x7fffffff;
	n->gid = (uint32_t)rnd_below(&run->rnd, 5);
	if (S_ISLNK(n->mode)) {
		const uint64_t len = rnd_one_in(&run->rnd, 10)
					     ? long_target
					     : rnd_between(&run->rnd, 1, 80);

		memset(target, 't', (size_t)len);
		target[len] = '\0';
		n->target = target;
		n->mode |= 0777;
	} else {
		n->mode |= (uint32_t)rnd_below(&run->rnd, 01000);
	}
}

static void op_create(struct model_run *run)
{
	struct model_root *r = run_pick_writable(run);
	const struct model_inode *dir;
	struct model_handle *h = free_handle(run);
	char name[NAME_LEN_MAX + 1], target[SYMLINK_MAX + 1];
	struct file_attr attr;
	struct file_new n;
	struct dataset *ds;
	uint64_t parent;
	int rc;

	if (!r || r->tree->nr >= run->o.max_inodes)
		return;
	dir = run_pick_inode(run, r, RUN_DIR);
	parent = dir->attr.ino;
	pick_file_name(run, name);
	pick_new(run, &n, target);
	n.opened = n.open_write =
		S_ISREG(n.mode) && h && rnd_one_in(&run->rnd, 10);
	run_what(run, "create %s/%ju/%s mode %o", r->name, (uintmax_t)parent,
		 name, n.mode);
	ds = run_open(run, r->id);
	rc = file_create(ds, parent, name, strlen(name), &n, &attr);
	if (run_expect(run, rc, model_name_find(dir, name) ? -EEXIST : 0)) {
		struct model_inode *d;

		add_inode(run, r, &n, &attr, parent);
		if (n.opened)
			set_handle(h, ds, r, attr.ino, true);
		d = model_edit(r, parent);
		model_name_set(d, name, attr.ino);
		d->attr.nlink += S_ISDIR(n.mode) ? 1 : 0;
		run_refresh(run, ds, r, parent);
		run_refresh(run, ds, r, attr.ino);
	}
	dataset_put(ds);
}

static void op_create_unnamed(struct model_run *run)
{
	struct model_root *r = run_pick_writable(run);
	struct model_handle *h = free_handle(run);
	struct file_new n = {
		.mode = S_IFREG | 0600, .opened = true, .open_write = true};
	struct file_attr attr;
	struct dataset *ds;
	int rc;

	if (!r || !h || r->tree->nr >= run->o.max_inodes)
		return;
	run_what(run, "create unnamed in %s", r->name);
	ds = run_open(run, r->id);
	rc = file_create_unnamed(ds, MODEL_ROOT_INO, &n, &attr);
	if (run_expect(run, rc, 0)) {
		if (attr.nlink)
			run_fail(run, "unnamed, but nlink %u", attr.nlink);
		add_inode(run, r, &n, &attr, MODEL_ROOT_INO);
		set_handle(h, ds, r, attr.ino, true);
	}
	dataset_put(ds);
}

static void op_link(struct model_run *run)
{
	struct model_root *r = run_pick_writable(run);
	const struct model_inode *dir, *in;
	char name[NAME_LEN_MAX + 1];
	struct file_attr attr;
	struct dataset *ds;
	uint64_t parent, ino;
	int rc, want;

	if (!r)
		return;
	in = run_pick_inode(run, r, RUN_ANY);
	dir = run_pick_inode(run, r, RUN_DIR);
	parent = dir->attr.ino;
	ino = in->attr.ino;
	pick_file_name(run, name);
	run_what(run, "link %s ino %ju as %ju/%s", r->name, (uintmax_t)ino,
		 (uintmax_t)parent, name);
	want = S_ISDIR(in->attr.mode)	    ? -EPERM
	       : model_name_find(dir, name) ? -EEXIST
					    : 0;
	ds = run_open(run, r->id);
	rc = file_link(ds, ino, parent, name, strlen(name), &attr);
	if (want == -EPERM && rc == -EEXIST && model_name_find(dir, name))
		want = -EEXIST;
	if (run_expect(run, rc, want)) {
		model_name_set(model_edit(r, parent), name, ino);
		model_edit(r, ino)->attr.nlink++;
		run_refresh(run, ds, r, parent);
		run_refresh(run, ds, r, ino);
	}
	dataset_put(ds);
}

/* -- removing and renaming ------------------------------------------------- */

static void op_remove(struct model_run *run)
{
	struct model_root *r = run_pick_writable(run);
	const struct model_inode *dir, *in;
	struct model_name entry;
	struct dataset *ds;
	uint64_t parent, ino = 0, want_ino;
	char name[NAME_LEN_MAX + 1];
	bool is_dir, as_dir;
	int rc, want = 0;

	if (!r || !pick_entry(run, r, &dir, &entry))
		return;
	parent = dir->attr.ino;
	want_ino = entry.ino;
	snprintf(name, sizeof(name), "%s", entry.name);
	in = model_inode(r->tree, want_ino);
	is_dir = S_ISDIR(in->attr.mode);
	as_dir = is_dir != rnd_one_in(&run->rnd, 20);
	if (as_dir != is_dir)
		want = is_dir ? -EISDIR : -ENOTDIR;
	else if (is_dir && in->nr_names)
		want = -ENOTEMPTY;
	run_what(run, "%s %s/%ju/%s (ino %ju)", as_dir ? "rmdir" : "unlink",
		 r->name, (uintmax_t)parent, name, (uintmax_t)want_ino);
	ds = run_open(run, r->id);
	if (as_dir)
		rc = file_rmdir(ds, parent, name, strlen(name), &ino);
	else
		rc = file_unlink(ds, parent, name, strlen(name), &ino);
	if (run_expect(run, rc, want)) {
		struct model_inode *d = model_edit(r, parent);
		struct model_inode *victim = model_edit(r, want_ino);

		if (ino != want_ino)
			run_fail(run, "it says ino %ju", (uintmax_t)ino);
		model_name_remove(d, name);
		d->attr.nlink -= is_dir ? 1 : 0;
		victim->attr.nlink = is_dir ? 0 : victim->attr.nlink - 1;
		run_refresh(run, ds, r, parent);
		unlinked(run, ds, r, want_ino);
	}
	dataset_put(ds);
}

/* Is directory @ino @above or somewhere below it? */
static bool is_below(const struct model_tree *t, uint64_t ino, uint64_t above)
{
	while (ino != above) {
		if (ino == MODEL_ROOT_INO)
			return false;
		ino = model_inode(t, ino)->parent;
	}
	return true;
}

struct rename {
	uint64_t old_dir, new_dir;
	char old_name[NAME_LEN_MAX + 1], new_name[NAME_LEN_MAX + 1];
	unsigned flags;
	const struct model_inode *a, *b; /* b: what the new name means */
};

/* What rename(2) says; *@may gets a second answer that is as good. */
static int rename_wants(const struct model_tree *t, const struct rename *n,
			int *may)
{
	const bool a_dir = S_ISDIR(n->a->attr.mode);
	const bool b_dir = n->b && S_ISDIR(n->b->attr.mode);
	int want = 0;

	*may = 0;
	if (n->flags == RENAME_EXCHANGE && !n->b)
		want = -ENOENT;
	else if (n->flags == RENAME_NOREPLACE && n->b)
		want = -EEXIST;
	if (a_dir && is_below(t, n->new_dir, n->a->attr.ino)) {
		*may = want ? want : -EINVAL;
		return -EINVAL;
	}
	if (b_dir && is_below(t, n->old_dir, n->b->attr.ino) &&
	    n->b->attr.ino != n->a->attr.ino) {
		*may = n->flags == RENAME_EXCHANGE ? -EINVAL : -EISDIR;
		if (want)
			*may = want;
		return n->flags == RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	}
	if (want || !n->b || n->flags == RENAME_EXCHANGE)
		return want;
	if (n->a == n->b)
		return 0;
	if (a_dir != b_dir)
		return a_dir ? -ENOTDIR : -EISDIR;
	return b_dir && n->b->nr_names ? -ENOTEMPTY : 0;
}

/* The model follows a rename that the store has done. */
static void rename_apply(struct model_run *run, struct dataset *ds,
			 struct model_root *r, const struct rename *n)
{
	const uint64_t a = n->a->attr.ino, b = n->b ? n->b->attr.ino : 0;
	const unsigned a_dir = S_ISDIR(n->a->attr.mode) ? 1 : 0;
	const unsigned b_dir = b && S_ISDIR(n->b->attr.mode) ? 1 : 0;
	struct model_inode *from = model_edit(r, n->old_dir);
	struct model_inode *to = model_edit(r, n->new_dir);

	model_name_set(to, n->new_name, a);
	from->attr.nlink -= a_dir;
	to->attr.nlink += a_dir;
	if (a_dir)
		model_edit(r, a)->parent = n->new_dir;
	to->attr.nlink -= b_dir;
	if (n->flags == RENAME_EXCHANGE) {
		model_name_set(from, n->old_name, b);
		from->attr.nlink += b_dir;
		if (b_dir)
			model_edit(r, b)->parent = n->old_dir;
	} else {
		model_name_remove(from, n->old_name);
	}
	run_refresh(run, ds, r, n->old_dir);
	run_refresh(run, ds, r, n->new_dir);
	run_refresh(run, ds, r, a);
	if (!b || b == a)
		return;
	if (n->flags == RENAME_EXCHANGE) {
		run_refresh(run, ds, r, b);
		return;
	}
	model_edit(r, b)->attr.nlink -= b_dir ? 2 : 1;
	unlinked(run, ds, r, b);
}

static void op_rename(struct model_run *run)
{
	static const unsigned flags[] = {0, 0, 0, RENAME_NOREPLACE,
					 RENAME_EXCHANGE};
	struct model_root *r = run_pick_writable(run);
	const struct model_inode *from, *to;
	struct model_name entry;
	struct dataset *ds;
	struct rename n = {0};
	uint64_t replaced = 0, b;
	int rc, want, may;

	if (!r || !pick_entry(run, r, &from, &entry))
		return;
	n.flags = flags[rnd_below(&run->rnd, 5)];
	n.old_dir = from->attr.ino;
	snprintf(n.old_name, sizeof(n.old_name), "%s", entry.name);
	n.a = model_inode(r->tree, entry.ino);
	to = run_pick_inode(run, r, RUN_DIR);
	n.new_dir = to->attr.ino;
	if (to->nr_names && rnd_one_in(&run->rnd, 2))
		snprintf(n.new_name, sizeof(n.new_name), "%s",
			 to->names[rnd_below(&run->rnd, to->nr_names)].name);
	else
		pick_file_name(run, n.new_name);
	b = model_name_find(to, n.new_name);
	n.b = b ? model_inode(r->tree, b) : NULL;
	run_what(run, "rename %s %ju/%s (ino %ju) to %ju/%s (ino %ju) flags %u",
		 r->name, (uintmax_t)n.old_dir, n.old_name,
		 (uintmax_t)entry.ino, (uintmax_t)n.new_dir, n.new_name,
		 (uintmax_t)b, n.flags);
	want = rename_wants(r->tree, &n, &may);
	ds = run_open(run, r->id);
	rc = file_rename(ds, n.old_dir, n.old_name, strlen(n.old_name),
			 n.new_dir, n.new_name, strlen(n.new_name), n.flags,
			 &replaced);
	if (want && rc == may)
		want = may;
	/* two names of one inode: nothing happens */
	if (run_expect(run, rc, want) && n.a != n.b) {
		if (replaced != (n.flags == RENAME_EXCHANGE ? 0 : b))
			run_fail(run, "it replaced ino %ju",
				 (uintmax_t)replaced);
		rename_apply(run, ds, r, &n);
	}
	dataset_put(ds);
}

/* -- attributes ------------------------------------------------------------ */

static void op_setattr(struct model_run *run)
{
	struct model_root *r = run_pick_writable(run);
	const struct model_inode *in;
	struct file_attr set = {0}, got;
	struct dataset *ds;
	uint64_t ino;
	unsigned mask;
	int rc;

	if (!r)
		return;
	in = run_pick_inode(run, r, RUN_ANY);
	ino = in->attr.ino;
	mask = (unsigned)rnd_below(&run->rnd, 0x40) & ~FILE_SET_SIZE;
	set.mode = (in->attr.mode & S_IFMT) |
		   (uint32_t)rnd_below(&run->rnd, 010000);
	set.uid = (uint32_t)rnd_next(&run->rnd);
	set.gid = (uint32_t)rnd_next(&run->rnd);
	set.atime.tv_sec = (time_t)rnd_below(&run->rnd, UINT64_C(1) << 40) -
			   (INT64_C(1) << 39);
	set.atime.tv_nsec = (long)rnd_below(&run->rnd, 1000000000);
	set.mtime.tv_sec = (time_t)rnd_below(&run->rnd, UINT64_C(1) << 33);
	set.mtime.tv_nsec = (long)rnd_below(&run->rnd, 1000000000);
	run_what(run, "setattr %s ino %ju mask %#x", r->name, (uintmax_t)ino,
		 mask);
	ds = run_open(run, r->id);
	rc = file_setattr(ds, ino, mask, &set, &got);
	if (run_expect(run, rc, 0)) {
		struct file_attr *a = &model_edit(r, ino)->attr;

		if (mask & FILE_SET_MODE)
			a->mode = set.mode;
		if (mask & FILE_SET_UID)
			a->uid = set.uid;
		if (mask & FILE_SET_GID)
			a->gid = set.gid;
		run_refresh(run, ds, r, ino);
		if (((mask & FILE_SET_ATIME) &&
		     memcmp(&a->atime, &set.atime, sizeof(set.atime))) ||
		    ((mask & FILE_SET_MTIME) &&
		     memcmp(&a->mtime, &set.mtime, sizeof(set.mtime))))
			run_fail(run, "times are not what was set");
	}
	dataset_put(ds);
}

static void op_xattr(struct model_run *run)
{
	struct model_root *r = run_pick_writable(run);
	const struct model_inode *in;
	char name[32];
	struct dataset *ds;
	uint64_t ino;
	size_t len;
	bool has;
	int rc, flags;

	if (!r)
		return;
	in = run_pick_inode(run, r, RUN_ANY);
	ino = in->attr.ino;
	snprintf(name, sizeof(name), "user.x%u",
		 (unsigned)rnd_below(&run->rnd, 6));
	has = model_xattr_find(in, name) != NULL;
	ds = run_open(run, r->id);
	if (rnd_one_in(&run->rnd, 4)) {
		run_what(run, "removexattr %s ino %ju %s", r->name,
			 (uintmax_t)ino, name);
		rc = file_removexattr(ds, ino, name);
		if (run_expect(run, rc, has ? 0 : -ENODATA)) {
			model_xattr_remove(model_edit(r, ino), name);
			run_refresh(run, ds, r, ino);
		}
		dataset_put(ds);
		return;
	}
	len = rnd_below(&run->rnd, 200);
	if (!run->o.plain && rnd_one_in(&run->rnd, 10))
		len = rnd_below(&run->rnd, rnd_one_in(&run->rnd, 4)
						   ? XATTR_VALUE_MAX + 1
						   : 5000);
	rnd_fill(&run->rnd, run->buf, len);
	flags = (int)rnd_below(&run->rnd, 6);
	flags = flags == 4 ? XATTR_CREATE : flags == 5 ? XATTR_REPLACE : 0;
	run_what(run, "setxattr %s ino %ju %s len %zu flags %d", r->name,
		 (uintmax_t)ino, name, len, flags);
	rc = file_setxattr(ds, ino, name, run->buf, len, flags);
	if (run_expect(run, rc,
		       flags == XATTR_CREATE && has	? -EEXIST
		       : flags == XATTR_REPLACE && !has ? -ENODATA
							: 0)) {
		model_xattr_set(model_edit(r, ino), name, run->buf, len);
		run_refresh(run, ds, r, ino);
	}
	dataset_put(ds);
}

/* -- open files ------------------------------------------------------------ */

static void op_open(struct model_run *run)
{
	struct model_root *r = run_pick_dataset(run);
	struct model_handle *h = free_handle(run);
	const bool write =
		r && !r->properties.readonly && rnd_one_in(&run->rnd, 2);
	const struct model_inode *in;
	struct dataset *ds;
	int rc;

	if (!r || !h)
		return;
	in = run_pick_inode(run, r, RUN_FILE);
	if (!in)
		return;
	run_what(run, "open %s ino %ju write %d", r->name,
		 (uintmax_t)in->attr.ino, write);
	ds = run_open(run, r->id);
	rc = file_open(ds, in->attr.ino, write);
	if (run_expect(run, rc, 0))
		set_handle(h, ds, r, in->attr.ino, write);
	dataset_put(ds);
}

static void op_close(struct model_run *run)
{
	struct model_handle *h =
		&run->handles[rnd_below(&run->rnd, MODEL_HANDLES)];
	struct model_root *r;
	const struct model_inode *in;
	bool last = true;

	if (!h->ds)
		return;
	run_what(run, "close root %u ino %ju", h->root, (uintmax_t)h->ino);
	file_close(h->ds, h->ino, h->write);
	for (unsigned i = 0; i < MODEL_HANDLES; i++)
		last = last && (&run->handles[i] == h || !run->handles[i].ds ||
				run->handles[i].root != h->root ||
				run->handles[i].ino != h->ino);
	r = model_find(&run->now, h->root);
	in = r ? model_inode(r->tree, h->ino) : NULL;
	if (last && in && in->attr.nlink == 0)
		model_inode_remove(r, h->ino);
	dataset_put(h->ds);
	h->ds = NULL;
}

/* Nothing may change a snapshot or a dataset that is read-only. */
static void op_refused(struct model_run *run)
{
	const struct model_root *r = run_pick_root(run);
	const struct file_new n = {.mode = S_IFREG | 0644};
	const struct model_inode *in;
	struct file_attr attr;
	struct dataset *ds;

	if (!r || (!r->parent && !r->properties.readonly))
		return;
	run_what(run, "refused on root %u", r->id);
	ds = run_open(run, r->id);
	run_expect(run, file_create(ds, MODEL_ROOT_INO, "x", 1, &n, &attr),
		   -EROFS);
	in = run_pick_inode(run, r, RUN_FILE);
	if (in) {
		run_expect(run, file_write(ds, in->attr.ino, 0, "x", 1, 0),
			   -EROFS);
		run_expect(run,
			   file_setxattr(ds, in->attr.ino, "user.a", "v", 1, 0),
			   -EROFS);
	}
	dataset_put(ds);
}

const struct run_op run_name_ops[] = {
	{op_create, 30}, {op_create_unnamed, 1}, {op_link, 6},	{op_remove, 12},
	{op_rename, 12}, {op_setattr, 5},	 {op_xattr, 8}, {op_open, 5},
	{op_close, 6},	 {op_refused, 1},	 {NULL, 0},
};
