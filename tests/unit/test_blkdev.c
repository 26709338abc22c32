/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/blkdev.h"
#include "store/os.h"
#include "store/util.h"
#include "tests/lib/check.h"

#define B ((size_t)BLKDEV_ALIGN)

static char dir[PATH_MAX];
static char path[PATH_MAX + 16];

static int dir_make(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(dir, sizeof(dir), "%s/dbs-blkdev-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/pool", dir);
	return 0;
}

static int dir_remove(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static int file_remove(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

/* Stands in for libc's: what a flush of a file comes to. */
static int flush_errno;
static int nr_flushes;

int fdatasync(int fd)
{
	nr_flushes++;
	if (flush_errno == 0)
		return fsync(fd);
	errno = flush_errno;
	return -1;
}

static void silent(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static struct blkdev *mem_new(size_t nr_blocks)
{
	struct blkdev *dev;

	CHECK_OK(blkdev_mem_open(nr_blocks * B, &dev));
	return dev;
}

static struct blkdev *file_new(size_t nr_blocks)
{
	struct blkdev *dev;

	CHECK_OK(blkdev_file_open(path, BLKDEV_CREATE, &dev, NULL));
	CHECK_UINT(dev->size, 0);
	CHECK_OK(blkdev_resize(dev, nr_blocks * B, false));
	CHECK_UINT(dev->size, nr_blocks * B);
	return dev;
}

static uint8_t *buffer_new(size_t len, uint8_t fill)
{
	uint8_t *buf = blkdev_buffer_new(len);

	CHECK(buf);
	memset(buf, fill, len);
	return buf;
}

/* D5: whatever way it was written, every way to read it has it. */
static void cache_check(struct blkdev *dev, uint8_t *got)
{
	uint8_t *c = buffer_new(2 * B, 'c');
	uint8_t *d = buffer_new(2 * B, 'd');

	CHECK_OK(blkdev_read_cached(dev, got, 2 * B, 9 * B));
	CHECK_OK(blkdev_write(dev, c, 2 * B, 9 * B));
	CHECK_OK(blkdev_read_cached(dev, got, 2 * B, 9 * B));
	CHECK_MEM(got, c, 2 * B);
	CHECK_OK(blkdev_write_cached(dev, d, B, 10 * B));
	CHECK_OK(blkdev_read(dev, got, 2 * B, 9 * B));
	CHECK_MEM(got, c, B);
	CHECK_MEM(got + B, d, B);
	CHECK_OK(blkdev_write_cached(dev, d, 2 * B, 9 * B));
	CHECK_OK(blkdev_write(dev, c, B, 9 * B));
	CHECK_OK(blkdev_read_cached(dev, got, 2 * B, 9 * B));
	CHECK_MEM(got, c, B);
	CHECK_MEM(got + B, d, B);
	CHECK(blkdev_write_cached(dev, d, B, 16 * B) == -EINVAL);
	CHECK(blkdev_write_cached(dev, d, B, B / 2) == -EINVAL);
	CHECK(blkdev_read_cached(dev, d, 2 * B, 15 * B) == -EINVAL);
	free(c);
	free(d);
}

/* What every device must do; takes over @dev, of 16 blocks. */
static void device_check(struct blkdev *dev)
{
	uint8_t *a = buffer_new(4 * B, 'a');
	uint8_t *b = buffer_new(4 * B, 'b');
	uint8_t *got = buffer_new(4 * B, 0);
	struct iovec iov[4] = {
		{.iov_base = a, .iov_len = B},
		{.iov_base = NULL, .iov_len = 0},
		{.iov_base = b, .iov_len = 2 * B},
		{.iov_base = a + B, .iov_len = B},
	};

	CHECK_OK(blkdev_read(dev, got, B, 15 * B));
	CHECK(got[0] == 0 && memcmp(got, got + 1, B - 1) == 0);
	CHECK_OK(blkdev_write(dev, a, B, 15 * B));
	CHECK_OK(blkdev_pwritev(dev, iov, 4, 3 * B));
	CHECK_OK(blkdev_flush(dev));
	CHECK_OK(blkdev_read(dev, got, 4 * B, 3 * B));
	CHECK_MEM(got, a, B);
	CHECK_MEM(got + B, b, 2 * B);
	CHECK_MEM(got + 3 * B, a, B);
	memset(a, 0, 4 * B);
	memset(b, 0, 4 * B);
	CHECK_OK(blkdev_preadv(dev, iov, 4, 3 * B));
	CHECK(a[0] == 'a' && b[0] == 'b' && b[2 * B - 1] == 'b');
	CHECK(a[2 * B - 1] == 'a' && b[2 * B] == 0 && a[2 * B] == 0);
	CHECK_OK(blkdev_read(dev, got, 0, 16 * B));
	CHECK_OK(blkdev_pwritev(dev, NULL, 0, 0));
	cache_check(dev, got);

	CHECK_OK(blkdev_discard(dev, 0, 2 * B));
	CHECK_OK(blkdev_resize(dev, 32 * B, true));
	CHECK_UINT(blkdev_size(dev), 32 * B);
	CHECK_OK(blkdev_resize(dev, 8 * B, false));
	CHECK_UINT(blkdev_size(dev), 32 * B);
	CHECK_OK(blkdev_read(dev, got, B, 15 * B));
	CHECK(got[0] == 'a');
	CHECK_OK(blkdev_write(dev, got, B, 31 * B));
	blkdev_close(dev);
	free(a);
	free(b);
	free(got);
}

static void blkdev_mem__reads_back_what_was_written(void **state)
{
	(void)state;
	device_check(mem_new(16));
}

static void blkdev_file__reads_back_what_was_written(void **state)
{
	(void)state;
	device_check(file_new(16));
}

/* How many blocks from @first on the page cache has. */
static size_t nr_cached(uint64_t first, size_t nr)
{
	unsigned char *in = calloc(nr, 1);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t found = 0;
	void *map;

	CHECK(in && fd >= 0);
	map = mmap(NULL, nr * B, PROT_READ, MAP_SHARED, fd, (off_t)(first * B));
	CHECK(map != MAP_FAILED);
	CHECK(mincore(map, nr * B, in) == 0);
	for (size_t i = 0; i < nr; i++)
		found += in[i] & 1;
	munmap(map, nr * B);
	close(fd);
	free(in);
	return found;
}

static void blkdev_file__little_is_written_by_a_flush(void **state)
{
	const size_t nr = 2 * BLKDEV_CACHED_MAX / B;
	struct blkdev *dev = file_new(nr + 1);
	uint8_t *buf = buffer_new(B, 'x');

	(void)state;
	CHECK_OK(blkdev_write(dev, buf, B, 0));
	if (nr_cached(0, 1) > 0) {
		blkdev_close(dev);
		free(buf);
		skip(); /* no O_DIRECT here */
	}
	for (size_t i = 0; i < nr; i++)
		CHECK_OK(blkdev_write_cached(dev, buf, B, i * B));
	CHECK_UINT(nr_cached(0, nr), BLKDEV_CACHED_MAX / B);
	CHECK_OK(blkdev_flush(dev));
	CHECK_OK(blkdev_write_cached(dev, buf, B, nr * B));
	CHECK_UINT(nr_cached(nr, 1), 1);
	blkdev_close(dev);
	free(buf);
}

/* Forget what the page cache has of the file, as far as it is on the disk. */
static void forget_cached(struct blkdev *dev)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK_OK(blkdev_flush(dev));
	CHECK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0);
	close(fd);
}

static void blkdev_file__comes_at_once_if_all_of_it_is_there(void **state)
{
	uint8_t *in = buffer_new(4 * B, 'i'), *got = buffer_new(4 * B, 0);
	struct iovec iov[2] = {{got, B}, {got + B, 3 * B}};
	struct blkdev *dev = file_new(8);

	(void)state;
	CHECK_OK(blkdev_write_cached(dev, in, 4 * B, B));
	if (nr_cached(1, 4) < 4) {
		blkdev_close(dev);
		free(in);
		free(got);
		return; /* no page cache here: nothing comes at once */
	}
	CHECK(blkdev_preadv_at_once(dev, iov, 2, B));
	CHECK_MEM(got, in, 4 * B);
	CHECK(!blkdev_preadv_at_once(dev, iov, 2, 6 * B));
	forget_cached(dev);
	CHECK_UINT(nr_cached(1, 4), 0);
	/* Linux may begin to read it, and be quick */
	memset(got, 0, 4 * B);
	if (blkdev_preadv_at_once(dev, iov, 2, B))
		CHECK_MEM(got, in, 4 * B);
	CHECK_OK(blkdev_preadv_cached(dev, iov, 2, B));
	CHECK_MEM(got, in, 4 * B);
	CHECK(blkdev_preadv_at_once(dev, iov, 2, B));
	blkdev_close(dev);
	free(in);
	free(got);
}

static void blkdev_file__cannot_be_written_when_read_only(void **state)
{
	uint8_t *buf = buffer_new(B, 0);
	struct blkdev *dev = file_new(4);

	(void)state;
	CHECK_OK(blkdev_write_cached(dev, buf, B, B));
	blkdev_close(dev);
	CHECK_OK(blkdev_file_open(path, BLKDEV_READ_ONLY, &dev, NULL));
	CHECK(blkdev_write_cached(dev, buf, B, B) == -EROFS);
	CHECK_OK(blkdev_read_cached(dev, buf, B, B));
	blkdev_close(dev);
	free(buf);
}

static void blkdev_faulty__passes_everything_on(void **state)
{
	struct blkdev *dev;

	(void)state;
	CHECK_OK(blkdev_faulty_open(mem_new(16), &dev));
	blkdev_faulty_record(dev, true);
	device_check(dev);
}

static void blkdev__misaligned_or_outside_is_einval(void **state)
{
	struct blkdev *dev = mem_new(4);
	uint8_t *buf = buffer_new(8 * B, 1);
	struct iovec wrap[2] = {
		{.iov_base = buf, .iov_len = SIZE_MAX - B + 1},
		{.iov_base = buf, .iov_len = 2 * B},
	};

	(void)state;
	log_set_sink(silent);
	CHECK_INT(blkdev_read(dev, buf, B, 1), -EINVAL);
	CHECK_INT(blkdev_read(dev, buf, B - 1, 0), -EINVAL);
	CHECK_INT(blkdev_read(dev, buf + 512, B, 0), -EINVAL);
	CHECK_INT(blkdev_read(dev, buf, B, 4 * B), -EINVAL);
	CHECK_INT(blkdev_write(dev, buf, 2 * B, 3 * B), -EINVAL);
	CHECK_INT(blkdev_write(dev, buf, B, UINT64_MAX - B + 1), -EINVAL);
	CHECK_INT(blkdev_pwritev(dev, wrap, 2, 0), -EINVAL);
	CHECK_INT(blkdev_pwritev(dev, wrap, -1, 0), -EINVAL);
	CHECK_INT(blkdev_discard(dev, 3 * B, 2 * B), -EINVAL);
	CHECK_INT(blkdev_resize(dev, 5 * B + 1, false), -EINVAL);
	CHECK_INT(blkdev_mem_open(B + 1, &dev), -EINVAL);
	log_set_sink(NULL);
	blkdev_close(dev);
	blkdev_close(NULL);
	free(buf);
}

static void blkdev_buffer__is_aligned_and_zero(void **state)
{
	uint8_t *buf = blkdev_buffer_new(3 * B);

	(void)state;
	CHECK(buf);
	CHECK_UINT((uintptr_t)buf % B, 0);
	CHECK(buf[0] == 0 && memcmp(buf, buf + 1, 3 * B - 1) == 0);
	free(buf);
}

struct grower {
	struct os_thread thread;
	struct blkdev *dev;
};

static void grower_run(void *arg)
{
	struct grower *g = arg;

	for (size_t nr = 2; nr <= 512; nr++)
		MUST(blkdev_resize(g->dev, nr * B, false) == 0);
}

static void blkdev_mem__bytes_stay_in_place_while_it_grows(void **state)
{
	struct blkdev *dev = mem_new(1);
	const uint8_t *data = blkdev_mem_data(dev);
	struct grower growers[4];
	uint8_t *buf = buffer_new(B, 7);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(growers); i++) {
		growers[i].dev = dev;
		CHECK_OK(os_thread_start(&growers[i].thread, "grower",
					 grower_run, &growers[i]));
	}
	while (blkdev_size(dev) < 512 * B)
		CHECK_OK(blkdev_write(dev, buf, B, blkdev_size(dev) - B));
	for (size_t i = 0; i < ARRAY_SIZE(growers); i++)
		os_thread_join(&growers[i].thread);
	CHECK_UINT(dev->size, 512 * B);
	CHECK_OK(blkdev_write(dev, buf, B, 511 * B));
	CHECK(blkdev_mem_data(dev) == data);
	CHECK_UINT(data[512 * B - 1], 7);
	CHECK_INT(blkdev_resize(dev, UINT64_C(1) << 60, false), -ENOTSUP);
	blkdev_close(dev);
	free(buf);
}

