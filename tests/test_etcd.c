/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The client of etcd against real servers: one member, and clusters of three that lose some. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/etcd.h"
#include "tests/lib/etcd_book.h"
#include "tests/lib/help.h"

struct pair {
    struct etcd_world w;
    struct book a, b; /* two hosts */
};

static struct pair *start(unsigned members, const char *const *more) {
    struct pair *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    etcd_world_start(&p->w, members, more);
    return p;
}

static void stop(struct pair *p) {
    etcd_world_stop(&p->w);
    free(p);
}

static void assert_has(struct book *b, const char *key, const char *value) {
    char found[64] = "";
    assert_true(book_get(b, key, found, NULL));
    assert_string_equal(found, value);
}

static void until_has(struct book *b, const char *key, const char *value) {
    char found[64] = "";
    while (!book_get(b, key, found, NULL) || strcmp(found, value) != 0) {
        usleep(2000);
    }
}

/* ---- one member -------------------------------------------------------------------------------------------------- */

static void copy_and_watch(void **state) {
    struct pair *p = start(1, NULL);
    (void)state;
    book_open(&p->a, etcd_world_url(&p->w, 1, "app/"), 0, NULL);
    struct etcd_op ops[100];
    char keys[100][16];
    for (unsigned round = 0; round < 25; round++) {
        for (unsigned i = 0; i < 100; i++) {
            snprintf(keys[i], sizeof(keys[0]), "k%u", round * 100 + i);
            ops[i] = book_op(ETCD_PUT, keys[i], "v");
        }
        assert_int_equal(book_write(&p->a, ops, 100).result, ETCD_DONE);
    }
    /* Outside of the prefix: it is not seen, and holds no host up. */
    assert_int_equal(etcd_control(&p->w, NULL, 0, "put apo x"), 0);
    assert_int_equal(etcd_control(&p->w, NULL, 0, "put app0 x"), 0);
    uint64_t revision = book_catch_up(&p->a);
    assert_int_equal(book_count(&p->a), 2500);
    assert_int_equal(p->a.snapshots, 1);

    book_open(&p->b, etcd_world_url(&p->w, 1, "app/"), 0, NULL); /* several pages */
    assert_int_equal(book_catch_up(&p->b), revision);
    assert_int_equal(book_count(&p->b), 2500);
    revision = book_put(&p->b, "k7", "w");
    assert_true(book_catch_up(&p->a) >= revision);
    assert_has(&p->a, "k7", "w");
    struct etcd_op gone = book_op(ETCD_DELETE, "k8", NULL);
    assert_int_equal(book_write(&p->a, &gone, 1).result, ETCD_DONE);
    (void)book_catch_up(&p->b);
    assert_false(book_get(&p->b, "k8", NULL, NULL));
    /* Deleting what is not there has a revision, which the sink is told, also where it is another key's. */
    assert_int_equal(etcd_control(&p->w, NULL, 0, "put apo y"), 0);
    struct etcd_outcome o = book_write(&p->a, &gone, 1);
    assert_int_equal(o.result, ETCD_DONE);
    (void)book_catch_up(&p->a);
    assert_true(p->a.revision >= o.revision);
    assert_int_equal(p->a.told_empty, 1);
    /* Going on from a revision: what came since, and nothing else. */
    uint64_t from = p->b.revision;
    book_close(&p->b);
    (void)book_put(&p->a, "later", "1");
    book_open(&p->b, etcd_world_url(&p->w, 1, "app/"), from, NULL);
    (void)book_catch_up(&p->b);
    assert_int_equal(p->b.snapshots, 0);
    assert_int_equal(book_count(&p->b), 1);
    book_close(&p->b);
    book_close(&p->a);
    stop(p);
}

