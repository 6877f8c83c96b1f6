/* Calls to and from trunks: addresses by DNS, fail-over, health, channels, numbers, identities. */
#include "gc/trunks.h"
#include "authz/digest.h"
#include "authz/sealed.h"
#include "tests/scenario/bench.h"

static struct bench bench;

/* ---- the world ---------------------------------------------------------------------------------
 */
enum { ASKED_MAX = 16 };
static struct { /* questions that wait */
    struct {
        char name[DNS_NAME_MAX];
        enum dns_type type;
        dns_fn *fn;
        void *arg;
    } q[ASKED_MAX];
    unsigned n;
    bool is_away;
    const char *second; /* address of b.gw.test */
} dns;

static enum err fake_dns(void *arg, struct view name, enum dns_type type, dns_fn *fn, void *fn_arg,
                         struct dns_query **out)
{
    (void)arg;
    assert_true(dns.n < ASKED_MAX);
    assert_int_equal(view_to_cstr(name, dns.q[dns.n].name, DNS_NAME_MAX), E_OK);
    dns.q[dns.n].type = type;
    dns.q[dns.n].fn = fn;
    dns.q[dns.n++].arg = fn_arg;
    *out = NULL;
    return E_OK;
}

static void srv(struct dns_answer *a, uint16_t priority, uint16_t weight, uint16_t port,
                const char *name)
{
    a->r[a->n] = (struct dns_record){.priority = priority, .weight = weight, .port = port};
    snprintf(a->r[a->n++].name, DNS_NAME_MAX, "%s", name);
}

static void answer_dns(const char *name, enum dns_type type, struct dns_answer *a)
{
    *a = (struct dns_answer){.ttl_s = 60};
    if (type == DNS_SRV && strcmp(name, "_sip._udp.gw.test") == 0) {
        srv(a, 10, 1, 5060, "a.gw.test");
        srv(a, 20, 1, 5070, "b.gw.test");
    } else if (type == DNS_SRV && strcmp(name, "_sip._udp.even.test") == 0) {
        srv(a, 10, 30, 5060, "a.gw.test");
        srv(a, 10, 10, 5070, "b.gw.test");
    } else if (type == DNS_A && strcmp(name, "a.gw.test") == 0) {
        a->r[a->n++].ip = addr("127.0.8.1:0");
        a->r[0].ip.port = 0;
    } else if (type == DNS_A && strcmp(name, "b.gw.test") == 0) {
        assert_int_equal(net_parse_ip(view_of(dns.second), &a->r[a->n++].ip), E_OK);
    }
}

/* Each answer may bring the next question. */
static void dns_deliver(void)
{
    struct dns_answer a;
    for (unsigned i = 0; i < dns.n; i++) {
        answer_dns(dns.q[i].name, dns.q[i].type, &a);
        if (dns.is_away) {
            dns.q[i].fn(dns.q[i].arg, E_TIMEOUT, NULL);
        } else {
            dns.q[i].fn(dns.q[i].arg, a.n > 0 ? E_OK : E_NOTFOUND, &a);
        }
    }
    dns.n = 0;
}

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static struct trunk rows[4]; /* gw, second, psap, ours to change in a test */
static struct route routes[4];

static void rows_reset(void)
{
    static const struct trunk plain[4] = {
        {.trunk_id = 1,
         .name = TEXT("gw"),
         .host = TEXT("gw.test"),
         .proto = SIP_UDP + 1,
         .sources = TEXT("127.0.8.0/24"),
         .trusts_identity = true,
         .sends_identity = true,
         .ping_s = 10},
        {.trunk_id = 2,
         .name = TEXT("second"),
         .host = TEXT("127.0.7.1"),
         .port = 5080,
         .proto = SIP_UDP + 1,
         .sources = TEXT("127.0.7.1/32"),
         .sends_identity = true},
        {.trunk_id = 3,
         .name = TEXT("psap"),
         .host = TEXT("127.0.6.1"),
         .proto = SIP_UDP + 1,
         .sources = TEXT("127.0.6.1/32"),
         .trusts_identity = true,
         .sends_identity = true,
         .ping_s = 10},
        {.trunk_id = 4,
         .name = TEXT("wide"),
         .host = TEXT("127.0.5.1"),
         .proto = SIP_UDP + 1,
         .sources = TEXT("127.0.0.0/16 2001:db8::/32"),
         .sends_identity = true},
    };
    static const struct route way[4] = {
        {.prefix = TEXT("+44"), .priority = 10, .name = TEXT("uk"), .route_id = 1, .trunk_id = 1},
        {.prefix = TEXT("+44"), .priority = 20, .name = TEXT("uk2"), .route_id = 2, .trunk_id = 2},
        {.prefix = TEXT("911"),
         .kind = ROUTE_EMERGENCY,
         .priority = 1,
         .name = TEXT("psap"),
         .route_id = 3,
         .trunk_id = 3},
        {.prefix = TEXT("+33"), .priority = 1, .name = TEXT("fr"), .route_id = 4, .trunk_id = 4},
    };
    memcpy(rows, plain, sizeof rows);
    memcpy(routes, way, sizeof routes);
    memset(&dns, 0, sizeof dns);
    dns.second = "127.0.8.2";
}

/* What the store would publish: the rows as they stand now. */
static void publish(struct bench *b, size_t n_trunks)
{
    static const struct line lines[] = {{.line_id = 1,
                                         .account_id = 1,
                                         .number = {ALICE, 12},
                                         .display = {"Alice \"A\"", 9},
                                         .services = LINE_CALLER_ID},
                                        {.line_id = 2,
                                         .account_id = 2,
                                         .number = {BOB, 12},
                                         .display = {"Bob", 3},
                                         .services = LINE_CALLER_ID},
                                        {.line_id = 3,
                                         .account_id = 3,
                                         .number = {CAROL, 12},
                                         .display = {"Carol", 5},
                                         .barred = true,
                                         .services = LINE_CALLER_ID}};
    struct snapshot_input in = {.change_seq = 1, /* it does not tell them apart */
                                .lines = lines,
                                .n_lines = 3,
                                .trunks = rows,
                                .n_trunks = n_trunks,
                                .routes = routes,
                                .n_routes = 4};
    struct snapshot *old = b->snap;
    char why[128] = "";
    if (snapshot_build(&in, &b->snap, why, sizeof why) != E_OK) {
        fail_msg("snapshot: %s", why);
    }
    assert_int_equal(snapshot_left_out(b->snap), n_trunks == 4 ? 0 : snapshot_left_out(b->snap));
    b->w->snap = NULL;
    snapshot_free(old);
    pass_ms(b, 1000); /* worker 0 looks */
    dns_deliver();
    pass_ms(b, 1000);
}

