#include "provisioning/enrol_ps.h"

#include <string.h>

#include "base/hpke.h"
#include "provisioning/hello.h"
#include "provisioning/proof.h"

enum ps_state { PST_YO, PST_KEYS, PST_TRIES, PST_USER_KEY, PST_ACK, PST_END };

struct enrol_ps {
    struct enrol_ps_cfg cfg;
    enum ps_state state;
    struct channel ch;
    struct secret sk, ak;
    uint8_t n0[NONCE_BYTES], n1[NONCE_BYTES], n2[NONCE_BYTES];
    char call_id[ENROL_TEXT_BYTES];
    struct bti_info info;
    struct user_key user;
    struct audio_keys audio;
    struct ltk ltk;
};

enum err enrol_ps_new(const struct enrol_ps_cfg *cfg, struct enrol_ps **out)
{
    struct enrol_ps *p = secret_alloc(sizeof *p);
    if (!p) {
        return FAIL(E_NOMEM);
    }
    p->cfg = *cfg;
    enum err e = channel_init(&p->ch);
    if (e != E_OK) {
        secret_release(p, sizeof *p);
        return e;
    }
    *out = p;
    return E_OK;
}

void enrol_ps_free(struct enrol_ps *p)
{
    if (p) {
        channel_wipe(&p->ch);
        secret_release(p, sizeof *p);
    }
}

static enum err info_read(struct enrol_ps *p, struct view v)
{
    struct view f;
    struct bti_info i = {0};
    enum err e = E_OK;
    TRY(wire_get(&v, WF_MAC_ADDR, sizeof i.mac, sizeof i.mac, &f));
    memcpy(i.mac, f.p, sizeof i.mac);
    TRY(wire_get(&v, WF_IP, 4, 16, &f));
    if (f.n != 4 && f.n != 16) {
        return FAIL(E_PARSE);
    }
    i.ip_bytes = f.n;
    memcpy(i.ip, f.p, f.n);
    TRY(wire_get(&v, WF_MODEL, 0, sizeof i.model - 1, &f));
    TRY(view_to_cstr(f, i.model, sizeof i.model));
    TRY(wire_get(&v, WF_SOFTWARE, 0, sizeof i.software - 1, &f));
    TRY(view_to_cstr(f, i.software, sizeof i.software));
    TRY(wire_finish(v));
    p->info = i;
out:
    return e == E_RANGE ? E_PARSE : e;
}

/* {K}_KPS+, {SK, AK, N0}_K, {info}_SK. */
static enum err keys_read(struct enrol_ps *p, struct view frame)
{
    struct view body;
    struct view enc;
    struct view sealed;
    struct view wrapped;
    struct view info;
    uint8_t type = 0;
    uint8_t hash[SHA256_BYTES];
    uint8_t plain[3 * NONCE_BYTES];
    uint8_t text[256];
    struct secret k = {0};
    enum err e = E_OK;
    TRY(wire_open(frame, &type, &body));
    TRY(wire_get(&body, WF_HPKE_ENC, HPKE_ENC_BYTES, HPKE_ENC_BYTES, &enc));
    TRY(wire_get(&body, WF_HPKE_CT, NONCE_BYTES + GCM_TAG_BYTES, NONCE_BYTES + GCM_TAG_BYTES,
                 &sealed));
    TRY(wire_get(&body, WF_WRAPPED, sizeof plain + GCM_TAG_BYTES, sizeof plain + GCM_TAG_BYTES,
                 &wrapped));
    TRY(wire_get(&body, WF_INFO_CT, GCM_TAG_BYTES, sizeof text, &info));
    TRY(wire_finish(body));
    TRY(channel_hash(&p->ch, hash));
    TRY(hpke_open((enum hpke_aead)p->ch.suite, p->cfg.key, (const uint8_t *)enc.p,
                  VIEW(HPKE_INFO_ENROL), view_from(hash, sizeof hash), sealed, plain));
    TRY(secret_set(&k, plain, NONCE_BYTES));
    TRY(wrap_open(&p->ch, &k, hash, wrapped, plain));
    TRY(secret_set(&p->sk, plain, NONCE_BYTES));
    TRY(secret_set(&p->ak, plain + NONCE_BYTES, NONCE_BYTES));
    memcpy(p->n0, plain + (size_t)2 * NONCE_BYTES, NONCE_BYTES);
    TRY(keys_channel(&p->ch, &p->sk, hash));
    TRY(aead_open(&p->ch.way[WAY_UP], hash, WIRE_KEYS, info, text));
    TRY(info_read(p, view_from(text, info.n - GCM_TAG_BYTES)));
    TRY(channel_add(&p->ch, frame));
    TRY(channel_hash(&p->ch, hash));
    TRY(keys_audio(&p->ch, &p->ak, hash, &p->audio));
    secret_wipe(&p->ak);
out:
    if (e != E_OK) {
        p->ch.keyed = false; /* the BTI could not read a sealed refusal */
    }
    wipe(plain, sizeof plain);
    secret_wipe(&k);
    return e;
}

