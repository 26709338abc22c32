/* SPDX-License-Identifier: Apache-2.0 */
#include "store/blkdev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/os.h"
#include "store/util.h"

#define SECTOR_SIZE 512u /* the most that a device writes atomically */
#define NR_CALLS    3	 /* kinds of call: read, write, flush */

/* Allocated one by one, so that an event stays where it is. */
struct recorded {
	struct blkdev_event event;
	uint8_t data[];
};

struct faulty_dev {
	struct blkdev dev;

	/* immutable after open */
	struct blkdev *below;

	struct os_mutex lock;

	/* under lock: the recording */
	bool recording;
	struct recorded **events;
	size_t nr_events;
	size_t max_events;

	/* under lock: what is to fail, and what was called */
	unsigned fail_calls; /* mask of blkdev_call, 0 none */
	uint64_t fail_in;    /* calls until the failing one, 1 the next */
	int fail_error;
	bool fail_sticky;
	bool fail_torn;
	uint64_t bad_offset, bad_length; /* bytes that cannot be read */
	uint64_t nr_calls[NR_CALLS];
};

static const struct blkdev_ops faulty_ops;

static struct faulty_dev *faulty_of(struct blkdev *dev)
{
	dbs_assert(dev->ops == &faulty_ops);
	return container_of(dev, struct faulty_dev, dev);
}

/* Count a call; returns the error it is to fail with, or 0. */
static int call_count(struct faulty_dev *f, enum blkdev_call call, bool *torn)
{
	int error = 0;

	*torn = false;
	os_mutex_lock(&f->lock);
	for (int i = 0; i < NR_CALLS; i++)
		if (call == 1u << i)
			f->nr_calls[i]++;
	if (f->fail_calls & call) {
		if (f->fail_in > 1) {
			f->fail_in--;
		} else {
			error = f->fail_error;
			*torn = f->fail_torn;
			if (!f->fail_sticky)
				f->fail_calls = 0;
		}
	}
	os_mutex_unlock(&f->lock);
	return error;
}

static struct recorded *recorded_new(enum blkdev_event_kind kind,
				     uint64_t offset, uint32_t length)
{
	struct recorded *rec = malloc(sizeof(*rec) + length);

	if (!rec)
		return NULL;
	rec->event.kind = kind;
	rec->event.offset = offset;
	rec->event.length = length;
	rec->event.data = rec->data;
	return rec;
}

/* Takes over @rec; drops it when nobody records. */
static void events_append_locked(struct faulty_dev *f, struct recorded *rec)
{
	if (!f->recording) {
		free(rec);
		return;
	}
	if (f->nr_events == f->max_events) {
		size_t max = MAX_OF(2 * f->max_events, (size_t)64);
		struct recorded **events =
			reallocarray(f->events, max, sizeof(*events));

		dbs_assert(events);
		f->events = events;
		f->max_events = max;
	}
	f->events[f->nr_events++] = rec;
}

static void events_append(struct faulty_dev *f, struct recorded *rec)
{
	os_mutex_lock(&f->lock);
	events_append_locked(f, rec);
	os_mutex_unlock(&f->lock);
}

static void events_drop_locked(struct faulty_dev *f)
{
	for (size_t i = 0; i < f->nr_events; i++)
		free(f->events[i]);
	free(f->events);
	f->events = NULL;
	f->nr_events = 0;
	f->max_events = 0;
}

static bool is_recording(struct faulty_dev *f)
{
	bool on;

	os_mutex_lock(&f->lock);
	on = f->recording;
	os_mutex_unlock(&f->lock);
	return on;
}

static size_t iov_length(const struct iovec *iov, int nr_iov)
{
	size_t length = 0;

	for (int i = 0; i < nr_iov; i++)
		length += iov[i].iov_len;
	return length;
}

/* The first @len bytes of all pieces, together. */
static void iov_gather(uint8_t *dst, const struct iovec *iov, int nr_iov,
		       size_t len)
{
	for (int i = 0; i < nr_iov && len > 0; i++) {
		size_t n = MIN_OF(len, iov[i].iov_len);

		if (n > 0)
			memcpy(dst, iov[i].iov_base, n);
		dst += n;
		len -= n;
	}
}

