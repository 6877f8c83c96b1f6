/* Live calls: table, dialogs, what each end taught us, CDR and trace at the end. */
#include "gc/call.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "gc/displace.h"
#include "gc/divert.h"
#include "gc/tapping.h"

static struct hlink **head_of(struct worker *w, struct view call_id)
{
    return &w->calls[worker_hash(w, call_id) % TABLE_HEADS];
}

static void copy_text(char *dst, size_t dst_bytes, struct view v)
{
    size_t n = v.n < dst_bytes ? v.n : dst_bytes - 1;

    if (n > 0) {
        memcpy(dst, v.p, n);
    }
    dst[n] = 0;
}

/* ---- life --------------------------------------------------------------------------------------
 */
/* False: the call is over. */
static bool drop_expired(struct call *c, uint64_t now_ms)
{
    struct hlink *next = NULL;

    for (struct hlink *p = c->dialogs; p != NULL && c->is_live; p = next) {
        struct dialog *d = HLIST_OF(p, struct dialog, in_call);
        next = p->next;
        if (d->session_due_ms != 0 && now_ms >= d->session_due_ms) {
            meter(c->w, METER_SESSIONS_EXPIRED);
            LOG(LV_INFO, "call.session_expired", KV("call", (const char *)c->id));
            dialog_end(c, d, "session_timer");
        }
    }
    return c->is_live;
}

static bool is_lost(const struct call *c, uint64_t now_ms)
{
    for (struct hlink *p = c->dialogs; p != NULL && now_ms >= c->ack_due_ms; p = p->next) {
        const struct dialog *d = HLIST_OF(p, struct dialog, in_call);
        if (d->is_confirmed && !d->is_acked) {
            return true;
        }
    }
    return false;
}

static void on_age(void *arg)
{
    struct call *c = arg;
    uint64_t now = loop_now_ms(c->w->loop);

    if (c->is_usage && now >= c->usage_due_ms) {
        call_end(c, 0, "timeout");
    } else if (is_lost(c, now)) {
        call_terminate(c, "timeout", "No ACK");
    } else if (now >= c->born_ms + CALL_AGE_MAX_MS && !c->is_usage) {
        call_terminate(c, "timeout", "Too long");
    } else {
        call_hold(c);
        if (drop_expired(c, now)) {
            call_arm(c);
        }
        call_release(c);
    }
}

static void sooner(uint64_t *due, uint64_t ms, uint64_t now)
{
    if (ms > now && ms < *due) {
        *due = ms;
    }
}

void call_arm(struct call *c)
{
    uint64_t now = loop_now_ms(c->w->loop);
    uint64_t due = c->is_usage ? c->usage_due_ms : c->born_ms + CALL_AGE_MAX_MS;

    sooner(&due, c->ack_due_ms, now);
    for (struct hlink *p = c->dialogs; p != NULL; p = p->next) {
        sooner(&due, HLIST_OF(p, struct dialog, in_call)->session_due_ms, now);
    }
    if (c->is_live) {
        IGNORE(loop_timer_start(c->w->loop, &c->age, due > now ? due - now : 0, on_age, c),
               "the heap has room: this timer was in it");
    }
}

static void make_id(struct call *c)
{
    uint8_t id[8] = {0};

    IGNORE(crypto_random(id, sizeof id), "then the counter of records still makes it unique");
    hex_put(id, sizeof id, c->id);
}

static void begin_trace(struct call *c)
{
    struct trace_call t = {
        .worker = c->w->index, .started_us = worker_now_us(c->w), .caller_line = c->caller_line};

    c->number = ++c->w->call_counter;
    c->start_us = t.started_us;
    memcpy(t.id, c->id, sizeof t.id);
    copy_text(t.call_id, sizeof t.call_id, view_of(c->call_id));
    copy_text(t.caller, sizeof t.caller, view_of(c->caller_text));
    copy_text(t.called, sizeof t.called, view_of(c->called));
    copy_text(t.routed, sizeof t.routed, view_of(c->routed));
    c->trace = trace_begin(c->w->trace, &t);
}

/* uses_reserve: emergency calls, and calls that wait for the place of another one. */
static bool is_full(const struct worker *w, bool uses_reserve, bool is_usage)
{
    size_t most = w->set->max_calls;

    if (is_usage) {
        return w->n_usages >= w->set->max_usages;
    }
    return w->n_calls >= (uses_reserve ? most + most / 4 + 64 : most);
}

