/* Session, gate controller, SIP under the MAC. */
#include "bti/phone.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/proc.h"
#include "bti/here.h"

enum {
    MIN_LEFT_S = 120,
    RENEW_POLL_MS = 5000,
    RENEW_AGAIN_MS = 60000,
    KEPT_LEFT_S = 30,
    /* A new session reaches the gate controllers by another way than us, perhaps a little later. */
    FRESH_MS = 8000,
    FRESH_TRIES = 5, /* 150 ms doubling: 4.6 s in all, for a gate controller that has just begun */
    FRESH_WAIT_MS = 150,
    WHY_MAX = 1024 /* a path and a sentence */
};

static void make_ready(struct phone *p, uint64_t after_ms);
static void plan_renewal(struct phone *p);

/* ---- proof -------------------------------------------------------------------------------------
 */
static bool is_old_flow(const struct phone *p, const struct sip_flow *f)
{
    return p->old != NULL && p->has_old_flow && f->proto != SIP_UDP && f->conn == p->old_flow.conn;
}

static enum err on_seal(void *arg, const struct sip_flow *to, char *buf, size_t max, size_t *n)
{
    struct phone *p = arg;

    if (p->unproven) {
        return E_OK;
    }
    if (p->session == NULL) {
        return FAIL(E_STATE);
    }
    return mac_seal(is_old_flow(p, to) ? p->old : p->session, buf, max, n);
}

static enum err on_check(void *arg, const struct sip_flow *from, const struct sip_msg *m,
                         bool *out_repeat)
{
    struct phone *p = arg;
    enum err e = E_STATE;

    (void)from;
    p->challenged = false;
    *out_repeat = false;
    if (p->unproven) {
        p->heard = true;
        return E_OK;
    }
    if (p->session != NULL) {
        e = mac_check(p->session, m, out_repeat);
    }
    if (e == E_DENIED && p->old != NULL) {
        e = mac_check(p->old, m, out_repeat);
    }
    if (e == E_OK) {
        p->heard = true;
    } else if (e == E_NOTFOUND && !m->is_request && (m->status == 401 || m->status == 407)) {
        /* It ends the request that it answers and proves nothing else. */
        p->challenged = true;
        e = E_OK;
    } else if (e == E_NOTFOUND && p->cfg.is_emergency) {
        p->heard = true;
        e = E_OK;
    } else {
        p->dropped++;
        LOG(LV_DEBUG, "bti.dropped", KV_ERR(e), KV("dropped", p->dropped));
    }
    return e;
}

static void on_call(void *arg, struct sip_call *c, enum sip_call_event ev, unsigned status,
                    const struct sip_msg *m)
{
    struct phone *p = arg;

    p->cfg.on_call(p->cfg.arg, c, ev, status, m);
}

/* ---- transport ---------------------------------------------------------------------------------
 */
static void on_rx(void *arg, const struct sip_rx *rx)
{
    struct phone *p = arg;

    sip_ua_rx(p->ua, rx);
}

static bool same_conn(const struct sip_flow *a, const struct sip_flow *b)
{
    return a->proto == b->proto && a->conn == b->conn;
}

static void on_closed(void *arg, const struct sip_flow *flow, enum err why)
{
    struct phone *p = arg;
    bool ours = p->has_flow && same_conn(flow, &p->flow);

    if (ours) {
        p->has_flow = false;
        p->lost_why = why;
    }
    if (p->has_old_flow && same_conn(flow, &p->old_flow)) {
        p->has_old_flow = false;
    }
    sip_ua_flow_lost(p->ua, flow);
    if (ours) {
        p->cfg.on_lost(p->cfg.arg);
    } else if (p->has_flow) { /* the old one's calls */
        sip_ua_adopt_flow(p->ua, &p->flow);
    }
}

enum err phone_gate_address(const char *gate, enum sip_proto proto, struct net_addr *out)
{
    struct net_addr a;
    enum err e = net_parse(view_of(gate), 5060, &a);

    if (e == E_OK && proto == SIP_TLS) {
        a.port = (uint16_t)(a.port + 1);
    }
    if (e == E_OK && a.port == 0) {
        e = FAIL(E_RANGE);
    }
    if (e == E_OK) {
        *out = a;
    }
    return e;
}

static const struct enrol_texts *gates_of(const struct phone *p)
{
    return p->session != NULL ? &p->session->gates : &p->store->d.ack.gates;
}

static size_t gates_count(const struct phone *p)
{
    return p->cfg.o->n_gc > 0 ? p->cfg.o->n_gc : gates_of(p)->n;
}

