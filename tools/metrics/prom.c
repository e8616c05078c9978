/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/metrics/prom.h"

#include <inttypes.h>
#include <math.h>

#include "tools/lib/escape.h"

static const char *prom_type_name(enum prom_type type) {
    static const char *const NAMES[] = { "gauge", "counter", "histogram", "summary" };
    return NAMES[type];
}

/* The two formats differ in a counter's name: OpenMetrics leaves _total to the samples. */
static void prom_add_name(struct prom *p, bool of_sample) {
    buf_add_text(&p->text, p->family->name);
    if (p->family->type == PROM_COUNTER && (of_sample || !p->open_metrics)) {
        buf_add_text(&p->text, "_total");
    }
}

static void prom_add_line(struct prom *p, const char *keyword, const char *text) {
    buf_add_text(&p->text, keyword);
    prom_add_name(p, false);
    buf_add_char(&p->text, ' ');
    buf_add_text(&p->text, text);
    buf_add_char(&p->text, '\n');
}

void prom_family(struct prom *p, const struct prom_family *f) {
    p->family = f;
    p->headed = false;
}

/* A family without a sample is not named. */
static void prom_add_head(struct prom *p) {
    const struct prom_family *f = p->family;
    p->headed = true;
    prom_add_line(p, "# HELP ", f->help);
    prom_add_line(p, "# TYPE ", prom_type_name(f->type));
    if (p->open_metrics && f->unit) {
        prom_add_line(p, "# UNIT ", f->unit);
    }
}

void prom_begin(struct prom *p, const char *part) {
    if (!p->headed) {
        prom_add_head(p);
    }
    prom_add_name(p, true);
    buf_add_text(&p->text, part);
    p->labels = false;
}

void prom_label(struct prom *p, const char *name, const char *value) {
    struct buf shown = { 0 };
    escape_text(&shown, value, strlen(value), "");
    buf_add_char(&p->text, p->labels ? ',' : '{');
    buf_add_text(&p->text, name);
    buf_add_text(&p->text, "=\"");
    for (size_t i = 0; i < shown.size; i++) {
        if (shown.data[i] == '"' || shown.data[i] == '\\') {
            buf_add_char(&p->text, '\\');
        }
        buf_add_char(&p->text, shown.data[i]);
    }
    buf_add_char(&p->text, '"');
    buf_free(&shown);
    p->labels = true;
}

void prom_label_u64(struct prom *p, const char *name, uint64_t value) {
    buf_printf(&p->text, "%s%s=\"%" PRIu64 "\"", p->labels ? "," : "{", name, value);
    p->labels = true;
}

static void prom_begin_value(struct prom *p) {
    buf_add_text(&p->text, p->labels ? "} " : " ");
}

void prom_u64(struct prom *p, uint64_t value) {
    prom_begin_value(p);
    buf_printf(&p->text, "%" PRIu64 "\n", value);
}

void prom_real(struct prom *p, double value) {
    prom_begin_value(p);
    if (isnan(value)) {
        buf_add_text(&p->text, "NaN\n");
    } else {
        buf_printf(&p->text, "%.15g\n", value);
    }
}

void prom_ns(struct prom *p, uint64_t ns) {
    prom_begin_value(p);
    buf_printf(&p->text, "%" PRIu64 ".%09" PRIu64 "\n", ns / 1000000000, ns % 1000000000);
}

void prom_end(struct prom *p) {
    if (p->open_metrics) {
        buf_add_text(&p->text, "# EOF\n");
    }
}

const char *prom_content_type(bool open_metrics) {
    return open_metrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                        : "text/plain; version=0.0.4; charset=utf-8";
}
