/* SPDX-License-Identifier: Apache-2.0 */
/* Hold the lock on a disk's image that virtlockd would hold, until a signal comes. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
	int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;

	if (fd < 0 || fcntl(fd, F_SETLK, &lock)) {
		perror("lease");
		return 1;
	}
	puts("held");
	fflush(stdout);
	pause();
	return 0;
}