static void tune(struct bench *b)
{
    b->dns = fake_dns;
}

static void open_world(struct bench *b)
{
    rows_reset();
    bench_open(b, tune);
    b->keep_pings = true;
    publish(b, 4);
}

/* ---- what is out -------------------------------------------------------------------------------
 */
static void answer_pings(struct bench *b, const char *address, unsigned status)
{
    struct net_addr a = addr(address);
    struct got got;
    while (take(b, &a, "OPTIONS", &got)) {
        peer_answer(b, address, &got, status, "o");
    }
}

static void drop_pings(struct bench *b)
{
    struct got got;
    for (unsigned i = 0; i < b->n_sent; i++) {
        if (view_starts(view_from(b->sent[i].octets, b->sent[i].n), VIEW("OPTIONS"))) {
            b->sent[i].taken = true;
        }
    }
    (void)got;
}

static void call_uk(struct bench *b, const char *number)
{
    char keep[3][96], text[TEXT_MAX], uri[96];
    struct request r;
    snprintf(uri, sizeof uri, "sip:%s@" DOMAIN, number);
    r = invite_of(b, &b->alice, uri, keep);
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
}

/* A call that is up; its INVITE at the trunk in *out. */
static void set_up(struct bench *b, const char *number, const char *address, struct got *out)
{
    struct got got;
    call_uk(b, number);
    expect_peer(b, address, "INVITE", out);
    peer_answer(b, address, out, 200, "g");
    expect(b, &b->alice, "SIP/2.0 200", &got);
}

static void hang_up(struct bench *b, const char *address, const struct got *invite)
{
    char text[TEXT_MAX];
    struct sip_flow flow = udp(address);
    struct got got;
    snprintf(
        text, sizeof text,
        "BYE %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKb%u\r\nMax-Forwards: 70\r\n"
        "From: %.*s;tag=g\r\nTo: %.*s\r\nCall-ID: %.*s\r\nCSeq: 9 BYE\r\n"
        "Content-Length: 0\r\n\r\n",
        b->alice.contact, address, ++b->unique, (int)sip_header_value(&invite->m, SIP_H_TO).n,
        sip_header_value(&invite->m, SIP_H_TO).p, (int)sip_header_value(&invite->m, SIP_H_FROM).n,
        sip_header_value(&invite->m, SIP_H_FROM).p, (int)invite->m.call_id.n, invite->m.call_id.p);
    feed(b, &flow, text);
    expect(b, &b->alice, "BYE", &got);
    phone_answer(b, &b->alice, &got, 200, "ft", NULL);
}

/* ---- fail-over ---------------------------------------------------------------------------------
 */
static void to_the_next_address_and_route(void **state)
{
    struct bench *b = &bench;
    struct got first, second, third, got;
    (void)state;
    open_world(b);
    call_uk(b, "+442079460000");
    expect_peer(b, "127.0.8.1:5060", "INVITE sip:+442079460000@gw.test;user=phone SIP/2.0", &first);
    peer_answer(b, "127.0.8.1:5060", &first, 503, "a"); /* it wants no calls */
    expect_peer(b, "127.0.8.2:5070", "INVITE", &second);
    assert_false(view_eq(first.m.via.branch, second.m.via.branch));
    pass_ms(b, 4000); /* silence */
    expect_peer(b, "127.0.7.1:5080", "INVITE sip:+442079460000@127.0.7.1:5080;user=phone", &third);
    assert_false(view_eq(second.m.via.branch, third.m.via.branch));
    peer_answer(b, "127.0.7.1:5080", &third, 200, "c");
    expect(b, &b->alice, "SIP/2.0 200", &got);
    bench_close(b);
}

/* The address that kept silent is tried last, until it answers or some time has gone by. */
static void a_suspect_comes_last(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    open_world(b);
    call_uk(b, "+442079460000");
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    pass_ms(b, 4000);
    expect_peer(b, "127.0.8.2:5070", "INVITE", &got);
    peer_answer(b, "127.0.8.2:5070", &got, 486, "b");
    call_uk(b, "+442079460001");
    expect_peer(b, "127.0.8.2:5070", "INVITE", &got); /* its priority is lower */
    peer_answer(b, "127.0.8.2:5070", &got, 486, "b");
    pass_ms(b, 1000);
    drop_pings(b);
    pass_ms(b, 10000);
    answer_pings(b, "127.0.8.1:5060", 200);
    answer_pings(b, "127.0.8.2:5070", 200);
    call_uk(b, "+442079460002");
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    bench_close(b);
}

static void by_weight(void **state)
{
    struct bench *b = &bench;
    unsigned first = 0;
    struct trunk_addresses a;
    (void)state;
    open_world(b);
    rows[0].host = VIEW("even.test");
    publish(b, 4);
    for (uint64_t i = 0; i < 4000; i++) {
        trunks_addresses(b->ws->trunks, 1, worker_draw(b->w), loop_now_ms(b->w->loop), &a);
        assert_int_equal(a.n_usable, 2);
        first += a.a[0].where.address.port == 5060;
    }
    assert_in_range(first, 2800, 3100); /* 30 of 41, and those that draw 0 */
    bench_close(b);
}

/* ---- health ------------------------------------------------------------------------------------
 */
