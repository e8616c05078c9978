/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/limbo.h"

#include <stdlib.h>

bool limbo_more_room(struct table_writer *w) {
    struct limbo *l = &w->open;
    size_t room = l->room == 0 ? 4096 : l->room * 2;
    uint64_t *items = realloc(l->items, room * sizeof(*items));
    if (items != NULL) {
        l->items = items;
        l->room = room;
    }
    return items != NULL;
}
