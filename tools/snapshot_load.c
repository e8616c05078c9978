/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide snapshot load`: check everything first, then write in batches. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/fd.h"
#include "tools/lib/escape.h"
#include "tools/lib/gather.h"
#include "tools/lib/read_all.h"
#include "tools/snapshot.h"

#define BATCH_OPS 1024u
#define TRIES 4         /* a leader may die meanwhile; a batch of puts and deletes may be done twice without harm */
#define FRAME_BYTES 64u /* what the log needs for an entry beside key and value, rounding included */

struct load {
    struct snapshot *s;
    struct tide_op ops[BATCH_OPS];
    size_t n;
    uint64_t bytes, most_bytes, one_bytes; /* in the batch; in any batch; in one entry at most */
    uint64_t written, deleted, batches;
    struct tide_token last;
};

int snapshot_read(struct snapshot *s) {
    uint8_t *bytes;
    size_t size;
    int from_stdin = strcmp(s->file, "-") == 0;
    int fd = from_stdin ? STDIN_FILENO : fd_open(s->file, O_RDONLY, 0);
    int error = fd < 0 || read_all(fd, &bytes, &size) != 0 ? errno : 0;
    if (!from_stdin && fd >= 0) {
        close(fd);
    }
    const char *from = from_stdin ? "standard input" : s->file;
    if (error != 0) {
        return cli_complain(&s->cli, TOOL_FAILED, "input", "%s: %s", from, strerror(error));
    }
    const char *wrong = snapshot_parse(bytes, size, &s->head, &s->records);
    free(bytes);
    if (wrong) {
        return cli_complain(&s->cli, TOOL_FAILED, "snapshot", "%s: %s; nothing was written", from, wrong);
    }
    return 0;
}

static int flush_batch(struct load *l) {
    int rc = 0;
    if (l->n == 0) {
        return 0;
    }
    for (int tries = 0; tries < TRIES; tries++) {
        rc = tide_batch(l->s->cli.domain, NULL, l->ops, l->n, &l->last, NULL);
        if (rc != TIDE_ERR_UNKNOWN) {
            break;
        }
    }
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; i < l->n; i++) {
        *(l->ops[i].kind == TIDE_OP_PUT ? &l->written : &l->deleted) += 1;
    }
    l->batches++;
    l->n = 0;
    l->bytes = 0;
    if (l->batches % 64 == 0 && isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%s: %llu of %zu keys", l->s->cli.tool, (unsigned long long)l->written, l->s->records.n);
    }
    return 0;
}

static int add_op(struct load *l, const struct tide_op *op) {
    uint64_t bytes = FRAME_BYTES + op->key_len + op->value_size;
    int rc = 0;
    if (l->n == BATCH_OPS || (l->n > 0 && l->bytes + bytes > l->most_bytes)) {
        rc = flush_batch(l);
    }
    if (rc == 0) {
        l->ops[l->n++] = *op;
        l->bytes += bytes;
    }
    return rc;
}

static int write_all_keys(struct load *l) {
    const struct records *r = &l->s->records;
    int rc = 0;
    for (size_t i = 0; i < r->n && rc == 0; i++) {
        const struct record *x = &r->list[i];
        struct tide_op op = { TIDE_OP_PUT, 0, records_key(r, x), x->key_size, records_value(r, x), x->value_size, 0 };
        rc = add_op(l, &op);
    }
    return rc == 0 ? flush_batch(l) : rc;
}

/* After the puts: a load that breaks off leaves too many keys rather than too few. */
static int delete_others(struct load *l) {
    struct gather g = { .bound = TIDE_BOUND_INIT, .keys_only = 1 };
    struct tide_answer answer = TIDE_ANSWER_INIT;
    struct records there = { 0 };
    int rc = gather_scan(l->s->cli.domain, &g, &there, &answer);
    for (size_t i = 0; i < there.n && rc == 0; i++) {
        const struct record *x = &there.list[i];
        struct tide_op op = { TIDE_OP_DELETE, 0, records_key(&there, x), x->key_size, NULL, 0, 0 };
        if (!records_find(&l->s->records, op.key, op.key_len)) {
            rc = add_op(l, &op);
        }
    }
    rc = rc == 0 ? flush_batch(l) : rc;
    records_free(&there);
    return rc;
}

/* Write nothing if a record cannot be written. */
static int check_sizes(const struct load *l) {
    const struct records *r = &l->s->records;
    for (size_t i = 0; i < r->n; i++) {
        if (FRAME_BYTES + (uint64_t)r->list[i].key_size + r->list[i].value_size > l->one_bytes) {
            return TIDE_ERR_TOO_BIG;
        }
    }
    return 0;
}

static void report(const struct load *l) {
    struct json_out j = { 0 };
    char token[CLI_TOKEN_BYTES], from[4 * SNAPSHOT_NAME_BYTES];
    const struct snapshot *s = l->s;
    if (!s->cli.json) {
        printf("loaded %llu keys into %s in %llu batches, deleted %llu; taken from %s at index %llu\n",
               (unsigned long long)l->written, s->cli.name, (unsigned long long)l->batches,
               (unsigned long long)l->deleted, escape_label(s->head.name, sizeof(s->head.name), from, sizeof(from)),
               (unsigned long long)s->head.index);
        return;
    }
    json_out_open(&j, NULL, '{');
    json_out_u64(&j, "keys", s->records.n);
    json_out_u64(&j, "written", l->written);
    json_out_u64(&j, "deleted", l->deleted);
    json_out_u64(&j, "batches", l->batches);
    json_out_u64(&j, "index", l->last.index);
    json_out_text(&j, "token", cli_token_text(&l->last, token));
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

static int load_failed(const struct load *l, int rc) {
    struct json_out j = { 0 };
    json_out_open(&j, NULL, '{');
    json_out_u64(&j, "written", l->written);
    json_out_u64(&j, "deleted", l->deleted);
    return cli_fail_with(&l->s->cli, rc, &j, "%s: after %llu of %zu keys written and %llu deleted", l->s->cli.name,
                         (unsigned long long)l->written, l->s->records.n, (unsigned long long)l->deleted);
}

int snapshot_load(struct snapshot *s) {
    struct tide_info info = TIDE_INFO_INIT;
    struct load *l = calloc(1, sizeof(*l));
    if (!l) {
        return cli_fail(&s->cli, TIDE_ERR_NOMEM, "%s", s->cli.name);
    }
    l->s = s;
    int rc = tide_info(s->cli.domain, &info);
    l->one_bytes = info.ring_bytes / 4;
    l->most_bytes = info.ring_bytes / 16; /* small batches, so that followers keep up */
    rc = rc == 0 ? check_sizes(l) : rc;
    rc = rc == 0 ? write_all_keys(l) : rc;
    rc = rc == 0 && s->replace ? delete_others(l) : rc;
    if (l->batches >= 64 && isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr);
    }
    if (rc == 0) {
        report(l);
    }
    int code = rc == 0 ? TOOL_OK : load_failed(l, rc);
    free(l);
    return code;
}
