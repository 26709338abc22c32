/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blkdev_view.h - block devices for crash tests
 *
 * Below: blkdev.h.  Above: tests/crash/, tests/unit/.
 *
 * A view shows bytes in memory that it never changes; what is written through
 * it stays in private copies of the blocks.  Opening one costs nothing per
 * block, so every moment of a recording can be tried on the same bytes.
 */
#ifndef DBS_TESTS_BLKDEV_VIEW_H
#define DBS_TESTS_BLKDEV_VIEW_H

#include "store/blkdev.h"

/** Show [@base, @base + @size), which must outlive the view. */
struct blkdev *blkdev_view_open(const uint8_t *base, uint64_t size);

/** Write through a view from a buffer that need not be aligned. */
void blkdev_view_write(struct blkdev *view, const uint8_t *data, size_t len,
		       uint64_t offset);

/** Pass everything on to @below, but leave it open when this one closes: a
 * pool owns its device, and a test wants to look at the recording later. */
struct blkdev *blkdev_borrow(struct blkdev *below);

#endif
