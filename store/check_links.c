/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a dataset's items amount to: that each inode has the names it counts,
 * that directories form one tree; and the paths that findings are shown with.
 */
#include "store/check_fs.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/util.h"

#define TEXT_MAX      512u
#define PATH_SHOWN    1024u
#define FINDINGS_KEPT 4096u
#define LOST_NAMED    100u /* files of one node */

/* ---- names and links ---------------------------------------------------- */

static void check_orphan(struct fs_check *f, const struct fs_inode *i)
{
	if (i->orphan == ORPHAN_UNLINKED && i->nlink > 0)
		fs_find(f, i->ino,
			"it is marked as unlinked, but its link count is %u",
			i->nlink);
	if (i->orphan != ORPHAN_UNLINKED && i->nlink == 0)
		fs_find(f, i->ino,
			"its link count is 0, but it is not marked as "
			"unlinked");
	if (i->flags & INODE_TRUNCATING && !i->orphan)
		fs_find(f, i->ino,
			"it is being truncated, but nothing says from where");
	if (!(i->flags & INODE_TRUNCATING) && i->orphan == ORPHAN_TRUNCATE)
		fs_find(f, i->ino,
			"something says that it is being truncated, but it is "
			"not");
}

static void check_directory(struct fs_check *f, const struct fs_inode *i)
{
	if (i->ino == INO_ROOT) {
		if (i->nr_names > 0)
			fs_find(f, i->ino, "the root directory has a name");
		if (i->parent != INO_ROOT)
			fs_find(f, i->ino,
				"the root directory's parent is inode %llu",
				ULL(i->parent));
		return;
	}
	if (i->nlink == 0 && i->nr_names == 0)
		return;
	if (i->nr_names != 1)
		fs_find(f, i->ino, "the directory has %u names", i->nr_names);
	else if (i->named_in != i->parent)
		fs_find(f, i->ino,
			"the directory's parent is inode %llu, but it lies in "
			"inode %llu",
			ULL(i->parent), ULL(i->named_in));
}

static void check_links(struct fs_check *f, const struct fs_inode *i)
{
	if (i->mode == 0) {
		if (i->nr_names > 0)
			fs_find(f, i->ino,
				"an entry in the directory with inode %llu "
				"names it, but it does not exist",
				ULL(i->named_in));
		if (i->orphan)
			fs_find(f, i->ino,
				"it is marked as an orphan, but does not "
				"exist");
		return;
	}
	if (i->nr_names > 0 && i->named_type != i->mode >> 12)
		fs_find(f, i->ino,
			"its entry in the directory with inode %llu says that "
			"it is of type %u, but it is of type %u",
			ULL(i->named_in), i->named_type, i->mode >> 12);
	check_orphan(f, i);
	if (S_ISDIR(i->mode))
		check_directory(f, i);
	else if (i->nlink != i->nr_names)
		fs_find(f, i->ino, "its link count is %u, but it has %u names",
			i->nlink, i->nr_names);
}

/* Mark all from @i up to what is known to be reached from the root. */
static void reach(struct fs_check *f, struct fs_inode *i)
{
	struct fs_inode *top = i;

	/* more steps than inodes: a ring */
	for (uint64_t n = 0; top && !top->reached; n++) {
		if (n > f->inodes.nr)
			return;
		top = top->named_in ? idmap_find(&f->inodes, top->named_in)
				    : NULL;
	}
	if (!top)
		return;
	for (; !i->reached; i = idmap_find(&f->inodes, i->named_in))
		i->reached = true;
}

static void check_reached(struct fs_check *f)
{
	struct fs_inode *root = idmap_find(&f->inodes, INO_ROOT);

	if (!root || !S_ISDIR(root->mode)) {
		fs_find(f, INO_ROOT, "there is no root directory");
		return;
	}
	root->reached = true;
	for (struct fs_inode *i = NULL;
	     (i = idmap_next(&f->inodes, i)) != NULL;) {
		/* others have been reported */
		if (!S_ISDIR(i->mode) || i->nr_names != 1)
			continue;
		reach(f, i);
		if (!i->reached)
			fs_find(f, i->ino,
				"the directory cannot be reached from the root "
				"directory");
	}
}

