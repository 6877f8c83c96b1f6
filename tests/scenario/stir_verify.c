/* STIR/SHAKEN: calls from trunks whose tokens are checked (RFC 8224 section 6.2, RFC 8946). */
#include "tests/scenario/stir.h"

static struct bench bench;

#define MARKS   "127.0.6.1:5060"
#define REJECTS "127.0.5.1:5060"

/* ---- tokens of others --------------------------------------------------------------------------
 */
struct claim { /* what is not set: PEER calls BOB, now, by the peer's key and certificate */
    const char *orig, *dest, *div, *x5u, *info;
    int64_t age_s;
    char attest;
    const struct ec_key *key;
    enum passport_type type;
};

static const char *tn(const char *number)
{
    return number[0] == '+' ? number + 1 : number;
}

/* Adds an Identity header line. */
static void token(struct bench *b, const struct claim *c, char *out, size_t max)
{
    struct passport p = {.type = c->type != PASSPORT_BASE ? c->type : PASSPORT_SHAKEN,
                         .iat = (uint64_t)((int64_t)(b->clock.wall_us / 1000000) - c->age_s),
                         .attest = c->attest != 0 ? c->attest : 'A',
                         .origid = "123e4567-e89b-12d3-a456-426655440000",
                         .n_dest = 1};
    char text[PASSPORT_MAX], line[PASSPORT_HEADER_MAX];
    size_t n = strlen(out);
    snprintf(p.x5u, sizeof p.x5u, "%s", c->x5u != NULL ? c->x5u : STIR_PEERS);
    snprintf(p.orig.tn, sizeof p.orig.tn, "%s", tn(c->orig != NULL ? c->orig : PEER));
    snprintf(p.dest[0].tn, sizeof p.dest[0].tn, "%s", tn(c->dest != NULL ? c->dest : BOB));
    if (c->type == PASSPORT_DIV) {
        snprintf(p.div.tn, sizeof p.div.tn, "%s", tn(c->div));
    }
    assert_int_equal(
        passport_make(&p, c->key != NULL ? c->key : world.theirs_key, text, sizeof text), E_OK);
    assert_int_equal(identity_header_write(&p, text, line, sizeof line), E_OK);
    assert_true(n + strlen(line) + 3 < max);
    snprintf(out + n, max - n, "%s\r\n", line);
}

/* A call of PEER for BOB by that trunk; the tokens in extra. Returns its number. */
static unsigned call_from(struct bench *b, const char *peer, const char *extra)
{
    char text[2 * TEXT_MAX], call_id[64], branch[64];
    struct sip_flow flow = udp(peer);
    unsigned n = ++b->unique;
    snprintf(call_id, sizeof call_id, "trunk-%u", n);
    snprintf(branch, sizeof branch, "z9hG4bKtrunk%u", n);
    feed(b, &flow,
         write_request_text(&(struct request){.method = "INVITE",
                                              .uri = "sip:" BOB "@" DOMAIN,
                                              .from = "sip:" PEER "@peer.test",
                                              .to = "sip:" BOB "@" DOMAIN,
                                              .from_tag = "tt",
                                              .call_id = call_id,
                                              .branch = branch,
                                              .via = peer,
                                              .contact = "sip:gw@127.0.6.1:5060",
                                              .extra = extra,
                                              .body = sdp_plain,
                                              .cseq = 1},
                            text, sizeof text));
    return n;
}

static void open_all(struct bench *b)
{
    world_open(b, NULL);
    phone_register(b, &b->bob);
    forget_sent(b);
}

/* The certificate is known from here on. */
static void open_known(struct bench *b)
{
    struct got got;
    char extra[PASSPORT_HEADER_MAX] = "";
    open_all(b);
    token(b, &(struct claim){.dest = BOB, .age_s = 1}, extra, sizeof extra);
    call_from(b, MARKS, extra);
    assert_int_equal(world.n_asked, 1);
    fetched(b, STIR_PEERS, STIR_FETCH_OK, theirs_pem());
    expect(b, &b->bob, "INVITE", &got);
    phone_answer(b, &b->bob, &got, 486, "busy", NULL);
    assert_int_equal(counted(b, METER_STIR_PASSED), 1);
    forget_sent(b);
}

/* What the last call that ended was recorded with. */
static const char *attest(struct bench *b)
{
    return b->cdr[b->n_cdr - 1].attest;
}

