/* The resolver against a real small server on loopback; and its reader against bad octets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/dns.h"
#include "base/mem.h"
#include "tests/unit/dns_zone.h"

static const struct zone_row rows[] = {
    {"gw.test", 1, 300, 0, 0, 0, "192.0.2.1", NULL},
    {"gw.test", 1, 200, 0, 0, 0, "192.0.2.2", NULL},
    {"gw.test", 28, 60, 0, 0, 0, "2001:db8::1", NULL},
    {"_sip._udp.gw.test", 33, 120, 10, 60, 5060, "a.gw.test", NULL},
    {"_sip._udp.gw.test", 33, 120, 20, 0, 5070, "b.gw.test", NULL},
    {"gw.test", 35, 90, 50, 1, 0, "_sips._tcp.gw.test", "sips+d2t"},
    {"www.test", 5, 30, 0, 0, 0, "mid.test", NULL},
    {"mid.test", 5, 300, 0, 0, 0, "gw.test", NULL},
    {"out.test", 5, 30, 0, 0, 0, "elsewhere.example", NULL},
    {"round.test", 5, 30, 0, 0, 0, "trip.test", NULL},
    {"trip.test", 5, 30, 0, 0, 0, "round.test", NULL},
    {"other.test", 1, 30, 0, 0, 0, "192.0.2.66", NULL},
};

static struct loop *loop;
static struct zone zone;
static struct dns *dns;
static struct {
    unsigned calls;
    enum err e;
    bool has_answer;
    struct dns_answer a;
} got;

static void on_answer(void *arg, enum err e, const struct dns_answer *a)
{
    (void)arg;
    got.calls++;
    got.e = e;
    got.has_answer = a != NULL;
    got.a = a != NULL ? *a : (struct dns_answer){.n = 0};
}

static void open_with(unsigned timeout_ms, unsigned max)
{
    struct dns_cfg cfg = {.n_servers = 1, .timeout_ms = timeout_ms, .tries = 1, .max_queries = max};
    assert_int_equal(loop_new(clock_system(), &loop), E_OK);
    zone = (struct zone){.rows = rows, .n = sizeof rows / sizeof rows[0]};
    assert_int_equal(zone_open(&zone, loop), E_OK);
    cfg.servers = &zone.address;
    assert_int_equal(dns_new(loop, &cfg, &dns), E_OK);
    memset(&got, 0, sizeof got);
}

static void close_all(void)
{
    dns_free(dns);
    zone_close(&zone);
    loop_free(loop);
}

static void ask(const char *name, enum dns_type type)
{
    unsigned before = got.calls;
    assert_int_equal(dns_query(dns, view_of(name), type, on_answer, NULL, NULL), E_OK);
    assert_int_equal(got.calls, before);
    while (got.calls == before) {
        loop_run_once(loop, true);
    }
}

static void addresses(void **state)
{
    size_t live = mem_live();
    char text[NET_TEXT_MAX];
    (void)state;
    open_with(0, 0);
    ask("GW.test.", DNS_A);
    assert_int_equal(got.e, E_OK);
    assert_int_equal(got.a.n, 2);
    assert_int_equal(got.a.ttl_s, 200);
    net_ip_text(&got.a.r[0].ip, text);
    assert_string_equal(text, "192.0.2.1");
    ask("gw.test", DNS_AAAA);
    assert_int_equal(got.a.n, 1);
    net_ip_text(&got.a.r[0].ip, text);
    assert_string_equal(text, "2001:db8::1");
    assert_int_equal(dns_pending(dns), 0);
    close_all();
    assert_int_equal(mem_live(), live);
}

static void services(void **state)
{
    (void)state;
    open_with(0, 0);
    ask("_sip._udp.gw.test", DNS_SRV);
    assert_int_equal(got.a.n, 2);
    assert_int_equal(got.a.r[0].priority, 10);
    assert_int_equal(got.a.r[0].weight, 60);
    assert_int_equal(got.a.r[1].port, 5070);
    assert_string_equal(got.a.r[0].name, "a.gw.test");
    ask("gw.test", DNS_NAPTR);
    assert_int_equal(got.a.n, 1);
    assert_string_equal(got.a.r[0].service, "SIPS+D2T");
    assert_string_equal(got.a.r[0].flags, "s");
    assert_string_equal(got.a.r[0].name, "_sips._tcp.gw.test");
    close_all();
}

static void aliases(void **state)
{
    (void)state;
    open_with(0, 0);
    ask("www.test", DNS_A);
    assert_int_equal(got.e, E_OK);
    assert_int_equal(got.a.n, 2);
    assert_int_equal(got.a.ttl_s, 30); /* of the alias */
    ask("out.test", DNS_A);
    assert_int_equal(got.e, E_OK);
    assert_int_equal(got.a.n, 0);
    assert_string_equal(got.a.alias, "elsewhere.example");
    ask("round.test", DNS_A);
    assert_int_equal(got.e, E_PARSE);
    assert_false(got.has_answer);
    close_all();
}

