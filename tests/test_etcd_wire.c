/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The client of etcd against a false one: answers in pieces, answers that are cut off, servers that are no etcd; addresses, base64, ranges. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/lib/etcd.h"
#include "tests/lib/etcd_book.h"
#include "tests/lib/help.h"
#include "tools/lib/base64.h"

/* ---- text -------------------------------------------------------------------------------------------------------- */

static int reads(struct etcd_address *a, const char *text) {
    char why[300];
    return etcd_address_read(a, text, why, sizeof(why));
}

static void address__endpoints_and_prefix(void **state) {
    struct etcd_address a;
    (void)state;
    assert_int_equal(reads(&a, "etcd://127.0.0.1:2379,[::1]:1,host-a.b:65535//app/%00%ff"), 0);
    assert_int_equal(a.n, 3);
    assert_false(a.tls);
    assert_string_equal(a.endpoints[1], "[::1]:1");
    assert_int_equal(a.prefix_len, 7);
    assert_memory_equal(a.prefix, "/app/\0\xff", 7);
    assert_int_equal(reads(&a, "etcds://h:1"), 0);
    assert_true(a.tls);
    assert_int_equal(a.prefix_len, 0);
    assert_int_equal(reads(&a, "etcd://h:1,h:1,[::]:1//"), 0); /* twice the same does no harm */
    assert_int_equal(a.n, 3);
    assert_int_equal(a.prefix_len, 1);
    assert_int_equal(reads(&a, "etcd://h:1/a b%20c%25"), 0);
    assert_int_equal(a.prefix_len, 6);
    assert_memory_equal(a.prefix, "a b c%", 6);
    static const char *const BAD[] = { "",
                                       "http://h:1/",
                                       "etcd://",
                                       "etcd:///a",
                                       "etcd://h/a",
                                       "etcd://h:0",
                                       "etcd://h:65536/",
                                       "etcd://h:1,/a",
                                       "etcd://h:1/%4",
                                       "etcd://h:1/%zz",
                                       "etcd://:1",
                                       "etcd://h@i:1/",
                                       "etcd://[x]:1/a",
                                       "etcd://a b:1/a",
                                       "etcd://h:1?x:2/",
                                       "etcd://h",
                                       "etcd://h:",
                                       "etcd://h: 1/",
                                       "etcd://h:1 /",
                                       "etcd:// h:1/",
                                       "etcd://h:+1",
                                       "etcd://h:-1/",
                                       "etcd://h:0x1/",
                                       "etcd://h:99999",
                                       "etcd://h:00002379",
                                       "etcd://[::1]/a",
                                       "etcd://::1:1/",
                                       "etcd://[::1:1/",
                                       "etcd://::1]:1/",
                                       "etcd://[]:1/",
                                       "etcd://h:1,,h:1/",
                                       "etcd://h:1/%",
                                       "etcd:/h:1/",
                                       "ETCD://h:1/",
                                       "etcd://h:1,h/a",
                                       "etcd://h:1,h:1,h:1,h:1,h:1,h:1,h:1,h:1,h:1,h:1,h:1,h:1,h:1,h:1,h:1,h:1,h:1/" };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        if (reads(&a, BAD[i]) == 0) {
            fail_msg("%s was taken", BAD[i]);
        }
    }
    char text[1100] = "etcd://h:1/", why[300];
    memset(text + 11, 'p', 1024);
    assert_int_equal(reads(&a, text), 0);
    text[11 + 1024] = 'p';
    assert_int_equal(reads(&a, text), -1);
    memset(text + 7, 'h', 300);
    snprintf(text + 7 + 270, 20, ":1/");
    assert_int_equal(reads(&a, text), -1);
    /* What may be a password is not repeated. */
    assert_int_equal(etcd_address_read(&a, "etcd://me:secret@h:1/", why, sizeof(why)), -1);
    assert_null(strstr(why, "secret"));
    assert_non_null(strstr(why, "--upstream-user"));
}

static void base64__there_and_back(void **state) {
    struct buf text = { 0 }, back = { 0 };
    unsigned char bytes[256];
    (void)state;
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (unsigned char)(i * 37 + size);
        }
        text.size = back.size = 0;
        base64_encode(&text, bytes, size);
        assert_int_equal(base64_decode(&back, text.data, text.size), 0);
        assert_int_equal(back.size, size);
        assert_true(size == 0 || memcmp(back.data, bytes, size) == 0);
    }
    static const char *const BAD[] = { "A",
                                       "AAA",
                                       "AA=A",
                                       "====",
                                       "A===",
                                       "AA A",
                                       "AA\nA",
                                       "AA==AAAA",
                                       "A\x80"
                                       "AA",
                                       "QQ-_" };
    back.size = 0;
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        assert_int_equal(base64_decode(&back, BAD[i], strlen(BAD[i])), -1);
        assert_int_equal(back.size, 0);
    }
    buf_free(&text);
    buf_free(&back);
}

static void prefix_range__ends_behind_the_prefix(void **state) {
    struct buf key = { 0 }, end = { 0 };
    (void)state;
    wire_prefix_range("ab", 2, &key, &end);
    assert_memory_equal(end.data, "ac", 2);
    wire_prefix_range("a\xff\xff", 3, &key, &end);
    assert_int_equal(end.size, 1);
    assert_int_equal(end.data[0], 'b');
    assert_int_equal(key.size, 3);
    wire_prefix_range("\xff", 1, &key, &end);
    assert_int_equal(end.size, 1);
    assert_int_equal(end.data[0], 0);
    wire_prefix_range("", 0, &key, &end);
    assert_int_equal(key.size, 1);
    assert_int_equal(key.data[0], 0);
    buf_free(&key);
    buf_free(&end);
}

