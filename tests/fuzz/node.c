/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines of the JSON-lines protocol: read, handled by a node with two followers, answered. Every answer has to be JSON again. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tools/node/node.h"

static struct node node;

static void handle(const char *line, size_t size) {
    struct request q;
    char why[200];
    if (protocol_read(&node.protocol, line, size, 0, &q, why, sizeof(why)) != 0) {
        return;
    }
    /* Requests that wait are not what this fuzzer looks for. */
    static const char *const waits[] = { "wait_ms", "max_staleness_ms", "last_write_index" };
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        uint32_t n = json_find(&node.protocol.tape, q.body, waits[i]);
        size_t digits;
        if (n != 0 && (json_text(&node.protocol.tape, n, &digits), digits > 1)) {
            return;
        }
    }
    node_handle(&node, &q);
}

static void check_answers(void) {
    static struct json_tape tape;
    struct buf *text = &node.protocol.out.text;
    for (size_t at = 0; at < text->size;) {
        const char *end = memchr(text->data + at, '\n', text->size - at);
        FUZZ_EXPECT(end != NULL);
        size_t size = (size_t)(end - text->data) - at;
        FUZZ_EXPECT(json_tape_read(&tape, text->data + at, size) == JSON_OK);
        at += size + 1;
    }
    text->size = 0;
}

static void end(void) {
    node_end(&node);
}

static void start(void) {
    static const char init[] =
        "{\"src\":\"c\",\"dest\":\"n1\",\"body\":{\"type\":\"init\",\"msg_id\":1,\"node_id\":\"n1\","
        "\"node_ids\":[\"n1\",\"n2\",\"n3\"]}}";
    node = (struct node){ .opts = { .ryw_wait_ns = 1000, .ring_bytes = 64u << 10, .table_bytes = 1u << 20 },
                          .out_fd = open("/dev/null", O_WRONLY | O_CLOEXEC) };
    handle(init, sizeof(init) - 1);
    FUZZ_EXPECT(node.domain != NULL);
    check_answers();
    atexit(end);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (node.domain == NULL) {
        start();
    }
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(bytes + at, '\n', size - at);
        size_t line = end != NULL ? (size_t)(end - bytes) - at : size - at;
        handle((const char *)bytes + at, line);
        check_answers();
        at += line + 1;
    }
    return 0;
}
