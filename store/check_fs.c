/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The items of one dataset's or snapshot's tree, in order of inode.
 *
 * What an item says by itself is reported only where its leaf is met first;
 * what several items amount to belongs to the dataset, and is added up for
 * each.  Datasets with the same root are checked once.
 */
#include "store/check_fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/compress.h"
#include "store/csum.h"
#include "store/namehash.h"
#include "store/util.h"

/* ---- records ------------------------------------------------------------ */

/* NULL, or what is wrong with the stored bytes. */
static const char *verify_data(struct check *c, const struct extent_item *e,
			       uint64_t blkno, uint32_t nr, uint32_t recordsize)
{
	size_t stored = (size_t)nr * BLOCK_SIZE;
	uint64_t frame;

	if (blkdev_read(c->dev, c->record, stored, blkno * BLOCK_SIZE))
		return "cannot be read";
	if (csum_of(c->record, stored, META_RECORD) != le64_get(e->csum))
		return "does not match its checksum";
	if (e->meta >> 5 != EXTENT_ZSTD || recordsize == 0)
		return NULL;
	frame = le_load(c->record, 4);
	if (frame > stored - 4 ||
	    decompress_record(c->record + 4, frame, c->plain, recordsize))
		return "cannot be decompressed, though its checksum matches";
	return NULL;
}

/* NULL, or what is wrong with the item itself. */
static const char *extent_problem(const struct check *c,
				  const struct extent_item *e,
				  uint32_t recordsize)
{
	uint32_t stored = ((e->meta & 31u) + 1) * BLOCK_SIZE;

	if (e->meta >> 5 > EXTENT_ZSTD)
		return "has an unknown encoding";
	if (le40_get(e->birth) > c->txg)
		return "says that it was born in a txg that is still to come";
	if (recordsize == 0)
		return NULL;
	if (stored > recordsize)
		return "takes more blocks than it has bytes";
	if (e->meta >> 5 == EXTENT_ZSTD && stored == recordsize)
		return "is compressed, but not smaller for it";
	return NULL;
}

/* Records that were found damaged in another dataset, or another file. */
static const char *known_bad(const struct check *c, uint64_t blkno)
{
	const struct check_bad *b = idmap_find(&c->bad_runs, blkno);

	return b ? b->why : NULL;
}

static int keep_bad(struct check *c, uint64_t blkno, const char *why)
{
	struct check_bad *b = idmap_add(&c->bad_runs, blkno, NULL);

	if (!b)
		return -ENOMEM;
	b->why = why;
	return 0;
}

int check_extent(struct check *c, const struct node_item *it, bool first,
		 uint32_t recordsize, const char **bad)
{
	const struct extent_item *e = (const void *)it->value;
	uint64_t blkno = le40_get(e->blkno);
	uint32_t nr = (e->meta & 31u) + 1;
	bool is_new;
	int rc;

	*bad = NULL;
	if (!first) {
		*bad = known_bad(c, blkno);
		return 0;
	}
	rc = check_count_run(c, blkno, nr, &is_new, bad);
	/* whose they are is anybody's guess */
	if (*bad)
		c->damaged[c->part] = true;
	if (rc || *bad)
		return rc;
	*bad = extent_problem(c, e, recordsize);
	if (!is_new) {
		if (!*bad)
			*bad = known_bad(c, blkno);
		return 0;
	}
	c->result->nr_records++;
	check_progress(c, nr);
	if (*bad || !c->options->data)
		return 0;
	*bad = verify_data(c, e, blkno, nr, recordsize);
	return *bad ? keep_bad(c, blkno, *bad) : 0;
}

/* ---- one inode ---------------------------------------------------------- */

static uint32_t cur_recordsize(const struct fs_current *cur)
{
	return cur->has_item ? UINT32_C(1) << cur->item.record_shift : 0;
}

static uint32_t cur_type(const struct fs_current *cur)
{
	return cur->has_item ? le32_get(cur->item.mode) & S_IFMT : 0;
}

/* Unlinked: its items go piece by piece. */
static bool cur_is_dying(const struct fs_current *cur)
{
	return cur->has_item && le32_get(cur->item.nlink) == 0;
}

static struct fs_inode *inode_of(struct fs_check *f, uint64_t ino)
{
	struct fs_inode *i = idmap_add(&f->inodes, ino, NULL);

	if (!i)
		f->error = -ENOMEM;
	return i;
}

