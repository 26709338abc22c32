/* SPDX-License-Identifier: Apache-2.0 */
/* config_internal.h - what the readers of the configuration's sections share */
#ifndef DBS_TOOLS_CONFIG_INTERNAL_H
#define DBS_TOOLS_CONFIG_INTERNAL_H

#include <stdint.h>

#include "tools/config.h"

struct reader {
	struct config *config;
	struct yaml_error *error;
};

/* What one key of a mapping is for. */
struct key {
	const char *name;
	int (*read)(struct reader *r, const struct yaml_item *item, void *to);
};

#define refuse(r, at, ...)                                                     \
	yaml_refuse((r)->config->file, at, (r)->error, __VA_ARGS__)

/** Each member of the mapping @item by its reader; others are refused. */
int config_read_keys(struct reader *r, const struct yaml_item *item,
		     const char *what, const struct key *keys, size_t nr,
		     void *to);
/** Is it a text that is not empty?  A path from /? */
int config_need_text(struct reader *r, const struct yaml_item *item);
int config_need_path(struct reader *r, const struct yaml_item *item);
/** The whole of @text as a number from @min to @max, or -EINVAL. */
int config_parse_number(const char *text, uint64_t min, uint64_t max,
			uint64_t *n);

/* ---- config_nightly.c ------------------------------------------------------------ */

int config_read_nightly(struct reader *r, const struct yaml_item *item,
			void *to);

#endif
