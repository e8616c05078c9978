/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers and times for narrow columns: at most 7 characters, three digits that count. Any thread. */
#ifndef TIDE_TOOLS_FIGURES_H
#define TIDE_TOOLS_FIGURES_H

#include <stddef.h>
#include <stdint.h>

#define FIGURES_BYTES 24

/* "0", "0.25", "17", "999", "1.23k", "12.3M", "1.23G"; units of a thousand. Not a number, and below 0: "-". Returns buf. */
const char *figures_count(double n, char buf[FIGURES_BYTES]);

/* "0", "812ns", "1.23us", "12.3ms", "1.50s", "2.5m", "3.1h", "12d"; UINT64_MAX: "never". Returns buf. */
const char *figures_time(uint64_t ns, char buf[FIGURES_BYTES]);

/* A part of a whole, 0 to 1: "0 %", "0.02 %", "98.7 %", "100 %"; below 0: "-". What is not all is never shown as 100 %. Returns buf. */
const char *figures_share(double share, char buf[FIGURES_BYTES]);

#endif
