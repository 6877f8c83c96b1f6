/* RFC 4475 and RFC 5118: every message of their archives, octet for octet, and what a gate
 * controller does with it. The verdicts follow the RFCs' prose for a proxy.
 *
 * Each request is fed twice: by a stranger as it is, and by a gateway that is trusted, with its
 * Request-URI exchanged for a number that is at home here, because the RFCs' users are not. */
#include "tests/scenario/wild.h"

static struct bench bench;

enum fate { SILENCE, ANSWER, FORWARDED };

struct row {
    const char *name, *section;
    /* as it is, from a stranger: */
    unsigned status; /* 0: silence */
    const char *reason;
    /* from a gateway, to a number that is at home: */
    enum fate fate;
    unsigned gateway_status;
    const char *why; /* the RFC's words for a proxy, or why we differ */
};

#define UNKNOWN   407, "Proxy Authentication Required" /* well formed; but who are you? */
#define NOBODY    401, "Unauthorized"
#define NOTHING   0, ""
#define WSINV_TAG " ;   tag    = 1918181833n"

static const struct row rfc4475[] = {
    /* 3.1.1 valid */
    {"wsinv", "3.1.1.1", UNKNOWN, FORWARDED, 0, "all elements treat this as well formed"},
    {"intmeth", "3.1.1.2", UNKNOWN, FORWARDED, 0, "forwarded when its URI is defined at the proxy"},
    {"esc01", "3.1.1.3", UNKNOWN, FORWARDED, 0, "well formed; escapes are not ours to undo"},
    {"escnull", "3.1.1.4", NOBODY, ANSWER, 401, "well formed: parsers must accept it"},
    {"esc02", "3.1.1.5", UNKNOWN, FORWARDED, 0, "unknown method, two Contacts: forwarded"},
    {"lwsdisp", "3.1.1.6", UNKNOWN, FORWARDED, 0, "accepted as well formed"},
    {"longreq", "3.1.1.7", UNKNOWN, FORWARDED, 0, "well formed; 34 Vias"},
    {"dblreq", "3.1.1.8", NOBODY, ANSWER, 401, "octets behind the body are ignored"},
    {"semiuri", "3.1.1.9", UNKNOWN, FORWARDED, 0, "well formed"},
    {"transports", "3.1.1.10", UNKNOWN, FORWARDED, 0, "later Vias of any transport"},
    {"mpart01", "3.1.1.11", UNKNOWN, FORWARDED, 0, "NULs in a body"},
    {"unreason", "3.1.1.12", NOTHING, SILENCE, 0, "well formed; answers nothing that we asked"},
    {"noreason", "3.1.1.13", NOTHING, SILENCE, 0, "well formed; answers nothing that we asked"},
    /* 3.1.2 invalid */
    {"badinv01", "3.1.2.1", 400, "Bad Via", ANSWER, 400, "400"},
    {"clerr", "3.1.2.2", 400, "Bad Content-Length", ANSWER, 400, "400 over UDP"},
    {"ncl", "3.1.2.3", 400, "Bad Content-Length", ANSWER, 400, "an error"},
    {"scalar02", "3.1.2.4", 400, "Bad CSeq", ANSWER, 400, "400 because of CSeq"},
    {"scalarlg", "3.1.2.5", NOTHING, SILENCE, 0, "simply discarded"},
    {"quotbal", "3.1.2.6", 400, "Bad To", ANSWER, 400, "400"},
    {"ltgtruri", "3.1.2.7", 400, "Bad Request-URI", FORWARDED, 0, "reasonable always to reject"},
    {"lwsruri", "3.1.2.8", 400, "Bad request line", ANSWER, 400, "400"},
    {"lwsstart", "3.1.2.9", 400, "Bad Request-URI", ANSWER, 400, "acceptable to reject"},
    {"trws", "3.1.2.10", 400, "Bad request line", ANSWER, 400, "acceptable to reject"},
    {"escruri", "3.1.2.11", 400, "Headers in Request-URI", FORWARDED, 0, "400 is acceptable"},
    {"baddate", "3.1.2.12", UNKNOWN, FORWARDED, 0, "Date means nothing to us: it passes"},
    {"regbadct", "3.1.2.13", 400, "Bad Contact", ANSWER, 400, "400 is reasonable"},
    {"badaspec", "3.1.2.14", 400, "Bad To", ANSWER, 400, "400 is reasonable"},
    {"baddn", "3.1.2.15", 400, "Bad From", ANSWER, 400, "always reasonable to reject"},
    {"badvers", "3.1.2.16", 505, "Version Not Supported", ANSWER, 505, "505"},
    {"mismatch01", "3.1.2.17", 400, "CSeq method is not the request's", ANSWER, 400, "400"},
    {"mismatch02", "3.1.2.18", 501, "CSeq method is not the request's", ANSWER, 501, "501"},
    {"bigcode", "3.1.2.19", NOTHING, SILENCE, 0, "simply dropped"},
    /* 3.2 */
    {"badbranch", "3.2.1", UNKNOWN, FORWARDED, 0, "may fall back to the identifier of RFC 2543"},
    /* 3.3 */
    {"insuf", "3.3.1", 400, "Missing Call-ID", ANSWER, 400, "ideally 400"},
    {"unkscm", "3.3.2", 416, "Unsupported URI Scheme", FORWARDED, 0, "416"},
    {"novelsc", "3.3.3", 416, "Unsupported URI Scheme", FORWARDED, 0, "416 is appropriate"},
    {"unksm2", "3.3.4", NOBODY, ANSWER, 401, "as any other request for that URI"},
    {"bext01", "3.3.5", 420, "Bad Extension", ANSWER, 420, "420 with Unsupported"},
    {"invut", "3.3.6", UNKNOWN, FORWARDED, 0, "as any other INVITE"},
    {"regaut01", "3.3.7", NOBODY, ANSWER, 401, "401 with a scheme that we understand"},
    {"multi01", "3.3.8", 400, "Repeated CSeq", ANSWER, 400, "400"},
    {"mcl01", "3.3.9", 400, "Repeated Content-Length", ANSWER, 400, "an error"},
    {"bcast", "3.3.10", NOTHING, SILENCE, 0, "dropped, never sent to the broadcast address"},
    {"zeromf", "3.3.11", 200, "OK", ANSWER, 200, "not forwarded; OPTIONS is answered here (16.3)"},
    {"cparam01", "3.3.12", NOBODY, ANSWER, 401, "a registrar's; see registrations"},
    {"cparam02", "3.3.13", NOBODY, ANSWER, 401, "a registrar's; see registrations"},
    {"regescrt", "3.3.14", NOBODY, ANSWER, 401, "a registrar's; see registrations"},
    {"sdp01", "3.3.15", UNKNOWN, FORWARDED, 0, "what the answer holds is the callee's matter"},
    /* in the archive, not in the text */
    {"test", "none", NOTHING, SILENCE, 0, "no version, no Via, no CSeq: nobody to answer"},
    /* 3.4 */
    {"inv2543", "3.4.1", UNKNOWN, FORWARDED, 0, "legal by RFC 2543: no branch, no tag, no length"},
};

