/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/clear.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/lib/batch.h"
#include "tools/lib/gather.h"

static int clear_delete_all(struct batch *b, const struct records *keys) {
    int rc = 0;
    for (size_t i = 0; i < keys->n && rc == 0; i++) {
        struct tide_write_op op = TIDE_WRITE_OP_INIT;
        op.kind = TIDE_OP_DELETE;
        op.key = records_key(keys, &keys->list[i]);
        op.key_len = keys->list[i].key_size;
        rc = batch_add(b, &op);
    }
    rc = rc == 0 ? batch_flush(b) : rc;
    batch_end(b);
    return rc;
}

static int clear_report(const struct cli *c, const struct batch *b, int rc, size_t found) {
    struct json_out j = { 0 };
    char text[CLI_TOKEN_BYTES];
    json_out_open(&j, NULL, '{');
    json_out_u64(&j, "deleted", b->deleted);
    if (rc != 0) {
        struct cli writes = *c;
        writes.writes = 1;
        return cli_fail_with(&writes, rc, &j, "%s: after %llu of %zu keys deleted", c->name,
                             (unsigned long long)b->deleted, found);
    }
    if (!c->json) {
        printf("deleted %llu key%s\n", (unsigned long long)b->deleted, b->deleted == 1 ? "" : "s");
        json_out_free(&j);
        return TOOL_OK;
    }
    if (b->deleted > 0) {
        json_out_u64(&j, "index", b->last.index);
        json_out_text(&j, "token", cli_token_text(&b->last, text));
    } else {
        json_out_null(&j, "index");
        json_out_null(&j, "token");
    }
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
    return TOOL_OK;
}

int clear_keys(const struct cli *c, const void *prefix, size_t prefix_size) {
    struct gather g = { .bound = TIDE_BOUND_INIT, .prefix = prefix, .prefix_size = prefix_size, .keys_only = 1 };
    struct tide_answer answer = TIDE_ANSWER_INIT;
    struct records keys = { 0 };
    int code = TOOL_FAILED;
    struct batch *b = batch_create(c, &code);
    if (!b) {
        return code;
    }
    int rc = gather_scan(c->domain, &g, &keys, &answer);
    b->all = keys.n;
    rc = rc == 0 ? clear_delete_all(b, &keys) : rc;
    code = clear_report(c, b, rc, keys.n);
    records_free(&keys);
    free(b);
    return code;
}
