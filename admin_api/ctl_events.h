/* admin_api/ctl_events.h - server-sent events (WHATWG HTML section 9.2), piece by piece.
 *
 * Errors     a line of more than CTL_EVENT_MAX octets ends the stream: feed gives false.
 * Threads    one. */
#ifndef ADMIN_API_CTL_EVENTS_H
#define ADMIN_API_CTL_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

enum { CTL_EVENT_MAX = 1 << 18, CTL_EVENT_NAME_MAX = 64, CTL_EVENT_ID_MAX = 256 };

struct ctl_events {
    /* name: "message" unless the event says; data: its lines with '\n' between. False: enough. */
    bool (*on_event)(void *arg, const char *name, const char *data);
    void *arg;
    char id[CTL_EVENT_ID_MAX]; /* of the last event, for Last-Event-ID */
    /* internal */
    char name[CTL_EVENT_NAME_MAX];
    char *line, *data; /* CTL_EVENT_MAX each */
    size_t n_line, n_data;
    bool has_data, after_cr;
};

bool ctl_events_open(struct ctl_events *e); /* false: no memory */
void ctl_events_close(struct ctl_events *e);
bool ctl_events_feed(void *e, const char *p, size_t n);

#endif
