/* signaling/sip_uri.h - sip:, sips: and tel: URIs and name-addr headers, by our own bounded reader.
 * Standard RFC 3261 section 19.1, 25.1; RFC 3966. Views point into the text given. Pure. */
#ifndef SIGNALING_SIP_URI_H
#define SIGNALING_SIP_URI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

enum sip_scheme { SIP_SCHEME_SIP, SIP_SCHEME_SIPS, SIP_SCHEME_TEL, SIP_SCHEME_URN };

struct sip_uri {
    enum sip_scheme scheme;
    struct view user;     /* tel: the number; urn: all after "urn:" ; escapes as written */
    struct view password; /* always refused by policy, parsed to be seen */
    struct view host;     /* without []; empty for tel/urn */
    uint16_t port;        /* 0 = absent */
    struct view params;   /* after the first ';', without it */
    struct view headers;  /* after '?', without it */
    bool has_nul;         /* %00 in the user part: never to be unescaped into a C string */
};

/* E_PARSE; E_NOTFOUND for an unknown scheme (416). A malformed escape, %00 outside of a sip: URI's
 * user part, an empty or repeated parameter and any octet that RFC 3261 does not let stand in a URI
 * give E_PARSE. */
MUST_CHECK enum err sip_uri_parse(struct view text, struct sip_uri *out);
/* Parameter of a ";a=b;c" list, name in any case. False when absent; value may be empty. */
bool sip_param(struct view params, struct view name, struct view *out_value);
/* User part with escapes undone and visual separators of a telephone number ("-.() ") dropped;
 * E_RANGE when it does not fit, E_PARSE on a bad escape. */
MUST_CHECK enum err sip_uri_digits(const struct sip_uri *u, char *dst, size_t dst_bytes);
/* phone-context of a telephone number, in tel: or in the user part (RFC 3966 section 5.1.5): where
 * a local number counts, "+1212" or "example.com". False: none. */
bool sip_uri_phone_context(const struct sip_uri *u, struct view *out);
/* RFC 3261 section 19.1.4 equality of the parts that we compare: scheme, user (escapes undone; tel:
 * without visual separators), host, port (an absent one is the scheme's default here, because both
 * lead to the same place). */
bool sip_uri_same(const struct sip_uri *a, const struct sip_uri *b);

struct view sip_trim(struct view v); /* drops blanks and folds at both ends */
/* Walks a ";a=b;c" list: false at its end. has_value tells "a=" from "a". Quotes are minded. */
struct sip_param_item {
    struct view name, value;
    bool has_value;
};
bool sip_param_next(struct view *rest, struct sip_param_item *out);
/* Every parameter has a name (a token), a value when it has '=', no name twice, 32 at most. */
bool sip_params_ok(struct view params);
bool sip_escapes_ok(struct view v); /* each % with two hex digits, none of them %00 */
/* Name, IPv4 or (bracketed: without its []) IPv6 address. */
bool sip_host_ok(struct view host, bool bracketed);

struct sip_name_addr {   /* From, To, Contact, Route ... one element */
    struct view display; /* quotes removed, escapes as written */
    struct view uri_text;
    struct sip_uri uri;
    struct view params; /* header parameters, after the ';' */
    bool is_star;       /* Contact: * */
};
MUST_CHECK enum err sip_name_addr_parse(struct view element, struct sip_name_addr *out);

#endif
