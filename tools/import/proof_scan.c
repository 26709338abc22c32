/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proof_scan.c - looks through all bytes of all files
 *
 * The caller's thread walks the directory and cuts files into pieces; a thread
 * per CPU takes one after the other.  A byte costs a bit in a map that fits
 * into the core's own cache: can a value begin with these four?  Of those that
 * can, six are looked up in a larger map, and only then is anything hashed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/import/proof_internal.h"

#define CHUNK	    (1u << 20)
#define PIECE	    ((off_t)32 << 20)
#define THREADS_MAX 8u
#define QUEUE	    64u
#define TICK_NS	    200000000

/* A file that pieces of are scanned; closed when the last one is. */
struct file {
	atomic_uint refs;
	int fd;
	char name[512]; /* in the directory */
};

struct piece {
	struct file *file;
	off_t start, end;
};

struct scan {
	struct proof *proof;
	bool learns; /* by the caller's thread alone */
	struct proof_hit *hit;
	int (*progress)(void *arg, uint64_t bytes);
	void *arg;
	char *buf; /* for learning */
	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t given, taken;
	struct piece queue[QUEUE];
	unsigned first, nr;
	unsigned nr_busy;
	bool ends;
	int result; /* 0; 1: a hit; -errno: of the first thread that has one */
	/* atomic */
	atomic_bool stops;
	_Atomic uint64_t bytes;
};

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- bytes ----------------------------------------------------------------- */

/* An original that begins at @p, with @len bytes there; or NULL. */
static const struct proof_entry *
look_up(const struct proof *proof, uint64_t gram, const char *p, size_t len)
{
	uint64_t lengths = proof_begin(proof, gram)->lengths;

	while (lengths) {
		const size_t n = (size_t)__builtin_ctzll(lengths) + 1;
		const struct proof_entry *e;

		if (n > len)
			break;
		lengths &= lengths - 1;
		e = proof_find(proof, proof_hash(proof, p, n));
		if (e->hash && e->len == n && !e->left_out)
			return e;
	}
	return NULL;
}

/* Which of the eight places from @p on can a value begin at?  A bit for each. */
static inline unsigned places(const struct proof *proof, const char *p,
			      uint64_t low)
{
	const unsigned bits = proof->first_bits;
	const uint32_t key = proof->first_key;
	const uint64_t *map = proof->first;
	unsigned at = 0;
	uint64_t high;

	memcpy(&high, p + 4, sizeof(high));
#define PLACE(i, word, shift)                                                  \
	(at |=                                                                 \
	 (unsigned)proof_bit(                                                  \
		 map, proof_first((uint32_t)((word) >> (shift)), key, bits))   \
	 << (i))
	PLACE(0, low, 0);
	PLACE(1, low, 8);
	PLACE(2, low, 16);
	PLACE(3, low, 24);
	PLACE(4, high, 0);
	PLACE(5, high, 8);
	PLACE(6, high, 16);
	PLACE(7, high, 24);
#undef PLACE
	return at;
}

/*
 * Beginnings in [p, p + nr) of values that end before p + len; @at: out.
 * PROOF_LENGTH_MAX bytes more can be read.
 */
static const struct proof_entry *scan_bytes(const struct proof *proof,
					    const char *p, size_t nr,
					    size_t len, size_t *at)
{
	const unsigned shift = 64 - proof->bitmap_bits;

	for (size_t i = 0; i < nr; i += 8) {
		uint64_t low;
		unsigned bits;

		memcpy(&low, p + i, sizeof(low));
		/* no value begins with a zero */
		if (!low)
			continue;
		for (bits = places(proof, p + i, low); bits; bits &= bits - 1) {
			const size_t j = i + (unsigned)__builtin_ctz(bits);
			const uint64_t gram = proof_gram(proof, p + j);
			const struct proof_entry *e;

			if (j >= nr)
				break;
			if (!proof_bit(proof->bitmap, gram >> shift))
				continue;
			e = look_up(proof, gram, p + j, len - j);
			if (e) {
				*at = j;
				return e;
			}
		}
	}
	return NULL;
}

/* ---- pieces ---------------------------------------------------------------- */

static void file_put(struct file *f)
{
	if (f && atomic_fetch_sub(&f->refs, 1) == 1) {
		close(f->fd);
		free(f);
	}
}

