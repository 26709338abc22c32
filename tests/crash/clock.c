/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/clock.h"

#include "store/os.h"
#include "tests/lib/rnd.h"

#define START_NS (INT64_C(1700000000) * 1000000000)

/* os_*, by the linker's --wrap */
struct timespec __wrap_os_time_now(void);
uint64_t __wrap_os_monotonic_ns(void);
void __wrap_os_random(void *buf, size_t len);

/* atomic */
static uint64_t wall_ns, monotonic_ns, random_state;
static uint32_t monotonic_step;

void clock_reset(uint64_t seed, uint32_t start, uint32_t step_ns)
{
	__atomic_store_n(&wall_ns, start * UINT64_C(1000000000),
			 __ATOMIC_RELEASE);
	__atomic_store_n(&monotonic_ns, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&random_state, seed, __ATOMIC_RELEASE);
	__atomic_store_n(&monotonic_step, step_ns ? step_ns : 1000,
			 __ATOMIC_RELEASE);
}

/* No two changes have the same time, so no two states are the same. */
struct timespec __wrap_os_time_now(void)
{
	const int64_t ns = START_NS + (int64_t)__atomic_add_fetch(
					      &wall_ns, 1000, __ATOMIC_ACQ_REL);

	return (struct timespec){.tv_sec = ns / 1000000000,
				 .tv_nsec = ns % 1000000000};
}

uint64_t __wrap_os_monotonic_ns(void)
{
	return __atomic_add_fetch(
		&monotonic_ns,
		__atomic_load_n(&monotonic_step, __ATOMIC_ACQUIRE),
		__ATOMIC_ACQ_REL);
}

void __wrap_os_random(void *buf, size_t len)
{
	struct rnd rnd = {.state = __atomic_add_fetch(&random_state, 1,
						      __ATOMIC_ACQ_REL)};

	rnd_fill(&rnd, buf, len);
}
