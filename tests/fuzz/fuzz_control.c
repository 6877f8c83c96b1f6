/* The control channel. The first octet picks the attack; random numbers, keys and the certificate
 * are always the same, so that an input does the same each time. 0  a stream of octets, cut into
 * frames, fed to all four machines 1  an honest enrolment in which one frame is altered    2  the
 * same of a session 3  a BTI whose signed session request seals any octets   4  the same with its
 * long-term key 5  a BTI that seals any octets as its {info}             6  or as its user key 7  a
 * provisioning server that seals any octets as its answer */
#include <stdlib.h>
#include <string.h>

#include "base/hpke.h"
#include "provisioning/hello.h"
#include "provisioning/proof.h"
#include "provisioning/session_bti.h"
#include "provisioning/session_ps.h"

#define NOW  1700000000000000ull
#define NAME "ps.example"

/* Made with pki_make_root() and pki_issue(); the server's key is 32 times 0x22. */
static const char ROOT[] = "-----BEGIN CERTIFICATE-----\n"
                           "MIIBizCCATGgAwIBAgIQMFZpYVMuV8gY0wLLecjOjzAKBggqhkjOPQQDAjAUMRIw\n"
                           "EAYDVQQDDAlmdXp6IHJvb3QwIBcNMjMxMTEzMjIxMzIwWhgPMjEyMzEwMjAyMjEz\n"
                           "MjBaMBQxEjAQBgNVBAMMCWZ1enogcm9vdDBZMBMGByqGSM49AgEGCCqGSM49AwEH\n"
                           "A0IABAIX5hfwtkQ5KCePlpmeaaI6TywVK99tbN9m5bgCgtTtGUp968uXcS0t2jyo\n"
                           "Wqh2Wlb0X8dYWZZS8ol8ZTBuV5SjYzBhMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0P\n"
                           "AQH/BAQDAgEGMB0GA1UdDgQWBBQzymvF6SDmvsKhbOB6cOgoK81o0TAfBgNVHSME\n"
                           "GDAWgBQzymvF6SDmvsKhbOB6cOgoK81o0TAKBggqhkjOPQQDAgNIADBFAiBqZWs/\n"
                           "qgRbBSoNfrU6zObYBKZLASvwia/jcndZ2WFs7AIhAMQXoqqaX/ZNSMGmGkM27I1J\n"
                           "yNkAjDZ7el6pHW+V3YXb\n"
                           "-----END CERTIFICATE-----\n";
static const char LEAF[] =
    "308201bf30820165a00302010202103f36974e5415c0e857d59fdfbe6a4c60300a06082a8648ce3d0403023014"
    "3112301006035504030c0966757a7a20726f6f743020170d3233313131333232313332305a180f323132333130"
    "32303232313332305a30123110300e06035504030c0766757a7a2070733059301306072a8648ce3d020106082a"
    "8648ce3d03010703420004d65a93977caa3d1b081852ff57a79e465f1660577304baead505dd3a48589cf35018"
    "5e895372df6221ea3a137557e473fddb6755f05bd507c3c533fce9c91285a38198308195300c0603551d130101"
    "ff04023000300e0603551d0f0101ff040403020308301e0603551d2504173015061369a2e0a1ca8792c3dfa3e3"
    "c393cce9c8c83901301d0603551d0e041604140b6993f12d0755df63a9622afee00aac88cb69db301f0603551d"
    "2304183016801433ca6bc5e920e6bec2a16ce07a70e8282bcd68d130150603551d11040e300c820a70732e6578"
    "616d706c65300a06082a8648ce3d040302034800304502205da4c0d41235f1a5cf015a7fc390bb31a9480c38bd"
    "96baeb8f4f037bf775d2e70221008cd09c9697745bcecc94e41d3fd630bf77a66c9cec6bd8dbb7c8f30c640b63"
    "40";

static struct {
    struct pki_root *root;
    struct pki_chain chain;
    struct p256_key ps, user;
    struct session_row row;
    uint32_t random;
} t;

