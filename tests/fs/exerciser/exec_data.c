/* SPDX-License-Identifier: Apache-2.0 */
/* exec_data.c - operations on open files, and what they must do */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "store/store.h"
#include "tests/fs/exerciser/ex.h"

#define SIZE_MAX_FILE ((int64_t)1 << 43) /* 8 TiB */

static int64_t result(int64_t rc)
{
	return rc < 0 ? -errno : rc;
}

void ex_fill(uint8_t *buf, size_t len, int64_t pattern)
{
	struct rnd rnd = {.state = (uint64_t)pattern};

	switch ((uint64_t)pattern % 6) {
	case 0: /* holes, or what will be */
		memset(buf, 0, len);
		break;
	case 1: /* compresses well */
	case 2:
		for (size_t i = 0; i < len; i++)
			buf[i] = (uint8_t)((uint64_t)pattern + i / 61);
		break;
	default:
		rnd_fill(&rnd, buf, len);
	}
}

/* The open file of the operation; false: there is none to be worked on. */
struct file {
	struct ex_handle *h;
	struct model_root *r;
	const struct model_inode *in;
	uint64_t size;
};

static bool get_file(struct ex_worker *w, int n, struct file *f)
{
	f->h = ex_handle(w, n);
	f->r = f->h ? ex_handle_root(w, f->h) : NULL;
	f->in = f->r ? model_inode(f->r->tree, f->h->ino) : NULL;
	f->size = f->in ? f->in->attr.size : 0;
	return f->in != NULL;
}

/* A handle from before a restore or destroy: nobody answers it. */
static bool stale(struct ex_worker *w)
{
	struct ex_handle *h = ex_handle(w, w->op->h);
	ssize_t rc;

	if (!h || ex_handle_root(w, h) || !h->stale)
		return false;
	if (w->op->kind == EX_PREAD && ex_handle_reads(h))
		rc = pread(h->fd, w->buf, 512, 0);
	else if (w->op->kind == EX_PWRITE && ex_handle_writes(h))
		rc = pwrite(h->fd, w->buf, 512, 0);
	else if (w->op->kind == EX_FTRUNCATE && ex_handle_writes(h))
		rc = ftruncate(h->fd, 5);
	else
		return false;
	ex_expect(w, result(rc), -ESTALE);
	return true;
}

/* -- opening --------------------------------------------------------------- */

static int open_wants(const struct ex_place *p, const struct model_inode *in,
		      int flags)
{
	if (p->err)
		return p->err;
	if (!in)
		return flags & O_CREAT ? 0 : -ENOENT;
	if (flags & O_CREAT && flags & O_EXCL)
		return -EEXIST;
	if (S_ISLNK(in->attr.mode))
		return -ELOOP;
	if (S_ISDIR(in->attr.mode))
		return -EISDIR;
	return 0;
}

static void set_handle(struct ex_handle *h, int fd, uint32_t root, uint64_t ino,
		       int flags)
{
	*h = (struct ex_handle){
		.fd = fd, .root = root, .ino = ino, .flags = flags};
}

