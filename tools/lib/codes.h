/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The exit codes of `tide`: one list for all subcommands, one meaning for each number. Scripts rely on them. */
#ifndef TIDE_TOOLS_CODES_H
#define TIDE_TOOLS_CODES_H

enum tool_code {
    TOOL_OK = 0,
    TOOL_NO = 1,        /* the answer is no: no such key, replicas differ, damage was found, nobody else took over */
    TOOL_USAGE = 2,     /* a bad option or argument */
    TOOL_NO_DOMAIN = 3, /* there is no such domain or file, or the domain was removed meanwhile */
    TOOL_REFUSED = 4,   /* refused or not in time: by the bound, for want of a leader; a write is certainly not done */
    TOOL_UNKNOWN = 5,   /* a write may or may not have been done */
    TOOL_MISMATCH = 6,  /* cas: another version is there; nothing was written */
    TOOL_FAILED = 7,    /* anything else; the text on standard error says what */
};

/* The same list for `tide help`. */
#define TOOL_CODES_HELP                                                                                                \
    "  0  done\n"                                                                                                      \
    "  1  the answer is no: no such key (get), replicas differ or are damaged (verify), something shown is damaged\n"  \
    "     (dump), the same process leads again (step-down), two copies differ (diff)\n"                                \
    "  2  a bad option or argument\n"                                                                                  \
    "  3  no such domain (dump: no such domain or file), or the domain was removed or replaced meanwhile\n"            \
    "  4  refused or not in time: a write is certainly not done\n"                                                     \
    "  5  a write may or may not have been done\n"                                                                     \
    "  6  cas: another version is there; nothing was written\n"                                                        \
    "  7  anything else, also a domain that another version made (dump, too); standard error says what\n"

#endif
