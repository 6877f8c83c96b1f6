/* Messages written so that two readers could see two different ones. What a row sends is refused,
 * or it arrives as a message of which three readers (our framer, libosip2 and one that only splits
 * lines at CRLF and colon) see the same: one From, one To, one Call-ID, and nothing that was
 * hidden. */
#include "tests/scenario/wild.h"

static struct bench bench;

#define URI         "sip:" BOB "@" DOMAIN
#define INV         "INVITE " URI " SIP/2.0\r\n"
#define VIA         "Via: SIP/2.0/UDP 127.0.9.8:5060;branch=z9hG4bKs1\r\n"
#define FROM        "From: \"Ann\" <sip:+441234@uk.test>;tag=a\r\n"
#define TO          "To: <" URI ">\r\n"
#define ID          "Call-ID: smuggled@uk.test\r\n"
#define CSEQ        "CSeq: 7 INVITE\r\n"
#define CON         "Contact: <sip:ann@127.0.9.8>\r\n"
#define REST        "Max-Forwards: 20\r\n" CON
#define END         "Content-Length: 0\r\n\r\n"
#define BODY4       "Content-Type: text/plain\r\nContent-Length: 4\r\n\r\nbody"
#define EVIL        "P-Asserted-Identity: <sip:evil@evil.test>\r\n"
#define WITH(lines) T(INV VIA FROM TO ID CSEQ REST lines END)
#define T(text)     text, sizeof(text) - 1

enum { ARRIVES = 0, DROPPED = 1 }; /* else: the status of the answer */

struct row {
    const char *name, *text;
    size_t n;
    unsigned status;
    const char *reason; /* DROPPED and ARRIVES: "" */
    const char *absent; /* in what arrives; NULL: nothing special */
};

