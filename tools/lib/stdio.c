/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

#include "tools/lib/codes.h"

static int output_was_closed;
static int output_error; /* errno of the first failure */

/* The lowest number that is free, which is the one that was found closed. O_PATH: neither reads nor writes. */
static int stdio_open_lowest(int number) {
    int fd = number == STDERR_FILENO ? open("/dev/null", O_WRONLY) : -1;
    return fd >= 0 ? fd : open("/", O_PATH | O_DIRECTORY);
}

void stdio_fill(void) {
    for (int number = 0; number <= 2; number++) {
        if (fcntl(number, F_GETFD) >= 0 || errno != EBADF) {
            continue;
        }
        if (stdio_open_lowest(number) != number) {
            _exit(TOOL_FAILED); /* there is nowhere to say why */
        }
        output_was_closed |= number == STDOUT_FILENO;
    }
}

int stdio_output_was_closed(void) {
    return output_was_closed;
}

int stdio_flush(void) {
    errno = 0;
    int failed = fflush(stdout) != 0 || ferror(stdout);
    if (failed && output_error == 0) {
        output_error = errno;
    }
    return failed ? -1 : 0;
}

void stdio_write(const void *bytes, size_t size) {
    errno = 0;
    if (fwrite(bytes, 1, size, stdout) != size && output_error == 0) {
        output_error = errno;
    }
}

void stdio_discard(void) {
    __fpurge(stdout);
    clearerr(stdout);
}

int stdio_finish(const char *tool, int code) {
    if (stdio_flush() == 0) {
        return code;
    }
    fprintf(stderr, "%s: standard output cannot be written%s%s; the output is incomplete\n", tool,
            output_error != 0 ? ": " : "", output_error != 0 ? strerror(output_error) : "");
    return TOOL_FAILED;
}
