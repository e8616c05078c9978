/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In the processes: writing with a journal, and reading against it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/crash_world.h"

/* What a value begins with. A fill that depends on the number follows, so that two halves of different writes are seen. */
struct crash_head {
    uint64_t number;
    uint32_t writer, key, generation, size;
};

static void crash_log(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx, (void)level;
    if (getenv("TIDE_TEST_LOG") != NULL) {
        fprintf(stderr, "# [%d] %s\n", (int)getpid(), text);
    }
}

struct tide *crash_open(struct crash_world *w) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d;
    o.ring_bytes = w->ring_bytes;
    o.table_bytes = w->table_bytes;
    o.evict = atomic_load(&w->evicts) != 0 ? TIDE_EVICT_S3FIFO : TIDE_EVICT_NONE;
    o.log = crash_log;
    int error = tide_open(&d, w->name, &o);
    if (error != 0) {
        crash_fail(w, "cannot open: %s", tide_strerror(error));
        _exit(3);
    }
    return d;
}

size_t crash_key_name(char out[48], uint32_t writer, uint32_t key, uint32_t generation, uint32_t part) {
    return (size_t)snprintf(out, 48, "%u.%u.%u.%u", writer, key, generation, part);
}

static uint8_t crash_fill(uint64_t number, size_t i) {
    return (uint8_t)((number * 0x9e3779b97f4a7c15u >> 32) + i * 7);
}

static void crash_make_value(uint8_t *to, size_t size, uint64_t number, uint32_t writer, uint32_t key,
                             uint32_t generation) {
    struct crash_head head = { number, writer, key, generation, (uint32_t)size };
    memcpy(to, &head, sizeof(head));
    for (size_t i = sizeof(head); i < size; i++) {
        to[i] = crash_fill(number, i);
    }
}

uint64_t crash_value_number(const uint8_t *value, size_t size, uint32_t writer, uint32_t key, uint32_t generation) {
    struct crash_head head;
    if (size < sizeof(head)) {
        return 0;
    }
    memcpy(&head, value, sizeof(head));
    if (head.size != size || head.writer != writer || head.key != key || head.generation != generation) {
        return 0;
    }
    for (size_t i = sizeof(head); i < size; i++) {
        if (value[i] != crash_fill(head.number, i)) {
            return 0;
        }
    }
    return head.number;
}

/* ---- writing --------------------------------------------------------------------------------------------------------- */

/* Certainly not done, and to be expected while processes die. */
static bool crash_is_refusal(int error) {
    return error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_TIMEOUT || error == TIDE_ERR_FULL ||
           error == TIDE_ERR_MISMATCH || error == TIDE_ERR_NO_SPACE || error == TIDE_ERR_NOMEM;
}

static void crash_retire(struct crash_writer *me, uint32_t key) {
    uint32_t generation = atomic_load(&me->generation[key]);
    atomic_fetch_add(&me->unknown, 1);
    atomic_store(&me->generation[key], generation + 1);
}

void crash_writer_begin(struct crash_world *w, uint32_t number) {
    struct crash_writer *me = &w->writers[number];
    for (uint32_t k = 0; k < CRASH_KEYS; k++) {
        uint32_t generation = atomic_load(&me->generation[k]);
        if (generation < CRASH_GENERATIONS && atomic_load(&me->keys[k][generation].pending) != 0) {
            crash_retire(me, k);
        }
    }
    if (atomic_load(&me->counting) != 0) {
        atomic_fetch_add(&me->counted_unknown, 1);
        atomic_store(&me->counting, 0);
    }
    atomic_fetch_add(&me->added_unknown, atomic_exchange(&me->adding, 0));
}

static struct tide_put_opts crash_kept(void) {
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.flags = TIDE_KEEP;
    return o;
}

/* In a ring of half a MiB or more there is room beyond that for what all writers begin at once, and for what was under way when
 * the auditor looked. */
bool crash_is_ahead(const struct crash_world *w) {
    return atomic_load(&w->paced) != 0 && atomic_load(&w->begun) - atomic_load(&w->audited) > w->ring_bytes / 4;
}

