/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One text of JSON: read, written again in both spellings, which have to be JSON that says the same; and as a line of the protocol. */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tools/lib/utf8.h"
#include "tools/node/protocol.h"

/* The output's spelling is JSON that says the same: once more written it has the same bytes, and equal values have one canonical form. */
static void again(const struct json_tape *t) {
    static struct json_tape second;
    static struct buf once, twice, form, same_form;
    once.size = twice.size = form.size = same_form.size = 0;
    json_append(&once, t, 0);
    FUZZ_EXPECT(json_tape_read(&second, once.data, once.size) == JSON_OK);
    FUZZ_EXPECT(utf8_is_valid(once.data, once.size));
    json_append(&twice, &second, 0);
    FUZZ_EXPECT(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    json_append_canonical(&form, t, 0);
    json_append_canonical(&same_form, &second, 0);
    FUZZ_EXPECT(form.size == same_form.size && memcmp(form.data, same_form.data, form.size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct json_tape tape;
    static struct protocol protocol;
    struct request q;
    char why[200];
    if (json_tape_read(&tape, (const char *)bytes, size) == JSON_OK && json_find_inexact(&tape, 0) == 0) {
        again(&tape);
    }
    (void)protocol_read(&protocol, (const char *)bytes, size, size % 64 == 63, &q, why, sizeof(why));
    protocol.out.text.size = 0;
    return 0;
}
