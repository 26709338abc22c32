/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ex.h - what the parts of the exerciser share
 *
 * Below: op.h, tests/lib/model.h.
 *
 * Some workers, threads, run operations on a mounted pool.  Each has a
 * directory of its own in every dataset, "DS/wN", and names of its own,
 * "wN...", in a directory that all share, "DS/shared"; so each has a model of
 * its own that says what every call must answer, whatever the others do.
 * Between phases they stand still, and the run takes snapshots, clones,
 * restores, destroys, unmounts, kills the daemon, and compares.
 *
 * Invariants:
 *  E1  states[] of a worker holds what the model was after each operation
 *      from first_state on; all up to 'durable' must survive a kill.
 *  E2  an inode is loose from a write through a mapping until it is synced:
 *      its bytes may not have reached the daemon.  Its times are not compared
 *      meanwhile, nor its bytes after a kill.
 *  E3  a model's inode without a name is one that a handle has open.
 */
#ifndef DBS_TESTS_EXERCISER_EX_H
#define DBS_TESTS_EXERCISER_EX_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "tests/fs/exerciser/op.h"
#include "tests/lib/check.h"
#include "tests/lib/model.h"
#include "tests/lib/rnd.h"

#define EX_WORKERS_MAX	8u
#define EX_HANDLES	6u
#define EX_DATASETS	6u /* "d0" to "d5" */
#define EX_SNAPSHOTS	4u /* of each: "s0" to "s3" */
#define EX_MAP_BYTES	((size_t)4 << 20)
#define EX_IO_MAX	((size_t)2 << 20)
#define EX_LOOSE_MAX	256u
#define EX_PATH_MAX	2048u
#define EX_DATASET_NONE UINT_MAX

struct ex_handle {
	int fd; /* -1: not used */
	uint32_t root;
	uint64_t ino;
	int flags;
	bool stale; /* its dataset was restored or destroyed */
	uint8_t *map;
};

/* in states [from, to); UINT64_MAX: it is still */
struct ex_loose {
	uint32_t root;
	uint64_t ino;
	uint64_t from, to;
};

struct ex_worker {
	struct ex_run *run;
	unsigned n;
	struct rnd rnd;
	struct model_state now;
	struct ex_handle handles[EX_HANDLES];
	struct ex_loose loose[EX_LOOSE_MAX]; /* also of states[] */
	size_t nr_loose;
	/* E1 */
	struct model_state *states;
	struct ex_op *done_ops; /* the one that led to each; no paths */
	size_t nr_states, cap_states;
	uint64_t first_state;
	/* atomic: also read by other workers */
	_Atomic uint64_t done;			   /* operations */
	_Atomic uint64_t durable;		   /* E1 */
	_Atomic uint64_t last_change[EX_DATASETS]; /* by name */
	/* the operation under way */
	const struct ex_op *op;
	struct timespec start, start_mono;
	unsigned touched;    /* bit mask of datasets */
	uint8_t *buf, *buf2; /* EX_IO_MAX and a block each */
	/* statistics */
	uint64_t nr_ops, nr_failed, nr_skipped;
};

struct ex_settings {
	const char *dbsfs;
	const char *work;  /* a folder: pool, mount, lists */
	const char *plain; /* a folder of any file system, instead of a mount */
	uint64_t seed;
	uint64_t nr_ops;
	unsigned workers;
	unsigned commit_ms;
	const struct ex_list *replay; /* NULL: make operations up */
	bool verbose;
	bool mistake; /* the model forgets what a truncation does */
};

struct ex_run {
	struct ex_settings s;
	char mount[PATH_MAX], pool[PATH_MAX], socket[PATH_MAX];
	char pid_file[PATH_MAX], list[PATH_MAX];
	struct ex_worker w[EX_WORKERS_MAX];
	struct rnd rnd;
	uint32_t plain_id;
	pthread_mutex_t lock;
	/* under lock */
	struct ex_list log; /* what was begun */
	/* statistics */
	uint64_t nr_roots, nr_kills, nr_remounts, nr_prefix;
	/* a phase */
	bool aside;		  /* immutable in it: snaprun or clonerun */
	_Atomic unsigned nr_busy; /* workers */
};

/* -- ex.c: failing, time, paths, handles, settling ------------------------- */

