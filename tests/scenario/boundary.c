/* What crosses the edge of the trust domain, header by header, and what is written in its place. */
#include "gc/boundary_int.h"
#include "tests/scenario/bench.h"

static struct bench bench;

static struct sip_msg framed(const char *text)
{
    struct sip_msg m;
    const char *why = "";
    if (sip_frame(view_of(text), true, &m, &why) != E_OK) {
        fail_msg("%s in %s", why, text);
    }
    return m;
}

/* ---- names that forward.c writes ---------------------------------------------------------------
 */
#define REQUEST(from, to)                                                                          \
    "INVITE sip:+12125550102@headgate.test SIP/2.0\r\n"                                            \
    "Via: SIP/2.0/UDP 127.0.9.11:5062;branch=z9hG4bKn1\r\nMax-Forwards: 70\r\n" from to            \
    "Call-ID: names\r\nCSeq: 1 INVITE\r\nContact: <sip:a@127.0.9.11>\r\nContent-Length: 0\r\n\r\n"

static struct sip_msg forwarded(struct bench *b, struct forwarding *f)
{
    struct sip_msg m;
    const char *why = "";
    size_t n = 0;
    assert_int_equal(forward_request(b->w, f, &n), E_OK);
    assert_int_equal(sip_frame(view_from(b->w->out, n), true, &m, &why), E_OK);
    return m;
}

static void names_of_a_request(void **state)
{
    static const struct {
        const char *message, *from, *to;
    } rows[] = {
        {REQUEST("From: \"A, B\" <sip:+12125550101@headgate.test;x=1>;tag=ft;y=2\r\n",
                 "To: <sip:+12125550102@headgate.test>\r\n"),
         "From: \"New\" <sip:new@h.test>;tag=ft\r\n", "To: <sip:called@h.test>\r\n"},
        {REQUEST("f: sip:+12125550101@headgate.test;tag=ft\r\n",
                 "t: sip:+12125550102@headgate.test;tag=tt\r\n"),
         "f: \"New\" <sip:new@h.test>;tag=ft\r\n", "t: <sip:called@h.test>;tag=tt\r\n"},
        {REQUEST("From: <foo:bar>\t; tag=ft\r\n", "To: <tel:+12125550102>\r\n"),
         "From: \"New\" <sip:new@h.test>;tag=ft\r\n", "To: <sip:called@h.test>\r\n"},
    };
    struct bench *b = &bench;
    struct target to = {.who = {.kind = PARTY_GATEWAY}, .flow = udp("127.0.9.8:5060")};
    (void)state;
    bench_open(b, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sip_msg m = framed(rows[i].message), got;
        struct forwarding f = {.m = &m,
                               .from = {.kind = PARTY_BTI},
                               .from_flow = udp("127.0.9.11:5062"),
                               .to = &to,
                               .branch = "z9hG4bKown"};
        got = forwarded(b, &f); /* nothing asked, nothing changed */
        assert_true(view_eq(sip_header_value(&got, SIP_H_FROM), sip_header_value(&m, SIP_H_FROM)));
        assert_true(view_eq(sip_header_value(&got, SIP_H_TO), sip_header_value(&m, SIP_H_TO)));
        f.from_addr = "\"New\" <sip:new@h.test>";
        f.to_addr = "<sip:called@h.test>";
        f.n_extra = 2;
        f.extra[0] = "Diversion: <sip:x@h.test>;reason=unconditional";
        f.extra[1] = "History-Info: <sip:x@h.test>;index=1";
        got = forwarded(b, &f);
        assert_true(holds(&got, rows[i].from));
        assert_true(holds(&got, rows[i].to));
        assert_true(holds(&got, "\r\nDiversion: <sip:x@h.test>;reason=unconditional\r\n"));
        assert_true(holds(&got, "\r\nHistory-Info: <sip:x@h.test>;index=1\r\n"));
    }
    bench_close(b);
}

static void no_header_comes_by_a_name(void **state)
{
    struct bench *b = &bench;
    struct target to = {.who = {.kind = PARTY_GATEWAY}, .flow = udp("127.0.9.8:5060")};
    struct sip_msg m = framed(REQUEST("From: <sip:+12125550101@headgate.test>;tag=ft\r\n",
                                      "To: <sip:+12125550102@headgate.test>\r\n"));
    struct forwarding f = {.m = &m,
                           .from = {.kind = PARTY_BTI},
                           .from_flow = udp("127.0.9.11:5062"),
                           .to = &to,
                           .branch = "z9hG4bKown",
                           .from_addr = "\"a\r\nX: 1\" <sip:new@h.test>"};
    size_t n = 0;
    (void)state;
    bench_open(b, NULL);
    assert_int_equal(forward_request(b->w, &f, &n), E_PARSE);
    f.from_addr = NULL;
    f.n_extra = 1;
    f.extra[0] = "X: 1\r\nY: 2";
    assert_int_equal(forward_request(b->w, &f, &n), E_PARSE);
    bench_close(b);
}

static void names_of_a_response(void **state)
{
    static const char answer[] =
        "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 127.0.9.1:5060;branch=z9hG4bKown\r\n"
        "Via: SIP/2.0/UDP 127.0.9.11:5062;branch=z9hG4bKn1\r\n"
        "From: \"New\" <sip:new@h.test>;tag=ft\r\nt: <sip:called@h.test>;tag=tt;z=1\r\n"
        "Call-ID: names\r\nCSeq: 1 INVITE\r\nP-Asserted-Identity: <sip:lie@x.test>\r\n"
        "Content-Length: 0\r\n\r\n";
    static const char first[] = REQUEST("From: \"A\" <sip:+12125550101@headgate.test>;tag=ft\r\n",
                                        "To: \"B\" <sip:+12125550102@headgate.test>;q=\"x\"\r\n");
    static const char later[] = REQUEST("From: \"A\" <sip:+12125550101@headgate.test>;tag=ft\r\n",
                                        "To: <sip:2@headgate.test>;tag=tt\r\n");
    struct bench *b = &bench;
    struct party bob = {.kind = PARTY_PHONE}, alice = {.kind = PARTY_PHONE},
                 peer = {.kind = PARTY_GATEWAY};
    struct sip_flow up = udp("127.0.9.11:5062"), down = udp("127.0.9.12:5063");
    struct sip_msg m = framed(answer), request = framed(first), got;
    struct passing p = {.m = &m, .from = &bob, .to = &alice, .from_flow = &down, .to_flow = &up};
    const char *why = "";
    size_t n = 0;
    (void)state;
    bench_open(b, NULL);
    assert_int_equal(forward_response(b->w, &p, &n), E_OK); /* nothing asked */
    assert_int_equal(sip_frame(view_from(b->w->out, n), true, &got, &why), E_OK);
    assert_true(holds(&got, "From: \"New\" <sip:new@h.test>;tag=ft\r\n"
                            "t: <sip:called@h.test>;tag=tt;z=1\r\n"));
    p.request = &request;
    p.asserted = "\"Bob\" <sip:+12125550102@headgate.test>";
    assert_int_equal(forward_response(b->w, &p, &n), E_OK);
    assert_int_equal(sip_frame(view_from(b->w->out, n), true, &got, &why), E_OK);
    assert_true(holds(&got, "From: \"A\" <sip:+12125550101@headgate.test>;tag=ft\r\n"
                            "t: \"B\" <sip:+12125550102@headgate.test>;q=\"x\";tag=tt\r\n"));
    assert_null(sip_header(&got, SIP_H_P_ASSERTED_IDENTITY, 0)); /* a phone is outside */
    request = framed(later);
    p.to = &peer;
    assert_int_equal(forward_response(b->w, &p, &n), E_OK);
    assert_int_equal(sip_frame(view_from(b->w->out, n), true, &got, &why), E_OK);
    assert_true(holds(&got, "t: <sip:2@headgate.test>;tag=tt\r\n"));
    assert_true(
        holds(&got, "\r\nP-Asserted-Identity: \"Bob\" <sip:+12125550102@headgate.test>\r\n"));
    assert_false(holds(&got, "lie@x.test"));
    bench_close(b);
}

