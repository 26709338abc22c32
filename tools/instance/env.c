/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/instance/env.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cmd.h"
#include "tools/instance/datadir.h"
#include "tools/instance/identity.h"
#include "tools/out.h"

/* The only database, unless one is named: which of several is not guessed. */
static char *env_database(const struct instance *inst, const char *given)
{
	json_t *names;
	char *name;

	if (given)
		return strdup(given);
	names = datadir_databases(out_get_text(inst->record, "datadir"));
	if (json_array_size(names) > 1)
		note("there are %zu databases; --database says which",
		     json_array_size(names));
	name = strdup(json_array_size(names) == 1
			      ? json_string_value(json_array_get(names, 0))
			      : "");
	json_decref(names);
	return name;
}

/* mysql://user:password@host:port/database, each part as RFC 3986 has it. */
static json_t *env_url(const char *host, uint64_t port, const char *password,
		       const char *database)
{
	char *escaped = NULL;
	json_t *url;
	size_t len;
	FILE *f = open_memstream(&escaped, &len);

	for (const char *c = database; f && *c; c++) {
		bool plain = (*c >= 'a' && *c <= 'z') ||
			     (*c >= 'A' && *c <= 'Z') ||
			     (*c >= '0' && *c <= '9') || strchr("-._~", *c);

		fprintf(f, plain ? "%c" : "%%%02X", (unsigned char)*c);
	}
	if (f)
		fclose(f);
	url = json_sprintf("mysql://%s:%s@%s:%" PRIu64 "/%s", INSTANCE_ACCOUNT,
			   password, host, port, escaped ? escaped : "");
	free(escaped);
	return url;
}

json_t *instance_env(const struct instance *inst, const char *given)
{
	const char *host = out_get_text(inst->record, "bind");
	uint64_t port = out_get_int(inst->record, "port");
	char *password = identity_password(inst);
	char *database = password ? env_database(inst, given) : NULL;
	json_t *values = NULL;

	if (database)
		values = json_pack("{s:s, s:o, s:o, s:s, s:s, s:o}", "DB_HOST",
				   host, "DB_PORT",
				   json_sprintf("%" PRIu64, port),
				   "DB_DATABASE", out_text(database),
				   "DB_USERNAME", INSTANCE_ACCOUNT,
				   "DB_PASSWORD", password, "DATABASE_URL",
				   env_url(host, port, password, database));
	free(password);
	free(database);
	return values;
}
