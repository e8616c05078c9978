/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/read_all.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM (64u << 10)

int read_all(int fd, uint8_t **out, size_t *size) {
    struct stat st;
    /* One byte more than the file, so that its end is seen without growing. */
    size_t room = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 ? (size_t)st.st_size + 1 : ROOM;
    size_t have = 0;
    uint8_t *bytes = malloc(room);
    for (ssize_t got = 1; bytes && got != 0;) {
        if (have == room) {
            uint8_t *more = realloc(bytes, room *= 2);
            if (!more) {
                free(bytes);
            }
            bytes = more;
            continue;
        }
        got = read(fd, bytes + have, room - have);
        if (got < 0 && errno != EINTR) {
            int why = errno;
            free(bytes);
            errno = why;
            return -1;
        }
        have += got > 0 ? (size_t)got : 0;
    }
    if (!bytes) {
        errno = ENOMEM;
        return -1;
    }
    *out = bytes;
    *size = have;
    return 0;
}

int write_all(int fd, const void *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)bytes + done, size - done);
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}