static void writes__of_every_kind(void **state) {
    struct pair *p = start(1, NULL);
    struct etcd_op ops[ETCD_OPS_MOST + 1];
    struct etcd_outcome o;
    (void)state;
    book_open(&p->a, etcd_world_url(&p->w, 1, "x/"), 0, NULL);
    uint64_t first = book_put(&p->a, "a", "1");
    /* cas */
    ops[0] = book_op(ETCD_CAS, "a", "2");
    ops[0].expected = first + 1;
    o = book_write(&p->a, ops, 1);
    assert_int_equal(o.result, ETCD_MISMATCH);
    assert_int_equal(o.found, first);
    ops[0].expected = first;
    o = book_write(&p->a, ops, 1);
    assert_int_equal(o.result, ETCD_DONE);
    ops[0] = book_op(ETCD_CAS, "new", "1");
    assert_int_equal(book_write(&p->a, ops, 1).result, ETCD_DONE);
    o = book_write(&p->a, ops, 1);
    assert_int_equal(o.result, ETCD_MISMATCH);
    assert_int_not_equal(o.found, 0);
    /* a batch: all or nothing, and one revision */
    ops[0] = book_op(ETCD_PUT, "b", "1");
    ops[1] = book_op(ETCD_CAS, "new", "2");
    ops[1].expected = 1;
    o = book_write(&p->a, ops, 2);
    assert_int_equal(o.result, ETCD_MISMATCH);
    assert_int_equal(o.failed, 1);
    (void)book_catch_up(&p->a);
    assert_false(book_get(&p->a, "b", NULL, NULL));
    ops[1] = book_op(ETCD_DELETE, "new", NULL);
    assert_int_equal(book_write(&p->a, ops, 2).result, ETCD_DONE);
    (void)book_catch_up(&p->a);
    assert_has(&p->a, "b", "1");
    assert_false(book_get(&p->a, "new", NULL, NULL));
    /* adds */
    ops[0] = book_op(ETCD_ADD, "n", NULL);
    ops[0].delta = -5;
    ops[1] = book_op(ETCD_ADD, "b", NULL);
    ops[1].delta = 41;
    o = book_write(&p->a, ops, 2);
    assert_int_equal(o.result, ETCD_DONE);
    assert_int_equal(ops[0].delta, -5);
    assert_int_equal(ops[1].delta, 42);
    (void)book_catch_up(&p->a);
    assert_has(&p->a, "n", "-5");
    assert_has(&p->a, "b", "42");
    (void)book_put(&p->a, "word", "4x");
    ops[0] = book_op(ETCD_ADD, "word", NULL);
    assert_int_equal(book_write(&p->a, ops, 1).result, ETCD_NUMBER);
    (void)book_put(&p->a, "most", "9223372036854775807");
    ops[0] = book_op(ETCD_ADD, "most", NULL);
    ops[0].delta = 1;
    assert_int_equal(book_write(&p->a, ops, 1).result, ETCD_OVERFLOW);
    /* touch of what is not there */
    ops[0] = book_op(ETCD_TOUCH, "nobody", NULL);
    assert_int_equal(book_write(&p->a, ops, 1).result, ETCD_NOT_FOUND);
    /* what cannot be is said before anything is sent */
    uint64_t before = book_catch_up(&p->a);
    char keys[ETCD_OPS_MOST + 1][8];
    for (unsigned i = 0; i <= ETCD_OPS_MOST; i++) {
        snprintf(keys[i], sizeof(keys[0]), "m%u", i);
        ops[i] = book_op(ETCD_PUT, keys[i], "1");
    }
    o = book_write(&p->a, ops, ETCD_OPS_MOST + 1);
    assert_int_equal(o.result, ETCD_TOO_BIG);
    assert_non_null(strstr(o.why, "129 operations"));
    char *large = calloc(1, 2 << 20);
    ops[0].value = (struct wire_bytes){ large, (3 << 19) - 20 };
    o = book_write(&p->a, ops, 1);
    assert_int_equal(o.result, ETCD_TOO_BIG);
    assert_non_null(strstr(o.why, "etcd takes 1572864"));
    ops[0] = book_op(ETCD_PUT, "twice", "1");
    ops[1] = book_op(ETCD_DELETE, "twice", NULL);
    o = book_write(&p->a, ops, 2);
    assert_int_equal(o.result, ETCD_TWICE);
    assert_int_equal(book_catch_up(&p->a), before);
    /* and what just can be, can */
    ops[0].value = (struct wire_bytes){ large, (3 << 19) - 4096 };
    o = book_write(&p->a, ops, 1);
    assert_int_equal(o.result, ETCD_DONE);
    for (unsigned i = 0; i < ETCD_OPS_MOST; i++) {
        ops[i] = book_op(ETCD_PUT, keys[i], "1");
    }
    assert_int_equal(book_write(&p->a, ops, ETCD_OPS_MOST).result, ETCD_DONE);
    free(large);
    book_close(&p->a);
    stop(p);
}

