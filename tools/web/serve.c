/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The page over HTTP. */
#include <string.h>

#include "tools/http/http.h"
#include "tools/lib/args.h"
#include "tools/lib/codes.h"
#include "tools/web/web.h"

/* A browser runs nothing and loads nothing but what this server has, and makes no HTML of text. */
static const char *const HEADERS[][2] = {
    { "Content-Security-Policy",
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
      "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'" },
    { "Referrer-Policy", "no-referrer" },
    { "Cross-Origin-Resource-Policy", "same-origin" },
    { "Cross-Origin-Opener-Policy", "same-origin" },
    { NULL, NULL },
};

struct web {
    struct web_state stream, once; /* two, since rates are since the look before */
};

static void serve_answer(void *ctx, const struct http_request *q, struct http_answer *a) {
    struct web *w = ctx;
    if (strcmp(q->path, "/events") == 0) {
        return; /* a stream */
    }
    if (strcmp(q->path, "/state.json") == 0) {
        a->status = 200;
        a->type = "application/json";
        web_state_look(&w->once, &a->text);
        buf_add_char(&a->text, '\n');
        return;
    }
    const struct web_file *file = web_file(q->path);
    if (!file) {
        http_say(a, 404, "the page is at /, one look at /state.json, the stream at /events");
        return;
    }
    *a =
        (struct http_answer){ .status = 200, .type = file->type, .static_text = file->text, .static_size = file->size };
}

static void serve_frame(void *ctx, struct buf *out) {
    struct web *w = ctx;
    buf_add_text(out, "data: ");
    web_state_look(&w->stream, out);
    buf_add_text(out, "\n\n");
}

int web_listen(const char *tool, const char *name, const char *text) {
    struct web w = { 0 };
    const struct http_service service = { tool, &w, serve_answer, serve_frame, HEADERS, .local_names = true };
    int code = TOOL_FAILED;
    if (web_state_init(&w.stream, name) != 0 || web_state_init(&w.once, name) != 0) {
        args_say(tool, "out of memory");
    } else {
        code = http_listen(&service, text, "/");
    }
    web_state_free(&w.stream);
    web_state_free(&w.once);
    return code;
}