static enum err proof_send(struct enrol_ps *p, struct enrol_out *out)
{
    uint8_t b[128];
    struct wire_out w;
    enum err e = E_OK;
    TRY(hello_random(p->cfg.random, p->cfg.random_arg, p->n1, sizeof p->n1));
    fields_begin(&w, b, sizeof b);
    wire_put(&w, WF_N0, p->n0, sizeof p->n0);
    wire_put(&w, WF_N1, p->n1, sizeof p->n1);
    TRY(fields_send(&p->ch, WAY_DOWN, WIRE_PROOF, &w, out));
out:
    return e;
}

static enum err user_key_read(struct enrol_ps *p, struct view frame)
{
    uint8_t b[512];
    uint8_t hash[SHA256_BYTES];
    size_t n = 0;
    struct view v;
    struct view f;
    struct view n2;
    struct user_key u = {0};
    uint64_t kind = 0;
    enum err e = E_OK;
    if (frame.n > sizeof b) {
        return FAIL(E_PARSE);
    }
    TRY(channel_hash(&p->ch, hash));
    TRY(channel_open(&p->ch, WAY_UP, frame, b, &n));
    v = view_from(b, n);
    TRY(wire_get(&v, WF_N1, NONCE_BYTES, NONCE_BYTES, &f));
    if (!bytes_eq(f.p, p->n1, NONCE_BYTES)) {
        e = FAIL(E_REPLAY);
        goto out;
    }
    TRY(wire_get(&v, WF_N2, NONCE_BYTES, NONCE_BYTES, &n2));
    TRY(wire_get_u(&v, WF_KEY_KIND, 1, &kind));
    TRY(wire_get(&v, WF_USER_KEY, 64, P256_POINT_BYTES, &f));
    if (kind == KEY_P256 && f.n == P256_POINT_BYTES) {
        memcpy(u.pub, f.p, f.n);
    } else if (kind == KEY_SYMMETRIC && f.n == 64) {
        TRY(secret_set(&u.shared, f.p, f.n));
    } else {
        e = FAIL(E_PARSE);
        goto out;
    }
    u.kind = (enum wire_key_kind)kind;
    TRY(wire_get(&v, WF_POSSESSION, 32, P256_SIG_BYTES, &f));
    TRY(wire_finish(v));
    TRY(possession_check(&u, hash, p->n1, (const uint8_t *)n2.p, f));
    memcpy(p->n2, n2.p, NONCE_BYTES);
    p->user = u;
    TRY(channel_hash(&p->ch, hash));
    TRY(keys_ltk(&p->ch, &p->sk, hash, &p->ltk));
out:
    wipe(b, sizeof b);
    wipe(&u, sizeof u);
    return e;
}

static enum err step(struct enrol_ps *p, uint8_t type, struct view frame, struct enrol_out *out)
{
    enum err e = E_OK;
    if (p->state == PST_YO && type == WIRE_YO) {
        TRY(hello_offer(&p->ch, &p->cfg, WIRE_MODE_ENROL, frame, p->call_id, out));
        p->state = PST_KEYS;
        out->event = PS_HELLO;
    } else if (p->state == PST_KEYS && type == WIRE_KEYS) {
        TRY(keys_read(p, frame));
        TRY(proof_send(p, out));
        p->state = PST_TRIES;
        out->event = PS_AUDIO_READY;
    } else if (p->state == PST_USER_KEY && type == WIRE_USER_KEY) {
        TRY(user_key_read(p, frame));
        p->state = PST_ACK;
        out->event = PS_USER_KEY;
    } else {
        e = FAIL(E_STATE);
    }
out:
    return e;
}

