/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workload.h - what is done while the device records
 *
 * Below: act.h.  Above: the prover.
 */
#ifndef DBS_TESTS_CRASH_WORKLOAD_H
#define DBS_TESTS_CRASH_WORKLOAD_H

#include "tests/crash/recording.h"

/* What a workload remembers of its lane. */
struct scene {
	struct lane *l;
	struct rnd *rnd; /* the lane's */
	uint32_t ds[8], snap[8];
	unsigned nr_ds, nr_snap;
	uint64_t ino[16], pos[16];
	unsigned nr_ino;
	unsigned serial; /* of names */
};

struct workload {
	const char *name;
	const char *what;		/* for the list of workloads */
	void (*setup)(struct scene *s); /* crashes in it do not count */
	void (*step)(struct scene *s);
	unsigned nr_lanes; /* 0: one */
	bool background;   /* commits come from the pool's own threads too */
	bool again;	   /* after a crash what was lost is written again */
	bool full;	   /* the pool is: what follows may find no space */
	uint32_t clock_ns; /* that pass between two looks at it; 0: few */
};

extern const struct workload workloads[];
extern const unsigned nr_workloads;

/**
 * Run @w on a new pool until about @nr_writes writes were recorded behind
 * rec->first.
 * @base: out, malloc'd, the device before the first event
 */
void workload_record(const struct workload *w, uint64_t seed,
		     uint64_t nr_writes, struct recording *rec, uint8_t **base);

#endif
