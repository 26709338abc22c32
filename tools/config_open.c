/* SPDX-License-Identifier: Apache-2.0 */
/* config_open.c - the host's configuration, for commands */
#include "tools/cmd.h"
#include "tools/config.h"

int config_open(struct config *config)
{
	struct yaml_error error = {""};

	if (!config_load(config_path(), config, &error))
		return CTL_OK;
	return fail(CTL_CONFIG, "%s", error.text);
}
