/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.c - the kernel's protocol, Documentation/filesystems/fuse-io-uring.rst
 *
 * The structs are those of Linux 6.14; Debian 12's headers do not have them.
 */
#include "fs/ring.h"

#include <errno.h>
#include <linux/fuse.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "store/store.h"

#define RING_ENTRIES 2u
#define SQE_BYTES    128u /* IORING_SETUP_SQE128 */
#define SQE_COMMAND  48u  /* where its command begins */

enum ring_command {
	RING_REGISTER = 1, /* wait for a first request */
	RING_COMMIT = 2,   /* send an answer, wait for the next request */
};

/* Shared with the kernel: one request, or its answer. */
struct ring_header {
	uint8_t in_out[128]; /* struct fuse_in_header or fuse_out_header */
	uint8_t op_in[128];  /* the struct of the opcode */
	uint64_t flags;
	uint64_t commit_id;
	uint32_t payload_len;
	uint32_t padding;
	uint64_t reserved;
};
_Static_assert(sizeof(struct ring_header) == 288, "fuse_uring_req_header");

struct ring_order {
	uint64_t flags;
	uint64_t commit_id;
	uint16_t queue;
	uint8_t padding[6];
};
_Static_assert(sizeof(struct ring_order) == 24, "fuse_uring_cmd_req");

struct ring {
	int fuse_fd, fd;
	unsigned queue;
	bool registered;
	uint8_t *data;
	struct ring_header *head;
	struct iovec iov[2]; /* head and data, as the kernel is told */
	/* what is shared with io_uring */
	uint8_t *map, *sqes;
	size_t map_len, sqes_len;
	uint32_t *sq_tail, *sq_mask, *sq_array;
	uint32_t *cq_head, *cq_tail, *cq_mask;
	const struct io_uring_cqe *cqes;
};

#if defined(__SANITIZE_THREAD__) || defined(RING_TSAN)
char ring_kernel;
#endif

#define PARAMETER "/sys/module/fuse/parameters/enable_uring"

static bool is_enabled(void)
{
	FILE *f = fopen(PARAMETER, "re");
	bool yes;

	if (!f)
		return false;
	yes = getc(f) == 'Y';
	fclose(f);
	return yes;
}

bool ring_enable(void)
{
	FILE *f;

	if (is_enabled())
		return true;
	f = fopen(PARAMETER, "r+e"); /* makes none where there is none */
	if (!f)
		return false;
	fputs("Y\n", f);
	return fclose(f) == 0 && is_enabled();
}

unsigned ring_nr_queues(void)
{
	FILE *f = fopen("/sys/devices/system/cpu/possible", "re");
	unsigned first = 1, last = 0;
	int n;

	if (!f)
		return 0;
	n = fscanf(f, "%u-%u", &first, &last);
	fclose(f);
	if (n < 1 || first != 0)
		return 0;
	return n == 1 ? 1 : last + 1;
}

static int ring_map(struct ring *r, const struct io_uring_params *p)
{
	const int prot = PROT_READ | PROT_WRITE;
	size_t cq_len =
		p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);

	r->map_len = p->sq_off.array + p->sq_entries * sizeof(uint32_t);
	r->map_len = MAX_OF(r->map_len, cq_len);
	r->sqes_len = (size_t)p->sq_entries * SQE_BYTES;
	r->map = mmap(NULL, r->map_len, prot, MAP_SHARED | MAP_POPULATE, r->fd,
		      IORING_OFF_SQ_RING);
	if (r->map == MAP_FAILED) {
		r->map = NULL;
		return -errno;
	}
	r->sqes = mmap(NULL, r->sqes_len, prot, MAP_SHARED | MAP_POPULATE,
		       r->fd, IORING_OFF_SQES);
	if (r->sqes == MAP_FAILED) {
		r->sqes = NULL;
		return -errno;
	}
	r->sq_tail = (void *)(r->map + p->sq_off.tail);
	r->sq_mask = (void *)(r->map + p->sq_off.ring_mask);
	r->sq_array = (void *)(r->map + p->sq_off.array);
	r->cq_head = (void *)(r->map + p->cq_off.head);
	r->cq_tail = (void *)(r->map + p->cq_off.tail);
	r->cq_mask = (void *)(r->map + p->cq_off.ring_mask);
	r->cqes = (const void *)(r->map + p->cq_off.cqes);
	return 0;
}

