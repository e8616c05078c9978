/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/sched/sched.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/table/rcu.h"

extern void (*kill_point_seen)(const char *name); /* engine/table/kill.h, in a build with kill points */

#define THREADS_MOST 24u
#define STEPS_MOST 60000u
#define MUTEXES_MOST 64u
#define STEP_NS 5u
#define SPIN_POINTS 3u  /* after a pause: the loop looks again at what it waits for. Others ran at the pause */
#define LOOP_POINTS 12u /* in a thread of the library, whose loop looks at more */
#define SPIN_NS 1000u
#define CONSECUTIVE_MOST 20000u /* points of one thread, while others could run: it loops without a pause */
#define SYSTEMATIC_MOST_S 100
#define WARM 2
#define SWITCHES_MOST 12u /* of a random order */

enum wait_for { RUNS, ON_WORD, ON_MUTEX, ON_THREAD, ON_GRACE, ON_BODIES, ON_GO, AWAY, ENDED };

struct thread {
    pthread_t id;
    void *(*run)(void *);
    void *arg, *result;
    _Atomic uint32_t turn;
    enum wait_for state;
    const _Atomic uint32_t *word;
    uint32_t seen;
    uint32_t bits; /* of park_wait_bits(), which looks at the word once and then sleeps on; 0: of park_wait() */
    uint64_t until;
    bool woken, timed_out, joined;
    const void *what;
    int body; /* -1: of the library, or the main thread */
    bool done;
    const unsigned long *rcu; /* its word of liburcu's: is it in a section? */
    uint32_t unchosen;        /* so many points yet are of a loop that spins */
};

struct choice {
    uint8_t options, taken;
    bool is_free; /* the thread that ran cannot go on */
};

/* All of it belongs to the thread that runs, or under `lock` to the thread that finds it away. */
static struct {
    pthread_mutex_t lock;
    bool on;
    struct thread threads[THREADS_MOST];
    unsigned count;
    struct thread *current; /* NULL: all others wait, and those that are away have to come back */
    uint64_t now;
    _Atomic uint64_t beats;
    uint32_t consecutive;
    struct {
        const pthread_mutex_t *mutex;
        const struct thread *owner;
    } mutexes[MUTEXES_MOST];
    const struct scenario *scenario;
    /* One schedule. */
    bool choosing, random, replaying;
    uint32_t step, depth, switches;
    struct choice path[STEPS_MOST];
    uint64_t rng;
    uint32_t at[SWITCHES_MOST], at_count;
    uint32_t order_size;
    struct {
        uint32_t step;
        uint8_t to;
    } order[256];
    struct {
        uint32_t step;
        uint8_t to;
    } wanted[256];
    uint32_t wanted_count;
    bool failed, diverged;
    struct sched_result *result;
} sched = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local struct thread *self;
static _Thread_local bool inside; /* the scheduler's own accesses are no points */

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __real_pthread_join(pthread_t thread, void **result);
int __real_pthread_mutex_lock(pthread_mutex_t *m);
int __real_pthread_mutex_trylock(pthread_mutex_t *m);
int __real_pthread_mutex_unlock(pthread_mutex_t *m);
int __real_clock_gettime(clockid_t clock, struct timespec *t);
int __real_park_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ns);
void __real_park_wake(_Atomic uint32_t *word, int count);
int __real_park_wait_bits(_Atomic uint32_t *word, uint32_t seen, uint32_t bits, uint64_t until_ns);
void __real_park_wake_bits(_Atomic uint32_t *word, uint32_t bits);

/* ---- the turn ------------------------------------------------------------------------------------------------------------- */

