/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What do many hosts on one etcd cost it, and each of them? */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/cluster.h"
#include "bench/lib/program.h"

#define SECOND UINT64_C(1000000000)

static const uint32_t HOSTS[] = { 1, 2, 4, 8, 16, 32 };
static const uint32_t RATES[] = { 10, 100, 1000 };
#define N_HOSTS (sizeof(HOSTS) / sizeof(HOSTS[0]))
#define N_RATES (sizeof(RATES) / sizeof(RATES[0]))

static struct {
    struct bench_cluster cluster;
    uint64_t seconds, most, members;
    uint32_t etcd[N_HOSTS][N_RATES], host[N_HOSTS][N_RATES], rate[N_HOSTS][N_RATES];
} plan = { .seconds = 4, .most = 32, .members = 1 };

static uint64_t cpu_of_hosts(uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t k = 0; k < n; k++) {
        sum += bench_cluster_cpu_ns(plan.cluster.hosts[k]);
    }
    return sum;
}

static void measure(uint32_t h, uint32_t r) {
    static uint64_t number = 0x4000000;
    char value[100];
    int fd = bench_etcd_connect(&plan.cluster);
    uint64_t etcd = bench_cluster_members_cpu_ns(&plan.cluster), hosts = cpu_of_hosts(HOSTS[h]), began = bench_now_ns(),
             puts = 0;
    uint64_t until = began + (bench->quick ? SECOND / 5 : plan.seconds * SECOND);
    memset(value, 'v', sizeof(value));
    for (uint64_t due = began; bench_now_ns() < until; due += SECOND / RATES[r]) {
        while (bench_now_ns() < due) {
            usleep(100);
        }
        bench_go_on();
        bench_etcd_put(fd, number + puts++ % 1000, value, sizeof(value));
    }
    double took = (double)(bench_now_ns() - began);
    usleep(300000); /* what is under way belongs to it */
    bench_set(plan.etcd[h][r], (double)(bench_cluster_members_cpu_ns(&plan.cluster) - etcd) / took);
    bench_set(plan.host[h][r], (double)(cpu_of_hosts(HOSTS[h]) - hosts) / took / HOSTS[h]);
    bench_set(plan.rate[h][r], (double)puts * 1e9 / took);
    close(fd);
}

static void repeat(void) {
    static const char *const OPTIONS[] = { "--followers", "0", "--table", "1M", "--ring", "1M", NULL };
    uint32_t started = 0;
    for (uint32_t h = 0; h < N_HOSTS && HOSTS[h] <= plan.most; h++) {
        while (started < HOSTS[h]) {
            bench_cluster_host(&plan.cluster, started++, true, OPTIONS);
        }
        for (uint32_t r = 0; r < N_RATES; r++) {
            bench_progress("%u hosts, %u writes/s", HOSTS[h], RATES[r]);
            measure(h, r);
        }
    }
    while (started > 0) {
        bench_cluster_end_host(&plan.cluster, --started);
    }
}

static void prepare(void) {
    static const char *const NAMES[] = { "etcd's CPU, of one core", "a host's CPU, of one core", "writes" };
    static const char *const IDS[] = { "etcd", "host", "rate" };
    for (uint32_t r = 0; r < N_RATES; r++) {
        for (int what = 0; what < 3; what++) {
            const char *group = bench_text("%u writes/s asked for: %s", RATES[r], NAMES[what]);
            for (uint32_t h = 0; h < N_HOSTS; h++) {
                uint32_t *row = what == 0 ? &plan.etcd[h][r] : what == 1 ? &plan.host[h][r] : &plan.rate[h][r];
                *row = bench_row(bench_text("scale.%s.%u.%u", IDS[what], RATES[r], HOSTS[h]), group,
                                 bench_text("%u hosts", HOSTS[h]), what == 2 ? "1/s" : "share");
            }
        }
    }
    bench_cluster_start(&plan.cluster, (unsigned)plan.members);
}

BENCH_NOTE("etcd with %llu of its members and the hosts on one machine; without fsync. etcd's CPU is that of all its "
           "members.",
           (unsigned long long)plan.members)

BENCH_MAIN(.name = "scale", .repetitions = 1, .note = note,
           BENCH_NUMBERS({ "seconds", "of each combination", &plan.seconds, 1, 600, 1 },
                         { "hosts", "at most", &plan.most, 1, 32, 2 },
                         { "members", "of etcd: 1 or 3", &plan.members, 1, BENCH_MEMBERS, 1 }),
           .about = "Measures the CPU that 1 to 32 hosts on one etcd cost it and each of them, at 10, 100 and 1,000 "
                    "writes a second of 100 bytes. Nobody\n"
                    "reads. Needs etcd; `tide` beside it.\n")