static void count_live(const struct call *c, int by)
{
    struct worker *w = c->w;

    if (c->is_usage) {
        w->n_usages += (size_t)by;
        return;
    }
    w->n_calls += (size_t)by;
    w->n_routine += c->is_routine ? (size_t)by : 0;
    atomic_store_explicit(&w->shown_calls, w->n_calls, memory_order_relaxed);
    meter_by(w, METER_CALLS, by);
}

struct call_texts {
    struct view call_id, to_uri, caller, called, routed;
};

/* Call and texts in one block; its timer runs. NULL: out of memory. */
static struct call *call_new(struct worker *w, const struct call_texts *t)
{
    size_t n = t->call_id.n + t->to_uri.n + t->caller.n + t->called.n + t->routed.n + 5;
    struct call *c = mem_zalloc(sizeof *c + n);
    char *at = c != NULL ? c->texts : NULL;

    if (c == NULL || loop_timer_start(w->loop, &c->age, CALL_AGE_MAX_MS, on_age, c) != E_OK) {
        mem_free(c);
        return NULL;
    }
    c->w = w;
    c->refs = 1;
    c->call_id = side_text(&at, t->call_id);
    c->to_uri = side_text(&at, t->to_uri);
    c->caller_text = side_text(&at, t->caller);
    c->called = side_text(&at, t->called);
    c->routed = side_text(&at, t->routed);
    return c;
}

static void dialog_free(struct dialog *d)
{
    side_fini(&d->callee);
    mem_free(d);
}

static void call_free(struct call *c)
{
    loop_timer_stop(c->w->loop, &c->age);
    while (c->dialogs != NULL) {
        struct dialog *d = HLIST_OF(c->dialogs, struct dialog, in_call);
        hlist_drop(&d->in_call);
        dialog_free(d);
    }
    side_fini(&c->caller);
    divert_forget(c);
    mem_free(c->shown);
    mem_free(c->to_shown);
    mem_free(c->called_back);
    own_forget(c);
    mem_free(c);
}

static void enter(struct call *c)
{
    c->is_live = true;
    hlist_push(head_of(c->w, view_of(c->call_id)), &c->by_call_id);
    count_live(c, 1);
}

/* Who may take its place, and whose it may take. */
static void hold_things(struct call *c, const struct call_start *s)
{
    bool is_provisioning = s->dialled.class == DIAL_PROVISIONING;

    c->is_routine = !s->is_emergency && !s->is_call_back && !is_provisioning &&
                    (s->ask == NULL || s->ask->rank == 0);
    if (s->ask != NULL) {
        snprintf(c->priority, sizeof c->priority, "%s", s->ask->value);
        /* No limit stops an emergency call or a PSAP: it has no need of victims, nor waits. */
        c->may_take = s->preempts && !s->is_emergency && !s->is_call_back ? s->ask->rank : 0;
    }
    c->holding = (struct holding){.number = c->number,
                                  .began_us = c->start_us,
                                  .caller_line = c->caller_line,
                                  .worker = c->w->index,
                                  .rank = s->ask != NULL ? (uint8_t)s->ask->defends : 0,
                                  .spared = s->is_emergency || s->is_call_back ? SPARED_EMERGENCY
                                            : is_provisioning                  ? SPARED_PROVISIONING
                                                                               : SPARED_NOT,
                                  .id = c->id,
                                  .call_id = c->call_id,
                                  .caller = c->caller_text,
                                  .called = c->routed};
    holdings_put(c->w->ws->holdings, &c->holding);
}

static struct view record_text(struct view v)
{
    return view_sub(v, 0, CDR_TEXT_MAX - 1);
}

static enum err fill_caller(struct call *c, const struct inbound *in)
{
    c->caller.who = in->proof.who;
    c->caller.who.ip = in->flow.remote;
    c->caller.flow = in->flow;
    c->caller.cseq = in->m->cseq;
    return side_begin(&c->caller, in->m->from_tag, side_uri(in->m, SIP_H_FROM), in->m, c->id);
}

