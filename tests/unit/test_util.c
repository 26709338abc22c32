/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/le.h"
#include "store/util.h"
#include "tests/lib/check.h"

static char last_text[2048];
static int nr_texts;

static void keep_text(enum log_level level, const char *text)
{
	(void)level;
	snprintf(last_text, sizeof(last_text), "%s", text);
	nr_texts++;
	errno = EBADF;
}

static int log_setup(void **state)
{
	(void)state;
	log_set_sink(keep_text);
	log_set_level(LOG_LEVEL_WARN);
	nr_texts = 0;
	last_text[0] = '\0';
	return 0;
}

static int log_teardown(void **state)
{
	(void)state;
	log_set_sink(NULL);
	log_set_level(LOG_LEVEL_WARN);
	return 0;
}

static void log__drops_what_is_below_the_level(void **state)
{
	(void)state;
	log_info("not seen");
	CHECK_INT(nr_texts, 0);
	log_warn("seen n=%d", 7);
	CHECK_INT(nr_texts, 1);
	CHECK_STR(last_text, "seen n=7");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("now seen");
	CHECK_INT(nr_texts, 2);
}

static void log__text_from_outside_cannot_make_a_second_line(void **state)
{
	(void)state;
	log_error("bad name='%s'", "a\nerror: b\033[2J\177");
	CHECK_STR(last_text, "bad name='a?error: b?[2J?'");
}

static void log__keeps_errno(void **state)
{
	(void)state;
	errno = ENOSPC;
	log_error("x");
	CHECK_INT(errno, ENOSPC);
}

static void log__long_text_is_cut_not_overrun(void **state)
{
	char text[4000];

	(void)state;
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	log_error("%s", text);
	CHECK(strlen(last_text) > 500 && strlen(last_text) < 2000);
}

static void dbs_assert__aborts_in_every_build(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		dbs_assert(nr_texts == -1);
		_exit(0);
	}
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void round__holds_at_the_edges(void **state)
{
	(void)state;
	CHECK_UINT(div_round_up(0, 4096), 0);
	CHECK_UINT(div_round_up(1, 4096), 1);
	CHECK_UINT(div_round_up(4096, 4096), 1);
	CHECK_UINT(div_round_up(UINT64_MAX, 2), UINT64_C(1) << 63);
	CHECK_UINT(round_up(4097, 4096), 8192);
	CHECK_UINT(round_down(8191, 4096), 4096);
}

struct item {
	int n;
	struct list link;
};

static void list__keeps_order_and_deletes_twice_harmlessly(void **state)
{
	struct item a = {.n = 1}, b = {.n = 2};
	struct list head;

	(void)state;
	list_init(&head);
	CHECK(list_empty(&head));
	list_add_tail(&head, &a.link);
	list_add_tail(&head, &b.link);
	CHECK_INT(list_first(&head, struct item, link)->n, 1);
	list_del(&a.link);
	list_del(&a.link);
	CHECK_INT(list_first(&head, struct item, link)->n, 2);
	list_del(&b.link);
	CHECK(list_empty(&head));
}

static void le__bytes_are_little_endian_and_come_back(void **state)
{
	static const uint8_t want[8] = {0xef, 0xcd, 0xab, 0x89,
					0x67, 0x45, 0x23, 0x01};
	const uint64_t v = UINT64_C(0x0123456789abcdef);

	(void)state;
	CHECK_MEM(le64_of(v).b, want, 8);
	CHECK_MEM(le40_of(v & LE40_MAX).b, want, 5);
	CHECK_MEM(le32_of((uint32_t)v).b, want, 4);
	CHECK_MEM(le16_of((uint16_t)v).b, want, 2);
	CHECK_UINT(le64_get(le64_of(v)), v);
	CHECK_UINT(le40_get(le40_of(LE40_MAX)), LE40_MAX);
	CHECK_UINT(le32_get(le32_of(UINT32_MAX)), UINT32_MAX);
	CHECK_UINT(le24_get(le24_of(0xabcdef)), 0xabcdef);
	CHECK_UINT(le16_get(le16_of(0xfffe)), 0xfffe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			log__drops_what_is_below_the_level, log_setup,
			log_teardown),
		cmocka_unit_test_setup_teardown(
			log__text_from_outside_cannot_make_a_second_line,
			log_setup, log_teardown),
		cmocka_unit_test_setup_teardown(log__keeps_errno, log_setup,
						log_teardown),
		cmocka_unit_test_setup_teardown(
			log__long_text_is_cut_not_overrun, log_setup,
			log_teardown),
		cmocka_unit_test(dbs_assert__aborts_in_every_build),
		cmocka_unit_test(round__holds_at_the_edges),
		cmocka_unit_test(
			list__keeps_order_and_deletes_twice_harmlessly),
		cmocka_unit_test(le__bytes_are_little_endian_and_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
