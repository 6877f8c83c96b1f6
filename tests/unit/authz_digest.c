#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "authz/digest.h"

/* VIEW() is no constant: this one may stand in a static table. */
#define VIEWI(text)                                                                                \
    {                                                                                              \
        "" text, sizeof(text) - 1                                                                  \
    }

#define MUFASA                                                                                     \
    "Digest username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", "       \
    "nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, "                        \
    "cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, "

/* RFC 7616 section 3.9.1. */
static void the_rfcs_example(void **state)
{
    static const struct {
        struct view value;
        enum hash_kind hash;
    } rows[] = {
        {VIEWI(MUFASA "algorithm=MD5, response=\"8ca523f5e9506fed4657c9700eebdbec\""), HASH_MD5},
        {VIEWI(MUFASA "algorithm=SHA-256, response=\"753927fa0e85d155564e2e272a28d1802ca10daf"
                      "4496794697cf8db5856cb6c1\", "
                      "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""),
         HASH_SHA256}};
    struct digest_request r = {VIEW("GET"), VIEW("")};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct digest_auth a;
        struct secret ha1 = {0};
        assert_int_equal(digest_parse(rows[i].value, &a), E_OK);
        assert_int_equal(a.hash, rows[i].hash);
        assert_int_equal(digest_ha1(a.hash, a.username, a.realm, VIEW("Circle of Life"), &ha1),
                         E_OK);
        assert_int_equal(digest_check(&a, &ha1, &r), E_OK);
        r.method = VIEW("PUT");
        assert_int_equal(digest_check(&a, &ha1, &r), E_AUTH);
        r.method = VIEW("GET");
        ha1.b[0] ^= 1;
        assert_int_equal(digest_check(&a, &ha1, &r), E_AUTH);
        ha1.n = 20;
        assert_int_equal(digest_check(&a, &ha1, &r), E_RANGE);
    }
}

/* Made with Python's hashlib. */
static void qops(void **state)
{
    static const struct {
        enum hash_kind hash;
        enum digest_qop qop;
        const char *response;
    } rows[] = {{HASH_SHA256, DIGEST_AUTH,
                 "35caec4ebfa4d618f4b008383db1c68e50049ff3daa93692fd566d496c92f74f"},
                {HASH_SHA256, DIGEST_AUTH_INT,
                 "fa579e2063f9014f9a46da110a494dba0df9421a885457b7cfa5c9855a8c9122"},
                {HASH_SHA256, DIGEST_NO_QOP,
                 "5037aca5807bf9ae2f74d54506eab5a709c95f0eda8b0c2a451d582e47db71ac"},
                {HASH_MD5, DIGEST_AUTH, "ca84344a582ed527156503f715e15d25"},
                {HASH_MD5, DIGEST_AUTH_INT, "35e350c6d05249402f2dee3bba4f92c3"},
                {HASH_MD5, DIGEST_NO_QOP, "151970e2e232dc1c867179ee8a664d3e"}};
    struct digest_request r = {VIEW("INVITE"), VIEW("v=0\r\n")};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct digest_auth a = {.nonce = VIEW("n0"),
                                .uri = VIEW("sip:bob@headgate.test"),
                                .cnonce = VIEW("c0"),
                                .nc_text = VIEW("0000000a"),
                                .hash = rows[i].hash,
                                .qop = rows[i].qop};
        struct secret ha1 = {0};
        char got[DIGEST_HEX_MAX];
        assert_int_equal(
            digest_ha1(a.hash, VIEW("alice"), VIEW("headgate.test"), VIEW("pa:ss"), &ha1), E_OK);
        assert_int_equal(digest_response(&a, &ha1, &r, got), E_OK);
        assert_string_equal(got, rows[i].response);
        a.response = view_of(got);
        assert_int_equal(digest_check(&a, &ha1, &r), E_OK);
        r.body.n--; /* only auth-int minds the body */
        assert_int_equal(digest_check(&a, &ha1, &r), a.qop == DIGEST_AUTH_INT ? E_AUTH : E_OK);
        r.body.n++;
        a.response.n--;
        assert_int_equal(digest_check(&a, &ha1, &r), E_AUTH);
    }
}

#define BASE "username=\"u\",realm=\"r\",nonce=\"n\",uri=\"sip:x\",response=\"ab\""
#define QOP  ",qop=auth,nc=0000000A,cnonce=\"c\""

static void readings(void **state)
{
    struct digest_auth a;
    (void)state;
    assert_int_equal(digest_parse(VIEW("DIGEST\r\n " BASE "\r\n\t,qop = \"auth-int\" , NC=0000000A,"
                                       "cnonce=\"a\\\"b\",algorithm=\"sha-256\",x=y,opaque=\"\""),
                                  &a),
                     E_OK);
    assert_true(view_eq(a.username, VIEW("u")) && view_eq(a.realm, VIEW("r")));
    assert_true(view_eq(a.nonce, VIEW("n")) && view_eq(a.uri, VIEW("sip:x")));
    assert_true(view_eq(a.response, VIEW("ab")) && view_eq(a.cnonce, VIEW("a\\\"b")));
    assert_true(view_eq(a.nc_text, VIEW("0000000A")));
    assert_true(a.nc == 10 && a.hash == HASH_SHA256 && a.qop == DIGEST_AUTH_INT);
    assert_int_equal(digest_parse(VIEW("Digest " BASE), &a), E_OK);
    assert_true(a.hash == HASH_MD5 && a.qop == DIGEST_NO_QOP);
    assert_true(digest_is(VIEW("digest a=b")));
    assert_false(digest_is(VIEW("Digest")));
    assert_false(digest_is(VIEW("DigestX a=b")));
}

