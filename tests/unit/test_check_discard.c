/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_check_discard.c - a log that cannot be replayed is given up, no more of
 * it than has to be, and the pool can be written again
 */
#include "store/ilog_replay_internal.h"
#include "tests/unit/check_image.h"

#define NR_LOGGED 6u

static struct check_repair plan;
static unsigned nr_asked;
static bool answer;
static struct ilog_chain chain; /* as it was before it was damaged */
static struct superblock last;

static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static bool ask(void *arg, const struct check_repair *p)
{
	(void)arg;
	plan = *p;
	nr_asked++;
	return answer;
}

static int try_discard(struct blkdev *on, bool yes, bool dry_run)
{
	struct check_options o = {.data = true,
				  .report = keep_finding,
				  .note = keep_note,
				  .repair = ask,
				  .discard_log = true,
				  .dry_run = dry_run};
	struct store_error error = {""};
	int rc;

	nr_findings = nr_asked = 0;
	memset(&plan, 0, sizeof(plan));
	last_note[0] = '\0';
	answer = yes;
	rc = check_run(on, &o, &result, &error);
	if (rc)
		CHECK(*error.text);
	return rc;
}

/* A file in each batch: logged0, logged1 ...; and where the batches are. */
static void crash_with_a_log(void)
{
	struct pool *pool = pool_of(dev);
	struct dataset *ds = open_ds(pool, "prod");
	struct store_error error;
	struct ilog_scan scan;

	/* there is no log before the first commit */
	make(ds, INO_ROOT, "before", S_IFREG | 0600, NULL);
	CHECK_OK(pool_sync(pool));
	for (unsigned i = 0; i < NR_LOGGED; i++) {
		char name[16];
		uint64_t ino;

		snprintf(name, sizeof(name), "logged%u", i);
		ino = make(ds, INO_ROOT, name, S_IFREG | 0644, NULL);
		fill(ds, ino, 0, 3 * RECORD, 50 + i);
		CHECK_OK(file_fsync(ds, ino));
	}
	dataset_put(ds);
	pool_abandon(pool);
	CHECK_OK(superblock_read(dev, &last, true, &error));
	CHECK_OK(ilog_chain_read(&chain, dev, &last, &scan, &error));
	CHECK_UINT(chain.nr, NR_LOGGED);
	ilog_chain_release(&chain);
}

static uint64_t offset_of_batch(size_t i)
{
	/* what was freed: only where it was */
	static uint64_t pos[NR_LOGGED];
	struct store_error error;
	struct ilog_scan scan;
	struct ilog_chain c;

	if (i == 0) {
		CHECK_OK(ilog_chain_read(&c, dev, &last, &scan, &error));
		for (size_t k = 0; k < c.nr; k++)
			pos[k] = c.batch[k].pos;
		ilog_chain_release(&c);
	}
	CHECK(pos[i] < le32_get(last.ilog[0].nr));
	return (le64_get(last.ilog[0].first) + pos[i]) * BLOCK_SIZE;
}

static uint8_t *batch(size_t i)
{
	(void)offset_of_batch(0);
	return image + offset_of_batch(i);
}

/* The device has the first @nr logged files, and what was there before. */
static void has_files(struct blkdev *on, unsigned nr)
{
	struct pool_options o = {.no_background = true};
	struct store_error error = {""};
	struct pool_stat st;
	struct dataset *ds;
	struct pool *pool;

	CHECK_OK(pool_open_on(blkdev_borrow(on), &o, &pool, &error));
	CHECK_STR(error.text, "");
	pool_stat(pool, &st);
	CHECK(!st.read_only);
	ds = open_ds(pool, "prod");
	for (unsigned i = 0; i < NR_LOGGED; i++) {
		static uint8_t got[3 * RECORD];
		struct file_attr attr;
		char name[16];
		size_t len;

		snprintf(name, sizeof(name), "logged%u", i);
		CHECK_INT(file_lookup(ds, INO_ROOT, name, strlen(name), &attr),
			  i < nr ? 0 : -ENOENT);
		if (i >= nr)
			continue;
		CHECK_OK(file_read(ds, attr.ino, 0, got, sizeof(got), &len));
		CHECK_UINT(len, sizeof(got));
	}
	dataset_put(ds);
	populate_more(pool);
	CHECK_OK(pool_sync(pool));
	/* a log of its own, and another crash */
	ds = open_ds(pool, "ci");
	CHECK_OK(file_fsync(ds,
			    make(ds, INO_ROOT, "new", S_IFREG | 0600, NULL)));
	dataset_put(ds);
	pool_abandon(pool);
	CHECK_OK(pool_open_on(blkdev_borrow(on), &o, &pool, &error));
	CHECK_STR(error.text, "");
	ds = open_ds(pool, "ci");
	CHECK_OK(file_unlink(ds, INO_ROOT, "new", 3, NULL));
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
	CHECK_OK(try_discard(on, true, false));
	CHECK_UINT(nr_findings, 0);
	CHECK_INT(result.repaired, CHECK_REPAIR_NONE);
}

