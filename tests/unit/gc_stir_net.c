#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "gc/stir_net.h"

static struct stir_rules rules_with(const char *net)
{
    struct stir_rules r = {.n_ports = 2, .ports = {443, 8443}};
    if (net != NULL) {
        assert_int_equal(stir_net_parse(view_of(net), &r.nets[0]), E_OK);
        r.n_nets = 1;
    }
    return r;
}

static bool may(const struct stir_rules *r, const char *ip, uint16_t port)
{
    struct net_addr a;
    assert_int_equal(net_parse_ip(view_of(ip), &a), E_OK);
    a.port = port;
    return stir_may_connect(r, &a);
}

static void only_the_internet(void **state)
{
    (void)state;
    static const char *const inside[] = {
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.255.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "2001::1",
        "2001:1ff::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff:0fff::1",
        "4000::1",
    };
    static const char *const outside[] = {
        "1.1.1.1",     "9.255.255.255", "11.0.0.1",     "100.63.255.255", "100.128.0.1",
        "126.1.1.1",   "128.0.0.1",     "172.15.0.1",   "172.32.0.1",     "192.167.1.1",
        "192.169.1.1", "198.17.1.1",    "198.20.1.1",   "223.255.1.1",    "2001:200::1",
        "2003::1",     "2606:4700::1",  "3fff:1000::1",
    };
    struct stir_rules r = rules_with(NULL);
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        if (may(&r, inside[i], 443)) {
            fail_msg("%s may be connected to", inside[i]);
        }
    }
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++) {
        if (!may(&r, outside[i], 443)) {
            fail_msg("%s may not be connected to", outside[i]);
        }
    }
    assert_true(may(&r, "1.1.1.1", 8443));
    assert_false(may(&r, "1.1.1.1", 22));
    assert_false(may(&r, "1.1.1.1", 0));
}

static void a_laboratory_network(void **state)
{
    (void)state;
    struct stir_rules r = rules_with("127.20.0.0/15"), host = rules_with("fd00::7");
    assert_true(may(&r, "127.21.255.1", 443));
    assert_false(may(&r, "127.22.0.1", 443));
    assert_false(may(&r, "127.20.0.1", 80));
    assert_true(may(&host, "fd00::7", 443));
    assert_false(may(&host, "fd00::8", 443));
}

static void networks_are_read_strictly(void **state)
{
    (void)state;
    static const char *const bad[] = {"",           "localhost", "127.0.0.1/33", "127.0.0.1/", "/8",
                                      "1.2.3.4/-1", "1.2.3/8",   "::1/129",      "1.2.3.4/8x"};
    struct stir_net n;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(stir_net_parse(view_of(bad[i]), &n), E_PARSE);
    }
    assert_int_equal(stir_net_parse(VIEW("::/0"), &n), E_OK);
    assert_int_equal(n.bits, 0);
}

static void urls(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool ok;
    } rows[] = {
        {"https://cert.example/a.pem", true},
        {"HTTPS://cert.example", true},
        {"https://cert.example:8443/a.pem?x=1", true},
        {"https://[2606:4700::1]:443/a", true},
        {"https://[2606:4700::1]", true},
        {"http://cert.example/a.pem", false},
        {"file:///etc/passwd", false},
        {"ftp://cert.example/a", false},
        {"https:/cert.example/a", false},
        {"https://", false},
        {"https:///a.pem", false},
        {"https://:443/a.pem", false},
        {"https://cert.example:22/a.pem", false},
        {"https://cert.example:0/a.pem", false},
        {"https://cert.example:/a.pem", false},
        {"https://cert.example:443:22/a.pem", false},
        {"https://cert.example:65979/a.pem", false},
        {"https://user@cert.example/a.pem", false},
        {"https://cert.example:443@127.0.0.1/a.pem", false},
        {"https://[::1/a", false},
        {"https://[2606:4700::1]x/a", false},
        {"https://cert.example/a b", false},
        {"https://cert.example/a\r\nX: y", false},
        {"https://cert.example/\xc3\xa9", false},
        {"https://cert.example\\@127.0.0.1/", false},
        {"https://cert.example/a#b", false},
        {"", false},
    };
    struct stir_rules r = rules_with(NULL);
    char longest[STIR_URL_MAX + 1];
    const char *why = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (stir_url_ok(&r, view_of(rows[i].url), &why) != rows[i].ok) {
            fail_msg("%s: %s", rows[i].url, why != NULL ? why : "taken");
        }
        assert_true((why == NULL) == rows[i].ok);
    }
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "https://", 8);
    assert_true(stir_url_ok(&r, view_from(longest, STIR_URL_MAX - 1), &why));
    assert_false(stir_url_ok(&r, view_from(longest, STIR_URL_MAX), &why));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_internet),
        cmocka_unit_test(a_laboratory_network),
        cmocka_unit_test(networks_are_read_strictly),
        cmocka_unit_test(urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
