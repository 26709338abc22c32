/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between two datasets or snapshots.
 *
 * Source: the comparison of shared trees is btrfs's `send -p`; we go on to
 * whole inodes and names.
 *
 * First all items that differ are collected by inode, which takes memory in
 * proportion to the inodes that changed.  Then names are found, and the
 * inodes reported in order.  An inode with the same number but another time
 * of birth is another file: datasets that have no common origin number theirs
 * alike.
 */
#include "store/diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/dataset_internal.h"
#include "store/diff_internal.h"
#include "store/pool_internal.h"
#include "store/util.h"

/* A directory entry that is on one side only. */
struct diff_name {
	struct diff_name *next;
	uint64_t dir;
	uint8_t len;
	char name[];
};

struct diff_inode {
	uint64_t ino;
	bool changed;  /* more than names */
	bool had, has; /* it has names in the old, in the new root */
	bool in_both;  /* there is an item in both, with names or not */
	struct inode_item old_item, new_item;
	/* records, by where they are */
	uint64_t nr_old, nr_new, nr_both;
	struct diff_name *old_names, *new_names;
};

struct diff {
	struct node_cache *nc;
	struct tree_root old_root, new_root;
	struct idmap inodes; /* struct diff_inode */
	struct diff_inode **sorted;
	size_t nr;
	struct path_finder old_paths, new_paths;
};

/* ---- collecting --------------------------------------------------------- */

static int add_name(struct diff *d, const struct node_item *it, bool is_new)
{
	const struct dirent_item *e = tree_dirent(it);
	struct diff_inode *i;
	struct diff_name *n;

	if (!e)
		return 0;
	i = idmap_add(&d->inodes, le40_get(e->ino), NULL);
	n = malloc(sizeof(*n) + e->name_len);
	if (!i || !n) {
		free(n);
		return -ENOMEM;
	}
	n->dir = it->key.ino;
	n->len = e->name_len;
	memcpy(n->name, it->value + sizeof(*e), e->name_len);
	n->next = is_new ? i->new_names : i->old_names;
	if (is_new)
		i->new_names = n;
	else
		i->old_names = n;
	return 0;
}

/* The same bytes, even if they were written anew. */
static bool same_record(const struct node_item *a, const struct node_item *b)
{
	const struct extent_item *x = (const void *)a->value;
	const struct extent_item *y = (const void *)b->value;

	return le40_get(x->blkno) && le40_get(y->blkno) && x->meta == y->meta &&
	       le64_get(x->csum) == le64_get(y->csum);
}

static void add_record(struct diff_inode *i, const struct node_item *old_item,
		       const struct node_item *new_item)
{
	if (!new_item)
		i->nr_old++;
	else if (!old_item)
		i->nr_new++;
	else
		i->nr_both++;
}

/* Do two inode items differ in more than the time of last access? */
static bool inode_differs(const struct node_item *a, const struct node_item *b)
{
	struct inode_item x, y;

	if (!a || !b || a->len != sizeof(x) || b->len != sizeof(y))
		return true;
	memcpy(&x, a->value, sizeof(x));
	memcpy(&y, b->value, sizeof(y));
	x.atime = y.atime;
	return memcmp(&x, &y, sizeof(x)) != 0;
}

static int collect(void *arg, const struct key *key,
		   const struct node_item *old_item,
		   const struct node_item *new_item)
{
	struct diff *d = arg;
	struct diff_inode *i;
	int rc = 0;

	/* orphans are nobody's files */
	if (key->ino == 0)
		return 0;
	if (key->type == ITEM_INODE && !inode_differs(old_item, new_item))
		return 0;
	if (key->type == ITEM_EXTENT && old_item && new_item &&
	    same_record(old_item, new_item))
		return 0;
	i = idmap_add(&d->inodes, key->ino, NULL);
	if (!i)
		return -ENOMEM;
	i->changed = true;
	if (key->type == ITEM_EXTENT)
		add_record(i, old_item, new_item);
	if (key->type == ITEM_DIRENT && old_item)
		rc = add_name(d, old_item, false);
	if (key->type == ITEM_DIRENT && new_item && rc == 0)
		rc = add_name(d, new_item, true);
	return rc;
}

/* ---- names -------------------------------------------------------------- */

static bool same_name(const struct diff_name *a, const struct diff_name *b)
{
	return a->dir == b->dir && a->len == b->len &&
	       memcmp(a->name, b->name, a->len) == 0;
}

static void free_names(struct diff_name *n)
{
	while (n) {
		struct diff_name *next = n->next;

		free(n);
		n = next;
	}
}

