/* "li ...": officers ask headgate-li. It is another server than headgate-admin, with other
 * credentials (ctl_main.c). Who is the subject of an order comes from a file or from stdin: what
 * stands in a command line is seen by every user of the machine. */
#include <stdio.h>
#include <string.h>

#include "admin_api/ctl_li.h"
#include "admin_api/ctl_opts.h"

enum { EVENTS_AT_ONCE = 500 };

/* ---- what is shown -----------------------------------------------------------------------------
 */
static void form_target(const json_t *item, const json_t *value, char *out, size_t max)
{
    const char *key = NULL;
    json_t *one = NULL;
    size_t n = 0;

    (void)item;
    json_object_foreach((json_t *)(uintptr_t)value, key, one)
    {
        n += (size_t)snprintf(out + n, max - n, "%s%s ", n > 0 ? " " : "", key);
        n = n < max ? n : max - 1;
        ctl_text(one, out + n, max - n);
        n += strlen(out + n);
    }
}

static const struct ctl_column ORDERS[] = {
    {.name = "order"},      {.name = "state"},
    {.name = "type"},       {.name = "target", .form = form_target},
    {.name = "agency"},     {.name = "case_id"},
    {.name = "starts_at"},  {.name = "ends_at"},
    {.name = "entered_by"}, {.name = NULL}};

static const struct ctl_column ORDER[] = {{.name = "order"},
                                          {.name = "state"},
                                          {.name = "agency"},
                                          {.name = "case_id"},
                                          {.name = "type"},
                                          {.name = "target", .form = form_target},
                                          {.name = "digits", .absent = "no"},
                                          {.name = "starts_at"},
                                          {.name = "ends_at"},
                                          {.name = "presented_by"},
                                          {.name = "signed_by"},
                                          {.name = "court", .absent = "-"},
                                          {.name = "docket", .absent = "-"},
                                          {.name = "responsible"},
                                          {.name = "entered_by"},
                                          {.name = "entered_at"},
                                          {.name = "approved_by", .absent = "-"},
                                          {.name = "approved_at", .absent = "-"},
                                          {.name = "refused_by", .absent = "-"},
                                          {.name = "refused_at", .absent = "-"},
                                          {.name = "ended_by", .absent = "-"},
                                          {.name = "ended_at", .absent = "-"},
                                          {.name = "reason", .absent = "-"},
                                          {.name = "xid"},
                                          {.name = NULL}};

static const struct ctl_column EVENTS[] = {{.name = "seq"},    {.name = "at"},     {.name = "who"},
                                           {.name = "action"}, {.name = "object"}, {.name = NULL}};

static const struct ctl_column STATE[] = {
    {.name = "tap"},   {.name = "database"},     {.name = "directory"}, {.name = "records"},
    {.name = "calls"}, {.name = "records_lost"}, {.name = NULL}};

static const struct ctl_column DELIVERIES[] = {
    {.name = "order"},      {.name = "channel"},
    {.name = "up"},         {.name = "since"},
    {.name = "spooled"},    {.name = "sent"},
    {.name = "lost"},       {.name = "confirmed"},
    {.name = "waiting_ms"}, {.name = "alarms", .absent = "-"},
    {.name = "why"},        {.name = NULL}};

int ctl_li_print(const struct ctl *c, json_t *item, const struct ctl_column *columns)
{
    if (!c->json) {
        return ctl_item(c, item, columns);
    }
    ctl_print_json(stdout, item);
    json_decref(item);
    return CTL_OK;
}

/* ---- looking -----------------------------------------------------------------------------------
 */
int ctl_li_one(struct ctl *c, struct ctl_args *a, const char *what, const char *list,
               const struct ctl_column *columns)
{
    char path[CTL_PATH_MAX], id[CTL_ID_MAX];
    json_t *item = NULL;
    int rc = a->n == 1 ? ctl_id(a->v[0], what, id)
                       : ctl_fail(CTL_USAGE, "usage: headgatectl li %s %s", what,
                                  what[0] == 'o' ? "ORDER" : "AGENCY");

    if (rc == CTL_OK) {
        ctl_about(c, "%s %s", what, id);
        snprintf(path, sizeof path, "/%s/%s", list, id);
        rc = ctl_get(c, path, &item);
    }
    return rc == CTL_OK ? ctl_li_print(c, item, columns) : rc;
}

int ctl_li_order(struct ctl *c, struct ctl_args *a)
{
    return ctl_li_one(c, a, "order", "orders", ORDER);
}

/* Of a list those whose member reads so; takes rows over. want NULL: all. */
static json_t *only(json_t *rows, const char *member, const char *want)
{
    json_t *kept = want != NULL ? json_array() : NULL, *row = NULL;
    char text[128];
    size_t i = 0;

    if (kept == NULL) {
        return rows;
    }
    json_array_foreach(rows, i, row)
    {
        ctl_text(json_object_get(row, member), text, sizeof text);
        if (strcmp(text, want) == 0) {
            json_array_append(kept, row);
        }
    }
    json_decref(rows);
    return kept;
}

