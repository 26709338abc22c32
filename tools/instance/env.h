/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env.h - an instance's address and password as variables
 *
 * Below: instance.h, datadir.h, identity.h.  Above: dbs env, worker/.
 */
#ifndef DBS_TOOLS_INSTANCE_ENV_H
#define DBS_TOOLS_INSTANCE_ENV_H

#include "tools/instance/instance.h"

/**
 * {DB_HOST, DB_PORT, DB_DATABASE, DB_USERNAME, DB_PASSWORD, DATABASE_URL}, or
 * NULL, and says why.
 *
 * @database: its name; NULL: the only one that there is, else ""
 */
json_t *instance_env(const struct instance *inst, const char *database);

#endif
