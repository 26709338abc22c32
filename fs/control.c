/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/control.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fs/daemon.h"
#include "fs/host_path.h"

#define NR_GROUPS_MAX 65536

struct connection {
	struct control *control;
	/* under control->lock */
	int fd;	      /* -1: the slot is free */
	bool busy;    /* a request runs */
	bool evicted; /* may not become busy any more */
	bool done;    /* its thread is about to end: to be joined */
	uid_t uid;    /* the peer's */
	uint64_t idle_since;
	pthread_t thread;
};

struct control {
	/* immutable */
	struct control_options options;
	int dir_fd;	  /* O_PATH of the socket's directory */
	const char *base; /* its name there, in options.path */
	int listen_fd;
	int wake_fd; /* an eventfd, readable once stopping is true */
	pthread_t thread;
	char new_name[32]; /* before it listens */
	const char *bound; /* the name that is ours to remove, or NULL */
	bool started;	   /* thread runs */
	/* atomic */
	_Atomic bool stopping;
	/* under lock */
	pthread_mutex_t lock;
	struct connection connections[CONTROL_CONNECTIONS_MAX];
};

/* -- who may -------------------------------------------------------------- */

static bool peer_in_group(int fd, const struct ucred *peer, gid_t group)
{
	static _Thread_local gid_t groups[NR_GROUPS_MAX / 64];
	socklen_t len = sizeof(groups);

	if (peer->gid == group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		return false;
	for (size_t i = 0; i < len / sizeof(*groups); i++)
		if (groups[i] == group)
			return true;
	return false;
}

static bool peer_may(struct control *control, int fd, uid_t *uid)
{
	const struct control_options *o = &control->options;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		return false;
	*uid = peer.uid;
	if (peer.uid == 0 || peer.uid == o->owner)
		return true;
	if (o->group != (gid_t)-1 && peer_in_group(fd, &peer, o->group))
		return true;
	log_warn("control peer refused uid=%u gid=%u pid=%d", peer.uid,
		 peer.gid, peer.pid);
	return false;
}

/* -- one connection ------------------------------------------------------- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void monotonic_add(struct timespec *t, time_t s)
{
	clock_gettime(CLOCK_MONOTONIC, t);
	t->tv_sec += s;
}

static int ms_until(const struct timespec *t)
{
	struct timespec now;
	int64_t ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (int64_t)(t->tv_sec - now.tv_sec) * 1000 +
	     (t->tv_nsec - now.tv_nsec) / 1000000;
	return ms < 0 ? 0 : (int)ms;
}

static int send_all(int fd, const char *buf, size_t len)
{
	struct timespec deadline;
	ssize_t n;

	monotonic_add(&deadline, CONTROL_ANSWER_S);
	while (len) {
		n = send(fd, buf, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		/* gone, or it reads nothing (SO_SNDTIMEO), or too slowly */
		if (n <= 0 || ms_until(&deadline) == 0)
			return -1;
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

static int answer_send(int fd, json_t *answer)
{
	size_t len;
	char *text = ctl_answer_line(answer, &len);
	int rc;

	if (!text)
		return -1;
	rc = send_all(fd, text, len);
	free(text);
	return rc;
}

enum line_result {
	LINE_OK,
	LINE_END, /* closed, idle for too long, or stopping */
	LINE_TOO_LONG,
};

/*
 * One line into @buf, whose first @have bytes were read before.  @len: out,
 * its length without the newline; what follows stays in the buffer.
 */
static enum line_result line_read(struct control *control, int fd, char *buf,
				  size_t *have, size_t *len)
{
	struct pollfd p[2] = {
		{.fd = fd, .events = POLLIN},
		{.fd = control->wake_fd, .events = POLLIN},
	};
	struct timespec deadline;
	bool begun = *have > 0;
	char *newline;
	ssize_t n;

	monotonic_add(&deadline, begun ? CONTROL_LINE_S : CONTROL_IDLE_S);
	for (;;) {
		newline = memchr(buf, '\n', *have);
		if (newline) {
			*len = (size_t)(newline - buf);
			return LINE_OK;
		}
		if (*have == CTL_REQUEST_MAX)
			return LINE_TOO_LONG;
		n = poll(p, 2, ms_until(&deadline));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || atomic_load(&control->stopping))
			return LINE_END;
		n = recv(fd, buf + *have, CTL_REQUEST_MAX - *have, 0);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return LINE_END;
		if (!begun)
			monotonic_add(&deadline, CONTROL_LINE_S);
		begun = true;
		*have += (size_t)n;
	}
}

