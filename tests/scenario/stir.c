/* STIR/SHAKEN: what leaves is signed as it was proven (RFC 8224 section 6.1, RFC 8588). */
#include "tests/scenario/stir.h"

static struct bench bench;

static void call_to(struct bench *b, struct phone *p, const char *number, const char *extra)
{
    char keep[3][96], text[TEXT_MAX], uri[96];
    struct request r;
    snprintf(uri, sizeof uri, "sip:%s@" DOMAIN, number);
    r = invite_of(b, p, uri, keep);
    r.extra = extra;
    phone_send(b, p, write_request_text(&r, text, sizeof text));
}

/* The nth Identity header of a request as a token that our own key signed. */
static void read_ours(const struct got *got, unsigned nth, struct passport *out)
{
    struct identity_header h;
    const char *why = "";
    unsigned at = 0;
    for (unsigned i = 0; i < got->m.n_headers; i++) {
        if (got->m.h[i].id == SIP_H_IDENTITY && at++ == nth) {
            if (identity_header_read(got->m.h[i].value, &h, &why) != E_OK ||
                passport_read(h.token, out, &why) != E_OK ||
                !identity_header_agrees(&h, out, &why)) {
                fail_msg("token: %s", why);
            }
            assert_string_equal(out->x5u, STIR_OURS);
            assert_int_equal(passport_verify(out, world.ours_public), E_OK);
            return;
        }
    }
    fail_msg("no Identity header %u in %.*s", nth, (int)got->m.head.n, got->m.head.p);
}

static void a_line_and_its_own_number(void **state)
{
    struct bench *b = &bench;
    struct got got;
    struct passport p;
    (void)state;
    world_open(b, NULL);
    call_to(b, &b->alice, PEER, NULL);
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    assert_int_equal(identities(&got), 1);
    read_ours(&got, 0, &p);
    assert_int_equal(p.type, PASSPORT_SHAKEN);
    assert_int_equal(p.attest, 'A');
    assert_string_equal(p.orig.tn, ALICE + 1);
    assert_int_equal(p.n_dest, 1);
    assert_string_equal(p.dest[0].tn, PEER + 1);
    assert_int_equal(p.iat, b->clock.wall_us / 1000000);
    assert_true(holds(&got.m, "\r\nDate: Tue, 14 Nov 2023 22:13:"));
    assert_int_equal(counted(b, METER_STIR_SIGNED_A), 1);
    bench_close(b);
}

/* A call of a trunk by `from` for `uri`; extra: header lines. */
static void trunk_call(struct bench *b, const char *peer, const char *from, const char *uri,
                       const char *extra)
{
    char text[2 * TEXT_MAX], call_id[64], branch[64];
    struct sip_flow flow = udp(peer);
    snprintf(call_id, sizeof call_id, "trunk-%u", ++b->unique);
    snprintf(branch, sizeof branch, "z9hG4bKtrunk%u", b->unique);
    feed(b, &flow,
         write_request_text(&(struct request){.method = "INVITE",
                                              .uri = uri,
                                              .from = from,
                                              .to = uri,
                                              .from_tag = "tt",
                                              .call_id = call_id,
                                              .branch = branch,
                                              .via = peer,
                                              .contact = "sip:gw@127.0.6.1:5060",
                                              .extra = extra,
                                              .body = sdp_plain,
                                              .cseq = 1},
                            text, sizeof text));
}

static void a_gateway_s_call(void **state)
{
    struct bench *b = &bench;
    struct got got;
    struct passport p;
    (void)state;
    world_open(b, NULL);
    trunk_call(b, "127.0.7.1:5060", "sip:+33123456789@fr.test", "sip:" PEER "@" DOMAIN,
               "P-Asserted-Identity: <sip:+33123456789@fr.test>\r\n");
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    read_ours(&got, 0, &p);
    assert_int_equal(p.attest, 'C');
    assert_string_equal(p.orig.tn, "33123456789");
    assert_string_equal(p.dest[0].tn, PEER + 1);
    assert_int_equal(counted(b, METER_STIR_SIGNED_C), 1);
    bench_close(b);
}

/* A line that is proven, shown by a number that is none of its own. */
static void a_number_that_is_not_the_line_s_own(void **state)
{
    static char text[STIR_HEADERS_MAX][PASSPORT_HEADER_MAX];
    struct bench *b = &bench;
    struct identity id = {.is_known = true};
    struct party line = {.kind = PARTY_BTI, .line = 1}, stranger = {.kind = PARTY_STRANGER};
    struct party to = {.kind = PARTY_GATEWAY, .trunk = 5, .is_outside = true};
    struct stir_call c = {.id = &id, .called = "+493012345678", .from = &line, .to = &to};
    char attest = 0;
    (void)state;
    world_open(b, NULL);
    assert_int_equal(stir_sign(b->w, &c, text, &attest), 1); /* the trunk's default number */
    assert_int_equal(attest, 'B');
    snprintf(id.number, sizeof id.number, "%s", BOB);
    assert_int_equal(stir_sign(b->w, &c, text, &attest), 1);
    assert_int_equal(attest, 'B');
    assert_int_equal(counted(b, METER_STIR_SIGNED_B), 2);
    snprintf(id.number, sizeof id.number, "%s", ALICE);
    assert_int_equal(stir_sign(b->w, &c, text, &attest), 1);
    assert_int_equal(attest, 'A');
    id.is_private = true;
    assert_int_equal(stir_sign(b->w, &c, text, &attest), 0);
    id.is_private = false;
    c.from = &stranger;
    assert_int_equal(stir_sign(b->w, &c, text, &attest), 0);
    assert_int_equal(attest, 0);
    bench_close(b);
}

