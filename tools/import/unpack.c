/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/unpack.h"
#include "tools/lib_crypto.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#define IN_BYTES  (128u << 10)
#define OUT_BYTES (128u << 10)
#define MAGIC_MAX 6u
#define POLL_MS	  200

struct unpack {
	/* immutable */
	int fd;
	pthread_t thread;
	/* the thread's */
	unsigned char *in, *out;
	size_t in_len;
	EVP_MD_CTX *digest;
	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t filled, emptied;
	char *ring;
	size_t head, used; /* first byte, how many */
	bool ended, closing;
	int err;
	/* atomic */
	_Atomic uint64_t taken;
	atomic_bool stops;
	/* the thread's until ended */
	char error[256];
	unsigned char sha256[32];
};

/* ---- the ring ------------------------------------------------------------ */

/* -ECANCELED: nobody wants them any more */
static int ring_put(struct unpack *u, const unsigned char *p, size_t len)
{
	int err = 0;

	pthread_mutex_lock(&u->lock);
	while (len > 0) {
		size_t at, n;

		while (u->used == UNPACK_RING && !u->closing)
			pthread_cond_wait(&u->emptied, &u->lock);
		if (u->closing) {
			err = -ECANCELED;
			break;
		}
		at = (u->head + u->used) % UNPACK_RING;
		n = UNPACK_RING - u->used;
		if (n > UNPACK_RING - at)
			n = UNPACK_RING - at;
		if (n > len)
			n = len;
		memcpy(u->ring + at, p, n);
		u->used += n;
		p += n;
		len -= n;
		pthread_cond_signal(&u->filled);
	}
	pthread_mutex_unlock(&u->lock);
	return err;
}

ssize_t unpack_read(struct unpack *u, void *buf, size_t len)
{
	struct timespec until;
	ssize_t got;
	int late = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += POLL_MS * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&u->lock);
	while (u->used == 0 && !u->ended && !late)
		late = pthread_cond_timedwait(&u->filled, &u->lock, &until);
	if (u->used == 0 && !u->ended) {
		got = -EAGAIN;
	} else if (u->used > 0) {
		if (len > u->used)
			len = u->used;
		if (len > UNPACK_RING - u->head)
			len = UNPACK_RING - u->head;
		memcpy(buf, u->ring + u->head, len);
		u->head = (u->head + len) % UNPACK_RING;
		u->used -= len;
		pthread_cond_signal(&u->emptied);
		got = (ssize_t)len;
	} else {
		got = u->err;
	}
	pthread_mutex_unlock(&u->lock);
	return got;
}

/* ---- packed bytes -------------------------------------------------------- */

static int say(struct unpack *u, int err, const char *text)
{
	snprintf(u->error, sizeof(u->error), "%s", text);
	return err;
}

static int cut(struct unpack *u, const char *format)
{
	snprintf(u->error, sizeof(u->error),
		 "the %s stream is cut off after %llu bytes", format,
		 (unsigned long long)atomic_load(&u->taken));
	return -EBADMSG;
}

static int damaged(struct unpack *u, const char *format, const char *why)
{
	snprintf(u->error, sizeof(u->error),
		 "the %s stream is damaged before byte %llu: %s", format,
		 (unsigned long long)atomic_load(&u->taken), why);
	return -EBADMSG;
}

