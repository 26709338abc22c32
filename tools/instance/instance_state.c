/* SPDX-License-Identifier: Apache-2.0 */
/* instance_state.c - what an instance is now; its port; its lease */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/instance/instance.h"
#include "tools/instance/internal.h"
#include "tools/instance/server.h"
#include "tools/out.h"

/* Below the ports that Linux gives to who asks for none (32768..60999). */
#define PORT_FIRST 20000u
#define PORT_COUNT 10000u

/* ---- state ------------------------------------------------------------------- */

/* For those whom the lock is not shown: else they could take and keep it. */
static bool monitor_seen(const struct instance *inst)
{
	char path[PATH_MAX], line[512] = "", *name;
	json_t *state = json_load_file(instance_file(inst, "state.json", path),
				       0, NULL);
	size_t len = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/cmdline",
		 (int)out_get_int(state, "monitor_pid"));
	json_decref(state);
	f = fopen(path, "re");
	if (f) {
		len = fread(line, 1, sizeof(line) - 1, f);
		fclose(f);
	}
	/* dbs, __monitor, NAME */
	name = memmem(line, len, "__monitor", sizeof("__monitor"));
	return name && !strcmp(name + sizeof("__monitor"), inst->name);
}

bool instance_monitored(const struct instance *inst)
{
	char path[PATH_MAX];

	instance_file(inst, "monitor.lock", path);
	if (!access(path, F_OK) && access(path, R_OK))
		return monitor_seen(inst);
	return instance_file_locked(path);
}

/* What a monitor says last: without a server. */
static bool is_end(const char *state)
{
	return !strcmp(state, "failed") || !strcmp(state, "expired") ||
	       !strcmp(state, "idle") || !strcmp(state, "stopped");
}

/* @scans: out, it may run all the same */
static pid_t server_known(const struct instance *inst, bool *scans)
{
	uid_t uid = (uid_t)out_get_int(inst->record, "uid");
	char path[PATH_MAX], pid_file[PATH_MAX];
	json_t *state;
	pid_t pid;

	instance_pid_file(inst, pid_file);
	state = json_load_file(instance_file(inst, "state.json", path), 0,
			       NULL);
	pid = (pid_t)out_get_int(state, "server_pid");
	*scans = state && !is_end(out_get_text(state, "state"));
	json_decref(state);
	if (server_is(pid, pid_file, uid))
		return pid;
	/* a monitor that was killed may not have written of it */
	return server_find_running(pid_file, uid);
}

static pid_t server_scanned(const struct instance *inst)
{
	char pid_file[PATH_MAX];

	return server_scan(instance_pid_file(inst, pid_file),
			   (uid_t)out_get_int(inst->record, "uid"));
}

/* A server writes its pid file late: before, only its command line tells. */
pid_t instance_server(const struct instance *inst)
{
	bool scans;
	pid_t pid = server_known(inst, &scans);

	if (pid || !scans || instance_monitored(inst))
		return pid;
	return server_scanned(inst);
}

pid_t instance_find_server(const struct instance *inst)
{
	bool scans;
	pid_t pid = server_known(inst, &scans);

	return pid || !scans ? pid : server_scanned(inst);
}

/* What is so, whatever the monitor wrote before it was killed. */
static const char *true_state(const char *written, bool monitored, pid_t server)
{
	if (monitored)
		return *written ? written : "starting";
	if (server)
		return "unmonitored";
	if (is_end(written))
		return written;
	return *written ? "dead" : "stopped";
}

json_t *instance_state(const struct instance *inst)
{
	bool monitored = instance_monitored(inst);
	pid_t server = instance_server(inst);
	char path[PATH_MAX], written[32];
	json_t *state;

	state = json_load_file(instance_file(inst, "state.json", path), 0,
			       NULL);
	if (!json_is_object(state)) {
		json_decref(state);
		state = json_object();
	}
	snprintf(written, sizeof(written), "%s", out_get_text(state, "state"));
	json_object_set_new(
		state, "state",
		json_string(true_state(written, monitored, server)));
	json_object_set_new(state, "monitored", json_boolean(monitored));
	json_object_set_new(state, "server_pid", json_integer(server));
	return state;
}

/* ---- lease ------------------------------------------------------------------- */

int64_t instance_parse_time(const char *text)
{
	struct tm tm = {0};
	const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);

	return end && !*end ? (int64_t)timegm(&tm) : 0;
}

bool instance_leased(const struct instance *inst)
{
	const json_t *lease = json_object_get(inst->record, "lease");

	return instance_parse_time(out_get_text(lease, "until")) >
	       (int64_t)time(NULL);
}

int instance_check_lease(const struct instance *inst)
{
	const json_t *lease = json_object_get(inst->record, "lease");
	const char *until = out_get_text(lease, "until");

	if (!instance_leased(inst))
		return CTL_OK;
	return fail(CTL_CONFLICT,
		    "instance '%s' is held until %s (%s); 'dbs hold %s "
		    "--release' ends that",
		    inst->name, until, out_get_text(lease, "reason"),
		    inst->name);
}