static void writes__with_a_ttl__share_leases_and_end(void **state) {
    struct pair *p = start(1, NULL);
    char leases[2000], keys[20][8];
    (void)state;
    book_open(&p->a, etcd_world_url(&p->w, 1, ""), 0, NULL);
    for (unsigned i = 0; i < 20; i++) {
        snprintf(keys[i], sizeof(keys[0]), "t%u", i);
        struct etcd_op op = book_op(ETCD_PUT, keys[i], "1");
        op.ttl_s = 100;
        assert_int_equal(book_write(&p->a, &op, 1).result, ETCD_DONE);
    }
    assert_int_equal(etcd_control(&p->w, leases, sizeof(leases), "lease list"), 0);
    unsigned n = 0, whole = 0;
    assert_int_equal(sscanf(leases, "found %u", &whole), 1);
    for (char *at = strchr(leases, '\n'); at && at[1]; at = strchr(at + 1, '\n')) {
        n++;
    }
    assert_int_equal(n, whole);
    assert_true(n >= 1 && n < 20); /* one for each second that the twenty writes took, not one each */
    struct etcd_op op = book_op(ETCD_PUT, "short", "1");
    op.ttl_s = 1;
    assert_int_equal(book_write(&p->a, &op, 1).result, ETCD_DONE);
    op = book_op(ETCD_PUT, "kept", "1");
    op.ttl_s = 1;
    assert_int_equal(book_write(&p->a, &op, 1).result, ETCD_DONE);
    op = book_op(ETCD_TOUCH, "kept", NULL);
    assert_int_equal(book_write(&p->a, &op, 1).result, ETCD_DONE); /* for ever */
    (void)book_catch_up(&p->a);
    assert_has(&p->a, "short", "1");
    while (book_get(&p->a, "short", NULL, NULL)) {
        usleep(10000);
    }
    assert_has(&p->a, "kept", "1");
    assert_has(&p->a, "t0", "1");
    book_close(&p->a);
    stop(p);
}

static void compacted__a_difference(void **state) {
    struct pair *p = start(1, NULL);
    (void)state;
    book_open(&p->a, etcd_world_url(&p->w, 1, "c/"), 0, NULL);
    book_open(&p->b, etcd_world_url(&p->w, 1, "c/"), 0, NULL);
    (void)book_put(&p->a, "stays", "1");
    (void)book_put(&p->a, "goes", "1");
    (void)book_catch_up(&p->b);
    uint64_t from = p->b.revision;
    etcd_client_rest(p->b.client);
    struct etcd_op gone = book_op(ETCD_DELETE, "goes", NULL);
    assert_int_equal(book_write(&p->a, &gone, 1).result, ETCD_DONE);
    uint64_t newest = book_put(&p->a, "comes", "1");
    assert_int_equal(etcd_control(&p->w, NULL, 0, "compaction %llu", (unsigned long long)newest), 0);
    etcd_client_follow(p->b.client, from, false);
    assert_true(book_catch_up(&p->b) >= newest);
    assert_int_equal(p->b.snapshots, 2);
    assert_false(book_get(&p->b, "goes", NULL, NULL));
    assert_has(&p->b, "comes", "1");
    assert_non_null(strstr(p->b.said, "compacted"));
    book_close(&p->b);
    book_close(&p->a);
    stop(p);
}

static void sink_that_refuses__is_given_a_snapshot_later(void **state) {
    struct pair *p = start(1, NULL);
    (void)state;
    book_open(&p->a, etcd_world_url(&p->w, 1, ""), 0, NULL);
    book_until_watching(&p->a);
    pthread_mutex_lock(&p->a.lock);
    p->a.refuses = true;
    pthread_mutex_unlock(&p->a.lock);
    (void)book_put(&p->a, "a", "1");
    struct etcd_state now;
    do {
        usleep(2000);
        etcd_client_state(p->a.client, &now);
    } while (!strstr(now.why, "the book is closed"));
    assert_false(book_get(&p->a, "a", NULL, NULL));
    pthread_mutex_lock(&p->a.lock);
    p->a.refuses = false;
    pthread_mutex_unlock(&p->a.lock);
    until_has(&p->a, "a", "1");
    book_until_watching(&p->a);
    (void)book_put(&p->a, "b", "1");
    (void)book_catch_up(&p->a);
    assert_has(&p->a, "b", "1");
    book_close(&p->a);
    stop(p);
}

