/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `tide dump --html`: the ring as a picture, and the summary beside it. One file without a script and without anything from elsewhere;
 * its own policy forbids both. What a colour says stands there as a word, too.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "shm/board.h"
#include "tools/dump/summary.h"
#include "tools/lib/figures.h"
#include "tools/lib/sizes.h"

#define CENTRE 210.0
#define OUTER 150.0
#define INNER 110.0
#define LINE_CHARACTERS 18 /* of what stands beside a mark */
#define LINE_HEIGHT 17.0
#define TURN (2 * 3.14159265358979323846)

static const char HEAD[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    "<style>\n"
    ":root { color-scheme: light dark; --back: #fff; --ink: #1b1f24; --dim: #59636e; --line: #d1d9e0;\n"
    "  --pinned: #0969da; --kept: #9ec5f2; --given: #e6eaef; --t1: #1a7f37; --t2: #bc4c00; --t3: #8250df; --t4: "
    "#59636e;\n"
    "  --t5: #9a6700; --t6: #cf222e; --t0: #000; }\n"
    "@media (prefers-color-scheme: dark) { :root { --back: #0d1117; --ink: #e6edf3; --dim: #9198a1; --line: #3d444d;\n"
    "  --pinned: #4493f8; --kept: #1f4b85; --given: #262c36; --t1: #3fb950; --t2: #f0883e; --t3: #ab7df8; --t4: "
    "#9198a1;\n"
    "  --t5: #d29922; --t6: #f85149; --t0: #fff; } }\n"
    "body { background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto;\n"
    "  max-width: 60rem; padding: 1rem; }\n"
    "h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } p, dd { color: var(--ink); }\n"
    "svg { width: 100%; height: auto; max-width: 34rem; display: block; } svg.strip { max-width: none; }\n"
    "svg text { fill: var(--ink); font: 15px system-ui, sans-serif; } .mark { stroke: var(--ink); stroke-width: 2; }\n"
    ".pinned { fill: var(--pinned); } .kept { fill: var(--kept); } .given { fill: var(--given); }\n"
    ".t0 { fill: var(--t0); } .t1 { fill: var(--t1); } .t2 { fill: var(--t2); } .t3 { fill: var(--t3); }\n"
    ".t4 { fill: var(--t4); } .t5 { fill: var(--t5); } .t6 { fill: var(--t6); } .empty { fill: var(--given); }\n"
    ".key { display: inline-block; width: .9em; height: .9em; border: 1px solid var(--line); vertical-align: -1px; }\n"
    ".scroll { overflow-x: auto; } table { border-collapse: collapse; } caption { text-align: left; color: var(--dim); "
    "}\n"
    "th, td { white-space: nowrap; border-bottom: 1px solid var(--line); padding: .2rem .6rem; text-align: right; }\n"
    "th:first-child, td:first-child, td.text { text-align: left; } code { white-space: normal; overflow-wrap: "
    "anywhere; }\n"
    ".bar { fill: var(--pinned); } .dim { color: var(--dim); } .bad { color: var(--t6); font-weight: bold; }\n"
    "</style>\n";

/* Text of others: escaped for a terminal first, so that no control character is in the file, and then for HTML. */
static void html_add_escaped(struct buf *out, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        switch (text[i]) {
        case '&':
            buf_add_text(out, "&amp;");
            break;
        case '<':
            buf_add_text(out, "&lt;");
            break;
        case '>':
            buf_add_text(out, "&gt;");
            break;
        case '"':
            buf_add_text(out, "&quot;");
            break;
        default:
            buf_add_char(out, text[i]);
        }
    }
}

static void html_add_text(struct buf *out, const char *text, size_t n) {
    struct buf plain = { 0 };
    escape_text(&plain, text, n, "");
    html_add_escaped(out, plain.data, plain.size);
    buf_free(&plain);
}

