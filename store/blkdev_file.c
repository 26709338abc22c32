/* SPDX-License-Identifier: Apache-2.0 */
#include "store/blkdev.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "store/os.h"
#include "store/util.h"

struct file_dev {
	struct blkdev dev;

	/* immutable after open */
	int fd;
	int cached_fd; /* the same without O_DIRECT; -1: there is none */
	char *path;

	struct os_mutex lock; /* one resize at a time */

	/* atomic */
	int flush_error;       /* -errno of the first failed flush (D3) */
	uint64_t cached_bytes; /* written to cached_fd since a flush (D5) */
};

static struct file_dev *file_of(struct blkdev *dev)
{
	return container_of(dev, struct file_dev, dev);
}

static const char *error_name(int error)
{
	const char *name = strerrorname_np(error);

	return name ? name : "unknown";
}

/* Where a transfer that may need several calls has come to. */
struct transfer {
	const struct iovec *iov;
	int nr_iov;
	size_t done; /* bytes of iov[0] */
	uint64_t offset;
};

/* Step over pieces that are done, empty ones too; false at the end. */
static bool transfer_next(struct transfer *t)
{
	while (t->nr_iov > 0 && t->done == t->iov[0].iov_len) {
		t->iov++;
		t->nr_iov--;
		t->done = 0;
	}
	return t->nr_iov > 0;
}

static void transfer_advance(struct transfer *t, size_t n)
{
	t->offset += n;
	while (n > 0) {
		size_t left = t->iov[0].iov_len - t->done;

		if (n < left) {
			t->done += n;
			return;
		}
		n -= left;
		t->iov++;
		t->nr_iov--;
		t->done = 0;
	}
}

/* One system call: the rest of a piece that was cut short, else all it takes. */
static ssize_t transfer_step(const struct transfer *t, int fd, bool write)
{
	off_t offset = (off_t)t->offset;
	int nr = MIN_OF(t->nr_iov, IOV_MAX);

	if (t->done > 0) {
		uint8_t *p = (uint8_t *)t->iov[0].iov_base + t->done;
		size_t len = t->iov[0].iov_len - t->done;

		return write ? pwrite(fd, p, len, offset)
			     : pread(fd, p, len, offset);
	}
	return write ? pwritev(fd, t->iov, nr, offset)
		     : preadv(fd, t->iov, nr, offset);
}

/* D2.  Nothing moved and no error is the end of a file that lost its tail. */
static int transfer_all(struct blkdev *dev, int fd, const struct iovec *iov,
			int nr_iov, uint64_t offset, bool write)
{
	struct transfer t = {.iov = iov, .nr_iov = nr_iov, .offset = offset};

	while (transfer_next(&t)) {
		ssize_t n = transfer_step(&t, fd, write);

		if (n > 0) {
			transfer_advance(&t, (size_t)n);
		} else if (n == 0 || errno != EINTR) {
			int error = n == 0 ? EIO : errno;

			log_error("%s failed dev='%s' offset=%" PRIu64
				  " error=%s",
				  write ? "write" : "read", dev->name, t.offset,
				  n == 0 ? "end-of-file" : error_name(error));
			return -error;
		}
	}
	return 0;
}

static int file_preadv(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		       uint64_t offset)
{
	return transfer_all(dev, file_of(dev)->fd, iov, nr_iov, offset, false);
}

static int file_pwritev(struct blkdev *dev, const struct iovec *iov, int nr_iov,
			uint64_t offset)
{
	return transfer_all(dev, file_of(dev)->fd, iov, nr_iov, offset, true);
}

static int file_preadv_cached(struct blkdev *dev, const struct iovec *iov,
			      int nr_iov, uint64_t offset)
{
	const struct file_dev *file = file_of(dev);
	int fd = file->cached_fd >= 0 ? file->cached_fd : file->fd;

	return transfer_all(dev, fd, iov, nr_iov, offset, false);
}

