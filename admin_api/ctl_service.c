/* Service records of lines: what they subscribe to, where their calls are forwarded. */
#include <string.h>

#include "admin_api/ctl_api.h"
#include "admin_api/ctl_opts.h"

#define USAGE_SET                                                                                  \
    "service set LINE|NUMBER [--caller-id yes|no] [--private yes|no] [--reject-anonymous yes|no] " \
    "[--forward-always NUMBER|off] [--forward-busy NUMBER|off] [--forward-no-answer NUMBER|off] "  \
    "[--no-answer-seconds N]"

static const struct opt_field FIELDS[] = {
    {"--caller-id", "caller_id", OPT_YES, 0, NULL},
    {"--private", "private", OPT_YES, 0, NULL},
    {"--reject-anonymous", "reject_anonymous", OPT_YES, 0, NULL},
    {"--forward-always", "forward_always", OPT_NULLABLE, 0, NULL},
    {"--forward-busy", "forward_busy", OPT_NULLABLE, 0, NULL},
    {"--forward-no-answer", "forward_no_answer", OPT_NULLABLE, 0, NULL},
    {"--no-answer-seconds", "no_answer_s", OPT_NUMBER, 120, NULL},
    {NULL, NULL, OPT_TEXT, 0, NULL},
};

/* The id of a line named by its id or by one of its numbers. */
static int find_line(struct ctl *c, const char *text, char id[CTL_ID_MAX])
{
    char path[CTL_PATH_MAX] = "/lines";
    json_t *found = NULL;
    int rc = CTL_OK;

    if (text[0] != '+') {
        return ctl_id(text, "LINE", id);
    }
    rc = ctl_query_add(path, "number", text);
    if (rc == CTL_OK) {
        rc = ctl_get_all(c, path, 1, &found);
    }
    if (rc == CTL_OK && json_array_size(found) == 0) {
        rc = ctl_fail(CTL_REFUSED, "no line has the number %s", text);
    }
    if (rc == CTL_OK) {
        ctl_text(ctl_at(json_array_get(found, 0), "line_id"), id, CTL_ID_MAX);
    }
    json_decref(found);
    return rc;
}

int ctl_service_show(struct ctl *c, struct ctl_args *a)
{
    static const struct ctl_column columns[] = {
        {.name = "line", .from = "line_id"},
        {.name = "numbers"},
        {.name = "name", .from = "display"},
        {.name = "caller_id", .from = "services.caller_id"},
        {.name = "private", .from = "services.private"},
        {.name = "reject_anonymous", .from = "services.reject_anonymous"},
        {.name = "forward_always", .from = "services.forward_always", .absent = "off"},
        {.name = "forward_busy", .from = "services.forward_busy", .absent = "off"},
        {.name = "forward_no_answer", .from = "services.forward_no_answer", .absent = "off"},
        {.name = "no_answer_seconds", .from = "services.no_answer_s"},
        {0}};
    char id[CTL_ID_MAX], path[CTL_PATH_MAX];
    json_t *line = NULL;
    struct opts o = {.a = a};

    opt_end(&o, 1, "service show LINE|NUMBER");
    if (o.rc == CTL_OK) {
        o.rc = find_line(c, a->v[0], id);
    }
    if (o.rc == CTL_OK) {
        ctl_about(c, "line %s", id);
        o.rc = ctl_path(path, "/lines/%s", id);
    }
    if (o.rc == CTL_OK) {
        o.rc = ctl_get(c, path, &line);
    }
    return o.rc == CTL_OK ? ctl_item(c, line, columns) : o.rc;
}

int ctl_service_set(struct ctl *c, struct ctl_args *a)
{
    char id[CTL_ID_MAX], path[CTL_PATH_MAX];
    json_t *body = json_object();
    struct opts o = {.a = a};

    opt_body(&o, FIELDS, body);
    opt_end(&o, 1, USAGE_SET);
    if (o.rc == CTL_OK && o.taken == 0) {
        o.rc = ctl_fail(CTL_USAGE, "nothing to set; usage: headgatectl %s", USAGE_SET);
    }
    if (o.rc == CTL_OK) {
        o.rc = find_line(c, a->v[0], id);
    }
    if (o.rc == CTL_OK) {
        ctl_about(c, "line %s", id);
        o.rc = ctl_path(path, "/lines/%s/services", id);
    }
    if (o.rc == CTL_OK) {
        return ctl_patch(c, path, body);
    }
    json_decref(body);
    return o.rc;
}
