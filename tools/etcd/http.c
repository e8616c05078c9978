/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/etcd/http.h"

#if __has_include(<curl/curl.h>)
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "tools/etcd/curl.h"

#define CONNECT_MS 2000L
#define KEEP_ALIVE_S 4L  /* silence before the peer is asked whether it lives */
#define UNHEARD_MS 8000u /* what was sent and not acknowledged for so long: the connection is dead */
#define IDLE_HANDLES 16u /* kept for the next requests */

struct etcd_call {
    CURL *easy;
    struct curl_slist *headers;
    struct etcd_http *http;
    struct etcd_call *next, *before;
    struct buf body, answer;
    size_t sent;
    bool too_large;
    etcd_data_fn *data;
    etcd_done_fn *done;
    void *ctx;
    char why[CURL_ERROR_SIZE];
};

struct etcd_http {
    struct curl_calls curl;
    CURLM *multi;
    struct etcd_http_opts opts;
    struct etcd_call *live, *idle;
    uint32_t idle_count;
};

const char *etcd_http_missing(void) {
    struct curl_calls curl;
    return curl_load(&curl);
}

struct etcd_http *etcd_http_open(const struct etcd_http_opts *opts, const char **why) {
    struct etcd_http *h = calloc(1, sizeof(*h));
    *why = h ? curl_load(&h->curl) : "out of memory";
    if (!*why && (h->multi = h->curl.curl_multi_init()) == NULL) {
        *why = "libcurl does not start";
    }
    if (*why) {
        free(h);
        return NULL;
    }
    h->opts = *opts;
    return h;
}

/* ---- a call's life ----------------------------------------------------------------------------------------------- */

static void http_link_call(struct etcd_http *h, struct etcd_call *c) {
    c->before = NULL;
    c->next = h->live;
    if (h->live) {
        h->live->before = c;
    }
    h->live = c;
}

static void http_unlink_call(struct etcd_http *h, struct etcd_call *c) {
    if (c->before) {
        c->before->next = c->next;
    } else {
        h->live = c->next;
    }
    if (c->next) {
        c->next->before = c->before;
    }
}

static void http_free_call(struct etcd_http *h, struct etcd_call *c) {
    if (c->easy) {
        h->curl.curl_easy_cleanup(c->easy);
    }
    buf_free(&c->body);
    buf_free(&c->answer);
    free(c);
}

/* Away from the multi handle; the call is kept for another request, unless it holds much memory. */
static void http_put_back(struct etcd_http *h, struct etcd_call *c) {
    h->curl.curl_multi_remove_handle(h->multi, c->easy);
    h->curl.curl_slist_free_all(c->headers);
    c->headers = NULL;
    if (h->idle_count >= IDLE_HANDLES || c->answer.room > (1u << 20) || c->body.room > (1u << 20)) {
        http_free_call(h, c);
        return;
    }
    h->curl.curl_easy_reset(c->easy);
    c->next = h->idle;
    h->idle = c;
    h->idle_count++;
}

static struct etcd_call *http_take(struct etcd_http *h) {
    struct etcd_call *c = h->idle;
    if (c) {
        h->idle = c->next;
        h->idle_count--;
        c->body.size = c->answer.size = 0;
        return c;
    }
    c = calloc(1, sizeof(*c));
    if (c && (c->easy = h->curl.curl_easy_init()) == NULL) {
        free(c);
        return NULL;
    }
    if (c) {
        c->http = h;
    }
    return c;
}

void etcd_http_cancel(struct etcd_http *h, struct etcd_call *call) {
    http_unlink_call(h, call);
    http_put_back(h, call);
}

void etcd_http_close(struct etcd_http *h) {
    while (h->live) {
        etcd_http_cancel(h, h->live);
    }
    while (h->idle) {
        struct etcd_call *c = h->idle;
        h->idle = c->next;
        http_free_call(h, c);
    }
    h->curl.curl_multi_cleanup(h->multi);
    free(h);
}

/* ---- what libcurl calls ------------------------------------------------------------------------------------------ */

static size_t http_on_body(char *to, size_t size, size_t n, void *ctx) {
    struct etcd_call *c = ctx;
    size_t room = size * n, left = c->body.size - c->sent;
    size_t take = left < room ? left : room;
    memcpy(to, c->body.data + c->sent, take);
    c->sent += take;
    return take;
}

