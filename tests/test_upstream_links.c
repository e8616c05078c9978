/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host whose way to the cluster is in the test's hand (tests/lib/links.h). Above all: a read at bound 0 needs an answer of the cluster to a
 * question that was sent after the read began. So while no question gets there, no read that begins then is answered, whichever older
 * answers come late, and however often etcd is stopped, links are cut, and the host's leader dies.
 *
 * TIDE_ROUNDS=N: so many rounds of that, instead of some.
 */
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/replica/domain.h"
#include "tests/lib/etcd.h"
#include "tests/lib/help.h"
#include "tools/etcd/http.h"

#define MS UINT64_C(1000000)
#define NAME "d"
#define READERS 3u

struct world {
    struct etcd_world etcd;
    char dirs[ETCD_HOSTS][64];
    pid_t leads[ETCD_HOSTS], follows;
    struct tide *d;
};

static void nap_ms(uint64_t ms) {
    nanosleep(&(struct timespec){ (time_t)(ms / 1000), (long)(ms % 1000 * 1000000) }, NULL);
}

/* ---- hosts ------------------------------------------------------------------------------------------------------- */

static pid_t serve(const struct world *w, unsigned host, const char *role, const char *log) {
    return etcd_world_tide(&w->etcd, host, w->dirs[host], role, NAME, "l/", log);
}

static bool said(const struct world *w, const char *log, const char *words) {
    char path[200], line[600];
    snprintf(path, sizeof(path), "%s/%s", w->etcd.dir, log);
    FILE *in = fopen(path, "re");
    bool found = false;
    while (in && fgets(line, sizeof(line), in)) {
        found = found || strstr(line, words) != NULL;
    }
    if (in) {
        fclose(in);
    }
    return found;
}

static void await_words(const struct world *w, const char *log, const char *words) {
    while (!said(w, log, words)) {
        nap_ms(10);
    }
}

static struct tide *open_host(const struct world *w, unsigned host) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    opts.flags = 0;
    opts.write_timeout_ns = 30000 * MS;
    setenv("TIDE_SHM_DIR", w->dirs[host], 1);
    assert_int_equal(tide_open(&d, NAME, &opts), 0);
    return d;
}

static void start(struct world *w, unsigned members, unsigned hosts) {
    static const char *const LOGS[] = { "host0", "host1" };
    memset(w, 0, sizeof(*w));
    etcd_world_start_linked(&w->etcd, members, hosts);
    for (unsigned h = 0; h < hosts; h++) {
        snprintf(w->dirs[h], sizeof(w->dirs[h]), "/dev/shm/tide-links-XXXXXX");
        assert_non_null(mkdtemp(w->dirs[h]));
        w->leads[h] = serve(w, h, "serve", LOGS[h]);
    }
    for (unsigned h = 0; h < hosts; h++) {
        await_words(w, LOGS[h], "ready ");
    }
    w->d = open_host(w, 0);
}

static void end_process(pid_t *pid) {
    if (*pid > 0) {
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
        *pid = 0;
    }
}

static void stop(struct world *w) {
    tide_close(w->d);
    end_process(&w->follows);
    for (unsigned h = 0; h < ETCD_HOSTS; h++) {
        char command[100];
        end_process(&w->leads[h]);
        snprintf(command, sizeof(command), "rm -rf '%s'", w->dirs[h]);
        assert_true(w->dirs[h][0] == '\0' || system(command) == 0);
    }
    etcd_world_stop(&w->etcd);
}

static struct tide_reader *reader_of(struct tide *d) {
    struct tide_reader *r = NULL;
    assert_int_equal(tide_reader_open(d, NULL, &r), 0);
    return r;
}

/* 0, or what tide_get() says. */
static int read_fresh(struct tide_reader *r, uint64_t wait_ms, char *to, size_t size) {
    struct tide_bound b = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    b.fallback = TIDE_FALLBACK_WAIT;
    b.wait_ns = wait_ms * MS;
    int rc = tide_get(r, "k", 1, &b, to, size - 1, &a);
    to[rc == 0 && a.value_size < size ? a.value_size : 0] = '\0';
    return rc;
}

/* By etcd's own client, past the links. */
static void put_directly(struct world *w, const char *value) {
    assert_int_equal(etcd_control(&w->etcd, NULL, 0, "put l/k %s", value), 0);
}

/* ---- answers that come late -------------------------------------------------------------------------------------- */

struct late {
    struct world *w;
    uint64_t wait_ms;
    int rc;
    char got[40];
};

static void *late_read(void *arg) {
    struct late *l = arg;
    struct tide_reader *r = reader_of(l->w->d);
    l->rc = read_fresh(r, l->wait_ms, l->got, sizeof(l->got));
    tide_reader_close(r);
    return NULL;
}

