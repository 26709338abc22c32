/* SPDX-License-Identifier: Apache-2.0 */
#include "store/compress.h"

#include <errno.h>
#include <stdlib.h>

#include <zstd.h>
#include <zstd_errors.h>

#include "store/le.h"
#include "store/os.h"
#include "store/util.h"

#define FRAME_MAGIC_LEN 4

/* Each made when first needed: many threads only ever read. */
struct contexts {
	ZSTD_CCtx *cctx;
	ZSTD_DCtx *dctx;
	int level; /* the one set in cctx */
};

static _Thread_local struct contexts *own;

static void contexts_free(void *p)
{
	struct contexts *ctx = p;

	ZSTD_freeCCtx(ctx->cctx);
	ZSTD_freeDCtx(ctx->dctx);
	free(ctx);
	own = NULL;
}

static struct contexts *contexts_own(void)
{
	struct contexts *ctx = own;

	if (ctx)
		return ctx;
	ctx = calloc(1, sizeof(*ctx));
	if (!ctx)
		return NULL;
	if (os_thread_at_exit(contexts_free, ctx) != 0) {
		free(ctx);
		return NULL;
	}
	own = ctx;
	return ctx;
}

static ZSTD_CCtx *cctx_own(int level)
{
	struct contexts *ctx = contexts_own();

	if (!ctx)
		return NULL;
	if (!ctx->cctx) {
		ctx->cctx = ZSTD_createCCtx();
		ctx->level = COMPRESS_LEVEL_OFF;
	}
	if (ctx->cctx && ctx->level != level) {
		size_t rc = ZSTD_CCtx_setParameter(
			ctx->cctx, ZSTD_c_compressionLevel, level);

		dbs_assert(!ZSTD_isError(rc));
		ctx->level = level;
	}
	return ctx->cctx;
}

static ZSTD_DCtx *dctx_own(void)
{
	struct contexts *ctx = contexts_own();

	if (!ctx)
		return NULL;
	if (!ctx->dctx)
		ctx->dctx = ZSTD_createDCtx();
	return ctx->dctx;
}

int compress_record(const void *src, size_t len, void *dst, size_t cap,
		    int level, size_t *out_len)
{
	ZSTD_CCtx *cctx;
	size_t n;

	if (level == COMPRESS_LEVEL_OFF)
		return -E2BIG;
	if (level < COMPRESS_LEVEL_MIN || level > COMPRESS_LEVEL_MAX)
		return -EINVAL;
	cctx = cctx_own(level);
	if (!cctx)
		return -ENOMEM;

	n = ZSTD_compress2(cctx, dst, cap, src, len);
	if (!ZSTD_isError(n)) {
		*out_len = n;
		return 0;
	}
	/* the frame is still open, and no parameter can be set until it ends */
	ZSTD_CCtx_reset(cctx, ZSTD_reset_session_only);
	switch (ZSTD_getErrorCode(n)) {
	case ZSTD_error_dstSize_tooSmall:
		return -E2BIG;
	case ZSTD_error_memory_allocation:
		return -ENOMEM;
	default:
		log_error("compress failed length=%zu level=%d error='%s'", len,
			  level, ZSTD_getErrorName(n));
		return -EINVAL;
	}
}

/*
 * Exactly one frame of today's format that says it holds @dst_len bytes.
 * The magic is looked at first, since libzstd may be built with decoders for
 * its pre-1.0 formats, which nobody has fuzzed for years; skippable and
 * further frames would let two different inputs mean the same record.
 */
static int frame_verify(const void *src, size_t len, size_t dst_len)
{
	if (len < FRAME_MAGIC_LEN ||
	    le_load(src, FRAME_MAGIC_LEN) != ZSTD_MAGICNUMBER)
		return -EBADMSG;
	if (ZSTD_getFrameContentSize(src, len) != dst_len)
		return -EBADMSG;
	if (ZSTD_findFrameCompressedSize(src, len) != len)
		return -EBADMSG;
	return 0;
}

int decompress_record(const void *src, size_t len, void *dst, size_t dst_len)
{
	ZSTD_DCtx *dctx;
	size_t n;
	int rc;

	rc = frame_verify(src, len, dst_len);
	if (rc != 0)
		return rc;
	dctx = dctx_own();
	if (!dctx)
		return -ENOMEM;

	n = ZSTD_decompressDCtx(dctx, dst, dst_len, src, len);
	if (n == dst_len)
		return 0;
	if (ZSTD_isError(n) &&
	    ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
		return -ENOMEM;
	return -EBADMSG;
}
