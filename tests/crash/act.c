/* SPDX-License-Identifier: Apache-2.0 */
/* act.c - operations on files; act_root.c has those on datasets */
#include "tests/crash/act.h"

#include <errno.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>

#include "tests/crash/act_internal.h"
#include "tests/lib/check.h"

/* -- begin and end --------------------------------------------------------- */

struct act act_begin(struct lane *l, uint32_t id)
{
	struct act a = {.run = &l->run, .root = model_find(&l->run.now, id)};

	MUST(a.root);
	l->run.nr_ops++;
	a.ds = run_open(&l->run, id);
	lane_begin(l);
	return a;
}

void act_end(struct lane *l, struct act *a)
{
	dataset_put(a->ds);
	lane_end(l);
}

void act_must(struct act *a, int rc)
{
	if (!run_expect(a->run, rc, 0))
		run_fail(a->run, "got %d", rc);
}

static struct model_inode *edit(struct act *a, uint64_t ino)
{
	return model_edit(a->root, ino);
}

static void refresh(struct act *a, uint64_t ino)
{
	run_refresh(a->run, a->ds, a->root, ino);
}

uint64_t act_size(const struct lane *l, uint32_t id, uint64_t ino)
{
	return model_inode(model_find(&l->run.now, id)->tree, ino)->attr.size;
}

uint64_t act_find(const struct lane *l, uint32_t id, uint64_t dir,
		  const char *name)
{
	return model_name_find(
		model_inode(model_find(&l->run.now, id)->tree, dir), name);
}

/* -- making ---------------------------------------------------------------- */

static uint64_t create(struct lane *l, uint32_t id, uint64_t dir,
		       const char *name, const struct file_new *n)
{
	struct act a = act_begin(l, id);
	struct model_inode *in;
	struct file_attr attr;

	run_what(a.run, "create %s/%ju/%s", a.root->name, (uintmax_t)dir, name);
	act_must(&a, file_create(a.ds, dir, name, strlen(name), n, &attr));
	in = model_inode_add(a.root, &attr);
	in->parent = dir;
	if (n->target)
		in->target = strdup(n->target);
	in = edit(&a, dir);
	model_name_set(in, name, attr.ino);
	in->attr.nlink += S_ISDIR(n->mode) ? 1 : 0;
	refresh(&a, dir);
	refresh(&a, attr.ino);
	act_end(l, &a);
	return attr.ino;
}

uint64_t act_create(struct lane *l, uint32_t id, uint64_t dir, const char *name,
		    uint32_t mode)
{
	const struct file_new n = {.mode = mode};

	return create(l, id, dir, name, &n);
}

uint64_t act_symlink(struct lane *l, uint32_t id, uint64_t dir,
		     const char *name, const char *target)
{
	const struct file_new n = {.mode = S_IFLNK | 0777, .target = target};

	return create(l, id, dir, name, &n);
}

static void hold(struct act *a, uint32_t id, uint64_t ino)
{
	for (unsigned i = 0; i < MODEL_HANDLES; i++) {
		struct model_handle *h = &a->run->handles[i];

		if (h->ds)
			continue;
		dataset_get(a->ds);
		*h = (struct model_handle){a->ds, id, ino, true};
		return;
	}
	run_fail(a->run, "no handle is free");
}

uint64_t act_create_unnamed(struct lane *l, uint32_t id)
{
	const struct file_new n = {
		.mode = S_IFREG | 0600, .opened = true, .open_write = true};
	struct act a = act_begin(l, id);
	struct file_attr attr;

	run_what(a.run, "create unnamed in %s", a.root->name);
	act_must(&a, file_create_unnamed(a.ds, ACT_ROOT, &n, &attr));
	model_inode_add(a.root, &attr)->parent = ACT_ROOT;
	hold(&a, id, attr.ino);
	act_end(l, &a);
	return attr.ino;
}

void act_link(struct lane *l, uint32_t id, uint64_t ino, uint64_t dir,
	      const char *name)
{
	struct act a = act_begin(l, id);
	struct file_attr attr;

	run_what(a.run, "link %s ino %ju as %ju/%s", a.root->name,
		 (uintmax_t)ino, (uintmax_t)dir, name);
	act_must(&a, file_link(a.ds, ino, dir, name, strlen(name), &attr));
	model_name_set(edit(&a, dir), name, ino);
	edit(&a, ino)->attr.nlink++;
	refresh(&a, dir);
	refresh(&a, ino);
	act_end(l, &a);
}

void act_open(struct lane *l, uint32_t id, uint64_t ino)
{
	struct act a = act_begin(l, id);

	run_what(a.run, "open %s ino %ju", a.root->name, (uintmax_t)ino);
	act_must(&a, file_open(a.ds, ino, true));
	hold(&a, id, ino);
	act_end(l, &a);
}

