/* SPDX-License-Identifier: Apache-2.0 */
/* os_types.h - os.h's types in the simulator: who holds, and nothing else */
#ifndef DBS_TESTS_SIM_OS_TYPES_H
#define DBS_TESTS_SIM_OS_TYPES_H

#include <stdbool.h>
#include <stdint.h>

struct sim_task;

struct os_mutex {
	struct sim_task *owner;
	bool ready; /* between init and release */
};
struct os_cond {
	uint32_t nr_waiters;
	bool ready;
};
struct os_rwlock {
	struct sim_task *writer;
	uint32_t nr_readers;
	uint32_t nr_writers_waiting;
	bool ready;
};
struct os_thread {
	struct sim_task *task;
	bool running;
};

#endif