enum err call_begin(struct worker *w, const struct call_start *s, struct call **out)
{
    const struct sip_msg *m = s->in->m;
    struct call_texts t = {view_sub(m->call_id, 0, SIP_MAX_CALL_ID), side_uri(m, SIP_H_TO),
                           record_text(view_of(s->caller)), record_text(s->called),
                           record_text(view_of(s->dialled.e164))};
    struct call *c = NULL;
    bool uses_reserve = s->is_emergency || s->preempts;
    enum err e = is_full(w, uses_reserve, s->is_usage) ? FAIL(E_FULL) : E_OK;

    TRY(e);
    c = call_new(w, &t);
    if (c == NULL) {
        TRY(FAIL(E_NOMEM));
    }
    c->is_emergency = s->is_emergency;
    c->is_usage = s->is_usage;
    c->is_timed = s->dialled.class == DIAL_SUBSCRIBER && !s->is_usage;
    c->born_ms = loop_now_ms(w->loop);
    c->caller_line = s->caller_line;
    make_id(c);
    TRY(fill_caller(c, s->in));
    if (!c->is_usage) {
        begin_trace(c);
        hold_things(c, s);
    }
    enter(c);
    if (!c->is_usage) {
        tapped_begin(c);
    }
    call_tell(c, CALL_EVENT_STARTED, 0, "");
    *out = c;
    c = NULL; /* moved */
out:
    if (c != NULL) {
        call_free(c);
    }
    return e;
}

void call_hold(struct call *c)
{
    c->refs++;
}

void call_release(struct call *c)
{
    if (c == NULL || --c->refs != 0) {
        return;
    }
    BUG_ON(c->is_live);
    call_free(c);
}

static void fill_cdr(const struct call *c, struct cdr *out)
{
    const struct workers *ws = c->w->ws;

    snprintf(out->cdr_id, sizeof out->cdr_id, "%.16s-%.13s-%x-%llx", c->w->set->node_name,
             ws->start_id, c->w->index, (unsigned long long)c->number);
    out->start_us = c->start_us;
    out->answer_us = c->answer_us;
    out->caller_line = c->caller_line;
    out->callee_line = c->routed_line;
    out->is_private = c->is_private;
    copy_text(out->caller, sizeof out->caller, view_of(c->caller_text));
    copy_text(out->called, sizeof out->called, view_of(c->called));
    copy_text(out->routed, sizeof out->routed, view_of(c->routed));
    copy_text(out->call_id, sizeof out->call_id, view_of(c->call_id));
    copy_text(out->route, sizeof out->route, view_of(c->route));
    copy_text(out->node, sizeof out->node, view_of(c->w->set->node_name));
    if (c->called_back != NULL) {
        copy_text(out->routed, sizeof out->routed, view_of(c->called_back));
    }
    divert_record(c, out);
    out->attest[0] = c->attest;
    copy_text(out->priority, sizeof out->priority, view_of(c->priority));
    copy_text(out->preempted_by, sizeof out->preempted_by, view_of(c->preempted_by));
}

static void write_cdr(const struct call *c, unsigned status, const char *end_by)
{
    const struct workers *ws = c->w->ws;
    struct cdr cdr = {.end_us = worker_now_us(c->w), .status = (uint16_t)status};

    fill_cdr(c, &cdr);
    copy_text(cdr.end_by, sizeof cdr.end_by, view_of(end_by));
    if (ws->seam.cdr != NULL) {
        (void)ws->seam.cdr(ws->seam.arg, &cdr);
    } else if (ws->store != NULL) {
        (void)store_cdr(ws->store, c->w->index, &cdr); /* the store counts what it loses */
    }
}

void call_end(struct call *c, unsigned status, const char *end_by)
{
    struct worker *w = c->w;

    if (!c->is_live) {
        return;
    }
    c->is_live = false;
    hlist_drop(&c->by_call_id);
    loop_timer_stop(w->loop, &c->age);
    own_forget(c);
    displace_forget(c);
    count_live(c, -1);
    if (c->is_usage) {
        if (c->has_line) {
            limits_usage_give(w->ws->limits, c->line);
        }
        call_release(c); /* the table's */
        return;
    }
    holdings_drop(w->ws->holdings, &c->holding);
    if (c->has_line) {
        limits_line_give(w->ws->limits, c->line);
    }
    call_tell(c, CALL_EVENT_ENDED, status, end_by);
    tapped_end(c, status, end_by);
    trunk_leave(c);
    trace_end(w->trace, c->trace, (uint16_t)status, end_by);
    LOG(LV_INFO, "call.end", KV("call", (const char *)c->id), KV("call_id", c->call_id),
        KV("status", status), KV("end_by", end_by), KV("route", (const char *)c->route),
        KV("line", c->caller_line));
    write_cdr(c, status, end_by);
    divert_forget(c);
    call_release(c); /* the table's */
}

