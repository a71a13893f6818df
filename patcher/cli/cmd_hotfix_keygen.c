/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke hotfix keygen: a pair of keys, as minisign has them. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd_hotfix.h"
#include "cli/options.h"
#include "cli/password.h"
#include "sign/secret.h"

#define ME "hotfix keygen"

static const char help[] =
	"usage: vmpoke hotfix keygen NAME [--no-password]\n"
	"\n"
	"Make a pair of keys: NAME.key, which is secret and signs hotfixes, and NAME.pub, which\n"
	"goes into the keyring of every host that is to take them (docs/signing.md). Both are as\n"
	"minisign has them. A file that is there is never written over.\n"
	"\n"
	"  --no-password  the secret key is not encrypted: whoever can read the file can sign.\n"
	"                 Else a password is asked for on the terminal\n"
	"\n"
	"Exit code: 0; 2 bad options, no terminal, or no password; 6 memory is missing (1 GB for\n"
	"the password); 7 a file is there already, or cannot be written.\n";

struct keygen_args {
	const char *name;
	bool no_password;
};

static int parse(int argc, char **argv, struct keygen_args *a)
{
	const struct vp_option options[] = {
		VP_FLAG("no-password", &a->no_password),
		VP_OPTIONS_END,
	};
	int code;

	argv[0] = ME;
	code = vp_options_parse(argc, argv, help, options, 1, 1);
	if (code >= 0)
		return code;
	a->name = argv[optind];
	return -1;
}

static int ask_password(char password[VP_PASSWORD_MAX])
{
	char again[VP_PASSWORD_MAX];
	int code = vp_password_ask(ME, "Password of the new key", password);

	if (!code)
		code = vp_password_ask(ME, "Once more", again);
	if (!code && strcmp(password, again) != 0)
		code = vp_cmd_fail(ME, VP_EXIT_USAGE, "these are two passwords");
	vp_secret_wipe(again, sizeof(again));
	return code;
}

/* A new file, on disk; none is left behind if it cannot be. */
static int write_new(const char *path, mode_t mode, const char *text)
{
	size_t len = strlen(text);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	int rc;

	if (fd < 0)
		return vp_cmd_fail(ME, VP_EXIT_FILE, "%s: %s", path, strerror(errno));
	errno = EIO; /* of a short write */
	rc = write(fd, text, len) == (ssize_t)len && !fsync(fd) ? 0 : errno;
	if (close(fd) && !rc)
		rc = errno;
	if (!rc)
		return VP_EXIT_OK;
	unlink(path);
	return vp_cmd_fail(ME, VP_EXIT_FILE, "%s: %s", path, strerror(rc));
}

static int write_pair(const struct keygen_args *a, const char *secret,
		      const struct vp_public_key *public)
{
	char key[PATH_MAX], pub[PATH_MAX], text[VP_SIGN_FILE_MAX], number[VP_KEY_TEXT];
	int code;

	if (snprintf(key, sizeof(key), "%s.key", a->name) >= (int)sizeof(key) ||
	    snprintf(pub, sizeof(pub), "%s.pub", a->name) >= (int)sizeof(pub))
		return vp_cmd_fail(ME, VP_EXIT_FILE, "%.60s...: too long", a->name);
	vp_public_key_format(public, text);
	code = write_new(pub, 0644, text);
	if (code)
		return code;
	code = write_new(key, 0600, secret);
	if (code)
		unlink(pub);
	else
		printf("%s: the secret key; %s: for keyrings; number %s\n", key, pub,
		       vp_key_text(public->number, number));
	return code;
}

int vp_cmd_hotfix_keygen(int argc, char **argv)
{
	struct keygen_args a = { 0 };
	char password[VP_PASSWORD_MAX] = "", text[VP_SIGN_FILE_MAX];
	struct vp_public_key public;
	struct vp_secret_key secret;
	struct vp_err err = { "" };
	int rc, code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	code = a.no_password ? VP_EXIT_OK : ask_password(password);
	if (!code) {
		rc = vp_secret_key_make(&secret, &public, &err);
		if (!rc)
			rc = vp_secret_key_format(&secret, a.no_password ? NULL : password,
						  &vp_secret_cost, text, &err);
		code = rc ? vp_cmd_fail(ME, vp_exit_code(rc), "%s", err.text)
			  : write_pair(&a, text, &public);
	}
	vp_secret_wipe(password, sizeof(password));
	vp_secret_wipe(&secret, sizeof(secret));
	vp_secret_wipe(text, sizeof(text));
	return code;
}
