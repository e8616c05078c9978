/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/node/json_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A double has at most 767 significant decimal digits (the least subnormal, written out). */
#define DIGITS_MAX 768

/* The number is 0.DIGITS times ten to the power of `point`, without zeros at either end; no digits is zero. */
struct number {
    int negative;
    int n_digits; /* DIGITS_MAX + 1: more than fit */
    int64_t point;
    char digits[DIGITS_MAX + 1];
};

static int json_is_digit(char c) {
    return c >= '0' && c <= '9';
}

static size_t json_skip_digits(const char *text, size_t size, size_t at) {
    while (at < size && json_is_digit(text[at])) {
        at++;
    }
    return at;
}

static int json_grammar_ok(const char *text, size_t size) {
    size_t at = size > 0 && text[0] == '-';
    size_t start = at;
    at = json_skip_digits(text, size, at);
    if (at == start || (text[start] == '0' && at - start > 1)) {
        return 0;
    }
    if (at < size && text[at] == '.') {
        start = ++at;
        at = json_skip_digits(text, size, at);
        if (at == start) {
            return 0;
        }
    }
    if (at < size && (text[at] | 0x20) == 'e') {
        at++;
        if (at < size && (text[at] == '+' || text[at] == '-')) {
            at++;
        }
        start = at;
        at = json_skip_digits(text, size, at);
        if (at == start) {
            return 0;
        }
    }
    return at == size;
}

size_t json_number_scan(const char *text, size_t size, int *valid) {
    size_t at = 0;
    while (at < size && (json_is_digit(text[at]) || text[at] == '-' || text[at] == '+' || text[at] == '.' ||
                         (text[at] | 0x20) == 'e')) {
        at++;
    }
    *valid = json_grammar_ok(text, at);
    return at;
}

/* The exponent, held within a range in which no sum with a line's length overflows; beyond it nothing is exact
 * anyway. */
static int64_t json_read_exponent(const char *text, size_t size, size_t at) {
    int negative = at < size && text[at] == '-';
    if (at < size && (text[at] == '-' || text[at] == '+')) {
        at++;
    }
    int64_t value = 0;
    for (; at < size; at++) {
        if (value < 1000000000) {
            value = value * 10 + (text[at] - '0');
        }
    }
    return negative ? -value : value;
}

static void json_read_number(const char *text, size_t size, struct number *n) {
    size_t at = text[0] == '-';
    int64_t point = 0, zeros = 0;
    int seen_point = 0;
    n->negative = (int)at;
    n->n_digits = 0;
    for (; at < size && (text[at] | 0x20) != 'e'; at++) {
        if (text[at] == '.') {
            seen_point = 1;
            continue;
        }
        point += !seen_point;
        if (text[at] == '0') {
            /* Zeros before the first digit only move the point; later ones count once a digit follows. */
            if (n->n_digits == 0) {
                point--;
            } else {
                zeros++;
            }
            continue;
        }
        if (n->n_digits + zeros >= DIGITS_MAX) {
            n->n_digits = DIGITS_MAX + 1;
            n->point = 0;
            return;
        }
        for (; zeros > 0; zeros--) {
            n->digits[n->n_digits++] = '0';
        }
        n->digits[n->n_digits++] = text[at];
    }
    if (at < size) {
        point += json_read_exponent(text, size, at + 1);
    }
    n->point = n->n_digits ? point : 0;
}

static void json_format_scientific(const struct number *n, char *out, size_t out_size) {
    snprintf(out, out_size, "0.%.*se%lld", n->n_digits, n->digits, (long long)n->point);
}

static int json_same_value(const struct number *n, const char *printed) {
    struct number other;
    json_read_number(printed, strlen(printed), &other);
    return other.n_digits == n->n_digits && other.point == n->point &&
           memcmp(other.digits, n->digits, (size_t)n->n_digits) == 0;
}