static void message_end__wherever_it_is_cut(void **state) {
    static const char TEXT[] = " {\"a\":\"}\\\"{\\\\\",\"b\":{\"c\":[{}]}}\n{\"d\":1}";
    size_t size = sizeof(TEXT) - 1, first = (size_t)(strchr(TEXT, '\n') - TEXT);
    (void)state;
    for (size_t cut = 0; cut <= first; cut++) {
        struct wire_scan scan = { 0 };
        size_t got = wire_message_end(&scan, TEXT, cut);
        assert_int_equal(got, cut < first ? 0 : first);
        if (got == 0) {
            assert_int_equal(wire_message_end(&scan, TEXT, size), first);
        }
    }
    static const char *const NONE[] = { "x{}", " \n]{}", "\"{\"", "}", "<html>", "0" };
    for (size_t i = 0; i < sizeof(NONE) / sizeof(NONE[0]); i++) { /* told at once, and refused by who reads it */
        struct wire_scan scan = { 0 };
        assert_int_equal(wire_message_end(&scan, NONE[i], strlen(NONE[i])), strspn(NONE[i], " \n") + 1);
    }
}

/* What cannot be etcd's is refused; nothing is read outside of it. */
static void answers__damaged__are_refused(void **state) {
    static const char GOOD[] =
        "{\"result\":{\"header\":{\"cluster_id\":\"1\",\"revision\":\"7\",\"raft_term\":\"2\"},\"events\":["
        "{\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"7\",\"value\":\"Yg==\"}},{\"type\":\"DELETE\",\"kv\":"
        "{\"key\":\"Yw==\",\"mod_revision\":\"7\"}}]}}";
    struct wire w = { 0 };
    struct help_rng rng = { help_seed() };
    (void)state;
    assert_int_equal(wire_read(&w, GOOD, sizeof(GOOD) - 1), 0);
    assert_int_equal(w.n, 2);
    assert_true(w.kvs[1].deleted);
    assert_int_equal(w.header.revision, 7);
    for (unsigned i = 0; i < 20000; i++) {
        char text[sizeof(GOOD)];
        size_t size = help_below(&rng, sizeof(GOOD));
        char *exact = malloc(size + 1);
        memcpy(text, GOOD, sizeof(GOOD));
        for (unsigned k = (unsigned)help_below(&rng, 4); k > 0; k--) {
            text[help_below(&rng, sizeof(GOOD) - 1)] = (char)help_random(&rng);
        }
        size = help_below(&rng, 3) ? sizeof(GOOD) - 1 : size;
        free(exact);
        exact = malloc(size ? size : 1); /* a sanitizer sees what lies behind it */
        memcpy(exact, text, size);
        (void)wire_read(&w, exact, size);
        (void)wire_found(&w, help_below(&rng, 3));
        free(exact);
    }
    static const char *const BAD[] = { "",
                                       "[]",
                                       "{",
                                       "{\"kvs\":[{\"key\":\"!\"}]}",
                                       "{\"kvs\":[{\"key\":\"YQ==\"}]}",
                                       "{\"header\":{\"revision\":\"x\"}}",
                                       "{\"result\":{\"events\":[{}]}}",
                                       "{\"count\":\"-1\"}",
                                       "{\"count\":\"18446744073709551616\"}" };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        if (wire_read(&w, BAD[i], strlen(BAD[i])) == 0) {
            fail_msg("%s was taken", BAD[i]);
        }
        assert_true(w.text[0] != '\0');
    }
    wire_free(&w);
}

/* ---- a false server ---------------------------------------------------------------------------------------------- */

#define HEADER(revision)                                                                                               \
    "\"header\":{\"cluster_id\":\"9\",\"member_id\":\"1\",\"revision\":\"" revision "\",\"raft_term\":\"2\"}"
#define EVENT(key, value, revision)                                                                                    \
    "{\"kv\":{\"key\":\"" key "\",\"value\":\"" value "\",\"create_revision\":\"2\",\"mod_revision\":\"" revision "\"" \
    "}}"
#define CREATED "{\"result\":{" HEADER("5") ",\"created\":true}}\n"

struct script {
    struct etcd_false *server;
    char url[64];
    _Atomic unsigned watches, ranges, transactions, cluster;
    char from[8][32]; /* where each watch began */
    _Atomic bool drop_writes, deafen, ends, away;
    struct book *book;
    _Atomic int watch; /* the connection that the prefix is watched on */
    _Atomic unsigned probes;
    _Atomic unsigned pages, largest; /* asked for; most keys of one that was answered */
};

static bool says_hello(struct script *s, int fd, const char *path, const char *body) {
    (void)s;
    if (strcmp(path, "/version") == 0) {
        etcd_false_say(fd, 200, "{\"etcdserver\":\"3.4.23\",\"etcdcluster\":\"3.4.0\"}");
        return true;
    }
    if (strcmp(path, "/v3/maintenance/status") == 0) {
        etcd_false_say(fd, 404, "not here");
        return true;
    }
    if (strstr(body, "\"revision\":\"")) { /* how was a key? */
        etcd_false_say(fd, 400, "{\"error\":\"etcdserver: mvcc: required revision has been compacted\",\"code\":11}");
        return true;
    }
    if (strcmp(path, "/v3/kv/range") == 0) {
        s->ranges++;
        etcd_false_say(fd, 200, strstr(body, "count_only") ? "{" HEADER("9") "}" : "{" HEADER("5") "}");
        return true;
    }
    return false;
}