/* ---- the ways of a certificate -----------------------------------------------------------------
 */
static void a_call_waits_for_a_certificate(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char extra[PASSPORT_HEADER_MAX] = "";
    (void)state;
    open_all(b);
    token(b, &(struct claim){.attest = 'B'}, extra, sizeof extra);
    call_from(b, MARKS, extra);
    expect_peer(b, MARKS, "SIP/2.0 100", &got);
    assert_null(find_sent(b, &b->bob.flow.remote, "INVITE"));
    assert_int_equal(world.n_asked, 1);
    assert_string_equal(world.asked[0], STIR_PEERS);
    call_from(b, MARKS, extra); /* a second call asks nobody else; its token is the first one's */
    assert_int_equal(world.n_asked, 1);
    fetched(b, STIR_PEERS, STIR_FETCH_OK, theirs_pem());
    expect(b, &b->bob, "INVITE", &got);
    assert_null(sip_header(&got.m, SIP_H_IDENTITY, 0));
    assert_true(holds(&got.m, "P-Asserted-Identity: <sip:" PEER ";verstat=TN-Validation-Passed@"));
    phone_answer(b, &b->bob, &got, 486, "busy", NULL);
    expect(b, &b->bob, "INVITE", &got);
    assert_true(holds(&got.m, "P-Asserted-Identity: <sip:" PEER ";verstat=TN-Validation-Failed@"));
    assert_int_equal(counted(b, METER_STIR_PASSED), 1);
    assert_int_equal(counted(b, METER_STIR_FAILED), 1);
    assert_string_equal(attest(b), "B");
    bench_close(b);
}

static void nobody_answers(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char extra[PASSPORT_HEADER_MAX] = "";
    (void)state;
    open_all(b);
    token(b, &(struct claim){.attest = 'A'}, extra, sizeof extra);
    call_from(b, REJECTS, extra); /* not even there does it cost the call */
    pass_ms(b, 299);
    assert_null(find_sent(b, &b->bob.flow.remote, "INVITE"));
    pass_ms(b, 1);
    expect(b, &b->bob, "INVITE", &got);
    phone_answer(b, &b->bob, &got, 486, "busy", NULL);
    assert_int_equal(counted(b, METER_STIR_UNKNOWN), 1);
    assert_string_equal(attest(b), "");
    fetched(b, STIR_PEERS, STIR_FETCH_TIMEOUT, VIEW("")); /* too late for that call */
    extra[0] = 0;
    token(b, &(struct claim){.attest = 'A', .age_s = 2}, extra, sizeof extra);
    call_from(b, REJECTS, extra); /* it is known to be away: no waiting */
    assert_int_equal(world.n_asked, 1);
    expect(b, &b->bob, "INVITE", &got);
    pass_ms(b, STIR_BAD_MS);
    extra[0] = 0;
    token(b, &(struct claim){.attest = 'A'}, extra, sizeof extra);
    call_from(b, REJECTS, extra); /* asked once more */
    assert_int_equal(world.n_asked, 2);
    bench_close(b);
}

static void too_many_fetches(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char extra[PASSPORT_HEADER_MAX] = "";
    (void)state;
    open_all(b);
    world.is_full = true;
    token(b, &(struct claim){.attest = 'A'}, extra, sizeof extra);
    call_from(b, REJECTS, extra);
    expect(b, &b->bob, "INVITE", &got);
    assert_int_equal(stir_cache_size(world.stir->cache), 0);
    bench_close(b);
}

static void a_caller_who_does_not_wait(void **state)
{
    struct bench *b = &bench;
    struct sip_flow flow = udp(MARKS);
    char extra[PASSPORT_HEADER_MAX] = "", text[TEXT_MAX];
    unsigned n = 0;
    struct got got;
    (void)state;
    open_all(b);
    token(b, &(struct claim){.attest = 'A'}, extra, sizeof extra);
    n = call_from(b, MARKS, extra);
    snprintf(text, sizeof text,
             "CANCEL sip:" BOB "@" DOMAIN " SIP/2.0\r\nVia: SIP/2.0/UDP " MARKS
             ";rport;branch=z9hG4bKtrunk%u\r\nMax-Forwards: 70\r\nFrom: <sip:" PEER
             "@peer.test>;tag=tt\r\nTo: <sip:" BOB "@" DOMAIN
             ">\r\nCall-ID: trunk-%u\r\nCSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n",
             n, n);
    feed(b, &flow, text);
    expect_peer(b, MARKS, "SIP/2.0 200", &got);
    expect_peer(b, MARKS, "SIP/2.0 487", &got);
    fetched(b, STIR_PEERS, STIR_FETCH_OK, theirs_pem());
    pass_ms(b, 1000);
    assert_null(find_sent(b, &b->bob.flow.remote, "INVITE"));
    bench_close(b);
}

