/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/ctl_ops.h"
#include "store/store.h"
#include "tools/config_internal.h"

#define GRACE_DEFAULT_MS 10000
#define GRACE_MAX_MS	 3600000
#define MEMORY_MIN	 (UINT64_C(128) << 20)

/* ---- what values are ----------------------------------------------------------- */

int config_read_keys(struct reader *r, const struct yaml_item *item,
		     const char *what, const struct key *keys, size_t nr,
		     void *to)
{
	char known[256] = "";
	int err = 0;

	if (item->kind != YAML_MAP)
		return refuse(r, item, "'%s' is %s (a mapping)", what,
			      yaml_kind_name(item->kind));
	for (size_t i = 0; i < nr; i++) {
		strncat(known, i ? ", " : "",
			sizeof(known) - strlen(known) - 1);
		strncat(known, keys[i].name, sizeof(known) - strlen(known) - 1);
	}
	for (size_t i = 0; i < item->nr && !err; i++) {
		const struct yaml_item *member = &item->items[i];
		size_t k = 0;

		while (k < nr && strcmp(keys[k].name, member->key))
			k++;
		err = k < nr ? keys[k].read(r, member, to)
			     : refuse(r, member, "unknown key '%s' (%s)",
				      member->key, known);
	}
	return err;
}

int config_need_text(struct reader *r, const struct yaml_item *item)
{
	if (item->kind == YAML_TEXT && *item->text)
		return 0;
	return refuse(r, item, "'%s' is %s (a text)", item->key,
		      item->kind == YAML_TEXT ? "empty"
					      : yaml_kind_name(item->kind));
}

int config_need_path(struct reader *r, const struct yaml_item *item)
{
	int err = config_need_text(r, item);

	if (!err && *item->text != '/')
		err = refuse(r, item, "'%s' is '%s' (a path from /)", item->key,
			     item->text);
	return err;
}

static int need_user(struct reader *r, const struct yaml_item *item)
{
	int err = config_need_text(r, item);

	if (!err && !getpwnam(item->text))
		err = refuse(r, item, "there is no user '%s' here", item->text);
	return err;
}

int config_parse_number(const char *text, uint64_t min, uint64_t max,
			uint64_t *n)
{
	char *end;

	errno = 0;
	*n = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || *n < min || *n > max)
		return -EINVAL;
	return 0;
}

/* "500ms", "10s", "2m" */
static int parse_grace(const char *text, uint64_t *ms)
{
	char digits[16] = "";
	size_t len = strspn(text, "0123456789");
	uint64_t unit = !strcmp(text + len, "ms")  ? 1
			: !strcmp(text + len, "s") ? 1000
			: !strcmp(text + len, "m") ? 60000
						   : 0;

	if (!unit || !len || len >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len);
	if (config_parse_number(digits, 0, GRACE_MAX_MS / unit, ms))
		return -EINVAL;
	*ms *= unit;
	return 0;
}

static int parse_signal(const char *text)
{
	static const struct {
		const char *name;
		int number;
	} signals[] = {{"TERM", SIGTERM}, {"INT", SIGINT},   {"QUIT", SIGQUIT},
		       {"HUP", SIGHUP},	  {"USR1", SIGUSR1}, {"USR2", SIGUSR2},
		       {"KILL", SIGKILL}};

	if (!strncmp(text, "SIG", 3))
		text += 3;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (!strcmp(signals[i].name, text))
			return signals[i].number;
	return 0;
}

/* ---- instances ----------------------------------------------------------------- */

static int read_server(struct reader *r, const struct yaml_item *item, void *to)
{
	((struct config_instances *)to)->server = item->text;
	return config_need_path(r, item);
}

static int read_server_user(struct reader *r, const struct yaml_item *item,
			    void *to)
{
	((struct config_instances *)to)->user = item->text;
	return need_user(r, item);
}

static int read_bind(struct reader *r, const struct yaml_item *item, void *to)
{
	struct in_addr addr;
	int err = config_need_text(r, item);

	if (!err && inet_pton(AF_INET, item->text, &addr) != 1)
		err = refuse(r, item, "'bind' is '%s' (an IPv4 address)",
			     item->text);
	((struct config_instances *)to)->bind = item->text;
	return err;
}

static int read_ports(struct reader *r, const struct yaml_item *item, void *to)
{
	struct config_instances *in = to;
	int err = config_need_text(r, item);
	char first[8] = "", *dash;
	uint64_t a, b;

	if (err)
		return err;
	dash = strchr(item->text, '-');
	if (dash && (size_t)(dash - item->text) < sizeof(first))
		memcpy(first, item->text, (size_t)(dash - item->text));
	if (config_parse_number(first, 1024, 65535, &a) ||
	    config_parse_number(dash + 1, a, 65535, &b))
		return refuse(r, item,
			      "'ports' is '%s' (FIRST-LAST, from 1024 to "
			      "65535)",
			      item->text);
	in->port_first = (unsigned)a;
	in->port_last = (unsigned)b;
	return 0;
}

