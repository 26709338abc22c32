/* SPDX-License-Identifier: Apache-2.0 */
/* sim.c - tasks, the scheduler, the clock and the digest */
#include "tests/sim/sim_internal.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define TASKS_MAX  32u
#define STACK_SIZE ((size_t)1 << 20) /* only what is touched costs memory */
#define GUARD_SIZE ((size_t)4096)
#define STEP_NS	   UINT64_C(700) /* at most: between two yield points */
#define STEPS_MAX  UINT64_C(30000000)
#define DEPTH_MAX  16

static struct {
	struct sim_options o;
	struct rnd schedule, world;
	uint64_t now, steps, digest;
	struct sim_task *tasks[TASKS_MAX]; /* by age */
	unsigned nr_tasks, serial;
	struct sim_task *current;
	struct sim_task main;
	uint64_t alarm;
	void (*alarm_fn)(void *arg);
	void *alarm_arg;
} sim;

struct sim_task *sim_self(void)
{
	return sim.current;
}

struct rnd *sim_rnd(void)
{
	return &sim.world;
}

uint64_t sim_now(void)
{
	return sim.now;
}

uint64_t sim_steps(void)
{
	return sim.steps;
}

uint64_t sim_digest(void)
{
	return sim.digest;
}

void sim_note(uint64_t a, uint64_t b)
{
	struct rnd mix = {.state = sim.digest ^ a};

	mix.state = rnd_next(&mix) ^ b;
	sim.digest = rnd_next(&mix);
	if (sim.o.trace)
		fprintf(stderr, "%ju %s %ju %ju\n", (uintmax_t)sim.steps,
			sim.current->name, (uintmax_t)a, (uintmax_t)b);
}

void sim_tick(void)
{
	sim.now += 1 + rnd_below(&sim.schedule, STEP_NS);
}

/* -- messages -------------------------------------------------------------- */

static const char *holder_of(const struct sim_task *t)
{
	const struct os_mutex *m = t->on;
	const struct os_rwlock *l = t->on;
	const struct sim_task *other = NULL;

	if (t->wait == SIM_WAITS_MUTEX)
		other = m->owner;
	else if (t->wait == SIM_WAITS_END)
		other = t->on;
	else if (t->wait == SIM_WAITS_READ || t->wait == SIM_WAITS_WRITE)
		other = l->writer;
	else
		return "";
	return other ? other->name : "readers or a waiting writer";
}

static void print_tasks(void)
{
	static const char *const waits[] = {"runs",
					    "waits for a mutex of",
					    "waits to read",
					    "waits to write",
					    "waits for a signal",
					    "waits for the end of",
					    "sleeps"};

	for (unsigned i = 0; i < sim.nr_tasks; i++) {
		struct sim_task *t = sim.tasks[i];

		fprintf(stderr, "  task %u %s %s %s%s, holds %u locks, in:\n",
			t->number, t->name, waits[t->wait], holder_of(t),
			t->wait != SIM_RUNS && t->deadline != SIM_FOREVER
				? " or a time"
				: "",
			t->nr_held);
		if (t->caller)
			backtrace_symbols_fd(&t->caller, 1, 2);
	}
}

void sim_fail(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "FAILED seed=%ju step=%ju: ", (uintmax_t)sim.o.seed,
		(uintmax_t)sim.steps);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	abort();
}

/* -- switching ------------------------------------------------------------- */

/* The sanitizer wants to know which stack is in use. */
static void switch_begins(struct sim_task *from, const struct sim_task *to)
{
#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(from->done ? NULL : &from->fake_stack,
				       to->stack, to->stack_size);
#else
	(void)from;
	(void)to;
#endif
}

