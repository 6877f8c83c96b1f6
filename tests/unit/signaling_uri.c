#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "signaling/sip_uri.h"

static void takes_uris_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum sip_scheme scheme;
        const char *user, *password, *host;
        uint16_t port;
        const char *params, *headers;
    } cases[] = {
        {"sip:b.example", SIP_SCHEME_SIP, "", "", "b.example", 0, "", ""},
        {"SIP:a@b.example", SIP_SCHEME_SIP, "a", "", "b.example", 0, "", ""},
        {"sips:a:pw@b.example:5061;lr;x=1?h=v", SIP_SCHEME_SIPS, "a", "pw", "b.example", 5061,
         "lr;x=1", "h=v"},
        {"sip:+1-212-555-1212;phone-context=x@127.0.0.1", SIP_SCHEME_SIP,
         "+1-212-555-1212;phone-context=x", "", "127.0.0.1", 0, "", ""},
        {"sip:a?b@[2001:db8::1]:5070", SIP_SCHEME_SIP, "a?b", "", "2001:db8::1", 5070, "", ""},
        {"sip:%61%40b@c.example", SIP_SCHEME_SIP, "%61%40b", "", "c.example", 0, "", ""},
        {"tel:+12125551212", SIP_SCHEME_TEL, "+12125551212", "", "", 0, "", ""},
        {"Tel:911;phone-context=+1", SIP_SCHEME_TEL, "911", "", "", 0, "phone-context=+1", ""},
        {"tel:*72#", SIP_SCHEME_TEL, "*72#", "", "", 0, "", ""},
        {"urn:service:sos.police", SIP_SCHEME_URN, "service:sos.police", "", "", 0, "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sip_uri u;
        assert_int_equal(sip_uri_parse(view_of(cases[i].text), &u), E_OK);
        assert_int_equal(u.scheme, cases[i].scheme);
        assert_true(view_eq(u.user, view_of(cases[i].user)));
        assert_true(view_eq(u.password, view_of(cases[i].password)));
        assert_true(view_eq(u.host, view_of(cases[i].host)));
        assert_int_equal(u.port, cases[i].port);
        assert_true(view_eq(u.params, view_of(cases[i].params)));
        assert_true(view_eq(u.headers, view_of(cases[i].headers)));
    }
}

static void refuses_uris(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "sip",
        "sip:",
        "sip:@b.example",
        "sip:a@",
        "sip:a@b@c.example",
        "sip:b.example:",
        "sip:b.example:0",
        "sip:b.example:65536",
        "sip:b.example:99999999999999999999",
        "sip:b.example:50x",
        "sip:b.example:-1",
        "sip:[::1",
        "sip:[::1]x",
        "sip:[127.0.0.1]",
        "sip:[[::1]]",
        "sip:[b.example]",
        "sip:[]",
        "sip:a b@c.example",
        "sip:a\tb@c.example",
        "sip:<a>@b.example",
        "sip:\"a\"@b.example",
        "sip:a\\b@c.example",
        "sip:a{b@c.example",
        "sip:[a]@b.example",
        "sip:b^c.example",
        "sip:b,c.example",
        "sip:b%20c.example",
        "sip:\303\244@b.example",
        "sip:a\177@b.example",
        /* escapes: a truncation for anyone who undoes them in C */
        "sip:%00.example",
        "sip:a@h.example;x=%00",
        "sip:a@h.example?x=%00",
        "sip:a:%00@h.example",
        "foo:%00",
        "urn:%00",
        "sip:a%@b.example",
        "sip:a%4@b.example",
        "sip:a%zz@b.example",
        "sip:b.example;x=%0",
        "sip:b.example?x=%00",
        "tel:%00",
        /* parameters */
        "sip:b.example;",
        "sip:b.example;;lr",
        "sip:b.example;lr;",
        "sip:b.example;=x",
        "sip:b.example;x=",
        "sip:b.example;lr;LR",
        "sip:b.example;x=1;x=2",
        "tel:",
        "tel:;x=1",
        "tel:+",
        "tel:-.()",
        "tel:1+2",
        "tel:12/3",
        "tel:12;",
        "tel:12;x;x",
        "urn:",
        "nocolon",
        ":x",
        "1a:x",
        "a_b:x",
        "foo:",
        "a b:x",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sip_uri u = {.port = 77};
        enum err e = sip_uri_parse(view_of(bad[i]), &u);
        if (e != E_PARSE || u.port != 77) {
            fail_msg("\"%s\": %s", bad[i], err_name(e));
        }
    }
    struct sip_uri u;
    assert_int_equal(sip_uri_parse(VIEW("sip:+12125551212%00evil@h.example"), &u), E_OK);
    assert_true(u.has_nul); /* RFC 4475 section 3.1.1.4; no number of anybody */
    char digits[64];
    assert_int_equal(sip_uri_digits(&u, digits, sizeof digits), E_PARSE);
    assert_int_equal(sip_uri_parse(view_from("sip:a\0b@c.example", 17), &u), E_PARSE);
    assert_int_equal(sip_uri_parse(VIEW("mailto:a@b.example"), &u), E_NOTFOUND);
    assert_int_equal(sip_uri_parse(VIEW("soap.beep://192.0.2.1:3002"), &u), E_NOTFOUND);
}

