/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writing metrics: Prometheus' text format 0.0.4, or OpenMetrics 1.0. All samples of a family stand together, behind its name. Label
 * values are escaped, whatever bytes they have: control characters and what is no UTF-8 come out as the text \xNN. One thread.
 */
#ifndef TIDE_METRICS_PROM_H
#define TIDE_METRICS_PROM_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/lib/buf.h"

enum prom_type { PROM_GAUGE, PROM_COUNTER, PROM_HISTOGRAM, PROM_SUMMARY };

struct prom_family {
    const char *name; /* of a counter without _total */
    enum prom_type type;
    const char *unit; /* with which the name ends; NULL: none */
    const char *help; /* without newline or backslash */
};

struct prom {
    struct buf text;
    bool open_metrics;
    const struct prom_family *family;
    bool headed; /* the family has been named */
    bool labels; /* the sample has one already */
};

void prom_family(struct prom *p, const struct prom_family *f);

/* A sample: begin, labels, value. `part` is what stands behind the family's name: "", "_bucket", "_sum", "_count". */
void prom_begin(struct prom *p, const char *part);
void prom_label(struct prom *p, const char *name, const char *value);
void prom_label_u64(struct prom *p, const char *name, uint64_t value);
void prom_u64(struct prom *p, uint64_t value);
void prom_real(struct prom *p, double value); /* also not a number */
void prom_ns(struct prom *p, uint64_t ns);    /* as seconds, exactly */

/* The text is complete. */
void prom_end(struct prom *p);

/* What Content-Type says. */
const char *prom_content_type(bool open_metrics);

#endif
