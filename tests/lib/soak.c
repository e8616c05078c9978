/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The driver of a long run: processes, deaths, load, and what has grown. It opens no domain itself. */
#include "tests/lib/soak.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/stress_util.h"

#define PER_DOMAIN 12u
#define LINES_MOST 2000u
#define JUDGED_HOURS 0.05
#define LINE_NS UINT64_C(60000000000)
#define STUCK_NS UINT64_C(120000000000)

/* The processes of each domain; then a newcomer and the commands. The ones that stay are never killed: their memory, descriptors and threads are measured. */
static const struct {
    soak_role *role;
    const char *name;
    bool stays;
} roles[] = {
    { soak_node, "node", false },        { soak_node, "node", true },         { soak_node, "node", false },
    { soak_follower, "follower", true }, { soak_follower, "late", false },    { soak_writer, "writer", true },
    { soak_writer, "writer", false },    { soak_reader, "reader", true },     { soak_reader, "reader", false },
    { soak_sections, "sections", true }, { soak_watcher, "watcher", true },   { soak_janitor, "janitor", true },
    { soak_comer, "comer", true },       { soak_commands, "commands", true },
};

enum soak_figure {
    ANON_KIB,
    DESCRIPTORS,
    THREADS,
    MAPPINGS,
    SHM_KIB,
    FILES,
    MEMBERS,
    REPLICAS,
    LAG_US, /* told, and not judged: a time of a busy machine */
    WRITES,
    READS,
    REFUSED,
    KILLS,
    FIGURES
};

/* What may lie between the first part and the last. No more than `part` of the first and `more`; 0 for both: it is not judged. */
static const struct {
    const char *name;
    double part, more;
} figures[FIGURES] = {
    [ANON_KIB] = { "private_kib", 0.10, 4096 },
    [DESCRIPTORS] = { "descriptors", 0.10, 24 },
    [THREADS] = { "threads", 0, 4 },
    [MAPPINGS] = { "mappings", 0.10, 40 },
    [SHM_KIB] = { "shm_kib", 0.10, 4096 },
    [FILES] = { "shm_files", 0, 4 },
    [MEMBERS] = { "members", 0, 6 },
    [REPLICAS] = { "replicas", 0, 4 },
    [LAG_US] = { "lag_p999_us", 0, 0 },
    [WRITES] = { "writes", 0, 0 },
    [READS] = { "reads", 0, 0 },
    [REFUSED] = { "refused", 0, 0 },
    [KILLS] = { "kills", 0, 0 },
};

struct soak_line {
    double minute;
    double figure[FIGURES];
};

struct soak_run {
    struct soak_world *w;
    struct soak_options o;
    uint64_t rng, start, kills, stops;
    uint64_t writes, reads, refused, killed; /* at the last line */
    struct soak_line lines[LINES_MOST];
    uint32_t count;
};

void soak_fail(struct soak_world *w, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (atomic_fetch_add(&w->failures, 1) < 50) {
        fprintf(stderr, "FAILED [%d]: %s\n", (int)getpid(), text);
    }
}

static uint32_t soak_domain(uint32_t slot) {
    return slot < SOAK_DOMAINS * PER_DOMAIN ? slot / PER_DOMAIN : slot % SOAK_DOMAINS;
}

static uint32_t soak_kind(uint32_t slot) {
    uint32_t shared = SOAK_DOMAINS * PER_DOMAIN;
    return slot < shared ? slot % PER_DOMAIN : PER_DOMAIN + (slot - shared) / SOAK_DOMAINS;
}

/* ---- processes ------------------------------------------------------------------------------------------------------------ */

static void soak_spawn(struct soak_run *s, uint32_t slot) {
    struct soak_slot *own = &s->w->slots[slot];
    uint64_t seed = stress_rand(&s->rng);
    pid_t driver = getpid(), pid;
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != driver) {
            _exit(1);
        }
        roles[soak_kind(slot)].role(s->w, slot, soak_domain(slot), seed);
        _exit(0);
    }
    own->pid = pid;
    own->stopped = false;
    own->beats_ns = stress_now_ns();
}

