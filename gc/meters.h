/* gc/meters.h - the metrics of the workers: one table, one place for names and help texts.
 *
 * Shape      METERS lists them; meters_declare() makes them in this order once, before threads.
 * Threads    meter(), meter_set(): the worker that owns the slot. No subscriber in any label. */
#ifndef GC_METERS_H
#define GC_METERS_H

#include "base/metrics.h"
#include "gc/boundary_rules.h"

#define AUTH_HELP   "Messages whose proof was missing or did not hold"
#define CALLS_HELP  "Calls routed, by what was dialled"
#define REFUSE_HELP "New calls refused, by reason"
#define REG_HELP    "REGISTER requests with proof, by what came of them"

#define BOUNDARY_AS_METER(X, id, name)                                                             \
    X(BOUNDARY_##id, COUNTER, "headgate_boundary_total", "rule=\"" name "\"",                      \
      "Headers and bodies that the edge of the trust domain took out or refused, by rule")

#define STAGE_HELP    "Time that a worker spends on one message, by stage of its way"
#define SIGNED_HELP   "Tokens signed, by attestation; div: of a diversion; none: it failed"
#define VERIFIED_HELP "Calls from trunks whose tokens were checked, by what came of it"

#define METERS(X)                                                                                  \
    X(RX_UDP, COUNTER, "headgate_messages_received_total", "proto=\"udp\"", "SIP messages in")     \
    X(RX_TCP, COUNTER, "headgate_messages_received_total", "proto=\"tcp\"", "SIP messages in")     \
    X(RX_TLS, COUNTER, "headgate_messages_received_total", "proto=\"tls\"", "SIP messages in")     \
    X(TX, COUNTER, "headgate_messages_sent_total", NULL, "SIP messages out")                       \
    X(TX_FAILED, COUNTER, "headgate_send_failures_total", NULL,                                    \
      "SIP messages that could not leave")                                                         \
    X(MALFORMED, COUNTER, "headgate_malformed_total", NULL, "Messages that the framer refused")    \
    X(DISAGREE, COUNTER, "headgate_disagreements_total", NULL,                                     \
      "Requests that two parsers read differently")                                                \
    X(SOURCE_LIMITED, COUNTER, "headgate_source_limited_total", NULL,                              \
      "Datagrams without proof dropped by the limit of their source")                              \
    X(LINE_LIMITED, COUNTER, "headgate_line_limited_total", NULL,                                  \
      "Proven requests refused because their line sends too many")                                 \
    X(HANDED_OVER, COUNTER, "headgate_handed_over_total", NULL,                                    \
      "Messages copied to the worker that owns their Call-ID")                                     \
    X(QUEUE_FULL, COUNTER, "headgate_queue_full_total", NULL,                                      \
      "Messages dropped because the owner's queue was full")                                       \
    X(AUTH_MISSING, COUNTER, "headgate_auth_failures_total", "reason=\"missing\"", AUTH_HELP)      \
    X(AUTH_MALFORMED, COUNTER, "headgate_auth_failures_total", "reason=\"malformed\"", AUTH_HELP)  \
    X(AUTH_UNKNOWN_KID, COUNTER, "headgate_auth_failures_total", "reason=\"unknown_kid\"",         \
      AUTH_HELP)                                                                                   \
    X(AUTH_KID_MISMATCH, COUNTER, "headgate_auth_failures_total", "reason=\"kid_mismatch\"",       \
      AUTH_HELP)                                                                                   \
    X(AUTH_BAD_MAC, COUNTER, "headgate_auth_failures_total", "reason=\"bad_mac\"", AUTH_HELP)      \
    X(AUTH_REVOKED, COUNTER, "headgate_auth_failures_total", "reason=\"revoked\"", AUTH_HELP)      \
    X(AUTH_BAD_DIGEST, COUNTER, "headgate_auth_failures_total", "reason=\"bad_digest\"",           \
      AUTH_HELP)                                                                                   \
    X(AUTH_DIGEST_URI, COUNTER, "headgate_auth_failures_total", "reason=\"digest_uri\"",           \
      AUTH_HELP)                                                                                   \
    X(AUTH_STALE_NONCE, COUNTER, "headgate_auth_failures_total", "reason=\"stale_nonce\"",         \
      AUTH_HELP)                                                                                   \
    X(AUTH_GUESSES, COUNTER, "headgate_auth_failures_total", "reason=\"guesses\"", AUTH_HELP)      \
    X(AUTH_OTHER_PARTY, COUNTER, "headgate_auth_failures_total", "reason=\"other_party\"",         \
      AUTH_HELP)                                                                                   \
    X(REPLAYS, COUNTER, "headgate_replays_total", NULL,                                            \
      "Messages with a number seen before and no live transaction of the same octets")             \
    X(CHALLENGES, COUNTER, "headgate_challenges_total", NULL, "401 and 407 sent")                  \
    X(ANSWERS_LIMITED, COUNTER, "headgate_answers_limited_total", NULL,                            \
      "Refusals to sources without proof that were not sent because of their limit")               \
    X(NO_TRANSACTION, COUNTER, "headgate_stray_responses_total", NULL,                             \
      "Responses that belong to no transaction")                                                   \
    X(CALLS_SUBSCRIBER, COUNTER, "headgate_calls_total", "class=\"subscriber\"", CALLS_HELP)       \
    X(CALLS_PROVISIONING, COUNTER, "headgate_calls_total", "class=\"provisioning\"", CALLS_HELP)   \
    X(CALLS_EMERGENCY, COUNTER, "headgate_calls_total", "class=\"emergency\"", CALLS_HELP)         \
    X(FEATURES, COUNTER, "headgate_features_total", NULL, "Feature codes that the gate answers")   \
    X(REFUSED_LIMIT, COUNTER, "headgate_calls_refused_total", "reason=\"limit\"", REFUSE_HELP)     \
    X(REFUSED_DRAINING, COUNTER, "headgate_calls_refused_total", "reason=\"draining\"",            \
      REFUSE_HELP)                                                                                 \
    X(REFUSED_BARRED, COUNTER, "headgate_calls_refused_total", "reason=\"barred\"", REFUSE_HELP)   \
    X(REFUSED_IDENTITY, COUNTER, "headgate_calls_refused_total", "reason=\"identity\"",            \
      REFUSE_HELP)                                                                                 \
    X(REFUSED_ROUTE, COUNTER, "headgate_calls_refused_total", "reason=\"route\"", REFUSE_HELP)     \
    X(REFUSED_ANONYMOUS, COUNTER, "headgate_calls_refused_total", "reason=\"anonymous\"",          \
      REFUSE_HELP)                                                                                 \
    X(REFUSED_MEDIA_KEYS, COUNTER, "headgate_calls_refused_total", "reason=\"media_keys\"",        \
      REFUSE_HELP)                                                                                 \
    X(REFUSED_PRIORITY, COUNTER, "headgate_calls_refused_total", "reason=\"priority\"",            \
      REFUSE_HELP)                                                                                 \
    X(REFUSED_MODE, COUNTER, "headgate_calls_refused_total", "reason=\"emergency_mode\"",          \
      REFUSE_HELP)                                                                                 \
    X(REFUSED_UNPROVEN, COUNTER, "headgate_calls_refused_total", "reason=\"unproven_limit\"",      \
      REFUSE_HELP)                                                                                 \
    X(PREEMPTED, COUNTER, "headgate_calls_preempted_total", NULL,                                  \
      "Calls that were ended for others")                                                          \
    X(DISPLACING, COUNTER, "headgate_calls_displacing_total", NULL,                                \
      "Calls of priority that waited for the place of another one")                                \
    X(MODES, GAUGE, "headgate_emergency_modes", NULL, "Emergency modes in force")                  \
    X(MODE_SHARE, GAUGE, "headgate_emergency_share_percent", NULL,                                 \
      "Smallest share of calls without priority that a mode of scope all leaves; 100: no mode")    \
    X(ANSWERED, COUNTER, "headgate_calls_answered_total", NULL, "Calls that were answered")        \
    X(CALLS, GAUGE, "headgate_calls", NULL, "Live calls")                                          \
    X(SUBSCRIPTIONS, GAUGE, "headgate_subscriptions", NULL,                                        \
      "Live dialogs made by SUBSCRIBE or REFER")                                                   \
    X(SESSIONS_EXPIRED, COUNTER, "headgate_calls_expired_total", NULL,                             \
      "Calls that nobody refreshed within their session interval")                                 \
    X(TRANSACTIONS, GAUGE, "headgate_transactions", NULL, "Live transactions")                     \
    X(CONNECTIONS, GAUGE, "headgate_connections", NULL, "Open TCP and TLS connections")            \
    X(REG_OK, COUNTER, "headgate_registers_total", "result=\"ok\"", REG_HELP)                      \
    X(REG_REFUSED, COUNTER, "headgate_registers_total", "result=\"refused\"", REG_HELP)            \
    X(FORWARDED, COUNTER, "headgate_calls_forwarded_total", NULL,                                  \
      "Calls sent on by the called line's own service record, each hop")                           \
    X(FORWARDS_REFUSED, COUNTER, "headgate_forwards_refused_total", NULL,                          \
      "Calls that a line would have sent on and may not: barred, blocked, a circle, too many")     \
    X(FAIL_OVERS, COUNTER, "headgate_fail_overs_total", NULL,                                      \
      "Calls that went on to a further next hop")                                                  \
    X(EMERGENCY_FAILED, COUNTER, "headgate_emergency_failed_total", NULL,                          \
      "Emergency calls that no next hop took")                                                     \
    X(PS_HEALTHY, GAUGE, "headgate_ps_healthy", NULL, "Provisioning servers that answer")          \
    X(NO_PS, COUNTER, "headgate_no_ps_total", NULL, "611 calls without a healthy PS")              \
    X(GATE_BYES, COUNTER, "headgate_gate_byes_total", NULL, "BYE requests made here")              \
    X(KEYS_REMOVED, COUNTER, "headgate_media_keys_removed_total", NULL,                            \
      "Messages from which media keys were taken because a hop was not TLS")                       \
    X(PARK_TIMEOUTS, COUNTER, "headgate_parked_timeouts_total", NULL,                              \
      "Requests for which the database or a certificate did not come in time")                     \
    X(PARK_REFUSED, COUNTER, "headgate_parked_refused_total", NULL,                                \
      "Requests that could not wait because too many did")                                         \
    X(NO_ACK, COUNTER, "headgate_unacknowledged_total", NULL,                                      \
      "Final responses to INVITE that nobody acknowledged")                                        \
    X(STIR_SIGNED_A, COUNTER, "headgate_stir_signed_total", "attest=\"A\"", SIGNED_HELP)           \
    X(STIR_SIGNED_B, COUNTER, "headgate_stir_signed_total", "attest=\"B\"", SIGNED_HELP)           \
    X(STIR_SIGNED_C, COUNTER, "headgate_stir_signed_total", "attest=\"C\"", SIGNED_HELP)           \
    X(STIR_SIGNED_DIV, COUNTER, "headgate_stir_signed_total", "attest=\"div\"", SIGNED_HELP)       \
    X(STIR_SIGN_FAILED, COUNTER, "headgate_stir_signed_total", "attest=\"none\"", SIGNED_HELP)     \
    X(STIR_PASSED, COUNTER, "headgate_stir_verified_total", "outcome=\"passed\"", VERIFIED_HELP)   \
    X(STIR_FAILED, COUNTER, "headgate_stir_verified_total", "outcome=\"failed\"", VERIFIED_HELP)   \
    X(STIR_UNKNOWN, COUNTER, "headgate_stir_verified_total", "outcome=\"unknown\"", VERIFIED_HELP) \
    X(STIR_REJECTED, COUNTER, "headgate_stir_verified_total", "outcome=\"rejected\"",              \
      VERIFIED_HELP)                                                                               \
    X(SETUP_TIME, HISTOGRAM, "headgate_setup_seconds", NULL,                                       \
      "From a new INVITE in to its first forwarded copy out")                                      \
    X(HEP_DROPPED, COUNTER, "headgate_hep_dropped_total", NULL,                                    \
      "SIP messages for which the ring to the collector had no room")                              \
    X(STAGE_FRAME, FINE, "headgate_stage_seconds", "stage=\"framer\"", STAGE_HELP)                 \
    X(STAGE_PROOF, FINE, "headgate_stage_seconds", "stage=\"proof\"", STAGE_HELP)                  \
    X(STAGE_DECISION, FINE, "headgate_stage_seconds", "stage=\"decision\"", STAGE_HELP)            \
    X(STAGE_SEND, FINE, "headgate_stage_seconds", "stage=\"send\"", STAGE_HELP)                    \
    BOUNDARY_RULES(BOUNDARY_AS_METER, X)

enum meter {
#define METER_ENUM(id, kind, name, labels, help) METER_##id,
    METERS(METER_ENUM)
#undef METER_ENUM
        METER_COUNT
};

/* Returns the id of the first; the others follow. */
unsigned meters_declare(struct metrics *m);

#endif
