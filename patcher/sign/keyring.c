/* SPDX-License-Identifier: Apache-2.0 */
#include "sign/keyring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct vp_keyring {
	struct vp_keyring_key keys[VP_KEYRING_MAX];
	size_t n;
};

#define SUFFIX ".pub"

static bool is_key(const char *name)
{
	size_t len = strlen(name);

	return *name != '.' && len > strlen(SUFFIX) && !strcmp(name + len - strlen(SUFFIX), SUFFIX);
}

/* Whoever can write there says whose objects are good. */
static bool is_safe(const struct stat *st)
{
	return (st->st_uid == 0 || st->st_uid == geteuid()) && !(st->st_mode & 022);
}

/* -errno; @len: how much there was, at most @size. */
static int read_fd(int fd, char *text, size_t size, size_t *len)
{
	ssize_t n = 1;

	for (*len = 0; n > 0 && *len < size; *len += (size_t)n) {
		n = read(fd, text + *len, size - *len);
		if (n < 0)
			return -errno;
	}
	return 0;
}

static int read_open_key(int fd, const char *name, char *text, size_t size, size_t *len,
			 struct vp_err *err)
{
	struct stat st;
	int rc;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || !is_safe(&st))
		return vp_err_set(err, -EKEYREJECTED,
				  "%.100s is not a file that only root or you can write", name);
	rc = read_fd(fd, text, size, len);
	return rc ? vp_err_set(err, -EKEYREJECTED, "%.100s: %s", name, strerror(-rc)) : 0;
}

static int read_key(int folder, const char *name, char *text, size_t size, size_t *len,
		    struct vp_err *err)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;

	if (fd < 0)
		return vp_err_set(err, -EKEYREJECTED, "%.100s: %s", name, strerror(errno));
	rc = read_open_key(fd, name, text, size, len, err);
	close(fd);
	return rc;
}

/* Read the key @name of @folder as the next one. */
static int add_key(struct vp_keyring *ring, int folder, const char *name, struct vp_err *err)
{
	struct vp_keyring_key *k;
	char text[VP_SIGN_FILE_MAX + 1];
	struct vp_err why = { "" };
	size_t len = 0;
	int rc;

	if (ring->n == VP_KEYRING_MAX)
		return vp_err_set(err, -EKEYREJECTED, "it has more than %u keys", VP_KEYRING_MAX);
	k = &ring->keys[ring->n];
	rc = read_key(folder, name, text, sizeof(text), &len, err);
	if (rc)
		return rc;
	if (vp_public_key_parse(text, len, &k->key, &why))
		return vp_err_set(err, -EKEYREJECTED, "%.100s: %s", name, why.text);
	if (vp_keyring_find(ring, k->key.number))
		return vp_err_set(err, -EKEYREJECTED, "%.80s and %.80s have one number", name,
				  vp_keyring_find(ring, k->key.number)->file);
	snprintf(k->file, sizeof(k->file), "%s", name);
	ring->n++;
	return 0;
}

static int add_keys(struct vp_keyring *ring, DIR *dir, struct vp_err *err)
{
	struct dirent *e;
	struct stat st;
	int rc = 0;

	if (fstat(dirfd(dir), &st) || !is_safe(&st))
		return vp_err_set(err, -EKEYREJECTED, "others than root and you can write there");
	do {
		errno = 0;
		e = readdir(dir);
		if (!e && errno)
			return vp_err_set(err, -EKEYREJECTED, "%s", strerror(errno));
		if (e && is_key(e->d_name))
			rc = add_key(ring, dirfd(dir), e->d_name, err);
	} while (e && !rc);
	return rc || ring->n ? rc
			     : vp_err_set(err, -EKEYREJECTED, "there is no key in it (NAME.pub)");
}

int vp_keyring_open(const char *folder, struct vp_keyring **out, struct vp_err *err)
{
	struct vp_keyring *ring = calloc(1, sizeof(*ring));
	DIR *dir = ring ? opendir(folder) : NULL;
	struct vp_err why = { "" };
	int rc;

	*out = NULL;
	if (!ring)
		return vp_err_set(err, -ENOMEM, "out of memory");
	if (dir)
		rc = add_keys(ring, dir, &why);
	else
		rc = vp_err_set(&why, -EKEYREJECTED, "%s", strerror(errno));
	if (dir)
		closedir(dir);
	if (!rc) {
		*out = ring;
		return 0;
	}
	free(ring);
	return vp_err_set(err, rc, "the keyring %.100s: %.200s", folder, why.text);
}

void vp_keyring_close(struct vp_keyring *ring)
{
	free(ring);
}

const struct vp_keyring_key *vp_keyring_find(const struct vp_keyring *ring,
					     const uint8_t number[VP_KEY_NUMBER])
{
	for (size_t i = 0; i < ring->n; i++)
		if (!memcmp(ring->keys[i].key.number, number, VP_KEY_NUMBER))
			return &ring->keys[i];
	return NULL;
}
