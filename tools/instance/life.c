/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/instance/life.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/config.h"
#include "tools/instance/cgroup.h"
#include "tools/instance/datadir.h"
#include "tools/instance/identity.h"
#include "tools/instance/life_internal.h"
#include "tools/instance/monitor.h"
#include "tools/out.h"
#include "tools/worker/worker.h"

/* ---- stop ------------------------------------------------------------------------- */

/* Until the next command finds no lock of it. */
static void wait_no_monitor(const struct instance *inst)
{
	const struct timespec pause = {.tv_nsec = 2 * 1000 * 1000};

	for (int i = 0; i < 1000 && instance_monitored(inst); i++)
		nanosleep(&pause, NULL);
}

int life_stop_server(struct instance *inst, bool kills, bool keep_monitor,
		     bool failed)
{
	int code;

	if (!monitor_answers(inst) && !instance_server(inst))
		return CTL_OK;
	code = monitor_ensure(inst);
	if (code == CTL_OK)
		code = monitor_call(inst, "stop",
				    json_pack("{s:b}", "kill", kills), NULL);
	if (code != CTL_OK || keep_monitor)
		return code;
	code = monitor_call(inst, "exit", json_pack("{s:b}", "failed", failed),
			    NULL);
	if (code == CTL_OK)
		wait_no_monitor(inst);
	cgroup_remove(inst->name);
	return code;
}

int life_stop(struct instance *inst, bool kills, bool keep_monitor)
{
	/* they would only see it break */
	int code = workers_stop_of(inst->name);

	return code == CTL_OK
		       ? life_stop_server(inst, kills, keep_monitor, false)
		       : code;
}

/* ---- start ------------------------------------------------------------------------ */

#define PORT_TRIES  5	   /* others that are tried where one was lost */
#define START_MAX_S 604800 /* a week */

/* What a start works with. */
struct start {
	struct datadir dir;
	struct server_binary bin;
	char key[64]; /* of the state that the dataset is in */
	bool init;    /* it is new to the instance */
};

/* As it was found the last time, if the program has not changed. */
static bool binary_known(const struct instance *inst, struct server_binary *bin)
{
	const json_t *b = json_object_get(inst->record, "binary");
	const char *path = out_get_text(b, "path");
	const char *wanted = out_get_text(inst->record, "server");
	struct stat st;

	if (stat(path, &st) ||
	    (uint64_t)st.st_mtime != out_get_int(b, "mtime") ||
	    (uint64_t)st.st_size != out_get_int(b, "size") ||
	    strcmp(wanted, out_get_text(b, "wanted")))
		return false;
	*bin = (struct server_binary){
		.script = out_get_bool(b, "script"),
		.mariadb = out_get_bool(b, "mariadb"),
		.version = (unsigned)out_get_int(b, "version"),
	};
	snprintf(bin->path, sizeof(bin->path), "%s", path);
	snprintf(bin->text, sizeof(bin->text), "%s", out_get_text(b, "text"));
	return true;
}

static int start_binary(struct instance *inst, struct server_binary *bin)
{
	const char *wanted = out_get_text(inst->record, "server");
	struct stat st;
	int code;

	if (binary_known(inst, bin))
		return CTL_OK;
	code = server_find(*wanted ? wanted : NULL, bin);
	if (code != CTL_OK)
		return code;
	if (stat(bin->path, &st))
		return fail(CTL_FAILED, "'%s': %m", bin->path);
	json_object_set_new(
		inst->record, "binary",
		json_pack("{s:s, s:s, s:b, s:b, s:i, s:s, s:I, s:I}", "path",
			  bin->path, "wanted", wanted, "script", bin->script,
			  "mariadb", bin->mariadb, "version", (int)bin->version,
			  "text", bin->text, "mtime", (json_int_t)st.st_mtime,
			  "size", (json_int_t)st.st_size));
	return CTL_OK;
}

/* The configuration may say whose data are served at all. */
static int start_user(const struct instance *inst, const struct datadir *dir)
{
	const char *user = out_get_text(inst->record, "user");
	const struct passwd *pw = *user ? getpwnam(user) : NULL;

	if (!*user || (pw && pw->pw_uid == dir->uid))
		return CTL_OK;
	return fail(CTL_NOT_PERMITTED,
		    "data directory '%s' does not belong to '%s', the "
		    "configured user of servers",
		    dir->path, user);
}

/* That nobody else has it open, and that it leads nowhere. */
static int start_check(const struct datadir *dir)
{
	int code = datadir_check_unused(dir);

	return code == CTL_OK ? datadir_check_inside(dir) : code;
}

/*
 * Where the dataset is, what is in it and who serves it.
 * @runs: its server does, and is to be left as it is
 */
static int start_find(struct instance *inst, struct client *client, bool runs,
		      struct start *start)
{
	json_t *item, *record = inst->record;
	int code = life_dataset(client, inst->name, &item);

