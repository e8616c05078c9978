/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/fd.h"

static int write_whole(int fd, const char *text, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return -1;
        }
        text += n;
        size -= (size_t)n;
    }
    return 0;
}

int textfile_write(const char *path, const char *text, size_t size, char *why, size_t why_size) {
    char beside[4096];
    /* Not *.prom: the collector reads all of those. */
    if ((size_t)snprintf(beside, sizeof(beside), "%s.tmp.%ld", path, (long)getpid()) >= sizeof(beside)) {
        snprintf(why, why_size, "the path is too long");
        return -1;
    }
    int fd = fd_open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
    if (fd < 0 && errno == EEXIST && unlink(beside) == 0) { /* left by a process that died and had our number */
        fd = fd_open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
    }
    if (fd < 0) {
        snprintf(why, why_size, "cannot create %s: %s", beside, strerror(errno));
        return -1;
    }
    /* Readable whatever the umask is: the collector runs as another user. */
    int failed = fchmod(fd, 0644) != 0 || write_whole(fd, text, size) != 0;
    if (close(fd) != 0 || failed || rename(beside, path) != 0) {
        snprintf(why, why_size, "cannot write %s: %s", path, strerror(errno));
        unlink(beside);
        return -1;
    }
    return 0;
}