static void a_diverted_call(void **state)
{
    static char text[STIR_HEADERS_MAX][PASSPORT_HEADER_MAX];
    struct bench *b = &bench;
    struct identity id = {.number = ALICE};
    struct party line = {.kind = PARTY_BTI, .line = 1};
    struct party to = {.kind = PARTY_GATEWAY, .trunk = 1};
    struct diversions via = {.n = 2, .d = {{.by = BOB, .to = CAROL}, {.by = CAROL, .to = PEER}}};
    struct stir_call c = {.id = &id, .called = BOB, .from = &line, .to = &to, .via = &via};
    struct identity_header h;
    struct passport p[2];
    const char *why = "";
    char attest = 0;
    (void)state;
    world_open(b, NULL);
    assert_int_equal(stir_sign(b->w, &c, text, &attest), 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(identity_header_read(view_of(text[i] + 10), &h, &why), E_OK);
        assert_int_equal(passport_read(h.token, &p[i], &why), E_OK);
        assert_int_equal(passport_verify(&p[i], world.ours_public), E_OK);
        assert_string_equal(p[i].orig.tn, ALICE + 1);
    }
    assert_int_equal(p[0].type, PASSPORT_SHAKEN);
    assert_string_equal(p[0].dest[0].tn, BOB + 1);
    assert_int_equal(p[1].type, PASSPORT_DIV);
    assert_string_equal(p[1].div.tn, BOB + 1);
    assert_string_equal(p[1].dest[0].tn, PEER + 1);
    assert_true(passport_continues(&p[1], p, 1));
    bench_close(b);
}

static void the_same_origid_for_a_line(void **state)
{
    struct bench *b = &bench;
    struct got got;
    struct passport first, second, other;
    (void)state;
    world_open(b, NULL);
    call_to(b, &b->alice, PEER, NULL);
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    read_ours(&got, 0, &first);
    bench_close(b);
    world_open(b, NULL); /* after a restart too */
    call_to(b, &b->alice, "+442079460001", NULL);
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    read_ours(&got, 0, &second);
    call_to(b, &b->bob, PEER, NULL);
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    read_ours(&got, 0, &other);
    assert_string_equal(first.origid, second.origid);
    assert_string_not_equal(first.origid, other.origid);
    assert_int_equal(strlen(first.origid), 36);
    bench_close(b);
}

static void what_is_not_signed(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    world_open(b, NULL);
    call_to(b, &b->alice, "+33123456789", NULL); /* a trunk that wants none */
    expect_peer(b, "127.0.7.1:5060", "INVITE", &got);
    assert_int_equal(identities(&got), 0);
    call_to(b, &b->alice, "911", NULL);
    expect_peer(b, "127.0.8.1:5060", "INVITE sip:911@", &got);
    assert_int_equal(identities(&got), 0);
    /* Its number is hidden from that trunk: a token would tell. */
    call_to(b, &b->alice, "+493012345678", "Privacy: id\r\n");
    expect_peer(b, "127.0.4.1:5060", "INVITE", &got);
    assert_int_equal(identities(&got), 0);
    assert_false(holds(&got.m, "P-Asserted-Identity"));
    bench_close(b);
}

/* What a line says of dates and tokens is not what leaves. */
static void a_line_s_own_headers(void **state)
{
    struct bench *b = &bench;
    struct got got;
    struct passport p;
    (void)state;
    world_open(b, NULL);
    call_to(b, &b->alice, PEER,
            "Date: Sat, 13 Nov 2010 23:29:00 GMT\r\n"
            "Identity: aa.bb.cc;info=<https://evil.test/a>;alg=ES256;ppt=shaken\r\n"
            "y: aa.bb.cc;info=<https://evil.test/a>\r\n");
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    assert_int_equal(identities(&got), 1);
    read_ours(&got, 0, &p);
    assert_true(holds(&got.m, "\r\nDate: Tue, 14 Nov 2023 22:13:"));
    assert_false(holds(&got.m, "2010"));
    assert_false(holds(&got.m, "evil"));
    bench_close(b);
}

static void tune_unsigned(struct bench *b)
{
    tune_stir(b);
    b->set.stir_key = b->set.stir_certificate_url = "";
}

static void without_a_key(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    world_open(b, tune_unsigned);
    call_to(b, &b->alice, PEER, NULL);
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got);
    assert_int_equal(identities(&got), 0);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_and_its_own_number),
        cmocka_unit_test(a_gateway_s_call),
        cmocka_unit_test(a_number_that_is_not_the_line_s_own),
        cmocka_unit_test(a_diverted_call),
        cmocka_unit_test(the_same_origid_for_a_line),
        cmocka_unit_test(what_is_not_signed),
        cmocka_unit_test(a_line_s_own_headers),
        cmocka_unit_test(without_a_key),
    };
    int failed = 0;
    world_make();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_free();
    return failed;
}
