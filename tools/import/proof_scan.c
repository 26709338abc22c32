/* SPDX-License-Identifier: Apache-2.0 */
/* proof_scan.c - looks through all bytes of all files */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/util.h"
#include "tools/import/proof_internal.h"

#define CHUNK (1u << 20)

struct scan {
	struct proof *proof;
	bool learns;
	struct proof_hit *hit;
	void (*progress)(void *arg, uint64_t bytes);
	void *arg;
	/* PROOF_LENGTH_MAX before CHUNK are what went before, zeros follow */
	char *buf;
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

/*
 * Beginnings in [p, p + nr) of values that end before p + len; @at: out.  Eight
 * bytes more can be read.
 */
static const struct proof_entry *scan_bytes(const struct proof *proof,
					    const char *p, size_t nr,
					    size_t len, size_t *at)
{
	const unsigned shift = 64 - proof->bitmap_bits;
	const uint64_t *bitmap = proof->bitmap;

	for (size_t i = 0; i < nr; i++) {
		const struct proof_entry *e;
		uint64_t x, gram;

		memcpy(&x, p + i, sizeof(x));
		/* no value begins with a zero */
		if (!x) {
			i += 7;
			continue;
		}
		gram = proof_gram(proof, p + i);
		if (!proof_bit(bitmap, gram >> shift))
			continue;
		e = look_up(proof, gram, p + i, len - i);
		if (e) {
			*at = i;
			return e;
		}
	}
	return NULL;
}

/* ---- files ----------------------------------------------------------------- */

/* Past the hole at @offset, if there is one. */
static off_t past_hole(int fd, off_t offset)
{
	const off_t data = lseek(fd, offset, SEEK_DATA);

	return data > offset ? data : offset;
}

/* What was found is at @at of what stands at @offset. */
static int found(struct scan *s, const struct proof_entry *e, const char *name,
		 uint64_t offset)
{
	snprintf(s->hit->file, sizeof(s->hit->file), "%s", name);
	s->hit->offset = offset;
	s->hit->column = s->proof->columns[e->column].name;
	return 1;
}

static int scan_file(struct scan *s, int fd, const char *name)
{
	const struct proof_entry *e;
	size_t kept = 0, at = 0;
	off_t offset = 0;

	for (;;) {
		const off_t next = past_hole(fd, offset);
		/* what was kept ends before a hole */
		const bool ends = next > offset && kept > 0;
		ssize_t n = ends ? 0 : pread(fd, s->buf + kept, CHUNK, next);
		const size_t len = kept + (size_t)(n > 0 ? n : 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		memset(s->buf + len, 0, PROOF_LENGTH_MAX);
		if (s->learns) {
			proof_row(s->proof);
			proof_text(s->proof, s->buf, len);
		}
		/* the last ones are scanned with what follows */
		e = s->learns ? NULL
			      : scan_bytes(s->proof, s->buf,
					   n == 0 ? len
					   : len > PROOF_LENGTH_MAX
						   ? len - PROOF_LENGTH_MAX
						   : 0,
					   len, &at);
		if (e)
			return found(s, e, name,
				     (uint64_t)(ends ? offset : next) - kept +
					     at);
		s->proof->stats.bytes += s->learns ? 0 : (uint64_t)n;
		if (s->progress)
			s->progress(s->arg, s->proof->stats.bytes);
		if (n == 0 && !ends)
			break;
		offset = next + n;
		kept = ends ? 0 : MIN_OF(len, (size_t)PROOF_LENGTH_MAX);
		memmove(s->buf, s->buf + len - kept, kept);
	}
	s->proof->stats.nr_files += !s->learns;
	return 0;
}

static int scan_dir(struct scan *s, int fd, const char *prefix);

static int scan_name(struct scan *s, int dir, const char *prefix,
		     const char *name)
{
	char path[512];
	struct stat st;
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s%s", prefix, name);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		err = -errno;
		if (s->hit)
			snprintf(s->hit->file, sizeof(s->hit->file), "%s",
				 path);
		return err;
	}
	if (S_ISDIR(st.st_mode)) {
		strncat(path, "/", sizeof(path) - strlen(path) - 1);
		return scan_dir(s, fd, path);
	}
	err = scan_file(s, fd, path);
	if (err < 0 && s->hit)
		snprintf(s->hit->file, sizeof(s->hit->file), "%s", path);
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
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	s->buf = malloc(CHUNK + 3 * PROOF_LENGTH_MAX);
	if (!s->buf) {
		close(fd);
		return -ENOMEM;
	}
	err = scan_dir(s, fd, "");
	free(s->buf);
	return err;
}

int proof_learn(struct proof *proof, const char *dir)
{
	struct scan s = {.proof = proof, .learns = true};

	return scan_all(&s, dir);
}

int proof_scan(struct proof *proof, const char *dir, struct proof_hit *hit,
	       void (*progress)(void *arg, uint64_t bytes), void *arg)
{
	struct scan s = {
		.proof = proof, .hit = hit, .progress = progress, .arg = arg};
	const uint64_t start = now();
	int err = proof_prepare(proof);

	*hit = (struct proof_hit){.column = ""};
	proof->stats.bytes = proof->stats.nr_files = 0;
	if (!err)
		err = scan_all(&s, dir);
	proof->stats.scan_ms = (double)(now() - start) / 1e6;
	return err;
}
