/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The signals that ask a command to end. Any thread. */
#ifndef TIDE_TOOLS_SIGNALS_H
#define TIDE_TOOLS_SIGNALS_H

/* SIGTERM, SIGINT and SIGHUP call the handler from now on (flags: sa_flags), except those that were ignored when the
 * process started: whoever started it meant that (nohup, a background job of a shell without job control). */
void signals_catch(void (*handler)(int number), int flags);

#endif