static void html_add_key(struct buf *out, const struct summary_key *k) {
    struct buf plain = { 0 };
    size_t shown = escape_bytes(&plain, k->bytes, k->len, 200);
    buf_add_text(out, "<code>");
    html_add_escaped(out, plain.data, plain.size);
    buf_add_text(out, "</code>");
    if (shown < k->len) {
        buf_printf(out, " +%u bytes", (unsigned)(k->len - shown));
    }
    buf_free(&plain);
}

/* ---- the ring ---------------------------------------------------------------------------------------------------- */

struct ring {
    uint64_t bytes, reclaimed, tail, least; /* least: the least pin; tail where nobody pins */
};

static struct ring html_ring_of(const struct log_segment *seg) {
    struct ring r = { seg->ring_bytes, seg->leader.reclaimed, seg->leader.tail, 0 };
    /* The bytes may be anything: keep the order reclaimed, least, tail, within one ring. */
    r.reclaimed = r.reclaimed < r.tail ? r.reclaimed : r.tail;
    r.reclaimed = r.tail - r.reclaimed > r.bytes ? r.tail - r.bytes : r.reclaimed;
    r.least = board_least_pin(seg, r.tail);
    r.least = r.least < r.reclaimed ? r.reclaimed : r.least > r.tail ? r.tail : r.least;
    return r;
}

/* Where a position lies on the circle: the ring's first byte is at the top, and it goes round clockwise. */
static double html_angle_of(const struct ring *r, uint64_t pos) {
    return (double)(pos % r->bytes) / (double)r->bytes * TURN;
}

static double html_x_at(double angle, double radius) {
    return CENTRE + sin(angle) * radius;
}

static double html_y_at(double angle, double radius) {
    return CENTRE - cos(angle) * radius;
}

static void html_add_arc(struct buf *out, const struct ring *r, uint64_t from, uint64_t to, const char *class,
                         const char *title) {
    char size[24];
    double share = (double)(to - from) / (double)r->bytes;
    if (to == from) {
        return;
    }
    share = share > 0.9999 ? 0.9999 : share; /* a whole turn would begin where it ends, and draw nothing */
    double a = html_angle_of(r, from), b = a + share * TURN;
    buf_printf(
        out,
        "<path class=\"%s\" d=\"M%.2f %.2f A%.0f %.0f 0 %d 1 %.2f %.2f L%.2f %.2f A%.0f %.0f 0 %d 0 %.2f %.2f Z\">",
        class, html_x_at(a, OUTER), html_y_at(a, OUTER), OUTER, OUTER, share > 0.5, html_x_at(b, OUTER),
        html_y_at(b, OUTER), html_x_at(b, INNER), html_y_at(b, INNER), INNER, INNER, share > 0.5, html_x_at(a, INNER),
        html_y_at(a, INNER));
    buf_printf(out, "<title>%s: %s</title></path>\n", title, sizes_text(to - from, size, sizeof(size)));
}

/* How much of the text fits one short line: all of it, or up to behind a blank. */
static size_t html_line_length(const char *text) {
    size_t n = strlen(text);
    if (n > LINE_CHARACTERS) {
        for (n = LINE_CHARACTERS; n > 0 && text[n - 1] != ' '; n--) {
        }
        n = n > 0 ? n : LINE_CHARACTERS;
    }
    return n;
}

/* The text in short lines, broken behind commas. Lines go down: those above the circle begin higher, so that they end outside it. */
static void html_add_mark(struct buf *out, double angle, const char *text) {
    double x = html_x_at(angle, OUTER + 18), y = html_y_at(angle, OUTER + 18) + 4;
    size_t lines = 0;
    for (const char *rest = text; *rest != '\0'; rest += html_line_length(rest)) {
        lines++;
    }
    if (lines > 1 && cos(angle) > 0) {
        y -= cos(angle) * LINE_HEIGHT * (double)(lines - 1);
    }
    const char *anchor = x < CENTRE - 20 ? "end" : x > CENTRE + 20 ? "start" : "middle";
    buf_printf(out, "<line class=\"mark\" x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\"/>",
               html_x_at(angle, INNER - 6), html_y_at(angle, INNER - 6), html_x_at(angle, OUTER + 8),
               html_y_at(angle, OUTER + 8));
    buf_printf(out, "<text text-anchor=\"%s\">", anchor);
    while (*text != '\0') {
        size_t n = html_line_length(text);
        buf_printf(out, "<tspan x=\"%.2f\" y=\"%.2f\">%.*s</tspan>", x, y, (int)n, text);
        text += n;
        y += LINE_HEIGHT;
    }
    buf_add_text(out, "</text>\n");
}

