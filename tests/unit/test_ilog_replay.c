/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_ilog_replay.c - the intent log after a crash: Y1 to Y3, what is damage
 * and what is the log's end, and logs that were made to harm
 *
 * The pool lies in memory.  A crash is a copy of its bytes; what the copy has
 * after it was opened is compared with what the pool itself has then.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <sys/xattr.h>

#include "store/csum.h"
#include "store/ilog_internal.h"
#include "store/ilog_replay_internal.h"
#include "store/pool_internal.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"
#include "tests/lib/file_pool.h"
#include "tests/lib/model_digest.h"
#include "tests/lib/rnd.h"

#define SIZE   (UINT64_C(64) << 20)
#define RECORD 16384u

static struct file_pool fp;
static uint8_t *image; /* of fp's device at the crash */

static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

/* The log's epoch is on disk from the first commit on. */
static void commit(void)
{
	CHECK_OK(pool_sync(fp.pool));
	fp.pool->ilog->active = true;
}

static int setup(void **state)
{
	(void)state;
	log_set_sink(NULL);
	file_pool_init(&fp, SIZE >> 20, NULL);
	commit();
	image = malloc(SIZE);
	CHECK(image);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_set_sink(NULL);
	file_pool_release(&fp);
	free(image);
	return 0;
}

/* All that was done is in the log, or in the superblock. */
static void crash(void)
{
	CHECK_OK(ilog_sync_all(fp.pool));
	memcpy(image, blkdev_mem_data(fp.mem), SIZE);
}

/* ---- what a pool holds ------------------------------------------------------- */

struct root_state {
	char name[DATASET_FULL_NAME_MAX];
	uint64_t digest;
	struct dataset_info info;
};

struct state {
	struct root_state *root;
	size_t nr;
};

static bool want_all(const char *name)
{
	(void)name;
	return true;
}

static void add_root(void *arg, const char *name, uint64_t digest)
{
	struct state *s = arg;
	struct root_state *r;

	s->root = realloc(s->root, (s->nr + 1) * sizeof(*s->root));
	MUST(s->root);
	r = &s->root[s->nr++];
	memset(r, 0, sizeof(*r));
	strcpy(r->name, name);
	r->digest = digest;
}

static struct state state_of(struct pool *pool)
{
	struct state s = {.nr = 0};
	char why[400] = "";

	if (model_digest_pool(pool, want_all, add_root, &s, why, sizeof(why)))
		print_error("%s\n", why);
	CHECK_STR(why, "");
	for (size_t i = 0; i < s.nr; i++) {
		struct dataset *ds;

		CHECK_OK(dataset_open(pool, s.root[i].name, &ds));
		dataset_info(ds, &s.root[i].info);
		dataset_put(ds);
	}
	return s;
}

static void same_state(const struct state *a, const struct state *b)
{
	CHECK_UINT(b->nr, a->nr);
	for (size_t i = 0; i < a->nr; i++) {
		const struct root_state *x = &a->root[i], *y = &b->root[i];

		CHECK_STR(y->name, x->name);
		CHECK_UINT(y->digest, x->digest);
		CHECK_UINT(y->info.id, x->info.id);
		CHECK_UINT(y->info.created_txg, x->info.created_txg);
		CHECK_INT(y->info.created.tv_sec, x->info.created.tv_sec);
		CHECK_INT(y->info.created.tv_nsec, x->info.created.tv_nsec);
		CHECK_UINT(y->info.generation, x->info.generation);
		CHECK_UINT(y->info.referenced, x->info.referenced);
		CHECK_UINT(y->info.logical, x->info.logical);
		CHECK_UINT(y->info.charged, x->info.charged);
		CHECK_UINT(y->info.nr_inodes, x->info.nr_inodes);
		CHECK_UINT(y->info.automatic, x->info.automatic);
		CHECK_STR(y->info.origin_name, x->info.origin_name);
	}
}

/* @arg: what may be found, or NULL */
static void see_finding(void *arg, const char *text)
{
	if (!arg || !strstr(text, arg))
		print_error("check: %s\n", text);
	CHECK(arg && strstr(text, arg));
}

/* The check finds nothing but one sentence with @part, if that is not NULL. */
static void check_finds(struct blkdev *dev, char *part)
{
	const struct check_options options = {
		.data = true, .report = see_finding, .arg = part};
	struct store_error error = {""};
	struct check_result result;

	CHECK_OK(check_run(dev, &options, &result, &error));
	CHECK_UINT(result.nr_errors, part != NULL);
	CHECK_UINT(result.blocks_leaked, 0);
}

