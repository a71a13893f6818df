/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke doctor: what this host can do, what is missing, and what to do about it. */
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/options.h"
#include "cli/preload.h"
#include "vmm/probe.h"

static const char help[] =
	"usage: vmpoke doctor [--json] [--kvm PATH]\n"
	"       vmpoke doctor libvirt:NAME [--json]\n"
	"\n"
	"Say what this host can do for vmpoke, what is missing and what to do. With a domain: is\n"
	"it patched without a stop, by the preload library (docs/preload.md), and if not, why?\n"
	"\n"
	"  --json       print one JSON object\n"
	"  --kvm PATH   default /dev/kvm\n"
	"\n"
	"Exit code: 0 guests can be patched, the domain without a stop; 6 they cannot be run at\n"
	"all, or it with one; 4 there is no such domain; 2 bad options.\n";

#define FINDINGS_MAX 8

struct diagnosis {
	const char *kvm_path;
	struct vp_probe probe;
	bool usable;	       /* KVM opens and runs */
	struct vp_err why_not; /* if not */
	const char *findings[FINDINGS_MAX];
	size_t nfindings;
};

static void find(struct diagnosis *d, bool missing, const char *text)
{
	if (missing && d->nfindings < FINDINGS_MAX)
		d->findings[d->nfindings++] = text;
}

static void diagnose(struct diagnosis *d)
{
	const struct vp_probe *p = &d->probe;
	int fd = vp_kvm_open(d->kvm_path, &d->why_not);

	if (fd < 0) {
		find(d, true, d->why_not.text);
		return;
	}
	d->usable = vp_probe_kvm(fd, &d->probe, &d->why_not) == 0;
	close(fd);
	if (!d->usable) {
		find(d, true, d->why_not.text);
		return;
	}
	find(d, !p->immediate_exit,
	     "KVM_CAP_IMMEDIATE_EXIT is missing, so vCPUs cannot be kicked: use a kernel >= 4.13");
	find(d, !p->guest_debug,
	     "KVM_CAP_SET_GUEST_DEBUG is missing: use a kernel with CONFIG_KVM for x86");
	find(d, p->int3.route == VP_ROUTE_NONE,
	     "a guest int3 does not reach us: poke with --strategy stop");
	find(d, p->int3.route != VP_ROUTE_NONE && !p->int3.inject_ok,
	     "a foreign int3 cannot be given back to the guest: poke with --strategy stop if the "
	     "guest uses int3 itself");
	find(d, p->int3.route != VP_ROUTE_NONE && !p->int3.rerun_ok,
	     "after the exit of an int3 the guest cannot go on at the same place: poke with "
	     "--strategy stop");
	find(d, !p->irqchip,
	     "KVM_CAP_IRQCHIP is missing: guests that ask for interrupts do not boot");
}

static bool can_kick(const struct diagnosis *d)
{
	return d->usable && d->probe.immediate_exit;
}

static const char *why_no_serializer(const struct diagnosis *d, unsigned int s)
{
	return vp_serializer_why_not(s, d->probe.int3.route);
}

static void print_serializers(const struct diagnosis *d)
{
	if (!can_kick(d)) {
		printf("serializers  none\n");
		return;
	}
	printf("serializer   %s\n", vp_serializer_name(vp_serializer_best(d->probe.int3.route)));
	for (unsigned int s = VP_SERIALIZER_KICK; s <= VP_SERIALIZER_MEMBARRIER; s++)
		if (why_no_serializer(d, s))
			printf("  not %s: %s\n", vp_serializer_name(s), why_no_serializer(d, s));
}

static unsigned int max_vcpus(const struct vp_probe *p)
{
	return p->max_vcpus < VP_VCPU_MAX ? p->max_vcpus : VP_VCPU_MAX;
}

static void print_text(const struct diagnosis *d)
{
	const struct vp_probe *p = &d->probe;

	printf("KVM          %s\n", d->kvm_path);
	if (d->usable) {
		printf("  module     %s\n", p->module);
		printf("  API        version %d\n", p->api_version);
		printf("  vCPUs      at most %u a guest\n", max_vcpus(p));
		printf("trap route   %s\n", vp_route_name(p->int3.route));
		printf("foreign int3 %s\n",
		       p->int3.inject_ok ? "goes back to the guest" : "is lost");
		printf("strategies   %sstop\n", p->int3.route != VP_ROUTE_NONE ? "int3 " : "");
		print_serializers(d);
	}
	for (size_t i = 0; i < d->nfindings; i++)
		printf("missing      %s\n", d->findings[i]);
	if (!d->nfindings)
		printf("missing      nothing\n");
	printf("verdict      %s\n",
	       can_kick(d) ? "guests can be patched here" : "guests cannot be patched here");
}

