/* routing/snapshot.h - everything that decides a call, as one immutable object: lines, numbers,
 * BTIs, credentials, trunks, dial rules, routes, emergency routes. Made by the store thread
 * (gc/store.h), read by the workers without locks.
 *
 * Shape      arrays plus open-addressing hash indexes (keyed SipHash); texts live in the snapshot.
 * File       snapshot_save/_load: versioned, SHA-256 at the end, written by temp file + rename, so
 * that a node starts with PostgreSQL down; holds no key. E_PARSE: not ours, truncated or altered.
 * Ownership  the snapshot owns all; views point into it and live as long as the caller's pinned
 * snapshot. Threads    building: one thread. Reading: any number. */
#ifndef ROUTING_SNAPSHOT_H
#define ROUTING_SNAPSHOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/view.h"

#define SNAPSHOT_NUMBER_MAX   16
#define SNAPSHOT_NAME_MAX     64 /* octets; longer names are cut, control characters dropped */
#define SNAPSHOT_PREFIX_MAX   63
#define SNAPSHOT_NEXT_HOP_MAX 255

/* What a line subscribes to and has switched on; all off for a line without a service record. */
enum line_service {
    LINE_CALLER_ID = 1,        /* it is shown who calls */
    LINE_PRIVATE = 2,          /* its calls are private unless *82 says otherwise */
    LINE_REJECTS_ANONYMOUS = 4 /* *77: calls whose caller hides are refused (433) */
};
#define LINE_SERVICES 7u /* all of them */
enum line_forward { FORWARD_ALWAYS, FORWARD_BUSY, FORWARD_NO_ANSWER, FORWARDS };

struct line {
    uint64_t line_id, account_id;
    struct view number;            /* primary E.164, "+12125550101"; empty: none yet */
    struct view display;           /* caller name, UTF-8, <= 64 octets; may be empty */
    bool barred;                   /* account or line: only 611 and emergency */
    uint8_t level;                 /* 0 user, 1 administrator */
    uint32_t services;             /* enum line_service */
    struct view forward[FORWARDS]; /* E.164; empty: not forwarded */
    uint16_t no_answer_s;          /* FORWARD_NO_ANSWER: how long it rings first; 0: 20 */
    struct view priority; /* highest r-value of each namespace that it may ask for, by spaces */
};

struct bti_row {
    uint8_t bti_id[16];
    uint64_t line_id;
    bool revoked;
};

struct number_row {
    struct view number;
    uint64_t line_id;
};

enum route_kind { ROUTE_NEXT_HOP, ROUTE_EMERGENCY };

/* When a route may be used, in the clock of its trunk's place: minutes of UTC offset are the row's.
 * days: bit 0 Monday ... bit 6 Sunday; 0: always. from_min == to_min: the whole day; from > to:
 * across midnight, counted to the day on which it began. */
struct route_time {
    uint8_t days;
    uint16_t from_min, to_min;
    int16_t utc_offset_min;
};

struct route {
    struct view prefix; /* E.164 prefix with '+', or keys ("911", "*72"), or a service URN */
    enum route_kind kind;
    uint32_t priority;    /* lower first */
    struct view next_hop; /* "sip:192.0.2.9:5060;transport=udp", numeric address; empty: trunk_id */
    struct view name;
    uint64_t route_id;     /* tells rows apart */
    uint64_t trunk_id;     /* 0: next_hop */
    uint32_t weight;       /* among equals in prefix and priority (as RFC 2782); 0 counts as 1 */
    uint32_t max_channels; /* live calls over this route at a time on this node; 0: no limit */
    struct route_time when;
};

/* A number as it is written towards a trunk. */
enum number_form { NUMBER_E164, NUMBER_BARE, NUMBER_NATIONAL }; /* +12125550101, 1212..., 212... */

/* What is done with the Identity header (RFC 8224) of a call from a trunk. */
enum stir_verify { STIR_VERIFY_OFF, STIR_VERIFY_MARK, STIR_VERIFY_REJECT };

enum trunk_auth {
    TRUNK_BY_ADDRESS, /* sources: its addresses */
    TRUNK_BY_NAME     /* mutual TLS: tls_name is an identity of its certificate (RFC 5922) */
};

