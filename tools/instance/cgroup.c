/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/instance/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT	  "/sys/fs/cgroup"
#define OURS	  ROOT "/dbs"
#define PERIOD_US 100000

static bool write_to(const char *dir, const char *file, const char *text)
{
	char path[PATH_MAX];
	bool written;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return written;
}

/* Is @word among the controllers that the root can give? */
static bool has_controller(const char *word)
{
	char line[512] = "", *save = NULL, *w;
	FILE *f = fopen(ROOT "/cgroup.controllers", "re");

	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	for (w = strtok_r(line, " \n", &save); w;
	     w = strtok_r(NULL, " \n", &save))
		if (!strcmp(w, word))
			return true;
	return false;
}

static bool make_dir(const char *path)
{
	return !mkdir(path, 0755) || errno == EEXIST;
}

bool cgroup_make(const char *name, uint64_t memory, double cpus,
		 char procs[PATH_MAX])
{
	char dir[PATH_MAX], text[64];

	procs[0] = '\0';
	if (geteuid() || !has_controller("memory") || !has_controller("cpu"))
		return !(cpus > 0);
	snprintf(dir, sizeof(dir), "%s/%s", OURS, name);
	if (!write_to(ROOT, "cgroup.subtree_control", "+memory +cpu") ||
	    !make_dir(OURS) ||
	    !write_to(OURS, "cgroup.subtree_control", "+memory +cpu") ||
	    !make_dir(dir))
		return false;
	snprintf(text, sizeof(text), "%" PRIu64, memory);
	if (!write_to(dir, "memory.max", text))
		return false;
	if (cpus > 0)
		snprintf(text, sizeof(text), "%.0f %d", cpus * PERIOD_US,
			 PERIOD_US);
	else
		snprintf(text, sizeof(text), "max %d", PERIOD_US);
	if (!write_to(dir, "cpu.max", text))
		return false;
	snprintf(procs, PATH_MAX, "%s/%s/cgroup.procs", OURS, name);
	return true;
}

void cgroup_remove(const char *name)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/%s", OURS, name);
	rmdir(dir);
}