static json_t *serializers(const struct diagnosis *d)
{
	json_t *list = json_array();

	for (unsigned int s = VP_SERIALIZER_KICK; s <= VP_SERIALIZER_MEMBARRIER; s++)
		if (can_kick(d) && !why_no_serializer(d, s))
			json_array_append_new(list, json_string(vp_serializer_name(s)));
	return list;
}

/* The others, each with the reason. */
static json_t *not_here(const struct diagnosis *d)
{
	json_t *why = json_object();

	for (unsigned int s = VP_SERIALIZER_KICK; s <= VP_SERIALIZER_MEMBARRIER; s++)
		if (can_kick(d) && why_no_serializer(d, s))
			json_object_set_new(why, vp_serializer_name(s),
					    json_string(why_no_serializer(d, s)));
	return why;
}

static json_t *missing(const struct diagnosis *d)
{
	json_t *list = json_array();

	for (size_t i = 0; i < d->nfindings; i++)
		json_array_append_new(list, json_string(d->findings[i]));
	return list;
}

static void print_json(const struct diagnosis *d)
{
	const struct vp_probe *p = &d->probe;
	json_t *out = json_pack("{sb ss sb so so so}", "ok", can_kick(d), "kvm", d->kvm_path,
				"usable", d->usable, "serializers", serializers(d),
				"serializers-not-here", not_here(d), "missing", missing(d));

	if (d->usable) {
		json_t *more =
			json_pack("{ss si si ss sb sb sb}", "module", p->module, "api_version",
				  p->api_version, "max_vcpus", (int)max_vcpus(p), "trap_route",
				  vp_route_name(p->int3.route), "inject", p->int3.inject_ok,
				  "rerun", p->int3.rerun_ok, "irqchip", p->irqchip);

		json_object_update_new(out, more);
	}
	json_dumpf(out, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(out);
}

/* --- of one domain ---------------------------------------------------------------- */

/* Why the library does not serve it; NULL: it does. @what: and what of. */
static const char *missing_of(const struct vp_preload_domain *d, struct vp_err *what)
{
	struct vp_qmp *qmp = NULL;

	if (!d->has_library)
		return "it is not started with " VP_PRELOAD_LIBRARY
		       ": see docs/preload.md for its XML";
	if (access(d->it.preloaded, R_OK)) {
		snprintf(what->text, sizeof(what->text), "%s", d->it.preloaded);
		return "the library is not there";
	}
	if (!d->it.runs)
		return "the VM is off: its next start will have the library";
	if (vp_client_connect_preload(d, VP_CLIENT_TIMEOUT_MS, &qmp, what))
		return "nobody answers: it was started before its XML was changed, or the library "
		       "stepped aside (the VM's log says so, as vmpoke-kvm)";
	vp_qmp_close(qmp);
	return NULL;
}

static const char *or_none(const char *text)
{
	return *text ? text : "none";
}

static int diagnose_domain(const char *target, bool json)
{
	struct vp_preload_domain d;
	struct vp_err what = { "" };
	const char *missing;
	int rc = vp_preload_look(target, 0, &d, &what);

	if (rc == 1)
		return vp_cmd_fail("doctor", VP_EXIT_USAGE,
				   "%s is no domain of libvirt: write libvirt:NAME", target);
	if (rc)
		return vp_cmd_fail("doctor", vp_exit_code_of_open(rc), "%s", what.text);
	missing = missing_of(&d, &what);
	if (json) {
		json_t *out = json_pack("{sb ss ss ss ss}", "ok", !missing, "library",
					d.it.preloaded, "socket", d.socket, "missing",
					missing ? missing : "", "why", what.text);

		vp_client_print(out);
		json_decref(out);
	} else {
		printf("library      %s\n", or_none(d.it.preloaded));
		printf("socket       %s\n", or_none(d.socket));
		printf("missing      %s%s%s\n", missing ? missing : "nothing",
		       *what.text ? ": " : "", what.text);
		printf("verdict      %s\n", missing ? "commands go by libvirt, with a stop"
						    : "commands go by the library: no stop");
	}
	return missing ? VP_EXIT_HOST : VP_EXIT_OK;
}

int vp_cmd_doctor(int argc, char **argv)
{
	struct diagnosis d = { .kvm_path = "/dev/kvm" };
	bool json = false;
	const struct vp_option options[] = {
		VP_FLAG("json", &json),
		VP_TEXT("kvm", &d.kvm_path),
		VP_TARGET(0),
		VP_OPTIONS_END,
	};
	int code = vp_options_parse(argc, argv, help, options, 0, 1);

	if (code >= 0)
		return code;
	if (vp_options_operand(0))
		return diagnose_domain(vp_options_operand(0), json);
	diagnose(&d);
	if (json)
		print_json(&d);
	else
		print_text(&d);
	return can_kick(&d) ? VP_EXIT_OK : VP_EXIT_HOST;
}
