/* RFC 3263 over fake zones: each row is a host, what is asked of it, and the places that come out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "base/mem.h"
#include "signaling/sip_locate.h"

struct row {
    const char *name;
    enum dns_type type;
    uint32_t ttl;
    uint16_t a, b, port;
    const char *text, *service; /* text "": the root */
};

static const struct row zone[] = {
    /* all of it: TLS before TCP, by the domain's wish */
    {"full.test", DNS_NAPTR, 300, 50, 50, 0, "_sips._tcp.full.test", "SIPS+D2T"},
    {"full.test", DNS_NAPTR, 300, 90, 50, 0, "_sip._tcp.full.test", "SIP+D2T"},
    {"full.test", DNS_NAPTR, 300, 100, 50, 0, "_sip._sctp.full.test", "SIP+D2S"},
    {"_sips._tcp.full.test", DNS_SRV, 200, 10, 1, 5071, "a.full.test", NULL},
    {"_sip._tcp.full.test", DNS_SRV, 200, 10, 1, 5060, "a.full.test", NULL},
    {"_sip._tcp.full.test", DNS_SRV, 200, 5, 1, 5062, "b.full.test", NULL},
    {"a.full.test", DNS_A, 100, 0, 0, 0, "192.0.2.1", NULL},
    {"b.full.test", DNS_A, 40, 0, 0, 0, "192.0.2.2", NULL},
    {"b.full.test", DNS_AAAA, 60, 0, 0, 0, "2001:db8::2", NULL},
    /* SRV without NAPTR */
    {"_sip._udp.srv.test", DNS_SRV, 60, 1, 0, 5080, "h.srv.test", NULL},
    {"_sip._tcp.srv.test", DNS_SRV, 60, 1, 0, 0, "h.srv.test", NULL},
    {"h.srv.test", DNS_A, 60, 0, 0, 0, "192.0.2.9", NULL},
    /* an address only */
    {"plain.test", DNS_A, 2, 0, 0, 0, "192.0.2.20", NULL},
    /* no service here */
    {"_sip._udp.closed.test", DNS_SRV, 60, 0, 0, 0, "", NULL},
    {"closed.test", DNS_A, 60, 0, 0, 0, "192.0.2.30", NULL},
    /* an SRV target that does not exist beside one that does */
    {"_sip._udp.half.test", DNS_SRV, 600, 1, 0, 5060, "gone.half.test", NULL},
    {"_sip._udp.half.test", DNS_SRV, 600, 2, 0, 5060, "h.srv.test", NULL},
    {"sick.half.test", DNS_A, 60, 0, 0, 0, "192.0.2.31", NULL},
    /* NAPTR that only knows what we do not speak */
    {"odd.test", DNS_NAPTR, 300, 1, 1, 0, "_sip._sctp.odd.test", "SIP+D2S"},
    {"odd.test", DNS_NAPTR, 300, 1, 2, 0, "x.odd.test", "E2U+SIP"},
    {"odd.test", DNS_A, 60, 0, 0, 0, "192.0.2.40", NULL},
};
/* name -> where it stands for; the resolver does not follow it */
static const char *const aliases[][2] = {
    {"alias.test", "plain.test"}, {"l1.test", "l2.test"}, {"l2.test", "l1.test"}};

static struct {
    unsigned asked, calls;
    enum err e, broken;      /* broken: what every question gets; E_OK: the zone's word */
    const char *broken_name; /* only this one, with broken */
    char text[1024];
    uint32_t ttl_s;
    struct sip_places places;
    dns_fn *waiting;
    void *waiting_arg;
    bool holds; /* questions wait */
} t;

static bool name_is(struct view name, const char *text)
{
    return view_eq(name, view_of(text));
}

static void answer_of(struct view name, enum dns_type type, struct dns_answer *a)
{
    for (size_t i = 0; i < sizeof zone / sizeof zone[0]; i++) {
        const struct row *r = &zone[i];
        struct dns_record *d = &a->r[a->n];
        if (!name_is(name, r->name) || r->type != type) {
            continue;
        }
        *d = (struct dns_record){.priority = r->a, .weight = r->b, .port = r->port};
        if (type == DNS_A || type == DNS_AAAA) {
            assert_int_equal(net_parse_ip(view_of(r->text), &d->ip), E_OK);
        } else {
            snprintf(d->name, sizeof d->name, "%s", r->text);
        }
        if (type == DNS_NAPTR) {
            snprintf(d->service, sizeof d->service, "%s", r->service);
            memcpy(d->flags, "s", 2);
        }
        a->ttl_s = r->ttl < a->ttl_s ? r->ttl : a->ttl_s;
        a->n++;
    }
}

