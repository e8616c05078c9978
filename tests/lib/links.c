/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/help.h"

#define PAIRS 512u
#define PIECE 16384u
#define WAITING_MOST (1u << 20) /* of one connection, each way: then its sender waits */
#define TURN_MS 5
#define HEAD_MOST 4096u

struct link {
    int fd;
    unsigned to_port;
    bool peers;
    _Atomic bool held[2], cut, isolated;
    _Atomic uint32_t delay_ms;
    _Atomic uint64_t member; /* behind it, where it was ever isolated */
    _Atomic uint64_t waiting[2], passed[2];
};

struct links {
    unsigned n;
    pid_t pid;
    _Atomic uint64_t turn;
    struct link links[LINKS_MOST];
};

struct piece {
    struct piece *next;
    uint64_t since_ns;
    size_t size, at;
    char bytes[];
};

struct way {
    struct piece *first, **last;
    size_t bytes;
    bool ended; /* the sender has no more */
};

struct pair {
    bool used;
    unsigned link;
    int fds
        [2]; /* [LINK_UP]: the one that came; [LINK_DOWN]: where the link leads. Bytes of way w come from fds[w] and go to the other */
    struct way ways[2];
    bool knows_from;
    uint64_t from; /* the member that it comes from */
    char head[HEAD_MOST];
    size_t head_size;
};

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* ---- the process ------------------------------------------------------------------------------------------------- */

static void way_free(struct way *w) {
    while (w->first) {
        struct piece *p = w->first;
        w->first = p->next;
        free(p);
    }
    w->last = &w->first;
}

static void pair_end(struct links *l, struct pair *p) {
    for (int w = 0; w < 2; w++) {
        l->links[p->link].waiting[w] -= p->ways[w].bytes;
        way_free(&p->ways[w]);
        close(p->fds[w]);
    }
    p->used = false;
}

static void pair_begin(struct links *l, struct pair *p, unsigned link) {
    struct link *k = &l->links[link];
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((uint16_t)k->to_port) };
    int one = 1, came = accept4(k->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (came < 0) {
        return;
    }
    int to = k->cut ? -1 : socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (to < 0 || connect(to, (struct sockaddr *)&in, sizeof(in)) != 0) {
        close(to);
        close(came);
        return;
    }
    fcntl(to, F_SETFL, O_NONBLOCK);
    setsockopt(to, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof(one));
    setsockopt(came, IPPROTO_TCP, 1, &one, sizeof(one));
    *p = (struct pair){ .used = true, .link = link, .fds = { came, to }, .knows_from = !k->peers };
    p->ways[0].last = &p->ways[0].first;
    p->ways[1].last = &p->ways[1].first;
}

/* Which member is this from? Known when its first request's lines are there. */
static void read_head(struct pair *p, const char *bytes, size_t size) {
    size_t room = HEAD_MOST - 1 - p->head_size;
    memcpy(p->head + p->head_size, bytes, size < room ? size : room);
    p->head_size += size < room ? size : room;
    p->head[p->head_size] = '\0';
    const char *from = strcasestr(p->head, "X-Server-From: ");
    const char *end = strstr(p->head, "\r\n\r\n");
    if (end || p->head_size == HEAD_MOST - 1) {
        p->from = from && (!end || from < end) ? strtoull(from + 15, NULL, 16) : 0;
        p->knows_from = true;
    }
}

static bool is_isolated(const struct links *l, const struct pair *p) {
    if (!l->links[p->link].peers) {
        return false;
    }
    for (unsigned i = 0; i < l->n; i++) {
        if (l->links[i].isolated && (i == p->link || l->links[i].member == p->from)) {
            return true;
        }
    }
    return false;
}

/* false: the connection is over. */
static bool take(struct links *l, struct pair *p, int w) {
    struct way *way = &p->ways[w];
    struct piece *piece = malloc(sizeof(*piece) + PIECE);
    ssize_t n = recv(p->fds[w], piece->bytes, PIECE, 0);
    if (n <= 0) {
        free(piece);
        way->ended = n == 0;
        return n == 0 || errno == EAGAIN || errno == EINTR;
    }
    if (w == LINK_UP && !p->knows_from) {
        read_head(p, piece->bytes, (size_t)n);
    }
    piece->next = NULL;
    piece->at = 0;
    piece->size = (size_t)n;
    piece->since_ns = now_ns();
    *way->last = piece;
    way->last = &piece->next;
    way->bytes += (size_t)n;
    l->links[p->link].waiting[w] += (size_t)n;
    return true;
}

static bool may_pass(const struct links *l, const struct pair *p, int w, uint64_t now) {
    const struct link *k = &l->links[p->link];
    const struct piece *piece = p->ways[w].first;
    return piece && p->knows_from && !k->held[w] && !is_isolated(l, p) &&
           now >= piece->since_ns + k->delay_ms * UINT64_C(1000000);
}