static void refusals(void **state)
{
    static const struct {
        struct view value;
        enum err e;
    } rows[] = {
        {VIEWI("Basic " BASE), E_NOTFOUND},
        {VIEWI("BTI-MAC kid=0"), E_NOTFOUND},
        {VIEWI("Digest "), E_PARSE},
        {VIEWI("Digest " BASE ","), E_PARSE},
        {VIEWI("Digest ," BASE), E_PARSE},
        {VIEWI("Digest " BASE " x=y"), E_PARSE},
        {VIEWI("Digest " BASE ",x"), E_PARSE},
        {VIEWI("Digest " BASE ",x="), E_PARSE},
        {VIEWI("Digest " BASE ",x=\"y"), E_PARSE},
        {VIEWI("Digest " BASE ",x=\"y\\"), E_PARSE},
        {VIEWI("Digest " BASE ",x=\"\ty\""), E_PARSE},
        {VIEWI("Digest " BASE ",x=\"y\0z\""), E_PARSE},
        {VIEWI("Digest " BASE ",username=\"u\""), E_PARSE},
        {VIEWI("Digest " BASE ",NONCE=n"), E_PARSE},
        {VIEWI("Digest " BASE QOP ",nc=0000000A"), E_PARSE},
        {VIEWI("Digest realm=\"r\",nonce=\"n\",uri=\"sip:x\",response=\"ab\""), E_PARSE},
        {VIEWI("Digest username=\"\",realm=\"r\",nonce=\"n\",uri=\"x\",response=\"ab\""), E_PARSE},
        {VIEWI("Digest " BASE ",algorithm=SHA-512-256"), E_PARSE},
        {VIEWI("Digest " BASE ",algorithm=MD5-sess"), E_PARSE},
        {VIEWI("Digest " BASE ",userhash=true"), E_PARSE},
        {VIEWI("Digest " BASE ",qop=auth"), E_PARSE},
        {VIEWI("Digest " BASE ",qop=auth,nc=00000001"), E_PARSE},
        {VIEWI("Digest " BASE ",qop=auth,nc=00000000,cnonce=\"c\""), E_PARSE},
        {VIEWI("Digest " BASE ",qop=auth,nc=0000001,cnonce=\"c\""), E_PARSE},
        {VIEWI("Digest " BASE ",qop=auth,nc=0000000g,cnonce=\"c\""), E_PARSE},
        {VIEWI("Digest " BASE ",qop=none,nc=00000001,cnonce=\"c\""), E_PARSE},
        {VIEWI("Digest " BASE ",cnonce=\"c\""), E_PARSE}};
    char big[4096] = "Digest " BASE;
    struct digest_auth a;
    size_t n = strlen(big);
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (digest_parse(rows[i].value, &a) != rows[i].e) {
            fail_msg("row %zu: %s", i, rows[i].value.p);
        }
    }
    for (unsigned i = 0; i < DIGEST_PARAMS_MAX - 5; i++) {
        memcpy(big + n, ",x=y", 4);
        n += 4;
    }
    assert_int_equal(digest_parse(view_from(big, n), &a), E_OK);
    memcpy(big + n, ",x=y", 4);
    assert_int_equal(digest_parse(view_from(big, n + 4), &a), E_RANGE);
    n = strlen("Digest " BASE);
    memcpy(big + n, ",opaque=\"", 9);
    memset(big + n + 9, 'o', DIGEST_TEXT_MAX + 1);
    big[n + 9 + DIGEST_TEXT_MAX] = '"';
    assert_int_equal(digest_parse(view_from(big, n + 9 + DIGEST_TEXT_MAX + 1), &a), E_OK);
    big[n + 9 + DIGEST_TEXT_MAX] = 'o';
    big[n + 9 + DIGEST_TEXT_MAX + 1] = '"';
    assert_int_equal(digest_parse(view_from(big, n + 9 + DIGEST_TEXT_MAX + 2), &a), E_RANGE);
}

/* Whatever octet changes: no crash, and nothing that was not there is pointed at. */
static void every_octet_altered(void **state)
{
    static const char good[] = "Digest " BASE QOP ",algorithm=SHA-256";
    char buf[sizeof good];
    struct digest_auth a;
    (void)state;
    for (size_t i = 0; i < sizeof good - 1; i++) {
        for (unsigned x = 0; x < 256; x++) {
            memcpy(buf, good, sizeof good);
            buf[i] = (char)x;
            if (digest_parse(view_from(buf, sizeof good - 1), &a) == E_OK) {
                assert_true(a.username.p > buf && a.uri.p + a.uri.n < buf + sizeof buf);
            }
            IGNORE(digest_parse(view_from(buf, i), &a), "a cut one");
        }
    }
}

static void of_a_session(void **state)
{
    struct secret key = {.n = 32};
    char password[DIGEST_PASSWORD_BYTES];
    (void)state;
    for (uint8_t i = 0; i < 32; i++) {
        key.b[i] = i;
    }
    assert_int_equal(digest_session_password(&key, password), E_OK);
    assert_string_equal(password, "f1686c5781ecd658bcd2c610b8ea1d4a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rfcs_example),
        cmocka_unit_test(qops),
        cmocka_unit_test(readings),
        cmocka_unit_test(refusals),
        cmocka_unit_test(every_octet_altered),
        cmocka_unit_test(of_a_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