struct trunk { /* a gateway, a PSAP, a peer gate controller, a feature server */
    uint64_t trunk_id;
    struct view name;
    struct view host; /* numeric address or domain name: RFC 3263 decides on addresses */
    uint16_t port;    /* 0: by RFC 3263 */
    uint8_t proto;    /* enum sip_proto + 1; 0: by RFC 3263 */
    enum trunk_auth auth;
    struct view tls_name;  /* TRUNK_BY_NAME, and checked when we connect by TLS; empty: host */
    struct view sources;   /* "192.0.2.0/24 2001:db8::/32": where its requests come from */
    bool trusts_identity;  /* its P-Asserted-Identity is believed (RFC 3325) */
    bool sends_identity;   /* ours goes to it, private ones too */
    bool stir_sign;        /* calls to it get an Identity header of ours */
    uint8_t stir_verify;   /* enum stir_verify, of calls from it */
    bool may_transit;      /* calls from it may go to trunks */
    bool disabled;         /* takes and gives no new call */
    enum number_form form; /* of called and calling numbers */
    uint32_t strip;        /* digits taken from the front of a called number in that form */
    struct view add;       /* then put in front */
    struct view
        default_number; /* E.164 shown when the caller has none that it knows; may be empty */
    uint32_t max_channels, max_cps; /* live calls; new ones a second, both ways; 0: no limit */
    uint32_t ping_s;                /* OPTIONS each; 0: never, always taken for healthy */
    struct view auth_user,
        auth_sealed;      /* answers to its Digest challenges; sealed by the cluster key */
    struct view priority; /* as that of a line */
    bool is_operator;     /* may verify busy lines and break into calls (RFC 5503 section 6) */
};

enum digest_algorithm { DIGEST_SHA256, DIGEST_MD5 };

struct credential { /* a standard phone's Digest credentials (RFC 8760) */
    uint64_t credential_id, line_id;
    struct view username; /* <= 64 octets, token characters */
    enum digest_algorithm algorithm;
    struct view
        ha1_sealed; /* H(username ":" realm ":" password), 16 or 32 octets, under the cluster key */
    bool disabled;
};

enum mode_scope { MODE_ALL, MODE_REGION, MODE_TRUNKS };

/* An emergency mode that is or will be in force; whoever reads it looks at the clock. */
struct emergency_mode {
    uint64_t mode_id;
    uint64_t declared_us, ends_us; /* wall */
    enum mode_scope scope;
    uint8_t share;                           /* percent that calls without priority may have */
    struct view prefixes;                    /* MODE_REGION: "+1212 +44", of either number */
    struct view trunks;                      /* MODE_TRUNKS: ids by spaces */
    struct view exempt_lines, exempt_trunks; /* ids by spaces */
    struct view declared_by, reason;
};

/* Dial plan rows: tried before the built-in plan, longest pattern prefix first, then lower rank. */
struct dial_rule {
    struct view prefix;             /* of the dialled keys: 0-9 * # and a leading + */
    uint8_t min_digits, max_digits; /* of the whole string, "+" not counted; 0, 0: any */
    uint32_t rank;
    uint32_t strip;  /* keys taken from the front */
    struct view add; /* then put in front; "+44" */
    bool is_feature; /* the result is a feature code or short number: routed as it is, not as E.164
                      */
    bool blocked;    /* refused with 403 */
    struct view name;
};

struct snapshot;

struct snapshot_input {  /* arrays are read, not kept; texts are copied */
    uint64_t change_seq; /* last change number that these rows contain */
    const struct line *lines;
    size_t n_lines;
    const struct number_row *numbers;
    size_t n_numbers;
    const struct bti_row *btis;
    size_t n_btis;
    const struct route *routes;
    size_t n_routes;
    const struct trunk *trunks;
    size_t n_trunks;
    const struct credential *credentials;
    size_t n_credentials;
    const struct dial_rule *rules;
    size_t n_rules;
    const struct emergency_mode *modes;
    size_t n_modes;
};

