/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim_dev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/csum.h"
#include "store/util.h"
#include "tests/lib/check.h"
#include "tests/sim/sim_internal.h"

#define SECTOR	512u
#define US	UINT64_C(1000)
#define MS	UINT64_C(1000000)
#define GARBAGE 0xdb
/* in what goes into the digest, beside a multiple of BLKDEV_ALIGN */
#define NOTE_WRITE   1u
#define NOTE_FLUSH   2000000u
#define FAILED_READS 16u
#define SLOW_ONE_IN  200u /* calls that take milliseconds */

/* -- images ---------------------------------------------------------------- */

void sim_image_init(struct sim_image *image, const uint8_t *base,
		    uint64_t nr_blocks)
{
	image->base = base;
	image->nr = nr_blocks;
	image->blocks = calloc(nr_blocks, sizeof(*image->blocks));
	MUST(image->blocks);
}

void sim_image_release(struct sim_image *image)
{
	for (uint64_t i = 0; image->blocks && i < image->nr; i++)
		free(image->blocks[i]);
	free(image->blocks);
	image->blocks = NULL;
}

static const uint8_t *image_block(const struct sim_image *image, uint64_t blkno)
{
	return image->blocks[blkno] ? image->blocks[blkno]
				    : image->base + blkno * BLKDEV_ALIGN;
}

static uint8_t *image_edit(struct sim_image *image, uint64_t blkno)
{
	if (!image->blocks[blkno]) {
		image->blocks[blkno] = malloc(BLKDEV_ALIGN);
		MUST(image->blocks[blkno]);
		memcpy(image->blocks[blkno], image->base + blkno * BLKDEV_ALIGN,
		       BLKDEV_ALIGN);
	}
	return image->blocks[blkno];
}

void sim_image_copy(struct sim_image *to, const struct sim_image *from)
{
	sim_image_init(to, from->base, from->nr);
	for (uint64_t i = 0; i < from->nr; i++)
		if (from->blocks[i])
			memcpy(image_edit(to, i), from->blocks[i],
			       BLKDEV_ALIGN);
}

static void image_write(struct sim_image *image, uint64_t blkno,
			const uint8_t *data, uint64_t nr_blocks)
{
	for (uint64_t i = 0; i < nr_blocks; i++)
		memcpy(image_edit(image, blkno + i), data + i * BLKDEV_ALIGN,
		       BLKDEV_ALIGN);
}

/* -- the device ------------------------------------------------------------ */

/* A write that may be lost. */
struct pending {
	struct list link;
	uint64_t blkno, nr_blocks;
	uint8_t *data;
	bool returned;
	uint64_t returned_at; /* the device's event number */
};

struct sim_dev {
	struct blkdev dev;
	struct sim_image now;	  /* what reads give */
	struct sim_image durable; /* what no crash takes away */
	struct list pending;	  /* by age */
	uint64_t events, alarm;
	void (*alarm_fn)(void *arg);
	void *alarm_arg;
	struct sim_faults faults;
	struct sim_dev_stat stat;
	unsigned spared;
	uint64_t failed_reads[FAILED_READS]; /* block numbers */
	unsigned nr_failed_reads;
	bool flush_failed;
	bool ignore_flushes;
};

static struct sim_dev *dev_of(struct blkdev *dev)
{
	return container_of(dev, struct sim_dev, dev);
}

static void event(struct sim_dev *d)
{
	d->events++;
	if (d->alarm && d->events >= d->alarm) {
		d->alarm = 0;
		d->alarm_fn(d->alarm_arg);
	}
}

static void take_time(uint64_t least, uint64_t most)
{
	struct rnd *rnd = sim_rnd();

	if (rnd_one_in(rnd, SLOW_ONE_IN))
		most = 20 * MS;
	sim_sleep(rnd_between(rnd, least, most));
}

static bool fails(struct sim_dev *d, unsigned one_in)
{
	if (!one_in || !d->faults.at_most || d->spared ||
	    !rnd_one_in(sim_rnd(), one_in))
		return false;
	d->faults.at_most--;
	return true;
}

/* Once a block: who reads again gets it, as from a device that recovered. */
static bool read_fails(struct sim_dev *d, uint64_t blkno)
{
	for (unsigned i = 0; i < d->nr_failed_reads; i++)
		if (d->failed_reads[i] == blkno)
			return false;
	if (d->nr_failed_reads == FAILED_READS ||
	    !fails(d, d->faults.read_one_in))
		return false;
	d->failed_reads[d->nr_failed_reads++] = blkno;
	return true;
}