static int read_memory(struct reader *r, const struct yaml_item *item, void *to)
{
	int err = config_need_text(r, item);
	uint64_t bytes;

	if (!err && strcmp(item->text, "small") &&
	    strcmp(item->text, "medium") && strcmp(item->text, "large") &&
	    (ctl_parse_size(item->text, &bytes) || bytes < MEMORY_MIN))
		err = refuse(r, item,
			     "'memory' is '%s' (small, medium, large, or a "
			     "size of at least 128M)",
			     item->text);
	((struct config_instances *)to)->memory = item->text;
	return err;
}

static int read_instances(struct reader *r, const struct yaml_item *item,
			  void *to)
{
	static const struct key keys[] = {{"server", read_server},
					  {"user", read_server_user},
					  {"bind", read_bind},
					  {"ports", read_ports},
					  {"memory", read_memory}};

	(void)to;
	return config_read_keys(r, item, item->key, keys, ARRAY_SIZE(keys),
				&r->config->instances);
}

/* ---- workers: each is an object of jansson's ------------------------------------- */

static int set_text(json_t *worker, const struct yaml_item *item)
{
	return json_object_set_new(worker, item->key, json_string(item->text))
		       ? -ENOMEM
		       : 0;
}

static int read_instance(struct reader *r, const struct yaml_item *item,
			 void *to)
{
	int err = config_need_text(r, item);
	const char *problem = err ? NULL
			      : strlen(item->text) > DATASET_NAME_MAX
				      ? "is too long"
				      : dataset_name_problem(item->text);

	if (problem)
		err = refuse(r, item, "the instance's name '%s' %s", item->text,
			     problem);
	return err ? err : set_text(to, item);
}

static int read_command(struct reader *r, const struct yaml_item *item,
			void *to)
{
	json_t *command = json_array();
	int err = 0;

	if (item->kind != YAML_LIST || !item->nr)
		err = refuse(r, item,
			     "'command' is %s (a list, as [php, artisan, "
			     "'queue:work'])",
			     item->kind == YAML_LIST
				     ? "empty"
				     : yaml_kind_name(item->kind));
	for (size_t i = 0; !err && i < item->nr; i++) {
		const struct yaml_item *word = &item->items[i];

		if (word->kind != YAML_TEXT)
			err = refuse(r, word, "an argument is %s (a text)",
				     yaml_kind_name(word->kind));
		else if (!i && !*word->text)
			err = refuse(r, word, "the program's name is empty");
		else
			json_array_append_new(command, json_string(word->text));
	}
	json_object_set_new(to, item->key, command);
	return err;
}

static int read_user(struct reader *r, const struct yaml_item *item, void *to)
{
	int err = need_user(r, item);

	return err ? err : set_text(to, item);
}

static int read_directory(struct reader *r, const struct yaml_item *item,
			  void *to)
{
	int err = config_need_path(r, item);

	return err ? err : set_text(to, item);
}

static int read_database(struct reader *r, const struct yaml_item *item,
			 void *to)
{
	int err = config_need_text(r, item);

	return err ? err : set_text(to, item);
}

static int read_environment(struct reader *r, const struct yaml_item *item,
			    void *to)
{
	json_t *all = json_object();
	int err = 0;

	if (item->kind != YAML_MAP)
		err = refuse(r, item, "'environment' is %s (a mapping)",
			     yaml_kind_name(item->kind));
	for (size_t i = 0; !err && i < item->nr; i++) {
		const struct yaml_item *one = &item->items[i];

		if (one->kind != YAML_TEXT)
			err = refuse(r, one, "'%s' is %s (a text)", one->key,
				     yaml_kind_name(one->kind));
		else if (!*one->key || strchr(one->key, '=') ||
			 !strncmp(one->key, "DBS_WORKER", 10))
			err = refuse(r, one,
				     "'%s' cannot be a variable of a worker's",
				     one->key);
		else
			json_object_set_new(all, one->key,
					    json_string(one->text));
	}
	json_object_set_new(to, item->key, all);
	return err;
}

static int read_processes(struct reader *r, const struct yaml_item *item,
			  void *to)
{
	int err = config_need_text(r, item);
	uint64_t n;

	if (err)
		return err;
	if (config_parse_number(item->text, 1, CONFIG_PROCESSES_MAX, &n))
		return refuse(r, item, "'processes' is '%s' (1 to %d)",
			      item->text, CONFIG_PROCESSES_MAX);
	json_object_set_new(to, item->key, json_integer((json_int_t)n));
	return 0;
}

static int read_autorestart(struct reader *r, const struct yaml_item *item,
			    void *to)
{
	bool value;

	if (item->kind != YAML_TEXT || yaml_bool(item, &value))
		return refuse(r, item, "'autorestart' is '%s' (true, false)",
			      item->kind == YAML_TEXT
				      ? item->text
				      : yaml_kind_name(item->kind));
	json_object_set_new(to, item->key, json_boolean(value));
	return 0;
}

