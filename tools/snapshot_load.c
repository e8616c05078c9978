/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide snapshot load`: check everything first, then write in batches. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/fd.h"
#include "tools/lib/batch.h"
#include "tools/lib/escape.h"
#include "tools/lib/gather.h"
#include "tools/lib/read_all.h"
#include "tools/lib/wall.h"
#include "tools/snapshot.h"

struct load {
    struct snapshot *s;
    struct batch *batch;
    size_t expired; /* records whose time was over */
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

/* What has expired since it was saved is as if it were not in the file. */
static void load_drop_expired(struct load *l) {
    struct records *r = &l->s->records;
    uint64_t now = wall_unix_ns();
    size_t kept = 0;
    for (size_t i = 0; i < r->n; i++) {
        if (r->list[i].expires_unix_ns == 0 || r->list[i].expires_unix_ns > now) {
            r->list[kept++] = r->list[i];
        }
    }
    l->expired = r->n - kept;
    r->n = kept;
}

/* A file of format 1 says nothing of lives: then the domain's default counts. */
static uint64_t load_ttl_of(const struct load *l, const struct record *x) {
    uint64_t now = wall_unix_ns();
    if (l->s->head.version == 1) {
        return 0;
    }
    if (x->expires_unix_ns == 0) {
        return TIDE_TTL_NONE;
    }
    return x->expires_unix_ns > now ? x->expires_unix_ns - now : 1;
}

static int load_write_all_keys(struct load *l) {
    const struct records *r = &l->s->records;
    int rc = 0;
    for (size_t i = 0; i < r->n && rc == 0; i++) {
        const struct record *x = &r->list[i];
        struct tide_write_op op = TIDE_WRITE_OP_INIT;
        op.kind = TIDE_OP_PUT;
        op.flags = x->flags;
        op.key = records_key(r, x);
        op.key_len = x->key_size;
        op.value = records_value(r, x);
        op.value_size = x->value_size;
        op.ttl_ns = load_ttl_of(l, x);
        rc = batch_add(l->batch, &op);
    }
    return rc == 0 ? batch_flush(l->batch) : rc;
}

/* After the puts: a load that breaks off leaves too many keys rather than too few. */
static int load_delete_others(struct load *l) {
    struct gather g = { .bound = TIDE_BOUND_INIT, .keys_only = 1 };
    struct tide_answer answer = TIDE_ANSWER_INIT;
    struct records there = { 0 };
    int rc = gather_scan(l->s->cli.domain, &g, &there, &answer);
    for (size_t i = 0; i < there.n && rc == 0; i++) {
        const struct record *x = &there.list[i];
        struct tide_write_op op = TIDE_WRITE_OP_INIT;
        op.kind = TIDE_OP_DELETE;
        op.key = records_key(&there, x);
        op.key_len = x->key_size;
        if (!records_find(&l->s->records, op.key, op.key_len)) {
            rc = batch_add(l->batch, &op);
        }
    }
    rc = rc == 0 ? batch_flush(l->batch) : rc;
    records_free(&there);
    return rc;
}

/* Write nothing if a record cannot be written. */
static int load_check_sizes(const struct load *l) {
    const struct records *r = &l->s->records;
    for (size_t i = 0; i < r->n; i++) {
        if (batch_entry_bytes(r->list[i].key_size, r->list[i].value_size) > l->batch->one_bytes) {
            return TIDE_ERR_TOO_BIG;
        }
    }
    return 0;
}

static void load_report(const struct load *l) {
    struct json_out j = { 0 };
    char token[CLI_TOKEN_BYTES], from[4 * SNAPSHOT_NAME_BYTES];
    const struct snapshot *s = l->s;
    if (!s->cli.json) {
        printf("loaded %llu keys into %s in %llu batches, deleted %llu, left out %zu that had expired; taken from %s "
               "at index %llu\n",
               (unsigned long long)l->batch->written, s->cli.name, (unsigned long long)l->batch->batches,
               (unsigned long long)l->batch->deleted, l->expired,
               escape_label(s->head.name, sizeof(s->head.name), from, sizeof(from)), (unsigned long long)s->head.index);
        return;
    }
    json_out_open(&j, NULL, '{');
    json_out_u64(&j, "keys", s->records.n);
    json_out_u64(&j, "written", l->batch->written);
    json_out_u64(&j, "deleted", l->batch->deleted);
    json_out_u64(&j, "expired", l->expired);
    json_out_u64(&j, "batches", l->batch->batches);
    json_out_u64(&j, "index", l->batch->last.index);
    json_out_text(&j, "token", cli_token_text(&l->batch->last, token));
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

static int load_failed(const struct load *l, int rc) {
    struct json_out j = { 0 };
    json_out_open(&j, NULL, '{');
    json_out_u64(&j, "written", l->batch->written);
    json_out_u64(&j, "deleted", l->batch->deleted);
    l->s->cli.writes = 1;
    return cli_fail_with(&l->s->cli, rc, &j, "%s: after %llu of %zu keys written and %llu deleted", l->s->cli.name,
                         (unsigned long long)l->batch->written, l->s->records.n, (unsigned long long)l->batch->deleted);
}

int snapshot_load(struct snapshot *s) {
    int code = TOOL_FAILED;
    struct load l = { s, batch_create(&s->cli, &code), 0 };
    if (!l.batch) {
        return code;
    }
    load_drop_expired(&l);
    l.batch->all = s->records.n;
    int rc = load_check_sizes(&l);
    rc = rc == 0 ? load_write_all_keys(&l) : rc;
    rc = rc == 0 && s->replace ? load_delete_others(&l) : rc;
    batch_end(l.batch);
    if (rc == 0) {
        load_report(&l);
    }
    code = rc == 0 ? TOOL_OK : load_failed(&l, rc);
    free(l.batch);
    return code;
}
