/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide dump` of a log and of tables whose words are wrong, with options that the input chooses. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/fuzz/world.h"
#include "tools/tools.h"

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
