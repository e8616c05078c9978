/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a follower makes before its turn takes no memory that the leader did not count on. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define KEY_BYTES 16u
#define VALUE_MOST (64 * KIB)
#define SIZES 16u /* of 4 KiB and more: of those a follower makes one ahead */
#define HOUR (UINT64_C(3600) * 1000000000)

static void key_of(const char *kind, uint64_t k, char key[KEY_BYTES + 1]) {
    snprintf(key, KEY_BYTES + 1, "%s%012llu", kind, (unsigned long long)k);
}

static size_t value_of(uint32_t size) {
    return 4 * KIB + (VALUE_MOST - 4 * KIB) / SIZES * size;
}

/* One key for each of some large sizes, deleted and put again: the leader never has two of a size, but a follower that makes
 * the put before it takes the delete has, of each. What it is short of then is more than what is kept. */
static void apply__nearly_full_table__follower_has_room_where_the_leader_has(void **state) {
    (void)state;
    struct tide *d = help_open(MIB, 4 * MIB, UINT64_C(60) * 1000000000);
    help_leader(d);
    uint32_t id = help_follower(d, 0);
    uint8_t *value = calloc(1, VALUE_MOST);
    assert_non_null(value);
    char key[KEY_BYTES + 1];
    struct tide_token token;
    for (uint32_t c = 0; c < SIZES; c++) {
        key_of("size", c, key);
        assert_int_equal(tide_put(d, NULL, key, KEY_BYTES, value, value_of(c), &token), 0);
    }
    uint64_t filled = 0;
    for (int error = 0; error != TIDE_ERR_FULL; filled++) {
        key_of("fill", filled, key);
        error = tide_put(d, NULL, key, KEY_BYTES, value, 100, error == 0 ? &token : NULL);
        assert_true(error == 0 || error == TIDE_ERR_FULL);
    }
    assert_true(filled > 5000);
    for (int round = 0; round < 3; round++) { /* each is less than the ring */
        assert_int_equal(tide_wait_applied(d, &token, 2, UINT64_MAX), 0);
        assert_int_equal(tide_replica_set_delay(d, id, HOUR), 0);
        for (uint32_t c = 0; c < SIZES; c++) {
            key_of("size", c, key);
            assert_int_equal(tide_delete(d, NULL, key, KEY_BYTES, NULL), 0);
            assert_int_equal(tide_put(d, NULL, key, KEY_BYTES, value, value_of(c), &token), 0);
        }
        assert_int_equal(tide_replica_set_delay(d, id, 0), 0);
    }
    assert_int_equal(tide_wait_applied(d, &token, 2, UINT64_MAX), 0);
    assert_int_equal(help_state(d, id), TIDE_STATE_SERVING);
    assert_int_equal(help_info(d, id).joins, 0); /* nor did it have to begin anew */
    help_assert_equal_digests(d);
    free(value);
    assert_int_equal(tide_close(d), 0);
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(apply__nearly_full_table__follower_has_room_where_the_leader_has),
    };
    return cmocka_run_group_tests_name("apply_ahead", tests, NULL, NULL);
}
