/* The table of the trust boundary: which rule a header falls under, and what each rule does on each
 * way. docs/identity.md has the same rows with their reasons. */
#include "gc/boundary_int.h"

/* ---- headers that the framer knows -------------------------------------------------------------
 */
static const uint8_t of_id[SIP_H_COUNT] = {
    [SIP_H_P_ASSERTED_IDENTITY] = RULE_ASSERTED,
    [SIP_H_P_PREFERRED_IDENTITY] = RULE_PREFERRED,
    [SIP_H_REMOTE_PARTY_ID] = RULE_REMOTE_PARTY,
    [SIP_H_PRIVACY] = RULE_PRIVACY,
    [SIP_H_IDENTITY] = RULE_IDENTITY,
    [SIP_H_HISTORY_INFO] = RULE_HISTORY,
    [SIP_H_DIVERSION] = RULE_DIVERSION,
    [SIP_H_RESOURCE_PRIORITY] = RULE_RESOURCE,
    [SIP_H_ALERT_INFO] = RULE_ALERT,
    [SIP_H_CALL_INFO] = RULE_CALL_INFO,
    [SIP_H_REASON] = RULE_REASON,
    [SIP_H_REFERRED_BY] = RULE_REFERRED,
    [SIP_H_WWW_AUTHENTICATE] = RULE_CHALLENGE,
    [SIP_H_PROXY_AUTHENTICATE] = RULE_CHALLENGE,
    [SIP_H_SUBJECT] = RULE_USER,
    [SIP_H_USER_AGENT] = RULE_USER,
    [SIP_H_AUTHORIZATION] = RULE_PROOF,
    [SIP_H_PROXY_AUTHORIZATION] = RULE_PROOF,
    [SIP_H_AUTHENTICATION_INFO] = RULE_PROOF,
    [SIP_H_FROM] = RULE_URIS,
    [SIP_H_TO] = RULE_URIS,
    [SIP_H_CONTACT] = RULE_URIS,
    [SIP_H_REFER_TO] = RULE_URIS,
    [SIP_H_CONTENT_TYPE] = RULE_BODY,
};

/* ---- others, by their names: whole ones before beginnings --------------------------------------
 */
struct named {
    const char *name;
    uint8_t n;
    bool is_beginning; /* and whatever follows it */
    uint8_t rule;
};

#define WHOLE(name, rule)                                                                          \
    {                                                                                              \
        name, sizeof(name) - 1, false, RULE_##rule                                                 \
    }
#define BEGINNING(name, rule)                                                                      \
    {                                                                                              \
        name, sizeof(name) - 1, true, RULE_##rule                                                  \
    }
static const struct named of_p_dcs[] = {
    WHOLE("P-DCS-Trace-Party-ID", TRACE_PARTY), WHOLE("P-DCS-OSPS", OSPS),
    WHOLE("P-DCS-Billing-Info", BILLING),       WHOLE("P-DCS-LAES", LAES),
    WHOLE("P-DCS-Redirect", REDIRECT),          BEGINNING("P-DCS-", DCS_OTHER),
};
static const struct named of_name[] = {
    WHOLE("P-Media-Authorization", MEDIA_AUTHORIZATION),
    BEGINNING("P-Charging-", CHARGING),
    WHOLE("P-Access-Network-Info", ACCESS_NETWORK),
    WHOLE("P-Visited-Network-ID", VISITED_NETWORK),
    WHOLE("P-Called-Party-ID", CALLED_PARTY),
    WHOLE("P-Associated-URI", ASSOCIATED_URI),
    WHOLE("P-Early-Media", EARLY_MEDIA),
    BEGINNING("P-", P_OTHER),
    WHOLE("Identity-Info", IDENTITY),
    WHOLE("n", IDENTITY), /* its compact form (RFC 4474 section 9) */
    WHOLE("CC-Diversion", DIVERSION),
    WHOLE("RPID-Privacy", DCS_DRAFT),
    WHOLE("Anonymity", DCS_DRAFT),
    WHOLE("State", DCS_DRAFT),
    BEGINNING("Dcs-", DCS_DRAFT),
    WHOLE("Accept-Resource-Priority", ACCEPT_RESOURCE),
    WHOLE("Error-Info", ERROR_INFO),
    WHOLE("Answer-Mode", ANSWER_MODE),
    WHOLE("Priv-Answer-Mode", ANSWER_MODE),
    WHOLE("Geolocation-Routing", LOCATION_ROUTING),
    WHOLE("Geolocation-Error", LOCATION_ERROR),
    WHOLE("Priority", CALL_BACK),
    WHOLE("Feature-Caps", FEATURE),
    WHOLE("Attestation-Info", IMS),
    WHOLE("Origination-Id", IMS),
    WHOLE("Additional-Identity", IMS),
    WHOLE("Priority-Verstat", IMS),
    WHOLE("Cellular-Network-Info", IMS),
    WHOLE("Relayed-Charge", IMS),
    WHOLE("Service-Interact-Info", IMS),
    WHOLE("Restoration-Info", IMS),
    WHOLE("Response-Source", IMS),
    WHOLE("Organization", USER),
    WHOLE("In-Reply-To", USER),
    WHOLE("Reply-To", REPLY),
};
#undef WHOLE
#undef BEGINNING

static enum boundary_rule_id look(const struct named *row, size_t n, struct view name)
{
    char first = name.n > 0 ? (char)(name.p[0] | 32) : 0;

