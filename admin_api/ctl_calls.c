/* Calls: those that live, those that ended lately, one of them message by message, and what happens
 * to them as it happens. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_events.h"
#include "admin_api/ctl_ladder.h"
#include "admin_api/ctl_live.h"
#include "admin_api/ctl_opts.h"

#define CALLS_USAGE                                                                                \
    "calls [--recent | --follow] [--number NUMBER] [--line LINE] [--trunk TRUNK] [--node NODE]"

enum { STREAM_SILENT_MS = 60000, STREAM_FAULTS_MAX = 3 };

static const struct ctl_column CALLS[] = {{.name = "id"},       {.name = "state"},
                                          {.name = "caller"},   {.name = "called"},
                                          {.name = "route"},    {.name = "started"},
                                          {.name = "answered"}, {.name = "node"},
                                          {.name = "call_id"},  {0}};

static const char *text_of(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text != NULL ? text : "";
}

/* ---- as they happen ----------------------------------------------------------------------------
 */
struct follower {
    const struct ctl *c;
    bool is_over; /* nobody reads what we write */
};

/* One line for an event: when, what, where, the call. */
static bool show_event(void *arg, const char *name, const char *data)
{
    struct follower *f = arg;
    json_t *event = json_loads(data, 0, NULL), *call = json_object_get(event, "call");
    char line[1024];

    if (event == NULL) {
        return true;
    }
    if (f->c->json) {
        json_dumpf(event, stdout, JSON_COMPACT);
    } else if (call != NULL) {
        snprintf(line, sizeof line, "%s  %-9s %s  %s  %s -> %s  %s", text_of(event, "at"), name,
                 text_of(event, "node"), text_of(call, "id"), text_of(call, "caller"),
                 text_of(call, "called"), text_of(call, "route"));
        ctl_tame(line, false);
        fputs(line, stdout);
    } else {
        snprintf(line, sizeof line, "%s: %s", name, text_of(event, "node"));
        ctl_tame(line, false);
        fputs(line, stdout);
    }
    json_decref(event);
    putchar('\n');
    f->is_over = fflush(stdout) != 0;
    return !f->is_over;
}

/* One connection; the server ends each after a while, and we come back behind the last event. */
static int follow_once(struct ctl *c, const char *path, struct ctl_events *e)
{
    struct ctl_reply r;
    char last[CTL_EVENT_ID_MAX];
    int rc = CTL_OK;

    snprintf(last, sizeof last, "%s", e->id);
    rc = ctl_send(c,
                  &(const struct ctl_ask){.method = "GET",
                                          .path = path,
                                          .accept = "text/event-stream",
                                          .last_event_id = last,
                                          .piece = ctl_events_feed,
                                          .arg = e,
                                          .stream_ms = STREAM_SILENT_MS},
                  &r);
    if (rc == CTL_OK && !r.was_ended) {
        rc = ctl_judge(c, &r);
    }
    ctl_reply_free(&r);
    return rc;
}

static int follow(struct ctl *c, const char *path)
{
    struct follower f = {.c = c};
    struct ctl_events e = {.on_event = show_event, .arg = &f};
    int rc = ctl_events_open(&e) ? CTL_OK : ctl_fail(CTL_BROKEN, "no memory");

    for (int faults = 0; !f.is_over && faults < STREAM_FAULTS_MAX;) {
        rc = follow_once(c, path, &e);
        if (rc == CTL_REFUSED || rc == CTL_USAGE || rc == CTL_BROKEN) {
            break;
        }
        faults = rc == CTL_OK ? 0 : faults + 1;
        if (!f.is_over) {
            nanosleep(&(const struct timespec){.tv_sec = 1}, NULL);
        }
    }
    ctl_events_close(&e);
    return f.is_over ? CTL_OK : rc;
}

/* ---- lists -------------------------------------------------------------------------------------
 */
int ctl_calls(struct ctl *c, struct ctl_args *a)
{
    static const char *const filters[][2] = {
        {"--number", "number"}, {"--line", "line"}, {"--trunk", "trunk"}, {"--node", "node"}};
    bool recent = ctl_flag(a, "--recent"), follows = ctl_flag(a, "--follow");
    char path[CTL_PATH_MAX] = "/calls";
    json_t *rows = NULL;
    struct opts o = {.a = a};

    snprintf(path, sizeof path, "%s", follows ? "/calls/events" : "/calls");
    for (size_t i = 0; o.rc == CTL_OK && i < sizeof filters / sizeof *filters; i++) {
        o.rc = ctl_query_add(path, filters[i][1], ctl_option(a, filters[i][0]));
    }
    opt_end(&o, 0, CALLS_USAGE);
    if (o.rc == CTL_OK && recent && follows) {
        o.rc = ctl_fail(CTL_USAGE, "--recent or --follow, not both");
    }
    if (o.rc == CTL_OK && follows) {
        return follow(c, path);
    }
    if (o.rc == CTL_OK && recent) {
        o.rc = ctl_query_add(path, "state", "ended");
    }
    if (o.rc == CTL_OK) {
        o.rc = live_items(c, path, NULL, &rows);
    }
    return o.rc == CTL_OK ? ctl_rows_raw(c, rows, CALLS) : o.rc;
}

