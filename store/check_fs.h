/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_fs.h - shared by check_fs.c (items, in order) and check_links.c (what
 * they amount to: names, links, paths)
 */
#ifndef DBS_STORE_CHECK_FS_H
#define DBS_STORE_CHECK_FS_H

#include "store/check_internal.h"

/* An inode of the tree that is being checked. */
struct fs_inode {
	uint64_t ino;
	uint64_t parent;   /* a directory's, as its item says */
	uint64_t named_in; /* directory of the last entry that names it */
	uint32_t mode;	   /* 0: no item */
	uint32_t nlink;
	uint32_t nr_names;  /* entries that name it */
	uint32_t flags;	    /* INODE_* */
	uint8_t named_type; /* DT_* in that entry */
	uint8_t orphan;	    /* ORPHAN_*, 0: none */
	bool reached;	    /* from the root directory */
};

/* A finding that waits for the inode's path. */
struct fs_finding {
	uint64_t ino;
	char *text;
};

/* Attribute whose chunks are coming. */
struct fs_xattr {
	uint64_t where; /* offset >> 8, 0: none */
	uint64_t left;	/* bytes of its value still missing */
	uint32_t next;	/* chunk */
};

/* The inode whose items are coming. */
struct fs_current {
	uint64_t ino;
	bool has_item;
	struct inode_item item;
	uint64_t nr_entries, nr_blocks, nr_xattrs, target_len;
	uint32_t nr_subdirs, next_chunk;
	struct fs_xattr xattr;
	const uint8_t *name; /* none, or the last entry's, in name_copy */
	uint8_t name_copy[NAME_LEN_MAX];
	uint8_t name_len;
	uint64_t name_hash;
};

/* Items that were in a node that cannot be read: [lo, hi). */
struct fs_lost {
	uint64_t blkno;
	struct key lo, hi;
};

struct fs_check {
	struct check *c;
	const struct check_dataset *d;
	uint64_t previous_txg;
	struct walk w;
	struct tree_totals t;
	struct idmap inodes; /* struct fs_inode */
	struct fs_current cur;
	struct fs_finding *findings;
	size_t nr_findings;
	struct fs_lost *lost; /* FS_LOST_MAX */
	size_t nr_lost;
	int error; /* no memory: noticed at the next item */
};

/** A finding about an inode; reported with its path when the walk is over. */
void fs_find(struct fs_check *f, uint64_t ino, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
#define FS_LOST_MAX 256u
/** For struct walk. */
int fs_lost(struct walk *w, uint64_t blkno, const struct key *lo,
	    const struct key *hi);
/** Find the files that what was lost belongs to. */
void fs_check_lost(struct fs_check *f);
/** Names and link counts, once all items were seen. */
void fs_check_links(struct fs_check *f);
/** Report what waits, with paths if @rc, so far, is 0; returns the new rc. */
int fs_report(struct fs_check *f, int rc);

/** The entry in @it, or NULL when it is malformed. */
const struct dirent_item *fs_dirent(const struct node_item *it);

#endif
