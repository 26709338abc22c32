/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_digest.c - the same bytes are hashed for the model and for the pool
 *
 * What has no order of its own (roots, inodes, names, xattrs, pieces of
 * content) is summed up, each hashed with what tells where it belongs.
 */
#include "tests/lib/model_digest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/csum.h"
#include "store/format.h"

#define READ_MAX (UINT64_C(128) << 10)
/* longer files are read where SEEK_DATA says there is something */
#define READ_ALL (UINT64_C(4) << 20)

enum { SEED_ROOT = 1, SEED_USER, SEED_INODE, SEED_PIECES };

struct inode_blob {
	uint64_t ino, size, parent;
	uint32_t mode, uid, gid, nlink;
	uint32_t major, minor, recordsize, zero;
	int64_t times[8];
	uint64_t names, xattrs, target, pieces;
};

struct root_blob {
	uint32_t id, parent, automatic, recordsize;
	int32_t compression;
	uint32_t readonly;
	uint64_t quota, user, tree;
};

static void *must_alloc(void *p)
{
	if (!p)
		abort();
	return p;
}

static void blob_attr(struct inode_blob *b, const struct file_attr *a)
{
	const struct timespec *t[] = {&a->atime, &a->mtime, &a->ctime,
				      &a->btime};

	memset(b, 0, sizeof(*b));
	b->ino = a->ino;
	b->size = S_ISDIR(a->mode) ? 0 : a->size;
	b->mode = a->mode;
	b->uid = a->uid;
	b->gid = a->gid;
	b->nlink = a->nlink;
	b->major = a->rdev_major;
	b->minor = a->rdev_minor;
	b->recordsize = S_ISREG(a->mode) ? a->recordsize : 0;
	for (unsigned i = 0; i < 4; i++) {
		b->times[2 * i] = t[i]->tv_sec;
		b->times[2 * i + 1] = t[i]->tv_nsec;
	}
}

static uint64_t blob_digest(const struct inode_blob *b)
{
	return csum_of(b, sizeof(*b), SEED_INODE);
}

static uint64_t name_digest(const char *name, size_t len, uint64_t ino)
{
	return csum_of(name, len, ino);
}

static uint64_t xattr_digest(const char *name, const void *value, size_t len)
{
	return csum_of(value, len, csum_of(name, strlen(name), len));
}

/* A piece of zeros counts as much as none. */
static uint64_t piece_digest(const uint8_t *bytes, uint64_t index)
{
	if (bytes[0] == 0 && memcmp(bytes, bytes + 1, MODEL_PIECE - 1) == 0)
		return 0;
	return csum_of(bytes, MODEL_PIECE, index + SEED_PIECES);
}

static uint64_t user_digest(const char *key, const char *value)
{
	return csum_of(value, strlen(value),
		       csum_of(key, strlen(key), SEED_USER));
}

static uint64_t root_digest(const struct root_blob *b, const char *name)
{
	return csum_of(name, strlen(name), csum_of(b, sizeof(*b), SEED_ROOT));
}

static void blob_properties(struct root_blob *b,
			    const struct dataset_properties *p)
{
	b->recordsize = p->recordsize;
	b->compression = p->compression;
	b->readonly = p->readonly;
	b->quota = p->quota;
}

/* -- the model ------------------------------------------------------------- */

struct known {
	const void *what; /* NULL: free */
	uint64_t digest;
};

struct model_digests {
	const struct model_digests *below;
	struct known *table;
	size_t nr, cap; /* cap: a power of two */
};

static struct known *known_slot(const struct model_digests *d, const void *what)
{
	size_t i = (size_t)(((uintptr_t)what >> 4) *
				    UINT64_C(0x9e3779b97f4a7c15) >>
			    20);

	while (d->table[i & (d->cap - 1)].what &&
	       d->table[i & (d->cap - 1)].what != what)
		i++;
	return &d->table[i & (d->cap - 1)];
}

static bool known_find(const struct model_digests *d, const void *what,
		       uint64_t *digest)
{
	for (; d; d = d->below) {
		const struct known *k = known_slot(d, what);

		if (k->what) {
			*digest = k->digest;
			return true;
		}
	}
	return false;
}

static void known_add(struct model_digests *d, const void *what,
		      uint64_t digest)
{
	struct known *old = d->table;

	if (2 * d->nr >= d->cap) {
		const size_t cap = d->cap;

		d->cap *= 2;
		d->table = must_alloc(calloc(d->cap, sizeof(*d->table)));
		for (size_t i = 0; i < cap; i++)
			if (old[i].what)
				*known_slot(d, old[i].what) = old[i];
		free(old);
	}
	*known_slot(d, what) = (struct known){what, digest};
	d->nr++;
}