static bool give(struct links *l, struct pair *p, int w, uint64_t now) {
    struct way *way = &p->ways[w];
    while (may_pass(l, p, w, now)) {
        struct piece *piece = way->first;
        ssize_t n = send(p->fds[!w], piece->bytes + piece->at, piece->size - piece->at, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        piece->at += (size_t)n;
        way->bytes -= (size_t)n;
        l->links[p->link].waiting[w] -= (size_t)n;
        l->links[p->link].passed[w] += (size_t)n;
        if (piece->at < piece->size) {
            return true;
        }
        way->first = piece->next;
        way->last = way->first ? way->last : &way->first;
        free(piece);
    }
    /* A side that hears nothing does not hear of the end either. */
    return !(way->ended && !way->first && !l->links[p->link].held[w] && !is_isolated(l, p));
}

static void run(struct links *l) {
    static struct pair pairs[PAIRS];
    static struct pollfd fds[LINKS_MOST + 2 * PAIRS];
    for (;;) {
        nfds_t n = 0;
        for (unsigned i = 0; i < l->n; i++) {
            fds[n++] = (struct pollfd){ .fd = l->links[i].fd, .events = POLLIN };
        }
        for (unsigned i = 0; i < PAIRS; i++) {
            struct pair *p = &pairs[i];
            for (int w = 0; w < 2; w++) {
                bool read = p->used && !p->ways[w].ended && p->ways[w].bytes < WAITING_MOST;
                fds[n++] = (struct pollfd){ .fd = read ? p->fds[w] : -1, .events = POLLIN };
            }
        }
        (void)poll(fds, n, TURN_MS);
        l->turn++;
        uint64_t now = now_ns();
        for (unsigned i = 0; i < PAIRS; i++) {
            struct pair *p = &pairs[i];
            bool goes_on = p->used && !l->links[p->link].cut;
            for (int w = 0; w < 2 && goes_on; w++) {
                goes_on = (fds[l->n + 2 * i + (unsigned)w].revents == 0 || take(l, p, w)) && give(l, p, w, now);
            }
            if (p->used && !goes_on) {
                pair_end(l, p);
            }
        }
        for (unsigned i = 0, spare = 0; i < l->n; i++) {
            while (spare < PAIRS && pairs[spare].used) {
                spare++;
            }
            if (fds[i].revents != 0 && spare < PAIRS) {
                pair_begin(l, &pairs[spare], i);
            }
        }
    }
}

/* ---- the test's side --------------------------------------------------------------------------------------------- */

struct links *links_new(void) {
    struct links *l = mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(l, MAP_FAILED);
    return l;
}

unsigned links_add(struct links *l, unsigned to_port, bool peers, unsigned *port) {
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof(in);
    assert_true(l->n < LINKS_MOST && l->pid == 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, size), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &size), 0);
    *port = ntohs(in.sin_port);
    l->links[l->n].fd = fd;
    l->links[l->n].to_port = to_port;
    l->links[l->n].peers = peers;
    return l->n++;
}

void links_start(struct links *l) {
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run(l);
    }
    l->pid = pid;
    for (unsigned i = 0; i < l->n; i++) {
        close(l->links[i].fd);
    }
}

void links_end(struct links *l) {
    if (l->pid > 0) {
        kill(l->pid, SIGKILL);
        waitpid(l->pid, NULL, 0);
    }
    munmap(l, sizeof(*l));
}

/* The turn that runs may have looked before; the one after it has not. */
static void await_turns(struct links *l) {
    uint64_t from = l->turn;
    while (l->turn < from + 2) {
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    }
}

void links_hold(struct links *l, unsigned link, enum link_way way, bool on) {
    l->links[link].held[way] = on;
    await_turns(l);
}

void links_delay(struct links *l, unsigned link, uint32_t ms) {
    l->links[link].delay_ms = ms;
    await_turns(l);
}

void links_cut(struct links *l, unsigned link, bool on) {
    l->links[link].cut = on;
    await_turns(l);
}

void links_isolate(struct links *l, unsigned link, uint64_t member, bool on) {
    l->links[link].member = member;
    l->links[link].isolated = on;
    await_turns(l);
}

void links_mend(struct links *l) {
    for (unsigned i = 0; i < l->n; i++) {
        struct link *k = &l->links[i];
        k->held[LINK_UP] = k->held[LINK_DOWN] = k->cut = k->isolated = false;
        k->delay_ms = 0;
    }
    await_turns(l);
}

uint64_t links_waiting(const struct links *l, unsigned link, enum link_way way) {
    return l->links[link].waiting[way];
}

uint64_t links_passed(const struct links *l, unsigned link, enum link_way way) {
    return l->links[link].passed[way];
}
