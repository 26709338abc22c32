/* SPDX-License-Identifier: Apache-2.0 */
/*
 * life.h - starts, stops and restores an instance
 *
 * Below: client.h (the store), datadir.h, identity.h, monitor.h.
 * Above: cmd_instance*.c.
 *
 * The caller holds the instance's lock (INSTANCE_LOCK).
 */
#ifndef DBS_TOOLS_INSTANCE_LIFE_H
#define DBS_TOOLS_INSTANCE_LIFE_H

#include "tools/client.h"
#include "tools/instance/instance.h"
#include "tools/instance/server.h"

#define LIFE_START_MS 120000 /* $DBS_START_TIMEOUT says it in seconds */
#define LIFE_UNDO_MAX 3	     /* replaced states that are kept for longer */
#define LIFE_UNDO_S   86400  /* than this, which all are kept for */

/* How long each part took. */
struct life_times {
	double workers_ms; /* until they had stopped */
	double stop_ms, restore_ms;
	struct server_times server;
};

/**
 * Open the pool that the instance is on (a new one's: the one that the command
 * line means), which must be mounted.
 */
int life_client(const struct invocation *inv, struct instance *inst,
		struct client **client);

/** The dataset @name as 'list' describes it; NULL: there is none. */
int life_dataset(struct client *client, const char *name, json_t **item);
/** The same of the snapshot "DS@SNAP". */
int life_snapshot(struct client *client, const char *name, json_t **item);
/** Is @item, as 'list' has it, the dataset that 'dbs up' made for @inst? */
bool life_is_ours(const struct instance *inst, const json_t *item);
/** Record that it is the instance's; one of the same name may be another. */
void life_know_dataset(struct instance *inst, const json_t *item);
/** The newest snapshot of dataset @ds that is not automatic: "DS@SNAP". */
int life_newest(struct client *client, const char *ds, char **snapshot);
/**
 * Destroy it with its snapshots; of its server nothing is left but what has
 * no time yet to close.  @id: of the dataset that is meant, if it is known: one
 * that has its name by now is left alone; or 0
 */
int life_destroy(struct client *client, const char *name, uint64_t id);

/**
 * Start it on its dataset and wait until a query works; one that runs is only
 * asked.  Gives a state that is new to it the instance's identity.
 * Errors: CTL_TIMEOUT, where life_is_starting() tells whether it goes on
 */
int life_start(struct instance *inst, struct client *client,
	       struct life_times *times);
/**
 * Has life_start() returned @code before the server answered, which it may yet
 * do?  A crash recovery takes as long as it takes, and is not to be killed.
 */
bool life_is_starting(const struct instance *inst, int code);
/**
 * End its server, and its monitor unless @keep_monitor.
 * @kills: without a clean shutdown
 */
int life_stop(struct instance *inst, bool kills, bool keep_monitor);

struct life_restore {
	const char *source; /* "DS@SNAP" */
	bool force, discard;
	bool becomes_origin; /* from now on restore without a name means it */
	bool undoes;	     /* @source is kept for that only, and goes */
	/* out */
	json_t *result; /* of the store */
	struct life_times times;
	bool ran; /* and so it was started again */
};
/**
 * Put its dataset into the state of a snapshot.  Where that fails the server
 * is started on what it had.  Without @force it is refused, and nothing is
 * stopped, while others than its server and workers write files in it.
 */
int life_restore(struct instance *inst, struct client *client,
		 struct life_restore *restore);

/** Check one -o; the message names it.  Errors: CTL_USAGE */
int life_check_option(const struct cmd *cmd, const char *option);
/** Bytes of 'small', 'medium', 'large' or of a size; 0: it is none. */
uint64_t life_memory(const char *text);

#endif