struct model_digests *model_digests_new(const struct model_digests *below)
{
	struct model_digests *d = must_alloc(calloc(1, sizeof(*d)));

	d->below = below;
	d->cap = 64;
	d->table = must_alloc(calloc(d->cap, sizeof(*d->table)));
	return d;
}

void model_digests_free(struct model_digests *d)
{
	if (!d)
		return;
	free(d->table);
	free(d);
}

static uint64_t model_inode_digest(struct model_digests *d,
				   const struct model_inode *in)
{
	struct inode_blob b;
	uint64_t digest;

	if (known_find(d, in, &digest))
		return digest;
	blob_attr(&b, &in->attr);
	if (S_ISDIR(in->attr.mode))
		b.parent = in->parent;
	for (size_t i = 0; i < in->nr_names; i++)
		b.names += name_digest(in->names[i].name,
				       strlen(in->names[i].name),
				       in->names[i].ino);
	for (size_t i = 0; i < in->nr_xattrs; i++)
		b.xattrs +=
			xattr_digest(in->xattrs[i].name, in->xattrs[i].value,
				     in->xattrs[i].len);
	for (size_t i = 0; i < in->nr_pieces; i++)
		b.pieces += piece_digest(in->pieces[i].chunk->bytes,
					 in->pieces[i].index);
	if (in->target)
		b.target = name_digest(in->target, strlen(in->target), 0);
	digest = blob_digest(&b);
	known_add(d, in, digest);
	return digest;
}

static uint64_t model_tree_digest(struct model_digests *d,
				  const struct model_tree *t)
{
	uint64_t digest;

	if (known_find(d, t, &digest))
		return digest;
	digest = 0;
	for (size_t i = 0; i < t->nr; i++)
		if (t->inodes[i]->attr.nlink)
			digest += model_inode_digest(d, t->inodes[i]);
	known_add(d, t, digest);
	return digest;
}

uint64_t model_digest_root(struct model_digests *d, const struct model_root *r)
{
	struct root_blob b;
	char key[16];

	memset(&b, 0, sizeof(b));
	b.id = r->id;
	b.parent = r->parent;
	b.automatic = r->automatic;
	if (!r->parent)
		blob_properties(&b, &r->properties);
	for (unsigned i = 0; i < MODEL_USER_KEYS && !r->parent; i++) {
		snprintf(key, sizeof(key), "user:k%u", i);
		if (r->user[i][0])
			b.user += user_digest(key, r->user[i]);
	}
	b.tree = model_tree_digest(d, r->tree);
	return root_digest(&b, r->name);
}

/* -- the pool -------------------------------------------------------------- */

struct todo {
	uint64_t ino, parent; /* parent: a directory's */
};

struct reader {
	struct dataset *ds;
	uint8_t *buf; /* READ_MAX bytes */
	struct todo *todo;
	size_t nr, done, cap;
	/* the directory being listed */
	struct todo dir;
	uint64_t names, dotdot;
	const char *what; /* being done when an error came */
	uint64_t ino;
};

static void todo_add(struct reader *r, uint64_t ino, uint64_t parent, bool once)
{
	for (size_t i = 0; once && i < r->nr; i++)
		if (r->todo[i].ino == ino)
			return;
	if (r->nr == r->cap) {
		r->cap = r->cap ? 2 * r->cap : 64;
		r->todo = must_alloc(
			reallocarray(r->todo, r->cap, sizeof(*r->todo)));
	}
	r->todo[r->nr++] = (struct todo){ino, parent};
}

static int see_name(void *arg, const char *name, size_t len,
		    const struct file_attr *attr, uint64_t cookie)
{
	struct reader *r = arg;

	(void)cookie;
	if (len == 1 && name[0] == '.')
		return 0;
	if (len == 2 && name[0] == '.' && name[1] == '.') {
		r->dotdot = attr->ino;
		return 0;
	}
	r->names += name_digest(name, len, attr->ino);
	/* only what has several names is met again */
	todo_add(r, attr->ino, r->dir.ino,
		 !S_ISDIR(attr->mode) && attr->nlink > 1);
	return 0;
}

static int read_dir(struct reader *r, struct inode_blob *b)
{
	int rc;

	r->dir = r->todo[r->done];
	r->names = 0;
	r->dotdot = 0;
	r->what = "readdir";
	rc = file_readdir(r->ds, r->dir.ino, 0, true, see_name, r);
	b->names = r->names;
	b->parent = r->dotdot;
	return rc;
}