static bool is_bad(struct faulty_dev *f, uint64_t offset, uint64_t length)
{
	bool bad;

	os_mutex_lock(&f->lock);
	bad = offset < f->bad_offset + f->bad_length &&
	      f->bad_offset < offset + length;
	os_mutex_unlock(&f->lock);
	return bad;
}

static int faulty_preadv(struct blkdev *dev, const struct iovec *iov,
			 int nr_iov, uint64_t offset)
{
	struct faulty_dev *f = faulty_of(dev);
	bool torn;
	int rc;

	rc = call_count(f, BLKDEV_CALL_READ, &torn);
	if (rc == 0 && is_bad(f, offset, iov_length(iov, nr_iov)))
		rc = -EIO;
	if (rc != 0)
		return rc;
	return blkdev_preadv(f->below, iov, nr_iov, offset);
}

/*
 * Copy the bytes before they are written and record them after: a write that
 * has not returned is covered by no flush (D3).
 */
static int write_through(struct faulty_dev *f, const struct iovec *iov,
			 int nr_iov, uint64_t offset)
{
	size_t length = iov_length(iov, nr_iov);
	struct recorded *rec = NULL;
	int rc;

	if (length > UINT32_MAX)
		return -EINVAL;
	if (is_recording(f)) {
		rec = recorded_new(BLKDEV_EVENT_WRITE, offset,
				   (uint32_t)length);
		if (!rec)
			return -ENOMEM;
		iov_gather(rec->data, iov, nr_iov, length);
	}
	rc = blkdev_pwritev(f->below, iov, nr_iov, offset);
	if (rc != 0) {
		free(rec);
		return rc;
	}
	if (rec)
		events_append(f, rec);
	return 0;
}

/* Write the first half, to a whole sector: new bytes, then the old ones. */
static void write_torn(struct faulty_dev *f, const struct iovec *iov,
		       int nr_iov, uint64_t offset)
{
	size_t length = iov_length(iov, nr_iov);
	size_t part = round_down(length / 2, SECTOR_SIZE);
	size_t whole = round_up(part, BLKDEV_ALIGN);
	uint8_t *buf;

	if (part == 0)
		return;
	buf = blkdev_buffer_new(whole);
	dbs_assert(buf);
	if (blkdev_read(f->below, buf, whole, offset) == 0) {
		struct iovec torn = {.iov_base = buf, .iov_len = whole};

		iov_gather(buf, iov, nr_iov, part);
		(void)write_through(f, &torn, 1, offset);
	}
	free(buf);
}

/* What is written can be read again, from its start on. */
static void mend(struct faulty_dev *f, uint64_t offset, uint64_t length)
{
	uint64_t end = offset + length;

	os_mutex_lock(&f->lock);
	if (offset <= f->bad_offset && end > f->bad_offset) {
		uint64_t n = MIN_OF(end - f->bad_offset, f->bad_length);

		f->bad_offset += n;
		f->bad_length -= n;
	}
	os_mutex_unlock(&f->lock);
}

static int faulty_pwritev(struct blkdev *dev, const struct iovec *iov,
			  int nr_iov, uint64_t offset)
{
	struct faulty_dev *f = faulty_of(dev);
	bool torn;
	int rc;

	rc = call_count(f, BLKDEV_CALL_WRITE, &torn);
	if (rc != 0) {
		if (torn)
			write_torn(f, iov, nr_iov, offset);
		return rc;
	}
	rc = write_through(f, iov, nr_iov, offset);
	if (rc == 0)
		mend(f, offset, iov_length(iov, nr_iov));
	return rc;
}

/* Recorded at its end, with what had been recorded at its start (D3). */
static int faulty_flush(struct blkdev *dev)
{
	struct faulty_dev *f = faulty_of(dev);
	struct recorded *rec = NULL;
	bool torn;
	int rc;

	rc = call_count(f, BLKDEV_CALL_FLUSH, &torn);
	if (rc != 0)
		return rc;
	os_mutex_lock(&f->lock);
	if (f->recording) {
		rec = recorded_new(BLKDEV_EVENT_FLUSH, f->nr_events, 0);
		dbs_assert(rec);
	}
	os_mutex_unlock(&f->lock);
	rc = blkdev_flush(f->below);
	if (rc != 0) {
		free(rec);
		return rc;
	}
	if (rec)
		events_append(f, rec);
	return 0;
}