static void switch_ends(struct sim_task *self)
{
#ifdef WITH_ASAN
	const void *stack;
	size_t size;

	__sanitizer_finish_switch_fiber(self->fake_stack, &stack, &size);
	/* whoever starts the first task is on a stack we know nothing of */
	if (!sim.main.stack) {
		sim.main.stack = (void *)(uintptr_t)stack;
		sim.main.stack_size = size;
	}
#else
	(void)self;
#endif
}

static void switch_to(struct sim_task *to)
{
	struct sim_task *from = sim.current;

	if (from == to)
		return;
	sim.current = to;
	sim_note(to->number, sim.now);
	switch_begins(from, to);
	swapcontext(&from->context, &to->context);
	switch_ends(from);
}

static bool is_over(const struct sim_task *t)
{
	const struct os_mutex *m = t->on;
	const struct os_rwlock *l = t->on;
	const struct sim_task *other = t->on;

	if (t->done)
		return false;
	switch (t->wait) {
	case SIM_RUNS:
		return true;
	case SIM_WAITS_MUTEX:
		return !m->owner;
	case SIM_WAITS_READ:
		return !l->writer && !l->nr_writers_waiting;
	case SIM_WAITS_WRITE:
		return !l->writer && !l->nr_readers;
	case SIM_WAITS_COND:
		return t->signalled || t->deadline <= sim.now;
	case SIM_WAITS_END:
		return other->done;
	case SIM_SLEEPS:
		break;
	}
	return t->deadline <= sim.now;
}

/* Jump to the next moment at which somebody can run. */
static void pass_time(void)
{
	uint64_t next = SIM_FOREVER;

	for (unsigned i = 0; i < sim.nr_tasks; i++) {
		const struct sim_task *t = sim.tasks[i];

		if (!t->done && t->wait >= SIM_WAITS_COND && t->deadline < next)
			next = t->deadline;
	}
	if (next == SIM_FOREVER) {
		print_tasks();
		sim_fail("deadlock: nobody can run");
	}
	if (next > sim.now)
		sim.now = next;
}

static struct sim_task *pick(void)
{
	struct sim_task *able[TASKS_MAX], *best;
	unsigned nr = 0;

	for (;;) {
		for (unsigned i = 0; i < sim.nr_tasks; i++)
			if (is_over(sim.tasks[i]))
				able[nr++] = sim.tasks[i];
		if (nr)
			break;
		pass_time();
	}
	if (!sim.o.priorities)
		return able[rnd_below(&sim.schedule, nr)];
	best = able[0];
	for (unsigned i = 1; i < nr; i++)
		if (able[i]->priority > best->priority)
			best = able[i];
	return best;
}

static void reschedule(void)
{
	switch_to(pick());
}

static void step(void)
{
	sim_tick();
	if (++sim.steps > STEPS_MAX) {
		print_tasks();
		sim_fail("no progress in %ju steps", (uintmax_t)STEPS_MAX);
	}
	if (sim.alarm && sim.steps >= sim.alarm) {
		sim.alarm = 0;
		sim.alarm_fn(sim.alarm_arg);
	}
}

void sim_alarm(uint64_t steps, void (*fn)(void *arg), void *arg)
{
	sim.alarm = steps ? sim.steps + steps : 0;
	sim.alarm_fn = fn;
	sim.alarm_arg = arg;
}

void sim_yield(void)
{
	struct sim_task *self = sim.current;

	step();
	if (!rnd_one_in(&sim.schedule, sim.o.switch_one_in))
		return;
	/* a new priority, mostly a low one: others get their turn */
	self->priority = rnd_next(&sim.schedule);
	self->priority >>= rnd_below(&sim.schedule, 32);
	self->wait = SIM_RUNS;
	reschedule();
}

void sim_wait_for(enum sim_wait wait, void *on, uint64_t deadline, void *caller)
{
	struct sim_task *self = sim.current;

	step();
	self->wait = wait;
	self->on = on;
	self->deadline = deadline;
	self->caller = caller;
	if (!is_over(self))
		reschedule();
	self->wait = SIM_RUNS;
	self->on = NULL;
}

