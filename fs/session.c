/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/session.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/daemon.h"
#include "fs/ring.h"
#include "store/store.h"

#ifndef FUSE_DIRECT_IO_ALLOW_MMAP
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36) /* 7.39 */
#endif

#ifndef FUSE_OVER_IO_URING
#define FUSE_OVER_IO_URING (1ULL << 41) /* 7.42 */
#endif

#define DATA_ALIGN 4096u
#define WRITE_HEAD                                                             \
	(sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
#define STACK_BYTES (1u << 20) /* address space; what is used counts */
/* a thread that goes to rest gives back a buffer that grew beyond this */
#define KEEP_BYTES	 (128u << 10)
#define RING_THREADS_MAX 48u /* with all others under VIEW_SLOTS_MAX */

struct session {
	/* immutable after start */
	struct session_options options;
	struct fuse_session *fuse;
	int fd;
	/* atomic */
	_Atomic uint64_t flags;	     /* agreed on in INIT */
	_Atomic unsigned nr_readers; /* in read() or about to be */
	_Atomic bool ended;
	/* under lock */
	pthread_mutex_t lock;
	pthread_cond_t wanted; /* a resting thread may read again */
	unsigned nr_resting, nr_wanted;
	unsigned nr_threads; /* ever started; they end all together */
	pthread_t *threads;
	bool rings_agreed; /* in INIT: the threads below may begin */
	pthread_cond_t agreed;
	/* of the thread that starts and frees it */
	struct worker *ring_workers;
	pthread_t *ring_threads;
	unsigned nr_ring_threads; /* started; 0: no io_uring */
};

static _Thread_local struct worker *this_worker;
/* while libfuse answers INIT: what the kernel offered */
static _Thread_local const struct fuse_init_in *this_init;

struct worker *worker_self(void)
{
	return this_worker;
}

struct fuse_session *session_fuse(struct session *session)
{
	return session->fuse;
}

uint64_t session_flags(const struct session *session)
{
	return atomic_load(&session->flags);
}

/* -- answers -------------------------------------------------------------- */

/*
 * What libfuse 3.14 cannot ask for is put into its answer to INIT: that we
 * clear setuid and setgid when told to (the kernel then need not ask for
 * security.capability before every write), and that files open for direct
 * I/O may be mapped shared.
 */
static void init_patch(struct session *session, struct fuse_init_out *out)
{
	uint64_t offered = this_init->flags;
	uint64_t flags = out->flags;

	if (offered & FUSE_INIT_EXT)
		offered |= (uint64_t)this_init->flags2 << 32;
	if (offered & FUSE_HANDLE_KILLPRIV_V2) {
		flags &= ~(uint64_t)FUSE_HANDLE_KILLPRIV;
		flags |= FUSE_HANDLE_KILLPRIV_V2;
	}
	if (offered & FUSE_INIT_EXT) {
		flags |= FUSE_INIT_EXT;
		flags |= offered & FUSE_DIRECT_IO_ALLOW_MMAP;
		if (session->nr_ring_threads > 0)
			flags |= offered & FUSE_OVER_IO_URING;
	}
	out->flags = (uint32_t)flags;
	out->flags2 = (uint32_t)(flags >> 32);
	atomic_store(&session->flags, flags);
}

/* A notification has no number, and never goes by a ring. */
static bool is_answer(const struct iovec *iov)
{
	struct fuse_out_header out;

	memcpy(&out, iov[0].iov_base, sizeof(out));
	return out.unique != 0;
}

static ssize_t session_writev(int fd, struct iovec *iov, int count, void *user)
{
	struct worker *w = this_worker;

	(void)user;
	if (w && w->ring && is_answer(iov)) {
		ring_answer(w->ring, iov, count);
		return 0;
	}
	if (w)
		fd = w->fd;
	if (this_init && count == 2 &&
	    iov[1].iov_len == sizeof(struct fuse_init_out))
		init_patch(w->session, iov[1].iov_base);
	ring_order_answer();
	return writev(fd, iov, count);
}

/* libfuse insists on one, but receiving is ours. */
static ssize_t session_read(int fd, void *buf, size_t len, void *user)
{
	(void)user;
	return read(fd, buf, len);
}

int session_reply(struct worker *w, const struct fuse_in_header *in, int err,
		  const void *data, size_t len)
{
	struct fuse_out_header out = {
		.len = (uint32_t)(sizeof(out) + len),
		.error = err,
		.unique = in->unique,
	};
	struct iovec iov[2] = {
		{.iov_base = &out, .iov_len = sizeof(out)},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = len},
	};

	if (w->ring) {
		ring_answer(w->ring, iov, len ? 2 : 1);
		return 0;
	}
	ring_order_answer();
	if (writev(w->fd, iov, len ? 2 : 1) >= 0)
		return 0;
	if (errno != ENOENT && !atomic_load(&w->session->ended))
		log_error("fuse answer failed opcode=%u errno=%d", in->opcode,
			  errno);
	return -errno;
}