/** A difference: say which, save the list, end the program. */
_Noreturn void ex_fail(struct ex_worker *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** The same for what no worker did. */
_Noreturn void ex_fail_run(struct ex_run *run, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** What @op is, for a message; valid until the thread's next call. */
const char *ex_op_text(const struct ex_op *op);

void ex_worker_init(struct ex_worker *w, struct ex_run *run, unsigned n);
void ex_worker_release(struct ex_worker *w);
/** Before and after an operation; the model has followed by then. */
void ex_step_begin(struct ex_worker *w, const struct ex_op *op);
void ex_step_end(struct ex_worker *w);
/** Forget states that nothing can come back to. */
void ex_states_trim(struct ex_worker *w);
/** What follows the last operation belongs to it. */
void ex_state_again(struct ex_worker *w);
/** All that was done so far is durable. */
void ex_all_durable(struct ex_run *run);
/**
 * Before an fsync in dataset @r: how far each worker's changes of it are; and
 * after it: those are durable, and whatever was done before them (E1).
 */
void ex_durable_begin(struct ex_worker *w, const struct model_root *r,
		      uint64_t mark[EX_WORKERS_MAX]);
void ex_durable_end(struct ex_worker *w, const uint64_t mark[EX_WORKERS_MAX]);

/** "d3" is 3; EX_DATASET_NONE for others. */
unsigned ex_dataset_slot(const char *name);
/** Where @path is for a system call. */
void ex_full_path(const struct ex_run *run, const char *path,
		  char full[EX_PATH_MAX]);
/** The number of an inode inside its dataset. */
uint64_t ex_ino(const struct ex_run *run, const struct stat *st);

struct ex_place {
	struct model_root *root; /* NULL: there is no such dataset */
	uint64_t dir;		 /* inode that the last part is in */
	uint64_t ino;		 /* 0: there is no such name */
	const char *name;	 /* the last part */
	int err;		 /* 0, -ENOENT, -ENOTDIR: on the way there */
	bool odd;		 /* a symlink on the way: not for the model */
};
/** What the model says of @path, "DS/a/b" or "DS/.dbs/snapshot/NAME/a". */
void ex_resolve(struct ex_worker *w, const char *path, struct ex_place *p);
const struct model_inode *ex_place_inode(const struct ex_place *p);
/** Some path of @ino in @r; false when it has none. */
bool ex_find_path(struct ex_worker *w, const struct model_root *r, uint64_t ino,
		  char path[EX_PATH_MAX]);

/** NULL: not open. */
struct ex_handle *ex_handle(struct ex_worker *w, int n);
bool ex_handle_writes(const struct ex_handle *h);
bool ex_handle_reads(const struct ex_handle *h);
/** Its dataset or snapshot; NULL: stale. */
struct model_root *ex_handle_root(struct ex_worker *w, struct ex_handle *h);
void ex_handle_close(struct ex_worker *w, struct ex_handle *h);
void ex_handles_close_all(struct ex_worker *w);
bool ex_is_open(const struct ex_worker *w, uint32_t root, uint64_t ino);

bool ex_is_loose(const struct ex_worker *w, uint32_t root, uint64_t ino);
/** Was it in that state? */
bool ex_was_loose(const struct ex_worker *w, uint64_t state, uint32_t root,
		  uint64_t ino);
void ex_set_loose(struct ex_worker *w, uint32_t root, uint64_t ino);
void ex_clear_loose(struct ex_worker *w, uint32_t root, uint64_t ino);

/**
 * Is @rc (0 or more, or -errno) what the model wants (0 or -errno)?  Returns
 * true when the call succeeded and the model must follow.
 */
bool ex_expect(struct ex_worker *w, int64_t rc, int want);
/** The same in @r: in a snapshot what would succeed gives -EROFS. */
bool ex_expect_in(struct ex_worker *w, const struct model_root *r, int64_t rc,
		  int want);

#define EX_MTIME    1u /* must be this operation's */
#define EX_CTIME    2u
#define EX_TIMES    3u
#define EX_ANY_TIME 4u /* may be: mtime and ctime */
#define EX_ATIME    8u
/**
 * An operation changed @ino as the model says: what the kernel tells must be
 * equal, but for the times that @which names, which the model takes over.
 * An inode with neither name nor handle is forgotten.
 */
void ex_settle(struct ex_worker *w, struct model_root *r, uint64_t ino,
	       unsigned which);
/** A new inode, of which only this is known; @target of a symlink. */
struct model_inode *ex_settle_new(struct ex_worker *w, struct model_root *r,
				  int dirfd, const char *path, uint64_t parent,
				  uint32_t mode, uint32_t nlink,
				  const char *target);
void ex_attr_of(const struct ex_run *run, const struct stat *st,
		struct file_attr *a);

/* -- exec_data.c, exec_name.c ---------------------------------------------- */

/** Run the worker's operation w->op; false when it did not apply. */
bool ex_exec_data(struct ex_worker *w);
bool ex_exec_name(struct ex_worker *w);
bool ex_exec(struct ex_worker *w, const struct ex_op *op);
/** Bytes that only @pattern says. */
void ex_fill(uint8_t *buf, size_t len, int64_t pattern);

/* -- load.c, diff.c -------------------------------------------------------- */

/**
 * Read what worker @n has of the dataset or snapshot at @path.
 * @direct: O_DIRECT or 0
 * Returns NULL, with @why, when a call fails.
 */
struct model_tree *ex_load(struct ex_run *run, unsigned n, const char *path,
			   int direct, char *why, size_t cap);

struct ex_diff {
	const struct model_tree *want;
	/* the state after the next operation, which may be done in part */
	const struct model_tree *next;
	const struct model_tree *got;
	/* E2 of this worker in root 'root' and that state; NULL: none is */
	const struct ex_worker *loose;
	uint32_t root;
	uint64_t state;
	bool plain;
};
/** Are they equal?  If not, @why says the first difference. */
bool ex_same(const struct ex_diff *d, char *why, size_t cap);

/* -- gen.c ----------------------------------------------------------------- */

/** Make the worker's next operation up; its paths are the caller's. */
void ex_gen(struct ex_worker *w, struct ex_op *op);
/** The next one of the run itself. */
void ex_gen_root(struct ex_run *run, struct ex_op *op);

/* -- compare.c ------------------------------------------------------------- */

/** "DS" or "DS@SNAP" in a worker's state; NULL: there is none. */
struct model_root *ex_find_root(struct ex_worker *w, const char *name);
/** Compare one, for all workers; @direct: O_DIRECT or 0. */
void ex_verify_named(struct ex_run *run, const char *name, int direct);
/** Compare all datasets and snapshots. */
void ex_verify_all(struct ex_run *run, int direct);
/** Kill the daemon, mount again, and see which state came back. */
void ex_kill_and_compare(struct ex_run *run);

/* -- root.c ---------------------------------------------------------------- */

void ex_exec_root(struct ex_run *run, const struct ex_op *op);
/** Give an empty dataset its directories, and the model the dataset. */
void ex_dataset_adopt(struct ex_run *run, const char *name, uint32_t id);
/** E2: nothing is loose any more. */
void ex_msync_all(struct ex_run *run);

/* -- aside.c, compare.c ---------------------------------------------------- */

struct ex_aside {
	const struct ex_op *op;
	uint32_t id; /* what it made; 0: nothing */
	/* states that each worker may have been in */
	uint64_t from[EX_WORKERS_MAX], to[EX_WORKERS_MAX];
};
/** Run it beside the workers, who had done @base operations before. */
void ex_aside_run(struct ex_run *run, struct ex_aside *a, uint64_t base);
/** When they stand still: compare what it made, and put it into the model. */
void ex_aside_compare(struct ex_run *run, const struct ex_aside *a);

/* -- mount.c --------------------------------------------------------------- */

void ex_pool_create(struct ex_run *run);
void ex_mount(struct ex_run *run);
void ex_unmount(struct ex_run *run);
void ex_kill(struct ex_run *run);
/** The pool, which is not mounted, has no errors. */
void ex_check(struct ex_run *run);
/** Ask the daemon; returns the answer's code, 0 for ok.  @answer: may be
 * NULL. */
int ex_ask(struct ex_run *run, char *answer, size_t cap, const char *command,
	   const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* -- run.c, reduce.c ------------------------------------------------------- */

/** Run all of it in this process; a difference ends it. */
void ex_run(const struct ex_settings *s);
/** The same in a child; returns its exit code, 1 for a difference. */
int ex_run_child(const struct ex_settings *s, bool quiet);
/** Take away from @list what is not needed for it to fail. */
void ex_reduce(const struct ex_settings *s, struct ex_list *list,
	       unsigned tries);

#endif