static void two_silent_pings(void **state)
{
    struct bench *b = &bench;
    struct net_addr a = addr("127.0.8.1:5060");
    struct got got;
    (void)state;
    open_world(b);
    assert_true(count_to(b, &a, "OPTIONS sip:gw.test SIP/2.0") >= 1);
    answer_pings(b, "127.0.8.1:5060", 405); /* it does not know OPTIONS: alive */
    answer_pings(b, "127.0.8.2:5070", 404);
    for (unsigned i = 0; i < 3; i++) { /* the first keeps silent from now on */
        pass_ms(b, 10000);
        answer_pings(b, "127.0.8.2:5070", 200);
        drop_pings(b);
    }
    call_uk(b, "+442079460000");
    expect_peer(b, "127.0.8.2:5070", "INVITE", &got);
    peer_answer(b, "127.0.8.2:5070", &got, 503, "b");
    expect_peer(b, "127.0.7.1:5080", "INVITE", &got); /* not to the one that is down */
    pass_ms(b, 10000);
    answer_pings(b, "127.0.8.1:5060", 200); /* back */
    call_uk(b, "+442079460001");
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    bench_close(b);
}

static void a_503_to_options(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    open_world(b);
    answer_pings(b, "127.0.8.1:5060", 503);
    answer_pings(b, "127.0.8.2:5070", 503);
    rows[1].disabled = true;
    publish(b, 4);
    drop_pings(b);
    call_uk(b, "+442079460000"); /* the first drains, the second is switched off */
    expect(b, &b->alice, "SIP/2.0 503", &got);
    assert_true(holds(&got.m, "Retry-After: "));
    bench_close(b);
}

/* ---- DNS ---------------------------------------------------------------------------------------
 */
static void dns_goes_away(void **state)
{
    struct bench *b = &bench;
    struct trunk_view view[8];
    struct got got;
    size_t n = 0;
    (void)state;
    open_world(b);
    drop_pings(b);
    answer_pings(b, "127.0.8.2:5070", 200);
    dns.is_away = true;
    pass_ms(b, 61000);
    assert_true(dns.n > 0);
    dns_deliver();
    n = trunks_view(b->ws->trunks, loop_now_ms(b->w->loop), view, 8);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(view[i].is_stale, view[i].trunk_id == 1);
        assert_int_equal(view[i].n, view[i].trunk_id == 1 ? 2 : 1);
    }
    dns.is_away = false;
    dns.second = "127.0.8.3"; /* it moved meanwhile */
    pass_ms(b, 11000);
    dns_deliver();
    drop_pings(b);
    pass_ms(b, 1000);
    answer_pings(b, "127.0.8.3:5070", 200);
    call_uk(b, "+442079460000");
    expect_peer(b, "127.0.8.3:5070", "INVITE", &got); /* the only one that answers */
    bench_close(b);
}

/* ---- channels ----------------------------------------------------------------------------------
 */
static void channels(void **state)
{
    struct bench *b = &bench;
    struct got first, second, got;
    (void)state;
    open_world(b);
    b->set.calls_per_line = 10;
    rows[0].max_channels = 1;
    routes[1].max_channels = 1;
    publish(b, 4);
    set_up(b, "+442079460000", "127.0.8.1:5060", &first);
    set_up(b, "+442079460001", "127.0.7.1:5080", &second); /* the first trunk is full */
    call_uk(b, "+442079460002");
    expect(b, &b->alice, "SIP/2.0 503", &got);
    assert_true(holds(&got.m, "Retry-After: "));
    publish(b, 4); /* a new snapshot frees nothing */
    forget_sent(b);
    call_uk(b, "+442079460003");
    expect(b, &b->alice, "SIP/2.0 503", &got);
    hang_up(b, "127.0.8.1:5060", &first);
    call_uk(b, "+442079460004");
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    bench_close(b);
}

static void a_second_s_share(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    open_world(b);
    rows[0].max_cps = 2;
    publish(b, 4);
    for (unsigned i = 0; i < 2; i++) {
        call_uk(b, "+442079460000");
        expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
        peer_answer(b, "127.0.8.1:5060", &got, 486, "b");
    }
    call_uk(b, "+442079460001");
    expect_peer(b, "127.0.7.1:5080", "INVITE", &got);
    peer_answer(b, "127.0.7.1:5080", &got, 486, "b");
    pass_ms(b, 1000);
    call_uk(b, "+442079460002");
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    bench_close(b);
}

/* Its trunk is gone from the database, the call goes on; with its end all is forgotten. */
static void a_trunk_is_removed(void **state)
{
    struct bench *b = &bench;
    struct trunk_view view[8];
    struct got first;
    (void)state;
    open_world(b);
    set_up(b, "+33123456789", "127.0.5.1:5060", &first);
    publish(b, 3);
    assert_int_equal(trunks_view(b->ws->trunks, 0, view, 8), 4);
    hang_up(b, "127.0.5.1:5060", &first);
    pass_ms(b, 1000);
    assert_int_equal(trunks_view(b->ws->trunks, 0, view, 8), 3);
    bench_close(b);
}

/* ---- numbers and identities --------------------------------------------------------------------
 */
static void presentation(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    open_world(b);
    rows[1].form = NUMBER_NATIONAL;
    rows[1].strip = 3;
    rows[1].add = VIEW("9");
    routes[0].trunk_id = 2;
    publish(b, 4);
    call_uk(b, "+442079460000"); /* 011 44 20... without 011, after a 9 */
    expect_peer(b, "127.0.7.1:5080", "INVITE sip:9442079460000@127.0.7.1:5080;user=phone", &got);
    assert_true(
        holds(&got.m, "P-Asserted-Identity: \"Alice \\\"A\\\"\" <sip:2125550101@" DOMAIN ">"));
    assert_true(holds(&got.m, "To: <sip:+442079460000@" DOMAIN ">\r\n"));
    bench_close(b);
}

