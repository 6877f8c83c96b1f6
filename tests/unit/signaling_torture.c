/* The cases of RFC 4475 in messages of our own: what the framer takes, what it refuses, and where
 * it is stricter than the RFC on purpose. Cases that only a proxy or a registrar can judge are
 * taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "signaling/sip_osip.h"
#include "signaling/sip_uri.h"

#define V  "Via: SIP/2.0/UDP h.example;branch=z9hG4bKt1\r\n"
#define F  "From: <sip:one@a.example>;tag=8\r\n"
#define T  "To: <sip:two@b.example>\r\n"
#define I  "Call-ID: torture.1@h.example\r\n"
#define M  "Max-Forwards: 9\r\n"
#define CI "CSeq: 4 INVITE\r\n"
#define CO "CSeq: 4 OPTIONS\r\n"
#define CR "CSeq: 4 REGISTER\r\n"
#define L0 "Content-Length: 0\r\n\r\n"
#define IN "INVITE sip:two@b.example SIP/2.0\r\n"
#define OP "OPTIONS sip:two@b.example SIP/2.0\r\n"
#define RE "REGISTER sip:b.example SIP/2.0\r\n"

struct torture {
    const char *section, *text;
    const char *why; /* NULL: taken */
    unsigned status; /* 0: no answer is possible, or it is taken */
};

