/* SPDX-License-Identifier: Apache-2.0 */
/* source_internal.h - what source.c, source_dir.c and source_command.c share */
#ifndef DBS_TOOLS_IMPORT_SOURCE_INTERNAL_H
#define DBS_TOOLS_IMPORT_SOURCE_INTERNAL_H

#include "tools/import/http.h"
#include "tools/import/source.h"
#include "tools/import/unpack.h"

#define TAIL_BYTES 256u

enum source_kind {
	SOURCE_FILE,
	SOURCE_STDIN,
	SOURCE_DIR,
	SOURCE_URL,
	SOURCE_SERVER,
};

/* The account and place in mysql://user@host:port/db. */
struct source_server {
	char user[128], host[256], db[128];
	unsigned port;
};

struct source {
	struct source_options options;
	enum source_kind kind;
	char text[SOURCE_TEXT_MAX];
	char what[SOURCE_TEXT_MAX + 16]; /* the part that is read */
	struct source_part *parts;
	unsigned nr_parts;
	uint64_t size;
	/* of the part that is read */
	struct unpack *unpack;
	struct http *http;
	char expected[UNPACK_SHA256]; /* of URL.sha256; "": there is none */
	struct source_server server;
	pid_t child;
	int child_errors;  /* fd */
	int child_options; /* fd of its option file, with the password */
	uint64_t taken;	   /* of the parts before */
	bool at_end;	   /* all of the part was read */
	char tail[TAIL_BYTES + 1];
};

/** The files of a mydumper directory in the order they are to be read in. */
int source_dir_list(struct source *source);
/** Read mysql://... into @server. */
int source_server_parse(const char *text, struct source_server *server);
/** Get the password and write the command's option file. */
int source_server_prepare(struct source *source);
/** Start the dump command; @fd: out, what it writes. */
int source_server_start(struct source *source, int *fd);
/** Wait for it; a failure is told if @whole. */
int source_server_end(struct source *source, bool whole);

#endif
