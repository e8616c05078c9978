/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The terminal, by ncurses. The library is loaded only here: no other command needs it, and a machine without it keeps all the rest. */
#include "tools/top/top.h"

#if __has_include(<curses.h>)
#define NCURSES_NOMACROS /* functions, so that they can be had by name */
#include <curses.h>
#include <dlfcn.h>
#include <errno.h>
#include <langinfo.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shm/fd.h"
#include "tools/lib/signals.h"

#define LIBRARY "libncursesw.so.6"
#define POLL_MS 1000
#define ESCAPE_MS 50 /* so long ESC waits for the rest of a key's code */

/* The header of ncurses does not declare tigetstr(). */
typedef char *tigetstr_fn(const char *name);

#define CALLS(X)                                                                                                       \
    X(newterm)                                                                                                         \
    X(endwin)                                                                                                          \
    X(delscreen)                                                                                                       \
    X(newwin)                                                                                                          \
    X(wresize)                                                                                                         \
    X(resizeterm)                                                                                                      \
    X(noecho)                                                                                                          \
    X(cbreak)                                                                                                          \
    X(nonl)                                                                                                            \
    X(curs_set)                                                                                                        \
    X(keypad)                                                                                                          \
    X(nodelay)                                                                                                         \
    X(set_escdelay)                                                                                                    \
    X(start_color)                                                                                                     \
    X(use_default_colors)                                                                                              \
    X(has_colors)                                                                                                      \
    X(init_pair)                                                                                                       \
    X(werase)                                                                                                          \
    X(wmove)                                                                                                           \
    X(waddnstr)                                                                                                        \
    X(wattr_set)                                                                                                       \
    X(wrefresh)                                                                                                        \
    X(redrawwin)                                                                                                       \
    X(getmaxx)                                                                                                         \
    X(getmaxy)                                                                                                         \
    X(wgetch)

static struct {
#define POINTER(name) __typeof__(name) *name;
    CALLS(POINTER)
#undef POINTER
    tigetstr_fn *tigetstr;
} call;

static SCREEN *screen;
static WINDOW *window;
static bool colours, unicode;
static FILE *keyboard; /* NULL: standard input */
static volatile sig_atomic_t stopped;

static void screen_on_signal(int number) {
    (void)number;
    stopped = 1;
}

const char *screen_missing(void) {
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL); /* until the process ends */
    if (!library) {
        return "there is no " LIBRARY " here (Debian: libncursesw6); --once and --json do without";
    }
#define LOOK_UP(name)                                                                                                  \
    if ((call.name = (__typeof__(call.name))dlsym(library, #name)) == NULL)                                            \
        return LIBRARY " has no " #name;
    CALLS(LOOK_UP)
    LOOK_UP(tigetstr)
#undef LOOK_UP
    return NULL;
}

/* A terminal's string, without the pauses that old terminals need; "" where it has none. */
static void screen_add_capability(char *text, size_t room, const char *name) {
    const char *s = call.tigetstr(name);
    size_t n = strlen(text);
    if (!s || s == (char *)-1) {
        return;
    }
    while (*s != '\0' && n + 1 < room) {
        const char *end = s[0] == '$' && s[1] == '<' ? strchr(s, '>') : NULL;
        if (end) {
            s = end + 1;
        } else {
            text[n++] = *s++;
        }
    }
    text[n] = '\0';
}

static void screen_arm_guard(void) {
    static const char *const NAMES[] = { "sgr0", "op", "cnorm", "rmkx", "rmcup" };
    char text[200] = "";
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        screen_add_capability(text, sizeof(text), NAMES[i]);
    }
    guard_arm(text);
}

static void screen_set_colours(void) {
    static const short COLOURS[INK_COLOURS] = { -1, COLOR_GREEN, COLOR_YELLOW, COLOR_RED, COLOR_CYAN, -1 };
    const char *none = getenv("NO_COLOR");
    colours = (!none || !*none) && call.has_colors() && call.start_color() == OK && call.use_default_colors() == OK;
    for (short i = 1; colours && i < INK_COLOURS; i++) {
        call.init_pair(i, COLOURS[i], -1);
    }
}

static bool screen_find_keyboard(char *why, size_t why_size) {
    if (isatty(STDIN_FILENO)) {
        return true;
    }
    keyboard = fd_open_text("/dev/tty");
    if (!keyboard) {
        snprintf(why, why_size,
                 "no keyboard: standard input is no terminal, and /dev/tty: %s; --once prints it as text",
                 strerror(errno));
        return false;
    }
    return true;
}

bool screen_open(char *why, size_t why_size) {
    const char *term = getenv("TERM");
    const char *codeset = nl_langinfo(CODESET);
    if (!screen_find_keyboard(why, why_size)) {
        return false;
    }
    signals_catch(screen_on_signal, 0);
    unicode = strcmp(codeset, "UTF-8") == 0;
    if (!term || !*term || (screen = call.newterm(NULL, stdout, keyboard ? keyboard : stdin)) == NULL) {
        snprintf(why, why_size, "the terminal '%s' ($TERM) is not known here; --once prints it as text",
                 term ? term : "");
        return false;
    }
    const char *move = call.tigetstr("cup");
    window = move && move != (char *)-1 ? call.newwin(0, 0, 0, 0) : NULL;
    if (!window) {
        call.endwin();
        snprintf(why, why_size, "the terminal '%s' ($TERM) cannot move its cursor; --once prints it as text", term);
        return false;
    }
    screen_arm_guard();
    call.noecho();
    call.cbreak();
    call.nonl();
    call.set_escdelay(ESCAPE_MS);
    call.keypad(window, TRUE);
    call.nodelay(window, TRUE);
    call.curs_set(0);
    screen_set_colours();
    return true;
}

void screen_close(void) {
    if (screen) {
        signal(SIGTTOU, SIG_IGN); /* the shell may have the terminal already */
        call.endwin();
        guard_arm(NULL);
        screen = NULL;
    }
}

bool screen_is_unicode(void) {
    return unicode;
}

void screen_size(int *width, int *height) {
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
        size = (struct winsize){ .ws_col = 80, .ws_row = 24 };
    }
    /* ncurses has a size of its own, of the last time that it looked. */
    if (size.ws_col != call.getmaxx(window) || size.ws_row != call.getmaxy(window)) {
        call.resizeterm(size.ws_row, size.ws_col);
        call.wresize(window, size.ws_row, size.ws_col);
        call.werase(window);
        call.redrawwin(window);
    }
    *width = size.ws_col;
    *height = size.ws_row;
}

