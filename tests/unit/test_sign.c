/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures: the files of minisign, keyrings, and every way in which an object is refused. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sign/check.h"
#include "sign/embedded.h"
#include "sign/secret.h"
#include "sign/terms.h"
#include "unit.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define NOW	      INT64_C(1800000000) /* 2027-01-15 */

static const uint8_t object[] = "these are the bytes of an object";
static struct vp_err err;

struct rig {
	char dir[32], path[96];
	struct vp_secret_key secret;
	struct vp_public_key public;
	struct vp_signature sig;
	char text[VP_SIGN_FILE_MAX];
	size_t len;
	struct vp_signer signer;
};

/* The file @name of the keyring, with this mode. */
static void put(struct rig *r, const char *name, const char *text, mode_t mode)
{
	int fd;

	snprintf(r->path, sizeof(r->path), "%s/%s", r->dir, name);
	fd = open(r->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void take_away(struct rig *r, const char *name)
{
	snprintf(r->path, sizeof(r->path), "%s/%s", r->dir, name);
	unlink(r->path);
}

static void sign(struct rig *r, const char *comment)
{
	snprintf(r->sig.comment, sizeof(r->sig.comment), "%s", comment);
	assert_int_equal(vp_secret_key_sign(&r->secret, object, sizeof(object), &r->sig, &err), 0);
	r->len = vp_signature_format(&r->sig, r->text);
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	char text[VP_SIGN_FILE_MAX];

	*state = r;
	strcpy(r->dir, "/tmp/vmpoke-unit-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(vp_secret_key_make(&r->secret, &r->public, &err), 0);
	vp_public_key_format(&r->public, text);
	put(r, "alice.pub", text, 0644);
	sign(r, "timestamp:1799990000\tfile:fix.o\thashed\texpires:2027-01-31");
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "alice.pub", "bob.pub", "x.pub", "README" };
	struct rig *r = *state;
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		take_away(r, names[i]);
	rc = rmdir(r->dir);
	free(r);
	return rc;
}

static int check_with(struct rig *r, const char *own, const char *system, const void *bytes,
		      int64_t now)
{
	const struct vp_keyrings keyrings = { own, system };
	const struct vp_signed s = { "dir/fix.o", bytes, sizeof(object), r->len ? r->text : NULL,
				     r->len };

	return vp_keyrings_check(&keyrings, &s, now, &r->signer, &err);
}

/* It is refused, with a text that has @part; by the system's keyring as by the user's. */
static void refused_of(struct rig *r, const void *bytes, int64_t now, const char *part)
{
	for (int own = 0; own < 2; own++) {
		assert_int_equal(check_with(r, own ? r->dir : NULL, own ? "/nonexistent" : r->dir,
					    bytes, now),
				 -EKEYREJECTED);
		if (!strstr(err.text, part))
			fail_msg("\"%s\" has no \"%s\"", err.text, part);
		assert_false(r->signer.known);
	}
}

static void refused(struct rig *r, const char *part)
{
	refused_of(r, object, NOW, part);
}

/* --- objects ------------------------------------------------------------------------- */

static void test_taken(void **state)
{
	struct rig *r = *state;
	char number[VP_KEY_TEXT];

	assert_int_equal(check_with(r, NULL, r->dir, object, NOW), 0);
	assert_true(r->signer.known);
	assert_string_equal(r->signer.file, "alice.pub");
	assert_string_equal(r->signer.key, vp_key_text(r->public.number, number));
	assert_string_equal(r->signer.comment,
			    "timestamp:1799990000 file:fix.o hashed expires:2027-01-31");
	assert_int_equal(check_with(r, r->dir, r->dir, object, NOW), 0);
	/* Nobody asks. */
	assert_int_equal(check_with(r, NULL, "/nonexistent", "altered", NOW), 0);
	assert_false(r->signer.known);
	sign(r, "no words that are known");
	assert_int_equal(check_with(r, NULL, r->dir, object, NOW), 0);
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	uint8_t other[sizeof(object)];
	size_t len = r->len;

	memcpy(other, object, sizeof(other));
	other[5] ^= 1;
	refused_of(r, other, NOW, "it was altered");
	refused_of(r, object, NOW + 17 * 86400, "expired on 2027-01-31");
	refused_of(r, object, 1799990000 - VP_TERMS_SKEW - 1, "set the clock");
	assert_int_equal(check_with(r, NULL, r->dir, object, 1799990000 - VP_TERMS_SKEW), 0);
	r->len = 0;
	refused(r, "it is not signed");
	r->len = len;
	sign(r, "timestamp:1799990000\tfile:other.o");
	refused_of(r, other, NOW, "of another object, other.o");
	/* The comment is the signature's, too. */
	r->sig.comment[strlen("timestamp:")] = '2';
	r->len = vp_signature_format(&r->sig, r->text);
	refused(r, "trusted comment was altered");
	r->sig.of_bytes[3] ^= 1;
	r->len = vp_signature_format(&r->sig, r->text);
	refused(r, "is not of the key alice.pub");
	r->sig.number[0] ^= 1;
	r->len = vp_signature_format(&r->sig, r->text);
	refused(r, "which is not in the keyring");
	r->text[r->len / 2] = '\0';
	refused(r, "its ");
	r->len = 10;
	refused(r, "none of minisign");
}

static void test_algorithm(void **state)
{
	struct rig *r = *state;
	char *line = strchr(r->text, '\n') + 1;

	line[1] = 'X'; /* "Et" */
	refused(r, "unknown algorithm");
	line[1] = 'W'; /* "Ed": then the bytes themselves would have to be signed */
	refused(r, "altered");
}

/* What the user names never takes the place of what the system has. */
static void test_two_keyrings(void **state)
{
	struct rig *r = *state;
	char other[] = "/tmp/vmpoke-unit-XXXXXX", path[64], text[VP_SIGN_FILE_MAX];
	struct vp_secret_key secret;
	struct vp_public_key public;
	FILE *file;

	assert_non_null(mkdtemp(other));
	assert_int_equal(check_with(r, other, r->dir, object, NOW), -EKEYREJECTED);
	assert_non_null(strstr(err.text, "there is no key in it"));
	vp_secret_key_make(&secret, &public, &err);
	vp_public_key_format(&public, text);
	snprintf(path, sizeof(path), "%s/bob.pub", other);
	file = fopen(path, "w");
	fputs(text, file);
	fclose(file);
	assert_int_equal(check_with(r, other, r->dir, object, NOW), -EKEYREJECTED);
	assert_int_equal(check_with(r, r->dir, other, object, NOW), -EKEYREJECTED);
	assert_non_null(strstr(err.text, other));
	assert_false(r->signer.known);
	unlink(path);
	rmdir(other);
}

/* --- keyrings ------------------------------------------------------------------------- */

static void test_keyring(void **state)
{
	struct rig *r = *state;
	char text[VP_SIGN_FILE_MAX];

	put(r, "README", "not a key", 0666);
	assert_int_equal(check_with(r, NULL, r->dir, object, NOW), 0);
	put(r, "x.pub", "not a key", 0644);
	refused(r, "x.pub: it is no public key");
	vp_public_key_format(&r->public, text);
	put(r, "x.pub", text, 0644);
	refused(r, "have one number");
	put(r, "x.pub", text, 0664);
	refused(r, "x.pub is not a file that only root or you can write");
	take_away(r, "x.pub");
	assert_int_equal(mkfifo(r->path, 0600), 0);
	refused(r, "x.pub is not a file");
	take_away(r, "x.pub");
	assert_int_equal(symlink("/nonexistent", r->path), 0);
	refused(r, "x.pub: No such file");
	take_away(r, "x.pub");
	assert_int_equal(chmod(r->dir, 0777), 0);
	refused(r, "others than root and you");
	assert_int_equal(chmod(r->dir, 0700), 0);
	take_away(r, "alice.pub");
	refused(r, "there is no key in it");
	/* One that the user names is to be there; the system's is there or not. */
	assert_int_equal(check_with(r, "/nonexistent", "/nonexistent", object, NOW), -EKEYREJECTED);
	assert_int_equal(check_with(r, NULL, "/dev/null/keyring", object, NOW), -EKEYREJECTED);
}

/* --- comments ------------------------------------------------------------------------- */

static void test_terms(void **state)
{
	static const char *const bad[] = {
		"expires:2027-02-29",
		"expires:2027-1-01",
		"expires:",
		"expires",
		"Expires:2027-01-01",
		"expires=2027-01-01",
		"expire:2027-01-01",
		"timestamp:",
		"timestamp:-5",
		"timestamp:99999999999999",
		"expires:2027-01-01T00",
		"expires:2027-01-01 x\texpires:2027-01-02",
		"timestamp:1 timestamp:1",
		"expires: 2027-01-01",
		"expires:1969-01-01",
		"expires:2027-13-01",
	};
	struct vp_terms t;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (vp_terms_parse(bad[i], &t, &err) != -ENOEXEC)
			fail_msg("\"%s\" is taken", bad[i]);
	assert_int_equal(vp_terms_parse("file:a.o expires:2028-02-29 timestamp:7 more", &t, &err),
			 0);
	assert_string_equal(t.file, "a.o");
	assert_string_equal(t.ends_text, "2028-02-29");
	assert_int_equal(t.made, 7);
	assert_int_equal(t.ends, INT64_C(1835481600)); /* 2028-03-01 */
	assert_int_equal(vp_terms_check(&t, t.ends - 1, &err), 0);
	assert_int_equal(vp_terms_check(&t, t.ends, &err), -EKEYREJECTED);
	assert_int_equal(vp_terms_parse("", &t, &err), 0);
	assert_int_equal(vp_terms_check(&t, INT64_MAX, &err), 0);
}

/* --- signatures in files ------------------------------------------------------------------ */

static void test_embedded(void **state)
{
	struct rig *r = *state;
	struct vp_embedded parts;
	size_t n;
	uint8_t *file = vp_embedded_join(object, sizeof(object), r->text, r->len, &n);

	assert_int_equal(vp_embedded_split(file, n, &parts, &err), 0);
	assert_int_equal(parts.len, sizeof(object));
	assert_int_equal(parts.signature_len, r->len);
	assert_memory_equal(parts.signature, r->text, r->len);
	assert_int_equal(vp_embedded_split(object, sizeof(object), &parts, &err), 0);
	assert_null(parts.signature);
	assert_int_equal(parts.len, sizeof(object));
	memcpy(file + n - 11, "9999999999", 10);
	assert_int_equal(vp_embedded_split(file, n, &parts, &err), -ENOEXEC);
	memcpy(file + n - 11, "00000000zz", 10);
	assert_int_equal(vp_embedded_split(file, n, &parts, &err), -ENOEXEC);
	free(file);
}

/* --- secret keys ---------------------------------------------------------------------------- */

static void test_secret(void **state)
{
	const struct vp_secret_cost cheap = { 32768, 16 << 20 };
	struct rig *r = *state;
	struct vp_secret_key key = { 0 };
	char text[VP_SIGN_FILE_MAX];
	bool locked;

	assert_int_equal(vp_secret_key_format(&r->secret, NULL, &cheap, text, &err), 0);
	assert_int_equal(vp_secret_key_is_locked(text, strlen(text), &locked, &err), 0);
	assert_false(locked);
	assert_int_equal(vp_secret_key_parse(text, strlen(text), NULL, &key, &err), 0);
	assert_memory_equal(&key, &r->secret, sizeof(key));
	strchr(text, '\n')[100] ^= 1;
	assert_int_not_equal(vp_secret_key_parse(text, strlen(text), NULL, &key, &err), 0);

	assert_int_equal(vp_secret_key_format(&r->secret, "a password", &cheap, text, &err), 0);
	assert_int_equal(vp_secret_key_is_locked(text, strlen(text), &locked, &err), 0);
	assert_true(locked);
	assert_int_equal(vp_secret_key_parse(text, strlen(text), NULL, &key, &err), -EKEYREJECTED);
	assert_int_equal(vp_secret_key_parse(text, strlen(text), "another", &key, &err),
			 -EKEYREJECTED);
	memset(&key, 0, sizeof(key));
	assert_int_equal(vp_secret_key_parse(text, strlen(text), "a password", &key, &err), 0);
	assert_memory_equal(&key, &r->secret, sizeof(key));
	assert_int_equal(vp_secret_key_parse("x", 1, NULL, &key, &err), -ENOEXEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_algorithm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_keyrings, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keyring, setup, teardown),
		cmocka_unit_test(test_terms),
		cmocka_unit_test_setup_teardown(test_embedded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_secret, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
