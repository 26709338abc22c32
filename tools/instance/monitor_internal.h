/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor_internal.h - shared by monitor.c and monitor_run.c
 */
#ifndef DBS_TOOLS_INSTANCE_MONITOR_INTERNAL_H
#define DBS_TOOLS_INSTANCE_MONITOR_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "tools/instance/instance.h"
#include "tools/instance/server.h"

/* Counters of the server's: what differs was used. */
struct monitor_use {
	uint64_t connections, rows;
};

struct monitor {
	struct instance inst;
	int lock, listen_fd, signal_fd;

	/* the server; pid 0: there is none */
	pid_t pid;
	int pid_fd;
	bool is_child;	   /* else adopted: how it ended cannot be known */
	uint64_t start_ns; /* monotonic */
	time_t start_time;
	dev_t dev; /* of its mount when it started */

	/* what is to be */
	bool wants_server;
	bool ends; /* the monitor, with the server */
	bool done;
	bool shut_down;	   /* by a client: it is to stay so */
	const char *over;  /* the state after the end: "expired", "idle" */
	uint64_t retry_ns; /* when to start it again; 0: not */
	uint64_t kill_ns;  /* when a clean end has taken too long; 0: never */
	int waiting_fd;	   /* of who waits for the end, or -1 */

	/* what has been */
	const char *state; /* as instance_state() names it */
	unsigned restarts, crashes;
	json_t *last_exit;
	char *start_error;	     /* of the last start, if it failed */
	struct timespec record_time; /* of the file that was read */
	ino_t record_ino;
	struct monitor_use use;
	uint64_t used_ns, ask_ns; /* last use that was seen; next question */
};

/* ---- monitor.c ---- */

/** Answer on @fd, and close it; the reference is taken. */
void monitor_answer(struct monitor *m, int fd, json_t *answer);
void monitor_answer_state(struct monitor *m, int fd);

/* ---- monitor_run.c ---- */

json_t *monitor_state(const struct monitor *m);
/** Read the record again. */
void monitor_reload(struct monitor *m);
/** Take over a server that runs, if there is one. */
void monitor_adopt(struct monitor *m);
/** Start the server unless it runs; waits for its mount where that is gone. */
void monitor_start(struct monitor *m);
/** Let it end; the answer goes to waiting_fd then.  @timeout_ms 0: default */
void monitor_stop(struct monitor *m, bool kills, uint64_t timeout_ms);
/** End, if the server has; @failed: that is what the state is to say. */
void monitor_exit(struct monitor *m, bool failed);
/** The server has ended. */
void monitor_ended(struct monitor *m);
/** What is done from time to time. */
void monitor_tick(struct monitor *m);
/** Milliseconds until something is due, at most @most. */
int monitor_timeout(const struct monitor *m, int most);

/* ---- monitor_idle.c ---- */

/** Has nobody used it for as long as the record says?  Asks now and then. */
bool monitor_is_idle(struct monitor *m);

#endif