/* It can be read, as of its last commit, and says what would help. */
static void is_read_only(struct blkdev *on)
{
	struct pool_options o = {.no_background = true};
	struct store_error error = {""};
	struct pool_stat st;
	struct pool *pool;

	log_set_sink(no_log);
	CHECK_OK(pool_open_on(blkdev_borrow(on), &o, &pool, &error));
	CHECK(strstr(error.text, "--discard-log"));
	pool_stat(pool, &st);
	CHECK(st.read_only);
	CHECK_OK(pool_close(pool));
	log_set_sink(NULL);
}

/* Asked for, it keeps @nr of the files and loses the others. */
static void keeps(struct blkdev *on, unsigned nr)
{
	CHECK_OK(try_discard(on, true, true));
	CHECK_UINT(nr_asked, 1);
	CHECK_INT(result.repaired, CHECK_REPAIR_DECLINED);
	CHECK_OK(try_discard(on, true, false));
	CHECK_UINT(nr_asked, 1);
	CHECK(plan.log.discard);
	CHECK_INT(result.repaired, CHECK_REPAIR_DONE);
	CHECK_UINT(result.nr_left, 0);
	has_files(on, nr);
}

static void discard__replays_what_is_before_the_damage(void **state)
{
	uint8_t *before = malloc(POOL_SIZE);

	(void)state;
	CHECK(before);
	crash_with_a_log();
	batch(3)[200] ^= 1;
	memcpy(before, image, POOL_SIZE);
	is_read_only(dev);
	CHECK_OK(try_discard(dev, false, false));
	CHECK_INT(result.repaired, CHECK_REPAIR_DECLINED);
	CHECK_OK(try_discard(dev, true, true));
	CHECK_INT(result.repaired, CHECK_REPAIR_DECLINED);
	CHECK_MEM(image, before, POOL_SIZE);
	CHECK(!plan.map);
	CHECK_UINT(plan.log.txg, le64_get(last.h.txg));
	CHECK_UINT(plan.log.time, le64_get(last.committed_sec));
	CHECK_UINT(plan.log.lost_txg, 0);
	CHECK(plan.log.nr_replayed >= 3);
	CHECK_UINT(plan.log.nr_batches, 2);
	CHECK(plan.log.nr_records >= 2);
	keeps(dev, 3);
	free(before);
}

static void discard__of_a_log_whose_first_batch_is_gone(void **state)
{
	(void)state;
	crash_with_a_log();
	batch(0)[200] ^= 1;
	is_read_only(dev);
	keeps(dev, 0);
	CHECK_UINT(plan.log.nr_replayed, 0);
}

static void discard__is_refused_without_being_asked_for(void **state)
{
	struct check_options o = {.repair = ask};
	struct store_error error;

	(void)state;
	crash_with_a_log();
	batch(3)[200] ^= 1;
	CHECK_OK(check_run(dev, &o, &result, &error));
	CHECK_INT(result.repaired, CHECK_REPAIR_REFUSED);
	CHECK(strstr(result.why, "--discard-log"));
}

