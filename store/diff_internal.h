/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diff_internal.h - shared by diff*.c and unique.c
 *
 * diff.c collects what changed and reports it, diff_walk.c compares two trees
 * item by item, diff_path.c finds paths.
 *
 * All of it works on roots that dataset_hold_root() holds: their nodes do not
 * change and do not go away, so no lock is needed and reads may wait for the
 * device.
 */
#ifndef DBS_STORE_DIFF_INTERNAL_H
#define DBS_STORE_DIFF_INTERNAL_H

#include "store/btree.h"
#include "store/idmap.h"
#include "store/node.h"
#include "store/node_cache.h"

/* -- diff_walk.c: moving through held trees -------------------------------- */

/*
 * A place in a tree: before a subtree that was not entered yet, at an item,
 * or at the end.
 */
struct tree_walk {
	struct node_cache *nc;
	struct {
		struct node *node; /* held */
		uint32_t slot;
	} frame[NODE_LEVEL_MAX]; /* by level */
	uint8_t top;		 /* level of the root */
	enum { WALK_SUBTREE, WALK_ITEM, WALK_END } at;
	struct key low; /* nothing from here on is lower */
	/* WALK_SUBTREE: its root */
	uint64_t blkno, txg;
	uint8_t level;
	/* WALK_ITEM: good until the walk moves on */
	struct node_item item;
	struct key last; /* item seen last, if any */
	bool any;
};

/** Before all of @root's tree. */
void tree_walk_init(struct tree_walk *w, struct node_cache *nc,
		    const struct tree_root *root);
void tree_walk_release(struct tree_walk *w);
/** From before a subtree into it.  Errors: -EIO, -EBADMSG, -EUCLEAN, -ENOMEM */
int tree_walk_enter(struct tree_walk *w);
/** Past the subtree or item. */
int tree_walk_skip(struct tree_walk *w);
/** On to the next item, entering what is in between; WALK_END at the end. */
int tree_walk_next_item(struct tree_walk *w);

/**
 * The first item with a key >= @key; @w is initialised by it, and must be
 * released if that returned 0.
 */
int tree_walk_seek(struct tree_walk *w, struct node_cache *nc,
		   const struct tree_root *root, const struct key *key);

/** A node of a held tree, held, and of the level that was meant. */
int tree_node_load(struct node_cache *nc, uint64_t blkno, uint64_t txg,
		   uint8_t level, struct node **node);

/* One item that differs; NULL: it is not in that tree. */
typedef int tree_diff_fn(void *arg, const struct key *key,
			 const struct node_item *old_item,
			 const struct node_item *new_item);
/** Call @fn for each item that differs, in order of key; a nonzero return
 * ends it. */
int tree_diff(struct node_cache *nc, const struct tree_root *old_root,
	      const struct tree_root *new_root, tree_diff_fn *fn, void *arg);

/* -- diff_path.c: paths ----------------------------------------------------- */

/* A name of an inode. */
struct path_name {
	uint64_t ino;
	uint64_t dir;
	char *name; /* NULL: not found */
	bool is_dir;
	bool wanted; /* its entry has to be looked for */
};

/* Names in one tree. */
struct path_finder {
	struct node_cache *nc;
	struct tree_root root;
	struct idmap names;
	uint64_t nr_wanted;
};

void path_finder_init(struct path_finder *p, struct node_cache *nc,
		      const struct tree_root *root);
void path_finder_release(struct path_finder *p);
/** It is known that @ino is called @name in directory @dir. */
int path_finder_know(struct path_finder *p, uint64_t ino, uint64_t dir,
		     const char *name, size_t len);
/** The path of @ino will be asked for. */
int path_finder_want(struct path_finder *p, uint64_t ino, bool is_dir);
/** Find what was wanted; one scan of all directory entries at most. */
int path_finder_find(struct path_finder *p);
/** The path of @ino, malloc'd.  What was not found is "(inode N)".
 * Errors: -ENOMEM, and those of reading */
int path_finder_path(struct path_finder *p, uint64_t ino, char **path);

/** The inode item of @ino.  Errors: -ENOENT */
int tree_inode(struct node_cache *nc, const struct tree_root *root,
	       uint64_t ino, struct inode_item *item);
/** The entry in @it, or NULL when it is malformed. */
const struct dirent_item *tree_dirent(const struct node_item *it);

#endif
