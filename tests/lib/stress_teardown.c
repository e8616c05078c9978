/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/stress_teardown.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TD_SLOTS 3u
#define TD_NAMES 2u
#define TD_WORKERS 6u
#define TD_KEYS 200u
#define TD_REPLICAS 5u

struct td_slot {
    pthread_mutex_t lock;
    struct tide *d; /* NULL: closed */
};

struct td_world {
    struct stress_team team;
    struct td_slot slots[TD_SLOTS];
    char names[TD_NAMES][TIDE_NAME_MAX];
};

struct td_worker {
    struct td_world *w;
    uint64_t rng;
    uint64_t opens, closes, starts, reads, writes;
};

static void td_log(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx;
    if (level == TIDE_LOG_ERROR && (strstr(text, "damaged") != NULL || strstr(text, "digest") != NULL)) {
        stress_violation("the library reports: %s", text);
    } else if (level == TIDE_LOG_ERROR) {
        stress_count("errors logged", 1);
    }
}

/* Errors that a call may return while others open and close everything around it. */
static void td_check(int error, const char *what) {
    switch (error) {
    case TIDE_OK:
    case TIDE_ERR_CLOSED:
    case TIDE_ERR_NO_LEADER:
    case TIDE_ERR_LOST:      /* a section on a replica of another handle */
    case TIDE_ERR_NOT_LOCAL: /* the same */
    case TIDE_ERR_GONE:      /* removed by another worker */
    case TIDE_ERR_UNKNOWN:   /* the leader stopped while it did the write */
    case TIDE_ERR_NO_REPLICA:
    case TIDE_ERR_BUSY:
    case TIDE_ERR_SLOTS:
    case TIDE_ERR_FULL:
    case TIDE_ERR_TIMEOUT:
    case TIDE_ERR_REFUSED:
    case TIDE_ERR_NOT_FOUND:
        return;
    default:
        stress_violation("%s: %s", what, tide_strerror(error));
    }
}

/* ---- reads and writes --------------------------------------------------------------------------------------------- */

static size_t td_key(char out[16], uint64_t k) {
    return (size_t)snprintf(out, 16, "k%llu", (unsigned long long)k);
}

static void td_value(uint64_t k, const void *value, size_t size) {
    uint64_t made;
    if (!stress_value_check(value, size, k, &made)) {
        stress_violation("key %llu: %zu bytes that nobody wrote", (unsigned long long)k, size);
    }
}

static struct tide_bound td_bound(struct td_worker *self) {
    struct tide_bound b = TIDE_BOUND_INIT;
    b.fallback = (uint32_t)stress_below(&self->rng, 4);
    b.max_staleness_ns = stress_below(&self->rng, 2) != 0 ? TIDE_UNBOUNDED : 0;
    b.wait_ns = stress_below(&self->rng, 2) * 300000;
    return b;
}

static void td_read(struct td_worker *self, struct tide_reader *r) {
    struct tide_bound b = td_bound(self);
    struct tide_answer a = TIDE_ANSWER_INIT;
    char key[16];
    uint8_t buf[512];
    uint64_t k = stress_below(&self->rng, TD_KEYS);
    size_t len = td_key(key, k);
    stress_at("tide_get");
    int error = tide_get(r, key, len, &b, buf, sizeof(buf), &a);
    td_check(error, "tide_get");
    if (error == 0) {
        td_value(k, buf, a.value_size);
    }
    self->reads++;
}

static int td_scan_key(void *ctx, const void *key, size_t key_len, const void *value, size_t size, uint64_t version) {
    char text[16] = { 0 };
    (void)ctx;
    (void)version;
    memcpy(text, key, key_len < 15 ? key_len : 15);
    td_value(strtoull(text + 1, NULL, 10), value, size);
    return 0;
}

/* Keep a section open while replicas stop: they wait for it. */
static void td_section(struct td_worker *self, struct tide_reader *r) {
    struct tide_bound b = td_bound(self);
    stress_at("tide_section_begin");
    int error = tide_section_begin(r, &b, NULL);
    td_check(error, "tide_section_begin");
    if (error != 0) {
        return;
    }
    for (uint64_t n = stress_below(&self->rng, 10); n > 0; n--) {
        const void *value;
        char key[16];
        size_t size;
        uint64_t k = stress_below(&self->rng, TD_KEYS);
        if (tide_section_peek(r, key, td_key(key, k), &value, &size, NULL) == 0) {
            td_value(k, value, size);
        }
    }
    if (stress_below(&self->rng, 8) == 0) {
        stress_sleep_ns(stress_below(&self->rng, 2000000));
    }
    td_check(tide_section_scan(r, td_scan_key, NULL), "tide_section_scan");
    tide_section_end(r);
    self->reads++;
}

