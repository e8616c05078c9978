/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/dump/peek.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "shm/error.h"
#include "shm/fault.h"
#include "shm/segment_name.h"
#include "shm/board.h"
#include "shm/fd.h"
#include "shm/member.h"
#include "shm/segment.h"
#include "tools/dump/dump.h"

#define PREFIX "tidemark."
#define SUFFIX ".log"

_Static_assert(PEEK_REPLICAS == LAYOUT_REPLICAS && PEEK_REASONS == LAYOUT_REASONS && PEEK_PIDS >= LAYOUT_MEMBERS,
               "peek.h does not show layout.h to those who include it");

static void peek_add_memory(const char *path, uint64_t *bytes) {
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        *bytes += (uint64_t)st.st_blocks * 512;
    }
}

static uint64_t peek_memory_of(const char *name) {
    char path[SEGMENT_PATH_BYTES];
    uint64_t bytes = 0;
    if (segment_path(path, NULL, name, SEGMENT_LOG, 0) == 0) {
        peek_add_memory(path, &bytes);
    }
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        if (segment_path(path, NULL, name, SEGMENT_TABLE, i) == 0) {
            peek_add_memory(path, &bytes);
        }
        if (segment_path(path, NULL, name, SEGMENT_SPILL, i) == 0) {
            peek_add_memory(path, &bytes);
        }
    }
    return bytes;
}

static void peek_look_at_members(struct peek *p, int fd, const struct log_segment *seg) {
    for (uint32_t i = 0; i < LAYOUT_MEMBERS; i++) {
        if (seg->members[i].used == 0) {
            continue;
        }
        if (member_lives(fd, seg, i, UINT32_MAX)) {
            p->pids[p->members++] = (int32_t)seg->members[i].pid;
        } else {
            p->dead++;
        }
    }
}

static void peek_look_at_replicas(struct peek *p, int fd, const struct log_segment *seg) {
    struct dump_reads reads;
    dump_reads_sum(&reads, seg);
    memcpy(p->reads, reads.by, sizeof(p->reads));
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        uint32_t state = board_state(&seg->replicas[i]);
        int lives = member_lives(fd, seg, board_owner(&seg->replicas[i]), UINT32_MAX);
        p->living |= (uint64_t)lives << i;
        p->serving += state == REPLICA_SERVING && lives;
        p->orphans += state == REPLICA_ORPHAN;
        p->replicas += state != REPLICA_FREE && state != REPLICA_STOPPED && state != REPLICA_ORPHAN;
    }
}

static void peek_look_at_log(struct peek *p, int fd, const struct log_segment *seg) {
    p->incarnation = seg->header.incarnation;
    p->created_unix_ns = seg->header.created_unix_ns;
    p->commit = seg->leader.commit;
    p->term = seg->leader.term;
    p->ring_bytes = seg->ring_bytes;
    p->expected_keys = seg->expected_keys;
    p->slow_follower_ns = seg->slow_follower_ns;
    p->evicts = seg->evict != EVICT_NONE;
    p->table_bytes = seg->table_bytes;
    p->leader = seg->leader.leader;
    if (p->leader < 0 || p->leader >= (int32_t)LAYOUT_REPLICAS) {
        p->leader = -1;
    } else if (p->led) {
        p->leader_pid = (int32_t)seg->replicas[p->leader].pid;
    }
    peek_look_at_members(p, fd, seg);
    peek_look_at_replicas(p, fd, seg);
}