static void finish_xattr(struct fs_check *f)
{
	if (f->cur.xattr.left > 0 && !cur_is_dying(&f->cur))
		fs_find(f, f->cur.ino,
			"an extended attribute is %llu bytes short",
			ULL(f->cur.xattr.left));
	f->cur.xattr = (struct fs_xattr){0};
}

static void finish_directory(struct fs_check *f)
{
	const struct fs_current *cur = &f->cur;
	const struct inode_item *i = &cur->item;

	if (le64_get(i->size) != cur->nr_entries)
		fs_find(f, cur->ino,
			"the directory says that it has %llu entries, but has "
			"%llu",
			ULL(le64_get(i->size)), ULL(cur->nr_entries));
	if (le32_get(i->nr_subdirs) != cur->nr_subdirs)
		fs_find(f, cur->ino,
			"the directory says that it has %u subdirectories, but "
			"has %u",
			le32_get(i->nr_subdirs), cur->nr_subdirs);
	if (le32_get(i->nlink) != cur->nr_subdirs + 2)
		fs_find(f, cur->ino,
			"the directory's link count is %u, but should be %u",
			le32_get(i->nlink), cur->nr_subdirs + 2);
}

/* All items of the current inode were seen. */
static void finish_inode(struct fs_check *f)
{
	struct fs_current *cur = &f->cur;
	const struct inode_item *i = &cur->item;

	if (cur->ino == 0)
		return;
	finish_xattr(f);
	if (!cur->has_item) {
		fs_find(f, cur->ino, "there are items of it, but no inode");
		return;
	}
	if (le64_get(i->nr_blocks) != cur->nr_blocks)
		fs_find(f, cur->ino,
			"the inode says that it has %llu blocks, but its "
			"records take %llu",
			ULL(le64_get(i->nr_blocks)), ULL(cur->nr_blocks));
	/* of one that is being purged, parts are gone already */
	if (le32_get(i->nlink) == 0)
		return;
	if (le32_get(i->nr_xattrs) != cur->nr_xattrs)
		fs_find(f, cur->ino,
			"the inode says that it has %u extended attributes, "
			"but has %llu",
			le32_get(i->nr_xattrs), ULL(cur->nr_xattrs));
	if (cur_type(cur) == S_IFDIR)
		finish_directory(f);
	if (cur_type(cur) == S_IFLNK && le64_get(i->size) != cur->target_len)
		fs_find(f, cur->ino,
			"the symlink's target should have %llu bytes, but has "
			"%llu",
			ULL(le64_get(i->size)), ULL(cur->target_len));
}

static void switch_to(struct fs_check *f, uint64_t ino)
{
	if (f->cur.ino == ino)
		return;
	finish_inode(f);
	memset(&f->cur, 0, sizeof(f->cur));
	f->cur.ino = ino;
}

/* ---- items -------------------------------------------------------------- */

static const char *inode_problem(const struct inode_item *i)
{
	const struct timespec_item *t[] = {&i->atime, &i->mtime, &i->ctime,
					   &i->btime};

	switch (le32_get(i->mode) & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	default:
		return "the inode's type is unknown";
	}
	if (i->record_shift < DATASET_RECORD_SHIFT_MIN ||
	    i->record_shift > DATASET_RECORD_SHIFT_MAX)
		return "the inode's recordsize is impossible";
	if (le64_get(i->size) > INT64_MAX)
		return "the inode's size is impossible";
	for (size_t k = 0; k < ARRAY_SIZE(t); k++)
		if (le32_get(t[k]->nsec) >= 1000000000u)
			return "one of the inode's times is impossible";
	return NULL;
}

static void inode_found(struct fs_check *f, const struct node_item *it)
{
	const struct inode_item *i = (const void *)it->value;
	uint64_t ino = it->key.ino;
	const char *problem;
	struct fs_inode *known;

	if (it->len != sizeof(*i) || it->key.offset != 0) {
		fs_find(f, ino, "its inode is malformed");
		return;
	}
	problem = inode_problem(i);
	if (problem) {
		fs_find(f, ino, "%s", problem);
		return;
	}
	if (ino != INO_ROOT && ino < INO_FIRST)
		fs_find(f, ino, "the inode number is reserved");
	f->cur.has_item = true;
	f->cur.item = *i;
	f->t.nr_inodes++;
	f->t.next_ino = ino + 1;
	known = inode_of(f, ino);
	if (!known)
		return;
	known->mode = le32_get(i->mode);
	known->nlink = le32_get(i->nlink);
	known->flags = le32_get(i->flags);
	known->parent = le64_get(i->parent);
}