static void write_in(char *text, size_t max, const char *from, const char *uri, const char *extra)
{
    static unsigned n;
    n++;
    snprintf(text, max,
             "INVITE %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKin%u\r\nMax-Forwards: 70\r\n"
             "From: <sip:+442079460000@gw.test>;tag=t%u\r\nTo: <%s>\r\nCall-ID: in%u\r\n"
             "CSeq: 1 INVITE\r\nContact: <sip:gw@%s>\r\n%sContent-Length: 0\r\n\r\n",
             uri, from, n, n, uri, n, from, extra);
}

static void calls_in(void **state)
{
    struct bench *b = &bench;
    struct sip_flow gw = udp("127.0.8.77:5060"), second = udp("127.0.7.1:5080"),
                    wide = udp("127.0.7.2:5060"), stranger = udp("10.1.2.3:5060");
    char text[TEXT_MAX];
    struct got got;
    (void)state;
    open_world(b);
    phone_register(b, &b->bob);
    write_in(text, sizeof text, "127.0.8.77:5060", "sip:" BOB "@" DOMAIN,
             "P-Asserted-Identity: <sip:+442079460000@gw.test>\r\n");
    feed(b, &gw, text);
    expect(b, &b->bob, "INVITE", &got);
    assert_true(holds(&got.m, "P-Asserted-Identity: <sip:+442079460000@gw.test>"));
    write_in(text, sizeof text, "127.0.7.1:5080", "sip:" BOB "@" DOMAIN,
             "P-Asserted-Identity: <sip:+1900@lie.test>\r\n");
    feed(b, &second, text); /* its word is not believed */
    expect(b, &b->bob, "INVITE", &got);
    assert_null(sip_header(&got.m, SIP_H_P_ASSERTED_IDENTITY, 0));
    write_in(text, sizeof text, "127.0.7.2:5060", "sip:" BOB "@" DOMAIN, "");
    feed(b, &wide, text); /* by the wider network */
    expect(b, &b->bob, "INVITE", &got);
    write_in(text, sizeof text, "10.1.2.3:5060", "sip:" BOB "@" DOMAIN, "");
    feed(b, &stranger, text);
    assert_true(take(b, &stranger.remote, "SIP/2.0 407", &got));
    bench_close(b);
}

static void transit(void **state)
{
    struct bench *b = &bench;
    struct sip_flow gw = udp("127.0.8.1:5060"), second = udp("127.0.7.1:5080");
    char text[TEXT_MAX];
    struct got got;
    (void)state;
    open_world(b);
    rows[1].may_transit = true;
    rows[3].default_number = VIEW("+12125550000");
    publish(b, 4);
    write_in(text, sizeof text, "127.0.8.1:5060", "sip:+33123456789@" DOMAIN, "");
    feed(b, &gw, text);
    assert_true(take(b, &gw.remote, "SIP/2.0 404", &got));
    write_in(text, sizeof text, "127.0.7.1:5080", "sip:+33123456789@" DOMAIN,
             "P-Asserted-Identity: <sip:+1900@lie.test>\r\n");
    feed(b, &second, text);
    expect_peer(b, "127.0.5.1:5060", "INVITE", &got);
    assert_true(holds(&got.m, "P-Asserted-Identity: <sip:+12125550000@" DOMAIN ">"));
    assert_false(holds(&got.m, "lie.test"));
    bench_close(b);
}

static void too_many_in(void **state)
{
    struct bench *b = &bench;
    struct sip_flow second = udp("127.0.7.1:5080"), psap = udp("127.0.6.1:5060");
    char text[TEXT_MAX];
    struct got got;
    (void)state;
    open_world(b);
    rows[1].max_channels = rows[2].max_channels = 1;
    publish(b, 4);
    phone_register(b, &b->bob);
    for (unsigned i = 0; i < 2; i++) {
        write_in(text, sizeof text, "127.0.7.1:5080", "sip:" BOB "@" DOMAIN, "");
        feed(b, &second, text);
    }
    expect(b, &b->bob, "INVITE", &got);
    assert_false(take(b, &b->bob.flow.remote, "INVITE", &got));
    assert_true(take(b, &second.remote, "SIP/2.0 503", &got));
    assert_true(holds(&got.m, "Retry-After: "));
    for (unsigned i = 0; i < 2; i++) { /* a PSAP that calls back always gets through */
        write_in(text, sizeof text, "127.0.6.1:5060", "sip:" BOB "@" DOMAIN,
                 "Priority: psap-callback\r\n");
        feed(b, &psap, text);
        expect(b, &b->bob, "INVITE", &got);
    }
    write_in(text, sizeof text, "127.0.7.1:5080", "sip:" BOB "@" DOMAIN,
             "Priority: psap-callback\r\n");
    feed(b, &second, text); /* it is none, whatever it says */
    assert_true(take(b, &second.remote, "SIP/2.0 503", &got));
    bench_close(b);
}

static void private_numbers(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    struct request r;
    struct got got;
    (void)state;
    open_world(b);
    rows[0].sends_identity = false;
    publish(b, 4);
    r = invite_of(b, &b->alice, "sip:+442079460000@" DOMAIN, keep);
    r.extra = "Privacy: id\r\n";
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    assert_null(sip_header(&got.m, SIP_H_P_ASSERTED_IDENTITY, 0));
    peer_answer(b, "127.0.8.1:5060", &got, 503, "a");
    expect_peer(b, "127.0.8.2:5070", "INVITE", &got);
    peer_answer(b, "127.0.8.2:5070", &got, 503, "a");
    expect_peer(b, "127.0.7.1:5080", "INVITE", &got); /* inside of the trust domain */
    assert_true(holds(&got.m, "P-Asserted-Identity: "));
    assert_true(holds(&got.m, "Privacy: id\r\n"));
    bench_close(b);
}

/* ---- proof of ours -----------------------------------------------------------------------------
 */
static uint8_t sealed[SEALED_MAX];