static enum err numbers(void *arg, void *dst, size_t n)
{
    uint8_t *p = dst;

    (void)arg;
    for (size_t i = 0; i < n; i++) {
        t.random = t.random * 1664525u + 1013904223u;
        p[i] = (uint8_t)(t.random >> 24);
    }
    return E_OK;
}

static void must(enum err e)
{
    BUG_ON(e != E_OK);
}

static void key_of(uint8_t fill, struct p256_key *out)
{
    struct secret d = {.n = 32};

    memset(d.b, fill, 32);
    must(p256_from_private(&d, out));
}

static void begin(void)
{
    t.random = 1;
    if (t.root != NULL) {
        return;
    }
    must(pki_root_parse(view_of(ROOT), &t.root));
    must(hex_get(view_of(LEAF), t.chain.buf, sizeof LEAF / 2));
    t.chain.der[0] = view_from(t.chain.buf, sizeof LEAF / 2);
    t.chain.n = 1;
    key_of(0x22, &t.ps);
    key_of(0x33, &t.user);
    t.row = (struct session_row){.known = true, .key = {.kind = KEY_P256}};
    memcpy(t.row.key.pub, t.user.pub, sizeof t.user.pub);
    must(numbers(NULL, t.row.ltk.enc_up.b, 16));
    must(numbers(NULL, t.row.ltk.mac_up.b, 16));
    t.row.ltk.enc_up.n = t.row.ltk.mac_up.n = 16;
    t.random = 1;
}

static const struct enrol_ps_cfg *ps_cfg(void)
{
    static struct enrol_ps_cfg cfg;

    cfg = (struct enrol_ps_cfg){.chain = &t.chain, .key = &t.ps, .random = numbers};
    return &cfg;
}

static const struct enrol_bti_cfg *bti_cfg(void)
{
    static struct enrol_bti_cfg cfg;

    cfg = (struct enrol_bti_cfg){.root = t.root,
                                 .ps_name = NAME,
                                 .now_us = NOW,
                                 .call_id = "c1@x",
                                 .info = {.ip_bytes = 4, .model = "m", .software = "s"},
                                 .random = numbers};
    return &cfg;
}

static const struct session_bti_cfg *session_cfg(enum wire_form form)
{
    static struct session_bti_cfg cfg;

    cfg = (struct session_bti_cfg){.root = t.root,
                                   .ps_name = NAME,
                                   .now_us = NOW,
                                   .counter = 9,
                                   .gate = "192.0.2.1:5060",
                                   .form = form,
                                   .k_u = &t.user,
                                   .ltk = &t.row.ltk,
                                   .random = numbers};
    return &cfg;
}

/* What a feed may give: a frame or none, and nothing after the end. */
static bool went_on(enum err e, const struct enrol_out *o)
{
    uint8_t type = 0;
    struct view body;

    BUG_ON(e != E_OK && e != E_STATE); /* the environment is sound here */
    if (e != E_OK) {
        return false;
    }
    BUG_ON(o->n > sizeof o->b);
    BUG_ON(o->n > 0 && wire_open(view_from(o->b, o->n), &type, &body) != E_OK);
    return !o->ended;
}

static struct enrol_out a, b;

static struct view sent(const struct enrol_out *o)
{
    return view_from(o->b, o->n);
}

/* ---- 0: anything to anybody ------------------------------------------------------------------ */
struct machines {
    struct enrol_ps *ep;
    struct enrol_bti *eb;
    struct session_ps *sp;
    struct session_bti *sb;
    bool on[4];
};

static void feed_all(struct machines *m, struct view frame)
{
    if (m->on[0]) {
        m->on[0] = went_on(enrol_ps_feed(m->ep, frame, &b), &b);
    }
    if (m->on[1]) {
        m->on[1] = went_on(enrol_bti_feed(m->eb, frame, &b), &b);
    }
    if (m->on[2]) {
        m->on[2] = went_on(session_ps_feed(m->sp, frame, &b), &b);
    }
    if (m->on[3]) {
        m->on[3] = went_on(session_bti_feed(m->sb, frame, &b), &b);
    }
}

