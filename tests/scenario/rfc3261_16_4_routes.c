/* RFC 3261 sections 16.4, 16.6 steps 2, 4 and 6, 16.12; RFC 5393, 5630, 5658: Route, Record-Route,
 * maddr, strict routers. */
#include "tests/scenario/bench.h"

static struct bench bench;

#define GATEWAY "127.0.9.9:5060"
#define TO_BOB  "sip:" BOB "@" DOMAIN

struct scene {
    char keep[3][96], text[TEXT_MAX];
    struct request r;
    struct got got, invite;
    struct sip_flow gateway;
};

/* A call from a gateway behind other proxies, answered by Bob. */
static void call_in(struct bench *b, struct scene *s, const char *record_route)
{
    memset(s, 0, sizeof *s);
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    s->gateway = udp(GATEWAY);
    s->r = (struct request){.method = "INVITE",
                            .uri = TO_BOB,
                            .from = "sip:+15005550000@gw.example",
                            .to = TO_BOB,
                            .from_tag = "gt",
                            .call_id = "in-1",
                            .branch = "z9hG4bKin1",
                            .via = GATEWAY,
                            .contact = "sip:pstn@10.9.9.9:5080",
                            .extra = record_route,
                            .body = sdp_plain,
                            .cseq = 1};
    feed(b, &s->gateway, write_request_text(&s->r, s->text, sizeof s->text));
    expect(b, &b->bob, "INVITE", &s->invite);
    phone_answer(b, &b->bob, &s->invite, 200, "bt", sdp_plain);
    expect_peer(b, GATEWAY, "SIP/2.0 100", &s->got);
    expect_peer(b, GATEWAY, "SIP/2.0 200", &s->got);
}

static void gateway_says(struct bench *b, struct scene *s, const char *method, const char *uri,
                         const char *branch, const char *extra)
{
    s->r.method = method;
    s->r.uri = uri;
    s->r.branch = branch;
    s->r.extra = extra;
    s->r.body = NULL;
    s->r.to_tag = "bt";
    s->r.cseq += strcmp(method, "ACK") != 0;
    feed(b, &s->gateway, write_request_text(&s->r, s->text, sizeof s->text));
}

static void bob_says(struct bench *b, struct scene *s, const char *method, const char *extra)
{
    static char branch[32];
    struct request r = {.method = method,
                        .uri = "sip:pstn@10.9.9.9:5080",
                        .from = TO_BOB,
                        .to = "sip:+15005550000@gw.example",
                        .from_tag = "bt",
                        .to_tag = "gt",
                        .call_id = "in-1",
                        .branch = branch,
                        .via = "127.0.9.12:5063",
                        .contact = b->bob.contact,
                        .extra = extra,
                        .cseq = ++b->unique + 10};
    snprintf(branch, sizeof branch, "z9hG4bKbob%u", b->unique);
    phone_send(b, &b->bob, write_request_text(&r, s->text, sizeof s->text));
}

/* The URI that we put into Record-Route of the INVITE. */
static void our_uri(const struct scene *s, char out[128])
{
    struct sip_name_addr a;
    struct sip_list l = sip_list_over(sip_header_value(&s->invite.m, SIP_H_RECORD_ROUTE));
    struct view first;
    assert_true(sip_list_next(&l, &first) && sip_name_addr_parse(first, &a) == E_OK);
    assert_true(a.uri_text.n < 128);
    memcpy(out, a.uri_text.p, a.uri_text.n);
    out[a.uri_text.n] = 0;
}

static struct view route_of(const struct sip_msg *m)
{
    return sip_header_value(m, SIP_H_ROUTE);
}

/* The ordinary way: our entry on top is taken off, the far end's route set goes on. */
static void our_own_entry_is_removed(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    char us[128], route[640];
    (void)state;
    call_in(b, &s, NULL);
    our_uri(&s, us);
    snprintf(route, sizeof route, "Route: <%s>\r\n", us);
    gateway_says(b, &s, "ACK", b->bob.contact, "z9hG4bKin2", route);
    expect(b, &b->bob, "ACK sip:" BOB "@127.0.9.12:5063 ", &s.got);
    assert_null(sip_header(&s.got.m, SIP_H_ROUTE, 0));
    bench_close(b);
}

/* A strict router before us: the Request-URI is ours, the target stands last in Route. */
static void a_strict_router_before_us(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    char us[128], route[640];
    (void)state;
    call_in(b, &s, NULL);
    our_uri(&s, us);
    snprintf(route, sizeof route, "Route: <%s>\r\n", b->bob.contact);
    gateway_says(b, &s, "ACK", us, "z9hG4bKin2", route);
    expect(b, &b->bob, "ACK sip:" BOB "@127.0.9.12:5063 ", &s.got);
    assert_null(sip_header(&s.got.m, SIP_H_ROUTE, 0));
    gateway_says(b, &s, "BYE", us, "z9hG4bKin3", route);
    expect(b, &b->bob, "BYE sip:" BOB "@127.0.9.12:5063 ", &s.got);
    bench_close(b);
}

