/* SPDX-License-Identifier: Apache-2.0 */
/*
 * util.h - what several modules need and libc lacks
 *
 * Below: libc.  Above: all of store/.
 */
#ifndef DBS_STORE_UTIL_H
#define DBS_STORE_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member)                                        \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define MIN_OF(a, b) ((a) < (b) ? (a) : (b))
#define MAX_OF(a, b) ((a) > (b) ? (a) : (b))

static inline uint64_t div_round_up(uint64_t a, uint64_t b)
{
	return a / b + (a % b != 0);
}
static inline uint64_t round_down(uint64_t a, uint64_t b)
{
	return a - a % b;
}
static inline uint64_t round_up(uint64_t a, uint64_t b)
{
	return div_round_up(a, b) * b;
}

/* Asserts the program's own logic, in every build.  Never bytes from outside. */
#define dbs_assert(cond)                                                       \
	((cond) ? (void)0 : util_assert_failed(#cond, __FILE__, __LINE__))
_Noreturn void util_assert_failed(const char *what, const char *file, int line);

/* Doubly linked list, circular with a head. */
struct list {
	struct list *next, *prev;
};
static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l)
{
	return l->next == l;
}
static inline void list_add_tail(struct list *head, struct list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}
static inline void list_del(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	n->next = n->prev = n;
}
#define list_first(head, type, member) container_of((head)->next, type, member)

/*
 * Logging.  The store logs what it finds wrong, once, where it finds it, as
 * 'text key=value ...' in lower case; whoever links the store says where to.
 */
enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};
typedef void log_sink_fn(enum log_level level, const char *text);
/** Send messages to @fn (NULL: stderr).  Not thread-safe: call it first. */
void log_set_sink(log_sink_fn *fn);
/** Drop messages less urgent than @level (default LOG_LEVEL_WARN). */
void log_set_level(enum log_level level);
void log_write(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
#define log_error(...) log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