/* ---- one ---------------------------------------------------------------------------------------
 */
/* "2026-11-24T08:30:00.123456Z" as microseconds. */
static json_int_t microseconds(const char *at)
{
    struct tm tm = {0};
    const char *rest = strptime(at, "%Y-%m-%dT%H:%M:%S", &tm);
    json_int_t us = (json_int_t)timegm(&tm) * 1000000;

    if (rest != NULL && *rest == '.') {
        json_int_t unit = 100000;
        for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10) {
            us += (*rest - '0') * unit;
        }
    }
    return us;
}

static json_t *address_of(const json_t *parties, const json_t *party)
{
    size_t i = 0;
    json_t *one = NULL;

    json_array_foreach(parties, i, one)
    {
        if (json_is_integer(party) && json_equal(json_object_get(one, "party"), party)) {
            return json_incref(json_object_get(one, "address"));
        }
    }
    return json_string("-");
}

/* Entries as gc/control.h has them: addresses instead of parties, microseconds. */
static json_t *entries_of(const json_t *ladder)
{
    const json_t *parties = json_object_get(ladder, "parties");
    json_t *all = json_array(), *m = NULL;
    size_t i = 0;

    json_array_foreach(json_object_get(ladder, "messages"), i, m)
    {
        json_t *e = json_copy(m);
        json_object_set_new(e, "at_us", json_integer(microseconds(text_of(m, "at"))));
        json_object_set_new(e, "from", address_of(parties, json_object_get(m, "from")));
        json_object_set_new(e, "to", address_of(parties, json_object_get(m, "to")));
        json_array_append_new(all, e);
    }
    return all;
}

static void show_call(const json_t *call)
{
    char text[1024];
    const char *key = NULL;
    json_t *value = NULL;

    json_object_foreach((json_t *)(uintptr_t)call, key, value)
    {
        ctl_text(value, text, sizeof text);
        ctl_tame(text, false);
        printf("%s: %s\n", key, text);
    }
}

int ctl_call_show(struct ctl *c, struct ctl_args *a)
{
    bool ladder = ctl_flag(a, "--ladder"), octets = ctl_flag(a, "--octets");
    bool all = c->json || octets;
    char path[CTL_PATH_MAX];
    json_t *answer = NULL, *entries = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, "call show CALL [--ladder] [--octets]");
    if (o.rc == CTL_OK) {
        ctl_about(c, "call %s (calls, and calls --recent, show them)", a->v[0]);
        o.rc = ctl_path(path, all || ladder ? "/calls/%s/ladder" : "/calls/%s", a->v[0]);
    }
    if (o.rc == CTL_OK && all) {
        o.rc = ctl_query_add(path, "octets", "true");
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_get(c, path, &answer);
    }
    if (o.rc != CTL_OK) {
        return o.rc;
    }
    entries = entries_of(answer);
    if (c->json) {
        json_t *both =
            json_pack("{s:O,s:O}", "call", json_object_get(answer, "call"), "ladder", entries);
        ctl_print_json(stdout, both);
        json_decref(both);
    } else {
        show_call(ladder || octets ? json_object_get(answer, "call") : answer);
        if (ladder || octets) {
            ctl_print_ladder(stdout, entries, octets);
        }
    }
    json_decref(entries);
    json_decref(answer);
    return CTL_OK;
}

int ctl_call_end(struct ctl *c, struct ctl_args *a)
{
    const char *reason = ctl_option(a, "--reason");
    char path[CTL_PATH_MAX];
    struct opts o = {.a = a};

    opt_end(&o, 1, "call end CALL [--reason TEXT]");
    if (o.rc == CTL_OK) {
        ctl_about(c, "live call %s (calls shows them)", a->v[0]);
        o.rc = ctl_path(path, "/calls/%s/end", a->v[0]);
    }
    return o.rc == CTL_OK ? ctl_post(c, path,
                                     json_pack("{s:s}", "reason",
                                               reason != NULL ? reason : "ended by the operator"),
                                     NULL)
                          : o.rc;
}
