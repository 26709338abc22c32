/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - offline check: walks everything, recomputes every refcount
 *
 * Below: superblock, nodes, space map, read only.  Above: tools/, tests/.
 */
#ifndef DBS_STORE_CHECK_H
#define DBS_STORE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "store/blkdev.h"
#include "store/pool.h"

/* What of the intent log is given up, or would be. */
struct check_log_plan {
	bool discard;	      /* else it can be replayed, or there is none */
	uint64_t txg;	      /* of the last commit that is left */
	int64_t time;	      /* of it, seconds since 1970 */
	uint64_t lost_txg;    /* 0, or commits up to it are lost, it is known */
	uint64_t nr_replayed; /* log records that are replayed first */
	/* seen and given up; there may be more that cannot be read */
	uint64_t nr_batches, nr_records;
};

/* What a repair changes, or would change. */
struct check_repair {
	bool map;	     /* the space map is not what it should be: */
	uint64_t nr_regions; /* whose counts are written anew */
	uint64_t nr_claimed; /* blocks in use that counted as free */
	uint64_t nr_freed;   /* blocks that nothing uses, and that counted */
	uint64_t nr_changed; /* other counts that become right */
	uint64_t nr_unknown; /* blocks whose counts could not be read */
	uint64_t nr_large;   /* counts in the space tree, if that is rebuilt */
	uint64_t nr_dead;    /* destroyed trees given back at once */
	bool space_tree;     /* it is rebuilt */
	struct check_log_plan log;
};

struct check_options {
	bool data; /* also read every record and verify its checksum */
	/* called with each finding, one sentence; may be NULL */
	void (*report)(void *arg, const char *text);
	/* the same with what is worth knowing, but no damage */
	void (*note)(void *arg, const char *text);
	/* called now and then with blocks done and blocks in use; or NULL */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	/*
	 * NULL: change nothing.  Else called when the space map is not what
	 * the trees say and can be rebuilt from them without guessing; true:
	 * do it.  With dry_run it is not done whatever the answer.
	 */
	bool (*repair)(void *arg, const struct check_repair *plan);
	bool dry_run;
	/*
	 * With repair: where the intent log cannot be replayed to its end,
	 * replay what is whole and give up the rest.
	 */
	bool discard_log;
	void *arg;
};

enum check_repaired {
	CHECK_REPAIR_NONE,     /* not asked for, or nothing to be done */
	CHECK_REPAIR_REFUSED,  /* it would be a guess: see why */
	CHECK_REPAIR_DECLINED, /* dry_run, or the callback said no */
	CHECK_REPAIR_DONE,
};

struct check_result {
	uint64_t nr_errors; /* findings: 0 means clean */
	uint64_t nr_notes;
	uint64_t nr_batches; /* of the intent log, that wait for replay */
	uint64_t nr_trees, nr_nodes, nr_records, nr_inodes;
	uint64_t blocks_used;	/* as recomputed */
	uint64_t blocks_leaked; /* counted, but nothing uses them */
	uint64_t shared_blocks; /* with a count over 1 */
	enum check_repaired repaired;
	char why[256];	  /* it was refused */
	uint64_t nr_left; /* findings of a check after the repair */
};

/**
 * Check the pool on @dev, which must not be open elsewhere, as of its last
 * commit: what the intent log has beyond that is counted, not looked at.
 * Returns 0 when the check could run, whatever it found.
 * Memory: one byte a block while it runs, and large counts.
 *
 * A repair writes only what the last superblock does not reach, and then a
 * superblock: a crash leaves the pool as it was or repaired.  One that gives
 * up a part of the intent log may have to commit several times: after a crash
 * between them it is to be asked for again, and no more is lost.
 */
int check_run(struct blkdev *dev, const struct check_options *options,
	      struct check_result *result, struct store_error *error);
int check_pool(const char *path, const struct check_options *options,
	       struct check_result *result, struct store_error *error);

#endif