static const struct row rows[] = {
    {"honest", WITH(""), ARRIVES, "", NULL},
    /* ends of lines */
    {"bare CR hides an identity", WITH("Subject: x\r" EVIL), 400, "Bare CR", NULL},
    {"bare LF hides an identity", WITH("Subject: x\n" EVIL), 400, "Bare LF", NULL},
    {"LF CR", WITH("Subject: x\n\r" EVIL), 400, "Bare LF", NULL},
    {"CR CR LF", WITH("Subject: x\r\r\n"), 400, "Bare CR", NULL},
    {"bare CR at the end of a value", WITH("Subject: x\r \r\n"), 400, "Bare CR", NULL},
    {"bare LF in a quoted string", WITH("Alert-Info: \"a\n" EVIL "\"\r\n"), 400, "Bare LF", NULL},
    {"bare LFs all over", T("INVITE " URI " SIP/2.0\nVia: SIP/2.0/UDP 127.0.9.8\n\n"), DROPPED, "",
     NULL},
    {"two bare LFs end the head for some",
     T(INV VIA FROM TO ID CSEQ REST "Subject: x\n\nINVITE sip:x@y SIP/2.0\r\n" END), 400, "Bare LF",
     NULL},
    {"NUL ends a C string", WITH("Subject: x\0y\r\n"), 400, "Control character in head", NULL},
    {"NUL in a header name", WITH("P-Asserted-Identity\0: <sip:e@x>\r\n"), 400,
     "Control character in head", NULL},
    {"NUL in From", T(INV VIA "From: <sip:+44\0evil@uk.test>;tag=a\r\n" TO ID CSEQ REST END),
     DROPPED, "", NULL}, /* nobody can say where its line ends: CSeq is not read */
    {"vertical tab as a blank", WITH("Subject:\vx\r\n"), 400, "Control character in head", NULL},
    {"form feed", WITH("Subject: x\fy\r\n"), 400, "Control character in head", NULL},
    {"backspace", WITH("Subject: x\b\r\n"), 400, "Control character in head", NULL},
    {"escape sequence for a terminal", WITH("User-Agent: \033[2J\r\n"), 400,
     "Control character in head", NULL},
    {"control behind a backslash in no quotes", WITH("Subject: \\\001\r\n"), 400,
     "Control character in head", NULL},
    {"NEL and LS are no line ends", WITH("Subject: x\302\205\342\200\250" EVIL), ARRIVES, "",
     "\nP-Asserted"},
    /* folds */
    {"fold in From",
     T(INV VIA "From: \"Ann\"\r\n <sip:+441234@uk.test>;tag=a\r\n" TO ID CSEQ REST END), ARRIVES,
     "", "\r\n "},
    {"fold hides a second From", WITH("Subject: x\r\n From: <sip:evil@x>;tag=b\r\n"), ARRIVES, "",
     "\nFrom: <sip:evil"},
    {"fold with a tab hides an identity", WITH("Subject: x\r\n\t" EVIL), ARRIVES, "",
     "\n\tP-Asserted"},
    {"fold right behind the colon", WITH("P-Asserted-Identity:\r\n <sip:+441234@uk.test>\r\n"),
     ARRIVES, "", "\r\n "},
    {"fold before the colon", WITH("P-Asserted-Identity\r\n : <sip:e@x>\r\n"), 400,
     "Header line without name", NULL},
    {"fold in a header name", WITH("P-Asserted-\r\n Identity: <sip:e@x>\r\n"), 400,
     "Header line without name", NULL},
    {"fold in Via",
     T(INV
       "Via: SIP/2.0/UDP\r\n 127.0.9.8:5060\r\n ;branch=z9hG4bKs1\r\n" FROM TO ID CSEQ REST END),
     ARRIVES, "", "\r\n "},
    {"fold in Route", WITH("Route: <sip:127.0.9.66;lr>,\r\n <sip:127.0.9.67;lr>\r\n"), ARRIVES, "",
     "127.0.9.66"},
    {"fold in Content-Length", T(INV VIA FROM TO ID CSEQ REST "Content-Length:\r\n 0\r\n\r\n"), 400,
     "Folded Content-Length", NULL},
    {"fold of blanks alone", WITH("Subject: x\r\n \r\n"), 400, "Blank line in head", NULL},
    {"fold of blanks ends the head for some", WITH("Subject: x\r\n \t \r\n" EVIL), 400,
     "Blank line in head", NULL},
    {"fold behind the start line", T(INV " X: y\r\n" VIA FROM TO ID CSEQ REST END), 400,
     "Bad header name", NULL},
    {"fold in the start line", T("INVITE\r\n " URI " SIP/2.0\r\n" VIA FROM TO ID CSEQ END), DROPPED,
     "", NULL},
    {"fold behind a backslash",
     T(INV VIA "From: \"A\\\r\n n\" <sip:+441234@uk.test>;tag=a\r\n" TO ID CSEQ REST END), ARRIVES,
     "", "\r\n "},
    {"fold in Privacy",
     WITH("P-Asserted-Identity: <sip:+441234@uk.test>\r\nPrivacy: user;\r\n id\r\n"), ARRIVES, "",
     "P-Asserted-Identity"},
    /* the same header twice */
    {"f: and From:", WITH("f: <sip:evil@x>;tag=b\r\n"), 400, "Repeated From", NULL},
    {"From: and FROM :", WITH("FROM : <sip:evil@x>;tag=b\r\n"), 400, "Repeated From", NULL},
    {"t: and To:", WITH("t: <sip:evil@x>\r\n"), 400, "Repeated To", NULL},
    {"i: and Call-ID:", WITH("i: other\r\n"), 400, "Repeated Call-ID", NULL},
    {"l: and Content-Length:", WITH("l: 4\r\n"), 400, "Repeated Content-Length", NULL},
    {"l: twice, the same", WITH("l: 0\r\n"), 400, "Repeated Content-Length", NULL},
    {"c: and Content-Type:", WITH("c: a/b\r\nContent-Type: application/sdp\r\n"), 400,
     "Repeated Content-Type", NULL},
    {"CSeq twice", WITH("CSEQ: 8 INVITE\r\n"), 400, "Repeated CSeq", NULL},
    {"Max-Forwards twice", WITH("max-forwards: 0\r\n"), 400, "Repeated Max-Forwards", NULL},
    {"Expires twice", WITH("Expires: 1\r\nExpires: 2\r\n"), 400, "Repeated Expires", NULL},
    {"v: above Via:",
     T(INV "v: SIP/2.0/UDP 127.0.9.8:5060;branch=z9hG4bKs0\r\n" VIA FROM TO ID CSEQ REST END),
     ARRIVES, "", NULL},
    {"m: and Contact: both count", WITH("m: <sip:other@127.0.9.8>\r\n"), ARRIVES, "", NULL},
    {"From with two elements",
     T(INV VIA "From: <sip:+441234@uk.test>;tag=a, <sip:evil@x>;tag=b\r\n" TO ID CSEQ REST END),
     400, "Bad From", NULL},
    {"To with two elements", T(INV VIA FROM "To: <" URI ">, <sip:evil@x>\r\n" ID CSEQ REST END),
     400, "Bad To", NULL},
    {"two tags in From",
     T(INV VIA "From: <sip:+441234@uk.test>;tag=a;TAG=b\r\n" TO ID CSEQ REST END), 400, "Bad From",
     NULL},
    /* lengths */
    {"Content-Length -1", T(INV VIA FROM TO ID CSEQ REST "Content-Length: -1\r\n\r\n"), 400,
     "Bad Content-Length", NULL},
    {"Content-Length +4",
     T(INV VIA FROM TO ID CSEQ REST "c: a/b\r\nContent-Length: +4\r\n\r\nbody"), 400,
     "Bad Content-Length", NULL},
    {"Content-Length 0x4",
     T(INV VIA FROM TO ID CSEQ REST "c: a/b\r\nContent-Length: 0x4\r\n\r\nbody"), 400,
     "Bad Content-Length", NULL},
    {"Content-Length 4, 4",
     T(INV VIA FROM TO ID CSEQ REST "c: a/b\r\nContent-Length: 4, 4\r\n\r\nbody"), 400,
     "Bad Content-Length", NULL},
    {"Content-Length 4;x",
     T(INV VIA FROM TO ID CSEQ REST "c: a/b\r\nContent-Length: 4;x\r\n\r\nbody"), 400,
     "Bad Content-Length", NULL},
    {"Content-Length 4.0",
     T(INV VIA FROM TO ID CSEQ REST "c: a/b\r\nContent-Length: 4.0\r\n\r\nbody"), 400,
     "Bad Content-Length", NULL},
    {"Content-Length past 32 bits",
     T(INV VIA FROM TO ID CSEQ REST "c: a/b\r\nContent-Length: 4294967300\r\n\r\nbody"), 400,
     "Bad Content-Length", NULL},
    {"Content-Length past 64 bits",
     T(INV VIA FROM TO ID CSEQ REST "c: a/b\r\nContent-Length: 18446744073709551620\r\n\r\nbody"),
     400, "Bad Content-Length", NULL},
    {"Content-Length longer than the datagram",
     T(INV VIA FROM TO ID CSEQ REST "c: a/b\r\nContent-Length: 5\r\n\r\nbody"), 400,
     "Body is not as long as Content-Length", NULL},
    {"Content-Length shorter: the rest is noise",
     T(INV VIA FROM TO ID CSEQ REST "c: a/b\r\nContent-Length: 4\r\n\r\nbody" INV VIA EVIL),
     ARRIVES, "", "evil"},
    {"Content-Length 0004 is four",
     T(INV VIA FROM TO ID CSEQ REST "c: a/b\r\nContent-Length: 0004\r\n\r\nbody"), ARRIVES, "",
     NULL},
    {"Content-Length in full-width digits",
     T(INV VIA FROM TO ID CSEQ REST "c: a/b\r\nContent-Length: \357\274\224\r\n\r\nbody"), 400,
     "Bad Content-Length", NULL},
    {"no Content-Length: one is added", T(INV VIA FROM TO ID CSEQ REST "c: a/b\r\n\r\nbody"),
     ARRIVES, "", NULL},
    {"Content-Length_", T(INV VIA FROM TO ID CSEQ REST "Content-Length_: 99\r\n" BODY4), ARRIVES,
     "", NULL},
    {"body without a type", T(INV VIA FROM TO ID CSEQ REST "Content-Length: 4\r\n\r\nbody"), 400,
     "Body without Content-Type", NULL},
    /* names that differ by odd octets: another name is another header */
    {"blank inside the name", WITH("P-Asserted- Identity: <sip:e@x>\r\n"), 400, "Bad header name",
     NULL},
    {"high bit in the name", WITH("P-Asserted-Identit\371: <sip:e@x>\r\n"), 400, "Bad header name",
     NULL},
    {"homoglyph in the name", WITH("Fr\320\276m: <sip:evil@x>;tag=b\r\n"), 400, "Bad header name",
     NULL},
    {"no-break space before the colon", WITH("From\302\240: <sip:evil@x>\r\n"), 400,
     "Bad header name", NULL},
    {"byte order mark before the name", WITH("\357\273\277From: <sip:evil@x>\r\n"), 400,
     "Bad header name", NULL},
    {"quotes around the name", WITH("\"From\": <sip:evil@x>\r\n"), 400, "Bad header name", NULL},
    {"escape in the name", WITH("P%2DAsserted-Identity: <sip:e@x>\r\n"), ARRIVES, "",
     "\nP-Asserted"},
    {"underscore for a hyphen", WITH("X_From: <sip:evil@x>\r\n"), ARRIVES, "", "\nFrom: <sip:evil"},
    {"tab before the colon", WITH("P-Asserted-Identity\t: <sip:+441234@uk.test>\r\n"), ARRIVES, "",
     NULL},
    {"another case", WITH("p-aSSERTED-iDENTITY: <sip:+441234@uk.test>\r\n"), ARRIVES, "", NULL},
    {"no colon", WITH("P-Asserted-Identity <sip:e@x>\r\n"), 400, "Bad header name", NULL},
    {"colon alone", WITH(": <sip:e@x>\r\n"), 400, "Header line without name", NULL},
    /* bodies */
    {"headers in a body",
     T(INV VIA FROM TO ID CSEQ REST "Content-Type: text/plain\r\nContent-Length: 43\r\n\r\n" EVIL),
     ARRIVES, "", NULL},
    {"headers in a part of a multipart body",
     T(INV VIA FROM TO ID CSEQ REST "Content-Type: multipart/mixed;boundary=b\r\nContent-Length: "
                                    "62\r\n\r\n--b\r\nContent-Length: "
                                    "9\r\nFrom: <sip:evil@x>;tag=9\r\n\r\nx\r\n--b--\r\n"),
     ARRIVES, "", NULL},
    /* quoted strings and brackets */
    {"open quote in From",
     T(INV VIA "From: \"Ann <sip:+441234@uk.test>;tag=a\r\n" TO ID CSEQ REST END), 400, "Bad From",
     NULL},
    {"escaped quote that closes nothing",
     T(INV VIA
       "From: \"Ann\\\" <sip:evil@x>\" <sip:+441234@uk.test>;tag=a\r\n" TO ID CSEQ REST END),
     ARRIVES, "", NULL},
    {"backslash before the closing quote",
     T(INV VIA "From: \"Ann\\\\\" <sip:+441234@uk.test>;tag=a\r\n" TO ID CSEQ REST END), ARRIVES,
     "", NULL},
    {"brackets in a quoted display",
     T(INV VIA "From: \"<sip:evil@x>\" <sip:+441234@uk.test>;tag=a\r\n" TO ID CSEQ REST END),
     ARRIVES, "", NULL},
    {"brackets in an unquoted display",
     T(INV VIA "From: <sip:evil@x> <sip:+441234@uk.test>;tag=a\r\n" TO ID CSEQ REST END), 400,
     "Bad From", NULL},
    {"comma in an unquoted display",
     T(INV VIA "From: Ann, B <sip:+441234@uk.test>;tag=a\r\n" TO ID CSEQ REST END), 400, "Bad From",
     NULL},
    {"comma and semicolon inside <>",
     WITH("P-Asserted-Identity: <sip:a,b;c=d@uk.test>, <tel:+441234>\r\n"), ARRIVES, "", NULL},
    {"second < inside <>", WITH("P-Asserted-Identity: <sip:a<sip:e@x>@uk.test>\r\n"), 400,
     "Bad P-Asserted-Identity", NULL},
    {"something between the name and <",
     T(INV VIA "From: \"Ann\" x <sip:+441234@uk.test>;tag=a\r\n" TO ID CSEQ REST END), 400,
     "Bad From", NULL},
    {"quote in a URI", WITH("P-Asserted-Identity: <sip:a\"b@uk.test>\r\n"), 400,
     "Bad P-Asserted-Identity", NULL},
    {"parameter with a quoted semicolon",
     T(INV VIA "From: <sip:+441234@uk.test>;x=\";tag=evil\";tag=a\r\n" TO ID CSEQ REST END),
     ARRIVES, "", NULL},
    {"open quote in a parameter",
     T(INV VIA "From: <sip:+441234@uk.test>;x=\";tag=a\r\n" TO ID CSEQ REST END), 400, "Bad From",
     NULL},
    /* URIs */
    {"escaped CRLF in the Request-URI",
     T("INVITE sip:" BOB "%0D%0AX:y@" DOMAIN " SIP/2.0\r\n" VIA FROM TO ID CSEQ REST END), 404,
     "Not Found", NULL},
    {"headers in the Request-URI",
     T("INVITE " URI
       "?P-Asserted-Identity=%3Csip:e%40x%3E SIP/2.0\r\n" VIA FROM TO ID CSEQ REST END),
     400, "Headers in Request-URI", NULL},
    {"Route in the Request-URI",
     T("INVITE " URI "?Route=%3Csip:127.0.9.66;lr%3E SIP/2.0\r\n" VIA FROM TO ID CSEQ REST END),
     400, "Headers in Request-URI", NULL},
    {"headers in From without <>",
     T(INV VIA "From: sip:+441234@uk.test?Route=%3Csip:x%3E;tag=a\r\n" TO ID CSEQ REST END), 400,
     "Bad From", NULL},
    {"%00 in the Request-URI",
     T("INVITE sip:" BOB "%00@" DOMAIN " SIP/2.0\r\n" VIA FROM TO ID CSEQ REST END), 400,
     "Bad Request-URI", NULL},
    {"%00 in an identity", WITH("P-Asserted-Identity: <sip:+44%00evil@uk.test>\r\n"), 400,
     "Bad P-Asserted-Identity", NULL},
    {"two @ in From", T(INV VIA "From: <sip:+441234@uk.test@x>;tag=a\r\n" TO ID CSEQ REST END), 400,
     "Bad From", NULL},
    {"bad escape in To", T(INV VIA FROM "To: <sip:a%4@x>\r\n" ID CSEQ REST END), 400, "Bad To",
     NULL},
    {"<> around the Request-URI", T("INVITE <" URI "> SIP/2.0\r\n" VIA FROM TO ID CSEQ REST END),
     400, "Bad Request-URI", NULL},
    {"Request-URI of another scheme",
     T("INVITE file:///etc/passwd SIP/2.0\r\n" VIA FROM TO ID CSEQ REST END), 416,
     "Unsupported URI Scheme", NULL},
    {"UTF-8 in the Request-URI",
     T("INVITE sip:\303\251@" DOMAIN " SIP/2.0\r\n" VIA FROM TO ID CSEQ REST END), 400,
     "Bad Request-URI", NULL},
    /* Via */
    {"two branches",
     T(INV
       "Via: SIP/2.0/UDP 127.0.9.8;branch=z9hG4bKa;branch=z9hG4bKb\r\n" FROM TO ID CSEQ REST END),
     400, "Bad Via", NULL},
    {"two branches in another case",
     T(INV
       "Via: SIP/2.0/UDP 127.0.9.8;branch=z9hG4bKa;BRANCH=z9hG4bKb\r\n" FROM TO ID CSEQ REST END),
     400, "Bad Via", NULL},
    {"two Vias in one line",
     T(INV "Via: SIP/2.0/UDP 127.0.9.8:5060;branch=z9hG4bKa, SIP/2.0/TCP "
           "x.test;branch=z9hG4bKb\r\n" FROM TO ID CSEQ REST END),
     ARRIVES, "", NULL},
    {"comma in a quoted parameter of Via",
     T(INV "Via: SIP/2.0/UDP 127.0.9.8:5060;x=\",\";branch=z9hG4bKa\r\n" FROM TO ID CSEQ REST END),
     ARRIVES, "", NULL},
    {"received is claimed",
     T(INV "Via: SIP/2.0/UDP 127.0.9.8:5060;branch=z9hG4bKa;received=127.0.9.66"
           "\r\n" FROM TO ID CSEQ REST END),
     ARRIVES, "", "127.0.9.66"},
    {"branch without the cookie",
     T(INV "Via: SIP/2.0/UDP 127.0.9.8:5060;branch=old\r\n" FROM TO ID CSEQ REST END), ARRIVES, "",
     NULL},
    {"cookie alone",
     T(INV "Via: SIP/2.0/UDP 127.0.9.8:5060;branch=z9hG4bK\r\n" FROM TO ID CSEQ REST END), ARRIVES,
     "", NULL},
    {"no branch", T(INV "Via: SIP/2.0/UDP 127.0.9.8:5060\r\n" FROM TO ID CSEQ REST END), ARRIVES,
     "", NULL},
    {"empty Via", T(INV "Via:\r\n" FROM TO ID CSEQ REST END), DROPPED, "", NULL},
    {"Via of HTTP", T(INV "Via: HTTP/1.1 proxy\r\n" FROM TO ID CSEQ REST END), DROPPED, "", NULL},
    {"Via port 65536", T(INV "Via: SIP/2.0/UDP 127.0.9.8:65536\r\n" FROM TO ID CSEQ REST END),
     DROPPED, "", NULL},
    {"empty element in Via",
     T(INV
       "Via: SIP/2.0/UDP 127.0.9.8;branch=z9hG4bKa,,SIP/2.0/UDP x\r\n" FROM TO ID CSEQ REST END),
     400, "Bad Via", NULL},
    /* CSeq and Max-Forwards */
    {"CSeq of another method", T(INV VIA FROM TO ID "CSeq: 7 BYE\r\n" REST END), 400,
     "CSeq method is not the request's", NULL},
    {"CSeq in another case", T(INV VIA FROM TO ID "CSeq: 7 Invite\r\n" REST END), 400,
     "CSeq method is not the request's", NULL},
    {"CSeq past 31 bits", T(INV VIA FROM TO ID "CSeq: 2147483648 INVITE\r\n" REST END), 400,
     "Bad CSeq", NULL},
    {"CSeq past 64 bits", T(INV VIA FROM TO ID "CSeq: 18446744073709551623 INVITE\r\n" REST END),
     400, "Bad CSeq", NULL},
    {"CSeq negative", T(INV VIA FROM TO ID "CSeq: -7 INVITE\r\n" REST END), DROPPED, "", NULL},
    {"CSeq with two methods", T(INV VIA FROM TO ID "CSeq: 7 INVITE BYE\r\n" REST END), DROPPED, "",
     NULL},
    {"Max-Forwards 256", T(INV VIA FROM TO ID CSEQ "Max-Forwards: 256\r\n" CON END), 400,
     "Bad Max-Forwards", NULL},
    {"Max-Forwards -1", T(INV VIA FROM TO ID CSEQ "Max-Forwards: -1\r\n" CON END), 400,
     "Bad Max-Forwards", NULL},
    {"Max-Forwards empty", T(INV VIA FROM TO ID CSEQ "Max-Forwards:\r\n" CON END), 400,
     "Bad Max-Forwards", NULL},
    {"Max-Forwards 1 2", T(INV VIA FROM TO ID CSEQ "Max-Forwards: 1 2\r\n" CON END), 400,
     "Bad Max-Forwards", NULL},
    {"Max-Forwards 0", T(INV VIA FROM TO ID CSEQ "Max-Forwards: 0\r\n" CON END), 483,
     "Too Many Hops", NULL},
    {"Max-Forwards 0000", T(INV VIA FROM TO ID CSEQ "Max-Forwards: 0000\r\n" CON END), 483,
     "Too Many Hops", NULL},
    {"Max-Forwards 255 leaves as 70", T(INV VIA FROM TO ID CSEQ "Max-Forwards: 255\r\n" CON END),
     ARRIVES, "", "Max-Forwards: 254"},
    /* start line */
    {"two blanks", T("INVITE  " URI " SIP/2.0\r\n" VIA FROM TO ID CSEQ REST END), 400,
     "Bad Request-URI", NULL},
    {"tab for a blank", T("INVITE\t" URI " SIP/2.0\r\n" VIA FROM TO ID CSEQ REST END), 400,
     "Bad method", NULL},
    {"blank at the end", T("INVITE " URI " SIP/2.0 \r\n" VIA FROM TO ID CSEQ REST END), 400,
     "Bad request line", NULL},
    {"blank at the beginning", T(" INVITE " URI " SIP/2.0\r\n" VIA FROM TO ID CSEQ REST END),
     DROPPED, "", NULL},
    {"sip/2.0", T("INVITE " URI " sip/2.0\r\n" VIA FROM TO ID CSEQ REST END), 505,
     "Version Not Supported", NULL},
    {"SIP/2.00", T("INVITE " URI " SIP/2.00\r\n" VIA FROM TO ID CSEQ REST END), 505,
     "Version Not Supported", NULL},
    {"SIP/3.0", T("INVITE " URI " SIP/3.0\r\n" VIA FROM TO ID CSEQ REST END), 505,
     "Version Not Supported", NULL},
    {"two versions", T("INVITE " URI " SIP/2.0 SIP/2.0\r\n" VIA FROM TO ID CSEQ REST END), 400,
     "Bad request line", NULL},
    {"no version", T("INVITE " URI "\r\n" VIA FROM TO ID CSEQ REST END), DROPPED, "", NULL},
    {"invite in small letters is another method",
     T("invite " URI " SIP/2.0\r\n" VIA FROM TO ID "CSeq: 7 invite\r\n" REST END), ARRIVES, "",
     "INVITE"},
    /* other protocols */
    {"HTTP",
     T("GET / HTTP/1.1\r\nHost: 127.0.9.1:5060\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
       "\r\n"),
     DROPPED, "", NULL},
    {"HTTP that brings SIP headers", T("POST / HTTP/1.1\r\n" VIA FROM TO ID "CSeq: 7 POST\r\n" END),
     DROPPED, "", NULL},
    {"RTSP", T("OPTIONS * RTSP/1.0\r\n" VIA FROM TO ID "CSeq: 7 OPTIONS\r\n" END), DROPPED, "",
     NULL},
    {"a WebSocket frame", T("\201\204\001\002\003\004\110\107\117\112"), DROPPED, "", NULL},
    {"a ClientHello", T("\026\003\001\000\005\001\000\000\001\003"), DROPPED, "", NULL},
    {"STUN", T("\000\001\000\000\041\022\244\102abcdefghijkl"), DROPPED, "", NULL},
    {"octets of all kinds", T("\377\376\000\001 SIP/2.0\r\n\r\n"), DROPPED, "", NULL},
    /* what nobody may be made to answer */
    {"a malformed ACK",
     T("ACK " URI " SIP/2.0\r\n" VIA FROM TO ID "CSeq: 7 ACK\r\nCSeq: 8 ACK\r\n" END), DROPPED, "",
     NULL},
    {"a malformed response", T("SIP/2.0 200 OK\r\n" VIA FROM TO ID CSEQ "CSeq: 8 INVITE\r\n" END),
     DROPPED, "", NULL},
    {"a response with a bare LF", T("SIP/2.0 200 OK\r\n" VIA FROM TO ID CSEQ "X: y\n\r\n" END),
     DROPPED, "", NULL},
    {"status line with more digits", T("SIP/2.0 2000 OK\r\n" VIA FROM TO ID CSEQ END), DROPPED, "",
     NULL},
};

