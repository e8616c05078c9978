/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_TOOLS_SIZES_H
#define TIDE_TOOLS_SIZES_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

/* A size for people: "64.0M", "512K", "17". Returns buf; 24 bytes are always enough. */
static inline const char *sizes_text(uint64_t bytes, char *buf, size_t buf_size) {
    static const char UNITS[] = " KMGT";
    double value = (double)bytes;
    int unit = 0;
    for (; value >= 1024 && unit < 4; unit++) {
        value /= 1024;
    }
    if (unit == 0) {
        snprintf(buf, buf_size, "%" PRIu64, bytes);
    } else {
        snprintf(buf, buf_size, "%.1f%c", value, UNITS[unit]);
    }
    return buf;
}

#endif