static int read_pieces(struct reader *r, const struct file_attr *a,
		       uint64_t *sum)
{
	uint64_t at = 0;

	while (at < a->size) {
		size_t len = 0;
		int rc;

		if (a->size > READ_ALL) {
			r->what = "seek";
			rc = file_seek(r->ds, a->ino, at, SEEK_DATA, &at);
			if (rc)
				return rc == -ENXIO ? 0 : rc;
			at -= at % MODEL_PIECE;
		}
		r->what = "read";
		rc = file_read(r->ds, a->ino, at, r->buf, READ_MAX, &len);
		if (rc || !len)
			return rc ? rc : -EIO;
		memset(r->buf + len, 0,
		       round_up(len, (size_t)MODEL_PIECE) - len);
		for (size_t i = 0; i < len; i += MODEL_PIECE)
			*sum += piece_digest(r->buf + i,
					     (at + i) / MODEL_PIECE);
		at += len;
	}
	return 0;
}

static int read_xattrs(struct reader *r, uint64_t ino, uint64_t *sum)
{
	char list[8192];
	size_t len = 0;
	int rc;

	r->what = "listxattr";
	rc = file_listxattr(r->ds, ino, list, sizeof(list), &len);
	for (size_t at = 0; rc == 0 && at < len; at += strlen(list + at) + 1) {
		size_t n = 0;

		r->what = "getxattr";
		rc = file_getxattr(r->ds, ino, list + at, r->buf, READ_MAX, &n);
		if (rc == 0)
			*sum += xattr_digest(list + at, r->buf, n);
	}
	return rc;
}

static int read_inode(struct reader *r, uint64_t *sum)
{
	const uint64_t ino = r->todo[r->done].ino;
	char target[SYMLINK_MAX + 1];
	struct file_attr a;
	struct inode_blob b;
	int rc;

	r->ino = ino;
	r->what = "getattr";
	rc = file_getattr(r->ds, ino, &a);
	if (rc)
		return rc;
	blob_attr(&b, &a);
	rc = read_xattrs(r, ino, &b.xattrs);
	if (rc == 0 && S_ISDIR(a.mode))
		rc = read_dir(r, &b);
	else if (rc == 0 && S_ISREG(a.mode))
		rc = read_pieces(r, &a, &b.pieces);
	else if (rc == 0 && S_ISLNK(a.mode)) {
		r->what = "readlink";
		rc = file_readlink(r->ds, ino, target, sizeof(target));
		if (rc == 0)
			b.target = name_digest(target, strlen(target), 0);
	}
	*sum += blob_digest(&b);
	return rc;
}

static void note_user(void *arg, const char *key, const char *value)
{
	uint64_t *sum = arg;

	*sum += user_digest(key, value);
}

static int read_root(struct dataset *ds, const struct dataset_info *info,
		     uint64_t *digest, char *why, size_t cap)
{
	struct reader r = {.ds = ds, .buf = must_alloc(malloc(READ_MAX))};
	const char *at = strchr(info->name, '@');
	struct root_blob b;
	int rc = 0;

	memset(&b, 0, sizeof(b));
	b.id = info->id;
	b.parent = info->parent;
	b.automatic = info->automatic;
	if (!info->snapshot) {
		blob_properties(&b, &info->properties);
		dataset_each_user(ds, note_user, &b.user);
	}
	todo_add(&r, MODEL_ROOT_INO, MODEL_ROOT_INO, false);
	for (; r.done < r.nr && rc == 0; r.done++)
		rc = read_inode(&r, &b.tree);
	if (rc)
		snprintf(why, cap, "%s: ino %ju %s: %s", info->name,
			 (uintmax_t)r.ino, r.what, strerror(-rc));
	free(r.buf);
	free(r.todo);
	*digest = root_digest(&b, at ? at + 1 : info->name);
	return rc;
}

int model_digest_pool(struct pool *pool, bool (*want)(const char *name),
		      void (*fn)(void *arg, const char *name, uint64_t digest),
		      void *arg, char *why, size_t cap)
{
	uint32_t *ids = NULL;
	size_t nr = 0;
	int rc = dataset_list(pool, 0, &ids, &nr);

	if (rc)
		snprintf(why, cap, "the list of datasets: %s", strerror(-rc));
	for (size_t i = 0; i < nr && rc == 0; i++) {
		uint32_t *snaps = NULL, id = ids[i];
		size_t nr_snaps = 0;

		rc = dataset_list(pool, id, &snaps, &nr_snaps);
		for (size_t k = 0; k <= nr_snaps && rc == 0; k++) {
			struct dataset_info info;
			struct dataset *ds;
			uint64_t digest;

			if (k)
				id = snaps[k - 1];
			rc = dataset_open_id(pool, id, &ds);
			if (rc) {
				snprintf(why, cap, "open of root %u: %s", id,
					 strerror(-rc));
				break;
			}
			dataset_info(ds, &info);
			if (want(info.name)) {
				rc = read_root(ds, &info, &digest, why, cap);
				if (rc == 0)
					fn(arg, info.name, digest);
			}
			dataset_put(ds);
		}
		free(snaps);
	}
	free(ids);
	return rc;
}