static enum err gate_address(const struct phone *p, struct net_addr *out)
{
    if (p->gate >= gates_count(p)) {
        return FAIL(E_NOTFOUND);
    }
    if (p->cfg.o->n_gc == 0) {
        return phone_gate_address(gates_of(p)->v[p->gate], p->proto, out);
    }
    *out = p->cfg.o->gc[p->gate];
    if (out->port == 0) {
        out->port = p->proto == SIP_TLS ? 5061 : 5060;
    } else if (p->told != p->proto) {
        out->port = (uint16_t)(out->port - 1);
    }
    return E_OK;
}

void phone_gate_text(const struct phone *p, char out[NET_TEXT_MAX])
{
    struct net_addr a;

    if (gate_address(p, &a) == E_OK) {
        net_text(&a, out);
    } else {
        memcpy(out, "?", 2);
    }
}

bool phone_has_next_gate(const struct phone *p)
{
    return p->gate + 1 < gates_count(p);
}

bool phone_next_gate(struct phone *p)
{
    p->gate = phone_has_next_gate(p) ? p->gate + 1 : 0;
    p->has_flow = false;
    return p->gate != 0;
}

bool phone_keys_allowed(const struct phone *p)
{
    return p->proto == SIP_TLS;
}

static enum err connect_gate(struct phone *p)
{
    char kid[2 * BTI_KID_BYTES + 1];
    struct net_addr to;
    enum err e = E_OK;

    TRY(gate_address(p, &to));
    if (p->proto == SIP_TLS) {
        hex_put(p->session->kid, BTI_KID_BYTES, kid);
        TRY(sip_transport_connect(p->transport, p->proto, &to, p->tls, view_of(kid),
                                  &p->session->keys.tls_psk, &p->flow));
    } else {
        TRY(sip_transport_connect(p->transport, p->proto, &to, NULL, VIEW(""), NULL, &p->flow));
    }
    p->has_flow = true;
    p->lost_why = E_OK;
    p->heard = false;
out:
    return e;
}

static void on_ready_timer(void *arg)
{
    struct phone *p = arg;
    enum err e = E_OK;

    p->going = false;
    if (!p->has_flow) {
        e = connect_gate(p);
    }
    if (e == E_OK) {
        sip_ua_adopt_flow(p->ua, &p->flow);
        p->cfg.on_ready(p->cfg.arg);
    } else {
        p->cfg.on_failed(p->cfg.arg, BTI_EXIT_UNREACHABLE, "the gate controller cannot be reached");
    }
}

static void make_ready(struct phone *p, uint64_t after_ms)
{
    p->going = true;
    if (loop_timer_start(p->loop, &p->ready, after_ms, on_ready_timer, p) != E_OK) {
        p->going = false;
        p->cfg.on_failed(p->cfg.arg, BTI_EXIT_FAILED, "out of memory");
    }
}

/* ---- sessions ----------------------------------------------------------------------------------
 */
void phone_retire(struct phone *p)
{
    if (p->has_old_flow && !(p->has_flow && same_conn(&p->flow, &p->old_flow))) {
        sip_transport_close_flow(p->transport, &p->old_flow);
    }
    p->has_old_flow = false;
    session_free(p->old);
    p->old = NULL;
}

static void tell_session(const struct phone *p, bool kept)
{
    char kid[2 * BTI_KID_BYTES + 1], gate[NET_TEXT_MAX];
    uint64_t now = loop_wall_us(p->loop);
    uint64_t left = p->session->expires_us > now ? (p->session->expires_us - now) / 1000000 : 0;

    hex_put(p->session->kid, BTI_KID_BYTES, kid);
    phone_gate_text(p, gate);
    say_event(p->cfg.say, "session",
              FACTS(fact_text("kid", kid), fact_number("expires_in", left), fact_text("gate", gate),
                    fact_flag("kept", kept)),
              "session %.8s... %s, good for %llu s", kid, kept ? "kept from before" : "is new",
              (unsigned long long)left);
}

