/* SPDX-License-Identifier: Apache-2.0 */
/* op_dir.c - opening and reading directories */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/fs_ops.h"

/*
 * The handle of a virtual directory: what it listed when it was opened, or
 * rewound, so that positions keep their meaning.  Real ones have FH_* bits.
 */
struct listing {
	uint32_t *ids;
	size_t nr;
};

/* -- open and close ------------------------------------------------------- */

static bool is_listed(const struct node *node)
{
	return node->kind == NODE_TOP || node->kind == NODE_SNAPSHOTS;
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct worker *w = worker_self();
	struct node *node = fs_node(w, ino);
	struct listing *listing = NULL;
	int rc = 0;

	fi->fh = 0;
	if (is_listed(node)) {
		listing = calloc(1, sizeof(*listing));
		if (!listing)
			rc = -ENOMEM;
		fi->fh = (uint64_t)(uintptr_t)listing;
	} else if (node->kind == NODE_FILE) {
		rc = fs_enter(w, node);
		if (rc == 0) {
			rc = file_open(node->view->ds, node->ino, false);
			fs_leave(w);
		}
		fi->fh = FH_HELD;
	}
	if (rc) {
		fuse_reply_err(req, -rc);
		return;
	}
	if (node->kind == NODE_FILE)
		atomic_fetch_add(&node->nr_open, 1);
	if (fuse_reply_open(req, fi) == 0)
		return;
	/* interrupted: there will be no releasedir */
	free(listing);
	if (node->kind == NODE_FILE) {
		atomic_fetch_sub(&node->nr_open, 1);
		file_close(node->view->ds, node->ino, false);
	}
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct worker *w = worker_self();
	struct node *node = fs_node(w, ino);
	struct listing *listing;

	if (is_listed(node)) {
		listing = (struct listing *)(uintptr_t)fi->fh;
		free(listing->ids);
		free(listing);
	} else if (fi->fh & FH_HELD) {
		atomic_fetch_sub(&node->nr_open, 1);
		file_close(node->view->ds, node->ino, false);
	}
	fuse_reply_err(req, 0);
}

void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
		 struct fuse_file_info *fi)
{
	struct worker *w = worker_self();
	const struct node *node = fs_node(w, ino);
	int rc = 0;

	(void)datasync;
	(void)fi;
	if (node->kind == NODE_FILE) {
		rc = fs_enter(w, node);
		if (rc == 0) {
			rc = file_fsync(node->view->ds, node->ino);
			fs_leave(w);
		}
	}
	fuse_reply_err(req, -rc);
}

/* -- reading -------------------------------------------------------------- */

struct dir_buf {
	struct worker *w;
	struct view *view;
	bool plus;
	uint8_t *at, *end; /* where the next entry goes */
};

/*
 * Room for one entry, filled but for the attributes of the plus form, which
 * are zero: that says "no attributes".  NULL: full.
 */
static struct fuse_entry_out *dir_put(struct dir_buf *b, const char *name,
				      size_t len, uint64_t ino, uint32_t mode,
				      uint64_t cookie)
{
	size_t head = b->plus ? sizeof(struct fuse_entry_out) : 0;
	size_t size = FUSE_DIRENT_ALIGN(head + FUSE_NAME_OFFSET + len);
	struct fuse_entry_out *entry = (void *)b->at;
	struct fuse_dirent *d = (void *)(b->at + head);

	if (size > (size_t)(b->end - b->at))
		return NULL;
	memset(b->at, 0, size);
	d->ino = ino;
	d->off = cookie;
	d->namelen = (uint32_t)len;
	d->type = (mode & S_IFMT) >> 12;
	memcpy(d->name, name, len);
	b->at += size;
	return entry;
}

