/* tests/scenario/forward_world.h - a bench with five lines, four trunks and dial rules, whose rows
 * a test changes and publishes as the store would: for calls that are sent on, and for those that
 * must not be. */
#ifndef TESTS_SCENARIO_FORWARD_WORLD_H
#define TESTS_SCENARIO_FORWARD_WORLD_H

#include "gc/divert.h"
#include "tests/scenario/bench.h"

#define DAVE  "+12125550104"
#define ERIN  "+12125550105"
#define ELSE  "+442079460000" /* by trunk "inside", then "spare" */
#define OTHER "+33155550000"  /* by trunk "outside" */
#define BLOCK "+19005550000"  /* by a dial rule */
#define SOS   "+12129110000"  /* a dial rule makes 911 of it */
#define FIXIT "+12126110000"  /* and 611 of this one */
#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }
#define INSIDE  "127.0.7.1:5080"
#define SPARE   "127.0.7.2:5080"
#define OUTSIDE "127.0.5.1:5060"
#define PSAP    "127.0.6.1:5060"

enum { A, B, C, D, E, LINES }; /* alice, bob, carol (barred), dave, erin */

static struct bench bench;
static struct line lines[LINES];
static struct trunk trunks[4];
static struct phone dave, erin;

static inline void rows_reset(void)
{
    static const struct line plain[LINES] = {
        {.line_id = 1, .account_id = 1, .number = TEXT(ALICE), .services = LINE_CALLER_ID},
        {.line_id = 2, .account_id = 2, .number = TEXT(BOB), .services = LINE_CALLER_ID},
        {.line_id = 3, .account_id = 3, .number = TEXT(CAROL), .barred = true},
        {.line_id = 4, .account_id = 4, .number = TEXT(DAVE), .services = LINE_CALLER_ID},
        {.line_id = 5, .account_id = 5, .number = TEXT(ERIN), .services = LINE_CALLER_ID}};
    static const struct trunk rows[4] = {{.trunk_id = 1,
                                          .name = TEXT("inside"),
                                          .host = TEXT("127.0.7.1"),
                                          .port = 5080,
                                          .proto = SIP_UDP + 1,
                                          .sources = TEXT("127.0.7.1/32"),
                                          .trusts_identity = true,
                                          .sends_identity = true,
                                          .max_channels = 2},
                                         {.trunk_id = 2,
                                          .name = TEXT("spare"),
                                          .host = TEXT("127.0.7.2"),
                                          .port = 5080,
                                          .proto = SIP_UDP + 1,
                                          .sources = TEXT("127.0.7.2/32"),
                                          .sends_identity = true},
                                         {.trunk_id = 3,
                                          .name = TEXT("outside"),
                                          .host = TEXT("127.0.5.1"),
                                          .proto = SIP_UDP + 1,
                                          .sources = TEXT("127.0.5.1/32")},
                                         {.trunk_id = 4,
                                          .name = TEXT("psap"),
                                          .host = TEXT("127.0.6.1"),
                                          .proto = SIP_UDP + 1,
                                          .sources = TEXT("127.0.6.1/32"),
                                          .trusts_identity = true,
                                          .sends_identity = true}};
    memcpy(lines, plain, sizeof lines);
    memcpy(trunks, rows, sizeof trunks);
}

