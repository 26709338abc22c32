/* SPDX-License-Identifier: Apache-2.0 */
/* sim_internal.h - tasks, shared by sim.c and os_sim.c */
#ifndef DBS_TESTS_SIM_INTERNAL_H
#define DBS_TESTS_SIM_INTERNAL_H

#include <ucontext.h>

#include "store/os.h"
#include "tests/sim/sim.h"

#define SIM_FOREVER UINT64_MAX

enum sim_wait {
	SIM_RUNS,
	SIM_WAITS_MUTEX, /* until it is free */
	SIM_WAITS_READ,
	SIM_WAITS_WRITE,
	SIM_WAITS_COND, /* until signalled or the deadline */
	SIM_WAITS_END,	/* of another task */
	SIM_SLEEPS,
};

struct sim_exit_call {
	struct sim_exit_call *next;
	void (*fn)(void *arg);
	void *arg;
};

struct sim_task {
	char name[16];
	unsigned number;
	uint64_t priority;
	ucontext_t context;
	void *stack; /* NULL: the program's own */
	size_t stack_size;
	void *fake_stack; /* the address sanitizer's */
	void (*fn)(void *arg);
	void *arg;
	struct sim_exit_call *at_exit;
	bool done;
	unsigned nr_held; /* locks */

	enum sim_wait wait;
	void *on;	   /* the lock, condition or task */
	uint64_t deadline; /* virtual; SIM_FOREVER: none */
	bool signalled;
	void *caller; /* who called the os function */
};

struct sim_task *sim_self(void);
/** A new task that can run; NULL when there are too many. */
struct sim_task *sim_task_new(const char *name, void (*fn)(void *arg),
			      void *arg);
/** Free a task that is done. */
void sim_task_free(struct sim_task *t);
/** Let others run until this one's wait is over. */
void sim_wait_for(enum sim_wait wait, void *on, uint64_t deadline,
		  void *caller);
/** Wake one, picked at random, or all that wait for condition @on. */
void sim_signal(void *on, bool all);
/** Move the clock on by a random little. */
void sim_tick(void);

#endif
