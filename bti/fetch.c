/* Sessions from a provisioning server. */
#include "bti/fetch.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "bti/control.h"
#include "provisioning/session_bti.h"

enum { SERVER_MS = 8000, WHY_BYTES = 256 };

/* Our clock may be this far from the server's before we correct ourselves. */
#define AHEAD_TOLERATED_US (60ll * 1000000)

struct fetch {
    struct loop *loop;
    struct fetch_cfg cfg;
    struct loop_timer start;
    struct control *control;
    struct session_bti *machine;
    size_t server; /* index of the one being asked */
    bool corrected;
    uint64_t counter_floor;
    int64_t ahead_us;
    enum bti_exit code; /* of the last failure */
    char why[WHY_BYTES];
    struct enrol_out out;
};

static void next_server(void *arg);

/* Wall time as the provisioning server has it. */
static uint64_t server_now(const struct fetch *f)
{
    return (uint64_t)((int64_t)loop_wall_us(f->loop) + f->ahead_us);
}

static void drop(struct fetch *f)
{
    control_free(f->control);
    f->control = NULL;
    session_bti_free(f->machine);
    f->machine = NULL;
    wipe(&f->out, sizeof f->out);
}

static void finish(struct fetch *f, struct session *session)
{
    drop(f);
    f->cfg.done(f->cfg.arg, session, f->code, f->why);
}

static void failed(struct fetch *f, enum bti_exit code, const char *server, const char *what)
{
    f->code = code;
    snprintf(f->why, sizeof f->why, "provisioning server %s: %s", server, what);
}

static const char *server_text(const struct fetch *f, char buf[NET_TEXT_MAX])
{
    if (f->cfg.server.family != 0) {
        net_text(&f->cfg.server, buf);
        return buf;
    }
    return f->cfg.store->d.ack.servers.v[f->server];
}

static void again(struct fetch *f, bool same_server)
{
    drop(f);
    f->server += same_server ? 0 : 1;
    if (loop_timer_start(f->loop, &f->start, 0, next_server, f) != E_OK) {
        finish(f, NULL);
    }
}

static enum err make_session(struct fetch *f, const struct session_result *r, struct session **out)
{
    struct session *s = NULL;
    enum err e = session_new(r->kid, &r->keys, &s);

    if (e == E_OK) {
        s->gates = r->gates;
        s->expires_us = loop_wall_us(f->loop) + r->lifetime_s * 1000000ull;
        *out = s;
    }
    return e;
}

static void granted(struct fetch *f, const struct session_result *r)
{
    struct session *s = NULL;
    char buf[NET_TEXT_MAX];

    if (make_session(f, r, &s) != E_OK) {
        failed(f, BTI_EXIT_FAILED, server_text(f, buf), "out of memory");
    }
    finish(f, s);
}

static enum bti_exit exit_of(uint16_t code)
{
    switch (code) {
    case CODE_CERTIFICATE:
        return BTI_EXIT_CERTIFICATE;
    case CODE_REVOKED:
    case CODE_UNKNOWN:
        return BTI_EXIT_REFUSED;
    case CODE_BARRED:
        return BTI_EXIT_DENIED;
    default:
        return BTI_EXIT_UNREACHABLE;
    }
}

static void refused(struct fetch *f, const struct session_result *r)
{
    char buf[NET_TEXT_MAX];
    const char *server = server_text(f, buf);
    int64_t ahead = 0;

    if (r->code == CODE_STALE && r->server_us != 0 && !f->corrected) {
        ahead = (int64_t)(r->server_us - loop_wall_us(f->loop));
        f->ahead_us = ahead > AHEAD_TOLERATED_US || ahead < -AHEAD_TOLERATED_US ? ahead : 0;
        f->counter_floor = r->counter;
        f->corrected = true;
        again(f, true);
        return;
    }
    failed(f, exit_of(r->code), server, r->text[0] != 0 ? r->text : wire_code_text(r->code));
    if (f->code == BTI_EXIT_REFUSED || f->code == BTI_EXIT_DENIED) { /* so would the others */
        finish(f, NULL);
    } else {
        again(f, false);
    }
}