/* E_PARSE with `why` naming row and column when a line, number or BTI makes no sense (one of an
 * unknown line too: read all tables in one transaction); E_EXISTS: number twice; E_NOMEM. A primary
 * number that has no row in numbers gets one. What makes no sense in a line's service record is
 * left out of it and counted: a bad forwarding is none, the line stays. A trunk, route, dial rule
 * or credential that makes no sense (routing/plan_check.h), or names a trunk or line that is not
 * there, is left out: logged as snapshot.row_left_out and counted. */
MUST_CHECK enum err snapshot_build(const struct snapshot_input *in, struct snapshot **out,
                                   char *why, size_t why_bytes);
/* A few changed rows over a large snapshot, in the time that these rows take: what is read is
 * looked for in them, then in base, which must outlive the result and be no overlay itself. */
struct snapshot_delta {
    struct snapshot_input rows; /* trunks, routes, rules, modes count only with has_plan: all */
    bool has_plan;
    const uint64_t *masked_lines; /* rising; base shows no such line, number or credential */
    size_t n_masked_lines;
    const uint8_t *masked_btis; /* 16 octets each, rising */
    size_t n_masked_btis;
};
/* As snapshot_build(); E_EXISTS also when base gives a number or a username of rows to a line that
 * is not masked. An overlay's lines, numbers, BTIs and credentials cannot be enumerated, nor can it
 * be saved. */
MUST_CHECK enum err snapshot_overlay(const struct snapshot *base, const struct snapshot_delta *d,
                                     struct snapshot **out, char *why, size_t why_bytes);
void snapshot_free(struct snapshot *s);
uint64_t snapshot_change_seq(const struct snapshot *s);
/* Tells this one from all others, as neither its address (used again) nor its change_seq (the same
 * for rows of changes that are not all in yet) does. */
uint64_t snapshot_id(const struct snapshot *s);
size_t snapshot_left_out(const struct snapshot *s); /* rows that made no sense */
size_t snapshot_lines(const struct snapshot *s);
/* Enumeration, for incremental rebuilding; not of an overlay. i < snapshot_lines() etc. */
const struct line *snapshot_line_at(const struct snapshot *s, size_t i);
void snapshot_parts(const struct snapshot *s, struct snapshot_input *out); /* borrowed arrays */

const struct line *snapshot_line(const struct snapshot *s, uint64_t line_id); /* NULL */
const struct line *snapshot_line_of_number(const struct snapshot *s, struct view e164);
bool snapshot_owns_number(const struct snapshot *s, uint64_t line_id, struct view e164);
const struct bti_row *snapshot_bti(const struct snapshot *s, const uint8_t bti_id[16]);
/* Hash lookup; NULL. A disabled one is found too. */
const struct credential *snapshot_credential(const struct snapshot *s, struct view username,
                                             enum digest_algorithm algorithm);

/* Trunks, routes and rules: of an overlay too. */
const struct trunk *snapshot_trunk(const struct snapshot *s, uint64_t trunk_id); /* NULL */
const struct trunk *snapshot_trunk_of_name(const struct snapshot *s, struct view name);
size_t snapshot_trunks(const struct snapshot *s);
const struct trunk *snapshot_trunk_at(const struct snapshot *s, size_t i); /* i < snapshot_trunks */
size_t snapshot_modes(const struct snapshot *s);
const struct emergency_mode *snapshot_mode_at(const struct snapshot *s, size_t i);
size_t snapshot_all_routes(const struct snapshot *s);
const struct route *snapshot_route_at(const struct snapshot *s, size_t i);
/* Every route whose prefix matches: longest prefix first, then priority, then name; up to max;
 * returns how many. */
size_t snapshot_routes(const struct snapshot *s, enum route_kind kind, struct view digits,
                       const struct route **out, size_t max);
/* Every dial rule whose prefix matches the keys: longest prefix first, then rank, then name. */
size_t snapshot_rules(const struct snapshot *s, struct view keys, const struct dial_rule **out,
                      size_t max);

/* Mode 0600. Save: E_IO, E_RANGE (path), E_NOMEM. Load: E_NOTFOUND, E_PARSE, E_IO, E_NOMEM. */
MUST_CHECK enum err snapshot_save(const struct snapshot *s, const char *path);
MUST_CHECK enum err snapshot_load(const char *path, struct snapshot **out);

#endif
