/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - /etc/dbs/dbs.yaml: what dbs does by itself on this host
 *
 * Below: yaml.h, jansson.  Above: cmd_instance.c, worker/, cmd_workers.c,
 * nightly/.
 * Files: config.c (the file, 'instances', 'workers'), config_nightly.c.
 *
 * One reader a section (config.c's table).
 * docs/man/dbs.yaml.5.scd describes every key.
 *
 * Invariants:
 *  F1  root takes no configuration that others could have written: it names
 *      commands to run.
 *  F2  what is read is complete: each key has its value or its default, and
 *      nobody who uses it checks it again.
 */
#ifndef DBS_TOOLS_CONFIG_H
#define DBS_TOOLS_CONFIG_H

#include <stdbool.h>

#include <jansson.h>

#include "tools/yaml.h"

/* Members of instances: {}; NULL or 0: not said. */
struct config_instances {
	const char *server; /* path of a mysqld */
	const char *user;   /* servers run as this user only */
	const char *bind;   /* IPv4 address */
	const char *memory; /* small, medium, large or a size */
	unsigned port_first, port_last;
};

#define CONFIG_PROCESSES_MAX 64

struct config {
	struct yaml_file *file; /* NULL: there is none */
	struct config_instances instances;
	/*
	 * name -> {name, instance, command: [...], user, directory,
	 * environment: {}, database, processes, autorestart, stop_signal,
	 * grace_ms}
	 */
	json_t *workers;
	/*
	 * NULL: not said.  {datasets: [{name, import?: {from, rules?,
	 * database?, server?, ca?, password_file?, publish?,
	 * keep_published?: N}, prune?: {last?: N, hourly?, daily?, weekly?,
	 * monthly?}, refresh: [instance...]}...], expired: false}
	 */
	json_t *nightly;
};

/** $DBS_CONFIG, or /etc/dbs/dbs.yaml. */
const char *config_path(void);
/**
 * Read @path; one that is not there, or has only comments, says nothing.
 * Errors: -EINVAL, -EACCES ...: @error has "FILE:LINE: what"; nothing is to be
 *         released then
 */
int config_load(const char *path, struct config *config,
		struct yaml_error *error);
/** The same with config_path(), and says what is wrong: returns CTL_CONFIG. */
int config_open(struct config *config);
void config_release(struct config *config);

/**
 * Has it a password in it, "https://user:secret@host"?  A secret may have a '/'
 * in it, and a path an '@' after a port.
 */
bool config_url_has_password(const char *url);

#endif