static void discard__leaves_a_log_that_can_be_replayed(void **state)
{
	uint8_t *before = malloc(POOL_SIZE);

	(void)state;
	CHECK(before);
	crash_with_a_log();
	memcpy(before, image, POOL_SIZE);
	CHECK_OK(try_discard(dev, true, false));
	CHECK_UINT(nr_asked, 0);
	CHECK_INT(result.repaired, CHECK_REPAIR_NONE);
	CHECK_MEM(image, before, POOL_SIZE);
	has_files(dev, NR_LOGGED);
	free(before);
}

/* The last batch that is there ends at a block that cannot be read. */
static void discard__replays_what_is_before_an_unreadable_block(void **state)
{
	struct pool_options o = {.no_background = true};
	struct store_error error = {""};
	struct blkdev *bad;
	struct pool *pool;

	(void)state;
	crash_with_a_log();
	(void)batch(0);
	CHECK_OK(blkdev_faulty_open(blkdev_borrow(dev), &bad));
	blkdev_faulty_unreadable(bad, offset_of_batch(4), BLOCK_SIZE);
	log_set_sink(no_log);
	CHECK_INT(pool_open_on(bad, &o, &pool, &error), -EIO);
	CHECK(strstr(error.text, "--discard-log"));
	log_set_sink(NULL);
	keeps(bad, 4);
	blkdev_close(bad);
}

/* It may hide that the log goes on: nothing is replayed unasked. */
static void discard__loses_nothing_for_what_is_behind_the_end(void **state)
{
	struct pool_options o = {.no_background = true};
	struct store_error error = {""};
	struct blkdev *bad;
	struct pool *pool;

	(void)state;
	crash_with_a_log();
	(void)batch(0);
	CHECK_OK(blkdev_faulty_open(blkdev_borrow(dev), &bad));
	blkdev_faulty_unreadable(bad, offset_of_batch(5) + 40 * BLOCK_SIZE,
				 8 * BLOCK_SIZE);
	log_set_sink(no_log);
	CHECK_INT(pool_open_on(bad, &o, &pool, &error), -EIO);
	log_set_sink(NULL);
	CHECK(strstr(error.text, "--discard-log"));
	keeps(bad, NR_LOGGED);
	blkdev_close(bad);
}

/*
 * The same, with a last acknowledged batch that went wrong without an error,
 * and the next one's header unreadable: that is no log's end.
 */
static void discard__is_needed_where_a_bad_block_hides_a_gap(void **state)
{
	struct pool_options o = {.no_background = true};
	struct store_error error = {""};
	struct blkdev *bad;
	struct pool *pool;

	(void)state;
	crash_with_a_log();
	batch(4)[200] ^= 1;
	CHECK_OK(blkdev_faulty_open(blkdev_borrow(dev), &bad));
	blkdev_faulty_unreadable(bad, offset_of_batch(5), BLOCK_SIZE);
	log_set_sink(no_log);
	CHECK_INT(pool_open_on(bad, &o, &pool, &error), -EIO);
	log_set_sink(NULL);
	keeps(bad, 4);
	blkdev_close(bad);
}

/* The runs of the first batch's log records @skip and up. */
static void damage_data(const struct superblock *sb, uint32_t skip)
{
	struct store_error error;
	struct ilog_stored rec;
	struct ilog_scan scan;
	struct ilog_part part;
	struct ilog_chain c;
	const uint8_t *p, *end;
	unsigned nr = 0;

	CHECK_OK(ilog_chain_read(&c, dev, sb, &scan, &error));
	CHECK_UINT(c.nr, 1);
	CHECK(c.batch[0].nr_records > skip);
	CHECK_OK(ilog_chain_payload(&c, 0, &p));
	end = p + c.batch[0].length;
	for (uint32_t n = 0; p < end; n++) {
		CHECK_OK(ilog_stored_next(&p, end, &rec));
		for (const uint8_t *q = rec.parts; n >= skip && q < rec.end;) {
			const struct ilog_extent *x;

			CHECK_OK(ilog_part_next(&q, rec.end, &part));
			x = part.at;
			if (part.kind != ILOG_EXTENT || x->run != ILOG_RUN_NEW)
				continue;
			block(le40_get(x->item.blkno))[100] ^= 1;
			nr++;
		}
	}
	CHECK(nr > 0);
	ilog_chain_release(&c);
}

