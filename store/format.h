/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format.h - the bytes on disk
 *
 * Below: le.h.  Above: every module that reads or writes the device.
 * In words, with the rules that the structs cannot say:
 * docs/on-disk-format.md.
 *
 * All integers are little-endian; keys inside nodes are big-endian so that
 * memcmp() orders them.  A blkno counts 4 KiB blocks from the device's start.
 */
#ifndef DBS_STORE_FORMAT_H
#define DBS_STORE_FORMAT_H

#include <stddef.h>

#include "store/le.h"

#define BLOCK_SHIFT 12
#define BLOCK_SIZE  (1u << BLOCK_SHIFT)

/* ---- metadata blocks ---------------------------------------------------- */

/*
 * Every metadata block starts with this header.
 *
 * | offset | length | meaning                                            |
 * |--------|--------|----------------------------------------------------|
 * | 0      | 8      | XXH3-64 of bytes [8, 4096), seeded with the type   |
 * | 8      | 4      | type, META_*                                       |
 * | 12     | 4      | reserved, zero                                     |
 * | 16     | 8      | pool id: the first 8 bytes of the pool's UUID      |
 * | 24     | 8      | this block's own number                            |
 * | 32     | 8      | txg the block was written in (a node: its birth)   |
 */
struct meta_header {
	struct le64 csum;
	struct le32 type;
	struct le32 reserved;
	struct le64 pool_id;
	struct le64 blkno;
	struct le64 txg;
};
_Static_assert(sizeof(struct meta_header) == 40, "meta_header");

#define META_SUPERBLOCK	  UINT32_C(0x42505553) /* SUPB */
#define META_NODE	  UINT32_C(0x45444f4e) /* NODE */
#define META_SPACE_REGION UINT32_C(0x474d5253) /* SRMG */
#define META_SPACE_INDEX  UINT32_C(0x58494d53) /* SMIX */
#define META_ILOG_BATCH	  UINT32_C(0x474f4c49) /* ILOG */
/* seed for the checksum of a record's stored bytes */
#define META_RECORD UINT32_C(0x44434552) /* RECD */

/*
 * A pointer to a node of a B+tree: its block and the txg it was born in, so
 * that an old block at the right place is not taken for it.  10 bytes.
 */
struct node_ptr {
	struct le40 blkno; /* 0: no node, an empty tree */
	struct le40 txg;
};
_Static_assert(sizeof(struct node_ptr) == 10, "node_ptr");

/* The root of a tree.  12 bytes. */
struct tree_ptr {
	struct node_ptr node;
	uint8_t level; /* of the root node; 0: it is a leaf */
	uint8_t reserved;
};
_Static_assert(sizeof(struct tree_ptr) == 12, "tree_ptr");

/* ---- space map ---------------------------------------------------------- */

/*
 * The device is cut into regions of REGION_BLOCKS blocks; the last may be
 * short.  A region starts with blocks that are never allocated:
 *
 * | blocks  | region             | use                                     |
 * |---------|--------------------|-----------------------------------------|
 * | 0..15   | 0                  | superblock ring, first copy             |
 * | 0..15   | 1                  | superblock ring, second copy            |
 * | +0, +1  | every region       | slots 0 and 1 of the region's counts    |
 * | +2, +3  | r % FANOUT == 0    | slots of the level-1 index block r/FANOUT |
 * | +4, +5  | r % FANOUT^2 == 0  | slots of the level-2 index block          |
 *
 * where + is 16 in regions 0 and 1, behind the ring, and 0 elsewhere.
 * region_reserved() counts them; a short last region has more blocks than
 * that, or it is not used.
 */
#define REGION_BLOCKS	     4032u
#define REGION_SLOT_COUNTS   0u
#define REGION_SLOT_INDEX1   2u
#define REGION_SLOT_INDEX2   4u
#define SPACE_INDEX_FANOUT   168u
#define SPACE_INDEX2_MAX     64u /* level-2 entries in the superblock: 29 TB */
#define SPACE_COUNT_MAX	     254u
#define SPACE_COUNT_OVERFLOW 255u /* the count is in the space tree */