static unsigned note_watch(struct script *s, const char *body) {
    unsigned turn = s->watches++;
    const char *from = strstr(body, "\"start_revision\":\"");
    if (turn < 8 && from) {
        snprintf(s->from[turn], sizeof(s->from[0]), "%.*s", (int)strspn(from + 18, "0123456789"), from + 18);
    }
    return turn;
}

static void say_slowly(int fd, const char *text, size_t size, size_t piece) {
    for (size_t at = 0; at < size; at += piece) {
        etcd_false_chunk(fd, text + at, size - at < piece ? size - at : piece);
    }
}

/* The first watch is cut in the middle of the second revision's events, the second one is whole; both come byte by byte. */
static bool cut_in_a_transaction(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    static const char WHOLE[] = CREATED "{\"result\":{" HEADER("7") ",\"events\":[" EVENT(
        "YQ==", "MQ==", "6") "]}}\n"
                             "{\"result\":{" HEADER("7") ",\"events\":[" EVENT("YQ==", "Mg==", "7") "," EVENT(
                                 "Yg==", "Mg==", "7") "]}}";
    static const char REST[] = CREATED "{\"result\":{" HEADER("9") ",\"events\":[" EVENT("YQ==", "Mg==", "7") "," EVENT(
        "Yg==", "Mg==", "7") "," EVENT("Yw==", "Mw==", "9") "]}}\n";
    struct script *s = ctx;
    (void)turn;
    if (strcmp(path, "/v3/watch") != 0) {
        return says_hello(s, fd, path, body);
    }
    bool first = note_watch(s, body) == 0;
    etcd_false_begin(fd);
    say_slowly(fd, first ? WHOLE : REST, first ? sizeof(WHOLE) - 12 : sizeof(REST) - 1, 1);
    return !first;
}

/* The events of revision 7 come in three messages; those of 6 are before them in the first. In between etcd says how far it is. */
static bool in_fragments(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    static const char TEXT[] =
        CREATED "{\"result\":{" HEADER("7") ",\"fragment\":true,\"events\":[" EVENT("YQ==", "MQ==", "6") "," EVENT(
            "YQ==", "Mg==", "7") "]}}\n"
                                 "{\"result\":{" HEADER("7") ",\"fragment\":true,\"events\":[" EVENT(
                                     "Yg==", "Mg==", "7") "]}}\n"
                                                          "{\"result\":{" HEADER(
                                                              "7") "}}\n"
                                                                   "{\"result\":{" HEADER("7") ",\"events\":[" EVENT(
                                                                       "Yw==", "Mg==", "7") "," EVENT("ZA==", "Mw==",
                                                                                                      "9") "]}}\n";
    struct script *s = ctx;
    (void)turn;
    if (strcmp(path, "/v3/watch") != 0) {
        return says_hello(s, fd, path, body);
    }
    note_watch(s, body);
    etcd_false_begin(fd);
    say_slowly(fd, TEXT, sizeof(TEXT) - 1, 7);
    return true;
}

/* Every transaction is read, and the connection ends without an answer. The first answer on it is good, so that it is kept. */
static bool drops_writes(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    struct script *s = ctx;
    (void)turn;
    if (strcmp(path, "/v3/kv/txn") == 0) {
        s->transactions++;
        if (s->drop_writes) {
            if (s->deafen) {
                etcd_false_deafen(s->server);
            }
            return false;
        }
        etcd_false_say(fd, 200, "{" HEADER("5") ",\"succeeded\":true}");
        return true;
    }
    if (strcmp(path, "/v3/watch") == 0) {
        etcd_false_begin(fd);
        etcd_false_chunk(fd, CREATED, sizeof(CREATED) - 1);
        return true;
    }
    return says_hello(s, fd, path, body);
}

static void script_start(struct script *s, etcd_false_fn *fn) {
    unsigned port;
    memset(s, 0, sizeof(*s));
    s->server = etcd_false_start(fn, s, &port);
    snprintf(s->url, sizeof(s->url), "etcd://127.0.0.1:%u/", port);
}

/* A server that says what fn tells it, and a client that follows it. */
static struct book *follow_prefix(struct script **s, etcd_false_fn *fn, const char *prefix) {
    struct book *b = calloc(1, sizeof(*b));
    char url[80];
    *s = calloc(1, sizeof(**s));
    script_start(*s, fn);
    (*s)->book = b;
    snprintf(url, sizeof(url), "%s%s", (*s)->url, prefix);
    book_open(b, url, 0, NULL);
    return b;
}

static struct book *follow(struct script **s, etcd_false_fn *fn) {
    return follow_prefix(s, fn, "");
}

static void unfollow(struct book *b, struct script *s) {
    book_close(b);
    etcd_false_stop(s->server);
    free(b);
    free(s);
}

static void watch__cut_in_a_transaction__goes_on_behind_the_last_whole_revision(void **state) {
    struct script *s;
    struct book *b = follow(&s, cut_in_a_transaction);
    (void)state;
    while (!book_get(b, "c", NULL, NULL)) {
        usleep(2000);
    }
    char value[64];
    assert_true(book_get(b, "a", value, NULL));
    assert_string_equal(value, "2");
    assert_int_equal(b->groups, 3);
    assert_int_equal(b->changes, 4);
    assert_string_equal(s->from[0], "6");
    assert_string_equal(s->from[1], "7");
    unfollow(b, s);
}

