#include "provisioning/enrol_bti.h"

#include <string.h>

#include "base/hpke.h"
#include "provisioning/hello.h"
#include "provisioning/proof.h"

enum bti_state { BST_START, BST_OFFER, BST_PROOF, BST_RESULT, BST_KEY, BST_DONE, BST_END };

struct enrol_bti {
    struct enrol_bti_cfg cfg;
    char call_id[ENROL_TEXT_BYTES];
    enum bti_state state;
    struct channel ch;
    struct hello_bti hello;
    struct secret sk, ak;
    uint8_t n0[NONCE_BYTES], n1[NONCE_BYTES], n2[NONCE_BYTES];
    struct audio_keys audio;
    struct ltk ltk;
    enum wire_verdict verdict;
    uint8_t tries_left;
    struct enrol_ack ack;
    uint16_t code;
    char why[PKI_WHY_MAX];
};

enum err enrol_bti_new(const struct enrol_bti_cfg *cfg, struct enrol_bti **out)
{
    struct enrol_bti *b = secret_alloc(sizeof *b);
    if (!b) {
        return FAIL(E_NOMEM);
    }
    b->cfg = *cfg;
    b->hello.suites = cfg->suites.n ? cfg->suites : hello_suites(cfg->only_256);
    enum err e = view_to_cstr(view_of(cfg->call_id), b->call_id, sizeof b->call_id);
    if (e == E_OK) {
        e = channel_init(&b->ch);
    }
    if (e != E_OK) {
        secret_release(b, sizeof *b);
        return e;
    }
    *out = b;
    return E_OK;
}

void enrol_bti_free(struct enrol_bti *b)
{
    if (b) {
        channel_wipe(&b->ch);
        secret_release(b, sizeof *b);
    }
}

enum err enrol_bti_start(struct enrol_bti *b, struct enrol_out *out)
{
    out_reset(out);
    if (b->state != BST_START) {
        return FAIL(E_STATE);
    }
    enum err e = hello_yo(&b->ch, &b->hello, b->call_id, b->cfg.random, b->cfg.random_arg, out);
    if (e == E_OK) {
        b->state = BST_OFFER;
    }
    return e;
}

static enum err info_seal(struct enrol_bti *b, const uint8_t hash[SHA256_BYTES], uint8_t *ct,
                          size_t *out_n)
{
    const struct bti_info *i = &b->cfg.info;
    uint8_t text[240];
    struct wire_out w;
    fields_begin(&w, text, sizeof text);
    wire_put(&w, WF_MAC_ADDR, i->mac, sizeof i->mac);
    wire_put(&w, WF_IP, i->ip, i->ip_bytes);
    wire_put(&w, WF_MODEL, i->model, strnlen(i->model, sizeof i->model - 1));
    wire_put(&w, WF_SOFTWARE, i->software, strnlen(i->software, sizeof i->software - 1));
    if (w.full) {
        return FAIL(E_RANGE);
    }
    *out_n = w.n + GCM_TAG_BYTES;
    return aead_seal(&b->ch.way[WAY_UP], hash, WIRE_KEYS, view_from(text, w.n), ct);
}

/* K goes to K_PS+ by HPKE. With an injected random source the ephemeral key comes from it. */
static enum err k_seal(struct enrol_bti *b, const struct secret *k,
                       const uint8_t hash[SHA256_BYTES], uint8_t *enc, uint8_t *ct)
{
    struct p256_key eph = {0};
    enum err e = hello_random_key(b->cfg.random, b->cfg.random_arg, &eph);
    if (e == E_OK) {
        e = hpke_seal_with((enum hpke_aead)b->ch.suite, &eph, b->hello.ps_pub,
                           VIEW(HPKE_INFO_ENROL), view_from(hash, SHA256_BYTES),
                           view_from(k->b, k->n), enc, ct);
    }
    secret_wipe(&eph.d);
    return e;
}