/* The counts of one region: one byte a block. */
struct space_region {
	struct meta_header h;
	struct le16 nr_free; /* counts that are 0 */
	uint8_t reserved[22];
	uint8_t count[REGION_BLOCKS];
};
_Static_assert(sizeof(struct space_region) == BLOCK_SIZE, "space_region");

/*
 * Names the current slot of a region, or of an index block of the level
 * below.  Which slot is current is said here and nowhere else.  24 bytes.
 *
 * | offset | length | meaning                                            |
 * |--------|--------|----------------------------------------------------|
 * | 0      | 8      | the slot's header checksum                         |
 * | 8      | 8      | txg in the slot's header; 0: never written, all of |
 * |        |        | it free but what is reserved                       |
 * | 16     | 4      | free blocks below this entry                       |
 * | 20     | 1      | slot, 0 or 1                                       |
 * | 21     | 1      | SPACE_ENTRY_* flags                                |
 * | 22     | 2      | reserved, zero                                     |
 */
struct space_entry {
	struct le64 csum;
	struct le64 txg;
	struct le32 nr_free;
	uint8_t slot;
	uint8_t flags;
	struct le16 reserved;
};
_Static_assert(sizeof(struct space_entry) == 24, "space_entry");

/* counts are unreadable: nothing in the region is handed out or freed */
#define SPACE_ENTRY_DAMAGED 1u

struct space_index {
	struct meta_header h;
	uint8_t level; /* 1 or 2 */
	uint8_t reserved[23];
	struct space_entry entry[SPACE_INDEX_FANOUT];
};
_Static_assert(sizeof(struct space_index) == BLOCK_SIZE, "space_index");

#define SUPERBLOCK_RING 16u

/** First block, within region @r, of its slots. */
static inline uint32_t region_slots(uint64_t r)
{
	return r < 2 ? SUPERBLOCK_RING : 0;
}

/** Blocks at the start of region @r that are never allocated. */
static inline uint32_t region_reserved(uint64_t r)
{
	uint32_t nr = region_slots(r) + 2;

	if (r % SPACE_INDEX_FANOUT == 0)
		nr += 2;
	if (r % (SPACE_INDEX_FANOUT * SPACE_INDEX_FANOUT) == 0)
		nr += 2;
	return nr;
}

/** Block of @slot of region @r's counts. */
static inline uint64_t region_counts_blkno(uint64_t r, uint8_t slot)
{
	return r * REGION_BLOCKS + region_slots(r) + REGION_SLOT_COUNTS + slot;
}

/** Block of @slot of index block @i of @level, 1 or 2. */
static inline uint64_t space_index_blkno(uint8_t level, uint64_t i,
					 uint8_t slot)
{
	uint64_t r = level == 1 ? i * SPACE_INDEX_FANOUT
				: i * SPACE_INDEX_FANOUT * SPACE_INDEX_FANOUT;

	return r * REGION_BLOCKS + region_slots(r) +
	       (level == 1 ? REGION_SLOT_INDEX1 : REGION_SLOT_INDEX2) + slot;
}

/* ---- superblock --------------------------------------------------------- */

#define SUPERBLOCK_MAGIC      "dbspool\n"
#define SUPERBLOCK_VERSION    1u
#define POOL_NAME_MAX	      63
#define ILOG_SEGMENTS_MAX     32u
#define SUPERBLOCK_COPY_BLKNO (REGION_BLOCKS) /* second ring */

/* A run of blocks.  12 bytes. */
struct block_run {
	struct le64 first;
	struct le32 nr;
};
_Static_assert(sizeof(struct block_run) == 12, "block_run");

/*
 * Written twice per commit: slot (commit_seq % SUPERBLOCK_RING) of both
 * rings.  The valid one with the highest commit_seq wins.
 */