static void td_write(struct td_worker *self, struct tide *d, struct tide_reader *r) {
    char keys[3][16];
    uint8_t values[3][400];
    struct tide_op ops[3] = { 0 };
    struct tide_token token = { 0, 0 };
    uint32_t n = 1 + (uint32_t)stress_below(&self->rng, 3);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t k = stress_below(&self->rng, TD_KEYS);
        ops[i].kind = stress_below(&self->rng, 4) == 0 ? TIDE_OP_DELETE : TIDE_OP_PUT;
        ops[i].key = keys[i];
        ops[i].key_len = td_key(keys[i], k);
        ops[i].value = values[i];
        ops[i].value_size = 16 + stress_below(&self->rng, sizeof(values[i]) - 15);
        stress_value_make(values[i], ops[i].value_size, k, stress_rand(&self->rng));
    }
    stress_at("tide_batch");
    int error = n == 1 && ops[0].kind == TIDE_OP_PUT
                    ? tide_put(d, r, ops[0].key, ops[0].key_len, ops[0].value, ops[0].value_size, &token)
                    : tide_batch(d, r, ops, n, &token, NULL);
    td_check(error, "a write");
    self->writes += error == 0;
    if (error == 0 && stress_below(&self->rng, 32) == 0) {
        stress_at("tide_wait_applied");
        td_check(tide_wait_applied(d, &token, 1 + (uint32_t)stress_below(&self->rng, 3), 1000000), "tide_wait_applied");
    }
}

/* ---- replicas ----------------------------------------------------------------------------------------------------- */

static void td_start(struct td_worker *self, struct tide *d) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = stress_below(&self->rng, 3) == 0 ? TIDE_LEADER : TIDE_FOLLOWER;
    o.id = (int32_t)stress_below(&self->rng, TD_REPLICAS + 1) - 1;
    o.apply_delay_ns = o.role == TIDE_FOLLOWER ? stress_below(&self->rng, 2) * stress_below(&self->rng, 3000000) : 0;
    o.label = "teardown";
    stress_at("tide_replica_start");
    int error = tide_replica_start(d, &o, NULL);
    td_check(error, "tide_replica_start");
    self->starts += error == 0;
}

static void td_stop(struct td_worker *self, struct tide *d) {
    stress_at("tide_replica_stop");
    int error = tide_replica_stop(d, (uint32_t)stress_below(&self->rng, TD_REPLICAS));
    td_check(error == TIDE_ERR_INVALID ? 0 : error, "tide_replica_stop"); /* INVALID: this handle does not run it */
}

static void td_look(struct td_worker *self, struct tide *d) {
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_replica_info replica = TIDE_REPLICA_INFO_INIT;
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    uint64_t index, digest;
    uint32_t id = (uint32_t)stress_below(&self->rng, TD_REPLICAS);
    stress_at("tide_info");
    td_check(tide_info(d, &info), "tide_info");
    td_check(tide_replica_info(d, id, &replica), "tide_replica_info");
    td_check(tide_replica_digest(d, id, &index, &digest), "tide_replica_digest");
    td_check(tide_read_counts(d, &counts), "tide_read_counts");
    int error = tide_replica_set_delay(d, id, stress_below(&self->rng, 1000000));
    td_check(error == TIDE_ERR_INVALID ? 0 : error, "tide_replica_set_delay");
}

/* ---- domains ------------------------------------------------------------------------------------------------------ */

static void td_open(struct td_worker *self, struct td_slot *slot, const char *name) {
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = TIDE_CREATE | (stress_below(&self->rng, 2) == 0 ? TIDE_EPHEMERAL : 0u);
    o.ring_bytes = UINT64_C(65536) << stress_below(&self->rng, 3);
    o.table_bytes = 1 << 20;
    o.slow_follower_ns = 200000;
    o.write_timeout_ns = 1000000; /* leaders come and go; a write does not wait for the next one */
    o.log = td_log;
    stress_at("tide_open");
    int error = tide_open(&slot->d, name, &o);
    /* GONE: other workers removed the domain and made it anew sixteen times in a row. */
    td_check(error == TIDE_ERR_GONE ? 0 : error, "tide_open");
    self->opens += error == 0;
}

