/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reduce.c - a list that fails, made short
 *
 * Source: Zeller and Hildebrandt, "Simplifying and isolating failure-inducing
 * input", IEEE TSE 2002; here only complements, from halves down to single
 * operations, until nothing more can be taken out.
 */
#include "tests/fs/exerciser/ex.h"

struct reduce {
	const struct ex_settings *s;
	unsigned tries; /* left */
	unsigned repeat;
};

/* Threads do not meet in the same way each time: try more than once. */
static bool fails(struct reduce *r, const struct ex_list *list)
{
	struct ex_settings s = *r->s;

	s.replay = list;
	s.workers = list->workers;
	s.commit_ms = list->commit_ms;
	s.verbose = false;
	for (unsigned i = 0; i < r->repeat && r->tries > 0; i++) {
		r->tries--;
		if (ex_run_child(&s, true) == 1)
			return true;
	}
	return false;
}

/* Try without each part of @size operations; true: some could go. */
static bool pass(struct reduce *r, struct ex_list *list, size_t size)
{
	bool any = false;
	size_t at = list->nr;

	/* from the end: what comes after the failure goes first */
	while (at > 0 && r->tries > 0) {
		const size_t from = at > size ? at - size : 0;
		struct ex_list less;

		ex_list_copy(&less, list);
		ex_list_cut(&less, from, at);
		if (fails(r, &less)) {
			ex_list_free(list);
			*list = less;
			any = true;
			fprintf(stderr, "  %zu operations still fail\n",
				list->nr);
		} else {
			ex_list_free(&less);
		}
		at = from;
	}
	return any;
}

void ex_reduce(const struct ex_settings *s, struct ex_list *list,
	       unsigned tries)
{
	struct reduce r = {
		.s = s, .tries = tries, .repeat = list->workers > 1 ? 3 : 1};
	size_t size;

	if (!fails(&r, list)) {
		fprintf(stderr, "the list does not fail again\n");
		return;
	}
	for (size = list->nr / 2; size > 0; size /= 2)
		pass(&r, list, size);
	while (r.tries > 0 && pass(&r, list, 1))
		;
}
