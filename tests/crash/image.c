/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/image.h"

#include <limits.h>

#include "store/format.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"

#define SECTOR	512u
#define SECTORS (BLOCK_SIZE / SECTOR)

/*
 * Shapes.  The adversarial ones aim at what a commit or a batch relies on:
 * superblocks, the log, first sectors (headers) and last ones.
 */
enum shape {
	PREFIX = SHAPE_PREFIX,
	LOG_ONLY = SHAPE_LOG_ONLY,
	ANY,	     /* each write is there or not */
	ANY_OR_TORN, /* ... or only some sectors of it */
	ALL_TORN,    /* any sector is there or not */
	ONE_LOST,
	ONE_THERE,
	ONE_TORN,
	SUPERBLOCK_FIRST, /* superblocks, and any of the others */
	SUPERBLOCK_ONLY,
	SUPERBLOCK_TORN, /* all but some sectors of superblocks */
	LOG_FIRST,	 /* the log, and any of the others */
	LOG_TORN,
	NEWEST,	  /* the newer half */
	HEADS,	  /* first sectors only */
	TAILS,	  /* all but the first sectors */
	SHORT,	  /* all but the last sectors */
	LOG_BODY, /* of the log first blocks, and some sectors behind them */
	NR_SHAPES
};

enum kind { KIND_DATA, KIND_SUPERBLOCK, KIND_LOG };

/* What happens to one write. */
enum fate { LOST, THERE, TORN, HEAD, TAIL, CUT, BODY };

static enum kind kind_of(const struct image_base *base,
			 const struct blkdev_event *e)
{
	const uint64_t blkno = e->offset / BLOCK_SIZE;

	if (blkno < SUPERBLOCK_RING ||
	    (blkno >= SUPERBLOCK_COPY_BLKNO &&
	     blkno < SUPERBLOCK_COPY_BLKNO + SUPERBLOCK_RING))
		return KIND_SUPERBLOCK;
	for (unsigned i = 0; i < base->nr_log; i++)
		if (blkno >= base->log[i].first &&
		    blkno < base->log[i].first + base->log[i].nr)
			return KIND_LOG;
	return KIND_DATA;
}

/* @i of @nr writes that may be lost; @chosen: one picked beforehand */
static enum fate fate_of(enum shape shape, enum kind kind, size_t i, size_t nr,
			 size_t chosen, struct rnd *rnd)
{
	const enum fate any = rnd_one_in(rnd, 2) ? THERE : LOST;
	const uint64_t dice = rnd_below(rnd, 5);

	switch (shape) {
	case ANY:
		return any;
	case ANY_OR_TORN:
		return dice < 3 ? THERE : dice == 3 ? LOST : TORN;
	case ALL_TORN:
		return TORN;
	case ONE_LOST:
		return i == chosen ? LOST : THERE;
	case ONE_THERE:
		return i == chosen ? THERE : LOST;
	case ONE_TORN:
		return i == chosen ? TORN : THERE;
	case SUPERBLOCK_FIRST:
		return kind == KIND_SUPERBLOCK ? THERE : any;
	case SUPERBLOCK_ONLY:
		return kind == KIND_SUPERBLOCK ? THERE : LOST;
	case SUPERBLOCK_TORN:
		return kind == KIND_SUPERBLOCK ? TORN : THERE;
	case LOG_ONLY:
		return kind == KIND_LOG ? THERE : LOST;
	case LOG_FIRST:
		return kind == KIND_LOG ? THERE : any;
	case LOG_TORN:
		return kind == KIND_LOG ? TORN : THERE;
	case NEWEST:
		return i >= nr / 2 ? THERE : LOST;
	case HEADS:
		return HEAD;
	case TAILS:
		return TAIL;
	case SHORT:
		return CUT;
	case LOG_BODY:
		return kind == KIND_LOG ? BODY : any;
	default:
		return THERE;
	}
}

/* Write sector @s of a block when its write has @fate? */
static bool has_sector(enum fate fate, size_t s, size_t nr, struct rnd *rnd)
{
	switch (fate) {
	case TORN:
		return rnd_one_in(rnd, 2);
	case HEAD:
		return s == 0;
	case TAIL:
		return s > 0;
	case CUT:
		return s + 1 < nr;
	case BODY:
		return s < SECTORS || rnd_one_in(rnd, 2);
	default:
		return fate == THERE;
	}
}

static void apply(struct blkdev *dev, const struct blkdev_event *e,
		  enum fate fate, struct rnd *rnd)
{
	const size_t nr = e->length / SECTOR;
	uint8_t *buf;