static const struct torture cases[] = {
    /* 3.1.1 valid */
    {"3.1.1.1 folds everywhere",
     IN "TO :\r\n sip:two@b.example ;   tag    = 19n\r\nfrom   : \"One \\\\\\\"\"  "
        "<sip:one@a.example>\r\n"
        "  ;\r\n  tag = 98\r\nMaX-fOrWaRdS: 0068\r\n" I "cseq: 0009\r\n  INVITE\r\n" V L0,
     NULL, 0},
    {"3.1.1.1 the same without these folds",
     IN
     "TO : sip:two@b.example ;   tag    = 19n\r\nfrom   : \"One \\\\\\\"\"  <sip:one@a.example> ; "
     "tag = 98"
     "\r\nMaX-fOrWaRdS: 0068\r\n" I "cseq: 0009   INVITE\r\n"
     "Via  : SIP/2.0/UDP\r\n    192.0.2.9;branch=390s\r\ns :\r\nNew:   new value\r\n continued\r\n"
     "Unknown: ;;,,;;,;\r\nRoute:\r\n <sip:r.example;lr;with=value;without>\r\n"
     "v:  SIP/2.0/TCP     s.example   ;\r\n  branch  =   z9hG4bK9  ,\r\n SIP/2.0/UDP  192.0.2.8   "
     "; "
     "branch=\r\n z9hG4bK3\r\nm:\"Quoted \\\"\\\"\" <sip:one@a.example> ; newparam =\r\n"
     "      newvalue ;\r\n  second ; q = 0.33\r\nContent-Length   : 0\r\n\r\n",
     NULL, 0},
    {"3.1.1.2 wide range of octets",
     "!one-Method01_*+`.%indeed'~ "
     "sip:1_u.URI~(to-be!s)&isn't+it$/crazy?,/;;*:&it+has=1,w!*p$wo~d_too."
     "(doesn't-it)@b.example SIP/2.0\r\nVia: SIP/2.0/TCP h.example;branch=z9hG4bK-.!%66*_+`'~\r\n" F
     "To: \"\320\244\" <sip:two@b.example>\r\nCall-ID: w[{}()/?<>:\\\"']~\r\n"
     "CSeq: 4 !one-Method01_*+`.%indeed'~\r\n" L0,
     NULL, 0},
    {"3.1.1.2 controls in a quoted string",
     IN V F "To: \"BEL:\\\007\" <sip:two@b.example>\r\n" I CI L0, NULL, 0},
    {"3.1.1.3 escapes",
     "INVITE sip:sips%3Auser%40a.example@b.example SIP/2.0\r\n" V
     "From: \"c\" <sip:I%20have%20spaces@a.example>;tag=9\r\n" T I CI
     "C-C:<sip:two@b.example?Route=%3Csip:x.example%3E>\r\n" L0,
     NULL, 0},
    {"3.1.1.4 escaped NULs", RE V F "To: sip:null-%00-null@b.example\r\n" I CR L0, NULL, 0},
    {"3.1.1.5 % that escapes nothing",
     "RE%47IST%45R sip:b.example SIP/2.0\r\n" V
     "From: \"%Z%45\" <sip:one@a.example>;tag=f232\r\n" T I "CSeq: 2 RE%47IST%45R\r\n"
     "Contact: <sip:al@h.example>\r\nContact: <sip:al%69@h.example>\r\n" L0,
     NULL, 0},
    {"3.1.1.6 no blank before <", OP V "From: caller<sip:one@a.example>;tag=3\r\n" T I CO L0, NULL,
     0},
    {"3.1.1.8 octets behind the body",
     RE V F T I CR L0 "INVITE sip:x@y.example SIP/2.0\r\nt: <sip:", NULL, 0},
    {"3.1.1.9 parameters in the user part",
     "OPTIONS sip:user;par=u%40a.example@b.example SIP/2.0\r\n" V F T I CO L0, NULL, 0},
    {"3.1.1.10 transports",
     OP V
     "Via: SIP/2.0/SCTP a.example;branch=z9hG4bK2\r\n"
     "Via: SIP/2.0/UNKNOWN b.example;branch=z9hG4bK3\r\nVia: SIP/2.0/TLS c.example\r\n" F T I CO L0,
     NULL, 0},
    {"3.1.1.11 multipart",
     "MESSAGE sip:two@b.example SIP/2.0\r\n" V F T I "CSeq: 1 MESSAGE\r\n"
     "Content-Type: multipart/mixed;boundary=7a\r\nContent-Length: "
     "17\r\n\r\n--7a\r\n\r\nx\r\n--7a--",
     NULL, 0},
    {"3.1.1.12 odd reason", "SIP/2.0 200 = 2**3 * 5**2 \320\275\320\276\r\n" V F T I CI L0, NULL,
     0},
    {"3.1.1.13 no reason", "SIP/2.0 100 \r\n" V F T I CI L0, NULL, 0},
    /* 3.1.2 invalid */
    {"3.1.2.1 separators too many", IN "Via: SIP/2.0/UDP h.example;;,;,,\r\n" F T I CI L0,
     "Bad Via", 400},
    {"3.1.2.1 in Contact", IN V F T I CI "Contact: \"J\" <sip:one@a.example>;;;;\r\n" L0,
     "Bad Contact", 400},
    {"3.1.2.2 length past the end",
     IN V F T I CI "Content-Type: a/b\r\nContent-Length: 9999\r\n\r\nxyz", "Bad Content-Length",
     400},
    {"3.1.2.3 negative length", IN V F T I CI "Content-Length: -999\r\n\r\n", "Bad Content-Length",
     400},
    {"3.1.2.4 overlarge CSeq", RE V F T I "CSeq: 36893488147419103232 REGISTER\r\n" L0, "Bad CSeq",
     400},
    {"3.1.2.4 overlarge Max-Forwards", RE V F T I CR "Max-Forwards: 300\r\n" L0, "Bad Max-Forwards",
     400},
    {"3.1.2.4 overlarge Expires", RE V F T I CR "Expires: 10000000000\r\n" L0, "Bad Expires", 400},
    {"3.1.2.5 overlarge CSeq in a response",
     "SIP/2.0 503 Service Unavailable\r\n" V F T I "CSeq: 9292394834772304023312 OPTIONS\r\n" L0,
     "Bad CSeq", 0},
    {"3.1.2.6 open quote", IN V F "To: \"Mr. J. User <sip:two@b.example>\r\n" I CI L0, "Bad To",
     400},
    {"3.1.2.7 <> around the Request-URI", "INVITE <sip:two@b.example> SIP/2.0\r\n" V F T I CI L0,
     "Bad Request-URI", 400},
    {"3.1.2.8 blank in the Request-URI", "INVITE sip:two@b.example; lr SIP/2.0\r\n" V F T I CI L0,
     "Bad request line", 400},
    {"3.1.2.9 blanks in the request line", "INVITE  sip:two@b.example  SIP/2.0\r\n" V F T I CI L0,
     "Bad Request-URI", 400},
    {"3.1.2.10 blanks behind it", "OPTIONS sip:two@b.example SIP/2.0  \r\n" V F T I CO L0,
     "Bad request line", 400},
    {"3.1.2.11 headers in the Request-URI",
     "INVITE sip:two@b.example?Route=%3Csip:x.example%3E SIP/2.0\r\n" V F T I CI L0,
     "Headers in Request-URI", 400},
    {"3.1.2.12 time zone", IN V F T I CI "Date: Fri, 01 Jan 2010 16:00:00 EST\r\n" L0, NULL, 0},
    {"3.1.2.13 ? outside <>",
     RE V F T I CR "Contact: sip:two@b.example?Route=%3Csip:x.example%3E\r\n" L0, "Bad Contact",
     400},
    {"3.1.2.14 blanks inside <>", OP V F "To: \"W, T\" < sip:t.w@b.example >\r\n" I CO L0, "Bad To",
     400},
    {"3.1.2.15 display without quotes",
     OP V "From: Bell, Al <sip:one@a.example>;tag=4\r\n" T I CO L0, "Bad From", 400},
    {"3.1.2.16 version 7", "OPTIONS sip:two@b.example SIP/7.0\r\n" V F T I CO L0,
     "Version Not Supported", 505},
    {"3.1.2.17 CSeq of another method", OP V F T I CI L0, "CSeq method is not the request's", 400},
    {"3.1.2.18 the same, unknown method", "NEWMETHOD sip:two@b.example SIP/2.0\r\n" V F T I CI L0,
     "CSeq method is not the request's", 501},
    {"3.1.2.19 response code", "SIP/2.0 4294967301 better not break\r\n" V F T I CO L0,
     "Bad status line", 0},
    /* 3.2, 3.3, 3.4 */
    {"3.2.1 branch is the cookie alone",
     "OPTIONS sip:two@b.example SIP/2.0\r\n"
     "Via: SIP/2.0/UDP h.example;branch=z9hG4bK\r\n" F T I CO L0,
     NULL, 0},
    {"3.3.1 only CSeq and a Via", "INVITE sip:two@b.example SIP/2.0\r\n" CI V L0, "Missing Call-ID",
     400},
    {"3.3.2 unknown scheme", "OPTIONS nobodyKnows:totallyopaque SIP/2.0\r\n" V F T I CO L0, NULL,
     0},
    {"3.3.3 atypical scheme", "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0\r\n" V F T I CO L0,
     NULL, 0},
    {"3.3.4 unknown schemes in headers",
     RE V "From: <http://w.example>;tag=3\r\n"
          "To: isbn:2983792873\r\n" I CR "Contact: <name:John_Smith>\r\n" L0,
     NULL, 0},
    {"3.3.5 unknown requirements",
     OP V F T I CO
     "Proxy-Require: nothingSupportsThis, nothingSupportsThisEither\r\nRequire: x\r\n" L0,
     NULL, 0},
    {"3.3.6 unknown type",
     IN V F T I CI "Content-Type: application/unknownformat\r\n"
                   "Content-Length: 3\r\n\r\n<a>",
     NULL, 0},
    {"3.3.7 unknown credentials", RE V F T I CR "Authorization: Nutty opaque-data=here\r\n" L0,
     NULL, 0},
    {"3.3.8 everything twice",
     IN V M "CSeq: 5 INVITE\r\n" I "CSeq: 59 INVITE\r\nCall-ID: 2\r\n" F T L0, "Repeated CSeq",
     400},
    {"3.3.9 two lengths",
     OP V F T I CO "Content-Length: 13\r\nContent-Length: 5\r\n"
                   "Content-Type: text/plain\r\n\r\nhello",
     "Repeated Content-Length", 400},
    {"3.3.10 broadcast in a lower Via",
     "SIP/2.0 200 OK\r\n" V "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK2\r\n" F T I CI L0,
     NULL, 0},
    {"3.3.11 Max-Forwards 0", OP V F T I CO "Max-Forwards: 0\r\n" L0, NULL, 0},
    {"3.3.12 unknown Contact parameter", RE V F T I CR "Contact: sip:+19@g.example;unknown\r\n" L0,
     NULL, 0},
    {"3.3.13 unknown URI parameter", RE V F T I CR "Contact: <sip:+19@g.example;unknown>\r\n" L0,
     NULL, 0},
    {"3.3.14 escaped headers in <>",
     RE V F T I CR "Contact: <sip:two@b.example?Route=%3Csip:x.example%3E>\r\n" L0, NULL, 0},
    {"3.3.15 Accept that nobody fills", IN V F T I CI "Accept: text/nobodyKnowsThis\r\n" L0, NULL,
     0},
    {"3.4.1 RFC 2543",
     "INVITE sip:two@b.example SIP/2.0\r\nVia: SIP/2.0/UDP ih.example:5060\r\n"
     "From: <sip:one@a.example>\r\n" T I CI
     "Record-Route: <sip:two@b.example;maddr=sx.example>\r\n" L0,
     NULL, 0},
};

