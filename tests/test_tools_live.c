/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands on a domain that is written meanwhile: `tide clear` beside a writer of the same keys, `tide snapshot load` of every kind of life. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/forked.h"
#include "tools/lib/read_all.h"
#include "tools/lib/snapshot_file.h"
#include "tools/lib/wall.h"

#define KIB UINT64_C(1024)
#define SECOND UINT64_C(1000000000)
#define KEYS 3000u /* some batches */
#define WRITERS 3u

static struct tide *open_led(void) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    o.ring_bytes = 256 * KIB;
    o.table_bytes = 2048 * KIB;
    assert_int_equal(tide_open(&d, name, &o), 0);
    help_leader(d);
    help_follower(d, 0);
    return d;
}

/* Runs `tide COMMAND DOMAIN ARGUMENTS`; its exit code and the first of its output. */
static int tide(const char *command, const char *arguments, char *said, int room) {
    const char *build = getenv("TIDE_BUILD");
    char line[400];
    snprintf(line, sizeof(line), "%s/tide %s %s %s </dev/null", build != NULL ? build : "build", command, name,
             arguments);
    FILE *f = popen(line, "r");
    assert_non_null(f);
    size_t n = fread(said, 1, (size_t)room - 1, f);
    said[n] = '\0';
    return WEXITSTATUS(pclose(f));
}

static unsigned long long number_of(const char *json, const char *field) {
    char pattern[40];
    unsigned long long n;
    snprintf(pattern, sizeof(pattern), "\"%s\": ", field);
    const char *at = strstr(json, pattern);
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(pattern), "%llu", &n), 1);
    return n;
}

struct writer {
    struct tide *d;
    uint32_t first;
    _Atomic uint32_t rounds, *stop;
};

/* Puts its keys again and again. */
static void *write_again(void *arg) {
    struct writer *w = arg;
    char key[16];
    while (atomic_load(w->stop) == 0) {
        for (uint32_t i = w->first; i < KEYS; i += WRITERS) {
            int n = snprintf(key, sizeof(key), "k%u", i);
            help_check(tide_put(w->d, NULL, key, (size_t)n, "again", 5, NULL) == 0);
        }
        atomic_fetch_add(&w->rounds, 1);
    }
    return NULL;
}

/* Every key is there again soon after it went: the command ends nevertheless, since it deletes the keys that were there when it began, each once. */
static void clear__beside_writers_of_the_same_keys__ends(void **state) {
    (void)state;
    struct tide *d = open_led();
    struct writer w[WRITERS];
    pthread_t t[WRITERS];
    _Atomic uint32_t stop = 0;
    char said[1000];
    for (uint32_t i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){ .d = d, .first = i, .stop = &stop };
        assert_int_equal(pthread_create(&t[i], NULL, write_again, &w[i]), 0);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        while (atomic_load(&w[i].rounds) == 0) {
            usleep(1000);
        }
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tide("clear", "--json --timeout 60s", said, sizeof(said)), 0);
        assert_in_range(number_of(said, "deleted"), 1, KEYS);
    }
    atomic_store(&stop, 1);
    for (uint32_t i = 0; i < WRITERS; i++) {
        pthread_join(t[i], NULL);
    }
    help_assert_threads();
    assert_int_equal(tide("clear", "--json --timeout 60s", said, sizeof(said)), 0);
    assert_int_equal(tide("clear", "--json --timeout 60s", said, sizeof(said)), 0);
    assert_int_equal(number_of(said, "deleted"), 0);
    help_assert_equal_digests(d);
    tide_close(d);
}

static void put_to_keep(struct tide *d, const char *key, uint64_t ttl_ns) {
    struct tide_write_op op = TIDE_WRITE_OP_INIT;
    op.kind = TIDE_OP_PUT;
    op.flags = TIDE_KEEP;
    op.key = key;
    op.key_len = strlen(key);
    op.value = "v";
    op.value_size = 1;
    op.ttl_ns = ttl_ns;
    assert_int_equal(tide_write(d, NULL, &op, 1, NULL, NULL), 0);
}

static void add(struct records *r, const char *key, uint64_t expires_unix_ns, uint32_t flags) {
    assert_int_equal(records_add(r, key, strlen(key), "v", 1, 1), 0);
    r->list[r->n - 1].expires_unix_ns = expires_unix_ns;
    r->list[r->n - 1].flags = flags;
}

static void write_file(const char *path, struct records *r) {
    struct snapshot_head head = { .index = 1, .incarnation = 1, .created_unix_ns = 1, .name = "made up" };
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    records_sort(r);
    assert_int_equal(snapshot_write(fileno(f), &head, r), 0);
    assert_int_equal(fclose(f), 0);
}

static struct records read_file(const char *path) {
    struct snapshot_head head;
    struct records r = { 0 };
    uint8_t *bytes;
    size_t size;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(read_all(fileno(f), &bytes, &size), 0);
    assert_null(snapshot_parse(bytes, size, &head, &r));
    free(bytes);
    fclose(f);
    return r;
}

