/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of `tide top` share. The way of the data:
 *
 *   tools/dump/gauges.c, rates.c, events.c   samples of the domain, taken from outside
 *   model.c                                  the last two of them, what happened, what is looked at
 *   draw.c, draw_replica.c                   the model on a canvas
 *   canvas.c                                 a grid of characters
 *   screen.c                                 the canvas on the terminal, by ncurses, and keys
 *   guard.c                                  a process that gives the terminal back, however this one ends
 *   top.c                                    options, the loop, and the forms without a terminal
 */
#ifndef TIDE_TOP_TOP_H
#define TIDE_TOP_TOP_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "tools/dump/rates.h"
#include "tools/top/canvas.h"

#define TOP_WIDTH 80 /* smaller it shows nothing */
#define TOP_HEIGHT 24

/* ---- the model --------------------------------------------------------------------------------------------------- */

#define TOP_TRAIL 256u /* samples that a sparkline can show */
#define TOP_EVENTS 64u

/* Levels from 0 to 8, each of them ten times the one before; -1: there was nothing. By samples: number % TOP_TRAIL. */
struct top_trail {
    int8_t lag[TOP_TRAIL];   /* p99 of what was applied since the sample before */
    int8_t stale[TOP_TRAIL]; /* staleness */
};

struct top_event {
    time_t at;
    struct event e;
};

enum top_sort { SORT_ID, SORT_LABEL, SORT_STATE, SORT_LAG, SORT_STALENESS, SORT_P99, SORT_READS, SORT_APPLIED, SORTS };
enum top_page { PAGE_DOMAIN, PAGE_REPLICA, PAGE_HELP };

struct top {
    uint64_t interval_ns;
    struct gauges *now, *before; /* `before` only from the second sample on */
    struct rates *rates;
    uint32_t samples;
    time_t at; /* of the last sample */
    struct top_trail trails[PEEK_REPLICAS];
    struct top_event events[TOP_EVENTS]; /* by number % TOP_EVENTS */
    uint32_t n_events;
    struct event fresh[EVENTS_MOST]; /* of the last sample */
    size_t n_fresh;
    /* What is looked at. */
    enum top_page page;
    enum top_sort sort;
    bool reverse, paused;
    uint32_t chosen; /* a replica's id */
    uint32_t first;  /* row of the list that is shown first */
};

/* False: no memory. */
bool top_init(struct top *t);
void top_free(struct top *t);

/* Take another sample of the domain. False: it cannot be read any more, or it is another one. */
bool top_sample(struct top *t, const char *name);

/* The replicas in the order that is asked for; indexes into now->replicas. Returns how many. */
uint32_t top_order(const struct top *t, uint32_t order[PEEK_REPLICAS]);
/* Choose the replica `by` rows further. */
void top_choose(struct top *t, int by);

/* The level of a time in a sparkline. */
int top_level(uint64_t ns);

/* ---- on a canvas ------------------------------------------------------------------------------------------------- */

/* The whole model. `footer`: with the line that names the keys. The canvas has at least 80 columns and 24 rows. */
void top_draw(struct top *t, struct canvas *c, bool footer);
void top_draw_replica(const struct top *t, struct canvas *c, const struct gauges_replica *r);
/* Rows that the domain's page needs to show all replicas. */
int top_rows(const struct top *t);

/* For both pages: reads per second by reason, in two rows. */
void top_draw_reasons(const struct top *t, struct canvas *c, int row, const double by_reason_s[PEEK_REASONS]);
/* The last samples of a trail, the newest at the right. */
void top_draw_trail(const struct top *t, struct canvas *c, int row, int column, int width,
                    const int8_t levels[TOP_TRAIL]);
/* What a replica does, in a word, and its colour. The leader that serves leads. */
const char *top_state(const struct gauges_replica *r, int *ink);

/* ---- the terminal ------------------------------------------------------------------------------------------------ */

enum top_key {
    KEY_IS_NONE,
    KEY_IS_UP = 256,
    KEY_IS_DOWN,
    KEY_IS_PAGE_UP,
    KEY_IS_PAGE_DOWN,
    KEY_IS_FIRST,
    KEY_IS_LAST,
    KEY_IS_ENTER,
    KEY_IS_BACK,
    KEY_IS_RESIZE,
    KEY_IS_END
}; /* below 256: a character */

/* Can the screen be used? NULL, or why not: built without ncurses, no library here. */
const char *screen_missing(void);
/* Take the terminal. False: `why` says what is wrong with it; it is as it was. */
bool screen_open(char *why, size_t why_size);
void screen_close(void);
void screen_size(int *width, int *height);
bool screen_is_unicode(void);
void screen_show(const struct canvas *c);
/* Wait for a key, at most so long. KEY_IS_END: a signal asked for the end, or the terminal is gone. */
int screen_key(int wait_ms);

/*
 * Run `run` in a child, and see that the terminal is as it was when that has ended, whatever ended it; its exit code, or the signal that
 * killed it kills this process, too. The child ends when this process does.
 */
int guard_run(int (*run)(void *ctx), void *ctx);
/* In the child: what to write to the terminal should it die now. NULL: nothing, it has done so itself. */
void guard_arm(const char *restoring);

#endif
