#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "signaling/sip_msg.h"

/* The parts of a request that every case below changes. */
#define LINE  "INVITE sip:+12125551212@gc.example.net;user=phone SIP/2.0\r\n"
#define VIA   "Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bKabc;rport\r\n"
#define FROM  "From: \"Alice \\\"A\\\"\" <sip:+12125550001@example.net>;tag=f1\r\n"
#define TO    "To: <sip:+12125551212@example.net>\r\n"
#define ID    "Call-ID: a84b4c76e66710@127.0.0.1\r\n"
#define CSEQ  "CSeq: 314159 INVITE\r\n"
#define MF    "Max-Forwards: 70\r\n"
#define FIVE  VIA FROM TO ID CSEQ
#define OTHER "Contact: <sip:a@127.0.0.1:5070;transport=udp>\r\nSupported: 100rel, timer\r\n"
#define BODY  "Content-Type: application/sdp\r\nContent-Length: 4\r\n\r\nv=0\n"
#define END   "Content-Length: 0\r\n\r\n"

static const char good[] = LINE FIVE MF OTHER BODY;

static enum err frame(struct view raw, bool is_datagram, struct sip_msg *m, const char **why)
{
    *why = NULL;
    return sip_frame(raw, is_datagram, m, why);
}

static bool inside(struct view v, struct view raw)
{
    return v.n == 0 || (v.p >= raw.p && v.p + v.n <= raw.p + raw.n);
}

/* Whatever the verdict: no view leaves the message. */
static void views_inside(const struct sip_msg *m, struct view raw)
{
    const struct view all[] = {m->raw,          m->head,           m->body,          m->method_text,
                               m->uri,          m->reason,         m->call_id,       m->from_tag,
                               m->to_tag,       m->via.host,       m->via.transport, m->via.branch,
                               m->via.received, m->via.first_value};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_true(inside(all[i], raw));
    }
    assert_true(m->n_headers <= SIP_MAX_HEADERS);
    for (unsigned i = 0; i < m->n_headers; i++) {
        assert_true(inside(m->h[i].name, raw));
        assert_true(inside(m->h[i].value, raw));
        assert_true(inside(m->h[i].line, raw));
        assert_true(m->h[i].value.n == 0 || inside(m->h[i].value, m->h[i].line));
    }
}

static void takes_a_message_apart(void **state)
{
    (void)state;
    struct sip_msg m;
    const char *why = NULL;
    assert_int_equal(frame(view_of(good), true, &m, &why), E_OK);
    assert_true(m.is_request && m.can_answer);
    assert_int_equal(m.method, SIP_M_INVITE);
    assert_true(view_eq(m.uri, VIEW("sip:+12125551212@gc.example.net;user=phone")));
    assert_true(view_eq(m.call_id, VIEW("a84b4c76e66710@127.0.0.1")));
    assert_true(view_eq(m.from_tag, VIEW("f1")));
    assert_int_equal(m.to_tag.n, 0);
    assert_int_equal(m.cseq, 314159);
    assert_true(view_eq(m.via.transport, VIEW("UDP")));
    assert_true(view_eq(m.via.host, VIEW("127.0.0.1")));
    assert_int_equal(m.via.port, 5070);
    assert_true(view_eq(m.via.branch, VIEW("z9hG4bKabc")));
    assert_true(m.via.has_rport && m.via.rport == 0);
    assert_true(view_eq(m.body, VIEW("v=0\n")));
    assert_int_equal(m.head.n + m.body.n, m.raw.n);
    assert_int_equal(m.n_headers, 10);
    assert_true(sip_list_has(&m, SIP_H_SUPPORTED, VIEW("timer")));
    assert_false(sip_list_has(&m, SIP_H_SUPPORTED, VIEW("time")));
    assert_int_equal(sip_header_index(&m, sip_header(&m, SIP_H_TO, 0)), 2);
    assert_null(sip_header(&m, SIP_H_ROUTE, 0));
    assert_non_null(sip_header_named(&m, VIEW("max-forwards")));
    views_inside(&m, view_of(good));
}

static void takes_a_response_apart(void **state)
{
    (void)state;
    struct sip_msg m;
    const char *why = NULL;
    const char *text = "SIP/2.0 180 Ringing now\r\nv: SIP/2.0/TLS [2001:db8::9]:5061"
                       ";branch=z9hG4bK1;received=127.0.0.9;rport=9, SIP/2.0/UDP b.example\r\n"
                       "f: sip:a@b.example;tag=1\r\nt: <tel:+12125551212>;tag=2\r\ni: x\r\n"
                       "CSEQ:7\tOPTIONS\r\nl: 0\r\n\r\n";
    assert_int_equal(frame(view_of(text), false, &m, &why), E_OK);
    assert_false(m.is_request || m.can_answer);
    assert_int_equal(m.status, 180);
    assert_true(view_eq(m.reason, VIEW("Ringing now")));
    assert_int_equal(m.method, SIP_M_OPTIONS);
    assert_true(view_eq(m.via.host, VIEW("2001:db8::9")));
    assert_true(view_eq(m.via.received, VIEW("127.0.0.9")));
    assert_int_equal(m.via.rport, 9);
    assert_true(view_eq(m.to_tag, VIEW("2")));
}

struct refusal {
    const char *name, *text, *why;
    bool can_answer;
    unsigned status;
};