int ctl_li_orders(struct ctl *c, struct ctl_args *a)
{
    static const char *const states[] = {"entered", "waiting", "active", "over", "refused", NULL};
    const char *agency = ctl_option(a, "--agency");
    struct opts o = {.a = a};
    unsigned state = 0;
    json_t *rows = NULL;

    opt_choice(&o, "--state", states, &state);
    opt_end(&o, 0, "li orders [--state STATE] [--agency AGENCY]");
    if (o.rc == CTL_OK) {
        o.rc = ctl_get(c, "/orders", &rows);
    }
    if (o.rc != CTL_OK) {
        return o.rc;
    }
    rows = only(rows, "state", o.taken > 0 ? states[state] : NULL);
    return ctl_rows_raw(c, only(rows, "agency", agency), ORDERS);
}

int ctl_li_state(struct ctl *c, struct ctl_args *a)
{
    json_t *state = NULL;
    int rc = a->n == 0 ? ctl_get(c, "/state", &state)
                       : ctl_fail(CTL_USAGE, "usage: headgatectl li state");

    if (rc == CTL_OK && c->json) {
        return ctl_li_print(c, state, STATE);
    }
    if (rc == CTL_OK) {
        json_t *deliveries = json_incref(json_object_get(state, "deliveries"));
        rc = ctl_item(c, state, STATE);
        putchar('\n');
        ctl_rows(c, deliveries, DELIVERIES);
    }
    return rc;
}

/* All pages behind `after`, one after the other. */
static int read_events(struct ctl *c, uint64_t after, json_t *all, bool *sound)
{
    size_t n = EVENTS_AT_ONCE;
    int rc = CTL_OK;

    while (rc == CTL_OK && n == EVENTS_AT_ONCE) {
        char path[CTL_PATH_MAX];
        json_t *page = NULL;
        const json_t *rows = NULL;
        snprintf(path, sizeof path, "/events?after=%llu", (unsigned long long)after);
        rc = ctl_get(c, path, &page);
        rows = json_object_get(page, "events");
        n = json_array_size(rows);
        *sound = *sound && (rc != CTL_OK || json_is_true(json_object_get(page, "sound")));
        if (n > 0) {
            after =
                (uint64_t)json_integer_value(json_object_get(json_array_get(rows, n - 1), "seq"));
            rc = json_array_extend(all, (json_t *)(uintptr_t)rows) == 0
                     ? rc
                     : ctl_fail(CTL_BROKEN, "no memory");
        }
        json_decref(page);
    }
    return rc;
}

/* "SEQ:HASH" that was noted earlier: the log still has that row, or it was written anew. */
static int check_head(const json_t *all, const char *head)
{
    const char *colon = strchr(head, ':');
    uint64_t seq = 0;
    json_t *row = NULL;
    size_t i = 0;

    if (colon == NULL || strlen(colon + 1) != 64 ||
        view_to_u64(view_from(head, (size_t)(colon - head)), INT64_MAX, &seq) != E_OK) {
        return ctl_fail(CTL_USAGE, "--head SEQ:HASH, as -o json shows them of a row");
    }
    json_array_foreach(all, i, row)
    {
        if ((uint64_t)json_integer_value(json_object_get(row, "seq")) == seq) {
            const char *hash = json_string_value(json_object_get(row, "hash"));
            return hash != NULL && strcmp(hash, colon + 1) == 0
                       ? CTL_OK
                       : ctl_fail(CTL_REFUSED, "row %llu is another one: the log was written anew",
                                  (unsigned long long)seq);
        }
    }
    return ctl_fail(CTL_REFUSED, "there is no row %llu: rows were taken off the end of the log",
                    (unsigned long long)seq);
}

int ctl_li_events(struct ctl *c, struct ctl_args *a)
{
    const char *text = ctl_option(a, "--after"), *head = ctl_option(a, "--head");
    json_t *all = json_array();
    uint64_t after = 0;
    bool sound = true;
    int rc = CTL_OK;

    if (a->n != 0 || (text != NULL && head != NULL) ||
        (text != NULL && view_to_u64(view_of(text), INT64_MAX, &after) != E_OK)) {
        rc = ctl_fail(CTL_USAGE, "usage: headgatectl li events [--after N | --head SEQ:HASH]");
    }
    if (rc == CTL_OK) {
        rc = read_events(c, after, all, &sound);
    }
    if (rc == CTL_OK && head != NULL) {
        rc = check_head(all, head);
    }
    if (rc != CTL_OK) {
        json_decref(all);
        return rc;
    }
    ctl_rows_raw(c, all, EVENTS);
    return sound ? CTL_OK
                 : ctl_fail(CTL_REFUSED, "the log is not sound: somebody altered rows or took some "
                                         "away, or wrote them with another key");
}

