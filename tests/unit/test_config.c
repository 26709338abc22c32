/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/check.h"
#include "tools/config.h"

#define WORKER                                                                 \
	"workers:\n"                                                           \
	"  q:\n"                                                               \
	"    instance: shop\n"                                                 \
	"    command: [a]\n"                                                   \
	"    user: root\n"                                                     \
	"    directory: /\n"

static char path[64];

static void write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	CHECK(f);
	CHECK(fputs(text, f) >= 0);
	CHECK(!fclose(f));
	CHECK(!chmod(path, 0644));
}

static void good(const char *text, struct config *config)
{
	struct yaml_error error = {""};

	write_file(text);
	CHECK_OK(config_load(path, config, &error));
}

/* @want: what comes after the file's name */
static void bad(const char *text, const char *want)
{
	struct yaml_error error = {""};
	struct config config;

	write_file(text);
	CHECK_INT(config_load(path, &config, &error), -EINVAL);
	CHECK(!strncmp(error.text, path, strlen(path)));
	CHECK_STR(error.text + strlen(path), want);
}

static void config__a_file_that_is_not_there_is_an_empty_one(void **state)
{
	struct yaml_error error = {""};
	struct config config;

	(void)state;
	CHECK_OK(config_load("/no/such/file", &config, &error));
	CHECK(!config.instances.server);
	CHECK_UINT(json_object_size(config.workers), 0);
	config_release(&config);
}

static void config__a_file_of_comments_is_an_empty_one(void **state)
{
	struct config config;

	(void)state;
	good("# instances:\n#   memory: small\n\n", &config);
	CHECK(!config.instances.memory);
	config_release(&config);
	good("", &config);
	config_release(&config);
}

static void config__instances_are_as_written(void **state)
{
	struct config config;

	(void)state;
	good("instances:\n  server: /usr/sbin/mariadbd\n  user: root\n"
	     "  bind: 0.0.0.0\n  ports: 3000-3001\n  memory: 2G\n",
	     &config);
	CHECK_STR(config.instances.server, "/usr/sbin/mariadbd");
	CHECK_STR(config.instances.bind, "0.0.0.0");
	CHECK_STR(config.instances.memory, "2G");
	CHECK_UINT(config.instances.port_first, 3000);
	CHECK_UINT(config.instances.port_last, 3001);
	config_release(&config);
}

static json_int_t number(const json_t *of, const char *key)
{
	return json_integer_value(json_object_get(of, key));
}

static void config__a_worker_has_every_default(void **state)
{
	struct config config;
	const json_t *q;

	(void)state;
	good(WORKER, &config);
	q = json_object_get(config.workers, "q");
	CHECK_INT(number(q, "processes"), 1);
	CHECK_INT(number(q, "stop_signal"), SIGTERM);
	CHECK_INT(number(q, "grace_ms"), 10000);
	CHECK(json_is_true(json_object_get(q, "autorestart")));
	CHECK_UINT(json_object_size(json_object_get(q, "environment")), 0);
	config_release(&config);
	good(WORKER "    grace: 500ms\n    processes: 64\n    stop_signal: "
		    "SIGINT\n    autorestart: no\n",
	     &config);
	q = json_object_get(config.workers, "q");
	CHECK_INT(number(q, "grace_ms"), 500);
	CHECK_INT(number(q, "processes"), 64);
	CHECK_INT(number(q, "stop_signal"), SIGINT);
	CHECK(json_is_false(json_object_get(q, "autorestart")));
	config_release(&config);
}