static bool connection_set_busy(struct connection *c, bool busy)
{
	struct control *control = c->control;
	bool may;

	pthread_mutex_lock(&control->lock);
	may = !atomic_load(&control->stopping) && !c->evicted;
	c->busy = busy && may;
	c->idle_since = now_ns();
	pthread_mutex_unlock(&control->lock);
	return may;
}

/* false: the connection is to be closed. */
static bool request_serve(struct connection *c, int fd, const char *line,
			  size_t len)
{
	json_t *refusal, *request = ctl_request_parse(line, len, &refusal);
	bool goes_on;

	if (!request) {
		answer_send(fd, refusal);
		return false;
	}
	goes_on = connection_set_busy(c, true);
	if (goes_on)
		goes_on = answer_send(fd, ctl_execute(c->control->options.ctx,
						      request)) == 0;
	json_decref(request);
	connection_set_busy(c, false);
	return goes_on;
}

static void connection_serve(struct connection *c, int fd)
{
	size_t have = 0, len;
	char *buf;
	enum line_result result;

	buf = malloc(CTL_REQUEST_MAX);
	if (!buf)
		return;
	for (;;) {
		result = line_read(c->control, fd, buf, &have, &len);
		if (result == LINE_TOO_LONG)
			answer_send(fd, ctl_answer_error(
						CTL_USAGE,
						"the request is over %u bytes",
						CTL_REQUEST_MAX));
		if (result != LINE_OK || !request_serve(c, fd, buf, len))
			break;
		have -= len + 1;
		memmove(buf, buf + len + 1, have);
	}
	free(buf);
}

static void *connection_main(void *arg)
{
	struct connection *c = arg;
	struct control *control = c->control;
	int fd;

	prctl(PR_SET_NAME, "dbsfs-control");
	pthread_mutex_lock(&control->lock);
	fd = c->fd;
	pthread_mutex_unlock(&control->lock);
	connection_serve(c, fd);
	pthread_mutex_lock(&control->lock);
	/*
	 * While the daemon ends, its end of the connection stays open until
	 * the pool is closed: that is what the peer waits for.
	 */
	if (!atomic_load(&control->stopping)) {
		close(c->fd);
		c->fd = -1;
	}
	c->done = true;
	pthread_mutex_unlock(&control->lock);
	return NULL;
}

/* -- accepting ------------------------------------------------------------ */

static int thread_start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

/* Slots that connections of @uid have; of everybody but root: (uid_t)-1 */
static unsigned nr_slots_locked(const struct control *control, uid_t uid)
{
	const struct connection *c = control->connections;
	unsigned nr = 0;

	for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		if (c[i].fd >= 0 &&
		    (uid == (uid_t)-1 ? c[i].uid != 0 : c[i].uid == uid))
			nr++;
	return nr;
}

/* C1: idle, of the user that has the most, and of these idle for longest. */
static struct connection *find_victim_locked(struct control *control,
					     bool spare_root)
{
	struct connection *found = NULL;
	unsigned most = 0;

	for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		struct connection *c = &control->connections[i];
		unsigned nr;

		if (c->fd < 0 || c->busy || (spare_root && c->uid == 0))
			continue;
		nr = nr_slots_locked(control, c->uid);
		if (found && (nr < most || (nr == most &&
					    c->idle_since > found->idle_since)))
			continue;
		found = c;
		most = nr;
	}
	return found;
}

static struct connection *find_free_locked(struct control *control)
{
	struct connection *c;

	for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		c = &control->connections[i];
		if (c->done && c->fd < 0) {
			pthread_join(c->thread, NULL);
			c->done = false;
		}
		if (c->fd < 0)
			return c;
	}
	return NULL;
}

/*
 * C1: a slot for a peer @uid, or NULL.  Only the accepting thread takes slots,
 * so the lock can be given up while a connection is thrown out.
 */
static struct connection *slot_take_locked(struct control *control, uid_t uid)
{
	bool crowded = uid != 0 && nr_slots_locked(control, (uid_t)-1) >=
					   CONTROL_CONNECTIONS_OTHERS;
	struct connection *c = crowded ? NULL : find_free_locked(control);

	if (c)
		return c;
	c = find_victim_locked(control, uid != 0);
	if (!c)
		return NULL;
	c->evicted = true;
	shutdown(c->fd, SHUT_RDWR);
	pthread_mutex_unlock(&control->lock);
	pthread_join(c->thread, NULL);
	pthread_mutex_lock(&control->lock);
	if (c->fd >= 0) /* we are stopping */
		close(c->fd);
	c->fd = -1;
	c->done = false;
	return c;
}