static const struct row rfc5118[] = {
    {"ipv6-good", "4.1", NOBODY, ANSWER, 401, "well formed"},
    {"ipv6-bad", "4.2", 400, "Bad Request-URI", ANSWER, 401, "400; the URI was the mistake"},
    {"port-ambiguous", "4.3", NOBODY, ANSWER, 401, "well formed, though not what was meant"},
    {"port-unambiguous", "4.4", NOBODY, ANSWER, 401, "well formed"},
    {"via-received-param-with-delim", "4.5", UNKNOWN, ANSWER, 481, "must be parsed"},
    {"via-received-param-no-delim", "4.5", UNKNOWN, FORWARDED, 0, "must be parsed"},
    {"ipv6-in-sdp", "4.6", 400, "Body is not as long as Content-Length", FORWARDED, 0,
     "well formed; its length is an erratum of the archive"},
    {"mult-ip-in-header", "4.7", UNKNOWN, ANSWER, 481, "well formed; of no call of ours"},
    {"mult-ip-in-sdp", "4.8", 400, "Body is not as long as Content-Length", FORWARDED, 0,
     "well formed; its length is an erratum of the archive"},
    {"ipv4-mapped-ipv6", "4.9", UNKNOWN, FORWARDED, 0, "well formed"},
    {"ipv6-bug-abnf-3-colons", "4.10", UNKNOWN, FORWARDED, 0, "must be tolerated"},
    {"ipv6-correct-abnf-2-colons", "4.10", UNKNOWN, FORWARDED, 0, "well formed"},
};

