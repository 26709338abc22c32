/* SPDX-License-Identifier: Apache-2.0 */
/*
 * io_batch.h - the writes of a commit: gathered, sorted, joined, written
 *
 * Below: blkdev.  Above: space map, txg, superblock.
 */
#ifndef DBS_STORE_IO_BATCH_H
#define DBS_STORE_IO_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "store/blkdev.h"

struct io_batch;

/** Errors: -ENOMEM */
int io_batch_new(struct io_batch **io);
void io_batch_free(struct io_batch *io);
/** Have memory for @nr_pages pages, and to queue that and @nr more, so that
 * neither can fail.  Errors: -ENOMEM, and it may be asked for again */
int io_batch_reserve(struct io_batch *io, size_t nr, size_t nr_pages);
/** Queue @nr blocks at block @first; @buf stays the caller's and unchanged
 * until io_batch_write() returned.  Errors: -ENOMEM */
int io_batch_add(struct io_batch *io, uint64_t first, const void *buf,
		 uint32_t nr);
/** A zeroed block that lives as long as the batch. */
void *io_batch_page(struct io_batch *io);
/** Write all, in order of block number, adjacent ones together; then the
 * batch is empty.  Stops at the first error. */
int io_batch_write(struct io_batch *io, struct blkdev *dev);

#endif
