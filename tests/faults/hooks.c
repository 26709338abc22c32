/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/faults/hooks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <zstd.h>

#include "store/os.h"
#include "store/util.h"
#include "tests/lib/rnd.h"

#define EPOCH 1700000000

static struct {
	uint64_t nth, nr, calls, failed;
	bool paused;
} memory;

static uint64_t clock_sec;
static struct rnd random_bytes;

void hooks_memory_fail(uint64_t nth, uint64_t nr)
{
	memory.nth = nth;
	memory.nr = nr;
	memory.calls = 0;
	memory.failed = 0;
}

void hooks_memory_pause(bool on)
{
	memory.paused = on;
}

uint64_t hooks_memory_calls(void)
{
	return memory.calls;
}

uint64_t hooks_memory_failed(void)
{
	return memory.failed;
}

void hooks_clock_set(uint64_t sec)
{
	clock_sec = sec;
}

void hooks_random_reset(void)
{
	random_bytes.state = 42;
}

static void print_asserts(enum log_level level, const char *text)
{
	(void)level;
	if (strncmp(text, "assertion", 9) == 0)
		fprintf(stderr, "%s\n", text);
}

void hooks_log_quiet(void)
{
	log_set_sink(print_asserts);
}

/* A place for a debugger to stop at. */
void hooks_memory_failing(void);
__attribute__((noinline)) void hooks_memory_failing(void)
{
	memory.failed++;
	errno = ENOMEM;
}

static bool fails(void)
{
	if (memory.paused)
		return false;
	memory.calls++;
	if (memory.nth == 0 || memory.calls < memory.nth ||
	    memory.calls - memory.nth >= memory.nr)
		return false;
	hooks_memory_failing();
	return true;
}

/* -- what the linker puts in place of the store's calls --------------------- */

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t nr, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_reallocarray(void *p, size_t nr, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t len);
int __wrap_posix_memalign(void **p, size_t align, size_t size);
void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd,
		    off_t offset);
ZSTD_CCtx *__wrap_ZSTD_createCCtx(void);
ZSTD_DCtx *__wrap_ZSTD_createDCtx(void);
bool __wrap_os_cond_wait_ms(struct os_cond *c, struct os_mutex *m,
			    uint32_t timeout_ms);
struct timespec __wrap_os_time_now(void);
void __wrap_os_random(void *buf, size_t len);

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : malloc(size);
}

void *__wrap_calloc(size_t nr, size_t size)
{
	return fails() ? NULL : calloc(nr, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : realloc(p, size);
}

void *__wrap_reallocarray(void *p, size_t nr, size_t size)
{
	return fails() ? NULL : reallocarray(p, nr, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : strdup(s);
}

char *__wrap_strndup(const char *s, size_t len)
{
	return fails() ? NULL : strndup(s, len);
}

int __wrap_posix_memalign(void **p, size_t align, size_t size)
{
	return fails() ? ENOMEM : posix_memalign(p, align, size);
}

void *__wrap_mmap64(void *addr, size_t len, int prot, int flags, int fd,
		    off_t offset)
{
	return fails() ? MAP_FAILED : mmap(addr, len, prot, flags, fd, offset);
}

ZSTD_CCtx *__wrap_ZSTD_createCCtx(void)
{
	return fails() ? NULL : ZSTD_createCCtx();
}

ZSTD_DCtx *__wrap_ZSTD_createDCtx(void)
{
	return fails() ? NULL : ZSTD_createDCtx();
}

/* Nobody else is there to end a wait; and memory that was to stay short comes
 * back while the store waits for it. */
bool __wrap_os_cond_wait_ms(struct os_cond *c, struct os_mutex *m,
			    uint32_t timeout_ms)
{
	(void)c;
	(void)m;
	(void)timeout_ms;
	if (memory.nr == UINT64_MAX)
		memory.nth = 0;
	return false;
}

struct timespec __wrap_os_time_now(void)
{
	return (struct timespec){.tv_sec = EPOCH + (time_t)clock_sec};
}

void __wrap_os_random(void *buf, size_t len)
{
	rnd_fill(&random_bytes, buf, len);
}