/* Fill in; 0 at the end of the file. */
static ssize_t take(struct unpack *u, size_t have, size_t want)
{
	struct pollfd ready = {.fd = u->fd, .events = POLLIN};

	while (have < want) {
		ssize_t n;

		/* what feeds a pipe may never write again */
		if (atomic_load(&u->stops))
			return -ECANCELED;
		if (poll(&ready, 1, POLL_MS) == 0)
			continue;
		n = read(u->fd, u->in + have, IN_BYTES - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return say(u, -errno, strerror(errno));
		if (n == 0)
			break;
		lib_crypto()->EVP_DigestUpdate(u->digest, u->in + have,
					       (size_t)n);
		atomic_fetch_add(&u->taken, (uint64_t)n);
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/* The first bytes are in u->in already. */
static ssize_t next_in(struct unpack *u, bool *first)
{
	if (*first) {
		*first = false;
		return (ssize_t)u->in_len;
	}
	return take(u, 0, 1);
}

static int copy_plain(struct unpack *u)
{
	bool first = true;
	ssize_t n;
	int err = 0;

	while (!err && (n = next_in(u, &first)) != 0)
		err = n < 0 ? (int)n : ring_put(u, u->in, (size_t)n);
	return err;
}

static int copy_zstd(struct unpack *u)
{
	ZSTD_DCtx *ctx = ZSTD_createDCtx();
	size_t left = 0;
	bool first = true;
	ssize_t n = 0;
	int err = ctx ? 0 : -ENOMEM;

	while (!err && (n = next_in(u, &first)) > 0) {
		ZSTD_inBuffer in = {u->in, (size_t)n, 0};
		ZSTD_outBuffer out;

		do {
			out = (ZSTD_outBuffer){u->out, OUT_BYTES, 0};
			left = ZSTD_decompressStream(ctx, &out, &in);
			if (ZSTD_isError(left))
				err = damaged(u, "zstd",
					      ZSTD_getErrorName(left));
			else
				err = ring_put(u, u->out, out.pos);
		} while (!err && (in.pos < in.size || out.pos == out.size));
	}
	ZSTD_freeDCtx(ctx);
	if (err || n < 0)
		return err ? err : (int)n;
	return left ? cut(u, "zstd") : 0;
}

static int copy_gzip(struct unpack *u)
{
	z_stream z = {0};
	bool first = true;
	ssize_t n = 0;
	int err = 0, got = Z_OK;

	if (inflateInit2(&z, 15 + 16) != Z_OK)
		return -ENOMEM;
	while (!err && (n = next_in(u, &first)) > 0) {
		z.next_in = u->in;
		z.avail_in = (uInt)n;
		do {
			/* another member, or zeros that fill a tape's block */
			if (got == Z_STREAM_END && z.avail_in) {
				if (!*z.next_in) {
					z.next_in++, z.avail_in--;
					continue;
				}
				inflateReset(&z);
			}
			z.next_out = u->out;
			z.avail_out = OUT_BYTES;
			got = inflate(&z, Z_NO_FLUSH);
			if (got != Z_OK && got != Z_STREAM_END &&
			    got != Z_BUF_ERROR)
				err = damaged(u, "gzip",
					      z.msg ? z.msg : "no gzip");
			else
				err = ring_put(u, u->out,
					       OUT_BYTES - z.avail_out);
		} while (!err && (z.avail_in || !z.avail_out));
	}
	inflateEnd(&z);
	if (err || n < 0)
		return err ? err : (int)n;
	return got == Z_STREAM_END ? 0 : cut(u, "gzip");
}

static int copy_xz(struct unpack *u)
{
	lzma_stream z = LZMA_STREAM_INIT;
	lzma_ret got = LZMA_OK;
	bool first = true;
	int err = 0;

	if (lzma_stream_decoder(&z, UNPACK_XZ_MAX, LZMA_CONCATENATED))
		return -ENOMEM;
	while (!err && got != LZMA_STREAM_END) {
		ssize_t n = z.avail_in ? 0 : next_in(u, &first);

		if (n < 0)
			err = (int)n;
		if (n > 0) {
			z.next_in = u->in;
			z.avail_in = (size_t)n;
		}
		if (err)
			break;
		z.next_out = u->out;
		z.avail_out = OUT_BYTES;
		got = lzma_code(&z, z.avail_in ? LZMA_RUN : LZMA_FINISH);
		if (got == LZMA_BUF_ERROR)
			err = cut(u, "xz");
		else if (got != LZMA_OK && got != LZMA_STREAM_END)
			err = damaged(u, "xz",
				      got == LZMA_MEMLIMIT_ERROR
					      ? "it needs too much memory"
					      : "its data is not right");
		else
			err = ring_put(u, u->out, OUT_BYTES - z.avail_out);
	}
	lzma_end(&z);
	return err;
}

static int copy_all(struct unpack *u)
{
	ssize_t n = take(u, 0, MAGIC_MAX);

	if (n < 0)
		return (int)n;
	u->in_len = (size_t)n;
	if (n >= 4 && !memcmp(u->in, "\x28\xb5\x2f\xfd", 4))
		return copy_zstd(u);
	if (n >= 2 && !memcmp(u->in, "\x1f\x8b", 2))
		return copy_gzip(u);
	if (n >= 6 && !memcmp(u->in,
			      "\xfd"
			      "7zXZ",
			      6))
		return copy_xz(u);
	if (n >= 3 && !memcmp(u->in, "BZh", 3))
		return say(u, -EBADMSG,
			   "it is packed by bzip2, which is not read here: "
			   "give it as bzcat FILE | dbs import ... --from -");
	if (n >= 2 &&
	    (!memcmp(u->in, "\xff\xfe", 2) || !memcmp(u->in, "\xfe\xff", 2)))
		return say(u, -EBADMSG,
			   "it is UTF-16, which PowerShell makes of what is "
			   "written by '>': dump with --result-file");
	return copy_plain(u);
}

static void *run(void *arg)
{
	struct unpack *u = arg;
	const int err = copy_all(u);

	lib_crypto()->EVP_DigestFinal_ex(u->digest, u->sha256, NULL);
	if (err && !*u->error)
		say(u, err, strerror(-err));
	pthread_mutex_lock(&u->lock);
	u->err = err;
	u->ended = true;
	pthread_cond_signal(&u->filled);
	pthread_mutex_unlock(&u->lock);
	return NULL;
}

/* ---- open and close ------------------------------------------------------ */

static void unpack_free(struct unpack *u)
{
	close(u->fd);
	lib_crypto()->EVP_MD_CTX_free(u->digest);
	free(u->ring);
	free(u->in);
	free(u->out);
	pthread_mutex_destroy(&u->lock);
	pthread_cond_destroy(&u->filled);
	pthread_cond_destroy(&u->emptied);
	free(u);
}

int unpack_open(int fd, struct unpack **out)
{
	struct unpack *u = calloc(1, sizeof(*u));

	if (!u) {
		close(fd);
		return -ENOMEM;
	}
	u->fd = fd;
	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->filled, NULL);
	pthread_cond_init(&u->emptied, NULL);
	u->ring = malloc(UNPACK_RING);
	u->in = malloc(IN_BYTES);
	u->out = malloc(OUT_BYTES);
	u->digest = lib_crypto()->EVP_MD_CTX_new();
	if (!u->ring || !u->in || !u->out || !u->digest ||
	    !lib_crypto()->EVP_DigestInit_ex(
		    u->digest, lib_crypto()->EVP_sha256(), NULL) ||
	    pthread_create(&u->thread, NULL, run, u)) {
		unpack_free(u);
		return -ENOMEM;
	}
	*out = u;
	return 0;
}

void unpack_close(struct unpack *u)
{
	if (!u)
		return;
	pthread_mutex_lock(&u->lock);
	u->closing = true;
	atomic_store(&u->stops, true);
	pthread_cond_signal(&u->emptied);
	pthread_mutex_unlock(&u->lock);
	pthread_join(u->thread, NULL);
	unpack_free(u);
}

const char *unpack_error(const struct unpack *u)
{
	return u->error;
}

uint64_t unpack_taken(const struct unpack *u)
{
	return atomic_load(&u->taken);
}

void unpack_sha256(const struct unpack *u, char hex[UNPACK_SHA256])
{
	for (unsigned i = 0; i < 32; i++)
		snprintf(hex + 2 * i, 3, "%02x", u->sha256[i]);
}
