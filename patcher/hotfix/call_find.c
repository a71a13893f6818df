/* SPDX-License-Identifier: Apache-2.0 */
/* Where functions of this kernel can be called. */
#include "hotfix/call.h"

#include <vmpoke/linux.h>

#include <errno.h>

/*
 * Each is called in a task that may sleep, holds no lock, and has most of its stack free. The first
 * serves every system call; where it is not (before 6.1's mitigations of 2024), two that programs
 * make all the time. The others come by in an idle guest.
 */
static const char *const busy[] = { "x64_sys_call" };
static const char *const busy_before[] = { "__x64_sys_read", "__x64_sys_write" };
static const char *const idle[] = { "vmstat_shepherd", "psi_avgs_work" };

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void add(struct vp_linux *l, const char *const *names, size_t n, struct vp_call_site *out)
{
	for (size_t i = 0; i < n && out->nsafe < VP_BREAKS_MAX; i++)
		if (!vp_symtab_find(vp_linux_symbols(l), names[i], &out->safe[out->nsafe], NULL))
			out->nsafe++;
}

#define PAD_MIN	 8u
#define PIECE	 0x4000u
#define TEXT_MAX 0x1000000u

/* The middle of the first run of PAD_MIN int3s. False: there is none in @n bytes. */
static bool find_run(const uint8_t *bytes, size_t n, size_t *at)
{
	size_t run = 0;

	for (size_t i = 0; i < n; i++) {
		run = bytes[i] == VP_INT3 ? run + 1 : 0;
		if (run == PAD_MIN) {
			*at = i - PAD_MIN / 2;
			return true;
		}
	}
	return false;
}

/* The linker fills what lies between functions with int3s (arch/x86/kernel/vmlinux.lds.S). */
static int find_pad(struct vp_linux *l, vp_gva *out, struct vp_err *err)
{
	uint8_t piece[PIECE];
	vp_gva start, end;
	size_t at;
	int rc = vp_symtab_find(vp_linux_symbols(l), "_stext", &start, err);

	if (!rc)
		rc = vp_symtab_find(vp_linux_symbols(l), "_etext", &end, err);
	if (rc)
		return rc;
	for (uint64_t off = 0; off < TEXT_MAX && start.v + off + PIECE <= end.v; off += PIECE) {
		rc = vp_linux_read(l, VP_GVA(start.v + off), piece, PIECE, err);
		if (rc)
			return rc;
		if (!find_run(piece, PIECE, &at))
			continue;
		*out = VP_GVA(start.v + off + at);
		return 0;
	}
	return vp_err_set(err, -EOPNOTSUPP,
			  "this kernel's text has no padding that a call could return to");
}

int vp_call_site_find(struct vp_linux *l, struct vp_call_site *out, struct vp_err *err)
{
	struct vp_call_site site = { .nsafe = 0 };

	add(l, busy, COUNT(busy), &site);
	if (!site.nsafe)
		add(l, busy_before, COUNT(busy_before), &site);
	add(l, idle, COUNT(idle), &site);
	if (!site.nsafe)
		return vp_err_set(err, -EOPNOTSUPP,
				  "this kernel has no point that is known to be safe for calls");
	if (vp_symtab_find(vp_linux_symbols(l), "oops_enter", &site.oops, NULL))
		site.oops = VP_GVA(0);
	vp_priority_find(l, &site.priority);
	site.space = vp_linux_info(l)->space;
	*out = site;
	return find_pad(l, &out->pad, err);
}