static int faulty_resize(struct blkdev *dev, uint64_t size, bool preallocate)
{
	struct faulty_dev *f = faulty_of(dev);
	int rc;

	rc = blkdev_resize(f->below, size, preallocate);
	if (rc != 0)
		return rc;
	os_mutex_lock(&f->lock);
	__atomic_store_n(&dev->size, blkdev_size(f->below), __ATOMIC_RELEASE);
	os_mutex_unlock(&f->lock);
	return 0;
}

static int faulty_discard(struct blkdev *dev, uint64_t offset, uint64_t length)
{
	return blkdev_discard(faulty_of(dev)->below, offset, length);
}

static void faulty_close(struct blkdev *dev)
{
	struct faulty_dev *f = faulty_of(dev);

	blkdev_close(f->below);
	events_drop_locked(f);
	os_mutex_release(&f->lock);
	free(f);
}

static const struct blkdev_ops faulty_ops = {
	.preadv = faulty_preadv,
	.pwritev = faulty_pwritev,
	.flush = faulty_flush,
	.resize = faulty_resize,
	.discard = faulty_discard,
	.close = faulty_close,
};

int blkdev_faulty_open(struct blkdev *below, struct blkdev **dev)
{
	struct faulty_dev *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->below = below;
	os_mutex_init(&f->lock);
	f->dev.ops = &faulty_ops;
	f->dev.size = blkdev_size(below);
	f->dev.name = below->name;
	f->dev.is_file = below->is_file;
	f->dev.read_only = below->read_only;
	*dev = &f->dev;
	return 0;
}

void blkdev_faulty_record(struct blkdev *dev, bool on)
{
	struct faulty_dev *f = faulty_of(dev);

	os_mutex_lock(&f->lock);
	if (on)
		events_drop_locked(f);
	f->recording = on;
	os_mutex_unlock(&f->lock);
}

void blkdev_faulty_mark(struct blkdev *dev, uint64_t number)
{
	struct faulty_dev *f = faulty_of(dev);
	struct recorded *rec = recorded_new(BLKDEV_EVENT_MARK, number, 0);

	dbs_assert(rec);
	events_append(f, rec);
}

size_t blkdev_faulty_nr_events(struct blkdev *dev)
{
	struct faulty_dev *f = faulty_of(dev);
	size_t nr;

	os_mutex_lock(&f->lock);
	nr = f->nr_events;
	os_mutex_unlock(&f->lock);
	return nr;
}

const struct blkdev_event *blkdev_faulty_event(struct blkdev *dev, size_t i)
{
	struct faulty_dev *f = faulty_of(dev);
	const struct blkdev_event *event;

	os_mutex_lock(&f->lock);
	dbs_assert(i < f->nr_events);
	event = &f->events[i]->event;
	os_mutex_unlock(&f->lock);
	return event;
}

void blkdev_faulty_fail(struct blkdev *dev, unsigned calls, uint64_t nth,
			int error, bool sticky, bool torn)
{
	struct faulty_dev *f = faulty_of(dev);

	dbs_assert(nth == 0 || error < 0);
	os_mutex_lock(&f->lock);
	f->fail_calls = nth > 0 ? calls : 0;
	f->fail_in = nth;
	f->fail_error = error;
	f->fail_sticky = sticky;
	f->fail_torn = torn;
	os_mutex_unlock(&f->lock);
}

void blkdev_faulty_unreadable(struct blkdev *dev, uint64_t offset,
			      uint64_t length)
{
	struct faulty_dev *f = faulty_of(dev);

	os_mutex_lock(&f->lock);
	f->bad_offset = offset;
	f->bad_length = length;
	os_mutex_unlock(&f->lock);
}

uint64_t blkdev_faulty_calls(struct blkdev *dev, unsigned calls)
{
	struct faulty_dev *f = faulty_of(dev);
	uint64_t nr = 0;

	os_mutex_lock(&f->lock);
	for (int i = 0; i < NR_CALLS; i++)
		if (calls & 1u << i)
			nr += f->nr_calls[i];
	os_mutex_unlock(&f->lock);
	return nr;
}
