/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt, loaded when the first of its functions is called. It comes with sixty libraries, which
 * take ten times as long to load as all the rest of vmpoke, and most commands need none of them.
 * For the program alone: the archive calls libvirt as it is linked.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

static void *library[2];

/* Why the last call of this thread was none; no message: it was. */
static _Thread_local char text[160];
static _Thread_local virError lacking;

static void load(void)
{
	library[0] = dlopen("libvirt.so.0", RTLD_NOW);
	library[1] = library[0] ? dlopen("libvirt-qemu.so.0", RTLD_NOW) : NULL;
}

static void *find(const char *name)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	void *fn = NULL;

	pthread_once(&once, load);
	for (size_t i = 0; i < 2 && library[i] && !fn; i++)
		fn = dlsym(library[i], name);
	lacking.message = fn ? NULL : text;
	if (fn)
		return fn;
	lacking.code = VIR_ERR_NO_SUPPORT;
	snprintf(text, sizeof(text), "%s is not there: is libvirt installed (Debian: libvirt0)?",
		 !library[0]   ? "libvirt.so.0"
		 : !library[1] ? "libvirt-qemu.so.0"
			       : name);
	return NULL;
}

virErrorPtr virGetLastError(void)
{
	virErrorPtr (*fn)(void) = lacking.message ? NULL : find("virGetLastError");

	return fn ? fn() : &lacking;
}

void virSetErrorFunc(void *data, virErrorFunc handler)
{
	void (*fn)(void *, virErrorFunc) = find("virSetErrorFunc");

	if (fn)
		fn(data, handler);
}

/* One that takes @types, called with @names; @none: what it returns if it is not there. */
#define PASS_ON(returns, name, none, params, args)                    \
	returns name params                                           \
	{                                                             \
		__typeof__(&(name)) fn = (__typeof__(fn))find(#name); \
                                                                      \
		return fn ? fn args : (none);                         \
	}

PASS_ON(int, virInitialize, -1, (void), ())
PASS_ON(virConnectPtr, virConnectOpen, NULL, (const char *name), (name))
PASS_ON(int, virConnectClose, -1, (virConnectPtr conn), (conn))
PASS_ON(const char *, virConnectGetType, NULL, (virConnectPtr conn), (conn))
PASS_ON(char *, virConnectGetURI, NULL, (virConnectPtr conn), (conn))
PASS_ON(int, virConnectListAllDomains, -1,
	(virConnectPtr conn, virDomainPtr **domains, unsigned int flags), (conn, domains, flags))
PASS_ON(virDomainPtr, virDomainLookupByName, NULL, (virConnectPtr conn, const char *name),
	(conn, name))
PASS_ON(virDomainPtr, virDomainLookupByUUIDString, NULL, (virConnectPtr conn, const char *uuid),
	(conn, uuid))
PASS_ON(virConnectPtr, virDomainGetConnect, NULL, (virDomainPtr dom), (dom))
PASS_ON(int, virNodeGetCPUMap, -1,
	(virConnectPtr conn, unsigned char **map, unsigned int *online, unsigned int flags),
	(conn, map, online, flags))
PASS_ON(int, virDomainGetVcpuPinInfo, -1,
	(virDomainPtr dom, int n, unsigned char *maps, int len, unsigned int flags),
	(dom, n, maps, len, flags))
PASS_ON(int, virDomainRef, -1, (virDomainPtr dom), (dom))
PASS_ON(int, virDomainFree, -1, (virDomainPtr dom), (dom))
PASS_ON(const char *, virDomainGetName, NULL, (virDomainPtr dom), (dom))
PASS_ON(int, virDomainGetUUIDString, -1, (virDomainPtr dom, char *uuid), (dom, uuid))
PASS_ON(int, virDomainGetInfo, -1, (virDomainPtr dom, virDomainInfoPtr info), (dom, info))
PASS_ON(int, virDomainGetState, -1, (virDomainPtr dom, int *state, int *reason, unsigned int flags),
	(dom, state, reason, flags))
PASS_ON(char *, virDomainGetXMLDesc, NULL, (virDomainPtr dom, unsigned int flags), (dom, flags))
PASS_ON(int, virDomainSuspend, -1, (virDomainPtr dom), (dom))
PASS_ON(int, virDomainResume, -1, (virDomainPtr dom), (dom))
PASS_ON(int, virDomainMemoryPeek, -1,
	(virDomainPtr dom, unsigned long long start, size_t size, void *buffer, unsigned int flags),
	(dom, start, size, buffer, flags))
PASS_ON(int, virDomainQemuMonitorCommand, -1,
	(virDomainPtr dom, const char *cmd, char **result, unsigned int flags),
	(dom, cmd, result, flags))
PASS_ON(int, virDomainQemuMonitorCommandWithFiles, -1,
	(virDomainPtr dom, const char *cmd, unsigned int ninfiles, int *infiles,
	 unsigned int *noutfiles, int **outfiles, char **result, unsigned int flags),
	(dom, cmd, ninfiles, infiles, noutfiles, outfiles, result, flags))
