/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cyaml/cyaml.h>

#include "store/store.h"
#include "tests/lib/check.h"
#include "tests/lib/rnd.h"
#include "tools/yaml.h"

/* ---- trees ------------------------------------------------------------------- */

static void tree__has_kinds_keys_and_lines(void **state)
{
	static const char text[] = "# comment\n"
				   "a: 1\n"
				   "b:\n"
				   "  - x\n"
				   "  - { c: 'null', d: null }\n";
	const struct yaml_item *root, *b;
	struct yaml_error error;
	struct yaml_file *file;

	(void)state;
	CHECK_OK(yaml_parse("f", text, strlen(text), &file, &error));
	root = yaml_root(file);
	CHECK_INT(root->kind, YAML_MAP);
	CHECK_STR(yaml_get(root, "a")->text, "1");
	CHECK_UINT(yaml_get(root, "a")->line, 2);
	b = yaml_get(root, "b");
	CHECK_INT(b->kind, YAML_LIST);
	CHECK_UINT(b->line, 3);
	CHECK_UINT(b->nr, 2);
	CHECK_UINT(b->items[1].line, 5);
	CHECK(yaml_get(&b->items[1], "c")->quoted);
	CHECK(!yaml_get(&b->items[1], "d")->quoted);
	CHECK(!yaml_get(root, "c"));
	yaml_close(file);
}

static void refused(const char *text, int err, const char *want)
{
	struct yaml_error error = {""};
	struct yaml_file *file = NULL;

	CHECK_INT(yaml_parse("f.yaml", text, strlen(text), &file, &error), err);
	CHECK(!file);
	CHECK_STR(error.text, want);
}

static void bad(const char *text, const char *want)
{
	refused(text, -EINVAL, want);
}

static void tree__what_is_wrong_is_said_with_its_line(void **state)
{
	(void)state;
	refused("", -ENODATA, "f.yaml:1: the file is empty");
	refused("# only\n", -ENODATA, "f.yaml:2: the file is empty");
	bad("a: 1\n\nb: 2\na: 3\n",
	    "f.yaml:4: 'a' stands there twice (first in line 1)");
	bad("x:\n  a: 1\n  a: 2\n",
	    "f.yaml:3: 'a' stands there twice (first in line 2)");
	bad("a: 1\n---\nb: 2\n", "f.yaml:2: a second document (only one is "
				 "taken)");
	bad("a: &x 1\nb: *x\n",
	    "f.yaml:1: anchors (&), aliases (*) and tags (!) are not taken "
	    "(write it out, or quote the text)");
	bad("a: !!str 1\n",
	    "f.yaml:1: anchors (&), aliases (*) and tags (!) are not taken "
	    "(write it out, or quote the text)");
	bad("a: 1\n[b]: 2\n", "f.yaml:2: a key must be a plain text");
	bad("a:\n\t- 1\n", "f.yaml:2: not YAML: found character that cannot "
			   "start any token");
	bad("a: \"x\nb: 1\n", "f.yaml:3: not YAML: found unexpected end of "
			      "stream");
	bad("a: \"x\\0y\"\n", "f.yaml:1: a text has a NUL in it");
	bad("a: 1\n\xff\xfe\n", "f.yaml:2: not YAML: invalid leading UTF-8 "
				"octet");
}

static void tree__what_is_in_the_file_drives_no_terminal(void **state)
{
	(void)state;
	bad("\"\\e[2J%n%s\": 1\n\"\\e[2J%n%s\": 2\n",
	    "f.yaml:2: '?[2J%n%s' stands there twice (first in line 1)");
}

static void tree__too_deep_is_refused(void **state)
{
	char text[100001];

	(void)state;
	memset(text, '[', 100000);
	text[100000] = '\0';
	bad(text, "f.yaml:1: nested too deep (32 levels)");
}