/* A trunk that leads to operators, beside the peers that are trusted. */
static void with_operators(struct bench *b)
{
    static const struct line lines[] = {{.line_id = 1, .account_id = 1, .number = {ALICE, 12}},
                                        {.line_id = 2, .account_id = 2, .number = {BOB, 12}}};
    static const struct number_row numbers[] = {{{ALICE, 12}, 1}, {{BOB, 12}, 2}};
    static const struct trunk trunks[] = {{.trunk_id = 7,
                                           .name = {"operators", 9},
                                           .host = {"127.0.9.6", 9},
                                           .sources = {"127.0.9.6/32", 12},
                                           .trusts_identity = true,
                                           .sends_identity = true,
                                           .is_operator = true}};
    struct snapshot_input in = {.lines = lines,
                                .n_lines = 2,
                                .numbers = numbers,
                                .n_numbers = 2,
                                .trunks = trunks,
                                .n_trunks = 1,
                                .change_seq = 77};
    snapshot_free(b->snap);
    assert_int_equal(snapshot_build(&in, &b->snap, NULL, 0), E_OK);
    b->w->snap = NULL;
}

/* ---- the table, row by row ---------------------------------------------------------------------
 */
static const struct party line = {.kind = PARTY_BTI, .line = 1},
                          trusted = {.kind = PARTY_GATEWAY, .trunk = 7},
                          stranger = {.kind = PARTY_GATEWAY,
                                      .trunk = 8,
                                      .is_doubted = true,
                                      .is_outside = true};

/* What stays (+) and what goes (-): line to trusted trunk, line to line, trusted trunk to line,
 * trusted trunk to trusted trunk. */
enum { WAYS_SHOWN = 4 };
static const struct party *const way_from[] = {&line, &line, &trusted, &trusted},
                                 *const way_to[] = {&trusted, &line, &line, &trusted};

struct header_row {
    enum boundary_rule_id rule;
    const char *name, *value;
    const char *setup, *dialog, *other, *response; /* of one sign for each way; NULL: as setup */
};
static const struct header_row headers[] = {
    {RULE_ASSERTED, "P-Asserted-Identity", "<sip:1@x>", "--++", NULL, NULL, NULL},
    {RULE_PREFERRED, "P-Preferred-Identity", "<sip:1@x>", "----", NULL, NULL, NULL},
    {RULE_REMOTE_PARTY, "Remote-Party-ID", "<sip:1@x>;privacy=full", "---+", NULL, NULL, NULL},
    {RULE_NONE, "Privacy", "none", "++++", NULL, NULL, NULL},
    {RULE_NONE, "Privacy", "header;session", "++++", NULL, NULL, NULL},
    {RULE_IDENTITY, "Identity", "a.b.c;info=<https://x/y>;alg=ES256", "---+", NULL, NULL, NULL},
    {RULE_IDENTITY, "y", "a.b.c;info=<https://x/y>;alg=ES256", "---+", NULL, NULL, NULL},
    {RULE_IDENTITY, "Identity-Info", "<https://x/y>;alg=rsa-sha1", "---+", NULL, NULL, NULL},
    {RULE_IDENTITY, "n", "<https://x/y>;alg=rsa-sha1", "---+", NULL, NULL, NULL},
    {RULE_HISTORY, "History-Info", "<sip:1@x>;index=1", "---+", NULL, NULL, NULL},
    {RULE_DIVERSION, "Diversion", "<sip:1@x>;reason=unknown", "---+", NULL, NULL, NULL},
    {RULE_DIVERSION, "CC-Diversion", "<sip:1@x>", "---+", NULL, NULL, NULL},
    {RULE_TRACE_PARTY, "P-DCS-Trace-Party-ID", "<sip:1@x>;timestamp=1.2", "---+", "----", "----",
     "----"},
    {RULE_OSPS, "P-DCS-OSPS", "BLV", "--++", "----", "----", "----"},
    {RULE_OSPS, "P-DCS-OSPS", "EI", "----", "--++", "----", "----"},
    {RULE_OSPS, "P-DCS-OSPS", "RING", "----", "--++", "----", "----"},
    {RULE_OSPS, "P-DCS-OSPS", "other", "----", "----", "----", "----"},
    {RULE_BILLING, "P-DCS-Billing-Info", "1/2@x", "---+", NULL, NULL, NULL},
    {RULE_LAES, "P-DCS-LAES", "192.0.2.1:5;content=192.0.2.1:6", "---+", NULL, NULL, NULL},
    {RULE_REDIRECT, "P-DCS-Redirect", "\"sip:1@x\";count=1", "---+", NULL, NULL, NULL},
    {RULE_DCS_OTHER, "P-DCS-Anything", "1", "---+", NULL, NULL, NULL},
    {RULE_DCS_DRAFT, "Dcs-Billing-Id", "1/2", "----", NULL, NULL, NULL},
    {RULE_DCS_DRAFT, "RPID-Privacy", "full", "----", NULL, NULL, NULL},
    {RULE_DCS_DRAFT, "Anonymity", "off", "----", NULL, NULL, NULL},
    {RULE_MEDIA_AUTHORIZATION, "P-Media-Authorization", "00AB", "----", NULL, NULL, NULL},
    {RULE_CHARGING, "P-Charging-Vector", "icid-value=1", "---+", NULL, NULL, NULL},
    {RULE_CHARGING, "P-Charging-Function-Addresses", "ccf=192.0.2.1", "---+", NULL, NULL, NULL},
    {RULE_ACCESS_NETWORK, "P-Access-Network-Info", "ADSL;x=1", "---+", NULL, NULL, NULL},
    {RULE_VISITED_NETWORK, "P-Visited-Network-ID", "x", "---+", NULL, NULL, NULL},
    {RULE_CALLED_PARTY, "P-Called-Party-ID", "<sip:1@x>", "---+", NULL, NULL, NULL},
    {RULE_ASSOCIATED_URI, "P-Associated-URI", "<sip:1@x>", "---+", NULL, NULL, NULL},
    {RULE_EARLY_MEDIA, "P-Early-Media", "sendrecv", "---+", NULL, NULL, NULL},
    {RULE_P_OTHER, "P-Served-User", "<sip:1@x>", "---+", NULL, NULL, NULL},
    {RULE_P_OTHER, "P-", "x", "---+", NULL, NULL, NULL},
    {RULE_IMS, "Attestation-Info", "A", "---+", NULL, NULL, NULL},
    {RULE_IMS, "Origination-Id", "1", "---+", NULL, NULL, NULL},
    {RULE_IMS, "Additional-Identity", "<sip:1@x>", "---+", NULL, NULL, NULL},
    {RULE_IMS, "Priority-Verstat", "x", "---+", NULL, NULL, NULL},
    {RULE_IMS, "Cellular-Network-Info", "x", "---+", NULL, NULL, NULL},
    {RULE_IMS, "Relayed-Charge", "x", "---+", NULL, NULL, NULL},
    {RULE_IMS, "Service-Interact-Info", "x", "---+", NULL, NULL, NULL},
    {RULE_IMS, "Restoration-Info", "x", "---+", NULL, NULL, NULL},
    {RULE_IMS, "Response-Source", "x", "---+", NULL, NULL, NULL},
    {RULE_RESOURCE, "Resource-Priority", "ets.0", "----", "----", "----", "--++"},
    {RULE_RESOURCE, "Resource-Priority", "foo.1", "++++", "++++", "++++", "--++"},
    {RULE_ACCEPT_RESOURCE, "Accept-Resource-Priority", "ets.0", "--++", NULL, NULL, NULL},
    {RULE_ALERT, "Alert-Info", "<http://x/y>", "--++", NULL, NULL, NULL},
    {RULE_CALL_INFO, "Call-Info", "<http://x/y>;purpose=icon", "--++", NULL, NULL, NULL},
    {RULE_ERROR_INFO, "Error-Info", "<http://x/y>", "--++", NULL, NULL, NULL},
    {RULE_ANSWER_MODE, "Answer-Mode", "Auto", "--++", NULL, NULL, NULL},
    {RULE_ANSWER_MODE, "Priv-Answer-Mode", "Auto", "--++", NULL, NULL, NULL},
    {RULE_NONE, "Geolocation", "<cid:a@x>", "++++", NULL, NULL, NULL},
    {RULE_LOCATION_ROUTING, "Geolocation-Routing", "yes", "--++", NULL, NULL, NULL},
    {RULE_LOCATION_ERROR, "Geolocation-Error", "100", "--++", NULL, NULL, NULL},
    {RULE_REASON, "Reason", "preemption;cause=1", "--++", NULL, NULL, NULL},
    {RULE_REASON, "Reason", "SIP;cause=200, STIR;cause=436", "--++", NULL, NULL, NULL},
    {RULE_NONE, "Reason", "SIP;cause=200;text=\"a, b;c\", q.850 ;cause=16", "++++", NULL, NULL,
     NULL},
    {RULE_REFERRED, "Referred-By", "<sip:1@x>", "--++", NULL, NULL, NULL},
    {RULE_REFERRED, "b", "<sip:1@x>", "--++", NULL, NULL, NULL},
    {RULE_CALL_BACK, "Priority", "psap-callback", "----", NULL, NULL, NULL},
    {RULE_NONE, "Priority", "urgent", "++++", NULL, NULL, NULL},
    {RULE_FEATURE, "Feature-Caps", "*;+x", "--++", NULL, NULL, NULL},
    {RULE_CHALLENGE, "WWW-Authenticate", "Digest realm=\"x\"", "--++", NULL, NULL, NULL},
    {RULE_CHALLENGE, "Proxy-Authenticate", "Digest realm=\"x\"", "--++", NULL, NULL, NULL},
    {RULE_NONE, "Authentication-Info", "nextnonce=\"x\"", "----", NULL, NULL, NULL},
    {RULE_NONE, "Proxy-Authorization", "BTI-MAC kid=00, seq=1, mac=00", "----", NULL, NULL, NULL},
    {RULE_NONE, "Authorization", "Bearer x", "++++", NULL, NULL, NULL},
    {RULE_NONE, "Subject", "x", "++++", NULL, NULL, NULL},
    {RULE_NONE, "Organization", "x", "++++", NULL, NULL, NULL},
    {RULE_NONE, "User-Agent", "x", "++++", NULL, NULL, NULL},
    {RULE_NONE, "Server", "x", "++++", NULL, NULL, NULL},
    {RULE_NONE, "In-Reply-To", "x", "++++", NULL, NULL, NULL},
    {RULE_NONE, "Reply-To", "<sip:1@x>", "++++", NULL, NULL, NULL},
    {RULE_NONE, "Replaces", "a@b;to-tag=1;from-tag=2", "++++", NULL, NULL, NULL},
    {RULE_NONE, "Target-Dialog", "a@b;local-tag=1", "++++", NULL, NULL, NULL},
    {RULE_NONE, "Refer-To", "<sip:1@x>", "++++", NULL, NULL, NULL},
    {RULE_NONE, "X-Foo", "x", "++++", NULL, NULL, NULL},
    {RULE_NONE, "P%2DAsserted-Identity", "<sip:1@x>", "++++", NULL, NULL, NULL},
    {RULE_NONE, "PAsserted-Identity", "<sip:1@x>", "++++", NULL, NULL, NULL},
    {RULE_NONE, "Session-ID", "x", "++++", NULL, NULL, NULL},
};

