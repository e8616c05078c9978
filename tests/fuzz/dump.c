/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `tide dump` of a log and of tables whose words are wrong, with options that the input chooses.
 *
 * The dump takes megabytes for each log that it reads; fresh memory for them would be half of the time. With libFuzzer the linker leads its
 * posix_memalign() here (Makefile): one block of that size stays, poisoned for AddressSanitizer while it is free.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/layout.h"

#include "tests/fuzz/world.h"
#include "tools/tools.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
int __real_posix_memalign(void **to, size_t align, size_t size);
void __real_free(void *block);
int __wrap_posix_memalign(void **to, size_t align, size_t size);
void __wrap_free(void *block);

static void *kept;
static bool is_taken;

int __wrap_posix_memalign(void **to, size_t align, size_t size) {
    if (size != sizeof(struct log_segment) || is_taken ||
        (kept == NULL && __real_posix_memalign(&kept, align, size) != 0)) {
        return __real_posix_memalign(to, align, size);
    }
    __asan_unpoison_memory_region(kept, size);
    is_taken = true;
    *to = kept;
    return 0;
}

void __wrap_free(void *block) {
    if (block == NULL || block != kept) {
        __real_free(block);
        return;
    }
    FUZZ_EXPECT(is_taken); /* or it was freed twice */
    __asan_poison_memory_region(kept, sizeof(struct log_segment));
    is_taken = false;
}
#endif
#endif

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    (void)world();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static char options[][16] = { "--json",   "--full",    "--from=20", "--key=key00013",
                                  "--at=300", "--limit=4", "--no-ring" };
    struct fuzz_input in = { bytes, size };
    (void)world();
    char command[] = "tide dump", name[32];
    char *argv[8] = { command, name };
    int argc = 2;
    uint64_t how = fuzz_take(&in, 1);
    snprintf(name, sizeof(name), "%s", world_name());
    for (unsigned i = 0; i < 2; i++, how /= 8) {
        if (how % 8 < sizeof(options) / sizeof(options[0])) {
            argv[argc++] = options[how % 8];
        }
    }
    argv[argc] = NULL;
    world_change(&in, 32);
    static FILE *nothing;
    if (nothing == NULL) {
        nothing = fopen("/dev/null", "w");
    }
    FILE *out = stdout;
    stdout = nothing;
    int code = tool_dump(argc, argv);
    stdout = out;
    FUZZ_EXPECT(code >= 0 && code < 16);
    world_mend();
    return 0;
}