/* Half of the only batch is in the superblock, the other half has no data. */
static void discard__replays_no_log_record_without_its_data(void **state)
{
	struct pool *pool = pool_of(dev);
	struct dataset *ds = open_ds(pool, "prod");
	uint64_t ino;

	(void)state;
	ino = make(ds, INO_ROOT, "before", S_IFREG | 0600, NULL);
	fill(ds, ino, 0, 3 * RECORD, 50);
	CHECK_OK(pool_sync(pool));
	make(ds, INO_ROOT, "half", S_IFREG | 0600, NULL);
	fill(ds, ino, 0, 3 * RECORD, 51);
	CHECK_OK(file_fsync(ds, ino));
	dataset_put(ds);
	pool_abandon(pool);
	superblock()->ilog_skip = le32_of(1);
	seal_superblock(superblock());
	damage_data(superblock(), 1);
	is_read_only(dev);
	CHECK_OK(try_discard(dev, true, false));
	CHECK_UINT(plan.log.nr_replayed, 0);
	CHECK_INT(result.repaired, CHECK_REPAIR_DONE);
	CHECK_UINT(result.nr_left, 0);
	has_files(dev, 0);
}

/* Commits that the log is from after, and whose superblocks are gone. */
static void crash_without_a_superblock(void)
{
	struct pool *pool = pool_of(dev);
	struct dataset *ds = open_ds(pool, "prod");
	struct superblock *sb;
	uint64_t ino;

	make(ds, INO_ROOT, "before", S_IFREG | 0600, NULL);
	CHECK_OK(pool_sync(pool));
	ino = make(ds, INO_ROOT, "logged0", S_IFREG | 0600, NULL);
	fill(ds, ino, 0, 3 * RECORD, 50);
	CHECK_OK(file_fsync(ds, ino));
	/* never written to the log */
	make(ds, INO_ROOT, "between", S_IFREG | 0600, NULL);
	CHECK_OK(pool_sync(pool));
	make(ds, INO_ROOT, "logged1", S_IFREG | 0600, NULL);
	CHECK_OK(file_fsync(ds, ino));
	dataset_put(ds);
	pool_abandon(pool);
	sb = superblock();
	memset(sb, 0, BLOCK_SIZE);
	memset((uint8_t *)sb + SUPERBLOCK_COPY_BLKNO * BLOCK_SIZE, 0,
	       BLOCK_SIZE);
	sb = superblock();
}

static void discard__goes_back_to_the_last_superblock(void **state)
{
	uint64_t seq;

	(void)state;
	crash_without_a_superblock();
	seq = le64_get(superblock()->commit_seq);
	is_read_only(dev);
	keeps(dev, 0);
	CHECK(le64_get(superblock()->commit_seq) > seq + SUPERBLOCK_RING);
}

static void discard__tells_up_to_where_commits_are_lost(void **state)
{
	uint64_t txg;

	(void)state;
	crash_without_a_superblock();
	txg = le64_get(superblock()->h.txg);
	CHECK_OK(try_discard(dev, true, true));
	CHECK(plan.log.lost_txg > txg);
	CHECK_UINT(plan.log.txg, txg);
	CHECK_UINT(plan.log.nr_replayed, 0);
	CHECK_UINT(plan.log.nr_batches, 2);
	/* the next superblock is not to hide that the log has a hole */
	region(2)->count[100] ^= 1;
	CHECK_OK(try_discard(dev, true, false));
	CHECK(plan.map && plan.log.discard);
	CHECK_INT(result.repaired, CHECK_REPAIR_DONE);
	CHECK_UINT(result.nr_left, 0);
	has_files(dev, 0);
}

