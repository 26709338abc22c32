/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "store/csum.h"
#include "store/dataset_internal.h"
#include "store/ilog_internal.h"
#include "store/node.h"
#include "store/pool_internal.h"
#include "store/store.h"
#include "store/util.h"
#include "tests/lib/check.h"

#define KEPT_MAX    160u
#define PAYLOAD_MAX (128u << 10)
#define NAME	    "name"

static struct {
	uint8_t *bytes; /* with the header */
	size_t len;
} kept[KEPT_MAX];
static unsigned nr_kept;

unsigned fuzz_log_nr(void)
{
	return nr_kept;
}

/* ---- real ones ----------------------------------------------------------- */

/* What has gathered since the last time. */
static void keep_gathered(struct pool *pool)
{
	static uint64_t seen;
	const struct list *head = &pool->ilog->gathered;

	for (const struct list *i = head->next; i != head; i = i->next) {
		const struct ilog_record *r =
			container_of(i, const struct ilog_record, link);
		struct ilog_record_header h = {
			.length = le32_of((uint32_t)sizeof(h) + r->len),
			.txg = le40_of(r->txg),
		};

		if (r->lsn <= seen || r->len > 4096 || nr_kept == KEPT_MAX)
			continue;
		seen = r->lsn;
		kept[nr_kept].len = sizeof(h) + r->len;
		kept[nr_kept].bytes = malloc(kept[nr_kept].len);
		MUST(kept[nr_kept].bytes);
		memcpy(kept[nr_kept].bytes, &h, sizeof(h));
		memcpy(kept[nr_kept++].bytes + sizeof(h), r->bytes, r->len);
	}
}

static uint64_t make(struct dataset *ds, uint64_t dir, const char *name,
		     uint32_t mode)
{
	struct file_new n = {.mode = mode, .target = "../x"};
	struct file_attr attr;

	MUST(file_create(ds, dir, name, strlen(name), &n, &attr) == 0);
	return attr.ino;
}

static void change_files(struct pool *pool, struct dataset *ds)
{
	static uint8_t buf[40000];
	struct file_attr attr = {.size = 20000};
	uint64_t dir = make(ds, INO_ROOT, "d", S_IFDIR | 0755), ino, copied;

	ino = make(ds, dir, "new", S_IFREG | 0644);
	make(ds, dir, "l", S_IFLNK | 0777);
	memset(buf, 'a', sizeof(buf));
	for (size_t i = 0; i < sizeof(buf); i += 3)
		buf[i] = (uint8_t)(i * i >> 4);
	MUST(file_write(ds, ino, 0, buf, 32768, 0) == 0);
	MUST(file_write(ds, ino, 40000, buf, 700, 0) == 0);
	MUST(file_write(ds, ino, 100, buf, 300, 0) == 0);
	MUST(file_setattr(ds, ino, FILE_SET_SIZE, &attr, NULL) == 0);
	MUST(file_fallocate(ds, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    0, 16384, 0) == 0);
	keep_gathered(pool);
	MUST(file_setxattr(ds, ino, "user.new", buf, 2000, 0) == 0);
	MUST(file_removexattr(ds, ino, "user.new") == 0);
	MUST(file_link(ds, ino, INO_ROOT, "second", 6, &attr) == 0);
	MUST(file_copy(ds, ino, 16384, ds, ino, 65536, 16384, 0, &copied) == 0);
	MUST(file_rename(ds, dir, "new", 3, INO_ROOT, "moved", 5, 0, NULL) ==
	     0);
	MUST(file_unlink(ds, INO_ROOT, "moved", 5, NULL) == 0);
	MUST(file_open(ds, ino, true) == 0);
	MUST(file_unlink(ds, INO_ROOT, "second", 6, NULL) == 0);
	MUST(file_write(ds, ino, 200, buf, 3000, 0) == 0);
	file_close(ds, ino, true);
	file_purge_orphans(ds);
	attr.mode = 0600;
	MUST(file_setattr(ds, INO_ROOT, FILE_SET_MODE, &attr, NULL) == 0);
	keep_gathered(pool);
}

