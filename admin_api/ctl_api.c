#include "admin_api/ctl_api.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/secret.h"
#include "base/view.h"

enum { PAGE_ITEMS = 500, TRIES_ON_412 = 5 };

/* ---- paths -------------------------------------------------------------------------------------
 */
static bool put_encoded(char *out, size_t *n, const char *text)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    for (const unsigned char *p = (const unsigned char *)text; *p != 0; p++) {
        if (*n + 4 > CTL_PATH_MAX) {
            return false;
        }
        if (strchr(plain, *p) != NULL) {
            out[(*n)++] = (char)*p;
        } else {
            *n += (size_t)snprintf(out + *n, CTL_PATH_MAX - *n, "%%%02X", *p);
        }
    }
    out[*n] = 0;
    return true;
}

int ctl_path(char out[CTL_PATH_MAX], const char *fmt, ...)
{
    va_list ap;
    size_t n = 0;
    bool fits = true;

    va_start(ap, fmt);
    for (const char *p = fmt; fits && *p != 0; p++) {
        if (p[0] == '%' && p[1] == 's') {
            const char *text = va_arg(ap, const char *);
            p++;
            /* "." and ".." would be another path, and nothing is called so. */
            fits = strcmp(text, ".") != 0 && strcmp(text, "..") != 0 && put_encoded(out, &n, text);
        } else {
            fits = n + 2 < CTL_PATH_MAX;
            out[n] = *p;
            n += fits;
        }
    }
    va_end(ap);
    out[fits ? n : 0] = 0;
    return fits ? CTL_OK : ctl_fail(CTL_USAGE, "an argument is too long, or cannot be a name");
}

int ctl_query_add(char path[CTL_PATH_MAX], const char *name, const char *value)
{
    size_t n = strlen(path);

    if (value == NULL) {
        return CTL_OK;
    }
    if (n + strlen(name) + 3 > CTL_PATH_MAX) {
        return ctl_fail(CTL_USAGE, "%s: too long", name);
    }
    n += (size_t)snprintf(path + n, CTL_PATH_MAX - n, "%c%s=", strchr(path, '?') ? '&' : '?', name);
    return put_encoded(path, &n, value) ? CTL_OK : ctl_fail(CTL_USAGE, "%s: too long", name);
}

/* ---- answers -----------------------------------------------------------------------------------
 */
static const char *member(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text != NULL ? text : "";
}

static int code_of(unsigned status)
{
    return status == 429 || status == 503   ? CTL_UNREACHABLE
           : status >= 500 || status < 400  ? CTL_BROKEN
           : status == 400 || status == 422 ? CTL_USAGE
                                            : CTL_REFUSED;
}

static void say_tamed(const char *before, const char *text, const char *after)
{
    char copy[2048];

    snprintf(copy, sizeof copy, "%s", text);
    ctl_tame(copy, false);
    fprintf(stderr, "%s%s%s", before, copy, after);
}

/* Of one field alone the line of that field says it all. */
static bool says_more(const char *detail, const json_t *errors)
{
    const char *only = member(json_array_get(errors, 0), "detail");

    return detail[0] != 0 && !(json_array_size(errors) == 1 && strstr(detail, only) != NULL);
}

void ctl_about(struct ctl *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(c->about, sizeof c->about, fmt, ap);
    va_end(ap);
}

int ctl_refused(const struct ctl *c, const struct ctl_reply *r)
{
    json_t *problem = r->body != NULL ? json_loadb(r->body, r->n, 0, NULL) : NULL;
    const json_t *errors = json_object_get(problem, "errors");
    const char *title = member(problem, "title"), *detail = member(problem, "detail");
    char number[32];
    size_t i = 0;
    json_t *one = NULL;

    if (r->status == 404 && c->about[0] != 0) {
        json_decref(problem);
        return ctl_fail(CTL_REFUSED, "no %s", c->about);
    }
    snprintf(number, sizeof number, "HTTP status %u", r->status);
    say_tamed("headgatectl: ", title[0] != 0 ? title : number, "");
    say_tamed(says_more(detail, errors) ? ": " : "", says_more(detail, errors) ? detail : "", "\n");
    json_array_foreach(errors, i, one)
    {
        const char *at = json_object_get(one, "pointer") != NULL ? "pointer" : "parameter";
        say_tamed("  ", member(one, at), member(one, at)[0] != 0 ? ": " : "");
        say_tamed("", member(one, "detail"), "\n");
    }
    if (r->status == 401) {
        fprintf(stderr, "  who may ask: %s (headgatectl(8))\n",
                strcmp(c->base, CTL_LI_BASE) == 0
                    ? "an officer: by a client certificate, or at the socket by his own user"
                    : "the token of --token-file, a client certificate, or at the socket an "
                      "administrator's own user");
    }
    if (r->request_id[0] != 0) {
        say_tamed("  request ", r->request_id, "\n");
    }
    json_decref(problem);
    return code_of(r->status);
}