static int peek_is_regular(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static void peek_look_at_file(struct peek *p, struct dump_file *f, peek_more_fn *more, void *ctx) {
    struct dump_log log;
    struct stat st;
    p->theirs = fstat(f->fd, &st) == 0 && st.st_uid != geteuid();
    p->in_use = !dump_file_ended(f);
    p->led = member_led_elsewhere(f->fd);
    p->state = p->in_use ? PEEK_ALIVE : PEEK_DEAD;
    if (!dump_log_read(&log, f)) {
        p->state = PEEK_DAMAGED;
        snprintf(p->why, sizeof(p->why), "%s", f->fault);
    } else if (!log.understood || !log.ring_there || strcmp(log.seg->header.name, p->name) != 0) {
        p->state = dump_is_other_version(&log.seg->header) ? PEEK_VERSION : PEEK_DAMAGED;
        snprintf(p->why, sizeof(p->why), "%s", log.problems.count ? log.problems.text[0] : "not this domain's log");
    } else {
        peek_look_at_log(p, f->fd, log.seg);
        if (more) {
            more(ctx, f, &log);
        }
    }
    if (p->theirs && p->state == PEEK_DAMAGED) { /* no domain of ours, whatever is in it */
        char why[sizeof(p->why)];
        p->state = PEEK_CLOSED;
        snprintf(why, sizeof(why), "another user's, and no segment: %.*s", (int)sizeof(why) - 40, p->why);
        memcpy(p->why, why, sizeof(why));
    }
    dump_log_free(&log);
}

int peek_domain_more(const char *name, struct peek *out, peek_more_fn *more, void *ctx) {
    char path[SEGMENT_PATH_BYTES];
    struct dump_file f;
    *out = (struct peek){ .leader = -1 };
    snprintf(out->name, sizeof(out->name), "%s", name);
    if (segment_path(path, NULL, name, SEGMENT_LOG, 0) != 0 ||
        (access(path, F_OK) != 0 && segment_errno_is_missing(errno))) {
        return -1;
    }
    out->memory_bytes = peek_memory_of(name);
    if (!peek_is_regular(path) || !dump_file_open(&f, path)) {
        out->state = PEEK_CLOSED;
        out->unseen = peek_is_regular(path) && access(path, R_OK | W_OK) == 0;
        snprintf(out->why, sizeof(out->why), "%s", peek_is_regular(path) ? f.fault : "not a regular file");
        return 0;
    }
    peek_look_at_file(out, &f, more, ctx);
    dump_file_close(&f);
    return 0;
}

int peek_domain(const char *name, struct peek *out) {
    return peek_domain_more(name, out, NULL, NULL);
}

int peek_is_gone(const char *name, uint64_t incarnation) {
    char path[SEGMENT_PATH_BYTES];
    struct stat st;
    struct dump_file f;
    struct segment_header h;
    if (segment_path(path, NULL, name, SEGMENT_LOG, 0) != 0) {
        return 0;
    }
    if (lstat(path, &st) != 0) {
        return errno == ENOENT;
    }
    if (!S_ISREG(st.st_mode)) {
        return 1;
    }
    if (!dump_file_open(&f, path)) {
        return 0;
    }
    int gone = dump_file_read(&f, 0, &h, sizeof(h)) && (h.magic != TIDE_LAYOUT_MAGIC || h.incarnation != incarnation);
    dump_file_close(&f);
    return gone;
}

static int peek_compare_names(const void *a, const void *b) {
    return strcmp(a, b);
}

/* "tidemark.NAME.log" to NAME; 0 where it is none. */
static int peek_name_of(const char *file, char name[64]) {
    size_t length = strlen(file), around = strlen(PREFIX) + strlen(SUFFIX);
    if (length <= around || length - around > SEGMENT_NAME_MAX || strncmp(file, PREFIX, strlen(PREFIX)) != 0 ||
        strcmp(file + length - strlen(SUFFIX), SUFFIX) != 0) {
        return 0;
    }
    memcpy(name, file + strlen(PREFIX), length - around);
    name[length - around] = '\0';
    char path[SEGMENT_PATH_BYTES];
    return segment_path(path, NULL, name, SEGMENT_LOG, 0) == 0;
}

/* Where the segments lie. */
static DIR *peek_open_directory(void) {
    char path[SEGMENT_PATH_BYTES];
    if (segment_path(path, NULL, "x", SEGMENT_LOG, 0) != 0) {
        errno = EINVAL;
        return NULL;
    }
    *strrchr(path, '/') = '\0';
    return fd_open_dir(path);
}

int peek_list(char (**list)[64]) {
    DIR *dir = peek_open_directory();
    size_t n = 0, room = 0;
    *list = NULL;
    if (!dir) {
        return -1;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char name[64];
        if (!peek_name_of(e->d_name, name)) {
            continue;
        }
        if (n == room) {
            room = room ? 2 * room : 16;
            char(*more)[64] = realloc(*list, room * sizeof(*more));
            if (!more) {
                free(*list);
                *list = NULL;
                closedir(dir);
                errno = ENOMEM;
                return -1;
            }
            *list = more;
        }
        memcpy((*list)[n++], name, sizeof(name));
    }
    closedir(dir);
    if (n > 0) {
        qsort(*list, n, sizeof(**list), peek_compare_names);
    }
    return (int)n;
}

/* What stands behind "tidemark.NAME": a log, a table, a spilled request, or one of them half made. */
static int peek_is_ours(const char *rest, int half_made) {
    if (strncmp(rest, SUFFIX, strlen(SUFFIX)) == 0) {
        rest += strlen(SUFFIX);
    } else {
        if (rest[0] != '.' || (rest[1] != 'r' && rest[1] != 'l')) {
            return 0;
        }
        size_t digits = strspn(rest + 2, "0123456789");
        if (digits == 0) {
            return 0;
        }
        rest += 2 + digits;
    }
    return rest[0] == '\0' || (half_made && strncmp(rest, ".tmp.", 5) == 0);
}

int peek_leftovers(const char *name, int half_made, char file[PEEK_FILE_BYTES]) {
    char path[SEGMENT_PATH_BYTES];
    int found = 0;
    if (segment_path(path, NULL, name, SEGMENT_LOG, 0) != 0) {
        return 0;
    }
    DIR *dir = peek_open_directory();
    if (!dir) {
        return segment_errno_is_missing(errno) ? 0 : -1;
    }
    const char *log = strrchr(path, '/') + 1;
    size_t length = strlen(log) - strlen(SUFFIX); /* "tidemark.NAME" */
    for (struct dirent *e; !found && (e = readdir(dir)) != NULL;) {
        found = strncmp(e->d_name, log, length) == 0 && peek_is_ours(e->d_name + length, half_made);
        if (found) {
            snprintf(file, PEEK_FILE_BYTES, "%s", e->d_name);
        }
    }
    closedir(dir);
    return found;
}

int peek_maps(const char *name, int32_t pid) {
    char path[SEGMENT_PATH_BYTES], maps[64], line[512];
    struct stat st;
    int found = 0;
    if (pid <= 0 || segment_path(path, NULL, name, SEGMENT_LOG, 0) != 0 || lstat(path, &st) != 0) {
        return 0;
    }
    snprintf(maps, sizeof(maps), "/proc/%d/maps", (int)pid);
    FILE *f = fd_open_text(maps);
    while (f && !found && fgets(line, sizeof(line), f)) {
        unsigned int major_number, minor_number;
        uint64_t inode;
        found = sscanf(line, "%*s %*s %*s %x:%x %" SCNu64, &major_number, &minor_number, &inode) == 3 &&
                inode == st.st_ino && makedev(major_number, minor_number) == st.st_dev;
    }
    if (f) {
        fclose(f);
    }
    return found;
}

void peek_sizes_of(const struct table_segment *seg, struct tide_size out[TIDE_SIZES]) {
    for (uint32_t k = 0; k < TIDE_SIZES; k++) {
        out[k] = (struct tide_size){ seg->sizes[k].keys, seg->sizes[k].bytes };
    }
}

int peek_table_of(const struct table_segment *seg, uint64_t file_bytes, struct peek_table *out) {
    if (seg->nodes_end > file_bytes || seg->buckets_off > seg->nodes_end) {
        return -1;
    }
    uint64_t budget = seg->nodes_end - seg->buckets_off, used = seg->used_bytes;
    *out = (struct peek_table){
        .keys = seg->live_keys,
        .table_bytes = budget,
        .used_bytes = used < budget ? used : budget,
        .keys_most = seg->keys_most,
        .usage = usage_of(seg, budget),
    };
    peek_sizes_of(seg, out->sizes);
    return 0;
}

int peek_table(const char *name, uint32_t replica, uint64_t incarnation, struct peek_table *out) {
    char path[SEGMENT_PATH_BYTES];
    struct dump_file f;
    struct dump_table t;
    if (segment_path(path, NULL, name, SEGMENT_TABLE, replica) != 0 || !peek_is_regular(path) ||
        !dump_file_open(&f, path)) {
        return -1;
    }
    int good = dump_table_read(&t, &f) && t.understood && t.problems.count == 0 &&
               t.seg.header.incarnation == incarnation && t.seg.header.replica == replica;
    good = good && peek_table_of(&t.seg, f.size_bytes, out) == 0;
    dump_table_free(&t);
    dump_file_close(&f);
    return good ? 0 : -1;
}

const char *peek_fault(void) {
    return fault_text();
}

const char *peek_no_directory(void) {
    char path[SEGMENT_PATH_BYTES];
    if (segment_path(path, NULL, "any", SEGMENT_LOG, 0) != 0 || segment_no_directory(path) == SHM_ERR_NO_DOMAIN) {
        return NULL;
    }
    return fault_text();
}