struct superblock {
	struct meta_header h;	    /*   0: h.txg: last txg it includes */
	uint8_t magic[8];	    /*  40 */
	struct le32 version;	    /*  48 */
	struct le32 block_size;	    /*  52 */
	struct le64 compat;	    /*  56: feature words */
	struct le64 ro_compat;	    /*  64 */
	struct le64 incompat;	    /*  72 */
	uint8_t uuid[16];	    /*  80 */
	uint8_t name[64];	    /*  96: NUL-padded */
	struct le64 commit_seq;	    /* 160 */
	struct le64 nr_blocks;	    /* 168 */
	struct le64 nr_free;	    /* 176 */
	struct le64 high_water;	    /* 184: first block never yet written */
	struct le64 created_sec;    /* 192 */
	struct le64 committed_sec;  /* 200 */
	struct le64 hash_seed;	    /* 208: of directory-entry hashes */
	struct le32 next_dataset;   /* 216: ids are never reused */
	struct le32 flags;	    /* 220: SUPERBLOCK_* */
	struct tree_ptr root_tree;  /* 224: names datasets and snapshots */
	struct tree_ptr space_tree; /* 236: large counts, dead roots */
	struct le64 ilog_epoch;	    /* 248: raised at each open for writing */
	struct le64 ilog_seq;	    /* 256: first batch that replay wants */
	struct le64 ilog_pos;	    /* 264: its block, counted in the ring */
	struct le64 ilog_prev_csum; /* 272: checksum of the batch before it */
	struct block_run delta_log; /* 280: space-map delta log; empty now */
	struct le64 delta_log_seq;  /* 292 */
	struct le32 ilog_skip;	    /* 300: of its log records, already in */
	uint8_t reserved[80];	    /* 304 */
	struct block_run ilog[ILOG_SEGMENTS_MAX];   /*  384 */
	struct space_entry space[SPACE_INDEX2_MAX]; /*  768 */
	uint8_t tail[1792];			    /* 2304 */
};
_Static_assert(sizeof(struct superblock) == BLOCK_SIZE, "superblock");
_Static_assert(offsetof(struct superblock, ilog) == 384, "ilog");
_Static_assert(offsetof(struct superblock, space) == 768, "space");

#define SUPERBLOCK_CLEAN 1u /* closed: nothing to replay, nothing orphaned */

/* ---- intent log --------------------------------------------------------- */

/*
 * One batch of log records in the ring, header first, padded to blocks.
 *
 * | offset | length | meaning                                            |
 * |--------|--------|----------------------------------------------------|
 * | 0      | 40     | header; blkno: position in the ring; txg: its      |
 * |        |        | first log record's                                 |
 * | 40     | 16     | pool UUID                                          |
 * | 56     | 8      | epoch                                              |
 * | 64     | 8      | sequence number                                    |
 * | 72     | 8      | header checksum of the previous batch              |
 * | 80     | 8      | last sequence number known flushed                 |
 * | 88     | 8      | last committed txg                                 |
 * | 96     | 4      | blocks in the batch, this one included             |
 * | 100    | 4      | log records in the batch                           |
 * | 104    | 8      | bytes of log records, from offset 128 on           |
 * | 112    | 8      | XXH3-64 of those bytes                             |
 * | 120    | 8      | stamp: XXH3-64 of epoch, sequence number and       |
 * |        |        | position (3 le64), seeded with hash_seed           |
 *
 * The stamp is what nobody without the superblock can make, so bytes that a
 * user wrote and that passed through the log never look like a batch.
 */
struct ilog_batch {
	struct meta_header h;
	uint8_t uuid[16];
	struct le64 epoch;
	struct le64 seq;
	struct le64 prev_csum;
	struct le64 flushed_seq;
	struct le64 committed_txg;
	struct le32 nr_blocks;
	struct le32 nr_records;
	struct le64 length;
	struct le64 payload_csum;
	struct le64 stamp;
};
_Static_assert(sizeof(struct ilog_batch) == 128, "ilog_batch");

/* ---- B+tree nodes ------------------------------------------------------- */