/* The head of http.h says why there is no way back. */
static int http_on_seek(void *ctx, curl_off_t offset, int origin) {
    struct etcd_call *c = ctx;
    (void)origin;
    return offset == 0 && c->sent == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static size_t http_on_answer(char *bytes, size_t size, size_t n, void *ctx) {
    struct etcd_call *c = ctx;
    size_t all = size * n;
    if (c->data) {
        return c->data(c->ctx, bytes, all) == 0 ? all : all + 1;
    }
    if (c->answer.size + all > ETCD_ANSWER_BYTES) {
        c->too_large = true;
        return all + 1;
    }
    buf_add(&c->answer, bytes, all);
    return all;
}

static int http_on_socket(void *ctx, curl_socket_t fd, curlsocktype purpose) {
    unsigned int ms = UNHEARD_MS;
    (void)ctx;
    (void)purpose;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
    return CURL_SOCKOPT_OK;
}

/* ---- beginning --------------------------------------------------------------------------------------------------- */

static int http_add_header(struct etcd_call *c, const char *name, const char *value) {
    struct buf line = { 0 };
    buf_add_text(&line, name);
    buf_add_text(&line, value);
    buf_add_char(&line, '\0');
    struct curl_slist *more = c->http->curl.curl_slist_append(c->headers, line.data);
    buf_free(&line);
    if (!more) {
        return -1;
    }
    c->headers = more;
    return 0;
}

static int http_add_headers(struct etcd_call *c, const struct etcd_request *r) {
    c->headers = NULL;
    /* Without the second one libcurl would ask before it sends a long body, and wait for the answer. */
    return http_add_header(c, "Content-Type: ", "application/json") || http_add_header(c, "Expect:", "") ||
           (r->token && http_add_header(c, "Authorization: ", r->token)) ||
           (r->stream && http_add_header(c, "Grpc-Metadata-hasleader: ", "true"));
}

#define SET(option, value) (void)call->curl_easy_setopt(c->easy, option, value)

static void http_set_tls(struct etcd_call *c, const struct etcd_http_opts *o) {
    const struct curl_calls *call = &c->http->curl;
    if (o->ca) {
        SET(CURLOPT_CAINFO, o->ca);
    }
    if (o->cert) {
        SET(CURLOPT_SSLCERT, o->cert);
        SET(CURLOPT_SSLKEY, o->key ? o->key : o->cert);
    }
}

static void http_set_options(struct etcd_call *c, const struct etcd_request *r, const char *url) {
    const struct curl_calls *call = &c->http->curl;
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, c->http->opts.tls ? "https" : "http");
    SET(CURLOPT_NOPROXY, "*");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_ERRORBUFFER, c->why);
    SET(CURLOPT_HTTPHEADER, c->headers);
    SET(CURLOPT_PRIVATE, c);
    SET(CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, KEEP_ALIVE_S);
    SET(CURLOPT_TCP_KEEPINTVL, 2L);
    SET(CURLOPT_SOCKOPTFUNCTION, http_on_socket);
    SET(CURLOPT_WRITEFUNCTION, http_on_answer);
    SET(CURLOPT_WRITEDATA, c);
    SET(CURLOPT_BUFFERSIZE, 256L << 10);
    if (!r->stream) {
        SET(CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    }
    if (r->body) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)c->body.size);
        SET(CURLOPT_READFUNCTION, http_on_body);
        SET(CURLOPT_READDATA, c);
        SET(CURLOPT_SEEKFUNCTION, http_on_seek);
        SET(CURLOPT_SEEKDATA, c);
    }
    http_set_tls(c, &c->http->opts);
}
#undef SET

