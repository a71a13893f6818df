/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_qemu.h"

#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CPU_TEXT(n, rip)                                                                          \
	"\r\nCPU#" n "\r\n"                                                                       \
	"RAX=0000000000000001 RBX=0000000000000002 RCX=0000000000000003 RDX=0000000000000004\r\n" \
	"RSI=0000000000000005 RDI=0000000000000006 RBP=0000000000000007 RSP=ffffffffa3a03e98\r\n" \
	"R8 =0000000000000008 R9 =0000000000000009 R10=000000000000000a R11=000000000000000b\r\n" \
	"R12=000000000000000c R13=000000000000000d R14=000000000000000e R15=000000000000000f\r\n" \
	"RIP=" rip " RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\r\n"                     \
	"ES =0000 0000000000000000 00000000 00000000\r\n"                                         \
	"CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\r\n"                        \
	"SS =0018 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\r\n"                        \
	"FS =0000 00007f0000001000 00000000 00000000\r\n"                                         \
	"GS =0000 ffff8c4d5f400000 00000000 00000000\r\n"                                         \
	"GDT=     fffffe0000001000 0000007f\r\n"                                                  \
	"IDT=     fffffe0000000000 00000fff\r\n"                                                  \
	"CR0=80050033 CR2=000000000805a730 CR3=0000000000194000 CR4=000006b0\r\n"                 \
	"EFER=0000000000000d01\r\n"                                                               \
	"XMM00=ffffffff00000000 000000ff000000ff XMM01=2f2f2f2f2f2f2f2f 2f2f2f2f2f2f2f2f\r\n"

const char fake_registers[] = CPU_TEXT("0", "ffffffffa2a17a0b") CPU_TEXT("1", "ffffffffa2a17a0c");

static const char memory_tree[] =
	"FlatView #0\r\n AS \"I/O\", root: io\r\n Root memory region: io\r\n"
	"  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan\r\n\r\n"
	"FlatView #1\r\n AS \"memory\", root: system\r\n AS \"cpu-memory-0\", root: system\r\n"
	" Root memory region: system\r\n"
	"  0000000000000000-000000000009ffff (prio 0, ram): pc.ram\r\n"
	"  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem\r\n"
	"  00000000000c0000-00000000000fffff (prio 0, rom): pc.ram @00000000000c0000\r\n"
	"  0000000000100000-000000000017ffff (prio 0, ram): pc.ram @0000000000100000\r\n"
	"  0000000000180000-00000000001fffff (prio 0, ram): pc.ram @0000000000180000\r\n"
	"  00000000fee00000-00000000feefffff (prio 4096, i/o): apic-msi\r\n\r\n";

/* --- running and stopped ----------------------------------------------------- */

void fake_qemu_pause(struct fake_qemu *q)
{
	if (!q->running)
		return;
	q->running = false;
	q->state = q->stops_as ? q->stops_as : "paused";
	q->stops++;
	fake_stub_stopped(q);
}

