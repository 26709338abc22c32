/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - keeps a log that another process writes from growing */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/instance/internal.h"
#include "tools/instance/monitor.h"

static int copy_file(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n = in < 0 || out < 0 ? -1 : 1;

	while (n > 0)
		n = copy_file_range(in, NULL, out, NULL, 1 << 20, 0);
	if (in >= 0)
		close(in);
	/* a disk that is full may say so only now */
	if (out >= 0 && close(out))
		n = -1;
	return n < 0 ? -1 : 0;
}

/* What is kept already goes only once the copy is whole. */
void log_rotate(const struct instance *inst, const char *file)
{
	char log[PATH_MAX], from[PATH_MAX + 8], to[PATH_MAX + 8];
	struct stat st;

	if (stat(instance_file(inst, file, log), &st) ||
	    st.st_size < MONITOR_LOG_MAX)
		return;
	snprintf(from, sizeof(from), "%s.new", log);
	if (copy_file(log, from)) {
		dprintf(STDERR_FILENO, "dbs: '%s' was not rotated: %m\n", log);
		unlink(from);
		return;
	}
	for (int i = MONITOR_LOGS_KEPT; i > 1; i--) {
		snprintf(from, sizeof(from), "%s.%d", log, i - 1);
		snprintf(to, sizeof(to), "%s.%d", log, i);
		rename(from, to);
	}
	snprintf(from, sizeof(from), "%s.new", log);
	snprintf(to, sizeof(to), "%s.1", log);
	if (rename(from, to) || truncate(log, 0))
		dprintf(STDERR_FILENO, "dbs: '%s' was not rotated: %m\n", log);
}
