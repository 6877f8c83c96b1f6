/* Caller ID (docs/identity.md): who is shown whose number, for the whole life of a dialog, and what
 * is recorded whatever is shown. */
#include "gc/identity.h"
#include "tests/scenario/bench.h"

static struct bench bench;

#define TO_BOB   "sip:" BOB "@" DOMAIN
#define AS_ALICE "sip:" ALICE "@" DOMAIN
#define SHOWN    "From: \"Alice \\\"A\\\"\" <sip:" ALICE "@" DOMAIN ">;tag=ft\r\n"
#define HIDDEN   "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=ft\r\n"

/* ---- lines with services -----------------------------------------------------------------------
 */
static const struct trunk trunks[] = {
    {.trunk_id = 1,
     .name = {"inside", 6},
     .host = {"127.0.9.21", 10},
     .port = 5060,
     .proto = SIP_UDP + 1,
     .sources = {"127.0.9.21", 10},
     .trusts_identity = true,
     .sends_identity = true},
    {.trunk_id = 2,
     .name = {"outside", 7},
     .host = {"127.0.9.22", 10},
     .port = 5060,
     .proto = SIP_UDP + 1,
     .sources = {"127.0.9.22", 10}},
};

static const struct route routes[] = {
    {.prefix = {"+441", 4}, .trunk_id = 1, .name = {"one", 3}, .route_id = 1},
    {.prefix = {"+442", 4}, .trunk_id = 2, .name = {"two", 3}, .route_id = 2},
};

static void with_services(struct bench *b, uint32_t alice, uint32_t bob)
{
    const struct line lines[] = {
        {.line_id = 1,
         .account_id = 1,
         .number = {ALICE, 12},
         .display = {"Alice \"A\"", 9},
         .services = alice},
        {.line_id = 2,
         .account_id = 2,
         .number = {BOB, 12},
         .display = {"Bob", 3},
         .services = bob},
    };
    static const struct number_row numbers[] = {
        {{ALICE, 12}, 1}, {{BOB, 12}, 2}, {{"+12125550111", 12}, 1}};
    struct snapshot_input in = {.lines = lines,
                                .n_lines = 2,
                                .numbers = numbers,
                                .n_numbers = 3,
                                .trunks = trunks,
                                .n_trunks = 2,
                                .routes = routes,
                                .n_routes = 2,
                                .change_seq = ++b->unique};
    char why[128] = "";
    snapshot_free(b->snap);
    if (snapshot_build(&in, &b->snap, why, sizeof why) != E_OK) {
        fail_msg("snapshot: %s", why);
    }
    pass_ms(b, 200); /* the worker looks at it, and at its trunks */
}

static void begin(struct bench *b, uint32_t alice, uint32_t bob)
{
    bench_open(b, NULL);
    with_services(b, alice, bob);
    phone_register(b, &b->alice);
    phone_register(b, &b->bob);
    b->set.calls_per_line = 100;
    forget_sent(b);
}

/* A request of alice's, and the same as it reached `to`. */
static struct request call(struct bench *b, const char *uri, const char *extra, char keep[3][96])
{
    struct request r = invite_of(b, &b->alice, uri, keep);
    char text[TEXT_MAX];
    r.extra = extra;
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    return r;
}

/* Nothing in the message says who alice is. */
static void tells_nothing(const struct got *g)
{
    if (holds(&g->m, "2125550101") || holds(&g->m, "Alice") || holds(&g->m, "2125550111")) {
        fail_msg("the caller is named in: %s", g->octets);
    }
}

/* ---- what is shown -----------------------------------------------------------------------------
 */