/* Nothing that blocks, or that opens a directory. */
static bool may_open(const struct model_inode *in, int flags)
{
	if (!in || S_ISREG(in->attr.mode) || S_ISLNK(in->attr.mode))
		return true;
	return S_ISDIR(in->attr.mode) &&
	       ((flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT);
}

static void opened_new(struct ex_worker *w, struct ex_place *p, int fd,
		       uint32_t mode)
{
	struct model_inode *in;

	in = ex_settle_new(w, p->root, fd, "", p->dir, S_IFREG | mode, 1, NULL);
	model_name_set(model_edit(p->root, p->dir), p->name, in->attr.ino);
	ex_settle(w, p->root, p->dir, EX_TIMES);
	p->ino = in->attr.ino;
}

static bool do_open(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	int flags = (int)op->a, want, fd;
	const struct model_inode *in;
	char full[EX_PATH_MAX];
	struct ex_handle *h;
	struct ex_place p;
	bool writes;

	if (op->h < 0 || op->h >= (int)EX_HANDLES)
		return false;
	ex_resolve(w, op->path, &p);
	in = ex_place_inode(&p);
	if (p.odd || !may_open(in, flags))
		return false;
	h = &w->handles[op->h];
	if (h->fd >= 0)
		ex_handle_close(w, h);
	/* closing may have been the end of an inode, but of none with a name */
	if (w->run->s.plain)
		flags &= ~O_DIRECT;
	want = open_wants(&p, in, flags);
	writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT;
	ex_full_path(w->run, op->path, full);
	fd = open(full, flags | O_NOFOLLOW, (mode_t)op->b & 07777);
	if (p.root && p.root->parent && !writes)
		ex_expect(w, result(fd), want);
	else if (!ex_expect_in(w, p.root, result(fd), want))
		return true;
	if (fd < 0)
		return true;
	if (!in)
		opened_new(w, &p, fd, (uint32_t)op->b & 07777);
	set_handle(h, fd, p.root->id, p.ino, flags);
	if (in && flags & O_TRUNC) {
		model_data_truncate(model_edit(p.root, p.ino), 0);
		ex_settle(w, p.root, p.ino, EX_TIMES);
	} else {
		ex_settle(w, p.root, p.ino, 0);
	}
	return true;
}

static bool do_tmpfile(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	const int flags = O_TMPFILE | O_RDWR;
	const struct model_inode *in;
	char full[EX_PATH_MAX];
	struct model_inode *new;
	struct ex_handle *h;
	struct ex_place p;
	int fd;

	ex_resolve(w, op->path, &p);
	in = ex_place_inode(&p);
	if (!in || !S_ISDIR(in->attr.mode) || op->h < 0 ||
	    op->h >= (int)EX_HANDLES)
		return false;
	h = &w->handles[op->h];
	if (h->fd >= 0)
		ex_handle_close(w, h);
	ex_full_path(w->run, op->path, full);
	fd = open(full, flags, (mode_t)op->b & 07777);
	if (!ex_expect_in(w, p.root, result(fd), 0))
		return true;
	new = ex_settle_new(w, p.root, fd, "", p.ino,
			    S_IFREG | ((uint32_t)op->b & 07777), 0, NULL);
	set_handle(h, fd, p.root->id, new->attr.ino, flags);
	return true;
}

static bool do_close(struct ex_worker *w)
{
	struct ex_handle *h = ex_handle(w, w->op->h);

	if (!h)
		return false;
	ex_handle_close(w, h);
	return true;
}

static bool do_setfl(struct ex_worker *w)
{
	struct ex_handle *h = ex_handle(w, w->op->h);
	int flags;

	if (!h || w->run->s.plain)
		return false;
	flags = fcntl(h->fd, F_GETFL);
	flags = (flags & ~O_DIRECT) | ((int)w->op->a & O_DIRECT);
	return ex_expect(w, result(fcntl(h->fd, F_SETFL, flags)), 0);
}

/* -- reading --------------------------------------------------------------- */

static void compare(struct ex_worker *w, const struct file *f, uint64_t offset,
		    const uint8_t *got, size_t len)
{
	size_t i = 0;

	model_data_read(f->in, offset, w->buf2, len);
	if (memcmp(got, w->buf2, len) == 0)
		return;
	while (got[i] == w->buf2[i])
		i++;
	ex_fail(w, "byte %ju of ino %ju is %02x, want %02x (size %ju)",
		(uintmax_t)(offset + i), (uintmax_t)f->h->ino, got[i],
		w->buf2[i], (uintmax_t)f->size);
}

static void read_at(struct ex_worker *w, const struct file *f, uint64_t offset,
		    size_t len, unsigned skew)
{
	size_t want = 0;
	ssize_t n;

	if (offset < f->size)
		want = (size_t)MIN_OF(len, f->size - offset);
	n = pread(f->h->fd, w->buf + skew, len, (off_t)offset);
	if (!ex_expect(w, result(n), 0))
		return;
	if ((size_t)n != want)
		ex_fail(w, "it reads %zd bytes at %ju, want %zu", n,
			(uintmax_t)offset, want);
	compare(w, f, offset, w->buf + skew, want);
}

static bool io_is_good(const struct ex_op *op)
{
	return op->a >= 0 && op->b >= 0 && op->a < SIZE_MAX_FILE &&
	       op->b <= (int64_t)EX_IO_MAX;
}

static bool do_pread(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	struct file f;

	if (!get_file(w, op->h, &f) || !io_is_good(op))
		return stale(w);
	if (!ex_handle_reads(f.h)) {
		ex_expect(w, result(pread(f.h->fd, w->buf, 8, 0)), -EBADF);
		return true;
	}
	read_at(w, &f, (uint64_t)op->a, (size_t)op->b, (unsigned)op->d & 4095);
	ex_settle(w, f.r, f.h->ino, 0);
	return true;
}

static bool do_readback(struct ex_worker *w)
{
	const uint64_t step = (uint64_t)w->op->a;
	struct file f;

	if (!get_file(w, w->op->h, &f) || !ex_handle_reads(f.h) || step == 0 ||
	    step > EX_IO_MAX || f.size / step > 2000)
		return false;
	for (uint64_t at = 0; at <= f.size; at += step)
		read_at(w, &f, at, step, 0);
	return true;
}

/* -- writing --------------------------------------------------------------- */

static ssize_t write_call(struct ex_worker *w, const struct file *f,
			  uint8_t *buf)
{
	const struct ex_op *op = w->op;
	struct iovec iov[16];
	size_t len = (size_t)op->b, part;
	int nr = 1;

	if (op->kind == EX_PWRITEV)
		nr = (int)(op->d < 1 ? 1 : op->d > 16 ? 16 : op->d);
	/* pieces of odd lengths; some may be empty */
	for (int i = 0; i < nr; i++) {
		part = i == nr - 1 ? len : (len / (size_t)nr) | 1;
		part = MIN_OF(part, len);
		iov[i] = (struct iovec){buf, part};
		buf += part;
		len -= part;
	}
	return pwritev2(f->h->fd, iov, nr, (off_t)op->a, op->h2);
}

static bool is_synced(const struct file *f, const struct ex_op *op)
{
	return (f->h->flags & O_DSYNC) || (op->h2 & (RWF_DSYNC | RWF_SYNC));
}

static bool do_pwrite(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	const unsigned skew =
		op->kind == EX_PWRITE ? (unsigned)op->d & 4095 : 0;
	const size_t len = (size_t)op->b;
	uint64_t mark[EX_WORKERS_MAX], at = (uint64_t)op->a;
	struct file f;
	ssize_t n;

	if (!get_file(w, op->h, &f) || !io_is_good(op))
		return stale(w);
	ex_fill(w->buf + skew, len, op->c);
	ex_durable_begin(w, f.r, mark);
	n = write_call(w, &f, w->buf + skew);
	if (!ex_expect(w, result(n), ex_handle_writes(f.h) ? 0 : -EBADF))
		return true;
	if ((size_t)n != len)
		ex_fail(w, "it writes %zd bytes", n);
	if (f.h->flags & O_APPEND || op->h2 & RWF_APPEND)
		at = f.size;
	model_data_write(model_edit(f.r, f.h->ino), at, w->buf + skew, len);
	ex_settle(w, f.r, f.h->ino, len ? EX_TIMES : 0);
	if (is_synced(&f, op) && len) {
		mark[w->n] = atomic_load(&w->done) + 1; /* this one too */
		ex_durable_end(w, mark);
	}
	return true;
}

/* -- mappings -------------------------------------------------------------- */

static uint8_t *get_map(struct ex_worker *w, struct ex_handle *h)
{
	int prot = PROT_READ;
	void *map;

	if (h->map || !ex_handle_reads(h))
		return h->map;
	if (ex_handle_writes(h))
		prot |= PROT_WRITE;
	map = mmap(NULL, EX_MAP_BYTES, prot, MAP_SHARED, h->fd, 0);
	/* old kernels can't where the file is open for direct I/O */
	if (map == MAP_FAILED && !(errno == ENODEV && h->flags & O_DIRECT))
		ex_fail(w, "mmap: %s", strerror(errno));
	h->map = map == MAP_FAILED ? NULL : map;
	return h->map;
}

static bool in_map(const struct file *f, const struct ex_op *op)
{
	return io_is_good(op) && op->b > 0 &&
	       (uint64_t)(op->a + op->b) <= f->size &&
	       (uint64_t)(op->a + op->b) <= EX_MAP_BYTES;
}

static bool do_mread(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	struct file f;
	uint8_t *map;

	if (!get_file(w, op->h, &f) || !in_map(&f, op))
		return false;
	map = get_map(w, f.h);
	if (!map)
		return false;
	memcpy(w->buf, map + op->a, (size_t)op->b);
	compare(w, &f, (uint64_t)op->a, w->buf, (size_t)op->b);
	return true;
}

static bool do_mwrite(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	const size_t start = (size_t)op->a & ~(size_t)4095;
	struct file f;
	uint8_t *map;

	if (!get_file(w, op->h, &f) || !in_map(&f, op) ||
	    !ex_handle_writes(f.h) || w->nr_loose == EX_LOOSE_MAX)
		return false;
	map = get_map(w, f.h);
	if (!map)
		return false;
	ex_fill(w->buf, (size_t)op->b, op->c);
	memcpy(map + op->a, w->buf, (size_t)op->b);
	model_data_write(model_edit(f.r, f.h->ino), (uint64_t)op->a, w->buf,
			 (size_t)op->b);
	if (op->d &&
	    msync(map + start, (size_t)(op->a + op->b) - start, MS_SYNC))
		ex_fail(w, "msync: %s", strerror(errno));
	if (!op->d)
		ex_set_loose(w, f.r->id, f.h->ino);
	ex_settle(w, f.r, f.h->ino, EX_ANY_TIME);
	return true;
}

static bool do_msync(struct ex_worker *w)
{
	uint64_t mark[EX_WORKERS_MAX];
	struct file f;

	if (!get_file(w, w->op->h, &f) || !f.h->map || f.size == 0)
		return false;
	ex_durable_begin(w, f.r, mark);
	if (msync(f.h->map, MIN_OF(EX_MAP_BYTES, (size_t)f.size), MS_SYNC))
		ex_fail(w, "msync: %s", strerror(errno));
	ex_settle(w, f.r, f.h->ino, EX_ANY_TIME);
	ex_clear_loose(w, f.r->id, f.h->ino);
	ex_durable_end(w, mark);
	return true;
}

/* -- sizes and holes ------------------------------------------------------- */

static bool do_ftruncate(struct ex_worker *w)
{
	const int64_t size = w->op->a;
	struct file f;

	if (!get_file(w, w->op->h, &f) || size < 0 || size > SIZE_MAX_FILE)
		return stale(w);
	if (!ex_expect(w, result(ftruncate(f.h->fd, size)),
		       ex_handle_writes(f.h) ? 0 : -EINVAL))
		return true;
	if (w->run->s.mistake)
		model_edit(f.r, f.h->ino)->attr.size = (uint64_t)size;
	else
		model_data_truncate(model_edit(f.r, f.h->ino), (uint64_t)size);
	ex_settle(w, f.r, f.h->ino, EX_TIMES);
	return true;
}

static bool do_truncate(struct ex_worker *w)
{
	const int64_t size = w->op->a;
	const struct model_inode *in;
	char full[EX_PATH_MAX];
	struct ex_place p;
	int want;

	ex_resolve(w, w->op->path, &p);
	in = ex_place_inode(&p);
	if (p.odd || size < 0 || size > SIZE_MAX_FILE ||
	    (in && S_ISLNK(in->attr.mode)))
		return false;
	want = p.err ? p.err : !in ? -ENOENT : 0;
	if (in && !S_ISREG(in->attr.mode))
		want = S_ISDIR(in->attr.mode) ? -EISDIR : -EINVAL;
	ex_full_path(w->run, w->op->path, full);
	if (!ex_expect_in(w, p.root, result(truncate(full, size)), want))
		return true;
	model_data_truncate(model_edit(p.root, p.ino), (uint64_t)size);
	ex_settle(w, p.root, p.ino, EX_TIMES);
	return true;
}

static int fallocate_wants(const struct file *f, int mode)
{
	if (!ex_handle_writes(f->h))
		return -EBADF;
	switch (mode) {
	case 0:
	case FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static bool do_fallocate(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	const int mode = (int)op->a;
	const bool cuts = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	struct model_inode *in;
	uint64_t end, cut;
	struct file f;
	int want;

	if (!get_file(w, op->h, &f) || op->b < 0 || op->c <= 0 ||
	    op->b > SIZE_MAX_FILE || op->c > SIZE_MAX_FILE)
		return false;
	want = fallocate_wants(&f, mode);
	/* others collapse and insert, and allocate what they are asked for */
	if (w->run->s.plain && (want == -EOPNOTSUPP || op->c > 1 << 20))
		return false;
	if (!ex_expect(w, result(fallocate(f.h->fd, mode, op->b, op->c)), want))
		return true;
	in = model_edit(f.r, f.h->ino);
	end = (uint64_t)(op->b + op->c);
	cut = MIN_OF(end, f.size);
	if (cuts && cut > (uint64_t)op->b)
		model_data_zero(in, (uint64_t)op->b, cut - (uint64_t)op->b);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && end > f.size)
		in->attr.size = end;
	ex_settle(w, f.r, f.h->ino, EX_TIMES);
	return true;
}

/* Everything before what it says is zeros, and a hole has no data in it. */
static void check_seek(struct ex_worker *w, const struct file *f, int64_t rc)
{
	const uint64_t offset = (uint64_t)w->op->a;
	const bool data = w->op->b == SEEK_DATA;
	const uint64_t next = model_data_next(f->in, offset);

	if (offset >= f->size || (data && rc == -ENXIO)) {
		ex_expect(w, rc, -ENXIO);
		if (offset < f->size && next != UINT64_MAX)
			ex_fail(w, "there is data at %ju", (uintmax_t)next);
		return;
	}
	if (!ex_expect(w, rc, 0))
		return;
	if ((uint64_t)rc < offset || (uint64_t)rc > f->size ||
	    (data && (uint64_t)rc == f->size))
		ex_fail(w, "it says %jd of size %ju", (intmax_t)rc,
			(uintmax_t)f->size);
	if (data && next < (uint64_t)rc)
		ex_fail(w, "it says %jd, but there is data at %ju",
			(intmax_t)rc, (uintmax_t)next);
	if (!data && (uint64_t)rc < f->size &&
	    model_data_next(f->in, (uint64_t)rc) == (uint64_t)rc)
		ex_fail(w, "it says %jd, but that is data", (intmax_t)rc);
}

static bool do_seek(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	struct file f;

	if (!get_file(w, op->h, &f) || op->a < 0 || op->a > SIZE_MAX_FILE ||
	    ex_is_loose(w, f.r->id, f.h->ino))
		return false;
	check_seek(w, &f,
		   result(lseek(f.h->fd, op->a,
				op->b == SEEK_DATA ? SEEK_DATA : SEEK_HOLE)));
	return true;
}

/* -- copying --------------------------------------------------------------- */

/* @len: what the source has of it */
static int copy_wants(const struct ex_op *op, const struct file *from,
		      const struct file *to, int64_t len)
{
	if (!ex_handle_reads(from->h) || !ex_handle_writes(to->h) ||
	    to->h->flags & O_APPEND)
		return -EBADF;
	if (from->in == to->in && op->a < op->b + len && op->b < op->a + len)
		return -EINVAL;
	return 0;
}

static bool do_copy(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	off_t at_from = op->a, at_to = op->b;
	size_t want = 0;
	struct file from, to;
	ssize_t n;

	if (!get_file(w, op->h, &from) || !get_file(w, op->h2, &to) ||
	    op->a < 0 || op->b < 0 || op->c < 0 || op->a > SIZE_MAX_FILE ||
	    op->b > SIZE_MAX_FILE || op->c > (int64_t)EX_IO_MAX)
		return false;
	if ((uint64_t)op->a < from.size)
		want = MIN_OF((size_t)op->c,
			      (size_t)(from.size - (uint64_t)op->a));
	n = copy_file_range(from.h->fd, &at_from, to.h->fd, &at_to,
			    (size_t)op->c, 0);
	if (!ex_expect(w, result(n), copy_wants(op, &from, &to, (int64_t)want)))
		return true;
	if ((size_t)n > want || (want && n == 0) || at_from != op->a + n ||
	    at_to != op->b + n)
		ex_fail(w, "it copies %zd bytes, want %zu", n, want);
	model_data_read(from.in, (uint64_t)op->a, w->buf, (size_t)n);
	model_data_write(model_edit(to.r, to.h->ino), (uint64_t)op->b, w->buf,
			 (size_t)n);
	ex_settle(w, to.r, to.h->ino, n ? EX_TIMES : 0);
	return true;
}

/* -- syncing --------------------------------------------------------------- */

static bool do_fsync(struct ex_worker *w)
{
	uint64_t mark[EX_WORKERS_MAX];
	struct file f;
	int rc;

	if (!get_file(w, w->op->h, &f))
		return false;
	ex_durable_begin(w, f.r, mark);
	rc = w->op->a ? fdatasync(f.h->fd) : fsync(f.h->fd);
	if (!ex_expect(w, result(rc), 0))
		return true;
	ex_settle(w, f.r, f.h->ino,
		  ex_is_loose(w, f.r->id, f.h->ino) ? EX_ANY_TIME : 0);
	ex_clear_loose(w, f.r->id, f.h->ino);
	ex_durable_end(w, mark);
	return true;
}

static bool do_drop(struct ex_worker *w)
{
	struct file f;
	int rc;

	if (!get_file(w, w->op->h, &f))
		return false;
	rc = posix_fadvise(f.h->fd, 0, 0, POSIX_FADV_DONTNEED);
	ex_expect(w, -rc, 0);
	return true;
}

bool ex_exec_data(struct ex_worker *w)
{
	static bool (*const fns[EX_NR_KINDS])(struct ex_worker *) = {
		[EX_OPEN] = do_open,	     [EX_TMPFILE] = do_tmpfile,
		[EX_CLOSE] = do_close,	     [EX_PREAD] = do_pread,
		[EX_PWRITE] = do_pwrite,     [EX_PWRITEV] = do_pwrite,
		[EX_MREAD] = do_mread,	     [EX_MWRITE] = do_mwrite,
		[EX_MSYNC] = do_msync,	     [EX_FTRUNCATE] = do_ftruncate,
		[EX_TRUNCATE] = do_truncate, [EX_FALLOCATE] = do_fallocate,
		[EX_COPY] = do_copy,	     [EX_SEEK] = do_seek,
		[EX_FSYNC] = do_fsync,	     [EX_DROP] = do_drop,
		[EX_SETFL] = do_setfl,	     [EX_READBACK] = do_readback,
	};

	return fns[w->op->kind] && fns[w->op->kind](w);
}

bool ex_exec(struct ex_worker *w, const struct ex_op *op)
{
	bool applied;

	pthread_mutex_lock(&w->run->lock);
	ex_list_add(&w->run->log, op);
	pthread_mutex_unlock(&w->run->lock);
	ex_step_begin(w, op);
	if (w->run->s.verbose)
		fprintf(stderr, "%s\n", ex_op_text(op));
	applied = ex_exec_data(w) || ex_exec_name(w);
	w->nr_ops += applied;
	w->nr_skipped += !applied;
	ex_step_end(w);
	return applied;
}