static void check_clean(struct blkdev *dev)
{
	check_finds(dev, NULL);
}

/* ---- opening the copy -------------------------------------------------------- */

static struct pool *open_on(struct blkdev *dev, struct store_error *error)
{
	const struct pool_options options = {.no_background = true,
					     .cache_bytes = 1};
	struct pool *pool = NULL;

	error->text[0] = '\0';
	CHECK_OK(pool_open_on(blkdev_borrow(dev), &options, &pool, error));
	return pool;
}

static struct ilog_scan scan_of(struct blkdev *dev)
{
	struct store_error error = {""};
	struct ilog_scan scan;
	struct superblock sb;

	CHECK_OK(superblock_read(dev, &sb, true, &error));
	CHECK_OK(ilog_scan_device(dev, &sb, &scan, &error));
	CHECK_UINT(error.text[0] != '\0', scan.damaged || scan.newer);
	return scan;
}

/* ---- everything that can be logged ------------------------------------------- */

static void fill(struct dataset *ds, uint64_t ino, uint64_t offset, size_t len,
		 uint64_t seed)
{
	struct rnd r = {seed};
	uint8_t *buf = malloc(len);

	MUST(buf);
	memset(buf, 'x', len);
	rnd_fill(&r, buf, MIN_OF(len, (size_t)6000));
	write_at(ds, ino, offset, buf, len);
	free(buf);
}

static struct dataset *open_ds(const char *name)
{
	struct dataset *ds;

	CHECK_OK(dataset_open(fp.pool, name, &ds));
	return ds;
}

static void cut(struct dataset *ds, uint64_t ino, int mode, uint64_t offset,
		uint64_t len)
{
	CHECK_OK(file_fallocate(ds, ino, mode, offset, len, 0));
}

/* Files: whole records, parts of them, holes, sizes. */
static void change_data(struct dataset *ds, uint64_t dir)
{
	uint64_t a = make_file(ds, dir, "a"), b = make_file(ds, dir, "b");
	uint64_t copied;

	fill(ds, a, 0, 12 * RECORD, 1);
	fill(ds, a, 3 * RECORD - 100, 2 * RECORD + 300, 2);
	for (unsigned i = 0; i < 60; i++)
		fill(ds, b, 512 * i, 512, i);
	fill(ds, b, 700 * RECORD, RECORD, 9);
	for (unsigned i = 0; i < 200; i++)
		fill(ds, b, (20 + 3 * i) * RECORD, RECORD, 100 + i);
	cut(ds, a, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, RECORD + 10,
	    3 * RECORD);
	cut(ds, b, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 30 * RECORD,
	    300 * RECORD);
	cut(ds, a, FALLOC_FL_ZERO_RANGE, 9 * RECORD + 5, 10 * RECORD);
	set_size(ds, b, 400 * RECORD + 77);
	set_size(ds, b, 100 * RECORD + 50);
	set_size(ds, b, 120 * RECORD);
	CHECK_OK(file_copy(ds, a, 0, ds, b, 101 * RECORD, 4 * RECORD, 0,
			   &copied));
	fill(ds, b, 102 * RECORD + 1, 100, 5);
}

/* Names, links, attributes. */
static void change_names(struct dataset *ds, uint64_t dir)
{
	uint64_t f = make_file(ds, dir, "file"), d = make_dir(ds, dir, "sub");
	struct file_new link = {.mode = S_IFLNK | 0777, .target = "a/b/c"};
	struct file_attr attr;
	char value[5000];

	memset(value, 'v', sizeof(value));
	CHECK_OK(file_create(ds, dir, "link", 4, &link, &attr));
	CHECK_OK(file_link(ds, f, d, "hard", 4, &attr));
	CHECK_OK(file_setxattr(ds, f, "user.big", value, sizeof(value), 0));
	CHECK_OK(file_setxattr(ds, f, "user.big", value, 1200, XATTR_REPLACE));
	CHECK_OK(file_setxattr(ds, d, "user.x", "y", 1, 0));
	CHECK_OK(file_removexattr(ds, d, "user.x"));
	for (unsigned i = 0; i < 60; i++) {
		char name[20];

		snprintf(name, sizeof(name), "t%u", i);
		fill(ds, make_file(ds, d, name), 0, 100, i);
		if (i % 3 == 0)
			CHECK_OK(file_unlink(ds, d, name, strlen(name), NULL));
	}
	CHECK_OK(file_rename(ds, d, "t1", 2, dir, "moved", 5, 0, NULL));
	make_dir(ds, d, "empty");
	CHECK_OK(file_rmdir(ds, d, "empty", 5, NULL));
	CHECK_OK(file_unlink(ds, dir, "file", 4, NULL));
}