static int json_number_exact_here(const struct number *n) {
    /* Fifteen digits always survive the way to a double and back; zero has none. */
    if (n->n_digits <= 15 && n->point > -290 && n->point < 300) {
        return 1;
    }
    if (n->n_digits > DIGITS_MAX || n->point < -400 || n->point > 400) {
        return 0;
    }
    char text[DIGITS_MAX + 64];
    json_format_scientific(n, text, sizeof(text));
    double value = strtod(text, NULL);
    if (isinf(value) || value == 0) {
        return 0;
    }
    for (int precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    if (json_same_value(n, text)) {
        return 1;
    }
    snprintf(text, sizeof(text), "%.*e", DIGITS_MAX - 1, value);
    return json_same_value(n, text);
}

int json_number_exact(const char *text, size_t size) {
    struct number n;
    json_read_number(text, size, &n);
    return json_number_exact_here(&n);
}

static void json_add_zeros(struct buf *out, int64_t count) {
    for (; count > 0; count--) {
        buf_add_char(out, '0');
    }
}

/* The layout of ECMAScript's Number::toString: plain up to 21 digits and down to 1e-6, an exponent beyond. */
void json_number_canonical(struct buf *out, const char *text, size_t size) {
    struct number n;
    json_read_number(text, size, &n);
    if (n.n_digits == 0 || n.n_digits > DIGITS_MAX) {
        buf_add_char(out, '0');
        return;
    }
    if (n.negative) {
        buf_add_char(out, '-');
    }
    if (n.point > 0 && n.point <= 21) {
        int64_t whole = n.point < n.n_digits ? n.point : n.n_digits;
        buf_add(out, n.digits, (size_t)whole);
        json_add_zeros(out, n.point - whole);
        if (n.n_digits > whole) {
            buf_add_char(out, '.');
            buf_add(out, n.digits + whole, (size_t)(n.n_digits - whole));
        }
    } else if (n.point <= 0 && n.point > -6) {
        buf_add_text(out, "0.");
        json_add_zeros(out, -n.point);
        buf_add(out, n.digits, (size_t)n.n_digits);
    } else {
        buf_add_char(out, n.digits[0]);
        if (n.n_digits > 1) {
            buf_add_char(out, '.');
            buf_add(out, n.digits + 1, (size_t)(n.n_digits - 1));
        }
        buf_printf(out, "e%lld", (long long)n.point - 1);
    }
}

/* Digits before the point `shift` places further right, into *out; *rest tells whether digits remain behind it. */
static int json_number_scaled(const struct number *n, int shift, uint64_t *out, int *rest) {
    int64_t point = n->point + shift;
    uint64_t value = 0;
    if (n->n_digits > DIGITS_MAX || (n->n_digits > 0 && point > 19)) {
        return -1;
    }
    for (int64_t i = 0; i < point; i++) {
        uint64_t digit = i < n->n_digits ? (uint64_t)(n->digits[i] - '0') : 0;
        if (__builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, digit, &value)) {
            return -1;
        }
    }
    *rest = point < n->n_digits;
    *out = value;
    return 0;
}

int json_number_whole(const char *text, size_t size, uint64_t *out) {
    struct number n;
    uint64_t value;
    int rest;
    json_read_number(text, size, &n);
    if ((n.negative && n.n_digits > 0) || json_number_scaled(&n, 0, &value, &rest) != 0 || rest ||
        value > (1ull << 53)) {
        return -1;
    }
    *out = value;
    return 0;
}

int json_number_ms(const char *text, size_t size, uint64_t max_ns, uint64_t *out_ns) {
    struct number n;
    uint64_t value;
    int rest;
    json_read_number(text, size, &n);
    if ((n.negative && n.n_digits > 0) || json_number_scaled(&n, 6, &value, &rest) != 0) {
        return -1;
    }
    value += rest ? 1 : 0;
    if (value > max_ns) {
        return -1;
    }
    *out_ns = value;
    return 0;
}