static void book_until_restored(struct book *b) {
    bool restored;
    do {
        usleep(5000);
        pthread_mutex_lock(&b->lock);
        restored = b->restored;
        pthread_mutex_unlock(&b->lock);
    } while (!restored);
}

static void restored__revisions_went_back__is_noticed(void **state) {
    struct pair *p = start(1, NULL);
    (void)state;
    book_open(&p->a, etcd_world_url(&p->w, 1, ""), 0, NULL);
    for (unsigned i = 0; i < 10; i++) {
        (void)book_put(&p->a, "a", "1");
    }
    (void)book_catch_up(&p->a);
    etcd_member_kill(&p->w, 0);
    etcd_member_wipe(&p->w, 0); /* the same cluster id: it is made of addresses and names */
    etcd_member_start(&p->w, 0);
    book_until_restored(&p->a);
    assert_non_null(strstr(p->a.restored_why, "revisions went back"));
    book_close(&p->a);
    stop(p);
}

/* The host is cut off, and the cluster's data go and are others when it is back: from a backup, where there is one. */
static void put_many(struct pair *p, const char *prefix, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(etcd_control(&p->w, NULL, 0, "put %s%u %u", prefix, i, i), 0);
    }
}

static void begin_history(struct pair *p, unsigned before, const char *backup, unsigned behind) {
    etcd_world_start_linked(&p->w, 1, 1);
    put_many(p, "a/", before);
    if (backup) {
        assert_int_equal(etcd_control(&p->w, NULL, 0, "snapshot save %s", backup), 0);
    }
    put_many(p, "o/", behind);
    book_open(&p->a, etcd_world_host_url(&p->w, 0, "a/"), 0, NULL);
    book_until_watching(&p->a);
    links_cut(p->w.links, p->w.host_links[0][0], true);
    etcd_member_kill(&p->w, 0);
    etcd_member_wipe(&p->w, 0);
}

static void until_restored(struct pair *p, const char *why) {
    etcd_member_wait(&p->w, 0);
    links_mend(p->w.links);
    book_until_restored(&p->a);
    if (!strstr(p->a.restored_why, why)) {
        fail_msg("\"%s\" does not say \"%s\"", p->a.restored_why, why);
    }
    book_close(&p->a);
    stop(p);
}

static void until_writable(struct pair *p) {
    while (etcd_control(&p->w, NULL, 0, "put o/first 1") != 0) {
        usleep(20000);
    }
}

/* Keys of ours stand in the backup as we hold them; the log tells. */
static void restored__and_written_beyond__is_noticed_by_its_log(void **state) {
    struct pair *p = calloc(1, sizeof(*p));
    char backup[100], command[500];
    (void)state;
    snprintf(backup, sizeof(backup), "/tmp/tide-backup-%d", (int)getpid());
    begin_history(p, 30, backup, 10);
    snprintf(command, sizeof(command),
             "ETCDCTL_API=3 etcdctl snapshot restore %s --name m0 --data-dir %s/m0 --initial-cluster "
             "m0=http://127.0.0.1:%u --initial-advertise-peer-urls http://127.0.0.1:%u >/dev/null 2>&1; rm -f %s*",
             backup, p->w.dir, p->w.peer_link_ports[0], p->w.peer_link_ports[0], backup);
    assert_int_equal(system(command), 0);
    etcd_member_start(&p->w, 0);
    etcd_member_wait(&p->w, 0);
    until_writable(p);
    put_many(p, "o/", 12); /* revision 44, where 41 was */
    until_restored(p, "its log is another one");
}

