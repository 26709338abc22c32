/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unpack.h - the bytes of a dump, unpacked by a thread of their own
 *
 * Below: zlib, zstd, liblzma, OpenSSL.  Above: source.h.
 *
 * Plain, gzip, zstd and xz, told apart by their first bytes.
 *
 * Invariants:
 *  UN1  memory is bounded: UNPACK_RING bytes, and what the format's window
 *       takes (zstd: at most 128 MiB, xz: UNPACK_XZ_MAX).
 *  UN2  a stream that is cut or damaged is an error, never an end.
 */
#ifndef DBS_TOOLS_IMPORT_UNPACK_H
#define DBS_TOOLS_IMPORT_UNPACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define UNPACK_RING   (4u << 20)
#define UNPACK_XZ_MAX (UINT64_C(192) << 20)
#define UNPACK_SHA256 65 /* hex digits and NUL */

struct unpack;

/** Begin; takes @fd.  Errors: -ENOMEM, -EAGAIN */
int unpack_open(int fd, struct unpack **out);
/** End, also before its end. */
void unpack_close(struct unpack *u);

/**
 * Unpacked bytes; 0 at the end.
 * Errors: -EBADMSG cut or damaged; what read(2) gave.  unpack_error() says it
 */
ssize_t unpack_read(struct unpack *u, void *buf, size_t len);
/** What is wrong, a part of a sentence; "" */
const char *unpack_error(const struct unpack *u);
/** Packed bytes taken so far; from any thread. */
uint64_t unpack_taken(const struct unpack *u);
/** Of the packed bytes, after the end. */
void unpack_sha256(const struct unpack *u, char hex[UNPACK_SHA256]);

#endif