/* The first that has something to say says it; all stop. */
static void finish(struct scan *s, int result, const char *name,
		   uint64_t offset, const char *column)
{
	pthread_mutex_lock(&s->lock);
	if (!s->result) {
		s->result = result;
		if (s->hit) {
			snprintf(s->hit->file, sizeof(s->hit->file), "%s",
				 name);
			s->hit->offset = offset;
			s->hit->column = column;
		}
	}
	atomic_store(&s->stops, true);
	pthread_cond_broadcast(&s->given);
	pthread_cond_broadcast(&s->taken);
	pthread_mutex_unlock(&s->lock);
}

/* Past the hole at @offset, if there is one; -ENXIO: no data follow. */
static off_t past_hole(int fd, off_t offset)
{
	const off_t data = lseek(fd, offset, SEEK_DATA);

	if (data < 0 && errno == ENXIO)
		return -ENXIO;
	return data > offset ? data : offset;
}

/* As many as there are: @len, or fewer at the end of the file. */
static ssize_t read_all(int fd, char *buf, size_t len, off_t at)
{
	size_t have = 0;

	while (have < len) {
		const ssize_t n =
			pread(fd, buf + have, len - have, at + (off_t)have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/* Values that begin in the piece. */
static void scan_piece(struct scan *s, const struct piece *piece, char *buf)
{
	const struct file *f = piece->file;
	off_t at = piece->start;

	while (at < piece->end && !atomic_load(&s->stops)) {
		const struct proof_entry *e;
		size_t nr, found = 0;
		ssize_t n;

		at = past_hole(f->fd, at);
		if (at < 0 || at >= piece->end)
			break;
		nr = (size_t)MIN_OF(piece->end - at, (off_t)CHUNK);
		n = read_all(f->fd, buf, nr + PROOF_LENGTH_MAX, at);
		if (n < 0)
			finish(s, (int)n, f->name, 0, "");
		if (n <= 0)
			break;
		nr = MIN_OF(nr, (size_t)n);
		memset(buf + n, 0, PROOF_LENGTH_MAX);
		e = scan_bytes(s->proof, buf, nr, (size_t)n, &found);
		if (e)
			finish(s, 1, f->name, (uint64_t)at + found,
			       s->proof->columns[e->column].name);
		atomic_fetch_add(&s->bytes, nr);
		at += (off_t)nr;
	}
}

static void *work(void *arg)
{
	struct scan *s = arg;
	char *buf = malloc(CHUNK + 3 * PROOF_LENGTH_MAX);

	if (!buf)
		finish(s, -ENOMEM, "", 0, "");
	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct piece piece;

		while (!s->nr && !s->ends && !atomic_load(&s->stops))
			pthread_cond_wait(&s->given, &s->lock);
		if (!s->nr || atomic_load(&s->stops))
			break;
		piece = s->queue[s->first];
		s->first = (s->first + 1) % QUEUE;
		s->nr--;
		s->nr_busy++;
		pthread_mutex_unlock(&s->lock);
		scan_piece(s, &piece, buf);
		file_put(piece.file);
		pthread_mutex_lock(&s->lock);
		s->nr_busy--;
		pthread_cond_broadcast(&s->taken);
	}
	pthread_mutex_unlock(&s->lock);
	free(buf);
	return NULL;
}

/* Until a piece was taken, or for a moment; with the lock. */
static void wait_taken(struct scan *s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += TICK_NS;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&s->taken, &s->lock, &until);
	if (!s->progress)
		return;
	pthread_mutex_unlock(&s->lock);
	if (s->progress(s->arg, atomic_load(&s->bytes)))
		finish(s, -ECANCELED, "", 0, "");
	pthread_mutex_lock(&s->lock);
}

static void give(struct scan *s, struct file *f, off_t start, off_t end)
{
	atomic_fetch_add(&f->refs, 1);
	pthread_mutex_lock(&s->lock);
	while (s->nr == QUEUE && !atomic_load(&s->stops))
		wait_taken(s);
	if (s->nr < QUEUE) {
		s->queue[(s->first + s->nr++) % QUEUE] =
			(struct piece){f, start, end};
		f = NULL;
		pthread_cond_signal(&s->given);
	}
	pthread_mutex_unlock(&s->lock);
	file_put(f);
}

/* ---- files ----------------------------------------------------------------- */

static int learn_file(struct scan *s, int fd)
{
	off_t at = 0;

	for (;;) {
		ssize_t n;

		at = past_hole(fd, at);
		n = at < 0 ? 0 : read_all(fd, s->buf, CHUNK, at);
		if (n <= 0)
			return (int)n;
		proof_row(s->proof);
		proof_text(s->proof, s->buf, (size_t)n);
		/* what stands across the end of what was read */
		at += n > (ssize_t)GRAM_BYTES && n == CHUNK
			      ? n - (ssize_t)GRAM_BYTES
			      : n;
	}
}

/* Takes @fd. */
static int scan_file(struct scan *s, int fd, const char *name, off_t size)
{
	struct file *f = calloc(1, sizeof(*f));

	if (!f) {
		close(fd);
		return -ENOMEM;
	}
	atomic_init(&f->refs, 1);
	f->fd = fd;
	snprintf(f->name, sizeof(f->name), "%s", name);
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	for (off_t at = 0; at < size && !atomic_load(&s->stops); at += PIECE)
		give(s, f, at, MIN_OF(at + PIECE, size));
	file_put(f);
	s->proof->stats.nr_files++;
	return atomic_load(&s->stops) ? -ECANCELED : 0;
}

static int scan_dir(struct scan *s, int fd, const char *prefix);

static int scan_name(struct scan *s, int dir, const char *prefix,
		     const char *name)
{
	char path[512];
	struct stat st;
	int fd, err;

	snprintf(path, sizeof(path), "%s%s", prefix, name);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		err = -errno;
		if (!s->learns)
			finish(s, err, path, 0, "");
		return err;
	}
	if (S_ISDIR(st.st_mode)) {
		strncat(path, "/", sizeof(path) - strlen(path) - 1);
		return scan_dir(s, fd, path);
	}
	if (!s->learns)
		return scan_file(s, fd, path, st.st_size);
	err = learn_file(s, fd);
	close(fd);
	return err;
}

