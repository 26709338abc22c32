/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mask_crypt.c - the secret key, a keyed hash and a keyed permutation
 *
 * Three AES-128 keys are derived from the secret by HMAC-SHA256.
 *
 * The hash is CBC-MAC over a message that begins with its own length: no
 * message is a prefix of another, so it is a pseudo-random function for up to
 * about 2^60 blocks (Bellare, Kilian and Rogaway, "The security of the cipher
 * block chaining message authentication code", JCSS 2000).
 *
 * The permutation is F^-1(F(x) + 1 mod n): one cycle through all of [0, n), so
 * no value stays.  F is a Feistel network over two numbers (Black and Rogaway,
 * "Ciphers with arbitrary finite domains", CT-RSA 2002: generalized Feistel,
 * with cycle walking), whose round function is AES.
 */
#include "tools/import/mask_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/lib_crypto.h"

#define BLOCK	    16u
#define NR_ROUNDS   8
#define CHUNK	    1024u
#define HASH_BLOCKS (CHUNK / BLOCK)

enum use { USE_HASH, USE_STREAM, USE_PERMUTE, NR_USES };

struct mask_key {
	uint8_t aes[NR_USES][BLOCK];
	uint32_t offset;
};

struct mask_ctx {
	EVP_CIPHER_CTX *cipher[NR_USES];
	uint8_t chain[BLOCK]; /* what the CBC cipher adds to its next block */
	uint32_t offset;
	char *scratch;
	size_t scratch_cap;
	struct mask_buf inner;
};

/* ---- key ----------------------------------------------------------------------- */

/* The first @size bytes of HMAC-SHA256(@secret, @label). */
static bool derive(const void *secret, size_t len, const char *label, void *out,
		   size_t size)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;

	if (!lib_crypto()->HMAC(lib_crypto()->EVP_sha256(), secret, (int)len,
				(const uint8_t *)label, strlen(label), digest,
				&digest_len) ||
	    digest_len < size)
		return false;
	memcpy(out, digest, size);
	lib_crypto()->OPENSSL_cleanse(digest, sizeof(digest));
	return true;
}

struct mask_key *mask_key_new(const void *secret, size_t len)
{
	static const char *const labels[NR_USES] = {
		"dbs mask 1 hash", "dbs mask 1 stream", "dbs mask 1 permute"};
	struct mask_key *key = calloc(1, sizeof(*key));
	bool ok = key != NULL;

	for (int i = 0; i < NR_USES && ok; i++)
		ok = derive(secret, len, labels[i], key->aes[i], BLOCK);
	if (ok)
		ok = derive(secret, len, "dbs mask 1 offset", &key->offset,
			    sizeof(key->offset));
	if (ok)
		return key;
	mask_key_free(key);
	return NULL;
}

void mask_key_free(struct mask_key *key)
{
	if (!key)
		return;
	lib_crypto()->OPENSSL_cleanse(key, sizeof(*key));
	free(key);
}

static int say_key(int err, char *why, size_t size, const char *path,
		   const char *what)
{
	snprintf(why, size, "key file '%s': %s", path, what);
	return err;
}