/* A log that begins with nothing soon has the same numbers; a key tells. */
static void wiped__and_written_beyond__is_noticed_by_a_key(void **state) {
    struct pair *p = calloc(1, sizeof(*p));
    (void)state;
    begin_history(p, 5, NULL, 0);
    etcd_member_start(&p->w, 0);
    etcd_member_wait(&p->w, 0);
    until_writable(p);
    put_many(p, "a/", 5); /* the same keys, one revision later */
    put_many(p, "o/", 10);
    until_restored(p, "what we hold was never there");
}

/* ---- users ------------------------------------------------------------------------------------------------------- */

#define ROOT "--user root:r "

static void make_users(struct etcd_world *w) {
    static const char *const COMMANDS[] = { "user add root:r",
                                            "user grant-role root root",
                                            "user add half:h",
                                            "role add half",
                                            "role grant-permission half --prefix=true readwrite h/",
                                            "user grant-role half half",
                                            "user add none:n",
                                            "auth enable" };
    for (size_t i = 0; i < sizeof(COMMANDS) / sizeof(COMMANDS[0]); i++) {
        char out[300];
        if (etcd_control(w, out, sizeof(out), "%s", COMMANDS[i]) != 0 && !strstr(out, "already")) {
            fail_msg("etcdctl %s: %s", COMMANDS[i], out);
        }
    }
}

static void until_failed(struct book *b, bool hopeless, const char *words) {
    struct etcd_state now;
    do {
        usleep(2000);
        etcd_client_state(b->client, &now);
    } while (hopeless ? !now.hopeless : !now.why[0]);
    if (!strstr(now.why, words)) {
        fail_msg("\"%s\" does not say \"%s\"", now.why, words);
    }
}

static void until_hopeless(struct book *b, const char *words) {
    until_failed(b, true, words);
}

static void users(void **state) {
    struct pair *p = start(1, NULL);
    struct etcd_client_opts opts = { .user = "root", .password = "wrong" };
    (void)state;
    /* A client may name a password although the cluster asks for none. */
    book_open(&p->a, etcd_world_url(&p->w, 1, "h/"), 0, &opts);
    (void)book_put(&p->a, "early", "1");
    book_close(&p->a);
    make_users(&p->w);
    book_open(&p->a, etcd_world_url(&p->w, 1, "h/"), 0, &opts);
    until_hopeless(&p->a, "user root: etcdserver: authentication failed");
    book_close(&p->a);
    book_open(&p->a, etcd_world_url(&p->w, 1, "h/"), 0, NULL);
    until_hopeless(&p->a, "user name is empty");
    book_close(&p->a);
    opts = (struct etcd_client_opts){ .user = "none", .password = "n" };
    book_open(&p->a, etcd_world_url(&p->w, 1, "h/"), 0, &opts);
    until_hopeless(&p->a, "permission denied");
    book_close(&p->a);
    opts = (struct etcd_client_opts){ .user = "root", .password = "r" };
    book_open(&p->a, etcd_world_url(&p->w, 1, "h/"), 0, &opts);
    /* A user who may read the prefix alone can watch and probe, while others write elsewhere. */
    opts = (struct etcd_client_opts){ .user = "half", .password = "h" };
    book_open(&p->b, etcd_world_url(&p->w, 1, "h/"), 0, &opts);
    (void)book_catch_up(&p->b);
    assert_has(&p->b, "early", "1");
    assert_non_null(strstr(p->b.said, "only those of the prefix"));
    for (unsigned i = 0; i < 5; i++) {
        char value[8], out[300];
        snprintf(value, sizeof(value), "%u", i);
        assert_int_equal(etcd_control(&p->w, out, sizeof(out), ROOT "put elsewhere %u", i), 0);
        uint64_t revision = book_put(&p->b, "late", value);
        assert_true(book_catch_up(&p->b) >= revision);
        assert_has(&p->b, "late", value);
        (void)book_put(&p->a, "by-a", value);
        (void)book_catch_up(&p->b);
        assert_has(&p->b, "by-a", value);
        struct etcd_op gone = book_op(ETCD_DELETE, "by-a", NULL);
        assert_int_equal(book_write(&p->a, &gone, 1).result, ETCD_DONE);
        (void)book_catch_up(&p->b);
        assert_false(book_get(&p->b, "by-a", NULL, NULL));
        assert_int_equal(etcd_control(&p->w, out, sizeof(out), ROOT "put elsewhere %u", i), 0);
        struct etcd_outcome o = book_write(&p->b, &gone, 1); /* changes nothing, at a revision that is another key's */
        assert_int_equal(o.result, ETCD_DONE);
        (void)book_catch_up(&p->b);
        assert_true(p->b.revision >= o.revision);
    }
    /* A member that was started anew knows no tokens. */
    etcd_member_kill(&p->w, 0);
    etcd_member_start(&p->w, 0);
    etcd_member_wait(&p->w, 0);
    (void)book_put(&p->a, "again", "1");
    (void)book_catch_up(&p->b);
    assert_has(&p->b, "again", "1");
    assert_int_equal(p->b.snapshots, 1);
    book_close(&p->b);
    book_close(&p->a);
    stop(p);
}