	if (fate == THERE)
		blkdev_view_write(dev, e->data, e->length, e->offset);
	if (fate == THERE || fate == LOST)
		return;
	buf = blkdev_buffer_new(e->length);
	MUST(buf);
	MUST(blkdev_read(dev, buf, e->length, e->offset) == 0);
	for (size_t s = 0; s < nr; s++)
		if (has_sector(fate, s, nr, rnd))
			memcpy(buf + s * SECTOR, e->data + s * SECTOR, SECTOR);
	blkdev_view_write(dev, buf, e->length, e->offset);
	free(buf);
}

/* Writes in events [from, to). */
static size_t count_writes(const struct recording *rec, size_t from, size_t to)
{
	size_t nr = 0;

	for (size_t i = from; i < to; i++)
		nr += rec->events[i]->kind == BLKDEV_EVENT_WRITE;
	return nr;
}

/* Events [from, n) that no flush has covered, and maybe the one at @n. */
static void apply_window(const struct image_base *base, struct blkdev *dev,
			 const struct recording *rec, size_t from, size_t n,
			 enum shape shape, struct rnd *rnd)
{
	const size_t to = MIN_OF(n + (shape != PREFIX), rec->nr_events);
	const size_t nr = count_writes(rec, from, to);
	const size_t chosen = rnd_below(rnd, nr);
	size_t at = 0;

	for (size_t i = from; i < to; i++) {
		const struct blkdev_event *e = rec->events[i];

		if (e->kind != BLKDEV_EVENT_WRITE)
			continue;
		apply(dev, e,
		      fate_of(shape, kind_of(base, e), at++, nr, chosen, rnd),
		      rnd);
	}
}

static enum shape pick_shape(unsigned shape, struct rnd *rnd)
{
	if (shape != SHAPE_RANDOM)
		return (enum shape)(shape % NR_SHAPES);
	return (enum shape)rnd_between(rnd, 1, NR_SHAPES);
}

void image_base_init(struct image_base *base, uint8_t *bytes)
{
	const struct superblock *newest = NULL;

	*base = (struct image_base){.bytes = bytes};
	for (unsigned i = 0; i < SUPERBLOCK_RING; i++) {
		const struct superblock *sb =
			(const struct superblock *)(bytes + i * BLOCK_SIZE);

		if (memcmp(sb->magic, SUPERBLOCK_MAGIC, sizeof(sb->magic)) == 0)
			newest = sb;
	}
	/* the log stays where it is from creation on */
	for (unsigned i = 0; newest && i < ILOG_SEGMENTS_MAX; i++) {
		if (!le32_get(newest->ilog[i].nr))
			continue;
		MUST(base->nr_log < ARRAY_SIZE(base->log));
		base->log[base->nr_log].first = le64_get(newest->ilog[i].first);
		base->log[base->nr_log++].nr = le32_get(newest->ilog[i].nr);
	}
}

void image_base_advance(struct image_base *base, const struct recording *rec,
			const struct blkdev_event *e)
{
	if (e->kind != BLKDEV_EVENT_FLUSH)
		return;
	for (; base->covered < e->offset; base->covered++) {
		const struct blkdev_event *w = rec->events[base->covered];

		if (w->kind == BLKDEV_EVENT_WRITE)
			memcpy(base->bytes + w->offset, w->data, w->length);
	}
}

struct blkdev *image_open(const struct image_base *base,
			  const struct recording *rec, size_t n, unsigned shape,
			  struct rnd *rnd)
{
	struct blkdev *dev = blkdev_view_open(base->bytes, CRASH_DEVICE_SIZE);

	apply_window(base, dev, rec, base->covered, n, pick_shape(shape, rnd),
		     rnd);
	return dev;
}

void image_apply(const struct image_base *base, struct blkdev *dev,
		 const struct recording *rec, size_t n, unsigned shape,
		 struct rnd *rnd)
{
	size_t covered = 0;

	for (size_t i = 0; i < n; i++)
		if (rec->events[i]->kind == BLKDEV_EVENT_FLUSH)
			covered =
				MAX_OF(covered, (size_t)rec->events[i]->offset);
	for (size_t i = 0; i < covered; i++)
		if (rec->events[i]->kind == BLKDEV_EVENT_WRITE)
			apply(dev, rec->events[i], THERE, rnd);
	apply_window(base, dev, rec, covered, n, pick_shape(shape, rnd), rnd);
}
