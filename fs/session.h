/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.h - the connection to the kernel and the threads that serve it
 *
 * Below: /dev/fuse, mount(2), libfuse's low-level API.  Above: fs_ops.c,
 * main.c.
 *
 * libfuse parses and answers most requests.  The threads that receive them
 * are ours (decision 0020): they look at the opcode first, and the requests
 * of the hot path, and those that libfuse 3.14 does not know or whose flags
 * it drops, never reach it.  Replies go out through session_writev(), which
 * libfuse uses too, on the file descriptor that the thread received from.
 *
 * Where the kernel can, requests come by io_uring to threads of their own
 * (ring.h, decision 0081); what still comes by read() is served as ever.
 *
 * Invariants:
 *  X1  a request is answered once, by the thread that received it, before
 *      that thread receives the next; FORGET has no answer.
 *  X2  while a request is under way at least one thread waits for the next
 *      one, up to threads_max; so a request that blocks in the store keeps
 *      nobody else out.
 *  X3  worker->data is page-aligned; a WRITE's bytes begin there.
 */
#ifndef DBS_FS_SESSION_H
#define DBS_FS_SESSION_H

#define FUSE_USE_VERSION 314

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <fuse_lowlevel.h>
#include <linux/fuse.h>

#define SESSION_IO_MAX (1u << 20) /* bytes of one read or write */

struct ring;
struct session;
struct view_slot;

struct worker {
	struct session *session;
	void *user; /* session_options.user */
	struct view_slot *slot;
	int fd;
	uint8_t *buf; /* the request; ends where data begins, or runs into it */
	uint8_t *data;	   /* SESSION_IO_MAX bytes, free for the answer */
	struct ring *ring; /* NULL: read() and writev() */
};

/** The calling thread's worker, NULL in other threads. */
struct worker *worker_self(void);

/* @arg: what follows the header, @len bytes, a NUL behind them */
typedef void session_op_fn(struct worker *w, const struct fuse_in_header *in,
			   const void *arg, size_t len);
#define SESSION_OPCODES 64

struct session_options {
	const char *source; /* what /proc/mounts shows, the pool's path */
	int mountpoint_fd;  /* O_PATH of the directory to mount on */
	unsigned long mount_flags; /* MS_* */
	unsigned threads_max;
	unsigned threads_idle;	   /* how many wait for requests at most */
	bool clone_fd;		   /* a descriptor for each thread */
	unsigned ring_threads;	   /* for each CPU, where io_uring is used */
	session_op_fn *const *ops; /* SESSION_OPCODES, NULL: libfuse's */
	const struct fuse_lowlevel_ops *libfuse_ops;
	void *user;
	struct view_slot *(*new_slot)(void *user);
	void (*ready)(void *user); /* the kernel's INIT was answered */
	void (*ended)(void *user); /* unmounted, or the connection aborted */
};

struct session_error {
	char text[512];
};

/** Open /dev/fuse, mount, and start to serve.  @error: out, one sentence */
int session_start(const struct session_options *options,
		  struct session **session, struct session_error *error);
/** After it ended: wait for the threads, free. */
void session_free(struct session *session);
/** For notifications. */
struct fuse_session *session_fuse(struct session *session);
/** FUSE_* flags of INIT that were agreed on, and the kernel's minor. */
uint64_t session_flags(const struct session *session);

/** Answer with @err (0 or -errno) and data.  -ENOENT: it was interrupted. */
int session_reply(struct worker *w, const struct fuse_in_header *in, int err,
		  const void *data, size_t len);

#endif