/*
 * A key is (ino, type, offset) in KEY_SIZE bytes, big-endian: 5 + 1 + 7.
 *
 * | offset | length | meaning                                            |
 * |--------|--------|----------------------------------------------------|
 * | 0      | 40     | header                                             |
 * | 40     | 1      | level, 0: leaf                                     |
 * | 41     | 1      | length of the prefix that all keys share, 0..12    |
 * | 42     | 2      | number of items                                    |
 * | 44     | 2      | offset of the lowest byte used by items            |
 * | 46     | 2      | bytes above it that no item uses                   |
 * | 48     | 4      | id of the dataset it was written for (0: pool's)   |
 * | 52     | 12     | the prefix                                         |
 * | 64     | 2 * n  | slots: offset of each item, in key order           |
 *
 * An item is the key without the prefix, then for leaves the value's length
 * (2 bytes; absent where the type's length is fixed), then the value.  In an
 * inner node the value is a node_ptr and the key the lowest of that child;
 * the first child also takes all that is lower.
 */
#define KEY_SIZE	13u
#define NODE_PREFIX_MAX 12u
#define NODE_LEVEL_MAX	8u
#define NODE_ITEM_MAX	1280u /* key and value of one item */

struct node_header {
	struct meta_header h;
	uint8_t level;
	uint8_t prefix_len;
	struct le16 nr_items;
	struct le16 heap;
	struct le16 garbage;
	struct le32 owner;
	uint8_t prefix[NODE_PREFIX_MAX];
};
_Static_assert(sizeof(struct node_header) == 64, "node_header");

/* Item types.  In a dataset's tree (ino is the inode number): */
#define ITEM_INODE   1u /* offset 0: struct inode_item */
#define ITEM_XATTR   2u /* offset: hash | chunk: see XATTR_* */
#define ITEM_SYMLINK 3u /* offset: chunk number: target's bytes */
#define ITEM_DIRENT  4u /* offset: hash | collision: struct dirent_item */
#define ITEM_EXTENT  5u /* offset: file offset >> 12: struct extent_item */
#define ITEM_ORPHAN  6u /* ino 0, offset: inode number: struct orphan_item */
/* In the root tree (ino is the dataset's id): */
#define ITEM_DATASET  16u /* offset 0: struct dataset_item and two names */
#define ITEM_PROPERTY 17u /* offset: hash | collision: struct property_item */
#define ITEM_SCRUB    18u /* ino 0: struct scrub_item, scrub_finding_item */
/* In the space tree: */
#define ITEM_OVERFLOW 24u /* ino 0, offset: blkno: le32 count (fixed) */
#define ITEM_DEAD     25u /* ino 0, offset: serial: struct dead_item */

#define INO_ROOT   UINT64_C(1) /* a dataset's root directory */
#define INO_FIRST  UINT64_C(16)
#define INO_MAX	   LE40_MAX
#define OFFSET_MAX ((UINT64_C(1) << 56) - 1)

/*
 * A record of a file: where its stored bytes lie.  19 bytes, which with the
 * slot and the rest of the key makes 23 or 24 in a file's inner leaves.
 *
 * nr_blocks - 1 in bits 0..4 of meta, encoding in bits 5..7.  A zstd record
 * starts with the compressed length (le32).  A raw record may store fewer
 * blocks than recordsize: the rest reads as zeros.
 */
struct extent_item {
	struct le40 blkno;
	uint8_t meta;
	struct le64 csum;  /* of all stored blocks, seeded META_RECORD */
	struct le40 birth; /* txg in which it entered this dataset */
};
_Static_assert(sizeof(struct extent_item) == 19, "extent_item");

#define EXTENT_RAW	  0u
#define EXTENT_ZSTD	  1u
#define RECORD_BLOCKS_MAX 32u /* 128 KiB */

struct timespec_item {
	struct le64 sec; /* two's complement */
	struct le32 nsec;
};

