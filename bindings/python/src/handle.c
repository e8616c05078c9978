/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each thread has a reader of its own of each domain, made when it first needs one. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "py.h"

__thread struct slot *slots;
unsigned generation = 2;
static pthread_key_t slots_key;

struct handle *handle_new(void) {
    struct handle *h = calloc(1, sizeof(*h));
    if (h != NULL) {
        atomic_init(&h->refs, 1);
        h->generation = generation;
        pthread_mutex_init(&h->lock, NULL);
    }
    return h;
}

void handle_release(struct handle *h) {
    if (h != NULL && atomic_fetch_sub(&h->refs, 1) == 1) {
        pthread_mutex_destroy(&h->lock);
        free(h);
    }
}

/* From any thread of the library: it must not wait for the GIL, whose holder may wait for that thread. */
void handle_log(void *ctx, enum tide_log_level level, const char *text) {
    struct handle *h = ctx;
    if (level != TIDE_LOG_INFO &&
        pthread_mutex_trylock(&h->lock) == 0) { /* a forked child may find it locked for ever */
        strncpy(h->line, text, sizeof(h->line) - 1);
        pthread_mutex_unlock(&h->lock);
    }
}

/* ---- sections -------------------------------------------------------------------------------------------------------- */

static void slot_release(struct slot *s) {
    if (atomic_fetch_sub(&s->refs, 1) == 1) {
        free(s);
    }
}

void section_release(struct section *c) {
    if (atomic_fetch_sub(&c->refs, 1) == 1) {
        slot_release(c->slot);
        free(c);
    }
}

/* By the thread that began it. */
static void section_end(struct section *c) {
    tide_section_end(c->r);
    atomic_store(&c->ended, 1);
    atomic_fetch_sub(&c->slot->h->sections, 1);
}

/* End what nobody needs any more. */
void slot_sweep(struct slot *s) {
    atomic_store(&s->left, 0);
    for (struct section **at = &s->open; *at != NULL;) {
        struct section *c = *at;
        if (!atomic_load(&c->left) || atomic_load(&c->exports) != 0) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        section_end(c);
        if (atomic_load(&c->refs) == 1) { /* ours: nobody can take another */
            c->next = s->spare;
            s->spare = c;
        } else {
            tide_reader_close(c->r);
            section_release(c);
        }
    }
}

bool slots_are_inside(void) {
    bool inside = false;
    for (struct slot *s = slots; s != NULL; s = s->next) {
        if (s->h->generation == generation) { /* a forked child is not inside what its parent had open */
            slot_sweep(s);
            inside = inside || s->open != NULL;
        }
    }
    return inside;
}

/* A section's reader, which has seen what the thread's reader has. Not begun yet. */
int slot_section(struct slot *s, struct section **out) {
    struct section *c = s->spare;
    int error = 0;
    if (c != NULL) {
        s->spare = c->next;
    } else {
        c = calloc(1, sizeof(*c));
        if (c == NULL) {
            return TIDE_ERR_NOMEM;
        }
        atomic_init(&c->refs, 1);
        c->slot = s;
        error = tide_reader_open(s->h->d, NULL, &c->r);
        if (error != 0) {
            free(c);
            return error;
        }
        atomic_fetch_add(&s->refs, 1);
    }
    atomic_store(&c->left, 0);
    atomic_store(&c->ended, 0);
    struct tide_token t;
    error = tide_reader_token(s->r, &t);
    if (error == 0) {
        error = tide_reader_observe(c->r, &t);
    }
    if (error != 0) {
        c->next = s->spare;
        s->spare = c;
        return error;
    }
    *out = c;
    return 0;
}

/* ---- slots ----------------------------------------------------------------------------------------------------------- */

static void slot_free(struct slot *s) {
    for (struct section *c = s->open, *next; c != NULL; c = next) {
        next = c->next;
        section_end(c);
        tide_reader_close(c->r);
        section_release(c);
    }
    for (struct section *c = s->spare, *next; c != NULL; c = next) {
        next = c->next;
        tide_reader_close(c->r);
        section_release(c);
    }
    tide_reader_close(s->r);
    handle_release(s->h);
    free(s->buf);
    slot_release(s);
}

static bool slot_is_viewed(const struct slot *s) {
    for (const struct section *c = s->open; c != NULL; c = c->next) {
        if (atomic_load(&c->exports) != 0) {
            return true;
        }
    }
    return false;
}

/* This thread's slot goes, but where somebody looks at a section's memory. */
void slot_drop(struct handle *h) {
    for (struct slot **at = &slots; *at != NULL; at = &(*at)->next) {
        struct slot *s = *at;
        if (s->h == h && !slot_is_viewed(s)) {
            *at = s->next;
            slot_free(s);
            return;
        }
    }
}

/* A thread ends. Where views of its sections are in use yet it waits: they show memory that the section keeps. */
static void slots_end(void *unused) {
    (void)unused;
    while (slots != NULL) {
        struct slot *s = slots;
        while (slot_is_viewed(s)) {
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        }
        slots = s->next;
        slot_free(s);
    }
}

/* What closed handles left in this thread goes. */
static void slots_sweep(void) {
    for (struct slot **at = &slots; *at != NULL;) {
        struct slot *s = *at;
        if (atomic_load(&s->h->closed) && !slot_is_viewed(s)) {
            *at = s->next;
            slot_free(s);
        } else {
            at = &s->next;
        }
    }
}

int slot_slow(struct handle *h, struct slot **out) {
    if (h == NULL || atomic_load(&h->closed)) {
        return TIDE_ERR_CLOSED;
    }
    for (struct slot **at = &slots; *at != NULL; at = &(*at)->next) {
        struct slot *s = *at;
        if (s->h == h) {
            *at = s->next; /* the first is found fastest */
            s->next = slots;
            slots = s;
            if (atomic_load(&s->left)) {
                slot_sweep(s);
            }
            *out = s;
            return 0;
        }
    }
    slots_sweep();
    struct slot *s = calloc(1, sizeof(*s));
    if (s == NULL || (s->buf = malloc(1024)) == NULL) {
        free(s);
        return TIDE_ERR_NOMEM;
    }
    s->buf_size = 1024;
    atomic_init(&s->refs, 1);
    int error = tide_reader_open(h->d, NULL, &s->r);
    if (error != 0) {
        free(s->buf);
        free(s);
        return error;
    }
    s->h = h;
    atomic_fetch_add(&h->refs, 1);
    s->next = slots;
    slots = s;
    pthread_setspecific(slots_key, s);
    *out = s;
    return 0;
}

static void handle_forked(void) {
    generation++;
}

int handle_init(void) {
    return pthread_atfork(NULL, NULL, handle_forked) != 0 || pthread_key_create(&slots_key, slots_end) != 0;
}
