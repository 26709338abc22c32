/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h - a seeded scheduler and a virtual clock for the whole store
 *
 * Below: ucontext.  Above: store/os.h (os_sim.c), the simulated device, the
 * simulator's clients.
 *
 * Every thread of the store is a task here: a coroutine of one process.
 * Exactly one runs, until it waits for something or comes to a yield point,
 * where dice decide whether another goes on.  Yield points are every lock and
 * unlock, waiting and signalling, the start of a thread, and all I/O of the
 * device.  So a run is a function of its seed.
 *
 * Invariants:
 *  K1  nothing that a task sees depends on anything but the seed: no real
 *      time, no addresses, no real thread.
 *  K2  virtual time rises with every step and every look at the clock; when
 *      no task can run it jumps to the next timeout.
 *  K3  when no task can run and none waits for a time, that is a deadlock:
 *      the program says who waits for what, and aborts.
 *
 * Source: FoundationDB's simulation (Zhou et al., "FoundationDB", SIGMOD
 * 2021); priorities after Burckhardt et al., "A randomized scheduler with
 * probabilistic guarantees of finding bugs", ASPLOS 2010.
 */
#ifndef DBS_TESTS_SIM_H
#define DBS_TESTS_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/lib/rnd.h"

struct sim_options {
	uint64_t seed;
	unsigned switch_one_in; /* yield points that let another task run */
	bool priorities;	/* tasks have them, and lose them at random */
	bool trace;		/* print what makes the digest */
};

/** From here to sim_stop() the caller is task "main". */
void sim_start(const struct sim_options *options);
/** No other task may be left. */
void sim_stop(void);

/** The dice of the world outside the tasks' own: faults, the device. */
struct rnd *sim_rnd(void);
uint64_t sim_now(void); /* ns */
uint64_t sim_steps(void);
/** A yield point. */
void sim_yield(void);
void sim_sleep(uint64_t ns);
/** Call @fn(@arg) between two steps, @steps from now; 0: never. */
void sim_alarm(uint64_t steps, void (*fn)(void *arg), void *arg);

/** What happened, for the digest: any two numbers. */
void sim_note(uint64_t a, uint64_t b);
uint64_t sim_digest(void);

/** Say what is wrong, with the seed, and abort. */
_Noreturn void sim_fail(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));

#endif