static void turn_give(struct thread *t) {
    __atomic_store_n((uint32_t *)&t->turn, 1, __ATOMIC_SEQ_CST);
    (void)syscall(SYS_futex, &t->turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void turn_await(struct thread *t) {
    while (__atomic_exchange_n((uint32_t *)&t->turn, 0, __ATOMIC_SEQ_CST) == 0) {
        (void)syscall(SYS_futex, &t->turn, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    }
}

static const struct thread *mutex_owner(const pthread_mutex_t *m) {
    for (unsigned i = 0; i < MUTEXES_MOST; i++) {
        if (sched.mutexes[i].mutex == m) {
            return sched.mutexes[i].owner;
        }
    }
    return NULL;
}

static bool bodies_are_done(void) {
    for (unsigned i = 0; i < sched.count; i++) {
        if (sched.threads[i].body >= 0 && !sched.threads[i].done) {
            return false;
        }
    }
    return true;
}

/* Is no thread in a section? Threads that play another process do not count: the writer's process knows nothing of them. */
static bool nobody_reads(void) {
    for (unsigned i = 0; i < sched.count; i++) {
        const struct thread *t = &sched.threads[i];
        bool other = t->body >= 0 && (sched.scenario->foreign >> t->body & 1) != 0;
        if (!other && t->rcu != NULL && (*(const volatile unsigned long *)t->rcu & URCU_GP_CTR_NEST_MASK) != 0) {
            return false;
        }
    }
    return true;
}

static bool can_run(const struct thread *t) {
    switch (t->state) {
    case RUNS:
        return true;
    case ON_WORD:
        return t->woken || t->timed_out ||
               (t->bits == 0 && __atomic_load_n((const uint32_t *)t->word, __ATOMIC_SEQ_CST) != t->seen);
    case ON_MUTEX:
        return mutex_owner(t->what) == NULL;
    case ON_THREAD:
        return ((const struct thread *)t->what)->state == ENDED;
    case ON_GRACE:
        return t->timed_out || nobody_reads();
    case ON_BODIES:
        return bodies_are_done();
    default:
        return false;
    }
}

static bool takes_part(const struct thread *t) {
    return t->body >= 0 || (sched.scenario != NULL && sched.scenario->library && t != &sched.threads[0]);
}

static uint64_t draw(uint64_t n) {
    uint64_t z = sched.rng += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % n;
}

/* Which of these, the first being what is done without a choice? */
static struct thread *choose(struct thread **options, unsigned n, bool is_free) {
    uint32_t step = sched.step;
    unsigned taken = 0;
    if (sched.replaying) {
        for (uint32_t i = 0; i < sched.wanted_count; i++) {
            for (unsigned k = 0; sched.wanted[i].step == step && k < n; k++) {
                taken = options[k] == &sched.threads[sched.wanted[i].to] ? k : taken;
            }
        }
    } else if (sched.random) {
        bool now = is_free;
        for (uint32_t i = 0; i < sched.at_count; i++) {
            now |= sched.at[i] == step;
        }
        taken = now ? (unsigned)draw(n) : 0;
    } else if (step < sched.depth) {
        taken = sched.path[step].taken;
        if (taken >= n || sched.path[step].is_free != is_free) {
            sched.diverged = true; /* what was planned beyond is another run's */
            taken = 0;
            sched.path[step] = (struct choice){ (uint8_t)n, 0, is_free };
            sched.depth = step + 1;
        }
        sched.path[step].options = (uint8_t)n;
    } else if (step < STEPS_MOST) {
        sched.path[step] = (struct choice){ (uint8_t)n, 0, is_free };
        sched.depth = step + 1;
    }
    if (taken != 0 && sched.order_size < 256) {
        sched.order[sched.order_size].step = step;
        sched.order[sched.order_size++].to = (uint8_t)(options[taken] - sched.threads);
    }
    sched.step++;
    return options[taken];
}

/* Nobody can go on: the first wait that has an end ends. */
static struct thread *let_time_pass(void) {
    struct thread *first = NULL;
    for (unsigned i = 0; i < sched.count; i++) {
        struct thread *t = &sched.threads[i];
        if ((t->state == ON_WORD || t->state == ON_GRACE) && t->until != UINT64_MAX &&
            (first == NULL || t->until < first->until)) {
            first = t;
        }
    }
    if (first != NULL) {
        sched.now = first->until > sched.now ? first->until : sched.now;
        first->timed_out = true;
    }
    return first;
}

/* The thread that runs next, when the one that runs cannot, or gives way. */
static struct thread *next_of(const struct thread *from, bool chosen) {
    struct thread *options[THREADS_MOST];
    unsigned n = 0, start = from != NULL ? (unsigned)(from - sched.threads) : 0;
    bool away = false;
    for (int part = 1; part >= 0 && n == 0; part--) {
        for (unsigned i = 1; i <= sched.count; i++) {
            struct thread *t = &sched.threads[(start + i) % sched.count];
            away |= t->state == AWAY;
            if (t != from && (takes_part(t) || t == &sched.threads[0]) == (part == 1) && can_run(t)) {
                options[n++] = t;
            }
        }
    }
    if (n == 0) {
        if (from != NULL && can_run(from)) {
            return (struct thread *)(uintptr_t)from;
        }
        return away ? NULL : let_time_pass();
    }
    return chosen && sched.choosing && n > 1 ? choose(options, n, true) : options[0];
}

static void report_deadlock(void) {
    static const char *const STATES[] = { "runs", "word", "mutex", "join", "grace", "bodies", "go", "away", "ended" };
    char text[300] = "";
    for (unsigned i = 0; i < sched.count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, " %u:%s", i, STATES[sched.threads[i].state]);
    }
    sched_fail("nobody can go on:%s", text);
    _exit(1);
}

/* Under the lock. The caller's state says whether it can go on. */
static void pass_on(struct thread *to) {
    sched.consecutive = 0;
    sched.current = to;
    if (to != NULL) {
        turn_give(to);
    } else {
        bool away = false;
        for (unsigned i = 0; i < sched.count; i++) {
            away |= sched.threads[i].state == AWAY;
        }
        if (!away) {
            report_deadlock();
        }
    }
}

static void switch_to(struct thread *to) {
    if (to == self) {
        return;
    }
    pass_on(to);
    __real_pthread_mutex_unlock(&sched.lock);
    turn_await(self);
    __real_pthread_mutex_lock(&sched.lock);
}

/* Whoever was away comes back into line. */
static void enter_scheduler(void) {
    inside = true;
    __real_pthread_mutex_lock(&sched.lock);
    if (self->state == AWAY) {
        self->state = RUNS;
        if (sched.current == NULL) {
            sched.current = self;
        } else {
            __real_pthread_mutex_unlock(&sched.lock);
            turn_await(self);
            __real_pthread_mutex_lock(&sched.lock);
        }
    }
}

static void leave_scheduler(void) {
    __real_pthread_mutex_unlock(&sched.lock);
    inside = false;
}

static void wait_for(enum wait_for state, const void *what, uint64_t until) {
    enter_scheduler();
    self->state = state;
    self->what = what;
    self->until = until;
    self->woken = self->timed_out = false;
    while (!can_run(self)) {
        switch_to(next_of(self, true));
    }
    self->state = RUNS;
    leave_scheduler();
}

/* Grace periods end when nobody is in a section: tests/sched/grace.c. */
extern _Atomic uint64_t grace_done_ticket, grace_wanted;
static void look_at_grace(void) {
    if (grace_wanted != grace_done_ticket && nobody_reads()) {
        grace_done_ticket = grace_wanted;
    }
}

static bool counts(void) {
    return self != NULL && !inside && sched.on;
}

void sched_point(void) {
    if (!counts()) {
        return;
    }
    enter_scheduler();
    sched.now += STEP_NS;
    __atomic_store_n((uint64_t *)&sched.beats, sched.beats + 1, __ATOMIC_SEQ_CST);
    look_at_grace();
    if (++sched.consecutive > CONSECUTIVE_MOST) {
        sched.now += 1000 * SPIN_NS;
        switch_to(next_of(self, true));
    } else if (self->unchosen > 0) {
        self->unchosen--;
    } else if (sched.choosing && takes_part(self)) {
        struct thread *options[THREADS_MOST] = { self };
        unsigned n = 1;
        for (unsigned i = 0; i < sched.count; i++) {
            struct thread *t = &sched.threads[i];
            if (t != self && takes_part(t) && can_run(t)) {
                options[n++] = t;
            }
        }
        if (n > 1) {
            switch_to(choose(options, n, false));
        }
    }
    leave_scheduler();
}

void sched_spin(void) {
    if (!counts()) {
        return;
    }
    enter_scheduler();
    sched.now += SPIN_NS;
    __atomic_store_n((uint64_t *)&sched.beats, sched.beats + 1, __ATOMIC_SEQ_CST);
    self->unchosen = self->body >= 0 ? SPIN_POINTS : LOOP_POINTS;
    struct thread *to = next_of(self, false); /* one that spins waits for another */
    switch_to(to != NULL ? to : self);
    leave_scheduler();
}

void sched_pass_ns(uint64_t ns) {
    sched.now += ns;
}

/* ---- what threads wait in --------------------------------------------------------------------------------------------------- */

int __wrap_park_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ns);
int __wrap_park_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ns) {
    if (!counts()) {
        return __real_park_wait(word, seen, timeout_ns);
    }
    self->word = word;
    self->seen = seen;
    wait_for(ON_WORD, word, timeout_ns < UINT64_MAX - sched.now ? sched.now + timeout_ns : UINT64_MAX);
    return self->timed_out && !self->woken ? -1 : 0;
}

