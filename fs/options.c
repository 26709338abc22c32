/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "fs/ctl_ops.h"
#include "fs/daemon.h"

#define THREADS_MAX_DEFAULT 64u
#define THREADS_MAX_LIMIT   200u /* under VIEW_SLOTS_MAX */

static const char usage[] =
	"usage: dbsfs [OPTION]... POOL DIRECTORY\n"
	"\n"
	"Mount the pool in the file or block device POOL on DIRECTORY and "
	"serve it.\n"
	"\n"
	"  -f, --foreground       stay in the foreground, log to stderr\n"
	"  -o OPTION[,OPTION]...  ro, rw, suid, nosuid, dev, nodev, exec, "
	"noexec\n"
	"      --socket=PATH      control socket, instead of "
	"/run/dbs/UUID.sock\n"
	"      --socket-group=GROUP  whose members may use it too\n"
	"      --pid-file=PATH    write the process id there\n"
	"      --cache-size=SIZE  memory for metadata (96M)\n"
	"      --commit-interval=MS  longest time to a commit (5000)\n"
	"      --threads=N        requests served at once (64)\n"
	"      --no-clone-fd      one descriptor of /dev/fuse for all threads\n"
	"      --io-uring=N       threads per CPU for requests by io_uring "
	"(3; 0: off)\n"
	"      --log-level=LEVEL  error, warn, info or debug (warn)\n"
	"  -h, --help             print this\n"
	"  -V, --version          print the version\n";

enum {
	OPT_SOCKET = 256,
	OPT_SOCKET_GROUP,
	OPT_PID_FILE,
	OPT_CACHE_SIZE,
	OPT_COMMIT_INTERVAL,
	OPT_THREADS,
	OPT_NO_CLONE_FD,
	OPT_IO_URING,
	OPT_LOG_LEVEL,
};

static const struct option long_options[] = {
	{"foreground", no_argument, NULL, 'f'},
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"socket-group", required_argument, NULL, OPT_SOCKET_GROUP},
	{"pid-file", required_argument, NULL, OPT_PID_FILE},
	{"cache-size", required_argument, NULL, OPT_CACHE_SIZE},
	{"commit-interval", required_argument, NULL, OPT_COMMIT_INTERVAL},
	{"threads", required_argument, NULL, OPT_THREADS},
	{"no-clone-fd", no_argument, NULL, OPT_NO_CLONE_FD},
	{"io-uring", required_argument, NULL, OPT_IO_URING},
	{"log-level", required_argument, NULL, OPT_LOG_LEVEL},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static void parse_mount_option(struct options *args, const char *name)
{
	static const struct {
		const char *name;
		unsigned long set, clear;
	} known[] = {
		{"ro", MS_RDONLY, 0},	{"rw", 0, MS_RDONLY},
		{"suid", 0, MS_NOSUID}, {"nosuid", MS_NOSUID, 0},
		{"dev", 0, MS_NODEV},	{"nodev", MS_NODEV, 0},
		{"exec", 0, MS_NOEXEC}, {"noexec", MS_NOEXEC, 0},
		{"noatime", 0, 0},	{"defaults", 0, 0},
		{"allow_other", 0, 0},	{"default_permissions", 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(known[i].name, name))
			continue;
		args->mount_flags |= known[i].set;
		args->mount_flags &= ~known[i].clear;
		return;
	}
	daemon_fail(CTL_USAGE, "unknown mount option '%s'; see 'dbsfs --help'",
		    name);
}

static void parse_mount_options(struct options *args, char *list)
{
	char *save, *name = strtok_r(list, ",", &save);

	for (; name; name = strtok_r(NULL, ",", &save))
		parse_mount_option(args, name);
}

static unsigned parse_number(const char *option, const char *text, unsigned min,
			     unsigned max)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || v < min || v > max)
		daemon_fail(CTL_USAGE,
			    "'%s' is not good for --%s: a number from %u to %u",
			    text, option, min, max);
	return (unsigned)v;
}

static enum log_level parse_level(const char *text)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(text, names[i]) == 0)
			return (enum log_level)i;
	daemon_fail(CTL_USAGE,
		    "'%s' is no log level: error, warn, info or debug", text);
}

static void parse_long(struct options *args, int option)
{
	switch (option) {
	case OPT_SOCKET:
		args->socket = optarg;
		break;
	case OPT_SOCKET_GROUP:
		args->socket_group = optarg;
		break;
	case OPT_PID_FILE:
		args->pid_file = optarg;
		break;
	case OPT_CACHE_SIZE:
		if (ctl_parse_size(optarg, &args->cache_bytes) ||
		    args->cache_bytes < 8 << 20)
			daemon_fail(CTL_USAGE,
				    "'%s' is not good for --cache-size: at "
				    "least 8M",
				    optarg);
		break;
	case OPT_COMMIT_INTERVAL:
		args->commit_ms =
			parse_number("commit-interval", optarg, 10, 600000);
		break;
	case OPT_THREADS:
		args->threads =
			parse_number("threads", optarg, 2, THREADS_MAX_LIMIT);
		break;
	case OPT_NO_CLONE_FD:
		args->clone_fd = false;
		break;
	case OPT_IO_URING:
		args->ring_threads = parse_number("io-uring", optarg, 0, 24);
		break;
	case OPT_LOG_LEVEL:
		args->log_level = parse_level(optarg);
		break;
	default: /* getopt_long() has said what */
		fprintf(stderr, "see 'dbsfs --help'\n");
		exit(CTL_USAGE);
	}
}

void options_parse(struct options *args, int argc, char **argv)
{
	int option;

	*args = (struct options){
		.mount_flags = MS_NOSUID | MS_NODEV | MS_NOATIME,
		.threads = THREADS_MAX_DEFAULT,
		.clone_fd = true,
		.ring_threads = 3,
		.log_level = LOG_LEVEL_WARN,
	};
	while ((option = getopt_long(argc, argv, "fo:hV", long_options,
				     NULL)) != -1) {
		switch (option) {
		case 'f':
			args->foreground = true;
			break;
		case 'o':
			parse_mount_options(args, optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		case 'V':
			printf("dbsfs %s\n", DBS_VERSION);
			exit(0);
		default:
			parse_long(args, option);
		}
	}
	if (argc - optind != 2)
		daemon_fail(CTL_USAGE,
			    "needs a pool and a directory; see 'dbsfs --help'");
	args->pool = argv[optind];
	args->dir = argv[optind + 1];
}