static void watch__a_revision_in_fragments__is_told_whole(void **state) {
    struct script *s;
    struct book *b = follow(&s, in_fragments);
    (void)state;
    while (!book_get(b, "d", NULL, NULL)) {
        usleep(2000);
    }
    assert_int_equal(b->groups, 3); /* 6, 7 with three changes, 9 */
    assert_int_equal(b->changes, 5);
    assert_int_equal(book_catch_up(b), 9);
    unfollow(b, s);
}

#define DENIED                                                                                                         \
    "{\"result\":{" HEADER("5") ",\"created\":true,\"canceled\":true,\"cancel_reason\":\"rpc error: code = "           \
                                "PermissionDenied desc = etcdserver: permission denied\"}}\n"
#define GONE(key, revision)                                                                                            \
    "{\"result\":{" HEADER(revision) ",\"events\":[{\"type\":\"DELETE\",\"kv\":{\"key\":\"" key                        \
                                     "\",\"mod_revision\":\"" revision "\"}}]}}\n"
#define CAME(key, revision)                                                                                            \
    "{\"result\":{" HEADER(revision) ",\"events\":[{\"kv\":{\"key\":\"" key                                            \
                                     "\",\"value\":\"MQ==\",\"create_revision\":\"" revision                           \
                                     "\",\"mod_revision\":\"" revision "\"}}]}}\n"

/*
 * The user may see the prefix p alone. Key pa is made at revision 6 and deleted at 7, while a probe is under way: the watch has told of the first,
 * the probe's answer is of revision 7, and the watch tells of the second only then.
 */
static bool probe_overtakes_the_watch(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    struct script *s = ctx;
    (void)turn;
    if (strcmp(path, "/v3/watch") == 0) {
        bool all = strstr(body, "\"key\":\"AA==\"") != NULL;
        etcd_false_begin(fd);
        etcd_false_chunk(fd, all ? DENIED : CREATED, all ? sizeof(DENIED) - 1 : sizeof(CREATED) - 1);
        if (!all) {
            s->watch = fd;
        }
        return true;
    }
    if (!strstr(body, "min_mod_revision")) {
        return says_hello(s, fd, path, body);
    }
    switch (s->probes++) {
    case 0:
        etcd_false_chunk(s->watch, CAME("cGE=", "6"), sizeof(CAME("cGE=", "6")) - 1);
        while (!book_get(s->book, "a", NULL, NULL)) {
            usleep(1000);
        }
        etcd_false_say(fd, 200, "{" HEADER("7") "}");
        break;
    case 1: /* the answer was taken: it asks again */
        etcd_false_chunk(s->watch, GONE("cGE=", "7"), sizeof(GONE("cGE=", "7")) - 1);
        etcd_false_chunk(s->watch, CAME("cGI=", "8"), sizeof(CAME("cGI=", "8")) - 1);
        etcd_false_say(fd, 200, "{" HEADER("8") ",\"count\":\"1\"}");
        break;
    default:
        etcd_false_say(fd, 200, "{" HEADER("8") ",\"count\":\"1\"}");
    }
    return true;
}

static void probe__of_a_prefix__says_nothing_about_what_came_meanwhile(void **state) {
    struct script *s;
    struct book *b = follow_prefix(&s, probe_overtakes_the_watch, "p");
    (void)state;
    book_until_watching(b);
    etcd_client_ask(b->client, true, 5000000);
    while (!book_get(b, "b", NULL, NULL)) {
        usleep(2000);
    }
    assert_false(book_get(b, "a", NULL, NULL));
    assert_int_equal(book_catch_up(b), 8);
    unfollow(b, s);
}

/* What is at revision 9 the watch never tells, however often it is begun. */
static bool tells_nothing(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    struct script *s = ctx;
    (void)turn;
    if (strcmp(path, "/v3/watch") == 0) {
        note_watch(s, body);
        etcd_false_begin(fd);
        etcd_false_chunk(fd, CREATED, sizeof(CREATED) - 1);
        return true;
    }
    if (strcmp(path, "/v3/kv/range") == 0 && !strstr(body, "count_only") && s->watches > 0) {
        etcd_false_say(fd, 200,
                       "{" HEADER("9") ",\"kvs\":[{\"key\":\"YQ==\",\"value\":\"MQ==\",\"mod_revision\":\"9\"}],"
                                       "\"count\":\"1\"}");
        return true;
    }
    return says_hello(s, fd, path, body);
}

/* The same, and a byte now and then, of a message that never ends. */
static bool trickles(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    struct script *s = ctx;
    bool stays = tells_nothing(ctx, fd, turn, path, body);
    if (strcmp(path, "/v3/watch") != 0) {
        return stays;
    }
    etcd_false_chunk(fd, "{\"result\":{\"", 12);
    for (unsigned watches = s->watches; !s->ends && s->watches == watches;) {
        etcd_false_chunk(fd, "x", 1);
        usleep(2000);
    }
    return false;
}

static void watch_is_left(etcd_false_fn *fn) {
    struct script *s = calloc(1, sizeof(*s));
    struct book *b = calloc(1, sizeof(*b));
    script_start(s, fn);
    book_open(b, s->url, 0, &(struct etcd_client_opts){ .silence_ns = 20000000 });
    book_until_watching(b);
    assert_int_equal(book_catch_up(b), 9);
    assert_true(book_get(b, "a", NULL, NULL));
    assert_int_equal(b->snapshots, 2);
    assert_true(s->watches >= 3); /* a watch that only takes its time loses nothing */
    s->ends = true;
    unfollow(b, s);
}

