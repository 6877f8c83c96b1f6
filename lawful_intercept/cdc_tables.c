/* Which fields each call-data message has, in the order of their tags. */
#include <stddef.h>

#include "lawful_intercept/cdc_int.h"

#define N(a) (sizeof(a) / sizeof((a)[0]))
#define SHAPE(fields)                                                                              \
    {                                                                                              \
        (fields), N(fields), false                                                                 \
    }

/* Fields of a struct: name, tag, type, must, offset, min, max. */
#define TEXT(s, tag_, member, must_, min_, max_)                                                   \
    {                                                                                              \
        .name = #member, .tag = (tag_), .type = CDC_T_VISIBLE, .must = (must_),                    \
        .offset = offsetof(struct s, member), .min = (min_), .max = (max_)                         \
    }
#define SEQUENCE(s, tag_, member, must_, of_)                                                      \
    {                                                                                              \
        .name = #member, .tag = (tag_), .type = CDC_T_SEQUENCE, .must = (must_),                   \
        .offset = offsetof(struct s, member), .of = &(of_)                                         \
    }
#define WRAPPED(s, tag_, member, must_, of_)                                                       \
    {                                                                                              \
        .name = #member, .tag = (tag_), .type = CDC_T_WRAPPED, .must = (must_),                    \
        .offset = offsetof(struct s, member), .of = &(of_)                                         \
    }
#define ENUMERATED(s, tag_, member, must_, max_)                                                   \
    {                                                                                              \
        .name = #member, .tag = (tag_), .type = CDC_T_ENUM, .must = (must_),                       \
        .offset = offsetof(struct s, member), .min = 1, .max = (max_)                              \
    }
#define NOTHING(tag_)                                                                              \
    {                                                                                              \
        .name = "reserved", .tag = (tag_), .type = CDC_T_NULL, .must = true                        \
    }
#define SDP(tag_, member)                                                                          \
    {                                                                                              \
        .name = #member, .tag = (tag_), .type = CDC_T_UTF8,                                        \
        .offset = offsetof(struct cdc_message, member), .min = 1                                   \
    }

/* ---- shared types ------------------------------------------------------------------------------
 */
static const struct cdc_field call_fields[] = {TEXT(cdc_call, 0, sequence, true, 1, 25),
                                               TEXT(cdc_call, 1, system, true, 1, 15)};
static const struct cdc_shape call_shape = SHAPE(call_fields);

static const struct cdc_field party_fields[] = {
    TEXT(cdc_party, 6, dn, false, 1, 15),
    TEXT(cdc_party, 7, user_provided, false, 1, 15),
    TEXT(cdc_party, 10, ip_address, false, 1, 45), /* 32, and more by the extension: IPv6 */
    TEXT(cdc_party, 12, trunk_id, false, 1, 32),
    TEXT(cdc_party, 14, generic_address, false, 1, 32),
    TEXT(cdc_party, 15, generic_digits, false, 1, 32),
    TEXT(cdc_party, 16, generic_name, false, 1, 48),
    TEXT(cdc_party, 17, port, false, 1, 32),
    TEXT(cdc_party, 18, context, false, 1, 32)};
static const struct cdc_shape party_shape = SHAPE(party_fields);

/* CCCId: combCCC, or a SEQUENCE of two; the second as a view of its own fields in the same struct.
 */
static const struct cdc_field pair_fields[] = {TEXT(cdc_content, 0, transmit, true, 1, 20),
                                               TEXT(cdc_content, 1, receive, true, 1, 20)};
static const struct cdc_shape pair_shape = SHAPE(pair_fields);
static const struct cdc_field content_fields[] = {
    {.name = "combCCC",
     .tag = 0,
     .type = CDC_T_VISIBLE,
     .group = 1,
     .offset = offsetof(struct cdc_content, both),
     .min = 1,
     .max = 20},
    {.name = "sepCCCpair", .tag = 1, .type = CDC_T_SEQUENCE, .group = 1, .of = &pair_shape}};
static const struct cdc_shape content_shape = SHAPE(content_fields);

static const struct cdc_field redirected_fields[] = {
    SEQUENCE(cdc_redirected, 0, last, false, party_shape),
    SEQUENCE(cdc_redirected, 1, original, false, party_shape),
    {.name = "numRedirections",
     .tag = 2,
     .type = CDC_T_INTEGER,
     .offset = offsetof(struct cdc_redirected, times),
     .min = 1,
     .max = 100}};
static const struct cdc_shape redirected_shape = SHAPE(redirected_fields);