static const char *const starts[CLASSES] = {
    "INVITE sip:2@h.test SIP/2.0\r\nTo: <sip:2@h.test>\r\nCSeq: 1 INVITE\r\n",
    "UPDATE sip:2@h.test SIP/2.0\r\nTo: <sip:2@h.test>;tag=tt\r\nCSeq: 1 UPDATE\r\n",
    "MESSAGE sip:2@h.test SIP/2.0\r\nTo: <sip:2@h.test>\r\nCSeq: 1 MESSAGE\r\n",
    "SIP/2.0 180 Ringing\r\nTo: <sip:2@h.test>;tag=tt\r\nCSeq: 1 INVITE\r\n"
    "Via: SIP/2.0/UDP 127.0.9.1:5060;branch=z9hG4bKown\r\n"};
#define REST                                                                                       \
    "Via: SIP/2.0/UDP 127.0.9.11:5062;branch=z9hG4bKn1\r\nFrom: <sip:1@h.test>;tag=ft\r\n"         \
    "Call-ID: boundary\r\n"

/* A message with these lines and that body, as a worker would have framed it. */
static struct sip_msg message(enum boundary_class class, const char *lines, const char *body,
                              char text[SIP_MAX_BYTES])
{
    static char plain[SIP_MAX_BYTES];
    struct sip_msg m;
    const char *why = "";
    int n = snprintf(text, SIP_MAX_BYTES, "%s" REST "%sContent-Length: %zu\r\n\r\n%s",
                     starts[class], lines, strlen(body), body);
    assert_true(n > 0 && n < SIP_MAX_BYTES);
    if (sip_frame(view_of(text), true, &m, &why) != E_OK) {
        fail_msg("%s in %s", why, text);
    }
    if (m.is_odd) {
        assert_int_equal(sip_frame_plain(&m, true, plain, &m), E_OK);
    }
    return m;
}

static struct sip_msg crossed(struct bench *b, const struct sip_msg *m, const struct party *from,
                              const struct party *to)
{
    struct sip_flow up = udp("127.0.9.11:5062"), down = udp("127.0.9.12:5063");
    struct target t = {.who = *to, .flow = down};
    struct sip_msg got;
    const char *why = "";
    size_t n = 0;
    if (to->kind == PARTY_BTI) { /* one that has a session to seal for */
        memcpy(t.who.kid, b->bob.kid, sizeof t.who.kid);
    }
    if (m->is_request) {
        struct forwarding f = {
            .m = m, .from = *from, .from_flow = up, .to = &t, .branch = "z9hG4bKown"};
        assert_int_equal(forward_request(b->w, &f, &n), E_OK);
    } else {
        struct passing p = {.m = m, .from = from, .to = &t.who, .from_flow = &up, .to_flow = &down};
        assert_int_equal(forward_response(b->w, &p, &n), E_OK);
    }
    assert_int_equal(sip_frame(view_from(b->w->out, n), true, &got, &why), E_OK);
    return got;
}

