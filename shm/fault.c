/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char fault_last[FAULT_TEXT_BYTES];

int fault(int error, const char *format, ...) {
    int why = errno;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(fault_last, sizeof(fault_last), format, args);
    va_end(args);
    errno = why;
    return error;
}

int fault_errno(int error, const char *format, ...) {
    int why = errno;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(fault_last, sizeof(fault_last), format, args);
    va_end(args);
    size_t used = strlen(fault_last);
    (void)snprintf(fault_last + used, sizeof(fault_last) - used, ": %s", strerror(why));
    errno = why;
    return error;
}

const char *fault_text(void) {
    return fault_last[0] != '\0' ? fault_last : NULL;
}

void fault_clear(void) {
    fault_last[0] = '\0';
}