void fs_check_links(struct fs_check *f)
{
	for (struct fs_inode *i = NULL;
	     (i = idmap_next(&f->inodes, i)) != NULL;)
		check_links(f, i);
	check_reached(f);
}

/* ---- what is lost -------------------------------------------------------- */

int fs_lost(struct walk *w, uint64_t blkno, const struct key *lo,
	    const struct key *hi)
{
	struct fs_check *f = w->arg;

	if (!f->lost)
		f->lost = calloc(FS_LOST_MAX, sizeof(*f->lost));
	if (!f->lost)
		return -ENOMEM;
	if (f->nr_lost < FS_LOST_MAX)
		f->lost[f->nr_lost++] = (struct fs_lost){
			.blkno = blkno,
			.lo = *lo,
			.hi = hi ? *hi : key_of(INO_MAX, UINT8_MAX, OFFSET_MAX),
		};
	return 0;
}

/* One file that lost items to @l. */
static void report_lost(struct fs_check *f, const struct fs_lost *l,
			uint64_t ino)
{
	bool from_lo = l->lo.ino == ino && l->lo.type == ITEM_EXTENT;
	bool to_hi = l->hi.ino == ino && l->hi.type == ITEM_EXTENT;
	unsigned long long from = from_lo ? l->lo.offset << BLOCK_SHIFT : 0;

	if (from_lo && to_hi)
		fs_find(f, ino,
			"its data in [%llu, %llu) is lost with the node in "
			"block %llu",
			from, ULL(l->hi.offset << BLOCK_SHIFT), ULL(l->blkno));
	else if (from_lo)
		fs_find(f, ino,
			"its data from offset %llu on is lost with the node in "
			"block %llu",
			from, ULL(l->blkno));
	else
		fs_find(f, ino,
			"it is lost, or a part of it, with the node in block "
			"%llu",
			ULL(l->blkno));
}

void fs_check_lost(struct fs_check *f)
{
	for (size_t i = 0; i < f->nr_lost; i++) {
		const struct fs_lost *l = &f->lost[i];
		const struct key end = key_of(l->hi.ino, 0, 0);
		bool at_hi = key_compare(&l->hi, &end) > 0;
		uint64_t nr = 0;

		/* those that something readable knows of */
		for (const struct fs_inode *n = NULL;
		     (n = idmap_next(&f->inodes, n)) != NULL;) {
			if (n->ino < l->lo.ino || n->ino > l->hi.ino ||
			    (n->ino == l->hi.ino && !at_hi))
				continue;
			if (nr++ < LOST_NAMED)
				report_lost(f, l, n->ino);
		}
		if (nr > LOST_NAMED)
			fs_find(f, 0,
				"parts of %llu more files are lost with the "
				"node in block %llu",
				ULL(nr - LOST_NAMED), ULL(l->blkno));
	}
}

/* ---- findings ----------------------------------------------------------- */

void fs_find(struct fs_check *f, uint64_t ino, const char *fmt, ...)
{
	struct fs_finding *more;
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (ino == 0 || f->nr_findings == FINDINGS_KEPT)
		goto now;
	if (!f->findings) {
		f->findings = calloc(FINDINGS_KEPT, sizeof(*f->findings));
		if (!f->findings)
			goto now;
	}
	more = &f->findings[f->nr_findings];
	more->ino = ino;
	more->text = strdup(text);
	if (!more->text)
		goto now;
	f->nr_findings++;
	return;
now:
	if (ino)
		check_report(f->c, "%s, (ino %llu): %s", f->d->label, ULL(ino),
			     text);
	else
		check_report(f->c, "%s: %s", f->d->label, text);
}