/* Datasets; partial records wait when each is frozen. */
static void change_datasets(void)
{
	struct dataset_properties p;
	struct dataset *ds[2], *snap, *clone;
	uint64_t log;
	uint32_t id;

	dataset_properties_default(&p);
	p.recordsize = 4096;
	CHECK_OK(dataset_create(fp.pool, "other", &p, &id));
	ds[0] = fp.ds;
	ds[1] = open_ds("other");
	log = make_file(ds[1], INO_ROOT, "log");
	fill(ds[1], log, 0, 300, 1);
	CHECK_OK(dataset_snapshot_many(ds, 2, "both"));
	fill(ds[1], log, 300, 5000, 2);
	snap = open_ds("ds@both");
	CHECK_OK(dataset_clone(snap, "c1", &id));
	CHECK_OK(dataset_clone(ds[1], "c2", &id));
	clone = open_ds("c1");
	CHECK_OK(dataset_set_user(clone, "owner", "ci"));
	CHECK_OK(dataset_set_user(clone, "gone", "soon"));
	CHECK_OK(dataset_unset_user(clone, "gone"));
	change_data(clone, make_dir(clone, INO_ROOT, "in clone"));
	fill(ds[1], log, 700, 100, 3);
	dataset_put(snap);
	snap = open_ds("other@both");
	/* what is kept has a partial record: it is sealed, not stored */
	CHECK_OK(dataset_restore(ds[1], snap, "kept", 0));
	fill(ds[1], log, 100, 10, 4);
	CHECK_OK(dataset_restore(ds[1], snap, NULL, 0));
	CHECK_OK(dataset_rename(snap, "before"));
	CHECK_OK(dataset_rename(clone, "c3"));
	p.readonly = true;
	p.quota = UINT64_C(1) << 30;
	fill(ds[1], log, 50, 20, 6);
	CHECK_OK(dataset_set_properties(ds[1], &p));
	CHECK_OK(dataset_snapshot(clone, "s1", false, &id));
	fill(clone, make_file(clone, INO_ROOT, "x"), 0, RECORD, 5);
	CHECK_OK(dataset_snapshot(clone, "s2", false, &id));
	dataset_put(snap);
	dataset_put(clone);
	clone = open_ds("c2");
	CHECK_OK(dataset_snapshot(clone, "s", false, &id));
	CHECK_OK(dataset_destroy(clone, DESTROY_SNAPSHOTS));
	dataset_put(clone);
	dataset_put(ds[1]);
}

static void replay__is_as_if_there_had_been_no_crash(void **state)
{
	struct state want, got;
	struct store_error error;
	struct ilog_scan scan;
	struct blkdev *dev;
	struct pool *pool;

	(void)state;
	change_data(fp.ds, INO_ROOT);
	change_names(fp.ds, make_dir(fp.ds, INO_ROOT, "dir"));
	change_datasets();
	change_data(fp.ds, find_name(fp.ds, INO_ROOT, "dir"));
	crash();
	commit();
	want = state_of(fp.pool);
	dev = blkdev_view_open(image, SIZE);
	scan = scan_of(dev);
	CHECK(scan.nr_records > 600 && scan.nr_batches > 10);
	CHECK(!scan.damaged && !scan.newer);
	pool = open_on(dev, &error);
	got = state_of(pool);
	same_state(&want, &got);
	/* it is committed: another crash has nothing to replay */
	pool_abandon(pool);
	check_clean(dev);
	CHECK_UINT(scan_of(dev).nr_batches, 0);
	blkdev_close(dev);
	free(want.root);
	free(got.root);
}

/* ---- commits in the middle, and crashes there (Y2) --------------------------- */

#define NR_CLONES 700u