struct inode_item {
	struct le32 mode;
	struct le32 uid;
	struct le32 gid;
	struct le32 nlink;
	struct le32 rdev_major;
	struct le32 rdev_minor;
	struct le64 size;      /* directories: number of entries */
	struct le64 nr_blocks; /* 4 KiB blocks of its records */
	struct timespec_item atime, mtime, ctime, btime;
	struct le64 parent; /* directories: inode number of '..' */
	struct le32 flags;  /* INODE_* */
	struct le32 nr_xattrs;
	struct le32 nr_subdirs; /* directories */
	uint8_t record_shift;	/* log2 of recordsize, fixed at creation */
	uint8_t reserved[7];
};
_Static_assert(sizeof(struct inode_item) == 116, "inode_item");

#define INODE_TRUNCATING 1u /* an orphan item says from where */

/* followed by the name */
struct dirent_item {
	struct le40 ino;
	uint8_t type; /* DT_* of readdir(3) */
	uint8_t name_len;
};
_Static_assert(sizeof(struct dirent_item) == 7, "dirent_item");

/*
 * Offsets of dirents and properties: 48 bits of XXH3-64 of the name seeded
 * with the superblock's hash_seed, then 8 bits that number collisions.
 * Xattrs: 40 bits of hash, 8 of collision, 8 of chunk; chunk 0 starts with
 * the header below.
 */
#define HASH_COLLISIONS_MAX 256u
#define CHUNK_SIZE	    1024u
#define XATTR_VALUE_MAX	    65536u
#define NAME_LEN_MAX	    255u
#define SYMLINK_MAX	    4095u

/* followed in chunk 0 by the name, then the value runs through all chunks */
struct xattr_item {
	struct le32 value_len;
	uint8_t name_len;
};
_Static_assert(sizeof(struct xattr_item) == 5, "xattr_item");

/* An inode to be purged, or with extents beyond its end to be removed. */
struct orphan_item {
	uint8_t kind;	  /* ORPHAN_* */
	struct le64 from; /* ORPHAN_TRUNCATE: file offset, bytes */
};
_Static_assert(sizeof(struct orphan_item) == 9, "orphan_item");

#define ORPHAN_UNLINKED 1u
#define ORPHAN_TRUNCATE 2u

/* followed by name_len bytes of name (a snapshot: the part after '@') */
struct dataset_item {
	struct tree_ptr tree;	  /*   0 */
	struct le32 flags;	  /*  12: DATASET_* */
	struct le32 parent;	  /*  16: a snapshot's dataset */
	struct le32 origin;	  /*  20: snapshot it was cloned from, or 0 */
	struct le32 previous;	  /*  24: snapshot its lineage passes, or 0 */
	struct le64 created_txg;  /*  28 */
	struct le64 previous_txg; /*  36: births above it are its own */
	struct timespec_item created; /* 44 */
	struct le64 next_ino;	      /*  56 */
	struct le64 generation;	      /*  64: raised by restore */
	struct le64 referenced;	      /*  72: blocks that its records take */
	struct le64 logical;	      /*  80: bytes of its records, unpacked */
	struct le64 fresh;	      /*  88: blocks charged: see Datasets */
	struct le64 nr_inodes;	      /*  96 */
	struct le64 nr_orphans;	      /* 104 */
	struct le64 quota;	      /* 112: bytes charged, 0: none */
	struct le32 compression;      /* 120: zstd level, two's complement */
	uint8_t record_shift;	      /* 124 */
	uint8_t origin_len;  /* 125: of the origin's name, after name */
	uint8_t name_len;    /* 126 */
	uint8_t reserved[9]; /* 127 */
};
_Static_assert(sizeof(struct dataset_item) == 136, "dataset_item");

#define DATASET_SNAPSHOT  1u
#define DATASET_READONLY  2u
#define DATASET_RECOUNT	  4u /* fresh is stale; recount when opened */
#define DATASET_AUTOMATIC 8u /* a snapshot that restore made */

