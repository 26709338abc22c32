/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_compare.c - does a pool hold what the model says?
 *
 * Nothing here aborts: a crash test asks whether the pool is in one of
 * several states, so a difference is an answer.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/format.h"
#include "tests/lib/model.h"

/* More zeros than this between two pieces are not read but seeked over. */
#define GAP_MAX	 (UINT64_C(1) << 20)
#define READ_MAX (UINT64_C(128) << 10)

struct compare {
	struct dataset *ds;
	const struct model_tree *tree;
	char *why;
	size_t cap;
	uint8_t *got, *want; /* READ_MAX bytes each */
	/* the directory being listed */
	const struct model_inode *dir;
	size_t nr_listed;
	bool differs;
};

__attribute__((format(printf, 2, 3))) static bool differs(struct compare *c,
							  const char *fmt, ...)
{
	struct dataset_info info;
	va_list ap;
	int n;

	dataset_info(c->ds, &info);
	n = snprintf(c->why, c->cap, "%s: ", info.name);
	va_start(ap, fmt);
	if (n > 0 && (size_t)n < c->cap)
		vsnprintf(c->why + n, c->cap - (size_t)n, fmt, ap);
	va_end(ap);
	c->differs = true;
	return false;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool compare_attr(struct compare *c, const struct file_attr *want,
			 const struct file_attr *got)
{
	const uint64_t ino = want->ino;

	if (got->ino != ino)
		return differs(c, "ino %ju got %ju", (uintmax_t)ino,
			       (uintmax_t)got->ino);
	if (got->mode != want->mode)
		return differs(c, "ino %ju mode %o, want %o", (uintmax_t)ino,
			       got->mode, want->mode);
	if (got->uid != want->uid || got->gid != want->gid)
		return differs(c, "ino %ju owner %u:%u, want %u:%u",
			       (uintmax_t)ino, got->uid, got->gid, want->uid,
			       want->gid);
	if (got->nlink != want->nlink)
		return differs(c, "ino %ju nlink %u, want %u", (uintmax_t)ino,
			       got->nlink, want->nlink);
	if (got->rdev_major != want->rdev_major ||
	    got->rdev_minor != want->rdev_minor)
		return differs(c, "ino %ju device differs", (uintmax_t)ino);
	if (!S_ISDIR(want->mode) && got->size != want->size)
		return differs(c, "ino %ju size %ju, want %ju", (uintmax_t)ino,
			       (uintmax_t)got->size, (uintmax_t)want->size);
	if (S_ISREG(want->mode) && got->recordsize != want->recordsize)
		return differs(c, "ino %ju recordsize %u, want %u",
			       (uintmax_t)ino, got->recordsize,
			       want->recordsize);
	if (!same_time(&got->atime, &want->atime) ||
	    !same_time(&got->mtime, &want->mtime) ||
	    !same_time(&got->ctime, &want->ctime) ||
	    !same_time(&got->btime, &want->btime))
		return differs(c, "ino %ju times differ", (uintmax_t)ino);
	return true;
}

/* [from, to) of a file, small enough to be read whole. */
static bool compare_range(struct compare *c, const struct model_inode *in,
			  uint64_t from, uint64_t to)
{
	while (from < to) {
		const size_t len = (size_t)MIN_OF(to - from, READ_MAX);
		size_t n = 0, i = 0;
		const int rc =
			file_read(c->ds, in->attr.ino, from, c->got, len, &n);

		if (rc)
			return differs(c, "ino %ju read at %ju: %d",
				       (uintmax_t)in->attr.ino, (uintmax_t)from,
				       rc);
		if (n != len)
			return differs(c, "ino %ju read %zu of %zu at %ju",
				       (uintmax_t)in->attr.ino, n, len,
				       (uintmax_t)from);
		model_data_read(in, from, c->want, len);
		if (memcmp(c->got, c->want, len) != 0) {
			while (c->got[i] == c->want[i])
				i++;
			return differs(c,
				       "ino %ju byte %ju is %02x, want %02x "
				       "(size %ju, recordsize %u)",
				       (uintmax_t)in->attr.ino,
				       (uintmax_t)(from + i), c->got[i],
				       c->want[i], (uintmax_t)in->attr.size,
				       in->attr.recordsize);
		}
		from += len;
	}
	return true;
}

/* [from, to) has no piece; a long one is asked for, not read. */
static bool compare_gap(struct compare *c, const struct model_inode *in,
			uint64_t from, uint64_t to)
{
	uint64_t next = 0;
	int rc;

	if (to - from <= GAP_MAX)
		return compare_range(c, in, from, to);
	if (!compare_range(c, in, from, from + READ_MAX) ||
	    !compare_range(c, in, to - READ_MAX, to))
		return false;
	/* a dirty record is data until it is sealed, even of zeros (C2) */
	for (from = round_up(from, READ_MAX); from < to;
	     from = next + READ_MAX) {
		rc = file_seek(c->ds, in->attr.ino, from, SEEK_DATA, &next);
		if (rc && rc != -ENXIO)
			return differs(c, "ino %ju seek: %d",
				       (uintmax_t)in->attr.ino, rc);
		if (rc || next >= to)
			break;
		if (!compare_range(c, in, next, MIN_OF(next + READ_MAX, to)))
			return false;
	}
	return true;
}

static bool compare_data(struct compare *c, const struct model_inode *in)
{
	const uint64_t size = in->attr.size;
	uint64_t at = 0;

	for (size_t i = 0; i < in->nr_pieces; i++) {
		const uint64_t start = in->pieces[i].index * MODEL_PIECE;

		if (start >= size)
			break;
		/* runs of pieces and small gaps are read in one go */
		if (start - at > GAP_MAX) {
			if (!compare_gap(c, in, at, start))
				return false;
			at = start;
		}
		if (i + 1 == in->nr_pieces ||
		    in->pieces[i + 1].index * MODEL_PIECE - at > READ_MAX) {
			const uint64_t end = MIN_OF(start + MODEL_PIECE, size);

			if (!compare_range(c, in, at, end))
				return false;
			at = end;
		}
	}
	return at >= size || compare_gap(c, in, at, size);
}

static bool compare_xattrs(struct compare *c, const struct model_inode *in)
{
	const uint64_t ino = in->attr.ino;
	char list[8192];
	size_t len = 0, nr = 0;
	int rc = file_listxattr(c->ds, ino, list, sizeof(list), &len);

	if (rc)
		return differs(c, "ino %ju listxattr: %d", (uintmax_t)ino, rc);
	for (size_t at = 0; at < len; at += strlen(list + at) + 1) {
		const struct model_xattr *x = model_xattr_find(in, list + at);
		uint8_t *value;
		size_t n = 0;
		bool same;

		if (!x)
			return differs(c, "ino %ju has xattr '%s'",
				       (uintmax_t)ino, list + at);
		value = malloc(x->len + 1);
		if (!value)
			abort();
		rc = file_getxattr(c->ds, ino, x->name, value, x->len + 1, &n);
		same = rc == 0 && n == x->len &&
		       memcmp(value, x->value, n) == 0;
		free(value);
		if (!same)
			return differs(c, "ino %ju xattr '%s' differs (rc %d)",
				       (uintmax_t)ino, x->name, rc);
		nr++;
	}
	if (nr != in->nr_xattrs)
		return differs(c, "ino %ju has %zu xattrs, want %zu",
			       (uintmax_t)ino, nr, in->nr_xattrs);
	return true;
}

static int compare_name(void *arg, const char *name, size_t len,
			const struct file_attr *attr, uint64_t cookie)
{
	struct compare *c = arg;
	char text[256] = "";
	uint64_t want;

	(void)cookie;
	memcpy(text, name, MIN_OF(len, sizeof(text) - 1));
	if (strcmp(text, ".") == 0)
		want = c->dir->attr.ino;
	else if (strcmp(text, "..") == 0)
		want = c->dir->parent;
	else
		want = model_name_find(c->dir, text);
	if (attr->ino != want) {
		differs(c, "dir %ju name '%s' is ino %ju, want %ju",
			(uintmax_t)c->dir->attr.ino, text, (uintmax_t)attr->ino,
			(uintmax_t)want);
		return 1;
	}
	c->nr_listed++;
	return 0;
}

static bool compare_dir(struct compare *c, const struct model_inode *in)
{
	const uint64_t ino = in->attr.ino;
	struct file_attr attr;
	int rc;

	c->dir = in;
	c->nr_listed = 0;
	rc = file_readdir(c->ds, ino, 0, false, compare_name, c);
	if (rc)
		return differs(c, "dir %ju readdir: %d", (uintmax_t)ino, rc);
	if (c->differs)
		return false;
	if (c->nr_listed != in->nr_names + 2)
		return differs(c, "dir %ju has %zu names, want %zu",
			       (uintmax_t)ino, c->nr_listed, in->nr_names + 2);
	for (size_t i = 0; i < in->nr_names; i++) {
		const struct model_name *n = &in->names[i];

		rc = file_lookup(c->ds, ino, n->name, strlen(n->name), &attr);
		if (rc || attr.ino != n->ino)
			return differs(c, "dir %ju lookup of '%s': %d",
				       (uintmax_t)ino, n->name, rc);
	}
	return true;
}

static bool compare_inode(struct compare *c, const struct model_inode *in)
{
	const uint64_t ino = in->attr.ino;
	char target[SYMLINK_MAX + 1];
	struct file_attr attr;
	int rc = file_getattr(c->ds, ino, &attr);

	if (rc)
		return differs(c, "ino %ju getattr: %d", (uintmax_t)ino, rc);
	if (!compare_attr(c, &in->attr, &attr) || !compare_xattrs(c, in))
		return false;
	if (S_ISDIR(in->attr.mode))
		return compare_dir(c, in);
	if (S_ISREG(in->attr.mode))
		return compare_data(c, in);
	if (!S_ISLNK(in->attr.mode))
		return true;
	rc = file_readlink(c->ds, ino, target, sizeof(target));
	if (rc || strcmp(target, in->target) != 0)
		return differs(c, "ino %ju readlink: %d", (uintmax_t)ino, rc);
	return true;
}

bool model_compare_tree(const struct model_tree *t, struct dataset *ds,
			char *why, size_t cap)
{
	struct compare c = {.ds = ds, .tree = t, .why = why, .cap = cap};
	bool same = true;

	c.got = malloc(READ_MAX);
	c.want = malloc(READ_MAX);
	if (!c.got || !c.want)
		abort();
	for (size_t i = 0; same && i < t->nr; i++)
		if (t->inodes[i]->attr.nlink)
			same = compare_inode(&c, t->inodes[i]);
	free(c.got);
	free(c.want);
	return same;
}

/* -- roots ----------------------------------------------------------------- */

struct user_values {
	char value[MODEL_USER_KEYS][16];
	size_t nr;
};

static void note_user(void *arg, const char *key, const char *value)
{
	struct user_values *u = arg;

	u->nr++;
	for (unsigned i = 0; i < MODEL_USER_KEYS; i++) {
		char want[16];

		snprintf(want, sizeof(want), "user:k%u", i);
		if (strcmp(key, want) == 0)
			snprintf(u->value[i], sizeof(u->value[i]), "%s", value);
	}
}

static bool compare_root(const struct model_state *s,
			 const struct model_root *r, struct dataset *ds,
			 char *why, size_t cap)
{
	const struct model_root *parent = model_find(s, r->parent);
	const struct dataset_properties *want = &r->properties;
	struct user_values user = {0};
	struct dataset_info info;
	char name[DATASET_FULL_NAME_MAX];
	size_t nr_user = 0;

	dataset_info(ds, &info);
	if (parent)
		snprintf(name, sizeof(name), "%s@%s", parent->name, r->name);
	else
		snprintf(name, sizeof(name), "%s", r->name);
	if (strcmp(info.name, name) != 0 || info.parent != r->parent ||
	    info.snapshot != (r->parent != 0) ||
	    info.automatic != r->automatic) {
		snprintf(why, cap, "root %u is '%s', want '%s'", r->id,
			 info.name, name);
		return false;
	}
	if (!r->parent && (info.properties.recordsize != want->recordsize ||
			   info.properties.compression != want->compression ||
			   info.properties.quota != want->quota ||
			   info.properties.readonly != want->readonly)) {
		snprintf(why, cap, "properties of '%s' differ", name);
		return false;
	}
	if (!r->parent) {
		dataset_each_user(ds, note_user, &user);
		for (unsigned i = 0; i < MODEL_USER_KEYS; i++) {
			nr_user += r->user[i][0] != '\0';
			if (strcmp(r->user[i], user.value[i]) == 0)
				continue;
			snprintf(why, cap,
				 "user:k%u of '%s' is '%s', want '%s'", i, name,
				 user.value[i], r->user[i]);
			return false;
		}
		if (nr_user != user.nr) {
			snprintf(why, cap,
				 "'%s' has %zu user properties, want %zu", name,
				 user.nr, nr_user);
			return false;
		}
	}
	return model_compare_tree(r->tree, ds, why, cap);
}

/* Is the list of @parent's snapshots (or 0: of datasets) the model's? */
static bool compare_list(const struct model_state *s, struct pool *pool,
			 uint32_t parent, char *why, size_t cap)
{
	uint32_t *ids = NULL;
	size_t nr = 0, at = 0;
	bool same = true;
	const int rc = dataset_list(pool, parent, &ids, &nr);

	if (rc) {
		snprintf(why, cap, "list of %u: %d", parent, rc);
		return false;
	}
	for (size_t i = 0; i < s->nr; i++) {
		const struct model_root *r = &s->roots[i];

		if (r->parent != parent)
			continue;
		at++;
		if (parent && at <= nr && ids[at - 1] != r->id)
			same = false;
	}
	for (size_t i = 0; !parent && i < nr; i++)
		same = same && model_find(s, ids[i]) != NULL;
	if (!same || at != nr) {
		snprintf(why, cap, "%zu roots below %u, want %zu (%s)", nr,
			 parent, at, same ? "others" : "other ids");
		same = false;
	}
	free(ids);
	return same;
}

bool model_compare(const struct model_state *s, struct pool *pool, char *why,
		   size_t cap)
{
	return compare_list(s, pool, 0, why, cap) &&
	       model_compare_named(s, pool, why, cap);
}

bool model_compare_named(const struct model_state *s, struct pool *pool,
			 char *why, size_t cap)
{
	bool same = true;

	for (size_t i = 0; same && i < s->nr; i++)
		if (!s->roots[i].parent)
			same = compare_list(s, pool, s->roots[i].id, why, cap);
	for (size_t i = 0; same && i < s->nr; i++) {
		const struct model_root *r = &s->roots[i];
		struct dataset *ds;
		const int rc = dataset_open_id(pool, r->id, &ds);

		if (rc) {
			snprintf(why, cap, "open of '%s': %d", r->name, rc);
			return false;
		}
		same = compare_root(s, r, ds, why, cap);
		dataset_put(ds);
	}
	return same;
}
