/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How does Tidemark stand beside what one would use instead? */
#include "bench/peers/stage.h"

static const struct peer *const peers[PEERS] = { &peer_loop_alone, &peer_plain, &peer_tide, &peer_other,
                                                 &peer_lfht,       &peer_ckht,  &peer_lmdb, &peer_redis };

int main(int argc, char **argv) {
    static struct peer_settings settings;
    peer_settings_default(&settings, peers);
    return peer_run(&settings, argc, argv);
}
