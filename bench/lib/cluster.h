/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * etcd for benchmarks: one member, or three, on this machine's loopback, without fsync, its data in a temporary folder; hosts, which are `tide serve
 * --upstream` processes with folders of their own; and etcd's own calls by plain sockets, for comparison. One thread starts and ends
 * them; any thread may call etcd.
 */
#ifndef TIDE_BENCH_CLUSTER_H
#define TIDE_BENCH_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BENCH_HOSTS 40u

#define BENCH_MEMBERS 3u

struct bench_cluster {
    char dir[64];
    unsigned port; /* of the first member */
    pid_t etcd;
    unsigned members, ports[BENCH_MEMBERS];
    pid_t etcds[BENCH_MEMBERS]; /* the first is `etcd` */
    pid_t hosts[BENCH_HOSTS];
};

/* What fails here ends the program (bench/lib/program.h), whose end also ends etcd and hosts and removes their folders. */

/* Start so many members and wait until they have a leader. No domain is open. */
void bench_cluster_start(struct bench_cluster *c, unsigned members);

/* Start host k and wait until it is ready: upstream, or a plain domain without it. Options end with NULL. */
void bench_cluster_host(struct bench_cluster *c, unsigned k, bool upstream, const char *const *options);
void bench_cluster_end_host(struct bench_cluster *c, unsigned k);
/* From now on tide_open("d") opens host k's domain. */
void bench_cluster_enter(const struct bench_cluster *c, unsigned k);
/* CPU time that all members have used so far, ns; and a process. */
uint64_t bench_cluster_members_cpu_ns(const struct bench_cluster *c);
uint64_t bench_cluster_cpu_ns(pid_t pid);

/* ---- etcd's own calls: a connection each ---- */

int bench_etcd_connect(const struct bench_cluster *c);
/* A put of `size` bytes under "b/" NUMBER; a linearizable read of it; a transaction of n puts from that number on. */
void bench_etcd_put(int fd, uint64_t number, const void *value, size_t size);
void bench_etcd_read(int fd, uint64_t number);
void bench_etcd_fill(int fd, uint64_t number, unsigned n, size_t size);
/* Delete the keys of this number and of all higher ones. */
void bench_etcd_delete_from(int fd, uint64_t number);
/* Begin a watch of everything; afterwards read() tells. */
void bench_etcd_watch(int fd);

#endif
