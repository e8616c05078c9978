/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines in. Input is taken in large pieces, and the answers to all lines at hand leave in one write; before the node would
 * wait for anything, they are out. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/lib/args.h"
#include "tools/node/node.h"

#define READ_SIZE (256u << 10)
#define INPUT_ROOM (PROTOCOL_LINE_MAX + READ_SIZE)
#define FLUSH_SIZE (1u << 20) /* answers do not pile up beyond this, however much input is at hand */

/* data[start, end) has the bytes that were read and not yet taken; no line ends before `looked`. */
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

/* The next line at hand; 0 when more must be read first, or nothing is left. */
static int io_take_line(struct lines *in, struct line *line) {
    char *at = in->data + in->start;
    char *line_end = memchr(in->data + in->looked, '\n', in->end - in->looked);
    size_t size = (size_t)((line_end ? line_end : in->data + in->end) - at);
    int is_whole = line_end || (in->ended && size > 0);
    in->looked = in->start + size + (line_end != NULL);
    if (in->skipping) {
        in->start = in->looked;
        in->skipping = !line_end;
        return line_end ? io_take_line(in, line) : 0;
    }
    if (!is_whole && size <= PROTOCOL_LINE_MAX) {
        return 0;
    }
    in->number++;
    in->start = in->looked;
    in->skipping = !is_whole;
    *line = (struct line){ at, size > PROTOCOL_LINE_MAX ? PROTOCOL_LINE_MAX : size, size > PROTOCOL_LINE_MAX };
    return 1;
}

/* Wait for input, and read what is there. -1 after a message. */
static int io_fill(struct lines *in, int fd) {
    memmove(in->data, in->data + in->start, in->end - in->start);
    in->end -= in->start;
    in->looked -= in->start;
    in->start = 0;
    for (;;) {
        node_wait_for(fd, POLLIN);
        if (node_is_stopped()) {
            return 0;
        }
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

static void io_answer_line(struct node *n, const struct line *line, uint64_t number) {
    struct request q;
    char why[160];
    int rc = protocol_read(&n->protocol, line->text, line->size, line->is_cut, &q, why, sizeof(why));
    if (rc == 0) {
        node_handle(n, &q);
    } else if (rc < 0) {
        args_sayf("tide node", "line %llu: not answered: %s", (unsigned long long)number, why);
    }
    if (n->protocol.out.text.size >= FLUSH_SIZE) {
        node_flush(n);
    }
}

static int io_serve_lines(struct node *n, struct lines *in, int in_fd) {
    struct line line;
    while (!node_is_stopped() && !n->out_closed && !n->out_failed) {
        while (!n->out_closed && !n->out_failed && io_take_line(in, &line)) {
            io_answer_line(n, &line, in->number);
        }
        node_flush(n);
        if (in->ended) {
            break;
        }
        if (io_fill(in, in_fd) != 0) {
            return -1;
        }
    }
    return n->out_failed ? -1 : 0;
}

int node_serve(struct node *n, int in_fd) {
    struct lines in = { .data = malloc(INPUT_ROOM) };
    if (!in.data) {
        fputs("tide node: out of memory\n", stderr);
        return -1;
    }
    int result = node_catch_signals() == 0 ? io_serve_lines(n, &in, in_fd) : -1;
    free(in.data);
    return result;
}