void fuzz_log_capture(const struct fuzz_base *base)
{
	static const char *const names[] = {"prod", "ci", "small"};
	struct blkdev *dev = fuzz_device(base->bytes, base->size);
	struct pool *pool = fuzz_open(dev, false);

	MUST(pool && pool->ilog);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct dataset *ds;

		MUST(dataset_open(pool, names[i], &ds) == 0);
		change_files(pool, ds);
		dataset_put(ds);
	}
	pool_abandon(pool);
	MUST(nr_kept > 20);
}

/* ---- made ones ----------------------------------------------------------- */

struct build {
	struct superblock *sb;
	uint64_t seq, pos, prev_csum, nr_ring;
	struct fuzz_input *in;
	/* of the batch */
	uint8_t *payload; /* PAYLOAD_MAX */
	size_t len;
	uint32_t nr_records;
	size_t record; /* where the log record starts that is being made */
	bool open;
	bool no_dataset; /* the next log record needs one */
};

static void append(struct build *b, const void *p, size_t len)
{
	if (b->len + len > PAYLOAD_MAX)
		return;
	memcpy(b->payload + b->len, p, len);
	b->len += len;
}

static uint64_t any_txg(const struct build *b, uint64_t v)
{
	uint64_t now = le64_get(b->sb->h.txg);

	return v & 0x80 ? fuzz_odd(v) : now + (v & 7) - 1;
}

static void record_end(struct build *b)
{
	struct ilog_record_header *h = (void *)(b->payload + b->record);

	if (!b->open)
		return;
	h->length = le32_of((uint32_t)(b->len - b->record));
	b->open = false;
	b->nr_records++;
}

static void record_begin(struct build *b)
{
	struct ilog_record_header h = {
		.txg = le40_of(le64_get(b->sb->h.txg) + 1)};
	struct ilog_dataset d = {.kind = ILOG_DATASET, .id = le32_of(1)};

	if (b->open)
		return;
	b->record = b->len;
	b->open = b->len + sizeof(h) + sizeof(d) <= PAYLOAD_MAX;
	if (!b->open)
		return;
	append(b, &h, sizeof(h));
	if (!b->no_dataset)
		append(b, &d, sizeof(d));
	b->no_dataset = false;
}

static struct key any_key(struct fuzz_input *in, uint8_t type)
{
	uint64_t v = fuzz_take(in, 2);

	return (struct key){
		.ino = v & 31 ? INO_FIRST + (v & 31) - 1 : INO_ROOT,
		.type = type,
		.offset = v & 0x8000 ? fuzz_odd(v >> 5) & OFFSET_MAX
				     : (v >> 5 & 31) * 4,
	};
}

static struct ilog_key key_store(const struct key *key)
{
	struct ilog_key k;

	key_encode(key, k.b);
	return k;
}

static void part_put(struct build *b)
{
	static const uint8_t types[] = {ITEM_INODE,  ITEM_XATTR,  ITEM_SYMLINK,
					ITEM_DIRENT, ITEM_ORPHAN, ITEM_EXTENT};
	uint64_t v = fuzz_take(b->in, 2);
	struct key key = any_key(b->in, types[v % ARRAY_SIZE(types)]);
	struct inode_item inode = {
		.mode = le32_of(v & 0x100 ? S_IFDIR | 0755 : S_IFREG | 0644),
		.nlink = le32_of(1),
		.size = le64_of(fuzz_odd(v >> 8)),
		.record_shift = 14,
	};
	struct dirent_item dirent = {
		.ino = le40_of(INO_FIRST + (v >> 8 & 31)),
		.type = 8,
		.name_len = sizeof(NAME) - 1,
	};
	struct orphan_item orphan = {
		.kind = (uint8_t)(v >> 8 & 3),
		.from = le64_of(fuzz_odd(v >> 10)),
	};
	struct ilog_put put = {.kind = ILOG_PUT};
	uint8_t value[256] = {3, 0, 0, 0, 2, 'a', 'b', 'c', 'd', 'e'};
	size_t len = v >> 8;

	switch (key.type) {
	case ITEM_INODE:
		key.offset = 0;
		memcpy(value, &inode, len = sizeof(inode));
		break;
	case ITEM_DIRENT:
		memcpy(value, &dirent, sizeof(dirent));
		memcpy(value + sizeof(dirent), NAME, sizeof(NAME));
		len = sizeof(dirent) + sizeof(NAME) - 1;
		break;
	case ITEM_ORPHAN:
		key = key_of(0, ITEM_ORPHAN, key.ino);
		memcpy(value, &orphan, len = sizeof(orphan));
	}
	put.key = key_store(&key);
	put.len = le16_of((uint16_t)len);
	append(b, &put, sizeof(put));
	append(b, value, len);
}