static void watch__that_tells_nothing__is_left_for_a_snapshot(void **state) {
    (void)state;
    watch_is_left(tells_nothing);
    watch_is_left(trickles);
}

/* Pages of more than three keys are more than the client takes; it is told in bytes that mean nothing. */
static bool large_values(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    struct script *s = ctx;
    const char *limit = strstr(body, "\"limit\":\"");
    unsigned long keys = limit ? strtoul(limit + 9, NULL, 10) : 0;
    (void)turn;
    if (strcmp(path, "/v3/watch") == 0) {
        etcd_false_begin(fd);
        etcd_false_chunk(fd, CREATED, sizeof(CREATED) - 1);
        return true;
    }
    if (strcmp(path, "/v3/kv/range") != 0 || strstr(body, "count_only")) {
        return says_hello(s, fd, path, body);
    }
    s->pages++;
    if (keys > 3) {
        char *much = malloc(1 << 20);
        memset(much, ' ', 1 << 20);
        etcd_false_begin(fd);
        for (unsigned i = 0; i < (ETCD_ANSWER_BYTES >> 20) + 2; i++) {
            etcd_false_chunk(fd, much, 1 << 20);
        }
        free(much);
        return false;
    }
    s->largest = keys > s->largest ? (unsigned)keys : s->largest;
    bool first = strstr(body, "\"key\":\"AA==\"") != NULL; /* else behind the last key */
    etcd_false_say(fd, 200,
                   first ? "{" HEADER("5") ",\"kvs\":[{\"key\":\"YQ==\",\"value\":\"MQ==\",\"mod_revision\":\"4\"}],"
                                           "\"more\":true,\"count\":\"2\"}"
                         : "{" HEADER("5") ",\"kvs\":[{\"key\":\"Yg==\",\"value\":\"Mg==\",\"mod_revision\":\"5\"}],"
                                           "\"count\":\"2\"}");
    return true;
}

static void copy__pages_too_large__are_asked_for_with_fewer_keys(void **state) {
    struct script *s;
    struct book *b = follow(&s, large_values);
    (void)state;
    book_until_watching(b);
    assert_true(book_get(b, "a", NULL, NULL) && book_get(b, "b", NULL, NULL));
    assert_int_equal(b->snapshots, 1); /* which went on where a page was too large */
    assert_true(s->largest >= 1 && s->largest <= 3);
    unfollow(b, s);
}

/* ---- a copy that is broken off ----------------------------------------------------------------------------------- */

#define KEY(key, value) "{\"key\":\"" key "\",\"value\":\"" value "\",\"mod_revision\":\"4\"}"

/* The first page is there each time, and has another key each time; the second one comes at the fourth try. */
static bool second_page_is_late(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    static const char *const ANSWERS[] = {
        "{\"error\":\"etcdserver: mvcc: required revision has been compacted\",\"code\":11}",
        "{\"error\":\"etcdserver: leader changed\",\"code\":14}",
        "{\"error\":\"etcdserver: mvcc: required revision is a future revision\",\"code\":11}",
        "{" HEADER("5") ",\"kvs\":[" KEY("eg==", "Mg==") "],\"count\":\"2\"}" /* z */
    };
    static const char *const FIRST[] = { "YQ==", "Yg==", "Yw==", "ZA==" }; /* a, b, c, d */
    struct script *s = ctx;
    (void)turn;
    if (strcmp(path, "/v3/watch") == 0) {
        etcd_false_begin(fd);
        etcd_false_chunk(fd, CREATED, sizeof(CREATED) - 1);
        return true;
    }
    if (strcmp(path, "/v3/kv/range") != 0 || strstr(body, "count_only") || s->pages >= 8) {
        return says_hello(s, fd, path, body);
    }
    unsigned page = s->pages++;
    char text[400];
    snprintf(text, sizeof(text), "{" HEADER("5") ",\"kvs\":[" KEY("%s", "MQ==") "],\"more\":true,\"count\":\"2\"}",
             FIRST[page / 2]);
    etcd_false_say(fd, page % 2 && page < 7 ? 400 : 200, page % 2 ? ANSWERS[page / 2] : text);
    return true;
}

static void copy__broken_off_between_pages__begins_anew(void **state) {
    struct script *s;
    struct book *b = follow(&s, second_page_is_late);
    (void)state;
    book_until_watching(b);
    assert_int_equal(b->snapshots, 4);
    assert_int_equal(book_count(b), 2); /* nothing of the three that were broken off */
    assert_true(book_get(b, "d", NULL, NULL) && book_get(b, "z", NULL, NULL));
    unfollow(b, s);
}

/* ---- revisions of others ----------------------------------------------------------------------------------------- */

/* Behind revision 5 comes 6,000 at once, which is no key of ours, as after many writes of others; then one of ours. */
static bool revisions_jump(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    static const char TEXT[] = CREATED
        "{\"result\":{" HEADER("6000") ",\"events\":[" EVENT("YQ==", "MQ==", "6000") "]}}\n{\"result\":{" HEADER(
            "90000000000") ",\"events\":[" EVENT("cGE=", "MQ==", "90000000000") "]}}\n";
    struct script *s = ctx;
    (void)turn;
    if (strcmp(path, "/v3/watch") != 0) {
        return says_hello(s, fd, path, body);
    }
    note_watch(s, body);
    etcd_false_begin(fd);
    etcd_false_chunk(fd, TEXT, sizeof(TEXT) - 1);
    return true;
}