/* A word of etcdctl as root, which has to work. */
#define AS_ROOT(w, ...) assert_int_equal(etcd_control((w), NULL, 0, ROOT __VA_ARGS__), 0)

/* Nothing is asked by itself any more, of which the answer would be that the token is void. */
static void until_idle(struct book *b) {
    struct etcd_state now;
    do {
        usleep(10000);
        etcd_client_state(b->client, &now);
    } while (now.mark.revision < now.revision);
}

/* All of it while the client is connected: what it has becomes wrong under its hands. */
static void users__change_while_we_watch__we_go_on(void **state) {
    struct pair *p = start(1, NULL);
    struct etcd_client_opts opts = { .user = "half", .password = "h" };
    (void)state;
    /* The cluster asks for no password, and then for one: the client, which knows it, logs in. */
    book_open(&p->a, etcd_world_url(&p->w, 1, "h/"), 0, &opts);
    (void)book_put(&p->a, "a", "1");
    (void)book_catch_up(&p->a);
    make_users(&p->w);
    AS_ROOT(&p->w, "role grant-permission half readwrite --from-key \"''\"");
    (void)book_put(&p->a, "a", "2");
    (void)book_catch_up(&p->a);
    assert_has(&p->a, "a", "2");
    /* Its tokens are void with its old password; a lease is the first that it asks for after that. */
    until_idle(&p->a);
    AS_ROOT(&p->w, "user passwd half --interactive=false <<!\nh\n!");
    struct etcd_op op = book_op(ETCD_PUT, "with-ttl", "1");
    op.ttl_s = 1000;
    assert_int_equal(book_write(&p->a, &op, 1).result, ETCD_DONE);
    /* Others' keys come; then it may watch the prefix alone. Questions are answered all the same. */
    for (unsigned i = 0; i < 3; i++) {
        AS_ROOT(&p->w, "put elsewhere%u 1", i);
    }
    (void)book_catch_up(&p->a);
    AS_ROOT(&p->w, "role revoke-permission half --from-key \"''\"");
    etcd_member_kill(&p->w, 0);
    etcd_member_start(&p->w, 0);
    etcd_member_wait(&p->w, 0);
    AS_ROOT(&p->w, "put h/b 3");
    until_has(&p->a, "b", "3");
    AS_ROOT(
        &p->w,
        "put elsewhere 2"); /* of which the watch of the prefix tells nothing: the keys must be as many as we know of */
    (void)book_catch_up(&p->a);
    assert_non_null(strstr(p->a.said, "only those of the prefix"));
    assert_int_equal(p->a.snapshots, 1);
    book_close(&p->a);
    stop(p);
}

/* ---- TLS --------------------------------------------------------------------------------------------------------- */

static int make(const char *dir, const char *format) {
    char command[1200];
    size_t at = (size_t)snprintf(command, sizeof(command), "cd %s && { ", dir);
    snprintf(command + at, sizeof(command) - at, "%s; } >/dev/null 2>&1", format);
    return system(command);
}