static void give_password(struct bench *b)
{
    size_t n = 0;
    assert_int_equal(
        workers_seal_trunk(b->ws, VIEW("gw"), VIEW("gate"), VIEW("open sesame"), sealed, &n), E_OK);
    rows[0].auth_user = VIEW("gate");
    rows[0].auth_sealed = view_from(sealed, n);
    publish(b, 4);
}

static void challenge_of(struct bench *b, const char *address, const struct got *request,
                         unsigned status, const char *challenge)
{
    char text[TEXT_MAX], extra[400];
    struct sip_flow flow = udp(address);
    size_t n = 0;
    snprintf(extra, sizeof extra, "%s: %s\r\n",
             status == 407 ? "Proxy-Authenticate" : "WWW-Authenticate", challenge);
    assert_int_equal(sip_response(&request->m, status, NULL, VIEW("c"), NULL, 0, view_of(extra),
                                  VIEW(""), VIEW(""), text, sizeof text - 1, &n),
                     E_OK);
    feed_view(b, &flow, view_from(text, n));
}

static void check_credentials(const struct got *got, enum sip_hdr_id id, enum hash_kind hash)
{
    struct digest_auth a;
    struct digest_request r = {.method = got->m.method_text, .body = got->m.body};
    struct secret ha1 = {0};
    assert_int_equal(digest_parse(sip_header_value(&got->m, id), &a), E_OK);
    assert_int_equal(a.hash, hash);
    assert_true(view_eq(a.uri, got->m.uri));
    assert_int_equal(digest_ha1(hash, VIEW("gate"), a.realm, VIEW("open sesame"), &ha1), E_OK);
    assert_int_equal(digest_check(&a, &ha1, &r), E_OK);
    secret_wipe(&ha1);
}

static void it_asks_who_we_are(void **state)
{
    struct bench *b = &bench;
    struct net_addr a = addr("127.0.8.1:5060");
    struct got first, second, got;
    (void)state;
    open_world(b);
    give_password(b);
    call_uk(b, "+442079460000");
    expect_peer(b, "127.0.8.1:5060", "INVITE", &first);
    challenge_of(b, "127.0.8.1:5060", &first, 407,
                 "Digest realm=\"gw, test\", nonce=\"n\\\"1\", algorithm=SHA-256, "
                 "qop=\"auth-int,auth\", opaque=\"o\"");
    assert_true(take(b, &a, "ACK", &got));
    assert_true(take(b, &a, "INVITE", &second));
    check_credentials(&second, SIP_H_PROXY_AUTHORIZATION, HASH_SHA256);
    assert_true(holds(&second.m, "opaque=\"o\""));
    assert_false(view_eq(first.m.via.branch, second.m.via.branch));
    assert_int_equal(second.m.cseq, first.m.cseq);
    peer_answer(b, "127.0.8.1:5060", &second, 200, "g");
    expect(b, &b->alice, "SIP/2.0 200", &got);
    assert_false(take(b, &b->alice.flow.remote, "SIP/2.0 407", &got));
    bench_close(b);
}

/* A BYE of ours is asked about as well: once more with the password and the next number. */
static void it_asks_who_ends_the_call(void **state)
{
    struct bench *b = &bench;
    struct net_addr a = addr("127.0.8.1:5060");
    struct got invite, bye, got;
    struct call *call = NULL;
    (void)state;
    open_world(b);
    give_password(b);
    set_up(b, "+442079460000", "127.0.8.1:5060", &invite);
    for (size_t i = 0; i < TABLE_HEADS && call == NULL; i++) {
        call = b->w->calls[i] != NULL ? HLIST_OF(b->w->calls[i], struct call, by_call_id) : NULL;
    }
    assert_non_null(call);
    call_terminate(call, "gate", "Test");
    assert_true(take(b, &a, "BYE", &bye));
    assert_null(sip_header(&bye.m, SIP_H_PROXY_AUTHORIZATION, 0));
    challenge_of(b, "127.0.8.1:5060", &bye, 407,
                 "Digest realm=\"gw\", nonce=\"1\", algorithm=SHA-256, qop=\"auth\"");
    assert_true(take(b, &a, "BYE", &got));
    check_credentials(&got, SIP_H_PROXY_AUTHORIZATION, HASH_SHA256);
    assert_int_equal(got.m.cseq, bye.m.cseq + 1);
    assert_false(view_eq(got.m.via.branch, bye.m.via.branch));
    challenge_of(b, "127.0.8.1:5060", &got, 407,
                 "Digest realm=\"gw\", nonce=\"2\", algorithm=SHA-256, qop=\"auth\"");
    assert_false(take(b, &a, "BYE", &got)); /* once is enough */
    bench_close(b);
}

/* At the end of a drain: what is up ends on both sides, what rings is given up, a call for help
 * goes on. */
static void the_end_of_a_drain(void **state)
{
    struct bench *b = &bench;
    struct net_addr gw = addr("127.0.8.1:5060"), psap = addr("127.0.6.1:5060");
    char keep[3][96], text[TEXT_MAX];
    struct got up, rings, help, got;
    struct request r;
    (void)state;
    open_world(b);
    answer_pings(b, "127.0.6.1:5060", 200);
    set_up(b, "+442079460000", "127.0.8.1:5060", &up);
    call_uk(b, "+442079460001");
    expect_peer(b, "127.0.8.1:5060", "INVITE", &rings);
    peer_answer(b, "127.0.8.1:5060", &rings, 180, "r");
    expect(b, &b->alice, "SIP/2.0 180", &got);
    r = invite_of(b, &b->alice, "sip:911@" DOMAIN, keep);
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect_peer(b, "127.0.6.1:5060", "INVITE", &help);
    peer_answer(b, "127.0.6.1:5060", &help, 200, "h");
    expect(b, &b->alice, "SIP/2.0 200", &got);
    calls_end_all(b->w);
    assert_true(take(b, &gw, "BYE", &got));
    assert_true(take(b, &b->alice.flow.remote, "BYE", &got)); /* in the order of a hash table */
    assert_true(take(b, &gw, "CANCEL", &got));
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 480", &got));
    assert_false(take(b, &psap, "BYE", &got));
    assert_int_equal(workers_calls(b->ws), 1);
    bench_close(b);
}