static unsigned wrong(const struct row *r, const char *what, unsigned status, const char *reason)
{
    print_error("%s (%s, %s) %s: %u %s\n", r->name, r->section, r->why, what, status, reason);
    return 1;
}

/* ---- from a stranger, as it is -----------------------------------------------------------------
 */
static unsigned by_stranger(const char *folder, const struct row *r)
{
    struct bench *b = &bench;
    struct sip_flow stranger = flow_of(AS_STRANGER);
    struct got got;
    char text[TEXT_MAX], reason[128] = "";
    size_t n = load_file(folder, r->name, text);
    unsigned status = 0, bad = 0;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    forget_sent(b);
    feed_view(b, &stranger, view_from(text, n));
    for (unsigned i = 0; i < b->n_sent; i++) {
        check_octets(&b->sent[i]);
        assert_true(net_eq(&b->sent[i].to.remote, &stranger.remote));
        assert_true(b->sent[i].n < n + 400); /* worth no spoofed source */
    }
    assert_true(b->n_sent <= 1);
    status = raw_answer_to(b, &stranger.remote, reason);
    if (status != r->status || strcmp(reason, r->reason) != 0) {
        bad = wrong(r, "from a stranger", status, reason);
    }
    assert_false(arrived(b, &b->bob, &got));
    assert_int_equal(workers_calls(b->ws), 0);
    bench_close(b);
    return bad;
}

/* ---- from a gateway, to a number of ours -------------------------------------------------------
 */
/* What a proxy changes (RFC 3261 section 16.6), and no more; From is written by us (gc/identity.h),
 * and means the same; what no line is given (docs/identity.md) is gone. */
static bool may_change(const struct sip_hdr *h)
{
    return h->id == SIP_H_VIA || h->id == SIP_H_FROM || h->id == SIP_H_MAX_FORWARDS ||
           h->id == SIP_H_ROUTE || h->id == SIP_H_IDENTITY;
}

static unsigned vias(const struct sip_msg *m, struct sip_via out[SIP_MAX_LIST])
{
    unsigned n = 0;
    for (unsigned i = 0; i < m->n_headers; i++) {
        struct sip_list l = sip_list_over(m->h[i].value);
        struct view one;
        while (m->h[i].id == SIP_H_VIA && sip_list_next(&l, &one)) {
            assert_true(n < SIP_MAX_LIST);
            assert_int_equal(sip_via_parse(one, &out[n++]), E_OK);
        }
    }
    return n;
}

static uint64_t hops(const struct sip_msg *m)
{
    uint64_t n = 71;
    struct view v = sip_header_value(m, SIP_H_MAX_FORWARDS);
    assert_true(v.n == 0 || view_to_u64(v, 255, &n) == E_OK);
    return n;
}

static void check_from(const struct sip_msg *sent, const struct sip_msg *got)
{
    struct sip_name_addr before, after;
    assert_true(view_eq(sent->from_tag, got->from_tag));
    if (sip_name_addr_parse(sip_header_value(sent, SIP_H_FROM), &before) == E_OK) {
        assert_int_equal(sip_name_addr_parse(sip_header_value(got, SIP_H_FROM), &after), E_OK);
        assert_true(view_eq(before.uri_text, after.uri_text));
        assert_true(view_eq(before.display, after.display));
    }
}

static void check_intact(const struct row *r, const struct sip_msg *sent, const struct sip_msg *got)
{
    static struct sip_via before[SIP_MAX_LIST], after[SIP_MAX_LIST];
    unsigned n = vias(sent, before);
    for (unsigned i = 0; i < sent->n_headers; i++) {
        if (!may_change(&sent->h[i]) && !has_line(got, sent->h[i].line)) {
            fail_msg("%s: lost or changed: %.*s", r->name, (int)sent->h[i].line.n,
                     sent->h[i].line.p);
        }
    }
    check_from(sent, got);
    assert_int_equal(vias(got, after), n + 1);
    for (unsigned i = 0; i < n; i++) {
        assert_true(view_eq(before[i].host, after[i + 1].host));
        assert_true(view_eq(before[i].branch, after[i + 1].branch));
        assert_true(view_eq(before[i].transport, after[i + 1].transport));
    }
    assert_true(view_eq(after[1].received, VIEW("127.0.9.8")));
    assert_int_equal(hops(got), (hops(sent) > 71 ? 71 : hops(sent)) - 1);
    assert_true(view_eq(got->method_text, sent->method_text));
    assert_true(view_eq(got->body, sent->body));
    assert_null(sip_header(got, SIP_H_ROUTE, 0)); /* theirs do not steer us */
    assert_non_null(sip_header(got, SIP_H_CONTENT_LENGTH, 0));
}