static void on_fetched(void *arg, struct session *session, enum bti_exit code, const char *why)
{
    struct phone *p = arg;
    char text[256];
    struct fetch *f = p->fetch;
    bool renewal = !p->going;

    snprintf(text, sizeof text, "%s", why);
    p->fetch = NULL;
    if (session != NULL) {
        phone_retire(p);
        p->old = p->session;
        p->old_flow = p->flow;
        p->has_old_flow = p->has_flow;
        p->has_flow = false;
        p->session = session;
        p->gate = 0;
        p->unproven = false;
        p->proto = p->cfg.o->transport;
        p->renewed_ms = loop_now_ms(p->loop);
        p->fresh_tries = 0;
    }
    fetch_cancel(f);
    if (code == BTI_EXIT_REFUSED && session == NULL) { /* what we had is as dead as our key */
        session_free(p->session);
        p->session = NULL;
        p->has_flow = false;
    }
    if (session != NULL) {
        tell_session(p, false);
        plan_renewal(p);
        make_ready(p, 0);
    } else if (renewal) {
        say_warn(p->cfg.say, "no new session yet: %s", text);
        plan_renewal(p);
    } else {
        p->going = false;
        p->cfg.on_failed(p->cfg.arg, code, text);
    }
}

static void ask_for_session(struct phone *p)
{
    struct fetch_cfg cfg = {.store = p->store,
                            .root = p->root,
                            .local = p->local,
                            .server = p->cfg.o->ps,
                            .done = on_fetched,
                            .arg = p};

    if (p->fetch != NULL) {
        return;
    }
    if (fetch_start(p->loop, &cfg, &p->fetch) != E_OK) {
        p->going = false;
        p->cfg.on_failed(p->cfg.arg, BTI_EXIT_FAILED, "out of memory");
    }
}

bool phone_new_session(struct phone *p)
{
    uint64_t now = loop_now_ms(p->loop);
    bool fresh = p->session != NULL && p->renewed_ms != 0 && now - p->renewed_ms < FRESH_MS &&
                 p->fresh_tries < FRESH_TRIES;

    p->going = true;
    if (fresh) {
        p->has_flow = false;
        make_ready(p, (uint64_t)FRESH_WAIT_MS << p->fresh_tries++);
    } else {
        ask_for_session(p);
    }
    return !fresh;
}

void phone_go(struct phone *p)
{
    uint64_t now = loop_wall_us(p->loop);

    p->going = true;
    if (p->session != NULL && p->session->expires_us <= now) {
        session_free(p->session);
        p->session = NULL;
        p->has_flow = false;
    }
    if (p->session == NULL && !p->unproven) {
        ask_for_session(p);
    } else {
        make_ready(p, 0);
    }
}

void phone_go_unproven(struct phone *p)
{
    p->unproven = true;
    p->proto = p->cfg.o->transport == SIP_TLS ? SIP_TCP : p->cfg.o->transport;
    p->has_flow = false;
    p->gate = 0;
    make_ready(p, 0);
}

static void on_renew(void *arg)
{
    struct phone *p = arg;
    uint64_t now = loop_wall_us(p->loop);
    bool urgent = p->session == NULL || p->session->expires_us < now + MIN_LEFT_S * 1000000ull;

    /* A dialog could go on under a new session, but a quiet moment is better. */
    if (sip_ua_calls(p->ua) > 0 && !urgent) {
        IGNORE(loop_timer_start(p->loop, &p->renew, RENEW_POLL_MS, on_renew, p),
               "then the session is asked for when the gate controller refuses it");
        return;
    }
    if (!p->going) {
        ask_for_session(p);
    }
}

/* Between 75 and 90 % of what the session has left now; after a failure in a minute or less. */
static void plan_renewal(struct phone *p)
{
    uint64_t now = loop_wall_us(p->loop), left = 0, after = RENEW_AGAIN_MS;

    if (p->session != NULL && p->session->expires_us > now) {
        left = (p->session->expires_us - now) / 1000;
    }
    if (p->renewed_ms == 0 || loop_now_ms(p->loop) - p->renewed_ms < 1000) {
        after = left / 100 * 75 + here_jitter(left / 100 * 15);
    } else if (left > 0 && left / 4 < after) {
        after = left / 4 + 1000 + here_jitter(1000);
    }
    IGNORE(loop_timer_start(p->loop, &p->renew, after, on_renew, p),
           "then the session is asked for when the gate controller refuses it");
}

/* ---- making and ending -------------------------------------------------------------------------
 */
static enum err open_store(struct phone *p, char why[WHY_MAX])
{
    const struct options *o = p->cfg.o;
    const char *trouble = NULL;
    enum err e = store_new(o->store, o->passphrase_file, &p->store);

    if (e != E_OK) {
        trouble = e == E_RANGE ? "empty or too long for a passphrase" : store_trouble(e);
        snprintf(why, WHY_MAX, "%s: %s", o->passphrase_file, trouble);
        return e;
    }
    e = store_load(p->store);
    if (e != E_OK) {
        snprintf(why, WHY_MAX, "%s: %s", o->store, store_trouble(e));
        return e;
    }
    e = pki_root_parse(view_from(p->store->d.root, p->store->d.root_n), &p->root);
    if (e != E_OK) {
        snprintf(why, WHY_MAX, "%s: the root certificate in it cannot be read", o->store);
    }
    return e;
}