/* Runs in a child, which leaves with the result and checks the owner. */
static int open_in_child(unsigned flags, int want_owner)
{
	pid_t pid = fork();
	int status;

	CHECK(pid >= 0);
	if (pid == 0) {
		struct blkdev *dev = NULL;
		int owner = -1;
		int rc = blkdev_file_open(path, flags, &dev, &owner);

		if (rc == 0)
			blkdev_close(dev);
		else
			MUST(owner == want_owner);
		_exit(-rc);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void blkdev_file__second_open_is_refused_and_names_the_pid(void **state)
{
	struct blkdev *dev = file_new(4);
	int owner;

	(void)state;
	CHECK_INT(open_in_child(0, getpid()), -EBUSY);
	CHECK_INT(open_in_child(BLKDEV_READ_ONLY, getpid()), -EBUSY);
	CHECK_OK(open_in_child(BLKDEV_READ_ONLY | BLKDEV_NO_LOCK, 0));
	/* the same process is refused as well */
	CHECK_INT(blkdev_file_open(path, 0, &dev, &owner), -EBUSY);
	blkdev_close(dev);
	CHECK_OK(open_in_child(0, 0));
}

static void blkdev_file__readers_share_and_keep_writers_out(void **state)
{
	struct blkdev *dev;
	uint8_t *buf = buffer_new(B, 1);

	(void)state;
	blkdev_close(file_new(4));
	CHECK_OK(blkdev_file_open(path, BLKDEV_READ_ONLY, &dev, NULL));
	CHECK_OK(open_in_child(BLKDEV_READ_ONLY, 0));
	CHECK_INT(open_in_child(0, getpid()), -EBUSY);
	CHECK_OK(blkdev_read(dev, buf, B, 0));
	CHECK_INT(blkdev_write(dev, buf, B, 0), -EROFS);
	CHECK_INT(blkdev_discard(dev, 0, B), -EROFS);
	CHECK_INT(blkdev_resize(dev, 8 * B, false), -EROFS);
	CHECK_OK(blkdev_flush(dev));
	blkdev_close(dev);
	free(buf);
}

static void blkdev_file__lock_ends_with_its_process(void **state)
{
	int ready[2], status;
	struct blkdev *dev;
	char byte;
	pid_t pid;
	int owner;

	(void)state;
	blkdev_close(file_new(4));
	CHECK_OK(pipe(ready));
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		MUST(blkdev_file_open(path, 0, &dev, NULL) == 0);
		MUST(write(ready[1], "x", 1) == 1);
		pause();
		_exit(0);
	}
	CHECK_INT(read(ready[0], &byte, 1), 1);
	CHECK_INT(blkdev_file_open(path, 0, &dev, &owner), -EBUSY);
	CHECK_INT(owner, pid);
	CHECK_OK(kill(pid, SIGKILL));
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_OK(blkdev_file_open(path, 0, &dev, &owner));
	blkdev_close(dev);
	close(ready[0]);
	close(ready[1]);
}

static void blkdev_file__create_takes_no_existing_name(void **state)
{
	struct blkdev *dev;

	(void)state;
	CHECK_INT(blkdev_file_open(path, 0, &dev, NULL), -ENOENT);
	CHECK_INT(blkdev_file_open(path, BLKDEV_CREATE | BLKDEV_READ_ONLY, &dev,
				   NULL),
		  -EINVAL);
	CHECK_INT(access(path, F_OK), -1);
	blkdev_close(file_new(1));
	CHECK_INT(blkdev_file_open(path, BLKDEV_CREATE, &dev, NULL), -EEXIST);
	CHECK_OK(access(path, F_OK));
	unlink(path);
	CHECK_OK(symlink("/nowhere/at/all", path));
	CHECK_INT(blkdev_file_open(path, BLKDEV_CREATE, &dev, NULL), -EEXIST);
}

static void blkdev_file__created_file_is_private(void **state)
{
	mode_t mask = umask(0);
	struct stat st;

	(void)state;
	blkdev_close(file_new(1));
	umask(mask);
	CHECK_OK(stat(path, &st));
	CHECK_UINT(st.st_mode & 07777, 0600);
}

static void blkdev_file__other_kinds_are_refused_without_blocking(void **state)
{
	struct blkdev *dev;

	(void)state;
	CHECK_INT(blkdev_file_open(dir, 0, &dev, NULL), -ENOTBLK);
	CHECK_INT(blkdev_file_open("/dev/zero", 0, &dev, NULL), -ENOTBLK);
	CHECK_OK(mkfifo(path, 0600));
	CHECK_INT(blkdev_file_open(path, BLKDEV_READ_ONLY, &dev, NULL),
		  -ENOTBLK);
}

static void blkdev_file__is_reached_by_symlink(void **state)
{
	char target[PATH_MAX + 16];
	struct blkdev *dev;

	(void)state;
	blkdev_close(file_new(2));
	snprintf(target, sizeof(target), "%s/real", dir);
	CHECK_OK(rename(path, target));
	CHECK_OK(symlink("real", path));
	CHECK_OK(blkdev_file_open(path, 0, &dev, NULL));
	CHECK_UINT(dev->size, 2 * B);
	CHECK(dev->is_file);
	blkdev_close(dev);
	unlink(target);
}

static void blkdev_file__descriptor_is_not_inherited_by_exec(void **state)
{
	struct blkdev *dev;
	int next = dup(0);

	(void)state;
	CHECK(next >= 0);
	close(next);
	dev = file_new(1);
	/* the lowest free descriptor was taken by the device */
	CHECK_INT(fcntl(next, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	blkdev_close(dev);
	CHECK_INT(fcntl(next, F_GETFD), -1);
}

static void blkdev_file__more_pieces_than_iov_max_all_arrive(void **state)
{
	const int nr = 2 * IOV_MAX + 500;
	struct blkdev *dev = file_new((size_t)nr);
	uint8_t *out = buffer_new((size_t)nr * B, 0);
	uint8_t *in = buffer_new((size_t)nr * B, 0);
	struct iovec *iov = calloc((size_t)nr, sizeof(*iov));

	(void)state;
	CHECK(iov);
	/* in backward order, so that no piece lies beside the next */
	for (int i = 0; i < nr; i++) {
		iov[i].iov_base = out + (size_t)(nr - 1 - i) * B;
		iov[i].iov_len = B;
		memcpy(iov[i].iov_base, &i, sizeof(i));
	}
	CHECK_OK(blkdev_pwritev(dev, iov, nr, 0));
	CHECK_OK(blkdev_read(dev, in, (size_t)nr * B, 0));
	for (int i = 0; i < nr; i++)
		CHECK_MEM(in + (size_t)i * B, &i, sizeof(i));
	memset(out, 0, (size_t)nr * B);
	CHECK_OK(blkdev_preadv(dev, iov, nr, 0));
	for (int i = 0; i < nr; i++)
		CHECK_MEM(iov[i].iov_base, &i, sizeof(i));
	blkdev_close(dev);
	free(iov);
	free(out);
	free(in);
}

static void blkdev_file__transfer_cut_short_is_an_error(void **state)
{
	struct rlimit limit = {.rlim_cur = 6 * B, .rlim_max = RLIM_INFINITY};
	struct blkdev *dev = file_new(8);
	uint8_t *buf = buffer_new(8 * B, 1);
	int status;
	pid_t pid;

	(void)state;
	log_set_sink(silent);
	/* a write over the limit moves the part below it, and says so */
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		struct iovec iov[2] = {
			{.iov_base = buf, .iov_len = B},
			{.iov_base = buf + B, .iov_len = 7 * B},
		};

		signal(SIGXFSZ, SIG_IGN);
		MUST(setrlimit(RLIMIT_FSIZE, &limit) == 0);
		_exit(-blkdev_pwritev(dev, iov, 2, 0));
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == EFBIG);
	CHECK_OK(blkdev_read(dev, buf, 8 * B, 0));
	CHECK(buf[6 * B - 1] == 1 && buf[6 * B] == 0);
	/* a file that lost its tail */
	CHECK_OK(truncate(path, (off_t)(4 * B)));
	CHECK_INT(blkdev_read(dev, buf, 8 * B, 0), -EIO);
	log_set_sink(NULL);
	blkdev_close(dev);
	free(buf);
}

/* The kernel tells of a lost write once; asked again, it says all is well. */
static void
blkdev_file__failed_flush_is_never_followed_by_a_good_one(void **state)
{
	struct blkdev *dev = file_new(1);

	(void)state;
	log_set_sink(silent);
	nr_flushes = 0;
	CHECK_OK(blkdev_flush(dev));
	CHECK_INT(nr_flushes, 1);
	flush_errno = EIO;
	CHECK_INT(blkdev_flush(dev), -EIO);
	flush_errno = 0;
	CHECK_INT(blkdev_flush(dev), -EIO);
	CHECK_INT(nr_flushes, 2);
	log_set_sink(NULL);
	blkdev_close(dev);
}

static void blkdev_file__preallocated_bytes_are_there(void **state)
{
	struct blkdev *dev = file_new(0);
	struct stat st;

	(void)state;
	CHECK_OK(blkdev_resize(dev, 256 * B, true));
	CHECK_OK(stat(path, &st));
	CHECK_UINT(st.st_size, 256 * B);
	CHECK((uint64_t)st.st_blocks * 512 >= 256 * B);
	CHECK_OK(blkdev_discard(dev, 0, 128 * B));
	CHECK_OK(stat(path, &st));
	CHECK_UINT(st.st_size, 256 * B);
	blkdev_close(dev);
}

static void blkdev_file__failed_growth_changes_nothing(void **state)
{
	struct blkdev *dev = file_new(8);
	struct stat st;

	(void)state;
	CHECK(blkdev_resize(dev, UINT64_C(1) << 62, true) < 0);
	CHECK_UINT(dev->size, 8 * B);
	CHECK_INT(blkdev_resize(dev, UINT64_C(1) << 63, true), -EFBIG);
	CHECK_OK(stat(path, &st));
	CHECK_UINT(st.st_size, 8 * B);
	blkdev_close(dev);
}

static void blkdev_file__odd_tail_is_not_part_of_the_device(void **state)
{
	struct blkdev *dev;

	(void)state;
	blkdev_close(file_new(8));
	CHECK_OK(truncate(path, (off_t)(8 * B - 1)));
	CHECK_OK(blkdev_file_open(path, BLKDEV_BUFFERED, &dev, NULL));
	CHECK_UINT(dev->size, 7 * B);
	blkdev_close(dev);
}

static void blkdev_faulty__recording_holds_every_write_in_order(void **state)
{
	const struct blkdev_event *e;
	struct blkdev *dev;
	uint8_t *a = buffer_new(2 * B, 'a');
	uint8_t *b = buffer_new(2 * B, 'b');
	struct iovec iov[2] = {
		{.iov_base = b, .iov_len = B},
		{.iov_base = a, .iov_len = B},
	};

	(void)state;
	CHECK_OK(blkdev_faulty_open(mem_new(16), &dev));
	CHECK_OK(blkdev_write(dev, a, B, 0));
	blkdev_faulty_record(dev, true);
	CHECK_UINT(blkdev_faulty_nr_events(dev), 0);
	CHECK_OK(blkdev_write(dev, a, 2 * B, 5 * B));
	CHECK_OK(blkdev_flush(dev));
	blkdev_faulty_mark(dev, 4711);
	CHECK_OK(blkdev_pwritev(dev, iov, 2, B));
	CHECK_OK(blkdev_read(dev, a, B, 0));
	blkdev_faulty_record(dev, false);
	CHECK_OK(blkdev_write(dev, b, B, 0));
	CHECK_UINT(blkdev_faulty_nr_events(dev), 4);

	e = blkdev_faulty_event(dev, 0);
	CHECK(e->kind == BLKDEV_EVENT_WRITE && e->offset == 5 * B);
	CHECK_UINT(e->length, 2 * B);
	memset(a, 0, 2 * B); /* it has its own copy */
	CHECK(e->data[0] == 'a' && e->data[2 * B - 1] == 'a');
	e = blkdev_faulty_event(dev, 1);
	CHECK(e->kind == BLKDEV_EVENT_FLUSH && e->offset == 1);
	e = blkdev_faulty_event(dev, 2);
	CHECK(e->kind == BLKDEV_EVENT_MARK && e->offset == 4711);
	e = blkdev_faulty_event(dev, 3);
	CHECK(e->kind == BLKDEV_EVENT_WRITE && e->offset == B);
	CHECK(e->data[B - 1] == 'b' && e->data[B] == 'a');

	blkdev_faulty_record(dev, true);
	CHECK_UINT(blkdev_faulty_nr_events(dev), 0);
	blkdev_close(dev);
	free(a);
	free(b);
}

static void blkdev_faulty__nth_call_fails_once(void **state)
{
	struct blkdev *dev;
	uint8_t *a = buffer_new(B, 'a');
	uint8_t *got = buffer_new(B, 0);

	(void)state;
	CHECK_OK(blkdev_faulty_open(mem_new(4), &dev));
	blkdev_faulty_record(dev, true);
	blkdev_faulty_fail(dev, BLKDEV_CALL_WRITE | BLKDEV_CALL_FLUSH, 2,
			   -ENOSPC, false, false);
	CHECK_OK(blkdev_write(dev, a, B, 0));
	CHECK_OK(blkdev_read(dev, got, B, 0));
	CHECK_INT(blkdev_write(dev, a, B, B), -ENOSPC);
	CHECK_OK(blkdev_read(dev, got, B, B));
	CHECK_UINT(got[0], 0);
	CHECK_OK(blkdev_flush(dev));
	CHECK_OK(blkdev_write(dev, a, B, B));
	CHECK_UINT(blkdev_faulty_nr_events(dev), 3);
	CHECK_UINT(blkdev_faulty_calls(dev, BLKDEV_CALL_WRITE), 3);
	CHECK_UINT(blkdev_faulty_calls(dev, BLKDEV_CALL_READ), 2);
	CHECK_UINT(
		blkdev_faulty_calls(dev, BLKDEV_CALL_READ | BLKDEV_CALL_FLUSH),
		3);
	blkdev_close(dev);
	free(a);
	free(got);
}

static void blkdev_faulty__sticky_failure_lasts_until_switched_off(void **state)
{
	struct blkdev *dev;

	(void)state;
	CHECK_OK(blkdev_faulty_open(mem_new(4), &dev));
	blkdev_faulty_record(dev, true);
	blkdev_faulty_fail(dev, BLKDEV_CALL_FLUSH, 2, -EIO, true, false);
	CHECK_OK(blkdev_flush(dev));
	for (int i = 0; i < 3; i++)
		CHECK_INT(blkdev_flush(dev), -EIO);
	CHECK_UINT(blkdev_faulty_nr_events(dev), 1);
	blkdev_faulty_fail(dev, 0, 0, 0, false, false);
	CHECK_OK(blkdev_flush(dev));
	blkdev_close(dev);
}

static void blkdev_faulty__torn_write_leaves_its_first_half(void **state)
{
	struct blkdev *dev;
	uint8_t *a = buffer_new(3 * B, 'a');
	uint8_t *b = buffer_new(3 * B, 'b');
	uint8_t *got = buffer_new(3 * B, 0);
	size_t half = 3 * B / 2;

	(void)state;
	CHECK_OK(blkdev_faulty_open(mem_new(4), &dev));
	CHECK_OK(blkdev_write(dev, a, 3 * B, B));
	blkdev_faulty_record(dev, true);
	blkdev_faulty_fail(dev, BLKDEV_CALL_WRITE, 1, -EIO, false, true);
	CHECK_INT(blkdev_write(dev, b, 3 * B, B), -EIO);
	CHECK_OK(blkdev_read(dev, got, 3 * B, B));
	CHECK_MEM(got, b, half);
	CHECK_MEM(got + half, a, 3 * B - half);
	/* what reached the device is in the recording too */
	CHECK_UINT(blkdev_faulty_nr_events(dev), 1);
	CHECK_MEM(blkdev_faulty_event(dev, 0)->data, got, 2 * B);
	blkdev_close(dev);
	free(a);
	free(b);
	free(got);
}

#define mem_test(name)	cmocka_unit_test(name)
#define file_test(name) cmocka_unit_test_teardown(name, file_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		mem_test(blkdev_mem__reads_back_what_was_written),
		file_test(blkdev_file__reads_back_what_was_written),
		file_test(blkdev_file__little_is_written_by_a_flush),
		file_test(blkdev_file__comes_at_once_if_all_of_it_is_there),
		file_test(blkdev_file__cannot_be_written_when_read_only),
		mem_test(blkdev_faulty__passes_everything_on),
		mem_test(blkdev__misaligned_or_outside_is_einval),
		mem_test(blkdev_buffer__is_aligned_and_zero),
		mem_test(blkdev_mem__bytes_stay_in_place_while_it_grows),
		file_test(
			blkdev_file__second_open_is_refused_and_names_the_pid),
		file_test(blkdev_file__readers_share_and_keep_writers_out),
		file_test(blkdev_file__lock_ends_with_its_process),
		file_test(blkdev_file__create_takes_no_existing_name),
		file_test(blkdev_file__created_file_is_private),
		file_test(
			blkdev_file__other_kinds_are_refused_without_blocking),
		file_test(blkdev_file__is_reached_by_symlink),
		file_test(blkdev_file__descriptor_is_not_inherited_by_exec),
		file_test(blkdev_file__more_pieces_than_iov_max_all_arrive),
		file_test(blkdev_file__transfer_cut_short_is_an_error),
		file_test(
			blkdev_file__failed_flush_is_never_followed_by_a_good_one),
		file_test(blkdev_file__preallocated_bytes_are_there),
		file_test(blkdev_file__failed_growth_changes_nothing),
		file_test(blkdev_file__odd_tail_is_not_part_of_the_device),
		mem_test(blkdev_faulty__recording_holds_every_write_in_order),
		mem_test(blkdev_faulty__nth_call_fails_once),
		mem_test(
			blkdev_faulty__sticky_failure_lasts_until_switched_off),
		mem_test(blkdev_faulty__torn_write_leaves_its_first_half),
	};

	return cmocka_run_group_tests(tests, dir_make, dir_remove);
}