/* A strict router behind us: its URI becomes the Request-URI, the target goes to the end. */
static void a_strict_router_behind_us(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    call_in(b, &s, "Record-Route: <sip:127.0.9.9;x=1>, <sip:10.9.9.1;lr>\r\n");
    bob_says(b, &s, "INFO", NULL);
    expect_peer(b, GATEWAY, "INFO sip:127.0.9.9;x=1 ", &s.got);
    assert_true(view_eq(route_of(&s.got.m), VIEW("<sip:10.9.9.1;lr>, <sip:pstn@10.9.9.9:5080>")));
    bench_close(b);
    call_in(b, &s, "Record-Route: <sip:127.0.9.9>\r\n");
    bob_says(b, &s, "INFO", NULL);
    expect_peer(b, GATEWAY, "INFO sip:127.0.9.9 ", &s.got);
    assert_true(view_eq(route_of(&s.got.m), VIEW("<sip:pstn@10.9.9.9:5080>")));
    call_terminate(call_by_id(b->w, VIEW("in-1")), "gate", "Ended"); /* our own BYE does the same */
    expect_peer(b, GATEWAY, "BYE sip:127.0.9.9 ", &s.got);
    assert_true(view_eq(route_of(&s.got.m), VIEW("<sip:pstn@10.9.9.9:5080>")));
    bench_close(b);
}

static void a_loose_router_behind_us(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    call_in(b, &s, "Record-Route: <sip:127.0.9.9;lr>\r\nRecord-Route: <sip:10.9.9.1>\r\n");
    bob_says(b, &s, "INFO", NULL);
    expect_peer(b, GATEWAY, "INFO sip:pstn@10.9.9.9:5080 ", &s.got);
    assert_true(view_eq(route_of(&s.got.m), VIEW("<sip:127.0.9.9;lr>, <sip:10.9.9.1>")));
    bench_close(b);
}

/* Nobody steers: what a phone writes into Route and Request-URI inside a dialog leads nowhere else,
 * nor does a Route that comes with the first request. */
static void routes_of_others_are_not_followed(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct request r;
    (void)state;
    call_in(b, &s, NULL);
    bob_says(b, &s, "INFO", "Route: <sip:198.51.100.1;lr>, <sip:198.51.100.2>\r\n");
    expect_peer(b, GATEWAY, "INFO sip:pstn@10.9.9.9:5080 ", &s.got);
    assert_null(sip_header(&s.got.m, SIP_H_ROUTE, 0));
    r = invite_of(b, &b->alice, TO_BOB, s.keep);
    r.extra = "Route: <sip:127.0.9.1;lr>\r\nRoute: <sip:127.0.9.8;lr>\r\n";
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->bob, "INVITE", &s.got);
    assert_null(sip_header(&s.got.m, SIP_H_ROUTE, 0));
    bench_close(b);
}

/* When the connection by which a gateway called is gone: where its own headers say that it is. */
static enum err lost_connection(struct bench *b, const struct sip_flow *to)
{
    (void)b;
    return to->remote.port == 5060 && to->remote.ip[3] == 9 ? E_IO : E_OK;
}

static void a_gateway_that_moved(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    (void)state;
    call_in(b, &s, "Record-Route: <sip:127.0.9.8:5090;lr>\r\n");
    b->send_hook = lost_connection;
    bob_says(b, &s, "BYE", NULL);
    expect_peer(b, "127.0.9.8:5090", "BYE sip:pstn@10.9.9.9:5080 ", &s.got);
    assert_true(view_eq(route_of(&s.got.m), VIEW("<sip:127.0.9.8:5090;lr>")));
    bench_close(b);
    call_in(b, &s, "Record-Route: <sip:198.51.100.7;lr>\r\n"); /* nobody that we know */
    b->send_hook = lost_connection;
    bob_says(b, &s, "BYE", NULL);
    expect(b, &b->bob, "SIP/2.0 500", &s.got);
    bench_close(b);
}

static void maddr_of_ours_is_stripped_of_others_refused(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct request r;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    r = invite_of(b, &b->alice, "sip:911@" DOMAIN ";x=1;maddr=127.0.9.1;y", s.keep);
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect_peer(b, GATEWAY, "INVITE sip:911@" DOMAIN ";x=1;y ", &s.got);
    r = invite_of(b, &b->alice, TO_BOB ";maddr=127.0.9.1", s.keep);
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->bob, "INVITE sip:" BOB "@127.0.9.12:5063 ", &s.got);
    r = invite_of(b, &b->alice, TO_BOB ";maddr=198.51.100.1", s.keep);
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->alice, "SIP/2.0 100", &s.got);
    expect(b, &b->alice, "SIP/2.0 100", &s.got);
    expect(b, &b->alice, "SIP/2.0 100", &s.got);
    expect(b, &b->alice, "SIP/2.0 404", &s.got);
    bench_close(b);
}

