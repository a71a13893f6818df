/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory where QEMU itself has it. Who may trace QEMU's process reads it there in a
 * microsecond, stops nothing and asks nobody; writes are QEMU's alone, which must drop what it has
 * translated of them. Nothing here is an error: what cannot be read so is read by QEMU.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "target/qemu_internal.h"

/* What is not worth two questions: the first megabyte, in which ROMs come and go; small ones. */
#define LOW_END	  0x100000u
#define BLOCK_MIN 0x80000u
#define PAGE	  4096u

void vp_qemu_direct_close(struct vp_qemu *q)
{
	if (q->mem_fd >= 0)
		close(q->mem_fd);
	q->mem_fd = -1;
	q->nblocks = 0;
}

/*
 * The descriptor stays that of the process which had the number when it was opened, and reads
 * nothing once that has ended: so afterwards it is seen whether it still was QEMU.
 */
static void open_process(struct vp_qemu *q)
{
	struct vp_process now;
	char path[32];

	q->asked_direct = true;
	if (!q->mon->peer.pid)
		return;
	snprintf(path, sizeof(path), "/proc/%d/mem", q->mon->peer.pid);
	q->mem_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (q->mem_fd >= 0 &&
	    (!vp_process_find(q->mon->peer.pid, &now) || strcmp(now.text, q->mon->peer.text)))
		vp_qemu_direct_close(q);
}

static bool read_at(int fd, uint64_t host, uint8_t *to, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = pread(fd, to + at, len - at, (off_t)(host + at));

		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static bool ask_host(struct vp_qemu *q, uint64_t gpa, uint64_t *host)
{
	char command[40], *text = NULL;
	bool ok;

	snprintf(command, sizeof(command), "gpa2hva 0x%llx", (unsigned long long)gpa);
	ok = !q->mon->ops->hmp(q->mon, command, &text, NULL) && !vp_hmp_host(text, gpa, host, NULL);
	free(text);
	return ok;
}

static int read_by_qemu(struct vp_qemu *q, uint64_t gpa, void *buf, struct vp_err *err)
{
	return q->windows ? vp_gdb_read(q->gdb, VP_GPA(gpa), buf, PAGE, err)
			  : q->mon->ops->save(q->mon, VP_GPA(gpa), buf, PAGE, err);
}

/* Does QEMU read the same there? The guest may write to it between the two looks. */
static bool agrees(struct vp_qemu *q, uint64_t gpa, uint64_t host)
{
	uint8_t ours[PAGE], theirs[PAGE];

	for (int i = 0; i < 4; i++) {
		if (!read_at(q->mem_fd, host, ours, PAGE) || read_by_qemu(q, gpa, theirs, NULL))
			return false;
		if (!memcmp(ours, theirs, PAGE))
			return true;
	}
	return false;
}

static void add_block(struct vp_qemu *q, const struct vp_hmp_range *r)
{
	uint64_t first, last, end = r->start + r->len - PAGE;

	if (q->nblocks < VP_QEMU_BLOCKS && r->start >= LOW_END && r->len >= BLOCK_MIN &&
	    !(r->start % PAGE) && !(r->len % PAGE) && ask_host(q, r->start, &first) &&
	    ask_host(q, end, &last) && last - first == end - r->start && agrees(q, end, last))
		q->blocks[q->nblocks++] = (struct vp_qemu_block){ r->start, r->len, first };
}

void vp_qemu_direct_map(struct vp_qemu *q, const struct vp_hmp_range *ranges, size_t n)
{
	q->nblocks = 0;
	if (!q->asked_direct)
		open_process(q);
	for (size_t i = 0; i < n && q->mem_fd >= 0; i++)
		add_block(q, &ranges[i]);
}

static const struct vp_qemu_block *find_block(const struct vp_qemu *q, uint64_t gpa)
{
	for (size_t i = 0; i < q->nblocks; i++)
		if (gpa >= q->blocks[i].start && gpa - q->blocks[i].start < q->blocks[i].len)
			return &q->blocks[i];
	return NULL;
}

bool vp_qemu_direct_read(const struct vp_qemu *q, vp_gpa gpa, void *buf, size_t len)
{
	for (size_t at = 0, n; at < len; at += n) {
		const struct vp_qemu_block *b = find_block(q, gpa.v + at);
		uint64_t into;

		if (!b)
			return false;
		into = gpa.v + at - b->start;
		n = len - at < b->len - into ? len - at : (size_t)(b->len - into);
		if (!read_at(q->mem_fd, b->host + into, (uint8_t *)buf + at, n))
			return false;
	}
	return true;
}
