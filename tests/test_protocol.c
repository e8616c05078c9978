/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The JSON-lines protocol below the process: arguments, numbers, strings, damaged lines, and a storm of mutated
 * requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "tools/args.h"
#include "tools/json_number.h"
#include "tools/node.h"

static uint64_t random_state = 88172645463325252u; /* fixed: a failure can be repeated */

static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* ---- arguments ---- */

static void args_duration__units__in_nanoseconds(void **state) {
    static const struct {
        const char *text;
        uint64_t ns;
    } CASES[] = {
        { "0", 0 },
        { "0ms", 0 },
        { "18us", 18000 },
        { "200ms", 200000000 },
        { "1.5s", 1500000000 },
        { "7ns", 7 },
        { "2m", 120000000000 },
        { "1h", 3600000000000 },
        { "0.25ms", 250000 },
        { "1.9ns", 1 },
        { "0.1h", 360000000000 },
        { "0.123456789s", 123456789 },
        { "0.0000000000000000000001s", 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint64_t ns = 1;
        assert_int_equal(args_duration(CASES[i].text, &ns), 0);
        assert_int_equal(ns, CASES[i].ns);
    }
}

static void args_duration__nonsense__refused(void **state) {
    static const char *const CASES[] = { "",
                                         "5",
                                         "ms",
                                         "-5ms",
                                         "+5ms",
                                         " 5ms",
                                         "5 ms",
                                         "5ms ",
                                         "5MS",
                                         "1.ms",
                                         ".5ms",
                                         "1.5",
                                         "1e3ms",
                                         "5msec",
                                         "99999999999999999999ns",
                                         "9999999999h",
                                         "0x5ms" };
    uint64_t ns = 4711;
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++)
        assert_int_equal(args_duration(CASES[i], &ns), -1);
    assert_int_equal(ns, 4711);
}

static void args_duration_text__any_time__read_back_within_rounding(void **state) {
    char text[32];
    (void)state;
    assert_string_equal(args_duration_text(18000000, text, sizeof(text)), "18ms");
    assert_string_equal(args_duration_text(1500000000, text, sizeof(text)), "1.5s");
    assert_string_equal(args_duration_text(0, text, sizeof(text)), "0ns");
    assert_string_equal(args_duration_text(1000001, text, sizeof(text)), "1.001ms");
    for (int i = 0; i < 10000; i++) {
        uint64_t ns = next_random() >> (8 + next_random() % 50), back;
        assert_int_equal(args_duration(args_duration_text(ns, text, sizeof(text)), &back), 0);
        assert_true(back >= ns && back - ns <= ns / 1000 + 1);
    }
}

static void args_size__units_and_nonsense__told_apart(void **state) {
    uint64_t v = 0;
    (void)state;
    assert_true(args_size("4096", &v) == 0 && v == 4096);
    assert_true(args_size("64K", &v) == 0 && v == 65536);
    assert_true(args_size("16MiB", &v) == 0 && v == 16777216);
    assert_true(args_size("2G", &v) == 0 && v == 2147483648);
    assert_int_equal(args_size("", &v), -1);
    assert_int_equal(args_size("-1", &v), -1);
    assert_int_equal(args_size("1.5G", &v), -1);
    assert_int_equal(args_size("1T", &v), -1);
    assert_int_equal(args_size("99999999999G", &v), -1);
    assert_int_equal(args_u64("5", 1, 4, &v), -1);
    assert_true(args_u64("4", 1, 4, &v) == 0 && v == 4);
    assert_int_equal(args_u64("4x", 1, 4, &v), -1);
}

/* ---- numbers ---- */

static void json_number__double_written_shortest__exact(void **state) {
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = next_random();
        double value;
        char text[64];
        memcpy(&value, &bits, sizeof(value));
        if (value != value || value - value != 0)
            continue;
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(text, sizeof(text), "%.*g", digits, value);
            if (strtod(text, NULL) == value)
                break;
        }
        assert_true(json_number_exact(text, strlen(text)));
        /* The same with all its digits is as exact; one more digit behind them is another value. */
        char all[900];
        snprintf(all, sizeof(all), "%.800e", value);
        assert_true(json_number_exact(all, strlen(all)));
    }
}

static void json_number__18_random_digits__rarely_exact_and_then_true(void **state) {
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[64], back[64];
        snprintf(text, sizeof(text), "1%017llu", (unsigned long long)(next_random() % 100000000000000000u));
        double value = strtod(text, NULL);
        snprintf(back, sizeof(back), "%.0f", value);
        /* Above 2^53 a double is a whole number: exact means that all digits come back, or all that are not zeros. */
        if (json_number_exact(text, strlen(text)))
            assert_true(strcmp(text, back) == 0 || strspn(text + strlen(text) - 1, "0") == 1);
        else
            assert_string_not_equal(text, back);
    }
}