static void part_del(struct build *b)
{
	uint64_t v = fuzz_take(b->in, 1);
	struct key key = any_key(b->in, (uint8_t)(1 + v % 6));
	struct key last = any_key(b->in, (uint8_t)(2 + (v >> 3) % 5));
	struct ilog_del del = {.kind = ILOG_DEL};
	struct ilog_trim trim = {.kind = ILOG_TRIM};

	if (v & 0x80) {
		last.ino = key.ino;
		trim.first = key_store(&key);
		trim.last = key_store(&last);
		append(b, &trim, sizeof(trim));
		return;
	}
	if (key.type == ITEM_INODE)
		key.offset = 0;
	if (key.type == ITEM_ORPHAN)
		key = key_of(0, ITEM_ORPHAN, key.ino);
	del.key = key_store(&key);
	append(b, &del, sizeof(del));
}

static void part_extent(struct build *b)
{
	uint64_t v = fuzz_take(b->in, 2), blkno;
	struct key key = any_key(b->in, ITEM_EXTENT);
	uint64_t nr_blocks = le64_get(b->sb->nr_blocks);
	struct ilog_extent x = {
		.kind = ILOG_EXTENT,
		.run = (uint8_t)(v & 3),
		.item.meta = (uint8_t)(v >> 2 & 3),
		.item.birth = le40_of(any_txg(b, v >> 12)),
	};

	/* free, in use, or impossible */
	blkno = v & 0x10   ? nr_blocks - 100 - (v >> 5 & 63)
		: v & 0x20 ? 64 + (v >> 6 & 255)
			   : fuzz_odd(v >> 6);
	x.item.blkno = le40_of(blkno);
	if (v & 0x8000)
		x.item.meta |= EXTENT_ZSTD << 5;
	if (blkno > 0 && blkno < nr_blocks - 4) {
		static uint8_t data[4 * BLOCK_SIZE];

		for (unsigned i = 0; i < 4; i++)
			memcpy(data + i * BLOCK_SIZE,
			       fuzz_device_block(blkno + i), BLOCK_SIZE);
		x.item.csum = le64_of(
			csum_of(data, ((x.item.meta & 3u) + 1) * BLOCK_SIZE,
				META_RECORD));
	}
	x.key = key_store(&key);
	append(b, &x, sizeof(x));
}

static void part_bytes(struct build *b)
{
	static const uint8_t bytes[600];
	uint64_t v = fuzz_take(b->in, 2);
	struct key key = any_key(b->in, ITEM_EXTENT);
	uint32_t len =
		v & 0x8000 ? (uint32_t)fuzz_odd(v) : (uint32_t)(v & 511) + 1;
	struct ilog_bytes x = {
		.kind = ILOG_BYTES,
		.zero = (uint8_t)(v >> 9 & 1),
		.ino = le40_of(key.ino),
		.offset = le64_of((key.offset << BLOCK_SHIFT) + (v >> 10 & 31)),
		.len = le32_of(len),
	};

	append(b, &x, sizeof(x));
	if (!x.zero)
		append(b, bytes, MIN_OF(len, (uint32_t)sizeof(bytes)));
}

static void part_dataset(struct build *b)
{
	struct ilog_dataset d = {
		.kind = ILOG_DATASET,
		.id = le32_of((uint32_t)fuzz_take(b->in, 1) % 12),
	};

	append(b, &d, sizeof(d));
}