/* Step 304. Random octets are taken in this order: K, SK, AK, N0, HPKE ephemeral. */
static enum err keys_send(struct enrol_bti *b, struct enrol_out *out)
{
    uint8_t hash[SHA256_BYTES];
    uint8_t enc[HPKE_ENC_BYTES];
    uint8_t sealed[NONCE_BYTES + GCM_TAG_BYTES];
    uint8_t plain[3 * NONCE_BYTES];
    uint8_t wrapped[sizeof plain + GCM_TAG_BYTES];
    uint8_t info[256];
    size_t info_n = 0;
    struct secret k = {0};
    struct wire_out w;
    wire_random_fn rnd = b->cfg.random;
    void *arg = b->cfg.random_arg;
    enum err e = E_OK;
    TRY(hello_random_secret(rnd, arg, &k, NONCE_BYTES));
    TRY(hello_random_secret(rnd, arg, &b->sk, NONCE_BYTES));
    TRY(hello_random_secret(rnd, arg, &b->ak, NONCE_BYTES));
    TRY(hello_random(rnd, arg, b->n0, sizeof b->n0));
    TRY(channel_hash(&b->ch, hash));
    TRY(k_seal(b, &k, hash, enc, sealed));
    memcpy(plain, b->sk.b, NONCE_BYTES);
    memcpy(plain + NONCE_BYTES, b->ak.b, NONCE_BYTES);
    memcpy(plain + (size_t)2 * NONCE_BYTES, b->n0, NONCE_BYTES);
    TRY(wrap_seal(&b->ch, &k, hash, view_from(plain, sizeof plain), wrapped));
    TRY(keys_channel(&b->ch, &b->sk, hash));
    TRY(info_seal(b, hash, info, &info_n));
    wire_begin(&w, out->b, sizeof out->b, WIRE_KEYS);
    wire_put(&w, WF_HPKE_ENC, enc, sizeof enc);
    wire_put(&w, WF_HPKE_CT, sealed, sizeof sealed);
    wire_put(&w, WF_WRAPPED, wrapped, sizeof wrapped);
    wire_put(&w, WF_INFO_CT, info, info_n);
    TRY(wire_end(&w));
    TRY(channel_add(&b->ch, view_from(out->b, w.n)));
    TRY(channel_hash(&b->ch, hash));
    TRY(keys_audio(&b->ch, &b->ak, hash, &b->audio));
    secret_wipe(&b->ak);
    out->n = w.n;
out:
    secret_wipe(&k);
    wipe(plain, sizeof plain);
    return e;
}

static enum err proof_read(struct enrol_bti *b, struct view v)
{
    struct view f;
    enum err e = E_OK;
    TRY(wire_get(&v, WF_N0, NONCE_BYTES, NONCE_BYTES, &f));
    if (!bytes_eq(f.p, b->n0, NONCE_BYTES)) {
        return FAIL(E_REPLAY);
    }
    TRY(wire_get(&v, WF_N1, NONCE_BYTES, NONCE_BYTES, &f));
    memcpy(b->n1, f.p, NONCE_BYTES);
    TRY(wire_finish(v));
out:
    return e;
}

static enum err result_read(struct enrol_bti *b, struct view v)
{
    uint64_t verdict = 0;
    uint64_t left = 0;
    enum err e = E_OK;
    TRY(wire_get_u(&v, WF_VERDICT, 1, &verdict));
    TRY(wire_get_u(&v, WF_TRIES_LEFT, 1, &left));
    TRY(wire_finish(v));
    if (verdict < VERDICT_ACCEPTED || verdict > VERDICT_LOCKED) {
        return FAIL(E_PARSE);
    }
    b->verdict = (enum wire_verdict)verdict;
    b->tries_left = (uint8_t)left;
out:
    return e;
}

static enum err done_read(struct enrol_bti *b, struct view v)
{
    struct view f;
    enum err e = E_OK;
    TRY(wire_get(&v, WF_N2, NONCE_BYTES, NONCE_BYTES, &f));
    if (!bytes_eq(f.p, b->n2, NONCE_BYTES)) {
        return FAIL(E_REPLAY);
    }
    TRY(wire_get(&v, WF_BTI_ID, BTI_ID_BYTES, BTI_ID_BYTES, &f));
    memcpy(b->ack.bti_id, f.p, BTI_ID_BYTES);
    TRY(texts_get(&v, WF_NUMBERS, 8, &b->ack.numbers));
    TRY(texts_get(&v, WF_GATES, 4, &b->ack.gates));
    TRY(texts_get(&v, WF_SERVERS, 4, &b->ack.servers));
    TRY(wire_finish(v));
    if (b->ack.gates.n == 0) {
        e = FAIL(E_PARSE);
    }
out:
    return e;
}

/* Frames under SK: opened, then read by state. */
static enum err sealed_step(struct enrol_bti *b, uint8_t type, struct view frame,
                            struct enrol_out *out)
{
    uint8_t pt[WIRE_BODY_MAX];
    size_t n = 0;
    enum err e = E_OK;
    bool expected = (b->state == BST_PROOF && type == WIRE_PROOF) ||
                    (b->state == BST_RESULT && type == WIRE_AUTH_RESULT) ||
                    (b->state == BST_DONE && type == WIRE_DONE);
    if (!expected) {
        return FAIL(E_STATE);
    }
    TRY(channel_open(&b->ch, WAY_DOWN, frame, pt, &n));
    if (type == WIRE_PROOF) {
        TRY(proof_read(b, view_from(pt, n)));
        b->state = BST_RESULT;
        out->event = BTI_AUDIO_READY;
    } else if (type == WIRE_AUTH_RESULT) {
        TRY(result_read(b, view_from(pt, n)));
        out->event = BTI_AUTH_RESULT;
        if (b->verdict == VERDICT_ACCEPTED) {
            b->state = BST_KEY;
        } else if (b->verdict == VERDICT_LOCKED) {
            b->state = BST_END;
            b->code = CODE_LOCKED;
            out->ended = true;
        }
    } else {
        TRY(done_read(b, view_from(pt, n)));
        b->state = BST_END;
        out->event = BTI_DONE;
        out->ended = true;
    }
out:
    wipe(pt, n);
    return e;
}