/* NULL text octets cannot stand in these: see nul_in_the_head. */
static const struct refusal refusals[] = {
    /* ends of lines */
    {"bare CR hides a header",
     LINE FIVE "Subject: hi\rP-Asserted-Identity: <sip:e@x.example>\r\n" END, "Bare CR", true, 400},
    {"bare LF hides a header",
     LINE FIVE "Subject: hi\nP-Asserted-Identity: <sip:e@x.example>\r\n" END, "Bare LF", true, 400},
    {"bare LF in the start line", "INVITE sip:a@b.example\n SIP/2.0\r\n" FIVE END, "Bare LF", false,
     400},
    {"CR CR LF", LINE FIVE "Subject: hi\r\r\n" END, "Bare CR", true, 400},
    {"control octet", LINE FIVE "Subject: \001\r\n" END, "Control character in head", true, 400},
    {"DEL", LINE FIVE "Subject: \177\r\n" END, "Control character in head", true, 400},
    {"control octet behind two backslashes",
     LINE FIVE "Contact: \"\\\\\001\" <sip:a@b.example>\r\n" END, "Control character in head", true,
     400},
    {"control octet behind a backslash, not quoted",
     LINE FIVE "Contact: a\\\001 <sip:a@b.example>\r\n" END, "Control character in head", true,
     400},
    {"control octet behind a backslash in no address", LINE FIVE "Subject: \"\\\001\"\r\n" END,
     "Control character in head", true, 400},
    {"bare LF behind a backslash", LINE FIVE "Contact: \"\\\nX: y\" <sip:a@b.example>\r\n" END,
     "Bare LF", true, 400},
    {"control octet behind a backslash in the start line",
     "INVITE sip:a\\\001@b.example SIP/2.0\r\n" FIVE END, "Control character in head", false, 400},
    {"no end of head", LINE FIVE "Subject: x\r\n", "Head not complete", true, 400},
    {"blank continuation", LINE FIVE "Subject: x\r\n \t\r\n" END, "Blank line in head", true, 400},
    /* start line */
    {"CRLF in the method", "INV\r\nITE sip:a@b.example SIP/2.0\r\n" FIVE END, "Bad method", false,
     400},
    {"script as method", "<script> sip:a@b.example SIP/2.0\r\n" FIVE END, "Bad method", false, 400},
    {"method of 65",
     "AAAAAAAAAABBBBBBBBBBCCCCCCCCCCDDDAAAAAAAAAABBBBBBBBBBCCCCCCCCCCDD sip:a@b.example "
     "SIP/2.0\r\n" FIVE END,
     "Bad method", false, 400},
    {"no method", " sip:a@b.example SIP/2.0\r\n" FIVE END, "Bad method", false, 400},
    {"SIP/7.0", "INVITE sip:a@b.example SIP/7.0\r\n" FIVE END, "Version Not Supported", true, 505},
    {"SIP/2.00", "INVITE sip:a@b.example SIP/2.00\r\n" FIVE END, "Version Not Supported", true,
     505},
    {"sip/2.0", "INVITE sip:a@b.example sip/2.0\r\n" FIVE END, "Version Not Supported", true, 505},
    {"HTTP/1.1", "INVITE sip:a@b.example HTTP/1.1\r\n" FIVE END, "Bad request line", false, 400},
    {"no version", "INVITE sip:a@b.example\r\n" FIVE END, "Bad Request-URI", false, 400},
    {"blank at the end of the line", "INVITE sip:a@b.example SIP/2.0 \r\n" FIVE END,
     "Bad request line", true, 400},
    {"two blanks", "INVITE  sip:a@b.example  SIP/2.0\r\n" FIVE END, "Bad Request-URI", true, 400},
    {"tab", "INVITE\tsip:a@b.example SIP/2.0\r\n" FIVE END, "Bad method", true, 400},
    {"%00 in the Request-URI", "INVITE sip:+12125551212%00evil@h.example SIP/2.0\r\n" FIVE END,
     "Bad Request-URI", true, 400},
    {"%zz in the Request-URI", "INVITE sip:a%zz@h.example SIP/2.0\r\n" FIVE END, "Bad Request-URI",
     true, 400},
    {"% at the end of the Request-URI", "INVITE sip:h.example;x=%4 SIP/2.0\r\n" FIVE END,
     "Bad Request-URI", true, 400},
    {"%00 of an unknown scheme", "INVITE foo:a%00 SIP/2.0\r\n" FIVE END, "Bad Request-URI", true,
     400},
    {"eight-bit Request-URI", "INVITE sip:\303\244@h.example SIP/2.0\r\n" FIVE END,
     "Bad Request-URI", true, 400},
    {"no scheme", "INVITE h.example SIP/2.0\r\n" FIVE END, "Bad Request-URI", true, 400},
    {"two @", "INVITE sip:a@b@h.example SIP/2.0\r\n" FIVE END, "Bad Request-URI", true, 400},
    /* status line */
    {"200abc", "SIP/2.0 200abc OK\r\n" FIVE END, "Bad status line", false, 400},
    {"-5", "SIP/2.0 -5 OK\r\n" FIVE END, "Bad status line", false, 400},
    {"99999", "SIP/2.0 99999 OK\r\n" FIVE END, "Bad status line", false, 400},
    {"no second blank", "SIP/2.0 200\r\n" FIVE END, "Bad status line", false, 400},
    {"099", "SIP/2.0 099 OK\r\n" FIVE END, "Bad status code", false, 400},
    {"700", "SIP/2.0 700 OK\r\n" FIVE END, "Bad status code", false, 400},
    {"two digits", "SIP/2.0 20 OK then\r\n" FIVE END, "Bad status line", false, 400},
    {"SIP/3.0 status", "SIP/3.0 200 OK\r\n" FIVE END, "Bad method", false, 400},
    /* header lines */
    {"no colon", LINE FIVE "Subject\r\n" END, "Header line without name", true, 400},
    {"no name", LINE FIVE ": x\r\n" END, "Header line without name", true, 400},
    {"blank name", LINE FIVE "Sub ject: x\r\n" END, "Bad header name", true, 400},
    {"name in brackets", LINE FIVE "<x>: y\r\n" END, "Bad header name", true, 400},
    {"continued start line", LINE " X: y\r\n" FIVE END, "Bad header name", true, 400},
    {"missing Via", LINE FROM TO ID CSEQ END, "Missing Via", false, 400},
    {"missing From", LINE VIA TO ID CSEQ END, "Missing From", true, 400},
    {"missing To", LINE VIA FROM ID CSEQ END, "Missing To", true, 400},
    {"missing Call-ID", LINE VIA FROM TO CSEQ END, "Missing Call-ID", true, 400},
    {"missing CSeq", LINE VIA FROM TO ID END, "Missing CSeq", false, 400},
    {"empty Call-ID", LINE VIA FROM TO "Call-ID: \r\n" CSEQ END, "Missing Call-ID", true, 400},
    {"repeated From, compact", LINE FIVE "f: <sip:x@y.example>\r\n" END, "Repeated From", true,
     400},
    {"repeated To, compact", LINE FIVE "T: <sip:x@y.example>\r\n" END, "Repeated To", true, 400},
    {"repeated Call-ID, compact", LINE FIVE "i: x\r\n" END, "Repeated Call-ID", true, 400},
    {"repeated CSeq", LINE FIVE CSEQ END, "Repeated CSeq", true, 400},
    {"repeated Max-Forwards", LINE FIVE MF "MAX-FORWARDS : 1\r\n" END, "Repeated Max-Forwards",
     true, 400},
    {"repeated Content-Length, compact", LINE FIVE "l: 0\r\n" END, "Repeated Content-Length", true,
     400},
    {"repeated Content-Type, compact", LINE FIVE "c: a/b\r\nContent-Type: application/sdp\r\n" END,
     "Repeated Content-Type", true, 400},
    {"folded Content-Length", LINE FIVE "Content-Length:\r\n 0\r\n\r\n", "Folded Content-Length",
     true, 400},
    /* CSeq, lengths, numbers */
    {"CSeq of another method", LINE VIA FROM TO ID "CSeq: 1 BYE\r\n" END,
     "CSeq method is not the request's", true, 400},
    {"CSeq in other case", LINE VIA FROM TO ID "CSeq: 1 invite\r\n" END,
     "CSeq method is not the request's", true, 400},
    {"CSeq of another method than an unknown one",
     "FOO sip:a@b.example SIP/2.0\r\n" VIA FROM TO ID "CSeq: 1 BAR\r\n" END,
     "CSeq method is not the request's", true, 501},
    {"CSeq 2^31", LINE VIA FROM TO ID "CSeq: 2147483648 INVITE\r\n" END, "Bad CSeq", true, 400},
    {"CSeq overflow", LINE VIA FROM TO ID "CSeq: 99999999999999 INVITE\r\n" END, "Bad CSeq", true,
     400},
    {"CSeq past 64 bits", LINE VIA FROM TO ID "CSeq: 36893488147419103232 INVITE\r\n" END,
     "Bad CSeq", true, 400},
    {"CSeq without blank", LINE VIA FROM TO ID "CSeq: 1INVITE\r\n" END, "Bad CSeq", false, 400},
    {"CSeq negative", LINE VIA FROM TO ID "CSeq: -1 INVITE\r\n" END, "Bad CSeq", false, 400},
    {"CSeq with more", LINE VIA FROM TO ID "CSeq: 1 INVITE x\r\n" END, "Bad CSeq", false, 400},
    {"Content-Length -999", LINE FIVE "Content-Length: -999\r\n\r\n", "Bad Content-Length", true,
     400},
    {"Content-Length 4x", LINE FIVE "Content-Length: 4x\r\n\r\nbody", "Bad Content-Length", true,
     400},
    {"Content-Length +4", LINE FIVE "Content-Length: +4\r\n\r\nbody", "Bad Content-Length", true,
     400},
    {"Content-Length empty", LINE FIVE "Content-Length:\r\n\r\n", "Bad Content-Length", true, 400},
    {"Content-Length 2^64", LINE FIVE "Content-Length: 18446744073709551616\r\n\r\n",
     "Bad Content-Length", true, 400},
    {"Content-Length past the datagram", LINE FIVE "Content-Length: 5\r\n\r\nbody",
     "Body is not as long as Content-Length", true, 400},
    {"body without Content-Type", LINE FIVE "Content-Length: 4\r\n\r\nbody",
     "Body without Content-Type", true, 400},
    {"Max-Forwards 256", LINE FIVE "Max-Forwards: 256\r\n" END, "Bad Max-Forwards", true, 400},
    {"Max-Forwards -1", LINE FIVE "Max-Forwards: -1\r\n" END, "Bad Max-Forwards", true, 400},
    {"Expires past 32 bits", LINE FIVE "Expires: 4294967296\r\n" END, "Bad Expires", true, 400},
    /* addresses */
    {"%00 in the host of From", LINE VIA "From: <sip:a@c%00.example>;tag=1\r\n" TO ID CSEQ END,
     "Bad From", true, 400},
    {"%00 in a parameter of From",
     LINE VIA "From: <sip:a@c.example;x=%00>;tag=1\r\n" TO ID CSEQ END, "Bad From", true, 400},
    {"%00 in From of an unknown scheme", LINE VIA "From: <foo:a%00b>;tag=1\r\n" TO ID CSEQ END,
     "Bad From", true, 400},
    {"%00 in From of tel:", LINE VIA "From: <tel:+1%00>;tag=1\r\n" TO ID CSEQ END, "Bad From", true,
     400},
    {"bad escape in To", LINE VIA FROM "To: <sip:a%4@c.example>\r\n" ID CSEQ END, "Bad To", true,
     400},
    {"bad escape in To of an unknown scheme", LINE VIA FROM "To: <foo:a%4>\r\n" ID CSEQ END,
     "Bad To", true, 400},
    {"%00 in P-Asserted-Identity", LINE FIVE "P-Asserted-Identity: <sip:a%00@c.example>\r\n" END,
     "Bad P-Asserted-Identity", true, 400},
    {"%00 in the headers of a Contact", LINE FIVE "m: <sip:a@c.example?x=%00>\r\n" END,
     "Bad Contact", true, 400},
    {"%00 in Route", LINE FIVE "Route: <sip:b.example;lr>, <sip:a%00@c.example>\r\n" END,
     "Bad Route", true, 400},
    {"bad escape in P-Asserted-Identity",
     LINE FIVE "P-Asserted-Identity: <sip:%@c.example>\r\n" END, "Bad P-Asserted-Identity", true,
     400},
    {"two tags", LINE VIA "From: <sip:a@b.example>;tag=1;tag=2\r\n" TO ID CSEQ END, "Bad From",
     true, 400},
    {"tag without value", LINE VIA "From: <sip:a@b.example>;tag\r\n" TO ID CSEQ END,
     "Bad tag in From", true, 400},
    {"tag is quoted", LINE VIA FROM "To: <sip:a@b.example>;tag=\"x\"\r\n" ID CSEQ END,
     "Bad tag in To", true, 400},
    {"From is a star", LINE VIA "From: *\r\n" TO ID CSEQ END, "Bad From", true, 400},
    {"Contact star and more", LINE FIVE "Contact: *, <sip:a@b.example>\r\n" END, "Bad Contact",
     true, 400},
    {"Route star", LINE FIVE "Route: *\r\n" END, "Bad Route", true, 400},
    {"empty Route element", LINE FIVE "Route: <sip:a.example>,,<sip:b.example>\r\n" END,
     "Bad Route", true, 400},
    {"comma at the end", LINE FIVE "Route: <sip:a.example>,\r\n" END, "Bad Route", true, 400},
    {"empty Contact", LINE FIVE "Contact:\r\n" END, "Bad Contact", true, 400},
    /* Via */
    {"Via of another protocol", LINE "Via: HTTP/2.0/UDP a.example\r\n" FROM TO ID CSEQ END,
     "Bad Via", false, 400},
    {"Via of another version", LINE "Via: SIP/7.0/UDP a.example\r\n" FROM TO ID CSEQ END, "Bad Via",
     true, 400},
    {"SIP/7.0 all over",
     "OPTIONS sip:a@b.example SIP/7.0\r\nVia: SIP/7.0/UDP a.example\r\n" FROM TO ID
     "CSeq: 1 OPTIONS\r\n" END,
     "Version Not Supported", true, 505},
    {"Via port 0", LINE "Via: SIP/2.0/UDP a.example:0\r\n" FROM TO ID CSEQ END, "Bad Via", false,
     400},
    {"Via port 65536", LINE "Via: SIP/2.0/UDP a.example:65536\r\n" FROM TO ID CSEQ END, "Bad Via",
     false, 400},
    {"Via host", LINE "Via: SIP/2.0/UDP a<b\r\n" FROM TO ID CSEQ END, "Bad Via", false, 400},
    {"Via without host", LINE "Via: SIP/2.0/UDP ;branch=x\r\n" FROM TO ID CSEQ END, "Bad Via",
     false, 400},
    {"Via address in brackets", LINE "Via: SIP/2.0/UDP [zz::1]\r\n" FROM TO ID CSEQ END, "Bad Via",
     false, 400},
    {"Via two branches",
     LINE "Via: SIP/2.0/UDP a.example;branch=x;branch=y\r\n" FROM TO ID CSEQ END, "Bad Via", true,
     400},
    {"Via two received",
     LINE "Via: SIP/2.0/UDP a.example;received=1.1.1.1;RECEIVED=2.2.2.2\r\n" FROM TO ID CSEQ END,
     "Bad Via", true, 400},
    {"Via rport 70000", LINE "Via: SIP/2.0/UDP a.example;rport=70000\r\n" FROM TO ID CSEQ END,
     "Bad Via", true, 400},
    {"second Via", LINE FIVE "Via: nonsense\r\n" END, "Bad Via", true, 400},
    {"Via with a comma at the end", LINE "Via: SIP/2.0/UDP a.example,\r\n" FROM TO ID CSEQ END,
     "Bad Via", true, 400},
};