void crash_begin_bytes(struct crash_world *w, size_t values, size_t size) {
    atomic_fetch_add(&w->begun, values * (size + 128)); /* at least what it takes in the log */
}

static bool crash_count(struct crash_world *w, struct tide *d, struct tide_reader *session, struct crash_writer *me) {
    uint64_t value = 0;
    struct tide_answer a = TIDE_ANSWER_INIT;
    int error = tide_get(session, "count", 5, NULL, &value, sizeof(value), &a);
    if (error != 0 && error != TIDE_ERR_NOT_FOUND) {
        return false;
    }
    value++;
    crash_begin_bytes(w, 1, sizeof(value));
    atomic_store(&me->counting, 1);
    struct tide_put_opts kept = crash_kept();
    error = tide_cas_with(d, session, "count", 5, error == TIDE_ERR_NOT_FOUND ? 0 : a.version, &value, sizeof(value),
                          &kept, NULL, NULL);
    if (error == 0) {
        atomic_fetch_add(&me->counted, 1);
    } else if (error == TIDE_ERR_UNKNOWN) {
        atomic_fetch_add(&me->counted_unknown, 1);
    } else if (!crash_is_refusal(error)) {
        crash_fail(w, "cas: %s", tide_strerror(error));
    }
    atomic_store(&me->counting, 0);
    atomic_fetch_add(&me->acks, error == 0);
    return error == 0;
}

/* The leader adds: however often it dies, each acknowledged add is in the sum once. */
static bool crash_add(struct crash_world *w, struct tide *d, struct tide_reader *session, struct crash_writer *me,
                      uint64_t delta) {
    struct tide_put_opts kept = crash_kept();
    crash_begin_bytes(w, 1, 20);
    atomic_store(&me->adding, delta);
    int error = tide_add(d, session, "sum", 3, (int64_t)delta, &kept, NULL, NULL);
    if (error == 0) {
        atomic_fetch_add(&me->added, delta);
    } else if (error == TIDE_ERR_UNKNOWN) {
        atomic_fetch_add(&me->added_unknown, delta);
    } else if (!crash_is_refusal(error)) {
        crash_fail(w, "add: %s", tide_strerror(error));
    }
    atomic_store(&me->adding, 0);
    atomic_fetch_add(&me->acks, error == 0);
    return error == 0;
}

/* Values for all processes to evict. */
static bool crash_fill_up(struct crash_world *w, struct tide *d, struct help_rng *rng) {
    static uint8_t value[2000];
    char name[48];
    int error = 0;
    for (uint32_t i = 0; i < 4 && error == 0; i++) {
        size_t length = (size_t)snprintf(name, sizeof(name), "fill %u", (unsigned)help_below(rng, 6000));
        crash_begin_bytes(w, 1, sizeof(value));
        error = tide_put(d, NULL, name, length, value, sizeof(value), NULL);
    }
    if (error != 0 && error != TIDE_ERR_UNKNOWN && !crash_is_refusal(error)) {
        crash_fail(w, "fill: %s", tide_strerror(error));
    }
    return error == 0;
}

/* The client's own value is there while it lives, whichever process leads meanwhile, and at no bound afterwards. put_ns, acked_ns: around the write. */
static void crash_look_at_life(struct crash_world *w, struct tide_reader *session, const char *name, size_t length,
                               uint64_t put_ns, uint64_t acked_ns, uint64_t ttl_ns) {
    uint8_t value[64];
    struct tide_bound bound = TIDE_BOUND_INIT;
    bound.max_staleness_ns = acked_ns % 2 == 0 ? 0 : TIDE_UNBOUNDED;
    uint64_t before = crash_now_ns();
    int error = tide_get(session, name, length, &bound, value, sizeof(value), NULL);
    uint64_t after = crash_now_ns();
    if (error == 0 && before > acked_ns + ttl_ns) {
        crash_fail(w, "key %s: read %llu us after its life was over", name,
                   (unsigned long long)(before - acked_ns - ttl_ns) / 1000);
    } else if (error == TIDE_ERR_NOT_FOUND && after < put_ns + ttl_ns) {
        crash_fail(w, "key %s: gone %llu us before its life was over", name,
                   (unsigned long long)(put_ns + ttl_ns - after) / 1000);
    }
}