/* ---- acts --------------------------------------------------------------------------------------
 */
int ctl_li_reason(struct ctl_args *a, char out[CTL_REASON_MAX + 2])
{
    const char *text = ctl_option(a, "--reason");

    out[0] = 0;
    if (text != NULL && strcmp(text, "-") == 0) {
        out[0] = fgets(out, CTL_REASON_MAX + 2, stdin) != NULL ? out[0] : '\0';
        out[strcspn(out, "\n")] = 0;
    } else if (text != NULL) {
        snprintf(out, CTL_REASON_MAX + 2, "%s", text);
    }
    return out[0] != 0 && strlen(out) <= CTL_REASON_MAX
               ? CTL_OK
               : ctl_fail(CTL_USAGE, "--reason: why, in 1 to %d octets", CTL_REASON_MAX);
}

static int act(struct ctl *c, struct ctl_args *a, const char *verb, bool has_reason)
{
    char path[CTL_PATH_MAX], id[CTL_ID_MAX], reason[CTL_REASON_MAX + 2] = "";
    json_t *order = NULL;
    struct opts o = {.a = a};
    char usage[64];

    snprintf(usage, sizeof usage, "li %s ORDER%s", verb, has_reason ? " --reason TEXT|-" : "");
    o.rc = has_reason ? ctl_li_reason(a, reason) : CTL_OK;
    opt_end(&o, 1, usage);
    if (o.rc == CTL_OK) {
        o.rc = ctl_id(a->v[0], "order", id);
    }
    if (o.rc == CTL_OK) {
        ctl_about(c, "order %s (li orders shows them)", id);
        snprintf(path, sizeof path, "/orders/%s/%s", id, verb);
        o.rc = ctl_post(c, path, has_reason ? json_pack("{s:s}", "reason", reason) : json_object(),
                        &order);
    }
    return o.rc == CTL_OK ? ctl_li_print(c, order, ORDER) : o.rc;
}

int ctl_li_approve(struct ctl *c, struct ctl_args *a)
{
    return act(c, a, "approve", false);
}

int ctl_li_refuse(struct ctl *c, struct ctl_args *a)
{
    return act(c, a, "refuse", true);
}

int ctl_li_end(struct ctl *c, struct ctl_args *a)
{
    return act(c, a, "end", true);
}

int ctl_li_post_form(struct ctl *c, const char *path, const char *file,
                     const struct ctl_column *columns)
{
    json_t *form = NULL, *item = NULL;
    int rc = ctl_read_json(file, &form);

    if (rc == CTL_OK && !json_is_object(form)) {
        rc = ctl_fail(CTL_USAGE, "%s: no JSON object; 'li form' has one to fill in", file);
    }
    if (rc == CTL_OK) {
        rc = ctl_post(c, path, json_incref(form), &item);
    }
    json_decref(form);
    return rc == CTL_OK ? ctl_li_print(c, item, columns) : rc;
}

int ctl_li_enter(struct ctl *c, struct ctl_args *a)
{
    struct opts o = {.a = a};

    opt_end(&o, 1, "li enter FILE|-");
    return o.rc == CTL_OK ? ctl_li_post_form(c, "/orders", a->v[0], ORDER) : o.rc;
}

int ctl_li_form(struct ctl *c, struct ctl_args *a)
{
    static const struct {
        const char *name, *form;
    } all[] = {{"order", "{\n"
                         "  \"agency\": 1,\n"
                         "  \"case_id\": \"\",\n"
                         "  \"type\": \"pen_register | trap_and_trace | pen_and_trap | content\",\n"
                         "  \"target\": {\"number\": \"+12125550101\"},\n"
                         "  \"starts_at\": \"2026-01-31T08:00:00Z\",\n"
                         "  \"ends_at\": \"2026-03-31T08:00:00Z\",\n"
                         "  \"presented_by\": \"\",\n"
                         "  \"signed_by\": \"\",\n"
                         "  \"responsible\": \"\"\n"
                         "}\n"},
               {"agency", "{\n"
                          "  \"name\": \"\",\n"
                          "  \"contact\": \"\",\n"
                          "  \"version\": 4,\n"
                          "  \"cdc\": {\"address\": \"192.0.2.1:9900\", \"tls_name\": \"\"},\n"
                          "  \"x2\": {\"address\": \"192.0.2.1:9901\", \"tls_name\": \"\"}\n"
                          "}\n"}};

    (void)c;
    for (size_t i = 0; a->n == 1 && i < sizeof all / sizeof all[0]; i++) {
        if (strcmp(a->v[0], all[i].name) == 0) {
            fputs(all[i].form, stdout);
            return CTL_OK;
        }
    }
    return ctl_fail(CTL_USAGE, "usage: headgatectl li form order|agency");
}
