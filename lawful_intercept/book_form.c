/* What officers fill in, field by field. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "lawful_intercept/book_int.h"
#include "lawful_intercept/cdc.h"

void li_form_wrong(json_t *errors, const char *pointer, const char *fmt, ...)
{
    char detail[160];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    IGNORE(json_array_append_new(errors,
                                 json_pack("{s:s,s:s}", "pointer", pointer, "detail", detail)) == 0
               ? E_OK
               : E_NOMEM,
           "an empty list of errors is an error too: nothing comes back");
}

/* ---- fields ------------------------------------------------------------------------------------
 */
/* Words of a person: no blank before them, and nothing that moves a cursor. */
static bool is_words(struct view text)
{
    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] < ' ' || text.p[i] == 0x7F) {
            return false;
        }
    }
    return (text.n == 0 || text.p[0] != ' ') && cdc_is_text(text);
}

void li_form_text(const json_t *form, const struct li_text_field *f, json_t *errors)
{
    const json_t *v = json_object_get(form, f->name);
    struct view text = view_from(json_string_value(v), json_string_length(v));
    char pointer[40];

    snprintf(pointer, sizeof pointer, "/%s", f->name);
    if (v == NULL) {
        if (f->min > 0) {
            li_form_wrong(errors, pointer, "%s is missing", f->what);
        }
    } else if (!json_is_string(v)) {
        li_form_wrong(errors, pointer, "%s is a text", f->what);
    } else if (text.n < f->min || text.n > f->max) {
        li_form_wrong(errors, pointer, "%s has %zu to %zu characters", f->what, f->min, f->max);
    } else if (!is_words(text) || (f->is_visible && !cdc_is_visible_text(text))) {
        li_form_wrong(errors, pointer, "%s has characters that it must not have", f->what);
    }
}

void li_form_known(const json_t *form, const char *const *names, const char *at, json_t *errors)
{
    const char *key = NULL;
    json_t *value = NULL;

    json_object_foreach((json_t *)(uintptr_t)form, key, value)
    {
        bool known = false;
        char pointer[120];
        for (size_t i = 0; names[i] != NULL; i++) {
            known = known || strcmp(key, names[i]) == 0;
        }
        if (!known) {
            snprintf(pointer, sizeof pointer, "%s/%.70s", at, key);
            li_form_wrong(errors, pointer, "there is no such field");
        }
    }
}

/* ---- orders ------------------------------------------------------------------------------------
 */
static const struct li_text_field order_texts[] = {
    {"case_id", 1, LI_CASE_MAX - 1, true, "the agency's case id"},
    {"presented_by", 1, 200, false, "who of the agency presented the order"},
    {"signed_by", 1, 200, false, "who signed the authorisation"},
    {"responsible", 1, 200, false, "who of the carrier answers for it"},
    {"court", 0, 200, false, "the court"},
    {"docket", 0, 100, false, "the docket number"}};

static bool is_e164(const char *text)
{
    size_t n = strlen(text);

    if (n < 8 || n > 16 || text[0] != '+' || text[1] == '0') {
        return false;
    }
    return strspn(text + 1, "0123456789") == n - 1;
}

/* Digits alone would be taken for a name that nobody has. */
static void check_uri(const char *text, json_t *errors)
{
    char uri[LI_URI_MAX];
    size_t n = 0;

    if (strlen(text) >= LI_URI_MAX || strchr(text, '<') != NULL ||
        !li_uri_read(view_of(text), uri)) {
        li_form_wrong(errors, "/target/sip_uri", "an address like sip:name@host");
        return;
    }
    n = strcspn(uri, "@");
    if (strspn(uri + (uri[0] == '+'), "0123456789") + (uri[0] == '+') == n &&
        li_uri_number(view_of(uri)).n == 0) {
        li_form_wrong(errors, "/target/sip_uri", "a number stands there in E.164, with its +");
    }
}

static void check_target(const json_t *form, json_t *errors)
{
    static const char *const known[] = {"line", "number", "bti", "sip_uri", NULL};
    const json_t *t = json_object_get(form, "target");
    uint8_t bti[16];

    if (!json_is_object(t) || json_object_size(t) != 1) {
        li_form_wrong(errors, "/target", "exactly one of line, number, bti and sip_uri");
        return;
    }
    li_form_known(t, known, "/target", errors);
    if (json_object_get(t, "line") != NULL && li_number(t, "line") == 0) {
        li_form_wrong(errors, "/target/line", "the number of a line");
    } else if (json_object_get(t, "number") != NULL && !is_e164(li_text(t, "number"))) {
        li_form_wrong(errors, "/target/number", "an E.164 number with its +");
    } else if (json_object_get(t, "bti") != NULL &&
               (strlen(li_text(t, "bti")) != 32 ||
                hex_get(view_of(li_text(t, "bti")), bti, sizeof bti) != E_OK)) {
        li_form_wrong(errors, "/target/bti", "32 hexadecimal digits");
    } else if (json_object_get(t, "sip_uri") != NULL) {
        check_uri(li_text(t, "sip_uri"), errors);
    }
}

static void check_times(const json_t *form, uint64_t now_us, json_t *errors)
{
    uint64_t starts = 0, ends = 0;
    bool has_start = li_time_read(li_text(form, "starts_at"), &starts);
    bool has_end = li_time_read(li_text(form, "ends_at"), &ends);

    if (!has_start) {
        li_form_wrong(errors, "/starts_at", "a time like 2026-01-31T08:00:00Z is missing");
    }
    if (!has_end) {
        li_form_wrong(errors, "/ends_at", "a time like 2026-01-31T08:00:00Z is missing");
    }
    if (has_start && has_end && ends <= starts) {
        li_form_wrong(errors, "/ends_at", "not behind starts_at");
    } else if (has_end && ends <= now_us) {
        li_form_wrong(errors, "/ends_at", "the order has expired");
    }
}

