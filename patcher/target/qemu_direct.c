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

static void ask_text(char command[40], uint64_t gpa)
{
	snprintf(command, 40, "gpa2hva 0x%llx", (unsigned long long)gpa);
}

static bool ask_host(struct vp_qemu *q, uint64_t gpa, uint64_t *host)
{
	char command[40], *text = NULL;
	bool ok;

	ask_text(command, gpa);
	ok = !q->mon->ops->hmp(q->mon, command, &text, NULL) && !vp_hmp_host(text, gpa, host, NULL);
	free(text);
	return ok;
}

/* Does QEMU read the same there? The guest may write to it between the two looks. */
static bool agrees(struct vp_qemu *q, uint64_t gpa, uint64_t host)
{
	uint8_t ours[PAGE], theirs[PAGE];

	for (int i = 0; i < 4; i++) {
		if (!read_at(q->mem_fd, host, ours, PAGE) ||
		    q->mon->ops->save(q->mon, VP_GPA(gpa), theirs, PAGE, NULL))
			return false;
		if (!memcmp(ours, theirs, PAGE))
			return true;
	}
	return false;
}

/* All of that of a VM that stands, in one round trip. */
static bool look_at(struct vp_qemu *q, uint64_t start, uint64_t end, uint64_t *first,
		    uint64_t *last)
{
	uint8_t ours[PAGE], theirs[PAGE] = { 0 };
	struct vp_piece page = { .gpa = VP_GPA(end), .into = theirs, .len = PAGE };
	char commands[2][40];
	struct vp_gdb_question questions[2] = { { .command = commands[0] },
						{ .command = commands[1] } };
	struct vp_gdb_look look = { &page, 1, questions, 2, NULL, false };
	bool ok;

	ask_text(commands[0], start);
	ask_text(commands[1], end);
	ok = !vp_gdb_look(q->gdb, &look, NULL) &&
	     !vp_hmp_host(questions[0].text, start, first, NULL) &&
	     !vp_hmp_host(questions[1].text, end, last, NULL) && *last - *first == end - start &&
	     read_at(q->mem_fd, *last, ours, PAGE) && !memcmp(ours, theirs, PAGE);
	free(questions[0].text);
	free(questions[1].text);
	return ok;
}

static bool find_host(struct vp_qemu *q, uint64_t start, uint64_t end, uint64_t *first)
{
	uint64_t last;

	if (q->windows)
		return look_at(q, start, end, first, &last);
	return ask_host(q, start, first) && ask_host(q, end, &last) &&
	       last - *first == end - start && agrees(q, end, last);
}

static void add_block(struct vp_qemu *q, const struct vp_hmp_range *r)
{
	uint64_t first, end = r->start + r->len - PAGE;

	if (q->nblocks < VP_QEMU_BLOCKS && r->start >= LOW_END && r->len >= BLOCK_MIN &&
	    !(r->start % PAGE) && !(r->len % PAGE) && find_host(q, r->start, end, &first))
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