/* An entry that only moved within its directory's hash is no news. */
static void cancel_names(struct diff_inode *i)
{
	struct diff_name **o = &i->old_names;

	while (*o) {
		struct diff_name **n = &i->new_names, *gone;

		while (*n && !same_name(*o, *n))
			n = &(*n)->next;
		if (!*n) {
			o = &(*o)->next;
			continue;
		}
		gone = *n;
		*n = gone->next;
		free(gone);
		gone = *o;
		*o = gone->next;
		free(gone);
	}
}

/* ---- what happened to an inode ------------------------------------------- */

static int load(struct diff *d, struct diff_inode *i)
{
	int old = tree_inode(d->nc, &d->old_root, i->ino, &i->old_item);
	int new = tree_inode(d->nc, &d->new_root, i->ino, &i->new_item);

	if (old && old != -ENOENT)
		return old;
	if (new &&new != -ENOENT)
		return new;
	i->in_both = old == 0 && new == 0;
	/* unlinked, and held by an open file or waiting to be purged: gone */
	i->had = old == 0 && le32_get(i->old_item.nlink) > 0;
	i->has = new == 0 && le32_get(i->new_item.nlink) > 0;
	return 0;
}

/* Is it the same file in both roots? */
static bool is_same_file(const struct diff_inode *i)
{
	return i->had && i->has &&
	       memcmp(&i->old_item.btime, &i->new_item.btime,
		      sizeof(i->old_item.btime)) == 0 &&
	       ((le32_get(i->old_item.mode) ^ le32_get(i->new_item.mode)) &
		S_IFMT) == 0;
}

static bool is_renamed(const struct diff_inode *i)
{
	return is_same_file(i) && i->old_names && i->new_names;
}

static bool is_news(const struct diff_inode *i)
{
	return (i->had || i->has) &&
	       (i->changed || i->old_names || i->new_names);
}

static int compare_ino(const void *a, const void *b)
{
	const struct diff_inode *const *x = a, *const *y = b;

	return (*x)->ino < (*y)->ino ? -1 : (*x)->ino > (*y)->ino;
}

static int sort(struct diff *d)
{
	d->sorted = calloc(d->inodes.nr + 1, sizeof(struct diff_inode *));
	if (!d->sorted)
		return -ENOMEM;
	for (struct diff_inode *i = NULL;
	     (i = idmap_next(&d->inodes, i)) != NULL;) {
		int rc = load(d, i);

		if (rc)
			return rc;
		cancel_names(i);
		if (is_news(i))
			d->sorted[d->nr++] = i;
	}
	qsort(d->sorted, d->nr, sizeof(struct diff_inode *), compare_ino);
	return 0;
}

/* ---- paths -------------------------------------------------------------- */

static int know(struct path_finder *p, const struct diff_inode *i,
		const struct diff_name *names)
{
	return names ? path_finder_know(p, i->ino, names->dir, names->name,
					names->len)
		     : 0;
}

static bool is_dir(const struct inode_item *item)
{
	return S_ISDIR(le32_get(item->mode));
}

static int find_paths(struct diff *d)
{
	int rc = 0;

	for (size_t k = 0; k < d->nr && rc == 0; k++) {
		const struct diff_inode *i = d->sorted[k];

		if (i->had)
			rc = know(&d->old_paths, i, i->old_names);
		if (i->has && rc == 0)
			rc = know(&d->new_paths, i, i->new_names);
		if (rc == 0 && i->has)
			rc = path_finder_want(&d->new_paths, i->ino,
					      is_dir(&i->new_item));
		if (rc == 0 && i->had && (!is_same_file(i) || is_renamed(i)))
			rc = path_finder_want(&d->old_paths, i->ino,
					      is_dir(&i->old_item));
	}
	if (rc == 0)
		rc = path_finder_find(&d->old_paths);
	return rc ? rc : path_finder_find(&d->new_paths);
}

/* ---- reporting ---------------------------------------------------------- */

static uint64_t records_to_bytes(const struct inode_item *item, uint64_t nr)
{
	unsigned shift = MIN_OF(item->record_shift, 63u);

	return S_ISREG(le32_get(item->mode)) ? nr << shift : 0;
}

/* All records that @ino has in @root. */
static int count_records(struct diff *d, const struct tree_root *root,
			 uint64_t ino, uint64_t *nr)
{
	struct key key = key_of(ino, ITEM_EXTENT, 0);
	struct tree_walk w;
	int rc = tree_walk_seek(&w, d->nc, root, &key);

	for (*nr = 0; rc == 0 && w.at == WALK_ITEM && w.item.key.ino == ino &&
		      w.item.key.type == ITEM_EXTENT;
	     ++*nr)
		rc = tree_walk_next_item(&w);
	tree_walk_release(&w);
	return rc;
}

