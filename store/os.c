/* SPDX-License-Identifier: Apache-2.0 */
#include "store/os.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "store/util.h"

#define NS_PER_S  1000000000L
#define NS_PER_MS 1000000L

#define THREAD_NAME_MAX 16 /* with its NUL; the kernel's limit */

/* O1: what can only fail by a bug here or in the caller. */
static void must(int error, const char *call)
{
	if (error != 0) {
		log_error("locking failed call=%s error=%d", call, error);
		abort();
	}
}

/* Error-checking, so that a relock or a foreign unlock stops here (O1). */
void os_mutex_init(struct os_mutex *m)
{
	pthread_mutexattr_t attr;

	must(pthread_mutexattr_init(&attr), "mutexattr_init");
	must(pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK),
	     "mutexattr_settype");
	must(pthread_mutex_init(&m->m, &attr), "mutex_init");
	pthread_mutexattr_destroy(&attr);
}

void os_mutex_release(struct os_mutex *m)
{
	must(pthread_mutex_destroy(&m->m), "mutex_destroy");
}

void os_mutex_lock(struct os_mutex *m)
{
	must(pthread_mutex_lock(&m->m), "mutex_lock");
}

void os_mutex_unlock(struct os_mutex *m)
{
	must(pthread_mutex_unlock(&m->m), "mutex_unlock");
}

void os_cond_init(struct os_cond *c)
{
	pthread_condattr_t attr;

	must(pthread_condattr_init(&attr), "condattr_init");
	must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC),
	     "condattr_setclock");
	must(pthread_cond_init(&c->c, &attr), "cond_init");
	pthread_condattr_destroy(&attr);
}

void os_cond_release(struct os_cond *c)
{
	must(pthread_cond_destroy(&c->c), "cond_destroy");
}

void os_cond_wait(struct os_cond *c, struct os_mutex *m)
{
	must(pthread_cond_wait(&c->c, &m->m), "cond_wait");
}

static struct timespec clock_read(clockid_t clock)
{
	struct timespec ts;

	dbs_assert(clock_gettime(clock, &ts) == 0);
	return ts;
}

bool os_cond_wait_ms(struct os_cond *c, struct os_mutex *m, uint32_t timeout_ms)
{
	struct timespec end = clock_read(CLOCK_MONOTONIC);
	int error;

	end.tv_sec += timeout_ms / 1000;
	end.tv_nsec += timeout_ms % 1000 * NS_PER_MS;
	if (end.tv_nsec >= NS_PER_S) {
		end.tv_nsec -= NS_PER_S;
		end.tv_sec++;
	}
	error = pthread_cond_timedwait(&c->c, &m->m, &end);
	if (error == ETIMEDOUT)
		return false;
	must(error, "cond_timedwait");
	return true;
}

void os_cond_signal(struct os_cond *c)
{
	must(pthread_cond_signal(&c->c), "cond_signal");
}

void os_cond_broadcast(struct os_cond *c)
{
	must(pthread_cond_broadcast(&c->c), "cond_broadcast");
}

void os_rwlock_init(struct os_rwlock *l)
{
	pthread_rwlockattr_t attr;

	must(pthread_rwlockattr_init(&attr), "rwlockattr_init");
	/* the kind without _NONRECURSIVE_ is ignored by glibc (O2) */
	must(pthread_rwlockattr_setkind_np(
		     &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP),
	     "rwlockattr_setkind");
	must(pthread_rwlock_init(&l->l, &attr), "rwlock_init");
	pthread_rwlockattr_destroy(&attr);
}

void os_rwlock_release(struct os_rwlock *l)
{
	must(pthread_rwlock_destroy(&l->l), "rwlock_destroy");
}

void os_rwlock_rdlock(struct os_rwlock *l)
{
	must(pthread_rwlock_rdlock(&l->l), "rwlock_rdlock");
}

void os_rwlock_wrlock(struct os_rwlock *l)
{
	must(pthread_rwlock_wrlock(&l->l), "rwlock_wrlock");
}

void os_rwlock_unlock(struct os_rwlock *l)
{
	must(pthread_rwlock_unlock(&l->l), "rwlock_unlock");
}

struct thread_start {
	char name[THREAD_NAME_MAX];
	void (*fn)(void *arg);
	void *arg;
};

static void *thread_main(void *p)
{
	struct thread_start start = *(struct thread_start *)p;

	free(p);
	pthread_setname_np(pthread_self(), start.name);
	start.fn(start.arg);
	return NULL;
}

int os_thread_start(struct os_thread *t, const char *name,
		    void (*fn)(void *arg), void *arg)
{
	struct thread_start *start;
	sigset_t all, before;
	int error;

	t->running = false;
	start = malloc(sizeof(*start));
	if (!start)
		return -ENOMEM;
	start->fn = fn;
	start->arg = arg;
	strncpy(start->name, name, sizeof(start->name) - 1);
	start->name[sizeof(start->name) - 1] = '\0';

	sigfillset(&all);
	must(pthread_sigmask(SIG_SETMASK, &all, &before), "sigmask");
	error = pthread_create(&t->t, NULL, thread_main, start);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL), "sigmask");
	if (error != 0) {
		free(start);
		return -error;
	}
	t->running = true;
	return 0;
}

void os_thread_join(struct os_thread *t)
{
	if (!t->running)
		return;
	must(pthread_join(t->t, NULL), "join");
	t->running = false;
}

/* What a thread has to do at its end, last registered first. */
struct exit_call {
	struct exit_call *next;
	void (*fn)(void *arg);
	void *arg;
};

static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static int exit_key_error;

static void exit_calls_run(void *p)
{
	struct exit_call *call = p;

	while (call) {
		struct exit_call *next = call->next;

		call->fn(call->arg);
		free(call);
		call = next;
	}
}

static void exit_key_create(void)
{
	exit_key_error = pthread_key_create(&exit_key, exit_calls_run);
}

int os_thread_at_exit(void (*fn)(void *arg), void *arg)
{
	struct exit_call *call;
	int error;

	must(pthread_once(&exit_once, exit_key_create), "once");
	if (exit_key_error != 0)
		return -exit_key_error;
	call = malloc(sizeof(*call));
	if (!call)
		return -ENOMEM;
	call->next = pthread_getspecific(exit_key);
	call->fn = fn;
	call->arg = arg;
	error = pthread_setspecific(exit_key, call);
	if (error != 0) {
		free(call);
		return -error;
	}
	return 0;
}

struct timespec os_time_now(void)
{
	return clock_read(CLOCK_REALTIME);
}

uint64_t os_monotonic_ns(void)
{
	struct timespec ts = clock_read(CLOCK_MONOTONIC);

	return (uint64_t)ts.tv_sec * (uint64_t)NS_PER_S + (uint64_t)ts.tv_nsec;
}

void os_random(void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		dbs_assert(n > 0);
		p += n;
		len -= (size_t)n;
	}
}
