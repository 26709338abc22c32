/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compress.h - records to fewer blocks and back
 *
 * Below: zstd, one context per thread.  Above: the record path (record.c).
 */
#ifndef DBS_STORE_COMPRESS_H
#define DBS_STORE_COMPRESS_H

#include <stddef.h>
#include <stdint.h>

/* zstd levels: negative ones are its fast modes; 0 means 'do not compress' */
#define COMPRESS_LEVEL_OFF     0
#define COMPRESS_LEVEL_DEFAULT (-5)
#define COMPRESS_LEVEL_MIN     (-50)
#define COMPRESS_LEVEL_MAX     19

/**
 * Compress @len bytes at @level into at most @cap bytes at @dst.
 *
 * @out_len: out, bytes written to @dst
 *
 * The output depends on the bytes, @level and libzstd's version only.
 *
 * Errors:  -E2BIG it does not fit @cap, or @level is off: store it raw;
 *          -EINVAL no such level; -ENOMEM
 * Context: any thread; no locks
 */
int compress_record(const void *src, size_t len, void *dst, size_t cap,
		    int level, size_t *out_len);

/**
 * Decompress @len bytes at @src into exactly @dst_len bytes at @dst.
 * The input is untrusted: a wrong or hostile frame gives -EBADMSG and writes
 * nothing beyond @dst_len.
 * Errors: -EBADMSG not exactly one frame of @dst_len bytes; -ENOMEM
 */
int decompress_record(const void *src, size_t len, void *dst, size_t dst_len);

#endif