/* ---- Record-Route ------------------------------------------------------------------------------
 */
static void with_ipv6(struct bench *b)
{
    b->plan.n_listen = 3;
    b->plan.listen[2] = (struct gc_listen){SIP_UDP, addr("[::1]:5060")};
}

static void on_tls(struct phone *p)
{
    p->flow.proto = SIP_TLS;
    p->flow.local = addr("127.0.9.1:5061");
    p->flow.conn = p->line;
    p->flow.has_kid = true;
    memcpy(p->flow.kid, p->kid, sizeof p->flow.kid);
}

/* Both entries, each side's own on its side (RFC 5658), whichever side calls. */
static void two_entries_between_ip_versions(void **state)
{
    struct bench *b = &bench;
    (void)state;
    for (int six_calls = 0; six_calls < 2; six_calls++) {
        struct scene s;
        struct request r;
        struct view rr;
        const char *v4 = "@127.0.9.1:5060;lr>", *v6 = "@[::1]:5060;lr>";
        struct phone *from = six_calls ? &b->bob : &b->alice, *to = six_calls ? &b->alice : &b->bob;
        bench_open(b, with_ipv6);
        b->bob.flow.remote = addr("[::1]:5063");
        b->bob.flow.local = addr("[::1]:5060");
        snprintf(b->bob.contact, sizeof b->bob.contact, "sip:" BOB "@[::1]:5063");
        phone_register(b, to);
        r = invite_of(b, from, six_calls ? "sip:" ALICE "@" DOMAIN : TO_BOB, s.keep);
        phone_send(b, from, write_request_text(&r, s.text, sizeof s.text));
        expect(b, to, "INVITE", &s.got);
        rr = sip_header_value(&s.got.m, SIP_H_RECORD_ROUTE);
        assert_true(view_starts(rr, VIEW("<sip:")) && rr.n < 200);
        assert_non_null(memmem(rr.p, rr.n, v4, strlen(v4)));
        assert_non_null(memmem(rr.p, rr.n, v6, strlen(v6)));
        /* the callee's own version comes first: it is the nearer one */
        assert_true((memmem(rr.p, rr.n, v4, strlen(v4)) < memmem(rr.p, rr.n, v6, strlen(v6))) ==
                    (six_calls == 1));
        assert_true(holds(&s.got.m, six_calls ? "Via: SIP/2.0/UDP 127.0.9.1:5060;"
                                              : "Via: SIP/2.0/UDP [::1]:5060;"));
        bench_close(b);
    }
}

static void two_entries_between_transports(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct request r;
    struct view rr;
    (void)state;
    bench_open(b, NULL);
    on_tls(&b->bob);
    phone_register(b, &b->bob);
    r = invite_of(b, &b->alice, TO_BOB, s.keep);
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->bob, "INVITE", &s.got);
    rr = sip_header_value(&s.got.m, SIP_H_RECORD_ROUTE);
    assert_non_null(memmem(rr.p, rr.n, "@127.0.9.1:5061;transport=tls;lr>, <sip:", 39));
    assert_non_null(memmem(rr.p, rr.n, "@127.0.9.1:5060;lr>", 19));
    bench_close(b);
}

/* RFC 5630 section 3.1.3 */
static void sips_stays_sips(void **state)
{
    struct bench *b = &bench;
    struct scene s;
    struct request r;
    struct view rr;
    (void)state;
    bench_open(b, NULL);
    on_tls(&b->alice);
    on_tls(&b->bob);
    phone_register(b, &b->bob);
    r = invite_of(b, &b->alice, "sips:" BOB "@" DOMAIN, s.keep);
    phone_send(b, &b->alice, write_request_text(&r, s.text, sizeof s.text));
    expect(b, &b->bob, "INVITE", &s.got);
    rr = sip_header_value(&s.got.m, SIP_H_RECORD_ROUTE);
    assert_true(view_starts(rr, VIEW("<sips:")));
    assert_null(memmem(rr.p, rr.n, "transport", 9));
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_own_entry_is_removed),
        cmocka_unit_test(a_strict_router_before_us),
        cmocka_unit_test(a_strict_router_behind_us),
        cmocka_unit_test(a_loose_router_behind_us),
        cmocka_unit_test(routes_of_others_are_not_followed),
        cmocka_unit_test(a_gateway_that_moved),
        cmocka_unit_test(maddr_of_ours_is_stripped_of_others_refused),
        cmocka_unit_test(two_entries_between_ip_versions),
        cmocka_unit_test(two_entries_between_transports),
        cmocka_unit_test(sips_stays_sips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
