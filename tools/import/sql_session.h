/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_session.h - what a dump's SET and USE say about the rest of it
 *
 * Below: sql_lexer.  Above: sql_reader.
 *
 * SQL_MODE and the connection's character set are followed through user
 * variables too, as dumps save and restore them around triggers and views.
 */
#ifndef DBS_TOOLS_IMPORT_SQL_SESSION_H
#define DBS_TOOLS_IMPORT_SQL_SESSION_H

#include "tools/import/sql_lexer.h"

#define SQL_CHARSET_MAX 32u
#define SQL_SAVED_MAX	16u

/* What a variable can hold that matters here. */
struct sql_modes {
	bool no_backslash;
	char charset[SQL_CHARSET_MAX + 1]; /* lower case; "": not known */
};

struct sql_saved {
	char name[SQL_NAME_MAX + 1];
	struct sql_modes modes;
};

struct sql_session {
	struct sql_dialect dialect;
	struct sql_modes modes; /* no_backslash: dialect's too */
	struct sql_saved saved[SQL_SAVED_MAX];
	unsigned nr_saved;
	char db[SQL_NAME_MAX + 1]; /* "": none */
	char db_charset[SQL_CHARSET_MAX + 1];
	/* the last CREATE DATABASE */
	char created[SQL_NAME_MAX + 1];
	char created_charset[SQL_CHARSET_MAX + 1];
};

void sql_session_init(struct sql_session *s);

/** Do the strings of the dump have to be UTF-8? */
bool sql_session_is_utf8(const struct sql_session *s);

/**
 * A statement that begins with SET, at the lexer's start.
 *
 * Errors: -ENOTSUP with @what: from here on the dump cannot be read
 */
int sql_session_set(struct sql_session *s, const char *text, size_t len,
		    const char **what);

/** USE; its name becomes the current database.  -EBADMSG: no such name. */
int sql_session_use(struct sql_session *s, const char *text, size_t len);
/** CREATE DATABASE: its default character set is kept for USE. */
void sql_session_create_database(struct sql_session *s, const char *text,
				 size_t len);
/** Set the current database. */
void sql_session_set_db(struct sql_session *s, const char *db);

/**
 * Take a DELIMITER line at @p.
 *
 * @past: out, past the line's end
 *
 * Returns 1 taken; 0 there is none; -EAGAIN; -EBADMSG it names no delimiter
 */
int sql_session_delimiter(struct sql_session *s, const char *p, const char *end,
			  bool whole, const char **past);

#endif