/* Pins that lie close together share a mark; so does the end of the log. */
static void html_add_marks(struct buf *out, const struct ring *r, const struct log_segment *seg) {
    uint64_t near = r->bytes / 48, pos[LAYOUT_REPLICAS + 1];
    char text[LAYOUT_REPLICAS + 1][64];
    size_t n = 1;
    pos[0] = r->tail;
    snprintf(text[0], sizeof(text[0]), "commit %llu", (unsigned long long)seg->leader.commit);
    for (uint32_t id = 0; id < LAYOUT_REPLICAS; id++) {
        const struct replica_board *b = &seg->replicas[id];
        uint64_t at = b->pos;
        if (!board_pins(board_state(b)) || at > r->tail || r->tail - at > r->bytes) {
            continue;
        }
        size_t k = 0;
        while (k < n && (pos[k] > at ? pos[k] - at : at - pos[k]) > near) {
            k++;
        }
        if (k == n) {
            pos[n] = at;
            text[n++][0] = '\0';
        }
        size_t used = strlen(text[k]);
        if (used < 36) {
            snprintf(text[k] + used, sizeof(text[k]) - used, "%sr%u", used ? ", " : "", id);
        } else if (text[k][used - 1] != '.') {
            snprintf(text[k] + used, sizeof(text[k]) - used, " ...");
        }
    }
    for (size_t k = 0; k < n; k++) {
        html_add_mark(out, html_angle_of(r, pos[k]), text[k]);
    }
}

static void html_add_ring(struct buf *out, const struct log_segment *seg) {
    struct ring r = html_ring_of(seg);
    char text[5][24];
    sizes_text(r.bytes, text[0], sizeof(text[0]));
    sizes_text(r.tail - r.least, text[1], sizeof(text[1]));
    sizes_text(r.least - r.reclaimed, text[2], sizeof(text[2]));
    sizes_text(r.bytes - (r.tail - r.reclaimed), text[3], sizeof(text[3]));
    buf_add_text(out,
                 "<h2>The ring</h2>\n<svg viewBox=\"-120 -40 660 460\" role=\"img\" aria-labelledby=\"ring-says\">");
    buf_printf(out,
               "<title id=\"ring-says\">A ring of %s: %s pinned, %s readable and not pinned, %s given up</title>\n",
               text[0], text[1], text[2], text[3]);
    html_add_arc(out, &r, r.tail, r.reclaimed + r.bytes, "given", "given up, to be overwritten next");
    html_add_arc(out, &r, r.reclaimed, r.least, "kept", "readable, no replica pins it");
    html_add_arc(out, &r, r.least, r.tail, "pinned", "live: a replica has yet to apply it");
    html_add_marks(out, &r, seg);
    buf_printf(out, "<text x=\"210\" y=\"205\" text-anchor=\"middle\">%s</text>", text[0]);
    buf_printf(out, "<text x=\"210\" y=\"225\" text-anchor=\"middle\">turn %llu</text></svg>\n",
               (unsigned long long)(r.tail / r.bytes + 1));
    buf_printf(out,
               "<p>In bytes: <svg class=\"key\" viewBox=\"0 0 1 1\"><rect class=\"pinned\" width=\"1\" "
               "height=\"1\"/></svg>&#160;"
               "live: %s that some replica has yet to apply, so its pin keeps them; ",
               text[1]);
    buf_printf(
        out,
        "<svg class=\"key\" viewBox=\"0 0 1 1\"><rect class=\"kept\" width=\"1\" height=\"1\"/></svg>&#160;%s that "
        "all have applied, and that can still be read; ",
        text[2]);
    buf_printf(
        out,
        "<svg class=\"key\" viewBox=\"0 0 1 1\"><rect class=\"given\" width=\"1\" height=\"1\"/></svg>&#160;%s given "
        "up: the leader writes there next. ",
        text[3]);
    buf_add_text(out,
                 "Marks: where the log ends (commit), and each replica's next entry. It goes round clockwise.</p>\n");
}