/* What was asked for waits as these changes: their numbers are in the body. */
static bool note_proposals(struct ctl *c, const struct ctl_reply *r)
{
    static const char changes[] = CTL_ADMIN_BASE "/changes/";
    json_t *body = r->body != NULL ? json_loadb(r->body, r->n, 0, NULL) : NULL, *id = NULL;
    size_t i = 0;

    if (strncmp(r->location, changes, sizeof changes - 1) == 0) {
        json_array_foreach(json_object_get(body, "changes"), i, id)
        {
            size_t n = strlen(c->proposed);
            snprintf(c->proposed + n, sizeof c->proposed - n, "%s%lld", n > 0 ? " " : "",
                     (long long)json_integer_value(id));
        }
    }
    json_decref(body);
    return c->proposed[0] != 0;
}

int ctl_judge(struct ctl *c, const struct ctl_reply *r)
{
    if (r->status == 202 && note_proposals(c, r)) {
        return CTL_PROPOSED;
    }
    return r->status >= 200 && r->status < 300 ? CTL_OK : ctl_refused(c, r);
}

static json_t *parse(const struct ctl_reply *r, int *rc)
{
    json_t *v = r->body != NULL ? json_loadb(r->body, r->n, JSON_REJECT_DUPLICATES, NULL) : NULL;

    if (v == NULL) {
        *rc = ctl_fail(CTL_BROKEN, "an answer that is no JSON (request %s)", r->request_id);
    }
    return v;
}

/* ---- questions ---------------------------------------------------------------------------------
 */
int ctl_send(struct ctl *c, const struct ctl_ask *q, struct ctl_reply *out)
{
    char path[CTL_PATH_MAX + sizeof CTL_ADMIN_BASE];
    struct ctl_ask below = *q;
    int rc = c->http_checked ? CTL_OK : ctl_http_check(&c->http);

    if (rc != CTL_OK) {
        *out = (struct ctl_reply){.status = 0};
        return rc;
    }
    c->http_checked = true;
    snprintf(path, sizeof path, "%s%s", c->base, q->path);
    below.path = path;
    return ctl_http_ask(&c->http, &below, out);
}

int ctl_get(struct ctl *c, const char *path, json_t **out)
{
    struct ctl_reply r;
    int rc = ctl_send(c, &(const struct ctl_ask){.method = "GET", .path = path}, &r);

    *out = NULL;
    if (rc == CTL_OK) {
        rc = ctl_judge(c, &r);
    }
    if (rc == CTL_OK) {
        *out = parse(&r, &rc);
    }
    ctl_reply_free(&r);
    return rc;
}

/* One page; *next: the cursor of the following one, "" at the end. */
static int get_page(struct ctl *c, const char *path, size_t want, char next[CTL_PATH_MAX],
                    json_t *all)
{
    char url[CTL_PATH_MAX], limit[24];
    json_t *page = NULL;
    int rc = CTL_OK;

    snprintf(url, sizeof url, "%s", path);
    snprintf(limit, sizeof limit, "%zu", want);
    rc = ctl_query_add(url, "limit", limit);
    if (rc == CTL_OK && next[0] != 0) {
        rc = ctl_query_add(url, "cursor", next);
    }
    if (rc == CTL_OK) {
        rc = ctl_get(c, url, &page);
    }
    next[0] = 0;
    if (rc == CTL_OK) {
        snprintf(next, CTL_PATH_MAX, "%s", member(page, "next"));
        if (json_array_extend(all, json_object_get(page, "items")) != 0) {
            rc = ctl_fail(CTL_BROKEN, "an answer that is no list");
        }
    }
    json_decref(page);
    return rc;
}

int ctl_get_all(struct ctl *c, const char *path, size_t max, json_t **out)
{
    char next[CTL_PATH_MAX] = "";
    json_t *all = json_array();
    int rc = CTL_OK;

    do {
        size_t left = max == 0 ? PAGE_ITEMS : max - json_array_size(all);
        rc = get_page(c, path, left < PAGE_ITEMS ? left : PAGE_ITEMS, next, all);
    } while (rc == CTL_OK && next[0] != 0 && (max == 0 || json_array_size(all) < max));
    if (rc != CTL_OK) {
        json_decref(all);
        all = NULL;
    }
    *out = all;
    return rc;
}