static void xattr_found(struct fs_check *f, const struct node_item *it,
			bool first)
{
	struct fs_xattr *x = &f->cur.xattr;
	const struct xattr_item *head = (const void *)it->value;
	uint32_t chunk = it->key.offset & 0xff, len = it->len;

	if (chunk > 0) {
		if (x->where != it->key.offset >> 8 || x->next != chunk ||
		    x->left < len) {
			if (!cur_is_dying(&f->cur))
				fs_find(f, f->cur.ino,
					"a part of an extended attribute does "
					"not belong there");
			return;
		}
		x->left -= len;
		x->next++;
		return;
	}
	finish_xattr(f);
	f->cur.nr_xattrs++;
	if (len < sizeof(*head) || head->name_len == 0 ||
	    len < sizeof(*head) + head->name_len ||
	    le32_get(head->value_len) > XATTR_VALUE_MAX ||
	    len - sizeof(*head) - head->name_len > le32_get(head->value_len)) {
		fs_find(f, f->cur.ino, "an extended attribute is malformed");
		return;
	}
	x->where = it->key.offset >> 8;
	x->next = 1;
	x->left = le32_get(head->value_len) -
		  (len - (uint32_t)sizeof(*head) - head->name_len);
	if (first && namehash_xattr(f->c->hash_seed,
				    (const char *)it->value + sizeof(*head),
				    head->name_len) !=
			     it->key.offset >> NAMEHASH_XATTR_SHIFT)
		fs_find(f, f->cur.ino,
			"an extended attribute is not where its name's hash "
			"belongs");
}

static void symlink_found(struct fs_check *f, const struct node_item *it)
{
	if (cur_type(&f->cur) != S_IFLNK)
		fs_find(f, f->cur.ino,
			"it has a symlink's target, but is none");
	else if (it->key.offset != f->cur.next_chunk++ &&
		 !cur_is_dying(&f->cur))
		fs_find(f, f->cur.ino,
			"a part of the symlink's target is missing");
	f->cur.target_len += it->len;
}

const struct dirent_item *fs_dirent(const struct node_item *it)
{
	const struct dirent_item *e = (const void *)it->value;
	const char *name = (const char *)it->value + sizeof(*e);

	if (it->len < sizeof(*e) || it->len != sizeof(*e) + e->name_len ||
	    e->name_len == 0 || le40_get(e->ino) == 0 ||
	    memchr(name, '/', e->name_len) || memchr(name, '\0', e->name_len))
		return NULL;
	if (name[0] == '.' &&
	    (e->name_len == 1 || (e->name_len == 2 && name[1] == '.')))
		return NULL;
	return e;
}

/* Names with one hash lie next to each other: is one there twice? */
static bool name_again(struct fs_current *cur, uint64_t hash,
		       const uint8_t *name, uint8_t len)
{
	bool again = cur->name && cur->name_hash == hash &&
		     cur->name_len == len && memcmp(cur->name, name, len) == 0;

	memcpy(cur->name_copy, name, len);
	cur->name = cur->name_copy;
	cur->name_len = len;
	cur->name_hash = hash;
	return again;
}

static void dirent_found(struct fs_check *f, const struct node_item *it,
			 bool first)
{
	struct fs_current *cur = &f->cur;
	const struct dirent_item *e = fs_dirent(it);
	uint64_t hash = it->key.offset >> NAMEHASH_DIRENT_SHIFT;
	const uint8_t *name = it->value + sizeof(*e);
	struct fs_inode *named;

	if (cur->has_item && cur_type(cur) != S_IFDIR && first)
		fs_find(f, cur->ino, "it has directory entries, but is none");
	cur->nr_entries++;
	if (!e) {
		fs_find(f, cur->ino, "a directory entry is malformed");
		return;
	}
	if (first && namehash_dirent(f->c->hash_seed, (const char *)name,
				     e->name_len) != hash)
		fs_find(f, cur->ino,
			"the entry '%.*s' is not where its name's hash belongs",
			e->name_len, (const char *)name);
	if (name_again(cur, hash, name, e->name_len))
		fs_find(f, cur->ino, "the entry '%.*s' is there twice",
			e->name_len, (const char *)name);
	if (e->type == S_IFDIR >> 12)
		cur->nr_subdirs++;
	named = inode_of(f, le40_get(e->ino));
	if (!named)
		return;
	named->nr_names++;
	named->named_in = cur->ino;
	named->named_type = e->type;
}