void __wrap_park_wake(_Atomic uint32_t *word, int count);
void __wrap_park_wake(_Atomic uint32_t *word, int count) {
    if (!counts()) {
        __real_park_wake(word, count);
        return;
    }
    for (unsigned i = 0; i < sched.count; i++) {
        struct thread *t = &sched.threads[i];
        t->woken |= t->state == ON_WORD && t->word == word;
    }
}

int __wrap_park_wait_bits(_Atomic uint32_t *word, uint32_t seen, uint32_t bits, uint64_t until_ns);
int __wrap_park_wait_bits(_Atomic uint32_t *word, uint32_t seen, uint32_t bits, uint64_t until_ns) {
    if (!counts()) {
        return __real_park_wait_bits(word, seen, bits, until_ns);
    }
    if (__atomic_load_n((const uint32_t *)(const void *)word, __ATOMIC_SEQ_CST) != seen) {
        return 0;
    }
    self->bits = bits;
    int result = __wrap_park_wait(word, seen, until_ns > sched.now ? until_ns - sched.now : 0);
    self->bits = 0;
    return result;
}

/* A word of a segment lies at the same place of a page in every mapping of it. Words that are others there wake for nothing, as futexes may. */
static bool is_same_word(const _Atomic uint32_t *a, const _Atomic uint32_t *b) {
    return ((uintptr_t)a ^ (uintptr_t)b) % 4096 == 0;
}

