/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/stress_replicas.h"

int main(int argc, char **argv) {
    return stress_main(argc, argv, "stress_replicas",
                       "Reads under bounds while replicas start, stop, fall behind, are lapped, and leaders change.",
                       stress_replicas_round);
}