/* -- receiving ------------------------------------------------------------ */

/* From now on requests wait for the rings (ring.h, N2). */
static void rings_agree(struct session *session)
{
	if (!(session_flags(session) & FUSE_OVER_IO_URING))
		return;
	pthread_mutex_lock(&session->lock);
	session->rings_agreed = true;
	pthread_cond_broadcast(&session->agreed);
	pthread_mutex_unlock(&session->lock);
}

static void dispatch(struct worker *w, size_t len)
{
	const struct fuse_in_header *in = (const void *)w->buf;
	struct session *session = w->session;
	struct fuse_buf buf = {.mem = w->buf, .size = len};
	session_op_fn *op;

	if (in->opcode < SESSION_OPCODES) {
		op = session->options.ops[in->opcode];
		if (op) {
			w->buf[len] = '\0';
			op(w, in, in + 1, len - sizeof(*in));
			return;
		}
	}
	if (in->opcode == FUSE_INIT)
		this_init = (const void *)(in + 1);
	fuse_session_process_buf(session->fuse, &buf);
	if (this_init) {
		this_init = NULL;
		rings_agree(session);
		session->options.ready(session->options.user);
	}
}

static void session_set_ended(struct session *session)
{
	bool before = atomic_exchange(&session->ended, true);

	pthread_mutex_lock(&session->lock);
	pthread_cond_broadcast(&session->wanted);
	pthread_cond_broadcast(&session->agreed);
	pthread_mutex_unlock(&session->lock);
	if (!before)
		session->options.ended(session->options.user);
}

static int thread_start_locked(struct session *session);

/*
 * X2: the last reader has got a request; find the next one.  It counts as a
 * reader from now on, so that nobody calls a second before it is there.
 */
static void reader_call(struct session *session)
{
	pthread_mutex_lock(&session->lock);
	if (atomic_load(&session->nr_readers) || atomic_load(&session->ended)) {
		pthread_mutex_unlock(&session->lock);
		return;
	}
	if (session->nr_resting > session->nr_wanted) {
		session->nr_wanted++;
		atomic_fetch_add(&session->nr_readers, 1);
		pthread_cond_signal(&session->wanted);
	} else if (session->nr_threads < session->options.threads_max) {
		thread_start_locked(session);
	}
	pthread_mutex_unlock(&session->lock);
}

/*
 * Become a reader: at once while there are few, else when one is wanted.
 * @used: bytes of the largest request since the last rest
 */
static void reader_rest(struct worker *w, size_t *used)
{
	struct session *session = w->session;

	if (atomic_load_explicit(&session->nr_readers, memory_order_relaxed) <
	    session->options.threads_idle) {
		atomic_fetch_add(&session->nr_readers, 1);
		return;
	}
	if (*used > KEEP_BYTES)
		madvise(w->data, SESSION_IO_MAX, MADV_DONTNEED);
	*used = 0;
	pthread_mutex_lock(&session->lock);
	session->nr_resting++;
	/* nobody may be left reading by now, with nobody to call us */
	while (session->nr_wanted == 0 && atomic_load(&session->nr_readers) &&
	       !atomic_load(&session->ended))
		pthread_cond_wait(&session->wanted, &session->lock);
	session->nr_resting--;
	if (session->nr_wanted)
		session->nr_wanted--; /* counted by reader_call() */
	else
		atomic_fetch_add(&session->nr_readers, 1);
	pthread_mutex_unlock(&session->lock);
}

/* One request into w->buf.  0: the session ended. */
static size_t receive(struct worker *w)
{
	const size_t cap = WRITE_HEAD + SESSION_IO_MAX;
	ssize_t n;

	while (!atomic_load(&w->session->ended)) {
		n = read(w->fd, w->buf, cap);
		ring_order_request();
		if (n >= (ssize_t)sizeof(struct fuse_in_header))
			return (size_t)n;
		if (n >= 0) {
			log_error("fuse request too short length=%zd", n);
			continue;
		}
		/* ENOENT: interrupted before it was read */
		if (errno == EINTR || errno == EAGAIN || errno == ENOENT)
			continue;
		if (errno != ENODEV && errno != ECONNABORTED)
			log_error("fuse device failed errno=%d", errno);
		break;
	}
	return 0;
}

