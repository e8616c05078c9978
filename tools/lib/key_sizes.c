/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/key_sizes.h"

void key_sizes_json(struct json_out *j, const struct tide_size sizes[TIDE_SIZES]) {
    json_out_open(j, "sizes", '[');
    for (uint32_t k = 0; k < TIDE_SIZES; k++) {
        if (sizes[k].keys == 0) {
            continue;
        }
        json_out_open(j, NULL, '{');
        if (k + 1 < TIDE_SIZES) {
            json_out_u64(j, "up_to", UINT64_C(16) << k);
        } else {
            json_out_null(j, "up_to");
        }
        json_out_u64(j, "keys", sizes[k].keys);
        json_out_u64(j, "bytes", sizes[k].bytes);
        json_out_close(j, '}');
    }
    json_out_close(j, ']');
}