static void soak_look_after(struct soak_run *s) {
    uint64_t now = stress_now_ns();
    for (uint32_t i = 0; i < SOAK_SLOTS; i++) {
        struct soak_slot *slot = &s->w->slots[i];
        int status;
        if (slot->pid != 0 && waitpid(slot->pid, &status, WNOHANG) == slot->pid) {
            if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
                if (WIFSIGNALED(status) || WEXITSTATUS(status) != 0) {
                    soak_fail(s->w, "the %s in slot %u ended with status %x", roles[soak_kind(i)].name, i,
                              (unsigned)status);
                }
            }
            slot->pid = 0;
        }
        if (slot->pid == 0) {
            soak_spawn(s, i);
        }
        uint64_t beats = atomic_load(&slot->beats);
        if (beats != slot->beats_seen || slot->stopped) {
            slot->beats_seen = beats;
            slot->beats_ns = now;
        } else if (now > slot->beats_ns + STUCK_NS) {
            soak_fail(s->w, "the %s in slot %u (pid %d) does nothing any more", roles[soak_kind(i)].name, i,
                      (int)slot->pid);
            slot->beats_ns = now;
        }
    }
}

static void soak_kill_one(struct soak_run *s, uint32_t slot) {
    int status;
    kill(s->w->slots[slot].pid, SIGKILL);
    waitpid(s->w->slots[slot].pid, &status, 0);
    s->w->slots[slot].pid = 0;
    s->kills++;
}

static void soak_disturb(struct soak_run *s) {
    uint32_t slot = (uint32_t)stress_below(&s->rng, SOAK_SLOTS);
    struct soak_slot *own = &s->w->slots[slot];
    for (uint32_t i = 0; i < SOAK_SLOTS; i++) {
        if (s->w->slots[i].stopped && s->w->slots[i].pid != 0) {
            kill(s->w->slots[i].pid, SIGCONT);
            s->w->slots[i].stopped = false;
        }
    }
    if (roles[soak_kind(slot)].stays || own->pid == 0) {
        return;
    }
    if (stress_below(&s->rng, 6) == 0) {
        kill(own->pid, SIGSTOP);
        own->stopped = true;
        s->stops++;
    } else {
        soak_kill_one(s, slot);
    }
}

/* ---- measuring ------------------------------------------------------------------------------------------------------------ */

static double soak_status(pid_t pid, const char *name) {
    char path[64], text[256];
    double value = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && fgets(text, sizeof(text), f) != NULL) {
        if (strncmp(text, name, strlen(name)) == 0) {
            value = strtod(text + strlen(name), NULL);
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return value;
}

static double soak_count_lines(pid_t pid) {
    char path[64];
    double count = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *f = fopen(path, "re");
    for (int c; f != NULL && (c = getc(f)) != EOF;) {
        count += c == '\n';
    }
    if (f != NULL) {
        fclose(f);
    }
    return count;
}

static double soak_count_fds(pid_t pid) {
    char path[64];
    double count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        count += e->d_name[0] != '.';
    }
    if (d != NULL) {
        closedir(d);
    }
    return count;
}