/* ---- what fails --------------------------------------------------------------------------------
 */
static void what_is_refused_where_that_is_asked(void **state)
{
    static const struct {
        struct claim c;
        const char *status, *cause;
    } rows_[] = {
        {{.age_s = 61}, "SIP/2.0 403 Stale Date", "403"},
        {{.age_s = -61}, "SIP/2.0 403 Stale Date", "403"},
        {{.orig = "+442079460001"}, "SIP/2.0 438 Invalid Identity Header", "438"},
        {{.dest = ALICE}, "SIP/2.0 438 Invalid Identity Header", "438"},
        {{.type = PASSPORT_DIV, .div = ALICE}, "SIP/2.0 438 Invalid Identity Header", "438"},
        {{.x5u = "https://cert.peer.test:22/a"}, "SIP/2.0 436 Bad Identity Info", "436"},
        {{.x5u = "https://user@cert.peer.test/a"}, "SIP/2.0 436 Bad Identity Info", "436"},
    };
    struct bench *b = &bench;
    struct got got;
    char reason[64];
    (void)state;
    open_known(b);
    for (size_t i = 0; i < sizeof rows_ / sizeof rows_[0]; i++) {
        char extra[PASSPORT_HEADER_MAX] = "";
        token(b, &rows_[i].c, extra, sizeof extra);
        call_from(b, REJECTS, extra);
        expect_peer(b, REJECTS, rows_[i].status, &got);
        snprintf(reason, sizeof reason, "\r\nReason: STIR;cause=%s;text=\"", rows_[i].cause);
        assert_true(holds(&got.m, reason));
        assert_string_equal(attest(b), "-");
        call_from(b, MARKS, extra); /* the same goes through where it is only marked */
        expect(b, &b->bob, "INVITE", &got);
        assert_null(sip_header(&got.m, SIP_H_IDENTITY, 0));
        phone_answer(b, &b->bob, &got, 486, "busy", NULL);
        assert_string_equal(attest(b), "-");
    }
    assert_int_equal(world.n_asked, 1); /* nobody was asked for any of them */
    assert_int_equal(counted(b, METER_STIR_REJECTED), sizeof rows_ / sizeof rows_[0]);
    bench_close(b);
}

static void a_signature_of_another(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char extra[PASSPORT_HEADER_MAX] = "";
    (void)state;
    open_known(b);
    token(b, &(struct claim){.key = world.rogue_key}, extra, sizeof extra);
    call_from(b, REJECTS, extra);
    expect_peer(b, REJECTS, "SIP/2.0 438 Invalid Identity Header", &got);
    bench_close(b);
}

static void without_a_token(void **state)
{
    struct bench *b = &bench;
    struct got got;
    (void)state;
    open_known(b);
    call_from(b, REJECTS, NULL);
    expect_peer(b, REJECTS, "SIP/2.0 428 Use Identity Header", &got);
    call_from(b, MARKS, NULL);
    expect(b, &b->bob, "INVITE", &got);
    phone_answer(b, &b->bob, &got, 486, "busy", NULL);
    assert_string_equal(attest(b), "");
    call_from(b, REJECTS, "Identity: nonsense\r\n");
    expect_peer(b, REJECTS, "SIP/2.0 438 Invalid Identity Header", &got);
    call_from(b, REJECTS,
              "Identity: aa.bb.cc;info=<https://cert.peer.test/x>;alg=ES256;ppt=rph\r\n");
    expect_peer(b, REJECTS, "SIP/2.0 428 Use Identity Header", &got);
    call_from(b, REJECTS, "Identity: ..cc;info=<https://cert.peer.test/x>;alg=ES256\r\n");
    expect_peer(b, REJECTS, "SIP/2.0 438 Invalid Identity Header", &got);
    bench_close(b);
}

