/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The page's files, as they lie in tools/web/page/: the assembler takes them in, and nothing has to be found when the command runs. */
#include <string.h>

#include "tools/web/web.h"

#define FILES(X)                                                                                                       \
    X(index, "index.html", "text/html")                                                                                \
    X(style, "page.css", "text/css")                                                                                   \
    X(icon, "icon.svg", "image/svg+xml")                                                                               \
    X(main, "main.js", "text/javascript")                                                                              \
    X(shapes, "shapes.js", "text/javascript")                                                                          \
    X(words, "words.js", "text/javascript")                                                                            \
    X(picture, "picture.js", "text/javascript")                                                                        \
    X(charts, "charts.js", "text/javascript")                                                                          \
    X(panels, "panels.js", "text/javascript")

#define TAKE_IN(id, name, type)                                                                                        \
    __asm__(".section .rodata\n"                                                                                       \
            ".global web_page_" #id "\n"                                                                               \
            ".global web_page_end_" #id "\n"                                                                           \
            "web_page_" #id ":\n"                                                                                      \
            ".incbin \"tools/web/page/" name "\"\n"                                                                    \
            "web_page_end_" #id ":\n"                                                                                  \
            ".byte 0\n"                                                                                                \
            ".previous\n");                                                                                            \
    extern const char web_page_##id[] __attribute__((visibility("hidden")));                                           \
    extern const char web_page_end_##id[] __attribute__((visibility("hidden")));
FILES(TAKE_IN)

const struct web_file *web_file(const char *path) {
    static struct web_file found;
    if (strcmp(path, "/") == 0) {
        path = "/index.html";
    }
#define TRY(id, name, kind)                                                                                            \
    if (strcmp(path, "/" name) == 0) {                                                                                 \
        found = (struct web_file){ "/" name, kind "; charset=utf-8", web_page_##id,                                    \
                                   (size_t)(web_page_end_##id - web_page_##id) };                                      \
        return &found;                                                                                                 \
    }
    FILES(TRY)
#undef TRY
    return NULL;
}