void __wrap_park_wake_bits(_Atomic uint32_t *word, uint32_t bits);
void __wrap_park_wake_bits(_Atomic uint32_t *word, uint32_t bits) {
    if (!counts()) {
        __real_park_wake_bits(word, bits);
        return;
    }
    for (unsigned i = 0; i < sched.count; i++) {
        struct thread *t = &sched.threads[i];
        t->woken |= t->state == ON_WORD && is_same_word(t->word, word) && (t->bits == 0 || (t->bits & bits) != 0);
    }
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *m);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *m) {
    if (self == NULL || !sched.on) {
        return __real_pthread_mutex_trylock(m);
    }
    unsigned slot = MUTEXES_MOST;
    for (unsigned i = 0; i < MUTEXES_MOST; i++) {
        if (sched.mutexes[i].mutex == m) {
            return EBUSY;
        }
        slot = sched.mutexes[i].mutex == NULL ? i : slot;
    }
    if (slot == MUTEXES_MOST) {
        abort();
    }
    sched.mutexes[slot].mutex = m;
    sched.mutexes[slot].owner = self;
    return 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m) {
    if (self == NULL || !sched.on) {
        return __real_pthread_mutex_lock(m);
    }
    while (__wrap_pthread_mutex_trylock(m) != 0) {
        wait_for(ON_MUTEX, m, UINT64_MAX);
    }
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m) {
    if (self == NULL || !sched.on) {
        return __real_pthread_mutex_unlock(m);
    }
    for (unsigned i = 0; i < MUTEXES_MOST; i++) {
        if (sched.mutexes[i].mutex == m) {
            sched.mutexes[i].mutex = NULL;
        }
    }
    return 0;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *t);
int __wrap_clock_gettime(clockid_t clock, struct timespec *t) {
    if (!sched.on || clock != CLOCK_MONOTONIC) {
        return __real_clock_gettime(clock, t);
    }
    sched.now += STEP_NS;
    t->tv_sec = (time_t)(sched.now / 1000000000u);
    t->tv_nsec = (long)(sched.now % 1000000000u);
    return 0;
}

