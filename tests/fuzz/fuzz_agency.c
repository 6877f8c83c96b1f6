/* What headgate-lea makes of what it reads. The first octet picks: 0 a capture file, whose packets
 * go to a call that was told of, 1 call data, 2 X2: in words, and told to the voice. */
#include <stdio.h>
#include <string.h>

#include "agency/calls.h"
#include "agency/capture.h"
#include "agency/voice.h"
#include "agency/words.h"
#include "base/mem.h"
#include "media/srtp.h"

#define MOST 8192
#define SDP(port, key)                                                                             \
    VIEW("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"               \
         "m=audio " port " RTP/" key)
#define KEY                                                                                        \
    "SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "                                                \
    "inline:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB\r\n"

static void tell(struct voice *v, struct view subject, struct view other)
{
    struct cdc_message m = {.kind = CDC_CCOPEN,
                            .case_id = VIEW("CASE"),
                            .at_us = UINT64_C(1700000000000000),
                            .subject = subject,
                            .associate = other};

    BUG_ON(voice_tell(v, 1, &m) != E_OK);
}

static bool is_printable(const char *s)
{
    for (; *s != 0; s++) {
        if (*s < ' ' || *s > '~') {
            return false;
        }
    }
    return true;
}

static void hear(struct voice *v, const struct capture_datagram *d, struct view file)
{
    BUG_ON(d->payload.n > file.n || d->from.family != d->to.family);
    BUG_ON(voice_hear(v, d) != E_OK);
}

/* The SRTP library loads and unloads another one with its first and its last key. */
static void hold_library(void)
{
    static struct srtp_way *held;
    struct secret key = {.n = srtp_key_bytes(SRTP_AES_CM_128_HMAC_SHA1_80)};

    BUG_ON(held == NULL &&
           srtp_way_new(SRTP_AES_CM_128_HMAC_SHA1_80, SRTP_SEND, &key, &held) != E_OK);
}

static void capture(struct view file)
{
    size_t live = mem_live();
    struct capture *c = NULL;
    struct capture_datagram d;
    struct capture_counts n = {0};
    struct voice *v = NULL;
    FILE *f = NULL;
    size_t found = 0;
    enum err e = E_OK;

    if (file.n == 0) {
        return;
    }
    f = fmemopen((void *)(uintptr_t)file.p, file.n, "rb");
    BUG_ON(f == NULL || voice_new(&v) != E_OK);
    tell(v, SDP("4000", KEY), SDP("5000", "AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n"));
    tell(v, SDP("4002", "AVP 0\r\n"), SDP("5002", KEY));
    e = capture_open(f, &c);
    BUG_ON(e != E_OK && e != E_PARSE);
    while (e == E_OK && (e = capture_next(c, &d)) == E_OK) {
        hear(v, &d, file);
        found++;
    }
    BUG_ON(e != E_NOTFOUND && e != E_PARSE);
    if (c != NULL) {
        n = capture_counts(c);
        BUG_ON(n.datagrams != found || n.packets < n.datagrams + n.fragments + n.cut);
    }
    capture_close(c);
    voice_free(v);
    fclose(f);
    BUG_ON(mem_live() != live);
}

static void call_data(struct view octets)
{
    struct calls *c = NULL;
    struct voice *v = NULL;
    size_t used = 0;
    char why[128] = "", words[WORDS_MAX];
    struct cdc_message m;

    BUG_ON(calls_new(&c) != E_OK || voice_new(&v) != E_OK);
    while (octets.n > 0 && cdc_read(octets, &m, &used, why, sizeof why) == E_OK) {
        words_of_call_data(&m, words);
        BUG_ON(words[0] == 0 || !is_printable(words));
        BUG_ON(voice_tell(v, calls_of_call_data(c, &m, NULL), &m) != E_OK);
        octets = view_sub(octets, used, octets.n);
    }
    voice_free(v);
    calls_free(c);
}

static void x2(struct view octets)
{
    struct calls *c = NULL;
    size_t used = 0;
    char why[128] = "", words[WORDS_MAX];
    struct x2_pdu p;

    BUG_ON(calls_new(&c) != E_OK);
    while (octets.n > 0 && x2_read(octets, &p, &used, why, sizeof why) == E_OK) {
        words_of_signaling(&p, words);
        BUG_ON(!is_printable(words));
        BUG_ON(calls_of_signaling(c, &p, NULL) == 0 && p.correlation >> 32 != 0);
        octets = view_sub(octets, used, octets.n);
    }
    calls_free(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const targets[])(struct view) = {capture, call_data, x2};

    hold_library();
    if (size > 0 && size <= MOST) {
        targets[data[0] % (sizeof targets / sizeof *targets)](view_from(data + 1, size - 1));
    }
    return 0;
}