/* followed by the key, then the value */
struct property_item {
	struct le16 key_len;
	struct le16 value_len;
};
_Static_assert(sizeof(struct property_item) == 4, "property_item");

/*
 * How far the last scrub came (ino 0, offset 0), and what it found (offset
 * 1..nr_kept, each followed by the path).  Information only: a pool without
 * them is whole.
 */
struct scrub_item {
	uint8_t state;		/*  0: SCRUB_* */
	uint8_t phase;		/*  1: what is being read, SCRUB_PHASE_* */
	struct le16 nr_kept;	/*   2: findings that have an item */
	struct le32 dataset;	/*   4: the next to be read */
	uint8_t key[KEY_SIZE];	/*   8: and the first item in it */
	uint8_t reserved[3];	/*  21 */
	struct le64 started;	/*  24: seconds since 1970 */
	struct le64 ended;	/*  32 */
	struct le64 start_txg;	/*  40: what is younger was not there then */
	struct le64 rate;	/*  48: bytes a second, 0: no limit */
	struct le64 done;	/*  56: bytes */
	struct le64 total;	/*  64: bytes, about */
	struct le64 nr_nodes;	/*  72 */
	struct le64 nr_records; /*  80 */
	struct le64 nr_errors;	/*  88: damaged blocks and runs */
	struct le64 nr_found;	/*  96: what they touch */
	struct le64 active_ms;	/* 104: time that it took so far */
};
_Static_assert(sizeof(struct scrub_item) == 112, "scrub_item");

struct scrub_finding_item {
	uint8_t kind; /* SCRUB_FOUND_* */
	uint8_t level;
	struct le16 path_len;
	struct le32 dataset;
	struct le64 ino;
	struct le64 ino_end; /* a node: inodes [ino, ino_end) lie below */
	struct le64 offset;  /* in the file, bytes */
	struct le64 blkno;
	struct le32 nr_blocks;
};
_Static_assert(sizeof(struct scrub_finding_item) == 44, "scrub_finding_item");

/*
 * A tree that nothing names any more and whose blocks are being given back.
 * The reaper walks it depth first: stack[0..depth) are the nodes on its way,
 * each with the number of children that are already done.
 */
struct dead_frame {
	struct node_ptr node;
	struct le16 next;
};
struct dead_item {
	struct tree_ptr tree;
	uint8_t depth;
	uint8_t reserved[3];
	struct dead_frame stack[NODE_LEVEL_MAX];
};
_Static_assert(sizeof(struct dead_item) == 16 + 8 * 12, "dead_item");

/* ---- log records --------------------------------------------------------- */

/*
 * A log record is one operation: this header, then parts, one after the other
 * without padding.  A part starts with its kind, ILOG_*.
 */
struct ilog_record_header {
	struct le32 length; /* of the log record, with this header */
	struct le40 txg;    /* that its births carry */
	uint8_t reserved[3];
};
_Static_assert(sizeof(struct ilog_record_header) == 12, "ilog_record_header");

#define ILOG_DATASET  1u  /* whose tree the next parts change */
#define ILOG_PUT      2u  /* an item, not an extent */
#define ILOG_DEL      3u  /* any item */
#define ILOG_TRIM     4u  /* all items of a range of keys, of one inode */
#define ILOG_EXTENT   5u  /* put an extent item */
#define ILOG_BYTES    6u  /* a part of a record is written */
#define ILOG_CREATE   16u /* and from here on: datasets */
#define ILOG_SNAPSHOT 17u
#define ILOG_CLONE    18u
#define ILOG_RESTORE  19u
#define ILOG_DESTROY  20u
#define ILOG_RENAME   21u
#define ILOG_SET      22u
#define ILOG_USER     23u

struct ilog_key {
	uint8_t b[KEY_SIZE]; /* as in a node */
};

struct ilog_dataset {
	uint8_t kind;
	struct le32 id;
};

struct ilog_put { /* followed by the value */
	uint8_t kind;
	struct ilog_key key;
	struct le16 len;
};

struct ilog_del {
	uint8_t kind;
	struct ilog_key key;
};