static uint32_t html_dominant(const struct summary_cell *cell) {
    uint32_t best = SUMMARY_TYPES;
    for (uint32_t i = 0; i < SUMMARY_TYPES; i++) {
        if (cell->bytes[i] > 0 && (best == SUMMARY_TYPES || cell->bytes[i] > cell->bytes[best])) {
            best = i;
        }
    }
    return best;
}

/* The ring from its first byte to its last, in four rows. */
static void html_add_strip(struct buf *out, const struct summary *s) {
    buf_add_text(
        out,
        "<h2>What lies in it</h2>\n<svg class=\"strip\" viewBox=\"0 0 640 92\" role=\"img\" aria-label=\"The ring's "
        "256 parts, each in the colour of what most of its bytes are\">\n");
    for (uint32_t i = 0; i < SUMMARY_CELLS; i++) {
        const struct summary_cell *cell = &s->cells[i];
        uint32_t type = html_dominant(cell);
        if (type == SUMMARY_TYPES) {
            buf_printf(out, "<rect class=\"empty\" x=\"%u\" y=\"%u\" width=\"9\" height=\"20\"/>\n", i % 64 * 10,
                       i / 64 * 24);
        } else {
            buf_printf(out,
                       "<rect class=\"t%u\" x=\"%u\" y=\"%u\" width=\"9\" height=\"20\"><title>entries %llu to %llu, "
                       "mostly %s</title></rect>\n",
                       type, i % 64 * 10, i / 64 * 24, (unsigned long long)cell->first, (unsigned long long)cell->last,
                       dump_type_name(type));
        }
    }
    buf_add_text(out, "</svg>\n<p>");
    for (uint32_t i = 1; i < SUMMARY_TYPES; i++) {
        if (s->types[i].entries > 0) {
            buf_printf(out,
                       "<svg class=\"key\" viewBox=\"0 0 1 1\"><rect class=\"t%u\" width=\"1\" height=\"1\"/></svg> %s "
                       "&nbsp; ",
                       i, dump_type_name(i));
        }
    }
    buf_add_text(out, "<svg class=\"key\" viewBox=\"0 0 1 1\"><rect class=\"empty\" width=\"1\" height=\"1\"/></svg> "
                      "nothing that is there. "
                      "First byte at the left above, last at the right below.</p>\n");
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static void html_add_replicas(struct buf *out, const struct dump_log *log) {
    const struct log_segment *seg = log->seg;
    char text[24];
    buf_add_text(out, "<h2>Replicas</h2>\n<div class=\"scroll\"><table><tr><th>replica</th><th>label</th><th>state</th>"
                      "<th>applied</th><th>lag</th><th>pin</th></tr>\n");
    for (uint32_t id = 0; id < LAYOUT_REPLICAS; id++) {
        const struct replica_board *b = &seg->replicas[id];
        uint32_t state = board_state(b), member = b->member;
        if (state == REPLICA_FREE || state == REPLICA_STOPPED) {
            continue;
        }
        bool lives = member < LAYOUT_MEMBERS && log->lives[member];
        buf_printf(out, "<tr><td>r%u</td><td class=\"text\">", id);
        html_add_text(out, b->label, dump_name_len(b->label, sizeof(b->label)));
        buf_printf(out, "</td><td class=\"text\">%s%s</td>", dump_state_name(state),
                   state != REPLICA_ORPHAN && !lives ? ", its process is dead" : "");
        buf_printf(out, "<td>%llu</td><td>%llu</td><td>", (unsigned long long)b->applied,
                   (unsigned long long)dump_lag(seg, b));
        if (board_pins(state)) {
            uint64_t pos = b->pos, tail = seg->leader.tail;
            buf_printf(out, "%s behind the end", sizes_text(pos < tail ? tail - pos : 0, text, sizeof(text)));
        } else {
            buf_add_text(out, "none");
        }
        buf_add_text(out, "</td></tr>\n");
    }
    buf_add_text(out, "</table></div>\n");
}

static void html_add_types(struct buf *out, const struct summary *s) {
    char text[3][24], share[FIGURES_BYTES];
    buf_add_text(
        out, "<h2>Entries by type</h2>\n<div class=\"scroll\"><table><tr><th>type</th><th>entries</th><th>share</th>"
             "<th>keys</th><th>values</th><th>in the log</th></tr>\n");
    for (uint32_t i = 0; i < SUMMARY_TYPES; i++) {
        const struct summary_type *t = &s->types[i];
        if (t->entries > 0) {
            buf_printf(out, "<tr><td>%s</td><td>%llu</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>\n",
                       dump_type_name(i), (unsigned long long)t->entries,
                       figures_share((double)t->entries / (double)s->entries, share),
                       sizes_text(t->key_bytes, text[0], sizeof(text[0])),
                       sizes_text(t->value_bytes, text[1], sizeof(text[1])),
                       sizes_text(t->frame_bytes, text[2], sizeof(text[2])));
        }
    }
    buf_add_text(out, "</table></div>\n");
}

static void html_add_buckets(struct buf *out, const char *title, const char *what, const uint64_t *counts, uint32_t n) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < n; i++) {
        most = counts[i] > most ? counts[i] : most;
    }
    if (most == 0) {
        return;
    }
    buf_printf(out, "<h2>%s</h2>\n<div class=\"scroll\"><table><tr><th>%s</th><th>how many</th><th></th></tr>\n", title,
               what);
    for (uint32_t i = 0; i < n; i++) {
        if (counts[i] > 0) {
            buf_printf(out, "<tr><td>up to %llu</td><td>%llu</td>", (unsigned long long)summary_bucket_end(i),
                       (unsigned long long)counts[i]);
            buf_printf(out,
                       "<td class=\"text\"><svg width=\"200\" height=\"12\" viewBox=\"0 0 200 12\" "
                       "aria-hidden=\"true\" style=\"width: 200px\">"
                       "<rect class=\"bar\" width=\"%.1f\" height=\"12\"/></svg></td></tr>\n",
                       1 + 199.0 * (double)counts[i] / (double)most);
        }
    }
    buf_add_text(out, "</table></div>\n");
}

