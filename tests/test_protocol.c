/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The JSON-lines protocol below the process: answers, and a storm of mutated requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "tests/lib/random.h"
#include "tools/node/node.h"

static void reply_ms__nanoseconds__at_most_three_decimals_rounded_up(void **state) {
    static const struct {
        uint64_t ns;
        const char *text;
    } CASES[] = {
        { 0, "0" },
        { 1, "0.001" },
        { 999, "0.001" },
        { 1000, "0.001" },
        { 1001, "0.002" },
        { 1000000, "1" },
        { 1500000, "1.5" },
        { 12340000, "12.34" },
        { 999999999, "1000" },
        { UINT64_MAX, "18446744073709.552" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct protocol p = { 0 };
        reply_ms(&p, NULL, CASES[i].ns);
        buf_add_char(&p.out.text, '\0');
        assert_string_equal(p.out.text.data, CASES[i].text);
        protocol_free(&p);
    }
}

/* ---- whole requests ---- */

static const char *const REQUESTS[] = {
    "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"write\",\"msg_id\":2,\"key\":\"x\",\"value\":{\"a\":[1,2.5,"
    "\"\\u00e9\"]}}}",
    "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"read\",\"msg_id\":3,\"key\":\"x\"}}",
    "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"delete\",\"msg_id\":4,\"key\":1}}",
    "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"cas\",\"msg_id\":5,\"key\":\"x\",\"from\":1,\"to\":2,"
    "\"create_if_not_exists\":true}}",
    "{\"src\":\"c1\",\"dest\":\"n2\",\"body\":{\"type\":\"follower_read\",\"msg_id\":6,\"key\":\"x\",\"max_staleness_"
    "ms\":5.5,\"max_lag\":3}}",
    "{\"src\":\"c1\",\"dest\":\"n2\",\"body\":{\"type\":\"follower_read\",\"msg_id\":6,\"key\":\"x\",\"max_staleness_"
    "ms\":0,\"fallback\":\"error\"}}",
    "{\"src\":\"c1\",\"dest\":\"n2\",\"body\":{\"type\":\"ryw_read\",\"msg_id\":7,\"key\":\"x\",\"last_write_index\":1,"
    "\"prefer_follower\":true}}",
    "{\"src\":\"c1\",\"dest\":\"n2\",\"body\":{\"type\":\"snapshot_read\",\"msg_id\":8,\"keys\":[\"x\",1,null],\"last_"
    "write_index\":1}}",
    "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"status\",\"msg_id\":9}}",
    "{\"src\":\"c0\",\"dest\":\"n1\",\"body\":{\"type\":\"init\",\"msg_id\":1,\"node_id\":\"n1\",\"node_ids\":[\"n1\","
    "\"n2\",\"n3\"]}}",
};
#define N_REQUESTS (sizeof(REQUESTS) / sizeof(REQUESTS[0]))

/* What mutations put in: pieces that mean something to a parser. */
static const char *const PIECES[] = { "{",          "}",
                                      "[",          "]",
                                      ",",          ":",
                                      "\"",         "\\",
                                      "\\u0000",    "\\ud800",
                                      "null",       "true",
                                      "-1",         "1e400",
                                      "0",          "01",
                                      "1e",         "9007199254740993",
                                      "\"key\":1,", "\xff",
                                      "\xc3",       "\xe2\x82\xac",
                                      "\t",         "\x01",
                                      "[[[[",       "\"stale\"",
                                      "\"wait\"",   "0.0001",
                                      "\"error\"",  "{\"a\":" };

static size_t mutate(char *line, size_t size, size_t room) {
    size_t at = size ? next_random() % size : 0;
    size_t len = next_random() % 6;
    const char *piece = PIECES[next_random() % (sizeof(PIECES) / sizeof(PIECES[0]))];
    size_t piece_len = strlen(piece);
    switch (next_random() % 4) {
    case 0: /* take some bytes away */
        len = len > size - at ? size - at : len;
        memmove(line + at, line + at + len, size - at - len);
        return size - len;
    case 1: /* put a piece in */
        if (size + piece_len > room) {
            return size;
        }
        memmove(line + at + piece_len, line + at, size - at);
        memcpy(line + at, piece, piece_len);
        return size + piece_len;
    case 2: /* change a byte */
        if (size > 0) {
            line[at] = (char)next_random();
        }
        return size;
    default: /* cut */
        return at;
    }
}

static void assert_is_answer(const struct buf *out, uint64_t number) {
    cJSON *answer = cJSON_ParseWithLength(out->data, out->size);
    assert_non_null(answer);
    cJSON *body = cJSON_GetObjectItemCaseSensitive(answer, "body");
    assert_true(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(answer, "dest")));
    assert_true(cJSON_IsString(cJSON_GetObjectItemCaseSensitive(body, "type")));
    assert_true(cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(body, "in_reply_to")));
    assert_true(cJSON_GetObjectItemCaseSensitive(body, "msg_id")->valuedouble == (double)number);
    assert_ptr_equal(memchr(out->data, '\n', out->size), out->data + out->size - 1);
    cJSON_Delete(answer);
}