static enum err choose_number(struct phone *p, char why[WHY_MAX])
{
    const struct enrol_texts *mine = &p->store->d.ack.numbers;
    const char *from = p->cfg.o->from;

    if (from == NULL && mine->n > 0) {
        from = mine->v[0];
    }
    if (from == NULL || view_to_cstr(view_of(from), p->number, sizeof p->number) != E_OK) {
        snprintf(why, WHY_MAX,
                 "this BTI has no telephone number yet: --from NUMBER, or enrol again");
        return FAIL(E_NOTFOUND);
    }
    snprintf(p->domain, sizeof p->domain, "%s", p->store->d.domain);
    return E_OK;
}

/* No name, no key, but somebody to ask for help: the option's gate controllers. */
static void be_nobody(struct phone *p)
{
    const struct options *o = p->cfg.o;

    pki_root_free(p->root);
    p->root = NULL;
    store_free(p->store);
    p->store = NULL;
    snprintf(p->number, sizeof p->number, "%s", o->from != NULL ? o->from : "anonymous");
    snprintf(p->domain, sizeof p->domain, "anonymous.invalid");
    p->unproven = true;
    p->proto = o->has_transport && o->transport != SIP_TLS ? o->transport : SIP_TCP;
    p->told = o->has_transport ? o->transport : SIP_TCP;
}

static enum err identify(struct phone *p, enum bti_exit *out_code)
{
    char why[WHY_MAX] = "";
    enum err e = open_store(p, why);

    if (e == E_OK) {
        e = choose_number(p, why);
    }
    if (e != E_OK && p->cfg.is_emergency && p->cfg.o->n_gc > 0) {
        say_warn(p->cfg.say, "%s; the emergency call goes out without proof", why);
        be_nobody(p);
        return E_OK;
    }
    if (e != E_OK) {
        *out_code = (enum bti_exit)say_failed(
            p->cfg.say, BTI_EXIT_NO_STORE, "%s%s", why,
            p->cfg.is_emergency ? "; an emergency call goes out all the same with --gc IP[:PORT]"
                                : "");
    }
    return e;
}

static enum err open_sip(struct phone *p)
{
    struct sip_transport_cfg tc = {.max_connections = 16,
                                   .on_rx = on_rx,
                                   .on_closed = on_closed,
                                   .connect_from = p->local,
                                   .arg = p};
    struct sip_ua_cfg uc = {.user = p->number,
                            .domain = p->domain,
                            .user_agent = "bti/" HEADGATE_VERSION,
                            .max_calls = p->cfg.max_calls,
                            .seal = on_seal,
                            .check = on_check,
                            .on_call = on_call,
                            .arg = p};
    enum err e = E_OK;

    if (p->proto == SIP_TLS) {
        TRY(tls_client_ctx(&p->tls));
    }
    TRY(sip_transport_new(p->loop, &tc, &p->transport));
    if (p->proto == SIP_UDP) {
        TRY(sip_transport_listen(p->transport, SIP_UDP, &p->local, NULL));
    }
    TRY(sip_ua_new(p->loop, p->transport, &uc, &p->ua));
out:
    return e;
}

static enum err choose_local(struct phone *p, enum bti_exit *out_code)
{
    struct net_addr gate;
    enum err e = E_OK;

    p->local = p->cfg.o->local;
    if (p->local.family == 0) {
        e = gate_address(p, &gate);
        if (e == E_OK) {
            e = here_address(&gate, &p->local);
        }
    }
    p->local.port = 0;
    if (e != E_OK) {
        *out_code = (enum bti_exit)say_failed(
            p->cfg.say, BTI_EXIT_UNREACHABLE,
            "there is no way to the gate controller from here (--local IP, --gc IP:PORT)");
    }
    return e;
}

static enum err take_kept_session(struct phone *p, enum bti_exit *out_code)
{
    enum err e =
        slot_take(p->store, loop_wall_us(p->loop), MIN_LEFT_S * 1000000ull, &p->slot, &p->session);

    if (e != E_OK) {
        *out_code = (enum bti_exit)say_failed(p->cfg.say, BTI_EXIT_NO_STORE, "%s.lock: %s",
                                              p->cfg.o->store, store_trouble(e));
    } else if (p->session != NULL) {
        tell_session(p, true);
        plan_renewal(p);
    }
    return e;
}