/* ---- the third reader --------------------------------------------------------------------------
 */
static unsigned lines_named(struct view head, const char *name, const char *compact)
{
    unsigned count = 0;
    const char *p = memmem(head.p, head.n, "\r\n", 2), *end = head.p + head.n;
    for (p = p != NULL ? p + 2 : end; p < end;) {
        const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
        size_t n = eol != NULL ? (size_t)(eol - p) : (size_t)(end - p), at = 0;
        struct view line = view_from(p, n), is = VIEW("");
        if (view_find(line, ':', &at)) {
            is = view_trim(view_sub(line, 0, at));
        }
        count += view_eq_nocase(is, view_of(name)) ||
                 (compact[0] != 0 && view_eq_nocase(is, view_of(compact)));
        p += n + 2;
    }
    return count;
}

static void check_simply(const struct sip_msg *m)
{
    assert_int_equal(lines_named(m->head, "From", "f"), 1);
    assert_int_equal(lines_named(m->head, "To", "t"), 1);
    assert_int_equal(lines_named(m->head, "Call-ID", "i"), 1);
    assert_int_equal(lines_named(m->head, "CSeq", ""), 1);
    assert_int_equal(lines_named(m->head, "Content-Length", "l"), 1);
    assert_int_equal(lines_named(m->head, "Max-Forwards", ""), 1);
    assert_int_equal(lines_named(m->head, "Route", ""), 0); /* nobody steers us, nor Bob */
    assert_int_equal(lines_named(m->head, "Authorization", ""), 1);
}

