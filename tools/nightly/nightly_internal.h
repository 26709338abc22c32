/* SPDX-License-Identifier: Apache-2.0 */
/* nightly_internal.h - what the files of the nightly run share */
#ifndef DBS_TOOLS_NIGHTLY_NIGHTLY_INTERNAL_H
#define DBS_TOOLS_NIGHTLY_NIGHTLY_INTERNAL_H

#include <limits.h>
#include <sys/types.h>

#include "tools/nightly/nightly.h"

/*
 * What a step has and the result file does not: its arguments, where those
 * that are shown ('command') lack what may be secret in a URL.
 */
#define STEP_ARGV "argv"
/* the source of an import that may be a key: by this variable, not in argv */
#define STEP_FROM "from"
#define FROM_ENV  "DBS_IMPORT_FROM"

struct nightly {
	json_t *record; /* the result file's */
	json_t *steps;
	int lock;
	int signals; /* signalfd: SIGTERM, SIGINT, SIGHUP */
	int signal;  /* the first of them that came, or 0 */
};

/* ---- record.c ---------------------------------------------------------------- */

/**
 * Take the lock, wait for what a killed run has left running, begin the
 * record and write it.
 * Errors: CTL_CONFLICT another run goes on; CTL_NOT_PERMITTED; CTL_FAILED
 */
int record_open(struct nightly *n);
/** The record without what only we need; the caller's. */
json_t *record_shown(const struct nightly *n);
/** Write it. */
int record_write(const struct nightly *n);
void record_close(struct nightly *n);

/* ---- step.c ------------------------------------------------------------------ */

/** What a child process said. */
struct step_said {
	json_t *answer; /* its one JSON object, or NULL */
	char *error;	/* its last sentence, or NULL */
};

/**
 * Run 'dbs' with the arguments of @step and wait for its end.  What it says
 * on stderr goes to ours.  A signal ends an import; other steps take moments,
 * and are waited for.
 *
 * @said: out, the caller's: step_said_release()
 *
 * Returns its exit code; CTL_FAILED where a signal ended it.
 */
int step_run(struct nightly *n, json_t *step, struct step_said *said);
void step_said_release(struct step_said *said);
/** Note a signal that has come. */
void step_take_signals(struct nightly *n);

/* ---- published.c ------------------------------------------------------------- */

/**
 * See to it that @dir has the dump of @snapshot (a name, or NULL: do not), and
 * remove those that are older than the newest @keep; 0: none.  That dump is the
 * newest, whatever time the others are called by.
 *
 * @answer: out, {dir, file, kept, removed: [...]}
 * @error: out, on failure a sentence; the caller frees
 */
int published_keep(const char *dir, const char *snapshot, unsigned keep,
		   json_t **answer, char **error);

#endif
