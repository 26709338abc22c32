/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - all that fs/ and tools/ may include from store/
 *
 * The headers named here are the library's public face; the others are its
 * own.  tests/ may include any.
 */
#ifndef DBS_STORE_STORE_H
#define DBS_STORE_STORE_H

#include "store/blkdev.h"   /* open a file or block device */
#include "store/check.h"    /* dbs pool check */
#include "store/compress.h" /* the range of compression levels */
#include "store/dataset.h"  /* datasets, snapshots, clones, properties */
#include "store/diff.h"	    /* what changed between two roots */
#include "store/file.h"	    /* files inside a dataset */
#include "store/pool.h"	    /* create, open, sync, grow, close */
#include "store/scrub.h"    /* dbs pool scrub */
#include "store/util.h"	    /* lists, logging */

#endif