    for (size_t i = 0; i < n; i++) {
        if ((row[i].name[0] | 32) == first && name.n >= row[i].n &&
            (name.n == row[i].n || row[i].is_beginning) &&
            view_eq_nocase(view_sub(name, 0, row[i].n), view_from(row[i].name, row[i].n))) {
            return (enum boundary_rule_id)row[i].rule;
        }
    }
    return RULE_NONE;
}

enum boundary_rule_id boundary_rule_of(enum sip_hdr_id id, struct view name)
{
    if (id == SIP_H_P_DCS) {
        return look(of_p_dcs, sizeof of_p_dcs / sizeof of_p_dcs[0], name);
    }
    return id != SIP_H_OTHER ? (enum boundary_rule_id)of_id[id]
                             : look(of_name, sizeof of_name / sizeof of_name[0], name);
}

/* ---- what the rules do -------------------------------------------------------------------------
 * from outside to us, from us to outside, from inside to us. */
#define EVERY(act)                                                                                 \
    {                                                                                              \
        act, act, act, act                                                                         \
    }
#define EACH(setup, dialog, other, response)                                                       \
    {                                                                                              \
        setup, dialog, other, response                                                             \
    }
/* clang-format off */
const struct boundary_rule boundary_rules[RULE_COUNT] = {
    [RULE_ASSERTED]            = {{EVERY(REMOVE), EVERY(PRIVATE), EVERY(PASS)}},
    [RULE_PREFERRED]           = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(REMOVE)}},
    [RULE_REMOTE_PARTY]        = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_PRIVACY]             = {{EACH(CRITICAL, CRITICAL, CRITICAL, PASS), EVERY(PASS),
                                   EACH(CRITICAL, CRITICAL, CRITICAL, PASS)}},
    [RULE_IDENTITY]            = {{EVERY(REMOVE), EVERY(NOT_PEER), EVERY(PASS)}},
    [RULE_HISTORY]             = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_DIVERSION]           = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_TRACE_PARTY]         = {{EVERY(REMOVE), EVERY(REMOVE), EACH(PASS, REMOVE, REMOVE, REMOVE)}},
    [RULE_OSPS]                = {{EVERY(REMOVE), EVERY(PASS), EACH(BLV, BARGES, REFUSE, REMOVE)}},
    [RULE_BILLING]             = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_LAES]                = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_REDIRECT]            = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_DCS_OTHER]           = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_DCS_DRAFT]           = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(REMOVE)}},
    [RULE_MEDIA_AUTHORIZATION] = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(REMOVE)}},
    [RULE_CHARGING]            = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_ACCESS_NETWORK]      = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_VISITED_NETWORK]     = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_CALLED_PARTY]        = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_ASSOCIATED_URI]      = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_EARLY_MEDIA]         = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_P_OTHER]             = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_IMS]                 = {{EVERY(REMOVE), EVERY(REMOVE), EVERY(PASS)}},
    [RULE_RESOURCE]            = {{EACH(UNENTITLED, UNENTITLED, UNENTITLED, REMOVE), EVERY(PASS),
                                 EACH(UNENTITLED, UNENTITLED, UNENTITLED, PASS)}},
    [RULE_ACCEPT_RESOURCE]     = {{EVERY(REMOVE), EVERY(PASS), EVERY(PASS)}},
    [RULE_ALERT]               = {{EVERY(REMOVE), EVERY(PASS), EVERY(PASS)}},
    [RULE_CALL_INFO]           = {{EVERY(REMOVE), EVERY(USER), EVERY(PASS)}},
    [RULE_ERROR_INFO]          = {{EVERY(REMOVE), EVERY(PASS), EVERY(PASS)}},
    [RULE_ANSWER_MODE]         = {{EVERY(REMOVE), EVERY(PASS), EVERY(PASS)}},
    [RULE_LOCATION_ROUTING]    = {{EVERY(REMOVE), EVERY(PASS), EVERY(PASS)}},
    [RULE_LOCATION_ERROR]      = {{EVERY(REMOVE), EVERY(PASS), EVERY(PASS)}},
    [RULE_REASON]              = {{EVERY(FOREIGN), EVERY(PASS), EVERY(PASS)}},
    [RULE_REFERRED]            = {{EVERY(REMOVE), EVERY(URIS), EVERY(PASS)}},
    [RULE_CALL_BACK]           = {{EVERY(CALLS_BACK), EVERY(PASS), EVERY(CALLS_BACK)}},
    [RULE_FEATURE]             = {{EVERY(REMOVE), EVERY(PASS), EVERY(PASS)}},
    [RULE_CHALLENGE]           = {{EVERY(REMOVE), EVERY(PASS), EVERY(PASS)}},
    [RULE_USER]                = {{EVERY(PASS), EVERY(USER), EVERY(PASS)}},
    [RULE_REPLY]               = {{EVERY(URIS), EVERY(USER_URIS), EVERY(PASS)}},
    [RULE_PROOF]               = {{EVERY(OURS), EVERY(PASS), EVERY(OURS)}},
    [RULE_URIS]                = {{EVERY(URIS), EVERY(URIS), EVERY(PASS)}},
    [RULE_BODY]                = {{EVERY(BODY), EVERY(BODY), EVERY(PASS)}},
};
/* clang-format on */

const char *boundary_rule_name(enum boundary_rule_id rule)
{
#define AS_NAME(unused, id, name) name,
    static const char *const names[] = {"", BOUNDARY_RULES(AS_NAME, )};
#undef AS_NAME
    return (unsigned)rule < sizeof names / sizeof names[0] ? names[rule] : "";
}