static void stream(struct view data)
{
    struct machines m = {.on = {true, true, true, true}};
    enum wire_mode mode;
    size_t n = 0;
    enum err e = E_OK;

    must(enrol_ps_new(ps_cfg(), &m.ep));
    must(enrol_bti_new(bti_cfg(), &m.eb));
    must(session_ps_new(ps_cfg(), &m.sp));
    must(session_bti_new(session_cfg(FORM_SIGNED), &m.sb));
    must(enrol_bti_start(m.eb, &a));
    must(session_bti_start(m.sb, &a));
    while ((e = wire_cut(data, &n)) == E_OK) {
        struct view frame = view_sub(data, 0, n);
        BUG_ON(n < WIRE_HEAD || n > data.n);
        IGNORE(hello_mode(frame, &mode), "only looked at");
        feed_all(&m, frame);
        data = view_sub(data, n, data.n);
    }
    BUG_ON(e != E_STATE && e != E_RANGE && e != E_PARSE);
    enrol_ps_free(m.ep);
    enrol_bti_free(m.eb);
    session_ps_free(m.sp);
    session_bti_free(m.sb);
}

/* ---- 1, 2: honest, but for one frame --------------------------------------------------------- */
struct change {
    unsigned frame, now;
    struct view edits; /* octet pairs: how far to go, what to exclusive-or */
    bool made;
};

static struct view carry(struct change *c, struct enrol_out *o)
{
    static uint8_t whole[WIRE_FRAME_MAX];
    size_t at = 0;

    if (c->now++ == c->frame) {
        memcpy(whole, o->b, o->n);
        for (size_t i = 0; i + 1 < c->edits.n && o->n > 0; i += 2) {
            at = (at + (uint8_t)c->edits.p[i]) % o->n;
            o->b[at] ^= (uint8_t)c->edits.p[i + 1];
        }
        c->made = memcmp(whole, o->b, o->n) != 0; /* two changes may undo each other */
    }
    return sent(o);
}

static void enrolment(struct change c)
{
    const struct enrol_ack ack = {.gates = {1, {"192.0.2.1:5060"}},
                                  .numbers = {1, {"+12015550100"}}};
    struct enrol_ps *p = NULL;
    struct enrol_bti *i = NULL;

    must(enrol_ps_new(ps_cfg(), &p));
    must(enrol_bti_new(bti_cfg(), &i));
    must(enrol_bti_start(i, &a));
    if (went_on(enrol_ps_feed(p, carry(&c, &a), &b), &b) &&
        went_on(enrol_bti_feed(i, carry(&c, &b), &a), &a) &&
        went_on(enrol_ps_feed(p, carry(&c, &a), &b), &b) &&
        went_on(enrol_bti_feed(i, carry(&c, &b), &a), &a)) {
        must(enrol_ps_auth_result(p, VERDICT_ACCEPTED, 2, &b));
        if (went_on(enrol_bti_feed(i, carry(&c, &b), &a), &a)) {
            must(enrol_bti_user_key(i, &t.user, &a));
            if (went_on(enrol_ps_feed(p, carry(&c, &a), &b), &b)) {
                must(enrol_ps_acknowledge(p, &ack, &b));
                must(enrol_bti_feed(i, carry(&c, &b), &a));
                BUG_ON(a.event == BTI_DONE && !enrol_bti_result(i)->gates.n);
            }
        }
    }
    enrol_ps_free(p);
    enrol_bti_free(i);
}

static void decide(struct session_ps *p, struct session_keys *k, uint16_t *code)
{
    static struct session_grant grant;

    grant = (struct session_grant){
        .kid = {7}, .lifetime_s = 60, .now_us = NOW + 5, .gates = {1, {"192.0.2.1:5060"}}};
    must(session_ps_decide(p, &t.row, &grant, code, k, &b));
    BUG_ON(b.n == 0);
}

