/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words of the log and bytes of the ring are wrong under a watch, which starts anywhere. */
#include <stdlib.h>
#include <string.h>

#include "shm/layout.h"
#include "tests/fuzz/world.h"

static struct tide *d;

static void leave(void) {
    (void)tide_close(d);
}

/* Bytes of the ring itself: headers lie everywhere in it. */
static void change_ring(struct fuzz_input *in) {
    struct log_segment *log = (struct log_segment *)world()->log;
    uint64_t off = log->ring_off, bytes = log->ring_bytes;
    if (off >= world()->log_bytes || bytes > world()->log_bytes - off || bytes == 0) {
        return;
    }
    uint64_t at = fuzz_take(in, 3) % bytes;
    world()->log[off + at] = (uint8_t)fuzz_take(in, 1);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    (void)world();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct fuzz_input in = { bytes, size };
    if (d == NULL) {
        d = world_open();
        FUZZ_EXPECT(d != NULL);
        atexit(leave);
    }
    struct tide_info info = TIDE_INFO_INIT;
    FUZZ_EXPECT(tide_info(d, &info) == 0);
    struct tide_watch_opts o = TIDE_WATCH_OPTS_INIT;
    uint64_t how = fuzz_take(&in, 1);
    o.flags = how % 4 == 0 ? TIDE_WATCH_INITIAL : 0;
    o.prefix = "key00";
    o.prefix_len = how % 3 == 0 ? 5 : 0;
    o.from.incarnation = info.incarnation;
    o.from.index = fuzz_take(&in, 2) % 1200;
    for (uint64_t n = fuzz_take(&in, 1) % 16; n > 0 && in.left > 0; n--) {
        change_ring(&in);
    }
    world_change(&in, 16);
    struct tide_watch *w = NULL;
    if (tide_watch_open(d, &o, &w) == 0) {
        struct tide_event e;
        uint64_t last = 0;
        for (unsigned i = 0; i < 2000; i++) {
            memset(&e, 0, sizeof(e));
            e.size = sizeof(e);
            if (tide_watch_next(w, &e, 0) != 0) {
                break;
            }
            fuzz_read(e.key, e.key_len);
            fuzz_read(e.value, e.value_size);
            FUZZ_EXPECT(o.flags != 0 || e.index >= last); /* what INITIAL tells first has any order */
            last = e.index;
        }
        (void)tide_watch_close(w);
    }
    world_mend();
    return 0;
}
