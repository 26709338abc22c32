/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.h - what a pool should hold, kept in plain memory
 *
 * Below: the store's public types.  Above: model_run.h, the model and crash
 * tests.
 *
 * A state is a list of roots (datasets and snapshots), a root a tree of
 * inodes, an inode its attributes and 4 KiB pieces of data.  States, trees,
 * inodes and pieces are shared by reference count and copied before they
 * change, so a test can keep the state after every operation it ran.
 *
 * Invariants:
 *  M1  what has more than one reference never changes; model_edit() and
 *      model_root_edit() see to it.
 *  M2  bytes of a piece beyond the file's size are zero.
 *  M3  an inode with nlink 0 is in the tree only while a test has it open;
 *      model_compare() does not look at it.
 */
#ifndef DBS_TESTS_MODEL_H
#define DBS_TESTS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

#define MODEL_PIECE	4096u
#define MODEL_ROOT_INO	UINT64_C(1)
#define MODEL_USER_KEYS 3u

struct model_chunk {
	uint32_t refs;
	uint8_t bytes[MODEL_PIECE];
};

struct model_piece {
	uint64_t index; /* file offset / MODEL_PIECE */
	struct model_chunk *chunk;
};

struct model_name {
	char *name;
	uint64_t ino;
};

struct model_xattr {
	char *name;
	uint8_t *value;
	size_t len;
};

struct model_inode {
	uint32_t refs;
	struct file_attr attr; /* as the store must report; blocks is not */
	struct model_piece *pieces; /* by index */
	size_t nr_pieces, cap_pieces;
	struct model_name *names; /* directory: by name */
	size_t nr_names, cap_names;
	struct model_xattr *xattrs; /* by name */
	size_t nr_xattrs, cap_xattrs;
	uint64_t parent; /* directory */
	char *target;	 /* symlink */
};

struct model_tree {
	uint32_t refs;
	struct model_inode **inodes; /* by ino */
	size_t nr, cap;
};

struct model_root {
	uint32_t id;
	uint32_t parent; /* a snapshot's dataset, else 0 */
	bool automatic;
	char name[64]; /* "DS", or of a snapshot the part after '@' */
	struct dataset_properties properties; /* of a dataset */
	char user[MODEL_USER_KEYS][16];	      /* "": not set */
	struct model_tree *tree;
};

struct model_state {
	struct model_root *roots; /* snapshots by creation */
	size_t nr, cap;
};

/* -- states and roots ------------------------------------------------------ */

void model_state_copy(struct model_state *to, const struct model_state *from);
void model_state_release(struct model_state *s);
struct model_root *model_find(const struct model_state *s, uint32_t id);
/** The dataset (@parent 0) or snapshot of @parent with that name, or NULL. */
struct model_root *model_find_name(const struct model_state *s, uint32_t parent,
				   const char *name);
/** Append a root with @tree, of which it takes a reference of its own. */
struct model_root *model_add(struct model_state *s, uint32_t id,
			     uint32_t parent, const char *name,
			     struct model_tree *tree);
void model_remove(struct model_state *s, uint32_t id);
/** Forget inodes without a name, as a crash or reopen does. */
void model_drop_unnamed(struct model_state *s);

/* -- trees and inodes ------------------------------------------------------ */

/** A tree with an empty root directory that has @attr; one reference. */
struct model_tree *model_tree_new(const struct file_attr *attr);
void model_tree_put(struct model_tree *t);
/** Did no operation change anything between the two?  Each that does gives
 * some inode a new time. */
bool model_tree_same(const struct model_tree *a, const struct model_tree *b);
/** NULL when there is none. */
struct model_inode *model_inode(const struct model_tree *t, uint64_t ino);
/** The root's own tree, to be changed. */
struct model_tree *model_root_edit(struct model_root *r);
/** The root's own inode, to be changed; it must exist. */
struct model_inode *model_edit(struct model_root *r, uint64_t ino);
struct model_inode *model_inode_add(struct model_root *r,
				    const struct file_attr *attr);
void model_inode_remove(struct model_root *r, uint64_t ino);

/** 0 when there is no such name. */
uint64_t model_name_find(const struct model_inode *dir, const char *name);
/** Add or replace; the caller edits link counts. */
void model_name_set(struct model_inode *dir, const char *name, uint64_t ino);
void model_name_remove(struct model_inode *dir, const char *name);

const struct model_xattr *model_xattr_find(const struct model_inode *in,
					   const char *name);
void model_xattr_set(struct model_inode *in, const char *name,
		     const void *value, size_t len);
void model_xattr_remove(struct model_inode *in, const char *name);

/* -- data; sizes follow as write(2) and ftruncate(2) would do -------------- */

void model_data_write(struct model_inode *in, uint64_t offset, const void *buf,
		      size_t len);
/** Zeros in [offset, offset + len); the size stays. */
void model_data_zero(struct model_inode *in, uint64_t offset, uint64_t len);
void model_data_truncate(struct model_inode *in, uint64_t size);
/** Fills @buf with zeros beyond the end. */
void model_data_read(const struct model_inode *in, uint64_t offset, void *buf,
		     size_t len);
/** The first offset >= @offset whose byte is not zero; UINT64_MAX: none. */
uint64_t model_data_next(const struct model_inode *in, uint64_t offset);

/* -- against the store ----------------------------------------------------- */

/**
 * Read all that @pool holds and compare it with @s.
 * @why: out, the first difference
 * Returns true when they are equal.
 */
bool model_compare(const struct model_state *s, struct pool *pool, char *why,
		   size_t cap);
/** The same, but @pool may hold datasets that @s does not name. */
bool model_compare_named(const struct model_state *s, struct pool *pool,
			 char *why, size_t cap);
/** The same for one root's tree. */
bool model_compare_tree(const struct model_tree *t, struct dataset *ds,
			char *why, size_t cap);

#endif