/* A read's question is under way when another read begins: the answer does not count for the second read. */
static void late_answer__serves_no_read_that_began_after_its_question(void **state) {
    struct world w;
    struct help_rng rng = { help_seed() };
    (void)state;
    start(&w, 1, 1);
    struct tide_reader *r = reader_of(w.d);
    const struct feed_board *feed = &w.d->log->feed;
    unsigned link = w.etcd.host_links[0][0];
    char got[40], value[40];
    for (unsigned round = 0; round < 6; round++) {
        snprintf(value, sizeof(value), "%u-before", round);
        put_directly(&w, value);
        assert_int_equal(read_fresh(r, 60000, got, sizeof(got)), 0);
        assert_string_equal(got, value);
        /* What the cluster answers from here on waits on the link. */
        links_hold(w.etcd.links, link, LINK_DOWN, true);
        assert_int_equal(read_fresh(r, 20, got, sizeof(got)), TIDE_ERR_TIMEOUT);
        while (links_waiting(w.etcd.links, link, LINK_DOWN) == 0) {
            nap_ms(1);
        }
        links_hold(w.etcd.links, link, LINK_UP, true); /* nobody can ask it any more */
        snprintf(value, sizeof(value), "%u-after", round);
        put_directly(&w, value);
        uint64_t begun = feed->begun, done = feed->done;
        assert_true(done < begun); /* a question has no answer yet */
        struct late late = { &w, 400, 1, "" };
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, late_read, &late), 0);
        while (feed->wanted <= begun) { /* the read has begun, and knows that it needs a later one */
            nap_ms(1);
        }
        nap_ms(help_below(&rng, 30));
        links_hold(w.etcd.links, link, LINK_DOWN, false); /* the old answers come */
        while (feed->done <= done) {
            nap_ms(1);
        }
        pthread_join(thread, NULL);
        assert_int_equal(late.rc, TIDE_ERR_TIMEOUT);
        links_mend(w.etcd.links);
        assert_int_equal(read_fresh(r, 60000, got, sizeof(got)), 0);
        assert_string_equal(got, value);
    }
    tide_reader_close(r);
    stop(&w);
}

/* ---- nobody can be asked ------------------------------------------------------------------------------------------ */

static struct {
    _Atomic uint32_t turn; /* odd: no question gets to the cluster */
    _Atomic uint32_t answered, refused, wrong, writes;
    _Atomic bool over;
} deaf;

static void *deaf_reads(void *arg) {
    struct world *w = arg;
    struct help_rng rng = { (uint64_t)(uintptr_t)&rng };
    struct tide_reader *r = reader_of(w->d);
    char got[40];
    while (!deaf.over) {
        uint32_t turn = deaf.turn;
        int rc = read_fresh(r, help_below(&rng, 120), got, sizeof(got));
        bool answered = rc == 0 || rc == TIDE_ERR_NOT_FOUND;
        deaf.answered += answered;
        deaf.refused += !answered;
        if (answered && turn % 2 == 1 && deaf.turn == turn) {
            deaf.wrong++;
        }
        if (rc == TIDE_ERR_NO_LEADER || rc == TIDE_ERR_NO_REPLICA) {
            nap_ms(1);
        }
    }
    tide_reader_close(r);
    return NULL;
}

/* Changes are on their way all the time, and probes, because a reader asks for bounds. */
static void *deaf_writes(void *arg) {
    struct world *w = arg;
    struct tide_reader *r = reader_of(w->d);
    struct tide_bound b = TIDE_BOUND_INIT;
    b.max_staleness_ns = 5 * MS;
    b.fallback = TIDE_FALLBACK_ERROR;
    while (!deaf.over) {
        char value[24], got[40];
        int size = snprintf(value, sizeof(value), "%u", deaf.writes);
        deaf.writes += tide_put(w->d, r, "k", 1, value, (size_t)size, NULL) == 0;
        (void)tide_get(r, "k", 1, &b, got, sizeof(got), NULL);
        nap_ms(2);
    }
    tide_reader_close(r);
    return NULL;
}

static void deafen(struct world *w, struct help_rng *rng) {
    unsigned link = w->etcd.host_links[0][0];
    switch (help_below(rng, 3)) {
    case 0:
        etcd_member_freeze(&w->etcd, 0);
        break;
    case 1:
        links_hold(w->etcd.links, link, LINK_UP, true);
        break;
    default:
        links_cut(w->etcd.links, link, true);
    }
}

/* While it is so: answers that were on their way come, and leaders die. */
static void trouble(struct world *w, struct help_rng *rng) {
    unsigned link = w->etcd.host_links[0][0];
    nap_ms(help_below(rng, 40));
    if (help_below(rng, 3) == 0) {
        links_delay(w->etcd.links, link, 0);
    }
    if (help_below(rng, 4) == 0) {
        end_process(&w->leads[0]);
        w->leads[0] = w->follows; /* it leads, or will */
        w->follows = serve(w, 0, "follow", "host0");
    }
    nap_ms(help_below(rng, 80));
}