/* More dirty nodes than the cache of open_on() may have at once. */
static void change_many(void)
{
	uint64_t a = make_file(fp.ds, INO_ROOT, "a"), log;
	struct dataset *snap;
	uint32_t id;

	log = make_file(fp.ds, INO_ROOT, "log");
	fill(fp.ds, a, 0, 40 * RECORD, 1);
	fill(fp.ds, log, 0, RECORD / 2, 2);
	for (unsigned i = 0; i < 30; i++) {
		char name[20];

		snprintf(name, sizeof(name), "f%u", i);
		make_file(fp.ds, INO_ROOT, name);
	}
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, &id));
	snap = open_ds("ds@s");
	commit();
	for (unsigned i = 0; i < NR_CLONES; i++) {
		struct dataset *clone;
		char name[20];

		snprintf(name, sizeof(name), "c%u", i);
		CHECK_OK(dataset_clone(snap, name, &id));
		clone = open_ds(name);
		fill(clone, a, i % 40 * RECORD, RECORD, i);
		/* each holds a dozen nodes */
		if (i % 20 < 2)
			fill(clone, log, 100 + i, 90, i);
		if (i % 20 == 0)
			CHECK_OK(dataset_restore(clone, snap, "kept", 0));
		if (i % 9 == 0)
			set_size(clone, a, 5000);
		dataset_put(clone);
	}
	dataset_put(snap);
}

/* @base with the writes before event @end of what @faulty recorded. */
static struct blkdev *prefix_of(struct blkdev *faulty, const uint8_t *base,
				size_t end)
{
	struct blkdev *dev = blkdev_view_open(base, SIZE);

	for (size_t i = 0; i < end; i++) {
		const struct blkdev_event *e = blkdev_faulty_event(faulty, i);

		if (e->kind == BLKDEV_EVENT_WRITE)
			blkdev_view_write(dev, e->data, e->length, e->offset);
	}
	return dev;
}

/*
 * Replay @image with the writes recorded, then cut it at @nr_cuts of them and
 * replay what was left; it always comes to @want.
 */
static void cut_replay(const struct state *want, uint64_t commits_min,
		       size_t nr_cuts)
{
	struct blkdev *faulty, *dev;
	struct store_error error;
	struct superblock sb;
	struct pool_stat st;
	struct state got;
	struct pool *pool;
	bool middle = false;
	size_t nr;

	CHECK_OK(blkdev_faulty_open(blkdev_view_open(image, SIZE), &faulty));
	blkdev_faulty_record(faulty, true);
	pool = open_on(faulty, &error);
	blkdev_faulty_record(faulty, false);
	pool_stat(pool, &st);
	CHECK(st.nr_commits >= commits_min);
	got = state_of(pool);
	same_state(want, &got);
	free(got.root);
	pool_abandon(pool);
	nr = blkdev_faulty_nr_events(faulty);
	for (size_t i = 0; i <= nr_cuts; i++) {
		dev = prefix_of(faulty, image, nr * i / nr_cuts);
		CHECK_OK(superblock_read(dev, &sb, true, &error));
		middle |= le32_get(sb.ilog_skip) > 0;
		check_clean(dev);
		pool = open_on(dev, &error);
		got = state_of(pool);
		same_state(want, &got);
		free(got.root);
		pool_abandon(pool);
		check_clean(dev);
		blkdev_close(dev);
	}
	CHECK(middle);
	blkdev_close(faulty);
}

static size_t cuts(size_t usual)
{
	const char *wanted = getenv("ILOG_REPLAY_CUTS");

	return wanted ? (size_t)atoi(wanted) : usual;
}

static void replay__commits_when_budgets_are_full(void **state)
{
	struct state want;

	(void)state;
	change_many();
	crash();
	commit();
	want = state_of(fp.pool);
	cut_replay(&want, 3, cuts(8));
	free(want.root);
}

/* With threads, which read ahead of it. */
static void replay__that_is_read_ahead_of_comes_to_the_same(void **state)
{
	const struct pool_options options = {.cache_bytes = 1};
	struct store_error error = {""};
	struct state want, got;
	struct blkdev *dev;
	struct pool *pool;

	(void)state;
	change_many();
	change_data(fp.ds, make_dir(fp.ds, INO_ROOT, "dir"));
	crash();
	commit();
	want = state_of(fp.pool);
	dev = blkdev_view_open(image, SIZE);
	CHECK(scan_of(dev).nr_records > 1000);
	CHECK_OK(pool_open_on(blkdev_borrow(dev), &options, &pool, &error));
	got = state_of(pool);
	same_state(&want, &got);
	pool_abandon(pool);
	check_clean(dev);
	blkdev_close(dev);
	free(want.root);
	free(got.root);
}

