/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/stress_writers.h"

int main(int argc, char **argv) {
    return stress_main(argc, argv, "stress_writers",
                       "Many writers at once: no index twice or left out, no update lost, no batch in parts.",
                       stress_writers_round);
}