/* What the store would publish: the rows as they stand now. */
static inline void publish(struct bench *b)
{
    static const struct route routes[] = {
        {.prefix = TEXT("+44"), .priority = 10, .name = TEXT("uk"), .route_id = 1, .trunk_id = 1},
        {.prefix = TEXT("+44"), .priority = 20, .name = TEXT("uk2"), .route_id = 2, .trunk_id = 2},
        {.prefix = TEXT("+33"), .priority = 1, .name = TEXT("fr"), .route_id = 3, .trunk_id = 3},
        {.prefix = TEXT("+1900"),
         .priority = 1,
         .name = TEXT("paid"),
         .route_id = 4,
         .trunk_id = 1},
        {.prefix = TEXT("911"),
         .kind = ROUTE_EMERGENCY,
         .priority = 1,
         .name = TEXT("psap"),
         .route_id = 5,
         .trunk_id = 4}};
    static const struct dial_rule rules[] = {
        {.prefix = TEXT("+1900"), .blocked = true, .name = TEXT("no-paid")},
        {.prefix = TEXT(SOS), .strip = 12, .add = TEXT("911"), .name = TEXT("sos")},
        {.prefix = TEXT(FIXIT), .strip = 12, .add = TEXT("611"), .name = TEXT("fix")}};
    static const struct number_row numbers[] = {{TEXT("+12125550122"), 2}};
    struct snapshot_input in = {.change_seq = 1,
                                .lines = lines,
                                .n_lines = LINES,
                                .numbers = numbers,
                                .n_numbers = 1,
                                .trunks = trunks,
                                .n_trunks = 4,
                                .routes = routes,
                                .n_routes = 5,
                                .rules = rules,
                                .n_rules = 3};
    struct snapshot *old = b->snap;
    char why[128] = "";
    if (snapshot_build(&in, &b->snap, why, sizeof why) != E_OK) {
        fail_msg("snapshot: %s", why);
    }
    assert_int_equal(snapshot_left_out(b->snap), 0);
    b->w->snap = NULL;
    snapshot_free(old);
    pass_ms(b, 1000);
}

static inline void forward(unsigned line, enum line_forward when, const char *to)
{
    lines[line].forward[when] = view_of(to);
}

static inline struct bench *world(void)
{
    struct bench *b = &bench;
    rows_reset();
    bench_open(b, NULL);
    phone_make(b, &dave, DAVE, 4, "127.0.9.14:5066", 0x44);
    phone_make(b, &erin, ERIN, 5, "127.0.9.15:5067", 0x55);
    publish(b);
    return b;
}

/* ---- calls -------------------------------------------------------------------------------------
 */
struct dialled_call {
    char keep[3][96], text[TEXT_MAX];
    struct request r;
};

static inline void alice_calls(struct bench *b, const char *number, struct dialled_call *k)
{
    static char uri[96];
    struct got got;
    snprintf(uri, sizeof uri, "sip:%s@" DOMAIN, number);
    k->r = invite_of(b, &b->alice, uri, k->keep);
    phone_send(b, &b->alice, write_request_text(&k->r, k->text, sizeof k->text));
    expect(b, &b->alice, "SIP/2.0 100", &got);
}

static inline void alice_cancels(struct bench *b, struct dialled_call *k)
{
    struct request r = k->r;
    r.method = "CANCEL";
    r.body = NULL;
    phone_send(b, &b->alice, write_request_text(&r, k->text, sizeof k->text));
}

static inline unsigned reached(struct bench *b, const char *where)
{
    struct net_addr a = addr(where);
    return count_to(b, &a, "INVITE");
}

static inline void expect_cdr(struct bench *b, unsigned status, const char *routed, const char *by,
                              uint64_t callee)
{
    const struct cdr *c = &b->cdr[0];
    assert_int_equal(b->n_cdr, 1);
    assert_int_equal(c->status, status);
    assert_string_equal(c->routed, routed);
    assert_string_equal(c->forwarded_by, by);
    assert_int_equal(c->callee_line, callee);
    assert_int_equal(c->caller_line, 1);
    assert_string_equal(c->caller, ALICE);
}

static inline void peer_calls(struct bench *b, const char *peer, const char *extra)
{
    struct sip_flow flow = udp(peer);
    char text[TEXT_MAX], call_id[32], branch[32], contact[64];
    snprintf(call_id, sizeof call_id, "peer-%u", ++b->unique);
    snprintf(branch, sizeof branch, "z9hG4bKpeer%u", b->unique);
    snprintf(contact, sizeof contact, "sip:p@%s", peer);
    feed(b, &flow,
         write_request_text(&(struct request){.method = "INVITE",
                                              .uri = "sip:" BOB "@" DOMAIN,
                                              .from = "sip:+442071112222@peer.test",
                                              .to = "sip:" BOB "@" DOMAIN,
                                              .from_tag = "pt",
                                              .call_id = call_id,
                                              .branch = branch,
                                              .via = peer,
                                              .contact = contact,
                                              .extra = extra,
                                              .cseq = 1},
                            text, sizeof text));
}

#endif
