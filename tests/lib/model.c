/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A test without memory has nothing left to say. */
static void *must_alloc(void *p)
{
	if (!p)
		abort();
	return p;
}

/* Room for one more element in an array that grows by doubling. */
static void *grow(void *array, size_t nr, size_t *cap, size_t size)
{
	if (nr < *cap)
		return array;
	*cap = *cap ? 2 * *cap : 8;
	return must_alloc(realloc(array, *cap * size));
}

static void *copy_of(const void *from, size_t len)
{
	void *to = must_alloc(malloc(len ? len : 1));

	if (len)
		memcpy(to, from, len);
	return to;
}

/* -- inodes ---------------------------------------------------------------- */

static void chunk_put(struct model_chunk *c)
{
	if (--c->refs == 0)
		free(c);
}

static void inode_put(struct model_inode *in)
{
	if (--in->refs)
		return;
	for (size_t i = 0; i < in->nr_pieces; i++)
		chunk_put(in->pieces[i].chunk);
	for (size_t i = 0; i < in->nr_names; i++)
		free(in->names[i].name);
	for (size_t i = 0; i < in->nr_xattrs; i++) {
		free(in->xattrs[i].name);
		free(in->xattrs[i].value);
	}
	free(in->pieces);
	free(in->names);
	free(in->xattrs);
	free(in->target);
	free(in);
}

static struct model_inode *inode_copy(const struct model_inode *from)
{
	struct model_inode *to = copy_of(from, sizeof(*from));

	to->refs = 1;
	to->pieces =
		copy_of(from->pieces, from->nr_pieces * sizeof(*to->pieces));
	to->cap_pieces = to->nr_pieces;
	for (size_t i = 0; i < to->nr_pieces; i++)
		to->pieces[i].chunk->refs++;
	to->names = copy_of(from->names, from->nr_names * sizeof(*to->names));
	to->cap_names = to->nr_names;
	for (size_t i = 0; i < to->nr_names; i++)
		to->names[i].name = must_alloc(strdup(from->names[i].name));
	to->xattrs =
		copy_of(from->xattrs, from->nr_xattrs * sizeof(*to->xattrs));
	to->cap_xattrs = to->nr_xattrs;
	for (size_t i = 0; i < to->nr_xattrs; i++) {
		const struct model_xattr *x = &from->xattrs[i];

		to->xattrs[i].name = must_alloc(strdup(x->name));
		to->xattrs[i].value = copy_of(x->value, x->len);
	}
	if (from->target)
		to->target = must_alloc(strdup(from->target));
	return to;
}

/* -- trees ----------------------------------------------------------------- */