/* A commit before each @commit_every-th op of a replay; 0: as ever. */
static unsigned commit_every, nr_throttled;

int __real_txg_throttle(struct pool *pool);
int __wrap_txg_throttle(struct pool *pool);
int __wrap_txg_throttle(struct pool *pool)
{
	if (pool->replay.on && commit_every &&
	    ++nr_throttled % commit_every == 0)
		CHECK_OK(txg_commit(pool));
	return __real_txg_throttle(pool);
}

static void replay__may_be_cut_anywhere(void **state)
{
	struct state want;

	(void)state;
	change_data(fp.ds, INO_ROOT);
	change_names(fp.ds, make_dir(fp.ds, INO_ROOT, "dir"));
	change_datasets();
	crash();
	commit();
	want = state_of(fp.pool);
	commit_every = 1;
	cut_replay(&want, 600, cuts(10));
	commit_every = 3;
	cut_replay(&want, 200, cuts(10));
	commit_every = 0;
	free(want.root);
}

/* ---- the log's end, and damage ------------------------------------------------- */

/* The block at @pos of the ring in the copy. */
static uint8_t *ring_block(uint64_t pos)
{
	const struct ilog *l = fp.pool->ilog;

	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX; i++) {
		if (pos < le32_get(l->segment[i].nr))
			return image + (le64_get(l->segment[i].first) + pos) *
					       BLOCK_SIZE;
		pos -= le32_get(l->segment[i].nr);
	}
	check_failed("a position in the ring", __FILE__, __LINE__);
	return NULL;
}

/* The batch with number @seq in the copy. */
static struct ilog_batch *batch_of(uint64_t seq)
{
	for (uint64_t pos = 0; pos < fp.pool->ilog->nr_ring; pos++) {
		struct ilog_batch *b = (struct ilog_batch *)ring_block(pos);

		if (le32_get(b->h.type) == META_ILOG_BATCH &&
		    le64_get(b->seq) == seq &&
		    le64_get(b->epoch) == fp.pool->ilog->epoch)
			return b;
	}
	check_failed("a batch", __FILE__, __LINE__);
	return NULL;
}

static void seal_batch(struct ilog_batch *b)
{
	b->payload_csum =
		le64_of(csum_of(b + 1, le64_get(b->length), META_ILOG_BATCH));
	b->h.csum = le64_of(
		csum_of((uint8_t *)b + 8, BLOCK_SIZE - 8, META_ILOG_BATCH));
}

/* Six batches, each with one file; returns the number of the first. */
static uint64_t six_batches(void)
{
	uint64_t first = fp.pool->ilog->next.seq;

	for (unsigned i = 0; i < 6; i++) {
		char name[2] = {(char)('0' + i), '\0'};
		uint64_t ino = make_file(fp.ds, INO_ROOT, name);

		fill(fp.ds, ino, 0, 2 * RECORD, i);
		CHECK_OK(file_fsync(fp.ds, ino));
	}
	CHECK_UINT(fp.pool->ilog->next.seq, first + 6);
	crash();
	return first;
}

/* The copy opens with just the first @nr files, read-only or not. */
static void opens_with(unsigned nr, bool read_only)
{
	struct blkdev *dev = blkdev_view_open(image, SIZE);
	static char damaged[] = "the intent log is damaged";
	struct store_error error;
	struct pool_stat st;
	struct dataset *ds;
	struct pool *pool;

	if (read_only)
		log_set_sink(no_log);
	pool = open_on(dev, &error);
	CHECK_UINT(error.text[0] != '\0', read_only);
	pool_stat(pool, &st);
	CHECK_UINT(st.read_only, read_only);
	CHECK_OK(dataset_open(pool, FILE_POOL_DATASET, &ds));
	for (unsigned i = 0; i < 6; i++) {
		char name[2] = {(char)('0' + i), '\0'};

		CHECK_UINT(find_name(ds, INO_ROOT, name) != 0, i < nr);
	}
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
	check_finds(dev, read_only ? damaged : NULL);
	blkdev_close(dev);
	log_set_sink(NULL);
}