static void refuses(void **state)
{
    unsigned bad = 0;
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        const struct refusal *r = &refusals[i];
        struct sip_msg m;
        const char *why = NULL;
        enum err e = frame(view_of(r->text), true, &m, &why);
        if (e == E_OK || why == NULL || strcmp(why, r->why) != 0 || m.can_answer != r->can_answer ||
            m.refuse_status != r->status) {
            print_error("%s: %s, why \"%s\", can_answer %d, status %u\n", r->name, err_name(e),
                        why != NULL ? why : "-", m.can_answer, m.refuse_status);
            bad++;
        }
        views_inside(&m, view_of(r->text));
    }
    assert_int_equal(bad, 0);
}

static void nul_in_the_head(void **state)
{
    (void)state;
    static const char text[] = LINE FIVE "Subject: a\0b\r\n" END;
    struct sip_msg m;
    const char *why = NULL;
    assert_int_equal(frame(view_from(text, sizeof text - 1), true, &m, &why), E_PARSE);
    assert_string_equal(why, "Control character in head");
}

static void nul_in_the_body_is_fine(void **state)
{
    (void)state;
    static const char text[] = LINE FIVE "Content-Type: a/b\r\nContent-Length: 3\r\n\r\na\0\n";
    struct sip_msg m;
    const char *why = NULL;
    assert_int_equal(frame(view_from(text, sizeof text - 1), true, &m, &why), E_OK);
    assert_int_equal(m.body.n, 3);
}

