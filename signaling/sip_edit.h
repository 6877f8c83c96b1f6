/* signaling/sip_edit.h - changes to a framed message, rendered in one pass over the raw octets; and
 * building of new messages. What is not changed is copied as it stands.
 *
 * A message without Content-Length (a datagram) gets one, because the next hop may be a stream.
 * Ownership  texts given must live until sip_edit_render(); formatted ones are kept in the edit
 * itself. Overlaps   the same octets changed twice: the last text wins; a change inside a removed
 * line is gone with it. Errors     E_FULL: too many changes or text past SIP_EDIT_TEXT;
 * E_PARSE: a text holds a line end (folds excepted) or a control octet, so no header can be
 * injected; E_STATE: a body without any Content-Type; sticky: check at render. E_RANGE: result
 * larger than the buffer. Threads: one thread at a time. */
#ifndef SIGNALING_SIP_EDIT_H
#define SIGNALING_SIP_EDIT_H

#include "signaling/sip_msg.h"

#define SIP_EDIT_OPS  256   /* every header line of a message and what we add */
#define SIP_EDIT_TEXT 12288 /* two Identity headers and the rest */

struct sip_edit_op {
    size_t at;        /* offset in raw */
    size_t cut;       /* octets removed there */
    struct view text; /* put in their place */
    unsigned order;
};

struct sip_edit {
    const struct sip_msg *m;
    enum err bad;
    unsigned n;
    struct sip_edit_op op[SIP_EDIT_OPS];
    bool has_body; /* body replaces the message's */
    struct view body, content_type;
    size_t used;
    char text[SIP_EDIT_TEXT];
};

void sip_edit_begin(struct sip_edit *e, const struct sip_msg *m);
void sip_edit_uri(struct sip_edit *e, struct view uri);            /* Request-URI */
void sip_edit_remove(struct sip_edit *e, const struct sip_hdr *h); /* whole line(s) */
void sip_edit_remove_all(struct sip_edit *e, enum sip_hdr_id id);
void sip_edit_remove_top_value(struct sip_edit *e,
                               const struct sip_hdr *h); /* first list element */
void sip_edit_value(struct sip_edit *e, const struct sip_hdr *h, struct view value);
void sip_edit_part(struct sip_edit *e, struct view part, struct view text); /* of a value */
/* New line "Name: value" before the first line of `before` (SIP_H_OTHER or absent: as last header).
 */
void sip_edit_insert(struct sip_edit *e, enum sip_hdr_id before, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* received= and rport= (this one only when the sender asked for it) of the topmost Via, set from
 * the socket (RFC 3261 18.2.1, RFC 3581); whatever the sender wrote there is dropped. */
void sip_edit_via_source(struct sip_edit *e, const char *ip, uint16_t port);
/* Next received or rport parameter of one Via value at or after *at: with its ';'. Moves *at. */
bool sip_via_source_param(struct view value, size_t *at, struct view *out);
/* Replaces the body and Content-Length (and Content-Type when given). */
void sip_edit_body(struct sip_edit *e, struct view content_type_or_empty, struct view body);
MUST_CHECK enum err sip_edit_render(struct sip_edit *e, char *dst, size_t dst_bytes, size_t *out_n);

/* Growing text over a caller's buffer for new messages; sticky failure. */
struct sip_text {
    char *p;
    size_t n, max;
    bool bad;
};
void sip_text_add(struct sip_text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sip_text_view(struct sip_text *t, struct view v);

/* Response to m (RFC 3261 section 8.2.6): copies Via (as fixed by the source; source_ip NULL: as it
 * stands), From, To (+ to_tag when m has none and status > 100), Call-ID (of a refused request:
 * what there is of these), CSeq, Record-Route when status is 101..299, Timestamp when it is 100;
 * then `extra` (whole header lines with their CRLF, may be empty), Content-Length and body; all of
 * the head made plain. E_STATE when m.can_answer is false. */
MUST_CHECK enum err sip_response(const struct sip_msg *m, unsigned status,
                                 const char *reason_or_null, struct view to_tag,
                                 const char *source_ip, uint16_t source_port, struct view extra,
                                 struct view content_type, struct view body, char *dst,
                                 size_t dst_bytes, size_t *out_n);
/* ACK for a non-2xx final response (17.1.1.3) and CANCEL (9.1), from the request as it was sent.
 * reason_header: the value of a Reason header (RFC 3326), e.g. "SIP;cause=200". */
MUST_CHECK enum err sip_ack_for(const struct sip_msg *invite_sent, const struct sip_msg *response,
                                char *dst, size_t dst_bytes, size_t *out_n);
MUST_CHECK enum err sip_cancel_for(const struct sip_msg *invite_sent,
                                   const char *reason_header_or_null, char *dst, size_t dst_bytes,
                                   size_t *out_n);

#endif