static void answer_line(struct node *n, const char *line, size_t size) {
    struct request q;
    char why[160] = "";
    uint64_t number = n->protocol.next_msg_id;
    int rc = protocol_read(&n->protocol, line, size, 0, &q, why, sizeof(why));
    if (rc == 0) {
        node_handle(n, &q);
    }
    if (rc < 0) {
        assert_true(why[0] != '\0');
        assert_int_equal(n->protocol.out.text.size, 0);
        return;
    }
    assert_is_answer(&n->protocol.out.text, number);
    assert_int_equal(n->protocol.next_msg_id, number + 1);
    n->protocol.out.text.size = 0;
}

static void open_node(struct node *n) {
    *n = (struct node){ .opts = { .ryw_wait_ns = 1000000, .ring_bytes = 1 << 20, .table_bytes = 4 << 20 },
                        .out_fd = -1 };
    answer_line(n, REQUESTS[N_REQUESTS - 1], strlen(REQUESTS[N_REQUESTS - 1]));
    assert_non_null(n->domain);
}

static void node_handle__mutated_requests__one_answer_or_one_reason_each(void **state) {
    struct node n;
    (void)state;
    open_node(&n);
    /* A flush before a wait has nowhere to go here: answers are looked at one by one. */
    n.out_closed = 1;
    for (int round = 0; round < 30000; round++) {
        char line[1024];
        const char *from = REQUESTS[next_random() % N_REQUESTS];
        size_t size = strlen(from);
        memcpy(line, from, size);
        for (uint64_t i = next_random() % 4; i > 0; i--) {
            size = mutate(line, size, sizeof(line));
        }
        char *copy = malloc(size + 1);
        memcpy(copy, line, size);
        answer_line(&n, copy, size);
        free(copy);
    }
    node_end(&n);
}

static void node_handle__reads_of_other_clients__do_not_fence_one_another(void **state) {
    static const char WRITE[] =
        "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"write\",\"msg_id\":1,\"key\":\"x\",\"value\":1}}";
    static const char LEADER[] = "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"follower_read\",\"msg_id\":2,"
                                 "\"key\":\"x\",\"max_lag\":0}}";
    static const char FOLLOWER[] =
        "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"follower_read\",\"msg_id\":3,\"key\":\"x\"}}";
    struct node n = { .opts = { .ring_bytes = 1 << 20, .table_bytes = 4 << 20 }, .out_fd = -1 };
    (void)state;
    /* Followers an hour behind: after a read at the leader, no follower can serve the session any more. */
    n.opts.delays[0] = (struct node_delay){ "n2", 2, PROTOCOL_WAIT_MAX_NS };
    n.opts.delays[1] = (struct node_delay){ "n3", 2, PROTOCOL_WAIT_MAX_NS };
    n.opts.n_delays = 2;
    answer_line(&n, REQUESTS[N_REQUESTS - 1], strlen(REQUESTS[N_REQUESTS - 1]));
    answer_line(&n, WRITE, strlen(WRITE));
    answer_line(&n, LEADER, strlen(LEADER));
    assert_int_equal(n.reads[TIDE_REASON_REDIRECTED], 1);
    answer_line(&n, FOLLOWER, strlen(FOLLOWER));
    assert_int_equal(n.reads[TIDE_REASON_WITHIN_BOUND], 1);
    node_end(&n);
}

static void node_error_code__fate_unknown__never_a_definite_code(void **state) {
    (void)state;
    for (int error = TIDE_ERR_FORKED; error < 0; error++) {
        enum protocol_code code = node_error_code(error, 1);
        assert_true(code == CODE_TIMEOUT || code == CODE_CRASH || code == CODE_UNAVAILABLE || code == CODE_MALFORMED);
    }
    assert_int_equal(node_error_code(TIDE_ERR_UNKNOWN, 1), CODE_TIMEOUT);
    assert_int_equal(node_error_code(TIDE_ERR_SYSTEM, 1), CODE_CRASH);
    assert_int_equal(node_error_code(TIDE_ERR_FULL, 1), CODE_UNAVAILABLE);
    assert_int_equal(node_error_code(TIDE_ERR_TOO_BIG, 1), CODE_MALFORMED);
    assert_int_equal(node_error_code(TIDE_ERR_NO_LEADER, 1), CODE_UNAVAILABLE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reply_ms__nanoseconds__at_most_three_decimals_rounded_up),
        cmocka_unit_test(node_handle__mutated_requests__one_answer_or_one_reason_each),
        cmocka_unit_test(node_handle__reads_of_other_clients__do_not_fence_one_another),
        cmocka_unit_test(node_error_code__fate_unknown__never_a_definite_code),
    };
    return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
