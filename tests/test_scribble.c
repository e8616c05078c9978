/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared memory is input: whatever word another process changes, nobody dies, hangs or grows. `make stress` runs it longer. */
#include "tests/lib/help.h"
#include "tests/lib/scribble.h"

static void scribble__every_word_of_the_layout__nobody_dies_hangs_or_grows(void **state) {
    (void)state;
    /* A changed word lets two threads at the same bytes at once. Nobody may die of that, and it is a race all the same. */
    if (HELP_THREAD_SANITIZER) {
        print_message("skipped: the changed words make races, and ThreadSanitizer ends a process at the first\n");
        skip();
    }
    const struct scribble_options o = { .seed = 9, .seconds = 5 };
    assert_int_equal(scribble_run(&o), 0);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scribble__every_word_of_the_layout__nobody_dies_hangs_or_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