/* Requests whose start line is the very thing that is wrong stay as they are. */
static bool has_a_uri(const struct row *r, const char *text)
{
    static const char *const rows[] = {"lwsstart", "lwsruri", "trws", "test"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(r->name, rows[i]) == 0) {
            return false;
        }
    }
    return strncmp(text, "SIP/2.0 ", 8) != 0;
}

static unsigned by_gateway(const char *folder, const struct row *r)
{
    static char buf[SIP_MAX_BYTES];
    struct bench *b = &bench;
    struct sip_flow gw = flow_of(AS_GATEWAY);
    struct got got;
    struct sip_msg m;
    const char *why = "";
    char text[TEXT_MAX], reason[128] = "";
    size_t n = load_file(folder, r->name, text);
    unsigned status = 0, bad = 0;
    bool came = false;
    if (has_a_uri(r, text)) {
        n = retarget(text, n, "sip:" BOB "@" DOMAIN);
    }
    n = exchange(text, n, WSINV_TAG, ""); /* of a call that began elsewhere */
    n = exchange(text, n, "Content-Length: 268", "Content-Length: 242"); /* as they are meant */
    n = exchange(text, n, "Content-Length: 181", "Content-Length: 180");
    n = exchange(text, n, "longlonglong", "long"); /* longreq: to 255 octets in the URI of To */
    n = exchange(text, n, "namenamename", "name");
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    forget_sent(b);
    feed_view(b, &gw, view_from(text, n));
    came = arrived(b, &b->bob, &got);
    status = raw_answer_to(b, &gw.remote, reason);
    if (came != (r->fate == FORWARDED) || status != r->gateway_status) {
        bad = wrong(r, came ? "from a gateway, forwarded" : "from a gateway", status, reason);
    } else if (came) {
        assert_int_equal(sip_frame(view_from(text, n), true, &m, &why), E_OK);
        if (m.is_odd) {
            assert_int_equal(sip_frame_plain(&m, true, buf, &m), E_OK);
        }
        check_intact(r, &m, &got.m);
    }
    bench_close(b);
    return bad;
}

static void all_of_rfc4475(void **state)
{
    unsigned bad = 0;
    (void)state;
    for (size_t i = 0; i < sizeof rfc4475 / sizeof rfc4475[0]; i++) {
        bad += by_stranger("rfc4475", &rfc4475[i]) + by_gateway("rfc4475", &rfc4475[i]);
    }
    assert_int_equal(bad, 0);
}

/* Line ends as they stand in that archive: no line of theirs ends, so there is nobody to answer. */
static void bare_line_ends(void **state)
{
    struct bench *b = &bench;
    (void)state;
    bench_open(b, NULL);
    for (size_t i = 0; i < sizeof rfc5118 / sizeof rfc5118[0]; i++) {
        char text[TEXT_MAX];
        struct sip_flow gw = flow_of(AS_GATEWAY);
        size_t n = load_file("rfc5118", rfc5118[i].name, text);
        n = exchange(text, n, "\r\n", "\n");
        feed_view(b, &gw, view_from(text, n));
    }
    assert_int_equal(b->n_sent, 0);
    bench_close(b);
}

static void all_of_rfc5118(void **state)
{
    unsigned bad = 0;
    (void)state;
    for (size_t i = 0; i < sizeof rfc5118 / sizeof rfc5118[0]; i++) {
        bad += by_stranger("rfc5118", &rfc5118[i]) + by_gateway("rfc5118", &rfc5118[i]);
    }
    assert_int_equal(bad, 0);
}

/* ---- the same on a connection ------------------------------------------------------------------
 */
struct cut {
    const char *name;
    enum err e;   /* E_STATE: waits for more; E_PARSE: the connection closes */
    size_t bytes; /* of the first message; 0: the whole file */
    const char *why;
};