static void log__ends_at_a_batch_that_is_torn(void **state)
{
	uint64_t first = six_batches();
	struct ilog_batch *b = batch_of(first + 5);
	uint8_t *payload = (uint8_t *)(b + 1), byte = payload[20];

	(void)state;
	opens_with(6, false);
	payload[20] ^= 1;
	opens_with(5, false);
	/* its header is whole, its log records are not */
	b->h.csum = le64_of(
		csum_of((uint8_t *)b + 8, BLOCK_SIZE - 8, META_ILOG_BATCH));
	opens_with(5, false);
	payload[20] = byte;
	memset(b, 0, BLOCK_SIZE);
	opens_with(5, false);
}

static void log__that_goes_on_behind_a_gap_is_damaged(void **state)
{
	uint64_t first = six_batches();
	struct ilog_batch *b = batch_of(first + 2), saved = *b;
	struct blkdev *dev;
	struct ilog_scan scan;

	(void)state;
	((uint8_t *)(b + 1))[9] ^= 1;
	dev = blkdev_view_open(image, SIZE);
	scan = scan_of(dev);
	CHECK(scan.damaged && !scan.newer);
	CHECK_UINT(scan.last_seq, first + 1);
	blkdev_close(dev);
	opens_with(0, true);
	((uint8_t *)(b + 1))[9] ^= 1;
	b->prev_csum = le64_of(le64_get(b->prev_csum) + 1);
	seal_batch(b);
	opens_with(0, true);
	*b = saved;
	opens_with(6, false);
	memset(b, 0, BLOCK_SIZE);
	opens_with(0, true);
}

/* A large log is read twice, and is not believed unseen the second time. */
static void log__that_changes_while_it_is_read_is_damaged(void **state)
{
	uint64_t first = six_batches();
	struct ilog_batch *b = batch_of(first + 1);
	struct blkdev *dev = blkdev_view_open(image, SIZE);
	struct store_error error = {""};
	const uint8_t *payload;
	struct ilog_chain c;
	struct ilog_scan scan;
	struct superblock sb;

	(void)state;
	CHECK_OK(superblock_read(dev, &sb, true, &error));
	CHECK_OK(ilog_chain_read(&c, dev, &sb, &scan, &error));
	CHECK_UINT(c.nr, 6);
	for (size_t i = 0; i < 6; i++)
		ilog_chain_drop(&c, i);
	((uint8_t *)(b + 1))[30] ^= 1;
	c.window_nr = 0;
	CHECK_OK(ilog_chain_payload(&c, 0, &payload));
	CHECK_INT(ilog_chain_payload(&c, 1, &payload), -EUCLEAN);
	CHECK_OK(ilog_chain_payload(&c, 2, &payload));
	ilog_chain_release(&c);
	blkdev_close(dev);
}

/* What it changes cannot be read: the rest of the pool can. */
static void log__of_a_damaged_tree_opens_read_only(void **state)
{
	struct store_error error;
	struct pool_stat st;
	struct blkdev *dev;
	struct pool *pool;
	uint64_t blkno;

	(void)state;
	make_file(fp.ds, INO_ROOT, "before");
	commit();
	blkno = fp.ds->tree.root.blkno;
	six_batches();
	image[blkno * BLOCK_SIZE + 100] ^= 1;
	dev = blkdev_view_open(image, SIZE);
	log_set_sink(no_log);
	pool = open_on(dev, &error);
	CHECK(strstr(error.text, "cannot be replayed"));
	pool_stat(pool, &st);
	CHECK(st.read_only);
	CHECK_STR(st.why, error.text);
	CHECK_OK(pool_close(pool));
	blkdev_close(dev);
	log_set_sink(NULL);
}

/* The newest superblock is gone from both rings. */
static void lose_superblock(void)
{
	uint64_t slot = fp.pool->commit_seq % SUPERBLOCK_RING;

	memset(image + slot * BLOCK_SIZE, 0, BLOCK_SIZE);
	memset(image + (SUPERBLOCK_COPY_BLKNO + slot) * BLOCK_SIZE, 0,
	       BLOCK_SIZE);
}