static void accepts(void **state)
{
    (void)state;
    static const char *const texts[] = {
        LINE FIVE "\r\n", /* datagram: the length may be left out */
        LINE FIVE "Subject: I know you're there, pick up\r\n" END,
        LINE "Via: SIP/2.0/UDP a.example\r\n ;branch=z9hG4bK1\r\n" FROM TO ID CSEQ END,
        LINE "Via:\tSIP/2.0/UDP   [::1] : 5060 ; branch = z9hG4bK1\r\n" FROM TO ID CSEQ END,
        LINE FIVE "Route: <sip:a.example;lr>,\r\n\t<sip:b.example;lr>\r\n" END,
        LINE FIVE "Contact: *\r\n" END,
        LINE VIA "From:\r\n <sip:a@b.example>;\r\n\ttag=1\r\n" TO ID "CSeq: 1\r\n INVITE\r\n" END,
        LINE "Via: SIP / 2.0\r\n /\tUDP a.example;branch=z9hG4bK1\r\n" FROM TO ID CSEQ END,
        LINE VIA "From: <sip:a%00b@c.example>;tag=1\r\n" TO ID CSEQ
                 "m: <sip:%00@c.example>\r\n" END,
        LINE VIA "From: \"\\\001\" <sip:a@b.example>;tag=1\r\n" TO ID CSEQ END,
        LINE VIA "From: <sip:a@[2001:db8:::192.0.2.1]>;tag=1\r\n" TO ID CSEQ END,
        LINE VIA "From: 100% Bob <sip:a@b.example>;tag=1\r\n" TO ID CSEQ END,
        LINE VIA "From:sip:a@b.example;tag=1\r\n" TO ID CSEQ END,
        "INVITE urn:service:sos SIP/2.0\r\n" VIA FROM "To: <urn:service:sos>\r\n" ID CSEQ END,
        "INVITE tel:+1-212-555-1212;phone-context=x SIP/2.0\r\n" FIVE END,
        "FOO.bar%x sip:a@b.example SIP/2.0\r\n" VIA FROM TO ID "CSeq: 2147483647 FOO.bar%x\r\n" END,
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct sip_msg m;
        const char *why = NULL;
        enum err e = frame(view_of(texts[i]), true, &m, &why);
        if (e != E_OK) {
            fail_msg("%zu: %s", i, why);
        }
        views_inside(&m, view_of(texts[i]));
    }
}