/* Our own proof for the next hop is no header that passed. */
static bool has_header(const struct sip_msg *m, const char *name, const char *value)
{
    for (unsigned i = 0; i < m->n_headers; i++) {
        if (view_eq_nocase(m->h[i].name, view_of(name)) && view_eq(m->h[i].value, view_of(value))) {
            return true;
        }
    }
    return false;
}

static int64_t taken_out(struct bench *b, enum boundary_rule_id rule)
{
    return counted(b, (enum meter)((int)METER_BOUNDARY_ASSERTED + (int)rule - (int)RULE_ASSERTED));
}

static void every_row_on_every_way(void **state)
{
    struct bench *b = &bench;
    bool seen[RULE_COUNT] = {false};
    char text[SIP_MAX_BYTES], lines[256];
    (void)state;
    bench_open(b, NULL);
    with_operators(b);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        const struct header_row *r = &headers[i];
        const char *signs[CLASSES] = {r->setup, r->dialog, r->other, r->response};
        snprintf(lines, sizeof lines, "%s: %s\r\n", r->name, r->value);
        for (unsigned class = 0; class < CLASSES; class ++) {
            const char *sign = signs[class] != NULL ? signs[class] : r->setup;
            for (unsigned way = 0; way < WAYS_SHOWN; way++) {
                struct sip_msg m = message((enum boundary_class) class, lines, "", text);
                int64_t before = taken_out(b, r->rule);
                struct sip_msg got = crossed(b, &m, way_from[way], way_to[way]);
                bool stays = sign[way] == '+';
                if (has_header(&got, r->name, r->value) != stays) {
                    fail_msg("%s: %s: class %u, way %u", r->name, r->value, class, way);
                }
                if (r->rule != RULE_NONE) {
                    bool is_told = !stays && (r->rule != RULE_LAES || way_from[way] != &trusted);
                    assert_int_equal(taken_out(b, r->rule), before + is_told);
                    assert_int_equal(strstr(b->w->crossed, boundary_rule_name(r->rule)) != NULL,
                                     is_told);
                    seen[r->rule] = true;
                }
            }
        }
    }
    for (unsigned rule = RULE_ASSERTED; rule <= RULE_CHALLENGE; rule++) {
        assert_true(seen[rule] || rule == RULE_PRIVACY); /* that one refuses, or nothing */
    }
    bench_close(b);
}

/* The same claim however it is spelled; what only looks like it is another header. */
static void every_spelling(void **state)
{
    static const char *const lines[] = {
        "p-asserted-identity: <sip:9@evil.test>\r\n",
        "P-ASSERTED-IDENTITY:<sip:9@evil.test>\r\n",
        "p-aSSERTED-iDENTITY  :  <sip:9@evil.test>\r\n",
        "P-Asserted-Identity\t:\t<sip:9@evil.test>\r\n",
        "P-Asserted-Identity:\r\n <sip:9@evil.test>\r\n",
        "P-Asserted-Identity :\r\n\t\"a\"\r\n <sip:9@evil.test>\r\n",
        "P-Asserted-Identity: <sip:8@x>\r\nP-Asserted-Identity: <sip:9@evil.test>\r\n",
        "P-Asserted-Identity: <sip:8@x>, <tel:+1>, <sip:9@evil.test>\r\n",
        "Y: 9@evil.test;info=<https://evil.test>\r\n",
        "y :\r\n 9@evil.test\r\n",
        "N: <https://evil.test>\r\n",
        "B: <sip:9@evil.test>\r\n",
        "p-DCS-laes: evil.test\r\n",
        "HISTORY-INFO\t:<sip:9@evil.test>;index=1\r\n",
        "p-unheard-of:\r\n evil.test\r\n",
        "dcs-LAES: evil.test\r\n"};
    struct bench *b = &bench;
    char text[SIP_MAX_BYTES];
    (void)state;
    bench_open(b, NULL);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        for (unsigned class = 0; class < CLASSES; class ++) {
            struct sip_msg m = message((enum boundary_class) class, lines[i], "", text), got;
            got = crossed(b, &m, &line, &trusted);
            assert_false(holds(&got, "evil.test"));
            got = crossed(b, &m, &stranger, &line);
            assert_false(holds(&got, "evil.test"));
        }
    }
    bench_close(b);
}

/* RFC 3323, RFC 3325: what a wish for privacy takes away, and from whom. */
static void privacy(void **state)
{
    static const struct {
        const char *privacy, *header;
        const char *signs; /* line to trusted, line to line, trusted to line, trusted to trusted,
                            * trusted to stranger */
    } rows[] = {
        {"id", "P-Asserted-Identity", "---+-"},
        {"user;id", "P-Asserted-Identity", "---+-"},
        {"user; critical ;ID", "P-Asserted-Identity", "---+-"},
        {"none\r\nPrivacy: id", "P-Asserted-Identity", "---+-"},
        {"none", "P-Asserted-Identity", "--+++"},
        {"header", "P-Asserted-Identity", "--+++"},
        {"user", "Subject", "+--+-"},
        {"user", "Organization", "+--+-"},
        {"user", "User-Agent", "+--+-"},
        {"user", "In-Reply-To", "+--+-"},
        {"user", "Reply-To", "+--+-"},
        {"user", "Call-Info", "---+-"},
        {"id", "Subject", "+++++"},
        {"user", "Server", "+++++"},
    };
    static const struct party *const from[] = {&line, &line, &trusted, &trusted, &trusted},
                                     *const to[] = {&trusted, &line, &line, &trusted, &stranger};
    struct bench *b = &bench;
    char text[SIP_MAX_BYTES], lines[256];
    (void)state;
    bench_open(b, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(lines, sizeof lines, "Privacy: %s\r\n%s: <sip:1@x>\r\n", rows[i].privacy,
                 rows[i].header);
        for (unsigned way = 0; way < 5; way++) {
            struct sip_msg m = message(CLASS_SETUP, lines, "", text), got;
            got = crossed(b, &m, from[way], to[way]);
            if (has_header(&got, rows[i].header, "<sip:1@x>") != (rows[i].signs[way] == '+')) {
                fail_msg("%s with %s, way %u", rows[i].header, rows[i].privacy, way);
            }
            assert_true(holds(&got, rows[i].privacy)); /* none of it is ever altered */
        }
    }
    assert_true(taken_out(b, RULE_USER) > 0 && taken_out(b, RULE_REPLY) > 0);
    bench_close(b);
}

/* A signed token is no line's business, and every trunk's that may check it. */
static void tokens_stay_between_networks(void **state)
{
    struct bench *b = &bench;
    char text[SIP_MAX_BYTES];
    struct sip_msg m, got;
    (void)state;
    bench_open(b, NULL);
    m = message(CLASS_SETUP, "Identity: a.b.c;info=<https://x/y>\r\n", "", text);
    got = crossed(b, &m, &trusted, &stranger);
    assert_true(holds(&got, "Identity: a.b.c"));
    got = crossed(b, &m, &stranger, &trusted);
    assert_false(holds(&got, "Identity: a.b.c"));
    bench_close(b);
}