static const struct cdc_field display_fields[] = {
    TEXT(cdc_display, 0, text[0], false, 1, 80), TEXT(cdc_display, 1, text[1], false, 1, 40),
    TEXT(cdc_display, 2, text[2], false, 1, 40), TEXT(cdc_display, 3, text[3], false, 1, 40),
    TEXT(cdc_display, 4, text[4], false, 1, 40), TEXT(cdc_display, 5, text[5], false, 1, 40),
    TEXT(cdc_display, 6, text[6], false, 1, 40), TEXT(cdc_display, 7, text[7], false, 1, 40),
    TEXT(cdc_display, 8, text[8], false, 1, 40)};
static const struct cdc_shape display_shape = SHAPE(display_fields);

static const struct cdc_field signal_fields[] = {
    TEXT(cdc_signal, 0, flash, false, 1, 128), TEXT(cdc_signal, 1, dialed, false, 1, 128),
    TEXT(cdc_signal, 2, feature_key, false, 1, 128), TEXT(cdc_signal, 3, other, false, 1, 128)};
static const struct cdc_shape signal_shape = {signal_fields, N(signal_fields), true};

static const struct cdc_field element_of_parties[] = {
    {.name = "partyId",
     .tag = 0,
     .type = CDC_T_LIST,
     .offset = offsetof(struct cdc_set, n),
     .of = &party_shape,
     .first = offsetof(struct cdc_set, party) - offsetof(struct cdc_set, n),
     .stride = sizeof(struct cdc_party),
     .most = CDC_PARTIES_MAX},
    WRAPPED(cdc_set, 1, content, false, content_shape)};
static const struct cdc_shape set_shape = SHAPE(element_of_parties);

/* ---- messages ----------------------------------------------------------------------------------
 */
#define HEAD                                                                                       \
    TEXT(cdc_message, 0, case_id, true, 1, 25), TEXT(cdc_message, 1, element, true, 1, 15),        \
    {                                                                                              \
        .name = "eventTime", .tag = 2, .type = CDC_T_TIME, .must = true,                           \
        .offset = offsetof(struct cdc_message, at_us)                                              \
    }
#define CALL(tag_, member, must_)  SEQUENCE(cdc_message, tag_, member, must_, call_shape)
#define PARTY(tag_, member, must_) SEQUENCE(cdc_message, tag_, member, must_, party_shape)
#define CONTENT(tag_)              WRAPPED(cdc_message, tag_, content, true, content_shape)
#define SETS(tag_, member)                                                                         \
    {                                                                                              \
        .name = #member, .tag = (tag_), .type = CDC_T_LIST,                                        \
        .offset = offsetof(struct cdc_message, member), .of = &set_shape,                          \
        .first = offsetof(struct cdc_sets, set), .stride = sizeof(struct cdc_set),                 \
        .most = CDC_SETS_MAX                                                                       \
    }

static const struct cdc_field answer[] = {HEAD, CALL(3, call, true), PARTY(4, answering, false)};
static const struct cdc_field ccclose[] = {HEAD, CONTENT(3),
                                           ENUMERATED(cdc_message, 4, flow, true, CDC_BOTH)};
static const struct cdc_field ccopen[] = {
    HEAD,
    {.name = "ccOpenTime",
     .tag = 3,
     .type = CDC_T_LIST,
     .must = true,
     .offset = offsetof(struct cdc_message, n_open),
     .of = &call_shape,
     .first = offsetof(struct cdc_message, open) - offsetof(struct cdc_message, n_open),
     .stride = sizeof(struct cdc_call),
     .most = CDC_CALLS_MAX},
    CONTENT(5),
    SDP(6, subject),
    SDP(7, associate),
    ENUMERATED(cdc_message, 8, flow, true, CDC_BOTH)};
static const struct cdc_field origination[] = {
    HEAD,
    CALL(3, call, true),
    PARTY(4, calling, true),
    PARTY(5, called, false),
    {.name = "userinput",
     .tag = 6,
     .type = CDC_T_VISIBLE,
     .group = 1,
     .offset = offsetof(struct cdc_message, user_input),
     .min = 1,
     .max = 32},
    {.name = "translationinput",
     .tag = 7,
     .type = CDC_T_VISIBLE,
     .group = 1,
     .offset = offsetof(struct cdc_message, translation_input),
     .min = 1,
     .max = 32},
    NOTHING(8),
    TEXT(cdc_message, 9, carrier, false, 3, 7)};
static const struct cdc_field redirection[] = {HEAD,
                                               CALL(3, call, true),
                                               PARTY(4, redirected_to, true),
                                               TEXT(cdc_message, 5, carrier, false, 3, 7),
                                               NOTHING(6),
                                               NOTHING(7),
                                               CALL(8, related, false),
                                               PARTY(9, redirected_from, false)};
