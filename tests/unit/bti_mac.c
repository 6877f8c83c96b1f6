/* Sealing and checking of every kind of message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the standard headers it needs */
#include <cmocka.h>

#include "bti/mac.h"

#define KID "kidkidkidkidkid1"

static struct session *session(char up, char down)
{
    struct session_keys k;
    struct session *s = NULL;
    struct secret *keys[] = {&k.mac_up, &k.mac_down, &k.enc_up, &k.enc_down, &k.tls_psk, &k.digest};
    for (size_t i = 0; i < 6; i++) {
        keys[i]->n = 32;
        memset(keys[i]->b, i == 0 ? up : i == 1 ? down : 'x', 32);
    }
    assert_int_equal(session_new((const uint8_t *)KID, &k, &s), E_OK);
    return s;
}

#define HEAD                                                                                       \
    "Via: SIP/2.0/UDP 127.0.0.9:5060;branch=z9hG4bKabc\r\nMax-Forwards: 70\r\n"                    \
    "From: <sip:+12125550101@x.test>;tag=1\r\nTo: <sip:+12125550102@x.test>;tag=2\r\n"             \
    "Call-ID: c@x\r\n"

static const struct {
    const char *text, *header;
    bool scheme;
} kinds[] = {
    {"INVITE sip:+12125550102@x.test SIP/2.0\r\n" HEAD "CSeq: 1 INVITE\r\n"
     "Content-Type: application/sdp\r\nContent-Length: 4\r\n\r\nv=0\n",
     "Proxy-Authorization", true},
    {"ACK sip:+12125550102@x.test SIP/2.0\r\n" HEAD "CSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
     "Proxy-Authorization", true},
    {"BYE sip:+12125550102@x.test SIP/2.0\r\n" HEAD "CSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n",
     "Proxy-Authorization", true},
    {"CANCEL sip:+12125550102@x.test SIP/2.0\r\n" HEAD
     "CSeq: 1 CANCEL\r\nContent-Length: 0\r\n\r\n",
     "Proxy-Authorization", true},
    {"OPTIONS sip:x.test SIP/2.0\r\n" HEAD "CSeq: 3 OPTIONS\r\nContent-Length: 0\r\n\r\n",
     "Proxy-Authorization", true},
    {"REGISTER sip:x.test SIP/2.0\r\n" HEAD "CSeq: 3 REGISTER\r\nContent-Length: 0\r\n\r\n",
     "Authorization", true},
    {"SIP/2.0 100 Trying\r\n" HEAD "CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
     "Authentication-Info", false},
    {"SIP/2.0 200 OK\r\n" HEAD "CSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n"
     "Content-Length: 4\r\n\r\nv=0\n",
     "Authentication-Info", false},
    {"SIP/2.0 486 Busy Here\r\n" HEAD "CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
     "Authentication-Info", false},
    {"SIP/2.0 200 OK\r\n" HEAD "CSeq: 3 REGISTER\r\nContent-Length: 0\r\n\r\n",
     "Authentication-Info", false},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static void framed(const char *buf, size_t n, struct sip_msg *m)
{
    const char *why = "";
    assert_int_equal(sip_frame(view_from(buf, n), false, m, &why), E_OK);
}

/* What a gate controller does with it: find the header, verify with its own copy of the key. */
static void each_kind_has_its_header(void **state)
{
    struct session *s = session('u', 'd');
    struct secret up = {.n = 32};
    struct hmac_key *k = NULL;
    (void)state;
    memset(up.b, 'u', 32);
    assert_int_equal(hmac_key_new(&up, &k), E_OK);
    for (unsigned i = 0; i < KINDS; i++) {
        char buf[2048];
        size_t n = strlen(kinds[i].text);
        struct sip_msg m;
        struct bti_mac mac;
        memcpy(buf, kinds[i].text, n);
        assert_int_equal(mac_seal(s, buf, sizeof buf, &n), E_OK);
        framed(buf, n, &m);
        const struct sip_hdr *h = sip_header_named(&m, view_of(kinds[i].header));
        assert_non_null(h);
        assert_int_equal(bti_mac_parse(h->value, kinds[i].scheme, &mac), E_OK);
        assert_memory_equal(mac.kid, KID, 16);
        assert_int_equal(mac.seq, i + 1); /* one up for each message */
        assert_int_equal(bti_mac_verify(k, m.raw, mac.digits), E_OK);
        if (m.body.n > 0) {
            assert_memory_equal(m.body.p, "v=0\n", 4);
        }
        /* Nobody seals twice. */
        assert_int_equal(mac_seal(s, buf, sizeof buf, &n), E_EXISTS);
    }
    hmac_key_free(k);
    session_free(s);
}

static void sealing_has_limits(void **state)
{
    struct session *s = session('u', 'd');
    char buf[2048];
    size_t n = strlen(kinds[0].text), before = n;
    (void)state;
    memcpy(buf, kinds[0].text, n);
    assert_int_equal(mac_seal(s, buf, n + 20, &n), E_RANGE);
    assert_int_equal(n, before);
    assert_memory_equal(buf, kinds[0].text, n);
    assert_int_equal(s->next_seq, 1); /* no number was spent */
    n = 5;
    assert_int_not_equal(mac_seal(s, buf, sizeof buf, &n), E_OK);
    session_free(s);
}

/* As the gate controller seals: the same scheme under the other key, requests in Authorization. */
static size_t from_gate(const char *text, uint64_t seq, char key, char *buf, size_t max)
{
    struct secret down = {.n = 32};
    struct hmac_key *k = NULL;
    char value[BTI_MAC_VALUE_MAX];
    bool request = strncmp(text, "SIP/2.0", 7) != 0;
    const char *empty = strstr(text, "\r\n\r\n") + 2;
    memset(down.b, key, 32);
    assert_int_equal(hmac_key_new(&down, &k), E_OK);
    bti_mac_format(request, (const uint8_t *)KID, seq, value);
    int n = snprintf(buf, max, "%.*s%s: %s\r\n%s", (int)(empty - text), text,
                     request ? "Authorization" : "Authentication-Info", value, empty);
    char *digits = strstr(buf, ", mac=") + 6;
    assert_int_equal(bti_mac_fill(k, buf, (size_t)n, (size_t)(digits - buf)), E_OK);
    hmac_key_free(k);
    return (size_t)n;
}

static void the_gates_messages(void **state)
{
    struct session *s = session('u', 'd');
    struct sip_msg m;
    char buf[2048];
    bool repeat = true;
    (void)state;
    for (unsigned i = 0; i < KINDS; i++) {
        size_t n = from_gate(kinds[i].text, 2000 + i, 'd', buf, sizeof buf);
        framed(buf, n, &m);
        assert_int_equal(mac_check(s, &m, &repeat), E_OK);
        assert_false(repeat);
        assert_int_equal(mac_check(s, &m, &repeat), E_OK);
        assert_true(repeat); /* the transaction layer decides */
    }
    framed(buf, from_gate(kinds[0].text, 900, 'd', buf, sizeof buf), &m);
    assert_int_equal(mac_check(s, &m, &repeat), E_REPLAY); /* below the window */
    framed(buf, from_gate(kinds[0].text, 3000, 'u', buf, sizeof buf), &m);
    assert_int_equal(mac_check(s, &m, &repeat), E_AUTH); /* our own key turned around */
    framed(kinds[0].text, strlen(kinds[0].text), &m);
    assert_int_equal(mac_check(s, &m, &repeat), E_NOTFOUND);
    session_free(s);
}

static void reflected_messages_prove_nothing(void **state)
{
    struct session *s = session('k', 'k'); /* even if both keys were one */
    struct sip_msg m;
    char buf[2048];
    size_t n = strlen(kinds[0].text);
    bool repeat = false;
    (void)state;
    memcpy(buf, kinds[0].text, n);
    assert_int_equal(mac_seal(s, buf, sizeof buf, &n), E_OK);
    framed(buf, n, &m);
    assert_int_equal(mac_check(s, &m, &repeat), E_NOTFOUND); /* Proxy-Authorization is upward */
    session_free(s);
}

static void another_session_and_two_headers(void **state)
{
    struct session *s = session('u', 'd');
    struct sip_msg m;
    char buf[2048], twice[4096];
    bool repeat = false;
    size_t n = from_gate(kinds[0].text, 5, 'd', buf, sizeof buf);
    (void)state;
    s->kid[0] ^= 1;
    framed(buf, n, &m);
    assert_int_equal(mac_check(s, &m, &repeat), E_DENIED);
    s->kid[0] ^= 1;
    n = from_gate(buf, 6, 'd', twice, sizeof twice);
    framed(twice, n, &m);
    assert_int_equal(mac_check(s, &m, &repeat), E_PARSE);
    session_free(s);
}

/* Every octet of a message altered: dropped, or not even SIP. */
static void mutation(void **state)
{
    struct session *s = session('u', 'd');
    char buf[2048];
    size_t n = from_gate(kinds[0].text, 5, 'd', buf, sizeof buf);
    unsigned refused = 0;
    (void)state;
    for (size_t i = 0; i < n; i++) {
        struct sip_msg m;
        const char *why = "";
        bool repeat = false;
        buf[i] ^= 1;
        if (sip_frame(view_from(buf, n), false, &m, &why) == E_OK) {
            assert_int_not_equal(mac_check(s, &m, &repeat), E_OK);
            refused++;
        }
        buf[i] ^= 1;
    }
    assert_true(refused > 200);
    assert_int_equal(s->seen.top, 0); /* none of them marked anything */
    session_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_has_its_header),
        cmocka_unit_test(sealing_has_limits),
        cmocka_unit_test(the_gates_messages),
        cmocka_unit_test(reflected_messages_prove_nothing),
        cmocka_unit_test(another_session_and_two_headers),
        cmocka_unit_test(mutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
