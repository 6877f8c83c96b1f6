#include "admin_api/ctl_events.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

bool ctl_events_open(struct ctl_events *e)
{
    e->line = mem_zalloc(CTL_EVENT_MAX);
    e->data = mem_zalloc(CTL_EVENT_MAX);
    return e->line != NULL && e->data != NULL;
}

void ctl_events_close(struct ctl_events *e)
{
    mem_free(e->line);
    mem_free(e->data);
    e->line = e->data = NULL;
}

static bool dispatch(struct ctl_events *e)
{
    bool goes_on = true;

    if (e->has_data) {
        e->data[e->n_data] = 0;
        goes_on = e->on_event(e->arg, e->name[0] != 0 ? e->name : "message", e->data);
    }
    e->name[0] = 0;
    e->n_data = 0;
    e->has_data = false;
    return goes_on;
}

static bool add_data(struct ctl_events *e, const char *value)
{
    size_t n = strlen(value);

    if (e->n_data + n + 2 > CTL_EVENT_MAX) {
        return false;
    }
    if (e->has_data) {
        e->data[e->n_data++] = '\n';
    }
    memcpy(e->data + e->n_data, value, n);
    e->n_data += n;
    e->has_data = true;
    return true;
}

/* "field: value", "field:value", "field"; ": a comment". */
static bool take_line(struct ctl_events *e)
{
    char *value = NULL;

    e->line[e->n_line] = 0;
    e->n_line = 0;
    if (e->line[0] == 0) {
        return dispatch(e);
    }
    value = strchr(e->line, ':');
    if (value != NULL) {
        *value++ = 0;
        value += *value == ' ';
    } else {
        value = e->line + strlen(e->line);
    }
    if (strcmp(e->line, "data") == 0) {
        return add_data(e, value);
    }
    if (strcmp(e->line, "event") == 0) {
        snprintf(e->name, sizeof e->name, "%s", value);
    } else if (strcmp(e->line, "id") == 0 && strlen(value) < sizeof e->id) {
        snprintf(e->id, sizeof e->id, "%s", value);
    }
    return true;
}

bool ctl_events_feed(void *events, const char *p, size_t n)
{
    struct ctl_events *e = events;

    for (size_t i = 0; i < n; i++) {
        bool is_lf_of_crlf = p[i] == '\n' && e->after_cr;
        e->after_cr = p[i] == '\r';
        if (is_lf_of_crlf) {
            continue;
        }
        if (p[i] == '\n' || p[i] == '\r') {
            if (!take_line(e)) {
                return false;
            }
        } else if (e->n_line + 1 < CTL_EVENT_MAX) {
            e->line[e->n_line++] = p[i];
        } else {
            return false;
        }
    }
    return true;
}