static enum err step(struct enrol_bti *b, uint8_t type, struct view frame, struct enrol_out *out)
{
    enum err e = E_OK;
    if (b->state != BST_OFFER || type != WIRE_OFFER) {
        return sealed_step(b, type, frame, out);
    }
    TRY(hello_offer_read(&b->ch, &b->hello, b->cfg.root, b->cfg.ps_name, b->cfg.now_us, frame,
                         b->why));
    TRY(keys_send(b, out));
    b->state = BST_PROOF;
out:
    return e;
}

static void end(struct enrol_bti *b, uint16_t code, struct enrol_out *out)
{
    b->state = BST_END;
    b->code = code;
    out->event = BTI_REFUSED;
    out->ended = true;
}

enum err enrol_bti_feed(struct enrol_bti *b, struct view frame, struct enrol_out *out)
{
    uint8_t type = 0;
    uint16_t code = CODE_CRYPTO;
    struct view body;
    out_reset(out);
    if (b->state == BST_END || b->state == BST_START) {
        return FAIL(E_STATE);
    }
    enum err e = wire_open(frame, &type, &body);
    if (e == E_OK && (type == WIRE_ERROR || type == WIRE_ERROR_SEALED)) {
        IGNORE(channel_error_read(&b->ch, WAY_DOWN, frame, &code),
               "an error frame that is not authentic ends it too, as a failed check");
        end(b, code, out);
        return E_OK;
    }
    if (e == E_OK) {
        e = step(b, type, frame, out);
    }
    if (e == E_OK || is_environment(e)) {
        return e;
    }
    code = b->why[0] ? CODE_CERTIFICATE : code_of(e);
    end(b, code, out);
    return channel_error(&b->ch, WAY_UP, code, out->b, sizeof out->b, &out->n);
}

enum err enrol_bti_audio(const struct enrol_bti *b, struct audio_keys *out)
{
    if (b->state < BST_RESULT || b->audio.up_key.n == 0) {
        return FAIL(E_STATE);
    }
    *out = b->audio;
    return E_OK;
}

enum wire_verdict enrol_bti_verdict(const struct enrol_bti *b, uint8_t *out_tries_left)
{
    *out_tries_left = b->tries_left;
    return b->verdict;
}

static enum err user_send(struct enrol_bti *b, const struct user_key *u, const struct secret *d,
                          struct enrol_out *out)
{
    uint8_t buf[384];
    uint8_t hash[SHA256_BYTES];
    uint8_t proof[P256_SIG_BYTES];
    size_t proof_n = 0;
    struct wire_out w;
    enum err e = E_OK;
    out_reset(out);
    if (b->state != BST_KEY) {
        return FAIL(E_STATE);
    }
    TRY(hello_random(b->cfg.random, b->cfg.random_arg, b->n2, sizeof b->n2));
    TRY(channel_hash(&b->ch, hash));
    TRY(possession_make(u, d, hash, b->n1, b->n2, proof, &proof_n));
    fields_begin(&w, buf, sizeof buf);
    wire_put(&w, WF_N1, b->n1, sizeof b->n1);
    wire_put(&w, WF_N2, b->n2, sizeof b->n2);
    wire_put_u(&w, WF_KEY_KIND, u->kind, 1);
    if (u->kind == KEY_P256) {
        wire_put(&w, WF_USER_KEY, u->pub, sizeof u->pub);
    } else {
        wire_put(&w, WF_USER_KEY, u->shared.b, u->shared.n);
    }
    wire_put(&w, WF_POSSESSION, proof, proof_n);
    TRY(fields_send(&b->ch, WAY_UP, WIRE_USER_KEY, &w, out));
    TRY(channel_hash(&b->ch, hash));
    TRY(keys_ltk(&b->ch, &b->sk, hash, &b->ltk));
    b->state = BST_DONE;
out:
    return e;
}

enum err enrol_bti_user_key(struct enrol_bti *b, const struct p256_key *k_u, struct enrol_out *out)
{
    struct user_key u = {.kind = KEY_P256};
    memcpy(u.pub, k_u->pub, sizeof u.pub);
    return user_send(b, &u, &k_u->d, out);
}

enum err enrol_bti_user_secret(struct enrol_bti *b, const struct secret *k_u, struct enrol_out *out)
{
    struct user_key u = {.kind = KEY_SYMMETRIC, .shared = *k_u};
    enum err e = k_u->n == SECRET_MAX ? user_send(b, &u, NULL, out) : FAIL(E_RANGE);
    wipe(&u, sizeof u);
    return e;
}

const struct enrol_ack *enrol_bti_result(const struct enrol_bti *b)
{
    return &b->ack;
}

enum err enrol_bti_ltk(const struct enrol_bti *b, struct ltk *out)
{
    if (b->ltk.enc_up.n == 0) {
        return FAIL(E_STATE);
    }
    *out = b->ltk;
    return E_OK;
}

uint16_t enrol_bti_refusal(const struct enrol_bti *b, const char **out_text)
{
    *out_text = b->why[0] ? b->why : wire_code_text(b->code);
    return b->code;
}