void call_route(struct call *c, const char *route, uint64_t callee_line, const char *note)
{
    const struct party to = {.kind = callee_line != 0 ? PARTY_BTI : PARTY_GATEWAY,
                             .line = callee_line};
    bool is_forwarded = c->forward != NULL && c->forward->routed[0] != 0;

    copy_text(c->route, sizeof c->route, view_of(route));
    c->routed_line = callee_line;
    call_note_way(c);
    trace_route(c->w->trace, c->trace, VIEW(""), view_of(route), callee_line);
    call_tell(c, CALL_EVENT_ROUTED, 0, "");
    tapped_route(c, &to, view_of(is_forwarded ? c->forward->routed : c->routed));
    LOG(LV_INFO, "call.setup", KV("call", (const char *)c->id), KV("call_id", c->call_id),
        KV("route", route), KV("line", c->caller_line),
        KV_DIGITS("caller", view_of(c->caller_text)), KV_DIGITS("called", view_of(c->routed)),
        KV("note", note));
}

/* ---- finding -----------------------------------------------------------------------------------
 */
struct dialog *call_dialog_of_tag(const struct call *c, struct view tag)
{
    for (struct hlink *p = c->dialogs; p != NULL; p = p->next) {
        struct dialog *d = HLIST_OF(p, struct dialog, in_call);
        if (view_eq(view_of(d->callee.tag), tag)) {
            return d;
        }
    }
    return NULL;
}

struct call *call_find(struct worker *w, const struct sip_msg *m, struct dialog **out_dialog,
                       bool *out_from_caller)
{
    struct call *half = NULL;
    struct dialog *d = NULL;

    *out_from_caller = true;
    for (struct hlink *p = *head_of(w, m->call_id); p != NULL; p = p->next) {
        struct call *c = HLIST_OF(p, struct call, by_call_id);
        struct view caller = view_of(c->caller.tag);
        if (!view_eq(view_of(c->call_id), m->call_id)) {
            continue;
        }
        if (view_eq(caller, m->from_tag)) {
            d = call_dialog_of_tag(c, m->to_tag);
            half = c;
        } else if (view_eq(caller, m->to_tag) && (d = call_dialog_of_tag(c, m->from_tag)) != NULL) {
            half = c;
            *out_from_caller = false;
        }
        if (d != NULL) {
            break;
        }
    }
    if (out_dialog != NULL) {
        *out_dialog = d;
    }
    return half;
}

struct call *call_usage_of_tag(struct worker *w, struct view call_id, struct view caller_tag)
{
    for (struct hlink *p = *head_of(w, call_id); p != NULL; p = p->next) {
        struct call *c = HLIST_OF(p, struct call, by_call_id);
        if (c->is_usage && view_eq(view_of(c->call_id), call_id) &&
            view_eq(view_of(c->caller.tag), caller_tag)) {
            return c;
        }
    }
    return NULL;
}

struct call *call_of_number(struct worker *w, struct view call_id, uint64_t number)
{
    for (struct hlink *p = *head_of(w, call_id); p != NULL; p = p->next) {
        struct call *c = HLIST_OF(p, struct call, by_call_id);
        if (!c->is_usage && c->number == number) {
            return c;
        }
    }
    return NULL;
}

struct call *call_by_id(struct worker *w, struct view id)
{
    for (size_t i = 0; i < TABLE_HEADS; i++) {
        for (struct hlink *p = w->calls[i]; p != NULL; p = p->next) {
            struct call *c = HLIST_OF(p, struct call, by_call_id);
            if (!c->is_usage && (view_eq(view_of(c->id), id) || view_eq(view_of(c->call_id), id))) {
                return c;
            }
        }
    }
    return NULL;
}

/* ---- dialogs -----------------------------------------------------------------------------------
 */
enum err call_fill_callee(struct side *s, const struct call *c, const struct sip_msg *m,
                          const struct leg *leg)
{
    const struct inbound *in = c->w->current;

    s->who = leg->who;
    s->flow = *sip_ctxn_flow(leg->txn);
    if (is_bti(&s->who) && in != NULL && in->proof.class == PROOF_PROVEN) {
        s->who = in->proof.who; /* it may answer under a newer session */
        s->flow = in->flow;
    }
    return side_begin(s, m->to_tag, view_of(c->to_uri), m, c->id);
}