static int read_stop_signal(struct reader *r, const struct yaml_item *item,
			    void *to)
{
	int err = config_need_text(r, item), number;

	if (err)
		return err;
	number = parse_signal(item->text);
	if (!number)
		return refuse(r, item,
			      "'stop_signal' is '%s' (TERM, INT, QUIT, HUP, "
			      "USR1, USR2, KILL)",
			      item->text);
	json_object_set_new(to, item->key, json_integer(number));
	return 0;
}

static int read_grace(struct reader *r, const struct yaml_item *item, void *to)
{
	int err = config_need_text(r, item);
	uint64_t ms;

	if (err)
		return err;
	if (parse_grace(item->text, &ms))
		return refuse(r, item,
			      "'grace' is '%s' (as 500ms, 10s, 2m, up "
			      "to an hour)",
			      item->text);
	json_object_set_new(to, "grace_ms", json_integer((json_int_t)ms));
	return 0;
}

static const struct key worker_keys[] = {
	{"instance", read_instance},
	{"command", read_command},
	{"user", read_user},
	{"directory", read_directory},
	{"environment", read_environment},
	{"database", read_database},
	{"processes", read_processes},
	{"autorestart", read_autorestart},
	{"stop_signal", read_stop_signal},
	{"grace", read_grace},
};

/* A name is a folder's and stands in 'dbs logs worker/NAME'. */
static int check_name(struct reader *r, const struct yaml_item *item)
{
	const char *key = item->key;

	if (*key && strlen(key) <= 48 && *key != '.' && *key != '-' &&
	    strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			"0123456789._-") == strlen(key))
		return 0;
	return refuse(r, item,
		      "a worker cannot be called '%s' (letters, digits, '.', "
		      "'_', '-'; at most 48)",
		      key);
}

static int read_worker(struct reader *r, const struct yaml_item *item)
{
	static const char *const needed[] = {"instance", "command", "user",
					     "directory"};
	json_t *worker =
		json_pack("{s:s, s:{}, s:i, s:b, s:i, s:i}", "name", item->key,
			  "environment", "processes", 1, "autorestart", 1,
			  "stop_signal", SIGTERM, "grace_ms", GRACE_DEFAULT_MS);
	int err = worker ? check_name(r, item) : -ENOMEM;

	json_object_set_new(r->config->workers, item->key, worker);
	if (!err)
		err = config_read_keys(r, item, item->key, worker_keys,
				       ARRAY_SIZE(worker_keys), worker);
	for (size_t i = 0; !err && i < ARRAY_SIZE(needed); i++)
		if (!json_object_get(worker, needed[i]))
			err = refuse(r, item, "worker '%s' has no '%s'",
				     item->key, needed[i]);
	return err;
}

static int read_workers(struct reader *r, const struct yaml_item *item,
			void *to)
{
	int err = 0;

	(void)to;
	if (item->kind != YAML_MAP)
		return refuse(r, item, "'workers' is %s (a mapping)",
			      yaml_kind_name(item->kind));
	for (size_t i = 0; i < item->nr && !err; i++)
		err = read_worker(r, &item->items[i]);
	return err;
}

/* ---- the file ---------------------------------------------------------------------- */

static const struct key sections[] = {
	{"instances", read_instances},
	{"workers", read_workers},
	{"nightly", config_read_nightly},
};

const char *config_path(void)
{
	static char of_dir[PATH_MAX];
	const char *path = getenv("DBS_CONFIG");
	const char *dir = getenv("DBS_CONFIG_DIR");

	if (path && *path)
		return path;
	snprintf(of_dir, sizeof(of_dir), "%s/dbs.yaml",
		 dir ? dir : DBS_CONFIG_DIR);
	return of_dir;
}

/* F1 */
static int check_owner(const char *path, struct yaml_error *error)
{
	struct stat st;

	if (geteuid() || stat(path, &st))
		return 0;
	if (!st.st_uid && !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return 0;
	snprintf(error->text, sizeof(error->text),
		 "%s:1: others than root can write it ('chown root' and "
		 "'chmod go-w' it)",
		 path);
	return -EINVAL;
}

int config_load(const char *path, struct config *config,
		struct yaml_error *error)
{
	struct reader r = {.config = config, .error = error};
	int err;

	*config = (struct config){.workers = json_object()};
	if (access(path, F_OK) && errno == ENOENT)
		return 0;
	err = check_owner(path, error);
	if (!err)
		err = yaml_open(path, &config->file, error);
	/* all of it commented out: as if it were not there */
	if (err == -ENODATA)
		return 0;
	if (!err)
		err = config_read_keys(&r, yaml_root(config->file), "the file",
				       sections, ARRAY_SIZE(sections), NULL);
	if (err)
		config_release(config);
	return err;
}

void config_release(struct config *config)
{
	json_decref(config->workers);
	json_decref(config->nightly);
	yaml_close(config->file);
	*config = (struct config){.file = NULL};
}
