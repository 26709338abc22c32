/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blkdev.h - the one way to the pool's device
 *
 * Below: a file or block device (blkdev_file.c), memory (blkdev_mem.c), or
 * another blkdev that is recorded and made to fail (blkdev_faulty.c) or left
 * as it is (blkdev_overlay.c).
 * Above: everything in the store that does I/O.
 *
 * Invariants:
 *  D1  offsets, lengths and buffers given to read/write are multiples of
 *      4096 (BLKDEV_ALIGN), so a device opened with O_DIRECT takes them all.
 *  D2  a read or write either moves all bytes or returns an error; what a
 *      failed write left on the device is unknown.
 *  D3  a flush that returned 0 made every write that had returned before the
 *      flush began durable.  A flush that failed proves nothing, then or
 *      later: callers never retry it into success, and a device on which it
 *      may have lost something fails all later ones too.
 *  D4  all functions may be called from several threads at once.
 *  D5  reads see what was written before, whichever of the functions below
 *      read or wrote it.  What a flush has to write out of the host's page
 *      cache is bounded (BLKDEV_CACHED_MAX).
 */
#ifndef DBS_STORE_BLKDEV_H
#define DBS_STORE_BLKDEV_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>
#include <sys/uio.h>

#define BLKDEV_ALIGN 4096u
/* written between two flushes into the page cache; what is more goes past it */
#define BLKDEV_CACHED_MAX (UINT64_C(4) << 20)

struct blkdev;

struct blkdev_ops {
	int (*preadv)(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		      uint64_t offset);
	int (*pwritev)(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		       uint64_t offset);
	/* the same through the host's page cache; NULL: there is none */
	int (*preadv_cached)(struct blkdev *dev, const struct iovec *iov,
			     int nr_iov, uint64_t offset);
	int (*pwritev_cached)(struct blkdev *dev, const struct iovec *iov,
			      int nr_iov, uint64_t offset);
	/* preadv_cached() of what is there at once, or false and nothing is
	 * known of the buffers; NULL: nothing ever is */
	bool (*preadv_at_once)(struct blkdev *dev, const struct iovec *iov,
			       int nr_iov, uint64_t offset);
	/* begin to read it into the page cache; NULL: there is none */
	void (*prefetch)(struct blkdev *dev, uint64_t offset, uint64_t length);
	int (*flush)(struct blkdev *dev);
	/*
	 * Make the device at least @size bytes long; -ENOTSUP where it can't.
	 * With @preallocate the new part takes its space now or fails.
	 */
	int (*resize)(struct blkdev *dev, uint64_t size, bool preallocate);
	/* tell the device that the range is unused; may do nothing */
	int (*discard)(struct blkdev *dev, uint64_t offset, uint64_t length);
	void (*close)(struct blkdev *dev);
};

/* Implementations embed this as their first member. */
struct blkdev {
	const struct blkdev_ops *ops;
	uint64_t size;	  /* bytes; changed by resize only */
	const char *name; /* for messages; owned by the implementation */
	bool is_file;	  /* a regular file: can grow, may be sparse */
	bool read_only;
};

/* All return 0 or -errno (D2); a transfer past the device's end is -EINVAL. */
int blkdev_read(struct blkdev *dev, void *buf, size_t len, uint64_t offset);
int blkdev_write(struct blkdev *dev, const void *buf, size_t len,
		 uint64_t offset);
int blkdev_preadv(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		  uint64_t offset);
int blkdev_pwritev(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		   uint64_t offset);
/*
 * The same through the host's page cache, where there is one: for what is read
 * again and again and verified each time.  Not for what has a cache of its own
 * (nodes), nor where it matters what the device itself has (scrub).
 */
int blkdev_preadv_cached(struct blkdev *dev, const struct iovec *iov,
			 int nr_iov, uint64_t offset);
/**
 * The same, if all of it is in the page cache.  False, also where something is
 * wrong: the buffers may be written to; read it by blkdev_preadv_cached().
 */
bool blkdev_preadv_at_once(struct blkdev *dev, const struct iovec *iov,
			   int nr_iov, uint64_t offset);
int blkdev_read_cached(struct blkdev *dev, void *buf, size_t len,
		       uint64_t offset);
int blkdev_write_cached(struct blkdev *dev, const void *buf, size_t len,
			uint64_t offset);