/* ---- headers in URIs ---------------------------------------------------------------------------
 */
static void headers_in_uris(void **state)
{
    static const struct {
        const char *line, *from_line, *from_trunk; /* how it reaches a line; NULL: it does not */
        enum boundary_rule_id rule;
    } rows[] = {
        {"Refer-To: <sip:2@h?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>",
         "Refer-To: <sip:2@h?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>",
         "Refer-To: <sip:2@h?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>", RULE_NONE},
        {"Refer-To: <sip:2@h?P-Asserted-Identity=%3Csip:9%40x%3E>", "Refer-To: <sip:2@h>",
         "Refer-To: <sip:2@h?P-Asserted-Identity=%3Csip:9%40x%3E>", RULE_ASSERTED},
        {"r: <sip:2@h?Subject=a&P%2dASSERTED%2Didentity=1&Replaces=b>",
         "r: <sip:2@h?Subject=a&Replaces=b>",
         "r: <sip:2@h?Subject=a&P%2dASSERTED%2Didentity=1&Replaces=b>", RULE_ASSERTED},
        {"Refer-To: \"why?\" <sip:2@h;x=1?%50-DCS-LAES=1&Replaces=b>;y=2",
         "Refer-To: \"why?\" <sip:2@h;x=1?Replaces=b>;y=2",
         "Refer-To: \"why?\" <sip:2@h;x=1?Replaces=b>;y=2", RULE_LAES},
        {"Refer-To: <sips:2@h?Replaces=b&p-dcs-redirect=1>", "Refer-To: <sips:2@h?Replaces=b>",
         "Refer-To: <sips:2@h?Replaces=b>", RULE_REDIRECT},
        {"Refer-To: <sip:2@h?y=a.b.c>", "Refer-To: <sip:2@h>", "Refer-To: <sip:2@h>",
         RULE_IDENTITY},
        {"Refer-To: <sip:2@h?%79=a.b.c>", "Refer-To: <sip:2@h>", "Refer-To: <sip:2@h>",
         RULE_IDENTITY},
        {"Refer-To: <sip:2@h?Route=%3Csip:evil%3Blr%3E&Privacy=id>",
         "Refer-To: <sip:2@h?Privacy=id>",
         "Refer-To: <sip:2@h?Route=%3Csip:evil%3Blr%3E&Privacy=id>", RULE_URI_HEADER},
        {"Refer-To: <sip:2@h?From=9%40x>", "Refer-To: <sip:2@h>", "Refer-To: <sip:2@h?From=9%40x>",
         RULE_URI_HEADER},
        {"Refer-To: <sip:2@h?f=9%40x>", "Refer-To: <sip:2@h>", "Refer-To: <sip:2@h?f=9%40x>",
         RULE_URI_HEADER},
        {"Refer-To: <sip:2@h?Subject=a%0d%0aP-Asserted-Identity:1>", "Refer-To: <sip:2@h>",
         "Refer-To: <sip:2@h>", RULE_URI_ODD},
        {"Refer-To: <sip:2@h?body=v%3D0%0D%0A&Subject=a>",
         "Refer-To: <sip:2@h?body=v%3D0%0D%0A&Subject=a>",
         "Refer-To: <sip:2@h?body=v%3D0%0D%0A&Subject=a>", RULE_NONE},
        {"Refer-To: <sip:2@h?P%252DAsserted-Identity=1>", "Refer-To: <sip:2@h>",
         "Refer-To: <sip:2@h>", RULE_URI_ODD},
        {"Refer-To: <sip:2@h?P-Asserted-Identity>", "Refer-To: <sip:2@h>", "Refer-To: <sip:2@h>",
         RULE_URI_ODD},
        {"Refer-To: <sip:2@h?P-Asserted-Identity%20=1>", "Refer-To: <sip:2@h>",
         "Refer-To: <sip:2@h>", RULE_URI_ODD},
        {"Refer-To: <sip:2@h?&&Subject=a>", "Refer-To: <sip:2@h?Subject=a>",
         "Refer-To: <sip:2@h?Subject=a>", RULE_URI_ODD},
        {"Refer-To: <sip:2@h?Priority=psap-callback>", "Refer-To: <sip:2@h>", "Refer-To: <sip:2@h>",
         RULE_CALL_BACK},
        {"Refer-To: <sip:2@h?Reason=SIP%3Bcause%3D302&Reason=preemption>",
         "Refer-To: <sip:2@h?Reason=SIP%3Bcause%3D302>",
         "Refer-To: <sip:2@h?Reason=SIP%3Bcause%3D302&Reason=preemption>", RULE_REASON},
        {"Reply-To: sip:2@h?P-Asserted-Identity=1", NULL, NULL, RULE_URI_ODD},
        {"Reply-To: <sip:2@h?P-Asserted-Identity=1", NULL, NULL, RULE_URI_ODD},
        {"Reply-To: <sip:2?P-Asserted-Identity=1@h>", NULL, NULL, RULE_URI_ODD},
        {"Refer-To: <http://x/y?P-Asserted-Identity=1>",
         "Refer-To: <http://x/y?P-Asserted-Identity=1>",
         "Refer-To: <http://x/y?P-Asserted-Identity=1>", RULE_NONE},
        {"Contact: <sip:2@h?P-Asserted-Identity=1>, <sip:3@h?X=1>;q=0.5",
         "Contact: <sip:2@h>, <sip:3@h?X=1>;q=0.5",
         "Contact: <sip:2@h?P-Asserted-Identity=1>, <sip:3@h?X=1>;q=0.5", RULE_ASSERTED},
        {"m: <sip:2@h?Diversion=1&History-Info=2>", "m: <sip:2@h>", "m: <sip:2@h>", RULE_DIVERSION},
        {"Reply-To: <sip:2@h?P-Asserted-Identity=1>", "Reply-To: <sip:2@h>",
         "Reply-To: <sip:2@h?P-Asserted-Identity=1>", RULE_ASSERTED},
        {"Referred-By: <sip:2@h?P-DCS-LAES=1>", NULL, "Referred-By: <sip:2@h>", RULE_REFERRED},
        {"Refer-To: <sip:2@h?Call-Info=1&Alert-Info=2&Error-Info=3>", "Refer-To: <sip:2@h>",
         "Refer-To: <sip:2@h?Call-Info=1&Alert-Info=2&Error-Info=3>", RULE_CALL_INFO},
    };
    struct bench *b = &bench;
    char text[SIP_MAX_BYTES], lines[256], want[256];
    (void)state;
    bench_open(b, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(lines, sizeof lines, "%s\r\n", rows[i].line);
        for (unsigned way = 0; way < 3; way++) { /* line to line, trunk to line, trunk to trunk */
            const char *out = way == 0   ? rows[i].from_line
                              : way == 1 ? rows[i].from_trunk
                                         : rows[i].line;
            for (unsigned class = 0; class < CLASSES; class ++) {
                struct sip_msg m = message((enum boundary_class) class, lines, "", text), got;
                int64_t before = taken_out(b, rows[i].rule);
                snprintf(want, sizeof want, "\r\n%s\r\n", out != NULL ? out : "");
                got = crossed(b, &m, way == 0 ? &line : &trusted, way == 2 ? &trusted : &line);
                if (out == NULL ? holds(&got, "P-Asserted-Identity") || holds(&got, "LAES")
                                : !holds(&got, want)) {
                    fail_msg("row %zu, way %u: %s", i, way, text);
                }
                if (way == 0 && rows[i].rule != RULE_NONE) {
                    assert_int_equal(taken_out(b, rows[i].rule), before + 1);
                }
            }
        }
    }
    bench_close(b);
}

