/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/instance/identity.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/instance/internal.h"
#include "tools/out.h"

#define PASSWORD_RANDOM 26 /* of 64 letters: 156 bits */

/* ---- password ---------------------------------------------------------------- */

/*
 * Letters that mean nothing in SQL, a shell or a URL; its beginning satisfies
 * servers that want an upper case letter, a lower case one, a digit and another.
 */
static int make_password(char *buf, size_t cap)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "abcdefghijklmnopqrstuvwxyz"
				      "0123456789-_";
	uint8_t bytes[PASSWORD_RANDOM];
	size_t at;

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -errno;
	at = (size_t)snprintf(buf, cap, "Db5-");
	for (size_t i = 0; i < sizeof(bytes) && at + 1 < cap; i++)
		buf[at++] = letters[bytes[i] % 64];
	buf[at] = '\0';
	explicit_bzero(bytes, sizeof(bytes));
	return 0;
}

/* Who typed the command: with sudo(8) that is not root. */
static void caller(uid_t *uid, gid_t *gid)
{
	const char *sudo_uid = getenv("SUDO_UID");
	const char *sudo_gid = getenv("SUDO_GID");

	*uid = getuid();
	*gid = getgid();
	if (!geteuid() && sudo_uid && sudo_gid) {
		*uid = (uid_t)strtoul(sudo_uid, NULL, 10);
		*gid = (gid_t)strtoul(sudo_gid, NULL, 10);
	}
}

char *identity_password(const struct instance *inst)
{
	char path[PATH_MAX], line[256] = "";
	FILE *f = fopen(instance_file(inst, "password", path), "re");

	if (!f) {
		fail(errno == EACCES ? CTL_NOT_PERMITTED : CTL_FAILED,
		     "the password of instance '%s', '%s': %m", inst->name,
		     path);
		return NULL;
	}
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	line[strcspn(line, "\n")] = '\0';
	return strdup(line);
}

static int write_client(const struct instance *inst, const char *password,
			uid_t uid, gid_t gid)
{
	char socket[PATH_MAX], *text = NULL;
	int code;

	if (asprintf(&text,
		     "[client]\nuser=%s\npassword=\"%s\"\nsocket=\"%s\"\n",
		     INSTANCE_ACCOUNT, password,
		     instance_socket(inst, socket)) < 0)
		return fail(CTL_FAILED, "out of memory");
	code = instance_write(inst, "client.cnf", 0600, uid, gid, text);
	explicit_bzero(text, strlen(text));
	free(text);
	return code;
}

static uint32_t make_server_id(const struct instance *inst)
{
	uint32_t id = 0;

	while (!id)
		if (getrandom(&id, sizeof(id), 0) != sizeof(id))
			id = (uint32_t)instance_hash(inst->name) | 1u;
	return id;
}

int identity_choose(struct instance *inst)
{
	char password[64], path[PATH_MAX];
	uid_t uid;
	gid_t gid;
	int code;

	if (!out_get_int(inst->record, "server_id"))
		json_object_set_new(inst->record, "server_id",
				    json_integer(make_server_id(inst)));
	if (!access(instance_file(inst, "password", path), F_OK) &&
	    !access(instance_file(inst, "client.cnf", path), F_OK))
		return CTL_OK;
	if (make_password(password, sizeof(password)))
		return fail(CTL_FAILED, "no random bytes: %m");
	/* a password that no server knows yet: the state is to learn it */
	json_object_del(inst->record, "identity");
	caller(&uid, &gid);
	code = instance_write(inst, "password", 0600, uid, gid, password);
	if (code == CTL_OK)
		code = write_client(inst, password, uid, gid);
	explicit_bzero(password, sizeof(password));
	return code;
}

/* ---- what the server does first ---------------------------------------------- */

/*
 * One statement a line, as servers want it in an init file.  A lock keeps an
 * account from connecting; what runs with its rights (views, procedures) works
 * on.  Removed are those that would come before ours where they are of one host:
 * anonymous ones, and our own name's with a password of the origin.
 */
#define COMES_BEFORE "('', '" INSTANCE_ACCOUNT "')"

static const char sql_mariadb[] =
	"DELETE FROM mysql.global_priv WHERE User IN " COMES_BEFORE " AND "
	"JSON_VALUE(Priv, '$.is_role') IS NULL;\n"
	"UPDATE mysql.global_priv SET Priv = JSON_SET(Priv, "
	"'$.account_locked', true) WHERE "
	"JSON_VALUE(Priv, '$.is_role') IS NULL;\n"
	"FLUSH PRIVILEGES;\n"
	"ALTER USER IF EXISTS 'root'@'localhost' IDENTIFIED VIA unix_socket "
	"ACCOUNT UNLOCK;\n";

/* before 10.4 accounts stand in mysql.user, and cannot be locked */
static const char sql_mariadb_old[] =
	"DELETE FROM mysql.user WHERE User IN " COMES_BEFORE " AND "
	"is_role = 'N';\n"
	"UPDATE mysql.user SET plugin = '', authentication_string = '', "
	"Password = '*00000000000000000000000000000000DEADBEEF' "
	"WHERE is_role = 'N';\n"
	"FLUSH PRIVILEGES;\n";

static const char sql_mysql[] =
	"DELETE FROM mysql.user WHERE User IN " COMES_BEFORE ";\n"
	"UPDATE mysql.user SET account_locked = 'Y';\n"
	"DELETE FROM mysql.slave_master_info;\n"
	"DELETE FROM mysql.slave_relay_log_info;\n"
	"DELETE FROM mysql.slave_worker_info;\n"
	"FLUSH PRIVILEGES;\n";

/* By socket, and by address. */
static void write_account(FILE *f, const char *password, bool replaces)
{
	static const char *const hosts[] = {"localhost", "%"};

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		if (!replaces)
			fprintf(f, "DROP USER IF EXISTS '%s'@'%s';\n",
				INSTANCE_ACCOUNT, hosts[i]);
		fprintf(f, "CREATE%s USER '%s'@'%s' IDENTIFIED BY '%s';\n",
			replaces ? " OR REPLACE" : "", INSTANCE_ACCOUNT,
			hosts[i], password);
		fprintf(f,
			"GRANT ALL PRIVILEGES ON *.* TO '%s'@'%s' "
			"WITH GRANT OPTION;\n",
			INSTANCE_ACCOUNT, hosts[i]);
	}
}

int identity_prepare(const struct instance *inst, const struct datadir *dir,
		     const struct server_binary *bin)
{
	char *password = identity_password(inst), *text = NULL;
	size_t len;
	FILE *f;
	int code = datadir_forget(dir);

	f = open_memstream(&text, &len);
	if (code != CTL_OK || !password || !f) {
		if (f)
			fclose(f);
		free(text);
		free(password);
		return code != CTL_OK ? code : CTL_FAILED;
	}
	if (!bin->mariadb)
		fputs(sql_mysql, f);
	else if (bin->version >= SERVER_VERSION(10, 4))
		fputs(sql_mariadb, f);
	else
		fputs(sql_mariadb_old, f);
	write_account(f, password, bin->mariadb);
	fclose(f);
	code = instance_write(inst, "init.sql", 0600, dir->uid, dir->gid, text);
	explicit_bzero(password, strlen(password));
	explicit_bzero(text, len);
	free(password);
	free(text);
	return code;
}

void identity_done(const struct instance *inst)
{
	char path[PATH_MAX];

	unlink(instance_file(inst, "init.sql", path));
}
