/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/textfile.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/lib/temporary.h"

static int textfile_write_whole(int fd, const char *text, size_t size) {
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
    char beside[PATH_MAX]; /* not *.prom: the collector reads all of those */
    if (temporary_name(path, beside) != 0) {
        snprintf(why, why_size, "the path is too long");
        return -1;
    }
    temporary_remove_dead(path);
    int fd = temporary_create(beside, 0644); /* the collector runs as another user */
    if (fd < 0) {
        snprintf(why, why_size, "cannot create %s: %s", beside, strerror(errno));
        return -1;
    }
    int failed = textfile_write_whole(fd, text, size) != 0 || rename(beside, path) != 0;
    if (failed) {
        snprintf(why, why_size, "cannot write %s: %s", path, strerror(errno));
        unlink(beside);
    }
    close(fd); /* with it goes the lock, which kept others from removing the file */
    return failed ? -1 : 0;
}
