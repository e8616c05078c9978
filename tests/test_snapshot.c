/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file of `tide snapshot`: load reads back what save has written, and refuses a file that was changed, cut or made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tools/lib/json_out.h"
#include "tools/lib/read_all.h"
#include "tools/lib/snapshot_file.h"

static const struct snapshot_head HEAD = {
    .index = 77, .incarnation = 0x1122334455667788u, .created_unix_ns = 9, .name = "domain"
};

static void add(struct records *r, const char *key, size_t key_size, const char *value, size_t value_size,
                uint64_t version) {
    assert_int_equal(records_add(r, key, key_size, value, value_size, version), 0);
}

static struct records some(void) {
    struct records r = { 0 };
    add(&r, "b", 1, "two", 3, 2);
    add(&r, "a", 1, "one", 3, 1);
    add(&r, "a\0b", 3, "\0\377", 2, 3);
    add(&r, "empty", 5, "", 0, UINT64_MAX);
    records_sort(&r);
    return r;
}

/* The file's bytes, on the heap. */
static uint8_t *file_of(const struct records *r, size_t *size) {
    uint8_t *bytes;
    int fd = memfd_create("snapshot", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(snapshot_write(fd, &HEAD, r), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(read_all(fd, &bytes, size), 0);
    close(fd);
    return bytes;
}

static void seal(uint8_t *bytes, size_t size) {
    uint64_t sum = XXH3_64bits(bytes, size - 16);
    memcpy(bytes + size - 16, &sum, sizeof(sum));
}

static const char *parse(const uint8_t *bytes, size_t size) {
    struct snapshot_head head = { .count = 4711 };
    struct records r = { 0 };
    const char *wrong = snapshot_parse(bytes, size, &head, &r);
    if (wrong) {
        assert_int_equal(head.count, 4711);
        assert_null(r.list);
    }
    records_free(&r);
    return wrong;
}

static void snapshot__written_and_read__same(void **state) {
    (void)state;
    struct records r = some(), back = { 0 };
    struct snapshot_head head;
    size_t size;
    uint8_t *bytes = file_of(&r, &size);
    assert_int_equal(size, SNAPSHOT_HEADER_BYTES + SNAPSHOT_TRAILER_BYTES + 4 * SNAPSHOT_RECORD_BYTES + 18);
    assert_null(snapshot_parse(bytes, size, &head, &back));
    assert_int_equal(head.count, 4);
    assert_int_equal(head.index, 77);
    assert_true(head.incarnation == HEAD.incarnation);
    assert_int_equal(head.created_unix_ns, 9);
    assert_string_equal(head.name, "domain");
    assert_int_equal(back.n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(back.list[i].key_size, r.list[i].key_size);
        assert_int_equal(back.list[i].value_size, r.list[i].value_size);
        assert_true(back.list[i].version == r.list[i].version);
        assert_memory_equal(records_key(&back, &back.list[i]), records_key(&r, &r.list[i]), r.list[i].key_size);
        if (r.list[i].value_size > 0) {
            assert_memory_equal(records_value(&back, &back.list[i]), records_value(&r, &r.list[i]),
                                r.list[i].value_size);
        }
    }
    assert_ptr_equal(records_find(&back, "a\0b", 3), &back.list[1]);
    assert_null(records_find(&back, "zz", 2));
    assert_null(records_find(&back, "", 0));
    free(bytes);
    records_free(&r);
    records_free(&back);
}

static void snapshot__nothing_in_it__good(void **state) {
    (void)state;
    struct records r = { 0 };
    size_t size;
    uint8_t *bytes = file_of(&r, &size);
    assert_null(parse(bytes, size));
    free(bytes);
}

static void snapshot__larger_than_the_buffer__same(void **state) {
    (void)state;
    struct records r = { 0 }, back = { 0 };
    struct snapshot_head head;
    size_t size, value_size = 3000001;
    char *value = malloc(value_size);
    assert_non_null(value);
    for (size_t i = 0; i < value_size; i++) {
        value[i] = (char)(i * 31 >> 3);
    }
    add(&r, "k", 1, value, value_size, 1);
    uint8_t *bytes = file_of(&r, &size);
    assert_null(snapshot_parse(bytes, size, &head, &back));
    assert_int_equal(back.list[0].value_size, value_size);
    assert_memory_equal(records_value(&back, &back.list[0]), value, value_size);
    free(bytes);
    free(value);
    records_free(&r);
    records_free(&back);
}

static void snapshot__any_bit_flipped__refused(void **state) {
    (void)state;
    struct records r = some();
    size_t size;
    uint8_t *bytes = file_of(&r, &size);
    for (size_t i = 0; i < size * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_non_null(parse(bytes, size));
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
    assert_null(parse(bytes, size));
    free(bytes);
    records_free(&r);
}

static void snapshot__cut_anywhere__refused(void **state) {
    (void)state;
    struct records r = some();
    size_t size;
    uint8_t *bytes = file_of(&r, &size);
    for (size_t n = 0; n < size; n++) {
        uint8_t *cut = malloc(n + 1); /* of its own, so that a sanitizer sees a byte too many */
        assert_non_null(cut);
        memcpy(cut, bytes, n);
        assert_non_null(parse(cut, n));
        free(cut);
    }
    free(bytes);
    records_free(&r);
}

static void snapshot__longer_than_it_says__refused(void **state) {
    (void)state;
    struct records r = some();
    size_t size;
    uint8_t *bytes = file_of(&r, &size);
    uint8_t *more = calloc(1, size + 1);
    assert_non_null(more);
    memcpy(more, bytes, size);
    assert_non_null(parse(more, size + 1));
    free(more);
    free(bytes);
    records_free(&r);
}

/* A checksum that fits proves nothing: the program that wrote the file may have been wrong. */
static void snapshot__made_up_with_a_good_checksum__refused(void **state) {
    (void)state;
    static const struct {
        size_t at;
        uint32_t value;
    } CASES[] = {
        { 8, 3 },                              /* version */
        { 8, 0 },                              /* no version */
        { 8, 1 },                              /* a version whose records are shorter */
        { 12, 127 },                           /* header size */
        { 16, 3 },                             /* too few records counted */
        { 16, 5 },                             /* too many */
        { 20, 0xffffffff },                    /* far too many */
        { 24, 1 },                             /* bytes of the records */
        { 28, 0xffffffff },                    /* overflow */
        { SNAPSHOT_HEADER_BYTES, 0 },          /* an empty key */
        { SNAPSHOT_HEADER_BYTES, 65536 },      /* a key that is too long */
        { SNAPSHOT_HEADER_BYTES, 0xffffffff }, /* and one that goes far beyond the end */
        { SNAPSHOT_HEADER_BYTES + 4, 4 },      /* a value one longer than it is */
        { SNAPSHOT_HEADER_BYTES + 4, 0xffffffff },
        { SNAPSHOT_HEADER_BYTES + SNAPSHOT_RECORD_BYTES, 0x7a7a7a7a }, /* a key that is out of order */
    };
    struct records r = some();
    size_t size;
    uint8_t *bytes = file_of(&r, &size);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint8_t *forged = malloc(size);
        assert_non_null(forged);
        memcpy(forged, bytes, size);
        memcpy(forged + CASES[i].at, &CASES[i].value, 4);
        seal(forged, size);
        if (!parse(forged, size)) {
            fail_msg("case %zu was believed", i);
        }
        free(forged);
    }
    free(bytes);
    records_free(&r);
}

static void snapshot__key_twice__refused(void **state) {
    (void)state;
    struct records r = { 0 };
    size_t size;
    add(&r, "k", 1, "1", 1, 1);
    add(&r, "k", 1, "2", 1, 2);
    uint8_t *bytes = file_of(&r, &size);
    assert_non_null(parse(bytes, size));
    free(bytes);
    records_free(&r);
}

static void snapshot__random_bytes_with_a_good_frame__never_crashes(void **state) {
    (void)state;
    struct records r = some();
    size_t size;
    uint64_t random = 88172645463325252u;
    uint8_t *bytes = file_of(&r, &size);
    uint8_t *forged = malloc(size);
    assert_non_null(forged);
    for (int round = 0; round < 20000; round++) {
        memcpy(forged, bytes, size);
        for (int flips = 0; flips < 3; flips++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            forged[16 + random % (size - 32)] = (uint8_t)(random >> 40);
        }
        seal(forged, size);
        (void)parse(forged, size);
    }
    free(forged);
    free(bytes);
    records_free(&r);
}

/* ---- what goes to programs ---- */

static void check_json(struct json_out *j, const char *expected) {
    buf_add_char(&j->text, '\0');
    assert_string_equal(j->text.data, expected);
    json_out_free(j);
}

static void json_out__numbers_and_lists__exact(void **state) {
    (void)state;
    struct json_out j = { 0 };
    json_out_open(&j, NULL, '{');
    json_out_u64(&j, "u", UINT64_MAX);
    json_out_i64(&j, "i", INT64_MIN);
    json_out_open(&j, "l", '[');
    json_out_bool(&j, NULL, 1);
    json_out_null(&j, NULL);
    json_out_open(&j, NULL, '{');
    json_out_close(&j, '}');
    json_out_close(&j, ']');
    json_out_hex(&j, "h", 10);
    json_out_real(&j, "r", 0.25);
    json_out_text(&j, "t", "a\"\n");
    json_out_close(&j, '}');
    check_json(&j, "{\"u\": 18446744073709551615, \"i\": -9223372036854775808, \"l\": [true, null, {}], "
                   "\"h\": \"000000000000000a\", \"r\": 0.25, \"t\": \"a\\\"\\n\"}");
}

static void json_out__bytes__text_or_base64(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *expected;
    } CASES[] = {
        { "", 0, "\"\", \"e\": \"utf-8\"" },
        { "a\0b", 3, "\"a\\u0000b\", \"e\": \"utf-8\"" },
        { "\xc3\xb6", 2, "\"\xc3\xb6\", \"e\": \"utf-8\"" },
        { "\xf0\x9f\x8c\x8a", 4, "\"\xf0\x9f\x8c\x8a\", \"e\": \"utf-8\"" },
        { "\xff", 1, "\"/w==\", \"e\": \"base64\"" },
        { "\xc3", 1, "\"ww==\", \"e\": \"base64\"" },         /* cut */
        { "\xc0\x80", 2, "\"wIA=\", \"e\": \"base64\"" },     /* overlong */
        { "\xed\xa0\x80", 3, "\"7aCA\", \"e\": \"base64\"" }, /* half a surrogate pair */
        { "\xf4\x90\x80\x80", 4, "\"9JCAgA==\", \"e\": \"base64\"" },
        { "\xe0\x80\x80z", 4, "\"4ICAeg==\", \"e\": \"base64\"" },
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct json_out j = { 0 };
        json_out_bytes(&j, NULL, CASES[i].bytes, CASES[i].size, "e");
        check_json(&j, CASES[i].expected);
    }
    struct json_out j = { 0 };
    json_out_bytes(&j, "k", "\xff", 1, NULL);
    check_json(&j, "\"k\": \"/w==\", \"k_encoding\": \"base64\"");
}

/* Written by hand, as tide 0.1.0 did. */
static void snapshot_parse__format_1__is_read(void **state) {
    uint8_t file[SNAPSHOT_HEADER_BYTES + SNAPSHOT_RECORD_BYTES_1 + 3 + SNAPSHOT_TRAILER_BYTES] = { 0 };
    uint8_t *record = file + SNAPSHOT_HEADER_BYTES;
    struct snapshot_head head = { 0 };
    struct records r = { 0 };
    (void)state;
    memcpy(file, "TIDESNAP\1\0\0\0\200\0\0\0\1", 17);
    file[24] = SNAPSHOT_RECORD_BYTES_1 + 3;
    memcpy(record, "\1\0\0\0\2\0\0\0\5", 9);
    memcpy(record + SNAPSHOT_RECORD_BYTES_1, "kvw", 3);
    memcpy(file + sizeof(file) - 8, "TIDEDONE", 8);
    seal(file, sizeof(file));
    assert_null(snapshot_parse(file, sizeof(file), &head, &r));
    assert_int_equal(head.version, 1);
    assert_int_equal(r.n, 1);
    assert_int_equal(r.list[0].version, 5);
    assert_int_equal(r.list[0].expires_unix_ns, 0);
    assert_int_equal(r.list[0].flags, 0);
    assert_memory_equal(records_value(&r, &r.list[0]), "vw", 2);
    records_free(&r);
}

static void snapshot_write__life_and_flags__come_back(void **state) {
    struct snapshot_head head = { 0 };
    struct records r = some(), back = { 0 };
    size_t size;
    (void)state;
    r.list[1].expires_unix_ns = UINT64_MAX;
    r.list[1].flags = SNAPSHOT_KEEP;
    uint8_t *bytes = file_of(&r, &size);
    assert_null(snapshot_parse(bytes, size, &head, &back));
    assert_int_equal(head.version, 2);
    assert_true(back.list[1].expires_unix_ns == UINT64_MAX && back.list[1].flags == SNAPSHOT_KEEP);
    assert_true(back.list[0].expires_unix_ns == 0 && back.list[0].flags == 0);
    bytes[SNAPSHOT_HEADER_BYTES + 24] = 2; /* a flag that nobody knows */
    seal(bytes, size);
    assert_non_null(snapshot_parse(bytes, size, &head, &back));
    free(bytes);
    records_free(&r);
    records_free(&back);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshot_parse__format_1__is_read),
        cmocka_unit_test(snapshot_write__life_and_flags__come_back),
        cmocka_unit_test(snapshot__written_and_read__same),
        cmocka_unit_test(snapshot__nothing_in_it__good),
        cmocka_unit_test(snapshot__larger_than_the_buffer__same),
        cmocka_unit_test(snapshot__any_bit_flipped__refused),
        cmocka_unit_test(snapshot__cut_anywhere__refused),
        cmocka_unit_test(snapshot__longer_than_it_says__refused),
        cmocka_unit_test(snapshot__made_up_with_a_good_checksum__refused),
        cmocka_unit_test(snapshot__key_twice__refused),
        cmocka_unit_test(snapshot__random_bytes_with_a_good_frame__never_crashes),
        cmocka_unit_test(json_out__numbers_and_lists__exact),
        cmocka_unit_test(json_out__bytes__text_or_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
