/* SPDX-License-Identifier: Apache-2.0 */
/* vmpoke hotfix sign: a signature for an object, beside it or in it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "build/out.h"
#include "cli/cmd_hotfix.h"
#include "cli/options.h"
#include "cli/password.h"
#include "control/control.h"
#include "hotfix/livepatch.h"
#include "hotfix/object.h"
#include "sign/embedded.h"
#include "sign/secret.h"
#include "sign/terms.h"

#define ME "hotfix sign"

static const char help[] =
	"usage: vmpoke hotfix sign OBJECT --key FILE [--expires YYYY-MM-DD] [--embed] [-o FILE]\n"
	"       vmpoke hotfix sign OBJECT --detach [-o FILE]\n"
	"\n"
	"Sign the hotfix OBJECT with a secret key of `vmpoke hotfix keygen` or of minisign. The\n"
	"signature is written beside it, as OBJECT.minisig, which `minisign -V` checks, too.\n"
	"See docs/signing.md.\n"
	"\n"
	"  --key FILE        the secret key; its password is asked for on the terminal\n"
	"  --expires DATE    the last day (UTC) on which a host may take it; else it is for ever\n"
	"  --embed           write it into OBJECT, at its end\n"
	"  --detach          the other way: take it out again, into OBJECT.minisig\n"
	"  -o FILE           write the object there, with --embed and --detach, or the signature\n"
	"\n"
	"Exit code: 0; 2 bad options, no terminal, or no password; 3 wrong password; 6 memory is\n"
	"missing; 7 OBJECT is no hotfix, FILE is no key, or something cannot be written.\n";

struct sign_args {
	const char *object, *key, *expires, *output;
	bool embed, detach;
};

static int check_options(const struct sign_args *a)
{
	int64_t ends;

	if (a->detach && (a->key || a->expires || a->embed))
		return vp_cmd_fail(ME, VP_EXIT_USAGE,
				   "--detach goes with none of --key, --expires, --embed");
	if (!a->detach && !a->key)
		return vp_cmd_fail(ME, VP_EXIT_USAGE, "--key FILE is missing; see --help");
	if (!a->expires)
		return -1;
	if (vp_terms_day(a->expires, strlen(a->expires), &ends))
		return vp_cmd_fail(ME, VP_EXIT_USAGE, "--expires %s is no day, YYYY-MM-DD",
				   a->expires);
	if (ends <= time(NULL))
		return vp_cmd_fail(ME, VP_EXIT_USAGE, "--expires %s: that day is over", a->expires);
	return -1;
}

static int parse(int argc, char **argv, struct sign_args *a)
{
	const struct vp_option options[] = {
		VP_TEXT("key", &a->key),     VP_TEXT("expires", &a->expires),
		VP_FLAG("embed", &a->embed), VP_FLAG("detach", &a->detach),
		VP_TEXT("o", &a->output),    VP_OPTIONS_END,
	};
	int code;

	argv[0] = ME;
	code = vp_options_parse(argc, argv, help, options, 1, 1);
	if (code >= 0)
		return code;
	a->object = argv[optind];
	return check_options(a);
}

/* --- the object ------------------------------------------------------------------------- */

struct object {
	void *file;
	struct vp_embedded parts;
};

/* What is signed is a hotfix, or a livepatch module, or somebody has taken the wrong file. */
static int check_hotfix(const struct sign_args *a, const struct object *o, struct vp_err *err)
{
	struct vp_blockers blockers = { 0 };
	struct vp_hotfix_object *hotfix = NULL;
	struct vp_elf_object *elf = NULL;
	int rc = vp_elf_object_open(o->file, o->parts.len, a->object, &elf, err);

	if (!rc && !vp_livepatch_is(elf))
		rc = vp_hotfix_object_open(elf, &hotfix, &blockers, err);
	vp_hotfix_object_close(hotfix);
	vp_elf_object_close(elf);
	vp_blockers_free(&blockers);
	return rc;
}

static int read_object(const struct sign_args *a, struct object *o)
{
	struct vp_err err = { "" };
	size_t len;

	if (vp_out_read(a->object, VP_HOTFIX_OBJECT_MAX, &o->file, &len, &err))
		return vp_cmd_fail(ME, VP_EXIT_FILE, "%s", err.text);
	if (vp_embedded_split(o->file, len, &o->parts, &err))
		return vp_cmd_fail(ME, VP_EXIT_FILE, "%s: %s", a->object, err.text);
	if (check_hotfix(a, o, &err))
		return vp_cmd_fail(ME, VP_EXIT_FILE, "%s", err.text);
	if (!a->detach && o->parts.signature)
		return vp_cmd_fail(ME, VP_EXIT_FILE, "%s has a signature in it: --detach it first",
				   a->object);
	if (a->detach && !o->parts.signature)
		return vp_cmd_fail(ME, VP_EXIT_FILE, "%s has no signature in it", a->object);
	return VP_EXIT_OK;
}

/* --- the key ------------------------------------------------------------------------------ */

/* Into memory that the caller wipes; not by stdio, which keeps a copy. */
static int read_key_file(const char *path, char text[VP_SIGN_FILE_MAX], size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	*len = 0;
	if (fd < 0)
		return vp_cmd_fail(ME, VP_EXIT_FILE, "%s: %s", path, strerror(errno));
	while (n > 0 && *len < VP_SIGN_FILE_MAX) {
		n = read(fd, text + *len, VP_SIGN_FILE_MAX - *len);
		*len += n > 0 ? (size_t)n : 0;
	}
	if (n < 0)
		vp_cmd_fail(ME, VP_EXIT_FILE, "%s: %s", path, strerror(errno));
	close(fd);
	return n < 0 ? VP_EXIT_FILE : VP_EXIT_OK;
}