static void must_hold_no_lock(const char *what)
{
	if (sim_self()->nr_held)
		sim_fail("%s of the device by task %s, which holds %u locks",
			 what, sim_self()->name, sim_self()->nr_held);
}

static int dev_preadv(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		      uint64_t offset)
{
	struct sim_dev *d = dev_of(dev);
	uint64_t blkno = offset / BLKDEV_ALIGN;
	const bool failing = read_fails(d, blkno);

	must_hold_no_lock("read");
	d->stat.nr_reads++;
	/* nobody may look before it is there */
	for (int i = 0; i < nr_iov; i++)
		memset(iov[i].iov_base, GARBAGE, iov[i].iov_len);
	take_time(20 * US, 150 * US);
	if (failing) {
		d->stat.nr_read_faults++;
		d->stat.last_read_fault = sim_steps();
		sim_note(offset, EIO);
		return -EIO;
	}
	for (int i = 0; i < nr_iov; i++)
		for (size_t at = 0; at < iov[i].iov_len; at += BLKDEV_ALIGN)
			memcpy((uint8_t *)iov[i].iov_base + at,
			       image_block(&d->now, blkno++), BLKDEV_ALIGN);
	sim_note(offset, csum_of_iov(iov, nr_iov, 0));
	return 0;
}

static void must_not_overlap(struct sim_dev *d, uint64_t blkno, uint64_t nr)
{
	for (struct list *l = d->pending.next; l != &d->pending; l = l->next) {
		const struct pending *p = container_of(l, struct pending, link);

		if (!p->returned && blkno < p->blkno + p->nr_blocks &&
		    p->blkno < blkno + nr)
			sim_fail("two writes of blocks %ju + %ju and %ju + %ju "
				 "at once",
				 (uintmax_t)p->blkno, (uintmax_t)p->nr_blocks,
				 (uintmax_t)blkno, (uintmax_t)nr);
	}
}

static struct pending *pending_new(struct sim_dev *d, const struct iovec *iov,
				   int nr_iov, uint64_t offset)
{
	struct pending *p = calloc(1, sizeof(*p));
	size_t len = 0, at = 0;

	for (int i = 0; i < nr_iov; i++)
		len += iov[i].iov_len;
	MUST(p);
	p->data = malloc(len);
	MUST(p->data);
	for (int i = 0; i < nr_iov; i++) {
		memcpy(p->data + at, iov[i].iov_base, iov[i].iov_len);
		at += iov[i].iov_len;
	}
	p->blkno = offset / BLKDEV_ALIGN;
	p->nr_blocks = len / BLKDEV_ALIGN;
	must_not_overlap(d, p->blkno, p->nr_blocks);
	list_add_tail(&d->pending, &p->link);
	return p;
}

static void pending_free(struct pending *p)
{
	list_del(&p->link);
	free(p->data);
	free(p);
}

/* Some sectors of a write reach @image. */
static void write_torn(struct sim_image *image, const struct pending *p,
		       struct rnd *rnd)
{
	const uint64_t nr = p->nr_blocks * (BLKDEV_ALIGN / SECTOR);
	const bool in_order = rnd_one_in(rnd, 2);
	const uint64_t end = in_order ? rnd_below(rnd, nr + 1) : nr;

	for (uint64_t i = 0; i < end; i++) {
		const uint64_t at = i * SECTOR;

		if (in_order || rnd_one_in(rnd, 2))
			memcpy(image_edit(image, p->blkno + at / BLKDEV_ALIGN) +
				       at % BLKDEV_ALIGN,
			       p->data + at, SECTOR);
	}
}

static int dev_pwritev(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		       uint64_t offset)
{
	struct sim_dev *d = dev_of(dev);
	const uint64_t csum = csum_of_iov(iov, nr_iov, 0);
	const bool failing = fails(d, d->faults.write_one_in);
	const bool early = rnd_one_in(sim_rnd(), 2);
	struct pending *p;

	must_hold_no_lock("write");
	d->stat.nr_writes++;
	p = pending_new(d, iov, nr_iov, offset);
	sim_note(offset | NOTE_WRITE, csum);
	if (early && !failing)
		image_write(&d->now, p->blkno, p->data, p->nr_blocks);
	event(d);
	take_time(20 * US, 200 * US);
	if (csum_of_iov(iov, nr_iov, 0) != csum)
		sim_fail("the bytes for block %ju were changed while they were "
			 "written",
			 (uintmax_t)p->blkno);
	if (failing)
		write_torn(&d->now, p, sim_rnd());
	else if (!early)
		image_write(&d->now, p->blkno, p->data, p->nr_blocks);
	p->returned = true;
	event(d);
	p->returned_at = d->events;
	if (failing) {
		d->stat.nr_write_faults++;
		sim_note(offset | NOTE_WRITE, EIO);
	}
	return failing ? -EIO : 0;
}