static const struct record *record_of(const struct records *r, const char *key) {
    return records_find(r, key, strlen(key));
}

struct files {
    char path[64], load[120], save[120];
};

static struct files files_begin(void) {
    struct files f = { .path = "/tmp/tidemark-live-XXXXXX" };
    int fd = mkstemp(f.path);
    assert_true(fd >= 0);
    close(fd);
    snprintf(f.load, sizeof(f.load), "%s --replace --json --timeout 60s", f.path);
    snprintf(f.save, sizeof(f.save), "%s --json", f.path);
    return f;
}

/* Saved, changed meanwhile, loaded into the domain as it lives on, saved again: the flag and the life are those of the first file. */
static void snapshot_load__keep_and_life__come_back_into_a_live_domain(void **state) {
    (void)state;
    struct tide *d = open_led();
    struct files f = files_begin();
    char said[1000];
    put_to_keep(d, "kept", 3600 * SECOND);
    put_to_keep(d, "kept for ever", TIDE_TTL_NONE);
    assert_int_equal(help_put(d, "plain", 1, NULL), 0);
    assert_int_equal(tide("snapshot save", f.save, said, sizeof(said)), 0);
    struct records before = read_file(f.path);
    assert_int_equal(before.n, 3);
    assert_int_equal(help_put(d, "kept", 2, NULL), 0);
    assert_int_equal(help_put(d, "kept for ever", 2, NULL), 0);
    put_to_keep(d, "plain", 7200 * SECOND);
    put_to_keep(d, "another", TIDE_TTL_NONE);
    assert_int_equal(tide("snapshot load", f.load, said, sizeof(said)), 0);
    assert_int_equal(number_of(said, "deleted"), 1);
    assert_int_equal(tide("snapshot save", f.save, said, sizeof(said)), 0);
    struct records after = read_file(f.path);
    assert_int_equal(after.n, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct record *x = &before.list[i], *y = &after.list[i];
        assert_int_equal(x->flags, y->flags);
        assert_int_equal(x->expires_unix_ns != 0, y->expires_unix_ns != 0);
        uint64_t apart = x->expires_unix_ns > y->expires_unix_ns ? x->expires_unix_ns - y->expires_unix_ns
                                                                 : y->expires_unix_ns - x->expires_unix_ns;
        assert_true(apart < 600 * SECOND); /* 7200 s is what the other write gave */
    }
    assert_int_equal(record_of(&after, "kept")->flags, SNAPSHOT_KEEP);
    assert_true(record_of(&after, "kept")->expires_unix_ns != 0);
    assert_int_equal(record_of(&after, "kept for ever")->flags, SNAPSHOT_KEEP);
    assert_int_equal(record_of(&after, "plain")->flags, 0);
    records_free(&before);
    records_free(&after);
    help_assert_equal_digests(d);
    remove(f.path);
    tide_close(d);
}

/* A file with a good checksum and lives that nobody gave. */
static void snapshot_load__absurd_lives__expired_or_for_ever(void **state) {
    (void)state;
    struct tide *d = open_led();
    struct files f = files_begin();
    struct records r = { 0 };
    char said[1000];
    uint64_t now = wall_unix_ns();
    add(&r, "first instant", 1, 0);
    add(&r, "a moment ago", now - 1, SNAPSHOT_KEEP);
    add(&r, "last instant", UINT64_MAX, SNAPSHOT_KEEP);
    add(&r, "before the last", UINT64_MAX - 1, 0);
    add(&r, "in three hundred years", now + UINT64_MAX / 2, 0);
    add(&r, "signed limit", UINT64_C(1) << 63, 0);
    add(&r, "beyond a hundred years", now + 101 * UINT64_C(31557600) * SECOND, 0);
    add(&r, "in an hour", now + 3600 * SECOND, 0);
    add(&r, "no end", 0, 0);
    write_file(f.path, &r);
    assert_int_equal(tide("snapshot load", f.load, said, sizeof(said)), 0);
    assert_int_equal(number_of(said, "expired"), 2);
    assert_int_equal(number_of(said, "written"), 7);
    assert_int_equal(tide("snapshot save", f.save, said, sizeof(said)), 0);
    struct records after = read_file(f.path);
    assert_int_equal(after.n, 7);
    for (size_t i = 0; i < after.n; i++) {
        bool lives = record_of(&after, "in an hour") == &after.list[i];
        assert_int_equal(after.list[i].expires_unix_ns != 0, lives);
    }
    assert_int_equal(record_of(&after, "last instant")->flags, SNAPSHOT_KEEP);
    records_free(&after);
    records_free(&r);
    help_assert_equal_digests(d);
    remove(f.path);
    tide_close(d);
}

int main(void) {
    help_start(110);
    const struct CMUnitTest tests[] = {
        NAMED_CASE(clear__beside_writers_of_the_same_keys__ends),
        NAMED_CASE(snapshot_load__keep_and_life__come_back_into_a_live_domain),
        NAMED_CASE(snapshot_load__absurd_lives__expired_or_for_ever),
    };
    return cmocka_run_group_tests_name("tools live", tests, NULL, NULL);
}
