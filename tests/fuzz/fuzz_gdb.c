/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a gdbstub may send, and what QEMU's human monitor may print. Framing must not depend on how
 * the bytes arrive; a client that gets them for answers must end, with a reason; a parser of text
 * must give what is in it or refuse.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/text.h"
#include "target/gdb.h"
#include "target/gdb_wire.h"
#include "target/hmp.h"
#include "tests/fuzz/fuzz.h"

#define OUT_MAX 65536

/* --- framing ----------------------------------------------------------------- */

/* All payloads one after the other, each with its length before it; then the code. */
static size_t frame(const uint8_t *data, size_t size, size_t chunk, char *out)
{
	struct vp_gdb_in *in = calloc(1, sizeof(*in));
	size_t len, used = 0;
	char *payload;
	int pair[2], rc = 0;

	FUZZ_CHECK(in && !socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	for (size_t at = 0; at < size && rc >= 0; at += chunk) {
		size_t n = size - at < chunk ? size - at : chunk;

		FUZZ_CHECK(write(pair[0], data + at, n) == (ssize_t)n);
		/* Room for what is written: a packet is at most half of the buffer. */
		FUZZ_CHECK(vp_gdb_in_recv(in, pair[1]) == (ssize_t)n);
		while ((rc = vp_gdb_in_next(in, &payload, &len, NULL)) == 1) {
			FUZZ_CHECK(payload[len] == 0 && payload > in->buf);
			FUZZ_CHECK(in->head <= in->tail && in->tail <= sizeof(in->buf));
			FUZZ_CHECK(used + len + sizeof(len) < OUT_MAX);
			memcpy(out + used, &len, sizeof(len));
			memcpy(out + used + sizeof(len), payload, len);
			used += sizeof(len) + len;
		}
	}
	FUZZ_CHECK(rc == 0 || rc == -EPROTO);
	out[used++] = (char)rc;
	close(pair[0]);
	close(pair[1]);
	free(in);
	return used;
}

static void check_framing(const uint8_t *data, size_t size)
{
	static char whole[OUT_MAX], pieces[OUT_MAX];
	size_t n = frame(data, size, 4096, whole);

	FUZZ_CHECK(frame(data, size, 1 + size / 7 % 4096, pieces) == n);
	FUZZ_CHECK(!memcmp(whole, pieces, n));
}

/* --- the client ----------------------------------------------------------------- */

static void one_line(const struct vp_err *err)
{
	FUZZ_CHECK(err->text[0]);
	FUZZ_CHECK(vp_text_is_clean(err->text));
}

/* A peer that says all of it and hangs up: nobody has to wait for anything. */
static void check_client(const uint8_t *data, size_t size)
{
	struct vp_gdb *g = NULL;
	struct vp_err err = { "" };
	uint8_t bytes[5000] = { 0 };
	char *text = NULL;
	int pair[2], was, rc;

	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	FUZZ_CHECK(write(pair[0], data, size) == (ssize_t)size && !shutdown(pair[0], SHUT_WR));
	rc = vp_gdb_open(pair[1], 20000, &g, &was, &err);
	if (!rc)
		rc = vp_gdb_check_arch(g, &err);
	if (rc == -EOPNOTSUPP)
		rc = 0; /* another machine: go on all the same */
	if (!rc)
		rc = vp_gdb_hmp(g, "info status", &text, &err);
	if (!rc)
		rc = vp_gdb_read(g, VP_GPA(0), bytes, sizeof(bytes), &err);
	if (!rc)
		rc = vp_gdb_write(g, VP_GPA(0), bytes, 4, &err);
	if (!rc)
		rc = vp_gdb_cont(g, &err);
	if (!rc)
		rc = vp_gdb_stop(g, &err);
	if (!rc)
		rc = vp_gdb_detach(g, true, &err);
	if (rc)
		one_line(&err);
	free(text);
	if (g)
		vp_gdb_close(g);
	close(pair[0]);
}

/* --- the monitor's texts ----------------------------------------------------------- */

static void check_ram(const char *text)
{
	struct vp_hmp_range r[VP_HMP_RANGES];
	struct vp_err err = { "" };
	size_t n;

	if (vp_hmp_ram(text, r, &n, &err)) {
		one_line(&err);
		return;
	}
	FUZZ_CHECK(n > 0 && n <= VP_HMP_RANGES);
	for (size_t i = 0; i < n; i++) {
		FUZZ_CHECK(r[i].len > 0 && r[i].start + r[i].len - 1 >= r[i].start);
		FUZZ_CHECK(!i || r[i].start > r[i - 1].start + r[i - 1].len);
	}
}

static void check_vcpus(const char *text)
{
	struct vp_err err = { "" };
	struct vp_hmp_vcpu *list;
	size_t n;

	if (vp_hmp_registers(text, &list, &n, &err)) {
		one_line(&err);
		FUZZ_CHECK(!list && !n);
	}
	for (size_t i = 0; i < n; i++) {
		FUZZ_CHECK(list[i].number < VP_VCPU_NUMBERS);
		FUZZ_CHECK(!i || list[i].number > list[i - 1].number);
	}
	free(list);
}

static void check_texts(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	struct vp_err err = { "" };
	unsigned int n;
	bool running;
	char line[16];

	FUZZ_CHECK(text);
	vp_hmp_line(text, line, sizeof(line));
	FUZZ_CHECK(strlen(line) < sizeof(line) && !strpbrk(line, "\r\n\x1b"));
	if (vp_hmp_status(text, line, sizeof(line), &running, &err))
		one_line(&err);
	vp_hmp_version(text);
	if (vp_hmp_value("info name", text, line, sizeof(line), &err))
		one_line(&err);
	if (vp_hmp_string(text, line, sizeof(line), &err))
		one_line(&err);
	if (vp_hmp_migration(text, line, sizeof(line), &err))
		one_line(&err);
	else
		FUZZ_CHECK(*line && strspn(line, "abcdefghijklmnopqrstuvwxyz-") == strlen(line));
	if (vp_hmp_kvm(text, &running, &err))
		one_line(&err);
	if (vp_hmp_cpus(text, &n, &err))
		one_line(&err);
	else
		FUZZ_CHECK(n > 0);
	check_vcpus(text);
	check_ram(text);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 16384)
		size = 16384;
	check_framing(data, size);
	check_client(data, size);
	check_texts(data, size);
	return 0;
}
