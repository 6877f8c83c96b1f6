/* lawful_intercept/message.h - as much of SIP (RFC 3261) as call data need. The messages come from
 * the tap: headgate has framed and checked them, so this reads leniently and decides nothing; what
 * it does not find is empty.
 *
 * Ownership  views point into the octets. Threads: pure functions. */
#ifndef LAWFUL_INTERCEPT_MESSAGE_H
#define LAWFUL_INTERCEPT_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum { LI_BARE_MORE = 80 }; /* octets that a message may grow by */

struct li_message {
    bool is_request;
    struct view method; /* of the request, or of CSeq */
    struct view uri;    /* Request-URI */
    unsigned status;    /* of a response */
    uint32_t cseq;
    struct view call_id, branch; /* of the topmost Via */
    struct view from, to;        /* whole values */
    struct view from_tag, to_tag;
    struct view contact, refer_to, content_type, coding, replaces, asserted, expires;
    struct view head, body; /* head: with its empty line */
};

/* E_PARSE: neither a request nor a response, or no empty line. */
MUST_CHECK enum err li_message_read(struct view octets, struct li_message *out);
/* The session description: the body, or the first part of a multipart one that is one, within
 * others too; empty. One that is packed (base64, gzip) is none. */
struct view li_message_sdp(const struct li_message *m);
/* User part of a URI or name-addr: "sip:+12125550101@x" gives "+12125550101"; tel: too. */
struct view li_user_of(struct view uri);

/* Where c stands outside of quoted strings. */
bool li_find_bare(struct view v, char c, size_t *out_at);
/* What ";name=" gives behind the address of a header's value; empty: nothing. */
struct view li_parameter(struct view value, struct view name);

/* A session description without what decrypts its media: lines a=crypto, k=, a=key-mgmt,
 * a=zrtp-hash, X-pc-secret, a=acap and others of that kind (pen register: 47 USC 1002(a)(2)). dst
 * holds sdp.n. */
size_t li_sdp_without_keys(struct view sdp, char *dst);

/* A message for an order that is not for content: without media keys, without bodies but a session
 * description (of a multipart body that part alone), without headers that tell a place
 * (Geolocation, P-Access-Network-Info) or carry words (Subject, User-to-User, Call-Info),
 * Content-Type and Content-Length set right. E_RANGE: dst is too small (m.head.n + m.body.n +
 * LI_BARE_MORE is enough). */
MUST_CHECK enum err li_message_without_content(const struct li_message *m, char *dst,
                                               size_t dst_bytes, size_t *out_n);

#endif