static void session(enum wire_form form, struct change c)
{
    struct session_ps *p = NULL;
    struct session_bti *i = NULL;
    struct session_keys k = {0};
    uint16_t code = 1;

    must(session_ps_new(ps_cfg(), &p));
    must(session_bti_new(session_cfg(form), &i));
    must(session_bti_start(i, &a));
    if (went_on(session_ps_feed(p, carry(&c, &a), &b), &b) &&
        went_on(session_bti_feed(i, carry(&c, &b), &a), &a) &&
        went_on(session_ps_feed(p, carry(&c, &a), &b), &b)) {
        decide(p, &k, &code);
        BUG_ON(c.made && code == CODE_OK); /* no altered octet is ever granted anything */
        must(session_bti_feed(i, carry(&c, &b), &a));
        BUG_ON(c.made && a.event == SBTI_DONE);
    }
    session_ps_free(p);
    session_bti_free(i);
}

/* ---- 3 to 6: a BTI that knows the protocol and seals what it likes --------------------------- */
struct liar {
    struct channel c;
    struct hello_bti h;
    uint8_t hash[SHA256_BYTES];
};

static void liar_yo(struct liar *l, const char *call_id)
{
    memset(l, 0, sizeof *l);
    must(channel_init(&l->c));
    l->h.suites = hello_suites(false);
    must(hello_yo(&l->c, &l->h, call_id, numbers, NULL, &a));
}

static void liar_offer(struct liar *l)
{
    char why[PKI_WHY_MAX];

    must(hello_offer_read(&l->c, &l->h, t.root, NAME, NOW, sent(&b), why));
    must(channel_hash(&l->c, l->hash));
}

static void liar_end(struct liar *l)
{
    secret_wipe(&l->h.ephemeral.d);
    channel_wipe(&l->c);
}

static void hpke(struct liar *l, struct view info, struct view pt, uint8_t *enc, uint8_t *ct)
{
    struct p256_key e;

    must(hello_random_key(numbers, NULL, &e));
    must(hpke_seal_with((enum hpke_aead)l->c.suite, &e, l->h.ps_pub, info,
                        view_from(l->hash, sizeof l->hash), pt, enc, ct));
}

static void put_request(struct liar *l, enum wire_form form, struct view plain, struct wire_out *w)
{
    uint8_t enc[HPKE_ENC_BYTES], ct[600], proof[P256_SIG_BYTES], msg[1024];
    const uint8_t nonce[GCM_NONCE_BYTES] = {1}, id[BTI_ID_BYTES] = {0};
    struct view m;

    wire_begin(w, a.b, sizeof a.b, WIRE_SESSION_REQUEST);
    if (form == FORM_SIGNED) {
        hpke(l, VIEW(HPKE_INFO_SESSION), plain, enc, ct);
        wire_put(w, WF_HPKE_ENC, enc, sizeof enc);
    } else {
        must(gcm_seal(&t.row.ltk.enc_up, nonce, view_from(l->hash, sizeof l->hash), plain, ct));
    }
    wire_put(w, WF_HPKE_CT, ct, plain.n + GCM_TAG_BYTES);
    if (form == FORM_LTK) {
        wire_put(w, WF_BTI_ID, id, sizeof id);
    }
    wire_put_u(w, WF_FORM, form, 1);
    if (form == FORM_LTK) {
        wire_put(w, WF_NONCE, nonce, sizeof nonce);
    }
    must(request_message(l->hash, view_from(w->b + WIRE_HEAD, w->n - WIRE_HEAD), msg, sizeof msg,
                         &m));
    if (form == FORM_SIGNED) {
        must(p256_sign(&t.user.d, m, proof));
        wire_put(w, WF_SIGNATURE, proof, P256_SIG_BYTES);
    } else {
        must(hmac_sha256(&t.row.ltk.mac_up, m, proof));
        wire_put(w, WF_MAC, proof, SHA256_BYTES);
    }
    must(wire_end(w));
}

