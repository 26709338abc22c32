/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/cmd.h"

/*
 * The order is that of 'dbs help'.  A text is written for 80 columns and
 * says what the one line and the options leave open; the man pages say more.
 */
/* clang-format off */
const struct shared_option shared_options[] = {
	{ CMD_DESTROYS, { "dry-run", 'n', NULL, KIND_NONE,
	  "only show what would be destroyed or changed" } },
	{ CMD_DESTROYS, { "yes", 'y', NULL, KIND_NONE,
	  "do not ask; needed where nobody can be asked" } },
	{ CMD_POOL, { "pool", 'p', "POOL", KIND_FILE,
	  "its file or device, its mountpoint, or a mounted pool's name" } },
	{ CMD_POOL, { "socket", 'S', "SOCKET", KIND_FILE,
	  "control socket of the daemon that has it" } },
	{ CMD_JSON, { "json", 'j', NULL, KIND_NONE,
	  "print one JSON object" } },
	{ 0, { "verbose", 'v', NULL, KIND_NONE,
	  "say more on stderr" } },
	{ 0, { "help", 'h', NULL, KIND_NONE,
	  "show this help" } },
};
const size_t nr_shared_options = ARRAY_SIZE(shared_options);

const struct cmd cmd_table[] = {
	/* ---- pools ---- */
	{
		.name = "pool create", .group = "dbs-pool",
		.flags = CMD_JSON | CMD_DESTROYS,
		.operands = { { "PATH", KIND_FILE, false, false } },
		.options = {
			{ "size", 's', "SIZE", KIND_NONE,
			  "size of the pool; needed for a file" },
			{ "sparse", 0, NULL, KIND_NONE,
			  "do not allocate the file's space now" },
			{ "name", 0, "NAME", KIND_NONE,
			  "the pool's name (default: 'pool')" },
			{ "force", 'f', NULL, KIND_NONE,
			  "overwrite a file, or a device that holds something" },
		},
		.help = "make a pool in a new file or on a block device",
		.text =
"SIZE takes a unit: 512M, 20G, 1.5T (powers of 1,024); at least 64M.  A device\n"
"is used whole when no size is given.  A file's space is allocated at once;\n"
"with --sparse the host's disk can fill up under a pool that has room left.\n"
"--force destroys what PATH holds, and asks before it does.\n",
		.run = run_pool_create,
	},
	{
		.name = "pool info", .group = "dbs-pool",
		.flags = CMD_POOL | CMD_JSON | CMD_READS,
		.operands = { { "POOL", KIND_FILE, true, false } },
		.help = "show a pool's size, space, state and features",
		.run = run_pool_info,
	},
	{
		.name = "pool grow", .group = "dbs-pool",
		.flags = CMD_POOL | CMD_JSON,
		.operands = { { "POOL", KIND_FILE, true, false } },
		.options = {
			{ "size", 's', "SIZE", KIND_NONE,
			  "new size (default: all of the device)" },
		},
		.help = "let a pool use more of its file or device",
		.text =
"A pool is never made smaller.  A file is extended to SIZE; a device must have\n"
"been enlarged before.  The pool may be mounted.\n",
		.run = run_pool_grow,
	},
	{
		.name = "pool list", .group = "dbs-pool",
		.flags = CMD_JSON | CMD_READS,
		.operands = { { "PATH", KIND_FILE, true, true } },
		.help = "list the mounted pools, and those at PATH and in $DBS_POOL",
		.run = run_pool_list,
	},
	{
		.name = "pool check", .group = "dbs-pool",
		.flags = CMD_POOL | CMD_JSON,
		.operands = { { "POOL", KIND_FILE, true, false } },
		.options = {
			{ "data", 'd', NULL, KIND_NONE,
			  "also read every record and verify its checksum" },
			{ "repair", 'r', NULL, KIND_NONE,
			  "rebuild the space map if it is wrong (asks)" },
			{ "discard-log", 0, NULL, KIND_NONE,
			  "with --repair: give up what a damaged log lost" },
			{ "dry-run", 'n', NULL, KIND_NONE,
			  "with --repair: only show what would be changed" },
			{ "yes", 'y', NULL, KIND_NONE,
			  "with --repair: do not ask" },
		},
		.help = "check a pool that is not mounted",
		.text =
"Walks every tree and recomputes every reference count.  Exit code 0 means\n"
"clean, 1 that something was found; each finding is a line.  Changes nothing\n"
"without --repair, which refuses where trees are damaged: what their lost\n"
"parts use can only be guessed.  --discard-log is for a pool that can only be\n"
"read because its intent log is damaged: it replays what is whole, and what was\n"
"acknowledged after that is lost.\n",
		.run = run_pool_check,
	},
	{
		.name = "pool scrub", .group = "dbs-pool",
		.flags = CMD_POOL | CMD_JSON,
		.operands = { { "POOL", KIND_FILE, true, false } },
		.options = {
			{ "wait", 'w', NULL, KIND_NONE,
			  "show how it goes, and end with it" },
			{ "status", 's', NULL, KIND_NONE,
			  "only show how far it is and what it found" },
			{ "pause", 0, NULL, KIND_NONE,
			  "let it rest; the next scrub goes on from there" },
			{ "stop", 0, NULL, KIND_NONE,
			  "give it up" },
			{ "rate", 0, "RATE", KIND_NONE,
			  "MB a second, or with a unit; 'none' (default: 100)" },
		},
		.help = "read everything in a pool that is in use, and verify it",
		.text =
"Runs in the background of a mounted pool; a pool that is not mounted is read\n"
"in the foreground, without a limit.  Goes on where it was after --pause, an\n"
"unmount or a crash.  With --wait and --status the exit code is 1 if it found\n"
"damage.\n",
		.run = run_pool_scrub,
	},

	/* ---- mounts ---- */
	{
		.name = "mount", .group = "dbs-mount",
		.flags = CMD_JSON,
		.operands = { { "POOL", KIND_FILE, false, false },
			      { "DIR", KIND_DIR, false, false } },
		.options = {
			{ "foreground", 'f', NULL, KIND_NONE,
			  "stay in the foreground and log to stderr" },
			{ "options", 'o', "OPTION[,OPTION...]", KIND_NONE,
			  "options for dbsfs(8)" },
			{ "socket", 'S', "SOCKET", KIND_FILE,
			  "where the daemon's control socket is made" },
		},
		.help = "mount a pool on an empty directory",
		.text =
"Starts dbsfs(8) and returns when the mount works.  Each dataset is a directory\n"
"of the mount.  A mount whose daemon has died is replaced.\n",
		.run = run_mount,
	},
	{
		.name = "umount", .group = "dbs-mount",
		.flags = CMD_JSON,
		.operands = { { "DIR", KIND_MOUNT, false, false } },
		.options = {
			{ "lazy", 'l', NULL, KIND_NONE,
			  "detach now, end when nothing uses it any more" },
			{ "timeout", 't', "SECONDS", KIND_NONE,
			  "how long to wait for the daemon (default: 60)" },
		},
		.help = "unmount a pool and wait until its daemon has let go of it",
		.text =
"Where something still uses the mount the command fails with exit code 4 and\n"
"names the processes.\n",
		.run = run_umount,
	},
	{
		.name = "sync", .group = "dbs-mount",
		.flags = CMD_POOL | CMD_JSON,
		.help = "make everything written so far durable",
		.text =
"sync(1) and syncfs(2) never reach a FUSE file system; this does.\n",
		.run = run_sync,
	},

	/* ---- datasets ---- */
	{
		.name = "create", .group = "dbs-dataset",
		.flags = CMD_POOL | CMD_JSON,
		.operands = { { "NAME", KIND_NONE, false, false } },
		.options = {
			{ "options", 'o', "PROPERTY=VALUE[,...]", KIND_ASSIGNMENT,
			  "properties of the dataset" },
		},
		.help = "make an empty dataset",
		.text =
"Properties: recordsize (4K to 128K, default 16K), compression (off, zstd or\n"
"zstd:LEVEL), quota (a size, or none), readonly (on, off).\n",
		.run = run_create,
	},
	{
		.name = "list", .group = "dbs-dataset",
		.flags = CMD_POOL | CMD_JSON | CMD_READS,
		.operands = { { "PATTERN", KIND_EITHER, true, false } },
		.options = {
			{ "type", 't', "TYPE[,TYPE]", KIND_TYPE,
			  "dataset, snapshot or all (default: dataset)" },
			{ "unique", 'u', NULL, KIND_NONE,
			  "also show what destroying each would free (reads trees)" },
			{ "quiet", 'q', NULL, KIND_NONE,
			  "only names, one a line" },
		},
		.help = "list datasets and snapshots",
		.text =
"PATTERN is that of glob(7), 'ci-*'; with an '@' it is one of snapshots,\n"
"'prod@*'.\n",
		.run = run_list,
	},
	{
		.name = "rm", .group = "dbs-dataset",
		.flags = CMD_POOL | CMD_JSON | CMD_DESTROYS,
		.operands = { { "NAME|PATTERN", KIND_EITHER, false, true } },
		.options = {
			{ "recursive", 'r', NULL, KIND_NONE,
			  "with the datasets' snapshots" },
			{ "force", 'f', NULL, KIND_NONE,
			  "even while files are open in them" },
		},
		.help = "destroy datasets and snapshots",
		.text =
"Shows what would go and how many bytes come back, and asks.  Clones of what\n"
"is destroyed keep what they share with it.  The space comes back in the\n"
"background.\n",
		.run = run_rm,
	},
	{
		.name = "mv", .group = "dbs-dataset",
		.flags = CMD_POOL | CMD_JSON,
		.operands = { { "OLD", KIND_EITHER, false, false },
			      { "NEW", KIND_NONE, false, false } },
		.help = "rename a dataset or a snapshot",
		.text =
"A snapshot stays in its dataset: dbs mv prod@monday prod@tuesday, or @tuesday.\n",
		.run = run_mv,
	},
	{
		.name = "df", .group = "dbs-dataset",
		.flags = CMD_POOL | CMD_JSON | CMD_READS,
		.operands = { { "PATTERN", KIND_DATASET, true, false } },
		.options = {
			{ "unique", 'u', NULL, KIND_NONE,
			  "also show what destroying each would free (reads trees)" },
		},
		.help = "show the space of the pool and of its datasets",
		.run = run_df,
	},
	{
		.name = "set", .group = "dbs-dataset",
		.flags = CMD_POOL | CMD_JSON,
		.operands = { { "NAME", KIND_EITHER, false, false },
			      { "PROPERTY=VALUE", KIND_ASSIGNMENT, false, true } },
		.help = "set properties",
		.text =
"Properties: recordsize (for new files), compression, quota, readonly, and\n"
"your own as user:KEY; user:KEY= without a value unsets it.\n",
		.run = run_set,
	},
	{
		.name = "get", .group = "dbs-dataset",
		.flags = CMD_POOL | CMD_JSON | CMD_READS,
		.operands = { { "NAME", KIND_EITHER, false, false },
			      { "PROPERTY", KIND_PROPERTY, true, false } },
		.help = "show properties; of one only its value",
		.run = run_get,
	},

	/* ---- snapshots ---- */
	{
		.name = "snapshot", .group = "dbs-snapshot",
		.flags = CMD_POOL | CMD_JSON,
		.operands = { { "DS[@NAME]", KIND_DATASET, false, true } },
		.options = {
			{ "quiesce", 'q', NULL, KIND_NONE,
			  "hold the instances' servers still for the moment" },
		},
		.help = "freeze datasets as they are now",
		.text =
"Without @NAME the snapshot is called by the time, as 2026-11-22T12:00:00Z.\n"
"Several datasets are frozen at one moment and need one NAME.\n"
"\n"
"What is frozen of a server that runs is what a crash would leave.  With\n"
"--quiesce nothing commits meanwhile, and GTID and position in the binary log\n"
"are kept as properties of the snapshot (user:dbs.gtid, user:dbs.binlog).\n",
		.run = run_snapshot,
	},
	{
		.name = "clone", .group = "dbs-snapshot",
		.flags = CMD_POOL | CMD_JSON,
		.operands = { { "DS[@SNAP]", KIND_EITHER, false, false },
			      { "NAME", KIND_NONE, false, false } },
		.help = "make a dataset that starts from a snapshot or a live dataset",
		.text =
"Costs a few blocks whatever the size.  DS@latest is the newest snapshot.\n",
		.run = run_clone,
	},
	{
		.name = "restore", .group = "dbs-snapshot",
		.flags = CMD_POOL | CMD_JSON | CMD_DESTROYS,
		.operands = { { "DS[@SNAP]", KIND_EITHER, false, false },
			      { "@SNAP", KIND_NONE, true, false } },
		.options = {
			{ "to", 0, "DATASET", KIND_DATASET,
			  "put this dataset into SNAP's state instead of DS" },
			{ "force", 'f', NULL, KIND_NONE,
			  "even while files are open for writing" },
			{ "discard", 0, NULL, KIND_NONE,
			  "do not keep what is replaced (asks)" },
			{ "undo", 0, NULL, KIND_NONE,
			  "an instance: bring back what the last restore replaced" },
		},
		.help = "put a dataset or an instance back to a snapshot's state",
		.text =
"What is replaced is kept as the snapshot DS@before-restore-TIME, unless\n"
"--discard is given.  Files that were open give ESTALE afterwards.\n"
"\n"
"Where DS has an instance (see 'dbs up'), its server is ended and started again\n"
"around it with the same port, socket and password, and the command asks first.\n"
"Without a SNAP an instance goes back to what it was made from.\n",
		.run = run_restore,
	},
	{
		.name = "diff", .group = "dbs-snapshot",
		.flags = CMD_POOL | CMD_JSON | CMD_READS,
		.operands = { { "A", KIND_EITHER, false, false },
			      { "B", KIND_EITHER, true, false } },
		.options = {
			{ "limit", 0, "N", KIND_NONE,
			  "show at most N files (default: 10000)" },
		},
		.help = "show which files differ, and how many bytes of them",
		.text =
"A and B are datasets or snapshots; without B it is the live dataset of\n"
"snapshot A.  '+' is added, '-' removed, 'M' modified, 'R' renamed.\n",
		.run = run_diff,
	},

	/* ---- import ---- */
	{
		.name = "import", .group = "dbs-import",
		.flags = CMD_POOL | CMD_JSON,
		.operands = { { "DATASET", KIND_DATASET, false, false } },
		.options = {
			{ "from", 'f', "SOURCE", KIND_FILE,
			  "file, mydumper directory, https:// or mysql://; "
			  "'-' is stdin" },
			{ "rules", 'r', "FILE", KIND_FILE,
			  "what is masked and left out; none: nothing is" },
			{ "snapshot", 's', "NAME", KIND_NONE,
			  "name of the snapshot; the time by default" },
			{ "publish", 0, "DIR", KIND_DIR,
			  "write the anonymised dump there too" },
			{ "database", 'd', "NAME", KIND_NONE,
			  "where a dump does not say; the dataset's name by "
			  "default" },
			{ "server", 0, "PATH", KIND_FILE,
			  "mariadbd or mysqld that loads it" },
			{ "ca", 0, "FILE", KIND_FILE,
			  "certificates that https:// is verified by" },
			{ "password-file", 0, "FILE", KIND_FILE,
			  "password for mysql://, else $MYSQL_PWD" },
		},
		.help = "make a snapshot of a dump, anonymised on its way",
		.text =
"Loads the dump into a private server on a new dataset, looks for originals of\n"
"masked values in its files, and then switches DATASET to it and freezes that.\n"
"If anything fails DATASET and its snapshots are as they were.\n",
		.run = run_import,
	},

	{
		.name = "nightly", .group = "dbs-nightly",
		.flags = CMD_POOL | CMD_JSON,
		.options = {
			{ "config", 'c', "FILE", KIND_FILE,
			  "instead of /etc/dbs/dbs.yaml" },
			{ "dry-run", 'n', NULL, KIND_NONE,
			  "only show the steps" },
		},
		.help = "import, prune, publish and refresh as dbs.yaml says",
		.text =
"One step after the other; after an import that failed nothing else is done with\n"
"its dataset, and what the night before left stays.  The exit code is that of\n"
"the first step that failed.  /var/lib/dbs/nightly.json says how it went.\n",
		.run = run_nightly,
	},

	/* ---- rules ---- */
	{
		.name = "rules check", .group = "dbs-rules",
		.flags = CMD_JSON | CMD_READS,
		.operands = { { "FILE", KIND_FILE, false, false } },
		.options = {
			{ "against", 'a', "DUMP", KIND_FILE,
			  "also against the tables of a dump; '-' is stdin" },
		},
		.help = "check a file of rules for imports",
		.text =
"Says what is wrong by file and line; the exit code is 78 then.  With --against\n"
"also which columns of the dump look personal and have no rule, with rules that\n"
"can be pasted; if the file is strict, the exit code is 1 then.\n",
		.run = run_rules_check,
	},

	{
		.name = "prune", .group = "dbs-snapshot",
		.flags = CMD_POOL | CMD_JSON | CMD_DESTROYS,
		.operands = { { "DATASET|PATTERN", KIND_DATASET, true, true } },
		.options = {
			{ "keep-last", 0, "N", KIND_NONE,
			  "keep the newest N snapshots of each dataset" },
			{ "keep-hourly", 0, "N", KIND_NONE,
			  "and the newest one of each of N hours" },
			{ "keep-daily", 0, "N", KIND_NONE,
			  "and of N days" },
			{ "keep-weekly", 0, "N", KIND_NONE,
			  "and of N weeks" },
			{ "keep-monthly", 0, "N", KIND_NONE,
			  "and of N months" },
			{ "except", 0, "DATASET", KIND_DATASET,
			  "leave this one alone; may be given more than once" },
			{ "expired", 0, NULL, KIND_NONE,
			  "also destroy instances whose time is over" },
		},
		.help = "destroy snapshots that no rule keeps",
		.text =
"--dry-run says why each is kept or goes.  What an instance goes back to stays,\n"
"and for a day what a restore replaced.\n",
		.run = run_prune,
	},

	/* ---- instances ---- */
	{
		.name = "up", .group = "dbs-instance",
		.flags = CMD_POOL | CMD_JSON | CMD_DESTROYS,
		.operands = { { "NAME", KIND_INSTANCE, true, false } },
		.options = {
			{ "from", 0, "DS[@SNAP]", KIND_EITHER,
			  "clone dataset NAME from this, if it is not there" },
			{ "port", 0, "N", KIND_NONE,
			  "its port from now on (default: a free one)" },
			{ "ttl", 0, "DURATION", KIND_NONE,
			  "stop it after 90s, 30m, 8h, 2d or 1w; or 'none'" },
			{ "server", 0, "PATH", KIND_FILE,
			  "the mariadbd or mysqld to run" },
			{ "option", 'o', "NAME=VALUE", KIND_NONE,
			  "an option of the server" },
			{ "memory", 'm', "CLASS|SIZE", KIND_NONE,
			  "small (512M, the default), medium (2G), large (8G)" },
			{ "quota", 0, "SIZE", KIND_NONE,
			  "the dataset's quota in charged bytes" },
			{ "cpus", 0, "N", KIND_NONE,
			  "how many CPUs it may use, where the host can limit it" },
			{ "idle", 0, "DURATION", KIND_NONE,
			  "stop it when nobody has used it so long; or 'none'" },
			{ "all", 'a', NULL, KIND_NONE,
			  "start all that were up, as after a reboot" },
		},
		.help = "run a server on a dataset, which is cloned if need be",
		.text =
"Returns when a query works, and says where to connect.  The port stays the\n"
"same for as long as there is the instance.  A clone is a server of its own:\n"
"its replication, events and binary log are off, and all accounts but 'dbs'\n"
"are locked.  A server that crashes is started again.  An instance that is up\n"
"already is left as it is; settings are for its next start.  A dataset that is\n"
"no clone is changed in place, which is asked before.\n",
		.run = run_up,
	},
	{
		.name = "down", .group = "dbs-instance",
		.flags = CMD_POOL | CMD_JSON | CMD_DESTROYS,
		.operands = { { "NAME", KIND_INSTANCE, true, false } },
		.options = {
			{ "rm", 0, NULL, KIND_NONE,
			  "destroy it, and the dataset that 'up' made (asks)" },
			{ "all", 'a', NULL, KIND_NONE,
			  "stop all; 'dbs up --all' starts them again" },
		},
		.help = "stop an instance's server",
		.run = run_down,
	},
	{
		.name = "ps", .group = "dbs-instance",
		.flags = CMD_JSON | CMD_READS,
		.options = {
			{ "quiet", 'q', NULL, KIND_NONE,
			  "only names, one a line" },
		},
		.help = "list the instances, workers and what they do",
		.run = run_ps,
	},
	{
		.name = "logs", .group = "dbs-instance",
		.flags = CMD_JSON | CMD_READS,
		.operands = { { "NAME|worker/NAME", KIND_LOG, false, false } },
		.options = {
			{ "stderr", 0, NULL, KIND_NONE,
			  "a worker's errors, and what its monitor said" },
			{ "follow", 'f', NULL, KIND_NONE,
			  "go on with what is added, until interrupted" },
			{ "lines", 'n', "N", KIND_NONE,
			  "only the last N lines" },
		},
		.help = "print what an instance or a worker said",
		.run = run_logs,
	},
	{
		.name = "sql", .group = "dbs-instance",
		.flags = CMD_JSON | CMD_READS,
		.operands = { { "NAME", KIND_INSTANCE, false, false },
			      { "ARGUMENT", KIND_NONE, true, true } },
		.options = {
			{ "execute", 'e', "STATEMENT", KIND_NONE,
			  "run this and end" },
		},
		.help = "run the mariadb or mysql client on an instance",
		.text =
"Arguments go to the client: a database's name, or after '--' its options.\n"
"--json runs what -e says without the client, and prints all its rows at once.\n",
		.run = run_sql,
	},
	{
		.name = "env", .group = "dbs-instance",
		.flags = CMD_JSON | CMD_READS,
		.operands = { { "NAME", KIND_INSTANCE, false, false } },
		.options = {
			{ "format", 'F', "FORMAT", KIND_NONE,
			  "shell (the default), dotenv, github or jenkins" },
			{ "database", 'd', "DATABASE", KIND_NONE,
			  "the database (default: the only one that there is)" },
		},
		.help = "print an instance's address and password as variables",
		.text =
"DB_HOST, DB_PORT, DB_DATABASE, DB_USERNAME, DB_PASSWORD and DATABASE_URL:\n"
"\n"
"  eval \"$(dbs env ci-4711)\"\n"
"  dbs env ci-4711 --format dotenv >>.env\n"
"  dbs env ci-4711 --format github >>\"$GITHUB_ENV\"\n"
"  dbs env ci-4711 --format jenkins >env.properties\n",
		.run = run_env,
	},
	{
		.name = "refresh", .group = "dbs-instance",
		.flags = CMD_POOL | CMD_JSON | CMD_DESTROYS,
		.operands = { { "NAME", KIND_INSTANCE, false, false } },
		.options = {
			{ "force", 'f', NULL, KIND_NONE,
			  "even while others have files open for writing" },
			{ "discard", 0, NULL, KIND_NONE,
			  "do not keep what is replaced" },
		},
		.help = "restore an instance to the newest snapshot of its origin",
		.run = run_refresh,
	},
	{
		.name = "hold", .group = "dbs-instance",
		.flags = CMD_JSON,
		.operands = { { "NAME", KIND_INSTANCE, false, false } },
		.options = {
			{ "until", 0, "TIME", KIND_NONE,
			  "for 8h, 2d ..., or to 2026-11-30T18:00:00Z" },
			{ "reason", 0, "TEXT", KIND_NONE,
			  "what to tell those who are refused" },
			{ "release", 0, NULL, KIND_NONE,
			  "end it now" },
		},
		.help = "protect an instance for a time",
		.text =
"It is neither destroyed, restored nor refreshed, nor stopped at the end of its\n"
"time; those commands end with exit code 4.\n",
		.run = run_hold,
	},

	/* ---- workers ---- */
	{
		.name = "workers stop", .group = "dbs-instance",
		.flags = CMD_JSON,
		.operands = { { "NAME", KIND_WORKER, true, false } },
		.help = "stop workers, as before a deployment",
		.text =
"Without NAME all of them.  A worker gets its stop signal, its grace time, and\n"
"then a kill.  It stays stopped until 'dbs workers start'.\n",
		.run = run_workers_stop,
	},
	{
		.name = "workers start", .group = "dbs-instance",
		.flags = CMD_JSON,
		.operands = { { "NAME", KIND_WORKER, true, false } },
		.help = "start workers as the configuration says",
		.text =
"Without NAME all of them.  A worker whose instance does not run starts with\n"
"it.  See dbs.yaml(5).\n",
		.run = run_workers_start,
	},

	/* ---- help ---- */
	{
		.name = "help", .group = "dbs",
		.operands = { { "COMMAND", KIND_COMMAND, true, true } },
		.help = "show help for a command",
		.run = run_help,
	},
	{
		.name = "__table", .group = "dbs", .flags = CMD_HIDDEN,
		.help = "print this table, for the check of the man pages",
		.run = run_table,
	},
	{
		.name = "__monitor", .group = "dbs", .flags = CMD_HIDDEN,
		.operands = { { "NAME", KIND_NONE, true, true } },
		.help = "watch over an instance's server",
		.run = run_monitor,
	},
	{
		.name = "__worker", .group = "dbs", .flags = CMD_HIDDEN,
		.operands = { { "NAME", KIND_NONE, true, true } },
		.help = "watch over a worker's processes",
		.run = run_worker,
	},
	{
		.name = "__complete", .group = "dbs", .flags = CMD_HIDDEN,
		.operands = { { "WORD", KIND_NONE, true, true } },
		.help = "print completions of the last word",
		.run = run_complete,
	},
};
/* clang-format on */
const size_t nr_cmds = ARRAY_SIZE(cmd_table);
