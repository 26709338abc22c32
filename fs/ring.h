/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.h - requests and answers through io_uring
 *
 * Below: /dev/fuse, io_uring.  Above: session.c.
 *
 * A kernel that can do it (6.14, with fuse.enable_uring) hands requests to
 * queues, one for each CPU, and a request is served on the CPU that it was
 * made on.  A thread sends an answer and gets its next request by one system
 * call, instead of a read() and a writev().  Forgets and interrupts still come
 * by read().
 *
 * Invariants:
 *  N1  a ring is one thread's: only it may call ring_receive() and
 *      ring_answer().
 *  N2  the kernel holds back all requests until each queue has a ring that
 *      was started; so all that may fail is done by ring_open(), before INIT
 *      is answered.
 */
#ifndef DBS_FS_RING_H
#define DBS_FS_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct ring;

/*
 * What one thread did before its answer is there for the thread that gets a
 * request because of it; between them is the kernel.  ThreadSanitizer sees that
 * in read() and write() of one descriptor, but not where a ring is part of it.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RING_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) || defined(RING_TSAN)
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
extern char ring_kernel; /* stands for it */
#define ring_order_request() __tsan_acquire(&ring_kernel)
#define ring_order_answer()  __tsan_release(&ring_kernel)
#else
#define ring_order_request() ((void)0)
#define ring_order_answer()  ((void)0)
#endif

/**
 * Let the kernel offer it (fuse.enable_uring, N by default).  It stays so:
 * only servers that ask for it in INIT see a difference.
 *
 * Returns whether it is allowed now; INIT tells whether it is used.
 */
bool ring_enable(void);

/** How many queues the kernel wants, 0: not known. */
unsigned ring_nr_queues(void);

/**
 * @fuse_fd: of /dev/fuse, before or after it is mounted
 * @data:    where a request's bytes begin and an answer's are put,
 *           @data_len of them; there is a page free before it
 *
 * Errors: -ENOSYS, -EPERM and others of io_uring_setup(2); -ENOMEM
 */
int ring_open(int fuse_fd, unsigned queue, uint8_t *data, size_t data_len,
	      struct ring **ring);
void ring_close(struct ring *ring);

/**
 * Send the answer, if there was a request, and wait for the next one.
 *
 * @buf: out, the request as read() gives it
 *
 * Returns its length, 0 when the session has ended, or -errno.
 */
int ring_receive(struct ring *ring, uint8_t **buf);

/** Put an answer, a struct fuse_out_header first; ring_receive() sends it. */
void ring_answer(struct ring *ring, const struct iovec *iov, int count);

#endif