static void html_add_keys(struct buf *out, const struct summary *s) {
    if (s->n_most == 0) {
        return;
    }
    buf_printf(out, "<h2>Keys written most</h2>\n<div class=\"scroll\"><table><caption>of %s%llu",
               s->short_by ? "at least " : "", (unsigned long long)s->keys);
    if (s->short_by > 0) {
        buf_printf(out, "; each may have up to %llu entries more", (unsigned long long)s->short_by);
    }
    buf_add_text(out, "</caption><tr><th>key</th><th>entries</th></tr>\n");
    for (uint32_t i = 0; i < s->n_most; i++) {
        buf_add_text(out, "<tr><td>");
        html_add_key(out, &s->most[i]);
        buf_printf(out, "</td><td>%llu</td></tr>\n", (unsigned long long)s->most[i].entries);
    }
    buf_add_text(out, "</table></div>\n");
}

static void html_add_pauses(struct buf *out, const struct summary *s) {
    char text[FIGURES_BYTES];
    if (s->n_pauses == 0) {
        return;
    }
    buf_add_text(out, "<h2>Longest pauses between two entries</h2>\n<div "
                      "class=\"scroll\"><table><tr><th>time</th><th>after</th><th>before</th></tr>\n");
    for (uint32_t i = 0; i < s->n_pauses; i++) {
        buf_printf(out, "<tr><td>%s</td><td>%llu</td><td>%llu</td></tr>\n", figures_time(s->pauses[i].ns, text),
                   (unsigned long long)s->pauses[i].before, (unsigned long long)s->pauses[i].after);
    }
    buf_add_text(out, "</table></div>\n");
}

