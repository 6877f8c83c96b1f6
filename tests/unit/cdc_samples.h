/* tests/unit/cdc_samples.h - call-data messages for tests: of every kind, with every field it can
 * have. tests/samples/call_data.c writes the same messages into files, and
 * tests/vectors/call_data_ref.py says of each which octets it must be. */
#ifndef TESTS_UNIT_CDC_SAMPLES_H
#define TESTS_UNIT_CDC_SAMPLES_H

#include "lawful_intercept/cdc.h"

#define CDC_SAMPLE_AT_US 1700000000123000ull /* 2023-11-14 22:13:20.123 */
#define CDC_SAMPLE_SDP                                                                             \
    "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"                    \
    "m=audio 4000 RTP/SAVP 0\r\n"
#define CDC_SAMPLE_SDP_WITH_KEY                                                                    \
    CDC_SAMPLE_SDP "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2FtcGxl\r\n"

#define CDC_SAMPLE_VIEW(literal)                                                                   \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    } /* a constant */
static const struct cdc_call cdc_sample_call = {CDC_SAMPLE_VIEW("3909997400,42"),
                                                CDC_SAMPLE_VIEW("00GC1")};
static const struct cdc_party cdc_sample_anna = {.dn = CDC_SAMPLE_VIEW("5550100"),
                                                 .ip_address = CDC_SAMPLE_VIEW("10.1.1.5"),
                                                 .port = CDC_SAMPLE_VIEW("5060")};
static const struct cdc_party cdc_sample_bob = {.dn = CDC_SAMPLE_VIEW("5551212")};

static inline struct cdc_message cdc_sample(uint32_t version, enum cdc_kind kind)
{
    return (struct cdc_message){.version = version,
                                .kind = kind,
                                .case_id = VIEW("CASE-0001"),
                                .element = VIEW("GC1"),
                                .at_us = CDC_SAMPLE_AT_US,
                                .call = cdc_sample_call};
}

/* A message of that kind with every field that it can have. */
static inline struct cdc_message cdc_sample_full(uint32_t version, enum cdc_kind kind)
{
    struct cdc_message m = cdc_sample(version, kind);

    m.n_open = 2;
    m.open[0] = cdc_sample_call;
    m.open[1] = (struct cdc_call){VIEW("3909997400,43"), VIEW("00GC1")};
    m.related = m.open[1];
    m.content.both = VIEW("0000BEEF");
    m.subject = VIEW(CDC_SAMPLE_SDP);
    m.associate = VIEW(CDC_SAMPLE_SDP_WITH_KEY);
    m.flow = CDC_BOTH;
    m.resource = CDC_COMMITTED;
    m.calling = m.answering = m.first_calling = m.redirected_from = cdc_sample_anna;
    m.called = m.redirected_to = m.second_calling = m.signaled = cdc_sample_bob;
    m.redirected = (struct cdc_redirected){cdc_sample_bob, cdc_sample_anna, 3};
    m.user_input = VIEW("5551212");
    m.carrier = VIEW("0288");
    m.service = VIEW("forwarding");
    m.other = VIEW("announcement");
    m.digits = VIEW("12#");
    m.alerting = CDC_RINGING;
    m.audible = CDC_RINGBACK;
    for (size_t i = 0; i < CDC_DISPLAY; i++) {
        m.display.text[i] = VIEW("text");
    }
    m.signal = (struct cdc_signal){VIEW("flash"), VIEW("*72"), VIEW("key"), VIEW("REFER")};
    m.communicating.n = 2;
    m.communicating.set[0] =
        (struct cdc_set){2, {cdc_sample_anna, cdc_sample_bob}, {.both = VIEW("0000BEEF")}};
    m.communicating.set[1].n = 1;
    m.joined.n = 1;
    m.joined.set[0].content =
        (struct cdc_content){.transmit = VIEW("00000001"), .receive = VIEW("00000002")};
    return m;
}

#endif