static int dev_flush(struct blkdev *dev)
{
	struct sim_dev *d = dev_of(dev);
	const uint64_t began = d->events;
	bool failing = fails(d, d->faults.flush_one_in);

	must_hold_no_lock("flush");
	d->stat.nr_flushes++;
	take_time(50 * US, 1 * MS);
	d->flush_failed = d->flush_failed || failing;
	failing = d->flush_failed;
	for (struct list *l = d->pending.next, *next; l != &d->pending;
	     l = next) {
		struct pending *p = container_of(l, struct pending, link);

		next = l->next;
		if (!p->returned || p->returned_at > began || d->ignore_flushes)
			continue;
		/* what a flush failed to write is forgotten (D3) */
		if (failing && rnd_one_in(sim_rnd(), 2))
			write_torn(&d->durable, p, sim_rnd());
		else if (!failing)
			image_write(&d->durable, p->blkno, p->data,
				    p->nr_blocks);
		pending_free(p);
	}
	d->stat.nr_write_faults += failing;
	sim_note(NOTE_FLUSH, failing ? EIO : 0);
	event(d);
	return failing ? -EIO : 0;
}

static int dev_resize(struct blkdev *dev, uint64_t size, bool preallocate)
{
	(void)preallocate;
	return size <= dev->size ? 0 : -ENOTSUP;
}

static int dev_discard(struct blkdev *dev, uint64_t offset, uint64_t length)
{
	(void)dev;
	(void)offset;
	(void)length;
	return 0;
}

static void dev_close(struct blkdev *dev)
{
	struct sim_dev *d = dev_of(dev);

	while (!list_empty(&d->pending)) {
		struct pending *p =
			list_first(&d->pending, struct pending, link);

		if (!p->returned)
			sim_fail("closed while a write is under way");
		pending_free(p);
	}
	sim_image_release(&d->now);
	sim_image_release(&d->durable);
	free(d);
}

static const struct blkdev_ops dev_ops = {
	.preadv = dev_preadv,
	.pwritev = dev_pwritev,
	.flush = dev_flush,
	.resize = dev_resize,
	.discard = dev_discard,
	.close = dev_close,
};

struct blkdev *sim_dev_open(const struct sim_image *image)
{
	struct sim_dev *d = calloc(1, sizeof(*d));

	MUST(d);
	d->dev.ops = &dev_ops;
	d->dev.size = image->nr * BLKDEV_ALIGN;
	d->dev.name = "simulated";
	sim_image_copy(&d->now, image);
	sim_image_copy(&d->durable, image);
	list_init(&d->pending);
	return &d->dev;
}

void sim_dev_fail(struct blkdev *dev, const struct sim_faults *faults)
{
	dev_of(dev)->faults = *faults;
}

void sim_dev_spare(struct blkdev *dev, bool on)
{
	struct sim_dev *d = dev_of(dev);

	MUST(on || d->spared > 0);
	d->spared += on ? 1 : -1u;
}

void sim_dev_stat(struct blkdev *dev, struct sim_dev_stat *st)
{
	*st = dev_of(dev)->stat;
}

void sim_dev_ignore_flushes(struct blkdev *dev)
{
	dev_of(dev)->ignore_flushes = true;
}

void sim_dev_crash(struct blkdev *dev, enum sim_crash how,
		   struct sim_image *image)
{
	struct sim_dev *d = dev_of(dev);
	struct rnd *rnd = sim_rnd();

	sim_image_copy(image, &d->durable);
	for (struct list *l = d->pending.next; l != &d->pending; l = l->next) {
		const struct pending *p = container_of(l, struct pending, link);
		const uint64_t dice = rnd_below(rnd, 4);

		if (how == SIM_CRASH_LOSE)
			continue;
		if (how == SIM_CRASH_KEEP ? p->returned : dice == 0)
			image_write(image, p->blkno, p->data, p->nr_blocks);
		else if (how == SIM_CRASH_KEEP || dice == 1)
			write_torn(image, p, rnd);
	}
}

void sim_dev_alarm(struct blkdev *dev, uint64_t events, void (*fn)(void *arg),
		   void *arg)
{
	struct sim_dev *d = dev_of(dev);

	d->alarm = events ? d->events + events : 0;
	d->alarm_fn = fn;
	d->alarm_arg = arg;
}