static void tree__a_file_that_is_not_there_is_said(void **state)
{
	struct yaml_error error;
	struct yaml_file *file;

	(void)state;
	CHECK_INT(yaml_open("/nonexistent/f", &file, &error), -ENOENT);
	CHECK_STR(error.text, "/nonexistent/f: No such file or directory");
	CHECK_INT(yaml_open("/tmp", &file, &error), -EISDIR);
	CHECK_INT(yaml_open("/dev/zero", &file, &error), -EINVAL);
	CHECK_STR(error.text, "/dev/zero: larger than 4 MiB, so hardly a "
			      "configuration");
}

static void tree__random_bytes_do_no_harm(void **state)
{
	static const char alphabet[] = "a: -\n{}[],\"'#&*!|>%\\?\t0\xc3\xa4/$";
	struct rnd rnd = {1};
	char text[64];

	(void)state;
	for (int i = 0; i < 200000; i++) {
		const size_t len = rnd_below(&rnd, sizeof(text));
		struct yaml_error error;
		struct yaml_file *file;

		for (size_t k = 0; k < len; k++)
			text[k] =
				alphabet[rnd_below(&rnd, sizeof(alphabet) - 1)];
		if (!yaml_parse("f", text, len, &file, &error))
			yaml_close(file);
		else
			CHECK(!strncmp(error.text, "f:", 2));
	}
}

/* ---- schemas ------------------------------------------------------------------------ */

enum level { LEVEL_LOW, LEVEL_HIGH };

struct worker {
	char *name;
	uint16_t nr;
	int8_t offset;
	enum level level;
	bool on;
	double share;
};

struct settings {
	char *dir;
	struct worker *workers;
	uint32_t nr_workers;
};

static const cyaml_strval_t levels[] = {{"low", LEVEL_LOW},
					{"high", LEVEL_HIGH}};

static const cyaml_schema_field_t worker_fields[] = {
	CYAML_FIELD_STRING_PTR("name", CYAML_FLAG_POINTER, struct worker, name,
			       1, 8),
	CYAML_FIELD_UINT("nr", CYAML_FLAG_OPTIONAL, struct worker, nr),
	CYAML_FIELD_INT("offset", CYAML_FLAG_OPTIONAL, struct worker, offset),
	CYAML_FIELD_ENUM("level", CYAML_FLAG_OPTIONAL, struct worker, level,
			 levels, ARRAY_SIZE(levels)),
	CYAML_FIELD_BOOL("on", CYAML_FLAG_OPTIONAL, struct worker, on),
	CYAML_FIELD_FLOAT("share", CYAML_FLAG_OPTIONAL, struct worker, share),
	CYAML_FIELD_END};
static const cyaml_schema_value_t worker_schema = {
	CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct worker, worker_fields)};
static const cyaml_schema_field_t settings_fields[] = {
	CYAML_FIELD_STRING_PTR("dir", CYAML_FLAG_POINTER, struct settings, dir,
			       0, CYAML_UNLIMITED),
	CYAML_FIELD_SEQUENCE_COUNT(
		"workers", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
		struct settings, workers, nr_workers, &worker_schema, 1, 2),
	CYAML_FIELD_END};
static const cyaml_schema_value_t settings_schema = {CYAML_VALUE_MAPPING(
	CYAML_FLAG_POINTER, struct settings, settings_fields)};

static char path[] = "/tmp/dbs-yaml.XXXXXX";

static int setup(void **state)
{
	const int fd = mkstemp(path);

	(void)state;
	MUST(fd >= 0);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return 0;
}

static void put(const char *text)
{
	FILE *f = fopen(path, "w");

	MUST(f && fputs(text, f) >= 0 && !fclose(f));
}

