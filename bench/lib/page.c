/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/page.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "bench/lib/format.h"
#include "bench/lib/hdrlog.h"

static const char *const style =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 "
    "1rem;color:#222;background:#fff}\n"
    "h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem}\n"
    "img{width:100%;height:auto}.wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}\n"
    "th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}\n"
    "th{font-weight:600}.facts th,.facts td{text-align:left;white-space:normal;vertical-align:top}\n"
    ".text{text-align:left;white-space:normal}\n"
    ".note{color:#555;font-size:.9rem}\n";

void bench_page_begin(FILE *out, const char *title, const char *heading) {
    fputs("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          out);
    bench_html_text(out, title);
    fprintf(out, "</title>\n<style>\n%s</style></head><body>\n<h1>", style);
    bench_html_text(out, heading);
    fputs("</h1>\n", out);
}

void bench_page_end(FILE *out) {
    fputs("</body></html>\n", out);
}

/* The whole file in base64; NULL where it cannot be read. */
static char *file_base64(const char *path) {
    FILE *f = fopen(path, "re");
    struct stat st;
    char *text = NULL;
    if (f == NULL) {
        return NULL;
    }
    if (fstat(fileno(f), &st) == 0 && st.st_size > 0) {
        size_t n = (size_t)st.st_size;
        uint8_t *bytes = malloc(n);
        if (bytes != NULL && fread(bytes, 1, n, f) == n && hdrlog_base64_encode(bytes, n, &text) != 0) {
            text = NULL;
        }
        free(bytes);
    }
    fclose(f);
    return text;
}

void bench_page_picture(FILE *out, enum bench_drawn drawn, const char *png_path, const char *alt, const char *caption,
                        const char *nothing) {
    char *base64 = drawn == BENCH_DRAWN ? file_base64(png_path) : NULL;
    if (base64 != NULL) {
        fputs("<img alt=\"", out);
        bench_html_text(out, alt);
        fprintf(out, "\" src=\"data:image/png;base64,%s\">\n", base64);
        if (caption[0] != '\0') {
            fprintf(out, "<p class=\"note\">%s</p>\n", caption);
        }
    } else if (drawn == BENCH_DRAWN_NOTHING) {
        fprintf(out, "<p class=\"note\">Nothing to draw: %s</p>\n", nothing);
    } else if (drawn == BENCH_DRAWN_NO_GNUPLOT) {
        fprintf(out, "<p class=\"note\">No picture: gnuplot is not installed. The figures are in the tables.</p>\n");
    } else {
        fprintf(out, "<p class=\"note\">No picture: gnuplot could not draw it (its terminal pngcairo is needed). The "
                     "figures are in the tables.</p>\n");
    }
    free(base64);
}

void bench_page_row(FILE *out, const char *name, const char *value) {
    fprintf(out, "<tr><th>%s</th><td>", name);
    bench_html_text(out, value);
    fprintf(out, "</td></tr>\n");
}

void bench_page_machine(FILE *out, const struct bench_machine *m) {
    char line[128];
    bench_page_row(out, "CPU", m->cpu_model);
    snprintf(line, sizeof(line), "%u usable of %u online, %.1f GiB of memory", m->cpus, m->cpus_online,
             (double)m->memory_bytes / 0x1p30);
    bench_page_row(out, "CPUs", line);
    bench_page_row(out, "Kernel", m->kernel);
    bench_page_row(out, "Huge pages", m->huge_pages);
    bench_page_row(out, "Clock source", m->clock_source);
    bench_page_row(out, "Compiler", m->compiler);
    bench_page_row(out, "Commit", m->commit);
}