/* Of a dialog that was just made; e: whether it could be filled. */
static struct dialog *dialog_add(struct call *c, struct dialog *d, enum err e)
{
    if (e != E_OK) {
        dialog_free(d);
        return NULL;
    }
    c->n_dialogs++;
    hlist_push(&c->dialogs, &d->in_call);
    return d;
}

static struct dialog *dialog_new(const struct call *c)
{
    return c->n_dialogs < DIALOGS_MAX ? mem_zalloc(sizeof(struct dialog)) : NULL;
}

struct dialog *call_dialog_by_request(struct call *c, const struct inbound *in)
{
    struct dialog *d = dialog_new(c);

    if (d == NULL) {
        return NULL;
    }
    d->callee.who = in->proof.who;
    d->callee.who.ip = in->flow.remote;
    d->callee.flow = in->flow;
    d->callee.cseq = in->m->cseq;
    d->naming = c->naming;
    return dialog_add(c, d,
                      side_begin(&d->callee, in->m->from_tag, view_of(c->to_uri), in->m, c->id));
}

struct dialog *call_dialog_own(struct call *c, struct view tag, const struct sip_msg *m)
{
    struct dialog *d = dialog_new(c);

    return d != NULL ? dialog_add(c, d, side_begin(&d->callee, tag, view_of(c->to_uri), m, c->id))
                     : NULL;
}

struct dialog *call_dialog(struct call *c, const struct sip_msg *response, const struct leg *leg)
{
    struct dialog *d = call_dialog_of_tag(c, response->to_tag);

    if (response->to_tag.n == 0) {
        return NULL;
    }
    if (d != NULL) {
        IGNORE(call_fill_callee(&d->callee, c, response, leg), "it keeps what it knew");
        return d;
    }
    d = dialog_new(c);
    if (d == NULL) {
        return NULL;
    }
    d->naming = leg->naming;
    return dialog_add(c, d, call_fill_callee(&d->callee, c, response, leg));
}

static enum err copy_names(struct call *to, const struct call *from)
{
    to->is_private = from->is_private;
    to->shown = from->shown != NULL ? mem_strdup(from->shown) : NULL;
    to->to_shown = from->to_shown != NULL ? mem_strdup(from->to_shown) : NULL;
    return (to->shown != NULL) == (from->shown != NULL) &&
                   (to->to_shown != NULL) == (from->to_shown != NULL)
               ? E_OK
               : FAIL(E_NOMEM);
}

struct call *call_usage_from(const struct call *c, const struct dialog *d)
{
    struct worker *w = c->w;
    struct call_texts t = {.call_id = view_of(c->call_id), .to_uri = view_of(c->to_uri)};
    struct call *u = is_full(w, false, true) ? NULL : call_new(w, &t);
    struct dialog *kept = u != NULL ? dialog_new(u) : NULL;

    if (kept != NULL) {
        kept->naming = u->naming = d->naming;
    }
    if (kept == NULL || dialog_add(u, kept, side_copy(&kept->callee, &d->callee)) == NULL ||
        side_copy(&u->caller, &c->caller) != E_OK || copy_names(u, c) != E_OK) {
        if (u != NULL) {
            call_free(u);
        }
        return NULL;
    }
    u->is_usage = true;
    memcpy(u->id, c->id, sizeof u->id); /* Record-Route entries name it */
    enter(u);
    return u;
}

void call_answered(struct call *c, struct dialog *d)
{
    if (!d->is_confirmed) {
        d->is_confirmed = true;
        c->ack_due_ms = loop_now_ms(c->w->loop) + c->w->set->t1_ms * ACK_WAIT_T1;
        call_arm(c);
    }
    if (c->is_answered) {
        return;
    }
    c->is_answered = true;
    c->answer_us = worker_now_us(c->w);
    meter(c->w, METER_ANSWERED);
    trace_state_set(c->w->trace, c->trace, TRACE_ANSWERED);
    call_tell(c, CALL_EVENT_ANSWERED, 0, "");
}

void dialog_refreshed(struct call *c, struct dialog *d, unsigned interval_s)
{
    d->session_due_ms = interval_s == 0 ? 0
                                        : loop_now_ms(c->w->loop) + (uint64_t)interval_s * 1000 +
                                              c->w->set->t1_ms * SESSION_GRACE_T1;
    call_arm(c);
}

