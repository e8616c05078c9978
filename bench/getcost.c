/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does one tide_get cost beside an unsynchronised table? bench/peers with the rows that need no package, and some that
 * are about this question alone. */
#include "bench/peers/stage.h"

static const struct peer *const peers[PEERS] = { &peer_loop_alone, &peer_plain, &peer_tide, &peer_other };

int main(int argc, char **argv) {
    static struct peer_settings settings;
    peer_settings_default(&settings, peers);
    settings.name = "getcost";
    settings.about = "Measures tide_get (bound check, session, copy) against an unsynchronised open-addressing table:\n"
                     "16-byte keys, one thread, slices in turn.\n";
    settings.keys.n = 2;
    settings.value_sizes.n = 1;
    settings.dists = 1u << BENCH_UNIFORM;
    settings.parts = PART_GETS;
    settings.cost = 1;
    return peer_run(&settings, argc, argv);
}
