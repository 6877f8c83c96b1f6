/* authz/bti_mac.h - the BTI-MAC scheme: one MAC over a whole SIP message as it stands on the wire.
 *
 * Standard   RFC 2104 HMAC-SHA-256; header syntax RFC 3261 section 25.1 (auth-param), new scheme by
 * section 25; docs/protocol.md "BTI-MAC". Seed: Summary (message authentication), step 310 ff.
 * (keys per direction). Shape      header value: BTI-MAC kid=<32 hex>, seq=<decimal>, mac=<64 hex>
 * in exactly this order and spelling, one SP after the scheme and after each comma, lower-case hex.
 * kid names the session; seq is 64-bit, starts at 1, strictly increasing for each key and
 * direction. In Authentication-Info the same three parameters stand without the scheme name. Which
 * request BTI->GC Proxy-Authorization (REGISTER: Authorization); request GC->BTI Authorization;
 *            every response, either way, Authentication-Info.
 * MAC        over all octets of the message with the 64 mac digits replaced by '0'.
 * Errors     parse: E_PARSE, E_RANGE. verify: E_AUTH. Threads: pure; a key may be shared. */
#ifndef AUTHZ_BTI_MAC_H
#define AUTHZ_BTI_MAC_H

#include "base/crypto.h"

#define BTI_KID_BYTES     16
#define BTI_MAC_VALUE_MAX 168 /* longest header value incl. NUL */
#define BTI_MAC_DIGITS    64

struct bti_mac {
    uint8_t kid[BTI_KID_BYTES];
    uint64_t seq;
    struct view digits; /* the 64 hex digits, inside the message */
};

/* True when the value begins with the scheme name (a header of another scheme is not ours). */
bool bti_mac_is(struct view header_value);
MUST_CHECK enum err bti_mac_parse(struct view header_value, bool with_scheme, struct bti_mac *out);
/* Header value with 64 zeros as mac; returns its length. */
size_t bti_mac_format(bool with_scheme, const uint8_t kid[BTI_KID_BYTES], uint64_t seq,
                      char out[BTI_MAC_VALUE_MAX]);
/* raw is the whole message; digits must lie inside it (else E_PARSE). */
MUST_CHECK enum err bti_mac_verify(const struct hmac_key *k, struct view raw, struct view digits);
/* Computes and writes the 64 digits in place at msg[at..at+64). */
MUST_CHECK enum err bti_mac_fill(const struct hmac_key *k, char *msg, size_t n, size_t at);

#endif