static enum err fake_query(void *dns, struct view name, enum dns_type type, dns_fn *fn, void *arg,
                           struct dns_query **out)
{
    struct dns_answer a = {.ttl_s = 1000000};
    (void)dns;
    t.asked++;
    *out = NULL;
    if (t.holds) {
        t.waiting = fn;
        t.waiting_arg = arg;
        return E_OK;
    }
    if (t.broken != E_OK && (t.broken_name == NULL || name_is(name, t.broken_name))) {
        fn(arg, t.broken, NULL);
        return E_OK;
    }
    answer_of(name, type, &a);
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0] && a.n == 0; i++) {
        if (name_is(name, aliases[i][0])) {
            snprintf(a.alias, sizeof a.alias, "%s", aliases[i][1]);
            a.ttl_s = 30;
        }
    }
    if (a.n == 0 && a.alias[0] == 0) {
        a.ttl_s = 77;
        fn(arg, E_NOTFOUND, &a);
    } else {
        fn(arg, E_OK, &a);
    }
    return E_OK;
}

static void on_places(void *arg, enum err e, const struct sip_places *p)
{
    size_t n = 0;
    char address[NET_TEXT_MAX];
    (void)arg;
    t.calls++;
    t.e = e;
    t.text[0] = 0;
    t.ttl_s = p != NULL ? p->ttl_s : 0;
    t.places = p != NULL ? *p : (struct sip_places){.n = 0};
    for (unsigned i = 0; p != NULL && i < p->n; i++) {
        net_text(&p->p[i].address, address);
        n += (size_t)snprintf(t.text + n, sizeof t.text - n, "%s%s %s", n > 0 ? ", " : "",
                              sip_proto_name(p->p[i].proto), address);
    }
}

static enum err locate(const struct sip_locate_ask *ask)
{
    struct sip_locate *s = NULL;
    t.asked = t.calls = 0;
    return sip_locate(fake_query, NULL, ask, on_places, NULL, &s);
}

struct expectation {
    const char *host;
    uint16_t port;
    bool has_proto;
    enum sip_proto proto;
    bool only_tls, ipv6;
    enum err e;
    const char *text;
    uint32_t ttl_s;
};

static const struct expectation cases[] = {
    {"192.0.2.5", 0, false, 0, false, false, E_OK, "UDP 192.0.2.5:5060", 86400},
    {"192.0.2.5", 5099, true, SIP_TCP, false, false, E_OK, "TCP 192.0.2.5:5099", 86400},
    {"2001:db8::9", 0, false, 0, true, false, E_OK, "TLS [2001:db8::9]:5061", 86400},
    {"plain.test", 5099, false, 0, false, false, E_OK, "UDP 192.0.2.20:5099", 5},
    {"full.test", 0, false, 0, false, false, E_OK,
     "TLS 192.0.2.1:5071, TCP 192.0.2.1:5060, TCP 192.0.2.2:5062", 40},
    {"full.test", 0, false, 0, true, false, E_OK, "TLS 192.0.2.1:5071", 100},
    {"full.test", 0, true, SIP_TCP, false, true, E_OK,
     "TCP 192.0.2.1:5060, TCP [2001:db8::2]:5062, TCP 192.0.2.2:5062", 40},
    {"srv.test", 0, false, 0, false, false, E_OK, "UDP 192.0.2.9:5080, TCP 192.0.2.9:5060", 60},
    {"plain.test", 0, false, 0, false, false, E_OK, "UDP 192.0.2.20:5060", 5},
    {"plain.test", 0, false, 0, true, false, E_OK, "TLS 192.0.2.20:5061", 5},
    {"odd.test", 0, false, 0, false, false, E_OK, "UDP 192.0.2.40:5060", 60},
    {"closed.test", 0, false, 0, false, false, E_NOTFOUND, "", 77},
    {"half.test", 0, false, 0, false, false, E_OK, "UDP 192.0.2.9:5060", 60},
    {"alias.test", 5070, false, 0, false, false, E_OK, "UDP 192.0.2.20:5070", 5},
    {"nobody.test", 0, false, 0, false, false, E_NOTFOUND, "", 77},
    {"l1.test", 5060, false, 0, false, false, E_PARSE, "", 0},
};

