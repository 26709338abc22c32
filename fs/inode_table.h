/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inode_table.h - what the kernel's node ids stand for
 *
 * Below: store/.  Above: fs_ops.c and op_*.c.
 *
 * A node is one inode that the kernel knows, or one of the directories that
 * exist only in the mount: the top, and '.dbs' and '.dbs/snapshot' of a
 * dataset.  A node id is the node's address (1: the top) and says nothing to
 * anybody: st_ino is made from the dataset's id and the inode number.
 *
 * A view is one generation of one dataset or snapshot (or one of several: V5).
 * All nodes of a tree share it.  A restore leaves the old view to the nodes that have it, stale
 * for good, and lookups from then on find a new one: so a node from before a
 * restore can never reach the files from after it.
 *
 * Invariants:
 *  V1  there is one node for each (view, inode number) that the kernel knows,
 *      and it lives until the kernel forgot all lookups of it.
 *  V2  between view_enter() and view_leave() no restore changes the dataset:
 *      view_pause() waits for those inside and keeps others out.
 *  V3  a view that was marked stale stays so; view_enter() gives -ESTALE.
 *  V4  a node whose inode was to lose a name holds it (file_hold): the kernel
 *      may come back to it until it forgets the node.
 *  V5  a restore leaves the views of the dataset's snapshots to the nodes that
 *      have them, good as before, and lookups from then on find new ones: the
 *      kernel has one path for a directory, and where a file in it is open
 *      below the dataset's old root, it may find no time to move that path
 *      below the new one, and says ESTALE.
 */
#ifndef DBS_FS_INODE_TABLE_H
#define DBS_FS_INODE_TABLE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

struct inode_table;

#define NODE_ID_TOP UINT64_C(1)

/* Inode number of a dataset's root directory. */
#define INO_DATASET_ROOT UINT64_C(1)
/* Of the virtual directories; the store never gets as far as these. */
#define INO_DBS	      ((UINT64_C(1) << 40) - 1)
#define INO_SNAPSHOTS ((UINT64_C(1) << 40) - 2)

enum view_state {
	VIEW_OPEN,
	VIEW_PAUSED, /* a restore is about to run, or running */
	VIEW_STALE,
};

struct view {
	/* immutable */
	struct dataset *ds; /* a reference */
	uint32_t id;
	uint64_t generation;
	bool snapshot;
	uint32_t parent; /* a snapshot's dataset, else 0 */
	/* atomic */
	_Atomic unsigned state;
	_Atomic uint64_t refs; /* falls to 0 under table->views_lock only */
	/* under table->views_lock */
	bool left; /* V5 */
	struct view *next;
};

enum node_kind {
	NODE_TOP,	/* lists the datasets */
	NODE_FILE,	/* any inode of a dataset or snapshot */
	NODE_DBS,	/* '.dbs' of a dataset */
	NODE_SNAPSHOTS, /* '.dbs/snapshot' of a dataset */
};

struct node {
	/* immutable */
	struct view *view; /* NULL: the top */
	uint64_t ino;
	enum node_kind kind;
	/* atomic */
	_Atomic uint32_t privs; /* see op_attr.c */
	_Atomic uint32_t nr_open;
	_Atomic uint32_t caps_taken_by; /* pid; see op_attr.c */
	_Atomic bool held;		/* V4 */
	/* under the shard's lock */
	uint64_t nr_lookups;
	struct node *next;
};

int inode_table_new(struct pool *pool, struct inode_table **table);
/** Drop all nodes, whatever the kernel still thinks; no op may be running. */
void inode_table_free(struct inode_table *table);

static inline uint64_t node_id(const struct node *node)
{
	return node->kind == NODE_TOP ? NODE_ID_TOP : (uint64_t)(uintptr_t)node;
}
struct node *node_of_id(struct inode_table *table, uint64_t id);

/**
 * The node of @ino in @view, one more lookup counted.  -ENOMEM
 * Owner: the kernel, which gives it back by FORGET: node_forget()
 */
int node_lookup(struct inode_table *table, struct view *view, uint64_t ino,
		struct node **node);
/**
 * A name of @ino is about to go; whoever calls is inside @view.  V4.
 * Errors: as file_hold()
 */
int node_hold(struct inode_table *table, struct view *view, uint64_t ino);
void node_forget(struct inode_table *table, struct node *node,
		 uint64_t nr_lookups);
/** Does the kernel know @ino of @view at this moment? */
bool node_is_known(struct inode_table *table, struct view *view, uint64_t ino);
/** Id of the node of (@id's newest view, @ino) if the kernel knows it, or 0. */
uint64_t node_find_id(struct inode_table *table, uint32_t id, uint64_t ino);
/** Ids of open nodes and roots in stale views of @id; *ids is malloc'd. */
int node_list_stale(struct inode_table *table, uint32_t id, uint64_t **ids,
		    size_t *nr);
/** The same of all files of @id, in any view, open or not. */
int node_list_files(struct inode_table *table, uint32_t id, uint64_t **ids,
		    size_t *nr);

/* -- views ---------------------------------------------------------------- */

/**
 * The view of @ds as it is now; takes over the reference to @ds, also on
 * error.  Waits while @ds is paused.  Errors: -ENOMEM
 */
int view_open(struct inode_table *table, struct dataset *ds,
	      struct view **view);
void view_close(struct inode_table *table, struct view *view);

/* Where one thread notes what it is inside of. */
struct view_slot {
	_Alignas(64) _Atomic(struct view *) in[2];
};
#define VIEW_SLOTS_MAX 256
/** A slot for the calling thread's lifetime, or NULL: there are no more. */
struct view_slot *view_slot_take(struct inode_table *table);

void view_wait_resumed(struct inode_table *table, struct view *view);

/** V2.  Errors: -ESTALE */
static inline int view_enter(struct inode_table *table, struct view_slot *slot,
			     struct view *view)
{
	unsigned state;

	for (;;) {
		/* ordered against view_pause(): store, then load */
		atomic_store(&slot->in[0], view);
		state = atomic_load(&view->state);
		if (state == VIEW_OPEN)
			return 0;
		atomic_store(&slot->in[0], NULL);
		if (state == VIEW_STALE)
			return -ESTALE;
		view_wait_resumed(table, view);
	}
}
/** Both or neither, so that two restores and two threads can't lock up. */
int view_enter_both(struct inode_table *table, struct view_slot *slot,
		    struct view *a, struct view *b);
static inline void view_leave(struct view_slot *slot)
{
	atomic_store_explicit(&slot->in[0], NULL, memory_order_release);
	atomic_store_explicit(&slot->in[1], NULL, memory_order_release);
}

/** Keep everybody out of @id's views and wait until nobody is inside. */
void view_pause(struct inode_table *table, uint32_t id);
/** Let them in again; @stale: the tree they had is gone. */
void view_resume(struct inode_table *table, uint32_t id, bool stale);
/** The dataset was destroyed. */
void view_mark_stale(struct inode_table *table, uint32_t id);

#endif