int ctl_find(struct ctl *c, const char *list, const char *name, const char *key, const char *what,
             char id[CTL_ID_MAX])
{
    char path[CTL_PATH_MAX];
    json_t *found = NULL;
    int rc = CTL_OK;

    snprintf(path, sizeof path, "%s", list);
    rc = ctl_query_add(path, "name", name);
    if (rc == CTL_OK) {
        rc = ctl_get_all(c, path, 1, &found);
    }
    if (rc == CTL_OK && json_array_size(found) == 0) {
        rc = ctl_fail(CTL_REFUSED, "no %s '%s' (%s list shows them)", what, name, what);
    }
    if (rc == CTL_OK) {
        ctl_text(ctl_at(json_array_get(found, 0), key), id, CTL_ID_MAX);
    }
    json_decref(found);
    return rc;
}

/* Sends what `q` says with a body that may hold a password: no copy of it stays. */
static int send_body(struct ctl *c, struct ctl_ask q, const json_t *body, struct ctl_reply *out)
{
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    int rc = CTL_OK;

    *out = (struct ctl_reply){.status = 0};
    if (body != NULL && text == NULL) {
        return ctl_fail(CTL_USAGE, "an argument is no text in UTF-8");
    }
    q.body = text;
    rc = ctl_send(c, &q, out);
    if (text != NULL) {
        wipe(text, strlen(text));
    }
    free(text); /* jansson allocated it */
    return rc;
}

int ctl_post(struct ctl *c, const char *path, json_t *body, json_t **out)
{
    struct ctl_reply r;
    int rc = send_body(
        c, (struct ctl_ask){.method = "POST", .path = path, .content_type = "application/json"},
        body, &r);

    if (out != NULL) {
        *out = NULL;
    }
    if (rc == CTL_OK) {
        rc = ctl_judge(c, &r);
    }
    if (out != NULL && (rc == CTL_OK || rc == CTL_PROPOSED) && r.n > 0) {
        int ignored = rc;
        *out = parse(&r, rc == CTL_OK ? &rc : &ignored);
    }
    ctl_reply_free(&r);
    json_decref(body);
    return rc;
}

/* The entity tag of what is there now; "" when it has none. A query is the change's. */
static int read_etag(struct ctl *c, const char *path, char etag[128])
{
    struct ctl_reply r;
    char plain[CTL_PATH_MAX];
    int rc = CTL_OK;

    snprintf(plain, sizeof plain, "%.*s", (int)strcspn(path, "?"), path);
    rc = ctl_send(c, &(const struct ctl_ask){.method = "GET", .path = plain}, &r);

    if (rc == CTL_OK && r.status >= 400) {
        rc = ctl_refused(c, &r);
    }
    snprintf(etag, 128, "%s", r.etag);
    ctl_reply_free(&r);
    return rc;
}

/* PATCH or DELETE of what GET says now. */
static int change(struct ctl *c, const char *method, const char *path, const json_t *patch)
{
    char etag[128];
    struct ctl_reply r;
    int rc = CTL_OK;

    for (int i = 1;; i++) {
        rc = read_etag(c, path, etag);
        if (rc != CTL_OK) {
            return rc;
        }
        rc = send_body(c,
                       (struct ctl_ask){.method = method,
                                        .path = path,
                                        .if_match = etag,
                                        .content_type = "application/merge-patch+json"},
                       patch, &r);
        if (rc != CTL_OK || r.status != 412 || i == TRIES_ON_412) {
            break;
        }
        ctl_reply_free(&r); /* somebody else was faster */
    }
    if (rc == CTL_OK) {
        rc = ctl_judge(c, &r);
    }
    ctl_reply_free(&r);
    return rc;
}

int ctl_patch(struct ctl *c, const char *path, json_t *patch)
{
    int rc = change(c, "PATCH", path, patch);

    json_decref(patch);
    return rc;
}

int ctl_delete(struct ctl *c, const char *path)
{
    return change(c, "DELETE", path, NULL);
}

/* ---- showing -----------------------------------------------------------------------------------
 */
int ctl_rows(const struct ctl *c, json_t *rows, const struct ctl_column *columns)
{
    if (c->json) {
        ctl_print_texts(stdout, rows, columns);
    } else {
        ctl_print_table(stdout, rows, columns);
    }
    json_decref(rows);
    return CTL_OK;
}

int ctl_rows_raw(const struct ctl *c, json_t *rows, const struct ctl_column *columns)
{
    if (!c->json) {
        return ctl_rows(c, rows, columns);
    }
    ctl_print_json(stdout, rows);
    json_decref(rows);
    return CTL_OK;
}

int ctl_item(const struct ctl *c, json_t *item, const struct ctl_column *columns)
{
    ctl_print_item(stdout, item, columns, c->json);
    json_decref(item);
    return CTL_OK;
}

int ctl_list(struct ctl *c, const char *path, size_t max, const struct ctl_column *columns)
{
    json_t *rows = NULL;
    int rc = ctl_get_all(c, path, max, &rows);

    return rc == CTL_OK ? ctl_rows(c, rows, columns) : rc;
}
