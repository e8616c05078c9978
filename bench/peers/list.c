/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All peers, in the order of their rows. Alone in this file: a test that links none of their libraries has another list. */
#include "bench/peers/peer.h"

const struct peer *const peers[PEERS] = { &peer_loop_alone, &peer_plain, &peer_tide, &peer_other,
                                          &peer_lfht,       &peer_ckht,  &peer_lmdb, &peer_redis };
