/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd.h - one subcommand of dbs is one entry of one table
 *
 * Below: getopt, jansson.  Above: every cmd_<group>.c.
 * The table (table.c) is the only description of the commands: help and
 * usage errors (help.c), completion (complete.c) and the check of the man
 * pages (tests/cli/man.bats, through 'dbs __table') are read off it.
 *
 * Invariants:
 *  C1  a command's exit status is a value of enum ctl_code, and where it is
 *      not CTL_OK one sentence on stderr says why.
 *  C2  with --json stdout holds one JSON object, or nothing when the command
 *      failed before it had an answer.
 *  C3  a command whose entry has CMD_DESTROYS names what it destroys and asks
 *      before, or was given --yes.
 */
#ifndef DBS_TOOLS_CMD_H
#define DBS_TOOLS_CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "fs/ctl_ops.h" /* enum ctl_code: the exit codes */

/* What an argument is, for completion. */
enum cmd_kind {
	KIND_NONE, /* anything, or a flag's lack of argument */
	KIND_FILE,
	KIND_DIR,
	KIND_MOUNT, /* directory where a pool is mounted */
	KIND_DATASET,
	KIND_SNAPSHOT, /* DS@SNAP */
	KIND_EITHER,
	KIND_PROPERTY,
	KIND_ASSIGNMENT, /* property=value */
	KIND_TYPE,	 /* dataset, snapshot */
	KIND_COMMAND,
	KIND_INSTANCE,
	KIND_WORKER,
	KIND_LOG, /* an instance or worker/NAME */
};

struct cmd_option {
	const char *name; /* long name without dashes */
	char letter;	  /* short name, or 0 */
	const char *arg;  /* placeholder of its argument; NULL: takes none */
	enum cmd_kind kind;
	const char *help;
};

struct cmd_operand {
	const char *name; /* as shown: "DS[@SNAP]" */
	enum cmd_kind kind;
	bool optional;
	bool repeats; /* the last only */
};

#define CMD_OPTIONS_MAX	 10
#define CMD_OPERANDS_MAX 4

/* Flags of an entry; the first three say which shared options it takes. */
#define CMD_POOL     1u	 /* --pool, --socket: works on a pool */
#define CMD_JSON     2u	 /* --json: prints something */
#define CMD_DESTROYS 4u	 /* --dry-run, --yes */
#define CMD_READS    8u	 /* changes nothing: opens the pool read-only */
#define CMD_HIDDEN   16u /* not in help; all its arguments are operands */

struct invocation;

struct cmd {
	const char *name;  /* "clone", "pool create" */
	const char *group; /* man page: "dbs-pool" */
	unsigned flags;
	struct cmd_operand operands[CMD_OPERANDS_MAX];
	struct cmd_option options[CMD_OPTIONS_MAX]; /* its own */
	const char *help;			    /* one line */
	const char *text; /* the paragraphs of 'dbs help CMD' */
	int (*run)(struct invocation *inv);
};

extern const struct cmd cmd_table[];
extern const size_t nr_cmds;

/* Options that several commands take, with the flag that says which. */
struct shared_option {
	unsigned flag; /* CMD_*; 0: every command */
	struct cmd_option option;
};
extern const struct shared_option shared_options[];
extern const size_t nr_shared_options;

/* ---- a command line that has been parsed --------------------------------- */

struct option_value {
	const struct cmd_option *option;
	const char *value; /* NULL where it takes none */
};

struct invocation {
	const struct cmd *cmd;
	struct option_value *given;
	size_t nr_given;
	char **operands;
	int nr_operands;
	bool json;
	bool only_daemons; /* do not open a pool that is not mounted */
	bool reads;	   /* this call changes nothing, as with CMD_READS */
};

/** Was --@name given?  Asserts that the command has such an option. */
bool inv_has(const struct invocation *inv, const char *name);
/** Its argument, the last one given; NULL: not given. */
const char *inv_value(const struct invocation *inv, const char *name);
/** The @i-th argument given for it, or NULL past the last. */
const char *inv_value_nth(const struct invocation *inv, const char *name,
			  size_t i);
/** Operand @i, or NULL. */
const char *inv_operand(const struct invocation *inv, int i);

/* ---- saying what went wrong ---------------------------------------------- */

/** Print "dbs: <sentence>" on stderr; returns @code. */
int fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** The same with a hint at 'dbs help CMD'; returns CTL_USAGE. */
int fail_usage(const struct cmd *cmd, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** A line on stderr for people, not an error. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** From now on say nothing: completion must not write over the prompt. */
void fail_silently(void);

/**
 * C3: print @what ("destroys ...") and have it confirmed.
 * Returns CTL_OK to go on, else the command's exit code: CTL_USAGE where
 * nobody can be asked and --yes is missing, CTL_CONFLICT on a 'no'.
 */
int confirm(const struct invocation *inv, const char *what);

/* ---- help ----------------------------------------------------------------- */

/** Find "pool create" in argv[0..]; @used: out, words that named it. */
const struct cmd *cmd_find(char *const *argv, int argc, int *used);
/** "dbs clone [--pool POOL] DS[@SNAP] NAME"; the caller frees. */
char *cmd_synopsis(const struct cmd *cmd);
/** Call @fn with each option of @cmd, its own first, then shared ones. */
void cmd_each_option(const struct cmd *cmd,
		     void (*fn)(void *arg, const struct cmd_option *option),
		     void *arg);
/** Say that argv[0..) names no command; returns the exit code. */
int run_unknown(char *const *argv, int argc);
void help_all(void);
void help_group(const char *prefix);
void help_cmd(const struct cmd *cmd);

/* ---- the commands ---------------------------------------------------------- */

int run_help(struct invocation *inv);
int run_table(struct invocation *inv);
int run_complete(struct invocation *inv);

int run_pool_create(struct invocation *inv);
int run_pool_info(struct invocation *inv);
int run_pool_grow(struct invocation *inv);
int run_pool_list(struct invocation *inv);
int run_pool_check(struct invocation *inv);
int run_pool_scrub(struct invocation *inv);

int run_mount(struct invocation *inv);
int run_umount(struct invocation *inv);
int run_sync(struct invocation *inv);

int run_create(struct invocation *inv);
int run_list(struct invocation *inv);
int run_rm(struct invocation *inv);
int run_mv(struct invocation *inv);
int run_df(struct invocation *inv);

int run_snapshot(struct invocation *inv);
int run_clone(struct invocation *inv);
int run_restore(struct invocation *inv);
int run_diff(struct invocation *inv);

int run_set(struct invocation *inv);
int run_get(struct invocation *inv);

int run_import(struct invocation *inv);
int run_nightly(struct invocation *inv);
int run_rules_check(struct invocation *inv);

int run_up(struct invocation *inv);
int run_down(struct invocation *inv);
int run_ps(struct invocation *inv);
int run_logs(struct invocation *inv);
int run_sql(struct invocation *inv);
int run_env(struct invocation *inv);
int run_refresh(struct invocation *inv);
int run_hold(struct invocation *inv);
int run_prune(struct invocation *inv);
int run_monitor(struct invocation *inv);
int run_workers_stop(struct invocation *inv);
int run_workers_start(struct invocation *inv);
int run_worker(struct invocation *inv);

#endif
