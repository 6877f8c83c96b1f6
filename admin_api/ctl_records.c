/* Call records, and traces of malicious calls. */
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_opts.h"

static const struct ctl_column TRACES[] = {{.name = "trace", .from = "trace_id"},
                                           {.name = "at"},
                                           {.name = "line", .from = "line_id"},
                                           {.name = "caller"},
                                           {.name = "called"},
                                           {.name = "private"},
                                           {.name = "call_started", .from = "call_started_at"},
                                           {.name = "call_id"},
                                           {.name = "node"},
                                           {0}};

static const struct ctl_column CDRS[] = {{.name = "started", .from = "started_at"},
                                         {.name = "caller"},
                                         {.name = "called"},
                                         {.name = "routed"},
                                         {.name = "route"},
                                         {.name = "status"},
                                         {.name = "seconds"},
                                         {.name = "ended_by"},
                                         {.name = "private"},
                                         {.name = "forwarded_by"},
                                         {.name = "attest"},
                                         {.name = "priority"},
                                         {.name = "preempted_by"},
                                         {.name = "call_id"},
                                         {.name = "node"},
                                         {0}};

/* Options of a list that are parameters of its query. */
struct filter {
    const char *option, *parameter;
};
static const struct filter CDR_FILTERS[] = {
    {"--from", "from"},     {"--to", "to"},       {"--line", "line_id"}, {"--number", "number"},
    {"--status", "status"}, {"--route", "route"}, {"--node", "node"},    {NULL, NULL}};

static void take_filters(struct opts *o, const struct filter *f, char path[CTL_PATH_MAX])
{
    char id[CTL_ID_MAX];

    for (; o->rc == CTL_OK && f->option != NULL; f++) {
        const char *value = ctl_option(o->a, f->option);
        if (value != NULL && strcmp(f->option, "--line") == 0 &&
            (o->rc = ctl_id(value, "--line", id)) != CTL_OK) {
            return;
        }
        o->rc = ctl_query_add(path, f->parameter, value);
    }
}

int ctl_cdr_list(struct ctl *c, struct ctl_args *a)
{
    char path[CTL_PATH_MAX] = "/cdrs";
    uint32_t limit = 50;
    struct opts o = {.a = a};

    opt_number(&o, "--limit", 1000000, &limit);
    take_filters(&o, CDR_FILTERS, path);
    opt_end(&o, 0,
            "cdr list [--limit N] [--from TIME] [--to TIME] [--line LINE] [--number NUMBER] "
            "[--status CODE] [--route ROUTE] [--node NODE]");
    return o.rc == CTL_OK ? ctl_list(c, path, limit, CDRS) : o.rc;
}

static bool to_stdout(void *arg, const char *p, size_t n)
{
    (void)arg;
    return fwrite(p, 1, n, stdout) == n;
}

int ctl_cdr_export(struct ctl *c, struct ctl_args *a)
{
    static const char *const formats[] = {"csv", "jsonl", NULL};
    char path[CTL_PATH_MAX] = "/cdrs/export";
    unsigned format = 0;
    struct ctl_reply r = {.status = 0};
    struct opts o = {.a = a};

    opt_choice(&o, "--format", formats, &format);
    o.rc = o.rc == CTL_OK ? ctl_query_add(path, "format", formats[format]) : o.rc;
    take_filters(&o, CDR_FILTERS, path);
    opt_end(&o, 0,
            "cdr export [--format csv|jsonl] [--from TIME] [--to TIME] [--line LINE] [--number "
            "NUMBER] [--status CODE] [--route ROUTE] [--node NODE]");
    if (o.rc == CTL_OK) {
        o.rc = ctl_send(c,
                        &(const struct ctl_ask){.method = "GET",
                                                .path = path,
                                                .accept = "*/*",
                                                .piece = to_stdout,
                                                .stream_ms = 60000},
                        &r);
    }
    if (o.rc == CTL_OK) {
        o.rc = r.was_ended ? ctl_fail(CTL_BROKEN, "what was exported cannot be written")
                           : ctl_judge(c, &r);
    }
    ctl_reply_free(&r);
    return o.rc;
}

int ctl_trace_list(struct ctl *c, struct ctl_args *a)
{
    static const struct filter filters[] = {{"--line", "line_id"}, {NULL, NULL}};
    char path[CTL_PATH_MAX] = "/traces";
    uint32_t limit = 50;
    struct opts o = {.a = a};

    opt_number(&o, "--limit", 100000, &limit);
    take_filters(&o, filters, path);
    opt_end(&o, 0, "trace list [--line LINE] [--limit N]");
    return o.rc == CTL_OK ? ctl_list(c, path, limit, TRACES) : o.rc;
}
