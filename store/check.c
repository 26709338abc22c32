/* SPDX-License-Identifier: Apache-2.0 */
#include "store/check_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/csum.h"
#include "store/ilog_replay.h"
#include "store/pool_internal.h"
#include "store/util.h"

#define PROGRESS_BLOCKS 4096u
#define FINDING_MAX	2048u

/* Names and paths come from disk: no control character leaves here. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == '\177')
			*text = '?';
}

void check_report(struct check *c, const char *fmt, ...)
{
	char text[FINDING_MAX];
	va_list ap;

	c->result->nr_errors++;
	if (!c->options->report)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	make_printable(text);
	c->options->report(c->options->arg, text);
}

void check_note(struct check *c, const char *fmt, ...)
{
	char text[FINDING_MAX];
	va_list ap;

	c->result->nr_notes++;
	if (!c->options->note)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	make_printable(text);
	c->options->note(c->options->arg, text);
}

void check_incomplete(struct check *c)
{
	c->incomplete = true;
	c->damaged[c->part] = true;
}

void check_progress(struct check *c, uint64_t nr)
{
	uint64_t total = c->nr_blocks - le64_get(c->sb.nr_free);

	c->done += nr;
	if (!c->options->progress || c->done < c->next_progress)
		return;
	c->next_progress = c->done + PROGRESS_BLOCKS;
	c->options->progress(c->options->arg, MIN_OF(c->done, total), total);
}

const char *check_errno(int error)
{
	switch (error) {
	case -EBADMSG:
		return "does not match its checksum, or is not what belongs "
		       "there";
	case -EUCLEAN:
		return "is malformed";
	default:
		return "cannot be read";
	}
}

/* Is what was read from block @b a superblock? */
static bool is_superblock(const struct superblock *sb, uint64_t b)
{
	return le32_get(sb->h.type) == META_SUPERBLOCK &&
	       le64_get(sb->h.blkno) == b &&
	       le64_get(sb->h.csum) == csum_of((const uint8_t *)sb + 8,
					       BLOCK_SIZE - 8, META_SUPERBLOCK);
}

/* All slots of the rings that hold a superblock hold one of this pool. */
static void check_rings(struct check *c)
{
	struct superblock *sb = (struct superblock *)c->page[0];
	uint64_t seq = le64_get(c->sb.commit_seq);

	if (memcmp(c->sb.uuid, c->sb.h.pool_id.b, sizeof(c->sb.h.pool_id)))
		check_report(c, "the superblock's pool id is not its UUID's");
	for (uint64_t i = 0; i < 2ull * SUPERBLOCK_RING; i++) {
		uint64_t b = i % SUPERBLOCK_RING +
			     (i < SUPERBLOCK_RING ? 0 : SUPERBLOCK_COPY_BLKNO);

		if (blkdev_read(c->dev, sb, BLOCK_SIZE, b * BLOCK_SIZE)) {
			check_report(c, "the superblock in block %llu %s",
				     ULL(b), check_errno(-EIO));
			continue;
		}
		if (i % SUPERBLOCK_RING == seq % SUPERBLOCK_RING &&
		    (!is_superblock(sb, b) || le64_get(sb->commit_seq) != seq))
			check_note(
				c,
				"the copy of the superblock in block %llu is "
				"not whole: a crash while it was written "
				"does that, and so does damage; the other "
				"copy is used",
				ULL(b));
		if (is_superblock(sb, b) &&
		    memcmp(sb->uuid, c->sb.uuid, sizeof(sb->uuid)))
			check_report(c,
				     "the superblock in block %llu belongs to "
				     "another pool",
				     ULL(b));
	}
}

/* What waits for replay is no damage, but the next commit is not ours. */
static int check_log(struct check *c)
{
	struct store_error why = {""};
	struct ilog_scan scan = {0};
	int rc = ilog_scan_device(c->dev, &c->sb, &scan, &why);

	if (rc == -ENOMEM)
		return rc;
	if (rc)
		check_report(c, "the intent log %s", check_errno(rc));
	else if (scan.damaged || scan.newer)
		check_report(c, "the intent log: %s", why.text);
	c->scan = scan;
	c->log_unclear = rc || scan.damaged || scan.newer;
	c->result->nr_batches = scan.nr_batches;
	if (scan.nr_batches > 0 && !c->log_unclear)
		check_note(c,
			   "%llu batches of the intent log (%llu log records) "
			   "wait for replay, which comes when the pool is "
			   "mounted: this is the state of the last commit",
			   ULL(scan.nr_batches), ULL(scan.nr_records));
	return 0;
}