/* A value that is given one later must not land in the next line. */
static void an_empty_value_stays_in_its_line(void **state)
{
    (void)state;
    static const char text[] = LINE FIVE "Subject:\r\nX: \r\n \t;\r\nContent-Type:  \r\n" END;
    struct sip_msg m;
    const char *why = NULL;
    assert_int_equal(frame(view_of(text), true, &m, &why), E_OK);
    for (unsigned i = 0; i < m.n_headers; i++) {
        assert_true(m.h[i].value.p + m.h[i].value.n <= m.h[i].line.p + m.h[i].line.n - 2);
    }
}

/* Octet for octet the same place, another reading for nobody. */
static void odd_messages_become_plain(void **state)
{
    (void)state;
    static const char odd[] =
        LINE VIA "From: \"B \\\000\\\177\r\n\tC\" <sip:a@b.example>\r\n ; tag=1\r\n" TO ID CSEQ
                 "X: y\r\n  z\r\nContent-Type: a/b\r\nContent-Length: 4\r\n\r\na\r\n ";
    static const char plain[] =
        LINE VIA "From: \"B \\?\\?  \tC\" <sip:a@b.example>   ; tag=1\r\n" TO ID CSEQ
                 "X: y    z\r\nContent-Type: a/b\r\nContent-Length: 4\r\n\r\na\r\n ";
    static char buf[SIP_MAX_BYTES];
    struct sip_msg m;
    const char *why = NULL;
    assert_int_equal(frame(view_from(odd, sizeof odd - 1), true, &m, &why), E_OK);
    assert_true(m.is_odd);
    assert_int_equal(sip_frame_plain(&m, true, buf, &m), E_OK);
    assert_false(m.is_odd);
    assert_int_equal(m.raw.n, sizeof plain - 1);
    assert_memory_equal(m.raw.p, plain, sizeof plain - 1);
    assert_true(view_eq(m.from_tag, VIEW("1")));
    views_inside(&m, view_from(buf, sizeof plain - 1));
}

