/* Answers on the wire. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/api_int.h"

enum { HEADERS_MAX = 16 };

struct headers {
    const char *v[HEADERS_MAX + 1];
    size_t n;
};

static void add(struct headers *h, const char *name, const char *value)
{
    if (value != NULL && value[0] != 0 && h->n + 2 <= HEADERS_MAX) {
        h->v[h->n++] = name;
        h->v[h->n++] = value;
    }
}

/* A representation with a tag that the client has already is not sent again. */
static void tag(struct api_request *r, struct api_answer *a)
{
    struct api_call *c = api_call_of(r);

    if (c->op == NULL || !c->op->etag || a->body == NULL || a->impl != NULL || a->pull != NULL ||
        a->status > 201 || !api_etag_of(a->body, c->etag)) {
        return;
    }
    struct view known = httpd_header(r->http, "If-None-Match");
    if (c->op->method == API_GET && known.n > 0 && api_etag_in(known, c->etag, true)) {
        json_decref(a->body);
        a->body = NULL;
        a->status = 304;
    }
}

static void send_body(struct api_request *r, struct api_answer *a, const struct headers *h)
{
    char *text = NULL;
    const char *type = "application/json";

    if (a->impl != NULL || a->status >= 400) {
        type = a->status >= 400 ? API_PROBLEM_JSON : type;
        text = api_problem_text(a, r->http->request_id);
    } else if (a->body != NULL) {
        text = json_dumps(a->body, JSON_COMPACT);
        a->status = text != NULL ? a->status : 500;
    }
    httpd_answer(r->http, a->status, text != NULL ? type : NULL, h->v, view_of(text));
    free(text); /* jansson allocated it */
}

void api_send(struct api_request *r, struct api_answer *a, const char *allow)
{
    struct api_call *c = api_call_of(r);
    struct headers h = {.n = 0};
    char retry[16] = "";

    if (a->status == 0) {
        a->status = a->body != NULL || a->pull != NULL ? 200 : 204;
    }
    tag(r, a);
    if (a->retry_after_s > 0) {
        snprintf(retry, sizeof retry, "%u", a->retry_after_s);
    }
    add(&h, "Location", a->location);
    add(&h, "ETag", c->etag);
    add(&h, "Link", c->link);
    add(&h, "Retry-After", retry);
    add(&h, "Allow", allow);
    add(&h, "WWW-Authenticate", a->status == 401 ? "Bearer realm=\"headgate\"" : NULL);
    if (a->pull != NULL && !api_failed(a)) {
        httpd_stream(r->http, a->status, a->content_type, h.v, a->pull, a->done, a->arg);
        a->pull = NULL; /* done is httpd's now */
    } else {
        send_body(r, a, &h);
    }
}