static void request(enum wire_form form, struct view plain)
{
    struct session_ps *p = NULL;
    struct liar l;
    struct wire_out w;
    struct session_keys k = {0};
    uint16_t code = 1;

    plain = view_sub(plain, 0, 500);
    must(session_ps_new(ps_cfg(), &p));
    liar_yo(&l, NULL);
    must(session_ps_feed(p, sent(&a), &b));
    liar_offer(&l);
    put_request(&l, form, plain, &w);
    if (went_on(session_ps_feed(p, view_from(a.b, w.n), &b), &b)) {
        BUG_ON(b.event != SPS_REQUEST);
        decide(p, &k, &code);
        BUG_ON(code == CODE_OK &&
               (k.mac_up.n != 32 || session_ps_gate(p)[0] == 0 || session_ps_counter(p) == 0));
    }
    session_ps_free(p);
    liar_end(&l);
}

static size_t put_keys(struct liar *l, struct view info, struct secret *sk)
{
    uint8_t enc[HPKE_ENC_BYTES], sealed[NONCE_BYTES + GCM_TAG_BYTES];
    uint8_t plain[3 * NONCE_BYTES] = {0}, wrapped[sizeof plain + GCM_TAG_BYTES], ct[400];
    const struct secret k = {.n = NONCE_BYTES};
    struct wire_out w;

    hpke(l, VIEW(HPKE_INFO_ENROL), view_from(k.b, k.n), enc, sealed);
    must(wrap_seal(&l->c, &k, l->hash, view_from(plain, sizeof plain), wrapped));
    must(secret_set(sk, plain, NONCE_BYTES));
    must(keys_channel(&l->c, sk, l->hash));
    must(aead_seal(&l->c.way[WAY_UP], l->hash, WIRE_KEYS, info, ct));
    wire_begin(&w, a.b, sizeof a.b, WIRE_KEYS);
    wire_put(&w, WF_HPKE_ENC, enc, sizeof enc);
    wire_put(&w, WF_HPKE_CT, sealed, sizeof sealed);
    wire_put(&w, WF_WRAPPED, wrapped, sizeof wrapped);
    wire_put(&w, WF_INFO_CT, ct, info.n + GCM_TAG_BYTES);
    must(wire_end(&w));
    must(channel_add(&l->c, view_from(a.b, w.n)));
    return w.n;
}

/* info: what {info} holds; user: what the user key's frame holds, NULL: no such frame. */
static void keys(struct view info, const struct view *user)
{
    struct enrol_ps *p = NULL;
    struct liar l;
    struct secret sk = {0};
    uint8_t pt[256], n1[NONCE_BYTES], fields[8000];
    size_t n = 0;

    must(enrol_ps_new(ps_cfg(), &p));
    liar_yo(&l, "c1@x");
    must(enrol_ps_feed(p, sent(&a), &b));
    liar_offer(&l);
    n = put_keys(&l, view_sub(info, 0, 350), &sk);
    bool on = went_on(enrol_ps_feed(p, view_from(a.b, n), &b), &b);
    BUG_ON(user != NULL && !on);
    if (on) {
        const struct bti_info *i = enrol_ps_info(p);
        BUG_ON((i->ip_bytes != 4 && i->ip_bytes != 16) || strlen(i->model) > 63);
        must(channel_open(&l.c, WAY_DOWN, sent(&b), pt, &n)); /* N0, N1 */
        memcpy(n1, pt + NONCE_BYTES + 2 * WIRE_FIELD_HEAD, NONCE_BYTES);
    }
    if (user != NULL) {
        must(enrol_ps_auth_result(p, VERDICT_ACCEPTED, 2, &b));
        must(channel_open(&l.c, WAY_DOWN, sent(&b), pt, &n));
        struct view v = view_sub(*user, 0, sizeof fields);
        if (v.n > 0) {
            memcpy(fields, v.p, v.n);
        }
        if (view_starts(v, VIEW("\x80\x15\x00\x20")) && v.n >= WIRE_FIELD_HEAD + NONCE_BYTES) {
            memcpy(fields + WIRE_FIELD_HEAD, n1, NONCE_BYTES); /* it was told N1 */
        }
        must(
            channel_seal(&l.c, WAY_UP, WIRE_USER_KEY, view_from(fields, v.n), a.b, sizeof a.b, &n));
        if (went_on(enrol_ps_feed(p, view_from(a.b, n), &b), &b)) {
            const struct user_key *u = enrol_ps_user_key(p);
            BUG_ON(u->kind != KEY_P256 && u->kind != KEY_SYMMETRIC);
            BUG_ON(u->kind == KEY_P256 && p256_check_point(u->pub) != E_OK);
        }
    }
    enrol_ps_free(p);
    liar_end(&l);
}