struct etcd_call *etcd_http_begin(struct etcd_http *h, const struct etcd_request *r) {
    char url[512];
    struct etcd_call *c = http_take(h);
    if (!c) {
        return NULL;
    }
    snprintf(url, sizeof(url), "%s://%s%s", h->opts.tls ? "https" : "http", r->endpoint, r->path);
    buf_add(&c->body, r->body, r->body ? r->body_size : 0);
    c->sent = 0;
    c->too_large = false;
    c->data = r->data;
    c->done = r->done;
    c->ctx = r->ctx;
    c->why[0] = '\0';
    if (http_add_headers(c, r) != 0) {
        http_put_back(h, c);
        return NULL;
    }
    http_set_options(c, r, url);
    if (h->curl.curl_multi_add_handle(h->multi, c->easy) != CURLM_OK) {
        http_put_back(h, c);
        return NULL;
    }
    http_link_call(h, c);
    return c;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

/* TLS 1.3: the server looks at the client's certificate only when the client takes the connection for made: its refusal comes by an alert. */
static bool http_is_mistrust(CURLcode code, const char *why) {
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CONNECT_ERROR || code == CURLE_SSL_ISSUER_ERROR ||
           ((code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR) && strcasestr(why, "alert") != NULL);
}

/* libcurl's words are those of its TLS library: of OpenSSL, which Debian's has. Of another one all is the authority's fault. */
static const char *http_advise(CURLcode code, const char *why) {
    if (code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_CERTPROBLEM) {
        return "";
    }
    if (strstr(why, "subject name") || strstr(why, "does not match")) {
        return ": write HOST as the member's certificate names it";
    }
    if (strstr(why, "expired") || strstr(why, "not yet valid")) {
        return strcasestr(why, "alert") ? ": renew the file of --upstream-cert"
                                        : ": renew the member's certificate, or set this machine's clock";
    }
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_ISSUER_ERROR) {
        return ": name the file of its authority by --upstream-ca";
    }
    return strcasestr(why, "alert") ? ": the member wants a certificate that it trusts: --upstream-cert" : "";
}

static void http_end_call(struct etcd_http *h, struct etcd_call *c, CURLcode code) {
    struct etcd_reply reply = { 0 };
    (void)h->curl.curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &reply.status);
    if (code != CURLE_OK) {
        reply.why = c->why[0] ? c->why : h->curl.curl_easy_strerror(code);
        reply.timed_out = code == CURLE_OPERATION_TIMEDOUT;
        reply.too_large = c->too_large;
        if (c->too_large) {
            reply.why = "its answer is too large: more than 128 MiB";
        }
        reply.mistrusted = http_is_mistrust(code, reply.why);
        reply.advice = reply.mistrusted ? http_advise(code, reply.why) : "";
        reply.no_tls = code == CURLE_SSL_CONNECT_ERROR && strcasestr(reply.why, "alert") == NULL;
    }
    /* Whatever the code is: a kept connection may have taken it and died, and libcurl's second attempt not even have connected. */
    reply.sent = c->sent == c->body.size;
    reply.text = c->answer.data ? c->answer.data : "";
    reply.size = c->answer.size;
    http_unlink_call(h, c);
    c->done(c->ctx, &reply);
    http_put_back(h, c);
}

void etcd_http_run(struct etcd_http *h) {
    int running, left;
    CURLMsg *message;
    (void)h->curl.curl_multi_perform(h->multi, &running);
    while ((message = h->curl.curl_multi_info_read(h->multi, &left)) != NULL) {
        char *call = NULL;
        if (message->msg == CURLMSG_DONE) {
            CURLcode code = message->data.result;
            (void)h->curl.curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call);
            http_end_call(h, (struct etcd_call *)call, code);
        }
    }
}

void etcd_http_wait(struct etcd_http *h, int timeout_ms) {
    (void)h->curl.curl_multi_poll(h->multi, NULL, 0, timeout_ms, NULL);
}

void etcd_http_wake(struct etcd_http *h) {
    (void)h->curl.curl_multi_wakeup(h->multi);
}

#else

const char *etcd_http_missing(void) {
    return "this tide was built without libcurl (Debian: libcurl4-openssl-dev); build it again";
}

struct etcd_http *etcd_http_open(const struct etcd_http_opts *opts, const char **why) {
    (void)opts;
    *why = etcd_http_missing();
    return NULL;
}

void etcd_http_close(struct etcd_http *h) {
    (void)h;
}

struct etcd_call *etcd_http_begin(struct etcd_http *h, const struct etcd_request *request) {
    (void)h;
    (void)request;
    return NULL;
}

void etcd_http_cancel(struct etcd_http *h, struct etcd_call *call) {
    (void)h;
    (void)call;
}

void etcd_http_run(struct etcd_http *h) {
    (void)h;
}

void etcd_http_wait(struct etcd_http *h, int timeout_ms) {
    (void)h;
    (void)timeout_ms;
}

void etcd_http_wake(struct etcd_http *h) {
    (void)h;
}

#endif
