/* SPDX-License-Identifier: Apache-2.0 */
/*
 * os_sim.c - store/os.h for the simulator, instead of store/os.c
 *
 * What os.h promises holds here (O1 to O3), and what it leaves open is decided
 * by dice: who gets a lock first, who is woken, whether a wait ends early.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_internal.h"

#define NS_PER_S  UINT64_C(1000000000)
#define NS_PER_MS UINT64_C(1000000)
#define EPOCH_S	  UINT64_C(1790000000) /* the wall clock when a run starts */
/* POSIX lets a wait end without a reason */
#define SPURIOUS_ONE_IN 64u

#define CALLER __builtin_return_address(0)

static void must(bool ok, const char *what)
{
	if (!ok)
		sim_fail("%s by task %s", what, sim_self()->name);
}

/* -- mutexes --------------------------------------------------------------- */

void os_mutex_init(struct os_mutex *m)
{
	*m = (struct os_mutex){.ready = true};
}

void os_mutex_release(struct os_mutex *m)
{
	must(m->ready && !m->owner, "release of a mutex that is held");
	m->ready = false;
}

static void mutex_take(struct os_mutex *m, void *caller)
{
	must(m->ready, "lock of no mutex");
	must(m->owner != sim_self(), "relock of a mutex");
	sim_wait_for(SIM_WAITS_MUTEX, m, SIM_FOREVER, caller);
	m->owner = sim_self();
	sim_self()->nr_held++;
}

void os_mutex_lock(struct os_mutex *m)
{
	sim_yield();
	mutex_take(m, CALLER);
}

static void mutex_drop(struct os_mutex *m)
{
	must(m->ready && m->owner == sim_self(), "unlock of another's mutex");
	m->owner = NULL;
	sim_self()->nr_held--;
}

void os_mutex_unlock(struct os_mutex *m)
{
	mutex_drop(m);
	sim_yield();
}

/* -- conditions ------------------------------------------------------------ */

void os_cond_init(struct os_cond *c)
{
	*c = (struct os_cond){.ready = true};
}

void os_cond_release(struct os_cond *c)
{
	must(c->ready && c->nr_waiters == 0, "release of a condition in use");
	c->ready = false;
}

/* Returns false when the time ran out. */
static bool cond_wait(struct os_cond *c, struct os_mutex *m, uint64_t deadline,
		      void *caller)
{
	struct sim_task *self = sim_self();
	bool signalled;

	must(c->ready, "wait for no condition");
	mutex_drop(m);
	c->nr_waiters++;
	self->signalled = rnd_one_in(sim_rnd(), SPURIOUS_ONE_IN);
	sim_wait_for(SIM_WAITS_COND, c, deadline, caller);
	signalled = self->signalled;
	self->signalled = false;
	c->nr_waiters--;
	mutex_take(m, caller);
	return signalled;
}

void os_cond_wait(struct os_cond *c, struct os_mutex *m)
{
	cond_wait(c, m, SIM_FOREVER, CALLER);
}

bool os_cond_wait_ms(struct os_cond *c, struct os_mutex *m, uint32_t timeout_ms)
{
	return cond_wait(c, m, sim_now() + timeout_ms * NS_PER_MS, CALLER);
}

void os_cond_signal(struct os_cond *c)
{
	must(c->ready, "signal to no condition");
	sim_signal(c, false);
	sim_yield();
}

void os_cond_broadcast(struct os_cond *c)
{
	must(c->ready, "broadcast to no condition");
	sim_signal(c, true);
	sim_yield();
}

/* -- rwlocks --------------------------------------------------------------- */

void os_rwlock_init(struct os_rwlock *l)
{
	*l = (struct os_rwlock){.ready = true};
}

void os_rwlock_release(struct os_rwlock *l)
{
	must(l->ready && !l->writer && !l->nr_readers,
	     "release of a rwlock that is held");
	l->ready = false;
}

void os_rwlock_rdlock(struct os_rwlock *l)
{
	must(l->ready && l->writer != sim_self(), "bad lock to read");
	sim_yield();
	sim_wait_for(SIM_WAITS_READ, l, SIM_FOREVER, CALLER);
	l->nr_readers++;
	sim_self()->nr_held++;
}

void os_rwlock_wrlock(struct os_rwlock *l)
{
	must(l->ready && l->writer != sim_self(), "bad lock to write");
	sim_yield();
	l->nr_writers_waiting++;
	sim_wait_for(SIM_WAITS_WRITE, l, SIM_FOREVER, CALLER);
	l->nr_writers_waiting--;
	l->writer = sim_self();
	sim_self()->nr_held++;
}

void os_rwlock_unlock(struct os_rwlock *l)
{
	must(l->ready && (l->writer == sim_self() ||
			  (!l->writer && l->nr_readers > 0)),
	     "unlock of a rwlock that is not held");
	if (l->writer)
		l->writer = NULL;
	else
		l->nr_readers--;
	sim_self()->nr_held--;
	sim_yield();
}

/* -- threads, clock, chance ------------------------------------------------ */

int os_thread_start(struct os_thread *t, const char *name,
		    void (*fn)(void *arg), void *arg)
{
	t->task = sim_task_new(name, fn, arg);
	t->running = t->task != NULL;
	if (!t->task)
		return -EAGAIN;
	sim_yield();
	return 0;
}

void os_thread_join(struct os_thread *t)
{
	if (!t->running)
		return;
	sim_yield();
	sim_wait_for(SIM_WAITS_END, t->task, SIM_FOREVER, CALLER);
	sim_task_free(t->task);
	t->task = NULL;
	t->running = false;
}

int os_thread_at_exit(void (*fn)(void *arg), void *arg)
{
	struct sim_exit_call *call = malloc(sizeof(*call));

	if (!call)
		return -ENOMEM;
	*call = (struct sim_exit_call){sim_self()->at_exit, fn, arg};
	sim_self()->at_exit = call;
	return 0;
}

struct timespec os_time_now(void)
{
	const uint64_t ns = (sim_tick(), sim_now());

	return (struct timespec){.tv_sec = (time_t)(EPOCH_S + ns / NS_PER_S),
				 .tv_nsec = (long)(ns % NS_PER_S)};
}

uint64_t os_monotonic_ns(void)
{
	sim_tick();
	return sim_now();
}

void os_random(void *buf, size_t len)
{
	rnd_fill(sim_rnd(), buf, len);
}
