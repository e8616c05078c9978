/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What do many hosts on one etcd cost it, and each of them? */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/lib/cluster.h"
#include "bench/lib/program.h"

#define SECOND UINT64_C(1000000000)

static const uint32_t HOSTS[] = { 1, 2, 4, 8, 16, 32 };
static const uint32_t RATES[] = { 10, 100, 1000 };
#define N_HOSTS (sizeof(HOSTS) / sizeof(HOSTS[0]))
#define N_RATES (sizeof(RATES) / sizeof(RATES[0]))

struct scale {
    struct bench_program *p;
    struct bench_cluster cluster;
    uint64_t seconds, most, members;
    uint32_t etcd[N_HOSTS][N_RATES], host[N_HOSTS][N_RATES], rate[N_HOSTS][N_RATES];
};

static int failed(struct scale *s, const char *what) {
    return bench_program_failed(s->p, "%s%s%s", what, s->cluster.error[0] ? ": " : "", s->cluster.error);
}

static uint64_t cpu_of_hosts(const struct scale *s, uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t k = 0; k < n; k++) {
        sum += bench_cluster_cpu_ns(s->cluster.hosts[k]);
    }
    return sum;
}

static int measure(struct scale *s, uint32_t h, uint32_t r, uint32_t repetition) {
    static uint64_t number = 0x4000000;
    int fd = bench_etcd_connect(&s->cluster), rc = fd < 0 ? -1 : 0;
    uint64_t etcd = bench_cluster_members_cpu_ns(&s->cluster), hosts = cpu_of_hosts(s, HOSTS[h]),
             began = bench_now_ns(), puts = 0;
    uint64_t until = began + (s->p->quick ? SECOND / 5 : s->seconds * SECOND);
    for (uint64_t due = began; rc == 0 && bench_now_ns() < until && !bench_stop; due += SECOND / RATES[r]) {
        while (bench_now_ns() < due) {
            usleep(100);
        }
        char value[100];
        memset(value, 'v', sizeof(value));
        rc = bench_etcd_put(fd, number + puts++ % 1000, value, sizeof(value));
    }
    uint64_t took = bench_now_ns() - began;
    usleep(300000); /* what is under way belongs to it */
    bench_program_set(s->p, s->etcd[h][r], repetition,
                      (double)(bench_cluster_members_cpu_ns(&s->cluster) - etcd) / (double)took);
    bench_program_set(s->p, s->host[h][r], repetition,
                      (double)(cpu_of_hosts(s, HOSTS[h]) - hosts) / (double)took / HOSTS[h]);
    bench_program_set(s->p, s->rate[h][r], repetition, (double)puts * 1e9 / (double)took);
    close(fd);
    return rc == 0 ? 0 : failed(s, "writes");
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    static const char *const OPTIONS[] = { "--followers", "0", "--table", "1M", "--ring", "1M", NULL };
    struct scale *s = ctx;
    int rc = 0;
    uint32_t started = 0;
    (void)p;
    for (uint32_t h = 0; h < N_HOSTS && rc == 0 && HOSTS[h] <= s->most; h++) {
        while (started < HOSTS[h] && rc == 0) {
            rc = bench_cluster_host(&s->cluster, started++, true, OPTIONS) == 0 ? 0 : failed(s, "a host");
        }
        for (uint32_t r = 0; r < N_RATES && rc == 0; r++) {
            bench_program_progress(s->p, "%u hosts, %u writes/s", HOSTS[h], RATES[r]);
            rc = bench_stop ? 1 : measure(s, h, r, repetition);
        }
    }
    while (started > 0) {
        bench_cluster_end_host(&s->cluster, --started);
    }
    return rc;
}

static void add_rows(struct scale *s) {
    for (uint32_t r = 0; r < N_RATES; r++) {
        char group[96];
        for (int what = 0; what < 3; what++) {
            static const char *const NAMES[] = { "etcd's CPU, of one core", "a host's CPU, of one core", "writes" };
            static const char *const IDS[] = { "etcd", "host", "rate" };
            snprintf(group, sizeof(group), "%u writes/s asked for: %s", RATES[r], NAMES[what]);
            for (uint32_t h = 0; h < N_HOSTS; h++) {
                char id[64], title[40];
                snprintf(id, sizeof(id), "scale.%s.%u.%u", IDS[what], RATES[r], HOSTS[h]);
                snprintf(title, sizeof(title), "%u hosts", HOSTS[h]);
                uint32_t row = bench_program_row(s->p, id, group, title, what == 2 ? "1/s" : "share");
                *(what == 0 ? &s->etcd[h][r] : what == 1 ? &s->host[h][r] : &s->rate[h][r]) = row;
            }
        }
    }
}

int main(int argc, char **argv) {
    static struct scale s = { .seconds = 4, .most = 32, .members = 1 };
    static const struct bench_number numbers[] = {
        { "seconds", "of each combination", &s.seconds, 1, 600, 1 },
        { "hosts", "at most", &s.most, 1, 32, 2 },
        { "members", "of etcd: 1 or 3", &s.members, 1, BENCH_MEMBERS, 1 },
    };
    static struct bench_program p = {
        .name = "scale",
        .about = "Measures the CPU that 1 to 32 hosts on one etcd cost it and each of them, at 10, 100 and 1,000 "
                 "writes a second of 100 bytes. Nobody\n"
                 "reads. Needs etcd; `tide` beside it.\n",
        .numbers = numbers,
        .numbers_n = 3,
        .repetitions = 1,
    };
    int code;
    s.p = &p;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    snprintf(p.figures.note, sizeof(p.figures.note),
             "etcd with %llu of its members and the hosts on one machine; without fsync. etcd's CPU is that of all its "
             "members.",
             (unsigned long long)s.members);
    add_rows(&s);
    int rc = bench_cluster_start_members(&s.cluster, (unsigned)s.members);
    rc = rc != 0 ? failed(&s, rc > 0 ? "there is no etcd here (Debian: etcd-server)" : "etcd") : 0;
    rc = rc != 0 ? rc : bench_program_repeat(&p, one_repetition, &s);
    bench_cluster_end(&s.cluster);
    return bench_program_end(&p, rc);
}