static void what_the_repository_says(void **state)
{
    static const struct {
        enum stir_fetch_result result;
        const char *body, *status; /* status NULL: the call goes on */
    } cases[] = {
        {STIR_FETCH_OK, "no certificate at all", "SIP/2.0 437 Unsupported Credential"},
        {STIR_FETCH_REFUSED, "", "SIP/2.0 436 Bad Identity Info"},
        {STIR_FETCH_ANSWER, "", "SIP/2.0 436 Bad Identity Info"},
        {STIR_FETCH_TLS, "", "SIP/2.0 436 Bad Identity Info"},
        {STIR_FETCH_TIMEOUT, "", NULL},
        {STIR_FETCH_UNREACHABLE, "", NULL},
    };
    struct bench *b = &bench;
    struct got got;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char extra[PASSPORT_HEADER_MAX] = "";
        open_all(b);
        token(b, &(struct claim){.age_s = 0}, extra, sizeof extra);
        call_from(b, REJECTS, extra);
        fetched(b, STIR_PEERS, cases[i].result, view_of(cases[i].body));
        if (cases[i].status != NULL) {
            expect_peer(b, REJECTS, cases[i].status, &got);
        } else {
            expect(b, &b->bob, "INVITE", &got);
        }
        bench_close(b);
    }
}

static void a_token_serves_one_call(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char extra[PASSPORT_HEADER_MAX] = "";
    (void)state;
    open_known(b);
    token(b, &(struct claim){.age_s = 0}, extra, sizeof extra);
    call_from(b, REJECTS, extra);
    expect(b, &b->bob, "INVITE", &got);
    call_from(b, REJECTS, extra);
    expect_peer(b, REJECTS, "SIP/2.0 438 Invalid Identity Header", &got);
    bench_close(b);
}

/* ---- chains ------------------------------------------------------------------------------------
 */
static void diversions(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char extra[3 * PASSPORT_HEADER_MAX] = "";
    (void)state;
    open_known(b);
    /* PEER called 001, which sent it to 002, which sent it to BOB; in any order. */
    token(b, &(struct claim){.type = PASSPORT_DIV, .div = "+442079460002", .dest = BOB, .age_s = 3},
          extra, sizeof extra);
    token(b, &(struct claim){.dest = "+442079460001", .attest = 'B', .age_s = 3}, extra,
          sizeof extra);
    token(b,
          &(struct claim){
              .type = PASSPORT_DIV, .div = "+442079460001", .dest = "+442079460002", .age_s = 3},
          extra, sizeof extra);
    call_from(b, REJECTS, extra);
    expect(b, &b->bob, "INVITE", &got);
    phone_answer(b, &b->bob, &got, 486, "busy", NULL);
    assert_string_equal(attest(b), "B");
    extra[0] = 0; /* with a hop missing */
    token(b, &(struct claim){.dest = "+442079460001"}, extra, sizeof extra);
    token(b, &(struct claim){.type = PASSPORT_DIV, .div = "+442079460002", .dest = BOB}, extra,
          sizeof extra);
    call_from(b, REJECTS, extra);
    expect_peer(b, REJECTS, "SIP/2.0 438 Invalid Identity Header", &got);
    bench_close(b);
}

static void one_good_token_is_enough(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char extra[3 * PASSPORT_HEADER_MAX] = "Identity: nonsense\r\n";
    (void)state;
    open_known(b);
    token(b, &(struct claim){.key = world.rogue_key}, extra, sizeof extra);
    token(b, &(struct claim){.attest = 'C'}, extra, sizeof extra);
    call_from(b, REJECTS, extra);
    expect(b, &b->bob, "INVITE", &got);
    phone_answer(b, &b->bob, &got, 486, "busy", NULL);
    assert_string_equal(attest(b), "C");
    bench_close(b);
}

/* ---- where it is not looked at -----------------------------------------------------------------
 */