/* Records that @kind is about. */
static int records_of(struct diff *d, const struct diff_inode *i,
		      enum diff_kind kind, uint64_t *nr)
{
	/* what both have was not told apart */
	if (i->in_both && kind == DIFF_ADDED)
		return count_records(d, &d->new_root, i->ino, nr);
	if (i->in_both && kind == DIFF_REMOVED)
		return count_records(d, &d->old_root, i->ino, nr);
	*nr = i->nr_old + i->nr_new + i->nr_both;
	return 0;
}

static int emit(struct diff *d, const struct diff_inode *i, enum diff_kind kind,
		int (*fn)(void *arg, const struct diff_entry *e), void *arg)
{
	bool gone = kind == DIFF_REMOVED;
	const struct inode_item *item = gone ? &i->old_item : &i->new_item;
	char *path = NULL, *old_path = NULL;
	struct diff_entry e;
	uint64_t nr = 0;
	int rc;

	rc = path_finder_path(gone ? &d->old_paths : &d->new_paths, i->ino,
			      &path);
	if (rc == 0 && kind == DIFF_RENAMED)
		rc = path_finder_path(&d->old_paths, i->ino, &old_path);
	if (rc == 0)
		rc = records_of(d, i, kind, &nr);
	e = (struct diff_entry){
		.kind = kind,
		.ino = i->ino,
		.mode = le32_get(item->mode),
		.path = path,
		.old_path = old_path,
		.size = le64_get(item->size),
		.bytes = records_to_bytes(item, nr),
	};
	if (rc == 0)
		rc = fn(arg, &e);
	free(path);
	free(old_path);
	return rc;
}

static int report(struct diff *d,
		  int (*fn)(void *arg, const struct diff_entry *e), void *arg)
{
	int rc = 0;

	for (size_t k = 0; k < d->nr && rc == 0; k++) {
		const struct diff_inode *i = d->sorted[k];

		if (is_same_file(i)) {
			rc = emit(d, i,
				  is_renamed(i) ? DIFF_RENAMED : DIFF_MODIFIED,
				  fn, arg);
			continue;
		}
		if (i->had)
			rc = emit(d, i, DIFF_REMOVED, fn, arg);
		if (i->has && rc == 0)
			rc = emit(d, i, DIFF_ADDED, fn, arg);
	}
	return rc;
}

static void diff_release(struct diff *d)
{
	for (struct diff_inode *i = NULL;
	     (i = idmap_next(&d->inodes, i)) != NULL;) {
		free_names(i->old_names);
		free_names(i->new_names);
	}
	idmap_release(&d->inodes);
	free(d->sorted);
	path_finder_release(&d->old_paths);
	path_finder_release(&d->new_paths);
}

/* Between two held roots. */
static int diff_roots(struct pool *pool, const struct tree_root *old_root,
		      const struct tree_root *new_root,
		      int (*fn)(void *arg, const struct diff_entry *e),
		      void *arg)
{
	struct diff d = {
		.nc = pool->nc, .old_root = *old_root, .new_root = *new_root};
	int rc;

	idmap_init(&d.inodes, sizeof(struct diff_inode));
	path_finder_init(&d.old_paths, d.nc, old_root);
	path_finder_init(&d.new_paths, d.nc, new_root);
	rc = tree_diff(d.nc, old_root, new_root, collect, &d);
	if (rc == 0)
		rc = sort(&d);
	if (rc == 0)
		rc = find_paths(&d);
	if (rc == 0)
		rc = report(&d, fn, arg);
	diff_release(&d);
	return rc;
}

int dataset_diff(struct dataset *old_ds, struct dataset *new_ds,
		 int (*fn)(void *arg, const struct diff_entry *e), void *arg)
{
	struct pool *pool = new_ds->pool;
	struct tree_root old_root, new_root;
	int rc;

	if (old_ds->pool != pool)
		return -EXDEV;
	rc = dirty_flush(old_ds);
	if (rc == 0)
		rc = dirty_flush(new_ds);
	if (rc == 0)
		rc = dataset_hold_root(old_ds, &old_root);
	if (rc)
		return rc;
	rc = dataset_hold_root(new_ds, &new_root);
	if (rc == 0) {
		rc = diff_roots(pool, &old_root, &new_root, fn, arg);
		dataset_release_root(pool, &new_root);
	}
	dataset_release_root(pool, &old_root);
	return rc;
}