/* The copy opens read-only, whatever is left of what it had. */
static void opens_read_only(void)
{
	struct blkdev *dev = blkdev_view_open(image, SIZE);
	struct store_error error;
	struct ilog_scan scan = scan_of(dev);
	struct pool_stat st;
	struct pool *pool;

	CHECK(scan.newer);
	log_set_sink(no_log);
	pool = open_on(dev, &error);
	CHECK(strstr(error.text, "superblock is lost"));
	pool_stat(pool, &st);
	CHECK(st.read_only);
	CHECK_OK(pool_close(pool));
	blkdev_close(dev);
	log_set_sink(NULL);
}

static void log__of_a_later_superblock_opens_read_only(void **state)
{
	(void)state;
	make_file(fp.ds, INO_ROOT, "before");
	commit();
	make_file(fp.ds, INO_ROOT, "first of its txg");
	CHECK_OK(file_fsync(fp.ds, INO_ROOT));
	commit();
	six_batches();
	opens_with(6, false);
	lose_superblock();
	opens_read_only();
}

static void log__of_a_later_opening_opens_read_only(void **state)
{
	(void)state;
	dataset_put(fp.ds);
	CHECK_OK(pool_close(fp.pool));
	{
		struct store_error error;

		fp.pool = open_on(fp.mem, &error);
		CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET, &fp.ds));
	}
	make_file(fp.ds, INO_ROOT, "epoch");
	commit();
	six_batches();
	opens_with(6, false);
	lose_superblock();
	opens_read_only();
}

static void log__of_an_earlier_opening_is_old(void **state)
{
	struct ilog_batch *b;
	uint64_t first = six_batches();
	struct blkdev *dev;

	(void)state;
	/* as if this epoch's superblock had come after them */
	for (unsigned i = 0; i < 6; i++) {
		b = batch_of(first + i);
		b->epoch = le64_of(le64_get(b->epoch) - 1);
		b->stamp = ilog_stamp(fp.pool, le64_get(b->epoch), first + i,
				      le64_get(b->h.blkno));
		seal_batch(b);
	}
	dev = blkdev_view_open(image, SIZE);
	CHECK_UINT(scan_of(dev).nr_batches, 0);
	blkdev_close(dev);
	opens_with(0, false);
}

static void log__without_the_stamp_is_what_a_user_wrote(void **state)
{
	uint64_t first = six_batches();
	struct ilog_batch *b = batch_of(first + 5);

	(void)state;
	b->stamp = le64_of(le64_get(b->stamp) + 1);
	seal_batch(b);
	opens_with(5, false);
}

/* The run with data of the file that batch @seq made. */
static uint8_t *data_of(uint64_t seq)
{
	struct ilog_batch *b = batch_of(seq);
	const uint8_t *p = (const uint8_t *)(b + 1);
	const uint8_t *end = p + le64_get(b->length);

	/* the last extent that it names */
	for (const uint8_t *q = end - sizeof(struct ilog_extent); q >= p; q--) {
		const struct ilog_extent *x = (const void *)q;

		if (x->kind == ILOG_EXTENT && x->run == ILOG_RUN_NEW &&
		    x->key.b[5] == ITEM_EXTENT &&
		    le40_get(x->item.blkno) < SIZE / BLOCK_SIZE)
			return image + le40_get(x->item.blkno) * BLOCK_SIZE;
	}
	check_failed("an extent", __FILE__, __LINE__);
	return NULL;
}

static void log__without_its_last_batchs_data_ends_before_that(void **state)
{
	uint64_t first = six_batches();

	(void)state;
	data_of(first + 5)[77] ^= 1;
	opens_with(5, false);
}

static void log__whose_earlier_data_is_damaged_is_replayed(void **state)
{
	uint64_t first = six_batches();
	struct blkdev *dev;
	struct store_error error;
	struct dataset *ds;
	struct pool *pool;
	uint8_t byte;
	size_t n;

	(void)state;
	data_of(first + 3)[77] ^= 1;
	dev = blkdev_view_open(image, SIZE);
	pool = open_on(dev, &error);
	CHECK_OK(dataset_open(pool, FILE_POOL_DATASET, &ds));
	log_set_sink(no_log);
	CHECK_INT(file_read(ds, find_name(ds, INO_ROOT, "3"), RECORD, &byte, 1,
			    &n),
		  -EIO);
	CHECK(find_name(ds, INO_ROOT, "5") != 0);
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
	blkdev_close(dev);
}

/* ---- a commit that a crash cut off ---------------------------------------------- */