static void screen_set_ink(int ink) {
    int colour = INK_COLOUR(ink);
    attr_t attributes = 0;
    attributes |= ink & INK_BOLD ? A_BOLD : 0;
    attributes |= ink & INK_REVERSE ? A_REVERSE : 0;
    attributes |= ink & INK_UNDERLINE ? A_UNDERLINE : 0;
    attributes |= colour == INK_DIM ? A_DIM : 0;
    call.wattr_set(window, attributes, (short)(colours && colour != INK_DIM ? colour : 0), NULL);
}

void screen_show(const struct canvas *c) {
    call.werase(window);
    for (int row = 0; row < c->height; row++) {
        const struct canvas_cell *cells = &c->cells[(size_t)row * (size_t)c->width];
        call.wmove(window, row, 0);
        for (int i = 0; i < c->width; i++) {
            /* Blank and plain is what werase() leaves; written in the last column of all it would scroll. */
            if (i == 0 || cells[i].ink != cells[i - 1].ink) {
                screen_set_ink(cells[i].ink);
            }
            if (cells[i].text[0] != '\0') {
                call.waddnstr(window, cells[i].text, -1);
            }
        }
    }
    call.wrefresh(window);
}

static int screen_key_of(int code) {
    switch (code) {
    case KEY_UP:
        return KEY_IS_UP;
    case KEY_DOWN:
        return KEY_IS_DOWN;
    case KEY_PPAGE:
        return KEY_IS_PAGE_UP;
    case KEY_NPAGE:
        return KEY_IS_PAGE_DOWN;
    case KEY_HOME:
        return KEY_IS_FIRST;
    case KEY_END:
        return KEY_IS_LAST;
    case KEY_ENTER:
    case KEY_RIGHT:
    case '\r':
    case '\n':
        return KEY_IS_ENTER;
    case KEY_BACKSPACE:
    case KEY_LEFT:
    case 27:
    case 8:
    case 127:
        return KEY_IS_BACK;
    case KEY_RESIZE:
        return KEY_IS_RESIZE;
    default:
        return code > 0 && code < 256 ? code : KEY_IS_NONE;
    }
}

int screen_key(int wait_ms) {
    struct pollfd in = { .fd = keyboard ? fileno(keyboard) : STDIN_FILENO, .events = POLLIN };
    int code = call.wgetch(window);
    if (code == ERR && !stopped) {
        /* A signal that comes just before poll() is seen a second later at most. */
        int rc = poll(&in, 1, wait_ms < POLL_MS ? wait_ms : POLL_MS);
        if (rc > 0 && (in.revents & (POLLHUP | POLLERR | POLLNVAL))) {
            return KEY_IS_END;
        }
        code = rc == 0 ? ERR : call.wgetch(window);
    }
    return stopped ? KEY_IS_END : code == ERR ? KEY_IS_NONE : screen_key_of(code);
}

#else

#include <stdio.h>

const char *screen_missing(void) {
    return "this tide was built without ncurses (Debian: libncurses-dev); use --once or --json, or build it again";
}

bool screen_open(char *why, size_t why_size) {
    snprintf(why, why_size, "%s", screen_missing());
    return false;
}

void screen_close(void) {}

bool screen_is_unicode(void) {
    return false;
}

void screen_size(int *width, int *height) {
    *width = TOP_WIDTH;
    *height = TOP_HEIGHT;
}

void screen_show(const struct canvas *c) {
    (void)c;
}

int screen_key(int wait_ms) {
    (void)wait_ms;
    return KEY_IS_END;
}

#endif