static void to_a_line(void **state)
{
    static const struct {
        uint32_t alice, bob;
        const char *uri, *extra;
        bool is_shown, is_private;
    } rows[] = {
        {0, LINE_CALLER_ID, TO_BOB, "", true, false},
        {0, 0, TO_BOB, "", false, false},
        {LINE_PRIVATE, LINE_CALLER_ID, TO_BOB, "", false, true},
        {0, LINE_CALLER_ID, TO_BOB, "Privacy: id\r\n", false, true},
        {0, LINE_CALLER_ID, TO_BOB, "privacy : user ; critical\r\n", false, true},
        {0, LINE_CALLER_ID, TO_BOB, "Privacy: header\r\n", false, true},
        {0, LINE_CALLER_ID, TO_BOB, "Privacy: none\r\n", true, false},
        {LINE_PRIVATE, LINE_CALLER_ID, TO_BOB, "Privacy: none\r\n", true, false},
        {0, LINE_CALLER_ID, "sip:*672125550102@" DOMAIN, "", false, true},
        {0, LINE_CALLER_ID, "sip:*67" BOB "@" DOMAIN, "", false, true},
        {0, 0, "sip:*67" BOB "@" DOMAIN, "", false, true},
        {LINE_PRIVATE, LINE_CALLER_ID, "sip:*8212125550102@" DOMAIN, "", true, false},
        {LINE_PRIVATE, 0, "sip:*8212125550102@" DOMAIN, "", false, false},
        {LINE_PRIVATE, LINE_CALLER_ID, "sip:*8212125550102@" DOMAIN, "Privacy: id\r\n", false,
         true},
    };
    struct bench *b = &bench;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char keep[3][96];
        struct got got;
        begin(b, rows[i].alice, rows[i].bob);
        (void)call(b, rows[i].uri, rows[i].extra, keep);
        expect(b, &b->bob, "INVITE", &got);
        if (rows[i].is_shown) {
            assert_true(holds(&got.m, SHOWN));
            assert_true(
                holds(&got.m, "P-Asserted-Identity: \"Alice \\\"A\\\"\" <" AS_ALICE ">\r\n"));
            assert_true(holds(&got.m, "Contact: <sip:" ALICE "@127.0.9.11:5062>\r\n"));
        } else {
            assert_true(holds(&got.m, HIDDEN));
            assert_null(sip_header(&got.m, SIP_H_P_ASSERTED_IDENTITY, 0));
            tells_nothing(&got);
        }
        assert_true(holds(&got.m, "Privacy: id\r\n") == rows[i].is_private);
        assert_false(holds(&got.m, "To: <sip:*"));
        phone_answer(b, &b->bob, &got, 486, "bt", NULL);
        expect(b, &b->alice, "SIP/2.0 486", &got);
        assert_true(holds(&got.m, "From: <" AS_ALICE ">;tag=ft\r\n"));
        assert_int_equal(b->n_cdr, 1);
        assert_string_equal(b->cdr[0].caller, ALICE);
        assert_string_equal(b->cdr[0].routed, BOB);
        assert_int_equal(b->cdr[0].is_private, rows[i].is_private);
        bench_close(b);
    }
}

/* The trust domain is told all (RFC 3325); whoever is outside of it no more than a line is. */
static void to_trunks(void **state)
{
    static const struct {
        const char *uri, *peer, *extra;
        bool is_asserted, is_shown;
    } rows[] = {
        {"sip:+441234567890@" DOMAIN, "127.0.9.21:5060", "", true, true},
        {"sip:+441234567890@" DOMAIN, "127.0.9.21:5060", "Privacy: id\r\n", true, false},
        {"sip:*67011441234567890@" DOMAIN, "127.0.9.21:5060", "", true, false},
        {"sip:+442234567890@" DOMAIN, "127.0.9.22:5060", "", true, true},
        {"sip:+442234567890@" DOMAIN, "127.0.9.22:5060", "Privacy: id\r\n", false, false},
        {"sip:*67+442234567890@" DOMAIN, "127.0.9.22:5060", "", false, false},
    };
    struct bench *b = &bench;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char keep[3][96];
        struct got got;
        begin(b, 0, LINE_CALLER_ID);
        (void)call(b, rows[i].uri, rows[i].extra, keep);
        expect_peer(b, rows[i].peer, "INVITE sip:+44", &got);
        assert_true(holds(&got.m, rows[i].is_shown ? SHOWN : HIDDEN));
        assert_true(holds(&got.m, "P-Asserted-Identity: ") == rows[i].is_asserted);
        assert_true(holds(&got.m, "Privacy: id\r\n") != rows[i].is_shown);
        assert_true(holds(&got.m, "<tel:" ALICE ">") == (rows[i].peer[9] == '1'));
        if (!rows[i].is_asserted) {
            tells_nothing(&got);
        }
        bench_close(b);
    }
}

/* ---- for the whole dialog ----------------------------------------------------------------------
 */
static struct request inside(struct bench *b, const char *method, const char *call_id,
                             const char *contact, char branch[96])
{
    snprintf(branch, 96, "z9hG4bKin%u", ++b->unique);
    return (struct request){.method = method,
                            .uri = "sip:x@127.0.9.1",
                            .call_id = call_id,
                            .branch = branch,
                            .contact = contact,
                            .cseq = b->unique + 10};
}