/* The caller wipes @key. */
static int read_key(const char *path, struct vp_secret_key *key)
{
	char text[VP_SIGN_FILE_MAX], password[VP_PASSWORD_MAX] = "";
	struct vp_err err = { "" };
	bool locked = false;
	size_t len;
	int rc, code = read_key_file(path, text, &len);

	if (!code && vp_secret_key_is_locked(text, len, &locked, &err))
		code = vp_cmd_fail(ME, VP_EXIT_FILE, "%s: %s", path, err.text);
	if (!code && locked)
		code = vp_password_ask(ME, "Password of the key", password);
	if (!code) {
		rc = vp_secret_key_parse(text, len, locked ? password : NULL, key, &err);
		code = rc ? vp_cmd_fail(ME, vp_exit_code(rc), "%s: %s", path, err.text)
			  : VP_EXIT_OK;
	}
	vp_secret_wipe(text, sizeof(text));
	vp_secret_wipe(password, sizeof(password));
	return code;
}

/* --- writing ------------------------------------------------------------------------------- */

/* A file's name as one word of a comment. */
static void word_of(const char *path, char *word, size_t size)
{
	const char *slash = strrchr(path, '/');

	snprintf(word, size, "%s", slash ? slash + 1 : path);
	for (char *c = word; *c; c++)
		if (*c <= ' ' || *c >= 0x7f)
			*c = '_';
}

static int write_file(const char *path, const void *data, size_t len)
{
	struct vp_err err = { "" };

	return vp_out_write(path, data, len, &err) ? vp_cmd_fail(ME, VP_EXIT_FILE, "%s", err.text)
						   : VP_EXIT_OK;
}

/* The name of the signature beside @object. */
static int name_beside(const char *object, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s.minisig", object) < PATH_MAX)
		return VP_EXIT_OK;
	return vp_cmd_fail(ME, VP_EXIT_FILE, "%.60s...: too long", object);
}

static int write_embedded(const char *path, const struct object *o, const char *text, size_t len)
{
	char beside[PATH_MAX];
	uint8_t *file;
	size_t n;
	int code = name_beside(path, beside);

	if (!code && !access(beside, F_OK))
		code = vp_cmd_fail(ME, VP_EXIT_FILE, "there is another signature, %s: remove it",
				   beside);
	if (code)
		return code;
	file = vp_embedded_join(o->file, o->parts.len, text, len, &n);
	if (!file)
		return vp_cmd_fail(ME, VP_EXIT_HOST, "out of memory");
	code = n > VP_HOTFIX_OBJECT_MAX ? vp_cmd_fail(ME, VP_EXIT_FILE, "%s: more than %u bytes",
						      path, VP_HOTFIX_OBJECT_MAX)
					: write_file(path, file, n);
	free(file);
	return code;
}

static int sign(const struct sign_args *a, const struct object *o, const struct vp_secret_key *key)
{
	const char *signed_as = a->embed && a->output ? a->output : a->object;
	char text[VP_SIGN_FILE_MAX], name[VP_TERMS_FILE], number[VP_KEY_TEXT], path[PATH_MAX];
	struct vp_signature s = { 0 };
	struct vp_err err = { "" };
	size_t len;
	int code;

	word_of(signed_as, name, sizeof(name));
	snprintf(s.comment, sizeof(s.comment), "timestamp:%lld\tfile:%s\thashed%s%s",
		 (long long)time(NULL), name, a->expires ? "\texpires:" : "",
		 a->expires ? a->expires : "");
	if (vp_secret_key_sign(key, o->file, o->parts.len, &s, &err))
		return vp_cmd_fail(ME, VP_EXIT_HOST, "%s", err.text);
	len = vp_signature_format(&s, text);
	if (a->embed) {
		snprintf(path, sizeof(path), "%s", signed_as);
		code = write_embedded(signed_as, o, text, len);
	} else {
		code = name_beside(a->object, path);
		if (!code && a->output)
			code = snprintf(path, sizeof(path), "%s", a->output) < PATH_MAX
				       ? VP_EXIT_OK
				       : vp_cmd_fail(ME, VP_EXIT_FILE, "-o: too long");
		if (!code)
			code = write_file(path, text, len);
	}
	if (!code)
		printf("%s: signed by the key %s%s%s\n", path, vp_key_text(s.number, number),
		       a->expires ? ", up to " : "", a->expires ? a->expires : "");
	return code;
}

/* The signature first: an object that has one in it and one beside it is refused, not lost. */
static int detach(const struct sign_args *a, const struct object *o)
{
	const char *output = a->output ? a->output : a->object;
	char path[PATH_MAX];
	int code = name_beside(output, path);

	if (!code)
		code = write_file(path, o->parts.signature, o->parts.signature_len);
	if (!code)
		code = write_file(output, o->file, o->parts.len);
	if (!code)
		printf("%s: the object; %s: its signature\n", output, path);
	return code;
}

int vp_cmd_hotfix_sign(int argc, char **argv)
{
	struct sign_args a = { 0 };
	struct vp_secret_key key;
	struct object o = { 0 };
	int code = parse(argc, argv, &a);

	if (code >= 0)
		return code;
	code = read_object(&a, &o);
	if (!code && a.detach) {
		code = detach(&a, &o);
	} else if (!code) {
		code = read_key(a.key, &key);
		if (!code)
			code = sign(&a, &o, &key);
		vp_secret_wipe(&key, sizeof(key));
	}
	free(o.file);
	return code;
}