static void watch__revisions_jump__nothing_is_missed(void **state) {
    struct script *s;
    struct book *b = follow_prefix(&s, revisions_jump, "p");
    (void)state;
    while (!book_get(b, "a", NULL, NULL)) {
        usleep(2000);
    }
    assert_int_equal(b->revision, 90000000000u);
    assert_int_equal(b->told_empty, 1); /* 6,000, so that a leader after this one need not ask for what came before */
    assert_int_equal(b->groups, 2);
    assert_int_equal(b->changes, 1);
    assert_int_equal(b->snapshots, 1);
    unfollow(b, s);
}

/* ---- two members of two clusters --------------------------------------------------------------------------------- */

/* A member of the cluster s->cluster. */
static bool is_of_a_cluster(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    struct script *s = ctx;
    char header[120], text[200];
    (void)turn;
    if (s->away) {
        return false;
    }
    snprintf(header, sizeof(header), "\"header\":{\"cluster_id\":\"%u\",\"revision\":\"5\",\"raft_term\":\"2\"}",
             s->cluster);
    if (strcmp(path, "/v3/watch") == 0) {
        snprintf(text, sizeof(text), "{\"result\":{%s,\"created\":true}}\n", header);
        etcd_false_begin(fd);
        etcd_false_chunk(fd, text, strlen(text));
        s->watch = fd;
        s->watches++;
        return true;
    }
    if (strcmp(path, "/v3/kv/txn") == 0 || strcmp(path, "/v3/kv/range") == 0) {
        bool writes = strcmp(path, "/v3/kv/txn") == 0;
        s->transactions += writes;
        if (writes && s->drop_writes) {
            return false;
        }
        s->ranges += !writes;
        snprintf(text, sizeof(text), "{%s%s}", header, writes ? ",\"succeeded\":true" : "");
        etcd_false_say(fd, 200, text);
        return true;
    }
    return says_hello(s, fd, path, body);
}

struct two {
    struct script *s[2];
    struct book *b;
};

static void two_start(struct two *t) {
    char url[100];
    for (unsigned i = 0; i < 2; i++) {
        t->s[i] = calloc(1, sizeof(*t->s[i]));
        script_start(t->s[i], is_of_a_cluster);
        t->s[i]->cluster = 8 + i;
    }
    t->b = calloc(1, sizeof(*t->b));
    snprintf(url, sizeof(url), "%.*s,%s", (int)strlen(t->s[0]->url) - 1, t->s[0]->url,
             t->s[1]->url + strlen("etcd://"));
    book_open(t->b, url, 0, NULL);
    book_until_watching(t->b);
}

static void two_stop(struct two *t) {
    book_close(t->b);
    for (unsigned i = 0; i < 2; i++) {
        etcd_false_stop(t->s[i]->server);
        free(t->s[i]);
    }
    free(t->b);
}

static void until_state(struct book *b, const char *phase, const char *words) {
    struct etcd_state now;
    do {
        usleep(2000);
        etcd_client_state(b->client, &now);
    } while (strcmp(now.phase, phase) != 0 || !strstr(now.why, words));
}

/* Whichever answers first is the one that is followed. The other one is left alone, and gets no write. */
static void endpoints__one_is_of_another_cluster__is_left_alone(void **state) {
    (void)state;
    for (unsigned round = 0; round < 6; round++) { /* which is asked first is by chance */
        struct two t;
        two_start(&t);
        unsigned ours = (unsigned)t.b->cluster - 8;
        for (unsigned i = 0; i < 4; i++) {
            (void)book_put(t.b, "a", "1");
            assert_int_equal(book_catch_up(t.b), 5);
        }
        assert_int_equal(t.s[ours]->transactions, 4);
        assert_int_equal(t.s[!ours]->transactions, 0);
        /* Ours is not there for a moment, and is not waited for by following the other one. */
        unsigned watches = t.s[ours]->watches, ranges = t.s[!ours]->ranges;
        t.s[ours]->away = true;
        shutdown(t.s[ours]->watch, SHUT_RDWR);
        while (t.s[!ours]->ranges < ranges + 2) {
            usleep(2000);
        }
        t.s[ours]->away = false;
        while (t.s[ours]->watches == watches) {
            usleep(2000);
        }
        until_state(t.b, "watching", "");
        assert_false(t.b->restored);
        assert_int_equal(t.b->snapshots, 1);
        two_stop(&t);
    }
}

/* The member that is watched takes no writes: the next one goes to the other, of which nobody has heard yet. */
static void endpoints__the_watched_one_takes_no_writes__the_other_does(void **state) {
    struct two t;
    (void)state;
    two_start(&t);
    unsigned watched = t.s[1]->watches > 0;
    t.s[!watched]->cluster = (unsigned)t.b->cluster;
    t.s[watched]->drop_writes = true;
    struct etcd_op op = book_op(ETCD_PUT, "a", "1");
    enum etcd_result first = book_write(t.b, &op, 1).result;
    assert_true(first == ETCD_UNKNOWN || first == ETCD_DONE);
    (void)book_put(t.b, "a", "1");
    assert_int_equal(t.s[watched]->transactions, first == ETCD_UNKNOWN);
    assert_false(t.b->restored);
    two_stop(&t);
}

