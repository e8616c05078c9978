/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Shared memory is input: whichever word another process changes, no process dies, hangs or grows. `make stress` runs it longer. */
#include "tests/lib/help.h"
#include "tests/lib/scribble.h"

static void scribble__every_word_of_the_layout__nobody_dies_hangs_or_grows(void **state) {
    (void)state;
    /* A changed slot, link or length takes a thread to bytes of another node, which a thread of the same process may be filling. The library
     * lives with what it finds there; ThreadSanitizer calls it a race. It sees all the other words changed. */
    const struct scribble_options o = { .seed = 9, .seconds = 8, .no_leads = HELP_THREAD_SANITIZER };
    assert_int_equal(scribble_run(&o), 0);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scribble__every_word_of_the_layout__nobody_dies_hangs_or_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