/* One that is about datasets; its log record has no others. */
static void part_root(struct build *b)
{
	uint64_t v = fuzz_take(b->in, 2);
	struct timespec_item time = {.sec = le64_of(1800000000)};
	struct ilog_properties p = {.record_shift = (uint8_t)(12 + (v >> 13)),
				    .compression = le32_of((uint32_t)v)};
	struct le32 ds = le32_of(v & 15),
		    id = le32_of(le32_get(b->sb->next_dataset) + (v >> 4 & 3));
	struct le32 other = le32_of(v >> 8 & 15);
	struct le40 sealed = le40_of(any_txg(b, v >> 6));
	uint8_t name_len = sizeof(NAME) - 1;
	struct ilog_create create = {ILOG_CREATE, id, time, p, name_len};
	struct ilog_snapshot snapshot = {
		ILOG_SNAPSHOT, ds, id, sealed, time, v >> 12 & 1, name_len};
	struct ilog_clone clone = {ILOG_CLONE, ds, id, sealed, time, name_len};
	struct ilog_restore restore = {ILOG_RESTORE, ds,   other,   id,
				       sealed,	     time, name_len};
	struct ilog_destroy destroy = {ILOG_DESTROY, ds, v >> 8 & 1};
	struct ilog_rename rename = {ILOG_RENAME, ds, name_len};
	struct ilog_set set = {ILOG_SET, ds, p};
	struct ilog_user user = {ILOG_USER, ds, le16_of(2),
				 le32_of(v & 0x1000 ? 2 : ILOG_USER_UNSET)};
	const struct {
		const void *p;
		size_t len;
	} parts[] = {
		{&create, sizeof(create)},   {&snapshot, sizeof(snapshot)},
		{&clone, sizeof(clone)},     {&restore, sizeof(restore)},
		{&destroy, sizeof(destroy)}, {&rename, sizeof(rename)},
		{&set, sizeof(set)},	     {&user, sizeof(user)},
	};
	uint64_t i = fuzz_take(b->in, 1) % ARRAY_SIZE(parts);

	append(b, parts[i].p, parts[i].len);
	if (i < 4 || i == 5)
		append(b, NAME, name_len);
	else if (i == 7)
		append(b, NAME, v & 0x1000 ? 4 : 2);
}

/* A log record that an op made, as it is or to be changed. */
static void add_kept(struct build *b)
{
	unsigned i = (unsigned)fuzz_take(b->in, 1) % nr_kept;

	record_end(b);
	b->record = b->len;
	append(b, kept[i].bytes, kept[i].len);
	b->nr_records++;
}

/* A byte or a number of the log record that was added last. */
static void patch(struct build *b)
{
	uint64_t at = fuzz_take(b->in, 2), v = fuzz_take(b->in, 1);
	size_t len = b->len - b->record;
	static const uint8_t widths[] = {1, 2, 4, 5, 8};
	unsigned w = widths[at >> 12 & 3];

	at &= 0xfff;
	if (len < 8)
		return;
	at = b->record + at % (len - 7);
	if (v & 0x80)
		le_store(b->payload + at, w, fuzz_odd(v));
	else
		b->payload[at] = (uint8_t)(v << 1 | v >> 6);
}

/* ---- batches ------------------------------------------------------------- */

/* Fields of a batch's header, before they are sealed. */
static void patch_header(struct build *b, struct ilog_batch *h)
{
	uint64_t v = fuzz_take(b->in, 2);

	/* zeros, which follow an input's end, change nothing */
	switch (v & 15) {
	case 10:
		h->epoch = le64_of(le64_get(h->epoch) + 1);
		break;
	case 1:
		h->seq = le64_of(le64_get(h->seq) + (v >> 4 & 7));
		break;
	case 2:
		h->prev_csum = le64_of(v);
		break;
	case 3:
		h->flushed_seq = le64_of(fuzz_odd(v >> 4));
		break;
	case 4:
		h->committed_txg = le64_of(any_txg(b, v >> 4));
		break;
	case 5:
		h->nr_blocks = le32_of((uint32_t)fuzz_odd(v >> 4));
		break;
	case 6:
		h->nr_records = le32_of((uint32_t)fuzz_odd(v >> 4));
		break;
	case 7:
		h->length = le64_of(fuzz_odd(v >> 4));
		break;
	case 8:
		h->payload_csum = le64_of(v);
		break;
	case 9:
		h->h.txg = le64_of(fuzz_odd(v >> 4));
		break;
	default: /* it stays as it is */
		break;
	}
}

static uint64_t ring_blkno(const struct build *b, uint64_t pos)
{
	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX; i++) {
		uint32_t nr = le32_get(b->sb->ilog[i].nr);

		if (pos < nr)
			return le64_get(b->sb->ilog[i].first) + pos;
		pos -= nr;
	}
	return UINT64_MAX;
}

