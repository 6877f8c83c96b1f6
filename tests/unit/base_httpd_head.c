#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>
#include <stdio.h>

#include "base/httpd_head.h"

/* As a connection reads: octets come one by one. */
static unsigned read_slowly(struct view octets, struct http_head *h, size_t *head_n)
{
    const char *why = NULL;
    size_t at = 0;
    unsigned status = 0;

    *head_n = 0;
    for (size_t n = 1; n <= octets.n && status == 0 && *head_n == 0; n++) {
        status = http_head_end(view_sub(octets, 0, n), &at, head_n, &why);
    }
    if (status == 0 && *head_n > 0) {
        status = http_head_read(view_sub(octets, 0, *head_n), h, &why);
    }
    assert_true(status == 0 || why != NULL);
    return status;
}

static void test_good_heads(void **state)
{
    (void)state;
    struct http_head h;
    size_t n = 0;
    const struct view text =
        VIEW("POST /api/v1/lines/7%20a?limit=5&q=%2F HTTP/1.1\r\nhost: a.example:8443\r\n"
             "Content-Length:  12 \r\nX-Thing:\ta b\r\nConnection: keep-alive, Close\r\n\r\nbody");

    assert_int_equal(read_slowly(text, &h, &n), 0);
    assert_int_equal(n, text.n - 4);
    assert_true(view_eq(h.method, VIEW("POST")));
    assert_true(view_eq(h.path, VIEW("/api/v1/lines/7%20a")));
    assert_true(view_eq(h.query, VIEW("limit=5&q=%2F")));
    assert_true(h.has_length && h.length == 12 && !h.is_chunked && h.closes && h.minor == 1);
    assert_int_equal(h.n_fields, 4);
    assert_true(view_eq(http_head_field(&h, VIEW("x-thing")), VIEW("a b")));
    assert_true(view_eq(http_head_field(&h, VIEW("X-None")), VIEW("")));

    assert_int_equal(read_slowly(VIEW("GET / HTTP/1.0\r\nHost: x\r\n\r\n"), &h, &n), 0);
    assert_true(h.closes && h.minor == 0 && !h.has_length);
    assert_int_equal(read_slowly(VIEW("PUT /a..b/.c/... HTTP/1.1\r\nHost: [::1]:1\r\n"
                                      "Transfer-Encoding: Chunked\r\nExpect: 100-continue\r\n\r\n"),
                                 &h, &n),
                     0);
    assert_true(h.is_chunked && h.expects && !h.closes);
    assert_int_equal(read_slowly(VIEW("GET / HTTP/1.1\r\nHost: x\r\n"), &h, &n), 0);
    assert_int_equal(n, 0); /* there is more to come */
}

#define LINE  "GET / HTTP/1.1\r\n"
#define HOST  "Host: x\r\n"
#define H(x)  LINE HOST x "\r\n\r\n"
#define T(x)  "GET " x " HTTP/1.1\r\n" HOST "\r\n"
#define RL(x) x "\r\n" HOST "\r\n"
#define R(status, v)                                                                               \
    {                                                                                              \
        status, v, sizeof(v) - 1                                                                   \
    }