#define KEY "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
static void tls(void **state) {
    struct pair *p = calloc(1, sizeof(*p));
    char dir[] = "/tmp/tide-tls-XXXXXX", paths[6][64];
    static const char *const NAMES[] = { "ca.pem", "s.pem", "s.key", "c.pem", "c.key", "other.pem" };
    (void)state;
    assert_non_null(p);
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < 6; i++) {
        snprintf(paths[i], sizeof(paths[0]), "%s/%s", dir, NAMES[i]);
    }
    if (make(dir, "openssl req -x509 " KEY "-keyout ca.key -out ca.pem -subj /CN=ca"
                  " && openssl req -x509 " KEY "-keyout other.key -out other.pem -subj /CN=other"
                  " && printf 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=serverAuth,clientAuth\\n' >ext") != 0 ||
        make(dir,
             "for n in s c; do openssl req " KEY "-keyout $n.key -out $n.csr -subj /CN=$n && openssl x509 -req -in "
             "$n.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out $n.pem || exit 1; done") != 0) {
        printf("no openssl here, or another one\n");
        make(dir, "rm -rf .");
        free(p);
        skip();
    }
    const char *const more[] = { "--cert-file",       paths[1], "--key-file",         paths[2],
                                 "--trusted-ca-file", paths[0], "--client-cert-auth", NULL };
    p->w.tls = true;
    etcd_world_start(&p->w, 1, more);
    struct etcd_client_opts opts = { .http = { .ca = paths[0], .cert = paths[3], .key = paths[4] } };
    book_open(&p->a, etcd_world_url(&p->w, 1, "s/"), 0, &opts);
    (void)book_put(&p->a, "a", "1");
    (void)book_catch_up(&p->a);
    assert_has(&p->a, "a", "1");
    book_close(&p->a);
    struct {
        struct etcd_http_opts http;
        const char *url, *words;
    } bad[] = {
        { { .ca = paths[5], .cert = paths[3], .key = paths[4] }, NULL, "TLS does not fit" }, /* another authority */
        { { .ca = paths[0] }, NULL, "TLS does not fit" }, /* no certificate of ours */
        { { .ca = "/nowhere", .cert = paths[3], .key = paths[4] }, NULL, "TLS does not fit" },
        { { .ca = paths[0], .cert = paths[3], .key = paths[2] }, NULL, "TLS does not fit" }, /* a key that is not its */
        { { 0 }, "etcd", "write etcds://" },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        opts.http = bad[i].http;
        p->w.tls = bad[i].url == NULL;
        book_open(&p->a, etcd_world_url(&p->w, 1, "s/"), 0, &opts);
        until_failed(&p->a, bad[i].url == NULL, bad[i].words);
        book_close(&p->a);
    }
    make(dir, "rm -rf \"$PWD\"");
    stop(p);
}

/* ---- three members ----------------------------------------------------------------------------------------------- */

static unsigned watched_member(struct pair *p, struct book *b) {
    struct etcd_state now;
    etcd_client_state(b->client, &now);
    for (unsigned i = 0; i < p->w.n; i++) {
        char at[32];
        snprintf(at, sizeof(at), "127.0.0.1:%u", p->w.client_ports[i]);
        if (strcmp(at, now.endpoint) == 0) {
            return i;
        }
    }
    fail_msg("%s is none of the members", now.endpoint);
    return 0;
}

/* Until it is done: what comes out UNKNOWN or refused is tried again. */
static void put_at_last(struct book *b, const char *key, const char *value) {
    struct etcd_op op;
    do {
        op = book_op(ETCD_PUT, key, value);
    } while (book_write_within(b, &op, 1, 5000).result != ETCD_DONE);
}

static void three_members__any_of_them_dies_or_is_stopped(void **state) {
    struct pair *p = start(3, NULL);
    (void)state;
    book_open(&p->a, etcd_world_url(&p->w, 3, "z/"), 0, NULL);
    book_open(&p->b, etcd_world_url(&p->w, 3, "z/"), 0, NULL);
    (void)book_catch_up(&p->b);
    for (unsigned round = 0; round < 4; round++) {
        char value[8], key[8], other[8];
        book_until_watching(&p->b);
        unsigned at = watched_member(p, &p->b);
        snprintf(value, sizeof(value), "%u", round);
        /* Keys of this round alone: a put that a stopped member had taken, and whose answer did not come, may be done after the next ones. */
        snprintf(key, sizeof(key), "k%u", round);
        snprintf(other, sizeof(other), "o%u", round);
        if (round % 2) {
            etcd_member_signal(&p->w, at, SIGSTOP); /* its connections stay, and say nothing */
        } else {
            etcd_member_kill(&p->w, at);
        }
        put_at_last(&p->a, key, value);
        (void)book_catch_up(&p->b);
        assert_has(&p->b, key, value);
        if (round % 2) {
            etcd_member_signal(&p->w, at, SIGCONT);
        } else {
            etcd_member_start(&p->w, at);
            etcd_member_wait(&p->w, at);
        }
        put_at_last(&p->b, other, "back");
        (void)book_catch_up(&p->a);
        assert_has(&p->a, other, "back");
    }
    assert_int_equal(p->a.snapshots, 1); /* no host had to begin anew */
    assert_int_equal(p->b.snapshots, 1);
    assert_false(p->a.restored || p->b.restored);
    book_close(&p->b);
    book_close(&p->a);
    stop(p);
}