static bool connection_start(struct control *control, int fd, uid_t uid)
{
	struct connection *c;
	bool started = false;

	pthread_mutex_lock(&control->lock);
	c = slot_take_locked(control, uid);
	if (c) {
		*c = (struct connection){
			.control = control,
			.fd = fd,
			.uid = uid,
			.idle_since = now_ns(),
		};
		started = thread_start(&c->thread, connection_main, c) == 0;
		if (!started)
			c->fd = -1;
	}
	pthread_mutex_unlock(&control->lock);
	return started;
}

static void accept_one(struct control *control)
{
	const struct timeval timeout = {.tv_sec = CONTROL_LINE_S};
	uid_t uid = (uid_t)-1;
	int fd;

	fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	if (!peer_may(control, fd, &uid))
		answer_send(fd, ctl_answer_error(CTL_NOT_PERMITTED,
						 "you may not control this "
						 "pool; ask for membership in "
						 "the socket's group"));
	else if (connection_start(control, fd, uid))
		return;
	else
		answer_send(fd, ctl_answer_error(CTL_CONFLICT,
						 "the daemon is busy with %d "
						 "requests; try again",
						 CONTROL_CONNECTIONS_MAX));
	close(fd);
}

static void *accept_main(void *arg)
{
	struct control *control = arg;
	struct pollfd p[2] = {
		{.fd = control->listen_fd, .events = POLLIN},
		{.fd = control->wake_fd, .events = POLLIN},
	};

	prctl(PR_SET_NAME, "dbsfs-accept");
	while (!atomic_load(&control->stopping)) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[0].revents & POLLIN && !atomic_load(&control->stopping))
			accept_one(control);
	}
	return NULL;
}

/* -- start and stop ------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static int
fail(struct control_error *error, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(error->text, sizeof(error->text), fmt, ap);
	va_end(ap);
	return err;
}

/* An address that leads to @name in our directory, however long its path. */
static void address_of(const struct control *control, const char *name,
		       struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	if ((size_t)snprintf(addr->sun_path, sizeof(addr->sun_path),
			     "/proc/self/fd/%d/%s", control->dir_fd,
			     name) >= sizeof(addr->sun_path))
		strcpy(addr->sun_path, control->options.path);
}

/* A socket that nobody listens on is what a killed daemon left. */
static int check_dead(const struct control *control,
		      struct control_error *error)
{
	const char *path = control->options.path;
	struct sockaddr_un addr;
	struct stat st;
	int fd, rc;