/* Records that start behind the file's last. */
static void check_end(struct fs_check *f, uint64_t offset)
{
	const struct inode_item *i = &f->cur.item;

	if (!f->cur.has_item || le32_get(i->flags) & INODE_TRUNCATING ||
	    cur_is_dying(&f->cur) ||
	    offset < div_round_up(le64_get(i->size), BLOCK_SIZE))
		return;
	fs_find(f, f->cur.ino,
		"there is a record at offset %llu, behind the file's end at "
		"%llu",
		ULL(offset << BLOCK_SHIFT), ULL(le64_get(i->size)));
}

static int extent_found(struct fs_check *f, const struct node_item *it,
			bool first)
{
	const struct extent_item *e = (const void *)it->value;
	uint32_t recordsize = cur_recordsize(&f->cur);
	uint32_t nr = (e->meta & 31u) + 1;
	const char *bad;
	int rc;

	rc = check_extent(f->c, it, first, recordsize, &bad);
	if (rc)
		return rc;
	f->w.harmed |= bad != NULL;
	if (bad)
		fs_find(f, f->cur.ino,
			"the record at offset %llu (block %llu) %s",
			ULL(it->key.offset << BLOCK_SHIFT),
			ULL(le40_get(e->blkno)), bad);
	if (first && f->cur.has_item && cur_type(&f->cur) != S_IFREG)
		fs_find(f, f->cur.ino,
			"it has records, but is no regular file");
	if (first && recordsize && it->key.offset % (recordsize / BLOCK_SIZE))
		fs_find(f, f->cur.ino,
			"the record at offset %llu is not at a multiple of the "
			"recordsize",
			ULL(it->key.offset << BLOCK_SHIFT));
	check_end(f, it->key.offset);
	f->cur.nr_blocks += nr;
	f->t.referenced += nr;
	f->t.logical += recordsize;
	if (le40_get(e->birth) > f->previous_txg)
		f->t.fresh += nr;
	return 0;
}

static void orphan_found(struct fs_check *f, const struct node_item *it)
{
	const struct orphan_item *o = (const void *)it->value;
	struct fs_inode *i;

	f->t.nr_orphans++;
	if (it->len != sizeof(*o) || it->key.offset == 0 ||
	    it->key.offset > INO_MAX ||
	    (o->kind != ORPHAN_UNLINKED && o->kind != ORPHAN_TRUNCATE)) {
		fs_find(f, 0, "the orphan item of inode %llu is malformed",
			ULL(it->key.offset));
		return;
	}
	i = inode_of(f, it->key.offset);
	if (i)
		i->orphan = o->kind;
}

static int fs_item(struct walk *w, const struct node_item *it, bool first)
{
	struct fs_check *f = w->arg;
	int rc = 0;

	switch_to(f, it->key.ino);
	if (it->key.ino == 0 && it->key.type == ITEM_ORPHAN) {
		orphan_found(f, it);
		return f->error;
	}
	switch (it->key.ino ? it->key.type : 0) {
	case ITEM_INODE:
		inode_found(f, it);
		break;
	case ITEM_XATTR:
		xattr_found(f, it, first);
		break;
	case ITEM_SYMLINK:
		symlink_found(f, it);
		break;
	case ITEM_DIRENT:
		dirent_found(f, it, first);
		break;
	case ITEM_EXTENT:
		rc = extent_found(f, it, first);
		break;
	default:
		if (first)
			fs_find(f, it->key.ino,
				"there is an item of the unknown type %u at "
				"offset %llu",
				it->key.type, ULL(it->key.offset));
	}
	return rc ? rc : f->error;
}

/* A subtree of extents that was seen in another dataset. */
static bool fs_skip(struct walk *w, const struct extent_sum *sum, uint64_t txg)
{
	struct fs_check *f = w->arg;

	/* nothing in a node is younger than the node */
	if (txg > f->previous_txg)
		return false;
	switch_to(f, sum->ino);
	check_end(f, sum->last);
	f->cur.nr_blocks += sum->nr_blocks;
	f->t.referenced += sum->nr_blocks;
	f->t.logical += sum->nr_extents * cur_recordsize(&f->cur);
	return true;
}

/* ---- the dataset -------------------------------------------------------- */

