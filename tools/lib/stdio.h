/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Standard input, output and error: that they are open, and that what was printed came out. One thread. */
#ifndef TIDE_TOOLS_STDIO_H
#define TIDE_TOOLS_STDIO_H

#include <stddef.h>

/*
 * Call first of all. A process may be started with descriptor 0, 1 or 2 closed; the next file it opened would get that
 * number, and the next message would be written into that file. So each that is closed is opened here: 0 and 1 as
 * something that fails every read and write (EBADF), which callers then report; 2 as /dev/null.
 */
void stdio_fill(void);

/* Was standard output closed when stdio_fill() was called? */
int stdio_output_was_closed(void);

/* Print many bytes at once; stdio_finish() says why, where they cannot be written. */
void stdio_write(const void *bytes, size_t size);

/* What was printed so far leaves now. 0, or -1 where it could not; stdio_finish() then says why. */
int stdio_flush(void);

/* Forget what was printed and has not left. */
void stdio_discard(void);

/* See that all that was printed came out. `code`, or TOOL_FAILED after a message. */
int stdio_finish(const char *tool, int code);

#endif
