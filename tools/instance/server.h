/* SPDX-License-Identifier: Apache-2.0 */
/*
 * server.h - one mariadbd or mysqld process on one data directory
 *
 * Below: libmysqlclient, /proc, cmd.h (fail).  Above: monitor.c and life.c
 * (instances), and whatever needs a server for itself for a while.
 *
 * Options are a JSON array of strings, "key=value" or "key", as in an option
 * file; the last one of a key counts.
 *
 * Invariants:
 *  V1  a server reads no option file but the one that was written for it.
 *  V2  a process is taken for a server of ours only if its command line has
 *      our --pid-file in it and it runs as the user that we started it as.
 *  V3  no password is in any process's arguments.
 *
 * All functions that return int, unless said otherwise, return CTL_OK or say
 * on stderr what went wrong and return the exit code for it.
 */
#ifndef DBS_TOOLS_INSTANCE_SERVER_H
#define DBS_TOOLS_INSTANCE_SERVER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

/* sun_path holds 108 bytes with the NUL */
#define SERVER_SOCKET_MAX 107

/* A version as one number: 10.11.19 is 101119. */
#define SERVER_VERSION(major, minor) ((major)*10000 + (minor)*100)

struct server_binary {
	char path[PATH_MAX];
	bool mariadb;	  /* else MySQL */
	bool script;	  /* a wrapper, which chooses the option file itself */
	unsigned version; /* SERVER_VERSION() */
	char text[64];	  /* "10.11.19-MariaDB-0+deb12u1" */
};

/**
 * Find the server to start and ask it for its version.
 *
 * @path: of a server, or NULL: $DBS_SERVER, else mariadbd or mysqld where
 *        packages put them
 * Errors: CTL_NOT_FOUND; CTL_CONFIG it is no server
 * Cost:   starts it with --version: some 20 ms
 */
int server_find(const char *path, struct server_binary *bin);

/** "MariaDB 10.11.19-MariaDB-0+deb12u1"; returns @buf. */
char *server_title(const struct server_binary *bin, char *buf, size_t cap);

/* How to start one. */
struct server_run {
	const struct server_binary *bin;
	const char *options_file; /* where server_write_options() put them */
	const json_t *options;	  /* the same, for a script's arguments */
	const char *pid_file;	  /* in a directory that the server may write */
	const char *log;	  /* appended to */
	const char *cgroup;	  /* its cgroup.procs, or NULL */
	uid_t uid;
	gid_t gid;
};

/**
 * Write the option file, whole or not at all, for everybody to read.
 * Errors: CTL_USAGE a line break in an option
 */
int server_write_options(const char *path, const json_t *options);

/**
 * Start it.  Returns when the program runs, not when it answers: see
 * server_wait().  It is a child of the caller and has no controlling terminal.
 */
int server_spawn(const struct server_run *run, pid_t *pid);

/** V2 */
bool server_is(pid_t pid, const char *pid_file, uid_t uid);
/** The server that @pid_file names, if V2 holds for it; else 0. */
pid_t server_find_running(const char *pid_file, uid_t uid);
/** The server for which V2 holds, looked for among all processes; else 0. */
pid_t server_scan(const char *pid_file, uid_t uid);

/* Who asks, and where. */
struct server_access {
	/* one that another server has left is best removed before the start:
	 * what is not there is asked for cheaply */
	const char *socket;
	const char *user;
	const char *password; /* NULL: none */
};

struct server_times {
	double start_ms; /* until it took a connection */
	double query_ms; /* until the first query was answered */
};

/**
 * Wait until a query works.
 *
 * @pid:   the server's; a child of ours is not reaped
 * @times: out, or NULL
 * Says nothing where the server ended: returns CTL_FAILED, with @ended set.
 * Errors: CTL_TIMEOUT; CTL_NOT_PERMITTED it does not know the account
 */
int server_wait(const struct server_access *access, pid_t pid,
		uint64_t timeout_ms, struct server_times *times, bool *ended);

/** Send @signal and wait for the end.  Errors: CTL_TIMEOUT (silent) */
int server_end(pid_t pid, int signal, uint64_t timeout_ms);

/** Has it said after @offset of its @log that it cannot have its port? */
bool server_lost_port(const char *log, off_t offset);
/** Print the end of @log after @offset on stderr, indented. */
void server_show_log(const char *log, off_t offset);

#endif