static void *thread_run(void *arg) {
    self = arg;
    self->rcu = rcu_word();
    turn_await(self);
    self->result = self->run(self->arg);
    return self->result;
}

/* Runs when the destructors of the thread have run. */
static pthread_key_t last_key;
static void thread_ends(void *arg) {
    struct thread *t = arg;
    static _Thread_local int rounds;
    if (rounds++ < 3 && pthread_setspecific(last_key, t) == 0) {
        return;
    }
    self = t;
    enter_scheduler();
    t->rcu = NULL;
    t->state = ENDED;
    t->done = true;
    struct thread *to = next_of(NULL, true);
    self = NULL;
    pass_on(to);
    leave_scheduler();
}

static void *thread_begin(void *arg) {
    pthread_setspecific(last_key, arg);
    return thread_run(arg);
}

static struct thread *thread_new(void *(*run)(void *), void *arg, int body) {
    unsigned i = 0;
    while (i < sched.count && !(sched.threads[i].state == ENDED && sched.threads[i].joined)) {
        i++;
    }
    if (i == THREADS_MOST) {
        abort();
    }
    sched.count = i < sched.count ? sched.count : i + 1;
    struct thread *t = &sched.threads[i];
    memset((void *)t, 0, sizeof(*t));
    t->run = run;
    t->arg = arg;
    t->body = body;
    t->state = RUNS;
    return t;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg) {
    if (self == NULL || !sched.on) {
        return __real_pthread_create(thread, attr, run, arg);
    }
    enter_scheduler();
    struct thread *t = thread_new(run, arg, -1);
    int error = __real_pthread_create(&t->id, attr, thread_begin, t);
    if (error != 0) {
        t->state = ENDED;
        t->joined = true;
    }
    *thread = t->id;
    leave_scheduler();
    return error;
}

int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result) {
    if (self != NULL && sched.on) {
        for (unsigned i = 0; i < sched.count; i++) {
            struct thread *t = &sched.threads[i];
            if (!t->joined && t != self && pthread_equal(t->id, thread)) {
                wait_for(ON_THREAD, t, UINT64_MAX);
                t->joined = true;
            }
        }
    }
    return __real_pthread_join(thread, result);
}

bool sched_await_quiet(uint64_t until);
bool sched_await_quiet(uint64_t until) {
    wait_for(ON_GRACE, NULL, until);
    return !self->timed_out;
}

void __real_rcu_wait(void);
void __wrap_rcu_wait(void);
void __wrap_rcu_wait(void) {
    if (counts()) {
        wait_for(ON_GRACE, NULL, UINT64_MAX);
    } else {
        __real_rcu_wait();
    }
}

/* The engine's own spins at each thread's word for a while, which would let a reader go on that is to stand still; and it knows of no
 * thread that plays another process. */
bool __real_rcu_quiet(void);
bool __wrap_rcu_quiet(void);
bool __wrap_rcu_quiet(void) {
    return counts() ? nobody_reads() : __real_rcu_quiet();
}

bool sched_is_on(void);
bool sched_is_on(void) {
    return counts();
}

uint64_t sched_now(void);
uint64_t sched_now(void) {
    return sched.now;
}

/* ---- threads that are away ------------------------------------------------------------------------------------------------------- */

static void *watch(void *unused) {
    uint64_t seen = 0;
    unsigned same = 0;
    (void)unused;
    for (;;) {
        struct timespec t = { 0, 10000000 };
        nanosleep(&t, NULL);
        uint64_t beats = __atomic_load_n((uint64_t *)&sched.beats, __ATOMIC_SEQ_CST);
        same = beats == seen ? same + 1 : 0;
        seen = beats;
        if (same < SCHED_AWAY_MS / 10) {
            continue;
        }
        same = 0;
        __real_pthread_mutex_lock(&sched.lock);
        struct thread *t2 = sched.current;
        if (t2 != NULL && t2->state == RUNS && t2 != &sched.threads[0]) {
            inside = true;
            t2->state = AWAY;
            struct thread *to = next_of(t2, false);
            if (to != NULL) {
                pass_on(to);
            } else {
                t2->state = RUNS;
            }
            inside = false;
        }
        __real_pthread_mutex_unlock(&sched.lock);
    }
    return NULL;
}

