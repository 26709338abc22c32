/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os.h - threads, locks and the clock: the store's only way to all three
 *
 * Below: pthreads and clock_gettime (os.c).  Above: all of store/.
 *
 * Nothing else in store/ may call pthread_*, clock_*, sleep or rand.  A test
 * build can link another os.c (a seeded scheduler under virtual time: see
 * tests/sim/), with types of its own in OS_TYPES_HEADER, and the whole store
 * then runs deterministically in one process.
 *
 * Invariants:
 *  O1  locking cannot fail: a failing primitive is a bug in the caller and
 *      stops the process.
 *  O2  os_rwlock prefers writers: a waiting writer keeps new readers out, so
 *      a txg can always be sealed under load.  It is not recursive.
 *  O3  conditions wait on the monotonic clock.
 */
#ifndef DBS_STORE_OS_H
#define DBS_STORE_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef OS_TYPES_HEADER
#include OS_TYPES_HEADER
#else
#include <pthread.h>

struct os_mutex {
	pthread_mutex_t m;
};
struct os_cond {
	pthread_cond_t c;
};
struct os_rwlock {
	pthread_rwlock_t l;
};
struct os_thread {
	pthread_t t;
	bool running;
};
#endif

void os_mutex_init(struct os_mutex *m);
void os_mutex_release(struct os_mutex *m);
void os_mutex_lock(struct os_mutex *m);
void os_mutex_unlock(struct os_mutex *m);

void os_cond_init(struct os_cond *c);
void os_cond_release(struct os_cond *c);
void os_cond_wait(struct os_cond *c, struct os_mutex *m);
/** Wait at most @timeout_ms; returns false when the time ran out. */
bool os_cond_wait_ms(struct os_cond *c, struct os_mutex *m,
		     uint32_t timeout_ms);
void os_cond_signal(struct os_cond *c);
void os_cond_broadcast(struct os_cond *c);

/** After -ENOMEM, where giving up would cost more than waiting: wait a moment,
 * no locks held.  False when it was asked for ten seconds.  @tries: 0 first */
static inline bool os_wait_memory(unsigned *tries)
{
	struct os_mutex m;
	struct os_cond c;

	if (++*tries > 1000)
		return false;
	os_mutex_init(&m);
	os_cond_init(&c);
	os_mutex_lock(&m);
	os_cond_wait_ms(&c, &m, 10);
	os_mutex_unlock(&m);
	os_cond_release(&c);
	os_mutex_release(&m);
	return true;
}

void os_rwlock_init(struct os_rwlock *l);
void os_rwlock_release(struct os_rwlock *l);
void os_rwlock_rdlock(struct os_rwlock *l);
void os_rwlock_wrlock(struct os_rwlock *l);
void os_rwlock_unlock(struct os_rwlock *l);

/**
 * Start @fn(@arg) in a thread called @name (at most 15 bytes are shown).
 * All signals are blocked in it: whoever links the store handles them.
 * Errors: -EAGAIN, -ENOMEM; nothing was started then.
 */
int os_thread_start(struct os_thread *t, const char *name,
		    void (*fn)(void *arg), void *arg);
/** Wait for the thread's end; does nothing when it was never started. */
void os_thread_join(struct os_thread *t);
/**
 * Have @fn(@arg) called in the calling thread when that thread ends; the last
 * one registered is called first.  The process's first thread runs none of them
 * when it leaves by exit().
 * Errors: -EAGAIN, -ENOMEM; nothing was registered then.
 */
int os_thread_at_exit(void (*fn)(void *arg), void *arg);

/** Wall clock, for the times people see. */
struct timespec os_time_now(void);
/** Monotonic nanoseconds, for durations. */
uint64_t os_monotonic_ns(void);
/** @len random bytes, not to be guessed from outside. */
void os_random(void *buf, size_t len);

#endif