static void html_add_sentence(struct buf *out, const struct summary *s, const struct dump_log *log) {
    const struct log_segment *seg = log->seg;
    char text[2][FIGURES_BYTES];
    double seconds = (double)(s->last_ts - s->first_ts) / 1e9;
    if (log->led && seg->leader.leader >= 0) {
        buf_printf(out, "<p>Replica %d leads, term %u. ", (int)seg->leader.leader, seg->leader.term);
    } else {
        buf_printf(out, "<p>Nobody leads; the last term was %u. ", seg->leader.term);
    }
    if (s->entries > 0) {
        buf_printf(out, "%llu entries can be read, from index %llu to %llu, over %s", (unsigned long long)s->entries,
                   (unsigned long long)s->first, (unsigned long long)s->last,
                   figures_time(s->last_ts - s->first_ts, text[0]));
        buf_printf(out, seconds > 0 ? ": %s a second. " : ". ", figures_count((double)s->entries / seconds, text[1]));
    } else {
        buf_add_text(out, "No entry can be read. ");
    }
    buf_printf(
        out, "%llu batches, with %llu entries; %llu entries in %llu groups (commits) since the domain was made.</p>\n",
        (unsigned long long)s->batches.runs, (unsigned long long)s->batches.entries,
        (unsigned long long)seg->leader.commit, (unsigned long long)seg->leader.groups);
    if (s->bad > 0 || log->problems.count > 0) {
        buf_printf(out, "<p class=\"bad\">Damaged: %llu entries, %u problems:</p><ul>\n", (unsigned long long)s->bad,
                   log->problems.count);
        for (uint32_t i = 0; i < log->problems.count && i < DUMP_PROBLEMS; i++) {
            buf_add_text(out, "<li>");
            html_add_text(out, log->problems.text[i], strlen(log->problems.text[i]));
            buf_add_text(out, "</li>\n");
        }
        buf_add_text(out, "</ul>\n");
    }
}

void summary_html(const struct summary *s, const struct dump_log *log, struct buf *out) {
    const struct segment_header *h = &log->seg->header;
    buf_add_text(out, HEAD);
    buf_add_text(out, "<title>Log of ");
    html_add_text(out, h->name, dump_name_len(h->name, sizeof(h->name)));
    buf_add_text(out, "</title></head><body>\n<h1>Log of ");
    html_add_text(out, h->name, dump_name_len(h->name, sizeof(h->name)));
    buf_printf(out, "</h1>\n<p class=\"dim\">incarnation %016llx</p>\n", (unsigned long long)h->incarnation);
    html_add_sentence(out, s, log);
    html_add_ring(out, log->seg);
    html_add_strip(out, s);
    html_add_replicas(out, log);
    if (s->entries > 0) {
        html_add_types(out, s);
        html_add_buckets(out, "Key and value together", "bytes", s->sizes, SUMMARY_SIZES);
        html_add_buckets(out, "Entries of one instant", "entries", s->groups.by_length, SUMMARY_RUNS);
        html_add_buckets(out, "Batches", "entries", s->batches.by_length, SUMMARY_RUNS);
        html_add_keys(out, s);
        html_add_pauses(out, s);
    }
    buf_add_text(out, "</body></html>\n");
}