static void schema__fills_a_struct(void **state)
{
	struct yaml_error error;
	struct settings *s;
	void *data;

	(void)state;
	put("dir: /srv\nworkers:\n  - { name: a, nr: 65535, offset: -128, "
	    "level: high, on: yes, share: 0.5 }\n  - name: b\n");
	CHECK_OK(yaml_load(path, &settings_schema, &data, &error));
	s = data;
	CHECK_STR(s->dir, "/srv");
	CHECK_UINT(s->nr_workers, 2);
	CHECK_UINT(s->workers[0].nr, 65535);
	CHECK_INT(s->workers[0].offset, -128);
	CHECK_INT(s->workers[0].level, LEVEL_HIGH);
	CHECK(s->workers[0].on && s->workers[0].share == 0.5);
	CHECK_STR(s->workers[1].name, "b");
	CHECK(!s->workers[1].on);
	yaml_schema_free(&settings_schema, data);
	yaml_schema_free(&settings_schema, NULL);
}

static void bad_settings(const char *text, const char *want)
{
	struct yaml_error error;
	void *data = NULL;

	put(text);
	CHECK_INT(yaml_load(path, &settings_schema, &data, &error), -EINVAL);
	CHECK(!data);
	CHECK(!strncmp(error.text, path, strlen(path)));
	CHECK_STR(error.text + strlen(path), want);
}

static void schema__what_is_wrong_is_said_with_its_line(void **state)
{
	(void)state;
	bad_settings("workers:\n- name: x\n", ":1: 'dir' is missing");
	bad_settings("dir: x\n\nbogus: 1\n",
		     ":3: 'bogus' is not known here (dir, workers)");
	bad_settings("dir: [x]\n", ":1: 'dir' is a list (a text or number)");
	bad_settings("dir: x\nworkers: y\n",
		     ":2: 'workers' is a text (a list)");
	bad_settings("dir: x\nworkers: []\n",
		     ":2: 'workers' has 0 entries (at least 1)");
	bad_settings("dir: x\nworkers:\n- name: a\n- name: b\n- name: c\n",
		     ":2: 'workers' has 3 entries (at most 2)");
	bad_settings("dir: x\nworkers:\n- nr: 1\n", ":3: 'name' is missing");
	bad_settings("dir: x\nworkers:\n- name: a\n  nr: 65536\n",
		     ":4: 'nr' is '65536' (a whole number from 0 to 65535)");
	bad_settings("dir: x\nworkers:\n- name: a\n  nr: -1\n",
		     ":4: 'nr' is '-1' (a whole number from 0 to 65535)");
	bad_settings("dir: x\nworkers:\n- name: a\n\n  offset: 128\n",
		     ":5: 'offset' is '128' (a whole number from -128 to 127)");
	bad_settings("dir: x\nworkers:\n- name: a\n  level: mid\n",
		     ":4: 'level' is 'mid' (low, high)");
	bad_settings("dir: x\nworkers:\n- name: a\n  on: maybe\n",
		     ":4: 'on' is 'maybe' (true, false)");
	bad_settings("dir: x\nworkers:\n- name: a\n  share: much\n",
		     ":4: 'share' is 'much' (a number)");
	bad_settings("dir: x\nworkers:\n- name: ninechars\n",
		     ":3: 'name' is too long (at most 8 bytes)");
	bad_settings("dir: x\nworkers:\n- name: ''\n",
		     ":3: 'name' is too short (at least 1 bytes)");
	bad_settings("- x\n", ":1: this is a list (a mapping)");
	bad_settings("dir: x\ndir: y\n",
		     ":2: 'dir' stands there twice (first in line 1)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tree__has_kinds_keys_and_lines),
		cmocka_unit_test(tree__what_is_wrong_is_said_with_its_line),
		cmocka_unit_test(tree__what_is_in_the_file_drives_no_terminal),
		cmocka_unit_test(tree__too_deep_is_refused),
		cmocka_unit_test(tree__a_file_that_is_not_there_is_said),
		cmocka_unit_test(tree__random_bytes_do_no_harm),
		cmocka_unit_test(schema__fills_a_struct),
		cmocka_unit_test(schema__what_is_wrong_is_said_with_its_line),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