/* A whole small file; @len: in, room; out, bytes read. */
static int read_small(int fd, uint8_t *buf, size_t *len)
{
	size_t done = 0;

	while (done < *len) {
		const ssize_t n = read(fd, buf + done, *len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*len = done;
	return 0;
}

int mask_key_load(const char *path, struct mask_key **key, char *why,
		  size_t why_size)
{
	uint8_t secret[MASK_KEY_MAX + 2];
	size_t len = sizeof(secret);
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), err;

	if (fd < 0)
		return say_key(-errno, why, why_size, path, strerror(errno));
	if (fstat(fd, &st))
		err = say_key(-errno, why, why_size, path, strerror(errno));
	else if (S_ISREG(st.st_mode) && (st.st_mode & 077))
		err = say_key(-EPERM, why, why_size, path,
			      "others may read it: chmod 600 it");
	else if ((err = read_small(fd, secret, &len)))
		say_key(err, why, why_size, path, strerror(-err));
	close(fd);
	if (err)
		return err;
	if (len && secret[len - 1] == '\n')
		len--;
	if (len < MASK_KEY_MIN || len > MASK_KEY_MAX) {
		err = say_key(-EINVAL, why, why_size, path,
			      len > MASK_KEY_MAX
				      ? "too long (at most 4096 bytes)"
				      : "too short (at least 16 bytes; make "
					"one with: openssl rand -hex 32)");
	} else {
		*key = mask_key_new(secret, len);
		if (!*key)
			err = say_key(-ENOMEM, why, why_size, path,
				      "cannot derive keys from it");
	}
	lib_crypto()->OPENSSL_cleanse(secret, sizeof(secret));
	return err;
}

/* ---- a thread's context --------------------------------------------------------- */

static EVP_CIPHER_CTX *cipher_new(const EVP_CIPHER *type, const uint8_t *aes)
{
	static const uint8_t iv[BLOCK];
	EVP_CIPHER_CTX *cipher = lib_crypto()->EVP_CIPHER_CTX_new();

	if (cipher &&
	    lib_crypto()->EVP_EncryptInit_ex(cipher, type, NULL, aes, iv) ==
		    1 &&
	    lib_crypto()->EVP_CIPHER_CTX_set_padding(cipher, 0) == 1)
		return cipher;
	lib_crypto()->EVP_CIPHER_CTX_free(cipher);
	return NULL;
}

static void ctx_free(struct mask_ctx *ctx)
{
	if (!ctx)
		return;
	for (int i = 0; i < NR_USES; i++)
		lib_crypto()->EVP_CIPHER_CTX_free(ctx->cipher[i]);
	if (ctx->scratch)
		lib_crypto()->OPENSSL_cleanse(ctx->scratch, ctx->scratch_cap);
	free(ctx->scratch);
	free(ctx->inner.bytes);
	free(ctx);
}

int mask_buf_init(struct mask_buf *buf, const struct mask_key *key)
{
	struct mask_ctx *ctx = calloc(1, sizeof(*ctx));
	bool ok = ctx != NULL;

	memset(buf, 0, sizeof(*buf));
	for (int i = 0; i < NR_USES && ok; i++) {
		ctx->cipher[i] = cipher_new(
			i == USE_HASH ? lib_crypto()->EVP_aes_128_cbc()
				      : lib_crypto()->EVP_aes_128_ecb(),
			key->aes[i]);
		ok = ctx->cipher[i] != NULL;
	}
	if (!ok) {
		ctx_free(ctx);
		return -ENOMEM;
	}
	ctx->offset = key->offset;
	ctx->inner.ctx = ctx;
	buf->ctx = ctx;
	return 0;
}

void mask_buf_release(struct mask_buf *buf)
{
	ctx_free(buf->ctx);
	free(buf->bytes);
	memset(buf, 0, sizeof(*buf));
}

int buf_reserve(struct mask_buf *buf, size_t len)
{
	size_t cap = buf->cap ? buf->cap : 256;
	char *bytes;

	if (len <= buf->cap)
		return 0;
	while (cap < len)
		cap *= 2;
	bytes = realloc(buf->bytes, cap);
	if (!bytes)
		return -ENOMEM;
	buf->bytes = bytes;
	buf->cap = cap;
	return 0;
}

char *ctx_scratch(struct mask_ctx *ctx, size_t len)
{
	char *scratch;

	if (len <= ctx->scratch_cap && ctx->scratch)
		return ctx->scratch;
	len = MAX_OF(2 * len, (size_t)256);
	scratch = malloc(len);
	if (!scratch)
		return NULL;
	if (ctx->scratch)
		lib_crypto()->OPENSSL_cleanse(ctx->scratch, ctx->scratch_cap);
	free(ctx->scratch);
	ctx->scratch = scratch;
	ctx->scratch_cap = len;
	return scratch;
}

struct mask_buf *ctx_inner(struct mask_ctx *ctx)
{
	return &ctx->inner;
}

uint32_t ctx_offset(const struct mask_ctx *ctx)
{
	return ctx->offset;
}

/* ---- hash ------------------------------------------------------------------------- */

static void put_u64(uint8_t *b, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_u64(const uint8_t *b)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v |= (uint64_t)b[i] << (8 * i);
	return v;
}

static void encrypt(EVP_CIPHER_CTX *cipher, uint8_t *out, const uint8_t *in,
		    size_t len)
{
	int out_len = 0;

	/* whole blocks without padding: cannot fail, nor keep any back */
	dbs_assert(lib_crypto()->EVP_EncryptUpdate(cipher, out, &out_len, in,
						   (int)len) == 1 &&
		   out_len == (int)len);
}

void crypt_hash(struct mask_ctx *ctx, enum mask_label label, uint32_t salt,
		const void *bytes, size_t len, struct crypt_hash *hash)
{
	uint8_t buf[CHUNK], sealed[CHUNK];
	const uint8_t *p = bytes;
	size_t fill = BLOCK, n;

	put_u64(buf, len);
	put_u64(buf + 8, (uint64_t)label << 32 | salt);
	/* the cipher goes on where the last message ended: undo that */
	for (size_t i = 0; i < BLOCK; i++)
		buf[i] ^= ctx->chain[i];
	do {
		n = MIN_OF(len, CHUNK - fill);
		if (n)
			memcpy(buf + fill, p, n);
		p += n;
		len -= n;
		fill += n;
		n = (fill + BLOCK - 1) / BLOCK * BLOCK;
		memset(buf + fill, 0, n - fill);
		encrypt(ctx->cipher[USE_HASH], sealed, buf, n);
		fill = 0;
	} while (len);
	memcpy(ctx->chain, sealed + n - BLOCK, BLOCK);
	memcpy(hash->b, ctx->chain, BLOCK);
}

void crypt_stream(struct mask_ctx *ctx, const struct crypt_hash *hash,
		  uint32_t i, struct crypt_hash *block)
{
	struct crypt_hash in = *hash;

	put_u64(in.b, get_u64(in.b) + i);
	encrypt(ctx->cipher[USE_STREAM], block->b, in.b, BLOCK);
}

/* ---- permutation ------------------------------------------------------------------- */

/* A number in [0, n) as two: left in [0, a), right in [0, b), a * b >= n. */
struct feistel {
	struct mask_ctx *ctx;
	uint64_t salt; /* label and tweak */
	uint64_t a, b;
	u128 n;
};

static uint64_t round_of(const struct feistel *f, unsigned round, uint64_t half,
			 uint64_t m)
{
	uint8_t in[BLOCK], out[BLOCK];

	put_u64(in, half);
	put_u64(in + 8, f->salt ^ ((uint64_t)round << 56));
	encrypt(f->ctx->cipher[USE_PERMUTE], out, in, BLOCK);
	return (uint64_t)(((u128)get_u64(out) * m) >> 64);
}

static uint64_t add_mod(uint64_t x, uint64_t y, uint64_t m)
{
	return x >= m - y ? x - (m - y) : x + y;
}

static uint64_t sub_mod(uint64_t x, uint64_t y, uint64_t m)
{
	return x >= y ? x - y : x + (m - y);
}

static void split(const struct feistel *f, u128 x, uint64_t *l, uint64_t *r)
{
	if (x <= UINT64_MAX) {
		*l = (uint64_t)x / f->b;
		*r = (uint64_t)x % f->b;
		return;
	}
	*l = (uint64_t)(x / f->b);
	*r = (uint64_t)(x % f->b);
}

static u128 forward(const struct feistel *f, u128 x)
{
	uint64_t l, r;

	do {
		split(f, x, &l, &r);
		for (unsigned i = 0; i < NR_ROUNDS; i += 2) {
			l = add_mod(l, round_of(f, i, r, f->a), f->a);
			r = add_mod(r, round_of(f, i + 1, l, f->b), f->b);
		}
		x = (u128)l * f->b + r;
	} while (x >= f->n);
	return x;
}

static u128 backward(const struct feistel *f, u128 x)
{
	uint64_t l, r;

	do {
		split(f, x, &l, &r);
		for (unsigned i = NR_ROUNDS; i > 0; i -= 2) {
			r = sub_mod(r, round_of(f, i - 1, l, f->b), f->b);
			l = sub_mod(l, round_of(f, i - 2, r, f->a), f->a);
		}
		x = (u128)l * f->b + r;
	} while (x >= f->n);
	return x;
}

u128 crypt_permute(struct mask_ctx *ctx, enum mask_label label, uint64_t tweak,
		   u128 n, u128 x)
{
	struct feistel f = {.ctx = ctx, .n = n};

	dbs_assert(x < n && n <= (u128)1 << 120);
	if (n == 1)
		return x;
	/* round in the top byte, label in the next */
	f.salt = ((uint64_t)label << 48) ^ (tweak & ((UINT64_C(1) << 48) - 1));
	f.a = n <= UINT32_MAX ? (uint64_t)sqrt((double)n)
			      : (uint64_t)sqrtl((long double)n);
	while ((u128)f.a * f.a < n)
		f.a++;
	f.b = n <= UINT64_MAX ? (uint64_t)((n - 1) / f.a + 1)
			      : (uint64_t)((n - 1) / f.a) + 1;
	x = forward(&f, x) + 1;
	return backward(&f, x == n ? 0 : x);
}