/* The oldest kind of challenge, and a password that is wrong there: the next route. */
static void it_does_not_believe_us(void **state)
{
    struct bench *b = &bench;
    struct net_addr a = addr("127.0.8.1:5060");
    struct got invite, got;
    (void)state;
    open_world(b);
    give_password(b);
    dns.second = "127.0.8.1";
    call_uk(b, "+442079460000");
    expect_peer(b, "127.0.8.1:5060", "INVITE", &invite);
    challenge_of(b, "127.0.8.1:5060", &invite, 401, "Digest realm=\"gw\",nonce=\"1\"");
    assert_true(take(b, &a, "INVITE", &invite));
    assert_false(holds(&invite.m, "qop="));
    assert_true(holds(&invite.m, "\r\nAuthorization: Digest username=\"gate\""));
    challenge_of(b, "127.0.8.1:5060", &invite, 401, "Digest realm=\"gw\",nonce=\"2\"");
    assert_false(take(b, &a, "INVITE", &got)); /* once is enough */
    expect_peer(b, "127.0.8.2:5070", "INVITE", &got);
    challenge_of(b, "127.0.8.2:5070", &got, 407, "Basic realm=\"gw\""); /* not for us */
    expect_peer(b, "127.0.7.1:5080", "INVITE", &got);
    peer_answer(b, "127.0.7.1:5080", &got, 503, "s");
    expect(b, &b->alice, "SIP/2.0 500", &got);
    assert_null(sip_header(&got.m, SIP_H_WWW_AUTHENTICATE, 0));
    bench_close(b);
}

/* Cut short, and odd in each way: read or refused, the call goes on somewhere. */
static void odd_challenges(void **state)
{
    static const char *const odd[] = {"Digest",
                                      "Digest ",
                                      "Digest realm",
                                      "Digest realm=",
                                      "Digest realm=\"",
                                      "Digest realm=\"x\\",
                                      "Digest realm=\"x\" nonce=\"y\"",
                                      "Digest nonce=\"\"",
                                      "Digest ,,,",
                                      "Digest nonce=\"y\",qop",
                                      "Digest nonce=\"y\", algorithm=SHA-512-256",
                                      "Digest nonce=\"y\", algorithm=MD5-sess"};
    struct bench *b = &bench;
    struct got invite, got;
    (void)state;
    open_world(b);
    give_password(b);
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        forget_sent(b);
        call_uk(b, "+442079460000");
        expect_peer(b, "127.0.8.1:5060", "INVITE", &invite);
        challenge_of(b, "127.0.8.1:5060", &invite, 407, odd[i]);
        expect_peer(b, "127.0.8.2:5070", "INVITE", &got);
        peer_answer(b, "127.0.8.2:5070", &got, 486, "b");
        expect(b, &b->alice, "SIP/2.0 486", &got);
    }
    bench_close(b);
}

/* ---- what makes no call ------------------------------------------------------------------------
 */
struct alone { /* a request of Alice's outside of dialogs */
    char keep[3][96], text[TEXT_MAX];
    struct request r;
};

static void send_alone(struct bench *b, struct alone *x, const char *method, const char *uri,
                       const char *extra)
{
    x->r = invite_of(b, &b->alice, uri, x->keep);
    x->r.method = method;
    x->r.extra = extra;
    x->r.body = NULL;
    phone_send(b, &b->alice, write_request_text(&x->r, x->text, sizeof x->text));
}

#define TO_UK "sip:+442079460000@" DOMAIN

/* As a call goes: number, identity, fail-over. No dialog comes of it, no channel is held. */
static void a_message_over_trunks(void **state)
{
    struct bench *b = &bench;
    struct alone x;
    struct got got;
    (void)state;
    open_world(b);
    rows[0].max_channels = 1;
    publish(b, 4);
    send_alone(b, &x, "MESSAGE", TO_UK, "");
    expect_peer(b, "127.0.8.1:5060", "MESSAGE sip:+442079460000@gw.test;user=phone SIP/2.0", &got);
    assert_true(holds(&got.m, "P-Asserted-Identity: "));
    assert_null(sip_header(&got.m, SIP_H_RECORD_ROUTE, 0));
    peer_answer(b, "127.0.8.1:5060", &got, 503, "a");
    expect_peer(b, "127.0.8.2:5070", "MESSAGE", &got);
    pass_ms(b, 4000); /* silence, and what comes late counts for nothing */
    expect_peer(b, "127.0.7.1:5080", "MESSAGE sip:+442079460000@127.0.7.1:5080", &got);
    peer_answer(b, "127.0.7.1:5080", &got, 202, "c");
    expect(b, &b->alice, "SIP/2.0 202", &got);
    call_uk(b, "+442079460000"); /* its one channel is free */
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    bench_close(b);
}

static void a_message_counts_for_the_rate(void **state)
{
    struct bench *b = &bench;
    struct sip_flow second = udp("127.0.7.1:5080");
    char text[TEXT_MAX];
    struct alone x;
    struct got got;
    (void)state;
    open_world(b);
    phone_register(b, &b->bob);
    rows[0].max_cps = rows[1].max_cps = 1;
    publish(b, 4);
    send_alone(b, &x, "MESSAGE", TO_UK, "");
    expect_peer(b, "127.0.8.1:5060", "MESSAGE", &got);
    send_alone(b, &x, "MESSAGE", TO_UK, "");
    expect_peer(b, "127.0.7.1:5080", "MESSAGE", &got);
    send_alone(b, &x, "MESSAGE", TO_UK, "");
    expect(b, &b->alice, "SIP/2.0 503", &got);
    write_in(text, sizeof text, "127.0.7.1:5080", "sip:" BOB "@" DOMAIN, "");
    feed(b, &second, text); /* a call of the trunk's own counts in the same second */
    assert_true(take(b, &second.remote, "SIP/2.0 503", &got));
    bench_close(b);
}

