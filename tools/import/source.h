/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.h - where a dump comes from, as files one after the other
 *
 * Below: unpack.h, http.h, fork.  Above: import.h.
 * Files: source.c (file, stdin, dump command), source_dir.c (mydumper),
 * http.c (a URL).
 *
 * Invariants:
 *  SO1  a source that broke off is never taken for a whole one: the dump
 *       command's exit status, the checksum and the length say so at its end.
 *  SO2  passwords are in no process's arguments: the dump command reads them in
 *       a file that only we can read.
 */
#ifndef DBS_TOOLS_IMPORT_SOURCE_H
#define DBS_TOOLS_IMPORT_SOURCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SOURCE_TEXT_MAX 512

struct source_options {
	const char *from;
	const char *ca;		   /* of https://; NULL: the system's */
	const char *password_file; /* of mysql://; NULL: $MYSQL_PWD */
	bool (*stops)(void);	   /* asked while nothing comes; NULL: never */
};

/* One file of a source. */
struct source_part {
	char *path; /* NULL: the whole source */
	char *db;   /* current database at its start, NULL: none */
	bool ends_at_line;
	bool placeholder; /* tables that views take the place of later */
	uint64_t size;	  /* packed; 0: not known */
};

struct source;

/**
 * Find out what @options->from is; nothing is read yet but a directory.
 * All functions that return int return CTL_OK, or say what is wrong.
 * Errors: CTL_NOT_FOUND, CTL_NOT_PERMITTED, CTL_USAGE
 */
int source_open(const struct source_options *options, struct source **out);
void source_close(struct source *source);

unsigned source_nr_parts(const struct source *source);
const struct source_part *source_part(const struct source *source, unsigned i);
/** Packed bytes of all parts; 0: not known. */
uint64_t source_size(const struct source *source);
/** Without what is secret in it. */
const char *source_text(const struct source *source);

/** Begin part @i, after source_end() of the one before. */
int source_begin(struct source *source, unsigned i);
/** Its unpacked bytes, a sql_read_fn. */
ssize_t source_read(void *source, void *buf, size_t len);
/** Why source_read() failed, a part of a sentence. */
const char *source_error(const struct source *source);
/**
 * End the part.  @whole: it was read to its end, so SO1 is checked.
 */
int source_end(struct source *source, bool whole);
/** Packed bytes taken so far, of all parts. */
uint64_t source_taken(const struct source *source);
/** The last bytes that were read, for the time in them. */
const char *source_tail(const struct source *source);

#endif