	if (code == CTL_OK && !item)
		return fail(CTL_NOT_FOUND, "there is no dataset '%s'",
			    inst->name);
	if (code != CTL_OK)
		return code;
	snprintf(start->key, sizeof(start->key), "%" PRIu64 ":%" PRIu64,
		 out_get_int(item, "id"), out_get_int(item, "generation"));
	code = datadir_find(out_get_text(item, "path"), inst->name,
			    &start->dir);
	if (code == CTL_OK && !runs)
		code = start_check(&start->dir);
	life_know_dataset(inst, item);
	json_decref(item);
	if (code == CTL_OK)
		code = start_user(inst, &start->dir);
	if (code == CTL_OK)
		code = start_binary(inst, &start->bin);
	if (code == CTL_OK)
		code = datadir_check_server(&start->dir, &start->bin);
	if (code != CTL_OK)
		return code;
	json_object_set_new(record, "datadir", out_text(start->dir.path));
	json_object_set_new(record, "uid", json_integer(start->dir.uid));
	json_object_set_new(record, "gid", json_integer(start->dir.gid));
	return CTL_OK;
}

static int start_options(struct instance *inst, const struct start *start,
			 bool init)
{
	json_t *options = life_options(inst, &start->dir, &start->bin, init);
	char path[PATH_MAX];
	int code = server_write_options(instance_file(inst, "my.cnf", path),
					options);

	/* a script gets them as arguments, also after a crash */
	if (start->bin.script)
		json_object_set(inst->record, "run_options", options);
	else
		json_object_del(inst->record, "run_options");
	json_decref(options);
	return code;
}

static void start_limits(struct instance *inst)
{
	const char *cpus = out_get_text(inst->record, "cpus");
	char procs[PATH_MAX];

	if (!cgroup_make(inst->name, out_get_int(inst->record, "memory"),
			 *cpus ? strtod(cpus, NULL) : 0, procs))
		note("this host has no cgroup v2 with memory and cpu for "
		     "instance '%s': it runs without limits",
		     inst->name);
	json_object_set_new(inst->record, "cgroup", json_string(procs));
}

/* Nobody knows yet of one that no server has listened on. */
static int start_port(struct instance *inst)
{
	unsigned port = (unsigned)out_get_int(inst->record, "port");

	if (!port)
		return instance_choose_port(inst, 0);
	if (!instance_port_used(out_get_text(inst->record, "bind"), port))
		return CTL_OK;
	if (out_get_bool(inst->record, "port_new"))
		return instance_choose_port(inst, 0);
	return fail(CTL_CONFLICT,
		    "port %u, which is that of instance '%s', is in use by "
		    "something else",
		    port, inst->name);
}

static int start_prepare(struct instance *inst, struct start *start)
{
	char socket[PATH_MAX];
	int code = instance_make_dirs(inst, start->dir.uid, start->dir.gid);

	/* of a server that was killed */
	unlink(instance_socket(inst, socket));
	if (code == CTL_OK)
		code = start_port(inst);
	if (code == CTL_OK)
		code = identity_choose(inst);
	start->init =
		strcmp(start->key, out_get_text(inst->record, "identity")) != 0;
	if (code == CTL_OK && start->init)
		code = identity_prepare(inst, &start->dir, &start->bin);
	if (code == CTL_OK)
		code = start_options(inst, start, start->init);
	if (code != CTL_OK)
		return code;
	start_limits(inst);
	json_object_set_new(inst->record, "wanted", json_string("up"));
	return instance_save(inst);
}

/* The identity is made: what made it must not be there at the next start. */
static int start_finish(struct instance *inst, const struct start *start)
{
	bool was_new = !json_object_del(inst->record, "port_new");
	int code;

	if (!start->init)
		return was_new ? instance_save(inst) : CTL_OK;
	json_object_set_new(inst->record, "identity", json_string(start->key));
	code = start_options(inst, start, false);
	if (code == CTL_OK)
		code = instance_save(inst);
	if (code == CTL_OK)
		identity_done(inst);
	return code;
}

/* So long a start is waited for; it may go on after that. */
static uint64_t start_timeout_ms(void)
{
	const char *text = getenv("DBS_START_TIMEOUT");
	unsigned long s = text ? strtoul(text, NULL, 10) : 0;

	return s && s <= START_MAX_S ? s * UINT64_C(1000) : LIFE_START_MS;
}

static int wait_query(struct instance *inst, pid_t pid,
		      struct life_times *times, bool *ended)
{
	char *password = identity_password(inst), socket[PATH_MAX];
	struct server_access access = {
		.socket = instance_socket(inst, socket),
		.user = INSTANCE_ACCOUNT,
		.password = password,
	};
	int code = CTL_FAILED;

	if (password)
		code = server_wait(&access, pid, start_timeout_ms(),
				   &times->server, ended);
	free(password);
	if (code == CTL_TIMEOUT)
		note("instance '%s' is still starting, and is left to it; "
		     "'dbs up %s' waits for it again",
		     inst->name, inst->name);
	return code;
}