/* A log record that changes a damaged leaf: those before it are replayed. */
static void discard__replays_up_to_what_does_not_fit(void **state)
{
	struct pool *pool = pool_of(dev);
	struct dataset *ds = open_ds(pool, "prod"), *idle;
	uint64_t ino, blkno;

	(void)state;
	idle = open_ds(pool, "idle");
	make(ds, INO_ROOT, "before", S_IFREG | 0600, NULL);
	CHECK_OK(pool_sync(pool));
	ino = make(ds, INO_ROOT, "logged0", S_IFREG | 0600, NULL);
	fill(ds, ino, 0, 3 * RECORD, 50);
	CHECK_OK(file_fsync(ds, ino));
	blkno = idle->tree.root.blkno;
	make(idle, INO_ROOT, "lost", S_IFREG | 0600, NULL);
	CHECK_OK(file_fsync(idle, INO_ROOT));
	make(ds, INO_ROOT, "logged1", S_IFREG | 0600, NULL);
	CHECK_OK(file_fsync(ds, ino));
	dataset_put(idle);
	dataset_put(ds);
	pool_abandon(pool);
	/* it is shared with the snapshot and what was cloned from it */
	block(blkno)[2000] ^= 1;
	log_set_sink(no_log);
	is_read_only(dev);
	log_set_sink(no_log);
	CHECK_OK(try_discard(dev, true, false));
	CHECK(!plan.map && plan.log.discard);
	CHECK(plan.log.nr_replayed > 0);
	CHECK_INT(result.repaired, CHECK_REPAIR_DONE);
	CHECK(result.nr_left > 0);
	pool = pool_of(dev);
	ds = open_ds(pool, "prod");
	{
		struct file_attr attr;

		CHECK_OK(file_lookup(ds, INO_ROOT, "logged0", 7, &attr));
		CHECK_INT(file_lookup(ds, INO_ROOT, "logged1", 7, &attr),
			  -ENOENT);
	}
	make(ds, INO_ROOT, "more", S_IFREG | 0600, NULL);
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
	log_set_sink(NULL);
}

static void discard__rebuilds_the_map_first(void **state)
{
	(void)state;
	crash_with_a_log();
	batch(3)[200] ^= 1;
	region(0)->count[100] ^= 1;
	region(2)->count[100] ^= 1;
	log_set_sink(no_log);
	keeps(dev, 3);
	log_set_sink(NULL);
	CHECK(!plan.map);
}

/* What forged numbers there are leaves none for us. */
static void discard__is_refused_where_numbers_have_no_room(void **state)
{
	struct ilog_batch *b;
	struct le64 in[3];

	(void)state;
	crash_with_a_log();
	b = (struct ilog_batch *)batch(4);
	b->epoch = le64_of(UINT64_MAX);
	in[0] = b->epoch;
	in[1] = b->seq;
	in[2] = b->h.blkno;
	b->stamp = le64_of(csum_of(in, sizeof(in), le64_get(last.hash_seed)));
	seal_meta(b, META_ILOG_BATCH);
	CHECK_OK(try_discard(dev, true, false));
	CHECK_UINT(nr_asked, 0);
	CHECK_INT(result.repaired, CHECK_REPAIR_REFUSED);
}

/* ---- crashes ---------------------------------------------------------------- */

/* The first @nr events of a recording over @base, without number @skip. */
static struct blkdev *after(const uint8_t *base, struct blkdev *rec, size_t nr,
			    size_t skip)
{
	struct blkdev *view = blkdev_view_open(base, POOL_SIZE);

	for (size_t i = 0; i < nr; i++) {
		const struct blkdev_event *e = blkdev_faulty_event(rec, i);

		if (e->kind == BLKDEV_EVENT_WRITE && i != skip)
			blkdev_view_write(view, e->data, e->length, e->offset);
	}
	return view;
}

/* What is there can be discarded again, or was: @nr files are left. */
static bool was_done(struct blkdev *view, unsigned nr)
{
	struct check_options o = {.data = true};
	bool done;

	CHECK_OK(check_run(view, &o, &result, NULL));
	done = result.nr_errors == 0;
	CHECK_OK(try_discard(view, true, false));
	CHECK_INT(result.repaired,
		  done ? CHECK_REPAIR_NONE : CHECK_REPAIR_DONE);
	CHECK_UINT(done ? result.nr_errors : result.nr_left, 0);
	has_files(view, nr);
	blkdev_close(view);
	return done;
}