static void on_frame(struct fetch *f, struct view frame)
{
    const struct session_result *r = NULL;
    char buf[NET_TEXT_MAX];
    enum err e = session_bti_feed(f->machine, frame, &f->out);

    if (e == E_OK && f->out.n > 0) {
        e = control_send(f->control, view_from(f->out.b, f->out.n));
    }
    if (e != E_OK && f->out.event == SBTI_NONE) {
        failed(f, BTI_EXIT_FAILED, server_text(f, buf), err_text(e));
        again(f, false);
        return;
    }
    r = session_bti_result(f->machine);
    if (f->out.event == SBTI_DONE) {
        granted(f, r);
    } else if (f->out.event == SBTI_REFUSED) {
        refused(f, r);
    }
}

static void on_control(void *arg, enum control_event ev, struct view frame, enum err why)
{
    struct fetch *f = arg;
    char buf[NET_TEXT_MAX];
    enum err e = E_OK;

    if (ev == CONTROL_FRAME) {
        on_frame(f, frame);
        return;
    }
    if (ev == CONTROL_OPEN) {
        e = session_bti_start(f->machine, &f->out);
        if (e == E_OK) {
            e = control_send(f->control, view_from(f->out.b, f->out.n));
        }
        if (e == E_OK) {
            return;
        }
        why = e;
    }
    failed(f, BTI_EXIT_UNREACHABLE, server_text(f, buf),
           why == E_TIMEOUT ? "no answer in time"
           : why == E_STATE ? "it closed the connection"
           : why == E_IO    ? "cannot be reached"
                            : err_text(why));
    again(f, false);
}

static enum err ask(struct fetch *f, const struct net_addr *to)
{
    struct store *s = f->cfg.store;
    struct session_bti_cfg cfg = {.root = f->cfg.root,
                                  .ps_name = s->d.ps_name[0] != 0 ? s->d.ps_name : NULL,
                                  .gate = s->d.ack.gates.v[0],
                                  .form = s->d.kind == KEY_P256 ? FORM_SIGNED : FORM_LTK,
                                  .k_u = &s->d.k_u,
                                  .ltk = &s->d.ltk};
    enum err e = E_OK;

    TRY(store_next_counter(s, f->counter_floor, f->ahead_us, &cfg.counter));
    cfg.now_us = server_now(f);
    memcpy(cfg.bti_id, s->d.ack.bti_id, BTI_ID_BYTES);
    TRY(session_bti_new(&cfg, &f->machine));
    TRY(control_open(f->loop, to, &f->cfg.local, SERVER_MS, on_control, f, &f->control));
out:
    return e;
}

static void next_server(void *arg)
{
    struct fetch *f = arg;
    bool given = f->cfg.server.family != 0;
    size_t n = given ? 1 : f->cfg.store->d.ack.servers.n;
    struct net_addr to = f->cfg.server;
    char buf[NET_TEXT_MAX];
    enum err e = E_OK;

    if (f->server >= n) {
        finish(f, NULL);
        return;
    }
    if (!given) {
        e = net_parse(view_of(f->cfg.store->d.ack.servers.v[f->server]), 7611, &to);
    }
    if (e != E_OK) {
        failed(f, BTI_EXIT_UNREACHABLE, server_text(f, buf), "not an address");
        again(f, false);
        return;
    }
    e = ask(f, &to);
    if (e != E_OK) {
        failed(f, e == E_IO ? BTI_EXIT_UNREACHABLE : BTI_EXIT_FAILED, server_text(f, buf),
               e == E_IO ? "cannot be reached, or the key store not written" : err_text(e));
        again(f, false);
    }
}

enum err fetch_start(struct loop *l, const struct fetch_cfg *cfg, struct fetch **out)
{
    struct fetch *f = mem_zalloc(sizeof *f);
    enum err e = f != NULL ? E_OK : FAIL(E_NOMEM);

    TRY(e);
    f->loop = l;
    f->cfg = *cfg;
    f->ahead_us = cfg->store->d.ahead_us;
    f->code = BTI_EXIT_UNREACHABLE;
    snprintf(f->why, sizeof f->why, "no provisioning server is known: --ps IP:PORT names one");
    TRY(loop_timer_start(l, &f->start, 0, next_server, f));
    *out = f;
    f = NULL;
out:
    mem_free(f);
    return e;
}

void fetch_cancel(struct fetch *f)
{
    if (f != NULL) {
        loop_timer_stop(f->loop, &f->start);
        drop(f);
        mem_free(f);
    }
}