static void test_refused_heads(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        const char *text;
        size_t n;
    } rows[] = {
        R(400, H("Content-Length: 1\r\nContent-Length: 1")),
        R(400, H("Content-Length: 1\r\ncontent-length: 2")),
        R(400, H("Content-Length: 1, 1")),
        R(400, H("Content-Length: +1")),
        R(400, H("Content-Length: -1")),
        R(400, H("Content-Length: 0x1")),
        R(400, H("Content-Length:")),
        R(400, H("Content-Length: 99999999999999999999")),
        R(400, H("Content-Length : 1")),
        R(400, H("Content-Length: 1\r\nTransfer-Encoding: chunked")),
        R(400, H("Transfer-Encoding: chunked\r\nContent-Length: 1")),
        R(400, H("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked")),
        R(400, H("Transfer-Encoding: gzip, chunked")),
        R(400, H("Transfer-Encoding: identity")),
        R(400, H("Transfer-Encoding: chunked;q=1")),
        R(400, H("Transfer-Encoding: \tchunked x")),
        R(400, "GET / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"),
        R(400, H("Host: x")),
        R(400, H("Authorization: a\r\nAuthorization: a")),
        R(400, H("If-Match: a\r\nIf-Match: a")),
        R(400, H("Idempotency-Key: a\r\nIdempotency-Key: a")),
        R(400, H("Content-Type: a\r\nContent-Type: a")),
        R(400, LINE "\r\n"),
        R(400, LINE "Host:\r\n\r\n"),
        R(400, LINE "Host: a b\r\n\r\n"),
        R(400, LINE "Host: a/b\r\n\r\n"),
        R(400, LINE "Host: a@b\r\n\r\n"),
        R(400, H("X: a\r\n folded: b")),
        R(400, H("X: a\r\n\tb")),
        R(400, H("no colon")),
        R(400, H(": no name")),
        R(400, H("a b: c")),
        R(400, H("X: \x7f")),
        R(400, H("X: \xc3\xa4")),
        R(400, H("X: \0")),
        R(400, H("X: \x1b")),
        R(400, "GET / HTTP/1.1\nHost: x\n\n"),
        R(400, "GET / HTTP/1.1\r\nHost: x\n\r\n"),
        R(400, "GET / HTTP/1.1\r\nHost: x\rY: z\r\n\r\n"),
        R(400, "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n"),
        R(400, "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        R(400, RL("GET  / HTTP/1.1")),
        R(400, RL("GET / HTTP/1.1 ")),
        R(400, RL("GET /\tHTTP/1.1")),
        R(400, RL("GET /")),
        R(400, RL("G(T / HTTP/1.1")),
        R(400, RL(" / HTTP/1.1")),
        R(400, RL("ABCDEFGHIJKLMNOPQ / HTTP/1.1")),
        R(400, RL("GET / http/1.1")),
        R(400, RL("GET / HTTP/11")),
        R(505, RL("GET / HTTP/2.0")),
        R(505, RL("GET / HTTP/1.2")),
        R(505, RL("GET / HTTP/0.9")),
        R(417, H("Expect: tea")),
        R(400, T("http://x/")),
        R(400, T("*")),
        R(400, T("x:443")),
        R(400, T("a/b")),
        R(400, T("/a%00b")),
        R(400, T("/a%2fb")),
        R(400, T("/a%2Fb")),
        R(400, T("/a%0d%0ab")),
        R(400, T("/a%7f")),
        R(400, T("/a%1")),
        R(400, T("/a%")),
        R(400, T("/a%zz")),
        R(400, T("/a?b=%00")),
        R(400, T("/a?b=%4")),
        R(400, T("/.")),
        R(400, T("/..")),
        R(400, T("/a/../b")),
        R(400, T("/a/./b")),
        R(400, T("/a/%2e%2E/b")),
        R(400, T("/a/.%2e")),
        R(400, T("/a/%2e/")),
        R(400, T("/a#b")),
        R(400, T("/a\\b")),
        R(400, T("/a\"b")),
        R(400, T("/a<b>")),
        R(400, T("/{a}")),
        R(400, T("/a|b")),
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_head h;
        size_t n = 0;
        unsigned got = read_slowly(view_from(rows[i].text, rows[i].n), &h, &n);
        if (got != rows[i].status) {
            print_error("%s: %u\n", rows[i].text, got);
        }
        assert_int_equal(got, rows[i].status);
    }
}