static void endpoints__all_are_of_another_cluster__it_was_replaced(void **state) {
    struct two t;
    (void)state;
    two_start(&t);
    t.s[0]->cluster = t.s[1]->cluster = 77;
    shutdown(t.s[t.b->cluster - 8]->watch, SHUT_RDWR);
    bool restored = false;
    while (!restored) {
        usleep(2000);
        pthread_mutex_lock(&t.b->lock);
        restored = t.b->restored;
        pthread_mutex_unlock(&t.b->lock);
    }
    assert_non_null(strstr(t.b->restored_why, "another cluster answers"));
    two_stop(&t);
}

static void write__no_answer__is_unknown_and_sent_once(void **state) {
    struct script *s;
    struct book *b = follow(&s, drops_writes);
    (void)state;
    book_until_watching(b);
    (void)book_put(b, "a", "1"); /* its connection is kept */
    s->drop_writes = true;
    for (unsigned i = 0; i < 3; i++) {
        struct etcd_op op = book_op(ETCD_PUT, "a", "2");
        assert_int_equal(book_write(b, &op, 1).result, ETCD_UNKNOWN);
        assert_int_equal(s->transactions, 2 + i);
        s->drop_writes = false;
        (void)book_put(b, "a", "1");
        s->drop_writes = true;
        s->transactions -= 1;
    }
    unfollow(b, s);
}

/* The connection ends and no other one can be made: etcd may have done the write nevertheless. */
static void write__the_server_dies_with_it__is_unknown(void **state) {
    struct script *s;
    struct book *b = follow(&s, drops_writes);
    (void)state;
    book_until_watching(b);
    (void)book_put(b, "a", "1");
    s->drop_writes = s->deafen = true;
    struct etcd_op op = book_op(ETCD_PUT, "a", "2");
    assert_int_equal(book_write(b, &op, 1).result, ETCD_UNKNOWN);
    unfollow(b, s);
}

static void write__nobody_listens__is_certainly_not_done(void **state) {
    struct book *b = calloc(1, sizeof(*b));
    char url[64];
    (void)state;
    snprintf(url, sizeof(url), "etcd://127.0.0.1:%u/", etcd_free_port());
    book_open(b, url, 0, NULL);
    struct etcd_op op = book_op(ETCD_PUT, "a", "2");
    struct etcd_outcome o = book_write_within(b, &op, 1, 2000);
    assert_int_equal(o.result, ETCD_LATE);
    assert_non_null(strstr(o.why, "not reached in time"));
    struct etcd_state now;
    etcd_client_state(b->client, &now);
    assert_non_null(strstr(now.why, "127.0.0.1"));
    assert_false(now.hopeless);
    book_close(b);
    free(b);
}

static bool says_nothing(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    (void)ctx;
    (void)fd;
    (void)turn;
    (void)path;
    (void)body;
    return true;
}

static bool is_no_etcd(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    (void)ctx;
    (void)turn;
    (void)path;
    (void)body;
    etcd_false_say(fd, 404, "<html>not here</html>");
    return true;
}

static bool is_html(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    (void)says_nothing(ctx, fd, turn, path, body);
    etcd_false_say(fd, 200, "<!DOCTYPE html><html><body>It works!</body></html>");
    return true;
}

static bool is_another_server(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    (void)says_nothing(ctx, fd, turn, path, body);
    etcd_false_say(fd, 200, "{\"version\":{\"number\":\"8.1\"}}");
    return true;
}

/* It says where it is now: nobody goes there. */
static bool has_moved(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    static const char TEXT[] =
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/version\r\nContent-Length: 0\r\n\r\n";
    (void)says_nothing(ctx, fd, turn, path, body);
    return send(fd, TEXT, sizeof(TEXT) - 1, MSG_NOSIGNAL) > 0;
}

/* An etcd by its first answer, and then HTML, as a proxy that lets /version pass. */
static bool is_a_proxy(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    (void)turn;
    if (strcmp(path, "/v3/kv/range") != 0) {
        return says_hello(ctx, fd, path, body);
    }
    etcd_false_say(fd, 200, "<html>forbidden</html>");
    return true;
}

static bool is_for_peers(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    (void)ctx;
    (void)turn;
    (void)body;
    bool version = strcmp(path, "/version") == 0;
    etcd_false_say(fd, version ? 200 : 404, version ? "{\"etcdserver\":\"3.4.23\"}" : "404 page not found\n");
    return true;
}

static bool speaks_tls(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    (void)ctx;
    (void)turn;
    (void)path;
    (void)body;
    etcd_false_say(fd, 400, "Client sent an HTTP request to an HTTPS server.\n");
    return false;
}

static bool hangs_up(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    (void)says_nothing(ctx, fd, turn, path, body);
    return false;
}

/* Bytes that mean nothing, one now and then, for ever: before an answer's head, in it, behind it, and in place of a watch's messages. */
static bool trickle(struct script *s, int fd, const char *text) {
    for (size_t at = 0; !s->ends; at++) {
        if (send(fd, text + at % strlen(text), 1, MSG_NOSIGNAL) != 1) {
            return false;
        }
        usleep(20000);
    }
    return false;
}

static bool trickles_no_http(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    (void)says_nothing(ctx, fd, turn, path, body);
    return trickle(ctx, fd, "garbage ");
}

static bool trickles_a_head(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    static const char HEAD[] = "HTTP/1.1 200 OK\r\n";
    (void)says_nothing(ctx, fd, turn, path, body);
    return send(fd, HEAD, sizeof(HEAD) - 1, MSG_NOSIGNAL) > 0 && trickle(ctx, fd, "X-Garbage: 1\r\n");
}

static bool trickles_a_body(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    static const char HEAD[] = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    (void)says_nothing(ctx, fd, turn, path, body);
    return send(fd, HEAD, sizeof(HEAD) - 1, MSG_NOSIGNAL) > 0 && trickle(ctx, fd, "<p>garbage</p>");
}