void sim_sleep(uint64_t ns)
{
	sim_wait_for(SIM_SLEEPS, NULL, sim.now + ns,
		     __builtin_return_address(0));
}

void sim_signal(void *on, bool all)
{
	struct sim_task *waiting[TASKS_MAX];
	unsigned nr = 0;

	for (unsigned i = 0; i < sim.nr_tasks; i++) {
		struct sim_task *t = sim.tasks[i];

		if (!t->done && t->wait == SIM_WAITS_COND && t->on == on &&
		    !t->signalled) {
			waiting[nr++] = t;
			t->signalled = all;
		}
	}
	if (!all && nr)
		waiting[rnd_below(&sim.schedule, nr)]->signalled = true;
}

/* -- life ------------------------------------------------------------------ */

static void run_at_exit(struct sim_task *t)
{
	while (t->at_exit) {
		struct sim_exit_call *call = t->at_exit;

		t->at_exit = call->next;
		call->fn(call->arg);
		free(call);
	}
}

static void task_main(void)
{
	struct sim_task *self = sim.current;

	switch_ends(self);
	self->fn(self->arg);
	run_at_exit(self);
	if (self->nr_held)
		sim_fail("task %s ends and holds %u locks", self->name,
			 self->nr_held);
	self->done = true;
	reschedule();
	abort(); /* nobody switches to a task that is done */
}

/* In a function of its own: getcontext() returns twice. */
static void prepare_context(struct sim_task *t)
{
	if (getcontext(&t->context) != 0)
		abort();
	t->context.uc_stack.ss_sp = t->stack;
	t->context.uc_stack.ss_size = t->stack_size;
	makecontext(&t->context, task_main, 0);
}

struct sim_task *sim_task_new(const char *name, void (*fn)(void *arg),
			      void *arg)
{
	struct sim_task *t;
	char *map;

	if (sim.nr_tasks == TASKS_MAX)
		return NULL;
	t = calloc(1, sizeof(*t));
	map = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!t || map == MAP_FAILED ||
	    mprotect(map, GUARD_SIZE, PROT_NONE) != 0)
		sim_fail("no memory for a task");
	strncpy(t->name, name, sizeof(t->name) - 1);
	t->number = ++sim.serial;
	t->priority = rnd_next(&sim.schedule);
	t->stack = map + GUARD_SIZE;
	t->stack_size = STACK_SIZE - GUARD_SIZE;
	t->fn = fn;
	t->arg = arg;
	t->deadline = SIM_FOREVER;
	prepare_context(t);
	sim.tasks[sim.nr_tasks++] = t;
	return t;
}

void sim_task_free(struct sim_task *t)
{
	unsigned at = 0;

	while (sim.tasks[at] != t)
		at++;
	sim.nr_tasks--;
	memmove(&sim.tasks[at], &sim.tasks[at + 1],
		(sim.nr_tasks - at) * sizeof(t));
	munmap((char *)t->stack - GUARD_SIZE, STACK_SIZE);
	free(t);
}

void sim_start(const struct sim_options *options)
{
	struct rnd seed = {.state = options->seed};

	memset(&sim, 0, sizeof(sim));
	sim.o = *options;
	sim.schedule.state = rnd_next(&seed);
	sim.world.state = rnd_next(&seed);
	sim.digest = rnd_next(&seed);
	sim.now = UINT64_C(1000000000);
	strcpy(sim.main.name, "main");
	sim.main.deadline = SIM_FOREVER;
	sim.current = &sim.main;
	sim.tasks[sim.nr_tasks++] = &sim.main;
}

void sim_stop(void)
{
	run_at_exit(&sim.main);
	if (sim.nr_tasks != 1 || sim.main.nr_held) {
		print_tasks();
		sim_fail("%u tasks are left, main holds %u locks",
			 sim.nr_tasks - 1, sim.main.nr_held);
	}
}