/* An inode on the way from the root to one that has findings. */
struct fs_name {
	uint64_t ino;
	uint64_t dir;
	char *name; /* NULL: not found */
};

/* The names of @ino and of all directories above it are wanted. */
static int want_names(struct fs_check *f, struct idmap *names, uint64_t ino)
{
	while (ino != INO_ROOT) {
		const struct fs_inode *i = idmap_find(&f->inodes, ino);
		struct fs_name *n;
		bool added;

		if (!i || i->named_in == 0)
			return 0;
		n = idmap_add(names, ino, &added);
		if (!n)
			return -ENOMEM;
		if (!added)
			return 0;
		n->dir = i->named_in;
		ino = i->named_in;
	}
	return 0;
}

static int name_item(struct walk *w, const struct node_item *it, bool first)
{
	struct idmap *names = w->arg;
	const struct dirent_item *e;
	struct fs_name *n;

	(void)first;
	if (it->key.type != ITEM_DIRENT)
		return 0;
	e = fs_dirent(it);
	n = e ? idmap_find(names, le40_get(e->ino)) : NULL;
	if (!n || n->name || n->dir != it->key.ino)
		return 0;
	n->name = strndup((const char *)it->value + sizeof(*e), e->name_len);
	return n->name ? 0 : -ENOMEM;
}

static bool skip_all(struct walk *w, const struct extent_sum *sum, uint64_t txg)
{
	(void)w;
	(void)sum;
	(void)txg;
	return true;
}

/* Puts the path of @ino into @buf from the end on; returns its start. */
static const char *path_of(const struct idmap *names, uint64_t ino,
			   char buf[PATH_SHOWN])
{
	char *p = buf + PATH_SHOWN - 1;
	uint64_t steps = 0;

	*p = '\0';
	if (ino == INO_ROOT)
		return "/";
	while (ino != INO_ROOT) {
		const struct fs_name *n = idmap_find(names, ino);
		size_t len;

		/* directories in a ring */
		if (steps++ > names->nr)
			return NULL;
		if (!n || !n->name)
			return *p ? p : NULL;
		len = strlen(n->name);
		if ((size_t)(p - buf) < len + 5) {
			p -= 3;
			return memcpy(p, "...", 3);
		}
		if (*p)
			*--p = '/';
		p -= len;
		memcpy(p, n->name, len);
		ino = n->dir;
	}
	return p;
}

static int compare_finding(const void *a, const void *b)
{
	const struct fs_finding *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

int fs_report(struct fs_check *f, int rc)
{
	struct idmap names;
	struct walk w = {.c = f->c,
			 .label = f->d->label,
			 .item = name_item,
			 .skip = skip_all,
			 .arg = &names};

	if (f->nr_findings == 0)
		return rc;
	idmap_init(&names, sizeof(struct fs_name));
	for (size_t i = 0; i < f->nr_findings && rc == 0; i++)
		rc = want_names(f, &names, f->findings[i].ino);
	if (rc == 0)
		rc = check_walk(&w, &f->d->item.tree);
	qsort(f->findings, f->nr_findings, sizeof(*f->findings),
	      compare_finding);
	for (size_t i = 0; i < f->nr_findings; i++) {
		char buf[PATH_SHOWN];
		uint64_t ino = f->findings[i].ino;
		const char *path = path_of(&names, ino, buf);

		if (path)
			check_report(f->c, "%s, '%s' (inode %llu): %s",
				     f->d->label, path, ULL(ino),
				     f->findings[i].text);
		else
			check_report(f->c, "%s, (ino %llu): %s", f->d->label,
				     ULL(ino), f->findings[i].text);
		free(f->findings[i].text);
	}
	free(f->findings);
	f->findings = NULL;
	f->nr_findings = 0;
	for (struct fs_name *n = NULL; (n = idmap_next(&names, n)) != NULL;)
		free(n->name);
	idmap_release(&names);
	return rc;
}