/* Index of the first inode with a number >= @ino. */
static size_t inode_index(const struct model_tree *t, uint64_t ino)
{
	size_t lo = 0, hi = t->nr;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (t->inodes[mid]->attr.ino < ino)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void tree_insert(struct model_tree *t, struct model_inode *in)
{
	const size_t i = inode_index(t, in->attr.ino);

	t->inodes =
		grow(t->inodes, t->nr, &t->cap, sizeof(struct model_inode *));
	memmove(&t->inodes[i + 1], &t->inodes[i],
		(t->nr - i) * sizeof(struct model_inode *));
	t->inodes[i] = in;
	t->nr++;
}

static void tree_remove_at(struct model_tree *t, size_t i)
{
	inode_put(t->inodes[i]);
	t->nr--;
	memmove(&t->inodes[i], &t->inodes[i + 1],
		(t->nr - i) * sizeof(struct model_inode *));
}

static struct model_inode *inode_new(const struct file_attr *attr)
{
	struct model_inode *in = must_alloc(calloc(1, sizeof(*in)));

	in->refs = 1;
	in->attr = *attr;
	return in;
}

struct model_tree *model_tree_new(const struct file_attr *attr)
{
	struct model_tree *t = must_alloc(calloc(1, sizeof(*t)));
	struct model_inode *in = inode_new(attr);

	t->refs = 1;
	in->parent = attr->ino;
	tree_insert(t, in);
	return t;
}

void model_tree_put(struct model_tree *t)
{
	if (!t || --t->refs)
		return;
	for (size_t i = 0; i < t->nr; i++)
		inode_put(t->inodes[i]);
	free(t->inodes);
	free(t);
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool model_tree_same(const struct model_tree *a, const struct model_tree *b)
{
	if (a == b)
		return true;
	if (a->nr != b->nr)
		return false;
	for (size_t i = 0; i < a->nr; i++) {
		const struct file_attr *x = &a->inodes[i]->attr;
		const struct file_attr *y = &b->inodes[i]->attr;

		if (x->ino != y->ino || x->size != y->size ||
		    x->nlink != y->nlink || !same_time(&x->ctime, &y->ctime) ||
		    !same_time(&x->mtime, &y->mtime))
			return false;
	}
	return true;
}

struct model_inode *model_inode(const struct model_tree *t, uint64_t ino)
{
	const size_t i = inode_index(t, ino);

	if (i == t->nr || t->inodes[i]->attr.ino != ino)
		return NULL;
	return t->inodes[i];
}

struct model_tree *model_root_edit(struct model_root *r)
{
	struct model_tree *old = r->tree, *t;

	if (old->refs == 1)
		return old;
	t = must_alloc(calloc(1, sizeof(*t)));
	t->refs = 1;
	t->nr = t->cap = old->nr;
	t->inodes =
		copy_of(old->inodes, old->nr * sizeof(struct model_inode *));
	for (size_t i = 0; i < t->nr; i++)
		t->inodes[i]->refs++;
	old->refs--;
	r->tree = t;
	return t;
}

struct model_inode *model_edit(struct model_root *r, uint64_t ino)
{
	struct model_tree *t = model_root_edit(r);
	const size_t i = inode_index(t, ino);
	struct model_inode *in;

	if (i == t->nr || t->inodes[i]->attr.ino != ino)
		abort();
	in = t->inodes[i];
	if (in->refs > 1) {
		t->inodes[i] = inode_copy(in);
		in->refs--;
	}
	return t->inodes[i];
}

struct model_inode *model_inode_add(struct model_root *r,
				    const struct file_attr *attr)
{
	struct model_inode *in = inode_new(attr);

	tree_insert(model_root_edit(r), in);
	return in;
}

void model_inode_remove(struct model_root *r, uint64_t ino)
{
	struct model_tree *t = model_root_edit(r);
	const size_t i = inode_index(t, ino);

	if (i < t->nr && t->inodes[i]->attr.ino == ino)
		tree_remove_at(t, i);
}

/* -- names and xattrs ------------------------------------------------------ */

static size_t name_index(const struct model_inode *dir, const char *name)
{
	size_t lo = 0, hi = dir->nr_names;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (strcmp(dir->names[mid].name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

uint64_t model_name_find(const struct model_inode *dir, const char *name)
{
	const size_t i = name_index(dir, name);

	if (i == dir->nr_names || strcmp(dir->names[i].name, name) != 0)
		return 0;
	return dir->names[i].ino;
}

void model_name_set(struct model_inode *dir, const char *name, uint64_t ino)
{
	const size_t i = name_index(dir, name);

	if (i < dir->nr_names && strcmp(dir->names[i].name, name) == 0) {
		dir->names[i].ino = ino;
		return;
	}
	dir->names = grow(dir->names, dir->nr_names, &dir->cap_names,
			  sizeof(*dir->names));
	memmove(&dir->names[i + 1], &dir->names[i],
		(dir->nr_names - i) * sizeof(*dir->names));
	dir->names[i].name = must_alloc(strdup(name));
	dir->names[i].ino = ino;
	dir->nr_names++;
}

void model_name_remove(struct model_inode *dir, const char *name)
{
	const size_t i = name_index(dir, name);

	if (i == dir->nr_names || strcmp(dir->names[i].name, name) != 0)
		abort();
	free(dir->names[i].name);
	dir->nr_names--;
	memmove(&dir->names[i], &dir->names[i + 1],
		(dir->nr_names - i) * sizeof(*dir->names));
}

static size_t xattr_index(const struct model_inode *in, const char *name)
{
	size_t i = 0;

	while (i < in->nr_xattrs && strcmp(in->xattrs[i].name, name) < 0)
		i++;
	return i;
}

const struct model_xattr *model_xattr_find(const struct model_inode *in,
					   const char *name)
{
	const size_t i = xattr_index(in, name);

	if (i == in->nr_xattrs || strcmp(in->xattrs[i].name, name) != 0)
		return NULL;
	return &in->xattrs[i];
}

void model_xattr_remove(struct model_inode *in, const char *name)
{
	const size_t i = xattr_index(in, name);

	if (!model_xattr_find(in, name))
		abort();
	free(in->xattrs[i].name);
	free(in->xattrs[i].value);
	in->nr_xattrs--;
	memmove(&in->xattrs[i], &in->xattrs[i + 1],
		(in->nr_xattrs - i) * sizeof(*in->xattrs));
}

void model_xattr_set(struct model_inode *in, const char *name,
		     const void *value, size_t len)
{
	size_t i;

	if (model_xattr_find(in, name))
		model_xattr_remove(in, name);
	i = xattr_index(in, name);
	in->xattrs = grow(in->xattrs, in->nr_xattrs, &in->cap_xattrs,
			  sizeof(*in->xattrs));
	memmove(&in->xattrs[i + 1], &in->xattrs[i],
		(in->nr_xattrs - i) * sizeof(*in->xattrs));
	in->xattrs[i].name = must_alloc(strdup(name));
	in->xattrs[i].value = copy_of(value, len);
	in->xattrs[i].len = len;
	in->nr_xattrs++;
}

/* -- data ------------------------------------------------------------------ */

/* Index of the first piece with an index >= @index. */
static size_t piece_index(const struct model_inode *in, uint64_t index)
{
	size_t lo = 0, hi = in->nr_pieces;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (in->pieces[mid].index < index)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The bytes of piece @index, to be changed; made of zeros when missing. */
static uint8_t *piece_edit(struct model_inode *in, uint64_t index)
{
	const size_t i = piece_index(in, index);
	struct model_chunk *c;

	if (i == in->nr_pieces || in->pieces[i].index != index) {
		c = must_alloc(calloc(1, sizeof(*c)));
		c->refs = 1;
		in->pieces = grow(in->pieces, in->nr_pieces, &in->cap_pieces,
				  sizeof(*in->pieces));
		memmove(&in->pieces[i + 1], &in->pieces[i],
			(in->nr_pieces - i) * sizeof(*in->pieces));
		in->pieces[i] = (struct model_piece){index, c};
		in->nr_pieces++;
		return c->bytes;
	}
	c = in->pieces[i].chunk;
	if (c->refs > 1) {
		in->pieces[i].chunk = copy_of(c, sizeof(*c));
		in->pieces[i].chunk->refs = 1;
		c->refs--;
	}
	return in->pieces[i].chunk->bytes;
}

static void pieces_remove(struct model_inode *in, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++)
		chunk_put(in->pieces[i].chunk);
	memmove(&in->pieces[from], &in->pieces[to],
		(in->nr_pieces - to) * sizeof(*in->pieces));
	in->nr_pieces -= to - from;
}

void model_data_write(struct model_inode *in, uint64_t offset, const void *buf,
		      size_t len)
{
	const uint8_t *p = buf;

	if (len && offset + len > in->attr.size)
		in->attr.size = offset + len;
	while (len) {
		const size_t at = (size_t)(offset % MODEL_PIECE);
		const size_t n = MIN_OF(len, MODEL_PIECE - at);

		memcpy(piece_edit(in, offset / MODEL_PIECE) + at, p, n);
		offset += n;
		p += n;
		len -= n;
	}
}

void model_data_zero(struct model_inode *in, uint64_t offset, uint64_t len)
{
	const uint64_t end = offset + len;
	const uint64_t first = div_round_up(offset, MODEL_PIECE);
	const uint64_t last = end / MODEL_PIECE;
	size_t i;

	if (!len)
		return;
	/* a part of one piece at either end, if the piece is there at all */
	i = piece_index(in, offset / MODEL_PIECE);
	if (offset % MODEL_PIECE && i < in->nr_pieces &&
	    in->pieces[i].index == offset / MODEL_PIECE)
		memset(piece_edit(in, offset / MODEL_PIECE) +
			       offset % MODEL_PIECE,
		       0,
		       (size_t)MIN_OF(len, MODEL_PIECE - offset % MODEL_PIECE));
	i = piece_index(in, last);
	if (end % MODEL_PIECE && last >= first && i < in->nr_pieces &&
	    in->pieces[i].index == last)
		memset(piece_edit(in, last), 0, (size_t)(end % MODEL_PIECE));
	if (last > first)
		pieces_remove(in, piece_index(in, first),
			      piece_index(in, last));
}

void model_data_truncate(struct model_inode *in, uint64_t size)
{
	if (size < in->attr.size)
		model_data_zero(in, size,
				round_up(in->attr.size, MODEL_PIECE) - size);
	in->attr.size = size;
}

void model_data_read(const struct model_inode *in, uint64_t offset, void *buf,
		     size_t len)
{
	uint8_t *p = buf;
	size_t i = piece_index(in, offset / MODEL_PIECE);

	memset(buf, 0, len);
	for (; i < in->nr_pieces; i++) {
		const uint64_t start = in->pieces[i].index * MODEL_PIECE;
		const uint64_t from = MAX_OF(start, offset);
		const uint64_t to = MIN_OF(start + MODEL_PIECE, offset + len);

		if (from >= to)
			break;
		memcpy(p + (from - offset),
		       in->pieces[i].chunk->bytes + (from - start),
		       (size_t)(to - from));
	}
}

uint64_t model_data_next(const struct model_inode *in, uint64_t offset)
{
	for (size_t i = piece_index(in, offset / MODEL_PIECE);
	     i < in->nr_pieces; i++) {
		const uint64_t start = in->pieces[i].index * MODEL_PIECE;
		size_t at = start < offset ? (size_t)(offset - start) : 0;

		for (; at < MODEL_PIECE; at++)
			if (in->pieces[i].chunk->bytes[at])
				return start + at;
	}
	return UINT64_MAX;
}

/* -- states ---------------------------------------------------------------- */

void model_state_copy(struct model_state *to, const struct model_state *from)
{
	*to = *from;
	to->cap = from->nr;
	to->roots = copy_of(from->roots, from->nr * sizeof(*to->roots));
	for (size_t i = 0; i < to->nr; i++)
		to->roots[i].tree->refs++;
}

void model_state_release(struct model_state *s)
{
	for (size_t i = 0; i < s->nr; i++)
		model_tree_put(s->roots[i].tree);
	free(s->roots);
	*s = (struct model_state){0};
}

struct model_root *model_find(const struct model_state *s, uint32_t id)
{
	for (size_t i = 0; i < s->nr; i++)
		if (s->roots[i].id == id)
			return &s->roots[i];
	return NULL;
}

struct model_root *model_find_name(const struct model_state *s, uint32_t parent,
				   const char *name)
{
	for (size_t i = 0; i < s->nr; i++)
		if (s->roots[i].parent == parent &&
		    strcmp(s->roots[i].name, name) == 0)
			return &s->roots[i];
	return NULL;
}

struct model_root *model_add(struct model_state *s, uint32_t id,
			     uint32_t parent, const char *name,
			     struct model_tree *tree)
{
	struct model_root *r;

	s->roots = grow(s->roots, s->nr, &s->cap, sizeof(*s->roots));
	r = &s->roots[s->nr++];
	*r = (struct model_root){.id = id, .parent = parent, .tree = tree};
	snprintf(r->name, sizeof(r->name), "%s", name);
	tree->refs++;
	return r;
}

void model_remove(struct model_state *s, uint32_t id)
{
	struct model_root *r = model_find(s, id);
	size_t i;

	if (!r)
		abort();
	i = (size_t)(r - s->roots);
	model_tree_put(r->tree);
	s->nr--;
	memmove(&s->roots[i], &s->roots[i + 1],
		(s->nr - i) * sizeof(*s->roots));
}

void model_drop_unnamed(struct model_state *s)
{
	for (size_t r = 0; r < s->nr; r++) {
		struct model_root *root = &s->roots[r];

		for (size_t i = root->tree->nr; i-- > 0;) {
			const struct file_attr *a =
				&root->tree->inodes[i]->attr;

			if (a->nlink == 0)
				model_inode_remove(root, a->ino);
		}
	}
}
