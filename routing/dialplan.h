/* routing/dialplan.h - what a dialled string means (seed: the called number; RFC 3966, RFC 5031).
 * Pure. Rules are data: country code, national and international prefixes, local area, emergency
 * and provisioning codes come from the configuration. */
#ifndef ROUTING_DIALPLAN_H
#define ROUTING_DIALPLAN_H

#include "base/err.h"
#include "base/view.h"

enum dial_class {
    DIAL_PROVISIONING, /* 611 */
    DIAL_EMERGENCY,    /* 911, 112, urn:service:sos[.*] */
    DIAL_SUBSCRIBER,   /* E.164 */
    DIAL_INVALID
};

struct dialplan {
    struct view provisioning; /* "611" */
    struct view emergency[8]; /* "911", "112" */
    unsigned n_emergency;
    struct view country_code;         /* "1" */
    struct view national_prefix;      /* "1" */
    struct view international_prefix; /* "011" */
    struct view area;                 /* prepended to 7 digits, "212"; may be empty */
    unsigned national_digits;         /* 10 */
};

#define DIAL_E164_MAX 64 /* a number needs 17, the rest is for service URNs; incl. NUL */

struct dialled {
    enum dial_class class;
    /* DIAL_SUBSCRIBER: "+...". DIAL_EMERGENCY by URN: "urn:service:sos.police" in lower case, the
     * parent "urn:service:sos" when the sub-service is malformed or too long. DIAL_INVALID: the
     * keys as dialled when they are only 0-9 + * # and fit, else "". Else the code as dialled. */
    char e164[DIAL_E164_MAX];
};

/* digits: the user part or tel number after sip_uri_digits(), or the urn text (with or without
 * "urn:"). Numbers of our own country must have national_digits digits, dialled as E.164 too. */
struct dialled dialplan_classify(const struct dialplan *p, struct view digits);

/* Digits that count in a context (RFC 3966 section 5.1.5) as keys of ours. A global number and our
 * own codes need no context. "+1212": the digits with it in front, when that is a number by this
 * plan; else, in our own country, as they are. A name: as they are when it is `domain` (any case).
 * *67 and *82 in front of an emergency code go.
 * dst gets the keys. E_NOTFOUND: a context that is not ours, whose local numbers we do not know;
 * E_RANGE: they do not fit. */
MUST_CHECK enum err dialplan_keys(const struct dialplan *p, struct view digits, struct view context,
                                  struct view domain, char *dst, size_t dst_bytes);

#endif
