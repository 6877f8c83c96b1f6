/* provisioning/enrol_ps.h - the provisioning server's side of one enrolment: seed steps 302-310.
 *
 * Shape      pure: whole frames in (wire_cut), frames and events out; no I/O, no clock but cfg's.
 *            Order: feed YO -> PS_HELLO (the OFFER to send is in out) -> feed KEYS ->
 * PS_AUDIO_READY (PROOF to send) -> enrol_ps_auth_result() per try -> feed USER_KEY -> PS_USER_KEY
 * -> enrol_ps_acknowledge() (after the database committed, or with it). Errors     a bad frame
 * gives E_OK with event PS_REFUSED and an error frame, ended = true; only the environment (E_NOMEM,
 * E_CRYPTO) and wrong use (E_STATE) come as errors. Ownership  the cfg's pointers are borrowed
 * while the object lives; free wipes all keys. Threads    one at a time on one object. */
#ifndef PROVISIONING_ENROL_PS_H
#define PROVISIONING_ENROL_PS_H

#include "base/pki.h"
#include "provisioning/keys.h"

struct enrol_ps_cfg {
    const struct pki_chain *chain; /* certificate of K_PS, leaf first */
    const struct p256_key *key;    /* K_PS */
    wire_random_fn random;         /* NULL: crypto_random */
    void *random_arg;
};

enum enrol_ps_event { PS_NONE, PS_HELLO, PS_AUDIO_READY, PS_USER_KEY, PS_REFUSED };

struct bti_info { /* step 304 {info}_SK */
    uint8_t mac[6];
    uint8_t ip[16];
    size_t ip_bytes; /* 4 or 16 */
    char model[64], software[64];
};

struct user_key { /* step 310 */
    enum wire_key_kind kind;
    uint8_t pub[P256_POINT_BYTES]; /* KEY_P256 */
    struct secret shared;          /* KEY_SYMMETRIC: 64 octets */
};

#define ENROL_TEXTS_MAX  8
#define ENROL_TEXT_BYTES 256
struct enrol_texts {
    size_t n;
    char v[ENROL_TEXTS_MAX][ENROL_TEXT_BYTES];
};

struct enrol_ack { /* what the BTI learns when it is enrolled */
    uint8_t bti_id[BTI_ID_BYTES];
    struct enrol_texts numbers; /* 0..8 */
    struct enrol_texts gates;   /* 1..4, host:port */
    struct enrol_texts servers; /* 0..4, host:port */
};

struct enrol_ps;
MUST_CHECK enum err enrol_ps_new(const struct enrol_ps_cfg *cfg, struct enrol_ps **out);
void enrol_ps_free(struct enrol_ps *p);
MUST_CHECK enum err enrol_ps_feed(struct enrol_ps *p, struct view frame, struct enrol_out *out);
const char *enrol_ps_call_id(const struct enrol_ps *p);         /* from PS_HELLO on */
const struct bti_info *enrol_ps_info(const struct enrol_ps *p); /* from PS_AUDIO_READY on */
MUST_CHECK enum err enrol_ps_audio(const struct enrol_ps *p, struct audio_keys *out);
/* After each try (steps 307-309). VERDICT_LOCKED ends the enrolment. */
MUST_CHECK enum err enrol_ps_auth_result(struct enrol_ps *p, enum wire_verdict v,
                                         uint8_t tries_left, struct enrol_out *out);
const struct user_key *enrol_ps_user_key(const struct enrol_ps *p); /* from PS_USER_KEY on */
/* The LTK is fixed once PS_USER_KEY was seen, so it can be stored before the BTI is told. */
MUST_CHECK enum err enrol_ps_ltk(const struct enrol_ps *p, struct ltk *out);
MUST_CHECK enum err enrol_ps_acknowledge(struct enrol_ps *p, const struct enrol_ack *ack,
                                         struct enrol_out *out);
MUST_CHECK enum err enrol_ps_refuse(struct enrol_ps *p, enum wire_code code, struct enrol_out *out);

#endif
