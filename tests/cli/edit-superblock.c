/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edit-superblock.c - give a pool's superblocks another version or feature
 *
 * usage: edit-superblock POOL version|compat|ro_compat|incompat NUMBER
 *
 * For tests of what a later dbs would write: the checksums are good.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/csum.h"
#include "store/format.h"

static int edit(struct superblock *sb, const char *what, uint64_t number)
{
	if (!strcmp(what, "version"))
		sb->version = le32_of((uint32_t)number);
	else if (!strcmp(what, "compat"))
		sb->compat = le64_of(number);
	else if (!strcmp(what, "ro_compat"))
		sb->ro_compat = le64_of(number);
	else if (!strcmp(what, "incompat"))
		sb->incompat = le64_of(number);
	else
		return -1;
	sb->h.csum = le64_of(csum_of((char *)sb + sizeof(sb->h.csum),
				     sizeof(*sb) - sizeof(sb->h.csum),
				     META_SUPERBLOCK));
	return 0;
}

int main(int argc, char **argv)
{
	/* both copies of the ring: at the start of regions 0 and 1 */
	static const uint64_t copies[] = {0, REGION_BLOCKS};
	int fd = argc == 4 ? open(argv[1], O_RDWR) : -1, nr = 0;
	struct superblock sb;

	if (fd < 0) {
		fprintf(stderr, "usage: %s POOL WHAT NUMBER\n", argv[0]);
		return 64;
	}
	for (size_t i = 0; i < 2 * SUPERBLOCK_RING; i++) {
		uint64_t blkno =
			copies[i / SUPERBLOCK_RING] + i % SUPERBLOCK_RING;
		off_t at = (off_t)(blkno * BLOCK_SIZE);

		if (pread(fd, &sb, sizeof(sb), at) != (ssize_t)sizeof(sb) ||
		    le32_get(sb.h.type) != META_SUPERBLOCK)
			continue;
		if (edit(&sb, argv[2], strtoull(argv[3], NULL, 0)) ||
		    pwrite(fd, &sb, sizeof(sb), at) != (ssize_t)sizeof(sb))
			return 2;
		nr++;
	}
	close(fd);
	printf("%d superblocks\n", nr);
	return nr ? 0 : 1;
}