static void no(void **state)
{
    (void)state;
    open_with(0, 0);
    ask("nobody.test", DNS_A);
    assert_int_equal(got.e, E_NOTFOUND);
    assert_int_equal(got.a.ttl_s, 77);
    ask("_sip._udp.gw.test", DNS_A); /* a name without such records */
    assert_int_equal(got.e, E_NOTFOUND);
    zone.mood = ZONE_SERVFAIL; /* no server has an answer */
    ask("gw.test", DNS_A);
    assert_int_equal(got.e, E_TIMEOUT);
    assert_false(got.has_answer);
    zone.mood = ZONE_GARBAGE;
    ask("gw.test", DNS_A);
    assert_int_equal(got.e, E_PARSE);
    zone.mood = ZONE_OTHER_NAME; /* an answer about somebody else is none */
    ask("gw.test", DNS_A);
    assert_true(got.e != E_OK || got.a.n == 0);
    close_all();
}

static void silence(void **state)
{
    (void)state;
    open_with(300, 0);
    zone.mood = ZONE_SILENT;
    ask("gw.test", DNS_A);
    assert_int_equal(got.e, E_TIMEOUT);
    assert_true(zone.asked >= 1);
    close_all();
}

static void nobody_listens(void **state)
{
    (void)state;
    open_with(300, 0);
    loop_io_stop(zone.io);
    close(zone.fd);
    zone.io = NULL;
    zone.fd = -1;
    ask("gw.test", DNS_A);
    assert_int_equal(got.e, E_TIMEOUT);
    dns_free(dns);
    loop_free(loop);
}

static void limits(void **state)
{
    char long_name[300];
    struct dns_query *q = NULL;
    size_t live = mem_live();
    (void)state;
    open_with(0, 2);
    memset(long_name, 'a', sizeof long_name);
    long_name[63] = '.';
    assert_int_equal(dns_query(dns, view_from(long_name, 300), DNS_A, on_answer, NULL, NULL),
                     E_PARSE);
    assert_int_equal(dns_query(dns, VIEW("a..b"), DNS_A, on_answer, NULL, NULL), E_PARSE);
    assert_int_equal(dns_query(dns, VIEW(""), DNS_A, on_answer, NULL, NULL), E_PARSE);
    assert_int_equal(dns_query(dns, VIEW("a b"), DNS_A, on_answer, NULL, NULL), E_PARSE);
    assert_int_equal(dns_query(dns, VIEW("gw.test"), DNS_A, on_answer, NULL, &q), E_OK);
    assert_int_equal(dns_query(dns, VIEW("gw.test"), DNS_SRV, on_answer, NULL, NULL), E_OK);
    assert_int_equal(dns_query(dns, VIEW("gw.test"), DNS_A, on_answer, NULL, NULL), E_FULL);
    dns_forget(q);
    while (dns_pending(dns) > 0) {
        loop_run_once(loop, true);
    }
    assert_int_equal(got.calls, 1);
    assert_int_equal(dns_query(dns, VIEW("gw.test"), DNS_A, on_answer, NULL, NULL), E_OK);
    close_all(); /* with one under way */
    assert_int_equal(got.calls, 1);
    assert_int_equal(mem_live(), live);
}

/* Each octet of a good answer changed, and each length: read or refused, never past its end. */
static void bad_octets(void **state)
{
    struct zone z = {.rows = rows, .n = sizeof rows / sizeof rows[0]};
    uint8_t q[64] = {0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, *copy = NULL;
    static const char name[] = "\x04_sip\x04_udp\2gw\4test";
    struct dns_answer a;
    unsigned read = 0;
    (void)state;
    memcpy(q + 12, name, sizeof name);
    q[12 + sizeof name + 1] = 33;
    q[12 + sizeof name + 3] = 1;
    zone_reply(&z, q, 12 + sizeof name + 4);
    assert_int_equal(dns_read(z.out, z.out_n, DNS_SRV, &a), E_OK);
    assert_int_equal(a.n, 2);
    for (size_t n = 0; n < z.out_n; n++) {
        copy = malloc(n != 0 ? n : 1); /* so that a sanitizer sees its end */
        memcpy(copy, z.out, n);
        read += dns_read(copy, n, DNS_SRV, &a) == E_OK;
        free(copy);
    }
    assert_int_equal(read, 0);
    copy = malloc(z.out_n);
    for (size_t i = 0; i < z.out_n; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(copy, z.out, z.out_n);
            copy[i] ^= (uint8_t)(1u << bit);
            if (dns_read(copy, z.out_n, DNS_SRV, &a) == E_OK) {
                assert_true(a.n <= DNS_RECORDS_MAX);
            }
        }
    }
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses), cmocka_unit_test(services),   cmocka_unit_test(aliases),
        cmocka_unit_test(no),        cmocka_unit_test(silence),    cmocka_unit_test(nobody_listens),
        cmocka_unit_test(limits),    cmocka_unit_test(bad_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
