/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What QEMU's human monitor prints, read back. It is text for people and changes from version to
 * version, so it is asked only for what QMP does not tell, or where there is no QMP; and every text
 * that is not wholly known is -EPROTO: never "none", "off" or "all is well". Leaf and pure.
 * tests/golden/hmp/ has what QEMU 7.2, 10.0 and 11.1 print.
 */
#ifndef VP_TARGET_HMP_H
#define VP_TARGET_HMP_H

#include <vmpoke/types.h>

/* The first line of @text that is not empty, blanks around it dropped, made printable.
 */
void vp_hmp_line(const char *text, char *out, size_t size);

/* -EPROTO, naming the command and the beginning of what was printed. */
int vp_hmp_unknown(const char *command, const char *text, struct vp_err *err);

/*
 * `info name`, `info version`, `info uuid`: the one line that it prints, or none. -EPROTO: more
 * than that, or that the command is not known.
 */
int vp_hmp_value(const char *command, const char *text, char *out, size_t size, struct vp_err *err);

/* `info status`: its state as QMP names it: "running", "paused", "postmigrate", ... */
int vp_hmp_status(const char *text, char *state, size_t size, bool *running, struct vp_err *err);

/* `info migrate`: its status as QMP names it; "none" since QEMU began. */
int vp_hmp_migration(const char *text, char *status, size_t size, struct vp_err *err);

/* `info kvm`: is it used? */
int vp_hmp_kvm(const char *text, bool *enabled, struct vp_err *err);

/* `info cpus`: how many vCPUs there are. */
int vp_hmp_cpus(const char *text, unsigned int *n, struct vp_err *err);

/* `qom-get PATH PROPERTY` of a property that is a string. */
int vp_hmp_string(const char *text, char *out, size_t size, struct vp_err *err);

/* A version as `info version` prints it: 702 for 7.2.x. 0: it is none. */
unsigned int vp_hmp_version(const char *text);

/*
 * `info registers -a`: all vCPUs that it shows, by ascending number; numbers have gaps after an
 * unplug. @vcpus is malloc()ed. -E2BIG: a number is VP_VCPU_NUMBERS or more.
 */
struct vp_hmp_vcpu {
	unsigned int number;
	struct vp_vcpu_state state;
};
int vp_hmp_registers(const char *text, struct vp_hmp_vcpu **vcpus, size_t *n, struct vp_err *err);

/*
 * `info mtree -f`: the ranges of RAM that the CPUs see, ascending, each of one block of RAM; and
 * adjacent ones made one.
 */
struct vp_hmp_range {
	uint64_t start, len;
};
#define VP_HMP_RANGES 256
int vp_hmp_ram(const char *text, struct vp_hmp_range *ranges, size_t *n, struct vp_err *err);
void vp_hmp_join(struct vp_hmp_range *ranges, size_t *n);

/* `gpa2hva 0x@gpa`: where QEMU's process has that byte of RAM. */
int vp_hmp_host(const char *text, uint64_t gpa, uint64_t *host, struct vp_err *err);

#endif /* VP_TARGET_HMP_H */
