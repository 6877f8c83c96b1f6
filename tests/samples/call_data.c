/* What the writers of lawful_intercept make, as files for judges that are not ours.
 *
 *   call_data FOLDER        every call-data message of both versions in three forms, and X2 PDUs
 *   call_data --again FILE  reads a stream of call-data messages and writes it anew to stdout
 *
 * tests/vectors/call_data_ref.py says which octets each file must have. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lawful_intercept/x2.h"
#include "tests/unit/cdc_samples.h"

static char octets[CDC_MAX];

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "call_data: %s: %s\n", what, why);
    exit(1);
}

static void keep(const char *folder, const char *name, size_t n)
{
    char path[512];
    FILE *f = NULL;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "wb");
    if (f == NULL || fwrite(octets, 1, n, f) != n || fclose(f) != 0) {
        fail(path, "cannot be written");
    }
}

/* ---- call data ---------------------------------------------------------------------------------
 */
/* Nothing but what must be. */
static struct cdc_message least(uint32_t version, enum cdc_kind kind)
{
    struct cdc_message m = cdc_sample(version, kind);

    m.n_open = 1;
    m.open[0] = cdc_sample_call;
    m.content.both = VIEW("0000BEEF");
    m.flow = CDC_DOWNSTREAM;
    if (kind == CDC_ORIGINATION) {
        m.calling = cdc_sample_bob;
        m.user_input = VIEW("611");
    }
    m.redirected_to = m.signaled = cdc_sample_bob;
    m.service = VIEW("s");
    m.digits = VIEW("0");
    m.audible = CDC_BUSY;
    m.signal.dialed = VIEW("*72");
    if (kind == CDC_SUBJECT_SIGNAL) {
        m.call = (struct cdc_call){VIEW(""), VIEW("")};
    }
    return m;
}

/* The other choice of each, a party of all fields, session descriptions with lengths of three
 * octets, the longest and the last values. */
static struct cdc_message other(uint32_t version, enum cdc_kind kind)
{
    static const struct cdc_party whole = {.dn = CDC_SAMPLE_VIEW("123456789012345"),
                                           .user_provided = CDC_SAMPLE_VIEW("+12125550100"),
                                           .ip_address = CDC_SAMPLE_VIEW("2001:db8::1"),
                                           .trunk_id = CDC_SAMPLE_VIEW("trunk-1"),
                                           .generic_address =
                                               CDC_SAMPLE_VIEW("sip:a@headgate.test"),
                                           .generic_digits = CDC_SAMPLE_VIEW("411"),
                                           .generic_name = CDC_SAMPLE_VIEW("Anna ~ {1}"),
                                           .port = CDC_SAMPLE_VIEW("65535"),
                                           .context = CDC_SAMPLE_VIEW("+1")};
    static char sdp[sizeof CDC_SAMPLE_SDP + 400 * 5];
    struct cdc_message m = cdc_sample_full(version, kind);
    size_t n = sizeof CDC_SAMPLE_SDP - 1;

    memcpy(sdp, CDC_SAMPLE_SDP, n);
    for (int i = 0; i < 400; i++, n += 5) {
        memcpy(sdp + n, "a=x\r\n", 5);
    }
    m.subject = view_from(sdp, n);
    m.associate = VIEW("s=Ren\xC3\xA9\r\n");
    m.n_open = 1;
    m.content = (struct cdc_content){.transmit = VIEW("00000001"), .receive = VIEW("FFFFFFFF")};
    m.flow = CDC_UPSTREAM;
    m.resource = CDC_RESERVED;
    m.calling = m.answering = m.redirected_to = m.signaled = whole;
    memset(&m.called, 0, sizeof m.called);
    m.redirected = (struct cdc_redirected){.original = whole, .times = 100};
    m.user_input = VIEW("");
    m.translation_input = VIEW("12345678901234567890123456789012");
    m.alerting = 15;
    m.audible = 21;
    m.display = (struct cdc_display){.text[1] = VIEW("5551212")};
    m.signal = (struct cdc_signal){.other = VIEW("REGISTER")};
    m.communicating.n = 0;
    m.removed.n = 1;
    m.removed.set[0] = (struct cdc_set){1, {whole}, {.both = VIEW("0000BEEF")}};
    return m;
}