static bool file_preadv_at_once(struct blkdev *dev, const struct iovec *iov,
				int nr_iov, uint64_t offset)
{
	int fd = file_of(dev)->cached_fd;
	size_t len = 0;

	if (fd < 0 || nr_iov > IOV_MAX)
		return false;
	for (int i = 0; i < nr_iov; i++)
		len += iov[i].iov_len;
	return preadv2(fd, iov, nr_iov, (off_t)offset, RWF_NOWAIT) ==
	       (ssize_t)len;
}

static int file_pwritev_cached(struct blkdev *dev, const struct iovec *iov,
			       int nr_iov, uint64_t offset)
{
	struct file_dev *file = file_of(dev);
	uint64_t bytes = 0;

	for (int i = 0; i < nr_iov; i++)
		bytes += iov[i].iov_len;
	if (file->cached_fd < 0 ||
	    __atomic_add_fetch(&file->cached_bytes, bytes, __ATOMIC_RELAXED) >
		    BLKDEV_CACHED_MAX)
		return file_pwritev(dev, iov, nr_iov, offset);
	return transfer_all(dev, file->cached_fd, iov, nr_iov, offset, true);
}

static void file_prefetch(struct blkdev *dev, uint64_t offset, uint64_t length)
{
	int fd = file_of(dev)->cached_fd;

	if (fd >= 0)
		posix_fadvise(fd, (off_t)offset, (off_t)length,
			      POSIX_FADV_WILLNEED);
}

/*
 * The kernel reports a lost write to one fdatasync() and then forgets it, so
 * the first failure is kept and given again for ever (D3).  EINTR is no
 * exception: what it left unwritten is unknown.
 */
static int file_flush(struct blkdev *dev)
{
	struct file_dev *file = file_of(dev);
	int error = __atomic_load_n(&file->flush_error, __ATOMIC_ACQUIRE);

	if (error != 0)
		return error;
	__atomic_store_n(&file->cached_bytes, 0, __ATOMIC_RELAXED);
	if (fdatasync(file->fd) == 0)
		return __atomic_load_n(&file->flush_error, __ATOMIC_ACQUIRE);
	error = -errno;
	__atomic_store_n(&file->flush_error, error, __ATOMIC_RELEASE);
	log_error("flush failed dev='%s' error=%s", dev->name,
		  error_name(-error));
	return error;
}

static int file_grow(struct file_dev *file, uint64_t size, bool preallocate)
{
	uint64_t before = file->dev.size;
	int rc = 0;

	if (ftruncate(file->fd, (off_t)size) != 0)
		return -errno;
	if (!preallocate)
		return 0;
	do {
		if (fallocate(file->fd, 0, (off_t)before,
			      (off_t)(size - before)) == 0)
			return 0;
		rc = -errno;
	} while (rc == -EINTR);
	/* give back what it did get; the device is as long as before */
	if (ftruncate(file->fd, (off_t)before) != 0)
		log_warn("truncate failed dev='%s' size=%" PRIu64 " error=%s",
			 file->dev.name, before, error_name(errno));
	return rc;
}

static int device_size(int fd, uint64_t *size)
{
	if (ioctl(fd, BLKGETSIZE64, size) != 0)
		return -errno;
	return 0;
}

static int file_resize(struct blkdev *dev, uint64_t size, bool preallocate)
{
	struct file_dev *file = file_of(dev);
	uint64_t now = size;
	int rc = 0;

	os_mutex_lock(&file->lock);
	if (size <= dev->size)
		goto out;
	if (dev->is_file) {
		rc = file_grow(file, size, preallocate);
	} else {
		/* a block device grows by other hands; see whether it has */
		rc = device_size(file->fd, &now);
		now = round_down(now, BLKDEV_ALIGN);
		if (rc == 0 && now < size)
			rc = -ENOTSUP;
	}
	if (rc == 0)
		__atomic_store_n(&dev->size, now, __ATOMIC_RELEASE);
out:
	os_mutex_unlock(&file->lock);
	return rc;
}