void dialog_end(struct call *c, struct dialog *d, const char *end_by)
{
    bool was_confirmed = d->is_confirmed, any = false;

    usage_outlive(c, d);
    hlist_drop(&d->in_call);
    c->n_dialogs--;
    dialog_free(d);
    for (struct hlink *p = c->dialogs; p != NULL; p = p->next) {
        any = any || HLIST_OF(p, struct dialog, in_call)->is_confirmed;
    }
    if (was_confirmed && !any) {
        call_end(c, 200, end_by != NULL ? end_by : "gate");
    }
}

/* ---- all of them -------------------------------------------------------------------------------
 */
static bool is_of_kid(const struct side *s, const uint8_t kid[BTI_KID_BYTES])
{
    bool has_kid = is_bti(&s->who) || (s->who.kind == PARTY_PHONE && s->who.credential == 0);

    return has_kid && memcmp(s->who.kid, kid, BTI_KID_BYTES) == 0;
}

void calls_end_kid(struct worker *w, const uint8_t kid[BTI_KID_BYTES])
{
    struct hlink *next = NULL;

    for (size_t i = 0; i < TABLE_HEADS; i++) {
        for (struct hlink *p = w->calls[i]; p != NULL; p = next) {
            struct call *c = HLIST_OF(p, struct call, by_call_id);
            bool hit = is_of_kid(&c->caller, kid);
            next = p->next;
            for (struct hlink *q = c->dialogs; q != NULL; q = q->next) {
                hit = hit || is_of_kid(&HLIST_OF(q, struct dialog, in_call)->callee, kid);
            }
            if (hit && !c->is_emergency) {
                call_terminate(c, "gate", "Revoked");
            }
        }
    }
}

void calls_end_all(struct worker *w)
{
    struct hlink *next = NULL;

    for (size_t i = 0; i < TABLE_HEADS; i++) {
        for (struct hlink *p = w->calls[i]; p != NULL; p = next) {
            struct call *c = HLIST_OF(p, struct call, by_call_id);
            next = p->next;
            if (!c->is_emergency) { /* its voice goes on without us */
                call_terminate(c, "gate", "Out of service");
            }
        }
    }
}

static bool is_lost_phone(struct worker *w, const struct side *s)
{
    return s->who.kind == PARTY_PHONE && !phone_is_good(w, &s->who);
}

void calls_end_lost_phones(struct worker *w)
{
    struct hlink *next = NULL;

    for (size_t i = 0; i < TABLE_HEADS; i++) {
        for (struct hlink *p = w->calls[i]; p != NULL; p = next) {
            struct call *c = HLIST_OF(p, struct call, by_call_id);
            bool hit = is_lost_phone(w, &c->caller);
            next = p->next;
            for (struct hlink *q = c->dialogs; q != NULL; q = q->next) {
                hit = hit || is_lost_phone(w, &HLIST_OF(q, struct dialog, in_call)->callee);
            }
            if (hit && !c->is_emergency) {
                call_terminate(c, "gate", "Revoked");
            }
        }
    }
}

void calls_free(struct worker *w)
{
    for (size_t i = 0; i < TABLE_HEADS; i++) {
        while (w->calls[i] != NULL) {
            struct call *c = HLIST_OF(w->calls[i], struct call, by_call_id);
            call_end(c, c->is_answered ? 200 : 503, "gate");
        }
    }
}

/* ---- trace -------------------------------------------------------------------------------------
 */
void call_trace_in(struct call *c, const struct inbound *in, const char *note)
{
    if (c != NULL) {
        tapped_in(c->w, c, in);
        trace_message(c->w->trace, c->trace, &in->flow.remote, &in->flow.local, in->proof.mac,
                      in->m->raw, view_of(note));
    }
}

void call_trace_out(struct call *c, const struct sip_flow *to, const struct party *who,
                    struct view raw, const char *note)
{
    struct net_addr own;

    if (c != NULL) {
        tapped_out(c->w, c, to, who, raw);
        own = worker_address(c->w, to);
        trace_message(c->w->trace, c->trace, &own, &to->remote,
                      is_bti(who) ? TRACE_MAC_MADE : TRACE_MAC_NA, raw, view_of(note));
    }
}
