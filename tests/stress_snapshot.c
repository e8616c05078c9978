/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/stress_snapshot.h"

int main(int argc, char **argv) {
    return stress_main(argc, argv, "stress_snapshot",
                       "Snapshots during a write storm: each must be the state of exactly its index.",
                       stress_snapshot_round);
}
