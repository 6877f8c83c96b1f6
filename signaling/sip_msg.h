/* signaling/sip_msg.h - the strict framer: one SIP message over its raw octets.
 *
 * Standard   RFC 3261 sections 7, 18.3, 20, 25; limits are ours. Runs before anything else looks at
 * a message, libosip2 included.
 * Refuses    bare CR, bare LF; NUL and other controls in the head, unless a quoted-pair in a
 * quoted string of a header of addresses hides them; a folded Content-Length, blank continuation
 * lines anywhere; a method that is no token; a version not
 * exactly SIP/2.0; a status line not "SIP/2.0 SP 3DIGIT SP"; a header name that is no token;
 * missing Via, From, To, Call-ID, CSeq, and Content-Length on a stream; a repeated singleton (also
 * by compact form); CSeq number >= 2^31 or its method not the request's; Content-Length not digits
 * or, on a datagram, past its end; Max-Forwards past 255; a malformed % escape in the Request-URI
 * or in the URI of From, To, Contact, Route, Record-Route, Path, identities; %00 in these, but for
 * the user part in From, To and Contact; headers in the Request-URI; an empty or repeated
 * parameter; a body without Content-Type; more than SIP_MAX_HEADERS lines, SIP_MAX_BYTES octets,
 * SIP_MAX_LIST elements in a list header, 256 elements in all. A datagram longer than its
 * Content-Length is cut (RFC 3261 section 18.3). Ownership  every view points into `raw`, which the
 * caller keeps unchanged while the sip_msg is used. Errors     E_PARSE/E_RANGE with `why` (a
 * literal naming the header or rule, fit for a reason phrase) and .refuse_status (400, 414, 501,
 * 505, 513); as much of the message as was understood stays filled in (so that an answer can be
 * built when .can_answer is true: a request but ACK whose top Via and CSeq are there and have the
 * right shape). Folds      a message that .is_odd is well formed, and the next hop may read it in
 * another way. Whoever has checked its MAC, which covers the octets as they came, copies it, makes
 * the head of the copy plain by sip_plain() and frames that: nothing behind the door ever sees a
 * fold. Threads    pure. */
#ifndef SIGNALING_SIP_MSG_H
#define SIGNALING_SIP_MSG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

#define SIP_MAX_BYTES   8192 /* head and body of one message */
#define SIP_MAX_HEADERS 96
#define SIP_MAX_LIST    80 /* a Via for each of 70 hops, and some more */
#define SIP_MAX_URI     512
#define SIP_MAX_CALL_ID 256
#define SIP_MAX_TAG     192
#define SIP_MAX_METHOD  64

/* clang-format off */
/* id, name, compact form (RFC 3261 section 7.3.3 and the IANA registry) */
#define SIP_HEADERS(X) \
    X(VIA, "Via", 'v') \
    X(FROM, "From", 'f') \
    X(TO, "To", 't') \
    X(CALL_ID, "Call-ID", 'i') \
    X(CSEQ, "CSeq", 0) \
    X(MAX_FORWARDS, "Max-Forwards", 0) \
    X(CONTACT, "Contact", 'm') \
    X(ROUTE, "Route", 0) \
    X(RECORD_ROUTE, "Record-Route", 0) \
    X(EXPIRES, "Expires", 0) \
    X(CONTENT_LENGTH, "Content-Length", 'l') \
    X(CONTENT_TYPE, "Content-Type", 'c') \
    X(CONTENT_ENCODING, "Content-Encoding", 'e') \
    X(AUTHORIZATION, "Authorization", 0) \
    X(PROXY_AUTHORIZATION, "Proxy-Authorization", 0) \
    X(WWW_AUTHENTICATE, "WWW-Authenticate", 0) \
    X(PROXY_AUTHENTICATE, "Proxy-Authenticate", 0) \
    X(AUTHENTICATION_INFO, "Authentication-Info", 0) \
    X(PROXY_REQUIRE, "Proxy-Require", 0) \
    X(REQUIRE, "Require", 0) \
    X(SUPPORTED, "Supported", 'k') \
    X(UNSUPPORTED, "Unsupported", 0) \
    X(ALLOW, "Allow", 0) \
    X(RETRY_AFTER, "Retry-After", 0) \
    X(REASON, "Reason", 0) \
    X(SUBJECT, "Subject", 's') \
    X(EVENT, "Event", 'o') \
    X(REFER_TO, "Refer-To", 'r') \
    X(PRIVACY, "Privacy", 0) \
    X(WARNING, "Warning", 0) \
    X(P_ASSERTED_IDENTITY, "P-Asserted-Identity", 0) \
    X(P_PREFERRED_IDENTITY, "P-Preferred-Identity", 0) \
    X(REMOTE_PARTY_ID, "Remote-Party-ID", 0) \
    X(IDENTITY, "Identity", 'y') \
    X(HISTORY_INFO, "History-Info", 0) \
    X(DIVERSION, "Diversion", 0) \
    X(RESOURCE_PRIORITY, "Resource-Priority", 0) \
    X(SESSION_EXPIRES, "Session-Expires", 'x') \
    X(RSEQ, "RSeq", 0) \
    X(RACK, "RAck", 0) \
    X(MAX_BREADTH, "Max-Breadth", 0) \
    X(PATH, "Path", 0) \
    X(REPLACES, "Replaces", 0) \
    X(MIN_EXPIRES, "Min-Expires", 0) \
    X(USER_AGENT, "User-Agent", 0) \
    X(SERVER, "Server", 0) \
    X(DATE, "Date", 0) \
    X(REFERRED_BY, "Referred-By", 'b') \
    X(ALERT_INFO, "Alert-Info", 0) \
    X(CALL_INFO, "Call-Info", 0) \
    X(P_DCS, "P-DCS-", 0) /* any header whose name starts so */
