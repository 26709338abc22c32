/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_dump.c - the anonymised dump, packed, with its checksum
 *
 * DIR/NAME.sql.zst and DIR/latest.sql.zst are one file with two names, and each
 * has its .sha256 beside it.  Names appear by rename: a reader finds the old
 * file or the new one.
 *
 * What is written under other names is locked (flock) by who writes it; what
 * nobody has locked was left by an import that was killed, and is removed by
 * the next.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <zstd.h>

#include "tools/import/import_internal.h"

#define LEVEL	  3
#define OUT_BYTES (256u << 10)
#define TEMP	  ".dbs-import-"

struct import_dump {
	char *dir, *temp;
	int fd;
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
			  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
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

int import_dump_open(const char *dir, struct import_dump **out)
{
	struct import_dump *d = calloc(1, sizeof(*d));

	*out = d;
	if (!d)
		return fail(CTL_FAILED, "out of memory");
	d->fd = -1;
	d->dir = strdup(dir);
	d->out = malloc(OUT_BYTES);
	d->ctx = ZSTD_createCCtx();
	d->digest = EVP_MD_CTX_new();
	if (!d->dir || !d->out || !d->ctx || !d->digest ||
	    !EVP_DigestInit_ex(d->digest, EVP_sha256(), NULL) ||
	    asprintf(&d->temp, "%s/" TEMP "%d.tmp", dir, (int)getpid()) < 0)
		return fail(CTL_FAILED, "out of memory");
	ZSTD_CCtx_setParameter(d->ctx, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(d->ctx, ZSTD_c_checksumFlag, 1);
	/* one more thread, where the library has them */
	ZSTD_CCtx_setParameter(d->ctx, ZSTD_c_nbWorkers, 1);
	sweep(dir);
	d->fd = create(d->temp, 0600); /* nobody reads what is not proved */
	if (d->fd < 0)
		return fail(d->fd == -ENOENT   ? CTL_NOT_FOUND
			    : d->fd == -EACCES ? CTL_NOT_PERMITTED
					       : CTL_FAILED,
			    "'%s': %s", dir, strerror(-d->fd));
	return CTL_OK;
}

static int pack(struct import_dump *d, const char *bytes, size_t len,
		ZSTD_EndDirective end)
{
	ZSTD_inBuffer in = {bytes, len, 0};
	size_t left;

	do {
		ZSTD_outBuffer out = {d->out, OUT_BYTES, 0};
		size_t done = 0;

		left = ZSTD_compressStream2(d->ctx, &out, &in, end);
		if (ZSTD_isError(left)) {
			snprintf(d->error, sizeof(d->error), "'%s': %s",
				 d->temp, ZSTD_getErrorName(left));
			return -EIO;
		}
		EVP_DigestUpdate(d->digest, d->out, out.pos);
		d->bytes += out.pos;
		while (done < out.pos) {
			const ssize_t n =
				write(d->fd, d->out + done, out.pos - done);

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0) {
				const int err = -errno;

				snprintf(d->error, sizeof(d->error), "'%s': %s",
					 d->temp, strerror(-err));
				return err;
			}
			done += (size_t)n;
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

/* @dir/@name.sql.zst.sha256, by rename */
static int write_sum(const struct import_dump *d, const char *name,
		     const char *sum)
{
	char *temp = NULL, *path = NULL;
	int fd = -1, code = CTL_OK;

	if (asprintf(&temp, "%s.sum", d->temp) < 0 ||
	    asprintf(&path, "%s/%s.sql.zst.sha256", d->dir, name) < 0)
		code = fail(CTL_FAILED, "out of memory");
	if (code == CTL_OK) {
		fd = create(temp, 0666);
		if (fd < 0)
			code = fail(CTL_FAILED, "'%s': %s", path,
				    strerror(-fd));
		else if (dprintf(fd, "%s  %s.sql.zst\n", sum, name) < 0 ||
			 fsync(fd) || rename(temp, path))
			code = fail(CTL_FAILED, "'%s': %m", path);
	}
	if (fd >= 0) {
		if (code != CTL_OK)
			unlink(temp);
		close(fd);
	}
	free(temp);
	free(path);
	return code;
}

static int give_name(const struct import_dump *d, const char *from,
		     const char *name, const char *sum)
{
	char *path = NULL;
	int code;

	if (asprintf(&path, "%s/%s.sql.zst", d->dir, name) < 0)
		return fail(CTL_FAILED, "out of memory");
	/* who finds the file finds its checksum */
	code = write_sum(d, name, sum);
	if (code == CTL_OK && rename(from, path))
		code = fail(CTL_FAILED, "'%s': %m", path);
	free(path);
	return code;
}

static int publish(struct import_dump *d, const char *name, const char *sum)
{
	char *latest = NULL;
	int code, fd;

	if (asprintf(&latest, "%s.latest", d->temp) < 0)
		return fail(CTL_FAILED, "out of memory");
	unlink(latest);
	if (link(d->temp, latest))
		code = fail(CTL_FAILED, "'%s': %m", latest);
	else
		code = give_name(d, d->temp, name, sum);
	if (code == CTL_OK)
		code = give_name(d, latest, "latest", sum);
	unlink(latest);
	free(latest);
	fd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	return code;
}

int import_dump_finish(struct import_dump *d)
{
	unsigned char sha256[32];
	const int err = pack(d, "", 0, ZSTD_e_end);
	const mode_t mask = umask(0);

	umask(mask);

	if (err)
		return fail(err == -ENOSPC || err == -EDQUOT ? CTL_NO_SPACE
							     : CTL_FAILED,
			    "%s", d->error);
	EVP_DigestFinal_ex(d->digest, sha256, NULL);
	for (unsigned i = 0; i < 32; i++)
		snprintf(d->sum + 2 * i, 3, "%02x", sha256[i]);
	if (fchmod(d->fd, 0666 & ~mask) || fsync(d->fd))
		return fail(CTL_FAILED, "'%s': %m", d->temp);
	return CTL_OK;
}

int import_dump_publish(struct import_dump *d, const char *name, json_t *report)
{
	const int code = publish(d, name, d->sum);

	json_object_set_new(
		report, "dump",
		json_pack("{s:o, s:I, s:s}", "file",
			  json_sprintf("%s/%s.sql.zst", d->dir, name), "bytes",
			  (json_int_t)d->bytes, "sha256", d->sum));
	return code;
}

void import_dump_close(struct import_dump *d)
{
	if (!d)
		return;
	if (d->fd >= 0) {
		close(d->fd);
		unlink(d->temp);
	}
	ZSTD_freeCCtx(d->ctx);
	EVP_MD_CTX_free(d->digest);
	free(d->out);
	free(d->temp);
	free(d->dir);
	free(d);
}