/* ---- schedules ------------------------------------------------------------------------------------------------------------- */

void sched_fail(const char *format, ...) {
    struct sched_result *r = sched.result;
    if (r == NULL || sched.failed) {
        return;
    }
    sched.failed = true;
    va_list args;
    va_start(args, format);
    vsnprintf(r->what, sizeof(r->what), format, args);
    va_end(args);
    r->order[0] = '\0';
    for (uint32_t i = 0; i < sched.order_size; i++) {
        size_t used = strlen(r->order);
        snprintf(r->order + used, sizeof(r->order) - used, "%s%u:%u", i > 0 ? "," : "", sched.order[i].step,
                 sched.order[i].to);
    }
    r->failed_at = r->orders + r->random + 1;
    r->failed = true;
}

static void *body_run(void *arg) {
    const struct scenario *s = sched.scenario;
    int who = (int)(intptr_t)arg;
    if (s->enter != NULL) {
        s->enter(who);
    }
    for (;;) {
        enter_scheduler();
        self->done = true;
        self->state = ON_GO;
        switch_to(next_of(self, true));
        leave_scheduler();
        if (self->what == NULL) {
            break;
        }
        s->body(who);
    }
    if (s->leave != NULL) {
        s->leave(who);
    }
    return NULL;
}

static struct thread *body_of(unsigned i) {
    for (unsigned k = 0; k < sched.count; k++) {
        if (sched.threads[k].body == (int)i && sched.threads[k].state != ENDED) {
            return &sched.threads[k];
        }
    }
    return NULL;
}

static void bodies_go(bool again) {
    inside = true;
    for (unsigned i = 0; i < sched.scenario->bodies; i++) {
        struct thread *t = body_of(i);
        t->done = false;
        t->what = again ? t : NULL;
        t->state = RUNS;
    }
    inside = false;
}

static void run_once(void) {
    const struct scenario *s = sched.scenario;
    sched.step = sched.order_size = sched.switches = 0;
    sched.diverged = false;
    s->before();
    bodies_go(true);
    sched.choosing = true;
    wait_for(ON_BODIES, NULL, UINT64_MAX);
    sched.choosing = false;
    if (s->check != NULL && !sched.failed) {
        s->check();
    }
    sched.result->steps = sched.step > sched.result->steps ? sched.step : sched.result->steps;
    sched.result->diverged += sched.diverged;
}

/* The next order: the last choice that can still be another. */
static bool next_order(uint32_t most) {
    uint32_t used = 0, best = UINT32_MAX;
    for (uint32_t i = 0; i < sched.step && i < sched.depth; i++) {
        const struct choice *c = &sched.path[i];
        if (c->taken + 1 < c->options && (c->is_free || used < most)) {
            best = i;
        }
        used += c->taken != 0 && !c->is_free;
    }
    if (best == UINT32_MAX) {
        return false;
    }
    sched.path[best].taken++;
    sched.depth = best + 1;
    return true;
}

static void read_replay(const char *text) {
    sched.replaying = true;
    while (text != NULL && sched.wanted_count < 256) {
        unsigned step, to;
        if (sscanf(text, "%u:%u", &step, &to) == 2) {
            sched.wanted[sched.wanted_count].step = step;
            sched.wanted[sched.wanted_count++].to = (uint8_t)to;
        }
        text = strchr(text, ',');
        text = text != NULL ? text + 1 : NULL;
    }
}

static void run_random(const struct sched_options *o, uint64_t n) {
    sched.random = true;
    sched.rng = o->seed * UINT64_C(0x2545f4914f6cdd1d) + n;
    sched.at_count = 1 + (uint32_t)draw(SWITCHES_MOST - 1);
    uint64_t most = sched.result->steps > 0 ? sched.result->steps : 1;
    for (uint32_t i = 0; i < sched.at_count; i++) {
        sched.at[i] = (uint32_t)draw(most);
    }
    run_once();
    sched.random = false;
}

static uint64_t schedules_most = UINT64_MAX;

void sched_limit(uint64_t schedules) {
    schedules_most = schedules;
}

static bool may_go_on(const struct sched_result *r) {
    return r->orders + r->random < schedules_most;
}

