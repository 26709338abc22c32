/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_dump.c - the anonymised dump, packed, with its checksum
 *
 * DIR/NAME.sql.zst and DIR/latest.sql.zst are one file with two names, or two
 * where a file has but one, and each has its .sha256 beside it.  Names appear by
 * rename: a reader finds the old file or the new one.  All are made under other
 * names before the dataset is switched, so that only the renames are left then.
 *
 * What is written under other names is locked (flock) by who writes it; what
 * nobody has locked was left by an import that was killed, and is removed by
 * the next.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zstd.h>

#include "tools/import/import_internal.h"
#include "tools/lib_crypto.h"

#define LEVEL	  3
#define OUT_BYTES (256u << 10)
#define TEMP	  ".dbs-import-"

/* In the order of their renames: who finds a file finds its checksum. */
enum { DUMP_SUM, DUMP, LATEST_SUM, LATEST, NR_FILES };

struct dump_file {
	char *temp, *path; /* what it is called before, and after */
	int fd;		   /* locked; -1: none, or LATEST is DUMP's */
	bool made;	   /* it is there, as @temp */
};

struct import_dump {
	char *dir, *name;
	struct dump_file files[NR_FILES];
	unsigned nr_files; /* DUMP may be called latest itself */
	ZSTD_CCtx *ctx;
	EVP_MD_CTX *digest;
	char *out;
	uint64_t bytes;
	char sum[65]; /* SHA-256, once it is whole */
	char error[256];
};

/* Remove what killed imports left in @path. */
static void sweep(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	struct stat st;
	int fd;

	while (dir && (e = readdir(dir))) {
		if (strncmp(e->d_name, TEMP, strlen(TEMP)) != 0)
			continue;
		fd = openat(dirfd(dir), e->d_name,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (!fstat(fd, &st) && S_ISREG(st.st_mode) &&
		    !flock(fd, LOCK_EX | LOCK_NB))
			unlinkat(dirfd(dir), e->d_name, 0);
		close(fd);
	}
	if (dir)
		closedir(dir);
}

/* A new file of that name that no sweep() takes away, or -errno. */
static int create(const char *path, mode_t mode)
{
	struct stat st;
	int fd, err = 0;

	for (;;) {
		fd = open(path,
			  O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			  mode);
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX) || fstat(fd, &st))
			err = -errno;
		else if (st.st_nlink)
			return fd;
		/* another's sweep() was between these two */
		close(fd);
		if (err)
			return err;
	}
}

/* "'PATH': why" */
static int say(const char *path, int err)
{
	return fail(err == -ENOENT		       ? CTL_NOT_FOUND
		    : err == -EACCES || err == -EPERM  ? CTL_NOT_PERMITTED
		    : err == -ENOSPC || err == -EDQUOT ? CTL_NO_SPACE
						       : CTL_FAILED,
		    "'%s': %s", path, strerror(-err));
}

static bool name_file(struct import_dump *d, unsigned i, uint64_t random)
{
	struct dump_file *f = &d->files[i];
	const char *sum = i == DUMP_SUM || i == LATEST_SUM ? ".sum" : "";

	if (asprintf(&f->temp, "%s/" TEMP "%016" PRIx64 ".%s%s", d->dir, random,
		     i < LATEST_SUM ? "tmp" : "latest", sum) < 0)
		f->temp = NULL;
	if (asprintf(&f->path, "%s/%s.sql.zst%s", d->dir,
		     i < LATEST_SUM ? d->name : "latest",
		     *sum ? ".sha256" : "") < 0)
		f->path = NULL;
	return f->temp && f->path;
}

static bool name_files(struct import_dump *d)
{
	uint64_t random;
	bool named = getrandom(&random, sizeof(random), 0) == sizeof(random);

	d->nr_files = strcmp(d->name, "latest") ? NR_FILES : LATEST_SUM;
	for (unsigned i = 0; i < d->nr_files; i++)
		named = named && name_file(d, i, random);
	return named;
}

/* A rename onto a directory fails. */
static int check_paths(const struct import_dump *d)
{
	struct stat st;

	for (unsigned i = 0; i < d->nr_files; i++)
		if (!lstat(d->files[i].path, &st) && S_ISDIR(st.st_mode))
			return fail(CTL_FAILED, "'%s' is a directory",
				    d->files[i].path);
	return CTL_OK;
}

/* Returns 0 or -errno. */
static int make_file(struct dump_file *f, mode_t mode)
{
	f->fd = create(f->temp, mode);
	f->made = f->fd >= 0;
	return f->made ? 0 : f->fd;
}

int import_dump_open(const char *dir, const char *name,
		     struct import_dump **out)
{
	struct import_dump *d = calloc(1, sizeof(*d));
	int err, code;