/* Nobody else's word counts where we look. */
static void a_verstat_that_came_along(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char extra[PASSPORT_HEADER_MAX] =
        "P-Asserted-Identity: \"A;verstat=x\" <sip:" PEER
        ";verstat=TN-Validation-Passed@peer.test;VERSTAT=TN-Validation-Passed>\r\n"
        "Privacy: none\r\n";
    (void)state;
    open_known(b);
    call_from(b, MARKS, extra);
    expect(b, &b->bob, "INVITE", &got);
    assert_true(holds(&got.m, "P-Asserted-Identity: \"A;verstat=x\" <sip:" PEER
                              ";verstat=No-TN-Validation@peer.test>\r\n"));
    assert_false(holds(&got.m, "TN-Validation-Passed"));
    bench_close(b);
}

static void tokens_go_on_to_trunks(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char extra[PASSPORT_HEADER_MAX] = "", line[PASSPORT_HEADER_MAX + 8];
    (void)state;
    open_known(b);
    lines[1].forward[FORWARD_ALWAYS] = VIEW("+442079460111");
    publish(b);
    token(b, &(struct claim){.attest = 'B'}, extra, sizeof extra);
    call_from(b, MARKS, extra);
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got); /* as it came, and a div of ours */
    snprintf(line, sizeof line, "\r\n%s", extra);
    assert_true(holds(&got.m, line));
    assert_int_equal(identities(&got), 2);
    assert_true(holds(&got.m, ";ppt=\"div\""));
    assert_int_equal(counted(b, METER_STIR_SIGNED_C), 0);
    extra[0] = 0;
    token(b, &(struct claim){.key = world.rogue_key}, extra, sizeof extra);
    call_from(b, MARKS, extra);
    expect_peer(b, "127.0.8.1:5060", "INVITE", &got); /* ours in its place */
    snprintf(line, sizeof line, "\r\n%s", extra);
    assert_false(holds(&got.m, line));
    assert_int_equal(identities(&got), 2);
    assert_int_equal(counted(b, METER_STIR_SIGNED_C), 1);
    assert_int_equal(counted(b, METER_STIR_SIGNED_DIV), 2);
    bench_close(b);
}

static void checking_is_off(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char extra[PASSPORT_HEADER_MAX] = "";
    (void)state;
    open_known(b);
    token(b, &(struct claim){.age_s = 0}, extra, sizeof extra);
    call_from(b, "127.0.7.1:5060", extra);
    expect(b, &b->bob, "INVITE", &got);
    assert_null(sip_header(&got.m, SIP_H_IDENTITY, 0));
    bench_close(b);
}

static void a_reload_forgets(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char extra[PASSPORT_HEADER_MAX] = "";
    (void)state;
    open_known(b);
    assert_int_equal(stir_cache_size(world.stir->cache), 1);
    assert_int_equal(stir_reload(world.stir, &b->set, &b->plan), E_OK);
    assert_int_equal(stir_cache_size(world.stir->cache), 0);
    b->set.stir_anchors = "/nonexistent/anchors.pem";
    assert_int_not_equal(stir_reload(world.stir, &b->set, &b->plan), E_OK);
    token(b, &(struct claim){.age_s = 0}, extra, sizeof extra);
    call_from(b, MARKS, extra);
    assert_int_equal(world.n_asked, 2);
    /* Fetched by rules of before: not kept, asked for again. */
    b->set.stir_anchors = world.path[0];
    assert_int_equal(stir_reload(world.stir, &b->set, &b->plan), E_OK);
    fetched(b, STIR_PEERS, STIR_FETCH_OK, theirs_pem());
    assert_int_equal(world.n_asked, 3);
    fetched(b, STIR_PEERS, STIR_FETCH_OK, theirs_pem());
    expect(b, &b->bob, "INVITE", &got);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_waits_for_a_certificate),
        cmocka_unit_test(nobody_answers),
        cmocka_unit_test(too_many_fetches),
        cmocka_unit_test(a_caller_who_does_not_wait),
        cmocka_unit_test(what_is_refused_where_that_is_asked),
        cmocka_unit_test(a_signature_of_another),
        cmocka_unit_test(without_a_token),
        cmocka_unit_test(what_the_repository_says),
        cmocka_unit_test(a_token_serves_one_call),
        cmocka_unit_test(diversions),
        cmocka_unit_test(one_good_token_is_enough),
        cmocka_unit_test(a_verstat_that_came_along),
        cmocka_unit_test(tokens_go_on_to_trunks),
        cmocka_unit_test(checking_is_off),
        cmocka_unit_test(a_reload_forgets),
    };
    int failed = 0;
    world_make();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    world_free();
    return failed;
}