/* ---- ports ------------------------------------------------------------------- */

bool instance_port_used(const char *bind_address, unsigned port)
{
	struct sockaddr_in addr = {.sin_family = AF_INET,
				   .sin_port = htons((uint16_t)port)};
	int fd, one = 1;
	bool used;

	if (inet_pton(AF_INET, bind_address, &addr.sin_addr) != 1)
		addr.sin_addr.s_addr = htonl(INADDR_ANY);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	/* as servers do: connections that have ended do not count */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	used = bind(fd, (struct sockaddr *)&addr, sizeof(addr)) &&
	       errno == EADDRINUSE;
	/* bound by who shares it, but listening: the second listen fails */
	used = used || (listen(fd, 1) && errno == EADDRINUSE);
	close(fd);
	return used;
}

/* The ports of all instances but @inst: port -> name. */
static json_t *ports_taken(const struct instance *inst)
{
	json_t *names = instance_names(), *taken = json_object(), *name;
	char key[16];
	size_t i;

	json_array_foreach(names, i, name)
	{
		char *all = instances_dir(), *path = NULL;
		json_t *record = NULL;

		if (all && strcmp(json_string_value(name), inst->name) &&
		    asprintf(&path, "%s/%s/instance.json", all,
			     json_string_value(name)) >= 0)
			record = json_load_file(path, 0, NULL);
		if (record) {
			snprintf(key, sizeof(key), "%" PRIu64,
				 out_get_int(record, "port"));
			json_object_set(taken, key, name);
			json_decref(record);
			free(path);
		}
		free(all);
	}
	json_decref(names);
	return taken;
}

static const char *port_owner(const json_t *taken, unsigned port)
{
	char key[16];

	snprintf(key, sizeof(key), "%u", port);
	return json_string_value(json_object_get(taken, key));
}

static int port_check(const struct instance *inst, const json_t *taken,
		      unsigned port)
{
	const char *owner = port_owner(taken, port);

	if (owner)
		return fail(CTL_CONFLICT, "port %u is that of instance '%s'",
			    port, owner);
	if (instance_port_used(out_get_text(inst->record, "bind"), port))
		return fail(CTL_CONFLICT,
			    "port %u is in use by something that is no "
			    "instance",
			    port);
	return CTL_OK;
}

/* The configuration's, as it was when the instance was made. */
static void port_range(const struct instance *inst, unsigned *first,
		       unsigned *count)
{
	unsigned a = (unsigned)out_get_int(inst->record, "port_first");
	unsigned b = (unsigned)out_get_int(inst->record, "port_last");

	*first = a ? a : PORT_FIRST;
	*count = a && b >= a ? b - a + 1 : PORT_COUNT;
}

static unsigned port_find(const struct instance *inst, const json_t *taken)
{
	unsigned first = PORT_FIRST, count = PORT_COUNT, start;
	const char *address = out_get_text(inst->record, "bind");

	port_range(inst, &first, &count);
	start = (unsigned)(instance_hash(inst->name) % count);
	for (unsigned i = 0; i < count; i++) {
		unsigned port = first + (start + i) % count;

		if (!port_owner(taken, port) &&
		    !instance_port_used(address, port))
			return port;
	}
	return 0;
}

/* N3.  Held for some milliseconds only: this lock is waited for. */
static int ports_lock(int *fd)
{
	const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	char *all = instances_dir(), *path = NULL;
	int err = -ENOMEM;

	if (all && asprintf(&path, "%s/.ports", all) >= 0)
		for (int tries = 0; tries < 2000; tries++) {
			err = instance_lock_file(path, fd);
			if (err != -EAGAIN)
				break;
			nanosleep(&pause, NULL);
		}
	if (err)
		fail(CTL_FAILED, "'%s': %s", path ? path : ".ports",
		     strerror(-err));
	free(path);
	free(all);
	return err ? CTL_FAILED : CTL_OK;
}

int instance_choose_port(struct instance *inst, unsigned wanted)
{
	json_t *taken;
	unsigned port;
	int lock, code = ports_lock(&lock);

	if (code != CTL_OK)
		return code;
	taken = ports_taken(inst);
	port = wanted ? wanted : port_find(inst, taken);
	if (!port)
		code = fail(CTL_CONFLICT,
			    "no port of the range for instances is free");
	else if (wanted)
		code = port_check(inst, taken, wanted);
	if (code == CTL_OK) {
		json_object_set_new(inst->record, "port", json_integer(port));
		if (wanted)
			json_object_del(inst->record, "port_new");
		else
			json_object_set_new(inst->record, "port_new",
					    json_true());
		code = instance_save(inst);
	}
	json_decref(taken);
	close(lock);
	return code;
}