static void on_a_stream(void **state)
{
    static const struct cut rows[] = {
        {"wsinv", E_OK, 0, "folds end no line"},
        {"mpart01", E_OK, 0, "NULs in a body end nothing"},
        {"longreq", E_OK, 0, ""},
        {"dblreq", E_OK, 0, "two messages: the second is one of its own"},
        {"clerr", E_PARSE, 0, "3.1.2.2: more than we would ever take: no use to wait"},
        {"ncl", E_PARSE, 0, "3.1.2.3: the framing error is not recoverable"},
        {"mcl01", E_PARSE, 0, "3.3.9: the same"},
        {"inv2543", E_PARSE, 0, "no length: where the next one begins is unknown"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[TEXT_MAX];
        size_t n = load_file("rfc4475", rows[i].name, text), skip = 0, bytes = 0;
        bool ping = false;
        enum err e = sip_stream_cut(view_from(text, n), &skip, &bytes, &ping);
        if (e != rows[i].e) {
            fail_msg("%s (%s): %s", rows[i].name, rows[i].why, err_name(e));
        }
        if (strcmp(rows[i].name, "dblreq") == 0) {
            const char *second = memmem(text, n, "INVITE sip:joe", 14);
            size_t first = bytes;
            assert_true(second != NULL && bytes <= (size_t)(second - text));
            assert_int_equal(
                sip_stream_cut(view_from(text + first, n - first), &skip, &bytes, &ping), E_OK);
            assert_ptr_equal(text + first + skip, second);
        } else if (e == E_OK) {
            assert_int_equal(bytes, n);
        }
    }
}

/* ---- registrations (3.3.12 to 3.3.14, 3.1.1.4) -------------------------------------------------
 */
struct registration {
    const char *name, *whose; /* the name that the file has for the line */
    unsigned status;
    const char *reason, *holds; /* holds: in the answer */
    const char *why;
};

static void registrations(void **state)
{
    static const struct registration rows[] = {
        {"cparam01", "watson@example.com", 200, "OK",
         "Contact: <sip:+19725552222@gw1.example.net>;expires=",
         "unknownparam is the Contact's: it is no part of the URI"},
        {"cparam02", "watson@example.com", 200, "OK",
         "Contact: <sip:+19725552222@gw1.example.net;unknownparam>;expires=",
         "unknownparam is the URI's: it stays"},
        {"dblreq", "j.user@example.com", 200, "OK", "Contact: <sip:j.user@host.example.com>", ""},
        {"escnull", "null-%00-null@example.com", 200, "OK",
         "Contact: <sip:%00%00@host5.example.com>",
         "two contacts that differ by what stands behind the NUL"},
        {"regescrt", "user@example.com", 400, "Contact cannot be used", "",
         "the RFC lets it register; a URI that brings headers along is a door for them (19.1.5)"},
        {"regbadct", "user@example.com", 400, "Bad Contact", "", "400"},
        {"regaut01", "j.user@example.com", 200, "OK", "", "a scheme that is not for us"},
        {"unksm2", "user@example.com", 400, "To is not a SIP URI", "", "400: To must be a SIP URI"},
        {"ipv6-good", "user@example.com", 200, "OK", "Contact: <sip:caller@[2001:db8::1]>", ""},
    };
    struct bench *b = &bench;
    struct got got;
    char text[TEXT_MAX], reason[128];
    unsigned bad = 0;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct registration *r = &rows[i];
        bool is_v6 = strncmp(r->name, "ipv6", 4) == 0;
        size_t n = load_file(is_v6 ? "rfc5118" : "rfc4475", r->name, text);
        struct sip_msg m;
        const char *why = "";
        unsigned status = 0;
        bench_open(b, NULL);
        if (sip_frame(view_from(text, n), true, &m, &why) == E_OK) {
            n = m.raw.n; /* what stands behind the body is not the phone's */
        }
        n = retarget(text, n, "sip:" DOMAIN);
        n = exchange(text, n, r->whose, ALICE "@" DOMAIN);
        text[n] = 0;
        n = phone_seal(&b->alice, text, n, sizeof text, "Authorization");
        feed_view(b, &b->alice.flow, view_from(text, n));
        status = answer_to(b, &b->alice.flow.remote, reason, &got);
        if (status != r->status || strcmp(reason, r->reason) != 0 ||
            (r->holds[0] != 0 && !holds(&got.m, r->holds))) {
            print_error("%s (%s): %u %s\n", r->name, r->why, status, reason);
            bad++;
        }
        bench_close(b);
    }
    assert_int_equal(bad, 0);
}