static void from_alice(struct bench *b, const char *method, const char *call_id, const char *to,
                       struct got *got)
{
    char branch[96], text[TEXT_MAX], start[16];
    struct request r = inside(b, method, call_id, b->alice.contact, branch);
    r.via = "127.0.9.11:5062";
    r.from = AS_ALICE;
    r.from_tag = "ft";
    r.to = to;
    r.to_tag = "bt";
    snprintf(start, sizeof start, "%s ", method);
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->bob, start, got);
}

static void from_bob(struct bench *b, const char *method, const char *call_id, struct got *got)
{
    char branch[96], text[TEXT_MAX], start[16];
    struct request r = inside(b, method, call_id, b->bob.contact, branch);
    r.via = "127.0.9.12:5063";
    r.from = TO_BOB;
    r.from_tag = "bt";
    r.to = "sip:anonymous@anonymous.invalid";
    r.to_tag = "ft";
    snprintf(start, sizeof start, "%s ", method);
    phone_send(b, &b->bob, write_request_text(&r, text, sizeof text));
    expect(b, &b->alice, start, got);
}

static void a_hidden_dialog(void **state)
{
    static const char *const methods[] = {"PRACK", "UPDATE", "INFO", "INVITE", "REFER", "NOTIFY"};
    static const char dialled[] = "sip:*672125550102@" DOMAIN;
    struct bench *b = &bench;
    char keep[3][96];
    struct got got, answer;
    (void)state;
    begin(b, 0, LINE_CALLER_ID);
    (void)call(b, dialled, "Reply-To: <" AS_ALICE ">\r\nOrganization: Alice's\r\n", keep);
    expect(b, &b->bob, "INVITE", &got);
    tells_nothing(&got);
    phone_answer(b, &b->bob, &got, 180, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 180", &answer);
    assert_true(holds(&answer.m, "From: <" AS_ALICE ">;tag=ft\r\n"));
    assert_true(holds(&answer.m, "To: <sip:*672125550102@" DOMAIN ">;tag=bt\r\n"));
    phone_answer(b, &b->bob, &got, 200, "bt", sdp_plain);
    expect(b, &b->alice, "SIP/2.0 200", &answer);
    assert_true(holds(&answer.m, "To: <sip:*672125550102@" DOMAIN ">;tag=bt\r\n"));
    phone_answer(b, &b->bob, &got, 200, "bt", sdp_plain); /* once more, when all is forgotten */
    expect(b, &b->alice, "SIP/2.0 200", &answer);
    assert_true(holds(&answer.m, "From: <" AS_ALICE ">;tag=ft\r\n"));
    from_alice(b, "ACK", keep[1], dialled, &got);
    tells_nothing(&got);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        from_alice(b, methods[i], keep[1], dialled, &got);
        tells_nothing(&got);
        assert_true(holds(&got.m, HIDDEN));
        assert_true(holds(&got.m, "<sip:" BOB "@"));
        phone_answer(b, &b->bob, &got, 200, NULL, NULL);
        expect(b, &b->alice, "SIP/2.0 200", &answer);
        assert_true(holds(&answer.m, "From: <" AS_ALICE ">;tag=ft\r\n"));
        from_bob(b, methods[i], keep[1], &got);
        assert_true(holds(&got.m, "From: <sip:*672125550102@" DOMAIN ">;tag=bt\r\n"));
        assert_true(holds(&got.m, "To: <" AS_ALICE ">;tag=ft\r\n"));
        phone_answer(b, &b->alice, &got, 200, NULL, sdp_plain);
        expect(b, &b->bob, "SIP/2.0 200", &answer);
        assert_true(holds(&answer.m, "To: <sip:anonymous@anonymous.invalid>;tag=ft\r\n"));
        assert_false(holds(&answer.m, "2125550101"));
    }
    workers_end_call(b->ws, keep[1], "Enough");
    loop_run_once(b->w->loop, false);
    expect(b, &b->bob, "BYE", &got);
    tells_nothing(&got);
    assert_true(holds(&got.m, HIDDEN));
    expect(b, &b->alice, "BYE", &got);
    assert_true(holds(&got.m, "From: <sip:*672125550102@" DOMAIN ">;tag=bt\r\n"));
    bench_close(b);
}