/* ---- bodies ------------------------------------------------------------------------------------
 */
#define SIPFRAG                "SIP/2.0 180 Ringing\r\nTo: <sip:2@h>\r\n"
#define PART(type, more, text) "--b\r\nContent-Type: " type "\r\n" more "\r\n" text "\r\n"

static void signalling_in_bodies(void **state)
{
    static const struct {
        const char *lines, *body, *from_line; /* NULL: as it stands; "": all of it is gone */
        enum boundary_rule_id rule;
    } rows[] = {
        {"Content-Type: message/sipfrag;version=2.0\r\n", "SIP/2.0 200 OK\r\n", NULL, RULE_NONE},
        {"Content-Type: message/sipfrag\r\n",
         SIPFRAG "P-Asserted-Identity: <sip:9@x>\r\nSubject: a\r\n", SIPFRAG "Subject: a\r\n",
         RULE_BODY_SIP},
        {"Content-Type: message / SIPFRAG\r\n",
         SIPFRAG "p-ASSERTED-identity :\r\n <sip:9@x>\r\n\t, <tel:9>\r\nSubject: a\r\n\r\nbody",
         SIPFRAG "Subject: a\r\n\r\nbody", RULE_BODY_SIP},
        {"c: MESSAGE/sip\r\n", SIPFRAG "y: a.b.c\nP-DCS-LAES: 1\rSubject: a\r\n",
         SIPFRAG "Subject: a\r\n", RULE_BODY_SIP},
        {"Content-Type: message/sipfrag\r\nContent-Encoding: gzip\r\n", SIPFRAG, "",
         RULE_BODY_OPAQUE},
        {"Content-Type: message/sipfrag\r\nContent-Transfer-Encoding: base64\r\n", "UC1B", "",
         RULE_BODY_OPAQUE},
        {"Content-Type: (a)message/sipfrag\r\n", SIPFRAG, "", RULE_BODY_OPAQUE},
        {"Content-Type: application/ISUP;version=itu-t92+\r\n", "\001\002", "",
         RULE_BODY_SIGNALLING},
        {"Content-Type: application/QSIG\r\n", "\001\002", "", RULE_BODY_SIGNALLING},
        {"Content-Type: multipart/mixed;boundary=b\r\n",
         PART("application/sdp", "", "v=0")
             PART("message/sipfrag", "", SIPFRAG "Diversion: <sip:9@x>\r\nSubject: a") "--b--\r\n",
         PART("application/sdp", "", "v=0")
             PART("message/sipfrag", "", SIPFRAG "Subject: a") "--b--\r\n",
         RULE_BODY_SIP},
        {"Content-Type: multipart/mixed;boundary=b\r\n",
         PART("application/sdp", "", "v=0") PART("text/plain", "", "P-Asserted-Identity: 9")
             PART("image/png", "Content-Transfer-Encoding: base64\r\n", "AAAA") "--b--\r\n",
         NULL, RULE_NONE},
        {"Content-Type: multipart/mixed;boundary=b\r\n",
         PART("application/sdp", "", "v=0")
             PART("\r\n application / isup;base=itu", "Content-Disposition: signal\r\n",
                  "\001\002") "--b--\r\n",
         PART("application/sdp", "", "v=0") PART(
             "application/octet-stream", "Content-Disposition: signal\r\n", "\001\002") "--b--\r\n",
         RULE_BODY_SIGNALLING},
        {"Content-Type: multipart/mixed;boundary=b\r\n",
         PART("message/sip", "Content-Transfer-Encoding: quoted-printable\r\n",
              "P=2DAsserted-Identity: <sip:9@x>") "--b--\r\n",
         PART("application/octet-stream", "Content-Transfer-Encoding: quoted-printable\r\n",
              "P=2DAsserted-Identity: <sip:9@x>") "--b--\r\n",
         RULE_BODY_OPAQUE},
        {"Content-Type: multipart/mixed;boundary=b\r\n",
         PART("text/plain", "", "C: is a disk; y: a letter") "--b--\r\n", NULL, RULE_NONE},
        {"Content-Type: multipart/mixed;boundary=b\r\n",
         PART("message(sip)/sip", "", "Subject: a") "--b--\r\n",
         PART("application/octet-stream", "", "Subject: a") "--b--\r\n", RULE_BODY_OPAQUE},
        {"Content-Type: application/sdp\r\n", "v=0\r\nP-Asserted-Identity: 1\r\n", NULL, RULE_NONE},
        {"Content-Type: application/pidf+xml\r\n", "<x>\r\nReason: preemption\r\n", NULL,
         RULE_NONE},
    };
    struct bench *b = &bench;
    char text[SIP_MAX_BYTES];
    (void)state;
    bench_open(b, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *want = rows[i].from_line != NULL ? rows[i].from_line : rows[i].body;
        for (unsigned class = 0; class < CLASSES; class ++) {
            struct sip_msg m = message((enum boundary_class) class, rows[i].lines, rows[i].body,
                                       text),
                           got;
            int64_t before = taken_out(b, rows[i].rule);
            got = crossed(b, &m, &line, &trusted);
            if (!view_eq(got.body, view_of(want))) {
                fail_msg("row %zu: %.*s", i, (int)got.body.n, got.body.p);
            }
            if (rows[i].rule != RULE_NONE) {
                assert_int_equal(taken_out(b, rows[i].rule), before + 1);
            }
            got = crossed(b, &m, &trusted, &trusted);
            assert_true(view_eq(got.body, view_of(rows[i].body)));
        }
    }
    bench_close(b);
}

/* A body that loses its keys and its claims loses both. */
static void keys_and_claims_of_one_body(void **state)
{
    struct bench *b = &bench;
    char text[SIP_MAX_BYTES];
    struct sip_msg m, got;
    (void)state;
    bench_open(b, NULL);
    m = message(CLASS_SETUP, "Content-Type: multipart/mixed;boundary=b\r\n",
                PART("application/sdp", "", "v=0\r\na=crypto:1 A inline:B")
                    PART("message/sipfrag", "", SIPFRAG "P-DCS-LAES: 1") "--b--\r\n",
                text);
    got = crossed(b, &m, &line, &trusted);
    assert_false(holds(&got, "a=crypto") || holds(&got, "LAES"));
    assert_true(holds(&got, "message/sipfrag"));
    bench_close(b);
}

/* ---- bounds ------------------------------------------------------------------------------------
 */
static void ninety_claims(void **state)
{
    struct bench *b = &bench;
    char text[SIP_MAX_BYTES], lines[SIP_MAX_BYTES];
    size_t n = 0;
    struct sip_msg m, got;
    (void)state;
    bench_open(b, NULL);
    for (unsigned i = 0; i < 90; i++) {
        n += (size_t)snprintf(lines + n, sizeof lines - n, "P-X%u: %u\r\n", i, i);
    }
    m = message(CLASS_SETUP, lines, "", text);
    got = crossed(b, &m, &line, &trusted);
    assert_false(holds(&got, "\r\nP-"));
    assert_int_equal(taken_out(b, RULE_P_OTHER), 90);
    n = (size_t)snprintf(lines, sizeof lines, "Refer-To: <sip:2@h?x=1");
    while (n < 7000) {
        n += (size_t)snprintf(lines + n, sizeof lines - n, "&y=1&x=1&P-X=1");
    }
    snprintf(lines + n, sizeof lines - n, ">\r\n");
    m = message(CLASS_OTHER, lines, "", text);
    got = crossed(b, &m, &line, &trusted);
    assert_true(holds(&got, "?x=1&x=1"));
    assert_false(holds(&got, "y=1") || holds(&got, "P-X"));
    bench_close(b);
}

