/* SPDX-License-Identifier: Apache-2.0 */
/* What the VM is called: by its control socket's name commands find it. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "preload/preload.h"

#define COMMAND_MAX 65536

/* The value of option @option in the command line of this process: malloc()ed, or NULL. */
static char *option_of_qemu(const char *option)
{
	char *text = calloc(1, COMMAND_MAX), *value = NULL;
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = 0, len = 0;

	while (text && fd >= 0 && len < COMMAND_MAX - 2 &&
	       (n = read(fd, text + len, (size_t)(COMMAND_MAX - 2 - len))) > 0)
		len += n;
	if (fd >= 0)
		close(fd);
	for (char *at = text; text && at < text + len && !value; at += strlen(at) + 1)
		if (!strcmp(at, option) && at + strlen(at) + 1 < text + len)
			value = strdup(at + strlen(at) + 1);
	free(text);
	return value;
}

/* NAME, NAME,KEY=..., or guest=NAME,KEY=... where two commas are one of the name's (qemu(1)). */
static void take_name(const char *value, char *name, size_t size)
{
	size_t n = 0;

	if (!strncmp(value, "guest=", strlen("guest=")))
		value += strlen("guest=");
	for (; *value && n + 1 < size; value++) {
		if (*value == ',' && *++value != ',')
			break;
		name[n++] = *value;
	}
	name[n] = '\0';
}

/* What may be a file's name and is none of the other forms of a target. */
static bool is_fit(const char *name)
{
	if (!*name || *name == '.' || *name == '-')
		return false;
	for (; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("._-+@", *name))
			return false;
	return true;
}

void vp_preload_name(char *name, size_t size)
{
	const char *given = getenv("VMPOKE_NAME");
	char *qemu = NULL;

	*name = '\0';
	if (given && *given)
		snprintf(name, size, "%s", given);
	else if ((qemu = option_of_qemu("-name")))
		take_name(qemu, name, size);
	free(qemu);
	if (!is_fit(name))
		snprintf(name, size, "%s-%d", program_invocation_short_name, (int)getpid());
}

void vp_preload_uuid(char *uuid, size_t size)
{
	char *qemu = option_of_qemu("-uuid");

	snprintf(uuid, size, "%s", qemu ? qemu : "");
	free(qemu);
}