static struct tide *td_borrow(struct td_worker *self, struct td_slot *slot, const char *name, struct tide_reader **r) {
    struct tide *d = NULL;
    *r = NULL;
    pthread_mutex_lock(&slot->lock);
    if (slot->d == NULL) {
        td_open(self, slot, name);
    }
    if (slot->d != NULL) {
        struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
        o.policy = (enum tide_policy)stress_below(&self->rng, 3);
        int error = tide_reader_open(slot->d, &o, r);
        td_check(error, "tide_reader_open");
        d = error == 0 ? slot->d : NULL;
    }
    pthread_mutex_unlock(&slot->lock);
    return d;
}

static void td_close(struct td_worker *self, struct td_slot *slot) {
    pthread_mutex_lock(&slot->lock);
    struct tide *d = slot->d;
    slot->d = NULL;
    pthread_mutex_unlock(&slot->lock);
    if (d != NULL) {
        stress_at("tide_close");
        td_check(tide_close(d), "tide_close");
        self->closes++;
    }
}

static void td_session(struct td_worker *self, struct td_slot *slot, const char *name) {
    struct tide_reader *r;
    struct tide *d = td_borrow(self, slot, name, &r);
    if (d == NULL) {
        return;
    }
    for (uint64_t n = stress_below(&self->rng, 120); n > 0 && !stress_failed(); n--) {
        uint64_t what = stress_below(&self->rng, 100);
        if (what < 30) {
            td_read(self, r);
        } else if (what < 50) {
            td_section(self, r);
        } else if (what < 85) {
            td_write(self, d, r);
        } else if (what < 92) {
            td_start(self, d);
        } else if (what < 97) {
            td_stop(self, d);
        } else {
            td_look(self, d);
        }
    }
    if (stress_below(&self->rng, 10) == 0) {
        td_close(self, slot); /* with this reader still open */
        td_read(self, r);
    }
    if (stress_below(&self->rng, 4) == 0) {
        tide_section_begin(r, NULL, NULL); /* closing the reader ends it */
    }
    stress_at("tide_reader_close");
    td_check(tide_reader_close(r), "tide_reader_close");
}

static void *td_worker_run(void *worker) {
    struct td_worker *self = worker;
    while (!atomic_load(&self->w->team.stop) && !stress_failed()) {
        uint32_t i = (uint32_t)stress_below(&self->rng, TD_SLOTS);
        struct td_slot *slot = &self->w->slots[i];
        td_session(self, slot, self->w->names[i % TD_NAMES]);
        if (stress_below(&self->rng, 8) == 0) {
            td_close(self, slot);
        }
    }
    stress_count("opens", self->opens);
    stress_count("closes", self->closes);
    stress_count("starts", self->starts);
    stress_count("reads", self->reads);
    stress_count("writes", self->writes);
    return NULL;
}

void stress_teardown_round(uint64_t seed, uint64_t round_ns) {
    struct td_world *w = calloc(1, sizeof(*w));
    struct td_worker workers[TD_WORKERS], last = { .w = w, .rng = seed };
    uint64_t rng = seed, start = stress_now_ns();
    if (w == NULL) {
        return;
    }
    for (uint32_t i = 0; i < TD_NAMES; i++) {
        stress_domain_name(w->names[i], sizeof(w->names[i]));
    }
    for (uint32_t i = 0; i < TD_SLOTS; i++) {
        pthread_mutex_init(&w->slots[i].lock, NULL);
    }
    for (uint32_t i = 0; i < TD_WORKERS; i++) {
        workers[i] = (struct td_worker){ .w = w, .rng = stress_rand(&rng) };
        stress_spawn(&w->team, "worker", td_worker_run, &workers[i]);
    }
    while (stress_now_ns() - start < round_ns && !stress_failed()) {
        stress_at("waiting for the round's end");
        stress_sleep_ns(5000000);
    }
    stress_join(&w->team);
    for (uint32_t i = 0; i < TD_SLOTS; i++) {
        td_close(&last, &w->slots[i]);
        pthread_mutex_destroy(&w->slots[i].lock);
    }
    for (uint32_t i = 0; i < TD_NAMES; i++) {
        tide_unlink(w->names[i]);
    }
    free(w);
}
