/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/metrics/metrics.h"

static enum tool_code collect_judge(const struct gauges *g, char *why, size_t why_size) {
    char text[sizeof(g->peek.why) + 64];
    if (g->known) {
        return TOOL_OK;
    }
    gauges_why(g, text, sizeof(text));
    snprintf(why, why_size, "%s: %s", g->peek.name, text);
    if (g->missing) {
        return peek_no_directory() ? TOOL_FAILED : TOOL_NO_DOMAIN;
    }
    return g->peek.state == PEEK_DAMAGED ? TOOL_NO : TOOL_FAILED;
}

static enum tool_code collect_one(struct prom *p, const char *name, char *why, size_t why_size) {
    struct gauges *g = malloc(sizeof(*g));
    if (!g) {
        snprintf(why, why_size, "out of memory");
        return TOOL_FAILED;
    }
    gauges_read(g, name);
    families_write(p, g, 1);
    enum tool_code code = collect_judge(g, why, why_size);
    free(g);
    return code;
}

static enum tool_code collect_all(struct prom *p, char *why, size_t why_size) {
    char(*names)[64];
    const char *missing = peek_no_directory();
    int listed = missing ? -1 : peek_list(&names);
    if (listed < 0) {
        snprintf(why, why_size, "%s", missing ? missing : strerror(errno));
        return TOOL_FAILED;
    }
    struct gauges *all = calloc(listed ? (size_t)listed : 1, sizeof(*all));
    size_t n = 0;
    for (int i = 0; all && i < listed; i++) {
        gauges_read(&all[n], names[i]);
        n += !all[n].missing; /* removed meanwhile */
    }
    free(names);
    if (!all) {
        snprintf(why, why_size, "out of memory");
        return TOOL_FAILED;
    }
    families_write(p, all, n);
    free(all);
    return TOOL_OK;
}

enum tool_code collect(struct prom *p, const char *name, char *why, size_t why_size) {
    why[0] = '\0';
    return name ? collect_one(p, name, why, why_size) : collect_all(p, why, why_size);
}
