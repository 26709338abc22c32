/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/proof.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#define XXH_INLINE_ALL /* most of what is hashed is short */
#include <xxhash.h>

#include "store/store.h"
#include "tools/import/proof_internal.h"

#define WORD_GRAMS_MAX	 24u
#define RESULT_BYTES_MAX 16u
#define FIRST_BITS_MIN	 16u /* 8 KiB */
#define FIRST_BITS_MAX	 21u /* 256 KiB */

#define HUGE_PAGE ((size_t)2 << 20)

/* ---- tables -------------------------------------------------------------- */

/* Zeros.  Large ones are read all over, so that small pages would cost most. */
static void *table_new(size_t bytes)
{
	void *p;

	if (bytes < HUGE_PAGE)
		return calloc(1, bytes);
	bytes = (bytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	p = aligned_alloc(HUGE_PAGE, bytes);
	if (!p)
		return NULL;
	madvise(p, bytes, MADV_HUGEPAGE);
	return memset(p, 0, bytes);
}

static uint64_t *map_new(unsigned bits)
{
	return table_new(sizeof(uint64_t) << (bits - 6));
}

uint64_t proof_hash(const struct proof *proof, const void *p, size_t len)
{
	const uint64_t h = XXH3_64bits_withSeed(p, len, proof->seed + len);

	return h ? h : 1;
}

struct proof_entry *proof_find(const struct proof *proof, uint64_t hash)
{
	size_t at = hash & (proof->cap - 1);

	while (proof->entries[at].hash && proof->entries[at].hash != hash)
		at = (at + 1) & (proof->cap - 1);
	return &proof->entries[at];
}

struct proof_begin *proof_begin(const struct proof *proof, uint64_t gram)
{
	size_t at = (gram >> 24) & (proof->cap_begins - 1);

	while (proof->begins[at].gram && proof->begins[at].gram != gram)
		at = (at + 1) & (proof->cap_begins - 1);
	return &proof->begins[at];
}

/* Is it one of those that stay? */
static bool is_sampled(const struct proof *proof, uint64_t hash)
{
	return !proof->level || !(hash >> (64 - proof->level));
}

/* Twice the room, and without what the level lets go. */
static int rebuild(struct proof *proof, size_t cap)
{
	struct proof_entry *old = proof->entries;
	const size_t old_cap = proof->cap;

	proof->entries = table_new(cap * sizeof(*old));
	if (!proof->entries) {
		proof->entries = old;
		return -ENOMEM;
	}
	proof->cap = cap;
	proof->nr = 0;
	for (size_t i = 0; i < old_cap; i++) {
		if (!old[i].hash || !is_sampled(proof, old[i].hash))
			continue;
		*proof_find(proof, old[i].hash) = old[i];
		proof->nr++;
	}
	free(old);
	return 0;
}

static int make_room(struct proof *proof)
{
	if (proof->nr >= PROOF_VALUES_MAX) {
		proof->level++;
		return rebuild(proof, proof->cap);
	}
	if (proof->nr * 4 >= proof->cap * 3)
		return rebuild(proof, proof->cap * 2);
	return 0;
}

/* ---- text ---------------------------------------------------------------- */

static inline bool is_letter(unsigned char c)
{
	return (unsigned)(c | 32) - 'a' < 26u || c >= 0x80;
}

/* What stands in names of places too. */
static inline bool is_wordy(unsigned char c)
{
	return is_letter(c) || c == ' ' || c == '-' || c == '\'' || c == '.';
}

static bool proof_wordy[256];

static void make_wordy(void)
{
	for (unsigned c = 0; c < 256; c++)
		proof_wordy[c] = is_wordy((unsigned char)c);
}

static inline uint64_t filter_at(uint64_t gram)
{
	return gram >> (64 - FILTER_BITS);
}

static uint64_t gram_of(const struct proof *proof, const char *p)
{
	char bytes[8] = {0};

	memcpy(bytes, p, GRAM_BYTES);
	return proof_gram(proof, bytes);
}

void proof_row(struct proof *proof)
{
	proof->nr_tail = 0;
}

/*
 * The grams of @n bytes of letters that end at @from or later; @readable bytes
 * can be read from @p on.
 */
static void keep_run(struct proof *proof, const char *p, size_t n,
		     size_t readable, size_t from)
{
	size_t i = from > GRAM_BYTES - 1 ? from - (GRAM_BYTES - 1) : 0;
	uint64_t *filter = proof->filter;
	uint32_t *recent = proof->recent;

	for (; i + GRAM_BYTES <= n; i++) {
		const uint64_t at = filter_at(i + sizeof(uint64_t) <= readable
						      ? proof_gram(proof, p + i)
						      : gram_of(proof, p + i));

		/* mostly one of the last thousands, and seen without a miss */
		if (recent[at % RECENT] == at)
			continue;
		recent[at % RECENT] = (uint32_t)at;
		/* the others are written when memory has come */
		__builtin_prefetch(&filter[at >> 6], 1);
		proof_set(filter, proof->pending[proof->nr_pending % PENDING]);
		proof->pending[proof->nr_pending++ % PENDING] = (uint32_t)at;
	}
}

static void keep_grams(struct proof *proof, const char *text, size_t len,
		       size_t from)
{
	size_t start = 0, end;

	for (; start + GRAM_BYTES <= len; start = end + 1) {
		end = start;
		while (end < len && proof_wordy[(unsigned char)text[end]])
			end++;
		if (end - start >= GRAM_BYTES)
			keep_run(proof, text + start, end - start, len - start,
				 from > start ? from - start : 0);
	}
}

void proof_text(struct proof *proof, const char *text, size_t len)
{
	char joint[2 * GRAM_BYTES];
	size_t n = MIN_OF(len, (size_t)GRAM_BYTES - 1);

	/* no byte stands between two texts of a row */
	memcpy(joint, proof->tail, proof->nr_tail);
	memcpy(joint + proof->nr_tail, text, n);
	if (proof->nr_tail)
		keep_grams(proof, joint, proof->nr_tail + n, proof->nr_tail);
	keep_grams(proof, text, len, 0);
	if (len >= GRAM_BYTES - 1) {
		memcpy(proof->tail, text + len - (GRAM_BYTES - 1),
		       GRAM_BYTES - 1);
		proof->nr_tail = GRAM_BYTES - 1;
	} else {
		const size_t all = proof->nr_tail + len;
		const size_t keep = MIN_OF(all, (size_t)GRAM_BYTES - 1);

		memcpy(proof->tail, joint + all - keep, keep);
		proof->nr_tail = keep;
	}
}

/* Where two bits of a result are; a sample has zeros at the hash's top. */
static void result_bits(uint64_t hash, uint64_t at[2])
{
	at[0] = hash & ((UINT64_C(1) << RESULT_BITS) - 1);
	at[1] = hash >> RESULT_BITS & ((UINT64_C(1) << RESULT_BITS) - 1);
}

static void keep_result(struct proof *proof, const char *p, size_t len)
{
	const uint64_t hash = proof_hash(proof, p, len);
	uint64_t at[2];

	/* no original that stays has this hash */
	if (!is_sampled(proof, hash))
		return;
	result_bits(hash, at);
	proof_set(proof->results, at[0]);
	proof_set(proof->results, at[1]);
}

/* The result, and what of it could be the whole of a shorter one. */
static void keep_results(struct proof *proof, const char *p, size_t len)
{
	if (len > PROOF_LENGTH_MAX)
		len = PROOF_LENGTH_MAX;
	keep_result(proof, p, len);
	if (len > RESULT_BYTES_MAX)
		return;
	for (size_t n = PROOF_DIGITS_MIN; n < len; n++)
		for (size_t i = 0; i + n <= len; i++)
			keep_result(proof, p + i, n);
}

static bool is_result(const struct proof *proof, uint64_t hash)
{
	uint64_t at[2];

	result_bits(hash, at);
	return proof_bit(proof->results, at[0]) &&
	       proof_bit(proof->results, at[1]);
}

/* ---- values -------------------------------------------------------------- */

/* Too short to say anything? */
static bool is_short(const char *p, size_t len)
{
	size_t letters = 0, digits = 0;

	if (len < PROOF_LENGTH_MIN)
		return true;
	for (size_t i = 0; i < len; i++) {
		letters += is_letter((unsigned char)p[i]);
		digits += (unsigned char)(p[i] - '0') < 10;
	}
	return !letters && digits < PROOF_DIGITS_MIN;
}

static bool is_word(const char *p, size_t len, bool city)
{
	if (!city && len >= PROOF_WORD_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (city ? !is_wordy((unsigned char)p[i])
			 : !is_letter((unsigned char)p[i]))
			return false;
	return true;
}

/* Remember which bits of the filter would explain the word. */
static int keep_word(struct proof *proof, const char *p, size_t len,
		     uint32_t *word)
{
	size_t nr = len - GRAM_BYTES + 1;

	if (nr > WORD_GRAMS_MAX)
		nr = WORD_GRAMS_MAX;
	if (proof->nr_grams + nr + 2 > proof->cap_grams) {
		const size_t cap = 2 * proof->cap_grams + 4096;
		uint32_t *grams =
			reallocarray(proof->grams, cap, sizeof(*grams));

		if (!grams)
			return -ENOMEM;
		proof->grams = grams;
		proof->cap_grams = cap;
	}
	if (!proof->nr_grams)
		proof->grams[proof->nr_grams++] = 0; /* 0 is no word */
	*word = (uint32_t)proof->nr_grams;
	proof->grams[proof->nr_grams++] = (uint32_t)nr;
	for (size_t i = 0; i < nr; i++)
		proof->grams[proof->nr_grams++] =
			(uint32_t)filter_at(gram_of(proof, p + i));
	return 0;
}

static int keep_value(struct proof *proof, int column, const char *p,
		      size_t len)
{
	const struct proof_column *c = &proof->columns[column];
	struct proof_entry *e;
	uint64_t hash;
	int err = 0;

	if (len > PROOF_LENGTH_MAX)
		len = PROOF_LENGTH_MAX;
	hash = proof_hash(proof, p, len);
	if (!is_sampled(proof, hash))
		return 0;
	e = proof_find(proof, hash);
	if (e->hash)
		return 0;
	*e = (struct proof_entry){.hash = hash,
				  .gram = gram_of(proof, p),
				  .column = (uint16_t)column,
				  .len = (uint8_t)len};
	proof->nr++;
	if (is_word(p, len, c->city))
		err = keep_word(proof, p, len, &e->word);
	return err ? err : make_room(proof);
}

/* UTF-8 to latin1, where that is another text; its length, 0: none. */
static size_t to_latin1(const char *in, size_t len, char *out, size_t cap)
{
	size_t n = 0;
	bool other = false;

	for (size_t i = 0; i < len && n < cap; i++) {
		const unsigned char c = (unsigned char)in[i];

		if (c < 0x80) {
			out[n++] = in[i];
			continue;
		}
		if (c < 0xc2 || c > 0xc3 || i + 1 == len)
			return 0;
		out[n++] = (char)(c << 6 | ((unsigned char)in[++i] & 0x3f));
		other = true;
	}
	return other ? n : 0;
}

int proof_value(struct proof *proof, int column, const struct mask_value *in,
		const struct mask_buf *out)
{
	const struct proof_column *c = &proof->columns[column];
	char latin1[PROOF_LENGTH_MAX];
	size_t len;
	int err;

	proof->stats.nr_seen++;
	if (out->kind == VALUE_STRING && out->len > 0) {
		proof_text(proof, out->bytes, out->len);
		if (c->dense)
			keep_results(proof, out->bytes, out->len);
	}
	if (!in->len || !in->bytes[0]) {
		proof->stats.nr_short++;
		return 0;
	}
	if (is_short(in->bytes, in->len)) {
		proof->stats.nr_short++;
		return 0;
	}
	if (out->len >= in->len && out->kind != VALUE_NULL &&
	    memmem(out->bytes, out->len, in->bytes, in->len))
		return -EBADMSG;
	err = keep_value(proof, column, in->bytes, in->len);
	len = c->latin1 && !err
		      ? to_latin1(in->bytes, in->len, latin1, sizeof(latin1))
		      : 0;
	if (len >= PROOF_LENGTH_MIN)
		err = keep_value(proof, column, latin1, len);
	return err;
}

void proof_binary(struct proof *proof)
{
	proof->stats.nr_seen++;
	proof->stats.nr_binary++;
}

int proof_column(struct proof *proof, const char *name, bool city, bool dense,
		 bool latin1)
{
	struct proof_column *columns = reallocarray(
		proof->columns, proof->nr_columns + 1u, sizeof(*columns));

	if (!columns)
		return -ENOMEM;
	proof->columns = columns;
	if (proof->nr_columns == UINT16_MAX)
		return UINT16_MAX - 1; /* named wrongly, but found */
	columns += proof->nr_columns;
	*columns = (struct proof_column){strdup(name), city, dense, latin1};
	return columns->name ? (int)proof->nr_columns++ : -ENOMEM;
}

/* ---- before the scan ------------------------------------------------------- */

static bool is_explained(const struct proof *proof, uint32_t word)
{
	for (uint32_t i = 1; i <= proof->grams[word]; i++)
		if (!proof_bit(proof->filter, proof->grams[word + i]))
			return false;
	return true;
}

static void leave_out(struct proof *proof)
{
	struct proof_stats *stats = &proof->stats;

	for (unsigned i = 0; i < PENDING; i++)
		proof_set(proof->filter, proof->pending[i]);
	stats->nr_values = stats->nr_words = stats->nr_dense = 0;
	for (size_t i = 0; i < proof->cap; i++) {
		struct proof_entry *e = &proof->entries[i];

		if (!e->hash)
			continue;
		e->left_out = true;
		if (e->word && is_explained(proof, e->word)) {
			stats->nr_words++;
		} else if (proof->columns[e->column].dense &&
			   is_result(proof, e->hash)) {
			stats->nr_dense++;
		} else {
			e->left_out = false;
			stats->nr_values++;
		}
	}
	stats->nr_sampled = UINT64_C(1) << proof->level;
}

/* The six bytes that proof_mix() made @gram of, in the upper ones. */
static uint64_t unmix(const struct proof *proof, uint64_t gram)
{
	uint64_t inverse = proof->key, x;

	/* Newton: each step doubles the bits that are right */
	for (unsigned i = 0; i < 6; i++)
		inverse *= 2 - proof->key * inverse;
	x = gram * inverse;
	return x ^ x >> 29 ^ x >> 58;
}

/* What is looked for by its beginning, and how many beginnings there are. */
static size_t make_begins(struct proof *proof)
{
	size_t nr = 0;

	for (size_t i = 0; i < proof->cap; i++) {
		const struct proof_entry *e = &proof->entries[i];
		struct proof_begin *b;

		if (!e->hash || e->left_out)
			continue;
		b = proof_begin(proof, e->gram);
		nr += !b->gram;
		b->gram = e->gram;
		b->lengths |= UINT64_C(1) << (e->len - 1);
	}
	return nr;
}

static unsigned bits_for(size_t nr, unsigned min, unsigned max)
{
	while (min < max && UINT64_C(1) << min < nr)
		min++;
	return min;
}

static size_t set_bits(const uint64_t *map, unsigned bits)
{
	size_t nr = 0;

	for (size_t i = 0; i < (size_t)1 << (bits - 6); i++)
		nr += (size_t)__builtin_popcountll(map[i]);
	return nr;
}

/*
 * The map of four bytes, as small as it can be with few bits in it.  Beginnings
 * have four bytes in common more often than six.
 */
static int make_first(struct proof *proof)
{
	proof->first_bits = FIRST_BITS_MAX;
	free(proof->first);
	proof->first = map_new(FIRST_BITS_MAX);
	if (!proof->first)
		return -ENOMEM;
	for (size_t i = 0; i < proof->cap_begins; i++) {
		const uint64_t gram = proof->begins[i].gram;
		const uint32_t four =
			gram ? (uint32_t)(unmix(proof, gram) >> 16) : 0;

		if (gram)
			proof_set(proof->first,
				  proof_first(four, proof->first_key,
					      FIRST_BITS_MAX));
	}
	while (proof->first_bits > FIRST_BITS_MIN &&
	       set_bits(proof->first, proof->first_bits) <
		       (size_t)1 << (proof->first_bits - 6)) {
		/* two bits become one: those of an upper half of 32 each */
		const size_t half = (size_t)1 << (proof->first_bits - 1);

		for (size_t i = 0; i < half; i++) {
			const bool bit = proof_bit(proof->first, 2 * i) ||
					 proof_bit(proof->first, 2 * i + 1);

			proof->first[i >> 6] &= ~(UINT64_C(1) << (i & 63));
			if (bit)
				proof_set(proof->first, i);
		}
		proof->first_bits--;
	}
	return 0;
}

int proof_prepare(struct proof *proof)
{
	size_t nr;

	leave_out(proof);
	free(proof->begins);
	proof->cap_begins = (size_t)1
			    << bits_for(proof->stats.nr_values * 3 / 2, 12, 32);
	proof->begins = table_new(proof->cap_begins * sizeof(*proof->begins));
	if (!proof->begins)
		return -ENOMEM;
	nr = make_begins(proof);
	proof->bitmap_bits = bits_for(32 * nr, 16, 25);
	free(proof->bitmap);
	proof->bitmap = map_new(proof->bitmap_bits);
	if (!proof->bitmap)
		return -ENOMEM;
	for (size_t i = 0; i < proof->cap_begins; i++)
		if (proof->begins[i].gram)
			proof_set(proof->bitmap,
				  proof->begins[i].gram >>
					  (64 - proof->bitmap_bits));
	return make_first(proof);
}

/* ---- new and free ---------------------------------------------------------- */

int proof_new(struct proof **out)
{
	struct proof *proof = calloc(1, sizeof(*proof));
	uint64_t secret[2];

	if (!proof)
		return -ENOMEM;
	if (getrandom(secret, sizeof(secret), 0) != sizeof(secret)) {
		free(proof);
		return -EIO;
	}
	make_wordy();
	proof->key = secret[0] | 1;
	proof->seed = secret[1];
	proof->first_key = (uint32_t)(secret[1] >> 32) | 1;
	proof->cap = 4096;
	proof->entries = calloc(proof->cap, sizeof(*proof->entries));
	proof->filter = map_new(FILTER_BITS);
	proof->results = map_new(RESULT_BITS);
	if (!proof->entries || !proof->filter || !proof->results) {
		proof_free(proof);
		return -ENOMEM;
	}
	/* what recent[] begins with */
	proof_set(proof->filter, 0);
	*out = proof;
	return 0;
}

void proof_free(struct proof *proof)
{
	if (!proof)
		return;
	for (unsigned i = 0; i < proof->nr_columns; i++)
		free(proof->columns[i].name);
	free(proof->columns);
	free(proof->entries);
	free(proof->begins);
	free(proof->filter);
	free(proof->results);
	free(proof->grams);
	free(proof->bitmap);
	free(proof->first);
	free(proof);
}

const struct proof_stats *proof_stats(const struct proof *proof)
{
	return &proof->stats;
}