/* A put or a touch with a life, short or long; no other process writes this key. */
static bool crash_live(struct crash_world *w, struct tide *d, struct tide_reader *session, struct crash_writer *me,
                       struct help_rng *rng) {
    static uint32_t generation;
    static bool put;
    char name[64];
    size_t length = (size_t)snprintf(name, sizeof(name), "life %d %u", (int)getpid(), generation);
    struct tide_put_opts o = crash_kept();
    o.ttl_ns = help_below(rng, 2) == 0 ? UINT64_C(2000000) : UINT64_C(20000000000);
    bool touch = put && help_below(rng, 3) == 0;
    crash_begin_bytes(w, 1, 16);
    uint64_t before = crash_now_ns();
    int error = touch ? tide_touch(d, session, name, length, o.ttl_ns, NULL)
                      : tide_put_with(d, session, name, length, "life", 4, &o, NULL);
    uint64_t after = crash_now_ns();
    if (error != 0) {
        if (error != TIDE_ERR_UNKNOWN && error != TIDE_ERR_NOT_FOUND && !crash_is_refusal(error)) {
            crash_fail(w, "life: %s", tide_strerror(error));
        }
        generation += error == TIDE_ERR_UNKNOWN; /* it may be done yet, at any time */
        put = false;
        return false;
    }
    put = true;
    crash_look_at_life(w, session, name, length, before, after, o.ttl_ns);
    if (o.ttl_ns < UINT64_C(1000000000)) {
        put = false;
        while (crash_now_ns() <= after + o.ttl_ns) {
            crash_nap_us(200);
        }
        crash_look_at_life(w, session, name, length, before, after, o.ttl_ns);
    }
    atomic_fetch_add(&me->lived, 1);
    atomic_fetch_add(&me->acks, 1);
    return true;
}

static int crash_submit(struct crash_world *w, struct tide *d, struct tide_reader *session, uint32_t number,
                        uint32_t key, uint32_t generation, uint64_t n, bool delete, bool big, uint64_t *index) {
    static uint8_t value[CRASH_BIG_BYTES];
    char a[48], b[48];
    size_t a_len = crash_key_name(a, number, key, generation, 0), b_len = crash_key_name(b, number, key, generation, 1);
    size_t size = big ? CRASH_BIG_BYTES - n % 1000 : sizeof(struct crash_head) + n * 13 % 300;
    struct tide_token token;
    int error;
    crash_begin_bytes(w, key == CRASH_PAIR ? 2 : 1, size);
    crash_make_value(value, size, n, number, key, generation);
    struct tide_put_opts kept = crash_kept();
    if (key == CRASH_PAIR) {
        struct tide_op plain[2] = { { TIDE_OP_PUT, 0, a, a_len, value, size, 0 },
                                    { TIDE_OP_PUT, 0, b, b_len, value, size, 0 } };
        struct tide_write_op ops[2] = { TIDE_WRITE_OP_INIT, TIDE_WRITE_OP_INIT };
        for (uint32_t i = 0; i < 2; i++) {
            ops[i].kind = TIDE_OP_PUT;
            ops[i].flags = kept.flags;
            ops[i].key = i == 0 ? a : b;
            ops[i].key_len = i == 0 ? a_len : b_len;
            ops[i].value = value;
            ops[i].value_size = size;
        }
        error = atomic_load(&w->evicts) != 0 ? tide_write(d, session, ops, 2, &token, NULL)
                                             : tide_batch(d, session, plain, 2, &token, NULL);
    } else if (delete) {
        error = tide_delete(d, session, a, a_len, &token);
    } else {
        error = atomic_load(&w->evicts) != 0 ? tide_put_with(d, session, a, a_len, value, size, &kept, &token)
                                             : tide_put(d, session, a, a_len, value, size, &token);
    }
    *index = error == 0 ? token.index : 0;
    return error;
}

