/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Telling a service manager that this process is ready: sd_notify(3), without libsystemd. The protocol is one datagram to the
 * socket that $NOTIFY_SOCKET names, and a library would be loaded into every `tide` for it.
 */
#ifndef TIDE_TOOLS_NOTIFY_H
#define TIDE_TOOLS_NOTIFY_H

/* Send the text ("READY=1") where a manager waits for it. Nothing is said where none does, or where it cannot be told. */
void notify_manager(const char *text);

#endif