static bool trickles_blanks(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    struct script *s = ctx;
    if (strcmp(path, "/v3/watch") != 0) {
        return tells_nothing(ctx, fd, turn, path, body);
    }
    etcd_false_begin(fd);
    while (!s->ends) {
        etcd_false_chunk(fd, " ", 1);
        usleep(20000);
    }
    return false;
}

static bool watch_is_html(void *ctx, int fd, unsigned turn, const char *path, const char *body) {
    if (strcmp(path, "/v3/watch") != 0) {
        return tells_nothing(ctx, fd, turn, path, body);
    }
    etcd_false_begin(fd);
    etcd_false_chunk(fd, "<html>no messages", 17);
    return true;
}

/* Each of those may come to its senses: the client goes on trying. All at once, since some of them take a time-out of five seconds. */
static void connect__nobody_who_speaks__is_said(void **state) {
    static const struct {
        etcd_false_fn *fn;
        const char *words;
    } CASES[] = {
        { says_nothing, "does not answer /version: it is stopped, or no etcd" },
        { hangs_up, "without a word: this is no etcd, or it speaks TLS" },
        { trickles_no_http, "HTTP/0.9" },
        { trickles_a_head, "does not answer /version" },
        { trickles_a_body, "does not answer /version" },
        { trickles_blanks, "the watch does not begin" },
        { watch_is_html, "the watch told what etcd does not" },
    };
    enum { N = sizeof(CASES) / sizeof(CASES[0]) };
    struct script *s[N];
    struct book *b[N];
    struct etcd_state now;
    (void)state;
    for (size_t i = 0; i < N; i++) {
        b[i] = follow(&s[i], CASES[i].fn);
    }
    for (size_t i = 0; i < N; i++) {
        do {
            usleep(2000);
            etcd_client_state(b[i]->client, &now);
        } while (!now.why[0]);
        if (!strstr(now.why, CASES[i].words)) {
            fail_msg("\"%s\" does not say \"%s\"", now.why, CASES[i].words);
        }
        assert_false(now.hopeless);
        s[i]->ends = true;
    }
    for (size_t i = 0; i < N; i++) {
        unfollow(b[i], s[i]);
    }
}

static void until_hopeless(etcd_false_fn *fn, bool tls, const char *words) {
    struct script *s = calloc(1, sizeof(*s));
    struct book *b = calloc(1, sizeof(*b));
    struct etcd_state now;
    script_start(s, fn);
    char url[80];
    snprintf(url, sizeof(url), "%s%s", tls ? "etcds" : "etcd", s->url + 4);
    book_open(b, url, 0, NULL);
    do {
        usleep(2000);
        etcd_client_state(b->client, &now);
    } while (!now.hopeless);
    if (!strstr(now.why, words)) {
        fail_msg("\"%s\" does not say \"%s\"", now.why, words);
    }
    unfollow(b, s);
}

static void connect__no_etcd__is_hopeless(void **state) {
    (void)state;
    until_hopeless(is_no_etcd, false, "no etcd: it answers /version with status 404");
    until_hopeless(is_html, false, "no etcd: it answers /version with status 200");
    until_hopeless(is_another_server, false, "no etcd: it answers /version with status 200");
    until_hopeless(has_moved, false, "no etcd: it answers /version with status 302");
    until_hopeless(is_a_proxy, false, "no answer of etcd's");
    until_hopeless(speaks_tls, false, "write etcds://");
    until_hopeless(is_no_etcd, true, "TLS does not fit");
    until_hopeless(is_no_etcd, true, "if it speaks no TLS, write etcd://");
    until_hopeless(is_for_peers, false, "is this its port for peers?");
}

int main(void) {
    help_start(100);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address__endpoints_and_prefix),
        cmocka_unit_test(base64__there_and_back),
        cmocka_unit_test(prefix_range__ends_behind_the_prefix),
        cmocka_unit_test(message_end__wherever_it_is_cut),
        cmocka_unit_test(answers__damaged__are_refused),
        cmocka_unit_test(watch__cut_in_a_transaction__goes_on_behind_the_last_whole_revision),
        cmocka_unit_test(watch__a_revision_in_fragments__is_told_whole),
        cmocka_unit_test(probe__of_a_prefix__says_nothing_about_what_came_meanwhile),
        cmocka_unit_test(watch__that_tells_nothing__is_left_for_a_snapshot),
        cmocka_unit_test(copy__pages_too_large__are_asked_for_with_fewer_keys),
        cmocka_unit_test(copy__broken_off_between_pages__begins_anew),
        cmocka_unit_test(watch__revisions_jump__nothing_is_missed),
        cmocka_unit_test(endpoints__one_is_of_another_cluster__is_left_alone),
        cmocka_unit_test(endpoints__the_watched_one_takes_no_writes__the_other_does),
        cmocka_unit_test(endpoints__all_are_of_another_cluster__it_was_replaced),
        cmocka_unit_test(write__no_answer__is_unknown_and_sent_once),
        cmocka_unit_test(write__the_server_dies_with_it__is_unknown),
        cmocka_unit_test(write__nobody_listens__is_certainly_not_done),
        cmocka_unit_test(connect__nobody_who_speaks__is_said),
        cmocka_unit_test(connect__no_etcd__is_hopeless),
    };
    if (etcd_http_missing()) {
        printf("1..1\nok 1 # SKIP %s\n", etcd_http_missing());
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
