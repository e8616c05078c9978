/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Lines in, answers out. Input is taken in large pieces, and the answers to all lines at hand leave in one write;
 * before the node would wait for anything, they are out.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/node.h"
#include "shm/fd.h"

#define READ_SIZE (256u << 10)
#define INPUT_ROOM (PROTOCOL_LINE_MAX + READ_SIZE)
#define FLUSH_SIZE (1u << 20) /* answers do not pile up beyond this, however much input is at hand */

/* What was read and not yet taken stands in data[start, end); up to `looked` there is no line end. */
struct lines {
    char *data;
    size_t start, looked, end;
    int skipping; /* inside a line that was too long and has been handled */
    int ended;
    uint64_t number; /* of the line taken last, from 1 */
};

struct line {
    const char *text;
    size_t size;
    int is_cut;
};

static atomic_int stop_requested; /* atomic: the handler may run in any thread */
static int stop_pipe[2] = { -1, -1 };

/* Also writes a byte, so that a signal that arrives just before poll() is not slept over. */
static void on_stop(int signal_number) {
    int saved = errno;
    (void)signal_number;
    atomic_store(&stop_requested, 1);
    ssize_t ignored = write(stop_pipe[1], "", 1);
    (void)ignored;
    errno = saved;
}

static int catch_signals(void) {
    static const int SIGNALS[] = { SIGTERM, SIGINT, SIGHUP };
    /* The second one ends the process at once: the way out of a request that waits long. */
    struct sigaction stop = { .sa_handler = on_stop, .sa_flags = (int)SA_RESETHAND };
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    if (pipe2(stop_pipe, O_CLOEXEC | O_NONBLOCK) != 0 || (stop_pipe[0] = fd_lift(stop_pipe[0])) < 0 ||
        (stop_pipe[1] = fd_lift(stop_pipe[1])) < 0) {
        perror("tide node: pipe");
        return -1;
    }
    sigaction(SIGPIPE, &ignore, NULL);
    for (size_t i = 0; i < sizeof(SIGNALS) / sizeof(SIGNALS[0]); i++) {
        struct sigaction old;
        /* A parent that had SIGHUP or SIGINT ignored (nohup, a background job) meant it. */
        if (sigaction(SIGNALS[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(SIGNALS[i], &stop, NULL);
    }
    return 0;
}

/* Until fd is ready for `events` or a signal asks for the end. */
static void wait_for(int fd, short events) {
    struct pollfd fds[2] = { { fd, events, 0 }, { stop_pipe[0], POLLIN, 0 } };
    poll(fds, 2, -1);
}

void node_flush(struct node *n) {
    struct buf *out = &n->protocol.out;
    size_t done = 0;
    while (done < out->size && !n->out_closed && !n->out_failed) {
        ssize_t wrote = write(n->out_fd, out->data + done, out->size - done);
        if (wrote >= 0)
            done += (size_t)wrote;
        else if (errno == EAGAIN)
            wait_for(n->out_fd, POLLOUT);
        else if (errno == EPIPE)
            n->out_closed = 1;
        else if (errno != EINTR) {
            perror("tide node: standard output");
            n->out_failed = 1;
        }
        if (done < out->size && atomic_load(&stop_requested))
            n->out_closed = 1;
    }
    out->size = 0;
}

/* The next line at hand; 0 when more must be read first, or nothing is left. */
static int take_line(struct lines *in, struct line *line) {
    char *at = in->data + in->start;
    char *line_end = memchr(in->data + in->looked, '\n', in->end - in->looked);
    size_t size = (size_t)((line_end ? line_end : in->data + in->end) - at);
    int is_whole = line_end || (in->ended && size > 0);
    in->looked = in->start + size + (line_end != NULL);
    if (in->skipping) {
        in->start = in->looked;
        in->skipping = !line_end;
        return line_end ? take_line(in, line) : 0;
    }
    if (!is_whole && size <= PROTOCOL_LINE_MAX)
        return 0;
    in->number++;
    in->start = in->looked;
    in->skipping = !is_whole;
    *line = (struct line){ at, size > PROTOCOL_LINE_MAX ? PROTOCOL_LINE_MAX : size, size > PROTOCOL_LINE_MAX };
    return 1;
}

/* Read what there is, waiting until there is something. -1 after a message. */
static int fill(struct lines *in, int fd) {
    memmove(in->data, in->data + in->start, in->end - in->start);
    in->end -= in->start;
    in->looked -= in->start;
    in->start = 0;
    for (;;) {
        wait_for(fd, POLLIN);
        if (atomic_load(&stop_requested))
            return 0;
        ssize_t got = read(fd, in->data + in->end, INPUT_ROOM - in->end);
        if (got >= 0) {
            in->end += (size_t)got;
            in->ended = got == 0;
            return 0;
        }
        if (errno != EINTR && errno != EAGAIN) {
            perror("tide node: standard input");
            return -1;
        }
    }
}

static void answer_line(struct node *n, const struct line *line, uint64_t number) {
    struct request q;
    char why[160];
    int rc = protocol_read(&n->protocol, line->text, line->size, line->is_cut, &q, why, sizeof(why));
    if (rc == 0)
        node_handle(n, &q);
    else if (rc < 0)
        fprintf(stderr, "tide node: line %llu: not answered: %s\n", (unsigned long long)number, why);
    if (n->protocol.out.size >= FLUSH_SIZE)
        node_flush(n);
}

static int serve_lines(struct node *n, struct lines *in, int in_fd) {
    struct line line;
    while (!atomic_load(&stop_requested) && !n->out_closed && !n->out_failed) {
        while (!n->out_closed && !n->out_failed && take_line(in, &line))
            answer_line(n, &line, in->number);
        node_flush(n);
        if (in->ended)
            break;
        if (fill(in, in_fd) != 0)
            return -1;
    }
    return n->out_failed ? -1 : 0;
}

int node_serve(struct node *n, int in_fd) {
    struct lines in = { .data = malloc(INPUT_ROOM) };
    if (!in.data) {
        fputs("tide node: out of memory\n", stderr);
        return -1;
    }
    int result = catch_signals() == 0 ? serve_lines(n, &in, in_fd) : -1;
    free(in.data);
    return result;
}