static void explore(const struct sched_options *o) {
    struct sched_result *r = sched.result;
    if (o->replay != NULL) {
        read_replay(o->replay);
        run_once();
        return;
    }
    /* The first runs make what later ones find. */
    for (int i = 0; i < WARM && !sched.failed; i++) {
        run_once();
        sched.depth = 0;
    }
    r->steps = r->diverged = 0;
    struct timespec t;
    __real_clock_gettime(CLOCK_MONOTONIC, &t);
    /* Those with few switches first, all of them, or as many as a long run has time for: most faults need one. */
    time_t systematic_until = t.tv_sec + SYSTEMATIC_MOST_S;
    bool more = true;
    for (uint32_t most = o->switches == 0 ? 0 : 1; most <= o->switches && !sched.failed; most++) {
        sched.depth = 0;
        for (more = true; more && !sched.failed && r->orders < o->orders && may_go_on(r) &&
                          (o->seconds == 0 || t.tv_sec < systematic_until);) {
            run_once();
            __real_clock_gettime(CLOCK_MONOTONIC, &t);
            if (!sched.failed) {
                r->orders++;
                more = next_order(most);
            }
        }
    }
    r->all = !more;
    __real_clock_gettime(CLOCK_MONOTONIC, &t);
    time_t until = t.tv_sec + (time_t)o->seconds;
    for (uint64_t n = 0; !sched.failed && may_go_on(r) && (o->seconds != 0 ? t.tv_sec < until : n < o->random); n++) {
        run_random(o, n);
        r->random += !sched.failed;
        __real_clock_gettime(CLOCK_MONOTONIC, &t);
    }
}

static void seen(const char *name) {
    (void)name;
    sched_point();
}

static void run_child(const struct scenario *s, const struct sched_options *o) {
    pthread_t watcher;
    struct timespec t;
    __real_clock_gettime(CLOCK_MONOTONIC, &t);
    pthread_key_create(&last_key, thread_ends);
    self = thread_new(NULL, NULL, -1);
    self->id = pthread_self();
    self->rcu = rcu_word();
    sched.current = self;
    sched.now = (uint64_t)t.tv_sec * 1000000000u;
    __real_pthread_create(&watcher, NULL, watch, NULL);
    sched.scenario = s;
    kill_point_seen = seen;
    sched.on = true;
    s->setup();
    for (unsigned i = 0; i < s->bodies; i++) {
        enter_scheduler();
        struct thread *body = thread_new(body_run, (void *)(intptr_t)i, (int)i);
        __real_pthread_create(&body->id, NULL, thread_begin, body);
        leave_scheduler();
    }
    wait_for(ON_BODIES, NULL, UINT64_MAX);
    explore(o);
    if (sched.failed) {
        _exit(1); /* what is left is in the middle of something */
    }
    struct thread *bodies[SCHED_BODIES];
    for (unsigned i = 0; i < s->bodies; i++) {
        bodies[i] = body_of(i);
    }
    bodies_go(false);
    for (unsigned i = 0; i < s->bodies; i++) {
        struct thread *body = bodies[i];
        wait_for(ON_THREAD, body, UINT64_MAX);
        body->joined = true;
        __real_pthread_join(body->id, NULL);
    }
    if (s->teardown != NULL) {
        s->teardown();
    }
    _exit(sched.failed);
}

bool sched_run(const struct scenario *s, const struct sched_options *o, struct sched_result *out) {
    struct sched_result *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    if (shared == MAP_FAILED) {
        abort();
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(o->seconds != 0 ? (unsigned)o->seconds + 200 + SYSTEMATIC_MOST_S : 300);
        sched.result = shared;
        run_child(s, o);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        abort();
    }
    if (status != 0 && !shared->failed) {
        shared->failed = true;
        shared->failed_at = shared->orders + shared->random + 1;
        snprintf(shared->what, sizeof(shared->what), "it ended with status %x%s", (unsigned)status,
                 WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM ? ": it hung" : "");
    }
    *out = *shared;
    munmap(shared, sizeof(*shared));
    return !out->failed;
}

const struct scenario *sched_find(const char *name) {
    for (const struct scenario *s = sched_scenarios; s->name != NULL; s++) {
        if (strcmp(s->name, name) == 0) {
            return s;
        }
    }
    return NULL;
}