static bool is_dot(const char *name, size_t len)
{
	return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

static int dir_add(void *arg, const char *name, size_t len,
		   const struct file_attr *a, uint64_t cookie)
{
	struct dir_buf *b = arg;
	struct fuse_entry_out *entry;

	entry = dir_put(b, name, len, (uint64_t)b->view->id << 40 | a->ino,
			a->mode, cookie);
	if (!entry)
		return 1;
	/* without memory for a node the kernel looks the name up later */
	if (!b->plus || is_dot(name, len))
		return 0;
	/*
	 * A name may be made in this directory, or a mapping of this file be
	 * written back, before the kernel has read the answer; it does not see
	 * then that these times and blocks are old.  Of other writes it knows.
	 * What it knows of a directory stays as it is, so.
	 */
	if (S_ISDIR(a->mode) &&
	    node_is_known(fs_of(b->w)->table, b->view, a->ino))
		return 0;
	if (fs_entry_fill(b->w, b->view, a, entry)) {
		memset(entry, 0, sizeof(*entry));
		return 0;
	}
	if (S_ISDIR(a->mode) ||
	    atomic_load(&fs_node(b->w, entry->nodeid)->nr_open))
		entry->attr_valid = 0;
	return 0;
}

static int read_file_dir(struct worker *w, const struct node *node,
			 uint64_t cookie, struct dir_buf *b)
{
	int rc;

	rc = fs_enter(w, node);
	if (rc)
		return rc;
	b->view = node->view;
	rc = file_readdir(node->view->ds, node->ino, cookie, b->plus, dir_add,
			  b);
	fs_leave(w);
	/* removed while it was open */
	return rc == -ENOENT ? 0 : rc;
}

/* '.' and '..' have cookies 1 and 2 everywhere. */
static bool put_dots(struct dir_buf *b, uint64_t *cookie, uint64_t ino)
{
	for (; *cookie < 2; ++*cookie)
		if (!dir_put(b, "..", *cookie + 1, ino, S_IFDIR, *cookie + 1))
			return false;
	return true;
}

static int listing_refresh(struct worker *w, const struct node *node,
			   struct listing *l)
{
	uint32_t parent = node->kind == NODE_TOP ? 0 : node->view->id;
	uint32_t *ids;
	size_t nr;
	int rc;

	rc = dataset_list(fs_of(w)->pool, parent, &ids, &nr);
	if (rc == -ENOENT)
		rc = -ESTALE;
	if (rc)
		return rc;
	free(l->ids);
	l->ids = ids;
	l->nr = nr;
	return 0;
}

static int read_listing(struct worker *w, const struct node *node,
			struct listing *l, uint64_t cookie, struct dir_buf *b)
{
	struct dataset_info info;
	struct dataset *ds;
	const char *name;
	int rc = 0;

	if (cookie == 0)
		rc = listing_refresh(w, node, l);
	if (rc || !put_dots(b, &cookie, node->kind == NODE_TOP ? 1 : node->ino))
		return rc;
	for (size_t i = cookie - 2; i < l->nr; i++) {
		if (dataset_open_id(fs_of(w)->pool, l->ids[i], &ds))
			continue; /* gone meanwhile */
		dataset_info(ds, &info);
		dataset_put(ds);
		name = strchr(info.name, '@');
		name = name ? name + 1 : info.name;
		if (!dir_put(b, name, strlen(name),
			     (uint64_t)info.id << 40 | INO_DATASET_ROOT,
			     S_IFDIR, i + 3))
			break;
	}
	return 0;
}

static int read_dbs(const struct node *node, uint64_t cookie, struct dir_buf *b)
{
	if (put_dots(b, &cookie, node->ino) && cookie == 2)
		dir_put(b, "snapshot", strlen("snapshot"),
			(uint64_t)node->view->id << 40 | INO_SNAPSHOTS, S_IFDIR,
			3);
	return 0;
}

static void readdir_common(fuse_req_t req, fuse_ino_t ino, size_t size,
			   off_t offset, struct fuse_file_info *fi, bool plus)
{
	struct worker *w = worker_self();
	const struct node *node = fs_node(w, ino);
	struct dir_buf b = {
		.w = w,
		.plus = plus,
		.at = w->data,
		.end = w->data + MIN_OF(size, (size_t)SESSION_IO_MAX),
	};
	uint64_t cookie = (uint64_t)offset;
	int rc;

	if (is_listed(node))
		rc = read_listing(w, node, (struct listing *)(uintptr_t)fi->fh,
				  cookie, &b);
	else if (node->kind == NODE_DBS)
		rc = read_dbs(node, cookie, &b);
	else
		rc = read_file_dir(w, node, cookie, &b);
	/* what was put already is good; the error comes again */
	if (rc && b.at == w->data)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_buf(req, (const char *)w->data,
			       (size_t)(b.at - w->data));
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *fi)
{
	readdir_common(req, ino, size, offset, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	readdir_common(req, ino, size, offset, fi, true);
}
