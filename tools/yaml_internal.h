/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_internal.h - what yaml.c and yaml_schema.c share
 */
#ifndef DBS_TOOLS_YAML_INTERNAL_H
#define DBS_TOOLS_YAML_INTERNAL_H

#include "tools/yaml.h"

struct yaml_file {
	char *path;
	char *bytes;
	size_t len;
	struct yaml_item root;
};

#endif