static int file_discard(struct blkdev *dev, uint64_t offset, uint64_t length)
{
	uint64_t range[2] = {offset, length};
	int fd = file_of(dev)->fd;
	int rc;

	if (dev->is_file)
		rc = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       (off_t)offset, (off_t)length);
	else
		rc = ioctl(fd, BLKDISCARD, range);
	if (rc == 0 || errno == EOPNOTSUPP || errno == ENOTTY)
		return 0;
	rc = -errno;
	log_warn("discard failed dev='%s' offset=%" PRIu64 " length=%" PRIu64
		 " error=%s",
		 dev->name, offset, length, error_name(-rc));
	return rc;
}

static void file_free(struct file_dev *file)
{
	if (file->cached_fd >= 0)
		close(file->cached_fd);
	if (file->fd >= 0)
		close(file->fd); /* and with it both locks */
	os_mutex_release(&file->lock);
	free(file->path);
	free(file);
}

static void file_close(struct blkdev *dev)
{
	file_free(file_of(dev));
}

static const struct blkdev_ops file_ops = {
	.preadv = file_preadv,
	.pwritev = file_pwritev,
	.preadv_cached = file_preadv_cached,
	.preadv_at_once = file_preadv_at_once,
	.pwritev_cached = file_pwritev_cached,
	.prefetch = file_prefetch,
	.flush = file_flush,
	.resize = file_resize,
	.discard = file_discard,
	.close = file_close,
};

/* Who has the flock, by what the kernel shows of all locks; 0 unknown. */
static int flock_owner(int fd)
{
	unsigned major, minor;
	unsigned long ino;
	char line[256];
	struct stat st;
	int pid, owner = 0;
	FILE *f;

	if (fstat(fd, &st) != 0)
		return 0;
	f = fopen("/proc/locks", "re");
	if (!f)
		return 0;
	/* "1: FLOCK  ADVISORY  WRITE 4711 fe:00:10955035 0 EOF" */
	while (!owner && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%lu", &pid,
			   &major, &minor, &ino) == 4 &&
		    ino == st.st_ino && makedev(major, minor) == st.st_dev &&
		    pid > 0)
			owner = pid;
	fclose(f);
	return owner;
}

static int lock_owner(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	/* -1: a lock that belongs to an open file, not to a process */
	if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK &&
	    lock.l_pid > 0)
		return lock.l_pid;
	return flock_owner(fd);
}

/*
 * flock() is the lock: it lives and dies with the open file.  The POSIX lock
 * beside it can be asked for its owner; it is lost when the process closes any
 * other descriptor of the same file, and then /proc/locks must do.
 */
static int file_lock(int fd, bool shared, int *owner)
{
	struct flock lock = {
		.l_type = shared ? F_RDLCK : F_WRLCK,
		.l_whence = SEEK_SET,
	};

	if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
		if (errno != EWOULDBLOCK)
			return -errno;
		*owner = lock_owner(fd);
		return -EBUSY;
	}
	if (fcntl(fd, F_SETLK, &lock) != 0 &&
	    (errno == EAGAIN || errno == EACCES)) {
		*owner = lock_owner(fd);
		return -EBUSY;
	}
	return 0;
}

/* A block device refused O_EXCL: who of ours has it, if it is one of ours? */
static int excl_owner(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int owner;

	if (fd < 0)
		return 0;
	owner = lock_owner(fd);
	close(fd);
	return owner;
}

/*
 * Without O_DIRECT at first: where the file system refuses that, open() would
 * fail, but only after it has created the file.
 */
static int fd_open(const char *path, unsigned flags, int *fd, int *owner)
{
	int mode = O_CLOEXEC | O_NOCTTY;
	struct stat st;

	mode |= flags & BLKDEV_READ_ONLY ? O_RDONLY : O_RDWR;
	if (flags & BLKDEV_CREATE) {
		mode |= O_CREAT | O_EXCL;
	} else {
		/* look first: open() alone can block or act on other kinds */
		if (stat(path, &st) != 0)
			return -errno;
		if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
			return -ENOTBLK;
		/* claims a block device from the kernel too */
		if (S_ISBLK(st.st_mode) &&
		    !(flags & (BLKDEV_READ_ONLY | BLKDEV_NO_LOCK)))
			mode |= O_EXCL;
	}
	*fd = open(path, mode, 0600);
	if (*fd >= 0)
		return 0;
	if (errno != EBUSY)
		return -errno;
	*owner = excl_owner(path);
	return -EBUSY;
}