static void every_case(void **state)
{
    unsigned bad = 0;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct torture *t = &cases[i];
        struct sip_msg m;
        const char *why = NULL;
        enum err e = sip_frame(view_of(t->text), true, &m, &why);
        if (t->why == NULL && e != E_OK) {
            print_error("%s: refused: %s\n", t->section, why);
            bad++;
        }
        if (t->why != NULL && (e == E_OK || strcmp(why, t->why) != 0)) {
            print_error("%s: %s, %s\n", t->section, err_name(e), e != E_OK ? why : "taken");
            bad++;
        }
        if (t->why != NULL && (m.can_answer ? m.refuse_status : 0) != t->status) {
            print_error("%s: status %u, can_answer %d\n", t->section, m.refuse_status,
                        m.can_answer);
            bad++;
        }
    }
    assert_int_equal(bad, 0);
}

/* 3.1.1.7: long values are taken up to our limits, and the limits are named. */
static void long_values(void **state)
{
    (void)state;
    static char text[SIP_MAX_BYTES];
    struct sip_msg m;
    const char *why = NULL;
    size_t n =
        (size_t)snprintf(text, sizeof text, "INVITE sip:two@b.example SIP/2.0\r\n" F I CI L0);
    n -= 2;
    n += (size_t)snprintf(text + n, sizeof text - n, "To: \"I have a user name of ");
    for (int i = 0; i < 100; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "extreme");
    }
    n += (size_t)snprintf(text + n, sizeof text - n,
                          "proportion\" <sip:two@b.example:6000;unknown1=");
    for (int i = 0; i < 50; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "very");
    }
    n += (size_t)snprintf(text + n, sizeof text - n, "long>\r\n");
    for (int i = 0; i < SIP_MAX_LIST; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "v: SIP/2.0/TCP sip%d.example;branch=z9hG4bK%d\r\n", i, i);
    }
    snprintf(text + n, sizeof text - n, "\r\n");
    assert_int_equal(sip_frame(view_of(text), true, &m, &why), E_OK);
    snprintf(text + n, sizeof text - n, "v: SIP/2.0/TCP sip99.example\r\n\r\n");
    assert_int_equal(sip_frame(view_of(text), true, &m, &why), E_RANGE);
    assert_string_equal(why, "Too many values in a header");
}