static enum err end_with(struct enrol_ps *p, uint16_t code, struct enrol_out *out)
{
    p->state = PST_END;
    out->event = PS_REFUSED;
    out->ended = true;
    return channel_error(&p->ch, WAY_DOWN, code, out->b, sizeof out->b, &out->n);
}

enum err enrol_ps_feed(struct enrol_ps *p, struct view frame, struct enrol_out *out)
{
    uint8_t type = 0;
    struct view body;
    out_reset(out);
    if (p->state == PST_END) {
        return FAIL(E_STATE);
    }
    enum err e = wire_open(frame, &type, &body);
    if (e == E_OK && (type == WIRE_ERROR || type == WIRE_ERROR_SEALED)) {
        p->state = PST_END; /* the BTI gave up; authentic or not, there is nothing to go on with */
        out->event = PS_REFUSED;
        out->ended = true;
        return E_OK;
    }
    if (e == E_OK) {
        e = step(p, type, frame, out);
    }
    if (e == E_OK || is_environment(e)) {
        return e;
    }
    return end_with(p, code_of(e), out);
}

enum err enrol_ps_refuse(struct enrol_ps *p, enum wire_code code, struct enrol_out *out)
{
    out_reset(out);
    return p->state == PST_END ? FAIL(E_STATE) : end_with(p, (uint16_t)code, out);
}

const char *enrol_ps_call_id(const struct enrol_ps *p)
{
    return p->call_id;
}

const struct bti_info *enrol_ps_info(const struct enrol_ps *p)
{
    return &p->info;
}

enum err enrol_ps_audio(const struct enrol_ps *p, struct audio_keys *out)
{
    if (p->audio.up_key.n == 0) {
        return FAIL(E_STATE);
    }
    *out = p->audio;
    return E_OK;
}

enum err enrol_ps_auth_result(struct enrol_ps *p, enum wire_verdict v, uint8_t tries_left,
                              struct enrol_out *out)
{
    uint8_t b[32];
    struct wire_out w;
    enum err e = E_OK;
    out_reset(out);
    if (p->state != PST_TRIES) {
        return FAIL(E_STATE);
    }
    fields_begin(&w, b, sizeof b);
    wire_put_u(&w, WF_VERDICT, v, 1);
    wire_put_u(&w, WF_TRIES_LEFT, tries_left, 1);
    TRY(fields_send(&p->ch, WAY_DOWN, WIRE_AUTH_RESULT, &w, out));
    if (v == VERDICT_ACCEPTED) {
        p->state = PST_USER_KEY;
    } else if (v == VERDICT_LOCKED) {
        p->state = PST_END;
        out->ended = true;
    }
out:
    return e;
}

const struct user_key *enrol_ps_user_key(const struct enrol_ps *p)
{
    return &p->user;
}

enum err enrol_ps_ltk(const struct enrol_ps *p, struct ltk *out)
{
    if (p->ltk.enc_up.n == 0) {
        return FAIL(E_STATE);
    }
    *out = p->ltk;
    return E_OK;
}

enum err enrol_ps_acknowledge(struct enrol_ps *p, const struct enrol_ack *ack,
                              struct enrol_out *out)
{
    uint8_t b[3 * ENROL_TEXTS_MAX * ENROL_TEXT_BYTES];
    struct wire_out w;
    enum err e = E_OK;
    out_reset(out);
    if (p->state != PST_ACK || ack->gates.n == 0) {
        return FAIL(E_STATE);
    }
    fields_begin(&w, b, sizeof b);
    wire_put(&w, WF_N2, p->n2, sizeof p->n2);
    wire_put(&w, WF_BTI_ID, ack->bti_id, sizeof ack->bti_id);
    texts_put(&w, WF_NUMBERS, &ack->numbers);
    texts_put(&w, WF_GATES, &ack->gates);
    texts_put(&w, WF_SERVERS, &ack->servers);
    TRY(fields_send(&p->ch, WAY_DOWN, WIRE_DONE, &w, out));
    out->ended = true;
    p->state = PST_END;
out:
    return e;
}