/* ---- datagrams ---------------------------------------------------------------------------------
 */
static unsigned wrong(const struct row *r, const char *as, bool came, unsigned status,
                      const char *reason)
{
    print_error("%s, %s: %s, %u %s\n", r->name, as, came ? "arrived" : "did not arrive", status,
                reason);
    return 1;
}

/* A gateway is believed, so whatever it can hide would be believed too. */
static unsigned by_gateway(const struct row *r)
{
    struct bench *b = &bench;
    struct sip_flow gw = flow_of(AS_GATEWAY);
    struct got got;
    char reason[128] = "";
    unsigned status = 0, bad = 0;
    bool came = false;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    forget_sent(b);
    feed_view(b, &gw, view_from(r->text, r->n));
    came = arrived(b, &b->bob, &got);
    status = raw_answer_to(b, &gw.remote, reason);
    if (came != (r->status == ARRIVES) || status != (r->status > DROPPED ? r->status : 0) ||
        strcmp(reason, r->reason) != 0) {
        bad = wrong(r, "from a gateway", came, status, reason);
    } else if (came) {
        check_simply(&got.m);
        assert_true(view_eq(got.m.call_id, VIEW("smuggled@uk.test")));
        assert_true(view_eq(got.m.from_tag, VIEW("a")));
        if (r->absent != NULL && memmem(got.m.head.p, got.m.head.n, r->absent, strlen(r->absent))) {
            fail_msg("%s: '%s' in %s", r->name, r->absent, got.octets);
        }
    }
    assert_true(status != 0 || came || b->n_sent == 0);
    bench_close(b);
    return bad;
}

