/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/table.h"

void table_note_damage(const struct table *t, const void *at, const char *what) {
    const char *none = NULL;
    /* MO(table.damage): sequentially consistent; it happens once. */
    if (t->own != NULL && atomic_compare_exchange_strong(&t->own->damage, &none, what)) {
        atomic_store(&t->own->damage_off, (uint64_t)((const uint8_t *)at - t->base));
    }
}