static void config__what_is_wrong_in_instances_has_its_line(void **state)
{
	(void)state;
	bad("instance: {}\n",
	    ":1: unknown key 'instance' (instances, workers, nightly)");
	bad("- a\n", ":1: 'the file' is a list (a mapping)");
	bad("\ninstances: yes\n", ":2: 'instances' is a text (a mapping)");
	bad("instances:\n  server: bin\n",
	    ":2: 'server' is 'bin' (a path from /)");
	bad("instances:\n\n  user: no-such-user\n",
	    ":3: there is no user 'no-such-user' here");
	bad("instances:\n  bind: localhost\n",
	    ":2: 'bind' is 'localhost' (an IPv4 address)");
	bad("instances:\n  memory: 1M\n",
	    ":2: 'memory' is '1M' (small, medium, large, or a size of at "
	    "least 128M)");
	for (size_t i = 0; i < 6; i++) {
		static const char *const ports[] = {"3000",	  "3001-3000",
						    "1-3000",	  "3000-70000",
						    "3000-3001x", "-3000"};
		char text[80], want[120];

		snprintf(text, sizeof(text), "instances:\n  ports: '%s'\n",
			 ports[i]);
		snprintf(want, sizeof(want),
			 ":2: 'ports' is '%s' (FIRST-LAST, from 1024 to "
			 "65535)",
			 ports[i]);
		bad(text, want);
	}
}

static void config__what_is_wrong_in_workers_has_its_line(void **state)
{
	(void)state;
	bad("workers:\n  q: { instance: shop, command: [a], user: root }\n",
	    ":2: worker 'q' has no 'directory'");
	bad("workers:\n  a/b: {}\n",
	    ":2: a worker cannot be called 'a/b' (letters, digits, '.', '_', "
	    "'-'; at most 48)");
	bad(WORKER "    processes: 0\n", ":7: 'processes' is '0' (1 to 64)");
	bad(WORKER "    processes: 65\n", ":7: 'processes' is '65' (1 to 64)");
	bad(WORKER "    autorestart: maybe\n",
	    ":7: 'autorestart' is 'maybe' (true, false)");
	bad(WORKER "    stop_signal: 9\n",
	    ":7: 'stop_signal' is '9' (TERM, INT, QUIT, HUP, USR1, USR2, "
	    "KILL)");
	bad(WORKER "    grace: 2h\n",
	    ":7: 'grace' is '2h' (as 500ms, 10s, 2m, up to an hour)");
	bad(WORKER "    environment:\n      DBS_WORKER: x\n",
	    ":8: 'DBS_WORKER' cannot be a variable of a worker's");
	bad(WORKER "    environment:\n      'A=B': x\n",
	    ":8: 'A=B' cannot be a variable of a worker's");
	bad("workers:\n  q:\n    command: php artisan\n",
	    ":3: 'command' is a text (a list, as [php, artisan, "
	    "'queue:work'])");
	bad("workers:\n  q:\n    instance: 'a b'\n",
	    ":3: the instance's name 'a b' has a character other than "
	    "letters, digits, '.', '_', '-' and ':'");
	bad("workers:\n  q:\n    port: 1\n",
	    ":3: unknown key 'port' (instance, command, user, directory, "
	    "environment, database, processes, autorestart, stop_signal, "
	    "grace)");
}

#define NIGHTLY	     "nightly:\n  datasets:\n    prod:\n"
#define NIGHTLY_FROM NIGHTLY "      import:\n        from: /d.sql\n"

static void config__a_night_is_as_written(void **state)
{
	const json_t *prod, *import;
	struct config config;

	(void)state;
	good(WORKER, &config);
	CHECK(!config.nightly);
	config_release(&config);
	good(NIGHTLY_FROM "        publish: /dumps\n"
			  "        keep_published: 7\n"
			  "      prune: { keep_last: 3, keep_daily: 0 }\n"
			  "      refresh: [a, b]\n"
			  "    'ci-*': { prune: { keep_last: 1 } }\n"
			  "  expired: yes\n",
	     &config);
	CHECK(json_is_true(json_object_get(config.nightly, "expired")));
	prod = json_array_get(json_object_get(config.nightly, "datasets"), 0);
	CHECK_STR(json_string_value(json_object_get(prod, "name")), "prod");
	import = json_object_get(prod, "import");
	CHECK_STR(json_string_value(json_object_get(import, "from")), "/d.sql");
	CHECK_INT(number(import, "keep_published"), 7);
	CHECK_INT(number(json_object_get(prod, "prune"), "last"), 3);
	CHECK(!json_object_get(json_object_get(prod, "prune"), "daily"));
	CHECK_UINT(json_array_size(json_object_get(prod, "refresh")), 2);
	config_release(&config);
}