/* From a stranger nothing of all this arrives, and an answer is no bigger than the question and the
 * little that an answer adds. */
static unsigned by_stranger(const struct row *r)
{
    struct bench *b = &bench;
    struct sip_flow stranger = flow_of(AS_STRANGER);
    struct got got;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    forget_sent(b);
    feed_view(b, &stranger, view_from(r->text, r->n));
    assert_false(arrived(b, &b->bob, &got));
    assert_true(b->n_sent <= (r->status != DROPPED ? 1u : 0u));
    assert_true(b->n_sent == 0 || b->sent[0].n < r->n + 400);
    assert_int_equal(workers_calls(b->ws), 0);
    bench_close(b);
    return 0;
}

static void datagrams(void **state)
{
    unsigned bad = 0;
    (void)state;
    assert_true(sizeof rows / sizeof rows[0] >= 100);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bad += by_gateway(&rows[i]) + by_stranger(&rows[i]);
    }
    assert_int_equal(bad, 0);
}

/* ---- a phone with good keys that lies ----------------------------------------------------------
 */
static void sealed_lies(void **state)
{
    static const char *const lies[] = {
        "P-Asserted-Identity:\r\n <sip:evil@evil.test>\r\n",
        "p-asserted-identity : <sip:evil@evil.test>\r\n",
        "P-Asserted-Identity\t:\t<sip:evil@evil.test>\r\n",
        "X: y\r\n P-Asserted-Identity: <sip:evil2@evil.test>\r\n",
        "Remote-Party-ID:\r\n\t<sip:evil@evil.test>;party=calling\r\n",
        "Route:\r\n <sip:evil.test;lr>\r\n",
        "Authorization: BTI-MAC\r\n kid=evil\r\n",
        "Record-Route: <sip:evil.test;lr>\r\n",
        "p-DCS-billing-info : evil\r\n",
    };
    struct bench *b = &bench;
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct got got;
        struct request r;
        char keep[3][96], text[TEXT_MAX];
        bench_open(b, NULL);
        phone_register(b, &b->bob);
        r = invite_of(b, &b->alice, URI, keep);
        r.extra = lies[i];
        phone_send(b, &b->alice, write_request_text(&r, text, sizeof text));
        assert_true(arrived(b, &b->bob, &got));
        check_simply(&got.m);
        if (holds(&got.m, "evil@") || holds(&got.m, "evil.test;lr") || holds(&got.m, "kid=evil") ||
            holds(&got.m, "billing")) {
            fail_msg("%s passed: %s", lies[i], got.octets);
        }
        assert_int_equal(lines_named(got.m.head, "P-Asserted-Identity", ""), 1);
        assert_true(holds(&got.m, "<sip:" ALICE "@" DOMAIN ">\r\n"));
        bench_close(b);
    }
}