	if (fstatat(control->dir_fd, control->base, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return fail(error, -EEXIST,
			    "'%s' exists and is no socket; name another with "
			    "--socket",
			    path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(error, -errno, "cannot make a socket: %s",
			    strerror(errno));
	address_of(control, control->base, &addr);
	rc = connect(fd, (const struct sockaddr *)&addr, sizeof(addr));
	close(fd);
	if (rc == 0)
		return fail(error, -EBUSY,
			    "another daemon listens on '%s'; name another "
			    "socket with --socket",
			    path);
	return 0;
}

/* CTL_RUN_DIR belongs to root and nobody else can write to it. */
static int run_dir_make(struct control_error *error)
{
	struct stat st;

	if (mkdir(CTL_RUN_DIR, 0755) && errno != EEXIST)
		return fail(error, -errno, "cannot make '%s': %s", CTL_RUN_DIR,
			    strerror(errno));
	if (lstat(CTL_RUN_DIR, &st))
		return fail(error, -errno, "cannot look at '%s': %s",
			    CTL_RUN_DIR, strerror(errno));
	if (!S_ISDIR(st.st_mode) || st.st_uid != 0 || (st.st_mode & 0022))
		return fail(error, -EPERM,
			    "'%s' must be a directory of root that nobody else "
			    "can write to",
			    CTL_RUN_DIR);
	return 0;
}

/* @name: a socket of the mode and owner that it is to have, listening. */
static int listen_as(struct control *control, const char *name,
		     struct control_error *error)
{
	const struct control_options *o = &control->options;
	bool group = o->group != (gid_t)-1;
	struct sockaddr_un addr;
	mode_t before;
	int rc;

	address_of(control, name, &addr);
	/* its mode from the start, and no path is followed a second time */
	before = umask(group ? 0117 : 0177);
	rc = bind(control->listen_fd, (struct sockaddr *)&addr, sizeof(addr));
	umask(before);
	if (rc)
		return fail(error, -errno, "cannot make the socket '%s': %s",
			    o->path, strerror(errno));
	control->bound = name;
	if ((group || o->owner != 0) &&
	    fchownat(control->dir_fd, name, o->owner, o->group,
		     AT_SYMLINK_NOFOLLOW))
		return fail(error, -errno,
			    "cannot give the socket '%s' to its owner and "
			    "group: %s",
			    o->path, strerror(errno));
	if (listen(control->listen_fd, 64))
		return fail(error, -errno, "cannot listen on '%s': %s", o->path,
			    strerror(errno));
	return 0;
}

/*
 * C2: it gets its name when it listens, and so replaces what a killed daemon
 * left: a socket of that name that nobody listens on is dead.
 */
static int listen_on(struct control *control, struct control_error *error)
{
	const struct control_options *o = &control->options;
	int rc;

	if (strlen(o->path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return fail(error, -ENAMETOOLONG,
			    "the socket's path '%s' is too long: at most %zu "
			    "bytes",
			    o->path,
			    sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	control->dir_fd = host_path_open_parent(o->path, &control->base);
	if (control->dir_fd == -EPERM)
		return fail(error, -EPERM,
			    "the path '%s' leads through a link that others "
			    "than root can swap",
			    o->path);
	if (control->dir_fd < 0)
		return fail(error, control->dir_fd,
			    "cannot make the socket '%s': %s", o->path,
			    strerror(-control->dir_fd));
	rc = check_dead(control, error);
	if (rc)
		return rc;
	control->listen_fd =
		socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->listen_fd < 0)
		return fail(error, -errno, "cannot make a socket: %s",
			    strerror(errno));
	snprintf(control->new_name, sizeof(control->new_name), ".dbsfs.%d",
		 getpid());
	unlinkat(control->dir_fd, control->new_name, 0);
	rc = listen_as(control, control->new_name, error);
	if (rc)
		return rc;
	if (renameat(control->dir_fd, control->new_name, control->dir_fd,
		     control->base))
		return fail(error, -errno, "cannot make the socket '%s': %s",
			    o->path, strerror(errno));
	control->bound = control->base;
	return 0;
}

int control_new(const struct control_options *options, struct control **out,
		struct control_error *error)
{
	struct control *control = calloc(1, sizeof(*control));
	int rc = 0;

	if (!control)
		return fail(error, -ENOMEM, "out of memory");
	control->options = *options;
	control->listen_fd = control->dir_fd = -1;
	pthread_mutex_init(&control->lock, NULL);
	for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		control->connections[i].fd = -1;
	control->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (control->wake_fd < 0)
		rc = fail(error, -errno, "cannot make an eventfd: %s",
			  strerror(errno));
	if (rc == 0 && options->make_dir)
		rc = run_dir_make(error);
	if (rc == 0)
		rc = listen_on(control, error);
	if (rc) {
		control_free(control);
		return rc;
	}
	*out = control;
	return 0;
}

int control_start(struct control *control)
{
	int rc = thread_start(&control->thread, accept_main, control);

	control->started = rc == 0;
	return rc;
}

void control_stop(struct control *control)
{
	const uint64_t one = 1;

	if (!control)
		return;
	pthread_mutex_lock(&control->lock);
	atomic_store(&control->stopping, true);
	pthread_mutex_unlock(&control->lock);
	if (write(control->wake_fd, &one, sizeof(one)) < 0)
		log_error("control cannot be woken errno=%d", errno);
	if (control->started)
		pthread_join(control->thread, NULL);
	for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++) {
		struct connection *c = &control->connections[i];

		if (c->fd < 0 && !c->done)
			continue;
		pthread_join(c->thread, NULL);
		c->done = false;
	}
}

void control_farewell(struct control *control, json_t *answer)
{
	for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		if (control->connections[i].fd >= 0)
			answer_send(control->connections[i].fd,
				    json_incref(answer));
	json_decref(answer);
}

void control_free(struct control *control)
{
	if (!control)
		return;
	daemon_raise_privileges();
	if (control->bound)
		unlinkat(control->dir_fd, control->bound, 0);
	daemon_lower_privileges();
	if (control->dir_fd >= 0)
		close(control->dir_fd);
	if (control->listen_fd >= 0)
		close(control->listen_fd);
	if (control->wake_fd >= 0)
		close(control->wake_fd);
	for (int i = 0; i < CONTROL_CONNECTIONS_MAX; i++)
		if (control->connections[i].fd >= 0)
			close(control->connections[i].fd);
	free(control);
}
