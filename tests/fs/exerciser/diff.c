/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diff.c - is what was read what the model says?
 *
 * With a next state, what came back may be one between the two: an operation
 * that the kernel cut into several requests may have been done in part.  Then
 * each byte of the files that it changes must be one of the two states'.
 */
#include <stdarg.h>

#include "store/store.h"
#include "tests/fs/exerciser/ex.h"

struct diff {
	const struct ex_diff *d;
	char *why;
	size_t cap;
};

__attribute__((format(printf, 2, 3))) static bool differs(struct diff *x,
							  const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(x->why, x->cap, fmt, ap);
	va_end(ap);
	return false;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* What an inode may differ in. */
struct slack {
	bool times, nlink, bytes;
	const struct model_inode *next; /* or NULL */
};

static struct slack slack_of(const struct diff *x,
			     const struct model_inode *want)
{
	const struct ex_diff *d = x->d;
	const struct model_inode *top = model_inode(d->want, MODEL_ROOT_INO);
	struct slack s = {.times = false};

	if (model_name_find(top, "shared") == want->attr.ino)
		s.times = s.nlink = true;
	if (d->loose &&
	    ex_was_loose(d->loose, d->state, d->root, want->attr.ino))
		s.times = s.bytes = true;
	if (d->next)
		s.next = model_inode(d->next, want->attr.ino);
	if (s.next == want || (s.next && !S_ISREG(want->attr.mode)))
		s.next = NULL;
	if (s.next)
		s.times = true;
	if (d->plain)
		s.times = true;
	if (d->plain && S_ISDIR(want->attr.mode))
		s.nlink = true;
	return s;
}

static bool size_fits(const struct slack *s, uint64_t want, uint64_t got)
{
	uint64_t other = s->next ? s->next->attr.size : want;

	return got >= MIN_OF(want, other) && got <= MAX_OF(want, other);
}

static bool same_attr(struct diff *x, const struct file_attr *want,
		      const struct file_attr *got, const struct slack *s)
{
	const uintmax_t ino = want->ino;

	if (got->mode != want->mode || got->uid != want->uid ||
	    got->gid != want->gid || (!s->nlink && got->nlink != want->nlink) ||
	    (!S_ISDIR(want->mode) && !size_fits(s, want->size, got->size)) ||
	    (S_ISREG(want->mode) && got->recordsize != want->recordsize) ||
	    got->rdev_major != want->rdev_major ||
	    got->rdev_minor != want->rdev_minor)
		return differs(x,
			       "ino %ju has mode %o owner %u:%u nlink %u size "
			       "%ju recordsize %u, want mode %o owner %u:%u "
			       "nlink %u size %ju recordsize %u",
			       ino, got->mode, got->uid, got->gid, got->nlink,
			       (uintmax_t)got->size, got->recordsize,
			       want->mode, want->uid, want->gid, want->nlink,
			       (uintmax_t)want->size, want->recordsize);
	if (!s->times && !same_time(&got->mtime, &want->mtime))
		return differs(x,
			       "mtime of ino %ju is %jd.%09ld, want "
			       "%jd.%09ld",
			       ino, (intmax_t)got->mtime.tv_sec,
			       got->mtime.tv_nsec, (intmax_t)want->mtime.tv_sec,
			       want->mtime.tv_nsec);
	if (!s->times && !same_time(&got->ctime, &want->ctime))
		return differs(x, "ctime of ino %ju differs", ino);
	if (!x->d->plain && !same_time(&got->atime, &want->atime))
		return differs(x, "atime of ino %ju differs", ino);
	if (!x->d->plain && !same_time(&got->btime, &want->btime))
		return differs(x, "btime of ino %ju differs", ino);
	return true;
}

static bool same_xattrs(struct diff *x, const struct model_inode *want,
			const struct model_inode *got)
{
	const uintmax_t ino = want->attr.ino;

	for (size_t i = 0; i < want->nr_xattrs; i++) {
		const struct model_xattr *a = &want->xattrs[i];
		const struct model_xattr *b = model_xattr_find(got, a->name);

		if (!b || a->len != b->len ||
		    memcmp(a->value, b->value, a->len))
			return differs(x, "xattr '%s' of ino %ju differs",
				       a->name, ino);
	}
	if (got->nr_xattrs != want->nr_xattrs)
		return differs(x, "ino %ju has %zu xattrs, want %zu", ino,
			       got->nr_xattrs, want->nr_xattrs);
	return true;
}

/* -- bytes ----------------------------------------------------------------- */

/* The next piece at or after *@i, as a walk over both needs it. */
static uint64_t index_at(const struct model_inode *in, size_t i)
{
	return i < in->nr_pieces ? in->pieces[i].index : UINT64_MAX;
}

static bool same_piece(struct diff *x, const struct model_inode *want,
		       const struct model_inode *got, const struct slack *s,
		       uint64_t index)
{
	uint8_t a[MODEL_PIECE], b[MODEL_PIECE], c[MODEL_PIECE];
	const uint64_t start = index * MODEL_PIECE;

	model_data_read(want, start, a, MODEL_PIECE);
	model_data_read(got, start, b, MODEL_PIECE);
	model_data_read(s->next ? s->next : want, start, c, MODEL_PIECE);
	for (size_t i = 0; i < MODEL_PIECE; i++) {
		if (start + i >= got->attr.size)
			break;
		if (b[i] != a[i] && b[i] != c[i])
			return differs(x,
				       "byte %ju of ino %ju is %02x, want "
				       "%02x (size %ju)",
				       (uintmax_t)(start + i),
				       (uintmax_t)want->attr.ino, b[i], a[i],
				       (uintmax_t)want->attr.size);
	}
	return true;
}

static bool same_data(struct diff *x, const struct model_inode *want,
		      const struct model_inode *got, const struct slack *s)
{
	size_t i = 0, k = 0;

	while (i < want->nr_pieces || k < got->nr_pieces) {
		const uint64_t a = index_at(want, i), b = index_at(got, k);

		if (a == b &&
		    memcmp(want->pieces[i].chunk->bytes,
			   got->pieces[k].chunk->bytes, MODEL_PIECE) == 0) {
			i++;
			k++;
			continue;
		}
		if (!same_piece(x, want, got, s, MIN_OF(a, b)))
			return false;
		i += a <= b;
		k += b <= a;
	}
	return true;
}

/* -- trees ----------------------------------------------------------------- */

static bool same_inode(struct diff *x, uint64_t ino);

static bool same_names(struct diff *x, const struct model_inode *want,
		       const struct model_inode *got)
{
	const uintmax_t ino = want->attr.ino;

	for (size_t i = 0; i < want->nr_names; i++) {
		const struct model_name *n = &want->names[i];
		const uint64_t found = model_name_find(got, n->name);

		if (found != n->ino)
			return differs(x,
				       "'%s' in dir %ju is ino %ju, want %ju",
				       n->name, ino, (uintmax_t)found,
				       (uintmax_t)n->ino);
	}
	if (got->nr_names != want->nr_names)
		return differs(x, "dir %ju has %zu names, want %zu", ino,
			       got->nr_names, want->nr_names);
	for (size_t i = 0; i < want->nr_names; i++)
		if (!same_inode(x, want->names[i].ino))
			return false;
	return true;
}

static bool same_inode(struct diff *x, uint64_t ino)
{
	const struct model_inode *want = model_inode(x->d->want, ino);
	const struct model_inode *got = model_inode(x->d->got, ino);
	const struct slack s = slack_of(x, want);

	MUST(got); /* a name of it was found */
	if (!same_attr(x, &want->attr, &got->attr, &s) ||
	    !same_xattrs(x, want, got))
		return false;
	if (S_ISDIR(want->attr.mode))
		return same_names(x, want, got);
	if (S_ISLNK(want->attr.mode) && strcmp(want->target, got->target))
		return differs(x, "link %ju differs", (uintmax_t)ino);
	if (S_ISREG(want->attr.mode) && !s.bytes)
		return same_data(x, want, got, &s);
	return true;
}

bool ex_same(const struct ex_diff *d, char *why, size_t cap)
{
	struct diff x = {.d = d, .why = why, .cap = cap};

	return d->want == d->got || same_inode(&x, MODEL_ROOT_INO);
}
