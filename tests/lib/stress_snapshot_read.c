/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The readers of the snapshot stress. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/stress_snapshot.h"

/* What one snapshot showed of one group. */
struct snap_seen {
    bool there[SNAP_KEYS_MAX];
    uint64_t generation[SNAP_KEYS_MAX];
    uint64_t version[SNAP_KEYS_MAX];
};

struct snap_session {
    struct snap_world *w;
    struct tide_reader *r;
    uint64_t rng;
    uint64_t last_index; /* sessions never go back */
    struct stress_pending pending;
    uint64_t snapshots, refused;
    uint8_t *buf; /* SNAP_KEYS_MAX values */
};

static void snap_see(struct snap_seen *seen, const struct snap_world *w, uint32_t group, uint32_t key,
                     const void *value, size_t size, uint64_t version) {
    uint64_t generation;
    if (!stress_value_check(value, size, snap_value_tag(group, key), &generation) ||
        size != snap_value_size(w, group, key, generation)) {
        stress_violation("group %u key %u, version %llu: %zu bytes that nobody wrote", group, key,
                         (unsigned long long)version, size);
        return;
    }
    if (seen->there[key]) {
        stress_violation("group %u key %u: visited twice", group, key);
    }
    seen->there[key] = true;
    seen->generation[key] = generation;
    seen->version[key] = version;
}

/* The snapshot shows exactly one generation. Its batch has consecutive indexes, none above the snapshot's. */
static void snap_judge(struct snap_session *s, uint32_t group, const struct snap_seen *seen, uint64_t index,
                       const char *what) {
    struct snap_world *w = s->w;
    uint64_t generation = seen->there[0] ? seen->generation[0] : 0, first = seen->there[0] ? seen->version[0] : 0;
    for (uint32_t k = 0; k < w->keys; k++) {
        bool there = snap_present(w, group, k, generation);
        if (seen->there[k] != there ||
            (there && (seen->generation[k] != generation || seen->version[k] != first + k))) {
            stress_violation(
                "%s: group %u at index %llu is generation %llu of index %llu, but key %u is %s, generation %llu of "
                "index %llu",
                what, group, (unsigned long long)index, (unsigned long long)generation, (unsigned long long)first, k,
                seen->there[k] ? "there" : "not there", (unsigned long long)seen->generation[k],
                (unsigned long long)seen->version[k]);
            return;
        }
    }
    if (generation != 0 && first + w->keys - 1 > index) {
        stress_violation("%s: group %u at index %llu shows a batch of indexes %llu to %llu", what, group,
                         (unsigned long long)index, (unsigned long long)first,
                         (unsigned long long)(first + w->keys - 1));
    }
    stress_history_check(&s->pending, &w->group[group], generation, 0, index, what);
}

static struct tide_bound snap_bound(struct snap_session *s) {
    struct tide_bound b = TIDE_BOUND_INIT;
    switch (stress_below(&s->rng, 5)) {
    case 0: /* linearizable */
        b.wait_ns = stress_below(&s->rng, 2) * 100000;
        break;
    case 1:
        b.max_staleness_ns = TIDE_UNBOUNDED;
        b.fallback = TIDE_FALLBACK_STALE;
        break;
    case 2:
        b.max_staleness_ns = 1000000;
        b.fallback = TIDE_FALLBACK_WAIT;
        b.wait_ns = 2000000;
        break;
    case 3:
        b.max_lag = stress_below(&s->rng, 100);
        b.max_staleness_ns = TIDE_UNBOUNDED;
        b.fallback = TIDE_FALLBACK_ERROR;
        break;
    default:
        b.max_staleness_ns = TIDE_UNBOUNDED;
    }
    return b;
}

/* True: a replica served the read. */
static bool snap_served(struct snap_session *s, int error, const struct tide_bound *b, const struct tide_answer *a,
                        const char *what) {
    if (error == 0) {
        if (a->index < s->last_index && !a->stale) {
            stress_violation("%s: at index %llu, after %llu in the same session", what, (unsigned long long)a->index,
                             (unsigned long long)s->last_index);
        }
        s->last_index = a->index > s->last_index ? a->index : s->last_index;
        s->snapshots++;
        return true;
    }
    /* NO_REPLICA: every replica that this reader may use is joining anew. */
    bool may = (error == TIDE_ERR_REFUSED && b->fallback == TIDE_FALLBACK_ERROR) ||
               (error == TIDE_ERR_TIMEOUT && b->fallback == TIDE_FALLBACK_WAIT) ||
               (error == TIDE_ERR_NO_REPLICA && b->fallback != TIDE_FALLBACK_LEADER);
    if (!may) {
        stress_violation("%s, fallback %u: %s", what, b->fallback, tide_strerror(error));
    }
    s->refused++;
    return false;
}