static void table(void **state)
{
    size_t live = mem_live();
    (void)state;
    memset(&t, 0, sizeof t);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct expectation *c = &cases[i];
        struct sip_locate_ask ask = {view_of(c->host), c->port, c->has_proto, c->proto,
                                     c->only_tls,      true,    c->ipv6};
        assert_int_equal(locate(&ask), E_OK);
        if (t.calls != 1 || t.e != c->e || strcmp(t.text, c->text) != 0 || t.ttl_s != c->ttl_s) {
            fail_msg("case %zu %s: %s '%s' ttl %u", i, c->host, err_name(t.e), t.text, t.ttl_s);
        }
        assert_true(t.asked <= 12);
    }
    assert_int_equal(mem_live(), live);
}

static void dns_away(void **state)
{
    struct sip_locate_ask ask = {.host = VIEW("full.test"), .with_ipv4 = true};
    size_t live = mem_live();
    (void)state;
    memset(&t, 0, sizeof t);
    t.broken = E_TIMEOUT;
    assert_int_equal(locate(&ask), E_OK);
    assert_int_equal(t.e, E_TIMEOUT);
    assert_int_equal(t.asked, 1);  /* the same servers would keep silent on the rest */
    t.broken_name = "b.full.test"; /* a part is missing: what there is, but not for long */
    t.broken = E_IO;
    assert_int_equal(locate(&ask), E_OK);
    assert_int_equal(t.e, E_OK);
    assert_int_equal(t.places.n, 2);
    assert_int_equal(t.ttl_s, 30);
    t.broken_name = "_sip._udp.plain.test"; /* whether there is SRV is not known: no guess */
    ask.host = VIEW("plain.test");
    assert_int_equal(locate(&ask), E_OK);
    assert_int_equal(t.e, E_IO);
    assert_int_equal(mem_live(), live);
}

static void given_up(void **state)
{
    struct sip_locate_ask ask = {.host = VIEW("full.test"), .with_ipv4 = true};
    struct sip_locate *s = NULL;
    size_t live = mem_live();
    (void)state;
    memset(&t, 0, sizeof t);
    t.holds = true;
    assert_int_equal(sip_locate(fake_query, NULL, &ask, on_places, NULL, &s), E_OK);
    assert_non_null(s);
    sip_locate_cancel(s);
    assert_int_equal(t.calls, 0);
    ask.host = VIEW("no host");
    assert_int_equal(sip_locate(fake_query, NULL, &ask, on_places, NULL, &s), E_PARSE);
    assert_int_equal(mem_live(), live);
}

/* RFC 2782: ranks first; within one in proportion to the weights; 0 has a small chance. */
static void weights(void **state)
{
    struct sip_places p = {.n = 5};
    unsigned first[5] = {0};
    uint8_t order[LOCATE_MAX];
    (void)state;
    p.p[0] = (struct sip_place){.rank = 20, .weight = 100, .group = 0};
    p.p[1] = (struct sip_place){.rank = 10, .weight = 30, .group = 1};
    p.p[2] = (struct sip_place){.rank = 10, .weight = 30, .group = 1}; /* its second address */
    p.p[3] = (struct sip_place){.rank = 10, .weight = 10, .group = 2};
    p.p[4] = (struct sip_place){.rank = 10, .weight = 0, .group = 3};
    for (uint64_t i = 0; i < 10000; i++) {
        bool seen[5] = {false};
        assert_int_equal(sip_places_order(&p, i * 7919, order), 5);
        for (unsigned k = 0; k < 5; k++) {
            assert_false(seen[order[k]]);
            seen[order[k]] = true;
            if (order[k] == 1) { /* the addresses of one target stand together */
                assert_int_equal(order[k + 1], 2);
            }
        }
        assert_int_equal(order[4], 0);
        first[order[0]]++;
    }
    assert_int_equal(first[0] + first[2], 0);
    assert_in_range(first[1], 7000, 7650); /* 30 of 41 */
    assert_in_range(first[3], 2200, 2700);
    assert_in_range(first[4], 120, 380); /* 1 of 41 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(dns_away),
        cmocka_unit_test(given_up),
        cmocka_unit_test(weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