/* Takes @fd. */
static int scan_dir(struct scan *s, int fd, const char *prefix)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;
	int err = 0;

	if (!dir) {
		err = -errno;
		close(fd);
		return err;
	}
	while (!err && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			err = scan_name(s, dirfd(dir), prefix, e->d_name);
	closedir(dir);
	return err;
}

static int scan_all(struct scan *s, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? -errno : scan_dir(s, fd, "");
}

int proof_learn(struct proof *proof, const char *dir)
{
	struct scan s = {.proof = proof, .learns = true};
	int err;

	s.buf = malloc(CHUNK);
	if (!s.buf)
		return -ENOMEM;
	err = scan_all(&s, dir);
	free(s.buf);
	return err;
}

/* With threads; what they found is in @s. */
static int scan_with(struct scan *s, const char *dir, unsigned nr)
{
	pthread_t threads[THREADS_MAX];
	unsigned started = 0;
	int err;

	while (started < nr &&
	       !pthread_create(&threads[started], NULL, work, s))
		started++;
	err = started ? scan_all(s, dir) : -EAGAIN;
	pthread_mutex_lock(&s->lock);
	s->ends = true;
	pthread_cond_broadcast(&s->given);
	while ((s->nr || s->nr_busy) && !atomic_load(&s->stops))
		wait_taken(s);
	pthread_mutex_unlock(&s->lock);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	for (; s->nr; s->nr--, s->first = (s->first + 1) % QUEUE)
		file_put(s->queue[s->first].file);
	return s->result ? s->result : err;
}

int proof_scan(struct proof *proof, const char *dir, struct proof_hit *hit,
	       int (*progress)(void *arg, uint64_t bytes), void *arg)
{
	struct scan s = {
		.proof = proof, .hit = hit, .progress = progress, .arg = arg};
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	const uint64_t start = now();
	int err = proof_prepare(proof);

	*hit = (struct proof_hit){.column = ""};
	proof->stats.nr_files = 0;
	pthread_mutex_init(&s.lock, NULL);
	pthread_cond_init(&s.given, NULL);
	pthread_cond_init(&s.taken, NULL);
	if (!err)
		err = scan_with(&s, dir,
				cpus < 1 ? 1
					 : MIN_OF((unsigned)cpus, THREADS_MAX));
	pthread_cond_destroy(&s.taken);
	pthread_cond_destroy(&s.given);
	pthread_mutex_destroy(&s.lock);
	proof->stats.bytes = atomic_load(&s.bytes);
	proof->stats.scan_ms = (double)(now() - start) / 1e6;
	return err;
}
