/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Static calls: instructions that call or jump to what a function pointer holds, and that the guest
 * rewrites when it changes (kernel/static_call_inline.c). Where they are inline, the kernel and
 * each module have a table of them; else, and for whatever has no table, there are trampolines.
 */
#include "linux/owner_call.h"

#include "x86/decode.h"

#include <errno.h>
#include <stdlib.h>

/* struct static_call_site: addr s32, key s32, each relative to where it stands. */
#define SITE_SIZE 8u
#define SITES_MAX (1u << 18)
#define KEY_FLAGS 3u

#define CALL_LEN 5u
#define JCC_LEN	 6u /* jcc rel32, for tail calls */

/* The trampoline of a static call: jmp rel32, or ret, and a tail that nobody runs. */
static const char trampoline[] = "__SCT__";

static int read_sites(struct vp_owners *o, uint64_t start, size_t n, struct vp_err *err)
{
	struct vp_blob b = { .len = n * SITE_SIZE, .base = start };
	uint8_t *bytes = malloc(b.len + 1);
	int rc;

	if (!bytes)
		return vp_err_set(err, -ENOMEM, "out of memory for static calls");
	b.data = bytes;
	rc = vp_kernel_mem_read(&o->l->mem, VP_GVA(start), bytes, b.len, err);
	for (uint64_t off = 0; !rc && off < b.len; off += SITE_SIZE) {
		uint64_t at = start + off;
		uint32_t addr = 0, key = 0;

		vp_blob_u32(&b, off, &addr);
		vp_blob_u32(&b, off + 4, &key);
		rc = vp_spans_add(&o->calls, at + (uint64_t)(int64_t)(int32_t)addr, CALL_LEN,
				  (at + 4 + (uint64_t)(int64_t)(int32_t)key) & ~(uint64_t)KEY_FLAGS,
				  err);
	}
	free(bytes);
	return rc;
}

static int read_kernels(struct vp_owners *o, struct vp_err *err)
{
	const struct vp_kernel_mem *m = &o->l->mem;
	vp_gva start, stop;
	uint64_t len;

	if (!vp_linux_find(o->l, "__start_static_call_sites", &start) ||
	    !vp_linux_find(o->l, "__stop_static_call_sites", &stop))
		return !o->l->owners_at.calls_known
			       ? 0
			       : vp_err_set(
					 err, -EOPNOTSUPP,
					 "the kernel's symbols do not tell where its static calls "
					 "are");
	len = stop.v - start.v;
	if (start.v - m->text.v >= m->end - m->text.v || len % SITE_SIZE ||
	    len > (uint64_t)SITES_MAX * SITE_SIZE)
		return vp_err_set(err, -EBADMSG,
				  "the static calls from 0x%llx to 0x%llx make no sense",
				  (unsigned long long)start.v, (unsigned long long)stop.v);
	return read_sites(o, start.v, (size_t)(len / SITE_SIZE), err);
}

int vp_calls_read(struct vp_owners *o, struct vp_err *err)
{
	int rc = read_kernels(o, err);

	for (size_t i = 0; i < o->l->modules.n && !rc; i++) {
		const struct vp_module *m = &o->l->modules.m[i];

		if (o->calls.n + m->ncalls > SITES_MAX)
			return vp_err_set(err, -EBADMSG, "there are more than %u static calls",
					  SITES_MAX);
		if (m->ncalls)
			rc = read_sites(o, m->calls, m->ncalls, err);
		if (rc == -EFAULT)
			rc = vp_err_set(err, -EAGAIN, "the guest is unloading module %.64s",
					m->name);
	}
	return rc;
}

/* A call or jmp has five bytes, a jcc six: what stands there now tells. */
static bool is_sixth_of_jcc(const struct vp_owners *o, const struct vp_span *call)
{
	uint8_t now[VP_INSN_MAX] = { 0 };
	struct vp_insn insn;

	return !vp_kernel_mem_read(&o->l->mem, VP_GVA(call->start), now, JCC_LEN, NULL) &&
	       !vp_insn_decode(now, sizeof(now), VP_GVA(call->start), &insn, NULL) &&
	       insn.kind == VP_INSN_JCC_REL && insn.len == JCC_LEN;
}

static const struct vp_span *find_call(const struct vp_owners *o, const struct vp_site *s)
{
	const struct vp_span *found = vp_spans_find(&o->calls, s);

	for (size_t i = 0; i < o->calls.n && !found; i++)
		if (o->calls.s[i].start + CALL_LEN == s->addr.v &&
		    is_sixth_of_jcc(o, &o->calls.s[i]))
			found = &o->calls.s[i];
	return found;
}

/* The kernel has them in one place, whose first byte has another name, too; modules by name only.
 */
static bool is_trampoline(const struct vp_linux *l, vp_gva addr, const char *name)
{
	vp_gva start, end;

	if (vp_linux_find(l, "__static_call_text_start", &start) &&
	    vp_linux_find(l, "__static_call_text_end", &end) && addr.v - start.v < end.v - start.v)
		return true;
	return name && !strncmp(name, trampoline, strlen(trampoline));
}

int vp_calls_ask(const struct vp_owners *o, const struct vp_site *s, struct vp_err *err)
{
	const struct vp_span *call = find_call(o, s);
	const char *name = vp_linux_nearest(o->l, s->addr, NULL);
	char key[128];

	if (call)
		return vp_err_set(err, -EBUSY,
				  "the guest rewrites it when it changes static call %s; poke the "
				  "function that is called instead",
				  vp_owner_name(o->l, call->who, key, sizeof(key)));
	if (is_trampoline(o->l, s->addr, name))
		return vp_err_set(err, -EBUSY,
				  "it is the trampoline of a static call (%.100s), which the guest "
				  "rewrites; poke the function that is called instead",
				  name ? name : "");
	return 0;
}