bool crash_write(struct crash_world *w, struct tide *d, struct tide_reader *session, uint32_t number,
                 struct help_rng *rng) {
    struct crash_writer *me = &w->writers[number];
    uint32_t kind = (uint32_t)help_below(rng, 64);
    if (kind < 6) {
        return crash_count(w, d, session, me);
    }
    if (kind >= 56) {
        return kind < 59                      ? crash_add(w, d, session, me, 1 + help_below(rng, 1000))
               : kind < 60                    ? crash_live(w, d, session, me, rng)
               : atomic_load(&w->evicts) != 0 ? crash_fill_up(w, d, rng)
                                              : crash_add(w, d, session, me, 1);
    }
    uint32_t key = kind < 12 ? CRASH_PAIR : (uint32_t)help_below(rng, CRASH_PAIR);
    bool delete = kind >= 12 && kind < 20, big = kind == 20;
    uint32_t generation = atomic_load(&me->generation[key]);
    uint64_t n = atomic_fetch_add(&me->next, 1) + 1, index;
    if (generation >= CRASH_GENERATIONS || n >= CRASH_NUMBERS) {
        return false;
    }
    struct crash_key *k = &me->keys[key][generation];
    atomic_store(&k->pending, n << 1 | delete);
    int error = crash_submit(w, d, session, number, key, generation, n, delete, big, &index);
    if (error == 0) {
        atomic_store(&k->index, index);
        atomic_store(&k->acked, n << 1 | delete);
        atomic_fetch_add(&me->acks, 1);
        atomic_store(&k->pending, 0);
    } else if (error == TIDE_ERR_UNKNOWN) {
        crash_retire(me, key);
    } else {
        atomic_fetch_or(&me->refused[n / 8], (uint8_t)(1u << n % 8));
        atomic_store(&k->pending, 0);
        if (!crash_is_refusal(error)) {
            crash_fail(w, "write: %s", tide_strerror(error));
        }
    }
    return error == 0;
}

/* ---- reading --------------------------------------------------------------------------------------------------------- */

static bool crash_read_may_fail(int error) {
    return error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_NO_REPLICA || error == TIDE_ERR_TIMEOUT ||
           error == TIDE_ERR_REFUSED || error == TIDE_ERR_LOST;
}

/* A linearizable read must hold at least what was acknowledged before it began. */
static void crash_read_key(struct crash_world *w, struct tide_reader *r, uint32_t number, uint32_t key, bool strict) {
    static uint8_t value[CRASH_BIG_BYTES];
    struct crash_writer *writer = &w->writers[number];
    uint32_t generation = atomic_load(&writer->generation[key]);
    if (generation >= CRASH_GENERATIONS) {
        return;
    }
    const struct crash_key *k = &writer->keys[key][generation];
    uint64_t before = atomic_load(&k->acked);
    struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    bound.max_staleness_ns = strict ? 0 : TIDE_UNBOUNDED;
    char name[48];
    size_t length = crash_key_name(name, number, key, generation, 0);
    int error = tide_get(r, name, length, &bound, value, sizeof(value), &a);
    uint64_t after = atomic_load(&k->pending), acked = atomic_load(&k->acked);
    if (error == 0) {
        uint64_t n = crash_value_number(value, a.value_size, number, key, generation);
        if (n == 0) {
            crash_fail(w, "key %s: torn, %llu bytes from replica %u", name, (unsigned long long)a.value_size,
                       a.served_by);
        } else if (strict && n < before >> 1) {
            crash_fail(w, "key %s: write %llu was acknowledged, and %llu is read (index %llu, commit %llu, replica %u)",
                       name, (unsigned long long)(before >> 1), (unsigned long long)n, (unsigned long long)a.index,
                       (unsigned long long)a.commit_index, a.served_by);
        }
    } else if (error == TIDE_ERR_NOT_FOUND) {
        /* Unless it was deleted before or meanwhile. */
        bool deleted = (before & 1) != 0 || before == 0 || (after & 1) != 0 || acked != before;
        if (strict && !deleted) {
            crash_fail(w, "key %s: write %llu was acknowledged, and the key is not there (index %llu, replica %u)",
                       name, (unsigned long long)(before >> 1), (unsigned long long)a.index, a.served_by);
        }
    } else if (!crash_read_may_fail(error)) {
        crash_fail(w, "get: %s", tide_strerror(error));
    } else {
        atomic_fetch_add(&w->lost, 1);
    }
}