static void config__what_is_wrong_in_a_night_has_its_line(void **state)
{
	(void)state;
	bad(NIGHTLY "      import: {}\n", ":4: 'import' has no 'from'");
	bad(NIGHTLY "      import:\n        from: '-'\n",
	    ":5: 'from' is '-' (a path from /, or a URL)");
	bad(NIGHTLY "      import:\n        from: https://a:b@c/d\n",
	    ":5: 'from' has a password in it (mysql:// takes "
	    "'password_file', https:// takes ~/.netrc)");
	bad(NIGHTLY_FROM "        keep_published: 7\n",
	    ":4: 'keep_published' needs 'publish'");
	bad(NIGHTLY_FROM "        keep_published: 0\n",
	    ":6: 'keep_published' is '0' (1 to 100000)");
	bad(NIGHTLY_FROM "        snapshot: x\n",
	    ":6: unknown key 'snapshot' (from, rules, database, server, ca, "
	    "password_file, publish, keep_published)");
	bad(NIGHTLY "      prune: { keep_last: 0 }\n",
	    ":4: 'prune' keeps nothing (as { keep_daily: 7 })");
	bad(NIGHTLY "      prune: { keep_last: x }\n",
	    ":4: 'keep_last' is 'x' (0 to 100000)");
	bad(NIGHTLY "      refresh: staging\n",
	    ":4: 'refresh' is a text (a list of instances)");
	bad(NIGHTLY "      refresh: [a, a]\n",
	    ":4: the instance's name 'a' stands there twice");
	bad(NIGHTLY "      refresh: []\n",
	    ":3: nothing is to be done with 'prod' (import, prune, refresh)");
	bad("nightly:\n  datasets:\n    'ci-*':\n      refresh: [a]\n",
	    ":3: 'ci-*' is a pattern, which takes only 'prune'");
	bad("nightly:\n  datasets:\n    a b: { prune: { keep_last: 1 } }\n",
	    ":3: the dataset's name 'a b' has a character other than "
	    "letters, digits, '.', '_', '-' and ':'");
	bad(NIGHTLY_FROM "        publish: /d\n    emp:\n"
			 "      import: { from: /e.sql, publish: /d }\n",
	    ":7: 'prod' and 'emp' both publish in '/d'");
	bad(NIGHTLY_FROM "        publish: /d/x\n    emp:\n"
			 "      import: { from: /e.sql, publish: //d/x/ }\n",
	    ":7: 'prod' and 'emp' both publish in '//d/x/'");
	bad(NIGHTLY "      import:\n        from: https://a:b/w@c/d\n",
	    ":5: 'from' has a password in it (mysql:// takes "
	    "'password_file', https:// takes ~/.netrc)");
	bad("nightly:\n  expired: maybe\n",
	    ":2: 'expired' is 'maybe' (true, false)");
}

static void config__root_takes_none_that_others_can_write(void **state)
{
	struct yaml_error error = {""};
	struct config config;

	(void)state;
	if (geteuid())
		return;
	write_file(WORKER);
	CHECK(!chmod(path, 0664));
	CHECK_INT(config_load(path, &config, &error), -EINVAL);
	CHECK(strstr(error.text, "others than root can write it"));
	CHECK(!chmod(path, 0644));
	CHECK(!chown(path, 65534, 0));
	CHECK_INT(config_load(path, &config, &error), -EINVAL);
	CHECK(!chown(path, 0, 0));
	CHECK_OK(config_load(path, &config, &error));
	config_release(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			config__a_file_that_is_not_there_is_an_empty_one),
		cmocka_unit_test(config__a_file_of_comments_is_an_empty_one),
		cmocka_unit_test(config__instances_are_as_written),
		cmocka_unit_test(config__a_worker_has_every_default),
		cmocka_unit_test(
			config__what_is_wrong_in_instances_has_its_line),
		cmocka_unit_test(config__what_is_wrong_in_workers_has_its_line),
		cmocka_unit_test(config__a_night_is_as_written),
		cmocka_unit_test(config__what_is_wrong_in_a_night_has_its_line),
		cmocka_unit_test(config__root_takes_none_that_others_can_write),
	};
	int failed;

	snprintf(path, sizeof(path), "/tmp/dbs-config-%d.yaml", (int)getpid());
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
