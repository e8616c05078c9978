/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

const char *bench_gnuplot_colour(unsigned i) {
    static const char *const colours[] = {
        "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"
    };
    return colours[i % (sizeof(colours) / sizeof(colours[0]))];
}

void bench_gnuplot_head(FILE *f, int height) {
    fprintf(f,
            "set encoding utf8\n"
            "set terminal svg noenhanced dynamic size 900,%d font 'sans-serif,13'\n"
            "set border 3 lc rgb '#444444' lw 0.7\n"
            "set tics nomirror out\n"
            "set grid ytics lc rgb '#dddddd' lw 0.5 lt 1\n",
            height);
}

void bench_gnuplot_string(FILE *f, const char *text) {
    fputc('\'', f);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\'') {
            fputc('\'', f); /* doubled within quotes */
        }
        fputc((unsigned char)*c < ' ' ? ' ' : *c, f); /* a line end would end the command */
    }
    fputc('\'', f);
}

/* gnuplot with the script as its input and the picture as its output. */
static enum bench_drawn run_gnuplot(int script_fd, int picture_fd) {
    posix_spawn_file_actions_t actions;
    pid_t pid = 0;
    char *argv[] = { "gnuplot", "-", NULL };
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, script_fd, 0);
    posix_spawn_file_actions_adddup2(&actions, picture_fd, 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawnp(&pid, "gnuplot", &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0) {
        return rc == ENOENT ? BENCH_DRAWN_NO_GNUPLOT : BENCH_DRAWN_FAILED;
    }
    int status = 0;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return BENCH_DRAWN_FAILED;
        }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        return BENCH_DRAWN_NO_GNUPLOT; /* POSIX allows that the child finds this out, and reports it by this status */
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? BENCH_DRAWN : BENCH_DRAWN_FAILED;
}

/* The whole file, with a zero behind it. */
static char *whole_text(FILE *f) {
    long n = fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    char *text = n > 0 ? calloc(1, (size_t)n + 1) : NULL;
    rewind(f);
    if (text != NULL && fread(text, 1, (size_t)n, f) != (size_t)n) {
        free(text);
        text = NULL;
    }
    return text;
}

enum bench_drawn bench_gnuplot_draw(bench_gnuplot_fn *write, const void *ctx, char **svg) {
    FILE *script = tmpfile(), *picture = tmpfile();
    enum bench_drawn drawn = BENCH_DRAWN_FAILED;
    *svg = NULL;
    if (script != NULL && picture != NULL) {
        drawn = write(script, ctx) == 0 ? BENCH_DRAWN : BENCH_DRAWN_NOTHING;
    }
    if (drawn == BENCH_DRAWN) {
        bool written = fflush(script) == 0 && lseek(fileno(script), 0, SEEK_SET) == 0;
        drawn = written ? run_gnuplot(fileno(script), fileno(picture)) : BENCH_DRAWN_FAILED;
    }
    if (drawn == BENCH_DRAWN) {
        *svg = whole_text(picture);
        drawn = *svg != NULL ? BENCH_DRAWN : BENCH_DRAWN_FAILED;
    }
    if (script != NULL) {
        fclose(script);
    }
    if (picture != NULL) {
        fclose(picture);
    }
    return drawn;
}