static const struct cdc_field release_[] = {HEAD, CALL(3, call, true)};
static const struct cdc_field termination[] = {
    HEAD,
    CALL(3, call, true),
    PARTY(4, calling, false),
    PARTY(5, called, false),
    NOTHING(6),
    SEQUENCE(cdc_message, 7, redirected, false, redirected_shape)};
static const struct cdc_field ccchange[] = {
    HEAD,
    CALL(3, call, true),
    CONTENT(4),
    SDP(5, subject),
    SDP(6, associate),
    ENUMERATED(cdc_message, 7, flow, true, CDC_BOTH),
    ENUMERATED(cdc_message, 8, resource, false, CDC_COMMITTED)};
static const struct cdc_field dialed[] = {HEAD, CALL(3, call, true),
                                          TEXT(cdc_message, 4, digits, true, 1, 32)};
static const struct cdc_field network_signal[] = {
    HEAD,
    CALL(3, call, true),
    ENUMERATED(cdc_message, 4, alerting, false, 15),
    ENUMERATED(cdc_message, 5, audible, false, 21),
    SEQUENCE(cdc_message, 6, display, false, display_shape),
    TEXT(cdc_message, 7, other, false, 1, 128),
    {.name = "signaledToPartyId",
     .tag = 8,
     .type = CDC_T_SEQUENCE,
     .must = true,
     .since = 4,
     .offset = offsetof(struct cdc_message, signaled),
     .of = &party_shape}};
static const struct cdc_field subject_signal[] = {
    HEAD,
    CALL(3, call, false),
    SEQUENCE(cdc_message, 4, signal, true, signal_shape),
    {.name = "signaledFromPartyId",
     .tag = 5,
     .type = CDC_T_SEQUENCE,
     .must = true,
     .since = 4,
     .offset = offsetof(struct cdc_message, signaled),
     .of = &party_shape}};
static const struct cdc_field media_report[] = {HEAD, CALL(3, call, true), SDP(4, subject),
                                                SDP(5, associate)};
static const struct cdc_field service_instance[] = {HEAD,
                                                    CALL(3, call, true),
                                                    CALL(4, related, false),
                                                    TEXT(cdc_message, 5, service, true, 1, 128),
                                                    PARTY(6, first_calling, false),
                                                    PARTY(7, second_calling, false),
                                                    PARTY(8, called, false),
                                                    PARTY(9, calling, false)};
static const struct cdc_field conference[] = {HEAD, CALL(3, call, true), SETS(4, communicating),
                                              SETS(5, removed), SETS(6, joined)};

static const struct cdc_message_shape shapes[] = {
    [CDC_ANSWER] = {"Answer", 3, SHAPE(answer)},
    [CDC_CCCLOSE] = {"CCClose", 3, SHAPE(ccclose)},
    [CDC_CCOPEN] = {"CCOpen", 3, SHAPE(ccopen)},
    [CDC_ORIGINATION] = {"Origination", 3, SHAPE(origination)},
    [CDC_REDIRECTION] = {"Redirection", 3, SHAPE(redirection)},
    [CDC_RELEASE] = {"Release", 3, SHAPE(release_)},
    [CDC_TERMINATION_ATTEMPT] = {"TerminationAttempt", 3, SHAPE(termination)},
    [CDC_CCCHANGE] = {"CCChange", 3, SHAPE(ccchange)},
    [CDC_DIALED_DIGITS] = {"DialedDigitExtraction", 4, SHAPE(dialed)},
    [CDC_NETWORK_SIGNAL] = {"NetworkSignal", 3, SHAPE(network_signal)},
    [CDC_SUBJECT_SIGNAL] = {"SubjectSignal", 3, SHAPE(subject_signal)},
    [CDC_MEDIA_REPORT] = {"MediaReport", 3, SHAPE(media_report)},
    [CDC_SERVICE_INSTANCE] = {"ServiceInstance", 3, SHAPE(service_instance)},
    [CDC_CONFERENCE_CHANGE] = {"ConferencePartyChange", 4, SHAPE(conference)}};

const struct cdc_message_shape *cdc_shape_of(unsigned kind)
{
    return kind < N(shapes) && shapes[kind].name != NULL ? &shapes[kind] : NULL;
}

const char *cdc_kind_name(enum cdc_kind kind)
{
    const struct cdc_message_shape *s = cdc_shape_of((unsigned)kind);

    return s != NULL ? s->name : NULL;
}

bool cdc_has(uint32_t version, enum cdc_kind kind)
{
    const struct cdc_message_shape *s = cdc_shape_of((unsigned)kind);

    return s != NULL && (version == 3 || version == 4) && version >= s->since;
}
