/* lawful_intercept/cdc.h - call-data messages to a collection function: PacketCable PCESP, versions
 * 3 and 4 (PacketCable Electronic Surveillance; ETSI TS 101 909-20-1 Annex A).
 *
 * Encoding   BER by IMPLICIT tags, in the part of it that is DER: definite lengths, shortest form,
 * tags rising, so that every receiver takes it. Reading takes any definite lengths and skips what
 * later versions added behind the known fields.
 * Shape      one flat struct for all messages; cdc_tables.c says which fields each has. A text is
 * absent when empty, a number when 0.
 * Errors     E_RANGE: the message lacks a field that it must have, or has one too long, or with
 * octets that its type does not know; `why` names it. E_PARSE (reading): not that.
 * Ownership  views of a message that was read point into the octets. Threads: pure functions. */
#ifndef LAWFUL_INTERCEPT_CDC_H
#define LAWFUL_INTERCEPT_CDC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum {
    CDC_MAX = 160 * 1024,    /* two session descriptions and the rest */
    CDC_SDP_MAX = 64 * 1024, /* of one session description */
    CDC_CALLS_MAX = 4,       /* of a CCOpen */
    CDC_PARTIES_MAX = 8,     /* of a set of a ConferencePartyChange */
    CDC_SETS_MAX = 4,
    CDC_DISPLAY = 9
};

/* The number is the tag in Message. */
enum cdc_kind {
    CDC_ANSWER = 1,
    CDC_CCCLOSE = 2,
    CDC_CCOPEN = 3,
    CDC_ORIGINATION = 5,
    CDC_REDIRECTION = 7,
    CDC_RELEASE = 8,
    CDC_TERMINATION_ATTEMPT = 10,
    CDC_CCCHANGE = 12,
    CDC_DIALED_DIGITS = 15, /* version 4 */
    CDC_NETWORK_SIGNAL = 16,
    CDC_SUBJECT_SIGNAL = 17,
    CDC_MEDIA_REPORT = 18,
    CDC_SERVICE_INSTANCE = 19,
    CDC_CONFERENCE_CHANGE = 20 /* version 4 */
};

struct cdc_call { /* the sequence number names the call: "3909997400,42" */
    struct view sequence, system;
};

struct cdc_party {
    struct view dn, user_provided, ip_address, trunk_id, generic_address, generic_digits,
        generic_name, port, context;
};

struct cdc_content { /* one id for both directions, or one for each */
    struct view both, transmit, receive;
};

struct cdc_redirected {
    struct cdc_party last, original;
    uint32_t times; /* 1 to 100 */
};

struct cdc_set { /* of a conference */
    size_t n;
    struct cdc_party party[CDC_PARTIES_MAX];
    struct cdc_content content;
};

struct cdc_sets {
    size_t n;
    struct cdc_set set[CDC_SETS_MAX];
};

enum cdc_flow { CDC_DOWNSTREAM = 1, CDC_UPSTREAM, CDC_BOTH };
enum cdc_resource { CDC_RESERVED = 1, CDC_COMMITTED };

/* Of NetworkSignal: what the subject hears or sees. Values of the module. */
enum cdc_alerting { CDC_RINGING = 1, CDC_CALL_WAITING = 6, CDC_BARGE_IN = 10 };
enum cdc_audible {
    CDC_DIAL_TONE = 1,
    CDC_RINGBACK = 3,
    CDC_REORDER = 4,
    CDC_BUSY = 5,
    CDC_CONFIRMATION = 6,
    CDC_SPECIAL_INFORMATION = 10,
    CDC_DENIAL = 11
};

struct cdc_signal { /* SubjectSignal: at least one */
    struct view flash, dialed, feature_key, other;
};

struct cdc_display { /* general, called, calling, calling name, original called, last redirecting,
                        redirecting name, redirecting reason, message waiting */
    struct view text[CDC_DISPLAY];
};

struct cdc_message {
    uint32_t version; /* 3, 4 */
    enum cdc_kind kind;
    struct view case_id, element; /* <= 25, <= 15 octets */
    uint64_t at_us;               /* wall; written in UTC with milliseconds */
    struct cdc_call call;         /* Redirection: the old one */
    struct cdc_call related;      /* ServiceInstance; Redirection: the new one */
    size_t n_open;                /* CCOpen: 1 or more calls of the content */
    struct cdc_call open[CDC_CALLS_MAX];
    struct cdc_content content;     /* CCOpen, CCChange, CCClose */
    struct view subject, associate; /* session descriptions: UTF-8, <= CDC_SDP_MAX */
    uint32_t flow, resource;        /* enum cdc_flow, enum cdc_resource */
    struct cdc_party calling, called, answering, redirected_to, redirected_from, first_calling,
        second_calling, signaled; /* signaled: version 4: to (network), from (subject) whom */
    struct cdc_redirected redirected;
    struct view user_input, translation_input; /* Origination: exactly one */
    struct view carrier;                       /* 3 to 7 octets */
    struct view service, other, digits;
    uint32_t alerting, audible;
    struct cdc_display display;
    struct cdc_signal signal;
    struct cdc_sets communicating, removed, joined;
};

const char *cdc_kind_name(enum cdc_kind kind); /* "Origination"; NULL: no such message */
/* Whether that version has that message. */
bool cdc_has(uint32_t version, enum cdc_kind kind);

/* One CdcPdu into dst. */
MUST_CHECK enum err cdc_write(const struct cdc_message *m, void *dst, size_t dst_bytes,
                              size_t *out_n, char *why, size_t why_bytes);
/* One CdcPdu at the front of octets; *out_n: how long it is. E_RANGE: it is not all there yet (more
 * octets may help, up to CDC_MAX). E_PARSE: why says where. */
MUST_CHECK enum err cdc_read(struct view octets, struct cdc_message *m, size_t *out_n, char *why,
                             size_t why_bytes);

/* What fits a VisibleString of at most max octets: other octets become '?', the rest is cut. dst
 * holds max + 1. */
struct view cdc_visible(struct view text, size_t max, char *dst);
/* Whether a session description could be sent: UTF-8 (RFC 3629). */
bool cdc_is_text(struct view text);
/* As much of it as could be: text.n octets, those that are no UTF-8 as '?'. */
void cdc_text(struct view text, char *dst);
bool cdc_is_visible_text(struct view text); /* VisibleString */

#endif
