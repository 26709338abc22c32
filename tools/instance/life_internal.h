/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life_internal.h - shared by life.c and options.c
 */
#ifndef DBS_TOOLS_INSTANCE_LIFE_INTERNAL_H
#define DBS_TOOLS_INSTANCE_LIFE_INTERNAL_H

#include "tools/instance/datadir.h"
#include "tools/instance/instance.h"

/** All options of the server.  @init: with init.sql */
json_t *life_options(const struct instance *inst, const struct datadir *dir,
		     const struct server_binary *bin, bool init);

#endif