static void what_is_not_for_messages(void **state)
{
    static const struct {
        const char *uri, *status;
    } rows_of[] = {{"sip:911@" DOMAIN, "SIP/2.0 404"},
                   {"urn:service:sos", "SIP/2.0 404"},
                   {"sip:611@" DOMAIN, "SIP/2.0 404"},
                   {"sip:+442079460000@other.test", "SIP/2.0 404"},
                   {"sip:+99912345@" DOMAIN, "SIP/2.0 404"}};
    struct bench *b = &bench;
    struct alone x;
    struct got got;
    (void)state;
    open_world(b);
    for (size_t i = 0; i < sizeof rows_of / sizeof rows_of[0]; i++) {
        send_alone(b, &x, "MESSAGE", rows_of[i].uri, "");
        expect(b, &b->alice, rows_of[i].status, &got);
    }
    rows[0].disabled = rows[1].disabled = true;
    publish(b, 4);
    send_alone(b, &x, "OPTIONS", TO_UK, "");
    expect(b, &b->alice, "SIP/2.0 503", &got);
    assert_true(holds(&got.m, "Retry-After: "));
    bench_close(b);
}

static void messages_from_trunks(void **state)
{
    struct bench *b = &bench;
    struct sip_flow second = udp("127.0.7.1:5080");
    struct got got;
    char text[TEXT_MAX];
    static const struct {
        const char *uri, *what;
        bool is_disabled, may_transit;
    } rows_of[] = {{"sip:" BOB "@" DOMAIN, "MESSAGE", false, false},
                   {"sip:+33123456789@" DOMAIN, "SIP/2.0 404", false, false},
                   {"sip:+33123456789@" DOMAIN, "MESSAGE", false, true},
                   {"sip:" BOB "@" DOMAIN, "SIP/2.0 503", true, false}};
    (void)state;
    open_world(b);
    phone_register(b, &b->bob);
    for (unsigned i = 0; i < sizeof rows_of / sizeof rows_of[0]; i++) {
        struct net_addr to = addr(rows_of[i].what[0] == 'S' ? "127.0.7.1:5080"
                                  : i == 0                  ? "127.0.9.12:5063"
                                                            : "127.0.5.1:5060");
        rows[1].disabled = rows_of[i].is_disabled;
        rows[1].may_transit = rows_of[i].may_transit;
        publish(b, 4);
        snprintf(text, sizeof text,
                 "MESSAGE %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.7.1:5080;branch=z9hG4bKm%u\r\n"
                 "Max-Forwards: 70\r\nFrom: <sip:+442079460000@gw.test>;tag=m\r\nTo: <%s>\r\n"
                 "Call-ID: m%u\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n",
                 rows_of[i].uri, i, rows_of[i].uri, i);
        feed(b, &second, text);
        assert_true(take(b, &to, rows_of[i].what, &got));
    }
    bench_close(b);
}

static void notify_from(struct bench *b, const struct alone *x, const char *address,
                        const char *tag)
{
    struct sip_flow flow = udp(address);
    char text[TEXT_MAX];
    snprintf(text, sizeof text,
             "NOTIFY %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKy%u\r\nMax-Forwards: 70\r\n"
             "From: <%s>;tag=%s\r\nTo: <%s>;tag=ft\r\nCall-ID: %s\r\nCSeq: %u NOTIFY\r\n"
             "Contact: <sip:gw@%s>\r\nEvent: presence\r\nSubscription-State: active\r\n"
             "Content-Length: 0\r\n\r\n",
             b->alice.contact, address, b->unique + 1, x->r.to, tag, x->r.from, x->r.call_id,
             b->unique + 1, address);
    b->unique++;
    feed(b, &flow, text);
}

/* A NOTIFY before the answer comes from the trunk that was asked, and from no other. */
static void a_subscription_over_a_trunk(void **state)
{
    struct bench *b = &bench;
    struct net_addr second = addr("127.0.7.1:5080");
    struct alone x;
    struct got first, got;
    (void)state;
    open_world(b);
    phone_register(b, &b->alice);
    send_alone(b, &x, "SUBSCRIBE", TO_UK, "Event: presence\r\nExpires: 600\r\n");
    expect_peer(b, "127.0.8.1:5060", "SUBSCRIBE sip:+442079460000@gw.test", &first);
    assert_non_null(sip_header(&first.m, SIP_H_RECORD_ROUTE, 0));
    notify_from(b, &x, "127.0.7.1:5080", "w");
    assert_true(take(b, &second, "SIP/2.0 481", &got));
    notify_from(b, &x, "127.0.8.1:5060", "g");
    expect(b, &b->alice, "NOTIFY ", &got);
    peer_answer(b, "127.0.8.1:5060", &first, 200, "g");
    expect(b, &b->alice, "SIP/2.0 200", &got);
    notify_from(b, &x, "127.0.8.1:5060", "g");
    expect(b, &b->alice, "NOTIFY ", &got);
    notify_from(b, &x, "127.0.7.1:5080", "g");
    assert_true(take(b, &second, "SIP/2.0 481", &got));
    bench_close(b);
}

static void a_message_that_a_trunk_asks_about(void **state)
{
    struct bench *b = &bench;
    struct net_addr a = addr("127.0.8.1:5060");
    struct alone x;
    struct got got;
    (void)state;
    open_world(b);
    give_password(b);
    send_alone(b, &x, "MESSAGE", TO_UK, "");
    expect_peer(b, "127.0.8.1:5060", "MESSAGE", &got);
    challenge_of(b, "127.0.8.1:5060", &got, 407,
                 "Digest realm=\"gw\", nonce=\"1\", algorithm=SHA-256, qop=\"auth\"");
    assert_true(take(b, &a, "MESSAGE", &got));
    check_credentials(&got, SIP_H_PROXY_AUTHORIZATION, HASH_SHA256);
    peer_answer(b, "127.0.8.1:5060", &got, 200, "g");
    expect(b, &b->alice, "SIP/2.0 200", &got);
    bench_close(b);
}