/* A folded MAC is no MAC: its spelling is one. */
static void folded_proof(void **state)
{
    struct bench *b = &bench;
    struct request r;
    struct got got;
    char keep[3][96], text[TEXT_MAX];
    size_t n = 0;
    (void)state;
    bench_open(b, NULL);
    phone_register(b, &b->bob);
    r = invite_of(b, &b->alice, URI, keep);
    write_request_text(&r, text, sizeof text);
    n = phone_seal(&b->alice, text, strlen(text), sizeof text, "Proxy-Authorization");
    n = exchange(text, n, ", seq=", ",\r\n seq=");
    feed_view(b, &b->alice.flow, view_from(text, n));
    assert_false(arrived(b, &b->bob, &got));
    assert_true(take(b, &b->alice.flow.remote, "SIP/2.0 407", &got));
    bench_close(b);
}

/* ---- streams -----------------------------------------------------------------------------------
 */
#define TCPVIA "Via: SIP/2.0/TCP 127.0.9.8:5060;branch=z9hG4bK"
#define ONE(k, length, body)                                                                       \
    INV TCPVIA k "\r\n" FROM TO "Call-ID: " k "@uk.test\r\n" CSEQ REST                             \
                 "Content-Type: text/plain\r\n" length "\r\n" body
#define L(n) "Content-Length: " n "\r\n"

