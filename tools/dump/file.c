/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/error.h"
#include "shm/fault.h"
#include "shm/fd.h"
#include "shm/segment_name.h"
#include "tools/dump/dump.h"

static bool file_fail(struct dump_file *f, enum tool_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool file_fail(struct dump_file *f, enum tool_code code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(f->fault, sizeof(f->fault), format, args);
    va_end(args);
    f->code = code;
    return false;
}

static bool file_fail_errno(struct dump_file *f, enum tool_code code, const char *doing) {
    return file_fail(f, code, "%s: %s", doing, strerror(errno));
}

/* stat first: opening a device may have effects, and opening a FIFO would wake its writer. */
static bool file_open_path(struct dump_file *f, int nofollow) {
    struct stat st;
    bool found = (nofollow ? lstat(f->path, &st) : stat(f->path, &st)) == 0;
    f->is_missing = !found && segment_errno_is_missing(errno);
    if (f->is_missing) {
        return file_fail(f, TOOL_NO_DOMAIN, "there is no such file");
    }
    if (!found) {
        return file_fail_errno(f, TOOL_NO_DOMAIN, "cannot look it up");
    }
    if (!S_ISREG(st.st_mode)) {
        return file_fail(f, TOOL_NO_DOMAIN, "not a regular file");
    }
    f->fd = fd_open(f->path, O_RDONLY | O_NONBLOCK | O_NOCTTY | nofollow, 0);
    if (f->fd < 0) {
        /* For want of a descriptor, say: that does not tell what is there. */
        bool want = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
        return file_fail_errno(f, want ? TOOL_FAILED : TOOL_NO_DOMAIN, "cannot open it");
    }
    if (fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        dump_file_close(f);
        return file_fail(f, TOOL_NO_DOMAIN, "not a regular file");
    }
    f->size_bytes = (uint64_t)st.st_size;
    return true;
}

/* "NAME.rK": a replica's table; "NAME.lK": a lane's large request. */
static bool file_names_part(const char *what) {
    const char *dot = strrchr(what, '.');
    return dot && dot != what && (dot[1] == 'r' || dot[1] == 'l') && dot[2] &&
           strspn(dot + 2, "0123456789") == strlen(dot + 2);
}

static bool file_set_path(struct dump_file *f, const char *dir, const char *format, const char *what) {
    char name[1024];
    int n = snprintf(name, sizeof(name), format, what);
    int m = n < 0 || (size_t)n >= sizeof(name) ? -1 : snprintf(f->path, sizeof(f->path), "%s%s", dir, name);
    return m >= 0 && (size_t)m < sizeof(f->path);
}

/* Segments are never symbolic links: a link that another user put into /dev/shm must not lead a dump elsewhere. */
static bool file_try_segment(struct dump_file *f, const char *format, const char *what) {
    const char *dir = getenv("TIDE_SHM_DIR");
    char with_slash[2048];
    if (dir && *dir) {
        snprintf(with_slash, sizeof(with_slash), "%s/", dir);
    } else {
        snprintf(with_slash, sizeof(with_slash), "/dev/shm/");
    }
    if (!file_set_path(f, with_slash, format, what)) {
        errno = ENAMETOOLONG;
        return file_fail_errno(f, TOOL_NO_DOMAIN, "cannot look it up");
    }
    return file_open_path(f, O_NOFOLLOW);
}

bool dump_file_open(struct dump_file *f, const char *what) {
    memset(f, 0, sizeof(*f));
    f->fd = -1;
    if (strlen(what) >= 1000 && !strchr(what, '/')) {
        return file_fail(f, TOOL_NO_DOMAIN, "the name is too long");
    }
    if (!strchr(what, '/')) {
        if (file_try_segment(f, "tidemark.%s.log", what)) {
            return true;
        }
        struct dump_file first = *f;
        if (file_names_part(what)) {
            bool opened = file_try_segment(f, "tidemark.%s", what);
            if (opened || !f->is_missing) { /* it is there, and cannot be opened */
                return opened;
            }
        }
        if (access(what, F_OK) != 0) { /* most likely a domain was meant: report that one */
            *f = first;
            if (f->is_missing && segment_no_directory(f->path) != SHM_ERR_NO_DOMAIN) {
                return file_fail(f, TOOL_FAILED, "%s", fault_text());
            }
            return f->is_missing
                       ? file_fail(
                             f, TOOL_NO_DOMAIN,
                             "there is no such domain, and no file of that name here; 'tide ls' lists the domains")
                       : false;
        }
    }
    if ((size_t)snprintf(f->path, sizeof(f->path), "%s", what) >= sizeof(f->path)) {
        return file_fail(f, TOOL_NO_DOMAIN, "the path is too long");
    }
    return file_open_path(f, 0);
}

void dump_file_close(struct dump_file *f) {
    if (f->fd >= 0) {
        close(f->fd);
    }
    f->fd = -1;
}

bool dump_file_read(struct dump_file *f, uint64_t off, void *buf, size_t n) {
    size_t got = 0;
    while (got < n) {
        if (off + got < off || off + got > INT64_MAX) {
            break;
        }
        ssize_t r = pread(f->fd, (char *)buf + got, n - got, (off_t)(off + got));
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r < 0) {
            return file_fail_errno(f, TOOL_FAILED, "cannot read it");
        }
        if (r == 0) {
            break;
        }
        got += (size_t)r;
    }
    if (got == n) {
        return true;
    }
    return file_fail(f, TOOL_NO, "the file ends at byte %llu, in the middle of the %zu bytes at %llu",
                     (unsigned long long)(off + got), n, (unsigned long long)off);
}

/* 1: somebody else has a lock in there, 0: nobody, -1: the system does not say. */
static int file_asked_lock(const struct dump_file *f, off_t start, off_t len) {
    struct flock any = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
    return fcntl(f->fd, F_OFD_GETLK, &any) != 0 ? -1 : any.l_type != F_UNLCK;
}

bool dump_file_ended(const struct dump_file *f) {
    struct stat st;
    if (fstat(f->fd, &st) != 0 || st.st_nlink == 0) {
        return true;
    }
    return file_asked_lock(f, 0, 0) == 0;
}

bool dump_file_held(const struct dump_file *f, uint64_t byte) {
    return file_asked_lock(f, (off_t)byte, 1) == 1;
}

void dump_problem(struct dump_problems *p, const char *format, ...) {
    if (p->count < DUMP_PROBLEMS) {
        va_list args;
        va_start(args, format);
        vsnprintf(p->text[p->count], DUMP_FAULT_BYTES, format, args);
        va_end(args);
    }
    p->count++;
}