/* Octets changed at random in what the boundary reads: what leaves is a message, and what was in no
 * header that passes is in none that left. */
static void mutations(void **state)
{
    static const char lines[] =
        "Reply-To: \"a?\" <sip:2@h;x=1?P-DCS-LAES=1&Subject=a%0d&y=2>, <sip:3@h?Replaces=%62>\r\n"
        "Privacy: user;id\r\nReason: SIP;cause=1, STIR;cause=2\r\nPriority: psap-callback\r\n"
        "P-Asserted-Identity: <sip:1@x>\r\nContent-Type: multipart/mixed;boundary=b\r\n";
    static const char body[] = PART("application/sdp", "", "v=0")
        PART("message/sipfrag", "", SIPFRAG "Diversion: <sip:9@x>\r\nSubject: a")
            PART("application/isup", "Content-Transfer-Encoding: 7bit\r\n", "1") "--b--\r\n";
    static const char octets[] = "<>\"\\?&=%;:,@ \t\r\n0aAyY/-";
    struct bench *b = &bench;
    char base[SIP_MAX_BYTES], text[SIP_MAX_BYTES];
    uint64_t draw = 88172645463325252u;
    unsigned passed = 0;
    (void)state;
    bench_open(b, NULL);
    (void)message(CLASS_OTHER, lines, body, base);
    for (unsigned i = 0; i < 20000; i++) {
        size_t from = (size_t)(strstr(base, "Reply-To") - base), n = strlen(base);
        struct sip_flow up = udp("127.0.9.11:5062");
        struct target to = {.who = trusted, .flow = udp("127.0.9.8:5060")};
        struct sip_msg m, got;
        struct forwarding f = {
            .m = &m, .from = line, .from_flow = up, .to = &to, .branch = "z9hG4bKown"};
        const char *why = "";
        memcpy(text, base, n + 1);
        for (unsigned k = 0; k < 1 + i % 4; k++) {
            draw ^= draw << 13;
            draw ^= draw >> 7;
            draw ^= draw << 17;
            text[from + draw % (n - from)] = octets[(draw >> 32) % (sizeof octets - 1)];
        }
        if (sip_frame(view_from(text, n), true, &m, &why) != E_OK || m.is_odd ||
            forward_request(b->w, &f, &n) != E_OK) {
            continue;
        }
        passed++;
        assert_int_equal(sip_frame(view_from(b->w->out, n), true, &got, &why), E_OK);
        assert_null(sip_header(&got, SIP_H_P_ASSERTED_IDENTITY, 0));
    }
    assert_true(passed > 5000);
    bench_close(b);
}

/* ---- what is refused ---------------------------------------------------------------------------
 */
#define TO_BOB "sip:" BOB "@" DOMAIN

static void refused_from_a_line(void **state)
{
    static const struct {
        const char *extra, *status; /* NULL: it arrives */
        enum boundary_rule_id rule;
    } rows[] = {
        {"Privacy: header;critical\r\n", "SIP/2.0 500 Privacy not available: header\r\n",
         RULE_PRIVACY},
        {"Privacy: critical;session;id;x\"y\r\n",
         "SIP/2.0 500 Privacy not available: session, ?\r\n", RULE_PRIVACY},
        {"Privacy: id\r\nPrivacy: session\r\nPrivacy: critical\r\n",
         "SIP/2.0 500 Privacy not available: session\r\n", RULE_PRIVACY},
        {"Privacy: id;critical\r\n", NULL, RULE_NONE},
        {"Privacy: header;session\r\n", NULL, RULE_NONE},
        {"Resource-Priority: ets.0\r\nRequire: resource-priority\r\n", "SIP/2.0 403 Forbidden\r\n",
         RULE_RESOURCE},
        {"Require: x, Resource-Priority\r\nResource-Priority: foo.1\r\n",
         "SIP/2.0 417 Unknown Resource-Priority\r\n", RULE_RESOURCE},
        {"Resource-Priority: ets.0\r\n", "SIP/2.0 403 Forbidden\r\n", RULE_RESOURCE},
        {"Resource-Priority: ets.0, ets.1\r\n", "SIP/2.0 400 Bad Request\r\n", RULE_RESOURCE},
        {"Resource-Priority: foo.1\r\n", NULL, RULE_NONE},
        {"Refer-To: <sip:2@h?P%252DAsserted-Identity=1>\r\n", "SIP/2.0 400 Bad Request\r\n",
         RULE_URI_ODD},
        {"Refer-To: <sip:2@h?P-Asserted-Identity=1>\r\n", NULL, RULE_NONE},
    };
    struct bench *b = &bench;
    (void)state;
    bench_open(b, NULL);
    b->set.calls_per_line = 100;
    phone_register(b, &b->bob);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char keep[3][96], text[TEXT_MAX];
        struct request r = invite_of(b, &b->alice, TO_BOB, keep);
        struct got got;
        forget_sent(b);
        r.extra = rows[i].extra;
        phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
        expect(b, &b->alice, rows[i].status != NULL ? rows[i].status : "SIP/2.0 100", &got);
        assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), rows[i].status == NULL);
        if (rows[i].rule != RULE_NONE) {
            assert_true(taken_out(b, rows[i].rule) > 0);
        } else {
            expect(b, &b->bob, "INVITE", &got);
            phone_answer(b, &b->bob, &got, 486, "bt", NULL);
        }
    }
    bench_close(b);
}

static const char from_gw[] =
    "INVITE sip:" BOB "@" DOMAIN " SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.9.8:5060;branch=z9hG4bKgw%u\r\nMax-Forwards: 70\r\n"
    "From: <sip:+441234@uk>;tag=p\r\nTo: <sip:x@" DOMAIN ">\r\nCall-ID: gw%u\r\nCSeq: 1 INVITE\r\n"
    "%sContact: <sip:g@127.0.9.8>\r\nContent-Length: 0\r\n\r\n";

/* Busy-line verification belongs into a first INVITE, breaking in and ringing into what follows. */
static void operator_services(void **state)
{
    struct bench *b = &bench;
    struct sip_flow gw = udp("127.0.9.6:5060"), peer = udp("127.0.9.8:5060");
    char text[TEXT_MAX];
    struct got got;
    (void)state;
    bench_open(b, NULL);
    with_operators(b);
    phone_register(b, &b->bob);
    snprintf(text, sizeof text, from_gw, 1u, 1u, "P-DCS-OSPS: EI\r\n");
    feed(b, &gw, text);
    assert_true(take(b, &gw.remote, "SIP/2.0 403", &got));
    assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
    assert_int_equal(taken_out(b, RULE_OSPS), 1);
    snprintf(text, sizeof text, from_gw, 2u, 2u, "P-DCS-OSPS: blv\r\n");
    feed(b, &gw, text);
    expect(b, &b->bob, "INVITE", &got);
    assert_true(holds(&got.m, "P-DCS-OSPS: blv\r\n"));
    snprintf(text, sizeof text, from_gw, 3u, 3u, "P-DCS-OSPS: BLV\r\n");
    forget_sent(b);
    feed(b, &peer, text); /* trusted, and no operator */
    assert_true(take(b, &peer.remote, "SIP/2.0 403", &got));
    assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
    bench_close(b);
}