void act_close(struct lane *l, uint32_t id, uint64_t ino)
{
	struct act a = act_begin(l, id);

	run_what(a.run, "close %s ino %ju", a.root->name, (uintmax_t)ino);
	for (unsigned i = 0; i < MODEL_HANDLES; i++) {
		struct model_handle *h = &a.run->handles[i];

		if (!h->ds || h->root != id || h->ino != ino)
			continue;
		file_close(h->ds, ino, true);
		dataset_put(h->ds);
		h->ds = NULL;
	}
	if (edit(&a, ino)->attr.nlink == 0)
		model_inode_remove(a.root, ino);
	act_end(l, &a);
}

/* -- removing and renaming ------------------------------------------------- */

/* The model lost a name of @ino. */
static void lost_name(struct act *a, uint32_t id, uint64_t ino)
{
	struct model_inode *in = edit(a, ino);
	bool open = false;

	in->attr.nlink = S_ISDIR(in->attr.mode) ? 0 : in->attr.nlink - 1;
	for (unsigned i = 0; i < MODEL_HANDLES; i++)
		open = open || (a->run->handles[i].ds &&
				a->run->handles[i].root == id &&
				a->run->handles[i].ino == ino);
	if (in->attr.nlink || open)
		refresh(a, ino);
	else
		model_inode_remove(a->root, ino);
}

void act_remove(struct lane *l, uint32_t id, uint64_t dir, const char *name)
{
	const uint64_t ino = act_find(l, id, dir, name);
	struct act a = act_begin(l, id);
	struct model_inode *d;
	bool is_dir;

	run_what(a.run, "remove %s/%ju/%s", a.root->name, (uintmax_t)dir, name);
	MUST(ino);
	is_dir = S_ISDIR(model_inode(a.root->tree, ino)->attr.mode);
	if (is_dir)
		act_must(&a, file_rmdir(a.ds, dir, name, strlen(name), NULL));
	else
		act_must(&a, file_unlink(a.ds, dir, name, strlen(name), NULL));
	d = edit(&a, dir);
	model_name_remove(d, name);
	d->attr.nlink -= is_dir ? 1 : 0;
	refresh(&a, dir);
	lost_name(&a, id, ino);
	act_end(l, &a);
}

/* A directory @ino moves from @from to @to. */
static void moved_dir(struct act *a, uint64_t ino, uint64_t from, uint64_t to)
{
	if (!ino || !S_ISDIR(model_inode(a->root->tree, ino)->attr.mode))
		return;
	edit(a, from)->attr.nlink--;
	edit(a, to)->attr.nlink++;
	edit(a, ino)->parent = to;
}

void act_rename(struct lane *l, uint32_t id, uint64_t old_dir,
		const char *old_name, uint64_t new_dir, const char *new_name,
		unsigned flags)
{
	const uint64_t moved = act_find(l, id, old_dir, old_name);
	const uint64_t there = act_find(l, id, new_dir, new_name);
	const bool exchange = flags & RENAME_EXCHANGE;
	struct act a = act_begin(l, id);

	run_what(a.run, "rename %s %ju/%s to %ju/%s flags %u", a.root->name,
		 (uintmax_t)old_dir, old_name, (uintmax_t)new_dir, new_name,
		 flags);
	MUST(moved && moved != there && (there || !exchange));
	act_must(&a,
		 file_rename(a.ds, old_dir, old_name, strlen(old_name), new_dir,
			     new_name, strlen(new_name), flags, NULL));
	moved_dir(&a, moved, old_dir, new_dir);
	model_name_set(edit(&a, new_dir), new_name, moved);
	if (exchange) {
		moved_dir(&a, there, new_dir, old_dir);
		model_name_set(edit(&a, old_dir), old_name, there);
	} else {
		model_name_remove(edit(&a, old_dir), old_name);
	}
	refresh(&a, old_dir);
	refresh(&a, new_dir);
	refresh(&a, moved);
	if (exchange)
		refresh(&a, there);
	else if (there)
		lost_name(&a, id, there);
	act_end(l, &a);
}

/* -- content --------------------------------------------------------------- */

static void fill_buf(struct model_run *run, size_t len, enum act_fill fill)
{
	rnd_fill(&run->rnd, run->buf, len);
	for (size_t i = 0; fill == ACT_TEXT && i < len; i++)
		run->buf[i] = (uint8_t)('a' + run->buf[i] % 4);
}

/* What is in the run's buffer. */
static void write_buf(struct lane *l, uint32_t id, uint64_t ino,
		      uint64_t offset, size_t len)
{
	struct act a = act_begin(l, id);

	run_what(a.run, "write %s ino %ju [%ju, +%zu)", a.root->name,
		 (uintmax_t)ino, (uintmax_t)offset, len);
	act_must(&a, file_write(a.ds, ino, offset, a.run->buf, len, 0));
	model_data_write(edit(&a, ino), offset, a.run->buf, len);
	refresh(&a, ino);
	act_end(l, &a);
}