enum err phone_new(struct loop *l, const struct phone_cfg *cfg, struct phone **out,
                   enum bti_exit *out_code)
{
    struct phone *p = mem_zalloc(sizeof *p);
    enum err e = p != NULL ? E_OK : FAIL(E_NOMEM);

    *out_code = BTI_EXIT_FAILED;
    TRY(e);
    p->cfg = *cfg;
    p->loop = l;
    p->proto = cfg->o->transport;
    p->told = cfg->o->transport;
    TRY(identify(p, out_code));
    TRY(choose_local(p, out_code));
    e = open_sip(p);
    if (e != E_OK) {
        char text[NET_TEXT_MAX];
        net_ip_text(&p->local, text);
        *out_code = (enum bti_exit)say_failed(
            cfg->say, BTI_EXIT_FAILED, "cannot use the local address %s: %s", text, err_text(e));
        goto out;
    }
    if (p->store != NULL) {
        TRY(take_kept_session(p, out_code));
    }
    *out = p;
    p = NULL;
out:
    phone_free(p);
    return e;
}

void phone_free(struct phone *p)
{
    uint64_t now = 0;

    if (p == NULL) {
        return;
    }
    now = loop_wall_us(p->loop);
    fetch_cancel(p->fetch);
    loop_timer_stop(p->loop, &p->ready);
    loop_timer_stop(p->loop, &p->renew);
    if (p->ua != NULL) {
        sip_ua_free(p->ua);
    }
    if (p->transport != NULL) {
        sip_transport_free(p->transport);
    }
    if (p->store != NULL) {
        bool keep = p->session != NULL && p->session->expires_us > now + KEPT_LEFT_S * 1000000ull;
        slot_release(p->store, &p->slot, keep ? p->session : NULL);
    }
    session_free(p->old);
    session_free(p->session);
    if (p->tls != NULL) {
        tls_ctx_free(p->tls);
    }
    pki_root_free(p->root);
    store_free(p->store);
    mem_free(p);
}

/* ---- for people --------------------------------------------------------------------------------
 */
struct status_row {
    unsigned status;
    enum bti_exit code;
    const char *text;
};

static const struct status_row status_rows[] = {
    {400, BTI_EXIT_FAILED, "the gate controller did not understand the request"},
    {401, BTI_EXIT_DENIED, "the gate controller wants proof that this BTI cannot give"},
    {403, BTI_EXIT_DENIED, "not permitted"},
    {404, BTI_EXIT_NO_NUMBER, "no such number"},
    {407, BTI_EXIT_DENIED, "the gate controller wants proof that this BTI cannot give"},
    {408, BTI_EXIT_NOT_TAKEN, "not answered"},
    {410, BTI_EXIT_NO_NUMBER, "the number is out of service"},
    {415, BTI_EXIT_NOT_TAKEN, "the other side cannot do this kind of call"},
    {480, BTI_EXIT_NOT_TAKEN, "not reachable at the moment"},
    {484, BTI_EXIT_NO_NUMBER, "the number is not complete"},
    {486, BTI_EXIT_NOT_TAKEN, "busy"},
    {487, BTI_EXIT_GAVE_UP, "given up"},
    {488, BTI_EXIT_NOT_TAKEN, "no kind of voice that both sides can and may use"},
    {500, BTI_EXIT_UNREACHABLE, "an error in the network"},
    {503, BTI_EXIT_UNREACHABLE, "the network cannot serve now, try again later"},
    {504, BTI_EXIT_UNREACHABLE, "no answer in time from further on"},
    {600, BTI_EXIT_NOT_TAKEN, "busy"},
    {603, BTI_EXIT_NOT_TAKEN, "declined"},
    {604, BTI_EXIT_NO_NUMBER, "no such number"},
};

static const struct status_row *status_row(unsigned status)
{
    for (size_t i = 0; i < sizeof status_rows / sizeof status_rows[0]; i++) {
        if (status_rows[i].status == status) {
            return &status_rows[i];
        }
    }
    return NULL;
}

const char *phone_status_text(unsigned status)
{
    const struct status_row *r = status_row(status);

    return r != NULL ? r->text : sip_reason(status);
}

enum bti_exit phone_status_exit(unsigned status)
{
    const struct status_row *r = status_row(status);

    return r != NULL                       ? r->code
           : status >= 500 && status < 600 ? BTI_EXIT_UNREACHABLE
                                           : BTI_EXIT_NOT_TAKEN;
}