static void three_members__the_leader_changes(void **state) {
    struct pair *p = start(3, NULL);
    (void)state;
    book_open(&p->a, etcd_world_url(&p->w, 3, "z/"), 0, NULL);
    for (unsigned round = 0; round < 6; round++) {
        char ids[400], value[8];
        (void)etcd_control(&p->w, ids, sizeof(ids), "member list | cut -d, -f1");
        char *id = strtok(ids, "\n");
        for (unsigned i = 0; id && i < round % 3; i++) {
            id = strtok(NULL, "\n");
        }
        (void)etcd_control(&p->w, NULL, 0, "move-leader %s", id ? id : "0"); /* some ask one that does not lead */
        snprintf(value, sizeof(value), "%u", round);
        put_at_last(&p->a, "k", value);
        (void)book_catch_up(&p->a);
        assert_has(&p->a, "k", value);
    }
    assert_int_equal(p->a.snapshots, 1);
    assert_false(p->a.restored);
    book_close(&p->a);
    stop(p);
}

/* The member that is watched lives and takes connections, and its cluster is out of its reach: it must end the watch by itself. */
static void member_without_its_cluster__ends_the_watch(void **state) {
    struct pair *p = start(3, NULL);
    struct etcd_state now;
    (void)state;
    book_open(&p->a, etcd_world_url(&p->w, 1, "z/"), 0, NULL); /* knows the first member alone */
    (void)book_put(&p->a, "k", "1");
    (void)book_catch_up(&p->a);
    etcd_member_signal(&p->w, 1, SIGSTOP);
    etcd_member_signal(&p->w, 2, SIGSTOP);
    do {
        usleep(10000);
        etcd_client_state(p->a.client, &now); /* no question is asked meanwhile */
    } while (!strstr(now.why, "no leader"));
    etcd_member_signal(&p->w, 1, SIGCONT);
    etcd_member_signal(&p->w, 2, SIGCONT);
    put_at_last(&p->a, "k", "2");
    (void)book_catch_up(&p->a);
    assert_has(&p->a, "k", "2");
    assert_int_equal(p->a.snapshots, 1);
    book_close(&p->a);
    stop(p);
}

int main(void) {
    help_start(200);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copy_and_watch),
        cmocka_unit_test(writes__of_every_kind),
        cmocka_unit_test(writes__with_a_ttl__share_leases_and_end),
        cmocka_unit_test(compacted__a_difference),
        cmocka_unit_test(sink_that_refuses__is_given_a_snapshot_later),
        cmocka_unit_test(restored__revisions_went_back__is_noticed),
        cmocka_unit_test(restored__and_written_beyond__is_noticed_by_its_log),
        cmocka_unit_test(wiped__and_written_beyond__is_noticed_by_a_key),
        cmocka_unit_test(users),
        cmocka_unit_test(users__change_while_we_watch__we_go_on),
        cmocka_unit_test(tls),
        cmocka_unit_test(three_members__any_of_them_dies_or_is_stopped),
        cmocka_unit_test(three_members__the_leader_changes),
        cmocka_unit_test(member_without_its_cluster__ends_the_watch),
    };
    if (etcd_http_missing() || !etcd_is_here()) {
        printf("1..1\nok 1 # SKIP %s\n",
               etcd_http_missing() ? etcd_http_missing() : "there is no etcd here (etcd-server, etcd-client)");
        return 0;
    }
    if (getenv("TIDE_CASE")) { /* one alone, by hand */
        cmocka_set_test_filter(getenv("TIDE_CASE"));
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