static void json_number_canonical__spellings_of_one_value__one_text(void **state) {
    static const char *const CASES[][2] = {
        { "1", "1" },
        { "1.0", "1" },
        { "10e-1", "1" },
        { "0.1e1", "1" },
        { "-0", "0" },
        { "0.0e9", "0" },
        { "100", "100" },
        { "1e2", "100" },
        { "-1.50", "-1.5" },
        { "0.000001", "0.000001" },
        { "1e-7", "1e-7" },
        { "0.0000001", "1e-7" },
        { "1e21", "1e21" },
        { "100000000000000000000", "100000000000000000000" },
        { "1.25E-10", "1.25e-10" },
        { "12.5e1", "125" },
        { "0.00012", "0.00012" },
    };
    struct buf out = { 0 };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        out.size = 0;
        json_number_canonical(&out, CASES[i][0], strlen(CASES[i][0]));
        buf_add_char(&out, '\0');
        assert_string_equal(out.data, CASES[i][1]);
    }
    buf_free(&out);
}

static void json_number_ms__part_of_a_nanosecond__rounded_up(void **state) {
    static const struct {
        const char *text;
        int rc;
        uint64_t ns;
    } CASES[] = {
        { "0", 0, 0 },
        { "-0", 0, 0 },
        { "1", 0, 1000000 },
        { "0.000001", 0, 1 },
        { "0.0000001", 0, 1 },
        { "1e-300", 0, 1 },
        { "1.5", 0, 1500000 },
        { "2.0000001", 0, 2000001 },
        { "1e3", 0, 1000000000 },
        { "1e12", 0, 1000000000000000000 },
        { "-1", -1, 0 },
        { "1e13", -1, 0 },
        { "1e300", -1, 0 },
        { "-1e-9", -1, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint64_t ns = 0;
        assert_int_equal(json_number_ms(CASES[i].text, strlen(CASES[i].text), PROTOCOL_STALENESS_MAX_NS, &ns),
                         CASES[i].rc);
        assert_int_equal(ns, CASES[i].ns);
    }
}

/* ---- texts ---- */

static void json_tape__every_prefix_of_a_line__a_fault_and_no_crash(void **state) {
    static const char LINE[] =
        "{\"a\": [1, -2.5e3, \"x\\u00e9\\ud83d\\ude00\", true, false, null, {\"b\": {}}], \"c\": \"\\\"\"}";
    struct json_tape t = { 0 };
    (void)state;
    for (size_t size = 0; size < strlen(LINE); size++) {
        /* In a block of its own size, so that a sanitizer sees a read behind it. */
        char *copy = malloc(size + 1);
        memcpy(copy, LINE, size);
        assert_int_not_equal(json_tape_read(&t, copy, size), JSON_OK);
        free(copy);
    }
    assert_int_equal(json_tape_read(&t, LINE, strlen(LINE)), JSON_OK);
    assert_int_equal(t.nodes[0].next, t.n_nodes);
    json_tape_free(&t);
}

static void json_append__any_text__stable_and_read_by_cjson_as_the_same(void **state) {
    static const char LINE[] =
        "{\"a\":[1,-2.5e3,\"x\\u00e9\\ud83d\\ude00\\n\",true,false,null,{\"b\":{}}],\"c\":\"\\\"\\/\"}";
    struct json_tape t = { 0 };
    struct buf out = { 0 }, again = { 0 };
    (void)state;
    assert_int_equal(json_tape_read(&t, LINE, strlen(LINE)), JSON_OK);
    json_append(&out, &t, 0);
    cJSON *in = cJSON_Parse(LINE), *back = cJSON_ParseWithLength(out.data, out.size);
    assert_non_null(in);
    assert_true(cJSON_Compare(in, back, 1));
    cJSON_Delete(in);
    cJSON_Delete(back);
    assert_int_equal(json_tape_read(&t, out.data, out.size), JSON_OK);
    json_append(&again, &t, 0);
    assert_int_equal(out.size, again.size);
    assert_memory_equal(out.data, again.data, out.size);
    buf_free(&out);
    buf_free(&again);
    json_tape_free(&t);
}

static void json_tape__hundred_thousand_names__duplicate_found_at_once(void **state) {
    struct json_tape t = { 0 };
    struct buf text = { 0 };
    (void)state;
    buf_add_char(&text, '{');
    for (int i = 0; i < 100000; i++)
        buf_printf(&text, "%s\"%d\":0", i ? "," : "", i * 7 % 100000);
    buf_add_text(&text, "}");
    assert_int_equal(json_tape_read(&t, text.data, text.size), JSON_OK);
    text.size--;
    buf_add_text(&text, ",\"\\u0037\":0}");
    assert_int_equal(json_tape_read(&t, text.data, text.size), JSON_DUPLICATE);
    buf_free(&text);
    json_tape_free(&t);
}

static void json_quote__bytes_that_are_not_utf8__still_json(void **state) {
    struct buf out = { 0 };
    (void)state;
    for (int round = 0; round < 2000; round++) {
        char bytes[40];
        size_t size = next_random() % sizeof(bytes);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)next_random();
        struct json_tape t = { 0 };
        out.size = 0;
        json_quote(&out, bytes, size);
        assert_int_equal(json_tape_read(&t, out.data, out.size), JSON_OK);
        json_tape_free(&t);
    }
    buf_free(&out);
}