static void nobody_can_be_asked__no_read_at_bound_0_is_answered(void **state) {
    struct world w;
    struct help_rng rng = { help_seed() };
    const char *more = getenv("TIDE_ROUNDS");
    uint64_t rounds = more ? strtoull(more, NULL, 10) : help_scaled(25);
    pthread_t threads[READERS + 1];
    (void)state;
    start(&w, 1, 1);
    w.follows = serve(&w, 0, "follow", "host0");
    memset(&deaf, 0, sizeof(deaf));
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, deaf_reads, &w), 0);
    }
    assert_int_equal(pthread_create(&threads[READERS], NULL, deaf_writes, &w), 0);
    for (uint64_t i = 0; i < rounds && deaf.wrong == 0; i++) {
        uint32_t answered = deaf.answered;
        while (deaf.answered < answered + 5) { /* it goes on between the rounds */
            nap_ms(1);
        }
        links_delay(w.etcd.links, w.etcd.host_links[0][0], (uint32_t)help_below(&rng, 12));
        nap_ms(help_below(&rng, 20));
        deafen(&w, &rng);
        deaf.turn++;
        trouble(&w, &rng);
        deaf.turn++;
        etcd_member_signal(&w.etcd, 0, SIGCONT);
        links_mend(w.etcd.links);
    }
    deaf.over = true;
    for (unsigned i = 0; i <= READERS; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("# %" PRIu64 " rounds, %u reads answered, %u not, %u writes\n", rounds, deaf.answered, deaf.refused,
           deaf.writes);
    assert_int_equal(deaf.wrong, 0);
    stop(&w);
}

/* ---- a partition -------------------------------------------------------------------------------------------------- */

static int leading_member(struct world *w) {
    for (unsigned i = 0; i < w->etcd.n; i++) {
        char out[600], want[40];
        snprintf(want, sizeof(want), "127.0.0.1:%u, ", w->etcd.client_ports[i]);
        if (etcd_control(&w->etcd, out, sizeof(out), "endpoint status | grep ' true,'") == 0) {
            const char *at = strstr(out, want), *end = at ? strchr(at, '\n') : NULL;
            if (at && end && memmem(at, (size_t)(end - at), "true, false", 11)) {
                return (int)i;
            }
        }
    }
    return -1;
}

/* The cluster's leader is cut off from the other members; hosts reach it all the same. It must serve no read at bound 0, and the others do. */
static void leader_of_the_cluster_without_its_peers__both_hosts_go_on(void **state) {
    struct world w;
    char got[40], value[40];
    (void)state;
    start(&w, 3, 2);
    struct tide_reader *r[2] = { reader_of(w.d) };
    assert_int_equal(read_fresh(r[0], 60000, got, sizeof(got)),
                     TIDE_ERR_NOT_FOUND); /* it maps replicas of this folder */
    struct tide *other = open_host(&w, 1);
    r[1] = reader_of(other);
    for (unsigned round = 0; round < 3; round++) {
        int leads;
        while ((leads = leading_member(&w)) < 0) {
            nap_ms(50);
        }
        etcd_member_isolate(&w.etcd, (unsigned)leads, true);
        struct tide *from = round % 2 ? other : w.d;
        int size = snprintf(value, sizeof(value), "without %d", leads), rc;
        do { /* of unknown outcome while nobody leads the cluster */
            rc = tide_put(from, NULL, "k", 1, value, (size_t)size, NULL);
        } while (rc == TIDE_ERR_UNKNOWN || rc == TIDE_ERR_TIMEOUT);
        assert_int_equal(rc, 0);
        for (unsigned h = 0; h < 2; h++) {
            assert_int_equal(read_fresh(r[h], 60000, got, sizeof(got)), 0);
            assert_string_equal(got, value);
        }
        int now;
        while ((now = leading_member(&w)) < 0 || now == leads) { /* it took another one, so it was cut off */
            nap_ms(50);
        }
        etcd_member_isolate(&w.etcd, (unsigned)leads, false);
        put_directly(&w, "whole");
        for (unsigned h = 0; h < 2; h++) {
            assert_int_equal(read_fresh(r[h], 60000, got, sizeof(got)), 0);
            assert_string_equal(got, "whole");
        }
    }
    tide_reader_close(r[0]);
    tide_reader_close(r[1]);
    tide_close(other);
    stop(&w);
}

int main(void) {
    help_start(getenv("TIDE_ROUNDS") ? 3600 : 200);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_answer__serves_no_read_that_began_after_its_question),
        cmocka_unit_test(nobody_can_be_asked__no_read_at_bound_0_is_answered),
        cmocka_unit_test(leader_of_the_cluster_without_its_peers__both_hosts_go_on),
    };
    if (etcd_http_missing() || !etcd_is_here()) {
        printf("1..1\nok 1 # SKIP %s\n", etcd_http_missing() ? etcd_http_missing() : "there is no etcd here");
        return 0;
    }
    if (getenv("TIDE_CASE")) { /* one alone, by hand */
        cmocka_set_test_filter(getenv("TIDE_CASE"));
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