static void worker_serve(struct worker *w)
{
	struct session *session = w->session;
	size_t len, used = 0;

	/* who started us counted us as a reader */
	while ((len = receive(w))) {
		if (atomic_fetch_sub(&session->nr_readers, 1) == 1)
			reader_call(session);
		dispatch(w, len);
		used = len > used ? len : used;
		reader_rest(w, &used);
	}
}

static int worker_init(struct worker *w, struct session *session)
{
	uint8_t *map;

	w->session = session;
	w->user = session->options.user;
	w->fd = session->fd;
	w->slot = session->options.new_slot(w->user);
	if (!w->slot)
		return -EMFILE;
	map = mmap(NULL, 2 * DATA_ALIGN + SESSION_IO_MAX,
		   PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (map == MAP_FAILED)
		return -ENOMEM;
	w->data = map + DATA_ALIGN;
	w->buf = w->data - WRITE_HEAD;
	return 0;
}

static void worker_clone_fd(struct worker *w)
{
	uint32_t master = (uint32_t)w->session->fd;

	if (!w->session->options.clone_fd)
		return;
	w->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (w->fd >= 0 && ioctl(w->fd, FUSE_DEV_IOC_CLONE, &master) == 0)
		return;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = w->session->fd;
}

static void worker_release(struct worker *w)
{
	if (w->data)
		munmap(w->data - DATA_ALIGN, 2 * DATA_ALIGN + SESSION_IO_MAX);
	if (w->fd != w->session->fd)
		close(w->fd);
}

static void *worker_main(void *arg)
{
	struct session *session = arg;
	struct worker w = {0};
	bool ended;

	prctl(PR_SET_NAME, "dbsfs-worker");
	if (worker_init(&w, session) == 0) {
		worker_clone_fd(&w);
		this_worker = &w;
		worker_serve(&w);
		this_worker = NULL;
		ended = true;
	} else {
		/* the others go on without it */
		log_error("worker thread could not start");
		pthread_mutex_lock(&session->lock);
		ended = session->nr_threads == 1;
		atomic_fetch_sub(&session->nr_readers, 1);
		pthread_cond_broadcast(&session->wanted);
		pthread_mutex_unlock(&session->lock);
	}
	worker_release(&w);
	if (ended)
		session_set_ended(session);
	return NULL;
}

static int thread_start(pthread_t *thread, void *(*fn)(void *), void *arg)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int rc;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(thread, &attr, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return rc;
}

static int thread_start_locked(struct session *session)
{
	int rc;

	atomic_fetch_add(&session->nr_readers, 1); /* before it can read */
	rc = thread_start(&session->threads[session->nr_threads], worker_main,
			  session);
	if (rc == 0)
		session->nr_threads++;
	else
		atomic_fetch_sub(&session->nr_readers, 1);
	return -rc;
}

/* -- rings ---------------------------------------------------------------- */

static bool ring_may_begin(struct session *session)
{
	bool may;

	pthread_mutex_lock(&session->lock);
	while (!session->rings_agreed && !atomic_load(&session->ended))
		pthread_cond_wait(&session->agreed, &session->lock);
	may = session->rings_agreed;
	pthread_mutex_unlock(&session->lock);
	return may;
}

static void *ring_main(void *arg)
{
	struct worker *w = arg;
	int len = 0;

	prctl(PR_SET_NAME, "dbsfs-ring");
	if (!ring_may_begin(w->session))
		return NULL;
	this_worker = w;
	while ((len = ring_receive(w->ring, &w->buf)) > 0)
		dispatch(w, (size_t)len);
	this_worker = NULL;
	if (len < 0)
		log_error("fuse io_uring failed errno=%d", -len);
	session_set_ended(w->session);
	return NULL;
}

static int ring_start(struct session *session, unsigned nr_queues)
{
	unsigned i = session->nr_ring_threads;
	struct worker *w = &session->ring_workers[i];
	int rc = worker_init(w, session);

	if (rc == 0)
		rc = ring_open(session->fd, i % nr_queues, w->data,
			       SESSION_IO_MAX, &w->ring);
	if (rc == 0)
		rc = -thread_start(&session->ring_threads[i], ring_main, w);
	if (rc == 0) {
		session->nr_ring_threads++;
	} else {
		ring_close(w->ring);
		worker_release(w);
	}
	return rc;
}

/* They end without having begun when INIT does not agree to it. */
static void rings_join(struct session *session)
{
	for (unsigned i = 0; i < session->nr_ring_threads; i++) {
		pthread_join(session->ring_threads[i], NULL);
		ring_close(session->ring_workers[i].ring);
		worker_release(&session->ring_workers[i]);
	}
	session->nr_ring_threads = 0;
}

/* Without them requests come by read(), which is no error. */
static void rings_start(struct session *session)
{
	unsigned queues = ring_nr_queues(), nr;
	int rc = 0;

	nr = queues * session->options.ring_threads;
	if (nr == 0 || nr > RING_THREADS_MAX || !ring_enable())
		return;
	session->ring_workers = calloc(nr, sizeof(struct worker));
	session->ring_threads = calloc(nr, sizeof(pthread_t));
	if (!session->ring_workers || !session->ring_threads)
		return;
	while (rc == 0 && session->nr_ring_threads < nr)
		rc = ring_start(session, queues);
	if (rc == 0)
		return;
	log_warn("no fuse requests by io_uring errno=%d", -rc);
	atomic_store(&session->ended, true);
	pthread_mutex_lock(&session->lock);
	pthread_cond_broadcast(&session->agreed);
	pthread_mutex_unlock(&session->lock);
	rings_join(session);
	atomic_store(&session->ended, false);
}

/* -- start and end -------------------------------------------------------- */

static int session_mount(struct session *session, struct session_error *error)
{
	const struct session_options *o = &session->options;
	char data[160], target[64];
	int rc;

	snprintf(data, sizeof(data),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,"
		 "default_permissions,allow_other,max_read=%u",
		 session->fd, SESSION_IO_MAX);
	snprintf(target, sizeof(target), "/proc/self/fd/%d", o->mountpoint_fd);
	daemon_raise_privileges();
	rc = mount(o->source, target, "fuse.dbs", o->mount_flags, data) ? -errno
									: 0;
	daemon_lower_privileges();
	if (rc == 0)
		return 0;
	if (rc == -ENODEV)
		snprintf(error->text, sizeof(error->text),
			 "the kernel has no FUSE; load the module 'fuse'");
	else
		snprintf(error->text, sizeof(error->text), "cannot mount: %s",
			 strerror(-rc));
	return rc;
}

static int session_open(struct session *session, struct session_error *error)
{
	static const struct fuse_custom_io io = {
		.writev = session_writev,
		.read = session_read,
	};
	struct session_options *o = &session->options;
	char *argv[] = {(char[]){"dbsfs"}, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);

	session->fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (session->fd < 0) {
		int err = errno;

		snprintf(error->text, sizeof(error->text),
			 "cannot open '/dev/fuse': %s%s", strerror(err),
			 err == ENOENT || err == ENODEV || err == ENXIO
				 ? "; load the kernel module 'fuse'"
				 : "");
		return err == ENOENT ? -ENODEV : -err;
	}
	session->fuse = fuse_session_new(&args, o->libfuse_ops,
					 sizeof(*o->libfuse_ops), o->user);
	fuse_opt_free_args(&args);
	if (!session->fuse ||
	    fuse_session_custom_io(session->fuse, &io, session->fd)) {
		snprintf(error->text, sizeof(error->text),
			 "libfuse could not be set up");
		return -ENOMEM;
	}
	rings_start(session);
	return session_mount(session, error);
}

int session_start(const struct session_options *options, struct session **out,
		  struct session_error *error)
{
	struct session *session = calloc(1, sizeof(*session));
	int rc;

	if (!session)
		return -ENOMEM;
	session->options = *options;
	session->fd = -1;
	pthread_mutex_init(&session->lock, NULL);
	pthread_cond_init(&session->wanted, NULL);
	pthread_cond_init(&session->agreed, NULL);
	session->threads = calloc(options->threads_max, sizeof(pthread_t));
	if (!session->threads) {
		session_free(session);
		return -ENOMEM;
	}
	rc = session_open(session, error);
	if (rc) {
		session_free(session);
		return rc;
	}
	*out = session;
	pthread_mutex_lock(&session->lock);
	rc = thread_start_locked(session);
	pthread_mutex_unlock(&session->lock);
	if (rc)
		snprintf(error->text, sizeof(error->text),
			 "cannot start a thread: %s", strerror(-rc));
	return rc;
}

void session_free(struct session *session)
{
	unsigned nr;

	if (!session)
		return;
	/* threads still starting others do so under the lock */
	for (nr = 0;; nr++) {
		bool more;

		pthread_mutex_lock(&session->lock);
		more = nr < session->nr_threads;
		pthread_mutex_unlock(&session->lock);
		if (!more)
			break;
		pthread_join(session->threads[nr], NULL);
	}
	/* they wait for the session's end where it has not begun, too */
	atomic_store(&session->ended, true);
	pthread_mutex_lock(&session->lock);
	pthread_cond_broadcast(&session->agreed);
	pthread_mutex_unlock(&session->lock);
	rings_join(session);
	free(session->ring_workers);
	free(session->ring_threads);
	if (session->fuse)
		fuse_session_destroy(session->fuse); /* closes fd */
	else if (session->fd >= 0)
		close(session->fd);
	free(session->threads);
	free(session);
}