/* RFC 3325 section 9.1: a gateway inside hears from us who answers, whatever the phone says. */
static void who_answers(void **state)
{
    struct bench *b = &bench;
    struct sip_flow gw = udp("127.0.9.8:5060");
    char text[TEXT_MAX], claims[TEXT_MAX];
    struct got invite, got;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    snprintf(text, sizeof text, from_gw, 1u, 1u, "");
    feed(b, &gw, text);
    expect(b, &b->bob, "INVITE", &invite);
    write_answer_text(&invite, 180, "bt", b->bob.contact, "", text, sizeof text);
    snprintf(claims, sizeof claims, "SIP/2.0 180 x\r\nP-Asserted-Identity: <sip:9@evil.test>%s",
             strchr(text, '\r'));
    phone_send(b, &b->bob, claims);
    assert_true(take(b, &gw.remote, "SIP/2.0 180", &got));
    assert_true(holds(&got.m, "<sip:" BOB "@" DOMAIN ">\r\n"));
    assert_non_null(sip_header(&got.m, SIP_H_P_ASSERTED_IDENTITY, 0));
    assert_false(holds(&got.m, "evil.test"));
    phone_answer(b, &b->bob, &invite, 486, "bt", NULL);
    assert_true(take(b, &gw.remote, "SIP/2.0 486", &got));
    assert_null(sip_header(&got.m, SIP_H_P_ASSERTED_IDENTITY, 0));
    bench_close(b);
}

static const char update_of_gw[] =
    "UPDATE sip:" BOB "@" DOMAIN " SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.9.8:5060;branch=z9hG4bKgwu%u\r\nMax-Forwards: 70\r\n"
    "From: <sip:+441234@uk>;tag=p\r\nTo: <sip:x@" DOMAIN ">;tag=bt\r\nCall-ID: gw%u\r\n"
    "CSeq: 2 UPDATE\r\n%sContact: <sip:g@127.0.9.8>\r\nContent-Length: 0\r\n\r\n";

/* Breaking in: only into a call that began as a verification, and only by who began it. */
static void operators_break_in(void **state)
{
    static const struct {
        const char *began, *asks;
        bool passes;
    } rows[] = {{"P-DCS-OSPS: BLV\r\n", "P-DCS-OSPS: EI\r\n", true},
                {"P-DCS-OSPS: BLV\r\n", "P-DCS-OSPS: RING\r\n", false},
                {"", "P-DCS-OSPS: EI\r\n", false},
                {"", "P-DCS-OSPS: BLV\r\n", false},
                {"", "", true}};
    struct bench *b = &bench;
    struct sip_flow gw = udp("127.0.9.6:5060");
    char text[TEXT_MAX];
    struct got got;
    (void)state;
    bench_open(b, NULL);
    with_operators(b);
    phone_register(b, &b->bob);
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(text, sizeof text, from_gw, i, i, rows[i].began);
        feed(b, &gw, text);
        expect(b, &b->bob, "INVITE", &got);
        phone_answer(b, &b->bob, &got, 180, "bt", NULL);
        assert_true(take(b, &gw.remote, "SIP/2.0 180", &got));
        snprintf(text, sizeof text, update_of_gw, i, i, rows[i].asks);
        feed(b, &gw, text);
        assert_int_equal(count_to(b, &b->bob.flow.remote, "UPDATE"), rows[i].passes);
        assert_int_equal(count_to(b, &gw.remote, "SIP/2.0 403"), !rows[i].passes);
        forget_sent(b);
    }
    bench_close(b);
}

/* 911 is never refused for what stands in it; what would lie to the PSAP is taken out. */
static void emergency_calls_pass(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    struct request r;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    r = invite_of(b, &b->alice, "sip:911@" DOMAIN, keep);
    r.extra = "Privacy: header;critical\r\nP-Asserted-Identity: <sip:9@evil.test>\r\n"
              "Resource-Priority: esnet.4\r\nRequire: resource-priority\r\n"
              "Refer-To: <sip:2@h?P%252DAsserted-Identity=evil.test>\r\n"
              "Geolocation: <cid:here@x>\r\nPriority: psap-callback\r\n";
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect_peer(b, "127.0.9.9:5060", "INVITE", &got);
    assert_true(holds(&got.m, "Geolocation: <cid:here@x>\r\n"));
    assert_false(holds(&got.m, "evil.test") || holds(&got.m, "esnet") ||
                 holds(&got.m, "psap-callback"));
    bench_close(b);
}

struct ladder {
    char notes[2000];
};

static void keep_note(void *arg, const struct trace_entry *e)
{
    struct ladder *l = arg;
    size_t n = strlen(l->notes);
    snprintf(l->notes + n, sizeof l->notes - n, "%.*s\n", (int)e->note.n, e->note.p);
}

/* The ladder tells the operator which rules a call met; the caller learns nothing of it. */
static void rules_stand_in_the_ladder(void **state)
{
    struct bench *b = &bench;
    char keep[3][96], text[TEXT_MAX];
    struct ladder l = {""};
    struct trace_call t;
    struct request r;
    struct got got;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    r = invite_of(b, &b->alice, TO_BOB, keep);
    r.extra = "P-DCS-LAES: 1\r\nDiversion: <sip:9@x>\r\nDiversion: <sip:8@x>\r\n";
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->bob, "INVITE", &got);
    assert_true(trace_find(b->w->trace, view_of(keep[1]), &t, keep_note, &l));
    assert_non_null(strstr(l.notes, "taken out: p_dcs_laes, diversion\n"));
    phone_answer(b, &b->bob, &got, 180, "bt", NULL);
    expect(b, &b->alice, "SIP/2.0 180", &got);
    r.method = "UPDATE";
    r.to_tag = "bt";
    r.branch = "z9hG4bKupdate";
    r.cseq = 2;
    r.extra = "Privacy: session;critical\r\n";
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->alice, "SIP/2.0 500", &got);
    l.notes[0] = 0;
    assert_true(trace_find(b->w->trace, view_of(keep[1]), &t, keep_note, &l));
    assert_non_null(strstr(l.notes, "refused: privacy\n"));
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_a_request),
        cmocka_unit_test(no_header_comes_by_a_name),
        cmocka_unit_test(names_of_a_response),
        cmocka_unit_test(every_row_on_every_way),
        cmocka_unit_test(every_spelling),
        cmocka_unit_test(privacy),
        cmocka_unit_test(tokens_stay_between_networks),
        cmocka_unit_test(headers_in_uris),
        cmocka_unit_test(signalling_in_bodies),
        cmocka_unit_test(keys_and_claims_of_one_body),
        cmocka_unit_test(ninety_claims),
        cmocka_unit_test(mutations),
        cmocka_unit_test(refused_from_a_line),
        cmocka_unit_test(operator_services),
        cmocka_unit_test(operators_break_in),
        cmocka_unit_test(who_answers),
        cmocka_unit_test(emergency_calls_pass),
        cmocka_unit_test(rules_stand_in_the_ladder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