struct ilog_trim {
	uint8_t kind;
	struct ilog_key first, last; /* both included */
};

/* where the run's reference and bytes come from */
#define ILOG_RUN_NEW	0u /* claimed; the bytes are in it */
#define ILOG_RUN_SHARED 1u /* one more reference to what is there */
#define ILOG_RUN_SEALED 2u /* claimed; the bytes are the dirty record's */

struct ilog_extent {
	uint8_t kind;
	uint8_t run; /* ILOG_RUN_* */
	struct ilog_key key;
	struct extent_item item;
};

struct ilog_bytes { /* followed by the bytes, unless they are zeros */
	uint8_t kind;
	uint8_t zero; /* 1: zeros */
	struct le40 ino;
	struct le64 offset; /* in the file; [offset, offset + len) is in one */
	struct le32 len;    /* record */
};

struct ilog_properties {
	struct le64 quota;
	struct le32 compression;
	uint8_t record_shift;
	uint8_t readonly;
};

struct ilog_create { /* followed by the name */
	uint8_t kind;
	struct le32 id;
	struct timespec_item time;
	struct ilog_properties properties;
	uint8_t name_len;
};

/* one for each dataset that was frozen at that moment, by rising ids */
struct ilog_snapshot { /* followed by the name behind '@' */
	uint8_t kind;
	struct le32 dataset;
	struct le32 id;	    /* the snapshot's */
	struct le40 sealed; /* last txg that is in it */
	struct timespec_item time;
	uint8_t automatic;
	uint8_t name_len;
};

struct ilog_clone { /* followed by the name */
	uint8_t kind;
	struct le32 source;
	struct le32 id;
	struct le40 sealed;
	struct timespec_item time;
	uint8_t name_len;
};

struct ilog_restore { /* followed by the name of what is kept */
	uint8_t kind;
	struct le32 dataset;
	struct le32 snapshot;
	struct le32 keep; /* id of the snapshot made before, or 0 */
	struct le40 sealed;
	struct timespec_item time;
	uint8_t name_len;
};

struct ilog_destroy {
	uint8_t kind;
	struct le32 id;
	uint8_t snapshots; /* 1: with its snapshots */
};

struct ilog_rename { /* followed by the name */
	uint8_t kind;
	struct le32 id;
	uint8_t name_len;
};

struct ilog_set {
	uint8_t kind;
	struct le32 id;
	struct ilog_properties properties;
};

#define ILOG_USER_UNSET UINT32_C(0xffffffff)
struct ilog_user { /* followed by key and value */
	uint8_t kind;
	struct le32 id;
	struct le16 key_len;
	struct le32 value_len; /* ILOG_USER_UNSET: deleted */
};

/* bytes one after the other: nothing is aligned, nothing padded */
_Static_assert(sizeof(struct ilog_dataset) == 5, "ilog_dataset");
_Static_assert(sizeof(struct ilog_put) == 16, "ilog_put");
_Static_assert(sizeof(struct ilog_del) == 14, "ilog_del");
_Static_assert(sizeof(struct ilog_trim) == 27, "ilog_trim");
_Static_assert(sizeof(struct ilog_extent) == 34, "ilog_extent");
_Static_assert(sizeof(struct ilog_bytes) == 19, "ilog_bytes");
_Static_assert(sizeof(struct ilog_create) == 32, "ilog_create");
_Static_assert(sizeof(struct ilog_snapshot) == 28, "ilog_snapshot");
_Static_assert(sizeof(struct ilog_clone) == 27, "ilog_clone");
_Static_assert(sizeof(struct ilog_restore) == 31, "ilog_restore");
_Static_assert(sizeof(struct ilog_destroy) == 6, "ilog_destroy");
_Static_assert(sizeof(struct ilog_rename) == 6, "ilog_rename");
_Static_assert(sizeof(struct ilog_set) == 19, "ilog_set");
_Static_assert(sizeof(struct ilog_user) == 11, "ilog_user");

#endif