static uint64_t next_order(const struct li_book *b)
{
    uint64_t most = 0;

    for (size_t i = 0; i < li_book_orders(b); i++) {
        const struct li_entry *e = li_book_order_at(b, i);
        most = e->order.id > most ? e->order.id : most;
    }
    return most + 1;
}

static json_t *make_order(const struct li_book *b, const json_t *form, const char *who,
                          uint64_t now_us)
{
    json_t *made = json_deep_copy(form);
    uint8_t xid[LI_XID_BYTES];
    char hex[2 * LI_XID_BYTES + 1], at[24];

    if (made == NULL || crypto_random(xid, sizeof xid) != E_OK) {
        json_decref(made);
        return NULL;
    }
    xid[6] = (uint8_t)((xid[6] & 0x0F) | 0x40); /* RFC 9562: version 4 */
    xid[8] = (uint8_t)((xid[8] & 0x3F) | 0x80);
    hex_put(xid, sizeof xid, hex);
    li_time_write(now_us, at);
    if (json_object_set_new(made, "order", json_integer((json_int_t)next_order(b))) != 0 ||
        json_object_set_new(made, "xid", json_string(hex)) != 0 ||
        json_object_set_new(made, "state", json_string("entered")) != 0 ||
        json_object_set_new(made, "entered_by", json_string(who)) != 0 ||
        json_object_set_new(made, "entered_at", json_string(at)) != 0) {
        json_decref(made);
        return NULL;
    }
    return made;
}

json_t *li_form_order(const struct li_book *b, const json_t *form, const char *who, uint64_t now_us,
                      json_t *errors)
{
    static const char *const known[] = {
        "agency",    "case_id",     "type",  "target", "starts_at", "ends_at", "presented_by",
        "signed_by", "responsible", "court", "docket", "digits",    NULL};
    const json_t *digits = json_object_get(form, "digits");
    const struct li_agency *agency = li_book_agency(b, li_number(form, "agency"));
    enum li_type type = LI_CONTENT;

    li_form_known(form, known, "", errors);
    for (size_t i = 0; i < sizeof order_texts / sizeof order_texts[0]; i++) {
        li_form_text(form, &order_texts[i], errors);
    }
    if (!li_type_read(li_text(form, "type"), &type)) {
        li_form_wrong(errors, "/type", "pen_register, trap_and_trace, pen_and_trap or content");
    }
    if (agency == NULL) {
        li_form_wrong(errors, "/agency", "there is no such agency");
    } else if (agency->is_retired) {
        li_form_wrong(errors, "/agency", "the agency is retired");
    }
    if (digits != NULL && !json_is_boolean(digits)) {
        li_form_wrong(errors, "/digits", "true or false");
    } else if (json_is_true(digits) && type == LI_TRAP_AND_TRACE) {
        li_form_wrong(errors, "/digits",
                      "a trap and trace order is of calls that the subject does not "
                      "dial");
    }
    check_target(form, errors);
    check_times(form, now_us, errors);
    return json_array_size(errors) == 0 ? make_order(b, form, who, now_us) : NULL;
}

/* ---- acts --------------------------------------------------------------------------------------
 */
static enum err may(const struct li_entry *entry, enum li_act act, const char *who, uint64_t now_us)
{
    const char *state = li_state_of(entry, now_us);
    bool is_entered = strcmp(state, "entered") == 0;

    if (act == LI_APPROVE && is_entered && strcmp(li_text(entry->json, "entered_by"), who) == 0) {
        return FAIL(E_DENIED);
    }
    if (act == LI_APPROVE && is_entered && now_us >= entry->order.ends_us) {
        return FAIL(E_STATE);
    }
    if (act == LI_END ? strcmp(state, "active") != 0 && strcmp(state, "waiting") != 0
                      : !is_entered) {
        return FAIL(E_STATE);
    }
    return E_OK;
}

enum err li_act_on(const struct li_entry *entry, enum li_act act, const char *who,
                   const char *reason, uint64_t now_us, json_t **out)
{
    static const struct {
        const char *state, *by, *at;
    } what[] = {[LI_APPROVE] = {"active", "approved_by", "approved_at"},
                [LI_REFUSE] = {"refused", "refused_by", "refused_at"},
                [LI_END] = {"over", "ended_by", "ended_at"}};
    json_t *made = NULL;
    char at[24];
    enum err e = may(entry, act, who, now_us);

    TRY(e);
    li_time_write(now_us, at);
    made = json_deep_copy(entry->json);
    if (made == NULL || json_object_set_new(made, "state", json_string(what[act].state)) != 0 ||
        json_object_set_new(made, what[act].by, json_string(who)) != 0 ||
        json_object_set_new(made, what[act].at, json_string(at)) != 0 ||
        (act == LI_APPROVE && /* the directory's word: for a start while it is away */
         json_object_set_new(made, "line_at_approval",
                             json_integer((json_int_t)entry->order.line)) != 0) ||
        (reason[0] != 0 && json_object_set_new(made, "reason", json_string(reason)) != 0)) {
        TRY(FAIL(E_NOMEM));
    }
    *out = made;
    made = NULL;
out:
    json_decref(made);
    return e;
}
