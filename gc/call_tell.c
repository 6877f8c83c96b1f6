/* What others are told of a call while it lives: its trunks in the trace, its events. */
#include <string.h>

#include "gc/call.h"
#include "routing/snapshot.h"

static void text_put(char *dst, size_t bytes, struct view v)
{
    size_t n = v.n < bytes ? v.n : bytes - 1;

    if (n > 0) {
        memcpy(dst, v.p, n);
    }
    dst[n] = 0;
}

static void name_of_trunk(const struct call *c, const struct trunk_use *use,
                          char dst[TRUNK_NAME_MAX])
{
    const struct trunk *row = use->trunk != 0 ? trunk_row(c->w, use->trunk) : NULL;

    text_put(dst, TRUNK_NAME_MAX, row != NULL ? row->name : VIEW(""));
}

void call_show_trunks(struct call *c)
{
    char in[TRUNK_NAME_MAX], out[TRUNK_NAME_MAX];

    name_of_trunk(c, &c->way_in, in);
    name_of_trunk(c, &c->way_out, out);
    trace_trunks(c->w->trace, c->trace, in, out);
    call_note_way(c);
}

void call_note_way(struct call *c)
{
    const struct holding_way way = {.callee_line = c->routed_line,
                                    .trunk_in = c->way_in.trunk,
                                    .trunk_out = c->way_out.trunk,
                                    .route_out = c->way_out.route};

    if (c->holding.is_held) {
        holdings_way(c->w->ws->holdings, &c->holding, &way);
    }
}

void call_tell(const struct call *c, enum call_event_kind kind, unsigned status, const char *end_by)
{
    struct call_events *events = c->w->ws->cfg.events;
    struct trace_call t = {.worker = c->w->index,
                           .state = kind == CALL_EVENT_ENDED ? TRACE_ENDED
                                    : c->is_answered         ? TRACE_ANSWERED
                                                             : TRACE_TRYING,
                           .status = (uint16_t)status,
                           .started_us = c->start_us,
                           .answered_us = c->answer_us,
                           .caller_line = c->caller_line,
                           .callee_line = c->routed_line};

    if (events == NULL || c->is_usage) {
        return;
    }
    memcpy(t.id, c->id, sizeof t.id);
    text_put(t.call_id, sizeof t.call_id, view_of(c->call_id));
    text_put(t.caller, sizeof t.caller, view_of(c->caller_text));
    text_put(t.called, sizeof t.called, view_of(c->called));
    text_put(t.routed, sizeof t.routed, view_of(c->routed));
    text_put(t.route, sizeof t.route, view_of(c->route));
    text_put(t.end_by, sizeof t.end_by, view_of(end_by));
    name_of_trunk(c, &c->way_in, t.trunk_in);
    name_of_trunk(c, &c->way_out, t.trunk_out);
    call_events_put(events, kind, worker_now_us(c->w), &t);
}