	*out = d;
	if (!d)
		return fail(CTL_FAILED, "out of memory");
	for (unsigned i = 0; i < NR_FILES; i++)
		d->files[i].fd = -1;
	d->dir = strdup(dir);
	d->name = strdup(name);
	d->out = malloc(OUT_BYTES);
	d->ctx = ZSTD_createCCtx();
	d->digest = lib_crypto()->EVP_MD_CTX_new();
	if (!d->dir || !d->name || !d->out || !d->ctx || !d->digest ||
	    !lib_crypto()->EVP_DigestInit_ex(
		    d->digest, lib_crypto()->EVP_sha256(), NULL) ||
	    !name_files(d))
		return fail(CTL_FAILED, "out of memory");
	ZSTD_CCtx_setParameter(d->ctx, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(d->ctx, ZSTD_c_checksumFlag, 1);
	/* one more thread, where the library has them */
	ZSTD_CCtx_setParameter(d->ctx, ZSTD_c_nbWorkers, 1);
	sweep(dir);
	code = check_paths(d);
	if (code != CTL_OK)
		return code;
	/* nobody reads what is not proved */
	err = make_file(&d->files[DUMP], 0600);
	return err ? say(dir, err) : CTL_OK;
}

/* Returns 0 or -errno. */
static int write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		const ssize_t n = write(fd, bytes, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int pack(struct import_dump *d, const char *bytes, size_t len,
		ZSTD_EndDirective end)
{
	const struct dump_file *f = &d->files[DUMP];
	ZSTD_inBuffer in = {bytes, len, 0};
	size_t left;
	int err;

	do {
		ZSTD_outBuffer out = {d->out, OUT_BYTES, 0};

		left = ZSTD_compressStream2(d->ctx, &out, &in, end);
		if (ZSTD_isError(left)) {
			snprintf(d->error, sizeof(d->error), "'%s': %s",
				 f->temp, ZSTD_getErrorName(left));
			return -EIO;
		}
		lib_crypto()->EVP_DigestUpdate(d->digest, d->out, out.pos);
		d->bytes += out.pos;
		err = write_all(f->fd, d->out, out.pos);
		if (err) {
			snprintf(d->error, sizeof(d->error), "'%s': %s",
				 f->temp, strerror(-err));
			return err;
		}
	} while (end == ZSTD_e_end ? left > 0 : in.pos < in.size);
	return 0;
}

int import_dump_write(struct import_dump *d, const char *bytes, size_t len)
{
	return pack(d, bytes, len, ZSTD_e_continue);
}

const char *import_dump_error(const struct import_dump *d)
{
	return d->error;
}

/* ---- before the switch --------------------------------------------------------- */

/* For all to read, and on disk.  Returns 0 or -errno. */
static int show(int fd)
{
	const mode_t mask = umask(0);

	umask(mask);
	/* what is ours and still refuses a mode has none */
	if (fchmod(fd, 0666 & ~mask) && errno != EPERM)
		return -errno;
	return fsync(fd) ? -errno : 0;
}

static int make_sum(struct import_dump *d, struct dump_file *f,
		    const char *name)
{
	int err = make_file(f, 0666);

	if (!err && (dprintf(f->fd, "%s  %s.sql.zst\n", d->sum, name) < 0 ||
		     fsync(f->fd)))
		err = -errno;
	return err ? say(f->path, err) : CTL_OK;
}

/* Returns 0 or -errno. */
static int copy_dump(struct import_dump *d, struct dump_file *to)
{
	int err = make_file(to, 0600);
	off_t at = 0;
	ssize_t n = 1;

	while (!err && n) {
		n = pread(d->files[DUMP].fd, d->out, OUT_BYTES, at);
		if (n < 0)
			err = -errno;
		else
			err = write_all(to->fd, d->out, (size_t)n);
		at += n;
	}
	return err ? err : show(to->fd);
}

/* A second name, or a second file where there are none. */
static int make_latest(struct import_dump *d)
{
	struct dump_file *f = &d->files[LATEST];
	int err = 0;

	f->made = !link(d->files[DUMP].temp, f->temp);
	if (!f->made)
		err = errno == EPERM || errno == EOPNOTSUPP ||
				      errno == ENOSYS || errno == EMLINK
			      ? copy_dump(d, f)
			      : -errno;
	return err ? say(f->path, err) : CTL_OK;
}

int import_dump_finish(struct import_dump *d)
{
	const struct dump_file *f = &d->files[DUMP];
	unsigned char sha256[32];
	int code, err = pack(d, "", 0, ZSTD_e_end);

	if (!err)
		err = show(f->fd);
	if (err)
		return say(f->path, err);
	lib_crypto()->EVP_DigestFinal_ex(d->digest, sha256, NULL);
	for (unsigned i = 0; i < 32; i++)
		snprintf(d->sum + 2 * i, 3, "%02x", sha256[i]);
	code = make_sum(d, &d->files[DUMP_SUM], d->name);
	if (code == CTL_OK && d->nr_files > LATEST)
		code = make_sum(d, &d->files[LATEST_SUM], "latest");
	if (code == CTL_OK && d->nr_files > LATEST)
		code = make_latest(d);
	return code == CTL_OK ? check_paths(d) : code;
}

/* ---- after it ------------------------------------------------------------------ */

static int rename_files(struct import_dump *d, const char *dataset)
{
	for (unsigned i = 0; i < d->nr_files; i++) {
		struct dump_file *f = &d->files[i];

		if (rename(f->temp, f->path))
			return fail(CTL_FAILED,
				    "'%s' was switched to '%s@%s', but '%s' "
				    "was not published: %m",
				    dataset, dataset, d->name, f->path);
		f->made = false;
	}
	return CTL_OK;
}

int import_dump_publish(struct import_dump *d, const char *dataset,
			json_t *report)
{
	const int code = rename_files(d, dataset);
	const int fd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	if (code == CTL_OK)
		json_object_set_new(report, "dump",
				    json_pack("{s:o, s:I, s:s}", "file",
					      out_text(d->files[DUMP].path),
					      "bytes", (json_int_t)d->bytes,
					      "sha256", d->sum));
	return code;
}

void import_dump_close(struct import_dump *d)
{
	if (!d)
		return;
	for (unsigned i = 0; i < NR_FILES; i++) {
		struct dump_file *f = &d->files[i];

		/* while it is locked */
		if (f->made)
			unlink(f->temp);
		if (f->fd >= 0)
			close(f->fd);
		free(f->temp);
		free(f->path);
	}
	ZSTD_freeCCtx(d->ctx);
	lib_crypto()->EVP_MD_CTX_free(d->digest);
	free(d->out);
	free(d->name);
	free(d->dir);
	free(d);
}