/* CANCEL and the ACK of a refusal are made from what was sent. */
static void a_hidden_cancel(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    struct got got, cancel;
    struct request r;
    (void)state;
    begin(b, LINE_PRIVATE, LINE_CALLER_ID);
    r = call(b, TO_BOB, "", keep);
    expect(b, &b->bob, "INVITE", &got);
    phone_answer(b, &b->bob, &got, 180, "bt", NULL);
    r.method = "CANCEL";
    r.body = NULL;
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->bob, "CANCEL", &cancel);
    tells_nothing(&cancel);
    phone_answer(b, &b->bob, &got, 487, "bt", NULL);
    expect(b, &b->bob, "ACK", &cancel);
    tells_nothing(&cancel);
    bench_close(b);
}

static void what_a_name_says(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    struct got got;
    struct request r;
    (void)state;
    begin(b, 0, LINE_CALLER_ID);
    /* the name is the record's, whatever From says; the number is the one that was asked for */
    r = invite_of(b, &b->alice, TO_BOB, keep);
    r.from = "sip:+12125550111@" DOMAIN;
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->bob, "INVITE", &got);
    assert_true(holds(&got.m, "From: \"Alice \\\"A\\\"\" <sip:+12125550111@" DOMAIN ">;tag=ft"));
    /* P-Preferred-Identity says which of the line's numbers it is */
    (void)call(b, TO_BOB, "P-Preferred-Identity: \"The Bank\" <tel:+1-212-555-0111>\r\n", keep);
    expect(b, &b->bob, "INVITE", &got);
    assert_true(holds(&got.m, "From: \"Alice \\\"A\\\"\" <sip:+12125550111@" DOMAIN ">;tag=ft"));
    assert_false(holds(&got.m, "Bank"));
    bench_close(b);
}

/* ---- calls of trunks ---------------------------------------------------------------------------
 */
static void of_trunks(void **state)
{
    static const struct {
        const char *peer, *extra, *from;
        bool is_private;
        const char *caller;
    } rows[] = {
        {"127.0.9.21:5060", "P-Asserted-Identity: \"Uk\" <sip:+441234567890@uk>\r\n",
         "From: \"Uk\" <sip:+441234567890@uk>;tag=p\r\n", false, "+441234567890"},
        {"127.0.9.21:5060", "", "From: <sip:+449999999999@uk>;tag=p\r\n", false, "+449999999999"},
        {"127.0.9.21:5060", "P-Asserted-Identity: <sip:+441234567890@uk>\r\nPrivacy: id\r\n",
         "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=p\r\n", true, "+441234567890"},
        {"127.0.9.22:5060", "P-Asserted-Identity: <sip:+441234567890@uk>\r\n",
         "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=p\r\n", false,
         "peer 127.0.9.22"},
    };
    static const char invite[] =
        "INVITE " TO_BOB
        " SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKt%zu\r\nMax-Forwards: 70\r\n"
        "From: <sip:+449999999999@uk>;tag=p\r\nTo: <" TO_BOB ">\r\nCall-ID: t%zu\r\n"
        "CSeq: 1 INVITE\r\n%sContact: <sip:+449999999999@%s>\r\nContent-Length: 0\r\n\r\n";
    struct bench *b = &bench;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (uint32_t services = 0; services < 8; services++) {
            struct sip_flow flow = udp(rows[i].peer);
            char text[TEXT_MAX];
            struct got got;
            bool is_hidden = rows[i].is_private || strncmp(rows[i].caller, "peer", 4) == 0;
            begin(b, 0, services);
            snprintf(text, sizeof text, invite, rows[i].peer, i, i, rows[i].extra, rows[i].peer);
            feed(b, &flow, text);
            if ((services & LINE_REJECTS_ANONYMOUS) != 0 && is_hidden) {
                expect_peer(b, rows[i].peer, "SIP/2.0 433 Anonymity Disallowed", &got);
                assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
                assert_int_equal(counted(b, METER_REFUSED_ANONYMOUS), 1);
            } else {
                expect(b, &b->bob, "INVITE", &got);
                if ((services & LINE_CALLER_ID) != 0) {
                    assert_true(holds(&got.m, rows[i].from));
                } else {
                    assert_true(holds(&got.m, "<sip:anonymous@anonymous.invalid>;tag=p\r\n"));
                }
                if ((services & LINE_CALLER_ID) == 0 || is_hidden) {
                    assert_false(holds(&got.m, "+44"));
                }
                phone_answer(b, &b->bob, &got, 486, "bt", NULL);
                expect_peer(b, rows[i].peer, "SIP/2.0 486", &got);
                assert_true(holds(&got.m, "From: <sip:+449999999999@uk>;tag=p\r\n"));
            }
            assert_string_equal(b->cdr[0].caller, rows[i].caller);
            assert_int_equal(b->cdr[0].is_private, rows[i].is_private);
            bench_close(b);
        }
    }
}