static void append_ms__nanoseconds__at_most_three_decimals_rounded_up(void **state) {
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
        struct buf out = { 0 };
        append_ms(&out, CASES[i].ns);
        buf_add_char(&out, '\0');
        assert_string_equal(out.data, CASES[i].text);
        buf_free(&out);
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
        if (size + piece_len > room)
            return size;
        memmove(line + at + piece_len, line + at, size - at);
        memcpy(line + at, piece, piece_len);
        return size + piece_len;
    case 2: /* change a byte */
        if (size > 0)
            line[at] = (char)next_random();
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
    if (rc == 0)
        node_handle(n, &q);
    if (rc < 0) {
        assert_true(why[0] != '\0');
        assert_int_equal(n->protocol.out.size, 0);
        return;
    }
    assert_is_answer(&n->protocol.out, number);
    assert_int_equal(n->protocol.next_msg_id, number + 1);
    n->protocol.out.size = 0;
}

static void open_node(struct node *n) {
    *n = (struct node){ .opts = { .ryw_wait_ns = 1000000, .ring_bytes = 1 << 20, .table_bytes = 4 << 20 },
                        .out_fd = -1 };
    answer_line(n, REQUESTS[N_REQUESTS - 1], strlen(REQUESTS[N_REQUESTS - 1]));
    assert_non_null(n->domain);
}

static void close_node(struct node *n) {
    node_domain_close(n);
    protocol_free(&n->protocol);
    json_tape_free(&n->stored);
    buf_free(&n->key);
    buf_free(&n->value);
    buf_free(&n->other);
    buf_free(&n->sorted);
    buf_free(&n->other_sorted);
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
        for (uint64_t i = next_random() % 4; i > 0; i--)
            size = mutate(line, size, sizeof(line));
        char *copy = malloc(size + 1);
        memcpy(copy, line, size);
        answer_line(&n, copy, size);
        free(copy);
    }
    close_node(&n);
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
    /* Followers an hour behind: whatever a session had seen at the leader, no follower could serve it any more. */
    n.opts.delays[0] = (struct node_delay){ "n2", 2, PROTOCOL_WAIT_MAX_NS };
    n.opts.delays[1] = (struct node_delay){ "n3", 2, PROTOCOL_WAIT_MAX_NS };
    n.opts.n_delays = 2;
    answer_line(&n, REQUESTS[N_REQUESTS - 1], strlen(REQUESTS[N_REQUESTS - 1]));
    answer_line(&n, WRITE, strlen(WRITE));
    answer_line(&n, LEADER, strlen(LEADER));
    assert_int_equal(n.reads[TIDE_REASON_REDIRECTED], 1);
    answer_line(&n, FOLLOWER, strlen(FOLLOWER));
    assert_int_equal(n.reads[TIDE_REASON_WITHIN_BOUND], 1);
    close_node(&n);
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
        cmocka_unit_test(args_duration__units__in_nanoseconds),
        cmocka_unit_test(args_duration__nonsense__refused),
        cmocka_unit_test(args_duration_text__any_time__read_back_within_rounding),
        cmocka_unit_test(args_size__units_and_nonsense__told_apart),
        cmocka_unit_test(json_number__double_written_shortest__exact),
        cmocka_unit_test(json_number__18_random_digits__rarely_exact_and_then_true),
        cmocka_unit_test(json_number_canonical__spellings_of_one_value__one_text),
        cmocka_unit_test(json_number_ms__part_of_a_nanosecond__rounded_up),
        cmocka_unit_test(json_tape__every_prefix_of_a_line__a_fault_and_no_crash),
        cmocka_unit_test(json_append__any_text__stable_and_read_by_cjson_as_the_same),
        cmocka_unit_test(json_tape__hundred_thousand_names__duplicate_found_at_once),
        cmocka_unit_test(json_quote__bytes_that_are_not_utf8__still_json),
        cmocka_unit_test(append_ms__nanoseconds__at_most_three_decimals_rounded_up),
        cmocka_unit_test(node_handle__mutated_requests__one_answer_or_one_reason_each),
        cmocka_unit_test(node_handle__reads_of_other_clients__do_not_fence_one_another),
        cmocka_unit_test(node_error_code__fate_unknown__never_a_definite_code),
    };
    return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