static void batch_write(struct build *b, const uint8_t *bytes, uint32_t nr,
			uint64_t pos)
{
	for (uint32_t i = 0; i < nr; i++) {
		uint64_t blkno = ring_blkno(b, pos + i);

		if (blkno < le64_get(b->sb->nr_blocks))
			memcpy(fuzz_device_block(blkno), bytes + i * BLOCK_SIZE,
			       BLOCK_SIZE);
	}
}

static void batch_end(struct build *b)
{
	size_t total = sizeof(struct ilog_batch) + b->len;
	uint32_t nr = (uint32_t)div_round_up(total, BLOCK_SIZE);
	uint8_t *bytes = calloc(nr, BLOCK_SIZE);
	struct ilog_batch *h = (void *)bytes;
	struct le64 stamp[3];

	record_end(b);
	MUST(bytes);
	if (b->pos % b->nr_ring + nr > b->nr_ring)
		b->pos = 0;
	b->pos %= b->nr_ring;
	memcpy(h + 1, b->payload, b->len);
	h->h.type = le32_of(META_ILOG_BATCH);
	h->h.pool_id = b->sb->h.pool_id;
	h->h.blkno = le64_of(b->pos);
	h->h.txg = le64_of(le64_get(b->sb->h.txg) + 1);
	memcpy(h->uuid, b->sb->uuid, sizeof(h->uuid));
	h->epoch = b->sb->ilog_epoch;
	h->seq = le64_of(b->seq);
	h->prev_csum = le64_of(b->prev_csum);
	h->flushed_seq = le64_of(b->seq - 1);
	h->committed_txg = b->sb->h.txg;
	h->nr_blocks = le32_of(nr);
	h->nr_records = le32_of(b->nr_records);
	h->length = le64_of(b->len);
	h->payload_csum = le64_of(csum_of(h + 1, b->len, META_ILOG_BATCH));
	patch_header(b, h);
	stamp[0] = h->epoch;
	stamp[1] = h->seq;
	stamp[2] = le64_of(b->pos);
	h->stamp = le64_of(
		csum_of(stamp, sizeof(stamp), le64_get(b->sb->hash_seed)));
	fuzz_seal(h, META_ILOG_BATCH);
	batch_write(b, bytes, nr, b->pos);
	b->seq = le64_get(h->seq) + 1;
	b->pos += nr;
	b->prev_csum = le64_get(h->h.csum);
	b->len = b->record = 0;
	b->nr_records = 0;
	free(bytes);
}

static void step(struct build *b)
{
	uint8_t what = (uint8_t)fuzz_take(b->in, 1);

	switch (what % 16) {
	case 0:
		batch_end(b);
		return;
	case 1:
		record_end(b);
		b->no_dataset = what & 16;
		return;
	case 2:
	case 3:
	case 4:
		add_kept(b);
		return;
	case 5:
	case 6:
		patch(b);
		return;
	default:
		break;
	}
	if (what % 16 == 15) {
		record_end(b);
		b->no_dataset = true;
	}
	record_begin(b);
	if (!b->open)
		return;
	switch (what % 16) {
	case 7:
	case 8:
		part_put(b);
		break;
	case 9:
		part_del(b);
		break;
	case 10:
	case 11:
		part_extent(b);
		break;
	case 12:
		part_bytes(b);
		break;
	case 13:
	case 14:
		part_dataset(b);
		break;
	default:
		part_root(b);
	}
}

void fuzz_log_write(struct superblock *sb, struct fuzz_input *in, unsigned max)
{
	struct build b = {
		.sb = sb,
		.in = in,
		.seq = le64_get(sb->ilog_seq),
		.pos = le64_get(sb->ilog_pos),
		.prev_csum = le64_get(sb->ilog_prev_csum),
	};

	for (unsigned i = 0; i < ILOG_SEGMENTS_MAX; i++)
		b.nr_ring += le32_get(sb->ilog[i].nr);
	if (b.nr_ring < 64)
		return;
	b.payload = malloc(PAYLOAD_MAX);
	MUST(b.payload);
	for (unsigned i = 0; i < max && in->left > 0; i++)
		step(&b);
	if (b.len > 0)
		batch_end(&b);
	free(b.payload);
}