static void a_datagram_is_cut_at_its_length(void **state)
{
    (void)state;
    static const char text[] = LINE FIVE END "INVITE sip:evil@x.example SIP/2.0\r\n";
    struct sip_msg m;
    const char *why = NULL;
    assert_int_equal(frame(view_of(text), true, &m, &why), E_OK);
    assert_int_equal(m.raw.n, strlen(LINE FIVE END));
    assert_int_equal(m.body.n, 0);
    assert_int_equal(frame(view_of(text), false, &m, &why), E_PARSE); /* of a stream: our mistake */
}

static void a_stream_needs_a_length(void **state)
{
    (void)state;
    struct sip_msg m;
    const char *why = NULL;
    assert_int_equal(frame(view_of(LINE FIVE "\r\n"), false, &m, &why), E_PARSE);
    assert_string_equal(why, "Missing Content-Length");
}

static void an_ack_is_never_answered(void **state)
{
    (void)state;
    struct sip_msg m;
    const char *why = NULL;
    const char *text = "ACK sip:a@b.example SIP/2.0\r\n" VIA FROM TO ID "CSeq: 1 ACK\r\n" END;
    assert_int_equal(frame(view_of(text), true, &m, &why), E_OK);
    assert_false(m.can_answer);
}

/* ---- limits ---------------------------------------------------------------------------------- */
static char big[3 * SIP_MAX_BYTES];

static enum err frame_big(const char *repeated, unsigned times, const char **why)
{
    struct sip_msg m;
    size_t n = (size_t)snprintf(big, sizeof big, "%s", LINE FIVE);
    for (unsigned i = 0; i < times; i++) {
        n += (size_t)snprintf(big + n, sizeof big - n, "%s", repeated);
    }
    n += (size_t)snprintf(big + n, sizeof big - n, "%s", END);
    enum err e = frame(view_from(big, n), true, &m, why);
    views_inside(&m, view_from(big, n));
    return e;
}

static void header_lines_are_limited(void **state)
{
    (void)state;
    const char *why = NULL;
    assert_int_equal(frame_big("X-A: y\r\n", SIP_MAX_HEADERS - 6, &why), E_OK);
    assert_int_equal(frame_big("X-A: y\r\n", SIP_MAX_HEADERS - 5, &why), E_RANGE);
    assert_string_equal(why, "Too many headers");
}

static void octets_are_limited(void **state)
{
    (void)state;
    struct sip_msg m;
    const char *why = NULL;
    int n = snprintf(big, sizeof big, LINE FIVE "Content-Type: a/b\r\n\r\n");
    memset(big + n, 'x', sizeof big - (size_t)n);
    assert_int_equal(frame(view_from(big, SIP_MAX_BYTES), true, &m, &why), E_OK);
    assert_int_equal(frame(view_from(big, SIP_MAX_BYTES + 1), true, &m, &why), E_RANGE);
    assert_int_equal(m.refuse_status, 513);
    assert_string_equal(why, "Message Too Large");
    assert_true(m.can_answer);
    big[0] = ' '; /* nobody knows then what it is */
    assert_int_equal(frame(view_from(big, SIP_MAX_BYTES + 1), true, &m, &why), E_RANGE);
    assert_int_equal(m.refuse_status, 513);
    assert_false(m.can_answer);
}

/* One line: "Name: element,element,..." */
static enum err frame_list(const char *name, const char *element, unsigned times, const char **why)
{
    char line[6000];
    size_t n = (size_t)snprintf(line, sizeof line, "%s: %s", name, element);
    for (unsigned i = 1; i < times; i++) {
        n += (size_t)snprintf(line + n, sizeof line - n, ",%s", element);
    }
    snprintf(line + n, sizeof line - n, "\r\n");
    return frame_big(line, 1, why);
}

static void list_elements_are_limited(void **state)
{
    (void)state;
    static const char *const lists[][2] = {{"Contact", "<sip:a@b.example>"},
                                           {"Route", "<sip:b.example;lr>"},
                                           {"Supported", "x"},
                                           {"X-Unknown", "a"}};
    const char *why = NULL;
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(frame_list(lists[i][0], lists[i][1], SIP_MAX_LIST, &why), E_OK);
        assert_int_equal(frame_list(lists[i][0], lists[i][1], SIP_MAX_LIST + 1, &why), E_RANGE);
        assert_string_equal(why, "Too many values in a header");
    }
    assert_int_equal(frame_list("Via", "SIP/2.0/UDP a.example", SIP_MAX_LIST - 1, &why),
                     E_OK); /* and the first */
    assert_int_equal(frame_list("Via", "SIP/2.0/UDP a.example", SIP_MAX_LIST, &why), E_RANGE);
    assert_int_equal(frame_list("Contact", "*", 30, &why), E_PARSE);
    assert_int_equal(
        frame_big("Contact: <sip:a@b.example>,<sip:a@b.example>\r\n", SIP_MAX_LIST / 2, &why),
        E_OK);
    assert_int_equal(
        frame_big("Contact: <sip:a@b.example>,<sip:a@b.example>\r\n", SIP_MAX_LIST / 2 + 1, &why),
        E_RANGE);
    assert_int_equal(frame_big("X-A: a,b,c,d\r\n", 62, &why), E_OK);
    assert_int_equal(frame_big("X-A: a,b,c,d\r\n", 64, &why), E_RANGE); /* 256 in all */
}

