/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All peers, in the order of their rows. In a file of its own: a test links none of their libraries and has another
 * list. */
#include "bench/peers/peer.h"

const struct peer *const peers[PEERS] = { &peer_loop_alone, &peer_plain, &peer_tide, &peer_other,
                                          &peer_lfht,       &peer_ckht,  &peer_lmdb, &peer_redis };