int ring_open(int fuse_fd, unsigned queue, uint8_t *data, size_t data_len,
	      struct ring **ring)
{
	/* disabled: the thread that enables it is the one it belongs to (N1) */
	struct io_uring_params p = {
		.flags = IORING_SETUP_SQE128 | IORING_SETUP_R_DISABLED |
			 IORING_SETUP_SINGLE_ISSUER |
			 IORING_SETUP_DEFER_TASKRUN,
	};
	struct ring *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return -ENOMEM;
	r->fuse_fd = fuse_fd;
	r->queue = queue;
	r->data = data;
	r->head = calloc(1, sizeof(*r->head));
	r->iov[0] = (struct iovec){r->head, sizeof(*r->head)};
	r->iov[1] = (struct iovec){data, data_len};
	r->fd = (int)syscall(SYS_io_uring_setup, RING_ENTRIES, &p);
	rc = !r->head ? -ENOMEM : r->fd < 0 ? -errno : 0;
	if (rc == 0 && !(p.features & IORING_FEAT_SINGLE_MMAP))
		rc = -ENOSYS;
	if (rc == 0)
		rc = ring_map(r, &p);
	if (rc) {
		ring_close(r);
		return rc;
	}
	*ring = r;
	return 0;
}

void ring_close(struct ring *r)
{
	if (!r)
		return;
	if (r->sqes)
		munmap(r->sqes, r->sqes_len);
	if (r->map)
		munmap(r->map, r->map_len);
	if (r->fd >= 0)
		close(r->fd);
	free(r->head);
	free(r);
}

static void submit(struct ring *r, enum ring_command command)
{
	uint32_t tail = *r->sq_tail, slot = tail & *r->sq_mask;
	uint8_t *bytes = r->sqes + (size_t)slot * SQE_BYTES;
	struct io_uring_sqe *sqe = (void *)bytes;
	struct ring_order order = {
		.queue = (uint16_t)r->queue,
		.commit_id = command == RING_COMMIT ? r->head->commit_id : 0,
	};

	memset(bytes, 0, SQE_BYTES);
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = r->fuse_fd;
	sqe->cmd_op = command;
	sqe->addr = (uint64_t)(uintptr_t)r->iov;
	sqe->len = 2;
	memcpy(bytes + SQE_COMMAND, &order, sizeof(order));
	r->sq_array[slot] = slot;
	__atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
}

/* Submit one, wait for one; its result. */
static int exchange(struct ring *r)
{
	unsigned nr_submit = 1;
	uint32_t head = *r->cq_head;
	int result;

	while (head == __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE)) {
		long n = syscall(SYS_io_uring_enter, r->fd, nr_submit, 1u,
				 IORING_ENTER_GETEVENTS, NULL, 0);

		if (n > 0)
			nr_submit = 0;
		else if (n < 0 && errno != EINTR && errno != EAGAIN &&
			 errno != EBUSY)
			return -errno;
	}
	result = r->cqes[head & *r->cq_mask].res;
	__atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
	return result;
}

/* Is it the session's end, and no error? */
static bool is_end(int rc)
{
	return rc == -ENOTCONN || rc == -ECONNABORTED || rc == -ECANCELED ||
	       rc == -ENODEV;
}

int ring_receive(struct ring *r, uint8_t **buf)
{
	struct fuse_in_header in;
	size_t len, op_len;
	int rc;

	if (!r->registered &&
	    syscall(SYS_io_uring_register, r->fd, IORING_REGISTER_ENABLE_RINGS,
		    NULL, 0) != 0)
		return -errno;
	ring_order_answer();
	submit(r, r->registered ? RING_COMMIT : RING_REGISTER);
	rc = exchange(r);
	ring_order_request();
	if (rc < 0)
		return is_end(rc) ? 0 : rc;
	r->registered = true;
	memcpy(&in, r->head->in_out, sizeof(in));
	len = sizeof(in) + r->head->payload_len;
	op_len = in.len - len;
	if (in.len < len || op_len > sizeof(r->head->op_in) ||
	    r->head->payload_len > r->iov[1].iov_len)
		return -EPROTO;
	/* as read() has it: all in a row */
	*buf = r->data - op_len - sizeof(in);
	memcpy(*buf, &in, sizeof(in));
	memcpy(*buf + sizeof(in), r->head->op_in, op_len);
	return (int)in.len;
}

void ring_answer(struct ring *r, const struct iovec *iov, int count)
{
	size_t len = 0;

	memcpy(r->head->in_out, iov[0].iov_base,
	       sizeof(struct fuse_out_header));
	for (int i = 1; i < count; i++) {
		dbs_assert(iov[i].iov_len <= r->iov[1].iov_len - len);
		/* most answers are there already */
		if (iov[i].iov_len && iov[i].iov_base != r->data + len)
			memmove(r->data + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	r->head->payload_len = (uint32_t)len;
}