static void compare(struct check *c, const struct check_dataset *d,
		    const char *what, uint64_t said, uint64_t is)
{
	if (said != is)
		check_report(c, "%s: it says %llu %s, but it has %llu",
			     d->label, ULL(said), what, ULL(is));
}

static void check_counters(struct check *c, const struct check_dataset *d,
			   const struct tree_totals *t)
{
	const struct dataset_item *i = &d->item;
	uint64_t previous = le64_get(i->previous_txg);

	compare(c, d, "blocks referenced", le64_get(i->referenced),
		t->referenced);
	compare(c, d, "bytes of records", le64_get(i->logical), t->logical);
	compare(c, d, "inodes", le64_get(i->nr_inodes), t->nr_inodes);
	compare(c, d, "orphans", le64_get(i->nr_orphans), t->nr_orphans);
	if (previous == t->fresh_after &&
	    !(le32_get(i->flags) & DATASET_RECOUNT))
		compare(c, d, "fresh blocks", le64_get(i->fresh), t->fresh);
	if (le64_get(i->next_ino) < t->next_ino)
		check_report(c,
			     "%s: its next inode number is %llu, but there is "
			     "inode %llu",
			     d->label, ULL(le64_get(i->next_ino)),
			     ULL(t->next_ino - 1));
}

static void check_item(struct check *c, const struct check_dataset *d)
{
	const struct dataset_item *i = &d->item;

	if (i->record_shift < DATASET_RECORD_SHIFT_MIN ||
	    i->record_shift > DATASET_RECORD_SHIFT_MAX)
		check_report(c, "%s: its recordsize is impossible", d->label);
	if (le64_get(i->created_txg) > c->txg ||
	    le64_get(i->previous_txg) > c->txg)
		check_report(c,
			     "%s: it was made in a txg that is still to come",
			     d->label);
	if (le32_get(i->created.nsec) >= 1000000000u)
		check_report(c, "%s: its time of creation is impossible",
			     d->label);
}

static int check_files(struct fs_check *f)
{
	int rc = check_walk(&f->w, &f->d->item.tree);

	if (rc)
		return rc;
	if (f->error)
		return f->error;
	switch_to(f, 0);
	f->t.bad = f->w.bad;
	f->t.harmed = f->w.harmed;
	f->t.of = f->d;
	fs_check_lost(f);
	if (f->w.bad)
		check_report(f->c,
			     "%s: not all of it could be read, so names, links "
			     "and counters were not compared",
			     f->d->label);
	else
		fs_check_links(f);
	return f->error;
}

int check_dataset(struct check *c, const struct check_dataset *d)
{
	uint64_t root = le40_get(d->item.tree.node.blkno);
	struct fs_check *f;
	struct tree_totals *t;
	int rc;

	check_item(c, d);
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->c = c;
	f->d = d;
	f->previous_txg = le64_get(d->item.previous_txg);
	f->w = (struct walk){.c = c,
			     .label = d->label,
			     .count = true,
			     .item = fs_item,
			     .skip = fs_skip,
			     .lost = fs_lost,
			     .arg = f};
	idmap_init(&f->inodes, sizeof(struct fs_inode));
	t = root ? idmap_find(&c->roots, root) : NULL;
	if (t && (t->bad || t->harmed))
		check_report(c,
			     "%s: its tree is that of %s, with all its damage",
			     d->label, t->of->label);
	if (t) {
		/* the same tree under another name: one more reference */
		rc = check_walk_again(&f->w, &d->item.tree);
		f->t = *t;
		if (le40_get(d->item.tree.node.txg) <= f->previous_txg) {
			f->t.fresh = 0;
			f->t.fresh_after = f->previous_txg;
		}
	} else {
		f->t.fresh_after = f->previous_txg;
		rc = check_files(f);
		rc = fs_report(f, rc);
	}
	if (rc == 0 && !f->t.bad) {
		struct tree_totals charged = f->t;

		rc = check_charge(c, d, &charged);
		if (rc == 0)
			check_counters(c, d, &charged);
	}
	c->result->nr_inodes += f->t.nr_inodes;
	if (rc == 0 && root && !t) {
		f->t.root = root;
		t = idmap_add(&c->roots, root, NULL);
		rc = t ? 0 : -ENOMEM;
		if (t)
			*t = f->t;
	}
	idmap_release(&f->inodes);
	free(f->lost);
	free(f);
	return rc;
}
