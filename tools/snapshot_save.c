/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide snapshot save`: the file appears whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/fd.h"
#include "tools/lib/gather.h"
#include "tools/lib/signals.h"
#include "tools/lib/temporary.h"
#include "tools/lib/wall.h"
#include "tools/snapshot.h"

static char temporary[PATH_MAX]; /* what is half written, while `writing` */
static atomic_int writing;       /* atomic: the handler may run in any thread */

/* A save that is interrupted leaves nothing behind. */
static void save_on_signal(int number) {
    if (atomic_load(&writing)) {
        unlink(temporary);
    }
    _exit(128 + number);
}

static int save_failed(const struct snapshot *s, const char *what) {
    int why = errno;
    if (atomic_exchange(&writing, 0)) {
        unlink(temporary);
    }
    return cli_complain(&s->cli, TOOL_FAILED, "output", "%s: %s: %s", s->file, what, strerror(why));
}

/* The new name survives a crash of the machine only if the directory is synced as well. */
static int save_sync_directory(const char *file) {
    char path[PATH_MAX];
    int fd = fd_open(temporary_directory_of(file, path), O_RDONLY | O_DIRECTORY, 0);
    int rc = fd < 0 ? -1 : fsync(fd);
    if (fd >= 0) {
        close(fd);
    }
    return rc == 0 || errno == EINVAL ? 0 : -1; /* some file systems cannot do it for directories */
}

static int save_write_file(struct snapshot *s) {
    struct stat st;
    if (lstat(s->file, &st) == 0 && !S_ISREG(st.st_mode)) {
        errno = EEXIST;
        return save_failed(s, "not a regular file; use - for standard output");
    }
    if (temporary_name(s->file, temporary) != 0) {
        return save_failed(s, "the name");
    }
    signals_catch(save_on_signal, 0);
    atomic_store(&writing, 1);
    temporary_remove_dead(s->file);
    int fd = temporary_create(temporary, 0600);
    if (fd < 0) {
        atomic_store(&writing, 0); /* the file of that name is not ours */
        return save_failed(s, "cannot be created");
    }
    if (snapshot_write(fd, &s->head, &s->records) != 0 || fsync(fd) != 0) {
        int why = errno;
        close(fd);
        errno = why;
        return save_failed(s, "cannot be written");
    }
    /* Close after the rename: until then the lock keeps other saves from removing the file. fsync() has reported all errors
     * that close() could report. */
    int rc = rename(temporary, s->file), why = errno;
    close(fd);
    errno = why;
    if (rc != 0) {
        return save_failed(s, "cannot be put in place");
    }
    atomic_store(&writing, 0);
    return save_sync_directory(s->file) == 0 ? 0 : save_failed(s, "its directory cannot be synced");
}

/* A file has nothing that is damaged. How many were left out. */
static size_t save_leave_damaged(struct snapshot *s) {
    size_t kept = 0, all = s->records.n;
    for (size_t i = 0; i < all; i++) {
        if ((s->records.list[i].flags & TIDE_DAMAGED) == 0) {
            s->records.list[kept++] = s->records.list[i];
        } else {
            s->records.size -= s->records.list[i].key_size + s->records.list[i].value_size;
        }
    }
    s->records.n = kept;
    return all - kept;
}

/* On standard error if the snapshot itself goes to standard output. */
static void save_report(const struct snapshot *s, int joined, size_t damaged) {
    struct json_out j = { 0 };
    FILE *out = strcmp(s->file, "-") == 0 ? stderr : stdout;
    uint64_t bytes =
        SNAPSHOT_HEADER_BYTES + SNAPSHOT_TRAILER_BYTES + s->records.size + s->records.n * SNAPSHOT_RECORD_BYTES;
    if (!s->cli.json) {
        fprintf(out, "saved %zu keys of %s at index %llu, %llu bytes%s\n", s->records.n, s->cli.name,
                (unsigned long long)s->head.index, (unsigned long long)bytes,
                joined ? " (read from a follower of its own)" : "");
        return;
    }
    json_out_open(&j, NULL, '{');
    json_out_u64(&j, "keys", s->records.n);
    json_out_u64(&j, "bytes", bytes);
    json_out_u64(&j, "index", s->head.index);
    json_out_hex(&j, "incarnation", s->head.incarnation);
    json_out_bool(&j, "joined", joined);
    json_out_u64(&j, "damaged", damaged);
    json_out_close(&j, '}');
    json_out_print(&j, out);
}

int snapshot_save(struct snapshot *s) {
    struct gather g = { .bound = s->read.bound, .replicas = s->read.replicas };
    struct tide_answer answer = TIDE_ANSWER_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    int to_stdout = strcmp(s->file, "-") == 0;
    if (to_stdout && isatty(STDOUT_FILENO)) {
        return cli_complain(&s->cli, TOOL_USAGE, "output", "a snapshot is not for terminals: name a file");
    }
    int rc = gather_scan(s->cli.domain, &g, &s->records, &answer);
    rc = rc == 0 ? tide_info(s->cli.domain, &info) : rc;
    if (rc != 0) {
        return kv_read_failed(&s->cli, rc, &answer, s->cli.name);
    }
    s->head = (struct snapshot_head){
        .index = answer.index,
        .incarnation = info.incarnation,
        .created_unix_ns = wall_unix_ns(),
    };
    snprintf(s->head.name, sizeof(s->head.name), "%s", s->cli.name);
    kv_tell_stale(&s->cli, &answer);
    size_t damaged = save_leave_damaged(s);
    if (to_stdout && snapshot_write(STDOUT_FILENO, &s->head, &s->records) != 0) {
        fprintf(stderr, "%s: standard output: %s\n", s->cli.tool, strerror(errno));
        return TOOL_FAILED;
    }
    int code = to_stdout ? 0 : save_write_file(s);
    if (code != 0) {
        return code;
    }
    save_report(s, g.joined, damaged);
    return kv_tell_damaged(&s->cli, damaged, " and not in the file");
}