/* ---- answers of a callee -----------------------------------------------------------------------
 */
/* The file's status line and body as the answer to an INVITE of ours. */
static size_t answer_like(const char *file, const struct got *invite, char out[TEXT_MAX])
{
    char text[TEXT_MAX], line[256];
    size_t n = load_file("rfc4475", file, text), out_n = 0;
    char *eol = memmem(text, n, "\r\n", 2), *body = memmem(text, n, "\r\n\r\n", 4);
    int k = snprintf(line, sizeof line, "%.*s", (int)(eol - text), text);
    size_t body_n = n - (size_t)(body + 4 - text), at = 0;
    assert_int_equal(sip_response(&invite->m, 180, NULL, VIEW("bt"), NULL, 0,
                                  VIEW("Contact: <sip:bob@127.0.9.12>\r\n"),
                                  VIEW("application/sdp"), view_from(body + 4, body_n), out,
                                  TEXT_MAX - 1, &out_n),
                     E_OK);
    out[out_n] = 0;
    at = (size_t)(strstr(out, "\r\n") - out);
    memmove(out + k, out + at, out_n - at + 1);
    memcpy(out, line, (size_t)k);
    return out_n - at + (size_t)k;
}

static void reason_phrases_pass(void **state)
{
    struct bench *b = &bench;
    struct got got, invite;
    char keep[3][96], text[TEXT_MAX];
    struct request r;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    r = invite_of(b, &b->alice, "sip:" BOB "@" DOMAIN, keep);
    phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
    expect(b, &b->bob, "INVITE", &invite);
    (void)answer_like("noreason", &invite, text);
    memcpy(text + 8, "183", 3); /* 100 goes no further than one hop */
    phone_send(b, &b->bob, text);
    expect(b, &b->alice, "SIP/2.0 183 \r\n", &got);
    (void)answer_like("bigcode", &invite, text);
    phone_send(b, &b->bob, text);
    (void)answer_like("unreason", &invite, text);
    phone_send(b, &b->bob, text);
    expect(b, &b->alice, "SIP/2.0 200 = 2**3 * 5**2 \320\275\320\276", &got);
    assert_true(holds(&got.m, "a=rtpmap:31 LPC"));
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 4"), 0);
    bench_close(b);
}

/* The MAC covers the octets as they came, folds included; what goes on has none, under our own MAC.
 */
static void a_sealed_fold(void **state)
{
    struct bench *b = &bench;
    struct got got;
    char text[TEXT_MAX];
    size_t n = load_file("rfc4475", "wsinv", text);
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    n = retarget(text, n, "sip:" BOB "@" DOMAIN);
    n = exchange(text, n, "sip:jdrosen@example.com", "sip:" ALICE "@" DOMAIN);
    n = exchange(text, n, WSINV_TAG, "");
    n = phone_seal(&b->alice, text, n, sizeof text, "Proxy-Authorization");
    feed_view(b, &b->alice.flow, view_from(text, n));
    expect(b, &b->bob, "INVITE", &got);
    assert_false(got.m.is_odd);
    assert_true(holds(&got.m, "from   : \"Alice \\\"A\\\"\" <sip:" ALICE "@" DOMAIN ">"));
    assert_true(
        holds(&got.m, "NewFangledHeader:   newfangled value   continued newfangled value\r\n"));
    assert_true(holds(&got.m, "UnknownHeaderWithUnusualValue: ;;,,;;,;\r\n"));
    forget_sent(b);
    /* the same with one fold undone on the way: not what the phone sealed */
    n = exchange(text, n, "cseq: 0009\r\n  INVITE", "cseq: 0009    INVITE");
    n = exchange(text, n, "wsinv.ndaksdj", "wsinv.ndaksdk");
    feed_view(b, &b->alice.flow, view_from(text, n));
    assert_int_equal(count_to(b, &b->bob.flow.remote, "INVITE"), 0);
    assert_int_equal(count_to(b, &b->alice.flow.remote, "SIP/2.0 407"), 1);
    bench_close(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_rfc4475), cmocka_unit_test(all_of_rfc5118),
        cmocka_unit_test(bare_line_ends), cmocka_unit_test(on_a_stream),
        cmocka_unit_test(registrations),  cmocka_unit_test(reason_phrases_pass),
        cmocka_unit_test(a_sealed_fold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
