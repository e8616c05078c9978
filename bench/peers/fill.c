/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making all peers and putting every key into each. Two threads share the work: with 10 M keys it takes as long as
 * measuring. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "bench/peers/pages.h"
#include "bench/peers/stage.h"

#define SPARE_BYTES (UINT64_C(256) << 20)

static uint64_t memory_left(void) {
    uint64_t kib = bench_file_kib("/proc/meminfo", "MemAvailable");
    return kib != 0 ? kib * 1024 : UINT64_MAX;
}

static void tell_left_out(const struct peer_stage *s, const struct peer *p, const char *why) {
    char keys[24];
    peer_progress(NULL, s, 0);
    fprintf(stderr, "peers: %s is left out at %s keys with values of %llu bytes: %s\n", p->name,
            peer_count_text(keys, s->options.keys), (unsigned long long)s->options.value_size, why);
}

/* Told once: the package will not come while this program runs. */
static void tell_not_built(const struct peer *p) {
    static const struct peer *told[PEERS];
    uint32_t k = 0;
    while (told[k] != NULL && told[k] != p) {
        k++;
    }
    if (told[k] == NULL) {
        fprintf(stderr, "peers: %s is left out: this was built without it. `make bench-peers` installs %s\n", p->name,
                p->package);
    }
    told[k] = p;
}

/* Is it to be measured, and is there room for it in *left bytes? */
static int fits(const struct peer_stage *s, const struct peer *p, uint64_t *left) {
    if (p->package != NULL) {
        tell_not_built(p);
        return 0;
    }
    uint64_t need = p->bytes(&s->c) / 10 * 11;
    if (need > *left) {
        char why[96];
        snprintf(why, sizeof(why), "it needs about %llu MiB, and %llu are left", (unsigned long long)(need >> 20),
                 (unsigned long long)(*left >> 20));
        tell_left_out(s, p, why);
        return 0;
    }
    *left -= need;
    return 1;
}

static int failed_at(const struct peer_case *c, const struct peer *p, int rc) {
    char text[BENCH_ERROR_BYTES];
    if (rc < 0) {
        snprintf(text, sizeof(text), "%s", c->error);
        peer_failed(c, "%llu keys, %s: %.200s", (unsigned long long)c->options->keys, p->name, text);
    }
    return rc;
}

static int fill_one(const struct peer_stage *s, struct peer_case *c, struct peer_seat *seat) {
    seat->begun = 1;
    int rc = *c->stop ? PEER_STOPPED : seat->peer->fill(c, &seat->handle);
    if (rc == PEER_LEFT_OUT) {
        tell_left_out(s, seat->peer, c->error);
        return 0;
    }
    seat->ready = rc == 0;
    return failed_at(c, seat->peer, rc);
}

struct helper {
    pthread_t thread;
    struct peer_stage *stage;
    struct peer_case c;
    char error[BENCH_ERROR_BYTES];
    int rc;
};

static int fill_those(struct peer_stage *s, struct peer_case *c, bool ours) {
    int rc = 0;
    for (uint32_t k = 0; k < PEERS && rc == 0; k++) {
        struct peer_seat *seat = &s->seats[k];
        if (seat->fits && seat->peer->by_user == ours) {
            rc = fill_one(s, c, seat);
        }
    }
    return rc;
}

static void *helper_main(void *arg) {
    struct helper *h = arg;
    h->rc = fill_those(h->stage, &h->c, false);
    return NULL;
}

static int fill_all(struct peer_stage *s) {
    struct helper h = { .stage = s, .c = s->c };
    h.c.error = h.error;
    if (pthread_create(&h.thread, NULL, helper_main, &h) != 0) {
        return peer_failed(&s->c, "no thread to fill with");
    }
    int rc = fill_those(s, &s->c, true);
    pthread_join(h.thread, NULL);
    if (rc == 0 && h.rc != 0) {
        memcpy(s->c.error, h.error, sizeof(h.error));
        rc = h.rc;
    }
    if (rc == 0 && s->c.huge_pages) {
        peer_pages_collapse_private();
    }
    return rc;
}

int peer_stage_fill(struct peer_stage *s) {
    uint64_t left = memory_left();
    left = left > SPARE_BYTES ? left - SPARE_BYTES : 0;
    peer_progress("filling", s, 0);
    for (uint32_t k = 0; k < PEERS; k++) {
        struct peer_seat *seat = &s->seats[k];
        seat->fits = seat->peer != NULL && fits(s, seat->peer, &left);
    }
    /* Forks come first: later, domains are open and threads run. */
    for (uint32_t k = 0; k < PEERS; k++) {
        struct peer_seat *seat = &s->seats[k];
        if (seat->fits && seat->peer->fork != NULL) {
            seat->begun = 1;
            int rc = seat->peer->fork(&s->c, &seat->handle);
            if (rc == PEER_LEFT_OUT) {
                tell_left_out(s, seat->peer, s->c.error);
                seat->fits = 0;
            } else if (rc != 0) {
                return failed_at(&s->c, seat->peer, rc);
            }
        }
    }
    return fill_all(s);
}
