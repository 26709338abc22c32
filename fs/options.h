/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.h - dbsfs's command line
 *
 * Below: getopt_long().  Above: main.c.
 */
#ifndef DBS_FS_OPTIONS_H
#define DBS_FS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

struct options {
	const char *pool, *dir;
	const char *socket, *socket_group, *pid_file;
	bool foreground, clone_fd;
	unsigned ring_threads;
	unsigned long mount_flags; /* MS_* */
	uint64_t cache_bytes;
	unsigned commit_ms, threads;
	enum log_level log_level;
};

/** Fill @options, or say on stderr what is wrong and exit; --help exits too. */
void options_parse(struct options *options, int argc, char **argv);

#endif