static enum err frame_long(const char *before, int n, const char *after, const char **why,
                           unsigned *status)
{
    static char filler[1000], text[4000];
    struct sip_msg m;
    memset(filler, 'a', sizeof filler);
    snprintf(text, sizeof text, "%s%.*s%s", before, n, filler, after);
    enum err e = frame(view_of(text), true, &m, why);
    *status = m.refuse_status;
    return e;
}

static void single_values_are_limited(void **state)
{
    (void)state;
    static const struct {
        const char *before, *after;
        int fits;
        unsigned status;
    } cases[] = {
        {"INVITE sip:", "@b.example SIP/2.0\r\n" FIVE END, SIP_MAX_URI - 14, 414},
        {LINE VIA FROM TO CSEQ "Call-ID: ", "\r\n" END, SIP_MAX_CALL_ID, 400},
        {LINE FROM TO ID CSEQ "Via: SIP/2.0/UDP a.example;branch=", "\r\n" END, 255, 400},
        {LINE FROM TO ID CSEQ "Via: SIP/2.0/UDP ", "\r\n" END, 255, 400},
        {LINE VIA TO ID CSEQ "From: <sip:a@b.example>;tag=", "\r\n" END, SIP_MAX_TAG, 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *why = NULL;
        unsigned status = 0;
        assert_int_equal(frame_long(cases[i].before, cases[i].fits, cases[i].after, &why, &status),
                         E_OK);
        assert_int_not_equal(
            frame_long(cases[i].before, cases[i].fits + 1, cases[i].after, &why, &status), E_OK);
        assert_int_equal(status, cases[i].status);
    }
}

/* ---- sweeps ---------------------------------------------------------------------------------- */
/* An allocation of exactly the message, so that a sanitizer sees the first octet behind it. */
static void sweep_one(const char *p, size_t n)
{
    char *copy = test_malloc(n > 0 ? n : 1);
    struct sip_msg m;
    const char *why = NULL;
    size_t skip = 0, bytes = 0;
    bool ping = false;
    memcpy(copy, p, n);
    struct view raw = view_from(copy, n);
    for (int datagram = 0; datagram < 2; datagram++) {
        enum err e = frame(raw, datagram, &m, &why);
        assert_true(e == E_OK || (why != NULL && m.refuse_status >= 400));
        views_inside(&m, raw);
    }
    enum err e = sip_stream_cut(raw, &skip, &bytes, &ping);
    assert_true(skip <= n && (e != E_OK || skip + bytes <= n));
    test_free(copy);
}

static void every_octet_changed(void **state)
{
    (void)state;
    static const unsigned char with[] = {0,   '\r', '\n', ' ', ':', ';', ',', '<', '>',  '"',
                                         '%', '\\', '/',  '@', '=', '[', 'a', '0', 0x80, 0xff};
    char text[sizeof good];
    for (size_t i = 0; i + 1 < sizeof good; i++) {
        for (size_t k = 0; k < sizeof with; k++) {
            memcpy(text, good, sizeof good);
            text[i] = (char)with[k];
            sweep_one(text, sizeof good - 1);
        }
    }
}

static void every_truncation(void **state)
{
    (void)state;
    struct sip_msg m;
    const char *why = NULL;
    for (size_t n = 0; n < sizeof good - 1; n++) {
        sweep_one(good, n);
        assert_int_not_equal(frame(view_from(good, n), true, &m, &why), E_OK);
    }
    assert_int_equal(frame(view_from(good, sizeof good - 1), true, &m, &why), E_OK);
}

static void every_octet_dropped_or_doubled(void **state)
{
    (void)state;
    char text[sizeof good + 1];
    for (size_t i = 0; i + 1 < sizeof good; i++) {
        memcpy(text, good, i);
        memcpy(text + i, good + i + 1, sizeof good - 1 - i);
        sweep_one(text, sizeof good - 2);
        memcpy(text, good, i + 1);
        memcpy(text + i + 1, good + i, sizeof good - 1 - i);
        sweep_one(text, sizeof good);
    }
}

/* ---- streams --------------------------------------------------------------------------------- */
static void a_stream_is_cut_into_messages(void **state)
{
    (void)state;
    static const char two[] = LINE FIVE OTHER BODY "\r\n\r\n" LINE FIVE END;
    size_t first = strlen(LINE FIVE OTHER BODY), second = strlen(LINE FIVE END);
    size_t skip = 9, bytes = 0;
    bool ping = true;
    for (size_t n = 0; n < first; n++) {
        assert_int_equal(sip_stream_cut(view_from(two, n), &skip, &bytes, &ping), E_STATE);
        assert_true(skip == 0 && !ping);
    }
    assert_int_equal(sip_stream_cut(view_of(two), &skip, &bytes, &ping), E_OK);
    assert_true(skip == 0 && bytes == first && !ping);
    assert_int_equal(sip_stream_cut(view_of(two + first), &skip, &bytes, &ping), E_OK);
    assert_true(skip == 4 && bytes == second && ping);
}

static void pings_of_a_stream(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t skip;
        bool ping;
    } cases[] = {{"", 0, false},        {"\r", 0, false},         {"\r\n", 0, false},
                 {"\r\n\r", 0, false},  {"\r\n\r\n", 4, true},    {"\r\n\r\n\r\n", 4, true},
                 {"\r\nINV", 2, false}, {"\r\n\r\nINV", 4, true}, {"\r\n\r\n\r\n\r\n", 8, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t skip = 99, bytes = 0;
        bool ping = false;
        assert_int_equal(sip_stream_cut(view_of(cases[i].text), &skip, &bytes, &ping), E_STATE);
        assert_int_equal(skip, cases[i].skip);
        assert_int_equal(ping, cases[i].ping);
    }
}

static void a_stream_that_is_lost(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err e;
    } cases[] = {
        {LINE FIVE "\r\n", E_PARSE},
        {LINE FIVE "Content-Length: x\r\n\r\n", E_PARSE},
        {LINE FIVE "Content-Length: -1\r\n\r\n", E_PARSE},
        {LINE FIVE "Content-Length: 1\r\nl: 1\r\n\r\n", E_PARSE},
        {LINE FIVE "Content-Length: 1\r\n 2\r\n\r\n", E_PARSE},
        {LINE FIVE "Subject: x\r\n Content-Length: 1\r\n\r\n", E_PARSE},
        {LINE FIVE "Content-Length: 8193\r\n\r\n", E_PARSE},
        {LINE FIVE "Content-Length: 8192\r\n\r\n", E_RANGE},
        {LINE FIVE "content-length : 1\r\n\r\n", E_STATE},
        {LINE FIVE "Subject: x\r\n Content-Length: 1\r\nL: 0\r\n\r\n", E_OK},
    };
    size_t skip = 0, bytes = 0;
    bool ping = false;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(sip_stream_cut(view_of(cases[i].text), &skip, &bytes, &ping), cases[i].e);
    }
    memset(big, 'x', sizeof big);
    assert_int_equal(sip_stream_cut(view_from(big, SIP_MAX_BYTES), &skip, &bytes, &ping), E_STATE);
    assert_int_equal(sip_stream_cut(view_from(big, SIP_MAX_BYTES + 1), &skip, &bytes, &ping),
                     E_RANGE);
}