static void parameters_of_a_uri_are_limited(void **state)
{
    (void)state;
    char text[400];
    struct sip_uri u;
    size_t n = (size_t)snprintf(text, sizeof text, "sip:b.example");
    for (int i = 0; i < 32; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, ";p%d", i);
    }
    assert_int_equal(sip_uri_parse(view_of(text), &u), E_OK);
    snprintf(text + n, sizeof text - n, ";q");
    assert_int_equal(sip_uri_parse(view_of(text), &u), E_PARSE);
}

static void hosts(void **state)
{
    (void)state;
    static char name[257];
    memset(name, 'a', sizeof name - 1);
    assert_true(sip_host_ok(VIEW("a-b_c.example."), false));
    assert_true(sip_host_ok(VIEW("::1"), true));
    assert_true(sip_host_ok(view_from(name, 255), false));
    assert_false(sip_host_ok(view_from(name, 256), false));
    assert_false(sip_host_ok(VIEW(""), false));
    assert_false(sip_host_ok(VIEW("::1"), false));
    assert_false(sip_host_ok(VIEW("127.0.0.1"), true));
    assert_false(sip_host_ok(VIEW("a(b"), false));
}

static void finds_parameters(void **state)
{
    (void)state;
    struct view list = VIEW(" a = 1 ;flag;q=\"x;y=\\\";tag=evil\" ; Tag=T;e="), v = VIEW("-");
    assert_true(sip_param(list, VIEW("A"), &v) && view_eq(v, VIEW("1")));
    assert_true(sip_param(list, VIEW("flag"), &v) && v.n == 0);
    assert_true(sip_param(list, VIEW("tag"), &v) && view_eq(v, VIEW("T")));
    assert_true(sip_param(list, VIEW("e"), &v) && v.n == 0);
    v = VIEW("-");
    assert_false(sip_param(list, VIEW("y"), &v));
    assert_false(sip_param(list, VIEW("ta"), &v));
    assert_false(sip_param(VIEW(""), VIEW("a"), &v));
    assert_true(view_eq(v, VIEW("-")));
}