/* *77 (RFC 5079): who hides from a line that wants to know. */
static void unwanted(void **state)
{
    struct bench *b = &bench;
    char keep[3][96];
    struct got got;
    (void)state;
    begin(b, 0, LINE_CALLER_ID | LINE_REJECTS_ANONYMOUS);
    (void)call(b, "sip:*67" BOB "@" DOMAIN, "", keep);
    expect(b, &b->alice, "SIP/2.0 433 Anonymity Disallowed", &got);
    (void)call(b, TO_BOB, "Privacy: id\r\n", keep);
    expect(b, &b->alice, "SIP/2.0 433", &got);
    assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
    assert_int_equal(b->n_cdr, 2);
    assert_int_equal(b->cdr[0].status, 433);
    assert_string_equal(b->cdr[0].caller, ALICE);
    (void)call(b, TO_BOB, "", keep);
    expect(b, &b->bob, "INVITE", &got);
    bench_close(b);
}

/* ---- requests that are no calls ----------------------------------------------------------------
 */
static void messages(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    (void)state;
    for (unsigned services = 0; services < 2; services++) {
        static const char *const methods[] = {"MESSAGE", "SUBSCRIBE", "REFER", "PUBLISH"};
        begin(b, 0, services);
        for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
            struct request r = invite_of(b, &b->alice, TO_BOB, keep);
            struct got got;
            r.method = methods[i];
            phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
            expect(b, &b->bob, methods[i], &got);
            assert_true(holds(&got.m, SHOWN) == ((services & LINE_CALLER_ID) != 0));
            if ((services & LINE_CALLER_ID) == 0) {
                tells_nothing(&got);
            }
            phone_answer(b, &b->bob, &got, 202, "bt", NULL);
            expect(b, &b->alice, "SIP/2.0 202", &got);
            assert_true(holds(&got.m, "From: <" AS_ALICE ">;tag=ft\r\n"));
        }
        bench_close(b);
    }
}

/* A subscription that hides: its NOTIFY finds the way back all the same. */
static void a_hidden_subscription(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    struct request r;
    struct got got;
    (void)state;
    begin(b, LINE_PRIVATE, LINE_CALLER_ID);
    r = invite_of(b, &b->alice, TO_BOB, keep);
    r.method = "SUBSCRIBE";
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->bob, "SUBSCRIBE", &got);
    tells_nothing(&got);
    from_bob(b, "NOTIFY", keep[1], &got); /* before the answer */
    assert_true(holds(&got.m, "To: <" AS_ALICE ">;tag=ft\r\n"));
    phone_answer(b, &b->alice, &got, 200, NULL, NULL);
    expect(b, &b->bob, "SIP/2.0 200", &got);
    tells_nothing(&got);
    bench_close(b);
}

/* ---- emergency ---------------------------------------------------------------------------------
 */
static void emergency(void **state)
{
    static const char *const dialled[] = {"sip:911@" DOMAIN, "sip:*67911@" DOMAIN};
    struct bench *b = &bench;
    char keep[3][96];
    struct got got;
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        begin(b, LINE_PRIVATE, 0);
        (void)call(b, dialled[i], "", keep);
        expect_peer(b, "127.0.9.9:5060", i == 0 ? "INVITE sip:911@" : "INVITE sip:911@", &got);
        assert_true(holds(&got.m, "From: <" AS_ALICE ">;tag=ft\r\n"));
        assert_true(holds(&got.m, "P-Asserted-Identity: \"Alice \\\"A\\\"\" <" AS_ALICE ">\r\n"));
        assert_false(holds(&got.m, "Privacy:"));
        bench_close(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(to_a_line),
        cmocka_unit_test(to_trunks),
        cmocka_unit_test(a_hidden_dialog),
        cmocka_unit_test(a_hidden_cancel),
        cmocka_unit_test(what_a_name_says),
        cmocka_unit_test(of_trunks),
        cmocka_unit_test(unwanted),
        cmocka_unit_test(messages),
        cmocka_unit_test(a_hidden_subscription),
        cmocka_unit_test(emergency),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