struct stream_row {
    const char *name, *text;
    size_t n;
    unsigned arrive; /* INVITEs at Bob */
    bool closes;
};

static const struct stream_row stream_rows[] = {
    {"one", T(ONE("1", L("0"), "")), 1, false},
    {"two in a row", T(ONE("1", L("4"), "body") ONE("2", L("0"), "")), 2, false},
    {"keep-alive between", T(ONE("1", L("0"), "") "\r\n\r\n" ONE("2", L("0"), "")), 2, false},
    {"the first one's length swallows the second",
     T(ONE("1", L("7000"), "body") ONE("2", L("0"), "")), 0, false},
    {"the first one's length ends inside of its body: the rest is no message",
     T(ONE("1", L("2"), "body\r\n") "\r\n" ONE("2", L("0"), "")), 1, true},
    {"a body that is a message",
     T(ONE("1", L("41"), "BYE sip:x@y SIP/2.0\r\nCSeq: 1 BYE\r\n\r\n-----")), 1, false},
    {"no length", T(ONE("1", "", "") ONE("2", L("0"), "")), 0, true},
    {"two lengths", T(ONE("1", L("0") L("4"), "body")), 0, true},
    {"two lengths, one compact", T(ONE("1", L("4") "l: 0\r\n", "body")), 0, true},
    {"negative", T(ONE("1", L("-4"), "body")), 0, true},
    {"+4", T(ONE("1", L("+4"), "body")), 0, true},
    {"0x4", T(ONE("1", L("0x4"), "body")), 0, true},
    {"past 64 bits", T(ONE("1", L("18446744073709551620"), "body")), 0, true},
    {"past what we take", T(ONE("1", L("9000"), "body")), 0, true},
    {"folded length", T(ONE("1", "Content-Length:\r\n 4\r\n", "body")), 0, true},
    {"length in a fold is none", T(ONE("1", "X: y\r\n Content-Length: 4\r\n", "body")), 0, true},
    {"length in a fold beside the length", T(ONE("1", "X: y\r\n Content-Length: 4\r\n" L("0"), "")),
     1, false},
    {"length with a blank before the colon", T(ONE("1", "Content-Length : 4\r\n", "body")), 1,
     false},
    {"bare LF ends the head for some", T(ONE("1", L("4") "X: y\n", "body")), 0, false},
    {"bare LF hides a length", T(ONE("1", "X: y\nContent-Length: 4\r\n", "body")), 0, true},
    {"a good one behind a refused one", T(ONE("1", L("0") "X y\r\n", "") ONE("2", L("0"), "")), 1,
     false},
    {"HTTP", T("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0, true},
    {"HTTP with a length",
     T("POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody" ONE("2", L("0"), "")), 1, false},
    {"a WebSocket upgrade",
     T("GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
       "Sec-WebSocket-Key: x\r\n\r\n"),
     0, true},
};

/* As the transport does it: each message that is cut out is fed. True: the connection is closed. */
static bool feed_stream(struct bench *b, const struct sip_flow *flow, const char *p, size_t n)
{
    while (n > 0) {
        size_t skip = 0, bytes = 0;
        bool ping = false;
        enum err e = sip_stream_cut(view_from(p, n), &skip, &bytes, &ping);
        if (e != E_OK) {
            return e != E_STATE;
        }
        feed_view(b, flow, view_from(p + skip, bytes));
        p += skip + bytes;
        n -= skip + bytes;
    }
    return false;
}

static void streams(void **state)
{
    struct bench *b = &bench;
    unsigned bad = 0;
    (void)state;
    for (size_t i = 0; i < sizeof stream_rows / sizeof stream_rows[0]; i++) {
        const struct stream_row *r = &stream_rows[i];
        struct sip_flow gw = flow_of(AS_GATEWAY);
        struct got got;
        unsigned came = 0;
        bool closed = false;
        gw.proto = SIP_TCP;
        gw.conn = 9;
        bench_open(b, NULL);
        phone_register(b, &b->bob);
        forget_sent(b);
        closed = feed_stream(b, &gw, r->text, r->n);
        while (arrived(b, &b->bob, &got)) {
            check_simply(&got.m);
            came++;
        }
        if (came != r->arrive || closed != r->closes) {
            print_error("%s: %u arrived, %s\n", r->name, came, closed ? "closed" : "open");
            bad++;
        }
        bench_close(b);
    }
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams),
        cmocka_unit_test(sealed_lies),
        cmocka_unit_test(folded_proof),
        cmocka_unit_test(streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
