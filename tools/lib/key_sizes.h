/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Live keys by size, for programs. One thread for each writer of JSON. */
#ifndef TIDE_TOOLS_KEY_SIZES_H
#define TIDE_TOOLS_KEY_SIZES_H

#include "engine/tidemark.h"
#include "tools/lib/json_out.h"

/* "sizes": an object for each size that keys have: up_to (bytes of key and value; null: all that are larger), keys, and the bytes of all of
 * them. */
void key_sizes_json(struct json_out *j, const struct tide_size sizes[TIDE_SIZES]);

#endif