/* Both keys of a pair have the same write, by mget and by a section. */
static void crash_read_pair(struct crash_world *w, struct tide_reader *r, uint32_t number, bool section) {
    static uint8_t values[2][1024];
    uint32_t generation = atomic_load(&w->writers[number].generation[CRASH_PAIR]);
    char names[2][48];
    struct tide_mget_item items[2] = { 0 };
    struct tide_bound bound = TIDE_BOUND_INIT;
    bound.max_staleness_ns = TIDE_UNBOUNDED;
    for (uint32_t i = 0; i < 2; i++) {
        size_t length = crash_key_name(names[i], number, CRASH_PAIR, generation, i);
        items[i] = (struct tide_mget_item){
            .key = names[i], .key_len = length, .buf = values[i], .buf_size = sizeof(values[i])
        };
    }
    struct tide_answer a = TIDE_ANSWER_INIT;
    int error = section ? tide_section_begin(r, &bound, &a) : tide_mget(r, items, 2, &bound, &a);
    for (uint32_t i = 0; section && error == 0 && i < 2; i++) {
        size_t size = 0;
        items[i].result = tide_section_get(r, names[i], items[i].key_len, values[i], sizeof(values[i]), &size, NULL);
        items[i].value_size = size;
        error = items[i].result == TIDE_ERR_LOST ? TIDE_ERR_LOST : 0;
    }
    if (section && r != NULL) {
        tide_section_end(r);
    }
    if (error != 0) {
        if (!crash_read_may_fail(error)) {
            crash_fail(w, "pair: %s", tide_strerror(error));
        }
        return;
    }
    uint64_t n[2];
    for (uint32_t i = 0; i < 2; i++) {
        n[i] = items[i].result == 0 ? crash_value_number(values[i], items[i].value_size, number, CRASH_PAIR, generation)
                                    : 0;
    }
    if (n[0] != n[1]) {
        crash_fail(w, "a batch is seen in part: %llu and %llu at index %llu of replica %u (%s)",
                   (unsigned long long)n[0], (unsigned long long)n[1], (unsigned long long)a.index, a.served_by,
                   section ? "section" : "mget");
    }
}

static int crash_scan_one(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size,
                          uint64_t version) {
    uint64_t *sum = ctx;
    (void)key, (void)value, (void)version;
    *sum += key_len + value_size;
    return 0;
}

void crash_read(struct crash_world *w, struct tide_reader *r, struct help_rng *rng) {
    uint32_t number = (uint32_t)help_below(rng, CRASH_WRITERS), kind = (uint32_t)help_below(rng, 64);
    if (kind == 0) {
        uint64_t sum = 0;
        struct tide_bound bound = TIDE_BOUND_INIT;
        bound.max_staleness_ns = TIDE_UNBOUNDED;
        if (tide_section_begin(r, &bound, NULL) == 0) {
            int error = tide_section_scan(r, crash_scan_one, &sum);
            if (error != 0 && !crash_read_may_fail(error)) {
                crash_fail(w, "scan: %s", tide_strerror(error));
            }
            tide_section_end(r);
        }
    } else if (kind < 16) {
        crash_read_pair(w, r, number, kind < 8);
    } else {
        crash_read_key(w, r, number, (uint32_t)help_below(rng, CRASH_PAIR), kind % 2 == 0);
    }
    atomic_fetch_add(&w->reads, 1);
}