/* 3.1.1.9: where the user part ends. */
static void parts_of_a_tortured_uri(void **state)
{
    (void)state;
    struct sip_uri u;
    assert_int_equal(sip_uri_parse(VIEW("sip:user;par=u%40a.example@b.example"), &u), E_OK);
    assert_true(view_eq(u.user, VIEW("user;par=u%40a.example")));
    assert_true(view_eq(u.host, VIEW("b.example")) && u.params.n == 0);
    assert_int_equal(sip_uri_parse(VIEW("sip:a?b,/;;*:p=1,w!@b.example"), &u), E_OK);
    assert_true(view_eq(u.user, VIEW("a?b,/;;*")) && view_eq(u.password, VIEW("p=1,w!")));
}

/* What the framer takes never crashes the second reading; most of it reads the same there. */
static void second_reading(void **state)
{
    (void)state;
    unsigned taken = 0, agreed = 0;
    assert_int_equal(sip_osip_init(), E_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct sip_msg m;
        const char *why = NULL;
        if (sip_frame(view_of(cases[i].text), true, &m, &why) == E_OK) {
            enum err e = sip_osip_check(&m, &why);
            assert_true(e == E_OK || e == E_PARSE);
            taken++;
            agreed += e == E_OK;
            if (e != E_OK) {
                print_message("# %s: %s\n", cases[i].section, why);
            }
        }
    }
    assert_true(taken >= 25);
    assert_true(agreed + 6 >= taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case),
        cmocka_unit_test(long_values),
        cmocka_unit_test(parts_of_a_tortured_uri),
        cmocka_unit_test(second_reading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
