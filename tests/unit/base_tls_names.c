/* RFC 5922: which SIP domains a certificate speaks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/tls_names.h"
#include "tests/unit/certs.h"

#define NO_NAME                                                                                    \
    {                                                                                              \
        NULL                                                                                       \
    }

static struct tls_names names_of(const struct cert_spec *spec)
{
    struct cert c = cert_make(spec);
    struct view der = cert_der(&c);
    struct tls_names names;

    assert_int_equal(tls_names_of(der, &names), E_OK);
    for (unsigned i = 0; i < names.n; i++) { /* the two readings agree */
        struct tls_names one = {.n = 0};
        assert_int_equal(tls_names_add(&one, view_of(names.v[i])), E_OK);
        assert_true(tls_names_match(der, &one));
    }
    OPENSSL_free((void *)(uintptr_t)der.p);
    cert_free(&c);
    return names;
}

static void identities_of_certificates(void **state)
{
    static const char with_nul[] = "gate.example\0.evil.example";
    static const struct {
        struct cert_spec spec;
        const char *names[4];
    } rows[] = {
        {{.san = "URI:sip:gate.example"}, {"gate.example"}},
        {{.san = "URI:SIP:Gate.Example"}, {"Gate.Example"}},
        {{.san = "URI:sip:gate.example:5061;transport=tls"}, {"gate.example"}},
        {{.san = "DNS:a.example,DNS:b.example"}, {"a.example", "b.example"}},
        {{.san = "DNS:a.example,URI:sip:b.example", .cn = "c.example"}, {"b.example"}},
        {{.san = "URI:sip:bob@a.example"}, NO_NAME},
        {{.san = "URI:sip:bob@a.example,DNS:b.example"}, {"b.example"}},
        {{.san = "URI:sips:a.example"}, NO_NAME},
        {{.san = "URI:https://a.example,DNS:b.example"}, {"b.example"}},
        {{.san = "DNS:*.example", .cn = "a.example"}, NO_NAME},
        {{.san = "URI:sip:*.example,DNS:b.example"}, {"b.example"}},
        {{.san = "email:a@a.example", .cn = "a.example"}, NO_NAME},
        {{.san = "IP:192.0.2.1", .cn = "a.example"}, NO_NAME},
        {{.cn = "a.example"}, {"a.example"}},
        {{.cn = "*.example"}, NO_NAME},
        {{.cn = "The Example Company"}, NO_NAME},
        {{.cn = "sip:a.example"}, NO_NAME},
        {{.cn = NULL}, NO_NAME},
        {{.raw_dns = {with_nul, sizeof with_nul - 1}}, NO_NAME},
        {{.raw_dns = {"caf\xc3\xa9.example", 13}}, NO_NAME},
        {{.raw_dns = {"a.example ", 10}}, NO_NAME},
        {{.raw_dns = {".example", 8}}, NO_NAME},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tls_names names = names_of(&rows[i].spec);
        unsigned n = 0;
        while (n < 4 && rows[i].names[n] != NULL) {
            n++;
        }
        assert_int_equal(names.n, n);
        for (unsigned k = 0; k < n; k++) {
            assert_string_equal(names.v[k], rows[i].names[k]);
        }
    }
}

static void names_are_equal_or_not(void **state)
{
    struct cert c =
        cert_make(&(struct cert_spec){.san = "DNS:n1.example,DNS:n2.example,DNS:n3.example,"
                                             "DNS:n4.example,DNS:n5.example,DNS:n6.example,"
                                             "DNS:n7.example,DNS:n8.example,DNS:n9.example"});
    struct view der = cert_der(&c);
    struct tls_names names, wanted = {.n = 0};

    (void)state;
    assert_int_equal(tls_names_of(der, &names), E_OK);
    assert_int_equal(names.n, TLS_NAMES_MAX);
    assert_true(tls_names_have(&names, VIEW("N1.Example")));
    assert_false(tls_names_have(&names, VIEW("n9.example"))); /* past the bound */
    assert_false(tls_names_have(&names, VIEW("example")));
    assert_false(tls_names_have(&names, VIEW("x.n1.example")));
    assert_false(tls_names_have(&names, VIEW("n1.example.")));
    assert_false(tls_names_have(&names, VIEW("")));
    assert_false(tls_names_match(der, &wanted));
    assert_int_equal(tls_names_add(&wanted, VIEW("other.example")), E_OK);
    assert_false(tls_names_match(der, &wanted));
    assert_int_equal(tls_names_add(&wanted, VIEW("N9.example")), E_OK);
    assert_true(tls_names_match(der, &wanted)); /* all of them are looked at */
    OPENSSL_free((void *)(uintptr_t)der.p);
    cert_free(&c);
}

static void names_by_hand(void **state)
{
    static char longest[TLS_NAME_MAX + 1];
    struct tls_names names = {.n = 0};
    char name[] = "a.example";

    (void)state;
    memset(longest, 'a', sizeof longest - 1);
    assert_int_equal(tls_names_add(&names, VIEW("")), E_RANGE);
    assert_int_equal(tls_names_add(&names, VIEW("*.example")), E_RANGE);
    assert_int_equal(tls_names_add(&names, view_from(longest, TLS_NAME_MAX)), E_RANGE);
    assert_int_equal(tls_names_add(&names, view_from(longest, TLS_NAME_MAX - 1)), E_OK);
    assert_int_equal(strlen(names.v[0]), TLS_NAME_MAX - 1);
    for (unsigned i = 1; i < TLS_NAMES_MAX; i++) {
        name[0] = (char)('a' + i);
        assert_int_equal(tls_names_add(&names, view_of(name)), E_OK);
        assert_int_equal(tls_names_add(&names, view_of(name)), E_OK); /* there already */
    }
    assert_int_equal(names.n, TLS_NAMES_MAX);
    assert_int_equal(tls_names_add(&names, VIEW("z.example")), E_FULL);
}

static void no_certificates(void **state)
{
    struct cert c = cert_make(&(struct cert_spec){.san = "DNS:a.example"});
    struct view der = cert_der(&c);
    struct tls_names names = {.n = 7}, wanted = {.n = 0};

    (void)state;
    assert_int_equal(tls_names_add(&wanted, VIEW("a.example")), E_OK);
    assert_true(tls_names_match(der, &wanted));
    assert_int_equal(tls_names_of(VIEW(""), &names), E_PARSE);
    assert_int_equal(tls_names_of(VIEW("no certificate"), &names), E_PARSE);
    for (size_t n = 0; n < der.n; n++) {
        assert_int_equal(tls_names_of(view_sub(der, 0, n), &names), E_PARSE);
        assert_false(tls_names_match(view_sub(der, 0, n), &wanted));
    }
    assert_int_equal(names.n, 7);
    OPENSSL_free((void *)(uintptr_t)der.p);
    cert_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identities_of_certificates),
        cmocka_unit_test(names_are_equal_or_not),
        cmocka_unit_test(names_by_hand),
        cmocka_unit_test(no_certificates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
