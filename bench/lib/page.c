/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/page.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/format.h"
#include "bench/lib/hdrlog.h"

/* Wide tables and pictures scroll by themselves, so that the page fits a narrow screen. Pictures are drawn dark on
 * nothing: on a dark page they are inverted, and turned back to their hues. */
static const char *const style =
    ":root{color-scheme:light dark;--ink:#222;--faint:#555;--line:#ddd;--page:#fff;--good:#00704f;--bad:#b3261e}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#ddd;--faint:#aaa;--line:#444;--page:#161616;--good:#4cc38a;"
    "--bad:#ff8a80}img{filter:invert(1) hue-rotate(180deg)}}\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:var(--ink);"
    "background:var(--page)}\n"
    "h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem}a{color:inherit}\n"
    ".wide{overflow-x:auto}img{width:100%;min-width:40rem;height:auto}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}\n"
    "th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}\n"
    "th{font-weight:600}.facts th,.facts td{text-align:left;white-space:normal;vertical-align:top}\n"
    ".text{text-align:left;white-space:normal}.note{color:var(--faint);font-size:.9rem}\n"
    ".kept{color:var(--good)}.missed{color:var(--bad);font-weight:600}.unmeasured{color:var(--faint)}\n";

void bench_page_begin(FILE *out, const char *title, const char *heading) {
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
          out);
    bench_html_tag(out, "title", title);
    fprintf(out, "<style>\n%s</style></head><body>\n", style);
    bench_html_tag(out, "h1", heading);
}

void bench_page_end(FILE *out) {
    fputs("</body></html>\n", out);
}

void bench_page_picture(FILE *out, enum bench_drawn drawn, char *svg, const char *alt, const char *caption,
                        const char *nothing) {
    static const char *const reasons[] = {
        [BENCH_DRAWN_NO_GNUPLOT] = "gnuplot is not installed",
        [BENCH_DRAWN_FAILED] = "gnuplot could not draw it (it needs its terminal svg)",
    };
    char *base64 = NULL;
    if (drawn == BENCH_DRAWN && hdrlog_base64_encode((const uint8_t *)svg, strlen(svg), &base64) == 0) {
        fputs("<div class=\"wide\"><img alt=\"", out);
        bench_html_text(out, alt);
        fprintf(out, "\" src=\"data:image/svg+xml;base64,%s\"></div>\n", base64);
        fprintf(out, caption[0] != '\0' ? "<p class=\"note\">%s</p>\n" : "%s", caption);
    } else if (drawn == BENCH_DRAWN_NOTHING) {
        fprintf(out, "<p class=\"note\">Nothing to draw: %s</p>\n", nothing);
    } else {
        fprintf(out, "<p class=\"note\">No picture: %s. The figures are in the tables.</p>\n",
                reasons[drawn == BENCH_DRAWN ? BENCH_DRAWN_FAILED : drawn]);
    }
    free(base64);
    free(svg);
}

void bench_page_row(FILE *out, const char *name, const char *value) {
    fprintf(out, "<tr><th>%s</th><td>", name);
    bench_html_text(out, value);
    fprintf(out, "</td></tr>\n");
}

void bench_page_machine(FILE *out, const struct bench_machine *m) {
    char line[128];
    snprintf(line, sizeof(line), "%u usable of %u online, %.1f GiB of memory", m->cpus, m->cpus_online,
             (double)m->memory_bytes / 0x1p30);
    for (uint32_t i = 0; i < BENCH_MACHINE_TEXTS; i++) {
        if (bench_machine_texts[i].shown != NULL) {
            bench_page_row(out, bench_machine_texts[i].shown, (const char *)m + bench_machine_texts[i].at);
        }
    }
    bench_page_row(out, "CPUs", line);
}