void check_release(struct check *c)
{
	check_counts_release(c);
	idmap_release(&c->roots);
	idmap_release(&c->bad_runs);
	free(c->space_nodes);
	free(c->datasets);
	free(c->dead);
	for (unsigned i = 0; i < NODE_LEVEL_MAX; i++)
		free(c->page[i]);
	free(c->record);
	free(c->plain);
}

int check_init(struct check *c)
{
	int rc;

	c->pool_id = le64_get(c->sb.h.pool_id);
	c->nr_blocks = le64_get(c->sb.nr_blocks);
	c->txg = le64_get(c->sb.h.txg);
	c->hash_seed = le64_get(c->sb.hash_seed);
	rc = check_counts_init(c);
	if (rc)
		return rc;
	idmap_init(&c->roots, sizeof(struct tree_totals));
	idmap_init(&c->bad_runs, sizeof(struct check_bad));
	for (unsigned i = 0; i < NODE_LEVEL_MAX; i++) {
		c->page[i] = blkdev_buffer_new(BLOCK_SIZE);
		if (!c->page[i])
			return -ENOMEM;
	}
	c->record = blkdev_buffer_new(RECORD_BLOCKS_MAX * BLOCK_SIZE);
	c->plain = blkdev_buffer_new(RECORD_BLOCKS_MAX * BLOCK_SIZE);
	return c->record && c->plain ? 0 : -ENOMEM;
}

int check_walk_all(struct check *c, bool live_only)
{
	int rc;

	check_counts_fixed(c);
	rc = check_pool_trees(c);
	for (size_t i = 0; i < c->nr_datasets && rc == 0; i++)
		rc = check_dataset(c, &c->datasets[i]);
	if (rc == 0 && !live_only)
		rc = check_dead_trees(c);
	return rc;
}

static int check_all(struct check *c, struct store_error *error)
{
	int rc;

	check_rings(c);
	rc = check_log(c);
	if (rc == 0)
		rc = check_walk_all(c, false);
	if (rc == 0)
		rc = check_space(c);
	if (rc == 0 && c->options->repair)
		rc = check_repair(c, error);
	return rc;
}

int check_run(struct blkdev *dev, const struct check_options *options,
	      struct check_result *result, struct store_error *error)
{
	static const struct check_options none;
	struct store_error why = {""};
	struct check c = {
		.dev = dev,
		.options = options ? options : &none,
		.result = result,
	};
	bool writes = c.options->repair && !c.options->dry_run;
	int rc;

	memset(result, 0, sizeof(*result));
	rc = superblock_read(dev, &c.sb, !writes, error);
	if (rc)
		return rc;
	rc = check_init(&c);
	if (rc == 0)
		rc = check_all(&c, &why);
	if (rc && *why.text)
		store_error_set(error, "%s", why.text);
	else if (rc)
		store_error_set(error,
				"the check of '%s' could not be finished: %s",
				dev->name, strerror(-rc));
	check_release(&c);
	return rc;
}

int check_pool(const char *path, const struct check_options *options,
	       struct check_result *result, struct store_error *error)
{
	bool writes = options && options->repair && !options->dry_run;
	struct blkdev *dev;
	int owner = 0, rc;

	rc = blkdev_file_open(path, writes ? 0 : BLKDEV_READ_ONLY, &dev,
			      &owner);
	if (rc == -EBUSY && owner)
		store_error_set(
			error,
			"'%s' is in use by process %d; unmount the pool first",
			path, owner);
	else if (rc == -EBUSY)
		store_error_set(error, "'%s' is in use; unmount the pool first",
				path);
	else if (rc)
		store_error_set(error, "cannot open '%s': %s", path,
				strerror(-rc));
	if (rc)
		return rc;
	rc = check_run(dev, options, result, error);
	blkdev_close(dev);
	return rc;
}