static void judges_parameters(void **state)
{
    (void)state;
    static const char *const good[] = {"",
                                       "a",
                                       "a=b",
                                       "a = b ; c",
                                       "a=\"b;c\\\"\";d",
                                       "a=[::1]:5",
                                       "received=2001:db8::1",
                                       "a=b\r\n ;c"};
    static const char *const bad[] = {";",   "a;",    ";a",    "a;;b",     "a=",     "=a",
                                      "a;A", "a=\"b", "a=b\"", "a=\"b\"c", "a b",    "a=b c",
                                      "<a>", "a=<b>", "a=b,c", "a=\"\\\"", "a=\177", "a=b\\"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(sip_params_ok(view_of(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (sip_params_ok(view_of(bad[i]))) {
            fail_msg("accepted: %s", bad[i]);
        }
    }
}

static void phone_contexts(void **state)
{
    (void)state;
    const struct {
        const char *uri, *want;
    } cases[] = {
        {"tel:7042;phone-context=example.com", "example.com"},
        {"tel:863-1234;isub=1;phone-context=+1-914-555", "+1-914-555"},
        {"sip:7042;phone-context=+1914@192.0.2.1;user=phone", "+1914"},
        {"sip:7042;Phone-Context=+1914@192.0.2.1;user=phone;phone-context=+44", "+1914"},
        {"sip:7042@192.0.2.1;phone-context=+44", NULL}, /* of the URI, not of the number */
        {"tel:+12125550101", NULL},
        {"sip:192.0.2.1", NULL},
        {"urn:service:sos", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sip_uri u;
        struct view got = {0};
        assert_int_equal(sip_uri_parse(view_of(cases[i].uri), &u), E_OK);
        bool has = sip_uri_phone_context(&u, &got);
        if (has != (cases[i].want != NULL) || (has && !view_eq(got, view_of(cases[i].want)))) {
            fail_msg("%s: %.*s", cases[i].uri, (int)got.n, got.p);
        }
    }
}

static void digits(void **state)
{
    (void)state;
    static const struct {
        const char *uri, *want; /* NULL: E_PARSE */
    } cases[] = {
        {"sip:+1(212)555-1212@b.example", "+12125551212"},
        {"sip:+1%2D212%20555.1212@b.example", "+12125551212"},
        {"sip:2125551212;phone-context=+1@b.example", "2125551212"},
        {"tel:+1-212-555-1212;ext=4", "+12125551212"},
        {"sip:%2372@b.example", "#72"},
        {"sip:*69@b.example", "*69"},
        {"sip:b.example", ""},
        {"urn:service:sos.a-b", "service:sos.a-b"},
        {"sip:911%3Bx@b.example", NULL}, /* no truncation by an escape */
        {"sip:911%0d@b.example", NULL},
        {"sip:911%ff@b.example", NULL},
        {"sip:911%7f@b.example", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sip_uri u;
        char text[64] = "-";
        assert_int_equal(sip_uri_parse(view_of(cases[i].uri), &u), E_OK);
        enum err e = sip_uri_digits(&u, text, sizeof text);
        assert_int_equal(e, cases[i].want != NULL ? E_OK : E_PARSE);
        if (cases[i].want != NULL) {
            assert_string_equal(text, cases[i].want);
        }
    }
    struct sip_uri u = {.user = VIEW("12345")};
    char text[6];
    assert_int_equal(sip_uri_digits(&u, text, 6), E_OK);
    assert_int_equal(sip_uri_digits(&u, text, 5), E_RANGE);
    assert_int_equal(sip_uri_digits(&u, text, 0), E_RANGE);
    u.user = VIEW("12%4"); /* not by our parser */
    assert_int_equal(sip_uri_digits(&u, text, 6), E_PARSE);
}

static void equality(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"sip:alice@b.example", "SIP:%61lice@B.EXAMPLE;lr", true},
        {"sip:alice@b.example", "sip:alice@b.example:5060", true},
        {"sips:alice@b.example", "sips:alice@b.example:5061", true},
        {"sip:alice@b.example", "sip:Alice@b.example", false},
        {"sip:alice@b.example", "sips:alice@b.example", false},
        {"sip:alice@b.example", "sip:alice@b.example:5061", false},
        {"sip:alice@b.example", "sip:alice@c.example", false},
        {"sip:alice@b.example", "sip:alic@b.example", false},
        {"sip:alice@b.example", "sip:b.example", false},
        {"sip:a;x@b.example", "sip:a%3Bx@b.example",
         false}, /* a reserved octet is not its escape */
        {"sip:a-1@b.example", "sip:a1@b.example", false},
        {"tel:+1-212-555-1212", "tel:+12125551212;ext=1", true},
        {"tel:+12125551212", "tel:+12125551213", false},
        {"urn:service:sos", "urn:service:sos", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sip_uri a, b;
        assert_int_equal(sip_uri_parse(view_of(cases[i].a), &a), E_OK);
        assert_int_equal(sip_uri_parse(view_of(cases[i].b), &b), E_OK);
        if (sip_uri_same(&a, &b) != cases[i].same || sip_uri_same(&b, &a) != cases[i].same) {
            fail_msg("%s and %s", cases[i].a, cases[i].b);
        }
    }
}

static void takes_addresses_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text, *display, *uri, *params;
    } cases[] = {
        {"<sip:a@b.example>", "", "sip:a@b.example", ""},
        {" Alice B. <sip:a@b.example> ; tag=1", "Alice B.", "sip:a@b.example", " tag=1"},
        {"Alice<sip:a@b.example>", "Alice", "sip:a@b.example", ""},
        {"\"<sip:joe@big.example>\" <sip:a@b.example>;x", "<sip:joe@big.example>",
         "sip:a@b.example", "x"},
        {"\"a \\\" b\"<sip:a@b.example>", "a \\\" b", "sip:a@b.example", ""},
        {"\"J\303\274rg\" <sip:a@b.example>", "J\303\274rg", "sip:a@b.example", ""},
        {"sip:a@b.example;tag=1", "", "sip:a@b.example", "tag=1"},
        {"<sip:a@b.example;x=1?y=2>;z=3", "", "sip:a@b.example;x=1?y=2", "z=3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sip_name_addr a;
        assert_int_equal(sip_name_addr_parse(view_of(cases[i].text), &a), E_OK);
        assert_true(view_eq(a.display, view_of(cases[i].display)));
        assert_true(view_eq(a.uri_text, view_of(cases[i].uri)));
        assert_true(view_eq(a.params, view_of(cases[i].params)));
        assert_false(a.is_star);
    }
    struct sip_name_addr a;
    assert_int_equal(sip_name_addr_parse(VIEW(" * "), &a), E_OK);
    assert_true(a.is_star);
    assert_int_equal(sip_name_addr_parse(VIEW("<foo:bar>;tag=1"), &a), E_NOTFOUND);
    assert_true(view_eq(a.uri_text, VIEW("foo:bar")) && view_eq(a.params, VIEW("tag=1")));
}

static void refuses_addresses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "Alice",
        "<>",
        "<sip:a@b.example",
        "sip:a@b.example>",
        "\"Alice <sip:a@b.example>",
        "\"Alice\\\" <sip:a@b.example>",
        "\"Alice\" sip:a@b.example",
        "\"A\" \"B\" <sip:a@b.example>",
        "Bell, Alexander <sip:a@b.example>",
        "A:B <sip:a@b.example>",
        "A\"B\" <sip:a@b.example>",
        "J\303\274rg <sip:a@b.example>",
        "< sip:a@b.example>",
        "<sip:a@b.example >",
        "<sip:a@b.example> x",
        "<sip:a@b.example>;",
        "<sip:a@b.example>;;x",
        "<sip:a@b.example>;x=\"",
        "<sip:a@b.example>;x;X",
        "<<sip:a@b.example>>",
        "sip:a@b.example;",
        "sip:a@b.example?Route=x",
        "sip:a,b@c.example",
        "** ",
        "<*>",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct sip_name_addr a = {.is_star = true};
        enum err e = sip_name_addr_parse(view_of(bad[i]), &a);
        if (e != E_PARSE || !a.is_star) {
            fail_msg("\"%s\": %s", bad[i], err_name(e));
        }
    }
}

/* A copy of exactly n octets: a sanitizer sees the first one behind it. */
static void read_one(const char *text, size_t n)
{
    char *copy = test_malloc(n > 0 ? n : 1), out[16];
    struct sip_name_addr a;
    struct sip_uri u;
    memcpy(copy, text, n);
    if (sip_name_addr_parse(view_from(copy, n), &a) == E_OK && !a.is_star) {
        assert_true(a.uri_text.p >= copy && a.uri_text.p + a.uri_text.n <= copy + n);
        assert_true(sip_uri_same(&a.uri, &a.uri));
    }
    if (sip_uri_parse(view_from(copy, n), &u) == E_OK) {
        IGNORE(sip_uri_digits(&u, out, sizeof out), "only that it returns");
    }
    test_free(copy);
}

static void every_octet_changed_every_length(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "\"A\\\"\" <sips:+1-2;x=%41:p@[::1]:5061;lr;a=b?c=d>;tag=\"x\\\"\";q=1",
        "sip:%61%40@b.example;x;y=z", "tel:+1(2)3-4;isub=5;x=%41", "urn:service:sos"};
    static const char with[] = "\r\n \t\"\\<>%@:;,=?[]0aZ\x80"; /* and its NUL */
    char text[128];
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
        size_t n = strlen(texts[t]);
        for (size_t i = 0; i < n; i++) {
            read_one(texts[t], i);
            for (size_t k = 0; k < sizeof with; k++) {
                memcpy(text, texts[t], n);
                text[i] = with[k];
                read_one(text, n);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_uris_apart),
        cmocka_unit_test(refuses_uris),
        cmocka_unit_test(parameters_of_a_uri_are_limited),
        cmocka_unit_test(hosts),
        cmocka_unit_test(finds_parameters),
        cmocka_unit_test(judges_parameters),
        cmocka_unit_test(phone_contexts),
        cmocka_unit_test(digits),
        cmocka_unit_test(equality),
        cmocka_unit_test(takes_addresses_apart),
        cmocka_unit_test(refuses_addresses),
        cmocka_unit_test(every_octet_changed_every_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