void act_write(struct lane *l, uint32_t id, uint64_t ino, uint64_t offset,
	       size_t len, enum act_fill fill)
{
	fill_buf(&l->run, len, fill);
	write_buf(l, id, ino, offset, len);
}

void act_write_as(struct lane *l, uint32_t id, const struct model_inode *in,
		  uint64_t offset, size_t len)
{
	model_data_read(in, offset, l->run.buf, len);
	write_buf(l, id, in->attr.ino, offset, len);
}

void act_truncate(struct lane *l, uint32_t id, uint64_t ino, uint64_t size)
{
	const struct file_attr set = {.size = size};
	struct act a = act_begin(l, id);

	run_what(a.run, "truncate %s ino %ju to %ju", a.root->name,
		 (uintmax_t)ino, (uintmax_t)size);
	act_must(&a, file_setattr(a.ds, ino, FILE_SET_SIZE, &set, NULL));
	model_data_truncate(edit(&a, ino), size);
	refresh(&a, ino);
	act_end(l, &a);
}

void act_fallocate(struct lane *l, uint32_t id, uint64_t ino, int mode,
		   uint64_t offset, uint64_t len)
{
	struct act a = act_begin(l, id);
	struct model_inode *in;

	run_what(a.run, "fallocate %s ino %ju mode %d [%ju, +%ju)",
		 a.root->name, (uintmax_t)ino, mode, (uintmax_t)offset,
		 (uintmax_t)len);
	act_must(&a, file_fallocate(a.ds, ino, mode, offset, len, 0));
	in = edit(&a, ino);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		model_data_zero(in, offset, len);
	if (!(mode & FALLOC_FL_KEEP_SIZE))
		in->attr.size = MAX_OF(in->attr.size, offset + len);
	refresh(&a, ino);
	act_end(l, &a);
}

void act_copy(struct lane *l, uint32_t from, uint64_t from_ino,
	      uint64_t from_offset, uint32_t to, uint64_t to_ino,
	      uint64_t to_offset, uint64_t len)
{
	struct act a = act_begin(l, to);
	struct dataset *src = run_open(a.run, from);
	uint64_t copied = 0;

	run_what(a.run, "copy root %u ino %ju %ju to root %u ino %ju %ju +%ju",
		 from, (uintmax_t)from_ino, (uintmax_t)from_offset, to,
		 (uintmax_t)to_ino, (uintmax_t)to_offset, (uintmax_t)len);
	act_must(&a, file_copy(src, from_ino, from_offset, a.ds, to_ino,
			       to_offset, len, 0, &copied));
	MUST(copied <= len && copied <= (UINT64_C(1) << 20));
	model_data_read(
		model_inode(model_find(&a.run->now, from)->tree, from_ino),
		from_offset, a.run->buf, copied);
	model_data_write(edit(&a, to_ino), to_offset, a.run->buf, copied);
	refresh(&a, to_ino);
	dataset_put(src);
	act_end(l, &a);
}

void act_fsync(struct lane *l, uint32_t id, uint64_t ino)
{
	struct act a = act_begin(l, id);

	run_what(a.run, "fsync %s ino %ju", a.root->name, (uintmax_t)ino);
	act_must(&a, file_fsync(a.ds, ino));
	run_durable_root(a.run, id);
	act_end(l, &a);
}

/* -- attributes ------------------------------------------------------------ */

void act_mode(struct lane *l, uint32_t id, uint64_t ino, uint32_t mode)
{
	struct act a = act_begin(l, id);
	struct file_attr set = {.mode = mode};

	run_what(a.run, "chmod %s ino %ju %o", a.root->name, (uintmax_t)ino,
		 mode);
	set.mode |= model_inode(a.root->tree, ino)->attr.mode & S_IFMT;
	act_must(&a, file_setattr(a.ds, ino, FILE_SET_MODE, &set, NULL));
	edit(&a, ino)->attr.mode = set.mode;
	refresh(&a, ino);
	act_end(l, &a);
}

void act_xattr(struct lane *l, uint32_t id, uint64_t ino, const char *name,
	       size_t len)
{
	struct act a = act_begin(l, id);

	run_what(a.run, "xattr %s ino %ju %s len %zd", a.root->name,
		 (uintmax_t)ino, name, (ssize_t)len);
	if (len == SIZE_MAX) {
		act_must(&a, file_removexattr(a.ds, ino, name));
		model_xattr_remove(edit(&a, ino), name);
	} else {
		fill_buf(a.run, len, ACT_RANDOM);
		act_must(&a,
			 file_setxattr(a.ds, ino, name, a.run->buf, len, 0));
		model_xattr_set(edit(&a, ino), name, a.run->buf, len);
	}
	refresh(&a, ino);
	act_end(l, &a);
}