/* What the descriptor is, and how long. */
static int file_measure(struct file_dev *file)
{
	struct stat st;
	uint64_t size;
	int rc;

	if (fstat(file->fd, &st) != 0)
		return -errno;
	if (S_ISREG(st.st_mode)) {
		file->dev.is_file = true;
		size = (uint64_t)st.st_size;
	} else if (S_ISBLK(st.st_mode)) {
		rc = device_size(file->fd, &size);
		if (rc != 0)
			return rc;
	} else {
		return -ENOTBLK;
	}
	file->dev.size = round_down(size, BLKDEV_ALIGN);
	return 0;
}

static void direct_try(struct file_dev *file)
{
	int mode = fcntl(file->fd, F_GETFL);

	if (mode < 0 || fcntl(file->fd, F_SETFL, mode | O_DIRECT) != 0)
		log_info("direct i/o refused, buffered instead dev='%s'",
			 file->path);
}

/*
 * Records are read at random: what the kernel would read ahead is wanted by
 * nobody.  Who reads in order reads a megabyte at a time.
 */
static void cached_open(struct file_dev *file)
{
	int mode = O_CLOEXEC | (file->dev.read_only ? O_RDONLY : O_RDWR);
	char link[32];

	snprintf(link, sizeof(link), "/proc/self/fd/%d", file->fd);
	file->cached_fd = open(link, mode | O_NOATIME);
	if (file->cached_fd < 0) /* O_NOATIME is the owner's and root's */
		file->cached_fd = open(link, mode);
	if (file->cached_fd >= 0)
		posix_fadvise(file->cached_fd, 0, 0, POSIX_FADV_RANDOM);
	else
		log_info("no cached i/o dev='%s' error=%s", file->path,
			 error_name(errno));
}

/* Make the new name durable; what the file holds, the first flush does. */
static int parent_sync(const char *path)
{
	char *copy = strdup(path);
	int rc = 0;
	int fd;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		rc = -errno;
	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

static int file_setup(struct file_dev *file, unsigned flags, int *owner)
{
	int rc;

	rc = file_measure(file);
	if (rc != 0)
		return rc;
	if (!(flags & BLKDEV_NO_LOCK)) {
		rc = file_lock(file->fd, flags & BLKDEV_READ_ONLY, owner);
		if (rc != 0)
			return rc;
		/* the last owner may have grown it until it let go */
		rc = file_measure(file);
		if (rc != 0)
			return rc;
	}
	if (!(flags & BLKDEV_BUFFERED))
		direct_try(file);
	if (!(flags & (BLKDEV_BUFFERED | BLKDEV_NO_LOCK)))
		cached_open(file);
	if (flags & BLKDEV_CREATE)
		return parent_sync(file->path);
	return 0;
}

int blkdev_file_open(const char *path, unsigned flags, struct blkdev **dev,
		     int *owner)
{
	struct file_dev *file;
	int nobody;
	int rc;

	if (!owner)
		owner = &nobody;
	*owner = 0;
	if (flags & BLKDEV_CREATE && flags & BLKDEV_READ_ONLY)
		return -EINVAL;
	file = calloc(1, sizeof(*file));
	if (!file)
		return -ENOMEM;
	file->fd = file->cached_fd = -1;
	os_mutex_init(&file->lock);
	file->path = strdup(path);
	if (!file->path) {
		rc = -ENOMEM;
		goto out;
	}
	file->dev.ops = &file_ops;
	file->dev.name = file->path;
	file->dev.read_only = flags & BLKDEV_READ_ONLY;

	rc = fd_open(path, flags, &file->fd, owner);
	if (rc != 0)
		goto out;
	rc = file_setup(file, flags, owner);
	/* what we created and nobody else has found yet, we take away again */
	if (rc != 0 && rc != -EBUSY && flags & BLKDEV_CREATE)
		unlink(path);
out:
	if (rc != 0) {
		file_free(file);
		return rc;
	}
	*dev = &file->dev;
	return 0;
}