/* ---- names ----------------------------------------------------------------------------------- */
static void names_of_headers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum sip_hdr_id id;
    } cases[] = {{"Via", SIP_H_VIA},
                 {"V", SIP_H_VIA},
                 {"CALL-id", SIP_H_CALL_ID},
                 {"I", SIP_H_CALL_ID},
                 {"m", SIP_H_CONTACT},
                 {"r", SIP_H_REFER_TO},
                 {"y", SIP_H_IDENTITY},
                 {"k", SIP_H_SUPPORTED},
                 {"x", SIP_H_SESSION_EXPIRES},
                 {"P-DCS-Billing-Info", SIP_H_P_DCS},
                 {"p-dcs-redirect", SIP_H_P_DCS},
                 {"z", SIP_H_OTHER},
                 {"", SIP_H_OTHER},
                 {"Vi", SIP_H_OTHER},
                 {"Viaa", SIP_H_OTHER}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(sip_hdr_id_of(view_of(cases[i].name)), cases[i].id);
    }
    assert_int_equal(sip_method_of(VIEW("PRACK")), SIP_M_PRACK);
    assert_int_equal(sip_method_of(VIEW("Invite")), SIP_M_OTHER);
    assert_string_equal(sip_method_name(SIP_M_CANCEL), "CANCEL");
    assert_string_equal(sip_reason(486), "Busy Here");
    assert_string_equal(sip_reason(299), "Unknown");
}

static void lists_mind_quotes_and_brackets(void **state)
{
    (void)state;
    static const char *const want[] = {"\"a, \\\" b\" <sip:x@y,z>", "c", "", "d"};
    struct sip_list l = sip_list_over(VIEW(" \"a, \\\" b\" <sip:x@y,z>, c ,,\r\n d"));
    struct view element;
    for (size_t i = 0; i < 4; i++) {
        assert_true(sip_list_next(&l, &element));
        assert_true(view_eq(element, view_of(want[i])));
    }
    assert_false(sip_list_next(&l, &element));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_a_message_apart),
        cmocka_unit_test(takes_a_response_apart),
        cmocka_unit_test(refuses),
        cmocka_unit_test(nul_in_the_head),
        cmocka_unit_test(nul_in_the_body_is_fine),
        cmocka_unit_test(accepts),
        cmocka_unit_test(odd_messages_become_plain),
        cmocka_unit_test(an_empty_value_stays_in_its_line),
        cmocka_unit_test(a_datagram_is_cut_at_its_length),
        cmocka_unit_test(a_stream_needs_a_length),
        cmocka_unit_test(an_ack_is_never_answered),
        cmocka_unit_test(header_lines_are_limited),
        cmocka_unit_test(octets_are_limited),
        cmocka_unit_test(list_elements_are_limited),
        cmocka_unit_test(single_values_are_limited),
        cmocka_unit_test(every_octet_changed),
        cmocka_unit_test(every_truncation),
        cmocka_unit_test(every_octet_dropped_or_doubled),
        cmocka_unit_test(a_stream_is_cut_into_messages),
        cmocka_unit_test(pings_of_a_stream),
        cmocka_unit_test(a_stream_that_is_lost),
        cmocka_unit_test(names_of_headers),
        cmocka_unit_test(lists_mind_quotes_and_brackets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
