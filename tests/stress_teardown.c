/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/stress_teardown.h"

int main(int argc, char **argv) {
    return stress_main(argc, argv, "stress_teardown",
                       "Domains, replicas and readers end in any order while others use them.", stress_teardown_round);
}
