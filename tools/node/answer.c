/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers out, and errors of the engine as answers. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/node/node.h"

void node_flush(struct node *n) {
    struct buf *out = &n->protocol.out.text;
    size_t done = 0;
    while (done < out->size && !n->out_closed && !n->out_failed) {
        ssize_t wrote = write(n->out_fd, out->data + done, out->size - done);
        if (wrote >= 0) {
            done += (size_t)wrote;
        } else if (errno == EAGAIN) {
            node_wait_for(n->out_fd, POLLOUT);
        } else if (errno == EPIPE) {
            n->out_closed = 1;
        } else if (errno != EINTR) {
            perror("tide node: standard output");
            n->out_failed = 1;
        }
        if (done < out->size && node_is_stopped()) {
            n->out_closed = 1;
        }
    }
    out->size = 0;
}

enum protocol_code node_error_code(int error, int is_write) {
    switch (error) {
    case NODE_ERR_TAKEN:
    case TIDE_ERR_NUMBER:
    case TIDE_ERR_OVERFLOW:
        return CODE_PRECONDITION;
    case NODE_ERR_NOT_JSON:
    case NODE_ERR_LABEL:
    case TIDE_ERR_TOO_BIG:
        return CODE_MALFORMED;
    case TIDE_ERR_UNKNOWN:
        return CODE_TIMEOUT;
    case TIDE_ERR_NOMEM:
    case TIDE_ERR_NO_SPACE:
    case TIDE_ERR_FULL:
    case TIDE_ERR_SLOTS:
    case TIDE_ERR_REFUSED:
    case TIDE_ERR_NO_LEADER:
    case TIDE_ERR_NO_REPLICA:
    case TIDE_ERR_BUSY:
    case TIDE_ERR_CLOSED:
    case TIDE_ERR_TIMEOUT: /* a write was taken back before anybody had it */
    case TIDE_ERR_LOST:
        return CODE_UNAVAILABLE;
    case TIDE_ERR_GONE:
        return is_write ? CODE_CRASH : CODE_UNAVAILABLE;
    default:
        return CODE_CRASH;
    }
}

static const char *answer_error_text(int error) {
    switch (error) {
    case NODE_ERR_NOT_JSON:
        return "the value is no JSON: another program put it";
    case NODE_ERR_LABEL:
        return "node_id must be at most 31 bytes without a NUL in a shared domain";
    case NODE_ERR_TAKEN:
        return "another process of the domain runs under this node_id";
    default:
        return tide_strerror(error);
    }
}

void node_refuse(struct node *n, const struct request *q, int error, int is_write) {
    protocol_error(&n->protocol, q, node_error_code(error, is_write), "%s", answer_error_text(error));
}