/** It will be read by blkdev_read_cached(): begin to.  A mere hint. */
void blkdev_prefetch(struct blkdev *dev, size_t len, uint64_t offset);
int blkdev_flush(struct blkdev *dev);
int blkdev_resize(struct blkdev *dev, uint64_t size, bool preallocate);
int blkdev_discard(struct blkdev *dev, uint64_t offset, uint64_t length);
/** Close and free; NULL is ignored. */
void blkdev_close(struct blkdev *dev);

/** The device's size now; safe while another thread resizes it. */
uint64_t blkdev_size(const struct blkdev *dev);

/** A zeroed buffer fit for the functions above, or NULL; freed with free(). */
void *blkdev_buffer_new(size_t len);

#define BLKDEV_READ_ONLY 1u /* open for reading, shared lock */
#define BLKDEV_CREATE	 2u /* create a regular file; it must not exist */
#define BLKDEV_NO_LOCK	 4u /* do not lock: only for looking at a header */
#define BLKDEV_BUFFERED	 8u /* no O_DIRECT, e.g. on tmpfs */

/**
 * Open the file or block device @path and lock it against a second opener.
 *
 * @flags: BLKDEV_*
 * @owner: out, may be NULL: on -EBUSY the pid that holds the lock, 0 unknown
 *
 * Falls back to buffered I/O where the file system refuses O_DIRECT.
 * Errors:  -EBUSY in use by another process (or, for a block device, mounted
 *          or claimed by the kernel); -EEXIST with BLKDEV_CREATE; -ENOTBLK
 *          neither a regular file nor a block device; any errno of open(2)
 */
int blkdev_file_open(const char *path, unsigned flags, struct blkdev **dev,
		     int *owner);

/**
 * A device of @size bytes in memory, all zero; it can grow to 64 GiB.
 * Errors: -EINVAL @size breaks D1; -ENOMEM
 */
int blkdev_mem_open(uint64_t size, struct blkdev **dev);
/** The memory device's bytes, dev->size of them; valid until close. */
uint8_t *blkdev_mem_data(struct blkdev *dev);

/**
 * Show @below, which it does not own, and keep in memory what is written: to
 * try what is only then to be done.  Closing it forgets that.
 * Errors: -ENOMEM, of writes too
 */
int blkdev_overlay_open(struct blkdev *below, struct blkdev **dev);

/*
 * The recording, faulty device: passes everything on to @below (which it then
 * owns), keeps a log of writes and flushes, and fails on demand.
 */
enum blkdev_event_kind {
	BLKDEV_EVENT_WRITE,
	BLKDEV_EVENT_FLUSH,
	BLKDEV_EVENT_MARK, /* blkdev_faulty_mark(): the test's own notes */
};

struct blkdev_event {
	enum blkdev_event_kind kind;
	/*
	 * write: where; mark: the test's number; flush: the number of events
	 * before it that it covers, all of them unless some returned while it
	 * ran (D3)
	 */
	uint64_t offset;
	uint32_t length;
	const uint8_t *data; /* write: the bytes, owned by the device */
};

int blkdev_faulty_open(struct blkdev *below, struct blkdev **dev);
/** Start (or stop) to record; starting drops what was recorded before. */
void blkdev_faulty_record(struct blkdev *dev, bool on);
/** Put @number into the recording, after all that has returned so far. */
void blkdev_faulty_mark(struct blkdev *dev, uint64_t number);
size_t blkdev_faulty_nr_events(struct blkdev *dev);
/** Event @i of [0, nr_events); valid until recording starts anew. */
const struct blkdev_event *blkdev_faulty_event(struct blkdev *dev, size_t i);

enum blkdev_call {
	BLKDEV_CALL_READ = 1,
	BLKDEV_CALL_WRITE = 2,
	BLKDEV_CALL_FLUSH = 4,
};
/**
 * Let the @nth (from 1) coming call of the kinds in the mask @calls fail with
 * @error (-EIO, -ENOSPC ...); with @sticky all later ones fail too.  A failing
 * write first writes a part of its bytes when @torn.  @nth 0 switches off.
 */
void blkdev_faulty_fail(struct blkdev *dev, unsigned calls, uint64_t nth,
			int error, bool sticky, bool torn);
/** Let reads that touch these bytes fail with -EIO until they are written, in
 * order; @length 0: none. */
void blkdev_faulty_unreadable(struct blkdev *dev, uint64_t offset,
			      uint64_t length);
/** Calls counted since open, of the kinds in @calls. */
uint64_t blkdev_faulty_calls(struct blkdev *dev, unsigned calls);

#endif
