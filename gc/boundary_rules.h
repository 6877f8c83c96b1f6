/* gc/boundary_rules.h - the rules at the edge of the trust domain: one name each, for the counter
 * headgate_boundary_total{rule="..."}, the ladder of a call, and docs/identity.md, which says why.
 * What each rule does is a row of gc/boundary_rules.c. */
#ifndef GC_BOUNDARY_RULES_H
#define GC_BOUNDARY_RULES_H

/* R(X, id, name) */
#define BOUNDARY_RULES(R, X)                                                                       \
    R(X, ASSERTED, "p_asserted_identity")                                                          \
    R(X, PREFERRED, "p_preferred_identity")                                                        \
    R(X, REMOTE_PARTY, "remote_party_id")                                                          \
    R(X, PRIVACY, "privacy")                                                                       \
    R(X, IDENTITY, "identity")                                                                     \
    R(X, HISTORY, "history_info")                                                                  \
    R(X, DIVERSION, "diversion")                                                                   \
    R(X, TRACE_PARTY, "p_dcs_trace_party_id")                                                      \
    R(X, OSPS, "p_dcs_osps")                                                                       \
    R(X, BILLING, "p_dcs_billing_info")                                                            \
    R(X, LAES, "p_dcs_laes")                                                                       \
    R(X, REDIRECT, "p_dcs_redirect")                                                               \
    R(X, DCS_OTHER, "p_dcs_other")                                                                 \
    R(X, DCS_DRAFT, "dcs_draft")                                                                   \
    R(X, MEDIA_AUTHORIZATION, "p_media_authorization")                                             \
    R(X, CHARGING, "p_charging")                                                                   \
    R(X, ACCESS_NETWORK, "p_access_network_info")                                                  \
    R(X, VISITED_NETWORK, "p_visited_network_id")                                                  \
    R(X, CALLED_PARTY, "p_called_party_id")                                                        \
    R(X, ASSOCIATED_URI, "p_associated_uri")                                                       \
    R(X, EARLY_MEDIA, "p_early_media")                                                             \
    R(X, P_OTHER, "p_other")                                                                       \
    R(X, IMS, "ims")                                                                               \
    R(X, RESOURCE, "resource_priority")                                                            \
    R(X, ACCEPT_RESOURCE, "accept_resource_priority")                                              \
    R(X, ALERT, "alert_info")                                                                      \
    R(X, CALL_INFO, "call_info")                                                                   \
    R(X, ERROR_INFO, "error_info")                                                                 \
    R(X, ANSWER_MODE, "answer_mode")                                                               \
    R(X, LOCATION_ROUTING, "geolocation_routing")                                                  \
    R(X, LOCATION_ERROR, "geolocation_error")                                                      \
    R(X, REASON, "reason")                                                                         \
    R(X, REFERRED, "referred_by")                                                                  \
    R(X, CALL_BACK, "psap_callback")                                                               \
    R(X, FEATURE, "feature_caps")                                                                  \
    R(X, CHALLENGE, "challenge")                                                                   \
    R(X, USER, "user_privacy")                                                                     \
    R(X, REPLY, "reply_to")                                                                        \
    R(X, URI_HEADER, "uri_header")                                                                 \
    R(X, URI_ODD, "uri_odd")                                                                       \
    R(X, BODY_SIP, "body_sip")                                                                     \
    R(X, BODY_SIGNALLING, "body_signalling")                                                       \
    R(X, BODY_OPAQUE, "body_opaque")

#endif