/* ---- 7: a server that does ------------------------------------------------------------------- */
static void answer(struct view fields)
{
    struct session_bti *i = NULL;
    struct channel c = {0};
    struct view body, enc, ct;
    struct secret s = {0};
    uint8_t hash[SHA256_BYTES], plain[600], type = 0;
    size_t n = 0;

    must(channel_init(&c));
    must(session_bti_new(session_cfg(FORM_SIGNED), &i));
    must(session_bti_start(i, &a));
    must(hello_offer(&c, ps_cfg(), WIRE_MODE_SESSION, sent(&a), NULL, &b));
    must(session_bti_feed(i, sent(&b), &a));
    must(channel_hash(&c, hash));
    must(wire_open(sent(&a), &type, &body));
    must(wire_get(&body, WF_HPKE_ENC, HPKE_ENC_BYTES, HPKE_ENC_BYTES, &enc));
    must(wire_get(&body, WF_HPKE_CT, 16, sizeof plain, &ct));
    must(hpke_open((enum hpke_aead)c.suite, &t.ps, (const uint8_t *)enc.p, VIEW(HPKE_INFO_SESSION),
                   view_from(hash, sizeof hash), ct, plain));
    must(secret_set(&s, plain + 2 * WIRE_FIELD_HEAD + BTI_ID_BYTES, NONCE_BYTES));
    must(channel_add(&c, sent(&a)));
    must(channel_hash(&c, hash));
    must(keys_channel(&c, &s, hash));
    must(channel_seal(&c, WAY_DOWN, WIRE_SESSION_ANSWER, view_sub(fields, 0, 8000), b.b, sizeof b.b,
                      &n));
    must(session_bti_feed(i, view_from(b.b, n), &a));
    if (a.event == SBTI_DONE) {
        const struct session_result *r = session_bti_result(i);
        BUG_ON(r->gates.n == 0 || r->gates.n > 4 || r->lifetime_s == 0 || r->counter != 9);
    }
    channel_wipe(&c);
    session_bti_free(i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char INFO[] = "\x80\x1e\x00\x06macmac\x80\x1f\x00\x04ip4!\x80\x20\x00\x01m"
                               "\x80\x21\x00\x01s";
    struct view rest = view_from(data + 1, size > 0 ? size - 1 : 0);
    struct change c = {.frame = size > 1 ? data[1] % 7 : 0, .edits = view_sub(rest, 1, size)};

    if (size == 0) {
        return 0;
    }
    begin();
    switch (data[0] & 7) {
    case 0:
        stream(rest);
        break;
    case 1:
        enrolment(c);
        break;
    case 2:
        session((data[0] & 8) != 0 ? FORM_LTK : FORM_SIGNED, c);
        break;
    case 3:
        request(FORM_SIGNED, rest);
        break;
    case 4:
        request(FORM_LTK, rest);
        break;
    case 5:
        keys(rest, NULL);
        break;
    case 6:
        keys(view_from(INFO, sizeof INFO - 1), &rest);
        break;
    default:
        answer(rest);
        break;
    }
    return 0;
}