static void write_call_data(const char *folder)
{
    static struct cdc_message (*const forms[])(uint32_t, enum cdc_kind) = {least, cdc_sample_full,
                                                                           other};
    static const char *const names[] = {"least", "full", "other"};

    for (uint32_t version = 3; version <= 4; version++) {
        for (unsigned kind = 0; kind < 32; kind++) {
            for (size_t i = 0; cdc_has(version, (enum cdc_kind)kind) && i < 3; i++) {
                struct cdc_message m = forms[i](version, (enum cdc_kind)kind);
                char name[64], why[128];
                size_t n = 0;
                snprintf(name, sizeof name, "v%u-%s-%s.ber", version, cdc_kind_name(m.kind),
                         names[i]);
                if (cdc_write(&m, octets, sizeof octets, &n, why, sizeof why) != E_OK) {
                    fail(name, why);
                }
                keep(folder, name, n);
            }
        }
    }
}

/* ---- X2 ----------------------------------------------------------------------------------------
 */
#define REST                                                                                       \
    "Via: SIP/2.0/TLS 192.0.2.7:5061;branch=z9hG4bK1\r\nFrom: <sip:a@headgate.test>;tag=1\r\n"     \
    "To: <sip:b@headgate.test>\r\nCall-ID: 1@192.0.2.7\r\nCSeq: 1 INVITE\r\n"                      \
    "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
#define XID                                                                                        \
    {                                                                                              \
        0x7f, 0x0e, 0x3c, 0x0a, 0x4b, 0x1d, 0x4c, 0x2e, 0x9a, 0x5b, 0x11, 0x22, 0x33, 0x44, 0x55,  \
            0x66                                                                                   \
    }

static void write_x2(const char *folder)
{
    static const struct {
        const char *name;
        struct x2_pdu pdu;
    } rows[] = {
        {"x2-request",
         {.type = X2_DATA,
          .format = X2_FORMAT_SIP,
          .direction = X2_FROM_TARGET,
          .xid = XID,
          .correlation = 0x42,
          .has_sequence = true,
          .has_time = true,
          .sequence = 7,
          .at_us = CDC_SAMPLE_AT_US,
          .from = {.family = 4, .ip = {192, 0, 2, 7}, .port = 5061},
          .to = {.family = 4, .ip = {192, 0, 2, 1}, .port = 5070},
          .target = CDC_SAMPLE_VIEW("<sipUri>sip:a@headgate.test</sipUri>"),
          .payload = CDC_SAMPLE_VIEW("INVITE sip:b@headgate.test SIP/2.0\r\n" REST)}},
        {"x2-response",
         {.type = X2_DATA,
          .format = X2_FORMAT_SIP,
          .direction = X2_TO_TARGET,
          .xid = XID,
          .correlation = UINT64_MAX,
          .has_sequence = true,
          .has_time = true,
          .sequence = UINT32_MAX,
          .at_us = CDC_SAMPLE_AT_US,
          .from = {.family = 6, .ip = {0x20, 1, 0x0d, 0xb8, [15] = 1}, .port = 5070},
          .to = {.family = 6, .ip = {0x20, 1, 0x0d, 0xb8, [15] = 2}, .port = 5061},
          .target = CDC_SAMPLE_VIEW("<e164Number>12125550100</e164Number>"),
          .payload = CDC_SAMPLE_VIEW("SIP/2.0 200 OK\r\n" REST)}},
        {"x2-keepalive", {.type = X2_KEEPALIVE, .has_sequence = true, .sequence = 1}},
        {"x2-keepalive-ack", {.type = X2_KEEPALIVE_ACK, .has_sequence = true, .sequence = 1}}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t n = 0;
        if (x2_write(&rows[i].pdu, octets, sizeof octets, &n) != E_OK) {
            fail(rows[i].name, "cannot be written");
        }
        keep(folder, rows[i].name, n);
    }
}

/* ---- again -------------------------------------------------------------------------------------
 */
static void write_again(const char *path)
{
    static char in[CDC_MAX];
    FILE *f = fopen(path, "rb");
    struct view rest = view_from(in, f != NULL ? fread(in, 1, sizeof in, f) : 0);

    if (f == NULL || rest.n == 0) {
        fail(path, "cannot be read");
    }
    fclose(f);
    while (rest.n > 0) {
        struct cdc_message m;
        char why[128];
        size_t read = 0, n = 0;
        if (cdc_read(rest, &m, &read, why, sizeof why) != E_OK ||
            cdc_write(&m, octets, sizeof octets, &n, why, sizeof why) != E_OK) {
            fail(path, why);
        }
        fwrite(octets, 1, n, stdout);
        rest = view_sub(rest, read, rest.n);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--again") == 0) {
        write_again(argv[2]);
    } else if (argc == 2) {
        write_call_data(argv[1]);
        write_x2(argv[1]);
    } else {
        fprintf(stderr, "usage: call_data FOLDER | call_data --again FILE\n");
        return 64;
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