static void test_too_long(void **state)
{
    (void)state;
    static char text[HTTP_HEAD_MAX + 2];
    struct http_head h;
    size_t n = 0;
    int at = 0;

    memset(text, 'a', sizeof text);
    memcpy(text, "GET /", 5);
    assert_int_equal(read_slowly(view_from(text, HTTP_HEAD_MAX), &h, &n), 414);
    memset(text + HTTP_LINE_MAX, 'b', sizeof text - HTTP_LINE_MAX);
    memcpy(text + HTTP_LINE_MAX, " HTTP/1.1\r\nHost: x\r\n\r\n", 23);
    assert_int_equal(read_slowly(view_from(text, HTTP_LINE_MAX + 23), &h, &n), 414);
    memset(text, 'a', sizeof text);
    memcpy(text, LINE HOST "X: ", 28);
    assert_int_equal(read_slowly(view_from(text, HTTP_HEAD_MAX), &h, &n), 431);
    at = snprintf(text, sizeof text, LINE HOST);
    for (int i = 0; i < HTTP_FIELDS_MAX; i++) {
        at += snprintf(text + at, sizeof text - (size_t)at, "X: y\r\n");
    }
    at += snprintf(text + at, sizeof text - (size_t)at, "\r\n");
    assert_int_equal(read_slowly(view_from(text, (size_t)at), &h, &n), 431);
}

/* Fed in pieces of `step`: the body, or the status of the refusal. */
static unsigned chunks(struct view octets, size_t step, char *body, size_t *body_n, size_t *rest)
{
    struct http_chunked c = {0};
    const char *why = NULL;
    unsigned status = 0;
    size_t at = 0;

    *body_n = 0;
    while (status == 0 && at < octets.n && !c.is_done) {
        struct view piece = view_sub(octets, at, step), data;
        size_t used = 0;
        status = http_chunked_read(&c, piece, &used, &data, &why);
        memcpy(body + *body_n, data.p, data.n);
        *body_n += data.n;
        at += used;
    }
    *rest = octets.n - at;
    return status != 0 ? status : c.is_done ? 0 : 1;
}

static void test_chunks(void **state)
{
    (void)state;
    static const struct {
        unsigned status;
        size_t rest;
        const char *text, *body;
    } rows[] = {
        {0, 0, "5\r\nhello\r\n0\r\n\r\n", "hello"},
        {0, 3, "5;a=b\r\nhello\r\n00A\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET", "hello0123456789"},
        {0, 0, "0\r\n\r\n", ""},
        {1, 0, "5\r\nhel", "hel"},
        {1, 0, "5\r\nhello\r\n0\r\n", "hello"},
        {400, 0, "5\nhello\r\n0\r\n\r\n", ""},
        {400, 0, "5\r\nhelloX\r\n0\r\n\r\n", ""},
        {400, 0, "5\r\nhello\n0\r\n\r\n", ""},
        {400, 0, "\r\nhello", ""},
        {400, 0, ";a\r\n", ""},
        {400, 0, "5 \r\nhello", ""},
        {400, 0, "-5\r\nhello", ""},
        {400, 0, "0x5\r\nhello", ""},
        {400, 0, "123456789\r\n", ""},
        {400, 0, "5;a\nb\r\nhello", ""},
        {400, 0, "0\r\nX: y\n\r\n", ""},
        {400, 0, "0\r\nX: \x01\r\n\r\n", ""},
    };
    static char long_line[20000], sink[20000];

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t step = 1; step < 8; step++) {
            char body[64];
            size_t n = 0, rest = 0;
            unsigned got = chunks(view_of(rows[i].text), step, body, &n, &rest);
            assert_int_equal(got, rows[i].status);
            if (got != 400) {
                assert_int_equal(rest, rows[i].rest);
                assert_true(view_eq(view_from(body, n), view_of(rows[i].body)));
            }
        }
    }
    for (size_t i = 0; i < 2; i++) { /* an extension, and trailers, without end */
        size_t n = 0, rest = 0;
        memset(long_line, 'a', sizeof long_line);
        memcpy(long_line, i == 0 ? "5;a" : "0\r\n", 3);
        assert_int_equal(chunks(view_from(long_line, sizeof long_line), 1000, sink, &n, &rest),
                         400);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_heads),
        cmocka_unit_test(test_refused_heads),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_chunks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