/* clang-format on */

enum sip_hdr_id {
    SIP_H_OTHER,
#define SIP_H_ENUM(id, name, compact) SIP_H_##id,
    SIP_HEADERS(SIP_H_ENUM)
#undef SIP_H_ENUM
        SIP_H_COUNT
};

/* clang-format off */
#define SIP_METHODS(X) \
    X(INVITE) X(ACK) X(BYE) X(CANCEL) X(REGISTER) X(OPTIONS) X(PRACK) \
    X(UPDATE) X(INFO) X(REFER) X(SUBSCRIBE) X(NOTIFY) X(MESSAGE) X(PUBLISH)
/* clang-format on */
enum sip_method {
    SIP_M_OTHER,
#define SIP_M_ENUM(m) SIP_M_##m,
    SIP_METHODS(SIP_M_ENUM)
#undef SIP_M_ENUM
        SIP_M_COUNT
};

struct sip_hdr {
    uint8_t id;        /* enum sip_hdr_id */
    struct view name;  /* as written */
    struct view value; /* trimmed; may hold folds (CRLF + blank) when the message .is_odd */
    struct view line;  /* the whole line(s) incl. the final CRLF */
};

/* A top Via value taken apart (RFC 3261 section 20.42). Views into raw. */
struct sip_via {
    struct view version;     /* "2.0" */
    struct view transport;   /* "UDP" */
    struct view host;        /* without [] */
    uint16_t port;           /* 0 = absent */
    struct view branch;      /* may be empty */
    struct view received;    /* may be empty */
    bool has_rport;          /* parameter present */
    uint16_t rport;          /* its value; 0 = none */
    struct view first_value; /* this one Via value, when a line holds several */
};

struct sip_msg {
    struct view raw;  /* exactly the message, head and body */
    struct view head; /* start line .. empty line inclusive */
    struct view body;
    bool is_request;
    bool is_odd; /* folded, or with controls in quoted strings: sip_plain() before it goes on */
    bool can_answer;
    unsigned refuse_status;       /* what to answer when framing failed */
    enum sip_method method;       /* of the request, or of CSeq in a response */
    struct view method_text, uri; /* request only (method_text: CSeq's in a response) */
    unsigned status;              /* response only */
    struct view reason;
    struct view call_id, from_tag, to_tag; /* tags may be empty */
    uint32_t cseq;
    struct sip_via via; /* topmost */
    unsigned n_headers;
    struct sip_hdr h[SIP_MAX_HEADERS];
};

/* raw is one datagram, or exactly one message cut from a stream. */
MUST_CHECK enum err sip_frame(struct view raw, bool is_datagram, struct sip_msg *out,
                              const char **why);

/* In a head (or lines of one): the CRLF of a fold becomes two blanks, a control octet '?'. Nothing
 * moves. */
void sip_plain(char *head, size_t n);
/* The .is_odd message `odd`, made plain in buf and framed from there; out may be `odd` itself. */
MUST_CHECK enum err sip_frame_plain(const struct sip_msg *odd, bool is_datagram,
                                    char buf[SIP_MAX_BYTES], struct sip_msg *out);

/* One Via value; its version may be any, a message's must be 2.0. E_PARSE, E_RANGE. */
MUST_CHECK enum err sip_via_parse(struct view value, struct sip_via *out);

/* Stream cutting (RFC 3261 section 18.3): how many octets the first message of `buffered` takes.
 * E_STATE: more octets are needed; E_PARSE/E_RANGE: the stream is lost and must close. Leading
 * CRLFs (keep-alives, RFC 5626 section 4.4.1) are counted in *out_skip; *out_ping: they want an
 * answer of one CRLF. These two are always set: drop the skipped octets also on E_STATE (a lone
 * CRLF is left in place, it may become half of a ping). */
MUST_CHECK enum err sip_stream_cut(struct view buffered, size_t *out_skip, size_t *out_bytes,
                                   bool *out_ping);

/* First header with id at or after index `from`; NULL when none. */
const struct sip_hdr *sip_header(const struct sip_msg *m, enum sip_hdr_id id, unsigned from);
unsigned sip_header_index(const struct sip_msg *m, const struct sip_hdr *h);
struct view sip_header_value(const struct sip_msg *m,
                             enum sip_hdr_id id); /* first; empty when none */
const struct sip_hdr *sip_header_named(const struct sip_msg *m, struct view name);
const char *sip_method_name(enum sip_method m);
enum sip_method sip_method_of(struct view text);
enum sip_hdr_id sip_hdr_id_of(struct view name); /* full or compact form, any case */
const char *sip_reason(unsigned status);         /* the RFC's own phrase */

/* Lists: iterates the comma-separated elements of a header value, minding quotes and <>. */
struct sip_list {
    struct view rest;
};
struct sip_list sip_list_over(struct view value);
bool sip_list_next(struct sip_list *l, struct view *out_element);                  /* trimmed */
bool sip_list_has(const struct sip_msg *m, enum sip_hdr_id id, struct view token); /* option tags */

#endif