static void snap_get_group(struct snap_session *s, uint32_t group, uint64_t index, bool peek) {
    struct snap_seen seen = { 0 };
    for (uint32_t k = 0; k < s->w->keys; k++) {
        uint8_t key[SNAP_KEY_MAX];
        size_t len = snap_key(key, s->w, group, k), size = 0;
        uint64_t version = 0;
        const void *value = s->buf;
        int error = peek ? tide_section_peek(s->r, key, len, &value, &size, &version)
                         : tide_section_get(s->r, key, len, s->buf, SNAP_VALUE_MAX, &size, &version);
        if (error == 0) {
            snap_see(&seen, s->w, group, k, value, size, version);
        } else if (error != TIDE_ERR_NOT_FOUND) {
            stress_violation("section get: %s", tide_strerror(error));
        }
    }
    snap_judge(s, group, &seen, index, peek ? "peek" : "section get");
}

/* ---- scans -------------------------------------------------------------------------------------------------------- */

struct snap_scan {
    struct snap_session *s;
    struct snap_seen groups[SNAP_GROUPS];
    uint64_t count, lo, hi;
    uint64_t seen[(SNAP_CHURN_MAX * 2 + SNAP_CHURN_BATCH * 2) / 64 + 1]; /* by number, modulo: no key comes twice */
};

static int snap_scan_key(void *ctx, const void *key, size_t key_len, const void *value, size_t size, uint64_t version) {
    struct snap_scan *scan = ctx;
    struct snap_world *w = scan->s->w;
    const char *text = key;
    uint64_t number;
    if (key_len > 0 && text[0] == 'n') {
        const uint64_t bits = sizeof(scan->seen) * 8;
        if (!stress_value_check(value, size, SNAP_CHURN_TAG, &number)) {
            stress_violation("scan: a churn key's value that nobody wrote, version %llu", (unsigned long long)version);
            return 1;
        }
        uint8_t expected[SNAP_KEY_MAX];
        if (snap_churn_key(expected, number) != key_len || memcmp(expected, key, key_len) != 0) {
            stress_violation("scan: the value of churn key %llu under another key", (unsigned long long)number);
        }
        if (scan->seen[number % bits / 64] >> (number % 64) & 1) {
            stress_violation("scan: churn key %llu twice", (unsigned long long)number);
        }
        scan->seen[number % bits / 64] |= UINT64_C(1) << (number % 64);
        scan->lo = scan->count == 0 || number < scan->lo ? number : scan->lo;
        scan->hi = scan->count == 0 || number + 1 > scan->hi ? number + 1 : scan->hi;
        scan->count++;
        return 0;
    }
    unsigned group = 0, k = 0;
    char head[17] = { 0 };
    memcpy(head, key, key_len < 16 ? key_len : 16);
    if (sscanf(head, "group%3u/key%4u", &group, &k) != 2 || group >= w->groups || k >= w->keys) {
        stress_violation("scan: a key that nobody wrote");
        return 1;
    }
    snap_see(&scan->groups[group], w, group, k, value, size, version);
    return 0;
}

static void snap_scan_all(struct snap_session *s, uint64_t index) {
    struct snap_scan *scan = calloc(1, sizeof(*scan));
    if (scan == NULL) {
        return;
    }
    scan->s = s;
    stress_at("tide_section_scan");
    int error = tide_section_scan(s->r, snap_scan_key, scan);
    if (error != 0) {
        stress_violation("tide_section_scan: %d", error);
    }
    for (uint32_t g = 0; g < s->w->groups && error == 0; g++) {
        snap_judge(s, g, &scan->groups[g], index, "scan");
    }
    if (scan->hi - scan->lo != scan->count) {
        stress_violation("scan at index %llu: %llu churn keys from %llu to before %llu", (unsigned long long)index,
                         (unsigned long long)scan->count, (unsigned long long)scan->lo, (unsigned long long)scan->hi);
    } else if (scan->count != 0) {
        stress_history_check(&s->pending, &s->w->churn, scan->lo + scan->hi, scan->lo, index, "scan of churn");
    }
    free(scan);
}

/* ---- what readers do ---------------------------------------------------------------------------------------------- */