/* ---- emergency ---------------------------------------------------------------------------------
 */
/* Full, down, and not resolved: the call goes on all the same, and where it can be heard first. */
static void emergency(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    struct request r;
    struct got got;
    (void)state;
    open_world(b);
    rows[2].max_channels = 1;
    rows[2].max_cps = 1;
    publish(b, 4);
    answer_pings(b, "127.0.6.1:5060", 200);
    for (unsigned i = 0; i < 3; i++) {
        r = invite_of(b, &b->alice, "sip:911@" DOMAIN, keep);
        feed(b, &b->alice.flow, write_request_text(&r, text, sizeof text));
        expect_peer(b, "127.0.6.1:5060", "INVITE sip:911@" DOMAIN " SIP/2.0", &got);
    }
    forget_sent(b);
    for (unsigned i = 0; i < 3; i++) { /* the trunk does not answer any more */
        pass_ms(b, 10000);
        drop_pings(b);
    }
    forget_sent(b);
    r = invite_of(b, &b->alice, "urn:service:sos.fire", keep);
    feed(b, &b->alice.flow, write_request_text(&r, text, sizeof text));
    expect_peer(b, "127.0.9.9:5060", "INVITE", &got); /* of the configuration */
    pass_ms(b, 4000);
    expect_peer(b, "127.0.9.5:5060", "INVITE", &got);
    pass_ms(b, 4000);
    expect_peer(b, "127.0.6.1:5060", "INVITE", &got); /* the last hope */
    bench_close(b);
}

/* ---- certificates ------------------------------------------------------------------------------
 */
static void by_certificate_or_not_at_all(void **state)
{
    struct bench *b = &bench;
    struct sip_flow tls = udp("127.0.4.1:5061"), plain = udp("127.0.4.1:5060");
    struct tls_names names = {.n = 0};
    char text[TEXT_MAX];
    struct got got;
    (void)state;
    open_world(b);
    rows[1].auth = TRUNK_BY_NAME;
    rows[1].proto = SIP_TLS + 1;
    rows[1].tls_name = VIEW("peer.test");
    rows[1].sources = VIEW("");
    rows[3].sources = VIEW("2001:db8::/32");
    publish(b, 4);
    phone_register(b, &b->bob);
    tls.proto = SIP_TLS;
    tls.conn = 7;
    assert_int_equal(tls_names_add(&names, VIEW("peer.test")), E_OK);
    assert_int_equal(sip_peers_add(b->ws->peers, &names, &tls.peer), E_OK);
    write_in(text, sizeof text, "127.0.4.1:5061", "sip:" BOB "@" DOMAIN, "");
    feed(b, &tls, text);
    expect(b, &b->bob, "INVITE", &got);
    write_in(text, sizeof text, "127.0.4.1:5060", "sip:" BOB "@" DOMAIN, "");
    feed(b, &plain, text); /* the same address, and no certificate */
    assert_true(take(b, &plain.remote, "SIP/2.0 407", &got));
    sip_peers_remove(b->ws->peers, tls.peer); /* its connection is gone */
    write_in(text, sizeof text, "127.0.4.1:5061", "sip:" BOB "@" DOMAIN, "");
    feed(b, &tls, text);
    assert_true(take(b, &tls.remote, "SIP/2.0 407", &got));
    bench_close(b);
}

/* RFC 6881 SP-33.4: a PSAP behind mutual TLS is told who calls, whatever the caller asked for. */
static void a_private_emergency_call(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    struct request r;
    struct got got;
    (void)state;
    open_world(b);
    for (unsigned certified = 0; certified < 2; certified++) {
        rows[2].auth = certified ? TRUNK_BY_NAME : TRUNK_BY_ADDRESS;
        rows[2].proto = certified ? SIP_TLS + 1 : SIP_UDP + 1;
        rows[2].tls_name = certified ? VIEW("psap.test") : VIEW("");
        rows[2].sources = certified ? VIEW("") : VIEW("127.0.6.1/32");
        rows[2].sends_identity = false;
        publish(b, 4);
        r = invite_of(b, &b->alice, "sip:911@" DOMAIN, keep);
        r.extra = "Privacy: id\r\n";
        phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
        expect_peer(b, certified ? "127.0.6.1:5061" : "127.0.6.1:5060", "INVITE", &got);
        assert_int_equal(sip_header(&got.m, SIP_H_P_ASSERTED_IDENTITY, 0) != NULL, certified);
    }
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_the_next_address_and_route),
        cmocka_unit_test(a_suspect_comes_last),
        cmocka_unit_test(by_weight),
        cmocka_unit_test(two_silent_pings),
        cmocka_unit_test(a_503_to_options),
        cmocka_unit_test(dns_goes_away),
        cmocka_unit_test(channels),
        cmocka_unit_test(a_second_s_share),
        cmocka_unit_test(a_trunk_is_removed),
        cmocka_unit_test(presentation),
        cmocka_unit_test(calls_in),
        cmocka_unit_test(transit),
        cmocka_unit_test(too_many_in),
        cmocka_unit_test(private_numbers),
        cmocka_unit_test(it_asks_who_we_are),
        cmocka_unit_test(it_asks_who_ends_the_call),
        cmocka_unit_test(the_end_of_a_drain),
        cmocka_unit_test(it_does_not_believe_us),
        cmocka_unit_test(odd_challenges),
        cmocka_unit_test(a_message_over_trunks),
        cmocka_unit_test(a_message_counts_for_the_rate),
        cmocka_unit_test(what_is_not_for_messages),
        cmocka_unit_test(messages_from_trunks),
        cmocka_unit_test(a_subscription_over_a_trunk),
        cmocka_unit_test(a_message_that_a_trunk_asks_about),
        cmocka_unit_test(emergency),
        cmocka_unit_test(by_certificate_or_not_at_all),
        cmocka_unit_test(a_private_emergency_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