void fake_qemu_cont(struct fake_qemu *q)
{
	static const char event[] = "{\"event\": \"RESUME\"}\r\n";

	if (!q->running && q->qmp >= 0 && !q->mute_qmp)
		(void)!send(q->qmp, event, sizeof(event) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	q->resumes += !q->running;
	q->running = true;
}

/* --- misbehaving ------------------------------------------------------------- */

bool fake_qemu_fault(struct fake_qemu *q, int *fd, bool *mute, const char *error, const char *odd)
{
	static const char garbage[] = "\xff{]}$#+\n\x7f";
	char *huge;

	if (++q->messages != q->fault_at || q->fault == FAKE_NONE)
		return false;
	switch (q->fault) {
	case FAKE_CLOSE:
		close(*fd);
		*fd = -1;
		return true;
	case FAKE_GARBAGE:
		(void)!send(*fd, garbage, sizeof(garbage), MSG_NOSIGNAL);
		break;
	case FAKE_HUGE:
		huge = malloc(100000);
		memset(huge, '[', 100000);
		huge[0] = '{';
		(void)!send(*fd, huge, 100000, MSG_NOSIGNAL | MSG_DONTWAIT);
		free(huge);
		break;
	case FAKE_ERROR:
		(void)!send(*fd, error, strlen(error), MSG_NOSIGNAL);
		return true;
	case FAKE_ODD:
		(void)!send(*fd, odd, strlen(odd), MSG_NOSIGNAL);
		return true;
	default:
		break;
	}
	*mute = true;
	return true;
}

void fake_qemu_heal(struct fake_qemu *q)
{
	pthread_mutex_lock(&q->lock);
	q->fault = FAKE_NONE;
	if (q->mute_qmp && q->qmp >= 0) {
		close(q->qmp);
		q->qmp = -1;
	}
	if (q->mute_stub)
		fake_stub_close(q);
	q->mute_qmp = q->mute_stub = false;
	pthread_mutex_unlock(&q->lock);
	(void)!write(q->wake[1], "", 1);
}

/* --- the monitor ------------------------------------------------------------- */

static const char *gdbserver(struct fake_qemu *q, const char *device)
{
	if (!strcmp(device, "none")) {
		fake_stub_close(q);
		q->own_stub = false;
		return "Disabled gdbserver\r\n";
	}
	if (strcmp(device, "chardev:vmpoke-gdb") || q->passed < 0)
		return "Could not open gdbserver on device\r\n";
	fake_stub_close(q);
	fake_stub_open(q, q->passed, true);
	q->passed = -1;
	return "Waiting for gdb connection on device 'chardev:vmpoke-gdb'\r\n";
}

static unsigned int vcpus(const struct fake_qemu *q)
{
	unsigned int n = q->hidden_vcpus;

	for (const char *at = q->registers; (at = strstr(at, "CPU#")); at += 4)
		n++;
	return n;
}

static char *print_cpus(const struct fake_qemu *q)
{
	char *text = calloc(vcpus(q), 64), *at = text;

	for (unsigned int i = 0; i < vcpus(q); i++)
		at += sprintf(at, "%c CPU #%u: thread_id=%u%s\r\n", i ? ' ' : '*', i, 1000 + i,
			      q->major > 10 ? " model=qemu64" : "");
	return text;
}

/* `info status` and `info migrate` changed their faces with QEMU 10.1. */
static char *print_status(const struct fake_qemu *q)
{
	bool plain = q->running || !strcmp(q->state, "paused");
	char *text;

	(void)!asprintf(&text, "VM status: %s%s%s%s\r\n", q->running ? "running" : "paused",
			plain ? "" : " (", plain ? "" : q->state, plain ? "" : ")");
	return text;
}

static char *print_migrate(const struct fake_qemu *q)
{
	const char *status = q->migrate ? q->migrate : "";
	bool old = q->major < 10 || (q->major == 10 && q->minor < 1);
	char *text;

	(void)!asprintf(&text, "%s%s%s%s", old ? "globals:\r\nstore-global-state: on\r\n" : "",
			!q->migrate ? ""
			: old	    ? "Migration status: "
				    : "Status: \t\t",
			status, q->migrate ? "\r\ntotal time: 508 ms\r\n" : "");
	return text;
}

/* NULL: no such property. */
static const char *property(const struct fake_qemu *q, const char *path, const char *name)
{
	if (!strcmp(path, "/machine") && !strcmp(name, "confidential-guest-support"))
		return q->confidential ? "/objects/cgs0" : "";
	if (!strcmp(path, "/objects/cgs0") && !strcmp(name, "type"))
		return q->confidential;
	return NULL;
}

static char *print_property(const struct fake_qemu *q, const char *args)
{
	char path[64], name[64], *text;
	const char *value =
		sscanf(args, "%63s %63s", path, name) == 2 ? property(q, path, name) : NULL;

	if (!value)
		return strdup("Error: Property not found\r\n");
	(void)!asprintf(&text, "\"%s\"\r\n", value);
	return text;
}

static char *print_host(const struct fake_qemu *q, uint64_t gpa)
{
	uint64_t host = (uintptr_t)q->ram + gpa + (gpa >= 0x180000 ? q->tells : 0);
	char *text = NULL;

	if (gpa >= FAKE_RAM)
		(void)!asprintf(&text, "No memory is mapped at address 0x%" PRIx64 "\r\n", gpa);
	else
		(void)!asprintf(&text,
				"Host virtual address for 0x%" PRIx64 " (pc.ram) is 0x%" PRIx64
				"\r\n",
				gpa, host);
	return text;
}

char *fake_qemu_hmp(struct fake_qemu *q, const char *command)
{
	char *text = NULL;

	if (!strcmp(command, "info status"))
		text = print_status(q);
	else if (!strcmp(command, "info uuid"))
		(void)!asprintf(&text, "%s\r\n", q->uuid);
	else if (!strcmp(command, "info name"))
		text = strdup("fake\r\n");
	else if (!strcmp(command, "info version"))
		(void)!asprintf(&text, "%d.%d.22Debian 1:7.2\r\n", q->major, q->minor);
	else if (!strcmp(command, "info kvm"))
		text = strdup("kvm support: disabled\r\n");
	else if (!strcmp(command, "info migrate"))
		text = print_migrate(q);
	else if (!strcmp(command, "info cpus"))
		text = print_cpus(q);
	else if (!strcmp(command, "info registers -a"))
		text = strdup(q->registers);
	else if (!strcmp(command, "info mtree -f"))
		text = strdup(memory_tree);
	else if (q->direct && !strncmp(command, "gpa2hva ", 8))
		text = print_host(q, strtoull(command + 8, NULL, 0));
	else if (!strncmp(command, "qom-get ", 8))
		text = print_property(q, command + 8);
	else if (!strncmp(command, "gdbserver ", 10))
		text = strdup(gdbserver(q, command + 10));
	return text ? text : strdup("unknown command\r\n");
}

static json_t *cpus(const struct fake_qemu *q)
{
	json_t *list = json_array();

	for (unsigned int i = 0; i < vcpus(q); i++)
		json_array_append_new(list, json_pack("{s:i, s:s}", "cpu-index", (int)i, "target",
						      "x86_64"));
	return list;
}

static json_t *query_sev(const struct fake_qemu *q)
{
	json_t *ret;

	if (q->sev == FAKE_SEV_NONE)
		return NULL;
	ret = json_pack("{s:b, s:i, s:s}", "enabled", q->sev == FAKE_SEV_ON, "policy",
			q->sev_policy, "state", "running");
	if (q->sev_type)
		json_object_set_new(ret, "sev-type", json_string(q->sev_type));
	return ret;
}

/* What QMP itself answers. NULL: it is not a query, or this QEMU does not know it. */
static json_t *query(struct fake_qemu *q, const char *command)
{
	if (!strcmp(command, "query-target"))
		return json_pack("{s:s}", "arch", q->arch);
	if (!strcmp(command, "query-status"))
		return json_pack("{s:b, s:s}", "running", q->running, "status",
				 q->running ? "running" : q->state);
	if (!strcmp(command, "query-migrate"))
		return q->migrate ? json_pack("{s:s}", "status", q->migrate) : json_object();
	if (!strcmp(command, "query-version"))
		return json_pack("{s:{s:i, s:i, s:i}, s:s}", "qemu", "major", q->major, "minor",
				 q->minor, "micro", 22, "package", "Debian 1:7.2");
	if (!strcmp(command, "query-name"))
		return json_pack("{s:s}", "name", "fake");
	if (!strcmp(command, "query-uuid"))
		return json_pack("{s:s}", "UUID", q->uuid);
	if (!strcmp(command, "query-kvm"))
		return json_pack("{s:b, s:b}", "enabled", 0, "present", 1);
	if (!strcmp(command, "query-accelerators") && q->major > 10)
		return json_pack("{s:s, s:[s]}", "enabled", "tcg", "present", "tcg");
	if (!strcmp(command, "query-sev"))
		return query_sev(q);
	if (!strcmp(command, "query-cpus-fast"))
		return cpus(q);
	return NULL;
}

static json_t *chardevs(struct fake_qemu *q)
{
	json_t *list = json_pack("[{s:s, s:s}]", "label", "serial0", "filename", "file");
	char *file = strchr(q->chardev, ' ');

	if (q->own_stub)
		json_array_append_new(list,
				      json_pack("{s:s, s:s}", "label", "vmpoke-gdb", "filename",
						q->stub < 0 ? "disconnected:fd:x" : "unix:"));
	if (file)
		json_array_append_new(list,
				      json_pack("{s:s%, s:s, s:b}", "label", q->chardev,
						(size_t)(file - q->chardev), "filename", file + 1,
						"frontend-open", !q->unused_chardev));
	return list;
}

static json_t *pmemsave(struct fake_qemu *q, const json_t *args)
{
	json_int_t at = -1, size = -1;
	const char *file = "";
	char want[48];
	int fd = -1;

	json_unpack((json_t *)args, "{s:I, s:I, s:s}", "val", &at, "size", &size, "filename",
		    &file);
	for (size_t i = 0; i < q->nshared; i++) {
		snprintf(want, sizeof(want), "/proc/self/fd/%d", q->shared[i].fd);
		if (!strcmp(want, file))
			fd = q->shared[i].fd;
	}
	if (fd < 0 || q->no_pmemsave || at < 0 || size < 0 || at + size > FAKE_RAM)
		return NULL;
	return !ftruncate(fd, 0) && pwrite(fd, q->ram + at, (size_t)size, 0) == size ? json_object()
										     : NULL;
}

static void keep(int *where, int *fd)
{
	if (*where >= 0)
		close(*where);
	*where = *fd;
	*fd = -1;
}

static json_t *add_fd(struct fake_qemu *q, const json_t *args, int *fd)
{
	const char *opaque = json_string_value(json_object_get(args, "opaque"));
	struct fake_fd *new = &q->shared[q->nshared];

	*new = (struct fake_fd){ .fd = *fd, .opaque = strdup(opaque ? opaque : "") };
	*fd = -1;
	q->nshared++;
	return json_pack("{s:i, s:i}", "fdset-id", new->fd, "fd", new->fd);
}

static json_t *remove_fd(struct fake_qemu *q, const json_t *args)
{
	json_int_t id = -1, fd = -1;

	json_unpack((json_t *)args, "{s:I, s?I}", "fdset-id", &id, "fd", &fd);
	for (size_t i = 0; i < q->nshared; i++) {
		if (q->shared[i].fd != id || (fd >= 0 && fd != id))
			continue;
		close(q->shared[i].fd);
		free(q->shared[i].opaque);
		q->shared[i] = q->shared[--q->nshared];
		return json_object();
	}
	return NULL;
}

static json_t *fdsets(const struct fake_qemu *q)
{
	json_t *list = json_array();

	for (size_t i = 0; i < q->nshared; i++)
		json_array_append_new(list, json_pack("{s:i, s:[{s:i, s:s}]}", "fdset-id",
						      q->shared[i].fd, "fds", "fd", q->shared[i].fd,
						      "opaque", q->shared[i].opaque));
	return list;
}

static void remove_chardev(struct fake_qemu *q, const char *id)
{
	size_t n = strlen(id);

	if (!strncmp(q->chardev, id, n) && q->chardev[n] == ' ')
		q->chardev[0] = 0;
}

static json_t *execute(struct fake_qemu *q, const char *command, const json_t *args, int *fd)
{
	const char *line = json_string_value(json_object_get(args, "command-line"));
	json_t *ret = query(q, command);
	char *text;

	if (ret)
		return ret;
	if (!strcmp(command, "human-monitor-command") && line) {
		text = fake_qemu_hmp(q, line);
		ret = json_string(text);
		free(text);
		return ret;
	}
	if (!strcmp(command, "qom-get"))
		return json_string(property(q, json_string_value(json_object_get(args, "path")),
					    json_string_value(json_object_get(args, "property"))));
	if (!strcmp(command, "query-chardev"))
		return chardevs(q);
	if (!strcmp(command, "query-fdsets"))
		return fdsets(q);
	if (!strcmp(command, "pmemsave"))
		return pmemsave(q, args);
	if (!strcmp(command, "add-fd") && *fd >= 0 && q->nshared < FAKE_FDS)
		return add_fd(q, args, fd);
	if (!strcmp(command, "chardev-remove"))
		remove_chardev(q, json_string_value(json_object_get(args, "id")));
	if (!strcmp(command, "remove-fd"))
		return remove_fd(q, args);
	if (!strcmp(command, "getfd") && *fd >= 0)
		keep(&q->passed, fd);
	else if (!strcmp(command, "cont")) {
		q->conts++;
		fake_qemu_cont(q);
	} else if (strcmp(command, "qmp_capabilities") && strcmp(command, "chardev-add") &&
		   strcmp(command, "chardev-remove") && strcmp(command, "closefd"))
		return NULL;
	return json_object();
}

static void reply(struct fake_qemu *q, const json_t *request, int *fd)
{
	static const char error[] =
		"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\\nway\"}}\r\n";
	static const char not_found[] =
		"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"what?\"}}\r\n";
	const char *command = json_string_value(json_object_get(request, "execute"));
	json_t *ret;
	char *text;

	if (fake_qemu_fault(q, &q->qmp, &q->mute_qmp, error, "{\"return\": [1, \"two\"]}\r\n"))
		return;
	ret = command ? execute(q, command, json_object_get(request, "arguments"), fd) : NULL;
	text = ret ? vp_qmp_dump(json_pack("{s:o}", "return", ret))
	       : command && !strncmp(command, "query-", 6) ? strdup(not_found)
							   : strdup(error);
	if (q->qmp >= 0)
		(void)!send(q->qmp, text, strlen(text), MSG_NOSIGNAL);
	free(text);
}

/* --- the main loop ----------------------------------------------------------- */

static void qmp_input(struct fake_qemu *q)
{
	json_t *request;
	int fd = -1;

	if (vp_qmp_in_recv(&q->in, q->qmp, &fd) <= 0)
		keep(&q->qmp, &fd);
	while (q->qmp >= 0 && !q->mute_qmp && vp_qmp_in_next(&q->in, &request, NULL) == 1) {
		reply(q, request, &fd);
		json_decref(request);
	}
	if (fd >= 0)
		close(fd);
	if (q->qmp < 0)
		vp_qmp_in_free(&q->in);
}

static void stub_input(struct fake_qemu *q)
{
	char bytes[4096];
	ssize_t n = recv(q->stub, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n > 0)
		fake_stub_bytes(q, bytes, (size_t)n);
	else if (!n || errno != EAGAIN)
		fake_stub_close(q);
}

static void accept_qmp(struct fake_qemu *q)
{
	static const char hello[] = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";

	vp_qmp_in_free(&q->in); /* what the client before had sent ahead */
	q->qmp = accept(q->qmp_listen, NULL, NULL);
	q->mute_qmp = false;
	if (q->qmp >= 0 &&
	    !fake_qemu_fault(q, &q->qmp, &q->mute_qmp, "{\"error\": 5}\r\n", "{\"hello\": 1}\r\n"))
		(void)!send(q->qmp, hello, sizeof(hello) - 1, MSG_NOSIGNAL);
}

static void *main_loop(void *arg)
{
	struct fake_qemu *q = arg;

	sem_post(&q->started);
	for (;;) {
		struct pollfd p[5] = { { q->wake[0], POLLIN, 0 } };

		pthread_mutex_lock(&q->lock);
		/* One client each, as QEMU; the others stay in the queue. */
		p[1] = (struct pollfd){ q->qmp < 0 ? q->qmp_listen : -1, POLLIN, 0 };
		p[2] = (struct pollfd){ q->stub < 0 ? q->gdb_listen : -1, POLLIN, 0 };
		p[3] = (struct pollfd){ q->mute_qmp ? -1 : q->qmp, POLLIN, 0 };
		p[4] = (struct pollfd){ q->mute_stub ? -1 : q->stub, POLLIN, 0 };
		pthread_mutex_unlock(&q->lock);
		poll(p, 5, -1);
		pthread_mutex_lock(&q->lock);
		if (p[0].revents) {
			char c = 1;

			(void)!read(q->wake[0], &c, 1);
			if (c)
				break;
		} else if (p[1].revents) {
			accept_qmp(q);
		} else if (p[2].revents) {
			fake_stub_open(q, accept(q->gdb_listen, NULL, NULL), false);
		} else if (p[3].revents && q->qmp >= 0) {
			qmp_input(q);
		} else if (p[4].revents && q->stub >= 0) {
			stub_input(q);
		}
		pthread_mutex_unlock(&q->lock);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

static int listen_at(const char *path)
{
	struct sockaddr_un addr;
	int fd = vp_qmp_address(path, &addr, NULL) ? -1 : vp_qmp_listen(&addr, NULL);

	if (fd < 0)
		abort();
	fcntl(fd, F_SETFL, 0);
	return fd;
}

struct fake_qemu *fake_qemu_new(void)
{
	struct fake_qemu *q = calloc(1, sizeof(*q));

	q->arch = "x86_64";
	q->uuid = "11111111-2222-3333-4444-555555555555";
	q->major = 7;
	q->minor = 2;
	q->state = "paused";
	q->packet_size = 0x1000;
	q->features = "qXfer:features:read+;vContSupported+;multiprocess+";
	q->registers = fake_registers;
	q->running = true;
	q->qmp = q->stub = q->passed = -1;
	q->in.limit = VP_QMP_MESSAGE_MAX;
	for (size_t i = 0; i < FAKE_RAM; i++)
		q->ram[i] = (uint8_t)(i * 7 + i / 256);
	pthread_mutex_init(&q->lock, NULL);
	strcpy(q->dir, "/tmp/vmpoke-qemu-XXXXXX");
	if (!mkdtemp(q->dir) || pipe(q->wake))
		abort();
	snprintf(q->qmp_path, sizeof(q->qmp_path), "%s/qmp", q->dir);
	snprintf(q->gdb_path, sizeof(q->gdb_path), "%s/gdb", q->dir);
	q->qmp_listen = listen_at(q->qmp_path);
	q->gdb_listen = listen_at(q->gdb_path);
	if (sem_init(&q->started, 0, 0) || pthread_create(&q->thread, NULL, main_loop, q))
		abort();
	/* A test may fork now: a child in which half a thread holds libc's locks could start none.
	 */
	while (sem_wait(&q->started))
		;
	return q;
}

void fake_qemu_free(struct fake_qemu *q)
{
	int all[] = { q->wake[0], q->wake[1], q->qmp_listen, q->gdb_listen, -1, -1, -1 };

	(void)!write(q->wake[1], "q", 1);
	pthread_join(q->thread, NULL);
	all[4] = q->qmp, all[5] = q->stub, all[6] = q->passed;
	for (size_t i = 0; i < q->nshared; i++) {
		close(q->shared[i].fd);
		free(q->shared[i].opaque);
	}
	for (size_t i = 0; i < 7; i++)
		if (all[i] >= 0)
			close(all[i]);
	vp_qmp_in_free(&q->in);
	unlink(q->qmp_path);
	unlink(q->gdb_path);
	rmdir(q->dir);
	sem_destroy(&q->started);
	pthread_mutex_destroy(&q->lock);
	free(q);
}
