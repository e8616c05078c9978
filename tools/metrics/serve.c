/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The metrics over HTTP. */
#include <string.h>

#include "tools/http/http.h"
#include "tools/metrics/metrics.h"

static void serve_answer(void *ctx, const struct http_request *q, struct http_answer *a) {
    const char *name = ctx;
    char why[600];
    if (strcmp(q->path, "/metrics") != 0) {
        http_say(a, 404, "the metrics are at /metrics");
        return;
    }
    struct prom p = { .open_metrics = negotiate_open_metrics(q->accept) };
    collect(&p, name, why, sizeof(why));
    if (p.text.size == 0) {
        buf_free(&p.text);
        http_say(a, 503, why);
        return;
    }
    *a = (struct http_answer){ .status = 200, .type = prom_content_type(p.open_metrics), .text = p.text };
}

int metrics_listen(const char *tool, const char *name, const char *text) {
    const struct http_service service = { .tool = tool, .ctx = (void *)name, .answer = serve_answer };
    return http_listen(&service, text, "/metrics");
}
