/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Standard input, output and error: that they are open, and that what was printed came out. One thread. */
#ifndef TIDE_LIB_STDIO_H
#define TIDE_LIB_STDIO_H

/*
 * Call first of all. A process may be started with descriptor 0, 1 or 2 closed; the next file it opened would get that
 * number, and the next message would be written into that file. So each that is closed is opened here: 0 and 1 as
 * something that fails every read and write (EBADF), which callers then report; 2 as /dev/null.
 */
void stdio_fill(void);

/* Was standard output closed when stdio_fill() was called? */
int stdio_output_was_closed(void);

/* See that all that was printed came out. `code`, or TOOL_FAILED after a message. */
int stdio_finish(const char *tool, int code);

#endif