static void snap_section(struct snap_session *s) {
    struct tide_bound b = snap_bound(s);
    struct tide_answer a = TIDE_ANSWER_INIT;
    stress_at("tide_section_begin");
    if (!snap_served(s, tide_section_begin(s->r, &b, &a), &b, &a, "tide_section_begin")) {
        return;
    }
    uint8_t key[SNAP_KEY_MAX];
    uint32_t group = (uint32_t)stress_below(&s->rng, s->w->groups), k = (uint32_t)stress_below(&s->rng, s->w->keys);
    size_t len = snap_key(key, s->w, group, k), size = 0, size_after = 0;
    const void *value = NULL, *after = NULL;
    uint64_t version = 0, version_after = 0;
    int found = tide_section_peek(s->r, key, len, &value, &size, &version);
    uint64_t rounds = 1 + stress_below(&s->rng, 4);
    for (uint64_t i = 0; i < rounds; i++) {
        snap_get_group(s, (uint32_t)stress_below(&s->rng, s->w->groups), a.index, stress_below(&s->rng, 2) == 0);
        if (stress_below(&s->rng, 8) == 0) {
            stress_sleep_ns(stress_below(&s->rng, 3000000)); /* writers go on above this index */
        }
        if (stress_below(&s->rng, 16) == 0) {
            snap_scan_all(s, a.index);
        }
    }
    /* Bytes that a section has shown neither change nor move. */
    int found_after = tide_section_peek(s->r, key, len, &after, &size_after, &version_after);
    uint64_t generation;
    if (found != found_after || value != after || size != size_after || version != version_after ||
        (found == 0 && !stress_value_check(value, size, snap_value_tag(group, k), &generation))) {
        stress_violation("peek: group %u key %u changed inside a section at index %llu: version %llu, then %llu", group,
                         k, (unsigned long long)a.index, (unsigned long long)version,
                         (unsigned long long)version_after);
    }
    tide_section_end(s->r);
}

static void snap_mget(struct snap_session *s) {
    struct tide_bound b = snap_bound(s);
    struct tide_answer a = TIDE_ANSWER_INIT;
    struct tide_mget_item items[SNAP_KEYS_MAX] = { 0 };
    uint8_t keys[SNAP_KEYS_MAX][SNAP_KEY_MAX];
    uint32_t group = (uint32_t)stress_below(&s->rng, s->w->groups);
    for (uint32_t k = 0; k < s->w->keys; k++) {
        items[k].key = keys[k];
        items[k].key_len = snap_key(keys[k], s->w, group, k);
        items[k].buf = s->buf + k * SNAP_VALUE_MAX;
        items[k].buf_size = SNAP_VALUE_MAX;
    }
    stress_at("tide_mget");
    if (!snap_served(s, tide_mget(s->r, items, s->w->keys, &b, &a), &b, &a, "tide_mget")) {
        return;
    }
    struct snap_seen seen = { 0 };
    for (uint32_t k = 0; k < s->w->keys; k++) {
        if (items[k].result == 0) {
            snap_see(&seen, s->w, group, k, items[k].buf, items[k].value_size, items[k].version);
        } else if (items[k].result != TIDE_ERR_NOT_FOUND) {
            stress_violation("tide_mget: an item has %s", tide_strerror(items[k].result));
        }
    }
    snap_judge(s, group, &seen, a.index, "tide_mget");
}

static bool snap_open(struct snap_session *s) {
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    o.policy = (enum tide_policy)stress_below(&s->rng, 3);
    if (stress_below(&s->rng, 3) == 0) {
        o.home = (int32_t)stress_below(&s->rng, s->w->setup.followers + 1);
    }
    if (stress_below(&s->rng, 4) == 0) {
        o.replicas = UINT64_C(2) << stress_below(&s->rng, s->w->setup.followers); /* one follower alone */
    }
    int error = tide_reader_open(s->w->d, &o, &s->r);
    if (error != 0) {
        stress_violation("tide_reader_open: %s", tide_strerror(error));
    }
    s->last_index = 0;
    return error == 0;
}

void *snap_reader(void *worker) {
    struct snap_worker *self = worker;
    struct snap_session *s = calloc(1, sizeof(*s));
    uint8_t *buf = malloc((size_t)SNAP_KEYS_MAX * SNAP_VALUE_MAX);
    if (s != NULL && buf != NULL) {
        s->w = self->w;
        s->rng = self->rng;
        s->buf = buf;
        while (!atomic_load(&s->w->team.stop) && !stress_failed() && snap_open(s)) {
            for (uint64_t n = stress_below(&s->rng, 200); n > 0 && !atomic_load(&s->w->team.stop); n--) {
                if (stress_below(&s->rng, 2) == 0) {
                    snap_section(s);
                } else {
                    snap_mget(s);
                }
                stress_history_recheck(&s->pending, false);
            }
            tide_reader_close(s->r);
        }
        stress_at("waiting for the writers");
        while (!atomic_load(&s->w->reading.stop)) {
            stress_sleep_ns(1000000);
        }
        stress_history_recheck(&s->pending, true);
        stress_count("snapshots", s->snapshots);
        stress_count("refused", s->refused);
        stress_count("states checked", s->pending.checked);
        stress_count("states skipped", s->pending.skipped);
    }
    free(buf);
    free(s);
    return NULL;
}