static void crash_anywhere(unsigned nr_files)
{
	uint8_t *base = malloc(POOL_SIZE);
	size_t nr, flush = 0, nr_done = 0;
	struct blkdev *rec;

	CHECK(base);
	memcpy(base, image, POOL_SIZE);
	CHECK_OK(blkdev_faulty_open(blkdev_view_open(base, POOL_SIZE), &rec));
	blkdev_faulty_record(rec, true);
	CHECK_OK(try_discard(rec, true, false));
	CHECK_INT(result.repaired, CHECK_REPAIR_DONE);
	blkdev_faulty_record(rec, false);
	nr = blkdev_faulty_nr_events(rec);
	for (size_t i = 0; i <= nr; i++) {
		bool done = was_done(after(base, rec, i, SIZE_MAX), nr_files);

		CHECK(done || nr_done == 0);
		nr_done += done;
		if (i < nr &&
		    blkdev_faulty_event(rec, i)->kind == BLKDEV_EVENT_FLUSH)
			flush = i;
		/* without one of the writes that were not flushed */
		for (size_t k = flush; k < i; k++)
			(void)was_done(after(base, rec, i, k), nr_files);
	}
	/* its last superblock, and the flush after that */
	CHECK(nr_done >= 2 && nr_done <= 3);
	blkdev_close(rec);
	free(base);
}

static void discard__can_crash_while_it_replays(void **state)
{
	(void)state;
	crash_with_a_log();
	batch(3)[200] ^= 1;
	crash_anywhere(3);
}

static void discard__can_crash_while_it_repairs_and_replays(void **state)
{
	(void)state;
	crash_with_a_log();
	batch(3)[200] ^= 1;
	region(2)->count[100] ^= 1;
	log_set_sink(no_log);
	crash_anywhere(3);
	log_set_sink(NULL);
}

static void discard__can_crash_while_it_goes_back(void **state)
{
	(void)state;
	crash_without_a_superblock();
	region(2)->count[100] ^= 1;
	log_set_sink(no_log);
	crash_anywhere(0);
	log_set_sink(NULL);
}

/* A failed write leaves a pool that can be discarded again. */
static void discard__failed_write_loses_no_more(void **state)
{
	uint8_t *base = malloc(POOL_SIZE);

	(void)state;
	CHECK(base);
	crash_with_a_log();
	batch(3)[200] ^= 1;
	memcpy(base, image, POOL_SIZE);
	log_set_sink(no_log);
	for (uint64_t nth = 1;; nth++) {
		struct blkdev *bad;
		int rc;

		CHECK_OK(blkdev_faulty_open(blkdev_view_open(base, POOL_SIZE),
					    &bad));
		blkdev_faulty_fail(bad, BLKDEV_CALL_WRITE | BLKDEV_CALL_FLUSH,
				   nth, -EIO, true, true);
		rc = try_discard(bad, true, false);
		blkdev_faulty_fail(bad, 0, 0, 0, false, false);
		CHECK(rc == 0 || rc == -EIO || rc == -EROFS);
		CHECK_OK(try_discard(bad, true, false));
		has_files(bad, 3);
		blkdev_close(bad);
		if (rc == 0)
			break;
	}
	log_set_sink(NULL);
	free(base);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(discard__replays_what_is_before_the_damage),
		TEST(discard__of_a_log_whose_first_batch_is_gone),
		TEST(discard__is_refused_without_being_asked_for),
		TEST(discard__leaves_a_log_that_can_be_replayed),
		TEST(discard__replays_what_is_before_an_unreadable_block),
		TEST(discard__loses_nothing_for_what_is_behind_the_end),
		TEST(discard__is_needed_where_a_bad_block_hides_a_gap),
		TEST(discard__replays_no_log_record_without_its_data),
		TEST(discard__goes_back_to_the_last_superblock),
		TEST(discard__tells_up_to_where_commits_are_lost),
		TEST(discard__replays_up_to_what_does_not_fit),
		TEST(discard__rebuilds_the_map_first),
		TEST(discard__is_refused_where_numbers_have_no_room),
		TEST(discard__can_crash_while_it_replays),
		TEST(discard__can_crash_while_it_repairs_and_replays),
		TEST(discard__can_crash_while_it_goes_back),
		TEST(discard__failed_write_loses_no_more),
	};

	return cmocka_run_group_tests(tests, make_pool, free_pool);
}
