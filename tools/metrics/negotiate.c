/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which of the two formats a client asks for (RFC 9110, section 12.5.1). */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/metrics/metrics.h"

#define BLANKS " \t"

/* The value of the parameter `name` in ";a=b;c=d" up to `end`; NULL: there is none. */
static const char *negotiate_parameter(const char *from, const char *end, const char *name) {
    size_t length = strlen(name);
    for (const char *at = from; at && at < end; at = memchr(at, ';', (size_t)(end - at))) {
        at += *at == ';';
        at += strspn(at, BLANKS);
        if (at < end && strncasecmp(at, name, length) == 0 && at[length] == '=') {
            return at + length + 1;
        }
    }
    return NULL;
}

static int negotiate_weight(const char *from, const char *end) {
    const char *q = negotiate_parameter(from, end, "q");
    double value = q ? strtod(q, NULL) : 1;
    return value >= 0 && value <= 1 ? (int)(value * 1000) : 0;
}

/* Is the version one that we write? A range that names none takes any. */
static bool negotiate_version_is(const char *from, const char *end, const char *ours) {
    const char *v = negotiate_parameter(from, end, "version");
    v = v && *v == '"' ? v + 1 : v;
    return !v || strncmp(v, ours, strlen(ours)) == 0;
}

static void negotiate_raise_to(int *most, int value) {
    *most = value > *most ? value : *most;
}

bool negotiate_open_metrics(const char *accept) {
    int open_metrics = -1, text = -1;
    while (accept && *accept) {
        accept += strspn(accept, BLANKS ",");
        size_t length = strcspn(accept, ","), type = strcspn(accept, ";," BLANKS);
        const char *end = accept + length, *parameters = accept + type;
        parameters += strspn(parameters, BLANKS);
#define IS(word) (type == strlen(word) && strncasecmp(accept, word, type) == 0)
        if (IS("application/openmetrics-text") && negotiate_version_is(parameters, end, "1.0.0")) {
            negotiate_raise_to(&open_metrics, negotiate_weight(parameters, end));
        } else if (IS("text/plain") && negotiate_version_is(parameters, end, "0.0.4")) {
            negotiate_raise_to(&text, negotiate_weight(parameters, end));
        } else if (IS("text/*") || IS("*/*")) {
            negotiate_raise_to(&text, negotiate_weight(parameters, end));
        }
#undef IS
        accept = end;
    }
    return open_metrics > 0 && open_metrics >= text;
}
