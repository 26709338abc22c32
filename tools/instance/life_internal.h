/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life_internal.h - shared by the life*.c and options.c
 */
#ifndef DBS_TOOLS_INSTANCE_LIFE_INTERNAL_H
#define DBS_TOOLS_INSTANCE_LIFE_INTERNAL_H

#include "tools/instance/datadir.h"
#include "tools/instance/instance.h"

/** All options of the server.  @init: with init.sql */
json_t *life_options(const struct instance *inst, const struct datadir *dir,
		     const struct server_binary *bin, bool init);

/**
 * End its server, and its monitor unless @keep_monitor; its workers have been
 * stopped.  @failed: that is what its state is to say
 */
int life_stop_server(struct instance *inst, bool kills, bool keep_monitor,
		     bool failed);

#endif
