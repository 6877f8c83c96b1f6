/* "api METHOD PATH": a question as it stands in docs/admin-api.md, for what no command asks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin_api/ctl_api.h"
#include "base/mem.h"

#define USAGE "usage: headgatectl api METHOD PATH [--data FILE|-] [--if-match TAG]"

enum { DATA_MAX = 1 << 20 };

int ctl_read_json(const char *path, json_t **out)
{
    json_error_t why;
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char *text = f != NULL ? mem_zalloc(DATA_MAX) : NULL;
    size_t n = text != NULL ? fread(text, 1, DATA_MAX, f) : 0;
    int rc = CTL_OK;

    if (f == NULL) {
        return ctl_fail(CTL_USAGE, "%s: cannot be read", path);
    }
    *out =
        n < DATA_MAX ? json_loadb(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why) : NULL;
    if (n == DATA_MAX) {
        rc = ctl_fail(CTL_USAGE, "%s: more than 1 MiB", path);
    } else if (*out == NULL) {
        rc = ctl_fail(CTL_USAGE, "%s:%d:%d: %s", path, why.line, why.column, why.text);
    }
    mem_free(text);
    if (f != stdin) {
        fclose(f);
    }
    return rc;
}

static bool to_stdout(void *arg, const char *p, size_t n)
{
    (void)arg;
    return fwrite(p, 1, n, stdout) == n && fflush(stdout) == 0;
}

static void show(const struct ctl_reply *r)
{
    json_t *v = r->n > 0 ? json_loadb(r->body, r->n, JSON_DECODE_ANY, NULL) : NULL;

    if (v != NULL) {
        ctl_print_json(stdout, v);
    } else {
        (void)to_stdout(NULL, r->body, r->n);
    }
    if (r->location[0] != 0) {
        fprintf(stderr, "Location: %s\n", r->location);
    }
    if (r->etag[0] != 0) {
        fprintf(stderr, "ETag: %s\n", r->etag);
    }
    json_decref(v);
}

/* "/lines" and "/api/v1/lines" are the same. */
static const char *below_base(const char *path)
{
    static const char base[] = "/api/v1/";

    return strncmp(path, base, sizeof base - 1) == 0 ? path + sizeof base - 2 : path;
}

int ctl_api(struct ctl *c, struct ctl_args *a)
{
    const char *file = ctl_option(a, "--data"), *tag = ctl_option(a, "--if-match");
    struct ctl_ask q = {.accept = "*/*", .if_match = tag};
    struct ctl_reply r = {.status = 0};
    json_t *data = NULL;
    char *text = NULL;
    int rc = a->n == 2 && a->v[1][0] == '/' ? CTL_OK : ctl_fail(CTL_USAGE, USAGE);

    if (rc == CTL_OK && file != NULL) {
        rc = ctl_read_json(file, &data);
    }
    if (rc == CTL_OK) {
        text = data != NULL ? json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
        q.method = a->v[0];
        q.path = below_base(a->v[1]);
        q.body = text;
        q.content_type =
            strcmp(q.method, "PATCH") == 0 ? "application/merge-patch+json" : "application/json";
        rc = strspn(q.method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == strlen(q.method) &&
                     strpbrk(q.path, " \r\n") == NULL && strlen(q.path) < CTL_PATH_MAX
                 ? ctl_send(c, &q, &r)
                 : ctl_fail(CTL_USAGE, USAGE);
    }
    if (rc == CTL_OK) {
        rc = ctl_judge(c, &r);
        if (rc == CTL_OK) {
            show(&r);
        }
    }
    ctl_reply_free(&r);
    free(text); /* jansson allocated it */
    json_decref(data);
    return rc;
}