/* It ended at once: say so, show why, and let nobody try again. */
static int fail_start(struct instance *inst, off_t log_size)
{
	char log[PATH_MAX];
	json_t *state = NULL, *last;
	int code = CTL_FAILED;

	/* asked before it is told to stop: how it ended */
	if (monitor_answers(inst))
		monitor_call(inst, "stop", json_pack("{s:b}", "kill", 1),
			     &state);
	if (!state)
		state = instance_state(inst);
	last = json_object_get(state, "last_exit");
	fail(code,
	     "the server of instance '%s' %s at its start; the end of "
	     "its log:",
	     inst->name,
	     json_is_object(last) ? out_get_text(last, "text") : "ended");
	server_show_log(instance_log(inst, log), log_size);
	json_decref(state);
	return code;
}

/*
 * Another took the port between our choice and the server's bind.  Its monitor
 * is not to try that again.
 */
static int other_port(struct instance *inst, const struct start *start)
{
	unsigned lost = (unsigned)out_get_int(inst->record, "port");
	int code =
		monitor_call(inst, "stop", json_pack("{s:b}", "kill", 1), NULL);

	if (code == CTL_OK)
		code = instance_choose_port(inst, 0);
	if (code == CTL_OK)
		code = start_options(inst, start, start->init);
	if (code == CTL_OK)
		code = instance_save(inst);
	if (code == CTL_OK)
		note("port %u was taken by something else meanwhile; instance "
		     "'%s' gets %u",
		     lost, inst->name,
		     (unsigned)out_get_int(inst->record, "port"));
	return code;
}

/* @lost_port: in, can it be another; out, it must */
static int try_server(struct instance *inst, const struct start *start,
		      struct life_times *times, bool *lost_port)
{
	bool ended = false, may_lose = *lost_port;
	char path[PATH_MAX];
	off_t log_size = 0;
	json_t *state = NULL;
	struct stat st;
	pid_t pid;
	int code;

	*lost_port = false;
	if (!stat(instance_log(inst, path), &st))
		log_size = st.st_size;
	code = monitor_call(inst, "start", NULL, &state);
	if (code != CTL_OK)
		return code;
	pid = (pid_t)out_get_int(state, "server_pid");
	json_decref(state);
	if (!pid)
		return fail(CTL_UNREACHABLE,
			    "the data directory '%s' cannot be opened: is its "
			    "mount dead",
			    start->dir.path);
	code = wait_query(inst, pid, times, &ended);
	if (code == CTL_OK || !ended)
		return code;
	*lost_port = may_lose &&
		     server_lost_port(instance_log(inst, path), log_size);
	return *lost_port ? code : fail_start(inst, log_size);
}

static int start_server(struct instance *inst, const struct start *start,
			struct life_times *times)
{
	int code = monitor_ensure(inst);

	for (int tries = 0; code == CTL_OK; tries++) {
		bool lost = tries < PORT_TRIES &&
			    out_get_bool(inst->record, "port_new");

		code = try_server(inst, start, times, &lost);
		if (!lost)
			break;
		code = other_port(inst, start);
	}
	return code;
}

/*
 * What a command that was killed has left undone: the server has answered our
 * account, so it has read init.sql, which is there only until that is recorded.
 * Read again, after a crash, it would lock the accounts that were made since.
 */
static int finish_running(struct instance *inst, struct client *client)
{
	struct start start = {.init = true};
	char path[PATH_MAX];
	int code;

	if (access(instance_file(inst, "init.sql", path), F_OK)) {
		json_object_del(inst->record, "port_new");
		return CTL_OK;
	}
	code = start_find(inst, client, true, &start);
	return code == CTL_OK ? start_finish(inst, &start) : code;
}

/* @ended: out, it has, and is to be started again */
static int ask_running(struct instance *inst, struct client *client, pid_t pid,
		       struct life_times *times, bool *ended)
{
	int code = monitor_ensure(inst);

	*ended = false;
	if (code == CTL_OK)
		code = wait_query(inst, pid, times, ended);
	return code == CTL_OK ? finish_running(inst, client) : code;
}

bool life_is_starting(const struct instance *inst, int code)
{
	return code == CTL_TIMEOUT && instance_server(inst);
}

static int start_instance(struct instance *inst, struct client *client,
			  struct life_times *times)
{
	pid_t running = instance_server(inst);
	struct start start = {.init = false};
	bool ended;
	int code;

	if (running) {
		code = ask_running(inst, client, running, times, &ended);
		if (!ended)
			return code;
	}
	code = start_find(inst, client, false, &start);
	if (code == CTL_OK)
		code = start_prepare(inst, &start);
	if (code == CTL_OK)
		code = start_server(inst, &start, times);
	if (code == CTL_OK)
		return start_finish(inst, &start);
	if (life_is_starting(inst, code))
		return code;
	if (instance_monitored(inst))
		life_stop_server(inst, true, false, true);
	/* the next start writes it anew */
	identity_done(inst);
	return code;
}

int life_start(struct instance *inst, struct client *client,
	       struct life_times *times)
{
	struct config config;
	int code = config_open(&config);

	if (code != CTL_OK)
		return code;
	code = start_instance(inst, client, times);
	if (code == CTL_OK)
		workers_start_of(inst->name, config.workers);
	config_release(&config);
	return code;
}