/*
 * The log record of a commit that stored partial records, and one of a later
 * op, are on disk; its superblock is not.
 */
static void replay__stores_sealed_records_where_the_log_says(void **state)
{
	uint64_t log = make_file(fp.ds, INO_ROOT, "log");
	struct store_error error;
	struct state want, got;
	struct tree_root root;
	struct blkdev *dev;
	struct pool *pool;

	(void)state;
	fill(fp.ds, log, 0, 700, 1);
	commit();
	fill(fp.ds, log, 700, 3000, 2);
	fill(fp.ds, log, 5 * RECORD, 300, 3);
	CHECK_OK(ilog_sync_all(fp.pool));
	/* holding a root seals, and commits; the copy loses the commit */
	CHECK_OK(dataset_hold_root(fp.ds, &root));
	dataset_release_root(fp.pool, &root);
	memcpy(image, blkdev_mem_data(fp.mem), SIZE);
	lose_superblock();
	want = state_of(fp.pool);
	dev = blkdev_view_open(image, SIZE);
	CHECK(scan_of(dev).nr_records > 0);
	pool = open_on(dev, &error);
	got = state_of(pool);
	CHECK_UINT(got.root[0].digest, want.root[0].digest);
	pool_abandon(pool);
	check_clean(dev);
	blkdev_close(dev);
	free(want.root);
	free(got.root);
}

/* ---- logs made to harm ------------------------------------------------------------ */

/* Bytes of log records changed, checksums made good again. */
static void replay__survives_any_log_record(void **state)
{
	const char *budget = getenv("ILOG_REPLAY_MUTATIONS");
	unsigned nr = budget ? (unsigned)atoi(budget) : 300;
	uint64_t first = fp.pool->ilog->next.seq, last;
	struct rnd r = {4711};
	uint8_t *good;

	(void)state;
	log_set_sink(no_log);
	change_data(fp.ds, INO_ROOT);
	change_names(fp.ds, make_dir(fp.ds, INO_ROOT, "dir"));
	change_datasets();
	crash();
	last = fp.pool->ilog->next.seq;
	good = malloc(SIZE);
	MUST(good);
	memcpy(good, image, SIZE);
	for (unsigned i = 0; i < nr; i++) {
		struct pool_options o = {.no_background = true,
					 .cache_bytes = 1};
		uint64_t seq = rnd_between(&r, first, last);
		struct ilog_batch *b = batch_of(seq), *next;
		struct store_error error = {""};
		struct pool *pool = NULL;
		uint8_t *payload = (uint8_t *)(b + 1);
		struct blkdev *dev;
		int rc;

		for (uint64_t n = 1 + rnd_below(&r, 3); n > 0; n--)
			payload[rnd_below(&r, le64_get(b->length))] =
				rnd_one_in(&r, 2) ? (uint8_t)rnd_next(&r)
						  : (uint8_t)rnd_below(&r, 9);
		/* the chain follows */
		for (;;) {
			seal_batch(b);
			if (++seq == last)
				break;
			next = batch_of(seq);
			next->prev_csum = b->h.csum;
			b = next;
		}
		dev = blkdev_view_open(image, SIZE);
		rc = pool_open_on(blkdev_borrow(dev), &o, &pool, &error);
		CHECK(rc == 0 || error.text[0]);
		if (rc == 0)
			pool_abandon(pool);
		blkdev_close(dev);
		memcpy(image, good, SIZE);
	}
	free(good);
	log_set_sink(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(replay__is_as_if_there_had_been_no_crash),
		T(replay__commits_when_budgets_are_full),
		T(replay__that_is_read_ahead_of_comes_to_the_same),
		T(replay__may_be_cut_anywhere),
		T(log__ends_at_a_batch_that_is_torn),
		T(log__that_goes_on_behind_a_gap_is_damaged),
		T(log__that_changes_while_it_is_read_is_damaged),
		T(log__of_a_damaged_tree_opens_read_only),
		T(log__of_a_later_superblock_opens_read_only),
		T(log__of_a_later_opening_opens_read_only),
		T(log__of_an_earlier_opening_is_old),
		T(log__without_the_stamp_is_what_a_user_wrote),
		T(log__without_its_last_batchs_data_ends_before_that),
		T(log__whose_earlier_data_is_damaged_is_replayed),
		T(replay__stores_sealed_records_where_the_log_says),
		T(replay__survives_any_log_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