/* The domain's files, and the bytes that they have. */
static uint32_t soak_files(const struct soak_world *w, double *kib) {
    const char *dir = getenv("TIDE_SHM_DIR");
    uint32_t count = 0;
    dir = dir != NULL ? dir : "/dev/shm";
    DIR *d = opendir(dir);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
        for (uint32_t i = 0; i < SOAK_DOMAINS; i++) {
            char start[TIDE_NAME_MAX + 16];
            struct stat st;
            int n = snprintf(start, sizeof(start), "tidemark.%s.", w->name[i]);
            if (strncmp(e->d_name, start, (size_t)n) == 0 && fstatat(dirfd(d), e->d_name, &st, 0) == 0) {
                count++;
                *kib += (double)st.st_blocks / 2;
            }
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return count;
}

/* In a process of its own, which is a member for that long. */
static void soak_ask(const struct soak_world *w, double *figure) {
    for (uint32_t i = 0; i < SOAK_DOMAINS; i++) {
        struct tide_opts o = TIDE_OPTS_INIT;
        struct tide_info info = TIDE_INFO_INIT;
        struct tide *d;
        o.flags = 0;
        if (tide_open(&d, w->name[i], &o) != 0) {
            continue;
        }
        if (tide_info(d, &info) == 0) {
            figure[MEMBERS] += info.members;
            figure[REPLICAS] += info.replicas;
        }
        for (uint32_t k = 0; k < TIDE_REPLICAS; k++) {
            struct tide_replica_info r = TIDE_REPLICA_INFO_INIT;
            if (tide_replica_info(d, k, &r) == 0 && r.state == TIDE_STATE_SERVING && r.apply_delay_ns == 0) {
                figure[LAG_US] = fmax(figure[LAG_US], (double)r.lag_p999_ns / 1000);
            }
        }
        tide_close(d);
    }
}

static void soak_measure(struct soak_run *s) {
    struct soak_line *l = &s->lines[s->count];
    uint64_t writes = 0, reads = 0, refused = atomic_load(&s->w->refused);
    double *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(l, 0, sizeof(*l));
    l->minute = (double)(stress_now_ns() - s->start) / 6e10;
    pid_t pid = fork();
    if (pid == 0) {
        soak_ask(s->w, shared);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    memcpy(l->figure, shared, sizeof(l->figure));
    munmap(shared, 4096);
    for (uint32_t i = 0; i < SOAK_SLOTS; i++) {
        struct soak_slot *slot = &s->w->slots[i];
        writes += atomic_load(&slot->writes);
        reads += atomic_load(&slot->reads);
        if (slot->pid != 0 && roles[soak_kind(i)].stays) {
            l->figure[ANON_KIB] += soak_status(slot->pid, "RssAnon:");
            l->figure[THREADS] += soak_status(slot->pid, "Threads:");
            l->figure[DESCRIPTORS] += soak_count_fds(slot->pid);
            l->figure[MAPPINGS] += soak_count_lines(slot->pid);
        }
    }
    l->figure[FILES] = soak_files(s->w, &l->figure[SHM_KIB]);
    l->figure[WRITES] = (double)(writes - s->writes);
    l->figure[READS] = (double)(reads - s->reads);
    l->figure[REFUSED] = (double)(refused - s->refused);
    l->figure[KILLS] = (double)(s->kills - s->killed);
    s->writes = writes;
    s->reads = reads;
    s->refused = refused;
    s->killed = s->kills;
    if (s->count == 0) {
        printf("%7s", "minute");
        for (int i = 0; i < FIGURES; i++) {
            printf(" %11s", figures[i].name);
        }
        printf("\n");
    }
    printf("%7.1f", l->minute);
    for (int i = 0; i < FIGURES; i++) {
        printf(" %11.0f", l->figure[i]);
    }
    printf("\n");
    fflush(stdout);
    s->count++;
}

/* ---- the end -------------------------------------------------------------------------------------------------------------- */

static int soak_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double soak_median(const struct soak_run *s, uint32_t from, uint32_t to, int figure) {
    double values[LINES_MOST];
    uint32_t n = 0;
    for (uint32_t i = from; i < to; i++) {
        values[n++] = s->lines[i].figure[figure];
    }
    qsort(values, n, sizeof(values[0]), soak_compare);
    return n == 0 ? 0 : values[n / 2];
}

static void soak_write_json(const struct soak_run *s, const double first[FIGURES], const double last[FIGURES],
                            unsigned grew) {
    FILE *f = strcmp(s->o.json, "-") == 0 ? stdout : fopen(s->o.json, "we");
    if (f == NULL) {
        soak_fail(s->w, "%s cannot be written", s->o.json);
        return;
    }
    fprintf(f, "{\"seed\":%llu,\"hours\":%.3f,\"kills\":%llu,\"stops\":%llu,\"failures\":%u,\"grew\":%u,\"lines\":[",
            (unsigned long long)s->o.seed, (double)(stress_now_ns() - s->start) / 3.6e12, (unsigned long long)s->kills,
            (unsigned long long)s->stops, atomic_load(&s->w->failures), grew);
    for (uint32_t i = 0; i < s->count; i++) {
        fprintf(f, "%s{\"minute\":%.2f", i > 0 ? "," : "", s->lines[i].minute);
        for (int k = 0; k < FIGURES; k++) {
            fprintf(f, ",\"%s\":%.0f", figures[k].name, s->lines[i].figure[k]);
        }
        fprintf(f, "}");
    }
    fprintf(f, "]");
    for (int part = 0; part < 2; part++) {
        fprintf(f, ",\"%s\":{", part == 0 ? "first" : "last");
        for (int k = 0; k < FIGURES; k++) {
            fprintf(f, "%s\"%s\":%.0f", k > 0 ? "," : "", figures[k].name, part == 0 ? first[k] : last[k]);
        }
        fprintf(f, "}");
    }
    fprintf(f, "}\n");
    if (f != stdout) {
        fclose(f);
    }
}

/* The tenth at the start is for filling up; the fifth after it is compared with the last fifth, each by its median. Within some minutes all
 * is still being filled: then that is told, and not judged. */
static unsigned soak_judge(struct soak_run *s) {
    uint32_t n = s->count, warm = (n + 9) / 10, fifth = n / 5 > 0 ? n / 5 : 1;
    double first[FIGURES], last[FIGURES];
    unsigned grew = 0;
    printf("%-12s %12s %12s\n", "median of", "first fifth", "last fifth");
    for (int i = 0; i < FIGURES; i++) {
        bool judged = s->o.hours >= JUDGED_HOURS && (figures[i].part != 0 || figures[i].more != 0);
        first[i] = soak_median(s, warm < n ? warm : n - 1, warm + fifth < n ? warm + fifth : n, i);
        last[i] = soak_median(s, n - fifth, n, i);
        bool more = judged && last[i] > first[i] * (1 + figures[i].part) + figures[i].more;
        grew += more;
        printf("%-12s %12.0f %12.0f %s\n", figures[i].name, first[i], last[i],
               !judged ? "(told only)"
               : more  ? "GREW"
                       : "");
    }
    if (s->o.json != NULL) {
        soak_write_json(s, first, last, grew);
    }
    return grew;
}

/* All processes die; then one comes, collects, and finds no member but itself. */
static void soak_collect(struct soak_run *s) {
    for (uint32_t i = 0; i < SOAK_SLOTS; i++) {
        if (s->w->slots[i].pid != 0) {
            kill(s->w->slots[i].pid, SIGKILL);
            waitpid(s->w->slots[i].pid, NULL, 0);
        }
    }
    for (uint32_t i = 0; i < SOAK_DOMAINS; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            struct tide_info info = TIDE_INFO_INIT;
            struct tide *d;
            if (tide_open(&d, s->w->name[i], NULL) == 0) {
                int error = 0;
                for (int tries = 0; tries < 100 && error == 0 && info.members != 1; tries++) {
                    tide_gc(d, NULL);
                    error = tide_info(d, &info);
                    stress_sleep_ns(info.members != 1 ? 100000000 : 0); /* a command may be dying yet */
                }
                if (error != 0 || info.members != 1) {
                    soak_fail(s->w, "%u members are left beside one that lives", info.members - 1);
                }
                tide_close(d);
            }
            (void)tide_unlink(s->w->name[i]);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
    double kib = 0;
    if (soak_files(s->w, &kib) != 0) {
        soak_fail(s->w, "files are left after the domains' removal");
    }
}

int soak_run(const struct soak_options *o) {
    static const uint32_t LOADS[] = { 0, 20, 60, 100, 40, 5 };
    struct soak_run *s = calloc(1, sizeof(*s));
    uint64_t length = (uint64_t)(o->hours * 3.6e12), every = length / 20 < LINE_NS ? length / 20 : LINE_NS, next,
             load_next = 0;
    unsigned grew;
    s->o = *o;
    s->w = mmap(NULL, sizeof(*s->w), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s->w == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    every = every * LINES_MOST < length ? length / LINES_MOST + 1 : every;
    s->rng = o->seed;
    s->start = stress_now_ns();
    printf("seed %llu, %.2f hours, a line every %.0f s\n", (unsigned long long)o->seed, o->hours, (double)every / 1e9);
    for (uint32_t i = 0; i < SOAK_DOMAINS; i++) {
        stress_domain_name(s->w->name[i], sizeof(s->w->name[i]));
    }
    next = s->start + every;
    for (uint32_t i = 0; i < SOAK_SLOTS; i++) {
        soak_spawn(s, i);
        if (soak_kind(i) == 0) {
            stress_sleep_ns(200000000); /* any of them may lead first */
        }
    }
    while (s->count < LINES_MOST && stress_now_ns() - s->start < length) {
        uint64_t now = stress_now_ns();
        soak_look_after(s);
        if (now >= load_next) { /* all loads within a line */
            atomic_store(&s->w->load, LOADS[stress_below(&s->rng, sizeof(LOADS) / sizeof(LOADS[0]))]);
            load_next = now + every / 12;
        }
        if (now >= next) {
            soak_measure(s);
            next = stress_now_ns() + every; /* a process that was stopped meanwhile goes on from there */
        }
        soak_disturb(s);
        stress_sleep_ns(50000000 + stress_below(&s->rng, 1500000000));
    }
    if (s->count == 0) {
        soak_measure(s);
    }
    grew = soak_judge(s);
    soak_collect(s);
    unsigned failures = atomic_load(&s->w->failures);
    printf("%llu kills, %llu stops, %llu writes, %llu reads; %u failures; %u figures grew\n",
           (unsigned long long)s->kills, (unsigned long long)s->stops, (unsigned long long)s->writes,
           (unsigned long long)s->reads, failures, grew);
    munmap(s->w, sizeof(*s->w));
    free(s);
    return failures != 0 || grew != 0;
}
